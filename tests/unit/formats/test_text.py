"""Values in words, cutting."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats.shorten import MARK
from connector.formats.text import as_text, cut_chars, cut_octets, encodable

ANY_TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)


def _deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-6.0, "-6.0"),
        (float("nan"), ""),
        (float("-inf"), ""),
        (["a", None, "", 1], "a, 1"),
        ((1, 2.5), "1, 2.5"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ({(1, 2): 3}, ""),
    ],
)
def test_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_as_text_of_the_absurd_is_nothing() -> None:
    assert as_text(10**5000) == ""
    assert as_text(_deep(100_000)) == ""


@given(JSON)
def test_as_text_is_total(value: Any) -> None:
    assert isinstance(as_text(value), str)


@given(ANY_TEXT)
def test_encodable_changes_only_surrogates(text: str) -> None:
    expected = ["\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in text]
    assert encodable(text) == "".join(expected)


@given(ANY_TEXT, st.integers(1, 40))
def test_cut_chars(text: str, limit: int) -> None:
    cut = cut_chars(text, limit)
    assert len(cut) <= limit
    if len(text) <= limit:
        assert cut == text
    elif limit > len(MARK):
        assert cut.endswith(MARK)
        assert text.startswith(cut.removesuffix(MARK))


@given(st.text(), st.integers(1, 40))
def test_cut_octets(text: str, limit: int) -> None:
    cut = cut_octets(text, limit)
    assert len(cut.encode()) <= limit
    if len(text.encode()) <= limit:
        assert cut == text
    elif limit > len(MARK):
        assert cut.endswith(MARK)
        assert text.startswith(cut.removesuffix(MARK))


def test_cut_octets_survives_lone_surrogates() -> None:
    assert len(cut_octets("\ud800" * 100, 50).encode("utf-8", "replace")) <= 50
