"""A bounded soak: `kill -9` of the real daemon at random moments, over both stores and four sinks (soak.py)."""

import os
from pathlib import Path

import pytest

from tests.crash.scene import STORES
from tests.crash.soak import one_round

KILLS = int(os.environ.get("SECURESCORE_KILLS", "25"))
"""For each store."""


@pytest.mark.parametrize("store", STORES)
async def test_kill_9_again_and_again_loses_nothing_and_changes_nothing(tmp_path: Path, store: str) -> None:
    figures = await one_round(tmp_path, store, KILLS, seed=23)
    assert figures.good(), figures
    assert figures.kills == KILLS
    assert figures.while_sending >= KILLS // 3, f"the kills must hit a daemon at work: {figures}"
    assert figures.events > 100
