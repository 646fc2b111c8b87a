"""Splunk conf stanzas → a frozen Config: the add-on's front end, in the words of its pages.

Pure: the stanzas are mappings that are given, and whatever reads them from splunkd is elsewhere. One input polls the
tenant of one account, or all tenants of a list; its state has a home of its own. No secret comes through here: the
configuration refers to them by the names of environment variables that the process sets for itself.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from attrs import Factory, evolve, frozen

from connector.config.parse import TenantRow, parse
from connector.config.read import Problem
from connector.config.tenants_csv import tenants_of_csv
from connector.config.values import Config
from connector.errors import ConfigError
from connector.model import STREAMS
from connector.options import Option

SINK = "splunk"
"""The name of the sink, which heartbeats count by; the macro ms_securescore_delivered names it, too."""
OLDER_SINK = "splunk_5693"
"""The name of the second one, which sends days as the older add-on (Splunkbase 5693) does."""
KIND = "splunk_input"
SECRET = "SECURESCORE_CLIENT_SECRET"  # noqa: S105 - the name of a variable, behind which further accounts are numbered
PROXY_PASSWORD = "SECURESCORE_PROXY_PASSWORD"  # noqa: S105
MIN_INTERVAL_S, MAX_INTERVAL_S = 300, 86_400
HOMES = ("auto", "files", "kvstore")
_LEVELS = {
    **{level: level for level in ("debug", "info", "warning", "error")},
    "warn": "warning",
    "critical": "error",  # our gravest
    "fatal": "error",
}
LIST_COLUMNS = ("name", "tenant_id", "account", "cloud", "language", "index", "labels")
"""Of a list of tenants. Credentials are no columns: whoever may search may read a lookup file."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@frozen
class Stanzas:
    """What splunkd says: the input's name and parameters, its account, and the settings' proxy and logging.

    `tenants` is the list, where the input names one; `others` are the further accounts that it names, by their names.
    """

    name: str
    input: Mapping[str, str]
    account: Mapping[str, str]
    proxy: Mapping[str, str]
    logging: Mapping[str, str]
    tenants: "TenantList | None" = None
    others: Mapping[str, Mapping[str, str]] = Factory(dict)


@frozen
class TenantList:
    """A list of tenants: its rows, the problems of its form, and the further accounts it names."""

    rows: Sequence[TenantRow]
    problems: Sequence[Problem]
    accounts: Sequence[str]


def read_list(file: str, text: str) -> TenantList:
    """A list of tenants (CSV, LIST_COLUMNS). Raises ConfigError when it holds too many, or none."""
    rows, problems = tenants_of_csv(text, file, LIST_COLUMNS)
    if not rows and not problems:
        raise ConfigError([f"tenant list: {file} names no tenant"])
    named = [str(row.values["account"]) for row in rows if row.values.get("account")]
    return TenantList(rows, problems, tuple(dict.fromkeys(named)))


def list_file(params: Mapping[str, str]) -> str | None:
    """The lookup file that holds the list of tenants, if the input names one. Raises ConfigError."""
    name = (params.get("tenant_list") or "").strip()
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.csv", name):
        raise ConfigError(["tenant list: expected the name of a lookup file, such as securescore_tenants.csv"])
    return name or None


def secret_of(stanzas_others: Sequence[str], account: str) -> str:
    """The variable that holds an account's secret: SECRET for the input's own, numbered for the others."""
    names = list(stanzas_others)
    return f"{SECRET}_{names.index(account)}" if account in names else SECRET


@frozen
class Home:
    """Where the state is: a folder, or a collection with a prefix of this input's own."""

    directory: str | None = None
    collection: str | None = None
    app: str = ""


def interval_s(params: Mapping[str, str]) -> int:
    """The interval in seconds. Raises ConfigError."""
    text = params.get("interval", "3600").strip()
    if not re.fullmatch(r"[0-9]{1,6}", text) or not MIN_INTERVAL_S <= int(text) <= MAX_INTERVAL_S:
        raise ConfigError(
            [f"interval: expected whole seconds from {MIN_INTERVAL_S} to {MAX_INTERVAL_S}, no cron schedule"]
        )
    return int(text)


def home_kind(params: Mapping[str, str], *, clustered: bool, windows: bool = False) -> str:
    """The kind of home, files or kvstore: as chosen, or by where splunkd runs. Raises ConfigError.

    On Windows there are no files: what makes a commit one whole there (links, locks, synced folders) is POSIX's.
    """
    chosen = params.get("state_store") or "auto"
    if chosen not in HOMES:
        raise ConfigError([f"state: {chosen[:40]!r} is none of {', '.join(HOMES)}"])
    if clustered and chosen == "files":
        raise ConfigError(
            ["state: files cannot move with the input between the members of a search head cluster"],
            "choose KV store, or automatic",
        )
    if windows and chosen == "files":
        raise ConfigError(["state: files are kept on Linux only"], "choose KV store, or automatic")
    return chosen if chosen != "auto" else "kvstore" if clustered or windows else "files"


def resend_since(params: Mapping[str, str]) -> str | None:
    """The day "re-send since" names. Raises ConfigError."""
    text = (params.get("resend_since") or "").strip()
    try:
        return date.fromisoformat(text).isoformat() if text else None
    except ValueError:
        raise ConfigError(["re-send since: expected a date such as 2026-11-22"]) from None


def accept(params: Mapping[str, str]) -> bool:
    """The switch "accept the next suspicious snapshot" as it stands."""
    return is_on(params.get("accept_suspicious"))


def is_on(text: str | None) -> bool:
    """A checkbox of a conf file."""
    return (text or "").strip().lower() in ("1", "true", "yes", "on", "t", "y")


def config_of(stanzas: Stanzas, home: Home) -> Config:
    """The configuration of one input. Raises ConfigError with every problem, each named as the pages name it."""
    problems: list[str] = []
    if not _NAME.fullmatch(stanzas.name):
        problems.append("name: letters, digits, dot, dash and underscore only, 63 at most")
    for check in (interval_s, resend_since, list_file):
        try:
            check(stanzas.input)
        except ConfigError as error:
            problems += error.problems
    rows, found = _rows(stanzas)
    try:
        config = parse(
            _raw(stanzas, home),
            sink_options=lambda kind: _NO_OPTIONS if kind == KIND else None,
            tenant_rows=rows,
            problems=found,
        )
    except ConfigError as error:
        problems += [_in_their_words(problem) for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return config


_NO_OPTIONS: Mapping[str, Option] = {}


def _raw(stanzas: Stanzas, home: Home) -> dict[str, Any]:
    given, account = _given(stanzas.input), _given(stanzas.account)
    streams = [word.strip() for word in re.split(r"[|,]", given.get("streams", "")) if word.strip()]
    own = {
        **_some(name=given.get("account"), tenant_id=account.get("tenant_id")),
        **_reads(given, account),
        **_signs_in(account, SECRET),
    }
    sinks: list[dict[str, Any]] = [
        {"name": SINK, "kind": KIND, "format": "splunk", "streams": streams or list(STREAMS)},
    ]
    if is_on(given.get("older_format")):
        sinks.append({"name": OLDER_SINK, "kind": KIND, "format": "graphsecurity", "streams": ["score"]})
    return {
        "state": _state(stanzas.name, home),
        "raw": {"keep_days": 0},  # what was delivered is in the index; evidence is the daemon's
        "poll": _some(
            interval=given.get("interval"), backfill=given.get("backfill_days"), language=given.get("language")
        ),
        "changes": _some(min_points=given.get("min_points"), inventory=given.get("inventory")),
        "targets": _some(
            percent_min=given.get("target_percent"),
            exposure_max=given.get("target_exposure"),
            drop_points=given.get("target_drop"),
            controls=_words(given["target_controls"]) if "target_controls" in given else None,
        ),
        "exceptions": _some(
            review_after=given.get("exception_review_days"), comment_required=given.get("exception_comment_required")
        ),
        "network": _some(**_proxy(_given(stanzas.proxy)), ca_file=account.get("ca_file")),
        "tenants": [] if stanzas.tenants is not None else [own],
        "sinks": sinks,
        "health": {"listen": "off"},
        "log": {"level": _LEVELS.get(stanzas.logging.get("loglevel", "info").lower(), "info")},
    }


def _reads(given: Mapping[str, str], account: Mapping[str, str]) -> dict[str, Any]:
    """What an input reads of its tenants."""
    source = given.get("reads", "graph")  # `source` is a setting of Splunk's own
    found: dict[str, Any] = {} if source == "graph" else {"source": source}
    if source == "defender_cloud":
        kind, ids = given.get("scope", "tenant"), _words(given.get("scope_ids", ""))
        found["scope"] = kind if kind == "tenant" else {kind: ids}
        found |= _some(compliance=given.get("compliance"))
        if "arm_url" in account:
            found["arm"] = {"base_url": account["arm_url"]}
    return found


def _signs_in(account: Mapping[str, str], variable: str) -> dict[str, Any]:
    """What of a tenant comes from its account: the cloud, and how to sign in."""
    client = _some(client_id=account.get("client_id"), expires_on=account.get("expires_on"))
    if account.get("auth_kind") == "certificate":
        password = f"${{env:{variable}}}" if "certificate_password" in account else None
        client = _some(client_id=account.get("client_id"), file=account.get("certificate_file"), password=password)
        auth = {"kind": "certificate", **client}
    else:
        auth = {"kind": "client_secret", "client_secret": f"${{env:{variable}}}", **client}
    graph = _some(cloud=account.get("cloud"), base_url=account.get("graph_url"), authority=account.get("login_url"))
    return {"auth": auth, **({"graph": graph} if graph else {})}


def _rows(stanzas: Stanzas) -> tuple[list[TenantRow], list[Problem]]:
    """The list's rows as tenants, each with the credential of its account; and what is wrong with them."""
    if stanzas.tenants is None:
        return [], []
    rows, problems = [], list(stanzas.tenants.problems)
    for row in stanzas.tenants.rows:
        values = dict(row.values)
        account = str(values.pop("account", ""))
        stanza = stanzas.others.get(account) if account else stanzas.account
        if stanza is None:
            problems.append(Problem(row.file, row.line, f"{row.file} line {row.line}: there is no account {account!r}"))
            continue
        if index := values.pop("index", None):
            values["labels"] = {**values.get("labels", {}), "splunk_index": index}
        given = _given(stanza)
        tenant = _reads(_given(stanzas.input), given) | _signs_in(given, secret_of(stanzas.tenants.accounts, account))
        if cloud := values.pop("cloud", None):
            tenant["graph"] = {**tenant.get("graph", {}), "cloud": cloud}
        rows.append(evolve(row, values={**tenant, **values}))
    return rows, problems


def _state(name: str, home: Home) -> dict[str, Any]:
    if home.directory is not None:
        return {"directory": home.directory}
    return {"kvstore": {"collection": home.collection, "app": home.app, "prefix": f"{name}/"}}


def _given(stanza: Mapping[str, str]) -> dict[str, str]:
    """What was filled in; splunkd keeps empty fields as empty text."""
    return {key: value.strip() for key, value in stanza.items() if value.strip()}


def _some(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _proxy(proxy: Mapping[str, str]) -> dict[str, Any]:
    if not is_on(proxy.get("proxy_enabled")):
        return {}
    user = ""
    if "proxy_username" in proxy:
        user = f"{quote(proxy['proxy_username'], safe='')}:${{env:{PROXY_PASSWORD}}}@"
    kind = proxy.get("proxy_type", "http").lower()
    url = f"{kind}://{user}{proxy.get('proxy_url', '')}:{proxy.get('proxy_port', '')}"
    return _some(proxy=url, no_proxy=_words(proxy["no_proxy"]) if "no_proxy" in proxy else None)


_WORDS = {
    "poll.interval": "interval",
    "poll.backfill": "backfill days",
    "poll.language": "language",
    "changes.min_points": "min points",
    "changes.inventory": "inventory",
    "targets.percent_min": "target percent",
    "targets.exposure_max": "target exposure",
    "targets.drop_points": "target drop",
    "targets.controls": "target controls",
    "exceptions.review_after": "exception review days",
    "exceptions.comment_required": "exception comment required",
    "network.proxy": "proxy",
    "network.no_proxy": "proxy, exceptions",
    "network.ca_file": "account, CA file",
    "tenants[0].graph.cloud": "account, cloud",
    "tenants[0].graph.base_url": "account, graph_url",
    "tenants[0].graph.authority": "account, login_url",
    "tenants[0].name": "account",
    "tenants[0].tenant_id": "account, tenant id",
    "tenants[0].source": "reads",
    "tenants[0].scope": "scope",
    "tenants[0].scope.management_groups": "scope, ids",
    "tenants[0].scope.subscriptions": "scope, ids",
    "tenants[0].compliance": "compliance",
    "tenants[0].auth.client_id": "account, client id",
    "tenants[0].auth.expires_on": "account, secret expires on",
    "tenants[0].auth.file": "account, certificate file",
    "sinks[0].streams": "streams",
}


def _in_their_words(problem: str) -> str:
    path, colon, what = problem.partition(": ")
    return f"{_WORDS.get(path, path)}{colon}{what}"
