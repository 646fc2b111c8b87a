"""`securescore accept-snapshot`: believe the suspicious day of a tenant, at the next poll."""

import argparse
import asyncio

from connector.cli.common import config_of, store_beside, tenant_id
from connector.cli.terminal import console
from connector.config.values import Config
from connector.errors import ConfigError
from connector.observe import memory

HELP = "believe the suspicious day of a tenant"
REFUSALS = (("refusal", "day"), ("catalogue_refusal", "catalogue"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", required=True, metavar="T")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    wanted = tenant_id(config, args.tenant)
    assert wanted is not None
    return asyncio.run(_accept(config, args.tenant, wanted))


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
