"""The books of a delivery to Splunk: outbox → mapping → HEC sink → a collector that misbehaves → settlement.

Whatever the collector does, in the end every event it can take is indexed and settled, every other one is parked with
the collector's words, and nothing is sent twice that need not be.
"""

import asyncio
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve, frozen
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore, Outcome
from connector.health.upkeep import SinkHealth
from connector.model import Event, Receipt, Record
from connector.net.client import Http
from connector.net.http import Wire
from connector.ports import Start, State
from connector.stores.sqlite import SqliteStore, open_store
from sinks.splunk import Collector, HecSink, Route
from tests.conftest import examples
from tests.fake_graph import JumpClock
from tests.fakes import hec
from tests.fakes.hec import NUMBERS, TEXTS, TOKEN, Fault, Splunk, Token
from tests.fakes.loopback import serve
from tests.fakes.sink import turn_of_all
from tests.golden import samples

TENANT = "11111111-1111-1111-1111-111111111111"
MAPPING = samples.mapping("splunk")
MEMORY = Path("/dev/shm")  # here thousands of commits wait for no disk


def event(n: int, tenants: int = 0) -> Event:
    """The n-th event; with `tenants`, of the tenant t0, t1, … whose turn it is."""
    found = samples.event("feed.gap", {"id": str(uuid.UUID(int=n)), "data.summary": f"event {n}"})
    if not tenants:
        return found
    whose = {"id": str(uuid.UUID(int=n % tenants)), "name": f"t{n % tenants}", "labels": {}}
    return evolve(found, data={**found.data, "tenant": whose})


def number(stored: hec.Stored) -> int:
    return uuid.UUID(stored.event["event_id"]).int


class Witness:
    """A sink with somebody beside it who notes which ids a receipt claims that cannot be searched at that moment."""

    def __init__(self, sink: HecSink, splunk: Splunk) -> None:
        self._sink, self._splunk = sink, splunk
        self.name, self.max_records, self.max_bytes = sink.name, sink.max_records, sink.max_bytes
        self.replay_window_s = sink.replay_window_s
        self.false: set[str] = set()

    async def send(self, records: Sequence[Record]) -> Receipt:
        receipt = await self._sink.send(records)
        self.false |= receipt.accepted - {stored.event["event_id"] for stored in self._splunk.indexed}
        return receipt

    async def probe(self) -> None:
        await self._sink.probe()

    async def close(self) -> None:
        await self._sink.close()


@define
class Books:
    """A store with events, and a sink's loop that delivers them to a collector."""

    clock: JumpClock
    splunk: Splunk
    store: SqliteStore
    options: Mapping[str, Any]
    count: int
    max_records: int
    http: Callable[[], Wire] | None = None
    delivery: Delivery | None = None
    witness: Witness | None = None
    state: State = Factory(State)
    outcomes: list[Outcome] = Factory(list)
    tenants: int = 0
    until: dict[str, datetime] = Factory(dict)

    def route(self, tenants: int) -> None:
        """From now on the events are those of so many tenants in turn, and each has an index of its own: idx_0, …"""
        self.tenants = tenants
        self.splunk.indexes |= {f"idx_{n}" for n in range(tenants)}

    async def commit(self, more: int) -> None:
        """The engine observes: so many further events."""
        events = [event(n, self.tenants) for n in range(self.count, self.count + more)]
        self.state = await self.store.commit(TENANT, self.state, events)
        self.count += more

    def start(self) -> Delivery:
        """The process starts: nothing is remembered but the store."""
        wire = self.http() if self.http else hec.Wire(self.splunk)
        collector = Collector(
            self.options.get("base_url", "https://h:8088"),
            TOKEN,
            index="main",
            ack=self.options.get("ack", "auto"),
            routes={f"t{n}": Route(index=f"idx_{n}") for n in range(self.tenants)},
        )
        self.until.clear()
        self.witness = Witness(HecSink("splunk", collector, wire, self.clock), self.splunk)
        self.delivery = Delivery(
            store=cast("DurableStore", self.store),
            sink=self.witness,
            mapping=MAPPING,
            clock=self.clock,
            wants=Filter(),
            max_records=self.max_records,
            max_bytes=900_000,
            dice=Random(1),
            with_own_place=frozenset(str(uuid.UUID(int=n)) for n in range(self.tenants)),
        )
        return self.delivery

    def health(self) -> SinkHealth:
        """What a person is told of the sink."""
        assert self.delivery is not None
        return self.delivery.health()

    async def turn(self) -> Outcome:
        delivery = self.delivery or self.start()
        outcome = await turn_of_all(delivery, self.until)
        self.outcomes.append(outcome)
        await self.clock.sleep(outcome.wait_s)
        return outcome

    async def finish(self, turns: int = 400) -> None:
        for _ in range(turns):
            if (await self.turn()).state == "idle":
                return
        pytest.fail(f"not done after {turns} turns: {self.outcomes[-1]}")

    async def check(self, bad: Mapping[int, int]) -> Counter[int]:
        """Everything is where it belongs; returns how often each good event is indexed."""
        await self.clock.sleep(10)  # indexing takes a while
        (stats,) = (await self.store.stats()).sinks
        assert stats.backlog == 0
        parked = await self.store.parked("splunk")
        assert {uuid.UUID(p.event.id).int for p in parked} == set(bad)
        for each in parked:
            code = bad[uuid.UUID(each.event.id).int]
            assert each.reason == f"Splunk HEC: HTTP 400, code {code}: {TEXTS[code][1]}"
        found = Counter(number(stored) for stored in self.splunk.indexed)
        assert {n for n in range(self.count) if n not in bad} <= found.keys()
        return found


@asynccontextmanager
async def books(
    count: int,
    *,
    bad: Mapping[int, int] | None = None,
    max_records: int = 20,
    token: Token | None = None,
    **options: Any,
) -> AsyncIterator[Books]:
    clock = JumpClock()
    wrong = bad or {}
    splunk = Splunk(clock, refuses=lambda found: wrong.get(uuid.UUID(found["event_id"]).int, 0))
    splunk.tokens[TOKEN] = token or Token()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        async with await open_store(Path(folder, "state.db"), clock=clock) as store:
            await store.attach([Start("splunk")])
            run = Books(clock, splunk, store, options, 0, max_records)
            await run.commit(count)
            yield run


def once_each(found: Counter[int], count: int, bad: Sequence[int] = ()) -> bool:
    return found == Counter(n for n in range(count) if n not in bad)


# ---------------------------------------------------------------------------------------------------------- every code


@pytest.mark.parametrize("acked", [False, True], ids=["plain", "acked"])
@pytest.mark.parametrize("code", range(28))
async def test_every_code_in_the_middle_of_a_delivery(code: int, acked: bool) -> None:
    """Nothing is lost. Nothing is doubled either: none of these answers stored anything."""
    async with books(100, token=Token(ack=acked)) as run:
        await run.turn()
        if code not in (0, 24, 25):  # these say that it was stored
            run.splunk.next.append(Fault("code", code, "/event"))
        else:
            run.splunk.load = code
        await run.turn()
        await run.finish()
        assert once_each(await run.check({}), 100)


@pytest.mark.parametrize("kind", ["html", "redirect", "reset_before", "hang_before"])
@pytest.mark.parametrize("value", [400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 502, 503, 504])
async def test_every_status_of_a_gateway(kind: str, value: int) -> None:
    if kind != "html" and value != 400:
        return
    async with books(60) as run:
        await run.turn()
        run.splunk.next.extend(
            [Fault(kind, value), Fault(kind, value)] if kind == "reset_before" else [Fault(kind, value)]
        )
        await run.finish()
        assert once_each(await run.check({}), 60)


@pytest.mark.parametrize("load", [9, 23, 26, 27])
async def test_a_collector_that_is_busy_for_an_hour(load: int) -> None:
    async with books(60) as run:
        run.splunk.load = load
        began = run.clock.now()
        while (run.clock.now() - began).total_seconds() < 3600:
            assert (await run.turn()).state == "unavailable"
        assert len(run.splunk.asked) < 200, "it is left in peace"
        run.splunk.load = 0
        await run.finish()
        assert once_each(await run.check({}), 60)


# --------------------------------------------------------------------------------------------------- bad events inside


@pytest.mark.parametrize("numbering", NUMBERS)
@pytest.mark.parametrize("prefix_indexed", [False, True])
@pytest.mark.parametrize("code", [5, 6, 12, 13, 15])
async def test_bad_events_in_the_middle_of_batches(code: int, prefix_indexed: bool, numbering: str) -> None:
    bad = dict.fromkeys([0, 7, 8, 31, 59], code)
    async with books(60, bad=bad) as run:
        run.splunk.prefix_indexed, run.splunk.numbering = prefix_indexed, numbering
        await run.finish()
        found = await run.check(bad)
        assert prefix_indexed or once_each(found, 60, list(bad))
        assert max(found.values()) <= 7, "a copy for each cut of its batch behind it, no more"


@pytest.mark.parametrize("numbering", ["as reported", "absent"])
@pytest.mark.parametrize("code", [6, 7])
async def test_ten_thousand_events_drain_in_few_requests(code: int, numbering: str) -> None:
    """With one event in a thousand that is bad, or an index in ten that is wrong."""
    bad = dict.fromkeys(range(500, 10_000, 1000), 6) if code == 6 else {}
    async with books(0, bad=bad, max_records=1000) as run:
        run.splunk.numbering = numbering
        if code == 7:
            run.route(10)
            run.splunk.indexes -= {"idx_3"}
        await run.commit(10_000)
        for _ in range(60):
            if (await run.turn()).state == "idle":
                break
        assert len(run.splunk.posts()) <= 10 * (1 + 4 + 2 * 10), "a request for each batch, and 2 log n for each fault"
        if code == 7:
            indexed = Counter(stored.index for stored in run.splunk.indexed)
            assert indexed == {f"idx_{n}": 1000 for n in range(10) if n != 3}
            assert "(idx_3)" in (run.health().error)
            run.splunk.indexes.add("idx_3")
        await run.finish()
        assert once_each(await run.check(bad), 10_000, list(bad))


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("first", [True, False], ids=["in front", "behind"])
@pytest.mark.parametrize("count", [3, 120])
@pytest.mark.parametrize("numbering", NUMBERS)
async def test_one_tenants_wrong_index_stops_no_other(numbering: str, count: int, first: bool, restarted: bool) -> None:
    """Also when all waits at once: after a restart, or behind a collector that was down."""
    async with books(0, max_records=1000) as run:
        run.splunk.numbering = numbering
        run.route(3)
        wrong = 0 if first else 1
        run.splunk.indexes -= {f"idx_{wrong}"}
        if restarted:
            run.splunk.down = True
            await run.commit(count // 2)
            for _ in range(8):
                await run.turn()
            run.splunk.down = False
            await run.commit(count - count // 2)
            run.start()
        else:
            await run.commit(count)
        await run.turn()
        assert {stored.index for stored in run.splunk.indexed} == {f"idx_{n}" for n in range(3) if n != wrong}
        assert len(run.splunk.indexed) == count - count // 3, "at once, and nothing of theirs waits"
        for _ in range(4):
            await run.turn()
        health = run.health()
        assert (health.state, f"(idx_{wrong})" in health.error) == ("denied", True), "told is whose index it is"
        assert f"tenant t{wrong}: " in health.error
        run.splunk.indexes.add(f"idx_{wrong}")
        await run.finish()
        assert once_each(await run.check({}), count)


async def test_a_parked_event_is_taken_when_it_is_offered_again() -> None:
    bad = {3: 6}
    async with books(10, bad=bad) as run:
        await run.finish()
        await run.check(bad)
        run.splunk.refuses = lambda _event: 0
        await run.store.unpark([str(uuid.UUID(int=3))], "splunk", "retry")
        await run.finish()
        assert once_each(await run.check({}), 10)


# ------------------------------------------------------------------------------------------------ ack lost, restarted


@pytest.mark.parametrize("ack", ["auto", "on"])
async def test_acknowledgements_that_get_lost(ack: str) -> None:
    async with books(100, token=Token(ack=True), ack=ack) as run:
        run.splunk.next.extend(
            [
                Fault("reset_after", path="/event"),  # taken, but nobody heard it
                Fault("cut_after", path="/ack"),
                Fault("hang_after", path="/ack"),
                Fault("html", 502, path="/ack"),
                Fault("reset_after", path="/ack"),
                Fault("hang_after", path="/event"),
            ]
        )
        await run.finish()
        found = await run.check({})
        assert sum(found.values()) <= 100 + 3 * 20, "one more copy of a batch for each lost answer that stored it"


async def test_a_collector_that_restarts_and_forgets_what_it_had_not_indexed() -> None:
    async with books(100, token=Token(ack=True), ack="on") as run:
        for _ in range(4):
            run.splunk.next.extend([Fault("restart_after", path="/event"), Fault("restart", path="/ack")])
            await run.turn()
        await run.finish()
        assert run.splunk.restarts == 8
        assert once_each(await run.check({}), 100), "what was lost came again, and only that"


async def test_without_acknowledgement_the_same_restart_would_lose_events() -> None:
    """The reason for acknowledgement, and the proof that the test above can fail."""
    async with books(100, token=Token(ack=True), ack="off") as run:
        run.splunk.next.append(Fault("restart_after", path="/event"))
        await run.finish()
        await run.clock.sleep(10)
        assert {number(stored) for stored in run.splunk.indexed} == set(range(20, 100))


async def test_a_process_that_dies_while_waiting_for_acknowledgement() -> None:
    async with books(40, token=Token(ack=True), ack="on") as run:
        delivery = run.start()
        run.splunk.acks_after_s = 1e9

        def stop_the_world() -> bool:
            return len(run.splunk.asked) > 4

        task = asyncio.ensure_future(delivery.turn())
        while not stop_the_world():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        run.splunk.acks_after_s = 3.0
        run.start()
        await run.finish()
        found = await run.check({})
        assert set(found.values()) <= {1, 2}


async def test_a_real_server_that_goes_away_and_comes_back() -> None:
    """Over sockets: refused, reset in the middle, restarted at the same port."""
    async with books(300, max_records=25, token=Token(ack=True), ack="on") as run, serve(run.splunk) as server:
        run.options = {"base_url": server.url, "ack": "on"}
        wires: list[Http] = []

        def wire() -> Http:
            wires.append(Http(clock=run.clock, timeout_s=5, max_connections=1))
            return wires[-1]

        run.http = wire
        for _ in range(4):
            await run.turn()
            run.splunk.next.append(Fault("reset_after", path="/event"))
            await run.turn()
            await server.stop()
            run.splunk.restart()
            assert (await run.turn()).state == "unavailable"
            await server.start()
        await run.finish()
        found = await run.check({})
        await wires[0].close()
        assert len(wires) == 1
        assert sum(found.values()) <= 300 + 4 * 25, "one more copy of a batch for each reset that came after it"


# -------------------------------------------------------------------------------------------------- any misbehaviour


@frozen
class Step:
    """What happens before a turn. `what` is a field of the collector, "fault", "restart" or "crash"."""

    what: str
    value: Any = None


def _faults(kind: str, path: str, values: Sequence[int] = (0,)) -> st.SearchStrategy[Step]:
    return st.sampled_from(values).map(lambda value: Step("fault", Fault(kind, value, path)))


_EVENT, _ACK = "/event", "/ack"
_CUTS = (
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "cut_after",
    "restart",
    "restart_after",
    "redirect",
)
_STEPS = st.one_of(
    _faults("code", _EVENT, [code for code in TEXTS if code not in (0, 24, 25, 5, 6, 12, 13, 15)]),
    _faults("code", _ACK, [1, 2, 4, 8, 9, 10, 11, 23, 26, 27]),
    _faults("html", _EVENT, [200, 200, 200, 400, 401, 403, 404, 408, 415, 429, 500, 502, 503, 504]),
    _faults("html", _ACK, [200, 200, 400, 429, 500, 502, 503, 504]),
    st.sampled_from(_CUTS).flatmap(lambda kind: _faults(kind, _EVENT)),
    st.sampled_from(_CUTS).flatmap(lambda kind: _faults(kind, _ACK)),
    st.sampled_from([0, 0, 9, 23, 24, 25, 26, 27]).map(lambda load: Step("load", load)),
    st.sampled_from([1_500, 4_000, 1_000_000]).map(lambda size: Step("max_content_length", size)),
    st.booleans().map(lambda yes: Step("takes_gzip", yes)),
    st.booleans().map(lambda yes: Step("wants_cookie", yes)),
    st.sampled_from([1, 3]).map(lambda nodes: Step("nodes", nodes)),
    st.sampled_from([0.0, 3.0, 40.0, 1e9]).map(lambda wait: Step("acks_after_s", wait)),
    st.booleans().map(lambda yes: Step("down", yes)),
    st.sampled_from([Step("restart"), Step("crash")]),
)


def befall(run: Books, step: Step) -> None:
    if step.what == "fault":
        run.splunk.next.append(step.value)
    elif step.what == "restart":
        run.splunk.restart()
    elif step.what == "crash":
        run.start()
    else:
        setattr(run.splunk, step.what, step.value)


def heal(splunk: Splunk) -> None:
    splunk.next.clear()
    splunk.load, splunk.max_content_length, splunk.acks_after_s = 0, 838_860_800, 3.0
    splunk.takes_gzip, splunk.wants_cookie, splunk.nodes, splunk.down = True, False, 1, False


@given(
    first=st.integers(1, 20),
    max_records=st.integers(1, 25),
    bad=st.dictionaries(st.integers(0, 60), st.sampled_from([5, 6, 12, 13, 15]), max_size=6),
    steps=st.lists(st.tuples(_STEPS, st.integers(0, 6)), max_size=25),
    ack=st.sampled_from(["auto", "on", None]),
    prefix_indexed=st.booleans(),
    numbering=st.sampled_from(sorted(NUMBERS)),
)
@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])
def test_whatever_it_does_if_it_ends_in_health_every_event_is_stored_and_settled(
    first: int,
    max_records: int,
    bad: dict[int, int],
    steps: list[tuple[Step, int]],
    ack: str | None,
    prefix_indexed: bool,
    numbering: str,
) -> None:
    """Whatever a receipt claims is indexed at that moment; in the end that is everything.

    Without acknowledgement (None) nothing waits for indexing, so that a restart loses nothing.
    """

    async def scenario() -> None:
        token = Token(ack=ack is not None)
        async with books(first, bad=bad, max_records=max_records, token=token, ack=ack or "auto") as run:
            run.splunk.prefix_indexed, run.splunk.numbering = prefix_indexed, numbering
            for step, more in steps:
                await run.commit(more)
                befall(run, step)
                note(f"{step} {await run.turn()}")
                assert run.witness is not None
                assert not run.witness.false, "a receipt came too early"
            heal(run.splunk)
            await run.commit(1 + len(bad))  # a good one among them: whom to blame is told by what is taken
            await run.finish()
            await run.check({n: code for n, code in bad.items() if n < run.count})

    asyncio.run(scenario())
