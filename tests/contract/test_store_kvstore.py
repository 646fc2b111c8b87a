"""The documents store in a Splunk KV store keeps both contracts, through the real splunk-sdk client."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from connector.clock import SimulatedClock
from connector.errors import StoreError
from connector.homes.splunkd import bounded
from connector.ports import State
from connector.sources.pages import TooMuch
from connector.stores import kvstore
from connector.stores.documents import DocumentsStore
from connector.stores.kvstore import KvStore, open_store
from tests.contract.documents_contract import DocumentsContract
from tests.contract.store_contract import CONTOSO, Home, StoreContract, events
from tests.fakes.kvstore import MAX_RECORD_BYTES, Splunkd, collection, splunkd

pytest.importorskip("splunklib", reason="pip install secure-score-connector[splunk]")


@pytest.fixture
def server() -> Iterator[Splunkd]:
    with splunkd("state") as running:
        yield running


class Collection:
    def __init__(self, server: Splunkd) -> None:
        self.server = server
        self.clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))

    async def open(self) -> DocumentsStore:
        return open_store(collection(self.server, "state"), clock=self.clock)

    async def beside(self) -> DocumentsStore:
        return await self.open()

    async def copy(self) -> object:
        return dict(self.server.collections["state"])

    async def restore(self, copy: object) -> None:
        assert isinstance(copy, dict)
        self.server.collections["state"] = copy


class TestKvStoreStore(StoreContract):
    @pytest.fixture
    def home(self, server: Splunkd) -> Home:
        return Collection(server)

    @pytest.mark.parametrize("seed", range(2))  # fewer than elsewhere: each takes hundreds of requests
    async def test_any_course_of_events_is_as_the_model_says(self, home: Home, seed: int) -> None:
        await super().test_any_course_of_events_is_as_the_model_says(home, seed)


class TestKvStore(DocumentsContract):
    @pytest.fixture
    def documents(self, server: Splunkd) -> KvStore:
        return KvStore(collection(server, "state"))


async def test_a_store_that_hangs_holds_nobody_beyond_the_time_limit(
    server: Splunkd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the caller nor the loop, which would wait for threads of its own when it ends."""
    monkeypatch.setattr(kvstore, "LIMIT_S", 30.0)

    async def run() -> None:
        store = await Collection(server).open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await store.load(CONTOSO)
        monkeypatch.setattr(kvstore, "LIMIT_S", 0.3)
        with pytest.raises(StoreError, match="does not answer: not over after"):
            await store.load(CONTOSO)

    began = time.monotonic()
    with server.hanging():
        await asyncio.to_thread(asyncio.run, run())
        assert time.monotonic() - began < 10


async def test_an_answer_without_end_is_not_read_to_the_end(server: Splunkd) -> None:
    """Of bytes no more than stated, and none that would become far more in memory."""
    from splunklib.binding import handler  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra

    address = f"http://127.0.0.1:{server.port}/services/server/info"
    message = {"method": "GET", "headers": [("Authorization", f"Splunk {server.session}")]}
    whole = bounded(handler())(address, message)["body"].read()
    assert bounded(handler(), len(whole))(address, message)["body"].read() == whole
    with pytest.raises(OSError, match="larger than"):
        bounded(handler(), len(whole) - 1)(address, message)
    server.roles = tuple("x" for _ in range(1_600_000))
    with pytest.raises(TooMuch):
        bounded(handler())(address, message)


async def test_a_large_commit_becomes_records_below_one_megabyte(server: Splunkd) -> None:
    store = await Collection(server).open()
    part = bytes((n * 7919 >> 3) & 0xFF for n in range(2_500_000))
    await store.commit(CONTOSO, State(parts={"days": part}), events(range(10)))
    assert MAX_RECORD_BYTES / 2 < server.largest_bytes < MAX_RECORD_BYTES
    again = await Collection(server).open()
    state = await again.load(CONTOSO)
    assert state is not None
    assert state.parts == {"days": part}


async def test_a_crash_between_the_records_of_a_document_commits_nothing(server: Splunkd) -> None:
    store = await Collection(server).open()
    part = bytes(range(256)) * 10_000
    await store.commit(CONTOSO, State(parts={"days": part}), [])
    chunks = {k: r for k, r in server.collections["state"].items() if r["kind"] == "chunk"}
    assert chunks
    server.collections["state"].clear()
    server.collections["state"].update(chunks)  # as if the last insert had never come
    again = await Collection(server).open()
    assert await again.load(CONTOSO) is None
    assert (await again.commit(CONTOSO, State(parts={"days": part}), [])).generation == 1
    state = await again.load(CONTOSO)
    assert state is not None
    assert state.parts == {"days": part}


async def test_deleting_a_document_leaves_no_record_of_it(server: Splunkd) -> None:
    documents = KvStore(collection(server, "state"))
    await documents.create("a/1", bytes(2_000_000))
    await documents.create("a/12", b"x")
    assert len(server.collections["state"]) == 5
    await documents.delete("a/1")
    assert list(server.collections["state"]) == ["a:12"]


@pytest.mark.parametrize(("status", "words"), [(401, "session"), (403, "role"), (503, "kvstore-status"), (500, "KV")])
async def test_refusals_are_named(server: Splunkd, status: int, words: str) -> None:
    store = await Collection(server).open()
    server.fail = status
    with pytest.raises(StoreError, match=str(status)) as caught:
        await store.load(CONTOSO)
    assert words in caught.value.hint


async def test_a_splunkd_that_is_gone_is_named() -> None:
    with splunkd("state") as server:
        store = await Collection(server).open()
    with pytest.raises(StoreError, match="reached") as caught:
        await store.load(CONTOSO)
    assert caught.value.hint


async def test_stores_with_prefixes_share_a_collection(server: Splunkd) -> None:
    shared = collection(server, "state")
    clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))
    one, other = (open_store(shared, clock=clock, prefix=prefix) for prefix in ("prod/", "prod.b/"))
    await one.commit(CONTOSO, State(parts={"head": b"1"}), events(range(2)))
    assert await other.load(CONTOSO) is None
    await other.commit(CONTOSO, State(parts={"head": b"2"}), [])
    for store, head in ((one, b"1"), (other, b"2")):
        state = await store.load(CONTOSO)
        assert state is not None
        assert state.parts == {"head": head}
