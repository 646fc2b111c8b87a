"""Storm control: many tenants in one state at once are one problem of the connector; few are told each."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.clock import iso
from connector.model import Change
from connector.observe.storm import Storms, entered_at, is_over, storms_among
from connector.problems import Fault, advance

NOW = datetime(2030, 1, 10, 12, tzinfo=UTC)
HOUR = 3600.0


class Fleet:
    """Tenants whose problems go through their life cycle, and what was told of them."""

    def __init__(self, count: int) -> None:
        self.names = [f"t{n:03d}" for n in range(count)]
        self.open: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        self.own: Mapping[str, Mapping[str, Any]] = {}
        self.now = NOW
        self.restart()

    def restart(self) -> None:
        self.storms = Storms(len(self.names), HOUR)
        self.storms.resume(self.own)

    def poll(self, name: str, reason: str | None) -> list[Change]:
        faults = [Fault("connector.problem", reason, "access", f"{name}: {reason}")] if reason else []
        was = self.open.get(name, {})
        problems, told = advance(was, faults, iso(self.now), scope=name)
        self.open[name], told = self.storms.settle(name, was, problems, told, self.now)
        return told

    def cycle(self, troubled: int, reason: str = "denied") -> list[Change]:
        told = [c for n, name in enumerate(self.names) for c in self.poll(name, reason if n < troubled else None)]
        self.now += timedelta(hours=1)
        return told

    def look(self, pending: int = 0) -> list[Change]:
        self.own, told = advance(self.own, self.storms.faults(pending), iso(self.now), scope="host1")
        return told


def kinds(told: list[Change]) -> list[str]:
    return [c.type for c in told]


def test_a_tenth_of_the_tenants_is_told_each() -> None:
    fleet = Fleet(100)
    assert len(fleet.cycle(10)) == 10
    assert fleet.look() == []
    assert len(fleet.cycle(0)) == 10


def test_more_are_one_event_with_their_number_and_the_first_twenty() -> None:
    fleet = Fleet(100)
    assert len(fleet.cycle(60)) == 10
    (storm,) = fleet.look()
    assert storm.data["tenants"] == {"count": 60, "total": 100, "first": fleet.names[:20]}
    assert storm.data["reason"] == "denied"
    for _ in range(3):
        assert fleet.cycle(60) == []
        assert fleet.look() == []


def test_a_small_fleet_needs_five() -> None:
    fleet = Fleet(6)
    assert len(fleet.cycle(4)) == 4
    assert fleet.look() == []
    fleet = Fleet(6)
    assert len(fleet.cycle(6)) == 4
    assert len(fleet.look()) == 1


def test_the_end_is_told_once_and_only_those_whose_problem_was_told_recover_by_name() -> None:
    fleet = Fleet(100)
    fleet.cycle(60)
    fleet.look()
    assert kinds(fleet.cycle(0)) == ["connector.recovered"] * 10
    assert kinds(fleet.look()) == ["connector.recovered"]


def test_who_is_still_troubled_after_the_storm_is_told_by_name() -> None:
    fleet = Fleet(100)
    fleet.cycle(60)
    fleet.look()
    fleet.names.reverse()  # the last ones, which were hushed, remain: t059 to t057 among the first 43
    told = [c for name in fleet.names for c in fleet.poll(name, "denied" if name in ("t057", "t058") else None)]
    assert kinds(told) == ["connector.recovered"] * 10
    fleet.look()
    later = []
    for _ in range(3):
        fleet.now += timedelta(hours=1)
        later += [c for name in ("t057", "t058") for c in fleet.poll(name, "denied")]
    assert kinds(later) == ["connector.problem"] * 2
    fleet.now += timedelta(hours=1)
    assert kinds(fleet.poll("t057", None)) == ["connector.recovered"]


def test_slow_decay_is_no_storm() -> None:
    fleet = Fleet(100)
    told = 0
    for troubled in range(0, 60, 3):
        told += len([c for c in fleet.cycle(troubled) if c.data["repeat"] == 0])
    assert told == 57
    assert fleet.look() == []


def test_a_storm_outlives_a_restart() -> None:
    fleet = Fleet(100)
    fleet.cycle(60)
    fleet.look()
    fleet.restart()
    assert fleet.look(pending=100) == []
    assert fleet.cycle(60) == []
    assert fleet.look() == []
    fleet.cycle(0)
    assert kinds(fleet.look()) == ["connector.recovered"]


def test_two_states_are_two_storms() -> None:
    fleet = Fleet(100)
    fleet.cycle(60)
    fleet.look()
    fleet.cycle(60, "unavailable")
    assert sorted(c.data["reason"] for c in fleet.look()) == ["denied", "unavailable"]


def expiring(stage: str) -> Fault:
    return Fault("connector.problem", "secret_expiring", "credential:secret", "expires", stage=stage)


def test_a_stage_hushed_in_a_storm_is_told_when_it_is_over() -> None:
    """What is told by stages is not repeated daily, so nothing but the stage says that it was never told."""
    names, storms, now = [f"t{n}" for n in range(20)], Storms(20, HOUR), NOW
    known: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    told: dict[str, list[str]] = {}
    for hour in range(24):
        repaired = names[:9] if hour > 10 else []
        for name in names[:10]:
            faults = [] if name in repaired else [expiring("30 days")]
            problems, news = advance(known.get(name, {}), faults, iso(now), scope=name)
            known[name], news = storms.settle(name, known.get(name, {}), problems, news, now)
            told.setdefault(name, []).extend(c.type for c in news)
        storms.faults(0)
        now += timedelta(hours=1)
    assert told["t9"] == ["connector.problem"]


def test_a_reason_that_many_get_at_once_is_a_storm_though_their_problem_is_old() -> None:
    fleet = Fleet(100)
    for troubled in range(1, 61):  # one an hour: each is told, and none of it is a storm
        fleet.cycle(troubled, "unavailable")
    assert fleet.look() == []
    assert len(fleet.cycle(60, "denied")) == 10
    assert [c.data["reason"] for c in fleet.look()] == ["denied"]
    assert kinds(fleet.cycle(0)) == ["connector.recovered"] * 60  # all of them were told by name


def test_a_clock_that_was_ahead_makes_no_storm() -> None:
    storms = Storms(10, HOUR)
    problem = {"type": "connector.problem", "reason": "denied", "problem_id": "p", "first_seen": "2031-01-01T00:00:00Z"}
    assert entered_at(problem, NOW) == NOW
    for n in range(10):
        storms.settle(f"t{n}", {"k": problem}, {"k": problem}, [], NOW + timedelta(days=n))
    assert storms.faults(0) == []


def test_a_storm_is_what_enough_entered_within_one_cycle() -> None:
    """For a home that looks at all tenants at once: how many are in a state says nothing of when they came to it."""
    state = ("connector.problem", "denied")
    months = {f"t{n}": NOW - timedelta(days=30 * n) for n in range(6)}
    assert storms_among({state: months}, 50, HOUR) == []
    at_once = {f"t{n}": NOW - timedelta(days=30, minutes=n) for n in range(6)}
    assert storms_among({state: at_once}, 50, HOUR) == [state]
    assert storms_among({state: dict(list(at_once.items())[:5])}, 50, HOUR) == []
    assert [n for n in range(7) if not is_over(n, 50)] == [3, 4, 5, 6]
