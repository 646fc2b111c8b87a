"""Whatever stands in a configuration, a mapping or a secret: it is read, or refused with every problem in words."""

import json
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.cli.controls_csv import read_csv
from connector.cli.times import day, day_of, moment
from connector.config import environment, secrets, splunk_conf, yaml_file
from connector.config.parse import parse
from connector.errors import ConfigError
from connector.mapping.load import compile_mapping, load_mapping
from connector.registry import sink_options
from tests.hostile.matter import TEXTS, altered, budget, harmed, names_of, only, values

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
TENANT = "11111111-1111-1111-1111-111111111111"
WHOLE: dict[str, Any] = {
    "state": {"path": "./state.db", "keep_days": 400, "max_bytes": "4GiB"},
    "raw": {"keep_days": 14},
    "poll": {"interval": "1h", "backfill": "90d", "language": "en-US", "concurrency": "auto"},
    "changes": {"min_points": 0.5, "min_share": "10%", "inventory": "daily", "stale_after": "48h"},
    "targets": {"percent_min": 70, "controls": ["AdminMFAV2"]},
    "network": {"proxy": "http://proxy:3128", "no_proxy": ["localhost"], "timeout_s": 30},
    "graph": {"cloud": "global"},
    "tenants": [
        {
            "name": "contoso",
            "tenant_id": TENANT,
            "labels": {"customer": "contoso"},
            "auth": {
                "kind": "client_secret",
                "client_id": TENANT,
                "client_secret": "${env:X}",
                "expires_on": "2027-05-01",
            },
        },
        {"name": "lab", "tenant_id": TENANT[:-1] + "2", "source": "files", "path": "./exports"},
    ],
    "defaults": {"auth": {"kind": "managed_identity"}},
    "sinks": [
        {"name": "soc", "kind": "syslog", "host": "siem", "port": 6514, "transport": "tls", "format": "cef"},
        {"name": "splunk", "kind": "splunk_hec", "url": "https://hec:8088", "token": "${credential:hec}", "index": "a"},
        {"name": "casb", "kind": "webhook", "url": "https://casb", "format": "ocsf", "secret": "${env:HOOK}"},
        {"name": "archive", "kind": "file", "path": "./events.jsonl", "tenants": ["a*", "x=y"], "min_severity": 3},
    ],
    "health": {"listen": "127.0.0.1:9464", "heartbeat": "1h"},
    "log": {"level": "info", "format": "json"},
}
AS_YAML = json.dumps(WHOLE, indent=1)
"""JSON is YAML."""
KEYS = st.sampled_from(sorted({*names_of(WHOLE), "<<", "on", "0"}))
TABLE = f"name,tenant_id,auth.kind,auth.client_id,label.customer,sinks\na,{TENANT},client_secret,{TENANT},x,\n"


def test_the_whole_one_is_right(tmp_path: Path) -> None:
    """What the tests below damage is right before."""
    assert len(load(tmp_path, AS_YAML.encode()).sinks) == 4


def load(folder: Path, text: bytes) -> Any:
    file = folder / "c.yaml"
    file.write_bytes(text)
    return yaml_file.load(str(file), sink_options=sink_options, environ={})


@budget(75)
@given(altered(WHOLE) | values(KEYS))
def test_any_values_of_a_configuration(raw: Any) -> None:
    with only(ConfigError):
        parse(raw if isinstance(raw, dict) else {}, sink_options=sink_options, environ={"X": "y"})


@budget(60)
@given(
    harmed(AS_YAML.encode()) | harmed(b"a: &a [1, *b]\nb: !!str {<<: *a, ? [x] : |\n  y\n}\n") | st.binary(max_size=60)
)
def test_any_octets_of_a_configuration(tmp_path: Path, text: bytes) -> None:
    with only(ConfigError):
        load(tmp_path, text)


@budget(75)
@given(
    harmed(TABLE.encode())
    | harmed(b"\xef\xbb\xbfsep=;\r\n" + TABLE.replace(",", ";").encode())
    | st.binary(max_size=60)
)
def test_any_octets_of_a_tenants_file(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "tenants.csv"
    file.write_bytes(text)
    raw = {"tenants_file": str(file), "state": {"path": "x"}, "sinks": [{"name": "a", "kind": "file", "path": "x"}]}
    with only(ConfigError):
        load(tmp_path, json.dumps(raw).encode())


@budget(50)
@given(harmed(b'name,state,comment,assigned_to\n"A,B",ignored,"why, then",\nC,default,,x\n') | st.binary(max_size=60))
def test_any_octets_of_a_list_of_changes(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "changes.csv"
    file.write_bytes(text)
    with only(ConfigError):
        read_csv(file)


SETTINGS = st.dictionaries(
    st.lists(KEYS | st.sampled_from(["", "0", "1"]), min_size=1, max_size=4).map(
        lambda steps: "SECURESCORE__" + "__".join(steps)
    ),
    TEXTS | values(KEYS).map(lambda value: json.dumps(value)),  # noqa: PLW0108 - hypothesis wants a function of its own
    max_size=5,
)


@budget(100)
@given(SETTINGS)
def test_any_app_settings(settings: dict[str, str]) -> None:
    found, problems = environment.tree(settings)
    for problem in problems:
        environment.in_words(problem.text)
    with only(ConfigError):
        parse(found, sink_options=sink_options, environ=settings)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "[1e999]", '"' + "\\" * 9999 + '"'])
def test_an_app_setting_may_be_absurd(text: str) -> None:
    _, problems = environment.tree({"SECURESCORE__state": text})
    assert all(len(problem.text) < 500 for problem in problems)


def test_an_app_setting_may_have_absurdly_many_steps() -> None:
    _, problems = environment.tree({"SECURESCORE__" + "__".join(["a"] * 20_000): "1"})
    assert problems


STANZA = st.dictionaries(
    st.sampled_from(
        [
            *("interval", "index", "streams", "backfill_days", "min_points", "inventory", "language", "state_store"),
            *(
                "resend_since",
                "accept_suspicious",
                "tenant_id",
                "client_id",
                "cloud",
                "ca_file",
                "graph_url",
                "login_url",
            ),
            *("expires_on", "proxy_enabled", "proxy_type", "proxy_url", "proxy_port", "proxy_username", "loglevel"),
        ]
    ),
    TEXTS | st.sampled_from(["3600", "1", "global", TENANT, "http", "files"]),
    max_size=12,
)


@budget(100)
@given(TEXTS | st.just("prod"), STANZA, STANZA, STANZA, st.booleans())
def test_any_stanzas_of_splunk(name: str, one: Any, other: Any, third: Any, clustered: bool) -> None:
    with only(ConfigError):
        splunk_conf.home_kind(one, clustered=clustered)
        splunk_conf.accept(one)
        splunk_conf.config_of(splunk_conf.Stanzas(name, one, other, third, third), splunk_conf.Home(directory="x"))


# ------------------------------------------------------------------------------------------------------------ mappings

SHIPPED = (resources.files("mappings") / "cef.yaml").read_bytes()
OWN = b"""encode: cef
header: {vendor: {value: a}, product: {value: b}, version: {value: "1"}, class_id: {from: type},
  name: {join: [{from: data.summary}, {value: x}], sep: " "}, severity: {from: data.severity, type: int}}
fields: {msg: {from: [data.summary, type], max: 1023}, cs1: {from: data.control.id, when: data.control}}
"""


@budget(60)
@given(harmed(OWN) | harmed(SHIPPED) | st.binary(max_size=60))
def test_any_octets_of_a_mapping(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(text)
    with only(ConfigError):
        load_mapping(str(file))


TAGS = [
    "!!int",
    "!!float",
    "!!bool",
    "!!timestamp",
    "!!binary",
    "!!null",
    "!!set",
    "!!omap",
    "!!python/name:os.system",
    "!x",
]


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("value", ['""', "x", "[]", "{}", "-", "1:99", '"' + "9" * 5000 + '"'])
def test_a_value_that_does_not_fit_its_tag_is_refused(tmp_path: Path, tag: str, value: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"encode: cef\nheader: {{vendor: {{value: {tag} {value}}}}}\n")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        load_mapping(str(file))


@budget(25)
@given(altered(compile_mapping("cef")))
def test_any_compiled_mapping(tmp_path: Path, compiled: Any) -> None:
    file = tmp_path / "own.json"
    file.write_bytes(json.dumps(compiled).encode("utf-8", "surrogatepass"))
    with only(ConfigError):
        load_mapping(str(file))


# --------------------------------------------------------------------------------------- secrets, and texts of a user


@budget(50)
@given(st.binary(max_size=80) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_octets_of_a_secret(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(0o600)
    try:
        assert secrets.resolve(f"${{file:{file}}}").strip()
    except ConfigError as error:
        inside = content.decode("utf-8", "replace").strip()
        shown = [problem for problem in error.problems if len(inside) > 8 and inside in problem]
        if shown:
            pytest.fail(f"an error repeats the secret: {shown}")


@budget(100)
@given(TEXTS | st.from_regex(r"\$\{ ?(env|file|credential|ENV)?:?[A-Z/a-z]{0,5}\}?", fullmatch=True))
def test_any_reference(text: str) -> None:
    for read in (secrets.resolve, secrets.resolve_url):
        with only(ConfigError):
            read(text, environ={"A": "b"})
    with only(ValueError):
        secrets.expand_environment(text, {"A": "b"})
    secrets.has_reference(text)


@budget(100)
@given(TEXTS | st.datetimes().map(lambda at: at.isoformat()) | st.dates().map(str) | st.from_regex("[0-9]{1,9}[mhdw]"))
def test_any_time_of_a_command(text: str) -> None:
    with only(ConfigError):
        moment(text, "--since", NOW)
    with only(ConfigError):
        day(text, "--from", NOW)
    with only(ValueError):
        day_of(text[:200])
