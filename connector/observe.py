"""Fold a snapshot into what is remembered of a tenant, and list the changes worth telling. Pure.

Decides *whether and when* (late, revised and missing days, hysteresis, inventory, suspicious days, targets); what a
change says is in changes.py, what two days differ in is in diff.py. No I/O, no clock: `now` is a value.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from attrs import Factory, evolve, field, frozen

from connector import changes, diff
from connector.clock import iso, parse_iso
from connector.config import ChangesConfig, TargetsConfig
from connector.explain import Context
from connector.ids import content_hash, event_id
from connector.memory import Baseline, Memory, Refusal, slim
from connector.model import Absent, Change, Control, Day, Profile, Snapshot, Version

PERSISTENCE_S = 24 * 3600.0
"""How long a suspicious day must stay before it is believed without an operator."""
INCOMPLETE = "catalogue_incomplete"
"""Snapshot note: the catalogue holds known entries only in part, so absence proves nothing."""


@frozen
class Rules:
    """What decides about a tenant's changes; `tenant_id` is needed for the transition ids."""

    tenant_id: str
    changes: ChangesConfig = Factory(ChangesConfig)
    targets: TargetsConfig = Factory(TargetsConfig)
    language: str = "en-US"


@frozen
class Observation:
    """The new memory, the changes in commit order, and whether days of the snapshot are still to be folded."""

    memory: Memory
    changes: tuple[Change, ...]
    done: bool = True


@frozen
class _Work:
    """The working copy of one fold; nothing of it outlives `observe`.

    `profiles` is the best known catalogue; `fresh` says whether this read confirmed it (complete or unchanged).
    """

    rules: Rules
    old: Memory
    now: str
    first_newest: str
    profiles: Mapping[str, Profile] | None
    fresh: bool
    days: dict[str, Version]
    baselines: dict[str, Baseline]
    targets: dict[str, float]
    refused: list[str]
    out: list[Change] = field(factory=list)

    def profile(self, name: str) -> Profile | None:
        return (self.profiles or {}).get(name)


def observe(memory: Memory, snapshot: Snapshot, rules: Rules, now: str, max_days: int | None = None) -> Observation:
    """What a snapshot adds to the memory.

    Folding the same snapshot again changes nothing. `max_days` bounds how many new days are folded at once (first
    contact into stores with small commits): call again with the returned memory until `done`.
    """
    days = sorted(snapshot.days, key=lambda d: d.day) if isinstance(snapshot.days, tuple) else []
    catalogue = snapshot.catalogue if isinstance(snapshot.catalogue, Mapping) else None
    if catalogue is not None and INCOMPLETE in snapshot.notes:
        catalogue = {**(memory.profiles or {}), **catalogue}
    work = _Work(
        rules=rules,
        old=memory,
        now=now,
        first_newest=memory.first_newest or (days[-1].day if days else ""),
        profiles=memory.profiles if catalogue is None else catalogue,
        fresh=not isinstance(snapshot.catalogue, Absent),
        days=dict(memory.days),
        baselines=dict(memory.baselines),
        targets=dict(memory.targets),
        refused=list(memory.refused),
    )
    if catalogue is not None:
        _catalogue_changes(work, catalogue, days, incomplete=INCOMPLETE in snapshot.notes)
    newest, observed, refusal = memory.newest, memory.observed, memory.refusal
    known_before = memory.newest.day.day if memory.newest else ""
    refused_now = False
    folded = 0
    done = True
    for position, day in enumerate(days):
        version = Version(day, content_hash(day))
        known = newest if newest and newest.day.day == day.day else work.days.get(day.day)
        is_newest = known is not None and known is newest
        if known is not None and known.hash == version.hash:
            if is_newest:
                newest = _richer(work, known, version)
            elif day.detailed and not known.day.detailed:
                work.days[day.day] = slim(evolve(known, day=day))
        elif known is not None and not is_newest:
            _closed_day_revised(work, known, evolve(version, revision=known.revision + 1))
        elif known is None and day.day < known_before:
            if _identity(version) not in work.refused:
                work.days[day.day] = slim(version)
                work.out.append(changes.score_observed(version, work.profiles, backfilled=False, final=True, late=True))
        else:
            version = version if known is None else evolve(version, revision=known.revision + 1)
            next_refusal = _suspicion(work, refusal, newest, version)
            if next_refusal is not None:
                refusal, refused_now = next_refusal, True
                continue
            if known is None and max_days is not None and folded >= max_days:
                done = False
                break
            folded += known is None
            observed = _accept(work, newest, observed, version, last=position == len(days) - 1)
            newest, refused_now = version, False
    if refusal is not None and days and not refused_now and done:
        work.out.append(_recovered(refusal, newest, now))
        refusal = None
    result = Memory(
        first_newest=work.first_newest or None,
        newest=newest,
        observed=observed,
        days=work.days,
        baselines=memory.baselines if work.baselines == memory.baselines else work.baselines,
        profiles=memory.profiles if work.profiles == memory.profiles else work.profiles,
        language=rules.language if catalogue is not None else memory.language,
        refusal=refusal,
        refused=tuple(work.refused[-50:]),
        targets=work.targets,
    )
    return Observation(result, tuple(work.out), done)


# -------------------------------------------------------------------------------------------------------- catalogue


def _catalogue_changes(work: _Work, catalogue: Mapping[str, Profile], days: Sequence[Day], *, incomplete: bool) -> None:
    memory = work.old
    newest = days[-1] if days else memory.newest.day if memory.newest else None
    oldest = days[0].day if days else ""
    if memory.profiles is not None and work.rules.changes.catalogue != "off":
        texts = not memory.language or memory.language == work.rules.language
        for change in diff.profile_changes(memory.profiles, catalogue, texts=texts):
            if change.kind != "removed" or not incomplete:
                work.out.append(changes.profile_change(change, newest))
    entries = [
        entry
        for key in sorted(catalogue)
        if (before := (memory.profiles or {}).get(key)) is not catalogue[key]
        for entry in diff.new_state_entries(before, catalogue[key])
        if memory.profiles is not None or (entry.after.at is not None and entry.after.at[:10] >= oldest)
    ]
    for entry in sorted(entries, key=lambda e: e.after.at or ""):
        at = entry.after.at[:10] if entry.after.at else ""
        backfilled = memory.profiles is None and at < work.first_newest
        control = newest.controls.get(entry.profile.id) if newest else None
        day = at if backfilled else (newest.day if newest else at)
        work.out.append(changes.control_state_changed(entry, control, newest, day=day, backfilled=backfilled))


# ------------------------------------------------------------------------------------------------------------- days


def _accept(work: _Work, newest: Version | None, observed: str, version: Version, *, last: bool) -> str:
    """Fold a new day, or a new revision of the newest one; returns the ref last sent as score.observed."""
    day = version.day.day
    revision = newest is not None and newest.day.day == day
    backfilled = day < work.first_newest
    if newest is not None and not revision:
        _close(work, newest, observed)
        _gap(work, newest.day.day, day, backfilled=backfilled)
    if not revision:
        work.out.append(changes.score_observed(version, work.profiles, backfilled=backfilled, final=not last))
        observed = version.ref
    if newest is not None:
        _compare(work, newest, version, backfilled=backfilled, hysteresis=True)
    else:
        for control in version.day.controls.values():
            work.baselines[control.name] = Baseline(control, day, version.ref)
    if not backfilled:
        _targets(work, newest, version)
    if day == work.first_newest and not revision:
        _inventory(work, version, first=True)
    return observed


def _close(work: _Work, newest: Version, observed: str) -> None:
    """A newer day appeared: tell the final state of the day that closes, from our own detailed copy."""
    work.days[newest.day.day] = slim(newest)
    if work.old.newest is None or newest.day.day < (work.old.newest.day.day):
        return
    if newest.ref != observed:
        work.out.append(changes.score_observed(newest, work.profiles, backfilled=False, final=True))
    _inventory(work, newest, first=False)


def _inventory(work: _Work, version: Version, *, first: bool) -> None:
    mode = work.rules.changes.inventory
    if mode == "off" or (mode == "baseline" and not first) or not version.day.detailed:
        return
    for name in sorted(version.day.controls):
        work.out.append(changes.control_observed(version, version.day.controls[name], work.profile(name)))


def _gap(work: _Work, before: str, after: str, *, backfilled: bool) -> None:
    """One event for the run of days between two known ones; a refused day was delivered, so it is no gap."""
    first = date.fromisoformat(before) + timedelta(days=1)
    between = ((first + timedelta(days=n)).isoformat() for n in range((date.fromisoformat(after) - first).days))
    missing = [day for day in between if not any(f"_{day}#" in ref for ref in work.refused)]
    if missing:
        work.out.append(changes.feed_gap(missing[0], missing[-1], len(missing), backfilled=backfilled))


def _compare(work: _Work, before: Version, after: Version, *, backfilled: bool, hysteresis: bool) -> None:
    """All change events between two adjacent known days, or two revisions of one."""
    rules = work.rules.changes
    old_profiles = None if backfilled else work.old.profiles
    context = Context(before.day, after.day, work.profiles or {}, old_profiles, work.fresh)
    decomposition = diff.decompose(before.day, after.day)
    moved = (decomposition.delta, decomposition.residual, decomposition.max_delta)
    transition = event_id(work.rules.tenant_id, "score.changed", "score", before.ref, after.ref)
    if max(abs(units or 0) for units in moved) >= diff.fixed(rules.min_score_points):
        work.out.append(changes.score_changed(before, after, decomposition, context, backfilled=backfilled))
    tenant = changes.tenant_changed(before, after, backfilled=backfilled)
    if tenant is not None:
        work.out.append(tenant)
    for name in sorted(set(before.day.controls) - set(after.day.controls)):
        control = before.day.controls[name]
        work.out.append(
            changes.control_presence(
                "removed", control, before, after, context, transition=transition, backfilled=backfilled
            )
        )
        if hysteresis:
            work.baselines.pop(name, None)
    for name in sorted(after.day.controls):
        control = after.day.controls[name]
        if name not in before.day.controls:
            work.out.append(
                changes.control_presence(
                    "added", control, before, after, context, transition=transition, backfilled=backfilled
                )
            )
            if hysteresis:
                work.baselines[name] = Baseline(control, after.day.day, after.ref)
            continue
        was = before.day.controls[name]
        reference = Baseline(was, before.day.day, before.ref)
        if hysteresis:
            reference = work.baselines.setdefault(name, reference)
        if _worth_telling(rules, reference.control, control, work.profile(name)):
            work.out.append(
                _control_changed(work, reference, control, after, context, transition, backfilled=backfilled)
            )
            if hysteresis:
                work.baselines[name] = Baseline(control, after.day.day, after.ref)
        elif reference.control.score is None and control.score is not None and hysteresis:
            work.baselines[name] = Baseline(control, after.day.day, after.ref)
        elif rules.evidence and _evidence_differs(work, was, control) and before.day.detailed and after.day.detailed:
            work.out.append(changes.control_evidence_changed(was, control, before, after, work.profile(name)))


def _control_changed(
    work: _Work,
    reference: Baseline,
    control: Control,
    after: Version,
    context: Context,
    transition: str,
    *,
    backfilled: bool,
) -> Change:
    """The reference may be older than the day before: causes are then sought between those two days."""
    if reference.day != context.before.day and reference.day in work.days:
        context = evolve(context, before=work.days[reference.day].day)
    return changes.control_score_changed(
        reference.control,
        control,
        after,
        context,
        was_day=reference.day,
        was_ref=reference.ref,
        transition=transition,
        backfilled=backfilled,
    )


def _worth_telling(rules: ChangesConfig, was: Control, now: Control, profile: Profile | None) -> bool:
    """Hysteresis: far enough from what was last reported, in points and in share of the control's maximum."""
    if was.score is None or now.score is None:
        return False
    moved = abs(round(now.score - was.score, 4))
    if moved == 0 or moved < rules.min_points:
        return False
    maximum = diff.max_of(now, profile) or diff.derived_max(was)
    return maximum is None or round(moved / maximum, 6) >= rules.min_share


def _evidence_differs(work: _Work, was: Control, now: Control) -> bool:
    """Counts, on/off or, unless the language changed, the status text differ."""
    if (was.on, was.count, was.total) != (now.on, now.count, now.total):
        return True
    return was.status != now.status and work.old.language == work.rules.language


def _richer(work: _Work, known: Version, version: Version) -> Version:
    """Same numbers read again: newer detail replaces ours silently (or is told where evidence is asked for).

    A stripped copy never replaces a detailed one.
    """
    if known.day.detailed and not version.day.detailed:
        return known
    result = evolve(known, day=version.day)
    if work.rules.changes.evidence and known.day.detailed:
        for name in sorted(result.day.controls):
            was, now = known.day.controls[name], result.day.controls[name]
            if _evidence_differs(work, was, now):
                work.out.append(changes.control_evidence_changed(was, now, known, result, work.profile(name)))
    return result


def _closed_day_revised(work: _Work, known: Version, version: Version) -> None:
    """Microsoft rewrote a day that had closed: told against its previous revision, without touching baselines."""
    work.out.append(changes.score_observed(version, work.profiles, backfilled=False, final=True))
    _compare(work, known, version, backfilled=False, hysteresis=False)
    work.days[version.day.day] = slim(version)


# -------------------------------------------------------------------------------------------------- suspicious days


def _suspicion(work: _Work, refusal: Refusal | None, accepted: Version | None, version: Version) -> Refusal | None:
    """The refusal of a suspicious day, or None when the day is to be believed.

    First contact is a declared baseline: it has no accepted day to protect.
    """
    new_day = accepted is None or accepted.day.day != version.day.day
    if accepted is None or (new_day and version.day.day <= work.first_newest):
        return None
    lost = tuple(sorted(n for n in accepted.day.controls if n not in version.day.controls))
    too_many = diff.lost_share(accepted.day, version.day) > work.rules.changes.suspicious_loss
    halved = bool(accepted.day.max_score) and (version.day.max_score or 0.0) < (accepted.day.max_score or 0.0) / 2
    if not too_many and not halved:
        return None
    if refusal is not None:
        approved = refusal.approved and set(lost) <= set(refusal.lost)
        if approved or _age_s(refusal.first_at, work.now) >= PERSISTENCE_S:
            return None
    if _identity(version) not in work.refused:
        work.refused.append(_identity(version))
    if refusal is not None and not refusal.approved:
        return evolve(refusal, lost=lost)
    reason = "controls_lost" if too_many else "max_halved"
    found = Refusal(work.now, _problem_id(work, accepted, reason), lost)
    accepts_at = iso(parse_iso(work.now) + timedelta(seconds=PERSISTENCE_S))
    work.out.append(
        changes.feed_suspicious(
            version,
            accepted,
            lost=lost,
            reason=reason,
            problem_id=found.problem_id,
            first_seen=work.now,
            accepts_at=accepts_at,
        )
    )
    return found


def _problem_id(work: _Work, accepted: Version, reason: str) -> str:
    return event_id(work.rules.tenant_id, "feed.suspicious", reason, accepted.ref, work.now)


def _recovered(refusal: Refusal, newest: Version | None, now: str) -> Change:
    assert newest is not None  # a refusal needs an accepted day
    return changes.feed_recovered(
        newest,
        reason="suspicious",
        problem_id=refusal.problem_id,
        first_seen=refusal.first_at,
        duration_s=int(_age_s(refusal.first_at, now)),
    )


def _identity(version: Version) -> str:
    return f"{version.day.id}#{version.hash}"


def _age_s(since: str, now: str) -> float:
    return (parse_iso(now) - parse_iso(since)).total_seconds()


# ---------------------------------------------------------------------------------------------------------- targets


def _targets(work: _Work, before: Version | None, after: Version) -> None:
    """Posture targets, told once per crossing. `work.targets` maps a missed target to the score before the miss."""
    targets, profiles = work.rules.targets, work.profiles or {}
    ref = before.ref if before else ""
    percent = after.day.percent
    checks: list[tuple[str, str, float, float | None, bool | None]] = []
    if targets.percent_min is not None:
        checks.append(("percent_min", "", targets.percent_min, percent, _at_least(percent, targets.percent_min)))
    if targets.measured_percent_min is not None:
        measured = _measured_percent(after.day, profiles) if work.profiles is not None else None
        wanted = targets.measured_percent_min
        checks.append(("measured_percent_min", "", wanted, measured, _at_least(measured, wanted)))
    if targets.drop_points is not None and before is not None:
        checks.append(_drop(work, targets.drop_points, before.day, after.day))
    for name in targets.controls:
        control = after.day.controls.get(name)
        maximum = diff.max_of(control, profiles.get(name))
        value = control.score if control else None
        met = None if control is None or control.percent is None else control.percent >= 100.0
        checks.append(("control", name, maximum if maximum is not None else 100.0, value, met))
    for kind, name, threshold, value, met in checks:
        key = f"{kind}:{name}"
        if met is None or met == (key not in work.targets):
            continue
        if met:
            del work.targets[key]
        else:
            work.targets[key] = (before.day.score if before else after.day.score) or 0.0
        control = after.day.controls.get(name) if name else None
        work.out.append(
            changes.posture_target(
                met=met,
                kind=kind,
                threshold=threshold,
                value=value,
                before=ref,
                after=after,
                control=control,
                name=name or None,
                profile=profiles.get(name),
            )
        )


def _drop(work: _Work, limit: float, before: Day, after: Day) -> tuple[str, str, float, float | None, bool | None]:
    """An overnight drop is over when the score is back within the limit of where it fell from."""
    if before.score is None or after.score is None:
        return ("drop_points", "", limit, None, None)
    height = work.targets.get("drop_points:", before.score)
    drop = round(height - after.score, 4)
    return ("drop_points", "", limit, drop, drop < limit)


def _at_least(value: float | None, wanted: float) -> bool | None:
    return None if value is None else round(value, 4) >= wanted


def _measured_percent(day: Day, profiles: Mapping[str, Profile]) -> float | None:
    """The percentage without asserted points: what was measured, of the whole maximum."""
    measured = changes.totals(day, profiles)["points"]["measured"]
    return None if measured is None or not day.max_score else 100.0 * measured / day.max_score
