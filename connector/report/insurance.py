"""What cyber-insurers ask, answered from the last observed day: yes, partly, no, asserted, or not from this data. Pure.

A wrong "yes" voids a claim. So "yes" takes a scored control for everything that decides, and points that were measured;
what was declared, or what nobody knows, never says it. Which control decides what is data (mappings/insurance.yaml).
The questions are texts of connector/language, in English here: files for programs have no other language.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from attrs import frozen

from connector.errors import ConfigError
from connector.language.choice import language
from connector.mapping.resources import load_data
from connector.model import UNKNOWN, Control, Profile, Version
from connector.observe import diff
from connector.report.values import Bearing, EvidenceFile, Insurance, Question

ANSWERS = ("yes", "partly", "no", "asserted", "not_answerable")
POINTS = frozenset({"full", "asserted", "part"})
"""Standings of a control that has points."""
_INSTANCE = re.compile(r"^\d+\.")
_KEYS = {"id", "decides", "beside"}


@frozen
class Asked:
    """One question of the table; `decides` are groups of globs, each of which needs a control."""

    id: str
    decides: tuple[tuple[str, ...], ...]
    beside: tuple[str, ...]


@frozen
class Table:
    version: int
    label: str
    questions: tuple[Asked, ...]


@lru_cache(maxsize=1)
def shipped() -> Table:
    return compile_table(load_data("insurance"))


def compile_table(data: Any) -> Table:
    """The data file → the table. Raises ConfigError with every problem."""
    problems: list[str] = []
    found: list[Asked] = []
    for place, row in enumerate(data["questions"], 1):
        where = f"questions.{place} ({row.get('id', '?')})"
        problems += [f"{where}: unknown key {key!r}" for key in sorted(set(row) - _KEYS)]
        keys = [f"insurance.{row.get('id')}.{part}" for part in ("question", "limits")]
        problems += [f"{where}: no text {key} in connector/language" for key in keys if key not in language().texts]
        if row.get("id") in [one.id for one in found]:
            problems.append(f"{where}: the id is taken")
        decides = tuple(tuple(group) for group in row.get("decides", ()))
        found.append(Asked(str(row.get("id")), decides, tuple(row.get("beside", ()))))
    if problems:
        raise ConfigError(problems, "correct mappings/insurance.yaml")
    return Table(int(data["version"]), str(data["label"]), tuple(found))


def answer_all(
    version: Version,
    profiles: Mapping[str, Profile] | None,
    evidence: Iterable[EvidenceFile],
    table: Table | None = None,
) -> Insurance:
    """Every question, answered from one day; the day's content hash and its archived responses stand beside."""
    asked = shipped() if table is None else table
    return Insurance(
        day=version.day.day,
        sha256=version.hash,
        evidence=tuple(e.sha256 for e in evidence if e.day == version.day.day and e.state == "verified"),
        table_version=asked.version,
        label=asked.label,
        questions=tuple(_answer(one, version.day.controls, profiles or {}) for one in asked.questions),
    )


def _answer(asked: Asked, controls: Mapping[str, Control], profiles: Mapping[str, Profile]) -> Question:
    groups = [_bearing(group, controls, profiles) for group in asked.decides]
    deciding = tuple({one.control: one for group in groups for one in group}.values())
    names = {one.control for one in deciding}
    beside = tuple(one for one in _bearing(asked.beside, controls, profiles) if one.control not in names)
    return Question(
        id=asked.id,
        question=language().text(f"insurance.{asked.id}.question"),
        answer=_verdict(groups, beside),
        limits=language().text(f"insurance.{asked.id}.limits"),
        deciding=deciding,
        beside=beside,
        missing=tuple(" or ".join(globs) for globs, group in zip(asked.decides, groups, strict=True) if not group),
    )


def _verdict(groups: Sequence[Sequence[Bearing]], beside: Sequence[Bearing]) -> str:
    """One of ANSWERS. Every group decides; what stands beside says something only where nothing decides."""
    found = [one.standing for group in groups for one in group]
    if not groups:
        return "partly" if any(one.standing in POINTS for one in beside) else "not_answerable"
    if not any(one in POINTS for one in found):
        return "not_answerable" if not found or "unknown" in found else "no"
    if all(groups) and set(found) <= {"full", "asserted"}:
        return "asserted" if "asserted" in found else "yes"
    return "partly"


def _bearing(globs: Iterable[str], controls: Mapping[str, Control], profiles: Mapping[str, Profile]) -> list[Bearing]:
    """The scored controls that any glob takes, by name."""
    wanted = tuple(globs)
    found = []
    for name in sorted(controls):
        plain = _INSTANCE.sub("", name)
        if any(fnmatchcase(plain, glob) for glob in wanted):
            control, profile = controls[name], profiles.get(name)
            found.append(
                Bearing(
                    control=name,
                    title=(profile.title if profile else "") or name,
                    standing=standing(control, profile),
                    score=diff.rounded(control.score),
                    max_score=diff.max_of(control, profile),
                )
            )
    return found


def standing(control: Control, profile: Profile | None) -> str:
    """One of "full" (measured), "asserted" (full, and declared), "part", "none" and "unknown".

    Of a control that is not in the catalogue nobody knows whether its points were measured.
    """
    full = diff.is_full(control, profile)
    if full is None:
        return "unknown"
    if full:
        state = UNKNOWN if profile is None else diff.effective_state(profile).state
        return "asserted" if state in diff.DECLARED else "unknown" if state == UNKNOWN else "full"
    return "part" if (control.score or 0.0) > 0 else "none"
