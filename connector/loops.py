"""The built application at work: both loops, the upkeep and the heartbeat, side by side until they are stopped.

Nothing is built here (app.py does that), nothing is decided about events, and nothing is said to humans.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import Factory, define, evolve, field

from connector.clock import first_of
from connector.config.values import Config, TenantConfig
from connector.deliver import loop as deliver
from connector.deliver.delivery import BACKOFF_CAP_S, SEND_LIMIT_S, Delivery, DurableStore, Outcome
from connector.deliver.unwritten import PatientStore
from connector.errors import ConfigError, Conflict, StateRefused, StoreError, TenantDamaged
from connector.health import scores
from connector.health.counters import Counters
from connector.health.heartbeat import Heart, tell_new, until_next_slot_s
from connector.health.overview import Facts, SinkFacts, unit_rows
from connector.health.state_watch import RETRY_CAP_S, StateWatch
from connector.health.tenant_faults import stranger_faults, strangers
from connector.health.upkeep import CONNECTOR, Upkeep
from connector.observe import memory, units
from connector.observe.places import Places
from connector.observe.poller import READ_LIMIT_S, Poller, PollOutcome
from connector.observe.schedule import Schedule, concurrency
from connector.ports import Clock, Query
from connector.problems import Fault

if TYPE_CHECKING:
    from connector.scheduled.writer import Writer, Written

log = logging.getLogger("securescore.loops")

_T = TypeVar("_T")

ONCE_DEADLINE_S = 45.0
"""How long `once` retries a sink's transient faults."""
ONCE_LIMIT_S = 3_600.0
"""How long `once` offers to one sink as a whole, however well that goes: the rest waits for the next time."""
STOP_S = 20.0
"""How long a graceful stop may take: polls in flight end, then what is due is offered. Then it is cut."""
STOP_POLLS_S = 15.0
"""How much of it the polls may take, so that sinks can take what they committed."""
REOPEN_S = 60.0
"""After so long a state that cannot be read is closed and opened anew: its disk may have been mounted again."""
LOOK_S = 60.0
"""How often the daemon looks after its outbox (health/upkeep.py)."""
REPORTS_S = 900.0
"""How often the daemon looks whether a report is due."""
MAX_REFUSAL_CHARS = 1_000
STALLED_S = {"deliver": SEND_LIMIT_S + BACKOFF_CAP_S + 2 * LOOK_S, "observe": READ_LIMIT_S + 5 * LOOK_S}
STALLED_OTHER_S = 5 * LOOK_S
"""How long a loop may take for one turn before it counts as stuck."""


@define
class App:
    """Everything built from one configuration. Made by `open_app`; closed with it."""

    config: Config
    clock: Clock
    store: DurableStore
    poller: Poller
    deliveries: Mapping[str, Delivery]
    upkeep: Upkeep
    concurrency: int
    counters: Counters
    watch: StateWatch
    heart: Heart | None = None
    reports: "Writer | None" = None
    configured: dict[str, TenantConfig] = field(factory=dict)
    """Who each tenant is now, by key: the filters of the sinks look it up here."""
    places: Places = Factory(lambda self: Places(self.clock), takes_self=True)
    full: bool = False
    stopping: bool = False
    _strange: dict[str, str] | None = field(default=None, init=False)
    _schedule: Schedule | None = field(default=None, init=False)
    _moved: dict[str, tuple[float, object]] = field(factory=dict, init=False)

    def replace_tenants(self, tenants: Sequence[TenantConfig]) -> None:
        """Poll these tenants from now on: new ones at once, those that stay at their turn; polls under way end.

        What is kept of a tenant that is gone stays until it is forgotten by command.
        """
        called = {t.key: t.name for t in self.config.tenants}
        self.config = evolve(self.config, tenants=tuple(tenants))
        self.configured.clear()
        self.configured.update({t.key: t for t in tenants})
        self._strange = None
        self.counters.replace({t.name: called.get(t.key, t.name) for t in tenants})
        if self.poller.storms is not None:
            self.poller.storms.replace([t.name for t in tenants])
        self.concurrency = concurrency(self.config.poll, len(self.config.tenants))
        if self.upkeep.expiries is not None:
            self.upkeep.expiries.replace(self.config)
        if self._schedule is not None:
            self._schedule.replace(tenants, self.clock.now())
            self.places.changed.set()

    async def poll_once(
        self, names: Sequence[str] = (), on_poll: Callable[[PollOutcome], None] = lambda _: None
    ) -> list[PollOutcome]:
        """Poll the named tenants (all when none are named), every one once, now; none while the outbox is full."""
        tenants = self.tenants(names)
        await self.announce()  # before a look makes the state its own
        await self.look()

        async def poll(tenant: TenantConfig) -> PollOutcome:
            try:
                outcome = await self._poll(tenant)
            finally:
                self.places.leave()
            self._note(outcome)
            on_poll(outcome)
            return outcome

        polls: list[asyncio.Task[PollOutcome]] = []
        try:
            for tenant in tenants:
                await self.places.take(self.concurrency)
                polls.append(asyncio.create_task(poll(tenant), name=f"observe:{tenant.name}"))
            return await _all_of(polls)
        finally:
            for one in polls:
                one.cancel()
            await asyncio.gather(*polls, return_exceptions=True)

    async def poll_and_offer(
        self, names: Sequence[str] = (), on_poll: Callable[[PollOutcome], None] = lambda _: None
    ) -> tuple[list[PollOutcome], dict[str, Outcome]]:
        """As `poll_once`; meanwhile every sink is offered what was committed. What each took, by its name.

        A state or a sink that fails meanwhile is no outcome yet: the rest is for `deliver_once`, which tells.
        """
        stop, wake = asyncio.Event(), {name: asyncio.Event() for name in self.deliveries}

        def told(outcome: PollOutcome) -> None:
            if outcome.events:
                for event in wake.values():
                    event.set()
            on_poll(outcome)

        offers = [
            asyncio.create_task(deliver.run(delivery, stop, wake[name], self.watch, rest=False), name=f"deliver:{name}")
            for name, delivery in self.deliveries.items()
        ]
        try:
            polls = await self.poll_once(names, told)
            stop.set()
            taken = await _all_of(offers)
        finally:
            for offer in offers:
                offer.cancel()
            await asyncio.gather(*offers, return_exceptions=True)
        return polls, {outcome.sink: outcome for outcome in taken}

    def tenants(self, names: Sequence[str] = ()) -> list[TenantConfig]:
        """The selected tenants. Raises ConfigError for a name that is not configured."""
        known = {t.name: t for t in self.config.tenants}
        known.update({t.key: t for t in self.config.tenants})
        unknown = [n for n in names if n not in known]
        if unknown:
            raise ConfigError(
                [f"no tenant named {n!r} is configured" for n in unknown], "see `securescore tenants list`"
            )
        return [known[n] for n in names] if names else list(self.config.tenants)

    async def deliver_once(self, deadline_s: float = ONCE_DEADLINE_S) -> list[Outcome]:
        """Offer everything unsettled to every sink, side by side; then look after the outbox.

        What concerns many tenants at once is told before: a process that ends now delivers nothing later.
        """
        await self.look_or_wait()
        outcomes = await _all_of(self._drain(name, deadline_s) for name in self.deliveries)
        await self.look_or_wait(purge=True)
        return outcomes

    async def _drain(self, name: str, deadline_s: float) -> Outcome:
        """A state that fails one sink's loop ends that one; the others go on."""
        delivery = self.deliveries[name]
        try:
            async with asyncio.timeout(ONCE_LIMIT_S):
                outcome = await deliver.drain(delivery, deadline_s)
        except StoreError as error:
            self.watch.failed(f"deliver:{name}", error)
            outcome = Outcome(name, "unavailable", error=error.what, hint=error.hint)
        except TimeoutError:
            what = f"not everything was offered within {ONCE_LIMIT_S:g} s"
            outcome = Outcome(name, "unavailable", error=what, hint="the rest waits in the state for the next time")
        if isinstance(delivery.store, PatientStore) and (n := await delivery.store.write(name, last=True)):
            what = f"{n} events were delivered, but the state could not note it: they come again"
            trouble = self.watch.trouble(f"settle:{name}")
            outcome = evolve(outcome, state="unavailable", error=what, hint=trouble.hint if trouble else "")
        return outcome

    async def visit(self, deadline_s: float = ONCE_DEADLINE_S) -> tuple[list[PollOutcome], list[Outcome]]:
        """Poll every tenant, tell the heartbeat that is due, deliver: for a process that is started anew each time.

        What no heartbeat has counted yet is left to the next process.
        """
        polls = await self.poll_once()
        if self.heart is not None:
            await self._beat_now(self.heart)
        sinks = await self.deliver_once(deadline_s)
        if self.heart is not None:
            await self.heart.save_uncounted(self._delivered())
        return polls, sinks

    async def look(self, *, purge: bool = False) -> bool:
        """Tell problems of sinks and of the disk bound, and purge when it is time; whether anything was told."""
        seen = await self.upkeep.look([d.health() for d in self.deliveries.values()], purge=purge)
        self.full = seen.full
        self.watch.told()
        return seen.events > 0

    async def look_or_wait(self, *, purge: bool = False) -> bool:
        """A look that a failing state does not end; whether anything was told. Raises a StateRefused."""
        try:
            told = await self.look(purge=purge)
        except StoreError as error:
            self.watch.failed("upkeep", error)
            return False
        self.watch.well("upkeep")
        return told

    async def run(self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None] = lambda _: None) -> None:
        """Both loops until `stop`: polls spread over the interval, one delivery loop a sink.

        After `stop` what is under way may end, for STOP_S at most; what is not delivered by then stays and is offered
        after the next start. A state that fails is waited for. Raises a StateRefused; and a StoreError when the state
        could not be read for REOPEN_S: then it is to be opened anew.
        """
        last = asyncio.Event()
        loops = asyncio.ensure_future(self._loops(stop, last, on_poll))
        cut = asyncio.ensure_future(self._cut(stop))
        try:
            await asyncio.wait((loops, cut), return_when=asyncio.FIRST_COMPLETED)
            if not loops.done():
                log.warning("run.cut", extra={"after_s": STOP_S})
        finally:
            loops.cancel()
            cut.cancel()
            ended = (await asyncio.gather(loops, cut, return_exceptions=True))[0]
            await self._leave()
        if isinstance(ended, BaseExceptionGroup):
            raise _first(ended) from ended

    async def _leave(self) -> None:
        """Write down what waits in memory, as far as the state takes it."""
        try:
            for name, delivery in self.deliveries.items():
                if isinstance(delivery.store, PatientStore):
                    await delivery.store.write(name, last=True)
            if self.heart is not None:
                await self.heart.save_uncounted(self._delivered())
        except StoreError as error:  # what was delivered comes again; of the heartbeat, the next one's figures suffer
            log.warning("run.unwritten", extra={"error": error.what})

    async def _cut(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stopping = True
        await self.clock.sleep(STOP_S)

    async def _loops(self, stop: asyncio.Event, last: asyncio.Event, on_poll: Callable[[PollOutcome], None]) -> None:
        """What gives rise to events ends first, then the sinks (at `last`): they get what was committed meanwhile."""
        wake = {name: asyncio.Event() for name in self.deliveries}
        async with asyncio.TaskGroup() as tasks:
            for name, delivery in self.deliveries.items():
                tasks.create_task(deliver.run(delivery, last, wake[name], self.watch), name=f"deliver:{name}")
            await self._sources_of_events(stop, on_poll, list(wake.values()))
            last.set()

    async def _sources_of_events(
        self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None], wake: Sequence[asyncio.Event]
    ) -> None:
        """Polls, upkeep and heartbeat, until `stop` and STOP_POLLS_S more at most."""

        async def work() -> None:
            if not await self._begin(stop):
                return
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._observe(stop, on_poll, wake), name="observe")
                tasks.create_task(self._look_after(stop, wake), name="upkeep")
                if self.heart is not None:
                    tasks.create_task(self._beat(stop, self.heart, wake), name="heartbeat")
                if self.reports is not None:
                    tasks.create_task(self._report(stop, wake), name="reports")

        async def limit() -> None:
            await stop.wait()
            await self.clock.sleep(STOP_POLLS_S)

        working, limited = asyncio.ensure_future(work()), asyncio.ensure_future(limit())
        try:
            await asyncio.wait((working, limited), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                log.warning("run.polls_cut", extra={"after_s": STOP_POLLS_S})
        finally:
            limited.cancel()
            working.cancel()
            ended = (await asyncio.gather(working, limited, return_exceptions=True))[0]
        if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
            raise ended

    async def _begin(self, stop: asyncio.Event) -> bool:
        """Before anything is observed: say that the state is new, if it is. Waits for the state; False after `stop`."""
        while not stop.is_set():
            self._moving("upkeep")
            try:
                await self.announce()
            except StoreError as error:
                await _pause(self.clock, self.watch.failed("upkeep", error), stop)
                continue
            await self.look_or_wait()
            return True
        return False

    async def announce(self) -> None:
        """Say once that the state is new."""
        try:
            await tell_new(self.store, self.clock, self.poller.severity, self.upkeep.instance, CONNECTOR)
        except Conflict:
            return  # somebody else was first; then it is not new any more

    async def _beat(self, stop: asyncio.Event, heart: Heart, wake: Sequence[asyncio.Event]) -> None:
        """A heartbeat a slot. Waits are short, so that a clock that jumped or slept does not delay the next one."""
        while not stop.is_set():
            wait_s = min(LOOK_S, until_next_slot_s(self.clock.now(), heart.interval_s) + 0.01)
            await _pause(self.clock, self.watch.wait_s("heartbeat") or wait_s, stop)
            if not stop.is_set() and await self._beat_now(heart):
                for event in wake:
                    event.set()

    async def _beat_now(self, heart: Heart) -> bool:
        """Whether a heartbeat was told. One that the state does not take is tried again while its slot lasts."""
        try:
            told = await heart.beat(self.counters.states(), self._delivered())
        except StoreError as error:
            await self.look_or_wait()
            if not self.full:
                self.watch.failed("heartbeat", error)
            return False
        self.watch.well("heartbeat")
        return told

    async def _report(self, stop: asyncio.Event, wake: Sequence[asyncio.Event]) -> None:
        """Write what is due, as long as the state takes its events."""
        while not stop.is_set():
            if await self.write_reports():
                for event in wake:
                    event.set()
            await _pause(self.clock, self.watch.wait_s("reports") or REPORTS_S, stop)

    async def write_reports(self, names: Sequence[str] = ()) -> "list[Written]":
        """Write the reports that are due of the named tenants (all when none are named); none while the outbox is full.

        A state that takes nothing is waited for.
        """
        if self.reports is None or self.full:
            return []
        try:
            written = await self.reports.write_due(self.config, self.tenants(names))
        except StoreError as error:
            self.watch.failed("reports", error)
            return []
        self.watch.well("reports")
        return written

    def _delivered(self) -> dict[str, int]:
        return {name: sum(delivery.delivered.values()) for name, delivery in self.deliveries.items()}

    def stalled(self) -> list[str]:
        """The loops that make no progress although they should; [] before they run.

        Judged by the event loop's monotonic time, which no clock change moves.
        """
        now_s = asyncio.get_running_loop().time()
        for name, delivery in self.deliveries.items():
            if self._moved and self._moved.get(f"deliver:{name}", (0.0, self))[1] is not delivery.last:
                self._moved[f"deliver:{name}"] = (now_s, delivery.last)
        return [
            name
            for name, (at_s, last) in self._moved.items()
            if now_s - at_s > STALLED_S.get(name.partition(":")[0], STALLED_OTHER_S) + _asked_for_s(last)
        ]

    def _moving(self, name: str) -> None:
        self._moved[name] = (asyncio.get_running_loop().time(), None)

    async def facts(self) -> Facts:
        """How everything stands, for the endpoints."""
        try:
            stats = await self.store.stats()
        except StoreError:
            stats = None
        sinks = {}
        for name, delivery in self.deliveries.items():
            health = delivery.health()
            delivered = dict(delivery.delivered)
            sinks[name] = SinkFacts(health.state, health.error, delivery.attempt, delivered, delivery.digest)
        return Facts(
            now=self.clock.now(),
            stats=stats,
            max_bytes=self.config.state.max_bytes,
            full=self.full,
            trouble=self.watch.words(),
            stopping=self.stopping,
            stalled=self.stalled(),
            sinks=sinks,
            expiries=self.upkeep.expiries.known() if self.upkeep.expiries else (),
        )

    async def stranger_faults(self) -> Sequence[Fault]:
        """What waits of tenants that are not configured any more. Raises StoreError."""
        if self._strange is None:
            self._strange = await strangers(self.store, self.config)
        return await stranger_faults(self.store, self._strange, self.config)

    def faults(self, known: Mapping[str, Any]) -> list[Fault]:
        """What concerns many tenants at once, the state itself, and what this process could not be given."""
        storms, found = self.poller.storms, list(self.watch.faults())
        if storms is not None:
            storms.resume(known)
            found += storms.faults(self.counters.states()["pending"])
        if self.counters.refused is not None:
            hint = "`securescore check` names every mistake; correct them and reload again"
            found.append(configuration_refused(self.counters.refused, hint))
        if fault := self.counters.port_fault():
            summary = "Problem: nobody can ask how this connector is doing, its health port is not to be had"
            hint = "free the port, or choose another (`health.listen`); it is tried again until it can be had"
            found.append(Fault("connector.problem", "health_port", "health_port", summary, detail=fault, hint=hint))
        if self.reports is not None:
            found += self.reports.faults(known)
        return found

    async def _look_after(self, stop: asyncio.Event, wake: Sequence[asyncio.Event]) -> None:
        while not stop.is_set():
            self._moving("upkeep")
            await _pause(self.clock, self.watch.wait_s("upkeep") or LOOK_S, stop)
            if stop.is_set():
                return
            if await self.look_or_wait():
                for event in wake:
                    event.set()
            await self._readable()

    async def _readable(self) -> None:
        """Raises a StoreError when the state could not even be read for REOPEN_S."""
        trouble = self.watch.trouble("upkeep")
        if trouble is None or (self.clock.now() - trouble.since).total_seconds() < REOPEN_S:
            return
        await self.store.stats()

    def _note(self, outcome: PollOutcome) -> None:
        reason, day = outcome.reason, outcome.newest_day
        now = self.clock.now()
        self.counters.polled(outcome.tenant, outcome.status, reason, day, outcome.events, now, stale=outcome.stale)

    async def _note_score(self, tenant: TenantConfig, outcome: PollOutcome) -> None:
        """The figures of /metrics, after a poll that told anything; of an entry of several units those of each, too."""
        if self.config.health.listen is None or not (outcome.events or tenant.name not in self.counters.scores):
            return
        unit = units.whole(tenant)
        of_unit = () if unit is None else (unit.key,)
        query = Query(
            tenant_id=tenant.key, units=of_unit, types=("score.observed",), newest_first=True, limit=scores.LOOKED_AT
        )
        try:
            found = scores.newest(await self.store.history(query))
            if found is not None and self.config.health.control_gauges:
                newest = memory.shown(await self.store.load(tenant.key, memory.stands)).newest
                found = evolve(found, controls={} if newest is None else scores.controls_of(newest.day))
            if found is not None and unit is not None:
                rows = unit_rows(memory.readable_head((await self.store.heads([tenant.key]))[tenant.key]))
                known, shown = scores.of_units(rows)
                found = evolve(found, units=shown, units_known=known)
        except (StoreError, TenantDamaged):
            return  # whoever needs the state says so
        if found is not None and tenant.name in self.counters.names:
            self.counters.scores[tenant.name] = found

    def _paused(self, tenant: TenantConfig) -> PollOutcome:
        what = f"the state has reached its bound of {self.config.state.max_bytes} bytes: polling pauses"
        hint = "`securescore sinks list` shows which sink holds it; repair it or release it, or raise state.max_bytes"
        return PollOutcome(tenant.name, "failed", error=what, hint=hint, reason="outbox_full")

    async def _poll(self, tenant: TenantConfig) -> PollOutcome:
        """One poll, unless the state takes nothing, for its bound or for a fault: before it, or by it."""
        if self.full:
            return self._paused(tenant)
        if not self.watch.may_try("polls"):
            return self._refused(tenant)
        try:
            outcome = await self.poller.poll(tenant)
        except StoreError as error:
            await self.look_or_wait()
            if self.full:
                return self._paused(tenant)
            self.watch.failed("polls", error)
            return self._refused(tenant)
        self.watch.well("polls")
        return outcome

    def _refused(self, tenant: TenantConfig) -> PollOutcome:
        trouble = self.watch.trouble("polls")
        what, hint = (trouble.what, trouble.hint) if trouble else ("the state takes nothing", "")
        return PollOutcome(tenant.name, "failed", error=what, hint=hint, reason="state_unavailable")

    async def _observe(
        self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None], wake: Sequence[asyncio.Event]
    ) -> None:
        """Poll every tenant once an interval, each at its own place in it, so that thousands never come together."""
        schedule = self._schedule = Schedule(self.config.poll.interval_s)
        schedule.replace(self.config.tenants, self.clock.now())
        places = self.places

        def soon(within_s: float) -> bool:
            wait_s = schedule.wait_s(self.clock.now())
            return wait_s is not None and wait_s <= within_s

        async def poll(tenant: TenantConfig) -> None:
            outcome = await self._poll(tenant)
            self._moving("observe")
            self._note(outcome)
            await self._note_score(tenant, outcome)
            # Without room in the outbox a tenant comes to its turn again as soon as there is some.
            again_in_s = {"outbox_full": LOOK_S, "state_unavailable": self.watch.wait_s("polls")}.get(outcome.reason)
            schedule.done(tenant.key, self.clock.now(), outcome.retry_after_s, again_in_s)
            places.leave()
            on_poll(outcome)
            if outcome.events:
                for event in wake:
                    event.set()

        places.soon = soon
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                if not (places.at_work or places.waiting):
                    self._moving("observe")  # else a poll that ends shows it: that this loop goes round is no progress
                places.changed.clear()
                now = self.clock.now()
                # While the state fails nobody is read in vain: the next one in turn tries for all.
                held_s = self.watch.wait_s("polls")
                while not held_s and places.at_work < self.concurrency and (tenant := schedule.take(now)) is not None:
                    places.begin()
                    tasks.create_task(poll(tenant), name=f"observe:{tenant.name}")
                    held_s = RETRY_CAP_S if self.watch.trouble("polls") else 0.0
                wait_s = schedule.wait_s(now) if places.at_work < self.concurrency else None
                wait_s = None if wait_s is None else max(wait_s, held_s)
                # Never long: a clock that jumped, or a machine that slept, must not keep anybody waiting.
                await _pause(self.clock, LOOK_S if wait_s is None else min(wait_s, LOOK_S), stop, places.changed)
            places.close()


def configuration_refused(detail: str, hint: str) -> Fault:
    """The problem that a new configuration is while the old one stays in force."""
    return Fault(
        "connector.problem",
        "configuration",
        "configuration",
        "Problem: the new configuration was refused, the old one keeps running",
        detail=detail[:MAX_REFUSAL_CHARS],
        hint=hint,
    )


def _asked_for_s(last: object) -> float:
    """How long a loop rightly waits: a server's wish may be a day."""
    return last.wait_s if isinstance(last, Outcome) else 0.0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the loops; of several, one that an operator can act on."""
    leaves = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    for kind in (StateRefused, StoreError):
        for error in leaves:
            if isinstance(error, kind):
                return error
    return leaves[0]


async def _all_of(works: Iterable[Awaitable[_T]]) -> list[_T]:
    """Side by side, each to its end, whatever becomes of the others; then the worst that was raised is raised."""
    ended = await asyncio.gather(*works, return_exceptions=True)
    errors = [one for one in ended if isinstance(one, BaseException)]
    if errors:
        raise _first(BaseExceptionGroup("", errors))
    return [one for one in ended if not isinstance(one, BaseException)]


async def _pause(clock: Clock, seconds: float | None, *events: asyncio.Event) -> None:
    """Wait so long (None = without end), or until one of the events is set."""
    time_over = () if seconds is None else (clock.sleep(seconds),)
    await first_of(*(event.wait() for event in events), *time_over)
