"""Why a control moved that counts resources (Defender for Cloud), and a subscription in the score over all. Pure.

Such a control states its own maximum, which is 0 while it applies to nothing. How causes are weighed against each other
is in explain.py; here is only what the two readings of a control, and the two definitions, prove.
"""

from attrs import frozen

from connector.model import Control, Profile
from connector.observe import diff
from connector.observe.causes import UNKNOWN, Cause, Context, Share, by_maximum, plain
from connector.observe.diff import fixed, points

MAX_NAMED = 3


@frozen
class Found:
    """What speaks for a move. `explained`: the units that a moved maximum explains (None: all there are)."""

    catalogue: Cause | None
    explained: int | None
    others: tuple[Cause, ...]


def of_control(before: Control | None, after: Control | None, context: Context) -> Found:
    """The causes with evidence, of a control that moved, came (before None) or went (after None)."""
    if before is None or after is None:
        return Found(_presence(after, context), None, ())
    others = tuple(match for match in (_population(before, after), _configuration(before, after)) if match is not None)
    catalogue, explained = _definition(before, after, context)
    return Found(catalogue, explained, others)


def evidence(before: Control, after: Control) -> Cause:
    """Why the counts of a control moved, whatever its points did."""
    return _population(before, after) or _configuration(before, after) or UNKNOWN


# --------------------------------------------------------------------------------------------- one control, two days


def _presence(after: Control | None, context: Context) -> Cause | None:
    if not context.catalogue_known or not context.catalogue_complete:
        return None
    words = f"control appeared, with a maximum of {plain(after.max_score)}" if after else "control is gone"
    told_apart = context.old_profiles is not None and (after is None or after.name not in context.old_profiles)
    return Cause("catalogue", "high" if told_apart else "medium", (words,))


def _definition(before: Control, after: Control, context: Context) -> tuple[Cause | None, int | None]:
    old = context.old_profiles.get(after.name) if context.old_profiles and context.catalogue_known else None
    new = context.profiles.get(after.name)
    told = _recommendations(old, new)
    was, now = before.max_score, after.max_score
    if was and now and was != now:
        words = (f"maximum {plain(was)} → {plain(now)}", *told)
        return Cause("catalogue", "high", words), None if told else by_maximum(before, after, was, now)
    return (Cause("catalogue", "medium", told), None) if told else (None, None)


def _recommendations(old: Profile | None, new: Profile | None) -> tuple[str, ...]:
    """Which recommendations came to a control or left it."""
    if old is None or new is None or old.assessments == new.assessments:
        return ()
    found = []
    for verb, here, there in (("added", new, old), ("removed", old, new)):
        ids = [one for one in here.assessments if one not in there.assessments]
        more = f" and {len(ids) - MAX_NAMED} more" if len(ids) > MAX_NAMED else ""
        found += [f"recommendations {verb}: {', '.join(ids[:MAX_NAMED])}{more}"] if ids else []
    return tuple(found)


def _population(before: Control, after: Control) -> Cause | None:
    """Resources came or went, or the control applies to some now, or to none any more."""
    if before.total is None or after.total is None:
        if not diff.applicability(before, after):
            return None
        return Cause("population", "high", (f"maximum {plain(before.max_score)} → {plain(after.max_score)}",))
    if before.total == after.total and not diff.applicability(before, after):
        return None
    told = [f"resources {before.total} → {after.total}"]
    healthy = 0
    if before.count is not None and after.count is not None:
        healthy = after.count - before.count
        told += [f"healthy {before.count}/{before.total} → {after.count}/{after.total}"] if healthy else []
    if before.not_applicable is not None and after.not_applicable is not None:
        exempt = after.not_applicable - before.not_applicable
        if exempt > 0 and exempt == before.total - after.total:
            told.append(
                f"exempted or no longer applicable: not applicable {before.not_applicable} → {after.not_applicable}"
            )
    if diff.applicability(before, after):
        told.append(f"maximum {plain(before.max_score)} → {plain(after.max_score)}")
    alone = healthy in (0, after.total - before.total) or diff.applicability(before, after)
    return Cause("population", "high" if alone else "medium", tuple(told))


def _configuration(before: Control, after: Control) -> Cause | None:
    """Healthy resources became unhealthy, or the reverse."""
    if before.count is None or after.count is None or before.total is None or after.total is None:
        return None
    unhealthy = (after.total - after.count) - (before.total - before.count)
    healthy = after.count - before.count
    if not healthy or (before.total != after.total and healthy * unhealthy >= 0):
        return None
    return Cause(
        "configuration",
        "high" if before.total == after.total else "medium",
        (f"healthy resources {before.count}/{before.total} → {after.count}/{after.total}",),
    )


# -------------------------------------------------------------------------------- a subscription in the score over all


def effects(before: Control, after: Control) -> tuple[int, int]:
    """The units that a subscription's score moved, at its old weight, and its weight, at its new score; both sum to the
    move exactly.
    """
    whole = fixed(after.score or 0.0) - fixed(before.score or 0.0)
    if before.max_score == after.max_score:
        return whole, 0
    if before.percent == after.percent:
        return 0, whole
    by_score = fixed((before.max_score or 0.0) * ((after.percent or 0.0) - (before.percent or 0.0)) / 100.0)
    return by_score, whole - by_score


def of_subscription(before: Control | None, after: Control | None, context: Context) -> Cause:
    """Why the points moved that a subscription brings."""
    if before is None or after is None:
        known = after or before
        words = f"subscription {'added' if after else 'removed'}, its score {plain(known.percent if known else None)} %"
        return Cause("scope", "high", (words,))
    by_score, by_weight = effects(before, after)
    score, weight = _score_cause(before, after), _weight_cause(before, after, context)
    if not by_weight or not by_score:
        return score if by_score or not by_weight else weight
    first, second = (score, weight) if abs(by_score) >= abs(by_weight) else (weight, score)
    shares = (Share(score.label, points(by_score)), Share(weight.label, points(by_weight)))
    return Cause(
        first.label,
        first.confidence,
        (*first.evidence, *second.evidence[:1]),
        (second.label,) if second.label != first.label else (),
        shares if first is score else shares[::-1],
    )


def _score_cause(before: Control, after: Control) -> Cause:
    words = f"score of the subscription {plain(before.percent)} % → {plain(after.percent)} %"
    found = evidence(before, after)
    if found.label == "population":
        return Cause("population", found.confidence, (words, *found.evidence))
    if found.label == "configuration":
        return Cause("configuration", found.confidence, (words, *found.evidence))
    return Cause("unknown", "none", (words,))


def _weight_cause(before: Control, after: Control, context: Context) -> Cause:
    """The share of the whole moved: because its own weight did, or because subscriptions came or went."""
    words = f"share of the whole {plain(before.max_score)} % → {plain(after.max_score)} %"
    old, new = context.before, context.after
    was, now = _weight(before, old.weight), _weight(after, new.weight)
    same = was is not None and now is not None and abs(was - now) < 0.5 + 1e-6 * max(old.weight or 0, new.weight or 0)
    if same and old.controls.keys() != new.controls.keys():
        added = len(new.controls.keys() - old.controls.keys())
        removed = len(old.controls.keys() - new.controls.keys())
        return Cause("scope", "high", (f"{words}: subscriptions +{added} -{removed}",))
    return Cause("weight", "high", (words,))


def _weight(control: Control, whole: float | None) -> float | None:
    return None if whole is None or control.max_score is None else control.max_score * whole / 100.0
