"""What of an SQLite state is not as it was left: noted, read back, and looked for; and which state it is. In SQL.

No thread and no file is known here. Each function is a transaction of its own, except `count_commit` and `note_in`.
"""

import sqlite3
import uuid
from collections.abc import Iterator, Mapping

from attrs import evolve

from connector.formats import cloudevents
from connector.ports import Flaw
from connector.stores import flaws
from connector.stores.sqlite_events import UNREADABLE
from connector.stores.sqlite_file import ADDITIONS, bind, transaction, unbind

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


def unreadable_event(connection: sqlite3.Connection, seq: int, why: str, at: str) -> None:
    """Note an event whose row cannot be read, with the sinks that have not settled it."""
    with transaction(connection):
        found = connection.execute("SELECT tenant FROM event WHERE seq = ?", (seq,)).fetchone()
        if found is not None:
            note_in(connection, evolve(_event_flaw(connection, seq, unbind(found[0]), why), at=at))


def _event_flaw(connection: sqlite3.Connection, seq: int, tenant_id: str, why: str) -> Flaw:
    waiting = connection.execute(
        "SELECT s.name FROM sink s LEFT JOIN item i ON i.sink = s.sink AND i.seq = :seq"
        " WHERE s.position < :seq OR i.state IN ('due', 'again', 'parked')",
        {"seq": seq},
    )
    sinks = {unbind(name): 1 for (name,) in waiting}
    return Flaw("state_damaged", f"event {seq}", f"its row cannot be read: {why}", tenant_id, 1, sinks)


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
        if connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'event'", (seen,)).rowcount == 0:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)", (seen,))


def _last(connection: sqlite3.Connection) -> int:
    """The highest number that an event of this state had."""
    (last,) = connection.execute(
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0),"
        " coalesce((SELECT max(seq) FROM event), 0))"
    ).fetchone()
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
    for seq, event_id, tenant, body in connection.execute("SELECT seq, id, tenant, CAST(body AS BLOB) FROM event"):
        try:
            if cloudevents.loads(body).id != unbind(event_id):
                raise ValueError("it says another id of itself")
        except UNREADABLE as error:
            yield _event_flaw(connection, seq, unbind(tenant), f"{type(error).__name__}: {error}")


def _miscounted(connection: sqlite3.Connection) -> Iterator[Flaw]:
    kept, counted = connection.execute("SELECT (SELECT count(*) FROM event), (SELECT events FROM total)").fetchone()
    if kept != counted:
        yield Flaw("state_damaged", "table total", f"{counted} events are counted, {kept} are there", None, 0, {})
    beyond: Mapping[str, tuple[int, int]] = {
        unbind(name): (counted, there)
        for name, counted, there in connection.execute(
            "SELECT name, beyond, (SELECT count(*) FROM event e WHERE e.seq > s.position) FROM sink s"
        )
    }
    for name, (counted, there) in beyond.items():
        if counted != there:
            what = f"{counted} events are counted as waiting, {there} wait"
            yield Flaw("state_damaged", f"sink {name}", what, None, 0, {})
