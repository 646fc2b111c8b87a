"""What every use of MSAL shares: what a token is for, the token of an answer, and foreign exceptions as ours.

Nothing here signs in: entra.py does for applications, device_code.py for people.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import field, frozen

from connector.errors import ConfigError, SecureScoreError, Unavailable
from connector.foreign.reflected import MARK, hidden
from connector.net.clouds import Cloud
from connector.signin.entra_http import asked

MAX_TOKEN_CHARS = 65_536
CAPABILITIES = ["CP1"]
"""We answer claims challenges, so the service may issue long-lived tokens and revoke them at once."""


@frozen
class Token:
    """A bearer token; `refresh_at` is when the issuer would like it renewed, long before `expires_at`."""

    value: str = field(repr=False)
    expires_at: datetime
    refresh_at: datetime | None = None


@frozen
class Target:
    """What a token is for: `audience` (a root or an app URI, without "/.default") in one directory of one cloud.

    `permission` is what a user's sign-in asks for; applications get what was consented to.
    """

    tenant_id: str
    cloud: Cloud
    audience: str
    permission: str = ""

    @property
    def authority(self) -> str:
        return f"{self.cloud.login}/{self.tenant_id}"

    @property
    def what(self) -> str:
        return f"signing in to directory {self.tenant_id}"


def msal_module() -> Any:
    """MSAL, imported when somebody signs in: it takes a third of a second."""
    import msal  # type: ignore[import-untyped]  # noqa: PLC0415

    # Its debug lines name assertions and device codes, its error lines quote answers; we report faults ourselves.
    logging.getLogger("msal").setLevel(logging.CRITICAL)
    return msal


@contextmanager
def msal_errors(what: str, hide: Sequence[str] = ()) -> Iterator[None]:
    """Around calls of MSAL: foreign exceptions become ours, and no error leaves with a secret in its words.

    What is raised before anybody was asked is the configuration's fault (ConfigError): a file that was damaged, an
    address that MSAL will not have. After that it is an answer's (Unavailable).
    """
    asked.set(False)
    try:
        yield
    except SecureScoreError as error:
        error.what = without_secrets(error.what, hide)
        error.args = (error.what,)
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        # What a far end answers reaches MSAL unchecked. Its exceptions quote that, so text and chain are dropped.
        if not asked.get():
            refused = f"{what}: refused on this machine, before anybody was asked ({type(error).__name__})"
            raise ConfigError([refused], "check the `auth` of this tenant and the files it names") from None
        raise Unavailable(f"{what}: the answer has an unknown form ({type(error).__name__})") from None


_JWT = re.compile(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}")


def without_secrets(text: str, hide: Sequence[str]) -> str:
    """The text without these secrets, in whatever form, and without anything that looks like a token."""
    return _JWT.sub(MARK, hidden(text, hide))


def answer_without_secrets(result: Mapping[str, Any], hide: Sequence[str]) -> dict[str, Any]:
    """An answer whose texts may be quoted. Before they are cut: half a secret would not be found any more."""
    return {key: without_secrets(value, hide) if isinstance(value, str) else value for key, value in result.items()}


def token_of(result: Mapping[str, Any], now: datetime, what: str) -> Token:
    """The token of an answer. Raises Unavailable for one that cannot stand in a header or has no lifetime."""
    value, lifetime_s = result.get("access_token"), seconds(result.get("expires_in"))
    plain = isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value
    if not plain or not value or len(value) > MAX_TOKEN_CHARS or not lifetime_s:
        raise Unavailable(f"{what}: the answer holds no usable token")
    expires_at = now + timedelta(seconds=lifetime_s)
    try:
        refresh_at = datetime.fromtimestamp(int(result["refresh_on"]), UTC)
    except (LookupError, ValueError, TypeError, OverflowError):
        return Token(value, expires_at)
    return Token(value, expires_at, refresh_at if now < refresh_at < expires_at else None)


def seconds(value: object) -> int:
    """A lifetime in seconds within 0..7 days; 0 for anything else."""
    try:
        return min(max(int(str(value)[:20]), 0), 7 * 86_400)
    except ValueError:
        return 0
