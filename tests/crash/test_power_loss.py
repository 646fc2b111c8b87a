"""The power fails after any write of two polls: what is found then is whole, and nothing that was promised is gone."""

from pathlib import Path

import pytest

from tests.crash.disk import MODELS, Disk
from tests.crash.power_loss import lose_power
from tests.crash.scene import DAY_S, STORES, recorded


@pytest.mark.parametrize("store", STORES)
async def test_a_power_cut_at_any_moment_of_two_polls(scratch: Path, store: str) -> None:
    async with recorded(scratch, store) as scene:
        start = {model: Disk.holding(scene.folder, model) for model in MODELS}
        await scene.command("once")
        await scene.clock.advance(DAY_S)
        await scene.command("once")
        figures = await lose_power(scene, start, 40, scratch, go=False)
    assert figures.states == 80
