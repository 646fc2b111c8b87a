"""What is delivered in the benchmark: events of a simulated tenant, an outbox with them, and its emptying."""

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock, SystemClock
from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore
from connector.deliver.loop import drain
from connector.ids import event_id
from connector.mapping.render import Mapping
from connector.model import Event
from connector.ports import Query, Start, State
from connector.stores.sqlite import SqliteStore, open_store
from tests.bench.measure import Spent, wall
from tests.bench.reading import config
from tests.bench.servers import NOW, started

_T = TypeVar("_T")

BATCH = 1_000
TENANT = "11111111-2222-3333-4444-555555555555"


async def events_of_a_tenant(folder: Path, live_days: int) -> list[Event]:
    """What really comes out of a tenant's first contact and some live days, inventory included."""
    with started("graph", tenants=1, size="mid") as server:
        settings = config(server, folder)
        clock = SimulatedClock(NOW)
        async with open_app(settings, clock=clock) as app:
            for _ in range(1 + live_days):
                [outcome] = await app.poll_once()
                assert outcome.error is None, outcome
                await clock.advance(86_400)
                server.ask("advance 86400")
            return await app.store.history(Query())


def without_inventory(sample: Sequence[Event]) -> list[Event]:
    """What sinks deliver by default that look at single events (syslog, webhook)."""
    return [event for event in sample if event.stream != "inventory"]


def many(sample: Sequence[Event], count: int, series: int) -> list[Event]:
    """So many events like these, every one with an id of its own."""
    found = islice(cycle(sample), count)
    return [
        evolve(e, id=event_id(TENANT, e.type, e.subject, str(series), str(number))) for number, e in enumerate(found)
    ]


def batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


async def filled(folder: Path, events: Sequence[Event], name: str = "out", tenant: str = TENANT) -> SqliteStore:
    """A new state whose outbox holds these events for one sink."""
    folder.mkdir()
    store = await open_store(folder / "state.db", clock=SystemClock())
    await store.attach([Start(name)])
    await add(store, events, tenant)
    return store


async def add(store: SqliteStore, events: Sequence[Event], tenant: str = TENANT) -> None:
    state = await store.load(tenant) or State()
    for batch in batches(events, BATCH):
        state = await store.commit(tenant, state, batch)


def delivery(store: SqliteStore, sink: Any, form: Mapping) -> Delivery:
    return Delivery(
        store=cast("DurableStore", store),
        sink=sink,
        mapping=form,
        clock=SystemClock(),
        wants=Filter(),
        max_records=sink.max_records,
        max_bytes=sink.max_bytes,
        dice=Random(1),
    )


async def delivered(folder: Path, events: Sequence[Event], sink: Any, form: Mapping) -> Spent:
    """From an outbox that holds these events until the last one is settled."""
    async with await filled(folder, events) as store:
        queue = delivery(store, sink, form)
        with wall() as spent:
            outcome = await drain(queue, 600.0)
    assert outcome.sent == len(events), outcome
    return spent
