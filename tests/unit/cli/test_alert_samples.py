"""The test events of `check --send-test`: one for each shipped rule, as real ones are, marked in every wire form."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from connector.app import severity_rules
from connector.cli.alert_samples import TENANT, Alert, alerts, events
from connector.formats import cloudevents
from connector.mapping.resources import mapping_names
from connector.model import Event
from tests.golden import samples

NOW = datetime(2026, 11, 24, 9, 12, 3, tzinfo=UTC)


def all_alerts(now: datetime = NOW) -> dict[str, Alert]:
    return {a.name: a for a in alerts(now, severity_rules(), ["soc", "splunk"])}


def all_events(now: datetime = NOW) -> list[Event]:
    return events(now, severity_rules(), ["soc", "splunk"])


def test_every_rule_has_enough_events_or_says_why_not() -> None:
    for alert in all_alerts().values():
        if alert.absence:
            assert alert.events == ()
        else:
            assert len(alert.events) >= alert.least, alert.name


def test_no_event_is_sent_that_no_rule_waits_for() -> None:
    wanted = {e.id for alert in all_alerts().values() for e in alert.events}
    assert {e.id for e in all_events()} == wanted


def test_each_says_that_it_is_a_test_of_nobody() -> None:
    for event in all_events():
        assert event.data["simulated"] is True
        assert event.data["summary"].startswith("TEST: ")
        assert not event.backfilled
        assert event.data["observed_at"] == "2026-11-24T09:12:03Z"
        tenant = event.data["tenant"]
        assert tenant["name"] == TENANT if tenant else event.source == f"urn:secure-score:connector:{TENANT}"


def test_the_fall_of_the_score_is_one_transition_without_a_residual() -> None:
    found = all_alerts()
    (fall,) = found["score dropped"].events
    assert fall.severity == 9
    assert fall.data["residual"] == 0
    assert round(sum(c["delta"] for c in fall.data["contributions"]), 4) == fall.data["delta"]
    assert {e.data.get("transition", e.id) for e in found["mass change"].events} == {fall.id}
    assert len(fall.data["contributions"]) >= 20
    assert {e.severity for e in found["control ignored or asserted"].events} == {8}


def test_the_heartbeat_claims_more_than_anybody_received() -> None:
    (beat,) = all_alerts()["heartbeat count differs"].events
    assert beat.data["delivered"].keys() == {"soc", "splunk"}
    assert min(beat.data["delivered"].values()) > len(all_events())


def test_a_second_test_fires_a_second_time() -> None:
    again = {e.id for e in all_events(NOW + timedelta(seconds=1))}
    assert again.isdisjoint(e.id for e in all_events())


@pytest.mark.parametrize(
    "name",
    [
        "score.changed/regressed",
        "control.score_changed/regressed",
        "control.state_changed",
        "unit.removed",
        "compliance.changed",
        "feed.stale",
    ],
)
def test_it_has_the_fields_of_a_real_event(name: str) -> None:
    real = samples.event(name).data
    event = next(e for e in all_events() if e.type == samples.event(name).type)
    missing = {key for key in real if key not in event.data} - {"snapshot", "class", "frameworks"}
    assert missing == set()


SIMULATED = {
    "cef": r"SecureScoreConnectorSimulated=true",
    "leef": r"\tsimulated=true",
    "cloudevents": r'"simulated":true',
    "splunk": r'"simulated": true',
    "sentinel": r'"Simulated": true',
    **dict.fromkeys(("ocsf", "ocsf-1.6", "ocsf-1.7", "ocsf-1.8"), r'"labels": \["simulated"\]'),
    "ecs": r'"tags": \["simulated"\]',
    **dict.fromkeys(("slack", "teams", "jira", "servicenow", "pagerduty", "mail"), r"\[TEST\]"),
}


@pytest.mark.parametrize("name", sorted(SIMULATED))
def test_every_wire_form_says_simulated(name: str) -> None:
    compiled = samples.mapping(name)
    for event in all_events():
        payload = compiled.render(event).payload
        text = payload if isinstance(payload, str) else json.dumps(payload)
        assert re.search(SIMULATED[name], text), (event.type, text)
        real = Event(
            event.id, event.source, event.type, event.subject, event.time,
            {k: v for k, v in event.data.items() if k != "simulated"},
        )  # fmt: skip
        payload = compiled.render(real).payload
        assert not re.search(SIMULATED[name], payload if isinstance(payload, str) else json.dumps(payload))


def test_the_table_names_every_wire_form_that_ships() -> None:
    """`graphsecurity` renders whole days only, and a test never sends one."""
    assert {*SIMULATED, "graphsecurity"} == set(mapping_names())
    document = samples.mapping("graphsecurity").render(
        samples.event("score.observed/backfilled", {"data.simulated": True})
    )
    assert isinstance(document.payload, dict)
    assert document.payload["event"]["simulated"] is True


def test_the_same_moment_gives_the_same_bytes() -> None:
    assert [cloudevents.dumps(e) for e in all_events()] == [cloudevents.dumps(e) for e in all_events()]
