"""`securescore explain`: the exact waterfall of a score change between any two known days, with causes."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from connector.cli.common import config_of, store_beside
from connector.cli.selection import ONE_HELP, ONE_UNIT_HELP, add_tenant, add_unit, one, one_unit
from connector.cli.terminal import cell_len, console, dump, fit, plain, styled
from connector.cli.times import day
from connector.cli.unit_view import called
from connector.clock import SystemClock
from connector.config.values import Config, TenantConfig
from connector.errors import ConfigError, SecureScoreError
from connector.health.overview import unit_words
from connector.model import Unit, Version
from connector.observe import diff, estate, groups, memory, units, waterfall
from connector.observe.causes import NOTHING_MOVED
from connector.observe.explain import number, signed
from connector.observe.memory import Memory
from connector.ports import Query

BAR, NARROW_BAR = 20, 8
TITLES = 120
"""From so many cells on there is room for the titles of controls."""
EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser, ONE_HELP)
    add_unit(parser, ONE_UNIT_HELP)
    parser.add_argument(
        "--from", dest="start", metavar="DAY", help="earlier day, also 7d or yesterday (default: the one before --to)"
    )
    parser.add_argument("--to", dest="end", metavar="DAY", help="later day (default: the newest)")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    now = SystemClock().now()
    start, end = day(args.start, "--from", now), day(args.end, "--to", now)
    return asyncio.run(_explain(config, one(config, args.tenant), args.unit, start, end, as_json=args.json))


async def _explain(
    config: Config,
    tenant: TenantConfig,
    unit: Sequence[str],
    start: str | None,
    end: str | None,
    *,
    as_json: bool,
) -> int:
    entry = units.whole(tenant)
    async with store_beside(config) as store:
        state = await store.load(tenant.key, units.of_all(memory.stood))
        rows = units.roster(memory.head(state))
        key = one_unit(rows, unit) or (entry.key if entry else None)
        known = memory.shown(state if key is None else units.of_unit(state, key, entry))
        name = tenant.name if key is None or key not in rows else f"{tenant.name}: {called(rows[key])}"
        path = pick(known, start, end, name)
        since = path[0].day.day
        types = (*waterfall.TYPES, *groups.TYPES)
        of_unit = () if key is None else (key,)
        events = await store.history(Query(tenant_id=tenant.key, types=types, units=of_unit, since=since))
    grouped_by = groups.earlier(known.profiles or {}, events, since)
    data = waterfall.between(path, known.profiles, waterfall.recorded(events), grouped_by, _unit(rows, key, entry))
    if as_json:
        row = None if key is None else rows.get(key)
        dump({"tenant": {"id": tenant.tenant_id, "name": tenant.name}, "unit": row and unit_words(row), **data})
    else:
        show(name, data, {each.id: each.title for each in (known.profiles or {}).values()})
    return 0


def _unit(rows: Mapping[str, Any], key: str | None, entry: Unit | None) -> Unit | None:
    return estate.of_row(rows[key]) if key is not None and key in rows else entry


def pick(known: Memory, start: str | None, end: str | None, name: str) -> list[Version]:
    """The days to compare, with all between them.

    Raises SecureScoreError naming the known days when one is unknown, ConfigError when the two are the wrong way round.
    """
    days = known.versions()
    ordered = list(days)
    if not ordered:
        raise SecureScoreError(f"no day of {name} is known yet", "run `securescore once` first")
    if len(ordered) < 2:
        hint = "poll again when there is another day; of Graph a longer poll.backfill reads older ones"
        raise SecureScoreError(f"only {ordered[0]} is known of {name}; a change needs two days", hint)
    span = f"known days: {ordered[0]} to {ordered[-1]} ({len(ordered)} of them)"
    last = end or ordered[-1]
    if last not in days:
        raise SecureScoreError(f"there is no score of {name} for {last}", span)
    earlier = [d for d in ordered if d < last]
    first = start or (earlier[-1] if earlier else "")
    if first not in days:
        raise SecureScoreError(f"there is no score of {name} for {first or 'any day before ' + last}", span)
    if first >= last:
        raise ConfigError([f"--from {first} is not before --to {last}"], span)
    return [version for day, version in days.items() if first <= day <= last]


def show(name: str, data: Mapping[str, Any], titles: Mapping[str, str] = MappingProxyType({}), limit: int = 25) -> None:
    """The waterfall: one line a control, largest first; the sums and the residual always stand below it.

    Where there is room, the `titles` of controls stand beside their ids.
    """
    out = console()
    wide = out.width >= 100
    named = {part["control"]: _name(part, titles if out.width >= TITLES else {}) for part in data["contributions"]}
    bar = BAR if wide else NARROW_BAR
    before, after = data["before"], data["after"]
    span = f"{before['day']} → {after['day']}"
    if before["day"] == after["day"]:
        span = f"{after['day']}, revision {before['revision']} → {after['revision']}"
    out.print(styled(plain(name), "bold"), "", span)
    out.print(plain(data["summary"]))
    split = data["percent"]
    if split["delta"] is not None:
        out.print(
            f"Percent {split['before']:.2f} → {split['after']:.2f} ({signed(round(split['delta'], 2))}): "
            f"points {signed(round(split['numerator'], 2))}, maximum {signed(round(split['denominator'], 2))}"
        )
    parts = data["contributions"]
    largest = max((abs(p["delta"]) for p in parts), default=0.0)
    most = out.width // 2 - bar if out.width >= TITLES else 40 if wide else 26
    names = min(most, max((cell_len(plain(each)) for each in named.values()), default=8))
    names = max(names, len("2026-11-22"))

    def line(name: str, value: str, drawn: str = "", words: str = "", style: str | None = None) -> None:
        row = f"  {fit(plain(name), names)} {value:>9} {fit(drawn, bar)} {plain(words)}".rstrip()
        out.print(row if cell_len(row) <= out.width else fit(row, out.width), style=style)

    room = out.width - names - bar - 14
    out.print()
    line(before["day"], number(before["current"]))
    for part in parts[:limit]:
        style = "red" if part["delta"] < 0 else "green" if part["delta"] else None
        line(
            named[part["control"]],
            signed(part["delta"]),
            _bar(part["delta"], largest, bar),
            _why(part["cause"], room),
            style,
        )
    rest = parts[limit:]
    if rest:
        line(f"{len(rest)} smaller", signed(diff.points(sum(diff.fixed(p["delta"]) for p in rest))))
    line("residual", signed(data["residual"]), "", "not explained by any control")
    line(after["day"], number(after["current"]))
    for flow in (data.get("regrouped") or {}).get("moves", ()):  # events of version 0.1.0 have none
        out.print(f"Regrouped by {flow['by']} (catalogue): {plain(groups.words(flow))}")
    if effects := data.get("effects"):  # of the score over all subscriptions
        scope = effects["added"] + effects["removed"]
        told = (
            ("scores", effects["score"]),
            ("weights", effects["weight"]),
            ("subscriptions that came or went", scope),
        )
        out.print(f"Of it: {', '.join(f'{words} {signed(round(points, 4))}' for words, points in told)}")
    cause = data["cause"]
    if cause["label"] == NOTHING_MOVED.label:
        out.print()
        out.print("Nothing moved.")
        return
    also = f"; also {', '.join(cause['also'])}" if cause["also"] else ""
    out.print()
    out.print(f"Main cause: {plain(cause['label'])} (confidence {cause['confidence']}{plain(also)})")


def _name(part: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """By its title alone where its id is a GUID."""
    title = titles.get(part["control"])
    return str(part.get("title") or (f"{part['control']}: {title}" if title else part["control"]))


def _why(cause: Mapping[str, Any], room: int) -> str:
    """The cause with its first piece of evidence; the evidence alone where both do not fit."""
    if not cause["evidence"]:
        return str(cause["label"])
    words = f"{cause['label']}: {cause['evidence'][0]}"
    return words if cell_len(plain(words)) <= room else str(cause["evidence"][0])


def _bar(delta: float, largest: float, width: int) -> str:
    """A bar in eighths of a cell, so that small moves differ, too; a dot for a move without points."""
    if not delta or not largest:
        return "·"
    eighths = max(1, round(8 * width * abs(delta) / largest))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8]
