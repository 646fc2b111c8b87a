"""The events that were just committed, as they were given: what a sink takes at once need not be read back.

No store is known here. Whoever fills it does so after the commit is durable, with what was really stored and under
numbers that are never used twice; then what is found here is what is stored, and what is not found is read. An event is
a value: nobody alters one that he has given or was given.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from connector.model import Event

MAX_BYTES = 8 * 1024**2
OBJECT_FACTOR = 5
"""An event in memory takes about so many times the octets of its JSON."""

_K = TypeVar("_K", bound=Hashable)


class Recent(Generic[_K]):
    """Events by number, the oldest given up first. Used by one thread."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._left = max_bytes
        self._events: OrderedDict[_K, tuple[Event, int]] = OrderedDict()  # a dict walks over all it gave up before

    def keep(self, events: Iterable[tuple[_K, Event, int]]) -> None:
        """Each with its number and the octets of its JSON."""
        for number, event, octets in events:
            size = octets * OBJECT_FACTOR
            self._events[number] = event, size
            self._left -= size
        while self._left < 0:
            _, (_, size) = self._events.popitem(last=False)
            self._left += size

    def get(self, number: _K) -> Event | None:
        found = self._events.get(number)
        return None if found is None else found[0]

    def clear(self) -> None:
        """Forget all: something was deleted that may be among it."""
        self._left += sum(size for _, size in self._events.values())
        self._events.clear()

    def __len__(self) -> int:
        return len(self._events)
