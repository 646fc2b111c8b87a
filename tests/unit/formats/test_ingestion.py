"""Rows of the Logs Ingestion API: exact sizes, and what is shortened is marked and stays JSON."""

import json
from itertools import pairwise
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.formats import ingestion
from connector.formats.ingestion import MAX_BODY_BYTES, MAX_FIELD_BYTES, SHORTENED
from connector.formats.shorten import MARK
from tests.conftest import examples


@frozen
class Row:
    data: bytes


def shortened(payload: Any, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ingestion.row(payload, **options))
    return found


# -------------------------------------------------------------------------------------------------------------- one row


def test_a_row_is_compact_ascii_json_and_nothing_is_touched() -> None:
    payload = {"EventId": "x", "Summary": "10 → 4", "Labels": {"a": 1}, "Day": None}
    assert ingestion.row(payload) == b'{"EventId":"x","Summary":"10 \\u2192 4","Labels":{"a":1},"Day":null}'


def test_an_object_may_come_as_text() -> None:
    assert ingestion.row('{"a": 1}') == b'{"a":1}'


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("CEF:0|a", "not JSON"),
        ("[1]", "no columns"),
        ("[" * 100_000, "not JSON"),
        ({}, "no columns"),
        ({"a": float("nan")}, "not JSON"),
        ({"a": {1, 2}}, "not JSON"),
    ],
)
def test_what_is_no_row_is_refused_with_the_reason(payload: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ingestion.row(payload)


def test_a_long_text_is_cut_at_a_character_and_marked() -> None:
    found = shortened({"EventId": "x", "Detail": "é" * 40_000, "Hint": "y" * MAX_FIELD_BYTES})
    assert len(found["Detail"].encode()) <= MAX_FIELD_BYTES
    assert found["Detail"].endswith("é" + MARK)
    assert found["Hint"] == "y" * MAX_FIELD_BYTES, "exactly as long as is allowed"
    assert found[SHORTENED] == ["Detail"]


def test_a_long_list_keeps_its_first_items() -> None:
    items = [{"control": f"control_{n}", "delta": 0.5} for n in range(4000)]
    found = shortened({"EventId": "x", "Contributions": items})
    kept = found["Contributions"]
    assert kept[-1] == MARK
    assert kept[:-1] == items[: len(kept) - 1]
    assert MAX_FIELD_BYTES - 100 < len(json.dumps(kept, separators=(",", ":"))) <= MAX_FIELD_BYTES
    assert found[SHORTENED] == ["Contributions"]


def test_a_long_object_keeps_its_first_members() -> None:
    found = shortened({"ByService": {f"service {n}": n for n in range(9000)}})
    kept = found["ByService"]
    assert kept.pop(MARK) is True
    assert kept == {f"service {n}": n for n in range(len(kept))}
    assert found[SHORTENED] == ["ByService"]


def test_one_item_that_is_too_long_leaves_the_mark() -> None:
    assert shortened({"List": ["x" * 70_000], "Id": 1}) == {"List": [MARK], "Id": 1, SHORTENED: ["List"]}


def test_a_record_over_a_megabyte_is_shortened_until_it_fits() -> None:
    payload = {"EventId": "id", **{f"Column{n}": "x" * 60_000 for n in range(40)}}
    data = ingestion.row(payload)
    assert len(data) <= MAX_BODY_BYTES - 2
    found = json.loads(data)
    assert found["EventId"] == "id"
    assert len(found[SHORTENED]) == 40


def test_a_record_that_cannot_be_shortened_is_refused() -> None:
    with pytest.raises(ValueError, match="every column shortened"):
        ingestion.row({f"c{n}": n for n in range(100)}, 800)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=9), inner, max_size=9),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1, max_size=10), _JSON, min_size=1, max_size=6), st.integers(300, 3000))
@settings(max_examples=examples(60))
def test_a_shortened_row_is_json_within_the_limit_or_refused(payload: dict[str, Any], max_bytes: int) -> None:
    try:
        data = ingestion.row(payload, max_bytes)
    except ValueError:
        assert len(json.dumps(payload)) > max_bytes
        return
    found = json.loads(data)
    assert len(data) <= max_bytes
    untouched = {name: value for name, value in found.items() if name not in (*found.get(SHORTENED, ()), SHORTENED)}
    assert untouched == {name: payload[name] for name in untouched}
    assert payload.keys() <= found.keys()


# -------------------------------------------------------------------------------------------------------------- packing


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(10, 120))
def test_packed_bodies_are_exactly_within_the_limit_and_no_smaller_than_need_be(sizes: list[int], limit: int) -> None:
    rows = [Row(b"x" * size) for size in sizes]
    batches = ingestion.packed(rows, limit)
    assert [row for batch in batches for row in batch] == rows
    assert all(len(ingestion.body(batch)) <= limit or len(batch) == 1 for batch in batches)
    for batch, following in pairwise(batches):
        assert len(ingestion.body([*batch, following[0]])) > limit


def test_a_body_is_a_json_array() -> None:
    assert ingestion.body([Row(b'{"a":1}'), Row(b'{"b":2}')]) == b'[{"a":1},{"b":2}]'
    assert ingestion.body([]) == b"[]"


def test_octets_that_are_known_are_taken_and_a_row_that_is_too_long_is_still_shortened() -> None:
    short, long = {"a": 1}, {"a": "x" * (2 * ingestion.MAX_FIELD_BYTES)}
    known = json.dumps(short, separators=(",", ":")).encode()
    assert ingestion.row(short, encoded=known) is known
    assert ingestion.row(long, encoded=json.dumps(long, separators=(",", ":")).encode()) == ingestion.row(long)
