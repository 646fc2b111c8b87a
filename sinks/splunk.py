"""The Splunk sink: records to an HTTP Event Collector (HEC), with or without indexer acknowledgement.

No buffer and no retry. What it learns of an endpoint (channel and cookies of a token, the largest body it takes,
whether it takes gzip, how fast) lives in memory only and may be forgotten at any time.

Delivered means HTTP 2xx *and* code 0, 24 or 25; where the token has indexer acknowledgement, it means that the indexers
said so within the time we ask them. Whatever is not said to be delivered is left out of the receipt and comes again
with the same id. Collectors judge a batch as a whole and give a number for the event they dislike. How they count
differs by code and by collector, so the number only says where to cut first: an event is rejected, and an index is held
back, after it was refused alone. Where a fault concerns one token or one index, the records of others go on.
"""

import asyncio
import json
import logging
import re
import uuid
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from attrs import Factory, define, evolve, field, frozen

from connector.clock import SystemClock
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.formats import gzipped, hec, jsonl
from connector.formats.bodies import Numbers, last_first, packed, parts
from connector.model import Receipt, Record
from connector.net.connect import open_client
from connector.net.http import Response, Wire, error_for, is_html, printable, retry_after_s, said
from connector.options import Init, Option, is_loopback
from connector.ports import Clock

OPTIONS: Mapping[str, Option] = {
    "url": Option("url", required=True, doc="The collector, such as https://splunk.example:8088."),
    "token": Option("secret", required=True, secret=True, doc="Its HEC token."),
    "index": Option("str", doc="Index of events that name none; the token's default index unless stated."),
    "host": Option("str", doc="Host of events whose mapping gives none."),
    "source": Option("str", doc="Source of events whose mapping gives none."),
    "sourcetype": Option("str", doc="Sourcetype of events whose mapping gives none."),
    "ack": Option(
        "enum",
        default="auto",
        choices=("auto", "on", "off"),
        doc="Indexer acknowledgement: auto = if the token has it; on = refuse a token without it; off = never ask.",
    ),
    "gzip": Option("bool", default=True, doc="Compress; switched off by itself when the collector refuses it (415)."),
    "unrouted": Option(
        "enum",
        default="default",
        choices=("default", "reject"),
        doc="Events of a tenant without index or token of its own: default = the sink's, reject = park them.",
    ),
}

FORMAT = "splunk"
INIT = Init(
    key="url",
    example="https://splunk.example:8088",
    question="URL of the HTTP Event Collector",
    entry="""\
name: splunk
kind: splunk_hec
url: {address}
token: {secret[hec_token]}
index: main""",
)
ROUTES = ("index", "token")
"""What a tenant may have of its own here; see `build`."""

MAX_BODY_BYTES = 900_000
"""One request, uncompressed: Splunk Cloud refuses more than 1 MB."""
_MAX_ANSWER_BYTES = 64 * 1024  # a status and a few words; more would only fill the memory

_EVENT, _ACK, _HEALTH = "/services/collector/event", "/services/collector/ack", "/services/collector/health"
_TOKEN = re.compile(r"[!-~]+")
_LEAST_BODY_BYTES = 10_000  # however often a collector says 413
_LONE_REFUSALS = 20  # events refused one by one with none taken in between, before something else is blamed
_ACK_INTERVAL_S, _ACK_POLLS = 10.0, 30  # within the 600 s after which a collector forgets a channel
_LONGEST_PAUSE_S = 30.0
_AT_ONCE_S = 1.0
_MAX_COOKIES, _MAX_COOKIE_CHARS = 20, 4096  # the characters of all together: more, and servers refuse the head

log = logging.getLogger(__name__)


# ------------------------------------------------------------------------------------------------------ configuration


@frozen
class Route:
    """What one tenant has of its own."""

    index: str | None = None
    token: str | None = field(default=None, repr=False)


_UNROUTED = Route()


@frozen
class Collector:
    """Where to and how. `base_url` has no /services/collector; `routes` are by tenant name."""

    base_url: str
    token: str = field(repr=False)
    index: str | None = None
    host: str | None = None
    source: str | None = None
    sourcetype: str | None = None
    ack: str = "auto"  # auto | on | off
    gzip: bool = True
    unrouted: str = "default"  # default | reject
    routes: Mapping[str, Route] = field(factory=dict, repr=False)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token there is, the sink's own first."""
        return tuple(dict.fromkeys([self.token, *(r.token for r in self.routes.values() if r.token)]))


def build(
    name: str, options: Mapping[str, Any], network: Any, routes: Mapping[str, Mapping[str, str]] | None = None
) -> "HecSink":
    """A sink from checked options (keys as in OPTIONS) and network settings (config.NetworkConfig).

    `routes` gives, by tenant name, what a tenant has of its own (keys as in ROUTES, secrets resolved). Raises
    ConfigError.
    """
    given = {key: option.default for key, option in OPTIONS.items()} | dict(options)
    own = {tenant: Route(index=r.get("index"), token=r.get("token")) for tenant, r in (routes or {}).items()}
    problems = []
    try:
        base_url = root(given["url"])
    except ValueError as error:
        problems.append(f"sinks.{name}.url: {error}")
        base_url = ""
    unfit = "is not one word of visible ASCII: give the token alone, without the word Splunk"
    if not _TOKEN.fullmatch(given["token"]):
        problems.append(f"sinks.{name}.token: {unfit}")
    problems += [f"tenants.{t}.token: {unfit}" for t, r in own.items() if r.token and not _TOKEN.fullmatch(r.token)]
    if problems:
        raise ConfigError(problems)
    collector = Collector(base_url, routes=own, **{key: given[key] for key in OPTIONS if key != "url"})
    # One connection: requests follow each other anyway, and so a retry is surely on a fresh one.
    return HecSink(name, collector, open_client(network, max_connections=1), SystemClock())


def root(url: str) -> str:
    """The part of a collector's URL before /services/collector. Raises ValueError, which never repeats the URL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:  # its words may hold the URL
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.password is not None:
        raise ValueError("expected a URL such as https://splunk.example:8088")
    if parts.query or parts.fragment:
        raise ValueError("nothing may follow the path: a token in a URL beats the header and is logged in clear")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("plain http would show the token to everyone on the way: use https")
    path = parts.path.rstrip("/").removesuffix("/event")
    if "/services/collector/" in f"{path}/" and not path.endswith("/services/collector"):
        raise ValueError("only the event endpoint is used: end the URL at /services/collector, or before it")
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix('/services/collector')}"


# ------------------------------------------------------------------------------------------------ records to HEC events


@frozen
class Line:
    """One event as it stands in a body, and where it belongs: the token to send it with, the index it asks for."""

    event_id: str
    token: str = field(repr=False)
    index: str | None
    data: bytes = field(repr=False)


def line(collector: Collector, record: Record) -> Line:
    """The event of one record, completed from the collector's settings. Raises ValueError with the reason."""
    if record.encoded is not None and hec.is_whole(record.payload):
        token, index = _place(collector, record, None)
        return Line(record.event_id, token, index, hec.whole(record.encoded, index))
    found = hec.envelope(record.payload, record.time)
    token, index = _place(collector, record, found.pop("index", None))
    own = {"host": collector.host, "source": collector.source, "sourcetype": collector.sourcetype}
    found |= {key: value for key, value in own.items() if value and not found.get(key)}
    if index:
        found["index"] = index
    return Line(record.event_id, token, index, hec.encode(found, record.payload, record.encoded))


def _place(collector: Collector, record: Record, asked: str | None) -> tuple[str, str | None]:
    """Token and index of a record: the tenant's route first, then the index its payload asks for, then the sink's.

    With a token of its own a tenant never falls to the sink's index: that is somebody else's.
    """
    route = collector.routes.get(record.tenant, _UNROUTED) if record.tenant else _UNROUTED
    if record.tenant and collector.unrouted == "reject" and not (route.index or route.token or asked):
        raise ValueError(f"tenant {record.tenant} has no index and no token of its own, and `unrouted` is reject")
    index = route.index or asked or (None if route.token else collector.index)
    return route.token or collector.token, index


# ------------------------------------------------------------------------------------------------ answers of collectors


@frozen
class Reaction:
    """What a code means for us.

    taken: delivered · isolate: one event can never be accepted · index: nor for this index, until the operator acts ·
    no_ack: the token has no indexer acknowledgement · retry: time heals it · hold: the operator must act.
    """

    kind: str
    hint: str = ""


_BUSY = Reaction("retry", "Heals by itself; if it lasts, look at the collector's queues and indexers.")
_BAD = Reaction("isolate")
_NO_TOKEN = Reaction("hold", "A proxy or load balancer may drop the Authorization header: let it pass.")
_WRONG_TOKEN = Reaction("hold", "Give the token of an enabled HTTP Event Collector input of this Splunk.")
_DISABLED = Reaction("hold", "Enable the token in Splunk: Settings, Data inputs, HTTP Event Collector.")
_CHANNEL = Reaction("retry", "A proxy may drop or change the header X-Splunk-Request-Channel: let it pass.")

CODES: Mapping[int, Reaction] = {
    0: Reaction("taken"),
    1: _DISABLED,
    2: _NO_TOKEN,
    3: _NO_TOKEN,
    4: _WRONG_TOKEN,
    5: _BAD,
    6: _BAD,
    7: Reaction("index", "Create the index in Splunk, or allow it for this token."),
    8: _BUSY,
    9: _BUSY,
    10: _CHANNEL,
    11: _CHANNEL,
    12: _BAD,
    13: _BAD,
    14: Reaction("no_ack", "Enable indexer acknowledgement for this token, or set ack: auto."),
    15: _BAD,
    16: Reaction("hold", "Something on the way puts a token into the URL: the header alone must carry it."),
    17: Reaction("retry", "A load balancer may answer for the collector: check the URL."),
    18: _BUSY,
    19: _BUSY,
    20: _BUSY,
    21: _WRONG_TOKEN,
    22: _DISABLED,
    23: _BUSY,
    24: Reaction("taken"),
    25: Reaction("taken"),
    26: _BUSY,
    27: _BUSY,
}
"""Every code there is (Splunk: "Troubleshoot HTTP Event Collector"; 23-27 from inputs.conf.spec 10.2)."""

_NEARLY_FULL = frozenset({24, 25})
_HEALTHY = 17

_HINTS = {
    400: "Something before the collector did not understand the request: check the URL, or set gzip: off.",
    401: _NO_TOKEN.hint,
    403: _WRONG_TOKEN.hint,
    404: "Check host, port and path of the URL; a collector in a rolling restart also answers so.",
    405: "Check the path of the URL: it must lead to /services/collector.",
    407: "Correct the credentials in network.proxy.",
}


@frozen
class Verdict:
    """One answer, judged. `kind` as in Reaction, or smaller (413), or plain (415: without gzip).

    `fact` holds status, code and the server's words; `number` is what it calls the event it dislikes, `ack_id` the
    acknowledgement to ask for.
    """

    kind: str
    fact: str
    hint: str = ""
    code: int | None = None
    number: int | None = None
    ack_id: int | None = None
    retry_after_s: float | None = None

    def error(self) -> Denied | Unavailable:
        if self.kind == "retry":
            return Unavailable(self.fact, self.retry_after_s, self.hint)
        return Denied(self.fact, self.hint)


def judge(response: Response) -> Verdict:
    """What an answer means. Gateways answer too, in HTML and in JSON of their own: these are judged by status."""
    status, found = response.status, _json(response)
    code, text = found.get("code"), found.get("text")
    wish = retry_after_s(response.headers, response.at)
    fact = f"Splunk HEC: HTTP {status}"
    if status in (413, 415):
        kind, what = ("smaller", "too large") if status == 413 else ("plain", "not taken in this encoding")
        return Verdict(kind, f"{fact}, {what}", "Let the collector or the gateway before it take what is sent.")
    if type(code) is int and isinstance(text, str) and (reaction := CODES.get(code)):
        fact += f", code {code}: {said(response, text, 200)}"
        fits = 200 <= status < 300 if reaction.kind == "taken" else reaction.kind in ("retry", "hold") or status == 400
        if fits:
            numbers = (found.get("invalid-event-number"), found.get("ackId"))
            number, ack_id = (n if type(n) is int and n >= 0 else None for n in numbers)
            return Verdict(reaction.kind, fact, reaction.hint, code, number, ack_id, wish)
    error = error_for(response, "Splunk HEC")
    kind = "retry" if isinstance(error, Unavailable) else "hold"
    hint = _HINTS.get(status) or error.hint or "Check that the URL is a Splunk HTTP Event Collector."
    if kind == "retry" and status >= 300:
        hint = _BUSY.hint
    return Verdict(kind, error.what, hint, retry_after_s=wish)


def _json(response: Response) -> Mapping[str, Any]:
    if response.cut or is_html(response):
        return {}
    try:
        found = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


# -------------------------------------------------------------------------------------------------------------- sending


@define(eq=False)
class _Channel:
    """What one token has with one collector. Acknowledgements hold within a channel; cookies keep it on one node.

    `acks`: there is somebody to ask for them. `checked`: the token has them.
    """

    token: str = field(repr=False)
    guid: str = Factory(lambda: str(uuid.uuid4()))
    cookies: dict[str, str] = field(factory=dict, repr=False)
    acks: bool = True
    checked: bool = False

    def renew(self, guid: str) -> None:
        """Begin another one: the collector lost this one, or never knew it. Unless somebody did already."""
        if guid == self.guid:
            self.guid = str(uuid.uuid4())
            self.cookies.clear()

    def keep_cookies(self, response: Response) -> None:
        for cookie in response.headers.get("set-cookie", "").split(","):  # a date's second half is no pair
            pair = cookie.partition(";")[0].strip()
            name, equals, value = pair.partition("=")
            kept = {**self.cookies, name: value}
            fits = len(kept) <= _MAX_COOKIES and sum(map(len, (*kept, *kept.values()))) <= _MAX_COOKIE_CHARS
            if equals and fits and pair.isascii() and pair.isprintable():
                self.cookies = kept


@define
class _Ledger:
    """What became of the records of one batch.

    `waiting` wait for acknowledgement, by its number, in a channel by the name it had when they were taken.
    """

    accepted: set[str] = Factory(set)
    rejected: dict[str, str] = Factory(dict)
    waiting: dict[tuple[_Channel, str], dict[int, list[str]]] = Factory(dict)
    faults: list[SecureScoreError] = Factory(list)


class HecSink:
    """Sends batches to one collector; see the module's text for what a receipt means here."""

    max_records = 1000
    max_bytes = 2 * MAX_BODY_BYTES  # two requests: where a body ends need not be guessed by whoever reads events for it
    replay_window_s = 0.0

    def __init__(self, name: str, collector: Collector, http: Wire, clock: Clock) -> None:
        self.name = name
        self._collector = collector
        self._http = http
        self._clock = clock
        self._channels = {token: _Channel(token) for token in collector.tokens}
        self._gzip = collector.gzip
        self._max_body = MAX_BODY_BYTES
        self._pause_s = 0.0
        self._taken = False  # whether this collector ever took anything
        self._numbers = Numbers()
        self._warm = False  # whether the next request may meet a connection that was used before
        # There is one connection. Whoever waits for it waits here, where no time limit of a request runs; while one
        # waits for acknowledgement others send.
        self._line = asyncio.Lock()

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Deliver a batch; with acknowledgement this takes until the indexers answer, five minutes at most.

        Raises Unavailable (no answer, busy, not acknowledged) or Denied (token, index, TLS, URL) when nothing was
        accepted and nothing rejected.
        """
        if self._pause_s and records:
            await self._clock.sleep(self._pause_s)
        ledger = _Ledger()
        by_token = self._lines(records, ledger)
        async with self._line:
            for token, lines in by_token.items():
                try:
                    await self._deliver(self._channels[token], lines, ledger)
                except Denied as error:
                    ledger.faults.append(error)  # of this token: another customer has another one
                except Unavailable as error:
                    ledger.faults.append(error)
                    break
        await self._await_acks(ledger)
        if ledger.faults and not ledger.accepted and not ledger.rejected:
            # What time heals comes first: the operator's part shows when that is over.
            raise next((fault for fault in ledger.faults if isinstance(fault, Unavailable)), ledger.faults[0])
        for fault in ledger.faults:
            log.warning("%s: a part of a batch has to wait: %s", self.name, fault.what)
        wishes = [f.retry_after_s for f in ledger.faults if isinstance(f, Unavailable) and f.retry_after_s is not None]
        # With several tokens the wish concerns one of them: the others' customers need not wait.
        return Receipt(
            frozenset(ledger.accepted), ledger.rejected, max(wishes, default=None) if len(by_token) == 1 else None
        )

    async def probe(self) -> None:
        """Ask the collector for its health with every token, and for acknowledgements where these are a must."""
        for channel in self._channels.values():
            response = await self._ask("GET", _HEALTH, channel)
            verdict = judge(response)
            if not (200 <= response.status < 300 and verdict.code == _HEALTHY):
                raise verdict.error()
            if self._collector.ack == "on":
                await self._check_acks(channel)

    async def close(self) -> None:
        """Close the connections; a later `send` opens new ones."""
        self._warm = False
        await self._http.close()

    def _lines(self, records: Sequence[Record], ledger: _Ledger) -> Mapping[str, list[Line]]:
        """The records as lines by token, in order; those that cannot be sent are rejected."""
        by_token: dict[str, list[Line]] = {}
        for record in records:
            try:
                each = line(self._collector, record)
            except ValueError as error:
                ledger.rejected[record.event_id] = str(error)
            else:
                by_token.setdefault(each.token, []).append(each)
        return by_token

    async def _deliver(self, channel: _Channel, lines: Sequence[Line], ledger: _Ledger) -> None:
        """Post the lines of one token, in order, until each is taken, waiting, refused or held back by its index."""
        if self._collector.ack == "on" and not channel.checked:
            await self._check_acks(channel)
        todo: deque[Sequence[Line]] = deque(packed(lines, self._max_body))
        closed: set[str | None] = set()  # indexes that take nothing
        refused: dict[str, str] = {}  # events refused alone, with none taken since
        in_a_row = 0  # lone refusals, of events and of indexes, with none taken since
        self._numbers.forget()
        while todo:
            batch = [each for each in todo.popleft() if each.index not in closed]
            if not batch:
                continue
            verdict = await self._post(channel, batch)
            if verdict.kind in ("taken", "isolate", "index"):
                self._numbers.judged(batch, taken=verdict.kind == "taken")
            if verdict.kind == "taken":
                self._take(channel, verdict, batch, ledger)
                ledger.rejected |= refused
                refused, in_a_row = {}, 0
            elif verdict.kind == "smaller" and len(batch) > 1:
                size = sum(len(each.data) + 1 for each in batch)
                self._max_body = max(_LEAST_BODY_BYTES, min(self._max_body, size // 2))
                log.warning("%s: 413 for %d bytes, now sending at most %d", self.name, size, self._max_body)
                todo.extendleft(reversed(parts(batch)))
            elif verdict.kind == "index" and len({each.index for each in batch}) == 1:
                index = batch[0].index
                closed.add(index)
                what = f"{verdict.fact} ({printable(index, 100)})" if index else f"{verdict.fact} (the token's default)"
                ledger.faults.append(Denied(what, verdict.hint))
                in_a_row += 1
            elif verdict.kind in ("isolate", "index") and len(batch) > 1:
                todo.extendleft(reversed(self._numbers.parts(batch, verdict.number)))
            elif verdict.kind in ("isolate", "smaller"):
                refused[batch[0].event_id] = verdict.fact
                in_a_row += 1
            else:
                self._reject(refused, ledger)
                if verdict.kind == "no_ack" and self._collector.ack != "on":
                    verdict = evolve(verdict, kind="retry")  # we do not insist, so it may take the next one
                if verdict.code == 11:  # it dislikes this channel: the next attempt has another one
                    channel.renew(channel.guid)
                raise verdict.error()
            if in_a_row > _LONE_REFUSALS:
                break
            if in_a_row == _LONE_REFUSALS and todo:
                last_first(todo)
                in_a_row += 1  # once: its answer decides
        self._reject(refused, ledger)

    def _reject(self, refused: Mapping[str, str], ledger: _Ledger) -> None:
        """Reject events that were refused alone; where others would be too, something on the way is what is wrong.

        That is Unavailable, not Denied: other events tell, and only then the delivery loop offers those behind.
        """
        if self._taken and len(refused) <= _LONE_REFUSALS:
            ledger.rejected |= refused
        elif refused:
            what = f"every event is refused: {next(iter(refused.values()))}"
            hint = "Check what stands before the collector: it may drop bodies. Try gzip: off."
            ledger.faults.append(Unavailable(what, hint=hint))

    def _take(self, channel: _Channel, verdict: Verdict, batch: Sequence[Line], ledger: _Ledger) -> None:
        self._taken = True
        if verdict.code in _NEARLY_FULL:
            self._pause_s = min(_LONGEST_PAUSE_S, max(1.0, 2 * self._pause_s))
            log.info("%s: %s; waiting %g s before each batch", self.name, verdict.fact, self._pause_s)
        else:
            self._pause_s = self._pause_s / 2 if self._pause_s > 1.0 else 0.0
        ids = [each.event_id for each in batch]
        if self._collector.ack != "off" and channel.acks and verdict.ack_id is not None:
            # An id that is already waiting is from before a restart of the collector, which forgot it: that batch stays
            # unmentioned.
            ledger.waiting.setdefault((channel, channel.guid), {})[verdict.ack_id] = ids
        elif self._collector.ack == "on":
            channel.checked = False  # so that nothing is sent again before the token has it
            raise Denied(f"{self.name}: the token has no indexer acknowledgement", CODES[14].hint)
        else:
            ledger.accepted.update(ids)

    # ------------------------------------------------------------------------------------------------ acknowledgement

    async def _await_acks(self, ledger: _Ledger) -> None:
        """Ask until every waiting batch is acknowledged, or for as long as the collector remembers."""
        waiting = ledger.waiting
        for attempt in range(_ACK_POLLS):
            if not waiting:
                return
            await self._clock.sleep(min(_ACK_INTERVAL_S, 2.0**attempt))
            for place in list(waiting):
                try:
                    async with self._line:
                        known = await self._acknowledged(*place, waiting[place])
                except Unavailable:
                    continue
                except Denied as error:
                    ledger.faults.append(error)
                    del waiting[place]
                    continue
                for ack_id in known:
                    ledger.accepted.update(waiting[place].pop(ack_id))
                if not waiting[place]:
                    del waiting[place]
        for (channel, guid), batches in waiting.items():
            channel.renew(guid)
            count = sum(map(len, batches.values()))
            what = f"Splunk HEC: {count} events were taken but not acknowledged within {_ACK_POLLS} questions"
            hint = "They are sent again. If it lasts: look at the indexers, and let the load balancer be sticky."
            ledger.faults.append(Unavailable(what, hint=hint))

    async def _acknowledged(self, channel: _Channel, guid: str, asked: Collection[int]) -> list[int]:
        """Those of the ids that are indexed; all of them where it turns out that nobody can be asked.

        Raises Unavailable and Denied; the latter too when acknowledgements are a must and not to be had.
        """
        body = jsonl.dumps({"acks": sorted(asked)}).encode("ascii")
        response = await self._ask("POST", f"{_ACK}?channel={guid}", channel, body, guid=guid)
        acks = _json(response).get("acks")
        if 200 <= response.status < 300 and isinstance(acks, dict):
            return [ack_id for ack_id in asked if acks.get(str(ack_id)) is True]
        verdict = judge(response)
        if self._collector.ack == "auto" and (verdict.kind == "no_ack" or response.status in (404, 405)):
            log.warning("%s: nobody acknowledges (%s): what is taken counts as delivered", self.name, verdict.fact)
            channel.acks = verdict.kind == "no_ack"  # then the next answer has no number to ask for, or means it
            return list(asked)
        raise verdict.error()

    async def _check_acks(self, channel: _Channel) -> None:
        """Whether the token has acknowledgement, before anything is sent with it. Raises Denied and Unavailable."""
        await self._acknowledged(channel, channel.guid, [0])
        channel.checked = True

    # --------------------------------------------------------------------------------------------------------- requests

    async def _post(self, channel: _Channel, batch: Sequence[Line]) -> Verdict:
        """One body to the event endpoint, once more without gzip if that is what it wants."""
        body = b"\n".join([each.data for each in batch])
        while True:
            encoding = {"Content-Encoding": "gzip"} if self._gzip else {}
            sent = gzipped.compress(body) if self._gzip else body
            before = dict(channel.cookies)
            response = await self._ask("POST", _EVENT, channel, sent, encoding)
            verdict = judge(response)
            if verdict.kind == "plain" and self._gzip:
                log.warning("%s: %s; sending without gzip from now on", self.name, verdict.fact)
                self._gzip = False
                continue
            if verdict.code is None and response.status == 400 and channel.cookies != before:
                # headerEnforcementMode = block: refused for want of the cookie that came with the refusal, or for one
                return evolve(verdict, kind="retry")
            return verdict

    async def _ask(
        self,
        method: str,
        path: str,
        channel: _Channel,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        guid: str = "",
    ) -> Response:
        """One request; once more on a fresh connection if a kept one was closed under it."""
        sent = {
            "Authorization": f"Splunk {channel.token}",
            "X-Splunk-Request-Channel": guid or channel.guid,
            **({"Content-Type": "application/json"} if body is not None else {}),
            **(headers or {}),
        }
        if channel.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in channel.cookies.items())
        url = self._collector.base_url + path
        began = self._clock.now()
        try:
            response = await self._http.request(method, url, headers=sent, body=body, max_bytes=_MAX_ANSWER_BYTES)
        except Unavailable:
            closed = self._warm and (self._clock.now() - began).total_seconds() < _AT_ONCE_S
            self._warm = False
            if not closed:
                raise
            await self._http.close()
            response = await self._http.request(method, url, headers=sent, body=body, max_bytes=_MAX_ANSWER_BYTES)
        self._warm = True
        if response.status >= 400 and judge(response).code is None:
            channel.cookies.clear()  # refused on the way, and perhaps because of them
        channel.keep_cookies(response)
        return evolve(response, secrets=(channel.token,))  # whoever echoes the request brings it into no error text
