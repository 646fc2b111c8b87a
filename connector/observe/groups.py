"""Points by category, service and tier between two versions: what moved in a group, and what changed its group. Pure.

A group is an attribute of a control, never part of its key: Microsoft re-categorises controls while their points stand
still. So the difference of a group's points has two parts, and for every group, to the ten-thousandth,

    after - before == moved + regrouped

with the sum of `regrouped` over all groups being 0. A move belongs to the group in which the control is afterwards (of
one that left: was); what it had before goes from its old group to its new one. No sums of a day live here (totals.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from connector.model import Control, Day, Event, Profile
from connector.model import moved as changed
from connector.observe import diff, explain

KINDS = ("category", "service", "tier")
UNKNOWN = "unknown"
SHOWN_FLOWS = 6
SHOWN_NAMES = 2
"""An event names so many of the largest flows, and so many controls of each: it has to stay small (DESIGN §6). The sums
by group are complete, and the catalogue's own events name every control."""

NONE: Mapping[str, Mapping[str, Any]] = {f"by_{kind}": {} for kind in KINDS}
"""What is told by group where controls have none."""
TYPES = ("score.observed", "profile.*")
"""The committed events that say by which catalogue a day was grouped."""

Profiles = Mapping[str, Profile]


def groups_of(control: Control | None, profile: Profile | None) -> tuple[str, str, str]:
    """The groups of a control, in the order of KINDS: its category is the day's own word for it, all else stands in the
    catalogue only.
    """
    category = control.category if control is not None else ""
    if profile is None:
        return category or UNKNOWN, UNKNOWN, UNKNOWN
    return category or profile.category or UNKNOWN, profile.service or UNKNOWN, profile.tier or UNKNOWN


def group_of(kind: str, control: Control | None, profile: Profile | None) -> str:
    """That of one kind."""
    return groups_of(control, profile)[KINDS.index(kind)]


@frozen
class Shift:
    """A control that changed its group, and the units it took along: those it had before (None: unknown)."""

    control: str
    kind: str
    before: str
    after: str
    units: int | None


def shifts(before: Day, after: Day, old: Profiles, new: Profiles) -> list[Shift]:
    """Every control of both versions that is in another group afterwards, by name; `old` and `new` are the catalogues
    of the versions.
    """
    names = changed(before.controls, after.controls)
    if old is not new:
        names = [*names, *(n for n, c in after.controls.items() if before.controls.get(n) is c)]
    found = []
    for name in sorted(names):
        was, now = before.controls.get(name), after.controls[name]
        profile = new.get(name)
        if was is not None and (was.category != now.category or old.get(name) is not profile):  # else nothing can be
            found += of_control(was, now, old.get(name), profile)
    return found


def of_control(was: Control, now: Control, old: Profile | None, new: Profile | None) -> list[Shift]:
    """How one control changed its groups."""
    units = None if was.score is None else diff.fixed(was.score)
    pairs = zip(KINDS, groups_of(was, old), groups_of(now, new), strict=True)
    return [Shift(was.name, kind, here, there, units) for kind, here, there in pairs if here != there]


def moved(parts: Iterable[diff.Contribution], old: Profiles, new: Profiles) -> dict[str, dict[str, float]]:
    """The signed points of contributions, by each kind of group."""
    sums: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for part in parts:
        profile = (old if part.after is None else new).get(part.control)
        for of_kind, name in zip(sums.values(), groups_of(part.known, profile), strict=True):
            of_kind[name] = of_kind.get(name, 0) + part.delta
    return {f"by_{kind}": _told(of_kind) for kind, of_kind in sums.items()}


def regrouped(found: Sequence[Shift]) -> dict[str, Any]:
    """What changed its group, as events carry it: signed points by each kind of group, and the flows in words."""
    told: dict[str, Any] = {}
    for kind in KINDS:
        sums: dict[str, int] = {}
        for shift in found:
            if shift.kind == kind:
                sums[shift.before] = sums.get(shift.before, 0) - (shift.units or 0)
                sums[shift.after] = sums.get(shift.after, 0) + (shift.units or 0)
        told[f"by_{kind}"] = _told({name: units for name, units in sums.items() if units})
    return {**told, "moves": flows(found)[:SHOWN_FLOWS]}


def flows(found: Sequence[Shift]) -> list[dict[str, Any]]:
    """From which group to which: how many controls, their points, and the first names; most points first."""
    pairs: dict[tuple[str, str, str], list[Shift]] = {}
    for shift in found:
        pairs.setdefault((shift.kind, shift.before, shift.after), []).append(shift)
    return [
        {
            "by": kind,
            "before": before,
            "after": after,
            "controls": len(along),
            "points": None if any(s.units is None for s in along) else diff.points(sum(s.units or 0 for s in along)),
            "names": [s.control for s in sorted(along, key=lambda s: (-(s.units or 0), s.control))[:SHOWN_NAMES]],
        }
        for (kind, before, after), along in sorted(
            pairs.items(), key=lambda item: (KINDS.index(item[0][0]), -sum(s.units or 0 for s in item[1]), item[0])
        )
    ]


def earlier(profiles: Profiles, events: Sequence[Event], day: str) -> Profiles:
    """The catalogue by which a day was grouped when it was told last: what events say changed after that, undone."""
    told = (str(e.data["observed_at"]) for e in events if e.type == "score.observed" and e.data["day"] == day)
    since = max(told, default=f"{day}T23:59:59Z")
    later = [e for e in events if e.type.startswith("profile.") and str(e.data["observed_at"]) > since]
    if not later:
        return profiles
    found = dict(profiles)
    for event in sorted(later, key=lambda e: str(e.data["observed_at"]), reverse=True):
        name, control = event.subject, event.data["control"]
        if event.type == "profile.added":
            found.pop(name, None)
        elif event.type == "profile.removed":
            category, service, tier = (str(control[kind] or "") for kind in KINDS)
            found[name] = Profile(name, control["title"], category, service, tier)
        elif name in found:
            fields: dict[str, Any] = {
                c["field"]: c["before"] or "" for c in event.data["changes"] if c["field"] in KINDS
            }
            found[name] = evolve(found[name], **fields)
    return found


def words(flow: Mapping[str, Any]) -> str:
    """A flow in words, e.g. "6 controls, 17.0 points, Apps → Identity"."""
    count, points = flow["controls"], flow["points"]
    told = "unknown points" if points is None else f"{explain.number(points)} points"
    return f"{count} control{'s' if count > 1 else ''}, {told}, {flow['before']} → {flow['after']}"


def _told(sums: Mapping[str, int]) -> dict[str, float]:
    return {name: diff.points(units) for name, units in sorted(sums.items())}
