"""The Microsoft Sentinel content as the tests see it: files, queries, and the tables below them. No assertions."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from connector import mapping
from connector.model import STREAMS
from sinks.sentinel import OPTIONS

ROOT = Path(__file__).parents[1]
CONTENT = ROOT / "packaging" / "azure" / "sentinel"

ADDED_COLUMNS = {"TenantId": "string", "Type": "string", "_ResourceId": "string", "_ItemId": "string"}
"""What Azure Monitor adds to every table."""


@cache
def tables() -> dict[str, dict[str, str]]:
    """Table → column → type: what the data collection rule declares, out of mappings/sentinel.yaml."""
    found = mapping.load("sentinel")
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
