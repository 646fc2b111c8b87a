"""What was just committed and need not be read back: bounded, and the same as what is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connector.app import open_app
from connector.formats import cloudevents
from connector.ports import Query, Settlement, Start
from connector.stores import directory
from connector.stores.recent import OBJECT_FACTOR, Recent
from connector.stores.sqlite import open_store
from tests.contract.store_contract import CONTOSO, add, event, events
from tests.fake_graph import JumpClock
from tests.simulation.test_pipeline import simulated


def keep(recent: Recent[int], numbers: Sequence[int], octets: int = 10) -> None:
    recent.keep(numbers, [event(n) for n in numbers], [octets] * len(numbers))


def test_the_oldest_are_given_up_when_it_is_full() -> None:
    recent: Recent[int] = Recent(max_bytes=30 * OBJECT_FACTOR, run=1)
    keep(recent, range(5))
    assert recent.those(range(5)) == {n: event(n) for n in (2, 3, 4)}
    assert [n for n in range(5) if recent.get(n) is not None] == [2, 3, 4]
    keep(recent, [9], 31)
    assert len(recent) == 0
    keep(recent, range(3))
    recent.clear()
    keep(recent, range(10, 13))
    assert len(recent) == 3


def test_those_of_a_run_are_given_up_together_and_no_others() -> None:
    recent: Recent[int] = Recent(max_bytes=60 * OBJECT_FACTOR, run=3)
    keep(recent, range(5))
    keep(recent, range(5, 7))
    assert list(recent.those(range(9))) == [3, 4, 5, 6]
    keep(recent, [7, 8])
    assert list(recent.those(range(9))) == [3, 4, 5, 6, 7, 8]
    keep(recent, [9], 1)
    assert list(recent.those(range(12))) == [5, 6, 7, 8, 9]


def test_a_run_is_let_go_when_nobody_needs_the_last_of_it() -> None:
    recent: Recent[int] = Recent(max_bytes=60 * OBJECT_FACTOR, run=3)
    keep(recent, range(6))
    recent.let_go(lambda number: number <= 1)
    assert len(recent) == 6
    recent.let_go(lambda number: number <= 4)
    assert list(recent.those(range(9))) == [3, 4, 5]
    keep(recent, range(6, 9))
    assert len(recent) == 6, "its place is free again"
    recent.let_go(lambda _: True)
    assert len(recent) == 0


async def test_an_event_that_was_there_is_not_taken_for_the_one_that_was_given(tmp_path: Path) -> None:
    async with await open_store(tmp_path / "state.db", clock=JumpClock()) as store:
        await store.attach([Start("siem")])
        await add(store, [event(1, wording="first")])
        await add(store, [event(1, wording="second"), event(2), event(2, wording="again"), event(3)])
        due = [p.event for p in await store.due("siem", 9)]
        assert due == [event(1, wording="first"), event(2), event(3)] == await store.history(Query())
        await store.forget(CONTOSO)
        assert len(store._recent) == 0
        await add(store, events([1]))
        assert [p.event for p in await store.due("siem", 9)] == events([1])


async def test_what_every_sink_has_settled_is_held_no_longer(tmp_path: Path) -> None:
    async with await open_store(tmp_path / "state.db", clock=JumpClock()) as store:
        await store.attach([Start("siem"), Start("mail")])
        await add(store, events(range(100)))
        await add(store, events(range(100, 200)))
        for sink, left in (("siem", 200), ("mail", 100)):
            seqs = [p.seq for p in await store.due(sink, 100)]
            await store.settle(sink, Settlement(at="2026-11-22T09:12:03Z", accepted=frozenset(seqs)))
            assert len(store._recent) == left
        assert [p.event for p in await store.due("mail", 9)] == events(range(100, 109))
        await store.settle("siem", Settlement(at="2026-11-22T09:12:03Z", accepted=frozenset({seqs[-1] + 1})))
        await store.attach([Start("mail")])  # who is gone keeps nothing in memory
        seqs = [p.seq for p in await store.due("mail", 100)]
        await store.settle("mail", Settlement(at="2026-11-22T09:12:03Z", accepted=frozenset(seqs)))
        assert len(store._recent) == 0


async def test_of_documents_what_was_just_committed_is_not_read_back(tmp_path: Path) -> None:
    async with await directory.open_store(tmp_path / "state", clock=JumpClock()) as store:
        await store.attach([Start("siem")])
        await add(store, [event(1, wording="first")])
        given = [event(1, wording="second"), event(2), event(2, wording="again"), event(3)]
        await add(store, given)
        due = [p.event for p in await store.due("siem", 9)]
        assert due == [event(1, wording="first"), event(2), event(3)]
        assert due[1] is given[1]
        assert due[2] is given[3]
        store._reader.recent.clear()
        assert [p.event for p in await store.due("siem", 9)] == due, "read, it is the same"
        await add(store, events([4]))
        await store.forget(CONTOSO)
        assert len(store._reader.recent) == 0
        await add(store, events([1]))
        assert [p.event for p in await store.due("siem", 9)] == events([1])


def kinds(value: Any) -> Any:
    """A value with the kind of each of its parts: 1, 1.0 and True are not the same, nor are list and tuple."""
    if isinstance(value, dict):
        return dict, [(kinds(k), kinds(v)) for k, v in value.items()]
    return (type(value), [kinds(v) for v in value]) if isinstance(value, list | tuple) else (type(value), value)


async def test_what_a_tenant_brings_is_the_same_given_and_read(tmp_path: Path) -> None:
    """Or a sink that takes at once would get other bytes than one that comes later."""
    async with simulated(tmp_path) as (sim, config), open_app(config, clock=sim.clock) as app:
        store: Any = app.store
        clock: Any = sim.clock
        for _ in range(3):
            await app.poll_once()
            await clock.advance(86_400)
        given = list(store._recent._events.values())
    assert len({found.type for found in given}) > 3
    for found in given:
        read = cloudevents.loads(cloudevents.dumps(found))
        assert kinds(cloudevents.document(found)) == kinds(cloudevents.document(read))
