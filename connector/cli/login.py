"""`securescore login`: a person signs in by device code, once; polls then renew it silently.

Only prose and waiting here; the sign-in is in signin/device_code.py.
"""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import timedelta

from connector.app import Transports, target_of
from connector.cli.common import config_of
from connector.cli.selection import add_tenant, selected
from connector.cli.terminal import plain, say
from connector.clock import SystemClock
from connector.config.values import AuthConfig, Config, TenantConfig
from connector.errors import ConfigError, SecureScoreError
from connector.signin.claims import read_claims


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tenant(parser, "for which tenant, needed when several have a sign-in of their own: a name, or what selects one")
    parser.add_argument("--write", action="store_true", help="the credential for `controls set` (write_auth)")


def run(args: argparse.Namespace) -> int:
    config = config_of(args)
    tenant, auth = choose(config, args.tenant, write=args.write)
    asyncio.run(_login(config, tenant, auth, write=args.write))
    return 0


def choose(config: Config, patterns: Sequence[str], *, write: bool) -> tuple[TenantConfig, AuthConfig]:
    """The tenant and its device-code credential. Raises ConfigError when there is none, or too many to choose from."""
    key = "write_auth" if write else "auth"
    chosen = selected(config, patterns)
    able = [(t, a) for t in chosen if (a := _auth(t, write=write)) is not None and a.kind == "device_code"]
    if not able:
        one = len(chosen) == 1
        whose = f"tenant {chosen[0].name}" if one else "none of these tenants" if patterns else "no tenant"
        verb = "does not sign" if one else "signs"
        raise ConfigError(
            [f"{whose} {verb} in by device code ({key})"], f"set {key}: {{kind: device_code, client_id: …, cache: …}}"
        )
    if len({str(a.options["cache"]) for _, a in able}) > 1:
        raise ConfigError(
            [f"{len(able)} tenants sign in by device code, each with a cache of its own"],
            "say which: --tenant " + " | ".join(t.name for t, _ in able[:5]),
        )
    return able[0]


def role_of(tenant: TenantConfig) -> str:
    """What a person must be allowed to, for what the entry reads."""
    if tenant.source == "defender_cloud":
        return "the role Reader or Security Reader in Azure"
    return "the directory role Security Reader"


def _auth(tenant: TenantConfig, *, write: bool) -> AuthConfig | None:
    return tenant.write_auth if write else tenant.auth


async def _login(config: Config, tenant: TenantConfig, auth: AuthConfig, *, write: bool) -> None:
    clock = SystemClock()
    transports = Transports(clock)
    target = target_of(tenant, write=write)
    try:
        flow = await transports.sign_in.begin_login(auth, target, config.network)
        end = clock.now() + timedelta(seconds=flow.expires_s)
        say(f"Tenant {plain(tenant.name)}: open {plain(flow.url)} and enter the code {plain(flow.code)}")
        say(f"Sign in as a user with {role_of(tenant)}, within {flow.expires_s / 60:.0f} minutes.")
        token = None
        while token is None:
            if clock.now() >= end:
                raise SecureScoreError("nobody entered the code in time", "run `securescore login` again")
            await clock.sleep(flow.interval_s)
            token = await transports.sign_in.finish_login(flow, auth, target)
    finally:
        await transports.close()
    cache = str(auth.options["cache"])
    users = sum((a := _auth(t, write=write)) is not None and a.options.get("cache") == cache for t in config.tenants)
    also = f"; {users} tenants use it" if users > 1 else ""
    say(f"Signed in. The sign-in is kept in {plain(cache)}{also}.")
    claims = read_claims(token.value)
    if claims is not None and target.permission not in claims.permissions:
        raise SecureScoreError(
            f"but the delegated permission {target.permission} was not granted",
            "add it to the app registration, let an administrator consent, and sign in again",
        )
