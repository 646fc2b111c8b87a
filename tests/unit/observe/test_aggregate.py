"""The score over all subscriptions: the published formula, and days whose controls are the subscriptions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.model import Control, Day, Listed, Unit
from connector.observe import aggregate
from connector.observe.diff import decompose, fixed

TENANT = "11111111-1111-1111-1111-111111111111"
A, B = Unit("subscription", "aaaa", "Production", "ascScore"), Unit("subscription", "bbbb", "", "ascScore")


def scored(score: float | None, maximum: float | None, weight: float | None, healthy: int = 1, total: int = 2) -> Day:
    controls = {"c": Control("c", "", score, None, count=healthy, total=total, not_applicable=0)}
    return Day("x", "2026-11-22", score, maximum, controls, weight=weight)


def test_it_weighs_subscriptions() -> None:
    found = aggregate.day({A: scored(30.0, 40.0, 3), B: scored(10.0, 40.0, 1)}, {}, TENANT, "2026-11-22")
    assert (found.score, found.max_score, found.percent) == (62.5, 100.0, 62.5)
    assert (found.id, found.weight) == (f"{TENANT}_2026-11-22", 4.0)
    assert found.controls["aaaa"] == Control(
        "aaaa", "Subscription", 56.25, 75.0, count=1, total=2, not_applicable=0, max_score=75.0
    )


@pytest.mark.parametrize(
    ("day", "percent"),
    [
        (scored(0.0, 0.0, 5), 25.0),  # a maximum of 0 counts as nothing reached
        (scored(40.0, 40.0, 0), 60.0),  # a weight of 0 counts as 1
        (scored(40.0, 40.0, None), 60.0),
        (scored(None, None, 0), 50.0),  # without a score it is not there
    ],
)
def test_what_is_odd_about_a_subscription(day: Day, percent: float) -> None:
    units = {A: scored(20.0, 40.0, 5 if day.max_score == 0 else 4), B: day}
    assert aggregate.day(units, {}, TENANT, "2026-11-22").score == percent


def test_only_enabled_subscriptions_count_and_one_that_is_not_listed_any_more_until_it_is_known_to_be_gone() -> None:
    units = {A: scored(20.0, 40.0, 1), B: scored(40.0, 40.0, 1)}
    disabled = {"bbbb": Listed("bbbb", "", "Disabled")}
    assert aggregate.day(units, disabled, TENANT, "2026-11-22").score == 50.0
    assert aggregate.day(units, {"aaaa": Listed("aaaa", "", "enabled")}, TENANT, "2026-11-22").score == 75.0


def test_other_initiatives_are_no_part_of_it() -> None:
    other = Unit("subscription", "aaaa", "", "custom")
    found = aggregate.day({A: scored(20.0, 40.0, 1), other: scored(40.0, 40.0, 9)}, {}, TENANT, "2026-11-22")
    assert found.score == 50.0


def test_without_any_score_there_is_no_day() -> None:
    found = aggregate.snapshot({A: scored(None, None, 0)}, {}, TENANT, "2026-11-22")
    assert found.days == ()


def test_its_catalogue_says_what_subscriptions_are_called() -> None:
    listed = {"aaaa": Listed("aaaa", "Production EU", "Enabled")}
    found = aggregate.snapshot({A: scored(1.0, 2.0, 1), B: scored(1.0, 2.0, 1)}, listed, TENANT, "2026-11-22")
    assert isinstance(found.catalogue, dict)
    assert {key: profile.title for key, profile in found.catalogue.items()} == {"aaaa": "Production EU", "bbbb": "bbbb"}
    assert found.unit == aggregate.unit(TENANT)


days = st.builds(
    scored,
    st.floats(0, 40).map(lambda n: round(n, 2)),
    st.sampled_from([0.0, 40.0, 55.0]),
    st.integers(0, 500),
)
estates = st.dictionaries(st.sampled_from([Unit("subscription", n, "", "ascScore") for n in "abcdefgh"]), days)


@given(estates, estates)
def test_a_move_of_the_aggregate_is_the_sum_of_its_subscriptions_and_a_residual(
    before: dict[Unit, Day], after: dict[Unit, Day]
) -> None:
    old, new = (aggregate.day(units, {}, TENANT, "2026-11-22") for units in (before, after))
    parts = decompose(old, new)
    if parts.delta is None:
        assert not before or not after
        return
    assert parts.residual is not None
    assert parts.delta == sum(part.delta for part in parts.contributions) + parts.residual
    assert abs(parts.residual) <= len(before) + len(after)  # ten-thousandths: every share is rounded once
    assert fixed(old.score or 0) + parts.delta == fixed(new.score or 0)
