"""`securescore report` over a real store: periods, tenants, forms, files, and what it says when there is nothing."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from connector.cli import report as command
from connector.cli.main import main
from connector.clock import SystemClock
from connector.observe import memory
from connector.ports import State
from connector.report import build
from connector.report.table import OF_ONE_DAY, Form
from connector.report.values import Material
from connector.stores.sqlite import open_store
from tests.fakes.pictures import png
from tests.fakes.posture import simulated, whole

EMPTY = "99999999-9999-9999-9999-999999999999"


async def keep(path: Path, made: list[Material]) -> None:
    store = await open_store(path, clock=SystemClock(), writer=True)
    for one in made:
        head = {"newest": one.memory.newest.day.day if one.memory.newest else None, "tenant": one.name}
        state = memory.encode(None, memory.Memory(), one.memory, head)
        await store.commit(one.tenant_id, State(0, state.parts), one.events)
    await store.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with two known tenants and one that was never polled."""
    folder = tmp_path_factory.mktemp("home")
    made = [simulated(7), simulated(8)]
    asyncio.run(keep(folder / "state.db", made))
    for name, tenants in {
        "one": [("alpha", made[0].tenant_id)],
        "all": [("alpha", made[0].tenant_id), ("beta", made[1].tenant_id), ("gamma", EMPTY)],
        "none": [("gamma", EMPTY)],
    }.items():
        lines = [f"  - {{name: {n}, tenant_id: {i}, source: files, path: .}}" for n, i in tenants]
        text = "state: {path: state.db}\ntenants:\n" + "\n".join(lines)
        sinks = "\nsinks: [{name: out, kind: file, path: out.jsonl}]\n"
        (folder / f"{name}.yaml").write_text(text + sinks)
    return folder


def test_one_tenant_as_html_in_a_file_of_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home / "r.html"
    out.write_text("an older report")
    assert main(["report", "-c", str(home / "one.yaml"), "--out", str(out)]) == 0
    assert out.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert out.stat().st_mode & 0o777 == 0o600
    days = list(simulated(7).memory.versions())
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"{days[0]} to {days[-1]}: ")
    assert not list(home.glob(".*.new"))


def test_the_period_is_the_one_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    span = ["--from", "2026-06-20", "--to", "2026-06-30"]
    assert main(["report", "-c", str(home / "one.yaml"), *span, "--format", "json", "--out", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    (tenant,) = data["tenants"]
    assert data["period"] == {"start": "2026-06-20", "end": "2026-06-30", "days": 11}
    assert "2026-06-20" <= tenant["days"][0]["day"] <= tenant["days"][-1]["day"] <= "2026-06-30"
    assert tenant["quality"]["days_in_period"] == 11


def test_all_tenants_and_the_one_without_data_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["report", "-c", str(home / "all.yaml"), "--all-tenants", "--format", "csv", "--out", "-", "--table"]
    assert main([*arguments, "tenants"]) == 3
    said = capsys.readouterr()
    compared = [r["tenant"] for r in table_of(said.out)]
    assert set(compared[:2]) == {"alpha", "beta"}, "weakest first"
    assert compared[2:] == ["gamma"], "what is not known is not the worst"
    assert "error: gamma: nothing is known yet" in said.err
    assert main([*arguments, "days"]) == 3
    assert {r["tenant"] for r in table_of(capsys.readouterr().out)} == {"alpha", "beta"}


def table_of(text: str) -> list[dict[str, str]]:
    assert text[0] == "\ufeff"
    return list(csv.DictReader(io.StringIO(text[1:])))


def test_every_control_of_every_tenant_is_the_table_where_none_is_named(home: Path, tmp_path: Path) -> None:
    """However many tenants there are: a table is for filtering."""
    config = (home / "all.yaml").read_text()
    more = "".join(
        f"  - {{name: t{n}, tenant_id: 10000000-0000-0000-0000-{n:012}, source: files, path: .}}\n"
        for n in range(command.MAX_DETAILED)
    )
    (home / "many.yaml").write_text(config.replace("sinks:", more + "sinks:"))
    out = tmp_path / "controls.csv"
    assert main(["report", "-c", str(home / "many.yaml"), "--all-tenants", "--out", str(out)]) == 3
    rows = table_of(out.read_bytes().decode("utf-8"))
    scored = {"alpha": simulated(7), "beta": simulated(8)}
    for name, made in scored.items():
        assert made.memory.newest is not None
        assert [r["control"] for r in rows if r["tenant"] == name] == sorted(made.memory.newest.day.controls)


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("r.html", "<!DOCTYPE html>"),
        ("R.HTM", "<!DOCTYPE html>"),
        ("r", "<!DOCTYPE html>"),
        ("r.json", '{"schema": "urn:secure-score:report:1"'),
        ("r.csv", "\ufefftenant,tenant_id,day,control"),
        ("r.oscal.json", '{\n "assessment-results"'),
        ("r.oscal", '{\n "assessment-results"'),
        ("r.hdf.json", '{"platform"'),
    ],
)
def test_the_name_of_the_file_says_the_format(home: Path, tmp_path: Path, name: str, begins: str) -> None:
    assert main(["report", "-c", str(home / "one.yaml"), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_text("utf-8").startswith(begins)


def test_json_may_be_a_dialect_of_it(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    assert main(["report", "-c", str(home / "one.yaml"), "--format", "oscal", "--out", str(out)]) == 0
    assert "assessment-results" in json.loads(out.read_text())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "r.csv", "--format", "html"], "--format html contradicts --out"),
        (["--out", "r.hdf.json", "--format", "oscal"], "contradicts"),
        (["--out", "r.hdf.json", "--format", "json"], "contradicts"),
        (["--out", "r.pdf"], "print it to PDF from any browser"),
        (["--out", "r.xlsx"], "no format ends in .xlsx"),
        (["--out", "r.json", "--table", "days"], "--table is of --format csv"),
        (["--out", "r.csv", "--table", "nonsense"], "invalid choice"),
    ],
)
def test_what_contradicts_itself_is_refused(
    home: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "-c", str(home / "one.yaml"), *words]) == 2
    assert says in capsys.readouterr().err


def branded(home: Path, name: str, head: str) -> Path:
    config = home / f"{name}.yaml"
    config.write_text((home / "all.yaml").read_text() + f"report: {head}\n")
    return config


def test_the_head_carries_what_the_configuration_says(home: Path, tmp_path: Path) -> None:
    (home / "logo.png").write_bytes(png(40, 20))
    head = "{logo: logo.png, author: Fabrikam, customer: Contoso & Co, classification: Confidential}"
    config = branded(home, "branded", head)
    for words in (["--all-tenants"], ["--tenant", "alpha"]):
        out = tmp_path / "r.html"
        assert main(["report", "-c", str(config), *words, "--out", str(out)]) in (0, 3)
        text = out.read_text("utf-8")
        assert 'src="data:image/png;base64,' in text
        assert 'width="40" height="20"' in text
        for shown in ("Posture report: Contoso &amp; Co", "Prepared by Fabrikam.", ">Confidential<"):
            assert shown in text
    out = tmp_path / "r.json"
    assert main(["report", "-c", str(config), "--tenant", "alpha", "--out", str(out)]) == 0
    brand = {"customer": "Contoso & Co", "author": "Fabrikam", "classification": "Confidential"}
    assert json.loads(out.read_text())["brand"] == brand


@pytest.mark.parametrize(
    ("content", "says"), [(b"<svg onload='alert(1)'/>", "is no PNG"), (None, "cannot read"), (b"x" * 300_000, "256 kB")]
)
def test_what_is_no_logo_is_refused_before_anything_is_written(
    home: Path, tmp_path: Path, content: bytes | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "logo.png"
    if content is not None:
        picture.write_bytes(content)
    config = branded(home, "unbranded", f"{{logo: {picture}}}")
    out = tmp_path / "r.html"
    assert main(["report", "-c", str(config), "--all-tenants", "--out", str(out)]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_many_tenants_have_a_matrix_and_one_has_none(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    assert main(["report", "-c", str(home / "all.yaml"), "--all-tenants", "--out", str(out)]) == 3
    matrix = json.loads(out.read_text())["matrix"]
    assert sorted(matrix["tenants"]) == ["alpha", "beta"]
    assert all(len(row["standings"]) == 2 for row in matrix["rows"])
    assert main(["report", "-c", str(home / "one.yaml"), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["matrix"] is None


def test_it_speaks_the_language_that_is_asked_for(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    assert main(["report", "-c", str(home / "one.yaml"), "--language", "en-GB", "--out", str(out)]) == 0
    assert '<html lang="en-GB">' in out.read_text("utf-8")


@pytest.mark.parametrize(("form", "suffix"), [("oscal", ".oscal.json"), ("html", ".html"), ("csv", ".csv")])
def test_a_folder_gets_one_file_a_tenant(home: Path, tmp_path: Path, form: str, suffix: str) -> None:
    folder = f"{tmp_path}/new/reports/"
    arguments = ["report", "-c", str(home / "all.yaml"), "--all-tenants", "--format", form, "--out", folder]
    assert main(arguments) == 3, "gamma has no data"
    made = sorted(Path(folder).iterdir())
    assert [one.name for one in made] == [f"alpha{suffix}", f"beta{suffix}"]
    assert all("beta" not in one.read_text("utf-8") for one in made[:1]), "a customer's file is of that customer alone"
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert made[0].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["oscal", "hdf"])
def test_a_document_of_one_tenant_is_not_of_many(home: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(home / f"r.{form}.json")
    assert main(["report", "-c", str(home / "all.yaml"), "--all-tenants", "--out", out]) == 2
    assert "--out DIR/" in capsys.readouterr().err
    assert main(["report", "-c", str(home / "all.yaml"), "--tenant", "alpha", "--out", out]) == 0
    assert main(["report", "-c", str(home / "all.yaml"), "--tenant", "al*", "--out", out]) == 0


def test_of_very_many_tenants_only_the_named_follow_in_full(home: Path, tmp_path: Path) -> None:
    config = (home / "all.yaml").read_text()
    more = "".join(
        f"  - {{name: t{n}, tenant_id: 10000000-0000-0000-0000-{n:012}, source: files, path: .}}\n"
        for n in range(command.MAX_DETAILED)
    )
    (home / "many.yaml").write_text(config.replace("sinks:", more + "sinks:"))
    out = tmp_path / "r.json"
    arguments = ["report", "-c", str(home / "many.yaml"), "--all-tenants", "--tenant", "beta", "--format", "json"]
    assert main([*arguments, "--out", str(out)]) == 3
    data = json.loads(out.read_text())
    assert len(data["summaries"]) == command.MAX_DETAILED + 3
    assert [t["summary"]["name"] for t in data["tenants"]] == data["detailed"] == ["beta"]


@pytest.mark.parametrize(
    ("config", "arguments", "code", "words"),
    [
        ("none", [], 1, ["gamma: nothing is known yet", "next: run `securescore once`"]),
        ("one", ["--from", "2020-01-01", "--to", "2020-02-01"], 1, ["known: 2026-06-", "next:"]),
        ("one", ["--from", "2026-13-01"], 2, ["--from '2026-13-01' names no time", "next:"]),
        ("one", ["--from", "2026-06-20", "--to", "2026-06-10"], 2, ["is after 2026-06-10", "next:"]),
        ("one", ["--tenant", "delta"], 2, ["no tenant is selected by 'delta'", "next:"]),
        ("all", [], 2, ["3 tenants are configured", "--all-tenants"]),
    ],
)
def test_what_cannot_be_reported_says_what_to_do(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: str,
    arguments: list[str],
    code: int,
    words: list[str],
) -> None:
    out = tmp_path / "r.html"
    assert main(["report", "-c", str(home / f"{config}.yaml"), *arguments, "--out", str(out)]) == code
    said = capsys.readouterr().err
    assert [w for w in words if w not in said] == []
    assert not out.exists()


def test_a_place_that_cannot_be_written_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "-c", str(home / "one.yaml"), "--out", str(home / "no" / "where.html")]) == 1
    said = capsys.readouterr().err
    assert "cannot write" in said
    assert "next: name another file" in said


def test_next_the_report_explain_and_controls_tell_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One question, one answer: score, percent, asserted points, points to win, states."""

    def told(*words: str) -> Any:
        capsys.readouterr()
        assert main([*words, "-c", str(home / "one.yaml")]) == 0
        return json.loads(capsys.readouterr().out)

    (unit,) = told("next", "--json")["tenants"]
    (report,) = told("report", "--format", "json", "--out", "-")["tenants"]
    after = told("explain", "--json")["after"]
    listed = {row["control"]: row for row in told("controls", "list", "--json")}
    score, summary = unit["score"], report["summary"]
    assert score["current"] == summary["score"] == after["current"]
    assert score["max"] == summary["max_score"] == after["max"]
    assert score["percent"] == summary["percent"]
    assert round(score["percent"], 2) == round(after["percent"], 2)
    assert (score["measured"], score["asserted"]) == (summary["measured"], summary["asserted"])
    assert {k: v for k, v in unit.items() if k in ("day", "score", "to_win", "not_scored", "targets", "what_if")} == {
        k: v for k, v in report["advice"].items() if k != "actions"
    }
    assert [{k: v for k, v in a.items() if k != "place"} for a in unit["actions"]] == report["advice"]["actions"]
    for one in report["scored"]:
        row = listed[one["control"]]
        assert (one["state"], one["max_score"]) == (row["state"], row["max_score"])
        assert one["score"] == pytest.approx(row["score"])
    held = {row["control"]: row["state"] for row in listed.values() if row["state"] not in ("Default", "unknown")}
    assert {one["control"]: one["state"] for one in report["exceptions"]} == held


@pytest.mark.parametrize("name", OF_ONE_DAY)
def test_a_table_of_the_last_day_alone_is_the_same_as_that_of_the_whole_period(
    name: str,
) -> None:
    """Some tables need no other day; that they are made faster must not show."""
    made = simulated(7)
    last = list(made.memory.versions())[-1]
    whole_table, short = (
        Form(name).tenant(build.build(made, span), 0) for span in (whole(made), build.period(last, last))
    )
    assert whole_table == short
