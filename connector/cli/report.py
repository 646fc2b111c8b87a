"""`securescore report`: the posture of one tenant, or of all, over a period as HTML, JSON or CSV in one file.

Reads beside a running daemon. What a report says is in report/; this module finds the material and writes the file,
tenant by tenant, so that thousands of them need no more memory than a few.
"""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType

from connector import __version__
from connector.app import evidence
from connector.cli.common import config_of, store_beside
from connector.cli.terminal import complain, console, plain, progress, write_document
from connector.cli.times import day
from connector.clock import SystemClock, iso
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.durable import replacing
from connector.errors import ConfigError, SecureScoreError
from connector.observe import memory
from connector.observe.evidence import Evidence
from connector.ports import Query
from connector.report import build, document, page, table
from connector.report.values import Cover, EvidenceFile, Material, Period, Summary

HELP = "the posture of a tenant, or of all, over a period: HTML, JSON or CSV in one file"
FORMATS: Mapping[str, ModuleType] = {"html": page, "json": document, "csv": table}
MAX_DETAILED = 20
"""Up to so many tenants `--all-tenants` reports each in full; of more, only those that --tenant names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", action="append", default=[], metavar="T", help="which tenant (may be repeated)")
    all_help = f"compare all tenants; up to {MAX_DETAILED} follow in full, of more only those named with --tenant"
    parser.add_argument("--all-tenants", action="store_true", help=all_help)
    parser.add_argument(
        "--from", dest="start", metavar="DAY", help="first day, also 30d or yesterday (default: 90 days up to the last)"
    )
    parser.add_argument("--to", dest="end", metavar="DAY", help="last day (default: the newest known)")
    parser.add_argument("--format", choices=tuple(FORMATS), default="html", help="default: html")
    parser.add_argument("--out", required=True, metavar="FILE", help="where it goes; - is standard output")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    tenants, named = _tenants(config, args.tenant, compare=args.all_tenants)
    return asyncio.run(_report(config, tenants, named, args))


def _tenants(
    config: Config, names: Sequence[str], *, compare: bool
) -> tuple[Sequence[TenantConfig], Sequence[TenantConfig]]:
    """Which tenants are compared, and which were named. Raises ConfigError."""
    strange = [n for n in names if not any(n in (t.name, t.tenant_id) for t in config.tenants)]
    if strange:
        raise ConfigError([f"no tenant named {n!r} is configured" for n in strange], "see `securescore tenants list`")
    named = [t for t in config.tenants if {t.name, t.tenant_id} & set(names)]
    if compare:
        return config.tenants, named
    if not named and len(config.tenants) > 1:
        raise ConfigError([f"{len(config.tenants)} tenants are configured"], "say --tenant NAME, or --all-tenants")
    return named or config.tenants, named


async def _report(
    config: Config, tenants: Sequence[TenantConfig], named: Sequence[TenantConfig], args: argparse.Namespace
) -> int:
    now = SystemClock().now()
    async with store_beside(config) as store:
        when = await period_of(store, tenants, args.start, args.end, now)
        summaries, full = await save(config, store, tenants, named, when, args.format, args.out, now)
    tell(args.out, when, summaries, full)
    return 3 if any(s.error for s in summaries) else 0


async def save(
    config: Config,
    store: DurableStore,
    tenants: Sequence[TenantConfig],
    named: Sequence[TenantConfig],
    when: Period,
    form: str,
    out: str,
    now: datetime,
) -> tuple[Sequence[Summary], int]:
    """Write the report; returns what is said of each tenant and how many follow in full.

    Raises SecureScoreError when nothing is known of any of them, or the file cannot be written.
    """
    archive = evidence(config)
    summaries: list[Summary] = []
    with progress("Reading tenants", len(tenants)) as done:
        for tenant in tenants:
            summaries.append(build.summarise(await material(store, tenant, when), when))
            done(len(summaries))
    known = {s.tenant_id for s in summaries if s.error is None}
    if not known:
        raise SecureScoreError(_silence(summaries, when), "run `securescore once` first, or choose other days")
    full = [t for t in (tenants if len(tenants) <= MAX_DETAILED else named) if t.tenant_id in known]
    ordered = sorted(summaries, key=lambda s: (s.percent is not None, s.percent or 0.0, s.name))
    cover = Cover(__version__, iso(now), when, tuple(ordered), tuple(t.name for t in full))
    written = FORMATS[form]
    with writing(out) as write, progress("Writing tenants", len(full)) as done:
        write(written.opening(cover))
        for number, tenant in enumerate(full):
            write(written.tenant(build.build(await material(store, tenant, when, archive), when), number))
            done(number + 1)
        write(written.closing(cover))
    return summaries, len(full)


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


# ------------------------------------------------------------------------------------------------- period and material


async def period_of(
    store: DurableStore, tenants: Sequence[TenantConfig], start: str | None, end: str | None, now: datetime
) -> Period:
    """The days asked for; else 90 up to the newest known one, of few tenants not before their first known day."""
    first, last, today = day(start, "--from", now), day(end, "--to", now), iso(now)[:10]
    if last is None:
        heads = [memory.head(await store.load(t.tenant_id)) for t in tenants]
        last = max((str(h["newest"]) for h in heads if h.get("newest")), default=today)
    last = min(last, today)
    if first is None:
        first = build.days_before(last, build.DEFAULT_DAYS - 1)
        if len(tenants) <= MAX_DETAILED:
            known = [memory.decode(await store.load(t.tenant_id)).versions() for t in tenants]
            first = max(first, min((d for days in known for d in days if d <= last), default=first))
    if first > last:
        raise ConfigError([f"--from {first} is after {last}"], "the period ends at --to, or today")
    return build.period(first, last)


async def material(
    store: DurableStore, tenant: TenantConfig, when: Period, archive: Evidence | None = None
) -> Material:
    """What is stored of a tenant; the archived responses only when an archive is given."""
    state = await store.load(tenant.tenant_id)
    known = memory.decode(state)
    events = await store.history(Query(tenant_id=tenant.tenant_id, types=build.EVENT_TYPES, since=when.start))
    files: list[EvidenceFile] = []
    if archive is not None:
        days = {v.day.day for v in known.between(when.start, when.end)} | {known.first_newest or ""}
        files = [EvidenceFile(*row) for row in await archive.verified(tenant.tenant_id, sorted(days))]
    problems = sorted({str(p["reason"]) for p in memory.head(state).get("problems", {}).values()})
    return Material(
        name=tenant.name,
        tenant_id=tenant.tenant_id,
        labels=tenant.labels,
        source=tenant.source,
        memory=known,
        events=tuple(events),
        evidence=tuple(files),
        problems=tuple(problems),
        targets=tenant.targets,
        exceptions=tenant.exceptions,
    )


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
