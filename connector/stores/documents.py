"""State, events and settlement as immutable numbered documents, over any place that can create one if it is absent.

One algorithm for a folder, Azure blobs and the Splunk KV store (ports.Documents): what a store is asked for, decided
here over what documents_read.py finds and written by documents_write.py. What a settlement means is in settling.py, the
values in cursors.py, logs in numbered.py, names and bytes in packing.py, and no place is known here. Pure Python,
without sqlite3.

The picture. Each tenant has a log, `<tenant>/<n>`; the newest document of a log is its root. It says which documents
hold events (`held`) and which hold the parts of the state, so a commit is one `create` of n + 1 that carries what is
new. Whatever a root does not name is garbage: the leftovers of a crash, or of a writer that came too late. Each sink
has for each tenant a log `<tenant>/<sink>.<life>/<n>` of its position, open items and ledger, each document whole, and
one log `sinks/<sink>/<n>` of its own life.

A document whose parts were all replaced is kept for its events alone, with the parts dead in it. When some of these
have come together, the next commit carries their events, too (`gathered`), and they are garbage. An event keeps its
number, wherever it lies.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol, Self

from attrs import evolve

from connector.clock import iso
from connector.errors import Conflict, StoreError
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import (
    HEAD,
    Clock,
    Documents,
    Flaw,
    Parked,
    Pending,
    Query,
    Settlement,
    Shed,
    SinkStats,
    Start,
    State,
    Stats,
    Survey,
    Wanted,
)
from connector.stores import settling
from connector.stores.cursors import (
    INDEX_BITS,
    LOCAL_BITS,
    Cursor,
    Held,
    Tenant,
    View,
    beyond,
    clamped,
    emptied,
    own_part,
    past,
    pruned,
    settled,
)
from connector.stores.documents_flaws import DocumentsFlaws
from connector.stores.documents_read import DocumentsReader
from connector.stores.documents_survey import DocumentsSurvey
from connector.stores.documents_write import DocumentsWriter
from connector.stores.numbered import Logs, Moved, steady
from connector.stores.packing import key_of, text_of


class Lock(Protocol):
    """A held lock (lock.py)."""

    def check(self) -> None: ...

    def committed(self, count: int = 1) -> None: ...

    def release(self) -> None: ...


class DocumentsStore:
    """Store and Operator over Documents. Only immutable documents and their events are remembered between calls.

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
        lock: Lock | None = None,
    ) -> None:
        self.max_days_a_commit = max_days_a_commit
        self._logs = Logs(documents)
        self._reader = DocumentsReader(self._logs)
        self._survey = DocumentsSurvey(self._logs, self._reader, clock)
        self._flaws = DocumentsFlaws(self._logs, self._reader, self._survey, clock)
        self._writer = DocumentsWriter(self._logs, self._reader, self._flaws, clock, max_bytes, self._committed)
        self._clock = clock
        self._lock = lock
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

    @asynccontextmanager
    async def turn(self, tenant_id: str | None) -> AsyncIterator[None]:
        """Within it one tenant, or all of them, is listed once, and after each document that is written (listing.py).

        What others write meanwhile is met when something is written itself, as it is between any two calls.
        """
        async with self._logs.listing.turn("" if tenant_id is None else f"{key_of(tenant_id)}/"):
            yield

    # ------------------------------------------------------------------------------------------- state and events

    async def load(self, tenant_id: str, wanted: Wanted | None = None) -> State | None:
        """The state. Where documents of it are damaged or gone it comes back without their parts (`State.lost`)."""

        async def look() -> State | None:
            return await self._reader.state(tenant_id, wanted)

        return await steady(look)

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        """Of several, what the last look at all still says is not read again."""

        async def look() -> Mapping[str, State | None]:
            seen = await self._survey.heads(tenant_ids) if len(tenant_ids) > 1 else {}
            return {t: seen[t] if t in seen else await self._reader.state(t, _is_head) for t in tenant_ids}

        return await steady(look)

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        """See ports.Store. Raises ValueError for an event that is not JSON."""
        key = key_of(tenant_id)
        if key is None:
            raise StoreError(f"{tenant_id[:40]!r}… is no tenant id", "Correct the tenant's id in the configuration.")
        given: dict[str, Event] = {}
        new: dict[str, tuple[bytes, str]] = {}
        for event in events:
            line = cloudevents.octets(event)
            given.setdefault(event.id, event)  # of two with one id, the first counts
            new.setdefault(event.id, (line, str(event.data["observed_at"])))

        if self._lock is not None:
            self._lock.check()

        async def attempt() -> State:
            tenant = await self._reader.to_write(tenant_id) or Tenant(key, {}, None, (), {})
            if state.generation != tenant.generation:
                raise Conflict(
                    f"tenant {tenant_id}: another commit came first (not at generation {state.generation} any more)",
                    "Load the state and observe again.",
                )
            if tenant_id:  # there is always room for the connector's own words
                self._writer.refuse_when_full()
            known = await self._reader.known_ids(tenant, new.keys()) if new else set()
            fresh = {event_id: found for event_id, found in new.items() if event_id not in known}
            if not await self._writer.write_root(
                tenant,
                tenant_id,
                state.generation + 1,
                dict(state.parts),
                fresh,
                others_stay=not state.whole,
                gathered=await self._reader.to_gather(tenant) if fresh else (),
            ):
                raise Moved
            page = self._logs.known(key, tenant.next)
            if page is not None:
                self._reader.recent.keep(
                    [(page.content.digest, place) for place in range(len(fresh))],
                    [given[event_id] for event_id in fresh],
                    [len(line) for line, _ in fresh.values()],
                )
            return State(state.generation + 1, dict(state.parts), whole=state.whole)

        return await steady(attempt)

    async def history(self, query: Query) -> list[Event]:
        async def look() -> list[Event]:
            view = await self._reader.view(query.tenant_id)
            found: list[Event] = []
            async for _, _, event in self._reader.matching(view, query):
                if query.limit is not None and len(found) >= query.limit:
                    break
                found.append(event)
            return found

        return await steady(look)

    async def tenants(self) -> list[str]:
        """The ids of all tenants that have state; the connector's own state (tenant "") is not a tenant."""
        return await steady(self._survey.tenants)

    # ---------------------------------------------------------------------------------------------------- the sinks

    async def attach(self, sinks: Sequence[Start]) -> tuple[SinkStats, ...]:
        wanted = {start.sink: start for start in sinks}

        async def attempt() -> bool:
            there = await self._reader.sinks(await self._logs.list("sinks/"))
            if {name for name, sink in there.items() if not sink.abandoned} == wanted.keys():
                return len(there) > len(wanted)  # as it mostly is; then thousands of tenants need not be looked at
            view = await self._reader.view(None)
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
                    await self._writer.write_sink(name, born=starts, lives=lives)
                elif known.abandoned:
                    await self._writer.write_sink(name, evolve(known, abandoned=False))
            for name, known in view.sinks.items():
                if name not in wanted and not known.abandoned:
                    await self._writer.write_sink(name, evolve(known, abandoned=True))
            return not view.sinks.keys() <= wanted.keys()

        if not await steady(attempt):
            return ()
        return tuple(s for s in (await self.stats()).sinks if s.abandoned and (s.backlog or s.parked))

    async def due(
        self,
        sink: str,
        limit: int,
        tenant_id: str | None = None,
        without: Collection[str] = (),
        *,
        again: bool = False,
    ) -> list[Pending]:
        return await steady(lambda: self._reader.due(sink, max(0, limit), tenant_id, without, again=again))

    async def settle(self, sink: str, settlement: Settlement) -> None:
        named = settlement.accepted.union(settlement.attempted, settlement.skipped, settlement.parked)
        if not named:
            return
        marks = {seq >> LOCAL_BITS for seq in named}
        if not marks <= self._reader.keys.keys():
            (await steady(lambda: self._reader.view(None))).sink(sink)
        for mark in sorted(marks & self._reader.keys.keys()):
            await self._writer.alter_cursor(
                sink, self._reader.keys[mark], partial(settled, settlement=own_part(settlement, mark))
            )

    async def stats(self) -> Stats:
        return await steady(self._survey.stats)

    async def survey(self, since: str, until: str, *, keep: bool = False) -> Survey:
        """Look at all tenants; accepted events are counted from `since` (inclusive) to `until` (exclusive).

        Tenants of which nothing moved since the last look are not read; `keep` lets that be true of other processes.
        """
        found = await steady(lambda: self._survey.survey(since, until))
        if keep:
            await self._survey.keep()
        return found

    # ----------------------------------------------------------------------------------------------------- Operator

    async def replay(self, sink: str, query: Query) -> int:
        """Offer again what the sink has settled; what is due anyway or parked is left as it is and not counted."""

        async def choose() -> dict[str, list[int]]:
            view = await self._reader.view(query.tenant_id)
            entry = view.sink(sink)
            cursors = {t.key: await self._reader.cursor(t, entry) for t in view.tenants.values()}
            chosen: dict[str, list[int]] = {}
            left = query.limit
            async for key, local, _ in self._reader.matching(view, query):
                if left is not None and left <= 0:
                    break
                if cursors[key].settled(local):
                    chosen.setdefault(key, []).append(local)
                    left = None if left is None else left - 1
            return chosen

        return await self._writer.offer_again(sink, await steady(choose), settling.AGAIN)

    async def recent(self, sink: str, since: str) -> int:
        now = max(iso(self._clock.now()), since)
        ahead: set[str] = set()

        async def choose() -> dict[str, list[int]]:
            view = await self._reader.view(None)
            entry = view.sink(sink)
            chosen: dict[str, list[int]] = {}
            for tenant in view.tenants.values():
                cursor = await self._reader.cursor(tenant, entry)
                if any(e.settled > now for e in cursor.ledger):
                    ahead.add(tenant.key)
                entries = [e for e in cursor.ledger if e.outcome == settling.ACCEPTED and e.settled >= since]
                found = {n for e in entries for a, b in settling.ranges(e.spans) for n in range(a, b + 1)}
                chosen[tenant.key] = sorted(n for n in found if cursor.settled(n) and tenant.exists(n))
            return chosen

        count = await self._writer.offer_again(sink, await steady(choose), settling.DUE)
        for key in ahead:  # stamped by a clock that was wrong: settled now, so that it comes again once only
            await self._writer.alter_cursor(sink, key, partial(clamped, now=now))
        return count

    async def parked(self, sink: str | None = None, ids: Sequence[str] = ()) -> list[Parked]:
        return [parked for _, _, parked in await steady(lambda: self._reader.parked(sink, ids))]

    async def unpark(self, ids: Sequence[str], sink: str | None, action: str) -> int:
        """Retry or discard parked events; no `ids` means all of them, no `sink` every sink. Returns how many."""
        state = {"retry": settling.AGAIN, "discard": settling.DISCARDED}[action]
        at = iso(self._clock.now()) if state == settling.DISCARDED else None

        async def choose() -> dict[tuple[str, str], list[int]]:
            if sink is not None:
                (await self._reader.view(None)).sink(sink)
            chosen: dict[tuple[str, str], list[int]] = {}
            for key, local, parked in await self._reader.parked(sink, ids):
                chosen.setdefault((parked.sink, key), []).append(local)
            return chosen

        def decided(_: Tenant, cursor: Cursor, locals_: Iterable[int]) -> tuple[Cursor, int]:
            mine = [n for n in locals_ if n in cursor.items and cursor.items[n].state == settling.PARKED]
            new = {n: evolve(cursor.items[n], state=state, at=at) for n in mine}
            return (evolve(cursor, items={**cursor.items, **new}) if mine else cursor), len(mine)

        count = 0
        for (name, key), locals_ in (await steady(choose)).items():
            count += await self._writer.alter_cursor(name, key, partial(decided, locals_=locals_))
        return count

    async def release(self, sink: str) -> int:
        """Give up all that a sink has not settled, parked events included.

        An abandoned sink is forgotten; one still attached goes on with the next commit.
        """
        view = await steady(lambda: self._reader.view(None))
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
            count += await self._writer.alter_cursor(sink, key, given_up)
        if entry.abandoned:
            await steady(lambda: self._writer.write_sink(sink, None))
            for tenant in view.tenants.values():  # what is left of it is garbage now, and found as such if we crash
                await self._logs.delete(f"{tenant.key}/{entry.series}", tenant.cursors.get(entry.series, {}))
        return count

    async def forget(self, tenant_id: str, generation: int | None = None) -> int:
        """Delete state, events and backlog of a tenant; returns how many events.

        Its id remains in the name of an empty document: numbers that were used must not be used again.
        """

        async def attempt() -> int:
            tenant = await self._reader.to_write(tenant_id)
            if generation is not None and generation != (tenant.generation if tenant else 0):
                raise Conflict(f"tenant {tenant_id} was committed meanwhile", "Read its events again and repeat.")
            if tenant is None or not tenant.numbers or (tenant.root and not tenant.generation and not tenant.held):
                return 0
            count = sum(held.count for held in tenant.held)
            if not await self._writer.write_root(evolve(tenant, held=()), tenant_id, 0, {}, {}, keep=1):
                raise Moved
            return count

        async def rest() -> None:
            view = await self._reader.view(tenant_id)
            for tenant in view.tenants.values():
                sinks = {sink.series: sink for sink in view.sinks.values()}
                for series, numbers in tenant.cursors.items():
                    if series in sinks:
                        await self._writer.alter_cursor(sinks[series].name, tenant.key, emptied, keep=1)
                    else:
                        await self._logs.delete(f"{tenant.key}/{series}", numbers)
                await self._logs.delete_damaged(tenant.key)
            await self._survey.forget()

        count = await steady(attempt)
        self._reader.recent.clear()
        await steady(rest)
        return count

    async def purge(self, before: str) -> int:
        """Delete the events of commits that are all old and settled everywhere, parked ones never; how many events.

        A document goes with the last of its commits.
        """
        count = 0
        for tenant in (await steady(lambda: self._reader.view(None))).tenants.values():
            if any(held.observed < before for held in tenant.held):
                count += await steady(partial(self._purge, tenant.key, lambda held: held.observed < before))
        await self._flaws.prune(before)
        return count

    async def shed(self, wanted_bytes: int) -> Shed:
        async def oldest() -> list[tuple[str, str, list[int], int]]:
            view = await self._reader.view(None)
            spare = []
            for tenant in view.tenants.values():
                documents: dict[int, list[Held]] = {}  # one goes when nothing of it is wanted any more
                for held in tenant.held:
                    documents.setdefault(held.document, []).append(held)
                settled = {held.n for held in await self._settled_everywhere(view, tenant)}
                spare += [
                    (max(h.observed for h in there), tenant.key, [h.n for h in there], tenant.numbers[document])
                    for document, there in documents.items()
                    if settled.issuperset(h.n for h in there)
                ]
            return sorted(spare)

        chosen: dict[str, set[int]] = {}
        until = ""
        for observed, key, commits, size in await steady(oldest):
            if wanted_bytes <= 0:
                break
            chosen.setdefault(key, set()).update(commits)
            wanted_bytes -= size
            until = observed
        count = 0
        for key, numbers in chosen.items():
            count += await steady(partial(self._purge, key, partial(_among, numbers)))
        return Shed(count, until if count else "")

    async def flaws(self) -> Sequence[Flaw]:
        return await steady(self._flaws.all)

    async def note(self, flaw: Flaw) -> None:
        await self._flaws.note(flaw)

    async def verify(self) -> Sequence[Flaw]:
        """Read every document and every event in it; what is wrong is also noted of this process."""
        for series, numbers in (await steady(lambda: self._logs.list(""))).items():
            if not series.startswith("damaged/"):
                for n in numbers:
                    with suppress(Moved):  # cleared away since; or found damaged, and remembered as that
                        await self._logs.check(series, n)
        for tenant_id in ["", *await self.tenants()]:
            await self.load(tenant_id)
        return await self.flaws()

    async def trace(self, event_id: str) -> list[Mapping[str, Any]]:
        """Per sink {sink, state, first_sent, attempts, settled, reason}; [] for an unknown id."""

        async def look() -> list[Mapping[str, Any]]:
            view = await self._reader.view(None)
            for tenant in view.tenants.values():
                for held in tenant.held:
                    ids = await self._reader.ids(tenant, held)
                    if event_id in ids:
                        local = held.seqs[ids.index(event_id)]
                        cursors = await self._reader.cursors(evolve(view, tenants={tenant.key: tenant}), None)
                        return [{"sink": entry.name, **past(cursor, local)} for _, entry, cursor in cursors]
            return []

        return await steady(look)

    def _committed(self, count: int) -> None:
        if self._lock is not None:
            self._lock.committed(count)

    async def _settled_everywhere(self, view: View, tenant: Tenant) -> list[Held]:
        """The documents of a tenant whose events no sink, attached or abandoned, has still to settle."""
        cursors = [await self._reader.cursor(tenant, sink) for sink in view.sinks.values()]
        position = min((c.position for c in cursors), default=tenant.last)
        pinned = {n >> INDEX_BITS for c in cursors for n, i in c.items.items() if i.state != settling.DISCARDED}
        return [h for h in tenant.held if h.seqs[-1] <= position and h.n not in pinned]

    async def _purge(self, key: str, wanted: Callable[[Held], bool]) -> int:
        tenant_id = text_of(key)
        view = await self._reader.view(tenant_id, placed=True)
        tenant = view.tenants.get(key)
        if tenant is None or tenant.root is None:
            return 0
        old = [held for held in await self._settled_everywhere(view, tenant) if wanted(held)]
        if not old:
            return 0
        parts, lost = await self._reader.parts(tenant)
        if lost:
            return 0  # the next commit mends the state first
        gone = {h.n for h in old}
        left = evolve(tenant, held=[h for h in tenant.held if h.n not in gone])
        emptied = {h.document for h in old} - {h.document for h in left.held}
        if not await self._writer.write_root(left, tenant_id, tenant.generation, parts, {}, without=emptied, keep=1):
            raise Moved
        self._reader.recent.clear()
        for sink in view.sinks.values():
            await self._writer.alter_cursor(sink.name, key, pruned)
        return sum(h.count for h in old)


def _is_head(part: str) -> bool:
    return part == HEAD


def _among(numbers: Collection[int], held: Held) -> bool:
    return held.n in numbers
