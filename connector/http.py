"""One HTTP transport for every outgoing connection: TLS, proxy, private CA, limits of time and size, status → errors.

Retries, tokens and the meaning of bodies belong to the callers. Nothing here logs, and no exception text carries
request headers: they hold bearer tokens.
"""

import base64
import ipaddress
import json
import re
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import aiohttp
from attrs import field, frozen
from yarl import URL

from connector import __version__
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.ports import Clock

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
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: datetime
    cut: str = ""


class Transport(Protocol):
    """What callers need of `Http`, so that a request budget or a fake can stand in front of it."""

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


class Http:
    """The transport: one shared aiohttp session, opened by the first request.

    `proxy` is None, "env" (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY of the environment) or a URL that may hold
    credentials. `ca_file` adds to the system's certificate store; verification cannot be switched off. Redirects are
    never followed, cookies never kept, netrc never read.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        proxy: str | None = None,
        no_proxy: Sequence[str] = (),
        ca_file: str | None = None,
        timeout_s: float = 30.0,
        user_agent: str = USER_AGENT,
        max_connections: int = 100,
    ) -> None:
        self._clock = clock
        self._proxies, self._no_proxy = _proxy_table(proxy, no_proxy)
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self._user_agent = user_agent
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        """Send one request, once. `url` goes out as it stands, so it must be encoded already.

        `timeout_s` bounds the whole attempt; `max_bytes` bounds the body after decompression (error bodies: 64 KiB).
        Raises Unavailable when no answer came, Denied when only the operator can change that (TLS, proxy, address).
        """
        target = _target(url)
        session = self._open()
        sent = dict(headers or {})
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        options: dict[str, Any] = {}
        proxy = self._proxy_for(target)
        if proxy is not None:
            options["proxy"] = proxy.url
            if proxy.authorization and target.scheme == "https":
                options["proxy_headers"] = {"Proxy-Authorization": proxy.authorization}
            elif proxy.authorization:
                sent["Proxy-Authorization"] = proxy.authorization
        try:
            async with session.request(
                method,
                target,
                headers=sent,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit_s),
                **options,
            ) as answer:
                at = self._clock.now()
                content, cut = await _read(answer, max_bytes if answer.status < 400 else MAX_ERROR_BODY_BYTES)
                return Response(answer.status, _joined(answer.headers), content, at, cut)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            # The chain is cut: foreign exceptions hold the request with its headers.
            raise _mapped(error, _origin(target), limit_s, proxied=proxy is not None) from None

    async def close(self) -> None:
        """Close all connections; harmless when called twice or never opened."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, ssl=tls_context(self._ca_file)),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "gzip"},
                trust_env=False,
            )
        return self._session

    def _proxy_for(self, target: URL) -> "_Proxy | None":
        if not self._proxies or bypasses_proxy(target.host or "", target.port, self._no_proxy):
            return None
        return self._proxies.get(target.scheme)


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """TLS >= 1.2, verified against the system's store plus `ca_file`. Raises Denied when that file is no use."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise Denied(
                f"ca_file {ca_file} cannot be used: {error.strerror or error}", "Give a PEM file of CA certificates."
            ) from None
    return context


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> tuple[bytes, str]:
    """The body as far as it came, and why not further. aiohttp decompresses in bounded steps, so a bomb stops here."""
    if "Content-Encoding" not in answer.headers and (answer.content_length or 0) > max_bytes:
        answer.close()
        return b"", "too_large"
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > max_bytes:
                answer.close()
                chunks.append(chunk[: max_bytes - size])
                return b"".join(chunks), "too_large"
            chunks.append(chunk)
    except (aiohttp.ClientError, OSError):
        answer.close()
        return b"".join(chunks), "truncated"
    return b"".join(chunks), ""


def _target(url: str) -> URL:
    try:
        target = URL(url, encoded=True)
        # A blank or control character could end the request line and begin another request.
        usable = url.isascii() and url.isprintable() and " " not in url and bool(target.raw_host) and bool(target.port)
    except ValueError:
        usable = False
    if not usable or target.scheme not in ("http", "https"):
        raise Denied(f"{printable(url, 200)} is not an HTTP address", "Correct the address in the configuration.")
    return target


def _joined(headers: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


# --------------------------------------------------------------------------------------------------------- proxy


@frozen
class _Proxy:
    url: URL
    authorization: str = field(repr=False)


def _proxy_table(proxy: str | None, no_proxy: Sequence[str]) -> tuple[dict[str, _Proxy], tuple[str, ...]]:
    """Proxy by scheme of the target, and the hosts that go without."""
    if proxy is None:
        return {}, ()
    if proxy != "env":
        one = _proxy(proxy, "network.proxy")
        return {"http": one, "https": one}, tuple(no_proxy)
    found = urllib.request.getproxies_environment()
    table = {}
    for scheme in ("http", "https"):
        url = found.get(scheme) or found.get("all")
        if url:
            table[scheme] = _proxy(url if "://" in url else f"http://{url}", f"the environment's {scheme}_proxy")
    return table, (*no_proxy, *found.get("no", "").split(","))


def _proxy(text: str, where: str) -> _Proxy:
    try:
        url = URL(text)
        usable = url.scheme in ("http", "https") and bool(url.host)
        user, password = url.user, url.password
    except ValueError:
        usable = False
    if not usable:  # the text may hold a password: it is not repeated
        raise ConfigError(
            [f"{where}: not a proxy address"], "Write http://host:port or http://user:password@host:port."
        )
    authorization = ""
    if user is not None or password is not None:
        pair = f"{user or ''}:{password or ''}".encode()
        authorization = "Basic " + base64.b64encode(pair).decode("ascii")
    return _Proxy(url.with_user(None), authorization)


def bypasses_proxy(host: str, port: int | None, no_proxy: Sequence[str]) -> bool:
    """Whether a host goes without proxy. Entries: "*", a host or domain (also matching its subdomains; a leading "." or
    "*." is allowed), an address, a network in CIDR form, each with an optional ":port".
    """
    host = host.rstrip(".").casefold()
    address = _address(host)
    for entry in no_proxy:
        wanted = entry.strip().casefold()
        if not wanted:
            continue
        if wanted == "*":
            return True
        if address is not None and _in_network(address, wanted):
            return True
        name, colon, wanted_port = wanted.rpartition(":")
        if colon and wanted_port.isdigit() and (":" not in name or name.startswith("[")):
            if int(wanted_port) != port:
                continue
            wanted = name.strip("[]")
        wanted = wanted.removeprefix("*").lstrip(".").rstrip(".")
        if wanted and (host == wanted or (address is None and host.endswith("." + wanted))):
            return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network.strip("[]"), strict=False)
    except ValueError:
        return False


# -------------------------------------------------------------------------------------------------------- errors


def _origin(url: URL) -> str:
    """Scheme, host and port: enough to find the fault, without a path or query that may be long or private."""
    return f"{url.scheme}://{url.host}" + ("" if url.is_default_port() or url.port is None else f":{url.port}")


def _mapped(error: Exception, origin: str, limit_s: float, *, proxied: bool) -> SecureScoreError:
    """A foreign exception as ours, in words that contain nothing of the request."""
    network = "Check network, proxy and firewall."
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return Denied(f"the proxy wants credentials for {origin} (407)", "Correct those in network.proxy.")
        return Unavailable(
            f"the proxy refused the connection to {origin} ({error.status})",
            hint="Allow this host and port on the proxy, or list the host in network.no_proxy.",
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Unavailable(f"the proxy cannot be reached on the way to {origin}", hint="Check network.proxy.")
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        reason = _tls_cause(error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return Denied(
                f"the certificate of {origin} is not trusted: {printable(reason.verify_message)}",
                "If a private CA or an inspecting proxy signed it, add that CA as ca_file; "
                "check this machine's clock if it is called expired or not yet valid.",
            )
        return Unavailable(f"no TLS connection to {origin}: {_plain(reason)}", hint=network)
    if isinstance(error, TimeoutError):
        return Unavailable(f"{origin} did not answer within {limit_s:g} s", hint=network)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(
            f"the name of {origin} cannot be resolved",
            hint="Check DNS" + ("." if proxied else ", or set network.proxy if only a proxy may leave this network."),
        )
    if isinstance(error, (aiohttp.ClientConnectionError, OSError)):
        return Unavailable(f"no connection to {origin}: {_plain(error)}", hint=network)
    if isinstance(error, ValueError):  # a header that cannot be sent
        return Denied(f"the request to {origin} cannot be sent ({type(error).__name__})", "Check the credential.")
    return Unavailable(f"{origin} did not answer in HTTP ({type(error).__name__})", hint=network)


def _tls_cause(error: Exception) -> Exception:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    assert isinstance(cause, Exception)
    return cause


def _plain(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return printable(getattr(cause, "reason", None) or getattr(cause, "strerror", None) or type(cause).__name__)


def printable(value: object, max_chars: int = MAX_MESSAGE_CHARS) -> str:
    """One bounded line of a far end's words: no control characters, no line breaks."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(value)[: 4 * max_chars]).split())
    return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


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


def error_for(response: Response, what: str) -> SecureScoreError:
    """The error an unwanted status means, with the server's own words, bounded. `what` names what was asked for.

    Time heals 408, 429 and 5xx: Unavailable, with the server's wish. Everything else is the operator's: Denied.
    """
    status = response.status
    fact = f"{what}: HTTP {status}{_server_words(response)}"
    if status in (408, 429) or status >= 500:
        return Unavailable(fact, retry_after_s(response.headers, response.at))
    if 300 <= status < 400:
        return Denied(
            f"{what}: HTTP {status}, a redirect{_redirect_host(response)}, which is never followed",
            "Correct the address; if a proxy or sign-in portal redirects, let this machine through.",
        )
    if 200 <= status < 300:
        return Unavailable(f"{fact}: not the answer that was expected")
    hints = {
        400: "The service did not understand the request: check base_url and the cloud.",
        401: "The token was not accepted: check the credential, its expiry and its tenant.",
        403: "The credential lacks a permission, or its consent.",
        404: "There is nothing at this address: check base_url and the cloud.",
        407: "Correct the credentials in network.proxy.",
        413: "A gateway limits request sizes.",
    }
    return Denied(fact, hints.get(status, "Check the address and the credential."))


def _redirect_host(response: Response) -> str:
    try:
        host = URL(response.headers.get("location", "")).host
    except ValueError:
        host = None
    return f" to {printable(host, 100)}" if host else ""


def _server_words(response: Response) -> str:
    """Code and message of an OData error (`{"error": {code, message, innerError}}`), and the ids support asks for."""
    code = message = ""
    inner: Mapping[str, Any] = {}
    if is_html(response):
        message = "an HTML page"
    else:
        try:
            error = json.loads(response.body)["error"]
            code, message = printable(error.get("code") or "", 100), printable(error.get("message") or "")
            inner = error.get("innerError") if isinstance(error.get("innerError"), dict) else {}
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError, IndexError):
            message = printable(response.body[: 4 * MAX_MESSAGE_CHARS].decode("utf-8", "replace"))
    words = ": ".join(part for part in (code, message) if part)
    ids = [
        f"{name} {printable(value, 64)}"
        for name in ("request-id", "client-request-id")
        if (value := response.headers.get(name) or inner.get(name))
    ]
    return (f" ({words})" if words else "") + (f" [{', '.join(ids)}]" if ids else "")
