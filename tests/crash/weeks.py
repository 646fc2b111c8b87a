"""Weeks of many tenants with a SIEM that is away for days: does anything grow, does any step take long?

    python -m tests.crash.weeks '{"tenants": 200, "days": 28, "polls_a_day": 3}'

This process is the connector, both loops and all, with a file sink and a SIEM behind a webhook; the simulated Graph and
Entra are in another. Time is simulated. One JSON object a day on stdout, the sum at the end.
"""

import asyncio
import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import asdict, define, evolve, frozen

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import ChangesConfig, HealthConfig, PollConfig, SinkConfig
from connector.health.logs import log_to_stderr
from connector.loops import App
from connector.observe.poller import PollOutcome
from tests.bench.fleet import rss_mb
from tests.bench.reading import config
from tests.bench.servers import NOW, Server, started
from tests.fakes.hec import Answer
from tests.fakes.loopback import Server as Loopback

DAY_S = 86_400.0
STEPS_A_POLL = 8
"""In so many steps time goes from one poll of a tenant to its next: those of the others lie in between."""
EVERYTHING = ("score", "inventory", "change", "health")


@frozen
class Today:
    """How things stood at the end of a day. `step_ms` is the longest step of the event loop so far, thread CPU."""

    day: int
    siem: str
    polls: int
    failed: int
    events: int
    backlog: int
    rss_mb: float
    files: int
    threads: int
    tasks: int
    wal_mb: float
    state_mb: float
    step_ms: float


@define
class Siem:
    """It counts, and keeps nothing: it lives in the process that is measured."""

    events: int = 0

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.events += body.count(b'"specversion"')
        return Answer(204)


@define
class Steps:
    """The longest step that the event loop has taken, by its thread's own CPU time: others' load is not in it."""

    longest_s: float = 0.0

    def watch(self) -> None:
        run = asyncio.Handle._run

        def timed(handle: Any) -> None:
            began = time.thread_time()
            run(handle)
            self.longest_s = max(self.longest_s, time.thread_time() - began)

        setattr(asyncio.Handle, "_run", timed)  # noqa: B010 - mypy knows no such thing


@asynccontextmanager
async def running(app: App, outcomes: list[PollOutcome]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(app.run(stop, outcomes.append))
    yield
    stop.set()
    assert isinstance(app.clock, SimulatedClock)
    while not task.done():
        await asyncio.sleep(0.01)
        await app.clock.advance(1)
    await task


async def calm(app: App) -> None:
    """Let real work happen while the clock stands: until nobody polls, and every sink has what it takes."""
    still = 0
    while still < 3:
        await asyncio.sleep(0.004)
        polling = any(task.get_name().startswith("observe:") for task in asyncio.all_tasks())
        sending = any(d.last is None or d.last.state == "ok" for d in app.deliveries.values())
        still = 0 if polling or sending else still + 1


async def live(options: dict[str, Any], folder: Path) -> None:
    days, polls = options["days"], options["polls_a_day"]
    away = range(days // 3, days // 3 + max(2, days // 7))
    siem, steps, outcomes = Loopback(Siem()), Steps(), list[PollOutcome]()
    await siem.start()
    archive = SinkConfig(
        "out", "file", streams=EVERYTHING, start="all", options={"path": str(folder / "events.jsonl"), "mode": "600"}
    )
    hook = SinkConfig(
        "siem", "webhook", streams=EVERYTHING, start="all", options={"url": f"{siem.url}/hook", "mode": "batch"}
    )
    with started("graph", tenants=options["tenants"], size="small") as server:
        settings = evolve(
            config(server, folder, sinks=[archive, hook]),
            changes=ChangesConfig(inventory="off"),
            poll=PollConfig(interval_s=DAY_S / polls, backfill_days=2),
            health=HealthConfig(heartbeat_s=DAY_S / polls),
        )
        clock = SimulatedClock(NOW)
        steps.watch()
        async with open_app(settings, clock=clock) as app, running(app, outcomes):
            for day in range(days):
                if day == away.start:
                    await siem.stop()
                if day == away.stop:
                    await siem.start()
                for _ in range(polls * STEPS_A_POLL):
                    await pass_time(app, server, DAY_S / polls / STEPS_A_POLL)
                tell(asdict(await look(app, day, folder, steps, outcomes, away)))
                outcomes.clear()
            while any(sink.backlog for sink in (await app.store.stats()).sinks):
                await pass_time(app, server, 60.0)
            committed = (await app.store.stats()).events
    with (folder / "events.jsonl").open() as lines:
        written = {json.loads(line)["id"] for line in lines}
    tell({"committed": committed, "written": len(written), "heard": siem.service.events})
    await siem.stop()


def tell(facts: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


async def pass_time(app: App, server: Server, seconds: float) -> None:
    assert isinstance(app.clock, SimulatedClock)
    await asyncio.to_thread(server.ask, f"advance {seconds}")
    await app.clock.advance(seconds)
    await calm(app)


async def look(app: App, day: int, folder: Path, steps: Steps, outcomes: list[PollOutcome], away: range) -> Today:
    stats = await app.store.stats()
    gc.collect()
    wal = folder / "state.db-wal"
    return Today(
        day=day,
        siem="away" if day in away else "there",
        polls=len(outcomes),
        failed=sum(outcome.status == "failed" for outcome in outcomes),
        events=stats.events,
        backlog=sum(sink.backlog for sink in stats.sinks),
        rss_mb=round(rss_mb(), 1),
        files=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
        wal_mb=round(wal.stat().st_size / 1e6, 2) if wal.exists() else 0.0,
        state_mb=round(stats.bytes / 1e6, 2),
        step_ms=round(1000 * steps.longest_s, 1),
    )


def main() -> None:
    log_to_stderr(level="error")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(json.loads(sys.argv[1]), Path(folder)))


if __name__ == "__main__":
    main()
