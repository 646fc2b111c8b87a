"""`securescore explain` tells what the events told."""

import json
from pathlib import Path
from typing import Any

import pytest

from connector.cli.explain import show
from connector.cli.main import main
from tests.fake_graph import TENANT, history, profile_document
from tests.golden import samples


def polled(folder: Path, documents: list[dict[str, Any]], profiles: list[str]) -> str:
    saved = folder / "in"
    saved.mkdir(exist_ok=True)
    (saved / "scores.json").write_text(json.dumps({"value": documents}))
    (saved / "profiles.json").write_text(json.dumps({"value": [profile_document(name) for name in profiles]}))
    config = folder / "c.yaml"
    config.write_text(
        json.dumps(
            {
                "state": {"path": "s.db"},
                "tenants": [{"name": "contoso", "tenant_id": TENANT, "source": "files", "path": "in"}],
                "sinks": [{"name": "archive", "kind": "file", "path": "events.jsonl"}],
                "health": {"listen": "off"},
            }
        )
    )
    assert main(["once", "-c", str(config)]) == 0
    return str(config)


def test_a_control_that_came_has_the_cause_that_its_event_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = history("2026-11-22", 2)
    names = [entry["controlName"] for entry in old["controlScores"]]
    polled(tmp_path, [old], names)
    new["controlScores"].append({**new["controlScores"][0], "controlName": "NewOne", "score": 5.0})
    new["currentScore"] += 5.0
    config = polled(tmp_path, [new, old], [*names, "NewOne"])
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (came,) = (event["data"]["cause"] for event in told if event["type"] == "securescore.control.added")
    assert (came["label"], came["confidence"]) == ("catalogue", "high")
    capsys.readouterr()
    assert main(["explain", "-c", config, "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["contributions"]
    assert [part["cause"] for part in parts if part["control"] == "NewOne"] == [came]


def test_subscriptions_are_named_by_their_titles_and_weights_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    data = samples.event("score.changed/aggregate").data
    show("contoso-azure", data)
    told = capsys.readouterr().out
    assert "contoso-prod" in told
    assert "20ff7fc3" not in told
    assert "Of it: scores -14.8889, weights -2.8334, subscriptions that came or went 0.0" in told
