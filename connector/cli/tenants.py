"""`securescore tenants`: list tenants; add one (tenants_add.py); forget one, exporting before all of it is deleted.

The list is that of the configuration: it needs no state, and says of whom nothing was read so far.

An export is a new folder: the events as JSON lines, and the evidence as the archive had it, with its SHA256SUMS. Of one
unit alone the memory is dropped: what was told of it stays in the history of its entry.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connector.app import evidence, severity_rules
from connector.cli import tenants_add
from connector.cli.common import config_of, store_beside
from connector.cli.confirm import add_yes, confirmed
from connector.cli.evidence_export import copy_evidence, take_evidence
from connector.cli.selection import SHOWN, add_unit, units_of
from connector.cli.status import NEVER_READ
from connector.cli.terminal import console, draw, dump, plain, plural, say, table
from connector.cli.unit_view import called
from connector.clock import SystemClock, iso
from connector.config.values import Config, TenantConfig
from connector.deliver.delivery import DurableStore
from connector.durable import adding, creating
from connector.errors import ConfigError, Conflict, NoState, StoreError
from connector.formats import cloudevents
from connector.model import WHOLE, Event
from connector.observe import estate, memory, unit_changes, units
from connector.observe.events import stamp
from connector.ports import Query, State

FORGET_TRIES = 20
EVENTS, EVIDENCE = "events.jsonl", "evidence"
_EXPORT_HELP = "with forget: the new folder where events and evidence go first (default NAME-export)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add", "forget"))
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="with list: the same as one JSON document")
    parser.add_argument("--export", metavar="DIR", help=_EXPORT_HELP)
    add_unit(
        parser, "with forget: only these units of it, such as subscriptions: ids, names or globs (may be repeated)"
    )
    add_yes(parser)
    tenants_add.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    _check_usage(args)
    if args.action == "add":
        return tenants_add.run(args)
    config = config_of(args)
    if args.action == "list":
        return asyncio.run(_list(config, as_json=args.json))
    if not args.name:
        raise ConfigError(["forget needs the NAME of the tenant"], "see `securescore tenants list`")
    if args.unit:
        return asyncio.run(_forget_units(config, args.name, args.unit, yes=args.yes))
    return asyncio.run(_forget(config, args.name, Path(args.export or f"{args.name}-export"), yes=args.yes))


def _check_usage(args: argparse.Namespace) -> None:
    """Options that this action does not have are a mistake: whoever gave them meant something by it."""
    own = {"list": {"json"}, "add": {"tenant_id", "label", "set", "dry_run"}, "forget": {"export", "yes", "unit"}}
    names = [name for of in own.values() for name in sorted(of)]
    strange = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) and name not in own[args.action]]
    problems = [f"{option} does not belong to `tenants {args.action}`" for option in strange]
    if args.action == "list" and args.name:
        problems.append("`tenants list` takes no NAME")
    if args.unit and args.export:
        problems.append("--export is for all of a tenant: with --unit no event and no evidence is deleted")
    if problems:
        raise ConfigError(problems, "see `securescore tenants --help`")


async def collect(config: Config) -> tuple[list[dict[str, Any]], NoState | None]:
    """Every configured tenant, then those that are only remembered (`source` None); and that nothing is, if so."""
    try:
        async with store_beside(config) as store:
            others = sorted(set(await store.tenants()) - {t.key for t in config.tenants} - {""})
            states, missing = await store.heads([*(t.key for t in config.tenants), *others]), None
    except NoState as error:
        others, states, missing = [], {}, error
    rows: list[dict[str, Any]] = []
    for tenant in config.tenants:
        head = memory.readable_head(states.get(tenant.key))
        rows.append(_row(tenant.name, tenant.tenant_id, tenant.source, tenant.labels, head))
    for other in others:
        head = memory.readable_head(states[other])
        rows.append(_row(str(head.get("tenant", "?")), other, None, {}, head))
    return rows, missing


def _row(name: str, tenant_id: str, source: str | None, labels: Any, head: Any) -> dict[str, Any]:
    return {
        "name": name,
        "tenant_id": tenant_id,
        "source": source,
        "labels": dict(labels),
        "units": len(units.roster(head)),
        "newest_day": head.get("newest"),
        "error": head.get("error"),
    }


async def _list(config: Config, *, as_json: bool) -> int:
    rows, missing = await collect(config)
    if as_json:
        dump(rows)
    else:
        shown = table("tenant", "tenant id", "source", "newest day", "error")
        for row in rows:
            source = row["source"] or "not configured"
            newest = row["newest_day"] or ("-" if row["units"] or row["error"] else NEVER_READ)
            shown.add_row(plain(row["name"]), row["tenant_id"], source, newest, plain(row["error"] or ""))
        draw(shown)
    if missing is not None:  # no fault of a list, unless another state was meant
        say(f"{plain(missing.what)}: nothing was polled so far\nnext: {plain(missing.hint)}", err=True)
    return 0


async def _forget(config: Config, name: str, export: Path, *, yes: bool) -> int:
    """Events and evidence are on disk before anything is deleted; a tenant that is not configured any more is found,
    too.
    """
    if export.suffix == ".jsonl":
        hint = f"say --export {export.stem}: its events will be in {export.stem}/{EVENTS}"
        raise ConfigError([f"--export names a folder for events and evidence, and {export} looks like a file"], hint)
    async with store_beside(config) as store:
        wanted = await _remembered(config, store, name)
        all_of_it = f"state, events, evidence and backlog of {plain(name)} ({wanted})"
        if not confirmed(f"This deletes {all_of_it}; events and evidence go to {plain(export)} first.", yes=yes):
            return 1
        _make(export)
        archive = evidence(config)
        files = await copy_evidence(archive, wanted, export / EVIDENCE) if archive else 0
        count = await export_and_forget(store, wanted, export / EVENTS)
    if archive is not None:
        files = await take_evidence(archive, wanted, export / EVIDENCE)
    out = console()
    out.print(
        f"{plain(name)} forgotten: {plural(count, 'event')} and {plural(files, 'file')} of evidence exported to "
        f"{plain(export)} and deleted, with state and backlog"
    )
    if wanted in {t.key for t in config.tenants}:
        out.print("It is still configured: the next poll starts over. Remove it from the configuration, then repeat.")
    return 0


async def _forget_units(config: Config, name: str, patterns: Sequence[str], *, yes: bool) -> int:
    """Let units go: their memory is dropped, and that they are gone is told. Raises ConfigError, StoreError."""
    async with store_beside(config) as store:
        wanted = await _remembered(config, store, name)
        rows = units.roster(memory.head(await store.load(wanted)))
        keys = units_of([rows], patterns)
        if any(rows[key]["kind"] in WHOLE for key in keys):
            what = f"the score over all of {name} follows from its units: it is not forgotten alone"
            raise ConfigError([what], "leave it out of --unit, or leave --unit out")
        names = ", ".join(plain(called(rows[key])) for key in keys[:SHOWN]) + (" …" if len(keys) > SHOWN else "")
        lost = f"This drops what is known of {plural(len(keys), 'unit')} of {plain(name)} ({names})."
        if not confirmed(f"{lost} What was told of them stays in the history.", yes=yes):
            return 1
        await _let_go(config, store, wanted, keys)
    said = f"{plural(len(keys), 'unit')} of {plain(name)} forgotten: {names}."
    console().print(f"{said} One that has a score at a later poll is met as a new one.")
    return 0


async def _let_go(config: Config, store: DurableStore, wanted: str, keys: Sequence[str]) -> None:
    """Drop the memory of these units, as far as they are still there, and tell it. Raises StoreError."""
    for _ in range(FORGET_TRIES):
        state = await store.load(wanted) or State()
        head, now = memory.head(state), iso(SystemClock().now())
        tenant, rows = _tenant(config, wanted, head), units.roster(head)
        events = []
        for row in (rows[key] for key in keys if key in rows):
            unit = estate.of_row(row)
            change = unit_changes.unit_forgotten(unit, row["state"], row["gone_since"], now)
            events.append(stamp(change, units.origin(tenant, unit), now, severity_rules()))
        try:
            await store.commit(wanted, units.without(state, keys), events)
        except Conflict:
            continue
        return
    raise StoreError(f"the tenant was committed {FORGET_TRIES} times meanwhile", "Repeat the command.")


def _tenant(config: Config, key: str, head: Any) -> TenantConfig:
    """The entry of a key, configured or only remembered."""
    tenant_id, _, source = key.partition(".")
    gone = TenantConfig(str(head.get("tenant") or tenant_id), tenant_id, source=source or "graph")
    return next((tenant for tenant in config.tenants if tenant.key == key), gone)


def _make(export: Path) -> None:
    """A new folder for this user alone. Raises ConfigError."""
    try:
        export.mkdir(mode=0o700)
    except FileExistsError as error:
        raise ConfigError([f"{export} exists already"], "nothing was deleted; name another with --export") from error
    except OSError as error:
        what = f"{export} cannot be made: {error.strerror}"
        raise ConfigError([what], "nothing was deleted; name another place with --export") from error


async def export_and_forget(store: DurableStore, tenant_id: str, export: Path) -> int:
    """Write the events of a tenant into a new file, then delete it; how many were written. Raises ConfigError.

    A daemon may commit more meanwhile. Then nothing of that is deleted, and it is exported first. Raises StoreError
    when there is no end to it.
    """
    exported: set[str] = set()
    for n in range(FORGET_TRIES):
        state = (await store.heads([tenant_id]))[
            tenant_id
        ]  # before the events: what is committed in between is seen by the deletion
        events = [e for e in await store.history(Query(tenant_id=tenant_id)) if e.id not in exported]
        _export(export, events, more=n > 0)
        exported.update(event.id for event in events)
        try:
            await store.forget(tenant_id, state.generation if state is not None else 0)
        except Conflict:
            continue
        return len(exported)
    raise StoreError(
        f"the tenant was committed {FORGET_TRIES} times meanwhile; {len(exported)} events are exported",
        "Remove it from the configuration, reload the connector, then repeat with another folder.",
    )


async def _remembered(config: Config, store: DurableStore, name: str) -> str:
    """The key of a tenant by name, key or id, configured or only remembered. Raises ConfigError."""
    for tenant in config.tenants:
        if name in (tenant.name, tenant.key):
            return tenant.key
    of_it = [tenant for tenant in config.tenants if tenant.tenant_id == name.lower()]
    if len(of_it) == 1:
        return of_it[0].key
    kept = [other for other in await store.tenants() if other]
    if name.lower() in kept:
        return name.lower()
    states = await store.heads(kept)
    found = [other for other in kept if memory.readable_head(states[other]).get("tenant") == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError([f"{len(found)} tenants were called {name!r}: {', '.join(found)}"], "name it by its id")
    raise ConfigError([f"nothing is kept of a tenant named {name!r}"], "see `securescore tenants list`")


def _export(path: Path, events: Sequence[Event], *, more: bool = False) -> None:
    """Events as canonical JSON lines in a new, synced file of mode 0600, or behind those in it. Raises ConfigError."""
    try:
        with adding(path) if more else creating(path) as file:
            file.writelines(f"{cloudevents.dumps(event)}\n".encode("ascii") for event in events)
    except FileExistsError as error:
        raise ConfigError([f"{path} exists already"], "name another file with --export") from error
    except OSError as error:
        raise ConfigError([f"cannot write {path}: {error.strerror}"], "name another file with --export") from error
