"""Controls, event types and event ids as people write them: in any case, an id by how it begins, and what came near."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.cli.main import main
from connector.cli.names import event_types, near, spelled, whole_id
from connector.cli.terminal import cell_len
from connector.clock import SystemClock
from connector.errors import ConfigError
from connector.ports import Settlement, Start
from connector.stores.sqlite import open_store
from tests.contract.store_contract import T0, T1, add, event
from tests.fake_graph import TENANT, day_document, profile_document


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a tenant with two controls, polled; its webhook answers nobody."""
    home = tmp_path_factory.mktemp("lab")
    (home / "in").mkdir()
    days = [
        day_document(day, {"AdminMFAV2": score, "OneAdmin": 1}, detailed=True)
        for day, score in (("2026-11-20", 5), ("2026-11-21", 2))
    ]
    profiles = [
        profile_document("AdminMFAV2", title="Require MFA for administrators"),
        profile_document("OneAdmin", title="More than one global admin"),
    ]
    for name, value in (("secureScores.json", days), ("secureScoreControlProfiles.json", profiles)):
        (home / "in" / name).write_text(json.dumps({"value": value}), "utf-8")
    tenant = f"{{name: lab, tenant_id: {TENANT}, source: files, path: in}}"
    sink = "{name: out, kind: file, path: out.jsonl, start: all}"
    (home / "c.yaml").write_text(f"state: {{path: s.db}}\ntenants: [{tenant}]\nsinks: [{sink}]\n")
    assert main(["once", "-c", str(home / "c.yaml")]) == 0
    return home


def documents(lab: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["events", "--format", "json", "--limit", "0", *words, "-c", str(lab / "c.yaml")]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def refused(lab: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    assert main([*words, "-c", str(lab / "c.yaml")]) == code
    return capsys.readouterr().err


def test_a_name_is_spelled_as_it_is_known() -> None:
    assert spelled("adminmfav2", ["AdminMFAV2", "OneAdmin"]) == ("AdminMFAV2",)
    assert spelled("a", ["A", "a"]) == ("a",), "the exact one is meant"
    assert spelled("aB", ["AB", "ab"]) == ("AB", "ab")
    assert spelled("x", ["A"]) == ()
    assert near("ADMINMFAV3", ["AdminMFAV2", "Other"]) == ["AdminMFAV2"]


def test_an_id_is_found_by_its_beginning_alone() -> None:
    known = ["abcd-1", "abce-1", "ffff-1"]
    assert whole_id("FFFF", known) == "ffff-1"
    assert whole_id("abcd-1", [*known, "abcd-12"]) == "abcd-1", "a whole id is no beginning"
    assert whole_id("fff", known) is None, "too little said"
    assert whole_id("", known) is None
    assert whole_id("eeee", known) is None
    with pytest.raises(ConfigError, match="2 events have ids that begin with 1234: 12345, 12346") as caught:
        whole_id("1234", ["12345", "12346", "12345"])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("glob", "words"),
    [("score.changd", "mean score.changed"), ("score", "mean score.*?"), ("nonsense", "one of score.observed")],
)
def test_a_type_that_does_not_exist_is_refused_with_the_nearest(glob: str, words: str) -> None:
    with pytest.raises(ConfigError, match="no event type is") as caught:
        event_types([glob])
    assert words in caught.value.hint


def test_types_are_globs_in_any_case_with_or_without_the_prefix() -> None:
    assert event_types(["Control.*", "securescore.feed.stale", "*"]) == ("control.*", "feed.stale", "*")


def test_events_of_a_control_in_any_case(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exact = documents(lab, capsys, "--control", "AdminMFAV2")
    assert {e["subject"] for e in exact} == {"AdminMFAV2"}
    assert documents(lab, capsys, "--control", "ADMINmfav2", "--tenant", "lab") == exact
    said = refused(lab, capsys, "events", "--control", "AdminMFAV3")
    assert "no control is named 'AdminMFAV3'" in said
    assert "did you mean AdminMFAV2?" in said
    assert documents(lab, capsys, "--control", "adminmfav2", "--since", "2999-01-01") == [], "known, and nothing of it"
    assert "did you mean score.changed or " in refused(lab, capsys, "events", "--type", "score.changd")


def test_an_event_by_the_beginning_of_its_id(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = [e["id"] for e in documents(lab, capsys)]
    one = every[0]
    begin = next(one[:n] for n in range(4, 37) if sum(each.startswith(one[:n]) for each in every) == 1)
    assert [e["id"] for e in documents(lab, capsys, "--id", begin.upper())] == [one]
    assert [e["id"] for e in documents(lab, capsys, "--id", one)] == [one]
    assert main(["events", "--id", begin, "--trace", "-c", str(lab / "c.yaml")]) == 0
    shown = capsys.readouterr().out
    assert f"id {one}" in shown
    assert "4 characters" in refused(lab, capsys, "events", "--id", one[:3], code=1)
    assert "none an id that begins so" in refused(lab, capsys, "events", "--id", "zzzz", code=1)


def test_parked_events_by_the_beginnings_of_their_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three are parked at two sinks: a beginning names an event at both, and one of several events none."""
    sinks = ", ".join(f"{{name: {name}, kind: file, path: {name}.jsonl, start: all}}" for name in ("soc", "lake"))
    tenant = f"{{name: lab, tenant_id: {TENANT}, source: files, path: in}}"
    config = tmp_path / "c.yaml"
    config.write_text(f"state: {{path: s.db}}\ntenants: [{tenant}]\nsinks: [{sinks}]\n")
    parked = [evolve(event(n), id=begin + event(n).id[4:]) for n, begin in enumerate(("aaaa", "bbbb", "bbbb"))]

    async def park() -> None:
        async with await open_store(tmp_path / "s.db", clock=SystemClock()) as store:
            await store.attach([Start("soc"), Start("lake")])
            await add(store, parked)
            for sink in ("soc", "lake"):
                due = await store.due(sink, 10)
                await store.settle(sink, Settlement(T1, T0, parked={each.seq: "refused" for each in due}))

    asyncio.run(park())

    def run(*words: str) -> int:
        return main(["parked", *words, "-c", str(config)])

    assert run("show", "AAAA") == 0
    assert {row["sink"] for row in json.loads(capsys.readouterr().out)} == {"soc", "lake"}
    assert run("show", "--sink", "soc", "aaaa", parked[1].id) == 0
    assert [row["event"]["id"] for row in json.loads(capsys.readouterr().out)] == [parked[0].id, parked[1].id]
    assert run("discard", "--yes", "bbbb") == 2
    said = capsys.readouterr().err
    assert parked[1].id in said
    assert parked[2].id in said
    assert run("retry", "aaa") == 2
    assert "not parked: aaa" in capsys.readouterr().err
    assert run("retry", "cccc", "aaaa") == 2
    assert run("discard", "--yes", "aaaa") == 0
    assert run("list") == 0
    left = capsys.readouterr().out
    assert parked[0].id not in left
    assert left.count("bbbb") == 4


def test_the_table_shows_ids_on_request(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    one = documents(lab, capsys)[-1]["id"]
    config = ["-c", str(lab / "c.yaml")]
    assert main(["events", "--ids", *config]) == 0
    assert one in capsys.readouterr().out
    assert main(["events", *config]) == 0
    assert one not in capsys.readouterr().out


def test_controls_are_shown_in_any_case_and_listed_with_their_titles(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["-c", str(lab / "c.yaml")]
    assert main(["controls", "show", "adminmfav2", *config]) == 0
    assert capsys.readouterr().out.startswith("AdminMFAV2: Require MFA")
    assert "did you mean OneAdmin?" in refused(lab, capsys, "controls", "show", "ONEADMINS", code=1)
    assert main(["controls", "list", *config]) == 0
    assert "administrators" in capsys.readouterr().out
    assert main(["next", "--what-if", "ADMINMFAV2", *config]) == 0
    assert "AdminMFAV2" in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "shown"), [("160", True), ("100", False)])
def test_an_explanation_has_titles_where_there_is_room(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str, shown: bool
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["explain", "-c", str(lab / "c.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ("AdminMFAV2: Require MFA for administrators" in "\n".join(lines)) == shown
    assert any(line.startswith("  AdminMFAV2") for line in lines)
    assert all(cell_len(line) <= int(columns) for line in lines)
