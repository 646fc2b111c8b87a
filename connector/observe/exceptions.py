"""Exceptions that need somebody: states that were declared long ago, or without a word why. Pure.

An exception is told once when it becomes due, and again only after it was not due in between. It is renewed by a new
entry of its control's history. What is asked for is configuration (`ExceptionsConfig`); what the event says is in
notices.py.
"""

from collections.abc import Collection, Mapping
from datetime import date

from attrs import frozen

from connector.config.values import ExceptionsConfig
from connector.model import Change, Profile, StateUpdate, Version
from connector.observe import changes, diff, notices


@frozen
class Due:
    """How an exception stands. `reasons` are empty while it is not due: "review_overdue", "comment_missing".

    `age_days` is None where Graph states no date, `review_on` also where no review is asked for.
    """

    reasons: tuple[str, ...]
    age_days: int | None
    review_on: str | None


def judge(update: StateUpdate, wanted: ExceptionsConfig, today: str) -> Due:
    """How a declared state stands on a day (ISO date)."""
    after = wanted.review_after_days
    made = None if update.at is None else date.fromisoformat(update.at[:10])
    age = None if made is None else (date.fromisoformat(today) - made).days
    review = None
    if made is not None and after is not None:
        review = date.fromordinal(min(made.toordinal() + after, date.max.toordinal())).isoformat()
    reasons = []
    if review is not None and today >= review:
        reasons.append("review_overdue")
    if wanted.comment_required and not (update.comment or "").strip():
        reasons.append("comment_missing")
    return Due(tuple(reasons), age, review)


def crossings(
    wanted: ExceptionsConfig,
    told: Mapping[str, str],
    catalogue: Mapping[str, Profile],
    away: Collection[str],
    newest: Version,
    now: str,
) -> tuple[dict[str, str], list[Change]]:
    """What to remember and what is told at a moment. `told` maps a control to the entry that was told as due.

    `away` are controls that left the catalogue and may return as they were.
    """
    kept = {name: entry for name, entry in told.items() if name not in catalogue and name in away}
    found = []
    declared = {name for name, profile in catalogue.items() for u in profile.updates if u.state in diff.DECLARED}
    for name in sorted(declared):
        profile = catalogue[name]
        update = diff.effective_state(profile)
        if update.state not in diff.DECLARED:
            continue
        due = judge(update, wanted, now[:10])
        if not due.reasons:
            continue
        kept[name] = changes.entry_identity(update)
        if told.get(name) != kept[name]:
            found.append(notices.exception_due(profile, update, due.reasons, due.age_days, wanted, newest))
    return kept, found
