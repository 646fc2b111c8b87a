"""Page one: what is told as a move, what mattered, what waits for somebody; every figure is one given elsewhere."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from connector.advice.what_if import project
from connector.config.values import ExceptionsConfig, TargetsConfig
from connector.model import Average, Control, Day, Event, Profile, StateUpdate, Version
from connector.observe import diff
from connector.observe.memory import Memory
from connector.report import build
from connector.report.brief import DOABLE, SHOWN_ACTIONS, course
from connector.report.values import Brief, Material, TenantReport
from tests.fakes.posture import simulated, whole

TENANT = "11111111-1111-1111-1111-111111111111"
SAW = [803.0, 807.0, 806.5, 802.0, 801.0, 806.0, 803.5] * 4


@pytest.mark.parametrize(
    ("values", "direction"),
    [
        (SAW, "unchanged"),  # +0.5 where every week swings by 6
        ([*SAW, 790.0], "fell"),  # beyond the swing, on the last day alone
        ([500.0 + n for n in range(60)], "rose"),  # a slow rise that no single week shows
        ([*[500.0] * 30, *[512.0] * 10], "rose"),  # one step in a flat course: nothing swings
        ([500.0, 500.8], "unchanged"),  # too small for an event
        ([500.0, 502.0], "rose"),
        ([500.0], "unknown"),
        ([None, 500.0], "unknown"),
    ],
)
def test_a_move_is_told_where_it_is_larger_than_the_usual_swing(values: Sequence[float | None], direction: str) -> None:
    found = course(values, least=1.0)
    assert found.direction == direction
    if found.delta is not None:
        assert (found.direction == "unchanged") == (abs(found.delta) <= found.limit)


def test_the_swing_of_a_usual_week_takes_two_weeks_to_say() -> None:
    assert course(SAW, 1.0).swing == 6.0
    assert course(SAW[:13], 1.0).swing is None
    assert course(SAW[:13], 1.0).limit == 1.0


def units(value: float | None) -> int:
    assert value is not None
    return diff.fixed(value)


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=40), st.integers(0, 50_000))
def test_the_change_is_exact_and_the_limit_never_below_what_is_asked(course_of: list[int], least: int) -> None:
    values = [diff.points(u) for u in course_of]
    found = course(values, diff.points(least))
    assert found.limit >= diff.points(least)
    if len(course_of) > 1:
        assert units(found.delta) == course_of[-1] - course_of[0]
    assert found.swing is None or 0 <= diff.fixed(found.swing) <= max(course_of) - min(course_of)


# ------------------------------------------------------------------------------------------------------ what happened


def day(number: int, scores: dict[str, float], averages: tuple[Average, ...] = ()) -> Version:
    iso = f"2026-11-{number:02}"
    controls = {n: Control(n, "Identity", s, 10.0 * s) for n, s in scores.items()}
    return Version(Day(f"{TENANT}_{iso}", iso, sum(scores.values()), 40.0, controls, averages=averages), f"hash {iso}")


def event(kind: str, control: str, on: int, **data: Any) -> Event:
    unknown: dict[str, Any] = {"label": "unknown", "confidence": "none", "evidence": [], "also": []}
    iso = f"2026-11-{on:02}"
    base = {"day": iso, "severity": 2, "cause": unknown, "backfilled": False, "direction": "regressed"}
    return Event(f"{kind} {control} {on}", "urn:x", kind, control, f"{iso}T09:00:00Z", {**base, **data})


def moved(control: str, on: int, before: float, after: float, severity: int) -> Event:
    ends = {"before": {"day": "2026-11-01", "score": before}, "after": {"day": f"2026-11-{on:02}", "score": after}}
    delta, way = round(after - before, 4), "regressed" if after < before else "improved"
    data = {**ends, "delta": delta, "direction": way, "severity": severity, "revision": 0}
    return event("control.score_changed", control, on, **data)


def report(
    versions: Sequence[Version],
    events: Sequence[Event] = (),
    profiles: dict[str, Profile] | None = None,
    **more: Any,
) -> TenantReport:
    memory = Memory(
        first_newest=versions[0].day.day,
        newest=versions[-1],
        days={v.day.day: v for v in versions[:-1]},
        profiles={} if profiles is None else profiles,
    )
    made = Material("contoso", TENANT, {}, "graph", memory, events=tuple(events), **more)
    return build.build(made, build.period(versions[0].day.day, versions[-1].day.day))


FALL = [day(1, {"A": 10.0, "B": 5.0}), day(2, {"A": 3.0, "B": 5.0}), day(4, {"A": 10.0, "B": 5.0})]


def test_the_weightiest_event_of_a_control_is_told_with_the_day_on_which_it_recovered() -> None:
    told = (
        moved("A", 2, 10.0, 9.0, severity=6),
        moved("A", 2, 10.0, 3.0, severity=7),
        moved("A", 4, 3.0, 10.0, severity=2),
    )
    (found,) = report(FALL, told, {"A": Profile("A", "About A")}).brief.happened
    assert (found.event_id, found.title, found.delta) == (told[1].id, "About A", -7.0)
    assert (found.before, found.after, found.back_on, found.times) == (10.0, 3.0, "2026-11-04", 2)


def test_points_that_are_still_missing_are_not_back() -> None:
    (found,) = report(FALL[:2], [moved("A", 2, 10.0, 3.0, severity=7)]).brief.happened
    assert found.back_on is None


def test_two_events_at_most_the_most_severe_first() -> None:
    told = [moved(name, 2, 10.0, 5.0, severity=n) for n, name in ((5, "C"), (8, "A"), (6, "B"))]
    assert [h.control for h in report(FALL, told).brief.happened] == ["A", "B"]


def test_history_has_no_severity_and_matters_by_its_points() -> None:
    swinging = [day(n, {"A": 5.0 + n % 2, "B": 9.0 if n < 20 else 1.0}) for n in range(1, 25)]
    told = [moved("A", 7, 6.0, 5.0, severity=0), moved("B", 20, 9.0, 1.0, severity=0)]
    found = report(swinging, told).brief
    assert found.score.swing == 1.0
    assert [h.control for h in found.happened] == ["B"]


def test_a_state_that_somebody_declared_is_told_with_his_name() -> None:
    ends = {"before": {"state": "Default"}, "after": {"state": "Ignored", "updated_by": "alice"}}
    told = event("control.state_changed", "A", 2, severity=8, direction="asserted", **ends)
    (found,) = report(FALL, [told]).brief.happened
    assert (found.state_before, found.state_after, found.by, found.delta) == ("Default", "Ignored", "alice", None)


def test_what_weighs_little_is_not_told() -> None:
    told = [moved("B", 2, 5.0, 4.5, severity=4), event("control.state_changed", "A", 2, severity=2)]
    assert report(FALL, told).brief.happened == ()


# ------------------------------------------------------------------------------------- decisions, comparison, actions


def held(at: str | None, comment: str = "") -> Profile:
    return Profile("A", "About A", max_score=10.0, updates=(StateUpdate("Ignored", at, "alice", comment),))


@pytest.mark.parametrize(
    ("wanted", "profile", "told"),
    [
        (ExceptionsConfig(), held("2026-01-01T00:00:00Z"), (False, 1, 0, 0, 1, 307, None)),
        (ExceptionsConfig(180), held("2026-01-01T00:00:00Z", "why"), (True, 1, 1, 1, 0, 307, None)),
        (ExceptionsConfig(180), held("2026-10-01T00:00:00Z"), (True, 1, 0, 0, 1, 34, "2027-03-30")),
        (ExceptionsConfig(comment_required=True), held("2026-10-01T00:00:00Z"), (True, 1, 1, 0, 1, 34, None)),
        (ExceptionsConfig(180), held(None, "why"), (True, 1, 0, 0, 0, None, None)),
    ],
)
def test_decisions_are_counted_as_the_register_has_them(
    wanted: ExceptionsConfig, profile: Profile, told: tuple[object, ...]
) -> None:
    found = report(FALL, profiles={"A": profile}, exceptions=wanted)
    one = found.brief.decisions
    assert one is not None
    counted = (one.asked_for, one.held, one.due, one.review_overdue, one.comment_missing, one.oldest_days)
    assert (*counted, one.next_review) == told
    assert found.exceptions is not None
    assert one.due == sum(bool(e.due) for e in found.exceptions)


def test_the_most_comparable_average_is_the_one_that_is_told_and_drawn() -> None:
    seats = {"seatSizeRangeLowerValue": 1.0, "seatSizeRangeUpperValue": 50.0}
    averages = (Average("AllTenants", 30.0), Average("TotalSeats", 40.0, seats))
    days = [day(1, {"A": 5.0}, averages), day(2, {"A": 5.0}), day(3, {"A": 5.0}, (Average("AllTenants", 31.0),))]
    found = report([*days, day(4, {"A": 5.0}, averages)])
    assert found.brief.comparable is not None
    assert (found.brief.comparable.basis, found.brief.comparable.average) == ("TotalSeats", 40.0)
    assert [d.average for d in found.days] == [40.0, None, None, 40.0]
    assert report(FALL).brief.comparable is None


def test_the_target_of_what_is_measured_is_told_where_no_other_is_set() -> None:
    both = TargetsConfig(percent_min=30.0, measured_percent_min=20.0)
    assert _kind(report(FALL, targets=both).brief) == "percent_min"
    assert _kind(report(FALL, targets=evolve(both, percent_min=None)).brief) == "measured_percent_min"
    assert _kind(report(FALL).brief) is None


def _kind(brief: Brief) -> str | None:
    return brief.target.kind if brief.target else None


@pytest.mark.parametrize("seed", [7, 8])
def test_page_one_says_what_the_other_parts_say(seed: int) -> None:
    """One question, one answer: no figure of it is its own."""
    made = evolve(simulated(seed), targets=TargetsConfig(percent_min=80.0))
    found = build.build(made, whole(made))
    brief, one, bridge = found.brief, found.summary, found.bridge
    assert bridge is not None
    assert (brief.score.before, brief.score.after, brief.score.delta) == (
        bridge.before_score,
        bridge.after_score,
        bridge.delta,
    )
    assert (brief.percent.after, brief.score.after) == (one.percent, one.score)
    assert brief.target in found.advice.targets
    assert brief.comparable in found.comparatives
    doable = [a.control for a in found.advice.actions if a.group in DOABLE and a.points]
    assert list(brief.actions) == doable[:SHOWN_ACTIONS]
    assert made.memory.newest is not None
    then = project(brief.actions, made.memory.newest, made.memory.profiles, made.targets)
    assert brief.then == then
    lacking = {a.control: a.points or 0.0 for a in found.advice.actions}
    assert units(then.score) == units(one.score) + sum(diff.fixed(lacking[n]) for n in brief.actions)
    assert {h.event_id for h in brief.happened} <= {e.id for e in made.events}


def test_what_somebody_declared_is_nothing_to_do_next() -> None:
    declared = held("2026-10-01T00:00:00Z", "why")
    other = Profile("B", "About B", max_score=10.0)
    assert report(FALL[:2], profiles={"A": declared, "B": other}).brief.actions == ("B",)
    nothing = report(FALL[:2], profiles={"A": declared, "B": evolve(other, max_score=5.0)}).brief
    assert (nothing.actions, nothing.then) == ((), None)


# ------------------------------------------------------------------------------------------------ since first contact


def test_causes_are_told_from_the_first_contact_on() -> None:
    found = build.build(simulated(7), whole(simulated(7)))
    assert found.watched is not None
    assert found.bridge is not None
    assert found.watched.before_day == found.first_contact
    assert found.watched.after_day == found.bridge.after_day
    assert 0 < len(found.watched.moves) < len(found.bridge.moves)
    before = [d for d in found.days if d.day <= (found.first_contact or "")]
    history = units(before[-1].score) - units(before[0].score)
    assert history + units(found.watched.delta) == units(found.bridge.delta)


def test_of_a_period_after_the_first_contact_all_is_watched() -> None:
    made = simulated(7)
    contact = made.memory.first_newest or ""
    found = build.build(made, build.period(contact, whole(made).end))
    assert found.watched is found.bridge


def test_at_first_contact_nothing_was_watched_yet() -> None:
    found = report(FALL)
    assert found.watched is not None
    late = evolve(simulated(7), memory=evolve(simulated(7).memory, first_newest=whole(simulated(7)).end))
    assert build.build(late, whole(late)).watched is None


def test_moves_that_are_too_small_for_an_event_are_noise() -> None:
    days = [day(1, {"A": 5.0, "B": 5.0, "Old": 1.0}), day(2, {"A": 5.3, "B": 7.0, "New": 0.2})]
    bridge = report(days, profiles={n: Profile(n, n, max_score=10.0) for n in ("A", "B")}).bridge
    assert bridge is not None
    assert {m.control: m.noise for m in bridge.moves} == {"A": True, "B": False, "Old": False, "New": False}
