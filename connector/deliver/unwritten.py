"""Settlements that the state could not take yet: kept in memory, so that committed events go on being delivered.

A full or read-only disk can still be read. What a sink has taken meanwhile is remembered here, is not offered again,
and is written down, in its order, as soon as the state takes it. What a process could not write down by its end comes
again after the next start: twice perhaps, lost never. Nothing is sent here.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from attrs import Factory, define

from connector.errors import StoreError
from connector.health.state_watch import StateWatch
from connector.ports import Pending, Settlement, Store

log = logging.getLogger("securescore.deliver")

MAX_UNWRITTEN = 10_000
"""So many events of one sink are remembered at most; then it waits for the state."""


@define
class PatientStore:
    """A store in front of which settlements may wait. One for each sink; all else is the store's own."""

    inner: Store
    watch: StateWatch
    _waiting: list[Settlement] = Factory(list)
    _hidden: set[int] = Factory(set)
    _last: StoreError | None = None
    _turn: asyncio.Lock = Factory(asyncio.Lock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def settle(self, sink: str, settlement: Settlement) -> None:
        """Write it down, or keep it until that is possible. Raises a StateRefused."""
        self._waiting.append(settlement)
        self._hidden.update(settlement.accepted, settlement.skipped, settlement.parked)
        await self.write(sink)

    async def due(self, sink: str, limit: int, *more: Any, **named: Any) -> list[Pending]:
        """As the store says, without what was settled and could not be written. Raises StoreError.

        The store offers again only where nothing is due for the first time; what is hidden here is due no more.
        """
        await self.write(sink)
        if self._last is not None and len(self._hidden) >= MAX_UNWRITTEN:
            raise self._last
        hidden = frozenset(self._hidden)

        async def left(**asked: Any) -> list[Pending]:
            found: Sequence[Pending] = await self.inner.due(sink, limit + len(hidden), *more, **asked)
            return [p for p in found if p.seq not in hidden and p.seq not in self._hidden][:limit]

        found = await left(**named)
        return found if found or not hidden or named.get("again") else await left(**{**named, "again": True})

    async def write(self, sink: str, *, last: bool = False) -> int:
        """Write down what waits, if it is time to try (`last`: it is); how many events still wait then."""
        loop = f"settle:{sink}"
        async with self._turn:
            while self._waiting and (last or self.watch.may_try(loop)):
                try:
                    await self.inner.settle(sink, self._waiting[0])
                except StoreError as error:
                    self.watch.failed(loop, error)
                    self._last = error
                    break
                self.watch.well(loop)
                self._waiting.pop(0)
            if not self._waiting:
                self._hidden.clear()
                self._last = None
        if last and self._hidden:
            log.warning("deliver.unwritten", extra={"sink": sink, "events": len(self._hidden)})
        return len(self._hidden)
