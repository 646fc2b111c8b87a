"""A clock that runs faster (or slower) than another one, so that simulated days pass while one watches."""

from datetime import datetime

from connector.ports import Clock


class PacedClock:
    """Begins at `start` and lets `speed` seconds pass for each second of the clock it follows.

    One that begins in the past goes at the other's pace once it has caught up: whoever reads lives in real time, and
    believes no days of the future.
    """

    def __init__(self, real: Clock, start: datetime, speed: float) -> None:
        self._real = real
        self._began = real.now()
        self._start = start
        self._speed = speed

    def now(self) -> datetime:
        real = self._real.now()
        paced = self._start + (real - self._began) * self._speed
        return paced if self._start > self._began else min(paced, real)

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds / self._speed)
