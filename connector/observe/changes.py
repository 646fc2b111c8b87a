"""The content of the events of scores, controls and profiles: values in, `Change` out. Pure; one function a type.

What to say lives here (the sums of a day: totals.py; targets and the feed: notices.py); whether and when to say it is
decided in fold.py. Ids, times, tenant and severity are stamped in events.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from connector.foreign.links import web_address
from connector.ids import digest
from connector.model import SUBSCRIPTION, Change, Control, Day, Profile, StateUpdate, Unit, Version
from connector.observe import diff, explain, frameworks, groups, resources, totals
from connector.observe.causes import Cause, Context
from connector.observe.naming import points_called, score_called

MAX_COMMENT = 2_000
MAX_ASSESSMENTS = 20
"""How many of the recommendations that came to a control, or left it, an event names."""
CLOUD = "Defender for Cloud"


def control_info(name: str, control: Control | None, profile: Profile | None) -> dict[str, Any]:
    """The `control` object of an event; unknown facts are None, never invented."""
    state = diff.effective_state(profile)
    return {
        "id": name,
        "title": profile.title if profile and profile.title else name,
        "category": (control.category if control else "") or (profile.category if profile else "") or None,
        "service": (profile.service if profile else "") or None,
        "tier": (profile.tier if profile else "") or None,
        "max_score": diff.max_of(control, profile),
        "threats": list(profile.threats) if profile else [],
        "state": state.state if profile else None,
        "url": web_address(profile.action_url) or None if profile else None,
    }


def referenced_control(name: str, control: Control | None, profile: Profile | None) -> dict[str, Any]:
    """control_info plus `class` and `frameworks`, where there are any: for changes of a control only.

    The daily inventory goes without: it would say the same of every control every day.
    """
    return {**control_info(name, control, profile), **frameworks.tags(name)}


def profile_info(profile: Profile) -> dict[str, Any]:
    """By what an engineer sorts controls: effort and effect, as Microsoft states them."""
    return {
        "rank": profile.rank,
        "action_type": profile.action_type,
        "user_impact": profile.user_impact,
        "implementation_cost": profile.implementation_cost,
        "deprecated": profile.deprecated,
    }


def score_info(day: Day) -> dict[str, Any]:
    percent = day.percent
    return {
        "current": diff.rounded(day.score),
        "max": diff.rounded(day.max_score),
        "percent": None if percent is None else round(percent, 2),
    }


def control_value(control: Control, day: str) -> dict[str, Any]:
    """One side of a change. A control of resources says how many there are, and what was to be reached."""
    value = {"score": diff.rounded(control.score), "percent": diff.rounded(control.percent), "day": day}
    if control.max_score is None:
        return value
    counts = {"count": control.count, "total": control.total, "not_applicable": control.not_applicable}
    return {**value, "max": diff.rounded(control.max_score), **counts}


def snapshot(version: Version) -> dict[str, Any]:
    return {"snapshot": version.day.id, "revision": version.revision}


# ------------------------------------------------------------------------------------------------------------ score


def score_observed(
    version: Version,
    profiles: Mapping[str, Profile] | None,
    *,
    backfilled: bool,
    final: bool = False,
    late: bool = False,
    tally: totals.Tally | None = None,
    controls: bool = False,
    unit: Unit | None = None,
) -> Change:
    """The totals of a day; `controls` adds every control, in Graph's own names and types."""
    day = version.day
    score = score_info(day)
    of = f"of {day.day}" if unit is None else f"on {day.day}"
    words = f"{score_called(unit)} {of}: {explain.number(score['current'])} of {explain.number(score['max'])}"
    words += f" {points_called(unit)}"
    if score["percent"] is not None and (unit is None or unit.kind == "subscription"):
        words += f" ({score['percent']:.2f} %)"
    data: dict[str, Any] = {
        "summary": words,
        "score": score,
        **totals.of_day(version, profiles, tally),
        "averages": [
            {"basis": a.basis, "percent": a.percent, **({"detail": dict(a.detail)} if a.detail else {})}
            for a in day.averages
        ],
        "users": {"active": day.active_users, "licensed": day.licensed_users},
        "services": list(day.services),
        "final": final,
        "late": late,
        "detailed": day.detailed,
        "flags": list(day.flags),
        **(_as_graph_has_it(day) if controls else {}),
        **snapshot(version),
    }
    return Change("score.observed", "score", "", version.ref, day.day, data, backfilled=backfilled)


def _as_graph_has_it(day: Day) -> dict[str, Any]:
    """The figures, averages and controls of a day in Graph's own names and types, for what reads its documents."""
    figures = {"currentScore": _figure(day.score), "maxScore": _figure(day.max_score)}
    averages = [
        {"basis": a.basis, "averageScore": a.percent, **{_GRAPH.get(k, k): _worded(k, v) for k, v in a.detail.items()}}
        for a in day.averages
    ]
    controls = [_control_as_graph_has_it(c, day.more.get(c.name, {})) for c in day.controls.values()]
    return {"graph": {**figures, "averageComparativeScores": averages}, "control_scores": controls}


_GRAPH = {"seatSizeRangeLowerValue": "SeatSizeRangeLowerValue", "seatSizeRangeUpperValue": "SeatSizeRangeUpperValue"}
"""Names that Graph writes with a capital letter, and their numbers as text."""


def _worded(key: str, value: float | str | None) -> float | str | None:
    return f"{value:.12g}" if key in _GRAPH and isinstance(value, float) else _figure(value)


def _figure(value: float | str | None) -> float | str | None:
    """A whole number without a fraction, as JSON writers have it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _control_as_graph_has_it(control: Control, more: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of `controlScores`; Graph sends truth and counts as text, and leaves out what it does not say."""
    found = {
        "controlName": control.name,
        "controlCategory": control.category,
        "score": _figure(diff.rounded(control.score)),
        "scoreInPercentage": _figure(diff.rounded(control.percent)),
        "on": None if control.on is None else str(control.on).lower(),
        "count": None if control.count is None else str(control.count),
        "total": None if control.total is None else str(control.total),
        "implementationStatus": control.status,
        **more,
    }
    return {key: value for key, value in found.items() if value is not None}


def controls_observed(version: Version, profiles: Mapping[str, Profile]) -> Iterator[Change]:
    """The inventory of a day, by name: what each of its controls is worth, how it stands, and on what evidence."""
    of_day = _Inventory(version.day.day, version.ref, version.until, score_info(version.day), snapshot(version))
    for name in sorted(version.day.controls):
        yield _control_observed(of_day, version.day.controls[name], profiles.get(name))


@frozen
class _Inventory:
    """What all events of one inventory say: made once."""

    day: str
    ref: str
    until: str
    score: Mapping[str, Any]
    snapshot: Mapping[str, Any]


def _control_observed(of_day: _Inventory, control: Control, profile: Profile | None) -> Change:
    info = control_info(control.name, control, profile)
    score, maximum = explain.number(control.score), explain.number(info["max_score"])
    percent = "" if control.percent is None else f" ({diff.rounded(control.percent):.12g} %)"
    name = _called(control, profile)
    data: dict[str, Any] = {
        "summary": f"Control {name}: {score} of {maximum} points{percent}",
        "after": {
            **control_value(control, of_day.day),
            "on": control.on,
            "count": control.count,
            "total": control.total,
            "status": control.status,
            "assigned_to": diff.effective_state(profile).assigned_to,
        },
        "asserted": diff.asserted_units(control, profile, of_day.until) != 0 if profile else None,
        "control": info,
        "profile": profile_info(profile) if profile else None,
        "score": of_day.score,
        **of_day.snapshot,
    }
    return Change("control.observed", control.name, "", of_day.ref, of_day.day, data)


def _called(control: Control, profile: Profile | None) -> str:
    return explain.called(control, {control.name: profile} if profile is not None else {})


def score_changed(
    before: Version,
    after: Version,
    decomposition: diff.Decomposition,
    why: Callable[[diff.Contribution], Cause],
    context: Context,
    *,
    backfilled: bool,
    grouped_by: Mapping[str, Profile] | None = None,
    unit: Unit | None = None,
) -> Change:
    """`why` tells the cause of each contribution; `context` that of a maximum which moved alone. `grouped_by` is the
    catalogue by which the points of `before` were grouped; the one of now where it is None.
    """
    old_groups = context.profiles if grouped_by is None else grouped_by
    regrouped = groups.regrouped(groups.shifts(before.day, after.day, old_groups, context.profiles))
    parts = [(part, why(part)) for part in decomposition.contributions]
    delta = None if decomposition.delta is None else diff.points(decomposition.delta)
    main = explain.main_cause(parts, decomposition, context)
    still = not parts and decomposition.delta == decomposition.max_delta == decomposition.residual == 0
    if still:
        main = explain.still([groups.words(flow) for flow in regrouped["moves"]])
    old, new = score_info(before.day), score_info(after.day)
    verb = {"regressed": "dropped", "improved": "rose"}.get(explain.direction(delta), "changed")
    summary = f"{score_called(unit)} {verb}: {explain.number(old['current'])} → {explain.number(new['current'])}"
    summary += f" ({explain.signed(delta)} {points_called(unit)})"
    if still:
        summary = f"{score_called(unit)} unchanged: {explain.number(new['current'])} {points_called(unit)}"
    if old["max"] != new["max"]:
        summary += f", maximum {explain.number(old['max'])} → {explain.number(new['max'])}"
    if regrouped["moves"]:
        summary += f"; {groups.words(regrouped['moves'][0])}"
    data: dict[str, Any] = {
        "direction": _direction(decomposition, unit),
        "summary": summary,
        "before": {**old, "day": before.day.day, "revision": before.revision},
        "after": {**new, "day": after.day.day, "revision": after.revision},
        "delta": delta,
        "max_delta": None if decomposition.max_delta is None else diff.points(decomposition.max_delta),
        "residual": None if decomposition.residual is None else diff.points(decomposition.residual),
        "percent": diff.percent_split(before.day, after.day),
        "cause": main.as_data(),
        "top": [explain.contribution_words(part, context.profiles) for part, _ in parts[:5]],
        **(groups.moved(decomposition.contributions, old_groups, context.profiles) if unit is None else groups.NONE),
        "regrouped": regrouped,
        **({} if unit is None else _effects(before.day, after.day)),
        "contributions": [_contribution(part, reason, context) for part, reason in parts],
        "score": new,
        **snapshot(after),
    }
    return Change("score.changed", "score", before.ref, after.ref, after.day.day, data, backfilled=backfilled)


def _direction(decomposition: diff.Decomposition, unit: Unit | None) -> str:
    """Points that came or went because a control applies now, or does not any more, are nobody's doing."""
    if decomposition.delta is None:
        return explain.direction(None)
    units = decomposition.delta - diff.by_applicability(decomposition.contributions)
    return explain.direction(diff.points(units), lower_is_better=unit is not None and unit.lower_is_better)


def _contribution(part: diff.Contribution, why: Cause, context: Context) -> dict[str, Any]:
    """A contribution; what has a GUID for a name says its title, too, and a subscription what its weight did."""
    data = explain.contribution_data(part, why)
    if part.known.max_score is None:
        return data
    data["title"] = explain.called(part.known, context.profiles)
    if part.known.category == SUBSCRIPTION and part.before is not None and part.after is not None:
        score, weight = resources.effects(part.before, part.after)
        data["effects"] = {"score": diff.points(score), "weight": diff.points(weight)}
    return data


def _effects(before: Day, after: Day) -> dict[str, Any]:
    """What scores, weights, and subscriptions that came or went made of a change of the score over all: with the
    residual they sum to it exactly. {} for any other score.

    A subscription that came or went counts by how far its score is from that of all before: one that is just as good
    changes nothing, however much of the whole it takes from the others.
    """
    old, new = before.controls, after.controls
    if not any(control.category == SUBSCRIPTION for control in (*old.values(), *new.values())):
        return {}

    def apart(control: Control) -> int:
        return diff.fixed((control.score or 0.0) - (control.max_score or 0.0) * (before.score or 0.0) / 100.0)

    sums = {
        "score": sum(resources.effects(old[name], new[name])[0] for name in new if name in old),
        "weight": 0,
        "added": sum(apart(new[name]) for name in new if name not in old),
        "removed": -sum(apart(old[name]) for name in old if name not in new),
    }
    sums["weight"] = sum(part.delta for part in diff.contributions(before, after)) - sum(sums.values())
    return {"effects": {name: diff.points(units) for name, units in sums.items()}}


# ---------------------------------------------------------------------------------------------------------- controls


def control_score_changed(
    was: Control,
    now: Control,
    after: Version,
    why: Cause,
    profile: Profile | None,
    *,
    was_day: str,
    was_ref: str,
    transition: str | None,
    backfilled: bool,
) -> Change:
    delta = None
    if was.score is not None and now.score is not None:
        delta = diff.points(diff.fixed(now.score) - diff.fixed(was.score))
    words = {"regressed": "score dropped", "improved": "score rose"}.get(explain.direction(delta), "score changed")
    old, new = explain.number(was.score), explain.number(now.score)
    if applicability := diff.applicability(was, now):
        words = "applies again" if now.max_score else "applies to nothing any more"
    name = _called(now, profile)
    data: dict[str, Any] = {
        "direction": "unchanged" if applicability else explain.direction(delta),
        "transition": transition,
        "summary": f"Control {words}: {name} {old} → {new} ({explain.signed(delta)} points)",
        "before": control_value(was, was_day),
        "after": control_value(now, after.day.day),
        "delta": delta,
        "cause": why.as_data(),
        "control": referenced_control(now.name, now, profile),
        "score": score_info(after.day),
        **snapshot(after),
    }
    return Change("control.score_changed", now.name, was_ref, after.ref, after.day.day, data, backfilled=backfilled)


def control_presence(
    kind: str,
    control: Control,
    before: Version,
    after: Version,
    why: Cause,
    profile: Profile | None,
    *,
    transition: str | None,
    backfilled: bool,
) -> Change:
    """control.added or control.removed (`kind` is "added" or "removed")."""
    added = kind == "added"
    units = None if control.score is None else diff.fixed(control.score)
    delta = None if units is None else diff.points(units if added else -units)
    data: dict[str, Any] = {
        "direction": explain.direction(delta),
        "transition": transition,
        "summary": f"Control {kind}: {_called(control, profile)} ({explain.signed(delta)} points)",
        "before": None if added else control_value(control, before.day.day),
        "after": control_value(control, after.day.day) if added else None,
        "delta": delta,
        "cause": why.as_data(),
        "control": referenced_control(control.name, control, profile),
        "score": score_info(after.day),
        **snapshot(after),
    }
    return Change(f"control.{kind}", control.name, before.ref, after.ref, after.day.day, data, backfilled=backfilled)


def control_evidence_changed(
    was: Control, now: Control, before: Version, after: Version, profile: Profile | None, *, backfilled: bool = False
) -> Change:
    """The evidence of a control (counts, on/off, status text) changed."""

    def evidence(control: Control) -> dict[str, Any]:
        told = {"on": control.on, "count": control.count, "total": control.total, "status": control.status}
        return told if control.max_score is None else {**told, "not_applicable": control.not_applicable}

    old, new = evidence(was), evidence(now)
    changed = [key for key in old if old[key] != new[key]]
    data: dict[str, Any] = {
        "summary": f"Control evidence changed: {_called(now, profile)} ({', '.join(changed)})",
        "before": {**control_value(was, before.day.day), **old},
        "after": {**control_value(now, after.day.day), **new},
        "changed": changed,
        "cause": explain.evidence_cause(was, now).as_data(),
        "control": referenced_control(now.name, now, profile),
        "score": score_info(after.day),
        **snapshot(after),
    }
    return Change(
        "control.evidence_changed",
        now.name,
        f"{before.ref}#{digest(old)}",
        f"{after.ref}#{digest(new)}",
        after.day.day,
        data,
        backfilled=backfilled,
    )


def state_data(update: StateUpdate) -> dict[str, Any]:
    comment = update.comment[:MAX_COMMENT] if update.comment else update.comment
    return {"state": update.state, "comment": comment, "assigned_to": update.assigned_to, "updated_by": update.by}


def control_state_changed(
    entry: diff.StateEntry, control: Control | None, score_day: Day | None, *, day: str, backfilled: bool
) -> Change:
    """An entry of a state history. `control.state` is the state in force, which an older entry or a comment leaves."""
    profile, update = entry.profile, entry.after
    who = f" by {update.by}" if update.by else ""
    in_force = diff.state_on(profile, day) if backfilled else diff.effective_state(profile)
    words = f"Control state changed: {profile.id} {entry.before.state} → {update.state}{who}"
    if not entry.moves:
        what = {"edited": "entry edited", "history": "entry told late"}.get(entry.kind, "confirmed")
        words = f"Control state {what}: {profile.id} {update.state}{who}, in force is {in_force.state}"
    data: dict[str, Any] = {
        "direction": _state_direction(entry.before.state, update.state) if entry.moves else "unchanged",
        "summary": words,
        "before": state_data(entry.before),
        "after": state_data(update),
        "asserted": update.state in diff.ASSERTED,
        "cause": Cause("state_asserted", "high", (f"state {entry.before.state} → {update.state}{who}",)).as_data(),
        "control": {**referenced_control(profile.id, control, profile), "state": in_force.state},
        "score": score_info(score_day) if score_day else None,
        "snapshot": score_day.id if score_day else None,
    }
    return Change(
        "control.state_changed",
        profile.id,
        entry_identity(entry.before) if entry.kind == "withdrawn" else "",
        f"{entry_identity(update)}#{entry.occurrence}",
        day,
        data,
        backfilled=backfilled,
        occurred_at=update.at,
    )


def entry_identity(update: StateUpdate) -> str:
    return digest([update.state, update.at, update.by, update.comment, update.assigned_to])


def _state_direction(before: str, after: str) -> str:
    """Asserting or accepting a risk hides measurement: "asserted"; the way back is "measured"."""
    return "asserted" if after in diff.DECLARED else "measured" if before in diff.DECLARED else "unchanged"


# --------------------------------------------------------------------------------------------------------- catalogue


def profile_change(change: diff.ProfileChange, newest: Day | None) -> Change:
    """profile.added, profile.removed or profile.changed. Of long texts only the fact that they changed is told."""
    profile = change.after or change.before
    assert profile is not None
    changed = [_field_change(name, *pair) for name, pair in change.fields.items()]
    identity = {c: getattr(profile, c) for c in ("title", "max_score", "category")}
    words = {"added": "added to the catalogue", "removed": "removed from the catalogue"}.get(change.kind, "changed")
    detail = f" ({', '.join(c['field'] for c in changed)})" if changed else ""
    data: dict[str, Any] = {
        "summary": f"Control profile {words}: {_profile_called(profile)}{detail}",
        "changes": changed,
        "control": control_info(profile.id, newest.controls.get(profile.id) if newest else None, profile),
        "profile": profile_info(profile),
        "regrouped": None,
        "score": score_info(newest) if newest else None,
        "snapshot": newest.id if newest else None,
    }
    old = {name: pair[0] for name, pair in change.fields.items()} or (identity if change.kind == "removed" else None)
    new = {name: pair[1] for name, pair in change.fields.items()} or (identity if change.kind == "added" else None)
    anchor = newest.id if newest else ""
    return Change(
        f"profile.{change.kind}",
        profile.id,
        f"{digest(old)}#{anchor}",
        f"{digest(new)}#{anchor}",
        newest.day if newest else "",
        data,
    )


def _profile_called(profile: Profile) -> str:
    """By its id, unless that is a GUID."""
    return profile.title if profile.service == CLOUD and profile.title else profile.id


def category_changed(shift: groups.Shift, day: Day, profile: Profile | None) -> Change:
    """A day has another word for a control's category while its catalogue entry, if there is one, stayed as it was."""
    entry = profile or Profile(shift.control, "")
    moved = diff.ProfileChange(shift.control, "changed", entry, entry, {shift.kind: (shift.before, shift.after)})
    return with_regrouped(profile_change(moved, day), [shift])


def with_regrouped(change: Change, shifts: Sequence[groups.Shift]) -> Change:
    """The change of a profile, with the points of its control that went to other groups with it."""
    regrouped = groups.regrouped(shifts)
    summary = f"{change.data['summary']}; {groups.words(regrouped['moves'][0])}"
    return evolve(change, data={**change.data, "summary": summary, "regrouped": regrouped})


def _field_change(name: str, before: Any, after: Any) -> dict[str, Any]:
    if name.endswith("_sha256"):
        return {"field": name.removesuffix("_sha256"), "before": None, "after": None}
    if name == "assessments":
        added, removed = ([one for one in a if one not in b] for a, b in ((after, before), (before, after)))
        counts = {"before": len(before), "after": len(after)}
        return {"field": name, **counts, "added": added[:MAX_ASSESSMENTS], "removed": removed[:MAX_ASSESSMENTS]}
    return {"field": name, "before": _plain(before), "after": _plain(after)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def tenant_changed(before: Version, after: Version, *, backfilled: bool) -> Change | None:
    """The licensed services differ between two days; None when they do not.

    User counts are left out: Graph reports 0 or absurd values for them, so they prove nothing.
    """
    if before.day.services == after.day.services:  # nearly always
        return None
    added, removed = diff.services_changed(before.day, after.day)
    if not added and not removed:
        return None
    words = " ".join([f"+{s}" for s in added] + [f"-{s}" for s in removed])
    old, new = list(before.day.services), list(after.day.services)
    data: dict[str, Any] = {
        "summary": f"Tenant changed: licensed services {words}",
        "changes": [{"field": "services", "before": old, "after": new}],
        "added": added,
        "removed": removed,
        "cause": Cause("licence", "high", (f"licensed services {words}",)).as_data(),
        "score": score_info(after.day),
        **snapshot(after),
    }
    return Change(
        "tenant.changed",
        "tenant",
        f"{digest(old)}#{after.day.id}",
        f"{digest(new)}#{after.day.id}",
        after.day.day,
        data,
        backfilled=backfilled,
    )
