"""`securescore tenants`: list tenants; forget one (export first, then delete all that is kept of it)."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from connector import memory
from connector.cli.common import clean, config_of, console, store_beside, table, tenant_id
from connector.config import Config
from connector.errors import ConfigError
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import Query

HELP = "list tenants; forget one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "forget"))
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--export", metavar="FILE", help="with forget: where its events go first (default NAME.jsonl)")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.action == "list":
        return asyncio.run(_list(config))
    if not args.name:
        raise ConfigError(["forget needs the NAME of the tenant"], "see `securescore tenants list`")
    wanted = tenant_id(config, args.name)
    assert wanted is not None
    return asyncio.run(_forget(config, args.name, wanted, Path(args.export or f"{args.name}.jsonl")))


async def _list(config: Config) -> int:
    shown = table("tenant", "tenant id", "source", "newest day", "error")
    known = {t.tenant_id for t in config.tenants}
    async with store_beside(config) as store:
        for tenant in config.tenants:
            head = memory.head(await store.load(tenant.tenant_id))
            newest = head.get("newest") or "-"
            shown.add_row(clean(tenant.name), tenant.tenant_id, tenant.source, newest, clean(head.get("error") or ""))
        for other in sorted(set(await store.tenants()) - known):
            head = memory.head(await store.load(other))
            shown.add_row(clean(head.get("tenant", "?")), other, "not configured", head.get("newest") or "-", "")
    console().print(shown)
    return 0


async def _forget(config: Config, name: str, wanted: str, export: Path) -> int:
    async with store_beside(config) as store:
        events = await store.history(Query(tenant_id=wanted))
        _export(export, events)
        count = await store.forget(wanted)
    console().print(f"{clean(name)} forgotten: {count} events exported to {export} and deleted, with state and backlog")
    return 0


def _export(path: Path, events: Sequence[Event]) -> None:
    """All events as canonical JSON lines in a new file of mode 0600. Raises ConfigError; then nothing is forgotten."""
    try:
        path.touch(0o600, exist_ok=False)
        path.write_text("".join(cloudevents.dumps(event) + "\n" for event in events), encoding="ascii")
    except FileExistsError as error:
        raise ConfigError([f"{path} exists already"], "name another file with --export") from error
    except OSError as error:
        raise ConfigError([f"cannot write {path}: {error.strerror}"], "name another file with --export") from error
