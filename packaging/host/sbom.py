"""Writes a CycloneDX 1.6 bill of materials beside each artefact: what it contains, by name, version and licence.

Runs in an environment of its own (requirements-sbom.lock), reads the tree that build.py left, and validates what it
wrote against the published schema. Same tree and artefact, same bytes.

    python packaging/host/sbom.py TREE ARTEFACT…
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAME = "secure-score-connector"


def main() -> int:
    tree, *artefacts = (Path(word) for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        found = json.loads(materials(tree, Path(name) / "bom.json"))
    for artefact in artefacts:
        text = json.dumps(of_artefact(found, artefact, version(tree)), indent=2, sort_keys=True) + "\n"
        validate(text)
        path = artefact.with_name(f"{artefact.name}.cdx.json")
        path.write_text(text)
        print(path)
    return 0


def materials(tree: Path, into: Path) -> str:
    """What is installed in the tree's environment. Its interpreter only lists paths, so a link suffices to run it."""
    python = tree / "opt" / NAME / "bin" / "python3"
    words = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    subprocess.run([*words, "--output-reproducible", "--sv", "1.6", "-o", str(into), str(python)], check=True)
    return into.read_text()


def version(tree: Path) -> str:
    """The project's own version, which pyproject.toml leaves to the build."""
    (folder,) = tree.glob(f"opt/{NAME}/lib/*/site-packages/{NAME.replace('-', '_')}-*.dist-info")
    return folder.name.removesuffix(".dist-info").rpartition("-")[2]


def of_artefact(found: dict[str, Any], artefact: Path, number: str) -> dict[str, Any]:
    """The bill of one file: the main component is that file, with its SHA-256."""
    digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
    top = found["metadata"]["component"] | {
        "version": number,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "properties": [{"name": f"{NAME}:artefact", "value": artefact.name}],
    }
    return found | {"metadata": found["metadata"] | {"component": top}}


def validate(text: str) -> None:
    """Ends the build when the schema refuses the text."""
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - in the environment of the SBOM tools only
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"the bill of materials is not valid CycloneDX 1.6: {fault}")


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
