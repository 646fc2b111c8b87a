"""What callers know of HTTP: an answer, what they need of a transport, and what an unwanted status means.

Nothing here connects (client.py does) and nothing logs.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from attrs import field, frozen

from connector import __version__
from connector.errors import Denied, SecureScoreError, Unavailable
from connector.foreign.characters import harmless
from connector.foreign.reflected import hidden

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_RETRY_AFTER_S = 86_400.0
MAX_MESSAGE_CHARS = 300
USER_AGENT = f"secure-score-connector/{__version__}"


@frozen
class Response:
    """One answer. Header names are in lower case, repeated ones joined by ", "; `at` is when the head arrived.

    `cut` says why `body` is not the whole body: "" (it is), "too_large" or "truncated" (the connection broke or the
    time was up). The status counts nevertheless: what a server accepted before it broke is accepted.
    `secrets` are those that the request carried: whoever quotes the answer hides them in it (`said`).
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: datetime
    cut: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False, eq=False)


class Transport(Protocol):
    """What callers need of a client, so that a request budget or a fake can stand in front of it."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response: ...


class Wire(Transport, Protocol):
    """A transport of one's own, and its end: `Http` of client.py, or a fake."""

    async def close(self) -> None: ...


def printable(value: object, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """One bounded line of a far end's words, harmless wherever it is shown."""
    line = " ".join(harmless(str(value)[: 4 * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def said(response: Response, value: object, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """A far end's words out of its answer, as every error quotes them: `printable`, without what the request held."""
    return printable(hidden(str(value), response.secrets), max_chars)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The server's wish in seconds from `Retry-After` (RFC 9110 §10.2.3: seconds or a date), within 0..86400.

    None when it states none, or nothing that can be read.
    """
    wish = headers.get("retry-after", "").strip()
    if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", wish):
        seconds = float(wish)
    else:
        try:
            moment = parsedate_to_datetime(wish)
        except (ValueError, TypeError, OverflowError):
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        seconds = (moment - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def is_html(response: Response) -> bool:
    """Whether a portal or proxy page came where data was expected; no JSON text begins with "<"."""
    kind = response.headers.get("content-type", "").casefold()
    return "html" in kind or response.body[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def error_for(response: Response, what: str, hint: str = "") -> SecureScoreError:
    """The error an unwanted status means, with the server's own words, bounded. `what` names what was asked for.

    `hint` is the caller's next step, where it knows one that fits better than what a status says of Graph. Time heals
    408, 429 and 5xx: Unavailable, with the server's wish. Everything else is the operator's: Denied.
    """
    status = response.status
    fact = f"{what}: HTTP {status}{_server_words(response)}"
    if status in (408, 429) or status >= 500:
        return Unavailable(fact, retry_after_s(response.headers, response.at), hint)
    if 300 <= status < 400:
        return Denied(
            f"{what}: HTTP {status}, a redirect{_redirect_host(response)}, which is never followed",
            "Correct the address; if a proxy or sign-in portal redirects, let this machine through.",
        )
    if 200 <= status < 300:
        return Unavailable(f"{fact}: not the answer that was expected", hint=hint)
    hints = {
        400: "The service did not understand the request: check base_url and the cloud.",
        401: "The token was not accepted: check the credential, its expiry and its tenant.",
        403: "The credential lacks a permission, or its consent.",
        404: "There is nothing at this address: check base_url and the cloud.",
        407: "Correct the credentials in network.proxy.",
        413: "A gateway limits request sizes.",
    }
    return Denied(fact, hint or hints.get(status, "Check the address and the credential."))


def _redirect_host(response: Response) -> str:
    try:
        host = urlsplit(response.headers.get("location", "")).hostname
    except ValueError:
        host = None
    return f" to {said(response, host, 100)}" if host else ""


def _server_words(response: Response) -> str:
    """Code and message of an OData error (`{"error": {code, message, innerError}}`), and the ids support asks for."""
    code = message = ""
    inner: Mapping[str, Any] = {}
    if is_html(response):
        message = "an HTML page"
    else:
        try:
            found = json.loads(response.body)
            error = (
                found["Error"] if "error" not in found else found["error"]
            )  # some of Azure's providers capitalise it
            code, message = said(response, error.get("code") or "", 100), said(response, error.get("message") or "")
            inner = error.get("innerError") if isinstance(error.get("innerError"), dict) else {}
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError):
            message = said(response, response.body[:MAX_ERROR_BODY_BYTES].decode("utf-8", "replace"))
    words = ": ".join(part for part in (code, message) if part)
    ids = [
        f"{name} {said(response, value, 64)}"
        for name in ("request-id", "client-request-id")
        if (value := response.headers.get(name) or inner.get(name))
    ]
    return (f" ({words})" if words else "") + (f" [{', '.join(ids)}]" if ids else "")
