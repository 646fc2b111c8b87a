"""One tenant's turn, for homes that are called instead of running: a queue hands out tenants to any number of workers.

`plan` says whose turn it is, `turn` polls and delivers one tenant against its state in the store, `tend` looks after
all of them. Workers share nothing but the store. A message may come twice, or to two workers at once: commits that
meet are resolved by the store, and events keep their ids. A fault of a sink never fails a message, so that only a fault
of observation can make the queue give a message up (`given_up`). No queue and no platform is known here.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from attrs import Factory, define, evolve, frozen

from connector.clock import iso, parse_iso
from connector.config.values import TenantConfig
from connector.deliver.delivery import Delivery, Outcome
from connector.deliver.loop import drain
from connector.errors import ConfigError, Conflict, PluginError, SecureScoreError, StoreError, Unavailable
from connector.health.counters import Counters
from connector.health.heartbeat import heartbeat, slot
from connector.health.overview import open_problems, overview
from connector.health.upkeep import CONNECTOR
from connector.homes.circuit import Circuit
from connector.loops import App, configuration_refused
from connector.observe import heads, memory, units
from connector.observe.events import Origin, stamp
from connector.observe.poller import COMMIT_TRIES, PollOutcome
from connector.observe.storm import entered_at, is_over, storm_fault, storms_among
from connector.ports import Clock, State, Stats, Store, Survey
from connector.problems import Fault, advance
from connector.registry import SINKS, sink_module
from connector.signin.credentials import ending

log = logging.getLogger("securescore.turns")

POLL_LIMIT_S = 480.0
"""How long one poll may take."""
DELIVER_S = 30.0
"""How long one turn waits for others at a sink, and offers and retries there; what is left goes with the next one."""
SEND_S = 300.0
"""How long one send may take that was begun in that time: an acknowledgement is waited for longer than that."""
TURN_LIMIT_S = 780.0
"""How long a turn may take, whatever hangs in it: below the platform's limit, which would end its neighbours, too."""
SETTLE_LAG_S = TURN_LIMIT_S + 60.0
"""So long after a slot its heartbeat is told: longer than a turn may take. A worker writes what it settled a while
after the moment that this is counted under, and what was written after the count would be in no heartbeat."""
AGAIN = frozenset({"unavailable", "bug", "conflict"})
"""Reasons of a failed poll that another try may mend. The others wait for an operator, who has been told."""
BEHIND_S = 3 * 3600.0
"""A sink whose oldest event waits longer than this is a problem, although others may go through."""
ONE_AT_A_TIME = frozenset({"splunk_hec"})
"""Kinds of which one turn sends at a time: it has one connection, and a send lasts until it is acknowledged."""
HELD = "held: the sink fails for everybody"
BUSY = "other turns were sending there all the time"


class FleetStore(Store, Protocol):
    """A store that can look at all tenants at once, and at one tenant once a turn (stores/documents.py)."""

    def turn(self, tenant_id: str | None) -> AbstractAsyncContextManager[None]: ...

    async def survey(self, since: str, until: str, *, keep: bool = False) -> Survey: ...


@define
class TenantTurns:
    """Everything a called home does, over one App. `deliver_s` as DELIVER_S.

    `refused` says why a newer configuration was not taken; it is told as long as it stands.
    """

    app: App
    deliver_s: float = DELIVER_S
    poll_limit_s: float = POLL_LIMIT_S
    turn_limit_s: float = TURN_LIMIT_S
    refused: SecureScoreError | None = None
    _locks: dict[str, asyncio.Lock] = Factory(dict)
    _locks_by_sink: dict[str, asyncio.Lock] = Factory(dict)
    _circuits: dict[str, Circuit] = Factory(dict)
    _deliveries: dict[tuple[str, str], Delivery] = Factory(dict)
    _offered: dict[str, datetime] = Factory(dict)
    _stats: Stats | None = None
    _survey: Survey | None = None

    def __attrs_post_init__(self) -> None:
        # Each process sees a part of the tenants only, so a storm is told by `tend`, which sees them all.
        self.app.poller = evolve(self.app.poller, storms=None)
        self.app.upkeep.more = self._faults

    @property
    def store(self) -> FleetStore:
        return cast("FleetStore", self.app.store)

    @property
    def clock(self) -> Clock:
        return self.app.clock

    def knows(self, key: str) -> bool:
        """Whether this tenant is configured here."""
        return any(t.key == key for t in self.app.config.tenants)

    async def status(self) -> dict[str, Any]:
        """As `securescore status --json`."""
        now = self.clock.now()
        survey = await self.store.survey("", "")
        heads = {tenant.name: head for tenant, head in self._heads(survey)}
        problems = await open_problems(self.store, CONNECTOR)
        credentials = await asyncio.to_thread(ending, self.app.config)
        return overview(self.app.config, heads, await self.store.stats(), now, problems, credentials)

    # ------------------------------------------------------------------------------------------------------ messages

    async def plan(self) -> list[str]:
        """A message for every tenant; none while the outbox is full, for then polling pauses."""
        async with self.store.turn(CONNECTOR):
            await self.app.announce()
            head = memory.readable_head(await self.store.load(CONNECTOR))
        if head.get("problems", {}).get("connector.problem:outbox", {}).get("reason") == "outbox_full":
            log.error("plan.outbox_full", extra={"hint": "`securescore sinks list` shows which sink holds the outbox"})
            return []
        return [message(tenant, self.clock.now()) for tenant in self.app.config.tenants]

    async def turn(self, body: bytes) -> PollOutcome | None:
        """Poll and deliver the tenant a message names; None when it is only to be delivered, or is gone.

        A message that waited while another one of its tenant was worked at has nothing left to do: thus messages that
        come faster than workers do them pile up to one round of all tenants, and no further.

        Raises ValueError for what is no message of ours, Unavailable or StoreError when the message shall come again.
        """
        asked = read(body)
        key = asked.key
        tenant = next((t for t in self.app.config.tenants if t.key == key), None)
        if tenant is None:
            log.warning("turn.unknown_tenant", extra={"tenant": key})
            return None
        outcome, began = None, False
        try:
            async with (
                asyncio.timeout(self.turn_limit_s),
                self._locks.setdefault(key, asyncio.Lock()),
                self.store.turn(key),
            ):
                poll = asked.poll and not await self._polled_since(key, asked.at)
                if not poll and asked.at is not None and self._offered.get(key, asked.at) > asked.at:
                    log.info("turn.superseded", extra={"tenant": tenant.name})
                    return None
                now = self.clock.now()
                outcome = await self._poll(tenant) if poll else None
                began = True
                await self.deliver(key)
                self._offered[key] = now
        except TimeoutError:
            what = f"the turn took longer than {self.turn_limit_s:g} s"
            if not began:
                raise Unavailable(f"tenant {tenant.name}: {what}") from None
            # What was polled is committed, and what is left to deliver waits for the next turn: no reason to repeat it.
            log.warning("turn.cut", extra={"tenant": tenant.name, "error": what})
        if outcome is not None and outcome.status == "failed" and outcome.reason in AGAIN:
            raise Unavailable(f"tenant {tenant.name}: {outcome.error}", hint=outcome.hint)
        return outcome

    async def given_up(self, body: bytes) -> None:
        """Tell that the queue gave a message up: as a problem of its tenant, which the next good poll closes.

        Where the tenant's poll has told the fault itself nothing is added. What cannot be told of the tenant is told
        of the connector, and closed by the next `tend`.
        """
        try:
            key = read(body).key
        except ValueError as error:
            await self._tell(CONNECTOR, _poisoned("a message", "turn:message", str(error)))
            return
        tenant = next((t for t in self.app.config.tenants if t.key == key), None)
        name = tenant.name if tenant is not None else key
        subject = "turn" if tenant is not None else f"turn:{name}"
        fault = _poisoned(f"tenant {name}", subject, "every try to poll it failed or was cut off")
        try:
            await self._tell(key if tenant is not None else CONNECTOR, fault, tenant)
        except SecureScoreError as error:
            log.warning("given_up.elsewhere", extra={"tenant": name, "error": error.what})
            detail = f"{fault.detail}; its state: {error.what}"
            await self._tell(CONNECTOR, evolve(fault, subject=f"turn:{name}", detail=detail))

    async def tend(self) -> list[str]:
        """Look after the whole: problems, heartbeat, disk bound, the connector's own events.

        Returns a message, to deliver only, for each tenant that has events waiting.
        """
        async with self.store.turn(None):
            return await self._tend()

    async def _tend(self) -> list[str]:
        now = self.clock.now()
        beat_s = self.app.config.health.heartbeat_s or 3600.0
        this = slot(now - timedelta(seconds=SETTLE_LAG_S), beat_s)
        head = memory.readable_head(await self.store.load(CONNECTOR))
        since = head.get("heartbeat") or iso(parse_iso(this) - timedelta(seconds=beat_s))
        self._survey = await self.store.survey(since, this, keep=True)
        self._stats = await self.store.stats()
        await self.deliver(CONNECTOR)
        sinks = [self._delivery(name, CONNECTOR).health() for name in self.app.deliveries]
        beats = bool(self.app.config.health.heartbeat_s)
        midnight = head.get("heartbeat", "")[:10] != this[:10] if beats else this.endswith("T00:00:00Z")
        await self.app.upkeep.look(sinks, purge=midnight)
        if beats:
            await self._beat(this, since, self._survey)
        await self.deliver(CONNECTOR)
        waiting = self._survey.behind
        return [message(t, now, poll=False) for t in self.app.config.tenants if t.key in waiting]

    # ------------------------------------------------------------------------------------------------------ one turn

    async def _polled_since(self, key: str, at: datetime | None) -> bool:
        """Whether a good poll came after this moment, by whatever worker. A failed one is what comes again is for."""
        if at is None:
            return False
        last = memory.head((await self.store.heads([key]))[key]).get("last_success")
        return last is not None and parse_iso(last) > at

    async def _poll(self, tenant: TenantConfig) -> PollOutcome:
        try:
            async with asyncio.timeout(self.poll_limit_s):
                outcome = await self.app.poller.poll(tenant)
        except TimeoutError:
            what = f"the poll took longer than {self.poll_limit_s:g} s"
            outcome = PollOutcome(tenant.name, "failed", error=what, reason="unavailable")
        log.log(
            logging.INFO if outcome.error is None else logging.WARNING,
            "turn.polled",
            extra={"tenant": tenant.name, "status": outcome.status, "events": outcome.events, "error": outcome.error},
        )
        return outcome

    async def deliver(self, key: str) -> list[Outcome]:
        """Offer what a tenant has waiting ("" = the connector) to every sink, side by side. Never raises."""
        return list(await asyncio.gather(*(self._deliver(name, key) for name in self.app.deliveries)))

    async def _deliver(self, name: str, key: str) -> Outcome:
        """One sink's part, in bounded time: waiting for others there counts, and whether it is held is asked again."""
        circuit = self._circuit(name, key)
        began = self.clock.now()
        if circuit.holds(began):
            return Outcome(name, "unavailable", error=HELD)
        async with _held(self._sending(name), self.deliver_s) as ours:
            if not ours:
                return Outcome(name, "unavailable", error=BUSY)
            if not circuit.enter(key, self.clock.now()):
                return Outcome(name, "unavailable", error=HELD)
            outcome = None
            try:
                waited_s = max(0.0, (self.clock.now() - began).total_seconds())
                outcome = await drain(self._delivery(name, key), max(0.0, self.deliver_s - waited_s))
            except StoreError as error:
                log.warning("turn.not_delivered", extra={"sink": name, "error": error.what, "hint": error.hint})
                return Outcome(name, "unavailable", error=error.what, hint=error.hint)
            except Exception as bug:
                log.exception("turn.bug", extra={"sink": name})
                return Outcome(name, "unavailable", error=f"{type(bug).__name__}; the log has the traceback")
            finally:
                circuit.leave(key, outcome, self.clock.now())
            return outcome

    def _circuit(self, name: str, key: str) -> Circuit:
        """That of the sink; a tenant with a place of its own there counts for itself, and is tried at each turn."""
        if key in self.app.deliveries[name].with_own_place:
            return Circuit()
        return self._circuits.setdefault(name, Circuit())

    def _sending(self, name: str) -> asyncio.Lock:
        """A lock of its own, or the one that all sends to this sink share."""
        kind = next((s.kind for s in self.app.config.sinks if s.name == name), "")
        return self._locks_by_sink.setdefault(name, asyncio.Lock()) if kind in ONE_AT_A_TIME else asyncio.Lock()

    def _delivery(self, name: str, key: str) -> Delivery:
        """The sink's loop for one tenant: what it learnt of single events lasts as long as this process."""
        lane = (name, key)
        if lane not in self._deliveries:
            self._deliveries[lane] = evolve(self.app.deliveries[name].of_tenant(key), send_limit_s=SEND_S)
        return self._deliveries[lane]

    # ------------------------------------------------------------------------------------------------ looking after all

    async def _tell(self, key: str, fault: Fault, tenant: TenantConfig | None = None) -> None:
        """Open a problem in the scope of a tenant or of the connector; what else is open there stays as it is."""
        for _ in range(COMMIT_TRIES):
            now = iso(self.clock.now())
            state = (await self.store.heads([key]))[key] or State()
            head = memory.head(state)
            known = head.get("problems", {})
            if "connector.problem:access" in known:
                return
            if tenant is None:
                origin = Origin(None, head.get("instance") or self.app.upkeep.instance, source="connector")
            else:
                origin = units.origin(tenant)
            others = {name: was for name, was in known.items() if name != fault.key}
            problems, told = advance({k: known[k] for k in known if k == fault.key}, [fault], now, scope=origin.scope)
            events = [stamp(change, origin, now, self.app.poller.severity) for change in told]
            values = {**head, "problems": {**others, **problems}}
            if tenant is None:
                values["instance"] = origin.name
            try:
                await self.store.commit(key, memory.with_head(state, values), events)
            except Conflict:
                continue
            await self.deliver(key)
            return
        raise StoreError("another process keeps committing", "The message comes again.")

    async def _beat(self, slot: str, since: str, survey: Survey) -> None:
        """The heartbeat of a slot, with what all workers delivered in the time before it, counted in the store."""
        for _ in range(COMMIT_TRIES):
            state = await self.store.load(CONNECTOR) or State()
            head = memory.head(state)
            if head.get("heartbeat", "") == slot:
                return
            origin = Origin(None, head.get("instance") or self.app.upkeep.instance, source="connector")
            delivered = {name: survey.accepted.get(name, 0) for name in sorted(self.app.deliveries)}
            beat_s = self.app.config.health.heartbeat_s
            change = heartbeat(slot, origin.name, beat_s, since, slot, self._states(survey), delivered)
            event = stamp(change, origin, iso(self.clock.now()), self.app.poller.severity)
            values = {**head, "instance": origin.name, "heartbeat": slot}
            try:
                await self.store.commit(CONNECTOR, memory.with_head(state, values), [event])
            except Conflict:
                continue
            return

    def _states(self, survey: Survey) -> dict[str, int]:
        """How many tenants are ok, stale, failing and pending, from their heads alone."""
        counters, now = Counters(tuple(t.name for t in self.app.config.tenants)), self.clock.now()
        for tenant, head in self._heads(survey):
            failed = bool(head.get("failures"))
            status = "failed" if failed else "ok"
            reason, newest, stale = head.get("reason") or "", head.get("newest"), heads.is_stale(head)
            counters.polled(tenant.name, status, reason, newest, 0, now, stale=stale)
        return counters.states()

    def _heads(self, survey: Survey) -> list[tuple[TenantConfig, Mapping[str, Any]]]:
        """The heads of the configured tenants that can be read; a damaged one is told by its own poll."""
        found: list[tuple[TenantConfig, Mapping[str, Any]]] = []
        for tenant in self.app.config.tenants:
            if tenant.key in survey.heads:
                try:
                    head = memory.head(State(1, {"head": survey.heads[tenant.key]}))
                except StoreError:
                    continue
                found.append((tenant, head))
        return found

    def _faults(self, known: Mapping[str, Any]) -> list[Fault]:
        """What concerns many tenants at once, and sinks that leave some of them waiting."""
        assert self._survey is not None
        assert self._stats is not None
        entered: dict[tuple[str, str], dict[str, datetime]] = {}
        for tenant, head in self._heads(self._survey):
            for problem in head.get("problems", {}).values():
                state = (problem["type"], problem["reason"])
                entered.setdefault(state, {})[tenant.name] = entered_at(problem, self.clock.now())
        total = len(self.app.config.tenants)
        begun = storms_among(entered, total, self.app.config.poll.interval_s)
        faults = [
            fault
            for state, members in sorted(entered.items())
            if (fault := storm_fault(state, list(members), total)).key in known or state in begun
            if not is_over(len(members), total)
        ]
        for sink in self._stats.sinks:
            if sink.oldest_due is None or sink.abandoned:
                continue
            age_s = (self.clock.now() - parse_iso(sink.oldest_due)).total_seconds()
            if age_s >= BEHIND_S and f"connector.problem:sink:{sink.name}" not in known:
                faults.append(_behind(sink.name, sink.backlog, sink.oldest_due))
        if self.refused is not None:
            problems = self.refused.problems if isinstance(self.refused, ConfigError) else [self.refused.what]
            faults.append(configuration_refused("; ".join(problems), self.refused.hint))
        return faults


# ------------------------------------------------------------------------------------------------------- small parts


@frozen
class Asked:
    """What a message asks for: the turn of the entry of `tenants` with this key, with a poll or only to deliver; `at`
    is when that was planned.
    """

    key: str
    poll: bool
    at: datetime | None


def message(tenant: TenantConfig, at: datetime, *, poll: bool = True) -> str:
    """The message that gives a tenant its turn; without `poll` it is only delivered."""
    return json.dumps({"v": 1, "tenant": tenant.key, "name": tenant.name, "poll": poll, "at": iso(at)})


def read(body: bytes) -> Asked:
    """What a message asks for. Raises ValueError."""
    try:
        found = json.loads(body)
        key, poll, at = found["tenant"], found.get("poll", True), found.get("at")
        moment = None if at is None else parse_iso(at)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no message of ours: {type(error).__name__}") from None
    if not isinstance(key, str) or not isinstance(poll, bool) or not key:
        raise ValueError("no message of ours: its fields are of other types")
    return Asked(key, poll, moment)


@asynccontextmanager
async def _held(lock: asyncio.Lock, within_s: float) -> AsyncIterator[bool]:
    """Hold a lock; False when others had it all the time."""
    try:
        async with asyncio.timeout(within_s):
            await lock.acquire()
    except TimeoutError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def refuse_kinds(kinds: Sequence[str]) -> None:
    """Raise ConfigError for a kind of sink that a called home cannot serve."""
    wrong = sorted(kind for kind in set(kinds) if _lasting(kind))
    if wrong:
        raise ConfigError(
            [f"a sink of kind {kind} needs a process and a disk that last" for kind in wrong],
            f"here the kinds {', '.join(k for k in SINKS if not _lasting(k))} work; run the daemon for the others",
        )


def _lasting(kind: str) -> bool:
    """Whether a kind of sink says that it needs a host: a disk, or a connection of its own."""
    try:
        return bool(getattr(sink_module(kind), "HOST_ONLY", False))
    except PluginError:  # its sink will say so
        return False


def _poisoned(whose: str, subject: str, detail: str) -> Fault:
    return Fault(
        "connector.problem",
        "given_up",
        subject,
        f"Problem: the queue gave {whose} up",
        detail=detail,
        hint="the log of the failed invocations says why; the tenant gets its next turn as planned",
    )


def _behind(sink: str, backlog: int, oldest: str) -> Fault:
    return Fault(
        "connector.problem",
        "behind",
        f"sink:{sink}:behind",
        f"Problem: sink {sink} leaves {backlog} events waiting, the oldest since {oldest}",
        hint="a tenant's own rule or token may be refused: the warnings deliver.refused in the log name the reason",
        data={"sink": sink},
    )
