"""`securescore report`: the posture of one tenant, or of many, over a period: in one file, or in one file a tenant.

Reads beside a running daemon. What a report says, and in which forms, is in report/; this module finds the material and
writes the files, tenant by tenant, so that thousands of them need no more memory than a few.
"""

import argparse
import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from attrs import evolve

from connector import __version__
from connector.app import evidence
from connector.cli.common import add_language, config_of, store_beside
from connector.cli.selection import ONE_UNIT_HELP, add_tenant, add_unit, selected
from connector.cli.terminal import complain, console, plain, progress, write_document
from connector.cli.times import day
from connector.cli.unit_view import called, view_of
from connector.clock import SystemClock, iso
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.durable import replacing
from connector.errors import ConfigError, SecureScoreError, TenantDamaged, Unavailable
from connector.observe import memory
from connector.observe.evidence import Evidence
from connector.report import build, matrix
from connector.report.forms import FORMS, Form, choose
from connector.report.table import TABLES
from connector.report.values import Cover, Material, Period, Summary
from connector.scheduled.material import EXPOSURE, brand, material, whole

BESIDE = "it stands in the section Cloud of the tenant with the same tenant_id: --tenant NAME"
Without = list[tuple[str, str]]
"""What reports lack, and what to do about it."""
MAX_DETAILED = 20
"""Up to so many tenants `--all-tenants` reports each in full; of more, only those that --tenant names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    add_unit(parser, ONE_UNIT_HELP)
    all_help = f"compare all tenants; up to {MAX_DETAILED} follow in full, of more only those named with --tenant"
    parser.add_argument("--all-tenants", action="store_true", help=all_help)
    parser.add_argument(
        "--from", dest="start", metavar="DAY", help="first day, also 30d or yesterday (default: 90 days up to the last)"
    )
    parser.add_argument("--to", dest="end", metavar="DAY", help="last day (default: the newest known)")
    parser.add_argument("--format", choices=tuple(FORMS), help="default: what the name of the file ends in, else html")
    parser.add_argument(
        "--table", choices=tuple(TABLES), help="csv: which table (default: controls, with their points)"
    )
    out = "where it goes: a file; a folder with / at its end, for one file a tenant; - is standard output"
    add_language(parser)
    parser.add_argument("--out", required=True, metavar="FILE|DIR/", help=out)


def run(args: argparse.Namespace) -> int:
    form = choose(args.format, args.out, args.table, args.language)
    config = config_of(args)
    tenants, named = _tenants(config, args.tenant, compare=args.all_tenants)
    if form.single and len(tenants) > 1 and not _is_folder(args.out):
        problem = f"{form.name.upper()} documents are of one tenant, and {len(tenants)} are asked for"
        raise ConfigError([problem], "write one file a tenant: --out DIR/, or say --tenant NAME")
    if args.unit and len(tenants) != 1:
        raise ConfigError([f"--unit is of one tenant, and {len(tenants)} are asked for"], "say --tenant NAME")
    return asyncio.run(_report(config, tenants, named, form, args))


def _is_folder(out: str) -> bool:
    return out != "-" and (out.endswith("/") or Path(out).is_dir())


def _tenants(
    config: Config, names: Sequence[str], *, compare: bool
) -> tuple[Sequence[TenantConfig], Sequence[TenantConfig]]:
    """Which tenants are compared, and which were named. Raises ConfigError."""
    named = selected(config, names) if names else ()
    for tenant in named:
        if tenant.source == EXPOSURE:
            raise ConfigError([f"{tenant.name} has an exposure score, which has no report of its own"], BESIDE)
    every = [tenant for tenant in config.tenants if tenant.source != EXPOSURE]
    if not every:
        raise ConfigError(["an exposure score has no report of its own"], BESIDE)
    if compare:
        return every, named
    if not named and len(every) > 1:
        raise ConfigError([f"{len(every)} tenants are configured"], "say --tenant NAME, or --all-tenants")
    return named or every, named


async def _report(
    config: Config,
    tenants: Sequence[TenantConfig],
    named: Sequence[TenantConfig],
    form: Form,
    args: argparse.Namespace,
) -> int:
    now = SystemClock().now()
    async with store_beside(config) as whole_store:
        store, row = await view_of(whole_store, tenants[0], args.unit)
        if row is not None:
            name = re.sub(r"[^A-Za-z0-9._-]+", "-", called(row))
            tenants = named = (evolve(tenants[0], name=f"{tenants[0].name}.{name}"),)
            config = evolve(config, tenants=())  # nothing stands beside it
        when = await period_of(store, tenants, args.start, args.end, now)
        without: Without = []
        if _is_folder(args.out):
            summaries = await save_each(config, store, tenants, when, form, Path(args.out), now, without)
            full = sum(s.error is None for s in summaries)
        else:
            summaries, full = await save(config, store, tenants, named, when, form, args.out, now, without)
    tell(args.out, when, summaries, full)
    for what, hint in without:
        complain([plain(what)], plain(hint))
    return 3 if without or any(s.error for s in summaries) else 0


async def save(
    config: Config,
    store: DurableStore,
    tenants: Sequence[TenantConfig],
    named: Sequence[TenantConfig],
    when: Period,
    form: Form,
    out: str,
    now: datetime,
    without: Without,
) -> tuple[Sequence[Summary], int]:
    """Write the report; returns what is said of each tenant and how many follow in full. `without` as in `_whole`.

    Raises SecureScoreError when nothing is known of any of them, or the file cannot be written.
    """
    archive = evidence(config)
    several = len(tenants) > 1
    summaries, columns = await _summaries(config, store, tenants, when, compare=several)
    known = {s.name for s in summaries if s.error is None}  # two entries may have one tenant_id
    if not known:
        raise SecureScoreError(_silence(summaries, when), "run `securescore once` first, or choose other days")
    full = [t for t in (tenants if form.every or len(tenants) <= MAX_DETAILED else named) if t.name in known]
    ordered = sorted(summaries, key=lambda s: (s.percent is None, s.percent or 0.0, s.name))
    head = brand(config.report if several else tenants[0].report)
    names = tuple(t.name for t in full)
    cover = Cover(__version__, iso(now), when, tuple(ordered), names, head, matrix.matrix(columns))
    spans = {s.name: _span(form, when, s) for s in summaries}
    with writing(out) as write, progress("Writing tenants", len(full)) as done:
        write(form.writes.opening(cover))
        for number, tenant in enumerate(full):
            span = spans[tenant.name]
            made = await _whole(config, store, tenant, span, archive, without)
            write(form.writes.tenant(build.build(made, span), number))
            done(number + 1)
        write(form.writes.closing(cover))
    return summaries, len(full)


async def save_each(
    config: Config,
    store: DurableStore,
    tenants: Sequence[TenantConfig],
    when: Period,
    form: Form,
    folder: Path,
    now: datetime,
    without: Without,
) -> Sequence[Summary]:
    """Write one file for each tenant of which something is known, named after it; returns what is said of each tenant.

    Raises SecureScoreError when nothing is known of any of them, or a file cannot be written.
    """
    archive = evidence(config)
    summaries, _ = await _summaries(config, store, tenants, when, compare=False)
    if all(s.error is not None for s in summaries):
        raise SecureScoreError(_silence(summaries, when), "run `securescore once` first, or choose other days")
    _make(folder)
    with progress("Writing tenants", len(tenants)) as done:
        for number, (tenant, summary) in enumerate(zip(tenants, summaries, strict=True), 1):
            if summary.error is None:
                cover = Cover(__version__, iso(now), when, (summary,), (tenant.name,), brand(tenant.report))
                span = _span(form, when, summary)
                report = build.build(await _whole(config, store, tenant, span, archive, without), span)
                with writing(str(folder / f"{tenant.name}{form.suffix}")) as write:
                    for part in (form.writes.opening(cover), form.writes.tenant(report, 0), form.writes.closing(cover)):
                        write(part)
            done(number)
    return summaries


async def _whole(
    config: Config,
    store: DurableStore,
    tenant: TenantConfig,
    span: Period,
    archive: Evidence | None,
    without: Without,
) -> Material:
    """What a report in full is made of. Evidence and scores beside it that cannot be read are left out, and `without`
    says so, with what to do.
    """
    try:
        return await whole(config, store, tenant, span, archive)
    except Unavailable as error:
        without.append((f"{tenant.name}: its report names no evidence: {error.what}", error.hint))
        return await _whole(config, store, tenant, span, None, without)
    except TenantDamaged as error:
        what = f"{tenant.name}: its report is without the scores beside it: {error.what}"
        without.append((what, "the next poll mends what cannot be read: make the report again then"))
        return await _whole(evolve(config, tenants=()), store, tenant, span, archive, without)


def _span(form: Form, when: Period, summary: Summary) -> Period:
    """The days that a form needs of a tenant."""
    last = summary.newest_day
    return build.period(last, last) if form.last_day and last is not None else when


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SecureScoreError(f"cannot make {folder}: {error.strerror}", "name another folder: --out DIR/") from error


async def _summaries(
    config: Config, store: DurableStore, tenants: Sequence[TenantConfig], when: Period, *, compare: bool
) -> tuple[list[Summary], list[matrix.Column]]:
    """What is said of each tenant, and where they are compared, the columns of the weakest."""
    found: list[Summary] = []
    columns: list[matrix.Column] = []
    with progress("Reading tenants", len(tenants)) as done:
        for tenant in tenants:
            try:
                made = await material(config, store, tenant, when, types=build.SUMMARY_TYPES)
                found.append(build.summarise(made, when))
                column = matrix.column(made, when) if compare else None
                columns = matrix.weakest([*columns, column]) if column is not None else columns
            except TenantDamaged as error:  # one tenant's matter: the next poll mends it
                found.append(build.unread(tenant.name, tenant.tenant_id, tenant.labels, when, error.what))
            done(len(found))
    return found, columns


def _silence(summaries: Sequence[Summary], when: Period) -> str:
    if len(summaries) == 1:
        return f"{summaries[0].name}: {summaries[0].error}"
    return f"nothing is known of any of {len(summaries)} tenants from {when.start} to {when.end}"


def tell(out: str, when: Period, summaries: Sequence[Summary], full: int) -> None:
    """What was written, on stderr when the report itself is on stdout; each tenant without data by name."""
    said = console(stderr=out == "-")
    rest = len(summaries) - full
    more = f", {full} of {len(summaries)} tenants in full" if rest else ""
    said.print(f"{when.start} to {when.end}{more}: {plain(out)}")
    for one in [s for s in summaries if s.error is not None][:20]:
        complain([plain(f"{one.name}: {one.error}")])


# --------------------------------------------------------------------------------------------------------------- period


async def period_of(
    store: DurableStore, tenants: Sequence[TenantConfig], start: str | None, end: str | None, now: datetime
) -> Period:
    """The days asked for; else 90 up to the newest known one, of few tenants not before their first known day."""
    first, last, today = day(start, "--from", now), day(end, "--to", now), iso(now)[:10]
    if last is None:
        heads = [memory.readable_head(state) for state in (await store.heads([t.key for t in tenants])).values()]
        last = max((str(h["newest"]) for h in heads if h.get("newest")), default=today)
    last = min(last, today)
    if first is None:
        first = build.days_before(last, build.DEFAULT_DAYS - 1)
        if len(tenants) <= MAX_DETAILED:
            begun = [one for t in tenants if (one := await _first_day(store, t)) is not None and one <= last]
            first = max(first, min(begun, default=first))
    if first > last:
        raise ConfigError([f"--from {first} is after {last}"], "the period ends at --to, or today")
    return build.period(first, last)


async def _first_day(store: DurableStore, tenant: TenantConfig) -> str | None:
    """The first known day of a tenant; none of one whose state cannot be read, which its own line says."""
    try:
        return memory.shown(await store.load(tenant.key, memory.stood)).first_day()
    except TenantDamaged:
        return None


# ---------------------------------------------------------------------------------------------------------------- file


@contextmanager
def writing(out: str) -> Iterator[Callable[[str], None]]:
    """Write UTF-8 to a file that appears whole or not at all, readable by its owner only; "-" is standard output.

    Raises SecureScoreError when it cannot be written.
    """
    if out == "-":
        yield write_document
        return
    try:
        with replacing(Path(out)) as file:

            def write(text: str) -> None:
                file.write(text.encode("utf-8"))

            yield write
    except OSError as error:
        raise SecureScoreError(f"cannot write {out}: {error.strerror}", "name another file: --out FILE") from error
