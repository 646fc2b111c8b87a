"""Polls that found nothing new: many of them are one transaction, and yet each succeeds, fails or begins anew alone."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attrs import Factory, define

from connector.clock import SimulatedClock
from connector.config.values import ChangesConfig, Config, PollConfig, TenantConfig
from connector.health.counters import Counters
from connector.health.state_watch import StateWatch
from connector.health.upkeep import Seen
from connector.loops import App
from connector.model import EvidenceFile, Known, Snapshot, Unchanged
from connector.observe import memory, places
from connector.observe.places import PATIENCE_S, Places
from connector.observe.poller import Poller, PollOutcome
from connector.observe.severity import SeverityRules
from connector.problems import Fault
from connector.stores.sqlite import SqliteStore, open_store

NOW = datetime(2030, 1, 10, 12, tzinfo=UTC)
HOUR = 3600.0


@define
class Source:
    """Nothing is ever new; a tenant `held` answers when it is let go."""

    tenant: str
    fleet: "Fleet"
    name: str = "graph"

    async def read(self, known: Known) -> Snapshot:
        self.fleet.asked.append(self.tenant)
        if self.tenant in self.fleet.held:
            await self.fleet.held[self.tenant].wait()
        found = Snapshot("graph", Unchanged(), Unchanged(), evidence=(EvidenceFile("secureScores-1.json", b"{}"),))
        self.fleet.read.append(weakref.ref(found))
        return found

    async def close(self) -> None: ...


class Expiring:
    """One tenant's secret ends: that is told."""

    def __init__(self) -> None:
        self.of: set[str] = set()

    async def of_tenant(self, name: str, now: datetime) -> Sequence[Fault]:
        return [Fault("connector.problem", "expiring", "expiry", "Problem")] if name in self.of else []


@define
class Fleet:
    """An application of many tenants over a state file, of which nothing but polls is looked at."""

    app: App
    store: SqliteStore
    clock: SimulatedClock
    expiring: Expiring
    asked: list[str] = Factory(list)
    read: list[Any] = Factory(list)
    held: dict[str, asyncio.Event] = Factory(dict)
    ended: list[str] = Factory(list)
    outcomes: list[PollOutcome] = Factory(list)

    def hold(self, name: str) -> Callable[[], None]:
        self.held[name] = asyncio.Event()
        return self.held[name].set

    async def noted(self) -> set[str]:
        """Whose success is in the state."""
        heads = await self.store.heads([t.key for t in self.app.config.tenants])
        return {t.name for t in self.app.config.tenants if memory.head(heads[t.key]).get("last_success")}

    async def poll_once(self) -> list[PollOutcome]:
        return await self.app.poll_once(on_poll=self.outcomes.append)

    async def until_so_many_wait(self, count: int) -> None:
        await self.until(lambda: self.app.places.waiting == count)
        await asyncio.sleep(0.001)  # and time is taken

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.001)


@asynccontextmanager
async def fleet(folder: Path, tenants: int, concurrency: int = 4, interval_s: float = HOUR) -> AsyncIterator[Fleet]:
    clock = SimulatedClock(NOW)
    names = tuple(f"tenant-{n:02d}" for n in range(tenants))

    async def look(*_: Any, **__: Any) -> Seen:
        return Seen(full=False)

    async with await open_store(folder / "state.db", clock=clock) as store:
        expiring, room = Expiring(), Places(clock)
        rules = SeverityRules(())

        async def open_source(tenant: TenantConfig) -> Any:
            return Source(tenant.name, found)

        poller = Poller(store, clock, open_source, ChangesConfig(), rules, watch=cast("Any", expiring), places=room)
        config = Config(tuple(TenantConfig(n, n) for n in names), (), poll=PollConfig(interval_s=interval_s))
        app = App(
            config=config,
            clock=clock,
            store=cast("Any", store),
            poller=poller,
            deliveries={},
            upkeep=cast("Any", SimpleNamespace(look=look, instance="host1")),
            concurrency=concurrency,
            counters=Counters(names),
            watch=StateWatch(clock),
            places=room,
        )
        found = Fleet(app, store, clock, expiring)
        await app.announce()  # the state is new: told once

        def heard(sql: str) -> None:
            if sql in ("COMMIT", "ROLLBACK", "BEGIN IMMEDIATE"):
                found.ended.append(sql)

        await store._run(lambda connection: connection.set_trace_callback(heard))
        yield found


def written(found: Fleet) -> int:
    """How many transactions wrote."""
    return found.ended.count("BEGIN IMMEDIATE")


async def test_notes_of_many_are_one_transaction(tmp_path: Path) -> None:
    async with fleet(tmp_path, 50) as found:
        outcomes = await found.poll_once()
        assert {o.status for o in outcomes} == {"unchanged"}
        assert len(await found.noted()) == 50
        assert written(found) == 1


async def test_a_transaction_of_notes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "TOGETHER", 10)
    async with fleet(tmp_path, 50) as found:
        await found.poll_once()
        assert len(await found.noted()) == 50
        assert written(found) == 5


async def test_one_alone_is_noted_at_once(tmp_path: Path) -> None:
    async with fleet(tmp_path, 1) as found:
        assert [o.status for o in await found.poll_once()] == ["unchanged"]
        assert await found.noted() == {"tenant-00"}


async def test_who_waits_has_no_outcome_and_is_not_seen(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as found:
        let_go = found.hold("tenant-02")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(2)
        assert (found.outcomes, found.app.counters.tenants) == ([], {})
        assert await found.noted() == set()
        assert written(found) == 0
        let_go()
        assert len(await polls) == 3
        assert len(await found.noted()) == 3


async def test_of_what_was_read_nothing_is_held_while_a_note_waits(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as found:
        let_go = found.hold("tenant-02")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(2)
        assert [ref() for ref in found.read] == [None, None]
        let_go()
        await polls


async def test_a_slow_tenant_keeps_the_others_waiting_for_a_moment_only(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as found:
        let_go = found.hold("tenant-02")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(2)
        await found.clock.advance(PATIENCE_S)
        await found.until(lambda: len(found.outcomes) == 2)
        assert await found.noted() == {"tenant-00", "tenant-01"}
        let_go()
        await polls


async def test_who_waits_leaves_its_place_to_others(tmp_path: Path) -> None:
    async with fleet(tmp_path, 20, concurrency=2) as found:
        let_go = found.hold("tenant-00")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(19)
        let_go()
        assert len(await polls) == 20
        assert written(found) == 1


async def test_news_take_along_who_waits(tmp_path: Path) -> None:
    async with fleet(tmp_path, 4) as found:
        found.hold("tenant-03")
        let_go = found.hold("tenant-02")
        found.expiring.of.add("tenant-02")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(2)
        let_go()
        await found.until(lambda: len(found.outcomes) == 3)
        assert [o.events for o in sorted(found.outcomes, key=lambda o: o.tenant)] == [0, 0, 1]
        assert written(found) == 1
        found.held["tenant-03"].set()
        await polls


async def test_what_was_committed_meanwhile_stands_and_only_that_tenant_is_read_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as found:
        await found.poll_once()
        let_go = found.hold("tenant-02")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(2)
        state = await found.store.load("tenant-00")
        assert state is not None
        await found.store.commit("tenant-00", memory.with_head(state, {**memory.head(state), "approved": True}), [])
        let_go()
        assert {o.status for o in await polls} == {"unchanged"}
        assert sorted(found.asked[3:]) == ["tenant-00", "tenant-00", "tenant-01", "tenant-02"]
        after = await found.store.load("tenant-00")
        assert after is not None
        assert (after.generation, memory.head(after)["approved"]) == (3, True)


async def test_what_the_disk_refuses_is_told_of_each(tmp_path: Path) -> None:
    async with fleet(tmp_path, 8) as found:
        full = "CREATE TRIGGER full BEFORE INSERT ON state BEGIN SELECT raise(ROLLBACK, 'full'); END"
        await found.store._run(lambda connection: connection.execute(full))
        outcomes = await found.poll_once()
        assert {(o.status, o.reason) for o in outcomes} == {("failed", "state_unavailable")}
        assert found.app.watch.trouble("polls") is not None
        assert await found.noted() == set()


@pytest.mark.parametrize(("interval_s", "most"), [(20.0, 0.7), (HOUR, 1.0)])
async def test_a_daemon_waits_for_who_is_due_within_a_moment(tmp_path: Path, interval_s: float, most: float) -> None:
    """Two a second are often one transaction; of forty an hour hardly one waits."""
    async with fleet(tmp_path, 40, interval_s=interval_s) as found:
        stop, end = asyncio.Event(), NOW + timedelta(seconds=interval_s)
        running = asyncio.ensure_future(found.app.run(stop, found.outcomes.append))
        await found.until(lambda: len(found.outcomes) == 40)
        began = written(found)
        assert began <= 2
        schedule = found.app._schedule
        assert schedule is not None
        while found.clock.now() < end:
            next_s = max(0.001, schedule.wait_s(found.clock.now()) or 0.0)  # clocks have microseconds
            await found.clock.advance(min(next_s, PATIENCE_S / 4) if found.app.places.waiting else next_s)
            for _ in range(20):
                await asyncio.sleep(0)
            await found.until(lambda: not found.app.places.at_work)
        polls = len(found.outcomes) - 40
        assert polls > 20
        assert written(found) - began <= most * polls
        assert most < 1 or written(found) - began > polls / 2  # on a busy machine some come together
        stop.set()
        await running


async def test_the_end_of_a_daemon_writes_what_waits(tmp_path: Path) -> None:
    async with fleet(tmp_path, 2) as found:
        stop = asyncio.Event()
        let_go = found.hold("tenant-01")
        running = asyncio.ensure_future(found.app.run(stop, found.outcomes.append))
        await found.until_so_many_wait(1)
        stop.set()
        await found.until(lambda: len(found.outcomes) == 1)
        assert await found.noted() == {"tenant-00"}
        let_go()
        await running
        assert await found.noted() == {"tenant-00", "tenant-01"}


async def test_what_is_cut_while_it_waits_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    async with fleet(tmp_path, 3) as found:
        found.hold("tenant-02")
        polls = asyncio.ensure_future(found.poll_once())
        await found.until_so_many_wait(2)
        polls.cancel()
        await asyncio.gather(polls, return_exceptions=True)
        assert found.outcomes == []
        assert await found.noted() == set()
        found.held.clear()
        assert {o.status for o in await found.poll_once()} == {"unchanged"}
        assert len(await found.noted()) == 3
