"""Fold a snapshot into what is remembered of a tenant, and list the changes worth telling. Pure.

Decides *whether and when* (late, revised and missing days, hysteresis, inventory); what of a read is believed is in
guard.py, what a change says in changes.py and notices.py, what two days differ in in diff.py, posture targets are in
targets.py. No I/O, no clock: `now` is a value.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from attrs import Factory, evolve, field, frozen

from connector.clock import parse_iso
from connector.config.values import ChangesConfig, TargetsConfig
from connector.ids import Lines, content_hash, event_id
from connector.model import Absent, Change, Control, Day, Profile, Snapshot, Version
from connector.observe import changes, diff, explain, guard, notices, totals, waterfall
from connector.observe.explain import Cause, Context, Step
from connector.observe.memory import Baseline, Memory, Refusal, slim
from connector.observe.months import Days
from connector.observe.targets import crossings
from connector.problems import Fault


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
    """The working copy of one fold; nothing of it outlives `observe`. `tally` and `lines` spare work between its days.

    `profiles` is the best known catalogue; `fresh` says whether this read confirmed it (complete or unchanged),
    `whole` whether absence from it proves anything.
    """

    rules: Rules
    old: Memory
    now: str
    first_newest: str
    profiles: Mapping[str, Profile] | None
    fresh: bool
    whole: bool
    days: Days
    baselines: dict[str, Baseline]
    targets: dict[str, float]
    refused: list[str]
    out: list[Change] = field(factory=list)
    tally: totals.Tally = field(init=False)
    lines: Lines = field(factory=Lines)

    @tally.default
    def _empty_tally(self) -> totals.Tally:
        return totals.Tally(self.profiles or {})

    def profile(self, name: str) -> Profile | None:
        return (self.profiles or {}).get(name)


def observe(memory: Memory, snapshot: Snapshot, rules: Rules, now: str, max_days: int | None = None) -> Observation:
    """What a snapshot adds to the memory.

    Folding the same snapshot again changes nothing. `max_days` bounds how many new days are folded at once (first
    contact into stores with small commits): call again with the returned memory until `done`.
    """
    days = _one_a_day(snapshot.days) if isinstance(snapshot.days, tuple) else []
    catalogue = snapshot.catalogue if isinstance(snapshot.catalogue, Mapping) else None
    whole = "catalogue" not in snapshot.partial and not (catalogue is None and memory.catalogue_partial)
    catalogue_refusal, notice = memory.catalogue_refusal, None
    if catalogue is not None and not whole:
        catalogue = {**(memory.profiles or {}), **catalogue}
    elif catalogue is not None:
        catalogue_refusal, notice = guard.catalogue_suspicion(
            memory, catalogue, rules.tenant_id, rules.changes.suspicious_loss, now
        )
        if catalogue_refusal is not None:
            whole = False
            catalogue = {key: catalogue.get(key, old) for key, old in (memory.profiles or {}).items()}
    work = _Work(
        rules=rules,
        old=memory,
        now=now,
        first_newest=memory.first_newest or (days[-1].day if days else ""),
        profiles=memory.profiles if catalogue is None else catalogue,
        fresh=not isinstance(snapshot.catalogue, Absent),
        whole=whole,
        days=Days.of(memory.days),
        baselines=dict(memory.baselines),
        targets=dict(memory.targets),
        refused=list(memory.refused),
    )
    if catalogue is not None:
        _catalogue_changes(work, catalogue, days)
    if notice is not None:
        work.out.append(notice)
    newest, observed, refusal = memory.newest, memory.observed, memory.refusal
    known_before = memory.newest.day.day if memory.newest else ""
    refused_now = False
    folded = 0
    done = True
    for position, day in enumerate(days):
        version = Version(day, content_hash(day, work.lines))
        known = newest if newest and newest.day.day == day.day else work.days.get(day.day)
        is_newest = known is not None and known is newest
        if known is not None and known.hash == version.hash:
            if is_newest:
                newest = _richer(work, known, version)
            elif day.detailed and not known.day.detailed:
                work.days[day.day] = slim(evolve(known, day=day))
        elif known is not None and not is_newest:
            if guard.identity(version) not in work.refused:
                _closed_day_revised(work, known, evolve(version, revision=known.revision + 1, seen=known.seen))
        elif known is None and day.day < known_before:
            if guard.identity(version) not in work.refused:
                work.days[day.day] = slim(version)
                _tell_day(work, version, final=True, late=True, backfilled=day.day < work.first_newest)
        else:
            version = evolve(
                version,
                revision=0 if known is None else known.revision + 1,
                seen=now if position == len(days) - 1 else "",
            )
            next_refusal = _suspicion(work, refusal, newest, version, days[position + 1 :])
            if next_refusal is not None:
                refusal, refused_now = next_refusal, True
                continue
            if known is None and max_days is not None and folded >= max_days:
                done = False
                break
            folded += known is None
            if refusal is not None and day.day >= max((ref[:10] for ref in work.refused), default=""):
                work.out.append(guard.recovered(refusal, version, now))
                refusal = None
            observed = _accept(work, newest, observed, version, last=position == len(days) - 1)
            newest = version
    if refusal is not None and days and not refused_now and done:
        work.out.append(guard.recovered(refusal, newest, now))
        refusal = None
    if memory.catalogue_refusal is not None and catalogue_refusal is None:
        if done:
            work.out.append(guard.recovered(memory.catalogue_refusal, newest, now))
        else:  # told once all days are folded, as if they had been folded at once
            catalogue_refusal = memory.catalogue_refusal
    result = Memory(
        first_newest=work.first_newest or None,
        newest=newest,
        observed=observed,
        days=work.days,
        baselines=memory.baselines if work.baselines == memory.baselines else work.baselines,
        profiles=memory.profiles if work.profiles == memory.profiles else work.profiles,
        catalogue_partial=memory.catalogue_partial
        if catalogue is None
        else "catalogue" in snapshot.partial and (memory.profiles is None or memory.catalogue_partial),
        language=rules.language if catalogue is not None else memory.language,
        refusal=refusal,
        catalogue_refusal=catalogue_refusal,
        refused=tuple(work.refused[-guard.MAX_REFUSED :]),
        targets=work.targets,
    )
    return Observation(result, tuple(work.out), done)


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


def _catalogue_changes(work: _Work, catalogue: Mapping[str, Profile], days: Sequence[Day]) -> None:
    memory = work.old
    newest = days[-1] if days else memory.newest.day if memory.newest else None
    if memory.profiles is not None and work.rules.changes.catalogue != "off":
        texts = memory.language in ("", work.rules.language)
        for change in diff.profile_changes(memory.profiles, catalogue, texts=texts):
            if change.kind == "added" and memory.catalogue_partial:
                continue  # what an incomplete read lacked is no news when it arrives
            work.out.append(changes.profile_change(change, newest))
    entries = [
        (entry, before is None)
        for key in sorted(catalogue)
        if (before := (memory.profiles or {}).get(key)) is not catalogue[key]
        for entry in diff.new_state_entries(before, catalogue[key])
    ]
    known = (*work.days.values(), memory.newest) if memory.newest else work.days.values()
    known_days = {d.day: d for d in (*(version.day for version in known), *days)}
    oldest = min(known_days, default="")
    # What happened before this day is history where a profile is seen for the first time.
    news_since = work.first_newest or work.now[:10]
    if memory.profiles is not None and memory.newest is not None:
        news_since = memory.newest.day.day
    for entry, first_seen in sorted(entries, key=lambda e: e[0].after.at or ""):
        at = entry.after.at[:10] if entry.after.at else ""
        if first_seen and (not at or at < oldest):
            continue  # undated, or older than anything else that is told: part of the baseline
        backfilled = first_seen and at < news_since
        score_day = known_days.get(at) if backfilled else newest
        control = score_day.controls.get(entry.profile.id) if score_day else None
        day = at if backfilled or newest is None else newest.day
        work.out.append(changes.control_state_changed(entry, control, score_day, day=day, backfilled=backfilled))


# ------------------------------------------------------------------------------------------------------------- days


def _accept(work: _Work, newest: Version | None, observed: str, version: Version, *, last: bool) -> str:
    """Fold a new day, or a new revision of the newest one, and tell it; returns the ref last sent as score.observed."""
    day = version.day.day
    revision = newest is not None and newest.day.day == day
    backfilled = day < work.first_newest
    if newest is not None and not revision:
        _close(work, newest, observed)
        _gap(work, newest.day.day, day, backfilled=backfilled)
    _tell_day(work, version, backfilled=backfilled, final=not last)
    if newest is not None:
        _compare(work, newest, version, backfilled=backfilled, hysteresis=True)
    else:
        for control in version.day.controls.values():
            work.baselines[control.name] = _reported(control, version)
    if not backfilled:
        work.out.extend(crossings(work.rules.targets, work.targets, work.profiles, work.days, newest, version))
    if day == work.first_newest and not revision:
        _inventory(work, version, first=True)
    return version.ref


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
        version, work.profiles, backfilled=backfilled, final=final, late=late, tally=work.tally, controls=controls
    )
    work.out.append(told)


def _inventory(work: _Work, version: Version, *, first: bool) -> None:
    mode = work.rules.changes.inventory
    if mode == "off" or (mode == "baseline" and not first) or not version.day.detailed:
        return
    for name in sorted(version.day.controls):
        work.out.append(changes.control_observed(version, version.day.controls[name], work.profile(name)))


def _gap(work: _Work, before: str, after: str, *, backfilled: bool) -> None:
    """One event for the run of days between two known ones; a refused day was delivered, so it is no gap."""
    delivered = {ref[:10] for ref in work.refused}
    first, last = _shift(before, 1), _shift(after, -1)
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
    moved = max(abs(n or 0) for n in (decomposition.delta, decomposition.residual, decomposition.max_delta))
    transition = None
    if moved and moved >= diff.fixed(rules.min_score_points):
        transition = event_id(work.rules.tenant_id, "score.changed", "score", total.ref, after.ref)
        across = evolve(step.context, before=total.day)

        def why(part: diff.Contribution) -> Cause:
            return step.cause(part.control) if total is before else _across(work, path, step, part.control)

        work.out.append(changes.score_changed(total, after, decomposition, why, across, backfilled=backfilled))
    tenant = changes.tenant_changed(before, after, backfilled=backfilled)
    if tenant is not None:
        work.out.append(tenant)
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
    for name in sorted(diff.moved(old, new)):
        control = new[name]
        if name not in old:
            work.out.append(presence("added", control))
            if hysteresis:
                work.baselines[name] = _reported(control, after)
            continue
        was = old[name]
        reference = _reported(was, before)
        if hysteresis:
            reference = work.baselines.setdefault(name, reference)
        if _worth_telling(rules, reference.control, control, work.profile(name)):
            alone = _worth_telling(rules, was, control, work.profile(name))
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
    return was.status != now.status and work.old.language in ("", work.rules.language)


def _richer(work: _Work, known: Version, version: Version) -> Version:
    """Same numbers read again: newer detail replaces ours silently (or is told where evidence is asked for).

    A stripped copy never replaces a detailed one. Licensed services stay those of the first reading: that they moved
    is told, and counts as a cause, together with the next numbers.
    """
    if known.day.detailed and not version.day.detailed:
        return known
    result = evolve(known, day=evolve(version.day, services=known.day.services or version.day.services))
    if work.rules.changes.evidence and known.day.detailed:
        for name in sorted(result.day.controls):
            was, now = known.day.controls[name], result.day.controls[name]
            if _evidence_differs(work, was, now):
                work.out.append(changes.control_evidence_changed(was, now, known, result, work.profile(name)))
    return result


def _closed_day_revised(work: _Work, known: Version, version: Version) -> None:
    """Microsoft rewrote a day that had closed: told against its previous revision, without touching baselines.

    Of a suspicious rewriting our own copy stands, for good: history may be stripped further, never believed less.
    """
    lost, reason = guard.loss(known, version, work.rules.changes.suspicious_loss)
    if reason:
        work.refused.append(guard.identity(version))
        work.out.append(
            notices.feed_suspicious(
                version,
                known,
                lost=lost,
                reason=reason,
                problem_id=guard.problem_id(work.rules.tenant_id, known, reason, work.now),
                first_seen=work.now,
                accepts_at=None,
            )
        )
        return
    _tell_day(work, version, final=True)
    _compare(work, known, version, backfilled=False, hysteresis=False)
    work.days[version.day.day] = slim(version)


def _suspicion(
    work: _Work, refusal: Refusal | None, accepted: Version | None, version: Version, later: Sequence[Day]
) -> Refusal | None:
    """The refusal of a suspicious day, or None when the day is to be believed.

    First contact is a declared baseline: it has no accepted day to protect. A refused day is never believed when a
    later one of the same read has nothing suspicious: then the loss did not persist.
    """
    new_day = accepted is None or accepted.day.day != version.day.day
    if accepted is None or (new_day and version.day.day <= work.first_newest):
        return None
    limit = work.rules.changes.suspicious_loss
    lost, reason = guard.loss(accepted, version, limit)
    if not reason:
        return None
    if guard.is_believed(refusal, lost, work.now) and all(
        guard.loss(accepted, Version(day, ""), limit)[1] for day in later
    ):
        return None
    if guard.identity(version) not in work.refused:
        work.refused.append(guard.identity(version))
    if refusal is not None and not refusal.approved:
        return evolve(refusal, lost=lost)
    found = Refusal(work.now, guard.problem_id(work.rules.tenant_id, accepted, reason, work.now), lost)
    work.out.append(
        notices.feed_suspicious(
            version,
            accepted,
            lost=lost,
            reason=reason,
            problem_id=found.problem_id,
            first_seen=work.now,
            accepts_at=guard.accepts_at(work.now),
        )
    )
    return found
