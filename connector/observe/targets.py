"""Posture targets, told once per crossing: which are missed, and which are met again. Pure.

What is asked for is configuration (`TargetsConfig`); which targets one version meets is in standing.py, what the event
says in notices.py. Nothing here judges a day.
"""

from collections.abc import Mapping

from connector.config.values import TargetsConfig
from connector.model import Change, Profile, Unit, Version
from connector.observe import diff, notices, standing
from connector.observe.months import Days
from connector.observe.standing import Check


def crossings(
    targets: TargetsConfig,
    missed: dict[str, float],
    catalogue: Mapping[str, Profile] | None,
    closed: Days,
    before: Version | None,
    after: Version,
    unit: Unit | None = None,
) -> list[Change]:
    """What is told of the targets at a new day or revision, `after`; `missed` is kept up to date.

    `missed` maps a missed target to the score at the miss; an overnight drop to the score it fell from. `closed` are
    the closed days.
    """
    found: list[Change] = []
    profiles = catalogue or {}
    ref = before.ref if before else ""
    checks = list(standing.floors(targets, catalogue, after, unit))
    if targets.drop_points is not None and before is not None:
        checks.append(_drop(missed, closed, targets.drop_points, before, after, unit))
    checks += standing.controls(targets, catalogue, after)
    found += [
        notices.target_retired(name, ref, after, profiles.get(name))
        for name in targets.controls
        if name not in after.day.controls and missed.pop(f"control:{name}", None) is not None
    ]
    for check in checks:
        key = f"{check.kind}:{check.control}"
        if check.met is None or check.met == (key not in missed):
            continue
        if check.met:
            del missed[key]
        else:
            fallen = check.value if check.kind == "drop_points" and check.value is not None else 0.0
            fallen = -fallen if unit is not None and unit.lower_is_better else fallen
            missed[key] = round((after.day.score or 0.0) + fallen, 4)
        found.append(
            notices.posture_target(
                met=check.met,
                kind=check.kind,
                threshold=check.threshold,
                value=check.value,
                before=ref,
                after=after,
                control=after.day.controls.get(check.control) if check.control else None,
                name=check.control or None,
                profile=profiles.get(check.control),
                unit=unit,
            )
        )
    return found


def _drop(
    missed: dict[str, float], closed: Days, limit: float, before: Version, after: Version, unit: Unit | None
) -> Check:
    """An overnight drop is over when the score is back within the limit of where it fell from.

    The night lies between two days, however often the later one is revised. A second night is a second miss. Points
    that went with the maximum of a control which applies to nothing any more are no drop; of an exposure a rise is.
    """
    revised = before.day.day == after.day.day
    if revised:
        before = next(closed.before(after.day.day), before)
    if before.day.score is None or after.day.score is None:
        return Check("drop_points", "", limit, None, None)
    sign = -1.0 if unit is not None and unit.lower_is_better else 1.0
    went = diff.points(diff.by_applicability(diff.contributions(before.day, after.day))) if unit is not None else 0.0
    start = before.day.score + went
    if not revised and _is_drop(sign * (start - after.day.score), limit):
        missed.pop("drop_points:", None)
    height = missed.get("drop_points:", start)
    drop = round(sign * (height - after.day.score), 4)
    return Check("drop_points", "", limit, drop, not _is_drop(drop, limit))


def _is_drop(points: float, limit: float) -> bool:
    return round(points, 4) >= max(limit, 0.0001)
