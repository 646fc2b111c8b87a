"""What one tenant or principal may be asked in a time, and at once; kept on our side of the wire.

No HTTP and no retries here: `Budgeted` stands in front of a transport and lets requests through when their turn comes.
What Graph counts, and that it counts refused requests too: Microsoft Graph "Throttling limits", security. What Resource
Graph counts, and that each answer says what is left: "Guidance for throttled requests in Azure Resource Graph".
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from attrs import define, field, frozen

from connector.errors import Unavailable
from connector.net.http import MAX_BODY_BYTES, Response, Transport
from connector.ports import Clock

MAX_WAIT_S = 45.0
"""A request whose turn is further away is refused at once: the place of a poll is worth more than its patience."""


CLOCK_TICK_S = 0.001
"""Shorter waits are rounding: moments have microseconds."""


@frozen
class Limits:
    """Graph's limits per application and tenant. They are "subject to change", so they are settings."""

    per_minute: int = 150
    per_ten_minutes: int = 10_000
    concurrent: int = 4

    @property
    def windows(self) -> tuple[tuple[int, float], ...]:
        """How many requests in how many seconds."""
        return (self.per_minute, 60.0), (self.per_ten_minutes, 600.0)


@frozen
class QueryLimits:
    """Resource Graph's limit per principal, which all its entries share; every page is a query."""

    queries: int = 15
    window_s: float = 5.0
    concurrent: int = 2

    @property
    def windows(self) -> tuple[tuple[int, float], ...]:
        return ((self.queries, self.window_s),)


@frozen
class Rate:
    """One limit as a steady flow with a burst, so that *any* window of its length stays within the limit.

    Half of the limit may come at once, the rest spread over the window. As many requests as may run at the same time
    are held back: they can arrive later than they were sent, in the window of others.
    """

    burst: int
    interval_s: float

    @classmethod
    def of(cls, limit: int, window_s: float, concurrent: int) -> "Rate":
        usable = max(2, limit - concurrent)
        burst = max(1, usable // 2)
        return cls(burst, window_s / max(1, usable - burst))


@define
class Budget:
    """The account of one tenant or principal: for each rate when it will be full again, who is on the way, and until
    when the far end wants nothing more.

    The arithmetic is that of a leaky bucket (GCRA, ITU-T I.371): one moment a rate instead of a list of requests.
    """

    rates: tuple[Rate, ...]
    concurrent: int
    _full_at: list[datetime] = field(factory=list)
    _under_way: int = 0
    _leaving: asyncio.Event | None = None
    _held: tuple[datetime, datetime] | None = None

    def wait_s(self, now: datetime) -> float:
        """Seconds until the next request may be sent, as far as rates and the far end's wish are concerned."""
        full_at = self._bounded(now)
        ahead_s = (
            (full - now).total_seconds() - (rate.burst - 1) * rate.interval_s
            for rate, full in zip(self.rates, full_at, strict=True)
        )
        wait_s = max(*ahead_s, self._held_s(now))
        return wait_s if wait_s > CLOCK_TICK_S else 0.0

    def take(self, now: datetime) -> float:
        """Book the next request; seconds to wait before it is sent."""
        wait_s = self.wait_s(now)
        turn = now + timedelta(seconds=wait_s)
        self._full_at = [
            max(turn, full) + timedelta(seconds=rate.interval_s)
            for rate, full in zip(self.rates, self._bounded(now), strict=True)
        ]
        return wait_s

    def hold(self, now: datetime, seconds: float) -> None:
        """Let nothing through for so long: the far end says that its own account is empty."""
        self._held = (now, now + timedelta(seconds=seconds))

    def _held_s(self, now: datetime) -> float:
        """How much of that is left; nothing, where the clock was put back since."""
        since, until = self._held or (now, now)
        return (until - now).total_seconds() if since <= now < until else 0.0

    def _bounded(self, now: datetime) -> list[datetime]:
        """When each rate is full again; no further away than requests could have booked it, whatever the clock did."""
        most = (now + timedelta(seconds=(r.burst + self.concurrent) * r.interval_s) for r in self.rates)
        return [min(full, limit) for full, limit in zip(self._full_at or [now] * len(self.rates), most, strict=True)]

    def rested(self, now: datetime) -> bool:
        """Whether nothing is booked or under way: a new account would say the same."""
        free = not self._under_way and not self._held_s(now)
        return free and all(full_at <= now for full_at in self._full_at)

    @asynccontextmanager
    async def turn(self, clock: Clock, max_wait_s: float) -> AsyncIterator[None]:
        """One request's place. Raises Unavailable when its turn is further away than `max_wait_s`."""
        while self._under_way >= self.concurrent:
            self._leaving = self._leaving or asyncio.Event()
            await self._leaving.wait()
        self._under_way += 1
        try:
            now = clock.now()
            wait_s = self.wait_s(now)
            if wait_s > max_wait_s:
                raise Unavailable(
                    f"our own limit of requests is used up for {wait_s:.0f} s",
                    wait_s,
                    "It frees itself; fewer runs of `once`, or a longer poll.interval, keep clear of it.",
                )
            self.take(now)
            if wait_s > 0:
                await clock.sleep(wait_s)
            yield
        finally:
            self._under_way -= 1
            if self._leaving is not None:
                self._leaving.set()
                self._leaving = None


@define
class Budgets:
    """The accounts of all that were asked lately, by tenant or principal; one at rest is dropped, as it holds nothing.

    `left` reads out of an answer for how long the far end wants no more requests.
    """

    clock: Clock
    limits: Limits | QueryLimits = field(factory=Limits)
    max_wait_s: float = MAX_WAIT_S
    left: Callable[[Response], float | None] = lambda _: None
    _of: dict[str, Budget] = field(factory=dict)
    _swept_at: int = 256

    def of(self, whose: str) -> Budget:
        """The account of a tenant or principal."""
        budget = self._of.get(whose)
        if budget is None:
            if len(self._of) >= self._swept_at:
                self._sweep()
            limits = self.limits
            rates = tuple(Rate.of(limit, window_s, limits.concurrent) for limit, window_s in limits.windows)
            budget = self._of[whose] = Budget(rates, limits.concurrent)
        return budget

    def __len__(self) -> int:
        return len(self._of)

    def in_front_of(self, transport: Transport, whose: str) -> Transport:
        """The transport, for requests that are this tenant's or principal's."""
        return Budgeted(transport, lambda: self.of(whose), self.clock, self.max_wait_s, self.left)

    def _sweep(self) -> None:
        now = self.clock.now()
        self._of = {whose: budget for whose, budget in self._of.items() if not budget.rested(now)}
        self._swept_at = max(256, 2 * len(self._of))


@frozen
class Budgeted:
    """A transport that waits for its turn. Every attempt counts, as it does at the far end."""

    transport: Transport
    budget: Callable[[], Budget]
    clock: Clock
    max_wait_s: float = MAX_WAIT_S
    left: Callable[[Response], float | None] = lambda _: None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        """As the transport's; raises Unavailable, with the time to wait, when the budget is used up for long."""
        budget = self.budget()
        async with budget.turn(self.clock, self.max_wait_s):
            response = await self.transport.request(
                method, url, headers=headers, body=body, timeout_s=timeout_s, max_bytes=max_bytes
            )
            if (hold_s := self.left(response)) is not None:
                budget.hold(self.clock.now(), hold_s)
            return response
