"""Promises that a home keeps in a way of its own: `once`, the function app and the add-on, where `run` is not the test.

The table in docs/reliability.md names for each promise and home the test that holds it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import ChangesConfig, Config, PollConfig, RawConfig, SinkConfig, StateConfig
from connector.homes.tenant_turn import TenantTurns
from connector.loops import App
from connector.model import Receipt, Record
from connector.ports import Query
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Simulation, serve
from connector.simulator.world import World
from tests.fakes.simulated import tenants_of
from tests.fakes.sink import FakeSink

NOW = datetime(2026, 9, 8, 8, tzinfo=UTC)
HOMES = ("once", "functions", "add-on")
Told = list[tuple[str, str]]


class Home:
    """One state that processes of a home work on, one after another; what their only sink took lies in `sink`."""

    def __init__(self, kind: str, config: Config, sim: Simulation, clock: SimulatedClock) -> None:
        self.kind, self.config, self.sim, self.clock = kind, config, sim, clock
        self.sink = FakeSink("out")

    async def work(self) -> None:
        """What one process, or one round of the queue, does."""
        async with open_app(self.config, clock=self.clock, ready={"out": self.sink}) as app:
            if self.kind == "functions":
                await self._round(app)
            elif self.kind == "once":
                await app.poll_once()
                await app.deliver_once(0)
            else:
                await app.visit(0)

    @staticmethod
    async def _round(app: App) -> None:
        turns = TenantTurns(app, deliver_s=0)
        for body in [*await turns.plan(), *await turns.tend()]:
            await turns.turn(body.encode())
        for body in await turns.tend():
            await turns.turn(body.encode())

    async def told(self, kind: str, reason: str) -> list[Any]:
        async with open_app(self.config, clock=self.clock, ready={"out": self.sink}, writer=False) as app:
            events = await app.store.history(Query())
        return [e for e in events if e.type == kind and e.data.get("reason") == reason]


@asynccontextmanager
async def home(kind: str, folder: Path, tenants: int) -> AsyncIterator[Home]:
    world = World(7, tenants, date(2026, 6, 1), sizes=("small",))
    clock = SimulatedClock(NOW)
    async with serve(world, clock, faults=Faults()) as sim:
        state = StateConfig(directory=str(folder / "state"))
        config = Config(
            tenants=tuple(tenants_of(world, sim.base_url, folder)),
            sinks=(SinkConfig("out", "webhook", options={"url": "https://127.0.0.1/hook"}),),
            state=StateConfig(path=str(folder / "state.db")) if kind == "once" else state,
            raw=RawConfig(keep_days=0),
            poll=PollConfig(backfill_days=2),
            changes=ChangesConfig(inventory="off"),
        )
        yield Home(kind, config, sim, clock)


def expiring(config: Config, day: str | None) -> Config:
    tenants = [evolve(t, auth=evolve(t.auth, expires_on=day)) for t in config.tenants if t.auth]
    return evolve(config, tenants=tuple(tenants))


@pytest.mark.parametrize("kind", HOMES)
async def test_a_credential_that_expires_is_told_and_its_renewal(kind: str, tmp_path: Path) -> None:
    async with home(kind, tmp_path, 1) as made:
        well = made.config
        made.config = expiring(well, "2026-09-12")
        await made.work()
        (problem,) = await made.told("connector.problem", "secret_expiring")
        assert problem.id in made.sink.got, "and delivered by the same process"
        assert problem.data["days_left"] == 3
        await made.clock.advance(3600)
        made.config = well
        await made.work()
        (recovered,) = await made.told("connector.recovered", "secret_expiring")
        assert recovered.id in made.sink.got


@pytest.mark.parametrize("kind", ["once", "functions"])
async def test_many_tenants_in_one_trouble_are_told_together(kind: str, tmp_path: Path) -> None:
    async with home(kind, tmp_path, 12) as made:
        made.sim.faults.add(Fault("denied"))
        await made.work()
        storm = [e for e in await made.told("connector.problem", "denied") if not e.tenant_id]
        assert [e.data["tenants"]["count"] for e in storm] == [12]
        assert storm[0].id in made.sink.got, "and delivered by the same process"


@pytest.mark.parametrize("kind", HOMES)
async def test_an_event_that_the_sink_refuses_is_parked_and_the_queue_moves_on(kind: str, tmp_path: Path) -> None:
    async with home(kind, tmp_path, 2) as made:

        def refuse_first(records: Sequence[Record]) -> Receipt:
            first, *others = (r.event_id for r in records)
            behave.append(first)
            return Receipt(accepted=frozenset(others), rejected={first: "no thanks"})

        behave: list[str] = []
        made.sink.behave = refuse_first
        await made.work()
        made.sink.behave = lambda records: Receipt(accepted=frozenset(r.event_id for r in records), rejected={})
        await made.clock.advance(3600)
        await made.work()
        async with open_app(made.config, clock=made.clock, ready={"out": made.sink}, writer=False) as app:
            (stats,) = (await app.store.stats()).sinks
        assert behave
        assert (stats.parked, stats.backlog) == (len(behave), 0)


@pytest.mark.parametrize("kind", HOMES)
async def test_one_tenant_that_cannot_be_read_is_told_and_the_others_go_on(kind: str, tmp_path: Path) -> None:
    async with home(kind, tmp_path, 3) as made:
        troubled = made.config.tenants[1]
        made.sim.faults.add(Fault("denied", tenant=troubled.tenant_id))
        await made.work()
        (problem,) = await made.told("connector.problem", "denied")
        assert problem.tenant_id == troubled.tenant_id
        assert problem.id in made.sink.got
        async with open_app(made.config, clock=made.clock, ready={"out": made.sink}, writer=False) as app:
            days = {e.tenant_id for e in await app.store.history(Query()) if e.type == "score.observed"}
        assert days == {t.tenant_id for t in made.config.tenants} - {troubled.tenant_id}
