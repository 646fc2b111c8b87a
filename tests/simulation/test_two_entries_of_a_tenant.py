"""Microsoft 365 and Azure of one tenant in one configuration, over real HTTP: from both sources to a file, with a
process that dies again and again, and with an Azure that answers badly.
"""

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve

from connector.app import open_app
from connector.config.values import ArmConfig, Config, SinkConfig, StateConfig
from connector.formats import cloudevents
from connector.loops import App
from connector.model import Event
from connector.observe import memory, units
from connector.ports import Query, Store
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Simulation, serve
from connector.simulator.world import World
from tests.fake_graph import JumpClock
from tests.fakes.simulated import tenants_of

START = date(2026, 6, 1)
NOW = datetime(2026, 9, 8, 8, tzinfo=UTC)
STEP_S = 8 * 3600.0
UNITS_A_COMMIT = 3


class Kill(BaseException):
    """The process dies here. Nothing of ours may catch it."""


@define
class Dying:
    """The real store; the process dies at the n-th commit from now, before it or after it (None = never)."""

    inner: Any
    at: int | None = None
    after: bool = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return cast("Callable[..., Awaitable[Any]]", getattr(self.inner, name))

    async def commit(self, *args: Any) -> Any:
        dies = self.at == 0
        if self.at is not None:
            self.at -= 1
        if dies and not self.after:
            raise Kill
        state = await self.inner.commit(*args)
        if dies:
            raise Kill
        return state


@asynccontextmanager
async def hybrid(folder: Path, faults: Faults | None = None) -> AsyncIterator[tuple[Simulation, Config]]:
    world = World(7, 1, START, sizes=("e5",))
    clock = JumpClock(NOW.isoformat())
    async with serve(world, clock, faults=faults or Faults()) as sim:
        (graph,) = tenants_of(world, sim.base_url, folder)
        arm = ArmConfig("global", sim.base_url)
        azure = evolve(graph, name=f"{graph.name}-azure", source="defender_cloud", arm=arm, compliance=True)
        yield (
            sim,
            Config(
                tenants=(graph, azure),
                sinks=(SinkConfig("out", "file", options={"path": str(folder / "events.jsonl"), "mode": "600"}),),
                state=StateConfig(path=str(folder / "state.db")),
            ),
        )


async def history(app: App) -> list[Event]:
    return await app.store.history(Query())


async def polled(config: Config, sim: Simulation, dice: random.Random | None) -> int:
    """One round of polls and delivery, begun anew after each death; how often it died."""
    deaths = 0
    while True:
        async with open_app(config, clock=sim.clock) as app:
            store = Dying(app.store)
            if dice is not None and deaths < 3:
                store.at, store.after = dice.randint(0, 6), dice.random() < 0.5
            app.poller = evolve(app.poller, store=cast("Store", store), max_days_a_commit=UNITS_A_COMMIT)
            try:
                for tenant in config.tenants:
                    outcome = await app.poller.poll(tenant)
                    assert outcome.status in ("ok", "unchanged"), outcome
            except Kill:
                deaths += 1
                continue
            await app.deliver_once()
            return deaths


def told(folder: Path) -> dict[str, str]:
    """What the file says, by id."""
    lines = (folder / "events.jsonl").read_text().splitlines()
    found = {cloudevents.loads(line).id: line for line in lines}
    assert len(found) == len(lines), "each event once"
    return found


async def test_what_dies_and_what_lives_on_tell_the_same(tmp_path: Path) -> None:
    """Twelve days, three polls a day: whoever died in them has told every event that the other has, and no other."""
    deaths, files = 0, []
    for name in ("lives", "dies"):
        folder = tmp_path / name
        folder.mkdir()
        async with hybrid(folder) as (sim, config):
            for _ in range(36):
                deaths += await polled(config, sim, random.Random(f"{_}") if name == "dies" else None)
                await sim.clock.sleep(STEP_S)
        files.append(told(folder))
    assert deaths > 20
    lived, died = ({key: line for key, line in found.items() if "state_new" not in line} for found in files)
    assert died.keys() == lived.keys()
    own = [json.loads(line)["data"] for line in lived.values()]
    assert {data["source"] for data in own} >= {"graph", "defender_cloud"}
    assert {key: line.partition('"tenant"')[0] for key, line in died.items()} == {
        key: line.partition('"tenant"')[0] for key, line in lived.items()
    }


async def test_whatever_azure_answers_nothing_is_told_to_be_gone_that_is_not(tmp_path: Path) -> None:
    """Weeks of faults: units go when they are gone and not before, every sum is exact, and in the end each unit is as
    Azure has it."""
    kinds = (
        *("query_error", "error", "truncated", "unannounced", "repeated_rows", "limit_hit", "lost_rows", "empty"),
        *("missing_page", "reset", "html", "throttled", "unavailable", "link_loop"),
    )
    dice, faults = random.Random(5), Faults()
    async with hybrid(tmp_path, faults) as (sim, config):
        azure = config.tenants[1]
        for round_ in range(90):
            faults.clear()
            if round_ % 3:
                faults.add(Fault(dice.choice(kinds), path="#", times=dice.randint(1, 9)))
            async with open_app(config, clock=sim.clock) as app:
                await app.poller.poll(azure)
                await app.deliver_once()
            await sim.clock.sleep(STEP_S)
        faults.clear()
        async with open_app(config, clock=sim.clock) as app:
            outcome = await app.poller.poll(azure)
            assert outcome.status == "ok", outcome
            state = await app.store.load(azure.key)
            events = await history(app)
        estate = sim.clouds.estate(azure.tenant_id)
        assert estate is not None
        rows = list(estate.score_rows(sim.world.minute(sim.clock.now())))
    whole = units.whole(azure)
    truth = {
        row["subscriptionId"]: row["properties"]["score"]["current"]
        for row in rows
        if row["type"].lower().endswith("/securescores") and row["properties"].get("score")
    }
    seen = {row["id"]: row["score"] for row in units.roster(memory.head(state)).values() if row["kind"] != "aggregate"}
    assert seen == truth
    removed = [e for e in events if e.type == "unit.removed"]
    assert {e.data["unit"]["id"] for e in removed} == {s.id for s in estate.subscriptions if s.kind == "away"}
    assert len(removed) == 1, "told once, although it was gone for three days of bad answers"
    assert not [e for e in events if e.type == "control.removed"]
    moved = [e for e in events if e.type == "score.changed"]
    assert {e.data["unit"]["kind"] for e in moved} == {"aggregate", "subscription"}
    for event in moved:
        parts = sum(part["delta"] for part in event.data["contributions"])
        assert abs(event.data["delta"] - parts - event.data["residual"]) < 0.0001, event
    assert whole is not None
    newest = memory.decode(units.of_unit(state, whole.key, whole)).newest
    assert newest is not None
    assert newest.day.day == sim.clock.now().date().isoformat()
