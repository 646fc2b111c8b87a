"""The state file: its permissions, its lock, its versions, and what is said when it cannot be trusted or written."""

import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.errors import StoreBusy, StoreError
from connector.formats import cloudevents
from connector.ports import Query, Settlement, Start, State
from connector.stores import chunks, sqlite_file, sqlite_layout
from connector.stores.sqlite import SqliteStore, open_store
from tests.contract.store_contract import (
    AFTER_ALL,
    CONTOSO,
    add,
    event,
    events,
    numbers,
    seqs,
    settle,
    take_all,
    traced,
)
from tests.needs import missing
from tests.spoiled import spoil_events, spoil_rows

NOBODY = 65534


async def opened(path: Path, *, writer: bool = True, mode: int = 0o600, max_bytes: int | None = None) -> SqliteStore:
    clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))
    return await open_store(path, clock=clock, writer=writer, mode=mode, max_bytes=max_bytes)


async def filled(path: Path, count: int = 5, mode: int = 0o600) -> None:
    """A closed state file with some events of one tenant, and a sink that took two."""
    store = await opened(path, mode=mode)
    await store.attach([Start("siem")])
    await store.commit(CONTOSO, State(parts={"head": b"1"}), events(range(count)))
    due = await store.due("siem", 2)
    await store.settle("siem", Settlement("t", "t", tuple(seqs(due)), accepted=frozenset(seqs(due))))
    await store.close()


def incompressible(number: int) -> str:
    """So that the size of a state follows from what is put into it."""
    return random.Random(number).randbytes(1000).hex()


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Inside the block nobody may write these, and this process is nobody in particular, even when run as root."""
    for path in paths:
        path.chmod(path.stat().st_mode & 0o555)
    with nobody():
        yield


@contextmanager
def nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


async def refused(path: Path, match: str, *, writer: bool = True) -> StoreError:
    """The error that opening gives; it always says what to do next."""
    with pytest.raises(StoreError, match=match) as caught:
        await (await opened(path, writer=writer)).close()
    assert caught.value.hint
    return caught.value


# -------------------------------------------------------------------------------------------------------- permissions


@pytest.mark.parametrize(("mask", "mode"), [(0o000, 0o600), (0o077, 0o640), (0o777, 0o600)], ids=oct)
async def test_every_file_has_the_mode_from_the_start(tmp_path: Path, mask: int, mode: int) -> None:
    path = tmp_path / "state.db"
    with umask(mask):
        store = await opened(path, mode=mode)
        await add(store, events([1]))
    assert {p.name: permissions(p) for p in tmp_path.iterdir() if p.name != "state.db.lock"} == {
        "state.db": mode,
        "state.db-wal": mode,
        "state.db-shm": mode,
    }
    assert permissions(tmp_path / "state.db.lock") & ~mode == 0
    await store.close()


@pytest.mark.parametrize(
    ("was", "wanted", "now"), [(0o664, 0o640, 0o640), (0o640, 0o600, 0o600), (0o600, 0o640, 0o640)]
)
async def test_an_older_file_loses_what_is_allowed_too_much_and_gains_its_readers(
    tmp_path: Path, was: int, wanted: int, now: int
) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    path.chmod(was)
    store = await opened(path, mode=wanted)
    await add(store, events([9]))
    assert {permissions(path.with_name(f"state.db{end}")) for end in ("", "-wal", "-shm")} == {now}
    await store.close()


async def test_a_missing_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    store = await opened(tmp_path / "state" / "state.db")
    assert permissions(tmp_path / "state") == 0o700
    await store.close()
    error = await refused(tmp_path / "a" / "b" / "state.db", "No such file")
    assert "folder" in error.hint


async def test_it_lives_in_any_folder(tmp_path: Path) -> None:
    """Characters that mean something in a URI are only characters of a name here."""
    path = tmp_path / "a%20b?mode=memory#c ä" / "state.db"
    await filled(path)
    store = await opened(path, writer=False)
    assert (await store.stats()).events == 5
    await store.close()
    assert path.exists()


async def test_a_folder_that_may_not_be_written() -> None:
    with public_folder() as folder, read_only(folder):
        error = await refused(folder / "state.db", "Permission denied")
        assert "permission" in error.hint
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
async def test_a_file_that_may_only_be_read(clean: bool) -> None:
    """Commands that read still work where SQLite can do without writing; all else is refused with a hint."""
    with public_folder() as folder:
        path = folder / "state.db"
        await filled(path, mode=0o644)
        if not clean:  # what a killed writer leaves: a log that somebody must first bring home
            path.with_name("state.db-wal").write_bytes(b"\x00" * 100)
        with read_only(folder, *folder.iterdir()):
            await refused(path, "Permission denied")
            if not clean:
                await refused(path, "cannot be", writer=False)
                return
            store = await opened(path, writer=False)
            assert len(await store.history(Query())) == 5
            with pytest.raises(StoreError, match="cannot be written") as caught:
                await store.replay("siem", Query())
            assert "permission" in caught.value.hint
            await store.close()


async def test_a_group_reader_reads_beside_a_running_writer() -> None:
    with public_folder() as folder:
        path = folder / "state.db"
        writer = await opened(path, mode=0o644)
        await add(writer, events(range(3)))
        with read_only(folder):
            reader = await opened(path, writer=False)
            assert len(await reader.history(Query())) == 3
            await add(writer, events([3]))
            assert len(await reader.history(Query())) == 4
            await reader.close()
        await writer.close()


# --------------------------------------------------------------------------------------------------------------- lock


async def test_a_second_writer_is_told_who_holds_the_state(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await opened(path)
    with pytest.raises(StoreBusy) as caught:
        await opened(path)
    assert re.search(rf"process {os.getpid()} on \S+ since 2026-11-22T09:00:00Z \(.+\)", caught.value.holder)
    assert caught.value.holder in caught.value.what
    assert caught.value.hint
    await add(store, events([1]))
    await store.close()
    await (await opened(path)).close()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"[1]",
        b'{"pid": 1}',
        b"\xff" * 10_000,
        b'{"pid":1,"host":"a\\u001b[31m","since":2,"command":3}',
    ],
    ids=["empty", "no_json", "list", "short", "binary", "controls"],
)
async def test_whatever_stands_in_the_lock_file(tmp_path: Path, text: bytes) -> None:
    """It is information for people, not the lock."""
    path = tmp_path / "state.db"
    store = await opened(path)
    (tmp_path / "state.db.lock").write_bytes(text)
    with pytest.raises(StoreBusy) as caught:
        await opened(path)
    assert caught.value.holder.isprintable()
    await store.close()


async def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    """The text of the dead holder stays behind; the lock does not."""
    path = tmp_path / "state.db"
    code = (
        "import asyncio, sys, pathlib\n"
        "from connector.clock import SystemClock\n"
        "from connector.stores.sqlite import open_store\n"
        "async def main():\n"
        "    store = await open_store(pathlib.Path(sys.argv[1]), clock=SystemClock())\n"
        "    print('open', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(StoreBusy, match=f"process {process.pid} on "):
            await opened(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert str(process.pid) in (tmp_path / "state.db.lock").read_text()
    await (await opened(path)).close()


async def test_a_command_beside_needs_a_state(tmp_path: Path) -> None:
    error = await refused(tmp_path / "state.db", "no state at", writer=False)
    assert "once" in error.hint
    assert list(tmp_path.iterdir()) == [], "nothing is made by looking"


async def test_a_failed_open_lets_go_of_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 1000)
    await refused(path, "not a state file")
    path.unlink()
    await (await opened(path)).close()


# ------------------------------------------------------------------------------------------- what stands in the file


@pytest.mark.parametrize("writer", [True, False])
@pytest.mark.parametrize("content", [b"x" * 20_000, b"SQLite format 3\x00" + b"\xff" * 5000, b"{}"])
async def test_not_a_database(tmp_path: Path, content: bytes, writer: bool) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    error = await refused(path, r"is not a state file|is damaged|is a database of another program", writer=writer)
    assert str(path) in error.what
    assert path.read_bytes() == content


async def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE cookies (name)")
        other.commit()
    before = path.read_bytes()
    await refused(path, "another program")
    assert path.read_bytes() == before


async def test_an_empty_file_is_a_new_state(tmp_path: Path) -> None:
    """A crash between the birth of the file and that of its tables."""
    path = tmp_path / "state.db"
    path.touch()
    await refused(path, "the file is empty", writer=False)
    store = await opened(path)
    await add(store, events([1]))
    await store.close()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
async def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "state.db"
    await filled(path, 300)
    os.truncate(path, int(path.stat().st_size * share))
    error = await refused(path, "is damaged")
    assert "backup" in error.hint
    assert "evidence archive" in error.hint


async def test_a_torn_page_is_found_when_a_writer_opens(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path, 300)
    pages = path.stat().st_size // 4096
    found = 0
    for page in range(2, pages, 7):
        torn = tmp_path / f"torn{page}.db"
        content = bytearray(path.read_bytes())
        content[page * 4096 : page * 4096 + 512] = b"\x5a" * 512
        torn.write_bytes(content)
        try:
            await (await opened(torn)).close()
        except StoreError as error:
            found += 1
            assert error.hint  # noqa: PT017 (some torn pages hold nothing but text)
    assert found > pages // 7 / 2


async def test_verify_finds_damage_for_a_command(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path, 300)
    store = await opened(path, writer=False)
    await store.verify()
    await store.close()
    with path.open("r+b") as file:
        file.seek(-8192, os.SEEK_END)
        file.write(b"\x5a" * 8192)
    store = await opened(path, writer=False)
    with pytest.raises(StoreError, match="damaged"):
        await store.verify()
    await store.close()


@pytest.mark.parametrize("body", ["", "{}", "[1]", '{"id":', "\udc80", "[" * 100_000, '{"type":5,"id":1,"source":2}'])
async def test_one_unreadable_event_is_parked_and_the_queue_moves_on(tmp_path: Path, body: str) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    kept = cloudevents.dumps(event(3)).encode("ascii")
    head = kept[: kept.index(b'"time"')]  # what is still there of it is told
    spoil_events(path, [4], head + body.encode("utf-8", "surrogateescape"))
    store = await opened(path)
    assert numbers(await store.due("siem", 10)) == [2, 4]
    (parked,) = await store.parked()
    assert (parked.event.id, parked.event.subject, parked.event.tenant_id) == (event(3).id, "Control3", CONTOSO)
    assert parked.reason.startswith("unreadable in the state store")
    assert (await traced(store, 3))["state"] == "parked"
    assert [e.subject for e in await store.history(Query())] == [f"Control{n}" for n in range(5)]
    assert await take_all(store, "siem") == [2, 4]
    assert await store.unpark([], None, "discard") == 1
    assert await store.purge(AFTER_ALL) == 5
    await store.close()


async def test_a_queue_of_nothing_but_unreadable_events_moves_on(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path, 20)
    spoil_events(path, range(1, 20), b"")
    store = await opened(path)
    assert numbers(await store.due("siem", 3)) == [19]
    assert len(await store.parked()) == 17
    await store.close()


async def test_a_row_that_cannot_be_unpacked_loses_its_own_events_and_no_others(tmp_path: Path) -> None:
    """All of them are parked and told with their number; what they were is known by their ids."""
    path = tmp_path / "state.db"
    await filled(path, chunks.MAX_EVENTS * 2)
    first, second = range(chunks.MAX_EVENTS), range(chunks.MAX_EVENTS, chunks.MAX_EVENTS * 2)
    spoil_rows(path, [1])
    store = await opened(path)
    assert numbers(await store.due("siem", 3)) == list(second[:3])
    assert await take_all(store, "siem") == list(second)
    assert [p.event.id for p in await store.parked()] == [event(n).id for n in first[2:]], "two had been taken"
    (flaw,) = await store.flaws()
    assert (flaw.document, flaw.tenant_id, flaw.events) == (f"events 1-{len(first)}", CONTOSO, len(first))
    assert flaw.sinks == {"siem": len(first) - 2}
    (told,) = [f for f in await store.verify() if not f.at]
    assert (told.document, told.events) == (flaw.document, flaw.events)
    assert await store.purge(AFTER_ALL) == len(second), "of a damaged row nothing can be kept without the rest"
    assert await store.unpark([], None, "discard") == len(first) - 2
    assert await store.purge(AFTER_ALL) == len(first)
    assert await store.verify() == [], "and what was told of it is as old"
    await store.close()


async def test_of_old_events_only_the_parked_stay(tmp_path: Path) -> None:
    """Although they lie in one row with others."""
    store = await opened(tmp_path / "state.db")
    await store.attach([Start("siem"), Start("other")])
    await add(store, events(range(30)))
    await take_all(store, "other")
    await settle(store, "siem", accept=set(range(30)) - {3, 4, 20}, park=dict.fromkeys((3, 4, 20), "no"))
    assert await store.purge(AFTER_ALL) == 27
    assert await store.purge(AFTER_ALL) == 0
    assert await store.history(Query()) == events([3, 4, 20])
    assert numbers(await store.parked()) == [3, 4, 20]
    assert await store.verify() == []
    await add(store, events([3, 7]))
    assert numbers(await store.due("siem", 10)) == [7], "what was kept is known"
    await store.unpark([event(4).id], None, "retry")
    assert await take_all(store, "siem") == [7, 4]
    assert await store.verify() == []
    await store.close()


# ----------------------------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize("writer", [True, False])
async def test_a_newer_state_names_both_versions(tmp_path: Path, writer: bool) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    newest = len(sqlite_layout.MIGRATIONS)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {newest + 1}")
    error = await refused(path, f"version {newest + 1}.* up to {newest}", writer=writer)
    assert f"v{newest}.bak" in error.hint


def migrated(path: Path, *more: str) -> sqlite3.Connection:
    return sqlite_file.open_writer(path, 0o600, (*sqlite_layout.MIGRATIONS, more))


async def test_a_migration_leaves_a_backup_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    with (
        umask(0),
        closing(migrated(path, "ALTER TABLE chunk ADD COLUMN colour TEXT", "DELETE FROM state")) as connection,
    ):
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(sqlite_layout.MIGRATIONS) + 1
        assert connection.execute("SELECT count(colour), count(*) FROM chunk").fetchone() == (0, 1)
    await refused(path, "version")
    backup = tmp_path / f"state.db.v{len(sqlite_layout.MIGRATIONS)}.bak"
    assert permissions(backup) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.db", "state.db.lock", backup.name]
    path.unlink()
    backup.rename(path)
    store = await opened(path)
    assert await store.load(CONTOSO) == State(1, {"head": b"1"})
    assert numbers(await store.due("siem", 10)) == [2, 3, 4]
    await store.close()


async def test_the_open_items_of_an_older_state_are_found_by_tenant(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite_file.open_writer(path, 0o600, sqlite_layout.MIGRATIONS[:1])) as old:
        for seq, tenant in enumerate((CONTOSO, "other", CONTOSO), 1):
            values = (event(seq, tenant).id, tenant, cloudevents.dumps(event(seq, tenant)))
            old.execute(
                "INSERT INTO event (id, tenant, type, subject, observed_at, body) VALUES (?, ?, '', '', '', ?)", values
            )
        old.execute("INSERT INTO sink (name, position, beyond) VALUES ('siem', 3, 0)")
        old.execute("INSERT INTO item (sink, seq, state, attempts) SELECT 1, seq, 'due', 4 FROM event")
    store = await opened(path)
    assert numbers(await store.due("siem", 10, CONTOSO)) == [1, 3]
    assert [(p.seq, p.attempts) for p in await store.due("siem", 10, None, {CONTOSO})] == [(2, 4)]
    await store.close()


async def test_a_failed_migration_changes_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrated(path, "DELETE FROM chunk", "INSERT INTO nowhere VALUES (1)")
    store = await opened(path)
    assert (await store.stats()).events == len(await store.history(Query())) == 5
    await store.close()


async def test_a_command_does_not_migrate(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 0")
    error = await refused(path, "this program needs", writer=False)
    assert "migrates" in error.hint


async def test_a_new_file_is_laid_out_as_promised(tmp_path: Path) -> None:
    store = await opened(tmp_path / "state.db")

    def pragmas(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum", "journal_size_limit", "application_id")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    full, incremental = 2, 2
    assert await store._run(pragmas) == [
        "wal",
        full,
        1,
        incremental,
        sqlite_file.WAL_LIMIT_BYTES,
        sqlite_file.APPLICATION_ID,
    ]
    await store.close()


# -------------------------------------------------------------------------------------------------------------- space


async def fill_up(store: SqliteStore, stop_at: int = 2000) -> tuple[State, int]:
    """Commit until there is no more space; returns the last state that was acknowledged, and how many events."""
    state, count = await store.load(CONTOSO) or State(), (await store.stats()).events
    with pytest.raises(StoreError, match=r"no space|disk reports|bound") as caught:
        while count < stop_at:
            new = [event(n, filling=incompressible(n)) for n in range(count, count + 10)]
            state = await store.commit(CONTOSO, State(state.generation, {"n": str(count + 10).encode()}), new)
            count += 10
    assert caught.value.hint
    return state, count


async def consistent(store: SqliteStore, state: State, count: int) -> None:
    """Exactly what was acknowledged is there."""
    assert await store.load(CONTOSO) == state
    assert (await store.stats()).events == len(await store.history(Query())) == count
    await store.verify()


async def test_a_full_disk_stores_nothing_by_halves(tmp_path: Path) -> None:
    """With SQLite's own page limit in place of a disk: the same error on the same path, without root."""
    store = await opened(tmp_path / "state.db")
    await store.attach([Start("siem")])

    def limit(pages: int) -> Callable[[sqlite3.Connection], object]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    await store._run(limit(200))
    state, count = await fill_up(store)
    await consistent(store, state, count)
    due = await store.due("siem", 1000)
    assert len(due) == count
    await store._run(limit(100_000))
    await store.settle("siem", Settlement("t", "t", tuple(seqs(due)), accepted=frozenset(seqs(due[:7]))))
    await add(store, [event(-1)])
    assert len(await store.due("siem", 1000)) == count - 6
    await store.close()


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
            if os.geteuid() == 0:
                missing("mounting a small tmpfs is not allowed here")
            pytest.skip("mounting a small tmpfs needs root")
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()


async def test_a_really_full_disk(tmp_path: Path) -> None:
    """Stops with a hint, keeps what it acknowledged through a restart, goes on by itself when there is space again."""
    with small_disk("3m") as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(b"\x00" * 1_000_000)
        store = await opened(folder / "state.db")
        await store.attach([Start("siem")])
        state, count = await fill_up(store)
        assert count > 100
        await consistent(store, state, count)
        with suppress(StoreError):  # a settlement may still fit, or not
            await store.settle("siem", Settlement("t", "t", (1, 2), accepted=frozenset({1, 2})))
        unsettled = len(await store.due("siem", 10_000))
        assert unsettled in (count, count - 2)
        ballast.unlink()
        await add(store, [event(-1)])
        assert len(await store.due("siem", 10_000)) == unsettled + 1
        await fill_up(store)
        await store.close()
        store = await opened(folder / "state.db")
        assert len(await store.due("siem", 10_000)) == (await store.stats()).events - (count - unsettled)
        await store.verify()
        await store.close()


async def test_a_write_error_stores_nothing_by_halves(tmp_path: Path) -> None:
    """The kernel refuses to write on (a file size limit): an error inside a transaction, other than a full disk."""
    store = await opened(tmp_path / "state.db")
    await store.attach([Start("siem")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        state, count = await fill_up(store)
        await consistent(store, state, count)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await store.commit(CONTOSO, state, [event(-1)])
    assert len(await store.due("siem", 10_000)) == count + 1
    await store.verify()
    await store.close()


async def test_the_bound_refuses_commits_and_nothing_else(tmp_path: Path) -> None:
    """It names the sink that pins history; settling and purging make room; a smaller bound takes effect at once."""
    path = tmp_path / "state.db"
    store = await opened(path, max_bytes=6_000_000)
    await store.attach([Start("siem"), Start("dead")])
    state, count = await fill_up(store)
    await store.close()
    store = await opened(path, max_bytes=1_000_000)
    await consistent(store, state, count)
    await take_all(store, "siem")
    tried = tuple(seqs(await store.due("dead", 10)))
    await store.settle("dead", Settlement("t", "t", tried))
    with pytest.raises(StoreError, match=f"bound of 1000000 bytes; sink dead has not taken {count} events") as caught:
        await store.commit(CONTOSO, state, [event(-1)])
    assert "sinks release" in caught.value.hint
    assert await store.purge(AFTER_ALL) == 0
    assert await store.release("dead") == count
    assert await store.purge(AFTER_ALL) == count
    assert (await store.stats()).bytes < 1_000_000
    await store.commit(CONTOSO, state, [event(-1)])
    await store.close()


async def test_purge_gives_space_back_beside_a_reader(tmp_path: Path) -> None:
    """A reader in the way delays the end of the log, not the purge."""
    path = tmp_path / "state.db"
    store = await opened(path)
    await add(store, [event(n, filling=incompressible(n)) for n in range(12_000)])
    full = (await store.stats()).bytes
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT events FROM total").fetchone()
        assert await store.purge(AFTER_ALL) == 12_000
        assert reader.execute("SELECT events FROM total").fetchone() == (12_000,)
        reader.execute("COMMIT")
    await store.purge(AFTER_ALL)
    assert (await store.stats()).bytes < full / 50
    await store.close()


async def test_forgotten_text_is_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = await opened(path)
    secret = "forget-me-completely"
    await store.commit(CONTOSO, State(parts={"head": secret.encode()}), [event(n, note=secret) for n in range(50)])
    await store.commit("other", State(parts={"head": b"kept"}), [event(n, tenant="other") for n in range(50)])
    await store.forget(CONTOSO)
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
    await store.close()


# -------------------------------------------------------------------------------------------------------------- ledger


async def test_the_ledger_grows_with_batches_not_with_events(tmp_path: Path) -> None:
    store = await opened(tmp_path / "state.db")
    await store.attach([Start("siem")])
    await add(store, events(range(3000)))
    await take_all(store, "siem", limit=1000)

    def lines(connection: sqlite3.Connection) -> tuple[int, int]:
        count: tuple[int, int] = connection.execute(
            "SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM item)"
        ).fetchone()
        return count

    assert await store._run(lines) == (3, 0)
    assert (await traced(store, 1500))["state"] == "accepted"
    await store.purge(AFTER_ALL)
    assert await store._run(lines) == (0, 0)
    await store.close()
