"""What is installed is what was locked: every step of an installation names hashes; `make audit` reads the locks."""

import json
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.needs import program

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / "packaging" / "tools" / "audit.py"
TOOL: dict[str, Any] = runpy.run_path(str(AUDIT))

# ------------------------------------------------------------------------------------------------- steps that install

STEPS = [
    *(
        ROOT / name
        for name in (".ci/run", "Makefile", "packaging/container/Containerfile", "packaging/host/install.sh")
    ),
    *sorted((ROOT / "tests/real").glob("*.sh")),
    *sorted((ROOT / "packaging").rglob("build.py")),
]
HELD = (
    "--require-hashes",
    "--no-index",
    "--no-deps --no-build-isolation --editable .",
    "--no-deps --no-build-isolation .",
)
PIP = re.compile(r"\bpip\"?\b[^#\n]*?\b(?:install|download|wheel)\b|\bpip\(\s*\"(?:install|download|wheel)|\(PIP\) \w+")
FETCHES = re.compile(r"\b(?:curl|wget|npx|npm (?:i|install|exec))\b")


def statements(path: Path) -> list[str]:
    """Commands of a script, those that go over several lines put together, comments left out."""
    text = path.read_text()
    if path.suffix == ".py":
        return [re.sub(r"\s+", " ", found) for found in re.findall(r"(?ms)^ +pip\(.*?\n(?: +\))?", text)]
    lines = (line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#"))
    return [re.sub(r"\s+", " ", part) for line in lines for part in line.split("&&")]


def test_every_installation_by_pip_is_held_by_hashes_or_reaches_nothing() -> None:
    """`offline` is --no-index and --require-hashes; what writes a lock cannot be held by it."""
    found = [(path, each) for path in STEPS for each in statements(path) if PIP.search(each)]
    assert len(found) > 15
    loose = [f"{path.relative_to(ROOT)}: {each}" for path, each in found if not any(words in each for words in HELD)]
    known = ("*offline", "uv pip compile", "make lock needs uv", 'work / "lock"')
    assert [each for each in loose if not any(words in each for words in known)] == []


def test_nothing_else_is_fetched_by_name_alone() -> None:
    lines = [f"{path.name}: {each}" for path in STEPS for each in statements(path) if FETCHES.search(each)]
    assert [line for line in lines if "--package-lock-only" not in line] == []


def test_what_npm_installs_is_locked_by_hash_runs_no_script_and_names_no_host() -> None:
    scripts = [path for path in STEPS if "npm ci" in path.read_text()]
    assert {path.name for path in scripts} == {"get_azurite.sh", "get_kusto.sh"}
    assert all("npm ci --ignore-scripts " in path.read_text() for path in scripts)
    found = sorted((ROOT / "tests/real/npm").glob("*/package.json"))
    assert len(found) == 2
    for each in found:
        locked = json.loads(each.with_name("package-lock.json").read_text())["packages"]
        assert locked.pop("")["dependencies"] == json.loads(each.read_text())["dependencies"]
        assert locked
        assert [name for name, entry in locked.items() if not entry.get("integrity", "").startswith("sha512-")] == []
        assert [name for name, entry in locked.items() if "resolved" in entry] == []


def test_the_container_stands_on_a_base_named_by_digest() -> None:
    text = (ROOT / "packaging/container/Containerfile").read_text()
    assert re.findall(r"(?m)^FROM (\S+)", text) == ["${BASE}", "${BASE}"]
    assert re.search(r"(?m)^ARG BASE=\S+@sha256:[0-9a-f]{64}$", text)


def test_the_foreign_package_that_is_unpacked_is_known_by_its_hash(tmp_path: Path) -> None:
    """The script refuses a file that nobody looked at; apt is a fake that serves one."""
    program("sha256sum", hint="apt-get install coreutils")
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\necho another > syslog-ng-core_3.38.1-5+deb12u1_amd64.deb\n")
    apt.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "tests/real/get_syslog_ng.sh"), str(tmp_path / "syslog-ng")],
        env={"PATH": f"{apt.parent}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "not among the packages of" in done.stderr
    assert list((tmp_path / "syslog-ng").iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- make audit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with two locks: what the real ones look like, in small."""
    sums = "--hash=sha256:" + "a" * 64
    (tmp_path / "requirements.lock").write_text(
        f"# of a tool\nsome-lib==1.2.0 \\\n    {sums}\nother.lib==3.0rc1 ; python_version < '3.13' \\\n    {sums}\n"
    )
    folder = tmp_path / "tests" / "npm"
    folder.mkdir(parents=True)
    entry = {"version": "2.0.0-beta.2", "integrity": "sha512-x"}
    packages = {
        "": {},
        "node_modules/@scope/thing": entry,
        "node_modules/a/node_modules/b": {**entry, "version": "1.0.0"},
    }
    (folder / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))
    return tmp_path


def audit(root: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(AUDIT), "--root", str(root), *words], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def advisory(number: int, ecosystem: str, name: str, *events: dict[str, str], **fields: Any) -> dict[str, Any]:
    kind = "ECOSYSTEM" if ecosystem == "PyPI" else "SEMVER"
    ranges = [{"type": kind, "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **fields}
    return {
        "id": f"OSV-{number}",
        "modified": f"2026-11-{number:02}T00:00:00Z",
        "summary": "bad",
        "affected": [affected],
    }


FROM_THE_FIRST = {"introduced": "0"}


def test_an_audit_names_the_weak_pin_its_lock_and_the_advisory(checkout: Path) -> None:
    file = checkout / "advisories.json"
    weak = advisory(1, "PyPI", "Some_Lib", FROM_THE_FIRST, {"fixed": "1.2.1"}) | {"aliases": ["CVE-2026-1"]}
    mended = advisory(2, "npm", "@scope/thing", FROM_THE_FIRST, {"fixed": "2.0.0-beta.2"})
    file.write_text(json.dumps([weak, mended]))
    code, said = audit(checkout, "--advisories", str(file))
    assert code == 1
    assert "some-lib 1.2.0 (requirements.lock): OSV-1 (CVE-2026-1) bad\n" in said
    assert "the newest of 2026-11-02T00:00:00Z; 1 findings" in said
    assert "4 versions pinned in 2 lock files; 0 without a hash" in said


def test_an_audit_that_finds_nothing_says_what_it_could_not_look_at(checkout: Path) -> None:
    code, said = audit(checkout)
    assert code == 3
    assert "not checked: known weaknesses" in said
    file = checkout / "advisories.json"
    file.write_text(json.dumps(advisory(3, "PyPI", "some-lib", FROM_THE_FIRST, {"fixed": "1.0"})))
    code, said = audit(checkout, "--advisories", str(file))
    assert code == 3, "an ecosystem that the file says nothing of was not checked"
    assert "not checked: npm" in said
    vague = advisory(4, "npm", "b")
    file.write_text("\n".join(json.dumps(one) for one in (advisory(3, "PyPI", "x", FROM_THE_FIRST), vague)))
    code, said = audit(checkout, "--advisories", str(file))
    assert code == 3
    assert "could not be compared: b 1.0.0" in said
    file.write_text(
        json.dumps({"vulns": [advisory(5, "PyPI", "x", FROM_THE_FIRST), advisory(6, "npm", "x", FROM_THE_FIRST)]})
    )
    assert audit(checkout, "--advisories", str(file))[0] == 0


def test_an_audit_reads_the_dump_of_an_ecosystem(checkout: Path) -> None:
    file = checkout / "all.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("OSV-7.json", json.dumps(advisory(7, "npm", "b", versions=["0.9.0", "1.0.0"])))
        withdrawn = advisory(8, "PyPI", "some-lib", FROM_THE_FIRST) | {"withdrawn": "2026-01-01T00:00:00Z"}
        archive.writestr("OSV-8.json", json.dumps(withdrawn))
    code, said = audit(checkout, "--advisories", str(file))
    assert code == 1
    assert "b 1.0.0 (tests/npm/package-lock.json): OSV-7" in said
    assert "OSV-8" not in said


def test_a_pin_without_a_hash_is_found(checkout: Path) -> None:
    (checkout / "requirements.lock").write_text("some-lib==1.2.0\n")
    code, said = audit(checkout)
    assert code == 1
    assert "without a hash: requirements.lock: some-lib 1.2.0" in said


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', "[]", "<html>", '{"vulns": {}}'])
def test_a_file_that_holds_no_advisories_is_refused(checkout: Path, text: str) -> None:
    file = checkout / "advisories.json"
    file.write_text(text)
    code, said = audit(checkout, "--advisories", str(file))
    assert code == 2
    assert str(file) in said


def test_the_locks_of_this_project_are_all_held_by_hashes() -> None:
    pins, bare = TOOL["read_locks"](ROOT)
    assert bare == []
    assert {pin.ecosystem for pin in pins} == {"PyPI", "npm"}
    read = {pin.lock for pin in pins}
    kept = program("git", hint="apt-get install git")
    names = subprocess.run(
        [kept, "-C", str(ROOT), "ls-files", "*.lock", "*package-lock.json"], capture_output=True, text=True, check=True
    )
    assert set(names.stdout.split()) <= read


PARTS = st.lists(st.integers(0, 3), min_size=3, max_size=3).map(lambda three: ".".join(map(str, three)))


@given(here=PARTS, introduced=PARTS, fixed=PARTS)
def test_a_version_is_affected_from_the_first_bad_one_to_the_first_good_one(
    here: str, introduced: str, fixed: str
) -> None:
    def number(text: str) -> tuple[int, ...]:
        return tuple(int(one) for one in text.split("."))

    if number(introduced) >= number(fixed):
        return
    for ecosystem in ("PyPI", "npm"):
        pin = TOOL["Pin"](ecosystem, "x", here, "x.lock")
        for events in ([{"introduced": introduced}, {"fixed": fixed}], [{"fixed": fixed}, {"introduced": introduced}]):
            assert TOOL["within"](events, pin) == (number(introduced) <= number(here) < number(fixed))
        last = [{"introduced": introduced}, {"last_affected": fixed}]
        assert TOOL["within"](last, pin) == (number(introduced) <= number(here) <= number(fixed))


def test_a_pre_release_stands_before_its_release() -> None:
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]
    assert sorted(set(order), key=TOOL["semver"]) == order
