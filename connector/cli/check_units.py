"""What `check` says of an entry with several units: its token, its scope, which subscriptions it sees and which of them
have no score, and whom a token for Defender for Endpoint must be for.

A token says nothing of roles in Azure: what it sees is the only proof of them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from connector.app import Transports, endpoint_source, target_of
from connector.cli.findings import Finding
from connector.clock import iso
from connector.config.values import Config, TenantConfig
from connector.errors import Denied, SecureScoreError
from connector.model import Known, Listed, Reading
from connector.observe.estate import is_enabled
from connector.signin.claims import Claims

ARM_APP = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
OLD_ARM = ("https://management.core.windows.net", "https://management.core.usgovcloudapi.net")
ENDPOINT_ROLES = frozenset({"Score.Read.All", "Score.Read"})
SHOWN = 5

NO_HISTORY = "there is no history: days before the first poll, and days without one, cannot be had"
START_HINT = (
    "open Defender for Cloud in each of them once, or assign the initiative “Microsoft cloud security benchmark”: "
    "registering the resource provider alone does not start the score"
)
GRANT_HINT = (
    "add it to the app registration (its API is WindowsDefenderATP, not Microsoft Graph); then an administrator of the "
    "tenant must consent"
)
ROLE_HINT = "assign Reader or Security Reader there, or correct `scope`"


def token_fault(claims: Claims | None, tenant: TenantConfig, now: datetime) -> tuple[str, str, str] | None:
    """What is wrong with a token before anybody is asked: (fact, remedy, reason). None for a good or an opaque one."""
    if claims is None:
        return None
    if claims.tenant_id and claims.tenant_id != tenant.directory:
        return (
            f"the token is for directory {claims.tenant_id}, not for {tenant.directory}",
            "correct tenant_id, or sign in to the right directory"
            + ("; a service provider's own goes into auth.tenant_id" if tenant.source == "defender_cloud" else ""),
            "wrong_directory",
        )
    target, audience = target_of(tenant), claims.audience.rstrip("/")
    azure = tenant.source == "defender_cloud"
    accepted = (target.audience, ARM_APP, *OLD_ARM) if azure else target.cloud.endpoint_audiences
    if audience and audience not in (target.audience, *accepted):
        what = "Azure Resource Manager" if azure else "Defender for Endpoint"
        return (
            f"the token is for {claims.audience}, not for {what} in this cloud",
            f"let its supplier ask for {target.audience}/.default; check the cloud of the entry",
            "wrong_audience",
        )
    if claims.expires_at is not None and claims.expires_at <= now:
        return (
            f"the token expired at {iso(claims.expires_at)}",
            "let its supplier renew it; check this machine's clock",
            "token_expired",
        )
    if azure or claims.permissions & ENDPOINT_ROLES:
        return None
    granted = ", ".join(sorted(claims.permissions)) or "none"
    what = f"the permission Score.Read.All of the API WindowsDefenderATP is missing (granted: {granted})"
    return what, grant_hint(tenant, "it", GRANT_HINT), "permission_missing"


def grant_hint(tenant: TenantConfig, permission: str, otherwise: str) -> str:
    """How to give a permission: a managed identity has no app registration, and keeps an older token for long."""
    if tenant.auth is None or tenant.auth.kind != "managed_identity":
        return otherwise
    return (
        f"grant {permission} to the managed identity; where it is granted, wait: Azure keeps the token of an identity "
        "for up to a day, and nothing renews it sooner"
    )


def seen(tenant: TenantConfig, reading: Reading) -> str:
    """What was read, in words."""
    units = len(reading.units) if isinstance(reading.units, tuple) else None
    reach = f"as saved in {tenant.path}" if tenant.saved else NO_HISTORY
    if tenant.source == "defender_endpoint":
        groups = "" if units is None else f"{units - 1} device groups, lower is better; "
        return groups + reach
    found = []
    if isinstance(reading.listed, Mapping):
        enabled = sum(map(is_enabled, reading.listed.values()))
        others = len(reading.listed) - enabled
        found.append(f"{enabled} enabled subscriptions seen" + (f" (and {others} that are not)" if others else ""))
    if units is not None:
        found.append(f"{units} scores")
    scope = [] if tenant.saved else [f"scope: {_scope(tenant)}"]
    return "; ".join([*found, *scope, reach])


def findings(tenant: TenantConfig, reading: Reading) -> list[Finding]:
    """What lacks a score, and what of the scope cannot be seen."""
    if tenant.source != "defender_cloud" or not isinstance(reading.listed, Mapping):
        return []
    found = []
    if isinstance(reading.units, tuple):
        scored = {snapshot.unit.id for snapshot in reading.units if snapshot.unit is not None}
        lacking = [one for one in reading.listed.values() if is_enabled(one) and one.id not in scored]
        if lacking:
            words = f"no score yet: {_some(lacking)}"
            found.append(Finding("subscriptions", tenant.name, None, words, START_HINT, "no_data"))
    hidden = [Listed(one) for one in tenant.scope.subscriptions if one not in reading.listed]
    if hidden:
        words = f"named in `scope`, but not to be seen: {_some(hidden)}"
        found.append(Finding("subscriptions", tenant.name, None, words, ROLE_HINT, "not_visible"))
    return found


def _scope(tenant: TenantConfig) -> str:
    groups, own = tenant.scope.management_groups, tenant.scope.subscriptions
    if groups:
        return f"below {', '.join(groups[:SHOWN])}"
    if own:
        return f"{len(own)} subscriptions by their ids"
    delegated = tenant.directory != tenant.tenant_id
    return (
        f"all of this directory that is delegated to {tenant.directory}"
        if delegated
        else "all that this principal sees"
    )


def _some(subscriptions: Sequence[Listed]) -> str:
    names = [one.name or one.id for one in subscriptions]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


async def other_audience(tenant: TenantConfig, config: Config, transports: Transports) -> str:
    """Whom tokens for Defender for Endpoint must be for, where those for another one were refused; "" if for nobody.

    The wrong audience is refused in the words of a missing permission, so only trying can tell.
    """
    target = target_of(tenant)
    for audience in target.cloud.endpoint_audiences:
        if audience == target.audience:
            continue
        try:
            source = endpoint_source(tenant, config, transports, transports.clock, audience=audience)
            await source.read(Known())
        except Denied:
            continue
        except SecureScoreError:
            return ""
        return audience
    return ""
