"""Bodies of many records: how many fit in one, and how one that was refused is cut.

Pure. What a record is in a body, and what a refusal means, is each sink's own; nothing here knows a receiver.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from attrs import Factory, define


class Line(Protocol):
    """Anything with the octets that one record has in a body."""

    @property
    def data(self) -> bytes: ...


_Line = TypeVar("_Line", bound=Line)
_Item = TypeVar("_Item")


def packed(lines: Iterable[_Line], max_bytes: int, *, brackets: int = 0) -> list[list[_Line]]:
    """The lines in batches whose bodies have at most `max_bytes`, exactly counted; a larger line goes alone.

    One octet stands between two lines; `brackets` octets stand around all of them.
    """
    batches: list[list[_Line]] = []
    room = -1
    for each in lines:
        room -= len(each.data) + 1
        if room < 0:
            batches.append([])
            room = max_bytes - brackets - len(each.data)
        batches[-1].append(each)
    return batches


def parts(batch: Sequence[_Item], number: int | None = None) -> list[Sequence[_Item]]:
    """A refused batch of two or more in smaller ones, in order: its halves, or cut around what a number may mean."""
    named = _meant(batch, number)
    if not named:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    cuts = sorted({0, *named, named[-1] + 1, len(batch)})
    return [batch[start:end] for start, end in pairwise(cuts)]


def _meant(batch: Sequence[_Item], number: int | None) -> list[int]:
    """The places, from 0, that a number may mean, counted from 0 or from 1; none when it lies outside the batch."""
    return [] if number is None else [place for place in (number - 1, number) if 0 <= place < len(batch)]


def last_first(todo: deque[Sequence[_Item]]) -> None:
    """Put the very last item of what is left in front, by itself.

    After many refusals in a row it tells, for one request instead of hundreds, whether all are bad or those in front.
    """
    last = todo.pop()
    if len(last) > 1:
        todo.append(last[:-1])
    todo.appendleft(last[-1:])


class Named(Line, Protocol):
    """A line that is known by its event's id."""

    @property
    def event_id(self) -> str: ...


_Named = TypeVar("_Named", bound=Named)


@define
class Numbers:
    """What a receiver's numbers for the line it dislikes are worth: followed until one led to a line that was taken.

    The number says where to cut a refused body first, nothing else. `parts` is asked after a refusal, and `judged` is
    told of each body that was taken or refused.
    """

    _followed: bool = True
    _named: set[str] = Factory(set)  # what the last number may have meant, not judged alone yet

    def parts(self, batch: Sequence[_Named], number: int | None) -> list[Sequence[_Named]]:
        number = number if self._followed else None
        self._named = {batch[place].event_id for place in _meant(batch, number)}
        return parts(batch, number)

    def judged(self, batch: Sequence[Named], *, taken: bool) -> None:
        ids = {each.event_id for each in batch}
        if not self._named:
            return
        if taken:
            self._named -= ids
            self._followed = bool(self._named)
        else:
            self._followed = len(batch) == 1 and ids <= self._named
            self._named = set()

    def forget(self) -> None:
        """The next body has nothing to do with the last number."""
        self._named = set()
