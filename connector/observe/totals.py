"""The sums of one day: points measured and asserted, by category, service and tier, and how full controls are. Pure.

No comparison of days, no wording and no event live here.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from attrs import Factory, define

from connector.model import Control, Profile, Version, moved
from connector.observe import diff, groups


class _Row(NamedTuple):
    """What totals need of a control: points and maximum in units; control and profile where a state was ever set.

    `of_resources`: it states its own maximum.
    """

    groups: tuple[str, str, str]
    """Category, service and tier."""
    units: int | None
    top: int | None
    fullness: str
    of_resources: bool
    stated: tuple[Control, Profile] | None


@define
class _Group:
    """The controls of one category, service or tier: how many, their points and maxima in units, and of how many these
    are unknown. What is told of it stays one object until something moves.
    """

    controls: int = 0
    units: int = 0
    top: int = 0
    without_units: int = 0
    without_top: int = 0
    _told: dict[str, float | None] | None = None

    def add(self, units: int | None, top: int | None, times: int) -> None:
        self.controls += times
        if units is None:
            self.without_units += times
        else:
            self.units += times * units
        if top is None:
            self.without_top += times
        else:
            self.top += times * top
        self._told = None

    def told(self) -> Mapping[str, float | None]:
        """A sum is unknown as long as one of its parts is."""
        if self._told is None:
            score = None if self.without_units else self.units
            top = None if self.without_top else self.top
            self._told = {
                "score": None if score is None else diff.points(score),
                "max": None if top is None else diff.points(top),
                "percent": round(100.0 * score / top, 2) if top and score is not None else None,
            }
        return self._told


@define
class Tally:
    """Sums that go from one day to the next: what moved is taken away and added, all else stays.

    For days under one catalogue, in which a control that did not move is one object. All sums are whole numbers, so
    the way there makes no difference.
    """

    profiles: Mapping[str, Profile] = Factory(dict)
    _controls: Mapping[str, Control] = Factory(dict)
    _rows: dict[str, _Row] = Factory(dict)
    _stated: dict[str, tuple[Control, Profile]] = Factory(dict)
    _groups: tuple[dict[str, _Group], ...] = Factory(lambda: tuple({} for _ in groups.KINDS))
    _of_resources: int = 0
    _fullness: dict[str, int] = Factory(lambda: {"full": 0, "partial": 0, "zero": 0, "unknown": 0})

    def go_to(self, controls: Mapping[str, Control]) -> None:
        """The sums of these controls."""
        before, self._controls = self._controls, controls
        for name in moved(before, controls):
            self._take_away(name)
            row = self._rows[name] = _row(controls[name], self.profiles.get(name))
            self._add(row, 1)
            if row.stated is not None:
                self._stated[name] = row.stated
        if len(self._rows) != len(controls):
            for name in [name for name in self._rows if name not in controls]:
                self._take_away(name)

    def _take_away(self, name: str) -> None:
        row = self._rows.pop(name, None)
        if row is not None:
            self._add(row, -1)
            self._stated.pop(name, None)

    def _add(self, row: _Row, times: int) -> None:
        for of_kind, name in zip(self._groups, row.groups, strict=True):
            group = of_kind.get(name)
            if group is None:
                group = of_kind[name] = _Group()
            group.add(row.units, row.top, times)
            if not group.controls:
                del of_kind[name]
        self._fullness[row.fullness] = self._fullness.get(row.fullness, 0) + times
        self._of_resources += times * row.of_resources

    def stated(self, moment: str) -> tuple[int | None, int, int]:
        """Asserted points in units, and how many controls are asserted and ignored at a moment."""
        points: list[int | None] = []
        ignored = 0
        for control, profile in self._stated.values():
            state = diff.state_at(profile, moment).state
            if state in diff.ASSERTED:
                points.append(diff.stated_units(control, profile))
            elif state == "Ignored":
                ignored += 1
        known = [units for units in points if units is not None]
        return sum(known) if len(known) == len(points) else None, len(points), ignored

    def told(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """By category, service and tier, and how many controls are how full. Controls of resources are in no group."""
        shown = ({},) * len(self._groups) if self._of_resources else self._groups
        return [{name: g.told() for name, g in sorted(of.items())} for of in shown], dict(self._fullness)


def of_day(version: Version, profiles: Mapping[str, Profile] | None, tally: Tally | None = None) -> dict[str, Any]:
    """Points measured and asserted, by category, service and tier, and control counts of one day.

    Without a catalogue asserted and measured points are unknown (None), as are the points, or the maximum, of a group
    in which those of one control are unknown. `tally` may be shared by days under the same catalogue.
    """
    day = version.day
    if tally is None:
        tally = Tally(profiles or {})
    tally.go_to(day.controls)
    (by_category, by_service, by_tier), fullness = tally.told()
    units, asserted, ignored = tally.stated(version.until)
    if profiles is None:
        units = None
    measured = None
    if units is not None and day.score is not None:
        measured = diff.points(diff.fixed(day.score) - units)
    return {
        "points": {"measured": measured, "asserted": None if units is None else diff.points(units)},
        "by_category": by_category,
        "by_service": by_service if profiles else {},
        "by_tier": by_tier if profiles else {},
        "controls": {"total": len(day.controls), **fullness, "asserted": asserted, "ignored": ignored},
    }


def _row(control: Control, profile: Profile | None) -> _Row:
    maximum = diff.max_of(control, profile)
    return _Row(
        groups.groups_of(control, profile),
        None if control.score is None else diff.fixed(control.score),
        None if maximum is None else diff.fixed(maximum),
        _fullness(control),
        control.max_score is not None,
        (control, profile) if profile and _was_stated(profile) else None,
    )


def _was_stated(profile: Profile) -> bool:
    return any([update.state != diff.DEFAULT_STATE.state for update in profile.updates])  # noqa: C419 - most have one


def _fullness(control: Control) -> str:
    if control.max_score == 0:
        return "not_applicable"
    if control.percent is None:
        return "unknown"
    return "zero" if control.percent <= 0 else "full" if control.percent >= 100 else "partial"
