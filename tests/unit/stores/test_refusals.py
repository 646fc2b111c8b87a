"""Which faults of a state end a process: that it is not ours to use. Every other fault is one that time may heal."""

import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from connector.clock import SystemClock
from connector.errors import StateRefused, StoreBusy, StoreError
from connector.ports import State
from connector.stores import directory, sqlite
from connector.stores.sqlite import open_store
from tests.contract.store_contract import AnyStore
from tests.unit.stores.test_sqlite_file import small_disk


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")


def no_database(path: Path) -> None:
    path.write_bytes(b"%PDF-1.7 " * 2000)


def not_allowed(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(("spoil", "ends"), [(newer, True), (foreign, True), (no_database, True), (not_allowed, False)])
async def test_a_state_that_is_not_ours_ends_the_process_any_other_fault_waits(
    tmp_path: Path, spoil: object, ends: bool
) -> None:
    path = tmp_path / "state.db"
    if spoil is newer:
        await (await open_store(path, clock=SystemClock())).close()
    assert callable(spoil)
    spoil(path)
    with pytest.raises(StoreError) as caught:
        await open_store(path, clock=SystemClock())
    assert isinstance(caught.value, StateRefused) == ends


async def test_a_second_writer_ends(tmp_path: Path) -> None:
    first = await open_store(tmp_path / "state.db", clock=SystemClock())
    with pytest.raises(StoreBusy) as caught:
        await open_store(tmp_path / "state.db", clock=SystemClock())
    assert isinstance(caught.value, StateRefused)
    await first.close()


async def test_a_lock_that_somebody_else_holds_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup tool, or a shell left open: the state takes nothing meanwhile, and goes on when it lets go."""
    monkeypatch.setattr("connector.stores.sqlite_file.BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "state.db"
    store = await open_store(path, clock=SystemClock())
    state = await store.commit("t", State(), [])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StoreError, match="held by another process") as caught:
                await store.commit("t", state, [])
            assert not isinstance(caught.value, StateRefused)
            assert "goes on" in caught.value.hint
        assert await store.load("t") == state, "reading goes on"
        other.execute("ROLLBACK")
    assert (await store.commit("t", state, [])).generation == 2
    await store.close()


@pytest.mark.parametrize("where", [sqlite.open_store, directory.open_store])
async def test_a_read_only_file_system_is_named(where: Callable[..., Awaitable[AnyStore]]) -> None:
    """Permissions would be the wrong place to look."""
    with small_disk("8m") as folder:
        store = await where(folder / "state", clock=SystemClock())
        state = await store.commit("t", State(), [])
        await store.close()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreError) as caught:
            await where(folder / "state", clock=SystemClock())
        assert "Mount its file system for writing again" in caught.value.hint
        assert not isinstance(caught.value, StateRefused)
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        store = await where(folder / "state", clock=SystemClock())
        assert await store.load("t") == state
        await store.close()
