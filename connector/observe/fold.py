"""Fold a snapshot into what is remembered of a tenant, and list the changes worth telling. Pure.

Decides *whether and when* (late, revised and missing days, hysteresis, inventory); what of a read is believed is in
guard.py, what a change says in changes.py and notices.py, what two days differ in in diff.py, posture targets are in
targets.py, exceptions that are due in exceptions.py. No I/O, no clock: `now` is a value.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from attrs import Factory, define, evolve, field, frozen

from connector.clock import parse_iso
from connector.config.values import ChangesConfig, ExceptionsConfig, TargetsConfig
from connector.ids import Lines, content_hash, event_id
from connector.model import WHOLE, Absent, Change, Control, Day, Profile, Snapshot, Unit, Version, moved
from connector.observe import (
    changes,
    compliance,
    deviations,
    diff,
    exceptions,
    explain,
    groups,
    guard,
    notices,
    occurrences,
    totals,
    waterfall,
)
from connector.observe.catalogue import Catalogue, departed_from
from connector.observe.causes import Cause, Context
from connector.observe.explain import Step
from connector.observe.memory import Baseline, Memory, Refusal, slim
from connector.observe.months import Days
from connector.observe.targets import crossings
from connector.problems import Fault

HISTORY_DAYS = 90
"""How far back Microsoft keeps the days of a tenant."""


@frozen
class Rules:
    """What decides about the changes of a tenant, or of a unit; `tenant_id` is what makes its ids its own
    (`Origin.scope`).
    """

    tenant_id: str
    changes: ChangesConfig = Factory(ChangesConfig)
    targets: TargetsConfig = Factory(TargetsConfig)
    exceptions: ExceptionsConfig = Factory(ExceptionsConfig)
    language: str = "en-US"
    unit: Unit | None = None

    @property
    def of_controls(self) -> bool:
        """Whether the parts of the score are controls, of which events tell; those of all of a tenant are its units."""
        return self.unit is None or self.unit.kind not in WHOLE

    @property
    def suspicious_loss(self) -> float:
        """The share of the parts that may go at once. Units go when they are known to be gone, however many."""
        return self.changes.suspicious_loss if self.of_controls else 1.0


@frozen
class Observation:
    """The new memory, the changes in commit order, and whether days of the snapshot are still to be folded."""

    memory: Memory
    changes: tuple[Change, ...]
    done: bool = True


@define
class _Work:
    """The working copy of one fold; nothing of it outlives `observe`. `tally` spares work between its days.

    `judged` says what the documents of this read are; `accepted` is the last accepted day and `held` every believed one
    of the whole read, even where `judged` was cut. `profiles` is the best known catalogue; `fresh` says whether this
    read confirmed it (complete or unchanged), `whole` whether absence from it proves anything.
    """

    rules: Rules
    old: Memory
    now: str
    judged: guard.Judged
    accepted: Version | None
    held: Mapping[str, Day]
    profiles: Mapping[str, Profile] | None
    fresh: bool
    whole: bool
    days: Days
    baselines: dict[str, Baseline]
    targets: dict[str, float]
    out: list[Change] = field(factory=list)
    regrouped: dict[str, list[groups.Shift]] = field(factory=dict)
    catalogue_told: bool = False
    tally: totals.Tally = field(init=False)

    @tally.default
    def _empty_tally(self) -> totals.Tally:
        return totals.Tally(self.profiles or {})

    @property
    def first_newest(self) -> str:
        return self.judged.first_newest

    @property
    def oldest(self) -> str:
        """The oldest day that is known; without any, as old as one might be."""
        known = [next(iter(self.days), ""), min(self.held, default=""), self.accepted.day.day if self.accepted else ""]
        return min(filter(None, known), default=_shift(self.now[:10], -HISTORY_DAYS))

    def known_day(self, day: str) -> Day | None:
        if day in self.held:
            return self.held[day]
        at_hand = self.accepted is not None and self.accepted.day.day == day
        version = self.accepted if at_hand else self.days.get(day)
        return version.day if version else None

    def profile(self, name: str) -> Profile | None:
        return (self.profiles or {}).get(name)

    def grouped_by(self, version: Version) -> Mapping[str, Profile]:
        """The catalogue by which the points of a version were grouped when it was told."""
        known, old = self.old.newest, self.old.profiles
        return old if old is not None and known is not None and known.ref == version.ref else self.profiles or {}


def observe(memory: Memory, snapshot: Snapshot, rules: Rules, now: str, max_days: int | None = None) -> Observation:
    """What a snapshot adds to the memory.

    Folding the same snapshot again changes nothing. `max_days` bounds how many new days are folded at once (first
    contact into stores with small commits): call again with the returned memory until `done`.
    """
    days = _one_a_day(snapshot.days) if isinstance(snapshot.days, tuple) else []
    lines = Lines()
    read = [Version(day, content_hash(day, lines)) for day in days]
    limit = rules.suspicious_loss
    complete = "days" not in snapshot.partial
    twice = rules.unit is not None and rules.of_controls
    judged = guard.judge(memory, read, rules.tenant_id, limit, now, complete=complete, twice=twice)
    accepted = judged.newest
    held = {v.version.day.day: v.version.day for v in judged.verdicts if v.kind not in ("refused", "held")}
    if judged.held:  # nor is believed yet that their definitions are gone
        doubt = Absent("incomplete", "controls are missing that the last read had")
        snapshot = evolve(snapshot, partial={**snapshot.partial, "catalogue": doubt})
    if max_days is not None and sum(v.kind == "accepted" and v.known is None for v in judged.verdicts) > max_days:
        judged = guard.judge(memory, read, rules.tenant_id, limit, now, complete=complete, max_days=max_days)
    catalogue = Catalogue.read(memory, snapshot, rules.tenant_id, rules.language, limit, now)
    work = _Work(
        rules=rules,
        old=memory,
        now=now,
        judged=judged,
        accepted=accepted,
        held=held,
        profiles=memory.profiles if catalogue.profiles is None else catalogue.profiles,
        fresh=not isinstance(snapshot.catalogue, Absent),
        whole=catalogue.whole,
        days=Days.of(memory.days),
        baselines=dict(memory.baselines),
        targets=dict(memory.targets),
    )
    departed = memory.departed
    if catalogue.profiles is not None:
        _catalogue_changes(work, catalogue.profiles)
        departed = departed_from(memory, catalogue.profiles)
    if catalogue.notice is not None:
        work.out.append(catalogue.notice)
    newest, observed = _days_folded(work)
    work.out.extend(guard.recovered(refusal, newest, now) for refusal in judged.over)
    catalogue_refusal = catalogue.refusal
    if memory.catalogue_refusal is not None and catalogue_refusal is None:
        if judged.done:
            work.out.append(guard.recovered(memory.catalogue_refusal, newest, now))
        else:  # told once all days are folded, as if they had been folded at once
            catalogue_refusal = memory.catalogue_refusal
    due = memory.due
    if judged.done and newest is not None and work.fresh and work.profiles is not None:
        due, told_due = exceptions.crossings(rules.exceptions, due, work.profiles, departed, newest, now)
        work.out.extend(told_due)
        work.out.extend(_deviations(work, newest))  # states, and what is asked for, change within a day, too
    standards = _standards(work, snapshot, newest)
    newest_day = newest.day.day if newest else ""
    tellings, told = occurrences.counted(memory, rules.tenant_id, _with_regrouped(work, newest), newest_day)
    result = Memory(
        first_newest=judged.first_newest or None,
        newest=newest,
        observed=observed,
        days=work.days,
        baselines=memory.baselines if work.baselines == memory.baselines else work.baselines,
        profiles=memory.profiles if work.profiles == memory.profiles else work.profiles,
        catalogue_partial=catalogue.never_whole,
        language=memory.language if catalogue.profiles is None else rules.language,
        refusal=judged.refusal,
        catalogue_refusal=catalogue_refusal,
        refused=judged.refused,
        targets=work.targets,
        standing=judged.standing,
        doubted_at=judged.doubted_at,
        departed=departed,
        seen_at=now if work.fresh and work.whole else memory.seen_at,
        foreign=catalogue.foreign,
        tellings=tellings,
        due=memory.due if due == memory.due else due,
        held=judged.held if read else memory.held,
        standards=standards.standards,
        standards_held=standards.held,
    )
    return Observation(result, tuple(told), judged.done)


def _standards(work: _Work, snapshot: Snapshot, newest: Version | None) -> compliance.Seen:
    """The standards of the read, once there is a day that they can be told with."""
    memory, mode = work.old, work.rules.changes.inventory
    if newest is None or not work.judged.done:
        return compliance.Seen(memory.standards, memory.standards_held, ())
    daily = memory.newest is not None and newest.day.day > memory.newest.day.day and mode == "daily"
    found = compliance.seen(
        memory.standards,
        memory.standards_held,
        snapshot.standards,
        newest,
        whole=not snapshot.incomplete,
        daily=daily,
        observed=mode != "off",
    )
    work.out.extend(found.changes)
    return found


def _days_folded(work: _Work) -> tuple[Version | None, str]:
    """Fold the days of the read, oldest first; the newest day then, and the ref under which it was last told."""
    judged, newest, observed = work.judged, work.old.newest, work.old.observed
    if judged.given_up is not None:
        newest, observed = _given_up(work, judged.given_up, judged.restored)
    for verdict in judged.verdicts:
        version = verdict.version
        day = version.day
        if verdict.over is not None:
            work.out.append(guard.recovered(verdict.over, version, work.now))
        if verdict.notice is not None:
            work.out.append(verdict.notice.told())
        if verdict.kind == "accepted":
            is_newest = work.accepted is not None and work.accepted.day.day == day.day
            version = evolve(version, seen=work.now if is_newest else "")
            _accept(work, newest, observed, version)
            newest, observed = version, version.ref
        elif verdict.kind == "revised":
            known = work.days[day.day]
            _closed_day_revised(work, known, evolve(version, seen=known.seen))
        elif verdict.kind == "late":
            work.days[day.day] = slim(version)
            _tell_day(work, version, final=True, late=True, backfilled=day.day < work.first_newest)
        elif verdict.kind == "known" and newest is not None and newest.day.day == day.day:
            newest = _richer(work, newest, version)
        elif verdict.kind == "known" and day.detailed and not work.days[day.day].day.detailed:
            work.days[day.day] = slim(evolve(work.days[day.day], day=day))
    return newest, observed


def _given_up(work: _Work, was: Version, restored: Version | None) -> tuple[Version | None, str]:
    """Nothing stands for the newest day any more: told, and compared with the day that takes its place."""
    reason = guard.AHEAD if was.day.day > guard.tomorrow(work.now) else guard.VANISHED
    since = min(work.old.doubted_at, work.now)
    refusal = Refusal(since, guard.problem_id(work.rules.tenant_id, was, reason, since), (), reason=reason)
    work.out.append(
        notices.day_given_up(was, restored, reason=reason, problem_id=refusal.problem_id, since=refusal.first_at)
    )
    if restored is not None:
        del work.days[restored.day.day]
        _compare(work, was, restored, backfilled=False, hysteresis=True)
    work.out.append(guard.recovered(refusal, restored, work.now))
    return restored, restored.ref if restored else ""


def stale(newest_day: str, now: str, stale_after_s: float) -> Fault | None:
    """The fault of a feed whose newest day began longer ago than `stale_after_s`."""
    age_s = (parse_iso(now) - parse_iso(newest_day)).total_seconds()
    if age_s < stale_after_s:
        return None
    return Fault(
        "feed.stale",
        "stale",
        "feed",
        f"Feed stale: newest day is {newest_day}, {int(age_s // 3600)} hours old",
        hint="Microsoft publishes nothing new for this tenant; compare with the portal before opening a case",
        data={"newest_day": newest_day, "age_s": int(age_s), "stale_after_s": int(stale_after_s)},
    )


def _one_a_day(days: Sequence[Day]) -> list[Day]:
    """Oldest first. Of two documents of one day the first counts, or every read would revise the day twice."""
    found: dict[str, Day] = {}
    for day in days:
        found.setdefault(day.day, day)
    return [found[key] for key in sorted(found)]


# -------------------------------------------------------------------------------------------------------- catalogue


def _catalogue_changes(work: _Work, catalogue: Mapping[str, Profile]) -> None:
    memory, newest = work.old, work.accepted.day if work.accepted else None
    if memory.profiles is not None and work.rules.changes.catalogue != "off" and work.rules.of_controls:
        texts = memory.language in ("", work.rules.language)
        for change in diff.profile_changes(memory.profiles, catalogue, texts=texts, foreign=memory.foreign):
            if change.kind == "added" and memory.catalogue_partial:
                continue  # what an incomplete read lacked is no news when it arrives
            work.out.append(changes.profile_change(change, newest))
    entries = []
    for key in sorted(catalogue):
        known = (memory.profiles or {}).get(key)
        if known is not catalogue[key]:
            left = memory.departed.get(key) if known is None else None
            new = diff.new_state_entries(left.profile if left else known, catalogue[key])
            entries += [(entry, known is None, left.seen_at if left else "") for entry in new]
    first_contact = work.first_newest or work.now[:10]
    for entry, is_new, seen_at in sorted(entries, key=lambda e: e[0].after.at or ""):
        moment = entry.after.at or ""
        day = moment[:10]
        if is_new and day < work.oldest:
            continue  # undated, or older than anything else that is told: part of the baseline
        # What came before first contact, or before its profile was last read, is history; merely new to us it is not.
        backfilled = (is_new or entry.kind == "history") and (day < first_contact or moment < seen_at)
        score_day = work.known_day(day) if backfilled else newest
        control = score_day.controls.get(entry.profile.id) if score_day else None
        day = day if backfilled or newest is None else newest.day
        work.out.append(changes.control_state_changed(entry, control, score_day, day=day, backfilled=backfilled))


# ------------------------------------------------------------------------------------------------------------- days


def _accept(work: _Work, newest: Version | None, observed: str, version: Version) -> None:
    """Fold a new day, or a new revision of the newest one, and tell it."""
    day = version.day.day
    revision = newest is not None and newest.day.day == day
    backfilled = day < work.first_newest
    if newest is not None and not revision:
        _close(work, newest, observed)
        _gap(work, newest.day.day, day, backfilled=backfilled)
    _tell_day(work, version, backfilled=backfilled, final=work.accepted is None or day != work.accepted.day.day)
    if newest is not None:
        _compare(work, newest, version, backfilled=backfilled, hysteresis=True)
    else:
        for control in version.day.controls.values():
            work.baselines[control.name] = _reported(control, version)
    if not backfilled:
        work.out.extend(_crossings(work, newest, version))
        work.out.extend(_deviations(work, version))
    if day == work.first_newest and not revision:
        _inventory(work, version, first=True)


def _crossings(work: _Work, before: Version | None, after: Version) -> list[Change]:
    return crossings(work.rules.targets, work.targets, work.profiles, work.days, before, after, work.rules.unit)


def _deviations(work: _Work, version: Version) -> list[Change]:
    return deviations.crossings(work.rules.targets.baseline, work.targets, work.profiles, version)


def _close(work: _Work, newest: Version, observed: str) -> None:
    """A newer day appeared: tell the final state of the day that closes, from our own detailed copy."""
    work.days[newest.day.day] = slim(newest)
    if newest.ref != observed:  # a state of a version that told no revision of an open day
        _tell_day(work, newest, final=True)
    if newest.day.day > work.first_newest or newest.revision > 0:  # else it is the past, or was told at first contact
        _inventory(work, newest, first=False)


def _tell_day(work: _Work, version: Version, *, final: bool, backfilled: bool = False, late: bool = False) -> None:
    controls = work.rules.changes.control_scores
    told = changes.score_observed(
        version,
        work.profiles,
        backfilled=backfilled,
        final=final,
        late=late,
        tally=work.tally,
        controls=controls,
        unit=work.rules.unit,
    )
    work.out.append(told)


def _inventory(work: _Work, version: Version, *, first: bool) -> None:
    mode = work.rules.changes.inventory
    wanted = mode == "daily" or (mode == "baseline" and first)
    if not wanted or not version.day.detailed or not work.rules.of_controls:
        return
    work.out.extend(changes.controls_observed(version, work.profiles or {}))


def _gap(work: _Work, before: str, after: str, *, backfilled: bool) -> None:
    """One event for the run of days between two known ones; a refused day was delivered, so it is no gap.

    Of the units of an entry that which stands for all tells it.
    """
    if work.rules.unit is not None and work.rules.of_controls:
        return
    first = _shift(before, 1)
    if first == after:  # nearly always
        return
    last = _shift(after, -1)
    delivered = {ref[:10] for ref in work.judged.refused}
    while first in delivered:
        first = _shift(first, 1)
    while last in delivered:
        last = _shift(last, -1)
    days = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1 - sum(first < d < last for d in delivered)
    if first <= last:
        work.out.append(notices.feed_gap(first, last, days, backfilled=backfilled))


def _shift(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _compare(work: _Work, before: Version, after: Version, *, backfilled: bool, hysteresis: bool) -> None:
    """All change events between two adjacent known days, or two revisions of one."""
    rules = work.rules.changes
    first_contact = backfilled or before.day.day < after.day.day <= work.first_newest
    step = Step(_context(work, before, after, None if first_contact else work.old.profiles))
    # A closed day that gets its total late adds nothing: the next known day was compared across it already.
    path = [*(_since_total(work, before) if hysteresis and after.day.score is not None else [before]), after]
    total = path[0]
    decomposition = diff.decompose(total.day, after.day)
    largest = max(abs(n or 0) for n in (decomposition.delta, decomposition.residual, decomposition.max_delta))
    grouped_by = work.grouped_by(before)
    transition = None
    if largest and largest >= diff.fixed(rules.min_score_points):
        transition = event_id(work.rules.tenant_id, "score.changed", "score", total.ref, after.ref)
        across = step.context if total is before else evolve(step.context, before=total.day)

        def why(part: diff.Contribution) -> Cause:
            return step.cause(part.control) if total is before else _across(work, path, step, part.control)

        told = changes.score_changed(
            total, after, decomposition, why, across, backfilled=backfilled, grouped_by=grouped_by, unit=work.rules.unit
        )
        work.out.append(told)
    elif hysteresis and not first_contact and work.rules.unit is None:
        shifts = groups.shifts(before.day, after.day, grouped_by, work.profiles or {})
        _name_regrouped(work, shifts, after.day, grouped_by)
    work.catalogue_told = work.catalogue_told or hysteresis
    tenant = changes.tenant_changed(before, after, backfilled=backfilled)
    if tenant is not None:
        work.out.append(tenant)
    if not work.rules.of_controls:
        return
    old, new = before.day.controls, after.day.controls

    def presence(kind: str, control: Control) -> Change:
        name = control.name
        profile = work.profile(name) or (step.context.old_profiles or {}).get(name)
        return changes.control_presence(
            kind, control, before, after, step.cause(name), profile, transition=transition, backfilled=backfilled
        )

    for name in sorted(diff.gone(old, new)):
        work.out.append(presence("removed", old[name]))
        if hysteresis:
            work.baselines.pop(name, None)
    for name in sorted(moved(old, new)):
        control = new[name]
        if name not in old:
            work.out.append(presence("added", control))
            if hysteresis:
                work.baselines[name] = _reported(control, after)
            continue
        was = old[name]
        reference = work.baselines.get(name) if hysteresis else None
        if reference is None:
            reference = _reported(was, before)
            if hysteresis:
                work.baselines[name] = reference
        if worth_telling(rules, reference.control, control, work.profile(name)):
            alone = worth_telling(rules, was, control, work.profile(name))
            work.out.append(
                changes.control_score_changed(
                    reference.control,
                    control,
                    after,
                    step.cause(name) if alone else _drift(reference, control, step),
                    work.profile(name),
                    was_day=reference.day,
                    was_ref=reference.ref,
                    transition=transition,
                    backfilled=backfilled,
                )
            )
            if hysteresis:
                work.baselines[name] = _reported(control, after)
        elif reference.control.score is None and control.score is not None and hysteresis:
            work.baselines[name] = _reported(control, after)
        elif rules.evidence and _evidence_differs(work, was, control) and before.day.detailed and after.day.detailed:
            work.out.append(
                changes.control_evidence_changed(was, control, before, after, work.profile(name), backfilled=backfilled)
            )


def _name_regrouped(work: _Work, shifts: Iterable[groups.Shift], day: Day, grouped_by: Mapping[str, Profile]) -> None:
    """Points changed their group and no `score.changed` says so: the changes of their profiles do.

    Where only the day has another word for a control's category, that is told as a change of its profile, too; but
    without a catalogue there are no events of profiles.
    """
    if not work.fresh or work.rules.changes.catalogue == "off" or work.old.language not in ("", work.rules.language):
        return
    for shift in shifts:
        old, new = grouped_by.get(shift.control), work.profile(shift.control)
        if groups.group_of(shift.kind, None, old) != groups.group_of(shift.kind, None, new):
            work.regrouped.setdefault(shift.control, []).append(shift)
        else:
            work.out.append(changes.category_changed(shift, day, new))


def _with_regrouped(work: _Work, newest: Version | None) -> list[Change]:
    """What is told, with the points that went to other groups beside the changes of the profiles that took them."""
    if newest is not None and not work.catalogue_told:
        old = work.grouped_by(newest)
        _name_regrouped(work, groups.shifts(newest.day, newest.day, old, work.profiles or {}), newest.day, old)
    return [
        changes.with_regrouped(change, work.regrouped[change.subject])
        if change.type.startswith("profile.") and change.data["regrouped"] is None and change.subject in work.regrouped
        else change
        for change in work.out
    ]


def _reported(control: Control, version: Version) -> Baseline:
    return Baseline(control, version.day.day, version.ref, version.day.services)


def _context(work: _Work, before: Version, after: Version, old: Mapping[str, Profile] | None = None) -> Context:
    return Context(before.day, after.day, work.profiles or {}, old, work.fresh, work.whole, until=after.until)


def _drift(reference: Baseline, control: Control, step: Step) -> Cause:
    """Why a control is where it is now, that no single step took far from where it was when last reported."""
    then = Day("", reference.day, None, None, {}, services=reference.services)
    return explain.drift(reference.control, control, evolve(step.context, before=then))


def _since_total(work: _Work, before: Version) -> list[Version]:
    """The days to compare a score with: of a day without a total nothing can be said, so one before it serves."""
    if before.day.score is not None:
        return [before]
    path = [before]
    for version in work.days.before(before.day.day):
        path.append(version)
        if version.day.score is not None:
            return path[::-1]
    return [before]


def _across(work: _Work, path: Sequence[Version], step: Step, name: str) -> Cause:
    """The cause of a contribution to a change across days without a total: that of the step in which points moved."""

    def one(a: Version, b: Version, _units: int) -> Cause:
        if b is not path[-1]:
            return Step(_context(work, a, b)).cause(name)
        return Step(evolve(step.context, before=a.day)).cause(name)

    return waterfall.over(path, name, one)


def worth_telling(rules: ChangesConfig, was: Control, now: Control, profile: Profile | None) -> bool:
    """Whether a control moved far enough to be told of, in points and in share of its maximum: a smaller move is noise.

    For events `was` is what was last reported, so that slow drift adds up and is told.
    """
    if was.score is None or now.score is None:
        return False
    far = abs(round(now.score - was.score, 4))
    if far == 0 or far < rules.min_points:
        return False
    maximum = diff.max_of(now, profile) or diff.derived_max(was)
    return maximum is None or round(far / maximum, 6) >= rules.min_share


def _evidence_differs(work: _Work, was: Control, now: Control) -> bool:
    """Counts, on/off or, unless the language changed, the status text differ."""
    if (was.on, was.count, was.total, was.not_applicable) != (now.on, now.count, now.total, now.not_applicable):
        return True
    return was.status != now.status and work.old.language in ("", work.rules.language)


def _richer(work: _Work, known: Version, version: Version) -> Version:
    """Same numbers read again: newer detail replaces ours silently (or is told where evidence is asked for).

    A stripped copy never replaces a detailed one. Licensed services stay those of the first reading: that they moved
    is told, and counts as a cause, together with the next numbers.
    """
    if known.day.detailed and not version.day.detailed:
        return known
    result = evolve(known, day=evolve(version.day, services=known.day.services or version.day.services))
    profiles = work.profiles or {}
    shifts = groups.shifts(known.day, result.day, profiles, profiles)
    _name_regrouped(work, shifts, result.day, work.grouped_by(known))
    if work.rules.changes.evidence and known.day.detailed:
        for name in sorted(result.day.controls):
            was, now = known.day.controls[name], result.day.controls[name]
            if _evidence_differs(work, was, now):
                work.out.append(changes.control_evidence_changed(was, now, known, result, work.profile(name)))
    return result


def _closed_day_revised(work: _Work, known: Version, version: Version) -> None:
    """Microsoft rewrote a day that had closed: told against its previous revision, without touching baselines."""
    _tell_day(work, version, final=True)
    _compare(work, known, version, backfilled=False, hysteresis=False)
    work.days[version.day.day] = slim(version)
