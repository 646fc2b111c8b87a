"""The running application's own judgement of its loops, stuck or rightly waiting; and one visit of all tenants."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from connector.config.values import TenantConfig
from connector.deliver.delivery import Outcome
from connector.errors import Unavailable
from connector.health.counters import Counters
from connector.health.state_watch import StateWatch
from connector.health.upkeep import Seen
from connector.loops import STALLED_OTHER_S, STALLED_S, App
from connector.model import Receipt, Record, accept_all
from connector.observe.poller import PollOutcome
from connector.observe.severity import SeverityRules
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
            await asyncio.wait_for(taken.wait(), 30)
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


class Polls:
    """A poller that commits two events a tenant, and waits after the first until a sink has something."""

    def __init__(self, store: Any, delivered: asyncio.Event) -> None:
        self.store, self.delivered, self.severity, self.storms = store, delivered, SeverityRules(()), None

    async def poll(self, tenant: TenantConfig) -> PollOutcome:
        at = int(tenant.name)
        await add(self.store, events(range(2 * at, 2 * at + 2)))
        await asyncio.wait_for(self.delivered.wait(), 30)
        return PollOutcome(tenant.name, "ok", events=2)


@asynccontextmanager
async def while_polling(sink: FakeSink, tenants: int, delivered: asyncio.Event) -> AsyncIterator[App]:
    """An application whose tenants commit one after another."""
    with quick_folder() as folder:
        clock = JumpClock()
        async with await open_store(folder / "state.db", clock=clock) as store:
            await store.attach([Start("siem")])
            config: Any = SimpleNamespace(
                tenants=tuple(
                    TenantConfig(name=str(n), tenant_id=f"{n:08d}-0000-4000-8000-000000000000") for n in range(tenants)
                )
            )
            upkeep: Any = Quiet()
            upkeep.instance = "here"
            yield app(
                config=config,
                store=store,
                poller=Polls(store, delivered),
                deliveries={"siem": delivery(store, sink, clock)},
                upkeep=upkeep,
                counters=Counters(tuple(t.name for t in config.tenants)),
            )


async def test_what_the_first_tenants_gave_rise_to_is_delivered_while_the_others_are_polled() -> None:
    """No poll ends before a sink has something; nothing is offered twice, and the totals are those of both parts."""
    delivered = asyncio.Event()
    sink = FakeSink()

    def take(records: Sequence[Record]) -> Receipt:
        delivered.set()
        return accept_all(records)

    sink.behave = take
    async with while_polling(sink, 5, delivered) as found:
        polls, taken = await found.poll_and_offer()
        assert [poll.status for poll in polls] == ["ok"] * 5
        (last,) = await found.deliver_once()
        assert (last.state, last.plus(taken["siem"]).sent) == ("ok", len(sink.got))
        assert len(set(sink.got)) == len(sink.got) >= 10
        assert (await found.store.stats()).sinks[0].backlog == 0


async def test_a_sink_that_failed_while_tenants_were_polled_has_its_whole_time_afterwards() -> None:
    """However long it has backed off by then: it comes back after the last poll, and gets everything."""
    tried = asyncio.Event()
    sink = FakeSink()

    def refuse(_: Sequence[Record]) -> Receipt:
        if len(sink.offered) > 12:
            tried.set()
        raise Unavailable("Connection refused")

    sink.behave = refuse
    async with while_polling(sink, 3, tried) as found:
        _, taken = await found.poll_and_offer()
        assert (taken["siem"].sent, sink.got) == (0, [])
        refusals = len(sink.offered)

        def back_soon(records: Sequence[Record]) -> Receipt:
            if len(sink.offered) < refusals + 3:
                raise Unavailable("Connection refused")
            return accept_all(records)

        sink.behave = back_soon
        (last,) = await found.deliver_once()
        assert (last.state, last.sent) == ("ok", len(sink.got))
        assert len(sink.got) >= 6


async def test_a_server_that_wants_to_be_left_alone_is_left_alone_after_the_polls_too() -> None:
    tried = asyncio.Event()
    sink = FakeSink()

    def refuse(_: Sequence[Record]) -> Receipt:
        tried.set()
        raise Unavailable("429", retry_after_s=1e6)

    sink.behave = refuse
    async with while_polling(sink, 2, tried) as found:
        await found.poll_and_offer()
        offered = len(sink.offered)
        (last,) = await found.deliver_once()
        assert (last.state, last.error, len(sink.offered)) == ("unavailable", "429", offered)
