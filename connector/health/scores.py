"""The score of each tenant as figures for /metrics: the last revision of the newest day, as its event told it. Pure.

Nothing is computed here that an event does not say, but for the points still to win. Every figure that is not known is
left out, never zero. Categories and controls are bounded, so that no tenant can make a scrape endless.
"""

from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any

from attrs import Factory, frozen

from connector.foreign.characters import harmless
from connector.model import EXPOSURE, WHOLE, Day, Event

MAX_CATEGORIES = 12
MAX_CONTROLS = 500
"""Of one tenant; Microsoft scores some 230."""
MAX_CONTROL_FIGURES = 50_000
"""Of all tenants together: where there are more, the last tenants have none."""
MAX_UNITS = 1_000
"""Of one entry, in the order of their ids; `securescore_units` says how many there are."""
MAX_UNIT_FIGURES = 50_000
"""Of all entries together: where there are more units, the last entries have none."""
LOOKED_AT = 10
"""So many of the latest score.observed are looked at: a day that came late is not the newest."""


@frozen
class UnitScore:
    """One subscription's or device group's figures; an exposure has `exposure` and nothing else."""

    kind: str
    id: str
    name: str
    points: float | None = None
    max_points: float | None = None
    percent: float | None = None
    exposure: float | None = None


@frozen
class Score:
    """One tenant's figures. `categories`: points and percent by name; `controls`: points by name, where asked for.

    An exposure, of which less is better, is no score of that kind: it has `exposure` and nothing else.
    """

    day: str
    points: float | None = None
    max_points: float | None = None
    percent: float | None = None
    asserted: float | None = None
    categories: Mapping[str, tuple[float | None, float | None]] = Factory(dict)
    controls: Mapping[str, float] = Factory(dict)
    exposure: float | None = None
    units: tuple[UnitScore, ...] = ()
    """Those below an entry of several units, MAX_UNITS at most; none for a tenant that is one unit."""
    units_known: int | None = None
    """How many there are of them; None for a tenant that is one unit."""

    @property
    def to_win(self) -> float | None:
        if self.points is None or self.max_points is None:
            return None
        return round(max(0.0, self.max_points - self.points), 4)


def newest(events: Iterable[Event]) -> Score | None:
    """The score of the newest day among these score.observed, given the latest first; None when there is none."""
    found = [event for event in events if event.data.get("day")]
    if not found:
        return None
    return _of(max(found, key=lambda event: str(event.data["day"])).data)  # of equal days the first: the last revision


def controls_of(day: Day) -> dict[str, float]:
    """The points of each control."""
    known = ((harmless(name)[:128], control.score) for name, control in sorted(day.controls.items()))
    return (
        {name: score for name, score in known if score is not None and name}
        if len(day.controls) <= MAX_CONTROLS
        else {}
    )


def of_units(rows: Iterable[Mapping[str, Any]]) -> tuple[int, tuple[UnitScore, ...]]:
    """How many units are below an entry, and the figures of the first; `rows` as overview.unit_rows has them.

    What stands for the whole of an entry is the entry's own score, and what is gone has none any more.
    """
    there = [row for row in rows if row["unit"]["kind"] not in WHOLE and row["gone_since"] is None]
    there.sort(key=lambda row: (row["unit"]["id"], row["unit"]["score"] or ""))
    return len(there), tuple(_of_unit(row) for row in there[:MAX_UNITS])


def _of_unit(row: Mapping[str, Any]) -> UnitScore:
    unit = row["unit"]
    called = intern(unit["kind"]), harmless(unit["id"])[:128], harmless(unit["name"] or "")[:128]
    if unit["score"] == EXPOSURE:
        return UnitScore(*called, exposure=_number(row["score"]))
    return UnitScore(*called, _number(row["score"]), _number(row["max"]), _number(row["percent"]))


def _of(data: Mapping[str, Any]) -> Score:
    score, points = _map(data.get("score")), _map(data.get("points"))
    if _map(data.get("unit")).get("score") == EXPOSURE:
        return Score(day=str(data["day"]), exposure=_number(score.get("current")))
    categories = {
        intern(harmless(str(name))[:64]): (  # thousands of tenants share a handful of names
            _number(_map(each).get("score")),
            _number(_map(each).get("percent")),
        )
        for name, each in list(_map(data.get("by_category")).items())[:MAX_CATEGORIES]
    }
    return Score(
        day=str(data["day"]),
        points=_number(score.get("current")),
        max_points=_number(score.get("max")),
        percent=_number(score.get("percent")),
        asserted=_number(points.get("asserted")),
        categories=categories,
    )


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
