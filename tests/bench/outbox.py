"""The outbox and the turns at it: speed and size of the state, tenants set apart, and the longest step of the loop."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from attrs import evolve

from connector.app import open_app
from connector.clock import SimulatedClock, SystemClock
from connector.config.values import ChangesConfig, SinkConfig
from connector.deliver.delivery import ApartTenant
from connector.deliver.loop import drain
from connector.formats import cloudevents
from connector.mapping.load import load_mapping
from connector.model import Event, Receipt, Record, accept_all
from connector.ports import Settlement, Start, State
from connector.stores.sqlite import open_store
from tests.bench import ends
from tests.bench.measure import Figure, Round, Spent, clean_heap, cpu, in_turn, plain, ratio, times, wall
from tests.bench.reading import config
from tests.bench.sample import BATCH, TENANT, add, batches, delivery, filled, many, without_inventory
from tests.bench.servers import NOW, started

OTHER = "99999999-2222-3333-4444-555555555555"
TURN_EVENTS = 50
RENDERED = 200
POLLS_APART_S = 4 * 3600


async def speed(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    """Commit, due and settle of batches, against the plainest table that holds the same bytes."""
    numbers = iter(range(1_000_000))
    others: list[Spent] = []
    unique: list[Spent] = []
    own: list[Spent] = []

    async def ours() -> float:
        number = next(numbers)
        events = batches(many(sample, BATCH * count, number), BATCH)
        home = folder / f"ours-{number}"
        home.mkdir()
        async with await open_store(home / "state.db", clock=SystemClock()) as store:
            await store.attach([Start("out")])
            state = State()
            with wall() as spent:
                for batch in events:
                    state = await store.commit(TENANT, state, batch)
                    due = await store.due("out", BATCH)
                    seqs = [pending.seq for pending in due]
                    assert len(seqs) == BATCH
                    await store.settle("out", Settlement(at="2026-11-22T09:12:03Z", accepted=frozenset(seqs)))
        own.append(spent)
        return spent.seconds

    async def theirs() -> float:
        number = next(numbers)
        rows = [(event.id, cloudevents.dumps(event)) for event in many(sample, BATCH * count, number)]
        others.append(_insert(folder / f"plain-{number}.db", "event (body TEXT)", "(?2)", rows))
        unique.append(_insert(folder / f"unique-{number}.db", "event (id TEXT UNIQUE, body TEXT)", "(?1, ?2)", rows))
        return others[-1].seconds

    measured = await in_turn(ours, theirs, rounds)
    method = (
        f"wall; {BATCH} events a batch, WAL and synchronous=FULL on both sides; "
        "the rival stores the ready bytes in one column, finds nothing again and settles nothing"
    )
    events = BATCH * count
    return times(
        "outbox_vs_sqlite_insert",
        measured,
        method,
        events_a_second=events * rounds / sum(r.ours for r in measured),
        rival_events_a_second=events * rounds / sum(r.theirs for r in measured),
        against_a_rival_with_unique_ids=sum(s.seconds for s in unique[1:]) / sum(r.ours for r in measured),
        by_cpu_time=_by_cpu(own, others),
        by_cpu_time_against_unique_ids=_by_cpu(own, unique),
    )


def _insert(path: Path, table: str, values: str, rows: Sequence[tuple[str, str]]) -> Spent:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE {table}")
    insert = f"INSERT INTO {table.partition(' ')[0]} VALUES {values}"
    with wall() as spent:
        for start in range(0, len(rows), BATCH):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows[start : start + BATCH])
            connection.execute("COMMIT")
    connection.close()
    return spent


def _by_cpu(own: Sequence[Spent], others: Sequence[Spent]) -> float:
    """The same comparison by CPU time of this process, which a busy machine falsifies less; without the warm-up."""
    return median(b.cpu_s / a.cpu_s for a, b in zip(own[1:], others[1:], strict=True))


async def size(folder: Path, days: int) -> Figure:
    """What live days add to the state of one tenant, daily inventory and a sink that takes everything included."""
    sink = SinkConfig("out", "file", options={"path": str(folder / "events.jsonl"), "mode": "600"})
    state = folder / "state.db"
    with started("graph", tenants=1, size="mid") as server:
        settings = evolve(config(server, folder, sinks=[sink]), changes=ChangesConfig(inventory="daily"))
        clock = SimulatedClock(NOW)

        async def polls(count: int) -> int:
            """So many events of polls some hours apart; the state is closed afterwards."""
            events = 0
            async with open_app(settings, clock=clock) as app:
                for _ in range(count):
                    await clock.advance(POLLS_APART_S)
                    server.ask(f"advance {POLLS_APART_S}")
                    [outcome] = await app.poll_once()
                    assert outcome.error is None, outcome
                    await app.deliver_once(600.0)
                    events += outcome.events
            return events

        await polls(1)
        before = state.stat().st_size
        events = await polls(days * 86_400 // POLLS_APART_S)
        value = (state.stat().st_size - before) / events
    method = f"{days} days of one tenant of 120 controls after first contact; the whole state file, delivery included"
    return plain("state_bytes_an_event", [value], method, events_a_day=events / days)


class _Takes:
    """A sink that takes everything at once."""

    name = "out"
    replay_window_s = 0.0
    max_records = TURN_EVENTS
    max_bytes = 1_000_000

    async def probe(self) -> None:
        """It is always there."""

    async def send(self, records: Sequence[Record]) -> Receipt:
        return accept_all(records)

    async def close(self) -> None:
        """It holds nothing."""


async def apart(folder: Path, sample: Sequence[Event], rounds: int, turns: int, waiting: tuple[int, int]) -> Figure:
    """A turn of those who are well, while few and while many events of a tenant set apart wait."""
    few, many_ = waiting
    numbers = iter(range(1, 1_000_000))
    mapping = load_mapping("cloudevents")

    async def turn_beside(store: Any) -> float:
        queue = delivery(store, _Takes(), mapping)
        queue.apart[OTHER] = ApartTenant("other", queue.of_tenant(OTHER))
        await add(store, many(sample, TURN_EVENTS * turns, next(numbers)))
        with wall() as spent:
            for _ in range(turns):
                outcome = await queue.turn()
                assert outcome.sent == TURN_EVENTS, outcome
        return spent.cpu_s

    fuller = await filled(folder / "many", many(sample, many_, next(numbers)), tenant=OTHER)
    emptier = await filled(folder / "few", many(sample, few, next(numbers)), tenant=OTHER)
    async with fuller, emptier:
        measured = await in_turn(lambda: turn_beside(fuller), lambda: turn_beside(emptier), rounds)
    method = f"CPU; turns of {TURN_EVENTS} events with a sink that takes all; {many_} and {few} events wait apart"
    ms = 1000 / rounds / turns
    return ratio(
        "apart_growth",
        measured,
        method,
        ms_a_turn=ms * sum(r.ours for r in measured),
        ms_a_turn_with_few=ms * sum(r.theirs for r in measured),
    )


@contextmanager
def longest_step() -> Iterator[Spent]:
    """CPU time of the event loop's thread in the longest step of any task or callback."""
    longest = Spent()
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        spent = time.thread_time() - began
        longest.seconds = max(longest.seconds, spent)

    asyncio.Handle._run = timed  # type: ignore[method-assign,assignment]
    try:
        with clean_heap():
            yield longest
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


async def stall(folder: Path, sample: Sequence[Event], rounds: int, count: int) -> Figure:
    """The longest time for which nothing else can run, while OCSF events are delivered."""
    events = many(without_inventory(sample), count, 0)
    mapping = load_mapping("ocsf")
    numbers = iter(range(1, 1_000_000))
    with started("receivers") as server:
        async with ends.webhook(server) as sink:

            async def ours() -> float:
                number = next(numbers)
                async with await filled(folder / f"state-{number}", many(events, count, number)) as store:
                    with longest_step() as longest:
                        outcome = await drain(delivery(store, sink, mapping), 600.0)
                assert outcome.sent == count, outcome
                return longest.seconds

            async def theirs() -> float:
                with cpu() as spent:
                    for event in events[:RENDERED]:
                        mapping.render(event)
                return spent.seconds

            measured: list[Round] = await in_turn(ours, theirs, rounds)
    method = f"CPU of the loop's thread; {count} events delivered as OCSF batches over TLS"
    return ratio(
        "loop_stall_ms_vs_render",
        measured,
        method,
        longest_step_ms=1000 * sum(r.ours for r in measured) / rounds,
        rendering_ms=1000 * sum(r.theirs for r in measured) / rounds,
    )
