"""Who works and who waits: notes of many are written at one moment, and nobody waits in vain or for long."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from attrs import Factory, define

from connector.clock import SimulatedClock
from connector.observe import places as rules
from connector.observe.places import PATIENCE_S, TOGETHER, Places
from connector.stores.sqlite_together import MAX_WISHES

NOW = datetime(2030, 1, 10, 12, tzinfo=UTC)


@define
class Polls:
    """Polls that read until they are told to end, and then have a note to write; `written` is when each wrote it."""

    places: Places
    clock: SimulatedClock
    written: dict[int, float] = Factory(dict)
    tasks: list[asyncio.Task[None]] = Factory(list)

    async def begin(self, *, note: bool = True) -> Callable[[], None]:
        """Begin one; what is returned ends its reading."""
        read, number = asyncio.Event(), len(self.tasks)
        self.places.begin()
        self.tasks.append(asyncio.create_task(self._poll(number, read, note=note)))
        return read.set

    async def _poll(self, number: int, read: asyncio.Event, *, note: bool) -> None:
        try:
            await read.wait()
            if note:
                await self.places.wait()
                self.written[number] = (self.clock.now() - NOW).total_seconds()
        finally:
            self.places.leave()


@pytest.fixture
def polls() -> Polls:
    clock = SimulatedClock(NOW)
    return Polls(Places(clock), clock)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_as_many_wait_as_one_transaction_takes() -> None:
    assert TOGETHER == MAX_WISHES


async def test_alone_nobody_waits(polls: Polls) -> None:
    (await polls.begin())()
    await settled()
    assert polls.written == {0: 0}
    assert (polls.places.at_work, polls.places.waiting) == (0, 0)


async def test_they_wait_for_the_last_one_at_work(polls: Polls) -> None:
    first, second, third = [await polls.begin() for _ in range(3)]
    first()
    second()
    await settled()
    assert polls.written == {}
    assert (polls.places.at_work, polls.places.waiting) == (1, 2)
    third()
    await settled()
    assert polls.written == {0: 0, 1: 0, 2: 0}
    assert (polls.places.at_work, polls.places.waiting) == (0, 0)


async def test_one_that_ends_without_a_note_is_not_waited_for(polls: Polls) -> None:
    first, second = await polls.begin(), await polls.begin(note=False)
    first()
    await settled()
    assert polls.written == {}
    second()
    await settled()
    assert polls.written == {0: 0}


async def test_the_wait_is_short_whoever_is_at_work(polls: Polls) -> None:
    first, second, _slow = [await polls.begin() for _ in range(3)]
    first()
    await settled()
    await polls.clock.advance(PATIENCE_S / 2)
    second()
    await settled()
    await polls.clock.advance(PATIENCE_S / 2 - 0.01)
    await settled()
    assert polls.written == {}
    await polls.clock.advance(0.01)
    await settled()
    assert polls.written == {0: PATIENCE_S, 1: PATIENCE_S}
    third = await polls.begin()  # and the next ones wait anew, no shorter
    third()
    await settled()
    await polls.clock.advance(PATIENCE_S - 0.01)
    assert 3 not in polls.written
    await polls.clock.advance(0.01)
    await settled()
    assert polls.written[3] == 2 * PATIENCE_S


async def test_so_many_do_not_wait_for_more(polls: Polls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "TOGETHER", 3)
    ends = [await polls.begin() for _ in range(5)]
    for end in ends[:2]:
        end()
    await settled()
    assert polls.written == {}
    ends[2]()
    await settled()
    assert set(polls.written) == {0, 1, 2}
    ends[3]()
    await settled()
    assert 3 not in polls.written


async def test_who_comes_soon_is_waited_for(polls: Polls) -> None:
    polls.places.soon = lambda within_s: within_s >= PATIENCE_S
    (await polls.begin())()
    await settled()
    assert polls.written == {}
    await polls.clock.advance(PATIENCE_S)
    await settled()
    assert polls.written == {0: PATIENCE_S}


async def test_a_commit_with_events_brings_along_who_waits(polls: Polls) -> None:
    first, _ = await polls.begin(), await polls.begin()
    first()
    await settled()
    assert polls.written == {}
    await polls.places.bring_along()
    assert polls.written == {0: 0}  # before the caller goes on


async def test_who_waits_has_given_up_its_place(polls: Polls) -> None:
    first, _ = await polls.begin(), await polls.begin()
    took = asyncio.create_task(polls.places.take(2))
    await settled()
    assert not took.done()
    first()
    await settled()
    assert took.done()
    assert (polls.places.at_work, polls.places.waiting) == (2, 1)


async def test_who_asks_for_a_place_is_waited_for(polls: Polls) -> None:
    end = await polls.begin()
    took = asyncio.create_task(polls.places.take(1))
    await settled()
    end()
    await settled()
    assert took.done()
    assert polls.written == {}


async def test_at_the_end_nobody_waits(polls: Polls) -> None:
    first, second, _ = [await polls.begin() for _ in range(3)]
    first()
    await settled()
    polls.places.close()
    await settled()
    assert polls.written == {0: 0}
    second()
    await settled()
    assert polls.written == {0: 0, 1: 0}


async def test_one_that_is_cut_while_it_waits_leaves_nobody_waiting(polls: Polls) -> None:
    first, second, third = [await polls.begin() for _ in range(3)]
    first()
    second()
    await settled()
    polls.tasks[0].cancel()
    await settled()
    assert polls.written == {1: 0}
    third()
    await settled()
    assert (polls.places.at_work, polls.places.waiting) == (0, 0)


async def test_a_poll_that_took_no_place_never_waits(polls: Polls) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(polls.places.wait(), polls.places.wait())
    assert (polls.places.at_work, polls.places.waiting) == (0, 0)
