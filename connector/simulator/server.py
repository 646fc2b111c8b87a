"""The simulated Graph over real HTTP: paths, paging, errors and limits as the fact sheets and captures show them.

What tenants say comes from a World, what goes wrong from Faults, the time from a Clock. No real time is read here;
only the fault "slow" waits for real.
"""

import asyncio
import json
import re
import socket
import ssl as tls
import struct
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from aiohttp import web
from attrs import Factory, define, field, frozen

from connector.clock import iso
from connector.ports import Clock
from connector.simulator import answers
from connector.simulator.answers import Call, GraphError
from connector.simulator.bodies import Bodies
from connector.simulator.faults import Fault, Faults
from connector.simulator.world import World

READ = "SecurityEvents.Read.All"
WRITE = "SecurityEvents.ReadWrite.All"
_PATHS = re.compile(r"/(v1\.0|beta)/security/(secureScores|secureScoreControlProfiles)(?:/(.+))?")
_JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


# ---------------------------------------------------------------------------------------------------------- who calls


@frozen
class Caller:
    """Who a bearer token speaks for: the tenant, and the application roles granted there."""

    tenant_id: str
    roles: frozenset[str]


Authenticate = Callable[[str], Caller | None]
"""Bearer token → caller, or None for a token that is not accepted (401)."""


def token_for(tenant_id: str, *, write: bool = False) -> str:
    """A token the simulator accepts: it names its tenant and, with `write`, carries the write role."""
    return f"simulated.{tenant_id}" + (".write" if write else "")


def plain_tokens(token: str) -> Caller | None:
    """Accept what `token_for` makes."""
    match token.split("."):
        case ["simulated", tenant_id]:
            return Caller(tenant_id, frozenset({READ}))
        case ["simulated", tenant_id, "write"]:
            return Caller(tenant_id, frozenset({READ, WRITE}))
    return None


@define
class Budget:
    """Graph's own limits for these resources, per tenant; requests refused here still count."""

    per_minute: int = 150
    per_ten_minutes: int = 10_000
    concurrent: int = 4
    _times: dict[str, deque[datetime]] = Factory(dict)
    _running: dict[str, int] = Factory(dict)

    def enter(self, tenant_id: str, now: datetime) -> float | None:
        """Begin a request; seconds to wait when it is refused."""
        times = self._times.setdefault(tenant_id, deque(maxlen=self.per_ten_minutes + 1))
        while times and now - times[0] >= timedelta(minutes=10):
            times.popleft()
        times.append(now)
        self._running[tenant_id] = self._running.get(tenant_id, 0) + 1
        for limit, window_s in ((self.per_ten_minutes, 600), (self.per_minute, 60)):
            if len(times) > limit and (age_s := (now - times[-limit - 1]).total_seconds()) < window_s:
                return max(1.0, window_s - age_s)
        return 1.0 if self._running[tenant_id] > self.concurrent else None

    def leave(self, tenant_id: str) -> None:
        self._running[tenant_id] -= 1


# --------------------------------------------------------------------------------------------------------- the server


@frozen
class Seen:
    """One request as the server saw it. `path` includes the query; `status` 0 = no answer was completed."""

    method: str
    path: str
    status: int
    tenant: str | None


@define
class Simulation:
    """A running simulated Graph. `faults` may be changed while it runs; `requests` holds the latest 10,000."""

    world: World
    clock: Clock
    faults: Faults
    authenticate: Authenticate
    budget: Budget | None
    bodies: Bodies = field(repr=False)
    compress: bool = False
    base_url: str = ""
    requests: deque[Seen] = field(factory=lambda: deque(maxlen=10_000), repr=False)
    _numbered: int = 0

    def next_number(self) -> int:
        self._numbered += 1
        return self._numbered

    def request_id(self) -> str:
        """A new GUID; every run of the server gives the same ones."""
        return str(UUID(int=self.next_number(), version=4))


# --------------------------------------------------------------------------------------------------- one HTTP request


async def _answer(sim: Simulation, request: web.Request, caller: Caller | None, fault: Fault | None) -> web.Response:
    """The right answer, or the one a fault makes of it. Raises GraphError."""
    call = _admit(sim, request, caller, fault)
    kind = fault.kind if fault else ""
    refused_s = sim.budget.enter(call.tenant_id, call.now) if sim.budget else None
    try:
        if refused_s is not None:
            raise GraphError(429, "TooManyRequests", "Too many requests.", {"Retry-After": f"{refused_s:.0f}"})
        if fault and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if request.method == "PATCH":
            if kind == "write_ignored":
                return web.Response(status=204)
            answers.patch(sim.bodies, call, await _json_of(request))
            if kind == "write_unclear":
                raise GraphError(503, "ServiceUnavailable", "The service is not available at the moment.")
            if "return=representation" not in request.headers.get("Prefer", ""):
                return web.Response(status=204)
            return web.Response(body=answers.item(sim.bodies, call))
        if call.item is not None:
            return web.Response(body=answers.item(sim.bodies, call, kind))
        page = answers.page(sim.bodies, call, kind, sim.next_number())
        return web.Response(body=answers.encode_page(call, page), status=page.status, headers=page.headers)
    finally:
        if sim.budget:
            sim.budget.leave(call.tenant_id)


def _admit(sim: Simulation, request: web.Request, caller: Caller | None, fault: Fault | None) -> Call:
    if caller is None:
        raise GraphError(401, "InvalidAuthenticationToken", "Access token is empty or not accepted.")
    if sim.world.tenant(caller.tenant_id) is None:
        raise GraphError(403, "Authorization_IdentityNotFound", "The identity of the calling application is not known.")
    needed = {WRITE} if request.method == "PATCH" else {READ, WRITE}
    if not caller.roles & needed:
        raise GraphError(
            403, "Forbidden", f"Missing application roles. API required roles: {', '.join(sorted(needed))}."
        )
    found = _PATHS.fullmatch(request.path)
    if not found:
        raise GraphError(404, "ResourceNotFound", "Resource not found for the segment.")
    if request.method not in {"GET", "PATCH"}:
        raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    now = sim.faults.began(fault) if fault and fault.kind == "frozen" else sim.clock.now()
    version, collection, item = found.groups()
    origin = f"{request.scheme}://{request.host}"
    return Call(caller.tenant_id, now, version, collection, item, origin, request.path, dict(request.query))


async def _json_of(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.") from None


def _error(sim: Simulation, error: GraphError, request_id: str) -> web.Response:
    inner = {"date": iso(sim.clock.now()).rstrip("Z"), "request-id": request_id, "client-request-id": request_id}
    body = {"error": {"code": error.code, "message": str(error), "innerError": inner}}
    return web.Response(body=json.dumps(body).encode(), status=error.status, headers=error.headers)


def _fault_error(sim: Simulation, fault: Fault) -> GraphError | None:
    headers: dict[str, str] = {}
    if fault.retry_after_s is not None:
        wish = f"{fault.retry_after_s:.0f}"
        if fault.retry_after_as_date:
            wish = format_datetime(sim.clock.now() + timedelta(seconds=fault.retry_after_s), usegmt=True)
        headers["Retry-After"] = wish
    match fault.kind:
        case "throttled":
            return GraphError(429, "TooManyRequests", "Too many requests.", headers)
        case "unavailable":
            return GraphError(503, "ServiceUnavailable", "The service is not available at the moment.", headers)
        case "error":
            return GraphError(500, "", "An internal error occurred.")  # an empty code, as Graph does at times
        case "unauthorized":
            return GraphError(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        case "denied":
            return GraphError(403, "Forbidden", f"Missing application roles. API required roles: {READ}.")
    return None


_PORTAL = b"<!DOCTYPE html><html><head><title>Guest network</title></head><body><h1>Please sign in</h1></body></html>"


async def _handle(sim: Simulation, request: web.Request) -> web.StreamResponse:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    caller = sim.authenticate(token) if scheme == "Bearer" else None
    tenant = caller.tenant_id if caller else None
    fault = sim.faults.next(request.path_qs, tenant, sim.clock.now())
    kind = fault.kind if fault else ""
    request_id = sim.request_id()
    status = 0
    try:
        if kind == "reset":
            return _reset(request)
        if fault and kind in {"huge", "gzip_bomb"}:
            return await _flood(request, fault)
        try:
            if fault and (refusal := _fault_error(sim, fault)):
                raise refusal
            response = await _answer(sim, request, caller, fault)
        except GraphError as error:
            response = _error(sim, error, request_id)
        if kind == "html":
            response = web.Response(body=_PORTAL, content_type="text/html")
        else:
            response.headers["Content-Type"] = _JSON
        response.headers["request-id"] = request_id
        response.headers["client-request-id"] = request.headers.get("client-request-id", request_id)
        response.headers["OData-Version"] = "4.0"
        if kind == "truncated":
            return await _cut(request, response)
        status = response.status
        if sim.compress and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response
    finally:
        sim.requests.append(Seen(request.method, request.path_qs, status, tenant))


def _reset(request: web.Request) -> web.Response:
    """Reset the connection: closing with a linger time of zero sends RST instead of FIN."""
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Promise the whole body, send half of it and close."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": _JSON})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport:
        request.transport.close()
    return response


async def _flood(request: web.Request, fault: Fault) -> web.StreamResponse:
    """A body of `size_bytes` that never becomes valid JSON, plain or compressed (its expanded size)."""
    bomb = fault.kind == "gzip_bomb"
    response = web.StreamResponse(headers={"Content-Type": _JSON} | ({"Content-Encoding": "gzip"} if bomb else {}))
    await response.prepare(request)
    packer = zlib.compressobj(wbits=31)
    chunk = b" " * 65536
    with suppress(ConnectionError):
        await response.write(packer.compress(b'{"value":["') if bomb else b'{"value":["')
        for _ in range(fault.size_bytes // len(chunk)):
            await response.write(packer.compress(chunk) if bomb else chunk)
        if bomb:
            await response.write(packer.flush())
    return response


@asynccontextmanager
async def serve(
    world: World,
    clock: Clock,
    *,
    faults: Faults | None = None,
    port: int = 0,
    ssl: tls.SSLContext | None = None,
    host: str = "127.0.0.1",
    authenticate: Authenticate = plain_tokens,
    budget: Budget | None = None,
    cache_bytes: int = 64 * 1024 * 1024,
    compress: bool = False,
) -> AsyncIterator[Simulation]:
    """Run the simulated Graph on a port (0 = any free one). Raises OSError when the port cannot be had.

    `compress` answers in gzip whoever accepts it, as Graph does; that costs more time than all else here.
    """
    sim = Simulation(world, clock, faults or Faults(), authenticate, budget, Bodies(world, cache_bytes), compress)
    application = web.Application(client_max_size=64 * 1024)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _handle(sim, request)

    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl).start()
        sim.base_url = f"{'https' if ssl else 'http'}://{host}:{runner.addresses[0][1]}"
        yield sim
    finally:
        await runner.cleanup()
