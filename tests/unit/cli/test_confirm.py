"""What cannot be brought back is asked for; without anybody to ask, nothing happens."""

import io
import json
import sys
from pathlib import Path

import pytest

from connector.cli.main import main
from tests.fake_graph import TENANT, day_document


@pytest.fixture
def configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A state with the events of one day, which a sink has not had."""
    (tmp_path / "in").mkdir()
    page = {"value": [day_document("2026-11-21", {"A": 2}, detailed=True)]}
    (tmp_path / "in" / "secureScores.json").write_text(json.dumps(page), "utf-8")
    tenant = f"{{name: lab, tenant_id: {TENANT}, source: files, path: in}}"
    sink = "{name: soc, kind: file, path: out.jsonl}"
    (tmp_path / "c.yaml").write_text(f"state: {{path: s.db}}\ntenants: [{tenant}]\nsinks: [{sink}]\n")
    main(["once", "--no-deliver", "-c", str(tmp_path / "c.yaml")])
    capsys.readouterr()
    return tmp_path / "c.yaml"


ASKED = [["sinks", "release", "soc"], ["replay", "--sink", "soc"], ["tenants", "forget", "lab"]]


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_without_a_terminal_and_without_yes_it_refuses(
    configured: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(configured.parent)
    assert main([*words, "-c", str(configured)]) == 2
    told = capsys.readouterr()
    assert "needs a yes" in told.err
    assert "repeat the command with --yes" in told.err
    assert told.out == ""
    assert main([*words, "--yes", "-c", str(configured)]) == 0


class Person(io.StringIO):
    """A terminal with somebody at it who has typed an answer."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 1), ("", 1), ("y\n", 0), ("YES\n", 0)])
def test_a_person_is_told_what_will_be_lost_and_asked(
    configured: Path, answer: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = Person(), Person()
    monkeypatch.setattr(sys, "stdin", Person(answer))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["sinks", "release", "soc", "-c", str(configured)]) == code
    assert "that soc never took" in err.getvalue()
    assert "[y/N]" in err.getvalue()
    assert ("given up" in out.getvalue()) == (code == 0)
    assert ("Nothing was done." in err.getvalue()) == (code == 1)


def test_a_bounded_replay_does_not_ask(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--sink", "soc", "--since", "yesterday", "-c", str(configured)]) == 0
    assert "will be offered to soc again" in capsys.readouterr().out
