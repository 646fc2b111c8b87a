"""The part of `check` that is about the state: whether it can be opened, has room, and is as it was left.

`--state` reads all of it: the structure, every document or row, every event, every part of every tenant. One line a
fault, with what is lost and what to do. Nothing is changed.
"""

from collections.abc import Iterable

from attrs import evolve

from connector.app import open_store, try_state
from connector.cli.findings import Finding
from connector.config.values import Config
from connector.deliver.delivery import DurableStore
from connector.errors import SecureScoreError
from connector.health.state_faults import flaw_faults, gone_sinks
from connector.health.upkeep import CONNECTOR, FLAWS, disk_faults
from connector.observe import memory, mending
from connector.ports import Clock, Flaw, State


async def state(config: Config, clock: Clock) -> tuple[list[Finding], DurableStore | None]:
    """Whether the state can be opened and has room; and the state, for reading, where there is one."""
    where = config.state.path or config.state.directory or "state"
    try:
        trial = await try_state(config, clock)
        if not trial.exists:
            return [Finding("state", where, None, "does not exist yet: the first `once` or `run` makes it")], None
        if trial.older:
            words = "is of an older version: the next `once` or `run` migrates it, with a backup beside it"
            return [Finding("state", where, None, words)], None
        store = await open_store(config, clock=clock, writer=False)
    except SecureScoreError as error:
        return [Finding("state", where, False, error.what, error.hint, stops=1)], None
    try:
        stats = await store.stats()
        known = memory.readable_head(await store.load(CONNECTOR)).get("problems", {})
    except SecureScoreError as error:
        await store.close()
        return [Finding("state", where, False, error.what, error.hint, stops=1)], None
    findings = [Finding("state", where, True, f"{stats.events} events, {stats.bytes / 1e6:.1f} MB")]
    if trial.holder:
        findings = [evolve(findings[0], detail=f"{findings[0].detail}; in use by {trial.holder}", reason="in_use")]
    findings += [
        Finding("state", where, False if f.reason == "outbox_full" else None, f"{f.summary} ({f.detail})", f.hint)
        for f in disk_faults(known, stats, config.state.max_bytes)
    ]
    findings += [Finding("state", f.subject, None, f.summary, f.hint, f.reason) for f in gone_sinks(stats.sinks)]
    return findings, store


async def soundness(config: Config, store: DurableStore, *, whole: bool) -> list[Finding]:
    """What of the state is not as it was left: as far as it was met, or with the `whole` of it read."""
    try:
        flaws = [*await store.verify(), *await _parts(store)] if whole else await store.flaws()
    except SecureScoreError as error:
        return [Finding("state", "", False, error.what, error.hint)]
    found = flawed(config, flaws)
    return found or ([Finding("state", "", True, "read as a whole: every piece of it is sound")] if whole else [])


def flawed(config: Config, flaws: Iterable[Flaw]) -> list[Finding]:
    """A finding for each flaw: which piece, of whom, what was in it, and what to do."""
    names = {tenant.key: tenant.name for tenant in config.tenants}
    findings = []
    for flaw in flaws:
        (fault,) = flaw_faults([flaw], names)
        lost = f" ({fault.summary.removeprefix('Problem: ')})" if flaw.reason == "state_damaged" else ""
        ok = False if flaw.reason in FLAWS else None
        findings.append(Finding("state", flaw.document, ok, f"{fault.detail}{lost}", fault.hint, flaw.reason))
    return findings


async def _parts(store: DurableStore) -> list[Flaw]:
    """The parts of tenants that cannot be read; those that the store itself cannot give are its own findings."""
    found = []
    for tenant_id in ["", *await store.tenants()]:
        kept = await store.load(tenant_id) or State()
        for part, why in mending.unreadable(kept).items():
            if part not in kept.lost:
                found.append(Flaw("state_damaged", f"{tenant_id or 'connector'}/{part}", why, tenant_id, 0, {}))
    return found
