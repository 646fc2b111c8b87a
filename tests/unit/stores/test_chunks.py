"""Ids as they are indexed: as 16 octets only where these give back the very same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.stores.chunks import id_of, key_of, keys_of, keys_of_texts, packed_ids

UUID = "0b0c1a2e-3f40-5a6b-8c7d-9e0f11223344"


@given(st.uuids().map(str))
def test_a_uuid_is_its_octets(event_id: str) -> None:
    assert len(key_of(event_id)) == 16
    assert id_of(key_of(event_id)) == event_id


ODD = (
    UUID.upper(),
    UUID.replace("-", ""),
    UUID.replace("-", "") + "----",
    f"{UUID[1:]}{UUID[0]}",
    UUID.replace("0", "\u0660"),  # a digit, but not of ASCII
    UUID + "\n",
    "\ud800" + UUID[1:],
    "",
)


@pytest.mark.parametrize("event_id", ODD)
def test_another_spelling_is_another_id(event_id: str) -> None:
    assert key_of(event_id) != key_of(UUID)
    assert id_of(key_of(event_id)) == event_id


@given(st.lists(st.uuids().map(str) | st.sampled_from(ODD), max_size=5))
def test_many_ids_at_once_are_as_each_alone(ids: list[str]) -> None:
    keys = keys_of_texts(ids)
    assert keys == list(map(key_of, ids))
    assert keys_of(packed_ids(keys)) == keys


def test_two_ids_whose_lengths_make_up_for_each_other_are_not_taken_for_uuids() -> None:
    for ids in ([UUID[:-1], UUID + "0"], [UUID.replace("-", "", 1), UUID[:8] + "-" + UUID[8:]], [UUID, UUID[::-1]]):
        assert keys_of_texts(ids) == list(map(key_of, ids))
        assert list(map(id_of, keys_of_texts(ids))) == ids
