"""A folder (or one file) on disk → the bytes of each answer saved in it. What they mean is not decided here.

Everything is bounded before it is held: how many files and members of archives, how large each is once unpacked, and
how much all of them are. Gzip and zip are told by their first bytes, never by the name.
"""

import gzip
import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TypeVar, cast

from attrs import define, frozen

from connector.clock import Threads
from connector.errors import Denied, PartialRead, Unavailable, kept
from connector.ids import sha256

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_ALL_BYTES = 4 * 1024 * 1024 * 1024
MAX_FILES = 20_000
MAX_DIRECTORY_BYTES = 4 * 1024 * 1024  # of a zip: what lists its members is read at once

READ_LIMIT_S = 600.0
"""How long a read may take: much longer than years of answers do."""

SUMS = "SHA256SUMS"
"""The list of checksums beside saved answers (`sha256sum -c`): no answer itself."""

_NUMBER = re.compile(r"([0-9]+)")
_T = TypeVar("_T")


async def in_time(threads: Threads, work: Callable[[], _T], path: Path) -> _T:
    """What work on the files below `path` gives, done by these threads. Raises Unavailable where they hang."""
    try:
        return await threads.run(work, READ_LIMIT_S, path)
    except TimeoutError as error:
        hint = "See that the disk or share answers on which it lies."
        raise Unavailable(f"{path} does not answer: {error}", hint=hint) from None


@frozen
class Listing:
    """Label (path below the root, "/" between) → file, in natural order; what was not looked at, with the reason."""

    files: Mapping[str, Path]
    skipped: tuple[tuple[str, str], ...] = ()


def listing(path: Path) -> Listing:
    """Every regular file below `path`, whatever its name ends in. Raises Denied."""
    found: dict[str, Path] = {}
    skipped: list[tuple[str, str]] = []
    try:
        if path.is_file():
            return Listing({_label(Path(path.name)): path})
        if not path.is_dir():
            raise Denied(f"{path} does not exist", "Correct `path` of this tenant.")
        for folder, folders, names in os.walk(path, onerror=_refuse):
            hidden = [name for name in (*folders, *names) if name.startswith(".")]
            skipped += [(_label(Path(folder, name).relative_to(path)), "hidden") for name in hidden]
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                file = Path(folder, name)
                label = _label(file.relative_to(path))
                if name.startswith(".") or name == SUMS:
                    continue
                if file.is_file():
                    found[label] = file
                else:
                    skipped.append((label, "no regular file"))
            if len(found) > MAX_FILES:
                raise Denied(f"more than {MAX_FILES} files in {path}", "Let `path` name a smaller folder.")
    except OSError as error:
        raise Denied(
            f"{error.filename or path} cannot be read: {error.strerror}", "Allow this user to read it."
        ) from None
    return Listing({label: found[label] for label in sorted(found, key=natural)}, tuple(sorted(skipped)))


def natural(label: str) -> tuple[str | int, ...]:
    """A key that sorts numbers in names as numbers: scores-9 before scores-10."""
    return tuple(int(part) if n % 2 else part.casefold() for n, part in enumerate(_NUMBER.split(label)))


def fingerprint(files: Mapping[str, Path]) -> str:
    """Of all files together: names and bytes."""
    lines = []
    for label, path in files.items():
        try:
            with path.open("rb") as file:
                lines.append(f"{label}\0{hashlib.file_digest(file, 'sha256').hexdigest()}")
        except OSError as error:
            lines.append(f"{label}\0{error.strerror}")
    return sha256("\n".join(lines).encode())


@define
class Reader:
    """Reads file by file within one budget for all of them."""

    max_file_bytes: int = MAX_FILE_BYTES
    max_all_bytes: int = MAX_ALL_BYTES
    members: int = 0
    total_bytes: int = 0

    def bodies(self, label: str, path: Path) -> Iterator[tuple[str, bytes | PartialRead]]:
        """What a file holds, unpacked, or why it cannot be had: itself, or each member of a zip.

        Raises Denied when all files together are too much.
        """
        try:
            with path.open("rb") as file:
                start = file.read(4)
                file.seek(0)
                if start in (b"PK\x03\x04", b"PK\x05\x06"):
                    yield from self._zip(label, file)
                elif start[:2] == b"\x1f\x8b":
                    yield label, self._body(label, cast("IO[bytes]", gzip.GzipFile(fileobj=file)))
                else:
                    yield label, self._body(label, file)
        except OSError as error:
            yield label, PartialRead(f"{label} cannot be read: {error.strerror}", "unavailable")

    def _zip(self, label: str, file: IO[bytes]) -> Iterator[tuple[str, bytes | PartialRead]]:
        try:
            _check_directory(label, file)
            archive = zipfile.ZipFile(file)
        except PartialRead as error:
            yield label, kept(error)
            return
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            yield label, PartialRead(f"{label}: the zip file is damaged ({error})", "not_json")
            return
        with archive:
            for info in archive.infolist():
                inner = f"{label}/{_plain(info.filename)}"
                parts = info.filename.split("/")
                if info.is_dir() or parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1] == SUMS:
                    continue
                self.members += 1
                if self.members > MAX_FILES:
                    raise Denied(f"{label}: more than {MAX_FILES} files in archives", "Save fewer files.")
                if info.flag_bits & 1:
                    yield inner, PartialRead(f"{inner} is encrypted", "not_understood", "Unpack it yourself.")
                    continue
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    what = f"{inner} is packed in another way than zip files usually are"
                    yield inner, PartialRead(what, "not_understood", "Unpack it yourself.")
                    continue
                try:
                    with archive.open(info) as member:
                        yield inner, self._body(inner, member)
                except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
                    yield inner, PartialRead(f"{inner}: the zip file is damaged ({error})", "not_json")

    def _body(self, label: str, stream: IO[bytes]) -> bytes | PartialRead:
        try:
            start = stream.read(2)
            if start == b"\x1f\x8b" and not isinstance(stream, gzip.GzipFile):  # a gzip file in a zip
                unpack = zlib.decompressobj(wbits=31)
                body = unpack.decompress(start + stream.read(self.max_file_bytes), self.max_file_bytes + 1)
                if not unpack.eof and len(body) <= self.max_file_bytes:
                    return PartialRead(f"{label}: the packed file ends early", "truncated")
            else:
                body = start + stream.read(self.max_file_bytes - 1)
        except EOFError:
            return PartialRead(f"{label}: the packed file ends early", "truncated")
        except (gzip.BadGzipFile, zlib.error):
            return PartialRead(f"{label}: the packed file is damaged", "not_json")
        self.total_bytes += len(body)
        if self.total_bytes > self.max_all_bytes:
            what = f"more than {self.max_all_bytes} bytes in all files, {label} among them"
            raise Denied(what, "Let `path` name a smaller folder.")
        if len(body) > self.max_file_bytes:
            return PartialRead(f"{label}: larger than {self.max_file_bytes} bytes", "too_large")
        return body


def _check_directory(label: str, file: IO[bytes]) -> None:
    """The list of members must be of a size that may be read at once. Raises PartialRead."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 66_000))
    end = file.read()
    file.seek(0)
    at = end.rfind(b"PK\x05\x06")
    listed = int.from_bytes(end[at + 12 : at + 16], "little") if at >= 0 else 0
    if listed > MAX_DIRECTORY_BYTES:
        raise PartialRead(f"{label}: the list of its members is larger than {MAX_DIRECTORY_BYTES} bytes", "too_large")


def _label(path: Path) -> str:
    """A file name need not be UTF-8, but messages and hashes must."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _plain(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _refuse(error: OSError) -> None:
    raise error
