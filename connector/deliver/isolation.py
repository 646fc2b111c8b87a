"""Which events are tried next after failures: pure decisions, values in, values out.

Nothing is sent or settled here and no clock is asked (delivery.py does that): what was tried comes in as values.

The picture. When batches keep failing they shrink to one event. When that one goes on failing, those behind it are
tried too, one by one (`Search`). What fails alone while one behind it is taken is no outage: it is held back and
retried alone (`Held`), after ever longer waits. It is parked when it has failed often enough while others of its tenant
were taken: a tenant may have a place of its own at the sink, and that place an outage of its own. What receipts keep
leaving out while they take later ones is held back, too (`left_out`). The queue moves on meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from connector.deliver.batch import Batch
from connector.errors import Denied, Unavailable
from connector.ports import Pending

FIRST, AGAIN = "first", "again"
"""The kinds of what is due (ports.Pending)."""
PAGE = 1_000
"""How many events are looked at in one turn; and so many may be held back."""
SHRINK_AFTER = 5
"""Failed turns in a row after which batches hold one event; they double with each success."""
ISOLATE_AFTER = 3
"""Failures of the first event alone, in a row, after which the one behind it is tried too, then the next, and so on."""
BEHIND, STRIDE, FAR = 50, 25, PAGE - 100
"""From this far behind so many are tried in one turn, as far as that; then from the start.

What goes on failing is most likely an outage: of the further searches only numbers 1, 3, 7, 15, … go that far.
"""
LEFT_OUT = 3
"""How often in a row a receipt may leave an event out, while it takes later ones, before that is held back."""
STUCK_AFTER = 3
PARK_AFTER = 10
"""Lone tries, each with others of its tenant taken since the last, until an event is reported stuck, or parked."""


def may_be_the_events(error: Unavailable | Denied | None) -> bool:
    """Whether a failure may be the event's: neither an operator's matter nor the sink's wish to be left alone."""
    return isinstance(error, Unavailable) and error.retry_after_s is None


def failed_alone(batch: Batch, failures: int) -> bool:
    """Whether the first event was refused by itself, after larger batches were. `failures` are the turns before."""
    return may_be_the_events(batch.error) and len(batch.records) == 1 and failures >= SHRINK_AFTER


# ---------------------------------------------------------------------------------------------- the search for an event


@frozen
class Search:
    """The search for an event that is taken, behind those that fail alone. A success ends it: it begins as `Search()`.

    `failures` counts those of the first event alone, `tried` the events behind it that this pass has tried, `passes`
    the passes that found none.
    """

    failures: int = 0
    tried: int = 0
    passes: int = 0

    @property
    def on(self) -> bool:
        """Whether events behind the first are tried."""
        return self.failures > ISOLATE_AFTER

    @property
    def reach(self) -> int:
        """How many events behind the first the next turn may need."""
        return self.tried + STRIDE + 1 if self.failures >= ISOLATE_AFTER else 0

    @property
    def tries(self) -> int:
        """How many events one turn may try."""
        return 1 if self.tried < BEHIND else STRIDE

    def failed_again(self) -> "Search":
        """The first event failed alone once more."""
        return evolve(self, failures=self.failures + 1)

    def resumed(self) -> "Search":
        """Where the next turn goes on: behind what was tried, or from the start when this pass went far enough."""
        far = FAR if self.passes & (self.passes + 1) == 0 else BEHIND
        return self._from_the_start() if self.tried >= far else self

    def stepped(self, *, ended: bool) -> "Search":
        """After one more try, or at the end of the queue."""
        return self._from_the_start() if ended else evolve(self, tried=self.tried + 1)

    def _from_the_start(self) -> "Search":
        return evolve(self, tried=0, passes=self.passes + 1)


# ------------------------------------------------------------------------------------------------- events held back


@frozen
class Held:
    """An event that is retried alone, from `until` on. `kind` is that of its delivery.

    `proofs` counts failures with others of its tenant taken since the one before; `taken` is how many had been by then.
    """

    event_id: str
    since: datetime
    until: datetime
    failures: int
    proofs: int
    taken: int
    kind: str = FIRST

    @property
    def stuck(self) -> bool:
        return self.proofs >= STUCK_AFTER

    @property
    def hopeless(self) -> bool:
        """Whether it is to be parked."""
        return self.proofs > PARK_AFTER

    def ripe(self, now: datetime) -> bool:
        """A clock that was set back makes it ripe, too."""
        return now >= self.until or now < self.since


def hold(
    event_id: str, was: Held | None, error: Unavailable | Denied | None, taken: int, now: datetime, wait_s: float
) -> Held:
    """An event held back for `wait_s`, after its failures before (`was`). `taken` counts what was of its tenant so far.

    What an operator must mend is no proof against the event.
    """
    until = now + timedelta(seconds=wait_s)
    if was is None:
        return Held(event_id, now, until, 1, 0, taken)
    proof = taken > was.taken and not isinstance(error, Denied)
    return Held(event_id, now, until, was.failures + 1, was.proofs + proof, taken)


def still_due(held: Mapping[int, Held], due: Sequence[Pending], kind: str, *, complete: bool) -> dict[int, Held]:
    """Without what of this kind is no longer due (released, forgotten).

    Unless `complete`, more may be due than was looked at.
    """
    there = {p.seq for p in due}
    last = max(there, default=0)
    return {
        seq: kept for seq, kept in held.items() if kept.kind != kind or seq in there or not (complete or seq < last)
    }


def split(due: Sequence[Pending], held: Mapping[int, Held], now: datetime) -> tuple[list[Pending], Pending | None]:
    """What is not held back, in order; and the first of those held back whose time has come."""
    fresh = [p for p in due if p.seq not in held]
    lone = next((p for p in due if p.seq in held and held[p.seq].ripe(now)), None)
    return fresh, lone


def left_out(batch: Batch, before: Mapping[int, int]) -> dict[int, int]:
    """How often in a row receipts have left events out although they took or refused a later one of the same batch."""
    last = max((n for n, p in enumerate(batch.pending) if batch.answered(p)), default=0)
    return {p.seq: before.get(p.seq, 0) + 1 for p in batch.pending[:last] if not batch.answered(p)}
