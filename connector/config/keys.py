"""Every key of the configuration that is not a sink's own: name, type, default, one sentence (DESIGN §7).

Tables only, no code; `tenants`, `defaults` and `sinks` are lists and maps of the tables below them. `parse` checks
against them, `schema` makes the editors' JSON Schema from them; a sink's own keys stand beside the sink as its OPTIONS,
which may also restate `streams`, `start` and `format`.
"""

from collections.abc import Mapping

from attrs import evolve

from connector.model import STREAMS
from connector.options import Option

FORMATS = (
    "cloudevents",
    "cef",
    "leef",
    "ocsf",
    "ocsf-1.6",
    "ocsf-1.7",
    "ocsf-1.8",
    "ecs",
    "splunk",
    "graphsecurity",
    "sentinel",
    "slack",
    "teams",
    "jira",
    "servicenow",
    "pagerduty",
    "mail",
)
"""The mappings that ship."""

LANGUAGES = ("en", "cs", "da", "de", "es", "fr", "hu", "it", "ja", "ko", "nl")
"""English and the ten languages that Microsoft announced for the Secure Score API."""

CLOUDS = ("global", "usgov", "dod")
OTHER_CLOUDS: Mapping[str, str] = {
    "gcc": "GCC tenants live in the global cloud: write global",
    "gcchigh": "write usgov (GCC High, L4)",
    "gcc-high": "write usgov (GCC High, L4)",
    "usgovhigh": "write usgov (GCC High, L4)",
    "commercial": "write global",
    "public": "write global",
    "china": "Microsoft offers no Secure Score API in the cloud operated by 21Vianet",
    "21vianet": "Microsoft offers no Secure Score API in the cloud operated by 21Vianet",
}
"""Clouds people write that we refuse, each with its reason."""

ARM_CLOUDS = ("global", "usgov")
OTHER_ARM_CLOUDS: Mapping[str, str] = {
    "dod": "Azure of the DoD is Azure Government: write usgov",
    "gcc": "the subscriptions of a GCC tenant are in one of the two: write global or usgov (Azure Government)",
    "gcchigh": "write usgov (Azure Government)",
    "gcc-high": "write usgov (Azure Government)",
    "azureusgovernment": "write usgov",
    "commercial": "write global",
    "public": "write global",
    "azurecloud": "write global",
    "china": "Microsoft retired Defender for Cloud in the cloud operated by 21Vianet",
    "21vianet": "Microsoft retired Defender for Cloud in the cloud operated by 21Vianet",
    "azurechinacloud": "Microsoft retired Defender for Cloud in the cloud operated by 21Vianet",
}
"""The same for Azure Resource Manager, whose clouds are two."""

VIANET_HOSTS = (".chinacloudapi.cn", ".microsoftonline.cn", ".azure.cn")
"""What the hosts of 21Vianet's cloud end in: no score can be read there."""

DEFAULT_STATE_PATH = "/var/lib/secure-score-connector/state.db"

TOP: Mapping[str, Option] = {
    "state.path": Option("path", doc=f"SQLite file with state, events and backlog. Default {DEFAULT_STATE_PATH}."),
    "state.mode": Option(
        "enum",
        "0600",
        choices=("0600", "0640"),
        doc="Permissions of the SQLite file (in quotes): 0640 lets its group read it. The folder is yours to open.",
    ),
    "state.directory": Option("path", doc="Folder of documents instead of the SQLite file."),
    "state.blob.account_url": Option("url", required=True, doc="https://<account>.blob.core.windows.net"),
    "state.blob.container": Option("str", required=True, doc="Blob container; it must exist."),
    "state.blob.prefix": Option("str", doc="Put before every blob name, to share a container."),
    "state.blob.client_id": Option("guid", doc="User-assigned managed identity that may write the container."),
    "state.blob.token_file": Option(
        "path", doc="Bearer token for Azure Storage, kept fresh from outside, where there is no managed identity."
    ),
    "state.kvstore.collection": Option("str", required=True, doc="Splunk KV store collection."),
    "state.kvstore.app": Option("str", doc="Splunk app that owns the collection."),
    "state.kvstore.prefix": Option("str", doc="Put before every key, to share a collection."),
    "state.kvstore.owner": Option("str", doc="Splunk user that owns the documents; nobody shares them."),
    "state.keep_days": Option("days", 400, minimum=1, doc="How long settled events and old days are kept."),
    "state.max_bytes": Option(
        "size",
        4 * 1024**3,
        minimum=16 * 1024**2,
        doc="Disk bound: from 80 % on the oldest history that every sink has gives way; then it warns, at 100 % polling"
        " pauses.",
    ),
    "raw.keep_days": Option(
        "days", minimum=0, doc="Evidence: each day's last complete responses. 400, above 50 tenants 14; 0 = off."
    ),
    "raw.path": Option("path", doc="Folder of the evidence; default beside the state."),
    "poll.interval": Option("duration", 3600.0, minimum=1, maximum=7 * 86400, doc="How often a tenant is polled."),
    "poll.backfill": Option("days", 90, minimum=0, maximum=3650, doc="Days of history read at first contact."),
    "poll.language": Option("language", "en-US", doc="Language of control titles: " + ", ".join(LANGUAGES) + "."),
    "poll.concurrency": Option(
        "int", minimum=1, maximum=256, choices=("auto",), doc="Tenants polled at a time; auto = by count and interval."
    ),
    "poll.requests_per_minute": Option(
        "int", 150, minimum=10, maximum=100_000, doc="Microsoft's limit per tenant and application, kept on our side."
    ),
    "poll.requests_per_ten_minutes": Option(
        "int", 10_000, minimum=100, maximum=1_000_000, doc="The same, in ten minutes."
    ),
    "poll.requests_at_once": Option("int", 4, minimum=1, maximum=64, doc="The same, at one time."),
    "changes.min_points": Option("float", 0.5, minimum=0, doc="Smaller moves of a control are no event (points)."),
    "changes.min_share": Option("share", 0.10, doc="… and neither are moves below this share of its maximum."),
    "changes.min_score_points": Option(
        "float", 1.0, minimum=0, doc="Smaller moves of the score are no event (points)."
    ),
    "changes.evidence": Option("bool", default=False, doc="Events for changed evidence texts of a control."),
    "changes.inventory": Option("enum", "daily", choices=("daily", "baseline", "off"), doc="Every control, every day."),
    "changes.control_scores": Option(
        "bool", doc="Put every control into score.observed, too; on where a sink has format: graphsecurity."
    ),
    "changes.catalogue": Option("enum", "each", choices=("each", "off"), doc="Events for control profiles."),
    "changes.stale_after": Option("duration", 48 * 3600.0, minimum=3600, doc="No new day for so long = feed.stale."),
    "changes.suspicious_loss": Option("share", 0.50, doc="A day that lost this share of known controls is refused."),
    "targets.percent_min": Option("percent", doc="Event when the score falls below this percentage."),
    "targets.measured_percent_min": Option("percent", doc="The same, not counting points that were only asserted."),
    "targets.drop_points": Option("float", minimum=0, doc="Event when the score loses so many points in a day."),
    "targets.controls": Option("list", (), doc="Controls that must keep full points."),
    "targets.exposure_max": Option(
        "percent", doc="Event when an exposure score, of which less is better, is above it."
    ),
    "baseline": Option("path", doc="YAML file with standards over tenants; each deviation is an event, once."),
    "exceptions.review_after": Option(
        "days", minimum=1, doc="Event when a declared state (ignored, third party, reviewed) is so old."
    ),
    "exceptions.comment_required": Option("bool", default=False, doc="Event when a declared state has no comment."),
    "report.customer": Option("str", doc="Whom reports are for, in their title instead of the tenant's name."),
    "report.author": Option("str", doc="Who makes reports, such as the name of a service provider."),
    "report.classification": Option("str", doc="Line at the head of reports, such as Confidential."),
    "report.logo": Option("path", doc="Picture at the head of reports: PNG, JPEG or WebP, at most 256 kB."),
    "network.proxy": Option("proxy", doc="Proxy of every HTTP connection; env honours the environment's."),
    "network.no_proxy": Option("list", (), doc="Hosts, .domains and networks that are reached directly."),
    "network.ca_file": Option("path", doc="PEM file with certificate authorities, added to the system's."),
    "network.timeout_s": Option("duration", 30.0, minimum=1, maximum=600, doc="Limit of one request."),
    "graph.cloud": Option("cloud", "global", doc="global (also GCC), usgov (GCC High) or dod."),
    "graph.base_url": Option("origin", doc="Another Graph host, such as a simulator."),
    "graph.authority": Option("https_origin", doc="Another sign-in host, by https even on loopback."),
    "arm.cloud": Option("arm_cloud", doc="Of Azure: global or usgov (Azure Government). Without it, as Graph's."),
    "arm.base_url": Option("origin", doc="Another Azure Resource Manager host, such as a simulator."),
    "defender_endpoint.base_url": Option("origin", doc="Another Defender for Endpoint host, such as a regional one."),
    "defender_endpoint.audience": Option(
        "origin", doc="Whom its tokens are for, where the usual answer is a refusal: check tries the other one, too."
    ),
    "tenants": Option("list", doc="The tenants that are polled."),
    "tenants_file": Option("path", doc="CSV or YAML file with more tenants, one a row."),
    "defaults": Option("map", doc="What every tenant has unless it says otherwise."),
    "sinks": Option("list", doc="Where events go; at least one."),
    "reports": Option("list", doc="Reports that are written by themselves, once a period."),
    "health.listen": Option("address", "127.0.0.1:9464", choices=("off",), doc="Where /healthz and /metrics listen."),
    "health.heartbeat": Option("duration", 3600.0, minimum=60, choices=("off",), doc="How often a heartbeat is sent."),
    "health.control_gauges": Option(
        "bool", default=False, doc="Put the points of every control on /metrics, too; 50,000 of all tenants at most."
    ),
    "log.level": Option(
        "enum", "info", choices=("debug", "info", "warning", "error"), doc="Least level that is logged."
    ),
    "log.format": Option("enum", "console", choices=("console", "json"), doc="Form of a log line on stderr."),
}

LISTS = ("tenants", "defaults", "sinks", "reports")
"""Keys of TOP whose entries have tables of their own."""

TENANT: Mapping[str, Option] = {
    "name": Option("str", required=True, doc="Our short name: letters, digits, dot, dash, underscore."),
    "tenant_id": Option(
        "guid",
        required=True,
        doc="Microsoft Entra tenant (directory) id; in the Entra admin center: Overview > Tenant ID.",
    ),
    "labels": Option("map", doc="Your own words for it; sinks select by them, events carry them."),
    "source": Option(
        "enum",
        "graph",
        choices=("graph", "files", "defender_cloud", "defender_endpoint"),
        doc="files = saved Graph responses; the last two may have the tenant_id of another entry.",
    ),
    "path": Option(
        "path",
        doc="Folder of saved responses: of Graph for source: files; of the last two sources, instead of auth.",
    ),
    "options": Option("map", doc="The keys of a source that a plug-in brings."),
    "auth": Option("auth", doc="How to sign in to Microsoft."),
    "write_auth": Option("auth", doc="A second credential, for controls set only."),
    "cloud": Option("cloud", doc="Short for graph: {cloud: …}."),
    "graph.cloud": Option("cloud", doc="global (also GCC), usgov (GCC High) or dod."),
    "graph.base_url": Option("origin", doc="Another Graph host, such as a simulator."),
    "graph.authority": Option("https_origin", doc="Another sign-in host, by https even on loopback."),
    "arm.cloud": Option("arm_cloud", doc="Of Azure: global or usgov (Azure Government). Without it, as Graph's."),
    "arm.base_url": Option("origin", doc="Another Azure Resource Manager host, such as a simulator."),
    "defender_endpoint.base_url": Option("origin", doc="Another Defender for Endpoint host, such as a regional one."),
    "defender_endpoint.audience": Option(
        "origin", doc="Whom its tokens are for, where the usual answer is a refusal: check tries the other one, too."
    ),
    "scope": Option("enum", choices=("tenant",), doc="Subscriptions that are read: tenant = all that can be seen."),
    "scope.management_groups": Option("list", doc="… or those below these management groups, by their ids."),
    "scope.subscriptions": Option("list", doc="… or these, by their ids."),
    "compliance": Option("bool", doc="Regulatory compliance standards of each subscription as well."),
    "language": Option("language", doc="Language of control titles of this tenant."),
    "targets.percent_min": Option("percent", doc="Event when the score falls below this percentage."),
    "targets.measured_percent_min": Option("percent", doc="The same, not counting points that were only asserted."),
    "targets.drop_points": Option("float", minimum=0, doc="Event when the score loses so many points in a day."),
    "targets.controls": Option("list", doc="Controls that must keep full points."),
    "targets.exposure_max": Option(
        "percent", doc="Event when an exposure score, of which less is better, is above it."
    ),
    "exceptions.review_after": Option(
        "days", minimum=1, doc="Event when a declared state (ignored, third party, reviewed) is so old."
    ),
    "exceptions.comment_required": Option("bool", doc="Event when a declared state has no comment."),
    "report.customer": Option("str", doc="Whom reports are for, in their title instead of the tenant's name."),
    "report.author": Option("str", doc="Who makes reports, such as the name of a service provider."),
    "report.classification": Option("str", doc="Line at the head of reports, such as Confidential."),
    "report.logo": Option("path", doc="Picture at the head of reports: PNG, JPEG or WebP, at most 256 kB."),
    "index": Option("str", doc="Splunk index for this tenant's events, instead of the sink's."),
    "endpoint": Option("url", doc="Logs ingestion endpoint for this tenant's events, instead of the sink's."),
    "rule_id": Option("str", doc="Data collection rule for this tenant's events, instead of the sink's."),
    "rule_tenant_id": Option("guid", doc="Directory of that rule's subscription, where the sink's app then signs in."),
    "token": Option("secret", doc="HEC token for this tenant's events, instead of the sink's."),
}
OF_SOURCE: Mapping[str, str] = {
    "arm": "defender_cloud",
    "scope": "defender_cloud",
    "compliance": "defender_cloud",
    "defender_endpoint": "defender_endpoint",
}
"""Keys of a tenant that only one source reads. Under `defaults` they are for those tenants that have it."""
OVERRIDES = ("index", "endpoint", "rule_id", "rule_tenant_id", "token")
"""Tenant keys that replace the sink option of the same name."""

REPORT: Mapping[str, Option] = {
    "every": Option(
        "enum", required=True, choices=("day", "week", "month"), doc="Once a day, week (Monday to Sunday) or month."
    ),
    "path": Option(
        "path",
        required=True,
        doc="One file a tenant and period, such as ./reports/{tenant}-{period}.html; .json, .csv, .oscal.json and"
        " .hdf.json are forms, too.",
    ),
    "tenants": Option("list", (), doc="Globs of tenant names, or label=value; empty = all."),
    "language": Option("enum", "en", choices=LANGUAGES, doc="Language of the report."),
    "keep_days": Option("days", 400, minimum=1, doc="How long after its period a report is kept."),
}
"""An entry of `reports`."""
REPORT_ENDINGS = (".html", ".json", ".csv")
REPORT_PLACEHOLDERS = ("tenant", "period")

DECLARED_STATES = ("ignored", "third-party", "reviewed")
_TENANTS = Option("list", (), doc="Globs of tenant names, or label=value; empty = all.")

STANDARD: Mapping[str, Option] = {
    "name": Option("str", required=True, doc="Name of the standard; events and tables say it."),
    "tenants": _TENANTS,
    "full": Option("list", (), doc="Controls that must have full points."),
    "declared": Option("list", doc="Controls whose state must be declared, and how."),
    "not_declared": Option("list", doc="States that must not be declared."),
    "percent_min": Option("percent", doc="Least percentage of the score."),
    "measured_percent_min": Option("percent", doc="The same, not counting points that were only asserted."),
}
"""An entry of `standards` in a baseline file."""

DECLARED: Mapping[str, Option] = {
    "control": Option("str", required=True, doc="The control, in any case."),
    "state": Option("enum", required=True, choices=DECLARED_STATES, doc="State that it must have."),
    "comment": Option("str", required=True, doc="Why; becomes part of its history when `controls apply` sets it."),
    "assigned_to": Option("str", doc="Responsible person, when it is set."),
}
"""An entry of `declared`."""

NOT_DECLARED: Mapping[str, Option] = {
    "controls": Option("list", ("*",), doc="Globs of controls, in any case; default: all."),
    "states": Option("list", DECLARED_STATES, choices=DECLARED_STATES, doc="States that must not be declared of them."),
    "comment": Option("str", doc="Why; becomes part of the history when `controls apply` takes the state back."),
}
"""An entry of `not_declared`."""

EXCUSE: Mapping[str, Option] = {
    "tenants": evolve(_TENANTS, required=True, doc="Who is excused: globs of tenant names, or label=value."),
    "controls": Option("list", (), doc="From what: globs of controls; empty = everything, the percentages too."),
    "until": Option("date", required=True, doc="Last day on which it counts."),
    "reason": Option("str", required=True, doc="Why, such as a ticket."),
}
"""An entry of `exceptions` in a baseline file."""

_CLIENT_ID = Option(
    "guid", required=True, doc="Application (client) id; in the Entra admin center: App registrations > Overview."
)
_EXPIRES_ON = Option("date", doc="When the secret expires; warns 30, 14, 7 and 1 days before.")

AUTH: Mapping[str, Mapping[str, Option]] = {
    "client_secret": {
        "client_id": _CLIENT_ID,
        "client_secret": Option("secret", required=True, doc="Reference to the client secret."),
        "expires_on": _EXPIRES_ON,
    },
    "certificate": {
        "client_id": _CLIENT_ID,
        "file": Option("path", required=True, doc="PEM or PFX file with private key and certificate."),
        "password": Option("secret", doc="Reference to the password of the file."),
    },
    "managed_identity": {
        "client_id": Option("guid", doc="User-assigned identity; without it the system-assigned one."),
    },
    "federated": {
        "client_id": _CLIENT_ID,
        "token_file": Option("path", doc="File with the federated token (workload identity)."),
        "managed_identity": Option("str", doc="system, or the client id of a user-assigned identity."),
    },
    "device_code": {
        "client_id": _CLIENT_ID,
        "cache": Option("path", required=True, doc="Token cache written by securescore login."),
    },
    "token": {
        "file": Option("path", required=True, doc="File with a bearer token supplied from outside."),
    },
}

SINK_TENANT = Option("guid", doc="Microsoft Entra tenant that the sink belongs to.")
"""`auth.tenant_id`: a sink's credential says whose directory it signs in to; a tenant's own is known."""
PROVIDER = Option(
    "guid",
    doc="Directory that signs in, of a service provider whom Azure Lighthouse lets read this one; for source:"
    " defender_cloud.",
)
"""The same key of a tenant: Azure alone lets an application of one directory read what belongs to another."""

SINK: Mapping[str, Option] = {
    "name": Option("str", required=True, doc="Name of this sink; a renamed sink is a new one."),
    "kind": Option("str", required=True, doc="What it is; it decides on the further keys."),
    "format": Option("enum", choices=FORMATS, doc="Shipped mapping that renders the events."),
    "mapping": Option("path", doc="Your own mapping file, which may extend a shipped one."),
    "streams": Option("list", STREAMS, choices=STREAMS, doc="Which streams it gets."),
    "start": Option(
        "enum", "backfill", choices=("now", "backfill", "all"), doc="now = live events only; all = kept history too."
    ),
    "tenants": Option("list", (), doc="Globs of tenant names, or label=value; empty = all."),
    "include": Option("list", (), doc="Globs of event types it gets; empty = all."),
    "exclude": Option("list", (), doc="Globs of event types it does not get."),
    "min_severity": Option(
        "int", 0, minimum=0, maximum=10, doc="Least severity it gets; health events pass, so that silence is no calm."
    ),
    "batch.max_records": Option("int", minimum=1, maximum=100_000, doc="Most events in one batch."),
    "batch.max_bytes": Option("size", minimum=1024, doc="Most bytes in one batch."),
    "proxy": Option("proxy", doc="Instead of network.proxy."),
    "no_proxy": Option("list", doc="Instead of network.no_proxy."),
    "ca_file": Option("path", doc="Instead of network.ca_file."),
    "timeout_s": Option("duration", minimum=1, maximum=600, doc="Instead of network.timeout_s."),
}
