"""Files that appear whole or not at all, and stay: written beside, synced, put under their name, the folder synced.

Whoever may write in the folder must not choose what we write to: what lies under our temporary name is removed, never
followed and never written into. What the bytes mean is not known here.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends; after an exception nothing has changed.

    Raises OSError, FileExistsError among them when somebody keeps putting something under the temporary name.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with _fresh(beside, mode) as stream:
        yield stream
    try:
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def creating(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file to write; after an exception there is none. Raises OSError: FileExistsError when the name is taken."""
    with _fresh(path, mode) as stream:
        yield stream
    sync_folder(path.parent)


@contextmanager
def adding(path: Path) -> Iterator[BinaryIO]:
    """A file that is there, to write behind what is in it; on disk when the block ends. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "ab") as stream:
        yield stream
        stream.flush()
        os.fsync(descriptor)


@contextmanager
def _fresh(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A file of our own under this name, on disk when the block ends; after an exception there is none."""
    descriptor = os.open(path, _NEW, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)  # exactly this mode, whatever the umask
            yield stream
            stream.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()  # on a full disk half a file would only take more of it
        raise


def sync_folder(folder: Path) -> None:
    """Make a new or renamed name durable: without this a crash may forget it although the file's content was synced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a network file system without the notion
            raise
    finally:
        os.close(descriptor)
