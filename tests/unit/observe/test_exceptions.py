"""When a declared state is due: its age, its review, its comment."""

import pytest

from connector.config.values import ExceptionsConfig
from connector.model import Day, Profile, StateUpdate, Version
from connector.observe.exceptions import Due, crossings, judge

NEWEST = Version(Day("t_2026-11-22", "2026-11-22", 1.0, 2.0, {}), "h")
NOW = "2026-11-22T09:00:00Z"


@pytest.mark.parametrize(
    ("at", "comment", "wanted", "due"),
    [
        ("2026-11-01T23:59:59Z", "x", ExceptionsConfig(), Due((), 21, None)),
        ("2026-11-01T23:59:59Z", "x", ExceptionsConfig(21), Due(("review_overdue",), 21, "2026-11-22")),
        ("2026-11-01T23:59:59Z", "x", ExceptionsConfig(22), Due((), 21, "2026-11-23")),
        ("2026-11-01T00:00:00Z", None, ExceptionsConfig(22, True), Due(("comment_missing",), 21, "2026-11-23")),
        (
            "2026-11-01T00:00:00Z",
            "\t ",
            ExceptionsConfig(1, True),
            Due(("review_overdue", "comment_missing"), 21, "2026-11-02"),
        ),
        (None, None, ExceptionsConfig(1, True), Due(("comment_missing",), None, None)),
        (None, "x", ExceptionsConfig(1, True), Due((), None, None)),  # nobody knows how old
        ("2027-01-01T00:00:00Z", "x", ExceptionsConfig(1), Due((), -40, "2027-01-02")),  # dated ahead
        ("2026-11-01T00:00:00Z", "x", ExceptionsConfig(10**9), Due((), 21, "9999-12-31")),
    ],
)
def test_how_an_exception_stands(at: str | None, comment: str | None, wanted: ExceptionsConfig, due: Due) -> None:
    assert judge(StateUpdate("Ignored", at, comment=comment), wanted, "2026-11-22") == due


def told(
    profile: Profile, wanted: ExceptionsConfig, before: dict[str, str] | None = None
) -> tuple[dict[str, str], int]:
    kept, found = crossings(wanted, before or {}, {profile.id: profile}, (), NEWEST, NOW)
    return kept, len(found)


def test_nothing_is_due_that_nobody_asked_for() -> None:
    old = Profile("A", "A", updates=(StateUpdate("Ignored", "2020-01-01T00:00:00Z"),))
    assert told(old, ExceptionsConfig()) == ({}, 0)


@pytest.mark.parametrize("state", ["Ignored", "ThirdParty", "Reviewed"])
def test_every_declared_state_is_an_exception(state: str) -> None:
    kept, found = told(Profile("A", "A", updates=(StateUpdate(state),)), ExceptionsConfig(comment_required=True))
    assert (list(kept), found) == (["A"], 1)


@pytest.mark.parametrize(
    "updates",
    [
        (),
        (StateUpdate("Default", "2020-01-01T00:00:00Z"),),
        (StateUpdate("Ignored", "2020-01-01T00:00:00Z"), StateUpdate("Default", "2020-01-02T00:00:00Z")),
        (StateUpdate("Ignored", None, at_unusable=True), StateUpdate("Default", "2020-01-02T00:00:00Z")),
    ],
)
def test_a_state_that_is_not_declared_or_not_certain_is_none(updates: tuple[StateUpdate, ...]) -> None:
    assert told(Profile("A", "A", updates=updates), ExceptionsConfig(1, True)) == ({}, 0)


def test_what_left_the_catalogue_is_remembered_while_it_may_return() -> None:
    wanted = ExceptionsConfig(comment_required=True)
    there = {"A": Profile("A", "A", updates=(StateUpdate("Ignored", "2026-01-01T00:00:00Z"),))}
    first, found = crossings(wanted, {}, there, (), NEWEST, NOW)
    assert len(found) == 1
    away, found = crossings(wanted, first, {}, ["A"], NEWEST, NOW)
    assert (away, found) == (first, [])
    assert crossings(wanted, away, there, (), NEWEST, NOW) == (first, [])
    assert crossings(wanted, first, {}, (), NEWEST, NOW) == ({}, [])
