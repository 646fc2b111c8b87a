"""Stamping: ids, times, tenant and severity of an event."""

from typing import Any

import pytest
from attrs import evolve

from connector.model import STREAM_OF_TYPE, Change, Unit
from connector.observe.events import Origin, event_time, stamp
from connector.observe.severity import SeverityRules

TENANT = "11111111-1111-1111-1111-111111111111"
ORIGIN = Origin(TENANT, "contoso", {"customer": "contoso"})
RULES = SeverityRules(({"when": {"type": "score.changed"}, "severity": 6},), default=2)
NOW = "2026-11-22T09:12:03Z"


def change(kind: str = "score.changed", **more: Any) -> Change:
    return evolve(Change(kind, "score", "d1#h1#0", "d2#h2#0", "2026-11-22", {"summary": "x", "delta": -6.0}), **more)


def test_an_event_is_whole() -> None:
    event = stamp(change(), ORIGIN, NOW, RULES)
    assert event.id == "3f0d25f1-4291-84eb-94c4-8efd187e6012"
    assert (event.source, event.type, event.subject) == (f"urn:secure-score:tenant:{TENANT}", "score.changed", "score")
    assert dict(event.data) == {
        "stream": "change",
        "day": "2026-11-22",
        "observed_at": NOW,
        "occurred_at": None,
        "backfilled": False,
        "tenant": {"id": TENANT, "name": "contoso", "labels": {"customer": "contoso"}},
        "severity": 6,
        "summary": "x",
        "delta": -6.0,
        "source": "graph",
    }


def test_the_id_depends_on_nothing_that_varies() -> None:
    base = stamp(change(), ORIGIN, NOW, RULES)
    renamed = evolve(ORIGIN, name="other", labels={}, source="files")
    other = stamp(change(data={"summary": "y"}, backfilled=True), renamed, "2027-01-01T00:00:00Z", SeverityRules(()))
    assert other.id == base.id


@pytest.mark.parametrize(
    "different",
    [change(type="control.added"), change(subject="a"), change(before=""), change(after="")],
    ids=["type", "subject", "before", "after"],
)
def test_the_id_depends_on_what_was_compared(different: Change) -> None:
    assert stamp(different, ORIGIN, NOW, RULES).id != stamp(change(), ORIGIN, NOW, RULES).id


def test_the_same_change_in_two_tenants_is_two_facts() -> None:
    other = evolve(ORIGIN, tenant_id="22222222-2222-2222-2222-222222222222")
    assert stamp(change(), other, NOW, RULES).id != stamp(change(), ORIGIN, NOW, RULES).id


def test_connector_scope_has_no_tenant_and_the_instance_as_source() -> None:
    event = stamp(change("connector.heartbeat", day=""), Origin(None, "siem-1"), NOW, RULES)
    assert (event.source, event.data["tenant"], event.tenant_id) == ("urn:secure-score:connector:siem-1", None, "")
    assert event.id != stamp(change("connector.heartbeat", day=""), Origin(None, "siem-2"), NOW, RULES).id
    assert event.data["day"] is None


@pytest.mark.parametrize("kind", sorted(STREAM_OF_TYPE))
def test_news_has_the_time_of_observation_and_the_past_its_day(kind: str) -> None:
    daily = kind in ("score.observed", "control.observed", "compliance.observed")
    assert event_time(change(kind), NOW) == ("2026-11-22T00:00:00Z" if daily else NOW)
    assert event_time(change(kind, backfilled=True), NOW) == "2026-11-22T00:00:00Z"
    assert event_time(change(kind, day=""), NOW) == NOW


def test_what_is_stamped_cannot_be_overridden_by_content() -> None:
    event = stamp(change(data={"severity": 10, "source": "elsewhere"}), ORIGIN, NOW, RULES)
    assert (event.severity, event.data["source"]) == (6, "graph")


def test_backfilled_is_severity_0() -> None:
    assert stamp(change(backfilled=True), ORIGIN, NOW, RULES).severity == 0


def test_occurred_at_is_what_graph_states() -> None:
    event = stamp(change("control.state_changed", occurred_at="2026-11-20T08:00:00Z"), ORIGIN, NOW, RULES)
    assert event.data["occurred_at"] == "2026-11-20T08:00:00Z"


def test_an_event_of_a_unit_names_it_and_has_ids_of_its_own() -> None:
    units = {
        None: f"urn:secure-score:tenant:{TENANT}",
        Unit("aggregate", TENANT): f"urn:secure-score:defender-cloud:tenant:{TENANT}",
        Unit("subscription", "20ff", "Prod", "ascScore"): "urn:secure-score:defender-cloud:20ff",
        Unit("subscription", "20ff", "Prod", "own"): "urn:secure-score:defender-cloud:20ff:own",
    }
    seen = {
        unit: stamp(change(), evolve(ORIGIN, source="defender_cloud" if unit else "graph", unit=unit), NOW, RULES)
        for unit in units
    }
    assert {unit: event.source for unit, event in seen.items()} == units
    assert len({event.id for event in seen.values()}) == len(units)
    assert "unit" not in seen[None].data
    assert seen[None].entry == TENANT
    named = seen[Unit("subscription", "20ff", "Prod", "own")]
    assert named.data["unit"] == {"kind": "subscription", "id": "20ff", "name": "Prod", "score": "own"}
    assert named.entry == f"{TENANT}.defender_cloud"
