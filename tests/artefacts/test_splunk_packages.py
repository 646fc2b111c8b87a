"""What is in the Splunk packages: the same bytes from the same input, pure Python, exactly the locked versions."""

import hashlib
import json
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.artefacts import splunk_packages
from tests.artefacts.splunk_packages import ADDON, KNOWLEDGE, ROOT, SPLUNK, Packages, tool

PIN = re.compile(r"(?m)^([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$")


def pins() -> dict[str, tuple[str, str]]:
    return {
        name: (number, digest) for name, number, digest in PIN.findall((SPLUNK / "requirements-lib.lock").read_text())
    }


def test_the_same_input_gives_the_same_bytes(splunk: Packages, tmp_path: Path) -> None:
    pages = (SPLUNK / "globalConfig.json").read_bytes()
    splunk_packages.build(tmp_path, "addon", "knowledge")
    again = splunk_packages.found(tmp_path)
    for one, other in ((splunk.addon, again.addon), (splunk.knowledge, again.knowledge)):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), one.name
    assert (SPLUNK / "globalConfig.json").read_bytes() == pages, "ucc-gen wrote into the checkout"


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


def test_what_lib_holds_finds_there_what_it_needs_or_says_why_not(splunk: Packages) -> None:
    found = list(distributions(path=[str(splunk.addon_tree / "lib")]))
    have = {canonicalize_name(each.name): each.version for each in found}
    inside = {"python_version": "3.13", "python_full_version": "3.13.0", "extra": ""}
    unmet = set()
    for each in found:
        for needed in map(Requirement, each.requires or ()):
            if needed.marker is not None and not needed.marker.evaluate(inside):
                continue
            version = have.get(canonicalize_name(needed.name))
            if version is None or version not in needed.specifier:
                unmet.add(f"{each.name} wants {needed.name}{needed.specifier if version else ''}")
    listed = runpy.run_path(str(SPLUNK / "build.py"))["UNMET"]
    assert unmet == set(listed)
    assert all(listed.values())


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
        "graphsecurity.json",
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


def test_no_older_splunk_is_promised_anything(splunk: Packages) -> None:
    """Splunkbase refuses ranges of versions in a manifest: the entry and the pages say it themselves."""
    assert json.loads((splunk.addon_tree / "app.manifest").read_text())["platformRequirements"] is None


def test_the_add_on_can_do_without_pages(splunk: Packages, tmp_path: Path) -> None:
    tree = tmp_path / ADDON
    shutil.copytree(splunk.addon_tree, tree)
    runpy.run_path(str(SPLUNK / "build.py"))["without_pages"](tree)
    assert [path.parent.name for path in tree.rglob("*.html")] == ["alerts"], "the form of the alert action is no page"
    navigation = (tree / "default/data/ui/nav/default.xml").read_text()
    views = {path.stem for path in (tree / "default/data/ui/views").iterdir()}
    assert {"inputs", "configuration"} <= {
        path.stem for path in (splunk.addon_tree / "default/data/ui/views").iterdir()
    }
    assert set(re.findall(r'view name="(\w+)"', navigation)) - views == {"search", "alerts"}, "those are Splunk's own"
    links = ET.fromstring((tree / "default/data/ui/views/securescore_start.xml").read_text()).iter("a")
    assert {link.get("href") for link in links} <= views | {"alerts"}
    assert (tree / "README/inputs.conf.spec").exists(), "conf files are what is left"


def test_every_option_of_an_input_has_a_type_and_a_default(splunk: Packages) -> None:
    text = (splunk.addon_tree / "README/inputs.conf.spec").read_text()
    page = json.loads((SPLUNK / "globalConfig.json").read_text())
    for entity in page["pages"]["inputs"]["services"][0]["entity"]:
        if (name := entity["field"]) != "name":
            assert re.search(rf"(?m)^{name} = <\w+>\n(?:\* .+\n)*\* Default: .+$", text), name


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
        assert one.replace(ADDON, "@").endswith(other.replace(KNOWLEDGE, "@")), name  # behind the input's own stanzas
    assert read(splunk.addon_tree, "lookups") == read(splunk.knowledge_tree, "lookups")


def test_appinspect_passes_both(splunk: Packages) -> None:
    """Every tag: no error, failure or failure to come; warnings only of the listed kinds."""
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


# ----------------------------------------------------------------------------------------------------- the start page


@pytest.mark.parametrize("name", [ADDON, KNOWLEDGE])
def test_the_start_page_asks_only_what_there_is(splunk: Packages, name: str) -> None:
    tree = splunk.addon_tree if name == ADDON else splunk.knowledge_tree
    text = (tree / "default/data/ui/views/securescore_start.xml").read_text()
    page = ET.fromstring(text)
    assert "@APP@" not in text
    assert "<!--" not in text
    queries = ["".join(each.itertext()) for each in page.iter("query")]
    macros = re.findall(r"(?m)^\[(\w+)", (tree / "default/macros.conf").read_text())
    assert {each for query in queries for each in re.findall(r"`(\w+)`", query)} <= set(macros)
    lookups = re.findall(r"(?m)^\[(\w+)", (tree / "default/transforms.conf").read_text())
    assert {each for query in queries for each in re.findall(r"lookup (\w+)", query)} <= set(lookups)
    views = {path.stem for path in (tree / "default/data/ui/views").iterdir()} | {"alerts"}
    assert {link.get("href") for link in page.iter("a")} <= views, "alerts is Splunk's own"
    asked = set(re.findall(r"rest (\S+)", " ".join(queries)))
    assert all(f"/{name}/" in each for each in asked)
    assert any("/data/inputs/" in each for each in asked) == (name == ADDON), "only the input has inputs"
    assert 'view name="securescore_start"' in (tree / "default/data/ui/nav/default.xml").read_text()


@pytest.mark.parametrize("name", [ADDON, KNOWLEDGE])
def test_each_step_of_the_start_page_has_a_state_and_what_to_do(splunk: Packages, name: str) -> None:
    """As the search builds them, "step#state#words"; the states are those that the page colours."""
    tree = splunk.addon_tree if name == ADDON else splunk.knowledge_tree
    page = ET.fromstring((tree / "default/data/ui/views/securescore_start.xml").read_text())
    query = "".join(next(page.iter("query")).itertext())
    first = ["Account", "Input"] if name == ADDON else ["Service"]
    assert re.findall(r'"([A-Z]\w+)#', query) == [*first, "Events", "Searches", "Alerts"]
    states = set(re.findall(r'"([a-z ]+)#', query))
    palette = json.loads(re.sub(r":(#\w+)", r':"\1"', "".join(next(page.iter("colorPalette")).itertext())))
    assert states <= set(palette)
