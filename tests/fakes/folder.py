"""A folder in memory for tests that commit thousands of times: each fsync of a real disk costs milliseconds."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def quick_folder() -> Iterator[Path]:
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="securescore-", dir=shared_memory if shared_memory.is_dir() else None
    ) as name:
        yield Path(name)
