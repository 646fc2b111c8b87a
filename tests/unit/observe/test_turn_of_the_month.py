"""Nothing that is told depends on how it was read, stored or cut: random lives of a tenant over several months.

Each life has missing, late and revised days, unknown totals, maxima of 0, states set and taken back, profiles that come
and go, targets, and a catalogue that is denied for weeks.
"""

from datetime import date, timedelta
from typing import Any

from attrs import evolve, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.config.values import ChangesConfig, TargetsConfig
from connector.ids import event_id
from connector.model import Absent, Change, Control, Day, Profile, Snapshot, StateUpdate
from connector.observe import memory as remember
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.ports import State
from tests.conftest import examples
from tests.fake_graph import TENANT

START = date(2026, 8, 25)
NAMES = ("A", "B", "C", "D")
RULES = Rules(
    TENANT,
    ChangesConfig(evidence=True, inventory="off"),
    TargetsConfig(percent_min=50.0, measured_percent_min=40.0, drop_points=3.0, controls=("A",)),
)
lives = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@frozen
class Read:
    snapshot: Snapshot
    now: str


def text(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


@st.composite
def a_day(draw: st.DrawFn, number: int) -> Day:
    points = draw(st.lists(st.sampled_from([0.0, 2.0, 4.5, 9.99, 10.0, None]), min_size=4, max_size=4))
    present = draw(st.sampled_from([4, 4, 4, 3, 1]))
    found = {
        name: Control(name, "Identity", score, None if score is None else 10.0 * score, count=draw(st.integers(4, 6)))
        for name, score in list(zip(NAMES, points, strict=True))[:present]
    }
    total = round(sum(control.score or 0.0 for control in found.values()), 4)
    return Day(
        f"{TENANT}_{text(number)}",
        text(number),
        draw(st.sampled_from([total, total, total, None])),
        draw(st.sampled_from([40.0, 40.0, 40.0, 0.0])),
        found,
        services=draw(st.sampled_from([("E3",), ("E3", "E5"), ()])),
        detailed=draw(st.booleans()),
    )


@st.composite
def life(draw: st.DrawFn) -> list[Read]:
    held: dict[int, Day] = {}
    histories: dict[str, tuple[StateUpdate, ...]] = dict.fromkeys(NAMES, ())
    reads = []
    today = 5
    for _ in range(draw(st.integers(2, 8))):
        today += draw(st.sampled_from([0, 0, 1, 1, 2, 9, 25]))
        for number in {today, *draw(st.lists(st.integers(max(0, today - 12), today), max_size=2))}:
            if draw(st.sampled_from([True, True, False])):
                held[number] = draw(a_day(number))
        name = draw(st.sampled_from(NAMES))
        if draw(st.booleans()):
            state = draw(st.sampled_from(["Ignored", "ThirdParty"]))
            moment = f"{text(draw(st.integers(max(0, today - 30), today)))}T05:00:00Z"
            histories[name] = draw(st.sampled_from([(), (*histories[name], StateUpdate(state, moment))]))
        catalogue: Any = {
            key: Profile(key, key, max_score=draw(st.sampled_from([10.0, 9.0])), updates=updates)
            for key, updates in histories.items()
            if draw(st.sampled_from([True, True, True, False]))
        }
        window = draw(st.sampled_from([4, 90]))
        days = tuple(held[n] for n in sorted(held) if n > today - window)
        part: Any = draw(st.sampled_from([days, days, days, Absent("partial")])) if days else Absent("partial")
        known = draw(st.sampled_from([catalogue, catalogue, Absent("denied")]))
        reads.append(Read(Snapshot("graph", part, known), f"{text(today)}T{draw(st.integers(0, 23)):02}:00:00Z"))
        today += 1 if draw(st.booleans()) else 0
    return reads


def ids(told: list[Change]) -> list[str]:
    return [event_id(TENANT, c.type, c.subject, c.before, c.after, c.occurrence) for c in told]


def in_memory(reads: list[Read]) -> tuple[Memory, list[Change]]:
    memory = Memory()
    told: list[Change] = []
    for read in reads:
        seen = observe(memory, read.snapshot, RULES, read.now)
        memory = seen.memory
        told += seen.changes
    return memory, told


@lives
@given(life())
def test_poll_by_poll_through_a_store_is_as_folding_in_memory(reads: list[Read]) -> None:
    """Every poll begins from bytes, of which it decodes what it asks for."""
    memory, told = in_memory(reads)
    state = State()
    stored: list[Change] = []
    for read in reads:
        old = remember.decode(State(1, dict(state.parts)) if state.parts else None)
        seen = observe(old, read.snapshot, RULES, read.now)
        state = remember.encode(state, old, seen.memory, {})
        stored += seen.changes
    assert stored == told
    assert remember.decode(state) == remember.decode(remember.encode(None, Memory(), memory, {}))


@lives
@given(life(), st.integers(1, 5))
def test_first_contact_at_once_is_as_in_batches(reads: list[Read], size: int) -> None:
    """And so is all that follows; nothing is told twice, and the same read once more is silent."""
    _, told = in_memory(reads)
    memory = Memory()
    batches: list[Change] = []
    done_once = False  # what comes after first contact is folded at once, always
    for read in reads:
        done = False
        while not done:
            first = memory.newest is None or not done_once
            seen = observe(memory, read.snapshot, RULES, read.now, size if first else None)
            memory, done = seen.memory, seen.done
            batches += seen.changes
        done_once = memory.newest is not None
    assert sorted(ids(batches)) == sorted(ids(told))
    assert dict(zip(ids(batches), batches, strict=True)) == dict(zip(ids(told), told, strict=True))
    assert len(set(ids(told))) == len(told)
    assert observe(memory, reads[-1].snapshot, RULES, reads[-1].now).changes == ()


@lives
@given(life())
def test_no_figure_of_a_refused_document_leaves(reads: list[Read]) -> None:
    """The documents named by what is told were accepted, except in what tells that they were refused."""
    memory: Memory = Memory()
    for read in reads:
        seen = observe(memory, read.snapshot, RULES, read.now)
        known = {version.day.id for version in seen.memory.versions().values()}
        for change in seen.changes:
            if change.type != "feed.suspicious" and change.data.get("snapshot"):
                assert change.data["snapshot"] in known, change.type
        memory = seen.memory


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.booleans())
def test_a_fact_that_toggles_is_told_each_time_with_an_id_of_its_own(steps: list[bool], through_store: bool) -> None:
    entry = (StateUpdate("ThirdParty", "2026-08-30T05:00:00Z"),)
    day = Day(f"{TENANT}_2026-08-30", "2026-08-30", 10.0, 10.0, {"A": Control("A", "", 10.0, 100.0)}, detailed=True)

    def run() -> list[str]:
        memory, told, now_set = Memory(), [], False
        expected = 0
        for wanted in [False, *steps]:
            for _ in range(2):  # what is read twice is told once
                profile = Profile("A", "A", updates=entry if wanted else ())
                counted = evolve(day, controls={"A": day.controls["A"]._replace(count=5 if wanted else 4)})
                seen = observe(memory, Snapshot("graph", (counted,), {"A": profile}), RULES, "2026-08-30T09:00:00Z")
                memory = seen.memory
                if through_store:
                    memory = remember.decode(remember.encode(None, Memory(), memory, {}))
                told += [c for c in seen.changes if c.type in ("control.state_changed", "control.evidence_changed")]
            expected += 2 * (wanted != now_set)
            now_set = wanted
        found = ids(told)
        assert len(found) == len(set(found)) == expected
        return found

    assert run() == run()  # on any machine


def test_the_first_occurrence_has_the_id_of_the_six() -> None:
    six = (TENANT, "control.state_changed", "A", "", "x#0")
    assert event_id(*six, 0) == event_id(*six)
    assert len({event_id(*six, n) for n in range(5)}) == 5
