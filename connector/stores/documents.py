"""State, events and settlement as immutable numbered documents, over any place that can create one if it is absent.

One algorithm for a folder, Azure blobs and the Splunk KV store (ports.Documents). What a settlement means is in
settling.py, the values in cursors.py, logs in numbered.py, names and bytes in packing.py, and no place is known here.
Pure Python, without sqlite3.

The picture. Each tenant has a log, `<tenant>/<n>`; the newest document of a log is its root. It says which documents
hold events (`held`) and which hold the parts of the state, so a commit is one `create` of n + 1 that carries what is
new. Whatever a root does not name is garbage: the leftovers of a crash, or of a writer that came too late. Each sink
has for each tenant a log `<tenant>/<sink>.<life>/<n>` of its position, open items and ledger, each document whole, and
one log `sinks/<sink>/<n>` of its own life.
"""

import hashlib
import heapq
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol, Self

from attrs import evolve

from connector.clock import iso
from connector.errors import Conflict, StoreError
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import (
    Clock,
    Documents,
    Parked,
    Pending,
    Query,
    Settlement,
    SinkStats,
    Start,
    State,
    Stats,
    Survey,
)
from connector.stores import settling
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
    beyond,
    emptied,
    fresh_of,
    meant,
    own_part,
    past,
    place_of,
    pruned,
    row_of,
    settled,
)
from connector.stores.numbered import Logs, Moved, Numbers, name_of, steady
from connector.stores.packing import RESERVED, key_of, text_of
from connector.stores.settling import Item

_log = logging.getLogger(__name__)


class Releasable(Protocol):
    """A held lock (lock.py)."""

    def release(self) -> None: ...


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
        self._logs = Logs(documents)
        self._clock = clock
        self._max_bytes = max_bytes
        self._lock = lock
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
        return dict(self._logs.damaged)

    async def close(self) -> None:
        """Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._logs.close()
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

        return await steady(look)

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
            tenant = await self._tenant(tenant_id) or Tenant(key, {}, None, (), {})
            if state.generation != tenant.generation:
                raise Conflict(
                    f"tenant {tenant_id}: another commit came first (not at generation {state.generation} any more)",
                    "Load the state and observe again.",
                )
            self._refuse_when_full()
            known = await self._known_ids(tenant) if new else set()
            fresh = {event_id: found for event_id, found in new.items() if event_id not in known}
            if not await self._write_root(tenant, tenant_id, state.generation + 1, dict(state.parts), fresh):
                raise Moved
            return State(state.generation + 1, dict(state.parts))

        return await steady(attempt)

    async def history(self, query: Query) -> list[Event]:
        async def look() -> list[Event]:
            view = await self._view(query.tenant_id)
            found: list[Event] = []
            async for _, _, event in self._matching(view, query):
                if query.limit is not None and len(found) >= query.limit:
                    break
                found.append(event)
            return found

        return await steady(look)

    async def tenants(self) -> list[str]:
        """The ids of all tenants that have state; the connector's own state (tenant "") is not a tenant."""

        async def look() -> list[str]:
            view = await self._view(None)
            return sorted(text_of(t.key) for t in view.tenants.values() if t.generation and text_of(t.key))

        return await steady(look)

    # ---------------------------------------------------------------------------------------------------- the sinks

    async def attach(self, sinks: Sequence[Start]) -> None:
        wanted = {start.sink: start for start in sinks}

        async def attempt() -> None:
            there = await self._sinks(await self._logs.list("sinks/"))
            if {name for name, sink in there.items() if not sink.abandoned} == wanted.keys():
                return  # as it mostly is; then thousands of tenants need not be looked at
            view = await self._view(None)
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

        await steady(attempt)

    async def due(
        self, sink: str, limit: int, tenant_id: str | None = None, without: Collection[str] = ()
    ) -> list[Pending]:
        return await steady(lambda: self._due(sink, max(0, limit), tenant_id, without))

    async def settle(self, sink: str, settlement: Settlement) -> None:
        named = settlement.accepted.union(settlement.attempted, settlement.skipped, settlement.parked)
        if not named:
            return
        marks = {seq >> LOCAL_BITS for seq in named}
        if not marks <= self._keys.keys():
            (await steady(lambda: self._view(None))).sink(sink)
        for mark in sorted(marks & self._keys.keys()):
            await self._alter(sink, self._keys[mark], partial(settled, settlement=own_part(settlement, mark)))

    async def stats(self) -> Stats:
        return await steady(self._stats)

    async def survey(self, since: str, until: str) -> Survey:
        """Look at all tenants; accepted events are counted from `since` (inclusive) to `until` (exclusive)."""

        async def look() -> Survey:
            logs = await self._logs.list("")
            await self._logs.warm({name: found for name, found in logs.items() if name.split("/")[0] != "damaged"})
            view = await self._view(None)
            heads = {text_of(t.key): head for t in view.tenants.values() if (head := await self._head(t)) is not None}
            accepted = dict.fromkeys(view.sinks, 0)
            behind = set()
            for tenant, sink, cursor in await self._cursors(view, None):
                accepted[sink.name] += sum(
                    last - first + 1
                    for entry in cursor.ledger
                    if entry.outcome == settling.ACCEPTED and since <= entry.settled < until
                    for first, last in settling.ranges(entry.spans)
                )
                waits = cursor.of(settling.DUE, settling.AGAIN) or beyond(tenant, cursor.position)
                if waits and not sink.abandoned:
                    behind.add(text_of(tenant.key))
            return Survey(heads, accepted, frozenset(behind))

        return await steady(look)

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

        return await self._offer(sink, await steady(choose))

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

        return await self._offer(sink, await steady(choose))

    async def parked(self, sink: str | None = None, ids: Sequence[str] = ()) -> list[Parked]:
        return [parked for _, _, parked in await steady(lambda: self._parked(sink, ids))]

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

        def decided(_: Tenant, cursor: Cursor, locals_: Iterable[int]) -> tuple[Cursor, int]:
            mine = [n for n in locals_ if n in cursor.items and cursor.items[n].state == settling.PARKED]
            new = {n: evolve(cursor.items[n], state=state, at=at) for n in mine}
            return (evolve(cursor, items={**cursor.items, **new}) if mine else cursor), len(mine)

        count = 0
        for (name, key), locals_ in (await steady(choose)).items():
            count += await self._alter(name, key, partial(decided, locals_=locals_))
        return count

    async def release(self, sink: str) -> int:
        """Give up all that a sink has not settled, parked events included.

        An abandoned sink is forgotten; one still attached goes on with the next commit.
        """
        view = await steady(lambda: self._view(None))
        entry = view.sink(sink)

        def given_up(tenant: Tenant, cursor: Cursor) -> tuple[Cursor, int]:
            open_items = [n for n, item in cursor.items.items() if item.state != settling.DISCARDED]
            unseen = beyond(tenant, cursor.position)
            if not open_items and not unseen:
                return cursor, 0
            kept = {n: item for n, item in cursor.items.items() if item.state == settling.DISCARDED}
            return evolve(cursor, position=max(cursor.position, tenant.last), items=kept), len(open_items) + unseen

        count = 0
        for key in view.tenants:
            count += await self._alter(sink, key, given_up)
        if entry.abandoned:
            await steady(lambda: self._write_sink(sink, None))
            for tenant in view.tenants.values():  # what is left of it is garbage now, and found as such if we crash
                await self._logs.delete(f"{tenant.key}/{entry.series}", tenant.cursors.get(entry.series, {}))
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
                raise Moved
            return count

        async def rest() -> None:
            view = await self._view(tenant_id)
            for tenant in view.tenants.values():
                sinks = {sink.series: sink for sink in view.sinks.values()}
                for series, numbers in tenant.cursors.items():
                    if series in sinks:
                        await self._alter(sinks[series].name, tenant.key, emptied, keep=1)
                    else:
                        await self._logs.delete(f"{tenant.key}/{series}", numbers)
                await self._logs.delete_damaged(tenant.key)

        count = await steady(attempt)
        await steady(rest)
        return count

    async def purge(self, before: str) -> int:
        """Delete documents whose events are all old and settled everywhere, parked ones never; how many events."""
        count = 0
        for key in (await steady(lambda: self._view(None))).tenants:
            count += await steady(partial(self._purge, key, before))
        return count

    async def trace(self, event_id: str) -> list[Mapping[str, Any]]:
        """Per sink {sink, state, first_sent, attempts, settled, reason}; [] for an unknown id."""

        async def look() -> list[Mapping[str, Any]]:
            view = await self._view(None)
            for tenant in view.tenants.values():
                for held in tenant.held:
                    ids = (await self._logs.page(tenant.key, held.n)).header["ids"]
                    if event_id in ids:
                        local = held.seqs[ids.index(event_id)]
                        cursors = await self._cursors(evolve(view, tenants={tenant.key: tenant}), None)
                        return [{"sink": entry.name, **past(cursor, local)} for _, entry, cursor in cursors]
            return []

        return await steady(look)

    # ------------------------------------------------------------------------------------------------ looking, inside

    async def _view(self, tenant_id: str | None) -> View:
        """All tenants or one, and all sinks."""
        key = None if tenant_id is None else key_of(tenant_id)
        if tenant_id is not None and key is None:
            return View({}, await self._sinks(await self._logs.list("sinks/")))
        series = await self._logs.list("" if key is None else f"{key}/")
        sinks_series = series if key is None else await self._logs.list("sinks/")
        logs: dict[str, dict[str, Numbers]] = {}
        for name, numbers in series.items():
            tenant_key, _, rest = name.partition("/")
            if tenant_key not in RESERVED:
                logs.setdefault(tenant_key, {})[rest] = numbers
        tenants = {k: await self._rooted(Tenant(k, logs[k].pop("", {}), None, (), logs[k])) for k in sorted(logs)}
        return View(tenants, await self._sinks(sinks_series))

    async def _sinks(self, series: Mapping[str, Numbers]) -> dict[str, KnownSink]:
        """The sinks that are there, by name."""
        found = {}
        for name in sorted(series):
            page = await self._logs.root(name, series[name]) if name.startswith("sinks/") else None
            if page is not None and not page.header["gone"]:
                h = page.header
                found[h["sink"]] = KnownSink(h["sink"], name.partition("/")[2], h["life"], h["abandoned"], h["starts"])
        return dict(sorted(found.items()))

    async def _tenant(self, tenant_id: str) -> Tenant | None:
        key = key_of(tenant_id)
        if key is None:
            return None
        series = await self._logs.list(f"{key}/")
        logs = {name.partition("/")[2]: numbers for name, numbers in series.items()}
        if not logs:
            return None
        return await self._rooted(Tenant(key, logs.pop("", {}), None, (), logs))

    async def _rooted(self, tenant: Tenant) -> Tenant:
        root = await self._logs.root(tenant.key, tenant.numbers)
        held = [Held(*row) for row in root.header["held"]] if root else []
        lost = {name_of(tenant.key, h.n) for h in held if h.n not in tenant.numbers} - self._logs.damaged.keys()
        if lost - self._missed:  # purged while we looked, it may be: look again before it counts
            self._missed |= lost
            raise Moved
        for name in lost:
            self._logs.note_damage(name, "missing")
        self._keys[tenant.mark >> LOCAL_BITS] = tenant.key
        sound = [h for h in held if name_of(tenant.key, h.n) not in self._logs.damaged]
        return evolve(tenant, root=root, held=sound)

    async def _parts(self, tenant: Tenant) -> dict[str, bytes] | None:
        """The parts of the state; None when one of them cannot be had."""
        assert tenant.root is not None
        parts = {}
        for name, (n, _) in tenant.root.header["parts"].items():
            page = await self._logs.read(tenant.key, n) if n in tenant.numbers else None
            if page is None:
                return None
            parts[name] = page.parts()[name]
        return parts

    async def _head(self, tenant: Tenant) -> bytes | None:
        """The part "head" of the state; None when there is none, or it is damaged."""
        n, _ = tenant.root.header["parts"].get("head", (0, "")) if tenant.root else (0, "")
        page = await self._logs.read(tenant.key, n) if n in tenant.numbers else None
        return page.parts()["head"] if page else None

    async def _known_ids(self, tenant: Tenant) -> set[str]:
        return {i for held in tenant.held for i in (await self._logs.page(tenant.key, held.n)).header["ids"]}

    async def _event(self, tenant: Tenant, local: int) -> Event:
        n, index = local >> INDEX_BITS, local & (MAX_EVENTS_A_COMMIT - 1)
        page = await self._logs.page(tenant.key, n)
        return self._logs.event(tenant.key, page, index)

    async def _matching(self, view: View, query: Query) -> AsyncIterator[tuple[str, int, Event]]:
        """(tenant key, local, event) of the events that a query means, in its order, not counting its limit."""
        wanted = frozenset(query.ids)
        times = {t.key: t.times() for t in view.tenants.values()}
        ordered = sorted((times[t.key][held.n], t.key, held.n, held) for t in view.tenants.values() for held in t.held)
        for _, key, _, held in reversed(ordered) if query.newest_first else ordered:
            if query.since is not None and held.observed < query.since:
                continue
            ids = (await self._logs.page(key, held.n)).header["ids"]
            if wanted and wanted.isdisjoint(ids):
                continue
            indexes = range(held.count)
            for index in reversed(indexes) if query.newest_first else indexes:
                if not wanted or ids[index] in wanted:
                    event = await self._event(view.tenants[key], held.seqs[index])
                    if meant(event, query):
                        yield key, held.seqs[index], event

    # ------------------------------------------------------------------------------------------------ sinks, inside

    async def _write_sink(
        self,
        name: str,
        sink: KnownSink | None = None,
        *,
        born: Mapping[str, int] | None = None,
        lives: Iterable[int] = (),
    ) -> None:
        """A new document in a sink's log: as it is, or born, or (neither) gone. `lives` are those it had."""
        key = key_of(name)
        if key is None:
            raise StoreError(f"{name[:40]!r}… is no name of a sink", "Give the sink a shorter name.")
        series = f"sinks/{key}"
        numbers = (await self._logs.list(f"{series}/")).get(series, {})
        root = await self._logs.root(series, numbers)
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
        if not await self._logs.append(series, numbers, root, header):
            raise Moved

    async def _cursor(self, tenant: Tenant, sink: KnownSink) -> Cursor:
        """Where a sink stands in a tenant, as far as the events are still there."""
        page = await self._logs.root(f"{tenant.key}/{sink.series}", tenant.cursors.get(sink.series, {}))
        if page is None:
            return Cursor(int(sink.starts.get(tenant.key, 0)), {})
        h, live = page.header, tenant.live()
        items = {int(seq): Item(*item) for seq, *item in h["items"] if int(seq) >> INDEX_BITS in live}
        return Cursor(h["position"], items, tuple(settling.Entry(*row) for row in h["ledger"]), h["last_success"])

    async def _cursors(self, view: View, sink: str | None) -> "list[tuple[Tenant, KnownSink, Cursor]]":
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
                    found.append(((times[local >> INDEX_BITS], tenant.key, local, entry.name), parked))
        return [(place[1], place[2], parked) for place, parked in sorted(found, key=lambda pair: pair[0])]

    async def _alter(
        self, sink: str, key: str, decide: "Callable[[Tenant, Cursor], tuple[Cursor, int]]", *, keep: int = 2
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
                root = await self._logs.root(series, numbers)
                if not await self._logs.append(series, numbers, root, header, keep=keep):
                    raise Moved
            return count

        return await steady(attempt)

    async def _offer(self, sink: str, chosen: Mapping[str, Sequence[int]]) -> int:
        def offered(tenant: Tenant, cursor: Cursor, locals_: Sequence[int]) -> tuple[Cursor, int]:
            mine = [n for n in locals_ if cursor.settled(n) and tenant.exists(n)]
            return (cursor.again(mine) if mine else cursor), len(mine)

        count = 0
        for key, locals_ in chosen.items():
            if locals_:
                count += await self._alter(sink, key, partial(offered, locals_=locals_))
        return count

    async def _due(self, sink: str, limit: int, tenant_id: str | None, without: Collection[str]) -> list[Pending]:
        view = await self._view(tenant_id)
        entry = view.sink(sink)
        first: list[Iterator[Row]] = []
        again: list[Iterator[Row]] = []
        left_out = {key_of(tenant) for tenant in without}
        for tenant in view.tenants.values():
            if tenant.key in left_out:
                continue
            cursor = await self._cursor(tenant, entry)
            row = partial(row_of, tenant.key, cursor, tenant.times())
            first.append(map(row, chain(cursor.of(settling.DUE), fresh_of(tenant, cursor.position))))
            again.append(map(row, cursor.of(settling.AGAIN)))
        rows = list(islice(heapq.merge(*first, key=place_of), limit))
        kind = "first" if rows else "again"
        rows = rows or list(islice(heapq.merge(*again, key=place_of), limit))
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
                fresh = next(fresh_of(tenant, cursor.position), None)
                backlog += len(due) + len(again) + beyond(tenant, cursor.position)
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
        return Stats(events, self._logs.bytes or 0, tuple(sorted(found, key=lambda s: s.name)))

    # ------------------------------------------------------------------------------------------------ writing, inside

    def _refuse_when_full(self) -> None:
        if self._max_bytes is not None and self._logs.bytes is not None and self._logs.bytes >= self._max_bytes:
            raise StoreError(
                f"the state has reached its bound of {self._max_bytes} bytes",
                "Repair the sink that holds it (`securescore sinks list`), or give up its backlog with `securescore"
                " sinks release NAME`, or raise `state.max_bytes`, or keep less (`state.keep_days`).",
            )

    async def _write_root(
        self,
        tenant: Tenant,
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
        sound = {n for n in tenant.numbers if name_of(tenant.key, n) not in self._logs.damaged}.difference(without)
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
            held.append(Held(number, len(events), at, max(observed for _, observed in events.values())))
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
        return await self._logs.append(tenant.key, tenant.numbers, tenant.root, header, blobs, keep=keep)

    async def _purge(self, key: str, before: str) -> int:
        view = await self._view(text_of(key))
        tenant = view.tenants.get(key)
        if tenant is None or tenant.root is None:
            return 0
        cursors = [await self._cursor(tenant, sink) for sink in view.sinks.values()]
        position = min((c.position for c in cursors), default=tenant.last)
        pinned = {n >> INDEX_BITS for c in cursors for n, i in c.items.items() if i.state != settling.DISCARDED}
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
            raise Moved
        for sink in view.sinks.values():
            await self._alter(sink.name, key, pruned)
        return sum(h.count for h in old)
