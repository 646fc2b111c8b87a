"""The named formatters: what each makes of its value, and that none ever raises."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.mapping.formatters import FORMATTERS, TYPES, formatter

ARGUMENTS = {"round": ":2", "clamp": ":0:10", "cut_prefix": ":x"}
EVERY = [f"{name}{ARGUMENTS.get(name, '')}" for name in FORMATTERS]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("spec", "value", "result"),
    [
        ("epoch_ms", "2026-11-22", 1795305600000),
        ("epoch_ms", "2026-11-22T09:12:03Z", 1795338723000),
        ("epoch_ms", "2026-11-22T09:12:03.4567Z", 1795338723456),
        ("epoch_ms", "2026-11-22T10:12:03+01:00", 1795338723000),
        ("epoch_ms", "yesterday", None),
        ("epoch_ms", 1795338723000, None),
        ("epoch_s", "2026-11-22T09:12:03.25Z", "1795338723.250"),
        ("epoch_s", "1969-12-31T23:59:59Z", "-1.000"),
        ("iso", "2026-11-22", "2026-11-22T00:00:00Z"),
        ("iso", "2026-11-22T10:12:03.5+01:00", "2026-11-22T09:12:03.500000Z"),
        ("iso", "0001-01-01T00:00:00+14:00", None),
        ("leef_time", "2026-11-02T09:12:03.5Z", "Nov 02 2026 09:12:03.500 UTC"),
        ("number", "4.50", 4.5),
        ("number", True, None),
        ("number", float("nan"), None),
        ("number", "1e999", None),
        ("int", 3, 3),
        ("int", 2.6, 3),
        ("int", "7", 7),
        ("int", 2**64, None),
        ("int", float("inf"), None),
        ("bool", "True", True),
        ("bool", 1, None),
        ("round:2", 42.92857, 42.93),
        ("round:1", -0.01, 0.0),
        ("clamp:1:10", 0, 1),
        ("clamp:0:10", 11.2, 10),
        ("clamp:0:10", "high", None),
        ("text", ["a", 1], "a, 1"),
        ("text", "a\ud800", "a\N{REPLACEMENT CHARACTER}"),
        ("upper", "aé", "AÉ"),
        ("lower", True, "true"),
        ("join", ["a", None, "b"], "a, b"),
        ("join:; ", ["a", 2.5], "a; 2.5"),
        ("join:|", "alone", "alone"),
        ("pairs", {"ok": 4, "inner": {"a": 1, "b": None}, "list": ["x", "y"]}, "ok: 4; inner.a: 1; list: x, y"),
        ("pairs:, ", {"a": True, "b": ""}, "a: true"),
        ("pairs", "alone", "alone"),
        ("changes", [{"field": "a", "before": 1, "after": None}, {"field": "b"}], "a: 1 → -; b"),
        ("changes", ["x", {"before": [1], "after": [1, 2]}], "x; 1 → 1, 2"),
        ("strip_html", "<p>A&nbsp;&amp; B</p>\n\n<br/>C <b", "A & B C <b"),
        ("strip_html", "a < b, <b>bold</b>", "a < b, bold"),
        ("json", {"a": ["é"]}, '{"a":["\\u00e9"]}'),
        ("json", float("nan"), None),
        ("cut_prefix:urn:x:", "urn:x:y", "y"),
        ("length", [1, 2], 2),
        ("length", 5, None),
    ],
)
def test_formatter(spec: str, value: Any, result: Any) -> None:
    made = formatter(spec)(value)
    assert repr(made) == repr(result)  # tells 1 from 1.0 and 0.0 from -0.0


@pytest.mark.parametrize("spec", EVERY)
@given(value=JSON)
def test_formatters_are_total(spec: str, value: Any) -> None:
    formatter(spec)(value)


@pytest.mark.parametrize("name", TYPES)
@given(value=JSON)
def test_types_are_total(name: str, value: Any) -> None:
    TYPES[name](value)


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("int", 2**31, None),
        ("long", 2**31, 2**31),
        ("real", "2", 2.0),
        ("boolean", "false", False),
        ("datetime", "2026-11-22", "2026-11-22T00:00:00Z"),
        ("string", 4.0, "4.0"),
        ("dynamic", {"a": 1}, {"a": 1}),
    ],
)
def test_type(name: str, value: Any, result: Any) -> None:
    assert TYPES[name](value) == result


@pytest.mark.parametrize("spec", ["round", "round:x", "round:99", "clamp:5", "clamp:9:1", "upper:x", "cut_prefix:"])
def test_wrong_argument(spec: str) -> None:
    with pytest.raises(ValueError):
        formatter(spec)


def test_unknown_name() -> None:
    with pytest.raises(KeyError):
        formatter("shout")


def test_strip_html_is_linear() -> None:
    """A million opening brackets must not take minutes; only the beginning is looked at."""
    assert len(formatter("strip_html")("<" * 1_000_000)) == 64_000
