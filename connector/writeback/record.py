"""What is told of a change that an operator made: announced before it is sent, recorded as an event afterwards.

If the command dies in between, the next poll tells what it left (observe/pending_writes.py).
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from connector.errors import Conflict, StoreError
from connector.ids import digest
from connector.model import Change, Control, Event, StateUpdate
from connector.observe import memory, pending_writes
from connector.observe.changes import control_info, state_data
from connector.observe.events import Origin, stamp
from connector.observe.severity import SeverityRules
from connector.ports import State, Store
from connector.writeback.apply import Result

COMMIT_TRIES = 10


@frozen
class Operator:
    """Who did it: the operating system's user and host, and the name given with --operator."""

    os_user: str
    host: str
    name: str | None = None

    def __str__(self) -> str:
        user = f"{self.os_user}@{self.host}"
        return f"{self.name} ({user})" if self.name else user


def change_of(result: Result, operator: Operator, control: Control | None, now: str) -> Change:
    """The connector.write_back of a change that was sent, whatever came of it. `now` is ISO 8601 UTC text."""
    wish, before = result.plan.wanted, result.plan.before
    profile = result.profile or result.plan.profile
    assigned = before.assigned_to if wish.assigned_to is None else wish.assigned_to or None
    after = StateUpdate(wish.state, now, str(operator), wish.comment, assigned)
    data = {
        "summary": f"Write-back: {wish.control} {before.state} → {wish.state} ({result.outcome})",
        "before": state_data(before),
        "after": state_data(after),
        "outcome": result.outcome,
        "detail": result.detail,
        "operator": {"os_user": operator.os_user, "host": operator.host, "name": operator.name},
        "control": control_info(wish.control, control, profile),
    }
    entries = len(result.plan.profile.updates) if result.plan.profile else 0
    return Change(
        "connector.write_back",
        wish.control,
        f"{digest([before.state, before.at, before.by, before.comment, before.assigned_to])}#{entries}",
        f"{digest([wish.state, wish.comment, wish.assigned_to])}#{now}",
        "",
        data,
        occurred_at=now,
    )


async def announce(store: Store, tenant_id: str, change: Change) -> None:
    """Keep what is about to be sent, so that its event is told even if this process dies. Raises StoreError."""
    await _commit(store, tenant_id, lambda head: pending_writes.begun(head, change))


async def withdraw(store: Store, tenant_id: str, change: Change) -> None:
    """Nothing was sent after all. Raises StoreError."""
    await _commit(store, tenant_id, lambda head: pending_writes.ended(head, change))


async def record(
    store: Store, origin: Origin, change: Change, rules: SeverityRules, now: str, announced: Change
) -> Event:
    """Commit the event in place of what was announced. Raises StoreError."""
    assert origin.tenant_id is not None
    event = stamp(change, origin, now, rules)
    await _commit(store, origin.tenant_id, lambda head: pending_writes.ended(head, announced), event)
    return event


async def _commit(
    store: Store, tenant_id: str, values: Callable[[Mapping[str, Any]], Mapping[str, Any]], *events: Event
) -> None:
    """One commit beside whatever else is committing this tenant."""
    for _ in range(COMMIT_TRIES):
        state = (await store.heads([tenant_id]))[tenant_id] or State()
        try:
            await store.commit(tenant_id, memory.with_head(state, values(memory.head(state))), events)
        except Conflict:
            continue
        return
    raise StoreError("another process keeps committing this tenant", "stop it, or try again later")
