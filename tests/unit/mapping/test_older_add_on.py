"""Days as the older Splunk add-on (Splunkbase 5693) sent them: what we tell, beside Graph's document itself."""

import json
from typing import Any

from connector.model import Version
from connector.observe.changes import score_observed
from connector.observe.events import Origin, stamp
from connector.observe.memory import slim
from connector.observe.severity import SeverityRules
from connector.sources.days import parse_days
from tests.golden import samples
from tests.shared_data import HEIMDALL_TENANT, shared_data

READ_BY_ITS_DASHBOARD = [
    "controlCategory",
    "controlName",
    "controlState",
    "State",
    "scoreInPercentage",
    "count",
    "total",
    "lastSynced",
    "IsEnforced",
    "IsApplicable",
    "on",
    "implementationStatus",
    "description",
]
ADDED = {"event_id", "revision", "final"}
LATER = {"description", "lastSynced", "implementationStatus"}
"""What a capture's controls have that our memory of a day does not keep."""


def document() -> dict[str, Any]:
    data = json.loads(shared_data("heimdall2_secureScore.json").read_bytes())
    found: dict[str, Any] = data["value"][0]
    return found


def told(doc: dict[str, Any], *, remembered: bool = False) -> dict[str, Any]:
    """The document as we would send it: when it was read, or later, from memory."""
    (day,) = parse_days([doc], HEIMDALL_TENANT, "capture", "2026-11-22")
    version = Version(day, "h")
    change = score_observed(slim(version) if remembered else version, None, backfilled=False, controls=True)
    event = stamp(change, Origin(HEIMDALL_TENANT, "t", {}), "2024-01-01T12:00:00Z", SeverityRules(()))
    payload = samples.mapping("graphsecurity").render(event).payload
    assert not isinstance(payload, str)
    sent: dict[str, Any] = json.loads(json.dumps(payload["event"]))
    return sent


def exactly(value: Any) -> str:
    """Told apart by type as well: 1, 1.0, "1" and true differ in a search."""
    return json.dumps(value, sort_keys=True)


def test_a_day_has_every_field_name_type_and_value_of_the_document() -> None:
    doc = document()
    sent = told(doc)
    assert set(sent) == set(doc) | ADDED
    for key in set(doc) - {"vendorInformation", "enabledServices", "controlScores"}:
        assert exactly(sent[key]) == exactly(doc[key]), key
    assert sorted(sent["enabledServices"]) == sorted(doc["enabledServices"])
    assert sent["vendorInformation"].items() <= doc["vendorInformation"].items()
    was, now = (
        {exactly({key: value for key, value in one.items() if value != ""}) for one in each["controlScores"]}
        for each in (doc, sent)
    )
    assert now == was, "an empty text may be left out: a table shows the same"


def test_every_column_of_its_dashboard_is_told_where_graph_sends_it() -> None:
    doc = document()
    more = {"controlState": "Default", "State": "on", "IsEnforced": True, "IsApplicable": "true"}
    doc["controlScores"][0] |= {**more, "count": "3", "total": "9", "on": "false", "unheard": "of"}
    first = told(doc)["controlScores"][0]
    assert set(READ_BY_ITS_DASHBOARD) <= set(first)
    assert exactly({key: first[key] for key in more}) == exactly(more)
    assert "unheard" not in first


def test_the_telling_from_memory_lacks_what_memory_does_not_keep() -> None:
    doc = document()
    one = told(doc, remembered=True)["controlScores"][0]
    was = next(c for c in doc["controlScores"] if c["controlName"] == one["controlName"])
    assert set(was) - set(one) == LATER


def test_what_splunk_must_find_stands_in_front_of_what_is_long() -> None:
    text = json.dumps(told(document()))
    assert max(text.index(f'"{key}"') for key in (*ADDED, "currentScore", "maxScore", "vendorInformation")) < 1_000
    assert list(told(document()))[-1] == "controlScores"
