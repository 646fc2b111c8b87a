"""`check` names every pattern that selects no tenant, and what a baseline says of controls that nobody has."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import main
from tests.fake_graph import TENANT, history, profile_document

SUBSCRIPTIONS = "22222222-2222-2222-2222-222222222222"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "scores.json").write_text(json.dumps({"value": history("2026-11-22", 3)}))
    (tmp_path / "in" / "profiles.json").write_text(
        json.dumps({"value": [profile_document("AdminMFAV2"), profile_document("OneAdmin")]})
    )
    return tmp_path


def warnings(folder: Path, capsys: pytest.CaptureFixture[str], baseline: str, **more: Any) -> dict[str, str]:
    """What `check` warns of, by its hint, without what it says of inputs and the state."""
    lab = {"name": "lab", "tenant_id": TENANT, "labels": {"tier": "gold"}, "source": "files", "path": "in"}
    raw = {
        "baseline": "baseline.yaml",
        "state": {"path": "s.db"},
        "tenants": [lab],
        "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}],
        "health": {"listen": "off"},
    } | more
    (folder / "securescore.yaml").write_text(json.dumps(raw))
    (folder / "baseline.yaml").write_text(baseline)
    assert main(["once"]) == 0
    capsys.readouterr()
    main(["check", "--json"])
    told = [f for f in json.loads(capsys.readouterr().out) if f["what"] in ("baseline", "sink", "report", "target")]
    assert all(f["ok"] is not False for f in told), told
    return {f"{f['subject']}: {f['detail']}": f["hint"] for f in told if f["ok"] is None}


def test_a_baseline_that_fits_is_no_warning(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standards = """
standards:
  - {name: gold, tenants: [tier=gold], full: [adminmfav2], not_declared: [{controls: ["one*"]}]}
exceptions:
  - {tenants: [l*], controls: [ADMIN*], until: 2027-03-31, reason: ticket}
  - {tenants: [lab], until: 2027-03-31, reason: everything}
"""
    assert warnings(folder, capsys, standards) == {}


def test_what_is_meant_for_nobody_is_named_with_the_nearest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standards = """
standards:
  - {name: all, full: [AdminMFAV2]}
  - {name: gold, tenants: [lab, tier=gould], full: [OneAdmin]}
exceptions:
  - {tenants: [labb], until: 2027-03-31, reason: ticket}
"""
    sinks = [{"name": "archive", "kind": "file", "path": "events.jsonl"}]
    sinks += [{"name": "other", "kind": "file", "path": "o.jsonl", "tenants": ["nobody"]}]  # type: ignore[dict-item]
    reports = [{"every": "month", "path": "{tenant}-{period}.html", "tenants": ["tier=silver"]}]
    told = warnings(folder, capsys, standards, sinks=sinks, reports=reports)
    at = str(folder / "{tenant}-{period}.html")
    assert told == {
        "other: sinks[1].tenants: nobody selects no tenant": "`securescore tenants list` shows them",
        f"{at}: reports[0].tenants: tier=silver selects no tenant": "did you mean tier=gold?",
        "baseline.yaml: gold: standards[1].tenants (line 4): tier=gould selects no tenant": "did you mean tier=gold?",
        "baseline.yaml: exception: exceptions[0].tenants (line 6): labb selects no tenant": "did you mean lab?",
    }


def test_controls_that_none_of_its_tenants_has_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standards = """
standards:
  - {name: all, full: [AdminMFA], not_declared: [{controls: [Gate*]}]}
exceptions:
  - {tenants: [lab], controls: [OneAdmn, AdminMFAV2], until: 2027-03-31, reason: ticket}
"""
    none = "names no control of the tenants it is for"
    assert warnings(folder, capsys, standards) == {
        "lab: the baseline's control AdminMFA names no control of this tenant": "did you mean AdminMFAV2?",
        f"baseline.yaml: all: standards[0].not_declared[0].controls (line 3): gate* {none}": (
            "`securescore controls list` shows them"
        ),
        f"baseline.yaml: exception: exceptions[0].controls (line 5): oneadmn {none}": "did you mean OneAdmin?",
    }


def test_nothing_is_said_of_controls_while_none_are_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standards = "standards: [{name: all, percent_min: 1, not_declared: [{controls: [Gate*]}]}]"
    lab = {"name": "lab", "tenant_id": TENANT, "source": "files", "path": "in"}
    (folder / "in" / "scores.json").unlink()
    (folder / "in" / "profiles.json").unlink()
    (folder / "baseline.yaml").write_text(standards)
    raw = {"baseline": "baseline.yaml", "state": {"path": "s.db"}, "tenants": [lab]}
    raw["sinks"] = [{"name": "archive", "kind": "file", "path": "events.jsonl"}]
    (folder / "securescore.yaml").write_text(json.dumps(raw))
    main(["check", "--json"])
    assert not [f for f in json.loads(capsys.readouterr().out) if f["what"] == "baseline"]


def test_a_standard_for_subscriptions_alone_asks_nobody(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tenants = [
        {"name": "lab", "tenant_id": TENANT, "source": "files", "path": "in"},
        {
            "name": "azure",
            "tenant_id": SUBSCRIPTIONS,
            "source": "defender_cloud",
            "auth": {"kind": "token", "file": "none"},
        },
    ]
    (folder / "baseline.yaml").write_text("standards: [{name: cloud, tenants: [az*], percent_min: 1}]")
    raw = {
        "baseline": "baseline.yaml",
        "state": {"path": "s.db"},
        "tenants": tenants,
        "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}],
        "health": {"listen": "off"},
    }
    (folder / "securescore.yaml").write_text(json.dumps(raw))
    main(["check", "--json"])
    (told,) = [f for f in json.loads(capsys.readouterr().out) if f["what"] == "baseline"]
    assert (
        told["detail"] == "standards[0].tenants (line 1) selects only entries of several units, which have no baseline"
    )
