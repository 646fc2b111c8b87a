"""The Sentinel sink: records as rows of custom tables, through the Logs Ingestion API of Azure Monitor.

No buffer and no retry. What it learns (which streams ever took a row) lives in memory only and may be forgotten at any
time.

Microsoft's client signs, addresses and challenges; it gets our own exactly sized, gzipped chunks, one attempt each,
over our one HTTP transport, and its opinion of the answer is not asked. Delivered means 204, nothing else; then the
service has accepted rows, and what a rule's transformation makes of them shows in its own table DCRLogErrors only. A
chunk is one outcome. One that is refused as bad is halved until the bad row stands alone, and that is rejected with the
service's words, provided that its stream ever took a row and goes on to: otherwise it is the stream that is wrong, and
everything waits. A fault of one customer's rule leaves the others alone.
"""

import asyncio
import io
import logging
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from attrs import Factory, define, evolve, field, frozen

from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.formats import gzipped, ingestion
from connector.formats.bodies import last_first, parts
from connector.model import STREAMS, Receipt, Record
from connector.net.connect import open_client
from connector.net.http import (
    MAX_RETRY_AFTER_S,
    USER_AGENT,
    Response,
    Transport,
    Wire,
    error_for,
    retry_after_s,
    said,
)
from connector.options import Init, Option

OPTIONS: Mapping[str, Option] = {
    "endpoint": Option(
        "url", required=True, doc="Logs ingestion endpoint: that of the rule itself (kind Direct), or of a DCE."
    ),
    "rule_id": Option("str", required=True, doc="Immutable id of the data collection rule: dcr-…"),
    "auth": Option("auth", required=True, doc="Who may publish to the rule; managed_identity inside Azure."),
    "streams": Option(
        "map",
        {
            "score": "Custom-SecureScoreDaily_CL",
            "inventory": "Custom-SecureScoreInventory_CL",
            "change": "Custom-SecureScoreChange_CL",
            "health": "Custom-SecureScoreHealth_CL",
        },
        choices=STREAMS,
        doc="Which streams it gets, and the stream of the rule for each.",
    ),
    "rule_resource_id": Option(
        "str", doc="Azure resource id of the rule: `check` then compares its columns with ours (needs the role Reader)."
    ),
    "unrouted": Option(
        "enum",
        default="default",
        choices=("default", "reject"),
        doc="Events of a tenant without a rule of its own: default = the sink's rule, reject = park them.",
    ),
}

FORMAT = "sentinel"
INIT = Init(
    key="endpoint",
    example="https://example.ingest.monitor.azure.com",
    question="logs ingestion endpoint",
    entry="""\
name: sentinel
kind: sentinel
endpoint: {address}
rule_id: dcr-00000000000000000000000000000000   # <-- immutable id of the data collection rule
auth:
  kind: client_secret           # or managed_identity, on Azure
  tenant_id: {tenant_id}   # the workspace's directory
  client_id: {client_id}
  client_secret: {secret[client_secret]}""",
)
ROUTES = ("endpoint", "rule_id", "rule_tenant_id")
"""What a tenant may have of its own here; see `build`."""

_RULE_ID = re.compile(r"dcr-[A-Za-z0-9-]{1,80}")
_STREAM = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
_ONE_DIRECTORY = frozenset({"managed_identity", "device_code", "token"})
_MAX_ANSWER_BYTES = 64 * 1024  # an error and a few words; more would only fill the memory
_LEAST_BODY_BYTES = 10_000  # what calls less than this too large (413) is broken, and no row is at fault
ENDPOINTS_AT_ONCE = 8
"""To so many endpoints one batch is sent at a time: one that hangs delays few others of the same batch."""
_LONE_REFUSALS = 20  # rows refused one by one with none taken in between, before the stream itself is blamed
_GZIP_LEVEL = 1  # 27:1 against 32:1 at level 6, for a third of the CPU

log = logging.getLogger(__name__)


class Credential(Protocol):
    """What azure-core asks for tokens, and how it is told that one was refused (`AzureCredential`)."""

    async def get_token_info(self, *scopes: str, options: Any = None) -> Any: ...

    def forget(self, refused: str) -> None: ...

    def of_directory(self, tenant_id: str) -> Self: ...

    async def close(self) -> None: ...


# ------------------------------------------------------------------------------------------------------ configuration


@frozen
class Rule:
    """One data collection rule, the endpoint it is reached by, and the directory to sign in to ("" = the sink's)."""

    endpoint: str
    rule_id: str
    directory: str = ""


@frozen
class Rules:
    """Where to: the sink's own rule, and by tenant name the rule a tenant has of its own.

    `streams` gives the rule's stream for each of ours. `unrouted`: default | reject.
    """

    own: Rule
    streams: Mapping[str, str]
    routes: Mapping[str, Rule] = Factory(dict)
    unrouted: str = "default"


def build(
    name: str,
    options: Mapping[str, Any],
    network: Any,
    routes: Mapping[str, Mapping[str, str]] | None = None,
    credential: Credential | None = None,
) -> "SentinelSink":
    """A sink from checked options (keys as in OPTIONS) and network settings (config.NetworkConfig).

    `routes` gives, by tenant name, what a tenant has of its own (keys as in ROUTES). Without a `credential`, that of
    `options["auth"]` is used; the sink closes it. Raises ConfigError, also when the extra is not installed.
    """
    given = {key: option.default for key, option in OPTIONS.items()} | dict(options)
    rules = _rules(name, given, routes or {})
    _library()
    if credential is None:
        from connector.net.clouds import cloud_of_ingestion  # noqa: PLC0415
        from connector.signin.tokens import azure_credential  # noqa: PLC0415 - brings MSAL's threads along

        credential = azure_credential(given["auth"], cloud_of_ingestion(rules.own.endpoint), network)
    return SentinelSink(name, rules, open_client(network), credential, deadline_s=3 * network.timeout_s)


def _rules(name: str, given: Mapping[str, Any], routes: Mapping[str, Mapping[str, str]]) -> Rules:
    problems = []

    def rule(endpoint: str, rule_id: str, place: str, directory: str = "") -> Rule:
        try:
            endpoint = root(endpoint)
        except ValueError as error:
            problems.append(f"{place}.endpoint: {error}")
        if not _RULE_ID.fullmatch(rule_id):
            problems.append(f"{place}.rule_id: expected the immutable id of the rule: dcr- and 32 hexadecimal digits")
        if directory and getattr(given.get("auth"), "kind", "") in _ONE_DIRECTORY:
            problems.append(f"{place}.rule_tenant_id: an auth of kind {given['auth'].kind} has one directory only")
        return Rule(endpoint, rule_id, directory)

    own = rule(given["endpoint"], given["rule_id"], f"sinks.{name}")
    found = {}
    for tenant, of_tenant in routes.items():
        if of_tenant.get("rule_id"):
            endpoint = of_tenant.get("endpoint") or given["endpoint"]
            directory = of_tenant.get("rule_tenant_id") or ""
            found[tenant] = rule(endpoint, of_tenant["rule_id"], f"tenants.{tenant}", directory)
        else:
            problems += [
                f"tenants.{tenant}.{key}: needs the rule_id behind it, or it would get another's rule"
                for key in ("endpoint", "rule_tenant_id")
                if of_tenant.get(key)
            ]
    problems += [
        f"sinks.{name}.streams.{stream}: expected the name of a stream of the rule, such as Custom-SecureScoreDaily_CL"
        for stream, target in given["streams"].items()
        if not _STREAM.fullmatch(target)
    ]
    if problems:
        raise ConfigError(problems)
    return Rules(own, given["streams"], found, given["unrouted"])


def root(endpoint: str) -> str:
    """The endpoint as scheme, host and port. Raises ValueError."""
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("expected an https URL such as https://….ingest.monitor.azure.com")
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError("nothing may follow the host: rule and stream are added here")
    return f"https://{parts.netloc}"


def scope(endpoint: str) -> str:
    """Whom a token for this endpoint is for. Source: Azure Monitor, "Logs Ingestion API", authentication."""
    host = urlsplit(endpoint).hostname or ""
    cloud = next((end for end in ("us", "cn") if host.endswith(f".azure.{end}")), "com")
    return f"https://monitor.azure.{cloud}/.default"


def _library() -> Any:
    try:
        from azure.monitor.ingestion import aio  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ConfigError(
            ["kind sentinel needs the package azure-monitor-ingestion"],
            "pip install 'secure-score-connector[sentinel]'",
        ) from None
    return aio


# ------------------------------------------------------------------------------------------------ records to rows


@frozen
class Place:
    """One stream of one rule: what a call is addressed to."""

    rule: Rule
    stream: str


@frozen
class Line:
    """One row."""

    event_id: str
    data: bytes = field(repr=False)


def place(rules: Rules, tenant: str, stream: str) -> Place:
    """Where rows of a tenant (by name, "" = the connector's own) and stream go. Raises ValueError with the reason."""
    own = rules.routes.get(tenant) if tenant else None
    if own is None and tenant and rules.unrouted == "reject":
        raise ValueError(f"tenant {tenant} has no rule of its own, and `unrouted` is reject")
    if stream not in rules.streams:
        raise ValueError(f"`streams` names no stream of the rule for {stream}")
    return Place(own or rules.own, rules.streams[stream])


# -------------------------------------------------------------------------------------------- answers of the service


@frozen
class Verdict:
    """One answer, judged, with the service's words.

    taken: delivered · isolate: a row can never be accepted · smaller: too large · token: a new token may help ·
    retry: time heals it · hold: the operator must act.
    """

    kind: str
    fact: str = ""
    hint: str = ""
    retry_after_s: float | None = None

    def error(self) -> Denied | Unavailable:
        if self.kind == "retry":
            return _Busy(self.fact, self.retry_after_s, self.hint)
        return Denied(self.fact, self.hint)


class _Busy(Unavailable):
    """The endpoint answered, but not now: other rules behind it may be well."""


_TAKEN = Verdict("taken")

_KINDS: Mapping[int, tuple[str, str]] = {
    200: ("retry", "Something on the way answers for the endpoint: check its address, and proxies that inspect TLS."),
    202: ("retry", "Something on the way answers for the endpoint: check its address, and proxies that inspect TLS."),
    400: ("isolate", "Compare the rule's stream, its columns and their types with the shipped mapping sentinel.yaml."),
    401: ("token", "Check the credential, and that its directory is that of the rule's subscription."),
    403: (
        "hold",
        "Give the identity the role Monitoring Metrics Publisher on the rule. A new assignment may take half an hour.",
    ),
    404: ("hold", "Check endpoint, rule_id (the immutable id, dcr-…) and the names under `streams`."),
    413: ("smaller", "A gateway on the way limits request sizes."),
}
_BUSY = "Heals by itself; if it lasts, look at the service health of Azure Monitor and the limits of the rule."


def judge(response: Response) -> Verdict:
    """What an answer means, by status; gateways answer too, in HTML."""
    if response.status == 204:
        return _TAKEN
    error = error_for(response, "Logs Ingestion")
    request_id = said(response, response.headers.get("x-ms-request-id", ""), 64)
    fact = error.what + (f" [x-ms-request-id {request_id}]" if request_id else "")
    kind, hint = _KINDS.get(response.status, ("", ""))
    if response.status == 400 and "(InvalidStream" in fact:
        return Verdict("hold", fact, "Check the names under `streams`, and the streams of the rule.")
    if isinstance(error, Unavailable):
        return Verdict("retry", fact, hint or _BUSY, _wish_s(response))
    return Verdict(kind or "hold", fact, hint or error.hint)


def _wish_s(response: Response) -> float | None:
    """`Retry-After`, or what Azure's own services say in milliseconds, whichever asks for more."""
    in_ms = [response.headers.get(name, "").strip() for name in ("retry-after-ms", "x-ms-retry-after-ms")]
    wishes = [min(int(wish) / 1000, MAX_RETRY_AFTER_S) for wish in in_ms if re.fullmatch(r"[0-9]{1,12}", wish)]
    wish_s = retry_after_s(response.headers, response.at)
    return max([*wishes, *([] if wish_s is None else [wish_s])], default=None)


# ------------------------------------------------------------------------------------------------ Microsoft's client


@frozen
class _Answer:
    """An answer as far as azure-core may know it: it finds challenges here, and nothing that it would act upon."""

    received: Response
    token: str = field(default="", repr=False)
    reason: str = ""
    content_type: str | None = None

    @property
    def status_code(self) -> int:
        return self.received.status

    @property
    def headers(self) -> Mapping[str, str]:
        challenge = self.received.headers.get("www-authenticate")
        return {"WWW-Authenticate": challenge} if challenge else {}

    def text(self, _encoding: str | None = None) -> str:
        return ""


class _Pipe:
    """azure-core's transport (AsyncHttpTransport) over ours, whose errors pass through it as they are."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    async def send(self, request: Any, **_options: Any) -> _Answer:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        secret = token.encode()
        response = await self._http.request(
            request.method,
            request.url,
            headers=dict(request.headers),
            body=request.content.getvalue(),
            max_bytes=_MAX_ANSWER_BYTES,
        )
        # Whoever echoes the request must not bring the token into an error text.
        body = response.body.replace(secret, b"(token)") if secret else response.body
        return _Answer(evolve(response, body=body), token)

    async def open(self) -> None:
        """Ours opens by itself."""

    async def close(self) -> None:
        """Ours is closed by the sink: all endpoints share it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return None


def _client(endpoint: str, http: Transport, credential: Any) -> Any:
    """A client for one endpoint that sends once: no retries, no redirects, no log lines of its own."""
    from azure.core.pipeline import policies  # noqa: PLC0415 - comes with the extra

    return _library().LogsIngestionClient(
        endpoint,
        credential,
        transport=_Pipe(http),
        policies=[
            policies.RequestIdPolicy(),
            policies.HeadersPolicy(),
            policies.UserAgentPolicy(USER_AGENT, user_agent_use_env=False),
            policies.AsyncBearerTokenCredentialPolicy(credential, scope(endpoint)),
        ],
    )


# -------------------------------------------------------------------------------------------------------------- sending


@define
class _Ledger:
    """What became of the records of one batch."""

    accepted: set[str] = Factory(set)
    rejected: dict[str, str] = Factory(dict)
    faults: list[SecureScoreError] = Factory(list)


class SentinelSink:
    """Sends batches to data collection rules; see the module's text for what a receipt means here."""

    max_records = 1000
    max_bytes = 4 * ingestion.MAX_BODY_BYTES
    replay_window_s = 0.0

    def __init__(
        self,
        name: str,
        rules: Rules,
        http: Wire,
        credential: Credential,
        deadline_s: float = 90.0,
        gzip_level: int = _GZIP_LEVEL,
    ) -> None:
        """`deadline_s` bounds one call with all its signing in; `http` bounds each request."""
        self.name = name
        self._rules = rules
        self._http = http
        self._credential = credential
        self._deadline_s = deadline_s
        self._gzip_level = gzip_level
        self._credentials: dict[str, Credential] = {"": credential}
        self._clients: dict[tuple[str, str], Any] = {}
        self._proven: set[Place] = set()  # what ever took a row
        self._closed = False

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Deliver a batch: one call or more for each stream of each rule, in order.

        Raises Unavailable or Denied (the first fault there was) when nothing was accepted and nothing rejected.
        """
        ledger = _Ledger()
        by_place = self._lines(records, ledger)
        by_endpoint: dict[str, list[Place]] = {}
        for at in by_place:
            by_endpoint.setdefault(at.rule.endpoint, []).append(at)
        free = asyncio.Semaphore(ENDPOINTS_AT_ONCE)

        async def one(places: Sequence[Place]) -> _Ledger:
            async with free:
                return await self._deliver_at({at: by_place[at] for at in places})

        async with asyncio.TaskGroup() as tasks:
            each = [tasks.create_task(one(places)) for places in by_endpoint.values()]
        for found in (task.result() for task in each):
            ledger.accepted |= found.accepted
            ledger.rejected |= found.rejected
            ledger.faults += found.faults
        if ledger.faults and not ledger.accepted and not ledger.rejected:
            raise ledger.faults[0]
        for fault in ledger.faults:
            log.warning("%s: a part of a batch has to wait: %s", self.name, fault.what)
        wishes = [f.retry_after_s for f in ledger.faults if isinstance(f, Unavailable) and f.retry_after_s is not None]
        # With several rules the wish concerns one of them: the others' customers need not wait.
        alone = len({at.rule for at in by_place}) == 1
        return Receipt(frozenset(ledger.accepted), ledger.rejected, max(wishes, default=None) if alone else None)

    async def probe(self) -> None:
        """Post an empty array to every stream of every rule: identity, role, rule and stream are checked, no row sent.

        Raises like `send`. Whether the service calls an empty array good (204) or bad (400) is not documented; both
        come after those checks. A stream that the rule lacks is a 400 that says so.
        """
        for rule in dict.fromkeys([self._rules.own, *self._rules.routes.values()]):
            for stream in self._rules.streams.values():
                verdict = await self._post(Place(rule, stream), [])
                if verdict.kind not in ("taken", "isolate"):
                    raise verdict.error()

    async def close(self) -> None:
        """Close the connections and the credential, for good: a later `send` is Unavailable."""
        self._closed = True
        self._clients.clear()
        await self._http.close()
        await self._credential.close()

    def _lines(self, records: Iterable[Record], ledger: _Ledger) -> Mapping[Place, list[Line]]:
        """The rows by place, in order; records that have none are rejected."""
        by_place: dict[Place, list[Line]] = {}
        known: dict[tuple[str, str], list[Line]] = {}
        for record in records:
            whose = (record.tenant, record.stream)
            try:
                if whose not in known:
                    known[whose] = by_place.setdefault(place(self._rules, *whose), [])
                known[whose].append(Line(record.event_id, ingestion.row(record.payload, encoded=record.encoded)))
            except ValueError as error:
                ledger.rejected[record.event_id] = str(error)
        return by_place

    async def _deliver_at(self, by_place: Mapping[Place, Sequence[Line]]) -> _Ledger:
        """What goes to one endpoint, place by place."""
        ledger = _Ledger()
        busy: set[Rule] = set()
        for at, lines in by_place.items():
            if at.rule in busy:
                continue
            try:
                await self._deliver(at, lines, ledger)
            except Denied as error:
                ledger.faults.append(error)  # of this stream: another one, or another customer's, may be well
            except _Busy as error:
                ledger.faults.append(error)  # of this rule: it has limits of its own
                busy.add(at.rule)
            except Unavailable as error:
                ledger.faults.append(error)
                break
        return ledger

    async def _deliver(self, at: Place, lines: Sequence[Line], ledger: _Ledger) -> None:
        """Post the rows of one stream, in order, until each is taken or refused. Raises for a fault of the whole."""
        todo: deque[Sequence[Line]] = deque(ingestion.packed(lines, ingestion.MAX_BODY_BYTES))
        refused: dict[str, Verdict] = {}
        while todo:
            batch = todo.popleft()
            verdict = await self._post(at, batch)
            if verdict.kind == "taken":
                self._proven.add(at)
                ledger.accepted.update(each.event_id for each in batch)
                self._reject(at, refused, ledger)
                refused = {}
            elif verdict.kind in ("isolate", "smaller") and len(batch) > 1:
                todo.extendleft(reversed(parts(batch)))
            elif verdict.kind == "smaller" and len(batch[0].data) < _LEAST_BODY_BYTES:
                self._reject(at, refused, ledger)
                raise Unavailable(f"{verdict.fact}, for {len(batch[0].data)} bytes", hint=verdict.hint)
            elif verdict.kind in ("isolate", "smaller"):
                refused[batch[0].event_id] = verdict
                if len(refused) == _LONE_REFUSALS and todo:
                    last_first(todo)
                elif len(refused) > _LONE_REFUSALS:
                    break
            else:
                self._reject(at, refused, ledger)
                raise verdict.error()
        self._reject(at, refused, ledger)

    def _reject(self, at: Place, refused: Mapping[str, Verdict], ledger: _Ledger) -> None:
        """Rows refused alone are rejected; where nothing ever went through, or nothing does any more, the stream waits.

        That is Unavailable, not Denied: whether rows or stream are wrong is told by other rows, and only then the
        delivery loop goes on to offer those behind.
        """
        if refused and (at not in self._proven or len(refused) > _LONE_REFUSALS):
            first = next(iter(refused.values()))
            taken = "takes no row any more" if at in self._proven else "took no row yet"
            what = f"{at.stream} {taken} and refuses: {first.fact}"
            ledger.faults.append(Unavailable(what, hint=first.hint))
            return
        ledger.rejected.update({event_id: verdict.fact for event_id, verdict in refused.items()})

    async def _post(self, at: Place, batch: Sequence[Line]) -> Verdict:
        """One chunk, once more with a new token if that is what is wrong. Raises Unavailable and Denied."""
        chunk = gzipped.compress(ingestion.body(batch), self._gzip_level)  # some milliseconds at most
        verdict = await self._upload(at, chunk)
        if verdict.kind == "token":
            verdict = await self._upload(at, chunk)
        return verdict

    def _credential_of(self, directory: str) -> Credential:
        if directory not in self._credentials:
            self._credentials[directory] = self._credential.of_directory(directory)
        return self._credentials[directory]

    async def _upload(self, at: Place, chunk: bytes) -> Verdict:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError  # noqa: PLC0415

        if self._closed:
            raise Unavailable(f"the sink {self.name} is closed", hint="Start the connector again.")
        whose = (at.rule.endpoint, at.rule.directory)
        if whose not in self._clients:
            self._clients[whose] = _client(at.rule.endpoint, self._http, self._credential_of(at.rule.directory))
        client = self._clients[whose]
        try:
            async with asyncio.timeout(self._deadline_s):
                await client.upload(rule_id=at.rule.rule_id, stream_name=at.stream, logs=io.BytesIO(chunk))
        except TimeoutError:
            what = f"{at.rule.endpoint} and the sign-in took longer than {self._deadline_s:g} s"
            raise Unavailable(what, hint="Check network, proxy and firewall.") from None
        except HttpResponseError as error:
            if isinstance(answer := error.response, _Answer):
                verdict = judge(answer.received)
                if verdict.kind == "token":
                    self._credential_of(at.rule.directory).forget(answer.token)
                return verdict
            what = f"Logs Ingestion: the sign-in failed ({type(error).__name__})"
            if isinstance(error, ClientAuthenticationError):
                raise Denied(what, _KINDS[401][1]) from None
            raise Unavailable(what, hint=_BUSY) from None
        except AzureError as error:
            raise Unavailable(f"Logs Ingestion: the client failed ({type(error).__name__})", hint=_BUSY) from None
        return _TAKEN
