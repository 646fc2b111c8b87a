"""The values in which it is said why points moved: a cause, its shares, and what is known beside two days. Pure.

Which cause a move has is found in explain.py and, for scores of resources, in resources.py.
"""

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

from connector.model import Control, Day, Profile
from connector.observe.diff import fixed

ROUNDING = 0.01
"""Points are rounded to hundredths, so that a product of them is off by less than this."""


@frozen
class Context:
    """What is known besides the two days.

    `profiles` is the last known catalogue, `old_profiles` the one before this read (None at first contact);
    `catalogue_known` is False when this read brought none: causes that need one then stay silent.
    `catalogue_complete` is False when entries were only kept from earlier: their presence then proves nothing.
    `until` is the moment up to which what happened may show in the later day ("": its end).
    """

    before: Day
    after: Day
    profiles: Mapping[str, Profile] = Factory(dict)
    old_profiles: Mapping[str, Profile] | None = None
    catalogue_known: bool = True
    catalogue_complete: bool = True
    until: str = ""


@frozen
class Share:
    """The signed points of a move that one cause explains."""

    label: str
    points: float


@frozen
class Cause:
    """Why points moved. `parts` are what each cause explains, largest first; () where one explains all."""

    label: str
    confidence: str
    evidence: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    parts: tuple[Share, ...] = ()

    def as_data(self) -> dict[str, Any]:
        parts = [{"label": part.label, "points": part.points} for part in self.parts]
        return {
            "label": self.label,
            "confidence": self.confidence,
            "evidence": list(self.evidence),
            "also": list(self.also),
            **({"parts": parts} if parts else {}),
        }

    def shares(self, units: int) -> dict[str, int]:
        """What each cause explains of a move of so many units: the one named explains all, unless there are parts."""
        return {part.label: fixed(part.points) for part in self.parts} or {self.label: units}


UNKNOWN = Cause("unknown", "none")
NOTHING_MOVED = Cause("nothing_moved", "high")


def by_maximum(before: Control, after: Control, was: float | None, now: float | None) -> int | None:
    """The units of a move that follow from the maximum alone: the share of it that was reached stays, the maximum goes.

    None where that is all of it: scores come rounded to hundredths.
    """
    if was is None or was < 0.0001 or now is None or before.score is None or after.score is None:
        return None
    explained = fixed(before.score * now / was) - fixed(before.score)
    rest = fixed(after.score) - fixed(before.score) - explained
    return None if abs(rest) <= fixed(ROUNDING) * (1 + now / was) else explained


def plain(value: float | None) -> str:
    """A figure in evidence: no more decimals than it has, two at most."""
    return "unknown" if value is None else f"{round(value, 2):.12g}"
