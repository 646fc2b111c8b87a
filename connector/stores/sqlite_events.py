"""The tables of state and events, in SQL: what is remembered of each tenant, history, and what is deleted of them.

No thread is known here, no file, and no sink (sqlite_sinks.py). `next_generation`, `write_parts`, `add` and `read` are
steps of one transaction; every other function is a transaction of its own. Events lie in chunks (chunks.py): the event
`seq` is line `seq - first` of the chunk that it is in. Each id is indexed once, which keeps it from coming again.
"""

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import groupby, islice
from typing import Any

from attrs import frozen

from connector.errors import Conflict
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import HEAD, Query, State, Wanted
from connector.stores import chunks
from connector.stores.chunks import UNREADABLE, Row
from connector.stores.cursors import meant
from connector.stores.recent import Recent
from connector.stores.sqlite_file import transaction
from connector.stores.sqlite_layout import bind, unbind


def load(connection: sqlite3.Connection, tenant_id: str, wanted: Wanted | None = None) -> State | None:
    tenant = bind(tenant_id)
    with transaction(connection, "DEFERRED"):
        found = connection.execute("SELECT generation FROM tenant WHERE tenant = ?", (tenant,)).fetchone()
        if found is None:
            return None
        parts = _parts(connection, tenant, wanted)
        return State(found[0], parts, parts, whole=wanted is None)


def _parts(connection: sqlite3.Connection, tenant: str | bytes, wanted: Wanted | None) -> dict[str, bytes]:
    if wanted is None:
        rows = connection.execute("SELECT part, body FROM state WHERE tenant = ?", (tenant,)).fetchall()
    else:
        names = connection.execute("SELECT part, rowid FROM state WHERE tenant = ?", (tenant,)).fetchall()
        rows = [
            connection.execute("SELECT part, body FROM state WHERE rowid = ?", (row,)).fetchone()
            for part, row in names
            if wanted(unbind(part))
        ]
    return {unbind(part): body for part, body in rows}


def heads(connection: sqlite3.Connection, tenant_ids: Iterable[str]) -> dict[str, State | None]:
    with transaction(connection, "DEFERRED"):
        return {tenant_id: _head(connection, bind(tenant_id)) for tenant_id in tenant_ids}


def _head(connection: sqlite3.Connection, tenant: str | bytes) -> State | None:
    found = connection.execute(
        "SELECT t.generation, s.body FROM tenant t LEFT JOIN state s ON s.tenant = t.tenant AND s.part = ?2"
        " WHERE t.tenant = ?1",
        (tenant, HEAD),
    ).fetchone()
    if found is None:
        return None
    parts = {} if found[1] is None else {HEAD: found[1]}
    return State(found[0], parts, parts, whole=False)


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
    if not state.whole:
        return
    there = [bind(part) for part in state.stored]
    if not there:
        there = [part for (part,) in connection.execute("SELECT part FROM state WHERE tenant = ?", (tenant,))]
    kept = {bind(part) for part in state.parts}
    gone = [(tenant, part) for part in there if part not in kept]
    connection.executemany("DELETE FROM state WHERE tenant = ? AND part = ?", gone)


def add(
    connection: sqlite3.Connection,
    packed: Sequence[chunks.Chunk],
    again: Callable[[Sequence[int]], Sequence[chunks.Chunk]],
) -> tuple[range, Sequence[int]]:
    """Add the events of these chunks whose id is not there yet: their numbers, and the place that each has in them all.

    `again` gives the chunks of some places only.
    """
    keys = [key for chunk in packed for key in chunk.keys]
    places: Sequence[int] = range(len(keys))
    if not keys:
        return range(0), places
    (last,) = connection.execute("SELECT last FROM total").fetchone()
    first = last + 1
    if not _index(connection, keys, first, plain=all(isinstance(chunk.ids, bytes) for chunk in packed)):
        new = {key: place for place, key in reversed(list(enumerate(keys)))}  # the first of those that are the same
        known = "SELECT 1 FROM id WHERE id = ?"
        places = sorted(place for key, place in new.items() if connection.execute(known, (key,)).fetchone() is None)
        packed = again(places)
        _index(connection, [keys[place] for place in places], first, plain=False)
    _insert(connection, first, packed)
    connection.execute("UPDATE total SET events = events + ?1, last = last + ?1", (len(places),))
    connection.execute("UPDATE sink SET beyond = beyond + ?", (len(places),))
    return range(first, first + len(places)), places


_NEW_ID = "INSERT INTO id VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
_NEW_IDS = (
    "INSERT INTO id SELECT substr(?1, 16 * key + 1, 16), value FROM json_each(?2) WHERE true"
    " ON CONFLICT (id) DO NOTHING"
)


def _index(connection: sqlite3.Connection, keys: Sequence[chunks.Key], first: int, *, plain: bool) -> bool:
    """All of them, numbered in their order, or, where one is there already, none. `plain`: all of them are of UUIDs."""
    ids = list(zip(keys, range(first, first + len(keys)), strict=True))
    # Neighbours in the index come one after the other.
    ids.sort(key=None if plain else lambda row: (isinstance(row[0], str), row[0]))
    connection.execute("SAVEPOINT ids")
    if plain:
        octets = chunks.packed_ids([key for key, _ in ids])
        done = connection.execute(_NEW_IDS, (octets, json.dumps([seq for _, seq in ids])))
    else:
        done = connection.executemany(_NEW_ID, ids)
    whole = max(0, done.rowcount) == len(ids)
    if not whole:
        connection.execute("ROLLBACK TO ids")
    connection.execute("RELEASE ids")
    return whole


_INSERT = "INSERT INTO chunk (first, last, tenant, observed_at, types, ids, body) VALUES (?, ?, ?, ?, ?, ?, ?)"


def _insert(connection: sqlite3.Connection, first: int, packed: Iterable[chunks.Chunk]) -> None:
    for chunk in packed:
        last = first + chunk.count - 1
        fields = (bind(chunk.tenant), bind(chunk.observed_at), bind(chunk.types), chunk.ids, chunk.body)
        connection.execute(_INSERT, (first, last, *fields))
        first = last + 1


# ----------------------------------------------------------------------------------------------------------- reading


@frozen
class Unreadable:
    """Why an event cannot be read, and for which numbers that is so: its own, or those of a whole chunk."""

    why: str
    first: int
    last: int
    tenant: str
    remains: Event


@frozen
class Held:
    """A chunk of the table without its body."""

    first: int
    last: int
    tenant: str
    observed_at: str
    types: tuple[str, ...]
    ids: bytes | str

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)


HELD_COLUMNS = "c.first, c.last, c.tenant, c.observed_at, c.types, c.ids"


def held(row: Sequence[Any]) -> Held:
    first, last, tenant, observed_at, types, ids = row
    return Held(first, last, unbind(tenant), unbind(observed_at), tuple(unbind(types).split("\n")), ids)


def chunk_of(connection: sqlite3.Connection, seq: int) -> Held | None:
    row = connection.execute(
        f"SELECT {HELD_COLUMNS} FROM chunk c WHERE first <= ? ORDER BY first DESC LIMIT 1",  # noqa: S608 (constants)
        (seq,),
    ).fetchone()
    return None if row is None or row[1] < seq else held(row)


def seq_of(connection: sqlite3.Connection, event_id: str) -> int | None:
    found = connection.execute("SELECT seq FROM id WHERE id = ?", (chunks.key_of(event_id),)).fetchone()
    return None if found is None else int(found[0])


def _begin_so(connection: sqlite3.Connection, begin: str) -> set[int]:
    """The numbers of the events whose ids begin so, in any case."""
    wanted = begin.casefold()
    return {
        seq
        for bounds in chunks.keys_beginning(begin)
        for key, seq in connection.execute("SELECT id, seq FROM id WHERE id BETWEEN ? AND ?", bounds)
        if chunks.id_of(key).casefold().startswith(wanted)
    }


def read(
    connection: sqlite3.Connection, numbers: Iterable[int], recent: Recent[int] | None = None
) -> dict[int, Event | Unreadable]:
    """These events, as far as they are there: of those in `recent` no body is read, of the others each chunk once."""
    wanted = set(numbers)
    found: dict[int, Event | Unreadable] = {} if recent is None else {**recent.those(wanted)}
    missing = sorted(wanted.difference(found))
    while missing:
        chunk = chunk_of(connection, missing[0])
        if chunk is None:
            del missing[0]
            continue
        end = bisect_right(missing, chunk.last)
        found.update(_at_once(connection, chunk, missing[:end]))
        del missing[:end]
    return found


def _at_once(
    connection: sqlite3.Connection, chunk: Held, numbers: Sequence[int]
) -> Iterable[tuple[int, Event | Unreadable]]:
    """As `_events`, in less time where nothing is damaged."""
    try:
        lines = _lines(connection, chunk)
        return zip(numbers, cloudevents.loads_all([lines[seq - chunk.first] for seq in numbers]), strict=True)
    except UNREADABLE:
        return _events(connection, chunk, numbers)


def _events(
    connection: sqlite3.Connection, chunk: Held, numbers: Iterable[int], needles: Sequence[bytes] = ()
) -> Iterator[tuple[int, Event | Unreadable]]:
    """Events of a chunk by number; with `needles`, only those whose line holds one of them."""
    try:
        lines = _lines(connection, chunk)
    except UNREADABLE as error:
        for seq in numbers:
            remains = _remains(chunk, seq, b"")
            yield seq, Unreadable(str(error), chunk.first, chunk.last, chunk.tenant, remains)
        return
    for seq in numbers:
        line = lines[seq - chunk.first]
        if needles and not any(needle in line for needle in needles):
            continue
        try:
            yield seq, cloudevents.loads(line)
        except UNREADABLE as error:
            yield seq, Unreadable(str(error), seq, seq, chunk.tenant, _remains(chunk, seq, line))


def _lines(connection: sqlite3.Connection, chunk: Held) -> list[bytes]:
    """Raises one of UNREADABLE."""
    (body,) = connection.execute("SELECT CAST(body AS BLOB) FROM chunk WHERE first = ?", (chunk.first,)).fetchone()
    return chunks.lines_of(body, len(chunk.numbers))


def _remains(chunk: Held, seq: int, line: bytes) -> Event:
    try:
        event_id = chunks.id_of(chunks.keys_of(chunk.ids)[seq - chunk.first])
    except (*UNREADABLE, IndexError):
        event_id = f"event {seq}"
    return chunks.remains(event_id, chunk.tenant, chunk.types, chunk.observed_at, line)


def history(connection: sqlite3.Connection, query: Query) -> list[Event]:
    with transaction(connection, "DEFERRED"):
        return [event for _, _, event in _limited(matching(connection, query), query)]


def _limited(found: Iterator[Any], query: Query) -> Iterator[Any]:
    return found if query.limit is None else islice(found, max(0, query.limit))


def matching(
    connection: sqlite3.Connection, query: Query, settled: tuple[int, frozenset[int]] | None = None
) -> Iterator[tuple[int, str, Event]]:
    """(number, tenant, event) of what a query means, in its order, its limit aside.

    With `settled`, a position and the numbers that are open before it: only what is settled there.
    """
    needles = [] if query.subject is None else [chunks.needle("subject", query.subject)]
    for chunk, candidates in _candidates(connection, query):
        numbers = candidates
        types = [t for t in chunk.types if meant_type(t, query)]
        if not types and not meant_type(chunks.UNKNOWN_TYPE, query):
            continue
        if settled is not None:
            position, still_open = settled
            numbers = [seq for seq in candidates if seq <= position and seq not in still_open]
        sought = needles
        if not needles and len(types) < len(chunk.types):
            sought = [chunks.needle("type", cloudevents.TYPE_PREFIX + t) for t in types]
        for seq, event in _events(connection, chunk, numbers, sought) if numbers else ():
            whole = event.remains if isinstance(event, Unreadable) else event
            if meant(whole, query):
                yield seq, chunk.tenant, whole


def meant_type(event_type: str, query: Query) -> bool:
    return not query.types or any(fnmatchcase(event_type, glob) for glob in query.types)


def _candidates(connection: sqlite3.Connection, query: Query) -> Iterator[tuple[Held, Sequence[int]]]:
    """The chunks that may hold what is meant, each with its numbers in question, in the order of the query."""
    terms, values = ["1"], []
    for term, value in (
        ("c.tenant = ?", query.tenant_id),
        ("c.observed_at >= ?", query.since),
        ("c.observed_at < ?", query.until),
    ):
        if value is not None:
            terms.append(term)
            values.append(bind(value))
    wanted: dict[int, list[int]] | None = None
    if query.ids or query.id_begin:
        if query.ids:
            found = {seq for seq in (seq_of(connection, event_id) for event_id in query.ids) if seq is not None}
        else:
            found = _begin_so(connection, query.id_begin)
        wanted = {}
        for seq in sorted(found):
            chunk = chunk_of(connection, seq)
            if chunk is not None:
                wanted.setdefault(chunk.first, []).append(seq)
        terms.append("c.first IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(wanted)))
    order = "DESC" if query.newest_first else "ASC"
    for row in connection.execute(
        f"SELECT {HELD_COLUMNS} FROM chunk c WHERE {' AND '.join(terms)} ORDER BY c.first {order}",  # noqa: S608 (constants)
        values,
    ):
        chunk = held(row)
        numbers: Sequence[int] = chunk.numbers if wanted is None else wanted[chunk.first]
        yield chunk, numbers[::-1] if query.newest_first else numbers


# --------------------------------------------------------------------------------------------------------- deletion

# What every sink, attached or abandoned, has gone past.
_PAST = "c.last <= (SELECT coalesce(min(position), c.last) FROM sink)"
_OPEN = "SELECT count(DISTINCT i.seq) FROM item i WHERE i.seq BETWEEN c.first AND c.last AND i.state != 'discarded'"


def purge(connection: sqlite3.Connection, before: str, limit: int) -> int:
    """Delete some `limit` events that are old and settled by every sink; of a chunk, those that are."""
    purged = 0
    with transaction(connection):
        rows = connection.execute(
            f"SELECT {HELD_COLUMNS}, ({_OPEN}) AS waiting FROM chunk c WHERE observed_at < ? AND {_PAST}"  # noqa: S608
            " AND waiting <= c.last - c.first",
            (bind(before),),
        )
        chosen = []
        for *row, waiting in rows:
            chunk = held(row)
            if waiting and not _is_readable(connection, chunk):
                continue  # nothing of it can be kept without the rest
            chosen.append((chunk, bool(waiting)))
            purged += row[1] - row[0] + 1 - waiting
            if purged >= limit:
                break
        rows.close()
        return sum(_delete(connection, chunk, keep_open=waiting) for chunk, waiting in chosen)


def _delete(connection: sqlite3.Connection, chunk: Held, *, keep_open: bool = False) -> int:
    """Delete a chunk, with all that refers to it; what sinks have open of it may be kept. Returns how many events."""
    keys = _keys(connection, chunk)
    kept: list[int] = []
    lines: list[bytes] = []
    if keep_open:
        opened = "SELECT DISTINCT seq FROM item WHERE seq BETWEEN ? AND ? AND state != 'discarded' ORDER BY seq"
        kept = [seq for (seq,) in connection.execute(opened, (chunk.first, chunk.last))]
        lines = _lines(connection, chunk)
    gone = sorted(set(chunk.numbers).difference(kept))
    connection.execute("DELETE FROM chunk WHERE first = ?", (chunk.first,))
    for _, run in groupby(enumerate(kept), lambda pair: pair[1] - pair[0]):
        numbers = [seq for _, seq in run]
        rows = [
            Row(keys[seq], chunk.tenant, chunk.observed_at, _type_in(chunk, line), line)
            for seq, line in ((seq, lines[seq - chunk.first]) for seq in numbers)
        ]
        _insert(connection, numbers[0], chunks.pack(rows))
    connection.executemany("DELETE FROM id WHERE id = ?", [(keys[seq],) for seq in gone if seq in keys])
    connection.execute(
        "DELETE FROM item WHERE seq BETWEEN ? AND ? AND seq NOT IN (SELECT value FROM json_each(?))",
        (chunk.first, chunk.last, json.dumps(kept)),
    )
    connection.execute("UPDATE total SET events = events - ?", (len(gone),))
    return len(gone)


def _is_readable(connection: sqlite3.Connection, chunk: Held) -> bool:
    try:
        return bool(_lines(connection, chunk))
    except UNREADABLE:
        return False


def _keys(connection: sqlite3.Connection, chunk: Held) -> dict[int, chunks.Key]:
    """The indexed ids of a chunk by number; where it does not know them any more, by a walk through the index."""
    try:
        keys = chunks.keys_of(chunk.ids)
    except UNREADABLE:
        keys = []
    if len(keys) == len(chunk.numbers):
        return dict(zip(chunk.numbers, keys, strict=True))
    return dict(connection.execute("SELECT seq, id FROM id WHERE seq BETWEEN ? AND ?", (chunk.first, chunk.last)))


def _type_in(chunk: Held, line: bytes) -> str:
    """Of a line that cannot be read: all that it may be, as the chunk said."""
    here = [t for t in chunk.types if chunks.needle("type", cloudevents.TYPE_PREFIX + t) in line]
    return here[0] if len(here) == 1 else "\n".join(chunk.types)


def prune_ledger(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute(
            "DELETE FROM ledger WHERE lo > coalesce("
            "(SELECT last FROM chunk WHERE first <= ledger.hi ORDER BY first DESC LIMIT 1), 0)"
        )


def _some(rows: sqlite3.Cursor, limit: int) -> list[Held]:
    """The first chunks of a question that have `limit` events together; nothing more of it is read."""
    chosen: list[Held] = []
    events = 0
    for row in rows:
        chosen.append(held(row))
        events += len(chosen[-1].numbers)
        if events >= limit:
            break
    rows.close()
    return chosen


def shed(connection: sqlite3.Connection, limit: int) -> tuple[int, str]:
    """Delete some `limit` of the oldest events that every sink has settled; how many, and their newest moment."""
    with transaction(connection):
        rows = connection.execute(
            f"SELECT {HELD_COLUMNS} FROM chunk c WHERE {_PAST} AND ({_OPEN}) = 0 ORDER BY c.first"  # noqa: S608
        )
        chosen = _some(rows, limit)
        deleted = sum(_delete(connection, chunk) for chunk in chosen)
        return deleted, max((chunk.observed_at for chunk in chosen), default="")


def forget(connection: sqlite3.Connection, tenant_id: str, generation: int | None, limit: int) -> tuple[int, bool]:
    """Delete some `limit` events of a tenant, and all else of it with the last of them; how many, and if that was all.

    Raises Conflict when a `generation` is given, and the tenant has been committed since.
    """
    tenant = bind(tenant_id)
    deleted = 0
    connection.execute("PRAGMA secure_delete = ON").fetchall()  # freed pages are overwritten; back to normal below
    try:
        with transaction(connection):
            found = connection.execute("SELECT generation FROM tenant WHERE tenant = ?", (tenant,)).fetchone()
            if generation is not None and found is not None and found[0] != generation:
                raise Conflict(f"tenant {tenant_id} was committed meanwhile", "Read its events again and repeat.")
            own = f"SELECT {HELD_COLUMNS} FROM chunk c WHERE tenant = ? ORDER BY last"  # noqa: S608 (our own constants)
            rows = connection.execute(own, (tenant,))
            for chunk in _some(rows, limit):
                connection.execute(
                    "UPDATE sink SET beyond = beyond - (?2 - max(position, ?1 - 1)) WHERE position < ?2",
                    (chunk.first, chunk.last),
                )
                deleted += _delete(connection, chunk)
            done = connection.execute("SELECT 1 FROM chunk WHERE tenant = ?", (tenant,)).fetchone() is None
            if done:
                connection.execute("DELETE FROM tenant WHERE tenant = ?", (tenant,))
    finally:
        connection.execute("PRAGMA secure_delete = OFF").fetchall()
    return deleted, done
