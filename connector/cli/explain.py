"""`securescore explain`: the exact waterfall of a score change between any two known days, with causes."""

import argparse
import asyncio
from collections.abc import Mapping
from typing import Any

from connector import changes, memory
from connector.cli.common import clean, config_of, console, dump, store_beside
from connector.config import Config, TenantConfig
from connector.errors import ConfigError
from connector.explain import number, signed
from connector.memory import Memory
from connector.model import Version

HELP = "exact waterfall of a score change, with causes"
BAR, NARROW_BAR = 20, 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="T", help="which tenant (needed when there are several)")
    parser.add_argument("--from", dest="start", metavar="DAY", help="earlier day (default: the one before --to)")
    parser.add_argument("--to", dest="end", metavar="DAY", help="later day (default: the newest)")
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    return asyncio.run(_explain(config, _tenant(config, args.tenant), args.start, args.end, as_json=args.json))


def _tenant(config: Config, name: str | None) -> TenantConfig:
    found = [t for t in config.tenants if name in (None, t.name, t.tenant_id)]
    if not found:
        raise ConfigError([f"no tenant named {name!r} is configured"], "see `securescore tenants list`")
    if len(found) > 1:
        raise ConfigError([f"{len(found)} tenants are configured"], "say which one: --tenant NAME")
    return found[0]


async def _explain(config: Config, tenant: TenantConfig, start: str | None, end: str | None, *, as_json: bool) -> int:
    async with store_beside(config) as store:
        state = await store.load(tenant.tenant_id)
    known = memory.decode(state)
    before, after = pick(known, start, end, tenant.name)
    data = changes.between(before, after, known.profiles)
    if as_json:
        dump({"tenant": {"id": tenant.tenant_id, "name": tenant.name}, **data})
    else:
        show(tenant.name, data)
    return 0


def pick(known: Memory, start: str | None, end: str | None, name: str) -> tuple[Version, Version]:
    """The two versions to compare. Raises ConfigError naming the known days when one is unknown."""
    days = known.versions()
    ordered = list(days)
    if not ordered:
        raise ConfigError([f"no day of {name} is known yet"], "run `securescore once` first")
    if len(ordered) < 2:
        hint = "poll again when Microsoft has published another day, or with a longer poll.backfill"
        raise ConfigError([f"only {ordered[0]} is known of {name}; a change needs two days"], hint)
    span = f"known days: {ordered[0]} to {ordered[-1]} ({len(ordered)} of them)"
    last = end or ordered[-1]
    if last not in days:
        raise ConfigError([f"there is no score of {name} for {last}"], span)
    earlier = [d for d in ordered if d < last]
    first = start or (earlier[-1] if earlier else "")
    if first not in days:
        raise ConfigError([f"there is no score of {name} for {first or 'any day before ' + last}"], span)
    if first >= last:
        raise ConfigError([f"--from {first} is not before --to {last}"], span)
    return days[first], days[last]


def show(name: str, data: Mapping[str, Any], limit: int = 25) -> None:
    """The waterfall: one line a control, largest first; the sums and the residual always stand below it."""
    out = console()
    wide = out.width >= 100
    bar = BAR if wide else NARROW_BAR
    before, after = data["before"], data["after"]
    span = f"{before['day']} → {after['day']}"
    if before["day"] == after["day"]:
        span = f"{after['day']}, revision {before['revision']} → {after['revision']}"
    out.print(f"[bold]{clean(name)}[/bold]  {span}")
    out.print(clean(data["summary"]))
    split = data["percent"]
    if split["delta"] is not None:
        out.print(
            f"Percent {split['before']:.2f} → {split['after']:.2f} ({signed(round(split['delta'], 2))}): "
            f"points {signed(round(split['numerator'], 2))}, maximum {signed(round(split['denominator'], 2))}"
        )
    parts = data["contributions"]
    largest = max((abs(p["delta"]) for p in parts), default=0.0)
    names = min(40 if wide else 26, max((len(p["control"]) for p in parts), default=8))
    out.print()
    out.print(f"  {before['day']:<{names}} {number(before['current']):>9}")
    for part in parts[:limit]:
        cause = part["cause"]
        why = cause["label"] + (f": {cause['evidence'][0]}" if cause["evidence"] else "")
        label = part["control"] if len(part["control"]) <= names else part["control"][: names - 1] + "…"
        line = f"  {label:<{names}} {signed(part['delta']):>9} {_bar(part['delta'], largest, bar)} {why}"
        out.print(
            _fit(line, out.width),
            style="red" if part["delta"] < 0 else "green" if part["delta"] else None,
            markup=False,
        )
    rest = parts[limit:]
    if rest:
        out.print(f"  {f'{len(rest)} smaller':<{names}} {signed(round(sum(p['delta'] for p in rest), 4)):>9}")
    out.print(
        f"  {'residual':<{names}} {signed(data['residual']):>9} {'':<{bar}} not explained by any control", markup=False
    )
    out.print(f"  {after['day']:<{names}} {number(after['current']):>9}")
    cause = data["cause"]
    also = f"; also {', '.join(cause['also'])}" if cause["also"] else ""
    out.print()
    out.print(f"Main cause: {clean(cause['label'])} (confidence {cause['confidence']}{clean(also)})")


def _bar(delta: float, largest: float, width: int) -> str:
    length = round(width * abs(delta) / largest) if largest else 0
    return f"{('█' if delta else '·') * max(1, length):<{width}}"


def _fit(line: str, width: int) -> str:
    clean_line = "".join(c if c.isprintable() else " " for c in line)
    return clean_line if len(clean_line) <= width else clean_line[: width - 1] + "…"
