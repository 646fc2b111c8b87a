"""Between any two days: what was told of each step holds, stored days say the rest."""

from typing import Any

from attrs import evolve

from connector.model import Control, Day, Event, Profile, StateUpdate, Version
from connector.observe import waterfall
from connector.observe.causes import UNKNOWN, Cause, Share


def control(score: float | None, name: str = "A", **more: Any) -> Control:
    return Control(name, "Identity", score, None if score is None else score * 10, **more)


def version(day: str, *controls: Control, revision: int = 0, **more: Any) -> Version:
    total = sum(c.score or 0.0 for c in controls)
    return Version(
        Day(f"t_{day}", day, total, 100.0, {c.name: c for c in controls}, **more), f"{day}{revision}", revision
    )


def event(kind: str, before: str, after: str, delta: float, cause: Cause, revision: int = 0, name: str = "A") -> Event:
    """What an event says of one control; `score.changed` says it as a contribution."""
    row: dict[str, Any] = {"control": name, "delta": delta, "cause": cause.as_data()}
    data: dict[str, Any] = {"day": after, "before": {"day": before}, "after": {"day": after}, "revision": revision}
    data |= {"contributions": [row]} if kind == "score.changed" else row
    return Event(f"{kind}{before}{after}{revision}", "urn:x", kind, name, f"{after}T09:00:00Z", data)


def cause(*versions: Version, told: tuple[Event, ...] = (), profiles: dict[str, Profile] | None = None) -> Cause:
    data = waterfall.between(versions, {} if profiles is None else profiles, waterfall.recorded(told))
    (part,) = (part for part in data["contributions"] if part["control"] == "A")
    return waterfall.as_told(part["cause"])


SETTING = Cause("configuration", "high", ("compliant users 5/5 → 2/5",))
MAXIMUM = Cause("catalogue", "high", ("maximum 10 → 9",), ("configuration",))
DAYS = ("2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23")


def test_what_was_told_of_a_step_holds_as_it_was_told() -> None:
    before, after = version(DAYS[0], control(10)), version(DAYS[1], control(4))
    assert cause(before, after) == UNKNOWN
    for kind in ("score.changed", "control.score_changed"):
        assert cause(before, after, told=(event(kind, DAYS[0], DAYS[1], -6.0, SETTING),)) == SETTING
    split = Cause("configuration", "high", (), ("catalogue",), (Share("configuration", -5.0), Share("catalogue", -1.0)))
    assert cause(before, after, told=(event("score.changed", DAYS[0], DAYS[1], -6.0, split),)) == split


def test_what_was_told_to_be_unknown_is_not_known_better_later() -> None:
    stated = {"A": Profile("A", "", updates=(StateUpdate("ThirdParty", f"{DAYS[1]}T08:00:00Z"),))}
    before, after = version(DAYS[0], control(4)), version(DAYS[1], control(10))
    assert cause(before, after, profiles=stated).label == "state_asserted"
    assert (
        cause(before, after, profiles=stated, told=(event("score.changed", DAYS[0], DAYS[1], 6.0, UNKNOWN),)) == UNKNOWN
    )


def test_of_a_control_that_came_the_event_knew_the_catalogue_that_went_before() -> None:
    came = Cause("catalogue", "high", ("control added to the catalogue",))
    told = event("control.added", DAYS[0], DAYS[1], 4.0, came)
    told = evolve(told, data={**told.data, "before": None})
    assert cause(version(DAYS[0]), version(DAYS[1], control(4)), told=(told,)) == came
    gone = event("control.removed", DAYS[0], DAYS[1], -4.0, came)
    gone = evolve(gone, data={**gone.data, "after": None})
    assert cause(version(DAYS[0], control(4)), version(DAYS[1]), told=(gone,)) == came


def test_a_state_is_no_cause_of_points_and_neither_is_another_day() -> None:
    before, after = version(DAYS[1], control(10)), version(DAYS[2], control(4))
    for told in (
        event("control.state_changed", DAYS[1], DAYS[2], -6.0, SETTING),
        event("control.score_changed", DAYS[0], DAYS[1], -6.0, SETTING),
        event("control.score_changed", DAYS[1], DAYS[2], -6.0, SETTING, name="B"),
    ):
        assert cause(before, after, told=(told,)) == UNKNOWN


def test_revisions_of_a_day_add_up_to_its_step() -> None:
    before, after = version(DAYS[0], control(10)), version(DAYS[1], control(4), revision=2)
    told = (
        event("score.changed", DAYS[0], DAYS[1], -2.0, MAXIMUM),
        event("score.changed", DAYS[1], DAYS[1], -4.0, SETTING, revision=1),
    )
    found = cause(before, after, told=told)
    assert (found.label, found.evidence, found.also) == ("configuration", SETTING.evidence, ("catalogue",))
    assert found.parts == (Share("configuration", -4.0), Share("catalogue", -2.0))


def test_what_no_event_told_of_a_step_stored_days_say() -> None:
    """Of six points two went in a revision too small for an event."""
    before = version(DAYS[0], control(10, count=5, total=5))
    after = version(DAYS[1], control(4, count=2, total=5), revision=1)
    found = cause(before, after, told=(event("score.changed", DAYS[0], DAYS[1], -4.0, MAXIMUM),))
    assert found.parts == (Share("catalogue", -4.0), Share("configuration", -2.0))


def test_the_event_of_a_control_and_its_contribution_are_one_move() -> None:
    """The day was revised: the control is measured against the day before, the score against the revision before."""
    before, after = version(DAYS[0], control(10)), version(DAYS[1], control(4), revision=1)
    told = (
        event("score.changed", DAYS[1], DAYS[1], -5.8, SETTING, revision=1),
        event("control.score_changed", DAYS[0], DAYS[1], -6.0, SETTING, revision=1),
    )
    assert cause(before, after, told=told) == SETTING
    assert cause(version(DAYS[0], control(9.8)), after, told=told) == SETTING


def test_a_day_that_came_late_splits_no_cause() -> None:
    first, late, last = (version(day, control(score)) for day, score in zip(DAYS, (10, 4, 4), strict=False))
    told = (event("score.changed", DAYS[0], DAYS[2], -6.0, SETTING),)
    assert cause(first, late, told=told) == cause(first, late, last, told=told) == SETTING


def test_across_many_days_the_step_that_weighs_most_is_named_and_how_many_there_were() -> None:
    path = [version(day, control(score)) for day, score in zip(DAYS, (10, 9, 9, 4), strict=True)]
    told = (
        event("score.changed", DAYS[0], DAYS[1], -1.0, MAXIMUM),
        event("score.changed", DAYS[2], DAYS[3], -5.0, SETTING),
    )
    found = cause(*path, told=told)
    assert (found.label, found.confidence, found.also) == ("configuration", "high", ("catalogue",))
    assert found.evidence == ("compliant users 5/5 → 2/5", f"in 2 steps since {DAYS[0]}")
    assert cause(*path[1:], told=told) == SETTING  # the points moved in one


def test_what_came_back_weighs_nothing() -> None:
    path = [version(day, control(score)) for day, score in zip(DAYS, (10, 2, 10, 9), strict=True)]
    told = (
        event("score.changed", DAYS[0], DAYS[1], -8.0, SETTING),
        event("score.changed", DAYS[1], DAYS[2], 8.0, SETTING),
        event("score.changed", DAYS[2], DAYS[3], -1.0, MAXIMUM),
    )
    assert cause(*path, told=told).label == "catalogue"


def test_a_drift_is_told_across_its_own_days() -> None:
    path = [version(day, control(score)) for day, score in zip(DAYS, (10, 9.6, 9.3, 8.9), strict=True)]
    drift = Cause("population", "medium", ("users 5 → 9", f"since {DAYS[0]}"))
    told = (event("control.score_changed", DAYS[0], DAYS[3], -1.1, drift),)
    assert cause(*path, told=told) == drift
    assert cause(*path[1:], told=told).label == "unknown"


def test_a_day_that_does_not_know_the_points_is_no_step() -> None:
    first, unknown, last = (version(day, control(score)) for day, score in zip(DAYS, (10, None, 4), strict=False))
    told = (event("control.score_changed", DAYS[0], DAYS[2], -6.0, SETTING),)
    assert cause(first, unknown, last, told=told) == SETTING
    counted = [version(DAYS[0], control(10, count=5, total=5)), unknown, version(DAYS[2], control(4, count=2, total=5))]
    assert cause(*counted) == SETTING


def test_an_event_that_knows_no_points_tells_nothing() -> None:
    told = event("control.score_changed", DAYS[0], DAYS[1], 0.0, SETTING)
    told = evolve(told, data={**told.data, "delta": None})
    assert waterfall.recorded([told]) == {}


def test_a_whole_move_that_a_later_revision_told_holds_as_it_was_told() -> None:
    """A day whose total was unknown at first: its revision is compared with the day before, and says so of each."""
    steps = Cause("unknown", "none", ("in 2 steps since 2026-11-20",))
    told = (
        event("score.changed", DAYS[0], DAYS[1], -4.0, SETTING),
        event("score.changed", DAYS[0], DAYS[1], -6.0, steps, revision=1),
        event("control.score_changed", DAYS[1], DAYS[1], -2.0, UNKNOWN, revision=1),
    )
    before = version(DAYS[0], control(10))
    assert cause(before, version(DAYS[1], control(4), revision=1), told=told) == steps
    assert cause(before, version(DAYS[1], control(6)), told=told[:1]) == SETTING
