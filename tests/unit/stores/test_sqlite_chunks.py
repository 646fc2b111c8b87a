"""However events fall into chunks, a store in SQLite holds what a plain list of them would.

Bounds of chunks, commits of one moment or of several, what is settled of them and what is purged are drawn.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.clock import SystemClock
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import Query, Settlement, Start
from connector.stores import chunks
from connector.stores.sqlite import SqliteStore, open_store
from tests.conftest import examples
from tests.contract.store_contract import AFTER_ALL, CONTOSO, FABRIKAM, add, event
from tests.fakes.folder import quick_folder

MOMENTS = tuple(f"2026-11-22T0{hour}:00:00Z" for hour in range(1, 6))
TENANTS = (CONTOSO, FABRIKAM)
TYPES = ("control.score_changed", "control.added", "score.changed", "control.observed")
LENGTHS = (0, 40, 3_000)
BOUNDS = st.tuples(st.sampled_from([1, 2, 3, 7, 256]), st.sampled_from([1, 1_000, 4_000, 512 * 1024]))
"""Of a chunk: events, octets."""


@define
class Plain:
    """The model: what is kept in its order, and what the sink has not settled."""

    kept: dict[str, Event] = Factory(dict)
    waiting: set[str] = Factory(set)

    def commit(self, new: Sequence[Event]) -> None:
        for each in new:
            if each.id not in self.kept:  # what is there already stays as it is
                self.kept[each.id] = each
                self.waiting.add(each.id)

    def history(self, query: Query) -> list[Event]:
        found = list(filter(lambda each: self._is_meant(each, query), self.kept.values()))
        return (found[::-1] if query.newest_first else found)[: query.limit]

    @staticmethod
    def _is_meant(each: Event, query: Query) -> bool:
        at = str(each.data["observed_at"])
        return (
            query.tenant_id in (None, each.entry)
            and (query.since or "") <= at < (query.until or "3")
            and (not query.types or any(fnmatchcase(each.type, glob) for glob in query.types))
            and query.subject in (None, each.subject)
            and (not query.ids or each.id in query.ids)
            and each.id.startswith(query.id_begin)
        )


@st.composite
def commits(draw: st.DrawFn) -> list[Event]:
    """Of one tenant: runs of a moment, in any order of moments; ids may come again, even with another content."""
    tenant = draw(st.sampled_from(TENANTS))
    runs = draw(
        st.lists(st.tuples(st.sampled_from(MOMENTS), st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=4)
    )
    padding = draw(st.sampled_from(LENGTHS))
    return [
        event(n, tenant, TYPES[n % len(TYPES)], f"Control{n % 5}", moment, filling="x" * padding * (n % 3))
        for moment, first, count in runs
        for n in range(first, first + count)
    ]


QUERIES = st.builds(
    Query,
    tenant_id=st.sampled_from([None, *TENANTS]),
    types=st.sampled_from([(), ("control.*",), ("score.changed",), ("control.added", "score.*"), ("tenant.*",)]),
    subject=st.sampled_from([None, None, "Control3"]),
    since=st.sampled_from([None, *MOMENTS]),
    until=st.sampled_from([None, *MOMENTS]),
    limit=st.sampled_from([None, 0, 1, 5]),
    newest_first=st.booleans(),
)
ROUNDS = st.lists(
    st.tuples(
        BOUNDS,
        commits(),
        st.sampled_from([0, 5, 1_000]),
        st.sets(st.integers(0, 29), max_size=8),
        st.sampled_from(["", MOMENTS[2], AFTER_ALL, AFTER_ALL]),
        QUERIES,
    ),
    min_size=1,
    max_size=5,
)
"""Bounds that chunks have from now on, a commit, how many are offered, which of these the sink leaves out, before when
is purged, and a question."""


async def settle(store: SqliteStore, plain: Plain, limit: int, left: set[int]) -> None:
    """A turn in which the sink takes all that is due, but for these places."""
    due = await store.due("siem", limit)
    assert [p.event.id for p in due] == [i for i in plain.kept if i in plain.waiting][: len(due)]
    assert len(due) == min(limit, len(plain.waiting))
    taken = [p for place, p in enumerate(due) if place not in left]
    plain.waiting -= {p.event.id for p in taken}
    all_, accepted = tuple(p.seq for p in due), frozenset(p.seq for p in taken)
    await store.settle("siem", Settlement(MOMENTS[0], MOMENTS[0], all_, accepted=accepted))


async def purge(store: SqliteStore, plain: Plain, before: str) -> None:
    """By whole chunks, so what is settled may stay; what waits or is not old does."""
    deleted = await store.purge(before)
    left = {each.id for each in await store.history(Query())}
    gone = plain.kept.keys() - left
    assert len(gone) == deleted
    assert not gone & plain.waiting
    assert all(str(plain.kept[i].data["observed_at"]) < before for i in gone)
    plain.kept = {i: each for i, each in plain.kept.items() if i in left}


def rows(path: Path) -> Iterator[tuple[int, list[Event]]]:
    """The first number of each chunk of the table, and its events."""
    with closing(sqlite3.connect(path)) as connection:
        for first, last, body in connection.execute("SELECT first, last, body FROM chunk ORDER BY first"):
            lines = chunks.lines_of(body, last - first + 1)
            yield first, [cloudevents.loads(line) for line in lines]


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(ROUNDS, st.integers(1, 36))
async def test_however_events_fall_into_chunks_all_is_as_in_a_list(rounds: Sequence[Any], id_length: int) -> None:
    plain = Plain()
    with quick_folder() as folder, pytest.MonkeyPatch.context() as patch:
        async with await open_store(folder / "state.db", clock=SystemClock()) as store:
            await store.attach([Start("siem")])
            for (most, octets), new, offered, left, before, query in rounds:
                patch.setattr(chunks, "MAX_EVENTS", most)
                patch.setattr(chunks, "MAX_BYTES", octets)
                await add(store, new, new[0].entry)
                plain.commit(new)
                if offered:
                    await settle(store, plain, offered, left)
                await purge(store, plain, before)
                some = list(plain.kept)[:2]
                by_id = (Query(ids=(each, "no such id")) for each in some)
                by_begin = (Query(id_begin=each[:id_length]) for each in some)
                for asked in (query, Query(), Query(newest_first=True), *by_id, *by_begin):
                    assert await store.history(asked) == plain.history(asked)
            assert await store.verify() == []
            lying = list(rows(folder / "state.db"))
            assert [e.id for _, found in lying for e in found] == list(plain.kept)
            assert all(len({(e.entry, e.data["observed_at"]) for e in found}) == 1 for _, found in lying)
            await settle(store, plain, 1_000, set())
            await purge(store, plain, AFTER_ALL)
            assert plain.kept == {}, "all of it settled"
