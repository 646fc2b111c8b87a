"""The knowledge of the Splunk packages: alerts fire once and for the right events, fields exist, CIM is satisfied."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import evolve

from connector.app import severity_rules
from connector.cli import alert_samples
from connector.mapping.resources import load_data
from connector.model import Event
from connector.observe import frameworks
from tests.artefacts.spl import World, compiled, split
from tests.artefacts.splunk_knowledge import KNOWLEDGE, conf, macros, query, world
from tests.artefacts.test_host_readme import reasons
from tests.golden import samples

NOW = datetime(2026, 11, 28, 10, 30, tzinfo=UTC)
SEARCHES = conf("savedsearches.conf")
ALERTS = [name for name, search in SEARCHES.items() if "action.correlationsearch.enabled" not in search]
ES = [name for name in SEARCHES if name not in ALERTS]
SILENT = "Secure Score - Connector silent"
CIM_REQUIRED = {
    "action", "change_type", "command", "dest", "dvc", "object", "object_attrs", "object_category", "object_id", "src",
    "status", "user", "vendor_product",
}  # fmt: skip
"""Of the data model Change, node All_Changes: what Splunk asks add-ons to fill."""


def sampled() -> list[Event]:
    """The samples, with what the engine says of a control in a change."""
    found = []
    for name in samples.names():
        event = samples.event(name)
        control = event.data.get("control")
        if event.stream == "change" and control:
            event = evolve(event, data={**event.data, "control": {**control, **frameworks.tags(control["id"])}})
        found.append(event)
    return found


def alert_events(now: datetime = NOW) -> list[Event]:
    return alert_samples.events(now, severity_rules(), ["splunk"])


def fired(name: str, where: World) -> list[dict[str, Any]]:
    return where.run(SEARCHES[name]["search"])


def test_searches_are_off_and_run_once_they_are_on() -> None:
    """`disabled` and `enableSched` are independent: Splunk's Enable changes the first alone."""
    assert (len(ALERTS), len(ES)) == (11, 3)
    for name, search in SEARCHES.items():
        assert (search["disabled"], search["enableSched"]) == ("1", "1"), name
        assert search["schedule_window"] == "auto"
        assert search["dispatch.earliest_time"].startswith("-")
        assert int(search["dispatch.earliest_time"].strip("-d")) <= 100, "no further back than a backfill"
        assert search["dispatch.latest_time"] == "now"
        assert search["alert.suppress"] == "1", "one alert for a transition"
        assert search["alert.digest_mode"] == "0"
        assert search["description"]
        assert "index=" not in search["search"].replace("_index_earliest=", ""), "the index is a macro's business"
        assert "`ms_securescore_" in search["search"]


def test_no_two_searches_start_in_the_same_minute() -> None:
    """Nor more often than data come, which is hourly."""
    minutes = [minute for search in SEARCHES.values() for minute in search["cron_schedule"].split()[0].split(",")]
    assert len(minutes) == len(set(minutes))
    assert all(minute.isdigit() for minute in minutes)
    assert max(search["cron_schedule"].split()[0].count(",") for search in SEARCHES.values()) == 1


@pytest.mark.parametrize("name", list(SEARCHES))
def test_what_is_looked_for_is_said_before_the_first_pipe(name: str, lookups: Path) -> None:
    """What stands there is left out where the events lie, instead of being sent and sorted first."""
    text = world([], lookups, NOW).expand(SEARCHES[name]["search"])
    first, *_ = split(text, "|")
    for part in [first, *re.findall(r"append \[search ([^|]+)", text)]:
        assert not part or "event_type=" in part
    assert text.count("sort 0 backfilled") == (0 if text.startswith("|") else 1)


@pytest.mark.parametrize("name", ES)
def test_correlation_searches_carry_what_enterprise_security_asks(name: str, lookups: Path) -> None:
    search = SEARCHES[name]
    assert name.endswith(" - Rule")
    (rows) = world([*sampled(), *alert_events()], lookups, NOW, indexed=NOW).run(search["search"])
    assert rows
    assert not any(row["tenant"] == "TEST" for row in rows), "a test is no risk"
    risks = json.loads(search["action.risk.param._risk"])
    assert risks
    for risk in risks:
        assert risk["risk_object_type"] in ("system", "user", "other")
        assert any(row.get(risk["risk_object_field"]) for row in rows)
    annotations = json.loads(search["action.correlationsearch.annotations"])
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", each) for each in annotations["mitre_attack"])
    asked = set(re.findall(r"\$([a-z_]+)\$", " ".join(v for key, v in search.items() if key.startswith("action."))))
    assert asked <= {column for row in rows for column in row}
    assert search["action.notable.param.security_domain"] in (
        "access", "endpoint", "network", "threat", "identity", "audit",
    )  # fmt: skip
    assert json.loads(search["action.notable.param.next_steps"])["data"]


@pytest.mark.parametrize("name", [name for name in ALERTS if name != SILENT])
def test_each_alert_fires_on_its_test_event(name: str, lookups: Path) -> None:
    """What `securescore check --send-test` sends, as it lies in the index a minute later."""
    rows = fired(name, world(alert_events(), lookups, NOW + timedelta(minutes=1)))
    assert rows
    for key in SEARCHES[name]["alert.suppress.fields"].split(","):
        assert all(row.get(key) for row in rows), f"suppression by {key} needs a value"


def test_the_table_of_test_events_names_these_alerts() -> None:
    table = yaml.safe_load((KNOWLEDGE.parents[2] / "mappings/alerts.yaml").read_text())["alerts"]
    assert {name for row in table for name in row.get("splunk", ())} == set(ALERTS)


@pytest.mark.parametrize("name", list(SEARCHES))
def test_no_alert_fires_on_history_or_calm(name: str, lookups: Path) -> None:
    calm = [samples.event("score.observed"), samples.event("control.observed"), samples.event("score.changed/improved")]
    calm += [samples.event("posture.target_met"), samples.event("feed.recovered")]
    past = [evolve(e, data={**e.data, "backfilled": True}) for e in sampled() if e.stream == "change"]
    past += [samples.event("score.observed/backfilled")]
    assert fired(name, world([*calm, *past], lookups, NOW, indexed=NOW)) == []


@pytest.mark.parametrize("name", list(SEARCHES))
def test_every_field_of_an_alert_exists(name: str, lookups: Path) -> None:
    where = world([*sampled(), *alert_events(), *VARIANTS["posture.target_missed"]], lookups, NOW, indexed=NOW)
    where.tables["ms_securescore_instances"] = [
        {"instance": "never", "input": "prod", "host": "sh1", "interval_s": 3600}
    ]
    assert where.run(SEARCHES[name]["search"]), "with rows to the end every field is looked at"
    assert where.unknown == set()


def test_a_misspelt_field_is_found(lookups: Path) -> None:
    """The check above can fail."""
    where = world(sampled(), lookups, NOW, indexed=NOW)
    assert where.run("`ms_securescore_events(change)` | eval lost=-tonumber(dleta) | table _time, sumary")
    assert where.unknown == {"dleta", "sumary"}


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, 1),
        ({"data.kind": "removed", "data.direction": "unchanged"}, 1),
        ({"data.kind": "added", "data.direction": "unchanged"}, 0),
        ({"data.direction": "improved"}, 0),
    ],
    ids=["more failed", "gone", "came", "fewer failed"],
)
def test_a_standard_that_fails_more_or_is_gone_fires(changes: dict[str, Any], rows: int, lookups: Path) -> None:
    event = samples.event("compliance.changed", changes)
    assert len(fired("Secure Score - Compliance regressed", world([event], lookups, NOW, indexed=NOW))) == rows


TABLE: dict[str, Any] = load_data("alerts")
TYPES: dict[str, dict[str, Any]] = TABLE["events"]
AT = ("time", "data.observed_at", "data.until")
VARIANTS = {
    "feed.partial": [samples.event("feed.partial", {"data.repeat": 1})],
    "connector.problem": [samples.event("connector.problem/tenants", {"data.reason": "stale"})],
    "connector.heartbeat": [
        samples.event(
            "connector.heartbeat",
            {"id": "now", "data.delivered": {"splunk": 7}, **dict.fromkeys(AT, f"{NOW:%Y-%m-%dT%H:%M:%SZ}")},
        )
    ],
    "posture.target_missed": [
        samples.event(
            "posture.target_missed/baseline_declared", {"id": "lapsed", "data.target.excused_until": "2026-11-21"}
        )
    ],
}


def of_type(name: str) -> list[Event]:
    """The samples of an event type, and what of it weighs more than they do."""
    return [e for e in sampled() if e.type == name and not e.backfilled] + VARIANTS.get(name, [])


@pytest.mark.parametrize("name", TYPES)
def test_each_event_type_is_told_by_the_alerts_that_the_table_says(name: str, lookups: Path) -> None:
    titles = {row["name"]: row.get("splunk", ()) for row in TABLE["alerts"]}
    said = {title for alert in TYPES[name].get("alerts", ()) for title in titles[alert]}
    just_now = [
        evolve(event, data={**event.data, "observed_at": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"}) for event in of_type(name)
    ]
    where = [world([event], lookups, NOW, indexed=NOW) for event in just_now]
    assert where
    assert {alert for alert in ALERTS for each in where if fired(alert, each)} == said


@pytest.mark.parametrize("name", [name for name, row in TYPES.items() if "splunk" in row])
def test_each_event_type_is_seen_on_the_page_that_the_table_says(name: str, lookups: Path) -> None:
    pages = TYPES[name]["splunk"]
    pages = [pages] if isinstance(pages, str) else pages
    for event in of_type(name):
        if (event.data.get("unit") or {}).get("kind") and "securescore_cloud" not in str(pages):
            continue  # that page is for them
        given = {"tenant": "*", "unit": "*", "category": "*", "state": "*", "transition": "*"}
        given["control"] = (event.data.get("control") or {}).get("id", "")
        with_it, without = (world(events, lookups, NOW, indexed=NOW) for events in ([event], []))
        searches = [query(*page.split("/")) for page in pages]
        assert any(with_it.run(text, given) != without.run(text, given) for text in searches)


def test_every_reason_of_a_problem_is_told(lookups: Path) -> None:
    def told(reason: str) -> bool:
        where = world([samples.event("connector.problem", {"data.reason": reason})], lookups, NOW, indexed=NOW)
        return any(fired(f"Secure Score - {alert}", where) for alert in ("Connector problem", "Feed stale"))

    meant = reasons() - set(TABLE["unsaid"])
    assert len(meant) > 20
    assert {reason for reason in meant if not told(reason)} == set()


def health(name: str, at: str, **changes: Any) -> Event:
    """A sample of the connector's health, told at a moment of the day."""
    moment = f"2026-11-28T{at}:00Z"
    own = {"id": f"{name} {at} {changes}", "time": moment, "data.observed_at": moment}
    return samples.event(name, {**own, **{f"data.{key}": value for key, value in changes.items()}})


def test_a_problem_is_told_once_and_again_where_its_reason_becomes_another(lookups: Path) -> None:
    told = [health("connector.problem/connector", "05:00"), health("connector.problem/connector", "06:00", repeat=1)]
    told.append(health("connector.problem/connector", "07:00", repeat=2, reason="outbox_full"))
    rows = fired("Secure Score - Connector problem", world(told, lookups, NOW))
    assert [row["reason"] for row in rows] == ["outbox_filling", "outbox_full"]
    assert len({row["told"] for row in rows}) == 2, "neither suppresses the other"


def test_an_expiry_is_told_at_each_of_its_stages(lookups: Path) -> None:
    told = [health("connector.problem", "05:00", reason="secret_expiring", repeat=n) for n in range(3)]
    assert len(fired("Secure Score - Connector problem", world(told, lookups, NOW))) == 3


def test_a_lost_state_is_told_and_a_first_start_is_not(lookups: Path) -> None:
    new = health("connector.problem/connector", "09:00", reason="state_new")
    (host,) = (row["host"] for row in world([new], lookups, NOW).rows)
    beats = [health("connector.heartbeat", at, instance=host) for at in ("09:05", "10:05")]
    first = [new, *(evolve(each, source=new.source) for each in beats)]
    assert fired("Secure Score - Connector problem", world(first, lookups, NOW)) == []
    before = evolve(health("connector.heartbeat", "08:05", instance=host), source=new.source)
    assert len(fired("Secure Score - Connector problem", world([before, *first], lookups, NOW))) == 1


WHOLE = samples.event("score.changed/aggregate")
FELL = samples.event("score.changed/subscription")
GONE = samples.event("unit.removed", {"data.unit.id": "gone", "data.unit.name": "gone"})


def part(control: str, delta: float, score: float | None = None) -> dict[str, Any]:
    own = {} if score is None else {"effects": {"score": score, "weight": delta - score}}
    return {"control": control, "kind": "moved", "delta": delta, "cause": {"label": "configuration"}, **own}


def whole(*parts: dict[str, Any], alone: bool = False) -> Event:
    told = [*(() if alone else WHOLE.data["contributions"]), *parts]
    return evolve(WHOLE, data={**WHOLE.data, "contributions": told})


APART = {
    "one subscription": ([FELL, whole()], {FELL.id}),
    "others lost less than a point besides": ([FELL, whole(part("b", -0.9, -0.9), part("c", -9.0, 0.0))], {FELL.id}),
    "others lost a point besides": ([FELL, whole(part("b", -0.9, -0.9), part("c", -0.9, -0.9))], {FELL.id, WHOLE.id}),
    "it is the smaller part": ([FELL, whole(part("b", -30.0, -0.5))], {FELL.id, WHOLE.id}),
    "all a little": ([whole()], {WHOLE.id}),
    "another score": (
        [evolve(FELL, data={**FELL.data, "unit": {**FELL.data["unit"], "score": "own"}}), whole()],
        {FELL.id, WHOLE.id},
    ),
    "one that is gone": ([GONE, whole(part("gone", -30.0), part("b", 25.0, 0.0), alone=True)], set()),
    "an exposure rose": ([samples.event("score.changed/exposure")], {samples.event("score.changed/exposure").id}),
}


@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("alert", ["Score dropped", "Score fell - Rule"])
def test_the_score_over_all_is_told_with_the_subscription_that_it_fell_with(
    name: str, alert: str, lookups: Path
) -> None:
    events, told = APART[name]
    assert {
        row["event_id"] for row in fired(f"Secure Score - {alert}", world(events, lookups, NOW, indexed=NOW))
    } == told


def test_where_nobody_is_told_of_a_removed_unit_the_score_over_all_is(lookups: Path) -> None:
    where = world([GONE, whole(part("gone", -30.0), part("b", 25.0, 0.0), alone=True)], lookups, NOW, indexed=NOW)
    where.macros = {**where.macros, "ms_securescore_unit_removed_on": ("0", [])}
    assert [row["event_id"] for row in fired("Secure Score - Score dropped", where)] == [WHOLE.id]


def deviation(number: int, tenant: int = 0) -> Event:
    name = f"t{tenant}"
    own = {"id": f"{name} {number}", "data.target.control": f"c{number}", "data.tenant": {"id": name, "name": name}}
    return samples.event("posture.target_missed/baseline_declared", own)


def test_a_standard_is_told_once_a_read_and_once_for_very_many_tenants(lookups: Path) -> None:
    alert = "Secure Score - Target missed"
    (one,) = fired(alert, world([deviation(n) for n in range(40)], lookups, NOW, indexed=NOW))
    assert (one["tenant"], one["standard"], len(one["target"])) == ("t0", "gold", 40)
    two = [deviation(n, tenant) for n in range(3) for tenant in range(2)]
    assert len(fired(alert, world(two, lookups, NOW, indexed=NOW))) == 2
    twelve = [deviation(n, tenant) for n in range(3) for tenant in range(12)]
    (fleet,) = fired(alert, world(twelve, lookups, NOW, indexed=NOW))
    assert (fleet["tenants"], fleet["standard"]) == (12, "gold")


def test_standards_that_are_only_looked_at_alert_nobody(lookups: Path) -> None:
    where = world([deviation(1)], lookups, NOW, indexed=NOW)
    where.macros = {
        **where.macros,
        "ms_securescore_standards": ("NOT (target.standard=gold OR target.standard=silver)", []),
    }
    assert fired("Secure Score - Target missed", where) == []


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


def test_a_connector_that_never_arrived_is_silent_as_well(lookups: Path) -> None:
    """Whatever its input says of itself: events for an index that does not exist arrive nowhere."""
    where = world([], lookups, NOW)
    where.tables["ms_securescore_instances"] = [
        {"instance": "sh1-prod", "input": "prod", "host": "sh1", "interval_s": 3600, "last_seen": where.now}
    ]
    (row,) = fired(SILENT, where)
    assert (row["instance"], row["input"], row["silent_since"]) == ("sh1-prod", "prod", "ever")


@pytest.mark.parametrize(
    ("interval_s", "hours", "fires"), [(300, 2.9, 0), (300, 3.1, 1), (86400, 47, 0), (86400, 49, 1)]
)
def test_silence_is_measured_by_the_connector_s_own_interval(
    interval_s: int, hours: float, fires: int, lookups: Path
) -> None:
    said = beat(5, 1)
    said = evolve(said, data={**said.data, "interval_s": interval_s})
    at = datetime(2026, 11, 28, 5, tzinfo=UTC) + timedelta(hours=hours)
    assert len(fired(SILENT, world([said], lookups, at))) == fires


# ----------------------------------------------------------------------------------------------------------- CIM Change


ACTS = ("control.state_changed", "tenant.changed", *(f"profile.{kind}" for kind in ("added", "changed", "removed")))
ACTS += ("unit.added", "unit.removed")


def tagged(where: World) -> list[dict[str, Any]]:
    types, tags = conf("eventtypes.conf"), conf("tags.conf")
    (name,) = [stanza.removeprefix("eventtype=") for stanza, body in tags.items() if body.get("change") == "enabled"]
    return where.run(types[name]["search"])


def test_only_what_somebody_changed_is_a_change_of_cim(lookups: Path) -> None:
    """A score that moved is computed; what was derived for the past, and tests, changed nothing."""
    past = [evolve(e, data={**e.data, "backfilled": True}) for e in sampled()]
    rows = tagged(world([*sampled(), *past, *alert_events()], lookups, NOW))
    assert {row["event_type"] for row in rows} == set(ACTS)
    assert len(rows) == sum(event.type in ACTS for event in sampled())


def test_changes_carry_every_field_of_cim(lookups: Path) -> None:
    for row in tagged(world(sampled(), lookups, NOW)):
        assert not CIM_REQUIRED - row.keys(), row["event_type"]
        assert all(isinstance(row[name], str) and row[name] not in ("", "null") for name in CIM_REQUIRED)
        assert row["action"] in ("created", "modified", "deleted")
        assert row["status"] == "success"
        assert row["dest"] == row["tenant"], "an asset is found by its name"
    (state,) = [row for row in tagged(world(sampled(), lookups, NOW)) if row["event_type"] == "control.state_changed"]
    assert "@" in state["user"], "an identity is found by its address"


def test_eventtypes_and_macros_can_be_read(lookups: Path) -> None:
    where = world(sampled(), lookups, NOW)
    for name, body in conf("eventtypes.conf").items():
        assert where.run(body["search"]), name
    for name in macros():
        assert name.startswith("ms_securescore_")
    assert compiled(where, where.expand("`ms_securescore_delivered`"))({"delivered.splunk": "7"}) == "7"


def test_lookups_say_what_the_events_say(lookups: Path) -> None:
    (event,) = [each for each in sampled() if each.data.get("control", {}).get("id") == "AdminMFAV2"][:1]
    where = world([event], lookups, NOW)
    (row,) = where.rows
    assert (row["severity_label"], row["control_class"]) == ("high", "mfa_conditional_access")
    assert len(where.run("search mitre_attack=T1110")) == 1, "each technique is a value of its own"
    assert row["nist_csf"] == "PR.AA-03"
    asked = "lookup ms_securescore_frameworks control_id AS object_id OUTPUT attack, nist_csf AS csf"
    shown = where.run(f"index=main | {asked}")
    assert shown[0]["attack"].split() == row["mitre_attack"]
    assert shown[0]["csf"] == row["nist_csf"]


@pytest.mark.parametrize("stream", ["score", "inventory", "change", "health"])
def test_props_of_each_sourcetype(stream: str) -> None:
    props = conf("props.conf")[f"ms:securescore:{stream}"]
    assert props["KV_MODE"] == "json"
    assert "INDEXED_EXTRACTIONS" not in props, "or every value would stand twice"
    assert (props["SHOULD_LINEMERGE"], props["TRUNCATE"], props["TZ"]) == ("false", "0", "UTC")
