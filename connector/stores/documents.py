"""State, events and settlement as immutable numbered documents, over any place that can create one if it is absent.

One algorithm for a folder, Azure blobs and the Splunk KV store (ports.Documents). What a settlement means is in
settling.py, names and bytes are in packing.py, and no place is known here. Pure Python, without sqlite3.

The picture. Each tenant has a log, `<tenant>/<n>`; the newest document of a log is its root. It says which documents
hold events (`held`) and which hold the parts of the state, so a commit is one `create` of n + 1 that carries what is
new. Whatever a root does not name is garbage: the leftovers of a crash, or of a writer that came too late. Each sink
has for each tenant a log `<tenant>/<sink>.<life>/<n>` of its position, open items and ledger, each document whole, and
one log `sinks/<sink>/<n>` of its own life. Numbers are never used twice, so documents may be remembered by name.

A late writer may find a number free that was used and deleted. Therefore each document carries the digests of the last
ones before it, and a writer believes in its own document only as the newest, or as an ancestor of the newest.

A document that fails its check is left out and reported, never fatal; the next writer moves it to `damaged/`.
"""

import hashlib
import heapq
import logging
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol, Self, TypeVar

from attrs import define, evolve, frozen

from connector.clock import iso
from connector.errors import Conflict, SecureScoreError, StoreError
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import Clock, Documents, Parked, Pending, Query, Settlement, SinkStats, Start, State, Stats
from connector.stores import settling
from connector.stores.packing import MAX_EVENTS_BYTES, RESERVED, Unpacked, inflate, key_of, pack, text_of, unpack
from connector.stores.settling import Item

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

TRIES = 50
"""How often one call begins anew because others wrote or deleted meanwhile. Each time somebody else got on."""
TRAIL = 16
CACHE_BYTES = 32 * 1024**2
INFLATED = 16
"""How many documents are remembered as written, by bytes, and how many with their events inflated."""
_INDEX_BITS = 20
_LOCAL_BITS = 64
MAX_EVENTS_A_COMMIT = 1 << _INDEX_BITS


class Releasable(Protocol):
    """A held lock (lock.py)."""

    def release(self) -> None: ...


class _Moved(Exception):
    """What was listed is gone, or turned out damaged: the whole look is to be repeated."""


# ------------------------------------------------------------------------------------------------------- what is read


@frozen
class _Held:
    """A document with events: its number, how many, when committed, and the newest `observed_at` among them."""

    n: int
    count: int
    at: str
    observed: str

    @property
    def seqs(self) -> range:
        return range(self.n << _INDEX_BITS, (self.n << _INDEX_BITS) + self.count)


@define(eq=False)
class _Page:
    """One intact document. `lines` are its events' canonical texts, inflated when first asked for."""

    n: int
    content: Unpacked
    _lines: "list[bytes] | None" = None

    @property
    def header(self) -> Mapping[str, Any]:
        return self.content.header

    @property
    def digest(self) -> str:
        return self.content.digest[:16]

    @property
    def trail(self) -> Sequence[str]:
        return [*self.header["trail"], self.digest][-TRAIL:]

    def parts(self) -> dict[str, bytes]:
        """The parts of the state that this document itself holds."""
        found, start = {}, 0
        for name, size in self.header["own"]:
            found[name] = self.content.blobs[start : start + size]
            start += size
        return found

    def lines(self) -> "list[bytes]":
        if self._lines is None:
            start = sum(size for _, size in self.header["own"])
            plain = inflate(self.content.blobs[start:], MAX_EVENTS_BYTES) if self.header["ids"] else b""
            self._lines = plain.split(b"\n")
        return self._lines

    def deflate(self) -> None:
        self._lines = None

    def event(self, index: int) -> Event:
        return cloudevents.loads(self.lines()[index])


@define(eq=False)
class _Tenant:
    """A tenant as it is now. `held` is without what is damaged; `numbers` are those of its log, with sizes."""

    key: str
    numbers: Mapping[int, int]
    root: _Page | None
    held: Sequence[_Held]
    cursors: Mapping[str, Mapping[int, int]]

    @property
    def generation(self) -> int:
        return int(self.root.header["generation"]) if self.root else 0

    @property
    def next(self) -> int:
        return max(self.numbers, default=0) + 1

    @property
    def last(self) -> int:
        """The last number an event can have by now."""
        return (self.next << _INDEX_BITS) - 1

    @property
    def mark(self) -> int:
        return int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "big") << _LOCAL_BITS

    def live(self) -> set[int]:
        return {h.n for h in self.held}

    def exists(self, local: int) -> bool:
        return any(local in h.seqs for h in self.held if h.n == local >> _INDEX_BITS)

    def times(self) -> dict[int, str]:
        """Document → moment of commit, made to rise: by it tenants are merged, each in its own order."""
        found, latest = {}, ""
        for held in self.held:
            latest = max(latest, held.at)
            found[held.n] = latest
        return found


@frozen
class _Sink:
    """A sink as its own log says; `starts` is where it began in each tenant that was there (others: from 0)."""

    name: str
    key: str
    life: int
    abandoned: bool
    starts: Mapping[str, int]

    @property
    def series(self) -> str:
        return f"{self.key}.{self.life}"


@frozen
class _Cursor:
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

    def again(self, locals_: Iterable[int]) -> "_Cursor":
        fresh = {n: evolve(self.items.get(n, Item(settling.AGAIN)), state=settling.AGAIN, at=None) for n in locals_}
        return evolve(self, items={**self.items, **fresh})


@frozen
class _View:
    """Everything one call looks at, as of one moment."""

    tenants: Mapping[str, _Tenant]
    sinks: Mapping[str, _Sink]

    def sink(self, name: str) -> _Sink:
        if name not in self.sinks:
            raise StoreError(f"the state knows no sink {name!r}", "`securescore sinks list` shows those it knows.")
        return self.sinks[name]


_Numbers = dict[int, int]


# -------------------------------------------------------------------------------------------------------------- store


class DocumentsStore:
    """Store and Operator over Documents. Nothing but immutable documents is remembered between calls.

    `max_bytes` is the last guard behind the poller's own pause, as last measured by a look at all: from that size
    `commit` refuses with StoreError. `max_days_a_commit` is what the poller should fold at once, for small commits.
    """

    def __init__(
        self,
        documents: Documents,
        clock: Clock,
        *,
        max_bytes: int | None = None,
        max_days_a_commit: int | None = None,
        lock: Releasable | None = None,
    ) -> None:
        self.max_days_a_commit = max_days_a_commit
        self._documents = documents
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = lock
        self._bytes: int | None = None
        self._cache: OrderedDict[str, tuple[int, _Page]] = OrderedDict()
        self._cached = 0
        self._inflated: OrderedDict[int, _Page] = OrderedDict()
        self._damaged: dict[str, str] = {}
        self._missed: set[str] = set()
        self._keys: dict[int, str] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def damaged(self) -> Mapping[str, str]:
        """Documents that failed their check since this store was opened, and why."""
        return dict(self._damaged)

    async def close(self) -> None:
        """Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._documents.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    # ------------------------------------------------------------------------------------------- state and events

    async def load(self, tenant_id: str) -> State | None:
        """The state. Where a part of it is damaged it comes back without any part, to be built anew."""

        async def look() -> State | None:
            tenant = await self._tenant(tenant_id)
            if tenant is None or tenant.root is None or not tenant.generation:
                return None
            parts = await self._parts(tenant)
            if parts is None:
                _log.error("store.state_lost", extra={"tenant": tenant_id})
            return State(tenant.generation, parts or {})

        return await self._steady(look)

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        """See ports.Store. Raises ValueError for an event that is not JSON."""
        key = key_of(tenant_id)
        if key is None:
            raise StoreError(f"{tenant_id[:40]!r}… is no tenant id", "Correct the tenant's id in the configuration.")
        new: dict[str, tuple[bytes, str]] = {}
        for event in events:
            line = cloudevents.dumps(event).encode("ascii")
            new.setdefault(event.id, (line, str(event.data["observed_at"])))  # of two with one id, the first counts

        async def attempt() -> State:
            tenant = await self._tenant(tenant_id) or _Tenant(key, {}, None, (), {})
            if state.generation != tenant.generation:
                raise Conflict(
                    f"tenant {tenant_id}: another commit came first (not at generation {state.generation} any more)",
                    "Load the state and observe again.",
                )
            self._refuse_when_full()
            known = await self._known_ids(tenant) if new else set()
            fresh = {event_id: found for event_id, found in new.items() if event_id not in known}
            if not await self._write_root(tenant, tenant_id, state.generation + 1, dict(state.parts), fresh):
                raise _Moved
            return State(state.generation + 1, dict(state.parts))

        return await self._steady(attempt)

    async def history(self, query: Query) -> list[Event]:
        async def look() -> list[Event]:
            view = await self._view(query.tenant_id)
            found: list[Event] = []
            async for _, _, event in self._matching(view, query):
                if query.limit is not None and len(found) >= query.limit:
                    break
                found.append(event)
            return found

        return await self._steady(look)

    async def tenants(self) -> list[str]:
        """The ids of all tenants that have state; the connector's own state (tenant "") is not a tenant."""

        async def look() -> list[str]:
            view = await self._view(None)
            return sorted(text_of(t.key) for t in view.tenants.values() if t.generation and text_of(t.key))

        return await self._steady(look)

    # ---------------------------------------------------------------------------------------------------- the sinks

    async def attach(self, sinks: Sequence[Start]) -> None:
        async def attempt() -> None:
            view = await self._view(None)
            wanted = {start.sink: start for start in sinks}
            for name, start in wanted.items():
                known = view.sinks.get(name)
                if known is None:
                    lives = {
                        int(series.rpartition(".")[2])
                        for t in view.tenants.values()
                        for series in t.cursors
                        if series.rpartition(".")[0] == key_of(name)
                    }
                    starts = {} if start.whole_history else {t.key: t.last for t in view.tenants.values()}
                    await self._write_sink(name, born=starts, lives=lives)
                elif known.abandoned:
                    await self._write_sink(name, evolve(known, abandoned=False))
            for name, known in view.sinks.items():
                if name not in wanted and not known.abandoned:
                    await self._write_sink(name, evolve(known, abandoned=True))

        await self._steady(attempt)

    async def due(self, sink: str, limit: int, tenant_id: str | None = None) -> list[Pending]:
        return await self._steady(lambda: self._due(sink, max(0, limit), tenant_id))

    async def settle(self, sink: str, settlement: Settlement) -> None:
        named = settlement.accepted.union(settlement.attempted, settlement.skipped, settlement.parked)
        if not named:
            return
        marks = {seq >> _LOCAL_BITS for seq in named}
        if not marks <= self._keys.keys():
            (await self._steady(lambda: self._view(None))).sink(sink)
        for mark in sorted(marks & self._keys.keys()):
            await self._alter(sink, self._keys[mark], partial(_settled, settlement=_own(settlement, mark)))

    async def stats(self) -> Stats:
        return await self._steady(self._stats)

    # ----------------------------------------------------------------------------------------------------- Operator

    async def replay(self, sink: str, query: Query) -> int:
        """Offer again what the sink has settled; what is due anyway or parked is left as it is and not counted."""

        async def choose() -> dict[str, list[int]]:
            view = await self._view(query.tenant_id)
            entry = view.sink(sink)
            cursors = {t.key: await self._cursor(t, entry) for t in view.tenants.values()}
            chosen: dict[str, list[int]] = {}
            left = query.limit
            async for key, local, _ in self._matching(view, query):
                if left is not None and left <= 0:
                    break
                if cursors[key].settled(local):
                    chosen.setdefault(key, []).append(local)
                    left = None if left is None else left - 1
            return chosen

        return await self._offer(sink, await self._steady(choose))

    async def recent(self, sink: str, since: str) -> int:
        async def choose() -> dict[str, list[int]]:
            view = await self._view(None)
            entry = view.sink(sink)
            chosen: dict[str, list[int]] = {}
            for tenant in view.tenants.values():
                cursor = await self._cursor(tenant, entry)
                entries = [e for e in cursor.ledger if e.outcome == settling.ACCEPTED and e.settled >= since]
                found = {n for e in entries for a, b in settling.ranges(e.spans) for n in range(a, b + 1)}
                chosen[tenant.key] = sorted(n for n in found if cursor.settled(n) and tenant.exists(n))
            return chosen

        return await self._offer(sink, await self._steady(choose))

    async def parked(self, sink: str | None = None, ids: Sequence[str] = ()) -> list[Parked]:
        return [parked for _, _, parked in await self._steady(lambda: self._parked(sink, ids))]

    async def unpark(self, ids: Sequence[str], sink: str | None, action: str) -> int:
        """Retry or discard parked events; no `ids` means all of them, no `sink` every sink. Returns how many."""
        state = {"retry": settling.AGAIN, "discard": settling.DISCARDED}[action]
        at = iso(self._clock.now()) if state == settling.DISCARDED else None

        async def choose() -> dict[tuple[str, str], list[int]]:
            if sink is not None:
                (await self._view(None)).sink(sink)
            chosen: dict[tuple[str, str], list[int]] = {}
            for key, local, parked in await self._parked(sink, ids):
                chosen.setdefault((parked.sink, key), []).append(local)
            return chosen

        def decided(_: _Tenant, cursor: _Cursor, locals_: Iterable[int]) -> tuple[_Cursor, int]:
            mine = [n for n in locals_ if n in cursor.items and cursor.items[n].state == settling.PARKED]
            new = {n: evolve(cursor.items[n], state=state, at=at) for n in mine}
            return (evolve(cursor, items={**cursor.items, **new}) if mine else cursor), len(mine)

        count = 0
        for (name, key), locals_ in (await self._steady(choose)).items():
            count += await self._alter(name, key, partial(decided, locals_=locals_))
        return count

    async def release(self, sink: str) -> int:
        """Give up all that a sink has not settled, parked events included.

        An abandoned sink is forgotten; one still attached goes on with the next commit.
        """
        view = await self._steady(lambda: self._view(None))
        entry = view.sink(sink)

        def given_up(tenant: _Tenant, cursor: _Cursor) -> tuple[_Cursor, int]:
            open_items = [n for n, item in cursor.items.items() if item.state != settling.DISCARDED]
            beyond = _beyond(tenant, cursor.position)
            if not open_items and not beyond:
                return cursor, 0
            kept = {n: item for n, item in cursor.items.items() if item.state == settling.DISCARDED}
            return evolve(cursor, position=max(cursor.position, tenant.last), items=kept), len(open_items) + beyond

        count = 0
        for key in view.tenants:
            count += await self._alter(sink, key, given_up)
        if entry.abandoned:
            await self._steady(lambda: self._write_sink(sink, None))
            for tenant in view.tenants.values():  # what is left of it is garbage now, and found as such if we crash
                for n in tenant.cursors.get(entry.series, {}):
                    await self._documents.delete(_name(f"{tenant.key}/{entry.series}", n))
        return count

    async def forget(self, tenant_id: str) -> int:
        """Delete state, events and backlog of a tenant; returns how many events.

        Its id remains in the name of an empty document: numbers that were used must not be used again.
        """

        async def attempt() -> int:
            tenant = await self._tenant(tenant_id)
            if tenant is None or not tenant.numbers or (tenant.root and not tenant.generation and not tenant.held):
                return 0
            count = sum(held.count for held in tenant.held)
            if not await self._write_root(evolve(tenant, held=()), tenant_id, 0, {}, {}, keep=1):
                raise _Moved
            return count

        async def rest() -> None:
            view = await self._view(tenant_id)
            for tenant in view.tenants.values():
                sinks = {sink.series: sink for sink in view.sinks.values()}
                for series, numbers in tenant.cursors.items():
                    if series in sinks:
                        await self._alter(sinks[series].name, tenant.key, _emptied, keep=1)
                    else:
                        for n in numbers:
                            await self._documents.delete(_name(f"{tenant.key}/{series}", n))
                for name in await self._documents.list(f"damaged/{tenant.key}/"):
                    await self._documents.delete(name)

        count = await self._steady(attempt)
        await self._steady(rest)
        return count

    async def purge(self, before: str) -> int:
        """Delete documents whose events are all old and settled everywhere, parked ones never; how many events."""
        count = 0
        for key in (await self._steady(lambda: self._view(None))).tenants:
            count += await self._steady(partial(self._purge, key, before))
        return count

    async def trace(self, event_id: str) -> list[Mapping[str, Any]]:
        """Per sink {sink, state, first_sent, attempts, settled, reason}; [] for an unknown id."""

        async def look() -> list[Mapping[str, Any]]:
            view = await self._view(None)
            for tenant in view.tenants.values():
                for held in tenant.held:
                    ids = (await self._page(tenant.key, held.n)).header["ids"]
                    if event_id in ids:
                        local = held.seqs[ids.index(event_id)]
                        cursors = await self._cursors(evolve(view, tenants={tenant.key: tenant}), None)
                        return [{"sink": entry.name, **_past(cursor, local)} for _, entry, cursor in cursors]
            return []

        return await self._steady(look)

    # ------------------------------------------------------------------------------------------------ looking, inside

    async def _steady(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do it as of one moment: again from the start when others moved something meanwhile."""
        for _ in range(TRIES):
            try:
                return await work()
            except _Moved:
                continue
        raise StoreError(
            f"the state changed {TRIES} times while it was read",
            "Another process writes without pause: see that one connector works on one tenant at a time.",
        )

    async def _view(self, tenant_id: str | None) -> _View:
        """All tenants or one, and all sinks."""
        key = None if tenant_id is None else key_of(tenant_id)
        if tenant_id is not None and key is None:
            return _View({}, await self._sinks(await self._list("sinks/")))
        series = await self._list("" if key is None else f"{key}/")
        sinks_series = series if key is None else await self._list("sinks/")
        logs: dict[str, dict[str, _Numbers]] = {}
        for name, numbers in series.items():
            tenant_key, _, rest = name.partition("/")
            if tenant_key not in RESERVED:
                logs.setdefault(tenant_key, {})[rest] = numbers
        tenants = {k: await self._rooted(_Tenant(k, logs[k].pop("", {}), None, (), logs[k])) for k in sorted(logs)}
        return _View(tenants, await self._sinks(sinks_series))

    async def _sinks(self, series: Mapping[str, _Numbers]) -> dict[str, _Sink]:
        """The sinks that are there, by name."""
        found = {}
        for name in sorted(series):
            page = await self._root(name, series[name]) if name.startswith("sinks/") else None
            if page is not None and not page.header["gone"]:
                h = page.header
                found[h["sink"]] = _Sink(h["sink"], name.partition("/")[2], h["life"], h["abandoned"], h["starts"])
        return dict(sorted(found.items()))

    async def _tenant(self, tenant_id: str) -> _Tenant | None:
        key = key_of(tenant_id)
        if key is None:
            return None
        series = await self._list(f"{key}/")
        logs = {name.partition("/")[2]: numbers for name, numbers in series.items()}
        if not logs:
            return None
        return await self._rooted(_Tenant(key, logs.pop("", {}), None, (), logs))

    async def _rooted(self, tenant: _Tenant) -> _Tenant:
        root = await self._root(tenant.key, tenant.numbers)
        held = [_Held(*row) for row in root.header["held"]] if root else []
        lost = {_name(tenant.key, h.n) for h in held if h.n not in tenant.numbers} - self._damaged.keys()
        if lost - self._missed:  # purged while we looked, it may be: look again before it counts
            self._missed |= lost
            raise _Moved
        for name in lost:
            self._note_damage(name, "missing")
        self._keys[tenant.mark >> _LOCAL_BITS] = tenant.key
        sound = [h for h in held if _name(tenant.key, h.n) not in self._damaged]
        return evolve(tenant, root=root, held=sound)

    async def _list(self, prefix: str) -> dict[str, _Numbers]:
        """Log → its numbers with sizes."""
        found: dict[str, _Numbers] = {}
        sizes = await self._documents.list(prefix)
        if not prefix:
            self._bytes = sum(sizes.values())
        for name, size in sizes.items():
            series, _, last = name.rpartition("/")
            if last.isdecimal():
                found.setdefault(series, {})[int(last)] = size
        return found

    async def _root(self, series: str, numbers: Iterable[int]) -> _Page | None:
        """The newest intact document of a log."""
        for n in sorted(numbers, reverse=True):
            page = await self._read(series, n)
            if page is not None:
                return page
        return None

    async def _page(self, series: str, n: int) -> _Page:
        """A document that must be there; a damaged one is noted, and then the look is repeated without it."""
        page = await self._read(series, n)
        if page is None:
            raise _Moved
        return page

    async def _read(self, series: str, n: int) -> _Page | None:
        """A document, or None when it is damaged."""
        name = _name(series, n)
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name][1]
        if name in self._damaged:
            return None
        raw = await self._documents.get(name)
        if raw is None:
            raise _Moved
        return self._checked(name, n, raw)

    def _checked(self, name: str, n: int, raw: bytes) -> _Page | None:
        try:
            page = _Page(n, unpack(raw))
            if page.header["name"] != name:
                raise ValueError("it says another name of itself")  # noqa: TRY301 - one way out for all damage
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._note_damage(name, str(error))
            return None
        weight = len(raw)
        self._cache[name] = (weight, page)
        self._cached += weight
        while self._cached > CACHE_BYTES and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1][0]
        return page

    def _note_damage(self, name: str, why: str) -> None:
        self._damaged[name] = why
        self._forget_page(name)
        _log.error("store.damaged_document", extra={"document": name, "error": why})

    def _forget_page(self, name: str) -> None:
        if name in self._cache:
            self._cached -= self._cache.pop(name)[0]

    async def _parts(self, tenant: _Tenant) -> dict[str, bytes] | None:
        """The parts of the state; None when one of them cannot be had."""
        assert tenant.root is not None
        parts = {}
        for name, (n, _) in tenant.root.header["parts"].items():
            page = await self._read(tenant.key, n) if n in tenant.numbers else None
            if page is None:
                return None
            parts[name] = page.parts()[name]
        return parts

    async def _known_ids(self, tenant: _Tenant) -> set[str]:
        return {i for held in tenant.held for i in (await self._page(tenant.key, held.n)).header["ids"]}

    async def _event(self, tenant: _Tenant, local: int) -> Event:
        n, index = local >> _INDEX_BITS, local & (MAX_EVENTS_A_COMMIT - 1)
        page = await self._page(tenant.key, n)
        self._inflated[id(page)] = page
        self._inflated.move_to_end(id(page))
        if len(self._inflated) > INFLATED:
            self._inflated.popitem(last=False)[1].deflate()
        try:
            return page.event(index)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            self._note_damage(_name(tenant.key, n), str(error))
            raise _Moved from error

    async def _matching(self, view: _View, query: Query) -> AsyncIterator[tuple[str, int, Event]]:
        """(tenant key, local, event) of the events that a query means, in its order, not counting its limit."""
        wanted = frozenset(query.ids)
        times = {t.key: t.times() for t in view.tenants.values()}
        ordered = sorted((times[t.key][held.n], t.key, held.n, held) for t in view.tenants.values() for held in t.held)
        for _, key, _, held in reversed(ordered) if query.newest_first else ordered:
            if query.since is not None and held.observed < query.since:
                continue
            ids = (await self._page(key, held.n)).header["ids"]
            if wanted and wanted.isdisjoint(ids):
                continue
            indexes = range(held.count)
            for index in reversed(indexes) if query.newest_first else indexes:
                if not wanted or ids[index] in wanted:
                    event = await self._event(view.tenants[key], held.seqs[index])
                    if _meant(event, query):
                        yield key, held.seqs[index], event

    # ------------------------------------------------------------------------------------------------ sinks, inside

    async def _write_sink(
        self,
        name: str,
        sink: _Sink | None = None,
        *,
        born: Mapping[str, int] | None = None,
        lives: Iterable[int] = (),
    ) -> None:
        """A new document in a sink's log: as it is, or born, or (neither) gone. `lives` are those it had."""
        key = key_of(name)
        if key is None:
            raise StoreError(f"{name[:40]!r}… is no name of a sink", "Give the sink a shorter name.")
        series = f"sinks/{key}"
        numbers = (await self._list(f"{series}/")).get(series, {})
        root = await self._root(series, numbers)
        life = sink.life if sink else max(numbers, default=0) + 1
        if numbers and root is None:  # where it began is damaged: rather everything again than an event too few
            born, life = {}, max(lives, default=life)
        header = {
            "sink": name,
            "gone": sink is None and born is None,
            "life": life,
            "abandoned": bool(sink and sink.abandoned),
            "starts": dict(sink.starts if sink else born or {}),
        }
        if not await self._append(series, numbers, root, header):
            raise _Moved

    async def _cursor(self, tenant: _Tenant, sink: _Sink) -> _Cursor:
        """Where a sink stands in a tenant, as far as the events are still there."""
        page = await self._root(f"{tenant.key}/{sink.series}", tenant.cursors.get(sink.series, {}))
        if page is None:
            return _Cursor(int(sink.starts.get(tenant.key, 0)), {})
        h, live = page.header, tenant.live()
        items = {int(seq): Item(*item) for seq, *item in h["items"] if int(seq) >> _INDEX_BITS in live}
        return _Cursor(h["position"], items, tuple(settling.Entry(*row) for row in h["ledger"]), h["last_success"])

    async def _cursors(self, view: _View, sink: str | None) -> "list[tuple[_Tenant, _Sink, _Cursor]]":
        sinks = [s for s in view.sinks.values() if sink in (None, s.name)]
        return [(t, s, await self._cursor(t, s)) for s in sinks for t in view.tenants.values()]

    async def _parked(self, sink: str | None, ids: Sequence[str]) -> "list[tuple[str, int, Parked]]":
        """(tenant key, local, what is shown), in commit order."""
        view = await self._view(None)
        found: list[tuple[tuple[str, str, int, str], Parked]] = []
        for tenant, entry, cursor in await self._cursors(view, sink):
            times = tenant.times()
            for local in cursor.of(settling.PARKED):
                event = await self._event(tenant, local)
                item = cursor.items[local]
                if not ids or event.id in ids:
                    parked = Parked(
                        entry.name, tenant.mark + local, event, item.reason or "", item.at or "", item.attempts
                    )
                    found.append(((times[local >> _INDEX_BITS], tenant.key, local, entry.name), parked))
        return [(place[1], place[2], parked) for place, parked in sorted(found, key=lambda pair: pair[0])]

    async def _alter(
        self, sink: str, key: str, decide: "Callable[[_Tenant, _Cursor], tuple[_Cursor, int]]", *, keep: int = 2
    ) -> int:
        """Write what `decide` makes of a cursor; it may be asked again. Returns the count it gave."""

        async def attempt() -> int:
            view = await self._view(text_of(key))
            entry = view.sink(sink)
            tenant = view.tenants.get(key)
            if tenant is None:
                return 0
            was = await self._cursor(tenant, entry)
            cursor, count = decide(tenant, was)
            if cursor is not was:
                series = f"{key}/{entry.series}"
                numbers = tenant.cursors.get(entry.series, {})
                header = {
                    "position": cursor.position,
                    "items": [
                        [seq, i.state, i.attempts, i.first_sent, i.at, i.reason] for seq, i in cursor.items.items()
                    ],
                    "ledger": [[e.outcome, e.first_sent, e.attempts, e.settled, e.spans] for e in cursor.ledger],
                    "last_success": cursor.last_success,
                }
                root = await self._root(series, numbers)
                if not await self._append(series, numbers, root, header, keep=keep):
                    raise _Moved
            return count

        return await self._steady(attempt)

    async def _offer(self, sink: str, chosen: Mapping[str, Sequence[int]]) -> int:
        def offered(tenant: _Tenant, cursor: _Cursor, locals_: Sequence[int]) -> tuple[_Cursor, int]:
            mine = [n for n in locals_ if cursor.settled(n) and tenant.exists(n)]
            return (cursor.again(mine) if mine else cursor), len(mine)

        count = 0
        for key, locals_ in chosen.items():
            if locals_:
                count += await self._alter(sink, key, partial(offered, locals_=locals_))
        return count

    async def _due(self, sink: str, limit: int, tenant_id: str | None) -> list[Pending]:
        view = await self._view(tenant_id)
        entry = view.sink(sink)
        first: list[Iterator[_Row]] = []
        again: list[Iterator[_Row]] = []
        for tenant in view.tenants.values():
            cursor = await self._cursor(tenant, entry)
            row = partial(_row, tenant.key, cursor, tenant.times())
            first.append(map(row, chain(cursor.of(settling.DUE), _fresh(tenant, cursor.position))))
            again.append(map(row, cursor.of(settling.AGAIN)))
        rows = list(islice(heapq.merge(*first, key=_place), limit))
        kind = "first" if rows else "again"
        rows = rows or list(islice(heapq.merge(*again, key=_place), limit))
        return [
            Pending(view.tenants[key].mark + n, await self._event(view.tenants[key], n), item.attempts, kind)
            for _, key, n, item in rows
        ]

    async def _stats(self) -> Stats:
        view = await self._view(None)
        found = []
        for entry in view.sinks.values():
            backlog = parked = cursor_at = 0
            success: list[str] = []
            oldest: list[str] = []
            for tenant in view.tenants.values():
                cursor = await self._cursor(tenant, entry)
                due, again = cursor.of(settling.DUE), cursor.of(settling.AGAIN)
                fresh = next(_fresh(tenant, cursor.position), None)
                backlog += len(due) + len(again) + _beyond(tenant, cursor.position)
                parked += len(cursor.of(settling.PARKED))
                success += [cursor.last_success] if cursor.last_success else []
                pending = [n for n in (*due[:1], *again[:1], fresh) if n is not None]
                if pending:
                    oldest.append(str((await self._event(tenant, min(pending))).data["observed_at"]))
                cursor_at = max(cursor_at, tenant.mark + (due[0] - 1 if due else cursor.position))
            found.append(
                SinkStats(
                    entry.name,
                    cursor_at,
                    backlog,
                    parked,
                    max(success, default=None),
                    min(oldest, default=None),
                    entry.abandoned,
                )
            )
        events = sum(held.count for t in view.tenants.values() for held in t.held)
        return Stats(events, self._bytes or 0, tuple(sorted(found, key=lambda s: s.name)))

    # ------------------------------------------------------------------------------------------------ writing, inside

    def _refuse_when_full(self) -> None:
        if self._max_bytes is not None and self._bytes is not None and self._bytes >= self._max_bytes:
            raise StoreError(
                f"the state has reached its bound of {self._max_bytes} bytes",
                "Repair the sink that holds it (`securescore sinks list`), or give up its backlog with `securescore"
                " sinks release NAME`, or raise `state.max_bytes`, or keep less (`state.keep_days`).",
            )

    async def _write_root(
        self,
        tenant: _Tenant,
        tenant_id: str,
        generation: int,
        parts: Mapping[str, bytes],
        events: Mapping[str, tuple[bytes, str]],
        *,
        without: Iterable[int] = (),
        keep: int = 2,
    ) -> bool:
        """The next document of a tenant: what is new in it, and where the rest is. False when another was faster.

        Parts that lie in documents `without` which the state shall do move into the new one.
        """
        if len(events) >= MAX_EVENTS_A_COMMIT:
            raise StoreError(f"{len(events)} events in one commit", "Poll with a shorter `poll.backfill` first.")
        number = tenant.next
        before = tenant.root.header["parts"] if tenant.root else {}
        sound = {n for n in tenant.numbers if _name(tenant.key, n) not in self._damaged}.difference(without)
        own: list[tuple[str, bytes]] = []
        where: dict[str, tuple[int, str]] = {}
        for name, body in parts.items():
            digest = hashlib.sha256(body).hexdigest()[:32]
            n, was = before.get(name, (0, ""))
            if was != digest or n not in sound:
                own.append((name, body))
                n = number
            where[name] = (n, digest)
        at = iso(self._clock.now())
        lines = b"\n".join(line for line, _ in events.values())
        held = list(tenant.held)
        if events:
            held.append(_Held(number, len(events), at, max(observed for _, observed in events.values())))
        header = {
            "generation": generation,
            "at": at,
            "tenant": tenant_id if generation else None,
            "parts": where,
            "own": [(name, len(body)) for name, body in own],
            "held": [(h.n, h.count, h.at, h.observed) for h in held],
            "ids": list(events),
            "size": len(lines),
        }
        blobs = [body for _, body in own] + ([zlib.compress(lines, 6)] if events else [])
        return await self._append(tenant.key, tenant.numbers, tenant.root, header, blobs, keep=keep)

    async def _append(
        self,
        series: str,
        numbers: Iterable[int],
        root: _Page | None,
        header: Mapping[str, Any],
        blobs: Sequence[bytes] = (),
        *,
        keep: int = 2,
    ) -> bool:
        """Create the next document of a log and clear away what it makes superfluous. False when it did not count."""
        number = max(numbers, default=0) + 1
        name = _name(series, number)
        raw = pack({"name": name, "trail": root.trail if root else [], **header}, blobs)
        try:
            await self._documents.create(name, raw)
        except Conflict:
            if await self._documents.get(name) != raw:  # ours it is if an answer was lost and the request repeated
                return False
        now = (await self._list(f"{series}/")).get(series, {})
        newest = await self._root(series, now)
        ours = unpack(raw).digest[:16]
        if newest is None or (newest.n != number and ours not in newest.trail):
            return False
        if newest.n == number:
            if self._bytes is not None:
                self._bytes += len(raw)
            try:
                await self._clear(series, now, newest, keep)
            except (_Moved, SecureScoreError) as error:  # our document stands; the next writer clears
                _log.warning("store.not_cleared", extra={"log": series, "error": str(error)})
        return True

    async def _clear(self, series: str, numbers: Mapping[int, int], newest: _Page, keep: int) -> None:
        """Delete what neither the newest root nor the one before needs: that one serves if the newest is damaged."""
        roots = [newest]
        for n in sorted((n for n in numbers if n < newest.n), reverse=True):
            if len(roots) >= keep:
                break
            page = await self._read(series, n)
            if page is not None:
                roots.append(page)
        needed = {page.n for page in roots}
        for page in roots:
            needed |= {row[0] for row in page.header.get("held", ())} | _referred(page)
        for n in sorted(numbers):
            name = _name(series, n)
            if n >= newest.n:
                continue
            if name in self._damaged:
                await self._put_aside(name)
            elif n not in needed:
                await self._documents.delete(name)
                if self._bytes is not None:
                    self._bytes -= numbers[n]
                self._forget_page(name)

    async def _put_aside(self, name: str) -> None:
        """Move a damaged document out of the way, as it is."""
        raw = await self._documents.get(name)
        if raw is not None:
            with suppress(Conflict):  # put there before a crash
                await self._documents.create(f"damaged/{name}", raw)
            await self._documents.delete(name)

    async def _purge(self, key: str, before: str) -> int:
        view = await self._view(text_of(key))
        tenant = view.tenants.get(key)
        if tenant is None or tenant.root is None:
            return 0
        cursors = [await self._cursor(tenant, sink) for sink in view.sinks.values()]
        position = min((c.position for c in cursors), default=tenant.last)
        pinned = {n >> _INDEX_BITS for c in cursors for n, i in c.items.items() if i.state != settling.DISCARDED}
        old = [h for h in tenant.held if h.observed < before and h.seqs[-1] <= position and h.n not in pinned]
        if not old:
            return 0
        parts = await self._parts(tenant)
        if parts is None:
            return 0  # the next commit mends the state first
        gone = {h.n for h in old}
        left = evolve(tenant, held=[h for h in tenant.held if h.n not in gone])
        tenant_id = text_of(key)
        if not await self._write_root(left, tenant_id, tenant.generation, parts, {}, without=gone, keep=1):
            raise _Moved
        for sink in view.sinks.values():
            await self._alter(sink.name, key, _pruned)
        return sum(h.count for h in old)


# -------------------------------------------------------------------------------------------------------- small parts

_Row = tuple[str, str, int, Item]


def _name(series: str, n: int) -> str:
    return f"{series}/{n:012d}"


def _referred(page: _Page | None) -> set[int]:
    """The documents in which a root's parts lie."""
    return {n for n, _ in page.header.get("parts", {}).values()} if page else set()


def _row(key: str, cursor: _Cursor, times: Mapping[int, str], local: int) -> _Row:
    return (times[local >> _INDEX_BITS], key, local, cursor.items.get(local) or Item(settling.DUE))


def _place(row: _Row) -> tuple[str, str, int]:
    return row[:3]


def _fresh(tenant: _Tenant, position: int) -> Iterator[int]:
    """The events beyond a position, oldest first."""
    return (n for held in tenant.held if held.seqs[-1] > position for n in held.seqs if n > position)


def _beyond(tenant: _Tenant, position: int) -> int:
    """How many events lie beyond a position."""
    return sum(min(held.count, max(0, held.seqs[-1] - position)) for held in tenant.held)


def _own(settlement: Settlement, mark: int) -> Settlement:
    """What a settlement says of one tenant, in the tenant's own numbers."""

    def local(seqs: Iterable[int]) -> Iterator[int]:
        return (seq & ((1 << _LOCAL_BITS) - 1) for seq in seqs if seq >> _LOCAL_BITS == mark)

    parked = [seq for seq in settlement.parked if seq >> _LOCAL_BITS == mark]
    return evolve(
        settlement,
        attempted=tuple(local(settlement.attempted)),
        accepted=frozenset(local(settlement.accepted)),
        skipped=frozenset(local(settlement.skipped)),
        parked=dict(zip(local(parked), (settlement.parked[seq] for seq in parked), strict=True)),
    )


def _settled(tenant: _Tenant, cursor: _Cursor, settlement: Settlement) -> tuple[_Cursor, int]:
    named = settlement.accepted.union(settlement.attempted, settlement.skipped, settlement.parked)
    last = max(named)
    fresh = [n for n in _fresh(tenant, cursor.position) if n <= last]
    items = {n: cursor.items[n] for n in named & cursor.items.keys()}
    open_items = {n: i for n, i in items.items() if i.state in (settling.DUE, settling.AGAIN)}
    outcome = settling.decide(fresh, open_items, settlement)
    if not fresh and not outcome.put and not outcome.entries:
        return cursor, 0
    dropped = frozenset(outcome.drop)
    changed = _Cursor(
        position=fresh[-1] if fresh else cursor.position,
        items={**{n: i for n, i in cursor.items.items() if n not in dropped}, **outcome.put},
        ledger=(*cursor.ledger, *outcome.entries),
        last_success=settlement.at if settlement.accepted else cursor.last_success,
    )
    return changed, len(named)


def _pruned(tenant: _Tenant, cursor: _Cursor) -> tuple[_Cursor, int]:
    """Without ledger entries whose events are all gone."""
    live = tenant.live()
    kept = tuple(e for e in cursor.ledger if any(a >> _INDEX_BITS in live for a, _ in settling.ranges(e.spans)))
    return (cursor if len(kept) == len(cursor.ledger) else evolve(cursor, ledger=kept)), 0


def _emptied(tenant: _Tenant, cursor: _Cursor) -> tuple[_Cursor, int]:
    """Nothing but the place behind all that was forgotten."""
    return _Cursor(max(cursor.position, tenant.last), {}), 0


def _past(cursor: _Cursor, local: int) -> dict[str, Any]:
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


def _meant(event: Event, query: Query) -> bool:
    """Whether a query means this event, its ids and limit aside."""
    observed_at = str(event.data["observed_at"])
    return (
        (query.tenant_id is None or event.tenant_id == query.tenant_id)
        and (not query.types or any(fnmatchcase(event.type, glob) for glob in query.types))
        and (query.subject is None or event.subject == query.subject)
        and (query.since is None or observed_at >= query.since)
        and (query.until is None or observed_at < query.until)
    )
