"""The knowledge of the Splunk packages: alerts fire once and for the right events, fields exist, CIM is satisfied."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve

from connector.app import severity_rules
from connector.cli import alert_samples
from connector.model import Event
from tests.artefacts.spl import World, compiled
from tests.artefacts.splunk_knowledge import KNOWLEDGE, conf, macros, world
from tests.golden import samples

NOW = datetime(2026, 11, 28, 10, 30, tzinfo=UTC)
SEARCHES = conf("savedsearches.conf")
SILENT = "Secure Score - Connector silent"
CIM_REQUIRED = {
    "action", "change_type", "command", "dest", "dvc", "object", "object_attrs", "object_category", "object_id", "src",
    "status", "user", "vendor_product",
}  # fmt: skip
"""Of the data model Change, node All_Changes: what Splunk asks add-ons to fill."""


def sampled() -> list[Event]:
    return [samples.event(name) for name in samples.names()]


def alert_events(now: datetime = NOW) -> list[Event]:
    return alert_samples.events(now, severity_rules(), ["splunk"])


def fired(name: str, where: World) -> list[dict[str, Any]]:
    return where.run(SEARCHES[name]["search"])


def test_alerts_are_off_and_say_when_they_look() -> None:
    assert len(SEARCHES) == 9
    for name, search in SEARCHES.items():
        assert (search["disabled"], search["enableSched"]) == ("1", "0"), name
        assert search["dispatch.earliest_time"].startswith("-")
        assert search["dispatch.latest_time"] == "now"
        assert search["alert.suppress"] == "1", "one alert for a transition"
        assert search["alert.digest_mode"] == "0"
        assert search["description"]
        assert "index=" not in search["search"].replace("_index_earliest=", ""), "the index is a macro's business"
        assert "`ms_securescore_" in search["search"]


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != SILENT])
def test_each_alert_fires_on_its_test_event(name: str, lookups: Path) -> None:
    """What `securescore check --send-test` sends, as it lies in the index a minute later."""
    rows = fired(name, world(alert_events(), lookups, NOW + timedelta(minutes=1)))
    assert rows
    for key in SEARCHES[name]["alert.suppress.fields"].split(","):
        assert all(row.get(key) for row in rows), f"suppression by {key} needs a value"


def test_the_table_of_test_events_names_these_alerts() -> None:
    table = yaml.safe_load((KNOWLEDGE.parents[2] / "mappings/alerts.yaml").read_text())["alerts"]
    assert {name for row in table for name in row.get("splunk", ())} == set(SEARCHES)


@pytest.mark.parametrize("name", list(SEARCHES))
def test_no_alert_fires_on_history_or_calm(name: str, lookups: Path) -> None:
    calm = [samples.event("score.observed"), samples.event("control.observed"), samples.event("score.changed/improved")]
    calm += [samples.event("posture.target_met"), samples.event("feed.recovered")]
    past = [evolve(e, data={**e.data, "backfilled": True}) for e in sampled() if e.stream == "change"]
    past += [samples.event("score.observed/backfilled")]
    assert fired(name, world([*calm, *past], lookups, NOW, indexed=NOW)) == []


@pytest.mark.parametrize("name", list(SEARCHES))
def test_every_field_of_an_alert_exists(name: str, lookups: Path) -> None:
    where = world([*sampled(), *alert_events()], lookups, NOW, indexed=NOW)
    assert where.run(SEARCHES[name]["search"]), "with rows to the end every field is looked at"
    assert where.unknown == set()


def test_a_misspelt_field_is_found(lookups: Path) -> None:
    """The check above can fail."""
    where = world(sampled(), lookups, NOW, indexed=NOW)
    assert where.run("`ms_securescore_events(change)` | eval lost=-tonumber(dleta) | table _time, sumary")
    assert where.unknown == {"dleta", "sumary"}


def test_an_alert_fires_once_for_a_transition_however_often_it_comes(lookups: Path) -> None:
    event = samples.event("score.changed/regressed", {"data.observed_at": "2026-11-28T09:00:00Z"})
    once = fired("Secure Score - Score dropped", world([event], lookups, NOW))
    thrice = fired("Secure Score - Score dropped", world([event] * 3, lookups, NOW))
    assert len(once) == len(thrice) == 1
    assert once[0]["event_id"] == thrice[0]["event_id"]


def test_of_two_copies_the_one_not_backfilled_counts_then_the_first(lookups: Path) -> None:
    event = samples.event("control.score_changed/regressed")
    copy = evolve(event, data={**event.data, "backfilled": True})
    where = world([copy, event], lookups, NOW)
    where.rows[0]["_indextime"] -= 1000
    where.rows[1]["summary"] = "the live one"
    assert [row["summary"] for row in where.run("`ms_securescore_events`")] == ["the live one"]
    late = world([event, event], lookups, NOW)
    late.rows[0]["_indextime"] += 50
    late.rows[1]["summary"] = "came first"
    assert [row["summary"] for row in late.run("`ms_securescore_events(change)`")] == ["came first"]


def beat(hour: int, delivered: int) -> Event:
    moment = datetime(2026, 11, 28, hour, tzinfo=UTC)
    return samples.event(
        "connector.heartbeat",
        {
            "id": f"beat-{hour}",
            "time": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "data.observed_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "data.until": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "data.since": f"{moment - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "data.delivered": {"splunk": delivered, "archive": 10_000},
        },
    )


@pytest.mark.parametrize(("lost", "fires"), [(0, False), (3, True)])
def test_heartbeats_prove_that_nothing_is_missing(lost: int, fires: bool, lookups: Path) -> None:
    """Three hours, 10 events delivered in each besides the heartbeat itself."""
    where = world([], lookups, NOW)
    said = [beat(7, 0), beat(8, 11), beat(9, 11), beat(9, 11)]  # the last one came twice
    sent = []
    for hour in (7, 8):
        moment = datetime(2026, 11, 28, hour, 30, tzinfo=UTC)
        rows = world([samples.event("control.observed")] * 10, lookups, NOW, indexed=moment).rows
        sent += [{**row, "event_id": f"{hour}-{n}"} for n, row in enumerate(rows)]
    for row in sent[-3:]:  # counted by the connector's clock, seen by the index's
        row["_indextime"] = datetime(2026, 11, 28, 9, 2, tzinfo=UTC).timestamp()
    where.rows = [*world(said, lookups, NOW).rows, *sent[lost:]]
    rows = fired("Secure Score - Heartbeat count differs from rows received", where)
    assert bool(rows) is fires
    if rows:
        assert rows[0]["missing"] > 0


def test_silence_is_told_once_while_it_lasts(lookups: Path) -> None:
    said = beat(5, 1)
    assert fired(SILENT, world([said], lookups, datetime(2026, 11, 28, 7, 59, tzinfo=UTC))) == []
    first = fired(SILENT, world([said], lookups, datetime(2026, 11, 28, 8, 1, tzinfo=UTC)))
    later = fired(SILENT, world([said], lookups, datetime(2026, 11, 28, 15, 0, tzinfo=UTC)))
    assert len(first) == 1
    assert first[0]["silent_since"] == later[0]["silent_since"], "the same silence is suppressed"
    assert fired(SILENT, world(alert_events(), lookups, NOW + timedelta(days=1))) == [], "a test is no connector"


# ----------------------------------------------------------------------------------------------------------- CIM Change


def test_change_events_carry_the_tag_and_every_field_of_cim(lookups: Path) -> None:
    types, tags = conf("eventtypes.conf"), conf("tags.conf")
    tagged = [stanza.removeprefix("eventtype=") for stanza, body in tags.items() if body.get("change") == "enabled"]
    where = world([*sampled(), *alert_events()], lookups, NOW)
    (name,) = tagged
    rows = where.run(types[name]["search"])
    assert {row["stream"] for row in rows} == {"change"}
    assert len(rows) == sum(row["stream"] == "change" for row in where.rows), "every change event, nothing else"
    for row in rows:
        assert not CIM_REQUIRED - row.keys(), row["event_type"]
        assert all(isinstance(row[name], str) and row[name] not in ("", "null") for name in CIM_REQUIRED)
        assert row["action"] in ("created", "modified", "deleted")
        assert row["status"] == "success"


def test_eventtypes_and_macros_can_be_read(lookups: Path) -> None:
    where = world(sampled(), lookups, NOW)
    for name, body in conf("eventtypes.conf").items():
        assert where.run(body["search"]), name
    for name in macros():
        assert name.startswith("ms_securescore_")
    assert compiled(where, where.expand("`ms_securescore_delivered`"))({"delivered.splunk": "7"}) == "7"


def test_lookups_say_what_the_events_say(lookups: Path) -> None:
    (row,) = world([samples.event("control.score_changed/regressed")], lookups, NOW).rows
    assert (row["severity_label"], row["control_class"]) == ("high", "mfa_conditional_access")
    assert "T1110" in row["mitre_attack"].split()
    assert row["nist_csf"] == "PR.AA-03"


@pytest.mark.parametrize("stream", ["score", "inventory", "change", "health"])
def test_props_of_each_sourcetype(stream: str) -> None:
    props = conf("props.conf")[f"ms:securescore:{stream}"]
    assert props["KV_MODE"] == "json"
    assert "INDEXED_EXTRACTIONS" not in props, "or every value would stand twice"
    assert (props["SHOULD_LINEMERGE"], props["TRUNCATE"], props["TZ"]) == ("false", "0", "UTC")
