"""Builds everything from a Config: the only composer. What it built is run by loops.py.

Stores and sources are imported when they are used; which module a kind of sink is says registry.py. No decision about
events is made here.
"""

import asyncio
import logging
import os
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from attrs import Factory, define, evolve, field

from connector import __version__
from connector.clock import SystemClock
from connector.config.secrets import resolve_options
from connector.config.values import OLD_ADD_ON, AuthConfig, Config, NetworkConfig, TenantConfig
from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore
from connector.deliver.pace import DIGEST_S, Pace
from connector.deliver.prepare import Prepared, prepare, refuse, resolved_network
from connector.deliver.unwritten import PatientStore
from connector.errors import ConfigError
from connector.health.counters import Counted, Counters, Measured
from connector.health.heartbeat import Heart
from connector.health.state_watch import StateWatch
from connector.health.upkeep import CONNECTOR, Upkeep
from connector.loops import App
from connector.mapping.resources import load_data
from connector.net.clouds import CLOUDS, cloud_of, cloud_of_arm
from connector.net.connect import open_client, proxy_to
from connector.net.http import Transport, Wire
from connector.observe.evidence import Evidence
from connector.observe.places import Places
from connector.observe.poller import MAX_DAYS_A_COMMIT, Poller
from connector.observe.schedule import concurrency
from connector.observe.severity import SeverityRules
from connector.observe.storm import Storms
from connector.plugins.guards import guarded_source
from connector.plugins.installed import plugin
from connector.ports import Clock, Sink, Source, Start, Store
from connector.registry import source_module
from connector.signin.credentials import ExpiryWatch
from connector.signin.msal_calls import Target
from connector.signin.tokens import SignIn, TokenProvider
from connector.sources.budget import Budgets, Limits, QueryLimits
from connector.sources.resource_graph import quota_left

if TYPE_CHECKING:
    from connector.scheduled.writer import Writer
    from connector.sources.defender_cloud import DefenderCloudSource
    from connector.sources.defender_endpoint import DefenderEndpointSource
    from connector.sources.graph import GraphSource
    from connector.stores.documents import DocumentsStore
    from connector.stores.kvstore import Collection
    from connector.stores.trial import Trial

READ = "SecurityEvents.Read.All"
WRITE = "SecurityEvents.ReadWrite.All"
"""The permissions: for reading, and for `controls set` alone."""
ARM_USER, ENDPOINT_USER = "user_impersonation", "Score.Read"
"""What a person's sign-in asks of Azure Resource Manager and of Defender for Endpoint."""

MANY_TENANTS = 50
LAST_RESERVE_BYTES = 8 * 1024**2
"""What the store still takes beyond `state.max_bytes`, where polling pauses: the connector's own words."""
USER_AGENT = "secure-score-connector"
CLOSE_S, STORE_CLOSE_S = 2.0, 10.0
"""How long sinks and transports may take to close, and the state, whose log is then worked into its file."""

log = logging.getLogger("securescore.app")


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    clock: Clock | None = None,
    writer: bool = True,
    collection: "Collection | None" = None,
    ready: Mapping[str, Sink] | None = None,
    called: str | None = None,
) -> AsyncIterator[App]:
    """Build the application; `writer` takes the lock of the loops (`run`, `once`), `collection` as in open_store.

    `ready` gives, by name, sinks that only the caller can make; `called` is what this connector calls itself, where a
    host runs several. Raises ConfigError for what only shows now (secrets, mappings), StoreError or StoreBusy for the
    state.
    """
    check_one_folder()
    clock = clock or SystemClock()
    sinks: list[Sink] = []
    counters = Counters(tuple(t.name for t in config.tenants))
    transports = transports_for(config, clock)
    transports.wrap = lambda http: Counted(http, counters)
    store: DurableStore | None = None
    try:
        prepared = [prepare(sink, config, (ready or {}).get(sink.name)) for sink in config.sinks]
        sinks = [p.sink for p in prepared if p.sink is not None]
        refuse(prepared)
        store = await open_store(config, clock=clock, writer=writer, collection=collection)
        expiries = ExpiryWatch(config)
        watch, places = StateWatch(clock), Places(clock)
        poller = evolve(
            build_poller(config, store, transports),
            archive=evidence(config),
            watch=expiries,
            storms=Storms(len(config.tenants), config.poll.interval_s),
            places=places if config.state.path else None,  # a folder of documents writes each alone
        )
        bound, keep = config.state.max_bytes, config.state.keep_days
        name = called or instance()
        upkeep = Upkeep(store, clock, poller.severity, bound, keep, name, expiries)
        beat_s = config.health.heartbeat_s
        heart = Heart(store, clock, poller.severity, beat_s, name, CONNECTOR) if beat_s else None
        by_key = {tenant.key: tenant for tenant in config.tenants}
        app = App(
            config=config,
            clock=clock,
            store=store,
            poller=poller,
            deliveries={
                p.config.name: _delivery(p, PatientStore(store, watch), clock, config, counters, by_key)
                for p in prepared
            },
            upkeep=upkeep,
            concurrency=concurrency(config.poll, len(config.tenants)),
            counters=counters,
            watch=watch,
            heart=heart,
            reports=report_writer(config, store, clock),
            configured=by_key,
            places=places,
        )
        upkeep.more, upkeep.strangers = app.faults, app.stranger_faults
        upkeep.names = lambda: {t.key: t.name for t in app.config.tenants}
        if writer:  # last: what is refused until here leaves no trace in the state
            await store.attach([Start(s.name, whole_history=s.start == "all") for s in config.sinks])
        yield app
    finally:
        await _closed(CLOSE_S, *(sink.close for sink in sinks))
        await _closed(CLOSE_S, transports.close)
        if store is not None:
            await _closed(STORE_CLOSE_S, store.close)


async def _closed(limit_s: float, *closes: Callable[[], Awaitable[None]]) -> None:
    """Close side by side. Nothing that closing meets is worth more than what follows it: it is logged, and bounded."""

    async def one(close: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.timeout(limit_s):
            await close()

    for ended in await asyncio.gather(*(one(close) for close in closes), return_exceptions=True):
        if isinstance(ended, Exception):
            log.warning("close.failed", extra={"error": f"{type(ended).__name__}: {ended}"})


def build_poller(config: Config, store: Store, transports: "Transports") -> Poller:
    """What polls, with all that decides on the outcome of a poll. Raises ConfigError for a damaged installation."""
    return Poller(
        store=store,
        clock=transports.clock,
        open_source=lambda tenant: open_source(tenant, config, transports, transports.clock),
        changes=config.changes,
        severity=severity_rules(),
        keep_days=config.state.keep_days,
        max_days_a_commit=getattr(store, "max_days_a_commit", None) or MAX_DAYS_A_COMMIT,
    )


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


def instance(more: str = "") -> str:
    """What this connector calls itself in its own events: the host's name, as far as it is fit for a URN; and more.

    Of a function app the app's name: its hosts are called anew with every start.
    """
    name = os.environ.get("WEBSITE_SITE_NAME") or socket.gethostname()
    return re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}{more}")[:64] or "connector"


def severity_rules() -> SeverityRules:
    data = load_data("severity")
    return SeverityRules(tuple(data["rules"]), int(data["default"]))


def report_writer(config: Config, store: Store, clock: Clock) -> "Writer | None":
    """What writes the reports of the configuration; None where it asks for none."""
    if not config.reports:
        return None
    from connector.scheduled.writer import Writer  # noqa: PLC0415 - few have reports, and homes without them exist

    return Writer(config.reports, store, clock, severity_rules(), __version__, evidence(config))


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
        opened = await open_sqlite(path, clock=clock, writer=writer, mode=state.mode, max_bytes=bound)
        return cast("DurableStore", opened)
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

    prefix = str((state.kvstore or {}).get("prefix") or "")
    return cast("DurableStore", open_kvstore(collection, clock=clock, max_bytes=bound, prefix=prefix))


async def try_state(config: Config, clock: Clock) -> "Trial":
    """Whether the loops could open the state of the configuration, without changing it. Raises StoreError."""
    from connector.stores.trial import Trial, try_directory, try_sqlite  # noqa: PLC0415 - for one command

    state = config.state
    if state.path is not None:
        return await try_sqlite(Path(config.base_dir, state.path), clock=clock, mode=state.mode)
    if state.directory is not None:
        return await try_directory(Path(config.base_dir, state.directory), clock=clock)
    return Trial(exists=True)  # asked by opening it


def _open_blob(config: Config, clock: Clock, bound: int) -> "DocumentsStore":
    """The store in Azure blobs, signed in as the managed identity of this machine, or with a token from outside."""
    from connector.signin.tokens import azure_credential  # noqa: PLC0415 - few need it
    from connector.stores.blob import open_store as open_blob  # noqa: PLC0415

    blob = dict(config.state.blob or {})
    auth = AuthConfig("managed_identity", {"client_id": blob["client_id"]} if blob.get("client_id") else {})
    if blob.get("token_file"):
        auth = AuthConfig("token", {"file": blob["token_file"]})
    network = resolved_network(config.network)
    credential = azure_credential(auth, CLOUDS["global"], network, clock)
    return open_blob(
        clock=clock,
        container=str(blob["container"]),
        account_url=str(blob["account_url"]),
        credential=credential,
        prefix=f"{str(blob['prefix']).strip('/')}/" if blob.get("prefix") else "",
        max_bytes=bound,
        proxy=proxy_to(str(blob["account_url"]), network),
        ca_file=network.ca_file,
        close=credential.close,
    )


def _delivery(
    prepared: Prepared,
    store: PatientStore,
    clock: Clock,
    config: Config,
    counters: Counters,
    tenants: Mapping[str, TenantConfig],
) -> Delivery:
    of_sink, sink, mapping = prepared.config, prepared.sink, prepared.mapping
    assert sink is not None
    assert mapping is not None
    return Delivery(
        store=cast("DurableStore", store),
        sink=Measured(sink, counters, asyncio.get_running_loop().time),
        mapping=mapping,
        clock=clock,
        wants=Filter(
            streams=frozenset(of_sink.streams),
            backfilled=of_sink.start != "now",
            tenants=of_sink.tenants,
            include=of_sink.include,
            exclude=of_sink.exclude,
            min_severity=of_sink.min_severity,
            units=of_sink.format != OLD_ADD_ON,  # a form for the score of a tenant alone
            configured=tenants,
        ),
        max_records=min(of_sink.max_records or sink.max_records, sink.max_records),
        max_bytes=min(of_sink.max_bytes or sink.max_bytes, sink.max_bytes),
        with_own_place=frozenset(t.key for t in config.tenants if not t.overrides.keys().isdisjoint(prepared.routes)),
        digest=prepared.digest,
        pace=Pace(DIGEST_S) if prepared.digest else Pace(),
    )


@define
class Transports:
    """One HTTP transport for each distinct network setting, shared by all tenants that have it; and who signs in there.

    `wrap` may put something in front of a new transport, such as an observer.
    """

    clock: Clock
    wrap: Callable[[Wire], Transport] = lambda http: http
    budgets: Budgets = field(default=Factory(lambda self: Budgets(self.clock), takes_self=True))
    queries: Budgets = field(
        default=Factory(lambda self: Budgets(self.clock, QueryLimits(), left=quota_left), takes_self=True)
    )
    _open: dict[NetworkConfig, tuple[Wire, Transport]] = field(factory=dict)
    _sign_in: SignIn | None = None

    @property
    def sign_in(self) -> SignIn:
        """Everything that signs in, over these transports."""
        if self._sign_in is None:
            self._sign_in = SignIn(self.clock, self.get)
        return self._sign_in

    def get(self, network: NetworkConfig) -> Transport:
        if network not in self._open:
            http = open_client(resolved_network(network), self.clock, user_agent=USER_AGENT)
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
    """The source of a tenant, ready to read. Raises ConfigError."""
    if tenant.source == "files":
        from connector.sources.files import FilesSource  # noqa: PLC0415 - few need it

        assert tenant.path is not None  # the configuration saw to it
        return FilesSource(path=Path(config.base_dir, tenant.path), tenant_id=tenant.tenant_id, clock=clock)
    if tenant.source == "graph":
        return graph_source(tenant, config, transports, clock)
    if tenant.saved:
        return _saved_units(tenant, config)
    if tenant.source == "defender_cloud":
        return _defender_cloud(tenant, config, transports, clock)
    if tenant.source == "defender_endpoint":
        return endpoint_source(tenant, config, transports, clock)
    return _plugged_source(tenant, config)


def _defender_cloud(tenant: TenantConfig, config: Config, transports: Transports, clock: Clock) -> Source:
    """Azure's secure scores as a tenant's source; entries of one principal share its quota. Raises ConfigError."""
    http = transports.queries.in_front_of(transports.get(config.network), f"{_arm_root(tenant)} {_principal(tenant)}")
    return _cloud_source(tenant, http, token_provider(tenant, config, transports), clock)


def _arm_root(tenant: TenantConfig) -> str:
    return tenant.arm.base_url or cloud_of_arm(tenant.arm, tenant.graph).resource_manager


def _saved_units(tenant: TenantConfig, config: Config) -> Source:
    """What was saved of an entry of several units, read by the source that asked for it. Raises ConfigError."""
    from connector.sources.saved_units import SavedUnits, UnitsSource  # noqa: PLC0415 - few need it

    def opened(http: Transport, token: TokenProvider, clock: Clock) -> UnitsSource:
        build = _cloud_source if tenant.source == "defender_cloud" else _endpoint_source
        return build(tenant, http, token, clock)

    assert tenant.path is not None  # whoever calls saw to it
    path = Path(config.base_dir, tenant.path)
    return SavedUnits(name=tenant.source, path=path, most_days=config.poll.backfill_days, opened=opened)


def _cloud_source(tenant: TenantConfig, http: Transport, token: TokenProvider, clock: Clock) -> "DefenderCloudSource":
    from connector.sources.defender_cloud import DefenderCloudSource, scope_of  # noqa: PLC0415 - few need it

    return DefenderCloudSource(
        http=http,
        base_url=_arm_root(tenant),
        tenant_id=tenant.tenant_id,
        token=token,
        clock=clock,
        random=random.Random(),  # noqa: S311 - spreads retries, guards nothing
        scope=scope_of(tenant.scope),
        compliance=tenant.compliance,
        delegated=tenant.directory != tenant.tenant_id,
    )


def _principal(tenant: TenantConfig) -> str:
    """Who asks in a tenant's name: an application in its directory is one principal however it signs in."""
    auth = tenant.auth
    assert auth is not None  # the configuration saw to it
    named = auth.options.get("client_id") or auth.options.get("file") or auth.options.get("cache") or ""
    return f"{tenant.directory} {named or auth.kind}"


def endpoint_source(
    tenant: TenantConfig, config: Config, transports: Transports, clock: Clock, *, audience: str = ""
) -> Source:
    """Defender for Endpoint as a tenant's source; with tokens for another `audience`, to try it. Raises ConfigError."""
    assert tenant.auth is not None  # the configuration saw to it
    target = target_of(tenant)
    token = transports.sign_in.provider(
        tenant.auth, evolve(target, audience=audience or target.audience), config.network
    )
    return _endpoint_source(tenant, transports.get(config.network), token, clock)


def _endpoint_source(
    tenant: TenantConfig, http: Transport, token: TokenProvider, clock: Clock
) -> "DefenderEndpointSource":
    from connector.sources.defender_endpoint import DefenderEndpointSource  # noqa: PLC0415 - few need it

    return DefenderEndpointSource(
        http=http,
        base_url=tenant.defender_endpoint.base_url or target_of(tenant).cloud.endpoint,
        tenant_id=tenant.tenant_id,
        token=token,
        clock=clock,
        random=random.Random(),  # noqa: S311 - spreads retries, guards nothing
    )


def _plugged_source(tenant: TenantConfig, config: Config) -> Source:
    """The source that an installed package brings under this name. Raises ConfigError."""
    module, found = source_module(tenant.source), plugin("source", tenant.source)
    if module is None or found is None:
        raise ConfigError([f"source {tenant.source!r}: no installed package brings it"], "install it again")
    options = resolve_options(tenant.options, module.OPTIONS)
    return guarded_source(found, lambda: module.build(tenant.tenant_id, options, resolved_network(config.network)))


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
    """What a tenant's token is for: what its source reads, in its cloud. Raises ConfigError."""
    if tenant.source == "defender_cloud":
        azure = cloud_of_arm(tenant.arm, tenant.graph)
        return Target(tenant.directory, azure, azure.resource_manager, ARM_USER)
    cloud = cloud_of(tenant.graph)
    if tenant.source == "defender_endpoint":
        audience = tenant.defender_endpoint.audience or cloud.endpoint_audiences[0]
        return Target(tenant.tenant_id, cloud, audience, ENDPOINT_USER)
    return Target(tenant.tenant_id, cloud, cloud.graph_audience, WRITE if write else READ)
