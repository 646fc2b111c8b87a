"""`securescore run`: the daemon. Polls and delivers until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import signal

from connector.app import open_app
from connector.cli.common import config_of, log_to_stderr
from connector.config import Config
from connector.poller import PollOutcome

HELP = "the daemon: poll and deliver until stopped"

log = logging.getLogger("securescore.run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults()


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    log_to_stderr(config)
    return asyncio.run(_run(config))


async def _run(config: Config) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_app(config) as app:
        log.info("run.started", extra={"tenants": len(config.tenants), "sinks": len(config.sinks)})
        await app.run(stop, _tell)
        log.info("run.stopped")
    return 0


def _tell(outcome: PollOutcome) -> None:
    level = logging.INFO if outcome.status in ("ok", "unchanged") else logging.WARNING
    facts = {"tenant": outcome.tenant, "status": outcome.status, "events": outcome.events, "error": outcome.error}
    log.log(level, "poll.done", extra={k: v for k, v in facts.items() if v is not None})
