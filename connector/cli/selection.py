"""Which tenants `--tenant` means: names, globs of names, label=value, or ids; the same in every command that has it."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches

from connector.config.values import Config, TenantConfig, selects
from connector.errors import ConfigError
from connector.model import OF_UNITS

HELP = "only these tenants: names, globs or label=value (may be repeated)"
SHOWN = 5
_KEY = re.compile(rf"[0-9A-Fa-f]{{8}}(-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}(\.({'|'.join(OF_UNITS)}))?")
ONE_HELP = "which tenant, needed when there are several: a name, or what selects one"


def add_tenant(parser: argparse.ArgumentParser, words: str = HELP) -> None:
    """--tenant, as every command has it."""
    parser.add_argument("--tenant", action="append", default=[], metavar="T", help=words)


def selected(config: Config, patterns: Sequence[str]) -> tuple[TenantConfig, ...]:
    """The tenants that any pattern selects, in the configuration's order; without patterns all.

    Raises ConfigError for every pattern that selects none, with the names that come near.
    """
    problems, near = [], []
    for pattern in patterns:
        if not any(_takes(pattern, tenant) for tenant in config.tenants):
            problems.append(f"no tenant is selected by {pattern!r}")
            near += get_close_matches(pattern, [tenant.name for tenant in config.tenants], n=2)
    if problems:
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "see `securescore tenants list`"
        raise ConfigError(problems, hint)
    return tuple(t for t in config.tenants if not patterns or any(_takes(pattern, t) for pattern in patterns))


def _takes(pattern: str, tenant: TenantConfig) -> bool:
    return (
        selects([pattern], tenant.name, tenant.labels)
        or pattern.casefold() == tenant.name.casefold()
        or pattern.lower() in (tenant.tenant_id, tenant.key)
    )


def one(config: Config, patterns: Sequence[str]) -> TenantConfig:
    """The one tenant that is selected. Raises ConfigError when it is none, or several."""
    found = selected(config, patterns)
    if len(found) > 1:
        names = ", ".join(t.name for t in found[:SHOWN]) + (" …" if len(found) > SHOWN else "")
        raise ConfigError([f"{len(found)} tenants are selected ({names}): say which one"], "say --tenant NAME")
    if not found:
        raise ConfigError(["no tenant is configured"], "see `securescore check`")
    return found[0]


def ids(config: Config, patterns: Sequence[str]) -> tuple[str, ...]:
    """The keys of the selected tenants, () = all; that of one that is not configured any more counts as it is.

    Raises ConfigError as `selected`.
    """
    configured = {word for tenant in config.tenants for word in (tenant.tenant_id, tenant.key)}
    gone = [p.lower() for p in patterns if _KEY.fullmatch(p) and p.lower() not in configured]
    rest = [p for p in patterns if p.lower() not in gone]
    return (*(tenant.key for tenant in (selected(config, rest) if rest else ())), *gone)
