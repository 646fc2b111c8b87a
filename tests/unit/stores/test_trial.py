"""Whether a state could be opened, asked without leaving a trace; and a store that keeps commits to itself."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from connector.errors import Conflict, StoreError
from connector.ports import State
from connector.stores import sqlite_file, sqlite_layout
from connector.stores.lock import take_lock
from connector.stores.sqlite import SqliteStore
from connector.stores.trial import Trial, TrialStore, try_directory, try_sqlite
from tests.fake_graph import JumpClock

CLOCK = JumpClock()


@pytest.mark.parametrize("place", ["s", "new/s"])
async def test_a_state_that_is_not_there_is_opened_and_removed(tmp_path: Path, place: str) -> None:
    assert await try_sqlite(tmp_path / place, clock=CLOCK, mode=0o600) == Trial(exists=False)
    assert await try_directory(tmp_path / "s", clock=CLOCK) == Trial(exists=False)
    assert list(tmp_path.iterdir()) == []


async def test_what_fails_leaves_no_trace_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite_file, "_write_ahead", refuse)
    monkeypatch.setattr("connector.stores.directory.Directory._create", refuse)
    with pytest.raises(StoreError, match="No space left"):
        await try_sqlite(tmp_path / "s", clock=CLOCK, mode=0o600)
    with pytest.raises(StoreError, match="No space left"):
        await try_directory(tmp_path / "s", clock=CLOCK)
    assert list(tmp_path.iterdir()) == []


async def test_an_older_version_would_be_migrated(tmp_path: Path) -> None:
    sqlite_file.open_writer(tmp_path / "s.db", 0o600, sqlite_layout.MIGRATIONS[:-1]).close()
    found = await try_sqlite(tmp_path / "s.db", clock=CLOCK, mode=0o600)
    assert found == Trial(exists=True, older=True)
    with closing(sqlite3.connect(tmp_path / "s.db")) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(sqlite_layout.MIGRATIONS) - 1,)


async def test_a_holder_is_named_and_keeps_its_lock(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    lock = take_lock(tmp_path / "s", clock=CLOCK)
    lock.hold()
    found = await try_directory(tmp_path / "s", clock=CLOCK)
    assert found.holder.startswith("process ")
    lock.release()
    assert (await try_directory(tmp_path / "s", clock=CLOCK)).holder == ""


async def test_commits_of_a_trial_stay_with_it(store: SqliteStore) -> None:
    before = await store.commit("t", State(0, {"head": b"1"}), [])
    trial = TrialStore(store)
    assert (await trial.load("t")) == before
    after = await trial.commit("t", State(before.generation, {"head": b"2"}), [])
    assert after.generation == before.generation + 1
    assert (await trial.load("t")) == after
    assert (await store.load("t")) == before
    with pytest.raises(Conflict):
        await trial.commit("t", State(before.generation, {}), [])
    assert (await TrialStore(None).load("t")) is None
