"""Every ARM template that ships, by the checks of ARM-TTK; the toolkit itself is PowerShell, which CI cannot have.

Source: Azure/arm-ttk, arm-ttk/testcases/deploymentTemplate/<name of the check>.test.ps1, as far as a check concerns
what our templates hold (none has a virtual machine, a linked template or an artifacts location). Nested templates are
judged like the template around them. "Recent" is judged on the day that API versions were last compared with Azure's
own list. Not here: Resources-Should-Not-Be-Ambiguous, which takes a conditional resource's own id for another one's.
"""

import json
import re
import runpy
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging"
CHECKED = date(2026, 11, 30)
RECENT_DAYS = 730
NEWEST = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/dataCollectionEndpoints": "2024-03-11",
    "Microsoft.Insights/dataCollectionRules": "2024-03-11",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "2024-06-01",
}
"""Types whose newest stable version is no younger, or (diagnosticSettings) that have no stable one: bicep-types-az."""
HOSTS = (
    "management.azure.com", "management.core.windows.net", "login.microsoftonline.com", "graph.windows.net",
    "gallery.azure.com", "batch.core.windows.net", "datalake.azure.net", "rest.media.azure.net",
    "management.usgovcloudapi.net", "management.core.usgovcloudapi.net", "login.microsoftonline.us",
    "gallery.usgovcloudapi.net", "batch.core.usgovcloudapi.net",
)  # fmt: skip
"""Of the environments that the toolkit knows: what `environment()` gives by cloud."""
NO_RESOURCE_IDS = {"clientid", "principalid", "tenantid", "objectid", "subscriptionid", "appid"}
"""Names that end in "id" and hold no id of a resource."""
ALLOWED_IDS = ("extensionResourceId", "resourceId", "subscriptionResourceId", "tenantResourceId", "if", "parameters",
               "reference", "variables", "subscription", "guid")  # fmt: skip
MAY_BE_EMPTY = {
    "resources", "outputs", "variables", "parameters", "functions", "properties", "defaultValue", "accessPolicies",
    "value", "inputs", "clientId",
}  # fmt: skip
SCHEMAS = re.compile(
    r"https://schema\.management\.azure\.com/schemas/(2019-04-01/deploymentTemplate"
    r"|2018-05-01/subscriptionDeploymentTemplate)\.json#"
)

Template = Mapping[str, Any]


@cache
def templates() -> dict[str, Template]:
    """Every template, as it is deployed."""
    content = runpy.run_path(str(PACKAGING / "azure" / "sentinel" / "build.py"))
    return {
        "azuredeploy": json.loads((PACKAGING / "azure" / "azuredeploy.json").read_text("utf-8")),
        "sentinel content": json.loads(json.dumps(content["template"]())),
        "container app": json.loads((PACKAGING / "container" / "container-app.json").read_text("utf-8")),
    }


def walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its path."""
    yield path, value
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value) if type(value) is list else ():
        yield from walk(inner, (*path, str(key)))


def nested(template: Template) -> Iterator[Template]:
    """The template and those within it."""
    yield template
    for _, value in walk(template["resources"]):
        if isinstance(value, Mapping) and "resources" in value and "$schema" in value:
            yield value


def own(template: Template) -> Template:
    """Without the templates within it: those have parameters and variables of their own."""

    def pruned(value: Any) -> Any:
        if isinstance(value, Mapping):
            inner = "resources" in value and "$schema" in value and value is not template
            return {} if inner else {key: pruned(one) for key, one in value.items()}
        return [pruned(one) for one in value] if isinstance(value, list) else value

    found: Template = pruned(template)
    return found


def resources(template: Template) -> list[Mapping[str, Any]]:
    return [one for one in template["resources"] if isinstance(one, Mapping)]


def expressions(value: Any) -> str:
    """All expressions in a value, one a line."""
    found = [text for _, text in walk(value) if isinstance(text, str) and re.match(r"\s*\[(?!\[)", text)]
    found += [key for path, _ in walk(value) for key in path[-1:] if key.startswith("[")]
    return "\n".join(found)


# ------------------------------------------------------------------------------------------------------------- checks


def schema_is_correct(t: Template) -> list[str]:
    """DeploymentTemplate-Schema-Is-Correct."""
    return [] if SCHEMAS.fullmatch(t.get("$schema", "")) else [str(t.get("$schema"))]


def parameters_are_referenced(t: Template) -> list[str]:
    """Parameters-Must-Be-Referenced, Parameters-Property-Must-Exist."""
    text = expressions(own(t))
    return [name for name in t["parameters"] if f"parameters('{name}')" not in text]


def variables_are_referenced(t: Template) -> list[str]:
    """Variables-Must-Be-Referenced."""
    text = expressions(own(t))
    return [name for name in t.get("variables", {}) if f"variables('{name}')" not in text]


def names_are_no_expressions(t: Template) -> list[str]:
    """Expressions-May-Not-Be-Used-As-Parameter-Or-Variable-Names, Dynamic-Variable-References-Should-Not-Use-Concat."""
    declared = [*t["parameters"], *t.get("variables", {})]
    return [one for one in declared if one.startswith("[")] + re.findall(
        r"variables\(\s*concat\(.*", expressions(own(t))
    )


def parameter_bounds_are_numbers(t: Template) -> list[str]:
    """Min-And-Max-Value-Are-Numbers."""
    bounds = [(name, one.get(key)) for name, one in t["parameters"].items() for key in ("minValue", "maxValue")]
    return [name for name, bound in bounds if bound is not None and type(bound) is not int]


def secure_parameters_have_no_default(t: Template) -> list[str]:
    """Secure-String-Parameters-Cannot-Have-Default: but for an empty one, or a new guid."""
    secure = [(n, one) for n, one in t["parameters"].items() if one["type"].lower().startswith("secure")]
    return [name for name, one in secure if one.get("defaultValue", "") not in ("", {})]


def what_looks_like_a_password_is_secure(t: Template) -> list[str]:
    """Password-params-must-be-secure."""
    secret = re.compile("password|secret|accountkey", re.IGNORECASE)
    fine = re.compile("permission|version|url|uri|name", re.IGNORECASE)
    return [
        name
        for name, one in t["parameters"].items()
        if secret.search(name) and not fine.search(name) and not one["type"].lower().startswith("secure")
    ]


def outputs_hold_no_secret(t: Template) -> list[str]:
    """Outputs-Must-Not-Contain-Secrets."""
    outputs = t.get("outputs", {})
    secure = [n for n, one in t["parameters"].items() if one["type"].lower().startswith("secure")]
    found = [name for name in outputs if "password" in name.lower()]
    for name, one in outputs.items():
        text = expressions(one)
        found += [name] * bool(re.search(r"\blist\w+\s*\(", text) or any(f"parameters('{s}')" in text for s in secure))
    return found


def nested_deployments_evaluate_their_own_expressions(t: Template) -> list[str]:
    """Secure-Params-In-Nested-Deployments: of inner scope, so that no secret is written down in the deployment."""
    return [
        one["name"]
        for one in resources(t)
        if one["type"] == "Microsoft.Resources/deployments"
        and one["properties"].get("expressionEvaluationOptions", {}).get("scope") != "inner"
    ]


def deployments_show_no_debug(t: Template) -> list[str]:
    """Deployment-Resources-Must-Not-Be-Debug."""
    return [one["name"] for one in resources(t) if "debugSetting" in one.get("properties", {})]


def location_is_a_parameter(t: Template) -> list[str]:
    """Location-Should-Not-Be-Hardcoded, Resources-Should-Have-Location."""
    given = t["parameters"].get("location", {"type": "string"})
    found = [] if given["type"] == "string" else ["the type of the parameter"]
    default = given.get("defaultValue", "global")
    found += [] if default in ("global", "[resourceGroup().location]", "[deployment().location]") else [default]
    used = [str(one.get("location", "global")) for one in resources(t)]
    found += [one for one in used if one != "global" and not one.startswith("[")]
    rest = {key: value for key, value in own(t).items() if key != "parameters"}
    return found + re.findall(r"(?:resourceGroup|deployment)\(\)\.location", expressions(rest))


def ids_are_made_by_functions(t: Template) -> list[str]:
    """IDs-Should-Be-Derived-From-ResourceIDs."""
    allowed = re.compile(rf"\s*\[\s*({'|'.join(ALLOWED_IDS)})\s*\(")
    found = []
    for path, value in walk(own(t)["resources"]):
        inside = {"tags", "metadata", "parameters", "outputs", "connectorUiConfig"} & set(path)
        if not path or not path[-1].lower().endswith("id") or path[-1].lower() in NO_RESOURCE_IDS or inside:
            continue
        if isinstance(value, str) and not allowed.match(value):
            found.append(f"{'.'.join(path)}: {value[:80]}")
    return found


def resource_ids_state_nothing_that_is_implied(t: Template) -> list[str]:
    """ResourceIds-should-not-contain."""
    functions = r"(?:resourceId|tenantResourceId|extensionResourceId|subscriptionResourceId|reference|list\w+)"
    return re.findall(rf"{functions}\(\s*(?:resourceGroup|subscription|concat)\(.*", expressions(own(t)))


def dependencies_are_plain(t: Template) -> list[str]:
    """DependsOn-Best-Practices, DependsOn-Must-Not-Be-Conditional."""
    named = [name for one in resources(t) for name in one.get("dependsOn", [])]
    return [name for name in named if re.match(r"\[\s*(if|concat)\s*\(", name) and "copyIndex" not in name]


def hosts_are_not_written_down(t: Template) -> list[str]:
    """DeploymentTemplate-Must-Not-Contain-Hardcoded-Uri."""
    text = json.dumps(own(t))
    return re.findall(rf"(?<!https://schema\.)(?:{'|'.join(map(re.escape, HOSTS))})", text)


def addresses_are_made_by_uri(t: Template) -> list[str]:
    """URIs-Should-Be-Properly-Constructed."""
    return [
        ".".join(path)
        for path, value in walk(own(t))
        if path and re.search("ur[il]$", path[-1], re.IGNORECASE) and isinstance(value, str)
        if re.match(r"\s*\[(?!\[)", value) and re.search(r"\b(format|concat)\s*\(", value) and "uri(" not in value
    ]


def nothing_is_empty(t: Template) -> list[str]:
    """Template-Should-Not-Contain-Blanks: an empty value is not the same as none."""
    return [
        ".".join(path)
        for path, value in walk(own(t))
        if value in ("", [], {}) or value is None
        if path and path[-1] not in MAY_BE_EMPTY and not path[-1].startswith("[") and path[-1] != "template"
        if "serializedData" not in path
    ]


def api_versions_are_dates_and_recent(t: Template) -> list[str]:
    """apiVersions-Should-Be-Recent, providers_apiVersions-Is-Not-Permitted."""
    found = re.findall(r"providers\(.*", expressions(own(t)))
    for one in resources(t):
        kind, version = one["type"], one["apiVersion"]
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", version) or (
            NEWEST.get(kind) != version
            and ("preview" in version or (CHECKED - date.fromisoformat(version)).days > RECENT_DAYS)
        ):
            found.append(f"{kind}: {version}")
    return found


def references_name_recent_versions(t: Template) -> list[str]:
    """apiVersions-Should-Be-Recent-In-Reference-Functions, Reference-Function-Must-Not-Use-Preview-ApiVersion."""
    given = re.findall(r"reference\((?:[^()]|\([^()]*\))*?'(\d{4}-\d\d-\d\d[\w-]*)'", expressions(own(t)))
    newest = set(NEWEST.values())
    return [v for v in given if "preview" in v
            or (v not in newest and (CHECKED - date.fromisoformat(v)).days > RECENT_DAYS)]  # fmt: skip


def parameters_have_the_type_of_the_nested_one(t: Template) -> list[str]:
    """Parameter-Types-Should-Be-Consistent."""
    found = []
    for one in resources(t):
        if one["type"] == "Microsoft.Resources/deployments":
            inner = one["properties"]["template"]["parameters"]
            for name, given in one["properties"].get("parameters", {}).items():
                passed = re.fullmatch(r"\[parameters\('(\w+)'\)\]", str(given.get("value")))
                if passed and t["parameters"][passed[1]]["type"].lower() != inner[name]["type"].lower():
                    found.append(name)
    return found


CHECKS: tuple[Callable[[Template], list[str]], ...] = (
    schema_is_correct, parameters_are_referenced, variables_are_referenced, names_are_no_expressions,
    parameter_bounds_are_numbers, secure_parameters_have_no_default, what_looks_like_a_password_is_secure,
    outputs_hold_no_secret, nested_deployments_evaluate_their_own_expressions, deployments_show_no_debug,
    location_is_a_parameter, ids_are_made_by_functions, resource_ids_state_nothing_that_is_implied,
    dependencies_are_plain, hosts_are_not_written_down, addresses_are_made_by_uri, nothing_is_empty,
    api_versions_are_dates_and_recent, references_name_recent_versions, parameters_have_the_type_of_the_nested_one,
)  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["azuredeploy", "sentinel content", "container app"])
def test_a_template_passes(name: str, check: Callable[[Template], list[str]]) -> None:
    assert [fault for one in nested(templates()[name]) for fault in check(one)] == []


WRONG: dict[Callable[[Template], list[str]], Mapping[str, Any]] = {
    schema_is_correct: {"$schema": "https://schema.management.azure.com/schemas/2015-01-01/x.json#"},
    parameters_are_referenced: {"parameters": {"idle": {"type": "string"}}},
    variables_are_referenced: {"variables": {"idle": 1}},
    names_are_no_expressions: {"variables": {"[a]": "[variables('[a]')]"}},
    parameter_bounds_are_numbers: {"parameters": {"n": {"type": "int", "minValue": "1"}}},
    secure_parameters_have_no_default: {"parameters": {"s": {"type": "secureString", "defaultValue": "hunter2"}}},
    what_looks_like_a_password_is_secure: {"parameters": {"clientSecret": {"type": "string"}}},
    outputs_hold_no_secret: {"outputs": {"key": {"type": "string", "value": "[listKeys('a', 'b').keys[0]]"}}},
    nested_deployments_evaluate_their_own_expressions: {
        "resources": [{"type": "Microsoft.Resources/deployments", "name": "n", "properties": {}}]
    },
    deployments_show_no_debug: {"resources": [{"name": "n", "properties": {"debugSetting": {"detailLevel": "a"}}}]},
    location_is_a_parameter: {"resources": [{"location": "westeurope"}]},
    ids_are_made_by_functions: {"resources": [{"properties": {"workspaceId": "[concat('/subscriptions/', 'a')]"}}]},
    resource_ids_state_nothing_that_is_implied: {"outputs": {"a": "[resourceId(subscription().id, 'b')]"}},
    dependencies_are_plain: {"resources": [{"dependsOn": ["[concat('a', 'b')]"]}]},
    hosts_are_not_written_down: {"outputs": {"a": "https://management.azure.com/x"}},
    addresses_are_made_by_uri: {"outputs": {"theUri": "[concat('https://', 'a')]"}},
    nothing_is_empty: {"resources": [{"tags": {}}]},
    api_versions_are_dates_and_recent: {"resources": [{"type": "Microsoft.Web/sites", "apiVersion": "2022-03-01"}]},
    references_name_recent_versions: {"outputs": {"a": "[reference(variables('b'), '2021-01-01-preview').c]"}},
    parameters_have_the_type_of_the_nested_one: {
        "parameters": {"a": {"type": "string"}},
        "resources": [
            {
                "type": "Microsoft.Resources/deployments",
                "properties": {
                    "template": {"parameters": {"b": {"type": "int"}}},
                    "parameters": {"b": {"value": "[parameters('a')]"}},
                },
            }
        ],
    },
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_check_finds_what_it_looks_for(check: Callable[[Template], list[str]]) -> None:
    assert check({"parameters": {}, "resources": [], **WRONG[check]}) != []
