"""How MSAL gets to the network: over our one transport, seeing only answers that are safe for it to see.

MSAL blocks, so it runs in worker threads; each of its requests comes back to the event loop and goes out through net:
TLS, proxy, private CA, limits and errors are the same as everywhere, and no environment variable (REQUESTS_CA_BUNDLE,
HTTPS_PROXY) changes them. No knowledge of credentials here.

MSAL's traps that are answered here: it logs a token answer that is no JSON, text and all; it posts the secret to
whatever address discovery names; a 4xx of discovery loses the code that says why.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlencode, urlsplit

from attrs import field, frozen

from connector.errors import Denied, Unavailable
from connector.net.http import Response, Transport, error_for, is_html, printable
from connector.signin.refusals import SignInRefused, refusal

MAX_ANSWER_BYTES = 256 * 1024
asked: ContextVar[bool] = ContextVar("asked", default=False)
"""Whether MSAL asked anybody since this was set to False: what it refuses before that, it refuses by itself."""
IDENTITY_TIMEOUT_S = 10.0
"""An identity endpoint is on this machine or one hop away; where there is none, nobody answers."""


class Bridge:
    """Blocking requests from worker threads, carried out by a transport on the event loop that made the bridge."""

    def __init__(self, transport: Transport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._running: set[Future[Response]] = set()
        self._over = False

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float | None
    ) -> Response:
        """One request, from a thread that is not the loop's. Raises what the transport raises."""
        if self._over:
            raise CancelledError
        future: Future[Response] = asyncio.run_coroutine_threadsafe(
            self._transport.request(
                method, url, headers=headers, body=body, timeout_s=timeout_s, max_bytes=MAX_ANSWER_BYTES
            ),
            self._loop,
        )
        self._running.add(future)
        try:
            return future.result()
        finally:
            self._running.discard(future)

    def cancel(self) -> None:
        """End all requests under way, and begin no more; their threads get CancelledError."""
        self._over = True
        for future in list(self._running):
            future.cancel()


@frozen
class Answer:
    """What MSAL reads of an answer."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class MsalHttp:
    """The `http_client` of an MSAL application. `admit` looks at the address before, `check` at the answer after."""

    def __init__(
        self,
        bridge: Bridge,
        admit: Callable[[str], None],
        check: Callable[[Response, str], None],
        timeout_s: float | None = None,
    ) -> None:
        self._bridge = bridge
        self._admit = admit
        self._check = check
        self._timeout_s = timeout_s

    def get(self, url: str, *, params: Mapping[str, Any] | None = None, headers: Any = None, **_: object) -> Answer:
        if params:
            url += ("&" if "?" in url else "?") + _form(params)
        return self._send("GET", url, headers or {}, None)

    def post(self, url: str, *, data: Mapping[str, Any], headers: Any = None, **_: object) -> Answer:
        sent = {**(headers or {}), "Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", url, sent, _form(data).encode())

    def close(self) -> None:
        """The transport belongs to the application."""

    def _send(self, method: str, url: str, headers: Mapping[str, Any], body: bytes | None) -> Answer:
        asked.set(True)
        self._admit(url)
        sent = {str(name): str(value) for name, value in headers.items() if value is not None}
        response = self._bridge.request(method, url, sent, body, self._timeout_s)
        self._check(response, method)
        return Answer(response.status, response.body.decode("utf-8", "replace"), response.headers)


def _form(values: Mapping[str, Any]) -> str:
    return urlencode({name: value for name, value in values.items() if value is not None})


def login_http(bridge: Bridge, login: str) -> MsalHttp:
    """The way to one sign-in host (a root) and to no other: everything sent there may hold a secret."""

    def admit(url: str) -> None:
        if not _same_origin(url, login):
            raise SignInRefused(
                f"{login} sends the sign-in on to {_host(url)}, where it was not followed",
                "This directory probably lives in another cloud: set the tenant's cloud to global, usgov or dod.",
                "cloud",
            )

    return MsalHttp(bridge, admit, lambda response, method: _check_login(response, method, f"signing in at {login}"))


def identity_http(bridge: Bridge) -> MsalHttp:
    """The way to the identity endpoint of this machine; what it answers is for MSAL to read."""

    def check(response: Response, _: str) -> None:
        if response.cut or response.status in (408, 429) or response.status >= 500:
            raise error_for(response, "asking the identity endpoint")

    return MsalHttp(bridge, lambda _: None, check, IDENTITY_TIMEOUT_S)


def _host(url: str) -> str:
    try:
        return printable(urlsplit(url).hostname or "no host", 100)
    except ValueError:
        return "what is no address"


def _same_origin(url: str, root: str) -> bool:
    try:
        one, other = [(parts.scheme, parts.hostname, parts.port or 443) for parts in map(urlsplit, (url, root))]
    except ValueError:
        return False
    return one == other


def _check_login(response: Response, method: str, what: str) -> None:
    """Let only whole JSON objects through. Raises Unavailable or Denied for everything else."""
    status = response.status
    if response.cut:
        raise Unavailable(f"{what}: the answer broke off ({response.cut})")
    if status in (408, 429) or status >= 500 or status < 200 or 300 <= status < 400:
        raise error_for(response, what)
    if is_html(response):
        raise Denied(
            f"{what}: HTTP {status} with a web page instead of data",
            "A portal or proxy stands between: let this machine reach the sign-in host, or set network.proxy.",
        )
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise error_for(response, what) if status >= 400 else Unavailable(f"{what}: the answer is not JSON")
    if method == "GET" and status >= 400:
        raise refusal(data, what=what)
