"""What a unit and its score are called in the words of an event. Pure.

What people of other languages read is written where it is read (connector/language).
"""

from connector.model import Unit

KINDS = {
    "subscription": "Subscription",
    "aggregate": "All subscriptions",
    "organization": "Organization",
    "device_group": "Device group",
}


def unit_called(unit: Unit) -> str:
    """A unit in words, e.g. "contoso-prod (20ff7fc3-…)"."""
    return f"{unit.name} ({unit.id})" if unit.name else unit.id


def score_called(unit: Unit | None) -> str:
    """A score in words; a tenant of Graph has one alone, so that it needs no more than its name."""
    if unit is None:
        return "Secure Score"
    if unit.kind == "aggregate":
        return "Cloud secure score of all subscriptions"
    if unit.lower_is_better:
        whose = f"device group {unit.name or unit.id}" if unit.kind == "device_group" else "all devices"
        return f"Exposure score of {whose}"
    other = "" if unit.score == "ascScore" else f" ({unit.score})"
    return f"Cloud secure score of {unit.name or unit.id}{other}"


def points_called(unit: Unit | None) -> str:
    """What its figures are counted in."""
    if unit is None or unit.kind == "subscription":
        return "points"
    return "points, lower is better" if unit.lower_is_better else "percentage points"
