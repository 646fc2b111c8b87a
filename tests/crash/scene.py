"""One recorded life of the real connector: first contact, days, an outage, a stop, commands beside it, a retention.

What it writes is recorded from the first byte on; what the webhook hears is noted among it. Nothing is asserted here.
"""

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from attrs import define

from connector.clock import SimulatedClock, SystemClock
from connector.deliver.delivery import DurableStore
from connector.stores.directory import open_store as open_directory
from connector.stores.sqlite import open_store as open_sqlite
from tests.crash.recording import Recording, shim
from tests.fakes.daemon import Recorder, securescore, started, surroundings

STORES = {"sqlite": "{path: data/state/state.db}", "directory": "{directory: data/state}"}
"""Nobody but the store has a reason to sync the folder above its own: what it forgets there is lost with the power."""
DAY_S = 86_400.0


async def open_state(home: Path, store: str, *, writer: bool = False) -> DurableStore:
    """The state of a home, as the connector opens it. Raises StoreError."""
    folder, clock = home / "data" / "state", SystemClock()
    if store == "sqlite":
        return cast("DurableStore", await open_sqlite(folder / "state.db", clock=clock, writer=writer))
    return cast("DurableStore", await open_directory(folder, clock=clock, writer=writer))


@define
class Scene:
    """The connector in a folder, its simulated tenants, its receivers, and the recording of what it wrote."""

    folder: Path
    store: str
    clock: SimulatedClock
    hook: Recorder
    recording: Recording

    async def life(self, days: int) -> None:
        """`run` for so many days, until all of it is delivered; then a stop as a service manager does it."""
        process = await securescore(self.folder, "run", env=self.recording.env())
        await started(process)
        for day in range(days):
            if day:
                await self.clock.advance(DAY_S)
            await self._rest(process)
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, said.decode()

    async def command(self, *words: str, code: int = 0) -> None:
        process = await securescore(self.folder, *words, env=self.recording.env())
        said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == code, said

    async def _rest(self, process: Process) -> None:
        """Until a second has brought nothing, and everything is delivered."""
        until, quiet, seen = time.monotonic() + 60, 0, -1
        while quiet < 3:
            assert process.returncode is None, (await process.communicate())[1].decode()
            assert time.monotonic() < until, "it does not come to rest"
            await asyncio.sleep(0.4)
            store = await open_state(self.folder, self.store)
            stats = await store.stats()
            await store.close()
            still = stats.events == seen > 0 and not any(s.backlog for s in stats.sinks)
            quiet, seen = (quiet + 1 if still else 0), stats.events


@asynccontextmanager
async def recorded(folder: Path, store: str) -> AsyncIterator[Scene]:
    home = folder / "home"
    (home / "data").mkdir(parents=True)
    recording = Recording(home, folder / "notes", shim("recorder", folder))
    hook = Recorder(tell=recording.hear)
    settings = {
        "state": STORES[store],
        "raw": "{path: evidence, keep_days: 3}",
        "poll": "{interval: 1s, concurrency: 2, backfill: 3d}",
        "changes": "{inventory: baseline}",
        "log": "{format: json}",
    }
    async with surroundings(home, hook, tenants=2, settings=settings) as clock:
        yield Scene(home, store, clock, hook, recording)
