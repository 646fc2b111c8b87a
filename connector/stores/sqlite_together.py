"""Commits that wait for the connection at the same moment, in one transaction: one fsync for all of them.

What a commit is made of is not known here. Each succeeds or fails by itself: what is refused is taken back to before
it, and where SQLite itself fails nothing of all is kept, and each is tried alone. None has an outcome before the
transaction that it was in is durable.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from attrs import Factory, define

from connector.stores.sqlite_file import transaction

MAX_WISHES = 64
MAX_EVENTS = 1_000
"""A transaction is bounded: sinks and other processes wait for it."""

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]


@define(eq=False)
class Wish(Generic[_T]):
    """One commit that is asked for, of so many events. `prepare` makes its work, outside of any transaction."""

    prepare: Callable[[], Work[_T]]
    events: int
    withdrawn: bool = False
    error: BaseException | None = None
    result: _T | None = None

    @property
    def settled(self) -> bool:
        return self.error is not None or self.result is not None


@define(eq=False)
class Wishes(Generic[_T]):
    """Those that wait, in their order. One thread adds to them, another takes them."""

    _waiting: deque[Wish[_T]] = Factory(deque)

    def add(self, wish: Wish[_T]) -> None:
        self._waiting.append(wish)

    def taken(self, wish: Wish[_T]) -> list[Wish[_T]]:
        """Those up to this one, which waits, and some behind it; what was withdrawn is left out."""
        found: list[Wish[_T]] = []
        reached = False
        while self._waiting:
            if reached and (len(found) >= MAX_WISHES or sum(each.events for each in found) >= MAX_EVENTS):
                break
            each = self._waiting.popleft()
            reached = reached or each is wish
            if not each.withdrawn:
                found.append(each)
        return found


def carry_out(connection: sqlite3.Connection, wishes: Sequence[Wish[_T]]) -> None:
    """Give each its outcome."""
    ready = []
    for wish in wishes:
        try:
            ready.append((wish, wish.prepare()))
        except Exception as error:  # noqa: BLE001 - it is the outcome
            wish.error = error
    _together(connection, ready)


def _together(connection: sqlite3.Connection, ready: Sequence[tuple[Wish[_T], Work[_T]]]) -> None:
    if not ready:
        return
    alone = len(ready) == 1
    try:
        with transaction(connection):
            done = [(wish, _done(connection, work, alone=alone)) for wish, work in ready]
    except Exception as error:  # noqa: BLE001 - it is the outcome
        if alone:
            ready[0][0].error = error
            return
        for one in ready:
            _together(connection, [one])
        return
    for wish, became in done:
        if isinstance(became, Exception):
            wish.error = became
        else:
            wish.result = became


def _done(connection: sqlite3.Connection, work: Work[_T], *, alone: bool) -> _T | Exception:
    """What came of it, or what kept it from being done. Raises sqlite3.Error and OSError, and anything when alone."""
    if alone:
        return work(connection)
    connection.execute("SAVEPOINT wish")
    try:
        return work(connection)
    except (sqlite3.Error, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - it is the outcome
        connection.execute("ROLLBACK TO wish")
        return error
    finally:
        if connection.in_transaction:  # on a full disk SQLite takes all of it back by itself
            connection.execute("RELEASE wish")
