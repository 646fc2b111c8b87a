"""A drain ends in time, whatever a record takes, and tells what is left; a long batch lets others run in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from attrs import define

from connector.clock import SystemClock
from connector.deliver.batch import STEP
from connector.deliver.delivery import Delivery
from connector.deliver.loop import OUT_OF_TIME, drain
from connector.deliver.pace import ASSUMED_S, Pace
from connector.errors import Unavailable
from connector.model import Event, Receipt, Record
from connector.ports import Start
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import add, events
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery
from tests.fakes.virtual_time import LoopClock, virtually


@define
class Slow(FakeSink):
    """Takes so long for each record, as where each is a request of its own."""

    record_s: float = 1.0
    batch_s: float = 0.0

    async def send(self, records: Sequence[Record]) -> Receipt:
        await asyncio.sleep(self.batch_s + self.record_s * len(records))
        return await FakeSink.send(self, records)


@asynccontextmanager
async def bench(sink: FakeSink, count: int) -> AsyncIterator[tuple[Delivery, SqliteStore]]:
    with quick_folder() as folder:
        clock = LoopClock()
        async with await open_store(folder / "state.db", clock=clock) as store:
            await store.attach([Start("siem")])
            await add(store, events(range(count)))
            yield delivery(store, sink, clock), store


@pytest.mark.parametrize("record_s", [1.0, 0.2, 2.5, 7.0])
@pytest.mark.parametrize("deadline_s", [30.0, 45.0])
def test_a_drain_ends_in_time_however_slow_a_record_is(record_s: float, deadline_s: float) -> None:
    async def scenario() -> None:
        async with bench(Slow(max_records=50, record_s=record_s), 3000) as (loop, store):
            for n in range(5):
                began = asyncio.get_running_loop().time()
                outcome = await drain(loop, deadline_s)
                took_s = asyncio.get_running_loop().time() - began
                assert took_s <= deadline_s * (3.5 if n == 0 and record_s > ASSUMED_S else 1.0) + 1e-6, (
                    "once it is known"
                )
                assert took_s >= deadline_s / 2, "and uses what it has"
                assert (outcome.state, outcome.error) == ("unavailable", OUT_OF_TIME), "what is left is told"
                assert outcome.sent > 0
            (stats,) = (await store.stats()).sinks
            assert stats.backlog == 3000 - len(loop.sink.got)  # type: ignore[attr-defined]

    virtually(scenario())


def test_what_takes_as_long_for_many_as_for_few_is_sent_in_large_batches() -> None:
    async def scenario() -> None:
        sink = Slow(max_records=1000, record_s=0.0, batch_s=0.1)
        async with bench(sink, 5000) as (loop, _):
            outcome = await drain(loop, 45.0)
            assert (outcome.state, outcome.sent) == ("ok", 5000)
            assert len(sink.offered) <= 7

    virtually(scenario())


def test_what_ends_just_in_time_is_not_called_left() -> None:
    async def scenario() -> None:
        async with bench(Slow(record_s=1.0), 10) as (loop, _):
            assert (await drain(loop, 20.5)).state == "ok"

    virtually(scenario())


def test_a_deadline_that_is_over_still_offers_one_record() -> None:
    """Or a home whose time is always short would never deliver anything."""

    async def scenario() -> None:
        async with bench(Slow(record_s=50.0), 10) as (loop, _):
            assert [(await drain(loop, 1.0)).sent for _ in range(2)] == [1, 1]

    virtually(scenario())


def test_a_send_that_hangs_is_not_begun_when_it_would_outlive_the_deadline() -> None:
    async def scenario() -> None:
        class Hangs(FakeSink):
            async def send(self, records: Sequence[Record]) -> Receipt:
                await asyncio.sleep(30)
                raise Unavailable("no answer")

        async with bench(Hangs(), 10) as (loop, _):
            began = asyncio.get_running_loop().time()
            assert (await drain(loop, 45.0)).error == "no answer"
            assert asyncio.get_running_loop().time() - began < 45

    virtually(scenario())


def test_pace() -> None:
    pace = Pace()
    assert pace.bounded(1000, 30.0) == 15
    pace.saw(15, 0.0, moved=False)
    assert pace.bounded(1000, 30.0) == 15, "a quick refusal tells nothing"
    pace.saw(10, 100.0, moved=False)
    assert (pace.bounded(1000, 30.0), pace.fits(99), pace.fits(100)) == (1, False, True)
    pace.saw(1, 0.001, moved=True)
    assert pace.bounded(1000, 30.0) == 1000
    assert pace.fits(0.001)
    pace.saw(1, 0.0, moved=True)
    assert pace.bounded(1000, -5.0) == 1000
    assert not pace.fits(-5.0)


async def test_rendering_a_long_batch_lets_others_run() -> None:
    """Between two steps of anybody else no more is rendered than STEP events."""
    rendered = [0]

    class Counting:
        name = "own"

        def render(self, given: Event) -> Record:
            rendered[0] += 1
            return Record(given.id, given.stream, "contoso", given.time, 1, {"id": given.id})

    seen: list[int] = []

    async def other() -> None:
        while True:
            seen.append(rendered[0])
            await asyncio.sleep(0)

    with quick_folder() as folder:
        async with await open_store(folder / "state.db", clock=SystemClock()) as store:
            await store.attach([Start("siem")])
            await add(store, events(range(1000)))
            loop = delivery(store, FakeSink(max_records=1000), SystemClock(), mapping=Counting())
            task = asyncio.create_task(other())
            assert (await loop.turn()).sent == 1000
            task.cancel()
    assert max(b - a for a, b in pairwise(seen)) <= STEP
