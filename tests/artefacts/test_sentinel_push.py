"""The codeless (push) connector: its parts fit the mapping, Azure knows them, and a sender gets what it needs."""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sinks.sentinel import OPTIONS
from tests.artefacts.arm import Deployment
from tests.golden import samples

FOLDER = Path(__file__).parents[2] / "packaging" / "azure" / "sentinel"
PUSH: dict[str, Any] = runpy.run_path(str(FOLDER / "push.py"))
SHAPES: dict[str, Any] = json.loads((Path(__file__).parent / "arm_shapes.json").read_text())
STREAMS: dict[str, str] = OPTIONS["streams"].default
SENDER = "33333333-3333-4333-8333-333333333333"
ENVELOPE = {"type", "apiVersion", "name", "id", "scope", "dependsOn", "location"}
REWRITE = "SECURESCORE_REWRITE=1 python -m pytest tests/artefacts/test_sentinel_push.py"


def deployed(**given: str) -> tuple[Deployment, list[dict[str, Any]]]:
    sys.path.insert(0, str(FOLDER))
    try:
        template = runpy.run_path(str(FOLDER / "build.py"))["template"]()
    finally:
        sys.path.remove(str(FOLDER))
    made = Deployment(template, {"workspaceName": "soc", **given}, reference=lambda _: RULE)
    return made, list(made.resources())


RULE = {"immutableId": "dcr-0", "endpoints": {"logsIngestion": "https://x.ingest.monitor.azure.com"}}


def of(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in found if one["type"].endswith(f"/{kind}")]


def faults(one: dict[str, Any]) -> list[str]:
    """Azure compares words without regard to case; `sampleQueries` is on Microsoft's page and not in its library."""
    if one["type"].endswith("/tables"):
        one = json.loads(json.dumps(one).replace('"datetime"', '"dateTime"'))
    one["properties"].get("connectorUiConfig", {}).pop("sampleQueries", None)
    shape = {key: value for key, value in SHAPES[one["type"]].items() if key != "from"}
    body = {key: value for key, value in one.items() if key not in ENVELOPE}
    return [
        f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}"
        for e in Draft202012Validator(shape).iter_errors(body)
    ]


@pytest.mark.parametrize("name", PUSH["files"]())
def test_the_files_of_the_content_repository_are_those_of_the_template(name: str) -> None:
    path, wanted = PUSH["FOLDER"] / name, PUSH["files"]()[name]
    if os.environ.get("SECURESCORE_REWRITE") == "1":
        path.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert json.loads(path.read_text("utf-8")) == wanted, f"write it again: {REWRITE}"


def test_no_other_file_lies_there() -> None:
    assert {path.name for path in PUSH["FOLDER"].iterdir()} == PUSH["files"]().keys()


def test_tables_and_streams_are_those_that_the_sink_sends_to() -> None:
    rule = PUSH["files"]()["DCR.json"]["properties"]
    assert set(rule["streamDeclarations"]) == set(STREAMS.values())
    assert {flow["streams"][0] for flow in rule["dataFlows"]} == set(STREAMS.values())
    assert {f"Custom-{name}" for name in PUSH["tables"]()} == set(STREAMS.values())
    mapping = samples.mapping("sentinel")
    for stream, name in STREAMS.items():
        columns = {one["name"] for one in rule["streamDeclarations"][name]["columns"]}
        assert columns, stream
    assert mapping is not None


def test_the_page_shows_by_the_heartbeat_whether_it_is_connected() -> None:
    page = PUSH["files"]()["connectorDefinition.json"]["properties"]["connectorUiConfig"]
    (criterion,) = page["connectivityCriteria"]
    assert criterion["type"] == "IsConnectedQuery"
    assert "SecureScoreHealth_CL" in criterion["value"][0]
    assert "connector.heartbeat" in criterion["value"][0]
    assert page["id"] == PUSH["files"]()["dataConnector.json"]["properties"]["connectorDefinitionName"]


def test_the_page_says_all_that_a_sender_needs() -> None:
    page = PUSH["files"]()["connectorDefinition.json"]["properties"]["connectorUiConfig"]
    told = json.dumps(page["instructionSteps"])
    filled = ("TenantId", "ApplicationId", "ApplicationSecret", "DataCollectionEndpoint", "DataCollectionRuleId")
    assert [word for word in filled if word not in told] == []
    assert [key for key in ("endpoint", "rule_id", "auth") if f"{key}:" not in PUSH["SENDER"]] == []


def test_azure_knows_every_property() -> None:
    _, found = deployed(senderObjectId=SENDER)
    parts = [*of(found, "dataConnectorDefinitions"), *of(found, "tables"), *of(found, "roleAssignments")]
    parts += [{**one, "kind": "Linux"} for one in of(found, "dataCollectionRules")]  # the library knows no Direct yet
    assert len(parts) == 7
    assert [fault for one in parts for fault in faults(one)] == []


def test_without_a_sender_there_is_the_page_alone() -> None:
    made, found = deployed()
    assert len(of(found, "dataConnectorDefinitions")) == 1
    assert [one for kind in ("tables", "dataCollectionRules", "roleAssignments") for one in of(found, kind)] == []
    assert made.outputs() == {"endpoint": "", "ruleId": ""}


def test_a_sender_may_publish_to_the_rule_and_is_told_where_it_is() -> None:
    made, found = deployed(senderObjectId=SENDER)
    (role,) = of(found, "roleAssignments")
    assert role["scope"] == "Microsoft.Insights/dataCollectionRules/dcr-secure-score"
    assert role["properties"]["principalId"] == SENDER
    assert role["properties"]["roleDefinitionId"].endswith(PUSH["PUBLISHER"])
    assert made.outputs() == {"endpoint": "https://x.ingest.monitor.azure.com", "ruleId": "dcr-0"}
    (rule,) = of(found, "dataCollectionRules")
    assert (rule["kind"], len(rule["dependsOn"])) == ("Direct", 4)
