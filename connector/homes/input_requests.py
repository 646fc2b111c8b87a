"""What an input's settings ask for once: send again what was observed since a day, believe a refused day.

A setting stays as it is after it was done, so what was done is remembered in the connector's own state: a new day
asks anew, and a switch counts once each time it is turned on. Nothing is polled or sent here.
"""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from connector.errors import Conflict
from connector.health.upkeep import CONNECTOR
from connector.model import Event
from connector.observe import memory, units
from connector.ports import Query, State

TRIES = 5


class Kept(Protocol):
    """What is asked of a store (ports.Store, ports.Operator)."""

    async def load(self, tenant_id: str) -> State | None: ...

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State: ...

    async def replay(self, sink: str, query: Query) -> int: ...


@frozen
class InputRequests:
    """`resend_since` is a day (of observation); `accept` the switch "accept the next suspicious snapshot"."""

    resend_since: str | None = None
    accept: bool = False


async def fulfil(store: Kept, sinks: Sequence[str], tenant_ids: Sequence[str], requests: InputRequests) -> list[str]:
    """Do what is asked for and was not done yet; what was done, in words. Raises StoreError."""
    done = []
    known = memory.readable_head(await store.load(CONNECTOR))
    if requests.resend_since and requests.resend_since != known.get("resent_since"):
        since = Query(since=f"{requests.resend_since}T00:00:00Z")
        count = max([await store.replay(sink, since) for sink in sinks])
        done.append(f"{count} events observed since {requests.resend_since} are sent again, with the same ids")
        await _remember(store, "resent_since", requests.resend_since)
    elif not requests.resend_since and known.get("resent_since"):
        await _remember(store, "resent_since", None)
    if not requests.accept and known.get("accepted"):
        await _remember(store, "accepted", None)  # turned off: the next time it is on it counts again
    elif requests.accept and not known.get("accepted") and any([await _approve(store, each) for each in tenant_ids]):
        done.append("the refused day or catalogue is believed from now on; turn the switch off")
        await _remember(store, "accepted", True)
    return done


async def _approve(store: Kept, tenant_id: str) -> bool:
    """Whether something is being refused, and is approved now."""
    for _ in range(TRIES):
        state = await store.load(tenant_id)
        approved = units.approved(state)[0] if state is not None else None
        if approved is None:
            return False
        try:
            await store.commit(tenant_id, approved, [])
        except Conflict:
            continue
        return True
    return False


async def _remember(store: Kept, key: str, value: object) -> None:
    for _ in range(TRIES):
        state = await store.load(CONNECTOR) or State()
        values = {name: was for name, was in memory.head(state).items() if name not in (key, "format")}
        if value is not None:
            values[key] = value
        try:
            await store.commit(CONNECTOR, memory.with_head(state, values), [])
        except Conflict:
            continue
        return
