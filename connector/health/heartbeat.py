"""The sign of life: one heartbeat a slot of time, with what was delivered in it; and the notice that a state is new.

Nothing is counted here (counters.py): the numbers come in.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import Factory, define

from connector.clock import iso
from connector.errors import Conflict
from connector.ids import event_id
from connector.model import Change
from connector.observe import memory
from connector.observe.events import Origin, stamp
from connector.observe.severity import SeverityRules
from connector.ports import Clock, State, Store

COMMIT_TRIES = 5
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def slot(now: datetime, interval_s: float) -> str:
    """The beginning of the slot that a moment lies in: the same for every process, whenever it started."""
    turns = (now - _EPOCH).total_seconds() // interval_s
    return iso(_EPOCH + timedelta(seconds=turns * interval_s))


def until_next_slot_s(now: datetime, interval_s: float) -> float:
    """Seconds until the next slot begins; never 0."""
    return interval_s - (now - _EPOCH).total_seconds() % interval_s


@define
class Heart:
    """Commits one `connector.heartbeat` a slot, under the connector's own scope (`key` in the store).

    `delivered` counts from `_since`: the latest heartbeat of this process, or its start; what an orderly stop left
    uncounted is added. After a crash it is missing, and `since` says so.
    """

    store: Store
    clock: Clock
    severity: SeverityRules
    interval_s: float
    instance: str
    key: str
    _since: str = ""
    _counted: Mapping[str, int] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self._since = iso(self.clock.now())

    async def beat(self, tenants: Mapping[str, int], delivered: Mapping[str, int]) -> bool:
        """Tell this slot's heartbeat unless it was told; whether it was told now. Raises StoreError.

        `delivered` is the total of each sink since the start of the process.
        """
        for _ in range(COMMIT_TRIES):
            now = self.clock.now()
            this = slot(now, self.interval_s)
            state = await self.store.load(self.key) or State()
            head = memory.head(state)
            # "Other than", not "later than": a clock that was ahead for a while must not silence us until then.
            if head.get("heartbeat") == this:
                return False
            origin = Origin(None, head.get("instance") or self.instance, source="connector")
            left = head.get("uncounted") or {"since": self._since, "delivered": {}}
            counted = self._sum(delivered, left["delivered"])
            change = heartbeat(this, origin.name, self.interval_s, left["since"], iso(now), tenants, counted)
            event = stamp(change, origin, iso(now), self.severity)
            values = {**head, "instance": origin.name, "heartbeat": this, "uncounted": None}
            try:
                await self.store.commit(self.key, memory.with_head(state, values), [event])
            except Conflict:
                continue  # another part of the connector told something at the same time
            self._since, self._counted = iso(now), dict(delivered)
            return True
        return False

    async def save_uncounted(self, delivered: Mapping[str, int]) -> None:
        """Before an orderly stop: leave what no heartbeat has told yet to the next process. Raises StoreError."""
        for _ in range(COMMIT_TRIES):
            state = await self.store.load(self.key)
            if state is None:
                return
            head = memory.head(state)
            left = head.get("uncounted") or {"since": self._since, "delivered": {}}
            uncounted = {"since": left["since"], "delivered": self._sum(delivered, left["delivered"])}
            try:
                await self.store.commit(self.key, memory.with_head(state, {**head, "uncounted": uncounted}), [])
            except Conflict:
                continue
            return

    def _sum(self, delivered: Mapping[str, int], left: Mapping[str, int]) -> dict[str, int]:
        names = sorted({*delivered, *left})
        return {n: delivered.get(n, 0) - self._counted.get(n, 0) + left.get(n, 0) for n in names}


def heartbeat(
    beat: str,
    instance: str,
    interval_s: float,
    since: str,
    until: str,
    tenants: Mapping[str, int],
    delivered: Mapping[str, int],
) -> Change:
    """The heartbeat of the slot that began at `beat`; `delivered` counts by sink, from `since` up to `until`."""
    counts = {state: n for state, n in tenants.items() if n or state != "pending"}
    words = f"{counts['ok']} tenants ok, {counts['stale']} stale, {counts['failing']} failing"
    data: dict[str, Any] = {
        "summary": f"Heartbeat: {words}",
        "instance": instance,
        "interval_s": int(interval_s),
        "since": since,
        "until": until,
        "tenants": counts,
        "delivered": dict(delivered),
    }
    return Change("connector.heartbeat", "connector", "", beat, "", data)


async def tell_new(store: Store, clock: Clock, severity: SeverityRules, instance: str, key: str) -> bool:
    """Commit the notice that the state is new, when it is: ids and history begin again. Raises StoreError, Conflict."""
    if await store.load(key) is not None or await store.tenants():
        return False
    origin, now = Origin(None, instance, source="connector"), iso(clock.now())
    data = {
        "summary": "The state is new: history is derived again and marked as backfilled",
        "reason": "state_new",
        "problem_id": event_id(origin.urn, "connector.problem", "state", "state_new", now),
        "first_seen": now,
        "repeat": 0,
        "detail": "no earlier state was found where the configuration points",
        "hint": "expected at the first start; otherwise restore the state from its backup before going on",
        "sink": None,
    }
    event = stamp(Change("connector.problem", "state", f"state_new#{now}", "0", "", data), origin, now, severity)
    await store.commit(key, memory.with_head(State(), {"instance": origin.name}), [event])
    return True
