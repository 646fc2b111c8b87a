"""A sink in memory that behaves as a test says, and the delivery loop around it. No assertions live here."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from attrs import Factory, define, evolve

from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore, Outcome
from connector.errors import SecureScoreError, kept
from connector.model import Receipt, Record, accept_all
from connector.ports import Clock
from tests.golden import samples

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
        try:
            receipt = self.behave(records)
        except SecureScoreError as error:
            raise kept(error) from None  # a test may raise the same one again and again, and it would grow each time
        self.got += [r.event_id for r in records if r.event_id in receipt.accepted]
        return receipt

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


def delivery(store: Any, sink: Any, clock: Clock, *, wants: Filter | None = None, **fields: Any) -> Delivery:
    """A loop with CloudEvents as its mapping and dice that always fall alike."""
    durable: DurableStore = store
    fields.setdefault("mapping", samples.mapping("cloudevents"))
    fields.setdefault("max_records", sink.max_records)
    fields.setdefault("max_bytes", sink.max_bytes)
    return Delivery(store=durable, sink=sink, clock=clock, wants=wants or Filter(), dice=Random(1), **fields)


async def turn_of_all(loop: Delivery, until: dict[str, datetime]) -> Outcome:
    """A turn of a sink's queue, then one of each tenant that is apart and has waited, as tasks of their own take them.

    `until` remembers when that is.
    """
    turn = await loop.turn()
    for tenant_id, tenant in list(loop.apart.items()):
        now = loop.clock.now()
        last = tenant.queue.last
        until.setdefault(tenant_id, now + timedelta(seconds=last.wait_s if last else 0.0))
        if now < until[tenant_id]:
            continue
        own = await tenant.queue.turn()
        turn = turn.plus(own)
        until[tenant_id] = now + timedelta(seconds=own.wait_s)
        if own.state == "idle":
            loop.rejoin(tenant_id)
            del until[tenant_id]
    if turn.state != "idle" or not loop.apart:
        return turn
    wait_s = (min(until.values()) - loop.clock.now()).total_seconds()
    return evolve(turn, state="unavailable", wait_s=max(0.0, wait_s))
