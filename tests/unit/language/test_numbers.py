"""What is written in a language says the same number in every one: it is read back by that language's own rules."""

from decimal import Decimal

import pytest
from babel.numbers import parse_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.language.choice import LANGUAGES, language
from connector.language.spoken import MINUS
from tests.conftest import examples

REGIONS = ("en-US", "de-AT", "de-CH", "fr-CA", "es-MX", "it-CH")
POINTS = st.decimals(-(10**7), 10**7, places=4).map(float)
PERCENT = st.decimals(-1000, 1000, places=2).map(float)


def read(text: str, tag: str) -> Decimal:
    """The number that a reader of the language sees."""
    bare = text.replace(MINUS, "-").removeprefix("+").rstrip("%").rstrip()
    return parse_decimal(bare, locale=language(tag).locale)


@pytest.mark.parametrize("tag", [*LANGUAGES, *(tag for tag in REGIONS if tag[:2] in LANGUAGES)])
@settings(max_examples=examples(50))
@given(points=POINTS, percent=PERCENT, count=st.integers(-(10**12), 10**12))
def test_numbers_are_read_back(tag: str, points: float, percent: float, count: int) -> None:
    speak = language(tag)
    assert read(speak.number(points), tag) == Decimal(str(points))
    assert read(speak.signed(points), tag) == Decimal(str(points))
    assert speak.signed(points).startswith(("+", MINUS)) or not points
    assert read(speak.percent(percent), tag) == Decimal(str(percent))
    assert read(speak.count(count), tag) == count
