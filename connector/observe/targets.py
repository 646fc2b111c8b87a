"""Posture targets, told once per crossing: which are missed, and which are met again. Pure.

What is asked for is configuration (`TargetsConfig`); what the event says is in notices.py. Nothing here judges a day.
"""

from collections.abc import Mapping

from connector.config.values import TargetsConfig
from connector.model import Change, Profile, Version
from connector.observe import diff, notices, totals
from connector.observe.months import Days

_Check = tuple[str, str, float | None, float | None, bool | None]
"""A target looked at: kind, control, threshold, value, and whether it is met (None: cannot be said)."""


def crossings(
    targets: TargetsConfig,
    missed: dict[str, float],
    catalogue: Mapping[str, Profile] | None,
    closed: Days,
    before: Version | None,
    after: Version,
) -> list[Change]:
    """What is told of the targets at a new day or revision, `after`; `missed` is kept up to date.

    `missed` maps a missed target to the score at the miss; an overnight drop to the score it fell from. `closed` are
    the closed days.
    """
    found: list[Change] = []
    profiles = catalogue or {}
    ref = before.ref if before else ""
    percent = after.day.percent
    checks: list[_Check] = []
    if targets.percent_min is not None:
        checks.append(("percent_min", "", targets.percent_min, percent, _at_least(percent, targets.percent_min)))
    if targets.measured_percent_min is not None:
        measured = _measured_percent(after, profiles) if catalogue is not None else None
        wanted = targets.measured_percent_min
        checks.append(("measured_percent_min", "", wanted, measured, _at_least(measured, wanted)))
    if targets.drop_points is not None and before is not None:
        checks.append(_drop(missed, closed, targets.drop_points, before, after))
    for name in targets.controls:
        control = after.day.controls.get(name)
        maximum = diff.max_of(control, profiles.get(name))
        value = control.score if control else None
        met = None if control is None or control.percent is None else control.percent >= 100.0
        checks.append(("control", name, maximum, value, met))
        if control is None and missed.pop(f"control:{name}", None) is not None:
            found.append(notices.target_retired(name, ref, after, profiles.get(name)))
    for kind, name, threshold, value, met in checks:
        key = f"{kind}:{name}"
        if met is None or met == (key not in missed):
            continue
        if met:
            del missed[key]
        else:
            fallen = value if kind == "drop_points" and value is not None else 0.0
            missed[key] = round((after.day.score or 0.0) + fallen, 4)
        control = after.day.controls.get(name) if name else None
        found.append(
            notices.posture_target(
                met=met,
                kind=kind,
                threshold=threshold,
                value=value,
                before=ref,
                after=after,
                control=control,
                name=name or None,
                profile=profiles.get(name),
            )
        )
    return found


def _drop(missed: dict[str, float], closed: Days, limit: float, before: Version, after: Version) -> _Check:
    """An overnight drop is over when the score is back within the limit of where it fell from.

    The night lies between two days, however often the later one is revised. A second night is a second miss.
    """
    revised = before.day.day == after.day.day
    if revised:
        before = next(closed.before(after.day.day), before)
    if before.day.score is None or after.day.score is None:
        return ("drop_points", "", limit, None, None)
    if not revised and _is_drop(before.day.score - after.day.score, limit):
        missed.pop("drop_points:", None)
    height = missed.get("drop_points:", before.day.score)
    drop = round(height - after.day.score, 4)
    return ("drop_points", "", limit, drop, not _is_drop(drop, limit))


def _is_drop(points: float, limit: float) -> bool:
    return round(points, 4) >= max(limit, 0.0001)


def _at_least(value: float | None, wanted: float) -> bool | None:
    return None if value is None else round(value, 4) >= wanted


def _measured_percent(version: Version, profiles: Mapping[str, Profile]) -> float | None:
    """The percentage without asserted points: what was measured, of the whole maximum."""
    measured, day = totals.of_day(version, profiles)["points"]["measured"], version.day
    return None if measured is None or day.percent is None else 100.0 * measured / (day.max_score or 1.0)
