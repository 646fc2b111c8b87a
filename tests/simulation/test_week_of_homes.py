"""Weeks of many tenants on the homes that are called: a few hang, a few are denied, a few flap; nobody else may notice.

Time is simulated: whoever waits, waits on one clock, which moves on once nobody has anything left to do. A small fleet
for some hours by default; SECURESCORE_WEEK=168 makes it five hundred tenants for so many hours, and the log says what
was measured.
"""

import asyncio
import logging
import os
import resource
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from attrs import Factory, define, evolve

from connector import app as composer
from connector.app import open_app
from connector.clock import SimulatedClock, first_of, parse_iso
from connector.config.values import AuthConfig, ChangesConfig, Config, RawConfig, SinkConfig, StateConfig, TenantConfig
from connector.errors import Denied, SecureScoreError, Unavailable
from connector.homes.tenant_turn import TenantTurns
from connector.model import Control, Day, Event, Known, Receipt, Record, Snapshot, Unchanged
from connector.observe.poller import Poller
from connector.ports import Clock, Query
from connector.stores.documents import DocumentsStore
from tests.fakes.documents import Memory
from tests.fakes.sink import FakeSink

log = logging.getLogger("tests.week")

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOURS = int(os.environ.get("SECURESCORE_WEEK", "0"))
AT_ONCE = 15
"""host.json: so many messages of the queue one worker has at a time."""
AGAIN_S, TRIES = 300, 5
"""host.json: after so long a failed message comes again, so often."""


@define
class Fleet:
    """Tenants, the first of them in trouble: at their source, at their place in the receiver, or both in turn."""

    clock: SimulatedClock
    healthy: int
    source_hangs: int
    sink_hangs: int
    denied: int
    flapping: int
    over: bool = False
    sent_at: dict[str, datetime] = Factory(dict)
    polled_at: dict[str, list[datetime]] = Factory(dict)

    @property
    def kinds(self) -> list[str]:
        troubled = ["source"] * self.source_hangs + ["sink"] * self.sink_hangs + ["denied"] * self.denied
        return troubled + ["flaps"] * self.flapping + [""] * self.healthy

    def trouble(self, name: str) -> str:
        kind = name.partition("-")[0]
        if self.over or (kind == "flaps" and self.clock.now().hour % 2):
            return ""
        return kind

    @property
    def tenants(self) -> list[TenantConfig]:
        auth = AuthConfig("token", {"file": "/nowhere"})
        return [
            TenantConfig(f"{kind or 'healthy'}-{n}", f"{n:08x}-0000-4000-8000-000000000000", auth=auth)
            for n, kind in enumerate(self.kinds)
        ]


@define
class Source:
    """A day whose score moves every hour."""

    fleet: Fleet
    tenant: TenantConfig
    name: str = "graph"

    async def read(self, _: Known) -> Snapshot:
        clock = self.fleet.clock
        if self.fleet.trouble(self.tenant.name) == "source":
            await clock.sleep(480)
            raise Unavailable("no answer")
        self.fleet.polled_at.setdefault(self.tenant.name, []).append(clock.now())
        date, score = clock.now().date().isoformat(), float(clock.now().hour % 11)
        control = Control("A", "Identity", score, score * 10)
        return Snapshot(
            "graph", (Day(f"{self.tenant.tenant_id}_{date}", date, score, 10.0, {"A": control}),), Unchanged()
        )

    async def close(self) -> None: ...


@define
class Places(FakeSink):
    """A receiver with a place for each tenant."""

    fleet: Any = None

    async def send(self, records: Sequence[Record]) -> Receipt:
        kind = self.fleet.trouble(records[0].tenant)
        if kind == "sink" or (kind == "flaps" and self.fleet.clock.now().minute % 2):
            await self.fleet.clock.sleep(30)
            raise Unavailable("its endpoint did not answer within 30 s")
        if kind in ("denied", "flaps"):
            raise Denied("its rule refuses us")
        self.fleet.sent_at.update((r.event_id, self.fleet.clock.now()) for r in records)
        return await super().send(records)


async def settle(clock: SimulatedClock, until: datetime) -> None:
    """Let time pass until then: from sleeper to sleeper, each time until nobody has anything to do."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    while True:
        for _ in range(3):
            while ready:
                await asyncio.sleep(0)
        nearest = min((at for at, _, woken in clock._sleepers if not woken.done()), default=until)
        if nearest > until or (nearest == until and clock.now() >= until):
            return
        await clock.advance(max(0.0, (min(nearest, until) - clock.now()).total_seconds()))
        if not clock._sleepers and clock.now() >= until:
            return


def configuration(fleet: Fleet) -> Config:
    return Config(
        tenants=tuple(fleet.tenants),
        sinks=(SinkConfig("siem", "webhook", options={"url": "https://127.0.0.1/hook"}),),
        state=StateConfig(directory="/nowhere", keep_days=30),
        raw=RawConfig(keep_days=0),
        changes=ChangesConfig(inventory="off"),
    )


def polling(poller: Poller, fleet: Fleet) -> Poller:
    """The poller, reading the fleet; without looks at certificates, which take a thread and real time."""

    async def source(tenant: TenantConfig) -> Any:
        return Source(fleet, tenant)

    return evolve(poller, open_source=source, watch=None)


@asynccontextmanager
async def opened(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, container: Memory) -> AsyncIterator[TenantTurns]:
    async def store(_: Config, *, clock: Clock, **__: Any) -> DocumentsStore:
        return DocumentsStore(container, clock)

    monkeypatch.setattr(composer, "open_store", store)
    async with open_app(configuration(fleet), clock=fleet.clock, ready={"siem": Places("siem", fleet=fleet)}) as app:
        app.poller, app.upkeep.expiries = polling(app.poller, fleet), None
        places = frozenset(t.tenant_id for t in fleet.tenants)
        app.deliveries = {name: evolve(each, with_own_place=places) for name, each in app.deliveries.items()}
        yield TenantTurns(app)


@define
class Queue:
    """A queue as the platform's: at least once, again after a failure, five times, then given up."""

    turns: TenantTurns
    waiting: deque[tuple[bytes, int]] = Factory(deque)
    working: set[asyncio.Task[None]] = Factory(set)
    longest: int = 0

    def put(self, texts: Sequence[str]) -> None:
        self.waiting.extend((text.encode(), 1) for text in texts)
        self.longest = max(self.longest, len(self.waiting))
        self.begin()

    def begin(self) -> None:
        while self.waiting and len(self.working) < AT_ONCE:
            body, n = self.waiting.popleft()
            task = asyncio.ensure_future(self.one(body, n))
            self.working.add(task)
            task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        self.working.discard(task)
        self.begin()

    async def one(self, body: bytes, n: int) -> None:
        try:
            await self.turns.turn(body)
        except SecureScoreError:
            if n == TRIES:
                await self.turns.given_up(body)
            else:
                asyncio.get_running_loop().create_task(self.later(body, n + 1))

    async def later(self, body: bytes, n: int) -> None:
        await self.turns.clock.sleep(AGAIN_S)
        self.waiting.append((body, n))
        self.begin()


async def lived(fleet: Fleet, turns: TenantTurns, hours: int) -> Queue:
    """`plan` every hour and `tend` every ten minutes, for so long; then the trouble is over, and one more hour."""
    queue = Queue(turns)
    for minute in range(0, (hours + 2) * 60, 10):
        fleet.over = minute >= hours * 60
        if minute % 60 == 0:
            queue.put(await turns.plan())
        queue.put(await turns.tend())
        await settle(fleet.clock, NOW + timedelta(minutes=minute + 10))
    return queue


async def test_a_fleet_on_the_function_app(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimulatedClock(NOW)
    fleet = Fleet(clock, 455, 10, 10, 20, 5) if HOURS else Fleet(clock, 24, 1, 2, 2, 1)
    hours = HOURS or 10
    container = Memory()
    async with opened(fleet, monkeypatch, container) as turns:
        queue = await lived(fleet, turns, hours)
        events = [e for e in await turns.store.history(Query()) if e.tenant_id]
        missing = {e.id for e in events} - fleet.sent_at.keys()
    wait_s, gap_s = worst(fleet, events)
    log.warning(
        "%d events; worst wait of a healthy tenant's event %d s, longest time between two of its polls %d s, longest "
        "queue %d, memory %d MiB",
        len(events), wait_s, gap_s, queue.longest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )  # fmt: skip
    assert missing == set(), "nothing is missing, of the troubled neither"
    assert wait_s <= 600, "at worst the next tend"
    assert gap_s <= 2 * 3600
    assert queue.longest <= 3 * len(fleet.kinds)
    assert not queue.waiting


def worst(fleet: Fleet, events: Sequence[Event]) -> tuple[float, float]:
    """The longest wait of a healthy tenant's event from commit to receiver, and the longest time between two polls."""
    healthy = [e for e in events if str(e.data["tenant"]["name"]).startswith("healthy")]
    assert len({e.tenant_id for e in healthy}) == fleet.healthy
    waits = [(fleet.sent_at[e.id] - parse_iso(str(e.data["observed_at"]))).total_seconds() for e in healthy]
    polls = [at for name, at in fleet.polled_at.items() if name.startswith("healthy")]
    return max(waits), max((b - a).total_seconds() for at in polls for a, b in pairwise(at))


async def test_inputs_of_the_add_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process an input and hour, each with its own state: what hangs ends with its interval, for itself alone."""
    clock = SimulatedClock(NOW)
    fleet = Fleet(clock, 4, 1, 1, 1, 1)
    containers = {t.name: Memory() for t in fleet.tenants}
    events: dict[str, Event] = {}

    async def store(config: Config, *, clock: Clock, **__: Any) -> DocumentsStore:
        return DocumentsStore(containers[config.tenants[0].name], clock)

    async def run(tenant: TenantConfig) -> None:
        config = evolve(configuration(fleet), tenants=(tenant,))
        async with open_app(
            config, clock=clock, ready={"siem": Places("siem", fleet=fleet)}, called=tenant.name
        ) as app:
            app.poller, app.upkeep.expiries = polling(app.poller, fleet), None
            await first_of(app.visit(deadline_s=0.45 * 3600), clock.sleep(0.9 * 3600))
            events.update((e.id, e) for e in await app.store.history(Query()) if e.tenant_id)

    monkeypatch.setattr(composer, "open_store", store)
    hours = 12
    for hour in range(hours + 2):
        fleet.over = hour >= hours
        runs = [asyncio.ensure_future(run(tenant)) for tenant in fleet.tenants]
        await settle(clock, NOW + timedelta(hours=hour + 1))
        await asyncio.gather(*runs)
    wait_s, gap_s = worst(fleet, list(events.values()))
    assert events.keys() - fleet.sent_at.keys() == set(), "nothing is missing, of the troubled neither"
    assert (wait_s, gap_s) == (0, 3600)
