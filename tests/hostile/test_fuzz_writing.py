"""Whatever an event or a report holds: a line, a row, a page, and independent parsers find no forgery in it."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import cefp  # type: ignore[import-untyped]  # an oracle without type hints
import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import MappingError
from connector.foreign.characters import harmless, is_harmless
from connector.formats import hec, ingestion, spreadsheet, syslog
from connector.formats.lines import octets, one_line
from connector.model import Event
from connector.report import markup
from tests.golden import samples
from tests.hostile.matter import TEXTS, altered, budget, only

EVENTS = [samples.event(name) for name in samples.names()]
FORMATS = ["cef", "leef", "cloudevents", "splunk", "sentinel", "ecs", "graphsecurity", "ocsf", "ocsf-1.8"]
BREAKS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
SAME = st.sampled_from(EVENTS)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event in which something is not as we write it: of another version, or damaged on the disk."""
    event = draw(SAME)
    data = draw(altered({"data": dict(event.data)}))
    inside = data.get("data")
    subject = draw(TEXTS | st.just(event.subject))
    return Event(**{**asdict(event), "subject": subject, "data": inside if isinstance(inside, dict) else {}})


@pytest.mark.parametrize("name", FORMATS)
@budget(20)
@given(event=events())
def test_any_event_is_one_record_or_is_parked(name: str, event: Event) -> None:
    """The words of a mapping's refusal are what an operator sees of a parked event."""
    payload: Any = None
    with only(MappingError):
        payload = samples.mapping(name).render(event).payload
    if payload is None:
        return
    line = octets(one_line(payload)).decode("utf-8")
    assert not BREAKS.search(line)
    if name == "cef":
        read_cef(line)
    elif name == "leef":
        read_leef(line)
    else:
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    if not isinstance(payload, str) and name == "splunk":
        json.loads(hec.encode(hec.envelope(payload, event.time)))
    if not isinstance(payload, str) and name == "sentinel":
        assert len(ingestion.row(payload)) < ingestion.MAX_BODY_BYTES


def read_cef(line: str) -> None:
    parsed = cefp.parse(line)
    assert parsed["device"]["vendor"]
    keys = re.findall(r"(?:^| )([A-Za-z0-9]+)=", re.sub(r"\\.", "", line.split("|", 7)[-1]))
    assert len(keys) == len(set(keys)), "no key twice: the first would be hidden by what a tenant wrote"


def read_leef(line: str) -> None:
    *header, attributes = line.split("|", 6)
    assert header[:1] == ["LEEF:2.0"]
    assert header[5] == "x09"
    keys = [pair.partition("=")[0] for pair in attributes.split("\t") if pair]
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", key) for key in keys)
    assert len(keys) == len(set(keys))


@budget(100)
@given(TEXTS, st.sampled_from(["octet", "lf"]))
def test_a_frame_holds_one_message(text: str, framing: str) -> None:
    message = octets(one_line(text))
    framed = syslog.frame(message, framing)
    if framing == "lf":
        assert framed == message + b"\n"
        assert b"\n" not in message
    else:
        size, _, rest = framed.partition(b" ")
        assert int(size) == len(rest)
        assert rest == message


@budget(100)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_row_of_a_table_comes_back_and_computes_nothing(texts: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(spreadsheet.lines([texts]), newline=""), strict=True)
    for cell, text in zip(row, texts, strict=True):
        assert not BREAKS.search(cell)
        assert not cell.lstrip().startswith(("=", "+", "-", "@")), "a spreadsheet would compute it"
        assert [c for c in cell if c.isalnum()] == [c for c in text if c.isalnum() and is_harmless(c)], (
            "nothing of it is lost"
        )


class Tags(HTMLParser):
    """What a browser would make of a fragment: the elements, and the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@budget(100)
@given(TEXTS, TEXTS)
def test_a_text_in_a_page_stays_a_text(text: str, label: str) -> None:
    reader = Tags()
    reader.feed(markup.el("p", text, class_=label))
    reader.close()
    assert reader.tags == ["p"]
    assert reader.text == harmless(text)


@budget(50)
@given(TEXTS)
def test_no_link_of_a_page_leads_out_of_it(text: str) -> None:
    try:
        made: Any = markup.open_tag("a", href=text)
    except ValueError:
        return
    assert made.startswith('<a href="#')
