"""The whole engine against the simulated Graph over real HTTP: nothing new on a second look, nothing lost, same ids."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import AuthConfig, Config, SinkConfig, StateConfig
from connector.formats import cloudevents
from connector.loops import App
from connector.model import Event, Receipt, Record, accept_all
from connector.ports import Query
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Simulation, serve
from connector.simulator.world import World
from tests.fakes.simulated import tenants_of

START = date(2026, 6, 1)
NOW = datetime(2026, 9, 8, 8, tzinfo=UTC)


@asynccontextmanager
async def simulated(folder: Path, *, tenants: int = 1, now: datetime = NOW) -> AsyncIterator[tuple[Simulation, Config]]:
    """A simulated Graph, and a configuration that reads it into a folder."""
    world = World(7, tenants, START, sizes=("mid", "small"))
    clock = SimulatedClock(now)
    async with serve(world, clock, faults=Faults()) as sim:
        config = Config(
            tenants=tuple(tenants_of(world, sim.base_url, folder)),
            sinks=(SinkConfig("out", "file", options={"path": str(folder / "events.jsonl"), "mode": "600"}),),
            state=StateConfig(path=str(folder / "state.db")),
        )
        yield sim, config


async def poll(app: App) -> list[Event]:
    """One poll and delivery of everything; the events it added."""
    before = {e.id for e in await app.store.history(Query())}
    outcomes = await app.poll_once()
    assert [o.error for o in outcomes] == [None] * len(outcomes)
    await app.deliver_once()
    return [e for e in await app.store.history(Query()) if e.id not in before]


async def advance(sim: Simulation, seconds: float) -> None:
    """Let time pass, for the simulated Graph and for the engine that shares its clock."""
    assert isinstance(sim.clock, SimulatedClock)
    await sim.clock.advance(seconds)


def delivered(folder: Path) -> list[str]:
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [cloudevents.loads(line).id for line in lines]


async def test_first_contact_backfills_and_a_second_look_adds_nothing(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (sim, config), open_app(config, clock=sim.clock) as app:
        first = await poll(app)
        observed = [e for e in first if e.type == "score.observed"]
        assert len(observed) >= 85
        newest = max(e.data["day"] for e in observed)
        assert all(e.backfilled == (e.data["day"] < newest) for e in observed)
        assert all(e.severity == 0 and e.time == f"{e.data['day']}T00:00:00Z" for e in first if e.backfilled)
        inventory = [e for e in first if e.type == "control.observed"]
        assert {e.data["day"] for e in inventory} == {newest}
        assert await poll(app) == []
        assert delivered(tmp_path) == [e.id for e in await app.store.history(Query())]


async def test_ids_are_the_same_on_another_machine(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        async with simulated(tmp_path / name) as (sim, config), open_app(config, clock=sim.clock) as app:
            events = await poll(app)
            await advance(sim, 86_400)
            found.append([e.id for e in events + await poll(app)])
    assert found[0] == found[1]
    assert len(set(found[0])) == len(found[0])


async def test_five_days_switched_off_all_five_come(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (sim, config):
        async with open_app(config, clock=sim.clock) as app:
            await poll(app)
        await advance(sim, 5 * 86_400)
        async with open_app(config, clock=sim.clock) as app:
            new = await poll(app)
        who = sim.world.tenants[0].id
        there = [sim.world.day_text(view.day) for view in sim.world.views(who, sim.clock.now())]
        expected = sorted(day for day in there if day > NOW.date().isoformat())
        got = sorted(
            e.data["day"] for e in new if e.type == "score.observed" and e.data["day"] > NOW.date().isoformat()
        )
        assert got == expected
        assert not any(e.backfilled for e in new)


async def test_every_score_change_sums_exactly_and_owns_its_control_events(tmp_path: Path) -> None:
    async with simulated(tmp_path, tenants=2) as (sim, config), open_app(config, clock=sim.clock) as app:
        await poll(app)
        for _ in range(20):
            await advance(sim, 6 * 3600)
            await poll(app)
        events = await app.store.history(Query())
    moves = {e.id: e for e in events if e.type == "score.changed"}
    assert moves
    for event in moves.values():
        total = sum(c["delta"] for c in event.data["contributions"]) + event.data["residual"]
        assert round(total, 4) == event.data["delta"]
        split = event.data["percent"]
        assert round(split["numerator"] + split["denominator"], 4) == split["delta"]
    linked = [e for e in events if e.type == "control.score_changed" and e.data["transition"] in moves]
    assert linked
    for event in linked:
        assert event.data["snapshot"] == moves[event.data["transition"]].data["snapshot"]


async def test_partial_reads_remove_nothing_and_are_told_once(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (sim, config), open_app(config, clock=sim.clock) as app:
        await poll(app)
        sim.faults.add(Fault("partial", path="secureScoreControlProfiles", times=1))
        await advance(sim, 86_400)
        outcomes = await app.poll_once()
        assert [o.status for o in outcomes] == ["partial"]
        events = await app.store.history(Query())
        assert [e.data["part"] for e in events if e.type == "feed.partial"] == ["catalogue"]
        assert not [e for e in events if e.type in ("profile.removed", "control.removed") and not e.backfilled]
        assert max(e.data["day"] for e in events if e.type == "score.observed") == "2026-09-09"
        await advance(sim, 3600)
        new = await poll(app)
        assert [e.type for e in new if e.stream == "health"] == ["feed.recovered"]


async def test_one_failing_tenant_delays_nobody(tmp_path: Path) -> None:
    async with simulated(tmp_path, tenants=3) as (sim, config):
        broken = config.tenants[1]
        token = tmp_path / "broken.token"
        token.touch(0o600)
        token.write_text("nonsense")
        tenants = (config.tenants[0], evolve(broken, auth=AuthConfig("token", {"file": str(token)})), config.tenants[2])
        async with open_app(evolve(config, tenants=tenants), clock=sim.clock) as app:
            outcomes = await app.poll_once()
            assert [o.status for o in outcomes] == ["ok", "failed", "ok"]
            assert "SecurityEvents.Read.All" in outcomes[1].error + outcomes[1].hint  # type: ignore[operator]
            problems = [e for e in await app.store.history(Query()) if e.type == "connector.problem"]
            assert [(e.data["reason"], e.tenant_id) for e in problems] == [
                ("state_new", ""),
                ("denied", broken.tenant_id),
            ]


async def test_a_frozen_feed_is_stale_after_48_hours_and_recovers(tmp_path: Path) -> None:
    async with simulated(tmp_path) as (sim, config), open_app(config, clock=sim.clock) as app:
        await poll(app)
        sim.faults.add(Fault("frozen", until=NOW + timedelta(days=4)))
        told: list[str] = []
        for _ in range(12):
            await advance(sim, 12 * 3600)
            told += [e.type for e in await poll(app) if e.stream == "health"]
        assert told.count("feed.recovered") == 1
        assert told[0] == "feed.stale"
        assert 2 <= told.count("feed.stale") <= 3  # once, then repeated daily


def test_events_are_one_json_object_a_line() -> None:
    text = cloudevents.dumps(Event("i", "s", "feed.gap", "x", "t", {"stream": "health", "text": "a\nb\u2028c"}))
    assert "\n" not in text
    assert json.loads(text)["data"]["text"] == "a\nb\u2028c"


class Counting:
    """A sink that takes everything, and only counts."""

    name, max_records, max_bytes, replay_window_s = "out", 100, 10**6, 0.0

    def __init__(self) -> None:
        self.got: list[Record] = []

    async def send(self, records: Sequence[Record]) -> Receipt:
        self.got += records
        return accept_all(records)

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


async def test_processes_started_anew_count_on_in_their_heartbeats(tmp_path: Path) -> None:
    """What each process delivers after its heartbeat is told by the next one: the sums prove completeness."""
    async with simulated(tmp_path) as (sim, config):
        sink, taken = Counting(), []
        for _ in range(4):
            async with open_app(config, clock=sim.clock, ready={"out": sink}, called="hf1-prod") as app:
                polls, sinks = await app.visit()
                assert {poll.status for poll in polls} <= {"ok", "unchanged"}
                assert [outcome.state for outcome in sinks] == ["ok"]
            taken.append(len(sink.got))
            await advance(sim, 3600)
        beats = [json.loads(str(r.payload)) for r in sink.got if "connector.heartbeat" in str(r.payload)]
        assert [beat["data"]["instance"] for beat in beats] == ["hf1-prod"] * 4
        told = [beat["data"]["delivered"]["out"] for beat in beats]
        assert told == [0, taken[0], *(after - before for before, after in pairwise(taken[:3]))]
        assert [b["data"]["since"] for b in beats[1:]] == [b["data"]["observed_at"] for b in beats[:-1]]
