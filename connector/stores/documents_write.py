"""The documents that documents.py creates: a tenant's next root, a sink's next life, a sink's next cursor.

Each is one `create`, whole or not at all; who comes second raises Moved and begins anew. What is to be written is
decided by the caller.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from attrs import evolve

from connector.clock import iso
from connector.errors import StoreError
from connector.ports import Clock
from connector.stores.cursors import MAX_EVENTS_A_COMMIT, Cursor, Held, KnownSink, Tenant
from connector.stores.documents_flaws import DocumentsFlaws
from connector.stores.documents_read import DocumentsReader
from connector.stores.numbered import Logs, Moved, Page, steady
from connector.stores.packing import key_of, name_of, text_of


class DocumentsWriter:
    """`max_bytes` as for DocumentsStore; `committed` hears by how much the numbers of the tenants' logs rose."""

    def __init__(
        self,
        logs: Logs,
        reader: DocumentsReader,
        flaws: DocumentsFlaws,
        clock: Clock,
        max_bytes: int | None,
        committed: Callable[[int], None],
    ) -> None:
        self._logs = logs
        self._reader = reader
        self._flaws = flaws
        self._clock = clock
        self._committed = committed
        self._max_bytes = max_bytes

    async def write_root(
        self,
        tenant: Tenant,
        tenant_id: str,
        generation: int,
        parts: Mapping[str, bytes],
        events: Mapping[str, tuple[bytes, str]],
        *,
        others_stay: bool = False,
        without: Iterable[int] = (),
        gathered: Sequence[tuple[Held, Page]] = (),
        keep: int = 2,
    ) -> bool:
        """The next document of a tenant (DocumentsReader.to_write): what is new in it, and where the rest is.

        False when another was faster. Parts that are not given go, unless `others_stay`. Parts that lie in documents
        `without` which the state shall do move into the new one, and so do the events of the commits that are
        `gathered`, as they lie.
        """
        if len(events) >= MAX_EVENTS_A_COMMIT:
            raise StoreError(f"{len(events)} events in one commit", "Poll with a shorter `poll.backfill` first.")
        await self._flaws.keep(tenant)
        number = tenant.next
        before = tenant.root.header["parts"] if tenant.root else {}
        sound = {n for n in tenant.numbers if name_of(tenant.key, n) not in self._logs.damaged}.difference(without)
        own: list[tuple[str, bytes]] = []
        where: dict[str, tuple[int, str]] = dict(before) if others_stay else {}
        for name, body in parts.items():
            digest = hashlib.sha256(body).hexdigest()[:32]
            n, was = before.get(name, (0, ""))
            if was != digest or n not in sound:
                own.append((name, body))
                n = number
            where[name] = (n, digest)
        at = iso(self._clock.now())
        lines = b"\n".join(line for line, _ in events.values())
        lots = [(h.n, page.ids(h.n), page.packed(h.n)) for h, page in gathered]
        moved = {n for n, _, _ in lots}
        held = [evolve(h, place=number) if h.n in moved else h for h in tenant.held]
        if events:
            held.append(Held(number, len(events), at, max(observed for _, observed in events.values())))
        header = {
            "generation": generation,
            "at": at,
            "tenant": tenant_id if generation else None,
            "parts": where,
            "own": [(name, len(body)) for name, body in own],
            "held": [h.row for h in held],
            **({"gathered": [(n, ids, len(body)) for n, ids, body in lots]} if lots else {}),
            "ids": list(events),
            "size": len(lines),
        }
        blobs = [body for _, body in own] + [body for *_, body in lots] + ([zlib.compress(lines, 6)] if events else [])
        counts = await self._logs.append(
            tenant.key, tenant.numbers, tenant.root, header, blobs, keep=keep, number=number
        )
        if counts:
            self._committed(number - max(tenant.numbers, default=0))
        return counts

    async def write_sink(
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
        lives = tuple(lives)
        await self._flaws.keep_sinks(f"{series}/" if lives and not numbers else "")
        life = sink.life if sink else max(numbers, default=0) + 1
        if root is None and (numbers or lives):  # where it began is lost: rather everything again than an event too few
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

    async def alter_cursor(
        self, sink: str, key: str, decide: "Callable[[Tenant, Cursor], tuple[Cursor, int]]", *, keep: int = 2
    ) -> int:
        """Write what `decide` makes of a cursor; it may be asked again. Returns the count it gave."""

        async def attempt() -> int:
            view = await self._reader.view(text_of(key), of=sink)
            entry = view.sink(sink)
            tenant = view.tenants.get(key)
            if tenant is None:
                return 0
            was = await self._reader.cursor(tenant, entry)
            cursor, count = decide(tenant, was)
            if cursor is not was:
                await self._flaws.keep(tenant)
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

    async def offer_again(self, sink: str, chosen: Mapping[str, Sequence[int]], state: str) -> int:
        """Make items in this state (due, again) of settled events; returns how many."""

        def offered(tenant: Tenant, cursor: Cursor, locals_: Sequence[int]) -> tuple[Cursor, int]:
            mine = [n for n in locals_ if cursor.settled(n) and tenant.exists(n)]
            return (cursor.reopened(mine, state) if mine else cursor), len(mine)

        count = 0
        for key, locals_ in chosen.items():
            if locals_:
                count += await self.alter_cursor(sink, key, partial(offered, locals_=locals_))
        return count

    def refuse_when_full(self) -> None:
        if self._max_bytes is not None and self._logs.bytes is not None and self._logs.bytes >= self._max_bytes:
            raise StoreError(
                f"the state has reached its bound of {self._max_bytes} bytes",
                "Repair the sink that holds it (`securescore sinks list`), or give up its backlog with `securescore"
                " sinks release NAME`, or raise `state.max_bytes`, or keep less (`state.keep_days`).",
            )
