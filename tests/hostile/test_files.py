"""Whoever may write in a folder does not choose what a command writes, reads or waits for there.

Links and pipes under every name that a command writes, and under the temporary names that it would use: the file they
lead to stays as it is, and no command hangs or fails in a way of its own.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from connector.cli.main import main
from tests.fake_graph import history, profile_document
from tests.needs import missing

TENANT = "11111111-2222-3333-4444-555555555555"
PRECIOUS = "precious\n"
LIMIT_S = 60.0
BUG = 99
NOBODY = 65534
Trap = Callable[[Path, Path], None]


def link(place: Path, victim: Path) -> None:
    """Of another account: one's own, or root's, may be followed."""
    place.symlink_to(victim)
    os.lchown(place, NOBODY, NOBODY)


def hard_link(place: Path, victim: Path) -> None:
    os.link(victim, place)


def pipe(place: Path, _victim: Path) -> None:
    os.mkfifo(place)
    os.chown(place, NOBODY, NOBODY)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A tenant of saved responses, in a folder where others could have put things."""
    return laid_out(tmp_path)


@pytest.fixture(scope="session")
def polled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, polled once; to be copied."""
    made = laid_out(tmp_path_factory.mktemp("polled"))
    command(made, "once")
    return made


def copied(polled: Path, into: Path) -> Path:
    return shutil.copytree(polled, into / "lab")


def laid_out(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        missing("what another account puts there needs root to be put there")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/days.json").write_text(json.dumps({"value": history("2026-05-10", 3)}))
    (tmp_path / "in/profiles.json").write_text(json.dumps({"value": [profile_document("AdminMFAV2")]}))
    (tmp_path / "securescore.yaml").write_text(
        f"state: {{path: state.db}}\ntenants: [{{name: lab, tenant_id: {TENANT}, source: files, path: in}}]\n"
        "sinks: [{name: out, kind: file, path: events.jsonl}]\n"
    )
    (tmp_path / "victim").write_text(PRECIOUS)
    (tmp_path / "victim").chmod(0o644)
    return tmp_path


def run(*words: str) -> None:
    """A command in a process of its own, since root may become another account for it. It ends, and by itself."""
    child = os.fork()
    if child == 0:
        code = BUG
        with suppress(BaseException):
            code = main(words)
        os._exit(code)
    end = time.monotonic() + LIMIT_S
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) in (0, 1, 2, 3), words
            return
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail(f"{words}: waits for what somebody else put there")
        time.sleep(0.01)


def command(lab: Path, *words: str) -> None:
    run(*words, "-c", str(lab / "securescore.yaml"))


def untouched(lab: Path) -> None:
    assert (lab / "victim").read_text() == PRECIOUS
    assert (lab / "victim").stat().st_mode & 0o777 == 0o644


ONCE = ("state.db", "state.db-wal", "state.db-shm", "state.db.lock", "events.jsonl", "evidence", "state.db-journal")


@pytest.mark.parametrize("trap", [link, pipe])
@pytest.mark.parametrize("name", ONCE)
def test_what_once_writes(lab: Path, name: str, trap: Trap) -> None:
    trap(lab / name, lab / "victim")
    command(lab, "once")
    untouched(lab)


@pytest.mark.parametrize("trap", [link, hard_link, pipe])
@pytest.mark.parametrize("name", [".SHA256SUMS.new", "SHA256SUMS", ".secureScores-1.json.gz.new"])
def test_what_is_kept_as_evidence(polled: Path, tmp_path: Path, name: str, trap: Trap) -> None:
    lab = copied(polled, tmp_path)
    for day in (lab / "evidence").glob("*/*"):
        (day / name).unlink(missing_ok=True)
        trap(day / name, lab / "victim")
    days = json.loads((lab / "in/days.json").read_text())
    days["value"][0]["currentScore"] = 1.0
    (lab / "in/days.json").write_text(json.dumps(days))
    command(lab, "once")
    untouched(lab)


OUTPUTS = {
    "report": ("report", "--out", "{}/r.html"),
    "fetch": ("fetch", "--out", "{}/saved"),
    "forget": ("tenants", "forget", "lab", "--yes", "--export", "{}/export"),
    "consent": ("check", "--consent-csv", "{}/consent.csv"),
}


@pytest.mark.parametrize("trap", [link, pipe])
@pytest.mark.parametrize("beside", ["{}", ".{}.new"])
@pytest.mark.parametrize("which", OUTPUTS)
def test_what_a_command_writes_out(polled: Path, tmp_path: Path, which: str, beside: str, trap: Trap) -> None:
    lab = copied(polled, tmp_path)
    words = [word.format(lab) for word in OUTPUTS[which]]
    target = Path(words[-1])
    trap(target.with_name(beside.format(target.name)), lab / "victim")
    command(lab, *words)
    untouched(lab)


@pytest.mark.parametrize("beside", ["securescore.yaml", ".securescore.yaml.new"])
def test_a_configuration_that_is_written(lab: Path, beside: str) -> None:
    (lab / "securescore.yaml").unlink()
    link(lab / beside, lab / "victim")
    command(lab, "init", "--force")
    untouched(lab)


def test_what_a_demonstration_leaves(lab: Path) -> None:
    (lab / "demo").mkdir()
    for name in ("events.jsonl", "securescore.yaml", "state.db"):
        link(lab / "demo" / name, lab / "victim")
    run("demo", "--days", "3", "--out", str(lab / "demo"))
    untouched(lab)


def test_what_once_reads(lab: Path) -> None:
    """A pipe among the saved responses is passed over."""
    pipe(lab / "in" / "pipe.json", lab / "victim")
    command(lab, "once")
    assert (lab / "events.jsonl").read_text().count("\n") > 3
