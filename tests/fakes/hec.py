"""A Splunk HTTP Event Collector in memory that behaves as the fact sheet says, and the way to it.

`Splunk` answers requests and remembers what it received and what it indexed. `Wire` is the transport of a sink that
goes there without sockets; loopback.py puts it behind one. A test drives it by its fields and by `next`: faults that
befall the coming requests, one each. No sink is known here.
"""

import gzip
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from attrs import Factory, define, evolve, frozen

from connector.errors import Unavailable
from connector.net.http import Response
from connector.ports import Clock

TOKEN = "c0ffee00-1111-2222-3333-444444444444"

TEXTS: Mapping[int, tuple[int, str]] = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    8: (500, "Internal server error"),
    9: (503, "Server is busy"),
    10: (400, "Data channel is missing"),
    11: (400, "Invalid data channel"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    14: (400, "ACK is disabled"),
    15: (400, "Error in handling indexed fields"),
    16: (400, "Query string authorization is not enabled"),
    17: (200, "HEC is healthy"),
    18: (503, "HEC is unhealthy, queues are full"),
    19: (503, "HEC is unhealthy, ack service unavailable"),
    20: (503, "HEC is unhealthy, queues are full, ack service unavailable"),
    21: (400, "Invalid token"),
    22: (400, "Token disabled"),
    23: (503, "Server is shutting down"),
    24: (200, "HEC queue approaching capacity"),
    25: (200, "ACK channel approaching capacity"),
    26: (429, "HEC queue at capacity"),
    27: (429, "ACK channel at capacity"),
}
"""Code → HTTP status and text."""

NUMBERS: Mapping[str, Callable[[int, int], int | None]] = {
    "as reported": lambda code, at: at + 1 if code == 7 else 0,
    "from 0": lambda _code, at: at,
    "from 1": lambda _code, at: at + 1,
    "constant 0": lambda _code, _at: 0,
    "constant 1": lambda _code, _at: 1,
    "absent": lambda _code, _at: None,
    "out of range": lambda _code, at: at + 1_000_000,
    "one behind": lambda _code, at: at + 2,
}
"""What it calls `invalid-event-number`, from the code and the place (from 0) of the first event it dislikes.

Nobody documents how it counts. Public threads show 1 with code 7 for the only event of a request, and 0 with code 6
wherever the bad event stood: "as reported". Look-alikes and balancers answer what they like.
"""

CHANNEL_IDLE_S = 600.0
_HTML = {413: "Your request was too large.", 415: "Unsupported Media Type", 400: "Bad Request", 404: "Not Found"}


@define
class Token:
    """An HEC input. `indexes` None = all that exist."""

    enabled: bool = True
    index: str = "main"
    indexes: frozenset[str] | None = None
    ack: bool = False


@frozen
class Stored:
    """One event as it was taken, with the token it came by."""

    token: str
    index: str
    time: str
    event: Any
    host: str | None = None
    source: str | None = None
    sourcetype: str | None = None
    fields: Mapping[str, Any] = Factory(dict)


@frozen
class Asked:
    """One request as it was on the wire. Header names in lower case; `body` as sent, `size` without gzip."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    size: int


@frozen
class Answer:
    """`fault`: "" · reset (cut without an answer) · hang (no answer in time) · cut (half an answer)."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    fault: str = ""


@frozen
class Fault:
    """What befalls one request. `kind`:

    code: this HEC answer, nothing stored · html: this status as a web page, nothing stored · redirect · echo: 502 with
    the request's head, as debugging proxies send it · reset_before, hang_before: no answer, nothing stored ·
    reset_after, hang_after, cut_after: stored, but no whole answer comes · restart: the collector starts anew, then
    answers · restart_after: it answers, then starts anew.
    `path` narrows it to requests whose path ends so; others pass it by.
    """

    kind: str
    value: int = 0
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@define
class _Channel:
    """Of one token: numbers given out, what is not indexed yet, what is indexed and not asked for yet."""

    touched: datetime
    next_id: int = 0
    pending: dict[int, tuple[datetime, list[Stored]]] = Factory(dict)
    done: set[int] = Factory(set)


class _Number(float):
    """A JSON number that remembers how it was written."""

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


_JSON = (("content-type", "application/json"),)
_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@define
class Splunk:
    """One collector. With `nodes` > 1 a load balancer stands before it, which keeps a client on one node by cookie."""

    clock: Clock
    tokens: dict[str, Token] = Factory(lambda: {TOKEN: Token()})
    indexes: set[str] = Factory(lambda: {"main"})
    max_content_length: int = 838_860_800
    max_event_bytes: int = 5_000_000
    takes_gzip: bool = True
    load: int = 0  # 0, or the code it answers in every answer: 9, 23, 24, 25, 26, 27 (and 18-20 to health)
    acks_after_s: float = 3.0  # how long indexing takes
    prefix_indexed: bool = False  # whether events before a bad one are kept (unknown of the real one)
    numbering: str = "as reported"  # a key of NUMBERS
    refuses: Callable[[Any], int] = lambda _event: 0  # code for an event of the test's choice, 0 = fine
    nodes: int = 1
    wants_cookie: bool = False  # headerEnforcementMode = block
    query_token_allowed: bool = False
    has_ack_endpoint: bool = True
    next: deque[Fault] = Factory(deque)
    down: bool = False
    breaks_after: int | None = None  # keeps so many events of a body, then the connection breaks
    received: list[Stored] = Factory(list)  # in order of arrival
    asked: list[Asked] = Factory(list)
    restarts: int = 0
    _indexed: list[Stored] = Factory(list)
    _channels: list[dict[tuple[str, str], _Channel]] = Factory(lambda: [{} for _ in range(8)])
    _turn: int = 0

    # --------------------------------------------------------------------------------------------------- for the test

    @property
    def indexed(self) -> list[Stored]:
        """What can be searched now. Without acknowledgement that is everything received."""
        self._index()
        return self._indexed

    def restart(self) -> None:
        """Forget every channel and all that was not indexed yet."""
        self._index()
        self.restarts += 1
        for channels in self._channels:
            channels.clear()

    def posts(self) -> list[Asked]:
        """The requests to the event endpoint."""
        return [each for each in self.asked if each.path.endswith("/services/collector/event")]

    # --------------------------------------------------------------------------------------------------------- answers

    def answer(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request; header names in lower case."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        plain, encoding_known = _unpacked(headers, body)
        size = len(body if plain is None else plain)
        self.asked.append(Asked(method, parts.path, query, dict(headers), body, size))
        if self.down:
            return Answer(fault="reset")
        node, cookies = self._node(headers)
        fault = self._fault(parts.path)
        if fault is not None and (early := self._before(fault, headers)) is not None:
            return early
        found = self._answer(node, method, parts.path, query, headers, len(body), plain, encoding_known)
        found = evolve(found, headers=found.headers + cookies)
        if fault is not None and fault.kind == "restart_after":
            self.restart()
        if fault is not None and fault.kind.endswith("_after"):
            return evolve(found, fault={"reset": "reset", "hang": "hang", "cut": "cut"}.get(fault.kind[:-6], ""))
        return found

    def _fault(self, path: str) -> Fault | None:
        found = next((fault for fault in self.next if path.endswith(fault.path)), None)
        if found is not None:
            self.next.remove(found)
        return found

    def _before(self, fault: Fault, headers: Mapping[str, str]) -> Answer | None:
        if fault.kind == "code":
            return _hec(fault.value, headers=fault.headers)
        if fault.kind == "html":
            return _html(fault.value, fault.headers)
        if fault.kind == "echo":
            return Answer(502, json.dumps(dict(headers)).encode(), _JSON)
        if fault.kind == "redirect":
            return Answer(302, b"", (("location", "https://elsewhere.invalid/services/collector/event"),))
        if fault.kind in ("reset_before", "hang_before"):
            return Answer(fault=fault.kind.removesuffix("_before"))
        if fault.kind == "restart":
            self.restart()
        return None

    def _node(self, headers: Mapping[str, str]) -> tuple[int, tuple[tuple[str, str], ...]]:
        """The node a request reaches, and the cookies that lead there again."""
        if self.nodes == 1 and not self.wants_cookie:
            return 0, ()
        sent = dict(part.strip().partition("=")[::2] for part in headers.get("cookie", "").split(";"))
        if sent.get("AWSALB", "").isdigit():
            return int(sent["AWSALB"]) % self.nodes, ()
        self._turn = (self._turn + 1) % self.nodes
        rest = f"={self._turn}; Expires=Mon, 30 Nov 2026 08:00:00 GMT; Path=/; SameSite=None; Secure"
        return self._turn, (("set-cookie", f"AWSALB{rest}"), ("set-cookie", f"AWSALBCORS{rest}"))

    def _answer(
        self,
        node: int,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        content_length: int,
        body: bytes | None,
        encoding_known: bool,
    ) -> Answer:
        if self.wants_cookie and "awsalb" not in headers.get("cookie", "").lower():
            return _html(400)
        if path.endswith("/services/collector/health"):
            return self._health(headers)
        if path.endswith("/services/collector/ack") and self.has_ack_endpoint:
            endpoint = "ack"
        elif path.endswith(("/services/collector/event", "/services/collector")):
            endpoint = "event"
        else:
            return _html(404)
        if method != "POST":
            return Answer(405, b'{"text":"The requested URL was not found on this server.","code":404}')
        if "token" in query and not self.query_token_allowed:
            return _hec(16)
        token, refusal = self._token(headers)
        if token is None:
            return _hec(refusal)
        if endpoint == "ack":
            return self._ack(node, token, query, headers, body)
        if not encoding_known or (not self.takes_gzip and "content-encoding" in headers):
            return _html(415)
        if content_length > self.max_content_length or (body is not None and len(body) > self.max_content_length):
            return _html(413)
        if self.load in (9, 23, 26, 27):
            return _hec(self.load)
        if body is None:
            return _html(400)
        return self._take(node, token, headers, body)

    def _token(self, headers: Mapping[str, str]) -> tuple[str | None, int]:
        value = headers.get("authorization")
        if value is None:
            return None, 2
        kind, _, token = value.partition(" ")
        if kind != "Splunk" or not token:
            return None, 3
        if token not in self.tokens:
            return None, 4
        return (token, 0) if self.tokens[token].enabled else (None, 1)

    def _health(self, headers: Mapping[str, str]) -> Answer:
        if self.load in (9, 23, 26, 27):
            return _hec({9: 18, 26: 18, 27: 19}.get(self.load, self.load))
        if self.load in (18, 19, 20):
            return _hec(self.load)
        if "authorization" in headers:
            token, refusal = self._token(headers)
            if token is None:
                return _hec(22 if refusal == 1 else 21)
        return _hec(17)

    def _channel(self, node: int, token: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str | int:
        """The channel's GUID, or the code against it."""
        guid = headers.get("x-splunk-request-channel") or query.get("channel", "")
        return 10 if not guid else guid if _GUID.fullmatch(guid) else 11

    def _ack(
        self, node: int, token: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        if not self.tokens[token].ack:
            return _hec(14)
        guid = self._channel(node, token, query, headers)
        if isinstance(guid, int):
            return _hec(guid)
        try:
            ids = json.loads(body or b"")["acks"]
        except (ValueError, KeyError, TypeError):
            return _hec(6)
        self._index()
        channel = self._channels[node].get((token, guid))
        found = {str(ack_id): channel is not None and ack_id in channel.done for ack_id in ids}
        if channel is not None:
            channel.touched = self.clock.now()
            channel.done -= {ack_id for ack_id in ids if found[str(ack_id)]}  # told once, then forgotten
        return Answer(200, json.dumps({"acks": found}).encode(), _JSON)

    def _take(self, node: int, token: str, headers: Mapping[str, str], body: bytes) -> Answer:
        guid = self._channel(node, token, {}, headers)
        wants_ack = self.tokens[token].ack
        if isinstance(guid, int) and (wants_ack or guid == 11):
            return _hec(guid)
        text = body.decode("utf-8", "replace")
        if not text.strip():
            return _hec(5)
        taken: list[Stored] = []
        code, at, number = 0, 0, 0
        while code == 0 and (at := _skip(text, at)) < len(text):
            try:
                found, end = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError):
                code = 6
                break
            code = 6 if end - at > self.max_event_bytes else self._judge(token, found)
            if code == 0:
                taken.append(self._stored(token, found))
                number, at = number + 1, end
        if self.breaks_after is not None:
            self.received += taken[: self.breaks_after]
            self._indexed += taken[: self.breaks_after]
            return Answer(fault="reset")
        if code:
            if self.prefix_indexed:
                self.received += taken
                self._indexed += taken
            return _hec(code, NUMBERS[self.numbering](code, number))
        self.received += taken
        load = self.load if self.load in (24, 25) else 0
        if not wants_ack or isinstance(guid, int):
            self._indexed += taken
            return _hec(load)
        channel = self._channels[node].setdefault((token, guid), _Channel(self.clock.now()))
        channel.touched = self.clock.now()
        ack_id, channel.next_id = channel.next_id, channel.next_id + 1
        channel.pending[ack_id] = (self.clock.now(), taken)
        return _hec(load, ack_id=ack_id)

    def _judge(self, token: str, found: Any) -> int:
        if not isinstance(found, dict):
            return 6
        if "event" not in found:
            return 12
        if found["event"] in ("", None, {}, []):
            return 13
        time = found.get("time", "0")
        written = time.text if isinstance(time, _Number) else time
        if not isinstance(written, str) or not re.fullmatch(r"\d+(\.\d+)?", written):
            return 15
        fields = found.get("fields", {})
        if not isinstance(fields, dict) or any(isinstance(value, dict) for value in fields.values()):
            return 15
        index = found.get("index", self.tokens[token].index)
        allowed = self.tokens[token].indexes
        if index not in self.indexes or (allowed is not None and index not in allowed):
            return 7
        return self.refuses(found["event"])

    def _stored(self, token: str, found: dict[str, Any]) -> Stored:
        time = found.get("time", "")
        return Stored(
            token=token,
            index=found.get("index", self.tokens[token].index),
            time=time.text if isinstance(time, _Number) else time,
            event=found["event"],
            host=found.get("host"),
            source=found.get("source"),
            sourcetype=found.get("sourcetype"),
            fields=found.get("fields", {}),
        )

    def _index(self) -> None:
        """Let time do its work: what is old enough is indexed, channels left alone are dropped."""
        now = self.clock.now()
        for channels in self._channels:
            for channel in channels.values():
                for ack_id, (since, events) in list(channel.pending.items()):
                    if (now - since).total_seconds() >= self.acks_after_s:
                        self._indexed += events
                        channel.done.add(ack_id)
                        del channel.pending[ack_id]
            idle = [k for k, c in channels.items() if (now - c.touched).total_seconds() > CHANNEL_IDLE_S]
            for key in idle:
                del channels[key]


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _unpacked(headers: Mapping[str, str], body: bytes) -> tuple[bytes | None, bool]:
    """The body without gzip, None when it is damaged; and whether its encoding is known at all."""
    encoding = headers.get("content-encoding", "identity")
    if encoding == "identity":
        return body, True
    if encoding != "gzip":
        return None, False
    try:
        return gzip.decompress(body), True
    except (OSError, EOFError, zlib.error):
        return None, True


def _hec(
    code: int, number: int | None = None, ack_id: int | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    status, text = TEXTS[code]
    body: dict[str, Any] = {"text": text, "code": code}
    if number is not None:
        body["invalid-event-number"] = number
    if ack_id is not None:
        body["ackId"] = ack_id
    return Answer(status, json.dumps(body).encode(), _JSON + headers)


def _html(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    page = f"<!doctype html><html><body><h1>{_HTML.get(status, status)}</h1></body></html>"
    return Answer(status, page.encode(), (("content-type", "text/html"), *headers))


# ----------------------------------------------------------------------------------------------------------- the way in


@define
class Wire:
    """A sink's transport (connector.net.http.Transport) to a collector, without sockets. `closed` counts closings."""

    splunk: Splunk
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
        found = self.splunk.answer(method, url, sent, body or b"")
        if found.fault == "hang":
            await self.splunk.clock.sleep(30.0 if timeout_s is None else timeout_s)
            raise Unavailable("the collector did not answer within 30 s", hint="Check network, proxy and firewall.")
        if found.fault == "reset":
            raise Unavailable("no connection to the collector", hint="Check network, proxy and firewall.")
        half = found.fault == "cut"
        content = found.body[: len(found.body) // 2] if half else found.body
        got: dict[str, str] = {}
        for name, value in found.headers:
            got[name] = f"{got[name]}, {value}" if name in got else value
        return Response(found.status, got, content, self.splunk.clock.now(), "truncated" if half else "")

    async def close(self) -> None:
        self.closed += 1
