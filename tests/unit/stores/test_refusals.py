"""Which faults of a state end a process: that it is not ours to use. Every other fault is one that time may heal."""

import sqlite3
from pathlib import Path

import pytest

from connector.clock import SystemClock
from connector.errors import StateRefused, StoreBusy, StoreError
from connector.stores.sqlite import open_store


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
