"""`securescore parked`: events a sink refused for good: list, show, retry, discard."""

import argparse
import asyncio

from connector.cli import times
from connector.cli.common import config_of, store_beside
from connector.cli.confirm import add_yes, confirmed
from connector.cli.names import whole_id
from connector.cli.terminal import console, draw, dump, plain, plural, table
from connector.config.values import Config
from connector.errors import ConfigError
from connector.formats import cloudevents


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|retry|discard")
    for action in ("list", "show", "retry", "discard"):  # of its own each: options may stand before or behind the ids
        own = actions.add_parser(action)
        own.add_argument("--sink", metavar="S", help="only this sink")
        own.add_argument(
            "ids", nargs="*", metavar="ID", help="event ids, or how they begin (none = all, for list, show and retry)"
        )
        if action == "discard":
            add_yes(own)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.action == "discard" and not args.ids:
        raise ConfigError(["discard needs the ids of the events to give up"], "see `securescore parked list`")
    return asyncio.run(_parked(config, args.action, args.sink, args.ids, yes=getattr(args, "yes", False)))


async def _parked(config: Config, action: str, sink: str | None, ids: list[str], *, yes: bool) -> int:
    out = console()
    async with store_beside(config) as store:
        if sink is not None:
            known = {*(s.name for s in config.sinks), *(s.name for s in (await store.stats()).sinks)}
            if sink not in known:
                raise ConfigError([f"no sink named {sink!r} is known"], f"sinks: {', '.join(sorted(known))}")
        found = await store.parked(sink, ids)
        if set(ids) - {p.event.id for p in found}:  # not all are whole ids
            of_sink = await store.parked(sink)
            wanted = _whole_ids(ids, [p.event.id for p in of_sink])
            found = [p for p in of_sink if p.event.id in wanted]
        if action == "discard" and not confirmed(f"{plural(len(found), 'event')} will never be sent.", yes=yes):
            return 1
        if action in ("retry", "discard"):
            count = await store.unpark([p.event.id for p in found], sink, action)
            out.print(f"{count} events {'will be offered again' if action == 'retry' else 'discarded'}")
            return 0
    if action == "show":
        dump([{"sink": p.sink, "reason": p.reason, "event": cloudevents.document(p.event)} for p in found])
        return 0
    shown = table("sink", "id", "parked at (UTC)", "attempts>", "type", "reason")
    for p in found:
        shown.add_row(
            plain(p.sink), p.event.id, times.shown(p.parked_at), str(p.attempts), p.event.type, plain(p.reason)
        )
    if found:
        draw(shown, out)
    else:
        out.print("Nothing is parked.")
    return 0


def _whole_ids(begins: list[str], known: list[str]) -> set[str]:
    """The ids that are meant. Raises ConfigError when one is none of the parked ones, or could be several."""
    found = {begin: whole_id(begin, known) for begin in begins}
    missing = sorted(begin for begin, each in found.items() if each is None)
    if missing:
        raise ConfigError([f"not parked: {i}" for i in missing], "see `securescore parked list`")
    return {each for each in found.values() if each}
