"""Builds everything from a Config, and runs it: the only composer.

Kinds of stores, sources and sinks are named here and nowhere else, and imported when they are used. No decision about
events is made here.
"""

import asyncio
import logging
import math
import random
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

from attrs import Factory, define, evolve, field

from connector import health
from connector import mapping as mappings
from connector.auth import SignIn, TokenProvider
from connector.budget import Budgets, Limits
from connector.clock import SystemClock
from connector.clouds import CLOUDS, cloud_of
from connector.config import AuthConfig, Config, NetworkConfig, SinkConfig, TenantConfig, takes_tenant
from connector.credentials import Watch
from connector.delivery import BACKOFF_CAP_S, SEND_LIMIT_S, Delivery, DurableStore, Filter, Outcome
from connector.entra import Target
from connector.errors import ConfigError, Conflict, StoreError
from connector.evidence import Evidence
from connector.explain import SeverityRules
from connector.http import Http, Transport
from connector.options import Option
from connector.poller import MAX_DAYS_A_COMMIT, Poller, PollOutcome
from connector.ports import Clock, Sink, Source, Start
from connector.problems import Fault
from connector.resources import load_data
from connector.schedule import Schedule
from connector.secrets import resolve, resolve_options, resolve_url
from connector.storm import Storms
from connector.upkeep import CONNECTOR, Upkeep

if TYPE_CHECKING:
    from connector.sources.graph import GraphSource
    from connector.stores.documents import DocumentsStore
    from connector.stores.kvstore import Collection

log = logging.getLogger("securescore.app")

SINKS: Mapping[str, str] = {
    "file": "sinks.file",
    "syslog": "sinks.syslog",
    "splunk_hec": "sinks.splunk",
    "sentinel": "sinks.sentinel",
    "webhook": "sinks.webhook",
}
"""Every kind of sink and its module: a new sink is one file plus its line here."""

DEFAULT_FORMAT: Mapping[str, str] = {
    "file": "cloudevents",
    "syslog": "cef",
    "splunk_hec": "splunk",
    "sentinel": "sentinel",
    "webhook": "cloudevents",
}

READ = "SecurityEvents.Read.All"
WRITE = "SecurityEvents.ReadWrite.All"
"""The permissions: for reading, and for `controls set` alone."""

MANY_TENANTS = 50
ONCE_DEADLINE_S = 45.0
"""How long `once` retries a sink's transient faults."""
STOP_S = 20.0
"""How long a graceful stop may take: polls and batches in flight end, and what is due is offered. Then it is cut."""
LOOK_S = 60.0
"""How often the daemon looks after its outbox (upkeep.py)."""
STALLED_S = {"deliver": SEND_LIMIT_S + BACKOFF_CAP_S + 2 * LOOK_S}
STALLED_OTHER_S = 5 * LOOK_S
"""How long a loop may take for one turn before it counts as stuck."""
LAST_RESERVE_BYTES = 8 * 1024**2
"""What the store still takes beyond `state.max_bytes`, where polling pauses: the connector's own words."""
USER_AGENT = "secure-score-connector"


class SinkModule(Protocol):
    """What every module of a sink offers."""

    OPTIONS: Mapping[str, Option]

    def build(self, name: str, options: Mapping[str, Any], network: NetworkConfig) -> Sink: ...


class RoutedSinkModule(SinkModule, Protocol):
    """A sink module with ROUTES: keys (of the tenants' overrides) that tenants may have of their own."""

    ROUTES: Sequence[str]

    def build(
        self,
        name: str,
        options: Mapping[str, Any],
        network: NetworkConfig,
        routes: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Sink: ...


def sink_module(kind: str) -> SinkModule | None:
    """The module of a kind of sink; None for an unknown kind."""
    if kind not in SINKS:
        return None
    try:
        return cast("SinkModule", import_module(SINKS[kind]))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("sinks"):
            return None
        raise


def sink_options(kind: str) -> Mapping[str, Option] | None:
    """The OPTIONS of a kind of sink, for the configuration; None for an unknown kind."""
    module = sink_module(kind)
    return None if module is None else module.OPTIONS


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
    board: health.Board
    heart: health.Heart | None = None
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
        self.board.replace([t.name for t in tenants])
        if self.poller.storms is not None:
            self.poller.storms.replace([t.name for t in tenants])
        self.concurrency = concurrency(self.config)
        if self.upkeep.watch is not None:
            self.upkeep.watch.replace(self.config)
        if self._schedule is not None:
            self._schedule.replace(tenants, self.clock.now())
            self._turn.set()

    async def poll_once(self, names: Sequence[str] = ()) -> list[PollOutcome]:
        """Poll the named tenants (all when none are named), every one once, now; none while the outbox is full."""
        tenants = self.tenants(names)
        await self.look()
        if self.full:
            return [self._paused(tenant) for tenant in tenants]
        await self._announce()
        outcomes = await self.poller.poll_all(tenants, self.concurrency)
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
        """Offer everything unsettled to every sink, side by side; then look after the outbox."""
        outcomes = list(await asyncio.gather(*(d.drain(deadline_s) for d in self.deliveries.values())))
        await self.look(purge=True)
        return outcomes

    async def look(self, *, purge: bool = False) -> bool:
        """Tell problems of sinks and of the disk bound, and purge when it is time; whether anything was told."""
        seen = await self.upkeep.look([d.standing() for d in self.deliveries.values()], purge=purge)
        self.full = seen.full
        return seen.events > 0

    async def run(self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None] = lambda _: None) -> None:
        """Both loops until `stop`: polls spread over the interval, one delivery loop a sink.

        After `stop` what is under way may end, for STOP_S at most; what is not delivered by then stays and is offered
        after the next start. Raises StoreError: without durability nothing goes on.
        """
        await self._announce()
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
                await self.heart.rest(self._delivered())
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
                tasks.create_task(delivery.run(stop, wake[name]), name=f"deliver:{name}")
            tasks.create_task(self._observe(stop, on_poll, list(wake.values())), name="observe")
            tasks.create_task(self._look_after(stop, list(wake.values())), name="upkeep")
            if self.heart is not None:
                tasks.create_task(self._beat(stop, self.heart, list(wake.values())), name="heartbeat")

    async def _announce(self) -> None:
        """Say once that the state is new."""
        try:
            await health.tell_new(self.store, self.clock, self.poller.severity, self.upkeep.instance, CONNECTOR)
        except Conflict:
            return  # somebody else was first; then it is not new any more

    async def _beat(self, stop: asyncio.Event, heart: health.Heart, wake: Sequence[asyncio.Event]) -> None:
        """A heartbeat a slot. Waits are short, so that a clock that jumped or slept does not delay the next one."""
        while not stop.is_set():
            wait_s = min(LOOK_S, health.until_next_slot_s(self.clock.now(), heart.interval_s) + 0.01)
            await _pause(self.clock, wait_s, stop)
            if not stop.is_set() and await self._beat_now(heart):
                for event in wake:
                    event.set()

    async def _beat_now(self, heart: health.Heart) -> bool:
        try:
            return await heart.beat(self.board.states(self.clock.now()), self._delivered())
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
            for name, (at_s, _) in self._moved.items()
            if now_s - at_s > STALLED_S.get(name.partition(":")[0], STALLED_OTHER_S)
        ]

    def _moving(self, name: str) -> None:
        self._moved[name] = (asyncio.get_running_loop().time(), None)

    async def facts(self) -> health.Facts:
        """How everything stands, for the endpoints."""
        try:
            stats = await self.store.stats()
        except StoreError:
            stats = None
        sinks = {}
        for name, delivery in self.deliveries.items():
            standing = delivery.standing()
            sinks[name] = health.SinkFacts(standing.state, standing.error, delivery.attempt, dict(delivery.delivered))
        return health.Facts(
            now=self.clock.now(),
            stats=stats,
            max_bytes=self.config.state.max_bytes,
            full=self.full,
            stopping=self.stopping,
            stalled=self.stalled(),
            sinks=sinks,
            expiries=self.upkeep.watch.known() if self.upkeep.watch else (),
        )

    def faults(self, known: Mapping[str, Any]) -> list[Fault]:
        """What concerns many tenants at once, and a new configuration that could not be taken."""
        storms, found = self.poller.storms, []
        if storms is not None:
            storms.resume(known)
            found = storms.faults(self.board.states(self.clock.now())["pending"])
        if self.board.refused is None:
            return found
        return [
            *found,
            Fault(
                "connector.problem",
                "configuration",
                "configuration",
                "Problem: the new configuration was refused, the old one keeps running",
                detail=self.board.refused,
                hint="`securescore check` names every mistake; correct them and reload again",
            ),
        ]

    async def _look_after(self, stop: asyncio.Event, wake: Sequence[asyncio.Event]) -> None:
        while not stop.is_set():
            self._moving("upkeep")
            await _pause(self.clock, LOOK_S, stop)
            if not stop.is_set() and await self.look():
                for event in wake:
                    event.set()

    def _note(self, outcome: PollOutcome) -> None:
        reason, day = outcome.reason, outcome.newest_day
        self.board.polled(outcome.tenant, outcome.status, reason, day, outcome.events, self.clock.now())

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
                self._moving("observe")
                self._turn.clear()
                now = self.clock.now()
                while running < self.concurrency and (tenant := schedule.take(now)) is not None:
                    running += 1
                    tasks.create_task(poll(tenant), name=f"observe:{tenant.name}")
                wait_s = schedule.wait_s(now) if running < self.concurrency else None
                # Never long: a clock that jumped, or a machine that slept, must not keep anybody waiting.
                await _pause(self.clock, LOOK_S if wait_s is None else min(wait_s, LOOK_S), stop, self._turn)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the loops; of several, one that an operator can act on."""
    leaves = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in leaves if isinstance(error, StoreError)), leaves[0])


async def _pause(clock: Clock, seconds: float | None, *events: asyncio.Event) -> None:
    """Wait so long (None = without end), or until one of the events is set."""
    waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait()) for event in events]
    if seconds is not None:
        waits.append(asyncio.ensure_future(clock.sleep(seconds)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


@asynccontextmanager
async def open_app(
    config: Config, *, clock: Clock | None = None, writer: bool = True, collection: "Collection | None" = None
) -> AsyncIterator[App]:
    """Build the application; `writer` takes the lock of the loops (`run`, `once`), `collection` as in open_store.

    Raises ConfigError for what only shows now (secrets, mappings), StoreError or StoreBusy for the state.
    """
    check_one_folder()
    clock = clock or SystemClock()
    sinks: dict[str, Sink] = {}
    board = health.Board(config.changes.stale_after_s, tuple(t.name for t in config.tenants))
    transports = transports_for(config, clock)
    transports.wrap = lambda http: health.Counted(http, board)
    store: DurableStore | None = None
    try:
        problems: list[str] = []
        deliveries: dict[str, Callable[[DurableStore], Delivery]] = {}
        for sink_config in config.sinks:
            try:
                sinks[sink_config.name] = build_sink(sink_config, config.tenants)
                seconds = asyncio.get_running_loop().time
                measured = health.Measured(sinks[sink_config.name], board, seconds)
                deliveries[sink_config.name] = _delivery(sink_config, measured, clock, config.base_dir)
            except ConfigError as error:
                problems += [f"sinks.{sink_config.name}: {p}" for p in error.problems]
        if problems:
            raise ConfigError(problems)
        store = await open_store(config, clock=clock, writer=writer, collection=collection)
        if writer:
            await store.attach([Start(s.name, whole_history=s.start == "all") for s in config.sinks])
        watch = Watch(config)
        poller = Poller(
            store=store,
            clock=clock,
            open_source=lambda tenant: open_source(tenant, config, transports, clock),
            changes=config.changes,
            severity=severity_rules(),
            archive=evidence(config),
            keep_days=config.state.keep_days,
            max_days_a_commit=getattr(store, "max_days_a_commit", None) or MAX_DAYS_A_COMMIT,
            watch=watch,
            storms=Storms(len(config.tenants), config.poll.interval_s),
        )
        bound, keep = config.state.max_bytes, config.state.keep_days
        upkeep = Upkeep(store, clock, poller.severity, bound, keep, instance(), watch)
        beat_s = config.health.heartbeat_s
        heart = health.Heart(store, clock, poller.severity, beat_s, instance(), CONNECTOR) if beat_s else None
        app = App(
            config=config,
            clock=clock,
            store=store,
            poller=poller,
            deliveries={name: build(store) for name, build in deliveries.items()},
            upkeep=upkeep,
            concurrency=concurrency(config),
            board=board,
            heart=heart,
        )
        upkeep.more = app.faults
        yield app
    finally:
        for sink in sinks.values():
            await sink.close()
        await transports.close()
        if store is not None:
            await store.close()


def check_one_folder() -> None:
    """Refuse to run when the three packages come from different folders: a foreign `sinks` is a foreign program."""
    import connector  # noqa: PLC0415 - only here are they modules to be compared
    import mappings as data  # noqa: PLC0415
    import sinks  # noqa: PLC0415

    homes = {name: _home(module) for name, module in (("connector", connector), ("sinks", sinks), ("mappings", data))}
    if len(set(homes.values())) > 1:
        found = ", ".join(f"{name} from {home}" for name, home in homes.items())
        raise ConfigError(
            [f"the packages come from different folders: {found}"], "install into an environment of its own"
        )


def _home(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__).resolve().parent.parent


def instance() -> str:
    """What this connector calls itself in its own events: the host's name, as far as it is fit for a URN."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "connector"


def severity_rules() -> SeverityRules:
    data = load_data("severity")
    return SeverityRules(tuple(data["rules"]), int(data["default"]))


def concurrency(config: Config) -> int:
    """DESIGN §10: ceil(tenants x 4 s / interval) within 8..64, unless stated."""
    if config.poll.concurrency is not None:
        return config.poll.concurrency
    return min(64, max(8, math.ceil(len(config.tenants) * 4 / config.poll.interval_s)))


def evidence(config: Config) -> Evidence | None:
    """The evidence archive, beside the state unless stated; None when it is off or there is no disk of ours."""
    keep_days = config.raw.keep_days
    if keep_days is None:
        keep_days = 400 if len(config.tenants) <= MANY_TENANTS else 14
    home = config.state.path or config.state.directory
    if keep_days == 0 or (config.raw.path is None and home is None):
        return None
    path = config.raw.path or str(Path(str(home)).parent / "evidence")
    return Evidence(Path(config.base_dir, path), keep_days)


# ------------------------------------------------------------------------------------------------------------- parts


async def open_store(
    config: Config, *, clock: Clock, writer: bool, collection: "Collection | None" = None
) -> DurableStore:
    """The store of the configuration: for the loops (`writer`), or beside them for commands.

    `collection` is the Splunk KV store's, which only a caller with a session of splunkd has.
    """
    state = config.state
    bound = state.max_bytes + LAST_RESERVE_BYTES
    if state.path is not None:
        from connector.stores.sqlite import open_store as open_sqlite  # noqa: PLC0415 - homes without sqlite3 exist

        path = Path(config.base_dir, state.path)
        return cast("DurableStore", await open_sqlite(path, clock=clock, writer=writer, max_bytes=bound))
    if state.directory is not None:
        from connector.stores.directory import open_store as open_directory  # noqa: PLC0415 - POSIX only

        folder = Path(config.base_dir, state.directory)
        return cast("DurableStore", await open_directory(folder, clock=clock, writer=writer, max_bytes=bound))
    if state.blob is not None:
        return cast("DurableStore", _open_blob(config, clock, bound))
    if collection is None:
        raise ConfigError(
            ["state.kvstore: this process has no session of splunkd"],
            "the KV store works inside the Splunk add-on only: name `state.path` or `state.directory` elsewhere",
        )
    from connector.stores.kvstore import open_store as open_kvstore  # noqa: PLC0415 - few need it

    return cast("DurableStore", open_kvstore(collection, clock=clock, max_bytes=bound))


def _open_blob(config: Config, clock: Clock, bound: int) -> "DocumentsStore":
    """The store in Azure blobs, signed in as the managed identity of this machine."""
    from connector.auth import azure_credential  # noqa: PLC0415 - few need it
    from connector.stores.blob import open_store as open_blob  # noqa: PLC0415

    blob = dict(config.state.blob or {})
    identity = {"client_id": blob["client_id"]} if blob.get("client_id") else {}
    network = _resolved(config.network)
    credential = azure_credential(AuthConfig("managed_identity", identity), CLOUDS["global"], network, clock)
    return open_blob(
        clock=clock,
        container=str(blob["container"]),
        account_url=str(blob["account_url"]),
        credential=credential,
        prefix=f"{str(blob['prefix']).strip('/')}/" if blob.get("prefix") else "",
        max_bytes=bound,
        proxy=network.proxy if network.proxy != "env" else None,
        close=credential.close,
    )


def build_sink(config: SinkConfig, tenants: Sequence[TenantConfig] = ()) -> Sink:
    """The sink of one entry, its secrets resolved now. Raises ConfigError.

    A sink with ROUTES is told what those of its tenants that have one of these keys have of their own.
    """
    module = sink_module(config.kind)
    if module is None:
        raise ConfigError([f"kind {config.kind!r} is not part of this version"], f"kinds: {', '.join(SINKS)}")
    options = resolve_options(config.options, module.OPTIONS)
    if config.stream_targets:
        options["streams"] = config.stream_targets
    keys: Sequence[str] = getattr(module, "ROUTES", ())
    if not keys:
        return module.build(config.name, options, _resolved(config.network))
    routes = {t.name: own for t in tenants if takes_tenant(config, t) and (own := _route(t, keys))}
    return cast("RoutedSinkModule", module).build(config.name, options, _resolved(config.network), routes)


async def check_sinks(config: Config) -> None:
    """Build every sink and mapping of a configuration and throw them away. Raises one ConfigError for all faults."""
    problems: list[str] = []
    for sink_config in config.sinks:
        try:
            sink = build_sink(sink_config, config.tenants)
            try:
                _delivery(sink_config, sink, SystemClock(), config.base_dir)
            finally:
                await sink.close()
        except ConfigError as error:
            problems += [f"sinks.{sink_config.name}: {p}" for p in error.problems]
    if problems:
        raise ConfigError(problems)


def _route(tenant: TenantConfig, keys: Sequence[str]) -> dict[str, str]:
    """A tenant's own values of a sink's keys, its token resolved."""
    own = {key: value for key, value in tenant.overrides.items() if key in keys}
    if "token" in own:
        own["token"] = resolve(own["token"])
    return own


def _resolved(network: NetworkConfig) -> NetworkConfig:
    """The network setting with the proxy's credentials in place."""
    if network.proxy in (None, "env"):
        return network
    return evolve(network, proxy=resolve_url(str(network.proxy)))


def _delivery(config: SinkConfig, sink: Sink, clock: Clock, base_dir: str) -> Callable[[DurableStore], Delivery]:
    name = config.mapping or config.format or DEFAULT_FORMAT[config.kind]
    mapping = mappings.load(name, base_dir)
    wants = Filter(
        streams=frozenset(config.streams),
        backfilled=config.start != "now",
        tenants=config.tenants,
        include=config.include,
        exclude=config.exclude,
        min_severity=config.min_severity,
    )
    return lambda store: Delivery(
        store=store,
        sink=sink,
        mapping=mapping,
        clock=clock,
        wants=wants,
        max_records=min(config.max_records or sink.max_records, sink.max_records),
        max_bytes=min(config.max_bytes or sink.max_bytes, sink.max_bytes),
    )


@define
class Transports:
    """One HTTP transport for each distinct network setting, shared by all tenants that have it; and who signs in there.

    `wrap` may put something in front of a new transport, such as an observer.
    """

    clock: Clock
    wrap: Callable[[Http], Transport] = lambda http: http
    budgets: Budgets = field(default=Factory(lambda self: Budgets(self.clock), takes_self=True))
    _open: dict[NetworkConfig, tuple[Http, Transport]] = field(factory=dict)
    _sign_in: SignIn | None = None

    @property
    def sign_in(self) -> SignIn:
        """Everything that signs in, over these transports."""
        if self._sign_in is None:
            self._sign_in = SignIn(self.clock, self.get)
        return self._sign_in

    def get(self, network: NetworkConfig) -> Transport:
        if network not in self._open:
            http = Http(
                proxy=_resolved(network).proxy,
                no_proxy=network.no_proxy,
                ca_file=network.ca_file,
                timeout_s=network.timeout_s,
                clock=self.clock,
                user_agent=USER_AGENT,
            )
            self._open[network] = (http, self.wrap(http))
        return self._open[network][1]

    async def close(self) -> None:
        if self._sign_in is not None:
            await self._sign_in.close()
        for http, _ in self._open.values():
            await http.close()


def transports_for(config: Config, clock: Clock) -> Transports:
    """Transports that keep every tenant within the configured limits of requests."""
    poll = config.poll
    limits = Limits(poll.requests_per_minute, poll.requests_per_ten_minutes, poll.requests_at_once)
    return Transports(clock, budgets=Budgets(clock, limits))


async def open_source(tenant: TenantConfig, config: Config, transports: Transports, clock: Clock) -> Source:
    """The source of a tenant, ready to read."""
    if tenant.source == "files":
        from connector.sources.files import FilesSource  # noqa: PLC0415 - few need it

        assert tenant.path is not None  # the configuration saw to it
        return FilesSource(path=Path(config.base_dir, tenant.path), tenant_id=tenant.tenant_id, clock=clock)
    return graph_source(tenant, config, transports, clock)


def graph_source(
    tenant: TenantConfig, config: Config, transports: Transports, clock: Clock, *, write: bool = False
) -> "GraphSource":
    """Microsoft Graph as a tenant's source; `write` reads with the credential of `controls set`. Raises ConfigError."""
    from connector.sources.graph import GraphSource  # noqa: PLC0415 - few commands need it

    return GraphSource(
        http=transports.budgets.in_front_of(transports.get(config.network), tenant.tenant_id),
        base_url=cloud_of(tenant.graph).graph,
        tenant_id=tenant.tenant_id,
        token=token_provider(tenant, config, transports, write=write),
        clock=clock,
        random=random.Random(),  # noqa: S311 - spreads retries, guards nothing
        backfill_days=config.poll.backfill_days,
        language=tenant.language,
    )


def token_provider(
    tenant: TenantConfig, config: Config, transports: Transports, *, write: bool = False
) -> TokenProvider:
    """Where this tenant's tokens come from; `write` for those that may change a control. Raises ConfigError."""
    auth = (tenant.write_auth or tenant.auth) if write else tenant.auth
    assert auth is not None  # the configuration saw to it
    return transports.sign_in.provider(auth, target_of(tenant, write=write), config.network)


def target_of(tenant: TenantConfig, *, write: bool = False) -> Target:
    """What a tenant's token is for: Microsoft Graph in its cloud. Raises ConfigError."""
    cloud = cloud_of(tenant.graph)
    return Target(tenant.tenant_id, cloud, cloud.graph_audience, WRITE if write else READ)
