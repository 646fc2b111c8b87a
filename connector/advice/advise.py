"""A unit's newest day, catalogue and earlier days → what to do next. Pure.

What a control lacks, its state and its sums come from the functions that also make events (observe: diff, groups,
totals, targets): nothing is computed here a second time.
"""

from collections.abc import Iterable, Mapping, Sequence

from connector.advice.actions import action, is_open, order, to_win
from connector.advice.licences import missing
from connector.advice.since import open_since
from connector.advice.values import Advice, Standing
from connector.advice.what_if import project, standing
from connector.config.values import TargetsConfig
from connector.model import Profile, Version
from connector.observe import diff, totals

NO_TARGETS = TargetsConfig()


def advise(
    newest: Version,
    profiles: Mapping[str, Profile] | None,
    earlier: Iterable[Version] = (),
    targets: TargetsConfig = NO_TARGETS,
    what_if: Sequence[str] = (),
) -> Advice:
    """Every open control of the newest day, in rank order.

    `earlier` are the days before it, latest first; `profiles` is None while no catalogue is known. `what_if` names the
    controls of the projection.
    """
    known, day = profiles or {}, newest.day
    names = [name for name, control in day.controls.items() if is_open(control, known.get(name))]
    licences = missing(day, known)
    since = open_since(names, newest, earlier, known)
    found = [action(name, newest, known.get(name), licences.get(name, ()), since[name]) for name in names]
    units = [to_win(day.controls[name], known.get(name)) for name in names]
    return Advice(
        day=day.day,
        score=score_of(newest, profiles),
        actions=tuple(sorted(found, key=order)),
        to_win=None if None in units else diff.points(sum(u for u in units if u is not None)),
        not_scored=sum(name not in day.controls for name in known),
        targets=standing(targets, profiles, newest),
        what_if=project(what_if, newest, profiles, targets) if what_if else None,
    )


def score_of(version: Version, profiles: Mapping[str, Profile] | None) -> Standing:
    points = totals.of_day(version, profiles)["points"]
    day = version.day
    return Standing(
        current=diff.rounded(day.score),
        max=diff.rounded(day.max_score),
        percent=diff.rounded(day.percent),
        measured=points["measured"],
        asserted=points["asserted"],
    )
