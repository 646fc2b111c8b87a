"""The documents store keeps the store contract while it gathers the events of any two commits that it can."""

from datetime import UTC, datetime

import pytest

from connector.clock import SimulatedClock
from connector.stores import documents_read
from connector.stores.documents import DocumentsStore
from tests.contract.store_contract import Home, StoreContract
from tests.fakes.documents import Memory


class Gathering:
    """Documents in memory: what the contract asks does not depend on the place."""

    def __init__(self) -> None:
        self.documents = Memory()
        self.clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))

    async def open(self) -> DocumentsStore:
        return DocumentsStore(self.documents, self.clock)

    async def beside(self) -> DocumentsStore:
        return await self.open()

    async def copy(self) -> object:
        return dict(self.documents.kept)

    async def restore(self, copy: object) -> None:
        assert isinstance(copy, dict)
        self.documents.kept = dict(copy)


class TestGatheringStore(StoreContract):
    @pytest.fixture
    def home(self, monkeypatch: pytest.MonkeyPatch) -> Home:
        monkeypatch.setattr(documents_read, "GATHER", 2)
        return Gathering()
