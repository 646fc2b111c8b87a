"""An entry of several units, polled: one state, its units apart in it, in commits of bounded size that may stop."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from attrs import define, evolve, field

from connector.clock import SimulatedClock, parse_iso
from connector.config.values import ChangesConfig, TargetsConfig, TenantConfig
from connector.errors import Denied, StoreError
from connector.model import Absent, Change, Event, Reading, Snapshot, Unchanged
from connector.observe import memory, units
from connector.observe.events import stamp
from connector.observe.poller import Poller, PollOutcome
from connector.observe.severity import SeverityRules
from connector.ports import Flaw, Source, State
from tests.fakes.several_units import ENTRY, TENANT, SeveralUnits, listed, one, sub

PARTIAL = Absent("incomplete", "page 2 of scores: HTTP 500", hint="wait")


@define
class Lab:
    """One entry, polled with whatever reading is given, over a store that may stop after so many commits."""

    state: State | None = None
    events: list[Event] = field(factory=list)
    commits: list[tuple[State, Sequence[Event]]] = field(factory=list)
    flaws: list[Flaw] = field(factory=list)
    source: SeveralUnits = field(factory=SeveralUnits)
    stop_after: int | None = None
    entry: TenantConfig = ENTRY
    units_a_commit: int = 400

    async def load(self, key: str) -> State | None:
        assert key == self.entry.key
        return self.state

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        return {tenant_id: await self.load(tenant_id) for tenant_id in tenant_ids}

    async def commit(self, key: str, state: State, events: Sequence[Event]) -> State:
        assert key == self.entry.key
        assert state.generation == (self.state.generation if self.state else 0)
        assert {event.entry for event in events} <= {key}
        if self.stop_after is not None and len(self.commits) >= self.stop_after:
            raise StoreError("stopped", "")
        self.state = evolve(state, generation=state.generation + 1)
        self.events += events
        self.commits.append((self.state, events))
        return self.state

    async def note(self, flaw: Flaw) -> None:
        self.flaws.append(flaw)

    async def poll(self, at: str, *snapshots: Snapshot, **more: Any) -> PollOutcome:
        """One poll; everything read is listed as enabled unless `listed` says otherwise."""
        if "reading" in more:
            self.source.reading = more["reading"]
        else:
            whole = {"listed": listed(*snapshots), "pages": {"scores-1": f"{snapshots!r}"}, **more}
            self.source.reading = Reading("defender_cloud", snapshots, **whole)
        self.events, self.commits = [], []

        async def open_source(_: TenantConfig) -> Source:
            return self.source

        poller = Poller(
            store=self,  # type: ignore[arg-type]  # only what the poller uses
            clock=SimulatedClock(parse_iso(at)),
            open_source=open_source,
            changes=ChangesConfig(),
            severity=SeverityRules((), 3),
            max_days_a_commit=self.units_a_commit,
        )
        return await poller.poll(self.entry)

    @property
    def head(self) -> dict[str, Any]:
        return memory.head(self.state)

    def rows(self) -> Mapping[str, Any]:
        return units.roster(self.head)

    def told(self, kind: str = "*") -> Counter[tuple[str, str]]:
        """How many events of a type of which unit."""
        return Counter((e.type, e.data["unit"]["id"]) for e in self.events if kind in ("*", e.type))


async def test_each_unit_has_days_and_events_of_its_own_and_the_aggregate_stands_for_the_entry() -> None:
    lab = Lab()
    outcome = await lab.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28"), one(2, "2026-11-28", healthy=10))
    assert (outcome.status, outcome.newest_day, len(lab.commits)) == ("ok", "2026-11-28", 1)
    assert lab.told("score.observed") == {("score.observed", u): 1 for u in (sub(1), sub(2), TENANT)}
    assert {e.source for e in lab.events} == {
        f"urn:secure-score:defender-cloud:{sub(1)}",
        f"urn:secure-score:defender-cloud:{sub(2)}",
        f"urn:secure-score:defender-cloud:tenant:{TENANT}",
    }
    assert len({e.id for e in lab.events}) == len(lab.events)
    assert not any(e.backfilled for e in lab.events), "there is no history"

    lab_again = Lab()
    await lab_again.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28"), one(2, "2026-11-28", healthy=10))
    assert [e.id for e in lab.events] == [e.id for e in lab_again.events], "ids are a matter of input alone"

    rows = lab.rows()
    assert (rows[f"{sub(1)}/ascScore"]["score"], rows[f"{sub(1)}/ascScore"]["max"]) == (9.0, 14.0)
    assert rows[f"{TENANT}/ascScore"]["max"] == 100.0
    own = memory.decode(units.split(lab.state)[0])
    assert own.newest is not None
    assert set(own.newest.day.controls) == {sub(1), sub(2)}
    of_one = memory.decode(units.of_unit(lab.state, f"{sub(1)}/ascScore", units.whole(ENTRY)))
    assert of_one.newest is not None
    assert set(of_one.newest.day.controls) == {"c1", "c2"}


def with_days(*snapshots: Snapshot) -> Snapshot:
    """One unit's snapshots of several days as one, as saved answers bring them."""
    days = tuple(day for snapshot in snapshots if isinstance(snapshot.days, tuple) for day in snapshot.days)
    return evolve(snapshots[-1], days=days)


async def test_several_days_at_once_are_days_of_the_score_over_all_too() -> None:
    """At first contact all but the last are history; later they are news, and each move is told of its own day."""
    before, middle, last = "2026-11-26", "2026-11-27", "2026-11-28"
    lab = Lab(units_a_commit=2)
    first = with_days(one(1, before, healthy=4), one(1, middle, healthy=5), one(1, last, healthy=6))
    await lab.poll(f"{last}T09:00:00Z", first, with_days(one(2, middle), one(2, last)))
    assert lab.told("score.observed") == {("score.observed", u): 3 - (u == sub(2)) for u in (sub(1), sub(2), TENANT)}
    assert {e.data["day"] for e in lab.events if e.type == "score.observed" and not e.backfilled} == {last}
    own = memory.decode(units.split(lab.state)[0])
    assert {day: sorted(v.day.controls) for day, v in own.versions().items()} == {
        before: [sub(1)],
        middle: [sub(1), sub(2)],
        last: [sub(1), sub(2)],
    }

    more = [with_days(one(1, last, healthy=6), one(1, "2026-11-29", healthy=2), one(1, "2026-11-30", healthy=9))]
    more += [with_days(one(2, last), one(2, "2026-11-29"), one(2, "2026-11-30"))]
    await lab.poll("2026-11-30T09:00:00Z", *more)
    moves = [(e.data["unit"]["id"], e.data["day"]) for e in lab.events if e.type == "score.changed"]
    assert sorted(moves) == sorted((u, day) for u in (sub(1), TENANT) for day in ("2026-11-29", "2026-11-30"))
    assert not any(e.backfilled for e in lab.events)
    await lab.poll("2026-11-30T10:00:00Z", *more, pages={"files": "others"})
    assert lab.events == []


async def test_what_moves_in_one_unit_is_told_of_it_and_of_the_aggregate() -> None:
    lab = Lab()
    first = [one(n, "2026-11-28") for n in range(3)]
    await lab.poll("2026-11-28T09:00:00Z", *first)
    outcome = await lab.poll("2026-11-28T10:00:00Z", first[0], one(1, "2026-11-28", healthy=2), first[2])
    assert outcome.status == "ok"
    assert lab.told("control.score_changed") == {("control.score_changed", sub(1)): 1}
    assert ("score.changed", sub(1)) in lab.told()
    assert {unit for _, unit in lab.told()} == {sub(1), TENANT}
    change = next(e for e in lab.events if e.type == "control.score_changed")
    total = next(e for e in lab.events if e.type == "score.changed" and e.data["unit"]["id"] == sub(1))
    assert change.data["transition"] == total.id


async def test_the_same_bytes_again_are_one_commit_without_an_event() -> None:
    lab = Lab()
    first = [one(n, "2026-11-28") for n in range(3)]
    await lab.poll("2026-11-28T09:00:00Z", *first)
    before = lab.state
    outcome = await lab.poll("2026-11-28T10:00:00Z", *first)
    assert (outcome.status, len(lab.commits), lab.events) == ("ok", 1, [])
    same = Reading("defender_cloud", Unchanged(), Unchanged(), pages=lab.head["pages"])
    outcome = await lab.poll("2026-11-28T11:00:00Z", reading=same)
    assert (outcome.status, len(lab.commits), lab.events) == ("unchanged", 1, [])
    assert before is not None
    assert lab.state is not None
    assert {n: b for n, b in before.parts.items() if n != "head"} == {
        n: b for n, b in lab.state.parts.items() if n != "head"
    }
    assert lab.source.known[-1].pages == lab.head["pages"]
    assert lab.source.known[-1].newest_day == "2026-11-28"
    assert lab.head["last_success"] == "2026-11-28T11:00:00Z"


@pytest.mark.parametrize("stop_after", range(5))
async def test_a_poll_that_breaks_off_is_gone_on_with_and_tells_everything_once(stop_after: int) -> None:
    """First contact of seven units, two a commit, with a stop after each commit; and a day later with all of them."""
    lab, straight = Lab(units_a_commit=2), Lab(units_a_commit=2)
    for day, healthy in (("2026-11-28", 5), ("2026-11-29", 2)):
        snapshots = [one(n, day, healthy=healthy) for n in range(7)]
        await straight.poll(f"{day}T09:00:00Z", *snapshots)
        expected = [e.id for e in straight.events]
        assert len(straight.commits) == 4
        lab.stop_after = stop_after
        if stop_after < 4:
            with pytest.raises(StoreError):
                await lab.poll(f"{day}T09:00:00Z", *snapshots)
            assert not lab.rows() or lab.head.get("last_success", "") < day
        begun = [e.id for e in lab.events] if stop_after < 4 else []
        lab.stop_after = None
        await lab.poll(f"{day}T09:00:00Z", *snapshots)
        assert sorted([*begun, *(e.id for e in lab.events)]) == sorted(expected)
        assert not [e for e in lab.events if e.type == "unit.added"]
    assert straight.state is not None
    assert lab.state is not None
    assert lab.state.parts == straight.state.parts


async def test_a_partial_read_goes_on_with_the_units_it_has_and_says_nothing_of_the_whole() -> None:
    lab = Lab()
    await lab.poll("2026-11-28T09:00:00Z", *(one(n, "2026-11-28") for n in range(3)))
    outcome = await lab.poll("2026-11-29T09:00:00Z", one(0, "2026-11-29", healthy=2), partial=PARTIAL, listed=None)
    assert (outcome.status, outcome.reason) == ("partial", "incomplete")
    assert ("feed.partial", TENANT) in lab.told()
    assert ("control.score_changed", sub(0)) in lab.told()
    assert lab.told("score.observed") == {("score.observed", sub(0)): 1}
    assert not [e for e in lab.events if e.type in ("unit.removed", "control.removed")]
    assert lab.head["newest"] == "2026-11-28", "the aggregate is of a whole read"
    await lab.poll("2026-11-29T10:00:00Z", *(one(n, "2026-11-29", healthy=2) for n in range(3)))
    assert ("feed.recovered", TENANT) in lab.told()
    assert ("score.changed", TENANT) in lab.told()
    assert lab.head["newest"] == "2026-11-29"


async def test_units_come_and_go() -> None:
    lab = Lab()
    await lab.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28"), one(2, "2026-11-28", healthy=10))
    await lab.poll("2026-11-28T10:00:00Z", *(one(n, "2026-11-28", healthy=10 if n == 2 else 5) for n in (1, 2, 3)))
    assert lab.told("unit.added") == {("unit.added", sub(3)): 1}
    assert ("score.observed", sub(3)) in lab.told()
    left = [one(1, "2026-11-28"), one(3, "2026-11-28")]
    await lab.poll("2026-11-28T11:00:00Z", *left)
    assert lab.told("unit.removed") == {}
    assert lab.rows()[f"{sub(2)}/ascScore"]["gone_since"] == "2026-11-28T11:00:00Z"
    await lab.poll("2026-11-29T12:00:00Z", one(1, "2026-11-29"), one(3, "2026-11-29"))
    assert lab.told("unit.removed") == {("unit.removed", sub(2)): 1}
    assert f"{sub(2)}/ascScore" not in lab.rows()
    assert lab.state is not None
    assert not [name for name in lab.state.parts if sub(2) in name], "what is kept of it goes with it"


async def test_days_without_a_read_are_one_gap_and_not_one_a_unit() -> None:
    lab = Lab()
    await lab.poll("2026-11-25T09:00:00Z", *(one(n, "2026-11-25") for n in range(3)))
    await lab.poll("2026-11-29T09:00:00Z", *(one(n, "2026-11-29", healthy=2) for n in range(3)))
    assert lab.told("feed.gap") == {("feed.gap", TENANT): 1}
    assert {unit for kind, unit in lab.told() if kind == "control.score_changed"} == {sub(0), sub(1), sub(2)}


async def test_a_suspicious_day_is_refused_for_the_unit_it_is_of() -> None:
    lab = Lab()
    await lab.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28"), one(2, "2026-11-28"))
    whole = one(1, "2026-11-29")
    day = whole.days[0]  # type: ignore[index]
    cut = evolve(whole, days=(evolve(day, max_score=4.0, score=4.0, controls={"c2": day.controls["c2"]}),))
    for hour in (9, 10):
        await lab.poll(f"2026-11-29T{hour:02}:00:00Z", cut, one(2, "2026-11-29"))
        assert lab.told("feed.suspicious") == ({("feed.suspicious", sub(1)): 1} if hour == 9 else {})
        assert [e for e in lab.events if e.type == "control.removed"] == []
        row = lab.rows()[f"{sub(1)}/ascScore"]
        assert row["newest"] == "2026-11-28"
        assert [r["part"] for r in row["refused"]] == ["newest day"]
        assert lab.rows()[f"{sub(2)}/ascScore"]["newest"] == "2026-11-29"
    assert lab.source.known[-1].pages == {}, "what is refused is read again, whatever its bytes"


async def test_targets_are_judged_for_each_unit() -> None:
    entry = evolve(ENTRY, targets=TargetsConfig(percent_min=70))
    lab = Lab(entry=entry)
    await lab.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28", healthy=10), one(2, "2026-11-28", healthy=10))
    await lab.poll("2026-11-29T09:00:00Z", one(1, "2026-11-29", healthy=3), one(2, "2026-11-29", healthy=10))
    missed = lab.told("posture.target_missed")
    assert missed[("posture.target_missed", sub(1))] == 1
    assert ("posture.target_missed", sub(2)) not in missed


async def test_a_source_that_refuses_is_a_problem_of_the_entry() -> None:
    lab = Lab()
    for hour in (9, 10):
        outcome = await lab.poll(f"2026-11-28T{hour:02}:00:00Z", reading=Denied("no subscription", "assign Reader"))
        assert (outcome.status, outcome.reason) == ("failed", "denied")
        assert lab.told() == ({("connector.problem", TENANT): 1} if hour == 9 else {})
    await lab.poll("2026-11-28T11:00:00Z", one(1, "2026-11-28"))
    assert lab.told("connector.recovered") == {("connector.recovered", TENANT): 1}


async def test_subscriptions_without_a_score_are_remembered_and_no_event() -> None:
    lab = Lab()
    both = listed(one(1, "2026-11-28"), one(2, "2026-11-28"))
    outcome = await lab.poll("2026-11-28T09:00:00Z", one(1, "2026-11-28"), listed=both)
    assert outcome.status == "ok"
    assert lab.head["no_data"] == {"count": 1, "first": [[sub(2), "sub-2"]]}
    assert sub(2) not in {unit for _, unit in lab.told()}


@pytest.mark.parametrize("part", ["head", "newest", "catalogue"])
async def test_a_damaged_part_of_a_unit_stops_no_other(part: str) -> None:
    lab = Lab()
    await lab.poll("2026-11-28T09:00:00Z", *(one(n, "2026-11-28") for n in range(3)))
    name = f"u/{units.step(f'{sub(1)}/ascScore')}/{part}"
    assert lab.state is not None
    lab.state = evolve(lab.state, parts={**lab.state.parts, name: b"\x00"})
    await lab.poll("2026-11-29T09:00:00Z", *(one(n, "2026-11-29", healthy=2) for n in range(3)))
    anew = [e.data["unit"]["id"] for e in lab.events if e.type == "connector.problem"]
    assert anew == ([] if part == "catalogue" else [sub(1)])
    assert lab.told("score.observed")[("score.observed", sub(1))] >= 1
    changed = {unit for kind, unit in lab.told() if kind == "control.score_changed"}
    assert changed == {sub(0), sub(2)} | ({sub(1)} if part == "catalogue" else set())
    assert [flaw.document.partition(",")[0] for flaw in lab.flaws] == [f"{ENTRY.key}/{name}"]


async def test_a_damaged_head_of_the_entry_leaves_the_units_their_days() -> None:
    lab = Lab()
    await lab.poll("2026-11-28T09:00:00Z", *(one(n, "2026-11-28") for n in range(2)))
    assert lab.state is not None
    lab.state = evolve(lab.state, parts={**lab.state.parts, "head": b"\x00"})
    await lab.poll("2026-11-29T09:00:00Z", *(one(n, "2026-11-29", healthy=2) for n in range(2)))
    assert [e.data["unit"]["id"] for e in lab.events if e.type == "connector.problem"] == [TENANT]
    assert {unit for kind, unit in lab.told() if kind == "control.score_changed"} == {sub(0), sub(1)}
    assert not [e for e in lab.events if e.type == "unit.added"]


@pytest.mark.parametrize(
    "key", ["a/ascScore", "a/Score2", "A/ascscore", "a.b/c", "a/b/c", "ä \n/x", "x" * 300 + "/s", "/"]
)
def test_a_step_is_safe_and_one_units_own(key: str) -> None:
    step = units.step(key)
    assert set(step) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert len(step) <= units.MAX_STEP
    others = ["a/ascscore", "a/asc.score", "a.b/c.", "a/b.c", "x" * 299 + "/s", "a_53core/s"]
    assert step not in {units.step(other) for other in others if other != key}


@pytest.mark.parametrize(
    ("tenant", "source"), [(ENTRY, "defender_cloud"), (TenantConfig("contoso", TENANT), "connector")]
)
def test_what_the_connector_says_of_its_own_work_is_the_entrys(tenant: TenantConfig, source: str) -> None:
    change = Change("connector.write_back", "report", "", "1", "", {"summary": "written"})
    event = stamp(change, units.ours(tenant), "2026-11-28T09:00:00Z", SeverityRules((), 3))
    assert (event.entry, event.data["source"]) == (tenant.key, source)
