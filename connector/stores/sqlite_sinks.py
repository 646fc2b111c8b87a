"""The tables of sinks, in SQL: what is due to each, what it has settled, and what is parked.

What a settlement means is decided by settling.py and only written down here; no thread and no file is known. `due` and
`stats_of` are steps of one transaction; every other function is a transaction of its own.
"""

import heapq
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from connector.errors import StoreError
from connector.ports import Parked, Query, Settlement, SinkStats, Start
from connector.stores import settling
from connector.stores.settling import Item
from connector.stores.sqlite_events import Unreadable, chunk_of, matching, read, seq_of
from connector.stores.sqlite_file import transaction
from connector.stores.sqlite_layout import bind, unbind

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
        newest, events = connection.execute("SELECT last, events FROM total").fetchone()
        connection.execute("UPDATE sink SET abandoned = 1")
        connection.executemany(
            "INSERT INTO sink (name, position, beyond) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET abandoned = 0",
            [
                (name, 0, events) if start.whole_history else (name, newest, 0)
                for name, start in zip(names, sinks, strict=True)
            ],
        )


# The chunks behind a position, oldest first: all or only those of one tenant.
_BEHIND = (
    "SELECT first, last, tenant FROM chunk"
    " WHERE first >= (SELECT coalesce(max(first), 0) FROM chunk WHERE first <= ?1) AND last > ?1 ORDER BY first"
)
_BEHIND_OF = "SELECT first, last, tenant FROM chunk WHERE tenant = ?2 AND last > ?1 ORDER BY last"

Due = tuple[int, int, str]
"""(seq, attempts, kind)."""


def due(
    connection: sqlite3.Connection,
    sink: str,
    limit: int,
    tenant_id: str | None,
    without: Collection[str],
    *,
    again: bool,
) -> list[Due]:
    """What a sink is offered now: first deliveries, or else what comes again."""
    key, position = _sink(connection, sink)
    limit = max(0, limit)
    first: list[Due] = []
    if not again:
        first = _items(connection, key, settling.DUE, "first", limit, tenant_id, without)
    if not again and len(first) < limit:
        for numbers, _ in _runs(connection, position, tenant_id, without):
            first += [(seq, 0, "first") for seq in numbers[: limit - len(first)]]
            if len(first) >= limit:
                break
    return first or _items(connection, key, settling.AGAIN, "again", limit, tenant_id, without)


def _runs(
    connection: sqlite3.Connection, position: int, tenant_id: str | None = None, without: Collection[str] = ()
) -> Iterator[tuple[range, str | bytes]]:
    """The numbers of the events beyond a position, a chunk at a time, each with its tenant as the tables have it."""
    values: tuple[object, ...] = (position,) if tenant_id is None else (position, bind(tenant_id))
    left_out = set(map(bind, without))
    for first, last, tenant in connection.execute(_BEHIND if tenant_id is None else _BEHIND_OF, values):
        if tenant not in left_out:
            yield range(max(first, position + 1), last + 1), tenant


def _fresh(connection: sqlite3.Connection, position: int) -> Iterator[tuple[int, str | bytes]]:
    """The events beyond a position, each with its tenant."""
    return ((seq, tenant) for numbers, tenant in _runs(connection, position) for seq in numbers)


def _items(
    connection: sqlite3.Connection,
    key: int,
    state: str,
    kind: str,
    limit: int,
    tenant_id: str | None,
    without: Collection[str],
) -> list[Due]:
    """The oldest items in a state. What tenants `without` have waiting costs nothing: it is not looked at."""
    if not without:
        terms, values = ("", []) if tenant_id is None else (" AND tenant = ?", [bind(tenant_id)])
        return connection.execute(
            "SELECT seq, attempts, ? FROM item"  # noqa: S608 (only our own constants are joined)
            f" WHERE sink = ? AND state = ?{terms} ORDER BY seq LIMIT ?",
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
        "SELECT i.seq, i.attempts, ? FROM json_each(?) j"
        " CROSS JOIN item i ON i.sink = ? AND i.seq = j.value ORDER BY i.seq",
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
        run = list(islice(_fresh(connection, position), _LONG_RUN))
        if len(run) < _LONG_RUN or sum(tenant not in left_out for _, tenant in run) >= limit:
            return
        with transaction(connection):
            last = run[-1][0]
            if _sink(connection, sink) != (key, position):
                continue  # another process was faster
            there = _between(connection, position + 1, last)
            made = connection.executemany(
                "INSERT INTO item (sink, seq, tenant, state, attempts) VALUES (?, ?, ?, 'due', 0)",
                [(key, seq, tenant) for seq, tenant in there],
            ).rowcount
            connection.execute("UPDATE sink SET position = ?, beyond = beyond - ? WHERE sink = ?", (last, made, key))


def settle(connection: sqlite3.Connection, sink: str, settlement: Settlement) -> None:
    named = {*settlement.attempted, *settlement.accepted, *settlement.skipped, *settlement.parked}
    if not named:
        return
    with transaction(connection):
        key, position = _sink(connection, sink)
        runs = list(_runs_between(connection, position + 1, max(named)))
        fresh = [seq for numbers, _ in runs for seq in numbers]
        whose, items = {}, {}
        if older := named.difference(fresh):  # only what is at or before the position is an item
            for seq, tenant, *item in connection.execute(
                "SELECT i.seq, i.tenant, i.state, i.attempts, i.first_sent, i.at, i.reason FROM json_each(?) j"
                " CROSS JOIN item i ON i.sink = ? AND i.seq = j.value WHERE i.state IN ('due', 'again')",
                (json.dumps(sorted(older)), key),
            ):
                whose[seq], items[seq] = tenant, Item(*item)
        outcome = settling.decide(fresh, items, settlement)
        if outcome.put:
            whose.update((seq, tenant) for numbers, tenant in runs for seq in numbers)
        connection.executemany(
            "INSERT INTO item (sink, seq, tenant, state, attempts, first_sent, at, reason)"  # a REPLACE is not counted
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sink, seq) DO UPDATE SET state = excluded.state,"
            " attempts = excluded.attempts, first_sent = excluded.first_sent, at = excluded.at,"
            " reason = excluded.reason",
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


def passed(connection: sqlite3.Connection) -> int:
    """The last number that every attached sink has gone past."""
    (least,) = connection.execute("SELECT min(position) FROM sink WHERE NOT abandoned").fetchone()
    return int(least or 0)


def _bounds(spans: str) -> tuple[int, int]:
    ranges = settling.ranges(spans)
    return ranges[0][0], ranges[-1][1]


def _offer_again(
    connection: sqlite3.Connection, key: int, state: str, settled: Iterable[tuple[int, str | bytes]]
) -> int:
    """Make items of settled events; what is open or parked stays as it is. Returns how many."""
    made = connection.executemany(
        "INSERT INTO item (sink, seq, tenant, state, attempts) VALUES (?, ?, ?, ?, 0)"
        " ON CONFLICT (sink, seq) DO UPDATE SET state = excluded.state, at = NULL WHERE state = 'discarded'",
        [(key, seq, tenant, state) for seq, tenant in settled],
    ).rowcount
    return max(0, made)


def replay(connection: sqlite3.Connection, sink: str, query: Query) -> int:
    with transaction(connection):
        key, position = _sink(connection, sink)
        opened = connection.execute("SELECT seq FROM item WHERE sink = ? AND state != 'discarded'", (key,))
        found = matching(connection, query, (position, frozenset(seq for (seq,) in opened)))
        limit = None if query.limit is None else max(0, query.limit)
        settled = [(seq, bind(tenant)) for seq, tenant, _ in islice(found, limit)]
        return _offer_again(connection, key, settling.AGAIN, settled)


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
            _offer_again(connection, key, settling.DUE, _between(connection, lo, min(hi, position)))
            for (spans,) in rows
            for lo, hi in settling.ranges(spans)
        )


def _runs_between(connection: sqlite3.Connection, lo: int, hi: int) -> Iterator[tuple[range, str | bytes]]:
    for numbers, tenant in _runs(connection, lo - 1):
        if numbers.start > hi:
            return
        yield range(numbers.start, min(numbers.stop, hi + 1)), tenant


def _between(connection: sqlite3.Connection, lo: int, hi: int) -> list[tuple[int, str | bytes]]:
    return [(seq, tenant) for numbers, tenant in _runs_between(connection, lo, hi) for seq in numbers]


def parked(connection: sqlite3.Connection, sink: str | None, ids: Sequence[str]) -> list[Parked]:
    with transaction(connection, "DEFERRED"):
        terms, values = _chosen(connection, ids)
        rows = connection.execute(
            "SELECT s.name, i.seq, i.reason, i.at, i.attempts FROM item i JOIN sink s USING (sink)"  # noqa: S608
            f" WHERE i.state = 'parked' AND (? IS NULL OR s.name = ?){terms} ORDER BY i.seq, s.name",
            [*[sink if sink is None else bind(sink)] * 2, *values],
        ).fetchall()
        events = read(connection, {seq for _, seq, *_ in rows})
    found = []
    for name, seq, reason, at, attempts in rows:
        event = events[seq]
        whole = event.remains if isinstance(event, Unreadable) else event
        found.append(Parked(unbind(name), seq, whole, unbind(reason or ""), at, attempts))
    return found


def _chosen(connection: sqlite3.Connection, ids: Sequence[str]) -> tuple[str, list[object]]:
    """Items of these events, or of all when there are no ids, as a further term with its values."""
    if not ids:
        return "", []
    seqs = [seq_of(connection, event_id) for event_id in ids]
    return " AND seq IN (SELECT value FROM json_each(?))", [json.dumps([seq for seq in seqs if seq is not None])]


def unpark(connection: sqlite3.Connection, ids: Sequence[str], sink: str | None, action: str, now: str) -> int:
    state = {"retry": settling.AGAIN, "discard": settling.DISCARDED}[action]
    with transaction(connection):
        terms, values = _chosen(connection, ids)
        keys = "SELECT sink FROM sink" if sink is None else f"{_sink(connection, sink)[0]:d}"
        return connection.execute(
            "UPDATE item SET state = ?, at = ? WHERE state = 'parked'"  # noqa: S608 (only our own constants are joined)
            f" AND sink IN ({keys}){terms}",
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
                "UPDATE sink SET beyond = 0, position = max(?, (SELECT last FROM total)) WHERE sink = ?",
                (position, key),
            )
        return given_up + int(beyond)


def trace(connection: sqlite3.Connection, event_id: str) -> list[Mapping[str, Any]]:
    with transaction(connection, "DEFERRED"):
        seq = seq_of(connection, event_id)
        if seq is None:
            return []
        sinks = connection.execute("SELECT name, sink, position FROM sink ORDER BY name").fetchall()
        return [{"sink": unbind(name), **_past(connection, key, position, seq)} for name, key, position in sinks]


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
    items = dict(connection.execute("SELECT state, items FROM tally WHERE sink = ?", (key,)).fetchall())
    first_due, first_again = (
        connection.execute("SELECT min(seq) FROM item WHERE sink = ? AND state = ?", (key, state)).fetchone()[0]
        for state in (settling.DUE, settling.AGAIN)
    )
    fresh = next(_fresh(connection, position), (None,))[0]
    waiting = [seq for seq in (first_due, first_again, fresh) if seq is not None]
    chunk = chunk_of(connection, min(waiting)) if waiting else None
    return SinkStats(
        name=unbind(name),
        cursor=position if first_due is None else first_due - 1,
        backlog=beyond + items.get(settling.DUE, 0) + items.get(settling.AGAIN, 0),
        parked=items.get(settling.PARKED, 0),
        last_success=last_success,
        oldest_due=None if chunk is None else chunk.observed_at,
        abandoned=bool(abandoned),
    )
