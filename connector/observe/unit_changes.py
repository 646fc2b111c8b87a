"""The content of the events of units: values in, `Change` out. Pure; one function a type.

Whether and when to tell is decided in estate.py.
"""

from typing import Any

from connector.model import Change, Snapshot, Unit
from connector.observe.causes import Cause
from connector.observe.changes import score_info
from connector.observe.naming import KINDS, unit_called


def unit_added(unit: Unit, state: str, snapshot: Snapshot, now: str) -> Change:
    """A unit that is met after first contact; what it has then is its baseline."""
    day = snapshot.days[-1] if isinstance(snapshot.days, tuple) and snapshot.days else None
    data: dict[str, Any] = {
        "direction": "unchanged",
        "summary": f"{KINDS.get(unit.kind, unit.kind)} added: {unit_called(unit)}",
        "before": None,
        "after": {"state": state or None, "score_name": unit.score or None},
        "cause": _scope(unit, f"{unit_called(unit)} is listed{f' as {state}' if state else ''}"),
        "score": score_info(day) if day else None,
        "snapshot": day.id if day else None,
    }
    return Change("unit.added", unit.key, "", now[:10], now[:10], data)


def unit_removed(unit: Unit, state: str, since: str, now: str) -> Change:
    """A unit that is gone for good; `state` is that of a subscription still listed, which is then not enabled."""
    why = _listed_as(state)
    summary = f"{KINDS.get(unit.kind, unit.kind)} removed: {unit_called(unit)} {why}, without a score since {since}"
    return _removed(unit, state, since, now, summary, "disabled" if state else "not_listed")


def unit_forgotten(unit: Unit, state: str, since: str, now: str) -> Change:
    """A unit that an operator let go, whatever is listed; `since` is when it was first missed, "" if it was not."""
    summary = f"{KINDS.get(unit.kind, unit.kind)} removed: {unit_called(unit)} was forgotten by command"
    return _removed(unit, state, since or now, now, summary, "forgotten")


def _listed_as(state: str) -> str:
    return f"is listed as {state}" if state else "is not listed any more"


def _removed(unit: Unit, state: str, since: str, now: str, summary: str, reason: str) -> Change:
    data: dict[str, Any] = {
        "direction": "unchanged",
        "summary": summary,
        "reason": reason,
        "gone_since": since,
        "before": {"state": None, "score_name": unit.score or None},
        "after": {"state": state, "score_name": None} if state else None,
        "cause": _scope(unit, f"{unit_called(unit)} {_listed_as(state)}"),
    }
    return Change("unit.removed", unit.key, since, "", now[:10], data)


def _scope(unit: Unit, words: str) -> dict[str, Any]:
    return Cause("scope", "high", (f"{KINDS.get(unit.kind, unit.kind).lower()} {words}",)).as_data()
