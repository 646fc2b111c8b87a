"""The power fails after any write of a whole life: two daemons that are stopped, days, commands, a retention.

SECURESCORE_CRASH_STATES says how many disks for each store and model. Set SECURESCORE_CRASH_REPORT to a file for the
figures.
"""

import os
from pathlib import Path

import pytest

from tests.crash.disk import MODELS, Disk
from tests.crash.power_loss import GONE_ON, lose_power
from tests.crash.scene import DAY_S, STORES, recorded

STATES = int(os.environ.get("SECURESCORE_CRASH_STATES", "1000"))


@pytest.mark.parametrize("store", STORES)
async def test_a_power_cut_at_any_moment_of_a_life(scratch: Path, store: str) -> None:
    async with recorded(scratch, store) as scene:
        start = {model: Disk.holding(scene.folder, model) for model in MODELS}
        await scene.life(days=3)
        await scene.clock.advance(DAY_S)
        await scene.command("once", "--no-deliver")
        await scene.command("once")
        await scene.life(days=2)
        figures = await lose_power(scene, start, STATES, scratch, go=True)
    if report := os.environ.get("SECURESCORE_CRASH_REPORT"):
        with Path(report).open("a") as out:
            out.write(f"{figures}\n")
    assert figures.states == STATES * len(MODELS)
    assert figures.gone_on >= figures.states // GONE_ON
