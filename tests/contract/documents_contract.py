"""The contract every place for documents keeps (ports.Documents), as tests: its own test file gives `documents`.

Nothing about any particular place.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from connector.clock import SimulatedClock
from connector.errors import Conflict
from connector.ports import Documents, Query, Start, State
from connector.stores.documents import DocumentsStore
from tests.contract.store_contract import CONTOSO, event, events, numbers, settle

BODIES = {"empty": b"", "small": b"\x00\xff\r\n", "large": bytes(range(256)) * 16_000}


class DocumentsContract:
    """Inherit and give `documents`: an empty place."""

    @pytest_asyncio.fixture(autouse=True)
    async def closing(self, documents: Documents) -> AsyncIterator[None]:
        yield
        await documents.close()

    async def test_an_empty_place(self, documents: Documents) -> None:
        assert dict(await documents.list("")) == {}
        assert dict(await documents.list("nowhere/")) == {}
        assert await documents.get("a/000000000001") is None
        await documents.delete("a/000000000001")

    @pytest.mark.parametrize("name", BODIES)
    async def test_a_document_comes_back_as_it_was(self, documents: Documents, name: str) -> None:
        await documents.create("a_2d/b.1/000000000001", BODIES[name])
        assert await documents.get("a_2d/b.1/000000000001") == BODIES[name]

    async def test_a_name_is_given_once(self, documents: Documents) -> None:
        await documents.create("a/1", b"first")
        with pytest.raises(Conflict) as caught:
            await documents.create("a/1", b"second")
        assert caught.value.hint
        assert await documents.get("a/1") == b"first"

    @pytest.mark.parametrize("size", [10, 3_000_000])
    async def test_of_many_writers_at_once_one_wins_whole(self, documents: Documents, size: int) -> None:
        bodies = [bytes([n]) * size for n in range(8)]
        results = await asyncio.gather(*(documents.create("a/1", b) for b in bodies), return_exceptions=True)
        assert sorted(type(r).__name__ for r in results) == ["Conflict"] * 7 + ["NoneType"]
        assert await documents.get("a/1") == bodies[results.index(None)]
        assert list(await documents.list("")) == ["a/1"]

    async def test_list_takes_a_prefix_and_gives_sizes(self, documents: Documents) -> None:
        for name in ("a/1", "a/2", "a/b.1/1", "ab/1", "sinks/a/1"):
            await documents.create(name, b"x" * 10)
        assert set(await documents.list("")) == {"a/1", "a/2", "a/b.1/1", "ab/1", "sinks/a/1"}
        assert set(await documents.list("a/")) == {"a/1", "a/2", "a/b.1/1"}
        assert set(await documents.list("a/b.1/")) == {"a/b.1/1"}
        assert all(size >= 10 for size in (await documents.list("")).values())

    async def test_list_is_complete_when_long(self, documents: Documents) -> None:
        names = {f"a/{n:012d}" for n in range(250)}
        for name in sorted(names):
            await documents.create(name, b"x")
        assert set(await documents.list("a/")) == names

    async def test_deleted_is_gone_and_may_be_deleted_again(self, documents: Documents) -> None:
        for name in ("a/1", "a/12"):
            await documents.create(name, BODIES["large"])
        await documents.delete("a/1")
        await documents.delete("a/1")
        assert await documents.get("a/1") is None
        assert set(await documents.list("")) == {"a/12"}
        assert await documents.get("a/12") == BODIES["large"]

    @pytest.mark.parametrize("damage", [b"torn", b"", None], ids=["torn", "empty", "missing"])
    async def test_a_store_in_it_counts_what_is_damaged_before_it_is_forgotten(
        self, documents: Documents, damage: bytes | None
    ) -> None:
        """Another process meets it, tells it, and goes on with what is sound; the count outlives that."""

        def opened() -> DocumentsStore:
            return DocumentsStore(documents, SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)))

        store = opened()
        await store.attach([Start("siem"), Start("dead")])
        for n in range(3):
            await store.commit(CONTOSO, State(n, {"head": b"{}", f"days/{n}": b"1"}), events([2 * n, 2 * n + 1]))
        await settle(store, "siem", accept=range(3), limit=3)
        name = f"{CONTOSO}/000000000002"
        await documents.delete(name)
        if damage is not None:
            await documents.create(name, damage)
        store = opened()
        assert [e.data["number"] for e in await store.history(Query())] == [0, 1, 4, 5]
        (flaw,) = await store.flaws()
        assert (flaw.reason, flaw.document, flaw.tenant_id) == ("state_damaged", name, CONTOSO)
        assert (flaw.events, flaw.sinks) == (2, {"siem": 1, "dead": 2})
        assert [f.document for f in await store.verify()] == [name]
        await settle(store, "dead", accept=[0, 1, 4, 5])
        state = await store.load(CONTOSO)
        assert state is not None
        await store.commit(CONTOSO, State(state.generation, {"head": b"new"}), [event(9)])
        (noted,) = await opened().flaws()
        assert (noted.events, noted.sinks) == (2, {"siem": 1, "dead": 2})
        assert numbers(await opened().due("siem", 10)) == [4, 5, 9]
