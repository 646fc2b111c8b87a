"""Why a score moved, in evidence and words: causes, direction, summaries. Pure.

A cause is never guessed: the first rule that has evidence wins, further ones go to `also`, none means "unknown".
No I/O, no clock, no memory live here.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from attrs import Factory, define, evolve, frozen

from connector.model import SUBSCRIPTION, Control, Profile, StateUpdate
from connector.observe import resources
from connector.observe.causes import NOTHING_MOVED, ROUNDING, UNKNOWN, Cause, Context, Share, by_maximum, plain
from connector.observe.diff import (
    ASSERTED,
    DEFAULT_STATE,
    Contribution,
    Decomposition,
    derived_max,
    fixed,
    ordered_updates,
    points,
    rounded,
    services_changed,
)

_INSTANCE = re.compile(r"^[0-9]+\.")
"""The number of an app instance before an id ("11770.MDA_…"): part of the identity, not of the family."""
SETTLING_DAYS = 7
"""How long after a state change points may still follow (users report up to seven days)."""
SHARED = frozenset({"scope", "weight"})
"""Causes by which one subscription's share of the whole is another's loss: what they make of a score is the sum."""
TELLING = 5.0
"""From this percentage on a score and its percentage tell the maximum for sure: both are rounded to hundredths."""


def cause(before: Control | None, after: Control | None, context: Context) -> Cause:
    """The cause of one control's move, arrival (before None) or departure (after None).

    Order: state_asserted, catalogue, licence, population, configuration, unknown (DESIGN §6). A moved maximum explains
    what it makes of the earlier score; the rest has a cause of its own, and the larger of the two is named.
    """
    control: Control = after or before  # type: ignore[assignment]  # one side always exists
    if control.category == SUBSCRIPTION:
        return resources.of_subscription(before, after, context)
    if control.max_score is not None:
        of_resources = resources.of_control(before, after, context)
        catalogue, explained = of_resources.catalogue, of_resources.explained
        matches: tuple[Cause | None, ...] = (catalogue, *of_resources.others)
    else:
        catalogue, explained = _catalogue(control.name, before, after, context)
        matches = (
            _state_asserted(control.name, before, after, context),
            catalogue,
            _licence(before, after, context),
            _population(before, after),
            _configuration(before, after),
            _presence(before, after, context),
        )
    found = [match for match in matches if match is not None]
    if not found:
        return UNKNOWN
    if explained is None or catalogue is None or before is None or after is None:
        # A maximum that explains everything leaves nothing to a cause of higher rank.
        first = catalogue if catalogue and before and after else found[0]
        return evolve(first, also=_labels(found, first))
    whole = fixed(after.score or 0.0) - fixed(before.score or 0.0)
    rest = next((match for match in found if match is not catalogue), UNKNOWN)
    if not explained:
        return evolve(rest, also=_labels(found, rest))
    words = f"explains {signed(points(explained))} of {signed(points(whole))} points"
    shares = (Share(catalogue.label, points(explained)), Share(rest.label, points(whole - explained)))
    if abs(explained) >= abs(whole - explained):
        also = _labels([rest, *found], catalogue)
        return Cause(catalogue.label, catalogue.confidence, (*catalogue.evidence, words), also, shares)
    evidence = (*rest.evidence, f"{catalogue.evidence[0]} {words}")
    return Cause(rest.label, rest.confidence, evidence, _labels(found, rest), shares[::-1])


@define
class Step:
    """What moved between two adjacent known days, or two revisions of one: each control's cause, found once."""

    context: Context
    _found: dict[str, Cause] = Factory(dict)

    def cause(self, name: str) -> Cause:
        found = self._found.get(name)
        if found is None:
            old, new = self.context.before.controls, self.context.after.controls
            found = self._found[name] = cause(old.get(name), new.get(name), self.context)
        return found


@frozen
class Move:
    """Units that moved in one step, from the day it began, and why."""

    since: str
    units: int
    cause: Cause


def drift(was: Control, now: Control, context: Context) -> Cause:
    """The cause of a move that no step was large enough to be told for: sought since the day of the reference."""
    found = cause(was, now, context)
    return evolve(found, evidence=(*found.evidence, f"since {context.before.day}"))


def over(moves: Sequence[Move]) -> Cause:
    """The cause of what several steps add up to: the one that explains most of it, as its largest step tells it."""
    if len(moves) == 1:
        return moves[0].cause
    weight: dict[str, int] = {}
    for move in moves:
        for label, units in move.cause.shares(move.units).items():
            weight[label] = weight.get(label, 0) + units
    shares = sorted((Share(label, points(u)) for label, u in weight.items() if u), key=lambda part: -abs(part.points))
    label = shares[0].label if shares else moves[0].cause.label
    telling = max(
        (move for move in moves if label in move.cause.shares(move.units)),
        key=lambda move: (move.cause.label == label, abs(move.units)),
    )
    days = dict.fromkeys(move.since for move in moves)
    steps = (f"in {len(moves)} steps since {moves[0].since}",) if len(days) > 1 else ()
    others = [*(part.label for part in shares), *(also for move in moves for also in move.cause.also)]
    return Cause(
        label,
        telling.cause.confidence if telling.cause.label == label else "medium",
        (*telling.cause.evidence, *steps),
        tuple(name for name in dict.fromkeys(others) if name != label),
        tuple(shares) if len(shares) > 1 else (),
    )


def _labels(found: Sequence[Cause], named: Cause) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match.label for match in found if match.label != named.label))


def _state_asserted(name: str, before: Control | None, after: Control | None, context: Context) -> Cause | None:
    profile = context.profiles.get(name)
    if not context.catalogue_known or profile is None or before is None or after is None:
        return None
    if before.score is None or after.score is None:
        return None
    earliest = _shift(context.before.day, -SETTLING_DAYS)
    until = context.until or f"{context.after.day}T23:59:59Z"
    previous: StateUpdate | None = None
    match = None
    for entry in ordered_updates(profile):
        was, previous = previous, entry
        if entry.at is None or entry.at[:10] < earliest or entry.at[:19] > until[:19]:
            continue
        gave = entry.state in ASSERTED and (was or DEFAULT_STATE).state not in ASSERTED and _is_full(after)
        took = entry.state not in ASSERTED and (was or DEFAULT_STATE).state in ASSERTED and _is_full(before)
        if (gave and after.score > before.score) or (took and after.score < before.score):
            fresh = entry.at[:10] >= context.before.day
            who = f" by {entry.by}" if entry.by else ""
            text = f"state {(was or DEFAULT_STATE).state} → {entry.state}{who} at {entry.at}"
            match = Cause("state_asserted", "high" if fresh else "medium", (text,))
    return match


def _is_full(control: Control) -> bool:
    """An asserted control has full points, so any other move has another cause."""
    return control.percent is None or control.percent >= 100.0


def _catalogue(
    name: str, before: Control | None, after: Control | None, context: Context
) -> tuple[Cause | None, int | None]:
    """What the catalogue says, and how many units of the move a moved maximum explains (None: all there is)."""
    old_known = context.old_profiles is not None and context.catalogue_known
    old = context.old_profiles.get(name) if context.old_profiles is not None else None
    new = context.profiles.get(name)
    if before is None or after is None:
        if old_known and before is None and old is None and new is not None:
            return Cause("catalogue", "high", ("control added to the catalogue",)), None
        if old_known and after is None and old is not None and new is None:
            return Cause("catalogue", "high", ("control retired from the catalogue",)), None
        return None, None
    redefined = _redefinition(before, after)
    if redefined is not None:
        return redefined, None
    was, now = derived_max(before), derived_max(after)
    if old_known and old and new and old.max_score != new.max_score and _in_this_step(old, new, before, after):
        words = f"maximum {plain(old.max_score)} → {plain(new.max_score)}"
        return Cause("catalogue", "high", (words,)), by_maximum(before, after, old.max_score, new.max_score)
    if before.percent is not None and before.percent == after.percent and before.score != after.score:
        maxima = f"maximum {plain(was)} → {plain(now)}, " if before.percent else ""
        return Cause("catalogue", "high", (f"{maxima}percentage unchanged at {plain(after.percent)}",)), None
    if was is not None and now is not None and was != now and min(before.percent or 0, after.percent or 0) >= TELLING:
        words = f"implied maximum {plain(was)} → {plain(now)}"
        return Cause("catalogue", "medium", (words,)), by_maximum(before, after, was, now)
    return None, None


def _in_this_step(old: Profile, new: Profile, before: Control, after: Control) -> bool:
    """Whether nothing speaks against it that a maximum moved between these two days, and not before or after them."""
    was, now = derived_max(before), derived_max(after)
    if was is not None and was == now:
        return False
    moved_before = was is not None and (before.percent or 0) >= TELLING and was == new.max_score
    moves_later = now is not None and (after.percent or 0) >= TELLING and now == old.max_score
    return not moved_before and not moves_later


def _licence(before: Control | None, after: Control | None, context: Context) -> Cause | None:
    added, removed = services_changed(context.before, context.after)
    if not added and not removed:
        return None
    words = [f"+{s}" for s in added] + [f"-{s}" for s in removed]
    confidence = "high" if before is None or after is None else "medium"
    return Cause("licence", confidence, (f"licensed services {' '.join(words)}",))


def _population(before: Control | None, after: Control | None) -> Cause | None:
    if before is None or after is None or before.total is None or after.total is None or before.total == after.total:
        return None
    what = "devices" if is_device(after.name) else "users"
    evidence = [f"{what} {before.total} → {after.total}"]
    counted = _counts_moved(before, after)
    if counted:
        evidence.append(_ratio(before, after))
    return Cause("population", "medium" if counted else "high", tuple(evidence))


def _configuration(before: Control | None, after: Control | None) -> Cause | None:
    if before is None or after is None:
        return None
    if before.on is not None and after.on is not None and before.on != after.on:
        return Cause("configuration", "high", (f"compliant {_yes(before.on)} → {_yes(after.on)}",))
    if _counts_moved(before, after) and _redefinition(before, after) is None:
        return Cause("configuration", "high", (_ratio(before, after),))
    return None


def _redefinition(before: Control, after: Control) -> Cause | None:
    """Microsoft counts those who lack what others have, or the reverse: nobody's doing, and no points move."""
    if before.count is None or before.total is None or before.total != after.total:
        return None
    if (
        before.score is None
        or before.score != after.score
        or not before.count != after.count == before.total - before.count
    ):
        return None
    return Cause("catalogue", "high", (f"{_ratio(before, after)} at an equal score: counted from the other end",))


def evidence_cause(before: Control, after: Control) -> Cause:
    """Why the evidence of a control moved, whatever its points did: the two readings alone say it."""
    if after.max_score is not None:
        return resources.evidence(before, after)
    return _redefinition(before, after) or _population(before, after) or _configuration(before, after) or UNKNOWN


def _counts_moved(before: Control, after: Control) -> bool:
    """Two counts that differ and can be true: more than all of them is no evidence."""
    if before.count is None or after.count is None or before.count == after.count:
        return False
    return all(c.total is None or (c.count or 0) <= c.total for c in (before, after))


def _presence(before: Control | None, after: Control | None, context: Context) -> Cause | None:
    """A control that is newly scored, or no longer, while its catalogue entry did not move."""
    if (before is not None and after is not None) or context.old_profiles is None or not context.catalogue_known:
        return None
    if before is None and after is not None and after.name in context.profiles:
        return Cause("catalogue", "low", ("newly scored; its catalogue entry was there before",))
    if after is None and before is not None and context.catalogue_complete:
        still = "still there" if before.name in context.profiles else "gone already"
        return Cause("catalogue", "low", (f"no longer scored; its catalogue entry is {still}",))
    return None


def is_device(name: str) -> bool:
    """Device controls: `count` means exposed devices there, compliant users elsewhere."""
    return _INSTANCE.sub("", name).startswith("scid_")


def _ratio(before: Control, after: Control) -> str:
    if before.total is None or after.total is None:
        return f"count {before.count} → {after.count}"
    what = "exposed devices" if is_device(after.name) else "compliant users"
    return f"{what} {before.count}/{before.total} → {after.count}/{after.total}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _shift(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


# ------------------------------------------------------------------------------------------------------------ words


def direction(delta: float | None, *, lower_is_better: bool = False) -> str:
    """improved, regressed, unchanged or unknown; from points only, never from counts or texts."""
    if delta is None:
        return "unknown"
    delta = -delta if lower_is_better else delta
    return "improved" if delta > 0 else "regressed" if delta < 0 else "unchanged"


def signed(value: float | None) -> str:
    """A signed number of points with at least one decimal, e.g. "-6.0", "0.0"; "unknown" for None."""
    if value is None:
        return "unknown"
    text = f"{rounded(value):+.4f}".rstrip("0")
    if text == "+0.":
        return "0.0"
    return text + "0" if text.endswith(".") else text


@lru_cache(maxsize=4096)
def number(value: float | None) -> str:
    """Points with at least one decimal; "unknown" for None."""
    return signed(value).lstrip("+") if value is not None else "unknown"


def called(control: Control, profiles: Mapping[str, Profile]) -> str:
    """What a control is called in words: one of Graph by its id, which is one; one that has a GUID by its title."""
    profile = profiles.get(control.name) if control.max_score is not None else None
    return profile.title if profile is not None and profile.title else control.name


def contribution_words(part: Contribution, profiles: Mapping[str, Profile]) -> str:
    """One contribution in words, e.g. "AdminMFAV2 10.0 → 4.0 (-6.0 points)"."""
    name = called(part.known, profiles)
    if part.kind == "added":
        return f"{name} added ({signed(points(part.delta))} points)"
    if part.kind == "removed":
        return f"{name} removed ({signed(points(part.delta))} points)"
    was, now = part.before, part.after
    old = number(was.score if was else None)
    new = number(now.score if now else None)
    return f"{name} {old} → {new} ({signed(points(part.delta))} points)"


def contribution_data(part: Contribution, why: Cause) -> dict[str, Any]:
    """A contribution as `score.changed` carries it (DESIGN §6)."""
    return {
        "control": part.control,
        "kind": part.kind,
        "before": rounded(part.before.score) if part.before else None,
        "after": rounded(part.after.score) if part.after else None,
        "delta": points(part.delta),
        "cause": why.as_data(),
    }


def main_cause(parts: Sequence[tuple[Contribution, Cause]], decomposition: Decomposition, context: Context) -> Cause:
    """The cause of a whole score change: the one that moved most points; when only maxima moved, theirs.

    The residual weighs as "unknown": a change that no control explains has no cause, whatever else moved a little.
    """
    weight: dict[str, int] = {}
    for part, why in parts:
        for label, units in why.shares(part.delta).items():
            weight[label] = weight.get(label, 0) + (units if label in SHARED else abs(units))
    weight = {label: abs(units) for label, units in weight.items()}
    of_subscriptions = any(part.known.category == SUBSCRIPTION for part, _ in parts)  # whose points are rounded shares
    if decomposition.residual and not (of_subscriptions and abs(decomposition.residual) < fixed(ROUNDING)):
        weight["unknown"] = weight.get("unknown", 0) + abs(decomposition.residual)
    known = {label: w for label, w in weight.items() if w}
    if known:
        label = max(known, key=lambda name: (known[name], name))
        also = tuple(sorted((n for n in weight if n != label), key=lambda n: (-weight[n], n)))
        telling = [(p, w) for p, w in parts if label in w.shares(p.delta)]
        evidence = tuple(contribution_words(p, context.profiles) for p, _ in telling)[:3]
        if label == "unknown":
            rest = f"{signed(points(decomposition.residual))} points in no control" if decomposition.residual else ""
            return Cause(label, "none", (*evidence, rest) if rest else evidence, also)
        sure = next((w.confidence for _, w in telling if w.label == label), "medium")
        share = known[label] / sum(known.values())
        return Cause(label, _weaker(sure, "high" if share > 0.5 else "medium"), evidence, also)
    licence = _licence(None, None, context)
    if decomposition.max_delta and licence is not None:
        return licence
    changed = [why for _, why in parts]
    if decomposition.max_delta and changed:
        return Cause(changed[0].label, changed[0].confidence, changed[0].evidence)
    return UNKNOWN


def still(regrouped: Sequence[str]) -> Cause:
    """The cause of no move at all: Microsoft put controls into other groups, or there is nothing to explain."""
    return Cause("catalogue", "high", tuple(regrouped[:3])) if regrouped else NOTHING_MOVED


def _weaker(a: str, b: str) -> str:
    order = ("high", "medium", "low", "none")
    return max(a, b, key=order.index)
