"""The tasks of the tenants that are apart at one sink (apart.py): each works at its tenant's queue until it has caught
up, while the others' queue goes on (loop.py).

A few of them send at a time, each for a share of time: a queue that moves and one that hangs hold their place equally
long. What a turn is, is said in delivery.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Self

from attrs import define, field

from connector.clock import first_of
from connector.deliver.delivery import Delivery, Outcome

AT_ONCE = 4
"""So many tenants that are apart send at a time, at one sink."""
SLICE_S = 30.0
"""So long one of them goes on while its place takes what it is offered; then the next one has its turn."""


@define
class Lanes:
    """Made for as long as the sink is worked at; whoever leaves it ends its tasks.

    `turn` takes one turn of a queue. `pause` waits so many seconds and says whether to go on; when `end` is over none
    does. `total` is what they sent, parked and skipped. `caught_up` is called when one has.
    """

    delivery: Delivery
    turn: Callable[[Delivery], Awaitable[Outcome]]
    pause: Callable[[float], Awaitable[bool]]
    end: datetime | None = None
    caught_up: Callable[[], None] = lambda: None
    total: Outcome = field(init=False)
    _places: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(AT_ONCE), init=False)
    _tasks: dict[str, asyncio.Task[None]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.total = Outcome(self.delivery.sink.name, "ok")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def start(self) -> None:
        """A task for each tenant that has none. Raises what ended one, which is a StoreError."""
        self._collect()
        for tenant_id in self.delivery.apart:
            if tenant_id not in self._tasks:
                name = f"deliver:{self.delivery.sink.name}:{self.delivery.apart[tenant_id].name}"
                self._tasks[tenant_id] = asyncio.create_task(self._catch_up(tenant_id), name=name)

    async def ended(self) -> None:
        """Wait until each has caught up or does not go on, or `end` is over. Raises as `start`."""
        if self._tasks:
            waits: list[Coroutine[Any, Any, object]] = [asyncio.wait(self._tasks.values())]
            if self.end is not None:
                clock = self.delivery.clock
                waits.append(clock.sleep(max(0.0, (self.end - clock.now()).total_seconds())))
            await first_of(*waits)
        self._collect()

    def _collect(self) -> None:
        for tenant_id in [t for t, task in self._tasks.items() if task.done()]:
            self._tasks.pop(tenant_id).result()

    async def _catch_up(self, tenant_id: str) -> None:
        queue = self.delivery.apart[tenant_id].queue
        wait_s = queue.last.wait_s if queue.last is not None else 0.0
        while await self.pause(wait_s):
            async with self._places:
                turn = await self._slice(queue)
            if turn is None:
                return
            if turn.state == "idle":
                self.delivery.rejoin(tenant_id)
                self.caught_up()
                return
            wait_s = turn.wait_s

    async def _slice(self, queue: Delivery) -> Outcome | None:
        """Turns of one queue for as long as it may; the last one, or None where there was no time for any."""
        clock, turn = queue.clock, None
        end = clock.now() + timedelta(seconds=SLICE_S)
        while self.end is None or queue.has_time(self.end):
            turn = await self.turn(queue)
            self.total = self.total.plus(turn)
            if turn.state != "ok" or turn.wait_s or clock.now() >= end:
                break
        return turn
