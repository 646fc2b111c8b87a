"""The built application at work: both loops, the upkeep and the heartbeat, side by side until they are stopped.

Nothing is built here (app.py does that), nothing is decided about events, and nothing is said to humans.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field

from connector.clock import first_of
from connector.config.values import Config, TenantConfig
from connector.deliver import loop as deliver
from connector.deliver.delivery import BACKOFF_CAP_S, SEND_LIMIT_S, Delivery, DurableStore, Outcome
from connector.errors import ConfigError, Conflict, StoreError
from connector.health.counters import Counters
from connector.health.heartbeat import Heart, tell_new, until_next_slot_s
from connector.health.overview import Facts, SinkFacts
from connector.health.upkeep import CONNECTOR, Upkeep
from connector.observe.poller import READ_LIMIT_S, Poller, PollOutcome
from connector.observe.schedule import Schedule, concurrency
from connector.ports import Clock
from connector.problems import Fault

log = logging.getLogger("securescore.loops")

ONCE_DEADLINE_S = 45.0
"""How long `once` retries a sink's transient faults."""
STOP_S = 20.0
"""How long a graceful stop may take: polls and batches in flight end, and what is due is offered. Then it is cut."""
LOOK_S = 60.0
"""How often the daemon looks after its outbox (health/upkeep.py)."""
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
    heart: Heart | None = None
    full: bool = False
    stopping: bool = False
    _schedule: Schedule | None = field(default=None, init=False)
    _turn: asyncio.Event = field(factory=asyncio.Event, init=False)
    _moved: dict[str, tuple[float, object]] = field(factory=dict, init=False)

    def replace_tenants(self, tenants: Sequence[TenantConfig]) -> None:
        """Poll these tenants from now on: new ones at once, those that stay at their turn; polls under way end.

        What is kept of a tenant that is gone stays until it is forgotten by command.
        """
        self.config = evolve(self.config, tenants=tuple(tenants))
        self.counters.replace([t.name for t in tenants])
        if self.poller.storms is not None:
            self.poller.storms.replace([t.name for t in tenants])
        self.concurrency = concurrency(self.config.poll, len(self.config.tenants))
        if self.upkeep.expiries is not None:
            self.upkeep.expiries.replace(self.config)
        if self._schedule is not None:
            self._schedule.replace(tenants, self.clock.now())
            self._turn.set()

    async def poll_once(
        self, names: Sequence[str] = (), on_poll: Callable[[PollOutcome], None] = lambda _: None
    ) -> list[PollOutcome]:
        """Poll the named tenants (all when none are named), every one once, now; none while the outbox is full."""
        tenants = self.tenants(names)
        await self.announce()  # before a look makes the state its own
        await self.look()
        if self.full:
            return [self._paused(tenant) for tenant in tenants]
        outcomes = await self.poller.poll_all(tenants, self.concurrency, on_poll)
        for outcome in outcomes:
            self._note(outcome)
        return outcomes

    def tenants(self, names: Sequence[str] = ()) -> list[TenantConfig]:
        """The selected tenants. Raises ConfigError for a name that is not configured."""
        known = {t.name: t for t in self.config.tenants}
        known.update({t.tenant_id: t for t in self.config.tenants})
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
        await self.look()
        outcomes = list(await asyncio.gather(*(deliver.drain(d, deadline_s) for d in self.deliveries.values())))
        await self.look(purge=True)
        return outcomes

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
        return seen.events > 0

    async def run(self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None] = lambda _: None) -> None:
        """Both loops until `stop`: polls spread over the interval, one delivery loop a sink.

        After `stop` what is under way may end, for STOP_S at most; what is not delivered by then stays and is offered
        after the next start. Raises StoreError: without durability nothing goes on.
        """
        await self.announce()
        await self.look()
        loops = asyncio.ensure_future(self._loops(stop, on_poll))
        cut = asyncio.ensure_future(self._cut(stop))
        try:
            await asyncio.wait((loops, cut), return_when=asyncio.FIRST_COMPLETED)
            if not loops.done():
                log.warning("run.cut", extra={"after_s": STOP_S})
        finally:
            loops.cancel()
            cut.cancel()
            ended = (await asyncio.gather(loops, cut, return_exceptions=True))[0]
        if isinstance(ended, BaseExceptionGroup):
            raise _first(ended) from ended
        if self.heart is not None:
            try:
                await self.heart.save_uncounted(self._delivered())
            except StoreError as error:  # only the next heartbeat's figures suffer
                log.warning("heartbeat.uncounted", extra={"error": error.what})

    async def _cut(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stopping = True
        await self.clock.sleep(STOP_S)

    async def _loops(self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None]) -> None:
        wake = {name: asyncio.Event() for name in self.deliveries}
        async with asyncio.TaskGroup() as tasks:
            for name, delivery in self.deliveries.items():
                tasks.create_task(deliver.run(delivery, stop, wake[name]), name=f"deliver:{name}")
            tasks.create_task(self._observe(stop, on_poll, list(wake.values())), name="observe")
            tasks.create_task(self._look_after(stop, list(wake.values())), name="upkeep")
            if self.heart is not None:
                tasks.create_task(self._beat(stop, self.heart, list(wake.values())), name="heartbeat")

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
            await _pause(self.clock, wait_s, stop)
            if not stop.is_set() and await self._beat_now(heart):
                for event in wake:
                    event.set()

    async def _beat_now(self, heart: Heart) -> bool:
        try:
            return await heart.beat(self.counters.states(self.clock.now()), self._delivered())
        except StoreError:
            await self.look()
            if not self.full:
                raise
            return False

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
            sinks[name] = SinkFacts(health.state, health.error, delivery.attempt, dict(delivery.delivered))
        return Facts(
            now=self.clock.now(),
            stats=stats,
            max_bytes=self.config.state.max_bytes,
            full=self.full,
            stopping=self.stopping,
            stalled=self.stalled(),
            sinks=sinks,
            expiries=self.upkeep.expiries.known() if self.upkeep.expiries else (),
        )

    def faults(self, known: Mapping[str, Any]) -> list[Fault]:
        """What concerns many tenants at once, and a new configuration that could not be taken."""
        storms, found = self.poller.storms, []
        if storms is not None:
            storms.resume(known)
            found = storms.faults(self.counters.states(self.clock.now())["pending"])
        if self.counters.refused is None:
            return found
        hint = "`securescore check` names every mistake; correct them and reload again"
        return [*found, configuration_refused(self.counters.refused, hint)]

    async def _look_after(self, stop: asyncio.Event, wake: Sequence[asyncio.Event]) -> None:
        while not stop.is_set():
            self._moving("upkeep")
            await _pause(self.clock, LOOK_S, stop)
            if not stop.is_set() and await self.look():
                for event in wake:
                    event.set()

    def _note(self, outcome: PollOutcome) -> None:
        reason, day = outcome.reason, outcome.newest_day
        self.counters.polled(outcome.tenant, outcome.status, reason, day, outcome.events, self.clock.now())

    def _paused(self, tenant: TenantConfig) -> PollOutcome:
        what = f"the state has reached its bound of {self.config.state.max_bytes} bytes: polling pauses"
        hint = "`securescore sinks list` shows which sink holds it; repair it or release it, or raise state.max_bytes"
        return PollOutcome(tenant.name, "failed", error=what, hint=hint, reason="outbox_full")

    async def _poll(self, tenant: TenantConfig) -> PollOutcome:
        """One poll, unless the disk bound is reached: before it, or by it."""
        if self.full:
            return self._paused(tenant)
        try:
            return await self.poller.poll(tenant)
        except StoreError:
            await self.look()
            if not self.full:
                raise
            return self._paused(tenant)

    async def _observe(
        self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None], wake: Sequence[asyncio.Event]
    ) -> None:
        """Poll every tenant once an interval, each at its own place in it, so that thousands never come together."""
        schedule = self._schedule = Schedule(self.config.poll.interval_s)
        schedule.replace(self.config.tenants, self.clock.now())
        running = 0

        async def poll(tenant: TenantConfig) -> None:
            nonlocal running
            outcome = await self._poll(tenant)
            self._moving("observe")
            self._note(outcome)
            # Without room in the outbox a tenant comes to its turn again as soon as there is some.
            again_in_s = LOOK_S if outcome.reason == "outbox_full" else None
            schedule.done(tenant.tenant_id, self.clock.now(), outcome.retry_after_s, again_in_s)
            running -= 1
            self._turn.set()
            on_poll(outcome)
            if outcome.events:
                for event in wake:
                    event.set()

        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                if not running:  # else a poll that ends shows it: that this loop goes round is no progress
                    self._moving("observe")
                self._turn.clear()
                now = self.clock.now()
                while running < self.concurrency and (tenant := schedule.take(now)) is not None:
                    running += 1
                    tasks.create_task(poll(tenant), name=f"observe:{tenant.name}")
                wait_s = schedule.wait_s(now) if running < self.concurrency else None
                # Never long: a clock that jumped, or a machine that slept, must not keep anybody waiting.
                await _pause(self.clock, LOOK_S if wait_s is None else min(wait_s, LOOK_S), stop, self._turn)


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
    return next((error for error in leaves if isinstance(error, StoreError)), leaves[0])


async def _pause(clock: Clock, seconds: float | None, *events: asyncio.Event) -> None:
    """Wait so long (None = without end), or until one of the events is set."""
    time_over = () if seconds is None else (clock.sleep(seconds),)
    await first_of(*(event.wait() for event in events), *time_over)
