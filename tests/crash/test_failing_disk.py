"""The disk fails while the real connector works: writes, half writes, syncs that lie afterwards, no space.

Nothing is lost, no id has two contents, and what comes twice is what a batch under way may bring. When the disk is well
again, all goes on without a hand. Everything the connector writes is on that disk: its state and the file sink's file.
"""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.crash.faults import FailingDisk
from tests.crash.scene import STORES
from tests.crash.soak import Round, beginning
from tests.fakes.daemon import securescore

FAULTS = {
    "writes": {"no_write": 150, "half_write": 300},
    "syncs": {"no_sync": 600},
    "space": {"no_space": 400},
    "all": {"no_write": 60, "half_write": 150, "no_sync": 200, "no_space": 60},
}


OFTEN = {name: 5 * chance for name, chance in FAULTS["all"].items()}
FAILURES = 12
LIMIT_S = 90.0


async def lives(round_: Round, disk: FailingDisk, faults: dict[str, int], most: int) -> int:
    """`run` until the disk has failed so often, begun again whenever it ends; how often it ended by itself."""
    ended, process = 0, await securescore(round_.home, "run", env=disk.env())
    disk.fail(**faults)
    until = time.monotonic() + LIMIT_S
    while sum(disk.failures().values()) < most and time.monotonic() < until:
        await asyncio.sleep(0.1)
        await round_.clock.advance(1800)
        if process.returncode is not None:
            await process.communicate()
            ended += 1
            process = await securescore(round_.home, "run", env=disk.env())
    disk.heal()
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), 60)
    return ended


async def visits(round_: Round, disk: FailingDisk, faults: dict[str, int], most: int) -> set[int]:
    """`once` again and again until the disk has failed so often; how it ended."""
    codes, until = set[int](), time.monotonic() + LIMIT_S
    disk.fail(**faults)
    while sum(disk.failures().values()) < most and time.monotonic() < until:
        process = await securescore(round_.home, "once", env=disk.env())
        await asyncio.wait_for(process.communicate(), 90)
        codes.add(process.returncode or 0)
        await round_.clock.advance(7200)
    disk.heal()
    return codes


@pytest.mark.parametrize("store", STORES)
async def test_a_failing_disk_fails_once_with_a_word_and_loses_nothing(tmp_path: Path, store: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    disk = FailingDisk.below(home, tmp_path)
    async with beginning(home, store, seed=8) as round_:
        codes = await visits(round_, disk, OFTEN, FAILURES)
        assert codes <= {0, 1, 3}, "done, failed with a word, or done in part: never a crash"
        assert codes - {0}, "and never as if nothing had been"
        process = await securescore(home, "once")
        said = await process.communicate()
        assert process.returncode == 0, said
        await round_.judge()
    assert round_.figures.good(), round_.figures


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_failing_disk_loses_nothing_and_the_daemon_recovers(tmp_path: Path, store: str, kind: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    disk = FailingDisk.below(home, tmp_path)
    async with beginning(home, store, seed=7) as round_:
        await lives(round_, disk, FAULTS[kind], FAILURES)
        await round_.last_life()
        await round_.judge()
    assert sum(disk.failures().values()) >= FAILURES
    assert round_.figures.good(), round_.figures
