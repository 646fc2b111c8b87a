"""A fake service behind a real socket of this machine. What it answers is the service's; no assertions live here."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from aiohttp import web
from attrs import define
from multidict import CIMultiDict


class Answer(Protocol):
    """`fault`: "" · reset (cut without an answer) · hang (no answer in time) · cut (half an answer)."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def fault(self) -> str: ...


class Answering(Protocol):
    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request; header names in lower case."""
        ...


S = TypeVar("S", bound=Answering)


@define
class Server(Generic[S]):
    """A service on loopback, behind TLS or not. It can go away and come back at the same port."""

    service: S
    tls: ssl.SSLContext | None = None
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    async def start(self) -> None:
        application = web.Application(client_max_size=1_000_000_000)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, auto_decompress=False, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", self.port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def drop_connections(self) -> None:
        """Close every kept connection, as a server does that was idle too long, without the client having noticed."""
        assert self._runner is not None
        assert self._runner.server is not None
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        found = self.service.answer(request.method, str(request.url), headers, body)
        if found.fault == "hang":
            await asyncio.sleep(3600)
        if found.fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if found.fault == "cut":
            half = web.StreamResponse(status=found.status, headers={"Content-Length": str(len(found.body))})
            await half.prepare(request)
            await half.write(found.body[: len(found.body) // 2])
            assert request.transport is not None
            request.transport.close()
            return half
        return web.Response(status=found.status, body=found.body or None, headers=CIMultiDict(found.headers))


@asynccontextmanager
async def serve(service: S, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server[S]]:
    server = Server(service, tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
