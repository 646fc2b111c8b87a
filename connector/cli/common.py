"""What commands share: the configuration, the store beside a daemon, arguments. No command logic, no words."""

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from connector.app import Transports, graph_source, open_store, transports_for
from connector.cli.terminal import plain, say
from connector.clock import SystemClock
from connector.config.account import act_as_owner
from connector.config.trust import untrusted
from connector.config.values import Config, TenantConfig
from connector.config.yaml_file import find, load
from connector.deliver.delivery import DurableStore
from connector.errors import ConfigError
from connector.language.choice import DEFAULT, LANGUAGES, language
from connector.registry import sink_options

if TYPE_CHECKING:
    from connector.sources.graph import GraphSource


def config_of(args: Any) -> Config:
    """The configuration named on the command line or found in the usual places; which one was found is said on stderr.

    As root, the command acts from here on as the account to whom the state belongs; that is said, too. `run` refuses.
    Raises ConfigError, as root also for files of the configuration that somebody else could change.
    """
    config = load(place(args), sink_options=sink_options)
    trusted(config)
    if args.command != "fetch":  # it writes where it is told alone
        acting(args, config)
    return config


def place(args: Any) -> str:
    """Where the configuration is; said on stderr where it was found in the usual places. Raises ConfigError."""
    path = find(args.config, os.environ)
    if args.config is None and "SECURESCORE_CONFIG" not in os.environ:
        say(f"configuration: {plain(path)}", err=True)
    return path


def trusted(config: Config) -> None:
    """Raises ConfigError, as root, for files of the configuration that somebody else could change."""
    if problems := untrusted(config):
        raise ConfigError(problems, "chown root and chmod go-w these files and their folders, or run as their owner")


def acting(args: Any, config: Config) -> None:
    """As root, act from here on as the account to whom the state belongs, and say so. `run` refuses."""
    if (name := act_as_owner(config, stays=args.command == "run")) is not None:
        say(f"acting as {plain(name)}, to whom the state belongs", err=True)


@asynccontextmanager
async def store_beside(config: Config) -> AsyncIterator[DurableStore]:
    """The store beside a running daemon: for reading, and for an operator's short transactions."""
    store = await open_store(config, clock=SystemClock(), writer=False)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def graph_of(
    config: Config, tenant: TenantConfig, *, write: bool = False
) -> AsyncIterator[tuple["GraphSource", Transports]]:
    """The tenant's Graph, to be asked now; with `write`, as whoever may change it."""
    clock = SystemClock()
    transports = transports_for(config, clock)
    try:
        yield graph_source(tenant, config, transports, clock, write=write), transports
    finally:
        await transports.close()


def add_language(parser: argparse.ArgumentParser) -> None:
    """`--language`, as a Language: what people read. What programs read is the same in every language."""
    languages = f"of what people read: {', '.join(LANGUAGES)}; with a region for its numbers and days, such as de-AT"
    parser.add_argument(
        "--language", type=language, default=DEFAULT, metavar="L", help=f"{languages} (default: {DEFAULT})"
    )
