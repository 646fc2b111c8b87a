"""The running application's own judgement of its loops: stuck, or rightly waiting."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from connector.deliver.delivery import Outcome
from connector.health.state_watch import StateWatch
from connector.health.upkeep import Seen
from connector.loops import STALLED_OTHER_S, STALLED_S, App
from connector.model import Receipt, Record, accept_all
from connector.ports import Start
from connector.stores.sqlite import open_store
from tests.contract.store_contract import add, events
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.sink import FakeSink, delivery


def app(**fields: Any) -> App:
    """An application of which only the loops are looked at."""
    parts = dict.fromkeys(("config", "store", "poller", "upkeep", "counters"))
    watch = StateWatch(JumpClock())
    return App(**{**parts, "clock": JumpClock(), "concurrency": 1, "deliveries": {}, "watch": watch, **fields})


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
    found._moved["upkeep"] = (asyncio.get_running_loop().time() - STALLED_OTHER_S - 10, None)
    assert found.stalled() == ["upkeep"]
    found._moving("upkeep")
    assert found.stalled() == []


class Quiet:
    """Upkeep that finds nothing."""

    async def look(self, *_: Any, **__: Any) -> Seen:
        return Seen(full=False)


async def test_once_offers_to_all_sinks_side_by_side() -> None:
    """The first sink answers only when the second has everything."""
    taken = asyncio.Event()

    class Slow(FakeSink):
        async def send(self, records: Sequence[Record]) -> Receipt:
            await asyncio.wait_for(taken.wait(), 10)
            return accept_all(records)

    class Quick(FakeSink):
        async def send(self, records: Sequence[Record]) -> Receipt:
            taken.set()
            return accept_all(records)

    with quick_folder() as folder:
        store = await open_store(folder / "state.db", clock=JumpClock())
        await store.attach([Start("slow"), Start("quick")])
        await add(store, events(range(3)))
        sinks = {"slow": Slow("slow"), "quick": Quick("quick")}
        found = app(
            deliveries={name: delivery(store, sink, JumpClock()) for name, sink in sinks.items()}, upkeep=Quiet()
        )
        outcomes = await found.deliver_once()
        await store.close()
    assert [(o.sink, o.state, o.sent) for o in outcomes] == [("slow", "ok", 3), ("quick", "ok", 3)]
