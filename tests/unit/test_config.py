"""A raw mapping becomes a Config, or one error with everything that is wrong with it."""

from typing import Any

import pytest

from connector.config import (
    ChangesConfig,
    Config,
    GraphConfig,
    HealthConfig,
    LogConfig,
    NetworkConfig,
    PollConfig,
    RawConfig,
    StateConfig,
    TargetsConfig,
    parse,
    takes_tenant,
    unmatched_tenants,
)
from connector.config_keys import TENANT, TOP
from connector.errors import ConfigError
from connector.model import STREAMS
from connector.options import TYPES, Option
from tests.config_example import CLIENT_ID, KINDS, TENANT_ID, minimal, parsed


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


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("raw", RawConfig),
        ("poll", PollConfig),
        ("changes", ChangesConfig),
        ("targets", TargetsConfig),
        ("network", NetworkConfig),
        ("graph", GraphConfig),
        ("health", HealthConfig),
        ("log", LogConfig),
    ],
)
def test_every_field_has_a_key(section: str, kind: type) -> None:
    """A field that no key sets would be a setting nobody can make."""
    keys = {name.removeprefix(f"{section}.") for name in TOP if name.startswith(f"{section}.")}
    assert {field.name.removesuffix("_s").removesuffix("_days") if section == "poll" or section == "health" or field.name == "stale_after_s" else field.name for field in fields(kind)} == keys


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
            network={"proxy": "http://p:3128", "no_proxy": [".lan"], "ca_file": "ca.pem", "timeout_s": "1m"},
            graph={"cloud": "dod", "base_url": "https://graph.example/", "authority": "http://127.0.0.1:1"},
            health={"listen": "[::1]:0", "heartbeat": "off"},
            log={"level": "debug", "format": "json"},
        )
    )
    assert config.state == StateConfig(directory="/srv/state", keep_days=30, max_bytes=64 * 1024**2)
    assert config.raw == RawConfig(keep_days=0, path="/raw")
    assert config.poll == PollConfig(interval_s=900.0, backfill_days=30, language="de-DE", concurrency=5)
    assert config.changes == ChangesConfig(1.0, 0.2, 2.5, True, "baseline", "off", 259200.0, 1.0)
    assert config.targets == TargetsConfig(62.5, 60.0, 20.0, ("a", "b"))
    assert config.network == NetworkConfig("http://p:3128", (".lan",), "/srv/ca.pem", 60.0)
    assert config.graph == GraphConfig("dod", "https://graph.example", "http://127.0.0.1:1")
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
    assert problem(minimal(poll={"interval": "8d"})) == "poll.interval: must be at most 604800 seconds, found 691200 seconds"
    assert problem(minimal(state={"max_bytes": 5})) == "state.max_bytes: must be at least 16777216 bytes, found 5 bytes"
