"""The file sink: one record a line, on disk (fsync) before the receipt says so; `-` is standard output.

No buffer, no retry, no rotation of its own. The file is opened anew for every batch: whoever renames it away gets a new
one, and nothing is carried from batch to batch that a crash could spoil.

A last line without its line feed is what a crash in mid-write leaves. Its record was never settled and comes again, so
the torn end is cut before the next batch. A last line that is complete JSON, or does not begin as our lines do, is
ended with a line feed instead: at worst an event comes twice, with the same id. A power cut may leave a hole in the
batch that was not synced: NULs, which no line of ours has. From that line on the file is cut, if all that follows is a
piece of the batch that is written now. Complete lines are not touched otherwise. One file belongs to one sink; rotate
by rename (with `delaycompress`), not by `copytruncate`.
"""

import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from connector.errors import Denied, Unavailable, exhausted
from connector.formats.lines import octets, one_line
from connector.model import Receipt, Record
from connector.options import Init, Option

OPTIONS: Mapping[str, Option] = {
    "path": Option("path", required=True, doc="File to append to; `-` is standard output. The folder must exist."),
    "mode": Option(
        "enum",
        default="0600",
        choices=("0600", "0640", "0644", "0660", "0664"),
        doc="Permissions of a newly created file (in quotes); an existing file keeps its own.",
    ),
}
FORMAT = "cloudevents"
HOST_ONLY = True
INIT = Init(
    key="path",
    example="./events.jsonl",
    question="file to append events to",
    entry="""\
name: archive
kind: file
path: {address}
format: cloudevents             # cloudevents | cef | leef | ocsf""",
)

_CHUNK_BYTES = 64 * 1024
_LINE_BYTES = 16 * 1024 * 1024  # no line of ours is longer
_OPERATOR_MUST_ACT = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
_HINTS = {
    errno.ENOENT: "create the folder, or correct `path`",
    errno.EROFS: "the file system is mounted read-only: choose another `path` or remount it",
    errno.ENOSPC: "free space on this file system; delivery resumes by itself",
    errno.EDQUOT: "raise the quota or free space; delivery resumes by itself",
    errno.EFBIG: "rotate the file, or raise the file size limit of the service",
    errno.EIO: "check the disk",
    errno.ELOOP: "a symbolic link that another account made is not followed: name the file itself",
}

_WRITTEN = re.compile(rb"[^\0]+")

log = logging.getLogger(__name__)


def build(name: str, options: Mapping[str, Any], network: object) -> "FileSink":  # noqa: ARG001 - one signature for all sinks
    return FileSink(name, options["path"], mode=int(options.get("mode") or OPTIONS["mode"].default, 8))


class FileSink:
    """Appends records to one file, a line each; see the module's text for what it promises."""

    max_records = 5000
    max_bytes = 16 * 1024 * 1024
    replay_window_s = 0.0

    def __init__(self, name: str, path: str, mode: int = 0o600) -> None:
        self.name = name
        self._path = path
        self._mode = mode
        # A thread of its own: a hung network disk must not take the threads other sinks need. Only one, so that a batch
        # whose sender gave up waiting is over before the next one begins.
        self._thread: ThreadPoolExecutor | None = None

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Append a batch in one write and sync it. Records that are no text and no JSON are rejected.

        Raises Unavailable (disk full, I/O error, another writer) or Denied (permission, path); then nothing is accepted
        and nothing of the batch stays in the file, as far as the file system still obeys.
        """
        lines: list[bytes] = []
        accepted: list[str] = []
        rejected: dict[str, str] = {}
        for record in records:
            try:
                lines.append(record.encoded or octets(one_line(record.payload)))
                accepted.append(record.event_id)
            except (TypeError, ValueError, RecursionError) as error:
                rejected[record.event_id] = f"not JSON: {error}"
        if lines:
            await self._in_thread(b"\n".join(lines) + b"\n")
        return Receipt(accepted=frozenset(accepted), rejected=rejected)

    async def probe(self) -> None:
        """The file, or the folder it would be created in, can be written and has space."""
        await self._in_thread(None)

    async def close(self) -> None:
        """Nothing stays open between batches; a later `send` starts again."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _in_thread(self, data: bytes | None) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{self.name}")
        job, arguments = (_probe, (self._path,)) if data is None else (_append, (self._path, self._mode, data))
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, job, *arguments)
        except OSError as error:
            raise _failure(self._path, error) from error


def _failure(path: str, error: OSError) -> Denied | Unavailable:
    what = f"{path}: {error.strerror or error}"
    lacking = exhausted(error)
    hint = lacking.hint if lacking else _HINTS.get(error.errno or 0, "")
    if error.errno in _OPERATOR_MUST_ACT:
        return Denied(what, hint or "let the connector's user read and write this file and its folder")
    return Unavailable(what, hint=hint)


# ------------------------------------------------------------------------------------------------- in the sink's thread


def _append(path: str, mode: int, data: bytes) -> None:
    if path == "-":
        sys.stdout.flush()
        _write(1, data)
        return
    fd = _open(path, mode)
    try:
        start = _repair(path, fd, data)
        try:
            _write(fd, data)
            os.fsync(fd)
            if start == 0:
                _sync_folder(path)
        except BaseException:
            # After a failed write half a line may stand there, and after a failed fsync nobody knows what the disk
            # holds (the kernel reports it once and forgets): take the whole batch back, it comes again.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, start)
            raise
        if os.fstat(fd).st_nlink == 0:
            raise OSError(errno.ESTALE, "the file was deleted while it was written")
    finally:
        os.close(fd)


def _open(path: str, mode: int) -> int:
    """The file, locked for this batch, created if need be."""
    flags = _flags(path)
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        fd = os.open(path, flags | os.O_CREAT, mode)
        try:
            os.fchmod(fd, mode)  # exactly this mode, whatever the umask
        except BaseException:
            os.close(fd)
            raise
    try:
        _check_regular(path, fd)
        _lock(path, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _flags(path: str) -> int:
    """How the file is opened: a symbolic link is followed only where this account or root made it.

    Another account's link would choose what we write to; the kernel's own guard (fs.protected_symlinks) holds in sticky
    folders only.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode) and found.st_uid in (0, os.geteuid()):
            return flags
    return flags | os.O_NOFOLLOW


def _check_regular(path: str, fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise Denied(f"{path} is not a regular file", hint="name a file, or `-` for standard output")


def _lock(path: str, fd: int) -> None:
    """Two writers would cut each other's lines as torn. Released with the descriptor, even by kill -9."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        hint = "give every sink, and every running connector, a file of its own"
        raise Unavailable(f"{path}: another sink or process is writing it", hint=hint) from error


def _sync_folder(path: str) -> None:
    """Without this a crash may forget a new file's name although its content was synced."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: PTH120 - text in, text out
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a network file system without the notion
            raise
    finally:
        os.close(folder)


def _write(fd: int, data: bytes) -> None:
    """Normally one write(); a short one (disk nearly full) is continued and then fails with the reason."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _repair(path: str, fd: int, data: bytes) -> int:
    """Make the file end in a complete line, without holes in what comes again as `data`; returns its size then."""
    size, begins = os.fstat(fd).st_size, data[:4]
    hole = _hole(fd, size, data)
    if hole is not None:
        log.warning(
            "%s: cut %d bytes of a batch that was torn; its events were not settled, they come again", path, size - hole
        )
        os.ftruncate(fd, hole)
        return hole
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return size
    start = _line_start(fd, size)
    line = os.pread(fd, min(size - start, _LINE_BYTES), start)
    if not begins.startswith(line[: len(begins)]) or len(line) == _LINE_BYTES or _is_json(line):
        _write(fd, b"\n")
        return size + 1
    log.warning("%s: cut a torn last line of %d bytes; its event was not settled and comes again", path, size - start)
    os.ftruncate(fd, start)
    return start


def _hole(fd: int, size: int, data: bytes) -> int | None:
    """Where the line begins that has the first hole, if nothing but pieces of `data` stands there and behind."""
    begin = max(0, size - len(data))
    at = os.pread(fd, size - begin, begin).find(b"\0")
    if at < 0:
        return None
    start, found = _line_start(fd, begin + at), 0
    for piece in _WRITTEN.finditer(os.pread(fd, size - start, start)):
        found = data.find(piece[0], found)
        if found < 0:
            return None  # settled once and damaged since, or somebody else's
        found += len(piece[0])
    return start


def _line_start(fd: int, end: int) -> int:
    """Offset behind the last line feed before `end`."""
    while end > 0:
        begin = max(0, end - _CHUNK_BYTES)
        found = os.pread(fd, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _probe(path: str) -> None:
    if path == "-":
        return
    try:
        fd = os.open(path, _flags(path))
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."  # noqa: PTH120 - text in, text out
        os.stat(folder)  # noqa: PTH116 - raises with the reason
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        place = os.statvfs(folder)
    else:
        try:
            _check_regular(path, fd)
            place = os.fstatvfs(fd)
        finally:
            os.close(fd)
    if place.f_bavail == 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
