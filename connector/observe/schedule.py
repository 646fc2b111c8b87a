"""When which tenant is polled next: spread over the interval, changeable while it runs. Pure: the caller has the clock.

A tenant costs one entry here, however long it waits: no task, no timer.
"""

import heapq
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from attrs import define, field

from connector.config.values import PollConfig, TenantConfig

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def concurrency(poll: PollConfig, tenants: int) -> int:
    """How many tenants are polled at once: tenants x 4 s / interval within 8..64, unless stated (DESIGN §10)."""
    if poll.concurrency is not None:
        return poll.concurrency
    return min(64, max(8, math.ceil(tenants * 4 / poll.interval_s)))


def offset_s(key: str, interval_s: float) -> float:
    """A tenant's own place in the interval: the same after every restart, evenly spread over many tenants."""
    return int.from_bytes(sha256(key.encode()).digest()[:8]) / 2**64 * interval_s


def next_slot(key: str, interval_s: float, now: datetime) -> datetime:
    """The tenant's next turn; half an interval or more away, so that a poll just made is not made again."""
    earliest_s = (now - _EPOCH).total_seconds() + interval_s / 2
    offset = offset_s(key, interval_s)
    turns = -((offset - earliest_s) // interval_s)
    return _EPOCH + timedelta(seconds=offset + turns * interval_s)


@define
class Schedule:
    """Every tenant is due at once when it is new, then once an interval at its own place."""

    interval_s: float
    _tenants: dict[str, TenantConfig] = field(factory=dict)
    _due: list[tuple[datetime, int, str]] = field(factory=list)
    _turn: dict[str, int] = field(factory=dict)
    _polling: set[str] = field(factory=set)
    _count: int = 0
    _seen: datetime | None = None

    def replace(self, tenants: Iterable[TenantConfig], now: datetime) -> None:
        """These tenants from now on. Those that stay keep their turn; a poll under way ends as it began."""
        wanted = {tenant.key: tenant for tenant in tenants}
        new = [key for key in wanted if key not in self._tenants]
        self._turn = {key: turn for key, turn in self._turn.items() if key in wanted}
        self._tenants = wanted
        for key in new:
            if key not in self._polling:
                self._book(key, now)

    def take(self, now: datetime) -> TenantConfig | None:
        """A tenant that is due, if any; it is not due again until `done`."""
        self._follow(now)
        self._skip_stale()
        if not self._due or self._due[0][0] > now:
            return None
        _, _, key = heapq.heappop(self._due)
        del self._turn[key]
        self._polling.add(key)
        return self._tenants[key]

    def done(self, key: str, now: datetime, wait_s: float | None = None, again_in_s: float | None = None) -> None:
        """A poll has ended. `wait_s` is the least the far end asked for, `again_in_s` sets the next turn outright."""
        self._polling.discard(key)
        if key not in self._tenants:
            return
        if again_in_s is not None:
            self._book(key, now + timedelta(seconds=again_in_s))
            return
        slot = next_slot(key, self.interval_s, now)
        self._book(key, max(slot, now + timedelta(seconds=wait_s or 0.0)))

    def wait_s(self, now: datetime) -> float | None:
        """Seconds until somebody is due; None when nobody is waiting for a turn."""
        self._follow(now)
        self._skip_stale()
        return max(0.0, (self._due[0][0] - now).total_seconds()) if self._due else None

    def waiting(self) -> Sequence[tuple[datetime, str]]:
        """Who is due when, soonest first."""
        live = (entry for entry in self._due if self._turn.get(entry[2]) == entry[1])
        return sorted((moment, key) for moment, _, key in live)

    def _book(self, key: str, moment: datetime) -> None:
        self._count += 1
        self._turn[key] = self._count
        heapq.heappush(self._due, (moment, self._count, key))

    def _skip_stale(self) -> None:
        while self._due and self._turn.get(self._due[0][2]) != self._due[0][1]:
            heapq.heappop(self._due)

    def _follow(self, now: datetime) -> None:
        """A clock that was set back takes the turns with it, or nobody would be polled until it caught up."""
        back = self._seen - now if self._seen else timedelta()
        if back > timedelta(minutes=1):
            self._due = [(moment - back, count, key) for moment, count, key in self._due]
        self._seen = now
