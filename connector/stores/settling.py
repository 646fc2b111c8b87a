"""What a settlement means: a pure decision, so that every store answers alike.

No I/O, no SQL, no clock: numbers and words in, a list of what to write out.

The picture: a sink has a position. Every event beyond it is due for the first time. Every event at or before it is
settled, unless an `Item` says otherwise: still due, offered again, parked or discarded. Thus the cost of a partial
receipt is one item for each event that was *not* taken, and a poisoned event never holds the others up.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from attrs import Factory, evolve, frozen

from connector.ports import Settlement

DUE = "due"
"""Offered for the first time and not yet settled."""
AGAIN = "again"
"""A retry of a parked event or a replay: offered behind first deliveries."""
PARKED = "parked"
"""Refused by the sink for good; kept until the operator decides."""
DISCARDED = "discarded"
"""Parked once and given up by the operator: settled, kept for the trace."""

ACCEPTED = "accepted"
SKIPPED = "skipped"
"""The event never concerned the sink (its filters)."""
NOT_OFFERED = "not_offered"
"""Committed before the sink appeared, or given up by `release`."""


@frozen
class Item:
    """Why an event at or before the position is not simply settled. `at` = when it was parked or discarded."""

    state: str
    attempts: int = 0
    first_sent: str | None = None
    at: str | None = None
    reason: str | None = None


@frozen
class Entry:
    """One line of the ledger: events of one batch with one outcome and one past. `spans` as written by `spans()`."""

    outcome: str
    first_sent: str | None
    attempts: int
    settled: str
    spans: str


@frozen
class Outcome:
    """What a store has to write: items to put and to drop, and lines to add to the ledger."""

    put: Mapping[int, Item] = Factory(dict)
    drop: tuple[int, ...] = ()
    entries: tuple[Entry, ...] = ()


def decide(fresh: Collection[int], items: Mapping[int, Item], settlement: Settlement) -> Outcome:
    """What becomes of one batch.

    `fresh` are the existing events from the sink's position up to the last one the settlement names: the position
    moves to its end, and those that the settlement does not settle stay due as items. `items` are the open ones (due
    or again) the settlement may name. Numbers in neither are no longer due (released, forgotten, settled) and ignored,
    so that a settlement may be repeated. An event both accepted and parked is parked: evidence is not dropped.
    """
    attempted = settlement.accepted.union(settlement.attempted)
    live = {
        seq: item
        for seq, item in items.items()
        if seq in attempted or seq in settlement.skipped or seq in settlement.parked
    }
    put: dict[int, Item] = {}
    settled: dict[tuple[str, str | None, int], list[int]] = {}
    new = Item(DUE)
    taken = settlement.accepted.difference(settlement.parked)
    at_once = [seq for seq in fresh if seq in taken]  # as nearly all are
    if at_once:
        settled[ACCEPTED, settlement.first_sent or settlement.at, 1] = at_once
    others = [(seq, new) for seq in fresh if seq not in taken] if len(at_once) < len(fresh) else []
    for seq, item in [*others, *live.items()]:
        attempts, first_sent = item.attempts, item.first_sent
        if seq in attempted:
            attempts += 1
            first_sent = first_sent or settlement.first_sent or settlement.at
        if seq in settlement.parked:
            put[seq] = Item(PARKED, attempts, first_sent, settlement.at, settlement.parked[seq])
        elif seq in settlement.accepted:
            settled.setdefault((ACCEPTED, first_sent, attempts), []).append(seq)
        elif seq in settlement.skipped:
            settled.setdefault((SKIPPED, first_sent, attempts), []).append(seq)
        else:
            put[seq] = evolve(item, attempts=attempts, first_sent=first_sent)
    return Outcome(
        put=put,
        drop=tuple(seq for seq in live if seq not in put),
        entries=tuple(
            Entry(outcome, first_sent, attempts, settlement.at, spans(seqs))
            for (outcome, first_sent, attempts), seqs in settled.items()
        ),
    )


def spans(seqs: Iterable[int]) -> str:
    """Numbers, each given once, as short text: [1, 2, 3, 7] → "1-3,7". Not empty."""
    ordered = sorted(seqs)
    if ordered[-1] - ordered[0] == len(ordered) - 1:  # nearly always
        return str(ordered[0]) if len(ordered) == 1 else f"{ordered[0]}-{ordered[-1]}"
    breaks = [(a, b) for a, b in pairwise(ordered) if b != a + 1]
    starts = [ordered[0], *(b for _, b in breaks)]
    ends = [*(a for a, _ in breaks), ordered[-1]]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def ranges(text: str) -> list[tuple[int, int]]:
    """The inclusive ranges of `spans()` text: "1-3,7" → [(1, 3), (7, 7)]. Raises ValueError."""
    bounds = [part.partition("-") for part in text.split(",")]
    return [(int(a), int(b or a)) for a, _, b in bounds]


def within(text: str, seq: int) -> bool:
    """Whether `spans()` text contains a number."""
    return any(a <= seq <= b for a, b in ranges(text))
