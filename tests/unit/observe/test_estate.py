"""Units met, missing, gone and back: what a read of several proves, and what it does not."""

from collections.abc import Mapping
from typing import Any

import pytest

from connector.model import Absent, Control, Day, Listed, Reading, Snapshot, Unchanged, Unit
from connector.observe import estate

PROD, TEST, LAB = (f"{n}0000000-0000-0000-0000-000000000000" for n in "abc")
NOW, LATER, NEXT_DAY = "2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z", "2026-11-23T09:00:00Z"


def unit(subscription: str, name: str = "") -> Unit:
    return Unit("subscription", subscription, name, "ascScore", "classic")


def snapshot(subscription: str) -> Snapshot:
    day = Day(f"{subscription}_2026-11-22", "2026-11-22", 2.0, 4.0, {"c": Control("c", "", 2.0, 50.0)})
    return Snapshot("defender_cloud", (day,), {}, unit=unit(subscription))


def reading(*scored: str, states: Mapping[str, str] | None = None, **more: Any) -> Reading:
    """Subscriptions with a score; `states` are those of all that are listed (the same, enabled, where not given)."""
    states = dict.fromkeys(scored, "Enabled") if states is None else states
    entries = {key: Listed(key, f"name of {key[0]}", state) for key, state in states.items()}
    return Reading("defender_cloud", **{"units": tuple(map(snapshot, scored)), "listed": entries, **more})


def met(*reads: tuple[Reading, str]) -> estate.Met:
    seen = estate.Met({}, (), (), (), None)
    for read, now in reads:
        seen = estate.met(seen.roster, read, now)
    return seen


def told(seen: estate.Met) -> list[tuple[str, str]]:
    return [(change.type, change.subject) for change in seen.changes]


def test_first_contact_is_the_baseline() -> None:
    seen = met((reading(PROD, TEST), NOW))
    assert told(seen) == []
    assert [s.unit for s in seen.snapshots] == [unit(PROD), unit(TEST)]
    assert [estate.of_row(row) for row in seen.roster.values()] == [unit(PROD, "name of a"), unit(TEST, "name of b")]
    assert seen.absent is None


def test_a_unit_met_later_is_told_once() -> None:
    first, second = (reading(PROD), NOW), (reading(PROD, TEST), LATER)
    assert told(met(first, second)) == [("unit.added", f"{TEST}/ascScore")]
    assert told(met(first, second, second)) == []


def test_what_a_first_partial_read_lacked_is_no_news() -> None:
    partial = reading(PROD, partial=Absent("paging", "a page failed"))
    assert told(met((partial, NOW), (reading(PROD, TEST), LATER))) == []
    assert told(met((partial, NOW), (reading(PROD), NOW), (reading(PROD, TEST), LATER))) != []


def test_rows_missing_while_the_subscription_is_enabled_make_the_read_partial() -> None:
    seen = met((reading(PROD, TEST), NOW), (reading(PROD, states={PROD: "Enabled", TEST: "Enabled"}), NEXT_DAY))
    assert told(seen) == []
    assert seen.absent is not None
    assert seen.absent.reason == "incomplete"
    assert TEST in seen.absent.detail
    assert seen.roster[f"{TEST}/ascScore"]["gone_since"] == ""


@pytest.mark.parametrize(
    ("listed", "reason"),
    [({PROD: "Enabled"}, "not_listed"), ({PROD: "Enabled", TEST: "Disabled"}, "disabled")],
)
def test_a_unit_that_left_is_told_after_a_day(listed: dict[str, str], reason: str) -> None:
    gone = reading(PROD, states=listed)
    seen = met((reading(PROD, TEST), NOW), (gone, LATER))
    assert (told(seen), seen.absent) == ([], None)
    assert seen.roster[f"{TEST}/ascScore"]["gone_since"] == LATER
    assert told(met((reading(PROD, TEST), NOW), (gone, LATER), (gone, "2026-11-23T09:59:59Z"))) == []
    seen = met((reading(PROD, TEST), NOW), (gone, LATER), (gone, "2026-11-23T10:00:00Z"))
    assert told(seen) == [("unit.removed", f"{TEST}/ascScore")]
    assert (seen.changes[0].data["reason"], seen.changes[0].before) == (reason, LATER)
    assert list(seen.roster) == [f"{PROD}/ascScore"]


def test_a_unit_that_returns_within_a_day_was_never_gone() -> None:
    both, gone = reading(PROD, TEST), reading(PROD)
    seen = met((both, NOW), (gone, LATER), (both, "2026-11-22T11:00:00Z"), (gone, "2026-11-23T12:00:00Z"))
    assert told(seen) == []


def test_a_unit_that_returns_after_its_removal_is_added_anew() -> None:
    both, gone = reading(PROD, TEST), reading(PROD)
    first = met((both, NOW), (gone, LATER), (gone, "2026-11-24T00:00:00Z"), (both, "2026-11-25T00:00:00Z"))
    again = met((both, NOW), (gone, LATER), (gone, "2026-11-24T00:00:00Z"), (both, "2026-11-28T00:00:00Z"))
    assert told(first) == [("unit.added", f"{TEST}/ascScore")]
    assert first.changes[0].after != again.changes[0].after


def test_unchanged_bytes_let_the_day_of_a_unit_that_is_gone_pass() -> None:
    same = reading(units=Unchanged(), listed=Unchanged())
    seen = met((reading(PROD, TEST), NOW), (reading(PROD), LATER), (same, "2026-11-23T11:00:00Z"))
    assert told(seen) == [("unit.removed", f"{TEST}/ascScore")]
    assert seen.no_data is None
    assert told(met((reading(PROD, TEST), NOW), (same, NEXT_DAY))) == []


@pytest.mark.parametrize(
    "more",
    [{"partial": Absent("paging")}, {"listed": Absent("unavailable")}, {"units": Absent("unavailable")}],
    ids=["partial", "list", "units"],
)
def test_a_partial_read_removes_nothing(more: dict[str, Any]) -> None:
    partial = reading(PROD, **more)
    seen = met((reading(PROD, TEST), NOW), (partial, LATER), (partial, "2026-11-30T09:00:00Z"))
    assert (told(seen), len(seen.roster)) == ([], 2)
    assert seen.absent is not None


def test_a_unit_that_is_gone_is_not_removed_by_a_partial_read() -> None:
    partial = reading(PROD, partial=Absent("paging"))
    assert told(met((reading(PROD, TEST), NOW), (reading(PROD), LATER), (partial, "2026-11-25T09:00:00Z"))) == []


def test_enabled_subscriptions_without_a_score_have_no_data() -> None:
    listed = {PROD: "Enabled", TEST: "Enabled", LAB: "Warned"}
    seen = met((reading(PROD, states=listed), NOW))
    assert seen.no_data == (Listed(TEST, "name of b", "Enabled"),)
    assert seen.absent is None


def test_without_a_list_a_group_that_is_gone_is_removed_and_the_organization_never() -> None:
    whole = Unit("organization", PROD, "", "exposureScore")
    group = Unit("device_group", "7", "Servers", "exposureScore")
    day = Day("x_2026-11-22", "2026-11-22", 30.0, 100.0, {})

    def read(*units: Unit) -> Reading:
        return Reading("defender_endpoint", tuple(Snapshot("defender_endpoint", (day,), {}, unit=u) for u in units))

    seen = met((read(whole, group), NOW), (read(whole), LATER), (read(whole), "2026-11-24T09:00:00Z"))
    assert told(seen) == [("unit.removed", group.key)]
    seen = met((read(whole, group), NOW), (read(group), LATER), (read(group), "2026-11-24T09:00:00Z"))
    assert told(seen) == []
    assert seen.absent is not None


def test_what_others_keep_in_a_row_stays() -> None:
    seen = met((reading(PROD), NOW))
    kept = {key: {**row, "newest_day": "2026-11-22"} for key, row in seen.roster.items()}
    assert estate.met(kept, reading(PROD), LATER).roster[f"{PROD}/ascScore"]["newest_day"] == "2026-11-22"
