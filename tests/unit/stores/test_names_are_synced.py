"""A name lasts through a power cut once the folder it stands in was synced: also one that a killed predecessor made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from connector.clock import SystemClock
from connector.stores import directory, sqlite
from tests.contract.store_contract import CONTOSO, add, events


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[Path]]:
    """The folders that were synced since the last time this was asked."""
    found: list[Path] = []
    for where in ("connector.stores.directory", "connector.stores.sqlite_file", "connector.durable"):
        monkeypatch.setattr(f"{where}.sync_folder", found.append)

    def since() -> set[Path]:
        folders = set(found)
        found.clear()
        return folders

    return since


async def test_every_folder_of_a_state_of_documents(tmp_path: Path, synced: Callable[[], set[Path]]) -> None:
    state = tmp_path / "state"
    async with await directory.open_store(state, clock=SystemClock()) as store:
        assert synced() == {tmp_path, state}
        await add(store, events([1]))
        assert synced() >= {state, state / CONTOSO}
        await add(store, events([2]))
        assert synced() == {state / CONTOSO}, "once is enough for a folder"
    async with await directory.open_store(state, clock=SystemClock()) as store:
        assert synced() == {tmp_path}, "who made it may have been killed before it was durable"
        await add(store, events([3]))
        assert synced() == {state, state / CONTOSO}


async def test_the_folder_and_the_name_of_a_state_file(tmp_path: Path, synced: Callable[[], set[Path]]) -> None:
    path = tmp_path / "made" / "state.db"
    for _ in range(2):
        async with await sqlite.open_store(path, clock=SystemClock()):
            assert tmp_path in synced()
    path.unlink()
    async with await sqlite.open_store(path, clock=SystemClock()):
        assert synced() == {tmp_path, tmp_path / "made"}
