"""LEEF 2.0: what would break the line is replaced, since nothing can be escaped."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats.leef import MAX_VALUE, Header, encode
from connector.formats.shorten import MARK, shorten

HEADER = Header("Vendor", "Product", "1.0", "event.id")
PREFIX = "LEEF:2.0|Vendor|Product|1.0|event.id|x09|"
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)


def _parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """The header's fields and the attributes, as the LEEF guide says: six pipes, then tab-separated key=value."""
    *header, attributes = line.split("|", 6)
    return header, dict(pair.split("=", 1) for pair in attributes.split("\t") if pair)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("a=b|c\\d", "a=b|c\\d"),
        ("a\tb\nc\rd", "a b c d"),
        (" a ", "a"),
        (True, "true"),
        (-6.0, "-6.0"),
        (["a", "b"], "a, b"),
    ],
)
def test_value(value: Any, wire: str) -> None:
    assert encode(HEADER, {"msg": value}) == f"{PREFIX}msg={wire}"


@pytest.mark.parametrize("value", [None, "", " \t", [], float("nan")])
def test_empty_values_are_left_out(value: Any) -> None:
    assert encode(HEADER, {"msg": value, "cat": "x"}) == PREFIX + "cat=x"


def test_attributes_are_parted_by_the_declared_tab() -> None:
    assert encode(HEADER, {"cat": "x", "sev": 3}) == PREFIX + "cat=x\tsev=3"


def test_header_pipes_are_replaced_and_lengths_kept() -> None:
    line = encode(Header("a|b", "p\tq", "v" * 99, "e" * 300), {})
    header, attributes = _parsed(line)
    assert header[:3] == ["LEEF:2.0", "a/b", "p q"]
    assert (len(header[3]), len(header[4]), header[5], attributes) == (63, 255, "x09", {})


def test_huge_value_is_cut_and_marked() -> None:
    _, attributes = _parsed(encode(HEADER, {"msg": "x" * 100_000}))
    assert len(attributes["msg"]) == MAX_VALUE
    assert attributes["msg"].endswith(MARK)


@given(st.dictionaries(st.sampled_from(["msg", "usrName", "details"]), ANY_TEXT))
def test_hostile_values_stay_in_their_attribute(values: dict[str, str]) -> None:
    line = encode(HEADER, values)
    header, attributes = _parsed(line)
    assert header == PREFIX.split("|")[:6]
    assert attributes.keys() <= values.keys()
    for key, text in attributes.items():
        kept = [c for c in values[key] if c.isprintable() and c != " "]
        assert [c for c in text if c.isprintable() and c not in " \N{REPLACEMENT CHARACTER}"] == [
            c for c in kept if c != "\N{REPLACEMENT CHARACTER}"
        ]
    assert len(line.splitlines()) == 1
    assert line.encode()


def test_shortened_line_keeps_its_keys() -> None:
    line = encode(HEADER, {"eventId": "5f0c", "msg": "é" * 500, "details": "d" * 900, "sev": 5})
    short = shorten(line, 300)
    assert short is not None
    assert len(short.encode()) <= 300
    _, attributes = _parsed(short)
    assert (attributes["eventId"], attributes["sev"]) == ("5f0c", "5")
    assert attributes["msg"].endswith(MARK)
