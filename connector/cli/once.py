"""`securescore once`: poll every selected tenant now, offer everything unsettled to every sink, exit."""

import argparse
import asyncio
from typing import Any

from connector.app import open_app
from connector.cli.common import clean, config_of, console, table
from connector.config import Config
from connector.logs import log_to_stderr

HELP = "poll every selected tenant now, offer everything unsettled to every sink, exit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", action="append", default=[], metavar="T", help="only this tenant (may be repeated)")
    parser.add_argument("--no-deliver", action="store_true", help="observe only; events wait in the outbox")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    log_to_stderr(config.log)
    return asyncio.run(_once(config, args.tenant, deliver=not args.no_deliver))


async def _once(config: Config, names: list[str], *, deliver: bool) -> int:
    async with open_app(config) as app:
        app.tenants(names)  # a wrong name is an error before anything is read
        polls = await app.poll_once(names)
        sinks = await app.deliver_once() if deliver else []
    out = console()
    shown = table("tenant", "newest day", "events>", "result")
    for poll in polls:
        shown.add_row(clean(poll.tenant), poll.newest_day or "-", str(poll.events), _words(poll.status, poll))
    out.print(shown)
    if sinks:
        shown = table("sink", "sent>", "parked>", "result")
        for sink in sinks:
            shown.add_row(clean(sink.sink), str(sink.sent), str(sink.parked), _words(sink.state, sink))
        out.print(shown)
    good = [p.status in ("ok", "unchanged") for p in polls] + [
        s.state in ("ok", "idle") and not s.parked for s in sinks
    ]
    done = [p.status != "failed" for p in polls] + [s.state in ("ok", "idle") for s in sinks]
    return 0 if all(good) else 3 if any(done) else 1


def _words(status: str, outcome: Any) -> str:
    text = status if outcome.error is None else f"{status}: {clean(outcome.error)}"
    return f"{text}\nnext: {clean(outcome.hint)}" if outcome.hint else text
