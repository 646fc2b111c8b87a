"""The JSON Schemas for editors: current, valid, and of one mind with the parser."""

import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.config import schema, yaml_file
from connector.errors import ConfigError
from connector.registry import SINKS, sink_options
from tests.config_example import CLIENT_ID, EXAMPLE, KINDS, TENANT_ID, minimal, parsed

REWRITE = "SECURESCORE_REWRITE=1 python -m pytest tests/unit/config/test_schema.py"


def faults(raw: Any) -> list[str]:
    """Messages of a validation against the tables of the tests."""
    errors = Draft202012Validator(schema.schema(KINDS)).iter_errors(raw)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def test_the_shipped_schema_is_current() -> None:
    kinds = {kind: table for kind in SINKS if (table := sink_options(kind)) is not None}
    for name, text in ((schema.FILE, schema.text(kinds)), (schema.BASELINE_FILE, schema.baseline_text())):
        file = Path(str(resources.files("connector.config") / name))
        if os.environ.get("SECURESCORE_REWRITE") == "1":
            file.write_text(text, encoding="utf-8")
        assert file.read_text(encoding="utf-8") == text, f"write it again: {REWRITE}"


@pytest.mark.parametrize("name", [schema.FILE, schema.BASELINE_FILE])
def test_the_shipped_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads((resources.files("connector.config") / name).read_text("utf-8")))


def test_the_whole_contract_is_valid() -> None:
    assert faults(yaml_file.read_yaml(EXAMPLE, "example").value) == []


@pytest.mark.parametrize(
    "raw",
    [
        minimal(),
        minimal(changes={"inventory": False, "catalogue": "off", "evidence": "on"}),
        minimal(health={"listen": False, "heartbeat": "off"}),
        minimal(poll={"interval": 60, "backfill": "90d", "concurrency": "auto", "language": "${env:LANG}"}),
        minimal(state={"directory": "x", "max_bytes": 67108864}, raw={"keep_days": 0}),
        minimal(defaults={"auth": {"kind": "client_secret", "client_id": CLIENT_ID}}),
        minimal(tenants=[{"name": "a", "tenant_id": f"{{{TENANT_ID}}}", "source": "files", "path": "in"}]),
        minimal(sinks=[{"name": "s", "kind": "syslog", "host": "h", "port": "${env:PORT}", "tls": {"ca_file": None}}]),
        minimal(sinks=[{"name": "w", "kind": "webhook", "url": "${file:/run/url}", "headers": {"a": "b"}}]),
        minimal(sinks=[{"name": "w", "kind": "webhook", "url": "http://127.0.0.1:8080/x"}]),
    ],
)
def test_what_the_parser_takes_the_schema_takes(raw: Any) -> None:
    parsed(raw, {"LANG": "de", "PORT": "514"})
    assert faults(raw) == []


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (minimal(pol={}), ""),
        (minimal(poll={"intervall": 1}), "poll"),
        (minimal(log={"level": "loud"}), "log.level"),
        (minimal(sinks=[]), "sinks"),
        (minimal(sinks=[{"name": "s", "kind": "sylog"}]), "sinks.0.kind"),
        (minimal(sinks=[{"name": "s", "kind": "syslog"}]), "sinks.0"),
        (minimal(sinks=[{"name": "s", "kind": "syslog", "host": "h", "path": "x"}]), "sinks.0"),
        (minimal(sinks=[{"name": "s", "kind": "splunk_hec", "url": "https://h", "token": "literal"}]), "sinks.0.token"),
        (minimal(sinks=[{"name": "s", "kind": "syslog", "host": "h", "port": 99999}]), "sinks.0.port"),
        (minimal(sinks=[{"name": "s", "kind": "file", "path": "p", "streams": ["scores"]}]), "sinks.0.streams"),
        (minimal(tenants=[{"name": "a"}]), "tenants.0"),
        (minimal(tenants=[{"name": "a", "tenant_id": TENANT_ID, "auth": {"kind": "x"}}]), "tenants.0.auth.kind"),
        (
            minimal(tenants=[{"name": "a", "tenant_id": TENANT_ID, "auth": {"kind": "token", "fil": "x"}}]),
            "tenants.0.auth",
        ),
    ],
)
def test_what_the_parser_refuses_the_schema_refuses(raw: Any, where: str) -> None:
    with pytest.raises(Exception, match=r"\w"):
        parsed(raw)
    assert any(fault.startswith(f"{where}: ") for fault in faults(raw)), faults(raw)


def test_editors_get_words_and_descriptions() -> None:
    found = schema.schema(KINDS)
    inventory = found["properties"]["changes"]["properties"]["inventory"]
    assert inventory["description"] == "Every control, every day."
    assert inventory["anyOf"][0] == {"enum": ["daily", "baseline", "off", False]}
    assert found["$defs"]["sink"]["properties"]["kind"]["enum"] == list(KINDS)


# ---------------------------------------------------------------------------------------------------------- baseline


def baseline_faults(text: str) -> list[str]:
    raw = yaml_file.read_yaml(text, "baseline.yaml").value
    errors = Draft202012Validator(schema.baseline_schema()).iter_errors(raw)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def test_the_baseline_of_the_page_is_valid() -> None:
    page = (Path(__file__).parents[3] / "docs" / "baseline.md").read_text(encoding="utf-8")
    _, standards = re.findall(r"```yaml\n# \S+\n(.*?)```", page, re.DOTALL)
    assert baseline_faults(standards) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{}", ""),
        ("standard: []", ""),
        ("standards: []", "standards"),
        ("standards: [{name: a}]", "standards.0"),
        ("standards: [{full: [X]}]", "standards.0"),
        ("standards: [{name: a, ful: [X]}]", "standards.0"),
        ("standards: [{name: a, full: X}]", "standards.0.full"),
        ("standards: [{name: a, percent_min: 120}]", "standards.0.percent_min"),
        ('standards: [{name: a, percent_min: "${env:FLOOR}"}]', "standards.0.percent_min"),
        ("standards: [{name: a, declared: [{control: X, state: ignored}]}]", "standards.0.declared.0"),
        ("standards: [{name: a, not_declared: [{states: [planned]}]}]", "standards.0.not_declared.0.states"),
        ("standards: [{name: a, full: [X]}]\nexceptions: [{tenants: [a], reason: r}]", "exceptions.0"),
    ],
)
def test_what_the_parser_refuses_in_a_baseline_its_schema_refuses(text: str, where: str, tmp_path: Path) -> None:
    file = tmp_path / "baseline.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"baseline\.yaml"):
        yaml_file.load_baseline(str(file))
    assert any(fault.startswith(f"{where}: ") for fault in baseline_faults(text)), baseline_faults(text)
