"""When a sink's turns are taken: for ever until it is stopped, or until nothing is due. What a turn is: delivery.py."""

import asyncio
import logging
from datetime import timedelta

from attrs import evolve

from connector.clock import first_of
from connector.deliver.delivery import BACKOFF_BASE_S, IDLE_S, RETRY_LATER, RETRY_LATER_HINT, Delivery, Outcome
from connector.errors import StoreError, Unavailable
from connector.ports import Clock

log = logging.getLogger("securescore.deliver")

IDLE_CAP_S = 15.0
"""An idle sink looks this often, and ever less often, for what an operator's command made due; commits wake it."""


async def drain(delivery: Delivery, deadline_s: float) -> Outcome:
    """Offer until nothing is due or the deadline has passed; transient failures are retried within it."""
    clock = delivery.clock
    end = clock.now() + timedelta(seconds=deadline_s)
    total = Outcome(delivery.sink.name, "idle")
    while True:
        turn = await delivery.turn()
        total = evolve(
            turn,
            sent=total.sent + turn.sent,
            parked=total.parked + turn.parked,
            skipped=total.skipped + turn.skipped,
        )
        if turn.state == "idle":
            return evolve(total, state="ok")
        if turn.state == "ok" and not turn.wait_s:
            continue
        remaining_s = (end - clock.now()).total_seconds()
        if turn.state == "denied" or turn.wait_s >= remaining_s:
            if turn.state != "ok":
                return total
            return evolve(total, state="unavailable", error=RETRY_LATER, hint=RETRY_LATER_HINT)
        await clock.sleep(turn.wait_s)


async def run(delivery: Delivery, stop: asyncio.Event, wake: asyncio.Event) -> None:
    """Offer for ever. `wake` ends an idle wait; after `stop` what is due is offered until the sink falters."""
    idle_s = IDLE_S
    while True:
        wake.clear()  # before looking: a commit after this look wakes the wait below
        turn = await _guarded_turn(delivery)
        if stop.is_set() and (turn.state != "ok" or turn.wait_s):
            return
        idle_s = min(IDLE_CAP_S, idle_s * 2) if turn.state == "idle" else IDLE_S
        if turn.wait_s and turn.state == "idle":
            if await _wait(delivery.clock, idle_s, stop, wake):
                idle_s = IDLE_S
        elif turn.wait_s:
            # Where only single events or tenants are waiting, a commit may bring what others are to have at once.
            works = delivery.attempt == 0 and turn.state != "ok"
            await _wait(delivery.clock, turn.wait_s, stop, wake if works else None)


async def _guarded_turn(delivery: Delivery) -> Outcome:
    """A turn whose own bug stops this sink for a while, and no other."""
    try:
        return await delivery.turn()
    except StoreError:
        raise
    except Exception as bug:
        log.exception("deliver.bug", extra={"sink": delivery.sink.name})
        error = Unavailable(f"{type(bug).__name__} in the delivery loop", hint="this is a bug: report the log")
        failed = delivery.fail(error)
        return evolve(failed, wait_s=max(failed.wait_s, BACKOFF_BASE_S))


async def _wait(clock: Clock, seconds: float, stop: asyncio.Event, wake: asyncio.Event | None = None) -> bool:
    """Sleep until the time is over, or one of the events is set; whether `wake` was."""
    await first_of(clock.sleep(seconds), *(event.wait() for event in (stop, wake) if event is not None))
    return wake is not None and wake.is_set()
