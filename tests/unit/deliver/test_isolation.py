"""One event that a sink chokes on must not hold up the others, and an outage must not pass for such an event."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise

import pytest

from connector.deliver.delivery import Delivery
from connector.deliver.isolation import PARK_AFTER
from connector.errors import Unavailable
from connector.model import Event, Receipt, Record, accept_all
from connector.stores.sqlite import SqliteStore
from tests.contract.store_contract import FABRIKAM, add, event, events
from tests.fake_graph import JumpClock
from tests.fakes.sink import FakeSink, delivery


def chokes_on(*poison: Event) -> Callable[[Sequence[Record]], Receipt]:
    """A receiver that drops the connection whenever one of these is in the batch."""
    ids = {e.id for e in poison}

    def behave(records: Sequence[Record]) -> Receipt:
        if ids.intersection(r.event_id for r in records):
            raise Unavailable("connection reset by peer")
        return accept_all(records)

    return behave


def leaves_out(*left: Event) -> Callable[[Sequence[Record]], Receipt]:
    ids = {e.id for e in left}
    return lambda records: Receipt(accepted=frozenset(r.event_id for r in records if r.event_id not in ids))


async def work(loop: Delivery, clock: JumpClock, seconds: float) -> None:
    """The loop's own life, in simulated time."""
    start = clock.now()
    while (clock.now() - start).total_seconds() < seconds:
        turn = await loop.turn()
        if turn.wait_s:
            await clock.sleep(turn.wait_s if turn.state != "idle" else 15)


@pytest.mark.parametrize("places", [[0], [137], [299], [3, 140, 141], list(range(40, 60))])
async def test_the_queue_moves_on_past_events_the_sink_chokes_on(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock, places: list[int]
) -> None:
    new = events(range(300))
    await add(store, new)
    poison = [new[n] for n in places]
    sink.behave = chokes_on(*poison)
    await work(loop, clock, 7200)
    assert sink.got == [e.id for e in new if e not in poison], "all others, in order"
    (stats,) = (await store.stats()).sinks
    assert (stats.backlog, stats.parked) == (len(poison), 0), "kept, and not parked without proof"


@pytest.mark.parametrize("outage_s", [0, 12 * 3600])
async def test_hundreds_of_such_events_in_a_row_are_passed_within_a_day(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock, outage_s: int
) -> None:
    new = events(range(310))
    await add(store, new)
    poison = new[:300]
    sink.behave = chokes_on(*new)
    await work(loop, clock, outage_s)
    sink.behave = chokes_on(*poison)
    good = [e.id for e in new if e not in poison]
    end = clock.now() + timedelta(days=1)
    while len(sink.got) < len(good) and clock.now() < end:
        await clock.sleep((await loop.turn()).wait_s)
    assert sink.got == good, "all others, in order"
    first = list(dict.fromkeys(i for batch in sink.offered for i in batch))
    assert first == [e.id for e in new], "and each was offered for the first time in its place"


async def test_the_search_for_one_that_is_taken_ends_its_turn_in_time(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    """A dead receiver that lets every try run into its time-out must not make the loop look stuck."""
    await add(store, events(range(200)))

    class Slow(FakeSink):
        async def send(self, records: Sequence[Record]) -> Receipt:
            await clock.sleep(20)
            raise Unavailable("timed out")

    loop = delivery(store, Slow(), clock)
    for _ in range(120):
        before = clock.now()
        turn = await loop.turn()
        assert (clock.now() - before).total_seconds() <= 80
        await clock.sleep(turn.wait_s)


async def test_the_search_ends_where_the_sink_wants_to_be_left_alone(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    await add(store, events(range(200)))
    first: list[str] = []

    def behave(records: Sequence[Record]) -> Receipt:
        first[:] = first or [records[0].event_id]
        wish = None if records[0].event_id == first[0] else 60.0
        raise Unavailable("busy", wish)

    sink.behave = behave
    for _ in range(100):
        before = len(sink.offered)
        turn = await loop.turn()
        assert len(sink.offered) - before <= 2, "one of its own, and at most one behind it"
        await clock.sleep(turn.wait_s)


async def test_it_is_reported_as_stuck_and_parked_when_others_keep_being_taken(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    poison = event(0)
    await add(store, [poison, event(1)])
    sink.behave = chokes_on(poison)
    reported = False
    for number in range(2, 80):
        await add(store, [event(number)])
        await work(loop, clock, 120)
        reported = reported or loop.health().stuck == (poison.id,)
        if await store.parked():
            break
        assert loop.health().state == "ok" or number < 5, "the sink itself is well"
    assert reported
    (parked,) = await store.parked()
    assert parked.event == poison
    assert "connection reset by peer" in parked.reason
    assert parked.attempts > PARK_AFTER
    assert loop.health().stuck == ()
    sink.behave = accept_all
    await store.unpark([poison.id], "siem", "retry")
    await work(loop, clock, 10)
    assert sink.got[-1] == poison.id


async def test_without_others_to_compare_with_it_is_tried_for_ever(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    poison = event(0)
    await add(store, [poison, event(1)])
    sink.behave = chokes_on(poison)
    await work(loop, clock, 6 * 3600)
    assert await store.parked() == []
    sink.behave = accept_all
    await work(loop, clock, 700)
    assert sink.got == [event(1).id, poison.id]


async def test_a_long_outage_is_no_poison(store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock) -> None:
    """Nothing is set aside or parked, and everything comes in order; batches grow again quickly."""
    new = events(range(300))
    await add(store, new)

    def down(_: Sequence[Record]) -> Receipt:
        raise Unavailable("connection refused")

    sink.behave = down
    await work(loop, clock, 6 * 3600)
    assert {len(batch) for batch in sink.offered[20:]} == {1}, "a dead sink is asked with one event at a time"
    sink.behave = accept_all
    before = len(sink.offered)
    await work(loop, clock, 400)
    assert sink.got == [e.id for e in new]
    assert await store.parked() == []
    assert len(sink.offered) - before < 20


async def test_a_flapping_sink_gets_everything_in_order(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    new = events(range(400))
    await add(store, new)

    def flaps(records: Sequence[Record]) -> Receipt:
        if len(sink.offered) % 5 != 4:
            raise Unavailable("503")
        return accept_all(records)

    sink.behave = flaps
    await work(loop, clock, 3600)
    assert sink.got == [e.id for e in new]


@pytest.mark.parametrize("failures", range(5, 45))
async def test_an_outage_that_ends_in_the_middle_of_a_search_sets_nothing_aside(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock, failures: int
) -> None:
    """What failed a moment ago is offered once more when one behind it is taken; only that one has overtaken."""
    new = events(range(60))
    await add(store, new)

    def over_soon(records: Sequence[Record]) -> Receipt:
        if len(sink.offered) <= failures:
            raise Unavailable("connection refused")
        return accept_all(records)

    sink.behave = over_soon
    for _ in range(60):
        await clock.sleep((await loop.turn()).wait_s)
        assert not loop._held
    assert sorted(sink.got) == sorted(e.id for e in new)
    order = {e.id: n for n, e in enumerate(new)}
    numbers = [order[e] for e in sink.got]
    assert sum(a > b for a, b in pairwise(numbers)) <= 1


async def test_events_are_offered_for_the_first_time_in_order_whatever_the_weather(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    new = events(range(100))
    await add(store, new)
    loop = delivery(store, sink, clock, max_records=1)

    def throttled(_: Sequence[Record]) -> Receipt:
        raise Unavailable("429", 5.0)

    def down(_: Sequence[Record]) -> Receipt:
        raise Unavailable("connection refused")

    for weather, turns in ((throttled, 15), (down, 8), (throttled, 5), (down, 12), (accept_all, 120)):
        sink.behave = weather
        for _ in range(turns):
            await loop.turn()
    first_offers = list(dict.fromkeys(i for batch in sink.offered for i in batch))
    assert first_offers == [e.id for e in new]


async def test_what_receipts_keep_leaving_out_is_set_aside_and_parked(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    left = events(range(3))
    sink.behave = leaves_out(*left)
    await add(store, left)
    for number in range(10, 100):
        await add(store, [event(number)])
        await work(loop, clock, 120)
    assert {p.event.id for p in await store.parked()} == {e.id for e in left}
    assert sink.got == [event(n).id for n in range(10, 100)]


async def test_a_tenant_whose_own_place_is_down_is_not_parked_for_others_being_taken(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    waiting = events(range(3), tenant=FABRIKAM)
    sink.behave = leaves_out(*waiting)
    await add(store, waiting, FABRIKAM)
    for number in range(10, 100):
        await add(store, [event(number)])
        await work(loop, clock, 120)
    assert not await store.parked()
    assert loop.health().stuck == ()
    sink.behave = accept_all
    await work(loop, clock, 1200)
    assert set(sink.got) == {e.id for e in waiting} | {event(n).id for n in range(10, 100)}


async def test_a_batch_that_was_taken_up_to_a_point_leaves_nothing_out(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    """Only an event that the sink skipped counts, not the rest of a batch it did not get to."""
    sink.behave = lambda records: accept_all(records[:2])
    new = events(range(50))
    await add(store, new)
    await work(loop, clock, 30)
    assert sink.got == [e.id for e in new]


async def test_the_operators_release_frees_what_was_set_aside(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    new = events(range(5))
    await add(store, new)
    sink.behave = chokes_on(new[0])
    await work(loop, clock, 600)
    assert loop._held
    await store.release("siem")
    await loop.turn()
    assert not loop._held
    assert (await loop.turn()).state == "idle"
