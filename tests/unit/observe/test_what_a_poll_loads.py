"""How much of a tenant's state a poll loads: its head, and the other parts only where something is to be folded."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import pytest
from attrs import define, evolve, field

from connector.errors import Conflict, Denied
from connector.model import Event, Known, Snapshot, Unchanged
from connector.observe import memory
from connector.observe.poller import PollOutcome
from connector.ports import Flaw, State
from tests.unit.observe.test_partial_reads import TENANT, catalogue, days, polled


@define
class Lab:
    """One tenant in a store that gives of a head no more than it must, and counts how often all parts are asked for."""

    name: str = "graph"
    state: State | None = None
    loads: int = 0
    events: list[Event] = field(factory=list)
    known: list[Known] = field(factory=list)
    flaws: list[Flaw] = field(factory=list)
    answer: Snapshot | Denied = field(factory=lambda: Snapshot("graph", (), {}))
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def load(self, _: str) -> State | None:
        self.loads += 1
        return self.state

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        assert list(tenant_ids) == [TENANT]
        if self.state is None:
            return {TENANT: None}
        parts = {name: body for name, body in self.state.parts.items() if name == "head"}
        lost = {name: why for name, why in self.state.lost.items() if name == "head"}
        return {TENANT: State(self.state.generation, parts, lost=lost, whole=False)}

    async def commit(self, _: str, state: State, events: Sequence[Event]) -> State:
        before = self.state or State()
        if state.generation != before.generation:
            raise Conflict("another commit came first", "")
        others = {} if state.whole else before.parts
        self.state = State(state.generation + 1, {**others, **state.parts})
        self.events += events
        return State(state.generation + 1, state.parts, whole=state.whole)

    async def note(self, flaw: Flaw) -> None:
        self.flaws.append(flaw)

    async def read(self, known: Known) -> Snapshot:
        self.known.append(known)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        if isinstance(self.answer, Denied):
            raise self.answer
        return self.answer

    async def close(self) -> None: ...

    async def poll(self, hour: int, answer: Snapshot | Denied) -> PollOutcome:
        self.answer, self.loads, self.events = answer, 0, []
        return await polled(self, hour)

    @property
    def whole(self) -> State:
        assert self.state is not None
        return self.state


def snapshot(score: float = 5.0) -> Snapshot:
    pages = {"scores-1": f"{score}", "profiles-1": "A"}
    return Snapshot("graph", days=(*days(3, 1), *days(0, 0, score)), catalogue=catalogue("A"), pages=pages)


UNCHANGED = Snapshot("graph", Unchanged(), Unchanged(), pages={"scores-1": "5.0", "profiles-1": "A"})


@pytest.mark.parametrize("answer", [UNCHANGED, Denied("not allowed", hint="allow it")], ids=["unchanged", "denied"])
async def test_a_poll_with_nothing_to_fold_loads_the_head_and_leaves_the_rest(answer: Snapshot | Denied) -> None:
    lab = Lab()
    await lab.poll(9, snapshot())
    before = dict(lab.whole.parts)
    assert before.keys() > {"head", "newest", "catalogue"}
    await lab.poll(10, answer)
    assert lab.loads == 0
    assert {**lab.whole.parts, "head": b""} == {**before, "head": b""}
    assert memory.head(lab.state)["last_attempt"] == "2026-11-28T10:00:00Z"
    changed = await lab.poll(11, snapshot(6.0))
    assert (changed.status, lab.loads) == ("ok", 1)
    assert "score.changed" in {event.type for event in lab.events}


async def test_what_is_committed_while_a_tenant_is_read_makes_its_poll_begin_anew() -> None:
    lab = Lab()
    await lab.poll(9, snapshot())

    async def noted() -> None:
        state = lab.whole
        await lab.commit(TENANT, memory.with_head(state, {**memory.head(state), "reports": {"weekly": "2026-W48"}}), [])

    lab.meanwhile = noted
    outcome = await lab.poll(10, snapshot(6.0))
    assert (outcome.status, len(lab.known)) == ("ok", 3)
    assert [event.type for event in lab.events].count("score.changed") == 1
    assert memory.head(lab.state)["reports"] == {"weekly": "2026-W48"}


async def test_a_lost_part_is_mended_by_the_poll_that_needs_it_and_read_again() -> None:
    lab = Lab()
    await lab.poll(9, snapshot())
    left = {name: body for name, body in lab.whole.parts.items() if name != "catalogue"}
    lab.state = evolve(lab.whole, parts=left, lost={"catalogue": "its document is gone"})
    quiet = await lab.poll(10, UNCHANGED)
    assert (quiet.status, lab.loads) == ("unchanged", 0)
    lab.state = evolve(lab.whole, lost={"catalogue": "its document is gone"})
    outcome = await lab.poll(11, snapshot(6.0))
    assert outcome.status == "ok"
    assert lab.known[-2].pages
    assert not lab.known[-1].pages, "now all is read"
    assert {"catalogue", "newest"} <= lab.whole.parts.keys()
    assert {event.type for event in lab.events} == {"score.observed", "score.changed", "control.score_changed"}
