"""`securescore next`: what to do next in one tenant or in many, best first, and the score if some of it were done.

Reads beside a running daemon. What is advised, and in which order, is decided in advice/; this module finds the
material and says it to a person.
"""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from connector.advice import listing
from connector.advice.advise import advise
from connector.advice.listing import Advised, Place
from connector.advice.values import Action, TargetStanding, WhatIf
from connector.cli.common import add_language, config_of, store_beside
from connector.cli.selection import add_tenant, add_unit, selected, units_of
from connector.cli.terminal import complain, console, draw, dump, plain, progress, table, write_document
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError, SecureScoreError, TenantDamaged
from connector.formats.spreadsheet import document
from connector.health.overview import unit_words
from connector.language.spoken import Language
from connector.model import OF_UNITS
from connector.observe import memory
from connector.observe import units as of_units
from connector.ports import State
from connector.scheduled.material import EXPOSURE

SHOWN = 20
NAMED = 20
STAGES: Mapping[str, str] = {
    "quick_win": "quick_win",
    "project": "project",
    "other": "project",
    "licence": "licence",
    "asserted": "asserted",
}
"""Under which heading the actions of a group stand."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    add_unit(parser)
    limit = f"the best N over all tenants (default: {SHOWN}; --json and --csv: all)"
    parser.add_argument("--limit", type=_limit, metavar="N", help=limit)
    what_if = "say the exact score if this control were full (may be repeated)"
    parser.add_argument("--what-if", action="append", default=[], metavar="CONTROL", help=what_if)
    add_language(parser)
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
    tenants = [tenant for tenant in selected(config, args.tenant) if tenant.source != EXPOSURE]
    if not tenants:
        raise SecureScoreError(
            "an exposure score has no controls, so that there is nothing to advise",
            "Defender Vulnerability Management in the Defender portal says what lowers it",
        )
    limit = args.limit or (None if args.json or args.csv else SHOWN)
    units, silent = asyncio.run(collect(config, tenants, args.what_if, limit, args.unit))
    if not units:
        who = tenants[0].name if len(tenants) == 1 else f"any of {len(tenants)} tenants"
        raise SecureScoreError(f"nothing is known of {who} yet", "run `securescore once` first")
    _refuse_unknown(units, args.what_if)
    if args.json:
        dump(listing.document(units, silent, limit))
    elif args.csv:
        write_document(document([listing.COLUMNS, *listing.rows(listing.ranked(units, limit))]))
    else:
        show(units, limit or SHOWN, args.language)
    if silent:
        more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
        complain(
            [f"nothing is known yet, or can be read, of {', '.join(map(plain, silent[:NAMED]))}{more}"],
            "run `securescore once`",
        )
    return 3 if silent else 0


async def collect(
    config: Config,
    tenants: Sequence[TenantConfig],
    what_if: Sequence[str] = (),
    limit: int | None = None,
    only: Sequence[str] = (),
) -> tuple[list[Advised], list[str]]:
    """The advice for every tenant of which a day is known, and the names of the others; of an entry of several units
    for each of them, or for those that `only` selects, but not for the score over all.

    Since when a control is open takes all the days of a tenant to find out; with a limit they are read of those tenants
    only that have an action among the best.
    """
    found: dict[str, list[Advised]] = {}
    silent: list[str] = []
    async with store_beside(config) as store:
        wanted = await _wanted(store, tenants, only)
        with progress("Reading tenants", len(tenants)) as done:
            for count, tenant in enumerate(tenants, 1):
                units = await _advised(store, tenant, what_if, wanted, all_days=limit is None)
                if units:
                    found[tenant.key] = units
                elif wanted is None or tenant.source in OF_UNITS:
                    silent.append(tenant.name)
                done(count)
        if limit is not None:
            every = [unit for units in found.values() for unit in units]
            best = {place.of.entry for place in listing.ranked(every, limit)}
            for tenant in tenants:
                if tenant.key in best:
                    found[tenant.key] = await _advised(store, tenant, what_if, wanted, all_days=True)
    return [unit for units in found.values() for unit in units], silent


async def _wanted(
    store: DurableStore, tenants: Sequence[TenantConfig], patterns: Sequence[str]
) -> frozenset[str] | None:
    """The keys of the units that are meant; None = all, and tenants that are one unit. Raises ConfigError."""
    if not patterns:
        return None
    states = await store.heads([tenant.key for tenant in tenants])
    rosters = [of_units.roster(memory.readable_head(state)) for state in states.values()]
    return frozenset(units_of(rosters, patterns))


async def _advised(
    store: DurableStore,
    tenant: TenantConfig,
    what_if: Sequence[str],
    wanted: frozenset[str] | None,
    *,
    all_days: bool,
) -> list[Advised]:
    try:
        state = await store.load(tenant.key, of_units.of_all(memory.stood if all_days else memory.stands))
        views: list[tuple[Mapping[str, Any] | None, State | None]] = []
        if tenant.source not in OF_UNITS:
            views += [(None, state)] if wanted is None else []
        else:  # a score over all is won in its parts; an exposure has no controls
            _, parts = of_units.split(state)
            for key, row in of_units.roster(memory.head(state)).items():
                if row["kind"] == "subscription" and (wanted is None or key in wanted):
                    views.append((row, parts.get(of_units.step(key))))
        return [
            made for row, view in views if (made := _one(tenant, row, view, what_if, all_days=all_days)) is not None
        ]
    except TenantDamaged:  # one tenant's matter: the next poll mends it
        return []


def _one(
    tenant: TenantConfig,
    row: Mapping[str, Any] | None,
    state: State | None,
    what_if: Sequence[str],
    *,
    all_days: bool,
) -> Advised | None:
    known = memory.shown(state)
    if known.newest is None:
        return None
    earlier = known.before(known.newest.day.day) if all_days else ()
    return Advised(
        tenant.name,
        tenant.tenant_id,
        advise(known.newest, known.profiles, earlier, tenant.targets, what_if),
        unit=row and unit_words(row),
        texts=known.language or tenant.language,
        entry=tenant.key,
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


def show(units: Sequence[Advised], limit: int, speak: Language) -> None:
    """Where the tenants stand, the actions by stage, and what the projection says."""
    out = console()
    places = listing.ranked(units, limit)
    count = sum(len(unit.advice.actions) for unit in units)
    if len(units) == 1:
        out.print(_standing(units[0], speak))
    else:
        key = "next.units" if any(unit.unit for unit in units) else "next.tenants"
        out.print(speak.text(key, units=len(units), n=count))
    for stage in dict.fromkeys(STAGES.values()):
        found = [place for place in places if STAGES[place.action.group] == stage]
        if found:
            out.print()
            out.print(speak.text(f"next.stage.{stage}"))
            _draw(found, speak, several=len(units) > 1)
    out.print()
    if count > len(places):
        out.print(speak.text("next.more", n=count - len(places), all=str(count)))
    out.print(speak.text("next.legend"))
    others = dict.fromkeys(speak.name_of(unit.texts) for unit in units if not speak.is_of(unit.texts))
    if others:
        out.print(speak.text("microsofts_texts", language=speak.listing(others)))
    projected = [(unit, unit.advice.what_if) for unit in units if unit.advice.what_if is not None]
    for unit, then in projected:
        if then.controls or len(units) == 1:
            _say_projection(unit, then, speak)


def _standing(unit: Advised, speak: Language) -> str:
    advice, score = unit.advice, unit.advice.score
    score_words = speak.text(
        "next.score_asserted" if score.asserted else "next.score",
        tenant=plain(unit.name),
        day=speak.day(advice.day),
        score=speak.number(score.current),
        most=speak.number(score.max),
        percent=speak.percent(score.percent),
        asserted=speak.number(score.asserted),
    )
    open_words = speak.text("next.open", n=len(advice.actions), points=speak.number(advice.to_win))
    return speak.together(score_words, open_words)


def _draw(places: Sequence[Place], speak: Language, *, several: bool) -> None:
    """One row an action: its title with the id and what else there is to know below."""
    named = ("#>", *(["tenant"] if several else []), "points>", "share>", "control", "cost", "impact", "since")
    shown = table(*(_heading(name, speak) for name in named))
    for place in places:
        one = place.action
        since = speak.day(one.since)
        shown.add_row(
            speak.count(place.number),
            *([plain(place.of.name)] if several else []),
            speak.number(one.points),
            speak.percent(one.share_percent),
            _control(one, speak),
            plain(speak.word("level", one.cost)),
            plain(speak.word("level", one.impact)),
            since if one.since_exact else speak.text("next.at_least", day=since),
        )
    draw(shown)


def _heading(name: str, speak: Language) -> str:
    """The heading of a column; a sign at the end says how `table` draws it."""
    bare = name.rstrip(">")
    return name if bare == "#" else f"{speak.text(f'next.column.{bare}')}{name[len(bare) :]}"


def _control(one: Action, speak: Language) -> str:
    lines = [plain(one.title), f"{plain(one.control)}, {plain(speak.word('service', one.service))}"]
    if one.licences and one.group == "licence":
        lines.append(speak.text("next.needs", licences=speak.listing(map(plain, one.licences), "or")))
    if one.declared is not None:
        held = one.declared
        told = (speak.word("state", held.state), held.by, held.at and speak.day(held.at[:10]))
        what = ", ".join(plain(part) for part in told if part)
        lines.append(speak.text("next.declared", what=what, comment=plain(held.comment or speak.text("next.silent"))))
    return "\n".join(lines)


def _say_projection(unit: Advised, then: WhatIf, speak: Language) -> None:
    out = console()
    score = unit.advice.score
    out.print()
    controls = speak.listing(map(plain, then.controls))
    out.print(speak.text("next.if_full", tenant=plain(unit.name), controls=controls))
    projection = speak.text(
        "next.projection",
        before=speak.number(score.current),
        after=speak.number(then.score),
        most=speak.number(score.max),
        change=speak.signed(then.points),
        percent_before=speak.percent(score.percent),
        percent_after=speak.percent(then.percent),
    )
    out.print(f"  {projection}")
    for target in then.targets:
        out.print(f"  {_target(target, speak)}")
    if then.undetermined:
        names = speak.listing(map(plain, then.undetermined))
        out.print(f"  {speak.text('next.undetermined', controls=names)}")
    for one in then.unknown:
        near = speak.listing(map(plain, one.suggestions), "or")
        key = "next.not_scored_near" if near else "next.not_scored"
        out.print(f"  {speak.text(key, control=plain(one.name), near=near)}")


def _target(target: TargetStanding, speak: Language) -> str:
    return speak.text(
        "next.target",
        target=plain(target.control) if target.control else target.kind,
        value=speak.number(target.value),
        threshold=speak.number(target.threshold),
        met=speak.text({True: "next.met", False: "next.missed", None: "unknown"}[target.met]),
    )
