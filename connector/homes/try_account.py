"""Whether an account would work: signs in and reads one document, before a page saves it.

Nothing is kept, and nobody but the caller is told: the errors are those that a poll would meet, in its words.
"""

import asyncio

from connector.app import READ, WRITE, Transports, graph_source, token_provider, transports_for
from connector.clock import SystemClock
from connector.config.values import Config, TenantConfig
from connector.errors import Denied, Unavailable
from connector.net.clouds import cloud_of, consent_url
from connector.signin.claims import read_claims

LIMIT_S = 20.0
"""Of a person's patience with a page; splunkd itself gives its handlers longer."""


async def try_account(config: Config) -> str:
    """What was found, in words. Raises the error that a poll would end with, or Unavailable after LIMIT_S."""
    (tenant,) = config.tenants
    transports = transports_for(config, SystemClock())
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _read_one(tenant, config, transports)
    except TimeoutError:
        hosts = f"{cloud_of(tenant.graph).login} and {cloud_of(tenant.graph).graph}"
        raise Unavailable(
            f"no answer within {LIMIT_S:g} s", hint=f"let this host reach {hosts}, directly or through the proxy"
        ) from None
    finally:
        await transports.close()


async def _read_one(tenant: TenantConfig, config: Config, transports: Transports) -> str:
    claims = read_claims(await token_provider(tenant, config, transports).token())
    if claims is not None and not claims.permissions & {READ, WRITE}:
        has = ", ".join(sorted(claims.permissions)) or "none"
        client_id = str(tenant.auth.options.get("client_id") or "") if tenant.auth else ""
        raise Denied(
            f"signed in, but the application permission {READ} is missing (granted: {has})",
            f"add it to the app registration, then let an administrator of the tenant consent: "
            f"{consent_url(cloud_of(tenant.graph), tenant.tenant_id, client_id)}",
        )
    newest = await graph_source(tenant, config, transports, transports.clock).newest()
    return "readable, but Microsoft has published no score yet" if newest is None else f"newest day {newest.day}"
