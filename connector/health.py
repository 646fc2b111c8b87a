"""How the connector is doing: counters, the heartbeat, and /healthz, /readyz and /metrics on a port of its own.

Nothing here polls, sends or decides about events. Counts live in this process only; what must outlive it is in the
store. prometheus-client is imported by the first scrape.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web
from attrs import Factory, define, field, frozen

from connector import memory
from connector.clock import iso, parse_iso
from connector.config import Config
from connector.credentials import Credential, Expiry
from connector.errors import Conflict
from connector.events import Origin, stamp
from connector.explain import SeverityRules
from connector.http import Response
from connector.ids import event_id
from connector.model import Change, Receipt, Record
from connector.ports import Clock, Query, Sink, SinkStats, State, Stats, Store

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

COMMIT_TRIES = 5
MAX_REASON_CHARS = 300
LATENCY_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0)
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


# ---------------------------------------------------------------------------------------------------------- counting


@frozen
class TenantSeen:
    """What the latest poll of a tenant came to: `status` as in PollOutcome, `reason` "" when all is well."""

    status: str
    reason: str
    newest_day: str | None
    succeeded_at: datetime | None


@define
class Latency:
    """How long sends took: counts by bucket (LATENCY_BUCKETS_S, then all longer ones), and their sum in seconds."""

    buckets: list[int] = Factory(lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        place = next((n for n, bound in enumerate(LATENCY_BUCKETS_S) if seconds <= bound), len(LATENCY_BUCKETS_S))
        self.buckets[place] += 1
        self.sum_s += seconds


@define
class Board:
    """What this process has seen. One small entry a tenant; everything else is bounded by the configuration."""

    stale_after_s: float
    names: tuple[str, ...] = ()
    tenants: dict[str, TenantSeen] = Factory(dict)
    polls: dict[tuple[str, str], int] = Factory(dict)
    committed: int = 0
    sends: dict[tuple[str, str], int] = Factory(dict)
    latency: dict[str, Latency] = Factory(dict)
    answers: dict[int, int] = Factory(dict)
    reloads: dict[str, int] = Factory(dict)
    refused: str | None = None
    """Why the latest new configuration was refused, while the old one keeps running."""

    def polled(self, tenant: str, status: str, reason: str, newest_day: str | None, events: int, now: datetime) -> None:
        """A poll has ended."""
        was = self.tenants.get(tenant)
        well = status in ("ok", "unchanged")
        succeeded_at = now if well else was.succeeded_at if was else None
        newest = newest_day or (was.newest_day if was else None)
        if tenant in self.names:
            self.tenants[tenant] = TenantSeen(status, "" if well else reason, newest, succeeded_at)
        self.polls[status, reason] = self.polls.get((status, reason), 0) + 1
        self.committed += events

    def replace(self, names: Sequence[str]) -> None:
        """These tenants from now on; those that are gone leave no figures behind."""
        self.names = tuple(names)
        wanted = set(names)
        self.tenants = {name: seen for name, seen in self.tenants.items() if name in wanted}

    def states(self, now: datetime) -> dict[str, int]:
        """How many tenants are ok, stale (readable, but the feed stands still), failing, pending (not polled yet)."""
        counts = {"ok": 0, "stale": 0, "failing": 0, "pending": len(self.names) - len(self.tenants)}
        for seen in self.tenants.values():
            if seen.status == "failed":
                counts["failing"] += 1
            elif seen.newest_day and (now - parse_iso(seen.newest_day)).total_seconds() >= self.stale_after_s:
                counts["stale"] += 1
            else:
                counts["ok"] += 1
        return counts


@define
class Measured:
    """A sink with a watch in front of it: the same behaviour, counted."""

    inner: Sink
    board: Board
    seconds: Callable[[], float]
    name: str = field(init=False)
    max_records: int = field(init=False)
    max_bytes: int = field(init=False)
    replay_window_s: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.inner.name
        self.max_records, self.max_bytes = self.inner.max_records, self.inner.max_bytes
        self.replay_window_s = self.inner.replay_window_s

    async def send(self, records: Sequence[Record]) -> Receipt:
        began = self.seconds()
        outcome = "failed"
        try:
            receipt = await self.inner.send(records)
        except Exception as error:
            outcome = type(error).__name__.lower()
            raise
        else:
            outcome = "taken" if len(receipt.accepted) == len(records) else "partly"
            return receipt
        finally:
            self.board.sends[self.name, outcome] = self.board.sends.get((self.name, outcome), 0) + 1
            self.board.latency.setdefault(self.name, Latency()).add(self.seconds() - began)

    async def probe(self) -> None:
        await self.inner.probe()

    async def close(self) -> None:
        await self.inner.close()


@frozen
class Counted:
    """A transport that counts the answers by status: where 429 shows."""

    inner: Any
    board: Board

    async def request(self, method: str, url: str, **more: Any) -> Response:
        response: Response = await self.inner.request(method, url, **more)
        self.board.answers[response.status] = self.board.answers.get(response.status, 0) + 1
        return response


# ---------------------------------------------------------------------------------------------------------- heartbeat


def slot(now: datetime, interval_s: float) -> str:
    """The beginning of the slot that a moment lies in: the same for every process, whenever it started."""
    turns = (now - _EPOCH).total_seconds() // interval_s
    return iso(_EPOCH + timedelta(seconds=turns * interval_s))


def until_next_slot_s(now: datetime, interval_s: float) -> float:
    """Seconds until the next slot begins; never 0."""
    return interval_s - (now - _EPOCH).total_seconds() % interval_s


@define
class Heart:
    """Commits one `connector.heartbeat` a slot, under the connector's own scope (`key` in the store).

    `delivered` counts from `_since`: the latest heartbeat of this process, or its start; what an orderly stop left
    uncounted is added. After a crash it is missing, and `since` says so.
    """

    store: Store
    clock: Clock
    severity: SeverityRules
    interval_s: float
    instance: str
    key: str
    _since: str = ""
    _counted: Mapping[str, int] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self._since = iso(self.clock.now())

    async def beat(self, tenants: Mapping[str, int], delivered: Mapping[str, int]) -> bool:
        """Tell this slot's heartbeat unless it was told; whether it was told now. Raises StoreError.

        `delivered` is the total of each sink since the start of the process.
        """
        for _ in range(COMMIT_TRIES):
            now = self.clock.now()
            this = slot(now, self.interval_s)
            state = await self.store.load(self.key) or State()
            head = memory.head(state)
            # "Other than", not "later than": a clock that was ahead for a while must not silence us until then.
            if head.get("heartbeat") == this:
                return False
            origin = Origin(None, head.get("instance") or self.instance, source="connector")
            left = head.get("uncounted") or {"since": self._since, "delivered": {}}
            counted = self._sum(delivered, left["delivered"])
            change = heartbeat(this, origin.name, self.interval_s, left["since"], iso(now), tenants, counted)
            event = stamp(change, origin, iso(now), self.severity)
            values = {**head, "instance": origin.name, "heartbeat": this, "uncounted": None}
            try:
                await self.store.commit(self.key, memory.with_head(state, values), [event])
            except Conflict:
                continue  # another part of the connector told something at the same time
            self._since, self._counted = iso(now), dict(delivered)
            return True
        return False

    async def rest(self, delivered: Mapping[str, int]) -> None:
        """Before an orderly stop: leave what no heartbeat has told yet to the next process. Raises StoreError."""
        for _ in range(COMMIT_TRIES):
            state = await self.store.load(self.key)
            if state is None:
                return
            head = memory.head(state)
            left = head.get("uncounted") or {"since": self._since, "delivered": {}}
            uncounted = {"since": left["since"], "delivered": self._sum(delivered, left["delivered"])}
            try:
                await self.store.commit(self.key, memory.with_head(state, {**head, "uncounted": uncounted}), [])
            except Conflict:
                continue
            return

    def _sum(self, delivered: Mapping[str, int], left: Mapping[str, int]) -> dict[str, int]:
        names = sorted({*delivered, *left})
        return {n: delivered.get(n, 0) - self._counted.get(n, 0) + left.get(n, 0) for n in names}


def heartbeat(
    beat: str,
    instance: str,
    interval_s: float,
    since: str,
    until: str,
    tenants: Mapping[str, int],
    delivered: Mapping[str, int],
) -> Change:
    """The heartbeat of the slot that began at `beat`; `delivered` counts by sink, from `since` up to `until`."""
    counts = {state: n for state, n in tenants.items() if n or state != "pending"}
    words = f"{counts['ok']} tenants ok, {counts['stale']} stale, {counts['failing']} failing"
    data: dict[str, Any] = {
        "summary": f"Heartbeat: {words}",
        "instance": instance,
        "interval_s": int(interval_s),
        "since": since,
        "until": until,
        "tenants": counts,
        "delivered": dict(delivered),
    }
    return Change("connector.heartbeat", "connector", "", beat, "", data)


async def tell_new(store: Store, clock: Clock, severity: SeverityRules, instance: str, key: str) -> bool:
    """Commit the notice that the state is new, when it is: ids and history begin again. Raises StoreError, Conflict."""
    if await store.load(key) is not None or await store.tenants():
        return False
    origin, now = Origin(None, instance, source="connector"), iso(clock.now())
    data = {
        "summary": "The state is new: history is derived again and marked as backfilled",
        "reason": "state_new",
        "problem_id": event_id(origin.urn, "connector.problem", "state", "state_new", now),
        "first_seen": now,
        "repeat": 0,
        "detail": "no earlier state was found where the configuration points",
        "hint": "expected at the first start; otherwise restore the state from its backup before going on",
        "sink": None,
    }
    event = stamp(Change("connector.problem", "state", f"state_new#{now}", "0", "", data), origin, now, severity)
    await store.commit(key, memory.with_head(State(), {"instance": origin.name}), [event])
    return True


# ----------------------------------------------------------------------------------------------------------- overview


async def open_problems(store: Store, key: str) -> list[dict[str, Any]]:
    """The connector's own open problems (kept under `key`), oldest first, each with what was last said of it."""
    found = []
    for entry in memory.head(await store.load(key)).get("problems", {}).values():
        query = Query(types=(entry["type"],), subject=entry["subject"], newest_first=True, limit=1)
        told = await store.history(query)
        said: Mapping[str, Any] = told[0].data if told else {}
        row = {name: entry[name] for name in ("reason", "subject", "problem_id", "first_seen")}
        row.update({name: said.get(name) or None for name in ("summary", "detail", "hint")})
        found.append({**row, "sink": entry.get("sink")})
    return sorted(found, key=lambda p: (p["first_seen"], p["subject"]))


def overview(
    config: Config,
    heads: Mapping[str, Mapping[str, Any]],
    stats: Stats,
    now: datetime,
    problems: Sequence[Mapping[str, Any]],
    credentials: Sequence[Credential],
) -> dict[str, Any]:
    """{tenants: {name: {newest_day, …}}, sinks: {name: {state, backlog, …}}, problems: […], credentials: […], store}.

    `heads` are what is remembered of the tenants (memory.head), by name; `problems` those of the connector
    (open_problems). The document is a stable interface.
    """
    tenants = {}
    for tenant in config.tenants:
        head = heads.get(tenant.name, {})
        newest = head.get("newest")
        tenants[tenant.name] = {
            "newest_day": newest,
            "data_age_s": int((now - parse_iso(newest)).total_seconds()) if newest else None,
            "last_success": head.get("last_success"),
            "error": head.get("error"),
            "hint": head.get("hint") or None,
            "problems": sorted(p["reason"] for p in head.get("problems", {}).values()),
        }
    return {
        "tenants": tenants,
        "sinks": sink_rows(config, stats.sinks, problems),
        "problems": list(problems),
        "credentials": [
            {
                "credential": c.place,
                "kind": c.kind,
                "expires_at": iso(c.at) if c.at else None,
                "days_left": (c.at - now).days if c.at else None,
                "tenants": list(c.tenants),
                "sink": c.sink,
            }
            for c in credentials
        ],
        "store": {"events": stats.events, "bytes": stats.bytes},
    }


def sink_rows(
    config: Config, stats: Sequence[SinkStats], problems: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Each sink, configured or abandoned; `state`: the reason of its open problem, else new, ok, behind, abandoned."""
    troubled = {p["subject"].removeprefix("sink:"): p for p in problems if p["subject"].startswith("sink:")}
    rows: dict[str, dict[str, Any]] = {}
    for s in stats:
        problem = troubled.get(s.name, {})
        state = "abandoned" if s.abandoned else "behind" if s.backlog else "ok"
        rows[s.name] = {
            "state": state if s.abandoned else problem.get("reason", state),
            "backlog": s.backlog,
            "parked": s.parked,
            "last_success": s.last_success,
            "oldest_due": s.oldest_due,
            "error": problem.get("detail"),
            "hint": problem.get("hint"),
        }
    new = {"backlog": 0, "parked": 0, "last_success": None, "oldest_due": None, "error": None, "hint": None}
    for sink in config.sinks:
        rows.setdefault(sink.name, {"state": "new", **new})
    return rows


# ---------------------------------------------------------------------------------------------------------- endpoints


@frozen
class SinkFacts:
    """How one sink's loop stands: `state` is ok, unavailable, denied or untried; `delivered` by stream."""

    state: str
    error: str
    failures: int
    delivered: Mapping[str, int]


@frozen
class Facts:
    """Everything the endpoints tell, at one moment. `stalled` names loops that make no progress."""

    now: datetime
    stats: Stats | None
    max_bytes: int
    full: bool
    stopping: bool
    stalled: Sequence[str]
    sinks: Mapping[str, SinkFacts]
    expiries: Sequence[Expiry] = ()


def unready(board: Board, facts: Facts) -> list[str]:
    """Why no events can be expected to come in and go out now; [] when they can."""
    reasons = [f"loop {name} makes no progress" for name in facts.stalled]
    if facts.stopping:
        reasons.append("stopping")
    if facts.stats is None:
        reasons.append("the state cannot be read")
    if facts.full:
        reasons.append("the outbox is full: polling pauses")
    states = board.states(facts.now)
    if board.names and states["pending"] == len(board.names):
        reasons.append("no tenant was polled yet")
    if board.names and states["failing"] == len(board.names):
        why = ", ".join(sorted({seen.reason for seen in board.tenants.values()}))
        reasons.append(f"no tenant can be read ({why})")
    for name, sink in facts.sinks.items():
        if sink.state in ("unavailable", "denied"):
            reasons.append(f"sink {name} is {sink.state}: {sink.error}"[:MAX_REASON_CHARS])
    return reasons


def warnings(board: Board) -> list[str]:
    """What an operator should look at although all is running."""
    return [f"the new configuration was refused: {board.refused}"[:MAX_REASON_CHARS]] if board.refused else []


def metrics(board: Board, facts: Facts, version: str) -> bytes:
    """The text of /metrics. Names and units follow the conventions of Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - only a daemon is scraped
    from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)

    class Once:
        def collect(self) -> Iterator["Metric"]:
            return _families(board, facts, version)

    registry.register(Once())
    return generate_latest(registry)


def _families(board: Board, facts: Facts, version: str) -> Iterator["Metric"]:
    from prometheus_client.metrics_core import (  # noqa: PLC0415
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    def gauge(name: str, doc: str, labels: Sequence[str], values: Mapping[Any, float]) -> "Metric":
        family = GaugeMetricFamily(f"securescore_{name}", doc, labels=labels)
        for key, value in values.items():
            family.add_metric(key, value)
        return family

    def counter(name: str, doc: str, labels: Sequence[str], values: Mapping[Any, float]) -> "Metric":
        family = CounterMetricFamily(f"securescore_{name}", doc, labels=labels)
        for key, value in values.items():
            family.add_metric(key, value)
        return family

    now = facts.now
    yield gauge("build_info", "The version that is running.", ["version"], {(version,): 1})
    yield gauge("ready", "1 when /readyz answers 200.", [], {(): 0 if unready(board, facts) else 1})
    yield counter("polls", "Polls by outcome.", ["status", "reason"], {k: float(n) for k, n in board.polls.items()})
    yield counter("events_committed", "Events that tenants gave rise to.", [], {(): board.committed})
    yield gauge(
        "tenants", "Tenants by state.", ["state"], {(state,): float(n) for state, n in board.states(now).items()}
    )
    ages = {
        (name,): (now - parse_iso(seen.newest_day)).total_seconds()
        for name, seen in board.tenants.items()
        if seen.newest_day
    }
    yield gauge("tenant_data_age_seconds", "Time since the tenant's newest day began.", ["tenant"], ages)
    succeeded = {
        (name,): seen.succeeded_at.timestamp() for name, seen in board.tenants.items() if seen.succeeded_at is not None
    }
    yield gauge("tenant_last_success_timestamp_seconds", "The tenant's last complete poll.", ["tenant"], succeeded)
    failing = {(name,): float(seen.status == "failed") for name, seen in board.tenants.items()}
    yield gauge("tenant_failing", "1 when the tenant's latest poll read nothing.", ["tenant"], failing)
    yield counter(
        "http_responses",
        "Answers to reading and signing in, by HTTP status; 429 is throttling.",
        ["status"],
        {(str(status),): float(n) for status, n in board.answers.items()},
    )
    delivered = {(sink, stream): float(n) for sink, seen in facts.sinks.items() for stream, n in seen.delivered.items()}
    yield counter("sink_delivered_events", "Events a sink has accepted.", ["sink", "stream"], delivered)
    yield counter(
        "sink_sends", "Batches offered, by outcome.", ["sink", "outcome"], {k: float(n) for k, n in board.sends.items()}
    )
    states = {
        (name, state): float(seen.state == state)
        for name, seen in facts.sinks.items()
        for state in ("ok", "unavailable", "denied", "untried")
    }
    yield gauge("sink_state", "1 for the state the sink is in.", ["sink", "state"], states)
    failures = {(name,): float(seen.failures) for name, seen in facts.sinks.items()}
    yield gauge("sink_consecutive_failures", "Failed tries since the last success.", ["sink"], failures)
    latency = HistogramMetricFamily("securescore_sink_send_seconds", "How long sends took.", labels=["sink"])
    for name, seen_s in board.latency.items():
        total, buckets = 0, []
        for bound, count in zip((*map(str, LATENCY_BUCKETS_S), "+Inf"), seen_s.buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        latency.add_metric([name], buckets, seen_s.sum_s)
    yield latency
    yield counter(
        "config_reloads", "Reloads by outcome.", ["outcome"], {(k,): float(n) for k, n in board.reloads.items()}
    )
    expiry = {(e.place, e.kind): e.at.timestamp() for e in facts.expiries}
    yield gauge("credential_expiry_timestamp_seconds", "When a credential expires.", ["credential", "kind"], expiry)
    yield gauge("store_max_bytes", "The bound at which polling pauses.", [], {(): facts.max_bytes})
    if facts.stats is None:
        return
    yield gauge("store_bytes", "The size of the state.", [], {(): facts.stats.bytes})
    yield gauge("store_events", "Events kept.", [], {(): facts.stats.events})
    found = facts.stats.sinks
    yield gauge("sink_backlog_events", "Events that wait.", ["sink"], {(s.name,): s.backlog for s in found})
    yield gauge("sink_parked_events", "Events a sink refused for good.", ["sink"], {(s.name,): s.parked for s in found})
    oldest = {(s.name,): (now - parse_iso(s.oldest_due)).total_seconds() if s.oldest_due else 0.0 for s in found}
    yield gauge("sink_oldest_due_seconds", "How long the oldest waiting event has waited.", ["sink"], oldest)


def application(board: Board, gather: Callable[[], Awaitable[Facts]], version: str) -> web.Application:
    """The endpoints: GET only, nothing is read from a request but its path."""

    async def healthz(_: web.Request) -> web.Response:
        facts = await gather()
        body = {"status": "stalled" if facts.stalled else "ok", "stalled": list(facts.stalled)}
        return _json(body, 503 if facts.stalled else 200)

    async def readyz(_: web.Request) -> web.Response:
        reasons = unready(board, await gather())
        body = {"ready": not reasons, "reasons": reasons, "warnings": warnings(board)}
        return _json(body, 503 if reasons else 200)

    async def scrape(_: web.Request) -> web.Response:
        text = metrics(board, await gather(), version)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape)
    return app


def _json(body: Mapping[str, Any], status: int) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")
