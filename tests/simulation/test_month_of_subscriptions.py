"""A month of Azure subscriptions and of device groups, polled every two hours over real HTTP while all goes wrong that
is known to: nothing seems to be gone that is not, every change is told once, and all sums are exact.
"""

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import evolve

from connector.app import open_app
from connector.config.values import ArmConfig, Config, EndpointConfig, StateConfig
from connector.model import Event
from connector.ports import Query
from connector.simulator.estate import AWAY_EVERY, AWAY_FROM, COMES_ON_DAY, Estate
from connector.simulator.faults import KINDS, Fault, Faults
from connector.simulator.server import Budget, Simulation, serve
from connector.simulator.world import World
from tests.fake_graph import JumpClock
from tests.fakes.simulated import tenants_of

START = date(2026, 6, 1)
BEGIN_DAY, DAYS, STEP_S = 35, 30, 2 * 3600.0
"""Within them one subscription is away for three days, and another comes."""
SLOW = {"slow", "huge", "gzip_bomb", "challenge", "frozen", "future", "sentinels", "partial"}
BAD = sorted(kind for kind in KINDS if kind not in SLOW and not kind.startswith("write_"))


@asynccontextmanager
async def running(folder: Path, faults: Faults) -> AsyncIterator[tuple[Simulation, Config, Estate]]:
    world = World(7, 1, START, sizes=("mid",))
    clock = JumpClock(datetime(2026, 6, 1, 6, tzinfo=UTC).isoformat())
    clock._now += timedelta(days=BEGIN_DAY)
    async with serve(world, clock, faults=faults, budget=Budget()) as sim:
        (graph,) = tenants_of(world, sim.base_url, folder)
        azure = evolve(graph, name="azure", source="defender_cloud", arm=ArmConfig("global", sim.base_url))
        devices = evolve(
            graph, name="devices", source="defender_endpoint", defender_endpoint=EndpointConfig(sim.base_url)
        )
        state = StateConfig(path=str(folder / "state.db"))
        estate = sim.clouds.estate(graph.tenant_id)
        assert estate is not None
        yield sim, Config(tenants=(azure, evolve(devices, compliance=False)), sinks=(), state=state), estate


async def a_month(folder: Path, dice: random.Random | None) -> tuple[Simulation, Estate, list[Event], set[str]]:
    """All events of the month, and how its polls ended; without dice nothing goes wrong."""
    faults, ended = Faults(), set[str]()
    async with running(folder, faults) as (sim, config, estate), open_app(config, clock=sim.clock) as app:
        first = sim.clock.now()
        for turn in range(DAYS * 12 + 1):
            at = first + timedelta(seconds=turn * STEP_S)
            await sim.clock.sleep(max(0.0, (at - sim.clock.now()).total_seconds()))
            faults.clear()
            if dice is not None and turn and dice.random() < 0.6:
                for path in ("#scores/", "#subscriptions/", "#", "exposureScore"):
                    if dice.random() < 0.5:
                        wish = dice.choice((None, 2.0, 900.0))
                        faults.add(Fault(dice.choice(BAD), path, times=dice.choice((1, 2, 9)), retry_after_s=wish))
            for tenant in config.tenants:
                outcome = await app.poller.poll(tenant)
                ended.add(outcome.status)
        faults.clear()
        await sim.clock.sleep(60)
        for tenant in config.tenants:
            outcome = await app.poller.poll(tenant)
            assert outcome.status in ("ok", "unchanged"), outcome
        return sim, estate, await app.store.history(Query()), ended


def truth(estate: Estate, sim: Simulation) -> dict[tuple[str, str], float]:
    """(subscription, control) → points, as Azure has them now; the subscription's own score under "ascScore"."""
    found = {}
    for row in estate.score_rows(sim.world.minute(sim.clock.now())):
        score = row["properties"]["score"]
        if score:
            found[row["subscriptionId"], row["name"]] = score["current"]
    return found


def unit_of(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = event.data["unit"]
    return found


def check_told(sim: Simulation, estate: Estate, events: list[Event]) -> None:
    kinds = {one.kind: one.id for one in estate.subscriptions}
    live = [e for e in events if not e.backfilled]
    assert len({e.id for e in events}) == len(events)

    # Gone is what is gone for a day, and nothing else.
    removed = [(e.type, unit_of(e)["id"]) for e in live if e.type in ("unit.removed", "unit.added")]
    assert removed == [
        ("unit.removed", kinds["away"]),
        ("unit.added", kinds["away"]),
        ("unit.added", kinds["late"]),
    ]
    assert not [e for e in live if e.type in ("control.removed", "profile.removed")]

    # Every sum is exact.
    moves = [e for e in live if e.type == "score.changed"]
    assert {unit_of(e)["kind"] for e in moves} >= {"subscription", "aggregate", "device_group"}
    for event in moves:
        parts = sum(part["delta"] for part in event.data["contributions"])
        assert abs(event.data["delta"] - parts - event.data["residual"]) < 0.0001, event

    # What was told of a control goes on where the last telling ended, and ends within the noise of what is now.
    told: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in live:
        if event.type == "control.score_changed" and unit_of(event)["kind"] == "subscription":
            told[unit_of(event)["id"], event.subject].append(event)
    assert len(told) > 20
    now = truth(estate, sim)
    for (sub, control), chain in told.items():
        for before, after in pairwise(chain):
            if sub != kinds["away"]:  # which begins anew when it returns
                assert after.data["before"]["score"] == before.data["after"]["score"], (before, after)
        last, points = chain[-1].data["after"], now[sub, control]
        most = chain[-1].data["control"]["max_score"] or 0
        assert abs(last["score"] - points) < 0.5 or abs(last["score"] - points) < 0.1 * most, (sub, control)

    # The last score observed is the one there is.
    newest = {unit_of(e)["id"]: e.data["score"]["current"] for e in live if e.type == "score.observed"}
    assert {sub: newest[sub] for sub, name in now if name == "ascScore"} == {
        sub: points for (sub, name), points in now.items() if name == "ascScore"
    }


def test_the_month_has_what_it_is_about() -> None:
    assert BEGIN_DAY < AWAY_FROM + AWAY_EVERY < COMES_ON_DAY < BEGIN_DAY + DAYS


async def test_a_month_in_which_all_goes_well(tmp_path: Path) -> None:
    sim, estate, events, ended = await a_month(tmp_path, None)
    assert ended == {"ok", "unchanged"}
    check_told(sim, estate, events)


async def test_a_month_in_which_everything_goes_wrong(tmp_path: Path) -> None:
    sim, estate, events, ended = await a_month(tmp_path, random.Random(11))
    assert ended >= {"ok", "unchanged", "partial", "failed"}
    check_told(sim, estate, events)
