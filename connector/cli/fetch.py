"""`securescore fetch`: save the complete responses of one read, as `source: files` and `path` of the other sources read
them. The connected side of an air gap: nothing is kept, nothing is delivered, no state is touched.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from connector.app import Transports, open_source, transports_for
from connector.cli.common import config_of
from connector.cli.selection import add_tenant, selected
from connector.cli.terminal import console, draw, draw_notes, plain, plural, progress, table
from connector.clock import SystemClock
from connector.config.values import Config, TenantConfig
from connector.errors import ConfigError, SecureScoreError, Unavailable
from connector.health.logs import log_to_stderr
from connector.model import Absent, Known, Reading, Snapshot
from connector.observe.evidence import SUMS, Evidence
from connector.observe.schedule import concurrency

KEEP_DAYS = 100 * 365
"""Nothing that was fetched before expires by fetching again."""


@frozen
class Saved:
    """What became of one tenant: how many files of how many bytes, below which folder, and what is lacking or odd.

    `of_units`: from a source of several units, which reads them itself.
    """

    tenant: str
    folder: str = ""
    files: int = 0
    size_bytes: int = 0
    error: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()
    of_units: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser)
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="folder to save into; made if need be")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    tenants = selected(config, args.tenant)
    log_to_stderr(config.log)
    saved = asyncio.run(fetch(config, tenants, args.out))
    show(saved)
    if not any(one.error for one in saved):
        return 0
    return 3 if any(one.files for one in saved) else 1


async def fetch(config: Config, tenants: Sequence[TenantConfig], out: Path) -> list[Saved]:
    """Read every tenant once and save what came whole, each below its id and its newest day."""
    clock = SystemClock()
    transports = transports_for(config, clock)
    archive = Evidence(out, KEEP_DAYS, clock)
    gate = asyncio.Semaphore(concurrency(config.poll, len(tenants)))
    words = f"Reading {tenants[0].name}" if len(tenants) == 1 else "Reading tenants"
    seen = 0
    with progress(words, len(tenants)) as done:

        async def one(tenant: TenantConfig) -> Saved:
            nonlocal seen
            async with gate:
                saved = await _save(tenant, config, transports, archive)
            seen += 1
            done(seen)
            return saved

        try:
            return list(await asyncio.gather(*(one(tenant) for tenant in tenants)))
        finally:
            await transports.close()


async def _save(tenant: TenantConfig, config: Config, transports: Transports, archive: Evidence) -> Saved:
    clock = transports.clock
    try:
        source = await open_source(tenant, config, transports, clock)
        snapshot = await source.read(Known())
        await source.close()
        lacking = _lacking(snapshot)
        error = "; ".join(dict.fromkeys(f"{part.reason}: {part.detail}" for part in lacking))
        hint = " ".join(dict.fromkeys(part.hint for part in lacking if part.hint))
        notes = tuple(note.text for note in snapshot.notes)
        if not snapshot.evidence:
            error = error or f"source {tenant.source} has no responses that could be saved"
            return Saved(tenant.name, error=error, hint=hint, notes=notes)
        parts = snapshot.units if isinstance(snapshot, Reading) and isinstance(snapshot.units, tuple) else [snapshot]
        days = [
            day.day
            for part in parts
            if isinstance(part, Snapshot) and isinstance(part.days, tuple)
            for day in part.days
        ]
        day = max(days, default=clock.now().date().isoformat())
        try:
            await archive.save(tenant.key, snapshot.evidence, day)
        except Unavailable as refused:
            return Saved(tenant.name, error=refused.what, hint="Free space there, or name another folder with --out.")
    except SecureScoreError as failed:
        what = "; ".join(failed.problems) if isinstance(failed, ConfigError) else failed.what
        return Saved(tenant.name, error=what, hint=failed.hint)
    size = sum(len(file.body) for file in snapshot.evidence)
    of_units = isinstance(snapshot, Reading)
    return Saved(tenant.name, f"{tenant.key}/{day}", len(snapshot.evidence), size, error, hint, notes, of_units)


def _lacking(read: Snapshot | Reading) -> list[Absent]:
    """What of a read did not come."""
    if isinstance(read, Snapshot):
        return list(read.incomplete.values())
    return [part for part in (read.units, read.listed, read.partial) if isinstance(part, Absent)]


def show(saved: Sequence[Saved]) -> None:
    out = console()
    shown = table("tenant", "saved in", "files>", "size>", "result")
    for one in saved:
        words = (plain(one.error) + (f"\nnext: {plain(one.hint)}" if one.hint else "")) if one.error else "ok"
        size = f"{one.size_bytes / 1e6:.1f} MB" if one.files else "-"
        shown.add_row(
            plain(one.tenant), one.folder or "-", str(one.files), size, words, style="red" if one.error else None
        )
    draw(shown, out)
    draw_notes(((one.tenant, one.notes) for one in saved), out)
    whole = [one for one in saved if one.files]
    if whole:
        out.print(f"\n{plural(len(whole), 'tenant')} saved, each with {SUMS} (`sha256sum -c`).")
    if any(not one.of_units for one in whole):
        out.print("On the other side: `source: files`, `path:` the folder named like the tenant's id")
    if any(one.of_units for one in whole):
        same = "the same `source` as here, with `path:` the folder instead of `auth`"
        out.print(f"Of Azure and of Defender for Endpoint, on the other side: {same}")
