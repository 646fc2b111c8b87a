"""Closed days by date, kept a month at a time, and days as JSON. No decisions and no I/O.

A stored month is decoded when somebody asks for one of its days, so that what is derived never depends on how much of
the past happens to be decoded. How a whole tenant is remembered is memory.py.
"""

import zlib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from attrs import Factory, define

from connector.errors import TenantDamaged
from connector.formats import gzipped, jsonl
from connector.model import Average, Control, Day, Version


@define(eq=False)
class _Month:
    """The days of one month: encoded, decoded, or both. Never changed in place, so that copies may share it."""

    name: str
    body: bytes | None = None
    versions: dict[str, Version] | None = None

    def read(self) -> dict[str, Version]:
        if self.versions is None:
            assert self.body is not None
            self.versions = _decoded(self.body, self.name)
        return self.versions


@define(eq=False)
class Days(MutableMapping[str, Version]):
    """Closed days by date, oldest first. Of the stored months only those are decoded that are asked for."""

    months: dict[str, _Month] = Factory(dict)

    @classmethod
    def of(cls, days: Mapping[str, Version]) -> "Days":
        """A copy that may be changed."""
        if isinstance(days, Days):
            return cls(dict(days.months))
        made = cls()
        made.update(days)
        return made

    @classmethod
    def stored(cls, bodies: Mapping[str, bytes]) -> "Days":
        """Those of encoded months (YYYY-MM)."""
        return cls({month: _Month(month, body) for month, body in bodies.items()})

    def __getitem__(self, day: str) -> Version:
        return self._month(day)[day]

    def __setitem__(self, day: str, version: Version) -> None:
        self.months[day[:7]] = _Month(day[:7], versions={**self._month(day), day: version})

    def __delitem__(self, day: str) -> None:
        self.months[day[:7]] = _Month(day[:7], versions={d: v for d, v in self._month(day).items() if d != day})

    def __iter__(self) -> Iterator[str]:
        for month in sorted(self.months):
            yield from sorted(self.months[month].read())

    def __len__(self) -> int:
        return sum(len(month.read()) for month in self.months.values())

    def before(self, day: str) -> Iterator[Version]:
        """Those before a day, latest first."""
        for month in sorted((m for m in self.months if m <= day[:7]), reverse=True):
            found = self.months[month].read()
            yield from (found[known] for known in sorted(found, reverse=True) if known < day)

    def after(self, day: str) -> Iterator[Version]:
        """Those after a day, earliest first."""
        for month in sorted(m for m in self.months if m >= day[:7]):
            found = self.months[month].read()
            yield from (found[known] for known in sorted(found) if known > day)

    def encoded(self, old: "Days") -> dict[str, bytes | None]:
        """The months that differ from those of `old`, encoded; None for one without days."""
        found: dict[str, bytes | None] = {}
        for month, held in self.months.items():
            was = old.months.get(month)
            if held is was:
                continue
            if held.body is not None:
                if was is None or was.body != held.body:
                    found[month] = held.body
            elif held.read().items() != (was.read().items() if was else ()):
                versions = held.read()
                rows = [versions[day] for day in sorted(versions)]
                found[month] = dumps(_month_data(rows)) if rows else None
        return found

    def _month(self, day: str) -> dict[str, Version]:
        held = self.months.get(day[:7])
        return {} if held is None else held.read()


PARTS_KNOWN = 8
"""So many months, and catalogues, are kept as they were decoded last: between two polls of a few tenants most of what
is stored stays as it is. Nobody changes them in place."""


@lru_cache(maxsize=PARTS_KNOWN)
def _decoded(body: bytes, month: str) -> dict[str, Version]:
    try:
        return {version.day.day: version for version in _month(loads(body, f"days/{month}"))}
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise damaged("of a tenant", error) from error


# -------------------------------------------------------------------------------------------------- values ↔ JSON


_NOTHING_MORE = (None,) * 6


def control_row(control: Control) -> list[Any]:
    if control[4:] == _NOTHING_MORE:  # most days of history
        return list(control[:4])
    row = list(control)
    while row[-1] is None:
        row.pop()
    return row


def _month_data(versions: Sequence[Version]) -> dict[str, Any]:
    """Closed days; a control's row is written once and referred to by every day on which it was the same."""
    rows: dict[Control, int] = {}
    places: dict[int, int] = {}  # by identity: in one read, what did not move is one object
    days = []
    for version in versions:
        controls = version.day.controls.values()
        numbers = [places.get(id(control)) for control in controls]
        if None in numbers:
            for control in controls:
                if id(control) not in places:
                    places[id(control)] = rows.setdefault(control, len(rows))
            numbers = [places[id(control)] for control in controls]
        days.append({**version_data(version, with_controls=False), "controls": numbers})
    return {"rows": [control_row(c) for c in rows], "days": days}


def _month(data: Mapping[str, Any]) -> list[Version]:
    controls = [Control(*row) for row in data["rows"]]
    return [version_of(day, [controls[n] for n in day["controls"]]) for day in data["days"]]


def version_data(version: Version, *, with_controls: bool = True) -> dict[str, Any]:
    day = version.day
    return {
        "id": day.id,
        "day": day.day,
        "score": day.score,
        "max": day.max_score,
        "controls": [control_row(c) for c in day.controls.values()] if with_controls else [],
        "services": day.services,
        "active": day.active_users,
        "licensed": day.licensed_users,
        "averages": [[a.basis, a.percent, dict(a.detail)] for a in day.averages],
        "flags": day.flags,
        "detailed": day.detailed,
        "hash": version.hash,
        "revision": version.revision,
        **({"seen": version.seen} if version.seen else {}),
        **({"weight": day.weight} if day.weight is not None else {}),
    }


def version_of(data: Mapping[str, Any], controls: Sequence[Control]) -> Version:
    day = Day(
        id=data["id"],
        day=data["day"],
        score=data["score"],
        max_score=data["max"],
        controls={control.name: control for control in controls},
        services=tuple(data["services"]),
        active_users=data["active"],
        licensed_users=data["licensed"],
        averages=tuple(Average(*a) for a in data["averages"]),
        flags=tuple(data["flags"]),
        detailed=data["detailed"],
        weight=data.get("weight"),
    )
    return Version(day, data["hash"], data["revision"], data.get("seen", ""))


def dumps(value: Any) -> bytes:
    return gzipped.deflate(jsonl.dumps(value).encode())


def loads(body: bytes, part: str, *, packed: bool = True) -> Any:
    try:
        return jsonl.loads(gzipped.inflate(body) if packed else body)
    except (ValueError, RecursionError, zlib.error) as error:
        raise damaged(f"part {part!r} of a tenant", error) from error


def damaged(what: str, error: Exception) -> TenantDamaged:
    return TenantDamaged(
        f"the stored memory {what} is damaged: {type(error).__name__}: {error}",
        "the next poll sets it aside and goes on without it; to have it back, restore the backup of the state",
    )
