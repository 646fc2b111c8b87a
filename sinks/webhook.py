"""The webhook sink: HTTPS POST of whatever the mapping makes, one event a request or a batch, signed.

Signed as Standard Webhooks 1.0.0 says (https://github.com/standard-webhooks/standard-webhooks, spec): `webhook-id` is
the event's id and stays the same on every retry, `webhook-timestamp` is that of the attempt, `webhook-signature` holds
one HMAC-SHA256 for each secret, so that secrets can be rotated. Exactly the bytes sent are signed.

No buffer and no retry. Delivered means 2xx and nothing else; a redirect is never followed. 400, 413 and 422 may mean
this one event, or a receiver that is set up wrongly: an event is rejected only when others are taken, and never many in
a row.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from attrs import Factory, define, evolve, field, frozen

from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.formats import jsonl
from connector.formats.bodies import last_first, parts
from connector.formats.lines import octets
from connector.model import Receipt, Record
from connector.net.connect import open_client
from connector.net.http import Response, Wire, error_for, retry_after_s
from connector.options import LIVE, Init, Option, is_loopback

OPTIONS: Mapping[str, Option] = {
    **LIVE,
    "url": Option("url", required=True, secret=True, doc="Where to POST; by reference if it holds a secret."),
    "secret": Option(
        "secret",
        doc="Signs every request (Standard Webhooks): whsec_ and base64 of 24-64 bytes."
        " Two, newest first and apart by a space or line break, while receivers change over.",
    ),
    "authorization": Option("secret", doc="Authorization header of every request, such as `Bearer …`."),
    "authorization_header": Option(
        "str", default="Authorization", doc="The header that carries `authorization`, such as X-Routing-Key."
    ),
    "mode": Option(
        "enum",
        default="single",
        choices=("single", "batch"),
        doc="One event a request, or many: a JSON array, or lines.",
    ),
}
FORMAT = "cloudevents"
INIT = Init(
    key="url",
    example="https://receiver.example/secure-score",
    question="URL that takes the POST",
    entry="""\
name: receiver
kind: webhook
url: {address}
secret: {secret[webhook_secret]}   # signs every request
format: cloudevents             # cloudevents | ocsf""",
)

CLOUDEVENT, JSON, TEXT = "cloudevents", "json", "text"
CONTENT_TYPES: Mapping[tuple[str, bool], str] = {
    (CLOUDEVENT, False): "application/cloudevents+json",
    (CLOUDEVENT, True): "application/cloudevents-batch+json",
    (JSON, False): "application/json",
    (JSON, True): "application/json",
    (TEXT, False): "text/plain; charset=utf-8",
    (TEXT, True): "text/plain; charset=utf-8",
}
"""By kind of payload, and whether several stand in one body (CloudEvents 1.0.2 HTTP binding, JSON format)."""

SINGLE_RECORDS = 50
"""One batch of the delivery loop where each event is a request of its own: a settlement is written every so often."""
BATCH_RECORDS = 500
MAX_BODY_BYTES = 1_000_000
PREFIX = "whsec_"
SECRET_BYTES = (24, 64)
REFUSED_IN_A_ROW = 10
"""So many events refused with none taken in between are no bad events: the receiver is what is wrong."""
CONNECTIONS = 4
"""So many requests at a time, when several tenants are delivered side by side; one batch is sent in order."""
_MAX_ANSWER_BYTES = 64 * 1024  # nobody reads it
_MAY_BE_THE_EVENT = frozenset({400, 413, 422})

_HINTS = {
    400: "The receiver does not understand what it gets: check `format`, `mode` and its log.",
    401: "Check `authorization` and `secret`: the receiver does not know us.",
    403: "Check `authorization` and `secret`, and whether the receiver lets this machine in.",
    404: "There is nothing at this URL: correct `url`.",
    405: "The URL takes no POST: correct `url`.",
    407: "Correct the credentials in network.proxy.",
    410: "The receiver says that this endpoint is gone for good: correct `url`, or remove the sink.",
    413: "The receiver takes no request of this size: raise its limit, or use `mode: single`.",
    415: "The receiver does not take this content type: check `format` and `mode`.",
    422: "The receiver understands but refuses what it gets: check `format` and its log.",
}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, 5.6.2
_OUR_HEADERS = frozenset(
    {"content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection"}
)
_BUSY = "Heals by itself; if it lasts, look at the receiver's log."


# ------------------------------------------------------------------------------------------------------ configuration


@frozen
class Endpoint:
    """Where to and how. `secrets` are the raw keys, the newest first."""

    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    authorization: str = field(default="", repr=False)
    mode: str = "single"
    authorization_header: str = "Authorization"

    @property
    def place(self) -> str:
        """Scheme, host and port: a path or query may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def build(name: str, options: Mapping[str, Any], network: Any) -> "WebhookSink":
    """A sink from checked options (keys as in OPTIONS) and network settings (config.NetworkConfig); ConfigError."""
    problems = []
    keys: list[bytes] = []
    for text in (options.get("secret") or "").split():
        try:
            keys.append(signing_key(text))
        except ValueError as error:
            problems.append(f"secret: {error}")
    authorization = (options.get("authorization") or "").strip()
    if not (authorization.isascii() and authorization.isprintable()):
        problems.append("authorization: holds characters that no HTTP header can carry")
    header = options.get("authorization_header") or OPTIONS["authorization_header"].default
    if not _HEADER_NAME.fullmatch(header) or header.lower() in _OUR_HEADERS:
        problems.append(f"authorization_header: {header[:80]!r} cannot be the name of this header")
    if problem := _url_problem(options["url"]):  # a URL given by reference was not checked before
        problems.append(f"url: {problem}")
    if problems:
        raise ConfigError(problems)
    http = open_client(network, max_connections=CONNECTIONS)
    mode = options.get("mode") or OPTIONS["mode"].default
    endpoint = Endpoint(options["url"], tuple(keys), authorization, mode, header)
    return WebhookSink(name, endpoint, http, connections=CONNECTIONS)


def _url_problem(url: str) -> str:
    """Why nothing can be posted there, in words that never repeat it; "" for a good one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its words may hold the URL
        return "is not a URL"
    if parts.scheme not in ("https", "http") or not host or parts.username is not None:
        return "expected a URL such as https://host.example/path, without user and password"
    if parts.scheme == "http" and not is_loopback(host):
        return "plain http is allowed for loopback only: use https"
    return ""


def signing_key(text: str) -> bytes:
    """The key of a Standard Webhooks secret; `whsec_` may be missing. Raises ValueError, which never repeats it."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"expected {PREFIX} and base64; make one: {PREFIX}$(openssl rand -base64 32)") from error
    if not SECRET_BYTES[0] <= len(key) <= SECRET_BYTES[1]:
        raise ValueError(f"has {len(key)} bytes, the standard wants {SECRET_BYTES[0]} to {SECRET_BYTES[1]}")
    return key


# ------------------------------------------------------------------------------------------------- records to requests


@frozen
class Item:
    """One record as it stands in a body. `kind` is cloudevents, json or text."""

    event_id: str
    kind: str
    data: bytes = field(repr=False)


def item(record: Record) -> Item:
    """The bytes of one record. Raises ValueError with the reason why it cannot be sent."""
    payload = record.payload
    if not isinstance(payload, str):
        try:
            data = record.encoded or jsonl.dumps(dict(payload)).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from error
        return Item(record.event_id, CLOUDEVENT if "specversion" in payload else JSON, data)
    found = None
    if payload.startswith("{"):
        try:
            found = json.loads(payload)
        except (ValueError, RecursionError):
            found = None  # text that begins like JSON is text
    kind = TEXT if not isinstance(found, dict) else CLOUDEVENT if "specversion" in found else JSON
    return Item(record.event_id, kind, octets(payload))


def body(items: Sequence[Item], *, batch: bool) -> bytes:
    """The body of one request: the payload itself, a JSON array of payloads, or a line for each text."""
    if not batch:
        return items[0].data
    if items[0].kind == TEXT:
        return b"".join(each.data.replace(b"\r", b"\\r").replace(b"\n", b"\\n") + b"\n" for each in items)
    return b"[" + b",".join(each.data for each in items) + b"]"


def message_id(items: Sequence[Item], *, batch: bool) -> str:
    """`webhook-id`: the event's id; of a batch one that the same batch always has."""
    if not batch:
        return items[0].event_id
    return "batch_" + hashlib.sha256("\n".join(each.event_id for each in items).encode()).hexdigest()[:32]


def signature(keys: Sequence[bytes], message: str, timestamp: int, data: bytes) -> str:
    """`webhook-signature`: one for each key, over `id.timestamp.body`."""
    signed = f"{message}.{timestamp}.".encode() + data
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode('ascii')}" for digest in digests)


# ------------------------------------------------------------------------------------------------------------- sending


@define
class _Ledger:
    """What became of a batch. `refused` may be the events' fault or the receiver's; `fault` ended the batch early."""

    accepted: set[str] = Factory(set)
    rejected: dict[str, str] = Factory(dict)
    refused: dict[str, str] = Factory(dict)
    fault: SecureScoreError | None = None


class WebhookSink:
    """Posts records to one endpoint; see the module's text for what a receipt means here."""

    replay_window_s = 0.0
    max_bytes = MAX_BODY_BYTES

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        http: Wire,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        connections: int = 1,
    ) -> None:
        """`now` is the time of an attempt, aware; `connections` is how many requests `http` makes at a time."""
        self.name = name
        self.max_records = BATCH_RECORDS if endpoint.mode == "batch" else SINGLE_RECORDS
        self._endpoint = endpoint
        self._http = http
        self._now = now
        # Whoever waits for a connection waits here, where no time limit of a request runs: that is the receiver's.
        self._free = asyncio.Semaphore(connections)
        self._taken = False  # whether this endpoint ever took anything
        self._in_a_row = 0  # of all who send here: whoever has something taken proves that the endpoint works
        self._secret_words = _secret_words(endpoint)

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Post a batch, in order, until it is done or the receiver falters.

        Raises Unavailable (no answer, busy) or Denied (credentials, address, redirect, gone) when nothing was accepted
        and nothing rejected.
        """
        ledger = _Ledger()
        items = []
        for record in records:
            try:
                items.append(item(record))
            except ValueError as error:
                ledger.rejected[record.event_id] = str(error)
        if self._endpoint.mode == "batch":
            await self._deliver(
                [list(same) for _, same in groupby(items, key=lambda each: each.kind)], ledger, batch=True
            )
        else:
            await self._deliver([[each] for each in items], ledger, batch=False)
        if self._taken and self._in_a_row < REFUSED_IN_A_ROW:
            ledger.rejected |= ledger.refused
        elif ledger.refused and ledger.fault is None:
            hint = "Nothing was ever taken: check `format` and `mode`, and the receiver's log."
            ledger.fault = Unavailable(next(iter(ledger.refused.values())), hint=hint)
        if ledger.fault is not None and not ledger.accepted and not ledger.rejected:
            raise ledger.fault
        wish_s = ledger.fault.retry_after_s if isinstance(ledger.fault, Unavailable) else None
        return Receipt(frozenset(ledger.accepted), ledger.rejected, wish_s)

    async def probe(self) -> None:
        """Ask the endpoint for its OPTIONS: any answer of the receiver's own will do, for nothing is sent."""
        response = await self._http.request("OPTIONS", self._endpoint.url, headers=self._credentials())
        if response.status >= 500 or 300 <= response.status < 400 or response.status in (407, 410):
            raise self._error(response)

    async def close(self) -> None:
        """Close the connection; a later `send` opens a new one."""
        await self._http.close()

    async def _deliver(self, groups: Iterable[Sequence[Item]], ledger: _Ledger, *, batch: bool) -> None:
        """Post these, in order; one that is refused for what is in it is halved until the refused event stands alone.

        Where it may be the receiver, not the events, that is Unavailable, not Denied: other events tell, and only then
        the delivery loop goes on to offer those behind.
        """
        todo = deque(groups)
        while todo and ledger.fault is None:
            items = todo.popleft()
            try:
                response = await self._post(items, batch=batch)
            except (Unavailable, Denied) as error:
                ledger.fault = error
                return
            if 200 <= response.status < 300:
                ledger.accepted.update(each.event_id for each in items)
                ledger.rejected |= ledger.refused
                ledger.refused.clear()
                self._in_a_row = 0
                self._taken = True
            elif response.status not in _MAY_BE_THE_EVENT:
                ledger.fault = self._error(response)
            elif len(items) > 1:
                todo.extendleft(reversed(parts(items)))
            else:
                refusal = self._error(response)
                ledger.refused[items[0].event_id] = refusal.what
                self._in_a_row += 1
                if self._in_a_row == REFUSED_IN_A_ROW and todo:
                    last_first(todo)
                elif self._in_a_row >= REFUSED_IN_A_ROW:
                    what = f"{self._in_a_row} events in a row are refused, so it is not the events: {refusal.what}"
                    ledger.fault = Unavailable(what, hint=refusal.hint)

    async def _post(self, items: Sequence[Item], *, batch: bool) -> Response:
        data = body(items, batch=batch)
        message = message_id(items, batch=batch)
        async with self._free:
            return await self._request(data, message, CONTENT_TYPES[items[0].kind, batch])

    async def _request(self, data: bytes, message: str, content_type: str) -> Response:
        timestamp = int(self._now().timestamp())
        headers = {
            **self._credentials(),
            "Content-Type": content_type,
            "webhook-id": message,
            "webhook-timestamp": str(timestamp),
        }
        if self._endpoint.secrets:
            headers["webhook-signature"] = signature(self._endpoint.secrets, message, timestamp, data)
        return await self._http.request(
            "POST", self._endpoint.url, headers=headers, body=data, max_bytes=_MAX_ANSWER_BYTES
        )

    def _credentials(self) -> dict[str, str]:
        return (
            {self._endpoint.authorization_header: self._endpoint.authorization} if self._endpoint.authorization else {}
        )

    def _error(self, response: Response) -> SecureScoreError:
        """What an answer other than 2xx means, in the receiver's words, as far as these do not repeat our secrets."""
        error = error_for(evolve(response, secrets=self._secret_words), f"webhook {self._endpoint.place}")
        if response.status == 425 or isinstance(error, Unavailable):
            return Unavailable(error.what, retry_after_s(response.headers, response.at), _BUSY)
        return Denied(error.what, _HINTS.get(response.status) or error.hint)


def _secret_words(endpoint: Endpoint) -> tuple[str, ...]:
    """What no log may show, longest first: the credential, and the URL behind the host."""
    parts = urlsplit(endpoint.url)
    words = [endpoint.authorization, *endpoint.authorization.split()]
    words += [parts.path, parts.query, *parts.path.split("/"), *(v for _, v in parse_qsl(parts.query))]
    return tuple(sorted({word for word in words if len(word) >= 8}, key=len, reverse=True))
