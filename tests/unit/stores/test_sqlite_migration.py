"""A state of an older layout is led to the present one whole, or stays as it was, whenever the process dies.

Run as a program this file is the migrating process: it dies at its own n-th statement, or at the hand of the test.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.formats import cloudevents
from connector.model import Event
from connector.ports import Query, State
from connector.stores import sqlite_file, sqlite_layout
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import (
    AFTER_ALL,
    CONTOSO,
    FABRIKAM,
    HOSTILE,
    add,
    event,
    take_all,
)

MOMENTS = 8


async def opened(path: Path) -> SqliteStore:
    return await open_store(path, clock=SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC)))


def older(path: Path, version: int, new: Iterable[Event]) -> None:
    """A state as an earlier version left it: these events, one of them purged, and a sink "siem" that took all but
    what is due (3), parked (4) and offered again (5).
    """
    with closing(sqlite_file.open_writer(path, 0o600, sqlite_layout.MIGRATIONS[:version])) as old:
        old.execute("BEGIN")
        old.execute("INSERT INTO tenant VALUES (?, 7)", (CONTOSO,))
        old.execute("INSERT INTO state VALUES (?, 'head', X'01')", (CONTOSO,))
        old.executemany(
            "INSERT INTO event (id, tenant, type, subject, observed_at, body) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    *map(sqlite_layout.bind, (e.id, e.entry, e.type, e.subject, str(e.data["observed_at"]))),
                    cloudevents.dumps(e),
                )
                for e in new
            ],
        )
        (last,) = old.execute("SELECT max(seq) FROM event").fetchone()
        old.execute("INSERT INTO sink (name, position, beyond) VALUES ('siem', ?, 1)", (last - 1,))
        for seq, state in ((3, "due"), (4, "parked"), (5, "again")):
            old.execute("INSERT INTO item (sink, seq, state, attempts, reason) VALUES (1, ?, ?, 2, 'no')", (seq, state))
        if version > 1:
            old.execute("UPDATE item SET tenant = (SELECT e.tenant FROM event e WHERE e.seq = item.seq)")
        old.execute("INSERT INTO ledger VALUES (1, 1, 2, 'accepted', 't', 1, 't', '1-2')")
        old.execute("DELETE FROM event WHERE seq = 7")
        old.execute("UPDATE total SET events = (SELECT count(*) FROM event)")
        old.execute("COMMIT")


def mixed(count: int) -> list[Event]:
    """Of two tenants and the connector itself, at several moments, one with an id of its own kind, some hostile."""
    chance = random.Random(1)
    made = []
    moment = ""
    for n in range(1, count + 1):
        if n % 40 == 1:
            moment = f"2026-11-{1 + n // 40 % 28:02}T09:00:00Z"
        tenant = None if n % 50 == 0 else (FABRIKAM if n % 9 > 5 else CONTOSO)
        made.append(event(n, tenant=tenant, observed_at=moment, words=chance.choice([*HOSTILE.values()][:-1])))
    return made


async def as_before(path: Path, new: list[Event]) -> None:
    """All that was there is there, and goes on."""
    async with await opened(path) as store:
        assert await store.load(CONTOSO) == State(7, {"head": b"\x01"})
        kept = [e for e in new if e.data["number"] != 7]
        assert await store.history(Query()) == kept
        assert (await store.stats()).events == len(kept)
        (siem,) = (await store.stats()).sinks
        assert (siem.cursor, siem.backlog, siem.parked) == (2, 3, 1)
        assert [(p.seq, p.attempts) for p in await store.due("siem", 9)] == [(3, 2), (len(new), 0)]
        assert [(p.seq, p.attempts, p.reason) for p in await store.parked()] == [(4, 2, "no")]
        assert (await store.trace(new[0].id))[0]["state"] == "accepted"
        for query in (Query(tenant_id=FABRIKAM), Query(types=("control.*",), limit=3), Query(ids=(new[30].id,))):
            assert await store.history(query)
        assert await store.verify() == []
        await add(store, [new[8], event(10_000_000)])
        assert await take_all(store, "siem") == [3, len(new), 10_000_000, 5], "what was known is no news"
        assert await store.purge(AFTER_ALL) == len(kept)  # all but the parked one, and the new one
        assert await store.history(Query()) == [new[3]]
        assert await store.verify() == []


@pytest.mark.parametrize("version", [1, 2])
async def test_a_state_of_an_older_layout_goes_on_where_it_stood(tmp_path: Path, version: int) -> None:
    path = tmp_path / "state.db"
    new = mixed(700)
    older(path, version, new)
    size = path.stat().st_size
    await as_before(path, new)
    assert path.stat().st_size < size / 3, "what the older layout took more is given back"
    with closing(sqlite3.connect(tmp_path / f"state.db.v{version}.bak")) as backup:
        assert backup.execute("PRAGMA user_version").fetchone() == (version,)
        assert backup.execute("SELECT count(*) FROM event").fetchone() == (699,)


async def test_what_was_damaged_before_is_met_as_before(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    older(path, 2, mixed(50))
    with closing(sqlite3.connect(path)) as old:
        for seq, body in ((50, "torn\n\n"), (20, ""), (21, "\udc80")):
            raw = body.encode("utf-8", "surrogateescape")
            old.execute("UPDATE event SET body = CAST(? AS TEXT) WHERE seq = ?", (raw, seq))
        old.commit()
    async with await opened(path) as store:
        assert [p.seq for p in await store.due("siem", 9)] == [3]
        assert [p.seq for p in await store.due("siem", 9, "")] == []
        assert [p.seq for p in await store.parked()] == [4, 50]
        assert [f.document for f in await store.verify() if not f.at] == ["event 20", "event 21", "event 50"]
        assert len(await store.history(Query())) == 49


async def test_an_id_that_is_no_uuid_is_found_and_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    odd = [Event(name, "s", "feed.gap", "s", "t", event(n).data) for n, name in enumerate(HOSTILE.values())]
    upper = Event(event(1).id.upper(), "s", "feed.gap", "s", "t", event(1).data)
    new = [event(n) for n in range(1, 9)]
    older(path, 2, [*new[:5], *odd, upper, *new[5:]])
    async with await opened(path) as store:
        await add(store, [*odd, upper])
        assert (await store.stats()).events == 9 + len(odd), "one of them had been purged"
        for each in (*odd, upper):
            assert await store.history(Query(ids=(each.id,))) == [each]
        assert await store.verify() == []


# ------------------------------------------------------------------------------------------------------------- kill -9


def migrating(path: Path, statement: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, __file__, str(path), str(statement)], env=os.environ | {"PYTHONPATH": str(root)}
    )


async def test_killed_at_any_moment_it_begins_anew(tmp_path: Path) -> None:
    """At its statements, and at moments within the longest of them."""
    new = mixed(3000)
    source = tmp_path / "source.db"
    older(source, 2, new)
    chance = random.Random(3)
    killed = 0
    path = tmp_path / "state.db"
    shutil.copy(source, path)
    for turn in range(MOMENTS * 2):
        by_hand = turn % 2 == 0
        process = migrating(path, -1 if by_hand else 20 + turn * 3)
        if by_hand:
            while process.poll() is None and not path.with_name("state.db-wal").exists():
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
        killed += process.wait() == -signal.SIGKILL
        with closing(sqlite_file._connect(path, "rw")) as found:
            version = found.execute("PRAGMA user_version").fetchone()[0]
            tables = {name for (name,) in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            assert ("event" in tables, "chunk" in tables) == (version == 2, version == 3)
        if version == 3:
            await as_before(path, new)
            for left in tmp_path.glob("state.db*"):
                left.unlink()
            shutil.copy(source, path)
    assert killed > MOMENTS
    await as_before(path, new)


def main(path: Path, statement: int) -> None:
    connect = sqlite_file._connect

    def counted(where: Path, access: str) -> sqlite3.Connection:
        connection = connect(where, access)
        seen: list[str] = []

        def count(sql: str) -> None:
            if not seen or sql[:20] != seen[-1]:
                seen.append(sql[:20])
            if len(seen) == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        connection.set_trace_callback(count)
        return connection

    sqlite_file._connect = counted  # type: ignore[assignment]
    sqlite_file.open_writer(path, 0o600).close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
