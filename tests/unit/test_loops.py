"""The running application's own judgement of its loops: stuck, or rightly waiting."""

import asyncio
from typing import Any

import pytest

from connector.delivery import Outcome
from connector.loops import STALLED_OTHER_S, STALLED_S, App
from tests.fake_graph import JumpClock
from tests.fakes.sink import FakeSink, delivery


def app(**fields: Any) -> App:
    """An application of which only the loops are looked at."""
    parts = dict.fromkeys(("config", "store", "poller", "upkeep", "board"))
    return App(**{**parts, "clock": JumpClock(), "concurrency": 1, "deliveries": {}, **fields})


@pytest.mark.parametrize(
    ("waited_s", "wish_s", "stuck"),
    [
        (STALLED_S["deliver"] - 10, 0.0, False),
        (STALLED_S["deliver"] + 10, 0.0, True),
        (3600.0, 3600.0, False),  # the server asked for an hour: the watchdog must not end the daemon for that
        (3600.0 + STALLED_S["deliver"] + 10, 3600.0, True),
    ],
)
async def test_a_sink_that_waits_as_asked_is_not_stuck(waited_s: float, wish_s: float, stuck: bool) -> None:
    loop = delivery(None, FakeSink(), JumpClock())
    loop.last = Outcome("siem", "unavailable", wait_s=wish_s)
    found = app(deliveries={"siem": loop})
    found._moved["deliver:siem"] = (asyncio.get_running_loop().time() - waited_s, loop.last)
    assert found.stalled() == (["deliver:siem"] if stuck else [])


async def test_every_other_loop_must_turn() -> None:
    found = app()
    found._moved["observe"] = (asyncio.get_running_loop().time() - STALLED_OTHER_S - 10, None)
    assert found.stalled() == ["observe"]
    found._moving("observe")
    assert found.stalled() == []
