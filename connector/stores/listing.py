"""The names of a place, as of one moment: within a turn they are listed once, and not again by each call.

A list is what a storage account charges most for. What is remembered here is a hint and never more: a document is
created only where there is none, its writer lists once more, and what is gone is found gone when it is read. Whoever
meets that begins anew (numbered.steady), and then everything is listed again. Outside of a turn nothing is remembered
but which logs the sinks have: in a turn that is asked again by reading, which costs a tenth of a list.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar

from attrs import Factory, define

from connector.ports import Documents
from connector.stores.packing import name_of

SINKS = "sinks/"


@define(eq=False)
class _Turn:
    """What one turn has listed: by prefix, everything below it. `written` is what was created (size) or deleted (None)
    here meanwhile, by whichever turn: a list that was under way may lack it.
    """

    owner: "Listing"
    prefix: str
    areas: dict[str, dict[str, int]] = Factory(dict)
    written: list[tuple[str, int | None]] = Factory(list)
    over: bool = False

    def covering(self, name: str) -> dict[str, int] | None:
        return next((names for prefix, names in self.areas.items() if name.startswith(prefix)), None)

    def note(self, name: str, size: int | None) -> None:
        if not name.startswith((self.prefix, SINKS)):
            return
        self.written.append((name, size))
        self.put(name, size)

    def put(self, name: str, size: int | None) -> None:
        names = self.covering(name)
        if names is not None:
            names.pop(name, None)
            if size is not None:
                names[name] = size


_TURN: ContextVar[_Turn | None] = ContextVar("_TURN", default=None)
"""That of the task, and of those it began."""


def forget() -> None:
    """What this turn has listed is not so any more."""
    turn = _TURN.get()
    if turn is not None:
        turn.areas.clear()
        turn.owner.sinks = None


@define(eq=False)
class Listing:
    """Names with their sizes below a prefix. `sinks` are the names below SINKS when they were last listed."""

    documents: Documents
    sinks: dict[str, int] | None = None
    _turns: list[_Turn] = Factory(list)

    @asynccontextmanager
    async def turn(self, prefix: str) -> AsyncIterator[None]:
        """Within it names below a prefix ("" = all there are), and those of sinks, are listed once."""
        turn = _Turn(self, prefix)
        token = _TURN.set(turn)
        self._turns.append(turn)
        try:
            yield
        finally:
            turn.over = True
            self._turns.remove(turn)
            _TURN.reset(token)

    async def names(self, prefix: str) -> Mapping[str, int]:
        """As remembered by this turn, or as listed now."""
        turn = self._turn
        if turn is None:
            return await self.now(prefix)
        if (names := turn.covering(prefix)) is None:
            if prefix.startswith(turn.prefix):
                await self.now(turn.prefix)
            elif prefix == SINKS and await self._sinks_stand():
                turn.areas.setdefault(SINKS, dict(self.sinks or {}))
            else:
                return await self.now(prefix)
            names = turn.covering(prefix) or {}
        return {name: size for name, size in names.items() if name.startswith(prefix)}

    async def now(self, prefix: str) -> Mapping[str, int]:
        """As listed now."""
        turn = self._turn
        begun = len(turn.written) if turn is not None else 0
        found = dict(await self.documents.list(prefix))
        if prefix == SINKS or not prefix:
            self.sinks = {name: size for name, size in found.items() if name.startswith(SINKS)}
        if turn is not None:
            self._take(turn, prefix, found)
            for name, size in turn.written[begun:]:
                turn.put(name, size)
        return found

    def created(self, name: str, size: int) -> None:
        self._changed(name, size)

    def deleted(self, name: str) -> None:
        self._changed(name, None)

    # ---------------------------------------------------------------------------------------------------- inside

    @property
    def _turn(self) -> _Turn | None:
        turn = _TURN.get()
        return turn if turn is not None and turn.owner is self and not turn.over else None

    @staticmethod
    def _take(turn: _Turn, prefix: str, found: Mapping[str, int]) -> None:
        names = turn.covering(prefix)
        if names is not None:
            for name in [name for name in names if name.startswith(prefix)]:
                del names[name]
            names.update(found)
        elif prefix in (turn.prefix, SINKS):
            turn.areas = {known: names for known, names in turn.areas.items() if not known.startswith(prefix)}
            turn.areas[prefix] = dict(found)

    def _changed(self, name: str, size: int | None) -> None:
        # One turn may write for another: settlements that waited for each other are written by whoever comes first.
        for turn in self._turns:
            turn.note(name, size)
        if name.startswith(SINKS):
            self.sinks = None

    async def _sinks_stand(self) -> bool:
        """Whether the newest document of each log of a sink is still there, and no newer one.

        A log keeps its newest two: were the next one there and gone again, so would be the newest that is known.
        """
        if self.sinks is None:
            return False
        newest: dict[str, int] = {}
        for name in self.sinks:
            log, _, last = name.rpartition("/")
            newest[log] = max(newest.get(log, 0), int(last) if last.isdecimal() else 0)
        here = await asyncio.gather(*(self.documents.get(name_of(log, n)) for log, n in newest.items()))
        next_ = await asyncio.gather(*(self.documents.get(name_of(log, n + 1)) for log, n in newest.items()))
        return all(body is not None for body in here) and all(body is None for body in next_)
