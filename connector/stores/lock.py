"""One writer at a time: a lock file that names its holder.

Only the loops (`run`, `once`) take it; reading and operator commands work beside it. What it guards is not known here.
The lock is the kernel's (flock), so a killed holder never leaves a stale one; the text in the file only informs people.
"""

import fcntl
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from connector.clock import iso
from connector.errors import StoreBusy, StoreError
from connector.ports import Clock

_MAX_TEXT = 4096


class WriterLock:
    """A held lock; ends with `release` or with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go. The file stays: removing it would let two holders lock two different files."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def take_lock(path: Path, *, clock: Clock, mode: int = 0o600) -> WriterLock:
    """Take the lock at once or raise StoreBusy, which names the holder. OSError is the caller's to explain."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        _lock(descriptor, path)
        with suppress(OSError):  # a full disk must not keep us from the lock: the text is only information
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _introduce(clock).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return WriterLock(descriptor)


def holder_of(path: Path) -> str:
    """Who holds the lock, for people; "" when nobody does. Looks only; OSError is the caller's to explain."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(os.pread(descriptor, _MAX_TEXT, 0))
    finally:
        os.close(descriptor)
    return ""


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(os.pread(descriptor, _MAX_TEXT, 0))
        raise StoreBusy(
            f"the state is in use by {holder} (lock file {path})",
            holder,
            "Stop that process, or wait for it; reading commands work beside it. One state belongs to one `run` or "
            "`once` at a time: a second connector needs its own state.",
        ) from None
    except OSError as error:
        raise StoreError(
            f"the state cannot be locked: {path}: {error.strerror}",
            "Keep the state on a local file system that supports locks (not on a network share).",
        ) from None


def _introduce(clock: Clock) -> str:
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": iso(clock.now()),
        "command": " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:]])[:200],  # noqa: PTH119 (a name)
    }
    return json.dumps(who) + "\n"


def _holder(text: bytes) -> str:
    """Who holds it, for people. The file is only information: whatever stands in it, this gives a sentence."""
    try:
        who = json.loads(text)
        words = f"process {who['pid']} on {who['host']} since {who['since']} ({who['command']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
    return "".join(c if c.isprintable() else "?" for c in words)
