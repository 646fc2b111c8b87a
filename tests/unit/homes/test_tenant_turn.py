"""A tenant's turn: who is polled, what fails a message and what never does, what is told of all tenants together."""

import asyncio
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import (
    ChangesConfig,
    Config,
    GraphConfig,
    PollConfig,
    RawConfig,
    SinkConfig,
    StateConfig,
    TenantConfig,
)
from connector.deliver.batch import Filter
from connector.errors import ConfigError, Denied, StoreError, Unavailable
from connector.health.upkeep import CONNECTOR
from connector.homes.circuit import HELD_AFTER, HOLD_S
from connector.homes.tenant_turn import BUSY, HELD, SETTLE_LAG_S, Asked, TenantTurns, message, read, refuse_kinds
from connector.model import Receipt, Record, accept_all
from connector.observe import memory
from connector.ports import Query, Settlement, State
from connector.simulator.faults import Fault, Faults
from connector.simulator.server import Simulation, serve
from connector.simulator.world import World
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.simulated import tenants_of
from tests.fakes.sink import FakeSink, delivery

NOW = datetime(2026, 9, 8, 8, 3, tzinfo=UTC)
HOUR = 3600.0
README = Path(__file__).parents[3] / "packaging" / "azure" / "README.md"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: nothing here is about a disk."""
    with quick_folder() as folder:
        yield folder


@asynccontextmanager
async def home(folder: Path, tenants: int = 1, **graph: Any) -> AsyncIterator[tuple[TenantTurns, FakeSink, Simulation]]:
    """Turns over a simulated Graph and one sink in memory; time stands still, so nothing is retried within a turn."""
    world = World(7, tenants, date(2026, 6, 1), sizes=("small",))
    async with serve(world, SimulatedClock(NOW), faults=Faults()) as sim:
        entries = [evolve(t, graph=graph.get(t.name, t.graph)) for t in tenants_of(world, sim.base_url, folder)]
        config = Config(
            tenants=tuple(entries),
            sinks=(SinkConfig("siem", "webhook", options={"url": "https://127.0.0.1/hook"}),),
            state=StateConfig(directory=str(folder / "state")),
            raw=RawConfig(keep_days=0),
            poll=PollConfig(backfill_days=2),
            changes=ChangesConfig(inventory="off"),
        )
        async with open_app(config, clock=sim.clock) as app:
            sink = FakeSink()
            app.deliveries = {"siem": delivery(app.store, sink, sim.clock)}
            yield TenantTurns(app, deliver_s=0), sink, sim


async def events(turns: TenantTurns, kind: str = "") -> list[dict[str, Any]]:
    return [dict(e.data) for e in await turns.app.store.history(Query()) if not kind or e.type == kind]


async def one_round(turns: TenantTurns) -> None:
    for text in await turns.plan():
        await turns.turn(text.encode())


async def one_round_without_delivery(turns: TenantTurns) -> None:
    deliveries, turns.app.deliveries = turns.app.deliveries, {}
    await one_round(turns)
    turns.app.deliveries = deliveries


@define
class Hanging(FakeSink):
    """Takes so long, then does not answer; of whom it was asked is in `tried`."""

    hang_s: float = 0.0
    behave: Any = field(factory=lambda: refuse(Unavailable("no answer")))
    tried: set[str | None] = field(factory=set)

    async def send(self, records: Sequence[Record]) -> Receipt:
        self.tried |= {r.tenant for r in records}
        await asyncio.sleep(self.hang_s)
        return await FakeSink.send(self, records)


def refuse(error: Exception) -> Any:
    def behave(_: Sequence[Record]) -> Receipt:
        raise error

    return behave


@define
class Counting:
    """Documents that count what is asked of them, as a storage account charges it."""

    inner: Any
    asked: Counter[str] = field(factory=Counter)

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self.inner, name)


async def test_a_turn_without_news_costs_what_the_readme_of_azure_says(tmp_path: Path) -> None:
    async with home(tmp_path, 3) as (turns, _, _):
        for _ in range(2):
            await one_round(turns)
        logs = turns.store._logs  # type: ignore[attr-defined] # the place below the store
        counting = logs._documents = logs.listing.documents = Counting(logs._documents)
        texts = await turns.plan()
        assert counting.asked == {"list": 1}
        counting.asked.clear()
        for text in texts:
            await turns.turn(text.encode())
    told = re.search(r"(\d+) lists, (\d+) write and (\d+) reads a turn without news", README.read_text())
    assert told
    assert counting.asked["list"] == 3 * int(told[1]) == 3 * 2
    assert counting.asked["create"] == 3 * int(told[2]) == 3
    assert counting.asked["get"] == 3 * int(told[3])


async def test_a_look_after_all_reads_nobody_of_whom_nothing_moved(tmp_path: Path) -> None:
    """Each in a new process, as an instance of a function app is: what it asks does not grow with the tenants."""
    asked = {}
    for tenants in (2, 6):
        folder = tmp_path / str(tenants)
        folder.mkdir()
        for what in ("", "", "at rest", "a round", "moved"):
            async with home(folder, tenants) as (turns, _, _):
                logs = turns.store._logs  # type: ignore[attr-defined] # the place below the store
                counting = logs._documents = logs.listing.documents = Counting(logs._documents)
                if what == "a round":
                    await one_round(turns)
                    continue
                if not what:
                    await one_round(turns)
                await turns.tend()
                asked[what, tenants] = counting.asked
    assert asked["at rest", 2] == asked["at rest", 6]
    assert asked["at rest", 6]["list"] == 1
    assert asked["at rest", 6]["create"] == 0
    assert asked["at rest", 6]["get"] <= 6
    assert asked["moved", 6]["list"] == 1
    assert asked["moved", 6]["get"] <= 6 + 2 * 6


# ----------------------------------------------------------------------------------------------------------- messages


async def test_every_tenant_gets_a_message_that_its_turn_understands(tmp_path: Path) -> None:
    async with home(tmp_path, 3) as (turns, sink, _):
        texts = await turns.plan()
        assert [read(t.encode()) for t in texts] == [Asked(t.tenant_id, True, NOW) for t in turns.app.config.tenants]
        for text in texts:
            outcome = await turns.turn(text.encode())
            assert outcome is not None
            assert outcome.status == "ok"
        told = [e.id for e in await turns.app.store.history(Query()) if e.tenant_id]
        assert sorted(sink.got) == sorted(told)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"tenant": 1}', b'{"tenant": "a", "poll": "no"}'])
async def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no message of ours"):
        read(body)


async def test_a_tenant_that_is_gone_is_no_fault(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, _, sim):
        gone = TenantConfig("gone", "99999999-9999-4999-8999-999999999999")
        assert await turns.turn(message(gone, NOW).encode()) is None
        assert not turns.knows(gone.tenant_id)
        assert len(sim.requests) == 0


async def test_nobody_is_polled_while_the_outbox_is_full(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, _, _):
        full = {"connector.problem:outbox": {"reason": "outbox_full", "type": "connector.problem", "subject": "outbox"}}
        assert len(await turns.plan()) == 1
        state = await turns.store.load(CONNECTOR)
        assert state is not None
        await turns.store.commit(CONNECTOR, memory.with_head(state, {**memory.head(state), "problems": full}), [])
        assert await turns.plan() == []


# ------------------------------------------------------------------------------------------------- what fails a message


@pytest.mark.parametrize("error", [Unavailable("down"), Denied("no role"), StoreError("odd"), RuntimeError("bug")])
async def test_a_fault_of_a_sink_never_fails_a_message(tmp_path: Path, error: Exception) -> None:
    async with home(tmp_path) as (turns, sink, _):
        sink.behave = refuse(error)
        await one_round(turns)
        assert sink.got == []
        sink.behave = accept_all
        await one_round(turns)
        assert sorted(sink.got) == sorted(e.id for e in await turns.app.store.history(Query()) if e.tenant_id)


async def test_a_turn_that_hangs_ends_before_the_platform_ends_it_with_its_neighbours(tmp_path: Path) -> None:
    """Its poll is committed: it does not come again for a sink, and the others have their turns meanwhile."""
    async with home(tmp_path, 2) as (turns, _, sim):
        turns.turn_limit_s = 4.0
        hung, well = (t.tenant_id for t in turns.app.config.tenants)

        class Hanging(FakeSink):
            async def send(self, records: Sequence[Record]) -> Receipt:
                if any(hung in str(record) for record in records):
                    await asyncio.Event().wait()
                return await super().send(records)

        turns.app.deliveries = {"siem": delivery(turns.store, Hanging(), sim.clock)}
        bodies = [text.encode() for text in await turns.plan()]
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(*(turns.turn(body) for body in bodies))
        assert [o.status for o in outcomes if o] == ["ok", "ok"], "no message comes again"
        waiting = (await turns.store.survey("", "")).behind
        assert hung in waiting
        assert well not in waiting


async def test_a_turn_that_was_never_begun_comes_again(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, _, _):
        turns.turn_limit_s = 0.1
        (text,) = await turns.plan()
        lock = turns._locks.setdefault(turns.app.config.tenants[0].tenant_id, asyncio.Lock())
        async with lock:
            with pytest.raises(Unavailable, match="longer than"):
                await turns.turn(text.encode())


async def test_what_an_operator_must_mend_is_told_and_fails_no_message(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, sink, sim):
        sim.faults.add(Fault("denied"))
        await one_round(turns)
        (problem,) = [e for e in await events(turns, "connector.problem") if e["tenant"]]
        assert problem["reason"] == "denied"
        assert len(sink.got) == 1, "and it is delivered in the same turn"


async def test_what_time_may_mend_fails_the_message_after_delivering(tmp_path: Path) -> None:
    nowhere = GraphConfig(base_url="http://127.0.0.1:9")
    async with home(tmp_path, contoso=nowhere) as (turns, _, _):
        turns.poll_limit_s = 0.2  # the source waits between its own tries, and time stands still
        (text,) = await turns.plan()
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"tenant contoso: the poll took longer than 0\.2 s"):
                await turns.turn(text.encode())


async def test_a_state_that_cannot_be_read_fails_the_message_and_is_told_of_the_connector(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, _, _):
        (tenant,) = turns.app.config.tenants
        await turns.store.commit(tenant.tenant_id, State(parts={"head": b'{"format": 99}'}), [])
        (text,) = await turns.plan()
        with pytest.raises(StoreError, match="format 99"):
            await turns.turn(text.encode())
        await turns.given_up(text.encode())
        (told,) = [e for e in await events(turns, "connector.problem") if e["reason"] == "given_up"]
        assert told["tenant"] is None
        assert "format 99" in told["detail"]
        await turns.tend()
        assert [e["reason"] for e in await events(turns, "connector.recovered")] == ["given_up"]


async def test_a_message_given_up_is_a_problem_until_a_poll_works(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, sink, sim):
        await one_round(turns)
        (tenant,) = turns.app.config.tenants
        for _ in range(2):
            await turns.given_up(message(tenant, NOW).encode())
        (told,) = [e for e in await events(turns, "connector.problem") if e["tenant"]]
        assert (told["reason"], told["tenant"]["name"]) == ("given_up", tenant.name)
        sim.faults.add(Fault("denied"))
        await one_round(turns)
        assert await events(turns, "connector.recovered") == [], "a poll that read nothing proves nothing"
        sim.faults.clear()
        await one_round(turns)
        recovered = {e["reason"] for e in await events(turns, "connector.recovered")}
        assert recovered == {"given_up", "denied"}
        assert sink.got == [e.id for e in await turns.app.store.history(Query()) if e.tenant_id]


async def test_a_message_given_up_adds_nothing_to_a_fault_that_is_told_already(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, _, sim):
        sim.faults.add(Fault("denied"))
        await one_round(turns)
        await turns.given_up(message(turns.app.config.tenants[0], NOW).encode())
        assert [e["reason"] for e in await events(turns, "connector.problem") if e["tenant"]] == ["denied"]


async def test_two_turns_of_one_tenant_in_one_process_wait_for_each_other(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, sink, _):
        (text,) = await turns.plan()
        outcomes = await asyncio.gather(*(turns.turn(text.encode()) for _ in range(3)))
        assert {o.status for o in outcomes if o} <= {"ok", "unchanged"}
        assert len(sink.got) == len(set(sink.got))


# --------------------------------------------------------------------------------------------------- looking after all


async def test_the_heartbeat_counts_what_all_workers_delivered(tmp_path: Path) -> None:
    async with home(tmp_path, 2) as (turns, sink, sim):
        assert isinstance(sim.clock, SimulatedClock)
        await one_round(turns)
        mine = len(sink.got)
        await sim.clock.advance(HOUR)
        await turns.given_up(
            message(turns.app.config.tenants[0], NOW).encode()
        )  # delivered now: for the next heartbeat
        assert len(sink.got) > mine
        await sim.clock.advance(SETTLE_LAG_S)
        await turns.tend()
        await turns.tend()
        (beat,) = await events(turns, "connector.heartbeat")
        assert beat["delivered"] == {"siem": mine}
        assert (beat["since"], beat["until"]) == ("2026-09-08T08:00:00Z", "2026-09-08T09:00:00Z")
        assert beat["tenants"] == {"ok": 2, "stale": 0, "failing": 0}
        own = len(sink.got) - mine
        assert own >= 1
        await sim.clock.advance(HOUR)
        await turns.tend()
        second = (await events(turns, "connector.heartbeat"))[1]
        assert second["delivered"] == {"siem": own}
        assert second["since"] == beat["until"]


async def test_what_a_worker_writes_late_is_in_its_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settled is stamped before it is written: a heartbeat that is told in between would count it never."""
    async with home(tmp_path) as (turns, _, sim):
        assert isinstance(sim.clock, SimulatedClock)
        late: list[Settlement] = []

        async def slow(_: str, done: Settlement) -> None:
            late.append(done)

        await sim.clock.advance(57 * 60 - 1)  # a second before nine
        write = turns.store.settle
        with monkeypatch.context() as patched:
            patched.setattr(turns.store, "settle", slow)
            await one_round(turns)
        assert late[0].at == "2026-09-08T08:59:59Z"
        await sim.clock.advance(2)
        await turns.tend()
        await write("siem", late[0])
        await sim.clock.advance(SETTLE_LAG_S)
        await turns.tend()
        beat = (await events(turns, "connector.heartbeat"))[-1]
        assert beat["until"] == "2026-09-08T09:00:00Z"
        assert beat["delivered"] == {"siem": len(late[0].accepted)}


async def test_messages_that_come_faster_than_they_are_done_do_not_pile_up(tmp_path: Path) -> None:
    """Four turns of half an hour would be needed in an hour, two are done: the queue holds a round or two, for ever."""
    async with home(tmp_path, 4) as (turns, _, sim):
        assert isinstance(sim.clock, SimulatedClock)
        queue, lengths, waits = deque[str](), list[int](), dict[str, datetime]()
        worst = timedelta()
        for hour in range(24):
            end = NOW + timedelta(hours=hour + 1)
            queue += await turns.plan()
            queue += await turns.tend()
            while queue and sim.clock.now() < end:
                body = queue.popleft().encode()
                if await turns.turn(body) is not None:
                    now, tenant = sim.clock.now(), read(body).key
                    worst = max(worst, now - waits.get(tenant, NOW))
                    waits[tenant] = now
                    await sim.clock.advance(1800)
            await sim.clock.advance(max(0.0, (end - sim.clock.now()).total_seconds()))
            lengths.append(len(queue))
        assert max(lengths) <= 3 * 4, "without dropping what has nothing left to do: two more each hour"
        assert worst <= timedelta(hours=3), "and every tenant has its turn"


async def test_what_is_old_is_purged_by_the_first_look_of_a_day(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, _, sim):
        assert isinstance(sim.clock, SimulatedClock)
        turns.app.upkeep.keep_days = 1
        await one_round(turns)
        first = {e.id for e in await turns.app.store.history(Query())}
        left = []
        for hours in (0, 23, 3, 21):
            await sim.clock.advance(hours * HOUR)
            await one_round(turns)  # the newest day that is known says what time it is, besides the clock
            await turns.tend()
            left.append(len(first & {e.id for e in await turns.app.store.history(Query())}))
        assert left == [len(first), len(first), len(first), 0], "not yet old, not yet old, not the first look, purged"


async def test_tenants_with_events_waiting_are_delivered_without_a_poll(tmp_path: Path) -> None:
    async with home(tmp_path, 2) as (turns, sink, sim):
        sink.behave = refuse(Unavailable("down"))
        await one_round(turns)
        sink.behave = accept_all
        texts = await turns.tend()
        found = [read(t.encode()) for t in texts]
        assert [(a.key, a.poll) for a in found] == [(t.tenant_id, False) for t in turns.app.config.tenants]
        asked = len(sim.requests)
        for text in texts:
            assert await turns.turn(text.encode()) is None
        assert len(sim.requests) == asked
        assert await turns.tend() == []


async def test_a_sink_that_refuses_everything_is_a_problem_of_the_connector(tmp_path: Path) -> None:
    async with home(tmp_path) as (turns, sink, _):
        sink.behave = refuse(Denied("no role on the rule", "give it"))
        await one_round(turns)
        await turns.tend()
        (told,) = [e for e in await events(turns, "connector.problem") if e["reason"] == "denied"]
        assert told["sink"] == "siem"
        sink.behave = accept_all
        await turns.tend()
        assert "denied" in {e["reason"] for e in await events(turns, "connector.recovered")}


async def test_a_sink_that_leaves_one_tenant_waiting_is_a_problem(tmp_path: Path) -> None:
    async with home(tmp_path, 2) as (turns, sink, sim):
        assert isinstance(sim.clock, SimulatedClock)
        bad = turns.app.config.tenants[1].name
        sink.behave = lambda records: (
            refuse(Denied("its own rule"))(records) if records[0].tenant == bad else accept_all(records)
        )
        await one_round(turns)
        await sim.clock.advance(4 * HOUR)
        await turns.tend()
        (told,) = [e for e in await events(turns, "connector.problem") if e["reason"] == "behind"]
        assert "siem leaves" in told["summary"]


async def test_many_tenants_in_one_state_are_told_once_more_together(tmp_path: Path) -> None:
    async with home(tmp_path, 6) as (turns, _, sim):
        sim.faults.add(Fault("denied"))
        await one_round(turns)
        await turns.tend()
        together = [e for e in await events(turns, "connector.problem") if not e["tenant"] and e["reason"] == "denied"]
        assert [e["tenants"]["count"] for e in together] == [6]


async def test_the_overview_is_that_of_the_command(tmp_path: Path) -> None:
    async with home(tmp_path, 2) as (turns, _, sim):
        first, second = turns.app.config.tenants
        sim.faults.add(Fault("denied", tenant=second.tenant_id))
        await one_round(turns)
        found = await turns.status()
        assert found["tenants"][first.name]["newest_day"] == "2026-09-08"
        assert found["tenants"][second.name]["problems"] == ["denied"]
        assert set(found) == {"tenants", "sinks", "problems", "credentials", "store"}


# ------------------------------------------------------------------------------------------------------------- circuit


async def test_a_held_sink_is_not_asked(tmp_path: Path) -> None:
    async with home(tmp_path, 6) as (turns, sink, _):
        sink.behave = refuse(Unavailable("down"))
        await one_round(turns)
        assert len(sink.offered) == HELD_AFTER


async def test_whether_a_sink_is_held_is_asked_again_by_those_that_waited_for_others(tmp_path: Path) -> None:
    """Eight turns at once, where one sends at a time and each finds that nobody answers."""
    async with home(tmp_path, 8) as (turns, _, _):
        await one_round_without_delivery(turns)
        turns.app.config = evolve(turns.app.config, sinks=(SinkConfig("siem", "splunk_hec"),))
        hanging = Hanging(hang_s=0.05)
        turns.app.deliveries = {"siem": delivery(turns.app.store, hanging, JumpClock())}
        turns.deliver_s = 60.0
        found = await asyncio.gather(*(turns.deliver(t.tenant_id) for t in turns.app.config.tenants))
        assert len(hanging.tried) == HELD_AFTER
        assert [o.error for (o,) in found].count(HELD) == 8 - HELD_AFTER


async def test_a_turn_waits_for_others_at_a_sink_in_bounded_time(tmp_path: Path) -> None:
    async with home(tmp_path, 4) as (turns, _, _):
        await one_round_without_delivery(turns)
        turns.app.config = evolve(turns.app.config, sinks=(SinkConfig("siem", "splunk_hec"),))
        hanging = Hanging(hang_s=3600.0)
        turns.app.deliveries = {"siem": delivery(turns.app.store, hanging, JumpClock())}
        turns.deliver_s = 0.2
        tasks = [asyncio.create_task(turns.deliver(t.tenant_id)) for t in turns.app.config.tenants]
        async with asyncio.timeout(60):
            while sum(task.done() for task in tasks) < 3:
                await asyncio.sleep(0.01)
        assert [o.error for task in tasks if task.done() for o in task.result()] == [BUSY] * 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        hanging.hang_s = 0.0
        hanging.behave = accept_all
        for tenant in turns.app.config.tenants:
            (outcome,) = await turns.deliver(tenant.tenant_id)
            assert (outcome.state, outcome.sent > 0) == ("ok", True), "a turn that was cut leaves nothing locked"


async def test_who_has_nothing_to_send_does_not_use_up_the_try_for_all(tmp_path: Path) -> None:
    async with home(tmp_path, 6) as (turns, sink, sim):
        assert isinstance(sim.clock, SimulatedClock)
        turns.app.deliveries = {
            "siem": delivery(turns.app.store, sink, sim.clock, wants=Filter(streams=frozenset({"score", "inventory"})))
        }
        sink.behave = refuse(Denied("no role"))
        await one_round(turns)
        sink.behave = accept_all
        await sim.clock.advance(HOLD_S + 1)
        waiting = await turns.tend()
        assert len(waiting) == 6
        for text in waiting:
            await turns.turn(text.encode())
        assert await turns.tend() == []


async def test_tenants_whose_own_place_fails_hold_the_sink_for_nobody_else(tmp_path: Path) -> None:
    """One message at a time, and the first three are refused by rules of their own."""
    async with home(tmp_path, 6) as (turns, sink, _):
        denied = turns.app.config.tenants[:3]
        own = frozenset(t.tenant_id for t in turns.app.config.tenants)
        turns.app.deliveries = {"siem": delivery(turns.app.store, sink, turns.clock, with_own_place=own)}

        def behave(records: Sequence[Record]) -> Receipt:
            if records[0].tenant in {t.name for t in denied}:
                raise Denied("403 from its rule")
            return accept_all(records)

        sink.behave = behave
        await one_round(turns)
        waiting = {read(text.encode()).key for text in await turns.tend()}
        assert waiting == {t.tenant_id for t in denied}


def test_kinds_that_need_a_process_are_refused() -> None:
    refuse_kinds(["sentinel", "splunk_hec", "webhook"])
    with pytest.raises(ConfigError, match="syslog") as caught:
        refuse_kinds(["sentinel", "syslog", "file"])
    assert len(caught.value.problems) == 2


async def test_many_tenants_in_trouble_for_different_months_are_no_storm(tmp_path: Path) -> None:
    """As the daemon counts: a storm is what enough of them entered within one cycle."""
    async with home(tmp_path, 6) as (turns, _, _):
        await one_round(turns)

        async def denied(since: Sequence[str]) -> list[dict[str, Any]]:
            for tenant, first_seen in zip(turns.app.config.tenants, since, strict=True):
                state = await turns.store.load(tenant.tenant_id)
                assert state is not None
                entry = {"type": "connector.problem", "reason": "denied", "subject": "access", "first_seen": first_seen}
                values = {**memory.head(state), "problems": {"connector.problem:access": entry}}
                await turns.store.commit(tenant.tenant_id, memory.with_head(state, values), [])
            await turns.tend()
            return [e for e in await events(turns, "connector.problem") if "tenants" in e]

        assert await denied([f"2026-0{month}-01T00:00:00Z" for month in range(3, 9)]) == []
        (storm,) = await denied(["2026-09-07T08:00:00Z"] * 6)
        assert storm["tenants"]["count"] == 6
