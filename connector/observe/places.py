"""Places for polls: how many work side by side, and where those wait for one another that only have a note to write.

A poll that found nothing new has one small thing to write: when it looked. Written alone that is a transaction and an
fsync of its own; those of a second can be one. So such a poll gives its place to another and waits, until

- as many wait as one transaction takes, or PATIENCE_S are over;
- a poll commits events: there is a transaction anyway;
- nobody is at work and none will be soon, so that nobody else would come;
- the end has come: from then on nobody waits.

Then all of them commit at the same moment, each for itself, and the store makes one transaction of that
(stores/sqlite_together.py). Nothing is written here, and what is to be written is not known here.

What holds while one waits. It has no outcome yet: nothing of it was counted, shown by `status`, told by a heartbeat or
by `once`, and its tenant is not polled meanwhile. So a crash takes nothing that anybody was told; the tenant is polled
again. Generations are compared when it is written, as ever: what another process, or a new holder of the lease, has
committed meanwhile stands, and this poll begins anew. What the disk refuses, it refuses each of them, and each says so.
Of what was read nothing is held any more: the place that is given up is that of its memory, too.
"""

import asyncio
from collections.abc import Callable

from attrs import Factory, define

from connector.ports import Clock

TOGETHER = 64
"""So many do not wait for more: as many as SQLite takes in one transaction."""
PATIENCE_S = 1.0


@define
class Places:
    """Who works and who waits. `soon` says whether another poll may begin within so many seconds.

    `changed` is set whenever fewer are at work. Who never took a place never waits.
    """

    clock: Clock
    soon: Callable[[float], bool] = lambda _: False
    patience_s: float = PATIENCE_S
    at_work: int = 0
    waiting: int = 0
    changed: asyncio.Event = Factory(asyncio.Event)
    _asked_for: bool = False
    _opened: asyncio.Event = Factory(asyncio.Event)
    _timer: "asyncio.Task[None] | None" = None

    async def take(self, most: int) -> None:
        """Begin to work, as soon as fewer than `most` do. One at a time asks for it."""
        self._asked_for = True
        try:
            while self.at_work >= most:
                self.changed.clear()
                await self.changed.wait()
        finally:
            self._asked_for = False
        self.begin()

    def begin(self) -> None:
        """Take a place, whether or not there is one."""
        self.at_work += 1

    def leave(self) -> None:
        """A poll has ended, however."""
        self.at_work -= 1
        self.changed.set()
        if self.waiting and not self._others():
            self.open()

    async def wait(self) -> None:
        """Wait for others that have a note to write; somebody else may work meanwhile."""
        opened = self._opened
        self.at_work -= 1
        self.waiting += 1
        self.changed.set()
        try:
            if self.waiting >= TOGETHER or not self._others():
                self.open()
            elif self._timer is None:
                self._timer = asyncio.create_task(self._time_is_over(), name="observe:patience")
            await opened.wait()
        finally:
            if not opened.is_set():  # cancelled, as all of them are then
                self.open()

    async def bring_along(self) -> None:
        """Those that wait commit now, for so does the caller."""
        if self.waiting:
            self.open()
            await asyncio.sleep(0)  # they come first

    def open(self) -> None:
        """The wait is over for all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.at_work += self.waiting
        self.waiting = 0
        self._opened.set()
        self._opened = asyncio.Event()

    def close(self) -> None:
        """Nobody waits any more."""
        self.patience_s = 0.0
        self.open()

    def _others(self) -> bool:
        """Whether somebody might still come who has a note to write."""
        return self.patience_s > 0 and (self.at_work > 0 or self._asked_for or self.soon(self.patience_s))

    async def _time_is_over(self) -> None:
        await self.clock.sleep(self.patience_s)
        self._timer = None
        self.open()
