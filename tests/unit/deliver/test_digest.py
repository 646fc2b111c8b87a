"""A digest: which events are offered when, and what becomes of them over crashes, downtime, clocks and refusals."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.clock import SimulatedClock, iso
from connector.deliver.batch import Filter
from connector.deliver.digest import GRACE, ripe
from connector.deliver.loop import drain
from connector.deliver.pace import DIGEST_S, Pace
from connector.errors import Unavailable
from connector.model import Digest, Event, Receipt, accept_all
from connector.ports import Pending, Query, Start
from connector.stores.sqlite import open_store
from tests.contract.store_contract import add, events, numbers
from tests.fakes.sink import FakeSink, delivery

DAILY = Digest("daily", 6 * 60)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("digest", "moment", "last", "following"),
    [
        (DAILY, "2026-11-24T06:00:00", "2026-11-24T06:00:00", "2026-11-25T06:00:00"),
        (DAILY, "2026-11-24T05:59:59", "2026-11-23T06:00:00", "2026-11-24T06:00:00"),
        (DAILY, "2026-12-31T23:00:00", "2026-12-31T06:00:00", "2027-01-01T06:00:00"),
        (Digest("hourly", 360), "2026-11-24T06:30:00", "2026-11-24T06:00:00", "2026-11-24T07:00:00"),
        (Digest("weekly", 360), "2026-11-24T06:30:00", "2026-11-23T06:00:00", "2026-11-30T06:00:00"),
        (Digest("weekly", 360), "2026-11-23T05:00:00", "2026-11-16T06:00:00", "2026-11-23T06:00:00"),
    ],
)
def test_when_a_digest_is_due(digest: Digest, moment: str, last: str, following: str) -> None:
    assert (digest.last(at(moment)), digest.next(at(moment))) == (at(last), at(following))


def pending(*moments: str) -> list[Pending]:
    made = [observed(event, moment) for event, moment in zip(events(range(len(moments))), moments, strict=True)]
    return [Pending(n, event) for n, event in enumerate(made)]


def observed(event: Event, moment: str) -> Event:
    return evolve(event, data={**event.data, "observed_at": moment})


def seqs(due: Any) -> list[int]:
    return [p.seq for p in due]


def test_what_was_observed_before_the_last_time_of_the_digest_is_offered_and_nothing_overtakes() -> None:
    due = pending("2026-11-23T09:00:00Z", "2026-11-24T05:59:59Z", "2026-11-24T06:00:00Z", "2026-11-23T10:00:00Z")
    assert seqs(ripe(due, None, at("2026-11-23T09:00:00"))) == [0, 1, 2, 3]
    assert seqs(ripe(due, DAILY, at("2026-11-24T05:00:00"))) == []
    assert seqs(ripe(due, DAILY, at("2026-11-24T06:00:00") + GRACE - timedelta(seconds=1))) == []
    assert seqs(ripe(due, DAILY, at("2026-11-24T06:00:00") + GRACE)) == [0, 1]
    assert seqs(ripe(due, DAILY, at("2026-11-25T06:00:00") + GRACE)) == [0, 1, 2, 3]


def test_an_event_from_the_future_holds_nothing_up() -> None:
    """The clock was set back: what was stamped by the wrong one must not wait until its time comes round."""
    due = pending("2030-01-01T00:00:00Z", "2026-11-23T09:00:00Z")
    assert seqs(ripe(due, DAILY, at("2026-11-24T07:00:00"))) == [0, 1]


# ---------------------------------------------------------------------------------------------------- with the outbox


class Bench:
    """A store on disk, a sink, and a loop that may be started anew at any time, as after a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = SimulatedClock(at("2026-11-23T08:00:00"))
        self.sink = FakeSink(max_records=3)
        self.store: Any = None

    async def start(self, digest: Digest | None = DAILY, **more: Any) -> Any:
        await self.stop()
        self.store = await open_store(self.path, clock=self.clock, writer=True)
        await self.store.attach([Start("siem")])
        return delivery(self.store, self.sink, self.clock, digest=digest, pace=Pace(DIGEST_S), **more)

    async def stop(self) -> None:
        if self.store is not None:
            await self.store.close()
            self.store = None

    async def happen(self, *which: int, type_of: str = "control.score_changed") -> None:
        made = [observed(event, iso(self.clock.now())) for event in events(which)]
        await add(self.store, [evolve(event, type=type_of) for event in made])

    async def backlog(self) -> int:
        return int((await self.store.stats()).sinks[0].backlog)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "state.db")


async def test_a_day_of_events_comes_in_one_digest_and_is_settled_after_it(bench: Bench) -> None:
    loop = await bench.start()
    await bench.happen(0)
    await bench.clock.advance(3600)
    await bench.happen(1, 2)
    assert (await loop.turn()).state == "idle"
    assert not await loop.has_more()
    assert await bench.backlog() == 3
    bench.sink.behave = lambda _: Receipt()  # asked, and nothing said: then nothing is settled
    await bench.clock.advance(21 * 3600 + 180)
    await bench.happen(3)
    await loop.turn()
    assert await bench.backlog() == 4
    bench.sink.behave = accept_all
    loop = await bench.start()  # killed before anything was settled
    assert (await drain(loop, 45)).sent == 3
    assert bench.sink.offered[0] == bench.sink.offered[1], "the same batch again, so the same mail"
    assert len(bench.sink.offered) == 2
    assert await bench.backlog() == 1, "what happened after the digest's time waits for the next"
    await bench.stop()


async def test_what_does_not_concern_the_sink_neither_waits_nor_cuts_a_digest_up(bench: Bench) -> None:
    """A tenant's inventory is hundreds of events a day; a digest of three events must not become three mails."""
    bench.sink.max_records = 10
    loop = await bench.start(wants=Filter(include=("control.score_changed",)))
    for number in range(0, 1600, 400):
        await bench.happen(*range(number, number + 400), type_of="control.observed")
        await bench.happen(5000 + number, type_of="control.score_changed")
    await loop.turn()
    assert await bench.backlog() == 4, "the others are settled at once"
    assert bench.sink.offered == []
    await bench.clock.advance(86400)
    assert (await drain(loop, 45)).sent == 4
    assert [len(batch) for batch in bench.sink.offered] == [4]
    await bench.stop()


async def test_a_digest_missed_while_down_comes_at_the_start(bench: Bench) -> None:
    await bench.start()
    await bench.happen(0, 1)
    await bench.stop()
    await bench.clock.advance(3 * 86400)
    loop = await bench.start()
    assert (await drain(loop, 45)).sent == 2
    await bench.stop()


async def test_more_than_one_batch_of_a_digest_comes_in_order_and_a_failure_waits(bench: Bench) -> None:
    loop = await bench.start()
    await bench.happen(*range(8))
    await bench.clock.advance(86400)
    failures = iter([True])

    def behave(records: Any) -> Receipt:
        if next(failures, False):
            raise Unavailable("busy", hint="wait")
        return accept_all(records)

    bench.sink.behave = behave
    assert (await loop.turn()).state == "unavailable"
    await bench.clock.advance(600)
    for _ in range(4):
        await loop.turn()
    assert bench.sink.got == [event.id for event in events(range(8))]
    await bench.stop()


async def test_what_an_operator_offers_again_waits_for_no_digest(bench: Bench) -> None:
    loop = await bench.start()
    await bench.happen(0)
    await bench.clock.advance(86400)
    await drain(loop, 45)
    await bench.happen(1)
    assert await bench.store.replay("siem", Query()) == 1
    assert (await drain(loop, 45)).sent == 1
    assert numbers(await bench.store.due("siem", 5)) == [1]
    await bench.stop()


async def test_a_warning_of_the_sink_is_told_until_a_batch_comes_without(bench: Bench) -> None:
    loop = await bench.start(None)
    bench.sink.behave = lambda records: evolve(accept_all(records), warning="refused: x@example.org (550 unknown)")
    await bench.happen(0)
    await loop.turn()
    assert (loop.health().state, loop.health().warning) == ("ok", "refused: x@example.org (550 unknown)")
    await loop.turn()
    assert loop.health().warning, "nothing was sent since"
    bench.sink.behave = accept_all
    await bench.happen(1)
    await loop.turn()
    assert loop.health().warning == ""
    await bench.stop()
