"""What a configuration says, as frozen values: every section with its defaults, and which tenants a sink takes.

Nothing is read or checked here (parse.py makes these from a dict). No secret is in a Config: secret options stay
references until `secrets.resolve` is asked.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from attrs import Factory, field, frozen

from connector.model import OF_UNITS, entry_key


@frozen
class StateConfig:
    """Exactly one home: `path` (SQLite file), `directory`, `blob` {account_url, container} or `kvstore` {…}.

    `mode` is for the SQLite file and what lies beside it.
    """

    path: str | None = None
    directory: str | None = None
    blob: Mapping[str, Any] | None = None
    kvstore: Mapping[str, Any] | None = None
    keep_days: int = 400
    max_bytes: int = 4 * 1024**3
    mode: int = 0o600


@frozen
class RawConfig:
    """Evidence archive; `keep_days` 0 switches it off, None means 400 (14 above 50 tenants)."""

    keep_days: int | None = None
    path: str | None = None


@frozen
class PollConfig:
    """`concurrency` None = automatic: ceil(tenants x 4 s / interval) within 8..64. `requests_*`: each tenant."""

    interval_s: float = 3600.0
    backfill_days: int = 90
    language: str = "en-US"
    concurrency: int | None = None
    requests_per_minute: int = 150
    requests_per_ten_minutes: int = 10_000
    requests_at_once: int = 4


OLD_ADD_ON = "graphsecurity"
"""The format of the older Splunk add-on's documents, which hold every control of a day."""


@frozen
class ChangesConfig:
    """What is worth an event. Shares are fractions 0-1."""

    min_points: float = 0.5
    min_share: float = 0.10
    min_score_points: float = 1.0
    evidence: bool = False
    inventory: str = "daily"  # daily | baseline | off
    catalogue: str = "each"  # each | off
    stale_after_s: float = 48 * 3600.0
    suspicious_loss: float = 0.50
    control_scores: bool = False


@frozen
class Floor:
    """A least percentage, and the standard that sets it; of several the highest counts."""

    percent: float
    standard: str


@frozen
class Declared:
    """A state that a control must have been given; `state` is the API's."""

    control: str
    state: str
    comment: str
    standard: str
    assigned_to: str | None = None


@frozen
class Forbidden:
    """States (the API's) that nobody may declare of controls that match; `comment` is said when one is taken back."""

    controls: tuple[str, ...]
    states: tuple[str, ...]
    comment: str
    standard: str


@frozen
class Excuse:
    """What a tenant is excused from up to and including the day `until`; no `controls` = everything."""

    controls: tuple[str, ...]
    until: str
    reason: str


@frozen
class BaselineConfig:
    """What all standards together ask of one tenant. Names of controls count in any case; in `controls` of rules and
    excuses they are globs. `full` maps a control to the standard, `floors` percent_min and measured_percent_min.
    """

    full: Mapping[str, str] = Factory(dict)
    declared: tuple[Declared, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    floors: Mapping[str, Floor] = Factory(dict)
    excuses: tuple[Excuse, ...] = ()


@frozen
class TargetsConfig:
    percent_min: float | None = None
    measured_percent_min: float | None = None  # the same floor without asserted points
    drop_points: float | None = None
    controls: tuple[str, ...] = ()
    exposure_max: float | None = None  # a ceiling: of an exposure score less is better
    baseline: BaselineConfig | None = None  # None: no standard is meant for this tenant


@frozen
class ExceptionsConfig:
    """When a declared state is due for somebody to look at; nothing is due unless it is asked for."""

    review_after_days: int | None = None
    comment_required: bool = False


@frozen
class ReportConfig:
    """What reports carry at their head; `logo` is the path of a picture."""

    customer: str | None = None
    author: str | None = None
    classification: str | None = None
    logo: str | None = None


@frozen
class NetworkConfig:
    """`proxy` "env" honours the environment; None means no proxy."""

    proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    ca_file: str | None = None
    timeout_s: float = 30.0


@frozen
class GraphConfig:
    """`base_url`/`authority` override the hosts of `cloud`: roots without a path."""

    cloud: str = "global"  # global | usgov | dod
    base_url: str | None = None
    authority: str | None = None


@frozen
class ArmConfig:
    """Azure Resource Manager, for `source: defender_cloud`. A tenant's own has its cloud; only that of the whole
    configuration may leave it to follow that of Graph. `base_url` is a root without a path.
    """

    cloud: str | None = None  # global | usgov
    base_url: str | None = None


@frozen
class EndpointConfig:
    """The Defender for Endpoint API, for `source: defender_endpoint`: roots without a path, None = that of the cloud.

    `audience` is whom its tokens are for, which two of Microsoft's own pages name differently.
    """

    base_url: str | None = None
    audience: str | None = None


@frozen
class ScopeConfig:
    """Which subscriptions `source: defender_cloud` reads: below these management groups, these, or all of the tenant.

    Ids of subscriptions are in lower case. Only one of the two is written.
    """

    management_groups: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()


@frozen
class AuthConfig:
    """`kind` and its options as written; secret options stay references until `secrets.resolve` is asked for them."""

    kind: str
    options: Mapping[str, Any] = field(factory=dict, repr=False)
    expires_on: str | None = None


@frozen
class TenantConfig:
    name: str
    tenant_id: str
    labels: Mapping[str, str] = Factory(dict)
    source: str = "graph"  # graph | files | defender_cloud | defender_endpoint | the name of a plug-in
    path: str | None = None
    auth: AuthConfig | None = None
    write_auth: AuthConfig | None = None
    graph: GraphConfig = Factory(GraphConfig)
    language: str = "en-US"
    targets: TargetsConfig = Factory(TargetsConfig)
    exceptions: ExceptionsConfig = Factory(ExceptionsConfig)
    report: ReportConfig = Factory(ReportConfig)
    overrides: Mapping[str, str] = Factory(dict)  # per-tenant sink columns: index, endpoint, rule_id
    options: Mapping[str, Any] = field(factory=dict, repr=False)  # the keys of a source that a plug-in brings
    arm: ArmConfig = Factory(ArmConfig)
    defender_endpoint: EndpointConfig = Factory(EndpointConfig)
    scope: ScopeConfig = Factory(ScopeConfig)
    compliance: bool = False

    @property
    def saved(self) -> bool:
        """Whether saved responses are read, from `path`, and nobody is asked."""
        return self.source == "files" or (self.source in OF_UNITS and self.path is not None)

    @property
    def directory(self) -> str:
        """Which directory signs in: this one, or that of a service provider whom it lets read its subscriptions."""
        return str((self.auth.options.get("tenant_id") if self.auth else None) or self.tenant_id)

    @property
    def key(self) -> str:
        """Under which key the store keeps its state and events; unlike the tenant_id, no two entries share it."""
        return entry_key(self.tenant_id, self.source)


@frozen
class SinkConfig:
    """`options` are the keys the sink's own kind declares (its OPTIONS table), already checked and typed."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(factory=dict, repr=False)
    format: str | None = None
    mapping: str | None = None
    streams: tuple[str, ...] = ("score", "inventory", "change", "health")
    stream_targets: Mapping[str, str] = Factory(dict)  # sentinel: stream → DCR stream
    start: str = "backfill"  # now | backfill | all
    tenants: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_severity: int = 0
    max_records: int | None = None
    max_bytes: int | None = None
    network: NetworkConfig = Factory(NetworkConfig)


@frozen
class ScheduleConfig:
    """One entry of `reports`. `path` has the placeholders {tenant} and {period}."""

    every: str
    path: str
    tenants: tuple[str, ...] = ()
    language: str = "en"
    keep_days: int = 400


@frozen
class HealthConfig:
    listen: str | None = "127.0.0.1:9464"
    heartbeat_s: float = 3600.0
    control_gauges: bool = False


@frozen
class LogConfig:
    level: str = "info"
    format: str = "console"  # console | json


@frozen
class Config:
    tenants: tuple[TenantConfig, ...]
    sinks: tuple[SinkConfig, ...]
    state: StateConfig = Factory(StateConfig)
    raw: RawConfig = Factory(RawConfig)
    poll: PollConfig = Factory(PollConfig)
    changes: ChangesConfig = Factory(ChangesConfig)
    targets: TargetsConfig = Factory(TargetsConfig)
    exceptions: ExceptionsConfig = Factory(ExceptionsConfig)
    report: ReportConfig = Factory(ReportConfig)
    network: NetworkConfig = Factory(NetworkConfig)
    graph: GraphConfig = Factory(GraphConfig)
    arm: ArmConfig = Factory(ArmConfig)
    defender_endpoint: EndpointConfig = Factory(EndpointConfig)
    health: HealthConfig = Factory(HealthConfig)
    log: LogConfig = Factory(LogConfig)
    reports: tuple[ScheduleConfig, ...] = ()
    tenants_file: str | None = None
    baseline: str | None = None  # the file of standards; what it asks of a tenant is among its targets
    base_dir: str = "."  # relative paths are relative to the folder of the configuration file


def takes_tenant(sink: SinkConfig, tenant: TenantConfig) -> bool:
    """True when the sink's `tenants` patterns select this tenant: glob of its name, or label=glob; none = all."""
    return selects(sink.tenants, tenant.name, tenant.labels)


def unmatched_tenants(config: Config) -> list[str]:
    """The names of tenants whose events no sink would get: an error in `check`."""
    return [tenant.name for tenant in config.tenants if not any(takes_tenant(sink, tenant) for sink in config.sinks)]


def selects(patterns: Sequence[str], name: str, labels: Mapping[str, str]) -> bool:
    """Whether any pattern selects a tenant: a glob of its name, or label=glob; no patterns select all.

    A label that a tenant does not have matches nothing, not even `label=*`.
    """
    return not patterns or any(_matches(pattern, name, labels) for pattern in patterns)


def _matches(pattern: str, name: str, labels: Mapping[str, str]) -> bool:
    label, equals, wanted = pattern.partition("=")
    if not equals:
        return fnmatchcase(name, pattern)
    return label in labels and fnmatchcase(labels[label], wanted)
