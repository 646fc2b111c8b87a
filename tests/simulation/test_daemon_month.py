"""A simulated month of the daemon: outages, throttling, reloads. Nothing is lost, nothing grows, every slot beats."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config import Config, HealthConfig, PollConfig
from connector.formats import cloudevents
from connector.loops import App
from connector.ports import Query
from connector.simulator.faults import Fault
from connector.simulator.server import Simulation
from tests.simulation.test_many_tenants import partner

DAYS = 30
STEP_S = 8 * 3600.0
TURNS_A_DAY = 3
TRACED = (7, 8, 16)
"""The days on which memory is traced from, compared from, and judged: tracing triples the cost of everything."""
GROWTH_BYTES = 80_000
"""What the week between the last two may add. Earlier ones do not count: caches settle."""


def held() -> int:
    """What the connector's own lines hold, in bytes. The simulated Graph lives in this process too, and remembers."""
    gc.collect()
    ours = tracemalloc.Filter(True, "*/connector/*")
    sim = tracemalloc.Filter(False, "*/simulator/*")
    shot = tracemalloc.take_snapshot().filter_traces((ours,)).filter_traces((sim,))
    return sum(s.size for s in shot.statistics("filename"))


@asynccontextmanager
async def running(app: App) -> AsyncIterator[Counter[str]]:
    """The daemon; counts the outcomes of its polls."""
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()
    task = asyncio.ensure_future(app.run(stop, lambda outcome: outcomes.update([outcome.status])))
    yield outcomes
    stop.set()
    for _ in range(100):
        if task.done():
            break
        await asyncio.sleep(0.01)
        assert isinstance(app.clock, SimulatedClock)
        await app.clock.advance(1)
    await asyncio.wait_for(task, 10)


async def quiet(app: App, sim: Simulation) -> None:
    """Let real work happen while the clock stands still: until nothing waits, or all that waits waits for the clock."""
    seen: tuple[int, int] | None = None
    idle = 0
    while idle < 6:
        await asyncio.sleep(0.003)
        backlog = sum(s.backlog for s in (await app.store.stats()).sinks)
        polling = any(t.get_name().startswith("observe:") for t in asyncio.all_tasks())
        if not polling and not backlog:
            return
        now = (len(sim.requests), backlog)
        idle, seen = (idle + 1 if now == seen else 0), now


async def pass_time(app: App, sim: Simulation, seconds: float) -> None:
    """In small steps at first: back-offs and turns that come due one after the other all run."""
    assert isinstance(app.clock, SimulatedClock)
    for step_s in (1.0, 20.0, 60.0, seconds - 81.0):
        await app.clock.advance(step_s)
        await quiet(app, sim)


async def test_a_month_loses_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with partner(tmp_path, 3) as (sim, made):
        config: Config = evolve(
            made, poll=PollConfig(interval_s=STEP_S, backfill_days=2), health=HealthConfig(heartbeat_s=STEP_S)
        )
        clock = sim.clock
        assert isinstance(clock, SimulatedClock)
        async with open_app(config, clock=clock) as app, running(app) as outcomes:
            tasks = used = grown = 0
            for turn in range(DAYS * TURNS_A_DAY):
                day, hour = divmod(turn, TURNS_A_DAY)
                if hour == 0:
                    sim.faults.clear()
                    if day % 7 == 2:
                        sim.faults.add(Fault("unavailable"))
                    if day % 7 == 4:
                        sim.faults.add(Fault("throttled", tenant=config.tenants[1].tenant_id))
                    # One tenant leaves every fifth day and comes back the day after.
                    app.replace_tenants(config.tenants[: 2 if day % 5 == 3 else 3])
                await pass_time(app, sim, STEP_S)
                if turn == TRACED[0] * TURNS_A_DAY:
                    tracemalloc.start()
                elif turn == TRACED[1] * TURNS_A_DAY:
                    tasks, used = len(asyncio.all_tasks()), held()
                elif turn == TRACED[2] * TURNS_A_DAY:
                    grown = held() - used
                    tracemalloc.stop()
            assert len(asyncio.all_tasks()) <= tasks + 6  # a poll or a turn more may be under way
            assert grown < GROWTH_BYTES, grown
            sim.faults.clear()
            await pass_time(app, sim, STEP_S)
            committed = await app.store.history(Query())
            assert outcomes["failed"] >= 10
            assert outcomes["ok"] + outcomes["unchanged"] >= 100
        written = [cloudevents.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert {e.id for e in written} == {e.id for e in committed}
        beats = [e for e in written if e.type == "connector.heartbeat"]
        assert len(beats) >= DAYS * TURNS_A_DAY - 3
        assert len({e.id for e in beats}) == len(beats)
        # The heartbeats account for every delivery but those after the last one.
        counted = sum(e.data["delivered"]["out"] for e in beats)
        after = len(written) - 1 - written.index(beats[-1])
        assert counted + after + 1 == len(written)
