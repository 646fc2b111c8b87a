"""What is in the Splunk packages: the same bytes from the same input, pure Python, exactly the locked versions."""

import hashlib
import json
import re
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.artefacts import splunk_packages
from tests.artefacts.splunk_packages import ADDON, KNOWLEDGE, ROOT, SPLUNK, Packages, tool

PIN = re.compile(r"(?m)^([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$")


def pins() -> dict[str, tuple[str, str]]:
    return {
        name: (number, digest) for name, number, digest in PIN.findall((SPLUNK / "requirements-lib.lock").read_text())
    }


def test_the_same_input_gives_the_same_bytes(splunk: Packages, tmp_path: Path) -> None:
    splunk_packages.build(tmp_path, "addon", "knowledge")
    again = splunk_packages.found(tmp_path)
    for one, other in ((splunk.addon, again.addon), (splunk.knowledge, again.knowledge)):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), one.name
    status = subprocess.run(
        ["git", "status", "--porcelain", "packaging"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "globalConfig" not in status.stdout, "ucc-gen wrote into the checkout"


def test_everything_in_lib_is_pure_python(splunk: Packages) -> None:
    kinds = {path.suffix for path in (splunk.addon_tree / "lib").rglob("*") if path.is_file()}
    assert not kinds & {".so", ".pyd", ".dylib", ".dll", ".pyc"}
    assert not list(splunk.addon_tree.rglob("__pycache__"))


def test_lib_holds_exactly_what_is_pinned(splunk: Packages) -> None:
    lib = splunk.addon_tree / "lib"
    named = {}
    for path in lib.glob("*.dist-info"):
        name, _, number = path.stem.rpartition("-")
        named[name.lower().replace("_", "-")] = number
    own = named.pop("secure-score-connector")
    assert named == {name: number for name, (number, _) in pins().items()}
    bill = json.loads((lib / "bom.json").read_text())
    assert {part["name"]: part["version"] for part in bill["components"]} == named
    assert bill["metadata"]["component"]["version"] == own


def test_pins_are_those_of_the_lock_where_it_has_them() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for name, (number, digest) in pins().items():
        if found := re.search(rf"(?m)^{name}==(\S+)(.*(?:\n    --hash.*)+)", lock):
            assert number == found[1], name
            assert digest in found[2], f"{name}: the lock knows this wheel"
        else:
            assert name in {"splunk-sdk", "splunktaucclib", "solnlib", "defusedxml", "sortedcontainers", "pysocks"}


def test_mappings_come_compiled(splunk: Packages) -> None:
    mappings = splunk.addon_tree / "lib/mappings"
    assert {path.name for path in mappings.iterdir()} == {
        "__init__.py",
        "splunk.json",
        "severity.json",
        "frameworks.json",
        "attack.json",
    }


def test_only_splunk_s_newer_python_is_asked_for(splunk: Packages) -> None:
    for conf in ("inputs.conf", "restmap.conf"):
        stanzas = (splunk.addon_tree / "default" / conf).read_text().split("[")[1:]
        running = [stanza for stanza in stanzas if "python.version" in stanza]
        assert running
        assert all("\npython.required = 3.13\n" in stanza for stanza in running), conf
    assert not list(splunk.knowledge_tree.rglob("*.py")), "nothing runs in the knowledge package"
    assert not (splunk.knowledge_tree / "bin").exists()
    assert "python" not in (splunk.knowledge_tree / "app.manifest").read_text()
    assert json.loads((splunk.knowledge_tree / "app.manifest").read_text())["platformRequirements"] is None


@pytest.mark.parametrize("name", [ADDON, KNOWLEDGE])
def test_archives_are_plain(splunk: Packages, name: str) -> None:
    with tarfile.open(splunk.addon if name == ADDON else splunk.knowledge) as packed:
        members = packed.getmembers()
    assert {member.name.split("/")[0] for member in members} == {name}
    assert all(member.isdir() or member.isfile() for member in members)
    assert {member.mode for member in members if member.isfile()} == {0o644}
    assert {(member.uid, member.uname, member.mtime) for member in members} == {(0, "root", int(splunk_packages.EPOCH))}


def test_both_carry_the_same_knowledge(splunk: Packages) -> None:
    def read(tree: Path, name: str) -> dict[str, str]:
        kept = [path for path in (tree / name).rglob("*") if path.is_file()]
        return {str(path.relative_to(tree)): path.read_text().replace(name, "") for path in kept}

    names = [path.name for path in (SPLUNK / "knowledge/default").glob("*.conf")]
    for name in names:
        one, other = ((tree / "default" / name).read_text() for tree in (splunk.addon_tree, splunk.knowledge_tree))
        assert one.replace(ADDON, "@") == other.replace(KNOWLEDGE, "@"), name
    assert read(splunk.addon_tree, "lookups") == read(splunk.knowledge_tree, "lookups")


def test_appinspect_passes_both(splunk: Packages) -> None:
    """For Splunk Cloud: no error, failure or failure to come; warnings only of the listed kinds."""
    judge: dict[str, Any] = runpy.run_path(str(SPLUNK / "inspect_packages.py"))
    command = [
        sys.executable,
        str(SPLUNK / "inspect_packages.py"),
        "--tool",
        tool("splunk-appinspect"),
    ]
    done = subprocess.run(
        [*command, str(splunk.addon), str(splunk.knowledge)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("secure_score") == 2
    report = {"summary": {"failure": 1}, "reports": []}
    assert judge["problems"](report) == ["the summary counts what no check names"]
