"""Documents as files of a folder: a name is a path, and a document appears under it whole and durable, or not at all.

Nothing of what the documents mean may live here. A document is written to a temporary file, synced, and linked to its
name: `link` fails when the name is taken (POSIX), whoever was first. All file work runs in threads.
"""

import errno
import json
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from connector.clock import Threads
from connector.config.belonging import remedy
from connector.durable import creating, sync_folder
from connector.errors import Conflict, NoState, StoreError, exhausted
from connector.ports import Clock, Flaw
from connector.stores.documents import DocumentsStore
from connector.stores.lock import Mark, WriterLock, real_path, take_lock
from connector.stores.packing import RESERVED
from connector.stores.whereabouts import arrived, home_of

_T = TypeVar("_T")

MAX_FILE_BYTES = 1024**3
TEMPORARY = ".new-"
STALE_S = 3600.0
LIMIT_S = 120.0
"""How long one document may take. What was given up on may still be done: then the next try finds it, as a conflict."""
_THREADS = Threads("state", 8)
_STEP = re.compile(r"[a-z0-9_-][a-z0-9_.-]*")


async def open_store(
    folder: Path, *, clock: Clock, writer: bool = True, max_bytes: int | None = None
) -> DocumentsStore:
    """The store in a folder. A writer (the loops) makes the folder and takes the lock beside it, `<folder>.lock`.

    Raises StoreBusy (second writer) and StoreError, with a hint.
    """
    folder = real_path(folder)

    def locked() -> tuple[WriterLock, list[Flaw]]:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)  # not those above it, or a mistyped path would look like a new state
        sync_folder(folder.parent)  # also of one that is there: who made it may have been killed before this
        lock = take_lock(folder, clock=clock)
        try:
            lock.hold()
            _tidy(folder)
            state, home = _identity(folder)
            mark = Mark(state, _commits(folder))
            found = arrived(lock, mark, home, clock)
            _come_home(folder, state, home)
            lock.mark(mark)
        except BaseException:
            lock.release()
            raise
        return lock, found

    if not writer:
        if not await in_thread(folder, folder.is_dir):
            raise NoState(
                f"there is no state at {folder}", "Run `securescore once` or `run` first, or correct `state.directory`."
            )
        return DocumentsStore(Directory(folder), clock, max_bytes=max_bytes)
    lock, found = await in_thread(folder, locked)
    store = DocumentsStore(Directory(folder), clock, max_bytes=max_bytes, lock=lock)
    try:
        for flaw in found:
            await store.note(flaw)
    except BaseException:
        await store.close()
        raise
    return store


class Directory:
    """Documents below a folder that exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._durable: set[Path] = {folder}

    async def list(self, prefix: str) -> Mapping[str, int]:
        return await in_thread(self._folder, lambda: self._list(prefix))

    async def get(self, name: str) -> bytes | None:
        return await in_thread(self._folder, lambda: self._get(name))

    async def create(self, name: str, body: bytes) -> None:
        await in_thread(self._folder, lambda: self._create(name, body))

    async def delete(self, name: str) -> None:
        await in_thread(self._folder, lambda: self._path(name).unlink(missing_ok=True))

    async def close(self) -> None:
        """Nothing is held open."""

    def _path(self, name: str) -> Path:
        assert all(_STEP.fullmatch(step) for step in name.split("/")), name
        return self._folder / name

    def _list(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        todo = [prefix]
        while todo:
            base = todo.pop()
            try:
                with os.scandir(self._folder / base) as entries:
                    for entry in entries:
                        if not _STEP.fullmatch(entry.name):
                            continue  # not ours
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(f"{base}{entry.name}/")
                        else:
                            with suppress(FileNotFoundError):  # deleted since
                                found[base + entry.name] = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                if base == "":
                    raise
        return found

    def _get(self, name: str) -> bytes | None:
        try:
            with self._path(name).open("rb") as file:
                return file.read(MAX_FILE_BYTES)
        except FileNotFoundError:
            return None

    def _create(self, name: str, body: bytes) -> None:
        path = self._path(name)
        if path.exists():
            raise Conflict(f"document {name} exists", "Load again and repeat.")
        self._make_parents(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=self._folder)  # 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise Conflict(f"document {name} exists", "Load again and repeat.") from None
        finally:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - mkstemp gives text
        sync_folder(path.parent)

    def _make_parents(self, folder: Path) -> None:
        """The folders above a document, each durable in the one above it: also one that a killed process just made."""
        if folder in self._durable:
            return
        self._make_parents(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        sync_folder(folder.parent)
        self._durable.add(folder)


IDENTITY = "home-"
"""Begins the names of the files that say which state this is and where it was last used; they belong to no log."""


def _identity(folder: Path) -> tuple[str, str]:
    """Which state this is, and where it was last used ("" when it does not say); a new name for one that has none."""
    for path in sorted(folder.glob(f"{IDENTITY}*"), reverse=True):
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(path.read_bytes())
            return str(found["state"]), str(found["home"])
    return uuid.uuid4().hex, ""


def _come_home(folder: Path, state: str, home: str) -> None:
    """Write where the state is used from now on, where that is news."""
    here = home_of(folder)
    if home == here:
        return
    known = sorted(folder.glob(f"{IDENTITY}*"))
    number = int(known[-1].name.removeprefix(IDENTITY)) + 1 if known else 1
    with creating(folder / f"{IDENTITY}{number:06d}") as file:
        file.write(json.dumps({"state": state, "home": here}).encode("ascii"))
    for path in known:
        path.unlink(missing_ok=True)


def _commits(folder: Path) -> int:
    """How many documents the tenants' logs have had."""
    count = 0
    for tenant in folder.iterdir():
        if tenant.name not in RESERVED and tenant.is_dir():
            count += max((int(path.name) for path in tenant.iterdir() if path.name.isdecimal()), default=0)
    return count


def _tidy(folder: Path) -> None:
    """Remove temporary files that a crash left; a command beside us may be writing a young one."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError):
            newest = max((p.stat().st_mtime for p in (path, folder)), default=0.0)
            if newest - path.stat().st_mtime > STALE_S:
                path.unlink()


READ_ONLY = (
    "Mount its file system for writing again: the kernel mounts it read-only after errors (kernel log), or was told to."
    " Nothing is observed meanwhile."
)
_SPACE = (
    "Free space on its file system or raise the quota. Nothing was half written; what was not stored is observed again."
)
_HINTS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EROFS: READ_ONLY,
    errno.EIO: "Check the disk and its file system (kernel log), then start again; completed commits are kept.",
    errno.ENOENT: "Create the folder above it, or correct `state.directory`.",
    errno.ENOTDIR: "Correct `state.directory`: a part of it is not a folder.",
    errno.EPERM: "Keep the state on a local file system that knows hard links.",
    errno.EOPNOTSUPP: "Keep the state on a local file system that knows hard links.",
}
_PERMISSION = "Give the account that runs the connector write permission on the folder (see `state.directory`)."


async def in_thread(folder: Path, work: Callable[[], _T]) -> _T:
    """File work off the event loop; foreign errors become ours here and nowhere else."""
    try:
        return await _THREADS.run(work, LIMIT_S)
    except TimeoutError as error:
        hint = "See that its disk answers (kernel log); what was not stored is observed or sent again."
        raise StoreError(f"the state cannot be used: {folder} does not answer: {error}", hint) from error
    except OSError as error:
        lacking = exhausted(error)
        foreign = remedy(str(folder), reading=False) if error.errno == errno.EACCES else ""
        foreign = f"{_PERMISSION} Or, as {foreign}." if foreign else ""
        hint = lacking.hint if lacking else foreign or _HINTS.get(error.errno or 0, _PERMISSION)
        raise StoreError(f"the state cannot be used: {error.filename or folder}: {error.strerror}", hint) from error
