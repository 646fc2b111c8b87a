"""Conf stanzas of the Splunk add-on become a Config, or one error in the words of its pages."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.config.keys import LANGUAGES
from connector.config.splunk_conf import (
    PROXY_PASSWORD,
    SECRET,
    Home,
    Stanzas,
    accept,
    config_of,
    home_kind,
    interval_s,
    list_file,
    read_list,
    resend_since,
    secret_of,
)
from connector.errors import ConfigError

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
FILES = Home(directory="/opt/splunk/var/lib/splunk/modinputs/secure_score/prod")
STANZAS = Stanzas(
    name="prod",
    input={
        "account": "contoso",
        "interval": "1800",
        "streams": "score|change",
        "backfill_days": "30",
        "min_points": "1.5",
        "inventory": "baseline",
        "language": "de",
        "target_percent": "70",
        "target_exposure": "30",
        "target_drop": "",
        "target_controls": "AdminMFAV2, scid_2010",
        "exception_review_days": "180",
        "exception_comment_required": "1",
    },
    account={"tenant_id": TENANT, "client_id": CLIENT, "cloud": "usgov", "expires_on": "2027-05-01", "ca_file": ""},
    proxy={"proxy_enabled": "0", "proxy_url": "ignored"},
    logging={"loglevel": "WARNING"},
)


def problems(**parts: dict[str, str]) -> list[str]:
    given: dict[str, Any] = {key: {**getattr(STANZAS, key), **value} for key, value in parts.items()}
    with pytest.raises(ConfigError) as caught:
        config_of(evolve(STANZAS, **given), FILES)
    return caught.value.problems


def test_every_field_arrives() -> None:
    config = config_of(STANZAS, FILES)
    (tenant,) = config.tenants
    (sink,) = config.sinks
    assert (tenant.name, tenant.tenant_id, tenant.graph.cloud, tenant.language) == ("contoso", TENANT, "usgov", "de")
    assert tenant.auth is not None
    assert tenant.auth.options == {"client_id": CLIENT, "client_secret": f"${{env:{SECRET}}}"}
    assert tenant.auth.expires_on == "2027-05-01"
    assert (tenant.targets.percent_min, tenant.targets.exposure_max) == (70.0, 30.0)
    assert tenant.targets.drop_points is None
    assert tenant.targets.controls == ("AdminMFAV2", "scid_2010")
    assert (tenant.exceptions.review_after_days, tenant.exceptions.comment_required) == (180, True)
    assert (config.poll.interval_s, config.poll.backfill_days) == (1800.0, 30)
    assert (config.changes.min_points, config.changes.inventory) == (1.5, "baseline")
    assert (sink.name, sink.format, sink.streams, sink.start) == ("splunk", "splunk", ("score", "change"), "backfill")
    assert config.network.proxy is None
    assert config.network.ca_file is None
    assert config.state.directory == FILES.directory
    assert config.raw.keep_days == 0
    assert config.health.heartbeat_s == 3600
    assert config.log.level == "warning"


def test_what_is_left_empty_has_the_defaults() -> None:
    config = config_of(
        evolve(STANZAS, input={"account": "contoso", "streams": "", "min_points": ""}, logging={}), FILES
    )
    assert config.sinks[0].streams == ("score", "inventory", "change", "health")
    assert (config.poll.interval_s, config.poll.backfill_days, config.changes.min_points) == (3600.0, 90, 0.5)


@pytest.mark.parametrize("streams", ["score,health", "score | health", "health|score"])
def test_streams_are_separated_by_what_pages_and_people_write(streams: str) -> None:
    config = config_of(evolve(STANZAS, input={**STANZAS.input, "streams": streams}), FILES)
    assert config.sinks[0].streams == ("score", "health")


def test_the_proxy_s_password_is_a_reference_and_its_user_is_encoded() -> None:
    proxy = {"proxy_enabled": "1", "proxy_url": "proxy.example", "proxy_port": "3128", "proxy_username": "corp\\me@x"}
    config = config_of(evolve(STANZAS, proxy=proxy), FILES)
    assert config.network.proxy == f"http://corp%5Cme%40x:${{env:{PROXY_PASSWORD}}}@proxy.example:3128"
    plain = config_of(evolve(STANZAS, proxy={**proxy, "proxy_username": ""}), FILES)
    assert plain.network.proxy == "http://proxy.example:3128"


def test_inputs_share_a_collection_by_prefix() -> None:
    state = config_of(STANZAS, Home(collection="c", app="TA")).state.kvstore
    assert state == {"collection": "c", "app": "TA", "prefix": "prod/"}


@pytest.mark.parametrize(
    ("part", "field", "value", "words"),
    [
        ("input", "interval", "299", "interval: expected whole seconds from 300 to 86400"),
        ("input", "interval", "0 * * * *", "no cron"),
        ("input", "backfill_days", "-1", "backfill days: "),
        ("input", "min_points", "much", "min points: "),
        ("input", "streams", "scores", "streams: "),
        ("input", "account", "a b", "account: "),
        ("input", "resend_since", "2026-13-01", "re-send since: "),
        ("account", "tenant_id", "contoso", "account, tenant id: "),
        ("account", "client_id", "", "account, client id: "),
        ("account", "cloud", "china", "account, cloud: "),
        ("account", "expires_on", "soon", "account, secret expires on: "),
        ("account", "graph_url", "http://graph.example", "account, graph_url: "),
        ("account", "login_url", "http://127.0.0.1:8080", "account, login_url: "),
        ("proxy", "proxy_enabled", "1", "proxy: "),
    ],
)
def test_problems_are_named_as_the_pages_name_them(part: str, field: str, value: str, words: str) -> None:
    found = problems(**{part: {field: value}})
    assert any(words in problem for problem in found), found


def test_all_problems_at_once() -> None:
    assert len(problems(input={"interval": "1", "inventory": "x"}, account={"tenant_id": ""})) >= 3


@pytest.mark.parametrize("name", ["", "../x", "a b", "ä", "x" * 64])
def test_names_of_inputs_name_folders(name: str) -> None:
    with pytest.raises(ConfigError, match="name: letters"):
        config_of(evolve(STANZAS, name=name), FILES)


@pytest.mark.parametrize(
    ("chosen", "clustered", "kind"),
    [("auto", False, "files"), ("auto", True, "kvstore"), ("", False, "files"), ("kvstore", False, "kvstore")],
)
def test_the_home_of_the_state(chosen: str, clustered: bool, kind: str) -> None:
    assert home_kind({"state_store": chosen}, clustered=clustered) == kind


def test_on_windows_it_is_the_kv_store() -> None:
    assert home_kind({}, clustered=False, windows=True) == "kvstore"
    with pytest.raises(ConfigError, match="Linux"):
        home_kind({"state_store": "files"}, clustered=False, windows=True)


@pytest.mark.parametrize(("params", "clustered"), [({"state_store": "files"}, True), ({"state_store": "x"}, False)])
def test_homes_that_are_refused(params: dict[str, str], clustered: bool) -> None:
    with pytest.raises(ConfigError, match="state"):
        home_kind(params, clustered=clustered)


def test_small_readings() -> None:
    assert interval_s({}) == 3600
    assert resend_since({"resend_since": " 2026-11-22 "}) == "2026-11-22"
    assert resend_since({}) is None
    on: list[Any] = [accept({"accept_suspicious": word}) for word in ("1", "true", "0", "false", "")]
    assert on == [True, True, False, False, False]


def test_the_form_offers_every_language() -> None:
    form = Path(__file__).parents[3] / "packaging" / "splunk" / "globalConfig.json"
    (inputs,) = json.loads(form.read_bytes())["pages"]["inputs"]["services"]
    (field,) = (entity for entity in inputs["entity"] if entity["field"] == "language")
    offered = [option["value"][:2] for option in field["options"]["autoCompleteFields"]]
    assert offered == list(LANGUAGES), "packaging/splunk/globalConfig.json and connector/config/keys.py differ"


# ------------------------------------------------------------------------------------------------- proxy, logging


def test_the_proxy_may_be_https_and_has_exceptions() -> None:
    proxy = {"proxy_enabled": "1", "proxy_type": "https", "proxy_url": "p.example", "proxy_port": "443"}
    config = config_of(evolve(STANZAS, proxy={**proxy, "no_proxy": "graph.microsoft.us, .corp.example"}), FILES)
    assert config.network.proxy == "https://p.example:443"
    assert list(config.network.no_proxy) == ["graph.microsoft.us", ".corp.example"]
    off = config_of(evolve(STANZAS, proxy={**proxy, "proxy_enabled": "0", "no_proxy": "x"}), FILES)
    assert off.network.proxy is None


@pytest.mark.parametrize(
    ("said", "level"), [("DEBUG", "debug"), ("WARN", "warning"), ("ERROR", "error"), ("CRITICAL", "error")]
)
def test_no_level_says_more_than_was_asked_for(said: str, level: str) -> None:
    assert config_of(evolve(STANZAS, logging={"loglevel": said}), FILES).log.level == level


# ------------------------------------------------------------------------------------------------ kinds of account


def test_an_account_may_sign_in_with_a_certificate() -> None:
    account = {**STANZAS.account, "auth_kind": "certificate", "certificate_file": "/opt/key.pem", "expires_on": ""}
    auth = config_of(evolve(STANZAS, account=account), FILES).tenants[0].auth
    assert auth is not None
    assert (auth.kind, auth.options) == ("certificate", {"client_id": CLIENT, "file": "/opt/key.pem"})
    locked = config_of(evolve(STANZAS, account={**account, "certificate_password": "******"}), FILES).tenants[0].auth
    assert locked is not None
    assert locked.options["password"] == f"${{env:{SECRET}}}"
    (problem,) = problems(account={**account, "certificate_file": ""})
    assert problem.startswith("account, certificate file: is missing")


def test_days_as_the_older_add_on_sent_them_are_a_sink_beside() -> None:
    config = config_of(evolve(STANZAS, input={**STANZAS.input, "older_format": "1"}), FILES)
    assert [(sink.name, sink.format, sink.streams) for sink in config.sinks] == [
        ("splunk", "splunk", ("score", "change")),
        ("splunk_5693", "graphsecurity", ("score",)),
    ]


# ------------------------------------------------------------------------------------------------- other scores


def test_an_input_may_read_defender_for_cloud() -> None:
    chosen = {**STANZAS.input, "reads": "defender_cloud", "scope": "management_groups", "scope_ids": "root, prod"}
    (tenant,) = config_of(evolve(STANZAS, input={**chosen, "compliance": "1"}), FILES).tenants
    assert (tenant.source, tenant.compliance, tenant.arm.cloud) == ("defender_cloud", True, "usgov")
    assert list(tenant.scope.management_groups or ()) == ["root", "prod"]
    (whole,) = config_of(evolve(STANZAS, input={**chosen, "scope": "tenant"}), FILES).tenants
    assert not whole.scope.management_groups
    assert any("scope" in problem for problem in problems(input={**chosen, "scope_ids": ""}))
    assert any("reads" in problem for problem in problems(input={"reads": "defender"}))


def test_what_belongs_to_one_source_is_passed_over_for_another() -> None:
    """The page hides those fields, and sends their defaults."""
    hidden = {**STANZAS.input, "reads": "graph", "scope": "tenant", "scope_ids": "", "compliance": "0"}
    assert config_of(evolve(STANZAS, input=hidden), FILES).tenants[0].source == "graph"
    endpoint = config_of(evolve(STANZAS, input={**hidden, "reads": "defender_endpoint"}), FILES).tenants[0]
    assert endpoint.source == "defender_endpoint"


# ------------------------------------------------------------------------------------------------- many tenants

OTHER = "33333333-3333-3333-3333-333333333333"
MANY = {**STANZAS.input, "tenant_list": "tenants.csv"}


def listed(text: str, **others: Mapping[str, str]) -> Stanzas:
    return evolve(STANZAS, input=MANY, tenants=read_list("tenants.csv", text), others=others)


def test_a_list_of_tenants_shares_an_account_or_names_another() -> None:
    text = (
        "name,tenant_id,account,cloud,language,index,label.tier\n"
        f"one,{TENANT},,,,,gold\n"
        f"two,{OTHER},own,global,fr,customer_two,\n"
    )
    stanzas = listed(text, own={"client_id": OTHER, "cloud": "dod"})
    one, two = config_of(stanzas, FILES).tenants
    assert one.auth is not None
    assert two.auth is not None
    assert (one.name, one.tenant_id, one.graph.cloud, one.language) == ("one", TENANT, "usgov", "de")
    assert one.auth.options == {"client_id": CLIENT, "client_secret": f"${{env:{SECRET}}}"}
    assert one.labels == {"tier": "gold"}
    assert (two.name, two.graph.cloud, two.language) == ("two", "global", "fr")
    assert two.auth.options == {"client_id": OTHER, "client_secret": f"${{env:{SECRET}_0}}"}
    assert two.labels == {"splunk_index": "customer_two"}
    assert secret_of(["own"], "own") == f"{SECRET}_0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,tenant_id\none,nope\n", "tenants.csv line 2: tenant_id: expected a GUID"),
        (f"name,tenant_id,account\none,{TENANT},gone\n", "tenants.csv line 2: there is no account 'gone'"),
        (f"name,tenant_id,auth.client_secret\none,{TENANT},x\n", "unknown column 'auth.client_secret'"),
        (f"name,tenant_id\none,{TENANT}\none,{OTHER}\n", "tenants.csv line 3: name: one is taken"),
    ],
)
def test_faults_of_a_list_name_its_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(listed(text), FILES)
    assert any(words in problem for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("name", ["../x.csv", "x", "/etc/x.csv", "a b.csv"])
def test_a_list_is_a_lookup_file_of_the_app(name: str) -> None:
    with pytest.raises(ConfigError, match="lookup file"):
        list_file({"tenant_list": name})


def test_a_list_that_names_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no tenant"):
        read_list("tenants.csv", "name,tenant_id\n")
    assert list_file({"tenant_list": " tenants.csv "}) == "tenants.csv"
    assert list_file({}) is None
