"""The simulated Graph, with Azure Resource Graph and Defender for Endpoint beside it: who may ask, limits, errors, and
the same over real HTTP, as the fact sheets and captures show.

What tenants say comes from a World, what goes wrong from Faults, the time from a Clock. `respond` decides an answer
without a socket, `serve` carries it over HTTP. No real time is read here; only the fault "slow" waits for real.
"""

import asyncio
import base64
import json
import re
import socket
import ssl as tls
import struct
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from aiohttp import web
from attrs import Factory, define, evolve, field, frozen
from yarl import URL

from connector.clock import iso
from connector.ports import Clock
from connector.simulator import answers, endpoint, resource_graph
from connector.simulator.answers import Call, GraphError
from connector.simulator.bodies import Bodies
from connector.simulator.chance import share
from connector.simulator.faults import Fault, Faults
from connector.simulator.resource_graph import Clouds
from connector.simulator.world import World

READ = "SecurityEvents.Read.All"
WRITE = "SecurityEvents.ReadWrite.All"
_PATHS = re.compile(r"/(v1\.0|beta)/security/(secureScores|secureScoreControlProfiles)(?:/(.+))?")
_JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


# ---------------------------------------------------------------------------------------------------------- who calls


SECURITY_READER = "5d6b6bb7-de71-4623-b4af-96380a352509"
SECURITY_ADMINISTRATOR = "194ae4cb-b126-40b2-bd5b-6091b380977d"
AUDIENCES = frozenset({"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"})
"""Whom a token must be for: Microsoft Graph of the global cloud, by address or by application id."""


@frozen
class Caller:
    """Who a bearer token speaks for. `roles` are the application's, or a user's scopes when `delegated`.

    `directory_roles` (template ids) count for users only. `audience` None = the token states none (plain tokens).
    """

    tenant_id: str
    roles: frozenset[str]
    audience: str | None = None
    delegated: bool = False
    directory_roles: frozenset[str] = frozenset()


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
    audiences: frozenset[str] = AUDIENCES
    clouds: Clouds = field(default=Factory(lambda self: Clouds(self.world), takes_self=True), repr=False)
    endpoint_audiences: frozenset[str] = endpoint.AUDIENCES
    base_url: str = ""
    requests: deque[Seen] = field(factory=lambda: deque(maxlen=10_000), repr=False)
    _numbered: int = 0
    _challenged: dict[tuple[Fault, str], str] = field(factory=dict, repr=False)

    def challenged(self, fault: Fault, tenant: str, token: str) -> bool:
        """Whether a challenge refuses this token: each tenant's first one to meet the fault, until it is replaced."""
        return self._challenged.setdefault((fault, tenant), token) == token

    def next_number(self) -> int:
        self._numbered += 1
        return self._numbered

    def request_id(self) -> str:
        """A new GUID; every run of the server gives the same ones."""
        return str(UUID(int=self.next_number(), version=4))


# -------------------------------------------------------------------------------------------------------- one request


@frozen
class Ask:
    """One request, before anybody is believed. Header names are in lower case."""

    method: str
    url: URL
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@frozen
class Reply:
    """One answer. `ending` says how it ends: "" whole, "cut" half-way, "reset" before it began, "flood" never usefully.

    A cut answer has its whole `body` here; a flood has none, its fault says how large it is.
    """

    status: int
    headers: Mapping[str, str] = Factory(dict)
    body: bytes = b""
    ending: str = ""


async def respond(sim: Simulation, ask: Ask, fault: Fault | None, caller: Caller | None) -> Reply:
    """The answer to a request of a caller, falsified as a fault says."""
    kind = fault.kind if fault else ""
    if kind == "reset":
        return Reply(0, ending="reset")
    if kind in {"huge", "gzip_bomb"}:
        return Reply(200, ending="flood")
    request_id = sim.request_id()
    try:
        if fault and (refusal := _fault_error(sim, fault, ask, caller)):
            raise refusal
        reply = await _answer_of(ask.url.path)(sim, ask, caller, fault)
    except GraphError as error:
        reply = _error(sim, error, request_id)
    headers = {
        "Content-Type": _JSON,
        **reply.headers,
        "request-id": request_id,
        "client-request-id": ask.headers.get("client-request-id", request_id),
        "OData-Version": "4.0",
    }
    if kind == "html":
        return Reply(200, headers | {"Content-Type": "text/html; charset=utf-8"}, _PORTAL)
    if kind == "bad_gateway":
        return Reply(502, headers | {"Content-Type": "text/html; charset=utf-8"}, _GATEWAY)
    return evolve(reply, headers=headers, ending="cut" if kind == "truncated" else "")


_Answerer = Callable[["Simulation", Ask, Caller | None, Fault | None], Awaitable[Reply]]


def _answer_of(path: str) -> _Answerer:
    """Which of the services a request is for: all of them are one server here."""
    if path == resource_graph.PATH:
        return _azure
    return _endpoint if path in endpoint.PATHS else _graph


async def _azure(sim: Simulation, ask: Ask, caller: Caller | None, fault: Fault | None) -> Reply:
    """As `_graph`, for Resource Graph. What a caller may not see is left out, so no role is asked for."""
    who = _identified(sim, caller, resource_graph.AUDIENCES)
    if ask.method != "POST":
        raise GraphError(405, "MethodNotAllowed", "The requested resource does not support this http method.")
    now, kind = sim.clock.now(), fault.kind if fault else ""
    left, resets_s = sim.clouds.quota.take(who.tenant_id, now)
    quota = resource_graph.headers_of(left, resets_s)
    if left < 0 and sim.clouds.enforced:
        wish = {"Retry-After": quota["x-ms-user-quota-resets-after"][-2:].lstrip("0")}
        raise GraphError(429, "RateLimiting", "Client application has been throttled.", {**quota, **wish})
    if kind == "query_error":
        raise GraphError(500, "InternalServerError", "unexpected query execution error", quota)
    if kind == "capital_error":
        words = {"Error": {"Code": "ResourceNotFound", "Message": "Secure score 'ascScore' does not exist in scope"}}
        return Reply(404, quota, json.dumps(words).encode())
    if fault and kind == "slow":
        await asyncio.sleep(fault.seconds)
    moment = sim.faults.began(fault) if fault and kind == "frozen" else now
    body, headers = resource_graph.answer(sim.clouds, who.tenant_id, resource_graph.read_query(ask.body), moment, kind)
    return Reply(200, {**quota, **headers}, body)


async def _endpoint(sim: Simulation, ask: Ask, caller: Caller | None, fault: Fault | None) -> Reply:
    """As `_graph`, for Defender for Endpoint: the wrong audience is refused in the words of a missing permission."""
    who = _identified(sim, caller, None)
    granted = (endpoint.SCOPE if who.delegated else endpoint.ROLE) in who.roles or who.audience is None
    if not granted or (who.audience is not None and who.audience.rstrip("/") not in sim.endpoint_audiences):
        raise GraphError(
            403, "Forbidden", f"The application does not have any of the required permissions: {endpoint.ROLE}."
        )
    if ask.method != "GET":
        raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    tenant = sim.world.tenant(who.tenant_id)
    assert tenant is not None
    if fault and fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    return Reply(200, body=endpoint.body(sim.world, tenant, ask.url.path, sim.clock.now(), str(ask.url.origin())))


def _identified(sim: Simulation, caller: Caller | None, audiences: frozenset[str] | None) -> Caller:
    """The caller, if a token for one of these audiences says who it is. Raises GraphError."""
    if caller is None:
        raise GraphError(401, "AuthenticationFailed", "Authentication failed.", _challenge())
    if audiences is not None and caller.audience is not None and caller.audience.rstrip("/") not in audiences:
        words = "The access token has been obtained for the wrong audience or resource."
        raise GraphError(401, "InvalidAuthenticationTokenAudience", words, _challenge())
    if sim.world.tenant(caller.tenant_id) is None:
        raise GraphError(403, "AuthorizationFailed", "The client does not have authorization.")
    return caller


async def _graph(sim: Simulation, ask: Ask, caller: Caller | None, fault: Fault | None) -> Reply:
    """The right answer, or the one a fault makes of it. Raises GraphError."""
    call = _admit(sim, ask, caller, fault)
    kind = fault.kind if fault else ""
    refused_s = sim.budget.enter(call.tenant_id, call.now) if sim.budget else None
    try:
        if refused_s is not None:
            raise GraphError(429, "TooManyRequests", "Too many requests.", {"Retry-After": f"{refused_s:.0f}"})
        if fault and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if ask.method == "PATCH":
            if kind == "write_ignored":
                return Reply(204)
            answers.patch(sim.bodies, call, _json_of(ask), kind)
            if kind == "write_unclear":
                raise GraphError(503, "ServiceUnavailable", "The service is not available at the moment.")
            if "return=representation" not in ask.headers.get("prefer", ""):
                return Reply(204)
            return Reply(200, body=answers.item(sim.bodies, call))
        if call.item is not None:
            return Reply(200, body=answers.item(sim.bodies, call, kind))
        page = answers.page(sim.bodies, call, kind, sim.next_number(), fault.days_ahead if fault else 0)
        return Reply(page.status, page.headers, answers.encode_page(call, page))
    finally:
        if sim.budget:
            sim.budget.leave(call.tenant_id)


def _admit(sim: Simulation, ask: Ask, caller: Caller | None, fault: Fault | None) -> Call:
    if caller is None:
        raise GraphError(401, _TOKEN, "Access token is empty or not accepted.", _challenge())
    if caller.audience is not None and caller.audience.rstrip("/") not in sim.audiences:
        raise GraphError(401, _TOKEN, "Access token validation failure. Invalid audience.", _challenge())
    if sim.world.tenant(caller.tenant_id) is None:
        raise GraphError(403, "Authorization_IdentityNotFound", "The identity of the calling application is not known.")
    _permit(caller, write=ask.method == "PATCH")
    found = _PATHS.fullmatch(ask.url.path)
    if not found:
        raise GraphError(404, "ResourceNotFound", "Resource not found for the segment.")
    if ask.method not in {"GET", "PATCH"}:
        raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    now = sim.faults.began(fault) if fault and fault.kind == "frozen" else sim.clock.now()
    version, collection, item = found.groups()
    origin = str(ask.url.origin())
    return Call(caller.tenant_id, now, version, collection, item, origin, ask.url.path, dict(ask.url.query))


def _permit(caller: Caller, *, write: bool) -> None:
    """An application needs its role; a user needs the scope *and* a directory role. Raises GraphError."""
    needed = {WRITE} if write else {READ, WRITE}
    if not caller.roles & needed:
        what = "scopes" if caller.delegated else "application roles"
        raise GraphError(403, "Forbidden", f"Missing {what}. API required {what}: {', '.join(sorted(needed))}.")
    allowed = {SECURITY_ADMINISTRATOR} if write else {SECURITY_READER, SECURITY_ADMINISTRATOR}
    if caller.delegated and not caller.directory_roles & allowed:
        raise GraphError(403, "Forbidden", "The user is in none of the directory roles that this API requires.")


def _json_of(ask: Ask) -> Any:
    try:
        return json.loads(ask.body)
    except ValueError:
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.") from None


def _error(sim: Simulation, error: GraphError, request_id: str) -> Reply:
    inner = {"date": iso(sim.clock.now()).rstrip("Z"), "request-id": request_id, "client-request-id": request_id}
    codeless = share("codeless", sim.world.seed, request_id) < sim.world.habits.codeless
    body = {"error": {"code": "" if codeless else error.code, "message": str(error), "innerError": inner}}
    return Reply(error.status, error.headers, json.dumps(body).encode())


_TOKEN = "InvalidAuthenticationToken"  # noqa: S105 - an error code
_REALM = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
)


def _challenge(since: datetime | None = None) -> dict[str, str]:
    """What a 401 says in `WWW-Authenticate`; with a moment: that tokens must have been issued after it."""
    if since is None:
        return {"WWW-Authenticate": _REALM}
    wanted = {"access_token": {"nbf": {"essential": True, "value": str(int(since.timestamp()))}}}
    claims = base64.b64encode(json.dumps(wanted).encode()).decode()
    return {"WWW-Authenticate": f'{_REALM}, error="insufficient_claims", claims="{claims}"'}


_NOT_ALLOWED = (
    "Query option 'SkipToken' is not allowed. To allow it, set the 'AllowedQueryOptions' property on "
    "EnableQueryAttribute or QueryValidationSettings."
)


def _fault_error(sim: Simulation, fault: Fault, ask: Ask, caller: Caller | None) -> GraphError | None:
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
            return GraphError(401, _TOKEN, "Lifetime validation failed, the token is expired.", _challenge())
        case "challenge" if sim.challenged(fault, caller.tenant_id if caller else "", _bearer(ask)):
            words = "Continuous access evaluation resulted in challenge with result: InteractionRequired."
            return GraphError(401, _TOKEN, words, _challenge(sim.clock.now()))
        case "denied":
            return GraphError(403, "Forbidden", f"Missing application roles. API required roles: {READ}.")
        case "bad_request":
            return GraphError(400, "BadRequest", _NOT_ALLOWED)
        case "not_found":
            return GraphError(404, "ResourceNotFound", "Resource not found for the segment.")
    return None


_PORTAL = b"<!DOCTYPE html><html><head><title>Guest network</title></head><body><h1>Please sign in</h1></body></html>"
_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def _bearer(ask: Ask) -> str:
    scheme, _, token = ask.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _question(ask: Ask) -> str:
    """What a fault's `path` finds a page of Resource Graph by; all have one address."""
    if ask.url.path != resource_graph.PATH:
        return ""
    try:
        query = resource_graph.read_query(ask.body)
    except GraphError:
        return ""
    return f"#{query.kind}/{query.page}"


async def answered(sim: Simulation, ask: Ask) -> tuple[Reply, Fault | None]:
    """The reply to one request, logged, and the fault that made it so: the whole simulated Graph without a socket."""
    token = _bearer(ask)
    caller = sim.authenticate(token) if token else None
    tenant = caller.tenant_id if caller else None
    fault = sim.faults.next(ask.url.raw_path_qs + _question(ask), tenant, sim.clock.now())
    status = 0
    try:
        reply = await respond(sim, ask, fault, caller)
        status = 0 if reply.ending else reply.status
        return reply, fault
    finally:
        sim.requests.append(Seen(ask.method, ask.url.raw_path_qs, status, tenant))


# ---------------------------------------------------------------------------------------------------------- over HTTP


async def _handle(sim: Simulation, request: web.Request) -> web.StreamResponse:
    url = URL.build(scheme=request.scheme, authority=request.host).join(request.rel_url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    reply, fault = await answered(sim, Ask(request.method, url, headers, await request.read()))
    if reply.ending == "reset":
        return _reset(request)
    if reply.ending == "flood" and fault:
        return await _flood(request, fault)
    if reply.ending == "cut":
        return await _cut(request, reply)
    response = web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    if sim.compress and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def _reset(request: web.Request) -> web.Response:
    """Reset the connection: closing with a linger time of zero sends RST instead of FIN."""
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, whole: Reply) -> web.StreamResponse:
    """Promise the whole body, send half of it and close."""
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": _JSON})
    response.content_length = len(whole.body)
    await response.prepare(request)
    await response.write(whole.body[: len(whole.body) // 2])
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
    audiences: frozenset[str] = AUDIENCES,
    cache_bytes: int = 64 * 1024 * 1024,
    compress: bool = False,
    subscriptions: int | None = None,
) -> AsyncIterator[Simulation]:
    """Run the simulated Graph on a port (0 = any free one). Raises OSError when the port cannot be had.

    `compress` answers in gzip whoever accepts it, as Graph does; that costs more time than all else here. `audiences`
    are those of its cloud. `subscriptions` is how many each tenant has in Azure; None = by its size.
    """
    bodies, clouds = Bodies(world, cache_bytes), Clouds(world, subscriptions, enforced=budget is not None)
    sim = Simulation(world, clock, faults or Faults(), authenticate, budget, bodies, compress, audiences, clouds)
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
