"""Many tenants through the function app on loopback: how long rounds take, and whether everything arrives. Prints JSON.

    python -m tests.real.functions_fleet APP [TENANTS] [WORKERS]

APP is the unpacked zip (`make azure`). Everything (workers, Azurite, simulated Graph, rule) shares this machine, so the
figures say what a turn costs here in all, and bound from above what the app itself needs.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from connector.ports import Query
from tests.real.functions_cloud import Cloud, cloud, ground
from tests.real.functions_host import QUEUE, Host


async def measure(azure: Cloud, host: Host) -> dict[str, Any]:
    """A first round, one in which nothing is new, and a look after all; what of the events arrived, and how often."""
    found: dict[str, Any] = {"tenants": len(azure.sim.world.tenants), "workers": len(host.workers)}
    for name in ("first", "unchanged"):
        began, done = time.monotonic(), len(host.ended)
        planned = len(await host.timer("plan"))
        queued_s = time.monotonic() - began
        await host.until_empty(most_s=7200)
        took_s = time.monotonic() - began
        turns = host.seconds[done:]
        found[name] = {
            "messages": planned,
            "failed": sum(not ok for _, ok, _ in host.ended[done:]),
            "queued_s": round(queued_s, 2),
            "round_s": round(took_s, 1),
            "turns_per_s": round(planned / took_s, 1),
            "turn_median_s": round(statistics.median(turns), 3),
            "turn_p99_s": round(statistics.quantiles(turns, n=100)[98], 3) if len(turns) > 1 else None,
        }
    began = time.monotonic()
    waiting = await host.timer("tend")
    found["tend_s"], found["waiting"] = round(time.monotonic() - began, 2), len(waiting)
    found["poisoned"] = await host.queues.count(f"{QUEUE}-poison")
    found["worker_rss_mb"] = [_rss_mb(worker.process.pid) for worker in host.workers]
    async with azure.store() as store:
        committed = {event.id for event in await store.history(Query()) if event.tenant_id}
    stored = Counter(azure.service.ids())
    found["events"] = len(committed)
    found["missing"] = len(committed - stored.keys())
    found["more_than_once"] = sum(count > 1 for count in stored.values())
    return found


def _rss_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024**2


async def main(app: Path, tenants: int = 1000, workers: int = 2) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ground(folder) as on:
            async with cloud(folder, app, on, tenants, backfill="0d") as azure:
                print(json.dumps(await measure(azure, await azure.host(workers)), indent=1))  # noqa: T201 - a program


if __name__ == "__main__":
    _, app, *counts = sys.argv
    asyncio.run(main(Path(app).resolve(), *(int(count) for count in counts)))
