"""The life cycle of problems: told once, repeated daily, closed by a recovery. Pure.

A `Fault` is what is wrong now; the open problems of a tenant (or of the connector) are remembered as plain JSON in its
head. Nothing here knows how a fault was found.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from attrs import Factory, frozen

from connector.clock import parse_iso
from connector.ids import event_id
from connector.model import Change

REPEAT = timedelta(days=1)

Open = Mapping[str, Mapping[str, Any]]
"""Open problems by key: {key: {type, reason, subject, problem_id, first_seen, last_sent, repeat}}; where the reason
became another, `entered` says when, and `heard` names all of them."""


@frozen
class Fault:
    """Something that is wrong now: `type` is feed.partial, feed.stale or connector.problem, with `subject` the key.

    With a `stage` it is told again when that changes, instead of daily.
    """

    type: str
    reason: str
    subject: str
    summary: str
    detail: str = ""
    hint: str = ""
    data: Mapping[str, Any] = Factory(dict)
    stage: str = ""

    @property
    def key(self) -> str:
        return f"{self.type}:{self.subject}"


def advance(
    open_problems: Open,
    faults: Iterable[Fault],
    now: str,
    *,
    scope: str,
    newest_day: str | None = None,
    unchecked: Callable[[str], bool] = lambda _: False,
) -> tuple[dict[str, dict[str, Any]], list[Change]]:
    """The problems open after this turn, and what must be told: new ones, daily repeats, recoveries.

    A reason not heard so far is told at once, as an update of the same problem; one heard before waits for the day.

    `scope` (tenant id or connector instance) makes the problem ids distinct; `newest_day` is told by feed recoveries.
    Open problems whose key is `unchecked` could not be judged this turn: they stay open, untold.
    """
    result: dict[str, dict[str, Any]] = {key: dict(was) for key, was in open_problems.items() if unchecked(key)}
    told: list[Change] = []
    for fault in faults:
        was = open_problems.get(fault.key)
        if was is None:
            entry = _opened(fault, now, scope)
            told.append(_problem(fault, entry, newest_day))
        else:
            last_sent = min(was["last_sent"], now)  # a clock that was ahead must not silence it
            heard = was.get("heard", [was["reason"]])
            entry = {**was, "last_sent": last_sent, "reason": fault.reason}
            overdue = parse_iso(now) - parse_iso(last_sent) >= REPEAT
            again = fault.stage != was.get("stage", "") if fault.stage else overdue
            if fault.reason != was["reason"]:  # the same trouble, better understood
                entry.update(entered=now, heard=sorted({*heard, fault.reason}))
                again = again or fault.reason not in heard
            if again:
                entry.update(last_sent=now, repeat=was["repeat"] + 1, stage=fault.stage)
                told.append(_problem(fault, entry, newest_day))
        result[fault.key] = entry
    told.extend(_recovery(was, now, newest_day) for key, was in open_problems.items() if key not in result)
    return result, told


def _opened(fault: Fault, now: str, scope: str) -> dict[str, Any]:
    return {
        "type": fault.type,
        "reason": fault.reason,
        "subject": fault.subject,
        "problem_id": event_id(scope, fault.type, fault.subject, fault.reason, now),
        "first_seen": now,
        "last_sent": now,
        "repeat": 0,
        "sink": fault.data.get("sink"),
        "stage": fault.stage,
    }


def _problem(fault: Fault, entry: Mapping[str, Any], newest_day: str | None) -> Change:
    data: dict[str, Any] = {
        "summary": fault.summary,
        "reason": fault.reason,
        "problem_id": entry["problem_id"],
        "first_seen": entry["first_seen"],
        "repeat": entry["repeat"],
        "detail": fault.detail,
        "hint": fault.hint,
        **fault.data,
    }
    if fault.type == "connector.problem":
        data.setdefault("sink", None)
    day = (newest_day or "") if fault.type.startswith("feed.") else ""
    return Change(fault.type, fault.subject, f"{fault.reason}#{entry['first_seen']}", str(entry["repeat"]), day, data)


def _recovery(was: Mapping[str, Any], now: str, newest_day: str | None) -> Change:
    feed = was["type"].startswith("feed.")
    duration_s = max(0, int((parse_iso(now) - parse_iso(was["first_seen"])).total_seconds()))
    data: dict[str, Any] = {
        "summary": f"{'Feed recovered' if feed else 'Recovered'}: {was['subject']} ({was['reason']}, {duration_s} s)",
        "reason": was["reason"],
        "problem_id": was["problem_id"],
        "first_seen": was["first_seen"],
        "duration_s": duration_s,
    }
    if feed:
        data["newest_day"] = newest_day
    else:
        data["sink"] = was.get("sink")
    kind = "feed.recovered" if feed else "connector.recovered"
    return Change(kind, was["subject"], was["problem_id"], "", (newest_day or "") if feed else "", data)
