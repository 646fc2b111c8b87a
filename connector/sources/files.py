"""Saved Graph responses → Snapshot: the air-gapped import, and the way back from our own evidence archive.

Takes what people save from Graph Explorer or scripts: one or many pages, in any order, in any folder below `path`, as
`{"value": […]}`, a single object or a bare list, plain or gzipped. No field is parsed here (days.py, profiles.py),
nothing is sent.
"""

import asyncio
import gzip
import hashlib
import os
import re
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, cast

from attrs import Factory, define, frozen

from connector.errors import Denied, PartialRead
from connector.ids import content_hash, sha256
from connector.model import Absent, Day, Known, Note, Profile, Snapshot, Unchanged
from connector.ports import Clock
from connector.sources.days import parse_days
from connector.sources.pages import PROFILES, SCORES, load
from connector.sources.profiles import parse_profiles
from connector.sources.scalars import text

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_FILES = 20_000

CATALOGUE_INCOMPLETE = "catalogue_incomplete"
"""In `Snapshot.notes`: the end of the catalogue is not among the files, so what is missing may not count as removed."""

_HINT = (
    "Save the answers of /security/secureScores and /security/secureScoreControlProfiles as .json files below `path`."
)
_DATE_FOLDER = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBERED = re.compile(rf"{PROFILES}-([0-9]{{1,4}})\.json(?:\.gz)?", re.IGNORECASE)


class FilesSource:
    """The days and the catalogue found in a folder (with its sub-folders) or a single file.

    The same day found twice: consistent copies count before inconsistent ones, then those of the response with the
    newest day, then the later file name; detail lost in history is taken from an older copy with the same scores.
    `max_file_bytes` bounds a file after decompression.
    """

    def __init__(
        self,
        *,
        path: str | Path,
        tenant_id: str,
        clock: Clock,
        name: str = "files",
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self.name = name
        self._path = Path(path)
        self._tenant_id = tenant_id
        self._clock = clock
        self._max_file_bytes = max_file_bytes

    async def read(self, known: Known) -> Snapshot:
        """Read all files once; unchanged files are hashed, not parsed.

        One unreadable file makes both parts Absent, since nobody knows what it held. Raises Denied when there is
        nothing to read, and WrongTenant naming the file that belongs to another tenant.
        """
        return await asyncio.to_thread(self._read, known)

    async def close(self) -> None:
        """Nothing to close."""

    def _read(self, known: Known) -> Snapshot:
        files = _candidates(self._path)
        try:
            print_of_all = _fingerprint(files)
            days = _as_before(known, "files/days", print_of_all)
            catalogue = _as_before(known, "files/catalogue", print_of_all)
            if days is not None and catalogue is not None:
                return self._snapshot(known, print_of_all, days, catalogue, ())
            found = self._parse(files)
        except PartialRead as error:
            absent = Absent(error.reason, f"{error.what}. {error.hint}" if error.hint else error.what)
            return Snapshot(self.name, absent, absent, known.pages)
        if not found.days and not found.sets and not known.had_days and not known.had_profiles:
            raise Denied(f"no saved Graph responses in {self._path} ({len(files)} files looked at)", _HINT)

        notes = list(found.notes)
        read_days: tuple[Day, ...] | Absent = _best(found.days, notes)
        if not read_days:
            read_days = _missing(SCORES, known.had_days, self._path)
        read_profiles: Mapping[str, Profile] | Absent = _catalogue(found.sets, notes)
        if not read_profiles:
            read_profiles = _missing(PROFILES, known.had_profiles, self._path)
        return self._snapshot(known, print_of_all, read_days, read_profiles, notes)

    def _snapshot(
        self,
        known: Known,
        print_of_all: str,
        days: tuple[Day, ...] | Unchanged | Absent,
        catalogue: Mapping[str, Profile] | Unchanged | Absent,
        notes: Collection[str],
    ) -> Snapshot:
        pages = {}
        for name, part in (("files/days", days), ("files/catalogue", catalogue)):
            if not isinstance(part, Absent):
                pages[name] = print_of_all
            elif part.reason == "not_read":
                pages[name] = _nothing_in(print_of_all)
            elif name in known.pages:
                pages[name] = known.pages[name]
        incomplete = {"catalogue": Absent("incomplete", "its end is not among the files")}
        partial = incomplete if CATALOGUE_INCOMPLETE in notes else {}
        told = tuple(Note("", note) for note in notes if note != CATALOGUE_INCOMPLETE)
        return Snapshot(self.name, days, catalogue, pages, notes=told, partial=partial)

    def _parse(self, files: Mapping[str, Path]) -> "_Found":
        found = _Found()
        today = self._clock.now().date().isoformat()
        ignored = []
        for label, path in files.items():
            data = load(_body(path, label, self._max_file_bytes), label)
            docs, listed = _documents(data)
            days = [doc for doc in docs if _is_day(doc)]
            profiles = [doc for doc in docs if _is_profile(doc)]
            if not days and not profiles and not _is_empty_catalogue_page(data):
                ignored.append(label)
                continue
            if len(days) + len(profiles) != len(docs):
                raise PartialRead(
                    f"{label}: not every entry is a secureScore or a secureScoreControlProfile", "not_json"
                )
            if days:
                found.add_days(parse_days(days, self._tenant_id, label, today), label)
            if not days or profiles:
                read = parse_profiles(profiles, self._tenant_id, label)
                more = isinstance(data, dict) and bool(data.get("@odata.nextLink"))
                found.add_page(_ProfilePage(label, read.profiles, ends=listed and not more))
                found.notes += read.notes
        if ignored:
            found.notes.append(f"{len(ignored)} files hold no Secure Score data: {', '.join(ignored[:5])}")
        return found


# --------------------------------------------------------------------------------------------------------- files


def _candidates(path: Path) -> dict[str, Path]:
    """Label (path below the root, "/" between) → file, sorted by label. Raises Denied."""
    try:
        if path.is_file():
            return {_label(Path(path.name)): path}
        if not path.is_dir():
            raise Denied(f"{path} does not exist", "Correct `path` of this tenant.")
        found = {}
        for folder, folders, names in os.walk(path, onerror=_refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                file = Path(folder, name)
                if name.casefold().endswith((".json", ".json.gz")) and not name.startswith(".") and file.is_file():
                    found[_label(file.relative_to(path))] = file
            if len(found) > MAX_FILES:
                raise Denied(f"more than {MAX_FILES} files in {path}", "Let `path` name a smaller folder.")
    except OSError as error:
        raise Denied(
            f"{error.filename or path} cannot be read: {error.strerror}", "Allow this user to read it."
        ) from None
    return dict(sorted(found.items()))


def _label(path: Path) -> str:
    """A file name need not be UTF-8, but messages and hashes must."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _refuse(error: OSError) -> None:
    raise error


def _fingerprint(files: Mapping[str, Path]) -> str:
    lines = []
    for label, path in files.items():
        try:
            with path.open("rb") as file:
                lines.append(f"{label}\0{hashlib.file_digest(file, 'sha256').hexdigest()}")
        except OSError as error:
            raise PartialRead(f"{label} cannot be read: {error.strerror}", "not_read") from None
    return sha256("\n".join(lines).encode())


def _body(path: Path, label: str, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file
            body = stream.read(max_bytes + 1)
    except EOFError:
        raise PartialRead(f"{label}: the gzip file ends early", "truncated") from None
    except (gzip.BadGzipFile, zlib.error):
        raise PartialRead(f"{label}: the gzip file is damaged", "not_json") from None
    except OSError as error:
        raise PartialRead(f"{label} cannot be read: {error.strerror}", "not_read") from None
    if len(body) > max_bytes:
        raise PartialRead(f"{label}: larger than {max_bytes} bytes", "too_large")
    return body


def _nothing_in(print_of_all: str) -> str:
    return f"none:{print_of_all}"


def _as_before(known: Known, name: str, print_of_all: str) -> Unchanged | Absent | None:
    """What an unread part must be when the files are those of the last read; None when they have to be parsed."""
    before = known.pages.get(name)
    if before == print_of_all:
        return Unchanged()
    if before == _nothing_in(print_of_all):
        return Absent("not_read", f"{name.removeprefix('files/')}: none among the files")
    return None


def _missing(collection: str, had: bool, path: Path) -> Absent:
    if had:
        return Absent("empty_after_full", f"{collection}: none left in {path}, although there were some")
    return Absent("not_read", f"{collection}: none among the files in {path}")


# ----------------------------------------------------------------------------------------------------- documents


def _documents(data: Any) -> tuple[list[Any], bool]:
    """The documents of a saved response, and whether they are a list: a single object is never a whole catalogue."""
    if isinstance(data, dict) and isinstance(data.get("value"), list):
        return data["value"], True
    return (data, True) if isinstance(data, list) else ([data], False)


def _is_day(doc: Any) -> bool:
    return isinstance(doc, dict) and ("controlScores" in doc or "currentScore" in doc)


def _is_profile(doc: Any) -> bool:
    return (
        isinstance(doc, dict)
        and not _is_day(doc)
        and ("controlStateUpdates" in doc or ("controlCategory" in doc and "title" in doc))
    )


def _is_empty_catalogue_page(data: Any) -> bool:
    """The last page of a catalogue may hold no profile, but it still says that nothing follows."""
    return (
        isinstance(data, dict) and data.get("value") == [] and text(data.get("@odata.context")).endswith(f"/{PROFILES}")
    )


@frozen
class _ProfilePage:
    """One file with profiles; `ends` = a list without a continuation."""

    label: str
    profiles: Mapping[str, Profile]
    ends: bool

    @property
    def taken(self) -> str:
        """The date of the folder it lies in (the layout of the evidence archive), or ""."""
        dates = [part for part in self.label.split("/")[:-1] if _DATE_FOLDER.fullmatch(part)]
        return dates[-1] if dates else ""


@frozen
class _Copy:
    """The best copy so far of one day with one content. `rank` orders contents: see FilesSource."""

    rank: tuple[bool, str, str, int]
    day: Day


@define
class _Found:
    """What the files held: per day and content hash the best copy; sets of catalogue pages; notes for the operator.

    A set is what lies below one date folder (the evidence archive), or everything that lies elsewhere ("").
    """

    days: dict[str, dict[str, _Copy]] = Factory(dict)
    sets: dict[str, list[_ProfilePage]] = Factory(dict)
    notes: list[str] = Factory(list)

    def add_days(self, days: list[Day], label: str) -> None:
        response_day = max(day.day for day in days)
        for index, day in enumerate(days):
            rank = ("inconsistent" not in day.flags, response_day, label, -index)
            contents = self.days.setdefault(day.day, {})
            key = content_hash(day)
            other = contents.get(key)
            if other is None:
                contents[key] = _Copy(rank, day)
            else:
                better = (day.detailed, rank) > (other.day.detailed, other.rank)
                contents[key] = _Copy(max(rank, other.rank), day if better else other.day)

    def add_page(self, page: _ProfilePage) -> None:
        self.sets.setdefault(page.taken, []).append(page)
        if _is_complete(self.sets[page.taken]):  # an archive holds one a day for years: keep only what may be used
            for older in [taken for taken in self.sets if taken < page.taken]:
                del self.sets[older]


def _best(found: Mapping[str, Mapping[str, _Copy]], notes: list[str]) -> tuple[Day, ...]:
    """One copy of each day, oldest first."""
    differing = [day for day, contents in sorted(found.items()) if len(contents) > 1]
    if differing:
        notes.append(f"{len(differing)} days came with different scores, the latest counts: {', '.join(differing[:5])}")
    return tuple(max(found[day].values(), key=lambda copy: copy.rank).day for day in sorted(found))


def _catalogue(sets: Mapping[str, list[_ProfilePage]], notes: list[str]) -> dict[str, Profile]:
    """The profiles of the latest complete set of pages; of an incomplete one, with a note, if there is no other."""
    if not sets:
        return {}
    complete = [taken for taken, members in sets.items() if _is_complete(members)]
    if not complete:
        notes.append(CATALOGUE_INCOMPLETE)
    chosen: dict[str, Profile] = {}
    for page in sets[max(complete or sets)]:
        for name, profile in page.profiles.items():
            other = chosen.get(name)
            if other is None or _last_touched(profile) >= _last_touched(other):
                chosen[name] = profile
    return chosen


def _is_complete(pages: list[_ProfilePage]) -> bool:
    """Whether the pages reach the end of the list; files numbered by our archive must have no hole either."""
    numbers = {int(m[1]) for page in pages if (m := _NUMBERED.fullmatch(page.label.rpartition("/")[2]))}
    return any(page.ends for page in pages) and numbers == set(range(1, len(numbers) + 1))


def _last_touched(profile: Profile) -> tuple[str, int]:
    """Of two copies of a profile the later one knows a later state change."""
    return max((update.at or "" for update in profile.updates), default=""), len(profile.updates)
