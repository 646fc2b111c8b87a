"""What of an SQLite state is not as it was left: noted, read back, and looked for; and which state it is. In SQL.

No thread and no file is known here. Each function is a transaction of its own, except `count_commit` and `note_in`.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Iterator

from attrs import evolve

from connector.ports import Flaw
from connector.stores import chunks, flaws
from connector.stores.sqlite_events import HELD_COLUMNS, Unreadable, chunk_of, held, read, seq_of
from connector.stores.sqlite_file import transaction
from connector.stores.sqlite_layout import ADDITIONS, bind, unbind

MAX_FLAWS = 1_000


def noted(connection: sqlite3.Connection) -> list[Flaw]:
    """Those that were noted; none in a state that no writer of this version has opened."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'flaw'").fetchone() is None:
        return []
    rows = connection.execute("SELECT document, body FROM flaw ORDER BY at, document LIMIT ?", (MAX_FLAWS,))
    return [flaws.loads(body, unbind(document)) for document, body in rows]


def note(connection: sqlite3.Connection, flaw: Flaw) -> None:
    with transaction(connection):
        note_in(connection, flaw)


def note_in(connection: sqlite3.Connection, flaw: Flaw) -> None:
    """Keep a flaw, once: its first count is the right one."""
    connection.execute(ADDITIONS[0])
    body = flaws.dumps(flaw).decode("ascii")
    connection.execute("INSERT OR IGNORE INTO flaw VALUES (?, ?, ?)", (bind(flaw.document), flaw.at, body))


def prune(connection: sqlite3.Connection, before: str) -> None:
    connection.execute("DELETE FROM flaw WHERE at < ?", (before,))


def note_unreadable(connection: sqlite3.Connection, found: Iterable[Unreadable], at: str) -> None:
    """Note what cannot be read, with the sinks that have not settled it."""
    with transaction(connection):
        for damage in {(each.first, each.last): each for each in found}.values():
            if chunk_of(connection, damage.first) is not None:
                note_in(connection, evolve(_event_flaw(connection, damage), at=at))


def _event_flaw(connection: sqlite3.Connection, damage: Unreadable) -> Flaw:
    waiting = connection.execute(
        "SELECT name, max(0, :last - max(position, :first - 1)) + (SELECT count(*) FROM item i WHERE i.sink = s.sink"
        " AND i.seq BETWEEN :first AND :last AND i.state IN ('due', 'again', 'parked')) FROM sink s",
        {"first": damage.first, "last": damage.last},
    )
    sinks = {unbind(name): count for name, count in waiting if count}
    count = damage.last - damage.first + 1
    what, whose = (
        (f"event {damage.first}", "its row") if count == 1 else (f"events {damage.first}-{damage.last}", "their row")
    )
    return Flaw("state_damaged", what, f"{whose} cannot be read: {damage.why}", damage.tenant, count, sinks)


# ------------------------------------------------------------------------------------------------------- which state


def identity(connection: sqlite3.Connection) -> tuple[str, int, str]:
    """Which state this is, how many commits it has, and where it was last used. A state without a name gets one."""
    with transaction(connection):
        marks = dict(connection.execute("SELECT name, value FROM mark").fetchall())
        if "state" not in marks:
            marks["state"] = uuid.uuid4().hex
            connection.execute("INSERT INTO mark VALUES ('state', ?)", (marks["state"],))
        connection.execute("INSERT OR IGNORE INTO mark VALUES ('commits', '0')")
        return marks["state"], int(marks.get("commits", 0)), marks.get("home", "")


def set_home(connection: sqlite3.Connection, home: str) -> None:
    with transaction(connection):
        connection.execute("INSERT OR REPLACE INTO mark VALUES ('home', ?)", (bind(home),))


def count_commit(connection: sqlite3.Connection) -> None:
    """Count one, as a part of its transaction."""
    connection.execute("UPDATE mark SET value = value + 1 WHERE name = 'commits'")


# ------------------------------------------------------------------------------------------------------------ cursors


def mend_numbers(connection: sqlite3.Connection, at: str) -> None:
    """See to it that no number comes again which a sink has gone past, and note when one could have."""
    with transaction(connection):
        last = _last(connection)
        ahead = connection.execute("SELECT name, position FROM sink WHERE position > ?", (last,)).fetchall()
        if not ahead:
            return
        for name, position in ahead:
            note_in(connection, evolve(_ahead(unbind(name), position, last), at=at))
        seen = max(position for _, position in ahead)
        connection.execute("UPDATE total SET last = ?", (seen,))


def _last(connection: sqlite3.Connection) -> int:
    """The highest number that an event of this state had."""
    (last,) = connection.execute("SELECT max(last, coalesce((SELECT max(last) FROM chunk), 0)) FROM total").fetchone()
    return int(last)


def _ahead(name: str, position: int, last: int) -> Flaw:
    what = f"sink {name} has settled up to event {position}, the newest was {last}; what comes now is sent"
    return Flaw("cursor_ahead", f"sink {name} at {position}", what)


# ------------------------------------------------------------------------------------------------------------- verify


def verify(connection: sqlite3.Connection) -> list[Flaw]:
    """Read every row and say what is wrong. Changes nothing."""
    found = [
        Flaw("state_damaged", "file", str(line))
        for (line,) in connection.execute(f"PRAGMA integrity_check({MAX_FLAWS})")
        if line != "ok"
    ]
    with transaction(connection, "DEFERRED"):
        for table, *_ in connection.execute("PRAGMA foreign_key_check").fetchall():
            found.append(Flaw("state_damaged", f"table {table}", "a row belongs to nothing that is there"))
        found += _unreadable(connection)
        found += _miscounted(connection)
        last = _last(connection)
        rows = connection.execute("SELECT name, position FROM sink WHERE position > ?", (last,)).fetchall()
        found += [_ahead(unbind(name), position, last) for name, position in rows]
    return [*found, *noted(connection)]


def _unreadable(connection: sqlite3.Connection) -> Iterator[Flaw]:
    firsts = connection.execute(f"SELECT {HELD_COLUMNS} FROM chunk c ORDER BY first").fetchall  # noqa: S608 (constants)
    for row in firsts():
        chunk = held(row)
        try:
            ids = [chunks.id_of(key) for key in chunks.keys_of(chunk.ids)]
        except chunks.UNREADABLE:
            ids = []
        told: set[tuple[int, int]] = set()
        for place, (seq, event) in enumerate(read(connection, chunk.numbers).items()):
            damage = event
            if not isinstance(damage, Unreadable):
                if ids[place : place + 1] == [damage.id] and seq_of(connection, damage.id) == seq:
                    continue
                damage = Unreadable("it says another id of itself", seq, seq, chunk.tenant, damage)
            if (damage.first, damage.last) not in told:
                told.add((damage.first, damage.last))
                yield _event_flaw(connection, damage)


def _miscounted(connection: sqlite3.Connection) -> Iterator[Flaw]:
    kept, counted, indexed = connection.execute(
        "SELECT (SELECT coalesce(sum(last - first + 1), 0) FROM chunk), (SELECT events FROM total),"
        " (SELECT count(*) FROM id)"
    ).fetchone()
    if kept != counted:
        yield Flaw("state_damaged", "table total", f"{counted} events are counted, {kept} are there", None, 0, {})
    if kept != indexed:
        yield Flaw("state_damaged", "table id", f"{indexed} ids are known, {kept} events are there", None, 0, {})
    for name, counted_, there in connection.execute(
        "SELECT name, beyond, (SELECT coalesce(sum(last - max(position, first - 1)), 0) FROM chunk"
        " WHERE last > position) FROM sink"
    ):
        if counted_ != there:
            what = f"{counted_} events are counted as waiting, {there} wait"
            yield Flaw("state_damaged", f"sink {unbind(name)}", what, None, 0, {})
    for name, state, counted_, there in connection.execute(
        "SELECT s.name, t.state, t.items, (SELECT count(*) FROM item i WHERE i.sink = t.sink AND i.state = t.state)"
        " FROM tally t JOIN sink s USING (sink)"
    ):
        if counted_ != there:
            what = f"{counted_} events are counted as {state}, {there} are"
            yield Flaw("state_damaged", f"sink {unbind(name)}", what, None, 0, {})
