"""An event loop whose time is not ours: it jumps to the next timer as soon as nothing is left to be done, so that tasks
which wait side by side for hours are done in milliseconds, each at its own moment. No assertions live here.

What threads do (a state file) takes no time at all: the loop waits for them before it jumps.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

START = datetime(2030, 1, 10, 12, tzinfo=UTC)
STUCK_S = 30.0
"""So long of our own time nothing may happen while nobody waits for a moment: then all wait for each other."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and moves by jumps only."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.in_executors = 0
        self._others = set(threading.enumerate())
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Args]], _T], *args: *_Args
    ) -> "asyncio.Future[_T]":
        self.in_executors += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._one_less)
        return future

    def _one_less(self, _: object) -> None:
        self.in_executors -= 1

    def works(self) -> bool:
        """Whether a thread is at work: in an executor, whose threads stay, or one of connector.clock.Threads."""
        new = set(threading.enumerate()) - self._others
        return self.in_executors > 0 or any(thread.daemon for thread in new)


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._stuck_at = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        works = self._loop.works()  # asked first: what a thread has left behind by then is seen below
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._stuck_at = 0.0
            return ready
        if timeout is None or works:
            self._stuck_at = self._stuck_at or time.monotonic() + STUCK_S
            if time.monotonic() > self._stuck_at:
                raise RuntimeError("every task waits for another one")
            return super().select(0.01)
        self._loop.seconds += timeout
        return ready


class LoopClock:
    """The time of the loop it is made in, as a connector.ports.Clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def virtually(work: Coroutine[Any, Any, _T]) -> _T:
    """Run it to its end in time that jumps."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
