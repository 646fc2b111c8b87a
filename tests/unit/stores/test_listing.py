"""A turn of a documents store lists once, and whatever others do meanwhile is met as it is between any two calls."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from attrs import define, evolve, field

from connector.clock import SimulatedClock
from connector.errors import Conflict, StoreError
from connector.ports import Documents, Query, Settlement, Start, State, Stats, Survey
from connector.stores.documents import DocumentsStore
from connector.stores.packing import pack
from tests.contract.store_contract import AFTER_ALL, CONTOSO, FABRIKAM, T1, add, event, events, numbers, settle
from tests.fakes.documents import Crash, Memory, Perilous
from tests.unit.stores.test_documents import STEPS, picture, undisturbed


@define
class Counted(Memory):
    """Counts lists by prefix, and reads."""

    lists: Counter[str] = field(factory=Counter)
    reads: int = 0

    async def list(self, prefix: str) -> Mapping[str, int]:
        self.lists[prefix] += 1
        return await Memory.list(self, prefix)

    async def get(self, name: str) -> bytes | None:
        self.reads += 1
        return await Memory.get(self, name)


def opened(documents: Documents) -> DocumentsStore:
    return DocumentsStore(documents, SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)))


async def started(memory: Memory, *sinks: str) -> DocumentsStore:
    store = opened(memory)
    await store.attach([Start(name) for name in (sinks or ("siem",))])
    await add(store, events(range(3)))
    await settle(store, "siem", accept=range(3))
    return store


async def polled(store: DocumentsStore, head: bytes) -> None:
    """What a turn without news does."""
    async with store.turn(CONTOSO):
        await store.load(CONTOSO)
        state = await store.load(CONTOSO)
        assert state is not None
        await store.commit(CONTOSO, State(state.generation, {**state.parts, "head": head}), [])
        assert await store.due("siem", 10, CONTOSO) == []
        assert await store.due("siem", 10, CONTOSO, again=True) == []


async def test_a_turn_lists_before_its_commit_and_after_it() -> None:
    memory = Counted()
    store = await started(memory)
    await polled(store, b"0")
    memory.lists.clear()
    memory.reads = 0
    await polled(store, b"1")
    assert memory.lists == {f"{CONTOSO}/": 2}
    assert memory.reads == 2, "whether the sink's newest document is still there, and no newer one"


async def test_a_new_process_lists_the_sinks_once() -> None:
    memory = Counted()
    await started(memory)
    store = opened(memory)
    await polled(store, b"0")
    memory.lists.clear()
    await polled(store, b"1")
    assert memory.lists == {f"{CONTOSO}/": 2}


async def test_nothing_is_remembered_outside_of_the_turn_or_beside_it() -> None:
    memory = Memory()
    store = await started(memory)
    inside, go = asyncio.Event(), asyncio.Event()

    async def turn() -> None:
        async with store.turn(CONTOSO):
            await store.load(CONTOSO)
            inside.set()
            await go.wait()

    task = asyncio.create_task(turn())
    await inside.wait()
    await add(opened(memory), [event(7)])
    assert numbers(await store.due("siem", 10, CONTOSO)) == [7]
    go.set()
    await task
    await add(opened(memory), [event(8)])
    assert numbers(await store.due("siem", 10, CONTOSO)) == [7, 8]


@pytest.mark.parametrize("commits", [1, 2, 30])
async def test_whoever_commits_in_anothers_turn_is_met_by_its_commit(commits: int) -> None:
    memory = Memory()
    store = await started(memory)
    async with store.turn(CONTOSO):
        state = await store.load(CONTOSO)
        assert state is not None
        for n in range(commits):
            await add(opened(memory), [event(10 + n)])
        with pytest.raises(Conflict):
            await store.commit(CONTOSO, State(state.generation, {"head": b"late"}), [event(99)])
        state = await store.load(CONTOSO)
        assert state is not None
        assert state.generation == 1 + commits
        await store.commit(CONTOSO, State(state.generation, {"head": b"new"}), [event(100)])
        assert numbers(await store.due("siem", 99, CONTOSO)) == [*range(10, 10 + commits), 100]
    assert [e.data["number"] for e in await opened(memory).history(Query())] == [0, 1, 2, *range(10, 10 + commits), 100]


async def test_whoever_settles_in_anothers_turn_is_not_undone_by_it() -> None:
    memory = Memory()
    store = await started(memory)
    await add(store, events(range(3, 6)))
    async with store.turn(CONTOSO):
        due = await store.due("siem", 10, CONTOSO)
        other = opened(memory)
        await settle(other, "siem", accept=[3], park={4: "no"})
        await store.settle("siem", Settlement(T1, accepted=frozenset(p.seq for p in due)))
        assert await store.due("siem", 10, CONTOSO) == []
    assert numbers(await opened(memory).parked()) == [4]
    await add(opened(memory), [event(10)])
    async with store.turn(CONTOSO):
        await store.load(CONTOSO)
        for n in range(3):  # until the place that was listed is cleared away
            await add(opened(memory), [event(100 + n)])
            await settle(opened(memory), "siem", accept=range(1000))
        again = await store.due("siem", 10, CONTOSO)  # as of the moment of the list, or of now
        await store.settle("siem", Settlement(T1, accepted=frozenset(p.seq for p in again)))
        await add(store, [event(200)])
        assert numbers(await store.due("siem", 10, CONTOSO)) == [200]
    assert numbers(await opened(memory).due("siem", 10, CONTOSO)) == [200]


async def test_a_turn_knows_what_another_turn_of_this_process_wrote_for_it() -> None:
    """Settlements of one sink that wait for each other are written by whoever comes first (deliver/unwritten.py)."""
    memory = Memory()
    store = await started(memory)
    for tenant in (CONTOSO, FABRIKAM):
        await add(store, [event(n, tenant=tenant) for n in range(10, 13)], tenant=tenant)
    due = {tenant: await store.due("siem", 10, tenant) for tenant in (CONTOSO, FABRIKAM)}
    listed, written = asyncio.Event(), asyncio.Event()

    async def fabrikam() -> list[int]:
        async with store.turn(FABRIKAM):
            await store.due("siem", 10, FABRIKAM)
            listed.set()
            await written.wait()
            return numbers(await store.due("siem", 10, FABRIKAM))

    async with store.turn(CONTOSO), asyncio.TaskGroup() as group:
        other = group.create_task(fabrikam())
        await listed.wait()
        for tenant, found in due.items():
            await store.settle("siem", Settlement(T1, accepted=frozenset(p.seq for p in found[:2])))
            assert len(await store.due("siem", 10, tenant)) == 1
        written.set()
    assert other.result() == [12]


@pytest.mark.parametrize("lives", [1, 2, 3])
async def test_a_sink_that_was_given_up_and_came_again_stands_where_it_began_anew(lives: int) -> None:
    memory = Memory()
    store = await started(memory)
    await polled(store, b"0")
    await add(store, [event(5)])
    other = opened(memory)
    for _ in range(lives):
        await other.attach([])
        await other.release("siem")
        await other.attach([Start("siem")])
    async with store.turn(CONTOSO):
        assert await store.due("siem", 10, CONTOSO) == [], "it began behind all that there was"
        state = await store.load(CONTOSO)
        assert state is not None
        await store.commit(CONTOSO, State(state.generation, {}), [event(6)])
        assert numbers(await store.due("siem", 10, CONTOSO)) == [6]


async def test_a_sink_that_another_process_declared_is_found() -> None:
    memory = Memory()
    store = await started(memory)
    await polled(store, b"0")
    await opened(memory).attach([Start("siem"), Start("new", whole_history=True)])
    async with store.turn(CONTOSO):
        await store.load(CONTOSO)
        assert await store.due("siem", 10, CONTOSO) == []
        assert numbers(await store.due("new", 10, CONTOSO)) == [0, 1, 2]
        with pytest.raises(StoreError, match="knows no sink"):
            await store.due("none", 10, CONTOSO)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_call_of_a_turn_loses_and_halves_nothing(after: bool) -> None:
    expected, _ = await undisturbed()
    crash_at, crashed = 0, True
    while crashed:
        crash_at, crashed = crash_at + 1, False
        documents = Perilous(Memory(), crash_at=crash_at, after=after)
        async with AsyncExitStack() as stack:
            store = opened(documents)
            await stack.enter_async_context(store.turn(None))
            for step in STEPS:
                try:
                    await step(store)
                except Crash:
                    crashed = True
                    store = opened(documents)
                    await step(store)
        assert await picture(opened(documents.inner)) == expected, f"crash at call {crash_at}"
    assert crash_at > 60


async def test_a_turn_of_all_lists_once_for_many_questions() -> None:
    memory = Counted()
    store = await started(memory)
    await add(store, events(range(2), tenant=FABRIKAM), FABRIKAM)
    memory.lists.clear()
    async with store.turn(None):
        assert len((await store.survey("", AFTER_ALL)).behind) == 1
        assert (await store.stats()).events == 5
        assert await store.flaws() == []
        assert await store.load(FABRIKAM) is not None
        assert numbers(await store.due("siem", 10, FABRIKAM)) == [0, 1]
    assert memory.lists == {"": 1}


# ------------------------------------------------------------------------------------------------- all at a glance


async def many(memory: Memory, count: int = 20) -> list[str]:
    names = [f"{n:08d}-0000-4000-8000-000000000000" for n in range(count)]
    store = opened(memory)
    await store.attach([Start("siem")])
    for n, name in enumerate(names):
        await store.commit(name, State(parts={"head": name.encode()}), [event(n, tenant=name)])
        await settle(store, "siem", accept=[n], at=T1, tenant=name)
    return names


async def glance(store: DocumentsStore) -> tuple[Survey, Stats]:
    return await store.survey(T1, AFTER_ALL, keep=True), await store.stats()


async def test_a_new_process_reads_only_tenants_that_moved() -> None:
    memory = Counted()
    names = await many(memory)
    before = await glance(opened(memory))
    memory.reads = 0
    found, stats = await glance(opened(memory))
    assert (found, evolve(stats, bytes=0)) == (before[0], evolve(before[1], bytes=0))
    assert memory.reads == 2, "the sink's life, and what was written down"
    assert await opened(memory).flaws() == []

    await opened(memory).commit(names[3], State(1, {"head": b"new"}), [event(100, tenant=names[3])])
    memory.reads = 0
    store = opened(memory)
    found, stats = await glance(store)
    assert (found.heads[names[3]], found.behind, stats.sinks[0].backlog) == (b"new", frozenset({names[3]}), 1)
    assert memory.reads <= 6
    assert [name for name in memory.kept if name.startswith("seen.")] == ["seen.1/000000000002.rows"]
    await settle(store, "siem", accept=[100], at=T1, tenant=names[3])
    found, stats = await glance(opened(memory))
    assert (found.behind, found.accepted, stats.sinks[0].backlog) == (frozenset(), {"siem": 21}, 0)


@pytest.mark.parametrize("torn", [b"", b"rubbish", pack({"rows": []}), pack({"rows": {"a": {"at": 1}}}), pack({})])
async def test_rows_that_cannot_be_read_only_cost_reads(torn: bytes, caplog: pytest.LogCaptureFixture) -> None:
    memory = Counted()
    await many(memory)
    before = await glance(opened(memory))
    memory.kept["seen.1/000000000001.rows"] = torn
    store = opened(memory)
    found, _ = await glance(store)
    assert found == before[0]
    assert "store.rows_unreadable" in caplog.text
    assert await store.verify() == []


async def test_what_is_asked_of_long_ago_is_read_and_not_guessed() -> None:
    memory = Memory()
    await many(memory)
    await glance(opened(memory))
    assert (await opened(memory).survey("2020-01-01T00:00:00Z", AFTER_ALL)).accepted == {"siem": 20}


async def test_nothing_of_a_forgotten_tenant_is_left_in_what_is_written_down() -> None:
    memory = Memory()
    names = await many(memory)
    await glance(opened(memory))
    store = opened(memory)
    await store.forget(names[0])
    assert not [name for name in memory.kept if name.startswith("seen.")]
    assert names[0] not in (await glance(store))[0].heads
    assert len((await glance(opened(memory)))[0].heads) == 19


async def test_damage_is_seen_behind_what_was_written_down() -> None:
    memory = Memory()
    names = await many(memory)
    await glance(opened(memory))
    newest = max(name for name in memory.kept if name.startswith(f"{names[0]}/0"))
    memory.kept[newest] = b"torn"
    store = opened(memory)
    found, stats = await glance(store)
    assert (names[0] in found.heads, stats.events) == (False, 19)
    assert [f.document for f in await store.flaws()] == [newest]


async def test_a_place_that_takes_nothing_can_be_looked_at() -> None:
    memory = Memory()
    await many(memory)
    full = Perilous(memory, full_at=1)
    assert len((await glance(opened(full)))[0].heads) == 20
