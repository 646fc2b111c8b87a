"""`securescore demo`: the same seed tells the same story, and the README shows the one that it tells."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from connector.cli.main import main

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def undated(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d", "DAY", text)


def test_the_readme_shows_what_the_demo_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # as a terminal shows it
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    _, _, after = README.partition("explained to four decimals:")
    shown = after.split("```text\n")[1].split("```")[0].strip()
    assert undated(shown) in undated(said)
    told = re.search(r"yields (\d+) events,\s+and each day about (\d+) more", README)
    assert told
    assert f"{told[1]} events from history" in said
    events = [json.loads(line) for line in (tmp_path / "demo" / "events.jsonl").read_text().splitlines()]
    live = Counter(e["data"]["observed_at"][:10] for e in events[int(told[1]) :])
    assert max(live.values()) == pytest.approx(int(told[2]), rel=0.25)
