"""`securescore accept-snapshot`: believe the suspicious day of a tenant, or of one of its units, at the next poll."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from connector.cli.common import config_of, store_beside
from connector.cli.selection import ONE_HELP, SHOWN, add_unit, ids, units_of
from connector.cli.terminal import console, plain
from connector.config.values import Config
from connector.errors import ConfigError
from connector.observe import memory, units

REFUSALS = (("refusal", "day"), ("catalogue_refusal", "catalogue"))
UNIT_HELP = "which units, needed when something of several is being refused: ids, names or globs (may be repeated)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", action="append", required=True, metavar="T", help=ONE_HELP)
    add_unit(parser, UNIT_HELP)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    found = ids(config, args.tenant)
    name = " ".join(args.tenant)
    if len(found) != 1:
        raise ConfigError([f"{name!r} selects {len(found)} tenants: a day is believed of one at a time"], "name one")
    return asyncio.run(_accept(config, name, found[0], args.unit))


async def _accept(config: Config, name: str, wanted: str, of_units: Sequence[str]) -> int:
    async with store_beside(config) as store:
        state = await store.load(wanted)
        rows = units.roster(memory.head(state))
        keys = units_of([rows], of_units) if of_units else None
        left, done = units.approved(state, keys) if state is not None else (None, {})
        if left is None:
            raise ConfigError([f"nothing of {name} is being refused"], "see `securescore status`")
        if keys is None and len(done) > 1:
            named = ", ".join(_called(key, rows) for key in list(done)[:SHOWN]) + (" …" if len(done) > SHOWN else "")
            raise ConfigError(
                [f"something of {len(done)} units is being refused ({named}): say of which it is to be believed"],
                "say --unit NAME, or --unit '*' for all of them",
            )
        await store.commit(wanted, left, [])
    for key, approved in done.items():
        head = memory.head(approved)
        whose = f"{name}, {_called(key, rows)}," if key in rows else name
        for part, lost in [(part, head[field]["lost"]) for field, part in REFUSALS if head.get(field)]:
            words = f"the next poll of {whose} believes a {part} that lacks these {len(lost)} controls, or fewer"
            console().print(plain(words))
    return 0


def _called(key: str, rows: Mapping[str, Any]) -> str:
    return str(rows[key]["name"] or rows[key]["id"]) if key in rows else "all of it"
