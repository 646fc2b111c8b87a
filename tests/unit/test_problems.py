"""The life of a problem: told once, repeated daily, closed by a recovery."""

import json
from typing import Any

from attrs import evolve

from connector.model import Change
from connector.observe.events import Origin, stamp
from connector.observe.severity import SeverityRules
from connector.problems import Fault, Open, advance

DENIED = Fault("connector.problem", "denied", "access", "Problem: …", detail="403", hint="grant it")
PARTIAL = Fault("feed.partial", "partial", "days", "Feed partial: …", data={"part": "days"})


def turn(known: Open, now: str, *faults: Fault) -> tuple[dict[str, dict[str, Any]], list[Change]]:
    result, told = advance(known, faults, now, scope="t", newest_day="2026-11-21")
    return json.loads(json.dumps(result)), told  # it is kept as JSON


def at(hour: int, day: int = 22) -> str:
    return f"2026-11-{day}T{hour:02}:00:00Z"


def test_a_new_problem_is_told_once() -> None:
    known, told = turn({}, at(9), DENIED)
    (change,) = told
    assert (change.type, change.subject, change.before, change.after, change.day) == (
        "connector.problem", "access", f"denied#{at(9)}", "0", "",
    )  # fmt: skip
    assert {k: change.data[k] for k in ("reason", "detail", "hint", "first_seen", "repeat", "sink")} == {
        "reason": "denied", "detail": "403", "hint": "grant it", "first_seen": at(9), "repeat": 0, "sink": None,
    }  # fmt: skip
    known, told = turn(known, at(10), DENIED)
    assert told == []
    assert known["connector.problem:access"]["problem_id"] == change.data["problem_id"]


def test_it_is_repeated_after_a_day_with_the_same_problem_id() -> None:
    known, (first,) = turn({}, at(9), DENIED)
    known, told = turn(known, "2026-11-23T08:59:59Z", DENIED)
    assert told == []
    known, (second,) = turn(known, at(9, 23), DENIED)
    known, told = turn(known, at(10, 23), DENIED)
    assert told == []
    _, (third,) = turn(known, at(9, 24), DENIED)
    assert [c.data["repeat"] for c in (first, second, third)] == [0, 1, 2]
    assert len({c.data["problem_id"] for c in (first, second, third)}) == 1
    assert len({(c.before, c.after) for c in (first, second, third)}) == 3


def test_a_recovery_closes_it_once() -> None:
    known, (first, _) = turn({}, at(9), DENIED, evolve(DENIED, subject="other", data={"sink": "soc"}))
    known, told = turn(known, at(11))
    assert known == {}
    assert [(c.type, c.subject, c.data["reason"], c.data["duration_s"], c.data["sink"]) for c in told] == [
        ("connector.recovered", "access", "denied", 7200, None),
        ("connector.recovered", "other", "denied", 7200, "soc"),
    ]
    assert told[0].data["problem_id"] == first.data["problem_id"]
    assert turn(known, at(12)) == ({}, [])


def test_feed_problems_recover_as_feed_and_tell_the_newest_day() -> None:
    known, (first,) = turn({}, at(9), PARTIAL)
    assert (first.type, first.day, first.data["part"]) == ("feed.partial", "2026-11-21", "days")
    assert "sink" not in first.data
    _, (closed,) = turn(known, at(10))
    assert (closed.type, closed.day, closed.data["newest_day"]) == ("feed.recovered", "2026-11-21", "2026-11-21")


def test_another_reason_is_an_update_of_the_same_problem() -> None:
    known, (first,) = turn({}, at(9), DENIED)
    known, (update,) = turn(known, at(10), evolve(DENIED, reason="wrong_tenant"))
    assert (update.type, update.data["reason"], update.data["repeat"]) == ("connector.problem", "wrong_tenant", 1)
    assert update.data["problem_id"] == first.data["problem_id"]
    known, (closed,) = turn(known, at(12))
    assert (closed.data["problem_id"], closed.data["reason"], closed.data["duration_s"]) == (
        first.data["problem_id"], "wrong_tenant", 10_800,
    )  # fmt: skip
    assert known == {}


def test_reasons_that_alternate_are_told_once_each_and_then_daily() -> None:
    known: Any = {}
    told = []
    for hour in range(9, 21):
        known, news = turn(known, at(hour), evolve(PARTIAL, reason=("partial", "unavailable")[hour % 2]))
        told += news
    assert [(c.type, c.data["reason"]) for c in told] == [("feed.partial", "unavailable"), ("feed.partial", "partial")]
    assert len(turn(known, at(10, 23), PARTIAL)[1]) == 1
    assert len({(c.type, c.before, c.after) for c in told}) == 2


def test_a_clock_that_was_ahead_does_not_silence_the_daily_repeat() -> None:
    known, _ = turn({}, "2027-11-22T09:00:00Z", DENIED)
    told = []
    for day in range(22, 27):
        known, news = turn(known, at(9, day), DENIED)
        told += news
    assert [c.data["repeat"] for c in told] == [1, 2, 3, 4]


def test_the_same_problem_later_is_a_new_one() -> None:
    known, (first,) = turn({}, at(9), DENIED)
    known, _ = turn(known, at(10))
    _, (again,) = turn(known, at(11), DENIED)
    assert again.data["problem_id"] != first.data["problem_id"]
    assert again.before != first.before


def test_scopes_do_not_share_problem_ids() -> None:
    ids = {advance({}, [DENIED], at(9), scope=scope)[1][0].data["problem_id"] for scope in ("a", "b")}
    assert len(ids) == 2


def test_a_clock_that_goes_back_neither_repeats_nor_counts_below_zero() -> None:
    known, _ = turn({}, at(9), DENIED)
    known, told = turn(known, at(9, 20), DENIED)
    assert told == []
    _, (closed,) = turn(known, at(9, 20))
    assert closed.data["duration_s"] == 0


def test_problem_events_are_distinct_and_json() -> None:
    known, told = turn({}, at(9), DENIED, PARTIAL)
    known, more = turn(known, at(9, 23), DENIED, PARTIAL)
    _, last = turn(known, at(10, 23))
    events = [stamp(c, Origin("t", "contoso"), at(9), SeverityRules(())) for c in (*told, *more, *last)]
    assert len({e.id for e in events}) == 6
    json.dumps([dict(e.data) for e in events], allow_nan=False)
