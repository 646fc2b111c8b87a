"""Tenants whose own place at a sink (a rule, a token, an address) fails: each gets a delivery loop of its own until it
has caught up, and the others go on.

Which tenants are set apart, when each is tried again, and what is said of them. What such a loop does is said in
delivery.py; no I/O and no clock live here.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from attrs import Factory, define

from connector.deliver.batch import Batch
from connector.ports import Pending

SHOWN = 3
"""So many tenants are named; of further ones the number is told."""

Loop = TypeVar("Loop")


def tenants_of(pending: Iterable[Pending]) -> dict[str, str]:
    """The tenants of these events: id → name."""
    return {p.event.tenant_id: str((p.event.data.get("tenant") or {}).get("name") or "") for p in pending}


def all_with_own_place(batch: Batch, with_own_place: frozenset[str]) -> bool:
    """Whether every event of it is of a tenant with a place of its own: its failure may say nothing of the rest."""
    return bool(batch.pending) and all(p.event.tenant_id in with_own_place for p in batch.pending)


def left_out_whole(batch: Batch, with_own_place: frozenset[str]) -> list[Pending]:
    """What a receipt left out of tenants with a place of their own that took nothing, while others were taken."""
    if not batch.moved:
        return []
    answered = {p.event.tenant_id for p in batch.pending if batch.answered(p)}
    return [p for p in batch.left if p.event.tenant_id in with_own_place - answered]


@define
class ApartTenant(Generic[Loop]):
    """A tenant set apart: left alone from `since` until `until`; `state`, `error` and `hint` are its last words."""

    name: str
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
class ApartTenants(Generic[Loop]):
    """All tenants set apart, by id."""

    _of: dict[str, ApartTenant[Loop]] = Factory(dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, tenant_id: str) -> ApartTenant[Loop]:
        return self._of[tenant_id]

    def loops(self) -> list[Loop]:
        return [tenant.loop for tenant in self._of.values()]

    def note(
        self, tenant_id: str, name: str, loop: Loop, now: datetime, wait_s: float, said: tuple[str, str, str]
    ) -> None:
        """This tenant is apart, and is left alone for `wait_s`. `said` is (state, error, hint)."""
        self._of[tenant_id] = ApartTenant(name, loop, now, now + timedelta(seconds=wait_s), *said)

    def rejoin(self, tenant_id: str) -> None:
        """It has caught up: it goes with the others again."""
        del self._of[tenant_id]

    def ripe(self, now: datetime) -> str | None:
        """The tenant whose turn it is, the longest due first; None when all are to be left alone."""
        ripe = [tenant_id for tenant_id, tenant in self._of.items() if tenant.ripe(now)]
        return min(ripe, key=lambda tenant_id: self._of[tenant_id].until, default=None)

    def wait_s(self, now: datetime) -> float:
        """Until the next one is ripe."""
        return max(0.0, (min(tenant.until for tenant in self._of.values()) - now).total_seconds())

    def words(self) -> tuple[str, str, str] | None:
        """(state, error, hint) of all that fail; "denied" only when time alone will mend none. None when none fails."""
        failing = [tenant for tenant in self._of.values() if tenant.state in ("unavailable", "denied")]
        if not failing:
            return None
        failing.sort(key=lambda tenant: (tenant.state, tenant.name))  # "denied" first: what somebody must act on
        names = ", ".join(tenant.name for tenant in failing[:SHOWN])
        more = f" and {len(failing) - SHOWN} more" if len(failing) > SHOWN else ""
        plural = "s" if len(failing) > 1 else ""
        return failing[-1].state, f"tenant{plural} {names}{more}: {failing[0].error}", failing[0].hint
