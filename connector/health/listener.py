"""The port of the health endpoints, which anybody on the host may open: few connections, for a short time each.

There is no sign-in, so nothing a caller does may cost the daemon more than a handful of descriptors. Beyond
MAX_CONNECTIONS the oldest caller that has not finished its request gives way, so that a fresh one is answered. What is
answered is said in endpoints.py.
"""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

MAX_CONNECTIONS = 32
HEAD_S = 5.0
TOTAL_S = 30.0
"""How long a connection may last, whatever happens on it."""
MAX_HEAD_BYTES = 8 * 1024
_END_OF_HEAD = b"\r\n\r\n"


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, head_s: float = HEAD_S) -> AsyncIterator[int]:
    """Serve `app` at an address for as long as the context lasts; the value is the port. Raises OSError.

    `head_s` is how long a caller may take for the head of its request.
    """
    if not _is_any(host):
        app.middlewares.append(_named(host))
    app.on_response_prepare.append(_close_after)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    callers: list[_Caller] = []
    loop = asyncio.get_running_loop()
    try:
        serve = cast("Callable[[], asyncio.Protocol]", runner.server)
        # As many as may wait are accepted at one go, before any of them can be made to give way.
        server = await loop.create_server(
            lambda: _Caller(serve(), callers, loop, head_s), host, port, backlog=MAX_CONNECTIONS
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for caller in callers:
                caller.end()
    finally:
        await runner.cleanup()


class _Caller(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol, and ends what takes too long or is one too many."""

    def __init__(
        self, inner: asyncio.Protocol, callers: "list[_Caller]", loop: asyncio.AbstractEventLoop, head_s: float
    ) -> None:
        self._inner = inner
        self._callers = callers
        self._loop = loop
        self._head_s = head_s
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._timer: asyncio.TimerHandle | None = None
        self.asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = self._loop.call_later(self._head_s, self.end)
        self._callers.append(self)
        if len(self._callers) > MAX_CONNECTIONS:
            next((c for c in self._callers if not c.asked), self._callers[0]).end()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self.asked:
            self._head += data
            if len(self._head) > MAX_HEAD_BYTES:
                self.end()
                return
            if _END_OF_HEAD in self._head:
                self.asked = True
                self._head = b""
                self._wait(TOTAL_S)
        self._inner.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        if self in self._callers:
            self._callers.remove(self)
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def end(self) -> None:
        """End the connection at once; its place is free from now on."""
        if self in self._callers:
            self._callers.remove(self)
        if self._transport is not None:
            self._transport.abort()

    def _wait(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.end)


def answers_to(host_header: str, listen_host: str) -> bool:
    """Whether a Host header names this listener: an address, localhost, or the name that it listens on.

    A page that had its own name resolved to this machine (DNS rebinding) sends that name, and is refused.
    """
    name = host_header.strip().rsplit(":", 1)[0] if not host_header.endswith("]") else host_header
    name = name.strip("[]").rstrip(".").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in ("", "localhost", listen_host.lower())
    return True


def _named(host: str) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not answers_to(request.headers.get("Host", ""), host):
            return web.Response(status=421, text="this name is not of this listener\n")
        return await handler(request)

    return check


async def _close_after(_request: web.Request, response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"


def _is_any(host: str) -> bool:
    """Whether this is every address of the machine: who listens there has opened it to the network, by any name."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""
