"""Two days, two catalogues: differences, exact sums, states."""

from typing import Any

import pytest
from attrs import evolve

from connector.model import Control, Day, Profile, StateUpdate, Version
from connector.observe.diff import (
    ASSERTED,
    Contribution,
    asserted_units,
    contributions,
    decompose,
    derived_max,
    effective_state,
    fixed,
    lost_share,
    max_of,
    new_state_entries,
    percent_split,
    points,
    profile_changes,
    rounded,
    services_changed,
    state_at,
)

DEFAULT = StateUpdate("Default")
IGNORED = StateUpdate("Ignored", "2026-11-01T08:00:00Z", "a@contoso.example")
THIRD = StateUpdate("ThirdParty", "2026-11-05T08:00:00Z", "b@contoso.example")


def control(
    name: str, score: float | None = 10.0, percent: float | None = 100.0, category: str = "Identity"
) -> Control:
    return Control(name, category, score, percent)


def day(*controls: Control, score: float | None = None, top: float | None = 100.0) -> Day:
    total = sum(c.score or 0.0 for c in controls) if score is None else score
    return Day("id", "2026-11-22", total, top, {c.name: c for c in controls})


def profile(*updates: StateUpdate, name: str = "a") -> Profile:
    return Profile(name, "title", updates=updates)


def shown(parts: list[Contribution] | tuple[Contribution, ...]) -> list[tuple[str, str, float]]:
    return [(p.control, p.kind, points(p.delta)) for p in parts]


# ------------------------------------------------------------------------------------------------------------ points


@pytest.mark.parametrize(("value", "units"), [(0.1 + 0.2, 3000), (1.33, 13300), (-0.00004, 0), (698.17, 6981700)])
def test_points_are_whole_ten_thousandths(value: float, units: int) -> None:
    assert fixed(value) == units
    assert points(units) == round(value, 4)


def test_rounded_keeps_unknown_unknown_and_has_no_negative_zero() -> None:
    assert rounded(None) is None
    assert str(rounded(-0.00001)) == "0.0"


# -------------------------------------------------------------------------------------------------------------- days


def test_contributions_name_what_moved_came_and_went() -> None:
    before = day(control("same"), control("moved", 4.0), control("gone", 3.0), control("lost_value", 5.0))
    after = day(control("same"), control("moved", 6.5), control("new", 2.0), control("lost_value", None))
    assert sorted(shown(contributions(before, after))) == [
        ("gone", "removed", -3.0),
        ("moved", "moved", 2.5),
        ("new", "added", 2.0),
    ]


def test_a_move_below_the_fourth_decimal_is_no_contribution() -> None:
    assert contributions(day(control("a", 1.00001)), day(control("a", 1.00004))) == []


def test_controls_without_a_score_contribute_their_presence_only() -> None:
    assert shown(contributions(day(), day(control("a", None)))) == [("a", "added", 0.0)]
    assert shown(contributions(day(control("a", None)), day())) == [("a", "removed", 0.0)]


def test_decomposition_is_ordered_by_size_then_name_and_sums() -> None:
    before = day(*(control(n, 5.0) for n in "bacd"))
    after = day(control("b", 4.0), control("a", 6.0), control("c", 5.0), control("d", 9.0), score=25.5, top=110.0)
    found = decompose(before, after)
    assert shown(found.contributions) == [("d", "moved", 4.0), ("a", "moved", 1.0), ("b", "moved", -1.0)]
    assert (found.delta, found.residual, found.max_delta) == (fixed(5.5), fixed(1.5), fixed(10.0))


def test_floats_that_do_not_sum_still_sum() -> None:
    before = day(*(control(n, 0.1) for n in "abc"), score=0.3)
    after = day(*(control(n, 0.3) for n in "abc"), score=0.9)
    assert decompose(before, after).residual == 0


def test_an_unknown_total_leaves_delta_and_residual_unknown() -> None:
    unknown = evolve(day(control("a")), score=None, max_score=None)
    found = decompose(day(control("a", 4.0)), unknown)
    assert (found.delta, found.residual, found.max_delta) == (None, None, None)
    assert shown(found.contributions) == [("a", "moved", 6.0)]


def test_percent_splits_into_points_and_maximum() -> None:
    found = percent_split(day(score=50.0, top=100.0), day(score=60.0, top=200.0))
    assert found == {"before": 50.0, "after": 30.0, "delta": -20.0, "numerator": 10.0, "denominator": -30.0}


def test_percent_change_with_one_maximum_is_all_points() -> None:
    """Rounding may not leave a denominator effect where the maximum did not move."""
    found = percent_split(day(score=1.0, top=3.0), day(score=2.0, top=3.0))
    assert found["denominator"] == 0.0
    assert found["numerator"] == found["delta"] == 33.3334


@pytest.mark.parametrize("top", [None, 0.0])
def test_percent_without_a_maximum_is_unknown(top: float | None) -> None:
    for before, after in ((day(score=1.0, top=top), day(score=1.0)), (day(score=1.0), day(score=1.0, top=top))):
        found = percent_split(before, after)
        assert (found["delta"], found["numerator"], found["denominator"]) == (None, None, None)


@pytest.mark.parametrize(
    ("score", "percent", "top"),
    [
        (1.33, 16.62, 8.0),
        (2.8, 46.67, 6.0),
        (10.0, 100.0, 10.0),
        (0.0, 0.0, None),
        (None, 50.0, None),
        (5.0, None, None),
    ],
)
def test_maximum_follows_from_score_and_percentage(
    score: float | None, percent: float | None, top: float | None
) -> None:
    assert derived_max(control("a", score, percent)) == top


def test_a_derived_maximum_of_zero_is_unknown() -> None:
    """Nothing may ever be divided by it."""
    assert derived_max(control("a", 0.0, 0.01)) is None
    assert derived_max(None) is None


def test_the_catalogue_knows_a_maximum_better() -> None:
    assert max_of(control("a", 5.0, 50.0), Profile("a", "", max_score=9.0)) == 9.0
    assert max_of(control("a", 5.0, 50.0), Profile("a", "")) == 10.0
    assert max_of(None, None) is None


def test_lost_share_counts_names_not_numbers() -> None:
    before = day(*(control(n) for n in "abcd"))
    assert lost_share(before, day(*(control(n) for n in "awxyz"))) == 0.75
    assert lost_share(before, before) == 0.0
    assert lost_share(day(), before) == 0.0


def test_services_come_and_go_unless_one_side_is_empty() -> None:
    old, new, none = (evolve(day(), services=s) for s in (("A", "B"), ("B", "C"), ()))
    assert services_changed(old, new) == (["C"], ["A"])
    assert services_changed(old, none) == services_changed(none, old) == ([], [])


# --------------------------------------------------------------------------------------------------------- catalogue


def test_profiles_added_removed_and_changed_are_listed_by_id() -> None:
    before = {n: Profile(n, n, max_score=5.0) for n in "abc"}
    after = {n: Profile(n, n, max_score=5.0) for n in "bcd"} | {"b": Profile("b", "b", max_score=7.0)}
    found = [(c.kind, c.id, dict(c.fields)) for c in profile_changes(before, after)]
    assert found == [("changed", "b", {"max_score": (5.0, 7.0)}), ("added", "d", {}), ("removed", "a", {})]


def test_every_field_but_the_states_counts() -> None:
    base = Profile("a", "t")
    other: dict[str, Any] = {
        "title": "u", "category": "x", "service": "x", "tier": "x", "max_score": 1.0, "rank": 1, "action_type": "x",
        "action_url": "x", "user_impact": "x", "implementation_cost": "x", "threats": ("x",), "deprecated": True,
        "remediation_sha256": "x", "remediation_impact_sha256": "x",
    }  # fmt: skip
    for name, value in other.items():
        (change,) = profile_changes({"a": base}, {"a": evolve(base, **{name: value})})
        assert list(change.fields) == [name]
    assert profile_changes({"a": base}, {"a": evolve(base, updates=(IGNORED,))}) == []


def test_words_are_compared_without_case_spacing_and_order() -> None:
    old = Profile("a", "T", tier="Core", threats=("Account Breach", "Data Spillage"))
    new = Profile("a", "T", tier=" core", threats=("data  spillage", "account breach"))
    assert profile_changes({"a": old}, {"a": new}) == []
    assert profile_changes({"a": old}, {"a": evolve(new, title="t")})[0].fields == {"title": ("T", "t")}


def test_texts_false_ignores_what_a_language_moves() -> None:
    old = Profile("a", "T", category="Identity", tier="Core", user_impact="Low", implementation_cost="Low", rank=1)
    new = evolve(old, title="Ü", category="Identität", tier="Kern", user_impact="Gering", implementation_cost="Gering",
                 threats=("Datenabfluss",), action_url="/de", remediation_sha256="x",
                 remediation_impact_sha256="y")  # fmt: skip
    assert profile_changes({"a": old}, {"a": new}, texts=False) == []
    (change,) = profile_changes({"a": old}, {"a": evolve(new, rank=2)}, texts=False)
    assert list(change.fields) == ["rank"]


# ------------------------------------------------------------------------------------------------------------ states


def test_the_state_in_force_is_the_latest_by_time() -> None:
    assert effective_state(None) == effective_state(profile()) == DEFAULT
    assert effective_state(profile(THIRD, IGNORED, DEFAULT)) == THIRD  # document order does not count
    tie = StateUpdate("Reviewed", THIRD.at)
    assert effective_state(profile(tie, THIRD)) == THIRD  # ties: the last entry
    assert effective_state(profile(StateUpdate("Ignored"), DEFAULT)) == DEFAULT


def test_a_day_counts_states_to_its_end_and_the_newest_to_when_it_was_seen() -> None:
    history = profile(IGNORED, THIRD)

    def of(date: str, seen: str = "") -> str:
        return state_at(history, Version(evolve(day(), day=date), "", seen=seen).until).state

    assert [of(d) for d in ("2026-10-31", "2026-11-01", "2026-11-04")] == ["Default", "Ignored", "Ignored"]
    assert of("2026-11-05") == of("2026-11-05", "2026-11-05T00:00:00Z") == "ThirdParty"
    assert of("2026-11-04", "2026-11-05T07:59:59Z") == "Ignored"
    assert of("2026-11-04", "2026-11-05T08:00:00Z") == "ThirdParty"


@pytest.mark.parametrize(
    ("one", "top", "asserted"),
    [
        (control("a"), 10.0, 100_000),
        (control("a", 4.0, 40.0), 10.0, 0),  # stated, but not awarded yet
        (control("a", 10.0, None), 10.0, 100_000),
        (control("a", 4.0, None), 10.0, 0),
        (control("a", 4.0, None), None, 40_000),  # nobody can say that it is not full
        (control("a", None, None), 10.0, None),
    ],
)
def test_points_are_asserted_where_they_are_awarded(one: Control, top: float | None, asserted: int | None) -> None:
    known = evolve(profile(THIRD), max_score=top)
    assert asserted_units(one, known, "2026-11-05T08:00:00Z") == asserted
    assert asserted_units(one, known, "2026-11-05T07:59:59Z") == 0
    assert asserted_units(one, None, "2026-11-05T08:00:00Z") == 0


def test_new_entries_follow_in_time_each_against_the_one_before() -> None:
    found = new_state_entries(profile(DEFAULT), profile(THIRD, IGNORED, DEFAULT))
    assert [(e.before.state, e.after.state) for e in found] == [("Default", "Ignored"), ("Ignored", "ThirdParty")]


def test_known_entries_and_a_trimmed_history_are_no_news() -> None:
    assert new_state_entries(profile(IGNORED, THIRD), profile(THIRD, IGNORED)) == []
    assert new_state_entries(profile(IGNORED, THIRD), profile(THIRD)) == []
    assert new_state_entries(profile(), profile(DEFAULT)) == []


def test_equal_entries_are_told_apart_by_occurrence() -> None:
    found = new_state_entries(profile(IGNORED), profile(IGNORED, IGNORED, IGNORED))
    assert [e.occurrence for e in found] == [1, 2]


def test_a_vanished_state_was_withdrawn() -> None:
    (entry,) = new_state_entries(profile(IGNORED), profile(DEFAULT))
    assert (entry.before, entry.after, entry.kind) == (IGNORED, DEFAULT, "withdrawn")
    (entry,) = new_state_entries(profile(IGNORED, THIRD), profile(IGNORED))
    assert (entry.before, entry.after, entry.kind) == (THIRD, IGNORED, "withdrawn")


def kinds(before: Profile, after: Profile) -> list[tuple[str, str, str, bool]]:
    return [(e.kind, e.before.state, e.after.state, e.moves) for e in new_state_entries(before, after)]


def test_an_edited_comment_is_the_same_entry() -> None:
    edited = evolve(IGNORED, comment="ticket 4711")
    (entry,) = new_state_entries(profile(IGNORED), profile(edited))
    assert (entry.before, entry.after, entry.kind, entry.moves) == (IGNORED, edited, "edited", False)


def test_a_comment_added_leaves_the_state_in_force() -> None:
    again = evolve(THIRD, at="2026-11-22T09:00:00Z", comment="still so")
    assert kinds(profile(THIRD), profile(THIRD, again)) == [("added", "ThirdParty", "ThirdParty", False)]


def test_an_older_entry_that_comes_late_is_history() -> None:
    assert kinds(profile(THIRD), profile(IGNORED, THIRD)) == [("history", "Default", "Ignored", False)]


def test_an_edited_state_moves_the_state_only_where_it_is_in_force() -> None:
    reviewed = evolve(IGNORED, state="Reviewed")
    assert kinds(profile(IGNORED), profile(reviewed)) == [("edited", "Ignored", "Reviewed", True)]
    assert kinds(profile(IGNORED, THIRD), profile(reviewed, THIRD)) == [("edited", "Ignored", "Reviewed", False)]


def test_every_entry_spelt_anew_is_edited_once() -> None:
    history = [StateUpdate("Ignored", f"2026-01-01T00:{n // 60:02}:{n % 60:02}Z", "a@b") for n in range(3000)]
    spelt = [evolve(update, by="A@B") for update in history]
    assert kinds(profile(*history), profile(*spelt)) == [("edited", "Ignored", "Ignored", False)] * 3000


def test_a_state_whose_entry_vanished_is_what_a_new_one_follows() -> None:
    late = evolve(IGNORED, at="2026-11-02T00:00:00Z")
    assert kinds(profile(THIRD), profile(late)) == [("added", "ThirdParty", "Ignored", True)]
    assert kinds(profile(DEFAULT, IGNORED, THIRD), profile(DEFAULT, IGNORED)) == [
        ("withdrawn", "ThirdParty", "Ignored", True)
    ]


def test_an_older_entry_does_not_hide_a_withdrawal() -> None:
    older = StateUpdate("Reviewed", "2026-10-01T00:00:00Z")
    assert kinds(profile(IGNORED, THIRD), profile(older, IGNORED)) == [
        ("history", "Default", "Reviewed", False),
        ("withdrawn", "ThirdParty", "Ignored", True),
    ]


def test_a_long_history_costs_little() -> None:
    history = [StateUpdate("Ignored", f"2026-01-01T00:00:{n % 60:02}Z", str(n)) for n in range(10_000)]
    assert new_state_entries(profile(*history), profile(*reversed(history))) == []


def test_only_full_points_without_measurement_are_asserted() -> None:
    assert {"ThirdParty", "Reviewed"} == ASSERTED


# ------------------------------------------------------------------------------------- dates that cannot be read

TP, IG = "ThirdParty", "Ignored"


def unreadable(state: str) -> StateUpdate:
    return StateUpdate(state, at_unusable=True)


def dated(state: str, at: str = "2026-11-10T08:00:00Z") -> StateUpdate:
    return StateUpdate(state, at)


@pytest.mark.parametrize(
    ("updates", "now", "before_all"),
    [
        ((unreadable(TP),), TP, "unknown"),  # asserted at some time: by now it is, then it may have been
        ((StateUpdate("Default"), unreadable(TP)), TP, "unknown"),
        ((unreadable(TP), unreadable(IG)), "unknown", "unknown"),
        ((unreadable(TP), dated(IG)), "unknown", "unknown"),
        ((unreadable(TP), dated(TP)), TP, "unknown"),
        ((unreadable("Default"), StateUpdate("Default")), "Default", "Default"),
        ((dated(IG), dated(TP, "2026-11-11T08:00:00Z")), TP, "Default"),
    ],
)
def test_an_entry_of_an_unreadable_date_is_never_the_oldest(
    updates: tuple[StateUpdate, ...], now: str, before_all: str
) -> None:
    for order in (updates, tuple(reversed(updates))):
        profile = Profile("A", "A", updates=order)
        assert effective_state(profile).state == now
        assert state_at(profile, "2026-01-01T00:00:00Z").state == before_all


def test_what_followed_what_is_unknown_where_a_date_cannot_be_read() -> None:
    before = Profile("A", "A", updates=(StateUpdate("Default"),))
    after = evolve(before, updates=(unreadable(TP), unreadable(IG)))
    told = [(e.before.state, e.after.state, e.moves) for e in new_state_entries(before, after)]
    assert told == [("unknown", TP, True), ("unknown", IG, True)]
    assert new_state_entries(after, after) == []
    one = evolve(before, updates=(StateUpdate("Default"), unreadable(TP)))
    assert [(e.before.state, e.after.state) for e in new_state_entries(before, one)] == [("Default", TP)]
    assert [(e.kind, e.after.state) for e in new_state_entries(one, before)] == [("withdrawn", "Default")]
    readable = evolve(before, updates=(StateUpdate("Default"), dated(TP)))
    assert not any(e.moves for e in new_state_entries(one, readable)), "the date became readable: nothing happened"
    assert not any(e.moves for e in new_state_entries(readable, one))


def test_an_entry_whose_date_cannot_be_read_is_known_from_versions_that_kept_it_undated() -> None:
    for entry in (evolve(THIRD, at=None), evolve(IGNORED, at=None)):
        assert new_state_entries(profile(IGNORED, entry), profile(IGNORED, evolve(entry, at_unusable=True))) == []
