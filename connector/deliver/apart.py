"""Tenants whose own place at a sink (a rule, a token, an address) fails: each gets a queue of its own until it has
caught up, and the others go on.

What of a batch says that a tenant is one of them, and what is said of all of them: values in, values out. They are set
apart by delivery.py and worked at by lanes.py.
"""

from collections.abc import Iterable

from connector.deliver.batch import Batch
from connector.ports import Pending

SHOWN = 3
"""So many tenants are named; of further ones the number is told."""


def tenants_of(pending: Iterable[Pending]) -> dict[str, str]:
    """The tenants of these events: id → name."""
    return {p.event.entry: str((p.event.data.get("tenant") or {}).get("name") or "") for p in pending}


def all_with_own_place(batch: Batch, with_own_place: frozenset[str]) -> bool:
    """Whether every event of it is of a tenant with a place of its own: its failure may say nothing of the rest."""
    return bool(batch.pending) and all(p.event.entry in with_own_place for p in batch.pending)


def left_out_whole(batch: Batch, with_own_place: frozenset[str]) -> list[Pending]:
    """What a receipt left out of tenants with a place of their own that took nothing, while others were taken."""
    if not (with_own_place and batch.left and batch.moved):
        return []
    answered = {p.event.entry for p in batch.pending if batch.answered(p)}
    return [p for p in batch.left if p.event.entry in with_own_place - answered]


def words(said: Iterable[tuple[str, str, str, str]]) -> tuple[str, str, str] | None:
    """(state, error, hint) of all that fail, from (state, name, error, hint) of each tenant; None when none fails.

    "denied" only when time alone will mend none.
    """
    failing = sorted(each for each in said if each[0] in ("unavailable", "denied"))
    if not failing:
        return None
    _, _, error, hint = failing[0]  # "denied" comes first: what somebody must act on
    names = ", ".join(name for _, name, _, _ in failing[:SHOWN])
    more = f" and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
    plural = "s" if len(failing) > 1 else ""
    return failing[-1][0], f"tenant{plural} {names}{more}: {error}", hint
