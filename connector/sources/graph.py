"""Microsoft Graph → Snapshot: which pages to ask for, when to stop, and what counts as complete.

No parsing of fields here (days.py, profiles.py), no sockets (net), no memory between reads: what is known comes in with
`Known`.

The traps this file exists for, all seen on the real service: `$top=1` answers with a nextLink to the whole history, one
day at a time; the catalogue has more pages than one; 206 and an empty 200 both mean "a provider failed"; and a nextLink
is an address chosen by the far end, while every request carries a token.
"""

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any
from urllib.parse import quote, urljoin

from attrs import Factory, evolve, frozen
from yarl import URL

from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, kept
from connector.ids import content_hash
from connector.model import Absent, Day, EvidenceFile, Known, Note, Profile, Snapshot, Unchanged
from connector.net.http import MAX_BODY_BYTES, Response, Transport, printable, said
from connector.ports import Clock
from connector.signin.tokens import TokenProvider
from connector.sources.days import FEW_DAYS, load_days, oddities, parse_days, parse_each_day, said_at
from connector.sources.pages import MAX_DOCUMENTS, PROFILES, SCORES, Link, documents, load, next_link, page_hash
from connector.sources.profiles import load_profiles, parse_profiles
from connector.sources.requests import Missing, Requests, Throttled, absent, fault_of
from connector.sources.scalars import some

RETENTION_DAYS = 90  # what Graph keeps
MAX_LINK_CHARS = 8_192
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]{2}")  # with a scheme, or with a host at least

ACCESS_HINT = (
    "Either the permission SecurityEvents.Read.All is missing, or no administrator of this tenant has consented to it; "
    "or, for a delegated sign-in, the user lacks the directory role Security Reader; "
    "or a managed identity was granted it after it first signed in: Azure keeps its token for up to a day; "
    "or the tenant has no licence for a product that Secure Score rates."
)


LATER_HINT = (
    "The pages before it came from the same address and are kept; all are asked for again at every poll. If it stays "
    "so for days, tell Microsoft, with the request ids."
)
REWRITTEN_HINT = "Something between this machine and Graph rewrites answers: check proxy and base_url."
PASSED_OVER_HINT = "The other documents are kept; this one is asked for again at every poll."


@frozen
class _Page:
    """One complete page: its stable name in `Known.pages`, its body and the hash without the nextLink."""

    name: str
    number: int
    body: bytes
    link: Link | None

    @property
    def sha256(self) -> str:
        return page_hash(self.body, self.link)


@frozen
class _Part:
    """One part of a snapshot, with what must be remembered and kept of it; `broken` says why it is not whole."""

    value: Any
    pages: Mapping[str, str] = Factory(dict)
    evidence: tuple[EvidenceFile, ...] = ()
    notes: tuple[str, ...] = ()
    broken: Absent | None = None


@frozen
class _Read:
    """The pages of one collection; `error` says why there are no more although there should be."""

    pages: list[_Page]
    error: SecureScoreError | None = None


class GraphSource:
    """Secure Score of one tenant over Microsoft Graph v1.0 (`/security/secureScores`, `…ControlProfiles`).

    `base_url` is a root without path; the token goes to its host only. `deadline_s` after the start of a `read` nothing
    is tried again, and after `limit_s` nothing new is asked; a request under way may still take its own time-out.
    `max_page_bytes` bounds a page after decompression, four times that a part. The transport belongs to the caller.
    """

    def __init__(
        self,
        *,
        http: Transport,
        base_url: str,
        tenant_id: str,
        token: TokenProvider,
        clock: Clock,
        random: Random,
        name: str = "graph",
        backfill_days: int = RETENTION_DAYS,
        overlap_days: int = 3,
        language: str = "en-US",
        deadline_s: float = 45.0,
        limit_s: float = 600.0,
        max_page_bytes: int = MAX_BODY_BYTES,
        max_pages: int = 100,
    ) -> None:
        self.name = name
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._root = URL(self._base_url)
        self._tenant_id = tenant_id
        self._token = token
        self._clock = clock
        self._random = random
        self._backfill_days = backfill_days
        self._overlap_days = overlap_days
        self._language = language
        self._deadline_s = deadline_s
        self._limit_s = limit_s
        self._max_page_bytes = max_page_bytes
        self._max_pages = max_pages

    async def read(self, known: Known) -> Snapshot:
        """Read the newest days and the whole catalogue. A part that failed is Absent; of one that broke off after its
        first page, what was read is whole document by document and stays.

        Raises Denied or Unavailable when neither part could be had for that reason, WrongTenant, and whatever the token
        provider raises. `pages` of an absent part stay as they were known.
        """
        requests = self._requests()
        days = await _part_or_error(self._days(requests, known))
        if isinstance(days, Throttled):
            raise days
        if isinstance(days, _Part) and days.broken is not None and days.broken.reason == "throttled":
            catalogue: _Part | SecureScoreError = Throttled("not asked for after 429", days.broken.retry_after_s)
        else:
            catalogue = await _part_or_error(self._catalogue(requests, known))
        _raise_if_nothing_was_had(days, catalogue)

        parts = {name: p for name, p in (("days", days), ("catalogue", catalogue)) if isinstance(p, _Part)}
        pages: dict[str, str] = {}
        for name, collection in (("days", SCORES), ("catalogue", PROFILES)):
            part = parts.get(name)
            pages |= part.pages if part is not None and part.broken is None else _known_pages(known, collection)
        return Snapshot(
            source=self.name,
            days=days.value if isinstance(days, _Part) else absent(days),
            catalogue=catalogue.value if isinstance(catalogue, _Part) else absent(catalogue),
            pages=pages,
            evidence=tuple(file for part in parts.values() for file in part.evidence),
            notes=tuple(Note(name, text) for name, part in parts.items() for text in part.notes),
            partial={name: part.broken for name, part in parts.items() if part.broken is not None},
        )

    async def control(self, name: str) -> Profile | None:
        """One catalogue entry, asked for by its id; None when the tenant has none of this name.

        Raises Denied, Unavailable, PartialRead, WrongTenant, and whatever the token provider raises.
        """
        what = f"{PROFILES} {printable(name, 100)}"
        try:
            response = await self._requests().get(f"{self._base_url}/v1.0/security/{profile_path(name)}", what)
        except Missing:
            return None
        document = load(response.body, what)
        if isinstance(document, dict) and not document.get("azureTenantId"):
            raise PartialRead(f"{what}: the answer does not say whose it is", "not_json")  # it may be written to next
        found = parse_profiles([document], self._tenant_id, what).profiles
        if name not in found:
            raise PartialRead(f"{what}: another control came as the answer", "not_json")
        return found[name]

    async def catalogue(self, service: str | None = None) -> Mapping[str, Profile]:
        """The catalogue, or one service's part of it, whole. The filter is applied again here. Raises as `control`."""
        query = "" if service is None else "?$filter=" + quote("service eq '" + service.replace("'", "''") + "'")
        part = await self._catalogue(self._requests(), Known(), query)
        if part.broken is not None:
            raise PartialRead(part.broken.detail, part.broken.reason, part.broken.hint)
        profiles: Mapping[str, Profile] = part.value
        return {name: p for name, p in profiles.items() if service is None or p.service == service}

    async def newest(self) -> Day | None:
        """The newest day alone; None when there is none yet. Raises as `control`."""
        today = self._clock.now().date().isoformat()
        page = (await self._pages(self._requests(), SCORES, "?$top=1", 1)).pages[0]
        days = parse_days(_documents(page, SCORES), self._tenant_id, SCORES, today)
        return days[0] if days else None

    def _requests(self) -> Requests:
        return Requests(
            http=self._http,
            token=self._token,
            clock=self._clock,
            random=self._random,
            fault=_fault,
            headers={"Accept-Language": self._language},
            deadline_s=self._deadline_s,
            limit_s=self._limit_s,
            max_bytes=self._max_page_bytes,
        )

    async def close(self) -> None:
        """Nothing to close: the transport is shared."""

    # ------------------------------------------------------------------------------------------------------ days

    def _wanted(self, known: Known, today: date) -> int:
        """How many documents to ask for: the days since the newest known one, plus an overlap to see revisions.

        Of a newest day that is today's as many as of one that was yesterday's: else neither after midnight nor after
        each new day would the same documents be the same bytes, and be parsed for nothing.
        """
        if known.newest_day is None or known.days_missing:
            return self._backfill_days
        most = max(RETENTION_DAYS, self._backfill_days)
        since = (today - date.fromisoformat(known.newest_day)).days
        # A newest day in the future says that our clock or theirs is wrong: do not compute with it.
        return most if since < 0 else min(max(1, since) + self._overlap_days, most)

    async def _days(self, requests: Requests, known: Known) -> _Part:
        today = self._clock.now().date()
        wanted = self._wanted(known, today)
        read = await self._pages(requests, SCORES, f"?$top={wanted}", wanted)
        evidence = () if read.error else _evidence(SCORES, read.pages)
        hashes = {page.name: page.sha256 for page in read.pages}
        if read.error is None and hashes == _known_pages(known, SCORES):
            return _Part(Unchanged(), hashes, evidence)
        found: list[tuple[Any, Day]] = []
        faults: list[PartialRead] = []
        error = read.error
        parse = load if wanted <= FEW_DAYS else load_days
        for page in read.pages:
            where = f"{SCORES} page {page.number}"
            try:
                docs = _documents(page, where, parse)
            except PartialRead as damaged:
                error = kept(damaged)
                break
            found += parse_each_day(docs, self._tenant_id, where, today.isoformat(), faults)
        if not found and (error or faults):
            raise error or faults[0]
        if not found and known.had_days:
            raise PartialRead(f"{SCORES}: an empty list, although days are known", "empty_after_full")
        days, notes = _window(found, wanted, today.isoformat())
        return _Part(days, hashes, evidence, (*notes, *oddities(days)), _broken_off(error, faults))

    # ------------------------------------------------------------------------------------------------- catalogue

    async def _catalogue(self, requests: Requests, known: Known, query: str = "") -> _Part:
        read = await self._pages(requests, PROFILES, query, None)
        evidence = () if read.error else _evidence(PROFILES, read.pages)
        hashes = {page.name: page.sha256 for page in read.pages}
        if read.error is None and hashes == _known_pages(known, PROFILES):
            return _Part(Unchanged(), hashes, evidence)
        profiles: dict[str, Profile] = {}
        notes: list[str] = []
        faults: list[PartialRead] = []
        error = read.error
        for page in read.pages:
            where = f"{PROFILES} page {page.number}"
            try:
                docs = _documents(page, where, self._load_profiles)
            except PartialRead as damaged:
                error = kept(damaged)
                break
            found = parse_profiles(docs, self._tenant_id, where, faults)
            notes += found.notes
            if twice := profiles.keys() & found.profiles.keys():
                notes.append(f"{where}: {some(sorted(twice))} came on an earlier page as well; the first entry counts")
            profiles = {**found.profiles, **profiles}
        if not profiles and (error or faults):
            raise error or faults[0]
        if len(profiles) > MAX_DOCUMENTS:
            raise PartialRead(f"{PROFILES}: more than {MAX_DOCUMENTS} profiles", "too_large")
        if not profiles and known.had_profiles:
            raise PartialRead(f"{PROFILES}: an empty list, although profiles are known", "empty_after_full")
        return _Part(profiles, hashes, evidence, tuple(notes), _broken_off(error, faults))

    def _load_profiles(self, body: bytes, where: str) -> Any:
        return load_profiles(body, where, self._tenant_id)

    # ---------------------------------------------------------------------------------------------------- paging

    async def _pages(self, requests: Requests, collection: str, query: str, wanted: int | None) -> "_Read":
        """All pages of a collection, or as many as hold the `wanted` number of day documents.

        Raises what the first page raises; what befalls a later one does not undo those before it.
        """
        pages: list[_Page] = []
        try:
            await self._follow(requests, collection, query, wanted, pages)
        except (PartialRead, Unavailable, Denied) as error:
            if not pages:
                raise
            if not error.what.startswith(collection):  # no connection: it does not know what was asked for
                error.what = f"{collection} page {len(pages) + 1}: {error.what}"
            return _Read(pages, kept(error))
        return _Read(pages)

    async def _follow(
        self, requests: Requests, collection: str, query: str, wanted: int | None, pages: list[_Page]
    ) -> None:
        """Append each page as it comes. Raises PartialRead, Unavailable, Denied."""
        url = f"{self._base_url}/v1.0/security/{collection}{query}"
        followed: set[str] = set()
        size = days = 0
        while True:
            number = len(pages) + 1
            response = await requests.get(url, f"{collection} page {number}")
            link = next_link(response.body)
            pages.append(_Page(_page_name(collection, number), number, response.body, link))
            size += len(response.body)
            if size > 4 * self._max_page_bytes:
                raise PartialRead(f"{collection}: more than {4 * self._max_page_bytes} bytes in all", "too_large")
            if link is None:
                return
            if wanted is not None:
                # Each day document has exactly one such key, and inside texts the quotes would be escaped.
                days_here = response.body.count(b'"controlScores"')
                days += days_here
                if days >= wanted or not days_here:
                    return
            url = self._followable(link.url, response, collection, f"{collection} page {number}")
            if url in followed:
                raise PartialRead(f"{collection}: page {number} links back to an earlier page", "paging")
            followed.add(url)
            if number >= self._max_pages:
                raise PartialRead(f"{collection}: no end after {number} pages", "paging")

    def _followable(self, link: str, response: Response, collection: str, where: str) -> str:
        """The link, verbatim, if it leads to the configured host. Raises PartialRead: the token goes nowhere else."""
        if not link.strip():
            what = "its nextLink is empty, which says neither where to go on nor that this is all"
            raise PartialRead(f"{where}: {what}", "paging", REWRITTEN_HINT)
        if not (link.isascii() and link.isprintable() and " " not in link and len(link) <= MAX_LINK_CHARS):
            raise PartialRead(f"{where}: its nextLink is not a usable address", "paging", REWRITTEN_HINT)
        if not _ABSOLUTE.match(link):
            return self._resolved(link, response, collection, where)
        try:
            url = URL(link, encoded=True)
            same = (url.scheme, url.host, url.port) == (self._root.scheme, self._root.host, self._root.port)
            host = url.host
        except ValueError:
            same, host = False, None
        if not same or url.user is not None or url.password is not None:
            raise PartialRead(
                f"{where}: its nextLink leads to {said(response, host, 100) if host else 'no valid address'}, not to "
                f"{self._root.host}; it was not followed and no token was sent",
                "paging",
                REWRITTEN_HINT,
            )
        return link

    def _resolved(self, link: str, response: Response, collection: str, where: str) -> str:
        """A relative link, where it means another page of the same collection. Raises PartialRead.

        OData allows them (JSON Format 4.01, "Relative URLs"): relative to what was asked for, or to what
        `@odata.context` names, which is the root of the service.
        """
        page = f"{self._base_url}/v1.0/security/{collection}"
        for base in (page, f"{self._base_url}/v1.0/"):
            url = urljoin(base, link)
            if url.startswith(f"{page}?"):
                return url
        what = f"its nextLink is relative ({said(response, link, 100)}) and leads to no page of {collection}"
        raise PartialRead(f"{where}: {what}; it was not followed", "paging", REWRITTEN_HINT)


def profile_path(name: str) -> str:
    """Path of one control below /v1.0/security/. Every character that could mean something to a server is encoded."""
    return f"{PROFILES}/{quote(name, safe='').replace('.', '%2E').replace('~', '%7E')}"


_PREFIX = {SCORES: "secureScores", PROFILES: "profiles"}


def _page_name(collection: str, number: int) -> str:
    """Stable names in `Known.pages`: "secureScores", "secureScores/2", "profiles/1", "profiles/2", …"""
    prefix = _PREFIX[collection]
    return prefix if collection == SCORES and number == 1 else f"{prefix}/{number}"


def _known_pages(known: Known, collection: str) -> dict[str, str]:
    prefix = _PREFIX[collection]
    return {name: sha for name, sha in known.pages.items() if name.partition("/")[0] == prefix}


def _evidence(collection: str, pages: Iterable[_Page]) -> tuple[EvidenceFile, ...]:
    return tuple(EvidenceFile(f"{collection}-{page.number}.json", page.body) for page in pages)


def _documents(page: _Page, where: str, load: Callable[[bytes, str], Any] = load) -> list[Any]:
    data = load(page.body, where)
    found = documents(data, where)
    if page.link is None and (link := data.get("@odata.nextLink")):
        wrong = "stands where none was looked for" if isinstance(link, str) else "is no text"
        raise PartialRead(f"{where}: its nextLink {wrong}", "paging")
    return found


def _window(found: Iterable[tuple[Any, Day]], wanted: int, today: str) -> tuple[tuple[Day, ...], tuple[str, ...]]:
    """The days within `wanted` days of the newest (that is not in the future), oldest first, one document a day.

    The server's own filters are hints at best. Of two documents of one day the detailed one counts, then the one that
    carries the later moment, then the first.
    """
    by_day: dict[str, Day] = {}
    docs: dict[str, Any] = {}
    notes = []
    for doc, day in found:
        other = by_day.get(day.day)
        if other is not None:
            same = (
                "which say the same" if content_hash(day) == content_hash(other) else "which differ: the later counts"
            )
            notes.append(f"{SCORES}: more than one document for {day.day}, {same}")
        if other is None or (day.detailed, said_at(doc, today)) > (other.detailed, said_at(docs[day.day], today)):
            by_day[day.day], docs[day.day] = day, doc
    if not by_day:
        return (), ()
    newest = max((day for day in by_day if day <= today), default=min(by_day))
    oldest = (date.fromisoformat(newest) - timedelta(days=wanted - 1)).isoformat()
    return tuple(by_day[day] for day in sorted(by_day) if day >= oldest), tuple(notes)


# ------------------------------------------------------------------------------------------------------ failures


async def _part_or_error(part: Coroutine[Any, Any, _Part]) -> _Part | SecureScoreError:
    """The part, or the error that concerns it alone. WrongTenant concerns both and is raised."""
    try:
        return await part
    except (PartialRead, Unavailable, Denied) as error:
        return kept(error)


def _raise_if_nothing_was_had(days: _Part | SecureScoreError, catalogue: _Part | SecureScoreError) -> None:
    for kind in (Denied, Unavailable):
        if isinstance(days, kind) and isinstance(catalogue, kind):
            raise days


def _broken_off(error: SecureScoreError | None, faults: Sequence[PartialRead]) -> Absent | None:
    """Why what was read is not the whole: a later page failed, or documents beside others cannot be read.

    An address that has just answered is not to be corrected, so the hint of a refusal does not fit.
    """
    if error is not None:
        why = absent(error)
        return why if error.hint and not isinstance(error, Denied) else evolve(why, hint=LATER_HINT)
    if not faults:
        return None
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Absent(faults[0].reason, f"{faults[0].what}{more}", hint=PASSED_OVER_HINT)


def _fault(response: Response, what: str, max_bytes: int) -> SecureScoreError | None:
    """What is wrong with an answer of Graph's; None if nothing is."""
    if response.status == 206:
        warning = said(response, response.headers.get("warning", "none"))
        return PartialRead(f"{what}: HTTP 206, a provider behind Graph did not answer (Warning: {warning})", "partial")
    return fault_of(response, what, max_bytes, ACCESS_HINT)
