"""The embedded store: state, events and settlement of all tenants in one SQLite file.

Only tables and their meaning live here: what a settlement means is settling.py, how the file is made and opened is
sqlite_file.py. Nothing of the tables is remembered in the process, so that an operator's command in a second process
counts at the very next turn. All work runs on one thread of its own: an fsync never stops the event loop.
"""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from connector.clock import iso
from connector.errors import Conflict, StoreError
from connector.formats import cloudevents
from connector.model import STREAM_OF_TYPE, Event
from connector.ports import Clock, Parked, Pending, Query, Settlement, SinkStats, Start, State, Stats
from connector.stores import settling
from connector.stores.lock import WriterLock, take_lock
from connector.stores.settling import Item
from connector.stores.sqlite_file import (
    bind,
    check,
    make_folder,
    open_beside,
    open_writer,
    shrink,
    size_bytes,
    store_error,
    transaction,
    unbind,
)

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_PURGE_EVENTS = 5_000
_SHRINK_PAGES = 2_000
"""One purge works in steps of this size, so that deliveries go on in between."""


async def open_store(
    path: Path,
    *,
    clock: Clock,
    writer: bool = True,
    mode: int = 0o600,
    max_bytes: int | None = None,
) -> "SqliteStore":
    """Open the state file.

    A writer (the loops) takes the writer lock and creates, checks and migrates the file. Without it, commands work
    beside a running writer: they read, and commit short transactions if they may write the file. `mode` is for the file
    and all that SQLite puts beside it. `max_bytes` is the last guard behind the poller's own pause: at that size
    `commit` refuses with StoreError, and all else goes on.

    Raises StoreBusy (second writer) and StoreError (damaged, foreign, newer, no permission, no space), with a hint.
    """
    store = SqliteStore(Path(path), clock, max_bytes)
    try:
        if writer:
            await store._open_writer(mode)  # noqa: SLF001 (this is its constructor)
        else:
            await store._open_beside()  # noqa: SLF001
    except BaseException:
        await store.close()
        raise
    return store


class SqliteStore:
    """Store and Operator over one file; made by `open_store`."""

    def __init__(self, path: Path, clock: Clock, max_bytes: int | None) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._closed = False
        self._lock: WriterLock | None = None
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------------------- Store

    async def load(self, tenant_id: str) -> State | None:
        return await self._run(_load, tenant_id)

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        return await self._run(self._commit, tenant_id, state, events)

    async def attach(self, sinks: Sequence[Start]) -> None:
        await self._run(_attach, sinks)

    async def due(
        self, sink: str, limit: int, tenant_id: str | None = None, without: Collection[str] = ()
    ) -> list[Pending]:
        return await self._run(self._due, sink, limit, tenant_id, tuple(without))

    async def settle(self, sink: str, settlement: Settlement) -> None:
        await self._run(_settle, sink, settlement)

    async def history(self, query: Query) -> list[Event]:
        return await self._run(_history, query)

    async def tenants(self) -> list[str]:
        """The ids of all tenants that have state; the connector's own state (tenant "") is not a tenant."""
        return await self._run(_tenants)

    async def stats(self) -> Stats:
        return await self._run(self._stats)

    async def purge(self, before: str) -> int:
        """Delete what is old and settled everywhere, in steps, so that deliveries go on; returns how many events."""
        purged = 0
        while step := await self._run(_purge, before, _PURGE_EVENTS):
            purged += step
        await self._run(_prune_ledger)
        await self._shrink()
        return purged

    async def close(self) -> None:
        """Finish what is under way and close; closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._on_worker(self._close)
        finally:
            self._worker.shutdown()

    # ---------------------------------------------------------------------------------------------------- Operator

    async def replay(self, sink: str, query: Query) -> int:
        """Offer again what the sink has settled; what is due anyway or parked is left as it is and not counted."""
        return await self._run(_replay, sink, query)

    async def recent(self, sink: str, since: str) -> int:
        return await self._run(_recent, sink, since)

    async def parked(self, sink: str | None = None, ids: Sequence[str] = ()) -> list[Parked]:
        return await self._run(_parked, sink, ids)

    async def unpark(self, ids: Sequence[str], sink: str | None, action: str) -> int:
        """Retry or discard parked events; no `ids` means all of them, no `sink` every sink. Returns how many."""
        return await self._run(_unpark, ids, sink, action, iso(self._clock.now()))

    async def release(self, sink: str) -> int:
        """Give up all that a sink has not settled, parked events included.

        An abandoned sink is forgotten; one still attached goes on with the next commit.
        """
        return await self._run(_release, sink)

    async def forget(self, tenant_id: str) -> int:
        """Delete state, events and backlog of a tenant, overwriting their pages; returns how many events."""
        forgotten = await self._run(_forget, tenant_id)
        await self._shrink()
        return forgotten

    async def trace(self, event_id: str) -> list[Mapping[str, Any]]:
        """Per sink {sink, state, first_sent, attempts, settled, reason}; [] for an unknown id.

        `state` is due, again, parked, discarded, accepted, skipped or not_offered (stores/settling.py).
        """
        return await self._run(_trace, event_id)

    async def verify(self) -> None:
        """Read the whole file's structure; raises StoreError when it is damaged. (A writer does so when it opens.)"""
        await self._run(check, self._path)

    # ---------------------------------------------------------------------------------------------------- inside

    async def _run(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Do one piece of work on the connection's own thread; foreign errors become ours here and nowhere else."""

        def on_connection() -> _T:
            assert self._connection is not None
            return work(self._connection, *args, **kwargs)

        return await self._on_worker(on_connection)

    async def _on_worker(self, work: Callable[[], _T]) -> _T:
        def guarded() -> _T:
            try:
                return work()
            except sqlite3.ProgrammingError:
                raise  # our own mistake
            except (sqlite3.Error, OSError) as error:
                raise store_error(error, self._path) from error

        return await asyncio.get_running_loop().run_in_executor(self._worker, guarded)

    async def _open_writer(self, mode: int) -> None:
        def opened() -> None:
            make_folder(self._path.parent)
            self._lock = take_lock(self._path.with_name(self._path.name + ".lock"), clock=self._clock, mode=mode)
            self._connection = open_writer(self._path, mode)

        await self._on_worker(opened)

    async def _open_beside(self) -> None:
        def opened() -> None:
            self._connection = open_beside(self._path)

        await self._on_worker(opened)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._lock is not None:
            self._lock.release()
        self._connection = self._lock = None

    async def _shrink(self) -> None:
        while await self._run(shrink, _SHRINK_PAGES):
            pass

    def _commit(self, connection: sqlite3.Connection, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        rows = [_row(event) for event in events]
        with transaction(connection):
            self._refuse_when_full(connection)
            generation = _next_generation(connection, tenant_id, state.generation)
            _write_parts(connection, tenant_id, state)
            _add_events(connection, rows)
        return State(generation, state.parts, state.parts)

    def _refuse_when_full(self, connection: sqlite3.Connection) -> None:
        if self._max_bytes is None or size_bytes(connection, self._path) < self._max_bytes:
            return
        pinning = connection.execute(
            "SELECT name, beyond + (SELECT count(*) FROM item i WHERE i.sink = s.sink AND i.state IN ('due', 'again'))"
            " FROM sink s ORDER BY 2 DESC LIMIT 1"
        ).fetchone()
        who = f"; sink {unbind(pinning[0])} has not taken {pinning[1]} events" if pinning and pinning[1] else ""
        raise StoreError(
            f"the state has reached its bound of {self._max_bytes} bytes{who}",
            "Repair that sink, or give up its backlog with `securescore sinks release NAME`, or raise"
            " `state.max_bytes`, or keep less (`state.keep_days`).",
        )

    def _due(
        self, connection: sqlite3.Connection, sink: str, limit: int, tenant_id: str | None, without: Sequence[str]
    ) -> list[Pending]:
        with transaction(connection, "DEFERRED"):
            rows = _due_rows(connection, sink, limit, tenant_id, without)
        pending, unreadable = [], {}
        for seq, body, attempts, kind in rows:
            try:
                pending.append(Pending(seq, cloudevents.loads(body), attempts, kind))
            except _UNREADABLE as error:
                unreadable[seq] = f"unreadable in the state store: {error}"
        if unreadable:  # one damaged row must not hold up the queue: parked, where the operator sees it
            _log.error("store.unreadable_events", extra={"sink": sink, "seqs": sorted(unreadable)})
            _settle(connection, sink, Settlement(at=iso(self._clock.now()), parked=unreadable))
            return pending or self._due(connection, sink, limit, tenant_id, without)
        return pending

    def _stats(self, connection: sqlite3.Connection) -> Stats:
        with transaction(connection, "DEFERRED"):
            events = connection.execute("SELECT events FROM total").fetchone()[0]
            sinks = connection.execute(
                "SELECT sink, name, position, beyond, abandoned, last_success FROM sink"
            ).fetchall()
            return Stats(
                events=events,
                bytes=size_bytes(connection, self._path),
                sinks=tuple(sorted((_sink_stats(connection, *row) for row in sinks), key=lambda s: s.name)),
            )


# ---------------------------------------------------------------------------------------------------- state and events


def _load(connection: sqlite3.Connection, tenant_id: str) -> State | None:
    with transaction(connection, "DEFERRED"):
        found = connection.execute("SELECT generation FROM tenant WHERE tenant = ?", (bind(tenant_id),)).fetchone()
        if found is None:
            return None
        rows = connection.execute("SELECT part, body FROM state WHERE tenant = ?", (bind(tenant_id),))
        parts = {unbind(part): body for part, body in rows}
        return State(found[0], parts, parts)


def _tenants(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT tenant FROM tenant WHERE tenant != '' ORDER BY tenant")
    return [unbind(tenant) for (tenant,) in rows]


def _next_generation(connection: sqlite3.Connection, tenant_id: str, generation: int) -> int:
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


def _write_parts(connection: sqlite3.Connection, tenant_id: str, state: State) -> None:
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


def _row(event: Event) -> tuple[object, ...]:
    return (
        bind(event.id),
        bind(event.tenant_id),
        bind(event.type),
        bind(event.subject),
        bind(str(event.data["observed_at"])),
        cloudevents.dumps(event),
    )


def _add_events(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        return
    added = connection.executemany(
        "INSERT INTO event (id, tenant, type, subject, observed_at, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        rows,
    ).rowcount
    connection.execute("UPDATE total SET events = events + ?", (added,))
    connection.execute("UPDATE sink SET beyond = beyond + ?", (added,))


_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def _event(row: tuple[Any, ...]) -> Event:
    """The event of a row of _EVENT_COLUMNS; of an unreadable body remains what the other columns say."""
    event_id, tenant, event_type, subject, observed_at, body = row
    try:
        return cloudevents.loads(body)
    except _UNREADABLE:
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
_EVENT_COLUMNS = "e.id, e.tenant, e.type, e.subject, e.observed_at, CAST(e.body AS BLOB)"


def _history(connection: sqlite3.Connection, query: Query) -> list[Event]:
    terms, values, tail = _selection(query)
    rows = connection.execute(
        f"SELECT {_EVENT_COLUMNS} FROM event e WHERE {terms} {tail}",  # noqa: S608 (only our own constants are joined)
        values,
    )
    return [_event(row) for row in rows]


def _selection(query: Query) -> tuple[str, list[object], str]:
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
    if query.since is not None:
        terms.append("e.observed_at >= ?")
        values.append(bind(query.since))
    if query.until is not None:
        terms.append("e.observed_at < ?")
        values.append(bind(query.until))
    order = "DESC" if query.newest_first else "ASC"
    limit = "" if query.limit is None else f" LIMIT {max(0, query.limit):d}"
    return " AND ".join(terms), values, f"ORDER BY e.seq {order}{limit}"


# -------------------------------------------------------------------------------------------------------------- outbox


def _sink(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Key and position of a sink; StoreError when there is none of that name."""
    found: tuple[int, int] | None = connection.execute(
        "SELECT sink, position FROM sink WHERE name = ?", (bind(name),)
    ).fetchone()
    if found is None:
        raise StoreError(f"the state knows no sink {name!r}", "`securescore sinks list` shows those it knows.")
    return found


def _attach(connection: sqlite3.Connection, sinks: Sequence[Start]) -> None:
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


def _due_rows(
    connection: sqlite3.Connection, sink: str, limit: int, tenant_id: str | None, without: Sequence[str]
) -> list[tuple[int, bytes, int, str]]:
    """(seq, body, attempts, kind) of what a sink is offered now: first deliveries, or else what comes again."""
    key, position = _sink(connection, sink)
    limit = max(0, limit)
    tenant_term, tenant = ("", []) if tenant_id is None else (" AND e.tenant = ?", [bind(tenant_id)])
    if without:
        tenant_term += f" AND e.tenant NOT IN ({', '.join('?' * len(without))})"
        tenant = [*tenant, *map(bind, without)]

    def items(state: str, kind: str) -> list[tuple[int, bytes, int, str]]:
        return connection.execute(
            f"SELECT e.seq, CAST(e.body AS BLOB), i.attempts, ? FROM item i JOIN event e USING (seq)"  # noqa: S608
            f" WHERE i.sink = ? AND i.state = ?{tenant_term} ORDER BY i.seq LIMIT ?",
            [kind, key, state, *tenant, limit],
        ).fetchall()

    first = items(settling.DUE, "first")
    if len(first) < limit:
        first += connection.execute(
            f"SELECT e.seq, CAST(e.body AS BLOB), 0, 'first' FROM event e WHERE e.seq > ?{tenant_term}"  # noqa: S608
            " ORDER BY e.seq LIMIT ?",
            [position, *tenant, limit - len(first)],
        ).fetchall()
    return first or items(settling.AGAIN, "again")


def _settle(connection: sqlite3.Connection, sink: str, settlement: Settlement) -> None:
    named = {*settlement.attempted, *settlement.accepted, *settlement.skipped, *settlement.parked}
    if not named:
        return
    with transaction(connection):
        key, position = _sink(connection, sink)
        fresh = [
            seq
            for (seq,) in connection.execute(
                "SELECT seq FROM event WHERE seq > ? AND seq <= ? ORDER BY seq", (position, max(named))
            )
        ]
        items = {
            seq: Item(*item)
            for seq, *item in connection.execute(
                "SELECT seq, state, attempts, first_sent, at, reason FROM item"
                " WHERE sink = ? AND seq BETWEEN ? AND ? AND state IN ('due', 'again')",
                (key, min(named), max(named)),
            )
        }
        outcome = settling.decide(fresh, items, settlement)
        connection.executemany(
            "INSERT OR REPLACE INTO item VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (key, seq, i.state, i.attempts, i.first_sent, i.at, None if i.reason is None else bind(i.reason))
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


def _offer_again(connection: sqlite3.Connection, key: int, position: int, terms: str, values: Iterable[object]) -> int:
    """Make items of settled events that meet the terms; what is open or parked stays as it is. Returns how many."""
    return connection.execute(
        "INSERT INTO item (sink, seq, state, attempts)"  # noqa: S608 (only our own constants are joined)
        f" SELECT ?, e.seq, 'again', 0 FROM event e WHERE e.seq <= ? AND {terms}"
        " ON CONFLICT (sink, seq) DO UPDATE SET state = 'again', at = NULL WHERE state = 'discarded'",
        (key, position, *values),
    ).rowcount


def _replay(connection: sqlite3.Connection, sink: str, query: Query) -> int:
    with transaction(connection):
        key, position = _sink(connection, sink)
        settled = (
            "e.seq <= ? AND NOT EXISTS (SELECT 1 FROM item i"
            " WHERE i.sink = ? AND i.seq = e.seq AND i.state != 'discarded')"
        )
        terms, values, tail = _selection(query)
        chosen = f"e.seq IN (SELECT e.seq FROM event e WHERE {settled} AND {terms} {tail})"  # noqa: S608
        return _offer_again(connection, key, position, chosen, [position, key, *values])


def _recent(connection: sqlite3.Connection, sink: str, since: str) -> int:
    with transaction(connection):
        key, position = _sink(connection, sink)
        rows = connection.execute(
            "SELECT spans FROM ledger WHERE sink = ? AND outcome = 'accepted' AND settled >= ?", (key, bind(since))
        ).fetchall()
        return sum(
            _offer_again(connection, key, position, "e.seq BETWEEN ? AND ?", bounds)
            for (spans,) in rows
            for bounds in settling.ranges(spans)
        )


def _parked(connection: sqlite3.Connection, sink: str | None, ids: Sequence[str]) -> list[Parked]:
    terms, values, _ = _selection(Query(ids=tuple(ids)))
    rows = connection.execute(
        f"SELECT s.name, i.seq, i.reason, i.at, i.attempts, {_EVENT_COLUMNS}"  # noqa: S608 (our own constants)
        " FROM item i JOIN event e USING (seq) JOIN sink s USING (sink)"
        f" WHERE i.state = 'parked' AND (? IS NULL OR s.name = ?) AND {terms} ORDER BY i.seq, s.name",
        [sink if sink is None else bind(sink)] * 2 + values,
    )
    return [
        Parked(unbind(name), seq, _event(tuple(event)), unbind(reason or ""), at, attempts)
        for name, seq, reason, at, attempts, *event in rows
    ]


def _unpark(connection: sqlite3.Connection, ids: Sequence[str], sink: str | None, action: str, now: str) -> int:
    state = {"retry": settling.AGAIN, "discard": settling.DISCARDED}[action]
    terms, values, _ = _selection(Query(ids=tuple(ids)))
    with transaction(connection):
        keys = "SELECT sink FROM sink" if sink is None else f"{_sink(connection, sink)[0]:d}"
        return connection.execute(
            "UPDATE item SET state = ?, at = ? WHERE state = 'parked'"  # noqa: S608 (only our own constants are joined)
            f" AND sink IN ({keys}) AND seq IN (SELECT e.seq FROM event e WHERE {terms})",
            [state, now if state == settling.DISCARDED else None, *values],
        ).rowcount


def _release(connection: sqlite3.Connection, sink: str) -> int:
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


def _trace(connection: sqlite3.Connection, event_id: str) -> list[Mapping[str, Any]]:
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


def _sink_stats(
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


# ------------------------------------------------------------------------------------------------------------- deletion


def _purge(connection: sqlite3.Connection, before: str, limit: int) -> int:
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


def _prune_ledger(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM ledger WHERE NOT EXISTS (SELECT 1 FROM event WHERE seq BETWEEN lo AND hi)")


def _forget(connection: sqlite3.Connection, tenant_id: str) -> int:
    tenant = bind(tenant_id)
    connection.execute("PRAGMA secure_delete = ON").fetchall()  # freed pages are overwritten; back to normal below
    with transaction(connection):
        connection.execute("DELETE FROM tenant WHERE tenant = ?", (tenant,))
        connection.execute(
            "UPDATE sink SET beyond = beyond - (SELECT count(*) FROM event e WHERE e.tenant = ? AND e.seq > position)",
            (tenant,),
        )
        forgotten = connection.execute("DELETE FROM event WHERE tenant = ?", (tenant,)).rowcount
        connection.execute("UPDATE total SET events = events - ?", (forgotten,))
    connection.execute("PRAGMA secure_delete = OFF").fetchall()
    _prune_ledger(connection)
    return forgotten
