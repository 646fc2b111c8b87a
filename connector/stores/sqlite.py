"""The embedded store: state, events and settlement of all tenants in one SQLite file.

Here is how it is worked with: one connection, on a thread of its own, so that an fsync never stops the event loop. The
tables and their meaning live in sqlite_events.py and sqlite_sinks.py; how the file is made and opened, in
sqlite_file.py. What the tables say of an event is not remembered in the process, so that an operator's command in a
second process counts at the very next turn; only what was just committed need not be unpacked again (recent.py).
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from attrs import evolve, frozen

from connector.clock import iso
from connector.errors import StoreError
from connector.model import Event
from connector.ports import (
    Clock,
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
    Wanted,
)
from connector.stores import chunks, sqlite_events, sqlite_flaws, sqlite_sinks
from connector.stores.flaws import current
from connector.stores.lock import Mark, WriterLock, real_path, take_lock
from connector.stores.recent import Recent
from connector.stores.sqlite_events import Unreadable
from connector.stores.sqlite_file import (
    SHRINK_PAGES,
    create,
    empty_log,
    make_folder,
    open_beside,
    open_writer,
    shrink,
    size_bytes,
    store_error,
    transaction,
    used_bytes,
)
from connector.stores.sqlite_layout import unbind
from connector.stores.sqlite_together import Wish, Wishes, Work, carry_out
from connector.stores.whereabouts import arrived, home_of

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

_PURGE_EVENTS = 5_000
_SHED_EVENTS = 1_000
"""One purge works in steps of this size, so that deliveries go on in between."""


async def open_store(
    path: Path,
    *,
    clock: Clock,
    writer: bool = True,
    mode: int = 0o600,
    max_bytes: int | None = None,
) -> "SqliteStore":
    """Open the state file.

    A writer (the loops) takes the writer lock and creates, checks and migrates the file. Without it, commands work
    beside a running writer: they read, and commit short transactions if they may write the file. `mode` is for the file
    and all that SQLite puts beside it. `max_bytes` is the last guard behind the poller's own pause: at that size
    `commit` refuses with StoreError, and all else goes on.

    Raises StoreBusy (second writer) and StoreError (damaged, foreign, newer, no permission, no space), with a hint.
    """
    store = SqliteStore(real_path(Path(path)), clock, max_bytes)
    try:
        if writer:
            await store._open_writer(mode)  # noqa: SLF001 (this is its constructor)
        else:
            await store._open_beside()  # noqa: SLF001
    except BaseException:
        await store.close()
        raise
    return store


@frozen
class _Done:
    """A commit: the new generation, and what is new in it: numbers, events, and the octets of their JSON."""

    generation: int
    numbers: Sequence[int]
    added: Sequence[Event]
    octets: Sequence[int]


class SqliteStore:
    """Store and Operator over one file; made by `open_store`."""

    def __init__(self, path: Path, clock: Clock, max_bytes: int | None) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._closed = False
        self._lock: WriterLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._recent: Recent[int] = Recent()
        self._wishes: Wishes[_Done] = Wishes(lambda: self._run(self._granted))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------------------- Store

    async def load(self, tenant_id: str, wanted: Wanted | None = None) -> State | None:
        return await self._run(sqlite_events.load, tenant_id, wanted)

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        return await self._run(sqlite_events.heads, tuple(tenant_ids))

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        """Those that wait for the connection at the same moment share a transaction (sqlite_together.py)."""
        wish = Wish(lambda: self._prepared(tenant_id, state, events), len(events))
        done = await self._wishes.granted(wish)
        return State(done.generation, state.parts, state.parts, whole=state.whole)

    async def attach(self, sinks: Sequence[Start]) -> tuple[SinkStats, ...]:
        await self._run(sqlite_flaws.mend_numbers, iso(self._clock.now()))
        await self._run(sqlite_sinks.attach, sinks)
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
        return await self._run(self._due, sink, limit, tenant_id, tuple(without), again=again)

    async def settle(self, sink: str, settlement: Settlement) -> None:
        await self._run(self._settle, sink, settlement)

    async def history(self, query: Query) -> list[Event]:
        return await self._run(sqlite_events.history, query)

    async def tenants(self) -> list[str]:
        """The ids of all tenants that have state; the connector's own state (tenant "") is not a tenant."""
        return await self._run(sqlite_events.tenants)

    async def stats(self) -> Stats:
        return await self._run(self._stats)

    async def purge(self, before: str) -> int:
        """Delete what is old and settled everywhere, in steps, so that deliveries go on; returns how many events."""
        purged = 0
        while step := await self._run(sqlite_events.purge, before, _PURGE_EVENTS):
            purged += step
            self._recent.clear()
        await self._run(sqlite_events.prune_ledger)
        await self._run(sqlite_flaws.prune, before)
        await self._shrink()
        return purged

    async def shed(self, wanted_bytes: int) -> Shed:
        """Make room in steps, so that deliveries go on."""
        goal = await self._run(used_bytes) - wanted_bytes
        shed = Shed()
        while await self._run(used_bytes) > goal:
            events, until = await self._run(sqlite_events.shed, _SHED_EVENTS)
            if not events:
                break
            self._recent.clear()
            shed = Shed(shed.events + events, max(shed.until, until))
        if shed.events:
            await self._run(sqlite_events.prune_ledger)
        await self._shrink()
        return shed

    async def flaws(self) -> Sequence[Flaw]:
        return current(await self._run(sqlite_flaws.noted), self._clock.now())

    async def note(self, flaw: Flaw) -> None:
        await self._run(sqlite_flaws.note, evolve(flaw, at=flaw.at or iso(self._clock.now())))

    async def close(self) -> None:
        """Finish what is under way and close; closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._wishes.ended()
            await self._on_worker(self._close)
        finally:
            self._worker.shutdown(wait=False)  # it has nothing left to do, or hangs

    # ---------------------------------------------------------------------------------------------------- Operator

    async def replay(self, sink: str, query: Query) -> int:
        """Offer again what the sink has settled; what is due anyway or parked is left as it is and not counted."""
        return await self._run(sqlite_sinks.replay, sink, query)

    async def recent(self, sink: str, since: str) -> int:
        return await self._run(sqlite_sinks.recent, sink, since, iso(self._clock.now()))

    async def parked(self, sink: str | None = None, ids: Sequence[str] = ()) -> list[Parked]:
        return await self._run(sqlite_sinks.parked, sink, ids)

    async def unpark(self, ids: Sequence[str], sink: str | None, action: str) -> int:
        """Retry or discard parked events; no `ids` means all of them, no `sink` every sink. Returns how many."""
        return await self._run(sqlite_sinks.unpark, ids, sink, action, iso(self._clock.now()))

    async def release(self, sink: str) -> int:
        """Give up all that a sink has not settled, parked events included.

        An abandoned sink is forgotten; one still attached goes on with the next commit.
        """
        return await self._run(sqlite_sinks.release, sink)

    async def forget(self, tenant_id: str, generation: int | None = None) -> int:
        """Delete state, events and backlog of a tenant, overwriting their pages; returns how many events.

        In steps, so that deliveries and polls go on: what is kept of it besides its events goes last.
        """
        forgotten, done = 0, False
        while not done:
            step, done = await self._run(sqlite_events.forget, tenant_id, generation, _PURGE_EVENTS)
            forgotten += step
            self._recent.clear()
        await self._run(sqlite_events.prune_ledger)
        await self._shrink()
        return forgotten

    async def trace(self, event_id: str) -> list[Mapping[str, Any]]:
        """Per sink {sink, state, first_sent, attempts, settled, reason}; [] for an unknown id.

        `state` is due, again, parked, discarded, accepted, skipped or not_offered (stores/settling.py).
        """
        return await self._run(sqlite_sinks.trace, event_id)

    async def verify(self) -> Sequence[Flaw]:
        """Read the whole file: its structure, every event, every count. What the parts mean is the caller's."""
        return await self._run(sqlite_flaws.verify)

    # ---------------------------------------------------------------------------------------------------- inside

    async def _run(
        self, work: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Do one piece of work on the connection's own thread; foreign errors become ours here and nowhere else."""

        def on_connection() -> _T:
            assert self._connection is not None
            return work(self._connection, *args, **kwargs)

        return await self._on_worker(on_connection)

    async def _on_worker(self, work: Callable[[], _T]) -> _T:
        def guarded() -> _T:
            try:
                return work()
            except (sqlite3.Error, OSError) as error:
                ours = self._ours(error)
                if ours is error:
                    raise
                raise ours from error

        return await asyncio.get_running_loop().run_in_executor(self._worker, guarded)

    def _ours(self, error: sqlite3.Error | OSError) -> Exception:
        """A foreign error in our words, unless it is our own mistake."""
        return error if isinstance(error, sqlite3.ProgrammingError) else store_error(error, self._path)

    async def _open_writer(self, mode: int) -> None:
        def opened() -> None:
            make_folder(self._path.parent)
            lock = self._lock = take_lock(self._path, clock=self._clock, mode=mode)
            create(self._path, mode)
            lock.hold()
            connection = self._connection = open_writer(self._path, mode)
            state, commits, home = sqlite_flaws.identity(connection)
            for flaw in arrived(lock, Mark(state, commits), home, self._clock):
                sqlite_flaws.note(connection, flaw)
            sqlite_flaws.set_home(connection, home_of(self._path))
            lock.mark(Mark(state, commits))

        await self._on_worker(opened)

    async def _open_beside(self) -> None:
        def opened() -> None:
            self._connection = open_beside(self._path)

        await self._on_worker(opened)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._lock is not None:
            self._lock.release()
        self._connection = self._lock = None

    async def _shrink(self) -> None:
        while await self._run(shrink, SHRINK_PAGES):
            pass

    def _granted(self, connection: sqlite3.Connection) -> Sequence[Wish[_Done]]:
        """Carry out those that wait, as many as one transaction takes."""
        together = self._wishes.taken()
        carry_out(connection, together)
        done = [each.result for each in together if each.result is not None]
        for one in done:
            self._recent.keep(one.numbers, one.added, one.octets)
        if self._lock is not None:
            self._lock.committed(len(done))
        for each in together:
            if isinstance(each.error, (sqlite3.Error, OSError)):
                each.error = self._ours(each.error)
        return together

    def _prepared(self, tenant_id: str, state: State, events: Sequence[Event]) -> Work[_Done]:
        """The transaction of a commit. Raises ValueError for an event that JSON cannot hold."""

        def some(places: Iterable[int]) -> Sequence[chunks.Chunk]:
            return chunks.chunks_of(events[place] for place in places)

        packed = some(range(len(events)))
        if self._lock is not None:
            self._lock.check()

        def work(connection: sqlite3.Connection) -> _Done:
            if tenant_id:  # there is always room for the connector's own words
                self._refuse_when_full(connection)
            generation = sqlite_events.next_generation(connection, tenant_id, state.generation)
            sqlite_events.write_parts(connection, tenant_id, state)
            numbers, places = sqlite_events.add(connection, packed, some)
            if self._lock is not None:
                sqlite_flaws.count_commit(connection)
            octets = [size for chunk in packed for size in chunk.octets]
            return _Done(generation, numbers, [events[p] for p in places], [octets[p] for p in places])

        return work

    def _refuse_when_full(self, connection: sqlite3.Connection) -> None:
        if self._max_bytes is None or size_bytes(connection, self._path) < self._max_bytes:
            return
        pinning = connection.execute(
            "SELECT name, beyond + (SELECT coalesce(sum(items), 0) FROM tally t"
            " WHERE t.sink = s.sink AND t.state IN ('due', 'again')) FROM sink s ORDER BY 2 DESC LIMIT 1"
        ).fetchone()
        who = f"; sink {unbind(pinning[0])} has not taken {pinning[1]} events" if pinning and pinning[1] else ""
        raise StoreError(
            f"the state has reached its bound of {self._max_bytes} bytes{who}",
            "Repair that sink, or give up its backlog with `securescore sinks release NAME`, or raise"
            " `state.max_bytes`, or keep less (`state.keep_days`).",
        )

    def _due(
        self,
        connection: sqlite3.Connection,
        sink: str,
        limit: int,
        tenant_id: str | None,
        without: Collection[str],
        *,
        again: bool,
    ) -> list[Pending]:
        if not again:
            sqlite_sinks.pass_over(connection, sink, limit, without)
        look = limit
        while True:
            with transaction(connection, "DEFERRED"):
                rows = sqlite_sinks.due(connection, sink, look, tenant_id, without, again=again)
                events = sqlite_events.read(connection, [seq for seq, _, _ in rows], self._recent)
            unreadable = {seq: event for seq, event in events.items() if isinstance(event, Unreadable)}
            pending = [
                Pending(seq, event, attempts, kind)
                for seq, attempts, kind in rows
                if not isinstance(event := events[seq], Unreadable)
            ]
            if unreadable:
                self._park(connection, sink, unreadable)
            if pending or not unreadable:
                return pending[:limit]
            look = limit + max(event.last - event.first for event in unreadable.values())  # beyond what is damaged

    def _settle(self, connection: sqlite3.Connection, sink: str, settlement: Settlement) -> None:
        sqlite_sinks.settle(connection, sink, settlement)
        if len(self._recent):
            passed = sqlite_sinks.passed(connection)
            self._recent.let_go(lambda seq: seq <= passed)  # no sink takes these as they come any more

    def _park(self, connection: sqlite3.Connection, sink: str, unreadable: Mapping[int, Unreadable]) -> None:
        """What is damaged must not hold up the queue: parked, where the operator sees it."""
        _log.error("store.unreadable_events", extra={"sink": sink, "seqs": sorted(unreadable)})
        at = iso(self._clock.now())
        sqlite_flaws.note_unreadable(connection, unreadable.values(), at)  # while the sinks that lack it are known
        words = {seq: f"unreadable in the state store: {event.why}" for seq, event in unreadable.items()}
        sqlite_sinks.settle(connection, sink, Settlement(at=at, parked=words))

    def _stats(self, connection: sqlite3.Connection) -> Stats:
        if self._lock is not None:
            empty_log(connection, self._path)
        with transaction(connection, "DEFERRED"):
            events = connection.execute("SELECT events FROM total").fetchone()[0]
            sinks = connection.execute(
                "SELECT sink, name, position, beyond, abandoned, last_success FROM sink"
            ).fetchall()
            return Stats(
                events=events,
                bytes=size_bytes(connection, self._path),
                sinks=tuple(sorted((sqlite_sinks.stats_of(connection, *row) for row in sinks), key=lambda s: s.name)),
            )
