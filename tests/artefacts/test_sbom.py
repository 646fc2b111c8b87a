"""Each package has its bill of materials: exactly what its lock names, with licences, the same every time."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests import azure_zip
from tests.artefacts import host_packages, splunk_packages
from tests.artefacts.test_project import pins
from tests.needs import missing

ROOT = Path(__file__).parents[2]
SPLUNK_LOCK, AZURE_LOCK = "packaging/splunk/requirements-lib.lock", "packaging/azure/requirements.lock"


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    return azure_zip.shared(base if worker_id == "master" else base.parent)


def bill(artefact: Path, work: Path, *words: str) -> str:
    """The bill of a copy, so that artefacts other tests share stay alone."""
    python = ROOT / "build" / ".sbom" / "bin" / "python"
    if not python.exists():
        missing("the tools of the bill of materials are not installed: make build/.sbom")
    work.mkdir()
    copy = work / artefact.name
    copy.write_bytes(artefact.read_bytes())
    tool = str(ROOT / "packaging" / "tools" / "sbom.py")
    done = subprocess.run([str(python), tool, *words, str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()).read_text()


def components(text: str) -> dict[str, str]:
    return {canonicalize_name(one["name"]): one["version"] for one in json.loads(text)["components"]}


def of_lock(lock: str) -> dict[str, str]:
    return {name: str(version) for name, (version, *_) in pins(lock).items()}


def top(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)["metadata"]["component"]
    return found


def test_the_functions_app(azure: Path, tmp_path: Path) -> None:
    text = bill(azure, tmp_path / "one")
    assert components(text) == of_lock(AZURE_LOCK)
    assert top(text)["hashes"][0]["content"] == hashlib.sha256(azure.read_bytes()).hexdigest()
    assert bill(azure, tmp_path / "two") == text
    assert str(tmp_path) not in text


def test_the_splunk_add_on(splunk: splunk_packages.Packages, tmp_path: Path) -> None:
    text = bill(splunk.addon, tmp_path / "one")
    assert components(text) == of_lock(SPLUNK_LOCK)
    inside = json.loads((splunk.addon_tree / "lib" / "bom.json").read_text())
    assert {canonicalize_name(one["name"]): one["version"] for one in inside["components"]} == components(text)


def test_a_host_package(host: host_packages.Built, tmp_path: Path) -> None:
    text = bill(host.deb, tmp_path / "one", "--tree", str(host.tree))
    found, locked = components(text), of_lock("requirements.lock")
    assert set(found) <= set(locked)
    assert {name: locked[name] for name in found} == found
    assert {"aiohttp", "msal", "cryptography"} <= set(found)
    assert [one["name"] for one in json.loads(text)["components"] if not one.get("licenses")] == []
