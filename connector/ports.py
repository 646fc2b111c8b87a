"""The pluggable ends, as protocols of a handful of methods: Source, Sink, Store, Operator, Clock.

No implementation and no shared behaviour may live here: a new source, sink or store is one file that fits its protocol.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from attrs import Factory, field, frozen

from connector.model import Event, Known, Reading, Receipt, Record, Snapshot

FLAW_DAYS = 7
"""For how long a flaw of the state stays an open problem: what is lost does not come back, so only time closes it."""

HEAD = "head"
"""The part of a state that is small, and all that most look at (observe/memory.py)."""

PORT = 1
"""The version of these protocols, for plug-ins: a module that an installed package brings states the version it was
written for as its own PORT. It is raised when a plug-in of the version before would not work any more."""


class Clock(Protocol):
    """Where time comes from, so that a simulated year runs in seconds."""

    def now(self) -> datetime:
        """The current moment, timezone-aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns early only by cancellation."""
        ...


class Source(Protocol):
    """Where snapshots come from. Page retries are inside; what is not whole says so (`Absent`, `Snapshot.partial`)."""

    name: str

    async def read(self, known: Known) -> Snapshot | Reading:
        """Read everything once: a snapshot of a tenant that is one unit, or a reading of several units.

        Raises Denied, Unavailable or WrongTenant when nothing at all can be said. A part that failed alone is Absent,
        one of which entries were read whole before it broke off is partial.
        """
        ...

    async def close(self) -> None: ...


class Sink(Protocol):
    """Where records go. A sink holds no buffer, no retry, no mapping and no clock.

    `max_records`/`max_bytes` bound one batch; `replay_window_s` is how far back the delivery loop offers settled
    records again after `Unavailable` (receivers that confirm into memory only).
    """

    name: str
    max_records: int
    max_bytes: int
    replay_window_s: float

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Deliver a batch, in order. An event id in neither part of the receipt is sent again.

        The records are not altered: their payloads share values with the events.

        Where only a part was taken, the receipt may carry the far end's wish to be left alone.

        Raises Unavailable when nothing can be said to be accepted, Denied when the operator must act.
        """
        ...

    async def probe(self) -> None:
        """Check that the far end would take records, without sending any. Raises like `send`."""
        ...

    async def close(self) -> None: ...


# ------------------------------------------------------------------------------------------------------------- store


@frozen
class State:
    """What is remembered of one entry of `tenants`, as named opaque parts (see observe/memory.py). `generation` counts
    its commits.

    A part never changes in place; a commit carries all parts, and a store may write only those that differ. Of a state
    that is not `whole`, of which some parts were asked for, it carries some, and leaves the others as they are. What
    the store holds at this generation, as far as it said so, is `stored`: a part that is the same object there is
    there. `lost` are the parts that it cannot give any more ("" = all of them), and why; of those that were asked for.
    """

    generation: int = 0
    parts: Mapping[str, bytes] = Factory(dict)
    stored: Mapping[str, bytes] = field(factory=dict, eq=False, repr=False)
    lost: Mapping[str, str] = field(factory=dict, eq=False)
    whole: bool = True


Wanted = Callable[[str], bool]
"""Which parts of a state are asked for, by their names."""


@frozen
class Flaw:
    """Something of the state that is not as it was left, to be told. What is not known of it is None, never a guess.

    `reason`: state_damaged (`document` cannot be read, or is gone), cursor_ahead (a sink has settled more than the log
    holds: an older copy of the log was put back), state_restored (all of the state is older than when it was last used)
    or state_copied (it lies elsewhere now). `tenant_id` is None for what belongs to no tenant, "" for what is the
    connector's own. `events` is how many events it held, `sinks` how many of these each sink had not settled.
    """

    reason: str
    document: str
    what: str
    tenant_id: str | None = None
    events: int | None = None
    sinks: Mapping[str, int] | None = None
    at: str = ""


@frozen
class Shed:
    """What was deleted to make room: how many events, and up to which moment of observation."""

    events: int = 0
    until: str = ""


class Pending(NamedTuple):
    """One committed event that a sink has not settled. `seq` orders commits; `attempts` counts earlier sends.

    `kind` is "first" for a first delivery (the replay window counts as one), and "again" for a retry of a parked event
    or a replay. (A tuple, because thousands of them are made at once.)
    """

    seq: int
    event: Event
    attempts: int = 0
    kind: str = "first"


@frozen
class Query:
    """Which events are meant; empty fields do not restrict.

    `tenant_id` is the key of an entry of `tenants`, `units` are keys of units (`Unit.key`), or their ids. `since`
    (inclusive) and `until` (exclusive) compare `observed_at`; `types` are globs over the type without prefix;
    `id_begin` is how ids begin, in any case.
    """

    ids: tuple[str, ...] = ()
    id_begin: str = ""
    tenant_id: str | None = None
    types: tuple[str, ...] = ()
    subject: str | None = None
    units: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    newest_first: bool = False


@frozen
class Start:
    """How a sink enters the outbox when it first appears: `all` begins with the whole kept history."""

    sink: str
    whole_history: bool = False


@frozen
class Settlement:
    """What became of one batch, by seq. `attempted` = offered to the sink; those in no other part stay due.

    `skipped` never concerned the sink (its filters); `parked` maps seq to the sink's own words.
    """

    at: str
    first_sent: str | None = None
    attempted: tuple[int, ...] = ()
    accepted: frozenset[int] = frozenset()
    skipped: frozenset[int] = frozenset()
    parked: Mapping[int, str] = Factory(dict)


@frozen
class SinkStats:
    """`backlog` counts events behind the cursor that are not settled; `abandoned` = no longer configured."""

    name: str
    cursor: int
    backlog: int
    parked: int
    last_success: str | None
    oldest_due: str | None
    abandoned: bool = False


@frozen
class Stats:
    events: int
    bytes: int
    sinks: tuple[SinkStats, ...]


@frozen
class Survey:
    """All tenants at one moment: `heads` is the part HEAD of each tenant that has one, by its id.

    `accepted` counts, by sink, the events it took within the window asked for; `behind` are the tenants ("" = the
    connector itself) that have events some attached sink has not settled.
    """

    heads: Mapping[str, bytes]
    accepted: Mapping[str, int]
    behind: frozenset[str]


@frozen
class Parked:
    """An event one sink refused for good, with the sink's own words."""

    sink: str
    seq: int
    event: Event
    reason: str
    parked_at: str
    attempts: int


class Store(Protocol):
    """State, events and settlement, durable. One writer at a time; readers never wait for it.

    Whose they are says the key of an entry of `tenants` (`model.entry_key`): it is what `tenant_id` means here, and
    that of Graph's is the tenant's GUID. The events of an entry of several units are kept together, in commit order.
    """

    async def load(self, tenant_id: str, wanted: Wanted | None = None) -> State | None:
        """The state. With `wanted` only those parts that it says yes to; the others are not even read, and the state is
        not `whole`.
        """
        ...

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        """What `load` says of each of these, with the part HEAD only; the other parts are not even read."""
        ...

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        """State and its events in ONE transaction; returns the state with its new generation.

        An event whose id is already there is left as it is. Raises Conflict when `state.generation` is not the stored
        one (0 for a new tenant) and StoreError when durability cannot be given.
        """
        ...

    async def attach(self, sinks: Sequence[Start]) -> tuple[SinkStats, ...]:
        """Declare the configured sinks: new ones begin at the next commit (or at 0), missing ones become abandoned.

        Returns those of the abandoned ones that still hold events.
        """
        ...

    async def due(
        self,
        sink: str,
        limit: int,
        tenant_id: str | None = None,
        without: Collection[str] = (),
        *,
        again: bool = False,
    ) -> list[Pending]:
        """The oldest unsettled events of a sink: first deliveries in commit order, or what is offered again.

        The latter where nothing is due for the first time, or when it is asked for (`again`). Of one tenant when
        `tenant_id` is given, of none whose id is in `without`; what those have waiting costs nothing.
        """
        ...

    async def settle(self, sink: str, settlement: Settlement) -> None: ...

    async def history(self, query: Query) -> list[Event]: ...

    async def tenants(self) -> list[str]:
        """The keys of all entries that have state."""
        ...

    async def stats(self) -> Stats: ...

    async def purge(self, before: str) -> int:
        """Delete events observed before this moment that every sink (abandoned too) has settled; never a parked one.

        Returns how many.
        """
        ...

    async def shed(self, wanted_bytes: int) -> Shed:
        """Make so much room, or as much as there is, by deleting what every sink has settled, oldest first."""
        ...

    async def flaws(self) -> Sequence[Flaw]:
        """What was found to be not as it was left, for FLAW_DAYS after it was first noted."""
        ...

    async def note(self, flaw: Flaw) -> None:
        """Keep a flaw that a reader of the parts found, so that it is told whatever happens next."""
        ...

    async def close(self) -> None: ...


class Operator(Protocol):
    """What operator commands need beside a running daemon; each method is one short transaction."""

    async def replay(self, sink: str, query: Query) -> int:
        """Offer committed events again, same ids, behind first deliveries; returns how many."""
        ...

    async def recent(self, sink: str, since: str) -> int:
        """Offer again what this sink settled at or after `since` (the replay window); returns how many.

        In its old place, before what was committed later: who lost it gets everything in order.
        """
        ...

    async def parked(self, sink: str | None = None, ids: Sequence[str] = ()) -> list[Parked]: ...

    async def unpark(self, ids: Sequence[str], sink: str | None, action: str) -> int:
        """`action` is "retry" (due again) or "discard" (settled, kept in the trace as discarded)."""
        ...

    async def release(self, sink: str) -> int:
        """Forget an abandoned (or hopeless) sink's backlog and cursor; returns how many events it gave up."""
        ...

    async def forget(self, tenant_id: str, generation: int | None = None) -> int:
        """Delete state, events and backlog of a tenant; returns how many events.

        With a `generation`, nothing that was committed after it: raises Conflict when there is any.
        """
        ...

    async def verify(self) -> Sequence[Flaw]:
        """Read everything that is stored, and say all that is wrong with it. Changes nothing."""
        ...

    async def trace(self, event_id: str) -> list[Mapping[str, Any]]:
        """Per sink: {sink, state, first_sent, attempts, settled, reason}."""
        ...


class Documents(Protocol):
    """Named, immutable byte documents: all that stores/documents.py asks of a place to keep things.

    Names are steps of [a-z0-9_.-] joined by "/". Each method raises StoreError when the place cannot be used.
    """

    async def list(self, prefix: str) -> Mapping[str, int]:
        """The names that begin with a prefix ("" or ending in "/"), each with its size in bytes."""
        ...

    async def get(self, name: str) -> bytes | None:
        """The whole content; None when there is no such document."""
        ...

    async def create(self, name: str, body: bytes) -> None:
        """Durable and whole when this returns, or not there at all. Raises Conflict when the name is taken."""
        ...

    async def delete(self, name: str) -> None:
        """Harmless when it is not there."""
        ...

    async def close(self) -> None: ...
