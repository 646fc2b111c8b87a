"""Whether an account would work, as its page asks: against a simulated Graph, with a token that is given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.config.values import Config, SinkConfig, StateConfig
from connector.errors import Denied, Unavailable
from connector.homes import try_account
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Simulation, serve
from connector.simulator.world import World
from tests.fakes.simulated import tenants_of

NOW = datetime(2026, 9, 8, 8, 3, tzinfo=UTC)


@asynccontextmanager
async def account(folder: Path, faults: Faults | None = None) -> AsyncIterator[tuple[Config, Simulation]]:
    world = World(7, 1, date(2026, 6, 1), sizes=("small",))
    async with serve(world, SimulatedClock(NOW), faults=faults or Faults()) as sim:
        tenants = tuple(tenants_of(world, sim.base_url, folder))
        yield (
            Config(
                tenants=tenants,
                sinks=(SinkConfig("siem", "webhook", options={"url": "https://127.0.0.1/hook"}),),
                state=StateConfig(directory=str(folder / "state")),
            ),
            sim,
        )


async def test_a_good_account_names_the_newest_day_and_leaves_nothing(tmp_path: Path) -> None:
    async with account(tmp_path) as (config, _):
        assert await try_account.try_account(config) == "newest day 2026-09-08"
    assert not (tmp_path / "state").exists()


async def test_what_a_poll_would_meet_is_raised_as_it_would(tmp_path: Path) -> None:
    async with account(tmp_path, Faults([Fault("denied")])) as (config, _):
        with pytest.raises(Denied, match="403"):
            await try_account.try_account(config)


async def test_a_page_waits_no_longer_than_its_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_account, "LIMIT_S", 0.0)
    async with account(tmp_path) as (config, sim):
        with pytest.raises(Unavailable, match="no answer within 0 s") as caught:
            await try_account.try_account(config)
        assert sim.base_url in caught.value.hint
