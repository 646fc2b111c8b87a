"""Ten days with the archive, then the state is lost: `source: files` over the evidence rebuilds it in full detail."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import AuthConfig, Config, GraphConfig, RawConfig, SinkConfig, StateConfig, TenantConfig
from connector.model import Event
from connector.observe import memory
from connector.observe.memory import Memory
from connector.ports import Query
from connector.simulator.faults import Faults
from connector.simulator.server import serve, token_for
from connector.simulator.world import World

NOW = datetime(2026, 9, 8, 8, tzinfo=UTC)
LIVE_DAYS = 10


async def everything(config: Config, clock: SimulatedClock, tenant_id: str) -> tuple[Memory, list[Event]]:
    async with open_app(config, clock=clock, writer=False) as app:
        return memory.decode(await app.store.load(tenant_id)), await app.store.history(Query())


@pytest.mark.parametrize("home", ["path", "directory"])
async def test_a_lost_state_is_rebuilt_from_the_evidence(tmp_path: Path, home: str) -> None:
    def state_in(place: Path) -> StateConfig:
        return StateConfig(path=str(place)) if home == "path" else StateConfig(directory=str(place))

    world = World(7, 1, date(2026, 6, 1), sizes=("mid",))
    clock = SimulatedClock(NOW)
    who = world.tenants[0]
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(token_for(who.id))
    async with serve(world, clock, faults=Faults()) as sim:
        live = TenantConfig(
            who.name, who.id, auth=AuthConfig("token", {"file": str(token)}), graph=GraphConfig(base_url=sim.base_url)
        )
        config = Config(
            tenants=(live,),
            sinks=(SinkConfig("out", "file", options={"path": str(tmp_path / "events.jsonl"), "mode": "600"}),),
            state=state_in(tmp_path / "state"),
            raw=RawConfig(keep_days=400, path=str(tmp_path / "evidence")),
        )
        async with open_app(config, clock=clock) as app:
            for _ in range(LIVE_DAYS * 4):
                assert {o.status for o in await app.poll_once()} <= {"ok", "unchanged"}
                await app.deliver_once()
                await clock.advance(6 * 3600)
    before, told = await everything(config, clock, who.id)
    assert before.newest is not None

    files = TenantConfig(who.name, who.id, source="files", path=str(tmp_path / "evidence" / who.id))
    rebuilding = evolve(config, tenants=(files,), state=state_in(tmp_path / "rebuilt"))
    async with open_app(rebuilding, clock=clock) as app:
        assert [o.status for o in await app.poll_once()] == ["ok"]
        assert [o.status for o in await app.poll_once()] == ["unchanged"]
    after, again = await everything(rebuilding, clock, who.id)

    assert after.profiles == before.profiles
    assert after.newest is not None
    assert after.newest.day == before.newest.day
    assert after.days.keys() == before.days.keys()
    detailed = [day for day, version in before.days.items() if version.day.detailed]
    assert len(detailed) >= LIVE_DAYS - 2
    for day, version in before.days.items():
        assert after.days[day].day == version.day, f"{day} in full detail"
        assert after.days[day].hash == version.hash

    # The same facts have the same ids: wherever a day had one revision, the events about it are the same.
    first = {day for day, version in before.days.items() if version.revision == 0}
    types = ("score.observed", "score.changed")
    ids_told = {e.id for e in told}
    same = [e for e in again if e.type in types and e.data["day"] in first and e.data["revision"] == 0]
    assert len(same) > LIVE_DAYS
    previous = sorted(before.days)
    for event in same:
        at = previous.index(event.data["day"])
        if event.type == "score.observed" or (at and previous[at - 1] in first):
            assert event.id in ids_told, (event.type, event.data["day"])
    assert all(e.backfilled for e in again if e.stream == "change" and e.data["day"] < after.newest.day.day)
