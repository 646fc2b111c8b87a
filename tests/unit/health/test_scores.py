"""The score on /metrics: the last revision of the newest day, nothing that is not known, and never without bound."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from connector.health import scores
from connector.health.counters import Counters
from connector.health.endpoints import metrics
from connector.health.scores import MAX_CATEGORIES, MAX_CONTROLS, Score, controls_of, newest
from connector.model import Control, Day, Event
from tests.fake_graph import JumpClock
from tests.golden import samples
from tests.unit.health.test_counters import facts


def told(day: str, current: float, **changes: Any) -> Event:
    return samples.event("score.observed", {"data.day": day, "data.score.current": current, **changes})


def shown(**of: Score) -> dict[tuple[str, ...], float]:
    made = Counters(tuple(of))
    made.scores = dict(of)
    text = metrics(made, facts(JumpClock()), "1").decode()
    return {
        (s.name.removeprefix("securescore_"), *sorted(s.labels.values())): s.value
        for f in text_string_to_metric_families(text)
        for s in f.samples
        if s.name.removeprefix("securescore_").startswith(("score_", "category_", "control_"))
    }


def test_the_last_revision_of_the_newest_day_counts_whatever_came_later() -> None:
    latest_first = [told("2026-11-20", 1.0), told("2026-11-22", 300.5), told("2026-11-22", 299.0)]
    found = newest(latest_first)
    assert found is not None
    assert (found.day, found.points) == ("2026-11-22", 300.5)
    assert newest([]) is None


def test_every_figure_of_an_event_is_told() -> None:
    found = newest([samples.event("score.observed")])
    assert found is not None
    figures = shown(contoso=found)
    assert figures["score_points", "contoso"] == 300.5
    assert figures["score_max_points", "contoso"] == 700.0
    assert figures["score_percent", "contoso"] == 42.93
    assert figures["score_asserted_points", "contoso"] == 18.0
    assert figures["score_points_to_win", "contoso"] == 399.5
    assert figures["category_score_points", "Identity", "contoso"] == 64.0
    assert figures["category_score_percent", "Device", "contoso"] == 42.58
    assert not [name for name, *_ in figures if name.startswith("control")]


def test_an_exposure_is_a_figure_of_its_own_as_less_of_it_is_better() -> None:
    unit = {"kind": "organization", "id": "x", "name": None, "score": "exposureScore"}
    found = newest([told("2026-11-22", 44.2, **{"data.unit": unit, "data.source": "defender_endpoint"})])
    assert found is not None
    assert shown(devices=found) == {}, "no alert on a score that falls may fire for it"
    made = Counters(("devices",))
    made.scores = {"devices": found}
    assert 'securescore_exposure_score{tenant="devices"} 44.2' in metrics(made, facts(JumpClock()), "1").decode()


def test_what_is_not_known_is_left_out_never_zero() -> None:
    event = told("2026-11-22", 1.0, **{"data.score": {"current": None, "max": 10.0}, "data.by_category": None})
    found = newest([event])
    assert found is not None
    assert (found.points, found.percent, found.to_win) == (None, None, None)
    assert {name for name, *_ in shown(contoso=found)} == {"score_max_points", "score_asserted_points"}


@pytest.mark.parametrize("odd", [None, [], "x", {"score": True, "percent": "9"}, 7])
def test_odd_values_are_unknown(odd: Any) -> None:
    found = newest([told("2026-11-22", 1.0, **{"data.by_category": {"a\n\u202eb": odd}, "data.points": odd})])
    assert found is not None
    assert found.categories == {"a b": (None, None)}


def test_no_tenant_makes_a_scrape_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    found = newest([told("2026-11-22", 1.0, **{"data.by_category": {str(n): {"score": 1.0} for n in range(99)}})])
    assert found is not None
    assert len(found.categories) == MAX_CATEGORIES
    controls = {str(n): Control(str(n), "Identity", float(n), None) for n in range(MAX_CONTROLS + 1)}
    assert controls_of(Day("d", "2026-11-22", 1.0, 2.0, controls)) == {}
    few = controls_of(Day("d", "2026-11-22", 1.0, 2.0, dict(list(controls.items())[:3])))
    assert few == {"0": 0.0, "1": 1.0, "2": 2.0}
    monkeypatch.setattr("connector.health.endpoints.MAX_CONTROL_FIGURES", 5)
    figures = shown(a=Score("2026-11-22", controls=few), b=Score("2026-11-22", controls=few))
    assert {tenant for name, *labels in figures if name == "control_score_points" for tenant in labels[1:]} == {"a"}
    assert scores.MAX_CONTROL_FIGURES == 50_000


def test_a_tenant_that_is_gone_leaves_no_figure_behind() -> None:
    made = Counters(("a", "b"))
    made.scores = {"a": Score("2026-11-22"), "b": Score("2026-11-22")}
    made.replace({"b": "b"})
    assert list(made.scores) == ["b"]


# ---------------------------------------------------------------------------------------------------------------- units


def row(name: str, kind: str = "subscription", score: str = "ascScore", **changes: Any) -> dict[str, Any]:
    """A unit as the overview lists it."""
    unit = {"kind": kind, "id": f"id-{name}", "name": name, "score": score}
    return {"unit": unit, "score": 20.0, "max": 40.0, "percent": 50.0, "gone_since": None} | changes


def scraped(**of: Score) -> str:
    made = Counters(tuple(of))
    made.scores = dict(of)
    return metrics(made, facts(JumpClock()), "1").decode()


def test_each_subscription_has_figures_beside_those_of_the_whole() -> None:
    rows = [
        row("all", kind="aggregate"),
        row("gone", gone_since="2026-11-20T00:00:00Z"),
        row("pay\u202e"),
        row("new") | {"score": None, "max": None, "percent": None},
    ]
    known, units = scores.of_units(rows)
    assert known == 2
    text = scraped(azure=Score("2026-11-22", percent=60.0, units=units, units_known=known))
    of_unit = [line for line in text.splitlines() if line.startswith("securescore_unit")]
    labels = '{tenant="azure",unit="pay",unit_id="id-pay",unit_kind="subscription"}'
    assert sorted(of_unit) == [
        f"securescore_unit_score_max_points{labels} 40.0",
        f"securescore_unit_score_percent{labels} 50.0",
        f"securescore_unit_score_points{labels} 20.0",
        'securescore_units{tenant="azure"} 2.0',
    ]
    assert 'securescore_score_percent{tenant="azure"} 60.0' in text


def test_a_device_groups_exposure_is_no_score_that_can_fall() -> None:
    known, units = scores.of_units([row("laptops", kind="device_group", score="exposureScore")])
    text = scraped(devices=Score("2026-11-22", exposure=30.0, units=units, units_known=known))
    assert "securescore_unit_exposure_score{" in text
    assert "securescore_unit_score_percent{" not in text


def test_a_tenant_that_is_one_unit_has_no_series_of_units() -> None:
    lines = scraped(contoso=Score("2026-11-22", percent=42.0)).splitlines()
    assert [line for line in lines if line.startswith("securescore_unit")] == []


def test_units_are_bounded_and_their_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"{n:05}") for n in reversed(range(scores.MAX_UNITS + 7))]
    known, units = scores.of_units(rows)
    assert (known, len(units), units[0].name) == (scores.MAX_UNITS + 7, scores.MAX_UNITS, "00000")
    monkeypatch.setattr("connector.health.endpoints.MAX_UNIT_FIGURES", scores.MAX_UNITS + 1)
    score = Score("2026-11-22", units=units, units_known=known)
    text = scraped(a=score, b=score)
    assert text.count('securescore_unit_score_points{tenant="a"') == scores.MAX_UNITS
    assert 'securescore_unit_score_points{tenant="b"' not in text
    assert f'securescore_units{{tenant="b"}} {known}.0' in text
