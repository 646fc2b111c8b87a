"""The events of `check --send-test`: one for each alert rule that ships, of a tenant TEST that does not exist. Pure.

They are made by the same functions as real ones, from two invented days, so that they have every field a rule may look
at. Each is marked `simulated`; ids hold the moment of the test, so that a second test fires a second time. Nothing here
sends or keeps anything. Which rules there are is data: mappings/alerts.yaml.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen

from connector.clock import iso
from connector.config.values import BaselineConfig, ChangesConfig, ExceptionsConfig, TargetsConfig
from connector.health import upkeep
from connector.health.heartbeat import heartbeat
from connector.ids import event_id
from connector.mapping.resources import load_data
from connector.model import Change, Control, Day, Event, Profile, Snapshot, Standard, StateUpdate, Unit, Version
from connector.observe import fold, notices
from connector.observe.compliance import compliance_changed
from connector.observe.events import Origin, stamp
from connector.observe.memory import Memory
from connector.observe.severity import SeverityRules, holds
from connector.observe.unit_changes import unit_removed
from connector.problems import REPEAT, Fault, advance
from connector.signin.credentials import Expiry, fault

TENANT = "TEST"
TENANT_ID = "00000000-0000-0000-0000-000000000000"
CONTROLS = 30
"""How many controls lose their points: enough for a rule about mass changes."""
DELIVERED = 1_000_000
"""What the heartbeat says that a sink took: more than anybody received."""
STALE_AFTER_S = 48 * 3600.0
REVIEW_AFTER_DAYS = 180
EXPIRES_IN = timedelta(days=6)
UNIT = Unit("subscription", TENANT_ID, "TEST subscription", "ascScore")
STANDARD = "TEST standard"
_USER = "test.user@example.org"


@frozen
class Alert:
    """A rule that ships. `events` fire it, if at least `least` arrive; none where `absence` says how else to see it."""

    name: str
    events: tuple[Event, ...]
    least: int = 1
    absence: str = ""
    splunk: tuple[str, ...] = ()
    sentinel: tuple[str, ...] = ()


def alerts(now: datetime, rules: SeverityRules, sinks: Sequence[str]) -> list[Alert]:
    """Every shipped rule with the events that make it fire; `sinks` are whom the heartbeat speaks of."""
    said = events(now, rules, sinks)
    found = []
    for row in load_data("alerts")["alerts"]:
        fits = tuple(e for e in said if "when" in row and holds(row["when"], e.type, e.data))
        names = {place: tuple(row.get(place, ())) for place in ("splunk", "sentinel")}
        found.append(Alert(row["name"], fits, row.get("least", 1), row.get("absence", ""), **names))
    return found


def events(now: datetime, rules: SeverityRules, sinks: Sequence[str]) -> list[Event]:
    """All test events, each once, in the order in which they are sent."""
    tenant = Origin(TENANT_ID, TENANT)
    connector = Origin(None, TENANT, source="connector")
    cloud = evolve(tenant, source="defender_cloud", unit=UNIT)
    said = [(change, tenant) for change in _posture(now)]
    said += [(change, cloud) for change in _cloud(now)]
    said.append((_refused(now), tenant))
    said += [(change, tenant) for change in _problems(_tenant_faults(now), now, tenant)]
    said += [(change, tenant) for change in _lasting(now, tenant)]
    said += [(change, connector) for change in _problems(_connector_faults(now, sinks), now, connector)]
    said.append((_heartbeat(now, sinks), connector))
    return [_simulated(stamp(change, origin, iso(now), rules)) for change, origin in said]


def _simulated(event: Event) -> Event:
    words = f"TEST: {event.data['summary']}"
    return evolve(event, data={**event.data, "summary": words, "simulated": True})


# ----------------------------------------------------------------------------------------------------------- posture


def _posture(now: datetime) -> list[Change]:
    """The score falls by 53.5 points overnight, every control with it; two Core controls are declared away, and a risk
    that was accepted half a year ago is due for review.
    """
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    names = [f"TestControl{n:02d}" for n in range(1, CONTROLS + 1)]
    maxima = [10.0, *(2.0 for _ in names[1:])]
    before = _day(now, yesterday.isoformat(), names, maxima, [1.0 for _ in names], 120.0)
    after = _day(now, today.isoformat(), names, maxima, [0.0, *(0.25 for _ in names[1:])], 66.5)
    profiles = {name: _profile(name, top) for name, top in zip(names, maxima, strict=True)}
    long_ago = iso(now - timedelta(days=REVIEW_AFTER_DAYS))
    accepted = StateUpdate("Ignored", long_ago, _USER, "Test of the alert rules: nothing was accepted", None)
    profiles[names[3]] = evolve(profiles[names[3]], updates=(accepted,))
    declared = {**profiles}
    for name, state in ((names[1], "Ignored"), (names[2], "ThirdParty")):
        update = StateUpdate(state, iso(now), _USER, "Test of the alert rules: nothing was declared", None)
        declared[name] = evolve(profiles[name], updates=(update,))
    rules = fold.Rules(
        TENANT_ID,
        ChangesConfig(inventory="off"),
        TargetsConfig(
            percent_min=70.0,
            drop_points=20.0,
            controls=(names[0],),
            baseline=BaselineConfig(full={names[0]: STANDARD, names[4]: STANDARD}),
        ),
    )
    known = fold.observe(Memory(), Snapshot("test", (before,), profiles), rules, iso(now - timedelta(days=1)))
    rules = evolve(rules, exceptions=ExceptionsConfig(review_after_days=REVIEW_AFTER_DAYS))
    seen = fold.observe(known.memory, Snapshot("test", (after,), declared), rules, iso(now))
    return [change for change in seen.changes if change.type != "score.observed"]


def _day(
    now: datetime, day: str, names: Sequence[str], maxima: Sequence[float], shares: Sequence[float], score: float
) -> Day:
    controls = {
        name: Control(name, "Identity", top * share, 100.0 * share, count=int(8 * share), total=8)
        for name, top, share in zip(names, maxima, shares, strict=True)
    }
    services = ("HasExchange",)
    return Day(f"{TENANT}_{day}_{iso(now)}", day, score, 150.0, controls, services=services, detailed=True)


def _profile(name: str, top: float) -> Profile:
    return Profile(
        name,
        f"Test of the alert rules: {name}",
        "Identity",
        "AzureAD",
        "Core",
        top,
        action_url="https://security.microsoft.com/securescore",
        threats=("Account Breach",),
    )


# ------------------------------------------------------------------------------------------------------------- cloud


def _cloud(now: datetime) -> list[Change]:
    """A subscription fails three controls more of a standard, and has not been listed for a day."""
    day = _day(now, now.date().isoformat(), (), (), (), 66.5)
    before, after = (Standard(STANDARD, "Failed", passed=9 - failed, failed=failed) for failed in (2, 5))
    return [
        compliance_changed(before, after, Version(day, "")),
        unit_removed(UNIT, "", iso(now - timedelta(days=1)), iso(now)),
    ]


# ------------------------------------------------------------------------------------------------------------ health


def _refused(now: datetime) -> Change:
    """A catalogue that lost half of its profiles at once."""
    problem = event_id(TENANT_ID, "feed.suspicious", "profiles_lost", "", iso(now))
    lost = [f"TestControl{n:02d}" for n in range(1, CONTROLS // 2 + 1)]
    later = iso(now + timedelta(days=1))
    return notices.catalogue_suspicious(CONTROLS, lost, None, problem_id=problem, first_seen=iso(now), accepts_at=later)


def _lasting(now: datetime, origin: Origin) -> list[Change]:
    """A read that has been incomplete for a day, as it is told for the second time."""
    words = "the catalogue could not be read completely (partial)"
    partial = [Fault("feed.partial", "partial", "catalogue", words, hint="nothing", data={"part": "catalogue"})]
    known, _ = advance({}, partial, iso(now - REPEAT), scope=origin.urn)
    return advance(known, partial, iso(now), scope=origin.urn)[1]


def _tenant_faults(now: datetime) -> list[Fault]:
    newest = (now - timedelta(days=4)).date().isoformat()
    stale = fold.stale(newest, iso(now), STALE_AFTER_S)
    expiry = Expiry(f"tenants.{TENANT}.auth", "secret", now + EXPIRES_IN, (TENANT,))
    return [f for f in (stale, fault(expiry, now)) if f is not None]


def _connector_faults(now: datetime, sinks: Sequence[str]) -> list[Fault]:
    name = sinks[0] if sinks else TENANT
    health = upkeep.SinkHealth(name, "denied", "TEST: the receiver refuses the credential", "nothing: this is a test")
    found = upkeep.sink_fault(health, {}, iso(now), now)
    return [] if found is None else [found]


def _problems(faults: Sequence[Fault], now: datetime, origin: Origin) -> list[Change]:
    return advance({}, faults, iso(now), scope=origin.urn)[1]


def _heartbeat(now: datetime, sinks: Sequence[str]) -> Change:
    """As the hourly one, but of a slot of its own, and with counts that cannot be true."""
    hour_s = 3600.0
    since, counts = iso(now - timedelta(seconds=hour_s)), dict.fromkeys(sinks, DELIVERED)
    tenants: Mapping[str, Any] = {"ok": 1, "stale": 0, "failing": 0}
    return heartbeat(iso(now), TENANT, hour_s, since, iso(now), tenants, counts)
