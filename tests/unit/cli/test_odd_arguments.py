"""Days and numbers that no calendar has, questions without an answer, and output to something that is not UTF-8."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connector.cli.main import COMMANDS, main
from tests.fake_graph import TENANT, day_document, profile_document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state that knows two days of one tenant, in which somebody wrote from right to left."""
    home = tmp_path_factory.mktemp("home")
    (home / "in").mkdir()
    documents = [
        day_document(day, {"A": score}, detailed=True) for day, score in (("2026-11-20", 5), ("2026-11-21", 2))
    ]
    profiles = [profile_document("A", title="שלום 世界")]
    for name, value in (("secureScores.json", documents), ("secureScoreControlProfiles.json", profiles)):
        (home / "in" / name).write_text(json.dumps({"value": value}), "utf-8")
    tenant = f"{{name: lab, tenant_id: {TENANT}, source: files, path: in}}"
    sink = "{name: out, kind: file, path: out.jsonl}"
    (home / "c.yaml").write_text(f"state: {{path: s.db}}\ntenants: [{tenant}]\nsinks: [{sink}]\n")
    assert main(["once", "-c", str(home / "c.yaml")]) == 0
    return home


@pytest.mark.parametrize(
    "words",
    [
        ["events", "--since", "0001-01-01T00:00:00+14:00"],
        ["events", "--until", "9999-12-31T23:59:59-14:00"],
        ["events", "--since", "0900-01-01"],
        ["events", "--limit", "-1"],
        ["events", "--limit", "1.5"],
        ["report", "--to", "0001-01-05", "--out", "r.html"],
        ["report", "--from", "9999-12-31", "--out", "r.html"],
        ["simulate", "--start", "0001-01-05"],
        ["explain", "--from", "2026-11-21", "--to", "2026-11-20"],
        ["events", "--since", "5m", "--until", "10m"],
        ["replay", "--sink", "out", "--since", "2026-11-21", "--until", "2026-11-20"],
        ["sinks", "list", "out"],
        ["sinks", "list", "--yes"],
        ["parked", "list", "--sink", "outt"],
        ["parked", "retry", "--sink", "outt"],
    ],
)
def test_what_cannot_be_is_a_mistake_of_usage(
    folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main([*words, "-c", "c.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "--to", "2026-10-01"],
        ["explain", "--from", "2026-10-01"],
        ["report", "--from", "2026-09-01", "--to", "2026-10-01", "--out", "r.html"],
        ["events", "--id", "no-such-event"],
    ],
)
def test_a_question_without_an_answer_is_no_mistake_of_usage(
    folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main([*words, "-c", "c.yaml"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "words", [["report", "--out", "-"], ["events", "--format", "cef"], ["explain"], ["controls", "list"]]
)
def test_output_to_a_pipe_is_whole_and_utf8_whatever_the_locale(folder: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "connector.cli.main", *words, "-c", str(folder / "c.yaml")],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
    assert done.stdout.decode("utf-8")
    assert "report" not in words or "שלום 世界" in done.stdout.decode("utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_system_without_what_it_stands_on_is_told_where_it_runs(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on Windows: no `check` that is content and then a traceback of `once`."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert main([command]) == 2
    told = capsys.readouterr().err
    assert "runs on Linux" in told
    assert "Splunk add-on" in told


def test_a_report_without_the_right_to_its_evidence_is_made_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A group may read the state; the evidence is the connector's own account's alone."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("connector.observe.evidence._verified", refuse)
    monkeypatch.chdir(folder)
    assert main(["report", "-c", "c.yaml", "--out", str(tmp_path / "r.html")]) == 3
    said = capsys.readouterr().err
    assert "lab: its report names no evidence: the evidence in " in said
    assert "cannot be read: Permission denied" in said
    assert "next: read it as the account that runs the connector, or with sudo" in said
    assert (tmp_path / "r.html").stat().st_size
