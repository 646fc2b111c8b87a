"""One writer at a time: a lock file that names its holder, and a lock on the state itself.

Only the loops (`run`, `once`) take them; reading and operator commands work beside them. The locks are the kernel's
(flock), so a killed holder never leaves a stale one. That on the file (or folder) itself holds whatever name it is
opened by, also when somebody removes the lock file. The text of that only informs: who holds it, and which state was
last used here (`Mark`). What the state means is not known here.

A descriptor of an SQLite file that is closed takes SQLite's own locks of this process with it. So a state that this
process holds is never opened a second time here, and the descriptor is closed last.
"""

import fcntl
import json
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict, define, field, frozen

from connector.clock import iso
from connector.errors import StateRefused, StoreBusy, StoreError
from connector.ports import Clock

_MAX_TEXT = 4096
_TRIES, _PAUSE_S = 3, 0.05
"""A look at the lock (`check`) holds it for a moment."""
_held: set[tuple[int, int]] = set()
"""The states that this process holds, by device and inode."""


@frozen
class Mark:
    """Which state was used here last, and how many commits it had: a state with fewer is an older copy of it."""

    state: str
    commits: int


@define
class WriterLock:
    """Held locks; they end with `release` or with the process. `before` is the mark that was found."""

    path: Path
    before: Mark | None
    _file: int
    _who: dict[str, Any]
    _itself: int | None = None
    _mark: Mark | None = None
    _key: tuple[int, int] | None = field(default=None, init=False)

    def hold(self) -> None:
        """Lock the state itself, which is there by now, and say who does. Raises StoreBusy; OSError is the caller's."""
        self._itself, self._key = _itself_locked(self.path)
        _held.add(self._key)
        self._write(self._who)

    def check(self) -> None:
        """Raises StoreError when the state was moved, replaced or deleted since."""
        try:
            found = self.path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._key:
            raise StoreError(
                f"{self.path} is not the state any more that this process opened: it was moved, replaced or deleted",
                "Start the connector again. To restore a copy, stop it first.",
            )

    def mark(self, mark: Mark) -> None:
        """Leave word of how far the state is now. It is only a help, and never fails."""
        self._mark = mark
        self._write({**self._who, **asdict(mark)})

    def committed(self, count: int = 1) -> None:
        if self._mark is not None and count:
            self.mark(Mark(self._mark.state, self._mark.commits + count))

    def release(self) -> None:
        """Let go. The file stays: removing it would let two holders lock two different files."""
        if self._key is not None:
            self._write(asdict(self._mark) if self._mark is not None else None)
        os.close(self._file)
        if self._itself is not None:
            os.close(self._itself)
        if self._key is not None:
            _held.discard(self._key)

    def _write(self, text: dict[str, Any] | None) -> None:
        body = b"" if text is None else json.dumps(text).encode() + b"\n"
        with suppress(OSError):  # a full disk must not keep us from the lock
            os.pwrite(self._file, body, 0)
            os.ftruncate(self._file, len(body))


def real_path(path: Path) -> Path:
    """Where a state lies: all names of one file are one state. Raises StateRefused for a link of somebody else."""
    with suppress(OSError):  # whatever keeps us from looking at it is said when it is opened
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
            raise StateRefused(
                f"{path} is a symbolic link that belongs to another user (id {found.st_uid})",
                "Run as the account that the state belongs to, or name the file that the link leads to.",
            )
    return path.resolve()


def lock_file(path: Path) -> Path:
    """The lock file of a state."""
    return path.with_name(f"{path.name}.lock")


def take_lock(path: Path, *, clock: Clock, mode: int = 0o600) -> WriterLock:
    """Take the lock file of a state (`real_path`) at once, or raise StoreBusy, which names the holder.

    `WriterLock.hold` goes on from there. OSError is the caller's to explain.
    """
    descriptor = os.open(lock_file(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        _lock(descriptor, path)
        before = _mark_of(_text(os.pread(descriptor, _MAX_TEXT, 0)))
    except BaseException:
        os.close(descriptor)
        raise
    return WriterLock(path, before, descriptor, _introduction(clock))


def holder_of(path: Path) -> str:
    """Who holds a state (`real_path`), for people; "" for nobody. Looks only; OSError is the caller's to explain."""
    held = _looked(lock_file(path), path)
    return "" if held is None else _named(held)


def holder_of_copy(path: Path, state: str) -> str:
    """Who holds the state at another path, if it is this one, of which ours is a copy; else ""."""
    try:
        held = _looked(lock_file(path), path)
    except OSError:
        return ""
    if held is None or held.get("state", state) != state:  # one that does not say which it is may well be it
        return ""
    return _named(held)


def _looked(file: Path, path: Path) -> dict[str, Any] | None:
    """What the lock file says while somebody holds it or the state itself; None when nobody does."""
    busy = False
    text: dict[str, Any] = {}
    for place in (file, path):
        try:
            found = place.stat(follow_symlinks=False)
            if (found.st_dev, found.st_ino) in _held:
                busy = True
                continue
            descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            if place is file:
                text = _text(os.pread(descriptor, _MAX_TEXT, 0))
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = True
        finally:
            os.close(descriptor)
    return text if busy else None


def _itself_locked(path: Path) -> tuple[int, tuple[int, int]]:
    found = path.stat(follow_symlinks=False)
    key = (found.st_dev, found.st_ino)
    if key in _held:
        raise _busy(path, _named(_file_text(path)))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        opened = os.fstat(descriptor)
        _lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, (opened.st_dev, opened.st_ino)


def _lock(descriptor: int, path: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not tries_left:
                raise _busy(path, _named(_file_text(path))) from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            raise StoreError(
                f"the state cannot be locked: {path}: {error.strerror}",
                "Keep the state on a local file system that supports locks (not on a network share).",
            ) from None
        else:
            return


def _busy(path: Path, holder: str) -> StoreBusy:
    return StoreBusy(
        f"the state is in use by {holder} (lock file {lock_file(path)})",
        holder,
        "Stop that process, or wait for it; reading commands work beside it. One state belongs to one `run` or "
        "`once` at a time: a second connector needs its own state.",
    )


def busy_copy(path: Path, original: Path, holder: str) -> StoreBusy:
    """The state is a copy of one that somebody uses now."""
    return StoreBusy(
        f"{path} is a copy of {original}, which is in use by {holder}",
        holder,
        "Two that go on from one state would each deliver the same events. Stop that process first if this copy shall"
        " take its place; a second connector needs a state of its own, which begins empty.",
    )


def _introduction(clock: Clock) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": iso(clock.now()),
        "command": " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])[:200],  # noqa: PTH119 (a name)
    }


def _file_text(path: Path) -> dict[str, Any]:
    with suppress(OSError):
        return _text(lock_file(path).read_bytes()[:_MAX_TEXT])
    return {}


def _text(raw: bytes) -> dict[str, Any]:
    """What a lock file says; {} for nothing, or nothing of ours."""
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _mark_of(text: dict[str, Any]) -> Mark | None:
    state, commits = text.get("state"), text.get("commits")
    return Mark(state, commits) if isinstance(state, str) and isinstance(commits, int) else None


def _named(who: dict[str, Any]) -> str:
    """Who holds it, for people. The file is only information: whatever stands in it, this gives a sentence."""
    try:
        words = f"process {who['pid']} on {who['host']} since {who['since']} ({who['command']})"
    except KeyError:
        return "another process"
    return "".join(c if c.isprintable() else "?" for c in words)
