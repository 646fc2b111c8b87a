"""The events that were just committed, as they were given: what a sink takes at once need not be read back.

No store is known here. Whoever fills it does so after the commit is durable, with what was really stored and under
numbers that are never used twice; then what is found here is what is stored, and what is not found is read. An event is
a value: nobody alters one that he has given or was given.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from connector.model import Event

MAX_BYTES = 8 * 1024**2
OBJECT_FACTOR = 5
"""An event in memory takes about so many times the octets of its JSON."""
RUN = 64
"""So many that were committed together are given up together, which costs next to nothing each."""

_K = TypeVar("_K", bound=Hashable)


class Recent(Generic[_K]):
    """Events by number, the oldest given up first. Used by one thread."""

    def __init__(self, max_bytes: int = MAX_BYTES, run: int = RUN) -> None:
        self._left = max_bytes
        self._run = run
        self._events: dict[_K, Event] = {}
        self._runs: deque[tuple[Sequence[_K], int]] = deque()

    def keep(self, numbers: Sequence[_K], events: Sequence[Event], octets: Sequence[int]) -> None:
        """Some that were committed together: the number of each, and the octets of its JSON."""
        self._events.update(zip(numbers, events, strict=True))
        for start in range(0, len(numbers), self._run):
            size = sum(octets[start : start + self._run]) * OBJECT_FACTOR
            self._runs.append((numbers[start : start + self._run], size))
            self._left -= size
        while self._left < 0:
            self._give_up()

    def let_go(self, needless: Callable[[_K], bool]) -> None:
        """Give up the oldest, run by run, for as long as the last one of a run is needed by nobody any more."""
        while self._runs and needless(self._runs[0][0][-1]):
            self._give_up()

    def get(self, number: _K) -> Event | None:
        return self._events.get(number)

    def those(self, numbers: Iterable[_K]) -> dict[_K, Event]:
        """Of these events those that are here."""
        events = self._events
        return {number: events[number] for number in numbers if number in events}

    def clear(self) -> None:
        """Forget all: something was deleted that may be among it."""
        self._left += sum(size for _, size in self._runs)
        self._events.clear()
        self._runs.clear()

    def _give_up(self) -> None:
        given_up, size = self._runs.popleft()
        for number in given_up:
            del self._events[number]
        self._left += size

    def __len__(self) -> int:
        return len(self._events)
