"""How much an event weighs, 0-10: the rules of mappings/severity.yaml over the event's data. Pure.

The rules are data; why a score moved is in explain.py.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from attrs import field, frozen

_Rule = tuple[Mapping[str, Any], Mapping[str, Any]]


@frozen
class SeverityRules:
    """Rules from mappings/severity.yaml in order; the first whose every condition holds decides, else `default`."""

    rules: tuple[Mapping[str, Any], ...]
    default: int = 3
    _by_type: dict[str, tuple[_Rule, ...]] = field(factory=dict, eq=False, repr=False, init=False)

    def of(self, event_type: str) -> tuple[_Rule, ...]:
        """The rules that may hold for a type, each with its other conditions. There are few types: kept."""
        found = self._by_type.get(event_type)
        if found is None:
            of_type = (rule for rule in self.rules if _is_type(rule.get("when", {}).get("type", "*"), event_type))
            found = tuple((rule, {k: v for k, v in rule.get("when", {}).items() if k != "type"}) for rule in of_type)
            self._by_type[event_type] = found
        return found


def severity(rules: SeverityRules, event_type: str, data: Mapping[str, Any]) -> int:
    """Severity 0-10 of an event; backfilled ones are always 0."""
    if data.get("backfilled"):
        return 0
    for rule, besides in rules.of(event_type):
        if holds(besides, event_type, data):
            return int(rule["severity"])
    return rules.default


def _is_type(wanted: Any, event_type: str) -> bool:
    return any(fnmatchcase(event_type, glob) for glob in _list(wanted))


def holds(when: Mapping[str, Any], event_type: str, data: Mapping[str, Any]) -> bool:
    control = data.get("control") or {}
    for key, wanted in when.items():
        if key == "type":
            if not _is_type(wanted, event_type):
                return False
        elif key == "direction":
            if data.get("direction") not in _list(wanted):
                return False
        elif key == "reason":
            if data.get("reason") not in _list(wanted):
                return False
        elif key == "tier":
            if str(control.get("tier", "")).casefold() not in [str(t).casefold() for t in _list(wanted)]:
                return False
        elif key == "threats":
            have = {str(t).casefold() for t in control.get("threats") or ()}
            if not have & {str(t).casefold() for t in _list(wanted)}:
                return False
        elif key == "state":
            if (data.get("after") or {}).get("state") not in _list(wanted):
                return False
        elif key == "cause":
            if (data.get("cause") or {}).get("label") not in _list(wanted):
                return False
        elif key == "points_lost_min":
            if _points_lost(data) < float(wanted):
                return False
        elif key == "share_lost_min":
            maximum = control.get("max_score") or (data.get("before") or {}).get("max")
            if not maximum or _points_lost(data) / maximum < float(wanted):
                return False
        elif key == "unit":
            if (data.get("unit") or {}).get("kind") not in _list(wanted):
                return False
        elif key == "lost_besides_below":
            if _lost_besides(data) >= float(wanted):
                return False
        else:
            raise ValueError(f"unknown severity condition {key!r}")
    return True


def _points_lost(data: Mapping[str, Any]) -> float:
    """The points lost; where a moved maximum explains a part of them, those that it does not explain."""
    if data.get("unit"):  # of an exposure less is better, and what stopped to apply is not lost
        return abs(float(data.get("delta") or 0.0)) if data.get("direction") == "regressed" else 0.0
    parts = (data.get("cause") or {}).get("parts")
    return _lost_besides(data, "catalogue") if parts else -float(data.get("delta") or 0.0)


def _lost_besides(data: Mapping[str, Any], label: str = "") -> float:
    """The points lost for other reasons than the one named."""
    cause = data.get("cause") or {}
    return -sum(float(p["points"]) for p in cause.get("parts") or () if p["label"] != (label or cause["label"]))


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
