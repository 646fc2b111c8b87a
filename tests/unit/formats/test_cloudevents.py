"""Canonical events as octets: the same as the text, and refused alike, wherever nothing stands in them."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from connector.formats import cloudevents
from tests.contract.store_contract import event

VALUES = st.sampled_from([None, None, 1.5, "null", "→", float("nan"), float("-inf"), [None], {"on": None}])
SIDES = VALUES | st.dictionaries(st.sampled_from(["assigned_to", "on", "count", "total", "status"]), VALUES)


@given(st.fixed_dictionaries({}, optional={"occurred_at": VALUES, "before": SIDES, "after": SIDES, "more": VALUES}))
def test_octets_are_those_of_the_text_and_no_nan_hides_behind_what_is_unknown(values: dict[str, Any]) -> None:
    given_ = evolve(event(1), data={"stream": "change", **values})
    try:
        text = cloudevents.dumps(given_)
    except ValueError:
        with pytest.raises(ValueError):
            cloudevents.octets(given_)
        return
    assert cloudevents.octets(given_) == text.encode("ascii")
    assert cloudevents.loads(text) == given_
