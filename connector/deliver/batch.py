"""One batch of a sink: which of the due events concern it, what they look like there, and how many of them fit.

Pure but for the log of a mapping's own bug; rendering lets other tasks run in between. Nothing is sent and nothing
settled here (sending.py, delivery.py).
"""

import asyncio
import logging
from collections import abc
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from attrs import Factory, define, evolve, field, frozen

from connector.config.values import TenantConfig, selects
from connector.errors import Denied, MappingError, Unavailable
from connector.mapping.render import Mapping
from connector.model import Event, Record
from connector.ports import Pending, Settlement

log = logging.getLogger("securescore.deliver")

STEP = 50
"""After so many events others come to their turn: a slow mapping must not hold up the whole process."""


@frozen
class Filter:
    """Which events concern a sink. Globs match types; `tenants` are name globs or "label=value" (glob on the value).

    A tenant is who the configuration says it is now (`configured`, by key): one that was renamed while events of it
    waited keeps its sinks and its own place there. One that is not configured any more is who its events say.
    `units`: also what is scored below a tenant, beside its own score.
    """

    streams: frozenset[str] = frozenset({"score", "inventory", "change", "health"})
    backfilled: bool = True
    tenants: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_severity: int = 0
    units: bool = True
    configured: abc.Mapping[str, TenantConfig] = field(factory=dict, repr=False, eq=False)

    def wants(self, event: Event) -> bool:
        return not self.against(event)

    def against(self, event: Event) -> str:
        """Which key of the sink keeps this event from it; "" when none does."""
        data = event.data
        stream = str(data["stream"])
        if stream not in self.streams:
            return "streams"
        if not self.backfilled and data["backfilled"]:
            return "start"
        if not self.units and data.get("unit"):
            return "units"
        if int(data["severity"]) < self.min_severity and stream != "health":
            return "min_severity"
        if self.include and not any(fnmatchcase(event.type, glob) for glob in self.include):
            return "include"
        if any(fnmatchcase(event.type, glob) for glob in self.exclude):
            return "exclude"
        tenant = data["tenant"]  # None for the connector's own events, which concern every sink
        if tenant is None or not self.tenants:
            return ""
        now = self.configured.get(event.entry)
        name, labels = (tenant["name"], tenant["labels"]) if now is None else (now.name, now.labels)
        return "" if selects(self.tenants, name, labels) else "tenants"


@define
class Batch:
    """A prefix of what is due: offered, not concerning the sink, not renderable. Then what became of it.

    `skipped` says which key of the sink keeps an event from it; `full`: one more would not have fitted into its octets.
    `retry_after_s` is how long the sink wants to be left alone although it took a part; `warning` as in a receipt.
    """

    pending: list[Pending] = Factory(list)
    records: list[Record] = Factory(list)
    skipped: dict[int, str] = Factory(dict)
    parked: dict[int, str] = Factory(dict)
    accepted: set[int] = Factory(set)
    error: Unavailable | Denied | None = None
    retry_after_s: float | None = None
    warning: str = ""
    seen: int = 0
    full: bool = False

    @property
    def moved(self) -> bool:
        """Whether the sink took or refused any of it for good."""
        return any(self.answered(p) for p in self.pending)

    @property
    def whole(self) -> bool:
        """Whether the sink took all that was offered."""
        return len(self.accepted) == len(self.pending)

    @property
    def left(self) -> list[Pending]:
        """What was offered and neither taken nor refused for good."""
        return [p for p in self.pending if not self.answered(p)]

    def answered(self, pending: Pending) -> bool:
        """Whether the sink took or refused this event for good."""
        return pending.seq in self.accepted or pending.seq in self.parked


def settlement_of(batches: Sequence[Batch], *, at: str, first_sent: str) -> Settlement:
    """What became of several batches, as the store is told."""
    return Settlement(
        at=at,
        first_sent=first_sent,
        attempted=tuple(p.seq for b in batches for p in b.pending),
        accepted=frozenset(seq for b in batches for seq in b.accepted),
        skipped=frozenset(seq for b in batches for seq in b.skipped),
        parked={seq: words for b in batches for seq, words in b.parked.items()},
    )


@frozen
class Packer:
    """Makes batches for one sink: what concerns it, in its mapping, within its bytes."""

    sink: str
    mapping: Mapping = field(repr=False)
    wants: Filter
    max_bytes: int

    async def pack(self, due: Iterable[Pending], most: int) -> Batch:
        """The largest prefix with at most `most` records; one record alone may be of any size."""
        batch, size = Batch(), 0
        for pending in due:
            if batch.seen and batch.seen % STEP == 0:
                await asyncio.sleep(0)
            record, kept_back, refused = self._render(pending.event)
            if record is not None:
                octets = octets_of(record)
                batch.full = bool(batch.records) and size + octets > self.max_bytes
                if batch.full or (batch.records and len(batch.records) >= most):
                    break
                batch.pending.append(pending)
                batch.records.append(record)
                size += octets
            elif refused:
                batch.parked[pending.seq] = refused
            else:
                batch.skipped[pending.seq] = kept_back
            batch.seen += 1
        return batch

    async def passed(self, due: Sequence[Pending], count: int) -> Batch:
        """So many of the first that concern this sink, of any size, with those between them that do not."""
        found = Batch()
        while len(found.pending) < count and found.seen < len(due):
            each = await self.pack(due[found.seen :], 1)
            found.pending += each.pending
            found.skipped |= each.skipped
            found.seen += each.seen
        return found

    def against(self, event: Event) -> str:
        """As the filter's; an event that it cannot judge concerns the sink: rendering has the words for that."""
        try:
            return self.wants.against(event)
        except Exception:  # noqa: BLE001 - whatever it is, this is no way to lose it
            return ""

    def _render(self, event: Event) -> tuple[Record | None, str, str]:
        """The record of an event; or the key that keeps it from this sink; or why there can be none."""
        try:
            if kept_back := self.wants.against(event):
                return None, kept_back, ""
            record = self.mapping.render(event)
            configured = self.wants.configured
            now = configured.get(event.entry) if configured else None
            return (record if now is None or record.tenant == now.name else evolve(record, tenant=now.name)), "", ""
        except MappingError as error:
            return None, "", error.what
        except Exception as bug:  # this event's, not the queue's: kept, with a traceback, where people look
            log.exception("deliver.render_bug", extra={"sink": self.sink, "id": event.id})
            return None, "", f"mapping {self.mapping.name}: {type(bug).__name__}; the log has more"


def octets_of(record: Record) -> int:
    """The record's size in octets: of UTF-8 for text, of JSON for an object; its sink may write a little more."""
    payload = record.payload
    if isinstance(payload, str):
        return len(payload) if payload.isascii() else len(payload.encode("utf-8", "surrogatepass"))
    if record.encoded is not None:
        return len(record.encoded)
    text = repr(payload)
    plain = len(text.encode("ascii", "ignore"))
    return plain + len("\\uffff") * (len(text) - plain)
