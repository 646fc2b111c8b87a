"""A day is told again whenever it is revised: what the dashboards show is what the engine knows, never a mix."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from connector.config.values import ChangesConfig
from connector.model import Control, Day, Event, Profile, Snapshot, Version
from connector.observe import totals
from connector.observe.events import Origin, stamp
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.observe.severity import SeverityRules
from tests.artefacts.spl import Row, World, number
from tests.artefacts.splunk_knowledge import query, world

TENANT = "11111111-1111-1111-1111-111111111111"
NOW = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)
CATALOGUE = {n: Profile(n, n, service="EXO", tier="Core", max_score=10.0) for n in ("a", "b", "gone", "came", "early")}
READS = (
    ("2026-11-22T09:00:00Z", {"2026-11-22": {"a": 10.0, "b": 5.0, "gone": 8.0, "early": 3.0}}),
    ("2026-11-22T15:00:00Z", {"2026-11-22": {"a": 9.0, "b": 5.0, "gone": 8.0}}),
    ("2026-11-23T09:00:00Z", {"2026-11-23": {"a": 10.0, "b": 6.0, "gone": 8.0}}),
    ("2026-11-23T15:00:00Z", {"2026-11-23": {"a": 4.0, "b": 6.0, "gone": 8.0}}),
    ("2026-11-23T20:00:00Z", {"2026-11-23": {"a": 4.0, "b": 6.0}}),
    ("2026-11-24T09:00:00Z", {"2026-11-23": {"a": 4.0, "b": 6.0}, "2026-11-24": {"a": 10.0, "b": 6.0}}),
    ("2026-11-24T20:00:00Z", {"2026-11-24": {"a": 10.0, "b": 7.5, "came": 1.0}}),
)
"""Three days, each revised; controls that went while their day was open, and one that came."""

OTHER = "22222222-2222-2222-2222-222222222222"
EXO, MDO = (Profile("", "", service=name, tier="Core", max_score=10.0) for name in ("EXO", "MDO"))
Placed = dict[str, tuple[str, float]]
"""Controls of a day: category and points."""
REGROUPED: dict[str, tuple[tuple[str, dict[str, Placed], dict[str, Profile]], ...]] = {
    TENANT: (
        (
            "2026-11-22T09:00:00Z",
            {"2026-11-22": {"a": ("Apps", 10.0), "b": ("Apps", 5.0), "c": ("Identity", 3.0)}},
            {"a": EXO, "b": EXO, "c": MDO},
        ),
        (
            "2026-11-22T15:00:00Z",
            {"2026-11-22": {"a": ("Apps", 9.0), "b": ("Data", 5.0), "c": ("Identity", 3.0)}},
            {"a": EXO, "b": EXO, "c": MDO},
        ),
        (
            "2026-11-22T20:00:00Z",
            {"2026-11-22": {"a": ("Apps", 9.0), "b": ("Data", 5.0), "c": ("Identity", 3.0)}},
            {"a": MDO, "b": EXO, "c": MDO},
        ),
        (
            "2026-11-23T09:00:00Z",
            {"2026-11-23": {"a": ("Identity", 6.0), "b": ("Data", 5.0), "c": ("Identity", 3.0)}},
            {"a": MDO, "b": EXO, "c": MDO},
        ),
        (
            "2026-11-24T09:00:00Z",
            {"2026-11-24": {"a": ("Identity", 6.0), "b": ("Data", 5.0), "c": ("Data", 3.0)}},
            {"a": MDO, "b": EXO, "c": MDO},
        ),
        (
            "2026-11-24T15:00:00Z",
            {"2026-11-24": {"a": ("Identity", 6.0), "b": ("Data", 7.0), "c": ("Data", 3.0)}},
            {"a": MDO, "b": EXO, "c": MDO},
        ),
        (
            "2026-11-24T20:00:00Z",
            {"2026-11-24": {"a": ("Identity", 6.0), "b": ("Data", 7.0), "c": ("Data", 3.0)}},
            {"a": MDO, "b": MDO, "c": MDO},
        ),
    ),
    OTHER: (
        (
            "2026-11-23T10:00:00Z",
            {
                "2026-11-22": {"a": ("Identity", 3.0), "b": ("Apps", 2.0)},
                "2026-11-23": {"a": ("Apps", 4.0), "b": ("Apps", 2.0)},
            },
            {"a": EXO, "b": EXO},
        ),
        ("2026-11-24T10:00:00Z", {"2026-11-24": {"a": ("Data", 4.0), "b": ("Apps", 3.0)}}, {"a": EXO, "b": EXO}),
    ),
}
"""Controls change their category and service: within the first day, while no day is new, with points and without, and
after the last day was told; beside them points move. Of the second tenant two days are read at once."""


@frozen
class Told:
    memory: Memory
    where: World


def day(date: str, scores: dict[str, float]) -> Day:
    controls = {n: Control(n, "Apps", s, s * 10, count=int(s), total=10) for n, s in scores.items()}
    total = sum(scores.values())
    return Day(f"{TENANT}_{date}", date, total, 10.0 * len(scores), controls, detailed=True)


@pytest.fixture(scope="module")
def told(lookups: Path) -> Told:
    """What lies in the index when all was sent, the revisions of a day in the wrong order among them."""
    memory, events = Memory(), list[Event]()
    rules = Rules(TENANT, ChangesConfig(suspicious_loss=1.0))
    for at, days in READS:
        snapshot = Snapshot("graph", tuple(day(date, scores) for date, scores in days.items()), CATALOGUE)
        seen = observe(memory, snapshot, rules, at)
        memory = seen.memory
        events += [stamp(change, Origin(TENANT, "contoso"), at, SeverityRules(())) for change in seen.changes]
    return Told(memory, world(events[::-1], lookups, NOW, indexed=NOW))


def run(told: Told, dashboard: str, source: str, **tokens: str) -> list[Row]:
    given = {"tenant": "*", "unit": "Microsoft 365", "category": "*", "state": "*", **tokens}
    return evolve(told.where, unknown=set()).run(query(dashboard, source), given)


def known(told: Told) -> list[Version]:
    return list(told.memory.versions().values())


def percent(version: Version) -> float:
    return round(version.day.percent or 0.0, 2)


@pytest.mark.parametrize("dashboard", ["securescore_overview", "securescore_posture"])
def test_the_headline_and_its_course_are_what_is_known(told: Told, dashboard: str) -> None:
    rows = run(told, dashboard, "ds_percent")
    assert [row["Percent"] for row in rows] == [percent(v) for v in known(told)]


@pytest.mark.parametrize(
    ("source", "column"), [("ds_percent", "Percent"), ("ds_categories", "Apps"), ("ds_sums", "Points")]
)
def test_each_course_has_one_value_a_day(told: Told, source: str, column: str) -> None:
    wanted = [v.day.score if column == "Points" else percent(v) for v in known(told)]
    assert [number(row[column]) for row in run(told, "securescore_posture", source)] == wanted


def test_counts_and_services_are_those_of_the_newest_telling(told: Told) -> None:
    newest = known(told)[-1]
    sums: dict[str, Any] = totals.of_day(newest, CATALOGUE)
    rows = run(told, "securescore_posture", "ds_kinds")
    assert {r["Points"]: r["Controls"] for r in rows} == {
        "Full points": sums["controls"]["full"],
        "A part": sums["controls"]["partial"],
    }, "what there is none of is no slice"
    (row,) = run(told, "securescore_posture", "ds_services")
    assert (row["Service"], row["Percent"]) == ("EXO", sums["by_service"]["EXO"]["percent"])


def test_tenants_are_compared_as_they_are_now(told: Told) -> None:
    first, *_, newest = known(told)
    (row,) = run(told, "securescore_tenants", "ds_table")
    assert number(row["Percent"]) == percent(newest)
    assert row["Points"] == newest.day.score
    assert row["Change"] == round(percent(newest) - percent(first), 2)
    assert row["Newest day"] == newest.day.day
    (row,) = run(told, "securescore_health", "ds_age")
    assert (row["Newest day"], row["Last moved"]) == ("2026-11-24", "2026-11-24 20:00")


def test_a_control_that_is_gone_is_in_no_table_of_what_is(told: Told) -> None:
    """The newest day with an inventory is the one that closed last: of it the controls when it closed."""
    closed = known(told)[-2].day
    rows = run(told, "securescore_controls", "ds_inventory")
    assert {row["_control"]: row["Points"] for row in rows} == {n: c.score for n, c in closed.controls.items()}
    assert {row["As of"] for row in rows} == {closed.day}
    (row,) = run(told, "securescore_controls", "ds_missing")
    assert row["Missing"] == sum(10.0 - (c.score or 0.0) for c in closed.controls.values())
    (row,) = run(told, "securescore_controls", "ds_states_count")
    assert number(row["Controls"]) == len(closed.controls)


def test_the_history_of_a_control_has_one_value_a_day(told: Told) -> None:
    rows = run(told, "securescore_controls", "ds_history", control="a")
    assert [number(row["contoso"]) for row in rows] == [90.0, 40.0]
    assert run(told, "securescore_controls", "ds_history", control="gone")[-1]["_time"] < rows[-1]["_time"]
    assert run(told, "securescore_controls", "ds_history", control="early") == [], "it had gone when its day closed"


@pytest.fixture(scope="module")
def regrouped(lookups: Path) -> World:
    events = list[Event]()
    for tenant, reads in REGROUPED.items():
        memory, name = Memory(), "contoso" if tenant == TENANT else "fabrikam"
        for at, days, catalogue in reads:
            found = tuple(placed_day(tenant, date, placed) for date, placed in days.items())
            profiles = {control: evolve(profile, id=control) for control, profile in catalogue.items()}
            seen = observe(memory, Snapshot("graph", found, profiles), Rules(tenant, ChangesConfig()), at)
            memory = seen.memory
            events += [stamp(change, Origin(tenant, name), at, SeverityRules(())) for change in seen.changes]
    return world(events[::-1], lookups, NOW, indexed=NOW)


def placed_day(tenant: str, date: str, placed: Placed) -> Day:
    controls = {n: Control(n, category, s, s * 10) for n, (category, s) in placed.items()}
    total = sum(s for _, s in placed.values())
    return Day(f"{tenant}_{date}", date, total, 10.0 * len(controls), controls, detailed=True)


def by_group(where: World, tenant: str) -> dict[tuple[str, str], tuple[float, ...]]:
    """(before, after, moved, regrouped) of each group, as the panel has it."""
    groups = query("securescore_posture", "ds_groups")
    found = dict[tuple[str, str], tuple[float, ...]]()
    for row in where.run(groups, {"tenant": tenant}):
        assert row["Change"] == pytest.approx(row["After"] - row["Before"])
        assert row["Change"] == pytest.approx(row["Moved"] + row["Regrouped"])
        found[row["Kind"], row["Group"]] = (row["Before"], row["After"], row["Moved"], row["Regrouped"])
    return found


CONTOSO = {
    ("category", "Apps"): (9.0, 0.0, 0.0, -9.0),
    ("category", "Data"): (5.0, 10.0, 2.0, 3.0),
    ("category", "Identity"): (3.0, 6.0, -3.0, 6.0),
    ("service", "EXO"): (14.0, 7.0, 2.0, -9.0),
    ("service", "MDO"): (3.0, 9.0, -3.0, 9.0),
    ("tier", "Core"): (17.0, 16.0, -1.0, 0.0),
}
FABRIKAM = {
    ("category", "Apps"): (2.0, 3.0, 2.0, -1.0),
    ("category", "Data"): (0.0, 4.0, 0.0, 4.0),
    ("category", "Identity"): (3.0, 0.0, 0.0, -3.0),
    ("service", "EXO"): (5.0, 7.0, 2.0, 0.0),
    ("tier", "Core"): (5.0, 7.0, 2.0, 0.0),
}


def test_what_moved_and_what_was_regrouped_are_the_change_of_every_group(regrouped: World) -> None:
    """What changed its group within the first day, or after the last one was told, lies in neither sum."""
    assert by_group(regrouped, "contoso") == CONTOSO
    assert by_group(regrouped, "fabrikam") == FABRIKAM


def test_the_groups_of_all_tenants_are_their_sums(regrouped: World) -> None:
    none = (0.0,) * 4
    wanted = {
        group: tuple(a + b for a, b in zip(CONTOSO.get(group, none), FABRIKAM.get(group, none), strict=True))
        for group in {*CONTOSO, *FABRIKAM}
    }
    assert by_group(regrouped, "*") == wanted


def test_the_percentage_of_a_category_is_that_of_all_points_of_the_tenants(regrouped: World) -> None:
    newest = regrouped.run(query("securescore_posture", "ds_categories"), {"tenant": "*"})[-1]
    assert {name: value for name, value in newest.items() if name != "_time"} == {
        "Apps": 30.0,
        "Data": pytest.approx(100 * (7 + 3 + 4) / 30, abs=0.005),
        "Identity": 60.0,
    }
