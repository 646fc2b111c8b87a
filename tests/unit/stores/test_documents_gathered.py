"""Events that outlive the parts of the state they were committed with: gathered into a later document, whole."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from connector.clock import SimulatedClock
from connector.model import Event
from connector.ports import Documents, Query, Start, State
from connector.stores import documents_read, numbered
from connector.stores.documents import DocumentsStore
from connector.stores.documents_read import GATHER, GATHERED_BYTES
from connector.stores.numbered import Page
from connector.stores.packing import unpack
from tests.contract.store_contract import CONTOSO, T0, event, events, numbers, settle, take_all
from tests.fakes.documents import Crash, Memory, Perilous

MONTHS = 3


def opened(documents: Documents) -> DocumentsStore:
    return DocumentsStore(documents, SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)))


async def polled(store: DocumentsStore, turn: int, new: Sequence[Event], size: int = 10_000) -> None:
    """A poll with news: the day's part is another one, a month's part goes on for a while and then stays."""
    state = await store.load(CONTOSO) or State()
    month = f"days/{turn // 20}"
    parts = {**state.parts, "head": str(turn).encode(), "newest": os.urandom(size), month: os.urandom(size)}
    await store.commit(CONTOSO, State(state.generation, parts), new)


async def history(store: DocumentsStore) -> list[int]:
    return [int(e.data["number"]) for e in await store.history(Query())]


def lots(memory: Memory, name: str) -> list[int]:
    """The commits whose events lie in a document."""
    return list(Page(int(name.rpartition("/")[2]), unpack(memory.kept[name])).lots())


def commits(memory: Memory) -> list[str]:
    return sorted(name for name in memory.kept if name.startswith(f"{CONTOSO}/0"))


async def test_replaced_parts_do_not_stay_for_the_sake_of_the_events_beside_them() -> None:
    memory = Memory()
    store = opened(memory)
    for turn in range(20 * MONTHS):
        await polled(store, turn, events([2 * turn, 2 * turn + 1]))
    state = await store.load(CONTOSO)
    assert state is not None
    living = sum(map(len, state.parts.values()))
    assert sum(map(len, memory.kept.values())) < living + (GATHER + 2) * 20_500 + 60 * 1_000
    assert len(commits(memory)) <= 2 * GATHER
    fresh = opened(memory)
    await fresh.attach([Start("siem", whole_history=True)])
    assert await history(fresh) == list(range(40 * MONTHS))
    assert await fresh.load(CONTOSO) == state
    assert await take_all(fresh, "siem", 7) == list(range(40 * MONTHS))
    assert list(await fresh.verify()) == []


async def test_events_are_gathered_without_a_write_of_their_own_and_each_document_is_read_once_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing fits into the cache here."""

    class Counting(Memory):
        reads = creates = 0

        async def get(self, name: str) -> bytes | None:
            self.reads += 1
            return await super().get(name)

        async def create(self, name: str, body: bytes) -> None:
            self.creates += 1
            await super().create(name, body)

    monkeypatch.setattr(numbered, "CACHE_BYTES", 1)
    documents = Counting()
    store = opened(documents)
    costs = []
    for turn in range(3 * GATHER):
        before = documents.reads
        await polled(store, turn, [event(turn)])
        costs.append(documents.reads - before)
    assert documents.creates == 3 * GATHER
    gathering = [cost for cost in costs if cost >= GATHER]
    assert len(gathering) == 2
    assert max(gathering) <= GATHER + max(cost for cost in costs if cost < GATHER)


async def test_what_waits_for_a_sink_stands_apart_from_what_is_settled() -> None:
    """So that the one does not keep the other from making room."""
    memory = Memory()
    store = opened(memory)
    await store.attach([Start("siem"), Start("dead")])
    for turn in range(2 * GATHER):
        await polled(store, turn, [event(turn)])
        await take_all(store, "siem")
    assert [lots(memory, name) for name in commits(memory)] == [[n + 1] for n in range(2 * GATHER)]
    await take_all(store, "dead")
    await polled(store, 2 * GATHER, [event(2 * GATHER)])
    assert len(lots(memory, commits(memory)[-1])) == GATHER + 1


async def test_a_large_document_stays_as_it_is() -> None:
    memory = Memory()
    store = opened(memory)
    await polled(store, 0, [event(0, words=os.urandom(GATHERED_BYTES).hex())])
    first = commits(memory)[0]
    for turn in range(1, 3 * GATHER):
        await polled(store, turn, [event(turn)])
    assert first in memory.kept
    assert await history(opened(memory)) == list(range(3 * GATHER))


async def test_what_was_gathered_is_purged_commit_by_commit_and_its_document_with_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents_read, "GATHER", 4)
    memory = Memory()
    store = opened(memory)
    for turn in range(14, 22):
        await polled(store, turn, [event(turn, observed_at=f"2026-11-{turn}T00:00:00Z")])
    gathering = next(name for name in commits(memory) if len(lots(memory, name)) > 1)
    kept = await store.load(CONTOSO)
    assert await store.purge("2026-11-16T00:00:00Z") == 2
    assert await history(store) == [16, 17, 18, 19, 20, 21]
    assert gathering in memory.kept
    assert await store.purge("2026-11-20T00:00:00Z") == 4
    assert await history(opened(memory)) == [20, 21]
    assert gathering not in memory.kept, "the month that ended with it lies in another one now"
    assert await opened(memory).load(CONTOSO) == kept


async def test_room_is_made_by_documents_of_which_nothing_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose last commit still waits for a sink frees nothing, and keeps what else lies in it."""
    monkeypatch.setattr(documents_read, "GATHER", 4)
    memory = Memory()
    store = opened(memory)
    for turn in range(6):
        await polled(store, turn, [event(turn)])
    await store.attach([Start("siem", whole_history=True)])
    await settle(store, "siem", accept=range(3), limit=3)
    assert (await store.shed(1)).events == 0
    assert await history(store) == list(range(6))
    await take_all(store, "siem")
    assert (await store.shed(1)).events >= 4
    assert 0 not in await history(opened(memory))


@pytest.mark.parametrize("how", ["torn", "missing"])
async def test_of_a_damaged_document_every_commit_in_it_is_counted(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_read, "GATHER", 4)
    memory = Memory()
    store = opened(memory)
    for turn in range(8):
        await polled(store, turn, events([3 * turn, 3 * turn + 1, 3 * turn + 2]))
    gathering = next(name for name in commits(memory) if len(lots(memory, name)) > 1)
    held = len(lots(memory, gathering)) * 3
    assert held == 15
    await store.attach([Start("siem", whole_history=True)])
    await settle(store, "siem", accept=range(5), park={5: "no"}, limit=6)
    if how == "torn":
        memory.kept[gathering] = memory.kept[gathering][:-9]
    else:
        del memory.kept[gathering]
    fresh = opened(memory)
    there = [*range(12, 15), *range(18, 24)]
    assert await history(fresh) == there
    (flaw,) = await fresh.flaws()
    assert (flaw.document, flaw.events, flaw.sinks) == (gathering, held, {"siem": held - 5})
    assert numbers(await fresh.due("siem", 100)) == there


async def test_the_document_before_still_finds_everything_when_the_one_that_gathered_is_torn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents_read, "GATHER", 4)
    memory = Memory()
    store = opened(memory)
    for turn in range(6):
        await polled(store, turn, [event(turn, observed_at=T0)])
    newest = commits(memory)[-1]
    assert len(lots(memory, newest)) == 5
    memory.kept[newest] = b"torn"
    fresh = opened(memory)
    assert await history(fresh) == [0, 1, 2, 3, 4]
    await polled(fresh, 5, [event(5), event(6)])
    assert await history(opened(memory)) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_call_while_events_are_gathered_loses_and_halves_nothing(
    after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies at every call in turn, starts anew and repeats the poll: it ends where it always ends."""
    monkeypatch.setattr(documents_read, "GATHER", 2)

    async def run(documents: Perilous) -> tuple[object, ...]:
        store = opened(documents)
        for turn in range(8):
            for _ in range(2):
                try:
                    state = await store.load(CONTOSO) or State()
                    if state.parts.get("head") != str(turn).encode():
                        await polled(store, turn, [event(turn)], size=turn)
                    break
                except Crash:
                    store = opened(documents)
        store = opened(documents.inner)
        state = await store.load(CONTOSO) or State()
        return sorted(state.parts), state.parts["head"], await history(store), list(await store.verify())

    undisturbed = Perilous(Memory())
    expected = await run(undisturbed)
    assert expected[2] == list(range(8))
    assert sum(len(lots(undisturbed.inner, name)) > 1 for name in commits(undisturbed.inner)) >= 2
    for crash_at in range(1, undisturbed.calls + 1):
        documents = Perilous(Memory(), crash_at=crash_at, after=after)
        assert await run(documents) == expected, f"crash at call {crash_at}"
        assert len(documents.inner.kept) <= len(undisturbed.inner.kept) + 3, "leftovers are cleared away"
