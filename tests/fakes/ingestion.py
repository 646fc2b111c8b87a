"""Azure Monitor's Logs Ingestion API in memory, behaving as the fact sheet says, and the way to it.

`Service` answers requests and remembers what it stored. `Wire` is the transport of a sink that goes there without
sockets; loopback.py puts it behind one. A test drives it by its fields and by `next`: faults that befall the
coming requests, one each. No sink is known here.
"""

import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import Factory, define, field, frozen

from connector.errors import Unavailable
from connector.net.http import Response
from connector.ports import Clock

TOKEN = "eyJ0eXAiOiJKV1QifQ.first.signature"
RULE = "dcr-00000000000000000000000000000001"
API_VERSION = "2023-01-01"
FIELD_BYTES = 64 * 1024
"""Longer values are cut without a word."""

RESERVED = frozenset(
    {
        "_resourceid",
        "id",
        "_subscriptionid",
        "tenantid",
        "type",
        "uniqueid",
        "title",
        "resource",
        "resourceid",
        "resourcename",
        "resourcetype",
        "subscriptionid",
    }
)
"""Column names that no table may have, in lower case."""

TYPES = ("string", "int", "long", "real", "boolean", "dynamic", "datetime")

Columns = Mapping[str, str]
"""Column → type of one declared stream."""


@frozen
class Stored:
    """One row as it was taken: only declared columns, long values cut."""

    rule_id: str
    stream: str
    row: Mapping[str, Any]


@frozen
class Asked:
    """One request as it was on the wire. Header names in lower case; `size` is that of the body without gzip."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    size: int


@frozen
class Answer:
    """`fault`: "" · reset (cut without an answer) · hang (no answer in time)."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    fault: str = ""


@frozen
class Fault:
    """What befalls one request. `kind`:

    status: this answer of the service, nothing stored · html: the same from a gateway · redirect · echo: 502 with the
    token in its words · claims: 401 with a claims challenge · reset_before, hang_before: no answer, nothing stored ·
    reset_after, hang_after: stored, but no answer comes. `path`: of a request whose path holds this.
    """

    kind: str
    value: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    path: str = ""


def declared(columns: Columns) -> Columns:
    """A stream's columns as the service would let a rule declare them. Raises ValueError for what it refuses."""
    for name, kind in columns.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,44}", name) or name.casefold() in RESERVED:
            raise ValueError(f"column {name} is not allowed")
        if kind not in TYPES:
            raise ValueError(f"column {name}: there is no type {kind!r}")
    if columns.get("TimeGenerated") != "datetime" or len(columns) > 500:
        raise ValueError("a stream needs TimeGenerated as datetime, and has at most 500 columns")
    return dict(columns)


@define
class Service:
    """The endpoint. Fields may be changed at any time.

    `rules`: rule id → stream → columns; `grants`: token → the rules it may publish to; `load`: a status that every
    request gets, 0 = none; `weather`: what befalls a request when nothing is in `next`. `truncated` counts values cut
    without a word, `vanished` the bodies that were no array, `unheard` the rows stored though no answer came.
    """

    clock: Clock
    rules: dict[str, dict[str, Columns]]
    grants: dict[str, set[str]] = field(init=False)
    max_wire_bytes: int = 1_048_576
    max_plain_bytes: int = 1_048_576
    requests_per_minute: int = 12_000
    load: int = 0
    down: bool = False
    next: deque[Fault] = Factory(deque)
    weather: Callable[[], Fault | None] = lambda: None
    asked: list[Asked] = Factory(list)
    stored: list[Stored] = Factory(list)
    truncated: int = 0
    vanished: int = 0
    unheard: int = 0
    _recent: deque[datetime] = Factory(deque)

    def __attrs_post_init__(self) -> None:
        self.grants = {TOKEN: set(self.rules)}

    def ids(self, column: str = "EventId") -> list[str]:
        """The ids of what is stored, in order."""
        return [str(each.row.get(column)) for each in self.stored]

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What becomes of one request. Header names in lower case."""
        if self.down:
            return Answer(0, fault="reset")
        parts = urlsplit(url)
        plain = _plain(headers, body)
        query = dict(parse_qsl(parts.query))
        self.asked.append(Asked(method, parts.path, query, headers, body, len(plain or b"")))
        fault = next((each for each in self.next if each.path in parts.path), None)
        if fault is not None:
            self.next.remove(fault)
        elif not self.next:
            fault = self.weather()
        if fault is not None and not fault.kind.endswith("_after"):
            return _spoiled(fault, headers)
        if self.load:
            return refusal(self.load, "ServiceBusy", "try again later")
        before = len(self.stored)
        found = self._judged(method, parts.path, query, headers, body, plain)
        if fault is None:
            return found
        self.unheard += len(self.stored) - before
        return Answer(0, fault=fault.kind.removesuffix("_after"))

    def _judged(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        plain: bytes | None,
    ) -> Answer:
        route = re.fullmatch(r"/dataCollectionRules/([^/]+)/streams/([^/]+)", path)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.grants:
            challenge = 'Bearer realm="", authorization_uri="https://login.example/", error="invalid_token"'
            return refusal(401, "InvalidToken", "the token is not valid", (("WWW-Authenticate", challenge),))
        if method != "POST" or route is None or query.get("api-version") != API_VERSION:
            return refusal(404, "NotFound", "no such resource")
        rule_id, stream = unquote(route[1]), unquote(route[2])
        if rule_id not in self.rules:
            return refusal(404, "NotFound", f"Data collection rule with immutable Id '{rule_id}' not found.")
        if rule_id not in self.grants[token]:
            return refusal(403, "OperationFailed", "The authentication token does not have access to ingest data")
        if (wait_s := self._throttled()) is not None:
            return refusal(429, "TooManyRequests", "the rule's limit is reached", (("Retry-After", str(wait_s)),))
        if stream not in self.rules[rule_id]:
            return refusal(400, "InvalidStream", f"Data collection rule is not configured for stream '{stream}'.")
        if len(body) > self.max_wire_bytes or (plain is not None and len(plain) > self.max_plain_bytes):
            limit = min(self.max_wire_bytes, self.max_plain_bytes)
            return refusal(413, "ContentLengthLimitExceeded", f"Maximum allowed content length: {limit} bytes")
        if plain is None or headers.get("content-type", "").partition(";")[0] != "application/json":
            return refusal(400, "InvalidRequest", "the body is not what its headers say")
        return self._taken(rule_id, stream, plain)

    def _throttled(self) -> int | None:
        now = self.clock.now()
        while self._recent and self._recent[0] <= now - timedelta(minutes=1):
            self._recent.popleft()
        if len(self._recent) >= self.requests_per_minute:
            return int(60 - (now - self._recent[0]).total_seconds()) + 1
        self._recent.append(now)
        return None

    def _taken(self, rule_id: str, stream: str, plain: bytes) -> Answer:
        try:
            rows = json.loads(plain.decode("utf-8"), parse_constant=_no_constant)
        except ValueError:
            return refusal(400, "InvalidJson", "the body is not JSON")
        if not isinstance(rows, list):
            self.vanished += 1
            return Answer(204)
        columns = self.rules[rule_id][stream]
        for number, row in enumerate(rows):
            if wrong := _wrong(row, columns):
                return refusal(400, "InvalidRecord", f"record {number}: {wrong}")
        self.stored += [Stored(rule_id, stream, self._kept(row, columns)) for row in rows]
        return Answer(204)

    def _kept(self, row: Mapping[str, Any], columns: Columns) -> Mapping[str, Any]:
        kept = {}
        for name, value in row.items():
            if name not in columns:
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            octets = text.encode("utf-8", "replace")
            if len(octets) > FIELD_BYTES:
                self.truncated += 1
                kept[name] = octets[:FIELD_BYTES].decode("utf-8", "ignore")
            else:
                kept[name] = value
        return kept


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _plain(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """The body without gzip; None when it is not what the header says."""
    if headers.get("content-encoding", "") != "gzip":
        return None if headers.get("content-encoding") else body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return None


def _wrong(row: Any, columns: Columns) -> str:
    """What a row's schema has against it, or ""."""
    if not isinstance(row, dict):
        return "is no object"
    if not isinstance(row.get("TimeGenerated"), str):
        return "TimeGenerated is missing"
    for name, value in row.items():
        if name.casefold() in RESERVED:
            return f"column '{name}' is reserved"
        if value is not None and name in columns and not _fits(value, columns[name]):
            return f"column '{name}' is no {columns[name]}"
    return ""


def _fits(value: Any, kind: str) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind == "datetime":
        try:
            return isinstance(value, str) and value.endswith("Z") and bool(datetime.fromisoformat(value))
        except ValueError:
            return False
    return {
        "string": isinstance(value, str),
        "int": whole and abs(value) < 2**31,
        "long": whole and abs(value) < 2**63,
        "real": whole or isinstance(value, float),
        "boolean": isinstance(value, bool),
        "dynamic": True,
    }[kind]


def refusal(status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    """An error as the service words it."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Answer(
        status, body, (("Content-Type", "application/json"), ("x-ms-request-id", f"request-{status}"), *headers)
    )


_CLAIMS = 'Bearer error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ=="'


def _spoiled(fault: Fault, headers: Mapping[str, str]) -> Answer:
    if fault.kind in ("reset_before", "hang_before"):
        return Answer(0, fault=fault.kind.removesuffix("_before"))
    if fault.kind == "redirect":
        return Answer(307, headers=(("Location", "https://elsewhere.invalid/dataCollectionRules"),))
    if fault.kind == "claims":
        return refusal(401, "InsufficientClaims", "sign in again", (("WWW-Authenticate", _CLAIMS),))
    if fault.kind == "echo":
        return refusal(502, "BadGateway", f"Authorization: {headers.get('authorization')}")
    if fault.kind == "html":
        page = f"<!doctype html><html><body><h1>{fault.value}</h1></body></html>"
        return Answer(fault.value, page.encode(), (("Content-Type", "text/html"), *fault.headers))
    return refusal(fault.value, f"Code{fault.value}", "an answer of the test", fault.headers)


# ---------------------------------------------------------------------------------------------------------- credential


@define
class Credential:
    """What a sink signs in with: the first of `tokens` until it is told to forget it. Keeps what it was asked for."""

    tokens: list[str] = field(factory=lambda: [TOKEN], repr=False)
    expires_in_s: int = 3600
    scopes: list[str] = Factory(list)
    claims: list[str] = Factory(list)
    forgotten: int = 0
    closed: int = 0
    error: Exception | None = None
    others: "dict[str, Credential]" = Factory(dict)

    async def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        from azure.core.credentials import AccessTokenInfo  # noqa: PLC0415 - comes with the sink's extra

        if self.error is not None:
            raise self.error
        self.scopes += scopes
        if options and options.get("claims"):
            self.claims.append(options["claims"])
            self.forget(self.tokens[0])
        return AccessTokenInfo(self.tokens[0], 4_000_000_000 + self.expires_in_s)

    def of_directory(self, tenant_id: str) -> Self:
        """The same, with that directory's tokens in `others`."""
        return cast("Self", self.others[tenant_id])

    def forget(self, refused: str) -> None:
        self.forgotten += 1
        if len(self.tokens) > 1 and self.tokens[0] == refused:
            self.tokens.pop(0)

    async def close(self) -> None:
        self.closed += 1


# ----------------------------------------------------------------------------------------------------------- the way in


@define
class Wire:
    """A sink's transport (connector.net.http.Transport) to the service, without sockets. `closed` counts closings."""

    service: Service
    closed: int = 0

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = 0,
    ) -> Response:
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        found = self.service.answer(method, url, sent, body or b"")
        if found.fault == "hang":
            await self.service.clock.sleep(30.0 if timeout_s is None else timeout_s)
            raise Unavailable("the endpoint did not answer within 30 s", hint="Check network, proxy and firewall.")
        if found.fault == "reset":
            raise Unavailable("no connection to the endpoint", hint="Check network, proxy and firewall.")
        got = {name.lower(): value for name, value in found.headers}
        return Response(found.status, got, found.body, self.service.clock.now())

    async def close(self) -> None:
        self.closed += 1
