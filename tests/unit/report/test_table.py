"""Tables for spreadsheets: one table a file, marked as UTF-8, exact, and nothing in them is computed."""

import csv
import io
from functools import cache
from typing import Any

import pytest
from attrs import evolve

from connector.observe import diff
from connector.report import build, table
from connector.report.table import TABLES, Form
from connector.report.values import EvidenceFile, TenantReport
from tests.fakes.posture import hostile, simulated, whole
from tests.unit.report.test_forms import written


@cache
def report(*, harmed: bool = False) -> TenantReport:
    """With something for every table and nearly every column to hold."""
    made = hostile(simulated(7)) if harmed else simulated(7)
    found = build.build(made, whole(made))
    files = (EvidenceFile(found.days[-1].day, "secureScores-1.json.gz", "ab" * 32, "verified"),)
    return evolve(found, evidence=files)


def rows(name: str, *reports: TenantReport) -> list[dict[str, str]]:
    text = written(Form(name), list(reports))
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@pytest.mark.parametrize("name", TABLES)
def test_a_file_is_one_table_that_a_spreadsheet_reads(name: str) -> None:
    text = written(Form(name), [report(harmed=True), report()])
    assert text.startswith("\ufeff"), "without the mark Excel takes the letters of a code page"
    assert text.endswith("\r\n")
    lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
    assert lines[0] == list(Form(name).columns)
    assert len(set(lines[0])) == len(lines[0])
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "\n" not in text.replace("\r\n", "")


def test_every_control_stands_in_the_table_with_its_points() -> None:
    found = rows("controls", report())
    assert [row["control"] for row in found] == [one.control for one in report().scored]
    assert sum(diff.fixed(float(row["score"])) for row in found) == diff.fixed(report().summary.score or 0.0)
    to_win = sum(diff.fixed(float(row["points"])) for row in found)
    assert diff.points(to_win) == report().advice.to_win
    assert {row["day"] for row in found} == {report().summary.newest_day}
    asserted = sum(diff.fixed(float(row["asserted_points"])) for row in found)
    assert diff.points(asserted) == report().summary.asserted


def test_the_rows_of_changes_add_up_to_the_change() -> None:
    assert report().bridge is not None
    total = sum(diff.fixed(float(row["delta"])) for row in rows("changes", report()))
    assert diff.points(total) == report().bridge.delta  # type: ignore[union-attr]


@pytest.mark.parametrize("name", TABLES)
def test_no_cell_begins_like_a_formula(name: str) -> None:
    for row in rows(name, report(harmed=True)):
        for cell in row.values():
            if cell[:1] in tuple("=+-@\t\r\n＝＋－＠"):
                float(cell)  # a number of ours, or this raises


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "\x00=1"])
def test_what_a_spreadsheet_would_compute_becomes_text(text: str) -> None:
    held = report().exceptions
    assert held
    named = evolve(report(), exceptions=(evolve(held[0], comment=text),))
    (row,) = rows("exceptions", named)
    assert row["comment"].startswith("'")


MAY_BE_EMPTY = {
    "tenants": {"labels", "issues", "error"},
    "controls": {"at", "assigned_to"},
    "days": {"flags"},
    "exceptions": {"review_on", "due", "assigned_to"},
    "evidence": set[str](),
}


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"regrouped", "state_changes"}))
def test_every_column_holds_something(name: str) -> None:
    """A column whose name no field has would be empty for ever."""
    found = rows(name, report())
    assert found
    empty = {column for column in Form(name).columns if not any(row[column] for row in found)}
    assert empty <= MAY_BE_EMPTY.get(name, set())


def test_every_column_is_a_field_or_made() -> None:
    made: dict[str, Any] = {"regrouped": report().regrouped, "state_changes": report().state_changes}
    for name in made:
        assert rows(name, report()) is not None
        value = {"regrouped": "Regrouped", "state_changes": "StateChange"}[name]
        fields = getattr(__import__("connector.report.values", fromlist=[value]), value).__attrs_attrs__
        assert set(TABLES[name].columns) <= {field.name for field in fields}


def test_tenants_without_data_stand_in_their_table() -> None:
    silent = evolve(report().summary, name="quiet", percent=None, error="nothing is known yet")
    text = written(Form("tenants"), [report()], silent)
    found = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    assert [(row["tenant"], row["error"]) for row in found] == [
        (report().summary.name, ""),
        ("quiet", "nothing is known yet"),
    ]
    assert table.Form().name == "controls"
