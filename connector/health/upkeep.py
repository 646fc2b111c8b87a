"""What the connector notices about itself: sinks that fail or stand still, the disk bound, history past its time.

Told as `connector.problem` and `connector.recovered` of the connector's own scope, through the other sinks. What is
open is remembered in the store as the state of tenant "", so that a problem outlives restarts and its id stays the
same. Nothing here sends or polls; whoever does is told whether polling must pause.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import define, frozen

from connector.clock import iso, parse_iso
from connector.errors import Conflict, StoreError, TenantDamaged
from connector.health.state_faults import flaw_faults, gone_sinks, shed_fault
from connector.observe import memory
from connector.observe.events import Origin, stamp
from connector.observe.severity import SeverityRules
from connector.ports import Clock, Flaw, Query, SinkStats, State, Stats, Store
from connector.problems import Fault, advance
from connector.signin.credentials import ExpiryWatch

log = logging.getLogger("securescore.upkeep")

UNAVAILABLE_AFTER_S = 900.0
"""How long a sink may fail before that is a problem; a refusal that the operator must lift is one at once."""
FILLING, NO_LONGER_FILLING = 0.80, 0.75
FULL, NO_LONGER_FULL = 1.00, 0.95
"""Shares of `state.max_bytes`. Each state ends somewhat below where it began, or it would flap."""
ROOMY = 0.70
"""Where deleting settled history ends that began because the state was filling."""
PURGE_EVERY = timedelta(hours=6)
SHED_IS_NEWS = timedelta(days=1)
"""How long history that gave way for the bound stays an open problem, after the last time."""
DAYS_LOOKED_AT = 50
PURGE_WHEN_FILLING = timedelta(minutes=10)
COMMIT_TRIES = 5

FLAWS = frozenset({"state_damaged", "cursor_ahead", "state_restored"})
"""Reasons after which `once` does not end well: something is lost, or comes twice."""

CONNECTOR = ""
"""The tenant id under which the connector's own state is kept."""


@frozen
class SinkHealth:
    """How one sink stands: `state` is ok, unavailable, denied or untried; `stuck` are ids that it keeps refusing.

    `warning`: what it took last did not reach everybody it is meant for.
    """

    sink: str
    state: str
    error: str = ""
    hint: str = ""
    stuck: tuple[str, ...] = ()
    warning: str = ""


@frozen
class Seen:
    """What a look came to: whether polling must pause, and how many events it told."""

    full: bool
    events: int = 0


async def _none() -> Sequence[Fault]:
    return ()


@define
class Upkeep:
    """Looks after the outbox. `instance` names this connector in its events until the state has a name of its own."""

    store: Store
    clock: Clock
    severity: SeverityRules
    max_bytes: int
    keep_days: int
    instance: str
    expiries: ExpiryWatch | None = None
    more: Callable[[Mapping[str, Any]], Sequence[Fault]] = lambda _: ()
    """Further faults of the connector's own scope, given what is open."""
    names: Callable[[], Mapping[str, str]] = dict
    """What the tenants are called, by id."""
    strangers: Callable[[], Awaitable[Sequence[Fault]]] = _none
    """Faults of tenants that are remembered and not configured."""
    _purged_at: datetime | None = None
    _shed: Mapping[str, Any] | None = None

    async def look(self, sinks: Sequence[SinkHealth], *, purge: bool = False) -> Seen:
        """Purge when it is time (or asked for), measure, and tell what is new. Raises StoreError.

        At the disk bound the store may refuse even our own words; then they wait, and the look still counts.
        """
        now = self.clock.now()
        stats = await self._measure(now, purge=purge)
        try:
            return await self._tell(sinks, stats, now)
        except StoreError as error:
            if stats.bytes < FULL * self.max_bytes:
                raise
            log.error("outbox.full", extra={"error": error.what, "hint": error.hint})  # noqa: TRY400 - a fact, no bug
            return Seen(full=True)

    async def _measure(self, now: datetime, *, purge: bool) -> Stats:
        stats = await self.store.stats()
        if self._purged_at is None or self._purged_at > now:
            self._purged_at = now
        age = now - self._purged_at
        filling = stats.bytes >= FILLING * self.max_bytes
        if purge or age >= PURGE_EVERY or (filling and (age >= PURGE_WHEN_FILLING or age == timedelta(0))):
            self._purged_at = now
            purged = await self.store.purge(await self._horizon(now))
            if purged:
                log.info("outbox.purged", extra={"events": purged})
            stats = await self.store.stats()
        if stats.bytes >= FILLING * self.max_bytes:
            stats = await self._make_room(stats, now)
        return stats

    async def _horizon(self, now: datetime) -> str:
        """Before when history is past its time. Counted from the newest known day when the clock is further: a wrong
        clock must not take what a right one would keep.
        """
        days = await self.store.history(Query(types=("score.observed",), newest_first=True, limit=DAYS_LOOKED_AT))
        newest = max((str(event.data["day"]) for event in days if event.data.get("day")), default=None)
        if newest is not None:
            now = min(now, parse_iso(newest) + timedelta(days=1))
        return iso(now - timedelta(days=self.keep_days))

    async def _make_room(self, stats: Stats, now: datetime) -> Stats:
        """What every sink has settled gives way before anything has to wait."""
        shed = await self.store.shed(stats.bytes - int(ROOMY * self.max_bytes))
        if not shed.events:
            return stats
        log.warning("outbox.shed", extra={"events": shed.events, "until": shed.until})
        before = self._shed["events"] if self._shed else 0
        self._shed = {"at": iso(now), "events": before + shed.events, "until": shed.until}
        return await self.store.stats()

    async def _tell(self, sinks: Sequence[SinkHealth], stats: Stats, now: datetime) -> Seen:
        for _ in range(COMMIT_TRIES):
            state = await self._state(now)
            head = memory.head(state)
            origin = Origin(None, head.get("instance") or self.instance, source="connector")
            known = head.get("problems", {})
            failing = _failing(head.get("failing", {}), sinks, iso(now))
            faults = disk_faults(known, stats, self.max_bytes)
            full = any(f.reason == "outbox_full" for f in faults)
            flaws = await self.store.flaws()
            faults += [*flaw_faults(flaws, self.names()), *gone_sinks(stats.sinks)]
            shed = _recent_shed(head.get("shed"), self._shed, now)
            faults += [shed_fault(shed, self.max_bytes)] if shed else []
            faults += await self.expiries.shared(now) if self.expiries else []
            faults += await self.strangers()
            faults += self.more(known)
            faults += [f for s in sinks if (f := sink_fault(s, known, failing.get(s.sink), now)) is not None]
            problems, told = advance(known, faults, iso(now), scope=origin.urn)
            values = {**head, "instance": origin.name, "problems": problems, "failing": failing, "shed": shed}
            if shed is None and "shed" not in head:
                del values["shed"]
            if values == head:
                return Seen(full)
            events = [stamp(change, origin, iso(now), self.severity) for change in told]
            try:
                await self.store.commit(CONNECTOR, memory.with_head(state, values), events)
            except Conflict:
                continue  # another part of the connector told something at the same time
            self._shed = None
            for event in events:
                log.warning(event.type, extra={"subject": event.subject, "summary": event.data["summary"]})
            return Seen(full, len(events))
        return Seen(full)

    async def _state(self, now: datetime) -> State:
        """The connector's own state; where it cannot be read any more that is noted, and it begins anew."""
        state = await self.store.load(CONNECTOR) or State()
        try:
            memory.head(state)
        except TenantDamaged as error:
            if not state.lost:
                document = f"the connector's own state, as read at {iso(now)}"
                await self.store.note(Flaw("state_damaged", document, error.what, CONNECTOR, 0, {}, iso(now)))
            return State(state.generation)
        return state


def _recent_shed(
    known: Mapping[str, Any] | None, new: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any] | None:
    """What gave way for the bound lately, with what gives way now."""
    if known is not None and abs(now - parse_iso(known["at"])) >= SHED_IS_NEWS:
        known = None
    if new is None:
        return dict(known) if known else None
    return {**new, "events": new["events"] + (known["events"] if known else 0)}


def _failing(known: Mapping[str, str], sinks: Sequence[SinkHealth], now: str) -> dict[str, str]:
    """Since when each sink has been failing; one that was not tried yet is as it was."""
    return {
        s.sink: min(known.get(s.sink, now), now)
        for s in sinks
        if s.state in ("unavailable", "denied") or (s.state == "untried" and s.sink in known)
    }


def sink_fault(sink: SinkHealth, known: Mapping[str, Any], since: str | None, now: datetime) -> Fault | None:
    """The fault of a sink, if it has one now."""
    subject = f"sink:{sink.sink}"
    was = str(known.get(f"connector.problem:{subject}", {}).get("reason", ""))
    if sink.state in ("unavailable", "denied") and since is not None:
        # An open "denied" is not told anew as "unavailable": the far end that refuses us also restarts at times.
        reason = "denied" if "denied" in (sink.state, was) else "unavailable"
        long = (now - parse_iso(since)).total_seconds() >= UNAVAILABLE_AFTER_S
        if reason == "denied" or was == "unavailable" or long:
            summary = f"Problem: sink {sink.sink} takes nothing ({reason}), its events wait"
            data = {"sink": sink.sink, "failing_since": since}
            return Fault("connector.problem", reason, subject, summary, detail=sink.error, hint=sink.hint, data=data)
    if sink.state == "untried" and was:
        summary = f"Problem: sink {sink.sink} ({was}), not tried again since the start"
        return Fault("connector.problem", was, subject, summary, data={"sink": sink.sink})
    if sink.stuck:
        return Fault(
            "connector.problem",
            "stuck",
            subject,
            f"Problem: sink {sink.sink} keeps refusing {len(sink.stuck)} events while it takes others",
            detail=", ".join(sink.stuck[:20]),
            hint="look for these ids in the receiver's log; `securescore events --id ID --trace` shows every try",
            data={"sink": sink.sink},
        )
    if sink.warning:
        return Fault(
            "connector.problem",
            "partly_delivered",
            subject,
            f"Problem: what sink {sink.sink} takes does not reach everybody it is meant for",
            detail=sink.warning,
            hint="correct the sink's recipients; the others have everything",
            data={"sink": sink.sink},
        )
    return None


def disk_faults(known: Mapping[str, Any], stats: Stats, max_bytes: int) -> list[Fault]:
    """The fault of the disk bound, if there is one: filling, or full."""
    was = known.get("connector.problem:outbox", {}).get("reason")
    share = stats.bytes / max_bytes
    if share >= (NO_LONGER_FULL if was == "outbox_full" else FULL):
        reason, so = "outbox_full", "polling pauses"
    elif share >= (NO_LONGER_FILLING if was else FILLING):
        reason, so = "outbox_filling", "polling pauses at 100 %"
    else:
        return []
    pinning = _pinning(stats)
    detail = f"{stats.bytes} of {max_bytes} bytes used"
    who, hint = "no sink holds it", "raise `state.max_bytes`, or keep less (`state.keep_days`)"
    if pinning is not None:
        who = f"sink {pinning.name} pins its history"
        since = pinning.last_success or "never"
        detail += f"; {pinning.name} has {pinning.backlog} events to take, {pinning.parked} parked, last took {since}"
        hint = f"repair that sink, or give up its backlog with `securescore sinks release {pinning.name}`, or {hint}"
    summary = f"Problem: the state is {share:.0%} full, {who}; {so}"
    data = {"sink": pinning.name if pinning else None, "bytes": stats.bytes, "max_bytes": max_bytes}
    return [Fault("connector.problem", reason, "outbox", summary, detail=detail, hint=hint, data=data)]


def _pinning(stats: Stats) -> SinkStats | None:
    """The sink, attached or abandoned, that keeps most from being purged."""
    holding = [s for s in stats.sinks if s.backlog or s.parked]
    return max(holding, key=lambda s: (s.backlog, s.parked), default=None)
