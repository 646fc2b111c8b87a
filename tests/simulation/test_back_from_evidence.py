"""Evidence of subscriptions and device groups, read into a new state: the same days, under the same ids."""

from pathlib import Path

from attrs import evolve

from connector.app import open_app
from connector.config.values import Config, RawConfig, StateConfig
from connector.model import Event
from connector.ports import Clock, Query
from connector.simulator.faults import Faults
from tests.simulation.test_month_of_subscriptions import running

DAYS = 6


async def polled(config: Config, clock: Clock, times: int) -> list[Event]:
    """What was told by so many polls, a day apart."""
    async with open_app(config, clock=clock) as app:
        for turn in range(times):
            if turn:
                await clock.sleep(24 * 3600)
            assert {outcome.status for outcome in await app.poll_once()} == {"ok"}
        return await app.store.history(Query())


async def test_the_days_of_the_evidence_are_those_that_were_polled(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    async with running(tmp_path / "here", Faults()) as (sim, config, _):
        await sim.clock.sleep(7 * 24 * 3600)  # in these days no subscription comes or goes
        live = await polled(config, sim.clock, DAYS)
        home = tmp_path / "here" / "evidence"
        saved = [evolve(entry, auth=None, path=str(home / entry.key)) for entry in config.tenants]
        state, raw = StateConfig(path=str(tmp_path / "again.db")), RawConfig(keep_days=0)
        again = await polled(evolve(config, tenants=tuple(saved), state=state, raw=raw), sim.clock, 1)

    def observed(events: list[Event]) -> dict[str, tuple[str, str, float]]:
        return {
            e.id: (str(e.unit_key), str(e.data["day"]), float(e.data["score"]["current"]))
            for e in events
            if e.type == "score.observed"
        }

    assert len({day for _, day, _ in observed(live).values()}) == DAYS
    assert observed(again) == observed(live), "each unit, the score over all among them, and each day"
    moves = [{e.id for e in events if e.type == "score.changed"} for events in (live, again)]
    assert moves[0] == moves[1] != set()
    newest = max(day for _, day, _ in observed(live).values())
    assert {str(e.data["day"]) for e in again if e.type == "score.observed" and not e.backfilled} == {newest}
