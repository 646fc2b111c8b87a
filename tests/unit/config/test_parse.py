"""A raw mapping becomes a Config, or one error with everything that is wrong with it."""

from pathlib import Path
from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from connector.config import parse as parse_module
from connector.config.keys import OVERRIDES, SINK, TENANT, TOP
from connector.config.parse import parse
from connector.config.values import (
    ChangesConfig,
    Config,
    ExceptionsConfig,
    GraphConfig,
    HealthConfig,
    LogConfig,
    NetworkConfig,
    PollConfig,
    RawConfig,
    StateConfig,
    TargetsConfig,
    takes_tenant,
    unmatched_tenants,
)
from connector.errors import ConfigError
from connector.model import STREAMS
from connector.options import TYPES, Option
from tests.config_example import CLIENT_ID, KINDS, NO_TENANT_ID, TENANT_ID, minimal, parsed


def problems(raw: Any, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong with a configuration: never nothing."""
    with pytest.raises(ConfigError) as caught:
        parsed(raw, environ)
    return caught.value.problems


def problem(raw: Any, environ: dict[str, str] | None = None) -> str:
    """The only thing that is wrong with a configuration."""
    (only,) = problems(raw, environ)
    return only


def sink(kind: str, **keys: Any) -> dict[str, Any]:
    return minimal(sinks=[{"name": "s", "kind": kind, **keys}])


def tenant(**keys: Any) -> dict[str, Any]:
    return minimal(tenants=[{"name": "contoso", "tenant_id": TENANT_ID, **keys}])


def auth(**keys: Any) -> dict[str, Any]:
    return tenant(auth=keys)


SECRET = {"kind": "client_secret", "client_id": CLIENT_ID, "client_secret": "${env:S}"}


# ----------------------------------------------------------------------------------------------- values and defaults


def test_the_defaults_of_the_tables_are_those_of_the_classes() -> None:
    config = parsed(minimal())
    state = StateConfig(path="/var/lib/secure-score-connector/state.db")
    defaults = Config(tenants=config.tenants, sinks=config.sinks, state=state, base_dir="/srv")
    assert config == defaults


def test_documents_of_the_older_add_on_need_every_control_and_nothing_but_days() -> None:
    def config(*sinks: dict[str, Any], **changes: Any) -> Config:
        return parsed(minimal(sinks=list(sinks), changes=changes))

    archive = {"name": "a", "kind": "file", "path": "a"}
    old = {"name": "old", "kind": "file", "path": "old", "format": "graphsecurity", "streams": ["score"]}
    assert not config(archive).changes.control_scores
    assert config(archive, old).changes.control_scores
    assert not config(old, control_scores=False).changes.control_scores
    assert config(archive, control_scores=True).changes.control_scores
    with pytest.raises(ConfigError, match=r"write streams: \[score\]"):
        config({**old, "streams": ["score", "change"]})


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("raw", RawConfig),
        ("poll", PollConfig),
        ("changes", ChangesConfig),
        ("targets", TargetsConfig),
        ("exceptions", ExceptionsConfig),
        ("network", NetworkConfig),
        ("graph", GraphConfig),
        ("health", HealthConfig),
        ("log", LogConfig),
    ],
)
def test_every_field_has_a_key(section: str, kind: type) -> None:
    """A field that no key sets would be a setting nobody can make."""
    keys = {name.removeprefix(f"{section}.") for name in TOP if name.startswith(f"{section}.")}
    names = [field.name for field in fields(kind) if field.name != "baseline"]  # a file has it: the key `baseline`
    assert {n if n in keys else n.removesuffix("_s").removesuffix("_days") for n in names} == keys


def test_every_option_has_a_known_type_and_a_sentence() -> None:
    for name, option in {**TOP, **TENANT}.items():
        assert option.type in TYPES, name
        assert option.doc.strip(), name


def test_every_value_arrives_in_its_unit() -> None:
    config = parsed(
        minimal(
            state={"directory": "state", "keep_days": "30d", "max_bytes": "64MiB"},
            raw={"keep_days": 0, "path": "/raw"},
            poll={"interval": "15m", "backfill": 30, "language": "de-DE", "concurrency": 5},
            changes={
                "min_points": 1,
                "min_share": 0.2,
                "min_score_points": "2.5",
                "evidence": "on",
                "inventory": "baseline",
                "catalogue": "off",
                "stale_after": "3d",
                "suspicious_loss": "100%",
            },
            targets={"percent_min": "62.5%", "measured_percent_min": 60, "drop_points": 20, "controls": ["a", "b"]},
            exceptions={"review_after": "180d", "comment_required": "on"},
            network={"proxy": "http://p:3128", "no_proxy": [".lan"], "ca_file": "ca.pem", "timeout_s": "1m"},
            graph={"cloud": "dod", "base_url": "https://graph.example/", "authority": "https://127.0.0.1:1/"},
            health={"listen": "[::1]:0", "heartbeat": "off"},
            log={"level": "debug", "format": "json"},
        )
    )
    assert config.state == StateConfig(directory="/srv/state", keep_days=30, max_bytes=64 * 1024**2)
    assert config.raw == RawConfig(keep_days=0, path="/raw")
    assert config.poll == PollConfig(interval_s=900.0, backfill_days=30, language="de-DE", concurrency=5)
    assert config.changes == ChangesConfig(1.0, 0.2, 2.5, True, "baseline", "off", 259200.0, 1.0)
    assert config.targets == TargetsConfig(62.5, 60.0, 20.0, ("a", "b"))
    assert config.exceptions == config.tenants[0].exceptions == ExceptionsConfig(180, True)
    assert config.network == NetworkConfig("http://p:3128", (".lan",), "/srv/ca.pem", 60.0)
    assert config.graph == GraphConfig("dod", "https://graph.example", "https://127.0.0.1:1")
    assert config.health == HealthConfig("[::1]:0", 0.0)
    assert config.log == LogConfig("debug", "json")


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("duration", "500ms", 0.5),
        ("duration", "30s", 30.0),
        ("duration", " 15 m ", 900.0),
        ("duration", "1h", 3600.0),
        ("duration", "90d", 7776000.0),
        ("duration", "2w", 1209600.0),
        ("duration", 0.25, 0.25),
        ("duration", "45", 45.0),
        ("days", "90d", 90),
        ("days", "48h", 2),
        ("days", 7, 7),
        ("days", "7", 7),
        ("size", "900kB", 900_000),
        ("size", "4GiB", 4 * 1024**3),
        ("size", "1.5KiB", 1536),
        ("size", "1.005MB", 1_005_000),
        ("size", "8.2kB", 8_200),
        ("size", "0.3 GB", 300_000_000),
        ("duration", "1.1s", 1.1),
        ("duration", "0.7h", 2520.0),
        ("size", 42, 42),
        ("size", "42", 42),
        ("size", "2 MB", 2_000_000),
        ("share", "10%", 0.1),
        ("share", 0.1, 0.1),
        ("share", "0.1", 0.1),
        ("share", 1, 1.0),
        ("percent", 70, 70.0),
        ("percent", "70%", 70.0),
        ("percent", "7.5", 7.5),
        ("int", "12", 12),
        ("int", 3.0, 3),
        ("float", "1.5", 1.5),
        ("bool", True, True),
        ("bool", "off", False),
        ("bool", "Yes", True),
        ("bool", 0, False),
        ("date", "2027-05-01", "2027-05-01"),
        ("guid", "ABCDEF01-2345-6789-ABCD-EF0123456789", "abcdef01-2345-6789-abcd-ef0123456789"),
        ("path", "a/../b", "/srv/b"),
        ("path", "/abs", "/abs"),
        ("path", "-", "-"),
        ("url", "https://h.example:8088/path?x=1", "https://h.example:8088/path?x=1"),
        ("url", "http://localhost:1", "http://localhost:1"),
        ("url", "http://127.0.0.9", "http://127.0.0.9"),
        ("url", "http://[::1]:80/x", "http://[::1]:80/x"),
        ("origin", "https://h.example/", "https://h.example"),
        ("host", "siem.example", "siem.example"),
        ("host", "10.0.0.1", "10.0.0.1"),
        ("host", "[fe80::1%eth0]", "fe80::1%eth0"),
        ("port", "6514", 6514),
        ("address", "0.0.0.0:9464", "0.0.0.0:9464"),
        ("language", "ja", "ja"),
        ("str", 2024, "2024"),
        ("list", ["a", "b", "a"], ("a", "b")),
        ("map", {"a": 1, "b": "x"}, {"a": "1", "b": "x"}),
        ("proxy", "env", "env"),
        ("proxy", "${file:/run/proxy}", "${file:/run/proxy}"),
        ("proxy", "http://u:${env:PW}@p.example:3128", "http://u:${env:PW}@p.example:3128"),
        ("proxy", "http://${env:USER}@p.example:3128", "http://${env:USER}@p.example:3128"),
        ("secret", "${credential:hec}", "${credential:hec}"),
    ],
)
def test_a_value_of_each_type(kind: str, raw: object, value: object) -> None:
    config = parse(
        sink("x", value=raw), sink_options={"x": {"value": Option(kind)}}.get, base_dir="/srv", environ={"PW": "no"}
    )
    found = config.sinks[0].options["value"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "raw", "words"),
    [
        ("duration", "1 hour", "expected a duration such as 30s, 15m, 1h or 90d, found '1 hour'"),
        ("duration", True, "expected a duration"),
        ("duration", -1, "expected a duration"),
        ("duration", float("nan"), "expected a duration"),
        ("days", "36h", "expected whole days, found '36h'"),
        ("size", "4 gigs", "expected a size such as 900kB, 64MiB or 4GiB, found '4 gigs'"),
        ("size", "0.1B", "expected whole bytes"),
        ("share", 10, "expected a share from 0% to 100% (10% or 0.1), found 10"),
        ("share", "ten", "expected 10% or 0.1, found 'ten'"),
        ("percent", 170, "expected a percentage from 0 to 100, found 170"),
        ("int", 1.5, "expected a whole number, found 1.5"),
        ("int", True, "expected a whole number, found true"),
        ("int", "x", "expected a whole number, found 'x'"),
        ("int", [1], "expected a whole number, found a list"),
        ("float", float("inf"), "expected a number, found inf"),
        ("bool", "maybe", "expected true or false, found 'maybe'"),
        ("date", "2027-02-30", "expected a date such as 2027-05-01, found '2027-02-30'"),
        ("guid", "my-tenant", "expected a GUID such as"),
        ("guid", "00000000-0000-0000-0000-000000000000", "is still the placeholder"),
        ("path", "~/x", "~ means nothing to a service"),
        ("path", "a\nb", "line break"),
        ("url", "http://hec.example:8088", "plain http is allowed for loopback only: use https"),
        ("url", "ftp://x", "expected a URL such as"),
        ("url", "https://", "expected a URL such as"),
        ("url", "https://h:99999", "is not a URL"),
        ("url", "https://a b", "expected a URL such as"),
        ("url", "hec.example", "expected a URL such as"),
        ("url", "https://u:p@h", "holds a user or password, which is a literal secret: remove it"),
        ("url", "https://h/?Token=1", "holds a secret in its query (?token=… or similar): remove it"),
        ("origin", "https://graph.microsoft.com/v1.0", "expected only scheme and host"),
        ("host", "https://siem", "expected a host name or address without scheme and port"),
        ("host", "siem:514", "expected a host name"),
        ("host", "300.1.2.3", "expected a host name"),
        ("port", 0, "expected a port from 1 to 65535, found 0"),
        ("port", 70000, "expected a port from 1 to 65535, found 70000"),
        ("address", "9464", "expected host:port such as 127.0.0.1:9464, found '9464'"),
        ("address", "::1:9464", "expected host:port"),
        ("language", "klingon", "expected a language such as en-US"),
        ("str", True, "expected text, found true or false: put it in quotes"),
        ("str", 1.10, "expected text, found a number: put it in quotes"),
        ("str", {"a": 1}, "expected text, found a mapping"),
        ("str", " ", "is empty"),
        ("str", "x" * 5000, "is longer than 4096 characters"),
        ("str", "a\x00b", "control character"),
        ("list", "a", "expected a list such as [name], found text"),
        ("list", ["x"] * 1001, "has more than 1000 items"),
        ("map", ["a"], "expected a mapping such as {name: text}, found a list"),
        ("proxy", "proxy.example:3128", "expected a proxy such as http://proxy.example:3128, or env"),
        ("proxy", "http://proxy.example", "expected a proxy such as"),
        ("proxy", "http://u:hunter2@p:3128", "holds a literal password: write http://user:${env:NAME}@host:port"),
        ("proxy", "http://u:${vault:x}@p:3128", "a reference begins with ${env:, ${file: or ${credential:"),
    ],
)
def test_a_wrong_value_of_each_type(kind: str, raw: object, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(sink("x", value=raw), sink_options={"x": {"value": Option(kind)}}.get)
    (found,) = caught.value.problems
    assert found.startswith("sinks[0].value: ")
    assert words in found
    assert "hunter2" not in found


@pytest.mark.parametrize(("raw", "word"), [(True, "on"), (False, "off"), ("on", "on"), ("auto", "auto")])
def test_on_and_off_may_be_yaml_booleans(raw: object, word: str) -> None:
    config = parsed(sink("splunk_hec", url="https://h", token="${env:T}", ack=raw))
    assert config.sinks[0].options["ack"] == word


def test_off_may_be_a_boolean_where_only_off_exists() -> None:
    config = parsed(minimal(changes={"inventory": False}, health={"listen": False}))
    assert (config.changes.inventory, config.health.listen) == ("off", None)
    assert "'on' is not one of daily, baseline, off" in problem(minimal(changes={"inventory": True}))


def test_null_is_as_if_not_written() -> None:
    raw = {"poll": {"interval": None}, "network": None, "changes": {"inventory": None}}
    assert parsed(minimal(**raw)) == parsed(minimal())


def test_bounds_name_the_unit() -> None:
    assert (
        problem(minimal(poll={"interval": "8d"}))
        == "poll.interval: must be at most 604800 seconds, found 691200 seconds"
    )
    assert problem(minimal(state={"max_bytes": 5})) == "state.max_bytes: must be at least 16777216 bytes, found 5 bytes"


# --------------------------------------------------------------------------------------------------- all faults at once


def test_five_mistakes_are_named_together_each_with_its_line() -> None:
    raw = minimal(
        pol={"interval": "1h"},
        changes={"inventory": "dayly"},
        tenants=[{"name": "a b", "tenant_id": "x", "auth": {"kind": "token", "file": "t"}}],
        sinks=[{"name": "s", "kind": "syslog", "host": "siem", "port": 99999}],
    )
    lines = {("pol",): 1, ("changes",): 2, ("tenants", 0): 5, ("sinks",): 9, ("sinks", 0, "port"): 11}
    with pytest.raises(ConfigError) as caught:
        parse(raw, where=lines.get, sink_options=KINDS.get)
    assert caught.value.problems == [
        "pol (line 1): unknown key; did you mean poll?",
        "changes.inventory (line 2): 'dayly' is not one of daily, baseline, off; did you mean daily?",
        f"tenants[0].tenant_id (line 5): {NO_TENANT_ID}",
        "tenants[0].name (line 5): use up to 63 letters, digits, dots, dashes and underscores, for example a-b",
        "sinks[0].port (line 11): expected a port from 1 to 65535, found 99999",
    ]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (minimal(poll={"intervall": "1h"}), "poll.intervall: unknown key; did you mean interval?"),
        (minimal(backfill="90d"), "backfill: unknown key; did you mean poll.backfill?"),
        (minimal(proxy="env"), "proxy: unknown key; did you mean network.proxy?"),
        (minimal(log={"zzz": 1}), "log.zzz: unknown key; known: level, format"),
        (sink("syslog", host="h", tls={"ca": "x"}), "sinks[0].tls.ca: unknown key; did you mean ca_file?"),
        (sink("syslog", hots="h"), "sinks[0].hots: unknown key; did you mean host?"),
        (sink("file", path="p", max_bytes=1), "sinks[0].max_bytes: unknown key; did you mean batch.max_bytes?"),
        (
            tenant(tenantid=1, auth={"kind": "managed_identity"}),
            "tenants[0].tenantid: unknown key; did you mean tenant_id?",
        ),
        (auth(**SECRET, secret="${env:S}"), "tenants[0].auth.secret: unknown key; did you mean client_secret?"),
        (auth(kind="client-secret"), "tenants[0].auth.kind: 'client-secret' is not one of client_secret, "),
        (sink("splunk", url="https://h"), "sinks[0].kind: 'splunk' is not one of syslog, splunk_hec, "),
        (sink("splunk", url="https://h"), "did you mean splunk_hec?"),
        (sink("file", path="p", format="CEFF"), "did you mean cef?"),
        (sink("file", path="p", streams=["scores"]), "'scores' is not one of score, inventory, change, health"),
        (
            sink("file", path="p", include=["control.score_change"]),
            "matches no event type; did you mean control.score_changed?",
        ),
        (minimal(**{"a\nb" * 40: 1}), "unknown key"),
    ],
)
def test_an_unknown_word_suggests_the_nearest(raw: Any, words: str) -> None:
    found = problems(raw)
    assert any(words in one for one in found), found
    assert all("\n" not in one and len(one) < 600 for one in found)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({}, ["tenants: names no tenant", "sinks: names no sink"]),
        ([], ["configuration: expected a mapping (key: value), found a list", "tenants: names no", "sinks: names no"]),
        (minimal(tenants={"name": "x"}), ["tenants: expected a list, found a mapping"]),
        (minimal(sinks="file"), ["sinks: expected a list, found text"]),
        (
            minimal(sinks=["file", None]),
            ["sinks[0]: expected a mapping (key: value), found text", "sinks[1]: expected a m"],
        ),
        (minimal(poll="1h"), ["poll: expected a mapping (key: value), found text"]),
        (sink("file"), ["sinks[0].path: is missing: File to append to"]),
        (
            minimal(sinks=[{"name": "x"}]),
            ["sinks[0].kind: is missing: one of syslog, splunk_hec, sentinel, webhook, file"],
        ),
        (minimal(sinks=[{"kind": "file", "path": "p"}]), ["sinks[0].name: is missing"]),
        (sink("file", path="p", streams=[]), ["sinks[0].streams: selects nothing"]),
        (
            sink("nope", stremas=1, min_severity=11),
            ["sinks[0].kind: 'nope'", "sinks[0].min_severity: must be at most 10"],
        ),
        (minimal(state={"path": "a", "directory": "b"}), ["state: names 2 homes (path, directory): keep one"]),
        (
            minimal(state={"path": "s.db"}, sinks=[{"name": "a", "kind": "file", "path": "./x/../s.db"}]),
            ["sinks[0].path: is the file of state.path"],
        ),
        (
            minimal(tenants_file="t.csv", sinks=[{"name": "a", "kind": "file", "path": "t.csv"}]),
            ["sinks[0].path: is the file of tenants_file"],
        ),
        (minimal(state={"blob": {"account_url": "https://a"}}), ["state.blob.container: is missing"]),
    ],
)
def test_what_is_missing_or_of_the_wrong_shape(raw: Any, words: list[str]) -> None:
    found = problems(raw)
    assert len(found) == len(words), found
    for one, word in zip(sorted(found), sorted(words), strict=True):
        assert one.startswith(word) or word in one


def test_a_key_that_is_no_text() -> None:
    assert "the key true must be text" in problem(minimal(poll={True: "1h"}))


def test_names_are_unique_ignoring_case() -> None:
    two = [{"name": name, "kind": "file", "path": name} for name in ("soc", "SOC")]
    assert problem(minimal(sinks=two)) == "sinks[1].name: SOC is taken by sinks[0]; case does not count"


@pytest.mark.parametrize("name", ["-a", "../x", "a/b", "Müller GmbH", "a" * 64, "."])
def test_names_must_be_safe_in_files_and_metrics(name: str) -> None:
    assert "use up to 63 letters" in problem(minimal(sinks=[{"name": name, "kind": "file", "path": "p"}]))


# -------------------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hunter2", "a literal secret is refused: keep the value elsewhere and write ${env:NAME}, ${file:/path} or"),
        (12345, "a literal secret is refused"),
        ("x${env:A}", "a literal secret is refused"),
        ("${env:A}${env:B}", "a literal secret is refused"),
        ("${env:}", "takes the name of an environment variable"),
        ("${env:A-B}", "takes the name of an environment variable"),
        ("${file:secret.txt}", "takes an absolute path"),
        ("${credential:../x}", "takes the name of a credential, without a folder"),
        ("${vault:x}", "a reference begins with ${env:, ${file: or ${credential:"),
        (
            "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/hunter2/)",
            "Key Vault reference that the platform did not resolve",
        ),
    ],
)
def test_a_secret_is_only_ever_a_reference(value: object, words: str) -> None:
    raw = sink("splunk_hec", url="https://h", token=value)
    found = problem(raw)
    assert found.startswith("sinks[0].token: ")
    assert words in found
    assert "hunter2" not in found
    assert "12345" not in found


def test_references_stay_references() -> None:
    config = parsed(auth(**SECRET, expires_on="2027-05-01"), {"S": "hunter2"})
    found = config.tenants[0].auth
    assert found is not None
    assert found.options == {"client_id": CLIENT_ID, "client_secret": "${env:S}"}
    assert found.expires_on == "2027-05-01"
    assert "env:S" not in repr(config)


def test_other_text_may_name_environment_variables() -> None:
    raw = sink("syslog", host="${env:SIEM}", port="${env:PORT}", tenants=["${env:WHO}*"])
    config = parsed(raw, {"SIEM": "siem.example", "PORT": "6514", "WHO": "con"})
    assert config.sinks[0].options["host"] == "siem.example"
    assert config.sinks[0].options["port"] == 6514
    assert config.sinks[0].tenants == ("con*",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${env:NOPE}", "the environment variable NOPE is not set"),
        ("${file:/etc/x}", "only ${env:NAME} can stand here: the value is not a secret"),
        ("${env:KV}", "Key Vault reference that the platform did not resolve"),
        ("@Microsoft.KeyVault(x)", "Key Vault reference that the platform did not resolve"),
    ],
)
def test_references_that_other_text_cannot_have(value: str, words: str) -> None:
    assert words in problem(sink("syslog", host=value), {"KV": "@Microsoft.KeyVault(SecretUri=x)"})


NEAR_MISSES = [
    ("${HOME}/e.jsonl", "write ${env:HOME}"),
    ("${ENV:SPLUNK_INDEX}", "write ${env:SPLUNK_INDEX}"),
    ("${ env:X }", "write ${env:X}"),
    ("${env:X", "write ${env:NAME}"),
    ("${FILE:/etc/x}", "write ${env:NAME}"),
    ("${env:SET}/${HOME}", "write ${env:HOME}"),
    ("a${}b", "write ${env:NAME}"),
]


@pytest.mark.parametrize(("value", "words"), NEAR_MISSES)
def test_a_near_miss_of_a_reference_is_no_text(value: str, words: str) -> None:
    """In a path, in other text, in a list, in a map, in a URL that may be secret, and in a proxy."""
    environ = {"SET": "x"}
    for raw in (
        sink("file", path=value),
        sink("splunk_hec", url="https://h:8088", token="${env:SET}", index=value),
        sink("file", path="p", tenants=["a", value]),
        tenant(labels={"customer": value}),
        sink("webhook", url=f"https://hook.example/{value}"),
        sink("file", path="p") | {"network": {"proxy": f"http://proxy:3128/{value}"}},
    ):
        assert any(words in found for found in problems(raw, environ)), raw


def test_what_the_environment_holds_may_look_like_anything() -> None:
    assert parsed(sink("file", path="${env:ODD}"), {"ODD": "/x/${y}"}).sinks[0].options["path"] == "/x/${y}"


def test_a_value_from_the_environment_is_never_shown() -> None:
    """Someone may have named a secret where a port belongs."""
    found = problem(sink("syslog", host="h", port="${env:S}"), {"S": "hunter2"})
    assert found == "sinks[0].port: the value of '${env:S}' does not fit: 1-65535"


def test_a_secret_url_is_literal_or_a_reference() -> None:
    for url in ("https://hook.example/in", "${env:HOOK}", "https://hook.example/${env:PATH_TOKEN}"):
        assert parsed(sink("webhook", url=url)).sinks[0].options["url"] == url
    found = problem(sink("webhook", url="https://hook.example/in?sig=hunter2"))
    assert "give the whole URL by reference" in found
    assert "hunter2" not in found


# ---------------------------------------------------------------------------------------------------------------- sinks


def test_a_sink_has_its_common_keys_as_fields_and_its_own_as_options() -> None:
    config = parsed(
        minimal(
            network={"proxy": "http://p:1", "timeout_s": 9},
            sinks=[
                {
                    "name": "soc",
                    "kind": "syslog",
                    "host": "siem",
                    "tls": {"ca_file": "ca.pem"},
                    "format": "cef",
                    "mapping": "own.yaml",
                    "streams": ["health", "score"],
                    "start": "all",
                    "tenants": ["a*"],
                    "include": ["securescore.control.*"],
                    "exclude": ["feed.*"],
                    "min_severity": 3,
                    "batch": {"max_records": 10, "max_bytes": "1MiB"},
                    "ca_file": "/ca.pem",
                    "proxy": None,
                }
            ],
        )
    )
    (found,) = config.sinks
    assert found.options == {
        "host": "siem",
        "port": None,
        "transport": "tls",
        "framing": "octet",
        "header": "rfc3164",
        "max_frame_bytes": 8096,
        "tls.ca_file": "/srv/ca.pem",
        "tls.cert_file": None,
        "tls.key_file": None,
        "tls.key_password": None,
        "tls.server_name": None,
    }
    assert (found.format, found.mapping, found.start) == ("cef", "/srv/own.yaml", "all")
    assert (found.streams, found.tenants, found.min_severity) == (("score", "health"), ("a*",), 3)
    assert (found.include, found.exclude) == (("control.*",), ("feed.*",))
    assert (found.max_records, found.max_bytes) == (10, 1024**2)
    assert found.network == NetworkConfig(proxy=None, ca_file="/ca.pem", timeout_s=9.0)


@pytest.mark.parametrize(
    ("kind", "keys", "streams", "start"),
    [
        ("file", {"path": "p"}, STREAMS, "backfill"),
        ("splunk_hec", {"url": "https://h", "token": "${env:T}"}, STREAMS, "backfill"),
        (
            "sentinel",
            {"endpoint": "https://e", "rule_id": "dcr-1", "auth": {"kind": "managed_identity"}},
            STREAMS,
            "backfill",
        ),
        ("syslog", {"host": "h"}, ("score", "change", "health"), "now"),
        ("webhook", {"url": "https://h"}, ("score", "change", "health"), "now"),
    ],
)
def test_what_a_kind_gets_unless_told_otherwise(
    kind: str, keys: dict[str, Any], streams: tuple[str, ...], start: str
) -> None:
    (found,) = parsed(sink(kind, **keys)).sinks
    assert (found.streams, found.start) == (streams, start)


def test_streams_of_sentinel_are_a_map_that_selects() -> None:
    keys = {"endpoint": "https://e", "rule_id": "dcr-1", "auth": {"kind": "managed_identity"}}
    (found,) = parsed(sink("sentinel", **keys, streams={"health": "Custom-H", "score": "Custom-S"})).sinks
    assert found.streams == ("score", "health")
    assert found.stream_targets == {"health": "Custom-H", "score": "Custom-S"}
    (found,) = parsed(sink("sentinel", **keys)).sinks
    assert found.stream_targets["inventory"] == "Custom-SecureScoreInventory_CL"
    assert "expected a mapping such as {score: text}" in problem(sink("sentinel", **keys, streams=["score"]))
    assert "expected a list such as [score]" in problem(sink("file", path="p", streams={"score": "x"}))


def test_a_sinks_table_may_restate_a_common_key() -> None:
    table = {"format": Option("enum", default="cef", choices=("cef", "raw"))}
    (found,) = parse(sink("x", format="raw"), sink_options={"x": table}.get).sinks
    assert found.format == "raw"
    (found,) = parse(sink("x"), sink_options={"x": table}.get).sinks
    assert found.format == "cef"


def test_a_sink_signs_in_to_a_directory_of_its_own() -> None:
    keys = {"endpoint": "https://e", "rule_id": "dcr-1"}
    assert "sinks[0].auth.tenant_id: is missing" in problem(sink("sentinel", **keys, auth=SECRET))
    (found,) = parsed(sink("sentinel", **keys, auth={**SECRET, "tenant_id": TENANT_ID})).sinks
    assert found.options["auth"].options["tenant_id"] == TENANT_ID
    assert "sinks[0].auth: is missing" in problem(sink("sentinel", **keys))


def test_a_tenant_that_no_sink_takes_is_found() -> None:
    names = {"contoso": "gold", "fabrikam": "iron", "lab": ""}
    tenants = [
        {
            "name": name,
            "tenant_id": f"11111111-1111-1111-1111-11111111111{number}",
            "labels": {"tier": tier} if tier else {},
            "auth": {"kind": "managed_identity"},
        }
        for number, (name, tier) in enumerate(names.items())
    ]
    sinks = [
        {"name": f"s{n}", "kind": "file", "path": "p", "tenants": t} for n, t in enumerate([["con*"], ["tier=i*"]])
    ]
    config = parsed(minimal(tenants=tenants, sinks=sinks))
    assert unmatched_tenants(config) == ["lab"]
    assert [takes_tenant(config.sinks[1], t) for t in config.tenants] == [False, True, False]
    assert unmatched_tenants(parsed(minimal())) == []


# ------------------------------------------------------------------------------------------------------ whatever comes

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["${env:A}", "${file:/x}", "${", "@Microsoft.KeyVault(", "10%", "1h", "http://[", "https://h:x", "off"]
    ),
    st.dates(),
    st.binary(max_size=5),
)
KEYS = st.one_of(
    st.sampled_from(["name", "kind", "path", "auth", "tls", "streams", "labels", "proxy"]), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
SINKS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.dictionaries(st.sampled_from([*KINDS[kind], *SINK, "tls", "batch", "x"]), VALUES, max_size=6).map(
        lambda keys: {**keys, "kind": kind}
    )
)
TENANTS = st.dictionaries(st.sampled_from([*TENANT, "graph", "targets", "x"]), VALUES, max_size=6)
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        **{
            section: st.one_of(VALUES, st.dictionaries(st.sampled_from(sorted(keys)), VALUES, max_size=4))
            for section in (
                "state",
                "raw",
                "poll",
                "changes",
                "targets",
                "exceptions",
                "network",
                "graph",
                "health",
                "log",
            )
            if (keys := {name.split(".")[1] for name in TOP if name.startswith(f"{section}.")})
        },
        "tenants": st.one_of(VALUES, st.lists(TENANTS, max_size=2)),
        "defaults": st.one_of(VALUES, TENANTS),
        "sinks": st.one_of(VALUES, st.lists(SINKS, max_size=2)),
        "tenants_file": VALUES,
    },
)


@given(SECTIONS)
def test_whatever_comes_it_is_a_config_or_a_list_of_problems(raw: dict[str, Any]) -> None:
    found = ["no problem"]
    try:
        parsed(raw, {"A": "value"})
    except ConfigError as error:
        found = error.problems
    assert found
    assert all(problem.isprintable() and len(problem) < 1000 for problem in found)


def test_no_key_is_taken_and_forgotten() -> None:
    """A key that the tables know and nobody reads would be accepted and do nothing."""
    text = Path(parse_module.__file__).read_text("utf-8")
    whole = ("state.blob.", "state.kvstore.")  # handed on as they stand
    known = [key for key in {**TOP, **TENANT, **SINK} if not key.startswith(whole) and key not in OVERRIDES]
    assert [key for key in known if f'"{key}"' not in text] == [], "read it in connector/config/parse.py"


@pytest.mark.parametrize("interval", [10, "30s", 59])
def test_microsofts_hosts_are_not_asked_every_few_seconds(interval: Any) -> None:
    told = problem(minimal(poll={"interval": interval}))
    assert told.startswith("poll.interval")
    assert "write a unit, such as 10m or 1h" in told


@pytest.mark.parametrize(
    "raw",
    [
        minimal(poll={"interval": "60s"}),
        minimal(poll={"interval": "1s"}, graph={"base_url": "http://127.0.0.1:8099"}),
        minimal(
            poll={"interval": "1s"}, tenants=[{"name": "t", "tenant_id": TENANT_ID, "source": "files", "path": "."}]
        ),
    ],
    ids=["a minute", "the simulator", "files"],
)
def test_hosts_of_ones_own_and_files_may_be_asked_at_any_time(raw: Any) -> None:
    parsed(raw)
