"""The delivery loop over a real store: batches, receipts, back-off, filters, the replay window, start and stop."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve

from connector.clock import iso
from connector.config.values import TenantConfig
from connector.deliver.batch import Filter
from connector.deliver.delivery import BACKOFF_CAP_S, HOLD_S, Delivery
from connector.deliver.isolation import PAGE
from connector.deliver.loop import drain
from connector.deliver.loop import run as deliver
from connector.errors import Denied, MappingError, StoreError, Unavailable
from connector.health.state_watch import StateWatch
from connector.model import Event, Receipt, Record, accept_all
from connector.ports import Query, Settlement
from connector.stores.sqlite import SqliteStore
from tests.contract.store_contract import AZURE, CONTOSO, FABRIKAM, add, event, events, unit
from tests.fake_graph import JumpClock
from tests.fakes.sink import FakeSink, delivery


def ids(found: Sequence[Event]) -> list[str]:
    return [e.id for e in found]


def unavailable(_: Sequence[Record]) -> Receipt:
    raise Unavailable("connection refused", hint="start it")


def denied(_: Sequence[Record]) -> Receipt:
    raise Denied("403", "grant it")


async def backlog(store: SqliteStore) -> tuple[int, int]:
    """(events to take, parked) of the one sink."""
    (stats,) = (await store.stats()).sinks
    return stats.backlog, stats.parked


# ------------------------------------------------------------------------------------------------------------- batches


async def test_batches_by_count_in_commit_order(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    new = events(range(250))
    await add(store, new)
    outcome = await drain(loop, 1000)
    assert (outcome.state, outcome.sent) == ("ok", 250)
    assert [len(batch) for batch in sink.offered] == [100, 100, 50]
    assert sink.got == ids(new)


async def test_batches_by_octets_of_utf8_and_a_larger_event_goes_alone(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    new = [event(n, text="x" * (9_000 if n == 3 else 1_000)) for n in range(6)]
    await add(store, new)
    loop = delivery(store, sink, clock, max_bytes=5_000)
    await drain(loop, 10)
    assert [len(batch) for batch in sink.offered] == [3, 1, 2]
    assert sink.got == ids(new)


async def test_little_more_is_read_for_a_batch_than_fits_into_its_octets(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    new = [event(n, text="x" * (50 if 100 <= n < 200 else 1_000)) for n in range(400)]
    await add(store, new)
    read: list[int] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        async def due(self, *given: Any, **more: Any) -> Any:
            found = await store.due(*given, **more)
            read.append(len(found))
            return found

    await drain(delivery(Counted(), sink, clock, max_bytes=20_000), 1000)
    assert sink.got == ids(new)
    assert sum(read) < 2 * len(new)  # what did not fit is read anew
    sizes = [len(batch) for batch in sink.offered]
    assert max(sizes) > 2 * sizes[0]  # and where events are small again, more of them are read
    assert len(sizes) < 40


async def test_what_does_not_concern_a_sink_is_passed_over_in_large_steps(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    await add(store, events(range(3 * PAGE), type="control.observed"))
    wanted = events(range(3), type="score.changed")
    await add(store, wanted)
    loop = delivery(store, sink, clock, wants=Filter(streams=frozenset({"change"})))
    turns = 0
    while (await loop.turn()).state == "ok":
        turns += 1
    assert turns < 10
    assert sink.got == ids(wanted)
    assert await backlog(store) == (0, 0)


async def test_one_tenant_may_be_delivered_alone(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    await add(store, events(range(3)))
    theirs = events(range(3), tenant=FABRIKAM)
    await add(store, theirs, FABRIKAM)
    alone = loop.of_tenant(FABRIKAM)
    while (await alone.turn()).state == "ok":
        pass
    assert sink.got == ids(theirs)
    assert await backlog(store) == (3, 0)


# ------------------------------------------------------------------------------------------------------------ receipts


async def test_nothing_is_settled_before_the_sink_has_answered(
    store: SqliteStore, sink: FakeSink, loop: Delivery
) -> None:
    """The task is cut while the sink has the batch: all of it is due again."""
    await add(store, events(range(3)))
    entered = asyncio.Event()

    class Slow(FakeSink):
        async def send(self, records: Sequence[Record]) -> Receipt:
            entered.set()
            await asyncio.sleep(3600)
            return accept_all(records)

    loop.sink = Slow()
    task = asyncio.create_task(loop.turn())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await backlog(store) == (3, 0)
    assert [row["attempts"] for row in await store.trace(event(0).id)] == [0]


async def test_unmentioned_events_come_again_and_accepted_ones_do_not(
    store: SqliteStore, sink: FakeSink, loop: Delivery
) -> None:
    new = events(range(4))
    await add(store, new)
    sink.behave = lambda _: Receipt(accepted=frozenset({new[1].id, "of-no-batch"}))
    await loop.turn()
    sink.behave = accept_all
    await drain(loop, 10)
    assert sink.offered[1] == ids([new[0], new[2], new[3]])
    assert sorted(sink.got) == sorted(ids(new))


async def test_a_rejected_event_is_parked_with_the_sinks_words_and_the_queue_moves_on(
    store: SqliteStore, sink: FakeSink, loop: Delivery
) -> None:
    new = events(range(3))
    await add(store, new)
    words = "422: field `x` | too long\n"
    sink.behave = lambda records: Receipt(
        accepted=frozenset(r.event_id for r in records[1:]), rejected={records[0].event_id: words}
    )
    outcome = await loop.turn()
    assert (outcome.state, outcome.sent, outcome.parked) == ("ok", 2, 1)
    assert [(p.event.id, p.reason) for p in await store.parked()] == [(new[0].id, words)]
    assert (await loop.turn()).state == "idle"


async def test_an_event_both_accepted_and_rejected_is_parked(
    store: SqliteStore, sink: FakeSink, loop: Delivery
) -> None:
    new = events([1])
    await add(store, new)
    sink.behave = lambda records: Receipt(accepted=frozenset(ids(new)), rejected={new[0].id: "no"})
    outcome = await loop.turn()
    assert (outcome.sent, outcome.parked) == (0, 1)
    assert await backlog(store) == (0, 1)


async def test_a_receipt_that_says_nothing_is_a_failure(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    await add(store, events([1]))
    sink.behave = lambda _: Receipt()
    outcome = await loop.turn()
    assert outcome.state == "unavailable"
    assert outcome.wait_s >= 0
    assert await backlog(store) == (1, 0)


async def test_a_retried_event_comes_behind_first_deliveries(
    store: SqliteStore, sink: FakeSink, loop: Delivery
) -> None:
    first = events(range(2))
    await add(store, first)
    sink.behave = lambda records: Receipt(rejected={r.event_id: "no" for r in records})
    await loop.turn()
    await store.unpark([], None, "retry")
    more = events(range(10, 13))
    await add(store, more)
    sink.behave = accept_all
    await drain(loop, 10)
    assert sink.got == ids(more) + ids(first)


# ----------------------------------------------------------------------------------------------- what is not the sink's


class Mapping:
    """A mapping that fails for event 1, in a foreseen or an unforeseen way."""

    name = "own"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def render(self, given: Event) -> Record:
        if given.data["number"] == 1:
            raise self.error
        return Record(given.id, given.stream, "contoso", given.time, 1, {"id": given.id})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MappingError("mapping 'own', event …: cs1 is no text"), "cs1 is no text"),
        (KeyError("bug"), "mapping own: KeyError"),
    ],
)
async def test_what_cannot_be_rendered_is_parked_for_this_sink(
    store: SqliteStore, sink: FakeSink, clock: JumpClock, error: Exception, words: str
) -> None:
    new = events(range(3))
    await add(store, new)
    loop = delivery(store, sink, clock, mapping=Mapping(error))
    outcome = await drain(loop, 10)
    assert (outcome.state, outcome.sent, outcome.parked) == ("ok", 2, 1)
    (parked,) = await store.parked()
    assert parked.event.id == new[1].id
    assert words in parked.reason


async def test_an_event_that_breaks_the_filter_is_parked(store: SqliteStore, sink: FakeSink, clock: JumpClock) -> None:
    new = events(range(2))
    await add(store, [event(9, severity="high"), *new])
    loop = delivery(store, sink, clock, wants=Filter(min_severity=1))
    await drain(loop, 10)
    assert sink.got == ids(new)
    assert await backlog(store) == (0, 1)


async def test_a_bug_inside_the_sink_settles_nothing_and_is_logged_with_its_traceback(
    store: SqliteStore, sink: FakeSink, loop: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    await add(store, events(range(2)))

    def bug(_: Sequence[Record]) -> Receipt:
        raise ZeroDivisionError

    sink.behave = bug
    outcome = await loop.turn()
    assert (outcome.state, outcome.sent) == ("unavailable", 0)
    assert "ZeroDivisionError" in str(outcome.error)
    assert "Traceback" in caplog.text
    assert await backlog(store) == (2, 0)


async def test_a_sink_that_never_answers_is_cut(store: SqliteStore, clock: JumpClock) -> None:
    class Silent(FakeSink):
        async def send(self, records: Sequence[Record]) -> Receipt:
            await asyncio.Event().wait()
            return accept_all(records)

    await add(store, events([1]))
    outcome = await delivery(store, Silent(), clock, send_limit_s=0.05).turn()
    assert outcome.state == "unavailable"
    assert "no answer" in str(outcome.error)


async def test_a_failing_store_is_raised(store: SqliteStore, sink: FakeSink, clock: JumpClock) -> None:
    class Full:
        def __init__(self, inner: SqliteStore) -> None:
            self.due = inner.due

        async def settle(self, sink: str, settlement: Settlement) -> None:
            raise StoreError("no space left", "free some")

    await add(store, events([1]))
    with pytest.raises(StoreError, match="no space"):
        await delivery(Full(store), sink, clock).turn()
    assert len(sink.got) == 1
    assert await backlog(store) == (1, 0), "sent but not settled: comes again"


async def test_a_position_that_never_moves_is_an_alarm_and_no_flood(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    class Stuck:
        def __init__(self, inner: SqliteStore) -> None:
            self.due = inner.due

        async def settle(self, sink: str, settlement: Settlement) -> None: ...

    await add(store, events([1]))
    loop = delivery(Stuck(store), sink, clock)
    assert (await loop.turn()).state == "ok"
    for _ in range(5):
        outcome = await loop.turn()
        assert outcome.state == "unavailable"
        assert "position does not move" in str(outcome.error)
    assert len(sink.offered) == 1
    assert loop.health().state == "unavailable"


# ------------------------------------------------------------------------------------------------------------ back-off


async def test_back_off_grows_to_its_cap_and_never_gives_up(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    await add(store, events([1]))
    sink.behave = unavailable
    waits = [(await loop.turn()).wait_s for _ in range(300)]
    assert max(waits[:3]) <= 8
    assert max(waits) <= BACKOFF_CAP_S
    assert max(waits[20:]) > BACKOFF_CAP_S / 2
    sink.behave = accept_all
    assert (await loop.turn()).sent == 1


@pytest.mark.parametrize(("wish_s", "wait_s"), [(400.0, 400.0), (899.0, 899.0), (86_400.0, 900.0)])
async def test_the_servers_wish_is_the_least_wait_and_a_quarter_of_an_hour_the_most_it_may_wish(
    store: SqliteStore, sink: FakeSink, loop: Delivery, wish_s: float, wait_s: float
) -> None:
    await add(store, events([1]))

    def throttled(_: Sequence[Record]) -> Receipt:
        raise Unavailable("429", wish_s)

    sink.behave = throttled
    for _ in range(20):
        assert (await loop.turn()).wait_s == wait_s


async def test_the_servers_wish_counts_where_it_took_only_a_part(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    new = events(range(3))
    await add(store, new)
    sink.behave = lambda records: Receipt(frozenset({records[0].event_id}), {}, 40.0)
    outcome = await loop.turn()
    assert (outcome.state, outcome.sent, outcome.wait_s) == ("ok", 1, 40.0)
    assert loop.health().state == "ok"
    before = clock.now()
    outcome = await drain(loop, 45)
    assert (outcome.state, outcome.sent) == ("unavailable", 2), "the first wish fits into the time left, no other"
    assert (clock.now() - before).total_seconds() == 40
    assert sink.got == ids(new)


async def test_a_denied_sink_is_tried_again_slowly_for_ever(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    await add(store, events([1]))
    sink.behave = denied
    for _ in range(50):
        outcome = await loop.turn()
        assert outcome.state == "denied"
        assert (outcome.error, outcome.hint) == ("403", "grant it")
        assert HOLD_S / 2 <= outcome.wait_s <= HOLD_S
    sink.behave = accept_all
    assert (await loop.turn()).sent == 1
    assert loop.health().state == "ok"


# ------------------------------------------------------------------------------------------------------------- filters


LABELLED = {"tenant": {"id": CONTOSO, "name": "contoso", "labels": {"customer": "acme"}}}


@pytest.mark.parametrize(
    ("wants", "fields", "taken"),
    [
        (Filter(), {}, True),
        (Filter(streams=frozenset({"score"})), {}, False),
        (Filter(backfilled=False), {"backfilled": True}, False),
        (Filter(backfilled=False), {}, True),
        (Filter(min_severity=4), {}, False),
        (Filter(min_severity=3), {}, True),
        (Filter(min_severity=9), {"type": "feed.stale"}, True),  # health always concerns whoever watches
        (Filter(include=("control.*",)), {}, True),
        (Filter(include=("score.*",)), {}, False),
        (Filter(exclude=("control.*",)), {}, False),
        (Filter(include=("control.*",), exclude=("*.score_changed",)), {}, False),
        (Filter(tenants=("cont*",)), {}, True),
        (Filter(tenants=("fab*",)), {}, False),
        (Filter(tenants=("customer=ac*",)), LABELLED, True),
        (Filter(tenants=("customer=other", "fab*")), LABELLED, False),
        (Filter(tenants=("fab*",)), {"tenant": None, "type": "connector.problem"}, True),
    ],
)
def test_filters(wants: Filter, fields: dict[str, Any], taken: bool) -> None:
    given = event(1, **{k: v for k, v in fields.items() if fields is not LABELLED})
    if fields is LABELLED:
        given = evolve(given, data={**given.data, **LABELLED})
    assert wants.wants(given) is taken


def test_a_form_for_the_score_of_a_tenant_alone_gets_nothing_of_its_units() -> None:
    own = event(1, type="score.changed")
    of_unit = evolve(
        own, data={**own.data, "unit": {"kind": "subscription", "id": "s", "name": None, "score": "ascScore"}}
    )
    assert [Filter(units=units).wants(each) for units in (True, False) for each in (own, of_unit)] == [
        True,
        True,
        True,
        False,
    ]


RENAMED = {CONTOSO: TenantConfig("acme-eu", CONTOSO, labels={"customer": "acme"})}


@pytest.mark.parametrize(
    ("tenants", "taken"), [(("acme-*",), True), (("customer=acme",), True), (("contoso",), False), ((), True)]
)
async def test_a_tenant_is_who_the_configuration_says_it_is_now(
    tenants: tuple[str, ...], taken: bool, store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    """Events that waited while it was renamed go where it goes now: to its sinks, and there to its own place."""
    places: list[str] = []

    def behave(records: Sequence[Record]) -> Receipt:
        places.extend(record.tenant for record in records)
        return accept_all(records)

    sink.behave = behave
    loop = delivery(store, sink, clock, wants=Filter(tenants=tenants, configured=RENAMED))
    await add(store, [event(1)])
    assert (await loop.turn()).sent == int(taken)
    assert places == ["acme-eu"] * taken


async def test_each_entry_of_a_tenant_is_who_the_configuration_says_it_is() -> None:
    entries = {
        CONTOSO: TenantConfig("contoso", CONTOSO),
        AZURE: TenantConfig("cloud", CONTOSO, source="defender_cloud"),
    }
    wants = Filter(tenants=("cloud",), configured=entries)
    assert [wants.wants(each) for each in (event(1), event(2, unit=unit("s")))] == [False, True]


# ------------------------------------------------------------------------------------------------------- replay window


async def test_after_an_outage_what_was_settled_shortly_before_comes_again(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    """The receiver died a second after it took a batch; that shows an hour later, with the next one.

    What it lost arrives before what it has not seen yet.
    """
    sink.replay_window_s = 60.0
    old, doubtful, new = events(range(3)), events(range(10, 13)), events(range(20, 23))
    await add(store, old)
    await drain(loop, 1)
    await clock.sleep(600)
    await add(store, doubtful)
    await drain(loop, 1)
    await clock.sleep(3600)
    await add(store, new)
    sink.behave = unavailable
    for _ in range(4):
        await loop.turn()
    sink.behave = accept_all
    await drain(loop, 600)
    assert sink.got == ids(old) + ids(doubtful) + ids(doubtful) + ids(new)


async def test_without_a_window_nothing_comes_twice(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    await add(store, events(range(3)))
    await drain(loop, 1)
    await add(store, events(range(10, 13)))
    sink.behave = unavailable
    await loop.turn()
    sink.behave = accept_all
    await drain(loop, 600)
    assert len(sink.got) == 6


async def test_a_second_outage_right_after_the_first_replays_again(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    sink.replay_window_s = 60.0
    parts = [events(range(start, start + 2)) for start in (0, 10, 20)]
    for part in parts:
        await add(store, part)
        sink.behave = unavailable
        await loop.turn()
        sink.behave = accept_all
        await drain(loop, 600)
    assert list(dict.fromkeys(sink.got)) == [e.id for part in parts for e in part]
    assert sink.got.count(parts[1][0].id) == 2


# ------------------------------------------------------------------------------------------------------ start and stop


async def run(loop: Delivery, stop: asyncio.Event, wake: asyncio.Event) -> None:
    await asyncio.wait_for(deliver(loop, stop, wake, StateWatch(loop.clock)), 60)


async def test_a_commit_wakes_an_idle_sink_at_once(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    class Idle(JumpClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()  # nobody but a commit ends this wait

    loop.clock = Idle()
    stop, wake = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run(loop, stop, wake))
    await asyncio.sleep(0.05)
    for number in range(3):
        await add(store, [event(number)])
        wake.set()
        async with asyncio.timeout(30):
            while len(sink.got) <= number:
                await asyncio.sleep(0.01)
    stop.set()
    await task


async def test_a_commit_while_a_sink_looks_is_not_slept_through(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    stop, wake = asyncio.Event(), asyncio.Event()

    class Late:
        """Finds nothing; then, before that is heard, something is committed."""

        def __init__(self) -> None:
            self.settle = store.settle

        async def due(self, *given: Any, **more: Any) -> Any:
            found = await store.due(*given, **more)
            if not found and not sink.got:
                await add(store, [event(1)])
                wake.set()
            return found

    class Idle(JumpClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    task = asyncio.create_task(run(delivery(Late(), sink, Idle()), stop, wake))
    async with asyncio.timeout(30):
        while not sink.got:
            await asyncio.sleep(0.01)
    stop.set()
    await task


async def test_stop_offers_what_is_due(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    await add(store, events(range(1000)))
    stop = asyncio.Event()
    stop.set()
    await run(loop, stop, asyncio.Event())
    assert len(sink.got) == 1000


async def test_stop_while_the_sink_is_down_keeps_everything(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    new = events(range(10))
    await add(store, new)
    sink.behave = unavailable
    stop = asyncio.Event()
    stop.set()
    await run(loop, stop, asyncio.Event())
    assert len(sink.offered) == 1
    assert await backlog(store) == (10, 0)


async def test_stop_ends_a_long_back_off(store: SqliteStore, sink: FakeSink, loop: Delivery) -> None:
    class Real(JumpClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    def tomorrow(_: Sequence[Record]) -> Receipt:
        raise Unavailable("429", 86_400.0)

    await add(store, events([1]))
    sink.behave, loop.clock = tomorrow, Real()
    stop = asyncio.Event()
    task = asyncio.create_task(run(loop, stop, asyncio.Event()))
    while not sink.offered:
        await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(task, 30)


async def test_a_bug_of_the_loop_itself_stops_this_sink_for_a_while_only(
    store: SqliteStore, sink: FakeSink, clock: JumpClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Buggy:
        def __init__(self, inner: SqliteStore) -> None:
            self.settle = inner.settle
            self.inner, self.calls = inner, 0

        async def due(self, *given: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls < 4:
                raise RuntimeError("bug")
            return await self.inner.due(*given, **more)

    await add(store, events([1]))
    loop = delivery(Buggy(store), sink, clock)
    stop = asyncio.Event()
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(run(loop, stop, asyncio.Event()))
        while not sink.got:
            await asyncio.sleep(0.01)
    stop.set()
    await task
    assert "RuntimeError: bug" in caplog.text


async def test_drain_ends_at_its_deadline_and_before_a_longer_wish(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    await add(store, events([1]))
    sink.behave = unavailable
    before = clock.now()
    outcome = await drain(loop, 45)
    assert outcome.state == "unavailable"
    assert (clock.now() - before).total_seconds() <= 45
    assert len(sink.offered) > 3

    def throttled(_: Sequence[Record]) -> Receipt:
        raise Unavailable("429", 100.0)

    sink.behave, before = throttled, clock.now()
    assert (await drain(loop, 45)).state == "unavailable"
    assert clock.now() == before
    sink.behave, offered = denied, len(sink.offered)
    assert (await drain(loop, 45)).state == "unavailable"
    assert len(sink.offered) == offered, "the wish stands in the next drain, too"
    await clock.sleep(400)
    assert (await drain(loop, 45)).state == "denied", "until it is over"


async def test_delivered_events_are_counted_by_stream_for_the_heartbeat(store: SqliteStore, loop: Delivery) -> None:
    await add(store, [*events(range(3)), *events(range(2), type="feed.gap")])
    await drain(loop, 1)
    assert loop.delivered == {"change": 3, "health": 2}


async def test_the_trace_tells_first_sent_attempts_and_settled(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    new = event(1)
    await add(store, [new])
    first = iso(clock.now())
    sink.behave = unavailable
    await loop.turn()
    await clock.sleep(60)
    sink.behave = accept_all
    await loop.turn()
    (row,) = await store.trace(new.id)
    assert row == {
        "sink": "siem", "state": "accepted", "first_sent": first, "attempts": 2,
        "settled": iso(clock.now()), "reason": None,
    }  # fmt: skip
    assert [e.id for e in await store.history(Query(ids=(new.id,)))] == [new.id]
