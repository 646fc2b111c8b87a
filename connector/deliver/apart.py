"""Tenants whose own place at a sink fails: each goes a way of its own until it has caught up, and the others go on.

Which tenants are apart, when each is tried again, and what is said of them. What such a way *is* (a delivery loop), and
every decision about events, live in delivery.py; no I/O and no clock live here.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from attrs import Factory, define

SHOWN = 3
"""So many tenants are named; of further ones the number is told."""

Loop = TypeVar("Loop")


@define
class Lane(Generic[Loop]):
    """One tenant's own way. Left alone from `since` until `until`; `state`, `error` and `hint` are its last words."""

    tenant: str
    loop: Loop
    since: datetime
    until: datetime
    state: str
    error: str
    hint: str

    def ripe(self, now: datetime) -> bool:
        """A clock that was set back makes it ripe, too."""
        return now >= self.until or now < self.since


@define
class Lanes(Generic[Loop]):
    """Every tenant that is apart, by id."""

    _of: dict[str, Lane[Loop]] = Factory(dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def loop(self, tenant_id: str) -> Loop:
        return self._of[tenant_id].loop

    def note(
        self, tenant_id: str, tenant: str, loop: Loop, now: datetime, wait_s: float, said: tuple[str, str, str]
    ) -> None:
        """This tenant goes its own way, and is left alone for `wait_s`. `said` is (state, error, hint)."""
        self._of[tenant_id] = Lane(tenant, loop, now, now + timedelta(seconds=wait_s), *said)

    def close(self, tenant_id: str) -> None:
        """It has caught up: it goes with the others again."""
        del self._of[tenant_id]

    def name(self, tenant_id: str) -> str:
        return self._of[tenant_id].tenant

    def ripe(self, now: datetime) -> str | None:
        """The tenant whose turn it is, the longest due first; None when all are to be left alone."""
        ripe = [tenant_id for tenant_id, lane in self._of.items() if lane.ripe(now)]
        return min(ripe, key=lambda tenant_id: self._of[tenant_id].until, default=None)

    def wait_s(self, now: datetime) -> float:
        """Until the next one is ripe."""
        return max(0.0, (min(lane.until for lane in self._of.values()) - now).total_seconds())

    def words(self) -> tuple[str, str, str] | None:
        """(state, error, hint) of all that fail; "denied" only when time alone will mend none. None when none fails."""
        failing = [lane for lane in self._of.values() if lane.state in ("unavailable", "denied")]
        if not failing:
            return None
        failing.sort(key=lambda lane: (lane.state, lane.tenant))  # "denied" first: what somebody must act on
        names = ", ".join(lane.tenant for lane in failing[:SHOWN])
        more = f" and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
        plural = "s" if len(failing) > 1 else ""
        return failing[-1].state, f"tenant{plural} {names}{more}: {failing[0].error}", failing[0].hint
