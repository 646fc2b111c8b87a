"""`securescore sinks`: list sinks with their backlog; release one that pins history."""

import argparse
import asyncio

from connector.cli.common import config_of, store_beside
from connector.cli.status import sink_table
from connector.cli.terminal import console, draw
from connector.config.values import Config
from connector.errors import ConfigError
from connector.health.overview import open_problems, sink_rows
from connector.health.upkeep import CONNECTOR

HELP = "list sinks; release one that holds history"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "release"))
    parser.add_argument("name", nargs="?", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.action == "release" and not args.name:
        raise ConfigError(["release needs the NAME of the sink"], "see `securescore sinks list`")
    return asyncio.run(_sinks(config, args.name if args.action == "release" else None))


async def _sinks(config: Config, release: str | None) -> int:
    async with store_beside(config) as store:
        stats = await store.stats()
        if release is not None:
            if release not in {s.name for s in stats.sinks}:
                raise ConfigError([f"no sink named {release!r} has history"], "see `securescore sinks list`")
            count = await store.release(release)
            console().print(f"{release} released: {count} events given up for this sink; they stay in the history")
            return 0
        rows = sink_rows(config, stats.sinks, await open_problems(store, CONNECTOR))
    draw(sink_table(rows, {s.name: s.kind for s in config.sinks}))
    return 0
