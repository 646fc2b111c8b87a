"""One customer's place at a sink that fails holds up no other customer, and an outage is not taken for such a place."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest
from attrs import define, evolve, field

from connector.deliver import lanes
from connector.deliver.delivery import HOLD_S, Delivery
from connector.deliver.isolation import PARK_AFTER
from connector.deliver.loop import OUT_OF_TIME, drain, run
from connector.errors import Denied, StoreError, Unavailable
from connector.health.state_watch import StateWatch
from connector.model import Event, Receipt, Record, accept_all
from connector.ports import Query, Settlement, Start
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import AZURE, CONTOSO, FABRIKAM, add, events, unit
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery
from tests.fakes.virtual_time import LoopClock, virtually

WOODGROVE = "44444444-4444-4444-4444-444444444444"
NAMES = {CONTOSO: "contoso", FABRIKAM: "fabrikam", WOODGROVE: "woodgrove"}
FAULTS = {
    "denied": Denied("403 from its rule", "grant the role"),
    "plain": Unavailable("connection reset by peer"),
    "wish": Unavailable("429 from its rule", 120.0),
}
HANG_S = 30.0


def tenant(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000000"


def of(tenant_id: str, numbers: Iterable[int]) -> list[Event]:
    """Events of a tenant with a name of its own."""
    named = {"id": tenant_id, "name": NAMES.get(tenant_id, tenant_id), "labels": {}}
    return [evolve(e, data={**e.data, "tenant": named}) for e in events(numbers, tenant=tenant_id)]


def ids(found: Iterable[Event]) -> list[str]:
    return [e.id for e in found]


def places(**faults: Exception) -> Callable[[Sequence[Record]], Receipt]:
    """A sink whose places fail by tenant name; raises when nothing at all was taken, as routed sinks do."""

    def behave(records: Sequence[Record]) -> Receipt:
        taken = frozenset(r.event_id for r in records if (r.tenant or "") not in faults)
        if not taken:
            raise faults[records[0].tenant or ""]
        return Receipt(accepted=taken)

    return behave


@define
class Timed(FakeSink):
    """Takes a second a batch, and HANG_S more for each tenant in it whose place hangs. `at` is when each was taken."""

    hung: set[str] = field(factory=set)
    at: dict[str, float] = field(factory=dict)
    sending: int = 0
    most: int = 0

    async def send(self, records: Sequence[Record]) -> Receipt:
        hung = {r.tenant for r in records} & self.hung
        self.sending += 1
        self.most = max(self.most, self.sending)
        try:
            await asyncio.sleep(HANG_S * len(hung) + (1.0 if any(r.tenant not in hung for r in records) else 0.0))
        finally:
            self.sending -= 1
        if hung and all(r.tenant in hung for r in records):
            self.offered.append([r.event_id for r in records])
            raise Unavailable("no answer")
        receipt = await FakeSink.send(self, [r for r in records if r.tenant not in hung])
        self.at.update(dict.fromkeys(receipt.accepted, asyncio.get_running_loop().time()))
        return receipt


@define
class Bench:
    """A store, a sink in memory, and the loop between them at work."""

    store: SqliteStore
    sink: Timed
    loop: Delivery
    stop: asyncio.Event = field(factory=asyncio.Event)
    wake: asyncio.Event = field(factory=asyncio.Event)

    async def commit(self, tenant_id: str, numbers: Iterable[int]) -> list[Event]:
        new = of(tenant_id, numbers)
        await add(self.store, new, tenant_id)
        self.wake.set()
        return new

    async def backlog(self) -> int:
        (stats,) = (await self.store.stats()).sinks
        return stats.backlog


@asynccontextmanager
async def bench(own: Iterable[str] = (CONTOSO, FABRIKAM), **fields: int) -> AsyncIterator[Bench]:
    """Nothing is at work yet."""
    with quick_folder() as folder:
        store = await open_store(folder / "state.db", clock=LoopClock())
        await store.attach([Start("siem")])
        sink = Timed(**fields)  # type: ignore[arg-type]
        yield Bench(store, sink, delivery(store, sink, LoopClock(), with_own_place=frozenset(own)))
        await store.close()


@asynccontextmanager
async def at_work(found: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(run(found.loop, found.stop, found.wake, StateWatch(found.loop.clock)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_tenants_own_queue_is_the_sinks_with_a_memory_of_its_own() -> None:
    async def scenario() -> None:
        async with bench() as b:
            loop = b.loop
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

    virtually(scenario())


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_place_that_fails_holds_up_no_other_tenant(fault: Exception) -> None:
    async def scenario() -> None:
        async with bench() as b:
            ours, theirs = await b.commit(CONTOSO, range(1200)), await b.commit(FABRIKAM, range(5))
            b.sink.behave = places(contoso=fault)
            async with at_work(b):
                await asyncio.sleep(5)
                assert b.sink.got == ids(theirs)
                await asyncio.sleep(600)
                assert b.sink.got == ids(theirs)
                health = b.loop.health()
                assert health.state == ("denied" if isinstance(fault, Denied) else "unavailable")
                assert health.error.startswith("tenant contoso: "), "said is whose place it is"
                b.sink.behave = accept_all
                await asyncio.sleep(HOLD_S + 30)
                assert b.sink.got == ids([*theirs, *ours]), "when it heals everything comes, in order"
                assert b.loop.health().state == "ok"
                assert not b.loop.apart, "and it goes with the others again"
            assert b.loop.delivered == {"change": 1205}

    virtually(scenario())


def test_a_failing_place_of_one_entry_holds_up_no_other_entry_of_its_tenant() -> None:
    async def scenario() -> None:
        async with bench(own=(AZURE,)) as b:
            named = {"id": CONTOSO, "name": "contoso-azure", "labels": {}}
            found = events(range(100, 1300), unit=unit("s"))
            ours = [evolve(e, data={**e.data, "tenant": named}) for e in found]
            await add(b.store, ours, AZURE)
            theirs = await b.commit(CONTOSO, range(5))
            b.sink.behave = places(**{"contoso-azure": Denied("403 from its rule", "grant the role")})
            async with at_work(b):
                await asyncio.sleep(5)
                assert b.sink.got == ids(theirs)
                assert b.loop.apart.keys() == {AZURE}
                b.sink.behave = accept_all
                await asyncio.sleep(600)
                assert b.sink.got == ids([*theirs, *ours])

    virtually(scenario())


def test_a_place_that_fails_is_not_asked_in_a_loop() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(200))
            await b.commit(FABRIKAM, [1])
            b.sink.behave = places(contoso=FAULTS["plain"])
            async with at_work(b):
                await asyncio.sleep(3600)
            assert 10 < len(b.sink.offered) < 120

    virtually(scenario())


def test_an_outage_is_no_matter_of_places() -> None:
    async def scenario() -> None:
        async with bench() as b:
            ours, theirs = await b.commit(CONTOSO, range(150)), await b.commit(FABRIKAM, range(150))
            b.sink.behave = places(contoso=FAULTS["plain"], fabrikam=FAULTS["plain"])
            async with at_work(b):
                await asyncio.sleep(3600)
                assert b.loop.health().state == "unavailable"
                assert b.loop.health().error == "connection reset by peer"
                assert not b.loop.apart
                b.sink.behave = accept_all
                await asyncio.sleep(1000)
            assert [e for e in b.sink.got if e in set(ids(ours))] == ids(ours)
            assert [e for e in b.sink.got if e in set(ids(theirs))] == ids(theirs)

    virtually(scenario())


def test_several_failing_places_in_front() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(150))
            await b.commit(FABRIKAM, range(150))
            healthy = await b.commit(WOODGROVE, range(3))
            b.sink.behave = places(contoso=FAULTS["denied"], fabrikam=FAULTS["plain"])
            async with at_work(b):
                await asyncio.sleep(5)
                assert b.sink.got == ids(healthy)
                health = b.loop.health()
            assert health.state == "unavailable", "time may mend one of them"
            assert health.error == "tenants contoso, fabrikam: 403 from its rule"

    virtually(scenario())


def test_a_tenant_that_receipts_leave_out_goes_its_own_way() -> None:
    def behave(records: Sequence[Record]) -> Receipt:
        taken = frozenset(r.event_id for r in records if r.tenant == "fabrikam")
        if not taken:
            raise FAULTS["wish"]
        return Receipt(accepted=taken, retry_after_s=120.0)

    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(10))
            theirs = await b.commit(FABRIKAM, range(10))
            b.sink.behave = behave
            turn = await b.loop.turn()
            assert (turn.sent, turn.wait_s) == (10, 0.0), "the wish was that of contoso's place"
            more = await b.commit(FABRIKAM, range(10, 20))
            await b.loop.turn()
            assert b.sink.got == ids([*theirs, *more])

    virtually(scenario())


def test_a_poisoned_event_is_parked_on_its_tenants_own_way() -> None:
    async def scenario() -> None:
        async with bench() as b:
            ours = await b.commit(CONTOSO, range(150))
            await b.commit(FABRIKAM, [1])

            def behave(records: Sequence[Record]) -> Receipt:
                if ours[3].id in {r.event_id for r in records}:
                    raise FAULTS["plain"]
                return accept_all(records)

            b.sink.behave = behave
            async with at_work(b):
                for number in range(150, 150 + 40 * PARK_AFTER):
                    await asyncio.sleep(60)
                    if await b.store.parked():
                        break
                    await b.commit(CONTOSO, [number])
            (parked,) = await b.store.parked()
            assert parked.event.id == ours[3].id

    virtually(scenario())


# ------------------------------------------------------------------------------------------------------------- in time


@pytest.mark.parametrize("hung", [2, 10])
def test_the_search_for_a_place_that_works_remembers_whom_it_tried(hung: int) -> None:
    """Each fills the first batch alone, and each try takes as long as the search may last."""

    async def scenario() -> None:
        own = [tenant(n) for n in range(hung)]
        async with bench([*own, CONTOSO]) as b:
            for each in own:
                await b.commit(each, range(150))
            mine = await b.commit(CONTOSO, range(5))
            b.sink.hung = set(own)
            async with at_work(b):
                await asyncio.sleep(hung * (HANG_S + 1) + 5)
            assert b.sink.got == ids(mine)

    virtually(scenario())


@pytest.mark.parametrize("hung", [0, 1, 20])
def test_with_any_number_of_hanging_places_the_others_wait_for_their_own_batch_only(hung: int) -> None:
    async def scenario() -> None:
        own = [tenant(n) for n in range(hung + 20)]
        async with bench(own, max_records=200) as b:
            b.sink.hung = set(own[:hung])
            for each in own[:hung]:
                await b.commit(each, range(20))
            await b.commit(own[-1], [0])
            async with at_work(b):
                await asyncio.sleep(30 * HANG_S)
                assert len(b.sink.got) == 1
                began = asyncio.get_running_loop().time()
                new = [e for each in own[hung:] for e in await b.commit(each, range(100, 200))]
                await asyncio.sleep(30)
                assert max(b.sink.at[e.id] for e in new) - began <= 1.2 * 10 + 1, "2,000 events, ten batches"
                for number in range(600, 650):
                    await asyncio.sleep(61.7)
                    (event,) = await b.commit(own[-2], [number])
                    began = asyncio.get_running_loop().time()
                    await asyncio.sleep(5)
                    assert b.sink.at[event.id] - began <= 1.1
            assert b.sink.most <= lanes.AT_ONCE + 1
            assert await b.backlog() == 20 * hung

    virtually(scenario())


def test_a_new_event_of_a_healthy_place_does_not_wait_for_those_that_all_failed_so_far() -> None:
    """Only failing ones have anything: it may be an outage, and the waits grow long. What is new is tried at once."""

    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(3))
            b.sink.behave = places(contoso=FAULTS["plain"])
            async with at_work(b):
                await asyncio.sleep(3600)
                (event,) = await b.commit(FABRIKAM, [1])
                began = asyncio.get_running_loop().time()
                await asyncio.sleep(5)
                assert b.sink.at[event.id] - began <= 1.1

    virtually(scenario())


def test_in_an_outage_a_commit_is_no_reason_to_ask_again_at_once() -> None:
    async def scenario() -> None:
        async with bench() as b:
            for each in (CONTOSO, FABRIKAM):
                await b.commit(each, range(3))
            b.sink.behave = places(contoso=FAULTS["plain"], fabrikam=FAULTS["plain"])
            async with at_work(b):
                await asyncio.sleep(7200)
                tries = len(b.sink.offered)
                for number in range(100, 160):
                    await b.commit(CONTOSO, [number])
                    await asyncio.sleep(5)
                assert len(b.sink.offered) - tries < 25

    virtually(scenario())


def test_a_place_that_catches_up_shares_time_not_turns_with_those_that_hang() -> None:
    async def scenario() -> None:
        own = [tenant(n) for n in range(12)]
        async with bench(own) as b:
            for each in own:
                await b.commit(each, range(2000 if each == own[0] else 5))
            await b.commit(CONTOSO, [0])
            b.sink.hung = set(own)
            async with at_work(b):
                await asyncio.sleep(30 * HANG_S)
                b.sink.hung.remove(own[0])
                await asyncio.sleep(HOLD_S + 4 * HANG_S)
                assert len(b.sink.got) == 2001

    virtually(scenario())


# ----------------------------------------------------------------------------------------------------- start and stop


def test_a_commit_for_another_tenant_does_not_wait_for_the_failing_place() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(150))
            await b.commit(FABRIKAM, [1])
            b.sink.behave = places(contoso=FAULTS["denied"])
            async with at_work(b):
                await asyncio.sleep(1000)
                assert len(b.sink.got) == 1
                await b.commit(FABRIKAM, [2])
                await asyncio.sleep(1.1)
                assert len(b.sink.got) == 2

    virtually(scenario())


def test_stop_lets_what_is_being_sent_end_and_asks_no_failing_place_again() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(5))
            await b.commit(FABRIKAM, [1])
            b.sink.hung = {"contoso"}
            task = asyncio.create_task(run(b.loop, b.stop, b.wake, StateWatch(b.loop.clock)))
            while b.sink.sending or len(b.sink.got) < 1:
                await asyncio.sleep(0.5)
            while not b.sink.sending:  # contoso's own
                await asyncio.sleep(0.01)
            began = asyncio.get_running_loop().time()
            b.stop.set()
            await task
            assert asyncio.get_running_loop().time() - began <= HANG_S
            assert b.sink.sending == 0
            assert len(asyncio.all_tasks()) == 1
            assert await b.backlog() == 5

    virtually(scenario())


def test_a_loop_that_is_cut_leaves_no_task_behind() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(5))
            await b.commit(FABRIKAM, [1])
            b.sink.hung = {"contoso"}
            async with at_work(b):
                await asyncio.sleep(40)
            assert len(asyncio.all_tasks()) == 1

    virtually(scenario())


def test_a_state_that_fails_under_a_tenant_of_its_own_is_waited_for_by_the_daemon_and_raised_by_a_drain() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(5))
            await b.commit(FABRIKAM, [1])
            b.sink.behave = places(contoso=FAULTS["plain"])
            settle = b.store.settle

            async def full(sink: str, settlement: Settlement) -> None:
                if len(settlement.attempted) == 5 and b.loop.apart:
                    raise StoreError("no space left", "free some")
                await settle(sink, settlement)

            b.store.settle = full  # type: ignore[method-assign]
            watch = StateWatch(b.loop.clock)
            running = asyncio.create_task(run(b.loop, b.stop, b.wake, watch))
            while not watch.words():
                await asyncio.sleep(1)
            assert not running.done()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            with pytest.raises(StoreError, match="no space"):
                await drain(b.loop, 45)

    virtually(scenario())


# ------------------------------------------------------------------------------------------------------------- `once`


def test_once_delivers_the_others_and_says_whose_place_fails() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(150))
            theirs = await b.commit(FABRIKAM, range(150))
            b.sink.behave = places(contoso=FAULTS["denied"])
            outcome = await drain(b.loop, 45.0)
            assert b.sink.got == ids(theirs)
            assert (outcome.state, outcome.sent) == ("denied", 150)
            assert outcome.error == "tenant contoso: 403 from its rule"
            assert outcome.hint == "grant the role"

    virtually(scenario())


def test_once_empties_a_place_that_recovered_beside_one_that_did_not() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(150))
            theirs = await b.commit(FABRIKAM, range(450))
            await b.commit(WOODGROVE, [1])
            b.sink.behave = places(contoso=FAULTS["denied"], fabrikam=FAULTS["plain"])
            while len(b.loop.apart) < 2:
                await b.loop.turn()
            b.sink.behave = places(contoso=FAULTS["denied"])
            outcome = await drain(b.loop, 45.0)
            assert (outcome.state, outcome.sent) == ("denied", 450)
            assert b.sink.got[1:] == ids(theirs)

    virtually(scenario())


def test_once_ends_in_time_whatever_hangs_and_tells_what_is_left() -> None:
    async def scenario() -> None:
        own = [tenant(n) for n in range(20)]
        async with bench([*own, CONTOSO]) as b:
            for each in own:
                await b.commit(each, range(20))
            await b.commit(CONTOSO, range(20))
            b.sink.hung = set(own)
            await b.loop.turn()
            while len(b.loop.apart) < 20:
                await b.loop.turn()
            for deadline_s in (45.0, 100.0):
                began = asyncio.get_running_loop().time()
                outcome = await drain(b.loop, deadline_s)
                assert asyncio.get_running_loop().time() - began <= deadline_s + 1
                assert outcome.state == "unavailable"
            assert await b.backlog() == 400

    virtually(scenario())


def test_a_place_that_catches_up_when_the_time_is_over_goes_on_next_time() -> None:
    async def scenario() -> None:
        async with bench() as b:
            await b.commit(CONTOSO, range(1500))
            await b.commit(FABRIKAM, [1])
            b.sink.behave = places(contoso=FAULTS["plain"])
            await b.loop.turn()
            await b.loop.turn()
            assert list(b.loop.apart) == [CONTOSO]
            b.sink.behave = accept_all
            outcome = await drain(b.loop, 10.0)
            assert (outcome.state, outcome.error) == ("unavailable", OUT_OF_TIME)
            assert 0 < outcome.sent < 1500
            await drain(b.loop, 1000.0)
            assert await b.backlog() == 0
            assert b.sink.got[1:] == ids(of(CONTOSO, range(1500)))
            assert len(await b.store.history(Query())) == 1501

    virtually(scenario())
