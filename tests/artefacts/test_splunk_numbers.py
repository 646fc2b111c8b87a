"""Every panel over a hybrid month, beside what the engine knows: revisions, a late day, two tenants, subscriptions."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from connector.model import Version
from connector.observe import baseline, totals
from connector.observe.memory import Memory
from tests.artefacts.spl import Row, World, filled, number, split
from tests.artefacts.splunk_knowledge import dashboards, query, world
from tests.artefacts.splunk_month import AZURE, CONTOSO, FABRIKAM, LAB, LATE, NAMES, NOW, OVER, PROD, SHOP, month
from tests.golden import samples

DASHBOARDS = dashboards()
TARGET = 70


@pytest.fixture(scope="module")
def index(lookups: Path) -> World:
    return world(month().events, lookups, NOW)


CHOSEN = {"tenant": "*", "unit": "Microsoft 365", "category": "*", "state": "*", "control": "", "transition": "*"}


def run(index: World, dashboard: str, source: str, **given: str) -> list[Row]:
    return evolve(index, unknown=set()).run(query(dashboard, source), {**CHOSEN, **given})


def versions(tenant: str) -> dict[str, Version]:
    return dict(month().graph[tenant].versions())


def newest(memory: Memory) -> Version:
    assert memory.newest is not None
    return memory.newest


def together(until: str = "9999", kind: str = "score") -> float:
    """Of each tenant its newest day until then: all points that all have, or could have."""
    found = 0.0
    for tenant in NAMES:
        days = [version.day for day, version in sorted(versions(tenant).items()) if day <= until]
        found += (getattr(days[-1], kind) or 0.0) if days else 0.0
    return found


def date(row: Row) -> str:
    return f"{datetime.fromtimestamp(row['_time'], tz=NOW.tzinfo):%Y-%m-%d}"


@pytest.mark.parametrize("dashboard", ["securescore_overview", "securescore_posture"])
def test_the_course_of_one_tenant_is_the_last_revision_of_each_day(index: World, dashboard: str) -> None:
    rows = run(index, dashboard, "ds_percent", tenant="contoso")
    assert {date(row): row["Percent"] for row in rows} == {
        day: round(version.day.percent or 0.0, 2) for day, version in versions(CONTOSO).items()
    }
    late = sorted(versions(CONTOSO))[LATE]
    assert late in {date(row) for row in rows}
    assert {row["Target"] for row in rows} == {TARGET}


@pytest.mark.parametrize("dashboard", ["securescore_overview", "securescore_posture"])
def test_all_tenants_are_weighted_and_none_is_forgotten_on_a_day_it_has_not_told_yet(
    index: World, dashboard: str
) -> None:
    rows = run(index, dashboard, "ds_percent")
    for row in rows:
        whole = 100 * together(date(row)) / together(date(row), "max_score")
        assert row["Percent"] == pytest.approx(whole, abs=0.006), date(row)
    assert date(rows[-1]) == newest(month().graph[CONTOSO]).day.day > newest(month().graph[FABRIKAM]).day.day


def test_the_overview_says_what_all_have_and_what_is_still_to_win(index: World) -> None:
    (row,) = run(index, "securescore_overview", "ds_gap")
    points, most = together(), together(kind="max_score")
    assert row["Gap"] == pytest.approx(100 * points / most - TARGET, abs=0.006)
    assert row["Open"] == pytest.approx(most - points, abs=0.006)
    sums = [totals.of_day(newest(month().graph[tenant]), month().profiles)["points"]["asserted"] for tenant in NAMES]
    assert row["Share"] == pytest.approx(100 * sum(sums) / points, abs=0.06)


@pytest.mark.parametrize("dashboard", ["securescore_overview", "securescore_tenants"])
def test_tenants_as_they_are_now_and_how_they_moved(index: World, dashboard: str) -> None:
    rows = {row["Tenant"]: row for row in run(index, dashboard, "ds_table")}
    for tenant, name in NAMES.items():
        days = [version.day for _, version in sorted(versions(tenant).items())]
        first, last = (round(day.percent or 0.0, 2) for day in (days[0], days[-1]))
        assert rows[name]["Percent"] == last
        assert rows[name]["Change"] == pytest.approx(last - first, abs=0.006)
        assert rows[name]["To target"] == pytest.approx(last - TARGET, abs=0.006)
        assert rows[name]["As of" if dashboard.endswith("overview") else "Newest day"] == days[-1].day
    percents = [row["Percent"] for row in rows.values()]
    assert percents == sorted(percents), "lowest first"


def test_the_cloud_stands_beside_and_is_never_added(index: World) -> None:
    aggregate = next(memory for unit, memory in month().cloud.items() if unit.kind == "aggregate")
    rows = {row["Tenant"]: row for row in run(index, "securescore_overview", "ds_table")}
    assert rows["contoso"]["Cloud"] == round(newest(aggregate).day.percent or 0.0, 2)
    assert "Cloud" not in rows["fabrikam"]
    (whole,) = run(index, "securescore_tenants", "ds_count")
    assert whole["Percent"] == pytest.approx(100 * together() / together(kind="max_score"), abs=0.006)
    assert (whole["Tenants"], whole["Below"]) == (2, 0)


def test_bars_and_courses_of_tenants(index: World) -> None:
    bars = {row["tenant"]: row["Below"] + row["Reached"] for row in run(index, "securescore_tenants", "ds_bars")}
    moves = {row["tenant"]: row["Up"] + row["Down"] for row in run(index, "securescore_tenants", "ds_moves")}
    trend = run(index, "securescore_tenants", "ds_trend")
    for tenant, name in NAMES.items():
        known = {day: round(version.day.percent or 0.0, 2) for day, version in sorted(versions(tenant).items())}
        first, *_, last = known.values()
        assert bars[name] == last
        assert moves[name] == pytest.approx(last - first, abs=0.006)
        assert {date(row): number(row[name]) for row in trend if name in row} == known


def test_groups_services_and_counts_are_those_of_the_newest_telling(index: World) -> None:
    sums: list[dict[str, Any]] = [totals.of_day(newest(month().graph[tenant]), month().profiles) for tenant in NAMES]
    kinds = {row["Points"]: row["Controls"] for row in run(index, "securescore_posture", "ds_kinds")}
    for word, key in (("Full points", "full"), ("A part", "partial"), ("None", "zero")):
        assert kinds.get(word, 0) == sum(each["controls"][key] for each in sums), word
    services = {row["Service"]: row for row in run(index, "securescore_posture", "ds_services")}
    assert set(services) == set().union(*(each["by_service"] for each in sums))
    for name, row in services.items():
        points = sum(each["by_service"].get(name, {"score": 0})["score"] for each in sums)
        most = sum(each["by_service"].get(name, {"max": 0})["max"] for each in sums)
        assert row["Percent"] == pytest.approx(100 * points / most, abs=0.006)
        assert row["Points to win"] == pytest.approx(most - points, abs=0.006)


def test_categories_are_of_all_on_the_day_that_one_has_not_told_yet(index: World) -> None:
    rows = run(index, "securescore_posture", "ds_categories")
    sums: list[dict[str, Any]] = [totals.of_day(newest(month().graph[tenant]), month().profiles) for tenant in NAMES]
    for name in ("Identity", "Device", "Apps", "Data"):
        points = sum(each["by_category"][name]["score"] for each in sums)
        most = sum(each["by_category"][name]["max"] for each in sums)
        assert number(rows[-1][name]) == pytest.approx(100 * points / most, abs=0.006), name
    (first,) = run(index, "securescore_posture", "ds_categories", tenant="fabrikam")[-1:]
    own = sums[1]["by_category"]["Identity"]
    assert number(first["Identity"]) == pytest.approx(100 * own["score"] / own["max"], abs=0.006)


def test_controls_are_those_of_the_newest_inventory_and_the_gone_are_gone(index: World) -> None:
    rows = run(index, "securescore_controls", "ds_inventory")
    for tenant, name in NAMES.items():
        closed = sorted(versions(tenant).items())[-2][1].day
        mine = {row["_control"]: row for row in rows if row["Tenant"] == name}
        assert {key: row["Points"] for key, row in mine.items()} == {n: c.score for n, c in closed.controls.items()}
        assert {row["As of"] for row in mine.values()} == {closed.day}
        assert "OneAdmin" not in mine
    (ignored,) = [row for row in rows if row["_control"] == "spo_external" and row["Tenant"] == "contoso"]
    assert (ignored["State"], ignored["Assigned to"]) == ("Ignored", "ben@example.org")
    (first,) = [row for row in rows if row["_control"] == "AdminMFAV2" and row["Tenant"] == "contoso"]
    assert (first["Cost"], first["Impact"], first["Rank"]) == ("Low", "Low", 1)
    assert first["MITRE ATT&CK"]


def test_points_to_win_by_category_and_by_cost(index: World) -> None:
    wanted, costs = dict[str, float](), dict[str, float]()
    for tenant in NAMES:
        for name, control in sorted(versions(tenant).items())[-2][1].day.controls.items():
            profile = month().profiles[name]
            missing = (profile.max_score or 0.0) - (control.score or 0.0)
            wanted[control.category] = wanted.get(control.category, 0.0) + missing
            costs[profile.implementation_cost] = costs.get(profile.implementation_cost, 0.0) + missing
    rows = run(index, "securescore_controls", "ds_missing")
    assert {row["Category"]: row["Missing"] for row in rows} == pytest.approx(wanted, abs=0.006)
    efforts = {row["Cost"]: row["Points to win"] for row in run(index, "securescore_controls", "ds_efforts")}
    assert efforts == pytest.approx({cost: points for cost, points in costs.items() if points > 0}, abs=0.006)


def test_every_move_that_was_told_is_listed(index: World) -> None:
    told = [e for e in month().events if e.type == "score.changed" and not e.data.get("unit")]
    assert len(run(index, "securescore_changes", "ds_transitions")) == len(told)
    assert all(e.data["unit"]["kind"] for e in month().events if e.data.get("unit"))


def test_what_moved_is_from_the_first_day_to_the_last_whatever_of_it_was_told(index: World) -> None:
    """Moves of less than a point are no event, and add up."""
    ends = [[version.day.score or 0.0 for _, version in sorted(versions(tenant).items())] for tenant in NAMES]
    (row,) = run(index, "securescore_changes", "ds_points")
    assert row["Points"] == pytest.approx(sum(scores[-1] - scores[0] for scores in ends), abs=0.006)
    (one,) = run(index, "securescore_changes", "ds_points", tenant="fabrikam")
    assert one["Points"] == pytest.approx(ends[1][-1] - ends[1][0], abs=0.006)
    (prod,) = run(index, "securescore_changes", "ds_points", unit="contoso-prod")
    scores = [version.day.score or 0.0 for _, version in sorted(month().cloud[PROD].versions().items())]
    assert prod["Points"] == pytest.approx(scores[-1] - scores[0], abs=0.006)


def test_deviations_from_standards_crowd_out_nothing(index: World) -> None:
    """They have a page of their own; a standard that is asked for may begin with forty of them."""
    marks = [row for page in ("overview", "posture") for row in run(index, f"securescore_{page}", "ds_marks")]
    attention = run(index, "securescore_overview", "ds_attention")
    for summaries in ([row["summary"] for row in marks], [row["What happened"] for row in attention]):
        assert summaries
        assert not any("standard" in summary for summary in summaries)
        assert any("spo_external" in summary for summary in summaries), "a declared state"


def deviating(tenant: str) -> set[str]:
    """What the engine knows of a tenant's deviations, as `status` counts them: the kind, and the control."""
    return {key for key in month().graph[tenant].targets if key.startswith(baseline.PREFIX)}


def test_standards_stand_as_the_engine_knows(index: World) -> None:
    rows = run(index, "securescore_standards", "ds_open")
    titles = {profile.title: name for name, profile in month().profiles.items()}
    for tenant, name in NAMES.items():
        mine = {titles[row["Control"]] for row in rows if row["Tenant"] == name}
        assert mine == {key.partition(":")[2] for key in deviating(tenant)}
    (count,) = run(index, "securescore_standards", "ds_count")
    assert (count["Open"], count["Tenants"]) == (sum(len(deviating(tenant)) for tenant in NAMES), 2)
    assert {row["Standard"] for row in rows} == {"gold", "silver", "everybody"}
    lapsed = {row["Excused until"] for row in rows if titles[row["Control"]] == "BlockLegacyAuthentication"}
    assert lapsed == {f"{OVER:%Y-%m-%d}"}, "it began when the exception was over, and says so"
    excused = run(index, "securescore_standards", "ds_excused")
    assert {(row["Until"], titles[row["Control"]]) for row in excused} == {(f"{OVER.year + 1}-03-31", "mip_labels")}
    assert count["Excused"] == len(excused) == 2
    by_standard = {row["Standard"]: row for row in run(index, "securescore_standards", "ds_standards")}
    assert by_standard["gold"]["Excused"] == 2
    assert sum(row["Open"] for row in by_standard.values()) == count["Open"]


def test_subscriptions_as_they_are_now_weakest_first(index: World) -> None:
    rows = run(index, "securescore_cloud", "ds_units_now", unit="*")
    assert [row["Subscription"] for row in rows] == ["contoso-shop", "contoso-prod"], "what is gone is gone"
    for row, unit in zip(rows, (SHOP, PROD), strict=True):
        day = newest(month().cloud[unit]).day
        assert row["Percent"] == round(day.percent or 0.0, 2)
        assert row["Points to win"] == pytest.approx((day.max_score or 0.0) - (day.score or 0.0), abs=0.006)
        assert row["As of"] == day.day
    aggregate = next(memory for unit, memory in month().cloud.items() if unit.kind == "aggregate")
    (whole,) = run(index, "securescore_cloud", "ds_whole")
    assert whole["Percent"] == round(newest(aggregate).day.percent or 0.0, 2)
    course = run(index, "securescore_cloud", "ds_percent")
    assert {date(row): number(row[AZURE]) for row in course} == {
        day: round(version.day.percent or 0.0, 2) for day, version in aggregate.versions().items()
    }
    lab = [row for row in run(index, "securescore_cloud", "ds_units_trend") if LAB.name in row]
    assert lab, "its past stays"


def test_controls_of_the_cloud_are_sums_over_subscriptions(index: World) -> None:
    wanted = dict[str, list[float]]()
    for unit in (PROD, SHOP):
        day = sorted(month().cloud[unit].versions().items())[-2][1].day
        for control in day.controls.values():
            sums = wanted.setdefault(control.name, [0.0, 0.0, 0.0])
            for place, value in enumerate((control.score, control.max_score, control.count)):
                sums[place] += value or 0
    rows = run(index, "securescore_cloud", "ds_controls", unit="*")
    assert {(row["Points"], row["Maximum"], row["Healthy"]) for row in rows} == {
        (round(score, 2), top, count) for score, top, count in wanted.values()
    }
    chosen = run(index, "securescore_cloud", "ds_controls", unit="contoso-prod")
    assert {row["Subscriptions"] for row in chosen} == {1}


def test_compliance_is_what_was_told_last(index: World) -> None:
    """Observed once a day, and told again when it changed."""
    rows = {row["Standard"]: row for row in run(index, "securescore_cloud", "ds_compliance", unit="*")}
    assert (rows["PCI-DSS-4"]["Passed"], rows["PCI-DSS-4"]["Failed"]) == (45 + 22, 7 + 12)
    assert rows["Azure-CIS-1.1.0"]["Percent"] == round(100 * 62 / 68, 1)


def test_the_age_of_the_data_is_that_of_the_newest_day(index: World) -> None:
    rows = {(row["Tenant"], row["Score"]): row for row in run(index, "securescore_health", "ds_age")}
    for tenant, name in NAMES.items():
        assert rows[name, "Microsoft 365"]["Newest day"] == newest(month().graph[tenant]).day.day
    assert rows[AZURE, "contoso-prod"]["Newest day"] == newest(month().cloud[PROD]).day.day


# ------------------------------------------------------------------------------------------------------ what it costs


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_a_page_opens_with_three_searches(name: str) -> None:
    kinds = [source["type"] for source in DASHBOARDS[name]["dataSources"].values()]
    assert kinds.count("ds.search") <= 3
    assert set(kinds) <= {"ds.search", "ds.chain"}


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_no_page_sorts_what_it_has_not_filtered(name: str, index: World) -> None:
    """Tenant and score stand before the first pipe, where the indexers see them; what is not needed is cut off next."""
    asks = {each["options"]["token"] for each in DASHBOARDS[name]["inputs"].values()} & {"tenant"}
    for source, definition in DASHBOARDS[name]["dataSources"].items():
        text = query(name, source)
        if definition["type"] == "ds.chain" or text.startswith("|"):
            assert not asks or "$tenant|s$" in text or "Days.unit" in text
            continue
        first, second, *_ = split(filled(index.expand(text), {**CHOSEN, "tenant": "chosen"}), "|")
        assert not asks or 'tenant="chosen"' in first, source
        assert second.startswith("fields "), source


def test_another_tenant_costs_a_page_nothing(index: World) -> None:
    """What reaches the search head for one tenant does not depend on how many there are."""
    text = filled(index.expand(query("securescore_controls", "ds_now")), {**CHOSEN, "tenant": "fabrikam"})
    first, second, *_ = split(text, "|")
    rows = index.run(f"{first} | {second}")
    assert {row["tenant"] for row in rows} == {"fabrikam"}
    newest_day = sorted(versions(FABRIKAM))[-2]
    since = datetime.fromisoformat(newest_day) - timedelta(days=7)
    assert min(row["day"] for row in rows) >= f"{since:%Y-%m-%d}", "a week of the month"


def test_every_field_that_matters_lies_within_what_splunk_extracts() -> None:
    """KV_MODE=json looks at the first 5,000 bytes; contributions alone may lie beyond: pages read them by `spath`."""
    many = [event for event in month().events if event.type in ("score.changed", "score.observed")]
    assert many
    for event in many:
        parts = [{"control": f"scid_{n}", "kind": "moved", "delta": 1.0, "cause": {"label": "x"}} for n in range(300)]
        data = {**event.data, **({"contributions": parts} if event.type == "score.changed" else {})}
        envelope: Any = samples.mapping("splunk").render(evolve(event, data=data)).payload
        payload: dict[str, Any] = envelope["event"]
        *fields, last = payload
        at = len(json.dumps({key: payload[key] for key in fields}))
        assert at < 5000
        if event.type == "score.changed":
            assert last == "contributions"
