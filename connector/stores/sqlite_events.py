"""The tables of state and events, in SQL: what is remembered of each tenant, history, and what is deleted of them.

No thread is known here, no file, and no sink (sqlite_sinks.py). `next_generation`, `write_parts` and `add` are steps of
one transaction; every other function is a transaction of its own.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from connector.errors import Conflict
from connector.formats import cloudevents
from connector.model import STREAM_OF_TYPE, Event
from connector.ports import Query, State
from connector.stores.sqlite_file import bind, transaction, unbind


def load(connection: sqlite3.Connection, tenant_id: str) -> State | None:
    with transaction(connection, "DEFERRED"):
        found = connection.execute("SELECT generation FROM tenant WHERE tenant = ?", (bind(tenant_id),)).fetchone()
        if found is None:
            return None
        rows = connection.execute("SELECT part, body FROM state WHERE tenant = ?", (bind(tenant_id),))
        parts = {unbind(part): body for part, body in rows}
        return State(found[0], parts, parts)


def tenants(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT tenant FROM tenant WHERE tenant != '' ORDER BY tenant")
    return [unbind(tenant) for (tenant,) in rows]


def next_generation(connection: sqlite3.Connection, tenant_id: str, generation: int) -> int:
    tenant = bind(tenant_id)
    if generation:
        done = connection.execute(
            "UPDATE tenant SET generation = generation + 1 WHERE tenant = ? AND generation = ?", (tenant, generation)
        )
    else:
        done = connection.execute("INSERT INTO tenant VALUES (?, 1) ON CONFLICT (tenant) DO NOTHING", (tenant,))
    if not done.rowcount:
        raise Conflict(
            f"tenant {tenant_id}: another commit came first (not at generation {generation} any more)",
            "Load the state and observe again.",
        )
    return generation + 1


def write_parts(connection: sqlite3.Connection, tenant_id: str, state: State) -> None:
    """What differs from what is there. That is known of a state which the store gave: its generation was just found."""
    tenant = bind(tenant_id)
    connection.executemany(
        "INSERT INTO state VALUES (?, ?, ?)"
        " ON CONFLICT (tenant, part) DO UPDATE SET body = excluded.body WHERE body IS NOT excluded.body",
        [(tenant, bind(part), body) for part, body in state.parts.items() if state.stored.get(part) is not body],
    )
    there = [bind(part) for part in state.stored]
    if not there:
        there = [part for (part,) in connection.execute("SELECT part FROM state WHERE tenant = ?", (tenant,))]
    kept = {bind(part) for part in state.parts}
    gone = [(tenant, part) for part in there if part not in kept]
    connection.executemany("DELETE FROM state WHERE tenant = ? AND part = ?", gone)


def row_of(event: Event) -> tuple[object, ...]:
    return (
        bind(event.id),
        bind(event.entry),
        bind(event.type),
        bind(event.subject),
        bind(str(event.data["observed_at"])),
        cloudevents.dumps(event),
    )


def add(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        return
    added = connection.executemany(
        "INSERT INTO event (id, tenant, type, subject, observed_at, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        rows,
    ).rowcount
    connection.execute("UPDATE total SET events = events + ?", (added,))
    connection.execute("UPDATE sink SET beyond = beyond + ?", (added,))


UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def event_of(row: tuple[Any, ...]) -> Event:
    """The event of a row of EVENT_COLUMNS; of an unreadable body remains what the other columns say."""
    event_id, tenant, event_type, subject, observed_at, body = row
    try:
        return cloudevents.loads(body)
    except UNREADABLE:
        return Event(
            id=unbind(event_id),
            source="urn:secure-score:unreadable",
            type=unbind(event_type),
            subject=unbind(subject),
            time=unbind(observed_at),
            data={
                "stream": STREAM_OF_TYPE.get(unbind(event_type), "health"),
                "observed_at": unbind(observed_at),
                "tenant": {"id": unbind(tenant)} if tenant else None,
                "severity": 0,
                "backfilled": False,
                "summary": "Unreadable in the state store",
            },
        )


# CAST: a body that is no longer UTF-8 must reach us as bytes, or the driver fails the whole query.
EVENT_COLUMNS = "e.id, e.tenant, e.type, e.subject, e.observed_at, CAST(e.body AS BLOB)"


def history(connection: sqlite3.Connection, query: Query) -> list[Event]:
    terms, values, tail = selection(query)
    rows = connection.execute(
        f"SELECT {EVENT_COLUMNS} FROM event e WHERE {terms} {tail}",  # noqa: S608 (only our own constants are joined)
        values,
    )
    return [event_of(row) for row in rows]


# CASE: a damaged body is of no unit, and does not fail the whole query.
_OF_UNITS = (
    "CASE WHEN json_valid(e.body) THEN json_extract(e.body, '$.data.unit.id') IN (SELECT value FROM json_each(?))"
    " OR json_extract(e.body, '$.data.unit.id') || '/' || coalesce(json_extract(e.body, '$.data.unit.score'), '')"
    " IN (SELECT value FROM json_each(?)) END"
)


def selection(query: Query) -> tuple[str, list[object], str]:
    """A query as SQL: conditions on `e`, their values, and order with limit."""
    terms: list[str] = ["1"]
    values: list[object] = []
    if query.ids:
        terms.append("e.id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(query.ids)))
    if query.tenant_id is not None:
        terms.append("e.tenant = ?")
        values.append(bind(query.tenant_id))
    if query.types:
        terms.append("(" + " OR ".join(["e.type GLOB ?"] * len(query.types)) + ")")
        values += [bind(glob.replace("[!", "[^")) for glob in query.types]  # SQLite negates a set with ^
    if query.subject is not None:
        terms.append("e.subject = ?")
        values.append(bind(query.subject))
    if query.units:
        terms.append(_OF_UNITS)
        values += [json.dumps(list(query.units))] * 2
    if query.since is not None:
        terms.append("e.observed_at >= ?")
        values.append(bind(query.since))
    if query.until is not None:
        terms.append("e.observed_at < ?")
        values.append(bind(query.until))
    order = "DESC" if query.newest_first else "ASC"
    limit = "" if query.limit is None else f" LIMIT {max(0, query.limit):d}"
    return " AND ".join(terms), values, f"ORDER BY e.seq {order}{limit}"


# --------------------------------------------------------------------------------------------------------- deletion


def purge(connection: sqlite3.Connection, before: str, limit: int) -> int:
    """Delete up to `limit` events that are old and settled by every sink, attached or abandoned."""
    with transaction(connection):
        purged = connection.execute(
            "DELETE FROM event WHERE seq IN (SELECT e.seq FROM event e WHERE e.observed_at < ?"
            " AND e.seq <= (SELECT coalesce(min(position), e.seq) FROM sink)"
            " AND NOT EXISTS (SELECT 1 FROM item i WHERE i.seq = e.seq AND i.state != 'discarded') LIMIT ?)",
            (bind(before), limit),
        ).rowcount
        connection.execute("UPDATE total SET events = events - ?", (purged,))
        return purged


def prune_ledger(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM ledger WHERE NOT EXISTS (SELECT 1 FROM event WHERE seq BETWEEN lo AND hi)")


def shed(connection: sqlite3.Connection, limit: int) -> tuple[int, str]:
    """Delete up to `limit` of the oldest events that every sink has settled; how many, and their newest moment."""
    with transaction(connection):
        rows = connection.execute(
            "SELECT e.seq, e.observed_at FROM event e WHERE e.seq <= (SELECT coalesce(min(position), e.seq) FROM sink)"
            " AND NOT EXISTS (SELECT 1 FROM item i WHERE i.seq = e.seq AND i.state != 'discarded')"
            " ORDER BY e.seq LIMIT ?",
            (limit,),
        ).fetchall()
        connection.executemany("DELETE FROM event WHERE seq = ?", [(seq,) for seq, _ in rows])
        connection.execute("UPDATE total SET events = events - ?", (len(rows),))
        return len(rows), max((unbind(observed_at) for _, observed_at in rows), default="")


def forget(connection: sqlite3.Connection, tenant_id: str, generation: int | None, limit: int) -> int:
    """Delete up to `limit` events of a tenant, and all else of it with the last of them; how many. 0 when it is done.

    Raises Conflict when a `generation` is given, and the tenant has been committed since.
    """
    tenant = bind(tenant_id)
    connection.execute("PRAGMA secure_delete = ON").fetchall()  # freed pages are overwritten; back to normal below
    try:
        with transaction(connection):
            found = connection.execute("SELECT generation FROM tenant WHERE tenant = ?", (tenant,)).fetchone()
            if generation is not None and found is not None and found[0] != generation:
                raise Conflict(f"tenant {tenant_id} was committed meanwhile", "Read its events again and repeat.")
            rows = connection.execute("SELECT seq FROM event WHERE tenant = ? LIMIT ?", (tenant, limit)).fetchall()
            if len(rows) < limit:
                connection.execute("DELETE FROM tenant WHERE tenant = ?", (tenant,))
            for (seq,) in rows:
                connection.execute("UPDATE sink SET beyond = beyond - 1 WHERE position < ?", (seq,))
            connection.executemany("DELETE FROM event WHERE seq = ?", rows)
            connection.execute("UPDATE total SET events = events - ?", (len(rows),))
    finally:
        connection.execute("PRAGMA secure_delete = OFF").fetchall()
    return len(rows)
