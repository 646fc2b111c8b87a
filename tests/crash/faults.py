"""A disk that fails as a test wants it: the shim's numbers, shared with the program that it is preloaded into."""

import mmap
import struct
from pathlib import Path

from attrs import define, field

from tests.crash.recording import shim

_NUMBERS = struct.Struct("=8I")


@define
class FailingDisk:
    """Whatever lies below `root`, for programs that run with `env`. Its numbers are chances in 10,000 calls."""

    root: Path
    control: Path
    shim: Path
    _shared: mmap.mmap = field(init=False)

    @classmethod
    def below(cls, root: Path, folder: Path) -> "FailingDisk":
        return cls(root, folder / "faults", shim("faults", folder))

    def __attrs_post_init__(self) -> None:
        self.control.write_bytes(bytes(_NUMBERS.size))
        with self.control.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _NUMBERS.size)

    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.shim), "FAULT_ROOT": str(self.root), "FAULT_CONTROL": str(self.control)}

    def fail(self, *, no_write: int = 0, half_write: int = 0, no_sync: int = 0, no_space: int = 0) -> None:
        """From now on: writes fail with EIO, write half, syncs fail and lose what they should have kept, no room."""
        self._shared[:16] = struct.pack("=4I", no_write, half_write, no_sync, no_space)

    def heal(self) -> None:
        self.fail()

    def failures(self) -> dict[str, int]:
        """How often it failed so far, by kind."""
        counts = _NUMBERS.unpack(self._shared[:])[4:]
        return dict(zip(("no_write", "half_write", "no_sync", "no_space"), counts, strict=True))
