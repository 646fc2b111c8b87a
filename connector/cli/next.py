"""`securescore next`: what to do next in one tenant or in many, best first, and the score if some of it were done.

Reads beside a running daemon. What is advised, and in which order, is decided in advice/; this module finds the
material and says it to a person.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence

from connector.advice import listing
from connector.advice.advise import advise
from connector.advice.listing import Advised, Place
from connector.advice.values import Action, TargetStanding, WhatIf
from connector.cli.common import config_of, store_beside
from connector.cli.selection import add_tenant, selected
from connector.cli.terminal import complain, console, draw, dump, plain, plural, progress, table, write_document
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError, SecureScoreError, TenantDamaged
from connector.formats.spreadsheet import document
from connector.observe import memory
from connector.observe.explain import number, signed

SHOWN = 20
NAMED = 20
STAGES: Mapping[str, str] = {
    "quick_win": "Quick wins: low cost, low impact",
    "project": "Next, by points to win per effort",
    "other": "Next, by points to win per effort",
    "licence": "Needs a licence that Microsoft does not name for the tenant",
    "asserted": "Declared: risk accepted, or solved elsewhere",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    limit = f"the best N over all tenants (default: {SHOWN}; --json and --csv: all)"
    parser.add_argument("--limit", type=_limit, metavar="N", help=limit)
    what_if = "say the exact score if this control were full (may be repeated)"
    parser.add_argument("--what-if", action="append", default=[], metavar="CONTROL", help=what_if)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all of it as one JSON document")
    form.add_argument("--csv", action="store_true", help="the actions as a table for spreadsheets")


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, found {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.csv and args.what_if:
        raise ConfigError(["--what-if is no table: --csv has no place for it"], "say --json, or neither")
    tenants = selected(config, args.tenant)
    limit = args.limit or (None if args.json or args.csv else SHOWN)
    units, silent = asyncio.run(collect(config, tenants, args.what_if, limit))
    if not units:
        who = tenants[0].name if len(tenants) == 1 else f"any of {len(tenants)} tenants"
        raise SecureScoreError(f"nothing is known of {who} yet", "run `securescore once` first")
    _refuse_unknown(units, args.what_if)
    if args.json:
        dump(listing.document(units, silent, limit))
    elif args.csv:
        write_document(document([listing.COLUMNS, *listing.rows(listing.ranked(units, limit))]))
    else:
        show(units, limit or SHOWN)
    if silent:
        more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
        complain(
            [f"nothing is known yet, or can be read, of {', '.join(map(plain, silent[:NAMED]))}{more}"],
            "run `securescore once`",
        )
    return 3 if silent else 0


async def collect(
    config: Config, tenants: Sequence[TenantConfig], what_if: Sequence[str] = (), limit: int | None = None
) -> tuple[list[Advised], list[str]]:
    """The advice for every tenant of which a day is known, and the names of the others.

    Since when a control is open takes all the days of a tenant to find out; with a limit they are read of those tenants
    only that have an action among the best.
    """
    units: dict[str, Advised] = {}
    silent: list[str] = []
    async with store_beside(config) as store:
        with progress("Reading tenants", len(tenants)) as done:
            for count, tenant in enumerate(tenants, 1):
                unit = await _advised(store, tenant, what_if, all_days=limit is None)
                if unit is None:
                    silent.append(tenant.name)
                else:
                    units[tenant.tenant_id] = unit
                done(count)
        if limit is not None:
            best = {place.of.tenant_id for place in listing.ranked(list(units.values()), limit)}
            for tenant in tenants:
                if tenant.tenant_id in best and (unit := await _advised(store, tenant, what_if, all_days=True)):
                    units[tenant.tenant_id] = unit
    return list(units.values()), silent


async def _advised(
    store: DurableStore, tenant: TenantConfig, what_if: Sequence[str], *, all_days: bool
) -> Advised | None:
    try:
        known = memory.decode(await store.load(tenant.tenant_id))
    except TenantDamaged:  # one tenant's matter: the next poll mends it
        return None
    if known.newest is None:
        return None
    earlier = known.before(known.newest.day.day) if all_days else ()
    return Advised(
        tenant.name, tenant.tenant_id, advise(known.newest, known.profiles, earlier, tenant.targets, what_if)
    )


def _refuse_unknown(units: Sequence[Advised], names: Sequence[str]) -> None:
    """Raises ConfigError for names that no tenant knows: a misspelt one must not pass for a control without points."""
    problems: list[str] = []
    near: dict[str, None] = {}
    for name in dict.fromkeys(names):
        said = [[u for u in one.advice.what_if.unknown if u.name == name] for one in units if one.advice.what_if]
        if all(said):
            problems.append(f"no scored control is named {name!r}")
            near |= dict.fromkeys(s for found in said for unknown in found for s in unknown.suggestions)
    if problems:
        names_near = list(near)[:3]
        hint = f"did you mean {' or '.join(names_near)}?" if names_near else "`securescore next` lists open controls"
        raise ConfigError(problems, hint)


# --------------------------------------------------------------------------------------------------------------- words


def show(units: Sequence[Advised], limit: int) -> None:
    """Where the tenants stand, the actions by stage, and what the projection says."""
    out = console()
    places = listing.ranked(units, limit)
    count = sum(len(unit.advice.actions) for unit in units)
    if len(units) == 1:
        out.print(_standing(units[0]))
    else:
        out.print(f"{len(units)} tenants, {plural(count, 'open control')}, ranked over all")
    for stage in dict.fromkeys(STAGES.values()):
        found = [place for place in places if STAGES[place.action.group] == stage]
        if found:
            out.print()
            out.print(stage)
            _draw(found, several=len(units) > 1)
    out.print()
    if count > len(places):
        out.print(f"{count - len(places)} more: --limit {count} shows all")
    out.print("Cost and impact are Microsoft's words; `securescore controls show NAME` has the link.")
    projected = [(unit, unit.advice.what_if) for unit in units if unit.advice.what_if is not None]
    for unit, then in projected:
        if then.controls or len(units) == 1:
            _say_projection(unit, then)


def _standing(unit: Advised) -> str:
    advice, score = unit.advice, unit.advice.score
    asserted = f", {number(score.asserted)} of them asserted" if score.asserted else ""
    return (
        f"{plain(unit.tenant)}  {advice.day}  {number(score.current)} of {number(score.max)} points "
        f"({_percent(score.percent)}){asserted}. {plural(len(advice.actions), 'open control')}, "
        f"{number(advice.to_win)} points to win."
    )


def _draw(places: Sequence[Place], *, several: bool) -> None:
    """One row an action: its title with the id and what else there is to know below."""
    shown = table(
        "#>", *(["tenant"] if several else []), "points>", "of max>", "control", "cost", "impact", "open since"
    )
    for place in places:
        one = place.action
        share = "unknown" if one.share_percent is None else f"{one.share_percent:.2f} %"
        shown.add_row(
            str(place.number),
            *([plain(place.of.tenant)] if several else []),
            number(one.points),
            share,
            _control(one),
            plain(one.cost),
            plain(one.impact),
            one.since if one.since_exact else f"at least {one.since}",
        )
    draw(shown)


def _control(one: Action) -> str:
    lines = [plain(one.title), f"{plain(one.control)}, {plain(one.service)}"]
    if one.licences and one.group == "licence":
        lines.append(f"needs {' or '.join(map(plain, one.licences))}")
    if one.declared is not None:
        held = one.declared
        who = f" by {held.by}" if held.by else ""
        since = f" since {held.at[:10]}" if held.at else ""
        lines.append(plain(f"{held.portal}{who}{since}: {held.comment or 'no comment'}"))
    return "\n".join(lines)


def _say_projection(unit: Advised, then: WhatIf) -> None:
    out = console()
    score = unit.advice.score
    out.print()
    out.print(f"{plain(unit.tenant)}, if {', '.join(map(plain, then.controls)) or 'nothing'} had all points:")
    out.print(
        f"  {number(score.current)} → {number(then.score)} of {number(score.max)} points ({signed(then.points)}), "
        f"{_percent(score.percent)} → {_percent(then.percent)}"
    )
    for target in then.targets:
        out.print(f"  target {_target(target)}")
    if then.undetermined:
        out.print(f"  unknown is how many points {' and '.join(map(plain, then.undetermined))} would add")
    for one in then.unknown:
        near = f"; did you mean {' or '.join(map(plain, one.suggestions))}?" if one.suggestions else ""
        out.print(f"  {plain(one.name)} is not scored here{near}")


def _target(target: TargetStanding) -> str:
    met = {True: "met", False: "missed", None: "unknown"}[target.met]
    what = plain(target.control) if target.control else target.kind
    return f"{what}: {number(target.value)} against {number(target.threshold)}, {met}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} %"
