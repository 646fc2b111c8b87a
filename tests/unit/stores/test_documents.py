"""The documents store where things go wrong: crashes between any two calls, no space, late writers, damage."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from connector.clock import SimulatedClock
from connector.errors import Conflict, StoreBusy, StoreError
from connector.ports import Documents, Query, Start, State
from connector.stores import documents_read, numbered
from connector.stores.directory import open_store
from connector.stores.documents import DocumentsStore
from connector.stores.numbered import Logs
from tests.contract.documents_contract import DocumentsContract
from tests.contract.store_contract import (
    AFTER_ALL,
    CONTOSO,
    FABRIKAM,
    T0,
    T1,
    add,
    event,
    events,
    numbers,
    settle,
    stats_of,
    take_all,
)
from tests.fakes.documents import Crash, Memory, Perilous


def opened(documents: Documents, **options: Any) -> DocumentsStore:
    return DocumentsStore(documents, SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)), **options)


class TestMemory(DocumentsContract):
    @pytest.fixture
    def documents(self) -> Memory:
        return Memory()


# --------------------------------------------------------------------------------------------------- crash, no space

Step = Callable[[DocumentsStore], Awaitable[object]]


def observed(step: int, new: Sequence[int], tenant: str = CONTOSO) -> Step:
    """One poll: after a crash it loads again, and commits only what is not there yet."""

    async def run(store: DocumentsStore) -> None:
        state = await store.load(tenant) or State()
        if int(state.parts.get("step", b"-1")) < step:
            parts = {**state.parts, "step": str(step).encode(), f"big{step % 2}": bytes([step]) * 500}
            await store.commit(tenant, State(state.generation, parts), events(new, tenant=tenant))

    return run


STEPS: list[Step] = [
    lambda s: s.attach([Start("siem"), Start("other")]),
    observed(1, range(10)),
    observed(2, range(5), FABRIKAM),
    lambda s: settle(s, "siem", accept=[0, 2, 4, 6, 8], park={1: "no"}, tenant=CONTOSO),
    lambda s: settle(s, "other", accept=range(10)),
    lambda s: s.unpark([event(1).id], "siem", "retry"),
    lambda s: s.replay("other", Query(ids=(event(0).id,))),
    observed(7, range(10, 15)),
    lambda s: settle(s, "siem", accept=range(100), park={7: "never"}),
    lambda s: settle(s, "siem", accept=range(100)),
    lambda s: settle(s, "other", accept=range(100)),
    lambda s: settle(s, "other", accept=range(100)),
    lambda s: s.purge(AFTER_ALL),
    observed(13, [15]),
    lambda s: s.forget(FABRIKAM),
    lambda s: s.attach([Start("siem")]),
    observed(16, [16]),
]


async def picture(store: DocumentsStore) -> dict[str, Any]:
    state = await store.load(CONTOSO)
    assert state is not None
    stats = await store.stats()
    return {
        "parts": state.parts,
        "tenants": await store.tenants(),
        "history": await store.history(Query()),
        "events": stats.events,
        "sinks": [(s.name, s.backlog, s.parked, s.abandoned) for s in stats.sinks],
        "siem": numbers(await store.due("siem", 100)),
        "other": numbers(await store.due("other", 100)),
        "parked": numbers(await store.parked()),
        "damaged": dict(store.damaged),
    }


async def undisturbed() -> tuple[dict[str, Any], Perilous]:
    documents = Perilous(Memory())
    store = opened(documents)
    for step in STEPS:
        await step(store)
    return await picture(opened(documents.inner)), documents


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_call_loses_and_halves_nothing(after: bool) -> None:
    """The process dies at every call in turn, starts anew and repeats the step: it ends where it always ends."""
    expected, run = await undisturbed()
    assert expected["history"]
    assert run.calls > 130
    for crash_at in range(1, run.calls + 1):
        documents = Perilous(Memory(), crash_at=crash_at, after=after)
        store = opened(documents)
        crashed = 0
        for step in STEPS:
            try:
                await step(store)
            except Crash:
                crashed += 1
                store = opened(documents)  # call numbers go on: it crashes once
                await step(store)
        assert crashed == 1 or crash_at > documents.calls
        assert await picture(opened(documents.inner)) == expected, f"crash at call {crash_at}"
        assert len(documents.inner.kept) <= len(run.inner.kept) + 3, "leftovers are cleared away"


async def test_no_space_at_any_create_stops_cleanly_and_goes_on() -> None:
    """The step fails with StoreError; the same store repeats it when there is space again."""
    expected, run = await undisturbed()
    for full_at in range(1, run.creates + 1):
        documents = Perilous(Memory(), full_at=full_at)
        store = opened(documents)
        refused = 0
        for step in STEPS:
            try:
                await step(store)
            except StoreError:
                refused += 1
                await step(store)
        assert refused == 1
        assert await picture(store) == expected, f"no space at create {full_at}"


# ---------------------------------------------------------------------------------------------------------- late writer


async def test_a_writer_that_comes_too_late_changes_nothing() -> None:
    """Between its look and its create others committed so often that its number is free again."""
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem")])
    await add(store, events([0]))
    slow = Perilous(memory, gate=asyncio.Event())
    late = asyncio.create_task(add(opened(slow), [event(666)]))
    while not slow.creates:
        await asyncio.sleep(0)
    for turn in range(1, 40):
        await store.commit(CONTOSO, await store.load(CONTOSO) or State(), [event(turn)] if turn > 20 else [])
        await take_all(store, "siem")
    await store.purge(AFTER_ALL)
    await add(store, events([100]))
    before = sorted(memory.kept)
    assert slow.gate is not None
    slow.gate.set()
    with pytest.raises(Conflict):
        await late
    assert len(set(memory.kept) - set(before)) == 1, "its number was free indeed"
    assert [e.data["number"] for e in await opened(memory).history(Query())] == [100]
    assert numbers(await store.due("siem", 10)) == [100]
    await add(store, events([101]))
    await add(store, events([102]))
    assert set(memory.kept) - set(before) != set(), "and what it wrote is cleared away"
    assert await take_all(store, "siem") == [100, 101, 102]


# -------------------------------------------------------------------------------------------------------------- damage

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "cut_by_one": lambda raw: raw[:-1],
    "one_bit": lambda raw: raw[:-3] + bytes([raw[-3] ^ 4]) + raw[-2:],
    "foreign": lambda _: b'{"hello": "world"}' * 100,
    "longer": lambda raw: raw + b"\x00",
}


async def some_history() -> Memory:
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem")])
    for turn in range(4):
        state = await store.load(CONTOSO) or State()
        parts = {**state.parts, "head": str(turn).encode(), f"days/{turn}": bytes([turn]) * 100}
        await store.commit(CONTOSO, State(state.generation, parts), events(range(turn * 3, turn * 3 + 3)))
    await settle(store, "siem", accept=range(5), park={5: "no"}, limit=6)
    return memory


@pytest.mark.parametrize("kind", DAMAGE)
async def test_any_damaged_document_is_left_out_reported_and_put_aside(kind: str) -> None:
    names = sorted((await some_history()).kept)
    assert len(names) >= 6
    for name in names:
        memory = await some_history()
        raw = memory.kept[name] = DAMAGE[kind](memory.kept[name])
        store = opened(memory)
        await store.attach([Start("siem")])
        state = await store.load(CONTOSO)
        assert state is not None
        assert state.parts == {} or "head" in state.parts
        there = [e.data["number"] for e in await store.history(Query())]
        assert len(there) >= 9, "one commit of three at most is lost"
        due = numbers(await store.due("siem", 100))
        assert set(due) >= set(there) - set(range(6)), "what was not settled is still due"
        assert set(due) <= set(there)
        await store.stats()
        await store.parked()
        await store.trace(event(11).id)
        await store.purge(AFTER_ALL)
        await store.commit(CONTOSO, State(state.generation, {"head": b"new"}), events([20]))
        reloaded = await opened(memory).load(CONTOSO)
        assert reloaded is not None
        assert reloaded.parts == {"head": b"new"}
        taken = await take_all(store, "siem")
        assert taken[-1] == 20
        if name in store.damaged:
            assert memory.kept.get(f"damaged/{name}", raw) == raw
        else:
            assert name not in memory.kept or memory.kept[name] == raw
        fresh = opened(memory)
        await picture_without_other(fresh)


async def picture_without_other(store: DocumentsStore) -> None:
    await store.stats()
    assert await store.due("siem", 10) == []
    assert dict(store.damaged) == {} or all(name.count("/") for name in store.damaged)


async def test_a_vanished_document_is_left_out() -> None:
    memory = await some_history()
    first = min(name for name in memory.kept if name.startswith(f"{CONTOSO}/0"))
    del memory.kept[first]
    store = opened(memory)
    assert [e.data["number"] for e in await store.history(Query())] == list(range(3, 12))
    assert dict(store.damaged) == {first: "missing"}
    assert numbers(await store.due("siem", 100)) == list(range(6, 12))


async def test_a_damaged_newest_document_falls_back_to_the_one_before() -> None:
    memory = await some_history()
    newest = max(name for name in memory.kept if name.startswith(f"{CONTOSO}/0"))
    memory.kept[newest] = memory.kept[newest][:-9]
    store = opened(memory)
    state = await store.load(CONTOSO)
    assert state is not None
    assert (state.generation, state.parts["head"]) == (3, b"2")
    await store.commit(CONTOSO, state, events(range(9, 12)))
    assert memory.kept[f"damaged/{newest}"]
    assert newest not in memory.kept
    assert numbers(await store.due("siem", 100)) == list(range(6, 12)), "observed again, nothing behind the position"


async def test_what_the_one_before_needs_is_still_there() -> None:
    """Commits without events, each with every part new: of the last but one nothing was cleared away."""
    memory = Memory()
    store = opened(memory)
    for turn in range(7):
        state = await store.load(CONTOSO) or State()
        body = str(turn // 2).encode()  # half of the parts lie one document further back
        await store.commit(CONTOSO, State(state.generation, {"head": str(turn).encode(), "days": body}), [])
    newest = max(memory.kept)
    memory.kept[newest] = b"torn"
    state = await opened(memory).load(CONTOSO) or State()
    assert (state.generation, state.parts) == (6, {"head": b"5", "days": b"2"})


# ------------------------------------------------------------------------------------------------------------- bounds


async def test_the_last_guard_refuses_commits_only() -> None:
    store = opened(Memory(), max_bytes=2_000)
    await store.attach([Start("siem")])
    await add(store, events(range(50)))
    await store.stats()
    with pytest.raises(StoreError, match="bound") as caught:
        await add(store, events([100]))
    assert "release" in caught.value.hint
    assert len(await take_all(store, "siem")) == 50


async def test_unchanged_polls_leave_a_handful_of_documents() -> None:
    memory = Memory()
    store = opened(memory)
    for turn in range(100):
        state = await store.load(CONTOSO) or State()
        parts = {**state.parts, "head": str(turn).encode(), "days": b"same" * 10_000}
        await store.commit(CONTOSO, State(state.generation, parts), [])
    assert len(memory.kept) <= 3
    assert sum(map(len, memory.kept.values())) < 45_000, "an unchanged part is written once"


class Counting(Memory):
    """Counts how often documents are read."""

    reads = 0

    async def get(self, name: str) -> bytes | None:
        self.reads += 1
        return await super().get(name)


async def test_what_a_commit_reads_does_not_grow_with_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fits into the cache here; whether an event is there already is known without its document."""
    monkeypatch.setattr(numbered, "CACHE_BYTES", 1)
    documents = Counting()
    async with opened(documents) as store:
        await store.attach([Start("siem")])
        costs = []
        for n in range(20):
            before = documents.reads
            await add(store, events([2 * n, 2 * n + 1]))
            costs.append(documents.reads - before)
        assert max(costs[10:]) <= max(costs[2:10]), costs
        await add(store, [event(3), event(99)])
        assert [e.data["number"] for e in await store.history(Query(tenant_id=CONTOSO))] == [*range(40), 99]


async def test_an_event_is_known_to_be_there_whatever_was_forgotten_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_read, "HASHES", 3)
    async with opened(Memory()) as store:
        for n in range(4):
            await add(store, events([n, n + 1]))
            await add(store, events([10 * n, 10 * n + 3], tenant=FABRIKAM), FABRIKAM)
        assert [e.data["number"] for e in await store.history(Query(tenant_id=CONTOSO))] == [0, 1, 2, 3, 4]
        assert len(await store.history(Query(tenant_id=FABRIKAM))) == 8


async def test_a_state_of_many_parts_is_read_document_by_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbered, "CACHE_BYTES", 1)
    documents = Counting()
    async with opened(documents) as store:
        state = State()
        for n in range(4):
            parts = {f"u/{unit}/{n}": bytes([n, unit]) for unit in range(50)}
            state = await store.commit(CONTOSO, State(state.generation, {**state.parts, **parts}), [])
        before = documents.reads
        assert await store.load(CONTOSO) == state
        assert documents.reads - before <= 6, "four documents hold it; the newest one is read as the root, too"


async def test_a_purge_gives_the_space_back_at_once() -> None:
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem")])
    for turn in range(5):
        state = await store.load(CONTOSO) or State()
        parts = {**state.parts, f"days/{turn}": bytes(100)}
        await store.commit(CONTOSO, State(state.generation, parts), events(range(turn * 50, turn * 50 + 50)))
    await take_all(store, "siem")
    before = (await store.stats()).bytes
    assert await store.purge(AFTER_ALL) == 250
    assert (await store.stats()).bytes < before / 3
    left = await store.load(CONTOSO)
    assert left is not None
    assert set(left.parts) == {f"days/{turn}" for turn in range(5)}
    assert (await stats_of(store, "siem")).backlog == 0


async def test_forgetting_leaves_no_text_of_the_tenant() -> None:
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem")])
    await add(store, [event(1, title="secret words")])
    await settle(store, "siem", park={1: "secret words"})
    await store.forget(CONTOSO)
    assert [name for name in memory.kept if name.startswith(CONTOSO)] == [
        f"{CONTOSO}/000000000002",
        f"{CONTOSO}/siem.1/000000000002",
    ]
    assert max(map(len, memory.kept.values())) < 400


async def test_an_answer_that_got_lost_is_no_conflict() -> None:
    """The request was repeated below us, and the second one met the document of the first."""

    class Repeats(Memory):
        async def create(self, name: str, body: bytes) -> None:
            await super().create(name, body)
            await super().create(name, body)

    store = opened(Repeats())
    assert (await add(store, events([1]))).generation == 1


# ------------------------------------------------------------------------------------------------------------- folder

FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from connector.clock import SystemClock
from connector.errors import StoreError
from connector.ports import Query, Start, State
from connector.stores.directory import open_store
from tests.contract.store_contract import CONTOSO, add, events, numbers

async def main(folder):
    async with await open_store(folder, clock=SystemClock()) as store:
        await store.attach([Start("siem")])
        state = await add(store, events(range(3)))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        large = State(state.generation, {"large": bytes(range(256)) * 100})
        try:
            await store.commit(CONTOSO, large, events([3]))
        except StoreError as error:
            print("refused:", error.what, error.hint)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert await store.load(CONTOSO) == state
        await store.commit(CONTOSO, large, events([3]))
        print("due:", numbers(await store.due("siem", 10)), [p.name for p in folder.iterdir() if p.name[0] == "."])

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_folder_without_space_stores_nothing_by_halves(tmp_path: Path) -> None:
    """The kernel refuses to let a file grow; when it may again, the same store goes on and nothing is left behind."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "state")],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "refused: the state cannot be used" in done.stdout
    assert "Free space" in done.stdout
    assert "due: [0, 1, 2, 3] []" in done.stdout


async def test_one_writer_holds_a_folder_and_commands_go_beside_it(tmp_path: Path) -> None:
    clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))
    with pytest.raises(StoreError, match="no state"):
        await open_store(tmp_path / "state", clock=clock, writer=False)
    async with await open_store(tmp_path / "state", clock=clock):
        with pytest.raises(StoreBusy):
            await open_store(tmp_path / "state", clock=clock)
        async with await open_store(tmp_path / "state", clock=clock, writer=False) as beside:
            await add(beside, events([1]))
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    with pytest.raises(StoreError, match="nowhere"):
        await open_store(tmp_path / "nowhere" / "state", clock=clock)


def test_what_splunk_imports_is_pure_python() -> None:
    foreign = "('sqlite3', 'yaml', 'azure', 'splunklib')"
    code = f"import sys, connector.stores.kvstore; print([m for m in {foreign} if m in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


# -------------------------------------------------------------------------------------------- many tenants at once


@define
class Distant(Memory):
    """Documents that take a while to come. `most` is how many were on the way at one time."""

    under_way: int = 0
    most: int = 0

    async def get(self, name: str) -> bytes | None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        return await super().get(name)


async def test_a_survey_tells_heads_counts_and_who_waits() -> None:
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem"), Start("gone")])
    for tenant in (CONTOSO, FABRIKAM):
        await store.commit(tenant, State(parts={"head": tenant.encode(), "big": b"x"}), events(range(3), tenant=tenant))
    await store.attach([Start("siem")])
    await settle(store, "siem", accept=range(2), skip=[2], at=T1, tenant=CONTOSO)
    await settle(store, "siem", accept=[0], park={1: "no"}, at=T1, tenant=FABRIKAM)
    fresh = opened(memory)
    found = await fresh.survey(T1, AFTER_ALL)
    assert found.heads == {CONTOSO: CONTOSO.encode(), FABRIKAM: FABRIKAM.encode()}
    assert found.accepted == {"gone": 0, "siem": 3}
    assert found.behind == {FABRIKAM}, "one event is due there; the abandoned sink counts for nobody"
    assert (await fresh.survey(T0, T1)).accepted["siem"] == 0, "until is exclusive"
    await settle(store, "siem", accept=[2], tenant=FABRIKAM)
    assert (await fresh.survey(T0, T1)).behind == frozenset(), "what is parked does not wait"


async def test_a_survey_reads_side_by_side_and_minds_no_damage() -> None:
    memory = Distant()
    store = opened(memory)
    names = [f"{n:08d}-0000-4000-8000-000000000000" for n in range(40)]
    for name in names:
        await store.commit(name, State(parts={"head": b"h"}), [])
    broken = max(name for name in memory.kept if name.startswith(names[0]))
    memory.kept[f"damaged/{broken}"] = memory.kept[broken]
    memory.kept[broken] = b"rubbish"
    fresh = opened(memory)
    found = await fresh.survey(T0, AFTER_ALL)
    assert set(found.heads) == set(names[1:])
    assert set(fresh.damaged) == {broken}
    assert 4 <= memory.most <= 16


# ---------------------------------------------------------------------------------------------- loss is told


async def read_all(store: DocumentsStore) -> None:
    """What a daemon reads sooner or later."""
    await store.history(Query())


@pytest.mark.parametrize("kind", [*DAMAGE, "missing"])
async def test_what_a_damaged_document_held_is_counted_before_it_is_forgotten(kind: str) -> None:
    """By event and sink, whoever meets it first, and the count outlives the commit that clears the document away."""
    memory = await some_history()
    name = f"{CONTOSO}/000000000002"  # events 3, 4, 5: 3 and 4 are settled, 5 is parked
    store = opened(memory)
    await store.attach([Start("siem"), Start("late", whole_history=True)])
    if kind == "missing":
        del memory.kept[name]
    else:
        memory.kept[name] = DAMAGE[kind](memory.kept[name])
    store = opened(memory)
    await read_all(store)
    (flaw,) = await store.flaws()
    assert (flaw.reason, flaw.document, flaw.tenant_id) == ("state_damaged", name, CONTOSO)
    assert (flaw.events, flaw.sinks) == (3, {"siem": 1, "late": 3})
    assert not [name for name in memory.kept if name.endswith(".flaw")], "a look writes nothing"
    await take_all(store, "late")
    state = await store.load(CONTOSO)
    assert state is not None
    await store.commit(CONTOSO, State(state.generation, {"head": b"{}"}), events([20]))
    await add(store, events([21]))
    fresh = opened(memory)
    (noted,) = await fresh.flaws()
    assert (noted.document, noted.events, noted.sinks) == (name, 3, {"siem": 1, "late": 3})
    assert noted.at == "2026-11-22T09:00:00Z"
    if kind == "missing":
        return
    assert f"damaged/{name}" in memory.kept
    assert [f.document for f in await fresh.verify()] == [name]


async def test_a_damaged_part_costs_that_part_and_says_which() -> None:
    memory = await some_history()
    memory.kept[f"{CONTOSO}/000000000003"] = b"torn"
    store = opened(memory)
    state = await store.load(CONTOSO)
    assert state is not None
    assert state.lost.keys() == {"days/2"}
    assert state.parts.keys() == {"head", "days/0", "days/1", "days/3"}
    await store.commit(CONTOSO, State(state.generation, state.parts), [])
    again = await opened(memory).load(CONTOSO)
    assert again is not None
    assert (again.lost, again.parts.keys()) == ({}, state.parts.keys())
    (flaw,) = await opened(memory).flaws()
    assert "days/2" in flaw.what


async def test_a_tenant_without_its_log_is_no_new_tenant() -> None:
    memory = await some_history()
    for name in [name for name in memory.kept if name.startswith(f"{CONTOSO}/0")]:
        del memory.kept[name]
    store = opened(memory)
    state = await store.load(CONTOSO)
    assert state is not None
    assert (state.generation, dict(state.parts), list(state.lost)) == (0, {}, [""])
    (flaw,) = await store.flaws()
    assert (flaw.reason, flaw.events) == ("state_damaged", None)
    await store.commit(CONTOSO, State(), events([0, 30]))
    assert await take_all(store, "siem") == [0, 30], "nothing is born behind the place of a sink"
    assert [f.document for f in await opened(memory).flaws()] == [flaw.document]


async def test_a_commit_of_a_head_does_not_hide_that_another_part_is_damaged() -> None:
    memory = await some_history()
    memory.kept[f"{CONTOSO}/000000000003"] = b"torn"
    store = opened(memory)
    for asked in ([CONTOSO], [CONTOSO, FABRIKAM]):
        head = (await store.heads(asked))[CONTOSO]
        assert head is not None
        assert (list(head.parts), head.lost) == (["head"], {}), "the torn document was not looked at"
        await store.commit(CONTOSO, evolve(head, parts={"head": b"new"}), [])
    await store.load(CONTOSO)
    head = (await store.heads([CONTOSO]))[CONTOSO]
    assert head is not None
    await store.commit(CONTOSO, evolve(head, parts={"head": b"newer"}), [])  # puts the torn document aside
    state = await opened(memory).load(CONTOSO)
    assert state is not None
    assert (state.parts["head"], list(state.lost)) == (b"newer", ["days/2"])
    assert await opened(memory).flaws()


async def test_a_head_that_is_damaged_is_lost_to_whoever_asks_for_heads_too() -> None:
    memory = await some_history()
    for name in [name for name in memory.kept if name.startswith(f"{CONTOSO}/0")]:
        memory.kept[name] = b"torn"
    for asked in ([CONTOSO], [CONTOSO, FABRIKAM]):
        store = opened(memory)
        head = (await store.heads(asked))[CONTOSO]
        assert head is not None
        assert (dict(head.parts), list(head.lost)) == ({}, [""])


async def test_of_a_tenants_only_document_at_least_what_sinks_have_seen_is_known() -> None:
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem"), Start("dead")])
    await add(store, events(range(5)))
    await take_all(store, "siem")
    memory.kept[f"{CONTOSO}/000000000001"] = b"torn"
    (flaw,) = [f for f in await opened(memory).verify() if f.reason == "state_damaged"]
    assert (flaw.events, flaw.sinks) == (None, None)
    assert "at least 5 events" in flaw.what


async def test_places_put_back_alone_or_a_log_put_back_alone_swallow_nothing() -> None:
    """A copy that was not made at one moment: the places of sinks are newer than the logs of tenants."""
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem")])
    await add(store, events(range(3)))
    await take_all(store, "siem")
    older = {name: body for name, body in memory.kept.items() if name.startswith(f"{CONTOSO}/0")}
    for n in range(3, 9):
        await add(store, events([n]))
        await take_all(store, "siem")
    for name in [name for name in memory.kept if name.startswith(f"{CONTOSO}/0")]:
        del memory.kept[name]
    memory.kept.update(older)
    store = opened(memory)
    (flaw,) = await store.flaws()
    assert (flaw.reason, flaw.tenant_id) == ("cursor_ahead", CONTOSO)
    assert "settled up to document 7, the newest is 1" in flaw.what
    await add(store, events([3, 50]))
    assert numbers(await store.due("siem", 10)) == [3, 50]
    await add(store, events([51]))
    assert await take_all(store, "siem") == [3, 50, 51]
    line = (await store.trace(event(50).id))[0]
    assert (line["state"], line["attempts"]) == ("accepted", 1), "no past of another event"
    assert [f.reason for f in await opened(memory).flaws()] == ["cursor_ahead"], "and it stays told"


async def test_of_two_writers_behind_a_sinks_place_one_wins() -> None:
    """Their next number is not the one behind the newest: both still want the same."""
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem")])
    await add(store, events(range(3)))
    await take_all(store, "siem")
    older = dict(memory.kept)
    for n in range(3, 6):
        await add(store, events([n]))
        await take_all(store, "siem")
    places = {name: body for name, body in memory.kept.items() if "siem" in name}
    memory.kept = {**{name: body for name, body in older.items() if "siem." not in name}, **places}
    one, other = opened(memory), opened(memory)
    loaded = await one.load(CONTOSO)
    assert loaded is not None
    results = await asyncio.gather(
        one.commit(CONTOSO, loaded, events([10])), other.commit(CONTOSO, loaded, events([11])), return_exceptions=True
    )
    assert sorted(type(r).__name__ for r in results) == ["Conflict", "State"]
    assert len(await take_all(store, "siem")) == 1


async def test_a_sink_whose_log_is_gone_is_offered_everything_and_that_is_told() -> None:
    memory = await some_history()
    for name in [name for name in memory.kept if name.startswith("sinks/")]:
        del memory.kept[name]
    store = opened(memory)
    await store.attach([Start("siem")])
    assert numbers(await store.due("siem", 20)) == list(range(6, 12)), "its places in the tenants are still there"
    (flaw,) = await store.flaws()
    assert (flaw.reason, flaw.tenant_id) == ("state_damaged", None)


async def test_notes_count_for_a_week() -> None:
    memory = await some_history()
    memory.kept[f"{CONTOSO}/000000000002"] = b"torn"
    store = opened(memory)
    await read_all(store)
    await store.commit(CONTOSO, State(4, {"head": b"{}"}), [])
    later = DocumentsStore(memory, SimulatedClock(datetime(2026, 11, 29, 8, tzinfo=UTC)))
    assert len(await later.flaws()) == 1
    later = DocumentsStore(memory, SimulatedClock(datetime(2026, 11, 29, 10, tzinfo=UTC)))
    assert await later.flaws() == []
    await later.purge("2026-11-22T10:00:00Z")
    assert not [name for name in memory.kept if name.endswith(".flaw")]


async def test_the_connectors_own_words_have_room_beyond_the_bound() -> None:
    store = opened(Memory(), max_bytes=100)
    await add(store, events(range(5)))
    await store.stats()
    with pytest.raises(StoreError, match="bound"):
        await add(store, events([6]))
    await store.commit("", State(parts={"head": b"{}"}), [event(1, tenant=None, type="connector.problem")])


async def test_a_number_further_on_does_not_count_beside_the_next_one() -> None:
    """Of two writers one knew of a sink's place and the other did not: they chose different numbers."""
    memory = Memory()
    logs = Logs(memory)
    assert await logs.append("a", {}, None, {})
    root = await logs.root("a", {1: 0})
    assert await logs.append("a", {1: 0}, root, {"who": "next"})
    assert not await logs.append("a", {1: 0}, root, {"who": "further"}, number=7)
    assert sorted(memory.kept) == ["a/000000000001", "a/000000000002"], "and what it wrote is gone"
    now = await logs.list("a/")
    root = await logs.root("a", now["a"])
    assert await logs.append("a", now["a"], root, {"who": "further"}, number=7)
    assert await logs.append("a", (await logs.list("a/"))["a"], await logs.root("a", {7: 0}), {})
    assert "a/000000000008" in memory.kept
