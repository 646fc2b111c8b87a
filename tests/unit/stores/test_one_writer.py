"""One writer of a state, whatever it is called, whoever removes its lock file, and wherever a copy of it lies."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.errors import StateRefused, StoreBusy, StoreError
from connector.ports import Start, State
from connector.stores import directory, sqlite, whereabouts
from connector.stores.lock import holder_of
from tests.contract.store_contract import CONTOSO, AnyStore, add, events, take_all

ROOT = Path(__file__).parents[3]
KINDS = ("sqlite", "directory")


async def opened(kind: str, path: Path, *, writer: bool = True) -> AnyStore:
    clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))
    if kind == "sqlite":
        return await sqlite.open_store(path, clock=clock, writer=writer)
    return await directory.open_store(path, clock=clock, writer=writer)


async def reasons(store: AnyStore) -> list[str]:
    return [flaw.reason for flaw in await store.flaws()]


HOLD = """
import asyncio, pathlib, sys
from connector.clock import SystemClock
from connector.stores import directory, sqlite
async def main(kind, path):
    where = {"sqlite": sqlite, "directory": directory}[kind]
    store = await where.open_store(pathlib.Path(path), clock=SystemClock())
    print("open", flush=True)
    await asyncio.sleep(60)
asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def held(kind: str, path: Path) -> Iterator[int]:
    """Another process is the writer of this state inside the block."""
    command = [sys.executable, "-c", HOLD, kind, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        try:
            yield process.pid
        finally:
            process.kill()


def by_link(path: Path) -> Path:
    link = path.parent / "elsewhere" / path.name
    link.parent.mkdir()
    link.symlink_to(path)
    return link


def by_a_linked_folder(path: Path) -> Path:
    link = path.parent / "linked"
    link.symlink_to(path.parent, target_is_directory=True)
    return link / path.name


def without_its_lock_file(path: Path) -> Path:
    path.with_name(f"{path.name}.lock").unlink()
    return path


def copied(path: Path) -> Path:
    there = path.parent / "copy"
    there.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        if file.is_dir():
            shutil.copytree(file, there / file.name)
        else:
            shutil.copy(file, there / file.name)
    return there / path.name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [by_link, by_a_linked_folder, without_its_lock_file, copied])
async def test_a_second_writer_is_refused_by_whatever_way_it_comes(
    tmp_path: Path, kind: str, way: Callable[[Path], Path]
) -> None:
    path = tmp_path / "state"
    await (await opened(kind, path)).close()
    with held(kind, path) as pid:
        second = way(path)
        with pytest.raises(StoreBusy) as caught:
            await opened(kind, second)
        assert caught.value.hint
        if way is not without_its_lock_file:
            assert f"process {pid} " in caught.value.what
        assert holder_of(path)
    assert holder_of(path) == ""
    await (await opened(kind, path)).close()


def test_a_bound_file_is_the_same_state(tmp_path: Path) -> None:
    """Another name of the file that no path leads back to: a hard link stands for a bind mount, which needs root."""
    path, other = tmp_path / "state.db", tmp_path / "other" / "state.db"
    other.parent.mkdir()

    async def through() -> None:
        first = await opened("sqlite", path)
        other.hardlink_to(path)
        with pytest.raises(StoreBusy):
            await opened("sqlite", other)
        await add(first, events([1]))
        await first.close()

    asyncio.run(through())


async def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "state.db").symlink_to(tmp_path / "target")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4711)
    if os.getuid() == 0:
        os.lchown(tmp_path / "state.db", 65534, 65534)
    for writer in (True, False):
        with pytest.raises(StateRefused, match="another user"):
            await opened("sqlite", tmp_path / "state.db", writer=writer)


async def test_the_mode_of_what_is_no_state_is_left_alone(tmp_path: Path) -> None:
    """A link in the place of the state leads to a file of another program."""
    target = tmp_path / "foreign"
    target.write_bytes(b"#!/bin/sh\n" * 100)
    target.chmod(0o755)
    (tmp_path / "state.db").symlink_to(target)
    with pytest.raises(StoreError):
        await opened("sqlite", tmp_path / "state.db")
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", KINDS)
async def test_a_state_that_was_replaced_under_its_writer_takes_no_commit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state"
    store = await opened(kind, path)
    await add(store, events([1]))
    path.rename(tmp_path / "away")
    with pytest.raises(StoreError, match="replaced"):
        await store.commit(CONTOSO, State(1, {}), events([2]))
    (tmp_path / "away").rename(path)
    await store.commit(CONTOSO, State(1, {}), events([2]))
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_older_copy_put_back_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state"
    store = await opened(kind, path)
    await add(store, events([1]))
    await store.close()
    copy = copied(path)
    store = await opened(kind, path)
    assert await reasons(store) == []
    await add(store, events([2]))
    await store.close()
    for file in tmp_path.glob("state*"):
        if not file.name.endswith(".lock"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    shutil.copytree(copy, path) if copy.is_dir() else shutil.copy(copy, path)
    store = await opened(kind, path)
    (flaw,) = await store.flaws()
    assert (flaw.reason, flaw.events, flaw.sinks) == ("state_restored", None, None)
    assert "it has 1 commits; when it was last used here it had 2" in flaw.what
    await store.close()
    store = await opened(kind, path)
    assert len(await reasons(store)) == 1, "once"
    await store.close()


async def test_a_lost_write_ahead_log_is_told(tmp_path: Path) -> None:
    """The writer was killed, and somebody took the file beside the state for rubbish."""
    path = tmp_path / "state.db"
    store = await opened("sqlite", path)
    await store.attach([Start("siem")])
    await add(store, events([1]))
    await store.close()
    store = await opened("sqlite", path)
    await add(store, events([2]))
    await take_all(store, "siem")
    kept = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    await store.close()
    for name, body in kept.items():
        (tmp_path / name).write_bytes(body)
    (tmp_path / "state.db-wal").unlink()
    (tmp_path / "state.db-shm").unlink()
    store = await opened("sqlite", path)
    assert await reasons(store) == ["state_restored"]
    await add(store, events([2, 3]))
    assert len(await take_all(store, "siem")) >= 2, "what was lost with it is offered again"
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_moved_state_is_no_news_and_a_copied_one_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state"
    await (await opened(kind, path)).close()
    copy = copied(path)
    store = await opened(kind, copy)
    assert await reasons(store) == ["state_copied"]
    await store.close()
    store = await opened(kind, path)
    assert await reasons(store) == [], "the one that stayed where it was"
    await store.close()
    moved = tmp_path / "moved"
    path.rename(moved)
    store = await opened(kind, moved)
    assert await reasons(store) == []
    await store.close()


@pytest.mark.parametrize(
    ("was", "now", "told"), [("a", "a", []), ("a", "b", ["state_copied"]), ("", "b", []), ("a", "", [])]
)
async def test_another_machine_is_told_where_machines_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was: str, now: str, told: list[str]
) -> None:
    """A container has none: each of its starts would look like a move."""
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(whereabouts, "_MACHINE", machine)
    machine.write_text(was)
    await (await opened("sqlite", tmp_path / "state.db")).close()
    machine.write_text(now)
    store = await opened("sqlite", tmp_path / "state.db")
    assert await reasons(store) == told
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_state_of_before_is_no_news(tmp_path: Path, kind: str) -> None:
    """It does not say which one it is, nor does the lock file."""
    path = tmp_path / "state"
    store = await opened(kind, path)
    await add(store, events([1]))
    await store.close()
    path.with_name("state.lock").write_bytes(b"")
    if kind == "sqlite":
        with sqlite3.connect(path) as connection:
            connection.executescript("DROP TABLE mark; DROP TABLE flaw")
        connection.close()
    else:
        for file in path.glob("home-*"):
            file.unlink()
    beside = await opened(kind, path, writer=False)
    assert list(await beside.flaws()) == list(await beside.verify()) == []
    await beside.close()
    for _ in range(2):
        store = await opened(kind, path)
        assert await reasons(store) == []
        await store.close()
    text = json.loads(path.with_name("state.lock").read_bytes())
    assert text.keys() == {"state", "commits"}
