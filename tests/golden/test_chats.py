"""Messages to people's tools: the shape each receiver documents, whatever a tenant's texts hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from connector.model import Event
from tests.golden import samples
from tests.hostile_events import hostile_events

MAPPINGS = {name: samples.mapping(name) for name in ("slack", "teams", "jira", "servicenow", "pagerduty")}


def _payload(name: str, event: Event) -> dict[str, Any]:
    payload = MAPPINGS[name].render(event).payload
    assert isinstance(payload, dict)
    return payload


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


@given(hostile_events())
def test_slack_takes_nothing_for_markup_or_a_mention(event: Event) -> None:
    message = _payload("slack", event)
    assert not {"<", ">"} & set(message.get("text", ""))
    texts = [each for each in _objects(message) if each.get("type") in ("plain_text", "mrkdwn")]
    assert {each["type"] for each in texts} == {"plain_text"}
    assert all(len(each.get("text", "")) <= 3000 for each in texts)
    header = message["blocks"][0]
    assert header["type"] == "header"
    assert len(header["text"]["text"]) <= 150
    assert len(message["blocks"]) <= 50


@given(hostile_events())
def test_a_card_reads_no_text_as_markdown(event: Event) -> None:
    [attachment] = _payload("teams", event)["attachments"]
    card = attachment["content"]
    kinds = {each["type"] for each in _objects(card) if "type" in each}
    assert kinds <= {"AdaptiveCard", "RichTextBlock", "TextRun", "Action.OpenUrl"}
    assert len(json.dumps(_payload("teams", event), ensure_ascii=False).encode()) < 28_000 or _is_long(event)


def _is_long(event: Event) -> bool:
    """Texts of thousands of characters outside ASCII take more octets than characters."""
    return not json.dumps(dict(event.data), ensure_ascii=False).isascii()


@given(hostile_events())
def test_a_summary_stays_within_its_field_and_on_one_line(event: Event) -> None:
    issue, incident, alert = (_payload(name, event) for name in ("jira", "servicenow", "pagerduty"))
    assert len(issue["fields"]["summary"]) <= 255
    assert len(issue["fields"]["summary"].splitlines()) == 1
    assert len(incident["short_description"]) <= 160
    assert len(alert["payload"].get("summary", "")) <= 1024
    assert alert["payload"]["severity"] in ("critical", "error", "warning", "info")
    assert alert["event_action"] in ("trigger", "resolve")


@pytest.mark.parametrize("name", samples.names())
def test_jira_descriptions_are_documents_of_paragraphs_with_texts(name: str) -> None:
    document = _payload("jira", samples.event(name))["fields"]["description"]
    assert (document["type"], document["version"]) == ("doc", 1)
    for paragraph in document["content"]:
        assert paragraph["type"] == "paragraph"
        assert all(text["type"] == "text" and text["text"] for text in paragraph["content"])


@pytest.mark.parametrize(
    ("trouble", "end"),
    [("connector.problem", "connector.recovered"), ("posture.target_missed", "posture.target_met")],
)
def test_the_end_of_a_trouble_resolves_its_alert(trouble: str, end: str) -> None:
    opened, closed = _payload("pagerduty", samples.event(trouble)), _payload("pagerduty", samples.event(end))
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]
