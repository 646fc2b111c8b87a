"""A clock that runs faster (or slower) than another one, so that simulated days pass while one watches."""

from datetime import datetime

from connector.ports import Clock


class PacedClock:
    """Begins at `start` and lets `speed` seconds pass for each second of the clock it follows."""

    def __init__(self, real: Clock, start: datetime, speed: float) -> None:
        self._real = real
        self._began = real.now()
        self._start = start
        self._speed = speed

    def now(self) -> datetime:
        return self._start + (self._real.now() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds / self._speed)
