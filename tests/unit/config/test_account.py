"""Root, in a folder of the service account, acts as that account or not at all."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from connector.config import account
from connector.config.values import Config, RawConfig, SinkConfig, StateConfig
from connector.errors import ConfigError
from tests.config_example import minimal, parsed
from tests.fake_graph import TENANT, day_document, profile_document

ROOT = Path(__file__).parents[3]
NOBODY, DAEMON = 65534, 1


@pytest.fixture(autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away, or become somebody")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that every account may reach; pytest's own is root's alone."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def config(home: Path, **changes: object) -> Config:
    state = StateConfig(path=str(home / "state" / "state.db"))
    return evolve(parsed(minimal()), base_dir=str(home), state=state, sinks=(), **changes)  # type: ignore[arg-type]


def folder(path: Path, uid: int) -> Path:
    path.mkdir()
    os.chown(path, uid, uid)
    return path


def test_what_is_roots_needs_nobody_else(home: Path) -> None:
    assert account.owner(config(home)) is None, "what is not there yet will be its folder's owner's"
    folder(home / "state", 0)
    assert account.owner(config(home)) is None


@pytest.mark.parametrize("name", ["", "state.db"])
def test_the_owner_of_the_folder_or_of_the_state_counts(name: str, home: Path) -> None:
    folder(home / "state", 0 if name else NOBODY)
    if name:
        (home / "state" / name).symlink_to("/etc/passwd")
        os.lchown(home / "state" / name, NOBODY, NOBODY)
    assert (found := account.owner(config(home))) is not None
    assert found[0] == NOBODY


@pytest.mark.parametrize("what", ["evidence", "sink"])
def test_evidence_and_file_sinks_count_and_two_owners_are_refused(what: str, home: Path) -> None:
    folder(home / "other", NOBODY)
    path = str(home / "other" / "x")
    given = config(home, raw=RawConfig(path=path))
    if what == "sink":
        given = evolve(config(home), sinks=(SinkConfig("f", "file", options={"path": path}),))
    assert (found := account.owner(given)) is not None
    assert found[0] == NOBODY
    folder(home / "state", DAEMON)
    with pytest.raises(ConfigError, match="cannot act as both"):
        account.owner(given)


def test_a_daemon_of_root_is_refused_with_the_command_to_use(home: Path) -> None:
    folder(home / "state", NOBODY)
    with pytest.raises(ConfigError) as caught:
        account.act_as_owner(config(home), stays=True)
    assert "a daemon of root must not write there" in caught.value.problems[0]
    assert "sudo -u nobody securescore" in caught.value.hint
    assert os.geteuid() == 0


# --------------------------------------------------------------------------------------------------- commands, for real


@pytest.fixture
def python() -> list[str]:
    """The machine's own Python, which other accounts may run; this one may lie in root's home."""
    wanted = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    if not wanted.exists():
        pytest.skip(f"{wanted} is not there: the packages are built for the Python of the distribution")
    return [str(wanted), "-B", "-m", "connector.cli.main"]


def run(python: list[str], home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{packages}", "CREDENTIALS_DIRECTORY": str(home / "secrets")}
    command = [*python, *words, "-c", str(home / "c.yaml")]
    return subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=90, check=False)


@pytest.fixture
def installed(home: Path) -> Path:
    """As the host package leaves it: configuration and secrets root's, state the service account's."""
    folder(home / "state", NOBODY)
    (home / "secrets").mkdir(0o700)
    (home / "secrets" / "hook").touch(0o600)
    (home / "secrets" / "hook").write_text("Bearer hook-secret")
    (home / "saved").mkdir()
    pages = {
        "secureScores": day_document("2026-11-22", {"A": 5.0}),
        "secureScoreControlProfiles": profile_document("A"),
    }
    for name, document in pages.items():
        page = {"@odata.context": f"x#security/{name}", "value": [document]}
        (home / "saved" / f"{name}.json").write_text(json.dumps(page))
    file = {"name": "f", "kind": "file", "path": "state/events.jsonl"}
    tenant = {"name": "t", "tenant_id": TENANT, "source": "files", "path": "saved"}
    (home / "c.yaml").touch(0o600)
    state = {"state": {"path": "state/state.db"}, "raw": {"keep_days": 9999}}
    (home / "c.yaml").write_text(json.dumps({**state, "tenants": [tenant], "sinks": [file]}))
    return home


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in folder.rglob("*")}


def test_once_as_root_leaves_nothing_that_the_service_could_not_write(python: list[str], installed: Path) -> None:
    done = run(python, installed, "once")
    assert "acting as nobody, to whom the state belongs" in done.stderr
    assert (installed / "state" / "state.db").exists()
    assert (installed / "state" / "events.jsonl").exists()
    assert owners(installed / "state") == {NOBODY}
    assert done.returncode == 0, done.stderr


def test_secrets_that_root_alone_may_read_are_taken_along(python: list[str], installed: Path) -> None:
    settings = json.loads((installed / "c.yaml").read_text())
    hook = {"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:9/", "authorization": "${credential:hook}"}
    lost = {**hook, "name": "lost", "authorization": "${credential:lost}"}
    (installed / "c.yaml").write_text(json.dumps({**settings, "sinks": [hook, lost]}))
    found = json.loads(run(python, installed, "check", "--json").stdout)
    told = {one["subject"]: one["detail"] for one in found if one["what"] == "sink"}
    assert "no connection" in told["hook"]
    assert "credential" not in told["hook"], "nobody listens there; that is all"
    assert "${credential:lost}: cannot read" in told["lost"]
    assert "No such file" in told["lost"]


def test_no_core_file_holds_the_secrets_that_were_taken_along(python: list[str], installed: Path) -> None:
    code = (
        "import ctypes, resource, types; from connector.cli.common import config_of; "
        f"config_of(types.SimpleNamespace(config={str(installed / 'c.yaml')!r}, command='status')); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(4))"
    )
    packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{packages}"}
    done = subprocess.run([python[0], "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0 (0, 0)\n"


@pytest.mark.parametrize("link", ["state.db", "events.jsonl", "state.db.lock"])
def test_links_that_the_account_made_reach_nothing_of_roots(link: str, python: list[str], installed: Path) -> None:
    target = installed / "of-root"
    target.touch(0o700)
    (installed / "state" / link).symlink_to(target)
    os.lchown(installed / "state" / link, NOBODY, NOBODY)
    run(python, installed, "once")
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert target.stat().st_uid == 0
    assert target.read_bytes() == b""


def test_a_report_and_a_list_are_written_as_that_account_too(python: list[str], installed: Path) -> None:
    run(python, installed, "once", "--no-deliver")
    (installed / "roots.html").touch(0o600)
    (installed / "state" / ".r.html.new").symlink_to(installed / "roots.html")
    assert run(python, installed, "report", "--out", str(installed / "state" / "r.html")).returncode == 0
    run(python, installed, "check", "--consent-csv", str(installed / "state" / "consent.csv"))
    assert (installed / "state" / "r.html").stat().st_uid == NOBODY
    assert (installed / "state" / "consent.csv").stat().st_uid == NOBODY
    assert (installed / "roots.html").read_bytes() == b""
    refused = run(python, installed, "report", "--out", str(installed / "secrets" / "r.html"))
    assert (refused.returncode, "Permission denied" in refused.stderr) == (1, True)


def test_a_daemon_ends_at_once(python: list[str], installed: Path) -> None:
    done = run(python, installed, "run")
    assert done.returncode == 2
    assert "next: run it as that account: sudo -u nobody securescore" in done.stderr
    assert owners(installed / "state") == set()
