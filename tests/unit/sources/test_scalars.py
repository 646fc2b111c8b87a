"""Coercion rules of single values, each with the value Graph (or a broken middle box) was seen to send."""

import math
from typing import Any

import pytest

from connector.sources.scalars import moment, number, text, truth, whole


@pytest.mark.parametrize(
    ("value", "expected", "flags"),
    [
        (5, 5.0, set()),
        (5.0, 5.0, set()),
        ("5", 5.0, set()),
        (" 5.25 ", 5.25, set()),
        ("0.0", 0.0, set()),
        (None, None, set()),
        (-1, None, {"sentinel"}),
        (-1.0, None, {"sentinel"}),
        ("-1", None, {"sentinel"}),
        (-2, None, {"bad_number"}),
        ("", None, {"bad_number"}),
        ("n/a", None, {"bad_number"}),
        ("1_0", None, {"bad_number"}),
        (True, None, {"bad_number"}),
        (False, None, {"bad_number"}),
        ([5], None, {"bad_number"}),
        ({"x": 5}, None, {"bad_number"}),
        (math.nan, None, {"bad_number"}),
        (math.inf, None, {"bad_number"}),
        ("NaN", None, {"bad_number"}),
        ("Infinity", None, {"bad_number"}),
        (1e300, None, {"bad_number"}),
        (10**400, None, {"bad_number"}),
    ],
)
def test_number(value: Any, expected: float | None, flags: set[str]) -> None:
    found: set[str] = set()
    assert (number(value, found), found) == (expected, flags)


@pytest.mark.parametrize(
    ("value", "expected", "flags"),
    [
        (3, 3, set()),
        (3.0, 3, set()),
        ("3", 3, set()),
        ("0", 0, set()),
        (3.5, None, {"bad_number"}),
        (None, None, set()),
    ],
)
def test_whole_number(value: Any, expected: int | None, flags: set[str]) -> None:
    found: set[str] = set()
    assert (whole(value, found), found) == (expected, flags)


@pytest.mark.parametrize(
    ("value", "expected", "flags"),
    [
        (True, True, set()),
        ("true", True, set()),
        ("FALSE", False, set()),
        (1, True, set()),
        (0.0, False, set()),
        (None, None, set()),
        ("maybe", None, {"bad_number"}),
        (2, None, {"bad_number"}),
        ([], None, {"bad_number"}),
    ],
)
def test_truth(value: Any, expected: bool | None, flags: set[str]) -> None:
    found: set[str] = set()
    assert (truth(value, found), found) == (expected, flags)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", "abc"),
        (None, ""),
        (True, "true"),
        (5.0, "5.0"),
        ([], ""),
        ({}, ""),
        ("abcdef", "abcd…"),
        ("é\ud800", "é?"),
    ],
)
def test_text(value: Any, expected: str) -> None:
    assert text(value, 5) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2030-01-02T04:05:06Z", "2030-01-02T04:05:06Z"),
        ("2030-01-02T04:05:06.1234567Z", "2030-01-02T04:05:06Z"),
        ("2030-01-02T04:05:06+02:00", "2030-01-02T02:05:06Z"),
        ("2030-01-02T04:05:06", "2030-01-02T04:05:06Z"),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_moment(value: Any, expected: str | None) -> None:
    assert moment(value) == expected
