"""Thousands of random lives of tenants, with every habit and fault of the service, read and folded without a socket.

Nothing raises, every sum holds, no id comes twice, no state moves that did not, and once the faults are over what is
remembered is what is there.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from math import fsum
from random import Random
from typing import Any

import pytest
from attrs import define

from connector.app import severity_rules
from connector.clock import iso, parse_iso
from connector.errors import Denied, Unavailable, WrongTenant
from connector.model import Event, Known, Snapshot
from connector.observe.diff import effective_state
from connector.observe.events import Origin, stamp
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.simulator.bodies import Bodies
from connector.simulator.faults import KINDS, Fault, Faults
from connector.simulator.habits import HABITS, Habits
from connector.simulator.server import Simulation, plain_tokens
from connector.simulator.tenants import Tenant
from connector.simulator.world import World
from connector.sources.graph import GraphSource
from tests.fake_graph import JumpClock
from tests.fakes.socketless import PlainToken, Socketless

START = date(2026, 6, 1)
WORLDS = 125
TENANTS = 24
READS = 3
SIZE = 200_000  # bytes; what is larger is cut, floods included
SEVERITY = severity_rules()
READABLE = sorted(set(KINDS) - {"slow"} - {name for name in KINDS if name.startswith("write")})


@define
class Life:
    """One tenant between its first read and its last, as a poller keeps it, with all that was told of it."""

    source: GraphSource
    rules: Rules
    origin: Origin
    memory: Memory
    events: list[Event]
    pages: Mapping[str, str]

    async def read(self, now: str) -> str:
        """One read, folded; what became of it."""
        newest = self.memory.newest.day.day if self.memory.newest else None
        pages = {} if self.memory.refusal or self.memory.catalogue_refusal else self.pages
        known = Known(newest, had_days=newest is not None, had_profiles=self.memory.profiles is not None, pages=pages)
        try:
            snapshot = await self.source.read(known)
        except (Denied, Unavailable, WrongTenant) as error:
            return type(error).__name__
        seen = observe(self.memory, snapshot, self.rules, now)
        self.events += [stamp(change, self.origin, now, SEVERITY) for change in seen.changes]
        again = observe(seen.memory, snapshot, self.rules, now)
        assert again.changes == (), "what was folded once says nothing the second time"
        self.memory, self.pages = seen.memory, snapshot.pages
        return _became(snapshot)


def _became(snapshot: Snapshot) -> str:
    return f"{type(snapshot.days).__name__}, {type(snapshot.catalogue).__name__}"


def random_habits(draw: Random) -> Habits:
    return Habits(**{name: draw.choice((0.0, 0.0, 0.1, 0.5, 1.0)) for name in HABITS})


def random_fault(draw: Random) -> Fault:
    return Fault(
        draw.choice(READABLE),
        path=draw.choice(("", "", "skiptoken", "ControlProfiles", "secureScores?")),
        times=draw.choice((None, 1, 2)),
        after=draw.choice((0, 0, 1)),
        size_bytes=0,
    )


async def live(sim: Simulation, clock: JumpClock, who: Tenant, draw: Random) -> tuple[Life, Counter[str]]:
    """First contact and some more reads, hours or days apart, most of them in bad weather; then two in good weather."""
    source = GraphSource(
        http=Socketless(sim),
        base_url="https://graph.example",
        tenant_id=who.id,
        token=PlainToken(who.id),
        clock=clock,
        random=Random(who.number),
        backfill_days=draw.choice((1, 3, 7)),
        deadline_s=5.0,
        max_page_bytes=SIZE,
        max_pages=6,
    )
    life = Life(source, Rules(who.id), Origin(who.id, who.name), Memory(), [], {})
    became: Counter[str] = Counter()
    for number in range(READS + 2):
        sim.faults.clear()
        if number < READS and draw.random() < 0.6:
            sim.faults.add(random_fault(draw))
        if number:
            await clock.sleep(draw.choice((1, 5, 26, 26, 60)) * 3600 if number < READS else 26 * 3600)
        became[await life.read(iso(clock.now()))] += 1
    return life, became


def check_memory(memory: Memory, documents: list[dict[str, Any]]) -> None:
    """After a day of good weather the newest day is the one that is there, to the point."""
    if not documents or memory.refusal is not None:
        return
    (document,) = documents
    assert memory.newest is not None
    day = memory.newest.day
    assert (day.id, day.score, day.max_score) == (document["id"], document["currentScore"], document["maxScore"])
    assert {c.name: c.score for c in day.controls.values()} == {
        c["controlName"]: c["score"] for c in document["controlScores"]
    }


def check_states(life: Life, world: World, who: Tenant, last: datetime) -> None:
    """The state in force is known, the last event of a control says it, and no more moved than really did."""
    true = world.asserted(who.id, last)
    contact = world.minute(parse_iso(life.memory.first_newest or iso(last)))  # what was before that day is history
    told = Counter[str]()
    says: dict[str, str] = {}
    for event in life.events:
        if event.type == "control.state_changed":
            says[event.subject] = event.data["control"]["state"]
            told[event.subject] += not event.backfilled and event.data["direction"] != "unchanged"
    for name, profile in (life.memory.profiles or {}).items():
        updates = true.get(name, [])
        assert effective_state(profile).state == (updates[-1].state if updates else "Default"), name
        assert says.get(name, effective_state(profile).state) == effective_state(profile).state, name
        known = [u for u in updates if u.comment != "entered later"]
        states = ["Default", *(u.state for u in known)]
        moved = [u for u, before in zip(known, states, strict=False) if u.state != before]
        assert told[name] <= sum(u.minute >= contact for u in moved), name


def check_sums(event: Event) -> None:
    """What moved is the sum of what moved it, and of the rest that is shown."""
    data: Any = event.data
    if event.type != "score.changed" or data["delta"] is None:
        return
    moved = fsum(part["delta"] for part in data["contributions"] if part["delta"] is not None)
    assert round(moved + data["residual"] - data["delta"], 4) == 0
    for kind in ("by_category", "by_service", "by_tier"):
        assert round(fsum(data[kind].values()) - moved, 4) == 0, "every move belongs to one group"
        assert round(fsum(data["regrouped"][kind].values()), 4) == 0, "what a group gives another one gets"
    assert round(data["after"]["current"] - data["before"]["current"] - data["delta"], 4) == 0


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(n, marks=pytest.mark.long) for n in range(8, WORLDS))])
async def test_no_history_breaks_the_reader_or_the_sums(seed: int) -> None:
    draw = Random(seed)
    habits = random_habits(draw)
    world = World(seed, TENANTS, START, sizes=("small",), missing=0.1, habits=habits, catalogue=0.08)
    bodies, became = Bodies(world, 1_000_000), Counter[str]()
    for who in world.tenants:
        begin = world.start + timedelta(days=draw.randrange(5, 120), hours=draw.randrange(24))
        clock = JumpClock(begin.isoformat())
        sim = Simulation(world, clock, Faults(), plain_tokens, None, bodies)
        life, outcomes = await live(sim, clock, who, draw)
        became += outcomes
        check_states(life, world, who, clock.now())
        check_memory(life.memory, world.score_documents(who.id, clock.now(), 1))
        for event in life.events:
            check_sums(event)
        ids = Counter(f"{e.type} {e.id}" for e in life.events)
        assert [i for i, times in ids.items() if times > 1] == []
    assert sum(became.values()) == TENANTS * (READS + 2)
