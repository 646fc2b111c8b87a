"""The ARM template, deployed on paper: what Azure would refuse, what would be insecure, what would not fit the app."""

import json
import os
import re
import runpy
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from connector.config.values import Config
from connector.homes.functions import configuration
from connector.model import STREAMS
from sinks.sentinel import OPTIONS
from tests.artefacts.arm import GROUP, SUBSCRIPTION, Deployment, Wrong
from tests.golden import samples

AZURE = Path(__file__).parents[2] / "packaging" / "azure"
FILE = AZURE / "azuredeploy.json"
TEMPLATE: dict[str, Any] = json.loads(FILE.read_text())
UI: dict[str, Any] = json.loads((AZURE / "createUiDefinition.json").read_text())
SHAPES: dict[str, Any] = json.loads((Path(__file__).parent / "arm_shapes.json").read_text())
RULE = "dcr-0123456789abcdef0123456789abcdef"
CLIENT = "22222222-2222-4222-8222-222222222222"
PRINCIPAL = "33333333-3333-4333-8333-333333333333"
REWRITE = "SECURESCORE_REWRITE=1 python -m pytest tests/artefacts/test_azure_template.py"

VERSIONS = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/dataCollectionEndpoints": "2024-03-11",
    "Microsoft.Insights/dataCollectionRules": "2024-03-11",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.KeyVault/vaults": "2025-05-01",
    "Microsoft.KeyVault/vaults/secrets": "2025-05-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "2024-06-01",
    "Microsoft.Network/privateEndpoints": "2025-05-01",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "2025-05-01",
    "Microsoft.Network/virtualNetworks": "2025-05-01",
    "Microsoft.OperationalInsights/workspaces": "2025-07-01",
    "Microsoft.OperationalInsights/workspaces/tables": "2025-07-01",
    "Microsoft.Resources/deployments": "2025-04-01",
    "Microsoft.SecurityInsights/onboardingStates": "2025-09-01",
    "Microsoft.Storage/storageAccounts": "2025-06-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2025-06-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2025-06-01",
    "Microsoft.Storage/storageAccounts/queueServices/queues": "2025-06-01",
    "Microsoft.Web/serverfarms": "2025-03-01",
    "Microsoft.Web/sites": "2025-03-01",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "2025-03-01",
    "Microsoft.Web/sites/config": "2025-03-01",
    "Microsoft.Web/sites/extensions": "2025-03-01",
}
"""Every type that the template may hold, with the one API version it is written for: known to Azure/bicep-types-az of
2026-08, and under 730 days old (what the content repository's ARM-TTK asks for), or the newest that there is.
"""

CHECKED = date(2026, 11, 30)
NEWEST = {
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Insights/components",
    "Microsoft.Insights/dataCollectionEndpoints",
    "Microsoft.Insights/dataCollectionRules",
    "Microsoft.Insights/diagnosticSettings",  # a preview since 2021: there is no other that resources may have
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
}
"""Types whose newest stable version was older than that on the day they were looked up."""

ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
}
"""Azure's built-in roles that the app needs. Source: Microsoft Learn, "Azure built-in roles"."""

NOT_ON_FLEX = (
    *("FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_CONTENTSHARE"),
    *("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD"),
    *("WEBSITE_TIME_ZONE", "TZ"),
)
"""Settings that a Flex Consumption app must not have."""

OTHER = f"/subscriptions/{SUBSCRIPTION.replace('9', '8')}/resourceGroups/other/providers"
EXISTING = {
    "workspaceResourceId": f"{OTHER}/Microsoft.OperationalInsights/workspaces/soc",
    "identityResourceId": f"{OTHER}/Microsoft.ManagedIdentity/userAssignedIdentities/reader",
    "storageAccountResourceId": f"{OTHER}/Microsoft.Storage/storageAccounts/theirs",
    "keyVaultResourceId": f"{OTHER}/Microsoft.KeyVault/vaults/theirs",
}
SECRET = {"graphAuthentication": "clientSecret", "graphClientId": CLIENT, "graphClientSecret": "not.a~secret"}
SUBNETS = f"{OTHER}/Microsoft.Network/virtualNetworks/hub/subnets"
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "package": {"packageUri": "https://example.org/app.zip"},
    "existing": EXISTING,
    "existing with a secret": {**EXISTING, **SECRET},
    "a secret": {**SECRET, "tags": {"owner": "soc"}, "inventoryTablePlan": "Basic", "retentionInDays": 365},
    "many tenants": {
        "graphAuthentication": "federated",
        "graphClientId": CLIENT,
        "tenantsFile": "tenants.csv",
        "tenantId": "",
    },
    "private": {
        **SECRET,
        "privateNetworking": True,
        "useDataCollectionEndpoint": True,
        "publicNetworkAccess": "Disabled",
    },
    "private in a network that is there": {
        "privateNetworking": True,
        "createPrivateDnsZones": False,
        "integrationSubnetResourceId": f"{SUBNETS}/functions",
        "endpointSubnetResourceId": f"{SUBNETS}/endpoints",
    },
    "no right to assign roles": {**SECRET, "skipRoleAssignments": True},
    "us government": {"graphCloud": "dod"},
    "azure as well": {"grantReader": True, "tenantName": "contoso"},
    "azure as well, roles by others": {"grantReader": True, "skipRoleAssignments": True},
    "as the example says": {
        name: one["value"]
        for name, one in json.loads((AZURE / "azuredeploy.parameters.example.json").read_text())["parameters"].items()
    },
}
SCENARIOS = {name: {"workspaceResourceId": "new", **given} for name, given in GIVEN.items()}


def answer(resource: str) -> Any:
    """What Azure says of a resource once it is there."""
    name = resource.rpartition("/")[2]
    return {
        "userAssignedIdentities": {"principalId": PRINCIPAL, "clientId": CLIENT},
        "storageAccounts": {
            "primaryEndpoints": {s: f"https://{name}.{s}.core.windows.net/" for s in ("blob", "queue", "table")}
        },
        "dataCollectionRules": {
            "immutableId": RULE,
            "endpoints": {"logsIngestion": "https://direct-x.westeurope-1.ingest.monitor.azure.com"},
        },
        "dataCollectionEndpoints": {
            "logsIngestion": {"endpoint": "https://dce-x.westeurope-1.ingest.monitor.azure.com"}
        },
        "components": {"ConnectionString": "InstrumentationKey=0;IngestionEndpoint=https://x"},
        "vaults": {"vaultUri": f"https://{name}.vault.azure.net/"},
        "sites": {"defaultHostName": f"{name}.azurewebsites.net"},
    }[resource.split("/")[-2]]


@cache
def deployed(scenario: str) -> tuple[Deployment, tuple[dict[str, Any], ...]]:
    cloud = "AzureUSGovernment" if scenario == "us government" else "AzureCloud"
    deployment = Deployment(TEMPLATE, SCENARIOS[scenario], answer, cloud)
    return deployment, tuple(deployment.resources())


def of_type(scenario: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in deployed(scenario)[1] if one["type"] == kind]


def settings(scenario: str) -> dict[str, str]:
    (one,) = of_type(scenario, "Microsoft.Web/sites/config")
    return dict(one["properties"])


# -------------------------------------------------------------------------------------------- what Azure would refuse


def _enum(validator: Any, allowed: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Azure compares words without regard to case. The libraries do not know rules of the kind Direct yet."""
    if str(instance).lower() not in {str(one).lower() for one in allowed} and (instance, allowed) != KIND_DIRECT:
        yield ValidationError(f"{instance!r} is none of {allowed}")


KIND_DIRECT = ("Direct", ["Linux", "Windows"])
Validator: Any = extend(Draft202012Validator, {"enum": _enum})  # type: ignore[no-untyped-call]
ENVELOPE = {"type", "apiVersion", "name", "id", "scope", "dependsOn"}
LOOSE = {
    "Microsoft.Web/sites/config",
    "Microsoft.Web/sites/extensions",
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.SecurityInsights/onboardingStates",
}
"""Types without a shape: settings are free, the others have tests of their own."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_property_is_one_that_azure_knows(scenario: str) -> None:
    resources = deployed(scenario)[1]
    assert len(resources) > 15
    faults = []
    for one in resources:
        if one["type"] in LOOSE:
            continue
        shape = {k: v for k, v in SHAPES[one["type"]].items() if k != "from"}
        body = {k: v for k, v in one.items() if k not in ENVELOPE}
        faults += [
            f"{one['type']} {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
            for error in Validator(shape).iter_errors(body)
        ]
    assert faults == []


def raw_resources(template: Mapping[str, Any] = TEMPLATE) -> Iterator[Mapping[str, Any]]:
    for one in template["resources"]:
        yield one
        if one["type"] == "Microsoft.Resources/deployments":
            yield from raw_resources(one["properties"]["template"])


def test_every_type_has_the_api_version_it_was_written_for() -> None:
    assert {one["type"]: one["apiVersion"] for one in raw_resources()} == VERSIONS
    old = {kind for kind, version in VERSIONS.items() if (CHECKED - date.fromisoformat(version[:10])).days >= 730}
    assert old == NEWEST
    assert {kind for kind, version in VERSIONS.items() if "preview" in version} == {
        "Microsoft.Insights/diagnosticSettings"
    }


def test_what_is_looked_up_is_looked_up_by_the_same_version() -> None:
    ids = {
        "identityId": "userAssignedIdentities",
        "storageId": "storageAccounts",
        "vaultId": "vaults",
        "siteId": "sites",
    }
    ids |= {"ruleId": "dataCollectionRules", "endpointId": "dataCollectionEndpoints", "insightsId": "components"}
    asked = set(re.findall(r"reference\(variables\('(\w+)'\), '([\d-]+)'", FILE.read_text()))
    assert asked == {(n, v) for n, end in ids.items() for kind, v in VERSIONS.items() if kind.split("/")[1:] == [end]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_depended_on_is_part_of_the_template(scenario: str) -> None:
    deployment, _ = deployed(scenario)
    assert deployment.depends() - deployment.known() == set()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_names_are_allowed_and_ids_are_unique(scenario: str) -> None:
    resources = deployed(scenario)[1]
    ids = [one["id"] for one in resources]
    assert len(ids) == len(set(ids))
    limits = {
        "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
        "Microsoft.KeyVault/vaults": r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
        "Microsoft.Web/sites": r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,58}[A-Za-z0-9])?",
        "Microsoft.Insights/dataCollectionRules": r"[A-Za-z][A-Za-z0-9-]{2,62}[A-Za-z0-9]",
    }
    wrong = [o["name"] for o in resources if (p := limits.get(o["type"])) and not re.fullmatch(p, o["name"])]
    assert wrong == []


def test_nothing_is_declared_in_vain() -> None:
    used: set[str] = set()
    for scenario in SCENARIOS:
        deployment, _ = deployed(scenario)
        deployment.outputs()
        used |= deployment.used
    declared = {f"{kind}:{name}" for kind in ("parameters", "variables") for name in TEMPLATE[kind]}
    assert declared - used == set()


@pytest.mark.parametrize(
    "change", ["parameters('locatoin')", "variables('nmaes').app", "toUpper('a')", "parameters('tags'"]
)
def test_a_misspelt_expression_is_found(change: str) -> None:
    with pytest.raises(Wrong):
        Deployment(TEMPLATE, {}, answer).value(f"[{change}]")


def test_a_misspelt_property_is_found() -> None:
    (rule,) = of_type("defaults", "Microsoft.Insights/dataCollectionRules")
    shape = {k: v for k, v in SHAPES[rule["type"]].items() if k != "from"}
    wrong = {"location": "x", "properties": {**rule["properties"], "dataFlow": []}}
    assert [e.message for e in Validator(shape).iter_errors(wrong)] != []
    columns = {"Custom-A_CL": {"columns": [{"name": "A", "type": "float"}]}}
    (error,) = Validator(shape).iter_errors({"location": "x", "properties": {"streamDeclarations": columns}})
    assert "'float' is none of" in error.message


# ---------------------------------------------------------------------------------------------------- tables and rule


def test_the_columns_are_those_of_the_mapping() -> None:
    """One list a stream, shared by table and rule, equal to sentinel.yaml in names, types and order."""
    wanted = {s: [{"name": n, "type": t} for n, t in samples.mapping("sentinel").columns(s).items()] for s in STREAMS}
    if os.environ.get("SECURESCORE_REWRITE") == "1":
        TEMPLATE["variables"]["columns"] = wanted
        text = json.dumps(TEMPLATE, indent=2)
        text = re.sub(r'\{\s+"name": "(\w+)",\s+"type": "(\w+)"\s+\}', r'{"name": "\1", "type": "\2"}', text)
        FILE.write_text(f"{text}\n")
    assert TEMPLATE["variables"]["columns"] == wanted, f"write them again: {REWRITE}"


def test_streams_tables_and_flows_are_those_the_sink_sends_to() -> None:
    columns = {s: samples.mapping("sentinel").columns(s) for s in STREAMS}
    (rule,) = of_type("defaults", "Microsoft.Insights/dataCollectionRules")
    found = rule["properties"]
    assert rule["kind"] == "Direct"
    streams = OPTIONS["streams"].default
    declared = {name: {c["name"]: c["type"] for c in s["columns"]} for name, s in found["streamDeclarations"].items()}
    assert declared == {streams[s]: columns[s] for s in STREAMS}
    tables = {
        t["name"].rpartition("/")[2]: t for t in of_type("defaults", "Microsoft.OperationalInsights/workspaces/tables")
    }
    stored = {name: {c["name"]: c["type"] for c in t["properties"]["schema"]["columns"]} for name, t in tables.items()}
    assert stored == {streams[s].removeprefix("Custom-"): columns[s] for s in STREAMS}
    assert {t["properties"]["schema"]["name"] for t in tables.values()} == tables.keys()
    assert [flow["outputStream"] for flow in found["dataFlows"]] == [flow["streams"][0] for flow in found["dataFlows"]]
    assert {flow["outputStream"] for flow in found["dataFlows"]} == declared.keys()
    assert {flow["transformKql"] for flow in found["dataFlows"]} == {"source"}


def test_plans_and_retention_follow_the_parameters() -> None:
    def shown(scenario: str) -> dict[str, tuple[Any, Any]]:
        tables = of_type(scenario, "Microsoft.OperationalInsights/workspaces/tables")
        return {
            t["name"].rpartition("/")[2]: (t["properties"]["plan"], t["properties"].get("retentionInDays"))
            for t in tables
        }

    assert set(shown("defaults").values()) == {("Analytics", -1)}
    found = shown("a secret")
    assert found.pop("SecureScoreInventory_CL") == ("Basic", None)
    assert set(found.values()) == {("Analytics", 365)}


def test_an_existing_workspace_gets_its_tables_where_it_is() -> None:
    for table in of_type("existing", "Microsoft.OperationalInsights/workspaces/tables"):
        assert table["id"].startswith(f"{OTHER}/Microsoft.OperationalInsights/workspaces/soc/tables/")
    assert of_type("existing", "Microsoft.OperationalInsights/workspaces") == []


def test_a_workspace_is_never_made_by_forgetting_one() -> None:
    """Deployed again without its workspace, the app would fill new tables, and nothing would fail."""
    with pytest.raises(Wrong, match="workspaceResourceId"):
        list(Deployment(TEMPLATE, {}, answer).resources())
    with pytest.raises(Wrong):
        list(Deployment(TEMPLATE, {"workspaceResourceId": ""}, answer).resources())


def test_a_new_workspace_has_microsoft_sentinel() -> None:
    (one,) = of_type("defaults", "Microsoft.SecurityInsights/onboardingStates")
    (workspace,) = of_type("defaults", "Microsoft.OperationalInsights/workspaces")
    assert (one["name"], one["properties"]) == ("default", {})
    assert one["scope"] == f"Microsoft.OperationalInsights/workspaces/{workspace['name']}"
    assert of_type("existing", "Microsoft.SecurityInsights/onboardingStates") == []


def test_what_the_rule_drops_is_told_in_the_workspace() -> None:
    """The table DCRLogErrors, which the README, a rule and the workbook speak of."""
    (one,) = of_type("existing", "Microsoft.Insights/diagnosticSettings")
    (rule,) = of_type("existing", "Microsoft.Insights/dataCollectionRules")
    assert one["scope"] == f"Microsoft.Insights/dataCollectionRules/{rule['name']}"
    assert one["properties"] == {
        "workspaceId": EXISTING["workspaceResourceId"],
        "logAnalyticsDestinationType": "Dedicated",
        "logs": [{"category": "LogErrors", "enabled": True}],
    }


def test_what_is_deleted_from_the_state_can_be_had_back_for_a_week() -> None:
    (one,) = of_type("defaults", "Microsoft.Storage/storageAccounts/blobServices")
    week = {"enabled": True, "days": 7}
    assert one["properties"] == {"deleteRetentionPolicy": week, "containerDeleteRetentionPolicy": week}
    assert of_type("existing", "Microsoft.Storage/storageAccounts/blobServices") == [], "theirs stays as it is"


# ---------------------------------------------------------------------------------------------------- least privilege


def test_roles_are_those_the_app_needs_each_on_what_it_uses() -> None:
    """On containers and queues, never on an account that others use, too; on the one secret, not on its vault."""
    assert set(TEMPLATE["variables"]["roles"].values()) == set(ROLES)

    def assigned(scenario: str) -> set[tuple[str, str, str]]:
        found = set()
        for one in of_type(scenario, "Microsoft.Authorization/roleAssignments"):
            assert one["properties"]["principalId"] == PRINCIPAL
            assert one["properties"]["principalType"] == "ServicePrincipal"
            kind, name = one.get("scope", "subscription/").split("/")[-2:]
            own = name if kind in ("containers", "queues", "secrets") else ""
            found.add((kind, own, ROLES[one["properties"]["roleDefinitionId"].rpartition("/")[2]]))
        return found

    everywhere = {
        ("containers", "app-package", "Storage Blob Data Contributor"),
        ("containers", "azure-webjobs-hosts", "Storage Blob Data Owner"),
        ("containers", "azure-webjobs-secrets", "Storage Blob Data Owner"),
        ("containers", "config", "Storage Blob Data Reader"),
        ("containers", "state", "Storage Blob Data Contributor"),
        ("queues", "securescore-tenants", "Storage Queue Data Contributor"),
        ("queues", "securescore-tenants-poison", "Storage Queue Data Contributor"),
        ("dataCollectionRules", "", "Monitoring Metrics Publisher"),
        ("components", "", "Monitoring Metrics Publisher"),
    }
    diagnostics = {
        ("storageAccounts", "", "Storage Table Data Contributor")
    }  # a table a month, in an account of its own
    secret = {("secrets", "graph-client-secret", "Key Vault Secrets User")}
    assert assigned("defaults") == everywhere | diagnostics
    assert assigned("a secret") == everywhere | diagnostics | secret
    assert assigned("existing") == everywhere
    assert assigned("existing with a secret") == everywhere | secret
    assert assigned("no right to assign roles") == set()
    assert assigned("azure as well") == everywhere | diagnostics | {("subscription", "", "Reader")}


def test_a_role_waits_for_what_it_is_given_on() -> None:
    nested = [one for one in TEMPLATE["resources"] if one["type"] == "Microsoft.Resources/deployments"]
    roles = [
        each
        for one in nested
        for each in one["properties"]["template"]["resources"]
        if each["type"] == "Microsoft.Authorization/roleAssignments"
    ]
    waits = {str(each["scope"]).split("/")[-2]: each.get("dependsOn") for each in roles if "scope" in each}
    assert waits["containers"] == ["containers"]
    assert waits["queues"] == ["queues"]
    assert "vaults/secrets" in waits["secrets"][0]


def test_a_role_is_named_by_whom_it_is_given_to() -> None:
    """An identity that is deleted and made again is another principal: an assignment of the same name is refused."""

    def other(resource: str) -> Any:
        found = answer(resource)
        return {**found, "principalId": CLIENT} if "principalId" in found else found

    given = SCENARIOS["existing with a secret"]
    again = [one for one in Deployment(TEMPLATE, given, other).resources() if one["type"].endswith("/roleAssignments")]
    before = of_type("existing with a secret", "Microsoft.Authorization/roleAssignments")
    assert len(again) == len(before) > 0
    assert {one["name"] for one in again} & {one["name"] for one in before} == set()


def test_whoever_may_assign_roles_gets_the_commands() -> None:
    assert deployed("defaults")[0].outputs()["roleAssignments"] == []
    commands = deployed("no right to assign roles")[0].outputs()["roleAssignments"]
    assert len(commands) == 11
    wanted = {
        (one["scope"].rpartition("/")[2], one["properties"]["roleDefinitionId"].rpartition("/")[2])
        for one in of_type("a secret", "Microsoft.Authorization/roleAssignments")
    }
    told = set()
    for command in commands:
        match = re.fullmatch(
            rf"az role assignment create --assignee-object-id {PRINCIPAL} --assignee-principal-type ServicePrincipal"
            r" --role (\S+) --scope (/subscriptions/\S+)",
            command,
        )
        assert match, command
        told.add((match[2].rpartition("/")[2], match[1]))
    assert told == wanted


def test_the_score_of_the_subscription_is_read_only_when_asked() -> None:
    assert {tenant.source for tenant in read("defaults").tenants} == {"graph"}
    graph, azure = read("azure as well").tenants[:2]
    assert (graph.name, azure.name, azure.source) == ("contoso", "contoso-azure", "defender_cloud")
    assert azure.auth is not None
    assert graph.auth is not None
    assert (azure.tenant_id, azure.auth.kind) == (graph.tenant_id, graph.auth.kind)
    commands = deployed("azure as well, roles by others")[0].outputs()["roleAssignments"]
    assert f"--role acdd72a7-3385-48ef-bd42-f606fba81ae7 --scope /subscriptions/{SUBSCRIPTION}" in commands[-1]


def test_nothing_takes_keys_and_nothing_is_public_that_need_not_be() -> None:
    (storage,) = of_type("defaults", "Microsoft.Storage/storageAccounts")
    safe = storage["properties"]
    assert (safe["allowSharedKeyAccess"], safe["allowBlobPublicAccess"]) == (False, False)
    assert (safe["minimumTlsVersion"], safe["supportsHttpsTrafficOnly"]) == ("TLS1_2", True)
    (insights,) = of_type("defaults", "Microsoft.Insights/components")
    assert insights["properties"]["DisableLocalAuth"] is True
    (workspace,) = of_type("defaults", "Microsoft.OperationalInsights/workspaces")
    assert workspace["properties"]["features"] == {"disableLocalAuth": True}
    (vault,) = of_type("a secret", "Microsoft.KeyVault/vaults")
    assert vault["properties"]["enableRbacAuthorization"] is True
    assert vault["properties"]["enablePurgeProtection"] is True
    policies = of_type("defaults", "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {p["name"].rpartition("/")[2]: p["properties"]["allow"] for p in policies} == {"ftp": False, "scm": False}
    (site,) = of_type("defaults", "Microsoft.Web/sites")
    assert site["properties"]["httpsOnly"] is True
    for private in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        (one,) = of_type("private", private)
        assert one["properties"]["publicNetworkAccess"] == "Disabled"
    assert site["identity"]["type"] == "UserAssigned"


def test_secrets_are_secure_parameters_and_reach_the_vault_only() -> None:
    secret_words = re.compile(r"secret|password|key$|token|packageuri", re.IGNORECASE)
    for template in (
        TEMPLATE,
        *(r["properties"]["template"] for r in raw_resources() if "template" in r.get("properties", {})),
    ):
        for name, parameter in template["parameters"].items():
            if parameter["type"] in ("string", "securestring") and secret_words.search(name) and name != "secretName":
                assert parameter["type"] == "securestring", name
                assert parameter.get("defaultValue", "") == "", name
    secret = SECRET["graphClientSecret"]
    deployment, resources = deployed("a secret")
    holders = {one["type"] for one in resources if secret in json.dumps(one)}
    assert holders == {"Microsoft.KeyVault/vaults/secrets"}
    assert secret not in json.dumps(deployment.outputs())
    assert "listKeys" not in FILE.read_text()


# ----------------------------------------------------------------------------------------------------- the app itself


def read(scenario: str) -> Config:
    return configuration(
        {**settings(scenario), "GRAPH_CLIENT_SECRET": "x"}, "tenants.csv", b"name,tenant_id\n" + b"b," + CLIENT.encode()
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_settings_are_a_configuration_that_the_app_takes(scenario: str) -> None:
    found = settings(scenario)
    assert {type(value) for value in found.values()} == {str}
    assert not set(found) & set(NOT_ON_FLEX)
    assert found["AzureWebJobsStorage__credential"] == "managedidentity"
    config = read(scenario)
    assert config.state.blob is not None
    assert config.state.blob["container"] == "state"
    assert config.poll.backfill_days < config.state.keep_days, "what is read is kept for a while"
    (sink,) = config.sinks
    assert (sink.kind, sink.options["rule_id"]) == ("sentinel", RULE)
    host = "dce-x" if scenario == "private" else "direct-x"
    assert sink.options["endpoint"].startswith(f"https://{host}.")
    assert config.graph.cloud == {"us government": "dod"}.get(scenario, "global")


def test_the_government_cloud_is_its_own_by_default() -> None:
    assert Deployment(TEMPLATE, {}, answer, "AzureUSGovernment").value("[parameters('graphCloud')]") == "usgov"


def test_each_way_to_sign_in_becomes_a_credential() -> None:
    home, _ = read("defaults").tenants
    assert home.auth is not None
    assert (home.name, home.auth.kind, home.auth.options["client_id"]) == ("home", "managed_identity", CLIENT)
    (only,) = read("many tenants").tenants
    assert only.auth is not None
    assert (only.name, only.auth.kind, only.auth.options["managed_identity"]) == ("b", "federated", CLIENT)
    with_secret = read("a secret").tenants[0].auth
    assert with_secret is not None
    assert with_secret.options["client_secret"] == "${env:GRAPH_CLIENT_SECRET}"
    public, private = settings("a secret"), settings("private")
    assert re.fullmatch(
        r"@Microsoft\.KeyVault\(SecretUri=https://[a-z0-9-]+\.vault\.azure\.net/secrets/graph-client-secret\)",
        public["GRAPH_CLIENT_SECRET"],
    )
    assert re.fullmatch(
        r"keyvault:https://[a-z0-9-]+\.vault\.azure\.net/secrets/graph-client-secret", private["GRAPH_CLIENT_SECRET"]
    )


def test_the_app_runs_the_python_that_the_zip_is_for() -> None:
    (site,) = of_type("defaults", "Microsoft.Web/sites")
    flex = site["properties"]["functionAppConfig"]
    assert flex["runtime"] == {"name": "python", "version": "3.13"}
    assert flex["deployment"]["storage"]["value"].endswith(".blob.core.windows.net/app-package")
    (plan,) = of_type("defaults", "Microsoft.Web/serverfarms")
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}


def test_queues_and_containers_are_those_of_the_code() -> None:
    code = (AZURE / "function_app.py").read_text()
    queue = re.search(r'^QUEUE = "(.+)"$', code, re.MULTILINE)
    assert queue
    made = {
        q["name"].rpartition("/")[2]
        for q in of_type("defaults", "Microsoft.Storage/storageAccounts/queueServices/queues")
    }
    assert made == {queue[1], f"{queue[1]}-poison"}
    kept = of_type("defaults", "Microsoft.Storage/storageAccounts/blobServices/containers")
    hosts = {"azure-webjobs-hosts", "azure-webjobs-secrets"}  # what the Functions host would make, if it might
    assert {c["name"].rpartition("/")[2] for c in kept} == {"app-package", "state", "config"} | hosts
    assert {f"%{name}%" for name in ("SECURESCORE_SCHEDULE", "SECURESCORE_TEND_SCHEDULE")} <= set(
        re.findall(r"%\w+%", code)
    )


def test_the_zip_arrives_from_an_address_or_by_a_command() -> None:
    assert of_type("defaults", "Microsoft.Web/sites/extensions") == []
    (arrival,) = of_type("package", "Microsoft.Web/sites/extensions")
    assert arrival["name"].endswith("/onedeploy")
    assert arrival["properties"] == {"packageUri": "https://example.org/app.zip", "remoteBuild": False}
    outputs = deployed("defaults")[0].outputs()
    command = outputs["deployPackage"]
    assert command.startswith(f"az functionapp deployment source config-zip --resource-group {GROUP} ")
    made = runpy.run_path(str(AZURE / "build.py"))["ZIP"]
    assert command.endswith(f" --src {made}"), "the name that `make azure` gives it"


def test_private_endpoints_cover_what_is_closed() -> None:
    groups = {
        e["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"][0]
        for e in of_type("private", "Microsoft.Network/privateEndpoints")
    }
    assert groups == {"blob", "queue", "table", "vault"}
    zones = {z["name"] for z in of_type("private", "Microsoft.Network/privateDnsZones")}
    assert zones == {
        "privatelink.blob.core.windows.net",
        "privatelink.queue.core.windows.net",
        "privatelink.table.core.windows.net",
        "privatelink.vaultcore.azure.net",
    }
    (site,) = of_type("private", "Microsoft.Web/sites")
    assert site["properties"]["virtualNetworkSubnetId"].endswith("/subnets/app")
    theirs = "private in a network that is there"
    (site,) = of_type(theirs, "Microsoft.Web/sites")
    assert site["properties"]["virtualNetworkSubnetId"] == f"{SUBNETS}/functions"
    assert of_type(theirs, "Microsoft.Network/virtualNetworks") == []
    assert of_type(theirs, "Microsoft.Network/privateDnsZones") == []


# --------------------------------------------------------------------------------------------------------- the portal


def test_the_portals_form_fits_the_template() -> None:
    parameters = UI["parameters"]
    named = {one["name"]: one for one in parameters["basics"]}
    for step in parameters["steps"]:
        named |= {f"{step['name']}.{one['name']}": one for one in step["elements"]}
    outputs = parameters["outputs"]
    assert set(outputs) <= set(TEMPLATE["parameters"])
    needed = {n for n, p in TEMPLATE["parameters"].items() if "defaultValue" not in p}
    assert needed <= set(outputs)
    text = json.dumps(UI)
    for step, element in re.findall(r"steps\('(\w+)'\)\.(\w+)", text):
        assert f"{step}.{element}" in named
    for element in re.findall(r"basics\('(\w+)'\)", text):
        assert element in named
    asked = {n for n, e in named.items() if e["type"] not in ("Microsoft.Common.InfoBox", "Microsoft.Common.TextBlock")}
    used = set(re.findall(r"steps\('(\w+)'\)\.(\w+)", json.dumps(outputs)))
    assert {f"{a}.{b}" for a, b in used} | set(re.findall(r"basics\('(\w+)'\)", json.dumps(outputs))) == asked
    secure = {n for n, p in TEMPLATE["parameters"].items() if p["type"] == "securestring"} & set(outputs)
    for name in secure:
        (step, element) = re.findall(r"steps\('(\w+)'\)\.(\w+)", outputs[name])[0]
        assert named[f"{step}.{element}"]["type"] == "Microsoft.Common.PasswordBox", name
    for name, element in named.items():
        allowed = [v["value"] for v in element.get("constraints", {}).get("allowedValues", [])]
        target = next((o for o, e in outputs.items() if name.replace(".", "').") in str(e)), None)
        if allowed and target:
            assert set(allowed) <= set(TEMPLATE["parameters"][target].get("allowedValues", allowed)), name
