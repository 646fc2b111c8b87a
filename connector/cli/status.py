"""`securescore status`: how fresh each tenant is and how far each sink got. Reads beside a running daemon."""

import argparse
import asyncio
from typing import Any

from connector import memory
from connector.cli.common import clean, config_of, console, dump, store_beside, table
from connector.clock import SystemClock
from connector.config import Config
from connector.health import overview

HELP = "tenants: newest day, data age, last success; sinks: backlog, parked"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    status = asyncio.run(collect(config))
    if args.json:
        dump(status)
    else:
        _show(status)
    return 0


async def collect(config: Config) -> dict[str, Any]:
    """{tenants: {name: {newest_day, data_age_s, last_success, error}}, sinks: {name: {state, backlog, …}}}."""
    now = SystemClock().now()
    async with store_beside(config) as store:
        heads = {t.name: memory.head(await store.load(t.tenant_id)) for t in config.tenants}
        return overview(config, heads, await store.stats(), now)


def _show(status: dict[str, Any]) -> None:
    out = console()
    tenants = table("tenant", "newest day", "data age>", "last success", "error")
    for name, t in status["tenants"].items():
        age = "-" if t["data_age_s"] is None else f"{t['data_age_s'] / 3600:.0f} h"
        tenants.add_row(clean(name), t["newest_day"] or "-", age, t["last_success"] or "never", clean(t["error"] or ""))
    out.print(tenants)
    sinks = table("sink", "state", "backlog>", "parked>", "last success")
    for name, s in status["sinks"].items():
        sinks.add_row(clean(name), s["state"], str(s["backlog"]), str(s["parked"]), s["last_success"] or "never")
    out.print(sinks)
    out.print(f"{status['store']['events']} events kept, {status['store']['bytes'] / 1e6:.1f} MB")
