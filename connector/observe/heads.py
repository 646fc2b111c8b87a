"""What the head of an entry says after a read, and what a source may know of it before the next one. Pure.

The head is the small part of a state that every poll and `status` read (memory.py). What is wrong with a feed is in the
poller, what a failed poll leaves there, too.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from connector.model import Absent, Known, Reading, Snapshot, Unchanged
from connector.observe.estate import Met
from connector.observe.guard import AHEAD, tomorrow
from connector.observe.memory import Memory
from connector.observe.units import roster

MAX_NOTES, MAX_NOTE_CHARS = 50, 1_000
"""What is remembered of a tenant's notes, for `status`; the log has them all."""
MAX_NO_DATA = 100
"""So many subscriptions without a score are named; of further ones the number is told."""


def known(head: Mapping[str, Any], language: str, now: str) -> Known:
    """What the source may know. Bytes are read anew while a refusal or a doubt waits, or when the language changed."""
    reread = head.get("refusal") or head.get("doubted_at") or head.get("language", language) not in ("", language)
    reread = reread or any(
        refusal["reason"] == AHEAD and day <= tomorrow(now) for day, refusal in head.get("standing", {}).items()
    )
    reread = reread or any(row.get("read") == "" for row in roster(head).values())
    return Known(
        newest_day=head.get("newest"),
        had_days=head.get("newest") is not None,
        had_profiles=bool(head.get("had_profiles")),
        pages={} if reread else head.get("pages", {}),
        days_missing=bool(head.get("days_missing")),
    )


def after(head: Mapping[str, Any], snapshot: Snapshot, problems: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The head's values after a read; a part that was absent keeps its earlier page hashes out of the comparison."""
    lacking = list(snapshot.incomplete.values())
    days_missing = bool(head.get("days_missing")) if isinstance(snapshot.days, Absent) else "days" in snapshot.partial
    parts = {"days": snapshot.days, "catalogue": snapshot.catalogue}
    same = {name for name, part in parts.items() if isinstance(part, Unchanged)}
    if same and not any(isinstance(part, tuple | Mapping) for part in parts.values()):
        same.add("")
    return {
        **_of_read(head, snapshot, lacking, same, problems, now),
        "had_profiles": bool(head.get("had_profiles")) or not isinstance(snapshot.catalogue, Absent),
        "days_missing": days_missing,
    }


def after_units(
    head: Mapping[str, Any], reading: Reading, met: Met, problems: Mapping[str, Any], now: str
) -> dict[str, Any]:
    """The same after a read of several units; `no_data` are the subscriptions that have no score."""
    same = {"", "days", "catalogue"} if isinstance(reading.units, Unchanged) else set()
    values = _of_read(head, reading, [met.absent] if met.absent else [], same, problems, now)
    if met.no_data is not None:
        first = [[entry.id, entry.name] for entry in met.no_data[:MAX_NO_DATA]]
        values["no_data"] = {"count": len(met.no_data), "first": first}
    return values


def _of_read(
    head: Mapping[str, Any],
    read: Snapshot | Reading,
    lacking: Sequence[Absent],
    same: set[str],
    problems: Mapping[str, Any],
    now: str,
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "pages": dict(read.pages),
        "failures": 0,
        "error": words(lacking) if lacking else None,
        "reason": lacking[0].reason if lacking else None,
        "hint": hint(lacking),
        "notes": _notes(head, read, same),
        "last_attempt": now,
        "problems": dict(problems),
    }
    if not lacking:
        values["last_success"] = now
    return values


def _notes(head: Mapping[str, Any], read: Snapshot | Reading, same: set[str]) -> list[list[str]]:
    """What is noted of the input now, as (part, text): what was read anew, and as before of the parts that are the
    `same`.
    """
    kept = [(part, text) for part, text in head.get("notes", ()) if part in same]
    fresh = [(note.part, note.text) for note in read.notes]
    return [[part, shown(text)] for part, text in list(dict.fromkeys([*kept, *fresh]))[:MAX_NOTES]]


def shown(text: str) -> str:
    return text if len(text) <= MAX_NOTE_CHARS else text[: MAX_NOTE_CHARS - 1] + "…"


def is_stale(head: Mapping[str, Any]) -> bool:
    """Whether the feed stands still, as its open problem says."""
    return any(problem["type"] == "feed.stale" for problem in head.get("problems", {}).values())


def words(lacking: Sequence[Absent]) -> str:
    """Why parts are lacking; one file may spoil both."""
    return "; ".join(dict.fromkeys(f"{part.reason}: {part.detail}" for part in lacking))


def hint(lacking: Sequence[Absent]) -> str:
    return " ".join(dict.fromkeys(part.hint for part in lacking if part.hint))


def trend(known: Memory) -> dict[str, Any]:
    """The percentage of the newest day, and that of a week before it, for those who only look: {day: percent}.

    A week before is the latest known day at least seven days old, and no older than two weeks.
    """
    if known.newest is None:
        return {}
    newest = date.fromisoformat(known.newest.day.day)
    from_day, to_day = newest - timedelta(days=14), newest - timedelta(days=7)
    before = next(known.before((to_day + timedelta(days=1)).isoformat()), None)
    days = [known.newest.day]
    if before is not None and before.day.day >= from_day.isoformat():
        days.append(before.day)
    return {day.day: round(day.percent, 4) for day in days if day.percent is not None}
