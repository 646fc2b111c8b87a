"""`tenants list`: what the configuration names, whether it was polled or not, and what is only remembered."""

import json
from pathlib import Path

import pytest

from connector.cli.main import main
from tests.fake_graph import TENANT, day_document, profile_document

OTHER = "22222222-2222-2222-2222-222222222222"


@pytest.fixture(params=["path: s.db", "directory: s"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tenants, and saved responses of the first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name, document in (("scores", day_document("2026-11-20", {"A": 5})), ("profiles", profile_document("A"))):
        (tmp_path / "in" / f"{name}.json").write_text(json.dumps({"value": [document]}))
    (tmp_path / "securescore.yaml").write_text(
        f"""
state: {{{request.param}}}
tenants:
  - {{name: lab, tenant_id: {TENANT}, labels: {{tier: gold}}, source: files, path: in}}
  - {{name: next, tenant_id: {OTHER}, source: files, path: in}}
sinks: [{{name: out, kind: file, path: out.jsonl}}]
"""
    )
    return tmp_path


def test_before_the_first_poll_it_lists_the_configuration_and_says_so(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(lab.rglob("*"))
    assert main(["tenants", "list"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines() if "never read" in line] == ["lab", "next"]
    assert "there is no state at " in err
    assert "nothing was polled so far" in err
    assert "next: Run `securescore once` or `run` first, or correct `state." in err
    assert main(["tenants", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["name"], r["labels"], r["newest_day"], r["units"]) for r in rows] == [
        ("lab", {"tier": "gold"}, None, 0),
        ("next", {}, None, 0),
    ]
    assert sorted(lab.rglob("*")) == before, "looking makes no state"


def test_afterwards_it_says_of_each_how_far_it_is(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["once", "--tenant", "lab"]) == 0
    capsys.readouterr()
    assert main(["tenants", "list"]) == 0
    out, err = capsys.readouterr()
    assert "2026-11-20" in next(line for line in out.splitlines() if line.startswith("lab"))
    assert "never read" in next(line for line in out.splitlines() if line.startswith("next"))
    assert "there is no state" not in err


def test_a_file_that_is_still_empty_is_no_state(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "s.db").touch()
    (lab / "s").mkdir()
    assert main(["tenants", "list"]) == 0
    assert capsys.readouterr().out.count("never read") == 2


def test_other_commands_need_one(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["status"], ["events"], ["tenants", "forget", "lab", "--yes"]):
        assert main(words) == 1
        assert "there is no state at " in capsys.readouterr().err
    assert not (lab / "lab-export").exists()
