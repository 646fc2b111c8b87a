"""What runs the container elsewhere: Kubernetes' and Azure's schemas judge it, our configuration reads what it mounts.

The image itself is built and run in tests/real/test_container.py.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from connector.config.yaml_file import load
from connector.registry import sink_options
from tests.artefacts.arm import Deployment

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "container"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))
KUBERNETES: dict[str, Any] = json.loads((Path(__file__).parent / "kubernetes_shapes.json").read_text())
AZURE: dict[str, Any] = json.loads((Path(__file__).parent / "arm_shapes.json").read_text())
APP: dict[str, Any] = json.loads((FOLDER / "container-app.json").read_text())

IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
GIVEN = {
    "environmentResourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/managedEnvironments/soc",
    "image": "registry.example.com/secure-score-connector@sha256:0",
    "identityResourceId": IDENTITY,
    "configuration": "tenants: []",
}


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = (one for one in MANIFESTS if one["kind"] == kind)
    return found


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = of_kind("StatefulSet")["spec"]["template"]["spec"]
    return spec


def app(**more: Any) -> dict[str, Any]:
    (found,) = Deployment(APP, {**GIVEN, **more}, lambda _: None).resources()
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: str(one["kind"]))
def test_kubernetes_knows_every_property(manifest: dict[str, Any]) -> None:
    schema = {**KUBERNETES["kinds"][manifest["kind"]], "$defs": KUBERNETES["$defs"]}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(manifest)] == []


def test_a_property_that_kubernetes_does_not_know_is_found() -> None:
    schema = {**KUBERNETES["kinds"]["StatefulSet"], "$defs": KUBERNETES["$defs"]}
    wrong = json.loads(json.dumps(of_kind("StatefulSet")))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    assert not Draft202012Validator(schema).is_valid(wrong)


def test_the_configuration_it_mounts_is_one_of_ours(tmp_path: Path) -> None:
    """Secrets have the names that the first lines say, and are read from where they are mounted."""
    (tmp_path / "config.yaml").write_text(of_kind("ConfigMap")["data"]["config.yaml"])
    config = load(str(tmp_path / "config.yaml"), sink_options=sink_options, environ={"CREDENTIALS_DIRECTORY": "/x"})
    assert [tenant.name for tenant in config.tenants] == ["contoso"]
    (container,) = pod()["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["env"] == [{"name": "CREDENTIALS_DIRECTORY", "value": mounts["secrets"]}]
    assert config.state.path == f"{mounts['state']}/state.db"
    assert config.health.listen == f"0.0.0.0:{container['ports'][0]['containerPort']}"
    head = (FOLDER / "kubernetes.yaml").read_text().split("apiVersion")[0]
    asked = re.findall(r"\$\{credential:(\w+)\}", (tmp_path / "config.yaml").read_text())
    assert asked
    assert all(f"--from-file={name}" in head for name in asked)


def test_a_pod_has_no_right_that_it_does_not_need() -> None:
    """The restricted level of Kubernetes' Pod Security Standards, and one writer of one state."""
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user = pod()["securityContext"]
    assert (user["runAsNonRoot"], user["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in (FOLDER / "Containerfile").read_text()
    assert pod()["automountServiceAccountToken"] is False
    assert of_kind("StatefulSet")["spec"]["replicas"] == 1
    assert set(of_kind("NetworkPolicy")["spec"]["policyTypes"]) == {"Ingress", "Egress"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"registryServer": "mine.azurecr.io"},
        {"secretUrls": {"client-secret": "https://v.vault.azure.net/secrets/graph", "hook": "https://v/secrets/h"}},
    ],
)
def test_container_apps_know_every_property(more: dict[str, Any]) -> None:
    made = app(**more)
    shape = {key: value for key, value in AZURE["Microsoft.App/containerApps"].items() if key != "from"}
    body = {key: value for key, value in made.items() if key not in {"type", "apiVersion", "name", "id"}}
    assert [error.message for error in Draft202012Validator(shape).iter_errors(body)] == []


def test_secrets_come_from_the_vault_by_the_identity_and_one_replica_runs() -> None:
    made = app(secretUrls={"client-secret": "https://v.vault.azure.net/secrets/graph"})["properties"]
    assert made["configuration"]["secrets"] == [
        {"name": "config-yaml", "value": "tenants: []"},
        {
            "name": "client-secret",
            "keyVaultUrl": "https://v.vault.azure.net/secrets/graph",
            "identity": IDENTITY,
        },
    ]
    assert made["template"]["scale"] == {"minReplicas": 1, "maxReplicas": 1}
    assert "ingress" not in made["configuration"]
    volumes = {volume["name"]: volume["secrets"] for volume in made["template"]["volumes"]}
    assert volumes == {
        "config": [{"secretRef": "config-yaml", "path": "config.yaml"}],
        "secrets": [{"secretRef": "client-secret", "path": "client-secret"}],
    }
    assert APP["parameters"]["configuration"]["type"] == "secureString"


def test_the_guide_says_the_build_and_the_paths_as_they_are() -> None:
    guide = (FOLDER / "README.md").read_text()
    lines = (FOLDER / "Containerfile").read_text().splitlines()
    build = next(line.lstrip("# ") for line in lines if "build -f" in line)
    assert f"\n{build}\n" in guide
    for line in lines:
        if line.startswith(("VOLUME", "EXPOSE")):
            assert line.split()[1] in guide
