"""Commits that wait for the connection at the same moment, in one transaction: one fsync for all of them.

What a commit is made of is not known here, nor why several come at the same moment (observe/places.py sees to it that
those do which have time). Each succeeds or fails by itself: what is refused is taken back to before it, and where
SQLite itself fails nothing of all is kept, and each is tried alone. None has an outcome before the transaction that it
was in is durable; until then neither `load` nor another process sees anything of it.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

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
    heard: "asyncio.Future[None] | None" = None


@define(eq=False)
class Wishes(Generic[_T]):
    """Those that wait, in their order. `grant` carries out some of them on the connection's thread (`taken`)."""

    grant: Callable[[], Awaitable[Sequence[Wish[_T]]]]
    _waiting: deque[Wish[_T]] = Factory(deque)
    _under_way: Sequence[Wish[_T]] = ()
    _granting: "asyncio.Task[None] | None" = None

    async def granted(self, wish: Wish[_T]) -> _T:
        """What came of it. Raises its error. Given up while it waits, it is never begun."""
        wish.heard = asyncio.get_running_loop().create_future()
        self._waiting.append(wish)
        if self._granting is None:
            self._granting = asyncio.create_task(self._grant(), name="state:commits")
        try:
            await wish.heard
        except asyncio.CancelledError:
            wish.withdrawn = True
            raise
        if wish.error is not None:
            raise wish.error
        assert wish.result is not None
        return wish.result

    async def ended(self) -> None:
        """Nobody waits any more."""
        if self._granting is not None:
            await asyncio.wait((self._granting,))

    def taken(self) -> list[Wish[_T]]:
        """The first of them, as many as fit into one transaction; what was withdrawn is left out."""
        found: list[Wish[_T]] = []
        events = 0
        while self._waiting and len(found) < MAX_WISHES and events < MAX_EVENTS:
            wish = self._waiting.popleft()
            if not wish.withdrawn:
                found.append(wish)
                events += wish.events
        self._under_way = found
        return found

    async def _grant(self) -> None:
        """One transaction after another, until nobody waits. All that ask at one moment have asked before it begins."""
        try:
            while self._waiting:
                for wish in await self.grant():
                    _tell(wish)
                self._under_way = ()
        except Exception as error:  # noqa: BLE001 - it is theirs: there is no connection any more
            for wish in (*self._under_way, *self._waiting):
                wish.error = wish.error or error
                _tell(wish)
            self._waiting.clear()
        finally:
            self._granting = None


def _tell(wish: Wish[Any]) -> None:
    if wish.heard is not None and not wish.heard.done():
        wish.heard.set_result(None)


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
