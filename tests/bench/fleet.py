"""Thousands of tenants in one process: memory, CPU a poll, time of a cycle, size of the state.

    python -m tests.bench.fleet '{"tenants": 1000, "days_between": [1, 7, 7], "backfill_days": 2}'

This process is the connector with its budgets, its schedule and a file sink; the simulated Graph and Entra are in
another. Time is simulated and jumps from one cycle (one poll of every tenant, then delivery) to the next; within a
cycle the polls follow each other at once, as many side by side as the daemon would have. By the next cycle tokens are
too old, so each poll signs in anew. One JSON object a cycle on stdout.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import ChangesConfig, PollConfig, SinkConfig, TenantConfig
from connector.health.logs import log_to_stderr
from connector.loops import App
from connector.observe.poller import PollOutcome
from connector.observe.schedule import Schedule
from tests.bench.reading import config
from tests.bench.servers import NOW, started


@frozen
class Cycle:
    """One poll of every tenant. `ms_a_poll` is CPU time of the connector, signing in included, delivery not."""

    tenants: int
    day: int
    rss_mb: float
    ms_a_poll: float
    polled_s: float
    delivered_s: float
    events: int
    state_mb: float
    failed: int


def rss_mb() -> float:
    """Resident memory of this process now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


async def _live(options: dict[str, Any], folder: Path) -> None:
    size, inventory = options.get("size", "small"), options.get("inventory", "off")
    sink = SinkConfig("out", "file", options={"path": str(folder / "events.jsonl"), "mode": "600"})
    with started("graph", tenants=options["tenants"], size=size) as server:
        settings = evolve(
            config(server, folder, sinks=[sink]),
            changes=ChangesConfig(inventory=inventory),
            poll=PollConfig(backfill_days=options.get("backfill_days", 2)),
        )
        clock, today = SimulatedClock(NOW), 0
        schedule = Schedule(settings.poll.interval_s)
        schedule.replace(settings.tenants, clock.now())
        async with open_app(settings, clock=clock) as app:
            for days in (0, *options["days_between"]):
                today += days
                await clock.advance(86_400 * days)
                server.ask(f"advance {86_400 * days}")
                print(json.dumps(asdict(await _cycle(app, today))), flush=True)


async def _cycle(app: App, today: int) -> Cycle:
    began, spent = time.perf_counter(), time.process_time()
    outcomes: list[PollOutcome] = []
    turns = iter(app.config.tenants)
    await asyncio.gather(*(_poll(app, turns, outcomes) for _ in range(app.concurrency)))
    polled_s, cpu_s = time.perf_counter() - began, time.process_time() - spent
    await app.deliver_once(3600.0)
    delivered_s = time.perf_counter() - began - polled_s
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        print(f"{len(failed)} polls failed, such as {failed[0]}", file=sys.stderr)
    result = Cycle(
        tenants=len(outcomes),
        day=today,
        rss_mb=0.0,
        ms_a_poll=round(1000 * cpu_s / len(outcomes), 3),
        polled_s=round(polled_s, 2),
        delivered_s=round(delivered_s, 2),
        events=sum(outcome.events for outcome in outcomes),
        state_mb=round((await app.store.stats()).bytes / 1e6, 2),
        failed=len(failed),
    )
    del outcomes, failed
    gc.collect()
    return evolve(result, rss_mb=round(rss_mb(), 1))


async def _poll(app: App, turns: Iterator[TenantConfig], outcomes: list[PollOutcome]) -> None:
    for tenant in turns:
        outcome = await app._poll(tenant)
        app._note(outcome)
        outcomes.append(outcome)


# ------------------------------------------------------------------------------------------------------- from outside


def cycles(**options: Any) -> Iterator[Cycle]:
    """Run a fleet in a process of its own; each cycle as soon as it is over."""
    command = [sys.executable, "-m", "tests.bench.fleet", json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Cycle(**json.loads(line))
    if process.returncode:
        raise RuntimeError(f"the fleet ended with {process.returncode}")


def main() -> None:
    log_to_stderr(level="error")
    with tempfile.TemporaryDirectory(dir=os.environ.get("SECURESCORE_BENCH_DIR")) as folder:
        asyncio.run(_live(json.loads(sys.argv[1]), Path(folder)))


if __name__ == "__main__":
    main()
