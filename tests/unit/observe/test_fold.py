"""Folding snapshots: limits, order, repetition. Whole stories are told in tests/golden/situations."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from connector.config.values import ChangesConfig, TargetsConfig
from connector.ids import event_id
from connector.model import Absent, Change, Control, Day, Profile, Snapshot, StateUpdate, Unchanged
from connector.observe.changes import MAX_COMMENT
from connector.observe.fold import Observation, Rules, observe
from connector.observe.guard import MAX_REFUSED
from connector.observe.memory import Memory, Refusal

TENANT = "11111111-1111-1111-1111-111111111111"
NOW = "2026-11-22T09:00:00Z"
RULES = Rules(TENANT, ChangesConfig(inventory="off"))


def day(
    date: str, scores: Mapping[str, float | None], *, total: float | None = None, detailed: bool = False, **more: Any
) -> Day:
    """Controls have a maximum of 10 points."""
    controls = {n: Control(n, "Identity", s, None if s is None else s * 10.0) for n, s in scores.items()}
    known = sum(s or 0.0 for s in scores.values())
    return Day(
        f"{TENANT}_{date}",
        date,
        known if total is None else total,
        10.0 * len(controls),
        controls,
        detailed=detailed,
        **more,
    )


def read(*days: Day, catalogue: Mapping[str, Profile] | Unchanged | Absent | None = None, **more: Any) -> Snapshot:
    return Snapshot("graph", days, Unchanged() if catalogue is None else catalogue, **more)


def fold(*reads: Snapshot, rules: Rules = RULES, memory: Memory | None = None, now: str = NOW) -> Observation:
    """Every read folded; `changes` are those of the last."""
    seen = Observation(memory or Memory(), ())
    for snapshot in reads:
        seen = observe(seen.memory, snapshot, rules, now)
    return seen


def types(seen: Observation) -> list[str]:
    return [c.type for c in seen.changes if c.type != "score.observed"]


def only(seen: Observation, kind: str) -> Change:
    (found,) = [c for c in seen.changes if c.type == kind]
    return found


def changed(**rules: Any) -> Rules:
    return Rules(TENANT, ChangesConfig(**{"inventory": "off", **rules}))


# ------------------------------------------------------------------------------------------------------- hysteresis


@pytest.mark.parametrize(
    ("before", "after", "rules", "told"),
    [
        (10.0, 9.0, {}, True),  # exactly a tenth
        (10.0, 9.0001, {}, False),
        (10.0, 9.5, {"min_share": 0.0}, True),  # exactly half a point
        (10.0, 9.5001, {"min_share": 0.0}, False),
        (10.0, 9.9999, {"min_share": 0.0, "min_points": 0.0}, True),
        (10.0, 10.00001, {"min_share": 0.0, "min_points": 0.0}, False),  # nothing moved
        (8.1, 7.1, {"min_points": 1.0}, True),  # 1.0 although the floats differ by less
        (None, 5.0, {}, False),
        (5.0, None, {}, False),
    ],
)
def test_limits_of_a_control_move(
    before: float | None, after: float | None, rules: dict[str, float], told: bool
) -> None:
    seen = fold(read(day("2026-11-21", {"a": before})), read(day("2026-11-22", {"a": after})), rules=changed(**rules))
    assert ("control.score_changed" in types(seen)) is told


def test_what_was_reported_is_the_reference() -> None:
    scores = [10.0, 9.4, 8.9, 8.4, 7.8]
    told = []
    seen = Observation(Memory(), ())
    for number, score in enumerate(scores):
        seen = fold(read(day(f"2026-11-{18 + number}", {"a": score})), memory=seen.memory)
        told += [
            (c.data["before"]["score"], c.data["after"]["score"])
            for c in seen.changes
            if c.type == "control.score_changed"
        ]
    assert told == [(10.0, 8.9), (8.9, 7.8)]


def test_a_maximum_that_cannot_be_known_bars_no_share() -> None:
    before, after = (
        Day("i", f"2026-11-2{n}", s, 10.0, {"a": Control("a", "", s, None)}) for n, s in ((1, 5.0), (2, 4.5))
    )
    assert "control.score_changed" in types(fold(read(before), read(after)))


def test_a_maximum_of_zero_divides_nothing() -> None:
    """Hostile but possible: 0 points are 0.01 %."""
    before = Day("i", "2026-11-21", 0.0, 0.0, {"a": Control("a", "", 0.0, 0.01)})
    after = Day("i", "2026-11-22", 5.0, 0.0, {"a": Control("a", "", 5.0, 0.0)})
    zero = {"a": Profile("a", "", max_score=0.0)}
    assert "control.score_changed" in types(fold(read(before, catalogue=zero), read(after, catalogue=zero)))


@pytest.mark.parametrize(("delta", "told"), [(1.0, True), (0.9999, False), (-1.0, True)])
def test_limit_of_a_score_change(delta: float, told: bool) -> None:
    seen = fold(read(day("2026-11-21", {"a": 5})), read(day("2026-11-22", {"a": 5}, total=5 + delta)))
    assert ("score.changed" in types(seen)) is told


def test_without_a_limit_only_what_moved_is_told() -> None:
    quiet = fold(
        read(day("2026-11-21", {"a": 5})), read(day("2026-11-22", {"a": 5})), rules=changed(min_score_points=0.0)
    )
    assert types(quiet) == []
    moved = fold(
        read(day("2026-11-21", {"a": 5})), read(day("2026-11-22", {"a": 5.0001})), rules=changed(min_score_points=0.0)
    )
    assert types(moved) == ["score.changed"]


def test_controls_that_cancel_out_belong_to_no_score_change() -> None:
    seen = fold(read(day("2026-11-21", {"a": 5, "b": 5})), read(day("2026-11-22", {"a": 9, "b": 1})))
    assert [(c.subject, c.data["transition"]) for c in seen.changes if c.type == "control.score_changed"] == [
        ("a", None),
        ("b", None),
    ]
    assert "score.changed" not in types(seen)


def test_transition_is_the_id_of_the_score_change() -> None:
    seen = fold(
        read(day("2026-11-21", {"a": 5, "gone": 1, "c": 5})), read(day("2026-11-22", {"a": 9, "new": 1, "c": 5}))
    )
    score = only(seen, "score.changed")
    wanted = event_id(TENANT, "score.changed", "score", score.before, score.after)
    assert {c.data["transition"] for c in seen.changes if c.type.startswith("control.")} == {wanted}


# ------------------------------------------------------------------------------------------------------- repetition


def test_folding_again_changes_nothing() -> None:
    first = read(
        day("2026-11-21", {"a": 5}), day("2026-11-22", {"a": 9}, detailed=True), catalogue={"a": Profile("a", "")}
    )
    once = fold(first, rules=changed(inventory="daily"))
    again = fold(first, rules=changed(inventory="daily"), memory=once.memory)
    assert again.changes == ()
    assert again.memory == once.memory


def test_a_stripped_copy_never_replaces_detail() -> None:
    control = Control("a", "Identity", 5.0, 50.0, count=5, total=10, status="5 of 10")
    detailed = evolve(day("2026-11-21", {"a": 5}), controls={"a": control}, detailed=True)
    seen = fold(read(detailed), read(day("2026-11-21", {"a": 5})))
    assert seen.memory.newest is not None
    assert seen.memory.newest.day == detailed
    seen = fold(read(day("2026-11-21", {"a": 5})), read(detailed))
    assert seen.memory.newest is not None
    assert seen.memory.newest.day == detailed
    assert seen.changes == ()


def test_a_closed_day_takes_late_detail_without_its_prose() -> None:
    control = Control("a", "Identity", 5.0, 50.0, count=5, total=10, status="5 of 10")
    bare, newest = day("2026-11-21", {"a": 5}), day("2026-11-22", {"a": 5})
    detailed = evolve(bare, controls={"a": control}, detailed=True)
    seen = fold(read(bare, newest), read(detailed, newest))
    assert seen.memory.days["2026-11-21"].day.controls["a"] == control._replace(status=None)
    assert seen.changes == ()


def test_unchanged_and_absent_parts_leave_memory_alone() -> None:
    known = fold(read(day("2026-11-22", {"a": 5}), catalogue={"a": Profile("a", "")})).memory
    for part in (Unchanged(), Absent("partial")):
        seen = observe(known, Snapshot("graph", part, part), RULES, NOW)
        assert (seen.memory, seen.changes, seen.done) == (known, (), True)


def test_first_contact_may_be_folded_in_steps() -> None:
    days = [day(f"2026-10-{n:02}", {"a": n % 7, "b": 5}, detailed=True) for n in range(1, 20)]
    updates = (StateUpdate("Ignored", "2026-10-05T00:00:00Z"),)
    snapshot = read(*days, catalogue={"a": Profile("a", "", updates=updates), "b": Profile("b", "")})
    rules = Rules(TENANT, ChangesConfig(evidence=True), TargetsConfig(percent_min=50))
    whole = observe(Memory(), snapshot, rules, NOW)
    memory, done, turns = Memory(), False, 0
    told: list[Change] = []
    while not done:
        seen = observe(memory, snapshot, rules, NOW, 4)
        memory, done, turns = seen.memory, seen.done, turns + 1
        told += seen.changes
    assert turns == 5
    assert memory == whole.memory
    assert told == list(whole.changes)


def test_evidence_of_the_past_is_backfilled() -> None:
    days = [
        evolve(day(f"2026-11-{d}", {"a": 5}), controls={"a": Control("a", "", 5.0, 50.0, count=d)}, detailed=True)
        for d in (19, 20, 21)
    ]
    seen = fold(read(*days), rules=changed(evidence=True))
    assert [(c.day, c.backfilled) for c in seen.changes if c.type == "control.evidence_changed"] == [
        ("2026-11-20", True), ("2026-11-21", False),
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------- suspicious days

MANY = dict.fromkeys("abcdefgh", 5.0)
FEW = {"a": 5.0}


def test_first_contact_has_nothing_to_be_suspicious_of() -> None:
    seen = fold(read(day("2026-11-20", MANY), day("2026-11-21", FEW), day("2026-11-22", MANY)))
    assert "feed.suspicious" not in types(seen)


@pytest.mark.parametrize(("share", "refused"), [(0.5, False), (0.49, True)])
def test_the_share_is_a_limit_to_be_passed(share: float, refused: bool) -> None:
    half = dict.fromkeys("abcd", 5.0)
    seen = fold(
        read(day("2026-11-21", MANY)), read(day("2026-11-22", half, total=20)), rules=changed(suspicious_loss=share)
    )
    assert ("feed.suspicious" in types(seen)) is refused


def test_refused_days_leave_the_last_accepted_one_in_force() -> None:
    seen = fold(read(day("2026-11-20", MANY)), read(day("2026-11-21", FEW), day("2026-11-22", FEW)))
    assert seen.memory.newest is not None
    assert seen.memory.newest.day.day == "2026-11-20"
    assert seen.memory.days == {}
    assert types(seen) == ["feed.suspicious"]
    problem_id = only(seen, "feed.suspicious").data["problem_id"]
    assert seen.memory.refusal == Refusal(NOW, problem_id, tuple("bcdefgh"), reason="controls_lost", maximum=10.0)


def test_an_earlier_refusal_does_not_hasten_a_later_one() -> None:
    """Two losses with a good day between them: the second has its own 24 hours."""
    known = fold(read(day("2026-11-19", MANY)), read(day("2026-11-20", FEW)), now="2026-11-20T09:00:00Z").memory
    seen = fold(read(day("2026-11-20", FEW), day("2026-11-21", MANY), day("2026-11-22", FEW)), memory=known)
    assert types(seen) == ["feed.recovered", "feed.suspicious"]
    assert seen.memory.refusal is not None
    assert seen.memory.refusal.first_at == NOW


def test_a_revision_below_the_refused_day_does_not_end_the_refusal() -> None:
    known = fold(read(day("2026-11-20", MANY)), read(day("2026-11-20", MANY), day("2026-11-21", FEW)))
    seen = fold(read(day("2026-11-20", {**MANY, "a": 9}), day("2026-11-21", FEW)), memory=known.memory)
    assert types(seen) == ["score.changed", "control.score_changed"]
    assert seen.memory.refusal == known.memory.refusal


def test_a_suspicious_revision_of_the_newest_day_is_refused_too() -> None:
    seen = fold(read(day("2026-11-21", MANY)), read(day("2026-11-21", FEW)))
    assert types(seen) == ["feed.suspicious"]
    later = fold(read(day("2026-11-21", FEW), day("2026-11-22", MANY)), memory=seen.memory)
    assert types(later) == ["feed.recovered"]
    assert types(fold(read(day("2026-11-21", FEW), day("2026-11-22", MANY)), memory=later.memory)) == []


def test_refused_versions_are_remembered_within_bounds() -> None:
    seen = fold(read(day("2026-11-20", MANY)))
    for number in range(MAX_REFUSED + 5):
        seen = fold(read(day("2026-11-21", FEW, total=5 + number)), memory=seen.memory)
    assert len(seen.memory.refused) == MAX_REFUSED
    assert seen.memory.refused[-1].startswith("2026-11-21#")


def test_a_gap_beside_a_refused_day_counts_what_is_missing() -> None:
    seen = fold(
        read(day("2026-11-16", MANY)),
        read(day("2026-11-18", FEW)),
        read(day("2026-11-18", FEW), day("2026-11-22", MANY)),
    )
    assert {k: only(seen, "feed.gap").data[k] for k in ("first_missing", "last_missing", "days")} == {
        "first_missing": "2026-11-17", "last_missing": "2026-11-21", "days": 4,
    }  # fmt: skip


def test_a_gap_of_millennia_is_one_event() -> None:
    seen = fold(read(day("0001-01-01", FEW)), read(day("2026-11-22", FEW)))
    assert only(seen, "feed.gap").data["days"] > 730_000


def test_a_small_catalogue_may_lose_half() -> None:
    two = {n: Profile(n, "") for n in "ab"}
    known = fold(read(catalogue=two))
    assert types(fold(read(catalogue={"a": two["a"]}), memory=known.memory)) == ["profile.removed"]
    assert types(fold(read(catalogue={}), memory=known.memory)) == ["feed.suspicious"]


def test_an_approved_catalogue_loss_is_believed() -> None:
    profiles = {n: Profile(n, "") for n in "abcd"}
    seen = fold(read(catalogue=profiles), read(catalogue={"a": profiles["a"]}))
    assert seen.memory.catalogue_refusal is not None
    approved = evolve(seen.memory, catalogue_refusal=evolve(seen.memory.catalogue_refusal, approved=True))
    assert types(fold(read(catalogue={"b": profiles["b"]}), memory=approved)) == ["feed.suspicious"]  # another set
    assert types(fold(read(catalogue={"a": profiles["a"]}), memory=approved)) == ["profile.removed"] * 3 + [
        "feed.recovered"
    ]


# ------------------------------------------------------------------------------------------------------ catalogue


def test_the_catalogue_may_come_first_or_late() -> None:
    profiles = {
        "a": Profile(
            "a",
            "",
            updates=(StateUpdate("Ignored", "2026-11-21T10:00:00Z"), StateUpdate("Default", "2026-11-22T08:00:00Z")),
        )
    }
    late = fold(read(day("2026-11-21", {"a": 5}), day("2026-11-22", {"a": 5})), read(catalogue=profiles))
    assert [(c.backfilled, c.day) for c in late.changes] == [(True, "2026-11-21"), (False, "2026-11-22")]
    first = fold(read(catalogue=profiles))
    assert [(c.backfilled, c.day) for c in first.changes] == [(True, "2026-11-21"), (False, "2026-11-22")]
    old = evolve(profiles["a"], updates=(StateUpdate("Ignored", "2026-08-01T10:00:00Z"),))
    assert fold(read(catalogue={"a": old})).changes == ()  # older than any day could be


def test_undated_states_of_a_new_profile_are_its_baseline() -> None:
    profiles = {"a": Profile("a", "", updates=(StateUpdate("Ignored"),))}
    assert types(fold(read(catalogue=profiles))) == []
    assert types(fold(read(day("2026-11-22", {"a": 5})), read(catalogue=profiles))) == []


def test_equal_entries_are_distinct_facts_and_comments_are_capped() -> None:
    entry = StateUpdate("Ignored", "2026-11-22T08:00:00Z", "admin@contoso.example", "x" * 5_000)
    known = fold(read(day("2026-11-22", {"a": 5}), catalogue={"a": Profile("a", "")}))
    seen = fold(read(catalogue={"a": Profile("a", "", updates=(entry, entry))}), memory=known.memory)
    assert types(seen) == ["control.state_changed"] * 2
    assert len({(c.before, c.after) for c in seen.changes}) == 2
    assert {len(c.data["after"]["comment"]) for c in seen.changes} == {MAX_COMMENT}


def test_a_language_never_read_before_is_no_change_of_language() -> None:
    old, new = ({"a": Profile("a", title)} for title in ("Old", "New"))
    known = evolve(fold(read(catalogue=old)).memory, language="")
    assert types(fold(read(catalogue=new), memory=known)) == ["profile.changed"]


# -------------------------------------------------------------------------------------------------------- targets


def targets(*scores: float, **wanted: Any) -> list[tuple[str, float | None]]:
    seen = Observation(Memory(), ())
    told: list[tuple[str, float | None]] = []
    for number, score in enumerate(scores):
        rules = Rules(TENANT, ChangesConfig(inventory="off"), TargetsConfig(**wanted))
        seen = fold(read(day(f"2026-11-{number + 1:02}", {"a": score, "b": 5.0})), memory=seen.memory, rules=rules)
        told += [
            (c.type.removeprefix("posture.target_"), c.data["target"]["value"])
            for c in seen.changes
            if c.type.startswith("posture")
        ]
    return told


def test_a_floor_is_crossed_once_each_way() -> None:
    assert targets(5, 4.9, 4.8, 5, 6, 4, percent_min=50) == [("missed", 49.5), ("met", 50.0), ("missed", 45.0)]


def test_a_drop_of_nothing_is_no_drop() -> None:
    assert targets(5, 5, 4, 4, drop_points=0) == [("missed", 1.0)]


def test_a_named_control_that_is_not_scored_says_nothing() -> None:
    assert targets(5, 10, controls=("absent",)) == []


def test_backfilled_days_miss_no_target() -> None:
    rules = Rules(TENANT, ChangesConfig(inventory="off"), TargetsConfig(percent_min=90))
    seen = fold(read(day("2026-11-21", {"a": 1}), day("2026-11-22", {"a": 10})), rules=rules)
    assert "posture.target_missed" not in types(seen)


def test_measured_points_need_a_catalogue() -> None:
    rules = Rules(TENANT, ChangesConfig(inventory="off"), TargetsConfig(measured_percent_min=90))
    assert "posture.target_missed" not in types(fold(read(day("2026-11-22", {"a": 1})), rules=rules))
