"""Damage in an SQLite state that its structure does not show: rows, places, counts."""

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.errors import StoreError
from connector.ports import Query, Start, State
from connector.stores import sqlite_layout
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import AFTER_ALL, CONTOSO, add, event, events, numbers, settle, take_all
from tests.spoiled import spoil_events


async def opened(path: Path, **options: bool) -> SqliteStore:
    return await open_store(path, clock=SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)), **options)


async def filled(path: Path) -> None:
    async with await opened(path) as store:
        await store.attach([Start("siem"), Start("late")])
        await add(store, events(range(6)))
        await settle(store, "siem", accept=[0, 1], park={2: "no"}, limit=3)


def spoil(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def found(path: Path) -> list[tuple[str, str]]:
    async with await opened(path, writer=False) as store:
        return [(flaw.reason, flaw.document) for flaw in await store.verify()]


async def test_an_unreadable_row_is_counted_for_the_sinks_that_lack_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    spoil_events(path, [1, 4], b"torn")
    assert await found(path) == [("state_damaged", "event 1"), ("state_damaged", "event 4")]
    async with await opened(path) as store:
        assert numbers(await store.due("siem", 10)) == [4, 5]
        (flaw,) = await store.flaws()
        assert (flaw.document, flaw.tenant_id, flaw.events) == ("event 4", CONTOSO, 1)
        assert flaw.sinks == {"siem": 1, "late": 1}
        assert await take_all(store, "late") == [1, 2, 4, 5]
        noted = {flaw.document: flaw.sinks for flaw in await store.flaws()}
        assert noted == {"event 4": {"siem": 1, "late": 1}, "event 1": {"late": 1}}


@pytest.mark.parametrize(
    ("statements", "documents"),
    [
        (["UPDATE total SET events = 99"], ["table total"]),
        (["UPDATE sink SET beyond = 99 WHERE name = 'late'"], ["sink late"]),
        (["DELETE FROM chunk"], ["table total", "table id", "sink late", "sink siem"]),
        (["UPDATE id SET id = 'other' WHERE seq = 2"], ["event 2"]),
        (["UPDATE id SET seq = 3 WHERE seq = 2"], ["event 2"]),
        (["DELETE FROM id WHERE seq = 2"], ["event 2", "table id"]),
        (["UPDATE chunk SET ids = substr(ids, 1, 80)"], ["event 6"]),
        (["UPDATE tally SET items = 7 WHERE state = 'parked'"], ["sink siem"]),
        (["UPDATE sink SET position = 50, beyond = 0 WHERE name = 'siem'"], ["sink siem at 50"]),
    ],
)
async def test_verify_names_what_is_wrong(tmp_path: Path, statements: Sequence[str], documents: list[str]) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    assert await found(path) == []
    spoil(path, "PRAGMA foreign_keys = ON", *statements)
    assert sorted(document for _, document in await found(path)) == sorted(documents)


async def test_a_torn_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with await opened(path) as store:
        await add(store, [event(n, filling=random.Random(n).randbytes(250).hex()) for n in range(300)])
    content = bytearray(path.read_bytes())
    content[20 * 4096 : 20 * 4096 + 2048] = b"\x5a" * 2048
    path.write_bytes(content)
    async with await opened(path, writer=False) as store:
        try:
            documents = [flaw.document for flaw in await store.verify()]
        except StoreError as error:  # where not even the rows around it can be read
            documents = [error.what]
    assert documents


async def test_numbers_that_a_sink_has_seen_never_come_again(tmp_path: Path) -> None:
    """Whatever became of the events and of the highest number: after a purge nothing else tells of it."""
    path = tmp_path / "state.db"
    async with await opened(path) as store:
        await store.attach([Start("siem")])
        await add(store, events(range(6)))
        await take_all(store, "siem")
        await store.purge(AFTER_ALL)
    spoil(path, "UPDATE total SET last = 0")
    async with await opened(path) as store:
        await store.attach([Start("siem")])
        (flaw,) = await store.flaws()
        assert flaw.reason == "cursor_ahead"
        await add(store, events([10, 11]))
        assert await take_all(store, "siem") == [10, 11]


async def test_what_is_noted_raises_no_version(tmp_path: Path) -> None:
    """Tables that an older program does not look at keep nobody from going back to it."""
    path = tmp_path / "state.db"
    await filled(path)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(sqlite_layout.MIGRATIONS),)
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"flaw", "mark"} <= tables
    assert not any("flaw" in str(step) or "mark" in str(step) for steps in sqlite_layout.MIGRATIONS for step in steps)


async def test_forgetting_goes_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no transaction is long; broken off in the middle, it is repeated."""
    monkeypatch.setattr("connector.stores.sqlite._PURGE_EVENTS", 10)
    path = tmp_path / "state.db"
    async with await opened(path) as store:
        await store.attach([Start("siem")])
        for start in range(0, 35, 5):
            await add(store, events(range(start, start + 5)))
        await settle(store, "siem", accept=range(7), limit=7)
        await add(store, events(range(3), tenant="other"), "other")
        state = await store.load(CONTOSO)
        assert state is not None
        steps = []
        run = store._run

        async def counted(work, *args, **options):  # type: ignore[no-untyped-def]
            steps.append(work.__name__)
            return await run(work, *args, **options)

        monkeypatch.setattr(store, "_run", counted)
        assert await store.forget(CONTOSO, state.generation) == 35
        assert steps.count("forget") == 4
        monkeypatch.setattr(store, "_run", run)
        assert [flaw.what for flaw in await store.verify()] == []
        assert (await store.stats()).sinks[0].backlog == 3
        assert await store.load(CONTOSO) is None


async def test_an_idle_write_ahead_log_is_given_back(tmp_path: Path) -> None:
    """Or a small bound would be reached by nothing."""
    path = tmp_path / "state.db"
    async with await opened(path) as store:
        for n in range(40):
            await add(store, [event(n, filling=random.Random(n).randbytes(100_000).hex())])
        assert (tmp_path / "state.db-wal").stat().st_size > 2 * 1024**2
        stats = await store.stats()
        assert (tmp_path / "state.db-wal").stat().st_size == 0
        assert stats.bytes == path.stat().st_size


async def test_the_connectors_own_words_have_room_beyond_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))
    async with await open_store(path, clock=clock, max_bytes=1) as store:
        state = await store.load(CONTOSO)
        assert state is not None
        with pytest.raises(StoreError, match="bound"):
            await store.commit(CONTOSO, state, events([9]))
        own = event(1, tenant=None, type="connector.problem")
        await store.commit("", State(parts={"head": b"{}"}), [own])
        assert await store.history(Query(tenant_id="")) == [own]
