"""Two days, or two catalogues, compared: what differs, and the exact decomposition of a score change. Pure.

No thresholds, no memory, no clock and no wording of causes live here (fold.py, explain.py). Points are added as whole
ten-thousandths, so every sum is exact to 4 decimals.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from attrs import Factory, evolve, frozen

from connector.model import SUBSCRIPTION, UNKNOWN, Control, Day, Profile, StateUpdate, moved

UNIT = 10_000


def fixed(value: float) -> int:
    """Points → whole ten-thousandths of a point."""
    return round(value * UNIT)


def points(units: int) -> float:
    """Whole ten-thousandths → points."""
    return units / UNIT


@lru_cache(maxsize=4096)  # there are few, and rounding one takes long
def rounded(value: float | None) -> float | None:
    """Four decimals, -0.0 as 0.0; None stays unknown."""
    return None if value is None else round(value, 4) + 0.0


# --------------------------------------------------------------------------------------------------- control scores


class Contribution(NamedTuple):
    """What one control adds to a score change, in ten-thousandths of a point.

    `kind` is "moved", "added" or "removed"; `before`/`after` are the control on each side, None where it is absent.
    A tuple, which is made in half the time of a frozen class: a busy day has dozens.
    """

    control: str
    kind: str
    before: Control | None
    after: Control | None
    delta: int

    @property
    def known(self) -> Control:
        """The control as last seen on either side."""
        side = self.after or self.before
        assert side is not None
        return side


@frozen
class Decomposition:
    """delta == sum(contributions) + residual, exactly; `delta` and `residual` are None when a total is unknown.

    `contributions` are complete and ordered by size (largest first), then name.
    """

    delta: int | None
    residual: int | None
    max_delta: int | None
    contributions: tuple[Contribution, ...]


def gone(before: Mapping[str, Control], after: Mapping[str, Control]) -> list[str]:
    """Names of those controls of `before` that `after` lacks, in its order."""
    return [] if list(before) == list(after) else [name for name in before if name not in after]


def contributions(before: Day, after: Day) -> list[Contribution]:
    """Every control that adds points, takes points, appears or disappears between two days.

    A control whose score is unknown on one side is left out: its share falls into the residual, never into a guess.
    """
    found = []
    old, new = before.controls, after.controls
    added = 0
    for name in moved(old, new):
        was, now = old.get(name), new[name]
        if was is None:
            added += 1
            found.append(Contribution(name, "added", None, now, fixed(now.score or 0.0)))
            continue
        score, later = was.score, now.score
        if score != later and score is not None and later is not None:
            delta = round(later * UNIT) - round(score * UNIT)  # `fixed`: calls are a tenth of the whole
            if delta:
                found.append(Contribution(name, "moved", was, now, delta))
    if len(old) + added > len(new):
        names = gone(old, new)
        found += [Contribution(name, "removed", old[name], None, -fixed(old[name].score or 0.0)) for name in names]
    return found


def decompose(before: Day, after: Day) -> Decomposition:
    """The exact decomposition of the score change between two days, or between two revisions of one day."""
    parts = sorted(contributions(before, after), key=attrgetter("control"))
    parts.sort(key=lambda c: abs(c.delta), reverse=True)  # stable, and faster than by both at once
    delta = None
    if before.score is not None and after.score is not None:
        delta = fixed(after.score) - fixed(before.score)
    max_delta = None
    if before.max_score is not None and after.max_score is not None:
        max_delta = fixed(after.max_score) - fixed(before.max_score)
    residual = None if delta is None else delta - sum(c.delta for c in parts)
    return Decomposition(delta, residual, max_delta, tuple(parts))


def percent_split(before: Day, after: Day) -> dict[str, float | None]:
    """The percentage change as a numerator effect (points) plus a denominator effect (maximum), which sum exactly."""
    old, new = rounded(before.percent), rounded(after.percent)
    if old is None or new is None or before.score is None or after.score is None or before.max_score is None:
        return {"before": old, "after": new, "delta": None, "numerator": None, "denominator": None}
    delta = fixed(new) - fixed(old)
    numerator = fixed(100.0 * (after.score - before.score) / before.max_score)
    if before.max_score == after.max_score:
        numerator = delta
    return {
        "before": old,
        "after": new,
        "delta": points(delta),
        "numerator": points(numerator),
        "denominator": points(delta - numerator),
    }


def max_of(control: Control | None, profile: Profile | None) -> float | None:
    """A control's maximum: the one it states, the catalogue's, else derived from score and percentage, else unknown.

    Percentages are computed from rounded scores, so the quotient is rounded to the integer Graph uses for maxima.
    """
    if control is not None and control.max_score is not None:  # of this day: 0 where it applies to nothing
        return control.max_score
    if profile is not None and profile.max_score is not None:
        return profile.max_score
    return derived_max(control)


def derived_max(control: Control | None) -> float | None:
    """The maximum that score and percentage imply; None when the percentage is 0 or either is unknown.

    Percentages have two decimals: what is below counts as 0.
    """
    if control is not None and control.max_score is not None:
        return control.max_score or None
    if control is None or control.percent is None or control.percent < 0.01 or control.score is None:
        return None
    return float(round(100.0 * control.score / control.percent)) or None


def applicability(before: Control | None, after: Control | None) -> bool:
    """Whether a control applies to resources now and did not before, or the reverse: its points came or went with its
    maximum, which nobody gained or lost.
    """
    if before is None or after is None:
        return False
    was, now = _applies(before), _applies(after)
    return was is not None and now is not None and was != now


def _applies(control: Control) -> bool | None:
    if control.max_score is None:
        return None
    if control.category == SUBSCRIPTION:  # whose maximum is its weight
        return None if control.total is None else control.total > 0
    return control.max_score > 0


def by_applicability(parts: Sequence[Contribution]) -> int:
    """The units of a change that came or went with the maximum of their controls."""
    return sum(part.delta for part in parts if applicability(part.before, part.after))


def lost_share(before: Day, after: Day) -> float:
    """The share (0-1) of the earlier day's controls that the later day lacks."""
    if not before.controls:
        return 0.0
    return sum(name not in after.controls for name in before.controls) / len(before.controls)


def services_changed(before: Day, after: Day) -> tuple[list[str], list[str]]:
    """Licensed services (added, removed), each sorted. An empty list says nothing: no tenant is without any."""
    if not before.services or not after.services:
        return [], []
    old, new = set(before.services), set(after.services)
    return sorted(new - old), sorted(old - new)


# ------------------------------------------------------------------------------------------------------- catalogue

DEFAULT_STATE = StateUpdate(state="Default")
UNKNOWN_STATE = StateUpdate(state=UNKNOWN)
NEVER_TOUCHED = (DEFAULT_STATE,)
ASSERTED = frozenset({"ThirdParty", "Reviewed"})
"""States that award full points nobody measured."""
DECLARED = frozenset({*ASSERTED, "Ignored"})
"""States that somebody has to declare: the control counts as accepted, or as solved elsewhere."""

TEXT_FIELDS = ("title", "remediation_sha256", "remediation_impact_sha256", "action_url")
"""What is written for people, as it stands (URLs carry locales)."""
WORD_FIELDS = ("category", "tier", "user_impact", "implementation_cost", "threats")
"""Words from short lists; like the texts they may change with the language alone."""
PLAIN_FIELDS = ("service", "max_score", "rank", "action_type", "deprecated", "assessments")


@frozen
class ProfileChange:
    """One catalogue entry that came, went or differs; `fields` maps each differing field to (before, after)."""

    id: str
    kind: str  # added | removed | changed
    before: Profile | None
    after: Profile | None
    fields: Mapping[str, tuple[Any, Any]] = Factory(dict)


@frozen
class StateEntry:
    """What is new in a control's state history; `occurrence` counts equal entries before it, so ids stay distinct.

    `kind`: "added" behind all that was known; "history" where it stands before something that was known, so that it
    decides nothing; "edited" where only the words of a known entry (`before`) are others, or the state it names;
    "withdrawn" where no entry is new, but `before` vanished from the history and `after` counts again.
    """

    profile: Profile
    before: StateUpdate
    after: StateUpdate
    occurrence: int
    kind: str = "added"

    @property
    def moves(self) -> bool:
        """Whether the state in force became another by it."""
        if self.before.state == self.after.state or self.kind == "history":
            return False
        return self.kind != "edited" or effective_state(self.profile) == self.after


def ordered_updates(profile: Profile) -> list[StateUpdate]:
    """State history oldest first: undated entries are oldest, ties keep document order."""
    return sorted(profile.updates, key=lambda u: u.at or "")


def effective_state(profile: Profile | None) -> StateUpdate:
    """The entry that counts: the latest by time, the last of a tie; an empty history is Default."""
    if profile is None or not profile.updates:
        return DEFAULT_STATE
    if len(profile.updates) == 1:  # nearly always
        return profile.updates[0]
    sure, doubtful = _by_doubt(profile)
    if doubtful:
        return _agreed([*(entry for entry in sure[-1:] if entry.at), *doubtful])
    return sure[-1] if sure else DEFAULT_STATE


def state_at(profile: Profile, moment: str) -> StateUpdate:
    """The state in force at a moment (undated entries always were)."""
    if len(profile.updates) == 1 and not profile.updates[0].at_unusable:
        only = profile.updates[0]
        return only if only.at is None or only.at[:19] <= moment[:19] else DEFAULT_STATE
    sure, doubtful = _by_doubt(profile)
    then = [entry for entry in sure if entry.at is None or entry.at[:19] <= moment[:19]]
    return _agreed([then[-1] if then else DEFAULT_STATE, *doubtful])


def _by_doubt(profile: Profile | None) -> tuple[list[StateUpdate], list[StateUpdate]]:
    """The history oldest first, and apart from it the entries whose date cannot be read: they may stand anywhere."""
    updates = ordered_updates(profile) if profile else []
    return [u for u in updates if not u.at_unusable], [u for u in updates if u.at_unusable]


def _agreed(candidates: Sequence[StateUpdate]) -> StateUpdate:
    """The last of the entries of which any may be in force, if all name one state; else nobody knows."""
    return candidates[-1] if len({entry.state for entry in candidates}) == 1 else UNKNOWN_STATE


def state_on(profile: Profile, day: str) -> StateUpdate:
    """The state in force at the end of a day."""
    return state_at(profile, f"{day}T23:59:59Z")


def asserted_units(control: Control, profile: Profile | None, moment: str) -> int | None:
    """The points, in units, that a control has by statement at a moment; None when they are unknown.

    A statement awards full points, some days later: until then what a control has was measured.
    """
    return 0 if profile is None or state_at(profile, moment).state not in ASSERTED else stated_units(control, profile)


def stated_units(control: Control, profile: Profile) -> int | None:
    """Those of a control whose state is one that awards them."""
    if is_full(control, profile) is False:
        return 0
    return None if control.score is None else fixed(control.score)


def is_full(control: Control, profile: Profile | None) -> bool | None:
    """Whether a control has all its points; None when neither percentage nor maximum is known."""
    if control.percent is not None:
        return control.percent >= 100.0
    most = control.max_score if control.max_score is not None else profile.max_score if profile is not None else None
    return None if control.score is None or not most else control.score >= most


def profile_changes(
    before: Mapping[str, Profile], after: Mapping[str, Profile], *, texts: bool = True, foreign: Collection[str] = ()
) -> list[ProfileChange]:
    """Catalogue entries added, removed and changed, by id. `texts=False` ignores what a language change alone moves,
    and so it is for those known in a `foreign` language.
    """
    found = []
    for key in sorted(after):
        new, old = after[key], before.get(key)
        if old is None:
            found.append(ProfileChange(key, "added", None, new))
        elif old is not new and old != new:
            names = PLAIN_FIELDS + WORD_FIELDS + TEXT_FIELDS if texts and key not in foreign else PLAIN_FIELDS
            fields = {n: (getattr(old, n), getattr(new, n)) for n in names if _differs(old, new, n)}
            if fields:
                found.append(ProfileChange(key, "changed", old, new, fields))
    found.extend(ProfileChange(key, "removed", before[key], None) for key in sorted(before) if key not in after)
    return found


def _differs(old: Profile, new: Profile, name: str) -> bool:
    a, b = getattr(old, name), getattr(new, name)
    if name == "threats":
        return sorted(_fold(t) for t in a) != sorted(_fold(t) for t in b)
    if isinstance(a, str) and isinstance(b, str) and name not in TEXT_FIELDS:
        return _fold(a) != _fold(b)
    return bool(a != b)


def _fold(text: str) -> str:
    """Case and spacing of catalogue words vary from read to read and mean nothing."""
    return " ".join(text.casefold().split())


def new_state_entries(before: Profile | None, after: Profile) -> list[StateEntry]:
    """What is new in a state history against the one read before, in the order it happened.

    The undated Default entry of a never-touched control is no entry. The order of a document proves nothing, and what
    is cut off at the old end was known.
    """
    if after.updates == (before.updates if before else NEVER_TOUCHED):
        return []
    if any(update.at_unusable for update in after.updates):
        return _entries_without_order(before, after)
    unmatched = Counter(before.updates) if before else Counter()
    updates = ordered_updates(after)
    kept = set()
    for n, update in enumerate(updates):
        if unmatched[update] > 0:
            unmatched[update] -= 1
            kept.add(n)
    vanished: dict[str | None, list[StateUpdate]] = {}
    for old in unmatched.elements():
        vanished.setdefault(old.at, []).append(old)
    edited = {n: was for n, new in enumerate(updates) if n not in kept and (was := _unedited(new, vanished))}
    last_known = max(kept | edited.keys(), default=-1)
    last = effective_state(before)
    in_force = last if last_known < 0 or last in vanished.get(last.at, ()) else updates[last_known]

    found: list[StateEntry] = []
    counts: Counter[StateUpdate] = Counter()
    for n, update in enumerate(updates):
        occurrence = counts[update]
        counts[update] += 1
        if n in edited:
            found.append(StateEntry(after, edited[n], update, occurrence, "edited"))
        elif n in kept or update == DEFAULT_STATE:
            continue
        elif n < last_known:
            found.append(StateEntry(after, updates[n - 1] if n else DEFAULT_STATE, update, occurrence, "history"))
        else:
            found.append(StateEntry(after, in_force, update, occurrence))
            in_force = update
    now = effective_state(after)
    if in_force.state != now.state and before is not None:
        found.append(StateEntry(after, last, now, counts[now], "withdrawn"))
    return found


def _entries_without_order(before: Profile | None, after: Profile) -> list[StateEntry]:
    """What is new in a history in which a date cannot be read. What an entry followed is known if it is in force."""
    unmatched = Counter(before.updates) if before else Counter()
    counts: Counter[StateUpdate] = Counter()
    now, last = effective_state(after), effective_state(before)
    found = []
    for update in ordered_updates(after):
        occurrence = counts[update]
        counts[update] += 1
        undated = evolve(update, at_unusable=False)  # how versions before kept it
        if unmatched[update] > 0 or unmatched[undated] > 0:
            unmatched[update if unmatched[update] > 0 else undated] -= 1
        elif update != DEFAULT_STATE:
            was = last if update.state == now.state else UNKNOWN_STATE
            found.append(StateEntry(after, was, update, occurrence))
    if not found and before is not None and last.state != now.state and unmatched.total():
        found.append(StateEntry(after, last, now, counts[now], "withdrawn"))
    return found


def _unedited(new: StateUpdate, vanished: Mapping[str | None, list[StateUpdate]]) -> StateUpdate | None:
    """The vanished entry that this one was, taken out: one of the same moment, rather of the same state."""
    same = vanished.get(new.at, [])
    old = next((old for old in same if old.state == new.state), None)
    if old is None and new.at is not None and same:
        old = same[0]
    if old is not None:
        same.remove(old)
    return old
