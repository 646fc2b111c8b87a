"""The tables of sinks, in SQL: what is due to each, what it has settled, and what is parked.

What a settlement means is decided by settling.py and only written down here; no thread and no file is known. `due` and
`stats_of` are steps of one transaction; every other function is a transaction of its own.
"""

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from connector.errors import StoreError
from connector.ports import Parked, Query, Settlement, SinkStats, Start
from connector.stores import settling
from connector.stores.settling import Item
from connector.stores.sqlite_events import EVENT_COLUMNS, event_of, selection
from connector.stores.sqlite_file import bind, transaction, unbind

_LONG_RUN = 1_000


def _sink(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Key and position of a sink; StoreError when there is none of that name."""
    found: tuple[int, int] | None = connection.execute(
        "SELECT sink, position FROM sink WHERE name = ?", (bind(name),)
    ).fetchone()
    if found is None:
        raise StoreError(f"the state knows no sink {name!r}", "`securescore sinks list` shows those it knows.")
    return found


def attach(connection: sqlite3.Connection, sinks: Sequence[Start]) -> None:
    names = [bind(start.sink) for start in sinks]
    with transaction(connection):
        newest, events = connection.execute(
            "SELECT coalesce(max(seq), 0), (SELECT events FROM total) FROM event"
        ).fetchone()
        connection.execute("UPDATE sink SET abandoned = 1")
        connection.executemany(
            "INSERT INTO sink (name, position, beyond) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET abandoned = 0",
            [
                (name, 0, events) if start.whole_history else (name, newest, 0)
                for name, start in zip(names, sinks, strict=True)
            ],
        )


def due(
    connection: sqlite3.Connection,
    sink: str,
    limit: int,
    tenant_id: str | None,
    without: Collection[str],
    *,
    again: bool,
) -> list[tuple[int, bytes, int, str]]:
    """(seq, body, attempts, kind) of what a sink is offered now: first deliveries, or else what comes again."""
    key, position = _sink(connection, sink)
    limit = max(0, limit)
    first: list[tuple[int, bytes, int, str]] = []
    if not again:
        first = _items(connection, key, settling.DUE, "first", limit, tenant_id, without)
    if not again and len(first) < limit:
        terms, values = _of_tenants(tenant_id, without)
        first += connection.execute(
            f"SELECT e.seq, CAST(e.body AS BLOB), 0, 'first' FROM event e WHERE e.seq > ?{terms}"  # noqa: S608
            " ORDER BY e.seq LIMIT ?",
            [position, *values, limit - len(first)],
        ).fetchall()
    return first or _items(connection, key, settling.AGAIN, "again", limit, tenant_id, without)


def _of_tenants(tenant_id: str | None, without: Collection[str]) -> tuple[str, list[object]]:
    """As further terms on `e`, with their values."""
    terms = ""
    values: list[object] = []
    if tenant_id is not None:
        terms = " AND e.tenant = ?"
        values.append(bind(tenant_id))
    if without:
        terms += f" AND e.tenant NOT IN ({', '.join('?' * len(without))})"
        values += map(bind, without)
    return terms, values


def _items(
    connection: sqlite3.Connection,
    key: int,
    state: str,
    kind: str,
    limit: int,
    tenant_id: str | None,
    without: Collection[str],
) -> list[tuple[int, bytes, int, str]]:
    """The oldest items in a state. What tenants `without` have waiting costs nothing: it is not looked at."""
    if not without:
        terms, values = ("", []) if tenant_id is None else (" AND i.tenant = ?", [bind(tenant_id)])
        return connection.execute(
            "SELECT e.seq, CAST(e.body AS BLOB), i.attempts, ? FROM item i JOIN event e USING (seq)"  # noqa: S608
            f" WHERE i.sink = ? AND i.state = ?{terms} ORDER BY i.seq LIMIT ?",
            [kind, key, state, *values, limit],
        ).fetchall()
    left_out = set(map(bind, without))
    those = (
        connection.execute(
            "SELECT seq FROM item WHERE sink = ? AND state = ? AND tenant = ? ORDER BY seq LIMIT ?",
            (key, state, tenant, limit),
        )
        for tenant in _tenants_with(connection, key, state)
        if tenant not in left_out and tenant_id in (None, unbind(tenant))
    )
    seqs = [seq for (seq,) in islice(heapq.merge(*those), limit)]
    return connection.execute(
        # CROSS: from these numbers to their rows, never the other way round.
        "SELECT e.seq, CAST(e.body AS BLOB), i.attempts, ? FROM json_each(?) j"
        " CROSS JOIN item i ON i.sink = ? AND i.seq = j.value JOIN event e ON e.seq = j.value ORDER BY e.seq",
        (kind, json.dumps(seqs), key),
    ).fetchall()


def _tenants_with(connection: sqlite3.Connection, key: int, state: str) -> list[str | bytes]:
    """The tenants that have items in a state: one step in the index for each, however many items it has."""
    found: list[str | bytes] = []
    while True:
        beyond = "AND tenant > ?" if found else ""
        (tenant,) = connection.execute(
            f"SELECT min(tenant) FROM item WHERE sink = ? AND state = ? {beyond}",  # noqa: S608 (our own constants)
            (key, state, *found[-1:]),
        ).fetchone()
        if tenant is None:
            return found
        found.append(tenant)


def pass_over(connection: sqlite3.Connection, sink: str, limit: int, without: Collection[str]) -> None:
    """Move a sink's position past a long run of events of tenants `without`, which stay due as items.

    Else each look would walk all of it again.
    """
    if not without:
        return
    left_out = set(map(bind, without))
    while True:
        key, position = _sink(connection, sink)
        run = connection.execute(
            "SELECT seq, tenant FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (position, _LONG_RUN)
        ).fetchall()
        if len(run) < _LONG_RUN or sum(tenant not in left_out for _, tenant in run) >= limit:
            return
        with transaction(connection):
            last = run[-1][0]
            made = connection.execute(
                "INSERT INTO item (sink, seq, tenant, state, attempts) SELECT sink, e.seq, e.tenant, 'due', 0"
                " FROM sink s JOIN event e ON e.seq > s.position AND e.seq <= ? WHERE s.sink = ? ORDER BY e.seq",
                (last, key),
            ).rowcount
            connection.execute("UPDATE sink SET position = ?, beyond = beyond - ? WHERE sink = ?", (last, made, key))


def settle(connection: sqlite3.Connection, sink: str, settlement: Settlement) -> None:
    named = {*settlement.attempted, *settlement.accepted, *settlement.skipped, *settlement.parked}
    if not named:
        return
    with transaction(connection):
        key, position = _sink(connection, sink)
        whose = dict(
            connection.execute(
                "SELECT seq, tenant FROM event WHERE seq > ? AND seq <= ? ORDER BY seq", (position, max(named))
            ).fetchall()
        )
        fresh = list(whose)
        items = {}
        for seq, tenant, *item in connection.execute(
            "SELECT i.seq, i.tenant, i.state, i.attempts, i.first_sent, i.at, i.reason FROM json_each(?) j"
            " CROSS JOIN item i ON i.sink = ? AND i.seq = j.value WHERE i.state IN ('due', 'again')",
            (json.dumps(sorted(named)), key),
        ):
            whose[seq], items[seq] = tenant, Item(*item)
        outcome = settling.decide(fresh, items, settlement)
        connection.executemany(
            "INSERT OR REPLACE INTO item (sink, seq, tenant, state, attempts, first_sent, at, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (key, seq, whose[seq], i.state, i.attempts, i.first_sent, i.at, i.reason and bind(i.reason))
                for seq, i in outcome.put.items()
            ],
        )
        connection.executemany("DELETE FROM item WHERE sink = ? AND seq = ?", [(key, seq) for seq in outcome.drop])
        connection.executemany(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (key, *_bounds(e.spans), e.outcome, e.first_sent, e.attempts, e.settled, e.spans)
                for e in outcome.entries
            ],
        )
        connection.execute(
            "UPDATE sink SET position = ?, beyond = beyond - ?, last_success = coalesce(?, last_success)"
            " WHERE sink = ?",
            (fresh[-1] if fresh else position, len(fresh), settlement.at if settlement.accepted else None, key),
        )


def _bounds(spans: str) -> tuple[int, int]:
    ranges = settling.ranges(spans)
    return ranges[0][0], ranges[-1][1]


def _offer_again(
    connection: sqlite3.Connection, key: int, position: int, state: str, terms: str, values: Iterable[object]
) -> int:
    """Make items of settled events that meet the terms; what is open or parked stays as it is. Returns how many."""
    return connection.execute(
        "INSERT INTO item (sink, seq, tenant, state, attempts)"  # noqa: S608 (only our own constants are joined)
        f" SELECT ?, e.seq, e.tenant, ?, 0 FROM event e WHERE e.seq <= ? AND {terms}"
        " ON CONFLICT (sink, seq) DO UPDATE SET state = excluded.state, at = NULL WHERE state = 'discarded'",
        (key, state, position, *values),
    ).rowcount


def replay(connection: sqlite3.Connection, sink: str, query: Query) -> int:
    with transaction(connection):
        key, position = _sink(connection, sink)
        settled = (
            "e.seq <= ? AND NOT EXISTS (SELECT 1 FROM item i"
            " WHERE i.sink = ? AND i.seq = e.seq AND i.state != 'discarded')"
        )
        terms, values, tail = selection(query)
        chosen = f"e.seq IN (SELECT e.seq FROM event e WHERE {settled} AND {terms} {tail})"  # noqa: S608
        return _offer_again(connection, key, position, settling.AGAIN, chosen, [position, key, *values])


def recent(connection: sqlite3.Connection, sink: str, since: str, now: str) -> int:
    """What was settled in the window. What is stamped ahead was so by a wrong clock: it counts as settled now, once."""
    with transaction(connection):
        key, position = _sink(connection, sink)
        connection.execute(
            "UPDATE ledger SET settled = :now WHERE sink = :sink AND settled > :now",
            {"now": max(now, since), "sink": key},
        )
        rows = connection.execute(
            "SELECT spans FROM ledger WHERE sink = ? AND outcome = 'accepted' AND settled >= ?", (key, bind(since))
        ).fetchall()
        return sum(
            _offer_again(connection, key, position, settling.DUE, "e.seq BETWEEN ? AND ?", bounds)
            for (spans,) in rows
            for bounds in settling.ranges(spans)
        )


def parked(connection: sqlite3.Connection, sink: str | None, ids: Sequence[str]) -> list[Parked]:
    terms, values, _ = selection(Query(ids=tuple(ids)))
    rows = connection.execute(
        f"SELECT s.name, i.seq, i.reason, i.at, i.attempts, {EVENT_COLUMNS}"  # noqa: S608 (our own constants)
        " FROM item i JOIN event e USING (seq) JOIN sink s USING (sink)"
        f" WHERE i.state = 'parked' AND (? IS NULL OR s.name = ?) AND {terms} ORDER BY i.seq, s.name",
        [sink if sink is None else bind(sink)] * 2 + values,
    )
    return [
        Parked(unbind(name), seq, event_of(tuple(event)), unbind(reason or ""), at, attempts)
        for name, seq, reason, at, attempts, *event in rows
    ]


def unpark(connection: sqlite3.Connection, ids: Sequence[str], sink: str | None, action: str, now: str) -> int:
    state = {"retry": settling.AGAIN, "discard": settling.DISCARDED}[action]
    terms, values, _ = selection(Query(ids=tuple(ids)))
    with transaction(connection):
        keys = "SELECT sink FROM sink" if sink is None else f"{_sink(connection, sink)[0]:d}"
        return connection.execute(
            "UPDATE item SET state = ?, at = ? WHERE state = 'parked'"  # noqa: S608 (only our own constants are joined)
            f" AND sink IN ({keys}) AND seq IN (SELECT e.seq FROM event e WHERE {terms})",
            [state, now if state == settling.DISCARDED else None, *values],
        ).rowcount


def release(connection: sqlite3.Connection, sink: str) -> int:
    with transaction(connection):
        key, position = _sink(connection, sink)
        beyond, abandoned = connection.execute("SELECT beyond, abandoned FROM sink WHERE sink = ?", (key,)).fetchone()
        given_up: int = connection.execute("DELETE FROM item WHERE sink = ? AND state != 'discarded'", (key,)).rowcount
        if abandoned:
            connection.execute("DELETE FROM sink WHERE sink = ?", (key,))
        else:
            connection.execute(
                "UPDATE sink SET beyond = 0, position = max(?, (SELECT coalesce(max(seq), 0) FROM event))"
                " WHERE sink = ?",
                (position, key),
            )
        return given_up + int(beyond)


def trace(connection: sqlite3.Connection, event_id: str) -> list[Mapping[str, Any]]:
    with transaction(connection, "DEFERRED"):
        found = connection.execute("SELECT seq FROM event WHERE id = ?", (bind(event_id),)).fetchone()
        if found is None:
            return []
        sinks = connection.execute("SELECT name, sink, position FROM sink ORDER BY name").fetchall()
        return [{"sink": unbind(name), **_past(connection, key, position, found[0])} for name, key, position in sinks]


def _past(connection: sqlite3.Connection, key: int, position: int, seq: int) -> dict[str, Any]:
    """What one sink was told of one event, and where that stands."""
    rows = connection.execute(
        "SELECT outcome, first_sent, attempts, settled, spans FROM ledger WHERE sink = ? AND lo <= ? AND hi >= ?"
        " ORDER BY rowid",
        (key, seq, seq),
    )
    entries = [row for row in rows if settling.within(row[4], seq)]
    found = connection.execute(
        "SELECT state, attempts, first_sent, at, reason FROM item WHERE sink = ? AND seq = ?", (key, seq)
    ).fetchone()
    item = None if found is None else Item(*found)
    state = settling.DUE if seq > position else settling.NOT_OFFERED
    settled = reason = None
    if entries:
        state, settled = entries[-1][0], entries[-1][3]
    if item is not None:
        state = item.state
        settled = item.at if state == settling.DISCARDED else settled
        reason = None if item.reason is None else unbind(item.reason)
    sent = [moment for moment in (*(row[1] for row in entries), item and item.first_sent) if moment]
    return {
        "state": state,
        "first_sent": min(sent, default=None),
        "attempts": sum(row[2] for row in entries) + (item.attempts if item else 0),
        "settled": settled,
        "reason": reason,
    }


def stats_of(
    connection: sqlite3.Connection,
    key: int,
    name: str | bytes,
    position: int,
    beyond: int,
    abandoned: int,
    last_success: str | None,
) -> SinkStats:
    items = dict(
        connection.execute("SELECT state, count(*) FROM item WHERE sink = ? GROUP BY state", (key,)).fetchall()
    )
    first_due, oldest_due = connection.execute(
        "SELECT (SELECT min(seq) FROM item WHERE sink = :key AND state = 'due'),"
        " (SELECT observed_at FROM event WHERE seq = (SELECT min(seq) FROM ("
        "   SELECT min(seq) AS seq FROM item WHERE sink = :key AND state = 'due'"
        "   UNION ALL SELECT min(seq) FROM item WHERE sink = :key AND state = 'again'"
        "   UNION ALL SELECT min(seq) FROM event WHERE seq > :position)))",
        {"key": key, "position": position},
    ).fetchone()
    return SinkStats(
        name=unbind(name),
        cursor=position if first_due is None else first_due - 1,
        backlog=beyond + items.get(settling.DUE, 0) + items.get(settling.AGAIN, 0),
        parked=items.get(settling.PARKED, 0),
        last_success=last_success,
        oldest_due=oldest_due,
        abandoned=bool(abandoned),
    )
