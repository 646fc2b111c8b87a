"""How the connector is doing: one document (status), and facts at one moment (the endpoints). Values in, values out.

What HTTP makes of it is in endpoints.py; nothing is counted here.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from connector.clock import iso, parse_iso
from connector.config.values import Config
from connector.model import WHOLE, Digest
from connector.observe import memory, units
from connector.ports import Query, SinkStats, Stats, Store
from connector.registry import digest_of
from connector.signin.credentials import Credential, Expiry


async def open_problems(store: Store, key: str) -> list[dict[str, Any]]:
    """The connector's own open problems (kept under `key`), oldest first, each with what was last said of it."""
    found = []
    for entry in memory.readable_head(await store.load(key)).get("problems", {}).values():
        query = Query(types=(entry["type"],), subject=entry["subject"], newest_first=True, limit=1)
        told = await store.history(query)
        said: Mapping[str, Any] = told[0].data if told else {}
        row = {name: entry[name] for name in ("reason", "subject", "problem_id", "first_seen")}
        row.update({name: said.get(name) or None for name in ("summary", "detail", "hint")})
        found.append({**row, "sink": entry.get("sink")})
    return sorted(found, key=lambda p: (p["first_seen"], p["subject"]))


def overview(
    config: Config,
    heads: Mapping[str, Mapping[str, Any]],
    stats: Stats,
    now: datetime,
    problems: Sequence[Mapping[str, Any]],
    credentials: Sequence[Credential],
) -> dict[str, Any]:
    """{tenants: {name: {newest_day, …}}, sinks: {name: {state, backlog, …}}, problems: […], credentials: […], store}.

    `heads` are what is remembered of the tenants (memory.head), by name; `problems` those of the connector
    (open_problems). The document is a stable interface.
    """
    tenants = {}
    for tenant in config.tenants:
        head = heads.get(tenant.name, {})
        newest = head.get("newest")
        tenants[tenant.name] = {
            "newest_day": newest,
            "data_age_s": int((now - parse_iso(newest)).total_seconds()) if newest else None,
            "last_success": head.get("last_success"),
            "error": head.get("error"),
            "hint": head.get("hint") or None,
            "notes": [text for _, text in head.get("notes", ())],
            "refused": units.refused(head),
            "problems": sorted(p["reason"] for p in head.get("problems", {}).values()),
            "labels": dict(tenant.labels),
            **_standing(head),
            "deviations": [_deviation(key) for key in head.get("deviations", ())],
            "units": unit_rows(head),
            "no_data": _no_data(head),
        }
    return {
        "tenants": tenants,
        "sinks": sink_rows(config, stats.sinks, problems, now),
        "problems": list(problems),
        "credentials": [
            {
                "credential": c.place,
                "kind": c.kind,
                "expires_at": iso(c.at) if c.at else None,
                "days_left": (c.at - now).days if c.at else None,
                "tenants": list(c.tenants),
                "sink": c.sink,
            }
            for c in credentials
        ],
        "store": {"events": stats.events, "bytes": stats.bytes},
    }


def _deviation(key: str) -> dict[str, str | None]:
    """One deviation from the baseline, as the event of its beginning names its target."""
    kind, _, control = key.partition(":")
    return {"kind": kind, "control": control or None}


def _standing(head: Mapping[str, Any]) -> dict[str, float | None]:
    """The percentage of the newest day and its change within about a week, in percentage points; None = not known."""
    whole = next((row for row in unit_rows(head) if row["unit"]["kind"] in WHOLE), None)
    if whole is not None:
        return {"percent": whole["percent"], "change_7d": None}
    trend = head.get("trend") or {}
    newest, days = head.get("newest"), sorted(trend)
    if newest not in trend:
        return {"percent": None, "change_7d": None}
    week = trend[days[0]] if len(days) > 1 else None
    change = None if week is None else round(trend[newest] - week, 4)
    return {"percent": round(trend[newest], 2), "change_7d": None if change is None else round(change, 2)}


def unit_rows(head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The units of an entry, the one that stands for all of it first; [] for a tenant that is one unit.

    `state` is that of a subscription as it is listed, `gone_since` since when it is not.
    """
    rows = sorted(units.roster(head).values(), key=lambda row: (row["kind"] not in WHOLE, row["name"], row["id"]))
    return [
        {
            "unit": unit_words(row),
            "newest_day": row.get("newest"),
            "score": row.get("score"),
            "max": row.get("max"),
            "percent": percent(row),
            "state": row["state"] or None,
            "gone_since": row["gone_since"] or None,
            "refused": list(row.get("refused", ())),
        }
        for row in rows
    ]


def unit_words(row: Mapping[str, Any]) -> dict[str, Any]:
    """A unit, by its row, as its events name it."""
    return {
        name: row[key] or None
        for name, key in (("kind", "kind"), ("id", "id"), ("name", "name"), ("score", "score_name"))
    }


def percent(row: Mapping[str, Any]) -> float | None:
    """The share (0-100) of its maximum that a unit has."""
    score, most = row.get("score"), row.get("max")
    return round(100.0 * score / most, 2) if score is not None and most else None


def _no_data(head: Mapping[str, Any]) -> dict[str, Any]:
    """How many subscriptions are enabled and have no score, and the first of them."""
    known = head.get("no_data") or {"count": 0, "first": []}
    return {"count": known["count"], "first": [{"id": key, "name": name or None} for key, name in known["first"]]}


def sink_rows(
    config: Config, stats: Sequence[SinkStats], problems: Sequence[Mapping[str, Any]], now: datetime
) -> dict[str, dict[str, Any]]:
    """Each sink, configured or abandoned; `state`: the reason of its open problem, else new, ok, behind, abandoned.

    Or digest: what waits is not due before its next one.
    """
    digests = {sink.name: digest_of(sink.kind, sink.options) for sink in config.sinks}
    troubled = {p["subject"].removeprefix("sink:"): p for p in problems if p["subject"].startswith("sink:")}
    rows: dict[str, dict[str, Any]] = {}
    for s in stats:
        problem = troubled.get(s.name, {})
        digest = None if s.abandoned else digests.get(s.name)
        state = "abandoned" if s.abandoned else "behind" if s.backlog else "ok"
        if digest is not None and s.oldest_due is not None and digest.due(parse_iso(s.oldest_due), now) > now:
            state = "digest"
        rows[s.name] = {
            "state": state if s.abandoned else problem.get("reason", state),
            "backlog": s.backlog,
            "parked": s.parked,
            "last_success": s.last_success,
            "oldest_due": s.oldest_due,
            "next_digest": None if digest is None else iso(digest.next(now)),
            "error": problem.get("detail"),
            "hint": problem.get("hint"),
        }
    new = {
        "backlog": 0,
        "parked": 0,
        "last_success": None,
        "oldest_due": None,
        "next_digest": None,
        "error": None,
        "hint": None,
    }
    for sink in config.sinks:
        first = digests[sink.name]
        digest_at = None if first is None else iso(first.next(now))
        rows.setdefault(sink.name, {"state": "new", **new, "next_digest": digest_at})
    return rows


HARMLESS = frozenset({"state_new", "secret_expiring", "stale"})
"""Problems that mean no loss, no refusal and nothing that is kept back."""


ONCE_ONLY = frozenset({"state_damaged", "cursor_ahead", "state_restored", "state_copied"})
"""What happened once, and is told for a while: nothing about it could be over."""


def unwell(status: Mapping[str, Any], tenants: Collection[str], heard: Collection[str] = ()) -> list[str]:
    """What is lost, skipped, damaged, pinned or refused now, in words; of the tenants, of the named ones alone.

    `status` is an overview. `once` ends with it, and whoever looks at `status` sees the same. What happened once does
    not count where it was `heard` in the same words before.
    """
    problems = [p for p in status["problems"] if p["reason"] not in HARMLESS]
    now = [p for p in problems if p["reason"] not in ONCE_ONLY or p["summary"] not in heard]
    found = [p["summary"] or f"{p['subject']}: {p['reason']}" for p in now]
    for name, tenant in status["tenants"].items():
        if name in tenants:
            reasons = [reason for reason in tenant["problems"] if reason not in HARMLESS]
            refused = [refusal_words(r) for r in tenant["refused"]]
            found += [f"tenant {name}: {words}" for words in (*reasons, *refused)]
    for name, sink in status["sinks"].items():
        if sink["parked"]:
            found.append(f"sink {name} has refused {sink['parked']} events for good: `securescore parked list`")
    return found


def refusal_words(refused: Mapping[str, Any]) -> str:
    """What is being refused, of which unit where that is not the tenant itself."""
    of_unit = f" of {refused['unit']}" if "unit" in refused else ""
    return f"{refused['part']}{of_unit} refused ({refused['reason']})"


@frozen
class SinkFacts:
    """How one sink's loop stands: `state` is ok, unavailable, denied or untried; `delivered` by stream.

    What waits for a `digest` is not late before that is due.
    """

    state: str
    error: str
    failures: int
    delivered: Mapping[str, int]
    digest: Digest | None = None


@frozen
class Facts:
    """Everything the endpoints tell, at one moment.

    `stalled` names loops that make no progress; `trouble` says what the state refuses now.
    """

    now: datetime
    stats: Stats | None
    max_bytes: int
    full: bool
    stopping: bool
    stalled: Sequence[str]
    sinks: Mapping[str, SinkFacts]
    expiries: Sequence[Expiry] = ()
    trouble: Sequence[str] = ()
