"""The disk fails while the real connector works: writes, half writes, syncs that lie afterwards, no space.

Nothing is lost, no id has two contents, and what comes twice is what a batch under way may bring. The daemon stays, and
when the disk is well again all goes on without a hand. Everything it writes is on that disk: its state and the file
sink's file.
"""

import asyncio
import time
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from tests.crash.faults import FailingDisk
from tests.crash.scene import STORES
from tests.crash.soak import Round, beginning
from tests.fakes.daemon import securescore

FAULTS = {
    "writes": {"no_write": 500, "half_write": 900},
    "syncs": {"no_sync": 1800},
    "space": {"no_space": 1200},
    "all": {"no_write": 200, "half_write": 500, "no_sync": 600, "no_space": 200},
}


FAILURES, AT_LEAST = 12, 3
"""How often the disk is to fail, and how often it must have failed when the time is over: who waits asks it rarely."""
LIMIT_S = 20.0


async def fail_for_a_while(round_: Round, disk: FailingDisk, process: Process) -> None:
    """Time goes on while the disk fails as it is set to, until it has done so often enough; then it heals."""
    until = time.monotonic() + LIMIT_S
    while sum(disk.failures().values()) < FAILURES and time.monotonic() < until:
        assert process.returncode is None, (await process.communicate())[1].decode()
        await asyncio.sleep(0.1)
        await round_.clock.advance(1800)
    disk.heal()


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
        codes = await visits(round_, disk, FAULTS["all"], FAILURES)
        assert codes <= {0, 1, 3}, "done, failed with a word, or done in part: never a crash"
        assert codes - {0}, "and never as if nothing had been"
        process = await securescore(home, "once")
        said = await process.communicate()
        assert process.returncode == 0, said
        await round_.judge()
    assert round_.figures.good(), round_.figures


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", FAULTS)
async def test_a_failing_disk_ends_no_daemon_and_loses_nothing(tmp_path: Path, store: str, kind: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    disk = FailingDisk.below(home, tmp_path)
    async with beginning(home, store, seed=7) as round_:
        disk.fail(**FAULTS[kind])
        process = await securescore(home, "run", env=disk.env())
        await fail_for_a_while(round_, disk, process)
        await round_.to_rest(process)
        await round_.judge()
    assert sum(disk.failures().values()) >= AT_LEAST
    assert round_.figures.good(), round_.figures
