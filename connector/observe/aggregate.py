"""The score over all subscriptions of a scope, computed as a day whose controls are the subscriptions. Pure.

percent = 100 x sum(weight x current / maximum) / sum(weight), over enabled subscriptions: a maximum of 0 counts as
nothing reached, a weight of 0 as 1. A subscription has its share of the hundred as maximum and what it brings of it as
points, so that days, storage and explanations are those of any other score. Its counts are the sums over its controls.
"""

from collections.abc import Mapping

from connector.model import SUBSCRIPTION, Control, Day, Listed, Profile, Snapshot, Unit
from connector.observe import estate

SCORE = "ascScore"
"""The score that is aggregated: other initiatives have scores of their own, over the same resources."""


def unit(tenant_id: str) -> Unit:
    """The aggregate over what an entry of a tenant covers."""
    return Unit("aggregate", tenant_id.lower(), "", SCORE, "classic")


def day(units: Mapping[Unit, Day], listed: Mapping[str, Listed], tenant_id: str, day: str) -> Day:
    """The aggregate of the newest days of the known units.

    One that is listed as anything but enabled does not count; one that is not listed does, until it is known to be
    gone. Without any subscription that has a score the aggregate is unknown.
    """
    counted = {
        one.id: found
        for one, found in sorted(units.items(), key=lambda item: item[0].key)
        if one.kind == "subscription" and one.score == SCORE and _counts(listed.get(one.id), found)
    }
    weights = {name: max(found.weight or 0.0, 0.0) or 1.0 for name, found in counted.items()}
    whole = sum(weights.values())
    controls = {name: _control(name, found, weights[name] / whole) for name, found in counted.items()}
    score = sum(weights[name] * _reached(found) for name, found in counted.items()) / whole * 100.0 if counted else None
    return Day(
        id=f"{tenant_id.lower()}_{day}",
        day=day,
        score=None if score is None else round(score, 4),
        max_score=100.0 if counted else None,
        controls=controls,
        detailed=True,
        weight=whole or None,
    )


def snapshot(
    units: Mapping[Unit, Day], listed: Mapping[str, Listed], tenant_id: str, today: str, source: str = "defender_cloud"
) -> Snapshot:
    """The aggregate as if it had been read; its catalogue says what the subscriptions are called."""
    found = day(units, listed, tenant_id, today)
    names = {one.id: one.name for one in units}
    profiles = {
        name: Profile(name, (listed[name].name if name in listed else "") or names[name] or name, service="Azure")
        for name in found.controls
    }
    return Snapshot(source, (found,) if found.controls else (), profiles, unit=unit(tenant_id))


def _counts(entry: Listed | None, found: Day) -> bool:
    if entry is not None and not estate.is_enabled(entry):
        return False
    return found.score is not None and found.max_score is not None


def _reached(found: Day) -> float:
    """The share (0-1) of its maximum that a subscription has."""
    return (found.score or 0.0) / found.max_score if found.max_score else 0.0


def _control(name: str, found: Day, share: float) -> Control:
    reached = _reached(found)
    return Control(
        name,
        SUBSCRIPTION,
        score=round(100.0 * share * reached, 4),
        percent=round(100.0 * reached, 4),
        count=_sum([c.count for c in found.controls.values()]),
        total=_sum([c.total for c in found.controls.values()]),
        not_applicable=_sum([c.not_applicable for c in found.controls.values()]),
        max_score=round(100.0 * share, 4),
    )


def _sum(counts: list[int | None]) -> int | None:
    """The sum of what is known of all; None where something is not."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
