"""One customer's place at a sink that fails holds up no other customer, and an outage is not taken for such a place."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import pytest
from attrs import evolve

from connector.deliver.delivery import Delivery
from connector.deliver.isolation import PARK_AFTER
from connector.deliver.loop import drain, run
from connector.errors import Denied, Unavailable
from connector.model import Event, Receipt, Record, accept_all
from connector.stores.sqlite import SqliteStore
from tests.contract.store_contract import CONTOSO, FABRIKAM, add, events
from tests.fake_graph import JumpClock
from tests.fakes.sink import FakeSink, delivery

WOODGROVE = "44444444-4444-4444-4444-444444444444"
NAMES = {CONTOSO: "contoso", FABRIKAM: "fabrikam", WOODGROVE: "woodgrove"}
FAULTS = {
    "denied": Denied("403 from its rule", "grant the role"),
    "plain": Unavailable("connection reset by peer"),
    "wish": Unavailable("429 from its rule", 120.0),
}


@pytest.fixture
def loop(store: SqliteStore, sink: FakeSink, clock: JumpClock) -> Delivery:
    """Every tenant but WOODGROVE has a place of its own."""
    return delivery(store, sink, clock, with_own_place=frozenset({CONTOSO, FABRIKAM}))


def places(**faults: Exception) -> Callable[[Sequence[Record]], Receipt]:
    """A sink whose places fail by tenant name; raises when nothing at all was taken, as routed sinks do."""

    def behave(records: Sequence[Record]) -> Receipt:
        taken = frozenset(r.event_id for r in records if (r.tenant or "") not in faults)
        if not taken:
            raise faults[records[0].tenant or ""]
        return Receipt(accepted=taken)

    return behave


def of(tenant: str, numbers: Iterable[int]) -> list[Event]:
    """Events of a tenant with a name of its own."""
    named = {"id": tenant, "name": NAMES[tenant], "labels": {}}
    return [evolve(e, data={**e.data, "tenant": named}) for e in events(numbers, tenant=tenant)]


def test_a_tenants_own_queue_is_the_sinks_with_a_memory_of_its_own(loop: Delivery) -> None:
    loop.attempt, loop.delivered = 3, {"change": 7}
    own = loop.of_tenant(CONTOSO)
    assert (own.sink, own.mapping, own.wants, own.max_records) == (
        loop.sink,
        loop.mapping,
        loop.wants,
        loop.max_records,
    )
    assert (own.tenant_id, own.attempt, own.last, own.delivered) == (CONTOSO, 0, None, {})
    assert own.with_own_place == frozenset(), "it has nobody beside it"


async def turns(loop: Delivery, clock: JumpClock, count: int) -> None:
    for _ in range(count):
        turn = await loop.turn()
        await clock.sleep(turn.wait_s)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_place_that_fails_holds_up_no_other_tenant(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock, fault: Exception
) -> None:
    ours, theirs = of(CONTOSO, range(1200)), of(FABRIKAM, range(5))
    await add(store, ours)
    await add(store, theirs, FABRIKAM)
    sink.behave = places(contoso=fault)
    first = await loop.turn()
    assert (first.state, first.sent, first.wait_s) == ("ok", 5, 0.0), "at once, in the very turn that failed"
    assert sink.got == [e.id for e in theirs]
    await turns(loop, clock, 20)
    assert sink.got == [e.id for e in theirs]
    health = loop.health()
    assert health.state == ("denied" if isinstance(fault, Denied) else "unavailable")
    assert health.error.startswith("tenant contoso: "), "said is whose place it is"
    sink.behave = accept_all
    await turns(loop, clock, 60)
    assert sink.got == [e.id for e in (*theirs, *ours)], "when it heals everything comes, in order"
    assert loop.health().state == "ok"
    assert [(await loop.turn()).state for _ in range(3)] == ["idle"] * 3, "and it goes with the others again"
    assert loop.delivered == {"change": 1205}


async def test_a_place_that_fails_is_not_asked_in_a_loop(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    await add(store, of(CONTOSO, range(200)))
    await add(store, of(FABRIKAM, [1]), FABRIKAM)
    sink.behave = places(contoso=FAULTS["plain"])
    start = clock.now()
    while (clock.now() - start).total_seconds() < 3600:
        turn = await loop.turn()
        await clock.sleep(turn.wait_s)
    assert len(sink.offered) < 120


async def test_an_outage_is_no_matter_of_places(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    ours, theirs = of(CONTOSO, range(150)), of(FABRIKAM, range(150))
    await add(store, ours)
    await add(store, theirs, FABRIKAM)
    sink.behave = places(contoso=FAULTS["plain"], fabrikam=FAULTS["plain"])
    for _ in range(12):
        turn = await loop.turn()
        assert turn.state == "unavailable"
        await clock.sleep(turn.wait_s)
    assert loop.health().error == "connection reset by peer"
    sink.behave = accept_all
    await turns(loop, clock, 30)
    assert sink.got == [e.id for e in (*ours, *theirs)], "in commit order, as ever"


async def test_several_failing_places_in_front(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    await add(store, of(CONTOSO, range(150)))
    await add(store, of(FABRIKAM, range(150)), FABRIKAM)
    healthy = of(WOODGROVE, range(3))
    await add(store, healthy, WOODGROVE)
    sink.behave = places(contoso=FAULTS["denied"], fabrikam=FAULTS["plain"])
    await loop.turn()
    assert sink.got == [e.id for e in healthy]
    health = loop.health()
    assert health.state == "unavailable", "time may mend one of them"
    assert health.error == "tenants contoso, fabrikam: 403 from its rule"


async def test_a_tenant_that_receipts_leave_out_goes_its_own_way(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    ours, theirs = of(CONTOSO, range(10)), of(FABRIKAM, range(10))
    await add(store, ours)
    await add(store, theirs, FABRIKAM)

    def behave(records: Sequence[Record]) -> Receipt:
        taken = frozenset(r.event_id for r in records if r.tenant == "fabrikam")
        if not taken:
            raise FAULTS["wish"]
        return Receipt(accepted=taken, retry_after_s=120.0)

    sink.behave = behave
    turn = await loop.turn()
    assert (turn.sent, turn.wait_s) == (10, 0.0), "the wish was that of contoso's place"
    more = of(FABRIKAM, range(10, 20))
    await add(store, more, FABRIKAM)
    await loop.turn()
    assert sink.got == [e.id for e in (*theirs, *more)]


async def test_a_poisoned_event_is_parked_on_its_tenants_own_way(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    ours = of(CONTOSO, range(150))
    await add(store, ours)
    await add(store, of(FABRIKAM, [1]), FABRIKAM)

    def behave(records: Sequence[Record]) -> Receipt:
        if ours[3].id in {r.event_id for r in records}:
            raise FAULTS["plain"]
        return accept_all(records)

    sink.behave = behave
    number = 150
    for _ in range(40 * PARK_AFTER):
        turn = await loop.turn()
        await clock.sleep(max(turn.wait_s, 30.0))
        if await store.parked():
            break
        await add(store, of(CONTOSO, [number]))
        number += 1
    (parked,) = await store.parked()
    assert parked.event.id == ours[3].id


async def test_once_delivers_the_others_and_says_whose_place_fails(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    await add(store, of(CONTOSO, range(150)))
    theirs = of(FABRIKAM, range(150))
    await add(store, theirs, FABRIKAM)
    sink.behave = places(contoso=FAULTS["denied"])
    outcome = await drain(loop, 45.0)
    assert (outcome.state, outcome.sent) == ("denied", 150)
    assert outcome.error == "tenant contoso: 403 from its rule"
    assert outcome.hint == "grant the role"


async def test_once_empties_a_place_that_recovered_beside_one_that_did_not(
    store: SqliteStore, sink: FakeSink, loop: Delivery, clock: JumpClock
) -> None:
    await add(store, of(CONTOSO, range(150)))
    theirs = of(FABRIKAM, range(450))
    await add(store, theirs, FABRIKAM)
    await add(store, of(WOODGROVE, [1]), WOODGROVE)
    sink.behave = places(contoso=FAULTS["denied"], fabrikam=FAULTS["plain"])
    await loop.turn()
    sink.behave = places(contoso=FAULTS["denied"])
    outcome = await drain(loop, 45.0)
    assert (outcome.state, outcome.sent) == ("denied", 450)
    assert sink.got[1:] == [e.id for e in theirs]


async def test_a_commit_for_another_tenant_does_not_wait_for_the_failing_place(
    store: SqliteStore, sink: FakeSink, clock: JumpClock
) -> None:
    class Patient:
        """Time that stands still: what is to happen must be woken."""

        now = clock.now

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(3600 if seconds > 1 else 0)

    loop = delivery(store, sink, Patient(), with_own_place=frozenset({CONTOSO, FABRIKAM}))
    await add(store, of(CONTOSO, range(150)))
    await add(store, of(FABRIKAM, [1]), FABRIKAM)
    sink.behave = places(contoso=FAULTS["denied"])
    stop, wake = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(run(loop, stop, wake))

    async def took(count: int) -> None:
        while len(sink.got) < count:
            await asyncio.sleep(0.01)

    try:
        async with asyncio.timeout(30):
            await took(1)
            await asyncio.sleep(0.1)
            await add(store, of(FABRIKAM, [2]), FABRIKAM)
            wake.set()
            await took(2)
    finally:
        stop.set()
        wake.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
