"""`securescore check`: configuration, state, access, Graph and every sink; one line a fault, with its remedy.

Reads only: nothing is committed and no event is sent.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from connector.app import Transports, build_sink, concurrency, open_source, open_store
from connector.cli.common import clean, config_of, console, dump, table
from connector.clock import SystemClock
from connector.config import Config, SinkConfig, TenantConfig, unmatched_tenants
from connector.errors import ConfigError, SecureScoreError
from connector.model import Absent, Known

HELP = "configuration, clock, access, Graph and every sink; what to do about each fault"
SHOWN_TENANTS = 20


@frozen
class Finding:
    """What one check came to. `what` is its name, `subject` whom it concerns; `ok` None means a warning."""

    what: str
    subject: str
    ok: bool | None
    detail: str
    hint: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as one JSON document")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    findings = asyncio.run(collect(config))
    if args.json:
        dump([asdict(f) for f in findings])
    else:
        show(findings)
    bad = [f for f in findings if f.ok is False]
    return 0 if not bad else 3 if any(f.ok for f in findings if f.what in ("tenant", "sink")) else 1


async def collect(config: Config) -> list[Finding]:
    """Every check, tenants and sinks side by side."""
    findings = [Finding("config", "", True, f"{len(config.tenants)} tenants, {len(config.sinks)} sinks")]
    findings += [
        Finding("config", name, False, "no sink takes this tenant's events", "add a sink, or widen a sink's `tenants`")
        for name in unmatched_tenants(config)
    ]
    findings.append(await _state(config))
    gate = asyncio.Semaphore(concurrency(config))
    transports = Transports(SystemClock())
    try:
        findings += await asyncio.gather(*(_tenant(t, config, transports, gate) for t in config.tenants))
    finally:
        await transports.close()
    findings += await asyncio.gather(*(_sink(s) for s in config.sinks))
    return findings


async def _state(config: Config) -> Finding:
    """The state opens, or does not exist yet."""
    where = config.state.path or config.state.directory or "state"
    if config.state.path is not None and not Path(config.base_dir, config.state.path).exists():
        return Finding("state", where, None, "does not exist yet: the first `securescore once` or `run` creates it")
    try:
        store = await open_store(config, clock=SystemClock(), writer=False)
        stats = await store.stats()
        await store.close()
    except SecureScoreError as error:
        return Finding("state", where, False, error.what, error.hint)
    return Finding("state", where, True, f"{stats.events} events, {stats.bytes / 1e6:.1f} MB")


async def _tenant(tenant: TenantConfig, config: Config, transports: Transports, gate: asyncio.Semaphore) -> Finding:
    """One day and the whole catalogue are read, as a poll would."""
    async with gate:
        try:
            one_day = evolve(config, poll=evolve(config.poll, backfill_days=1))
            source = await open_source(tenant, one_day, transports, SystemClock())
            snapshot = await source.read(Known())
        except ConfigError as error:
            return Finding("tenant", tenant.name, False, "; ".join(error.problems), error.hint)
        except SecureScoreError as error:
            return Finding("tenant", tenant.name, False, error.what, error.hint)
    absent = [p for p in (snapshot.days, snapshot.catalogue) if isinstance(p, Absent)]
    if absent:
        words = "; ".join(f"{p.reason}: {p.detail}" for p in absent)
        return Finding("tenant", tenant.name, False, words, "usually heals by itself: try again in some minutes")
    days: Any = snapshot.days
    profiles: Any = snapshot.catalogue
    if not days:
        return Finding("tenant", tenant.name, None, "readable, but Microsoft has published no score yet")
    newest = max(days, key=lambda d: d.day)
    detail = f"newest day {newest.day}, {len(newest.controls)} controls scored, {len(profiles)} in the catalogue"
    return Finding("tenant", tenant.name, True, detail)


async def _sink(config: SinkConfig) -> Finding:
    try:
        sink = build_sink(config)
        try:
            await sink.probe()
        finally:
            await sink.close()
    except ConfigError as error:
        return Finding("sink", config.name, False, "; ".join(error.problems), error.hint)
    except SecureScoreError as error:
        return Finding("sink", config.name, False, error.what, error.hint)
    return Finding("sink", config.name, True, f"{config.kind} answers")


def show(findings: Sequence[Finding]) -> None:
    """One line a finding; thousands of tenants are grouped by fault."""
    made = table("", "check", "about", "found")
    shown = 0
    groups: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        if f.what == "tenant" and f.ok is False:
            groups.setdefault((f.detail.replace(f.subject, "…"), f.hint), []).append(f)
            continue
        if f.what == "tenant" and f.ok:
            shown += 1
            if shown > SHOWN_TENANTS:
                continue
        made.add_row(_mark(f.ok), f.what, clean(f.subject), _words(f.detail, f.hint))
    if shown > SHOWN_TENANTS:
        made.add_row(_mark(True), "tenant", f"{shown - SHOWN_TENANTS} more", "readable")
    for (_, hint), members in groups.items():
        names = ", ".join(f.subject for f in members[:SHOWN_TENANTS])
        if len(members) > SHOWN_TENANTS:
            names += f" and {len(members) - SHOWN_TENANTS} more"
        made.add_row(_mark(False), "tenant", clean(names), _words(members[0].detail, hint))
    out = console()
    out.print(made)
    bad = sum(f.ok is False for f in findings)
    out.print("All good." if not bad else f"{bad} of {len(findings)} checks failed.")


def _mark(ok: bool | None) -> str:
    return "[green]ok[/green]" if ok else "[yellow]--[/yellow]" if ok is None else "[red]no[/red]"


def _words(detail: str, hint: str) -> str:
    return clean(detail) + (f"\nnext: {clean(hint)}" if hint else "")
