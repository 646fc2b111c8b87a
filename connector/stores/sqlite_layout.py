"""The tables of the SQLite state: each version of them, and how one leads to the next.

What they mean for events is in sqlite_events.py, for sinks in sqlite_sinks.py. Released steps never change, and neither
may what they call: a step is a statement, or a function where SQL alone cannot do it. No transaction begins or ends
here: all steps together are one.
"""

import sqlite3
from collections.abc import Callable, Iterator

from connector.stores.chunks import MAX_EVENTS, Row, key_of, pack

Step = str | Callable[[sqlite3.Connection], None]


def bind(text: str) -> str | bytes:
    """A text as SQLite can hold it: lone surrogates, which JSON may carry, have no UTF-8 and are kept as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def unbind(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


_SCHEMA_1 = (
    "CREATE TABLE tenant (tenant TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE state (
         tenant TEXT NOT NULL REFERENCES tenant ON DELETE CASCADE,
         part TEXT NOT NULL,
         body BLOB NOT NULL,
         PRIMARY KEY (tenant, part))""",
    # AUTOINCREMENT: a number is never used twice, or an event could be born behind a sink's position and be lost.
    """CREATE TABLE event (
         seq INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         tenant TEXT NOT NULL,
         type TEXT NOT NULL,
         subject TEXT NOT NULL,
         observed_at TEXT NOT NULL,
         body TEXT NOT NULL)""",
    "CREATE INDEX event_tenant ON event (tenant)",
    "CREATE INDEX event_observed ON event (observed_at)",
    # How many events there are, and how many lie beyond each sink's position: counting 4 GiB for /metrics is too slow.
    "CREATE TABLE total (events INTEGER NOT NULL)",
    "INSERT INTO total VALUES (0)",
    """CREATE TABLE sink (
         sink INTEGER PRIMARY KEY,
         name TEXT NOT NULL UNIQUE,
         position INTEGER NOT NULL,
         beyond INTEGER NOT NULL,
         abandoned INTEGER NOT NULL DEFAULT 0,
         last_success TEXT)""",
    # What settling.Item says; only events at or before the position have one.
    """CREATE TABLE item (
         sink INTEGER NOT NULL REFERENCES sink ON DELETE CASCADE,
         seq INTEGER NOT NULL REFERENCES event ON DELETE CASCADE,
         state TEXT NOT NULL CHECK (state IN ('due', 'again', 'parked', 'discarded')),
         attempts INTEGER NOT NULL,
         first_sent TEXT,
         at TEXT,
         reason TEXT,
         PRIMARY KEY (sink, seq)) WITHOUT ROWID""",
    "CREATE INDEX item_state ON item (sink, state, seq)",
    "CREATE INDEX item_seq ON item (seq)",
    # What settling.Entry says; lo and hi bound its spans.
    """CREATE TABLE ledger (
         sink INTEGER NOT NULL REFERENCES sink ON DELETE CASCADE,
         lo INTEGER NOT NULL,
         hi INTEGER NOT NULL,
         outcome TEXT NOT NULL,
         first_sent TEXT,
         attempts INTEGER NOT NULL,
         settled TEXT NOT NULL,
         spans TEXT NOT NULL)""",
    "CREATE INDEX ledger_hi ON ledger (sink, hi)",
    "CREATE INDEX ledger_settled ON ledger (sink, settled)",
)

# Whose event an item is, so that what one tenant has waiting is found, or passed over, without looking at the others'.
_SCHEMA_2 = (
    "ALTER TABLE item ADD COLUMN tenant TEXT NOT NULL DEFAULT ''",
    "UPDATE item SET tenant = (SELECT e.tenant FROM event e WHERE e.seq = item.seq)",
    "CREATE INDEX item_tenant ON item (sink, state, tenant, seq)",
)

# Events by the commit: chunk and id take the place of the table event. Its numbers are counted in total.
_SCHEMA_3_TABLES = (
    """CREATE TABLE chunk (
         first INTEGER PRIMARY KEY,
         last INTEGER NOT NULL,
         tenant TEXT NOT NULL,
         observed_at TEXT NOT NULL,
         types TEXT NOT NULL,
         ids BLOB NOT NULL,
         body BLOB NOT NULL)""",
    "CREATE INDEX chunk_tenant ON chunk (tenant, last)",
    "CREATE INDEX chunk_observed ON chunk (observed_at)",
    "CREATE TABLE id (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    # The last number given: none is used twice, or an event could be born behind a sink's position and be lost.
    "ALTER TABLE total ADD COLUMN last INTEGER NOT NULL DEFAULT 0",
    """UPDATE total SET last = max(
         coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0),
         coalesce((SELECT max(seq) FROM event), 0))""",
    "ALTER TABLE item RENAME TO old_item",
    """CREATE TABLE item (
         sink INTEGER NOT NULL REFERENCES sink ON DELETE CASCADE,
         seq INTEGER NOT NULL,
         tenant TEXT NOT NULL,
         state TEXT NOT NULL CHECK (state IN ('due', 'again', 'parked', 'discarded')),
         attempts INTEGER NOT NULL,
         first_sent TEXT,
         at TEXT,
         reason TEXT,
         PRIMARY KEY (sink, seq)) WITHOUT ROWID""",
    # How many items a sink has in each state, kept by the database itself: nobody can forget to count.
    """CREATE TABLE tally (
         sink INTEGER NOT NULL,
         state TEXT NOT NULL,
         items INTEGER NOT NULL,
         PRIMARY KEY (sink, state)) WITHOUT ROWID""",
    """CREATE TRIGGER item_comes AFTER INSERT ON item BEGIN
         INSERT INTO tally VALUES (new.sink, new.state, 1)
         ON CONFLICT (sink, state) DO UPDATE SET items = items + 1; END""",
    """CREATE TRIGGER item_goes AFTER DELETE ON item BEGIN
         UPDATE tally SET items = items - 1 WHERE sink = old.sink AND state = old.state; END""",
    """CREATE TRIGGER item_moves AFTER UPDATE OF state ON item WHEN old.state != new.state BEGIN
         UPDATE tally SET items = items - 1 WHERE sink = old.sink AND state = old.state;
         INSERT INTO tally VALUES (new.sink, new.state, 1)
         ON CONFLICT (sink, state) DO UPDATE SET items = items + 1; END""",
    "CREATE TRIGGER sink_goes AFTER DELETE ON sink BEGIN DELETE FROM tally WHERE sink = old.sink; END",
    "INSERT INTO item SELECT sink, seq, tenant, state, attempts, first_sent, at, reason FROM old_item",
    "DROP TABLE old_item",
    "CREATE INDEX item_state ON item (sink, state, seq)",
    "CREATE INDEX item_tenant ON item (sink, state, tenant, seq)",
    "CREATE INDEX item_seq ON item (seq)",
)


def _to_chunks(connection: sqlite3.Connection) -> None:
    """All events, each under its number. What cannot be read is left as it is: it is told when it is met."""
    for first, rows in _runs(connection):
        ids = [(row.key, seq) for seq, row in enumerate(rows, first)]
        connection.executemany("INSERT INTO id VALUES (?, ?)", ids)
        seq = first
        for chunk in pack(rows):
            fields = (bind(chunk.tenant), bind(chunk.observed_at), bind(chunk.types), chunk.ids, chunk.body)
            last = seq + chunk.count - 1
            connection.execute("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)", (seq, last, *fields))
            seq = last + 1


def _runs(connection: sqlite3.Connection) -> Iterator[tuple[int, list[Row]]]:
    """Events whose numbers follow each other, with the first number, a few chunks at a time."""
    first = 0
    run: list[Row] = []
    for seq, event_id, tenant, event_type, observed_at, body in connection.execute(
        "SELECT seq, id, tenant, type, observed_at, CAST(body AS BLOB) FROM event ORDER BY seq"
    ):
        moment = unbind(observed_at)
        here = (unbind(tenant), moment)
        if run and (seq != first + len(run) or here != (run[-1].tenant, run[-1].observed_at) or len(run) == MAX_EVENTS):
            yield first, run
            run = []
        if not run:
            first = seq
        line = (body or b"").replace(b"\n", b" ")  # white space in JSON, and damage stays damage
        run.append(Row(key_of(unbind(event_id)), *here, unbind(event_type), line))
    if run:
        yield first, run


_SCHEMA_3: tuple[Step, ...] = (*_SCHEMA_3_TABLES, _to_chunks, "DROP TABLE event")

MIGRATIONS: tuple[tuple[Step, ...], ...] = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3)
"""Steps that lead from version n to n + 1, at index n. Released ones never change."""


ADDITIONS = (
    # What was found to be not as it was left (sqlite_flaws.py).
    "CREATE TABLE IF NOT EXISTS flaw (document TEXT PRIMARY KEY, at TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
    # Which state this is, where it was last used, how many commits it has.
    "CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
"""Tables that an older version does not miss and does not mind: they raise no version, so going back stays possible."""
