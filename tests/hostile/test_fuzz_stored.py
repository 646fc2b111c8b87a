"""Whatever became of what is kept: it is read, or one of our errors says so; never anything else.

The state is ours, but disks fail, backups are cut, and an account that was taken over may write there.
"""

import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.clock import SimulatedClock
from connector.errors import StoreError
from connector.formats import cloudevents
from connector.model import Event
from connector.observe import memory, months
from connector.ports import Query, Start, State
from connector.stores import directory, sqlite
from connector.stores.packing import key_of, pack, text_of, unpack
from tests.contract.store_contract import CONTOSO, FABRIKAM, AnyStore, add, events
from tests.hostile.matter import TEXTS, altered, budget, harmed, only, values


def clock() -> SimulatedClock:
    return SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))


async def filled(store: AnyStore) -> None:
    await store.attach([Start("siem")])
    for tenant in (CONTOSO, FABRIKAM):
        await store.commit(tenant, State(parts={"head": b"{}"}), events(range(3), tenant=tenant))
    await store.close()


async def used(store: AnyStore) -> None:
    """What the daemon and the commands ask of a store."""
    try:
        for work in (store.stats(), store.due("siem", 10), store.history(Query())):
            with only(StoreError):
                await work
        for tenant in (CONTOSO, FABRIKAM):
            await add(store, events(range(3, 5), tenant=tenant), tenant)
    finally:
        await store.close()


RIGHT = pack({"name": "t/1", "trail": [], "parts": {"head": [1, 0]}}, [b"abc", zlib.compress(b"{}")])


@budget(75)
@given(harmed(RIGHT) | st.binary(max_size=80))
def test_any_octets_of_a_document(raw: bytes) -> None:
    try:
        found = unpack(raw)
    except (ValueError, RecursionError):
        return
    assert pack(found.header, [found.blobs])


@budget(100)
@given(TEXTS)
def test_every_name_comes_back_from_its_key(text: str) -> None:
    key = key_of(text)
    if key is not None:
        assert text_of(key) == text
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


@budget(20)
@given(st.data())
async def test_any_damage_to_a_folder_of_documents(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    await filled(await directory.open_store(folder, clock=clock()))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=3, unique=True)):
        path.write_bytes(data.draw(harmed(path.read_bytes())))
    with only(StoreError):
        await used(await directory.open_store(folder, clock=clock()))


@budget(20)
@given(st.data())
async def test_any_damage_to_a_state_file(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
    await filled(await sqlite.open_store(path, clock=clock()))
    path.write_bytes(data.draw(harmed(path.read_bytes())))
    with only(StoreError):
        await used(await sqlite.open_store(path, clock=clock()))


(EVENT,) = events(range(1))


@budget(75)
@given(altered(cloudevents.document(EVENT)) | values())
def test_any_event_that_is_kept(document: Any) -> None:
    try:
        assert isinstance(cloudevents.loads(json.dumps(document)), Event)
    except (ValueError, KeyError, TypeError, AttributeError):  # what the stores take for damage
        return


PARTS = {"head": {"newest": "2026-11-22", "refused": None}, "days/2026-11": {"days": [], "controls": []}}


@budget(75)
@given(
    st.dictionaries(
        st.sampled_from(["head", "days/2026-11", "profiles", "days/x"]), harmed(months.dumps(PARTS["head"])), max_size=3
    )
)
def test_any_octets_of_a_memory(parts: dict[str, bytes]) -> None:
    state = State(parts=parts)
    for read in (memory.head, memory.approve):
        with only(StoreError):
            read(state)
    with only(StoreError):
        list(memory.decode(state).days.values())


@pytest.mark.parametrize("head", [b"[]", b"null", b"1", b'"x"', b"[" * 100_000, b"{" * 3])
def test_a_memory_that_is_no_object(head: bytes) -> None:
    with pytest.raises(StoreError):
        memory.decode(State(parts={"head": head}))
