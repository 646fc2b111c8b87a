"""Which tenants `--tenant` means: names, globs of names, label=value, or ids; and which units of an entry `--unit`
means: ids, names, globs of either, or the kind of the one that stands for all (aggregate, organization). The same in
every command that has them.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from connector.config.values import Config, TenantConfig, selects
from connector.errors import ConfigError
from connector.model import OF_UNITS, WHOLE

HELP = "only these tenants: names, globs or label=value (may be repeated)"
SHOWN = 5
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_KEY = re.compile(rf"{_GUID.pattern}(\.({'|'.join(sorted(OF_UNITS))}))?")
UNIT_HELP = "only these units, such as subscriptions: ids, names or globs (may be repeated)"
ONE_UNIT_HELP = "which unit, such as a subscription: an id or a name (default: the score over all of them)"
ONE_HELP = "which tenant, needed when there are several: a name, or what selects one"


def add_tenant(parser: argparse.ArgumentParser, words: str = HELP) -> None:
    """--tenant, as every command has it."""
    parser.add_argument("--tenant", action="append", default=[], metavar="T", help=words)


def add_unit(parser: argparse._ActionsContainer, words: str = UNIT_HELP) -> None:
    """--unit, as every command has it."""
    parser.add_argument("--unit", action="append", default=[], metavar="U", help=words)


def units_of(rosters: Iterable[Mapping[str, Any]], patterns: Sequence[str], *, gone: bool = False) -> tuple[str, ...]:
    """The keys of the units that any pattern selects in any of these rosters, () without patterns.

    With `gone`, an id that is in none of them counts as it is. Raises ConfigError for every other pattern that selects
    nothing, with the names that come near.
    """
    rows = {key: row for roster in rosters for key, row in roster.items()}
    problems, near = [], []
    found: dict[str, None] = {}
    for pattern in patterns:
        taken = [key for key, row in rows.items() if _is_unit(pattern.casefold(), key, row)]
        if not taken and gone and _GUID.fullmatch(pattern):
            taken = [pattern.lower()]
        elif not taken:
            names = [str(row["name"] or row["id"]) for row in rows.values()]
            problems.append(f"no unit is selected by {pattern!r}")
            near += get_close_matches(pattern, names, n=2)
        found |= dict.fromkeys(taken)
    if problems:
        if not rows:
            raise ConfigError(problems, "a tenant of Microsoft Graph has none: leave --unit out")
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "see `securescore status`"
        raise ConfigError(problems, hint)
    return tuple(found)


def one_unit(roster: Mapping[str, Any], patterns: Sequence[str]) -> str | None:
    """The key of the one unit that is selected; None without a pattern. Raises ConfigError when it is several."""
    found = units_of([roster], patterns)
    if len(found) > 1:
        names = ", ".join(str(roster[key]["name"] or key) for key in found[:SHOWN])
        more = " …" if len(found) > SHOWN else ""
        raise ConfigError([f"{len(found)} units are selected ({names}{more}): say which one"], "say --unit ID")
    return found[0] if found else None


def _is_unit(pattern: str, key: str, row: Mapping[str, Any]) -> bool:
    words = [str(row["id"]), str(row["name"]), key, *([row["kind"]] if row["kind"] in WHOLE else [])]
    return any(word and (pattern == word.casefold() or fnmatchcase(word.casefold(), pattern)) for word in words)


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
