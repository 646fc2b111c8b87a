"""What this process has seen: counters of polls, sends and answers. They live and end with the process.

Nothing here polls, sends or decides about events; what must outlive the process is in the store.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import Factory, define, field, frozen

from connector.health.scores import Score
from connector.model import Receipt, Record
from connector.net.http import Response
from connector.ports import Sink

LATENCY_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0)


@frozen
class TenantSeen:
    """What the latest poll of a tenant came to: `status` as in PollOutcome, `reason` "" when all is well.

    `stale`: its feed stands still, as was told (`feed.stale`).
    """

    status: str
    reason: str
    newest_day: str | None
    succeeded_at: datetime | None
    stale: bool = False


@define
class Latency:
    """How long sends took: counts by bucket (LATENCY_BUCKETS_S, then all longer ones), and their sum in seconds."""

    buckets: list[int] = Factory(lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        place = next((n for n, bound in enumerate(LATENCY_BUCKETS_S) if seconds <= bound), len(LATENCY_BUCKETS_S))
        self.buckets[place] += 1
        self.sum_s += seconds


@define
class Counters:
    """What this process has seen. One small entry a tenant; everything else is bounded by the configuration."""

    names: tuple[str, ...] = ()
    tenants: dict[str, TenantSeen] = Factory(dict)
    polls: dict[tuple[str, str], int] = Factory(dict)
    committed: int = 0
    sends: dict[tuple[str, str], int] = Factory(dict)
    latency: dict[str, Latency] = Factory(dict)
    answers: dict[int, int] = Factory(dict)
    reloads: dict[str, int] = Factory(dict)
    scores: dict[str, Score] = Factory(dict)
    refused: str | None = None
    """Why the latest new configuration was refused, while the old one keeps running."""
    port_fault: Callable[[], str] = lambda: ""
    """Why nobody can ask at the health port, "" when they can."""

    def polled(
        self,
        tenant: str,
        status: str,
        reason: str,
        newest_day: str | None,
        events: int,
        now: datetime,
        *,
        stale: bool = False,
    ) -> None:
        """A poll has ended."""
        was = self.tenants.get(tenant)
        well = status in ("ok", "unchanged")
        succeeded_at = now if well else was.succeeded_at if was else None
        newest = newest_day or (was.newest_day if was else None)
        if tenant in self.names:
            self.tenants[tenant] = TenantSeen(status, "" if well else reason, newest, succeeded_at, stale)
        self.polls[status, reason] = self.polls.get((status, reason), 0) + 1
        self.committed += events

    def replace(self, names: Mapping[str, str]) -> None:
        """These tenants from now on, each with what it was called before: what was seen of it goes along. Those that
        are gone leave no figures behind.
        """
        self.names = tuple(names)
        self.tenants = {name: self.tenants[was] for name, was in names.items() if was in self.tenants}
        self.scores = {name: self.scores[was] for name, was in names.items() if was in self.scores}

    def states(self) -> dict[str, int]:
        """How many tenants are ok, stale (readable, but the feed stands still), failing, pending (not polled yet)."""
        counts = {"ok": 0, "stale": 0, "failing": 0, "pending": len(self.names) - len(self.tenants)}
        for seen in self.tenants.values():
            if seen.status == "failed":
                counts["failing"] += 1
            elif seen.stale:
                counts["stale"] += 1
            else:
                counts["ok"] += 1
        return counts


@define
class Measured:
    """A sink with a stopwatch in front of it: the same behaviour, counted."""

    inner: Sink
    counters: Counters
    seconds: Callable[[], float]
    name: str = field(init=False)
    max_records: int = field(init=False)
    max_bytes: int = field(init=False)
    replay_window_s: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.inner.name
        self.max_records, self.max_bytes = self.inner.max_records, self.inner.max_bytes
        self.replay_window_s = self.inner.replay_window_s

    async def send(self, records: Sequence[Record]) -> Receipt:
        began = self.seconds()
        outcome = "failed"
        try:
            receipt = await self.inner.send(records)
        except Exception as error:
            outcome = type(error).__name__.lower()
            raise
        else:
            outcome = "taken" if len(receipt.accepted) == len(records) else "partly"
            return receipt
        finally:
            self.counters.sends[self.name, outcome] = self.counters.sends.get((self.name, outcome), 0) + 1
            self.counters.latency.setdefault(self.name, Latency()).add(self.seconds() - began)

    async def probe(self) -> None:
        await self.inner.probe()

    async def close(self) -> None:
        await self.inner.close()


@frozen
class Counted:
    """A transport that counts the answers by status: where 429 shows."""

    inner: Any
    counters: Counters

    async def request(self, method: str, url: str, **more: Any) -> Response:
        response: Response = await self.inner.request(method, url, **more)
        self.counters.answers[response.status] = self.counters.answers.get(response.status, 0) + 1
        return response
