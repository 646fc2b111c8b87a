"""What is told of targets and of the feed itself: values in, `Change` out. Pure; one function a type.

What scores, controls and profiles say of their changes is in changes.py; whether and when to tell is in fold.py.
"""

from collections.abc import Sequence
from typing import Any

from connector.config.values import ExceptionsConfig
from connector.ids import digest
from connector.model import PORTAL, Change, Control, Profile, StateUpdate, Unit, Version
from connector.observe import diff, explain
from connector.observe.baseline import Judged
from connector.observe.changes import control_info, entry_identity, score_info, snapshot, state_data
from connector.observe.naming import score_called

# ---------------------------------------------------------------------------------------------------------- posture


def posture_target(
    *,
    met: bool,
    kind: str,
    threshold: float | None,
    value: float | None,
    before: str,
    after: Version,
    control: Control | None = None,
    name: str | None = None,
    profile: Profile | None = None,
    unit: Unit | None = None,
) -> Change:
    """posture.target_missed or posture.target_met; `name` is the control's id where the target names one."""
    fall = "rise of the exposure by" if unit is not None and unit.lower_is_better else "drop of"
    words = {
        "exposure_max": f"{score_called(unit)} {explain.number(value)} against at most {explain.number(threshold)}",
        "percent_min": f"{score_called(unit)} {explain.number(value)} % against at least {explain.number(threshold)} %",
        "measured_percent_min": f"measured {explain.number(value)} % against at least {explain.number(threshold)} %",
        "drop_points": f"overnight {fall} {explain.number(value)} points against at most {explain.number(threshold)}",
        "control": f"{name} has {explain.number(value)} of {explain.number(threshold)} points"
        if threshold is not None
        else f"{name} has {explain.number(value)} points, of a maximum that is unknown",
    }[kind]
    data: dict[str, Any] = {
        "direction": "improved" if met else "regressed",
        "summary": f"Target {'met' if met else 'missed'}: {words}",
        "target": {"kind": kind, "threshold": threshold, "value": diff.rounded(value), "control": name},
        **({"control": control_info(name, control, profile)} if name else {}),
        "score": score_info(after.day),
        **snapshot(after),
    }
    return Change(f"posture.target_{'met' if met else 'missed'}", name or kind, before, after.ref, after.day.day, data)


def target_retired(name: str, before: str, after: Version, profile: Profile | None) -> Change:
    """posture.target_met of a missed control that is scored no more: nobody can meet that target, so it is over."""
    target = {"kind": "control", "threshold": diff.max_of(None, profile), "value": None, "control": name}
    data: dict[str, Any] = {
        "direction": "unchanged",
        "summary": f"Target over: {name} is no longer scored",
        "target": target,
        "control": control_info(name, None, profile),
        "score": score_info(after.day),
        **snapshot(after),
    }
    return Change("posture.target_met", name, before, after.ref, after.day.day, data)


def baseline_deviation(one: Judged, why: str | None, after: Version, profile: Profile | None) -> Change:
    """posture.target_missed of a deviation that begins (`why` None), or posture.target_met of one that is over.

    Neither side of what was compared need be another day: a state, or what is asked for, may have changed within it.
    """
    now = PORTAL.get(one.state.state, one.state.state) if one.state else ""
    words = {
        "baseline_full": f"{one.control} has {explain.number(one.value)} of {explain.number(one.threshold)} points",
        "baseline_declared": f"{one.control} is {now}, not {PORTAL.get(one.wanted or '', one.wanted)}",
        "baseline_not_declared": f"{one.control} is {now}",
        "baseline_percent_min": f"{explain.number(one.value)} % against at least {explain.number(one.threshold)} %",
        "baseline_measured_percent_min": f"measured {explain.number(one.value)} % against at least "
        f"{explain.number(one.threshold)} %",
    }[one.kind]
    if why == "met":
        words = {
            "baseline_declared": f"{one.control} is {PORTAL.get(one.wanted or '', one.wanted)}, or full",
            "baseline_not_declared": f"{one.control} is declared no longer",
        }.get(one.kind, words)
    subject = one.control or one.kind.removeprefix("baseline_")
    over = {
        "met": f"Baseline met: {words}",
        "excused": f"Baseline deviation excused until {one.excused}: {subject}",
        "not_asked": f"Baseline deviation over: {subject} is asked for no longer",
        "not_scored": f"Baseline deviation over: {subject} is no longer scored",
    }
    of = f" (standard {one.standard})" if one.standard else ""
    data: dict[str, Any] = {
        "direction": "regressed" if why is None else "improved" if why == "met" else "unchanged",
        "summary": (f"Baseline missed: {words}" if why is None else over[why]) + of,
        "target": {
            "kind": one.kind,
            "threshold": diff.rounded(one.threshold),
            "value": diff.rounded(one.value),
            "control": one.control or None,
            "standard": one.standard,
            "wanted": one.wanted,
            "state": one.state.state if one.state else None,
            "ended": why,
            "excused_until": one.lapsed if why is None else one.excused,
        },
        **({"control": control_info(one.control, after.day.controls.get(one.control), profile)} if one.control else {}),
        "score": score_info(after.day),
        **snapshot(after),
    }
    state = f"#{entry_identity(one.state)}" if one.state else ""
    type_ = f"posture.target_{'missed' if why is None else 'met'}"
    return Change(type_, subject, f"{one.kind}#{why or 'begun'}", f"{after.ref}{state}", after.day.day, data)


def exception_due(
    profile: Profile,
    update: StateUpdate,
    reasons: Sequence[str],
    age_days: int | None,
    wanted: ExceptionsConfig,
    newest: Version,
) -> Change:
    """posture.exception_due: a declared state, `after`, that somebody should look at again."""
    days = "1 day" if age_days == 1 else f"{age_days} days"
    words = {
        "review_overdue": f"{days} old, to be reviewed after {wanted.review_after_days}",
        "comment_missing": "without a comment",
    }
    who = f" by {update.by}" if update.by else ""
    since = f" since {update.at[:10]}" if update.at else ""
    control = newest.day.controls.get(profile.id)
    data: dict[str, Any] = {
        "direction": "unchanged",
        "summary": f"Exception due: {profile.id} {update.state}{since}{who}, {' and '.join(words[r] for r in reasons)}",
        "after": state_data(update),
        "asserted": update.state in diff.ASSERTED,
        "exception": {
            "reasons": list(reasons),
            "declared_at": update.at,
            "age_days": age_days,
            "review_after_days": wanted.review_after_days,
        },
        "control": control_info(profile.id, control, profile),
        "score": score_info(newest.day),
        **snapshot(newest),
    }
    return Change("posture.exception_due", profile.id, "", entry_identity(update), newest.day.day, data)


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

    `accepts_at` is None for a day that had closed: it is refused for good, and our own copy is kept.
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
        **snapshot(refused),
    }
    told = f"{accepted.ref}#{first_seen}"
    return Change("feed.suspicious", refused.day.day, told, refused.ref, refused.day.day, data)


def day_ahead(refused: Version, newest: Version | None, problem_id: str, first_seen: str, accepts_at: str) -> Change:
    """A document dated further ahead than tomorrow: it would hide every real day until then."""
    day = newest.day.day if newest else ""
    data: dict[str, Any] = {
        "summary": f"Suspicious day refused: a document is dated {refused.day.day}, further ahead than tomorrow",
        "reason": "dated_ahead",
        "part": "days",
        "problem_id": problem_id,
        "first_seen": first_seen,
        "accepts_at": accepts_at,
        "known_controls": len(newest.day.controls) if newest else 0,
        "lost_controls": 0,
        "lost": [],
        "max_before": None,
        "max_after": None,
        "last_accepted_day": day or None,
        **snapshot(refused),
    }
    return Change("feed.suspicious", refused.day.day, f"dated_ahead#{first_seen}", refused.ref, day, data)


def day_given_up(given_up: Version, newest: Version | None, *, reason: str, problem_id: str, since: str) -> Change:
    """A newest day for which nothing stands any more (`reason` "dated_ahead" or "day_vanished"): comparing goes on
    without it.
    """
    day = newest.day.day if newest else ""
    why = {"dated_ahead": "it is dated further ahead than tomorrow"}.get(reason, "the feed no longer holds it")
    data: dict[str, Any] = {
        "summary": f"Newest day given up: {given_up.day.day}, {why}",
        "reason": reason,
        "part": "days",
        "problem_id": problem_id,
        "first_seen": since,
        "accepts_at": None,
        "known_controls": len(given_up.day.controls),
        "lost_controls": 0,
        "lost": [],
        "max_before": None,
        "max_after": None,
        "last_accepted_day": day or None,
        **snapshot(given_up),
    }
    return Change("feed.suspicious", given_up.day.day, f"{reason}#{since}", f"given_up#{given_up.ref}", day, data)


def catalogue_suspicious(
    known: int,
    lost: Sequence[str],
    newest: Version | None,
    *,
    problem_id: str,
    first_seen: str,
    accepts_at: str,
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
