"""Microsoft re-categorises controls while their points stand still: every view says what went where, and why."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector.cli.main import main
from tests.fake_graph import TENANT, day_document, profile_document

TODAY = datetime.now(UTC).date()
"""The commands read the clock of this machine."""
DAYS = [(TODAY - timedelta(days=n)).isoformat() for n in (1, 0)]
MOVED = {
    "mdo_zapspam": 3.0,
    "mdo_zapphish": 4.0,
    "mdo_zapmalware": 2.0,
    "exo_rules": 5.0,
    "exo_consent": 2.0,
    "mdo_ip": 1.0,
}
STAYED = {"AdminMFAV2": 10.0, "spo_legacy": 6.0}
WORDS = "6 controls, 17.0 points, Apps → Identity"


def write(exports: Path, days: Mapping[str, str], group: str) -> None:
    """Saved responses: the days with the category of the six on each, and the catalogue of now."""
    documents = [day_document(day, {**MOVED, **STAYED}) for day in days]
    for document, category in zip(documents, days.values(), strict=True):
        for control in document["controlScores"]:
            control["controlCategory"] = category if control["controlName"] in MOVED else _home(control["controlName"])
    profiles = [profile_document(n, controlCategory=group if n in MOVED else _home(n)) for n in {**MOVED, **STAYED}]
    (exports / "secureScores.json").write_text(json.dumps({"value": documents[::-1]}))
    (exports / "secureScoreControlProfiles.json").write_text(json.dumps({"value": profiles}))


def _home(name: str) -> str:
    return "Identity" if name == "AdminMFAV2" else "Apps"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two polls: of yesterday, and of today with six controls in another category."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "exports").mkdir()
    settings = {
        "state": {"path": "state.db"},
        "tenants": [{"name": "lab", "tenant_id": TENANT, "source": "files", "path": "exports"}],
        "sinks": [{"name": "out", "kind": "file", "path": "events.jsonl", "start": "all"}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    write(folder / "exports", {DAYS[0]: "Apps"}, "Apps")
    assert main(["once", "-c", str(folder / "config.yaml")]) == 0
    write(folder / "exports", {DAYS[0]: "Apps", DAYS[1]: "Identity"}, "Identity")
    assert main(["once", "-c", str(folder / "config.yaml")]) == 0
    return folder


def events(lab: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (lab / "events.jsonl").read_text().splitlines())
    return [event["data"] for event in lines if event["type"] == f"securescore.{kind}"]


def test_events_say_which_points_changed_their_category(lab: Path) -> None:
    before, after = (day["by_category"] for day in events(lab, "score.observed"))
    assert (before["Apps"]["score"], before["Identity"]["score"]) == (23.0, 10.0)
    assert (after["Apps"]["score"], after["Identity"]["score"]) == (6.0, 27.0)
    assert not events(lab, "score.changed"), "the total stood still"
    told = events(lab, "profile.changed")
    assert {one["control"]["id"] for one in told} == set(MOVED)
    assert sum(one["regrouped"]["by_category"]["Identity"] for one in told) == 17.0
    assert sum(one["regrouped"]["by_category"]["Apps"] for one in told) == -17.0


def report(lab: Path, name: str, *options: str) -> str:
    assert main(["report", "-c", str(lab / "config.yaml"), "--out", str(lab / name), *options]) == 0
    return (lab / name).read_text("utf-8-sig")


def test_the_report_shows_the_difference_of_the_days_and_the_part_that_was_regrouped(lab: Path) -> None:
    document = json.loads(report(lab, "report.json"))
    (tenant,) = document["tenants"]
    groups = {
        g["name"]: {k: g[k] for k in ("before", "score", "delta", "moved", "regrouped")} for g in tenant["categories"]
    }
    assert groups == {
        "Apps": {"before": 23.0, "score": 6.0, "delta": -17.0, "moved": 0.0, "regrouped": -17.0},
        "Identity": {"before": 10.0, "score": 27.0, "delta": 17.0, "moved": 0.0, "regrouped": 17.0},
    }
    (flow,) = tenant["regrouped"]
    assert flow["words"] == WORDS
    assert tenant["bridge"]["cause"]["label"] == "catalogue"
    rows = list(csv.DictReader(io.StringIO(report(lab, "report.csv", "--table", "groups"))))
    (row,) = (row for row in rows if row["kind"] == "category" and row["name"] == "Apps")
    assert (row["before"], row["score"], row["delta"], row["regrouped"]) == ("23.0", "6.0", "-17.0", "-17.0")
    (row,) = csv.DictReader(io.StringIO(report(lab, "report.csv", "--table", "regrouped")))
    assert row["words"] == WORDS
    assert WORDS in report(lab, "report.html")


def test_explain_names_it_with_its_cause(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-c", str(lab / "config.yaml")]) == 0
    said = capsys.readouterr().out
    assert f"Regrouped by category (catalogue): {WORDS}" in said
    assert "unknown" not in said
    assert main(["explain", "-c", str(lab / "config.yaml"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["regrouped"]["by_category"] == {"Apps": -17.0, "Identity": 17.0}
    assert data["cause"]["evidence"] == [WORDS]


def test_nothing_moved_is_said_where_nothing_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "config.yaml").write_text(
        f"state: {{path: state.db}}\ntenants: [{{name: lab, tenant_id: {TENANT}, source: files, path: exports}}]\n"
        "sinks: [{name: out, kind: file, path: events.jsonl}]\n"
    )
    write(tmp_path / "exports", dict.fromkeys(DAYS, "Apps"), "Apps")
    assert main(["once", "-c", str(tmp_path / "config.yaml")]) == 0
    capsys.readouterr()
    assert main(["explain", "-c", str(tmp_path / "config.yaml")]) == 0
    said = capsys.readouterr().out
    assert "Nothing moved." in said
    assert "unknown" not in said
    assert "Main cause" not in said
