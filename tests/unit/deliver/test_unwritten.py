"""While the state can be read but not written, what was committed goes out, once, and is noted afterwards."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from connector.deliver import unwritten
from connector.deliver.unwritten import PatientStore
from connector.errors import StateRefused, StoreError
from connector.health.state_watch import StateWatch
from connector.model import Receipt, Record, accept_all
from connector.ports import Settlement, Start
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import add, events
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery


class ReadOnly:
    """A store whose disk takes no settlement while `error` is set."""

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.error: StoreError | None = StoreError("no space left", "free some")
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def settle(self, sink: str, settlement: Settlement) -> None:
        if self.error is not None:
            raise self.error
        self.written += 1
        await self.inner.settle(sink, settlement)


@pytest_asyncio.fixture
async def store(clock: JumpClock) -> AsyncIterator[ReadOnly]:
    with quick_folder() as folder:
        opened = await open_store(folder / "state.db", clock=clock)
        await opened.attach([Start("siem")])
        await add(opened, events(range(450)))
        yield ReadOnly(opened)
        await opened.close()


async def backlog(store: ReadOnly) -> tuple[int, int]:
    (sink,) = (await store.stats()).sinks
    return sink.backlog, sink.parked


def rejecting(bad: str) -> Any:
    def behave(records: Sequence[Record]) -> Receipt:
        good = accept_all([r for r in records if r.event_id != bad])
        return Receipt(good.accepted, {bad: "schema"} if any(r.event_id == bad for r in records) else {})

    return behave


async def test_everything_goes_out_once_and_is_noted_when_the_disk_is_writable_again(
    store: ReadOnly, clock: JumpClock
) -> None:
    patient, sink = PatientStore(store, StateWatch(clock)), FakeSink()
    sink.behave = rejecting(events(range(8))[7].id)
    loop = delivery(patient, sink, clock)
    for _ in range(12):
        await loop.turn()
        await clock.sleep(40)
    assert sum(len(batch) for batch in sink.offered) == 450, "each of them once"
    assert await backlog(store) == (450, 0)

    store.error = None
    await add(store.inner, events(range(450, 460)))
    await loop.turn()
    assert await backlog(store) == (0, 1)
    assert sum(len(batch) for batch in sink.offered) == 460
    assert await loop.store.due("siem", 10) == []


async def test_what_is_kept_in_memory_is_bounded(
    store: ReadOnly, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwritten, "MAX_UNWRITTEN", 150)
    sink = FakeSink()
    loop = delivery(PatientStore(store, StateWatch(clock)), sink, clock)
    await loop.turn()
    await loop.turn()
    with pytest.raises(StoreError, match="no space left"):
        await loop.turn()
    assert len(sink.got) == 200


async def test_a_disk_that_fails_is_not_asked_before_its_time(store: ReadOnly, clock: JumpClock) -> None:
    watch = StateWatch(clock)
    patient = PatientStore(store, watch)
    await patient.settle("siem", Settlement(at="2030-01-10T00:00:00Z", accepted=frozenset({1})))
    store.error = None
    await patient.due("siem", 10)
    assert store.written == 0
    await clock.sleep(watch.wait_s("settle:siem"))
    await patient.due("siem", 10)
    assert store.written == 1


async def test_what_is_offered_again_is_found_behind_settlements_that_could_not_be_written(
    store: ReadOnly, clock: JumpClock
) -> None:
    (first,) = await store.due("siem", 1)
    await store.inner.settle("siem", Settlement(at="2030-01-10T00:00:00Z", parked={first.seq: "no"}))
    await store.unpark([first.event.id], "siem", "retry")
    patient = PatientStore(store, StateWatch(clock))
    rest = frozenset(p.seq for p in await patient.due("siem", 1000))
    assert len(rest) == 449
    await patient.settle("siem", Settlement(at="2030-01-10T00:00:01Z", accepted=rest))
    assert [(p.seq, p.kind) for p in await patient.due("siem", 10)] == [(first.seq, "again")]
    assert [p.seq for p in await patient.due("siem", 10, again=True)] == [first.seq]
    assert await patient.due("siem", 10, without={str(first.event.tenant_id)}) == []
    await patient.settle("siem", Settlement(at="2030-01-10T00:00:02Z", accepted=frozenset({first.seq})))
    assert await patient.due("siem", 10) == []


async def test_at_the_end_it_is_tried_once_more_and_said_how_much_comes_again(
    store: ReadOnly, clock: JumpClock, caplog: pytest.LogCaptureFixture
) -> None:
    patient = PatientStore(store, StateWatch(clock))
    await patient.settle("siem", Settlement(at="2030-01-10T00:00:00Z", accepted=frozenset({1, 2})))
    assert await patient.write("siem", last=True) == 2
    assert "deliver.unwritten" in caplog.text
    store.error = None
    assert await patient.write("siem", last=True) == 0


async def test_a_state_that_is_not_ours_is_not_waited_for(store: ReadOnly, clock: JumpClock) -> None:
    store.error = StateRefused("a newer version's")
    with pytest.raises(StateRefused):
        await PatientStore(store, StateWatch(clock)).settle("siem", Settlement(at="", accepted=frozenset({1})))
