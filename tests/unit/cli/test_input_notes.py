"""What is odd about the input is told where a person looks: `once`, `check`, `status` (also as JSON) and the log."""

import json
from pathlib import Path

import pytest

from connector.cli.main import main
from tests.fake_graph import TENANT, day_document, profile_document

CONFIG = f"""
state: {{path: ./state.db}}
tenants: [{{name: lab, tenant_id: {TENANT}, source: files, path: ./in}}]
sinks: [{{name: out, kind: file, path: ./out.jsonl}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "in").mkdir()
    (tmp_path / "c.yaml").write_text(CONFIG)
    save(tmp_path, "days.json", {"value": [day_document("2026-11-21", {"A": 5}, detailed=True)]})
    save(tmp_path, "profiles.json", {"value": [profile_document("A")]})
    return tmp_path


def save(folder: Path, name: str, data: object) -> None:
    (folder / "in" / name).write_text(data if isinstance(data, str) else json.dumps(data))


def said(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main([*words, "-c", str(folder / "c.yaml")])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_file_that_is_none_of_ours_is_named_and_harms_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(folder, "notes.txt", "hello")
    words = "not taken: notes.txt (not JSON)"
    code, out, err = said(folder, capsys, "once")
    assert (code, words in out, words in err) == (0, True, True)
    code, out, err = said(folder, capsys, "once")
    assert (code, words in out, words in err) == (0, True, False), "the log has each note once"
    assert words in said(folder, capsys, "status")[1]
    assert json.loads(said(folder, capsys, "status", "--json")[1])["tenants"]["lab"]["notes"] == [words]
    assert words in said(folder, capsys, "check")[1]
    (folder / "in" / "notes.txt").unlink()
    assert "not taken" not in said(folder, capsys, "once")[1] + said(folder, capsys, "status")[1]


def test_an_export_that_cannot_be_read_is_named_with_its_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(folder, capsys, "once")[0] == 0
    save(folder, "2026-11-22.csv", '"Id","ControlScores"\r\n"x","System.Object[]"\r\n')
    for command in ("once", "status", "check"):
        code, out, _ = said(folder, capsys, command)
        assert code == (0 if command == "status" else 3)
        assert "2026-11-22.csv: a table (Export-Csv), not JSON" in out
        assert "ConvertTo-Json -Depth 10" in out
        assert "heals by itself" not in out
    told = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    partial = [e["data"] for e in told if e["type"] == "securescore.feed.partial"]
    assert {data["part"] for data in partial} == {"days", "catalogue"}
    assert all("2026-11-22.csv" in data["detail"] and "-Depth 10" in data["hint"] for data in partial)
