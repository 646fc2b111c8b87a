"""The ways in which respected pipelines lose data, each as a test of the loops over a real store.

Found elsewhere: death at every step (crash/test_kill9, test_state_machine, unit/test_sqlite_crash), a full disk
(test_disk_full), damaged, foreign and newer files and two processes (unit/test_sqlite_file, test_process), success that
is none (the contract tests of each sink), an event that a sink chokes on (unit/test_delivery_isolation).
"""

import asyncio
import heapq
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from attrs import define, evolve

from connector.app import open_app, severity_rules
from connector.clock import SimulatedClock, iso
from connector.config.values import Config, SinkConfig, StateConfig
from connector.deliver.delivery import Delivery
from connector.deliver.loop import drain, run
from connector.errors import Unavailable
from connector.formats import cloudevents
from connector.health.state_watch import StateWatch
from connector.health.upkeep import Upkeep
from connector.loops import App
from connector.model import Event, Receipt, Record, accept_all
from connector.observe.poller import PollOutcome
from connector.ports import Query, Start
from connector.simulator.server import Simulation
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import add, event, events
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery
from tests.simulation.test_pipeline import simulated
from tests.spoiled import spoil_events


@pytest.fixture
def quick() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@asynccontextmanager
async def opened(path: Path, clock: JumpClock, *names: str) -> AsyncIterator[SqliteStore]:
    store = await open_store(path, clock=clock)
    try:
        await store.attach([Start(name) for name in names])
        yield store
    finally:
        await store.close()


class FastClock:
    """Real time, an hour a second: for what runs by itself."""

    def __init__(self, start: datetime) -> None:
        self.start, self.began = start, time.monotonic()

    def now(self) -> datetime:
        return self.start + timedelta(seconds=3600 * (time.monotonic() - self.began))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 3600)


async def passes(sim: Simulation, seconds: float) -> None:
    """Time passes for simulated tenants."""
    assert isinstance(sim.clock, SimulatedClock)
    await sim.clock.advance(seconds)


def down(_: Sequence[Record]) -> Receipt:
    raise Unavailable("connection refused", hint="start it")


# -------------------------------------------------------------------------------------------- 3 and 8: one dead of many


@define
class Fleet:
    """Many sinks on one store, each with its own loop, in simulated time: whoever's wait is over has its turn."""

    store: SqliteStore
    clock: JumpClock
    loops: dict[str, Delivery]
    queue: list[tuple[datetime, str]]

    def wake(self) -> None:
        """Something was committed: idle loops have their turn now, those in back-off when that is over."""
        now = self.clock.now()
        idle = {name for name, loop in self.loops.items() if loop.last is None or loop.last.state in ("ok", "idle")}
        self.queue = [(now if name in idle else at, name) for at, name in self.queue]
        heapq.heapify(self.queue)

    async def until(self, moment: datetime) -> None:
        while self.queue[0][0] <= moment:
            at, name = heapq.heappop(self.queue)
            await self.clock.sleep(max(0.0, (at - self.clock.now()).total_seconds()))
            turn = await self.loops[name].turn()
            wait_s = 86_400.0 if turn.state == "idle" else turn.wait_s  # idle: until woken
            heapq.heappush(self.queue, (self.clock.now() + timedelta(seconds=wait_s), name))
        await self.clock.sleep((moment - self.clock.now()).total_seconds())


async def test_a_siem_down_for_three_days_delays_nobody_and_gets_everything_on_return(
    quick: Path, record_property: Callable[[str, object], None]
) -> None:
    """Ten other sinks are well. The outage is far longer than any retry budget; then a second one follows at once."""
    names = ["siem", *(f"well{n}" for n in range(10))]
    clock = JumpClock()
    arrived: dict[str, dict[str, datetime]] = {name: {} for name in names}

    def receiving(name: str) -> FakeSink:
        def take(records: Sequence[Record]) -> Receipt:
            for record in records:
                arrived[name].setdefault(record.event_id, clock.now())
            return accept_all(records)

        return FakeSink(name=name, behave=take, max_records=500)

    async with opened(quick / "state.db", clock, *names) as store:
        sinks = {name: receiving(name) for name in names}
        loops = {name: delivery(store, sink, clock) for name, sink in sinks.items()}
        fleet = Fleet(store, clock, loops, [(clock.now(), name) for name in names])
        upkeep = Upkeep(store, clock, severity_rules(), 10**9, 400, "host1")
        committed: dict[str, datetime] = {}
        take = sinks["siem"].behave

        async def hour(number: int) -> None:
            new = events(range(100 * number, 100 * number + 40), observed_at=iso(clock.now()))
            await add(store, new)
            committed.update((e.id, clock.now()) for e in new)
            fleet.wake()
            for _ in range(3):
                await fleet.until(clock.now() + timedelta(minutes=20))
                if (await upkeep.look([loop.health() for loop in loops.values()])).events:
                    fleet.wake()

        await hour(0)
        sinks["siem"].behave = down
        for number in range(1, 73):
            await hour(number)
        assert arrived["siem"].keys() == set(list(committed)[:40])
        told = await store.history(Query(types=("connector.*",)))
        assert [(e.type, e.data["sink"], e.data["repeat"]) for e in told] == [
            ("connector.problem", "siem", n) for n in range(3)
        ]
        for name in names[1:]:
            delays = [(arrived[name][i] - at).total_seconds() for i, at in committed.items()]
            assert max(delays) == 0, "nobody else notices"
            assert all(e.id in arrived[name] for e in told), "the others carry the news"

        sinks["siem"].behave = take
        requests, began, back = len(sinks["siem"].offered), time.perf_counter(), clock.now()
        await fleet.until(clock.now() + timedelta(minutes=10))
        seconds = time.perf_counter() - began
        late = [
            e.id for e in await store.history(Query()) if e.id not in committed or list(committed).index(e.id) >= 40
        ]
        assert sinks["siem"].got[40:] == late, "from the first hour on, in order, each once"
        used = len(sinks["siem"].offered) - requests
        record_property("drained", f"{len(late)} events in {used} batches, {seconds:.2f} s")
        assert used < 20
        assert max(arrived["siem"].values()) - back < timedelta(minutes=5, seconds=1), "the last back-off, then at once"

        sinks["siem"].behave = down  # 4: a second outage right after the first has drained
        await hour(73)
        sinks["siem"].behave = take
        await hour(74)
        assert arrived["siem"].keys() >= committed.keys()
        assert await store.parked() == []


async def test_a_sink_that_hangs_delays_no_other(tmp_path: Path) -> None:
    clock = JumpClock()
    released = asyncio.Event()

    class Hanging(FakeSink):
        async def send(self, records: Sequence[Record]) -> Receipt:
            await released.wait()
            return accept_all(records)

    class Real(JumpClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    async with opened(tmp_path / "state.db", clock, "hanging", "well") as store:
        hanging, well = Hanging(name="hanging"), FakeSink(name="well")
        await add(store, events(range(50)))
        stop, wake = asyncio.Event(), asyncio.Event()
        tasks = [
            asyncio.create_task(run(delivery(store, s, Real()), stop, wake, StateWatch(Real())))
            for s in (hanging, well)
        ]
        async with asyncio.timeout(30):
            while len(well.got) < 50:
                await asyncio.sleep(0.01)
        stop.set()
        released.set()
        await asyncio.gather(*tasks)


# ------------------------------------------------------------------------------------------- 2: stop while all are down


@asynccontextmanager
async def app_with(config: Config, clock: object, **sinks: str) -> AsyncIterator[App]:
    """The application with one file sink for each name: path."""
    entries = tuple(SinkConfig(name, "file", options={"path": path, "mode": "0600"}) for name, path in sinks.items())
    async with open_app(evolve(config, sinks=entries), clock=clock) as app:  # type: ignore[arg-type]
        yield app


def written(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


async def test_a_graceful_stop_while_every_sink_is_down_keeps_everything(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / "missing" / f"{name}.jsonl") for name in ("a", "b")}
    async with simulated(tmp_path) as (sim, config):
        async with app_with(config, sim.clock, **paths) as app:
            await app.poll_once()
            stop = asyncio.Event()
            stop.set()
            await asyncio.wait_for(app.run(stop), 60)
        async with app_with(config, sim.clock, **paths) as app:
            assert {d.state for d in await app.deliver_once(1)} == {"denied"}
            (tmp_path / "missing").mkdir()
            assert {d.state for d in await app.deliver_once(1)} == {"ok"}
            committed = [e.id for e in await app.store.history(Query())]
    assert len(committed) > 100
    problems = 4  # told while and after they were down: two problems, two recoveries
    for path in paths.values():
        assert written(Path(path)) == committed[: len(committed) - problems // 2]


# --------------------------------------------------------------------------------------------------- 5: one damaged row


async def test_a_damaged_row_is_parked_where_people_see_it_and_holds_nobody_up(tmp_path: Path) -> None:
    clock = JumpClock()
    path = tmp_path / "state.db"
    new = events(range(10))
    async with opened(path, clock, "siem") as store:
        await add(store, new)
    spoil_events(path, [5], cloudevents.dumps(new[4]).encode("ascii")[:-30] + b"\xff")
    async with opened(path, clock, "siem") as store:
        sink = FakeSink()
        await drain(delivery(store, sink, clock), 10)
        assert sink.got == [e.id for e in new if e is not new[4]]
        (parked,) = await store.parked()
        assert (parked.event.id, parked.event.subject) == (new[4].id, new[4].subject)
        assert "unreadable" in parked.reason


# ------------------------------------------------------------------------------------ 7 and the stated policy when full


async def test_at_the_disk_bound_polling_pauses_delivery_goes_on_and_nothing_is_lost(tmp_path: Path) -> None:
    """The bound is lowered below what is there, and raised again. Graph keeps the days meanwhile."""
    well, dead = tmp_path / "well.jsonl", tmp_path / "missing" / "dead.jsonl"
    async with simulated(tmp_path) as (sim, config):
        small = evolve(config, state=StateConfig(path=config.state.path, max_bytes=200_000))
        async with app_with(config, sim.clock, well=str(well), dead=str(dead)) as app:
            await app.poll_once()
            before = len(await app.store.history(Query()))
        for _ in range(3):
            await passes(sim, 86_400)
            async with app_with(small, sim.clock, well=str(well), dead=str(dead)) as app:
                outcomes = await app.poll_once()
                assert [(o.status, o.reason) for o in outcomes] == [("failed", "outbox_full")]
                assert "sinks release" in outcomes[0].hint or "release" in outcomes[0].hint
                await app.deliver_once(1)
        async with app_with(small, sim.clock, well=str(well), dead=str(dead)) as app:
            found = await app.store.history(Query(types=("connector.problem",)))
            assert next((e.data["reason"], e.data["sink"]) for e in found if e.subject == "outbox") == (
                "outbox_full",
                "dead",
            )
            assert not [e for e in (await app.store.history(Query()))[before:] if e.tenant_id], "nothing was polled"
            assert {e.id for e in found} <= set(written(well)), "the others carry the news"
        (tmp_path / "missing").mkdir()
        async with app_with(config, sim.clock, well=str(well), dead=str(dead)) as app:
            assert [o.status for o in await app.poll_once()] == ["ok"]
            await app.deliver_once(1)
            await app.deliver_once(1)
            committed = await app.store.history(Query())
            days = [e.data["day"] for e in committed if e.type == "score.observed" and not e.backfilled]
            assert len(set(days)) >= 4, "the days of the pause came late, not never"
            assert written(well) == written(dead) == [e.id for e in committed]


async def test_the_daemon_pauses_and_resumes_polling_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("STOP_S", "STOP_POLLS_S"):  # an hour a second: the usual ones would be milliseconds
        monkeypatch.setattr(f"connector.loops.{limit}", 36_000.0)
    well, dead = tmp_path / "well.jsonl", tmp_path / "missing" / "dead.jsonl"

    async with (
        simulated(tmp_path) as (sim, config),
        app_with(config, FastClock(sim.clock.now()), well=str(well), dead=str(dead)) as app,
    ):
        stop, seen = asyncio.Event(), list[PollOutcome]()
        task = asyncio.create_task(app.run(stop, seen.append))
        async with asyncio.timeout(90):
            while not seen:
                await asyncio.sleep(0.01)
            for max_bytes, full in ((100_000, True), (10_000_000, False), (100_000, True), (10_000_000, False)):
                app.upkeep.max_bytes = max_bytes
                while (seen[-1].reason == "outbox_full") is not full:
                    await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(task, 60)
        told = [e for e in await app.store.history(Query()) if e.subject == "outbox"]
        assert {e.data["reason"] for e in told} == {"outbox_full"}
        assert {e.data["sink"] for e in told} == {"dead"}
        assert set(written(well)) >= {e.id for e in told}


# ----------------------------------------------------------------------------------------- 10: a position that is stuck


async def test_a_position_that_never_moves_is_told_through_the_other_sinks(tmp_path: Path) -> None:
    clock = JumpClock()

    class Forgetful:
        """A store that forgets what `stuck` has settled."""

        def __init__(self, inner: SqliteStore) -> None:
            self.due, self.stats = inner.due, inner.stats

        async def settle(self, *_: object) -> None: ...

    async with opened(tmp_path / "state.db", clock, "stuck", "well") as store:
        await add(store, events([1]))
        stuck, well = FakeSink(name="stuck"), FakeSink(name="well")
        loops = [delivery(Forgetful(store), stuck, clock), delivery(store, well, clock)]
        upkeep = Upkeep(store, clock, severity_rules(), 10**9, 400, "host1")
        for _ in range(20):
            for loop in loops:
                await loop.turn()
            await upkeep.look([loop.health() for loop in loops])
            await clock.sleep(60)
        (problem,) = [e for e in await store.history(Query()) if e.type == "connector.problem"]
        assert problem.data["sink"] == "stuck"
        assert "position does not move" in problem.data["detail"]
        assert problem.id in well.got
        assert stuck.got == [event(1).id], "and there is no flood"


# ------------------------------------------------------------------------------------------------------ 11: clock jumps


@pytest.mark.parametrize("jump_s", [-86_400.0 * 400, -3600.0, 3600.0, 86_400.0 * 400])
async def test_a_clock_that_jumps_holds_nothing_back(tmp_path: Path, jump_s: float) -> None:
    clock = JumpClock()
    async with opened(tmp_path / "state.db", clock, "siem") as store:
        sink = FakeSink(replay_window_s=60.0)
        loop = delivery(store, sink, clock)
        new = events(range(6))
        await add(store, new[:2])
        await drain(loop, 10)
        poison = new[2].id
        sink.behave = lambda records: Receipt(frozenset(r.event_id for r in records if r.event_id != poison))
        await add(store, new[2:4])
        for number in range(100, 105):  # it is left out while others are taken: set aside
            await add(store, [event(number)])
            await loop.turn()
        assert loop._held
        await clock.sleep(jump_s)
        sink.behave = accept_all
        await add(store, new[4:])
        start = clock.now()
        while not set(sink.got) >= {e.id for e in new}:
            turn = await loop.turn()
            await clock.sleep(turn.wait_s)
            assert clock.now() - start < timedelta(minutes=6)


# ------------------------------------------------------------------------------ life cycle: new, removed, renamed sinks


async def test_new_removed_and_renamed_sinks(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("old", "new", "whole")}
    async with simulated(tmp_path) as (sim, config):

        async def day(*names: str, whole: bool = False) -> list[Event]:
            entries = tuple(
                SinkConfig(
                    n, "file", options={"path": str(paths[n])}, start="all" if whole and n == "whole" else "backfill"
                )
                for n in names
            )
            await passes(sim, 86_400)
            async with open_app(evolve(config, sinks=entries), clock=sim.clock) as app:
                known = {e.id for e in await app.store.history(Query())}
                await app.poll_once()
                for _ in range(2):  # what the connector says of its sinks after the first time goes with the second
                    await app.deliver_once(1)
                return [e for e in await app.store.history(Query()) if e.id not in known]

        first = await day("old")
        second = await day("new")  # renamed: `old` is abandoned, `new` begins at the next commit
        third = await day("new", "whole", whole=True)
        assert written(paths["old"]) == [e.id for e in first]
        assert written(paths["new"]) == [e.id for e in second + third]
        assert written(paths["whole"]) == [e.id for e in first + second + third]

        async with open_app(config, clock=sim.clock, writer=False) as app:
            stats = {s.name: s for s in (await app.store.stats()).sinks}
            assert stats["old"].abandoned
            assert stats["old"].backlog == len(second + third), "kept until the operator says so"
        returned = await day("old", "new")
        assert written(paths["old"]) == [e.id for e in first + second + third + returned], "as if it had been away"
        await day("new")
        async with open_app(config, clock=sim.clock, writer=False) as app:
            await app.store.release("old")
            assert "old" not in {s.name for s in (await app.store.stats()).sinks}


async def test_start_now_takes_live_events_only(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    async with simulated(tmp_path) as (sim, config):
        entry = SinkConfig("live", "file", options={"path": str(path)}, start="now")
        async with open_app(evolve(config, sinks=(entry,)), clock=sim.clock) as app:
            await app.poll_once()
            await app.deliver_once(1)
            found = await app.store.history(Query())
    assert any(e.backfilled for e in found)
    assert written(path) == [e.id for e in found if not e.backfilled]
