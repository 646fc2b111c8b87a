"""Ids as they are indexed: as 16 octets only where these give back the very same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.stores.chunks import id_of, key_of

UUID = "0b0c1a2e-3f40-5a6b-8c7d-9e0f11223344"


@given(st.uuids().map(str))
def test_a_uuid_is_its_octets(event_id: str) -> None:
    assert len(key_of(event_id)) == 16
    assert id_of(key_of(event_id)) == event_id


@pytest.mark.parametrize(
    "event_id",
    [
        UUID.upper(),
        UUID.replace("-", ""),
        UUID.replace("-", "") + "----",
        f"{UUID[1:]}{UUID[0]}",
        UUID.replace("0", "\u0660"),  # a digit, but not of ASCII
        UUID + "\n",
        "\ud800" + UUID[1:],
        "",
    ],
)
def test_another_spelling_is_another_id(event_id: str) -> None:
    assert key_of(event_id) != key_of(UUID)
    assert id_of(key_of(event_id)) == event_id
