"""Commits that wait at the same moment: one transaction, and yet each succeeds or fails by itself."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connector.errors import Conflict, StoreError
from connector.ports import Query, Start, State
from connector.stores import sqlite_together
from connector.stores.sqlite import SqliteStore, open_store
from connector.stores.sqlite_together import Wish, carry_out
from tests.contract.store_contract import event
from tests.fake_graph import JumpClock

TENANTS = [f"tenant-{n}" for n in range(20)]


@asynccontextmanager
async def home(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, list[str]]]:
    """A store with a sink, and the transactions that its connection ended since."""
    async with await open_store(tmp_path / "state.db", clock=JumpClock()) as store:
        await store.attach([Start("siem")])
        ended: list[str] = []

        def heard(sql: str) -> None:
            if sql in ("COMMIT", "ROLLBACK"):
                ended.append(sql)

        await store._run(lambda connection: connection.set_trace_callback(heard))
        yield store, ended


@asynccontextmanager
async def held_up(store: SqliteStore) -> AsyncIterator[None]:
    """What is asked for within waits, in its order, until the end."""
    go_on = threading.Event()
    waiting = asyncio.get_running_loop().run_in_executor(store._worker, go_on.wait)
    yield
    await asyncio.sleep(0.01)
    go_on.set()
    await waiting


async def commits(store: SqliteStore, *others: Any) -> list[Any]:
    """One of each tenant, and others, all at once; what came of them."""
    wanted = [store.commit(t, State(parts={"head": t.encode()}), [event(n, t)]) for n, t in enumerate(TENANTS)]
    async with held_up(store):
        asked = asyncio.gather(*others, *wanted, return_exceptions=True)
    return list(await asked)


async def all_there(store: SqliteStore) -> bool:
    events = await store.history(Query())
    assert [p.event for p in await store.due("siem", 99)] == events
    assert len({e.id for e in events}) == len(events) == (await store.stats()).events
    heads = await store.heads(TENANTS)
    return all(heads[t] == State(1, {"head": t.encode()}, whole=False) for t in TENANTS)


async def test_what_waits_at_the_same_moment_is_one_transaction(tmp_path: Path) -> None:
    async with home(tmp_path) as (store, ended):
        assert await commits(store) == [State(1, {"head": t.encode()}) for t in TENANTS]
        assert ended == ["COMMIT"]
        assert await all_there(store)


async def test_a_transaction_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_together, "MAX_WISHES", 8)
    async with home(tmp_path) as (store, ended):
        await commits(store)
        assert ended == ["COMMIT"] * 3
    monkeypatch.setattr(sqlite_together, "MAX_EVENTS", 2)
    async with home(tmp_path / "b") as (store, ended):
        await commits(store)
        assert ended == ["COMMIT"] * 10


async def test_what_is_refused_leaves_nothing_and_keeps_nobody(tmp_path: Path) -> None:
    async with home(tmp_path) as (store, ended):
        stale = store.commit(TENANTS[0], State(7, {"head": b"stale"}), [event(100)])
        unsound = store.commit("unsound", State(parts={"head": b"1"}), [event(101, before=float("nan"))])
        came = await commits(store, stale, unsound)
        assert isinstance(came[0], Conflict)
        assert isinstance(came[1], ValueError)
        assert came[2:] == [State(1, {"head": t.encode()}) for t in TENANTS]
        assert ended == ["COMMIT"]
        assert await all_there(store)
        assert await store.load("unsound") is None
        assert await store.history(Query(ids=(event(100).id, event(101).id))) == []


async def test_of_two_of_one_tenant_the_second_meets_the_first(tmp_path: Path) -> None:
    async with home(tmp_path) as (store, _):
        both = [store.commit("twice", State(parts={"head": body}), []) for body in (b"1", b"2")]
        came = await commits(store, *both)
        assert came[0] == State(1, {"head": b"1"})
        assert isinstance(came[1], Conflict)
        assert await store.load("twice") == came[0]


async def test_those_who_ask_at_one_moment_are_one_transaction_though_the_connection_is_idle(tmp_path: Path) -> None:
    async with home(tmp_path) as (store, ended):
        moment = asyncio.Event()

        async def commit(tenant: str) -> State:
            await moment.wait()
            return await store.commit(tenant, State(parts={"head": tenant.encode()}), [])

        asked = asyncio.gather(*map(commit, TENANTS))
        await asyncio.sleep(0.01)
        moment.set()
        assert await asked == [State(1, {"head": t.encode()}) for t in TENANTS]
        assert ended == ["COMMIT"]


async def test_what_was_asked_for_before_the_end_is_committed(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "state.db", clock=JumpClock())
    asked = [asyncio.ensure_future(store.commit(t, State(parts={"head": t.encode()}), [])) for t in TENANTS]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*asked) == [State(1, {"head": t.encode()}) for t in TENANTS]
    with pytest.raises(RuntimeError):
        await store.commit("too-late", State(parts={"head": b"1"}), [])
    async with await open_store(tmp_path / "state.db", clock=JumpClock()) as store:
        assert sorted(await store.tenants()) == sorted(TENANTS)


async def test_where_sqlite_fails_each_is_tried_alone(tmp_path: Path) -> None:
    async with home(tmp_path) as (store, ended):
        refuse = (
            "CREATE TRIGGER no BEFORE INSERT ON state WHEN new.tenant = 'sick' BEGIN SELECT raise(ROLLBACK, 'no'); END"
        )
        await store._run(lambda connection: connection.execute(refuse))
        came = await commits(store, store.commit("sick", State(parts={"head": b"1"}), [event(100)]))
        assert isinstance(came[0], StoreError)
        assert came[1:] == [State(1, {"head": t.encode()}) for t in TENANTS]
        assert ended.count("COMMIT") == len(TENANTS)
        assert await all_there(store)
        assert await store.load("sick") is None


async def test_what_is_withdrawn_while_it_waits_is_not_committed(tmp_path: Path) -> None:
    async with home(tmp_path) as (store, _):
        async with held_up(store):
            given_up = asyncio.ensure_future(store.commit("given-up", State(parts={"head": b"1"}), [event(100)]))
            await asyncio.sleep(0)
            given_up.cancel()
            others = asyncio.gather(*(store.commit(t, State(parts={"head": t.encode()}), []) for t in TENANTS))
        await others
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await store.load("given-up") is None
        assert await all_there(store)


def test_what_a_refused_one_has_written_already_is_taken_back() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE told (number INTEGER)")

    def writing(number: int, error: Exception | None = None) -> Wish[int]:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO told VALUES (?)", (number,))
            if error is not None:
                raise error
            return number

        return Wish(lambda: work, 1)

    wishes = [writing(1), writing(2, RuntimeError("no")), writing(3)]
    carry_out(connection, wishes)
    assert [wish.result for wish in wishes] == [1, None, 3]
    assert isinstance(wishes[1].error, RuntimeError)
    assert connection.execute("SELECT number FROM told").fetchall() == [(1,), (3,)]
    connection.close()
