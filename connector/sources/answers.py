"""Which of several saved copies counts: of a day the latest, of the catalogue the latest whole answer. Pure.

What a document says of time comes first, then the natural order of the files; never the order of texts.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from attrs import Factory, define, frozen

from connector.errors import Denied
from connector.ids import content_hash
from connector.model import Absent, Day, Profile
from connector.sources.days import said_at
from connector.sources.pages import PROFILES
from connector.sources.scalars import some

MAX_HELD = 2_000_000
"""Controls and profiles held at once, over all copies: some hundred bytes each."""
MAX_PAGE = 100
"""A higher number at the end of a name is no page but a year, or a count of days."""

REST_HINT = (
    "Save the answers that follow as well, up to the one without @odata.nextLink. Until then nothing counts as removed."
)
_DATE = re.compile(r"(?<![0-9])(20[0-9]{2})-?([01][0-9])-?([0-3][0-9])(?![0-9])")
_NUMBERED = re.compile(rf"{PROFILES}-([0-9]{{1,4}})\.json(?:\.gz)?", re.IGNORECASE)


@frozen
class _Copy:
    """The best copy so far of one day with one content. `rank`: consistent, when it was said, place in the files."""

    rank: tuple[bool, str, str, int, int]
    day: Day


@frozen
class Page:
    """The profiles of one file; `ends` = a list without a continuation. `place` is that of the file among all."""

    label: str
    place: int
    profiles: Mapping[str, Profile]
    ends: bool

    @property
    def taken(self) -> str:
        """The date in the path, "" without one; the folder's (as in the evidence archive) before the file's."""
        *folders, name = self.label.split("/")
        for part in (*reversed(folders), name):
            for year, month, day in reversed(_DATE.findall(part)):
                try:
                    return date(int(year), int(month), int(day)).isoformat()
                except ValueError:
                    continue
        return ""

    @property
    def number(self) -> int | None:
        """The number of a page of the evidence archive."""
        found = _NUMBERED.fullmatch(self.label.rpartition("/")[2])
        return int(found[1]) if found and int(found[1]) <= MAX_PAGE else None


@define
class Held:
    """What the files held so far: per day and content hash the best copy; catalogue pages by the date in their path."""

    days: dict[str, dict[str, _Copy]] = Factory(dict)
    pages: dict[str, list[Page]] = Factory(dict)
    held: int = 0

    def add_days(self, found: Sequence[tuple[Any, Day]], place: int, today: str) -> None:
        """The days of one file, each with its document. `place` is that of the file among all."""
        said = {id(doc): said_at(doc, today) for doc, _ in found}
        latest = max([*said.values(), *(day.day for _, day in found if day.day <= today)], default="")
        for index, (doc, day) in enumerate(found):
            rank = ("inconsistent" not in day.flags, latest, said[id(doc)], place, -index)
            contents = self.days.setdefault(day.day, {})
            key = content_hash(day)
            other = contents.get(key)
            if other is None:
                self._hold(len(day.controls))
                contents[key] = _Copy(rank, day)
            else:
                better = (day.detailed, rank) > (other.day.detailed, other.rank)
                contents[key] = _Copy(max(rank, other.rank), day if better else other.day)

    def add_page(self, page: Page) -> None:
        self._hold(len(page.profiles))
        mine = self.pages.setdefault(page.taken, [])
        mine.append(page)
        if page.taken and _missing(mine) is None:  # an archive holds one a day for years: keep only what may be used
            for older in [taken for taken in self.pages if taken and taken < page.taken]:
                self.held -= sum(len(old.profiles) for old in self.pages.pop(older))

    def _hold(self, more: int) -> None:
        self.held += more
        if self.held > MAX_HELD:
            raise Denied(f"more than {MAX_HELD} controls and profiles at once", "Let `path` name a smaller folder.")


def best_days(held: Held, notes: list[str]) -> tuple[Day, ...]:
    """One copy of each day, oldest first."""
    differing = [day for day, contents in sorted(held.days.items()) if len(contents) > 1]
    if differing:
        notes.append(f"copies of {some(differing)} have different scores; the latest counts")
    return tuple(max(held.days[day].values(), key=lambda copy: copy.rank).day for day in sorted(held.days))


def best_catalogue(held: Held, notes: list[str]) -> tuple[dict[str, Profile], Absent | None]:
    """The profiles of the latest whole answer, or of the latest that is not, and then why it is not."""
    answers = [answer for pages in held.pages.values() for answer in _answers(pages)]
    if not answers:
        return {}, None
    whole = [answer for answer in answers if _missing(answer) is None]
    chosen = max(whole or answers, key=_rank)
    rivals = [answer for answer in answers if answer is not chosen and "/" not in answer[0].label]
    if rivals and "/" not in chosen[0].label:
        notes.append(f"{len(rivals) + 1} catalogues were saved; the latest counts: {_names(chosen)}")
    later = [answer for answer in answers if answer not in whole and _rank(answer) > _rank(chosen)]
    if whole and later:
        notes.append(f"{_names(later[-1])}: not the whole catalogue, so that the one of {_names(chosen)} counts")
    profiles: dict[str, Profile] = {}
    for page in chosen:
        for name, profile in page.profiles.items():
            other = profiles.get(name)
            if other is None or _touched(profile) >= _touched(other):
                profiles[name] = profile
    lacks = _missing(chosen)
    if lacks is None:
        return profiles, None
    return profiles, Absent("incomplete", f"the catalogue is not whole: {lacks}", hint=REST_HINT)


def _answers(pages: Sequence[Page]) -> list[list[Page]]:
    """Pages of one date → the answers they are of: pages of one share next to nothing, two answers nearly all."""
    found: list[list[Page]] = []
    known: set[str] = set()
    for page in sorted(pages, key=lambda page: page.place):
        shared = len(known & page.profiles.keys())
        if not found or 2 * shared > min(len(known), len(page.profiles)):
            found.append([])
            known = set()
        found[-1].append(page)
        known |= page.profiles.keys()
    return found


def _missing(answer: Sequence[Page]) -> str | None:
    """What an answer lacks, in words; None when its pages reach the end and those of our archive have no hole."""
    numbers = {page.number for page in answer if page.number is not None}
    holes = sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)
    if holes:
        return f"page {some([str(n) for n in holes])} is not among the files beside {_names(answer)}"
    if any(page.ends for page in answer):
        return None
    return f"the end of its list is not among the files beside {_names(answer)}"


def _names(answer: Sequence[Page]) -> str:
    return some([page.label for page in answer], 3)


def _rank(answer: Sequence[Page]) -> tuple[str, str, int]:
    """When an answer was taken: by its path or its latest change of state; then by its place."""
    touched = max((_touched(profile)[0] for page in answer for profile in page.profiles.values()), default="")
    return max(answer[0].taken, touched[:10]), touched, max(page.place for page in answer)


def _touched(profile: Profile) -> tuple[str, int]:
    """Of two copies of a profile the later one knows a later state change."""
    return max((update.at or "" for update in profile.updates), default=""), len(profile.updates)
