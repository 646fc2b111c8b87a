"""Which posture targets one version of a day meets. Pure.

What is told when that changes is in targets.py, and so is an overnight drop, which takes two days.
"""

from collections.abc import Iterator, Mapping

from attrs import frozen

from connector.config.values import TargetsConfig
from connector.model import Profile, Unit, Version
from connector.observe import diff, totals

Catalogue = Mapping[str, Profile] | None

PERCENT, MEASURED = "percent_min", "measured_percent_min"
"""The two floors: with asserted points, and without."""


@frozen
class Check:
    """A target looked at, and whether it is met (None: cannot be said); `control` is "" where it names none."""

    kind: str
    control: str
    threshold: float | None
    value: float | None
    met: bool | None


def floors(targets: TargetsConfig, catalogue: Catalogue, version: Version, unit: Unit | None = None) -> Iterator[Check]:
    """Those of the percentage, with and without asserted points; of an exposure, where less is better, its ceiling."""
    if unit is not None and unit.lower_is_better:
        if targets.exposure_max is not None:
            score = version.day.score
            met = None if score is None else round(score, 4) <= targets.exposure_max
            yield Check("exposure_max", "", targets.exposure_max, score, met)
        return
    for kind, wanted in ((PERCENT, targets.percent_min), (MEASURED, targets.measured_percent_min)):
        if wanted is not None:
            value = percent(kind, catalogue, version)
            yield Check(kind, "", wanted, value, at_least(value, wanted))


def controls(targets: TargetsConfig, catalogue: Catalogue, version: Version) -> Iterator[Check]:
    """Those of controls that must keep full points."""
    for name in targets.controls:
        control = version.day.controls.get(name)
        maximum = diff.max_of(control, (catalogue or {}).get(name))
        value = control.score if control else None
        met = None if control is None or control.percent is None else control.percent >= 100.0
        if control is not None and control.max_score == 0:
            met = None  # it applies to nothing
        yield Check("control", name, maximum, value, met)


def percent(kind: str, catalogue: Catalogue, version: Version) -> float | None:
    """The percentage that a floor of this kind is about; None where it cannot be said."""
    if kind == PERCENT:
        return version.day.percent
    return None if catalogue is None else _measured_percent(version, catalogue)


def at_least(value: float | None, wanted: float) -> bool | None:
    return None if value is None else round(value, 4) >= wanted


def _measured_percent(version: Version, catalogue: Mapping[str, Profile]) -> float | None:
    """The percentage without asserted points: what was measured, of the whole maximum."""
    measured, day = totals.of_day(version, catalogue)["points"]["measured"], version.day
    return None if measured is None or day.percent is None else 100.0 * measured / (day.max_score or 1.0)
