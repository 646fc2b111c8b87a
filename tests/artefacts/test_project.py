"""The project's own files agree with each other: locks, changelog, Makefile, imports, words."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import LONG
from tests.needs import program

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME, DEV, BUILD = "requirements.lock", "requirements-dev.lock", "requirements-build.lock"


def pins(lock: str) -> dict[str, list[Version]]:
    """Each pinned project and its versions (more than one where markers part them)."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def direct(*groups: list[str]) -> list[Requirement]:
    return [Requirement(line) for group in groups for line in group]


# ------------------------------------------------------------------------------------------------------------ locks


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (RUNTIME, direct(PYPROJECT["project"]["dependencies"])),
        (DEV, direct(PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"].values())),
        (BUILD, direct(PYPROJECT["build-system"]["requires"])),
    ],
)
def test_every_direct_dependency_is_locked_within_its_bounds(lock: str, wanted: list[Requirement]) -> None:
    locked = pins(lock)
    assert wanted
    missing = [str(one) for one in wanted if canonicalize_name(one.name) not in locked]
    outside = [
        str(one) for one in wanted for v in locked.get(canonicalize_name(one.name), []) if v not in one.specifier
    ]
    assert (missing, outside) == ([], []), f"{lock} is older than pyproject.toml: run make lock"


@pytest.mark.parametrize("lock", [RUNTIME, BUILD])
def test_all_locks_name_the_same_versions(lock: str) -> None:
    """Otherwise `make demo` and `make test` would reinstall each other's packages."""
    dev = pins(DEV)
    assert {name: versions for name, versions in pins(lock).items() if dev.get(name, versions) != versions} == {}
    assert lock == BUILD or set(pins(lock)) <= set(dev)


@pytest.mark.parametrize("lock", [RUNTIME, DEV, BUILD])
def test_every_pin_carries_hashes_and_no_address(lock: str) -> None:
    entries = (ROOT / lock).read_text().replace("\\\n", " ").splitlines()
    entries = [entry for entry in entries if entry.strip() and not entry.lstrip().startswith("#")]
    assert entries
    assert [entry for entry in entries if not re.search(r"^[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}\b", entry)] == []
    assert [entry for entry in entries if "://" in entry or " @ " in entry] == []


# ------------------------------------------------------------------------------------------------- words and texts


# Written so that no pattern finds itself.
FORBIDDEN = {
    "a folder of one machine": r"(?<![\w.}/~])/(?:wor[k]|far[m]|roo[t]|hom[e]/\w+|User[s]/\w+)/",
    "a package registry's host": r"pyp[i]\.org|pythonhoste[d]|registry\.npmj[s]|deb\.debia[n]\.org",
    "postponed work": r"\b(?:TOD[O]|FIXM[E]|XX[X])\b",
    "a private key": r"-----BEGI[N] (?:\w+ )?PRIVATE KEY-----",
}


def project_files() -> list[Path]:
    """What is or would be committed; the locks are checked above."""
    git = program("git", hint="apt-get install git")
    command = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout")
    names = (name for name in done.stdout.split("\0") if name and not name.endswith(".lock"))
    return [path for path in (ROOT / name for name in names) if path.is_file()]


def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    files = project_files()
    assert ROOT / "README.md" in files
    found = []
    for path in files:
        if path.suffix == ".png":  # pixels, in which any word may turn up
            continue
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), start=1):
            for what, pattern in FORBIDDEN.items():
                if re.search(pattern, line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()[:80]}")
    assert found == []


def test_the_top_level_is_the_designed_one() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in project_files() if len(path.relative_to(ROOT).parts) > 1}
    assert folders <= {".ci", "connector", "sinks", "mappings", "tests", "packaging", "docs"}


def test_the_licence_is_apache_2_word_for_word() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n                           Version 2.0, January 2004")
    assert text.count("\n") == 202
    assert PYPROJECT["project"]["license"] == "Apache-2.0"


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    sections = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"


# ------------------------------------------------------------------------------------------- Makefile


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "120"}
    env.pop("MAKEFLAGS", None)  # the suite itself runs under make
    env.pop("MFLAGS", None)
    env.pop("MAKELEVEL", None)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_make_help_names_every_target() -> None:
    make = program("make", hint="apt-get install make")
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(re.findall(r"^  make (\w+)", run(make, "help").stdout, re.MULTILINE)) == set(phony[1].split())


def test_the_tests_that_make_test_leaves_out_are_there_and_make_check_runs_them() -> None:
    for name in LONG:
        file, _, function = name.partition("::")
        assert (ROOT / "tests" / file).is_file(), name
        suites = (ROOT / "tests" / file, *(ROOT / "tests" / "contract").glob("*_contract.py"))  # inherited, too
        assert not function or any(f"def {function}(" in each.read_text("utf-8") for each in suites), name
    targets = (ROOT / "Makefile").read_text()
    assert targets.count('-m "not long"') == 1
    assert targets.count("-m long") == 1
    assert "SECURESCORE_FUZZ=$${SECURESCORE_FUZZ:-1} $(MAKE) --no-print-directory test" in targets, "all examples"


def test_make_says_what_to_do_without_a_suitable_python(tmp_path: Path) -> None:
    make = program("make", hint="apt-get install make")
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # answers "no" to every question, as 3.10 does to ours
    old.chmod(0o755)
    done = run(make, f"VENV={tmp_path / 'venv'}", f"PYTHON={old} no-such-python", "demo")
    assert done.returncode != 0
    assert "no Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


# ---------------------------------------------------------------------------------------------------------- imports


EDGE = (
    "connector.cli",
    "connector.config.yaml_file",
    "connector.mapping.compile",
    "connector.stores.sqlite",
    "connector.stores.trial",
    "connector.stores.blob",
)
LATE = ("yaml", "rich", "typer", "prometheus_client", "azure", "splunklib", "sqlite3", "_sqlite3")
IMPORT_ENGINE = f"""
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LATE!r}:
            raise ImportError("not at import time: " + name)

sys.meta_path.insert(0, Refuse())
import connector, sinks
for package in (connector, sinks):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith({EDGE!r}):
            importlib.import_module(module.name)
            print(module.name)
"""


def test_help_loads_no_library() -> None:
    found = "import sys, connector.cli.main; print({'attr', 'attrs', 'yaml', 'rich', 'asyncio'} & sys.modules.keys())"
    assert run(sys.executable, "-c", found).stdout == "set()\n"


def test_a_command_that_connects_to_nothing_loads_no_http_client() -> None:
    found = "import sys, connector.cli.status; print({'aiohttp', 'yarl', 'msal', 'rich'} & sys.modules.keys())"
    assert run(sys.executable, "-c", found).stdout == "set()\n"


def test_the_engine_is_importable_without_the_libraries_of_its_edges() -> None:
    """The Splunk add-on has neither sqlite3 nor YAML; a daemon without the extras has no vendor library."""
    done = run(sys.executable, "-c", IMPORT_ENGINE)
    assert done.returncode == 0, done.stderr
    assert {"connector.model", "connector.observe.diff"} <= set(done.stdout.split())
