"""The SQLite store keeps the store contract."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import Home, StoreContract


class File:
    """A state file, as the daemon opens it and as a command beside it does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))

    async def open(self) -> SqliteStore:
        return await open_store(self.path, clock=self.clock)

    async def beside(self) -> SqliteStore:
        return await open_store(self.path, clock=self.clock, writer=False)

    async def copy(self) -> object:
        return self.path.read_bytes()

    async def restore(self, copy: object) -> None:
        assert isinstance(copy, bytes)
        self.path.write_bytes(copy)


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def home(self, tmp_path: Path) -> Home:
        return File(tmp_path / "state.db")
