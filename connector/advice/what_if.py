"""The exact score, percentage and targets of a unit if named controls were full. Pure.

No forecast: nothing is said of when, or of what else would move. The targets are judged by the same functions that
make their events (observe/standing.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from attrs import evolve

from connector.advice.actions import is_open, to_win
from connector.advice.values import TargetStanding, Unknown, WhatIf
from connector.config.values import TargetsConfig
from connector.model import Profile, Version
from connector.observe import diff
from connector.observe import standing as observed

SUGGESTIONS = 3


def project(
    names: Sequence[str], newest: Version, profiles: Mapping[str, Profile] | None, wanted: TargetsConfig
) -> WhatIf:
    """What the newest day would say; a name may be written in any case."""
    known, day = profiles or {}, newest.day
    found, unknown = resolve(names, day.controls)
    units: dict[str, int | None] = {
        name: to_win(day.controls[name], known.get(name)) if is_open(day.controls[name], known.get(name)) else 0
        for name in found
    }
    undetermined = tuple(name for name, more in units.items() if more is None)
    won = None if undetermined else sum(more or 0 for more in units.values())
    score = None if won is None or day.score is None else diff.points(diff.fixed(day.score) + won)
    full = {
        name: day.controls[name]._replace(score=diff.max_of(day.controls[name], known.get(name)), percent=100.0)
        for name, more in units.items()
        if more != 0
    }
    then = evolve(newest, day=evolve(day, score=score, controls={**day.controls, **full}))
    return WhatIf(
        controls=found,
        points=None if won is None else diff.points(won),
        score=score,
        percent=diff.rounded(then.day.percent),
        targets=standing(wanted, profiles, then),
        unknown=unknown,
        undetermined=undetermined,
    )


def standing(
    wanted: TargetsConfig, profiles: Mapping[str, Profile] | None, version: Version
) -> tuple[TargetStanding, ...]:
    """How a version stands against every target that a day alone decides (an overnight drop takes two)."""
    return tuple(
        TargetStanding(t.kind, t.control or None, t.threshold, diff.rounded(t.value), t.met)
        for judge in (observed.floors, observed.controls)
        for t in judge(wanted, profiles, version)
    )


def resolve(names: Sequence[str], scored: Iterable[str]) -> tuple[tuple[str, ...], tuple[Unknown, ...]]:
    """The controls that are meant, each once, and the names that no scored control has."""
    by_fold: dict[str, list[str]] = {}
    for name in scored:
        by_fold.setdefault(name.casefold(), []).append(name)
    found: dict[str, None] = {}
    unknown: dict[str, Unknown] = {}
    for name in names:
        meant = by_fold.get(name.casefold(), [])
        exact = name if name in meant else meant[0] if len(meant) == 1 else None
        if exact is not None:
            found[exact] = None
            continue
        near = meant or [by_fold[n][0] for n in get_close_matches(name.casefold(), by_fold, n=SUGGESTIONS)]
        unknown.setdefault(name, Unknown(name, tuple(near)))
    return tuple(found), tuple(unknown.values())
