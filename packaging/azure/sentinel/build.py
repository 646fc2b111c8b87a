"""Builds one ARM template of the Sentinel content, for workspaces without the content hub. Build tool, never shipped.

    python packaging/azure/sentinel/build.py --out dist

Parsers become saved functions, analytic rules become rules (switched off unless `enableRules` says otherwise), hunting
queries become saved queries, the workbook becomes a workbook, the push connector a page under Data connectors, with its
tables, rule and role where a sender is named (push.py). One truth: the YAML and JSON files beside this script,
in the form of the Azure-Sentinel content repository. Deploying again updates what is there: names are made of the ids.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import push

HERE = Path(__file__).parent
NAME = "secure-score-connector-sentinel-content.json"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
SAVED_SEARCH = ("Microsoft.OperationalInsights/workspaces/savedSearches", "2025-07-01")
RULE = ("Microsoft.SecurityInsights/alertRules", "2025-09-01")
WORKBOOK = ("Microsoft.Insights/workbooks", "2023-06-01")
WORKSPACE_ID = "[resourceId('Microsoft.OperationalInsights/workspaces', parameters('workspaceName'))]"
UNITS = {"m": "PT{}M", "h": "PT{}H", "d": "P{}D"}
OPERATORS = {"gt": "GreaterThan", "lt": "LessThan", "eq": "Equal", "ne": "NotEqual"}
OUTPUTS = {"endpoint": "endpoints.logsIngestion", "ruleId": "immutableId"}
TAGS = {"description": "description", "tactics": "tactics", "techniques": "relevantTechniques"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the ARM template of the Sentinel content.")
    parser.add_argument("--out", type=Path, default=HERE.parents[2] / "dist")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / NAME
    path.write_text(json.dumps(template(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)
    return 0


def template() -> dict[str, Any]:
    """The whole deployment; everything that reads a parser waits for those it needs."""
    parsers = [function(one) for one in documents("Parsers")]
    hunts = [hunt(one) for one in documents("Hunting Queries")]
    rules = [rule(one) for one in documents("Analytic Rules")]
    after_parsers(parsers, [*parsers, *hunts, *rules])
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {
            "workspaceName": {
                "type": "string",
                "metadata": {
                    "description": "The Log Analytics workspace of Microsoft Sentinel, in this resource group."
                },
            },
            "location": {
                "type": "string",
                "defaultValue": "[resourceGroup().location]",
                "metadata": {"description": "Region of the workbook and the rule; the workspace's own."},
            },
            "enableRules": {
                "type": "bool",
                "defaultValue": False,
                "metadata": {"description": "Whether the analytic rules run from now on."},
            },
            "senderObjectId": {
                "type": "string",
                "defaultValue": "",
                "metadata": {
                    "description": "Object id of the service principal that sends: then the tables, a data collection "
                    "rule and its role are made. Leave it empty where the function app's template made them."
                },
            },
            "ruleName": {
                "type": "string",
                "defaultValue": "dcr-secure-score",
                "metadata": {"description": "Name of that data collection rule."},
            },
        },
        "resources": [
            *parsers,
            *hunts,
            *rules,
            *(workbook(path) for path in sorted((HERE / "Workbooks").glob("*.json"))),
            *push.resources(WORKSPACE_ID),
        ],
        "outputs": {name: output(value) for name, value in OUTPUTS.items()},
    }


def output(value: str) -> dict[str, str]:
    """Of the rule, where it is made."""
    there = "not(empty(parameters('senderObjectId')))"
    rule = "resourceId('Microsoft.Insights/dataCollectionRules', parameters('ruleName'))"
    return {"type": "string", "value": f"[if({there}, reference({rule}, '{push.RULE[1]}').{value}, '')]"}


def documents(folder: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text("utf-8")) for path in sorted((HERE / folder).glob("*.yaml"))]


def function(parser: dict[str, Any]) -> dict[str, Any]:
    """A parser as a saved function of the workspace."""
    alias = parser.get("FunctionAlias") or parser["ParserName"]
    properties = {
        "etag": "*",
        "displayName": (parser.get("Function") or parser["Parser"])["Title"],
        "category": "Microsoft Sentinel Parser",
        "functionAlias": alias,
        "query": parser.get("FunctionQuery") or parser["ParserQuery"],
        "version": 2,
    }
    if "ParserParams" in parser:
        properties["functionParameters"] = ", ".join(parameter(one) for one in parser["ParserParams"])
    return saved_search(alias, properties)


def parameter(one: dict[str, str]) -> str:
    default = f"'{one['Default']}'" if one["Type"] == "string" else one["Default"]
    return f"{one['Name']}:{one['Type']}={default}"


def hunt(query: dict[str, Any]) -> dict[str, Any]:
    """A hunting query: Microsoft Sentinel finds it by its category."""
    said = {name: query[key] for name, key in TAGS.items()}
    texts = {name: value if isinstance(value, str) else ",".join(value) for name, value in said.items()}
    properties = {
        "etag": "*",
        "displayName": query["name"],
        "category": "Hunting Queries",
        "query": query["query"],
        "version": 2,
        "tags": [{"name": name, "value": value.strip()} for name, value in texts.items()],
    }
    return saved_search(query["id"], properties)


def saved_search(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    kind, version = SAVED_SEARCH
    return {
        "type": kind,
        "apiVersion": version,
        "name": f"[format('{{0}}/{name}', parameters('workspaceName'))]",
        "properties": escaped(properties),
    }


def rule(document: dict[str, Any]) -> dict[str, Any]:
    """A scheduled rule of the workspace, named by its id."""
    kind, version = RULE
    incident = document["incidentConfiguration"]
    grouping = {
        **incident["groupingConfiguration"],
        "lookbackDuration": duration(incident["groupingConfiguration"]["lookbackDuration"]),
    }
    properties = {
        "displayName": document["name"],
        "description": document["description"].strip(),
        "severity": document["severity"],
        "query": document["query"],
        "queryFrequency": duration(document["queryFrequency"]),
        "queryPeriod": duration(document["queryPeriod"]),
        "triggerOperator": OPERATORS[document["triggerOperator"]],
        "triggerThreshold": document["triggerThreshold"],
        "suppressionEnabled": False,
        "suppressionDuration": "PT5H",
        "tactics": document["tactics"],
        "techniques": document["relevantTechniques"],
        "entityMappings": document["entityMappings"],
        "customDetails": document["customDetails"],
        "alertDetailsOverride": {k: v.strip() for k, v in document["alertDetailsOverride"].items()},
        "eventGroupingSettings": document["eventGroupingSettings"],
        "incidentConfiguration": {**incident, "groupingConfiguration": grouping},
    }
    return {
        "type": kind,
        "apiVersion": version,
        "name": document["id"],
        "scope": "[format('Microsoft.OperationalInsights/workspaces/{0}', parameters('workspaceName'))]",
        "kind": document["kind"],
        "properties": {"enabled": "[parameters('enableRules')]", **escaped(filled(properties))},
    }


def filled(value: Any) -> Any:
    """Without lists that hold nothing: ARM-TTK takes an empty one for a mistake, and left out it means the same."""
    if isinstance(value, dict):
        return {key: filled(one) for key, one in value.items() if one != []}
    return value


def workbook(path: Path) -> dict[str, Any]:
    """The workbook, shown under Microsoft Sentinel."""
    kind, version = WORKBOOK
    return {
        "type": kind,
        "apiVersion": version,
        "name": f"[guid(resourceGroup().id, parameters('workspaceName'), '{path.stem}')]",
        "location": "[parameters('location')]",
        "kind": "shared",
        "properties": {
            "displayName": "Microsoft Secure Score",
            "serializedData": path.read_text("utf-8"),
            "version": "1.0",
            "sourceId": WORKSPACE_ID,
            "category": "sentinel",
        },
    }


def after_parsers(parsers: list[dict[str, Any]], readers: list[dict[str, Any]]) -> None:
    """Azure checks a query when it is saved: the functions it calls must be there, and the tables, where they are made
    here. A function is saved by its name.
    """
    names = [one["properties"]["functionAlias"] for one in parsers]
    kind, _ = SAVED_SEARCH
    for reader in readers:
        query = reader["properties"]["query"]
        called = [(kind, name) for name in names if f"{name}(" in query]
        called += [(push.TABLE[0], name) for name in push.tables() if name in query]
        if called:
            reader["dependsOn"] = [
                f"[resourceId('{of}', parameters('workspaceName'), '{name}')]" for of, name in called
            ]


def duration(text: str) -> str:
    return UNITS[text[-1]].format(text[:-1])


def escaped(value: Any) -> Any:
    """Text in brackets would be an expression: with a second one before it, it is text."""
    if isinstance(value, str):
        return f"[{value}" if value.startswith("[") and value.endswith("]") else value
    if isinstance(value, dict):
        return {key: escaped(inner) for key, inner in value.items()}
    return [escaped(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
