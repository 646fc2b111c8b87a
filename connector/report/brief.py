"""What page one of a report says, from what its other parts know. Pure.

No figure is computed here a second time: the score and its change come from the days, what mattered from committed
events and their severity, what is due from the exceptions register, what to do from advice/. Only one question is
answered here: whether a figure moved further than it moves anyway.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from connector.advice.values import Action, Advice, TargetStanding
from connector.advice.what_if import project
from connector.model import Event, Profile, Version
from connector.observe import diff, waterfall
from connector.report.values import Brief, Comparative, Course, DayPoint, Decisions, Exemption, Happening, Material

WEEK = 7
SHOWN_ACTIONS = 5
SHOWN_HAPPENINGS = 2
WEIGHTY = 5
"""The severity from which an event mattered; points that moved further than the score swings weigh as much, since of
history every severity is 0.
"""
DOABLE = ("quick_win", "project", "other")
"""Groups of advice that need neither a licence nor somebody to take a statement back."""
COMPARABLE = ("TotalSeats", "AllTenants", "IndustryTypes")
"""Averages by how comparable their tenants are; nobody knows what Microsoft takes for an industry."""
_KINDS = ("control.score_changed", "control.state_changed")


def course(values: Sequence[float | None], least: float) -> Course:
    """How a daily figure went; a move of less than `least` is none."""
    known = [value for value in values if value is not None]
    swing = None
    if len(known) >= 2 * WEEK:
        ranges = [max(week) - min(week) for week in (known[n : n + WEEK] for n in range(len(known) - WEEK + 1))]
        swing = diff.rounded(median(ranges))
    limit = max(swing or 0.0, least)
    before, after = (values[0], values[-1]) if len(values) > 1 else (None, values[-1])
    if before is None or after is None:
        return Course(before, after, None, swing, limit, "unknown")
    delta = diff.points(diff.fixed(after) - diff.fixed(before))
    direction = "unchanged" if abs(delta) <= limit else "rose" if delta > 0 else "fell"
    return Course(before, after, delta, swing, limit, direction)


def comparable(averages: Iterable[Comparative]) -> Comparative | None:
    """The average of those tenants that are most like this one."""
    known = [one for one in averages if one.average is not None and one.basis in COMPARABLE]
    return min(known, key=lambda one: COMPARABLE.index(one.basis), default=None)


def target(advice: Advice) -> TargetStanding | None:
    """The target of the percentage: of what is measured alone only where no other is set."""
    kinds = ("percent_min", "measured_percent_min")
    return min((t for t in advice.targets if t.kind in kinds), key=lambda t: kinds.index(t.kind), default=None)


def decisions(held: Sequence[Exemption] | None, *, asked_for: bool) -> Decisions | None:
    """How many exceptions wait for somebody; None while no catalogue is known."""
    if held is None:
        return None
    return Decisions(
        asked_for=asked_for,
        held=len(held),
        due=sum(bool(e.due) for e in held),
        review_overdue=sum("review_overdue" in e.due for e in held),
        comment_missing=sum(e.comment is None for e in held),
        oldest_days=max((e.age_days for e in held if e.age_days is not None), default=None),
        next_review=min((e.review_on for e in held if e.review_on and "review_overdue" not in e.due), default=None),
    )


def happened(
    events: Iterable[Event], versions: Sequence[Version], profiles: Mapping[str, Profile], limit: float
) -> tuple[Happening, ...]:
    """The weightiest event of each control, the weightiest of all first; no more than a page one has room for."""
    told = [e for e in events if e.type in _KINDS and e.data.get("direction") != "unchanged"]
    best: dict[str, tuple[tuple[int, float, str], Event]] = {}
    for event in told:
        severity, far = int(event.data["severity"]), abs(event.data.get("delta") or 0.0)
        weight = max(severity, WEIGHTY if far > limit else 0)
        key = (weight, far, event.time)
        if weight >= WEIGHTY and (event.subject not in best or key > best[event.subject][0]):
            best[event.subject] = (key, event)
    found = sorted(best.values(), key=lambda row: row[0], reverse=True)[:SHOWN_HAPPENINGS]
    return tuple(_happening(event, told, versions, profiles.get(event.subject)) for _, event in found)


def _happening(event: Event, told: Sequence[Event], versions: Sequence[Version], profile: Profile | None) -> Happening:
    data, name = event.data, event.subject
    before, after = data.get("before") or {}, data.get("after") or {}
    day = str(data.get("day") or event.time[:10])
    was, back = before.get("score"), None
    if was is not None and (data.get("delta") or 0.0) < 0:
        later = (v.day for v in versions if v.day.day > day)
        back = next((d.day for d in later if (c := d.controls.get(name)) and (c.score or 0.0) >= was), None)
    same = [e for e in told if (e.type, e.subject) == (event.type, name)]
    return Happening(
        event_id=event.id,
        type=event.type,
        day=day,
        severity=int(data["severity"]),
        control=name,
        title=(profile.title if profile else "") or str((data.get("control") or {}).get("title") or name),
        before=was,
        after=after.get("score"),
        delta=data.get("delta"),
        state_before=before.get("state"),
        state_after=after.get("state"),
        by=after.get("updated_by"),
        cause=waterfall.as_told(data["cause"]),
        back_on=back,
        times=sum(e.data.get("direction") == data.get("direction") for e in same),
    )


def to_do(advice: Advice) -> tuple[Action, ...]:
    """The actions to begin with, in the order of advice."""
    return tuple(a for a in advice.actions if a.group in DOABLE and a.points)[:SHOWN_ACTIONS]


def brief(
    material: Material,
    versions: Sequence[Version],
    days: Sequence[DayPoint],
    averages: Iterable[Comparative],
    held: Sequence[Exemption] | None,
    advice: Advice,
    events: Iterable[Event],
) -> Brief:
    """All of page one, of a tenant of which at least one day is known."""
    profiles, least, last = material.memory.profiles, material.changes.min_score_points, days[-1]
    score = course([d.score for d in days], least)
    names = tuple(a.control for a in to_do(advice))
    wanted = material.exceptions
    return Brief(
        score=score,
        percent=course([d.percent for d in days], 100.0 * least / (last.max_score or 100.0)),
        target=target(advice),
        comparable=comparable(averages),
        happened=happened(events, versions, profiles or {}, score.limit),
        decisions=decisions(held, asked_for=wanted.review_after_days is not None or wanted.comment_required),
        actions=names,
        then=project(names, versions[-1], profiles, material.targets) if names else None,
    )
