"""The codeless (push) connector: a page, four tables, one rule, and whoever sends to it. Build tool, never shipped.

Sentinel runs nothing here: Secure Score Connector, wherever it runs, posts to the Logs Ingestion API with its sink
`sentinel`, and the connector page says all that it needs for that. Tables and rule are those of azuredeploy.json, whose
columns are those of mappings/sentinel.yaml; `python packaging/azure/sentinel/push.py` writes the files of the content
repository from them ("Data Connectors/SecureScoreConnector_ccf"), and build.py deploys the same parts directly.
Source of the form: Microsoft Learn, "Microsoft Sentinel CCF push connectors (preview)".
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CONNECTORS = HERE / "Data Connectors"
FOLDER = CONNECTORS / "SecureScoreConnector_ccf"
CONNECTOR = "SecureScoreConnectorPush"
TITLE = "Microsoft Secure Score (push, by Secure Score Connector)"
DEFINITION = ("Microsoft.SecurityInsights/dataConnectorDefinitions", "2025-06-01")
CONNECTION = ("Microsoft.SecurityInsights/dataConnectors", "2025-06-01")
TABLE = ("Microsoft.OperationalInsights/workspaces/tables", "2025-07-01")
RULE = ("Microsoft.Insights/dataCollectionRules", "2024-03-11")
ROLE = ("Microsoft.Authorization/roleAssignments", "2022-04-01")
PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
"""Monitoring Metrics Publisher. Source: Microsoft Learn, "Azure built-in roles"."""

SENDER = """\
Secure Score Connector sends to the rule with its sink `sentinel`. In its configuration:

```yaml
sinks:
  - name: sentinel
    kind: sentinel
    endpoint: <logs ingestion endpoint>
    rule_id: <immutable id of the rule>
    auth:
      kind: client_secret          # or certificate, federated; managed_identity inside Azure
      tenant_id: <directory of the workspace>
      client_id: <application id>
      client_secret: ${credential:sentinel}
```

`securescore check` signs in and looks at the rule; `securescore check --send-test` sends one event for each rule, of a
tenant TEST. The connector runs as a service on Linux, in a container, or as an Azure Functions app
(`packaging/azure`), which brings tables, rule and role itself. The first heartbeat arrives within an hour."""


def main() -> None:
    """Write the files of the content repository."""
    FOLDER.mkdir(exist_ok=True)
    for name, document in files().items():
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name)


def files() -> dict[str, Any]:
    """Name → document, in the form that the content repository's packaging tool takes."""
    named = {"location": "[parameters('workspace-location')]"}
    return {
        "connectorDefinition.json": {
            "name": CONNECTOR, "apiVersion": DEFINITION[1], "type": DEFINITION[0], **named,
            "kind": "Customizable", "properties": {"connectorUiConfig": page(by_button())},
        },
        "dataConnector.json": {
            "name": f"{CONNECTOR}Connection", "apiVersion": CONNECTION[1], "type": CONNECTION[0], "kind": "Push",
            "properties": {
                "connectorDefinitionName": CONNECTOR,
                "dcrConfig": {
                    "streamName": f"Custom-{heartbeats()}",
                    "dataCollectionEndpoint": "[[parameters('dcrConfig').dataCollectionEndpoint]",
                    "dataCollectionRuleImmutableId": "[[parameters('dcrConfig').dataCollectionRuleImmutableId]",
                },
                "auth": {
                    "type": "Push",
                    "AppId": "[[parameters('auth').appId]",
                    "ServicePrincipalId": "[[parameters('auth').servicePrincipalId]",
                },
                "request": {"RetryCount": 1},
                "response": {"eventsJsonPaths": ["$"]},
            },
        },
        "DCR.json": {
            "name": f"{CONNECTOR}DCR", "apiVersion": RULE[1], "type": RULE[0], **named,
            "properties": {**streams("[variables('workspaceResourceId')]"), "dataCollectionEndpointId": (
                "[concat('/subscriptions/',parameters('subscription'),'/resourceGroups/',parameters('resourceGroupName'),"
                "'/providers/Microsoft.Insights/dataCollectionEndpoints/',parameters('workspace'))]"
            )},
        },
        **{f"table_{name.removesuffix('_CL')}.json": table(name, columns) for name, columns in tables().items()},
    }  # fmt: skip


def resources(workspace: str) -> list[dict[str, Any]]:
    """The same for a direct deployment: the page, and, for a sender that is named, its tables, rule and role."""
    wanted = "[not(empty(parameters('senderObjectId')))]"
    rule = "[resourceId('Microsoft.Insights/dataCollectionRules', parameters('ruleName'))]"
    made = [table(name, columns) for name, columns in tables().items()]
    for one in made:
        one["name"] = f"[format('{{0}}/{one['name']}', parameters('workspaceName'))]"
        one["condition"] = wanted
    return [
        {
            "type": DEFINITION[0],
            "apiVersion": DEFINITION[1],
            "name": CONNECTOR,
            "scope": "[format('Microsoft.OperationalInsights/workspaces/{0}', parameters('workspaceName'))]",
            "kind": "Customizable",
            "properties": {"connectorUiConfig": page(by_template())},
        },
        *made,
        {
            "condition": wanted,
            "type": RULE[0],
            "apiVersion": RULE[1],
            "name": "[parameters('ruleName')]",
            "location": "[parameters('location')]",
            "kind": "Direct",
            "dependsOn": [f"[resourceId('{TABLE[0]}', parameters('workspaceName'), '{name}')]" for name in tables()],
            "properties": streams(workspace),
        },
        {
            "condition": wanted,
            "type": ROLE[0],
            "apiVersion": ROLE[1],
            "scope": "[format('Microsoft.Insights/dataCollectionRules/{0}', parameters('ruleName'))]",
            "name": f"[guid({rule[1:-1]}, parameters('senderObjectId'))]",
            "dependsOn": [rule],
            "properties": {
                "roleDefinitionId": (
                    f"[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{PUBLISHER}')]"
                ),
                "principalId": "[parameters('senderObjectId')]",
                "principalType": "ServicePrincipal",
            },
        },
    ]


def tables() -> dict[str, list[dict[str, str]]]:
    """Table → its columns, as the function app's template has them."""
    template = json.loads((HERE.parent / "azuredeploy.json").read_text("utf-8"))
    columns: dict[str, list[dict[str, str]]] = template["variables"]["columns"]
    return {one["name"]: columns[stream] for stream, one in template["variables"]["tables"].items()}


def heartbeats() -> str:
    """The table that shows whether the connector is connected."""
    return next(name for name in tables() if "Health" in name)


def table(name: str, columns: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "name": name,
        "type": TABLE[0],
        "apiVersion": TABLE[1],
        "properties": {"schema": {"name": name, "columns": columns}},
    }


def streams(workspace: str) -> dict[str, Any]:
    """What the rule takes and where it goes, unaltered."""
    return {
        "streamDeclarations": {f"Custom-{name}": {"columns": columns} for name, columns in tables().items()},
        "destinations": {"logAnalytics": [{"name": "workspace", "workspaceResourceId": workspace}]},
        "dataFlows": [
            {
                "streams": [f"Custom-{name}"],
                "destinations": ["workspace"],
                "transformKql": "source",
                "outputStream": f"Custom-{name}",
            }
            for name in tables()
        ],
    }


# ------------------------------------------------------------------------------------------------------------ the page


def page(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The connector page: what the function app's page shows of the tables, and these steps."""
    other = json.loads((CONNECTORS / "SecureScoreConnector/SecureScoreConnector_FunctionApp.json").read_text("utf-8"))
    shown = {
        key: other[key] for key in ("publisher", "descriptionMarkdown", "graphQueries", "sampleQueries", "dataTypes")
    }
    return {
        "id": CONNECTOR,
        "title": TITLE,
        **shown,
        "connectivityCriteria": other["connectivityCriterias"],
        "availability": {"status": 1, "isPreview": False},
        "permissions": {
            "resourceProvider": [other["permissions"]["resourceProvider"][0]],
            "customs": [
                {
                    "name": "Microsoft Entra",
                    "description": "Permission to register an application with a secret (Application Developer).",
                },
                {
                    "name": "Microsoft Azure",
                    "description": "Permission to assign **Monitoring Metrics Publisher** on the data collection rule "
                    "(Owner or User Access Administrator).",
                },
                {
                    "name": "Microsoft Graph",
                    "description": "Reading needs **SecurityEvents.Read.All** with admin consent, for the account that "
                    "Secure Score Connector reads with; this page does not grant it.",
                },
            ],
        },
        "instructionSteps": steps,
    }


def by_button() -> list[dict[str, Any]]:
    """In the content hub: the page makes tables, rule, application and role."""
    labels = [
        ("Directory (tenant) id", "TenantId"),
        ("Application id", "ApplicationId"),
        ("Application secret", "ApplicationSecret"),
        ("Logs ingestion endpoint", "DataCollectionEndpoint"),
        ("Immutable id of the rule", "DataCollectionRuleId"),
    ]
    return [
        step(
            "1. Make tables, rule and sender",
            "Makes the four tables, the data collection rule and an application that may send to it.",
            {
                "type": "DeployPushConnectorButton",
                "parameters": {
                    "label": "Deploy the push connector",
                    "applicationDisplayName": "Secure Score Connector (sends to Microsoft Sentinel)",
                },
            },
        ),
        step(
            "2. Give the connector what it needs",
            "The secret is shown once: put it where the configuration's reference finds it.",
            *(
                {
                    "type": "CopyableLabel",
                    "parameters": {
                        "label": label,
                        "fillWith": [value],
                        "placeholder": "Deploy the push connector first",
                    },
                }
                for label, value in labels
            ),
            markdown(SENDER),
        ),
    ]


def by_template() -> list[dict[str, Any]]:
    """Deployed directly: the template makes tables, rule and role; its outputs are what the sender needs."""
    made = (
        "Deploy the template of the Sentinel content with `senderObjectId`, the object id of the sender's service "
        "principal: it makes the four tables, the data collection rule and the role. Its outputs `endpoint` and "
        "`ruleId` are what the sender needs. Where the Azure Functions app of the connector runs, all of that is there."
    )
    return [
        step("1. Make tables and rule, allow the sender", "By the template that made this page.", markdown(made)),
        step("2. Give the connector what it needs", "In the configuration of the sender.", markdown(SENDER)),
    ]


def step(title: str, description: str, *instructions: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "description": description, "instructions": list(instructions)}


def markdown(text: str) -> dict[str, Any]:
    return {"type": "Markdown", "parameters": {"content": text}}


if __name__ == "__main__":
    main()
