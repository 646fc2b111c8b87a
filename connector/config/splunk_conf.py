"""Splunk conf stanzas → a frozen Config: the add-on's front end, in the words of its pages.

Pure: the stanzas are mappings that are given, and whatever reads them from splunkd is elsewhere. One input polls one
account (tenant) into one index; its state has a home of its own. No secret comes through here: the configuration
refers to them by the names of environment variables that the process sets for itself.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

from attrs import frozen

from connector.config.parse import parse
from connector.config.values import Config
from connector.errors import ConfigError
from connector.model import STREAMS
from connector.options import Option

SINK = "splunk"
"""The name of the one sink, which heartbeats count by; the macro ms_securescore_sink names it, too."""
KIND = "splunk_input"
SECRET = "SECURESCORE_CLIENT_SECRET"  # noqa: S105 - the name of a variable
PROXY_PASSWORD = "SECURESCORE_PROXY_PASSWORD"  # noqa: S105
MIN_INTERVAL_S, MAX_INTERVAL_S = 300, 86_400
HOMES = ("auto", "files", "kvstore")
_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "warn": "warning", "error": "error"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@frozen
class Stanzas:
    """What splunkd says: the input's name and parameters, its account, and the settings' proxy and logging."""

    name: str
    input: Mapping[str, str]
    account: Mapping[str, str]
    proxy: Mapping[str, str]
    logging: Mapping[str, str]


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
    for check in (interval_s, resend_since):
        try:
            check(stanzas.input)
        except ConfigError as error:
            problems += error.problems
    try:
        config = parse(_raw(stanzas, home), sink_options=lambda kind: _NO_OPTIONS if kind == KIND else None)
    except ConfigError as error:
        problems += [_in_their_words(problem) for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return config


_NO_OPTIONS: Mapping[str, Option] = {}


def _raw(stanzas: Stanzas, home: Home) -> dict[str, Any]:
    given, account = _given(stanzas.input), _given(stanzas.account)
    streams = [word.strip() for word in re.split(r"[|,]", given.get("streams", "")) if word.strip()]
    return {
        "state": _state(stanzas.name, home),
        "raw": {"keep_days": 0},  # what was delivered is in the index; evidence is the daemon's
        "poll": _some(
            interval=given.get("interval"), backfill=given.get("backfill_days"), language=given.get("language")
        ),
        "changes": _some(min_points=given.get("min_points"), inventory=given.get("inventory")),
        "targets": _some(
            percent_min=given.get("target_percent"),
            drop_points=given.get("target_drop"),
            controls=[word.strip() for word in given["target_controls"].split(",") if word.strip()]
            if "target_controls" in given
            else None,
        ),
        "exceptions": _some(
            review_after=given.get("exception_review_days"), comment_required=given.get("exception_comment_required")
        ),
        "network": _some(proxy=_proxy(_given(stanzas.proxy)), ca_file=account.get("ca_file")),
        "graph": _some(
            cloud=account.get("cloud"), base_url=account.get("graph_url"), authority=account.get("login_url")
        ),
        "tenants": [
            {
                **_some(name=given.get("account"), tenant_id=account.get("tenant_id")),
                "auth": {
                    "kind": "client_secret",
                    "client_secret": f"${{env:{SECRET}}}",
                    **_some(client_id=account.get("client_id"), expires_on=account.get("expires_on")),
                },
            }
        ],
        "sinks": [{"name": SINK, "kind": KIND, "format": "splunk", "streams": streams or list(STREAMS)}],
        "health": {"listen": "off"},
        "log": {"level": _LEVELS.get(stanzas.logging.get("loglevel", "info").lower(), "info")},
    }


def _state(name: str, home: Home) -> dict[str, Any]:
    if home.directory is not None:
        return {"directory": home.directory}
    return {"kvstore": {"collection": home.collection, "app": home.app, "prefix": f"{name}/"}}


def _given(stanza: Mapping[str, str]) -> dict[str, str]:
    """What was filled in; splunkd keeps empty fields as empty text."""
    return {key: value.strip() for key, value in stanza.items() if value.strip()}


def _some(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _proxy(proxy: Mapping[str, str]) -> str | None:
    if not is_on(proxy.get("proxy_enabled")):
        return None
    user = ""
    if "proxy_username" in proxy:
        user = f"{quote(proxy['proxy_username'], safe='')}:${{env:{PROXY_PASSWORD}}}@"
    return f"http://{user}{proxy.get('proxy_url', '')}:{proxy.get('proxy_port', '')}"


_WORDS = {
    "poll.interval": "interval",
    "poll.backfill": "backfill days",
    "poll.language": "language",
    "changes.min_points": "min points",
    "changes.inventory": "inventory",
    "targets.percent_min": "target percent",
    "targets.drop_points": "target drop",
    "targets.controls": "target controls",
    "exceptions.review_after": "exception review days",
    "exceptions.comment_required": "exception comment required",
    "network.proxy": "proxy",
    "network.ca_file": "account, CA file",
    "graph.cloud": "account, cloud",
    "graph.base_url": "account, graph_url",
    "graph.authority": "account, login_url",
    "tenants[0].name": "account",
    "tenants[0].tenant_id": "account, tenant id",
    "tenants[0].auth.client_id": "account, client id",
    "tenants[0].auth.expires_on": "account, secret expires on",
    "sinks[0].streams": "streams",
}


def _in_their_words(problem: str) -> str:
    path, colon, what = problem.partition(": ")
    return f"{_WORDS.get(path, path)}{colon}{what}"
