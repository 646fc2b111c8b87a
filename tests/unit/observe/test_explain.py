"""Causes need evidence, words are for people."""

from typing import Any

import pytest
from attrs import evolve

from connector.model import Control, Day, Profile, StateUpdate, Version
from connector.observe.causes import UNKNOWN, Cause, Context, Share
from connector.observe.diff import Contribution, Decomposition, decompose
from connector.observe.explain import (
    cause,
    contribution_words,
    direction,
    evidence_cause,
    is_device,
    main_cause,
    number,
    signed,
)


def control(score: float | None, percent: float | None = None, name: str = "a", **more: Any) -> Control:
    return Control(name, "Identity", score, percent, **more)


def day(date: str, services: tuple[str, ...] = ("S",)) -> Day:
    return Day("id", date, 0.0, 100.0, {}, services=services)


def context(**more: Any) -> Context:
    return evolve(Context(day("2026-11-21"), day("2026-11-22")), **more)


def catalogue(**more: Any) -> dict[str, Profile]:
    return {"a": Profile("a", "", max_score=10.0, **more)}


def short(found: Cause) -> tuple[str, str]:
    return found.label, found.confidence


# ------------------------------------------------------------------------------------------------------------ causes


def test_without_evidence_the_cause_is_unknown() -> None:
    assert cause(control(10, 100), control(4, 40), context()) == UNKNOWN
    assert UNKNOWN.as_data() == {"label": "unknown", "confidence": "none", "evidence": [], "also": []}


@pytest.mark.parametrize(
    ("at", "before", "after", "expected"),
    [
        ("2026-11-22T08:00:00Z", (0, 0), (10, 100), ("state_asserted", "high")),
        ("2026-11-21T08:00:00Z", (0, 0), (10, 100), ("state_asserted", "high")),
        ("2026-11-20T08:00:00Z", (0, 0), (10, 100), ("state_asserted", "medium")),
        ("2026-11-14T08:00:00Z", (0, 0), (10, 100), ("state_asserted", "medium")),
        ("2026-11-13T23:59:59Z", (0, 0), (10, 100), ("unknown", "none")),  # points follow within a week
        ("2026-11-23T00:30:00Z", (0, 0), (10, 100), ("unknown", "none")),  # nor before the statement
        (None, (0, 0), (10, 100), ("unknown", "none")),
        ("2026-11-22T08:00:00Z", (0, 0), (4, 40), ("unknown", "none")),  # asserted points are full points
        ("2026-11-22T08:00:00Z", (10, 100), (4, 40), ("unknown", "none")),  # and never fewer
    ],
)
def test_an_assertion_explains_full_points_within_a_week(
    at: str | None, before: tuple[float, float], after: tuple[float, float], expected: tuple[str, str]
) -> None:
    known = catalogue(updates=(StateUpdate("ThirdParty", at, "x@contoso.example"),))
    assert short(cause(control(*before), control(*after), context(profiles=known))) == expected


def test_the_newest_day_goes_on_after_its_own_midnight() -> None:
    known = catalogue(updates=(StateUpdate("ThirdParty", "2026-11-23T00:30:00Z"),))
    late = Version(day("2026-11-22"), "", seen="2026-11-23T08:00:00Z")
    open_until = context(profiles=known, until=late.until)
    assert short(cause(control(4, 40), control(10, 100), open_until)) == ("state_asserted", "high")
    early = evolve(open_until, until=Version(day("2026-11-22"), "", seen="2026-11-23T00:29:00Z").until)
    assert cause(control(4, 40), control(10, 100), early) == UNKNOWN


def test_a_withdrawn_assertion_explains_lost_points() -> None:
    updates = (StateUpdate("Reviewed", "2026-01-01T00:00:00Z"), StateUpdate("Default", "2026-11-21T10:00:00Z"))
    found = cause(control(10, 100), control(2, 20), context(profiles=catalogue(updates=updates)))
    assert short(found) == ("state_asserted", "high")
    assert found.evidence == ("state Reviewed → Default at 2026-11-21T10:00:00Z",)


@pytest.mark.parametrize("state", ["Ignored", "Default", "somethingNew"])
def test_states_that_award_nothing_explain_nothing(state: str) -> None:
    known = catalogue(updates=(StateUpdate(state, "2026-11-22T08:00:00Z"),))
    assert cause(control(0, 0), control(10, 100), context(profiles=known)) == UNKNOWN


def test_one_assertion_after_another_explains_nothing() -> None:
    updates = (StateUpdate("Reviewed", "2026-01-01T00:00:00Z"), StateUpdate("ThirdParty", "2026-11-22T08:00:00Z"))
    assert cause(control(0, 0), control(10, 100), context(profiles=catalogue(updates=updates))) == UNKNOWN


def test_without_a_catalogue_no_cause_may_need_one() -> None:
    known = catalogue(updates=(StateUpdate("ThirdParty", "2026-11-22T08:00:00Z"),))
    blind = context(profiles=known, old_profiles={}, catalogue_known=False)
    assert cause(control(0, 0), control(10, 100), blind) == UNKNOWN
    assert cause(None, control(10, 100), blind) == cause(control(10, 100), None, blind) == UNKNOWN


def test_a_moved_maximum_is_the_catalogue() -> None:
    moved = context(profiles={"a": Profile("a", "", max_score=20.0)}, old_profiles=catalogue())
    found = cause(control(10, 100), control(20, 100), moved)
    assert (short(found), found.evidence, found.parts) == (("catalogue", "high"), ("maximum 10 → 20",), ())
    # Thirds, as Graph rounds them: what is left is no reason of its own.
    assert cause(control(3.33, 33.33), control(6.67, 33.33), moved).parts == ()


@pytest.mark.parametrize(
    ("before", "after", "top", "label", "shares"),
    [
        # Half of a control's points are lost, and what nobody did explains a tenth of it.
        (control(10, 100, count=5, total=5), control(0, 0, count=0, total=5), 9.0, "configuration", (-9.0, -1.0)),
        (control(10, 100, count=5, total=5), control(4, 80, count=4, total=5), 5.0, "catalogue", (-5.0, -1.0)),
        # A maximum that rose gives points; what was lost all the same was lost elsewhere.
        (control(5, 50, on=True), control(3, 25, on=False), 12.0, "configuration", (-3.0, 1.0)),
        # Nothing times anything is nothing.
        (control(0, 0), control(12, 100), 12.0, "unknown", ()),
        (control(10, 100), control(1, 11.11), 9.0, "unknown", (-8.0, -1.0)),
    ],
)
def test_a_moved_maximum_explains_its_share_and_the_rest_has_its_own_cause(
    before: Control, after: Control, top: float, label: str, shares: tuple[float, ...]
) -> None:
    moved = context(profiles={"a": Profile("a", "", max_score=top)}, old_profiles=catalogue())
    found = cause(before, after, moved)
    assert found.label == label
    assert tuple(part.points for part in found.parts) == shares
    assert "catalogue" in {found.label, *found.also}
    assert not shares or any("explains" in words for words in found.evidence)


def test_the_parts_of_a_cause_are_told_where_there_are_any() -> None:
    found = Cause("configuration", "high", parts=(Share("configuration", -9.0), Share("catalogue", -1.0)))
    assert found.as_data()["parts"] == [
        {"label": "configuration", "points": -9.0},
        {"label": "catalogue", "points": -1.0},
    ]
    assert "parts" not in UNKNOWN.as_data()


def test_a_maximum_that_explains_all_leaves_nothing_to_a_statement() -> None:
    stated = (StateUpdate("ThirdParty", "2026-11-22T08:00:00Z"),)
    moved = context(profiles={"a": Profile("a", "", max_score=12.0, updates=stated)}, old_profiles=catalogue())
    found = cause(control(10, 100), control(12, 100), moved)
    assert (found.label, found.also) == ("catalogue", ("state_asserted",))


def test_a_maximum_that_both_days_show_already_did_not_move_between_them() -> None:
    moved = context(profiles={"a": Profile("a", "", max_score=9.0)}, old_profiles=catalogue())
    assert cause(control(9, 100), control(0, 0), moved) == UNKNOWN  # it had moved before
    assert cause(control(0, 0), control(10, 100), moved) == UNKNOWN  # it moves later


def test_what_many_maxima_explain_in_part_may_be_the_main_cause() -> None:
    def part(name: str) -> tuple[Contribution, Cause]:
        cause = Cause("unknown", "none", (), ("catalogue",), (Share("unknown", -6.0), Share("catalogue", -4.0)))
        return Contribution(name, "moved", control(20, 100, name), control(10, 60, name), -100000), cause

    before, after = day("2026-11-21"), day("2026-11-22")
    parts = [part("b"), part("c")]
    parts.append(
        (Contribution("a", "moved", control(20, 100), control(15, 100), -50000), Cause("catalogue", "high", ("x",)))
    )
    found = main_cause(parts, Decomposition(-250000, 0, 0, tuple(p for p, _ in parts)), Context(before, after))
    assert (found.label, found.also) == ("catalogue", ("unknown",))
    assert len(found.evidence) == 3


def test_a_maximum_that_moved_on_another_day_does_not_explain_this_pair() -> None:
    moved = context(profiles={"a": Profile("a", "", max_score=20.0)}, old_profiles=catalogue())
    assert cause(control(10, 100), control(4, 40), moved) == UNKNOWN


def test_an_unchanged_percentage_is_the_catalogue_without_one() -> None:
    found = cause(control(4, 80), control(8, 80), context(catalogue_known=False))
    assert (short(found), found.evidence) == (("catalogue", "high"), ("maximum 5 → 10, percentage unchanged at 80",))


def test_an_implied_maximum_needs_percentages_that_bear_it() -> None:
    assert short(cause(control(4, 80), control(5, 50), context())) == ("catalogue", "medium")
    assert cause(control(0.1, 2), control(0.2, 3), context()) == UNKNOWN


def test_presence_follows_the_catalogue() -> None:
    known = catalogue()
    arrived, retired = context(profiles=known, old_profiles={}), context(old_profiles=known)
    stayed = context(profiles=known, old_profiles=known)
    assert short(cause(None, control(0), arrived)) == ("catalogue", "high")
    assert short(cause(control(0), None, retired)) == ("catalogue", "high")
    assert short(cause(None, control(0), stayed)) == short(cause(control(0), None, stayed)) == ("catalogue", "low")
    gone = cause(control(0), None, context(old_profiles={}))
    assert (short(gone), gone.evidence) == (
        ("catalogue", "low"),
        ("no longer scored; its catalogue entry is gone already",),
    )


def test_presence_at_first_contact_has_no_cause() -> None:
    assert cause(None, control(0), context(profiles=catalogue())) == UNKNOWN


def test_what_an_incomplete_catalogue_still_holds_proves_nothing() -> None:
    known = catalogue()
    assert cause(control(0), None, context(profiles=known, old_profiles=known, catalogue_complete=False)) == UNKNOWN


def test_licences_explain_presence_better_than_points() -> None:
    licensed = context(before=day("2026-11-21", ("A", "B")), after=day("2026-11-22", ("B", "C")))
    assert short(cause(None, control(0), licensed)) == ("licence", "high")
    found = cause(control(1, 10), control(2, 20), licensed)
    assert (short(found), found.evidence) == (("licence", "medium"), ("licensed services +C -A",))


def test_population_alone_is_sure_and_with_a_count_likely() -> None:
    found = cause(control(9, 90, count=9, total=10), control(8, 80, count=9, total=12), context())
    assert (short(found), found.evidence, found.also) == (("population", "high"), ("users 10 → 12",), ())
    found = cause(control(9, 90, count=9, total=10), control(8, 80, count=8, total=12), context())
    assert (short(found), found.also) == (("population", "medium"), ("configuration",))
    assert found.evidence == ("users 10 → 12", "compliant users 9/10 → 8/12")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scid_1", "exposed devices 1/9 → 2/9"),
        ("7.scid_1", "exposed devices 1/9 → 2/9"),
        ("a", "compliant users 1/9 → 2/9"),
    ],
)
def test_counts_mean_exposed_devices_or_compliant_users(name: str, words: str) -> None:
    found = cause(control(5, 50, name, count=1, total=9), control(4, 40, name, count=2, total=9), context())
    assert (short(found), found.evidence) == (("configuration", "high"), (words,))


def test_a_count_without_total_is_evidence() -> None:
    found = cause(control(5, 50, count=3), control(4, 40, count=4), context())
    assert (short(found), found.evidence) == (("configuration", "high"), ("count 3 → 4",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"count": 3, "total": 9}, {}),  # stripped history
        ({}, {"on": True}),
        ({"count": 3, "total": 2}, {"count": 1, "total": 2}),  # more than all
        ({"count": 3, "total": 9}, {"count": 505785, "total": 9}),
        ({"count": 0, "total": 0}, {"count": 0, "total": 0}),
    ],
)
def test_half_or_absurd_evidence_is_none(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert cause(control(5, 50, **before), control(4, 40, **after), context()) == UNKNOWN


def test_device_ids_are_recognised_with_an_instance_before_them() -> None:
    assert [is_device(n) for n in ("scid_1", "11770.scid_1", "a.scid_1", "mdo_x")] == [True, True, False, False]


def test_the_main_cause_moved_most_points() -> None:
    before = Day("i", "2026-11-21", 20.0, 50.0, {n: control(5, 50, n, count=5) for n in "abcd"})
    moved = {
        "a": control(9, 90, "a", count=9),
        "b": control(2, 20, "b"),
        "c": control(5, 50, "c"),
        "d": control(6, 60, "d", count=6),
    }
    after = Day("i", "2026-11-22", 22.0, 50.0, moved)
    both = Context(before, after)
    found = decompose(before, after)
    main = main_cause([(p, cause(p.before, p.after, both)) for p in found.contributions], found, both)
    assert (main.label, main.confidence, main.also) == ("configuration", "high", ("unknown",))
    assert main.evidence == ("a 5.0 → 9.0 (+4.0 points)", "d 5.0 → 6.0 (+1.0 points)")


def test_a_residual_weighs_as_unknown() -> None:
    before = Day("i", "2026-11-21", 5.0, 50.0, {"a": control(5, 50, count=5)})
    after = Day("i", "2026-11-22", 3.0, 50.0, {"a": control(6, 60, count=6)})
    both, found = Context(before, after), decompose(before, after)
    main = main_cause([(p, cause(p.before, p.after, both)) for p in found.contributions], found, both)
    assert main == Cause("unknown", "none", ("-3.0 points in no control",), ("configuration",))


def test_when_only_maxima_moved_the_licence_is_the_cause() -> None:
    before = Day("i", "2026-11-21", 5.0, 50.0, {}, services=("A",))
    after = Day("i", "2026-11-22", 5.0, 60.0, {}, services=("A", "B"))
    assert main_cause([], decompose(before, after), Context(before, after)).label == "licence"
    same = evolve(after, services=("A",))
    assert main_cause([], decompose(before, same), Context(before, same)) == UNKNOWN


# ------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (-6.0, "-6.0"), (1.5, "+1.5"), (0.1 + 0.2, "+0.3"), (3.73, "+3.73"), (120.0, "+120.0")],
)
def test_signed_points(value: float | None, text: str) -> None:
    assert signed(value) == text
    assert number(value) == text.lstrip("+")


def test_direction_comes_from_points_only() -> None:
    assert [direction(d) for d in (1.0, -1.0, 0.0, None)] == ["improved", "regressed", "unchanged", "unknown"]


def test_contributions_in_words() -> None:
    before = Day("i", "2026-11-21", 0.0, 0.0, {"a": control(1), "b": control(2, None, "b")})
    after = Day("i", "2026-11-22", 0.0, 0.0, {"a": control(3), "c": control(4, None, "c")})
    assert [contribution_words(p, {}) for p in decompose(before, after).contributions] == [
        "c added (+4.0 points)",
        "a 1.0 → 3.0 (+2.0 points)",
        "b removed (-2.0 points)",
    ]


def test_counting_from_the_other_end_is_a_redefinition() -> None:
    """Microsoft once turned `count` from those who lack a second factor to those who have it, at equal points."""
    was = Control("AdminMFAV2", "Identity", 7.5, 75.0, count=3, total=12)
    now = was._replace(count=9)
    found = evidence_cause(was, now)
    assert (found.label, found.confidence) == ("catalogue", "high")
    assert found.evidence == ("compliant users 3/12 → 9/12 at an equal score: counted from the other end",)
    assert evidence_cause(was, now._replace(score=10.0)).label == "configuration"
    assert evidence_cause(was, was._replace(count=4)).label == "configuration"
    assert evidence_cause(was, was._replace(count=9, total=13)).label == "population"
