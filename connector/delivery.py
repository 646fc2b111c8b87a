"""The deliver side: due → render → send → settle, one loop a sink.

Owns batching, filters, back-off and parking, so that a sink stays three methods. Nothing is settled before the sink has
answered; an event in neither part of a receipt is offered again. Back-off lives in this process only.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from random import Random

from attrs import define, evolve, field, frozen

from connector import backoff
from connector.clock import iso
from connector.config import selects
from connector.errors import Denied, MappingError, Unavailable
from connector.mapping import Mapping as RecordMapping
from connector.model import Event, Receipt, Record
from connector.ports import Clock, Operator, Pending, Settlement, Sink, Store

log = logging.getLogger("securescore.deliver")

BACKOFF_BASE_S = 1.0
BACKOFF_CAP_S = 300.0
HOLD_S = 300.0
"""How long to wait when an operator must act; every sink is tried again some time, for ever."""
IDLE_S = 1.0
PAGE = 1_000
"""How many events are looked at in one turn where the sink takes more."""


class DurableStore(Store, Operator):
    """What a delivery loop needs of a store: settlement, and the replay window."""


@frozen
class Filter:
    """Which events concern a sink. Globs match types; `tenants` are name globs or "label=value" (glob on the value)."""

    streams: frozenset[str] = frozenset({"score", "inventory", "change", "health"})
    backfilled: bool = True
    tenants: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_severity: int = 0

    def wants(self, event: Event) -> bool:
        if event.stream not in self.streams or (event.backfilled and not self.backfilled):
            return False
        if event.severity < self.min_severity and event.stream != "health":
            return False
        if self.include and not any(fnmatchcase(event.type, glob) for glob in self.include):
            return False
        if any(fnmatchcase(event.type, glob) for glob in self.exclude):
            return False
        tenant = event.data["tenant"]  # None for the connector's own events, which concern every sink
        return tenant is None or selects(self.tenants, tenant["name"], tenant["labels"])


@frozen
class Outcome:
    """What one turn of a sink came to. `state` is ok, idle, unavailable, denied or failed."""

    sink: str
    state: str
    sent: int = 0
    parked: int = 0
    skipped: int = 0
    error: str | None = None
    hint: str = ""
    wait_s: float = 0.0


@define
class Delivery:
    """One sink's loop. `attempt` counts failed turns in a row; it and `window_from` live in memory only."""

    store: DurableStore
    sink: Sink
    mapping: RecordMapping
    clock: Clock
    wants: Filter
    max_records: int
    max_bytes: int
    dice: Random = field(factory=Random, repr=False)
    attempt: int = 0
    last_error: str | None = None
    delivered: int = 0

    async def turn(self, tenant_id: str | None = None) -> Outcome:
        """Offer one batch. Never raises for a fault of the far end; StoreError is raised."""
        due = await self.store.due(self.sink.name, max(1, min(self.max_records, PAGE)), tenant_id)
        if not due:
            return Outcome(self.sink.name, "idle", wait_s=IDLE_S)
        skipped = frozenset(p.seq for p in due if not self.wants.wants(p.event))
        batch, records, unrenderable = self._render([p for p in due if p.seq not in skipped])
        started = iso(self.clock.now())
        receipt, error = Receipt(), None
        if records:
            try:
                receipt = await self.sink.send(records)
            except (Unavailable, Denied) as caught:
                error = caught
            except Exception as bug:
                log.exception("deliver.bug", extra={"sink": self.sink.name})
                error = Unavailable(f"{type(bug).__name__} inside the sink", hint="this is a bug: report the log")
        parked = dict(unrenderable)
        accepted = frozenset(p.seq for p in batch if p.event.id in receipt.accepted)
        refused = [p for p in batch if p.event.id in receipt.rejected and p.seq not in accepted]
        parked.update({p.seq: receipt.rejected[p.event.id] for p in refused})
        settlement = Settlement(
            at=iso(self.clock.now()),
            first_sent=started,
            attempted=tuple(p.seq for p in batch),
            accepted=accepted,
            skipped=skipped,
            parked=parked,
        )
        await self.store.settle(self.sink.name, settlement)
        for seq, reason in parked.items():
            log.warning("deliver.parked", extra={"sink": self.sink.name, "seq": seq, "reason": reason})
        result = Outcome(self.sink.name, "ok", sent=len(accepted), parked=len(parked), skipped=len(skipped))
        self.delivered += len(accepted)
        if error is not None:
            return await self._refused(error, result)
        if records and not accepted and not receipt.rejected:
            return await self._refused(Unavailable("the sink accepted nothing and rejected nothing"), result)
        self.attempt, self.last_error = 0, None
        return result

    async def _refused(self, error: Unavailable | Denied, result: Outcome) -> Outcome:
        """Back off; after `Unavailable` what was settled within the replay window is offered again."""
        if isinstance(error, Unavailable) and self.sink.replay_window_s and self.attempt == 0:
            since = iso(self.clock.now() - timedelta(seconds=self.sink.replay_window_s))
            again = await self.store.recent(self.sink.name, since)
            if again:
                log.info("deliver.replay_window", extra={"sink": self.sink.name, "events": again})
        self.attempt += 1
        self.last_error = error.what
        if isinstance(error, Denied):
            wait_s = backoff.delay_s(self.attempt, HOLD_S, HOLD_S, self.dice)
            wait_s = max(wait_s, HOLD_S / 2)
        else:
            wait_s = backoff.delay_s(self.attempt, BACKOFF_BASE_S, BACKOFF_CAP_S, self.dice, error.retry_after_s)
        state = "denied" if isinstance(error, Denied) else "unavailable"
        log.warning(
            "deliver.refused",
            extra={"sink": self.sink.name, "state": state, "error": error.what, "wait_s": round(wait_s, 1)},
        )
        return evolve(result, state=state, error=error.what, hint=error.hint, wait_s=wait_s)

    def _render(self, due: Sequence[Pending]) -> tuple[list[Pending], list[Record], dict[int, str]]:
        """The largest prefix that fits one batch, rendered; what cannot be rendered is parked for this sink."""
        batch: list[Pending] = []
        records: list[Record] = []
        unrenderable: dict[int, str] = {}
        size = 0
        for pending in due:
            try:
                record = self.mapping.render(pending.event)
            except MappingError as error:
                unrenderable[pending.seq] = f"mapping {self.mapping.name}: {error.what}"
                continue
            octets = _octets(record)
            if batch and (len(batch) >= self.max_records or size + octets > self.max_bytes):
                break
            batch.append(pending)
            records.append(record)
            size += octets
        return batch, records, unrenderable

    async def drain(self, deadline_s: float) -> Outcome:
        """Offer until nothing is due or the deadline has passed; transient failures are retried within it."""
        end = self.clock.now() + timedelta(seconds=deadline_s)
        total = Outcome(self.sink.name, "idle")
        while True:
            turn = await self.turn()
            total = evolve(
                turn,
                sent=total.sent + turn.sent,
                parked=total.parked + turn.parked,
                skipped=total.skipped + turn.skipped,
            )
            if turn.state == "idle":
                return evolve(total, state="ok")
            if turn.state == "ok":
                continue
            remaining_s = (end - self.clock.now()).total_seconds()
            if turn.state == "denied" or turn.wait_s >= remaining_s:
                return total
            await self.clock.sleep(turn.wait_s)

    async def run(self, stop: asyncio.Event, wake: asyncio.Event | None = None) -> None:
        """Offer for ever, until `stop`. `wake` shortens the idle wait when something was committed."""
        while not stop.is_set():
            turn = await self.turn()
            if turn.wait_s:
                await _wait(self.clock, turn.wait_s, stop, wake if turn.state == "idle" else None)


async def _wait(clock: Clock, seconds: float, stop: asyncio.Event, wake: asyncio.Event | None) -> None:
    tasks = [asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(stop.wait())]
    if wake is not None:
        tasks.append(asyncio.ensure_future(wake.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _octets(record: Record) -> int:
    """The record's size in UTF-8 octets, as near as the payload's kind allows without encoding it twice."""
    if isinstance(record.payload, str):
        text = record.payload
        return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return len(json.dumps(record.payload, separators=(",", ":"), default=str))
