"""Both loops while the state fails, and in which order they end. Time runs two hundred times as fast as it says."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connector import loops
from connector.app import severity_rules
from connector.config.values import Config, PollConfig, SinkConfig, TenantConfig
from connector.deliver.unwritten import PatientStore
from connector.errors import StateRefused, StoreError
from connector.health.counters import Counters
from connector.health.endpoints import unready
from connector.health.state_watch import StateWatch
from connector.health.upkeep import CONNECTOR, Upkeep
from connector.loops import REOPEN_S, STOP_POLLS_S, STOP_S, App
from connector.model import Event
from connector.observe.poller import PollOutcome
from connector.ports import Pending, Query, Settlement, Start, State, Stats
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import add, event, events
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery

SPEED = 200.0
NAMES = ("contoso", "fabrikam", "litware")


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine is slow: a stop may take long here, unless a test is about that."""
    monkeypatch.setattr(loops, "STOP_S", 4_000.0)
    monkeypatch.setattr(loops, "STOP_POLLS_S", 2_000.0)


class FastClock:
    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def now(self) -> datetime:
        gone_s = time.monotonic() - self._began_s
        return datetime(2030, 1, 10, 12, tzinfo=UTC) + timedelta(seconds=gone_s * SPEED)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


def full() -> StoreError:
    return StoreError("no space left", "free some")


class Disk:
    """A store on a disk that can be full, unreadable, or not ours: what makes the error that it then raises."""

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.writing: Callable[[], StoreError] | None = None
        self.reading: Callable[[], StoreError] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _take(self) -> None:
        if self.writing:
            raise self.writing()
        self._give()

    def _give(self) -> None:
        if self.reading:
            raise self.reading()

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        self._take()
        return await self.inner.commit(tenant_id, state, events)

    async def settle(self, sink: str, settlement: Settlement) -> None:
        self._take()
        await self.inner.settle(sink, settlement)

    async def due(self, *words: Any, **named: Any) -> list[Pending]:
        self._give()
        return await self.inner.due(*words, **named)

    async def stats(self) -> Stats:
        self._give()
        return await self.inner.stats()

    async def load(self, tenant_id: str) -> State | None:
        self._give()
        return await self.inner.load(tenant_id)

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        self._give()
        return await self.inner.heads(tenant_ids)


class Polls:
    """A poller that commits one event a poll, unless a test says otherwise for that tenant."""

    storms = None
    severity = severity_rules()

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.asked: list[str] = []
        self.other: dict[str, Callable[[], Awaitable[None]]] = {}

    async def poll(self, tenant: TenantConfig) -> PollOutcome:
        self.asked.append(tenant.name)
        if tenant.name in self.other:
            await self.other[tenant.name]()
        number = len(self.asked)
        disk: Any = self.disk
        await add(disk, [event(number, tenant=tenant.tenant_id)], tenant.tenant_id)
        return PollOutcome(tenant.name, "ok", "2030-01-10", 1)


class Home:
    """An application over that disk and one sink, running until the test has seen enough."""

    def __init__(self, disk: Disk) -> None:
        clock = FastClock()
        self.disk, self.sink, self.stop = disk, FakeSink(), asyncio.Event()
        self.polls = Polls(disk)
        watch = StateWatch(clock)
        store: Any = disk
        poller: Any = self.polls
        tenants = tuple(TenantConfig(name, name) for name in NAMES)
        upkeep = Upkeep(store, clock, severity_rules(), 10**9, 400, "host1")
        self.app = App(
            config=Config(tenants, (SinkConfig("siem", "file"),), poll=PollConfig(interval_s=60.0)),
            clock=clock,
            store=store,
            poller=poller,
            deliveries={"siem": delivery(PatientStore(store, watch), self.sink, clock)},
            upkeep=upkeep,
            concurrency=2,
            counters=Counters(NAMES),
            watch=watch,
        )
        upkeep.more = self.app.faults
        self.outcomes: list[PollOutcome] = []
        self.running = asyncio.ensure_future(self.app.run(self.stop, self.outcomes.append))

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not true():
                assert not self.running.done(), self.running
                await asyncio.sleep(0.005)

    async def backlog(self) -> int:
        return sum(s.backlog for s in (await self.disk.inner.stats()).sinks)

    def read(self) -> set[str]:
        """The tenants that were read so far."""
        return set(self.polls.asked)


@asynccontextmanager
async def home() -> AsyncIterator[Home]:
    with quick_folder() as folder:
        store = await open_store(folder / "state.db", clock=FastClock())
        await store.attach([Start("siem")])
        made = Home(Disk(store))
        try:
            yield made
        finally:
            made.running.cancel()
            await asyncio.gather(made.running, return_exceptions=True)
            await store.close()


# ----------------------------------------------------------------------------------------------------- order of the end


async def test_sinks_take_what_polls_commit_while_it_stops(caplog: pytest.LogCaptureFixture) -> None:
    async with home() as made:
        under_way = asyncio.Event()

        async def slow() -> None:
            under_way.set()
            await asyncio.sleep(5 / SPEED)
            await add(made.disk.inner, events(range(1000, 1300)))

        made.polls.other["contoso"] = slow
        await under_way.wait()
        made.stop.set()
        await asyncio.wait_for(made.running, 60)
        assert len(set(made.sink.got)) >= 301
        assert await made.backlog() == 0
        assert "cut" not in caplog.text


async def test_a_poll_that_does_not_end_is_cut_and_the_sinks_have_the_rest_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loops, "STOP_POLLS_S", STOP_POLLS_S)
    async with home() as made:

        async def endless() -> None:
            await add(made.disk.inner, [event(4711)])
            await asyncio.sleep(3600)

        made.polls.other["contoso"] = endless
        await made.until(lambda: made.read() == set(NAMES))
        began_s = asyncio.get_running_loop().time()
        made.stop.set()
        await asyncio.wait_for(made.running, 60)
        assert (asyncio.get_running_loop().time() - began_s) * SPEED >= STOP_POLLS_S
        assert STOP_POLLS_S < STOP_S
        assert event(4711).id in made.sink.got
        assert await made.backlog() == 0


# ------------------------------------------------------------------------------------------- a state that takes nothing


async def test_a_full_disk_pauses_polling_lets_deliveries_go_on_is_told_and_healed_without_a_hand() -> None:
    async with home() as made:
        await made.until(lambda: made.read() == set(NAMES))
        await made.until(lambda: len(made.sink.got) >= 3)
        await add(made.disk.inner, events(range(1000, 1250)))
        made.disk.writing = full
        await made.until(lambda: len(made.sink.got) >= 253)
        await made.until(lambda: any(o.reason == "state_unavailable" for o in made.outcomes))
        facts = await made.app.facts()
        assert facts.trouble == ["no space left"]
        assert "the state takes nothing: no space left" in unready(made.app.counters, facts)
        count, began = len(made.polls.asked), made.app.clock.now()
        await asyncio.sleep(120 / SPEED)
        tried_s = (made.app.clock.now() - began).total_seconds()
        assert len(made.polls.asked) - count <= 3 + tried_s / 10, "one at a time tries for all"

        made.disk.writing = None
        count = len(made.outcomes)
        await made.until(lambda: {o.tenant for o in made.outcomes[count:] if o.status == "ok"} == set(NAMES))
        await made.until(lambda: not made.app.watch.words())
        told = await made.disk.history(Query(tenant_id=CONNECTOR, types=("connector.problem",)))
        await made.until(lambda: made.sink.got)
        assert {e.data["reason"] for e in told} <= {"state_new", "state_unavailable"}
        made.stop.set()
        await asyncio.wait_for(made.running, 60)
        assert await made.backlog() == 0
        assert len(made.sink.got) == len(set(made.sink.got)), "nothing went out twice"
        told = await made.disk.history(Query(tenant_id=CONNECTOR, types=("connector.problem",)))
        assert "state_unavailable" in {e.data["reason"] for e in told}


async def test_a_state_that_is_not_ours_ends_both_loops() -> None:
    async with home() as made:
        await made.until(lambda: made.read() == set(NAMES))
        made.disk.writing = lambda: StateRefused("a newer version's")
        with pytest.raises(StateRefused):
            await asyncio.wait_for(made.running, 60)


async def test_a_state_that_cannot_even_be_read_is_given_back_to_be_opened_anew() -> None:
    async with home() as made:
        await made.until(lambda: made.read() == set(NAMES))
        began = made.app.clock.now()
        made.disk.reading = lambda: StoreError("the disk reports an error")
        with pytest.raises(StoreError, match="the disk reports an error"):
            await asyncio.wait_for(made.running, 60)
        assert (made.app.clock.now() - began).total_seconds() >= REOPEN_S


async def test_a_state_that_fails_from_the_start_is_waited_for_before_anything_is_observed() -> None:
    async with home() as made:
        made.disk.writing = full
        await made.until(made.app.watch.words)
        await asyncio.sleep(30 / SPEED)
        assert made.polls.asked == []
        made.disk.writing = None
        await made.until(lambda: made.read() == set(NAMES))
        (new,) = await made.disk.history(Query(tenant_id=CONNECTOR, types=("connector.problem",), limit=1))
        assert new.data["reason"] == "state_new"


# ----------------------------------------------------------------------------------------------------------------- once


async def test_once_lets_the_others_finish_when_the_state_fails_one_loop() -> None:
    async with home() as made:
        made.running.cancel()
        await asyncio.gather(made.running, return_exceptions=True)
        await made.disk.attach([Start("siem"), Start("other")])
        await add(made.disk.inner, events(range(1000, 1050)))
        failing, other = made.app.deliveries["siem"], FakeSink("other")
        broken: Any = Disk(made.disk.inner)
        broken.reading = full
        failing.store = broken
        made.app.deliveries = {"siem": failing, "other": delivery(made.disk.inner, other, JumpClock())}
        siem, well = await made.app.deliver_once()
        assert (siem.state, siem.error, siem.hint) == ("unavailable", "no space left", "free some")
        assert (well.state, well.sent) == ("ok", len(other.got))
        assert len(other.got) >= 50


async def test_once_says_of_each_tenant_that_the_state_took_nothing_and_reads_no_more_in_vain() -> None:
    async with home() as made:
        made.running.cancel()
        await asyncio.gather(made.running, return_exceptions=True)
        made.polls.asked.clear()
        made.app.watch.clock = JumpClock()  # which stands: nobody's wait is over before the next one asks

        async def fills() -> None:
            made.disk.writing = full

        made.polls.other = dict.fromkeys(NAMES, fills)
        made.app.concurrency = 1
        outcomes = await made.app.poll_once()
        assert {(o.status, o.reason, o.error) for o in outcomes} == {("failed", "state_unavailable", "no space left")}
        assert [o.tenant for o in outcomes] == list(NAMES)
        assert len(made.polls.asked) == 1
