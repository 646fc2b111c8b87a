"""A simulated month of the daemon: outages of both ends, throttling, certificate changes, reloads.

Nothing is lost, nothing grows, every slot beats.
"""

import asyncio
import gc
import json
import ssl
import sys
import tracemalloc
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import define, evolve

from connector.app import open_app
from connector.clock import SimulatedClock, iso
from connector.config.values import Config, HealthConfig, NetworkConfig, PollConfig, SinkConfig
from connector.formats import cloudevents
from connector.loops import App
from connector.observe import memory
from connector.ports import Query
from connector.simulator.faults import Fault
from connector.simulator.server import Simulation
from connector.stores.sqlite import SqliteStore
from tests.simulation.test_many_tenants import partner

DAYS = 30
STEP_S = 8 * 3600.0
TURNS_A_DAY = 3
SIEM_DOWN = range(10, 13)
RENEWED_ON, OTHER_CA_ON, REBUILT_ON = 5, 14, 15
"""The days on which the SIEM's certificate is renewed, comes from another authority, and is trusted after a reload."""
TRACED = (17, 18, 26)
"""The days on which memory is traced from, compared from, and judged: tracing triples the cost of everything."""
GROWTH_BYTES = 80_000
"""What the week between the last two may add. Earlier ones do not count: caches settle."""
TABLE_BYTES = sys.getsizeof({"": 0}) - sys.getsizeof({})


def held(app: App) -> int:
    """What the connector's own lines hold, in bytes. The simulated Graph lives in this process too, and remembers.

    Caches that have a bound of their own, far from reached here, are emptied first: ours, and the names of members
    that the faster JSON library remembers, which others push out. The tables of small dicts are not counted: the
    interpreter hands one on to the next dict, of whomever, under the name of the line that needed it first.
    """
    assert isinstance(app.store, SqliteStore)
    app.store._recent.clear()
    memory._met.clear()
    for cached in _caches():
        assert cached.cache_parameters()["maxsize"] is not None, f"{cached} grows without a bound"
        cached.cache_clear()
    with suppress(ImportError):
        import_module("orjson").loads(json.dumps(dict.fromkeys(map(str, range(50_000)))))
    gc.collect()
    ours = tracemalloc.Filter(True, "*/connector/*")
    sim = tracemalloc.Filter(False, "*/simulator/*")
    shot = tracemalloc.take_snapshot().filter_traces((ours,)).filter_traces((sim,))
    return sum(trace.size for trace in shot.traces if trace.size != TABLE_BYTES)


def _caches() -> list[Any]:
    """The connector's functions that remember what they found, those without a parameter apart: they know one thing."""
    ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "connector"]
    found = {id(value): value for module in ours for value in vars(module).values() if hasattr(value, "cache_clear")}
    return [value for value in found.values() if signature(value).parameters]


@define
class Siem:
    """A SIEM behind a webhook over TLS, whose certificate can be changed; every request is a new connection."""

    folder: Path
    context: ssl.SSLContext
    got: list[dict[str, Any]]
    down: bool = False
    url: str = ""

    def new_certificate(self, ca: trustme.CA) -> None:
        ca.issue_cert("127.0.0.1").configure_cert(self.context)

    def trusted(self, ca: trustme.CA) -> None:
        """What the operator does: this authority's certificate is the one that the sink's ca_file holds."""
        ca.cert_pem.write_to_path(str(self.folder / "ca.pem"))

    async def answer(self, request: web.Request) -> web.Response:
        answer = web.Response(status=503 if self.down else 204)
        answer.force_close()
        if not self.down:
            self.got += json.loads(await request.read())
        return answer

    def sink(self) -> SinkConfig:
        return SinkConfig(
            "siem",
            "webhook",
            options={"url": self.url, "mode": "batch"},
            network=NetworkConfig(ca_file=str(self.folder / "ca.pem"), timeout_s=5.0),
        )


@asynccontextmanager
async def siem(folder: Path, ca: trustme.CA) -> AsyncIterator[Siem]:
    made = Siem(folder, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), [])
    made.new_certificate(ca)
    made.trusted(ca)
    app = web.Application(client_max_size=16 * 1024**2)
    app.router.add_post("/hook", made.answer)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=made.context)
    made.url = str(server.make_url("/hook"))
    try:
        yield made
    finally:
        await server.close()


@asynccontextmanager
async def running(app: App, outcomes: Counter[str]) -> AsyncIterator[None]:
    """The daemon; counts the outcomes of its polls."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(app.run(stop, lambda outcome: outcomes.update([outcome.status])))
    yield
    stop.set()
    for _ in range(100):
        if task.done():
            break
        await asyncio.sleep(0.01)
        assert isinstance(app.clock, SimulatedClock)
        await app.clock.advance(1)
    await asyncio.wait_for(task, 10)


async def quiet(app: App, sim: Simulation) -> None:
    """Let real work happen while the clock stands still: until nothing waits, or all that waits waits for the clock."""
    seen: tuple[int, int] | None = None
    idle = 0
    while idle < 6:
        await asyncio.sleep(0.003)
        backlog = sum(s.backlog for s in (await app.store.stats()).sinks)
        polling = any(t.get_name().startswith("observe:") for t in asyncio.all_tasks())
        if not polling and not backlog:
            return
        now = (len(sim.requests), backlog)
        idle, seen = (idle + 1 if now == seen else 0), now


async def pass_time(app: App, sim: Simulation, seconds: float) -> None:
    """In small steps at first: back-offs and turns that come due one after the other all run."""
    assert isinstance(app.clock, SimulatedClock)
    for step_s in (1.0, 20.0, 60.0, seconds - 81.0):
        await app.clock.advance(step_s)
        await quiet(app, sim)


async def test_a_month_loses_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    old_ca, new_ca = trustme.CA(), trustme.CA()
    outcomes: Counter[str] = Counter()
    async with partner(tmp_path, 3) as (sim, made), siem(tmp_path, old_ca) as receiver:
        config: Config = evolve(
            made,
            poll=PollConfig(interval_s=STEP_S, backfill_days=2),
            health=HealthConfig(heartbeat_s=STEP_S),
            sinks=(*made.sinks, receiver.sink()),
        )
        clock = sim.clock
        assert isinstance(clock, SimulatedClock)
        tasks = used = grown = 0
        earlier: list[weakref.ref[App]] = []
        for days in (range(REBUILT_ON), range(REBUILT_ON, DAYS)):
            async with open_app(config, clock=clock) as app, running(app, outcomes):
                for day in days:
                    sim.faults.clear()
                    if day % 7 == 2:
                        sim.faults.add(Fault("unavailable"))
                    if day % 7 == 4:
                        sim.faults.add(Fault("throttled", tenant=config.tenants[1].tenant_id))
                    # One tenant leaves every fifth day and comes back the day after.
                    app.replace_tenants(config.tenants[: 2 if day % 5 == 3 else 3])
                    receiver.down = day in SIEM_DOWN
                    if day == RENEWED_ON:
                        receiver.new_certificate(old_ca)  # another key, the same authority: nobody need know
                    if day == OTHER_CA_ON:
                        receiver.new_certificate(new_ca)  # another authority: refused until the operator agrees
                    for hour in range(TURNS_A_DAY):
                        await pass_time(app, sim, STEP_S)
                        if (day, hour) == (TRACED[0], 0):
                            tracemalloc.start()
                        elif (day, hour) == (TRACED[1], 0):
                            tasks, used = len(asyncio.all_tasks()), held(app)
                        elif (day, hour) == (TRACED[2], 0):
                            grown = held(app) - used
                            tracemalloc.stop()
                    states = {name: d.health().state for name, d in app.deliveries.items()}
                    trouble = "unavailable" if day in SIEM_DOWN else "denied" if day == OTHER_CA_ON else "ok"
                    assert states == {"out": "ok", "siem": trouble}, day
                assert len(asyncio.all_tasks()) <= tasks + 6 or not tasks  # a poll or a turn more may be under way
                earlier.append(weakref.ref(app))
                if day == REBUILT_ON - 1:
                    receiver.trusted(new_ca)  # and the configuration is loaded again: everything is built anew
                    continue
                sim.faults.clear()
                await pass_time(app, sim, STEP_S)
                committed = await app.store.history(Query())
        assert grown < GROWTH_BYTES, grown
        del app
        gc.collect()
        assert [ref() for ref in earlier] == [None, None], "what was built before a reload is gone"
        assert outcomes["failed"] >= 10
        assert outcomes["ok"] + outcomes["unchanged"] >= 100
        written = [cloudevents.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert {e.id for e in written} == {e.id for e in committed}
        ids = [e["id"] for e in receiver.got]
        assert len(ids) == len(set(ids))
        assert set(ids) == {e.id for e in committed}
        told = {(e.type, e.data["reason"]) for e in committed if e.data.get("sink") == "siem"}
        kinds, reasons = ("connector.problem", "connector.recovered"), ("unavailable", "denied")
        assert told == {(kind, reason) for kind in kinds for reason in reasons}
        beats = [e for e in written if e.type == "connector.heartbeat"]
        assert len(beats) >= DAYS * TURNS_A_DAY - 3
        assert len({e.id for e in beats}) == len(beats)
        # The heartbeats account for every delivery but those after the last one.
        counted = sum(e.data["delivered"]["out"] for e in beats)
        after = len(written) - 1 - written.index(beats[-1])
        assert counted + after + 1 == len(written)


@define
class Jumping:
    """The wall clock of a machine: set, or ahead after a suspend, while what sleeps only counts its own seconds."""

    beneath: SimulatedClock
    off_by: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.beneath.now() + self.off_by

    async def sleep(self, seconds: float) -> None:
        await self.beneath.sleep(seconds)


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(hours=-1), timedelta(days=3), timedelta(days=400)])
async def test_a_clock_that_jumps_stops_neither_polls_nor_heartbeats_nor_deliveries(
    tmp_path: Path, jump: timedelta
) -> None:
    async with partner(tmp_path, 2) as (sim, made):
        config = evolve(
            made, poll=PollConfig(interval_s=3600.0, backfill_days=2), health=HealthConfig(heartbeat_s=3600.0)
        )
        base = sim.clock
        assert isinstance(base, SimulatedClock)
        clock, stop, polled = Jumping(base), asyncio.Event(), Counter[str]()
        async with open_app(config, clock=clock) as app:
            task = asyncio.ensure_future(app.run(stop, lambda outcome: polled.update([outcome.status])))

            async def hours(count: int) -> int:
                """How many polls there were in so many hours of the machine's own time."""
                before = polled.total()
                for step_s in (1.0, 20.0, 39.0, *(60.0 for _ in range(60 * count - 1))):
                    await base.advance(step_s)
                    await quiet(app, sim)
                return polled.total() - before

            assert await hours(2) >= 4
            clock.off_by = jump
            # Two tenants, three hours; who is due at once after the jump is polled once more, and nobody in a loop.
            assert 6 <= await hours(3) <= 8
            since = iso(clock.now() - timedelta(hours=3))
            assert len(await app.store.history(Query(types=("connector.heartbeat",), since=since))) >= 3
            assert app.stalled() == []
            async with asyncio.timeout(20):
                while any(s.backlog for s in (await app.store.stats()).sinks):
                    await asyncio.sleep(0.01)  # what the last minute told is on its way
            stop.set()
            for _ in range(100):
                await base.advance(1)
                if task.done():
                    break
            await asyncio.wait_for(task, 10)
