"""`securescore tenants add`: a row for a tenant, the address where its administrator consents, a check, a first poll.

Nothing is written unless the configuration is valid with it. A list in CSV gets the row; of any other the words are
shown, and it is for its owner to put them in: nobody's comments are lost to us.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from connector.app import build_poller, transports_for
from connector.cli import findings
from connector.cli.check_state import state
from connector.cli.check_tenants import check_tenant, consent_address
from connector.cli.common import acting, place, trusted
from connector.cli.findings import Finding
from connector.cli.once import visit
from connector.cli.process import to_end
from connector.cli.terminal import plain, say
from connector.clock import SystemClock
from connector.config.parse import TenantRow
from connector.config.tenants_csv import line_for, tenants_of_csv
from connector.config.values import Config, TenantConfig, unmatched_tenants
from connector.config.yaml_file import load, text_of
from connector.durable import adding
from connector.errors import ConfigError
from connector.health.logs import log_to_stderr
from connector.ports import Store
from connector.registry import sink_options
from connector.sources.resource_graph import ROLE_HINT
from connector.stores.trial import TrialStore

HERE = "tenants add"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant-id", metavar="GUID", help="with add: Microsoft Entra tenant (directory) id")
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="with add: a label (may be repeated)"
    )
    other = "with add: any other column of a tenants file, such as cloud=usgov (may be repeated)"
    parser.add_argument("--set", action="append", default=[], metavar="COLUMN=VALUE", help=other)
    parser.add_argument("--dry-run", action="store_true", help="with add: check it, and write and poll nothing")


def run(args: argparse.Namespace) -> int:
    cells = cells_of(args)
    row = row_of(cells)
    config = _with(place(args), row)
    trusted(config)
    tenant = next(tenant for tenant in config.tenants if tenant.name == cells["name"])
    listed = _is_csv(config.tenants_file)
    if listed and not args.dry_run:
        say(f"{plain(tenant.name)} is in {plain(_append(Path(str(config.tenants_file)), cells))}")
    else:
        if listed:
            line_for(text_of(str(config.tenants_file)), cells)  # whether it has the columns
        say(f"Of the configuration, under `tenants`:\n  - {flow(row.values)}")
    for words in consent(tenant):
        say(words)
    acting(args, config)
    say()
    code = findings.exit_code(found := asyncio.run(checked(config, tenant)))
    findings.show(found)
    say()
    again = f"`securescore once --tenant {plain(tenant.name)}`"
    if args.dry_run:
        say("Nothing was written or polled, as this was a trial.")
        return code
    if not listed:
        say(f"Nothing was written or polled. Next: put it into the configuration, then {again}.")
        return code
    if any(f.ok is False for f in found):
        say(f"It was not polled. Next: do what the check says, then {again}, or reload the service.")
        return code
    if any(f.reason == "in_use" for f in found):
        say(
            "A service runs on this state: it takes the tenant up when it is reloaded (`systemctl reload securescore`)."
        )
        return code
    log_to_stderr(config.log)
    return to_end(visit(config, [tenant.name], deliver=True))


def _with(path: str, row: TenantRow) -> Config:
    """The configuration as it would be. Raises ConfigError."""
    try:
        return load(path, sink_options=sink_options, more=[row])
    except ConfigError as error:
        problems = [problem.removeprefix(f"{HERE} line 1: ") for problem in error.problems]
        raise ConfigError(problems, "nothing was written; correct what is named, then repeat") from None


def cells_of(args: argparse.Namespace) -> dict[str, str]:
    """What the row says, by dotted column. Raises ConfigError with everything that is wrong."""
    problems = [
        *([] if args.name else ["add needs the NAME of the tenant"]),
        *([] if args.tenant_id else ["--tenant-id is missing: Entra admin center > Overview > Tenant ID"]),
    ]
    cells = {"name": args.name or "", "tenant_id": args.tenant_id or ""}
    for option, words, prefix in (("--label", args.label, "labels."), ("--set", args.set, "")):
        for word in words:
            key, equals, value = word.partition("=")
            column = prefix + key.strip()
            if not equals or not key.strip() or not value.strip():
                problems.append(f"{option} {word!r}: expected {'KEY' if prefix else 'COLUMN'}=VALUE")
            elif column in cells:
                problems.append(f"{option} {word!r}: {key.strip()} is said twice")
            else:
                cells[column] = value.strip()
    if problems:
        raise ConfigError(problems, "see `securescore tenants --help`")
    return cells


def row_of(cells: Mapping[str, str]) -> TenantRow:
    """The row as a list of its own would say it. Raises ConfigError for columns that there are not."""
    text = ",".join(json.dumps(name) for name in cells) + "\n"
    rows, problems = tenants_of_csv(text + line_for(text, cells), HERE)
    if problems:
        raise ConfigError([problem.text.partition(": ")[2] for problem in problems])
    return TenantRow(HERE, 1, rows[0].values)


def consent(tenant: TenantConfig) -> list[str]:
    """Where an administrator consents, for a tenant that an application of ours signs in to; and what Azure wants."""
    address = consent_address(tenant)
    if not address:
        return []
    whose = "the tenant" if tenant.directory == tenant.tenant_id else f"the directory {tenant.directory}"
    azure = [f"Beside that: {ROLE_HINT}"] if tenant.source == "defender_cloud" else []
    return [f"An administrator of {whose} consents at", f"  {address}", *azure]


async def checked(config: Config, tenant: TenantConfig) -> list[Finding]:
    """What `check` says of this tenant and of the state."""
    clock = SystemClock()
    found, store = await state(config, clock)
    if tenant.name in unmatched_tenants(config):
        hint = "add a sink, or widen a sink's `tenants`"
        found.append(Finding("config", tenant.name, False, "no sink takes this tenant's events", hint))
    transports = transports_for(config, clock)
    try:
        poller = build_poller(config, cast("Store", TrialStore(store)), transports)
        return [*found, *await check_tenant(tenant, config, poller, transports, asyncio.Semaphore(1))]
    finally:
        await transports.close()
        if store is not None:
            await store.close()


def flow(value: Any) -> str:
    """A value as YAML on one line; JSON's strings are YAML's double-quoted ones."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{flow(key) if not key.isidentifier() else key}: {flow(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _is_csv(path: str | None) -> bool:
    return path is not None and not path.lower().endswith((".yaml", ".yml"))


def _append(path: Path, cells: Mapping[str, str]) -> str:
    """Put the row behind the list, whose owner and mode stay; where it is. Raises ConfigError."""
    line = line_for(text_of(str(path)), cells)
    try:
        with adding(path) as file:
            file.write(line.encode("utf-8"))
    except OSError as error:
        what = f"{path} cannot be written: {error.strerror}"
        raise ConfigError([what], f"as who may write it, or put this line behind it by hand: {line.strip()}") from error
    return str(path)
