"""What of the documents is not as it was left: met by a look, counted while that is still possible, kept as notes.

A note lies at `damaged/<tenant>/<digest>.flaw` beside the damaged documents that were put aside. It is written before
anything is, that would make its count wrong: the next root of a tenant knows no more of what is gone, the next cursor
has gone past it. A look writes nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import evolve

from connector.clock import iso
from connector.errors import Conflict
from connector.ids import sha256
from connector.ports import Clock, Flaw
from connector.stores import flaws, settling
from connector.stores.cursors import INDEX_BITS, MAX_EVENTS_A_COMMIT, Held, KnownSink, Tenant
from connector.stores.documents_read import DocumentsReader
from connector.stores.documents_survey import DocumentsSurvey
from connector.stores.numbered import Logs
from connector.stores.packing import RESERVED, key_of, name_of, text_of

AGAIN = "what it took since then is sent again"


class DocumentsFlaws:
    """Remembers which flaws it has noted, and nothing else."""

    def __init__(self, logs: Logs, reader: DocumentsReader, survey: DocumentsSurvey, clock: Clock) -> None:
        self._logs = logs
        self._reader = reader
        self._survey = survey
        self._clock = clock
        self._noted: set[str] = set()

    async def all(self) -> list[Flaw]:
        """Those that are noted, and those that looks of this process have met."""
        await self._survey.ahead()
        found = {}
        for key in sorted(self._reader.suspects - RESERVED):
            view = await self._reader.view(text_of(key), placed=True)
            for tenant in view.tenants.values():
                found.update({f.document: f for f in await self._of(tenant, view.sinks)})
        found.update({f.document: f for f in self._of_sinks()})
        found.update({f.document: f for f in (await self._notes()).values()})  # their count is the first
        return flaws.current(found.values(), self._clock.now())

    async def keep(self, tenant: Tenant) -> None:
        """Before a tenant is written: note what is wrong with it."""
        if tenant.key in self._reader.suspects:
            for flaw in await self._of(tenant, await self._reader.sinks(await self._logs.list("sinks/"))):
                await self.note(flaw)

    async def keep_sinks(self, missing: str) -> None:
        """Before a sink is written: note what is wrong with the sinks, and which log is `missing`, if one is."""
        for flaw in self._of_sinks():
            await self.note(flaw)
        if missing:
            what = "missing: the life of a sink that has places in tenants; it is offered everything again"
            await self.note(Flaw("state_damaged", missing, what, None, 0, {}))

    async def note(self, flaw: Flaw) -> None:
        """Keep a flaw, once."""
        if flaw.document in self._noted:
            return
        at = flaw.at or iso(self._clock.now())
        with suppress(Conflict):  # told before: the first count is the right one
            await self._logs.put(_name(flaw), flaws.dumps(evolve(flaw, at=at)))
        self._noted.add(flaw.document)

    async def prune(self, before: str) -> None:
        """Delete the notes from before a moment."""
        for name, flaw in (await self._notes()).items():
            if flaw.at and flaw.at < before:
                await self._logs.drop(name)

    # ---------------------------------------------------------------------------------------------------- inside

    async def _notes(self) -> dict[str, Flaw]:
        found = {}
        for name in await self._logs.others("damaged/"):
            body = await self._logs.body(name) if name.endswith(".flaw") else None
            if body is not None:
                found[name] = flaws.loads(body, name)
        return found

    async def _of(self, tenant: Tenant, sinks: Mapping[str, KnownSink]) -> list[Flaw]:
        """What is wrong with one tenant now, its count as far as it can be known."""
        tenant_id = text_of(tenant.key)
        found = []
        lost: dict[str, list[Held]] = {}
        for commit in tenant.lost:
            lost.setdefault(name_of(tenant.key, commit.document), []).append(commit)
        parts: dict[str, list[str]] = {}
        for part, (n, _) in tenant.root.header["parts"].items() if tenant.root else ():
            parts.setdefault(name_of(tenant.key, n), []).append(part)
        newest = tenant.root.n if tenant.root else 0
        damaged = {name: why for name, why in self._logs.damaged.items() if name.startswith(f"{tenant.key}/")}
        for name, why in sorted(damaged.items()):
            series, _, number = name.rpartition("/")
            if series != tenant.key:
                whose = next((s.name for s in sinks.values() if f"{tenant.key}/{s.series}" == series), series)
                found.append(Flaw("state_damaged", name, f"{why}; where sink {whose} stood: {AGAIN}", tenant_id, 0, {}))
            elif name in lost:
                waiting = {s.name: await self._unsettled(tenant, s, lost[name]) for s in sinks.values()}
                some = {sink: count for sink, count in waiting.items() if count}
                events = sum(commit.count for commit in lost[name])
                found.append(Flaw("state_damaged", name, _held(why, parts.get(name)), tenant_id, events, some))
            elif int(number) > newest:
                least = max([await self._counted(tenant, sink, int(number)) for sink in sinks.values()], default=0)
                held = f"at least {least} events" if least else "an unknown number of events"
                what = f"{why}; the newest of its tenant, with {held}: observed again, if the source still has it"
                found.append(Flaw("state_damaged", name, what, tenant_id))
            else:
                found.append(Flaw("state_damaged", name, _held(why, parts.get(name)), tenant_id, 0, {}))
        if not tenant.numbers and tenant.cursors:
            what = "missing: all that was kept of this tenant; it is read again, and its history is sent again"
            found.append(Flaw("state_damaged", f"{tenant.key}/", what, tenant_id))
        for sink in sinks.values():
            seen, last = (
                (await self._reader.raw_cursor(tenant, sink)).position >> INDEX_BITS,
                max(tenant.numbers, default=0),
            )
            if tenant.numbers and seen > last:
                what = f"sink {sink.name} has settled up to document {seen}, the newest is {last}; {AGAIN}"
                found.append(Flaw("cursor_ahead", f"{tenant.key}/{sink.series} at {seen}", what, tenant_id))
        return found

    async def _unsettled(self, tenant: Tenant, sink: KnownSink, lost: Sequence[Held]) -> int:
        """How many events of these commits a sink had not settled."""
        cursor = await self._reader.raw_cursor(tenant, sink)
        waiting = (settling.DUE, settling.AGAIN, settling.PARKED)
        numbers = {held.n for held in lost}
        open_items = sum(n >> INDEX_BITS in numbers and i.state in waiting for n, i in cursor.items.items())
        return open_items + sum(min(held.count, max(0, held.seqs[-1] - cursor.position)) for held in lost)

    async def _counted(self, tenant: Tenant, sink: KnownSink, n: int) -> int:
        """How many events of a document a sink knows of: those up to its place."""
        number, index = divmod((await self._reader.raw_cursor(tenant, sink)).position, MAX_EVENTS_A_COMMIT)
        return index + 1 if number == n and index + 1 < MAX_EVENTS_A_COMMIT else 0  # the last place of all is no event

    def _of_sinks(self) -> list[Flaw]:
        what = "the life of a sink; it goes on from the document before, or is offered everything again"
        return [
            Flaw("state_damaged", name, f"{why}; {what}", None, 0, {})
            for name, why in sorted(self._logs.damaged.items())
            if name.startswith("sinks/")
        ]


def _held(why: str, parts: list[str] | None) -> str:
    return f"{why}; it held {', '.join(sorted(parts))}" if parts else why


def _name(flaw: Flaw) -> str:
    key = "state" if flaw.tenant_id is None else key_of(flaw.tenant_id)
    return f"damaged/{key}/{sha256(flaw.document.encode())[:32]}.flaw"
