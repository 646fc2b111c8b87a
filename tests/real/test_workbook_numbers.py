"""What the Sentinel workbook shows of a hybrid month (that of Splunk's pages), beside what the engine knows."""

import json
from datetime import timedelta
from typing import Any

import pytest

from connector.formats import ingestion
from connector.model import Event, Version
from connector.observe import baseline, totals
from connector.observe.memory import Memory
from sinks.sentinel import OPTIONS
from tests import sentinel_content
from tests.artefacts.splunk_month import FABRIKAM, NAMES, NOW, PROD, SHOP, month
from tests.golden import samples
from tests.real import kusto

Rows = list[dict[str, Any]]
TABLES = {stream: name.removeprefix("Custom-") for stream, name in OPTIONS["streams"].default.items()}


def stored(events: tuple[Event, ...]) -> dict[str, Rows]:
    """The rows of the tables, stored when they were seen."""
    rows: dict[str, Rows] = {}
    for event in events:
        record = samples.mapping("sentinel").render(event)
        row = json.loads(ingestion.row(record.payload))
        rows.setdefault(TABLES[record.stream], []).append({**row, "ingested": row["TimeGenerated"]})
    return rows


@pytest.fixture(scope="module")
def shown() -> dict[str, Rows]:
    """The rows of every item of the workbook, excused deviations with them, twenty minutes after the last event."""
    now = (NOW + timedelta(minutes=20)).replace(tzinfo=None).isoformat()
    queries = sentinel_content.workbook_queries("all", {"ExcusedShown": "1"})
    (found,) = kusto.rows([{"now": now, "rows": stored(month().events), "queries": queries}])
    assert [name for name, rows in found.items() if "error" in rows] == []
    return dict(found)


def newest(memory: Memory) -> Version:
    assert memory.newest is not None
    return memory.newest


def days(tenant: str) -> list[Version]:
    return [version for _, version in sorted(month().graph[tenant].versions().items())]


def together(until: str, kind: str) -> float:
    """Of each tenant its newest day until then."""
    told = [[version.day for version in days(tenant) if version.day.day <= until] for tenant in NAMES]
    return sum(getattr(known[-1], kind) or 0.0 for known in told if known)


def test_what_all_have_is_of_all_on_the_day_that_one_has_not_told_yet(shown: dict[str, Rows]) -> None:
    for row in shown["maximum"]:
        day = row["Day"][:10]
        assert row["Points"] == pytest.approx(together(day, "score"), abs=0.006), day
        assert row["Maximum"] == together(day, "max_score")
    assert shown["maximum"][-1]["Day"][:10] > days(FABRIKAM)[-1].day.day
    for row in shown["measured and asserted"]:
        assert row["Measured"] + row["Declared"] == pytest.approx(together(row["Day"][:10], "score"), abs=0.011)
    last = shown["maximum"][-1]["Day"]
    now = {row["Category"]: row["Percent"] for row in shown["categories over time"] if row["Day"] == last}
    bars = {row["Category"]: 100 * row["Points"] / (row["Points"] + row["Missing"]) for row in shown["categories"]}
    assert now == pytest.approx(bars, abs=0.02), "the line ends where the bars stand"


def test_the_figures_say_what_moved_and_what_of_it_was_told(shown: dict[str, Rows]) -> None:
    figures = {row["Name"]: row["Value"] for row in shown["counts"]}
    ends = [(versions[0].day.score or 0.0, versions[-1].day.score or 0.0) for versions in map(days, NAMES)]
    assert figures["points, first day to last"] == pytest.approx(sum(last - first for first, last in ends), abs=0.006)
    told = [e for e in month().events if e.type == "score.changed" and not e.data.get("unit")]
    assert figures["score changes told"] == len(told)
    lost, won = figures["points lost in them"], figures["points won in them"]
    assert lost + won == pytest.approx(sum(e.data["delta"] for e in told), abs=0.011)
    parts = sum(row["Points"] for row in shown["causes by day"])
    assert parts == pytest.approx(lost + won, abs=0.03), "by cause it is the same"
    missed = [e for e in month().events if e.type == "posture.target_missed" and not e.data.get("unit")]
    of_standard = [e for e in missed if e.data["target"].get("standard")]
    assert figures["deviations from standards"] == len(of_standard)
    assert figures["targets missed"] == len(missed) - len(of_standard)


def test_tenants_stand_and_moved_as_the_engine_knows(shown: dict[str, Rows]) -> None:
    rows = {row["TenantName"]: row for row in shown["tenants"]}
    for tenant, name in NAMES.items():
        first, last = days(tenant)[0].day, days(tenant)[-1].day
        assert rows[name]["ScorePercent"] == round(last.percent or 0.0, 2)
        assert rows[name]["Change"] == pytest.approx((last.percent or 0.0) - (first.percent or 0.0), abs=0.011)
        asserted = totals.of_day(days(tenant)[-1], month().profiles)["points"]["asserted"]
        assert rows[name]["AssertedPoints"] == pytest.approx(asserted, abs=0.006)


def test_what_is_gone_is_gone_from_all_that_stands(shown: dict[str, Rows]) -> None:
    assert [row["Subscription"] for row in shown["subscriptions"]] == ["contoso-shop", "contoso-prod"]
    for row, unit in zip(shown["subscriptions"], (SHOP, PROD), strict=True):
        day = newest(month().cloud[unit]).day
        assert (row["ScorePercent"], row["ScoreMax"]) == (round(day.percent or 0.0, 2), day.max_score)
    closed = [sorted(month().cloud[unit].versions().items())[-2][1].day for unit in (PROD, SHOP)]
    missing = sum((c.max_score or 0.0) - (c.score or 0.0) for day in closed for c in day.controls.values())
    assert sum(row["Missing"] for row in shown["cloud controls"]) == pytest.approx(missing, abs=0.02)
    assert {row["Subscriptions"] for row in shown["cloud controls"]} == {2}
    assert {row["Subscription"] for row in shown["compliance"]} == {"contoso-prod", "contoso-shop"}


def test_compliance_is_what_was_told_last(shown: dict[str, Rows]) -> None:
    """Observed once a day, and told again when it changed."""
    (row,) = [r for r in shown["compliance"] if (r["Subscription"], r["Standard"]) == ("contoso-prod", "PCI-DSS-4")]
    assert (row["StandardPassed"], row["StandardFailed"]) == (45, 7)


def test_standards_stand_as_the_engine_knows(shown: dict[str, Rows]) -> None:
    titles = {profile.title: name for name, profile in month().profiles.items()}
    stands = [(row["TenantName"], titles[row["Control"]]) for row in shown["deviations"] if row["Standing"] == "open"]
    known = [
        (name, key.partition(":")[2])
        for tenant, name in NAMES.items()
        for key in month().graph[tenant].targets
        if key.startswith(baseline.PREFIX)
    ]
    assert sorted(stands) == sorted(known)
    assert sum(row["Open"] for row in shown["standards"]) == len(known)
    assert sum(row["Excused"] for row in shown["standards"]) == 2
