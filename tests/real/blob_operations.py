"""What a called home asks of Azure Blob Storage, counted by Azurite's access log. Prints JSON, a phase a line.

    python -m tests.real.blob_operations [TENANTS]

A phase is in a process that has just begun ("new") or in one that goes on. No assertions, no figure of our own: what is
counted is what a storage account would charge.
"""

import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, frozen

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import ChangesConfig, Config, PollConfig, RawConfig, SinkConfig, StateConfig
from connector.deliver.delivery import DurableStore
from connector.homes.tenant_turn import TenantTurns
from connector.ports import Start
from connector.simulator.server import Simulation, serve
from connector.simulator.world import World
from connector.stores.blob import open_store
from tests.fakes.simulated import tenants_of
from tests.fakes.sink import FakeSink, delivery
from tests.real.azurite import azurite

NOW = datetime(2026, 9, 8, 8, 3, tzinfo=UTC)
HOUR, TEN_MINUTES = 3600, 600
AT_ONCE = 15
"""Turns of one process, as host.json has it."""
LOG_S = 0.5
"""So long after an answer its line is in the log."""
KINDS = {"GET": "read", "PUT": "write", "DELETE": "delete", "HEAD": "read"}


@frozen
class Phase:
    """What one phase asked, by kind of operation (list, read, write, delete), and how long it took."""

    name: str
    operations: dict[str, int]
    seconds: float


@define
class AccessLog:
    """What came since it was looked at last."""

    path: Path
    at: int = 0

    async def take(self) -> dict[str, int]:
        await asyncio.sleep(LOG_S)
        text = self.path.read_text(errors="replace")
        new, self.at = text[self.at :], len(text)
        asked = re.findall(r'"(GET|PUT|DELETE|HEAD) (\S+) HTTP', new)
        return dict(Counter("list" if "comp=list" in url else KINDS[method] for method, url in asked))


@asynccontextmanager
async def process(sim: Simulation, connection_string: str, folder: Path) -> AsyncIterator[TenantTurns]:
    """Turns as a process that has just begun makes them: it remembers nothing."""
    config = Config(
        tenants=tuple(tenants_of(sim.world, sim.base_url, folder)),
        sinks=(SinkConfig("siem", "webhook", options={"url": "https://127.0.0.1/hook"}),),
        state=StateConfig(directory=tempfile.mkdtemp(dir=folder)),
        raw=RawConfig(keep_days=0),
        poll=PollConfig(backfill_days=1),
        changes=ChangesConfig(inventory="off"),
    )
    async with (
        open_app(config, clock=sim.clock) as app,
        open_store(clock=sim.clock, container="state", connection_string=connection_string) as store,
    ):
        await store.attach([Start("siem")])
        app.store, app.upkeep.store = cast("DurableStore", store), store
        app.poller = evolve(app.poller, store=store)
        app.deliveries = {"siem": delivery(store, FakeSink(), sim.clock)}
        yield TenantTurns(app, deliver_s=0)


async def round_of_all(turns: TenantTurns, messages: list[str]) -> None:
    for first in range(0, len(messages), AT_ONCE):
        await asyncio.gather(*(turns.turn(text.encode()) for text in messages[first : first + AT_ONCE]))


async def counted(tenants: int, folder: Path, tell: Callable[[Phase], None] = lambda _: None) -> dict[str, Phase]:
    """First contact, quiet hours, and looks after all in between. The clock stands still within a phase."""
    from azure.storage.blob.aio import ContainerClient  # noqa: PLC0415 - an extra

    found: dict[str, Phase] = {}
    with azurite(folder, access_log=True) as connection_string:
        async with ContainerClient.from_connection_string(connection_string, "state") as container:
            await container.create_container()
        log = AccessLog(folder / "azurite.log")
        clock = SimulatedClock(NOW)
        async with serve(World(7, tenants, date(2026, 6, 1), sizes=("small",)), clock) as sim:

            async def phase(name: str, work: Coroutine[Any, Any, Any]) -> Any:
                await log.take()
                began = time.monotonic()
                result = await work
                took_s = time.monotonic() - began
                found[name] = Phase(name, await log.take(), round(took_s, 1))
                tell(found[name])
                return result

            def begun() -> Any:
                return process(sim, connection_string, folder)

            async with begun() as turns:
                await phase("first round", round_of_all(turns, await turns.plan()))
                await phase("tend after it", turns.tend())
                await clock.advance(HOUR)
                await round_of_all(turns, await turns.plan())  # what first contact has left to say
                await turns.tend()
            await clock.advance(HOUR)
            async with begun() as turns:
                messages = await phase("plan, new process", turns.plan())
                await phase("quiet round, new process", round_of_all(turns, messages))
                async with begun() as other:
                    await phase("tend after a quiet round, new process", other.tend())
                async with begun() as other:
                    await other.tend()
                    await clock.advance(TEN_MINUTES)
                async with begun() as other:
                    await phase("tend, nothing moved, new process", other.tend())
                await clock.advance(HOUR)
                messages = await phase("plan", turns.plan())
                await phase("quiet round", round_of_all(turns, messages))
                await phase("tend after a quiet round", turns.tend())
                await clock.advance(TEN_MINUTES)
                await turns.tend()
                await clock.advance(TEN_MINUTES)
                await phase("tend, nothing moved", turns.tend())
    return found


def main() -> None:
    tenants = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as folder:

        def tell(phase: Phase) -> None:
            print(json.dumps({"tenants": tenants, phase.name: phase.operations, "s": phase.seconds}), flush=True)  # noqa: T201 - a program

        asyncio.run(counted(tenants, Path(folder), tell))


if __name__ == "__main__":
    main()
