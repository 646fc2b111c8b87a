"""The content of every event type: values in, `Change` out. Pure; one function a type.

What to say lives here; whether and when to say it is decided in fold.py. Ids, times, tenant and severity are
stamped in events.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define, frozen

from connector.ids import digest
from connector.model import Change, Control, Day, Profile, StateUpdate, Version
from connector.observe import diff, explain, frameworks

MAX_COMMENT = 2_000


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
        "url": _link(profile.action_url) if profile else None,
    }


def _link(url: str) -> str | None:
    """A link that consoles may make clickable: an address of the web, or none at all."""
    return url if url.isprintable() and url.casefold().startswith(("https://", "http://")) else None


def referenced_control(name: str, control: Control | None, profile: Profile | None) -> dict[str, Any]:
    """control_info plus `class` and `frameworks`, where there are any: for changes of a control only.

    The daily inventory goes without: it would say the same of every control every day.
    """
    return {**control_info(name, control, profile), **frameworks.tags(name)}


def score_info(day: Day) -> dict[str, Any]:
    percent = day.percent
    return {
        "current": diff.rounded(day.score),
        "max": diff.rounded(day.max_score),
        "percent": None if percent is None else round(percent, 2),
    }


def control_value(control: Control, day: str) -> dict[str, Any]:
    return {"score": diff.rounded(control.score), "percent": diff.rounded(control.percent), "day": day}


def _snapshot(version: Version) -> dict[str, Any]:
    return {"snapshot": version.day.id, "revision": version.revision}


# ------------------------------------------------------------------------------------------------------------ score


@frozen
class _Row:
    """What totals need of a control: points and maximum in units; the profile where a state was ever asserted."""

    category: str
    service: str
    units: int | None
    top: int | None
    fullness: str
    stated: Profile | None


@define
class _Sum:
    """A sum that is unknown as long as one of its parts is."""

    known: int = 0
    unknown: int = 0

    def add(self, units: int | None, times: int) -> None:
        if units is None:
            self.unknown += times
        else:
            self.known += times * units

    @property
    def units(self) -> int | None:
        return None if self.unknown else self.known


@define
class _Group:
    """The controls of one category or service. What is told of it stays one object until something moves."""

    controls: int = 0
    score: _Sum = Factory(_Sum)
    top: _Sum = Factory(_Sum)
    _told: dict[str, float | None] | None = None

    def add(self, row: _Row, times: int) -> None:
        self.controls += times
        self.score.add(row.units, times)
        self.top.add(row.top, times)
        self._told = None

    def told(self) -> Mapping[str, float | None]:
        if self._told is None:
            score, top = self.score.units, self.top.units
            self._told = {
                "score": None if score is None else diff.points(score),
                "max": None if top is None else diff.points(top),
                "percent": round(100.0 * score / top, 2) if top and score is not None else None,
            }
        return self._told


@define
class Tally:
    """Sums that go from one day to the next: what moved is taken away and added, all else stays.

    For days under one catalogue, in which a control that did not move is one object. All sums are whole numbers, so
    the way there makes no difference.
    """

    profiles: Mapping[str, Profile] = Factory(dict)
    _controls: Mapping[str, Control] = Factory(dict)
    _rows: dict[str, _Row] = Factory(dict)
    _stated: dict[str, tuple[Profile, int | None]] = Factory(dict)
    _categories: dict[str, _Group] = Factory(dict)
    _services: dict[str, _Group] = Factory(dict)
    _fullness: dict[str, int] = Factory(lambda: {"full": 0, "partial": 0, "zero": 0, "unknown": 0})

    def go_to(self, controls: Mapping[str, Control]) -> None:
        """The sums of these controls."""
        before, self._controls = self._controls, controls
        for name in diff.moved(before, controls):
            self._take_away(name)
            row = self._rows[name] = _row(controls[name], self.profiles.get(name))
            self._add(row, 1)
            if row.stated is not None:
                self._stated[name] = (row.stated, row.units)
        if len(self._rows) != len(controls):
            for name in [name for name in self._rows if name not in controls]:
                self._take_away(name)

    def _take_away(self, name: str) -> None:
        row = self._rows.pop(name, None)
        if row is not None:
            self._add(row, -1)
            self._stated.pop(name, None)

    def _add(self, row: _Row, times: int) -> None:
        for groups, name in ((self._categories, row.category), (self._services, row.service)):
            group = groups.get(name)
            if group is None:
                group = groups[name] = _Group()
            group.add(row, times)
            if not group.controls:
                del groups[name]
        self._fullness[row.fullness] += times

    def stated(self, day: str) -> tuple[int | None, int, int]:
        """Asserted points in units, and how many controls are asserted and ignored at the end of a day."""
        points = _Sum()
        asserted = ignored = 0
        for profile, units in self._stated.values():
            state = diff.state_on(profile, day).state
            if state in diff.ASSERTED:
                points.add(units, 1)
                asserted += 1
            elif state == "Ignored":
                ignored += 1
        return points.units, asserted, ignored

    def told(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, int]]:
        """By category, by service, and how many controls are how full."""
        groups = (self._categories, self._services)
        by_category, by_service = ({name: g.told() for name, g in sorted(of.items())} for of in groups)
        return by_category, by_service, dict(self._fullness)


def totals(day: Day, profiles: Mapping[str, Profile] | None, tally: Tally | None = None) -> dict[str, Any]:
    """Points measured and asserted, by category and service, and control counts of one day.

    Without a catalogue asserted and measured points are unknown (None), as are the points, or the maximum, of a group
    in which those of one control are unknown. `tally` may be shared by days under the same catalogue.
    """
    if tally is None:
        tally = Tally(profiles or {})
    tally.go_to(day.controls)
    by_category, by_service, fullness = tally.told()
    units, asserted, ignored = tally.stated(day.day)
    if profiles is None:
        units = None
    measured = None
    if units is not None and day.score is not None:
        measured = diff.points(diff.fixed(day.score) - units)
    return {
        "points": {"measured": measured, "asserted": None if units is None else diff.points(units)},
        "by_category": by_category,
        "by_service": by_service if profiles else {},
        "controls": {"total": len(day.controls), **fullness, "asserted": asserted, "ignored": ignored},
    }


def _row(control: Control, profile: Profile | None) -> _Row:
    maximum = diff.max_of(control, profile)
    return _Row(
        control.category or (profile.category if profile else "") or "unknown",
        (profile.service if profile else "") or "unknown",
        None if control.score is None else diff.fixed(control.score),
        None if maximum is None else diff.fixed(maximum),
        _fullness(control),
        profile if profile and any(u.state != diff.DEFAULT_STATE.state for u in profile.updates) else None,
    )


def _fullness(control: Control) -> str:
    if control.percent is None:
        return "unknown"
    return "zero" if control.percent <= 0 else "full" if control.percent >= 100 else "partial"


def score_observed(
    version: Version,
    profiles: Mapping[str, Profile] | None,
    *,
    backfilled: bool,
    final: bool = False,
    late: bool = False,
    tally: Tally | None = None,
    controls: bool = False,
) -> Change:
    """The totals of a day; `controls` adds every control, in Graph's own names and types."""
    day = version.day
    score = score_info(day)
    words = f"Secure Score of {day.day}: {explain.number(score['current'])} of {explain.number(score['max'])} points"
    if score["percent"] is not None:
        words += f" ({score['percent']:.2f} %)"
    data: dict[str, Any] = {
        "summary": words,
        "score": score,
        **totals(day, profiles, tally),
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
        **({"control_scores": [_as_graph_has_it(c) for c in day.controls.values()]} if controls else {}),
        **_snapshot(version),
    }
    return Change("score.observed", "score", "", version.ref, day.day, data, backfilled=backfilled)


def _as_graph_has_it(control: Control) -> dict[str, Any]:
    """One entry of `controlScores`; Graph sends truth and counts as text, and leaves out what it does not say."""
    found = {
        "controlName": control.name,
        "controlCategory": control.category,
        "score": diff.rounded(control.score),
        "scoreInPercentage": diff.rounded(control.percent),
        "on": None if control.on is None else str(control.on).lower(),
        "count": None if control.count is None else str(control.count),
        "total": None if control.total is None else str(control.total),
        "implementationStatus": control.status,
    }
    return {key: value for key, value in found.items() if value is not None}


def control_observed(version: Version, control: Control, profile: Profile | None) -> Change:
    day = version.day
    info = control_info(control.name, control, profile)
    score, maximum = explain.number(control.score), explain.number(info["max_score"])
    percent = "" if control.percent is None else f" ({diff.rounded(control.percent):.12g} %)"
    data: dict[str, Any] = {
        "summary": f"Control {control.name}: {score} of {maximum} points{percent}",
        "after": {
            **control_value(control, day.day),
            "on": control.on,
            "count": control.count,
            "total": control.total,
            "status": control.status,
        },
        "asserted": explain.asserted_state(profile) if profile else None,
        "control": info,
        "score": score_info(day),
        **_snapshot(version),
    }
    return Change("control.observed", control.name, "", version.ref, day.day, data)


def score_changed(
    before: Version, after: Version, decomposition: diff.Decomposition, context: explain.Context, *, backfilled: bool
) -> Change:
    parts = [(part, explain.cause(part.before, part.after, context)) for part in decomposition.contributions]
    delta = None if decomposition.delta is None else diff.points(decomposition.delta)
    why = explain.main_cause(parts, decomposition, context)
    old, new = score_info(before.day), score_info(after.day)
    verb = {"regressed": "dropped", "improved": "rose"}.get(explain.direction(delta), "changed")
    summary = f"Secure Score {verb}: {explain.number(old['current'])} → {explain.number(new['current'])}"
    summary += f" ({explain.signed(delta)} points)"
    if old["max"] != new["max"]:
        summary += f", maximum {explain.number(old['max'])} → {explain.number(new['max'])}"
    data: dict[str, Any] = {
        "direction": explain.direction(delta),
        "summary": summary,
        "before": {**old, "day": before.day.day, "revision": before.revision},
        "after": {**new, "day": after.day.day, "revision": after.revision},
        "delta": delta,
        "max_delta": None if decomposition.max_delta is None else diff.points(decomposition.max_delta),
        "residual": None if decomposition.residual is None else diff.points(decomposition.residual),
        "percent": diff.percent_split(before.day, after.day),
        "cause": why.as_data(),
        "top": [explain.contribution_words(part) for part, _ in parts[:5]],
        **diff.grouped(decomposition.contributions, context.profiles),
        "contributions": [explain.contribution_data(part, reason) for part, reason in parts],
        "score": new,
        **_snapshot(after),
    }
    return Change("score.changed", "score", before.ref, after.ref, after.day.day, data, backfilled=backfilled)


def between(before: Version, after: Version, profiles: Mapping[str, Profile] | None) -> dict[str, Any]:
    """What `score.changed` says, for any two known days; without the catalogue that went before the last one."""
    context = explain.Context(before.day, after.day, profiles or {}, None, profiles is not None)
    return dict(score_changed(before, after, diff.decompose(before.day, after.day), context, backfilled=False).data)


# ---------------------------------------------------------------------------------------------------------- controls


def control_score_changed(
    was: Control,
    now: Control,
    after: Version,
    context: explain.Context,
    *,
    was_day: str,
    was_ref: str,
    transition: str | None,
    backfilled: bool,
) -> Change:
    delta = None
    if was.score is not None and now.score is not None:
        delta = diff.points(diff.fixed(now.score) - diff.fixed(was.score))
    words = {"regressed": "dropped", "improved": "rose"}.get(explain.direction(delta), "changed")
    old, new = explain.number(was.score), explain.number(now.score)
    data: dict[str, Any] = {
        "direction": explain.direction(delta),
        "transition": transition,
        "summary": f"Control score {words}: {now.name} {old} → {new} ({explain.signed(delta)} points)",
        "before": control_value(was, was_day),
        "after": control_value(now, after.day.day),
        "delta": delta,
        "cause": explain.cause(was, now, context).as_data(),
        "control": referenced_control(now.name, now, context.profiles.get(now.name)),
        "score": score_info(after.day),
        **_snapshot(after),
    }
    return Change("control.score_changed", now.name, was_ref, after.ref, after.day.day, data, backfilled=backfilled)


def control_presence(
    kind: str,
    control: Control,
    before: Version,
    after: Version,
    context: explain.Context,
    *,
    transition: str | None,
    backfilled: bool,
) -> Change:
    """control.added or control.removed (`kind` is "added" or "removed")."""
    added = kind == "added"
    units = None if control.score is None else diff.fixed(control.score)
    delta = None if units is None else diff.points(units if added else -units)
    why = explain.cause(None if added else control, control if added else None, context)
    profile = context.profiles.get(control.name) or (context.old_profiles or {}).get(control.name)
    data: dict[str, Any] = {
        "direction": explain.direction(delta),
        "transition": transition,
        "summary": f"Control {kind}: {control.name} ({explain.signed(delta)} points)",
        "before": None if added else control_value(control, before.day.day),
        "after": control_value(control, after.day.day) if added else None,
        "delta": delta,
        "cause": why.as_data(),
        "control": referenced_control(control.name, control, profile),
        "score": score_info(after.day),
        **_snapshot(after),
    }
    return Change(f"control.{kind}", control.name, before.ref, after.ref, after.day.day, data, backfilled=backfilled)


def control_evidence_changed(
    was: Control, now: Control, before: Version, after: Version, profile: Profile | None, *, backfilled: bool = False
) -> Change:
    """The evidence of a control (counts, on/off, status text) changed."""

    def evidence(control: Control) -> dict[str, Any]:
        return {"on": control.on, "count": control.count, "total": control.total, "status": control.status}

    old, new = evidence(was), evidence(now)
    changed = [key for key in old if old[key] != new[key]]
    data: dict[str, Any] = {
        "summary": f"Control evidence changed: {now.name} ({', '.join(changed)})",
        "before": {**control_value(was, before.day.day), **old},
        "after": {**control_value(now, after.day.day), **new},
        "changed": changed,
        "control": referenced_control(now.name, now, profile),
        "score": score_info(after.day),
        **_snapshot(after),
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
    profile, update = entry.profile, entry.after
    who = f" by {update.by}" if update.by else ""
    data: dict[str, Any] = {
        "direction": _state_direction(entry.before.state, update.state),
        "summary": f"Control state changed: {profile.id} {entry.before.state} → {update.state}{who}",
        "before": state_data(entry.before),
        "after": state_data(update),
        "asserted": update.state in diff.ASSERTED,
        "cause": explain.Cause(
            "state_asserted", "high", (f"state {entry.before.state} → {update.state}{who}",)
        ).as_data(),
        "control": {**referenced_control(profile.id, control, profile), "state": update.state},
        "score": score_info(score_day) if score_day else None,
        "snapshot": score_day.id if score_day else None,
    }
    return Change(
        "control.state_changed",
        profile.id,
        _entry_identity(entry.before) if entry.withdrawn else "",
        f"{_entry_identity(update)}#{entry.occurrence}",
        day,
        data,
        backfilled=backfilled,
        occurred_at=update.at,
    )


def _entry_identity(update: StateUpdate) -> str:
    return digest([update.state, update.at, update.by, update.comment, update.assigned_to])


def _state_direction(before: str, after: str) -> str:
    """Asserting or accepting a risk hides measurement: "asserted"; the way back is "measured"."""
    hidden = diff.ASSERTED | {"Ignored"}
    return "asserted" if after in hidden and after != before else "measured" if before in hidden else "unchanged"


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
        "summary": f"Control profile {words}: {profile.id}{detail}",
        "changes": changed,
        "control": control_info(profile.id, newest.controls.get(profile.id) if newest else None, profile),
        "profile": {
            "rank": profile.rank,
            "action_type": profile.action_type,
            "user_impact": profile.user_impact,
            "implementation_cost": profile.implementation_cost,
            "deprecated": profile.deprecated,
        },
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


def _field_change(name: str, before: Any, after: Any) -> dict[str, Any]:
    if name.endswith("_sha256"):
        return {"field": name.removesuffix("_sha256"), "before": None, "after": None}
    return {"field": name, "before": _plain(before), "after": _plain(after)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def tenant_changed(before: Version, after: Version, *, backfilled: bool) -> Change | None:
    """The licensed services differ between two days; None when they do not.

    User counts are left out: Graph reports 0 or absurd values for them (graph.md 2.4), so they prove nothing.
    """
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
        "cause": explain.Cause("licence", "high", (f"licensed services {words}",)).as_data(),
        "score": score_info(after.day),
        **_snapshot(after),
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


# ---------------------------------------------------------------------------------------------------------- posture


def posture_target(
    *,
    met: bool,
    kind: str,
    threshold: float,
    value: float | None,
    before: str,
    after: Version,
    control: Control | None = None,
    name: str | None = None,
    profile: Profile | None = None,
) -> Change:
    """posture.target_missed or posture.target_met; `name` is the control's id where the target names one."""
    words = {
        "percent_min": f"Secure Score {explain.number(value)} % against at least {explain.number(threshold)} %",
        "measured_percent_min": f"measured {explain.number(value)} % against at least {explain.number(threshold)} %",
        "drop_points": f"overnight drop of {explain.number(value)} points against at most {explain.number(threshold)}",
        "control": f"{name} has {explain.number(value)} of {explain.number(threshold)} points",
    }[kind]
    data: dict[str, Any] = {
        "direction": "improved" if met else "regressed",
        "summary": f"Target {'met' if met else 'missed'}: {words}",
        "target": {"kind": kind, "threshold": threshold, "value": diff.rounded(value), "control": name},
        **({"control": control_info(name, control, profile)} if name else {}),
        "score": score_info(after.day),
        **_snapshot(after),
    }
    return Change(f"posture.target_{'met' if met else 'missed'}", name or kind, before, after.ref, after.day.day, data)


# ------------------------------------------------------------------------------------------------------------- feed


def feed_gap(first: str, last: str, days: int, *, backfilled: bool) -> Change:
    """One run of missing days between two known ones."""
    words = first if first == last else f"{first} to {last}"
    data: dict[str, Any] = {
        "summary": f"Feed gap: {days} day{'s' if days > 1 else ''} without a score, {words}",
        "first_missing": first,
        "last_missing": last,
        "days": days,
    }
    return Change("feed.gap", "feed", first, last, last, data, backfilled=backfilled)


def feed_suspicious(
    refused: Version,
    accepted: Version,
    *,
    lost: Sequence[str],
    reason: str,
    problem_id: str,
    first_seen: str,
    accepts_at: str | None,
) -> Change:
    """A day that was refused; `reason` is "controls_lost" or "max_halved".

    `accepts_at` is None for a day that had closed: our own copy of it is kept for good.
    """
    before = accepted.day
    data: dict[str, Any] = {
        "summary": f"Suspicious day refused: {refused.day.day} lost {len(lost)} of {len(before.controls)} controls, "
        f"maximum {explain.number(before.max_score)} → {explain.number(refused.day.max_score)}",
        "reason": reason,
        "part": "days",
        "problem_id": problem_id,
        "first_seen": first_seen,
        "accepts_at": accepts_at,
        "known_controls": len(before.controls),
        "lost_controls": len(lost),
        "lost": sorted(lost)[:20],
        "max_before": diff.rounded(before.max_score),
        "max_after": diff.rounded(refused.day.max_score),
        "last_accepted_day": before.day,
        **_snapshot(refused),
    }
    told = f"{accepted.ref}#{first_seen}"
    return Change("feed.suspicious", refused.day.day, told, refused.ref, refused.day.day, data)


def catalogue_suspicious(
    known: int, lost: Sequence[str], newest: Version | None, *, problem_id: str, first_seen: str, accepts_at: str
) -> Change:
    """A catalogue that lost too many of its `known` profiles at once: their removal is not believed yet."""
    day = newest.day.day if newest else ""
    data: dict[str, Any] = {
        "summary": f"Suspicious catalogue: {len(lost)} of {known} control profiles are missing",
        "reason": "profiles_lost",
        "part": "catalogue",
        "problem_id": problem_id,
        "first_seen": first_seen,
        "accepts_at": accepts_at,
        "known_controls": known,
        "lost_controls": len(lost),
        "lost": sorted(lost)[:20],
        "max_before": None,
        "max_after": None,
        "last_accepted_day": day or None,
    }
    return Change("feed.suspicious", "catalogue", f"profiles_lost#{first_seen}", digest(sorted(lost)), day, data)


def feed_recovered(newest: Version | None, *, reason: str, problem_id: str, first_seen: str, duration_s: int) -> Change:
    """The feed is good again after `reason` (suspicious, stale, partial)."""
    day = newest.day.day if newest else None
    data: dict[str, Any] = {
        "summary": f"Feed recovered: newest day is {day or 'unknown'}",
        "reason": reason,
        "problem_id": problem_id,
        "first_seen": first_seen,
        "newest_day": day,
        "duration_s": duration_s,
    }
    return Change("feed.recovered", "feed", problem_id, "", day or "", data)
