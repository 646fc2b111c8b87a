"""Builds tests/artefacts/arm_shapes.json: which properties the resources of our template have, as closed JSON Schemas.

The source are the models of Microsoft's management libraries (MIT), so that what Azure Resource Manager knows is
written down by Microsoft and not by us. Read-only properties are left out. Run by hand where they are installed, in an
environment of its own (`pip install --require-hashes -r packaging/tools/requirements-arm-shapes.lock`), when the
template grows:

    python packaging/tools/build_arm_shapes.py
"""

import importlib
import json
import re
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[2] / "tests" / "artefacts" / "arm_shapes.json"

# Resource type → the library, its models, and the model whose shape it is.
ROOTS = {
    "Microsoft.App/containerApps": ("azure-mgmt-appcontainers", "appcontainers.models", "ContainerApp"),
    "Microsoft.Insights/dataCollectionRules": ("azure-mgmt-monitor", "monitor.models", "DataCollectionRuleResource"),
    "Microsoft.Insights/dataCollectionEndpoints": (
        "azure-mgmt-monitor", "monitor.models", "DataCollectionEndpointResource",
    ),
    "Microsoft.Insights/components": (
        "azure-mgmt-applicationinsights", "applicationinsights.v2020_02_02.models", "ApplicationInsightsComponent",
    ),
    "Microsoft.OperationalInsights/workspaces": ("azure-mgmt-loganalytics", "loganalytics.models", "Workspace"),
    "Microsoft.OperationalInsights/workspaces/tables": ("azure-mgmt-loganalytics", "loganalytics.models", "Table"),
    "Microsoft.SecurityInsights/dataConnectorDefinitions": (
        "azure-mgmt-securityinsight", "securityinsight.models", "CustomizableConnectorDefinition",
    ),
    "Microsoft.Storage/storageAccounts": ("azure-mgmt-storage", "storage.models", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("azure-mgmt-storage", "storage.models", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        "azure-mgmt-storage", "storage.models", "BlobContainer",
    ),
    "Microsoft.Storage/storageAccounts/queueServices/queues": ("azure-mgmt-storage", "storage.models", "StorageQueue"),
    "Microsoft.KeyVault/vaults": ("azure-mgmt-keyvault", "keyvault.models", "VaultCreateOrUpdateParameters"),
    "Microsoft.KeyVault/vaults/secrets": ("azure-mgmt-keyvault", "keyvault.models", "SecretCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("azure-mgmt-msi", "msi.v2024_11_30.models", "Identity"),
    "Microsoft.Authorization/roleAssignments": (
        "azure-mgmt-authorization", "authorization.v2022_04_01.models", "RoleAssignmentCreateParameters",
    ),
    "Microsoft.Web/serverfarms": ("azure-mgmt-web", "web.models", "AppServicePlan"),
    "Microsoft.Web/sites": ("azure-mgmt-web", "web.models", "Site"),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": (
        "azure-mgmt-web", "web.models", "CsmPublishingCredentialsPoliciesEntity",
    ),
    "Microsoft.Network/virtualNetworks": ("azure-mgmt-network", "network.models", "VirtualNetwork"),
    "Microsoft.Network/privateEndpoints": ("azure-mgmt-network", "network.models", "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (
        "azure-mgmt-network", "network.models", "PrivateDnsZoneGroup",
    ),
    "Microsoft.Network/privateDnsZones": ("azure-mgmt-privatedns", "privatedns.models", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (
        "azure-mgmt-privatedns", "privatedns.models", "VirtualNetworkLink",
    ),
}  # fmt: skip
PLAIN = {"str": "string", "int": "integer", "long": "integer", "float": "number", "bool": "boolean"}
DEEP = 6
"""Models further down than this are left open: the network's refer to each other without end."""


def main() -> None:
    shapes: dict[str, Any] = {}
    for kind, (library, models, root) in ROOTS.items():
        module = importlib.import_module(f"azure.mgmt.{models}")
        shapes[kind] = {"from": f"{library} {version(library)}", **shape(module, getattr(module, root), 0)}
    lines = ",\n".join(f" {json.dumps(kind)}: {json.dumps(shapes[kind], sort_keys=True)}" for kind in sorted(shapes))
    OUT.write_text(f"{{\n{lines}\n}}\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


def shape(module: Any, model: Any, depth: int) -> dict[str, Any]:
    """The closed schema of a model, its read-only properties left out."""
    if depth > DEEP:
        return {}
    found = closed()
    for path, kind in properties(model):
        inside = found
        for step in path[:-1]:
            inside = inside["properties"].setdefault(step, closed())
        inside["properties"][path[-1]] = of_type(module, kind, depth + len(path))
    return found


def closed() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


def properties(model: Any) -> list[tuple[list[str], str]]:
    """(path, type in words) of what may be written."""
    if hasattr(model, "_attribute_map"):
        readonly = {name for name, rule in getattr(model, "_validation", {}).items() if rule.get("readonly")}
        return [
            (
                [step.replace("\\", "") for step in re.split(r"(?<!\\)\.", entry["key"])],
                words(model, name) or entry["type"],
            )
            for name, entry in model._attribute_map.items()
            if name not in readonly
        ]
    found = []
    for base in reversed(model.__mro__):
        for name, value in vars(base).items():
            if type(value).__name__ == "_RestField" and (value._visibility or ["create"]) != ["read"]:
                found.append(([value._rest_name_input or name], annotation(base, name)))
    return found


def words(model: Any, name: str) -> str:
    """The words a property may have, as a|b, from its description: the older models say so nowhere else."""
    about = re.search(rf":ivar {name}: (.*?):vartype", model.__doc__ or "", re.DOTALL)
    known = re.search(r"Known values are:\s+([^.]*)\.", about[1]) if about else None
    return "|".join(re.findall(r'"([^"]+)"', known[1])) if known else ""


def annotation(model: Any, name: str) -> str:
    """A typing annotation in the words of the older models: [X], {X}, X."""
    text = str(model.__annotations__[name]).replace('"', "").replace("'", "").replace("_models.", "")
    text = re.sub(r"ForwardRef\(([\w.]+)(?:, [^)]*)?\)", r"\1", text).replace("typing.", "")
    return plain(text)


def plain(text: str) -> str:
    text = text.strip()
    for prefix in ("Optional[", "Union["):
        if text.startswith(prefix):
            parts = [part.strip() for part in split(text[len(prefix) : -1])]
            named = [part for part in parts if part not in ("str", "NoneType", "None")]
            return plain(named[0]) if named else "str"
    if re.match(r"(?i)list\[", text):
        return f"[{plain(text[5:-1])}]"
    if re.match(r"(?i)dict\[", text):
        return f"{{{plain(split(text[5:-1])[1])}}}"
    match = re.fullmatch(r"<class (.+)>", text)
    return (match[1] if match else text).rpartition(".")[2]


def split(text: str) -> list[str]:
    """At commas outside brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "[(") - (char in "])")
        if char == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def of_type(module: Any, kind: str, depth: int) -> dict[str, Any]:
    if kind.startswith("["):
        return {"type": "array", "items": of_type(module, kind[1:-1], depth)}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": of_type(module, kind[1:-1], depth)}
    if "|" in kind:
        return {"type": "string", "enum": kind.split("|")}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    model = getattr(module, kind, None)
    if model is None:
        return {}
    if isinstance(model, type) and issubclass(model, Enum):
        return {"type": "string", "enum": [str(each.value) for each in model]}
    return shape(module, model, depth)


if __name__ == "__main__":
    main()
