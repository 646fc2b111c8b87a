"""Writes a CycloneDX 1.6 bill of materials beside each artefact: what it contains, by name, version and licence.

Runs in an environment of its own (requirements-sbom.lock) and validates what it wrote against the published schema.
Same artefact, same bytes.

    python packaging/tools/sbom.py ARTEFACT…               a zip or a tar.gz, which is unpacked and looked at
    python packaging/tools/sbom.py --tree TREE ARTEFACT…   host packages: the tree they were made of (packaging/host)
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAME = "secure-score-connector"
OWN = f"{NAME.replace('-', '_')}-*.dist-info"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write a bill of materials beside each artefact.")
    parser.add_argument("--tree", type=Path, help="what the artefacts install, where they are no plain archives")
    parser.add_argument("artefacts", nargs="+", type=Path)
    args = parser.parse_args()
    for artefact in args.artefacts:
        with tempfile.TemporaryDirectory() as name:
            site = site_of(args.tree or unpacked(artefact, Path(name) / "unpacked"))
            bill = of_artefact(materials(site, Path(name)), artefact, version(site))
        text = json.dumps(bill, indent=2, sort_keys=True) + "\n"
        validate(text)
        path = artefact.with_name(f"{artefact.name}.cdx.json")
        path.write_text(text)
        print(path)
    return 0


def unpacked(artefact: Path, into: Path) -> Path:
    if zipfile.is_zipfile(artefact):
        with zipfile.ZipFile(artefact) as archive:
            archive.extractall(into)
    else:
        with tarfile.open(artefact) as archive:
            archive.extractall(into, filter="data")
    return into


def site_of(tree: Path) -> Path:
    """The folder that the packages lie in: the one that holds our own."""
    found = {path.parent for path in tree.rglob(OWN)}
    if len(found) != 1:
        raise SystemExit(f"{tree} holds {len(found)} folders with {NAME}, not one")
    return found.pop()


def materials(site: Path, work: Path) -> dict[str, Any]:
    """What lies in a folder of packages. The tool asks an interpreter where it looks; ours looks nowhere else."""
    home, into = work / "environment", work / "bill.json"
    packages = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.parent.mkdir(parents=True)
    packages.symlink_to(site.absolute())
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    (home / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    words = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    words += ["--output-reproducible", "--sv", "1.6", "-o", str(into), str(home / "bin" / "python3")]
    subprocess.run(words, check=True)
    found: dict[str, Any] = json.loads(into.read_text())
    return found


def version(site: Path) -> str:
    """The project's own version, which pyproject.toml leaves to the build."""
    (folder,) = site.glob(OWN)
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
