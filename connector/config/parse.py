"""A plain dict → a frozen Config, with every problem reported at once.

No YAML and no environment here: a front end (YAML file, Splunk conf, app settings) gives the dict, the positions of its
keys, the rows of its tenants file and the environment. What comes out stands in values.py. Nothing here performs I/O;
only a name that does not ship is looked for among what installed packages bring (plugins/).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, frozen

from connector.config.baseline import Baseline, with_baseline
from connector.config.keys import (
    AUTH,
    DEFAULT_STATE_PATH,
    LISTS,
    OF_SOURCE,
    OVERRIDES,
    PROVIDER,
    REPORT,
    REPORT_ENDINGS,
    REPORT_PLACEHOLDERS,
    SINK,
    SINK_TENANT,
    TENANT,
    TOP,
    VIANET_HOSTS,
)
from connector.config.read import Path, Problem, Reader, group, in_order, nearest, not_one_of, placed, shown
from connector.config.values import (
    OLD_ADD_ON,
    ArmConfig,
    AuthConfig,
    ChangesConfig,
    Config,
    EndpointConfig,
    ExceptionsConfig,
    GraphConfig,
    HealthConfig,
    LogConfig,
    NetworkConfig,
    PollConfig,
    RawConfig,
    ReportConfig,
    ScheduleConfig,
    ScopeConfig,
    SinkConfig,
    StateConfig,
    TargetsConfig,
    TenantConfig,
)
from connector.errors import ConfigError
from connector.model import OF_UNITS, STREAM_OF_TYPE, STREAMS
from connector.options import Option, is_loopback
from connector.plugins.installed import plugin_names
from connector.registry import ANY_OPTIONS, SINKS, source_options

LEAST_INTERVAL_S = 60
"""How often Microsoft's hosts may be asked at most; it publishes one score a day. A host on loopback: any time."""

SinkOptions = Callable[[str], Mapping[str, Option] | None]
"""Kind of a sink → its OPTIONS, or None for a kind that does not exist."""


@frozen
class TenantRow:
    """One row of a tenants file, keys as under `tenants`. `where` gives lines inside a row that spans several."""

    file: str
    line: int
    values: Mapping[str, Any]
    where: Callable[[Path], int | None] | None = None


def parse(
    raw: Mapping[str, Any],
    *,
    where: Callable[[Path], int | None] = lambda _: None,
    sink_options: SinkOptions,
    base_dir: str = ".",
    environ: Mapping[str, str] | None = None,
    tenant_rows: Sequence[TenantRow] = (),
    baseline: Baseline | None = None,
    problems: Sequence[Problem] = (),
) -> Config:
    """The Config of a raw mapping.

    `where` gives the line of a path such as ("sinks", 1, "port"); `baseline` are the standards in the file that it
    names; `environ` is what `${env:NAME}` means in values that
    are no secrets; `problems` are those the front end found already. Raises one ConfigError that holds all problems,
    each "sinks[1].port (line 12): what is wrong".
    """
    reader = Reader(where, environ or {}, base_dir, problems=list(problems))
    top = reader.mapping(raw, ())
    v = reader.read_all(TOP, {key: value for key, value in top.items() if key not in LISTS})
    network = NetworkConfig(
        proxy=v["network.proxy"],
        no_proxy=v["network.no_proxy"],
        ca_file=v["network.ca_file"],
        timeout_s=v["network.timeout_s"],
    )
    graph = GraphConfig(cloud=v["graph.cloud"], base_url=v["graph.base_url"], authority=v["graph.authority"])
    arm = _arm(reader, v, (), ArmConfig())
    endpoint = _endpoint(v, EndpointConfig())
    targets = TargetsConfig(
        percent_min=v["targets.percent_min"],
        measured_percent_min=v["targets.measured_percent_min"],
        drop_points=v["targets.drop_points"],
        controls=v["targets.controls"],
        exposure_max=v["targets.exposure_max"],
    )
    exceptions = ExceptionsConfig(v["exceptions.review_after"], v["exceptions.comment_required"])
    report = ReportConfig(v["report.customer"], v["report.author"], v["report.classification"], v["report.logo"])
    sinks = _sinks(reader, top.get("sinks"), sink_options, network)
    control_scores = v["changes.control_scores"]
    if control_scores is None:
        control_scores = any(sink.format == OLD_ADD_ON for sink in sinks)
    config = Config(
        tenants=_tenants(
            reader, top, tenant_rows, _Common(graph, arm, endpoint, targets, exceptions, report, v["poll.language"])
        ),
        sinks=sinks,
        state=_state(reader, v),
        raw=RawConfig(keep_days=v["raw.keep_days"], path=v["raw.path"]),
        poll=PollConfig(
            interval_s=v["poll.interval"],
            backfill_days=v["poll.backfill"],
            language=v["poll.language"],
            concurrency=v["poll.concurrency"],
            requests_per_minute=v["poll.requests_per_minute"],
            requests_per_ten_minutes=v["poll.requests_per_ten_minutes"],
            requests_at_once=v["poll.requests_at_once"],
        ),
        changes=ChangesConfig(
            min_points=v["changes.min_points"],
            min_share=v["changes.min_share"],
            min_score_points=v["changes.min_score_points"],
            evidence=v["changes.evidence"],
            inventory=v["changes.inventory"],
            control_scores=control_scores,
            catalogue=v["changes.catalogue"],
            stale_after_s=v["changes.stale_after"],
            suspicious_loss=v["changes.suspicious_loss"],
        ),
        targets=targets,
        exceptions=exceptions,
        report=report,
        network=network,
        graph=graph,
        arm=arm,
        defender_endpoint=endpoint,
        health=HealthConfig(
            listen=v["health.listen"],
            heartbeat_s=v["health.heartbeat"] or 0.0,
            control_gauges=v["health.control_gauges"],
        ),
        reports=_reports(reader, top.get("reports")),
        log=LogConfig(level=v["log.level"], format=v["log.format"]),
        tenants_file=v["tenants_file"],
        baseline=v["baseline"],
        base_dir=base_dir,
    )
    _interval(reader, config)
    _files_of_others(reader, config)
    if config.baseline is not None and baseline is None and not problems:
        reader.note(("baseline",), "a file is read where the configuration is one: give the standards themselves here")
    if reader.problems:
        raise ConfigError(in_order(reader.problems))
    return config if baseline is None else evolve(config, tenants=with_baseline(baseline, config.tenants))


def _interval(reader: Reader, config: Config) -> None:
    """Nobody means to ask Microsoft every few seconds; a bare number, which counts seconds, may be meant as minutes."""
    asked = [tenant for tenant in config.tenants if tenant.source in _SOURCES and not _is_ours(_base_url(tenant))]
    if asked and config.poll.interval_s < LEAST_INTERVAL_S:
        told = f"every {config.poll.interval_s:g} s is too often for Microsoft's hosts"
        reader.note(("poll", "interval"), f"{told}: at least {LEAST_INTERVAL_S} s; write a unit, such as 10m or 1h")


def _files_of_others(reader: Reader, config: Config) -> None:
    """A sink that appends to the state would destroy it, and to what is read here, spoil the next start."""
    named = (("state.path", config.state.path), ("tenants_file", config.tenants_file), ("baseline", config.baseline))
    taken = {path: key for key, path in named if path}
    for index, sink in enumerate(config.sinks):
        if sink.kind == "file" and (key := taken.get(str(sink.options.get("path")))) is not None:
            reader.note(("sinks", index, "path"), f"is the file of {key}: events need a file of their own")


def _base_url(tenant: TenantConfig) -> str | None:
    """Where the host that a tenant is read from was written; a folder is as near as a host can be."""
    if tenant.saved:
        return "http://localhost"
    return {
        "graph": tenant.graph.base_url,
        "defender_cloud": tenant.arm.base_url,
        "defender_endpoint": tenant.defender_endpoint.base_url,
    }[tenant.source]


def _is_ours(base_url: str | None) -> bool:
    """Whether a host is on this machine, such as the simulator."""
    return base_url is not None and is_loopback(urlsplit(base_url).hostname or "")


def _state(reader: Reader, v: Mapping[str, Any]) -> StateConfig:
    maps = {home: _inside(v, f"state.{home}.") for home in ("blob", "kvstore")}
    homes = [home for home in ("path", "directory") if v[f"state.{home}"]] + [home for home in maps if maps[home]]
    if len(homes) > 1:
        reader.note(("state",), f"names {len(homes)} homes ({', '.join(homes)}): keep one")
    return StateConfig(
        path=v["state.path"] if homes else DEFAULT_STATE_PATH,
        directory=v["state.directory"],
        blob=maps["blob"] or None,
        kvstore=maps["kvstore"] or None,
        keep_days=v["state.keep_days"],
        max_bytes=v["state.max_bytes"],
        mode=int(v["state.mode"], 8),
    )


def _inside(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values of one map that were written, by their names inside it."""
    return {name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix) and v is not None}


# ---------------------------------------------------------------------------------------------------------- tenants

_SOURCES = TENANT["source"].choices
_GROUP = re.compile(r"[A-Za-z0-9_().-]{1,90}")
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")


@frozen
class _Common:
    """What the whole configuration says of all tenants."""

    graph: GraphConfig
    arm: ArmConfig
    defender_endpoint: EndpointConfig
    targets: TargetsConfig
    exceptions: ExceptionsConfig
    report: ReportConfig
    language: str


class _Defaults:
    """What tenants have in common, built once and shared: ten thousand tenants hold one credential object."""

    def __init__(self, reader: Reader, raw: object, table: Mapping[str, Option], common: _Common) -> None:
        path = ("defaults",)
        written = {} if raw is None else reader.mapping(raw, path)
        keys = {name: option for name, option in table.items() if name not in ("name", "tenant_id")}
        given = reader.read(group(keys), _without_options(written), path)
        _no_provider(reader, given.get("write_auth"), (*path, "write_auth"))
        self.reader = reader
        self.table = group(table)
        self.options = written.get("options")
        self.given = given
        self.labels = _labels(reader, given, path)
        self.graph = _graph(reader, given, path, common.graph)
        self.arm = _arm(reader, given, path, common.arm)
        self.defender_endpoint = _endpoint(given, common.defender_endpoint)
        self.scope = _scope(reader, given, path, ScopeConfig())
        self.compliance = bool(given.get("compliance"))
        self.targets = _targets(given, common.targets)
        self.exceptions = _exceptions(given, common.exceptions)
        self.report = _report(given, common.report)
        self.language: str = given.get("language") or common.language
        self.overrides = {key: given[key] for key in OVERRIDES if key in given}
        self._auth: dict[tuple[str, bool], AuthConfig | None] = {}

    def auth(self, key: str, *, elsewhere: bool) -> AuthConfig | None:
        """The credential under `defaults`, read when the first tenant needs it as it stands."""
        if key not in self.given:
            return None
        if (key, elsewhere) not in self._auth:
            written = self.given[key]
            raw = _at_home(written) if isinstance(written, Mapping) and not elsewhere else written
            self._auth[key, elsewhere] = _auth(self.reader, raw, ("defaults", key))
        return self._auth[key, elsewhere]


def _tenants(
    reader: Reader,
    top: Mapping[str, Any],
    rows: Sequence[TenantRow],
    common: _Common,
) -> tuple[TenantConfig, ...]:
    listed = reader.items(top.get("tenants"), ("tenants",))
    table = _table([top.get("defaults"), *listed, *(row.values for row in rows)])
    defaults = _Defaults(reader, top.get("defaults"), table, common)
    tenants: list[TenantConfig] = []
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    caches: dict[str, tuple[str, str]] = {}

    def add(reader: Reader, raw: object, path: Path, place: str) -> None:
        written = reader.mapping(raw, path)
        if not isinstance(raw, Mapping):
            return  # noted; what it lacks would only be noise
        tenant = _tenant(reader, written, path, defaults)
        if tenant.name and (first := names.setdefault(tenant.name.lower(), place)) != place:
            reader.note((*path, "name"), f"{tenant.name} is taken by {first}; case does not count")
        if tenant.tenant_id and (first := keys.setdefault(tenant.key, place)) != place:
            again = f" with source: {tenant.source}" if tenant.source in OF_UNITS else ""
            reader.note((*path, "tenant_id"), f"{tenant.tenant_id} is listed before{again}, at {first}")
        for key, auth in (("auth", tenant.auth), ("write_auth", tenant.write_auth)):
            if auth is not None and auth.kind == "device_code" and (cache := auth.options.get("cache")):
                application = str(auth.options.get("client_id"))
                other, where = caches.setdefault(cache, (application, f"{place}, {key}"))
                if other != application:
                    reader.note((*path, key, "cache"), f"holds the sign-in of another application already, see {where}")
        tenants.append(tenant)

    for index, raw in enumerate(listed):
        add(reader, raw, ("tenants", index), placed(("tenants", index), reader.where))
    for row in rows:
        place = f"{row.file} line {row.line}"
        add(evolve(reader, file=row.file, where=row.where or _always(row.line)), row.values, (), place)
    if not tenants and not (reader.problems and (top.get("tenants_file") or top.get("tenants"))):
        reader.note(("tenants",), "names no tenant: list at least one, here or in tenants_file")
    return tuple(tenants)


def _table(written: Sequence[object]) -> Mapping[str, Option]:
    """The keys of a tenant; the sources that plug-ins bring are among them where one is named that does not ship."""
    named = [one["source"] for one in written if isinstance(one, Mapping) and one.get("source") is not None]
    if all(source in _SOURCES for source in named):
        return TENANT
    return {**TENANT, "source": evolve(TENANT["source"], choices=(*_SOURCES, *plugin_names("source")))}


def _without_options(written: Mapping[str, Any]) -> dict[str, Any]:
    """What is written without `options`, which the source's own table judges."""
    return {key: value for key, value in written.items() if key != "options"}


def _always(line: int) -> Callable[[Path], int]:
    return lambda _: line


def _tenant(reader: Reader, raw: Mapping[str, Any], path: Path, defaults: _Defaults) -> TenantConfig:
    given = reader.read(defaults.table, _without_options(raw), path)
    both = defaults.given | given
    name = given.get("name") or ""
    reader.check_name((*path, "name"), name)
    source = both.get("source", "graph")
    auth = write_auth = None
    options = _NO_OPTIONS
    if raw.get("options") is not None and source in _SOURCES:
        reader.note((*path, "options"), f"belongs to a source that a plug-in brings, not to source: {source}")
    saved = source in OF_UNITS and "path" in given
    if saved:
        for key in ("auth", "write_auth", "scope", "scope.management_groups", "scope.subscriptions"):
            if key in given:
                what = "with path the saved responses are read as they are, and nobody is asked: remove it, or path"
                reader.note((*path, *key.split(".")), what)
    elif source == "graph" or source in OF_UNITS:
        auth = _tenant_auth(reader, "auth", given, path, defaults, elsewhere=source == "defender_cloud")
        if source == "graph":
            write_auth = _tenant_auth(reader, "write_auth", given, path, defaults)
        elif "write_auth" in given:
            reader.note((*path, "write_auth"), f"source: {source} is never written to: remove it")
        if "auth" not in both:
            reader.note((*path, "auth"), "is missing: give this tenant, or defaults, a credential")
        if "path" in given:
            reader.note((*path, "path"), f"belongs to source: files, {' or '.join(sorted(OF_UNITS))}")
    elif source not in _SOURCES:
        options = _source_options(reader, source, raw.get("options"), path, defaults.options)
        for key in ("auth", "write_auth", "path"):
            if key in given:
                reader.note((*path, key), f"source: {source} has keys of its own, under options: remove it")
    elif source == "files":
        if "path" not in both:
            reader.note((*path, "path"), "is missing: source: files reads the saved responses of this folder")
        for key in ("auth", "write_auth"):
            if key in given:
                reader.note((*path, key), "source: files signs in nowhere: remove it")
    for key in given:
        owner = OF_SOURCE.get(key.partition(".")[0])
        if owner is not None and owner != source:
            reader.note((*path, *key.split(".")), f"belongs to source: {owner}")
    overrides = {key: given[key] for key in OVERRIDES if key in given}
    graph = _graph(reader, given, path, defaults.graph)
    in_azure = source == "defender_cloud"
    return TenantConfig(
        name=name,
        tenant_id=given.get("tenant_id") or "",
        labels={**defaults.labels, **_labels(reader, given, path)} if "labels" in given else defaults.labels,
        source=source,
        path=given.get("path") if source in OF_UNITS else both.get("path"),
        auth=auth,
        write_auth=write_auth,
        graph=graph,
        language=given.get("language") or defaults.language,
        targets=_targets(given, defaults.targets),
        exceptions=_exceptions(given, defaults.exceptions),
        report=_report(given, defaults.report),
        overrides={**defaults.overrides, **overrides} if overrides else defaults.overrides,
        options=options,
        arm=_in_its_cloud(_arm(reader, given, path, defaults.arm), graph) if in_azure else defaults.arm,
        defender_endpoint=_endpoint(given, defaults.defender_endpoint),
        scope=_scope(reader, given, path, defaults.scope) if in_azure and not saved else _ALL,
        compliance=in_azure and bool(given.get("compliance", defaults.compliance)),
    )


_ALL = ScopeConfig()
_NO_OPTIONS: Mapping[str, Any] = {}  # one of thousands of tenants


def _in_its_cloud(arm: ArmConfig, graph: GraphConfig) -> ArmConfig:
    """With the cloud that follows from Graph's where none is written."""
    return arm if arm.cloud else evolve(arm, cloud="global" if graph.cloud == "global" else "usgov")


def _source_options(reader: Reader, source: str, raw: object, path: Path, base: object) -> Mapping[str, Any]:
    """The keys of a source that a plug-in brings, those under `defaults` beneath a tenant's own."""
    path = (*path, "options")
    written = {} if raw is None else reader.mapping(raw, path)
    both = {**base, **written} if isinstance(base, Mapping) else written
    table = source_options(source)
    return both if table is None or table is ANY_OPTIONS else reader.read_all(table, both, path)


def _tenant_auth(
    reader: Reader, key: str, given: Mapping[str, Any], path: Path, defaults: _Defaults, *, elsewhere: bool = False
) -> AuthConfig | None:
    """A tenant's credential; `elsewhere`: it may sign in to another directory than the one that is read."""
    if key not in given:
        return defaults.auth(key, elsewhere=elsewhere)
    base, own = defaults.given.get(key), given[key]
    if not elsewhere and isinstance(base, Mapping):
        base = _at_home(base)
    if not elsewhere:
        _no_provider(reader, own, (*path, key))
    return _auth(reader, own, (*path, key), base=base)


def _no_provider(reader: Reader, raw: object, path: Path) -> None:
    if isinstance(raw, Mapping) and raw.get("tenant_id") is not None:
        what = "belongs to the auth of source: defender_cloud; everything else is signed in to in its own directory"
        reader.note((*path, "tenant_id"), what)


def _at_home(options: Mapping[str, Any]) -> dict[str, Any]:
    """A credential that signs in to the directory that is read."""
    return {key: value for key, value in options.items() if key != "tenant_id"}


def _labels(reader: Reader, given: Mapping[str, Any], path: Path) -> Mapping[str, str]:
    labels: Mapping[str, str] = given.get("labels") or {}
    for key, value in labels.items():
        if not _LABEL.fullmatch(key):
            reader.note((*path, "labels", key), "a label's name has letters, digits, dot, dash and underscore only")
        if len(value) > 256:
            reader.note((*path, "labels", key), "a label's value has at most 256 characters")
    return labels


def _graph(reader: Reader, given: Mapping[str, Any], path: Path, base: GraphConfig) -> GraphConfig:
    if "cloud" in given and "graph.cloud" in given:
        reader.note((*path, "cloud"), "is written twice, here and under graph: keep one")
    cloud = given.get("cloud") or given.get("graph.cloud")
    written = {"cloud": cloud} if cloud else {}
    written |= {key: given[f"graph.{key}"] for key in ("base_url", "authority") if f"graph.{key}" in given}
    return evolve(base, **written) if written else base


def _arm(reader: Reader, given: Mapping[str, Any], path: Path, base: ArmConfig) -> ArmConfig:
    keys = {"cloud": given.get("arm.cloud"), "base_url": given.get("arm.base_url")}
    written = {key: value for key, value in keys.items() if value is not None}
    if (urlsplit(written.get("base_url", "")).hostname or "").endswith(VIANET_HOSTS):
        what = "belongs to the cloud operated by 21Vianet, in which Microsoft retired Defender for Cloud"
        reader.note((*path, "arm", "base_url"), what)
    return evolve(base, **written) if written else base


def _endpoint(given: Mapping[str, Any], base: EndpointConfig) -> EndpointConfig:
    keys = {
        "base_url": given.get("defender_endpoint.base_url"),
        "audience": given.get("defender_endpoint.audience"),
    }
    written = {key: value for key, value in keys.items() if value is not None}
    return evolve(base, **written) if written else base


def _scope(reader: Reader, given: Mapping[str, Any], path: Path, base: ScopeConfig) -> ScopeConfig:
    """`tenant`, or a map with one of the two lists; what is written replaces the whole of what `defaults` say."""
    if "scope" in given:
        return _ALL
    groups: Sequence[str] | None = given.get("scope.management_groups")
    subscriptions: Sequence[str] | None = given.get("scope.subscriptions")
    if groups is None and subscriptions is None:
        return base
    path = (*path, "scope")
    if groups is not None and subscriptions is not None:
        reader.note(path, "names management_groups and subscriptions: keep one")
    elif not groups and not subscriptions:
        reader.note(path, "names none: name at least one, or write scope: tenant")
    for one in groups or ():
        if not _GROUP.fullmatch(one):
            what = f"{shown(one)!r} is no id of a management group: the portal shows it beside the name"
            reader.note((*path, "management_groups"), what)
    ids = [reader.value(Option("guid"), one, (*path, "subscriptions")) for one in subscriptions or ()]
    return ScopeConfig(tuple(groups or ()), tuple(dict.fromkeys(one for one in ids if one)))


def _targets(given: Mapping[str, Any], base: TargetsConfig) -> TargetsConfig:
    written = _inside(given, "targets.")
    return evolve(base, **written) if written else base


def _report(given: Mapping[str, Any], base: ReportConfig) -> ReportConfig:
    written = _inside(given, "report.")
    return evolve(base, **written) if written else base


def _exceptions(given: Mapping[str, Any], base: ExceptionsConfig) -> ExceptionsConfig:
    written = _inside(given, "exceptions.")
    if "review_after" in written:
        written["review_after_days"] = written.pop("review_after")
    return evolve(base, **written) if written else base


# ------------------------------------------------------------------------------------------------------ credentials


_TOGETHER: Mapping[str, frozenset[str]] = {
    "client_id": frozenset({"expires_on"}),
    "client_secret": frozenset({"expires_on"}),
    "file": frozenset({"expires_on", "password"}),
    "token_file": frozenset({"managed_identity"}),
    "managed_identity": frozenset({"token_file"}),
}
"""Key of a credential → what was said of the one it replaces: that is not inherited beside it."""


def _inherited(base: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    replaced = {key for name, value in given.items() if value is not None for key in _TOGETHER.get(name, ())}
    return {key: value for key, value in base.items() if key not in replaced}


def _auth(reader: Reader, raw: object, path: Path, *, base: object = None, of_sink: bool = False) -> AuthConfig | None:
    """A credential; keys that are not written come from `base` when that has the same kind."""
    given = reader.mapping(raw, path)
    if not isinstance(raw, Mapping):
        return None
    if isinstance(base, Mapping) and given.get("kind", base.get("kind")) == base.get("kind"):
        given = {**_inherited(base, given), **given}
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in AUTH:
        wrong = f"is missing: one of {', '.join(AUTH)}" if kind is None else not_one_of(kind, AUTH)
        reader.note((*path, "kind"), wrong)
        return None
    table = {"kind": Option("enum", choices=tuple(AUTH)), **AUTH[kind]}
    table["tenant_id"] = (
        evolve(SINK_TENANT, required=kind not in ("managed_identity", "token")) if of_sink else PROVIDER
    )
    options = reader.read(group(table), given, path)
    if kind == "federated":
        _check_federated(reader, options, path)
    del options["kind"]
    return AuthConfig(kind=kind, expires_on=options.pop("expires_on", None), options=options)


def _check_federated(reader: Reader, options: dict[str, Any], path: Path) -> None:
    if ("token_file" in options) == ("managed_identity" in options):
        reader.note(path, "needs either token_file or managed_identity")
    identity = options.get("managed_identity")
    if identity is not None and identity != "system":
        options["managed_identity"] = reader.value(Option("guid"), identity, (*path, "managed_identity"))


# ------------------------------------------------------------------------------------------------------------ sinks


def _sinks(reader: Reader, raw: object, sink_options: SinkOptions, network: NetworkConfig) -> tuple[SinkConfig, ...]:
    sinks: list[SinkConfig] = []
    names: dict[str, int] = {}
    items = reader.items(raw, ("sinks",))
    for index, item in enumerate(items):
        path: Path = ("sinks", index)
        written = reader.mapping(item, path)
        if not isinstance(item, Mapping):
            continue
        sink = _sink(reader, written, path, sink_options, network)
        reader.check_name((*path, "name"), sink.name)
        if sink.name and (first := names.setdefault(sink.name.lower(), index)) != index:
            taken = placed(("sinks", first), reader.where)
            reader.note((*path, "name"), f"{sink.name} is taken by {taken}; case does not count")
        sinks.append(sink)
    if not items and not raw:
        reader.note(("sinks",), "names no sink: add one, for example {name: archive, kind: file, path: ./events.jsonl}")
    return tuple(sinks)


def _sink(
    reader: Reader, raw: Mapping[str, Any], path: Path, sink_options: SinkOptions, network: NetworkConfig
) -> SinkConfig:
    kind = raw.get("kind")
    own = sink_options(kind) if isinstance(kind, str) else None
    if own is None:
        known = [*(name for name in SINKS if sink_options(name) is not None), *plugin_names("sink")]
        if kind is None:
            reader.note((*path, "kind"), f"is missing: one of {', '.join(known)}")
        else:
            reader.note((*path, "kind"), not_one_of(kind, known))
        # Which keys such a sink may have is unknown; the common ones are still checked.
        raw, own = _common(raw) | {"kind": "unknown"}, {}
    elif own is ANY_OPTIONS:
        raw, own = _common(raw), {}
    kind = str(raw["kind"])
    v = reader.read_all(_with_plugins({**SINK, **own}, raw), raw, path)
    for name, option in own.items():
        if option.type == "auth" and v[name] is not None:
            v[name] = _auth(reader, v[name], (*path, name), of_sink=True)
    targets = v["streams"] if isinstance(v["streams"], Mapping) else {}
    streams = tuple(stream for stream in STREAMS if stream in v["streams"])
    if v["format"] == OLD_ADD_ON and streams != ("score",):
        reader.note((*path, "format"), f"{OLD_ADD_ON} has a form for whole days only: write streams: [score]")
    if not streams:
        reader.note((*path, "streams"), f"selects nothing: one or more of {', '.join(STREAMS)}")
    overridden = {key: v[key] for key in ("proxy", "no_proxy", "ca_file", "timeout_s") if key in raw}
    return SinkConfig(
        name=v["name"] or "",
        kind=kind,
        options={name: v[name] for name in own if name not in SINK},
        format=v["format"],
        mapping=v["mapping"],
        streams=streams,
        stream_targets=targets,
        start=v["start"],
        tenants=v["tenants"],
        include=_types(reader, v["include"], (*path, "include")),
        exclude=_types(reader, v["exclude"], (*path, "exclude")),
        min_severity=v["min_severity"],
        max_records=v["batch.max_records"],
        max_bytes=v["batch.max_bytes"],
        network=evolve(network, **{k: n for k, n in overridden.items() if n is not None or k == "proxy"}),
    )


# ---------------------------------------------------------------------------------------------------------- reports


_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _reports(reader: Reader, raw: object) -> tuple[ScheduleConfig, ...]:
    reports: list[ScheduleConfig] = []
    for index, item in enumerate(reader.items(raw, ("reports",))):
        path: Path = ("reports", index)
        written = reader.mapping(item, path)
        if not isinstance(item, Mapping):
            continue
        v = reader.read_all(REPORT, written, path)
        report = ScheduleConfig(v["every"] or "", v["path"] or "", v["tenants"], v["language"], v["keep_days"])
        if report.path:
            _check_report_path(reader, report.path, (*path, "path"))
        first = next((n for n, other in enumerate(reports) if other.path == report.path), None)
        if report.path and first is not None:
            taken = placed(("reports", first), reader.where)
            reader.note((*path, "path"), f"is taken by {taken}: each needs files of its own")
        reports.append(report)
    return tuple(reports)


def _check_report_path(reader: Reader, text: str, path: Path) -> None:
    found = _PLACEHOLDER.findall(text)
    for name in found:
        if name not in REPORT_PLACEHOLDERS:
            known = " and ".join(f"{{{each}}}" for each in REPORT_PLACEHOLDERS)
            reader.note(path, f"{{{name}}} is no placeholder ({known} are){nearest(name, REPORT_PLACEHOLDERS)}")
    for name in REPORT_PLACEHOLDERS:
        if name not in found:
            why = "each tenant has a file of its own" if name == "tenant" else "no period may replace another's file"
            reader.note(path, f"lacks {{{name}}}: {why}")
    if _PLACEHOLDER.sub("", text).count("{") or _PLACEHOLDER.sub("", text).count("}"):
        reader.note(path, "has a brace that belongs to no placeholder")
    if not text.endswith(REPORT_ENDINGS):
        reader.note(path, f"must end in one of {', '.join(REPORT_ENDINGS)}: that says the form of the report")


def _common(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is written the keys that every sink has."""
    return {key: value for key, value in raw.items() if key in group(SINK).names()}


def _with_plugins(table: Mapping[str, Option], raw: Mapping[str, Any]) -> Mapping[str, Option]:
    """The table with the mappings that plug-ins bring, where one is named that does not ship."""
    written = raw.get("format")
    if written is None or written in table["format"].choices:
        return table
    option = table["format"]
    return {**table, "format": evolve(option, choices=(*option.choices, *plugin_names("mapping")))}


def _types(reader: Reader, patterns: Sequence[str], path: Path) -> tuple[str, ...]:
    """Globs over event types; one that can match nothing is a typing error."""
    globs = tuple(pattern.removeprefix("securescore.") for pattern in patterns)
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in STREAM_OF_TYPE):
            reader.note(path, f"{glob!r} matches no event type{nearest(glob, STREAM_OF_TYPE)}")
    return globs
