"""All tenants at a glance: of each a row of facts, which counts as long as nothing of the tenant is moved.

What may have moved is told by one list, names and sizes; only such tenants are read. `keep` writes the rows down for
the next process, in one document beside the logs, which is a hint: without it, or where it is damaged, everybody is
read. A row holds nothing that the logs do not; programs that do not know it pass it over, for its name is no number.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from attrs import asdict, field, frozen

from connector.clock import iso
from connector.errors import Conflict, SecureScoreError
from connector.ports import HEAD, Clock, SinkStats, State, Stats, Survey
from connector.stores import settling
from connector.stores.cursors import INDEX_BITS, KnownSink, Tenant, beyond, fresh_of
from connector.stores.documents_read import DocumentsReader
from connector.stores.numbered import SIDE_BY_SIDE, Logs, Numbers
from connector.stores.packing import RESERVED, key_of, name_of, pack, text_of, unpack

log = logging.getLogger(__name__)

SEEN = "seen.1/"
"""Where rows are kept; its number is that of their form."""
LEDGER = timedelta(days=3)
"""For so long a row says when a sink took how many events; who asks for more reads the tenant."""


@frozen
class SinkFacts:
    """How one sink stands in one tenant. `taken` are (moment, events) since the row's `since`."""

    backlog: int
    parked: int
    cursor: int
    success: str | None
    oldest: str | None
    waits: bool
    taken: Sequence[tuple[str, int]]


@frozen
class Row:
    """What is known of a tenant as of `at`, a digest of its names and sizes; `ahead` if a sink is beyond its log."""

    at: str
    since: str
    generation: int
    events: int
    head: str | None = field(repr=False)
    ahead: bool
    sinks: Mapping[str, SinkFacts]


class DocumentsSurvey:
    """Remembers rows. A look is as of one moment (numbered.steady)."""

    def __init__(self, logs: Logs, reader: DocumentsReader, clock: Clock) -> None:
        self._logs = logs
        self._reader = reader
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._kept: dict[str, Row] = {}
        self._kept_as = ""

    async def survey(self, since: str, until: str) -> Survey:
        rows, sinks = await self._look(since if since < until else "~")
        accepted = dict.fromkeys(sinks, 0)
        behind = set()
        for key, row in rows.items():
            for name, facts in row.sinks.items():
                accepted[name] += sum(count for at, count in facts.taken if since <= at < until)
                if facts.waits and not sinks[name].abandoned:
                    behind.add(text_of(key))
        heads = {text_of(key): row.head.encode("latin-1") for key, row in rows.items() if row.head is not None}
        return Survey(heads, accepted, frozenset(behind))

    async def heads(self, tenant_ids: Collection[str]) -> dict[str, State | None]:
        """The states of these with their heads only, as far as the rows say it: not of one whose head is damaged."""
        rows, _ = await self._look("~")
        found: dict[str, State | None] = {}
        for tenant_id in tenant_ids:
            row = rows.get(key_of(tenant_id) or "")
            if row is None:
                found[tenant_id] = None
            elif row.generation and row.head is not None:
                found[tenant_id] = State(row.generation, {HEAD: row.head.encode("latin-1")}, whole=False)
        return found

    async def stats(self) -> Stats:
        rows, sinks = await self._look("~")
        found = []
        for sink in sinks.values():
            all_of = [row.sinks[sink.name] for row in rows.values()]
            found.append(
                SinkStats(
                    sink.name,
                    max((f.cursor for f in all_of), default=0),
                    sum(f.backlog for f in all_of),
                    sum(f.parked for f in all_of),
                    max((f.success for f in all_of if f.success), default=None),
                    min((f.oldest for f in all_of if f.oldest), default=None),
                    sink.abandoned,
                )
            )
        events = sum(row.events for row in rows.values())
        return Stats(events, self._logs.bytes or 0, tuple(sorted(found, key=lambda s: s.name)))

    async def tenants(self) -> list[str]:
        """The ids of all that have state, but for the connector's own."""
        rows, _ = await self._look("~")
        return sorted(text_of(key) for key, row in rows.items() if row.generation and text_of(key))

    async def ahead(self) -> set[str]:
        """The keys of tenants of which a sink is further than their log."""
        rows, _ = await self._look("~")
        return {key for key, row in rows.items() if row.ahead}

    async def keep(self) -> None:
        """Write the rows of the last look down, when they are news."""
        if self._rows == self._kept:
            return
        names = await self._logs.others(SEEN)
        last = max((int(stem) for name in names if (stem := _stem(name)).isdecimal()), default=0)
        name = f"{name_of(SEEN[:-1], last + 1)}.rows"
        rows = {key: asdict(row) for key, row in self._rows.items()}
        try:
            with suppress(Conflict):  # another process was faster, and has looked, too
                await self._logs.put(name, pack({"name": name, "rows": rows}))
                self._kept, self._kept_as = dict(self._rows), name
                for older in names:
                    await self._logs.drop(older)
        except SecureScoreError as error:  # only the next look is dearer
            log.warning("store.rows_not_kept", extra={"error": error.what, "hint": error.hint})

    async def forget(self) -> None:
        """Delete what is written down: it holds words of a tenant that is forgotten."""
        self._rows, self._kept, self._kept_as = {}, {}, ""
        for name in await self._logs.others(SEEN):
            await self._logs.drop(name)

    # ---------------------------------------------------------------------------------------------------- inside

    async def _look(self, since: str) -> tuple[dict[str, Row], dict[str, KnownSink]]:
        """The row of each tenant, its ledger from a moment on ("~" = nobody asks), and all sinks."""
        series = await self._logs.list("")
        sinks = await self._reader.sinks(series)
        tenants: dict[str, dict[str, Numbers]] = {}
        for name, numbers in series.items():
            key, _, rest = name.partition("/")
            if key not in RESERVED:
                tenants.setdefault(key, {})[rest] = numbers
        damaged: dict[str, list[str]] = {}
        for name in sorted(self._logs.damaged):
            damaged.setdefault(name.partition("/")[0], []).append(name)
        ats = {key: _digest(key, logs, sinks, damaged.get(key, [])) for key, logs in tenants.items()}
        await self._load(ats)
        known = {}
        for key, at in ats.items():
            row = self._rows.get(key) or self._kept.get(key)
            if row is None or row.at != at:
                row = self._kept.get(key)
            if row is not None and row.at == at and row.since <= since:
                known[key] = row
        gate = asyncio.Semaphore(SIDE_BY_SIDE)

        async def read(key: str) -> None:
            async with gate:
                known[key] = await self._read(key, tenants[key], sinks, ats[key], since)

        moved = sorted(tenants.keys() - known.keys())
        ended = await asyncio.gather(*(read(key) for key in moved), return_exceptions=True)
        self._rows = known
        for fault in ended:
            if fault is not None:
                raise fault
        self._reader.ahead = {key for key, row in known.items() if row.ahead}
        return dict(sorted(known.items())), sinks

    async def _load(self, ats: Mapping[str, str]) -> None:
        """Take what another process has written down since, when rows of our own do not do."""
        if all(key in self._rows and self._rows[key].at == at for key, at in ats.items()):
            return
        for name in reversed(await self._logs.others(SEEN)):
            if name == self._kept_as:
                return
            try:
                header = unpack(await self._logs.body(name) or b"").header
                self._kept = {key: _row(row) for key, row in header["rows"].items()}
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                log.warning("store.rows_unreadable", extra={"document": name, "error": str(error)})
                continue
            self._kept_as = name
            return

    async def _read(
        self, key: str, logs: Mapping[str, Numbers], sinks: Mapping[str, KnownSink], at: str, since: str
    ) -> Row:
        found = dict(logs)
        tenant = await self._reader.rooted(Tenant(key, found.pop("", {}), None, (), found))
        least = min(since, iso(self._clock.now() - LEDGER))
        of_sinks, seen = {}, 0
        for sink in sinks.values():
            of_sinks[sink.name] = await self._of_sink(tenant, sink, least)
            seen = max(seen, (await self._reader.raw_cursor(tenant, sink)).position >> INDEX_BITS)
        head = await self._reader.head(tenant)
        return Row(
            at,
            least,
            tenant.generation,
            sum(held.count for held in tenant.held),
            head.decode("latin-1") if head is not None else None,
            seen > max(tenant.numbers, default=0) or bool(tenant.cursors and not tenant.numbers),
            of_sinks,
        )

    async def _of_sink(self, tenant: Tenant, sink: KnownSink, least: str) -> SinkFacts:
        cursor = await self._reader.cursor(tenant, sink)
        due, again = cursor.of(settling.DUE), cursor.of(settling.AGAIN)
        unseen = beyond(tenant, cursor.position)
        pending = [n for n in (*due[:1], *again[:1], next(fresh_of(tenant, cursor.position), None)) if n is not None]
        oldest = str((await self._reader.event(tenant, min(pending))).data["observed_at"]) if pending else None
        return SinkFacts(
            backlog=len(due) + len(again) + unseen,
            parked=len(cursor.of(settling.PARKED)),
            cursor=tenant.mark + (due[0] - 1 if due else cursor.position),
            success=cursor.last_success,
            oldest=oldest,
            waits=bool(pending),
            taken=[
                (entry.settled, sum(last - first + 1 for first, last in settling.ranges(entry.spans)))
                for entry in cursor.ledger
                if entry.outcome == settling.ACCEPTED and entry.settled >= least
            ],
        )


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _digest(key: str, logs: Mapping[str, Numbers], sinks: Mapping[str, KnownSink], damaged: Sequence[str]) -> str:
    """What a row of a tenant depends on: its logs, how each sink began there, and what is known to be damaged."""
    begun = [[s.name, s.series, s.starts.get(key, 0)] for s in sinks.values()]
    every = [[series, sorted(numbers.items())] for series, numbers in sorted(logs.items())]
    return hashlib.sha256(json.dumps([every, begun, list(damaged)]).encode()).hexdigest()[:32]


def _row(found: Mapping[str, Any]) -> Row:
    """The reverse of `asdict`. Raises TypeError, KeyError, AttributeError or ValueError for what it did not make."""
    sinks = {}
    for name, facts in found["sinks"].items():
        taken = [(str(at), int(count)) for at, count in facts["taken"]]
        sinks[name] = SinkFacts(**{**facts, "taken": taken})
    return Row(**{**found, "sinks": sinks})
