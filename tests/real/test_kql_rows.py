"""What the Sentinel rules and parsers do with rows: run by duckdb-kql over rows that the shipped mapping made.

No Kusto engine can be installed here. duckdb-kql is another hand's reading of KQL; what both it and the language
service (test_kusto.py) accept, and what it computes as we mean it, is as much as can be known without a workspace.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import Factory, frozen

from connector import mapping
from connector.formats import ingestion
from sinks.sentinel import OPTIONS
from tests import sentinel_content
from tests.golden import samples
from tests.real import kusto

NOW = datetime(2026, 11, 27, 12, 0)
MAPPING = mapping.load("sentinel")
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
        record = MAPPING.render(samples.event(self.sample, dict(self.changes)))
        return TABLES[record.stream], {**json.loads(ingestion.row(record.payload)), "ingested": ago(self.hours)}


@frozen
class Case:
    """Rows, a query, and what it must give: one mapping a row, naming the columns that matter."""

    query: str
    events: tuple[Seen, ...]
    expected: tuple[Mapping[str, Any], ...] = ()

    def scenario(self) -> dict[str, Any]:
        rows: dict[str, list[dict[str, Any]]] = {}
        for event in self.events:
            table, row = event.row()
            rows.setdefault(table, []).append(row)
        return {"now": NOW.isoformat(), "rows": rows, "queries": {"it": self.query}}


def rule(name: str) -> str:
    text: str = sentinel_content.rules()[f"SecureScore{name}.yaml"]["query"]
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
    "MassChange": Seen("score.changed/regressed", {"data.contributions": contributions(12)}),
    "FeedStale": Seen("feed.stale"),
}
"""Rule → the one event that must fire it."""


def again(seen: Seen, hours: float = 0.5, **changes: Any) -> Seen:
    return Seen(seen.sample, {**seen.changes, **{f"data.{key}": value for key, value in changes.items()}}, hours)


def every_rule() -> dict[str, Case]:
    """What holds for every rule that an event fires."""
    found = {}
    for name, event in FIRES.items():
        query = rule(name)
        none: dict[str, tuple[Seen, ...]] = {
            "a backfilled one": (again(event, backfilled=True),),
            "severity 0": (again(event, severity=0),),
            "one of an earlier window": (again(event, hours=1.5),),
            "one that was told when it first came": (again(event, hours=3), event),
            "a backfilled copy of an old one": (again(event, hours=30), again(event, backfilled=True, severity=0)),
        }
        once: dict[str, tuple[Seen, ...]] = {
            "one": (event,),
            "one twice in the window": (event, again(event, hours=0.25)),
            "one whose backfilled copy came before": (again(event, hours=5, backfilled=True, severity=0), event),
            "one that was seen long before it came": (again(event, observed_at="2026-11-20T01:00:00Z"),),
        }
        found.update({f"{name}: nothing for {what}": Case(query, events) for what, events in none.items()})
        found.update({f"{name}: one alert for {what}": Case(query, events, ({},)) for what, events in once.items()})
        test = Seen(event.sample, {**event.changes, **TEST})
        found[f"{name}: a test event fires"] = Case(query, (test,), ({"TenantName": "TEST", "Simulated": True},))
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
        "data.delivered": {"sentinel": delivered, "archive": 7},
        **{f"data.{key}": value for key, value in changes.items()},
    }
    return Seen(BEAT, own, hours - 0.01 if stored is None else stored)


def rows(count: int, hours: float, first: int = 0, **changes: Any) -> tuple[Seen, ...]:
    own = {f"data.{key}": value for key, value in changes.items()}
    return tuple(Seen("control.observed", {**own, "id": f"row {first + n}"}, hours) for n in range(count))


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
    "TargetMissed: nothing when it is met again": Case(rule("TargetMissed"), (Seen("posture.target_met"),)),
    # mass changes
    "MassChange: counts the controls": Case(
        rule("MassChange"), (FIRES["MassChange"],), ({"ControlCount": 12, "Points": -4.5, "Causes": ["configuration"]},)
    ),
    "MassChange: nothing for nine": Case(
        rule("MassChange"), (Seen("score.changed/regressed", {"data.contributions": contributions(9)}),)
    ),
    "MassChange: one person declares ten": Case(
        rule("MassChange"),
        tuple(state(n) for n in range(10)),
        ({"ControlCount": 10, "UpdatedBy": "admin@contoso.example", "AccountName": "admin", "AlertSeverity": "High"},),
    ),
    "MassChange: nothing when two persons declare five each": Case(
        rule("MassChange"), tuple(state(n, f"admin{n % 2}@contoso.example") for n in range(10))
    ),
    # stale feeds
    "FeedStale: nothing when it is told again the next day": Case(
        rule("FeedStale"),
        (again(FIRES["FeedStale"], hours=24.5), Seen("feed.stale", {"id": "later", "data.repeat": 1})),
    ),
    "FeedStale: many tenants at once": Case(
        rule("FeedStale"),
        (Seen("connector.problem/tenants", {"subject": "tenants:feed.stale:stale", "data.reason": "stale"}),),
        ({"TenantName": "many tenants", "AlertSeverity": "High"},),
    ),
    "FeedStale: nothing for other problems": Case(
        rule("FeedStale"), (Seen("connector.problem"), Seen("connector.problem/tenants"), Seen("feed.partial"))
    ),
    # silence
    "ConnectorSilent: three hours and a little": Case(
        rule("ConnectorSilent"), (beat(4.2), beat(3.2)), ({"Instance": "host-1", "AlertSeverity": "High"},)
    ),
    "ConnectorSilent: not before three hours": Case(rule("ConnectorSilent"), (beat(2.9),)),
    "ConnectorSilent: told once": Case(rule("ConnectorSilent"), (beat(5.0),)),
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
    "RowsMissing: nothing when all arrived": Case(rule("RowsMissing"), (beat(0.5, 5), *rows(5, 1.0))),
    "RowsMissing: one did not": Case(
        rule("RowsMissing"),
        (beat(0.5, 6), *rows(5, 1.0)),
        ({"Told": 6, "Received": 5, "Missing": 1, "Instance": "host-1", "Simulated": False},),
    ),
    "RowsMissing: none did": Case(rule("RowsMissing"), (beat(0.5, 6),), ({"Told": 6, "Received": 0, "Missing": 6},)),
    "RowsMissing: nothing for a second copy": Case(rule("RowsMissing"), (beat(0.5, 5), *rows(5, 1.0), *rows(2, 0.9))),
    "RowsMissing: stored a little after the heartbeat": Case(
        rule("RowsMissing"), (beat(0.5, 5), *rows(4, 1.0), *rows(1, 0.45, first=9))
    ),
    "RowsMissing: the heartbeat itself is told by the next one": Case(
        rule("RowsMissing"), (beat(1.5, 3), *rows(3, 2.0), beat(0.5, 5), *rows(4, 1.0))
    ),
    "RowsMissing: two instances together": Case(
        rule("RowsMissing"),
        (beat(0.5, 3), beat(0.5, 4, instance="host-2"), *rows(6, 1.0)),
        ({"Told": 7, "Received": 6, "Missing": 1, "Instance": "host-1, host-2"},),
    ),
    "RowsMissing: a heartbeat too young to judge": Case(rule("RowsMissing"), (beat(0.1, 5),)),
    "RowsMissing: a heartbeat judged before": Case(rule("RowsMissing"), (beat(3.5, 5),)),
    "RowsMissing: nothing of another sink": Case(
        rule("RowsMissing"), (Seen(BEAT, {**beat(0.5).changes, "data.delivered": {"soc": 5}}),)
    ),
    "RowsMissing: a test heartbeat alone fires": Case(
        rule("RowsMissing"), (beat(0.5, 5, **SIMULATED),), ({"Missing": 5, "Simulated": True},)
    ),
    "RowsMissing: test rows are not counted for real ones": Case(
        rule("RowsMissing"), (beat(0.5, 5), *rows(4, 1.0), *rows(9, 1.0, first=9, simulated=True)), ({"Missing": 1},)
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


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    answers = kusto.rows([case.scenario() for case in CASES.values()])
    return {name: answer["it"] for name, answer in zip(CASES, answers, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, results: dict[str, Any]) -> None:
    found, wanted = results[name], CASES[name].expected
    assert "error" not in found, found
    shown = [{key: row.get(key, "no such column") for key in want} for row, want in zip(found, wanted, strict=False)]
    assert (len(found), shown) == (len(wanted), list(wanted))
