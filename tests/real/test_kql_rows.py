"""What the Sentinel rules and parsers do with rows: run by duckdb-kql over rows that the shipped mapping made.

No Kusto engine can be installed here. duckdb-kql is another hand's reading of KQL; what both it and the language
service (test_kusto.py) accept, and what it computes as we mean it, is as much as can be known without a workspace.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import Factory, frozen

from connector.app import severity_rules
from connector.cli.alert_samples import alerts, events
from connector.formats import ingestion
from connector.mapping.resources import load_data
from connector.model import STREAM_OF_TYPE, Event
from sinks.sentinel import OPTIONS
from tests import sentinel_content
from tests.artefacts.test_host_readme import reasons
from tests.golden import samples
from tests.real import kusto

NOW = datetime(2026, 11, 27, 12, 0)
MAPPING = samples.mapping("sentinel")
TABLES = {stream: name.removeprefix("Custom-") for stream, name in OPTIONS["streams"].default.items()}
TEST = {
    "data.simulated": True,
    "data.tenant": {"id": "00000000-0000-0000-0000-000000000000", "name": "TEST", "labels": {}},
}


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


@frozen
class Seen:
    """An event as stored in the workspace: a sample with changes, and how many hours ago the workspace took it."""

    sample: str
    changes: Mapping[str, Any] = Factory(dict)
    hours: float = 0.5

    def row(self) -> tuple[str, dict[str, Any]]:
        return stored(samples.event(self.sample, dict(self.changes)), self.hours)


def stored(event: Event, hours: float) -> tuple[str, dict[str, Any]]:
    """The table and the row of an event."""
    record = MAPPING.render(event)
    return TABLES[record.stream], {**json.loads(ingestion.row(record.payload)), "ingested": ago(hours)}


@frozen
class Case:
    """Rows, a query, and what it must give: one mapping a row, naming the columns that matter; None = it runs."""

    query: str
    events: tuple[Seen, ...]
    expected: tuple[Mapping[str, Any], ...] | None = ()


def scenario(events: Iterable[Seen | Event], queries: Mapping[str, str], hours: float = 0.5) -> dict[str, Any]:
    """A workspace that holds these events, bare ones for so many hours, and what is asked of it."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        table, row = event.row() if isinstance(event, Seen) else stored(event, hours)
        rows.setdefault(table, []).append(row)
    return {"now": NOW.isoformat(), "rows": rows, "queries": queries}


def rule(name: str) -> str:
    text: str = sentinel_content.rules()[f"SecureScore{name}.yaml"]["query"]
    return text


def hunt(name: str) -> str:
    text: str = sentinel_content.hunts()[f"SecureScore{name}.yaml"]["query"]
    return text


def contributions(count: int) -> list[dict[str, Any]]:
    cause = {"label": "configuration", "confidence": "high", "evidence": [], "also": []}
    return [
        {"control": f"c{n}", "kind": "moved", "before": 1.0, "after": 0.0, "delta": -1.0, "cause": cause}
        for n in range(count)
    ]


FIRES: dict[str, Seen] = {
    "Dropped": Seen("score.changed/regressed"),
    "ControlRegressed": Seen("control.score_changed/regressed"),
    "ControlStateAsserted": Seen("control.state_changed"),
    "TargetMissed": Seen("posture.target_missed"),
    "ExceptionDue": Seen("posture.exception_due"),
    "MassChange": Seen("score.changed/improved", {"data.contributions": contributions(24)}),
    "UnitRemoved": Seen("unit.removed"),
    "ComplianceRegressed": Seen("compliance.changed"),
    "FeedStale": Seen("feed.stale"),
    "ConnectorProblem": Seen("connector.problem"),
}
"""Rule → the one event that must fire it."""
CLOUD = tuple(Seen(name) for name in samples.names() if samples.event(name).data.get("unit"))
"""An event of every kind that is told of units."""
EXPOSED = Seen(
    "score.observed/subscription",
    {"id": "exposed", "data.unit.kind": "organization", "data.unit.score": "exposureScore"},
)
MASS = Seen("score.changed/regressed", {"data.contributions": contributions(24)})


def again(seen: Seen, hours: float = 0.5, **changes: Any) -> Seen:
    return Seen(seen.sample, {**seen.changes, **{f"data.{key}": value for key, value in changes.items()}}, hours)


def transition(seen: Seen) -> str:
    """What one incident stands for: a score change, a problem, or the event itself."""
    event = samples.event(seen.sample)
    found: str = event.data.get("transition") or event.data.get("problem_id") or event.id
    return found


def named(seen: Seen, name: str, hours: float = 0.5, **changes: Any) -> Seen:
    """As `again`, with an id and a problem of its own; who shares the name shares them."""
    found = again(seen, hours, **changes)
    own = {"id": name, **({"data.problem_id": name} if "problem_id" in samples.event(seen.sample).data else {})}
    return Seen(found.sample, {**found.changes, **own}, found.hours)


def every_rule() -> dict[str, Case]:
    """What holds for every rule that an event fires."""
    found = {}
    for name, event in FIRES.items():
        query = rule(name)
        nothing = (
            named(event, "backfilled", backfilled=True),
            named(event, "severity 0", severity=0),
            named(event, "of an earlier window", hours=1.5),
            named(event, "told when it first came", hours=3),
            named(event, "told when it first came"),
            named(event, "told as live", hours=30),
            named(event, "told as live", backfilled=True, severity=0),
        )
        before = again(event, hours=5, backfilled=True, severity=0)
        test = Seen(event.sample, {**event.changes, **TEST, "data.observed_at": "2026-11-20T01:00:00Z"})
        fired = {"TenantName": "TEST", "Simulated": True, "Transition": transition(event)}
        found[f"{name}: nothing for what is no news"] = Case(query, nothing)
        found[f"{name}: one alert for two copies"] = Case(query, (event, again(event, hours=0.25)), ({},))
        found[f"{name}: one alert though history told it before"] = Case(query, (before, event), ({},))
        found[f"{name}: a test event fires, however late it comes"] = Case(query, (test,), (fired,))
    return found


CONTROL, STATE, BEAT = "control.score_changed/regressed", "control.state_changed", "connector.heartbeat"
OTHER = {"id": "22222222-2222-2222-2222-222222222222", "name": "fabrikam", "labels": {}}


def control(number: int, **changes: Any) -> Seen:
    """The n-th control of a transition, with an id of its own."""
    own = {"id": f"0000000{number}-0000-8000-8000-000000000000", "data.control.id": f"c{number}"}
    return Seen(CONTROL, {**own, **{f"data.{key}": value for key, value in changes.items()}})


def state(number: int, who: str = "admin@contoso.example") -> Seen:
    own = {"id": f"000000{number:02}-0000-8000-8000-000000000000", "data.control.id": f"c{number}"}
    return Seen(STATE, {**own, "data.after.updated_by": who})


def beat(
    hours: float,
    delivered: int = 0,
    since: float = 0,
    instance: str = "host-1",
    stored: float | None = None,
    **changes: Any,
) -> Seen:
    """A heartbeat of so many hours ago that tells what was delivered since."""
    own = {
        "id": f"beat {instance} {hours}",
        "time": ago(hours) + "Z",
        "data.since": ago(since or hours + 1) + "Z",
        "data.instance": instance,
        "data.observed_at": ago(hours) + "Z",
        "source": f"urn:secure-score:connector:{instance}",
        "data.delivered": {"sentinel": delivered, "archive": 7},
        **{f"data.{key}": value for key, value in changes.items()},
    }
    return Seen(BEAT, own, hours - 0.01 if stored is None else stored)


def begun(hours: float) -> Seen:
    """The notice that a connector found no state."""
    own = {"data.reason": "state_new", "data.observed_at": ago(hours) + "Z"}
    return Seen("connector.problem/connector", own, hours - 0.01)


def rows(count: int, hours: float, first: int = 0, **changes: Any) -> tuple[Seen, ...]:
    own = {f"data.{key}": value for key, value in changes.items()}
    return tuple(Seen("control.observed", {**own, "id": f"row {first + n}"}, hours) for n in range(count))


def shown(name: str, revision: int = 0, day: str = "2026-11-22", **changes: Any) -> Seen:
    """A control as a telling of the inventory has it."""
    own = {"id": f"{name} {day} {revision}", "data.control.id": name, "data.revision": revision, "data.day": day}
    return Seen("control.observed", {**own, **{f"data.{key}": value for key, value in changes.items()}})


def removed(number: int, **changes: Any) -> Seen:
    """The n-th subscription that is gone."""
    own = {"id": f"removed {number}", "data.unit.id": f"id {number}", "data.unit.name": f"sub {number}"}
    return Seen("unit.removed", {**own, **changes})


def standard(number: int, **changes: Any) -> Seen:
    """What a standard says of the n-th subscription."""
    own = {"id": f"standard {number}", "data.unit.id": f"id {number}", "data.unit.name": f"sub {number}"}
    return Seen("compliance.changed", {**own, "source": f"urn:secure-score:defender-cloud:{number}", **changes})


AGGREGATE = "score.changed/aggregate"
WHOLE = samples.event(AGGREGATE)
"""The score over all subscriptions, which fell in the same read as one of them."""


def part(number: int, delta: float, score: float | None = None, kind: str = "moved") -> dict[str, Any]:
    """What the n-th subscription did to the score over all; `score` without what its weight did."""
    cause = {"label": "configuration", "confidence": "high", "evidence": [], "also": []}
    own = {} if kind != "moved" else {"effects": {"score": delta if score is None else score, "weight": 0.0}}
    return {
        "control": f"id {number}",
        "kind": kind,
        "before": 9.0,
        "after": 9.0 + delta,
        "delta": delta,
        "cause": cause,
        **own,
    }


def whole(*parts: dict[str, Any], alone: bool = False) -> Seen:
    """The score over all, with these contributions besides those of the sample, or instead of them."""
    return Seen(AGGREGATE, {"data.contributions": [*(() if alone else WHOLE.data["contributions"]), *parts]})


def missed_by_all() -> Seen:
    """A target for the score over all that this read missed."""
    own = {"id": "missed by all", "source": WHOLE.source}
    told = {key: WHOLE.data[key] for key in ("unit", "tenant", "observed_at", "day")}
    return Seen("posture.target_missed", {**own, **{f"data.{key}": value for key, value in told.items()}})


def deviation(number: int, tenant: int = 0, **target: Any) -> Seen:
    """The n-th deviation of a tenant from a standard."""
    who = {"id": f"tenant {tenant}", "name": f"t{tenant:03}", "labels": {}}
    own = {"id": f"deviation {tenant} {number}", "data.target.control": f"c{number}", "data.tenant": who}
    own |= {"source": f"urn:secure-score:tenant:{tenant}", "data.control.id": f"c{number}"}
    return Seen(DEVIATION, {**own, **{f"data.target.{key}": value for key, value in target.items()}})


def deviation_of_state(tier: str) -> Seen:
    """That the state which STATE declares is none that a standard allows."""
    found = samples.event("control.state_changed").data
    told = {key: found[key] for key in ("tenant", "observed_at")} | {"control": {**found["control"], "tier": tier}}
    own = {"data.target.kind": "baseline_not_declared", "data.target.control": found["control"]["id"]}
    return Seen(DEVIATION, {**own, **{f"data.{key}": value for key, value in told.items()}})


DEVIATION = "posture.target_missed/baseline_declared"
GONE = {"data.direction": "unchanged", "data.kind": "removed", "data.failed_delta": None, "data.severity": 2}
TOLD_TWICE = (
    shown("gone"),
    shown("stays", after={"score": 5.0}),
    shown("stays", 1, after={"score": 7.0}),
    shown("came", 1, after={"score": 6.0}),
)


def categories(day: str, at: str, **points: float) -> Seen:
    """A day with the points of its categories."""
    by_category = {name: {"score": value, "max": 100.0, "percent": value} for name, value in points.items()}
    own = {"id": f"day {day} {at}", "data.day": day, "data.observed_at": at, "data.by_category": by_category}
    return Seen("score.observed", own)


def regrouped(number: int, at: str, points: float, day: str = "2026-11-23") -> Seen:
    """A profile that took points from Apps to Identity."""
    told = {
        "by_category": {"Apps": -points, "Identity": points},
        "by_service": {},
        "by_tier": {},
        "moves": [
            {"by": "category", "before": "Apps", "after": "Identity", "controls": 1, "points": points, "names": ["x"]}
        ],
    }
    own = {"id": f"profile {number}", "data.day": day, "data.observed_at": at, "data.regrouped": told}
    return Seen("profile.changed/regrouped", own)


def ended(seen: Seen, why: str, until: str | None = None) -> Seen:
    """How a deviation is over, told two days later."""
    told = {**seen.changes, "id": f"{seen.changes['id']} {why}", "type": "posture.target_met", "data.target.ended": why}
    return Seen(seen.sample, {**told, "data.observed_at": "2026-11-24T09:00:00Z", "data.target.excused_until": until})


STANDARDS = (
    deviation(1, 1),
    deviation(2, 1),
    ended(deviation(2, 1), "excused", "2026-12-31"),
    deviation(3, 1),
    ended(deviation(3, 1), "excused", "2026-11-25"),
    deviation(4, 1),
    ended(deviation(4, 1), "met"),
    again(deviation(1, 2, standard="silver"), observed_at="2026-11-25T09:00:00Z"),
)
"""One tenant deviates in four controls, of which three are over; another in one."""
REGROUPED = (
    categories("2026-11-22", "2026-11-22T09:00:00Z", Apps=71.0, Identity=50.0),
    regrouped(1, "2026-11-23T09:00:00Z", 10.0),
    regrouped(2, "2026-11-23T09:00:00Z", 7.0),
    categories("2026-11-23", "2026-11-23T09:00:00Z", Apps=54.0, Identity=67.0),
    categories("2026-11-24", "2026-11-24T09:00:00Z", Apps=52.0, Identity=67.0),
)
AT_ONCE = "2026-11-24T09:00:00Z"
READ_AT_ONCE = (
    categories("2026-11-22", AT_ONCE, Apps=71.0, Identity=50.0),
    regrouped(1, AT_ONCE, 3.0, day="2026-11-22"),  # before what is shown of the first day
    categories("2026-11-23", AT_ONCE, Apps=54.0, Identity=67.0),
    regrouped(2, AT_ONCE, 17.0),
    categories("2026-11-24", AT_ONCE, Apps=52.0, Identity=67.0),
    regrouped(3, "2026-11-24T10:00:00Z", 5.0, day="2026-11-24"),  # after what is shown of the last one
)
"""Several days at one moment: at first contact, or after an outage."""
SUBSCRIPTION = "20ff7fc3-e762-44dd-bd96-b71116dcdc23"
STORM = {"subject": "tenants:feed.stale:stale", "data.reason": "stale"}
SIMULATED: dict[str, Any] = {"simulated": True}

CASES: dict[str, Case] = {
    **every_rule(),
    # dropped
    "Dropped: says how much, whence and why": Case(
        rule("Dropped"),
        (FIRES["Dropped"],),
        (
            {
                "PointsLost": 4.5,
                "CauseLabel": "configuration",
                "AlertSeverity": "Medium",
                "Residual": 0.0,
                "TopChanges": "AdminMFAV2 10.0 → 4.0 (-6.0 points); scid_2010 4.5 → 6.0 (+1.5 points)",
            },
        ),
    ),
    "Dropped: of a subscription it names that as a resource": Case(
        rule("Dropped"),
        (Seen("score.changed/subscription"),),
        ({"Subscription": f"/subscriptions/{SUBSCRIPTION}"},),
    ),
    "ControlRegressed: of a subscription, too": Case(
        rule("ControlRegressed"),
        (Seen("control.score_changed/subscription"),),
        ({"Subscription": f"/subscriptions/{SUBSCRIPTION}"},),
    ),
    "TargetMissed: a tenant is no resource": Case(
        rule("TargetMissed"), (Seen("posture.target_missed"),), ({"Subscription": ""},)
    ),
    "Dropped: nothing for a rise": Case(rule("Dropped"), (Seen("score.changed/improved"),)),
    # controls
    "ControlRegressed: one alert for all controls of a transition": Case(
        rule("ControlRegressed"),
        (control(1), control(2, severity=5), control(3, severity=8)),
        ({"ControlCount": 3, "PointsLost": 18.0, "AlertSeverity": "High", "Causes": ["configuration"]},),
    ),
    "ControlRegressed: one alert for each tenant": Case(
        rule("ControlRegressed"), (control(1), control(2, tenant=OTHER)), ({"ControlCount": 1}, {"ControlCount": 1})
    ),
    "ControlRegressed: one alert each without a transition": Case(
        rule("ControlRegressed"), (control(1, transition=None), control(2, transition=None)), ({}, {})
    ),
    "ControlRegressed: nothing for Microsoft's own changes": Case(rule("ControlRegressed"), (control(1, severity=3),)),
    "ControlRegressed: nothing for a rise": Case(rule("ControlRegressed"), (Seen("control.score_changed/improved"),)),
    # states
    "ControlStateAsserted: says who": Case(
        rule("ControlStateAsserted"),
        (FIRES["ControlStateAsserted"],),
        (
            {
                "AccountName": "admin",
                "AccountUPNSuffix": "contoso.example",
                "StateAfter": "Ignored",
                "AlertSeverity": "High",
            },
        ),
    ),
    "ControlStateAsserted: also when nobody is named": Case(
        rule("ControlStateAsserted"), (Seen(STATE, {"data.after.updated_by": None}),), ({"StateUpdatedBy": None},)
    ),
    "ControlStateAsserted: nothing for a control of another tier": Case(
        rule("ControlStateAsserted"), (Seen(STATE, {"data.control.tier": "Advanced"}),)
    ),
    "ControlStateAsserted: nothing when it is taken back": Case(
        rule("ControlStateAsserted"), (Seen(STATE, {"data.direction": "measured"}),)
    ),
    # targets
    "TargetMissed: names the control": Case(
        rule("TargetMissed"),
        (Seen("posture.target_missed/control"),),
        ({"Target": "control AdminMFAV2", "TargetValue": 4.0},),
    ),
    # units and standards
    "UnitRemoved: one alert for all that a tenant lost, another for another tenant": Case(
        rule("UnitRemoved") + "\n| order by TenantName asc",
        (
            FIRES["UnitRemoved"],
            removed(2, **{"data.reason": "disabled"}),
            removed(3, **{"data.tenant": OTHER, "data.unit.name": ""}),
        ),
        (
            {"TenantName": "contoso-azure", "UnitCount": 2, "Units": ["contoso-test", "sub 2"]},
            {"TenantName": "fabrikam", "UnitCount": 1, "Units": ["id 3"], "Reasons": ["not_listed"]},
        ),
    ),
    "UnitRemoved: nothing for one that came": Case(rule("UnitRemoved"), (Seen("unit.added"),)),
    "ComplianceRegressed: one alert for a standard in all subscriptions of a tenant": Case(
        rule("ComplianceRegressed") + "\n| order by UnitCount desc",
        (FIRES["ComplianceRegressed"], standard(2), standard(3, **{"data.standard": "PCI DSS 4.0"})),
        (
            {"UnitCount": 2, "MoreFailed": 4, "What": "fails 4 more controls", "AlertSeverity": "Medium"},
            {"UnitCount": 1, "Standard": "PCI DSS 4.0"},
        ),
    ),
    "ComplianceRegressed: a standard that is gone": Case(
        rule("ComplianceRegressed"), (standard(2, **GONE),), ({"What": "is not assessed any more"},)
    ),
    "ComplianceRegressed: nothing when fewer fail, or a standard comes": Case(
        rule("ComplianceRegressed"),
        (
            standard(2, **{"data.direction": "improved", "data.failed_delta": -2}),
            standard(3, **{"data.direction": "unchanged", "data.kind": "added", "data.failed_delta": None}),
        ),
    ),
    "ExceptionDue: says who declared what, how long ago, and why it is due": Case(
        rule("ExceptionDue"),
        (Seen("posture.exception_due"),),
        (
            {
                "ControlId": "AdminMFAV2",
                "StateAfter": "Ignored",
                "StateUpdatedBy": "admin@contoso.example",
                "Reasons": "review_overdue",
                "AgeDays": 205,
            },
        ),
    ),
    "TargetMissed: nothing when it is met again": Case(rule("TargetMissed"), (Seen("posture.target_met"),)),
    # units
    "Dropped: names the subscription": Case(
        rule("Dropped"),
        (Seen("score.changed/subscription"),),
        ({"TenantName": "contoso-azure: contoso-prod", "PointsLost": 4.0, "UnitKind": "subscription"},),
    ),
    "Dropped: an exposure that rose": Case(
        rule("Dropped"), (Seen("score.changed/exposure"),), ({"PointsLost": 12.5, "UnitKind": "organization"},)
    ),
    "Dropped: nothing for an exposure that fell": Case(
        rule("Dropped"), (Seen("score.changed/exposure", {"data.direction": "improved", "data.delta": -12.5}),)
    ),
    "Dropped: owns no target of another unit": Case(
        rule("TargetMissed"),
        (Seen("score.changed/subscription"), Seen("posture.target_missed/exposure")),
        ({"TargetKind": "exposure_max", "UnitKind": "organization"},),
    ),
    "MassChange: subscriptions are no mass of controls": Case(
        rule("MassChange"), (Seen("score.changed/aggregate", {"data.contributions": contributions(24)}),)
    ),
    # mass changes
    "MassChange: counts the controls": Case(
        rule("MassChange"), (FIRES["MassChange"],), ({"ControlCount": 24, "Points": 9.25, "Causes": ["configuration"]},)
    ),
    "MassChange: nothing for nineteen": Case(
        rule("MassChange"), (Seen("score.changed/improved", {"data.contributions": contributions(19)}),)
    ),
    "MassChange: what dropped as a whole is told by another rule": Case(rule("MassChange"), (MASS,)),
    "MassChange: unless that rule is off": Case(
        rule("MassChange").replace("Dropped = true", "Dropped = false"), (MASS,), ({"ControlCount": 24},)
    ),
    "MassChange: one person declares twenty": Case(
        rule("MassChange"),
        tuple(state(n) for n in range(20)),
        ({"ControlCount": 20, "UpdatedBy": "admin@contoso.example", "AccountName": "admin", "AlertSeverity": "High"},),
    ),
    "MassChange: nothing when two persons declare ten each": Case(
        rule("MassChange"), tuple(state(n, f"admin{n % 2}@contoso.example") for n in range(20))
    ),
    # stale feeds
    "FeedStale: nothing when it is told again the next day": Case(
        rule("FeedStale"),
        (again(FIRES["FeedStale"], hours=24.5), Seen("feed.stale", {"id": "later", "data.repeat": 1})),
    ),
    "FeedStale: of a tenant that was among many is told later": Case(
        rule("FeedStale"), (Seen("feed.stale", {"data.repeat": 1}),), ({},)
    ),
    "FeedStale: many tenants at once": Case(
        rule("FeedStale"),
        (Seen("connector.problem/tenants", STORM),),
        ({"TenantName": "many tenants", "AlertSeverity": "High"},),
    ),
    "FeedStale: nothing for other problems": Case(
        rule("FeedStale"), (Seen("connector.problem"), Seen("connector.problem/tenants"), Seen("feed.partial"))
    ),
    # problems
    "ConnectorProblem: nothing when it is told again the next day": Case(
        rule("ConnectorProblem"),
        (again(FIRES["ConnectorProblem"], hours=24.5), Seen("connector.problem", {"id": "later", "data.repeat": 1})),
    ),
    "ConnectorProblem: of the connector itself": Case(
        rule("ConnectorProblem"),
        (Seen("connector.problem/connector"),),
        ({"Whose": "the connector", "Instance": "siem-forwarder-1", "SinkName": "soc", "AlertSeverity": "High"},),
    ),
    "ConnectorProblem: a day that was refused": Case(
        rule("ConnectorProblem"), (Seen("feed.suspicious"),), ({"Reason": "controls_lost", "Whose": "contoso"},)
    ),
    "ConnectorProblem: what heals within a day needs nobody": Case(rule("ConnectorProblem"), (Seen("feed.partial"),)),
    "ConnectorProblem: a read that has been incomplete for a day, once": Case(
        rule("ConnectorProblem"),
        (
            Seen("feed.partial", hours=24.5),
            Seen("feed.partial", {"id": "second", "data.repeat": 1}),
            Seen("feed.partial", {"id": "third", "data.repeat": 2}, 0.2),
        ),
        ({"Reason": "partial"},),
    ),
    "ConnectorProblem: the same problem with another reason": Case(
        rule("ConnectorProblem"),
        (
            Seen("connector.problem/connector", hours=9),
            Seen("connector.problem/connector", {"id": "full", "data.reason": "outbox_full", "data.repeat": 1}),
        ),
        ({"Reason": "outbox_full"},),
    ),
    "ConnectorProblem: a secret that ends in a week is told anew though it was told a month before its end": Case(
        rule("ConnectorProblem"),
        (
            Seen("connector.problem", {"data.reason": "secret_expiring"}, 9),
            Seen("connector.problem", {"id": "week", "data.reason": "secret_expiring", "data.repeat": 2}),
        ),
        ({"Reason": "secret_expiring"},),
    ),
    "ConnectorProblem: nothing when a connector starts for the first time": Case(
        rule("ConnectorProblem"), (begun(0.9), beat(0.8, instance="siem-forwarder-1"), beat(0.7))
    ),
    "ConnectorProblem: a state that was lost": Case(
        rule("ConnectorProblem"),
        (beat(30, instance="siem-forwarder-1"), begun(0.9)),
        ({"Reason": "state_new", "Whose": "the connector"},),
    ),
    "ConnectorProblem: the state of a tenant that could not be read": Case(
        rule("ConnectorProblem"), (Seen("connector.problem", {"data.reason": "state_new"}),), ({"Whose": "contoso"},)
    ),
    "ConnectorProblem: nothing for stale feeds": Case(
        rule("ConnectorProblem"), (FIRES["FeedStale"], Seen("connector.problem/tenants", STORM))
    ),
    # silence
    "ConnectorSilent: three hours and a little": Case(
        rule("ConnectorSilent"), (beat(4.2), beat(3.2)), ({"Instance": "host-1", "AlertSeverity": "High"},)
    ),
    "ConnectorSilent: not before three hours": Case(rule("ConnectorSilent"), (beat(2.9),)),
    "ConnectorSilent: for as long as it lasts": Case(
        rule("ConnectorSilent"),
        (beat(30.0),),
        ({"Instance": "host-1", "Transition": f"host-1 {ago(29.99).replace('T', ' ')[:19]}"},),
    ),
    "ConnectorSilent: also where a run came late": Case(rule("ConnectorSilent"), (beat(3.62),), ({},)),
    "ConnectorSilent: where nothing ever came": Case(
        rule("ConnectorSilent"), (Seen(STATE),), ({"Instance": "any host", "LastHeartbeat": "never"},)
    ),
    "ConnectorSilent: who is expected and never came": Case(
        rule("ConnectorSilent").replace("dynamic([])", 'dynamic(["host-1", "host-2"])', 1),
        (beat(0.5),),
        ({"Instance": "host-2", "LastHeartbeat": "never", "Transition": "host-2 never"},),
    ),
    "ConnectorSilent: a heartbeat every twelve hours": Case(
        rule("ConnectorSilent"),
        (beat(23.0, interval_s=43200), beat(25.0, interval_s=43200, instance="b")),
        ({"Instance": "b"},),
    ),
    "ConnectorSilent: each instance for itself": Case(
        rule("ConnectorSilent"), (beat(0.5), beat(3.2, instance="host-2")), ({"Instance": "host-2"},)
    ),
    "ConnectorSilent: a test event is no sign of life": Case(
        rule("ConnectorSilent"), (beat(3.2), beat(0.5, **SIMULATED)), ({"Instance": "host-1"},)
    ),
    "ConnectorSilent: rare heartbeats get twice their interval": Case(
        rule("ConnectorSilent"), (beat(3.2, interval_s=7200),)
    ),
    "ConnectorSilent: and no more": Case(
        rule("ConnectorSilent"), (beat(4.2, interval_s=7200),), ({"Instance": "host-1"},)
    ),
    "ConnectorSilent: what counts is when it arrived": Case(rule("ConnectorSilent"), (beat(6.0, stored=0.5),)),
    # rows missing
    "RowsMissing: nothing when all arrived": Case(rule("RowsMissing"), (beat(1.5, 5), *rows(5, 2.0))),
    "RowsMissing: one did not": Case(
        rule("RowsMissing"),
        (beat(1.5, 6), *rows(5, 2.0)),
        ({"Told": 6, "Received": 5, "Missing": 1, "Instance": "host-1", "Simulated": False},),
    ),
    "RowsMissing: none did": Case(rule("RowsMissing"), (beat(1.5, 6),), ({"Told": 6, "Received": 0, "Missing": 6},)),
    "RowsMissing: nothing for a second copy": Case(rule("RowsMissing"), (beat(1.5, 5), *rows(5, 2.0), *rows(2, 1.9))),
    "RowsMissing: stored a little after the heartbeat": Case(
        rule("RowsMissing"), (beat(1.5, 5), *rows(4, 2.0), *rows(1, 1.45, first=9))
    ),
    "RowsMissing: the heartbeat itself is told by the next one": Case(
        rule("RowsMissing"), (beat(2.5, 3), *rows(3, 3.0), beat(1.5, 5), *rows(4, 2.0, first=9))
    ),
    "RowsMissing: two instances together": Case(
        rule("RowsMissing"),
        (beat(1.5, 3), beat(1.5, 4, instance="host-2"), *rows(6, 2.0)),
        ({"Told": 7, "Received": 6, "Missing": 1, "Instance": "host-1, host-2"},),
    ),
    "RowsMissing: until when a heartbeat counted, not when it was told": Case(
        rule("RowsMissing"),
        (beat(1.5, 3, since=3.0, until=ago(2.5) + "Z"), *rows(3, 2.7), *rows(4, 2.0, first=9)),
    ),
    "RowsMissing: what came after that is no substitute": Case(
        rule("RowsMissing"),
        (
            beat(1.5, 4, since=3.0, until=ago(2.5) + "Z"),
            *rows(3, 2.7),
            *rows(4, 2.0, first=9, observed_at=ago(2.0) + "Z"),
        ),
        ({"Told": 4, "Received": 3},),
    ),
    "RowsMissing: a heartbeat too young to judge": Case(rule("RowsMissing"), (beat(0.9, 5),)),
    "RowsMissing: nothing for what is stored three quarters of an hour later": Case(
        rule("RowsMissing"), (beat(1.5, 5), *rows(5, 0.75))
    ),
    "RowsMissing: a heartbeat judged before": Case(rule("RowsMissing"), (beat(4.5, 5),)),
    "RowsMissing: a heartbeat that came hours late is judged": Case(
        rule("RowsMissing"), (beat(9.0, 5, stored=1.5),), ({"Missing": 5},)
    ),
    "RowsMissing: a second copy is no substitute": Case(
        rule("RowsMissing"), (beat(1.5, 5), *rows(4, 2.0), *rows(1, 1.9)), ({"Received": 4, "Missing": 1},)
    ),
    "RowsMissing: nothing of another sink": Case(
        rule("RowsMissing"), (Seen(BEAT, {**beat(1.5).changes, "data.delivered": {"soc": 5}}),)
    ),
    "RowsMissing: a test heartbeat alone fires": Case(
        rule("RowsMissing"), (beat(1.5, 5, **SIMULATED),), ({"Missing": 5, "Simulated": True},)
    ),
    "RowsMissing: test rows are not counted for real ones": Case(
        rule("RowsMissing"), (beat(1.5, 5), *rows(4, 2.0), *rows(9, 2.0, first=9, simulated=True)), ({"Missing": 1},)
    ),
    # parsers
    "one row for each id, the live one": Case(
        "SecureScoreChange() | project EventId, Backfilled, Copies, CauseLabel",
        (
            again(FIRES["Dropped"], hours=9, backfilled=True, cause={"label": "unknown"}),
            again(FIRES["Dropped"], hours=5),
            again(FIRES["Dropped"], hours=1),
        ),
        ({"Backfilled": False, "Copies": 3, "CauseLabel": "configuration"},),
    ),
    "of two live ones the first to arrive": Case(
        "SecureScoreChange() | project IngestedAt, Copies",
        (again(FIRES["Dropped"], hours=1), again(FIRES["Dropped"], hours=5), again(FIRES["Dropped"], hours=3)),
        ({"IngestedAt": "2026-11-27 07:00:00", "Copies": 3},),
    ),
    "other ids stay": Case("SecureScoreInventory() | count", rows(3, 1.0), ({"Count": 3},)),
    "M365SecureScore": Case(
        "M365SecureScore() | order by TimeGenerated asc",
        (
            Seen("score.observed", hours=3),
            Seen("score.observed", {"id": "newer", "data.revision": 1, "data.score.current": 299.0}),
            Seen("score.observed/backfilled"),
            Seen("score.observed", {"id": "test", "data.day": "2026-11-26", **TEST}),
        ),
        (
            {"TimeGenerated": "2026-09-01 00:00:00", "currentScore_d": 288.0, "maxScore_d": 690.0},
            {
                "TimeGenerated": "2026-11-22 00:00:00",
                "azureTenantId_g": "11111111-1111-1111-1111-111111111111",
                "currentScore_d": 299.0,
                "activeUserCount_d": 88.0,
                "enabledServices_s": '["AzureAD","EXO","MDATP"]',
            },
        ),
    ),
    "M365SecureScoreControls": Case(
        "M365SecureScoreControls()",
        (
            Seen("control.observed", {"id": "older", "data.day": "2026-11-23"}),
            Seen("control.observed", {"data.day": "2026-11-24"}),
        ),
        (
            {
                "TimeGenerated": "2026-11-24 00:00:00",
                "controlName_s": "scid_2010",
                "controlCategory_s": "Device",
                "implementationStatus_s": "28 of 120 devices are exposed",
                "score_d": 6.0,
                "scoreInPercentage_d": 75.0,
                "count_s": "28",
            },
        ),
    ),
}


# ------------------------------------------------------------------------------------------------ all rules together

BY_POSTURE = (
    "Dropped",
    "ControlRegressed",
    "ControlStateAsserted",
    "TargetMissed",
    "MassChange",
    "FellInManyTenants",
    "UnitRemoved",
    "ComplianceRegressed",
)


def fell(number: int, **changes: Any) -> Seen:
    """The score of the n-th tenant of many fell."""
    own = {"id": f"fell {number}", "data.tenant": {"id": f"tenant {number}", "name": f"t{number:03}", "labels": {}}}
    return Seen("score.changed/regressed", {**own, **{f"data.{key}": value for key, value in changes.items()}})


MICROSOFT = {"cause": {"label": "catalogue", "confidence": "high", "evidence": [], "also": []}, "severity": 4}
TOGETHER: dict[str, tuple[tuple[Seen, ...], dict[str, int]]] = {
    "one transition that 24 controls, a regression and a missed target come with": (
        (MASS, Seen(CONTROL), Seen("posture.target_missed")),
        {"Dropped": 1},
    ),
    "a control fell and the whole did not": ((Seen(CONTROL),), {"ControlRegressed": 1}),
    "a control fell, and the whole by less than counts": (
        (again(FIRES["Dropped"], delta=-0.5), Seen(CONTROL)),
        {"ControlRegressed": 1},
    ),
    "a target was missed, and nothing fell by as much as counts": (
        (again(FIRES["Dropped"], delta=-0.5), Seen("posture.target_missed")),
        {"TargetMissed": 1},
    ),
    "a target was missed by a later read of the day than the one that told the fall": (
        (
            again(FIRES["Dropped"], hours=1.5),
            Seen("posture.target_missed", {"data.observed_at": "2026-11-22T10:00:00Z"}),
        ),
        {"TargetMissed": 1},
    ),
    "a subscription fell, and failed more of a standard": (
        (Seen("score.changed/subscription"), Seen("compliance.changed")),
        {"Dropped": 1},
    ),
    "a subscription fell, and another failed more of the standard": (
        (Seen("score.changed/subscription"), standard(2)),
        {"Dropped": 1, "ComplianceRegressed": 1},
    ),
    "a subscription fell, and the score over all with it": (
        (Seen("score.changed/subscription"), whole()),
        {"Dropped": 1},
    ),
    "a subscription fell, others lost less than a point besides": (
        (Seen("score.changed/subscription"), whole(part(2, -0.9), part(3, -9.0, score=0.0))),
        {"Dropped": 1},
    ),
    "a subscription fell, others lost a point and more besides": (
        (Seen("score.changed/subscription"), whole(part(2, -0.9), part(3, -0.9))),
        {"Dropped": 2},
    ),
    "a subscription fell, and is the smaller part of what the score over all lost": (
        (Seen("score.changed/subscription"), whole(part(2, -30.0, score=-0.5))),
        {"Dropped": 2},
    ),
    "no subscription fell by as much as counts, all together did": (
        (Seen("score.changed/subscription", {"data.delta": -0.5}), whole()),
        {"Dropped": 1},
    ),
    "a subscription fell by another score than that over all": (
        (Seen("score.changed/subscription", {"data.unit.score": "own initiative"}), whole()),
        {"Dropped": 2},
    ),
    "a subscription fell by an earlier read": (
        (Seen("score.changed/subscription", {"data.observed_at": "2026-11-22T08:00:00Z"}), whole()),
        {"Dropped": 2},
    ),
    "a good subscription is gone, and the score over all is lower": (
        (removed(2), whole(part(2, -30.0, kind="removed"), part(3, 25.0, score=0.0), alone=True)),
        {"UnitRemoved": 1},
    ),
    "a subscription fell, and a target for all is missed with it": (
        (Seen("score.changed/subscription"), whole(), missed_by_all()),
        {"Dropped": 1},
    ),
    "a good subscription is gone, and a target for all is missed with it": (
        (removed(2), whole(part(2, -30.0, kind="removed"), alone=True), missed_by_all()),
        {"UnitRemoved": 1, "TargetMissed": 1},
    ),
    "a catalogue change in subscriptions of twelve tenants": (
        tuple(
            Seen("score.changed/subscription", {**fell(n, **MICROSOFT).changes, "data.unit.id": f"id {n}"})
            for n in range(12)
        ),
        {"FellInManyTenants": 1},
    ),
    "a catalogue change in subscriptions of nine tenants, and in nine other tenants": (
        tuple(
            Seen("score.changed/subscription" if n < 9 else "score.changed/regressed", fell(n, **MICROSOFT).changes)
            for n in range(18)
        ),
        {"Dropped": 18},
    ),
    "a tenant deviates from a standard in forty controls": (
        tuple(deviation(n) for n in range(40)),
        {"TargetMissed": 1},
    ),
    "a standard is asked for, and twelve tenants deviate": (
        tuple(deviation(n, tenant) for n in range(3) for tenant in range(12)),
        {"TargetMissed": 1},
    ),
    "somebody declares a Core control that a standard leaves alone": (
        (Seen(STATE), deviation_of_state("Core")),
        {"ControlStateAsserted": 1},
    ),
    "somebody declares another control that a standard leaves alone": (
        (Seen(STATE, {"data.control.tier": "Advanced"}), deviation_of_state("Advanced")),
        {"TargetMissed": 1},
    ),
    "two tenants deviate from a standard": (
        tuple(deviation(n, tenant) for n in range(3) for tenant in range(2)),
        {"TargetMissed": 2},
    ),
    "twenty subscriptions of a tenant are gone": (tuple(removed(n) for n in range(20)), {"UnitRemoved": 1}),
    "one catalogue change in two hundred tenants": (
        tuple(fell(n, **MICROSOFT) for n in range(200)),
        {"FellInManyTenants": 1},
    ),
    "a catalogue change in nine tenants": (tuple(fell(n, **MICROSOFT) for n in range(9)), {"Dropped": 9}),
    "ten tenants fell, each by its own doing": (tuple(fell(n) for n in range(10)), {"Dropped": 10}),
    "a rise": ((Seen("score.changed/improved"), Seen("control.score_changed/improved")), {}),
}
"""What happened, and the incidents by rule: never two of one transition."""


@pytest.fixture(scope="module")
def incidents() -> list[dict[str, int]]:
    asked = [scenario(seen, {n: rule(n) for n in BY_POSTURE}) for seen, _ in TOGETHER.values()]
    answers = kusto.rows(asked)
    assert [rows for found in answers for rows in found.values() if "error" in rows] == []
    return [{name: len(rows) for name, rows in found.items() if rows} for found in answers]


@pytest.mark.parametrize("number", range(len(TOGETHER)), ids=list(TOGETHER))
def test_one_incident_for_each_thing_that_happened(number: int, incidents: list[dict[str, int]]) -> None:
    assert incidents[number] == list(TOGETHER.values())[number][1]


TABLE: dict[str, Any] = load_data("alerts")
TYPES: dict[str, dict[str, Any]] = TABLE["events"]
VARIANTS: dict[str, tuple[Seen, ...]] = {
    "score.changed": (named(FIRES["MassChange"], "mass"),),
    "control.state_changed": tuple(state(n) for n in range(20)),
    "feed.partial": (Seen("feed.partial", {"id": "a day later", "data.repeat": 1}),),
    "connector.problem": (named(Seen("connector.problem/tenants", STORM), "stale"),),
}


def of_type(name: str) -> tuple[Seen, ...]:
    """The samples of an event type, and what of it weighs more than they do."""
    return (*(Seen(each) for each in samples.names() if each.partition("/")[0] == name), *VARIANTS.get(name, ()))


@pytest.fixture(scope="module")
def by_type() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Of each event type alone: what the rules give that read its table, and what shows it."""
    shown = {**WORKBOOK, **{file.removesuffix(".yaml"): one["query"] for file, one in sentinel_content.hunts().items()}}
    asked = []
    for name, row in TYPES.items():
        (first, *_) = of_type(name)
        found = samples.event(first.sample)
        values = {
            "Transition": found.data.get("transition") or found.id,
            "Control": (found.data.get("control") or {}).get("id", ""),
        }
        there = {**shown, **sentinel_content.workbook_queries("all", values)}
        mine = [each for each in FIRES if f"{STREAM_OF_TYPE[name].capitalize()}()" in rule(each)]
        queries = {each: rule(each) for each in mine} | ({"shown": there[row["sentinel"]]} if "sentinel" in row else {})
        asked.append(scenario(of_type(name), queries))
    return dict(zip(TYPES, kusto.rows(asked), strict=True))


@pytest.mark.parametrize("name", TYPES)
def test_each_event_type_is_told_and_seen_as_the_table_says(
    name: str, by_type: dict[str, dict[str, list[dict[str, Any]]]]
) -> None:
    files = {
        one["name"]: file.removeprefix("SecureScore").removesuffix(".yaml")
        for file, one in sentinel_content.rules().items()
    }
    titles = {row["name"]: [files[title] for title in row.get("sentinel", ())] for row in TABLE["alerts"]}
    said = {each for alert in TYPES[name].get("alerts", ()) for each in titles[alert]} & set(FIRES)
    found = by_type[name]
    assert {each for each, rows in found.items() if rows} - {"shown"} == said
    assert "sentinel" not in TYPES[name] or found["shown"]


REASONS = reasons() - set(TABLE["unsaid"])
GOLD = "dynamic([])", 'dynamic(["silver", "gold"])'
REMOVED = "UnitRemoved = true", "UnitRemoved = false"
TOLD: dict[str, tuple[str, tuple[Seen, ...]]] = {
    "every reason": (
        rule("ConnectorProblem"),
        tuple(named(Seen("connector.problem"), f"because of {one}", reason=one) for one in sorted(REASONS)),
    ),
    "target for all": (rule("Dropped"), (Seen("score.changed/subscription"), whole(), missed_by_all())),
    "removed is off": (
        rule("Dropped").replace(*REMOVED, 1),
        (removed(2), whole(part(2, -30.0, kind="removed"), alone=True)),
    ),
    "one deviation": (rule("TargetMissed"), (deviation(1, excused_until="2026-11-21"),)),
    "three deviations": (rule("TargetMissed"), tuple(deviation(n) for n in range(3))),
    "twelve tenants": (rule("TargetMissed"), tuple(deviation(1, tenant) for tenant in range(12))),
    "declared against a standard": (rule("ControlStateAsserted"), (Seen(STATE), deviation_of_state("Core"))),
    "excused standards": (rule("TargetMissed").replace(*GOLD, 1), (deviation(1),)),
    "owner": (
        rule("Dropped"),
        (
            MASS,
            Seen(CONTROL, {"data.severity": 9}),
            Seen("posture.target_missed/control"),
            Seen("compliance.changed", {"source": samples.event(MASS.sample).source}),
        ),
    ),
}
"""What is asked of single rules, and the rows they see."""


@pytest.fixture(scope="module")
def told() -> dict[str, list[dict[str, Any]]]:
    found = kusto.rows([scenario(seen, {name: query}) for name, (query, seen) in TOLD.items()])
    return {name: rows for one in found for name, rows in one.items()}


def test_every_reason_of_a_problem_is_told(told: dict[str, list[dict[str, Any]]]) -> None:
    assert {alert["Reason"] for alert in told["every reason"]} == REASONS


def test_a_subscription_that_fell_says_which_targets_for_all_it_missed(told: dict[str, list[dict[str, Any]]]) -> None:
    (alert,) = told["target for all"]
    assert (alert["TenantName"], alert["AlertSeverity"]) == ("contoso-azure: contoso-prod", "High")
    assert alert["TargetsMissed"] == "all subscriptions: percent_min"


def test_the_score_over_all_tells_itself_where_the_rule_about_removed_ones_is_off(
    told: dict[str, list[dict[str, Any]]],
) -> None:
    (alert,) = told["removed is off"]
    assert alert["TenantName"] == "contoso-azure: all subscriptions"


def test_a_missed_standard_is_named(told: dict[str, list[dict[str, Any]]]) -> None:
    (one,) = told["one deviation"]
    assert (one["Standard"], one["Target"]) == ("gold", "standard gold, baseline_declared c1")
    assert one["Changes"].endswith(". Excused until 2026-11-21")
    (many,) = told["three deviations"]
    assert (many["Target"], many["TargetCount"]) == ("standard gold, 3 of what it asks", 3)
    assert (many["Targets"], many["TenantName"]) == ([f"baseline_declared c{n}" for n in range(3)], "t000")
    (fleet,) = told["twelve tenants"]
    assert (fleet["TenantName"], fleet["Target"]) == ("12 tenants", "standard gold")


def test_who_declares_a_control_is_told_with_the_standard_that_it_is_against(
    told: dict[str, list[dict[str, Any]]],
) -> None:
    (alert,) = told["declared against a standard"]
    assert (alert["Standards"], alert["StateUpdatedBy"]) == ("gold", "admin@contoso.example")


def test_a_standard_that_is_only_looked_at_alerts_nobody(told: dict[str, list[dict[str, Any]]]) -> None:
    assert told["excused standards"] == []


def test_what_the_owner_says_of_the_others(told: dict[str, list[dict[str, Any]]]) -> None:
    (alert,) = told["owner"]
    assert (alert["AlertSeverity"], alert["Controls"], alert["TargetsMissed"]) == ("High", 24, "control AdminMFAV2")
    assert alert["Threats"]
    assert alert["Standards"] == "Microsoft cloud security benchmark"


# ------------------------------------------------------------------------------------------------------- audit events


def audit(*operators: str, **arguments: str) -> str:
    """The ASIM parser, and what is asked of its rows. By position: duckdb-kql knows no named arguments."""
    values = ", ".join(arguments.get(name, default) for name, default in ASIM)
    return " | ".join([f"vimAuditEventMicrosoftSecureScore({values})", *operators])


ASIM = [
    ("starttime", "datetime(null)"),
    ("endtime", "datetime(null)"),
    ("srcipaddr_has_any_prefix", "dynamic([])"),
    ("eventresult", "'*'"),
    ("actorusername_has_any", "dynamic([])"),
    ("eventtype_in", "dynamic([])"),
    ("operation_has_any", "dynamic([])"),
    ("object_has_any", "dynamic([])"),
    ("newvalue_has_any", "dynamic([])"),
    ("disabled", "false"),
    ("pack", "false"),
]


BY_OPERATION = "summarize Count = count() by Operation, EventType | order by Operation asc"
ALL = tuple(Seen(name) for name in samples.names() if not samples.event(name).data.get("unit"))
STATE_SET = {
    "EventType": "Set",
    "Operation": "control.state_changed",
    "Object": "AdminMFAV2",
    "OldValue": "Default",
    "NewValue": "Ignored",
    "ActorUsername": "admin@contoso.example",
    "ActorUsernameType": "UPN",
    "EventResult": "Success",
    "EventSeverity": "High",
    "EventStartTime": "2026-11-22 07:41:19",
    "Dvc": "Secure Score",
}
WRITTEN = {
    "EventType": "Set",
    "Operation": "connector.write_back",
    "Object": "AdminMFAV2",
    "OldValue": "Ignored",
    "NewValue": "Default",
    "ActorUsername": "operator@siem-forwarder-1",
}
FILTERS: dict[str, tuple[dict[str, str], int]] = {
    "none": ({}, 13),
    "since": ({"starttime": "datetime(2026-11-26)"}, 2),
    "until": ({"endtime": "datetime(2026-11-22T10:00:00)"}, 3),
    "address": ({"srcipaddr_has_any_prefix": "dynamic(['10.'])"}, 0),
    "result": ({"eventresult": "'Failure'"}, 1),
    "actor": ({"actorusername_has_any": "dynamic(['operator'])"}, 2),
    "kind": ({"eventtype_in": "dynamic(['Delete'])"}, 2),
    "operation": ({"operation_has_any": "dynamic(['write_back'])"}, 2),
    "object": ({"object_has_any": "dynamic(['mip_labels'])"}, 2),
    "new value": ({"newvalue_has_any": "dynamic(['Ignored'])"}, 1),
    "off": ({"disabled": "true"}, 0),
}
"""How many of all samples and one refused write-back each filter leaves."""
CASES |= {
    "audit: what is an operation, and which": Case(
        audit(BY_OPERATION),
        ALL,
        (
            {"Operation": "connector.write_back", "EventType": "Set", "Count": 1},
            {"Operation": "control.added", "EventType": "Create", "Count": 1},
            {"Operation": "control.evidence_changed", "EventType": "Set", "Count": 1},
            {"Operation": "control.removed", "EventType": "Delete", "Count": 1},
            {"Operation": "control.score_changed", "EventType": "Set", "Count": 2},  # the third one is backfilled
            {"Operation": "control.state_changed", "EventType": "Set", "Count": 1},
            {"Operation": "profile.added", "EventType": "Create", "Count": 1},
            {"Operation": "profile.changed", "EventType": "Set", "Count": 2},
            {"Operation": "profile.removed", "EventType": "Delete", "Count": 1},
            {"Operation": "tenant.changed", "EventType": "Set", "Count": 1},
        ),
    ),
    "audit: units and standards": Case(
        f"{audit()} | where Operation matches regex '^(unit|compliance)' | project Operation, EventType",
        CLOUD,
        (
            {"Operation": "compliance.changed", "EventType": "Set"},
            {"Operation": "unit.added", "EventType": "Create"},
            {"Operation": "unit.removed", "EventType": "Delete"},
        ),
    ),
    "audit: what is packed, when asked": Case(
        f"{audit(pack='true')} | where Operation == 'control.state_changed'"
        " | project Packed = isnotempty(AdditionalFields)",
        ALL,
        ({"Packed": True},),
    ),
    "audit: nothing is packed unasked": Case(
        f"{audit()} | where Operation == 'control.state_changed' | project Packed = isnotempty(AdditionalFields)",
        ALL,
        ({"Packed": False},),
    ),
    "audit: a copy counts once": Case(
        f"{audit()} | count",
        (Seen("control.state_changed"), Seen("control.state_changed", hours=0.1)),
        ({"Count": 1},),
    ),
    "audit: the parser without filters": Case(
        "ASimAuditEventMicrosoftSecureScore(false, false) | count", ALL, ({"Count": 12},)
    ),
    "audit: a state": Case(audit(newvalue_has_any="dynamic(['Ignored'])"), ALL, (STATE_SET,)),
    "audit: a score": Case(
        audit(newvalue_has_any="dynamic(['4'])"),
        ALL,
        ({"OldValue": "10.0", "NewValue": "4.0", "ActorUsername": None},),
    ),
    "audit: a write-back": Case(audit(actorusername_has_any="dynamic(['operator'])"), ALL, (WRITTEN,)),
    "audit: every filter": Case(
        "union "
        + ", ".join(
            f"({audit('summarize Count = count()', **arguments)} | extend Filter = '{name}')"
            for name, (arguments, _) in FILTERS.items()
        ),
        (*ALL, Seen("connector.write_back", {"id": "refused", "data.outcome": "denied"})),
        tuple({"Filter": name, "Count": count} for name, (_, count) in FILTERS.items()),
    ),
}

# ---------------------------------------------------------------------------------------------- workbook and hunting

WORKBOOK = sentinel_content.workbook_queries("all")
HOSTILE = sentinel_content.workbook_queries(
    "all", dict.fromkeys(("Control", "ControlTenant", "Transition"), 'x" or "" == "')
)
HOSTILE_CATEGORY = Seen("control.observed", {"id": "a", "data.control.category": "x') or true or '' in ('"})
CASES |= {
    "workbook: what happened, in figures": Case(
        WORKBOOK["counts"],
        ALL,
        (
            {"Name": "points, first day to last", "Value": 12.5},
            {"Name": "score changes told", "Value": 2.0},
            {"Name": "points lost in them", "Value": -4.5},
            {"Name": "points won in them", "Value": 9.25},
            {"Name": "states declared", "Value": 1.0},
            {"Name": "targets missed", "Value": 2.0},
            {"Name": "deviations from standards", "Value": 1.0},
        ),
    ),
    "workbook: contributions and residual add up": Case(
        f"{WORKBOOK['contributions']} | summarize Points = sum(Points), Rows = count()",
        ALL,
        ({"Points": -4.5, "Rows": 3},),
    ),
    "workbook: points by cause": Case(
        WORKBOOK["causes by day"],
        ALL,
        (
            {"Day": "2026-11-22 00:00:00", "Cause": "configuration", "Points": -4.5},
            {"Cause": "configuration", "Points": 6.0},
            {"Cause": "catalogue", "Points": 3.0},
        ),
    ),
    "workbook: nothing by cause of history, which has no evidence": Case(
        WORKBOOK["causes of losses"], (named(FIRES["Dropped"], "history", backfilled=True),)
    ),
    "workbook: what was told of a change": Case(
        WORKBOOK["events of the change"], ALL, ({"ControlId": "AdminMFAV2", "Severity": 7}, {"ControlId": "scid_2010"})
    ),
    "workbook: a day is shown once, as it closed": Case(
        WORKBOOK["percent"],
        (
            Seen("score.observed"),
            Seen("score.observed", {"id": "closed", "data.revision": 1, "data.score.percent": 41.0}),
        ),
        ({"ScorePercent": 41.0},),
    ),
    "SecureScoreDays: what was told last, whatever arrived last": Case(
        "SecureScoreDays() | project ScoreCurrent, Revision",
        (
            Seen("score.observed", {"id": "second", "data.revision": 1, "data.score.current": 2.0}, 5),
            Seen("score.observed", {"id": "third", "data.revision": 2, "data.score.current": 3.0}, 4),
            Seen("score.observed", hours=1),
            Seen("score.observed", {"id": "third", "data.revision": 2, "data.score.current": 3.0}, 0.5),
        ),
        ({"ScoreCurrent": 3.0, "Revision": 2},),
    ),
    "SecureScoreDays: a state begun anew counts its revisions from 0, and knows better": Case(
        "SecureScoreDays() | project ScoreCurrent",
        (
            Seen("score.observed", {"id": "old", "data.revision": 3, "data.score.current": 1.0}, 5),
            Seen(
                "score.observed", {"id": "new", "data.observed_at": "2026-11-23T01:00:00Z", "data.score.current": 2.0}
            ),
        ),
        ({"ScoreCurrent": 2.0},),
    ),
    "SecureScoreInventory: the controls of a day's last revision": Case(
        "SecureScoreInventory() | order by ControlId asc | project ControlId, ControlScore",
        TOLD_TWICE,
        ({"ControlId": "came", "ControlScore": 6.0}, {"ControlId": "stays", "ControlScore": 7.0}),
    ),
    "SecureScoreControls: those of the newest day": Case(
        "SecureScoreControls() | project ControlId, Day",
        (*TOLD_TWICE, shown("stays", day="2026-11-23")),
        ({"ControlId": "stays", "Day": "2026-11-23 00:00:00"},),
    ),
    "M365SecureScoreControls: a control that went within the week is in no row of it": Case(
        "M365SecureScoreControls() | project controlName_s",
        (shown("gone", day="2026-11-23"), shown("stays", day="2026-11-23"), shown("stays", day="2026-11-25")),
        ({"controlName_s": "stays"},),
    ),
    "workbook: a control that is gone is in no table of what is": Case(
        f"{WORKBOOK['inventory']} | project ControlId",
        (*TOLD_TWICE, shown("stays", day="2026-11-23")),
        ({"ControlId": "stays"},),
    ),
    "workbook: nor among those that tenants lack": Case(
        f"{WORKBOOK['same control']} | project ControlId",
        (shown("gone", day="2026-11-23"), shown("stays", day="2026-11-24")),
        ({"ControlId": "stays"},),
    ),
    "hunt: asserted points of controls that are": Case(
        hunt("AssertedPoints"),
        (
            shown("gone", day="2026-11-23", asserted=True),
            shown("stays", day="2026-11-23", asserted=True),
            shown("stays", day="2026-11-24", asserted=True),
        ),
        ({"ControlId": "stays"},),
    ),
    "hunt: losses of controls that are": Case(
        hunt("CreepingLoss"),
        tuple(
            shown(name, day=day, after={"score": score})
            for name, day, score in (
                ("gone", "2026-11-22", 9.0),
                ("stays", "2026-11-22", 9.0),
                ("gone", "2026-11-23", 5.0),
                ("stays", "2026-11-24", 4.0),
            )
        ),
        ({"ControlId": "stays", "Lost": 5.0},),
    ),
    "workbook: what changed its category, and what moved": Case(
        WORKBOOK["category points"],
        REGROUPED,
        (
            {"Category": "Apps", "Before": 71.0, "After": 52.0, "Change": -19.0, "Moved": -2.0, "Regrouped": -17.0},
            {"Category": "Identity", "Before": 50.0, "After": 67.0, "Change": 17.0, "Moved": 0.0, "Regrouped": 17.0},
        ),
    ),
    "workbook: what changed its category on days that were read at one moment": Case(
        WORKBOOK["category points"],
        READ_AT_ONCE,
        (
            {"Category": "Apps", "Change": -19.0, "Moved": -2.0, "Regrouped": -17.0},
            {"Category": "Identity", "Change": 17.0, "Moved": 0.0, "Regrouped": 17.0},
        ),
    ),
    "workbook: which controls changed their category": Case(
        WORKBOOK["regrouped"],
        REGROUPED,
        ({"Kind": "category", "From": "Apps", "To": "Identity", "Controls": 2, "Points": 17.0},),
    ),
    "workbook: a category's share": Case(
        f"{WORKBOOK['categories over time']} | where Category == 'Identity' and Day == datetime(2026-11-22)",
        ALL,
        ({"Percent": 49.23},),
    ),
    "workbook: what a category lacks": Case(
        WORKBOOK["categories"],
        ALL,
        ({"Category": "Device", "Points": 140.5, "Missing": 189.5}, {"Missing": 144.0}, {"Missing": 66.0}),
    ),
    "workbook: measured and declared": Case(
        f"{WORKBOOK['measured and asserted']} | where Day == datetime(2026-11-22)",
        ALL,
        ({"Measured": 282.5, "Declared": 18.0},),
    ),
    "workbook: inventory": Case(WORKBOOK["inventory"], ALL, ({"ControlId": "scid_2010", "Missing": 2.0},)),
    "workbook: tenants": Case(
        WORKBOOK["tenants"],
        ALL,
        ({"TenantName": "contoso", "ScorePercent": 42.93, "LostTold": -4.5, "WonTold": 9.25, "Problems": 2},),
    ),
    "workbook: the score over all, in percent": Case(
        WORKBOOK["cloud percent"],
        (
            *CLOUD,
            Seen(
                "score.observed/subscription",
                {"id": "all", "source": "urn:all", "data.unit.kind": "aggregate", "data.score.percent": 58.33},
            ),
        ),
        ({"ScorePercent": 58.33},),
    ),
    "workbook: exposure": Case(
        WORKBOOK["exposure"], (EXPOSED,), ({"Whose": "contoso-azure, all devices", "ScoreCurrent": 12.0},)
    ),
    "workbook: subscriptions": Case(
        WORKBOOK["subscriptions"], CLOUD, ({"Subscription": "contoso-prod", "ScorePercent": 66.67, "ControlsFull": 1},)
    ),
    "workbook: a subscription is chosen by its base64": Case(
        sentinel_content.workbook_queries("all", {"Unit": "'eA=='"})["subscriptions"], CLOUD
    ),
    "workbook: subscriptions to choose from": Case(
        sentinel_content.templates()["Unit"], CLOUD, ({"Label": "contoso-prod"},)
    ),
    "workbook: controls of subscriptions": Case(
        WORKBOOK["cloud controls"],
        (Seen("control.observed/subscription", {"data.after.score": 4.0, "data.after.count": 2}),),
        ({"ControlTitle": "Enable MFA", "Missing": 6.0, "Open": 1, "Subscriptions": 1, "Unhealthy": 3},),
    ),
    "workbook: deviations from standards, as they stand": Case(
        WORKBOOK["deviations"],
        STANDARDS,
        (
            {"Standing": "open", "Standard": "gold", "TenantName": "t001", "Asked": "state ThirdParty"},
            {"Standing": "open", "Standard": "silver", "TenantName": "t002"},
        ),
    ),
    "workbook: and who is excused, if asked": Case(
        sentinel_content.workbook_queries("all", {"ExcusedShown": "1"})["deviations"]
        + "\n| where Standing == 'excused'",
        STANDARDS,
        ({"TenantName": "t001", "ExcusedUntil": "2026-12-31 00:00:00"},),
    ),
    "workbook: by standard": Case(
        WORKBOOK["standards"],
        STANDARDS,
        (
            {"Standard": "gold", "Open": 1, "Excused": 1, "Tenants": 1, "Controls": 1},
            {"Standard": "silver", "Open": 1, "Excused": 0, "Tenants": 1, "Controls": 1},
        ),
    ),
    "workbook: compliance": Case(
        WORKBOOK["compliance"], CLOUD, ({"Subscription": "contoso-prod", "StandardFailed": 5, "StandardPassed": 58},)
    ),
    "workbook: what changed in the cloud": Case(
        f"{WORKBOOK['cloud changes']} | summarize Count = count() by EventType | order by EventType asc",
        CLOUD,
        (
            {"EventType": "compliance.changed", "Count": 1},
            {"EventType": "control.score_changed", "Count": 1},
            {"EventType": "posture.target_missed", "Count": 1},
            {"EventType": "score.changed", "Count": 3},
            {"EventType": "unit.added", "Count": 1},
            {"EventType": "unit.removed", "Count": 1},
        ),
    ),
    "workbook: the tenant's own figures know nothing of the cloud": Case(
        f"{WORKBOOK['maximum']} | where Day == datetime(2026-11-22)",
        (*ALL, EXPOSED),
        ({"Points": 300.5, "Maximum": 700.0},),
    ),
    "the older table knows the score of the tenant alone": Case("M365SecureScore() | count", CLOUD, ({"Count": 0},)),
    "workbook: test events are hidden": Case(WORKBOOK["feeds"], (Seen("score.observed", TEST),)),
    "workbook: some tenants": Case(
        sentinel_content.workbook_queries("some")["feeds"],
        (
            Seen("score.observed"),
            Seen(
                "score.observed",
                {"id": "other", "data.tenant": {"id": "33333333-3333-3333-3333-333333333333", "name": "adatum"}},
            ),
        ),
        ({"TenantName": "contoso", "AgeHours": 132.0},),
    ),
    "workbook: a tenant is chosen by its id": Case(
        sentinel_content.templates()["Tenant"],
        ALL,
        ({"Value": "11111111-1111-1111-1111-111111111111", "Label": "contoso"},),
    ),
    "workbook: a category is chosen by its base64": Case(
        sentinel_content.workbook_queries("all", {"Category": "'SWRlbnRpdHk='", "Tier": "'*'"})["inventory"],
        (HOSTILE_CATEGORY, Seen("control.observed", {"id": "b", "data.control.category": "Identity"})),
        ({"ControlCategory": "Identity"},),
    ),
    "workbook: categories to choose from": Case(
        sentinel_content.templates()["Category"],
        (HOSTILE_CATEGORY,),
        ({"Value": "eCcpIG9yIHRydWUgb3IgJycgaW4gKCc=", "Label": "x') or true or '' in ('"},),
    ),
    "workbook: a hostile name is compared, never run": Case(HOSTILE["control history"], ALL, ()),
    "workbook: nor is a hostile id": Case(HOSTILE["events of the change"], ALL, ()),
    "workbook: problems that are over are gone": Case(
        f"{WORKBOOK['open problems']} | project Reason",
        ALL,
        ({"Reason": "outbox_filling"}, {"Reason": "unavailable"}, {"Reason": "controls_lost"}, {"Reason": "partial"}),
    ),
    "workbook: instances": Case(
        WORKBOOK["instances"],
        (beat(2.0, 5), beat(0.5, 3)),
        ({"Instance": "host-1", "SilentHours": 0.5, "TenantsOk": 41},),
    ),
    "workbook: told and received": Case(
        WORKBOOK["told and received"],
        (beat(1.0, 4), *rows(4, 1.5)),
        (
            {"Hour": "2026-11-27 10:00:00", "Received": 4, "Told": 4},
            {"Hour": "2026-11-27 11:00:00", "Received": 1, "Told": 0},
        ),
    ),
}
CASES |= {
    f"it runs: {name}": Case(text, ALL, None)
    for name, text in {**WORKBOOK, **{name: one["query"] for name, one in sentinel_content.hunts().items()}}.items()
    if text not in {case.query for case in CASES.values()}
}

SENT = events(NOW.replace(tzinfo=UTC) - timedelta(minutes=40), severity_rules(), ["sentinel"])
"""What `check --send-test` sends."""
AFTER_A_GRACE = ("SecureScoreRowsMissing.yaml",)
SILENT, MANY = "SecureScoreConnectorSilent.yaml", "SecureScoreFellInManyTenants.yaml"
"""What no test event can fire."""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """One for each case and each rule (over the test events). Cases with the same rows share a workspace."""
    alike: dict[str, list[str]] = {}
    for name, case in CASES.items():
        alike.setdefault(repr(case.events), []).append(name)
    given = [scenario(CASES[names[0]].events, {n: CASES[n].query for n in names}) for names in alike.values()]
    queries = {name: one["query"] for name, one in sentinel_content.rules().items()}
    late = {name: queries.pop(name) for name in AFTER_A_GRACE}
    given += [scenario(SENT, queries), scenario(SENT, late, hours=1.5)]
    return {name: rows for answer in kusto.rows(given) for name, rows in answer.items()}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, answers: dict[str, Any]) -> None:
    found, wanted = answers[name], CASES[name].expected
    assert "error" not in found, found
    if wanted is None:
        return
    shown = [{key: row.get(key, "no such column") for key in want} for row, want in zip(found, wanted, strict=False)]
    assert (len(found), shown) == (len(wanted), list(wanted))


def test_the_audit_parser_has_the_parameters_of_its_schema() -> None:
    parser = sentinel_content.documents("Parsers")["vimAuditEventMicrosoftSecureScore.yaml"]
    assert [one["Name"] for one in parser["ParserParams"]] == [name for name, _ in ASIM]


@pytest.mark.parametrize("name", sentinel_content.rules())
def test_the_test_events_fire_every_rule(name: str, answers: dict[str, Any]) -> None:
    found = answers[name]
    assert "error" not in found, found
    if name == SILENT:  # a test is no sign of life, so nothing was ever heard
        assert [row["Instance"] for row in found] == ["any host"]
    else:
        assert {row["Simulated"] for row in found} == (set() if name == MANY else {True})


def test_each_rule_is_named_among_the_alerts() -> None:
    """So that `check --send-test` says what should fire."""
    named = [alert.sentinel for alert in alerts(NOW.replace(tzinfo=UTC), severity_rules(), ["sentinel"])]
    assert all(named)
    assert {n for names in named for n in names} == {one["name"] for one in sentinel_content.rules().values()}
