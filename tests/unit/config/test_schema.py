"""The JSON Schema for editors: current, valid, and of one mind with the parser."""

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.config import schema, yaml_file
from connector.registry import SINKS, sink_options
from tests.config_example import CLIENT_ID, EXAMPLE, KINDS, TENANT_ID, minimal, parsed

REWRITE = "SECURESCORE_REWRITE=1 python -m pytest tests/unit/config/test_schema.py"


def faults(raw: Any) -> list[str]:
    """Messages of a validation against the tables of the tests."""
    errors = Draft202012Validator(schema.schema(KINDS)).iter_errors(raw)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def test_the_shipped_schema_is_current() -> None:
    kinds = {kind: table for kind in SINKS if (table := sink_options(kind)) is not None}
    file = Path(str(resources.files("connector.config") / schema.FILE))
    if os.environ.get("SECURESCORE_REWRITE") == "1":
        file.write_text(schema.text(kinds), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == schema.text(kinds), f"write it again: {REWRITE}"


def test_the_shipped_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(
        json.loads((resources.files("connector.config") / schema.FILE).read_text("utf-8"))
    )


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
