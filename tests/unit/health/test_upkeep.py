"""What the connector notices about itself: failing sinks and the disk bound as problems, told once and closed."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from attrs import evolve

from connector.app import severity_rules
from connector.errors import Conflict, StoreError
from connector.health.upkeep import CONNECTOR, SinkHealth, Upkeep
from connector.model import Event
from connector.observe import memory
from connector.ports import Query, Start, State, Stats
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import add, event, events, settle
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder

OK = SinkHealth("soc", "ok")
DOWN = SinkHealth("soc", "unavailable", "connection refused", "start it")
DENIED = SinkHealth("soc", "denied", "403", "grant it")
UNTRIED = SinkHealth("soc", "untried")


@pytest_asyncio.fixture
async def store(clock: JumpClock) -> AsyncIterator[SqliteStore]:
    with quick_folder() as folder:
        opened = await open_store(folder / "state.db", clock=clock)
        await opened.attach([Start("soc"), Start("other")])
        yield opened
        await opened.close()


class Sized:
    """The store, as large as the test says."""

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.bytes = 0
        self.purged: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def stats(self) -> Stats:
        return evolve(await self.inner.stats(), bytes=self.bytes)

    async def purge(self, before: str) -> int:
        self.purged.append(before)
        return await self.inner.purge(before)


def upkeep(store: Any, clock: JumpClock, keep_days: int = 400) -> Upkeep:
    return Upkeep(store, clock, severity_rules(), 1000, keep_days, "host1")


@pytest.fixture
def sized(store: SqliteStore) -> Sized:
    return Sized(store)


@pytest.fixture
def care(sized: Sized, clock: JumpClock) -> Upkeep:
    return upkeep(sized, clock)


async def told(store: SqliteStore) -> list[Event]:
    return await store.history(Query(tenant_id=CONNECTOR))


def short(found: Sequence[Event]) -> list[tuple[str, str, str]]:
    return [(e.type.removeprefix("connector."), e.subject, e.data["reason"]) for e in found]


async def test_a_quiet_connector_says_nothing_and_writes_nothing(
    store: SqliteStore, care: Upkeep, clock: JumpClock
) -> None:
    for _ in range(3):
        await care.look([OK, UNTRIED])
        await clock.sleep(3600)
    state = await store.load(CONNECTOR)
    assert state is not None
    assert state.generation == 1
    assert await told(store) == []


async def test_a_sink_that_fails_for_a_quarter_of_an_hour_is_a_problem_until_it_recovers(
    store: SqliteStore, care: Upkeep, clock: JumpClock
) -> None:
    await care.look([DOWN])
    await clock.sleep(840)
    await care.look([DOWN])
    assert await told(store) == []
    await clock.sleep(60)
    for _ in range(3):
        await care.look([DOWN])
        await clock.sleep(60)
    (problem,) = await told(store)
    assert short([problem]) == [("problem", "sink:soc", "unavailable")]
    assert problem.source == "urn:secure-score:connector:host1"
    assert problem.data["tenant"] is None
    assert {k: problem.data[k] for k in ("sink", "detail", "hint", "source")} == {
        "sink": "soc", "detail": "connection refused", "hint": "start it", "source": "connector",
    }  # fmt: skip
    await care.look([OK])
    problem, recovered = await told(store)
    assert short([recovered]) == [("recovered", "sink:soc", "unavailable")]
    assert recovered.data["problem_id"] == problem.data["problem_id"]
    assert recovered.data["sink"] == "soc"
    await care.look([OK])
    assert len(await told(store)) == 2


async def test_a_short_failure_is_weather(store: SqliteStore, care: Upkeep, clock: JumpClock) -> None:
    for _ in range(10):
        await care.look([DOWN])
        await clock.sleep(600)
        await care.look([OK])
        await clock.sleep(600)
    assert await told(store) == []


async def test_a_denied_sink_is_a_problem_at_once(store: SqliteStore, care: Upkeep) -> None:
    await care.look([DENIED])
    (problem,) = await told(store)
    assert short([problem]) == [("problem", "sink:soc", "denied")]
    assert problem.severity == 7


async def test_denied_and_unavailable_in_turn_are_one_problem(
    store: SqliteStore, care: Upkeep, clock: JumpClock
) -> None:
    for health in [DOWN, DENIED, DOWN, DENIED, DOWN] * 5:
        await care.look([health])
        await clock.sleep(600)
    assert short(await told(store)) == [("problem", "sink:soc", "denied")]


async def test_a_problem_outlives_restarts_with_the_same_id_and_is_repeated_daily(
    store: SqliteStore, sized: Sized, clock: JumpClock
) -> None:
    """The daemon restarts every ten minutes: the quarter of an hour still passes."""
    for n in range(30 * 6):
        care = upkeep(sized, clock)
        await care.look([UNTRIED])
        await clock.sleep(300)
        await care.look([DOWN if n else OK])
        await clock.sleep(300)
    found = await told(store)
    assert short(found) == [("problem", "sink:soc", "unavailable")] * 2
    assert [e.data["repeat"] for e in found] == [0, 1]
    assert len({e.data["problem_id"] for e in found}) == 1
    assert len({e.id for e in found}) == 2


async def test_a_clock_that_jumps_makes_no_storm(store: SqliteStore, care: Upkeep, clock: JumpClock) -> None:
    await care.look([DOWN])
    await clock.sleep(-86_400)
    await care.look([DOWN])
    assert await told(store) == []
    await clock.sleep(900)
    await care.look([DOWN])
    await clock.sleep(365 * 86_400)
    await care.look([DOWN])
    await clock.sleep(-365 * 86_400)
    await care.look([DOWN])
    await care.look([OK])
    assert [kind for kind, _, _ in short(await told(store))] == ["problem", "problem", "recovered"]


async def test_events_that_a_sink_keeps_refusing_are_a_problem_of_their_own(store: SqliteStore, care: Upkeep) -> None:
    await care.look([evolve(OK, stuck=("id-1", "id-2"))])
    (problem,) = await told(store)
    assert short([problem]) == [("problem", "sink:soc", "stuck")]
    assert "id-1, id-2" in problem.data["detail"]
    await care.look([OK])
    assert short(await told(store))[-1] == ("recovered", "sink:soc", "stuck")


async def test_what_does_not_reach_everybody_is_a_problem_until_it_does(store: SqliteStore, care: Upkeep) -> None:
    await care.look([evolve(OK, warning="refused: gone@example.org (550 no such user)")])
    (problem,) = await told(store)
    assert short([problem]) == [("problem", "sink:soc", "partly_delivered")]
    assert problem.data["detail"] == "refused: gone@example.org (550 no such user)"
    await care.look([OK])
    assert short(await told(store))[-1] == ("recovered", "sink:soc", "partly_delivered")


async def test_a_sink_that_is_configured_no_more_has_no_problem(store: SqliteStore, care: Upkeep) -> None:
    await care.look([DENIED])
    await care.look([SinkHealth("new", "ok")])
    assert short(await told(store))[-1] == ("recovered", "sink:soc", "denied")


# ---------------------------------------------------------------------------------------------------------- disk bound


async def test_the_bound_warns_at_80_pauses_at_100_and_names_the_sink_that_pins(
    store: SqliteStore, sized: Sized, care: Upkeep, clock: JumpClock
) -> None:
    await add(store, events(range(5)))
    await settle(store, "other", accept=range(5))
    paused = []
    for size in (799, 800, 1000, 960, 900, 760, 700):
        sized.bytes = size
        paused.append((await care.look([])).full)
        await clock.sleep(60)
    assert paused == [False, False, True, True, False, False, False], (
        "it ends below where it began: polling never flaps"
    )
    found = await told(store)
    assert short(found) == [
        ("problem", "outbox", "outbox_filling"),
        ("problem", "outbox", "outbox_full"),
        ("recovered", "outbox", "outbox_filling"),
    ]
    assert {e.data["sink"] for e in found} == {"soc"}
    assert len({e.data["problem_id"] for e in found}) == 1, "one trouble, from its warning to its end"
    assert [found[0].severity, found[1].severity] == [7, 9]
    assert "soc has 5 events to take" in found[0].data["detail"]
    assert "sinks release soc" in found[0].data["hint"]


async def test_a_full_state_without_a_sink_to_blame_says_so(store: SqliteStore, sized: Sized, care: Upkeep) -> None:
    sized.bytes = 2000
    await care.look([])
    (problem,) = await told(store)
    assert problem.data["sink"] is None
    assert "release" not in problem.data["hint"]
    assert "state.max_bytes" in problem.data["hint"]


async def test_a_bound_that_was_raised_or_lowered_counts_at_once(
    store: SqliteStore, sized: Sized, clock: JumpClock
) -> None:
    sized.bytes = 1000
    assert (await upkeep(sized, clock).look([])).full
    roomy = Upkeep(sized, clock, severity_rules(), 10_000, 400, "host1")
    assert not (await roomy.look([])).full
    assert (await upkeep(sized, clock).look([])).full


class Refusing(Sized):
    """At its own bound, or on a full disk, the store takes no commit."""

    async def commit(self, tenant_id: str, state: State, new: Sequence[Event]) -> State:
        raise StoreError("no more", "free some")


async def test_at_the_bound_a_refused_word_stops_nothing_but_a_full_disk_does(
    store: SqliteStore, clock: JumpClock
) -> None:
    refusing = Refusing(store)
    refusing.bytes = 1000
    assert (await upkeep(refusing, clock).look([])).full
    refusing.bytes = 10
    with pytest.raises(StoreError, match="no more"):
        await upkeep(refusing, clock).look([])


async def test_another_writer_of_the_connectors_state_is_respected(store: SqliteStore, clock: JumpClock) -> None:
    class Racing(Sized):
        raced = False

        async def commit(self, tenant_id: str, state: State, new: Sequence[Event]) -> State:
            if not self.raced:
                self.raced = True
                first = await self.inner.load(CONNECTOR) or State()
                await self.inner.commit(CONNECTOR, memory.with_head(first, {"heartbeat": 7}), [])
                raise Conflict("another commit came first")
            return await self.inner.commit(tenant_id, state, new)

    await upkeep(Racing(store), clock).look([DENIED])
    head = memory.head(await store.load(CONNECTOR))
    assert head["heartbeat"] == 7
    assert list(head["problems"]) == ["connector.problem:sink:soc"]


# ---------------------------------------------------------------------------------------------------------------- purge


async def test_history_is_purged_on_time_but_never_what_a_sink_has_not_settled(
    store: SqliteStore, sized: Sized, clock: JumpClock
) -> None:
    await add(store, events(range(3), observed_at="2029-12-01T00:00:00Z"))
    await add(store, [event(9, observed_at="2030-01-09T00:00:00Z")])
    for sink in ("soc", "other"):
        await settle(store, sink, accept=range(1, 10), park={0: "no"})
    care = upkeep(sized, clock, keep_days=30)
    await care.look([])
    assert sized.purged == []
    await clock.sleep(6 * 3600)
    await care.look([])
    assert sized.purged == ["2029-12-11T18:00:00Z"]
    assert {e.data["number"] for e in await store.history(Query())} == {0, 9}
    await care.look([], purge=True)
    assert len(sized.purged) == 2


async def test_before_it_warns_it_purges(store: SqliteStore, sized: Sized, clock: JumpClock) -> None:
    class Shrinking(Sized):
        async def purge(self, before: str) -> int:
            self.bytes = 100
            return await super().purge(before)

    shrinking = Shrinking(store)
    shrinking.bytes = 990
    assert not (await upkeep(shrinking, clock).look([])).full
    assert await told(store) == []
