"""`securescore accept-snapshot`: believe the suspicious day of a tenant, at the next poll."""

import argparse
import asyncio

from connector.cli.common import config_of, store_beside
from connector.cli.selection import ONE_HELP, ids
from connector.cli.terminal import console
from connector.config.values import Config
from connector.errors import ConfigError
from connector.observe import memory

REFUSALS = (("refusal", "day"), ("catalogue_refusal", "catalogue"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", action="append", required=True, metavar="T", help=ONE_HELP)


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    found = ids(config, args.tenant)
    name = " ".join(args.tenant)
    if len(found) != 1:
        raise ConfigError([f"{name!r} selects {len(found)} tenants: a day is believed of one at a time"], "name one")
    return asyncio.run(_accept(config, name, found[0]))


async def _accept(config: Config, name: str, wanted: str) -> int:
    async with store_beside(config) as store:
        state = await store.load(wanted)
        approved = memory.approve(state) if state is not None else None
        if approved is None:
            raise ConfigError([f"nothing of {name} is being refused"], "see `securescore status`")
        await store.commit(wanted, approved, [])
    head = memory.head(approved)
    parts = [(part, head[key]["lost"]) for key, part in REFUSALS if head.get(key)]
    for part, lost in parts:
        console().print(f"the next poll of {name} believes a {part} that lacks these {len(lost)} controls, or fewer")
    return 0
