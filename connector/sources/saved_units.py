"""What was saved of Defender for Cloud or Defender for Endpoint → Reading: their air-gapped import, and the way back
from our own evidence archive.

The layout is that of both: a folder a day, in it the answers of one whole read. They are read by the source that asked
for them, which is given here, for what it asks, what was answered on that day (`Answered`); so every rule of what is
whole, foreign or missing is the one of a read over the wire. How bytes are had stands in folder.py. Nothing is sent.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from connector.clock import Threads, parse_iso
from connector.errors import Denied, PartialRead, SecureScoreError, WrongTenant, kept
from connector.model import Day, Known, Note, Reading, Snapshot, Unchanged
from connector.net.http import MAX_BODY_BYTES, Response, Transport
from connector.ports import Clock
from connector.signin.tokens import TokenProvider
from connector.sources import folder
from connector.sources.days import is_date
from connector.sources.defender_cloud import COMPLIANCE, SCORES, SUBSCRIPTIONS
from connector.sources.folder import Reader
from connector.sources.resource_graph import answer_file
from connector.sources.scalars import some

_THREADS = Threads("saved-units", 8)
_NAME = re.compile(r"((?:resourceGraph|exposureScore)[A-Za-z-]*-[1-9][0-9]*\.json)(?:\.gz)?")
_HINT = (
    "Let `path` name the folder that `securescore fetch` named like the tenant's id and the source, unpacked, with its "
    "folders of days."
)
_LOST_HINT = "Carry this day's folder over again, whole: `sha256sum -c SHA256SUMS` says what is missing."
_QUESTIONS = {question.query: question.name for question in (SUBSCRIPTIONS, SCORES, COMPLIANCE)}
_LISTED = "files"
"""What stands among the known pages for all files together."""


class UnitsSource(Protocol):
    """A source of several units."""

    async def read(self, known: Known) -> Reading: ...


Opener = Callable[[Transport, TokenProvider, Clock], UnitsSource]
"""The source itself, over a transport that answers as it was answered then."""


class SavedUnits:
    """The days of an entry of several units found in a folder; of each day the answers of its one saved read.

    Of the newest `most_days` alone something is read. A day that is not whole counts as any read that is not, where it
    is the newest, and is left out with a note where it is not: what its units lack proves nothing.
    """

    def __init__(self, *, name: str, path: str | Path, most_days: int, opened: Opener) -> None:
        self.name = name
        self._path = Path(path)
        self._most_days = max(1, most_days)
        self._opened = opened

    async def read(self, known: Known) -> Reading:
        """Read all saved days once; unchanged files are hashed, not parsed.

        Raises Denied when there is nothing to read, WrongTenant when none of it is of this directory, Unavailable when
        the folder does not answer, and what the source raises of the newest day.
        """
        files, print_of_all = await folder.in_time(_THREADS, self._look, self._path)
        if known.pages.get(_LISTED) == print_of_all:
            return Reading(self.name, Unchanged(), Unchanged(), pages=known.pages)
        by_day, passed = _by_day(files)
        if not by_day:
            what = f"no saved answers of {self.name} in {self._path} ({len(files)} files looked at)"
            raise Denied(what, _HINT)
        days = sorted(by_day)
        notes = [Note("days", f"not taken: {some(passed, 10)} (no answer of a day's read)")] if passed else []
        left = days[: -self._most_days]
        if left and not known.had_days:  # later these are the days that were read before
            notes.append(Note("days", f"{len(left)} saved days before {days[-self._most_days]} are not read"))
        earlier: list[Reading] = []
        for day in days[-self._most_days : -1]:
            try:
                found = await self._read_day(day, by_day[day], Known())
            except WrongTenant:
                raise
            except SecureScoreError as error:
                notes.append(Note("days", f"the saved answers of {day} are not read: {error.what}"))
                continue
            if not isinstance(found.units, tuple) or found.partial is not None:
                why = found.partial.detail if found.partial else getattr(found.units, "detail", "")
                notes.append(Note("days", f"the saved answers of {day} are not whole, and not read: {why}"))
                continue
            earlier.append(found)
        newest = await self._read_day(days[-1], by_day[days[-1]], evolve(known, pages={}))
        whole = newest.partial is None and isinstance(newest.units, tuple)
        return evolve(
            newest,
            source=self.name,
            units=_with_days_of(earlier, newest.units) if isinstance(newest.units, tuple) else newest.units,
            pages={_LISTED: print_of_all} if whole else known.pages,
            evidence=(),  # these files are it
            notes=(*newest.notes, *notes),
        )

    async def close(self) -> None:
        """Nothing to close."""

    def _look(self) -> tuple[Mapping[str, Path], str]:
        files = folder.listing(self._path).files
        return files, folder.fingerprint(files)

    async def _read_day(self, day: str, files: Mapping[str, Path], known: Known) -> Reading:
        """What the source reads in the answers of one day."""
        bodies = await folder.in_time(_THREADS, lambda: _bodies(files), self._path)
        return await self._opened(Answered(day, bodies), _NoToken(), _Then(parse_iso(f"{day}T00:00:00Z"))).read(known)


@frozen
class Answered:
    """A transport that gives, for what is asked, what was answered on a day. `bodies` by name, as they were saved."""

    day: str
    bodies: Mapping[str, bytes | PartialRead] = field(repr=False)
    _pages: dict[str, int] = field(factory=dict, init=False)

    async def request(
        self,
        method: str,  # noqa: ARG002 - as every transport takes it
        url: str,
        *,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
        body: bytes | None = None,
        timeout_s: float | None = None,  # noqa: ARG002
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        """Raises PartialRead for what was not saved, or cannot be read."""
        name = self._name(url, body)
        found = self.bodies.get(name)
        if found is None:
            raise PartialRead(f"{self.day}/{name} is not among the saved answers", "not_read", _LOST_HINT)
        if isinstance(found, PartialRead):
            raise kept(found)
        cut = "too_large" if len(found) > max_bytes else ""
        return Response(200, {}, found, parse_iso(f"{self.day}T00:00:00Z"), cut)

    def _name(self, url: str, body: bytes | None) -> str:
        """What the answer was saved as: a question has its pages one after another, everything else has one."""
        if body is None:
            return f"{urlsplit(url).path.removeprefix('/api/').replace('/', '-')}-1.json"
        asked = json.loads(body)
        again = "$skipToken" in asked["options"]
        number = self._pages[asked["query"]] = self._pages.get(asked["query"], 0) + 1 if again else 1
        return answer_file(_QUESTIONS[asked["query"]], number)


@frozen
class _Then:
    """The clock of a day that is over."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        """Nothing becomes better by waiting."""


class _NoToken:
    """Nobody is asked, so nobody signs in."""

    async def token(self, *, refused: str = "", claims: str = "") -> str:  # noqa: ARG002
        return ""


def _by_day(files: Mapping[str, Path]) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """The answers of each day by name, and the files that are none."""
    found: dict[str, dict[str, Path]] = {}
    passed: list[str] = []
    for label, path in files.items():
        day, name = path.parent.name, _NAME.fullmatch(path.name)
        if name is None or not is_date(day):
            passed.append(label)
        else:
            found.setdefault(day, {})[name[1]] = path
    return found, passed


def _bodies(files: Mapping[str, Path]) -> dict[str, bytes | PartialRead]:
    """Raises Denied when they are too much together."""
    reader = Reader()
    return {name: body for name, path in files.items() for _, body in reader.bodies(name, path)}


def _with_days_of(earlier: Sequence[Reading], newest: Sequence[Snapshot]) -> tuple[Snapshot, ...]:
    """The units of the newest day, each with its days before; one that is not there any more had none."""
    days: dict[str, list[Day]] = {}
    for reading in earlier:
        for snapshot in reading.units if isinstance(reading.units, tuple) else ():
            if snapshot.unit is not None and isinstance(snapshot.days, tuple):
                days.setdefault(snapshot.unit.key, []).extend(snapshot.days)
    return tuple(
        evolve(s, days=(*days.get(s.unit.key, ()), *s.days)) if s.unit and isinstance(s.days, tuple) else s
        for s in newest
    )
