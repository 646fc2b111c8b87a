"""When a sink's turns are taken: for ever until it is stopped, or until nothing is due or the time is over.

What a turn is: delivery.py. Tenants that are apart are worked at beside it, by tasks of their own: lanes.py.
"""

import asyncio
import logging
from datetime import timedelta

from attrs import evolve

from connector.clock import first_of
from connector.deliver.delivery import BACKOFF_BASE_S, IDLE_S, RETRY_LATER, RETRY_LATER_HINT, Delivery, Outcome
from connector.deliver.lanes import Lanes
from connector.errors import StoreError, Unavailable, exhausted
from connector.health.state_watch import StateWatch
from connector.ports import Clock

log = logging.getLogger("securescore.deliver")

IDLE_CAP_S = 15.0
"""A sink that waits looks this often, and ever less often before, for what an operator's command made due; commits
wake it."""
OUT_OF_TIME = "the time was over before everything had been offered"


async def drain(delivery: Delivery, deadline_s: float) -> Outcome:
    """Offer until nothing is due or the deadline has passed; transient failures are retried within it.

    The time is looked at before every batch and every wait, and a batch is no larger than may be over in time. Only a
    send that takes much longer than those before it outlives the deadline, and none of a tenant that is apart. What was
    backed off before is tried at once; only what a server wished stands.
    """
    clock = delivery.clock
    delivery.anew()
    end = clock.now() + timedelta(seconds=deadline_s)

    async def pause(seconds: float) -> bool:
        if seconds and seconds >= (end - clock.now()).total_seconds():
            return False
        await clock.sleep(seconds)
        return True

    async def turn_of(queue: Delivery) -> Outcome:
        return await queue.turn(end)

    async with Lanes(delivery, turn_of, pause, end=end) as lanes:
        turn = total = await delivery.turn(end, early=True)
        lanes.start()
        while turn.state != "idle" and await pause(turn.wait_s) and delivery.has_time(end):
            turn = await delivery.turn(end)
            total = total.plus(turn)
            lanes.start()
        await lanes.ended()
    total = total.plus(lanes.total)
    if turn.state in ("unavailable", "denied"):
        return evolve(total, state=turn.state, error=turn.error, hint=turn.hint, wait_s=turn.wait_s)
    if (said := delivery.words_of_those_apart()) is not None:
        state, error, hint = said
        return evolve(total, state=state, error=error, hint=hint)
    if turn.wait_s and turn.state == "ok":
        return evolve(total, state="unavailable", error=RETRY_LATER, hint=RETRY_LATER_HINT)
    if delivery.apart or (turn.state == "ok" and await delivery.has_more()):
        return evolve(total, state="unavailable", error=OUT_OF_TIME, hint=RETRY_LATER_HINT)
    return evolve(total, state="ok")


async def run(
    delivery: Delivery, stop: asyncio.Event, wake: asyncio.Event, watch: StateWatch, *, rest: bool = True
) -> Outcome:
    """Offer for ever, and say what was sent, parked and skipped. `wake` ends an idle wait.

    After `stop` what is due is offered until the sink falters; without `rest` the turn under way is the last one. A
    state that cannot be read is waited for, and `watch` knows of it. Raises a StateRefused.
    """
    name = f"deliver:{delivery.sink.name}"
    total = Outcome(delivery.sink.name, "ok")

    async def pause(seconds: float) -> bool:
        await _wait(delivery.clock, seconds, stop)
        return not stop.is_set()

    async def turn_of(queue: Delivery, *, early: bool = False) -> Outcome:
        nonlocal total
        try:
            turn = await _guarded_turn(queue, early=early)
        except StoreError as error:
            return queue.held_up(watch.failed(name, error))
        watch.well(name)
        total = total.plus(turn)
        return turn

    async with Lanes(delivery, turn_of, pause, caught_up=wake.set) as lanes:
        idle_s, early = IDLE_S, False
        while True:
            wake.clear()  # before looking: a commit after this look wakes the wait below
            turn = await turn_of(delivery, early=early)
            lanes.start()
            if stop.is_set() and (not rest or turn.state != "ok" or turn.wait_s):
                await lanes.ended()
                return total
            early = False
            idle_s = min(IDLE_CAP_S, idle_s * 2) if turn.state == "idle" else IDLE_S
            if turn.wait_s and turn.state == "idle":
                if await _wait(delivery.clock, idle_s, stop, wake):
                    idle_s = IDLE_S
            elif turn.wait_s and turn.state == "ok":
                await _wait(delivery.clock, turn.wait_s, stop)
            elif turn.wait_s:
                # What failed rests, and something else may be due before that is over.
                seconds = min(turn.wait_s, IDLE_CAP_S)
                woken = await _wait(delivery.clock, seconds, stop, wake)
                early = (woken or seconds < turn.wait_s) and not stop.is_set()


async def _guarded_turn(delivery: Delivery, *, early: bool = False) -> Outcome:
    """A turn whose own bug stops this sink for a while, and no other."""
    try:
        return await delivery.turn(early=early)
    except StoreError:
        raise
    except Exception as bug:
        error = exhausted(bug)
        if error is None:
            log.exception("deliver.bug", extra={"sink": delivery.sink.name})
            error = Unavailable(f"{type(bug).__name__} in the delivery loop", hint="this is a bug: report the log")
        failed = delivery.fail(error)
        return evolve(failed, wait_s=max(failed.wait_s, BACKOFF_BASE_S))


async def _wait(clock: Clock, seconds: float, stop: asyncio.Event, wake: asyncio.Event | None = None) -> bool:
    """Sleep until the time is over, or one of the events is set; whether `wake` was."""
    await first_of(clock.sleep(seconds), *(event.wait() for event in (stop, wake) if event is not None))
    return wake is not None and wake.is_set()
