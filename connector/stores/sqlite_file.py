"""The SQLite file itself: made safely, recognised, checked, migrated; its errors in the words of the taxonomy.

No meaning of the tables lives here beyond their shape. The file is one writer's, 0600 from its first byte, WAL with
synchronous=FULL: a commit that returned survives a power cut (https://sqlite.org/pragma.html#pragma_synchronous).
"""

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from connector.config.belonging import remedy
from connector.durable import sync_folder
from connector.errors import NoState, StateRefused, StoreError, exhausted
from connector.stores.sqlite_layout import ADDITIONS, MIGRATIONS, Step

APPLICATION_ID = 0x53536331
"""Written into the file's header ("SSc1"), so that another program's database is never touched."""

BUSY_TIMEOUT_S = 30.0
WAL_LIMIT_BYTES = 32 * 1024**2
WAL_CHECKPOINT_PAGES = 4096
IDLE_LOG_BYTES = 1024**2
SHRINK_PAGES = 2_000
"""So many pages are given back in one step, so that others get their turn."""
CACHE_KIB = 4 * 1024
"""Holds the pages of most commits until they are written, and what leads to any page of a large state; what it lacks
the operating system still has. With four times as much a commit into a million ids took at most 4 % less CPU.
"""


def make_folder(folder: Path) -> None:
    """The folder of the state, for us alone. Not those above it, or a mistyped path would look like a new state."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    sync_folder(folder.parent)  # also one that is there: who made it may have been killed before this


def open_writer(path: Path, mode: int, migrations: tuple[tuple[Step, ...], ...] = MIGRATIONS) -> sqlite3.Connection:
    """Open for writing; create, check and migrate as needed. Raises StoreError, sqlite3.Error, OSError."""
    create(path, mode)
    connection = _connect(path, "rw")
    try:
        version = _recognise(connection, path, len(migrations))
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only possible while the file is empty
        _write_ahead(connection, path)
        check(connection, path)
        if version < len(migrations):
            _migrate(connection, path, version, migrations)
            while shrink(connection, SHRINK_PAGES):  # what the older layout took more
                pass
        with transaction(connection):
            for statement in ADDITIONS:
                connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def open_beside(path: Path) -> sqlite3.Connection:
    """Open an existing file for a command beside the writer; read-only where the file or folder allows no more.

    Raises StoreError, sqlite3.Error.
    """
    try:
        return _open_existing(path, "rw")
    except sqlite3.OperationalError:
        # Without leave to create the -shm file (a group reader) SQLite cannot open a WAL database that no one else has
        # open. Where no -wal file is left either, the file is complete by itself and may be read as it stands.
        if _beside(path, "-wal").exists():
            raise
        return _open_existing(path, "ro&immutable=1")


def inspect(path: Path) -> int:
    """The version of an existing file (0 = empty), judged and read through as `open_writer` would; nothing is changed.

    Raises StoreError, sqlite3.Error.
    """
    with closing(_connect(path, "rw")) as connection:
        version = _recognise(connection, path, len(MIGRATIONS))
        check(connection, path)
        return version


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Read the whole file's structure; raises StoreError at the first damage. Costs one pass over the file."""
    found = str(_pragma(connection, "quick_check(1)"))
    if found != "ok":
        raise StoreError(f"the state is damaged: {path}: {found}", _RESTORE)


def size_bytes(connection: sqlite3.Connection, path: Path) -> int:
    """What the state takes on disk: the file as SQLite counts it, plus its write-ahead log."""
    pages = int(_pragma(connection, "page_count")) * int(_pragma(connection, "page_size"))
    return pages + _log_bytes(path)


def used_bytes(connection: sqlite3.Connection) -> int:
    """What of the file holds something."""
    used = int(_pragma(connection, "page_count")) - int(_pragma(connection, "freelist_count"))
    return used * int(_pragma(connection, "page_size"))


def empty_log(connection: sqlite3.Connection, path: Path) -> None:
    """Give the write-ahead log back to the file system when it has grown: what lies idle in it is no history.

    It is only tidying: on a full disk what is committed may have no room outside the log.
    """
    if _log_bytes(path) > IDLE_LOG_BYTES:
        with suppress(sqlite3.OperationalError):
            _truncate_log(connection)


def _log_bytes(path: Path) -> int:
    try:
        return _beside(path, "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _truncate_log(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 0")  # a reader in the way: the log shrinks another time
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")


def shrink(connection: sqlite3.Connection, max_pages: int) -> bool:
    """Give up to so many free pages back to the file system; False when there is nothing left to give."""
    free = int(_pragma(connection, "freelist_count"))
    connection.executescript(f"PRAGMA incremental_vacuum({max_pages:d})")  # `execute` would stop after one page
    if 0 < int(_pragma(connection, "freelist_count")) < free:
        return True
    _truncate_log(connection)
    return False


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing. DEFERRED gives several reads one view."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back on some errors, a full disk among them
            connection.execute("ROLLBACK")
        raise


# ------------------------------------------------------------------------------------------------------------ errors

_BEGIN = "Run `securescore once` or `run` first, or correct `state.path`."
_RESTORE = (
    "Stop the connector and keep the file aside (it may still be read in part). Then restore a backup of it, or start "
    "without it and rebuild from the evidence archive: run `securescore once` with `source: files` over its folder."
)
_LOCAL_DISK = "Keep the state on a local disk; a network share offers neither the locks nor the shared memory it needs."
_SPACE = (
    "Free space on its file system or raise the quota. Nothing was half written; what was not stored is observed again."
)
_READ_ONLY = (
    "Mount its file system for writing again: the kernel mounts it read-only after errors (kernel log), or was told to."
    " Nothing is observed meanwhile."
)
_PERMISSION = "Give the account that runs the connector write permission on the file and its folder (see `state.path`)."
_DISK = "Check the disk and its file system (kernel log, free space), then start again; completed commits are kept."

# SQLite result code prefix → (fact, hint). https://sqlite.org/rescode.html
_CODES = {
    "SQLITE_NOTADB": ("is not a state file", _RESTORE),
    "SQLITE_CORRUPT": ("is damaged", _RESTORE),
    "SQLITE_FULL": ("cannot grow: no space left", _SPACE),
    "SQLITE_IOERR": ("cannot be read or written: the disk reports an error", _DISK),
    "SQLITE_READONLY": ("cannot be written", _PERMISSION),
    "SQLITE_CANTOPEN": ("cannot be opened", _PERMISSION),
    "SQLITE_PERM": ("cannot be opened", _PERMISSION),
    "SQLITE_BUSY": (
        "is held by another process",
        "It goes on as soon as the process lets go that holds it for writing (a backup tool, or a shell of sqlite3).",
    ),
}
_ERRNO_HINTS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EIO: _DISK,
    errno.EROFS: _READ_ONLY,
    errno.ENOENT: "Create the folder above it, or correct `state.path`.",
    errno.ENOTDIR: "Correct `state.path`: a part of it is not a folder.",
}


def store_error(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """A foreign error as ours: what happened to the state, and what to do."""
    if isinstance(error, OSError):
        lacking = exhausted(error)
        foreign = remedy(str(path), reading=False) if error.errno == errno.EACCES else ""
        foreign = f"{_PERMISSION} Or, as {foreign}." if foreign else ""
        hint = lacking.hint if lacking else foreign or _ERRNO_HINTS.get(error.errno or 0, _PERMISSION)
        return StoreError(f"the state cannot be used: {error.filename or path}: {error.strerror}", hint)
    code = getattr(error, "sqlite_errorname", "")
    fact, hint = next((v for k, v in _CODES.items() if code.startswith(k)), ("cannot be used", _DISK))
    if hint is _PERMISSION and _on_read_only_disk(path):
        hint = _READ_ONLY
    kind = StateRefused if code == "SQLITE_NOTADB" else StoreError
    return kind(f"the state {fact}: {path}: {error} [{code}]", hint)


# ---------------------------------------------------------------------------------------------------------- opening


def _on_read_only_disk(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def create(path: Path, mode: int) -> None:
    """Make the file ours before SQLite sees it, whatever the umask.

    An older file loses what it allows too much, and is opened to its group's readers where that is wanted now. What is
    no state of ours keeps its mode, and so does whatever a link leads to.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if _narrowed(path, mode, only_ours=True):
            for suffix in ("-wal", "-shm"):
                _narrowed(_beside(path, suffix), mode)
        return
    try:
        os.fchmod(descriptor, mode)  # -wal and -shm inherit it
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


_ID_AT = 68  # https://sqlite.org/fileformat2.html#the_database_header


def _narrowed(path: Path, mode: int, *, only_ours: bool = False) -> bool:
    """Set the mode of a file that is there, through a descriptor. False when it is not there, or none of ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # opening it in earnest will say what is wrong
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return False
        if only_ours and os.pread(descriptor, 4, _ID_AT) not in (b"", APPLICATION_ID.to_bytes(4, "big")):
            return False
        allowed = found.st_mode & 0o777
        wanted = (allowed & mode) | (mode & 0o040)
        if allowed != wanted:
            os.fchmod(descriptor, wanted)
    finally:
        os.close(descriptor)
    return True


def _connect(path: Path, access: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(os.fspath(path.absolute()))}?mode={access}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are ours alone
    )
    for pragma in (
        "synchronous = FULL",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "temp_store = MEMORY",
        f"cache_size = -{CACHE_KIB}",
        f"journal_size_limit = {WAL_LIMIT_BYTES}",
        f"wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
    ):
        try:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
    return connection


def _open_existing(path: Path, access: str) -> sqlite3.Connection:
    if not path.exists():
        raise NoState(f"there is no state at {path}", _BEGIN)
    if path.stat().st_size == 0:  # made, and not begun
        raise NoState(f"there is no state at {path}: the file is empty", _BEGIN)
    connection = _connect(path, access)
    try:
        version = _recognise(connection, path, len(MIGRATIONS))
        _refuse_old(version, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_old(version: int, path: Path) -> None:
    if version < len(MIGRATIONS):
        raise StoreError(
            f"{path} has state version {version}, this program needs {len(MIGRATIONS)}",
            "Start `securescore once` or `run` of this version: it migrates the state, with a backup beside it.",
        )


def _recognise(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """The schema version, 0 for an empty file. Raises StoreError for what is not ours or newer than we are."""
    version = int(_pragma(connection, "user_version"))
    ours = int(_pragma(connection, "application_id")) == APPLICATION_ID
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not ours and (version or tables):
        raise StateRefused(
            f"{path} is a database of another program",
            "Correct `state.path`; the file was not touched.",
        )
    if version > newest:
        raise StateRefused(
            f"{path} has state version {version}, this program knows versions up to {newest}",
            "Install the newer program again, or move the file away and restore the backup that the upgrade left beside"
            f" it ({path.name}.v{newest}.bak).",
        )
    return version


def _write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    mode = _pragma(connection, "journal_mode = WAL")
    if mode != "wal":
        raise StoreError(f"{path}: the file system allows no write-ahead log (mode {mode})", _LOCAL_DISK)


def _migrate(
    connection: sqlite3.Connection, path: Path, version: int, migrations: tuple[tuple[Step, ...], ...]
) -> None:
    """Lead the schema to its newest version in one transaction, after a copy was made of what there was."""
    if version:
        _backup(connection, path, _beside(path, f".v{version}.bak"))
    with transaction(connection):
        for statements in migrations[version:]:
            for step in statements:
                if isinstance(step, str):
                    connection.execute(step)
                else:
                    step(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _backup(connection: sqlite3.Connection, path: Path, target: Path) -> None:
    """A complete copy, readable by its owner only; appears under its name when it is on disk."""
    unfinished = _beside(target, ".part")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, nothing beside it
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.replace(target)
    sync_folder(path.parent)


def _pragma(connection: sqlite3.Connection, pragma: str) -> int | str:
    value: int | str = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
