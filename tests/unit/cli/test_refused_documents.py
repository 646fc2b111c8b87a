"""What is refused, what a target names in vain, and what returns: seen where a person or a receiver looks."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.cli.main import main
from tests.fake_graph import TENANT, day_document, profile_document

TODAY = datetime.now(UTC).date()
"""The commands read the clock of this machine."""
YESTERDAY, FAR = (TODAY - timedelta(days=1)).isoformat(), "2099-01-01"


class Lab:
    """A tenant of saved responses, polled by `once`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.exports = folder, folder / "exports"
        self.exports.mkdir()
        self.catalogue({"AdminMFAV2": []})
        self.config = folder / "config.yaml"
        settings = {
            "state": {"path": "state.db"},
            "changes": {"inventory": "off", "stale_after": "9000h"},
            "targets": {"controls": ["AdminMFAv2", "AdminMFAV2"]},
            "tenants": [{"name": "lab", "tenant_id": TENANT, "source": "files", "path": "exports"}],
            "sinks": [{"name": "out", "kind": "file", "path": "events.jsonl", "start": "all"}],
        }
        self.config.write_text(yaml.safe_dump(settings))

    def catalogue(self, states: dict[str, list[Any]]) -> None:
        rows = [profile_document(name, controlStateUpdates=updates) for name, updates in states.items()]
        (self.exports / "secureScoreControlProfiles.json").write_text(json.dumps({"value": rows}))

    def day(self, day: str, points: float = 10.0) -> Path:
        path = self.exports / f"secureScores-{day}.json"
        path.write_text(json.dumps({"value": [day_document(day, {"AdminMFAV2": points})]}))
        return path

    def once(self) -> list[dict[str, Any]]:
        """What is told by one poll more."""
        told = self.folder / "events.jsonl"
        before = len(told.read_text().splitlines()) if told.exists() else 0
        main(["once", "-c", str(self.config)])
        return [json.loads(line) for line in told.read_text().splitlines()[before:]]

    def ask(self, capsys: pytest.CaptureFixture[str], command: str) -> Any:
        capsys.readouterr()
        main([command, "-c", str(self.config), "--json"])
        return json.loads(capsys.readouterr().out)


def kinds(told: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("securescore.") for event in told if event["data"]["stream"] != "inventory"]


def test_a_document_of_the_far_future_hides_no_real_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = Lab(tmp_path)
    lab.day((TODAY - timedelta(days=2)).isoformat())
    lab.once()
    far = lab.day(FAR)
    (told,) = lab.once()
    assert (told["type"], told["data"]["reason"]) == ("securescore.feed.suspicious", "dated_ahead")
    assert lab.once() == []
    refused = lab.ask(capsys, "status")["tenants"]["lab"]["refused"]
    assert [(row["part"], row["reason"]) for row in refused] == [(FAR, "dated_ahead")]
    found = {finding["what"]: finding["detail"] for finding in lab.ask(capsys, "check")}
    assert FAR in found["refused"]
    lab.day(YESTERDAY, 4.0)
    assert {"score.observed", "score.changed", "control.score_changed"} <= set(kinds(lab.once()))
    assert lab.ask(capsys, "status")["tenants"]["lab"]["newest_day"] == YESTERDAY
    far.unlink()
    (closed,) = lab.once()
    assert closed["data"]["problem_id"] == told["data"]["problem_id"]
    assert lab.ask(capsys, "status")["tenants"]["lab"]["refused"] == []


def test_a_target_that_names_no_control_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = Lab(tmp_path)
    lab.day(YESTERDAY)
    (found,) = [f for f in lab.ask(capsys, "check") if f["what"] == "target"]
    assert "AdminMFAv2 names no control" in found["detail"]
    assert found["hint"] == "did you mean AdminMFAV2?"


def test_what_returns_reaches_the_receiver_each_time(tmp_path: Path) -> None:
    """The store and every receiver drop an id that they know, so the last word must not have an old one."""
    lab = Lab(tmp_path)
    lab.day(YESTERDAY)
    entry = {"state": "ThirdParty", "updatedDateTime": f"{TODAY.isoformat()}T00:00:00Z"}
    words = []
    for states in ([], [entry], [], [entry], [], [entry]):
        lab.catalogue({"AdminMFAV2": states})
        told = [*lab.once(), *lab.once()]
        words += [e["data"]["after"]["state"] for e in told if e["type"] == "securescore.control.state_changed"]
    assert words == ["ThirdParty", "Default", "ThirdParty", "Default", "ThirdParty"]
