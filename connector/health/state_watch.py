"""What the state refuses now, loop by loop: who waits how long before it tries again, and what is told of it.

Nothing is read, written or waited for here. It lives and ends with the process: where the state takes nothing, there is
no other place to remember that. What time does not heal is not kept but raised (errors.StateRefused).
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from attrs import define, evolve, field, frozen

from connector import backoff
from connector.clock import iso
from connector.errors import StateRefused, StoreError
from connector.ports import Clock
from connector.problems import Fault

log = logging.getLogger("securescore.state")

RETRY_BASE_S, RETRY_CAP_S = 1.0, 30.0
"""A freed disk is found within the second of these, whatever came before."""
TOLD_AFTER_S = 60.0
"""Trouble that was over sooner is weather; longer trouble is told as soon as the state takes the words."""


@frozen
class Trouble:
    """What one loop was refused. `until` is when it may try again, `tries` counts failures in a row."""

    what: str
    hint: str
    since: datetime
    until: datetime
    tries: int = 1


@define
class StateWatch:
    """Every loop's trouble with the state, by the loop's name."""

    clock: Clock
    dice: Random = field(factory=Random, repr=False)
    _open: dict[str, Trouble] = field(factory=dict)
    _over: tuple[Trouble, datetime] | None = None

    def failed(self, loop: str, error: StoreError) -> float:
        """Note that the state failed a loop; returns how many seconds that loop waits. Raises a StateRefused."""
        if isinstance(error, StateRefused):
            raise error
        now, was = self.clock.now(), self._open.get(loop)
        tries = was.tries + 1 if was else 1
        wait_s = RETRY_BASE_S / 2 + backoff.delay_s(tries - 1, RETRY_BASE_S, RETRY_CAP_S, self.dice)
        since = min(was.since, now) if was else now
        self._open[loop] = Trouble(error.what, error.hint, since, now + timedelta(seconds=wait_s), tries)
        facts = {"loop": loop, "error": error.what, "hint": error.hint, "wait_s": round(wait_s, 1)}
        log.error("state.unavailable", extra=facts)
        return wait_s

    def well(self, loop: str) -> None:
        """The state served this loop."""
        was = self._open.pop(loop, None)
        if was is None:
            return
        now = self.clock.now()
        log.info("state.available", extra={"loop": loop, "since": iso(was.since)})
        soon = now + timedelta(seconds=RETRY_BASE_S)  # what serves one may serve all
        self._open = {name: evolve(t, until=min(t.until, soon)) for name, t in self._open.items()}
        earlier = self._over[0].since if self._over else was.since
        self._over = (evolve(was, since=min(was.since, earlier)), now)

    def may_try(self, loop: str) -> bool:
        """Whether a loop may ask the state now. After a failure one may at a time, as soon as its wait is over."""
        was = self._open.get(loop)
        if was is None:
            return True
        now = self.clock.now()
        if now < was.until <= now + timedelta(seconds=2 * RETRY_CAP_S):  # not after a clock that jumped
            return False
        self._open[loop] = evolve(was, until=now + timedelta(seconds=RETRY_CAP_S))
        return True

    def wait_s(self, loop: str) -> float:
        """Seconds until a loop may try again; 0 when it may now."""
        was = self._open.get(loop)
        return 0.0 if was is None else max(0.0, (was.until - self.clock.now()).total_seconds())

    def trouble(self, loop: str) -> Trouble | None:
        """What a loop was refused last, while that lasts."""
        return self._open.get(loop)

    def words(self) -> list[str]:
        """What is wrong now, each fault once, oldest first."""
        return list(dict.fromkeys(t.what for t in sorted(self._open.values(), key=lambda t: t.since)))

    def told(self) -> None:
        """What was over has been told."""
        self._over = None

    def faults(self) -> Sequence[Fault]:
        """The fault to be told of it, if there is one: of trouble that lasts, or of one that ended just now."""
        now = self.clock.now()
        lasting = min(self._open.values(), key=lambda t: t.since, default=None)
        if lasting is not None and (now - lasting.since).total_seconds() >= TOLD_AFTER_S:
            return [_fault(lasting, "")]
        if self._over is not None:
            was, ended = self._over
            if (ended - was.since).total_seconds() >= TOLD_AFTER_S:
                return [_fault(was, iso(ended))]
        return []


def _fault(trouble: Trouble, ended: str) -> Fault:
    since = iso(trouble.since)
    span = f"from {since} to {ended}" if ended else f"since {since}"
    return Fault(
        "connector.problem",
        "state_unavailable",
        "state_access",
        f"Problem: the state took nothing {span}; nothing was observed meanwhile",
        detail=trouble.what,
        hint=trouble.hint or "see the disk of the state; the connector goes on by itself",
    )
