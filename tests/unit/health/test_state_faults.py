"""What is wrong with the state reaches a person: once, with its counts, and for a week."""

from collections.abc import Sequence

import pytest

from connector.app import severity_rules
from connector.errors import StoreError
from connector.health.state_faults import flaw_faults, gone_sinks
from connector.health.upkeep import CONNECTOR, Upkeep
from connector.model import Event
from connector.observe import memory
from connector.ports import Flaw, Query, SinkStats, Start, State
from connector.stores.documents import DocumentsStore
from tests.contract.store_contract import CONTOSO, FABRIKAM, add, event, events, numbers, settle, take_all
from tests.fake_graph import JumpClock
from tests.fakes.documents import Memory

DAY = 86_400
LOST = Flaw("state_damaged", "doc/1", "torn", CONTOSO, 5, {"soc": 3})


def store_of(documents: Memory, clock: JumpClock, max_bytes: int | None = None) -> DocumentsStore:
    return DocumentsStore(documents, clock, max_bytes=max_bytes)


def upkeep(store: DocumentsStore, clock: JumpClock, max_bytes: int = 10**9, keep_days: int = 400) -> Upkeep:
    made = Upkeep(store, clock, severity_rules(), max_bytes, keep_days, "host1")
    made.names = lambda: {CONTOSO: "contoso"}
    return made


async def told(store: DocumentsStore) -> list[Event]:
    return await store.history(Query(tenant_id=CONNECTOR))


def short(found: Sequence[Event]) -> list[tuple[str, str]]:
    return [(e.type.removeprefix("connector."), e.data["reason"]) for e in found]


async def test_a_loss_is_told_once_with_its_counts_and_closed_after_a_week(clock: JumpClock) -> None:
    store = store_of(Memory(), clock)
    await store.note(LOST)
    care = upkeep(store, clock)
    for _ in range(6):
        await care.look([])
        await clock.sleep(DAY)
    (problem,) = await told(store)
    assert (problem.subject, problem.data["reason"], problem.severity) == ("state:damaged", "state_damaged", 9)
    assert problem.data["lost"] == {"soc": 3}
    assert {name: problem.data[name] for name in ("documents", "tenants", "events")} == {
        "documents": ["doc/1"], "tenants": ["contoso"], "events": 5,
    }  # fmt: skip
    assert "with 5 events; sink soc had still to take 3" in problem.data["summary"]
    assert "doc/1 of contoso: torn" in problem.data["detail"]
    await clock.sleep(2 * DAY)
    await care.look([])
    assert short(await told(store)) == [("problem", "state_damaged"), ("recovered", "state_damaged")]


async def test_more_of_it_is_told_at_once(clock: JumpClock) -> None:
    store = store_of(Memory(), clock)
    await store.note(LOST)
    care = upkeep(store, clock)
    await care.look([])
    await store.note(Flaw("state_damaged", "doc/2", "gone", FABRIKAM, None, None))
    await care.look([])
    first, second = await told(store)
    assert first.data["problem_id"] == second.data["problem_id"]
    assert (second.data["events"], second.data["lost"]) == (None, None), "unknown is not nothing"
    assert "unknown" in second.data["summary"]
    assert second.data["tenants"] == [FABRIKAM, "contoso"]


def test_each_reason_is_a_problem_of_its_own() -> None:
    reasons = ("state_damaged", "cursor_ahead", "state_restored", "state_copied")
    faults = flaw_faults([Flaw(reason, reason, "what") for reason in reasons], {})
    assert [f.reason for f in faults] == list(reasons)
    assert len({f.subject for f in faults}) == 4
    assert all(f.hint and f.summary for f in faults)
    assert flaw_faults([], {}) == []


def test_sinks_that_are_gone_are_told_while_they_hold_events() -> None:
    def sink(name: str, backlog: int, parked: int, *, abandoned: bool) -> SinkStats:
        return SinkStats(name, 0, backlog, parked, None, None, abandoned)

    found = gone_sinks(
        [sink("a", 5, 1, abandoned=True), sink("b", 0, 0, abandoned=True), sink("c", 9, 9, abandoned=False)]
    )
    assert [(f.reason, f.subject, f.data["backlog"]) for f in found] == [("sink_removed", "sink:a", 5)]
    assert "sinks release a" in found[0].hint


async def test_a_damaged_document_is_told_by_the_next_look_and_goes_on_being_told(clock: JumpClock) -> None:
    documents = Memory()
    store = store_of(documents, clock)
    await store.attach([Start("soc"), Start("dead")])
    for n in range(3):
        await store.commit(CONTOSO, State(n, {"head": b"{}"}), events([n]))
    await take_all(store, "soc")
    documents.kept[f"{CONTOSO}/000000000002"] = b"torn"
    store = store_of(documents, clock)
    assert numbers(await store.due("dead", 10)) == [0, 2]
    await upkeep(store, clock).look([])
    (problem,) = await told(store)
    assert (problem.data["events"], problem.data["lost"]) == (1, {"dead": 1})
    await settle(store, "dead", accept=[0, 2], tenant=CONTOSO)
    store = store_of(documents, clock)
    await upkeep(store, clock).look([])
    assert len(await told(store)) == 1


async def test_the_connectors_own_damaged_state_begins_anew_and_is_told(clock: JumpClock) -> None:
    store = store_of(Memory(), clock)
    await store.commit(CONNECTOR, State(0, {"head": b"\x00 no head"}), [])
    await upkeep(store, clock).look([])
    assert short(await told(store)) == [("problem", "state_damaged")]
    assert memory.head(await store.load(CONNECTOR))["instance"] == "host1"


async def test_history_gives_way_before_polling_pauses_and_that_is_told(clock: JumpClock) -> None:
    """Settled history alone never pauses anything; what waits does, and is never deleted."""
    store = store_of(Memory(), clock)
    await store.attach([Start("soc"), Start("dead")])
    for n in range(20):
        filling = bytes((n * 7919 + k * 104729) % 251 for k in range(9000)).hex()
        await add(store, [event(n, observed_at=f"2029-12-{n + 1:02}T00:00:00Z", filling=filling)])
    await take_all(store, "soc")
    await settle(store, "dead", accept=range(12), limit=12)
    size = (await store.stats()).bytes
    care = upkeep(store, clock, max_bytes=int(size / 0.85))
    assert not (await care.look([])).full
    (problem,) = await told(store)
    assert (problem.data["reason"], problem.subject) == ("history_purged", "history")
    kept = [e.data["number"] for e in await store.history(Query(tenant_id=CONTOSO))]
    assert kept == list(range(problem.data["events"], 20)), "the oldest, and no more than it takes"
    assert 1 <= problem.data["events"] <= 8
    assert problem.data["until"] == f"2029-12-{problem.data['events']:02}T00:00:00Z"
    assert (await store.stats()).bytes < 0.75 * size / 0.85
    assert numbers(await store.due("dead", 20, CONTOSO)) == list(range(12, 20))
    await clock.sleep(2 * DAY)
    await care.look([])
    assert short(await told(store))[-1] == ("recovered", "history_purged")

    tight = upkeep(store, clock, max_bytes=int((await store.stats()).bytes / 2))
    assert (await tight.look([])).full, "now only what waits is there"
    assert numbers(await store.due("dead", 20, CONTOSO)) == list(range(12, 20))


@pytest.mark.parametrize(("ahead_days", "left"), [(0, [1, 2]), (3650, [1, 2]), (-365, [0, 1, 2])])
async def test_a_clock_that_is_wrong_purges_nothing_that_a_right_one_would_keep(
    clock: JumpClock, ahead_days: int, left: list[int]
) -> None:
    """The days of the feed say what time it is, too."""
    today = clock.now().date().isoformat()
    store = store_of(Memory(), clock)
    await store.attach([Start("soc")])
    for n, observed_at in enumerate(("2029-10-01T00:00:00Z", "2029-12-15T00:00:00Z", f"{today}T00:00:00Z")):
        await add(store, [event(n, type="score.observed", observed_at=observed_at)])
    await take_all(store, "soc")
    await clock.sleep(ahead_days * DAY)
    if ahead_days > 0:
        await add(store, [event(9, type="feed.stale", observed_at="2040-01-01T00:00:00Z")])
        await take_all(store, "soc")
        left = [*left, 9]
    await upkeep(store, clock, keep_days=60).look([], purge=True)
    assert [e.data["number"] for e in await store.history(Query(tenant_id=CONTOSO))] == left


@pytest.mark.parametrize(("hours", "left"), [(-1, [0]), (0, [0]), (1, [])])
async def test_history_is_kept_for_whole_days(clock: JumpClock, hours: int, left: list[int]) -> None:
    """An event goes when it is older than `keep_days`, not when it is exactly as old."""
    await clock.sleep(hours * 3600)
    store = store_of(Memory(), clock)
    await store.attach([Start("soc")])
    await add(store, [event(0, observed_at="2029-12-11T12:00:00Z")])
    await take_all(store, "soc")
    await upkeep(store, clock, keep_days=30).look([], purge=True)
    assert [e.data["number"] for e in await store.history(Query(tenant_id=CONTOSO))] == left


async def test_what_cannot_be_noted_is_not_forgotten(clock: JumpClock) -> None:
    """Without room for the note nothing is written that would make its count wrong."""

    class Full(Memory):
        async def create(self, name: str, body: bytes) -> None:
            if name.endswith(".flaw"):
                raise StoreError("no space left", "Free space.")
            await super().create(name, body)

    documents = Full()
    store = store_of(documents, clock)
    await store.attach([Start("soc")])
    for n in range(3):
        await store.commit(CONTOSO, State(n, {"head": b"{}"}), events([n]))
    documents.kept[f"{CONTOSO}/000000000002"] = b"torn"
    store = store_of(documents, clock)
    due = await store.due("soc", 10)
    with pytest.raises(StoreError, match="no space"):
        await settle(store, "soc", accept=[0, 2])
    assert await store.due("soc", 10) == due
    (flaw,) = await store.flaws()
    assert flaw.sinks == {"soc": 1}


async def test_a_sink_that_left_the_configuration_is_a_problem_until_it_is_back_or_released(clock: JumpClock) -> None:
    store = store_of(Memory(), clock)
    await store.attach([Start("soc"), Start("old")])
    await add(store, events(range(3)))
    await store.attach([Start("soc")])
    care = upkeep(store, clock)
    await care.look([])
    (problem,) = await told(store)
    assert (problem.subject, problem.data["reason"], problem.data["sink"]) == ("sink:old", "sink_removed", "old")
    assert "holds 3 events" in problem.data["summary"]
    await store.release("old")
    await care.look([])
    assert short(await told(store)) == [("problem", "sink_removed"), ("recovered", "sink_removed")]
