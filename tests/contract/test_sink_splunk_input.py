"""The modular-input sink: the contract, and the events that splunkd reads."""

import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from splunklib.modularinput import EventWriter  # type: ignore[import-untyped]

from connector.errors import Unavailable
from connector.testing.sink_contract import FarEnd, SinkContract, json_object, record
from sinks.splunk_input import ModularInputSink, Place, event_of

PLACE = Place("secure_score://prod", index="security", host="sh1")


class Pipe(io.TextIOBase):
    """splunkd's end of stdout. `breaks_after` takes so many writes of events, then is gone."""

    def __init__(self) -> None:
        self.text = ""
        self.room: int | None = None

    def write(self, text: str) -> int:
        if self.room is not None and text.startswith("<event"):
            if self.room == 0:
                raise BrokenPipeError(32, "Broken pipe")
            self.room -= 1
        self.text += text
        return len(text)

    def events(self) -> list[ET.Element]:
        return list(ET.fromstring(f"{self.text or '<stream>'}</stream>"))


class Splunkd:
    """An input's process and who reads from it."""

    breaks_midway = True
    probe_sees_down = False

    def __init__(self) -> None:
        self.pipe = Pipe()
        self._sink = ModularInputSink("splunk", PLACE, EventWriter(self.pipe, io.StringIO()))

    def sink(self) -> ModularInputSink:
        return self._sink

    def payload(self, event_id: str, text: str) -> Any:
        return {"event": json_object(event_id, text), "time": "1795305600.000"}

    def unacceptable(self) -> Any:
        return {"event": {"number": float("nan")}}

    async def received(self, count: int) -> list[str]:
        return [event.findtext("data") or "" for event in self.pipe.events()]

    async def down(self) -> None:
        self.pipe.room = 0

    async def up(self) -> None:
        self.pipe.room = None

    async def break_after_first(self) -> None:
        self.pipe.room = 1


class TestContract(SinkContract):
    @pytest.fixture
    def far_end(self) -> FarEnd:
        return Splunkd()


async def test_writes_the_envelope_of_the_mapping() -> None:
    far = Splunkd()
    payload = {
        "event": {"note": "é <&> \x01"},
        "time": "1763856000.000",
        "source": "secure_score:1111",
        "sourcetype": "ms:securescore:score",
        "host": "contoso",
    }
    await far.sink().send([record(1, payload)])
    (event,) = far.pipe.events()
    assert event.attrib == {"stanza": "secure_score://prod", "unbroken": "1"}
    assert {part.tag: part.text for part in event} == {
        "time": "1763856000.000",
        "source": "secure_score:1111",
        "sourcetype": "ms:securescore:score",
        "index": "security",
        "host": "contoso",
        "data": '{"note":"\\u00e9 <&> \\u0001"}',
        "done": None,
    }
    assert json.loads(event.findtext("data") or "") == {"note": "é <&> \x01"}


def test_an_index_of_the_event_itself_wins_and_none_is_none() -> None:
    assert event_of(PLACE, record(1, {"event": {"a": 1}, "index": "own"})).index == "own"
    assert event_of(Place("secure_score://prod"), record(1, {"event": {"a": 1}})).index is None


async def test_nothing_written_leaves_stdout_empty() -> None:
    far = Splunkd()
    await far.sink().send([])
    assert far.pipe.text == ""


async def test_a_closed_stream_is_no_bug() -> None:
    class Closed(EventWriter):  # type: ignore[misc]
        def write_event(self, event: Any) -> None:
            raise ValueError("I/O operation on closed file.")

    with pytest.raises(Unavailable, match="no longer reads"):
        await ModularInputSink("splunk", PLACE, Closed(io.StringIO())).send([record(1, {"event": {"a": 1}})])
