"""The Microsoft Sentinel content as the tests see it: files, queries, and the tables below them. No assertions."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from connector.model import STREAMS
from sinks.sentinel import OPTIONS
from tests.golden import samples

ROOT = Path(__file__).parents[1]
CONTENT = ROOT / "packaging" / "azure" / "sentinel"

ADDED_COLUMNS = {"TenantId": "string", "Type": "string", "_ResourceId": "string", "_ItemId": "string"}
"""What Azure Monitor adds to every table."""


@cache
def tables() -> dict[str, dict[str, str]]:
    """Table → column → type: what the data collection rule declares, out of mappings/sentinel.yaml."""
    found = samples.mapping("sentinel")
    return {
        stream_name.removeprefix("Custom-"): found.columns(stream)
        for stream, stream_name in OPTIONS["streams"].default.items()
        if stream in STREAMS
    }


@cache
def documents(folder: str) -> dict[str, dict[str, Any]]:
    """The YAML files of a folder of the content, by file name."""
    return {path.name: yaml.safe_load(path.read_text("utf-8")) for path in sorted((CONTENT / folder).glob("*.yaml"))}


def rules() -> dict[str, dict[str, Any]]:
    return documents("Analytic Rules")


def hunts() -> dict[str, dict[str, Any]]:
    return documents("Hunting Queries")


@cache
def functions() -> tuple[tuple[str, str, str], ...]:
    """Name, parameters and body of every parser."""
    found = []
    for parser in documents("Parsers").values():
        parameters = ", ".join(_parameter(one) for one in parser.get("ParserParams", []))
        name = parser.get("FunctionAlias") or parser["ParserName"]
        found.append((name, f"({parameters})", parser.get("FunctionQuery") or parser["ParserQuery"]))
    return tuple(found)


def _parameter(one: dict[str, Any]) -> str:
    quoted = f"'{one['Default']}'" if one["Type"] == "string" else one["Default"]
    return f"{one['Name']}:{one['Type']}={quoted}"


def columns_used(rule: dict[str, Any]) -> set[str]:
    """The columns of its query that a rule puts into entities, details and texts."""
    override = rule.get("alertDetailsOverride", {})
    texts = override.get("alertDisplayNameFormat", "") + override.get("alertDescriptionFormat", "")
    return {
        *(one["columnName"] for entity in rule.get("entityMappings", []) for one in entity["fieldMappings"]),
        *rule.get("customDetails", {}).values(),
        *re.findall(r"\{\{(\w+)\}\}", texts),
        *([override["alertSeverityColumnName"]] if "alertSeverityColumnName" in override else []),
    }


# ----------------------------------------------------------------------------------------------------------- workbook


@cache
def workbook() -> dict[str, Any]:
    (path,) = (CONTENT / "Workbooks").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def items(members: Sequence[dict[str, Any]] | None = None) -> Iterator[dict[str, Any]]:
    """Every item of the workbook, groups before their members."""
    for item in workbook()["items"] if members is None else members:
        yield item
        yield from items(item["content"].get("items", []))


def parameters() -> dict[str, dict[str, Any]]:
    """What sets each of the workbook's parameters, by name: an entry field, a tab, or a row that is clicked."""
    found = {one["name"]: one for item in items() for one in item["content"].get("parameters", [])}
    for item in items():
        content = item["content"]
        found.update({tab["cellValue"]: tab for tab in content.get("links", []) if tab["linkTarget"] == "parameter"})
        found.update({one["parameterName"]: one for one in content.get("exportedParameters", [])})
    return found


VALUES = {
    "Test": "0",
    "ExcusedShown": "0",
    "Transition": "75e7ada1-05cf-8bf6-b967-58e8dc1672e0",
    "TransitionSummary": "Secure Score dropped",
    "Control": "AdminMFAV2",
    "ControlTenant": "11111111-1111-1111-1111-111111111111",
    "Category": "'*'",
    "Unit": "'*'",
    "Tier": ",".join(f"'{b64encode(tier).decode()}'" for tier in (b"Core", b"Advanced")),
}
"""What the portal fills in; Tenant is tried with all and with some."""
TENANTS = {"all": "'*'", "some": f"'{VALUES['ControlTenant']}','22222222-2222-2222-2222-222222222222'"}


def templates() -> dict[str, str]:
    """The workbook's queries as they stand, by the name of their item or parameter."""
    found = {one["name"]: one["query"] for one in parameters().values() if "query" in one}
    found.update({item["name"]: item["content"]["query"] for item in items() if item["type"] == 3})
    return found


def workbook_queries(tenants: str, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The workbook's queries as the portal would run them; `tenants` is a key of TENANTS.

    `{X:escapejson}` is X as it stands within quotes in JSON; `{X}` is pasted ("Workbook parameters", Azure Monitor).
    """
    values = {**VALUES, "Tenant": TENANTS[tenants], **(changes or {})}
    return {
        name: REFERENCE.sub(lambda hit: json.dumps(values[hit[1]])[1:-1] if hit[2] else values[hit[1]], text)
        for name, text in templates().items()
    }


REFERENCE = re.compile(r"\{(\w+)(:escapejson)?\}")


def columns_shown(item: dict[str, Any]) -> set[str]:
    """The columns of its query that an item of the workbook gives a place, a form or to another item."""
    content = item["content"]
    chart = content.get("chartSettings", {})
    tiles = content.get("tileSettings", {})
    return {
        *chart.get("yAxis", []),
        *(chart[key] for key in ("xAxis", "group") if key in chart),
        *(
            name
            for one in content.get("gridSettings", {}).get("formatters", [])
            for name in one["columnMatch"].strip("^()$").split("|")
        ),
        *(one["columnMatch"] for one in tiles.values() if isinstance(one, dict) and "columnMatch" in one),
        *(one["fieldName"] for one in content.get("exportedParameters", [])),
    }


# ----------------------------------------------------------------------------------------------------- connector page


@cache
def connector_page() -> dict[str, Any]:
    (path,) = (CONTENT / "Data Connectors").rglob("*_FunctionApp.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def page_queries() -> dict[str, str]:
    """Every query of the connector's page, by where it stands."""
    page = connector_page()
    found = {one["legend"]: one["baseQuery"] for one in page["graphQueries"]}
    found.update({one["description"]: one["query"] for one in page["sampleQueries"]})
    found.update({f"last of {one['name']}": one["lastDataReceivedQuery"] for one in page["dataTypes"]})
    (connected,) = page["connectivityCriterias"]
    found.update({f"connected {n}": query for n, query in enumerate(connected["value"])})
    return found
