"""Clocks: the system's, and one that only moves when told to (a simulated year runs in seconds); and waiting.

Waiting for the first of several, and for work that blocks, no longer than stated. The only module that reads the
system time.
"""

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")


def iso(moment: datetime) -> str:
    """UTC text with whole seconds and a trailing Z, e.g. "2026-11-22T09:12:03Z"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> datetime:
    """The aware UTC moment of an ISO 8601 text; a text without zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is before the first year, or after the last") from error


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Threads:
    """Work that blocks, off the event loop: `places` pieces at once, each waited for no longer than its caller says.

    A disk, a share or a far end that hangs keeps a thread for as long as it likes, and nothing can end that. So each
    kind of work has threads of its own, and none can use up those of another. Who waits in vain is told by
    TimeoutError: when the time is over; and at once where the same piece (`key`) still hangs from an earlier try, or as
    many as there are places. Thus what hangs takes one place, not one more each hour. The threads are daemons: a
    process ends without them.
    """

    def __init__(self, name: str, places: int) -> None:
        self._name = name
        self._places = places
        self._lock = threading.Lock()
        self._busy = 0
        self._todo: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._left: dict[Future[Any], Hashable] = {}

    async def run(self, work: Callable[[], _T], limit_s: float, key: Hashable = None) -> _T:
        """What the work returns or raises, from the event loop."""
        future = self._begin(work, key)
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.done() and not future.cancelled():
                return future.result()  # over at the last moment, or a time-out of its own
            raise TimeoutError(f"not over after {limit_s:g} s") from None
        finally:
            self._leave(future, key)

    def wait(self, work: Callable[[], _T], limit_s: float, key: Hashable = None) -> _T:
        """As `run`, from a thread."""
        future = self._begin(work, key)
        try:
            return future.result(limit_s)
        except TimeoutError:
            if future.done():
                return future.result()
            raise TimeoutError(f"not over after {limit_s:g} s") from None
        finally:
            self._leave(future, key)

    def _begin(self, work: Callable[[], _T], key: Hashable) -> "Future[_T]":
        future: Future[_T] = Future()
        with self._lock:
            if key is not None and key in self._left.values():
                raise TimeoutError("the last try still hangs")
            if len(self._left) >= self._places:
                raise TimeoutError(f"{self._places} earlier ones still hang")
            if self._busy >= self._places:
                self._todo.append((future, work))
                return future
            self._busy += 1
        threading.Thread(target=self._serve, args=(future, work), name=self._name, daemon=True).start()
        return future

    def _serve(self, future: "Future[Any]", work: Callable[[], Any]) -> None:
        """Do this work, and then what waits for a place."""
        while True:
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 - it is its waiter's
                    future.set_exception(error)
                else:
                    future.set_result(result)
            with self._lock:
                if not self._todo:
                    self._busy -= 1
                    return
                future, work = self._todo.popleft()

    def _leave(self, future: "Future[Any]", key: Hashable) -> None:
        """Nobody waits for it any more: what has not begun never does, what hangs is remembered until it is over."""
        if future.done() or future.cancel():
            return
        with self._lock:
            self._left[future] = key
        future.add_done_callback(self._over)

    def _over(self, future: "Future[Any]") -> None:
        with self._lock:
            self._left.pop(future, None)


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedClock:
    """Stands still until `advance` is called; sleepers wake in the order of their moments."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), self._count, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking every sleeper on the way and letting each run before time moves on."""
        target = self._now + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= target:
            moment, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, moment)
            if not woken.done():
                woken.set_result(None)
            for _ in range(5):
                await asyncio.sleep(0)
        self._now = target
        await asyncio.sleep(0)
