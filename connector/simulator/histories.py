"""How a control's state history looks from outside: what of it is there at a minute, and how Graph lists it.

What is in force never depends on any of this: entries only turn up late, lose dates or words, or stand in another
order. No I/O, no clock.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from attrs import evolve

from connector.simulator.catalogue import Entry
from connector.simulator.chance import rng, share
from connector.simulator.habits import Habits
from connector.simulator.tenants import DAY, Update

_NEVER_TOUCHED = {"assignedTo": None, "comment": None, "state": "Default", "updatedBy": None, "updatedDateTime": None}
_ODD_STATES = ("Planned", "thirdPartyMitigation", "")
_MONTH = 30 * DAY


def there(history: Sequence[Update], name: str, habits: Habits, minute: int) -> list[Update]:
    """The entries that exist at a minute, oldest first (of one minute: in the order of writing)."""
    known = sorted((u for u in history if u.minute <= minute), key=lambda u: u.minute)
    if not known or not (habits.commented or habits.inserted):
        return known
    more = []
    ends = [*(later.minute for _, later in pairwise(known)), minute + 1]
    for number, (update, end) in enumerate(zip(known, ends, strict=True)):
        again = update.minute + DAY + int(share("again", name, number) * 5 * DAY)
        if share("commented", name, number) < habits.commented and again < min(end, minute + 1):
            more.append(evolve(update, minute=again, comment=f"{update.comment} (reviewed)"))
        if number == 0 and share("inserted", name) < habits.inserted and update.minute + 2 * DAY <= minute:
            more.append(evolve(update, minute=update.minute - DAY, state="Ignored", comment="entered later"))
    return sorted([*known, *more], key=lambda u: u.minute)


def listed(
    start: datetime, entry: Entry, updates: Sequence[Update], habits: Habits, minute: int
) -> list[dict[str, Any]]:
    """`controlStateUpdates` of a profile at a minute, from its entries, oldest first."""
    if not updates:
        return [] if share("no history", entry.id) < 0.02 else [dict(_NEVER_TOUCHED)]
    if updates[0].minute < 0 and share("odd", entry.id) < habits.odd_states:
        odd = _ODD_STATES[int(share("odd state", entry.id) * len(_ODD_STATES))]
        updates = [evolve(updates[0], minute=updates[0].minute - 10 * DAY, state=odd), *updates]
    undated, shortened = _undated(entry, updates, habits), share("shortened", entry.id) < habits.shortened
    rows = [_row(start, entry, update, habits, minute) for update in updates]
    for row in rows[:undated]:
        row["updatedDateTime"] = None
    gone = max(0, len(rows) - 1 - int(share("kept", entry.id) * 3)) if shortened else 0
    first = max(gone, undated)
    untouched = [] if shortened else [dict(_NEVER_TOUCHED)]
    return _ordered(entry, [*untouched, *rows[gone:first]], rows[first:], updates[first:], habits)


def _undated(entry: Entry, updates: Sequence[Update], habits: Habits) -> int:
    """How many entries have no date. They are the first ones, so that what is in force stays in force."""
    if share("forgotten", entry.id) < habits.forgotten_dates:
        return max(0, len(updates) - 1)
    if share("undated", entry.id) < habits.undated:
        return sum(update.minute < 0 for update in updates)
    return 0


def _ordered(
    entry: Entry, undated: list[dict[str, Any]], dated: list[dict[str, Any]], updates: Sequence[Update], habits: Habits
) -> list[dict[str, Any]]:
    """Newest first, or in no order, for a share of the controls; entries of one minute stay as they were written."""
    luck = share("order", entry.id)
    if luck >= habits.unordered:
        return [*undated, *dated]
    pairs = zip(updates, dated, strict=True)
    groups = [[row for _, row in group] for _, group in groupby(pairs, key=lambda pair: pair[0].minute)]
    if luck < habits.unordered / 2:
        return [*(row for group in reversed(groups) for row in group), *undated]
    rng("shuffle", entry.id, len(groups)).shuffle(groups)
    return [*undated, *(row for group in groups for row in group)]


def _row(start: datetime, entry: Entry, update: Update, habits: Habits, minute: int) -> dict[str, Any]:
    again = share("respelled", entry.id) < habits.respelled and minute // _MONTH % 2 == 1
    lower = (share("casing", entry.id) < 0.2) ^ again
    fraction = ".1234567" if (share("fraction", entry.id, update.minute) < 0.5) ^ again else ""
    return {
        "assignedTo": update.assigned_to or None,
        "comment": (f"{update.comment} [migrated]" if again else update.comment) or None,
        "state": (camel(update.state) if lower else update.state) or None,
        "updatedBy": update.by,
        "updatedDateTime": moment(start, update.minute).replace("Z", f"{fraction}Z"),
    }


def camel(state: str) -> str:
    return state[:1].lower() + state[1:]


def moment(start: datetime, minute: int) -> str:
    return (start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")
