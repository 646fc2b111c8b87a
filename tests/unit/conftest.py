"""What the tests of the delivery loop share: a store in a file with one sink, time that jumps, a sink in memory."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from connector.deliver.delivery import Delivery
from connector.ports import Start
from connector.stores.sqlite import SqliteStore, open_store
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest_asyncio.fixture
async def store(clock: JumpClock) -> AsyncIterator[SqliteStore]:
    with quick_folder() as folder:
        opened = await open_store(folder / "state.db", clock=clock)
        await opened.attach([Start("siem")])
        yield opened
        await opened.close()


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def loop(store: SqliteStore, sink: FakeSink, clock: JumpClock) -> Delivery:
    return delivery(store, sink, clock)
