"""The client behind every outgoing connection: TLS, proxy, private CA, limits of time and size, foreign errors as ours.

Retries, tokens and the meaning of bodies belong to the callers. Nothing here logs, and no exception text carries
request headers: they hold bearer tokens.
"""

import asyncio
import base64
import contextlib
import ipaddress
import os
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from attrs import field, frozen
from yarl import URL

from connector.clock import Threads
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable, exhausted
from connector.formats.gzipped import Damaged, Unpacking
from connector.net.http import MAX_BODY_BYTES, MAX_ERROR_BODY_BYTES, USER_AGENT, Response, printable
from connector.ports import Clock

CA_LIMIT_S = 10.0
"""How long reading a file of authorities may take."""
_THREADS = Threads("ca-file", 4)


class Http:
    """The transport: one shared aiohttp session, opened by the first request.

    `proxy` is None, "env" (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY of the environment) or a URL that may hold
    credentials. `ca_file` adds to the system's certificate store, and is read again when a far end is not trusted and
    the file has changed; verification cannot be switched off. Redirects are never followed, cookies never kept, netrc
    never read.
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
        self._replaced: list[aiohttp.ClientSession] = []
        self._opening = asyncio.Lock()
        self._signature: tuple[int, ...] = ()

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

        Where the far end's certificate is not trusted nothing was sent yet: with a new `ca_file` it is tried once more.

        `timeout_s` bounds the whole attempt; `max_bytes` bounds the body after decompression (error bodies: 64 KiB).
        Raises Unavailable when no answer came, Denied when only the operator can change that (TLS, proxy, address).
        """
        target = _target(url)
        session = await self._open()
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
        while True:
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
                    carried = _secrets(sent, options.get("proxy_headers", {}))
                    return Response(answer.status, _joined(answer.headers), content, at, cut, carried)
            except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError and ssl.SSLError are OSErrors
                # The chain is cut: foreign exceptions hold the request with its headers.
                mapped = _mapped(error, _origin(target), limit_s, proxied=proxy is not None)
                distrusts = isinstance(_tls_cause(error), ssl.SSLCertVerificationError)
            another = await self._open(instead_of=session) if distrusts else session
            if another is session:
                raise mapped
            session = another

    async def close(self) -> None:
        """Close all connections; harmless when called twice or never opened."""
        sessions, self._session, self._replaced = [self._session, *self._replaced], None, []
        for session in sessions:
            if session is not None:
                await session.close()

    async def _open(self, instead_of: aiohttp.ClientSession | None = None) -> aiohttp.ClientSession:
        """The session; a new one `instead_of` one whose trust failed, if `ca_file` says something else by now.

        Requests under way keep theirs. Raises Denied for a `ca_file` of no use, Unavailable where it does not answer.
        """
        if self._session is not None and self._session is not instead_of:
            return self._session
        async with self._opening:
            if self._session is not None and self._session is not instead_of:
                return self._session
            signature, context = await self._trust()
            if self._session is not None:
                if signature == self._signature:
                    return self._session
                self._replaced.append(self._session)
            self._signature = signature
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, ssl=context),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "gzip"},
                auto_decompress=False,
                trust_env=False,
            )
            return self._session

    async def _trust(self) -> tuple[tuple[int, ...], ssl.SSLContext]:
        """Whom to trust by now, and what tells that the file is another one."""
        path = self._ca_file
        if path is None:
            return (), tls_context()

        def read() -> tuple[tuple[int, ...], ssl.SSLContext]:
            context = tls_context(path)
            seen = os.stat(path)  # noqa: PTH116 - text in, numbers out
            return (seen.st_mtime_ns, seen.st_size, seen.st_ino), context

        try:
            return await _THREADS.run(read, CA_LIMIT_S, path)
        except TimeoutError as error:
            raise Unavailable(f"ca_file {path} does not answer: {error}", hint="See that its disk answers.") from None

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


def _secrets(*headers: Mapping[str, str]) -> tuple[str, ...]:
    """The credentials in a request's headers, as they stand and, of a basic-auth header, as they were."""
    found = []
    for name, value in (pair for each in headers for pair in each.items()):
        if name.lower() in ("authorization", "proxy-authorization"):
            scheme, _, credential = value.partition(" ")
            found.append(credential.strip() or scheme)
            if scheme.lower() == "basic":
                with contextlib.suppress(ValueError):
                    pair = base64.b64decode(credential, validate=True).decode("utf-8", "replace")
                    found += [pair, pair.partition(":")[2]]
    return tuple(found)


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> tuple[bytes, str]:
    """The body as far as it came, and why not further. It is unpacked here, no further than wanted: a bomb stops here.

    What is packed counts, too: packing adds less than a hundredth to anything, so more than that unpacks to nothing.
    """
    unpacking = Unpacking() if answer.headers.get("Content-Encoding", "").strip().lower() in _GZIP else None
    most = max_bytes if unpacking is None else max_bytes + max_bytes // 100 + 1024
    if (answer.content_length or 0) > most:
        answer.close()
        return b"", "too_large"
    chunks: list[bytes] = []
    size = came = 0
    try:
        async for chunk in answer.content.iter_any():
            came += len(chunk)
            body = chunk if unpacking is None else unpacking.feed(chunk, max_bytes - size + 1)
            size += len(body)
            if size > max_bytes or came > most:
                answer.close()
                chunks.append(body[: len(body) + min(0, max_bytes - size)])
                return b"".join(chunks), "too_large"
            chunks.append(body)
    except (aiohttp.ClientError, OSError, Damaged):
        answer.close()
        return b"".join(chunks), "truncated"
    whole = unpacking is None or unpacking.is_whole
    return b"".join(chunks), "" if whole else "truncated"


_GZIP = ("gzip", "x-gzip")


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


def proxy_for(url: str, proxy: str | None, no_proxy: Sequence[str]) -> str | None:
    """The proxy on the way to this address, its credentials in it, for a library with a client of its own; None for
    none. `proxy` and `no_proxy` as for `Http`. Raises ConfigError for a proxy that is none.
    """
    target = _target(url)
    table, direct = _proxy_table(proxy, no_proxy)
    found = None if bypasses_proxy(target.host or "", target.port, direct) else table.get(target.scheme)
    return None if found is None else found.text


@frozen
class _Proxy:
    url: URL
    authorization: str = field(repr=False)
    text: str = field(repr=False)


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
    return _Proxy(url.with_user(None), authorization, text)


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
    if (lacking := exhausted(getattr(error, "os_error", None) or error)) is not None:
        return lacking
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
