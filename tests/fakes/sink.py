"""A sink in memory that behaves as a test says, and the delivery loop around it. No assertions live here."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from attrs import Factory, define

from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore
from connector.mapping.load import load_mapping
from connector.model import Receipt, Record, accept_all
from connector.ports import Clock

Behaviour = Callable[[Sequence[Record]], Receipt]
"""Answers a batch; may raise what a sink raises."""


@define
class FakeSink:
    """Takes everything unless `behave` says otherwise. `offered` are the batches, `got` what was accepted, by id."""

    name: str = "siem"
    max_records: int = 100
    max_bytes: int = 1_000_000
    replay_window_s: float = 0.0
    behave: Behaviour = accept_all
    offered: list[list[str]] = Factory(list)
    got: list[str] = Factory(list)

    async def send(self, records: Sequence[Record]) -> Receipt:
        self.offered.append([r.event_id for r in records])
        receipt = self.behave(records)
        self.got += [r.event_id for r in records if r.event_id in receipt.accepted]
        return receipt

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


def delivery(store: Any, sink: Any, clock: Clock, *, wants: Filter | None = None, **fields: Any) -> Delivery:
    """A loop with CloudEvents as its mapping and dice that always fall alike."""
    durable: DurableStore = store
    fields.setdefault("mapping", load_mapping("cloudevents"))
    fields.setdefault("max_records", sink.max_records)
    fields.setdefault("max_bytes", sink.max_bytes)
    return Delivery(store=durable, sink=sink, clock=clock, wants=wants or Filter(), dice=Random(1), **fields)
