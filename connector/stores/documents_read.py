"""What the documents of documents.py say now, as the values of cursors.py: tenants, sinks, cursors, events.

Nothing is written here. A look is as of one moment: what moves under it raises Moved, and the caller looks again
(numbered.steady).
"""

import heapq
from array import array
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice

from attrs import evolve

from connector.model import Event
from connector.ports import HEAD, Parked, Pending, Query, State, Wanted
from connector.stores import listing, settling
from connector.stores.cursors import (
    INDEX_BITS,
    LOCAL_BITS,
    MAX_EVENTS_A_COMMIT,
    Cursor,
    Held,
    KnownSink,
    Row,
    Tenant,
    View,
    fresh_of,
    meant,
    place_of,
    row_of,
)
from connector.stores.numbered import Logs, Moved, Numbers, Page
from connector.stores.packing import RESERVED, key_of, name_of
from connector.stores.recent import Recent
from connector.stores.settling import Item

GATHER = 16
"""So many commits that are kept for their events alone are gathered into the next document."""
GATHERED_BYTES = 256 * 1024
"""A document that is larger is left as it is: it would be written again for little."""
HASHES = 2_000_000
"""Of so many events, eight bytes each, it is remembered which document may hold them; the tenants that committed last
come first."""


class DocumentsReader:
    """Nothing but immutable documents is remembered between calls, and which mark is whose tenant's (`keys`).

    Events that were just committed are in `recent`, by the digest of their document and their place in it: who asks
    for one has found its document listed, so what anybody deletes is not found here either.
    """

    def __init__(self, logs: Logs) -> None:
        self.keys: dict[int, str] = {}
        self._hashes: OrderedDict[str, dict[int, array[int]]] = OrderedDict()
        self._hashed = 0
        self.recent: Recent[tuple[str, int]] = Recent()
        self._logs = logs
        self._missed: set[str] = set()
        self.ahead: set[str] = set()

    @property
    def suspects(self) -> set[str]:
        """The keys of tenants of which something was found damaged, gone, or ahead of its log."""
        return {name.partition("/")[0] for name in self._logs.damaged} | self.ahead

    async def view(self, tenant_id: str | None, *, placed: bool = False, of: str | None = None) -> View:
        """All tenants or one, and all sinks; `placed` for those that are to be written, or looked at for flaws. A sink
        `of` which this is may have appeared since a turn listed the sinks.
        """
        view = await self._view(tenant_id, placed=placed)
        if of is None or of in view.sinks:
            return view
        listing.forget()
        return await self._view(tenant_id, placed=placed)

    async def _view(self, tenant_id: str | None, *, placed: bool) -> View:
        key = None if tenant_id is None else key_of(tenant_id)
        if tenant_id is not None and key is None:
            return View({}, await self.sinks(await self._logs.list("sinks/")))
        series = await self._logs.list("" if key is None else f"{key}/")
        sinks_series = series if key is None else await self._logs.list("sinks/")
        logs: dict[str, dict[str, Numbers]] = {}
        for name, numbers in series.items():
            tenant_key, _, rest = name.partition("/")
            if tenant_key not in RESERVED:
                logs.setdefault(tenant_key, {})[rest] = numbers
        sinks = await self.sinks(sinks_series)
        tenants = {k: await self.rooted(Tenant(k, logs[k].pop("", {}), None, (), logs[k])) for k in sorted(logs)}
        if placed:
            tenants = {k: await self._placed(tenant, sinks) for k, tenant in tenants.items()}
        return View(tenants, sinks)

    async def sinks(self, series: Mapping[str, Numbers]) -> dict[str, KnownSink]:
        """The sinks that are there, by name."""
        found = {}
        for name in sorted(series):
            page = await self._logs.root(name, series[name]) if name.startswith("sinks/") else None
            if page is not None and not page.header["gone"]:
                h = page.header
                found[h["sink"]] = KnownSink(h["sink"], name.partition("/")[2], h["life"], h["abandoned"], h["starts"])
        return dict(sorted(found.items()))

    async def tenant(self, tenant_id: str) -> Tenant | None:
        key = key_of(tenant_id)
        if key is None:
            return None
        series = await self._logs.list(f"{key}/")
        logs = {name.partition("/")[2]: numbers for name, numbers in series.items()}
        if not logs:
            return None
        return await self.rooted(Tenant(key, logs.pop("", {}), None, (), logs))

    async def to_write(self, tenant_id: str) -> Tenant | None:
        """A tenant that is to be written: with the highest number that a sink has seen."""
        key = key_of(tenant_id)
        return None if key is None else (await self.view(tenant_id, placed=True)).tenants.get(key)

    async def _placed(self, tenant: Tenant, sinks: Mapping[str, KnownSink]) -> Tenant:
        positions = [await self._position(tenant, sink) for sink in sinks.values()]
        seen = max(positions, default=0) >> INDEX_BITS
        if seen > max(tenant.numbers, default=0) or (tenant.cursors and not tenant.numbers):
            self.ahead.add(tenant.key)
        else:
            self.ahead.discard(tenant.key)
        return evolve(tenant, seen=seen, passed=min(positions, default=tenant.last))

    async def rooted(self, tenant: Tenant) -> Tenant:
        """A tenant with what its root says."""
        root = await self._logs.root(tenant.key, tenant.numbers)
        held = [Held(*row) for row in root.header["held"]] if root else []
        gone = {name_of(tenant.key, h.document) for h in held if h.document not in tenant.numbers}
        lost = gone - self._logs.damaged.keys()
        if lost - self._missed:  # purged while we looked, it may be: look again before it counts
            self._missed |= lost
            raise Moved
        for name in lost:
            self._logs.note_damage(name, "missing")
        self.keys[tenant.mark >> LOCAL_BITS] = tenant.key
        sound = [h for h in held if name_of(tenant.key, h.document) not in self._logs.damaged]
        places = {h.n: h.place for h in held if h.place}
        return evolve(tenant, root=root, held=sound, lost=[h for h in held if h not in sound], places=places)

    async def state(self, tenant_id: str, wanted: Wanted | None = None) -> State | None:
        """The state of a tenant, or the parts of it that are wanted."""
        tenant = await self.tenant(tenant_id)
        if tenant is None:
            return None
        if tenant.root is None:
            return State(0, lost={"": "its documents are damaged or gone"}, whole=wanted is None)
        if not tenant.generation:
            return None
        parts, lost = await self.parts(tenant, wanted)
        return State(tenant.generation, parts, lost=lost, whole=wanted is None)

    async def parts(self, tenant: Tenant, wanted: Wanted | None = None) -> tuple[dict[str, bytes], dict[str, str]]:
        """The parts of the state, or those that are wanted; and those that cannot be had, with the reason."""
        assert tenant.root is not None
        where: Mapping[str, tuple[int, str]] = {
            part: place for part, place in tenant.root.header["parts"].items() if wanted is None or wanted(part)
        }
        held: dict[int, Mapping[str, bytes]] = {}
        damaged: dict[int, str] = {}
        for n in sorted({n for n, _ in where.values()}):  # each document once, however many parts it holds
            name = name_of(tenant.key, n)
            if n not in tenant.numbers:
                if name not in self._missed:  # cleared away while we looked, it may be: look again before it counts
                    self._missed.add(name)
                    raise Moved
                self._logs.note_damage(name, "missing")
            page = await self._logs.read(tenant.key, n) if n in tenant.numbers else None
            if page is None:
                damaged[n] = self._logs.damaged[name]
            else:
                held[n] = page.parts()
        parts = {part: held[n][part] for part, (n, _) in where.items() if n in held}
        return parts, {part: damaged[n] for part, (n, _) in where.items() if n in damaged}

    async def head(self, tenant: Tenant) -> bytes | None:
        """The part HEAD of the state; None when there is none, or it is damaged."""
        n, _ = tenant.root.header["parts"].get(HEAD, (0, "")) if tenant.root else (0, "")
        page = await self._logs.read(tenant.key, n) if n in tenant.numbers else None
        return page.parts()[HEAD] if page else None

    async def known_ids(self, tenant: Tenant, wanted: Collection[str]) -> set[str]:
        """Which of these ids events have that are kept. A document is read for it once, and again where one may be."""
        hashes = set(map(hash, wanted))
        seen = self._hashes.pop(tenant.key, {})
        self._hashed -= sum(map(len, seen.values()))
        known: dict[int, array[int]] = {}
        found: set[str] = set()
        for held in tenant.held:
            if (of_one := seen.get(held.n)) is None:
                of_one = array("q", map(hash, await self.ids(tenant, held)))
            known[held.n] = of_one
            if not hashes.isdisjoint(of_one):
                found.update(await self.ids(tenant, held))
        self._hashes[tenant.key] = known
        self._hashed += sum(map(len, known.values()))
        while self._hashed > HASHES and len(self._hashes) > 1:
            self._hashed -= sum(map(len, self._hashes.popitem(last=False)[1].values()))
        return found.intersection(wanted)

    async def ids(self, tenant: Tenant, held: Held) -> Sequence[str]:
        """The ids of the events of a commit."""
        return (await self._logs.page(tenant.key, held.document)).ids(held.n)

    async def to_gather(self, tenant: Tenant) -> list[tuple[Held, Page]]:
        """The commits whose events should move into the next document, and where they lie: the oldest of those whose
        documents are kept for them alone, since all they brought of the state is replaced. None while they are few, and
        none that a sink still has before it: what waits is to stand apart, for what is settled to go.
        """
        parts: Mapping[str, tuple[int, str]] = tenant.root.header["parts"] if tenant.root else {}
        stay = {n for n, _ in parts.values()} | set(tenant.places.values())
        alone = [
            held
            for held in tenant.held
            if held.document not in stay and held.seqs[-1] <= tenant.passed and tenant.numbers[held.n] <= GATHERED_BYTES
        ]
        if len(alone) < GATHER:
            return []
        return [(held, await self._logs.page(tenant.key, held.n)) for held in alone[:GATHER]]

    async def event(self, tenant: Tenant, local: int) -> Event:
        n, index = local >> INDEX_BITS, local & (MAX_EVENTS_A_COMMIT - 1)
        page = await self._logs.page(tenant.key, tenant.places.get(n, n))
        return self._logs.event(tenant.key, page, n, index)

    async def _offered(self, tenant: Tenant, local: int) -> Event:
        """An event as it was given, when that was just now, or as it is read."""
        n = local >> INDEX_BITS
        if n not in tenant.places:
            page = await self._logs.page(tenant.key, n)
            given = self.recent.get((page.content.digest, local & (MAX_EVENTS_A_COMMIT - 1)))
            if given is not None:
                return given
        return await self.event(tenant, local)

    async def matching(self, view: View, query: Query) -> AsyncIterator[tuple[str, int, Event]]:
        """(tenant key, local, event) of the events that a query means, in its order, not counting its limit."""
        wanted, begin = frozenset(query.ids), query.id_begin.casefold()
        times = {t.key: t.times() for t in view.tenants.values()}
        ordered = sorted((times[t.key][held.n], t.key, held.n, held) for t in view.tenants.values() for held in t.held)
        for _, key, _, held in reversed(ordered) if query.newest_first else ordered:
            if query.since is not None and held.observed < query.since:
                continue
            ids = await self.ids(view.tenants[key], held)
            if wanted and wanted.isdisjoint(ids):
                continue
            if begin and not any(each.casefold().startswith(begin) for each in ids):
                continue
            indexes = range(held.count)
            for index in reversed(indexes) if query.newest_first else indexes:
                if (not wanted or ids[index] in wanted) and ids[index].casefold().startswith(begin):
                    event = await self.event(view.tenants[key], held.seqs[index])
                    if meant(event, query):
                        yield key, held.seqs[index], event

    async def cursor(self, tenant: Tenant, sink: KnownSink) -> Cursor:
        """Where a sink stands in a tenant, as far as the events are still there."""
        found, live = await self.raw_cursor(tenant, sink), tenant.live()
        return evolve(found, items={seq: item for seq, item in found.items.items() if seq >> INDEX_BITS in live})

    async def _position(self, tenant: Tenant, sink: KnownSink) -> int:
        page = await self._place(tenant, sink)
        return int(page.header["position"] if page else sink.starts.get(tenant.key, 0))

    async def _place(self, tenant: Tenant, sink: KnownSink) -> Page | None:
        return await self._logs.root(f"{tenant.key}/{sink.series}", tenant.cursors.get(sink.series, {}))

    async def raw_cursor(self, tenant: Tenant, sink: KnownSink) -> Cursor:
        """Where a sink stands in a tenant, as it was written."""
        page = await self._place(tenant, sink)
        if page is None:
            return Cursor(int(sink.starts.get(tenant.key, 0)), {})
        h = page.header
        items = {int(seq): Item(*item) for seq, *item in h["items"]}
        return Cursor(h["position"], items, tuple(settling.Entry(*row) for row in h["ledger"]), h["last_success"])

    async def cursors(self, view: View, sink: str | None) -> "list[tuple[Tenant, KnownSink, Cursor]]":
        sinks = [s for s in view.sinks.values() if sink in (None, s.name)]
        return [(t, s, await self.cursor(t, s)) for s in sinks for t in view.tenants.values()]

    async def parked(self, sink: str | None, ids: Sequence[str]) -> "list[tuple[str, int, Parked]]":
        """(tenant key, local, what is shown), in commit order."""
        view = await self.view(None)
        found: list[tuple[tuple[str, str, int, str], Parked]] = []
        for tenant, entry, cursor in await self.cursors(view, sink):
            times = tenant.times()
            for local in cursor.of(settling.PARKED):
                event = await self.event(tenant, local)
                item = cursor.items[local]
                if not ids or event.id in ids:
                    parked = Parked(
                        entry.name, tenant.mark + local, event, item.reason or "", item.at or "", item.attempts
                    )
                    found.append(((times[local >> INDEX_BITS], tenant.key, local, entry.name), parked))
        return [(place[1], place[2], parked) for place, parked in sorted(found, key=lambda pair: pair[0])]

    async def due(
        self, sink: str, limit: int, tenant_id: str | None, without: Collection[str], *, again: bool
    ) -> list[Pending]:
        view = await self.view(tenant_id, of=sink)
        entry = view.sink(sink)
        firsts: list[Iterator[Row]] = []
        agains: list[Iterator[Row]] = []
        left_out = {key_of(tenant) for tenant in without}
        for tenant in view.tenants.values():
            if tenant.key in left_out:
                continue
            cursor = await self.cursor(tenant, entry)
            row = partial(row_of, tenant.key, cursor, tenant.times())
            firsts.append(map(row, chain(cursor.of(settling.DUE), fresh_of(tenant, cursor.position))))
            agains.append(map(row, cursor.of(settling.AGAIN)))
        rows = [] if again else list(islice(heapq.merge(*firsts, key=place_of), limit))
        kind = "first" if rows else "again"
        rows = rows or list(islice(heapq.merge(*agains, key=place_of), limit))
        return [
            Pending(view.tenants[key].mark + n, await self._offered(view.tenants[key], n), item.attempts, kind)
            for _, key, n, item in rows
        ]
