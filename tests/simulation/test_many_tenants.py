"""Two hundred tenants at a Graph that enforces its limits: nobody exceeds one, and no tenant's trouble is another's."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import (
    ChangesConfig,
    Config,
    PollConfig,
    RawConfig,
    SinkConfig,
    StateConfig,
)
from connector.loops import App
from connector.observe.poller import PollOutcome
from connector.ports import Query
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Budget, Simulation, serve
from connector.simulator.world import World
from tests.fakes.simulated import tenants_of

NOW = datetime(2026, 9, 8, 8, tzinfo=UTC)
HOUR = 3600.0


@asynccontextmanager
async def partner(folder: Path, count: int, *, limit: Budget | None = None) -> AsyncIterator[tuple[Simulation, Config]]:
    """A simulated Graph with this many tenants, and the configuration of a partner who reads them all."""
    world = World(7, count, date(2026, 6, 1), sizes=("small",))
    clock = SimulatedClock(NOW)
    async with serve(world, clock, faults=Faults(), budget=limit or Budget()) as sim:
        yield (
            sim,
            Config(
                tenants=tuple(tenants_of(world, sim.base_url, folder)),
                sinks=(SinkConfig("out", "file", options={"path": str(folder / "events.jsonl"), "mode": "600"}),),
                state=StateConfig(path=str(folder / "state.db")),
                raw=RawConfig(keep_days=0),
                changes=ChangesConfig(inventory="off"),
                poll=PollConfig(backfill_days=2, requests_per_minute=12, requests_per_ten_minutes=60),
            ),
        )


class Daemon:
    """`run` on a simulated clock, driven from outside."""

    def __init__(self, app: App) -> None:
        assert isinstance(app.clock, SimulatedClock)
        self.app = app
        self.clock = app.clock
        self.outcomes: list[tuple[datetime, PollOutcome]] = []
        self.stop = asyncio.Event()
        self.task = asyncio.ensure_future(app.run(self.stop, self._note))

    def _note(self, outcome: PollOutcome) -> None:
        self.outcomes.append((self.clock.now(), outcome))

    async def until(self, polls: int, *, step_s: float = 1.0, most_s: float = 2 * HOUR) -> None:
        """Let time pass until so many polls are done. Real work takes real time, in which the clock stands still."""
        waited_s = 0.0
        while len(self.outcomes) < polls:
            if self.task.done():
                self.task.result()
            before = len(self.outcomes)
            for _ in range(200):
                await asyncio.sleep(0.002)
                if len(self.outcomes) >= polls:
                    return
                if len(self.outcomes) == before and not self._busy():
                    break
                before = len(self.outcomes)
            assert waited_s < most_s, f"{len(self.outcomes)} of {polls} polls"
            waited_s += step_s
            await self.clock.advance(step_s)

    def _busy(self) -> bool:
        return any(t.get_name().startswith("observe:") for t in asyncio.all_tasks())

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 60)

    def by_tenant(self) -> Counter[str]:
        return Counter(outcome.tenant for _, outcome in self.outcomes)


async def test_two_hundred_tenants_keep_their_limits_and_trouble_stays_at_home(tmp_path: Path) -> None:
    async with partner(tmp_path, 200, limit=Budget(per_minute=12, per_ten_minutes=60)) as (sim, config):
        throttled, denied, foreign = (t.tenant_id for t in config.tenants[5:8])
        sim.faults.add(Fault("throttled", tenant=throttled))
        sim.faults.add(Fault("denied", tenant=denied))
        sim.faults.add(Fault("foreign_link", tenant=foreign))
        async with open_app(config, clock=sim.clock) as app:
            daemon = Daemon(app)
            await daemon.until(200)
            # Two hundred first polls, and not even the throttled tenant held up the clock for longer than its retries.
            assert (daemon.clock.now() - NOW).total_seconds() < 120
            await daemon.end()

        outcomes = {outcome.tenant: outcome for _, outcome in daemon.outcomes}
        names = {t.tenant_id: t.name for t in config.tenants}
        assert len(outcomes) == 200
        assert outcomes[names[denied]].reason == "denied"
        assert outcomes[names[throttled]].status == "failed"
        assert outcomes[names[foreign]].status == "partial"
        assert "no token was sent" in (outcomes[names[foreign]].error or "")
        troubled = {names[t] for t in (throttled, denied, foreign)}
        assert {o.status for name, o in outcomes.items() if name not in troubled} == {"ok"}

        # Who was told 429 was told so by the fault: the enforcing server had nobody to refuse.
        assert {seen.tenant for seen in sim.requests if seen.status == 429} == {throttled}
        assert {seen.tenant for seen in sim.requests if seen.status == 403} == {denied}
        others = [outcome for _, outcome in daemon.outcomes if outcome.tenant not in troubled]
        assert len(others) == 197


async def test_polls_in_a_row_wait_for_the_budget_instead_of_breaking_it(tmp_path: Path) -> None:
    """What an impatient operator does: `once` in a loop, over a catalogue of several pages."""
    async with partner(tmp_path, 1, limit=Budget(per_minute=12, per_ten_minutes=60)) as (sim, config):
        async with open_app(config, clock=sim.clock) as app:
            polls = asyncio.ensure_future(_in_a_row(app, 8))
            assert isinstance(sim.clock, SimulatedClock)
            for _ in range(1_000):
                await asyncio.sleep(0.003)
                if polls.done():
                    break
                await sim.clock.advance(1)
            outcomes = await polls
        assert 429 not in {seen.status for seen in sim.requests}
        assert len(sim.requests) > 12
        assert (sim.clock.now() - NOW).total_seconds() > 60
        assert outcomes[0].status == "ok"


async def _in_a_row(app: App, count: int) -> list[PollOutcome]:
    return [(await app.poll_once())[0] for _ in range(count)]


async def test_without_our_own_budget_the_server_refuses(tmp_path: Path) -> None:
    """The enforcing server enforces: the tests above cannot pass by accident."""
    async with partner(tmp_path, 1, limit=Budget(per_minute=12, per_ten_minutes=60)) as (sim, config):
        free = evolve(config, poll=evolve(config.poll, requests_per_minute=10_000, requests_per_ten_minutes=10_000))
        async with open_app(free, clock=sim.clock) as app:
            polls = asyncio.ensure_future(_in_a_row(app, 6))
            assert isinstance(sim.clock, SimulatedClock)
            for _ in range(1_000):
                await asyncio.sleep(0.003)
                if polls.done() or 429 in {seen.status for seen in sim.requests}:
                    break
                await sim.clock.advance(1)
            polls.cancel()
            await asyncio.gather(polls, return_exceptions=True)
        assert 429 in {seen.status for seen in sim.requests}


async def test_tenants_come_and_go_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with partner(tmp_path, 6) as (sim, config):
        first, later = config.tenants[:4], config.tenants[2:]
        async with open_app(evolve(config, tenants=first), clock=sim.clock) as app:
            daemon = Daemon(app)
            await daemon.until(4)
            moment = daemon.clock.now()
            app.replace_tenants(later)
            await daemon.until(6)
            added = {outcome.tenant for _, outcome in daemon.outcomes[4:]}
            assert added == {t.name for t in config.tenants[4:]}, (
                "new ones are polled at once, the others at their turn"
            )
            assert (daemon.clock.now() - moment).total_seconds() < 10
            seen = len(daemon.outcomes)
            await daemon.until(seen + 8, step_s=60.0, most_s=4 * HOUR)
            again = Counter(outcome.tenant for _, outcome in daemon.outcomes[seen:])
            assert set(again) == {t.name for t in later}
            await daemon.end()
            assert [t.name for t in app.tenants()] == [t.name for t in later]
            kept = {e.tenant_id for e in await app.store.history(Query())}
        assert {t.tenant_id for t in config.tenants} <= kept, "what is known of a removed tenant is not deleted"
        assert "simulated." not in caplog.text


async def test_polls_spread_over_the_interval(tmp_path: Path) -> None:
    async with partner(tmp_path, 12) as (sim, config):
        async with open_app(config, clock=sim.clock) as app:
            daemon = Daemon(app)
            await daemon.until(12)
            await daemon.until(12 * 3, step_s=30.0, most_s=5 * HOUR)
            await daemon.end()
        minutes = Counter(int((moment - NOW).total_seconds() // 60) for moment, _ in daemon.outcomes[12:])
        assert max(minutes.values()) <= 4
        assert len(minutes) >= 16
        assert set(daemon.by_tenant().values()) <= {2, 3, 4}
