"""Replays and retries are not kept back by first deliveries that wait; those keep their order, after a loss, too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define

from connector.deliver.delivery import AGAIN_EVERY, HOLD_S, Delivery
from connector.deliver.loop import drain, run
from connector.errors import Denied, Unavailable
from connector.health.state_watch import StateWatch
from connector.model import Receipt, Record, accept_all
from connector.ports import Query, Start
from connector.stores import directory, sqlite
from tests.contract.store_contract import add, event, events
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery
from tests.fakes.virtual_time import LoopClock, virtually

STORES = pytest.mark.parametrize("family", ["sqlite", "directory"])


@define
class Bench:
    store: Any
    sink: FakeSink
    loop: Delivery
    wake: asyncio.Event

    async def commit(self, *numbers: int, **fields: Any) -> list[str]:
        new = events(numbers, **fields)
        await add(self.store, new)
        self.wake.set()
        return [e.id for e in new]


@asynccontextmanager
async def bench(family: str, *, work: bool = True) -> AsyncIterator[Bench]:
    """With a loop at work, unless said otherwise."""
    with quick_folder() as folder:
        clock = LoopClock()
        if family == "sqlite":
            store: Any = await sqlite.open_store(folder / "state.db", clock=clock)
        else:
            store = await directory.open_store(folder / "state", clock=clock)
        await store.attach([Start("siem")])
        sink = FakeSink()
        found = Bench(store, sink, delivery(store, sink, clock), asyncio.Event())
        task = asyncio.create_task(run(found.loop, asyncio.Event(), found.wake, StateWatch(clock))) if work else None
        yield found
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.close()


def refuses(error: Exception, *bad: str) -> Callable[[Sequence[Record]], Receipt]:
    """A sink that leaves these out, and raises when nothing else is offered."""

    def behave(records: Sequence[Record]) -> Receipt:
        taken = frozenset(r.event_id for r in records) - set(bad)
        if not taken:
            raise error
        return Receipt(accepted=taken)

    return behave


@pytest.mark.parametrize(
    ("family", "error", "waiting"),
    [
        ("sqlite", Denied("code 7"), 1),
        ("sqlite", Denied("code 7"), 150),
        ("sqlite", Unavailable("500"), 1),
        ("sqlite", Unavailable("500"), 150),
        ("directory", Denied("code 7"), 150),
        ("directory", Unavailable("500"), 1),
    ],
)
def test_first_deliveries_that_are_refused_keep_no_replay_back(family: str, error: Exception, waiting: int) -> None:
    async def scenario() -> None:
        async with bench(family) as b:
            old = await b.commit(*range(250))
            await asyncio.sleep(60)
            bad = await b.commit(*range(1000, 1000 + waiting))
            b.sink.behave = refuses(error, *bad)
            await asyncio.sleep(3600)
            assert await b.store.replay("siem", Query()) == 250
            await asyncio.sleep(2 * HOLD_S + 10)
            assert b.sink.got == [*old, *old]
            assert b.loop.health().state == ("denied" if isinstance(error, Denied) else "unavailable"), "still"
            b.sink.behave = accept_all
            await asyncio.sleep(600)
            assert b.sink.got == [*old, *old, *bad]
            assert b.loop.health().state == "ok"

    virtually(scenario())


@STORES
def test_a_retried_event_does_not_wait_for_what_is_held_back(family: str) -> None:
    async def scenario() -> None:
        async with bench(family) as b:
            await b.commit(0)
            b.sink.behave = lambda records: Receipt(rejected={r.event_id: "no" for r in records})
            await asyncio.sleep(60)
            (bad,) = await b.commit(1)
            b.sink.behave = refuses(Unavailable("500"), bad)
            for number in range(10, 20):
                await b.commit(number)
                await asyncio.sleep(60)
            assert b.loop._held
            assert await b.store.unpark([], None, "retry") == 1
            await asyncio.sleep(20)
            assert b.sink.got[-1] == event(0).id

    virtually(scenario())


@STORES
def test_a_backlog_that_flows_leaves_every_so_many_th_batch_to_what_is_offered_again(family: str) -> None:
    async def scenario() -> None:
        async with bench(family, work=False) as b:
            old = await b.commit(*range(50))
            await b.loop.turn()
            await b.store.replay("siem", Query())
            await b.commit(*range(100, 100 + 100 * (AGAIN_EVERY + 5)))
            for _ in range(AGAIN_EVERY + 1):
                await b.loop.turn()
            assert b.sink.offered[AGAIN_EVERY:].count(old) == 1
            assert (await drain(b.loop, 1000)).state == "ok"
            assert len(b.sink.got) == 100 + 100 * (AGAIN_EVERY + 5)

    virtually(scenario())


def test_an_outage_is_not_asked_in_a_loop_for_having_something_to_offer_again() -> None:
    """No more than each kind of its own is: one that fails is no reason to try the other out of its time."""

    async def scenario() -> None:
        tries = []
        for firsts, agains in ((20, 0), (0, 20), (20, 20)):
            async with bench("sqlite") as b:
                await b.commit(*range(20))
                await asyncio.sleep(60)
                b.sink.behave = refuses(Unavailable("connection refused"), *(e.id for e in events(range(200))))
                await b.commit(*range(100, 100 + firsts))
                if agains:
                    await b.store.replay("siem", Query())
                before = len(b.sink.offered)
                await asyncio.sleep(3 * 3600)
                tries.append(len(b.sink.offered) - before)
                b.sink.behave = accept_all
                await asyncio.sleep(1200)
                assert len(b.sink.got) == 20 + firsts + agains
        assert tries[2] <= 1.2 * (tries[0] + tries[1])

    virtually(scenario())


@STORES
def test_a_wish_to_be_left_alone_counts_for_what_is_offered_again_too(family: str) -> None:
    async def scenario() -> None:
        async with bench(family) as b:
            await b.commit(*range(20))
            await asyncio.sleep(60)
            await b.store.replay("siem", Query())
            b.sink.behave = refuses(Unavailable("429", 200.0), *(e.id for e in events(range(200))))
            await b.commit(100)
            await asyncio.sleep(1)
            before = len(b.sink.offered)
            await asyncio.sleep(190)
            assert len(b.sink.offered) == before

    virtually(scenario())


@STORES
def test_what_a_receiver_lost_arrives_before_what_it_has_not_seen(family: str) -> None:
    """It confirmed and forgot; that shows with a later batch. First arrivals are in the order of their commits."""

    async def scenario() -> None:
        async with bench(family) as b:
            b.sink.replay_window_s = 60.0
            memory: list[str] = []
            safe: list[str] = []
            down = False

            def behave(records: Sequence[Record]) -> Receipt:
                if down:
                    raise Unavailable("connection refused")
                memory.extend(r.event_id for r in records)
                return accept_all(records)

            b.sink.behave = behave
            sent: list[str] = []
            for number in range(120):
                sent += await b.commit(number)
                await asyncio.sleep(2)
                if number % 10 == 9:
                    safe += memory
                    memory.clear()
                if number % 50 in (14, 16):  # it dies with what it holds, and is back a little later
                    memory.clear()
                    down = number % 50 == 14
            await asyncio.sleep(60)
            safe += memory
            first_arrivals = list(dict.fromkeys(safe))
            assert first_arrivals == sent

    virtually(scenario())
