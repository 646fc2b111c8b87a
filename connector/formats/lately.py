"""What was made of rows lately, by key: bounded, and what is asked for again and again stays. Pure.

For results of pure functions alone: whether one is found here, or made anew, is seen by nobody.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Lately(Generic[_K, _V]):
    """Two generations of half the limit each. What is asked for moves to the younger one; when that is full, the older
    one is forgotten, and it takes its place. That costs less than the order of all.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._young: dict[_K, _V] = {}
        self._old: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: _K, value: _V) -> None:
        if len(self._young) >= self._half:
            self._young, self._old = {}, self._young
        self._young[key] = value

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
