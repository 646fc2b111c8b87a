"""`securescore replay`: deliver committed events again to one sink, same ids, behind first deliveries."""

import argparse
import asyncio
from collections.abc import Sequence

from connector.cli.common import config_of, store_beside
from connector.cli.confirm import add_yes, confirmed
from connector.cli.events import add_selection, of_units, selection
from connector.cli.terminal import console, plain
from connector.config.values import Config
from connector.errors import ConfigError
from connector.ports import Query

_EVERYTHING = (
    "The whole kept history will be sent to {sink} once more; --since, --until, --tenant, --unit and --type say how"
    " much of it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sink", required=True, metavar="S", help="the sink that gets them")
    add_selection(parser)
    add_yes(parser)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    names = [s.name for s in config.sinks]
    if args.sink not in names:
        raise ConfigError([f"no sink named {args.sink!r} is configured"], f"sinks: {', '.join(names)}")
    queries = selection(config, args)
    if (
        queries == [Query()]
        and not args.unit
        and not confirmed(_EVERYTHING.format(sink=plain(args.sink)), yes=args.yes)
    ):
        return 1
    return asyncio.run(_replay(config, args.sink, queries, args.unit))


async def _replay(config: Config, sink: str, queries: Sequence[Query], units: Sequence[str]) -> int:
    async with store_beside(config) as store:
        queries = await of_units(config, store, queries, units)
        count = sum([await store.replay(sink, query) for query in queries])
    console().print(
        f"{count} events will be offered to {sink} again, at the daemon's next turn or by `securescore once`"
    )
    return 0
