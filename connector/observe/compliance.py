"""Regulatory compliance standards of a subscription: what is told of them, and what of a read is believed. Pure.

A standard says how many of its controls are in which state. That it is gone is believed when two whole reads in a row
lack it. It is told as `compliance.observed` when first seen and once a day, as `compliance.changed` when what it says
is not what it said.
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen

from connector.ids import digest
from connector.model import Absent, Change, Standard, Version
from connector.observe.changes import score_info, snapshot

COUNTS = ("passed", "failed", "skipped", "unsupported")


@frozen
class Seen:
    """The standards as they are known after a read, those that it lacked for the first time, and what is told."""

    standards: Mapping[str, Standard] | None
    held: tuple[str, ...]
    changes: tuple[Change, ...]


def seen(
    known: Mapping[str, Standard] | None,
    held: tuple[str, ...],
    read: Mapping[str, Standard] | Absent | None,
    newest: Version,
    *,
    whole: bool,
    daily: bool,
    observed: bool,
) -> Seen:
    """What a read says. `whole`: whether absence from it proves anything; `daily`: whether a day has begun since
    standards were told; `observed`: whether they are told one by one at all.
    """
    if not isinstance(read, Mapping):
        return Seen(known, held, ())
    before = known or {}
    missing = tuple(sorted(before.keys() - read.keys())) if whole else ()
    gone = [name for name in missing if name in held]
    after = {**{name: one for name, one in before.items() if name not in gone}, **read}
    told: list[Change] = []
    for name in sorted(read):
        was, now = before.get(name), read[name]
        if observed and (was is None or daily):
            told.append(compliance_observed(now, newest))
        if known is not None and was != now:
            told.append(compliance_changed(was, now, newest))
    told += [compliance_changed(before[name], None, newest) for name in gone]
    standards = known if known is not None and after == dict(known) else dict(sorted(after.items()))
    return Seen(standards, tuple(name for name in missing if name not in gone), tuple(told))


def compliance_observed(standard: Standard, newest: Version) -> Change:
    data: dict[str, Any] = {
        "summary": f"Compliance with {standard.id}: {_words(standard)}",
        "after": _values(standard),
        "standard": standard.id,
        "score": score_info(newest.day),
        **snapshot(newest),
    }
    after = f"{digest(asdict(standard))}#{newest.day.day}"
    return Change("compliance.observed", standard.id, "", after, newest.day.day, data)


def compliance_changed(was: Standard | None, now: Standard | None, newest: Version) -> Change:
    """A standard that came, went (`now` is None), or says something else."""
    one: Standard = now or was  # type: ignore[assignment]  # one of both is there
    kind = "added" if was is None else "removed" if now is None else "changed"
    told = {"added": f"added, {_words(one)}", "removed": "removed"}
    words = told.get(kind) or f"{_words(was)} → {_words(now)}"
    failed = None
    if was is not None and now is not None and was.failed is not None and now.failed is not None:
        failed = now.failed - was.failed
    data: dict[str, Any] = {
        "direction": "unchanged" if not failed else "regressed" if failed > 0 else "improved",
        "summary": f"Compliance with {one.id} {'changed: ' if kind == 'changed' else ''}{words}",
        "kind": kind,
        "before": None if was is None else _values(was),
        "after": None if now is None else _values(now),
        "failed_delta": failed,
        "standard": one.id,
        "score": score_info(newest.day),
        **snapshot(newest),
    }
    old, new = ("" if side is None else digest(asdict(side)) for side in (was, now))
    return Change(
        "compliance.changed", one.id, f"{old}#{newest.day.id}", f"{new}#{newest.day.id}", newest.day.day, data
    )


def _values(standard: Standard) -> dict[str, Any]:
    return {"state": standard.state or None, **{name: getattr(standard, name) for name in COUNTS}}


def _words(standard: Standard | None) -> str:
    """E.g. "12 passed, 3 failed"; what is not stated is left out."""
    if standard is None:
        return "gone"
    told = [f"{n} {name}" for name in COUNTS if (n := getattr(standard, name))]
    return ", ".join(told) or (standard.state.lower() or "no counts")
