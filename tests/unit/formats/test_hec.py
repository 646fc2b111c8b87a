"""HEC's envelope: what is taken as one, what is wrapped, what is refused before it is sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats import hec
from tests.golden import samples

AT = "2026-11-22T09:12:03Z"
EPOCH = "1795338723.000"


def test_an_envelope_is_taken_as_it_is() -> None:
    given = {
        "time": "1.5",
        "host": "h",
        "source": "s",
        "sourcetype": "t",
        "index": "i",
        "event": {"a": 1},
        "fields": {},
    }
    found = hec.envelope(given, AT)
    assert found == given
    assert found is not given


@pytest.mark.parametrize("payload", ["CEF:0|a|b|c|d|e|5|", {"id": "x"}])
def test_anything_else_becomes_the_event(payload: Any) -> None:
    assert hec.envelope(payload, AT) == {"event": payload, "time": EPOCH}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1795338723, EPOCH),
        (1795338723.0, EPOCH),
        (1.79e9, "1790000000.000"),
        ("12", "12"),
        ("12.000000001", "12.000000001"),
    ],
)
def test_time_is_plain_decimal_text(given: Any, expected: str) -> None:
    assert hec.envelope({"event": 1, "time": given}, AT)["time"] == expected


@pytest.mark.parametrize(
    "moment", [AT, "2026-11-22T09:12:03+00:00", "2026-11-22T09:12:03", "2026-11-22T14:57:03+05:45"]
)
def test_without_time_it_is_the_records(moment: str) -> None:
    assert hec.envelope({"event": 1}, moment)["time"] == EPOCH


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"event": {}}, "no event"),
        ({"event": ""}, "no event"),
        ({"event": None}, "no event"),
        ({}, "no event"),
        ("", "no event"),
        ({"event": 1, "evnt": 2}, "evnt is no key"),
        ({"event": 1, "time": "1.79e9"}, "time"),
        ({"event": 1, "time": float("nan")}, "time"),
        ({"event": 1, "time": True}, "time"),
        ({"event": 1, "time": "2026-11-22"}, "time"),
        ({"event": 1, "time": -5}, "time"),
        ({"event": 1, "time": "1795338723\n"}, "time"),
        ({"event": 1, "fields": {"a": {"b": 1}}}, "flat"),
        ({"event": 1, "fields": "a"}, "flat"),
        ({"event": 1, "index": 5}, "index"),
    ],
)
def test_what_no_collector_takes_is_refused_with_the_reason(payload: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hec.envelope(payload, AT)


@pytest.mark.parametrize("event", [0, False, 0.0, [0], " "])
def test_zero_and_false_are_events(event: Any) -> None:
    assert hec.envelope({"event": event}, AT)["event"] == event


def test_octets_are_ascii_on_one_line() -> None:
    data = hec.encode(hec.envelope({"event": {"text": "ü\n\u2028\x00😀"}}, AT))
    assert data.isascii()
    assert b"\n" not in data
    assert json.loads(data)["event"]["text"] == "ü\n\u2028\x00😀"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        hec.encode({"event": value})


def test_an_event_above_the_limit_is_refused() -> None:
    assert len(hec.encode({"event": "x" * (hec.MAX_EVENT_BYTES - 12)})) == hec.MAX_EVENT_BYTES
    with pytest.raises(ValueError, match="5000001 bytes"):
        hec.encode({"event": "x" * (hec.MAX_EVENT_BYTES - 11)})


def test_an_ecs_document_is_the_event_itself() -> None:
    """It has a group `event` of its own, which is no envelope."""
    document = samples.mapping("ecs").render(samples.event("feed.gap")).payload
    found = hec.envelope(document, "2026-11-22T09:12:03Z")
    assert found == {"event": document, "time": "1795338723.000"}


@given(st.sampled_from(samples.names()), st.sampled_from(["splunk", "ocsf", "ecs", "graphsecurity"]), st.data())
def test_octets_that_are_known_are_not_made_again_and_none_differs(name: str, form: str, data: st.DataObject) -> None:
    """However a sink completes the envelope: as if it were written whole."""
    event = samples.event(name)
    record = samples.mapping(form).render(event)
    if not record.payload:
        return
    found = hec.envelope(record.payload, record.time)
    for key in data.draw(st.lists(st.sampled_from(["host", "source", "sourcetype", "index"]), unique=True)):
        if data.draw(st.booleans()):
            found[key] = "own"
        else:
            found.pop(key, None)
    assert hec.encode(found, record.payload, record.encoded) == hec.encode(found)
