"""Builds tests/artefacts/kubernetes_shapes.json: the closed JSON Schemas of the kinds that packaging/container uses.

The source are the schemas of the Kubernetes API (Apache-2.0) as the package kubernetes-validate carries them; texts are
left out. Run by hand where it is installed, when kubernetes.yaml uses a further kind or a newer release is meant:

    pip install kubernetes-validate==1.37.0
    python packaging/tools/build_kubernetes_shapes.py 1.37.0
"""

import json
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[2] / "tests" / "artefacts" / "kubernetes_shapes.json"
KINDS = {
    "ServiceAccount": "serviceaccount-v1",
    "ConfigMap": "configmap-v1",
    "Service": "service-v1",
    "StatefulSet": "statefulset-apps-v1",
    "NetworkPolicy": "networkpolicy-networking-v1",
}
BESIDE = "/api/_definitions.json"


def main() -> None:
    (release,) = sys.argv[1:]
    found = find_spec("kubernetes_validate")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "kubernetes-json-schema" / f"v{release}-local-strict"
    known = json.loads((folder / "_definitions.json").read_text())["$defs"]
    shapes = {kind: plain(json.loads((folder / f"{name}.json").read_text())) for kind, name in KINDS.items()}
    definitions: dict[str, Any] = {}
    wanted = names(shapes)
    while wanted := wanted - definitions.keys():
        definitions |= {name: plain(known[name]) for name in wanted}
        wanted = names(definitions)
    about = {"from": f"kubernetes-validate {version('kubernetes-validate')}, Kubernetes {release}"}
    OUT.write_text(json.dumps({**about, "kinds": shapes, "$defs": definitions}, sort_keys=True) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


def plain(schema: Any) -> Any:
    """A schema without its texts, which refers to the definitions of its own document."""
    if isinstance(schema, list):
        return [plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema.replace(BESIDE, "") if isinstance(schema, str) else schema
    kept = {key: each for key, each in schema.items() if key != "$schema" and not key.startswith("x-kubernetes")}
    if isinstance(kept.get("description"), str):  # a property may have that name, too
        del kept["description"]
    return {key: plain(each) for key, each in kept.items()}


def names(schema: Any) -> set[str]:
    """The definitions that a schema refers to."""
    if isinstance(schema, dict):
        refers = schema.get("$ref")
        here = {refers.rpartition("/")[2]} if isinstance(refers, str) else set()
        return here.union(*map(names, schema.values()))
    return set().union(*map(names, schema)) if isinstance(schema, list) else set()


if __name__ == "__main__":
    main()
