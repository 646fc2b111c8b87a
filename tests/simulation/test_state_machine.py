"""Hypothesis drives the whole pipe, observe → store → deliver, with faults and crashes at moments of its own choice.

Whatever happens, in the end: delivered ∪ parked = committed events that concern the sink; what was delivered was
committed, with that very content; and every event was first offered in commit order within its tenant and stream. One
tenant has a second entry, of several units, of which two are folded a commit: then each unit is remembered as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta
from typing import Any

import hypothesis.strategies as st
from attrs import Factory, define
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector.app import severity_rules
from connector.config.values import ChangesConfig, TenantConfig
from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery
from connector.errors import Denied, Unavailable
from connector.formats import cloudevents
from connector.health.upkeep import Upkeep
from connector.model import Control, Day, Known, Profile, Reading, Receipt, Record, Snapshot
from connector.observe import memory, units
from connector.observe.poller import Poller
from connector.ports import Query, Source, Start
from connector.stores.sqlite import SqliteStore, open_store
from tests.conftest import examples
from tests.fake_graph import JumpClock
from tests.fakes.folder import quick_folder
from tests.fakes.several_units import listed, one
from tests.fakes.sink import delivery

EXAMPLES = examples(20)
STEPS = 30

AZURE = TenantConfig("contoso-azure", "11111111-1111-1111-1111-111111111111", source="defender_cloud")
TENANTS = {name: f"{n}1111111-1111-1111-1111-111111111111" for n, name in enumerate(("contoso", "fabrikam"), 1)}
CONTROLS = ("AdminMFAV2", "BlockLegacy", "scid_2010")
FILTERS = {
    "archive": Filter(),
    "soc": Filter(streams=frozenset({"score", "change", "health"}), backfilled=False),
    "siem": Filter(tenants=("contoso",), exclude=("score.observed",)),
}
MODES = (
    "ok",
    "ok",
    "down",
    "throttled",
    "denied",
    "partial",
    "first_only",
    "silent",
    "die_after_accepting",
    "bug",
    "choke",
)


class Crash(BaseException):
    """The process dies here. Nothing of ours may catch it."""


@define
class Fuse:
    """Crashes at the n-th point where the process touches the world outside; None = never."""

    left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash


class CrashingStore:
    """The real store; the process may die before or after anything it is asked."""

    def __init__(self, inner: SqliteStore, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            result = await method(*args, **kwargs)
            self._fuse.burn()
            return result

        return call


@define
class Receiver:
    """The far end: outlives every crash. `got` = id → contents it was given; `offered` = ids in order of arrival."""

    name: str
    fuse: Fuse
    mode: str = "ok"
    max_records: int = 4
    max_bytes: int = 1_000_000
    replay_window_s: float = 0.0
    got: dict[str, set[str]] = Factory(dict)
    offered: list[str] = Factory(list)

    def take(self, record: Record) -> None:
        self.got.setdefault(record.event_id, set()).add(str(record.payload))

    def dislikes(self, record: Record) -> bool:
        return self.name == "siem" and record.event_id[0] in "05"

    async def send(self, records: Sequence[Record]) -> Receipt:
        self.fuse.burn()
        self.offered += [r.event_id for r in records]
        if self.mode in ("down", "throttled"):
            raise Unavailable("refused", 30.0 if self.mode == "throttled" else None)
        if self.mode == "denied":
            raise Denied("403", "grant it")
        if self.mode == "bug":
            raise ZeroDivisionError
        if self.mode == "choke" and any(r.event_id[1] in "0123" for r in records):
            raise Unavailable("reset by peer")
        rejected = {r.event_id: "no" for r in records if self.dislikes(r)}
        good = [r for r in records if r.event_id not in rejected]
        if self.mode == "partial":
            good = good[::2]
        elif self.mode == "first_only":
            good, rejected = good[:1], {}
        elif self.mode == "silent":
            good, rejected = [], {}
        for record in good:
            self.take(record)
            self.fuse.burn()
        if self.mode == "die_after_accepting":
            raise Unavailable("reset after everything was read")
        return Receipt(accepted=frozenset(r.event_id for r in good), rejected=rejected)

    async def probe(self) -> None: ...

    async def close(self) -> None: ...


@define
class Life:
    """What Graph holds of one tenant: the scores of each day, oldest first, and the states of its controls."""

    tenant_id: str
    days: list[dict[str, float]] = Factory(list)
    states: dict[str, str] = Factory(dict)

    def snapshot(self) -> Snapshot:
        newest = len(self.days) - 1
        return Snapshot(
            source="files",
            days=tuple(self._day(n, scores, detailed=n == newest) for n, scores in enumerate(self.days)),
            catalogue={name: Profile(id=name, title=name, max_score=10.0) for name in CONTROLS},
        )

    def _day(self, n: int, scores: dict[str, float], *, detailed: bool) -> Day:
        day = (date(2026, 1, 1) + timedelta(days=n)).isoformat()
        controls = {name: Control(name, "Identity", points, 10 * points) for name, points in scores.items()}
        total = sum(scores.values())
        return Day(f"{self.tenant_id}_{day}", day, total, 10.0 * len(scores), controls, detailed=detailed)


@define
class Estate:
    """What Azure holds: how many resources of each subscription are healthy, of ten."""

    clock: JumpClock
    healthy: dict[int, int] = Factory(lambda: {1: 5, 2: 5, 3: 10})

    def reading(self) -> Reading:
        today = self.clock.now().date().isoformat()
        found = tuple(one(number, today, healthy=count) for number, count in sorted(self.healthy.items()))
        return Reading("defender_cloud", found, listed(*found), pages={"scores-1": f"{today} {self.healthy}"})


class FakeSource:
    name = "files"

    def __init__(self, life: Life | Estate, fuse: Fuse) -> None:
        self.life, self.fuse = life, fuse

    async def read(self, known: Known) -> Snapshot | Reading:
        self.fuse.burn()
        return self.life.snapshot() if isinstance(self.life, Life) else self.life.reading()

    async def close(self) -> None: ...


sinks = st.sampled_from(list(FILTERS))
tenants = st.sampled_from(list(TENANTS))
fuses = st.none() | st.integers(0, 25)
points = st.sampled_from([0.0, 2.0, 5.0, 10.0])


class Pipe(RuleBasedStateMachine):
    """One connector, two tenants, three receivers."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.quick = quick_folder()
        self.folder = self.quick.__enter__()
        self.clock = JumpClock("2026-03-01T00:00:00+00:00")
        self.fuse = Fuse()
        self.lives = {name: Life(tenant_id) for name, tenant_id in TENANTS.items()}
        self.estate = Estate(self.clock)
        self.receivers = {name: Receiver(name, self.fuse) for name in FILTERS}
        self.receivers["siem"].replay_window_s = 60.0
        self.crashes = 0
        self.store: SqliteStore | None = None

    # ------------------------------------------------------------------------------------------------ birth and death

    @initialize(days=st.lists(st.fixed_dictionaries(dict.fromkeys(CONTROLS, points)), min_size=1, max_size=4))
    def begin(self, days: list[dict[str, float]]) -> None:
        for life in self.lives.values():
            life.days = [dict(day) for day in days]
        self.start()
        for tenant in TENANTS:
            self.poll(tenant, None)
        self.poll_units(None)

    def start(self) -> None:
        async def opened() -> SqliteStore:
            store = await open_store(self.folder / "state.db", clock=self.clock)
            await store.attach([Start(name) for name in FILTERS])
            return store

        self.store = self.runner.run(opened())
        crashing: Any = CrashingStore(self.store, self.fuse)

        async def source(tenant: TenantConfig) -> Source:
            return FakeSource(self.estate if tenant is AZURE else self.lives[tenant.name], self.fuse)

        severity = severity_rules()
        self.poller = Poller(crashing, self.clock, source, ChangesConfig(), severity, max_days_a_commit=2)
        self.upkeep = Upkeep(crashing, self.clock, severity, 10**9, 400, "host1")
        self.loops: dict[str, Delivery] = {
            name: delivery(crashing, receiver, self.clock, wants=FILTERS[name])
            for name, receiver in self.receivers.items()
        }

    def stop(self) -> None:
        if self.store is not None:
            self.runner.run(self.store.close())
            self.store = None

    def live(self, work: Callable[[], Awaitable[object]], fuse: int | None = None) -> None:
        """Do something that the process may not survive; then it starts again."""
        self.fuse.left = fuse

        async def guarded() -> bool:
            try:
                await work()
            except Crash:
                return False
            return True

        survived = self.runner.run(guarded())
        self.fuse.left = None
        if not survived:
            self.crashes += 1
            self.stop()
            self.start()

    # ---------------------------------------------------------------------------------------------------------- rules

    @rule(tenant=tenants, scores=st.fixed_dictionaries(dict.fromkeys(CONTROLS, points)), fuse=fuses)
    def a_new_day(self, tenant: str, scores: dict[str, float], fuse: int | None) -> None:
        self.lives[tenant].days.append(scores)
        self.poll(tenant, fuse)

    @rule(tenant=tenants, control=st.sampled_from(CONTROLS), score=points, back=st.integers(0, 2), fuse=fuses)
    def a_revision(self, tenant: str, control: str, score: float, back: int, fuse: int | None) -> None:
        days = self.lives[tenant].days
        days[max(0, len(days) - 1 - back)][control] = score
        self.poll(tenant, fuse)

    @rule(tenant=tenants, fuse=fuses)
    def poll(self, tenant: str, fuse: int | None) -> None:
        config = TenantConfig(tenant, TENANTS[tenant], source="files")
        self.live(lambda: self.poller.poll(config), fuse)

    @rule(number=st.integers(1, 6), healthy=st.integers(0, 10), fuse=fuses)
    def a_subscription_moves_or_comes(self, number: int, healthy: int, fuse: int | None) -> None:
        self.estate.healthy[number] = healthy
        self.poll_units(fuse)

    @precondition(lambda self: len(self.estate.healthy) > 1)
    @rule(number=st.integers(1, 6), fuse=fuses)
    def a_subscription_goes(self, number: int, fuse: int | None) -> None:
        self.estate.healthy.pop(number, None)
        self.poll_units(fuse)

    @rule(fuse=fuses)
    def poll_units(self, fuse: int | None) -> None:
        self.live(lambda: self.poller.poll(AZURE), fuse)

    @rule(sink=sinks, weather=st.lists(st.sampled_from(MODES), min_size=1, max_size=10), fuse=fuses)
    def deliver(self, sink: str, weather: list[str], fuse: int | None) -> None:
        async def work() -> None:
            for mode in weather:
                self.receivers[sink].mode = mode
                turn = await self.loops[sink].turn()
                await self.clock.sleep(turn.wait_s)

        self.live(work, fuse)

    @rule(sink=sinks, mode=st.sampled_from(MODES), turns=st.integers(5, 20))
    def a_long_spell(self, sink: str, mode: str, turns: int) -> None:
        self.deliver(sink, [mode] * turns, None)

    @rule(fuse=fuses)
    def look(self, fuse: int | None) -> None:
        self.live(lambda: self.upkeep.look([loop.health() for loop in self.loops.values()], purge=True), fuse)

    @rule(seconds=st.sampled_from([-86_400.0, -3600.0, 30.0, 3600.0, 86_400.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.runner.run(self.clock.sleep(seconds))

    @rule()
    def restart(self) -> None:
        self.stop()
        self.start()

    @precondition(lambda self: self.store is not None)
    @rule(sink=sinks)
    def an_operator_retries(self, sink: str) -> None:
        assert self.store is not None
        self.runner.run(self.store.unpark([], sink, "retry"))

    @precondition(lambda self: self.store is not None)
    @rule(sink=sinks, tenant=tenants)
    def an_operator_replays(self, sink: str, tenant: str) -> None:
        assert self.store is not None
        self.runner.run(self.store.replay(sink, Query(tenant_id=TENANTS[tenant])))

    # ---------------------------------------------------------------------------------------------------------- truths

    @invariant()
    def what_was_delivered_was_committed_with_that_content(self) -> None:
        if self.store is None:
            return
        committed = {e.id: cloudevents.dumps(e) for e in self.runner.run(self.store.history(Query()))}
        for receiver in self.receivers.values():
            for event_id, contents in receiver.got.items():
                assert contents == {committed.get(event_id)}, (receiver.name, event_id)

    def teardown(self) -> None:
        try:
            if self.store is not None:
                self.runner.run(self.settle_down())
        finally:
            self.stop()
            self.runner.close()
            self.quick.__exit__(None, None, None)

    async def settle_down(self) -> None:
        """All receivers are well again: everything comes."""
        assert self.store is not None
        await self.units_are_remembered(self.store)
        for name, receiver in self.receivers.items():
            receiver.mode = "ok"
            for _ in range(1000):
                turn = await self.loops[name].turn()
                if turn.state == "idle":
                    break
                await self.clock.sleep(turn.wait_s)
            else:
                raise AssertionError(f"{name} does not come to rest: {turn}")
        committed = await self.store.history(Query())
        for name, receiver in self.receivers.items():
            wanted = [e for e in committed if FILTERS[name].wants(e)]
            parked = {p.event.id: p.reason for p in await self.store.parked(name)}
            assert receiver.got.keys() | parked.keys() == {e.id for e in wanted}, name
            for reason in parked.values():  # siem says "no"; else it takes proof that others were taken
                assert (name == "siem" and reason == "no") or "while others were taken" in reason
            first_offer = list(dict.fromkeys(receiver.offered))
            for key in {(e.entry, e.stream) for e in wanted}:
                expected = [e.id for e in wanted if (e.entry, e.stream) == key]
                offered = [i for i in first_offer if i in set(expected)]
                assert offered == [i for i in expected if i in set(offered)], (name, key)

    async def units_are_remembered(self, store: SqliteStore) -> None:
        """After one more poll: each unit as it is, if its day is not behind what is known, and nothing of any other."""
        outcome = await self.poller.poll(AZURE)
        assert outcome.status in ("ok", "unchanged"), outcome
        state = await store.load(AZURE.key)
        rows = units.roster(memory.head(state))
        _, views = units.split(state)
        assert {units.step(key) for key, row in rows.items() if row["kind"] == "subscription"} == views.keys()
        for snapshot in self.estate.reading().units:  # type: ignore[union-attr]
            assert snapshot.unit is not None
            key, (day,) = snapshot.unit.key, snapshot.days  # type: ignore[misc]
            known = memory.decode(views[units.step(key)]).newest
            assert known is not None
            assert (rows[key]["newest"], rows[key]["score"]) == (known.day.day, known.day.score)
            if known.day.day == day.day:
                assert known.day.score == day.score


TestPipe = Pipe.TestCase
TestPipe.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
