"""Why points moved is one question: every view of a move, over lives that Hypothesis thinks of, gives one answer.

A life is told as a tenant lives it: users come and go, settings change, Microsoft moves maxima, controls and licences
come and go, somebody declares a control; days are revised, missing, late; months turn.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from attrs import define, evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.resources import load_data
from connector.model import Absent, Control, Day, Event, Profile, Snapshot, StateUpdate, Version
from connector.observe import memory as remember
from connector.observe import waterfall
from connector.observe.diff import fixed
from connector.observe.events import Origin, stamp
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory
from connector.observe.severity import SeverityRules
from connector.report import build
from connector.report.values import Material
from tests.conftest import examples

TENANT = "11111111-1111-1111-1111-111111111111"
_table = load_data("severity")
SEVERITY = SeverityRules(tuple(_table["rules"]), int(_table["default"]))
whole_lives = settings(max_examples=examples(25), deadline=None)

DAYS = [f"2026-10-{n}" for n in range(27, 32)] + [f"2026-11-{n:02}" for n in range(1, 13)]
NAMES = ("AdminMFAV2", "OneAdmin", "scid_2010")
MAXIMA = (5.0, 9.0, 10.0, 20.0)
STATES = ("Default", "Ignored", "ThirdParty", "Reviewed")
DEEDS = (
    *(
        "jitter",
        "jitter",
        "drift",
        "drift",
        "drift",
        "drift",
        "drop",
        "rise",
        "users",
        "users",
        "maximum",
        "maximum later",
        "state",
        "scored",
    ),
    *("licence", "points", "no total"),
)


@frozen
class Poll:
    snapshot: Snapshot
    now: str


@define
class World:
    """A tenant as Microsoft sees it."""

    day: int = 0
    hour: int = 9
    services: tuple[str, ...] = ("E3", "E5")
    total_known: bool = True
    count: dict[str, int] = field(factory=lambda: dict.fromkeys(NAMES, 90))
    total: dict[str, int] = field(factory=lambda: dict.fromkeys(NAMES, 100))
    top: dict[str, float] = field(factory=lambda: dict.fromkeys(NAMES, 10.0))
    catalogue_top: dict[str, float] = field(factory=lambda: dict.fromkeys(NAMES, 10.0))
    states: dict[str, list[StateUpdate]] = field(factory=lambda: {n: [] for n in NAMES})
    scored: set[str] = field(factory=lambda: set(NAMES))
    days: dict[str, Day] = field(factory=dict)

    def do(self, deed: str, name: str, much: int) -> None:
        if deed == "jitter":
            self.count[name] = max(0, min(self.total[name], self.count[name] + much - 3))
        elif deed == "drift":
            self.count[name] = max(0, self.count[name] - 4)
        elif deed == "drop":
            self.count[name] //= 2 + much
        elif deed == "rise":
            self.count[name] = self.total[name] - much
        elif deed == "users":
            self.total[name] = self.total[name] + 10 * much
            self.count[name] = min(self.total[name], self.count[name] + 9 * much)
        elif deed == "maximum":
            self.top[name] = self.catalogue_top[name] = MAXIMA[much % len(MAXIMA)]
        elif deed == "maximum later":
            self.catalogue_top[name] = MAXIMA[much % len(MAXIMA)]
        elif deed == "points":
            self.top[name] = self.catalogue_top[name]
        elif deed == "state":
            self.states[name].append(StateUpdate(STATES[much % len(STATES)], self.now(-1), "admin@contoso.example"))
        elif deed == "scored":
            self.scored ^= {name}
        elif deed == "licence":
            self.services = ("E3",) if self.services == ("E3", "E5") else ("E3", "E5")
        elif deed == "no total":
            self.total_known = not self.total_known

    def now(self, hours: int = 0) -> str:
        return f"{DAYS[self.day]}T{max(0, self.hour + hours):02}:00:00Z"

    def look(self, *, detailed: bool = True) -> Day:
        controls = {}
        for name in NAMES:
            if name not in self.scored:
                continue
            stated = bool(self.states[name]) and self.states[name][-1].state in ("ThirdParty", "Reviewed")
            percent = 100.0 if stated else round(100.0 * self.count[name] / self.total[name], 2)
            score = round(self.top[name] * percent / 100.0, 2)
            counts = (None, None) if name == "OneAdmin" else (self.count[name], self.total[name])  # some say nothing
            controls[name] = Control(name, "Identity", score, percent, None, *counts)
        score = round(sum(c.score or 0.0 for c in controls.values()), 2)
        day = DAYS[self.day]
        top = sum(self.top[name] for name in controls)
        return Day(
            f"{TENANT}_{day}",
            day,
            score if self.total_known else None,
            top,
            controls,
            services=self.services,
            detailed=detailed,
        )

    def catalogue(self) -> dict[str, Profile]:
        return {
            name: Profile(name, name, max_score=self.catalogue_top[name], updates=tuple(self.states[name]))
            for name in NAMES
        }


def stripped(day: Day) -> Day:
    bare = {n: c._replace(count=None, total=None) for n, c in day.controls.items()}
    return evolve(day, controls=bare, detailed=False)


@st.composite
def lives(draw: st.DrawFn) -> list[Poll]:
    world = World()
    polls: list[Poll] = []
    held: dict[str, Day] = {}
    while world.day < len(DAYS) - 1 and len(polls) < 9:
        for _ in range(draw(st.integers(0, 3))):
            world.do(draw(st.sampled_from(DEEDS)), draw(st.sampled_from(NAMES)), draw(st.integers(0, 6)))
        seen = world.look()
        held = {name: stripped(day) for name, day in held.items()}
        kept_back = draw(st.integers(0, 9)) == 0  # a day that comes late, or never
        if not kept_back:
            held[seen.day] = seen
        shown = tuple(held[name] for name in sorted(held)[-draw(st.sampled_from([3, 60])) :])
        known: Any = Absent("paging") if draw(st.integers(0, 7)) == 0 else world.catalogue()
        polls.append(Poll(Snapshot("graph", shown, known), world.now()))
        if kept_back and draw(st.booleans()):
            held[seen.day] = stripped(seen)
        if world.hour < 20 and draw(st.integers(0, 3)) == 0:
            world.hour += 6
        else:
            world.day, world.hour = world.day + draw(st.sampled_from([1, 1, 1, 2])), 9
            world.day = min(world.day, len(DAYS) - 1)
    return polls


def play(reads: Sequence[Poll], *, stored: bool = False) -> tuple[Memory, list[Event]]:
    """What is told, poll by poll; `stored` as the poller does it: through the bytes of the state each time."""
    memory, state = Memory(), None
    told: list[Event] = []
    for poll in reads:
        seen = observe(memory, poll.snapshot, Rules(TENANT), poll.now)
        told += [stamp(change, Origin(TENANT, "contoso"), poll.now, SEVERITY) for change in seen.changes]
        if stored:
            state = remember.encode(state, memory, seen.memory, {})
        memory = remember.decode(state) if stored else seen.memory
    return memory, told


def is_drift(cause: dict[str, Any]) -> bool:
    return any(words.startswith("since ") for words in cause["evidence"])


def is_one_step(cause: dict[str, Any]) -> bool:
    """Not so across days without a total, where a contribution may add up more moves than one event told."""
    return not any(" steps since " in words for words in cause["evidence"])


@whole_lives
@given(lives())
def test_what_is_told_does_not_depend_on_what_is_decoded(reads: list[Poll]) -> None:
    memory, told = play(reads)
    again, stored = play(reads, stored=True)
    assert [(e.id, e.data) for e in stored] == [(e.id, e.data) for e in told]
    assert again.versions() == memory.versions()


@whole_lives
@given(lives())
def test_an_event_and_its_contribution_name_one_cause(reads: list[Poll]) -> None:
    _, told = play(reads)
    parts = {
        (event.id, part["control"]): part["cause"]
        for event in told
        if event.type == "score.changed"
        for part in event.data["contributions"]
    }
    for event in told:
        if event.type in waterfall.TELLING and event.data["transition"] and event.data["delta"]:
            part = parts.get((event.data["transition"], event.subject))
            if part is not None and is_one_step(part) and not is_drift(event.data["cause"]):
                assert part == event.data["cause"]


@whole_lives
@given(lives())
def test_explain_and_the_report_name_the_cause_that_was_told(reads: list[Poll]) -> None:
    memory, told = play(reads)
    days = list(memory.versions().values())
    if len(days) < 2:
        return
    recorded = waterfall.recorded(told)
    for before, after in pairwise(days):
        data = waterfall.between([before, after], memory.profiles, recorded)
        for event in told:
            if event.type == "score.changed" and (event.data["before"], event.data["after"]) == (
                data["before"],
                data["after"],
            ):
                assert event.data["cause"] == data["cause"]
                assert event.data["contributions"] == data["contributions"]
        for part in data["contributions"]:
            moves = [t for t in recorded.get(part["control"], ()) if t.after == after.day.day]
            step = len(moves) == 1 and moves[0].before in (before.day.day, after.day.day)
            if step and moves[0].units == fixed(part["delta"]):
                assert part["cause"] == moves[0].cause.as_data()
            for event in told:
                if _same(event, part, before, after):
                    assert part["cause"]["label"] == event.data["cause"]["label"]
    known = Material("contoso", TENANT, {}, "graph", memory, tuple(told), (), ())
    report = build.build(known, build.period(days[0].day.day, days[-1].day.day))
    assert report.bridge is not None
    whole = waterfall.between(days, memory.profiles, recorded)
    assert [(m.control, m.cause.as_data()) for m in report.bridge.moves] == [
        (part["control"], part["cause"]) for part in whole["contributions"]
    ]
    by_cause: dict[str, int] = {}
    for pair in pairwise(days):
        for part in waterfall.between(pair, memory.profiles, recorded)["contributions"]:
            for label, units in waterfall.as_told(part["cause"]).shares(fixed(part["delta"])).items():
                if units:
                    by_cause[label] = by_cause.get(label, 0) + units
    assert {c.label: fixed(c.net) for c in report.bridge.causes} == by_cause


def _same(event: Event, part: dict[str, Any], before: Version, after: Version) -> bool:
    """Whether an event of a control told just this step, of versions that nobody rewrote since."""
    if event.type not in waterfall.TELLING or event.subject != part["control"] or event.data["delta"] != part["delta"]:
        return False
    days = [(event.data[side] or {}).get("day") for side in ("before", "after")]
    return days == [before.day.day, after.day.day] and event.data["revision"] == after.revision == before.revision == 0


@whole_lives
@given(lives())
def test_what_a_drift_is_told_for_explain_says_of_the_same_days(reads: list[Poll]) -> None:
    memory, told = play(reads)
    days = memory.versions()
    recorded = waterfall.recorded(told)
    for event in told:
        if event.type != "control.score_changed":
            continue
        path = [v for day, v in days.items() if event.data["before"]["day"] <= day <= event.data["after"]["day"]]
        ends = (event.data["before"]["day"], event.data["after"]["day"])
        if len(path) < 2 or (path[0].day.day, path[-1].day.day) != ends:
            continue
        across = [t for t in recorded[event.subject] if (t.before, t.after) == ends]
        for part in waterfall.between(path, memory.profiles, recorded)["contributions"]:
            if part["control"] == event.subject and part["delta"] == event.data["delta"]:
                assert part["cause"] in [t.cause.as_data() for t in across if t.units == fixed(part["delta"])]


@whole_lives
@given(lives())
def test_parts_of_a_cause_sum_to_the_move(reads: list[Poll]) -> None:
    _, told = play(reads)
    rows = [part for e in told if e.type == "score.changed" for part in e.data["contributions"]]
    for row in rows:
        parts = row["cause"].get("parts")
        if parts:
            assert sum(fixed(part["points"]) for part in parts) == fixed(row["delta"])
            assert row["cause"]["label"] == parts[0]["label"]
            assert abs(parts[0]["points"]) == max(abs(part["points"]) for part in parts)


def test_a_life_reaches_every_kind_of_cause() -> None:
    """Otherwise the properties above would hold for want of anything to say."""
    labels: set[str] = set()
    drifts = shares = 0

    @settings(max_examples=60, derandomize=True, deadline=None, database=None)
    @given(lives())
    def gather(reads: list[Poll]) -> None:
        nonlocal drifts, shares
        for event in play(reads)[1]:
            if event.type in waterfall.TELLING:
                labels.add(event.data["cause"]["label"])
                drifts += is_drift(event.data["cause"])
                shares += "parts" in event.data["cause"]

    gather()
    assert labels == {"state_asserted", "catalogue", "licence", "population", "configuration", "unknown"}
    assert drifts
    assert shares
