"""What documents_read.py finds, as values: tenants, sinks, and how far each sink came in each tenant.

Pure: no documents are read or written here, and no clock is asked. What a settlement means is in settling.py.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from attrs import Factory, define, evolve, frozen

from connector.errors import StoreError
from connector.model import Event
from connector.ports import Query, Settlement
from connector.stores import settling
from connector.stores.numbered import Page
from connector.stores.settling import Item

INDEX_BITS = 20
LOCAL_BITS = 64
MAX_EVENTS_A_COMMIT = 1 << INDEX_BITS
"""An event's number in its tenant (`local`) is its document's, then its place in it; for callers the tenant's mark is
put before it."""

Row = tuple[str, str, int, Item]
"""(moment of commit, tenant key, local, item): by the first three the tenants' events are merged."""


@frozen
class Held:
    """A commit with events: its document's number, how many, when committed, and the newest `observed_at` among them.

    `place` is the later document in which its events lie since they were gathered; 0: in its own.
    """

    n: int
    count: int
    at: str
    observed: str
    place: int = 0

    @property
    def document(self) -> int:
        """The number of the document in which its events lie."""
        return self.place or self.n

    @property
    def row(self) -> Sequence[int | str]:
        """As a root says it; the document last, where it is not its own."""
        return [self.n, self.count, self.at, self.observed, *([self.place] if self.place else [])]

    @property
    def seqs(self) -> range:
        return range(self.n << INDEX_BITS, (self.n << INDEX_BITS) + self.count)


@define(eq=False)
class Tenant:
    """A tenant as it is now. `held` is without what is damaged or gone, which is `lost`; `numbers` are its log's,
    with sizes. `seen` is the highest number that any sink's place has, which a log put back from a copy may lack.
    `places` says of the commits whose events were gathered in which document they lie. `passed` is how far every sink
    has come.
    """

    key: str
    numbers: Mapping[int, int]
    root: Page | None
    held: Sequence[Held]
    cursors: Mapping[str, Mapping[int, int]]
    lost: Sequence[Held] = ()
    seen: int = 0
    places: Mapping[int, int] = Factory(dict)
    passed: int = 0

    @property
    def generation(self) -> int:
        return int(self.root.header["generation"]) if self.root else 0

    @property
    def next(self) -> int:
        """The number of the next document: none that was used, and none that any sink has gone past, is used again."""
        return max(self.seen, *self.numbers, 0) + 1

    @property
    def last(self) -> int:
        """The last number an event can have by now."""
        return (self.next << INDEX_BITS) - 1

    @property
    def mark(self) -> int:
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "big") << LOCAL_BITS

    def live(self) -> set[int]:
        return {h.n for h in self.held}

    def exists(self, local: int) -> bool:
        return any(local in h.seqs for h in self.held if h.n == local >> INDEX_BITS)

    def times(self) -> dict[int, str]:
        """Document → moment of commit, made to rise: by it tenants are merged, each in its own order."""
        found, latest = {}, ""
        for held in self.held:
            latest = max(latest, held.at)
            found[held.n] = latest
        return found


@frozen
class KnownSink:
    """A sink as its own log says.

    `starts` is where it began in each tenant that was there (others: from 0). `life` tells it from an earlier sink of
    the same name that was given up: each has cursors of its own.
    """

    name: str
    key: str
    life: int
    abandoned: bool
    starts: Mapping[str, int]

    @property
    def series(self) -> str:
        return f"{self.key}.{self.life}"


@frozen
class Cursor:
    """What one sink settled of one tenant. Numbers are the tenant's own (`local`)."""

    position: int
    items: Mapping[int, Item]
    ledger: tuple[settling.Entry, ...] = ()
    last_success: str | None = None

    def of(self, *states: str) -> list[int]:
        return sorted(seq for seq, item in self.items.items() if item.state in states)

    def settled(self, local: int) -> bool:
        """Settled, and not offered again or parked."""
        item = self.items.get(local)
        return local <= self.position and (item is None or item.state == settling.DISCARDED)

    def reopened(self, locals_: Iterable[int], state: str) -> "Cursor":
        """With settled events offered once more, as `due` or `again`."""
        fresh = {n: evolve(self.items.get(n, Item(state)), state=state, at=None) for n in locals_}
        return evolve(self, items={**self.items, **fresh})


@frozen
class View:
    """Everything one call looks at, as of one moment."""

    tenants: Mapping[str, Tenant]
    sinks: Mapping[str, KnownSink]

    def sink(self, name: str) -> KnownSink:
        if name not in self.sinks:
            raise StoreError(f"the state knows no sink {name!r}", "`securescore sinks list` shows those it knows.")
        return self.sinks[name]


def row_of(key: str, cursor: Cursor, times: Mapping[int, str], local: int) -> Row:
    return (times[local >> INDEX_BITS], key, local, cursor.items.get(local) or Item(settling.DUE))


def place_of(row: Row) -> tuple[str, str, int]:
    return row[:3]


def fresh_of(tenant: Tenant, position: int) -> Iterator[int]:
    """The events beyond a position, oldest first."""
    return (n for held in tenant.held if held.seqs[-1] > position for n in held.seqs if n > position)


def beyond(tenant: Tenant, position: int) -> int:
    """How many events lie beyond a position."""
    return sum(min(held.count, max(0, held.seqs[-1] - position)) for held in tenant.held)


def own_part(settlement: Settlement, mark: int) -> Settlement:
    """What a settlement says of one tenant, in the tenant's own numbers."""

    def local(seqs: Iterable[int]) -> Iterator[int]:
        return (seq & ((1 << LOCAL_BITS) - 1) for seq in seqs if seq >> LOCAL_BITS == mark)

    parked = [seq for seq in settlement.parked if seq >> LOCAL_BITS == mark]
    return evolve(
        settlement,
        attempted=tuple(local(settlement.attempted)),
        accepted=frozenset(local(settlement.accepted)),
        skipped=frozenset(local(settlement.skipped)),
        parked=dict(zip(local(parked), (settlement.parked[seq] for seq in parked), strict=True)),
    )


def settled(tenant: Tenant, cursor: Cursor, settlement: Settlement) -> tuple[Cursor, int]:
    named = settlement.accepted.union(settlement.attempted, settlement.skipped, settlement.parked)
    last = max(named)
    fresh = [n for n in fresh_of(tenant, cursor.position) if n <= last]
    items = {n: cursor.items[n] for n in named & cursor.items.keys()}
    open_items = {n: i for n, i in items.items() if i.state in (settling.DUE, settling.AGAIN)}
    outcome = settling.decide(fresh, open_items, settlement)
    if not fresh and not outcome.put and not outcome.entries:
        return cursor, 0
    dropped = frozenset(outcome.drop)
    changed = Cursor(
        position=fresh[-1] if fresh else cursor.position,
        items={**{n: i for n, i in cursor.items.items() if n not in dropped}, **outcome.put},
        ledger=(*cursor.ledger, *outcome.entries),
        last_success=settlement.at if settlement.accepted else cursor.last_success,
    )
    return changed, len(named)


def pruned(tenant: Tenant, cursor: Cursor) -> tuple[Cursor, int]:
    """Without ledger entries whose events are all gone."""
    live = tenant.live()
    kept = tuple(e for e in cursor.ledger if any(a >> INDEX_BITS in live for a, _ in settling.ranges(e.spans)))
    return (cursor if len(kept) == len(cursor.ledger) else evolve(cursor, ledger=kept)), 0


def clamped(_: Tenant, cursor: Cursor, now: str) -> tuple[Cursor, int]:
    """With nothing settled later than now."""
    ledger = tuple(evolve(e, settled=min(e.settled, now)) for e in cursor.ledger)
    return (cursor if ledger == cursor.ledger else evolve(cursor, ledger=ledger)), 0


def emptied(tenant: Tenant, cursor: Cursor) -> tuple[Cursor, int]:
    """Nothing but the place behind all that was forgotten."""
    return Cursor(max(cursor.position, tenant.last), {}), 0


def past(cursor: Cursor, local: int) -> dict[str, Any]:
    """What one sink was told of one event, and where that stands."""
    entries = [e for e in cursor.ledger if settling.within(e.spans, local)]
    item = cursor.items.get(local)
    state = settling.DUE if local > cursor.position else settling.NOT_OFFERED
    settled = reason = None
    if entries:
        state, settled = entries[-1].outcome, entries[-1].settled
    if item is not None:
        state, reason = item.state, item.reason
        settled = item.at if state == settling.DISCARDED else settled
    sent = [moment for moment in (*(e.first_sent for e in entries), item and item.first_sent) if moment]
    return {
        "state": state,
        "first_sent": min(sent, default=None),
        "attempts": sum(e.attempts for e in entries) + (item.attempts if item else 0),
        "settled": settled,
        "reason": reason,
    }


def _is_of(event: Event, units: Sequence[str]) -> bool:
    return bool(event.unit_key) and (event.unit_key in units or event.data["unit"]["id"] in units)


def meant(event: Event, query: Query) -> bool:
    """Whether a query means this event, its ids and limit aside."""
    observed_at = str(event.data["observed_at"])
    return (
        (query.tenant_id is None or event.entry == query.tenant_id)
        and (not query.types or any(fnmatchcase(event.type, glob) for glob in query.types))
        and (not query.id_begin or event.id.casefold().startswith(query.id_begin.casefold()))
        and (query.subject is None or event.subject == query.subject)
        and (not query.units or _is_of(event, query.units))
        and (query.since is None or observed_at >= query.since)
        and (query.until is None or observed_at < query.until)
    )
