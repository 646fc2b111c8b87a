"""Whether the loops could open a state and poll against it, found out without changing it.

A state that is there is judged as its writer would judge it: version, structure, permissions, lock. One that is not
there yet is opened in earnest under a name of its own in the same place, and removed again. Nothing is decided here.
"""

import asyncio
import errno
import os
import shutil
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from connector.errors import Conflict
from connector.model import Event
from connector.ports import Clock, Flaw, State, Store, Wanted
from connector.stores import directory, sqlite_file, sqlite_layout
from connector.stores.lock import holder_of, real_path

_FILES = ("", "-wal", "-shm", "-journal", ".lock")


@frozen
class Trial:
    """What a writer would find. `exists` = there is something in it; `older` = it would be migrated first.

    `holder` is who holds the state now, for people; "" for nobody.
    """

    exists: bool
    holder: str = ""
    older: bool = False


async def try_sqlite(path: Path, *, clock: Clock, mode: int) -> Trial:
    """Raises StoreError with what would keep a writer from this file; not StoreBusy, see `Trial.holder`."""
    from connector.stores.sqlite import open_store  # noqa: PLC0415 - homes without sqlite3 exist

    try:
        path = real_path(path)
        holder = await asyncio.to_thread(holder_of, path)
        if await asyncio.to_thread(os.path.lexists, path):
            version = await asyncio.to_thread(_inspected, path)
            return Trial(exists=version > 0, holder=holder, older=0 < version < len(sqlite_layout.MIGRATIONS))
        folder_is_new = not await asyncio.to_thread(path.parent.exists)
    except (sqlite3.Error, OSError) as error:
        raise sqlite_file.store_error(error, path) from error
    beside = _beside(path)
    try:
        await (await open_store(beside, clock=clock, mode=mode)).close()
    finally:
        await asyncio.to_thread(_remove, beside, folder_is_new=folder_is_new)
    return Trial(exists=False, holder=holder)


async def try_directory(folder: Path, *, clock: Clock) -> Trial:
    """As `try_sqlite`, of a folder of documents."""
    folder = real_path(folder)

    def looked() -> Trial:
        holder = holder_of(folder)
        if not os.path.lexists(folder):
            return Trial(exists=False, holder=holder)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        _may_write(folder)
        return Trial(exists=True, holder=holder)

    found = await directory.in_thread(folder, looked)
    if found.exists:
        return found
    beside = _beside(folder)
    try:
        await (await directory.open_store(beside, clock=clock)).close()
        await directory.Directory(beside).create("trial/1", b"")
    finally:
        await asyncio.to_thread(_remove, beside, folder_is_new=False)
    return found


def _inspected(path: Path) -> int:
    _may_write(path.parent)
    if not path.is_dir():
        _may_write(path)
    return sqlite_file.inspect(path)


def writable(path: Path) -> bool:
    """Whether this user may write a file, or into a folder."""
    wanted = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    return os.access(path, wanted, effective_ids=os.access in os.supports_effective_ids)


def _may_write(path: Path) -> None:
    """Raises PermissionError, which neither SQLite nor a look at a folder would bring before the first write."""
    if not writable(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.check-{os.getpid()}")


def _remove(beside: Path, *, folder_is_new: bool) -> None:
    shutil.rmtree(beside, ignore_errors=True)
    for suffix in _FILES:
        with suppress(OSError):
            beside.with_name(beside.name + suffix).unlink()
    if folder_is_new:
        with suppress(OSError):
            beside.parent.rmdir()


@define
class TrialStore:
    """What a poll needs of a store: it reads the state that is there, and keeps to itself what it is given."""

    beside: Store | None
    flaws: list[Flaw] = field(factory=list)
    _own: dict[str, State] = field(factory=dict)

    async def note(self, flaw: Flaw) -> None:
        """It is kept until this process ends."""
        self.flaws.append(flaw)

    async def load(self, tenant_id: str, wanted: Wanted | None = None) -> State | None:
        if tenant_id in self._own:
            return self._own[tenant_id]
        return None if self.beside is None else await self.beside.load(tenant_id, wanted)

    async def heads(self, tenant_ids: Collection[str]) -> Mapping[str, State | None]:
        return {tenant_id: await self.load(tenant_id) for tenant_id in tenant_ids}

    async def commit(self, tenant_id: str, state: State, events: Sequence[Event]) -> State:  # noqa: ARG002
        """The state is kept until this process ends, the events are not."""
        before = await self.load(tenant_id)
        if state.generation != (before.generation if before is not None else 0):
            raise Conflict("the tenant was committed meanwhile", "Load again and repeat.")
        others = {} if state.whole or before is None else before.parts
        self._own[tenant_id] = State(state.generation + 1, {**others, **state.parts})
        return self._own[tenant_id]
