"""Between any two known days: which points moved, and why, step by step as it was told. Pure.

`securescore explain` and the report ask here. A step is two adjacent known days. What a committed event said of it
holds as it was said, since the event saw more than is kept: the catalogue of that hour, revisions that are gone. Where
no event tells, stored days do. What one step means is in explain.py; nothing here decides what is told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from attrs import frozen

from connector.model import Control, Event, Profile, Unit, Version
from connector.observe import changes, diff, explain
from connector.observe.causes import Cause, Context, Share
from connector.observe.explain import Move

TELLING = ("control.score_changed", "control.added", "control.removed")
TYPES = ("score.changed", *TELLING)
"""The committed events that say why points moved; a state that was set says why only where points followed."""


@frozen
class Told:
    """What one event said of one control's move: from which day to which, how many units, why. `revision` is the later
    day's.
    """

    before: str
    after: str
    revision: int
    units: int
    cause: Cause


def recorded(events: Iterable[Event]) -> dict[str, list[Told]]:
    """What committed events said of each control's moves, in the order of the events.

    A contribution, and the event of a control that was reported the day before, tell the same move: once.
    """
    found: dict[str, dict[tuple[str, str, int], Told]] = {}
    for event in events:
        if event.type not in TYPES:
            continue
        data = event.data
        before, after = data["before"], data["after"]
        if event.type == "score.changed":
            rows = [(part["control"], part) for part in data["contributions"]]
        else:
            rows = [(event.subject, data)]
        for name, row in rows:
            if row["delta"] is None:
                continue
            told = Told(
                before=str((before or {}).get("day") or data["day"]),
                after=str((after or {}).get("day") or data["day"]),
                revision=int(data.get("revision") or 0),
                units=diff.fixed(row["delta"]),
                cause=as_told(row["cause"]),
            )
            found.setdefault(name, {}).setdefault((told.before, told.after, told.revision), told)
    return {name: list(moves.values()) for name, moves in found.items()}


def as_told(data: Mapping[str, Any]) -> Cause:
    """A cause as an event or a contribution carries it."""
    parts = tuple(Share(part["label"], part["points"]) for part in data.get("parts", ()))
    return Cause(data["label"], data["confidence"], tuple(data["evidence"]), tuple(data["also"]), parts)


def between(
    path: Sequence[Version],
    profiles: Mapping[str, Profile] | None,
    told: Mapping[str, Sequence[Told]],
    grouped_by: Mapping[str, Profile] | None = None,
    unit: Unit | None = None,
) -> dict[str, Any]:
    """What `score.changed` says, from the first to the last of the known days of a path (all that lie between).

    `grouped_by` is the catalogue by which the first day was grouped (groups.earlier), where that is not the known one.
    """
    first, last = path[0], path[-1]

    def why(part: diff.Contribution) -> Cause:
        ours = told.get(part.control, ())

        def step(before: Version, after: Version, units: int) -> Cause:
            return _step(before, after, part.control, units, profiles, ours)

        ends = (first.day.day, last.day.day)
        across = [t for t in ours if (t.before, t.after) == ends and t.units == part.delta]
        if len(path) == 2:  # of a day told in several revisions, what was told of this one's whole move
            across = [t for t in across if t.revision == last.revision]
        return across[-1].cause if across else over(path, part.control, step)

    context, decomposition = _context(first, last, profiles), diff.decompose(first.day, last.day)
    return dict(
        changes.score_changed(
            first, last, decomposition, why, context, backfilled=False, grouped_by=grouped_by, unit=unit
        ).data
    )


def over(path: Sequence[Version], name: str, step: Callable[[Version, Version, int], Cause]) -> Cause:
    """The cause of a control's move from the first to the last day of a path; `step` tells that of a single one."""
    moves = [Move(a.day.day, units, step(a, b, units)) for a, b, units in _steps(path, name)]
    return explain.over(moves) if moves else step(path[0], path[-1], 0)


def _steps(path: Sequence[Version], name: str) -> Iterable[tuple[Version, Version, int]]:
    """The steps in which a control's points moved, or it came or went; days that do not know its points are no step."""
    known = [v for v in path if (c := v.day.controls.get(name)) is None or c.score is not None]
    for before, after in pairwise(known):
        was, now = before.day.controls.get(name), after.day.controls.get(name)
        units = _units(now) - _units(was)
        if units or (was is None) != (now is None):
            yield before, after, units


def _units(control: Control | None) -> int:
    return 0 if control is None or control.score is None else diff.fixed(control.score)


def _step(
    before: Version,
    after: Version,
    name: str,
    units: int,
    profiles: Mapping[str, Profile] | None,
    told: Sequence[Told],
) -> Cause:
    """The cause of one step: that of the events which told it, with stored days for what they leave."""
    narrowest: dict[int, Told] = {}  # of a revision: a contribution, or the event of a control reported earlier
    for one in told:
        if one.after == after.day.day and one.before in (before.day.day, after.day.day):
            narrowest[one.revision] = max(narrowest.get(one.revision, one), one, key=lambda t: t.before)
    steps = list(narrowest.values())
    rest = units - sum(t.units for t in steps)
    if rest or not steps:
        same = _same_move(told, before, after, units)
        if same is not None:
            return same
    moves = [Move(before.day.day, t.units, t.cause) for t in steps]
    if rest or not steps:
        was, now = before.day.controls.get(name), after.day.controls.get(name)
        moves.append(Move(before.day.day, rest, explain.cause(was, now, _context(before, after, profiles))))
    return explain.over(moves)


def _same_move(told: Sequence[Told], before: Version, after: Version, units: int) -> Cause | None:
    """What was told of just so many units across these two days: a day between them that came late moves nothing."""
    found = [t for t in told if t.before <= before.day.day and after.day.day <= t.after and t.units == units]
    return max(found, key=lambda t: (t.before, t.revision)).cause if found else None


def _context(before: Version, after: Version, profiles: Mapping[str, Profile] | None) -> Context:
    """Without the catalogue that went before the last one: it is not kept."""
    return Context(before.day, after.day, profiles or {}, None, profiles is not None, until=after.until)
