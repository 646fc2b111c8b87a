"""How a version of a day stands against the standards that are meant for its tenant. Pure.

What is asked for is configuration (`BaselineConfig`); what is told when that changes is in deviations.py. An exception
counts by the day that is judged, not by a clock, so that the same read says the same at any time.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from attrs import evolve, frozen

from connector.config.values import BaselineConfig
from connector.model import UNKNOWN, StateUpdate, Version
from connector.observe import diff, standing
from connector.observe.standing import Catalogue

PREFIX = "baseline_"
"""What the kinds of targets begin with that standards set."""
FULL, DECLARED, NOT_DECLARED = "baseline_full", "baseline_declared", "baseline_not_declared"


@frozen
class Judged:
    """One thing that a standard asks, looked at. `met` None: it cannot be said; `excused` until which day it is not
    asked, `lapsed` until which day it was not. `wanted` and `state` are states: the one that must be declared, and the
    one that is.
    """

    kind: str
    control: str
    standard: str | None
    met: bool | None
    threshold: float | None = None
    value: float | None = None
    wanted: str | None = None
    state: StateUpdate | None = None
    excused: str | None = None
    lapsed: str | None = None

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.control}"

    @property
    def deviates(self) -> bool:
        return self.met is False and self.excused is None


def judge(asked: BaselineConfig, catalogue: Catalogue, version: Version) -> list[Judged]:
    """Everything that is asked of a tenant and concerns it, in the order of events. A control that its day does not
    score, or its catalogue does not have, is not among it: nobody can meet that.

    Of states that must not be declared only those that are declared are judged: nothing else could deviate.
    """
    found = {one.key: one for one in _all(asked, catalogue, version)}
    day = version.day.day
    return [evolve(one, excused=_excused(asked, one, day), lapsed=_lapsed(asked, one, day)) for one in found.values()]


def _all(asked: BaselineConfig, catalogue: Catalogue, version: Version) -> Iterator[Judged]:
    day, profiles = version.day, catalogue or {}
    for kind, floor in asked.floors.items():
        value = standing.percent(kind, catalogue, version)
        met = standing.at_least(value, floor.percent)
        yield Judged(PREFIX + kind, "", floor.standard, met, floor.percent, value)
    spelled = {name.casefold(): name for name in (*profiles, *day.controls)}
    for name, standard in asked.full.items():
        own = spelled.get(name.casefold(), "")
        control = day.controls.get(own)
        if control is None:
            continue
        met = None if control.percent is None or control.max_score == 0 else control.percent >= 100.0
        yield Judged(FULL, own, standard, met, diff.max_of(control, profiles.get(own)), control.score)
    for wish in asked.declared:
        profile = profiles.get(spelled.get(wish.control.casefold(), ""))
        if profile is None:
            continue
        now, control = diff.effective_state(profile), day.controls.get(profile.id)
        full = control is not None and control.percent is not None and control.percent >= 100.0
        # What is full by measurement needs no word, and Microsoft locks its state.
        met = None if now.state == UNKNOWN else now.state == wish.state or (now.state == "Default" and full)
        yield Judged(DECLARED, profile.id, wish.standard, met, wanted=wish.state, state=now)
    if not asked.forbidden:
        return
    ruled = {wish.control.casefold() for wish in asked.declared}
    for name in sorted(profiles):
        profile = profiles[name]
        now = diff.effective_state(profile) if profile.updates else diff.DEFAULT_STATE
        if now.state not in (*diff.DECLARED, UNKNOWN) or name.casefold() in ruled:
            continue
        for rule in asked.forbidden:
            if matches(rule.controls, name):
                met = None if now.state == UNKNOWN else now.state not in rule.states
                yield Judged(NOT_DECLARED, name, rule.standard, met, state=now)
                if met is False:
                    break  # the first that forbids it names it


def matches(globs: tuple[str, ...], name: str) -> bool:
    """Whether any glob, which is in lower case, names a control in any case."""
    return any(fnmatchcase(name.casefold(), glob) for glob in globs)


def _excused(asked: BaselineConfig, one: Judged, day: str) -> str | None:
    return max((until for until in _excuses(asked, one) if day <= until), default=None)


def _lapsed(asked: BaselineConfig, one: Judged, day: str) -> str | None:
    return max((until for until in _excuses(asked, one) if until < day), default=None)


def _excuses(asked: BaselineConfig, one: Judged) -> list[str]:
    """The last days of the exceptions that excuse it."""
    return [e.until for e in asked.excuses if not e.controls or (one.control and matches(e.controls, one.control))]
