"""The books of a delivery to Sentinel: outbox → mapping → sink → Microsoft's client → an endpoint that misbehaves.

Whatever the endpoint does, in the end every event it can take is stored and settled, every other one is parked with the
service's words, and nothing is sent twice that need not be. The run over real TLS has 2,000 events, or as many as
SECURESCORE_INGESTION_EVENTS says; with `pytest -s` it tells its figures.
"""

import asyncio
import json
import os
import ssl
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
import trustme
from attrs import Factory, define, evolve, frozen
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, DurableStore, Outcome
from connector.mapping.render import Mapping as RecordMapping
from connector.model import STREAMS, Event, Record
from connector.net.client import Http
from connector.net.http import Wire as Transport
from connector.ports import Start, State
from connector.stores.sqlite import SqliteStore, open_store
from sinks.sentinel import OPTIONS, Rule, Rules, SentinelSink
from tests.conftest import examples
from tests.fake_graph import JumpClock
from tests.fakes import ingestion
from tests.fakes.ingestion import RULE, TOKEN, Credential, Fault, Service, declared
from tests.fakes.loopback import serve
from tests.golden import samples

TENANT = "11111111-1111-1111-1111-111111111111"
MAPPING = samples.mapping("sentinel")
TARGETS: Mapping[str, str] = OPTIONS["streams"].default
TABLES = {TARGETS[stream]: declared(MAPPING.columns(stream)) for stream in STREAMS}
SAMPLES = ("score.observed", "control.observed", "control.score_changed/regressed", "feed.gap")
"""One of each stream."""
WORDS = "Logs Ingestion: HTTP 400 (InvalidRecord: record 0: column 'Severity' is no int) [x-ms-request-id request-400]"


def event(n: int) -> Event:
    return samples.event(SAMPLES[n % 4], {"id": str(uuid.UUID(int=n)), "data.summary": f"event {n}"})


def number(event_id: str) -> int:
    return uuid.UUID(event_id).int


@frozen
class Spoiling:
    """The mapping as a careless author would leave it: the rows of some events violate the schema."""

    bad: Collection[int]
    name: str = MAPPING.name

    def render(self, event: Event) -> Record:
        record = MAPPING.render(event)
        if number(event.id) not in self.bad:
            return record
        assert isinstance(record.payload, Mapping)
        return evolve(record, payload={**record.payload, "Severity": "high"}, encoded=None)


@define
class Books:
    """A store with events, and a sink's loop that delivers them to an endpoint."""

    clock: JumpClock
    service: Service
    store: SqliteStore
    bad: Collection[int]
    count: int
    max_records: int
    endpoint: str = "https://dce.ingest.monitor.azure.com"
    transport: Transport | None = None
    delivery: Delivery | None = None
    outcomes: list[Outcome] = Factory(list)

    def start(self) -> Delivery:
        """The process starts: nothing is remembered but the store."""
        rules = Rules(Rule(self.endpoint, RULE), TARGETS)
        credential = Credential(["expired", TOKEN])
        self.delivery = Delivery(
            store=cast("DurableStore", self.store),
            sink=SentinelSink("sentinel", rules, self.transport or ingestion.Wire(self.service), credential),
            mapping=cast("RecordMapping", Spoiling(self.bad)),
            clock=self.clock,
            wants=Filter(),
            max_records=self.max_records,
            max_bytes=SentinelSink.max_bytes,
            dice=Random(1),
        )
        return self.delivery

    async def turn(self) -> Outcome:
        delivery = self.delivery or self.start()
        outcome = await delivery.turn()
        self.outcomes.append(outcome)
        await self.clock.sleep(outcome.wait_s)
        return outcome

    async def finish(self, turns: int = 600) -> None:
        for _ in range(turns):
            if (await self.turn()).state == "idle":
                return
        pytest.fail(f"not done after {turns} turns: {self.outcomes[-1]}")

    async def check(self) -> Counter[int]:
        """Everything is where it belongs; returns how often each good event is stored."""
        (stats,) = (await self.store.stats()).sinks
        assert stats.backlog == 0
        parked = await self.store.parked("sentinel")
        assert {number(each.event.id) for each in parked} == set(self.bad)
        assert {each.reason for each in parked} <= {WORDS}
        found = Counter(map(number, self.service.ids()))
        assert found.keys() == {n for n in range(self.count) if n not in self.bad}
        assert self.service.truncated == 0
        assert self.service.vanished == 0
        return found


@asynccontextmanager
async def books(count: int, *, bad: Collection[int] = (), max_records: int = 20) -> AsyncIterator[Books]:
    clock = JumpClock()
    service = Service(clock, {RULE: dict(TABLES)})
    with tempfile.TemporaryDirectory() as folder:
        async with await open_store(Path(folder, "state.db"), clock=clock) as store:
            await store.attach([Start("sentinel")])
            for first in range(0, count, 5000):
                generation = await store.load(TENANT) or State()
                await store.commit(TENANT, generation, [event(n) for n in range(first, min(first + 5000, count))])
            yield Books(clock, service, store, bad, count, max_records)


def once_each(found: Counter[int]) -> bool:
    return set(found.values()) == {1}


# -------------------------------------------------------------------------------------------------------- one at a time


@pytest.mark.parametrize("kind", ["status", "html"])
@pytest.mark.parametrize("status", [200, 202, 301, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 502, 503, 504])
async def test_every_status_in_the_middle_of_a_delivery(kind: str, status: int) -> None:
    """Nothing is lost. Nothing is doubled either: none of these answers stored anything."""
    async with books(100) as run:
        await run.turn()
        run.service.next.append(Fault(kind, status))
        await run.finish()
        assert once_each(await run.check())


@pytest.mark.parametrize("kind", ["reset_before", "hang_before", "reset_after", "hang_after", "claims"])
async def test_no_answer_in_the_middle_of_a_delivery(kind: str) -> None:
    async with books(100) as run:
        await run.turn()
        run.service.next.append(Fault(kind))
        await run.finish()
        found = await run.check()
        assert sum(found.values()) <= 100 + (5 if kind.endswith("_after") else 0), "one chunk of one stream, once more"


async def test_the_rules_limit_is_kept_to() -> None:
    """Twelve requests a minute, told by Retry-After: what is refused comes when the service says, and no sooner."""
    async with books(400) as run:
        run.service.requests_per_minute = 12
        await run.finish()
        assert once_each(await run.check())
        assert len(run.service.asked) < 130


async def test_an_hour_of_503() -> None:
    async with books(60) as run:
        run.service.load = 503
        began = run.clock.now()
        while (run.clock.now() - began).total_seconds() < 3600:
            assert (await run.turn()).state == "unavailable"
        assert len(run.service.asked) < 200, "it is left in peace"
        run.service.load = 0
        await run.finish()
        assert once_each(await run.check())


@pytest.mark.parametrize("missing", ["role", "rule", "streams"])
async def test_a_hold_ends_when_the_operator_has_acted(missing: str) -> None:
    async with books(60) as run:
        if missing == "role":
            run.service.grants[TOKEN].clear()
        elif missing == "rule":
            run.service.rules.clear()
        else:
            run.service.rules[RULE] = {}
        for _ in range(5):
            outcome = await run.turn()
            assert outcome.state == "denied"
            assert outcome.hint
        assert await run.store.parked("sentinel") == []
        run.service.rules[RULE] = dict(TABLES)
        run.service.grants[TOKEN].add(RULE)
        await run.finish()
        assert once_each(await run.check())


async def test_a_rule_with_another_schema_holds_and_parks_nothing() -> None:
    async with books(60) as run:
        run.service.rules[RULE] = {stream: {**columns, "Day": "int"} for stream, columns in TABLES.items()}
        for _ in range(30):
            outcome = await run.turn()
            assert outcome.state == "unavailable"
            assert "took no row yet" in str(outcome.error)
        assert await run.store.parked("sentinel") == []
        run.service.rules[RULE] = dict(TABLES)
        await run.finish()
        assert once_each(await run.check())


async def test_bad_records_in_the_middle_of_batches() -> None:
    async with books(100, bad={0, 7, 8, 31, 60, 99}) as run:
        await run.finish()
        assert once_each(await run.check())


async def test_a_parked_event_is_taken_when_it_is_offered_again() -> None:
    async with books(40, bad={13}) as run:
        await run.finish()
        await run.check()
        run.bad = ()
        run.start()
        await run.store.unpark([str(uuid.UUID(int=13))], "sentinel", "retry")
        await run.finish()
        assert once_each(await run.check())


# ----------------------------------------------------------------------------------------------- over TLS, at random


def weather(dice: Random) -> Fault | None:
    """What befalls a request: three in ten go wrong."""
    if dice.random() > 0.3:
        return None
    return dice.choice(
        [
            Fault("status", 429, (("Retry-After", "2"),)),
            Fault("status", 429, (("retry-after-ms", "700"),)),
            Fault("status", 429),
            Fault("status", 500),
            Fault("html", 502),
            Fault("status", 413),
            Fault("reset_before"),
            Fault("reset_after"),
        ]
    )


async def test_thousands_of_events_over_tls_through_bad_weather(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Exactly the good ones are stored; more than once only those whose answer got lost, each as often as that."""
    count = int(os.environ.get("SECURESCORE_INGESTION_EVENTS", "2000"))
    dice = Random(7)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    async with (
        books(count, bad={count // 3}, max_records=count // 20) as run,
        serve(run.service, tls) as server,
    ):
        http = Http(clock=run.clock, ca_file=str(tmp_path / "ca.pem"), timeout_s=20)
        run.endpoint, run.transport = server.url, http
        run.service.weather = lambda: weather(dice)
        try:
            await run.finish(turns=600 + count // 10)
        finally:
            await http.close()
        found = await run.check()
        figures = {
            "events": count,
            "stored": len(found),
            "parked": len(run.bad),
            "rows_whose_answer_was_lost": run.service.unheard,
            "stored_again": sum(found.values()) - len(found),
            "requests": len(run.service.asked),
            "turns": len(run.outcomes),
        }
    record_property("figures", json.dumps(figures))
    sys.stdout.write(json.dumps(figures) + "\n")
    assert figures["stored_again"] == figures["rows_whose_answer_was_lost"] > 0


# --------------------------------------------------------------------------------------------------- any misbehaviour


@frozen
class Step:
    """What happens before a turn. `what` is a field of the service, "fault" or "crash"."""

    what: str
    value: Any = None


_FAULTS = st.sampled_from(
    [
        *(Fault("status", status) for status in (200, 202, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)),
        *(Fault("html", status) for status in (200, 302, 401, 403, 404, 407, 413, 429, 500, 502, 503, 504)),
        Fault("status", 429, (("Retry-After", "90"),)),
        *(Fault(kind) for kind in ("reset_before", "reset_after", "hang_before", "hang_after", "redirect", "claims")),
    ]
)
_STEPS = st.one_of(
    _FAULTS.map(lambda fault: Step("fault", fault)),
    st.sampled_from([0, 0, 429, 500, 502, 503]).map(lambda status: Step("load", status)),
    st.sampled_from([1, 3, 12_000]).map(lambda rate: Step("requests_per_minute", rate)),
    st.sampled_from([3_000, 20_000, 1_048_576]).map(lambda size: Step("max_plain_bytes", size)),
    st.booleans().map(lambda yes: Step("down", yes)),
    st.just(Step("crash")),
)


def befall(run: Books, step: Step) -> None:
    if step.what == "fault":
        run.service.next.append(step.value)
    elif step.what == "crash":
        run.start()
    else:
        setattr(run.service, step.what, step.value)


def heal(service: Service) -> None:
    service.next.clear()
    service.load, service.down, service.requests_per_minute, service.max_plain_bytes = 0, False, 12_000, 1_048_576


@given(
    count=st.integers(1, 60),
    max_records=st.integers(1, 25),
    bad=st.sets(st.integers(0, 59), max_size=6),
    steps=st.lists(_STEPS, max_size=25),
)
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow])
def test_whatever_it_does_if_it_ends_in_health_every_event_is_stored_and_settled(
    count: int, max_records: int, bad: set[int], steps: list[Step]
) -> None:
    # The last event of each stream is good: a stream that took nothing yet is held, rightly, when only bad ones come.
    wrong = {n for n in bad if n < count - 4}

    async def scenario() -> None:
        async with books(count, bad=wrong, max_records=max_records) as run:
            for step in steps:
                befall(run, step)
                note(f"{step} {await run.turn()}")
                assert await settled(run.store, count) <= set(map(number, run.service.ids())), "settled too early"
            heal(run.service)
            await run.finish()
            await run.check()

    asyncio.run(scenario())


async def settled(store: SqliteStore, count: int) -> set[int]:
    """The events the outbox believes to be delivered."""
    traces = {n: await store.trace(str(uuid.UUID(int=n))) for n in range(count)}
    return {n for n, lines in traces.items() if any(line["state"] == "accepted" for line in lines)}
