"""Logs of numbered, immutable, self-checking documents: list, read, append, clear away; over any place that keeps them.

What a document means is not known here: documents.py says it. Of its header only the name, the trail and what other
numbers a root needs are read. Numbers are never used twice, so documents are remembered by name.

A late writer may find a number free that was used and deleted. Therefore each document carries the digests of the last
ones before it, and a writer believes in its own document only as the newest, or as an ancestor of the newest.

A document that fails its check is left out and reported, never fatal; the next writer moves it to `damaged/`.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from attrs import Factory, define, frozen

from connector.errors import Conflict, SecureScoreError, StoreError
from connector.formats import cloudevents, gzipped
from connector.model import Event
from connector.ports import Documents
from connector.stores import listing
from connector.stores.listing import Listing
from connector.stores.packing import MAX_EVENTS_BYTES, Unpacked, name_of, pack, unpack

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

TRIES = 50
"""How often one call begins anew because others wrote or deleted meanwhile. Each time somebody else got on."""
TRAIL = 16
CACHE_BYTES = 32 * 1024**2
INFLATED = 16
"""How many documents are remembered as written, by bytes, and of how many commits the events are, inflated."""
SIDE_BY_SIDE = 16
"""How many logs a look at all of them reads at a time."""

Numbers = dict[int, int]
"""The numbers of a log, with the sizes of their documents."""


class Moved(Exception):
    """What was listed is gone, or turned out damaged: the whole look is to be repeated."""


async def steady(work: Callable[[], Awaitable[_T]]) -> _T:
    """Do it as of one moment: again from the start when others moved something meanwhile."""
    for _ in range(TRIES):
        try:
            return await work()
        except Moved:
            listing.forget()
        except SecureScoreError:
            listing.forget()
            raise
    raise StoreError(
        f"the state changed {TRIES} times while it was read",
        "Another process writes without pause: see that one connector works on one tenant at a time.",
    )


@frozen
class Lot:
    """The events of one commit in a document: their ids, and from where to where their compressed lines go."""

    ids: Sequence[str]
    start: int
    end: int


@define(eq=False)
class Page:
    """One intact document. Its lots are by the number of the commit: its own, and those whose events it has gathered.
    The lines of one, its events' canonical texts, are inflated when first asked for.
    """

    n: int
    content: Unpacked
    _lots: dict[int, Lot] = Factory(dict)
    _lines: dict[int, list[bytes]] = Factory(dict)

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

    def lots(self) -> Mapping[int, Lot]:
        if not self._lots and "ids" in self.header:  # of a tenant's log
            start = sum(size for _, size in self.header["own"])
            for n, ids, size in self.header.get("gathered", ()):
                self._lots[n] = Lot(ids, start, start + size)
                start += size
            self._lots[self.n] = Lot(self.header["ids"], start, len(self.content.blobs))
        return self._lots

    def ids(self, n: int) -> Sequence[str]:
        return self.lots()[n].ids

    def packed(self, n: int) -> bytes:
        """The events of a commit as they lie here."""
        lot = self.lots()[n]
        return self.content.blobs[lot.start : lot.end]

    def event(self, n: int, index: int) -> Event:
        if n not in self._lines:
            self._lines[n] = gzipped.decompress(self.packed(n), MAX_EVENTS_BYTES).split(b"\n")
        return cloudevents.loads(self._lines[n][index])

    def deflate(self, n: int) -> None:
        self._lines.pop(n, None)


class Logs:
    """All logs of a place. `bytes` is their size as last measured by a look at all, None before the first."""

    def __init__(self, documents: Documents) -> None:
        self.bytes: int | None = None
        self.damaged: dict[str, str] = {}
        self.listing = Listing(documents)
        self._documents = documents
        self._cache: OrderedDict[str, tuple[int, Page]] = OrderedDict()
        self._cached = 0
        self._inflated: OrderedDict[tuple[int, int], Page] = OrderedDict()

    async def close(self) -> None:
        await self._documents.close()

    async def list(self, prefix: str) -> dict[str, Numbers]:
        """Log → its numbers with sizes."""
        sizes = await self.listing.names(prefix)
        if not prefix:
            self.bytes = sum(sizes.values())
        return _logs_of(sizes)

    async def root(self, series: str, numbers: Iterable[int]) -> Page | None:
        """The newest intact document of a log."""
        for n in sorted(numbers, reverse=True):
            page = await self.read(series, n)
            if page is not None:
                return page
        return None

    async def page(self, series: str, n: int) -> Page:
        """A document that must be there; a damaged one is noted, and then the look is repeated without it."""
        page = await self.read(series, n)
        if page is None:
            raise Moved
        return page

    def known(self, series: str, n: int) -> Page | None:
        """A document that is remembered, or None: then it is to be read."""
        return self._cache.get(name_of(series, n), (0, None))[1]

    async def read(self, series: str, n: int) -> Page | None:
        """A document, or None when it is damaged."""
        name = name_of(series, n)
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name][1]
        if name in self.damaged:
            return None
        raw = await self._documents.get(name)
        if raw is None:
            raise Moved
        return self._checked(name, n, raw)

    def _checked(self, name: str, n: int, raw: bytes) -> Page | None:
        try:
            page = Page(n, unpack(raw))
            if page.header["name"] != name:
                raise ValueError("it says another name of itself")  # noqa: TRY301 - one way out for all damage
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.note_damage(name, str(error))
            return None
        weight = len(raw)
        self._cached += weight - self._cache.get(name, (0, page))[0]  # two may have read it at the same time
        self._cache[name] = (weight, page)
        while self._cached > CACHE_BYTES and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1][0]
        return page

    def event(self, series: str, page: Page, n: int, index: int) -> Event:
        """An event of a commit that lies in a document; damage that only shows now is noted, and then the look is
        repeated without it.
        """
        self._inflated[id(page), n] = page
        self._inflated.move_to_end((id(page), n))
        if len(self._inflated) > INFLATED:
            (_, oldest), holder = self._inflated.popitem(last=False)
            holder.deflate(oldest)
        try:
            return page.event(n, index)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            self.note_damage(name_of(series, page.n), str(error))
            raise Moved from error

    async def check(self, series: str, n: int) -> None:
        """Read a document and every event in it."""
        page = await self.read(series, n)
        if page is not None:
            for commit, lot in page.lots().items():
                for index in range(len(lot.ids)):
                    self.event(series, page, commit, index)

    async def delete(self, series: str, numbers: Iterable[int]) -> None:
        for n in numbers:
            await self.drop(name_of(series, n))

    async def put(self, name: str, body: bytes) -> None:
        """A document that belongs to no log. Raises Conflict when there is one of this name."""
        await self._documents.create(name, body)
        self.listing.created(name, len(body))

    async def others(self, prefix: str) -> Sequence[str]:
        """The names below a prefix of documents that belong to no log."""
        return sorted(name for name in await self.listing.names(prefix) if not name.rpartition("/")[2].isdecimal())

    async def body(self, name: str) -> bytes | None:
        return await self._documents.get(name)

    async def drop(self, name: str) -> None:
        await self._documents.delete(name)
        self.listing.deleted(name)

    async def delete_damaged(self, key: str) -> None:
        """What was put aside of one tenant."""
        for name in await self.listing.names(f"damaged/{key}/"):
            await self.drop(name)

    def note_damage(self, name: str, why: str) -> None:
        self.damaged[name] = why
        self._forget_page(name)
        _log.error("store.damaged_document", extra={"document": name, "error": why})

    def _forget_page(self, name: str) -> None:
        if name in self._cache:
            self._cached -= self._cache.pop(name)[0]

    async def append(
        self,
        series: str,
        numbers: Iterable[int],
        root: Page | None,
        header: Mapping[str, Any],
        blobs: Sequence[bytes] = (),
        *,
        keep: int = 2,
        number: int = 0,
    ) -> bool:
        """Create the next document of a log and clear away what it makes superfluous. False when it did not count.

        Its number is the next one unless a higher one is given. Then another writer may have taken the next one: of
        both, the one that sees the other does not count.
        """
        newest_was = max(numbers, default=0)
        number = number or newest_was + 1
        name = name_of(series, number)
        raw = pack({"name": name, "trail": root.trail if root else [], **header}, blobs)
        try:
            await self._documents.create(name, raw)
        except Conflict:
            if await self._documents.get(name) != raw:  # ours it is if an answer was lost and the request repeated
                return False
        self.listing.created(name, len(raw))
        ours = self._checked(name, number, raw)
        assert ours is not None
        now = _logs_of(await self.listing.now(f"{series}/")).get(series, {})
        if any(newest_was < n < number for n in now):
            self._forget_page(name)
            await self.drop(name)
            return False
        newest = await self.root(series, now)
        if newest is None or (newest.n != number and ours.digest not in newest.trail):
            self._forget_page(name)
            return False
        if newest.n == number:
            if self.bytes is not None:
                self.bytes += len(raw)
            try:
                await self._clear(series, now, newest, keep)
            except (Moved, SecureScoreError) as error:  # our document stands; the next writer clears
                _log.warning("store.not_cleared", extra={"log": series, "error": str(error)})
        return True

    async def _clear(self, series: str, numbers: Mapping[int, int], newest: Page, keep: int) -> None:
        """Delete what neither the newest root nor the one before needs: that one serves if the newest is damaged."""
        roots = [newest]
        for n in sorted((n for n in numbers if n < newest.n), reverse=True):
            if len(roots) >= keep:
                break
            page = await self.read(series, n)
            if page is not None:
                roots.append(page)
        needed = {page.n for page in roots}
        for page in roots:
            needed |= {(row[4:] or row)[0] for row in page.header.get("held", ())} | _referred(page)
        for n in sorted(numbers):
            name = name_of(series, n)
            if n >= newest.n:
                continue
            if name in self.damaged:
                await self._put_aside(name)
            elif n not in needed:
                await self.drop(name)
                if self.bytes is not None:
                    self.bytes -= numbers[n]
                self._forget_page(name)

    async def _put_aside(self, name: str) -> None:
        """Move a damaged document out of the way, as it is."""
        raw = await self._documents.get(name)
        if raw is not None:
            with suppress(Conflict):  # put there before a crash
                await self.put(f"damaged/{name}", raw)
            await self.drop(name)


def _logs_of(sizes: Mapping[str, int]) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for name, size in sizes.items():
        series, _, last = name.rpartition("/")
        if last.isdecimal():
            found.setdefault(series, {})[int(last)] = size
    return found


def _referred(page: Page | None) -> set[int]:
    """The documents in which a root's parts lie."""
    return {n for n, _ in page.header.get("parts", {}).values()} if page else set()
