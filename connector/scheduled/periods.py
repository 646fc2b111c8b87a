"""Periods of reports: days, weeks (ISO, Monday to Sunday) and months, in UTC. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from attrs import frozen

KEYS: Mapping[str, str] = {
    "day": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "week": r"[0-9]{4}-W[0-9]{2}",
    "month": r"[0-9]{4}-[0-9]{2}",
}
"""What the key of a period looks like, by what it is a period of; the keys of one kind sort by time."""


@frozen
class Span:
    """One period: its key, such as 2026-10 or 2026-W47, its first and its last day."""

    key: str
    start: str
    end: str


def last_over(every: str, today: date) -> Span:
    """The latest period that ended before a day."""
    if every == "day":
        return _span(every, today - timedelta(days=1))
    if every == "week":
        return _span(every, today - timedelta(days=today.weekday() + 1))
    return _span(every, today.replace(day=1) - timedelta(days=1))


def back_from(every: str, today: date) -> Iterator[Span]:
    """The periods that ended before a day, the latest first, without end."""
    while True:
        span = last_over(every, today)
        yield span
        today = date.fromisoformat(span.start)


def ended(every: str, key: str) -> date | None:
    """The last day of a period by its key; None for a key of no period."""
    if not re.fullmatch(KEYS[every], key):
        return None
    try:
        if every == "day":
            return date.fromisoformat(key)
        if every == "week":
            return date.fromisocalendar(int(key[:4]), int(key[6:]), 7)
        first = date.fromisoformat(f"{key}-01")
    except ValueError:
        return None
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _span(every: str, last: date) -> Span:
    """The period that ends with a day."""
    if every == "day":
        return Span(last.isoformat(), last.isoformat(), last.isoformat())
    if every == "week":
        year, week, _ = last.isocalendar()
        return Span(f"{year:04}-W{week:02}", (last - timedelta(days=6)).isoformat(), last.isoformat())
    return Span(last.isoformat()[:7], last.replace(day=1).isoformat(), last.isoformat())
