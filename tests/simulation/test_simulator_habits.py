"""What the simulated service does of its own accord: each habit shows, and none changes what is true."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from connector.simulator.habits import HABITS, PLAIN, Habits, switched
from connector.simulator.world import World, points_delay_minutes

START = date(2026, 6, 1)
NOON = datetime(2026, 9, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=600)  # when states have histories
TENANTS = 4


def made(habits: Habits) -> World:
    return World(7, TENANTS, START, sizes=("mid",), missing=0, habits=habits)


# What a world says does not depend on what it was asked before, so these are asked once; nobody may change an answer.
world = cache(made)


@cache
def histories(habits: Habits, now: datetime = LATER) -> dict[str, list[dict[str, Any]]]:
    """{control: its state history as listed}, for every control that somebody touched."""
    found = {}
    for who in world(habits).tenants:
        for profile in world(habits).profiles(who.id, now):
            if any(entry["updatedBy"] for entry in profile["controlStateUpdates"]):
                found[f"{who.number}/{profile['id']}"] = profile["controlStateUpdates"]
    return found


@cache
def seventy_catalogues(habits: Habits) -> list[list[dict[str, Any]]]:
    """A tenant's catalogue of each of seventy days."""
    of = world(habits)
    return [of.profiles(of.tenants[0].id, NOON + timedelta(days=n)) for n in range(70)]


@cache
def scores(habits: Habits) -> list[tuple[float, float, list[float]]]:
    """Score, maximum and points of the controls, of every day of every tenant."""
    of = world(habits)
    return [
        (day["currentScore"], day["maxScore"], [control["score"] for control in day["controlScores"]])
        for who in of.tenants
        for day in of.score_documents(who.id, NOON)
    ]


def newest(of: World, now: datetime, number: int = 0) -> dict[str, dict[str, Any]]:
    (document,) = of.score_documents(of.tenants[number].id, now, 1)
    return {control["controlName"]: control for control in document["controlScores"]}


def hours(days: int = 4) -> list[datetime]:
    return [NOON + timedelta(hours=hour) for hour in range(24 * days)]


def in_force(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The latest entry; without a date it is the oldest; of equal ones the last counts."""
    found: dict[str, Any] = max(reversed(history), key=lambda entry: (entry["updatedDateTime"] or "")[:19])
    return found


# -------------------------------------------------------------------------------------------------------------- truth

KEEPING = (
    "unordered",
    "undated",
    "forgotten_dates",
    "respelled",
    "shortened",
    "odd_states",
    "flipped_counts",
    "codeless",
)


@pytest.mark.parametrize("name", KEEPING)
def test_points_and_states_in_force_stay_as_they_are(name: str) -> None:
    odd = switched([f"{name}=1"], PLAIN)
    assert scores(odd) == scores(PLAIN)
    for control, history in histories(PLAIN).items():
        assert in_force(histories(odd)[control])["state"].casefold() == in_force(history)["state"].casefold()


@pytest.mark.parametrize("name", HABITS)
def test_sums_hold_whatever_the_habit(name: str) -> None:
    odd = World(7, 2, START, sizes=("small",), habits=switched([name]))
    for who in odd.tenants:
        for now in hours(1)[::5]:
            for document in odd.score_documents(who.id, now, 3):
                controls = document["controlScores"]
                assert round(sum(c["score"] for c in controls), 2) == document["currentScore"]
                if document is odd.score_documents(who.id, now, 1)[0]:
                    maxima = {p["id"]: p["maxScore"] for p in odd.profiles(who.id, now)}
                    assert sum(maxima[c["controlName"]] for c in controls) == document["maxScore"]


def test_everything_at_once_is_still_the_same_every_time() -> None:
    one, other = made(switched(["all"])), made(switched(["all"]))
    for who in one.tenants[:2]:
        for now in hours(1)[::7]:
            assert one.profiles(who.id, now) == other.profiles(who.id, now)
            assert one.score_documents(who.id, now, 4) == other.score_documents(who.id, now, 4)


# ---------------------------------------------------------------------------------------------------- state histories


def test_histories_stand_in_every_order() -> None:
    dated = [[e["updatedDateTime"] for e in h if e["updatedDateTime"]] for h in histories(Habits(unordered=1)).values()]
    longer = [dates for dates in dated if len(dates) > 2]
    assert any(dates == sorted(dates, reverse=True) for dates in longer)
    assert any(dates not in (sorted(dates), sorted(dates, reverse=True)) for dates in longer)
    assert all(
        d == sorted(d)
        for d in ([e["updatedDateTime"] for e in h if e["updatedDateTime"]] for h in histories(PLAIN).values())
    )


def test_some_order_is_odd_and_some_date_is_missing_by_default() -> None:
    found = [[e["updatedDateTime"] for e in h if e["updatedBy"]] for h in histories(Habits()).values()]
    assert any([d for d in dates if d] != sorted(d for d in dates if d) for dates in found)
    assert any(None in dates for dates in found)
    assert sum(None in dates for dates in found) < len(found) / 2


def test_superseded_entries_lose_their_dates() -> None:
    found = list(histories(Habits(forgotten_dates=1)).values())
    assert all(sum(e["updatedDateTime"] is not None for e in h) == 1 for h in found)
    assert any(sum(bool(e["updatedBy"]) for e in h) > 2 for h in found)


def test_histories_are_respelled_and_spelled_back() -> None:
    odd = Habits(respelled=1, unordered=0)
    months = [histories(odd, LATER + timedelta(days=30 * n)) for n in range(2)]
    texts = [{str(e["comment"]) for h in month.values() for e in h} for month in months]
    assert sorted(any("[migrated]" in text for text in found) for found in texts) == [False, True]


def test_comments_and_older_entries_turn_up_later() -> None:
    plain, odd = histories(PLAIN), histories(Habits(commented=1, inserted=1))
    comments = [e["comment"] or "" for h in odd.values() for e in h]
    assert any("(reviewed)" in comment for comment in comments)
    assert any("entered later" in comment for comment in comments)
    assert {in_force(h)["state"].casefold() for h in plain.values()} >= {"ignored"}
    for control, history in plain.items():
        assert in_force(odd[control])["state"].casefold() == in_force(history)["state"].casefold()


def test_short_histories_keep_the_newest() -> None:
    found = histories(Habits(shortened=1, unordered=0))
    for control, history in histories(PLAIN).items():
        assert len(found[control]) <= 3
        assert found[control][-1]["state"] == history[-1]["state"]


def test_states_of_no_known_list_are_never_in_force() -> None:
    found = list(histories(Habits(odd_states=1)).values())
    states = {e["state"] for h in found for e in h}
    assert states >= {"Planned", None}
    assert {in_force(h)["state"] for h in found} <= {"Default", "Ignored", "ThirdParty", "Reviewed"} | {
        "default", "ignored", "thirdParty", "reviewed",
    }  # fmt: skip


def test_some_points_follow_after_days() -> None:
    names = [f"control-{n}" for n in range(500)]
    delays = [points_delay_minutes(name) for name in names]
    assert min(delays) >= 360
    assert 6 * 1440 < max(delays) < 7 * 1440
    assert 0.6 < sum(delay <= 2400 for delay in delays) / 500 < 0.95
    assert max(points_delay_minutes(name, 0.0) for name in names) <= 2400


# --------------------------------------------------------------------------------------------- documents and catalogue


def test_a_busy_day_has_many_revisions() -> None:
    odd = world(Habits(busy=1))
    bodies = {str(odd.score_documents(odd.tenants[0].id, now, 1)) for now in hours(1)[:12]}
    assert len(bodies) == 12


def test_counts_flip_while_the_score_stands_still() -> None:
    plain, odd = newest(world(PLAIN), NOON), newest(world(switched(["flipped_counts"], PLAIN)), NOON)
    flipped = [n for n, c in odd.items() if c.get("count") != plain[n].get("count")]
    assert 0 < len(flipped) < len(odd) / 2
    for name in flipped:
        assert int(odd[name]["count"]) == int(odd[name]["total"]) - int(plain[name]["count"])
        assert (odd[name]["score"], odd[name]["total"]) == (plain[name]["score"], plain[name]["total"])


@pytest.mark.parametrize("part", ["controlCategory", "service", "tier"])
def test_controls_move_between_groups(part: str) -> None:
    groups = [{p["id"]: p[part] for p in catalogue} for catalogue in seventy_catalogues(switched(["recategorised"]))]
    moved = {
        name for before, after in pairwise(groups) for name in before if after.get(name, before[name]) != before[name]
    }
    assert 3 < len(moved) < 250


def test_a_category_in_the_catalogue_is_that_of_the_document() -> None:
    odd = world(switched(["recategorised"]))
    for n in range(0, 70, 7):
        now = NOON.replace(hour=23, minute=50) + timedelta(days=n)
        listed = {p["id"]: p["controlCategory"] for p in odd.profiles(odd.tenants[0].id, now)}
        differing = [c for c in newest(odd, now).values() if listed[c["controlName"]] != c["controlCategory"]]
        assert len(differing) < 5


def test_a_maximum_swings_under_one_newest_day() -> None:
    odd = world(switched(["swinging"]))
    maxima = [{p["id"]: p["maxScore"] for p in odd.profiles(odd.tenants[0].id, now)} for now in hours(1)[::6]]
    swings = {name for before, after in pairwise(maxima) for name in before if before[name] != after[name]}
    assert swings
    assert all(abs(maxima[0][name] - maxima[1][name]) in (0, 1) for name in swings)


def test_controls_are_gone_for_an_hour_and_never_from_a_closed_day() -> None:
    odd, plain = world(switched(["flickering"])), world(Habits())
    tenant = odd.tenants[0].id
    listed = [{p["id"] for p in odd.profiles(tenant, now)} for now in hours(1)]
    scored = [set(newest(odd, now)) for now in hours(1)]
    for found in (listed, scored):
        gone = set.union(*found) - set.intersection(*found)
        assert gone
        for name in gone:
            assert 1 <= sum(name not in names for names in found) <= 3  # an hour, of one day and the next
    for mine, theirs in zip(
        odd.score_documents(tenant, NOON)[1:], plain.score_documents(tenant, NOON)[1:], strict=True
    ):
        assert {c["controlName"] for c in mine["controlScores"]} == {c["controlName"] for c in theirs["controlScores"]}


def test_more_than_twenty_controls_join_in_a_month() -> None:
    odd = world(Habits(big_batches=1))
    names = [{p["id"] for p in odd.profiles(odd.tenants[0].id, odd.start + timedelta(days=n))} for n in range(60)]
    assert max(len(after - before) for before, after in pairwise(names)) > 20


def test_tiny_tenants_and_small_catalogues() -> None:
    tiny = World(7, 5, START, sizes=("tiny",))
    assert all(8 <= len(newest(tiny, NOON, number)) <= 24 for number in range(5))
    cloud = World(7, 1, START, catalogue=0.25)
    assert 60 < len(cloud.profiles(cloud.tenants[0].id, NOON)) < 140


# -------------------------------------------------------------------------------------------------------------- names


def test_habits_are_switched_by_name() -> None:
    assert switched([]) == Habits()
    assert switched(["busy", "unordered=0"]) == Habits(busy=1.0, unordered=0.0)
    assert all(getattr(switched(["all"]), name) > 0 for name in HABITS)


@pytest.mark.parametrize("word", ["kindness", "busy=2", "busy=much", "busy=", "all=1", "busy=nan"])
def test_a_habit_that_is_not_understood_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"none of|not a share"):
        switched([word])
