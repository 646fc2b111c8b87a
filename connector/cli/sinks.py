"""`securescore sinks`: list sinks with their backlog; release one that pins history."""

import argparse
import asyncio

from connector.cli.common import config_of, store_beside
from connector.cli.confirm import add_yes, confirmed
from connector.cli.status import sink_table
from connector.cli.terminal import console, draw, plain, plural
from connector.clock import SystemClock
from connector.config.values import Config
from connector.errors import ConfigError
from connector.health.overview import open_problems, sink_rows
from connector.health.upkeep import CONNECTOR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "release"))
    parser.add_argument("name", nargs="?", metavar="NAME")
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    if args.action == "list" and (args.name or args.yes):
        strange = "takes no NAME: it shows all of them" if args.name else "deletes nothing: --yes does not belong to it"
        raise ConfigError([f"`sinks list` {strange}"], "see `securescore sinks --help`")
    config = config_of(args)
    if args.action == "release" and not args.name:
        raise ConfigError(["release needs the NAME of the sink"], "see `securescore sinks list`")
    return asyncio.run(_release(config, args.name, yes=args.yes) if args.action == "release" else _list(config))


async def _list(config: Config) -> int:
    async with store_beside(config) as store:
        stats = await store.stats()
        rows = sink_rows(config, stats.sinks, await open_problems(store, CONNECTOR), SystemClock().now())
    draw(sink_table(rows, {s.name: s.kind for s in config.sinks}))
    return 0


async def _release(config: Config, name: str, *, yes: bool) -> int:
    async with store_beside(config) as store:
        held = next((s for s in (await store.stats()).sinks if s.name == name), None)
        if held is None:
            raise ConfigError([f"no sink named {name!r} has history"], "see `securescore sinks list`")
        events = plural(held.backlog, "event")
        waits = f"{events} that {plain(name)} never took, and {held.parked} parked, will never be sent to it."
        if not confirmed(waits, yes=yes):
            return 1
        count = await store.release(name)
    console().print(f"{plain(name)} released: {count} events given up for this sink; they stay in the history")
    return 0
