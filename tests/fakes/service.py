"""The real `securescore run` under a fake service manager, with simulated tenants, a port and a log to look at.

Nothing is asserted here, except that the daemon is there as long as a test waits for it.
"""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from attrs import Factory, define

from connector.formats import cloudevents
from connector.model import Event
from tests.fakes.daemon import ROOT, Recorder, surroundings

CANARY = "canary-7f3b9c"


@define
class Manager:
    """A service manager's end of NOTIFY_SOCKET. The address is abstract."""

    address: str
    words: list[str] = Factory(list)
    _end: socket.socket | None = None

    def open(self) -> None:
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind("\0" + self.address[1:])
        self._end.setblocking(False)
        asyncio.get_running_loop().add_reader(self._end, self._hear)

    def _hear(self) -> None:
        assert self._end is not None
        self.words.append(self._end.recv(4096).decode())

    def close(self) -> None:
        assert self._end is not None
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()

    def count(self, beginning: str) -> int:
        return sum(word.startswith(beginning) for word in self.words)


@define
class Daemon:
    folder: Path
    manager: Manager
    process: Process
    port: int
    log: list[str] = Factory(list)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}{path}") as answer:
            return answer.status, await answer.text()

    async def until(self, true: Callable[[], bool], what: str) -> None:
        end = asyncio.get_running_loop().time() + 90
        while asyncio.get_running_loop().time() < end:
            if true():
                return
            assert self.process.returncode is None, "\n".join(self.log)
            await asyncio.sleep(0.05)
        raise AssertionError(what + "\n" + "\n".join([*self.log[-20:], *self.manager.words[-20:]]))

    def events(self) -> list[Event]:
        path = self.folder / "events.jsonl"
        return [cloudevents.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def entries(self, event: str) -> list[dict[str, Any]]:
        return [entry for line in self.log if (entry := json.loads(line))["event"] == event]

    def rewrite(self, old: str, new: str) -> None:
        path = self.folder / "securescore.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@asynccontextmanager
async def daemon(folder: Path, tenants: int = 2, port: int = 0, stdout: int = DEVNULL) -> AsyncIterator[Daemon]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = port or probe.getsockname()[1]
    async with surroundings(folder, Recorder(), tenants=tenants) as _:
        path = folder / "securescore.yaml"
        text = path.read_text().replace("listen: off", f'listen: "127.0.0.1:{port}"')
        path.write_text(text.replace("raw:", "log: {level: debug, format: json}\n            raw:"))
        manager = Manager(f"@securescore-test-{port}")
        manager.open()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "connector.cli.main", "run",
            cwd=folder,
            env={
                "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": manager.address,
                "WATCHDOG_USEC": "400000", "CANARY": CANARY,
            },
            stdout=stdout,
            stderr=PIPE,
        )  # fmt: skip
        running = Daemon(folder, manager, process, port)

        async def read() -> None:
            assert process.stderr is not None
            async for line in process.stderr:
                running.log.append(line.decode().rstrip())

        reader = asyncio.ensure_future(read())
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reader
            manager.close()
