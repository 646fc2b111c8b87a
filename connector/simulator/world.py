"""Simulated tenants that live: what Graph would say about any of them at any moment.

A document is a pure function of (seed, tenant, day, moment), apart from states that somebody wrote through `set_state`.
No I/O and no clock: the moment is an argument. What Graph does and does not keep follows public captures: only the
newest document is detailed, it is rewritten during its day, and history is stripped.
"""

import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from math import fsum
from typing import Any

from attrs import define, evolve, field, frozen

from connector.simulator import histories, texts
from connector.simulator.catalogue import Churn, Entry, Version, as_of, hidden
from connector.simulator.chance import rng, share
from connector.simulator.habits import Habits
from connector.simulator.histories import camel, moment
from connector.simulator.tenants import (
    DAY,
    SIZES,
    WEEK,
    Plan,
    Slot,
    Tenant,
    Timeline,
    Update,
    enabled_services,
    make_plan,
    make_tenant,
)

HISTORY_DAYS = 90
ASSERTING = frozenset({"ThirdParty", "Reviewed"})
"""States that award full points nobody measured."""
_MONTH = 30 * DAY
_VENDOR = {"provider": "SecureScore", "providerVersion": None, "subProvider": None, "vendor": "Microsoft"}
_DAILY = frozenset({"Azure ATP", "MCAS", "AppG", "Intune"})
_LAGGING = frozenset({"AzureAD", "MS Teams"})


@frozen
class View:
    """One document as it stands: its day and the minute up to which it has been brought, both since the world began."""

    day: int
    minute: int
    detailed: bool


@define
class _Life:
    """A tenant's plan and timeline, with the controls that are scored under each catalogue version and licence."""

    plan: Plan
    timeline: Timeline
    scored: dict[tuple[int, bool], list[tuple[Entry, Slot]]] = field(factory=dict)


class World:
    """Tenants by number, each with documents for every day since `start`.

    `sizes` are dealt out in turn (keys of tenants.SIZES). `missing` is the share of days that never appear or appear
    one to two days late. `start` is the first day of history: put the clock 90 days later to see it full.
    """

    def __init__(
        self,
        seed: int = 7,
        tenants: int = 1,
        start: date = date(2026, 6, 1),
        *,
        sizes: Sequence[str] = ("e5", "mid", "small"),
        missing: float = 0.01,
        habits: Habits | None = None,
        catalogue: float = 1.0,
        lives_kept: int = 64,
    ) -> None:
        self.seed = seed
        self.habits = habits or Habits()
        self.start = datetime(start.year, start.month, start.day, tzinfo=UTC)
        self._count = tenants
        self._sizes = tuple(sizes)
        self._missing = missing
        self._lives_kept = lives_kept
        self._lives: OrderedDict[int, _Life] = OrderedDict()
        self._churn = Churn(seed, big_batches=self.habits.big_batches, known=catalogue)
        self._written: dict[str, dict[str, list[Update]]] = {}

    # ---------------------------------------------------------------------------------------------------- who is there

    @cached_property
    def tenants(self) -> tuple[Tenant, ...]:
        return tuple(make_tenant(self.seed, number, self._sizes) for number in range(self._count))

    @cached_property
    def _by_id(self) -> Mapping[str, Tenant]:
        return {who.id: who for who in self.tenants}

    def tenant(self, tenant_id: str) -> Tenant | None:
        return self._by_id.get(tenant_id)

    def _life(self, tenant_id: str, day: int) -> _Life:
        who = self._by_id[tenant_id]
        life = self._lives.pop(who.number, None)
        if life is None:
            plan = make_plan(self.seed, who)
            life = _Life(plan, Timeline(self.seed, plan))
        self._lives[who.number] = life
        if len(self._lives) > self._lives_kept:
            self._lives.popitem(last=False)
        life.timeline.extend(max(0, day))
        return life

    # ------------------------------------------------------------------------------------------------ documents by day

    def minute(self, now: datetime) -> int:
        """Whole minutes from the first midnight of the world to a moment (negative before it)."""
        return (now - self.start) // timedelta(minutes=1)

    def views(self, tenant_id: str, now: datetime) -> list[View]:
        """The documents Graph holds at a moment, newest first: at most 90 days back, some days missing or late."""
        minute = self.minute(now)
        plan = self._life(tenant_id, minute // DAY).plan
        days = self._days(plan, minute)
        return [
            View(day, _rewritten(self.habits, plan, day, minute), detailed=position == 0)
            for position, day in enumerate(days)
        ]

    def _days(self, plan: Plan, minute: int) -> Iterator[int]:
        """The days whose documents are there, newest first."""
        today = minute // DAY
        for day in range(today, max(-1, today - HISTORY_DAYS), -1):
            appears = self._appears(plan, day)
            if appears is not None and appears <= minute:
                yield day

    def _appears(self, plan: Plan, day: int) -> int | None:
        """The minute at which a day's document appears; None = never."""
        luck = share(self.seed, "missing", plan.tenant.number, day) if self._missing else 1.0
        if luck < self._missing / 2:
            return None
        late = DAY + int(luck / self._missing * DAY) if luck < self._missing else 0
        return day * DAY + plan.published_minute + late

    def score_documents(self, tenant_id: str, now: datetime, limit: int = HISTORY_DAYS) -> list[dict[str, Any]]:
        """`secureScore` documents, newest first. Raises KeyError for an unknown tenant."""
        return [self.score_document(tenant_id, view) for view in self.views(tenant_id, now)[:limit]]

    def score_document(self, tenant_id: str, view: View) -> dict[str, Any]:
        """One `secureScore` document: detailed, or stripped as Graph strips history."""
        life = self._life(tenant_id, view.day)
        plan, timeline = life.plan, life.timeline
        asserted = self._asserted(life, view.minute)
        reading = _Reading(self.start, plan, timeline, asserted, view.minute, self.habits)
        has_optional = timeline.has_optional(view.day * DAY)
        scored = [
            (as_of(entry, self.habits, view.minute), slot)
            for entry, slot in self._scored(life, view.day, has_optional)
            if not hidden(entry, self.habits, view.minute, "document")
        ]
        row = reading.detailed_row if view.detailed else reading.stripped_row
        rows = [row(entry, slot) for entry, slot in scored]
        return {
            "id": f"{tenant_id}_{self.day_text(view.day)}",
            "azureTenantId": tenant_id,
            "activeUserCount": 0 if share(self.seed, "active", plan.tenant.number, view.day) < 0.03 else reading.users,
            "createdDateTime": f"{self.day_text(view.day)}T00:00:00Z",
            "currentScore": round(fsum(row["score"] for row in rows), 2),
            "enabledServices": enabled_services(plan, has_optional),
            "licensedUserCount": 0,
            "maxScore": float(sum(entry.max_score for entry, _ in scored)),
            "vendorInformation": dict(_VENDOR),
            "averageComparativeScores": self._averages(plan, view.day),
            "controlScores": rows,
        }

    def day_text(self, day: int) -> str:
        """The ISO date of a day of the world."""
        return (self.start + timedelta(days=day)).date().isoformat()

    def _scored(self, life: _Life, day: int, has_optional: bool) -> list[tuple[Entry, Slot]]:
        version = self._churn.version(day)
        key = (version.number, has_optional)
        if key not in life.scored:
            if len(life.scored) > 8:
                life.scored.clear()
            life.scored[key] = [
                (_instance(entry, life.plan), slot)
                for entry in version.entries.values()
                if (slot := life.plan.slots.get(entry.id)) and (has_optional or entry.service != life.plan.optional)
            ]
        return life.scored[key]

    def _averages(self, plan: Plan, day: int) -> list[dict[str, Any]]:
        """Comparative averages move daily; at times all fields of one basis are -1, at times there are none."""
        luck = share(self.seed, "averages", day)
        if luck < 0.015:
            return []
        low, high = SIZES[plan.tenant.size].seats
        sized = {"SeatSizeRangeLowerValue": str(low), "SeatSizeRangeUpperValue": str(high)}
        return [
            _average("AllTenants", rng(self.seed, "all", day), unknown=False),
            _average("TotalSeats", rng(self.seed, plan.tenant.size, day), unknown=luck > 0.97) | sized,
        ]

    def incidents(self, tenant_id: str, since: datetime, until: datetime) -> list[tuple[datetime, str]]:
        """(moment, control) of every core identity control that will drop in [since, until), in order."""
        first, last = self.minute(since), self.minute(until)
        found = self._life(tenant_id, max(0, last // DAY)).timeline.incidents_between(first, last)
        return [(self.start + timedelta(minutes=minute), name) for minute, name in found]

    # ------------------------------------------------------------------------------------------------------- catalogue

    def catalogue(self, tenant_id: str, now: datetime) -> tuple[Version, list[Entry]]:
        """The catalogue version that goes with the newest document, and its entries as this tenant sees them."""
        minute = self.minute(now)
        plan = self._life(tenant_id, minute // DAY).plan
        version = self._churn.version(next(self._days(plan, minute), 0))
        own = (_instance(e, plan) for e in version.entries.values() if e.service in plan.instances)
        listed = (*version.entries.values(), *own)
        shown = [as_of(e, self.habits, minute) for e in listed if not hidden(e, self.habits, minute, "catalogue")]
        return version, shown

    def profiles(self, tenant_id: str, now: datetime) -> list[dict[str, Any]]:
        """All `secureScoreControlProfile` entries. Raises KeyError for an unknown tenant."""
        _, listed = self.catalogue(tenant_id, now)
        asserted = self.asserted(tenant_id, now)
        minute = self.minute(now)
        return [self.profile(entry, tenant_id, asserted.get(entry.id, ()), minute) for entry in listed]

    def profile(self, entry: Entry, tenant_id: str, updates: Sequence[Update] = (), minute: int = 0) -> dict[str, Any]:
        """One `secureScoreControlProfile` at a minute, with a state history (given oldest first)."""
        return _profile(entry, tenant_id, histories.listed(self.start, entry, updates, self.habits, minute))

    def asserted(self, tenant_id: str, now: datetime) -> dict[str, list[Update]]:
        """The state history, oldest first, of every control that has one."""
        minute = self.minute(now)
        return self._asserted(self._life(tenant_id, minute // DAY), minute)

    def _asserted(self, life: _Life, minute: int) -> dict[str, list[Update]]:
        written = self._written.get(life.plan.tenant.id, {})
        lived = life.timeline.states
        whole = {name: [*lived.get(name, ()), *written.get(name, ())] for name in {*lived, *written}}
        kept = {name: histories.there(history, name, self.habits, minute) for name, history in whole.items()}
        return {name: history for name, history in kept.items() if history}

    def completed(self, tenant_id: str, now: datetime, control: str) -> bool:
        """Whether a control has all its points by measurement, so that its status is locked."""
        states = self.asserted(tenant_id, now).get(control, ())
        if states and states[-1].state in ASSERTING:
            return False
        newest = self.score_document(tenant_id, self.views(tenant_id, now)[0])
        return any(c["controlName"] == control and c["scoreInPercentage"] == 100 for c in newest["controlScores"])

    def writes(self, tenant_id: str) -> int:
        """How many states were written to a tenant from outside: with the view, all that its documents depend on."""
        return sum(map(len, self._written.get(tenant_id, {}).values()))

    def set_state(self, tenant_id: str, control: str, update: Update) -> None:
        """Append to a control's state history, even when nothing changes, as a PATCH does."""
        self._written.setdefault(tenant_id, {}).setdefault(control, []).append(update)


# ------------------------------------------------------------------------------------------------ one document's rows

_USERS = -1  # places at the end of a week's random knots, behind those of the controls
_DEVICES = -2


class _Reading:
    """One tenant measured at one minute."""

    def __init__(
        self,
        start: datetime,
        plan: Plan,
        timeline: Timeline,
        asserted: Mapping[str, list[Update]],
        minute: int,
        habits: Habits,
    ) -> None:
        self._habits = habits
        self._start = start
        self._plan = plan
        self._timeline = timeline
        self._asserted = asserted
        self._minute = minute
        self._weekly = _last(minute, WEEK, plan.weekly_minute)
        self._monthly = _last(minute, _MONTH, plan.monthly_minute)
        self.users = _users(plan, timeline, minute)
        self._devices = {
            platform: max(1, round(count * (1 + 0.03 * timeline.drift(_DEVICES - number, minute))))
            for number, (platform, count) in enumerate(sorted(plan.devices.items()))
        }

    def detailed_row(self, entry: Entry, slot: Slot) -> dict[str, Any]:
        """One `controlScore` of the newest document."""
        synced = self._synced(entry, slot)
        good, total, status, facts = self._measure(entry, slot, synced)
        points, percent = self._points(entry, good, total)
        if share("flipped", entry.id, self._minute // DAY) < self._habits.flipped_counts and "total" in facts:
            facts = facts | {"count": str(int(facts["total"]) - int(facts["count"]))}
        return {
            "controlCategory": entry.category,
            "controlName": entry.id,
            "description": texts.description(entry.base_id, entry.title),
            "score": points,
            "lastSynced": moment(self._start, synced),
            "implementationStatus": status,
            **facts,
            "scoreInPercentage": percent,
        }

    def stripped_row(self, entry: Entry, slot: Slot) -> dict[str, Any]:
        """The same once the day is history: no description, no evidence, the status sentence with its slots emptied."""
        good, total, _, _ = self._measure(entry, slot, self._synced(entry, slot))
        points, percent = self._points(entry, good, total)
        return {
            "controlCategory": entry.category,
            "controlName": entry.id,
            "description": None,
            "score": points,
            "implementationStatus": _BLANKS[slot.evidence],
            "scoreInPercentage": percent,
        }

    def _points(self, entry: Entry, good: int, total: int) -> tuple[float, float]:
        """Points and percentage: the score is rounded first and the percentage follows from the rounded score."""
        if self._awarded(entry):
            good = total
        points = round(entry.max_score * good / total, 2)
        return points, round(100 * points / entry.max_score, 2)

    def _measure(self, entry: Entry, slot: Slot, synced: int) -> tuple[int, int, str, dict[str, str]]:
        """(compliant, of how many, status sentence, undeclared properties as Graph sends them: strings)."""
        level = self._timeline.level(slot, synced if entry.service in _LAGGING else self._minute)
        match slot.evidence:
            case "device":
                total = self._devices[slot.platform]
                drift = (
                    max(1.2, 0.02 * total) * self._timeline.drift(slot.index, self._minute) if slot.restless else 0.0
                )
                exposed = min(total, max(0, round((1 - level) * total + drift)))
                facts = {"count": str(exposed), "total": str(total), "state": self._device_state(entry)}
                return total - exposed, total, texts.device_status(exposed, total), facts
            case "policy":
                good = round(level * self.users)
                facts = {"count": str(good), "total": str(self.users)}
                return good, self.users, texts.policy_status(good, self.users), facts
            case "users" if entry.id == "SelfServicePasswordReset" and self._plan.tenant.size == "small":
                return 1, 1, texts.users_status(0, 0), {"count": "0", "total": "0"}
            case "users" | "admins":
                admins = slot.evidence == "admins"
                total = self._plan.admins if admins else _users(self._plan, self._timeline, synced)
                good = round(level * total)
                return good, total, texts.users_status(good, total), {"count": str(good), "total": str(total)}
            case "bare":
                holders = self._plan.global_admins + (0 if level >= 0.5 else 6)
                return round(level), 1, texts.bare_status(holders), {"count": str(holders)}
            case "sentence":
                return round(level), 1, texts.sentence_status(entry.id, level >= 0.5), {}
            case _:
                return round(level), 1, texts.switch_status(level >= 0.5), {"on": "true" if level >= 0.5 else "false"}

    def _synced(self, entry: Entry, slot: Slot) -> int:
        """When the service last looked: Teams monthly, Entra weekly or when touched, some daily, the rest now."""
        if entry.service == "MS Teams":
            return self._monthly
        if entry.service == "AzureAD":
            return max(self._weekly, self._timeline.last_trigger(slot, self._minute))
        if entry.service in _DAILY or entry.service.startswith("MDA_"):
            return _last(self._minute, DAY, 274)
        return self._minute - len(entry.service)

    def _awarded(self, entry: Entry) -> bool:
        """True when a state gives full points unmeasured; they follow the state hours or days later."""
        if entry.id not in self._asserted:
            return False
        latest = self._minute - points_delay_minutes(entry.id, self._habits.late_points)
        effective = [u for u in self._asserted[entry.id] if u.minute <= latest]
        return bool(effective) and effective[-1].state in ASSERTING

    def _device_state(self, entry: Entry) -> str:
        updates = self._asserted.get(entry.id)
        return camel(updates[-1].state) if updates else "default"


_BLANKS = {
    "device": texts.device_status("", ""),
    "policy": texts.POLICY_BLANK,
    "users": texts.users_status(0, 0),
    "admins": texts.users_status(0, 0),
    "bare": texts.bare_status(""),
    "sentence": texts.SENTENCE_BLANK,
    "switch": texts.SWITCH_BLANK,
}


def _last(minute: int, period: int, offset: int) -> int:
    """The latest multiple of a period (plus its offset) that is not after a minute."""
    return (minute - offset) // period * period + offset


def _rewritten(habits: Habits, plan: Plan, day: int, minute: int) -> int:
    """Up to when a day's document has been brought: it is rewritten a few times a day until its day is over."""
    hourly = bool(habits.flickering) or share("busy", plan.tenant.number, day) < habits.busy
    within = min(max(minute - day * DAY, 0), DAY - 1)
    return day * DAY + _last(within, 60 if hourly else plan.rewrite_minutes, 0)


def _users(plan: Plan, timeline: Timeline, minute: int) -> int:
    growth = plan.growth * minute / (365 * DAY)
    return max(1, round(plan.users * (1 + growth + 0.02 * timeline.drift(_USERS, minute))))


@lru_cache(maxsize=2048)
def points_delay_minutes(control: str, late: float = Habits().late_points) -> int:
    """How long after a state was written its points appear: 6 to 40 hours; for a share of the controls up to 7 days."""
    longest = 7 * DAY if share("late points", control) < late else 40 * 60
    return 360 + int(share("delay", control) * (longest - 360))


def _instance(entry: Entry, plan: Plan) -> Entry:
    """The control of one connected app instance, where this tenant has one: same title, prefixed id."""
    number = plan.instances.get(entry.service)
    return evolve(entry, id=f"{number}.{entry.id}") if number else entry


def _average(basis: str, draw: random.Random, *, unknown: bool) -> dict[str, Any]:
    fields = ["averageScore"]
    fields += [f"{part}Score{end}" for part in ("apps", "data", "device", "identity") for end in ("", "Max")]
    centre = (50, 30, 85, 0.5, 3.5, 9, 17, 35, 60)
    values = [-1.0 if unknown else round(c + draw.random() * c / 50, 2) for c in centre]
    nothing = -1.0 if unknown else 0.0
    row: dict[str, Any] = {"basis": basis, **dict(zip(fields, values, strict=True))}
    return row | {"infrastructureScore": nothing, "infrastructureScoreMax": nothing}


# -------------------------------------------------------------------------------------------------------- one profile


def _profile(entry: Entry, tenant_id: str, history: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": entry.id,
        "azureTenantId": tenant_id,
        "actionType": "Config",
        "actionUrl": _action_url(entry, tenant_id),
        "controlCategory": entry.category,
        "title": entry.title,
        "deprecated": False,
        "implementationCost": entry.implementation_cost,
        "lastModifiedDateTime": None,
        "maxScore": float(entry.max_score),
        "rank": entry.rank,
        "remediation": texts.remediation(entry.base_id, entry.title),
        "remediationImpact": texts.remediation_impact(entry.base_id),
        "service": entry.service,
        "threats": list(entry.threats),
        "tier": entry.tier,
        "userImpact": entry.user_impact,
        "vendorInformation": dict(_VENDOR),
        "complianceInformation": [],
        "controlStateUpdates": history,
    }


def _action_url(entry: Entry, tenant_id: str) -> str:
    if entry.device or entry.family == "mdo":
        return f"https://security.microsoft.com/securescore?viewid=actions&tid={tenant_id}"
    if entry.service == "AzureAD":
        return "https://entra.microsoft.com/"
    return "https://security.microsoft.com/securescore?viewid=actions"
