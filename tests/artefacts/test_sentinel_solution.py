"""The Sentinel solution around its queries: connector page, list of contents, logo, and the template built of them.

Sources: Azure/Azure-Sentinel `.script/dataConnectorValidator.ts`, `.script/utils/dataConnectorCheckers`;
Microsoft Learn, ARM templates of savedSearches, alertRules, workbooks. The queries: see test_sentinel_content.py.
"""

import json
import re
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests import sentinel_content
from tests.artefacts.arm import Deployment
from tests.sentinel_content import CONTENT, ROOT

WORKSPACE = {"write": True, "read": True, "delete": True}


def page() -> dict[str, Any]:
    return sentinel_content.connector_page()


def data() -> dict[str, Any]:
    (path,) = (CONTENT / "Data").glob("Solution_*.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def json_files() -> list[Path]:
    return sorted(CONTENT.rglob("*.json"))


# ------------------------------------------------------------------------------------------------------ connector page


def test_the_page_is_of_the_category_azure_function() -> None:
    """The repository decides by the first data type and by the words of the button."""
    first = page()["dataTypes"][0]["name"]
    assert first.endswith("_CL")
    assert not re.search(r"Event|CommonSecurityLog|Syslog", first)
    assert "[Deploy To Azure]" in json.dumps(page()["instructionSteps"])


def test_the_page_has_what_the_schema_asks_for() -> None:
    texts = ("id", "title", "publisher", "descriptionMarkdown")
    assert [key for key in texts if not isinstance(page().get(key), str) or not page()[key]] == []
    for key, inner in {
        "graphQueries": {"metricName", "legend", "baseQuery"},
        "sampleQueries": {"description", "query"},
        "dataTypes": {"name", "lastDataReceivedQuery"},
        "connectivityCriterias": {"type", "value"},
    }.items():
        assert page()[key]
        assert [one for one in page()[key] if set(one) != inner] == []
    assert page()["availability"] == {"status": 1, "isPreview": False}
    assert [one for one in page()["instructionSteps"] if not {"title", "description"} >= set(one)] == []
    assert [one["name"] for one in page()["dataTypes"] if " " in one["name"]] == []
    assert re.fullmatch(r"\w+", page()["id"])
    assert uuid.UUID(page()["metadata"]["id"]).version == 4


def test_the_page_asks_for_the_permissions_of_its_category() -> None:
    """The repository compares these with its template for equality, texts included; our own follow behind."""
    workspace, keys = page()["permissions"]["resourceProvider"]
    assert workspace == {
        "provider": "Microsoft.OperationalInsights/workspaces",
        "permissionsDisplayText": "read and write permissions on the workspace are required.",
        "providerDisplayName": "Workspace",
        "scope": "Workspace",
        "requiredPermissions": WORKSPACE,
    }
    assert {**keys, "permissionsDisplayText": ""} == {
        "provider": "Microsoft.OperationalInsights/workspaces/sharedKeys",
        "permissionsDisplayText": "",
        "providerDisplayName": "Keys",
        "scope": "Workspace",
        "requiredPermissions": {"action": True},
    }
    assert keys["permissionsDisplayText"].startswith(
        "read permissions to shared keys for the workspace are required. [See"
    )
    sites, *own = page()["permissions"]["customs"]
    assert sites["name"] == "Microsoft.Web/sites permissions"
    assert sites["description"].startswith("Read and write permissions to Azure Functions to create a Function App is")
    assert {"SecurityEvents.Read.All", "Monitoring Metrics Publisher"} <= set(
        re.findall(r"\*\*(.+?)\*\*", json.dumps(own))
    )


def test_the_page_speaks_of_every_table() -> None:
    tables = set(sentinel_content.tables())
    assert {one["name"] for one in page()["dataTypes"]} == tables
    assert {one["baseQuery"] for one in page()["graphQueries"]} == tables


@pytest.mark.parametrize("path", json_files(), ids=lambda path: path.name)
def test_links_are_in_no_language(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"https://[\w./-]*\b(?:en-us|de-de)\b", text, re.IGNORECASE) == []
    assert "Azure Sentinel" not in text.replace("Azure-Sentinel", ""), "it is called Microsoft Sentinel"


# ------------------------------------------------------------------------------------------------------------ solution


def test_the_solution_lists_its_files_and_no_others() -> None:
    kinds = {"Parsers": "yaml", "Analytic Rules": "yaml", "Hunting Queries": "yaml", "Workbooks": "json"}
    for folder, ending in kinds.items():
        there = {path.relative_to(CONTENT).as_posix() for path in (CONTENT / folder).glob(f"*.{ending}")}
        if folder == "Parsers":  # ASIM parsers have a place of their own in that repository
            there = {name for name in there if "AuditEvent" not in name}
        assert set(data()[folder]) == there
    connectors = data()["Data Connectors"]
    assert {name.split("/")[1] for name in connectors} == {p.name for p in (CONTENT / "Data Connectors").iterdir()}
    assert all((CONTENT / name).is_file() for name in connectors)
    metadata = json.loads((CONTENT / data()["Metadata"]).read_text("utf-8"))
    assert set(metadata) == {"publisherId", "offerId", "firstPublishDate", "providers", "categories", "support"}
    assert metadata["support"]["tier"] in ("Microsoft", "Partner", "Community")


def test_the_release_notes_begin_with_the_version() -> None:
    rows = (CONTENT / "ReleaseNotes.md").read_text("utf-8").splitlines()
    assert rows[2].split("|")[1].strip() == data()["Version"]


def test_the_logo_is_small_and_only_draws() -> None:
    (path,) = (CONTENT / "Logo").glob("*.svg")
    assert path.stat().st_size <= 5 * 1024
    assert f"/Logos/{path.name}" in data()["Logo"]
    root = ET.fromstring(path.read_text("utf-8"))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "path", "circle"}
    assert [name for element in root.iter() for name in element.attrib if "href" in name or name.startswith("on")] == []


# ------------------------------------------------------------------------------------------------------------ template


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("content")
    subprocess.run([sys.executable, str(CONTENT / "build.py"), "--out", str(out)], check=True, cwd=ROOT, timeout=60)
    (path,) = out.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> list[dict[str, Any]]:
    """As Azure would make them, in a workspace called soc."""
    deployment = Deployment(template, {"workspaceName": "soc"}, reference=_nothing_is_looked_up)
    made = [deployment.value(one) for one in template["resources"]]
    assert {name.partition(":")[2] for name in deployment.used} == set(template["parameters"])
    return made


def _nothing_is_looked_up(name: str) -> Any:
    raise AssertionError(name)


def of(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in resources if one["type"].endswith(f"/{kind}")]


def test_the_template_holds_everything(resources: list[dict[str, Any]]) -> None:
    names = [(one["type"], one["name"]) for one in resources]
    assert len(names) == len(set(names))
    saved = of(resources, "savedSearches")
    functions = {one["properties"]["functionAlias"] for one in saved if "functionAlias" in one["properties"]}
    assert functions == {name for name, _, _ in sentinel_content.functions()}
    hunts = {one["properties"]["query"] for one in saved if one["properties"]["category"] == "Hunting Queries"}
    assert hunts == {one["query"] for one in sentinel_content.hunts().values()}
    assert {one["name"] for one in of(resources, "alertRules")} == {r["id"] for r in sentinel_content.rules().values()}
    (book,) = of(resources, "workbooks")
    assert json.loads(book["properties"]["serializedData"]) == sentinel_content.workbook()


def test_what_is_called_is_deployed_before(resources: list[dict[str, Any]]) -> None:
    functions = {
        one["properties"].get("functionAlias"): one["name"].partition("/")[2] for one in of(resources, "savedSearches")
    }
    for one in resources:
        if "query" not in one["properties"]:
            continue
        query = one["properties"]["query"]
        called = {name for alias, name in functions.items() if alias and f"{alias}(" in query}
        called |= set(re.findall(r"SecureScore(?:Daily|Inventory|Change|Health)_CL", query))
        assert {path.rpartition("/")[2] for path in one.get("dependsOn", [])} == called


def test_api_versions_are_recent_or_the_newest(template: dict[str, Any]) -> None:
    """Under 730 days on 2026-11-30, as the repository's ARM-TTK asks, where there is such a one (bicep-types-az)."""
    old = {one["type"] for one in template["resources"] if one["apiVersion"] <= "2024-11-30"}
    assert old == {
        "Microsoft.Authorization/roleAssignments",
        "Microsoft.Insights/dataCollectionRules",
        "Microsoft.Insights/workbooks",
    }


def test_rules_are_off_until_they_are_wanted(template: dict[str, Any], resources: list[dict[str, Any]]) -> None:
    assert {one["properties"]["enabled"] for one in of(resources, "alertRules")} == {False}
    wanted = Deployment(template, {"workspaceName": "soc", "enableRules": True}, reference=_nothing_is_looked_up)
    rules = of([wanted.value(one) for one in template["resources"]], "alertRules")
    assert {one["properties"]["enabled"] for one in rules} == {True}


def test_a_rule_is_the_same_as_its_file(resources: list[dict[str, Any]]) -> None:
    (rule,) = (one for one in sentinel_content.rules().values() if one["name"] == "Secure Score dropped")
    (made,) = (one for one in of(resources, "alertRules") if one["name"] == rule["id"])
    properties = made["properties"]
    assert made["scope"] == "Microsoft.OperationalInsights/workspaces/soc"
    assert (properties["queryFrequency"], properties["queryPeriod"]) == ("PT1H", "P14D")
    assert (properties["triggerOperator"], properties["query"]) == ("GreaterThan", rule["query"])
    assert properties["customDetails"] == rule["customDetails"]
    assert properties["incidentConfiguration"]["groupingConfiguration"]["lookbackDuration"] == "P7D"


def test_the_audit_parser_takes_its_parameters(resources: list[dict[str, Any]]) -> None:
    twin, parser = (one for one in of(resources, "savedSearches") if "functionParameters" in one["properties"])
    assert twin["properties"]["functionParameters"] == "disabled:bool=false, pack:bool=false"
    assert parser["properties"]["functionParameters"].startswith("starttime:datetime=datetime(null), endtime:")
    assert "eventresult:string='*'" in parser["properties"]["functionParameters"]
