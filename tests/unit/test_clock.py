"""Work that blocks: it takes no more threads than its own, and nobody waits for it longer than stated."""

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from connector.clock import Threads, parse_iso


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hanging work waits for; opened in the end, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


async def until(threads: Threads, *, busy: int) -> None:
    async with asyncio.timeout(10):
        while threads._busy != busy:
            await asyncio.sleep(0.001)


async def test_what_the_work_returns_or_raises_comes_back() -> None:
    threads = Threads("test", 2)
    assert await asyncio.gather(*(threads.run(partial(int, n), 10) for n in range(20))) == list(range(20))
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0, 10)
    assert threads.wait(lambda: "from a thread", 10) == "from a thread"
    await until(threads, busy=0)


async def test_no_more_at_once_than_there_are_places() -> None:
    threads, running, most = Threads("test", 3), set[int](), [0]

    def work(n: int) -> None:
        running.add(n)
        most.append(len(running))
        time.sleep(0.01)
        running.discard(n)

    await asyncio.gather(*(threads.run(partial(work, n), 10) for n in range(12)))
    assert max(most) == 3


async def test_work_that_hangs_is_waited_for_no_longer_than_stated(gate: threading.Event) -> None:
    threads = Threads("test", 2)
    with pytest.raises(TimeoutError, match=r"not over after 0\.05 s"):
        await threads.run(gate.wait, 0.05)
    with pytest.raises(TimeoutError, match=r"not over after 0\.05 s"):
        await asyncio.to_thread(threads.wait, gate.wait, 0.05)
    with pytest.raises(TimeoutError, match="2 earlier ones still hang"):  # at once
        await threads.run(lambda: None, 3600)
    gate.set()
    await until(threads, busy=0)
    assert await threads.run(lambda: "again", 10) == "again"


async def test_what_hangs_takes_one_place_however_often_it_is_tried(gate: threading.Event) -> None:
    threads = Threads("test", 2)
    with pytest.raises(TimeoutError, match="not over"):
        await threads.run(gate.wait, 0.05, "share")
    for _ in range(5):
        with pytest.raises(TimeoutError, match="the last try still hangs"):
            await threads.run(gate.wait, 3600, "share")
    assert await threads.run(lambda: "others go on", 10, "disk") == "others go on"


async def test_what_found_no_place_in_time_is_never_begun(gate: threading.Event) -> None:
    threads, begun = Threads("test", 1), list[str]()
    slow = asyncio.ensure_future(threads.run(gate.wait, 10))
    await until(threads, busy=1)
    with pytest.raises(TimeoutError):
        await threads.run(lambda: begun.append("late"), 0.05)
    gate.set()
    assert await slow is True
    await until(threads, busy=0)
    assert begun == []


async def test_who_is_cancelled_leaves_work_that_counts(gate: threading.Event) -> None:
    threads = Threads("test", 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await threads.run(gate.wait, 3600, "share")
    with pytest.raises(TimeoutError, match="the last try still hangs"):
        await threads.run(gate.wait, 3600, "share")


async def test_a_time_out_of_the_work_itself_is_its_own() -> None:
    def refused() -> None:
        raise TimeoutError(110, "Connection timed out")

    with pytest.raises(TimeoutError, match="Connection timed out"):
        await Threads("test", 1).run(refused, 10)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30", "now", ""])
def test_a_text_that_is_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_iso(text)
