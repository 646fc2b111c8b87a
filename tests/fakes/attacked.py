"""The real daemon as a process within limits, to be attacked: what it holds, says and answers. Nothing is asserted."""

import asyncio
import contextlib
import json
import re
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]


@frozen
class Attacked:
    """A daemon that runs in a folder; its log goes to the file `log` there."""

    folder: Path
    process: Process

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    @property
    def most_mb(self) -> int:
        """The most memory that was ever resident."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) // 1024

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@asynccontextmanager
async def attacked(folder: Path, *, files: int = 4096, cgroup: Path | None = None) -> AsyncIterator[Attacked]:
    """`securescore run` with so many descriptors, in a memory cgroup where one is given."""
    join = f"echo $$ > {cgroup}/cgroup.procs; " if cgroup else ""
    words = f'{join}ulimit -n {files}; exec "$0" -m connector.cli.main run -c securescore.yaml 2>log'
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", words, sys.executable),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdin=DEVNULL,
        stdout=DEVNULL,
    )
    try:
        yield Attacked(folder, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 30)
        except TimeoutError:
            process.kill()
            await process.wait()


async def until(what: Callable[[], object], seconds: float) -> bool:
    """Whether that became true within the time."""
    end = asyncio.get_running_loop().time() + seconds
    while not what():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.1)
    return True


async def healthz(port: int, limit_s: float) -> str:
    """The status line that a fresh caller gets. Raises TimeoutError and OSError."""
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            return (await reader.readline()).decode("latin-1").strip()
        finally:
            writer.close()


def types(file: Path) -> list[str]:
    """The types of the events that a file sink wrote."""
    return [json.loads(line)["type"] for line in file.read_text().splitlines()] if file.exists() else []
