"""What a program did to the files of a folder, noted call by call: the shim compiled, preloaded, and its notes read.

What the notes mean for a disk that loses its power is disk.py's matter.
"""

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field, frozen

from tests.needs import program

_HEAD = struct.Struct("=IIiIIIq")
CREATED, EMPTIED, FOLDER = 1, 2, 4
"""Flags of an `o`: the file was not there before; it was, and was cut to nothing; it is a folder."""


def shim(source: str, folder: Path) -> Path:
    """A shared library made of a C file beside this one."""
    made = folder / f"{source}.so"
    if not made.exists():
        compiler = program("gcc", "apt-get install gcc libc6-dev")
        given = Path(__file__).with_name(f"{source}.c")
        # Some compilers put their own guards round `open` and `write` unless told not to.
        words = [compiler, "-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-o", str(made), str(given)]
        subprocess.run(words, check=True, capture_output=True)
    return made


@frozen
class Note:
    """One change, or one thing that was said.

    `kind`: o(pen), c(lose), w(rite), t(runcate), f(sync), r(ename), l(ink), u(nlink), d (a folder is made), s (said on
    stderr), h (a receiver heard `data`), ? (a way of writing that the shim does not follow). `file` is who has it open,
    `at` an offset or a size, `data` the bytes, or the second name.
    """

    kind: str
    file: tuple[int, int]
    flags: int
    at: int
    path: str
    data: bytes


@define
class Recording:
    """The notes of everything that ran with `env`, and of what receivers heard meanwhile, in one order."""

    root: Path
    log: Path
    shim: Path
    _hearing: int = field(init=False, default=-1)

    def env(self) -> dict[str, str]:
        names = {"LD_PRELOAD": self.shim, "RECORD_ROOT": self.root, "RECORD_LOG": self.log}
        return {name: str(value) for name, value in names.items()}

    def hear(self, data: bytes) -> None:
        """A receiver has this, and has not answered yet: whatever is settled for it is noted later."""
        if self._hearing < 0:
            self._hearing = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        head = _HEAD.pack(_HEAD.size + len(data), os.getpid(), -1, ord("h"), 0, 0, 0)
        os.write(self._hearing, head + data)

    def notes(self) -> list[Note]:
        found = list(self._read())
        unknown = {note.path for note in found if note.kind == "?"}
        assert not unknown, f"files are changed in a way that recorder.c does not follow: {unknown}"
        return found

    def _read(self) -> Iterator[Note]:
        raw, at, names = self.log.read_bytes(), 0, dict[tuple[int, int], str]()
        while at < len(raw):
            size, pid, fd, kind, flags, first, offset = _HEAD.unpack_from(raw, at)
            path = raw[at + _HEAD.size : at + _HEAD.size + first].decode()
            note = Note(chr(kind), (pid, fd), flags, offset, path, raw[at + _HEAD.size + first : at + size])
            at += size
            if note.kind == "o":
                names[note.file] = note.path
            if note.kind == "?" and names[note.file].endswith("-shm"):
                continue  # SQLite's index of the log: built anew by whoever opens the file after a crash
            yield note
