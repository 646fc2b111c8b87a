"""Damage in an SQLite state that its structure does not show: one event, or all that lies in one row with it."""

import gzip
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path


def spoil_events(path: Path, numbers: Iterable[int], line: bytes) -> None:
    """In place of these events stands something else; the row that they are in is whole."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for seq in numbers:
            first, body = connection.execute(
                "SELECT first, body FROM chunk WHERE first <= ? AND last >= ?", (seq, seq)
            ).fetchone()
            lines = gzip.decompress(body).split(b"\n")
            lines[seq - first] = line
            connection.execute("UPDATE chunk SET body = ? WHERE first = ?", (gzip.compress(b"\n".join(lines)), first))


def spoil_rows(path: Path, numbers: Iterable[int]) -> None:
    """The rows that hold these events cannot be unpacked any more."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for seq in numbers:
            connection.execute(
                "UPDATE chunk SET body = substr(body, 1, length(body) / 2) WHERE first <= ? AND last >= ?", (seq, seq)
            )
