"""Which tenants `--tenant` means: names, globs of names, label=value, or ids; the same in every command that has it."""

from collections.abc import Sequence
from difflib import get_close_matches

from connector.config.values import Config, TenantConfig, selects
from connector.errors import ConfigError

HELP = "only these tenants: names, globs or label=value (may be repeated)"


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
        or pattern.lower() == tenant.tenant_id
    )
