"""Controls by tenants: how each control stands in each of several tenants on its last observed day. Pure.

How a control stands, and what it lacks, is answered where the rest of a report asks, too (insurance.py, advice/).
"""

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from connector.advice.actions import to_win
from connector.model import OF_UNITS
from connector.observe import baseline, diff
from connector.report.insurance import standing
from connector.report.values import Material, Matrix, MatrixRow, Period

TENANTS = 20
"""So many of the weakest tenants stand side by side."""


@frozen
class Cell:
    """One control in one tenant; `units` are what it lacks, `deviates` whether its baseline is not met there."""

    title: str
    standing: str
    percent: float | None
    units: int | None
    deviates: bool = False


@frozen
class Column:
    """One tenant, and its scored controls by name."""

    tenant: str
    percent: float | None
    cells: Mapping[str, Cell]


def column(material: Material, when: Period) -> Column | None:
    """A tenant's controls; None where no day of the period is known, and of an entry of several units, whose controls
    are its subscriptions.
    """
    if material.source in OF_UNITS:
        return None
    versions = material.memory.between(when.start, when.end)
    if not versions:
        return None
    day, profiles = versions[-1].day, material.memory.profiles or {}
    asked = material.targets.baseline
    judged = [] if asked is None else baseline.judge(asked, material.memory.profiles, versions[-1])
    away = {one.control for one in judged if one.deviates}
    cells = {}
    for name, control in day.controls.items():
        profile = profiles.get(name)
        units = to_win(control, profile)
        title = (profile.title if profile else "") or name
        cells[name] = Cell(
            title,
            standing(control, profile),
            diff.rounded(control.percent),
            None if units is None else max(units, 0),
            name in away,
        )
    return Column(material.name, diff.rounded(day.percent), cells)


def weakest(columns: Iterable[Column]) -> list[Column]:
    """Those that a matrix has room for, weakest first."""
    return sorted(columns, key=lambda c: (c.percent is None, c.percent or 0.0, c.tenant))[:TENANTS]


def matrix(columns: Sequence[Column]) -> Matrix | None:
    """The controls of these tenants, what lacks most points first; None for fewer than two tenants."""
    if len(columns) < 2:
        return None
    titles = {name: cell.title for column in reversed(columns) for name, cell in column.cells.items()}
    rows = [_row(name, title, [column.cells.get(name) for column in columns]) for name, title in titles.items()]
    return Matrix(
        tuple(column.tenant for column in columns),
        tuple(sorted(rows, key=lambda r: (r.points is not None, -(r.points or 0.0), -r.open, r.control))),
    )


def _row(name: str, title: str, cells: Sequence[Cell | None]) -> MatrixRow:
    there = [cell for cell in cells if cell is not None]
    units = [cell.units for cell in there]
    return MatrixRow(
        control=name,
        title=title,
        open=sum(cell.units is None or cell.units > 0 for cell in there),
        scored=len(there),
        points=None if None in units else diff.points(sum(u for u in units if u is not None)),
        standings=tuple(None if cell is None else cell.standing for cell in cells),
        deviations=tuple(cell is not None and cell.deviates for cell in cells),
        percents=tuple(None if cell is None else cell.percent for cell in cells),
    )
