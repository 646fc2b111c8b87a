"""Deviations from the baseline, told once when they begin and once when they end. Pure.

How a version stands is in baseline.py, what the event says in notices.py. Nothing here judges a day.
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict

from connector.config.values import BaselineConfig
from connector.ids import digest
from connector.model import Change, Version
from connector.observe import baseline, notices
from connector.observe.baseline import DECLARED, FULL, NOT_DECLARED, PREFIX, Judged
from connector.observe.standing import Catalogue


def crossings(
    asked: BaselineConfig | None, missed: dict[str, float], catalogue: Catalogue, version: Version
) -> list[Change]:
    """What is told of the standards at a version of a day; `missed` is kept up to date.

    `missed` maps a deviation to the score at its beginning. It ends when it is met, excused, asked for no longer
    ("not_asked") or cannot be met any more ("not_scored"); while nothing can be said it goes on.
    """
    known = [key for key in missed if key.startswith(PREFIX)]
    if asked is None and not known:
        return []
    judged = {} if asked is None else {one.key: one for one in baseline.judge(asked, catalogue, version)}
    told: list[tuple[Judged, str | None]] = []
    for key in known:
        one = judged.get(key)
        why = _of_gone(key, asked, catalogue) if one is None else _end_of(one)
        if why is not None:
            del missed[key]
            kind, _, control = key.partition(":")
            told.append((one or Judged(kind, control, None, met=None), why))
    for key, one in judged.items():
        if one.deviates and key not in missed:
            missed[key] = round(version.day.score or 0.0, 4)
            told.append((one, None))
    profiles = catalogue or {}
    return [notices.baseline_deviation(one, why, version, profiles.get(one.control)) for one, why in told]


def asked_anew(head: Mapping[str, Any], asked: BaselineConfig | None) -> bool:
    """Whether something else is asked than at the last poll, so that bytes which did not change are judged again."""
    return head.get("asked") != _digest(asked)


def noted(head: Mapping[str, Any], asked: BaselineConfig | None, missed: Mapping[str, float]) -> dict[str, Any]:
    """The head's values with what is asked and how the tenant deviates; without standards it says neither."""
    said = {"asked": _digest(asked), "deviations": sorted(key for key in missed if key.startswith(PREFIX))}
    kept = {name: value for name, value in head.items() if name not in said}
    return {**kept, **{name: value for name, value in said.items() if value}}


def _digest(asked: BaselineConfig | None) -> str | None:
    return None if asked is None else digest(asdict(asked))


def _end_of(one: Judged) -> str | None:
    """Why a deviation is over that is still looked at; None while it goes on, or nothing can be said."""
    if one.met:
        return "met"
    return "excused" if one.excused is not None else None


def _of_gone(key: str, asked: BaselineConfig | None, catalogue: Catalogue) -> str | None:
    """Why a deviation is over of which nothing is judged any more; None where only the catalogue is missing."""
    kind, _, control = key.partition(":")
    if asked is None:
        return "not_asked"
    if kind == NOT_DECLARED:
        if catalogue is None:
            return None
        ruled = any(baseline.matches(rule.controls, control) for rule in asked.forbidden)
        replaced = any(wish.control.casefold() == control.casefold() for wish in asked.declared)
        return "met" if ruled and not replaced else "not_asked"
    names = {FULL: [*asked.full], DECLARED: [wish.control for wish in asked.declared]}[kind] if control else []
    if control.casefold() not in {name.casefold() for name in names}:
        return "not_asked"
    return None if kind == DECLARED and catalogue is None else "not_scored"
