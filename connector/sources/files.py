"""Saved Graph responses → Snapshot: the air-gapped import, and the way back from our own evidence archive.

Takes what people save from Graph Explorer, az or PowerShell: one or many pages, in any order, in any folder below
`path`, plain, gzipped or zipped. How bytes are had stands in folder.py, what tools make of an answer in shapes.py,
which copy counts in answers.py. No field is parsed here (days.py, profiles.py), nothing is sent, and no file is passed
over without a word.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import Factory, define

from connector.clock import Threads
from connector.errors import Denied, PartialRead, kept
from connector.model import Absent, Day, Known, Note, Profile, Snapshot, Unchanged
from connector.ports import Clock
from connector.sources import folder, shapes
from connector.sources.answers import Held, Page, best_catalogue, best_days
from connector.sources.days import oddities, parse_each_day
from connector.sources.folder import MAX_FILE_BYTES, Reader
from connector.sources.pages import PROFILES, SCORES
from connector.sources.profiles import parse_profiles
from connector.sources.scalars import some

SHOWN = 5
_THREADS = Threads("saved-answers", 8)
_HINT = (
    "Save the answers of /security/secureScores and /security/secureScoreControlProfiles as .json files below `path`."
)
FILE_HINT = "Save this file again, or take it out of the folder: all others are read, and nothing counts as removed."
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".zip")
_PARTS = {"days": SCORES, "catalogue": PROFILES}


class FilesSource:
    """The days and the catalogue found in a folder (with its sub-folders) or a single file.

    The same day found twice: consistent copies count before inconsistent ones, then what was said later (the moments
    that the answer and the document carry), then the later file in natural order; detail lost in history is taken from
    an older copy with the same scores. `max_file_bytes` bounds a file once unpacked.
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

        What cannot be read leaves the rest: its part is partial, or both are, where nobody knows what it held. Raises
        Denied when there is nothing to read, Unavailable when the folder does not answer, and WrongTenant naming the
        file that belongs to another tenant.
        """
        return await folder.in_time(_THREADS, lambda: self._read(known), self._path)

    async def close(self) -> None:
        """Nothing to close."""

    def _read(self, known: Known) -> Snapshot:
        listing = folder.listing(self._path)
        print_of_all = folder.fingerprint(listing.files)
        days = _as_before(known, "days", print_of_all)
        catalogue = _as_before(known, "catalogue", print_of_all)
        if days is not None and catalogue is not None:
            return Snapshot(self.name, days, catalogue, known.pages)
        found = self._parse(listing.files)
        found.passed += listing.skipped
        notes = [Note("", text) for text in _passed_over(found.passed)]
        if not any((found.held.days, found.held.pages, found.faults, known.had_days, known.had_profiles)):
            why = "".join(f"; {note.text}" for note in notes[:SHOWN])
            raise Denied(f"no saved Graph responses in {self._path} ({len(listing.files)} files looked at){why}", _HINT)
        return self._snapshot(known, print_of_all, found, notes)

    def _snapshot(self, known: Known, print_of_all: str, found: "_Found", notes: list[Note]) -> Snapshot:
        odd: list[str] = []
        days = best_days(found.held, odd)
        odd += oddities(days)
        catalogue_notes = list(found.notes)
        profiles, lacks = best_catalogue(found.held, catalogue_notes)
        values: dict[str, tuple[Day, ...] | Mapping[str, Profile]] = {"days": days, "catalogue": profiles}
        had = {"days": known.had_days, "catalogue": known.had_profiles}
        parts: dict[str, tuple[Day, ...] | Mapping[str, Profile] | Absent] = {}
        partial: dict[str, Absent] = {}
        pages: dict[str, str] = {}
        for part, value in values.items():
            fault = _fault(found.faults.get(part, ())) or (lacks if part == "catalogue" else None)
            name = f"files/{part}"
            if value:
                parts[part] = value
                if fault is not None:
                    partial[part] = fault
            else:
                parts[part] = fault or self._missing(part, had=had[part])
            if value and fault is None:
                pages[name] = print_of_all
            elif not value and fault is None and not had[part]:
                pages[name] = _nothing_in(print_of_all)
            elif name in known.pages:
                pages[name] = known.pages[name]
        notes += [Note("days", text) for text in odd] + [Note("catalogue", text) for text in catalogue_notes]
        return Snapshot(
            self.name,
            parts["days"],  # type: ignore[arg-type]  # the two parts are made alike
            parts["catalogue"],  # type: ignore[arg-type]
            pages,
            notes=tuple(notes),
            partial=partial,
        )

    def _missing(self, part: str, *, had: bool) -> Absent:
        if had:
            what = f"{_PARTS[part]}: none left in {self._path}, although there were some"
            return Absent("empty_after_full", what, hint="Put the files back, or correct `path`: nothing was removed.")
        return Absent("not_read", f"{_PARTS[part]}: none among the files in {self._path}", hint=_HINT)

    def _parse(self, files: Mapping[str, Path]) -> "_Found":
        found = _Found()
        today = self._clock.now().date().isoformat()
        reader = Reader(self._max_file_bytes)
        place = 0
        for name, path in files.items():
            for label, body in reader.bodies(name, path):
                place += 1
                if isinstance(body, PartialRead):
                    found.unreadable(label, body, ours=_is_named_ours(label))
                else:
                    self._add(found, label, body, place, today)
        return found

    def _add(self, found: "_Found", label: str, body: bytes, place: int, today: str) -> None:
        """The documents of one answer, into what was found so far. Raises WrongTenant."""
        try:
            saved = shapes.saved(body, label)
        except PartialRead as error:
            printed = error.reason in ("not_understood", "truncated", "too_large") and shapes.names_ours(body)
            found.unreadable(label, kept(error), ours=_is_named_ours(label) or printed)
            return
        for lost, parts in saved.cut:
            found.lose(lost, parts)
        days = [doc for doc in saved.docs if shapes.is_day(doc)]
        profiles = [doc for doc in saved.docs if shapes.is_profile(doc)]
        if not days and not profiles and saved.cut:
            return
        if not days and not profiles and not saved.empty_catalogue:
            why = shapes.why_nothing(body, label)
            found.passed.append((label, why))
            if shapes.names_ours(body):
                found.lose(PartialRead(f"{label}: {why}", "not_understood", FILE_HINT), ("days", "catalogue"))
            return
        touched = [part for part, docs in (("days", days), ("catalogue", profiles)) if docs]
        odd = len(saved.docs) - len(days) - len(profiles)
        if odd:
            what = f"{label}: {odd} of {len(saved.docs)} entries are no secureScore and no secureScoreControlProfile"
            found.lose(PartialRead(what, "not_understood", FILE_HINT), touched)
        try:
            faults: list[PartialRead] = []
            found.held.add_days(parse_each_day(days, self._tenant_id, label, today, faults), place, today)
            found.lose_all(faults, ("days",))
            if profiles or saved.empty_catalogue:
                faults = []
                read = parse_profiles(profiles, self._tenant_id, label, faults)
                ends = saved.listed and not saved.more
                found.held.add_page(Page(label, place, read.profiles, ends))
                found.notes += read.notes
                found.lose_all(faults, ("catalogue",))
        except PartialRead as error:  # too many of them
            found.lose(kept(error), touched)


@define
class _Found:
    """What the files held: `faults` by the part they spoil, `passed` over with the reason, `notes` of the catalogue."""

    held: Held = Factory(Held)
    faults: dict[str, list[PartialRead]] = Factory(dict)
    passed: list[tuple[str, str]] = Factory(list)
    notes: list[str] = Factory(list)

    def lose(self, error: PartialRead, parts: Sequence[str]) -> None:
        for part in parts:
            self.faults.setdefault(part, []).append(error)

    def lose_all(self, errors: Sequence[PartialRead], parts: Sequence[str]) -> None:
        for error in errors:
            self.lose(error, parts)

    def unreadable(self, label: str, error: PartialRead, *, ours: bool) -> None:
        """What cannot be read spoils both parts, unless nothing says that it was an answer."""
        if ours:
            self.lose(error, ("days", "catalogue"))
        else:
            self.passed.append((label, error.what.removeprefix(f"{label}: ").removeprefix(f"{label} ")))


def _is_named_ours(label: str) -> bool:
    return label.casefold().endswith(_SUFFIXES)


def _fault(errors: Sequence[PartialRead]) -> Absent | None:
    """Why a part is not whole, in words: the first few files, and what to do about them."""
    if not errors:
        return None
    what = dict.fromkeys(error.what for error in errors)
    more = f"; and {len(what) - SHOWN} more" if len(what) > SHOWN else ""
    hints = dict.fromkeys(error.hint or FILE_HINT for error in errors)
    hint = " ".join(list(hints)[:2])
    if FILE_HINT not in hints:
        hint += " Or take it out of the folder: all others are read, and nothing counts as removed."
    return Absent(errors[0].reason, "; ".join(list(what)[:SHOWN]) + more, hint=hint)


def _passed_over(passed: Sequence[tuple[str, str]]) -> list[str]:
    """The files that were not taken, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for label, why in passed:
        by_reason.setdefault(why, []).append(label)
    return [f"not taken: {some(labels, 10)} ({why})" for why, labels in by_reason.items()]


def _nothing_in(print_of_all: str) -> str:
    return f"none:{print_of_all}"


def _as_before(known: Known, part: str, print_of_all: str) -> Unchanged | Absent | None:
    """What an unread part must be when the files are those of the last read; None when they have to be parsed."""
    before = known.pages.get(f"files/{part}")
    if before == print_of_all:
        return Unchanged()
    if before == _nothing_in(print_of_all):
        return Absent("not_read", f"{part}: none among the files", hint=_HINT)
    return None
