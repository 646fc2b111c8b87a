"""Which units an entry of several has: met for the first time, seen again, missing, gone. Pure.

What a read of several units holds is laid beside the roster of those known. What lacks its rows while it is listed as
enabled proves that the read is not whole, never that something is gone. What the scores of a unit say is not judged
here (fold.py); the aggregate of all is in aggregate.py, what is told of a unit in unit_changes.py.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from attrs import evolve, frozen

from connector.clock import parse_iso
from connector.model import WHOLE, Absent, Change, Listed, Reading, Snapshot, Unchanged, Unit
from connector.observe import unit_changes

GONE_AFTER = timedelta(hours=24)
"""How long a unit must be gone before that is told: lists of what may be seen come and go."""
NAMED = 5


@frozen
class Met:
    """What a read means for the roster: `snapshots` are those to fold, by the unit's key, `changes` the units that came
    and went, each with its unit's key as subject.

    `no_data` are enabled subscriptions that never had a score; None where this read says nothing of it, so that what
    was known holds. `absent` says why the read is not whole, whatever its source thought of it.
    """

    roster: Mapping[str, Any]
    changes: tuple[Change, ...]
    snapshots: tuple[Snapshot, ...]
    no_data: tuple[Listed, ...] | None
    absent: Absent | None


def met(roster: Mapping[str, Any], reading: Reading, now: str) -> Met:
    """The roster after a read.

    A row has kind, id, name, score_name, model, `state` (of the subscription, as listed), `gone_since` ("" while it is
    there) and `whole`: whether a whole read ever was; all else in it is its reader's. The row of a unit whose removal
    is told is not in it any more. First contact tells no units: they are the baseline.
    """
    read = {unit_of(s).key: s for s in reading.units} if isinstance(reading.units, tuple) else {}
    missing = _missing(roster, reading, read)
    absent = reading.partial or _unread(reading) or (_incomplete(missing) if missing else None)
    first = not any(row.get("whole") for row in roster.values())
    rows: dict[str, Any] = {}
    told: list[Change] = []
    for key in sorted(roster.keys() | read.keys()):
        known, snapshot = roster.get(key), read.get(key)
        if snapshot is not None:
            row = _seen(known, unit_of(snapshot), reading.listed)
            if known is None and not first:
                told.append(unit_changes.unit_added(unit_of(snapshot), row["state"], snapshot, now))
            rows[key] = {**row, "whole": row["whole"] or not first or absent is None}
        elif known is not None:
            row = {**known, "whole": known.get("whole", False) or absent is None}
            if absent is None and key not in missing and known["kind"] not in WHOLE:
                row = _gone(row, reading, now)
            if absent is None and row["gone_since"] and _is_over(row["gone_since"], now):
                told.append(unit_changes.unit_removed(of_row(row), row["state"], row["gone_since"], now))
            else:
                rows[key] = row
    snapshots = tuple(read[key] for key in sorted(read))
    return Met(rows, tuple(told), snapshots, _no_data(rows, reading, read.values()), absent)


def of_row(row: Mapping[str, Any]) -> Unit:
    """The unit of a row."""
    return Unit(row["kind"], row["id"], row["name"], row["score_name"], row["model"])


def unit_of(snapshot: Snapshot) -> Unit:
    if snapshot.unit is None:
        raise ValueError("a snapshot among those of several units names none")
    return snapshot.unit


def is_enabled(subscription: Listed) -> bool:
    """Whether it counts; of one whose state is not stated nothing speaks against it."""
    return subscription.state.casefold() in ("", "enabled")


def _seen(known: Mapping[str, Any] | None, unit: Unit, listed: Any) -> dict[str, Any]:
    """The row of a unit that was read. A name that is not stated this time is the one it had."""
    before: Mapping[str, Any] = known or {}
    entry = listed.get(unit.id) if isinstance(listed, Mapping) else None
    named = entry.name if entry is not None and entry.name else unit.name
    return {
        **before,
        "kind": unit.kind,
        "id": unit.id,
        "name": named or before.get("name", ""),
        "score_name": unit.score,
        "model": unit.model,
        "state": entry.state if entry is not None else before.get("state", ""),
        "gone_since": "",
        "whole": before.get("whole", False),
    }


def _missing(roster: Mapping[str, Any], reading: Reading, read: Mapping[str, Snapshot]) -> list[str]:
    """The known units without rows that must have some: an organization, a subscription that is listed as enabled."""
    if not isinstance(reading.units, tuple):
        return []
    return [key for key, row in sorted(roster.items()) if key not in read and _must_be_there(row, reading.listed)]


def _must_be_there(row: Mapping[str, Any], listed: Any) -> bool:
    if row["kind"] in WHOLE:
        return bool(row["kind"] != "aggregate")  # which is computed, never read
    if isinstance(listed, Unchanged):
        return not row["gone_since"]
    entry = listed.get(row["id"]) if isinstance(listed, Mapping) else None
    return entry is not None and is_enabled(entry)


def _gone(row: Mapping[str, Any], reading: Reading, now: str) -> dict[str, Any]:
    """The row of a unit that a whole read does not hold. Where nothing was read anew it is as it was."""
    if not isinstance(reading.units, tuple):
        return dict(row)
    entry = reading.listed.get(row["id"]) if isinstance(reading.listed, Mapping) else None
    state = row["state"] if isinstance(reading.listed, Unchanged) else entry.state if entry is not None else ""
    return {**row, "state": state, "gone_since": min(row["gone_since"] or now, now)}


def _is_over(since: str, now: str) -> bool:
    return parse_iso(now) - parse_iso(since) >= GONE_AFTER


def _unread(reading: Reading) -> Absent | None:
    return next((part for part in (reading.units, reading.listed) if isinstance(part, Absent)), None)


def _incomplete(missing: list[str]) -> Absent:
    names = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
    return Absent(
        "incomplete",
        f"no score of {len(missing)} known unit{'s' if len(missing) > 1 else ''}: {names}",
        hint="nothing counts as removed until they are back; if they stay away, look at them in Defender for Cloud, or "
        "let them go: `securescore tenants forget TENANT --unit ID`",
    )


def _no_data(rows: Mapping[str, Any], reading: Reading, snapshots: Iterable[Snapshot]) -> tuple[Listed, ...] | None:
    """Enabled subscriptions without a score, now or before."""
    if not isinstance(reading.units, tuple) or not isinstance(reading.listed, Mapping):
        return None
    scored = {unit_of(s).id for s in snapshots} | {row["id"] for row in rows.values()}
    return tuple(entry for key, entry in sorted(reading.listed.items()) if is_enabled(entry) and key not in scored)


def named(snapshot: Snapshot, row: Mapping[str, Any]) -> Snapshot:
    """The snapshot with its unit called as the roster has it."""
    return evolve(snapshot, unit=of_row(row))
