"""What an input asks for once is done once: re-sending since a day, believing a refused day."""

from datetime import UTC, datetime

from attrs import evolve

from connector.clock import SimulatedClock
from connector.homes.input_requests import InputRequests, fulfil
from connector.observe import memory
from connector.ports import Settlement, Start, State
from connector.stores.documents import DocumentsStore
from tests.contract.store_contract import CONTOSO, events
from tests.fakes.documents import Memory

SINK = "splunk"


async def store() -> DocumentsStore:
    """Three events, all delivered; nothing is being refused."""
    made = DocumentsStore(Memory(), SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)))
    await made.attach([Start(SINK)])
    await made.commit(CONTOSO, memory.with_head(State(), {}), events(range(3)))
    due = await made.due(SINK, 10)
    settled = frozenset(pending.seq for pending in due)
    await made.settle(SINK, Settlement("2026-11-22T09:00:00Z", attempted=tuple(settled), accepted=settled))
    assert await made.due(SINK, 10) == []
    return made


async def due(made: DocumentsStore) -> int:
    return len(await made.due(SINK, 10))


async def settle(made: DocumentsStore) -> None:
    seqs = frozenset(pending.seq for pending in await made.due(SINK, 10))
    await made.settle(SINK, Settlement("2026-11-22T10:00:00Z", attempted=tuple(seqs), accepted=seqs))


async def refuse(made: DocumentsStore) -> None:
    state = await made.load(CONTOSO)
    assert state is not None
    refusal = {"first_at": "2026-11-22T09:00:00Z", "problem_id": "p", "lost": ["a"], "approved": False}
    await made.commit(CONTOSO, memory.with_head(state, {**memory.head(state), "refusal": refusal}), [])


async def approved(made: DocumentsStore) -> bool:
    refusal = memory.head(await made.load(CONTOSO)).get("refusal")
    return bool(refusal and refusal["approved"])


async def test_nothing_asked_changes_nothing() -> None:
    made = await store()
    before = await made.load("")
    assert await fulfil(made, [SINK], [CONTOSO], InputRequests()) == []
    assert await made.load("") == before


async def test_a_day_is_sent_again_once_and_another_day_asks_anew() -> None:
    made = await store()
    (said,) = await fulfil(made, [SINK], [CONTOSO], InputRequests(resend_since="2020-01-01"))
    assert said.startswith("3 events")
    assert await due(made) == 3
    await settle(made)
    assert await fulfil(made, [SINK], [CONTOSO], InputRequests(resend_since="2020-01-01")) == []
    assert await due(made) == 0
    await fulfil(made, [SINK], [CONTOSO], InputRequests(resend_since="2099-01-01"))
    assert await due(made) == 0, "nothing was observed since"
    await fulfil(made, [SINK], [CONTOSO], InputRequests())
    await fulfil(made, [SINK], [CONTOSO], InputRequests(resend_since="2099-01-01"))
    assert memory.head(await made.load(""))["resent_since"] == "2099-01-01"


async def test_the_switch_waits_for_a_refusal_and_then_counts_once() -> None:
    made = await store()
    asked = InputRequests(accept=True)
    assert await fulfil(made, [SINK], [CONTOSO], asked) == [], "armed: there is nothing to believe yet"
    await refuse(made)
    assert len(await fulfil(made, [SINK], [CONTOSO], asked)) == 1
    assert await approved(made)
    await refuse(made)
    assert await fulfil(made, [SINK], [CONTOSO], asked) == [], "still on: it was used"
    assert not await approved(made)
    assert await fulfil(made, [SINK], [CONTOSO], evolve(asked, accept=False)) == []
    assert len(await fulfil(made, [SINK], [CONTOSO], asked)) == 1, "turned off and on again"


async def test_other_parts_of_the_connector_s_state_stay() -> None:
    made = await store()
    await made.commit("", memory.with_head(State(), {"instance": "hf1-prod", "heartbeat": "x"}), [])
    await fulfil(made, [SINK], [CONTOSO], InputRequests(resend_since="2020-01-01"))
    head = memory.head(await made.load(""))
    assert (head["instance"], head["heartbeat"]) == ("hf1-prod", "x")
