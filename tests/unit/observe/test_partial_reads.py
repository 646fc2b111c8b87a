"""Reads that broke off: what was whole is kept and told once, what was missing comes as history, nothing is removed.

What a source notes of its input is remembered until it is read anew.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, cast

import pytest
from attrs import define, evolve, field

from connector.clock import SimulatedClock, parse_iso
from connector.config.values import ChangesConfig, TenantConfig
from connector.model import Absent, Control, Day, Event, Known, Note, Profile, Snapshot, StateUpdate, Unchanged
from connector.observe import memory
from connector.observe.poller import Poller, PollOutcome
from connector.observe.severity import SeverityRules
from connector.ports import Source, State

TENANT = "11111111-1111-1111-1111-111111111111"
BROKEN = Absent("denied", "page 2: HTTP 400", hint="what was read is kept")


async def polled(lab: Any, hour: int) -> PollOutcome:
    """One poll of the tenant, at this hour of 2026-11-28, by a laboratory that is both its source and its store."""

    async def open_source(_: TenantConfig) -> Source:
        return cast("Source", lab)

    poller = Poller(
        store=lab,
        clock=SimulatedClock(parse_iso(f"2026-11-28T{hour:02}:00:00Z")),
        open_source=open_source,
        changes=ChangesConfig(),
        severity=SeverityRules((), 3),
    )
    return await poller.poll(TenantConfig("contoso", TENANT))


@define
class Lab:
    """One tenant, polled with whatever snapshot is given; remembers what the source was told and what was committed."""

    state: State | None = None
    events: list[Event] = field(factory=list)
    known: list[Known] = field(factory=list)
    snapshot: Snapshot = field(factory=lambda: Snapshot("graph", (), {}))
    name: str = "graph"

    async def load(self, tenant_id: str) -> State | None:
        return self.state

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        return {tenant_id: await self.load(tenant_id) for tenant_id in tenant_ids}

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:
        self.state = evolve(state, generation=state.generation + 1)
        self.events += events
        return self.state

    async def read(self, known: Known) -> Snapshot:
        self.known.append(known)
        return self.snapshot

    async def close(self) -> None: ...

    async def poll(self, *, hour: int = 9, **parts: Any) -> PollOutcome:
        self.snapshot = Snapshot("graph", **parts)
        self.events = []
        return await polled(self, hour)

    @property
    def head(self) -> dict[str, Any]:
        return memory.head(self.state)

    def told(self) -> Counter[str]:
        return Counter(event.type for event in self.events)


def days(first: int, last: int, score: float = 5.0) -> tuple[Day, ...]:
    """Days before 2026-11-28, oldest first: from `first` days ago to `last` days ago."""
    found = []
    for back in range(first, last - 1, -1):
        day = (date(2026, 11, 28) - timedelta(days=back)).isoformat()
        controls = {"A": Control("A", "Identity", score, score * 10)}
        found.append(Day(f"{TENANT}_{day}", day, score, 10.0, controls, detailed=back == 0))
    return tuple(found)


def catalogue(*names: str, state: StateUpdate | None = None) -> dict[str, Profile]:
    return {name: Profile(name, name, max_score=10.0, updates=(state or StateUpdate("Default"),)) for name in names}


def with_controls(day: Day, *names: str) -> Day:
    return evolve(day, controls={name: Control(name, "Identity", 5.0, 50.0) for name in names})


async def test_a_feed_is_stale_where_that_was_told_and_nowhere_else() -> None:
    """What heartbeat and metrics count is what the event says: a day that is refused is one that came."""
    lab = Lab()
    old = with_controls(days(3, 3)[0], *"ABCDEFGH")
    outcome = await lab.poll(days=(old,), catalogue={})
    assert (outcome.stale, lab.told()["feed.stale"]) == (True, 1)
    assert (await lab.poll(days=Unchanged(), catalogue=Unchanged())).stale
    cut = with_controls(days(0, 0)[0], "A")
    outcome = await lab.poll(days=(old, cut), catalogue={})
    assert (outcome.stale, outcome.newest_day, lab.told()["feed.recovered"]) == (False, old.day, 1)
    assert lab.head["refusal"]


async def test_what_first_contact_lacked_comes_later_as_history() -> None:
    lab = Lab()
    broken = {"days": BROKEN, "catalogue": BROKEN}
    first = await lab.poll(days=days(18, 0), catalogue=catalogue("A"), partial=broken)
    assert (first.status, first.newest_day, first.hint) == ("partial", "2026-11-28", "what was read is kept")
    assert lab.told() == {"score.observed": 19, "control.observed": 1, "feed.partial": 2}
    assert {e.data["hint"] for e in lab.events if e.type == "feed.partial"} == {"what was read is kept"}

    again = await lab.poll(hour=10, days=days(18, 0), catalogue=catalogue("A"), partial=broken)
    assert (again.status, again.events) == ("partial", 0)
    assert lab.known[-1].days_missing

    whole = await lab.poll(hour=11, days=days(40, 0), catalogue=catalogue("A", "B"))
    assert whole.status == "ok"
    assert lab.told() == {"score.observed": 22, "feed.recovered": 2}, "B is no new profile: it was not read before"
    late = [e for e in lab.events if e.type == "score.observed"]
    assert {(e.backfilled, e.data["late"], e.severity) for e in late} == {(True, True, 0)}

    await lab.poll(hour=12, days=Unchanged(), catalogue=Unchanged())
    assert not lab.known[-1].days_missing
    await lab.poll(hour=13, days=days(0, 0), catalogue=catalogue("A", "B", "C"))
    assert lab.told() == {"profile.added": 1}, "from now on a new profile is news"


async def test_an_incomplete_catalogue_removes_nothing_and_hides_no_later_addition() -> None:
    lab = Lab()
    await lab.poll(days=days(3, 0), catalogue=catalogue("A", "B"))
    await lab.poll(hour=10, days=Unchanged(), catalogue=catalogue("A"), partial={"catalogue": BROKEN})
    assert lab.told() == {"feed.partial": 1}
    await lab.poll(hour=11, days=Unchanged(), catalogue=catalogue("A", "B", "C"))
    assert lab.told() == {"profile.added": 1, "feed.recovered": 1}


async def test_the_evidence_of_what_broke_off_is_asked_for_again_until_it_is_whole() -> None:
    lab = Lab()
    await lab.poll(days=days(3, 0), catalogue=Absent("partial", "x"), partial={"days": BROKEN})
    await lab.poll(hour=10, days=Absent("partial", "x"), catalogue=catalogue("A"))
    await lab.poll(hour=11, days=days(3, 0), catalogue=Unchanged())
    assert [known.days_missing for known in lab.known] == [False, True, True]


async def test_notes_stay_until_their_part_is_read_anew(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()
    odd = (Note("days", "odd day"), Note("catalogue", "odd profile"), Note("", "not taken: x"))
    with caplog.at_level(logging.WARNING, "securescore.poll"):
        first = await lab.poll(days=days(3, 0), catalogue=catalogue("A"), notes=odd)
        same = await lab.poll(hour=10, days=Unchanged(), catalogue=Unchanged())
        one = await lab.poll(hour=11, days=Unchanged(), catalogue=catalogue("A", "B"))
        none = await lab.poll(hour=12, days=days(3, 0), catalogue=catalogue("A", "B"))
    assert first.notes == same.notes == ("odd day", "odd profile", "not taken: x")
    assert (one.notes, none.notes) == (("odd day",), ())
    assert first.status == "ok", "what is odd was read all the same"
    assert lab.head["notes"] == []
    assert [r.note for r in caplog.records if r.getMessage() == "input.noted"] == [  # type: ignore[attr-defined]
        "odd day",
        "odd profile",
        "not taken: x",
    ], "each once, not at every poll"


async def test_notes_are_bounded() -> None:
    lab = Lab()
    notes = tuple(Note("days", f"{n} " + "x" * 2_000) for n in range(200))
    outcome = await lab.poll(days=days(3, 0), catalogue=catalogue("A"), notes=notes)
    assert len(outcome.notes) == 50
    assert max(map(len, outcome.notes)) == 1_000
    await lab.poll(hour=10, days=Unchanged(), catalogue=Unchanged())
    assert len(lab.head["notes"]) == 50
