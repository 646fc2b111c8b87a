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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from attrs import define, evolve, field

from connector import mapping as mappings
from connector.auth import FileToken, TokenProvider
from connector.clock import SystemClock
from connector.config import Config, NetworkConfig, SinkConfig, TenantConfig
from connector.delivery import Delivery, DurableStore, Filter, Outcome
from connector.errors import ConfigError, StoreError
from connector.evidence import Evidence
from connector.explain import SeverityRules
from connector.http import Http
from connector.options import Option
from connector.poller import Poller, PollOutcome
from connector.ports import Clock, Sink, Source, Start
from connector.resources import load_data
from connector.secrets import resolve_options, resolve_url
from connector.upkeep import Upkeep

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

GRAPH_HOSTS: Mapping[str, str] = {
    "global": "https://graph.microsoft.com",
    "usgov": "https://graph.microsoft.us",
    "dod": "https://dod-graph.microsoft.us",
}

MANY_TENANTS = 50
ONCE_DEADLINE_S = 45.0
"""How long `once` retries a sink's transient faults."""
STOP_S = 20.0
"""How long a graceful stop may take: polls and batches in flight end, and what is due is offered. Then it is cut."""
LOOK_S = 60.0
"""How often the daemon looks after its outbox (upkeep.py)."""
LAST_RESERVE_BYTES = 8 * 1024**2
"""What the store still takes beyond `state.max_bytes`, where polling pauses: the connector's own words."""
USER_AGENT = "secure-score-connector"


class SinkModule(Protocol):
    """What every module of a sink offers."""

    OPTIONS: Mapping[str, Option]

    def build(self, name: str, options: Mapping[str, Any], network: NetworkConfig) -> Sink: ...


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
    full: bool = False

    async def poll_once(self, names: Sequence[str] = ()) -> list[PollOutcome]:
        """Poll the named tenants (all when none are named), every one once, now; none while the outbox is full."""
        tenants = self.tenants(names)
        await self.look()
        if self.full:
            return [self._paused(tenant) for tenant in tenants]
        return await self.poller.poll_all(tenants, self.concurrency)

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

    async def _cut(self, stop: asyncio.Event) -> None:
        await stop.wait()
        await self.clock.sleep(STOP_S)

    async def _loops(self, stop: asyncio.Event, on_poll: Callable[[PollOutcome], None]) -> None:
        wake = {name: asyncio.Event() for name in self.deliveries}
        async with asyncio.TaskGroup() as tasks:
            for name, delivery in self.deliveries.items():
                tasks.create_task(delivery.run(stop, wake[name]), name=f"deliver:{name}")
            tasks.create_task(self._observe(stop, on_poll, list(wake.values())), name="observe")
            tasks.create_task(self._look_after(stop, list(wake.values())), name="upkeep")

    async def _look_after(self, stop: asyncio.Event, wake: Sequence[asyncio.Event]) -> None:
        while not stop.is_set():
            await _pause(self.clock, LOOK_S, stop)
            if not stop.is_set() and await self.look():
                for event in wake:
                    event.set()

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
        """Poll every tenant once an interval, each at its own offset, so that thousands never start together."""
        interval_s = self.config.poll.interval_s
        gate = asyncio.Semaphore(self.concurrency)
        tenants = list(self.config.tenants)
        spread = random.Random(len(tenants))  # noqa: S311 - a schedule, not a secret
        offsets = [interval_s * n / max(1, len(tenants)) for n in range(len(tenants))]
        spread.shuffle(offsets)

        async def cycle(tenant: TenantConfig, offset_s: float) -> None:
            first = True
            while not stop.is_set():
                async with gate:
                    if stop.is_set():
                        return
                    outcome = await self._poll(tenant)
                on_poll(outcome)
                if outcome.events:
                    for event in wake:
                        event.set()
                if outcome.reason == "outbox_full":
                    await _pause(self.clock, LOOK_S, stop)  # comes to its turn when there is room again
                    continue
                wait_s = offset_s + interval_s if first else interval_s
                first = False
                await _pause(self.clock, max(wait_s, outcome.retry_after_s or 0.0), stop)

        async with asyncio.TaskGroup() as tasks:
            for tenant, offset_s in zip(tenants, offsets, strict=True):
                tasks.create_task(cycle(tenant, offset_s), name=f"observe:{tenant.name}")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the loops; of several, one that an operator can act on."""
    leaves = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in leaves if isinstance(error, StoreError)), leaves[0])


async def _pause(clock: Clock, seconds: float, stop: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


@asynccontextmanager
async def open_app(config: Config, *, clock: Clock | None = None, writer: bool = True) -> AsyncIterator[App]:
    """Build the application; `writer` takes the lock of the loops (`run`, `once`).

    Raises ConfigError for what only shows now (secrets, mappings), StoreError or StoreBusy for the state.
    """
    check_one_folder()
    clock = clock or SystemClock()
    sinks: dict[str, Sink] = {}
    transports = Transports(clock)
    store: DurableStore | None = None
    try:
        problems: list[str] = []
        deliveries: dict[str, Callable[[DurableStore], Delivery]] = {}
        for sink_config in config.sinks:
            try:
                sinks[sink_config.name] = build_sink(sink_config)
                deliveries[sink_config.name] = _delivery(sink_config, sinks[sink_config.name], clock, config.base_dir)
            except ConfigError as error:
                problems += [f"sinks.{sink_config.name}: {p}" for p in error.problems]
        if problems:
            raise ConfigError(problems)
        store = await open_store(config, clock=clock, writer=writer)
        if writer:
            await store.attach([Start(s.name, whole_history=s.start == "all") for s in config.sinks])
        poller = Poller(
            store=store,
            clock=clock,
            open_source=lambda tenant: open_source(tenant, config, transports, clock),
            changes=config.changes,
            severity=severity_rules(),
            archive=evidence(config),
            keep_days=config.state.keep_days,
        )
        upkeep = Upkeep(store, clock, poller.severity, config.state.max_bytes, config.state.keep_days, instance())
        yield App(
            config=config,
            clock=clock,
            store=store,
            poller=poller,
            deliveries={name: build(store) for name, build in deliveries.items()},
            upkeep=upkeep,
            concurrency=concurrency(config),
        )
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


async def open_store(config: Config, *, clock: Clock, writer: bool) -> DurableStore:
    """The store of the configuration: for the loops (`writer`), or beside them for commands."""
    if config.state.path is not None:
        from connector.stores.sqlite import open_store as open_sqlite  # noqa: PLC0415 - homes without sqlite3 exist

        path = Path(config.base_dir, config.state.path)
        bound = config.state.max_bytes + LAST_RESERVE_BYTES
        store = await open_sqlite(path, clock=clock, writer=writer, max_bytes=bound)
        return cast("DurableStore", store)
    raise ConfigError(["state: only `path` (SQLite) is supported by this version"])


def build_sink(config: SinkConfig) -> Sink:
    """The sink of one entry, its secrets resolved now. Raises ConfigError."""
    module = sink_module(config.kind)
    if module is None:
        raise ConfigError([f"kind {config.kind!r} is not part of this version"], f"kinds: {', '.join(SINKS)}")
    return module.build(config.name, resolve_options(config.options, module.OPTIONS), _resolved(config.network))


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
    """One HTTP transport for each distinct network setting, shared by all tenants that have it."""

    clock: Clock
    _open: dict[NetworkConfig, Http] = field(factory=dict)

    def get(self, network: NetworkConfig) -> Http:
        if network not in self._open:
            self._open[network] = Http(
                proxy=_resolved(network).proxy,
                no_proxy=network.no_proxy,
                ca_file=network.ca_file,
                timeout_s=network.timeout_s,
                clock=self.clock,
                user_agent=USER_AGENT,
            )
        return self._open[network]

    async def close(self) -> None:
        for http in self._open.values():
            await http.close()


async def open_source(tenant: TenantConfig, config: Config, transports: Transports, clock: Clock) -> Source:
    """The source of a tenant, ready to read."""
    if tenant.source == "files":
        from connector.sources.files import FilesSource  # noqa: PLC0415 - few need it

        assert tenant.path is not None  # the configuration saw to it
        return FilesSource(path=Path(config.base_dir, tenant.path), tenant_id=tenant.tenant_id, clock=clock)
    from connector.sources.graph import GraphSource  # noqa: PLC0415

    return GraphSource(
        http=transports.get(config.network),
        base_url=tenant.graph.base_url or GRAPH_HOSTS[tenant.graph.cloud],
        tenant_id=tenant.tenant_id,
        token=token_provider(tenant, config),
        clock=clock,
        random=random.Random(),  # noqa: S311 - spreads retries, guards nothing
        backfill_days=config.poll.backfill_days,
        language=tenant.language,
    )


def token_provider(tenant: TenantConfig, config: Config) -> TokenProvider:
    """Where this tenant's tokens come from. Raises ConfigError for a kind this version lacks."""
    auth = tenant.auth
    if auth is not None and auth.kind == "token":
        return FileToken(Path(config.base_dir, str(auth.options["file"])))
    kind = auth.kind if auth else "none"
    raise ConfigError([f"tenants.{tenant.name}.auth: kind {kind!r} is not part of this version"])


Opener = Callable[[TenantConfig], Awaitable[Source]]
