"""Scales of the report's charts: every value inside, and no tick where no value can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.language.choice import language
from connector.report.charts import _Scale, dots
from connector.report.figures import Pen


@pytest.mark.parametrize(
    ("values", "least", "most", "low", "high"),
    [
        ([100.0] * 5, 1.0, 100.0, 99.0, 100.0),
        ([0.0] * 5, 1.0, 100.0, 0.0, 1.0),
        ([0.0], 5.0, float("inf"), 0.0, 6.0),
        ([99.8], 1.0, 100.0, 99.0, 100.0),
        ([], 1.0, 100.0, 0.0, 1.0),
    ],
)
def test_scales_end_where_values_must(values: list[float], least: float, most: float, low: float, high: float) -> None:
    scale = _Scale.over(values, 0.0, 100.0, least=least, most=most)
    assert [scale.ticks[0], scale.ticks[-1]] == pytest.approx([low, high])


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.sampled_from((100.0, float("inf"))))
def test_every_value_is_inside_and_every_tick_is_possible(values: list[float], most: float) -> None:
    scale = _Scale.over(values, 0.0, 100.0, least=1.0, most=most)
    assert scale.low <= min(values) + 1e-9
    assert scale.high >= max(values) - 1e-9
    assert scale.ticks[0] >= 0
    assert scale.ticks[-1] <= most + 1e-9
    assert 2 <= len(scale.ticks) <= 8


def test_the_middle_of_two_tenants_lies_between_them() -> None:
    assert "the median is 50.00%" in str(dots(Pen(language()), "d", [10.0, 90.0]))
