"""`next` says the same in words, as JSON and as a table; what it does not know, it says."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.advice.listing import COLUMNS, Advised
from connector.advice.values import Advice, Standing
from connector.cli import next as next_
from connector.cli.main import main
from connector.language.choice import language
from tests.fake_graph import TENANT, day_document, profile_document

OTHER = "22222222-2222-2222-2222-222222222222"
SCHEMA = json.loads((resources.files("connector.advice") / "next.schema.json").read_text("utf-8"))
STATES = [
    {"state": "Ignored", "updatedBy": "=cmd|' /C calc'!A0", "updatedDateTime": "2026-10-01T00:00:00Z", "comment": "ü"}
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tenants with data and one without; A is a quick win, B a project, C declared."""
    home = tmp_path_factory.mktemp("next")
    cost = {"A": ("Low", "Low"), "B": ("Medium", "High"), "C": ("Low", "Low"), "D": ("Unknown", None)}
    for folder, tenant, scores in (("one", TENANT, [(5, 2), (5, 5)]), ("two", OTHER, [(9, 9)])):
        (home / folder).mkdir()
        days = [
            day_document(
                f"2026-11-{20 + n}",
                {"A": a, "B": b, "C": 0.0} | ({"D": 10.0} if folder == "one" else {}),
                detailed=True,
                azureTenantId=tenant,
                id=f"{tenant}_2026-11-{20 + n}",
            )
            for n, (a, b) in enumerate(scores)
        ]
        profiles = [
            profile_document(
                name,
                azureTenantId=tenant,
                implementationCost=cost[name][0],
                userImpact=cost[name][1],
                controlStateUpdates=STATES if name == "C" else [],
            )
            for name in "ABCD"
        ]
        (home / folder / "secureScores.json").write_text(json.dumps({"value": days[::-1]}))
        (home / folder / "secureScoreControlProfiles.json").write_text(json.dumps({"value": profiles}))
    (home / "none").mkdir()
    tenants = [
        {"name": "one", "tenant_id": TENANT, "source": "files", "path": "one", "labels": {"tier": "gold"}},
        {"name": "two", "tenant_id": OTHER, "source": "files", "path": "two"},
        {"name": "none", "tenant_id": "33333333-3333-3333-3333-333333333333", "source": "files", "path": "none"},
    ]
    (home / "c.yaml").write_text(
        json.dumps(
            {
                "state": {"path": "s.db"},
                "targets": {"percent_min": 60},
                "tenants": tenants,
                "sinks": [{"name": "out", "kind": "file", "path": "out.jsonl"}],
            }
        )
    )
    assert main(["once", "-c", str(home / "c.yaml")]) == 3
    return str(home / "c.yaml")


def said(config: str, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["next", "-c", config, *words]) == code
    return capsys.readouterr().out


def test_the_document_is_as_its_schema_says(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    for words in (["--json"], ["--json", "--limit", "1"], ["--json", "--what-if", "a", "--what-if", "D"]):
        found = json.loads(said(config, capsys, *words, code=3))
        assert list(validator.iter_errors(found)) == []
    assert found["without_data"] == ["none"]
    one, two = found["tenants"]
    assert [(a["place"], a["control"], a["group"], a["points"]) for a in one["actions"]] == [
        (1, "A", "quick_win", 5.0),
        (3, "B", "project", 5.0),
        (5, "C", "asserted", 10.0),
    ]
    assert [(a["place"], a["control"]) for a in two["actions"]] == [(2, "A"), (4, "B"), (6, "C")]
    assert (one["actions"][1]["since"], one["actions"][1]["since_exact"]) == ("2026-11-20", False)
    assert one["what_if"]["score"] == one["score"]["current"] + 5.0
    assert [t["met"] for t in one["what_if"]["targets"]] == [True]


def test_the_best_of_all_tenants(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(config, capsys, "--json", "--limit", "3", code=3))
    assert [[a["control"] for a in unit["actions"]] for unit in found["tenants"]] == [["A", "B"], ["A"]]


@pytest.mark.parametrize("selection", ["one", "ONE", "o*", "tier=gold", TENANT])
def test_a_selection_is_a_name_a_glob_a_label_or_an_id(
    selection: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(said(config, capsys, "--json", "--tenant", selection))
    assert [unit["tenant"] for unit in found["tenants"]] == [{"id": TENANT, "name": "one"}]


def test_the_table_holds_what_the_document_holds(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(config, capsys, "--csv", "--tenant", "one")
    assert text.startswith("\ufeff"), "without it Excel takes the letters of a code page"
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    document = json.loads(said(config, capsys, "--json", "--tenant", "one"))
    assert list(rows[0]) == list(COLUMNS)
    for row, one in zip(rows, document["tenants"][0]["actions"], strict=True):
        told: dict[str, Any] = {
            key: one[key] for key in one if key in row and key not in ("threats", "licences", "since_exact")
        }
        assert {key: row[key] for key in told} == {k: "" if v is None else str(v) for k, v in told.items()}
    assert rows[2]["declared_by"] == "'=cmd|' /C calc'!A0", "a spreadsheet must not compute it"
    assert rows[2]["comment"] == "ü"


def test_words_for_people(config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    text = said(config, capsys, "--tenant", "one", "--what-if", "a")
    assert "one, 21 Nov 2026: 20.0 of 40.0 points (50.00%). 3 open controls, 20.0 points to win." in text
    assert text.index("Quick wins") < text.index("Next, by points") < text.index("Declared")
    assert "at least 20 Nov 2026" in text
    assert "Risk accepted, =cmd|' /C calc'!A0, 1 Oct 2026: ü" in text
    assert "20.0 → 25.0 of 40.0 points (+5.0), 50.00% → 62.50%" in text
    assert "target percent_min: 62.5 against 60.0, met" in text


def test_a_region_has_its_own_days_and_what_programs_read_is_the_same(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "one, Nov 21, 2026: 20.0" in said(config, capsys, "--tenant", "one", "--language", "en-US")
    for form in ("--json", "--csv"):
        plain = said(config, capsys, form, code=3)
        assert said(config, capsys, form, "--language", "en-US", code=3) == plain


def test_texts_of_microsoft_in_another_language_are_called_so(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Microsoft's own" not in said(config, capsys, "--tenant", "one")
    whole = json.loads(Path(config).read_text("utf-8"))
    home = Path(config).parent
    for tenant in whole["tenants"]:
        tenant["path"] = str(home / tenant["path"])
    other = tmp_path / "c.yaml"
    other.write_text(json.dumps({**whole, "poll": {"language": "de-DE"}}))
    assert main(["once", "-c", str(other)]) == 3
    assert "Titles and texts of controls are Microsoft's own, in German." in said(str(other), capsys, "--tenant", "one")


def test_units_are_called_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    advice = Advice("2026-11-22", Standing(None, None, None, None, None), (), None, 0, ())
    tenant, unit = Advised("one", TENANT, advice), Advised("one", TENANT, advice, unit={"id": "s", "name": "prod"})
    next_.show([tenant, tenant], 5, language())
    next_.show([tenant, unit], 5, language())
    told = capsys.readouterr().out
    assert "2 tenants, 0 open controls" in told
    assert "2 tenants and subscriptions, 0 open controls" in told


def test_a_name_that_one_tenant_has_is_told_of_the_others(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = json.loads(said(config, capsys, "--json", "--what-if", "D", code=3))["tenants"]
    assert (one["what_if"]["controls"], one["what_if"]["unknown"]) == (["D"], [])
    assert (two["what_if"]["controls"], two["what_if"]["points"]) == ([], 0.0)
    assert [unknown["name"] for unknown in two["what_if"]["unknown"]] == ["D"]
    text = said(config, capsys, "--what-if", "D", code=3)
    assert "one, if D had all points:" in text
    assert "two, if" not in text, "there is nothing to say of it"


def test_a_name_that_nobody_has_is_refused_with_those_that_come_near(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["next", "-c", config, "--what-if", "AA"]) == 2
    assert capsys.readouterr().err.splitlines() == ["error: no scored control is named 'AA'", "next: did you mean A?"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--tenant", "oen"], 2, "no tenant is selected by 'oen'"),
        (["--tenant", "none"], 1, "nothing is known of none yet"),
        (["--limit", "0"], 2, "1 or more"),
        (["--csv", "--json"], 2, "not allowed with"),
        (["--csv", "--what-if", "A"], 2, "--what-if is no table"),
        (["--language", "klingon"], 2, "no texts in the language 'klingon'"),
    ],
)
def test_what_cannot_be_answered_is_named(
    words: list[str], code: int, error: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["next", "-c", config, *words]) == code
    assert error in capsys.readouterr().err


def test_a_tenant_without_data_is_named(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["next", "-c", config]) == 3
    assert "error: nothing is known yet, or can be read, of none" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["next", "--help"]) == 0
    assert "securescore next --tenant contoso --what-if AdminMFAV2" in capsys.readouterr().out


def damaged(whole: Path, folder: Path, where: str, *values: str) -> tuple[Path, int]:
    """The configuration of a copy of its state in which some parts are damaged, and how many."""
    with closing(sqlite3.connect(whole.parent / "s.db")) as file, closing(sqlite3.connect(folder / "s.db")) as copy:
        file.backup(copy)
        changed = copy.execute(f"UPDATE state SET body = x'00' WHERE {where}", values).rowcount
        copy.commit()
    own = folder / "c.yaml"
    own.write_text(whole.read_text(encoding="utf-8"), encoding="utf-8")
    return own, changed


def test_what_only_the_next_poll_compares_with_is_not_needed_to_show_a_tenant(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, changed = damaged(Path(config), tmp_path, "part = 'past'")
    assert changed >= 2
    for words in (["next", "--json"], ["explain", "--tenant", "one"], ["controls", "list", "--tenant", "one"]):
        codes = []
        for each in (config, str(own)):
            capsys.readouterr()
            codes.append((main([words[0], *words[1:], "-c", each]), capsys.readouterr().out))
        assert codes[0] == codes[1]
        assert codes[0][1]
    report = ["report", "--tenant", "one", "--out", str(tmp_path / "r.json"), "-c", str(own)]
    assert main(report) == 0


def test_what_is_damaged_of_one_tenant_keeps_no_other_from_being_told(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, changed = damaged(Path(config), tmp_path, "tenant = ? AND part = 'newest'", OTHER)
    assert changed == 1
    rows = json.loads(said(str(own), capsys, "--json", code=3))
    assert [each["tenant"]["name"] for each in rows["tenants"]] == ["one"]
    capsys.readouterr()
    out = tmp_path / "r.json"
    for days in (["--from", "2026-11-20"], []):
        assert main(["report", "-c", str(own), "--all-tenants", *days, "--out", str(out)]) == 3
        told = capsys.readouterr()
        assert "two: " in told.err
        assert "damaged" in told.err
        made = json.loads(out.read_text(encoding="utf-8"))
        assert [(one["name"], bool(one["error"])) for one in made["summaries"]] == [
            ("one", False),
            ("none", True),
            ("two", True),
        ]
        assert made["period"]["start"] == "2026-11-20"
    assert main(["controls", "list", "-c", str(own), "--json"]) == 3
    told = capsys.readouterr()
    assert {row["tenant"] for row in json.loads(told.out)} == {"one"}
    assert "nothing is known yet, or can be read, of two, none" in told.err
    assert main(["controls", "list", "-c", str(own), "--tenant", "two"]) == 1
    assert "damaged" in capsys.readouterr().err


def test_events_of_several_tenants_come_in_the_order_in_which_they_were_observed(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(*words: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["events", "-c", config, "--format", "json", *words]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    every = asked("--limit", "0")
    both = asked("--limit", "0", "--tenant", "one", "--tenant", "t*")
    assert {e["data"]["tenant"]["name"] for e in both} == {"one", "two"}
    assert sorted(e["id"] for e in both) == sorted(
        e["id"] for e in every if (e["data"]["tenant"] or {}).get("name") in ("one", "two")
    )
    moments = [e["data"]["observed_at"] for e in both]
    assert moments == sorted(moments)
    assert asked("--limit", "3", "--tenant", "one", "--tenant", "two") == both[-3:]


def test_an_exposure_has_no_controls_to_advise_on(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = json.loads(Path(config).read_text())
    devices = {
        "name": "devices",
        "tenant_id": TENANT,
        "source": "defender_endpoint",
        "auth": {"kind": "managed_identity"},
    }
    both = Path(config).with_name("both.yaml")
    both.write_text(json.dumps({**known, "tenants": [known["tenants"][0], devices]}))
    assert main(["next", "-c", str(both)]) == 0
    assert main(["next", "-c", str(both), "--tenant", "devices"]) == 1
    assert "has no controls" in capsys.readouterr().err
