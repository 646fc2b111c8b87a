"""What a Graph token says about itself: whose directory, which permissions, until when. Pure.

For diagnosis only: signatures are not checked (Graph does that), and a token that cannot be read is simply opaque. No
part of a token other than these claims leaves this module.
"""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

READERS = {
    "5d6b6bb7-de71-4623-b4af-96380a352509": "Security Reader",
    "194ae4cb-b126-40b2-bd5b-6091b380977d": "Security Administrator",
    "5f2222b1-57c3-48ba-8ad5-d4759f1fde6f": "Security Operator",
    "f2ef992c-3afb-46b9-b7cf-a126ee74c451": "Global Reader",
    "62e90394-69f5-4237-9190-012177145e10": "Global Administrator",
}
"""Directory roles (template ids) that let a signed-in user read Secure Score."""


@frozen
class Claims:
    """`permissions` are application roles, or scopes when `delegated`; `directory_roles` None = not stated."""

    tenant_id: str
    audience: str
    delegated: bool
    permissions: frozenset[str]
    directory_roles: frozenset[str] | None = None
    expires_at: datetime | None = None


def read_claims(token: str) -> Claims | None:
    """The claims of a JWT (RFC 7519); None for an opaque token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    scopes = claims.get("scp")
    roles, wids = _texts(claims.get("roles")), claims.get("wids")
    delegated = isinstance(scopes, str)
    return Claims(
        tenant_id=str(claims.get("tid") or "").lower(),
        audience=str(claims.get("aud") or ""),
        delegated=delegated,
        permissions=frozenset(str(scopes).split()) if delegated else roles,
        directory_roles=_texts(wids) if isinstance(wids, list) else None,
        expires_at=_moment(claims.get("exp")),
    )


def _texts(value: Any) -> frozenset[str]:
    return frozenset(v for v in value if isinstance(v, str)) if isinstance(value, list) else frozenset()


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(value), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
