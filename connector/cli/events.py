"""`securescore events`: search committed events, show them in any format, trace one to every sink."""

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from connector.cli import times
from connector.cli.common import config_of, store_beside
from connector.cli.names import ID_BEGIN, did_you_mean, event_types, near, spelled, whole_id
from connector.cli.selection import add_tenant, add_unit, ids, units_of
from connector.cli.terminal import console, draw, dump, plain, say, table, write_document
from connector.cli.times import FORMS, moment
from connector.clock import SystemClock
from connector.config.values import Config
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError, SecureScoreError, TenantDamaged
from connector.formats import cloudevents
from connector.mapping.load import load_mapping
from connector.model import STREAM_OF_TYPE, WHOLE, Event
from connector.observe import memory, units
from connector.ports import Query

LIMIT = 100
SHOWN = ("change", "health")
"""The streams of a table that was not asked for more: what a person looks for, not what was seen again each day."""
ROUTINE = ("connector.heartbeat",)
"""Of the stream health, and of interest to nobody who looks at a table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    shown_help = "with the table: daily observations and heartbeats, too, not only changes and health"
    parser.add_argument("--all", action="store_true", help=shown_help)
    parser.add_argument("--control", metavar="ID", help="only this control, in any case")
    parser.add_argument("--id", metavar="ID", help="only this event; the beginning of its id is enough")
    parser.add_argument("--ids", action="store_true", help="with the table: the id of each event, too")
    parser.add_argument("--trace", action="store_true", help="with --id: what became of it at every sink")
    parser.add_argument(
        "--limit", type=_count, default=LIMIT, help=f"how many of the newest (default {LIMIT}, 0 = all)"
    )
    parser.add_argument(
        "--format", default="table", help="table, json, or a mapping: cef, leef, ocsf, cloudevents (default table)"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return int(text)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """--since, --until, --tenant, --unit, --type: what other commands select events by, too."""
    parser.add_argument("--since", metavar="WHEN", help=f"observed at or after: {FORMS}")
    parser.add_argument("--until", metavar="WHEN", help="observed before; in the same forms")
    add_tenant(parser)
    add_unit(parser)
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="GLOB",
        help="only these types, e.g. 'control.*' (may be repeated)",
    )


def selection(config: Config, args: argparse.Namespace, **more: Any) -> list[Query]:
    """The queries of `add_selection`'s options, one for each selected tenant, or one for all. Raises ConfigError."""
    now = SystemClock().now()
    since, until = moment(args.since, "--since", now), moment(args.until, "--until", now)
    if since is not None and until is not None and since >= until:
        raise ConfigError(
            [f"--since {args.since} is not before --until {args.until}"], f"from {since} to {until}: swap them"
        )
    whole = Query(types=event_types(args.type), since=since, until=until, **more)
    return [evolve(whole, tenant_id=tenant_id) for tenant_id in ids(config, args.tenant)] or [whole]


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.trace and not args.id:
        raise ConfigError(["--trace needs --id ID"])
    brief = args.format == "table" and not (args.all or args.type or args.id)
    if brief:
        args.type = [each for each, stream in STREAM_OF_TYPE.items() if stream in SHOWN and each not in ROUTINE]
    queries = selection(
        config,
        args,
        subject=args.control,
        ids=() if args.id is None else (args.id,),
        limit=args.limit or None,
        newest_first=True,
    )
    return asyncio.run(_events(config, queries, args, brief=brief))


async def of_units(
    config: Config, store: DurableStore, queries: Sequence[Query], patterns: Sequence[str]
) -> Sequence[Query]:
    """The queries for the units that `--unit` selects among the tenants they are for. Raises ConfigError."""
    if not patterns:
        return queries
    named = [query.tenant_id for query in queries if query.tenant_id]
    keys = named or [tenant.key for tenant in config.tenants]
    rosters = [units.roster(memory.readable_head(state)) for state in (await store.heads(keys)).values()]
    wanted = units_of(rosters, patterns, gone=True)
    return [evolve(query, units=wanted) for query in queries]


async def _events(config: Config, queries: Sequence[Query], args: argparse.Namespace, *, brief: bool) -> int:
    async with store_beside(config) as store:
        queries = await of_units(config, store, queries, args.unit)
        found = await _found(store, queries)
        if not found and args.id:
            found = await _by_beginning(store, queries, args.id)
        elif not found and args.control:
            found = await _found(store, await _respelled(store, queries, args.control))
        if len(queries) > 1:  # each tenant's newest, in the order in which they were observed, as far as --limit goes
            found = sorted(found, key=lambda event: str(event.data["observed_at"]))[-(args.limit or len(found)) :]
        trace = await store.trace(found[0].id) if args.trace and found else []
    if args.id is not None and not found:
        what = f"no event has the id {args.id}, and none an id that begins so"
        short = f"say {ID_BEGIN} characters of an id at least; " if len(args.id) < ID_BEGIN else ""
        raise SecureScoreError(what, f"{short}events older than state.keep_days are gone")
    if args.trace:
        _show_trace(found[0], trace)
    elif args.format == "table":
        show(found, ids=args.ids)
        if brief:
            say("Changes and health only; with --all daily observations and heartbeats, too.", err=True)
    elif args.format == "json":
        dump([cloudevents.document(event) for event in found])
    else:
        rendered = load_mapping(args.format, config.base_dir)
        for event in found:
            payload = rendered.render(event).payload
            if isinstance(payload, str):
                write_document(payload + "\n")
            else:
                dump(payload)
    return 0


async def _found(store: DurableStore, queries: Sequence[Query]) -> list[Event]:
    return list(reversed([event for query in queries for event in await store.history(query)]))


async def _by_beginning(store: DurableStore, queries: Sequence[Query], begin: str) -> list[Event]:
    """The one event whose id begins so. Raises ConfigError when there are several."""
    if len(begin) < ID_BEGIN:
        return []
    events = {e.id: e for e in await _found(store, [evolve(q, ids=(), id_begin=begin, limit=None) for q in queries])}
    found = whole_id(begin, events)
    return [events[found]] if found else []


async def _respelled(store: DurableStore, queries: Sequence[Query], control: str) -> Sequence[Query]:
    """The queries with the control as its tenants spell it. Raises ConfigError when none knows it in any case."""
    kept = await store.tenants()
    keys = [query.tenant_id for query in queries if query.tenant_id] or kept
    known: dict[str, None] = {}
    for key in keys:
        known |= dict.fromkeys(await _controls(store, key))
    names = spelled(control, known)
    if known and not names and not await store.history(Query(subject=control, limit=1)):
        hint = did_you_mean(near(control, known), "`securescore controls list` shows the names")
        raise ConfigError([f"no control is named {control!r}"], hint)
    return [evolve(query, subject=name) for query in queries for name in names]


async def _controls(store: DurableStore, key: str) -> list[str]:
    """The controls that a tenant's state knows, of all its units; none of a tenant whose state cannot be read."""
    try:
        own, parts = units.split(await store.load(key, units.of_all(memory.stands)))
        seen = [memory.shown(state) for state in (own, *parts.values())]
    except TenantDamaged:
        return []
    return [name for one in seen for name in (*(one.profiles or {}), *(one.newest.day.controls if one.newest else {}))]


def show(events: Sequence[Event], *, ids: bool = False) -> None:
    """A table of events, oldest first; the tenant and type columns appear when they tell something and fit."""
    out = console()
    several = len({(e.entry, e.unit_key) for e in events}) > 1
    wide = out.width >= 110
    columns = [
        "time (UTC)",
        *(["id"] if ids else []),
        "sev>",
        *(["tenant"] if several else []),
        *(["type"] if wide else []),
        "summary",
    ]
    made = table(*columns)
    for event in events:
        cells = [times.shown(event.time), *([event.id] if ids else []), str(event.severity)]
        if several:
            cells.append(plain(_whose(event)))
        if wide:
            cells.append(event.type)
        flag = "[backfilled] " if event.backfilled else ""
        style = "red" if event.severity >= 7 else "yellow" if event.severity >= 4 else None
        made.add_row(*cells, flag + plain(event.data.get("summary", "")), style=style)
    if events:
        draw(made, out)
    else:
        out.print("No event was found: widen --since, --until, --type, --tenant, --unit or --control.")


def _whose(event: Event) -> str:
    """The tenant's name, and that of the unit where it is one of several."""
    name = (event.data["tenant"] or {}).get("name", "-")
    unit = event.data.get("unit")
    return f"{name}: {unit['name'] or unit['id']}" if unit and unit["kind"] not in WHOLE else str(name)


def _show_trace(event: Event, trace: Sequence[Any]) -> None:
    show([event])
    say(f"\nid {plain(event.id)}\n")
    made = table("sink", "state", "first sent (UTC)", "attempts>", "settled (UTC)", "reason")
    for row in trace:
        made.add_row(
            plain(row["sink"]),
            str(row["state"]),
            times.shown(row.get("first_sent"), "-"),
            str(row.get("attempts") or 0),
            times.shown(row.get("settled"), "-"),
            plain(row.get("reason") or ""),
        )
    draw(made)
