"""`securescore accept-snapshot`: believe the suspicious day of a tenant, at the next poll."""

import argparse
import asyncio

from connector import memory
from connector.cli.common import config_of, console, store_beside, tenant_id
from connector.config import Config
from connector.errors import ConfigError

HELP = "believe the suspicious day of a tenant"


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
        head = memory.head(state)
        if state is None or not head.get("refusal"):
            raise ConfigError([f"no day of {name} is being refused"], "see `securescore status`")
        values = {**head, "refusal": {**head["refusal"], "approved": True}}
        await store.commit(wanted, memory.with_head(state, values), [])
    lost = len(head["refusal"]["lost"])
    console().print(f"the next poll of {name} believes a day that lacks these {lost} controls, or fewer")
    return 0
