"""The Sentinel content within the limits of Microsoft Sentinel and the rules of the Azure-Sentinel content repository.

Sources: Azure/Azure-Sentinel `.script/tests/detectionTemplateSchemaValidation` (rules, entities). What the queries
mean is judged in tests/real (test_kusto.py, test_kql_rows.py).
"""

import re
import uuid
from collections import Counter
from typing import Any

import pytest

from tests import sentinel_content
from tests.sentinel_content import hunts, rules, tables

IDENTIFIERS = {
    "Account": {"Name", "FullName", "UPNSuffix", "AadTenantId", "AadUserId"},
    "AzureResource": {"ResourceId"},
    "CloudApplication": {"AppId", "Name", "InstanceName"},
    "Host": {"HostName", "FullName", "DnsDomain"},
    "URL": {"Url"},
}
"""Those of Microsoft's that we use; at least one of REQUIRED must be among them."""
REQUIRED = {"Name", "FullName", "AppId", "HostName", "Url", "ResourceId"}
SECONDS = {"m": 60, "h": 3600, "d": 86400}


CONNECTORS = {"SecureScoreConnector", "SecureScoreConnectorPush"}
"""The function app, and whatever sender the codeless connector is deployed for."""
HOSTILE = ("Dropped", "ControlRegressed", "ControlStateAsserted", "MassChange", "UnitRemoved")
"""The rules that may tell of somebody who impairs defences; the others tell of Microsoft, a target or the connector."""


def seconds(text: str) -> int:
    hit = re.fullmatch(r"(\d+)([mhd])", text)
    assert hit, text
    return int(hit[1]) * SECONDS[hit[2]]


@pytest.mark.parametrize("name", rules())
def test_a_rule_is_within_the_limits(name: str) -> None:
    rule = rules()[name]
    assert uuid.UUID(rule["id"]).version == 4
    assert (rule["kind"], rule["status"], rule["triggerOperator"], rule["triggerThreshold"]) == (
        "Scheduled",
        "Available",
        "gt",
        0,
    )
    assert len(rule["name"]) <= 256
    assert len(rule["description"]) <= 5000
    assert rule["severity"] in ("Informational", "Low", "Medium", "High")
    assert 1 <= len(rule["query"]) <= 10_000
    assert re.fullmatch(r"\d+\.\d+\.\d+", rule["version"])
    hostile = name.removeprefix("SecureScore").removesuffix(".yaml") in HOSTILE
    assert (rule["tactics"], rule["relevantTechniques"]) == ((["DefenseEvasion"], ["T1562"]) if hostile else ([], []))
    frequency, period = seconds(rule["queryFrequency"]), seconds(rule["queryPeriod"])
    assert 300 <= frequency <= period <= 14 * 86400
    assert frequency >= 3600 or period < 2 * 86400, "a period of two days or more needs a frequency of an hour or more"


@pytest.mark.parametrize("name", rules())
def test_a_rule_shows_what_it_found(name: str) -> None:
    rule = rules()[name]
    entities(rule)
    details = rule["customDetails"]
    assert len(details) <= 20
    assert [key for key in details if not re.fullmatch(r"[A-Za-z]\w{0,19}", key)] == []
    override = rule["alertDetailsOverride"]
    for key, limit in (("alertDisplayNameFormat", 256), ("alertDescriptionFormat", 5000)):
        assert len(override[key]) <= limit
        assert len(re.findall(r"\{\{\w+\}\}", override[key])) <= 3, "three columns at most"


@pytest.mark.parametrize("name", [*rules(), *hunts()])
def test_names_and_descriptions_are_as_reviewers_ask(name: str) -> None:
    """Microsoft Learn, "Create and publish analytics rules (hunting queries) for Microsoft Sentinel solutions"; what is
    said there of a hunting query's length, reviewers ask of rules as well (.github/instructions of the repository).
    """
    document = queried()[name]
    assert len(document["name"]) <= 50
    assert not document["name"].endswith(".")
    text = document["description"].strip()
    assert text.startswith(("Identifies ", "This query searches for "))
    assert len(text) <= 255
    assert len(re.findall(r"[.?!](?:\s|$)", text)) <= 5
    assert not re.search(r"\b(suspicious|suspect|execute|IP|_CL|KQL)\b", f"{document['name']} {text}", re.IGNORECASE)
    assert text.isascii()


def entities(document: dict[str, Any]) -> None:
    mappings = document["entityMappings"]
    assert 1 <= len(mappings) <= 5
    for entity in mappings:
        fields = [one["identifier"] for one in entity["fieldMappings"]]
        assert 1 <= len(fields) <= 3
        assert set(fields) <= IDENTIFIERS[entity["entityType"]]
        assert set(fields) & REQUIRED, f"{entity['entityType']} is not identified"


@pytest.mark.parametrize("name", hunts())
def test_a_hunting_query_is_complete(name: str) -> None:
    hunt = hunts()[name]
    assert uuid.UUID(hunt["id"]).version == 4
    assert hunt["name"]
    assert hunt["description"]
    assert len(hunt["query"]) <= 10_000
    assert re.fullmatch(r"\d+\.\d+\.\d+", hunt["version"])
    assert "TimeGenerated" in hunt["query"]
    entities(hunt)


@pytest.mark.parametrize("name", rules())
def test_a_rule_makes_one_incident_for_each_transition(name: str) -> None:
    rule = rules()[name]
    assert rule["eventGroupingSettings"] == {"aggregationKind": "AlertPerResult"}
    grouping = rule["incidentConfiguration"]["groupingConfiguration"]
    assert rule["incidentConfiguration"]["createIncident"]
    assert (grouping["enabled"], grouping["matchingMethod"], grouping["groupByCustomDetails"]) == (
        True,
        "Selected",
        ["Transition"],
    )
    assert 300 <= seconds(grouping["lookbackDuration"]) <= 7 * 86400
    assert rule["customDetails"]["Transition"] == "Transition"


def test_what_the_readme_says_of_the_defender_portal_is_so() -> None:
    """Alerts without an incident are not shown there, and automation is told to look at these details."""
    told = (sentinel_content.CONTENT / "README.md").read_text().partition("## In the Defender portal")[2]
    details = re.search(r"custom details \((.*?)\)", told)
    assert details
    always, of_one_tenant = re.findall(r"`(\w+)`", details[1])
    assert [rule["name"] for rule in rules().values() if always not in rule["customDetails"]] == []
    assert [
        r["name"] for r in rules().values() if not {of_one_tenant, "Tenants", "Instance"} & set(r["customDetails"])
    ] == []
    assert {rule["incidentConfiguration"]["createIncident"] for rule in rules().values()} == {True}


@pytest.mark.parametrize("name", rules())
def test_a_rule_looks_at_what_was_stored_since_it_last_ran(name: str) -> None:
    """By the time of ingestion: what was delivered late would be missed by the time of the event."""
    rule = rules()[name]
    windows = set(re.findall(r"IngestedAt > ago\((\w+)\)", rule["query"]))
    own: dict[str, set[str]] = {"SecureScoreConnectorSilent.yaml": set(), "SecureScoreRowsMissing.yaml": set()}
    beside = {"2h"} if "let Recent = materialize(" in rule["query"] else set()  # what came a little before or after it
    assert windows == own.get(name, {rule["queryFrequency"]} | beside)
    if name == "SecureScoreRowsMissing.yaml":
        assert f"let Window = {rule['queryFrequency']};" in rule["query"]


def test_what_one_rule_leaves_to_another_has_the_same_bounds() -> None:
    """One incident for what happened: who stands back must know exactly what the owner takes."""
    heads = {name: rule["query"] for name, rule in rules().items() if "let LeastPoints" in rule["query"]}
    assert len(heads) == 6
    for bound in ("LeastPoints", "LeastShare"):
        assert len({re.search(rf"let {bound} = ([\d.]+);", query)[1] for query in heads.values()}) == 1  # type: ignore[index]
    tenants = {re.search(r"let LeastTenants = (\d+);", q)[1] for q in heads.values() if "LeastTenants =" in q}  # type: ignore[index]
    assert tenants == {"10"}


def queried() -> dict[str, dict[str, Any]]:
    return {**rules(), **hunts()}


@pytest.mark.parametrize("name", queried())
def test_tables_are_named_as_they_are_read(name: str) -> None:
    document = queried()[name]
    ours = {one["connectorId"]: one["dataTypes"] for one in document["requiredDataConnectors"]}
    assert set(ours) == CONNECTORS, "either of them brings the rows"
    read = set(re.findall(r"\b(SecureScore(?:Daily|Inventory|Change|Health))(?:_CL|\(\))", document["query"]))
    assert [set(types) for types in ours.values()] == [{f"{table}_CL" for table in read}] * len(ours)


def queries() -> dict[str, str]:
    found = {name: document["query"] for name, document in queried().items()}
    return found | {name: body for name, _, body in sentinel_content.functions()}


@pytest.mark.parametrize("name", queries())
def test_no_column_hides_a_variable(name: str) -> None:
    """KQL takes the column where both bear one name, without a word."""
    variables = set(re.findall(r"\blet\s+(\w+)\s*=", queries()[name]))
    assert variables & {column for columns in tables().values() for column in columns} == set()


def test_ids_are_used_once() -> None:
    folders = ("Analytic Rules", "Hunting Queries", "Parsers")
    ids = Counter(one["id"] for folder in folders for one in sentinel_content.documents(folder).values())
    assert [one for one, count in ids.items() if count > 1] == []


def test_every_table_has_its_parser() -> None:
    names = [name for name, _, _ in sentinel_content.functions()]
    assert [table for table in tables() if table.removesuffix("_CL") not in names] == []
    assert [name for name in names if f"{name}_CL" in names or name in tables()] == [], (
        "a function would hide the table"
    )


# ----------------------------------------------------------------------------------------------------------- workbook


def test_names_in_the_workbook_are_used_once() -> None:
    names = Counter(item["name"] for item in sentinel_content.items())
    ids = Counter(
        one["id"]
        for item in sentinel_content.items()
        for one in [*item["content"].get("parameters", []), *item["content"].get("links", [])]
    )
    assert [one for one, count in (names + ids).items() if count > 1] == []


def test_the_workbook_refers_to_its_own_parameters_only_and_to_all_of_them() -> None:
    used = {"TimeRange"}
    for item in sentinel_content.items():
        content = item["content"]
        members = [content, *content.get("parameters", [])]
        texts = [one[key] for one in members for key in ("query", "title", "json") if key in one]
        used |= {name for text in texts for name, _ in sentinel_content.REFERENCE.findall(text)}
        used |= {one["timeContextFromParameter"] for one in members if "timeContextFromParameter" in one}
        used |= {item["conditionalVisibility"]["parameterName"]} if "conditionalVisibility" in item else set()
    assert used == set(sentinel_content.parameters())


@pytest.mark.parametrize("name", sentinel_content.templates())
def test_no_value_is_pasted_into_a_query_of_the_workbook(name: str) -> None:
    """One value stands in quotes, escaped as JSON; of several each is an id, or base64; none needs escaping."""
    text = sentinel_content.templates()[name]
    for hit in sentinel_content.REFERENCE.finditer(text):
        before, after = text[: hit.start()], text[hit.end() :]
        if hit[2]:
            assert before.endswith('"'), hit[0]
            assert after.startswith('"'), hit[0]
        else:
            assert before.endswith("in ("), hit[0]
            assert after.startswith(")"), hit[0]
            several = sentinel_content.parameters()[hit[1]]
            assert (several["multiSelect"], several["quote"], several["delimiter"]) == (True, "'", ",")
            assert re.search(r"project Value = (base64_encode_tostring\(\w+\)|SourceTenantId), ", several["query"])
    rest = sentinel_content.REFERENCE.sub("", text)
    assert "{" not in rest.replace("{}", ""), "another form of reference"


def test_every_tab_of_the_workbook_has_its_group() -> None:
    (tabs,) = (item for item in sentinel_content.items() if item["type"] == 11)
    groups = [item["conditionalVisibility"]["value"] for item in sentinel_content.items() if item["type"] == 12]
    assert [tab["subTarget"] for tab in tabs["content"]["links"]] == groups


STANDING = ("standards", "deviations")
"""What is still so, however long ago it began and was told."""


@pytest.mark.parametrize("name", [item["name"] for item in sentinel_content.items() if item["type"] == 3])
def test_a_query_of_the_workbook_keeps_to_the_time_range(name: str) -> None:
    (item,) = (item for item in sentinel_content.items() if item["name"] == name)
    content = item["content"]
    if name in STANDING:
        assert content["timeContext"]["durationMs"] == 365 * 86_400_000
    else:
        assert content["timeContextFromParameter"] == "TimeRange"
    assert (content["queryType"], content["resourceType"]) == (0, "microsoft.operationalinsights/workspaces")
    assert content["noDataMessage"], "an empty chart must say what it means"
