"""How the connector is doing: counters, the heartbeat, and the facts that status and the endpoints tell.

Nothing here polls, sends or decides about events. Counts live in this process only; what must outlive it is in the
store. What HTTP makes of it is in endpoints.py.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import Factory, define, field, frozen

from connector.clock import iso, parse_iso
from connector.config.values import Config
from connector.errors import Conflict
from connector.ids import event_id
from connector.model import Change, Receipt, Record
from connector.net.http import Response
from connector.observe import memory
from connector.observe.events import Origin, stamp
from connector.observe.explain import SeverityRules
from connector.ports import Clock, Query, Sink, SinkStats, State, Stats, Store
from connector.signin.credentials import Credential, Expiry

COMMIT_TRIES = 5
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


# -------------------------------------------------------------------------------------------------------------- facts


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
