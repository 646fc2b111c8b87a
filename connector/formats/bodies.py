"""Bodies of many records: how many fit in one, and how one that was refused is cut.

Pure. What a record is in a body, and what a refusal means, is each sink's own; nothing here knows a receiver.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar


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
    """A refused batch of two or more in smaller ones, in order: its halves, or cut around what a number may mean.

    A receiver that names the place of what it refuses may count from 0 or from 1 (`meant`), or be wrong: the number
    says where to cut first, nothing else.
    """
    named = meant(batch, number)
    if not named:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    cuts = sorted({0, *named, named[-1] + 1, len(batch)})
    return [batch[start:end] for start, end in pairwise(cuts)]


def meant(batch: Sequence[_Item], number: int | None) -> list[int]:
    """The places, from 0, that a receiver's number may mean; none when it lies outside the batch."""
    return [] if number is None else [place for place in (number - 1, number) if 0 <= place < len(batch)]
