"""A result that its reader did not want whole, or that could not be written whole: one line at most, the right code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_graph import TENANT, day_document, profile_document
from tests.fakes.daemon import ROOT

COMMAND = f"{sys.executable} -m connector.cli.main"
DRAWS = (
    "from connector.cli import terminal; t = terminal.table('a'); [t.add_row('x' * 60) for _ in range(500)];"
    " terminal.draw(t); terminal.say('said'); terminal.write_document('written\\n' * 9999);"
)


def shell(line: str, cwd: Path = ROOT) -> tuple[int, list[str]]:
    """The exit code of a line of bash, and the lines on stderr."""
    words = ["bash", "-o", "pipefail", "-c", line]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr.splitlines()


def script(code: str) -> str:
    """A process that says much, in every way there is, and settles with an exit code."""
    return f'{sys.executable} -c "import sys; {DRAWS} sys.exit(terminal.settle({code}))"'


@pytest.mark.parametrize("code", [0, 3])
def test_a_reader_who_goes_changes_no_exit_code_and_nothing_complains(code: int) -> None:
    assert shell(f"{script(str(code))} | head -1 > /dev/null") == (code, [])


@pytest.mark.parametrize(("code", "ends"), [(0, 1), (3, 3)])
@pytest.mark.parametrize("out", ["> /dev/full", ">&-"])
def test_a_result_that_is_not_whole_is_a_failure_told_once(code: int, ends: int, out: str) -> None:
    got, lines = shell(f"{script(str(code))} {out}")
    assert got == ends
    assert [line.partition(":")[0] for line in lines] == ["error", "next"]
    assert lines[0].endswith({">&-": "Bad file descriptor"}.get(out, "No space left on device"))


@pytest.mark.parametrize("err", ["2> /dev/full", "2>&-", "2> /dev/full > /dev/null"])
def test_a_stderr_that_takes_nothing_keeps_the_exit_code(err: str) -> None:
    assert shell(f"{COMMAND} completion bash {err}")[0] == 0
    assert shell(f"{COMMAND} no-such-command {err}")[0] == 2


def test_a_closed_output_loses_nothing_where_nothing_is_written() -> None:
    assert shell(
        f'{sys.executable} -c "from connector.cli import terminal as t; raise SystemExit(t.settle(0))" >&-'
    ) == (
        0,
        [],
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration whose tenant was polled."""
    home = tmp_path_factory.mktemp("lost")
    config = {
        "state": {"path": "state.db"},
        "tenants": [{"name": "contoso", "tenant_id": TENANT, "source": "files", "path": "saved"}],
        "sinks": [{"name": "ev", "kind": "file", "path": "events.jsonl"}],
    }
    (home / "securescore.yaml").write_text(json.dumps(config))
    (home / "saved").mkdir()
    saved = {
        "secureScores": [day_document("2026-11-21", {"A": 1.0, "B": 5.0}), day_document("2026-11-22", {"A": 2.0})],
        "secureScoreControlProfiles": [profile_document("A"), profile_document("B")],
    }
    for name, value in saved.items():
        (home / "saved" / f"{name}.json").write_text(json.dumps({"value": value}))
    command("once", home)
    return home


def command(words: str, home: Path, into: str = "> /dev/null") -> tuple[int, list[str]]:
    return shell(f"{COMMAND} {words} -c {home}/securescore.yaml {into}", ROOT)


@pytest.mark.parametrize("words", ["events --all", "status", "controls list"])
def test_every_command_settles_its_output(home: Path, words: str) -> None:
    whole, said = command(words, home)
    assert whole == 0, said
    assert command(words, home, "| head -1 > /dev/null") == (0, said)
    code, told = command(words, home, "> /dev/full")
    assert code == 1
    assert told == [*said, *told[-2:]]
    assert told[-2] == ("error: the result could not be written whole to standard output: No space left on device")


def test_a_lost_output_breaks_off_no_work(home: Path) -> None:
    """What `once` says is lost, what it does is done: a state of its own has the same events."""
    state, events = home / "state.db", home / "events.jsonl"
    state.unlink()
    events.unlink()
    assert command("once", home, "> /dev/full")[0] == 1
    assert len(events.read_text().splitlines()) > 1
