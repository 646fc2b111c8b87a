"""What of a read is believed: one guard at every door, waits that clocks cannot stretch, and what ends a refusal."""

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from connector.config.values import ChangesConfig
from connector.ids import content_hash
from connector.model import Absent, Change, Control, Day, Profile, Snapshot, StateUpdate, Unchanged, Version
from connector.observe.fold import Observation, Rules, observe
from connector.observe.guard import Loss, grew, is_believed, judge, tomorrow
from connector.observe.memory import Memory, Refusal
from tests.fake_graph import TENANT

RULES = Rules(TENANT, ChangesConfig(inventory="off"))
ALL = "abcdefgh"


def day(date: str, names: str = ALL, points: float = 10.0, top: float | None = None) -> Day:
    found = {name: Control(name, "", points, 10.0 * points) for name in names}
    return Day(f"{TENANT}_{date}", date, points * len(names), 10.0 * len(names) if top is None else top, found)


def version(date: str, names: str = ALL, **more: Any) -> Version:
    made = day(date, names, **more)
    return Version(made, content_hash(made))


def remembering(*dates: str) -> Memory:
    known = [version(date) for date in dates]
    return Memory(first_newest=dates[0], newest=known[-1], days={v.day.day: v for v in known[:-1]})


def verdicts(memory: Memory, *read: Version, now: str = "2026-11-22T09:00:00Z", **more: Any) -> list[str]:
    return [verdict.kind for verdict in judge(memory, read, TENANT, 0.5, now, **more).verdicts]


def fold(memory: Memory, now: str, *days: Day, catalogue: Mapping[str, Profile] | Absent | None = None) -> Observation:
    return observe(memory, Snapshot("graph", days, Unchanged() if catalogue is None else catalogue), RULES, now)


def told(seen: Observation, kind: str) -> list[Change]:
    return [change for change in seen.changes if change.type == kind]


# -------------------------------------------------------------------------------------------------------------- doors


def test_every_document_of_a_read_has_one_verdict() -> None:
    memory = remembering("2026-11-17", "2026-11-19", "2026-11-20")
    read = (
        version("2026-11-17"),
        version("2026-11-18", points=5.0),
        version("2026-11-19", points=4.0),
        version("2026-11-20", points=3.0),
        version("2026-11-21", "a"),
        version("2026-12-24"),
    )
    assert verdicts(memory, *read) == ["known", "late", "revised", "accepted", "refused", "refused"]
    assert verdicts(Memory(), *read) == ["accepted"] * 5 + ["refused"]


@pytest.mark.parametrize(
    ("ruined", "door"),
    [("2026-11-21", "newest"), ("2026-11-20", "revised"), ("2026-11-19", "closed"), ("2026-11-18", "late")],
)
def test_a_ruined_document_is_refused_at_every_door(ruined: str, door: str) -> None:
    memory = remembering("2026-11-17", "2026-11-19", "2026-11-20")
    assert verdicts(memory, version(ruined, "ab")) == ["refused"], door
    assert verdicts(memory, version(ruined, top=10.0)) == ["refused"], door


def test_a_late_day_is_suspicious_only_beside_both_its_neighbours() -> None:
    """A tenant that grew, or shrank for good, was small on one side of it."""
    grown = evolve(remembering("2026-11-17", "2026-11-20"), days={"2026-11-17": version("2026-11-17", "ab")})
    assert verdicts(grown, version("2026-11-18", "ab")) == ["late"]
    assert verdicts(remembering("2026-11-17", "2026-11-20"), version("2026-11-10", "ab")) == ["late"]


def test_tomorrow_by_the_moment_of_observation_is_the_limit() -> None:
    assert tomorrow("2026-11-30T23:59:59Z") == "2026-12-01"
    memory = remembering("2026-11-20")
    assert verdicts(memory, version("2026-11-23")) == ["accepted"]
    assert verdicts(memory, version("2026-11-24")) == ["refused"]
    assert verdicts(memory, version("2026-11-24"), now="2026-11-23T00:00:00Z") == ["accepted"]


def test_no_document_ahead_is_the_newest_at_first_contact() -> None:
    seen = fold(Memory(), "2026-11-22T09:00:00Z", day("2026-11-21"), day("2026-11-22"), day("2099-01-01"))
    assert seen.memory.first_newest == "2026-11-22"
    assert [change.backfilled for change in told(seen, "score.observed")] == [True, False]
    only_ahead = fold(Memory(), "2026-11-22T09:00:00Z", day("2099-01-01"))
    assert (only_ahead.memory.newest, [c.day for c in only_ahead.changes]) == (None, [""])


# ------------------------------------------------------------------------------------------------- a newest day ahead


def test_a_newest_day_of_the_future_that_an_earlier_version_accepted_is_given_up() -> None:
    """Told after a day, with or without the document; then the tenant is seen again."""
    blinded = remembering("2026-11-17", "2026-11-19", "2036-01-01")
    for documents in ([], [day("2036-01-01")]):
        memory, first = blinded, fold(blinded, "2026-11-20T09:00:00Z", day("2026-11-20", points=4.0), *documents)
        assert {change.type for change in first.changes} == {"score.observed"}  # late
        memory = first.memory
        seen = fold(memory, "2026-11-21T09:00:00Z", day("2026-11-20", points=4.0), day("2026-11-21"), *documents)
        (given_up,) = [c for c in told(seen, "feed.suspicious") if c.after.startswith("given_up")]
        assert (given_up.data["reason"], given_up.day) == ("dated_ahead", "2026-11-20")
        assert given_up.data["problem_id"] in {change.data["problem_id"] for change in told(seen, "feed.recovered")}
        assert [(c.day, c.data["delta"]) for c in told(seen, "score.changed")] == [
            ("2026-11-20", -48.0),
            ("2026-11-21", 48.0),
        ]
        assert seen.memory.newest is not None
        assert seen.memory.newest.day.day == "2026-11-21"
        assert "2036-01-01" not in seen.memory.versions()
        assert ("2036-01-01" in seen.memory.standing) is bool(documents)
        again = fold(seen.memory, "2026-11-21T10:00:00Z", day("2026-11-20", points=4.0), day("2026-11-21"), *documents)
        assert again.changes == ()


def test_first_contact_with_a_future_day_is_made_again_when_it_is_given_up() -> None:
    blinded = evolve(remembering("2026-11-19", "2036-01-01"), first_newest="2036-01-01")
    seen = fold(blinded, "2026-11-20T09:00:00Z", day("2026-11-20"))
    seen = fold(seen.memory, "2026-11-21T09:00:00Z", day("2026-11-21", points=1.0))
    assert seen.memory.first_newest == "2026-11-20"
    assert [change.backfilled for change in told(seen, "score.changed")] == [False]


def test_a_read_that_broke_off_raises_no_doubt() -> None:
    memory = remembering("2026-11-19", "2026-11-20")
    judged = judge(memory, [version("2026-11-19")], TENANT, 0.5, "2026-11-22T09:00:00Z", complete=False)
    assert (judged.doubted_at, judged.newest) == ("", memory.newest)
    doubted = judge(memory, [version("2026-11-19")], TENANT, 0.5, "2026-11-22T09:00:00Z")
    assert doubted.doubted_at == "2026-11-22T09:00:00Z"
    held = judge(
        evolve(memory, doubted_at=doubted.doubted_at), [version("2026-11-20")], TENANT, 0.5, "2026-11-25T09:00:00Z"
    )
    assert (held.doubted_at, held.given_up) == ("", None)


# -------------------------------------------------------------------------------------------------------------- waits


def test_a_clock_that_was_ahead_does_not_stretch_the_wait() -> None:
    refused = fold(remembering("2026-11-20"), "2027-11-21T09:00:00Z", day("2026-11-21", "ab"))
    seen = fold(refused.memory, "2026-11-21T10:00:00Z", day("2026-11-21", "ab"))
    assert seen.changes == ()
    assert fold(seen.memory, "2026-11-22T09:59:59Z", day("2026-11-21", "ab")).changes == ()
    believed = fold(seen.memory, "2026-11-22T10:00:00Z", day("2026-11-21", "ab"))
    assert told(believed, "feed.recovered")[0].data["duration_s"] == 86_400
    assert len(told(believed, "control.removed")) == 6


@pytest.mark.parametrize(
    ("found", "bigger"),
    [
        (Loss(("a", "b"), "controls_lost", 40.0), False),
        (Loss(("a",), "controls_lost", 40.0), False),
        (Loss(("a", "c"), "controls_lost", 40.0), True),
        (Loss(("a", "b"), "max_halved", 40.0), True),
        (Loss(("a", "b"), "controls_lost", 20.0), False),
        (Loss(("a", "b"), "controls_lost", 19.9), True),
        (Loss(("a", "b"), "controls_lost", None), False),
    ],
)
def test_what_is_more_or_other_than_what_was_refused(found: Loss, *, bigger: bool) -> None:
    refusal = Refusal("2026-11-21T09:00:00Z", "p", ("a", "b"), reason="controls_lost", maximum=40.0)
    assert grew(refusal, found) is bigger
    for waiting in (refusal, evolve(refusal, approved=True)):
        assert is_believed(waiting, found, "2026-11-23T09:00:00Z") is not bigger
    assert not is_believed(refusal, found, "2026-11-22T08:59:59Z")
    assert is_believed(evolve(refusal, approved=True), found, "2026-11-21T09:00:01Z") is not bigger


def test_several_documents_of_a_read_are_one_loss_whatever_their_order() -> None:
    days = (day("2026-11-20", "ab", top=80.0), day("2026-11-21", "a", top=80.0), day("2026-11-22", top=20.0))
    seen = fold(remembering("2026-11-20"), "2026-11-22T09:00:00Z", *days)
    assert [change.data["reason"] for change in told(seen, "feed.suspicious")] == [
        "controls_lost", "controls_lost", "max_halved",
    ]  # fmt: skip
    assert len({change.data["problem_id"] for change in told(seen, "feed.suspicious")}) == 1
    assert fold(seen.memory, "2026-11-22T10:00:00Z", *days).changes == ()


# ---------------------------------------------------------------------------------------------------------- catalogue


def test_a_catalogue_waits_by_the_same_rules() -> None:
    profiles = {name: Profile(name, name) for name in ALL}
    few, fewer = {"a": profiles["a"]}, dict[str, Profile]()
    memory = fold(remembering("2026-11-20"), "2026-11-21T09:00:00Z", catalogue=profiles).memory
    (first,) = fold(memory, "2027-11-21T09:00:00Z", catalogue=few).changes
    seen = fold(fold(memory, "2027-11-21T09:00:00Z", catalogue=few).memory, "2026-11-21T10:00:00Z", catalogue=few)
    assert seen.changes == ()
    (more,) = fold(seen.memory, "2026-11-22T10:00:00Z", catalogue=fewer).changes
    assert (more.data["problem_id"], more.data["lost_controls"]) == (first.data["problem_id"], 8)
    believed = fold(seen.memory, "2026-11-22T10:00:00Z", catalogue=few)
    assert len(told(believed, "profile.removed")) == 7
    assert len(told(believed, "feed.recovered")) == 1


def test_what_was_set_while_a_removal_waited_is_news() -> None:
    """A read of which the removals were not believed did not hold the profile."""
    profiles = {name: Profile(name, name) for name in ALL}
    few = {"a": profiles["a"]}
    memory = fold(remembering("2026-11-20"), "2026-11-21T09:00:00Z", catalogue=profiles).memory
    for now in ("2026-11-21T10:00:00Z", "2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z"):
        memory = fold(memory, now, catalogue=few).memory
    assert "b" in memory.departed
    back = evolve(profiles["b"], updates=(StateUpdate("ThirdParty", "2026-11-21T20:00:00Z"),))
    (change,) = told(fold(memory, "2026-11-22T12:00:00Z", catalogue={**few, "b": back}), "control.state_changed")
    assert not change.backfilled
