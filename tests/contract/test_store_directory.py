"""The documents store in a folder keeps the store contract and the documents contract."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.stores.directory import Directory, open_store
from connector.stores.documents import DocumentsStore
from tests.contract.documents_contract import DocumentsContract
from tests.contract.store_contract import Home, StoreContract


class Folder:
    """A folder of documents, as the daemon opens it and as a command beside it does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))

    async def open(self) -> DocumentsStore:
        return await open_store(self.path, clock=self.clock)

    async def beside(self) -> DocumentsStore:
        return await open_store(self.path, clock=self.clock, writer=False)

    async def copy(self) -> object:
        return shutil.copytree(self.path, self.path.with_name("copy"))

    async def restore(self, copy: object) -> None:
        assert isinstance(copy, Path)
        shutil.rmtree(self.path)
        shutil.copytree(copy, self.path)


class TestDirectoryStore(StoreContract):
    @pytest.fixture
    def home(self, tmp_path: Path) -> Home:
        return Folder(tmp_path / "state")


class TestDirectory(DocumentsContract):
    @pytest.fixture
    def documents(self, tmp_path: Path) -> Directory:
        return Directory(tmp_path)
