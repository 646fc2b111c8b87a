"""The real `securescore run` under a fake service manager: its words, its signals, its endpoints, its log."""

import asyncio
import json
import re
import signal
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
        for _ in range(600):
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
async def daemon(folder: Path, tenants: int = 2) -> AsyncIterator[Daemon]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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
            stdout=DEVNULL,
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


async def test_the_service_manager_hears_every_word_and_reloads_take_or_refuse_the_new_configuration(
    tmp_path: Path,
) -> None:
    async with daemon(tmp_path, tenants=3) as run:
        await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
        await run.until(lambda: run.manager.count("WATCHDOG=1") >= 3, "WATCHDOG")
        await run.until(lambda: len(run.entries("poll.done")) >= 3, "polls")
        assert run.manager.words[0].startswith("READY=1\nSTATUS=")

        assert await run.get("/healthz") == (200, '{"status": "ok", "stalled": []}\n')
        status, text = await run.get("/readyz")
        assert (status, json.loads(text)) == (200, {"ready": True, "reasons": [], "warnings": []})
        _, text = await run.get("/metrics")
        assert re.search(r'^securescore_tenants\{state="ok"\} 3.0$|state="stale"\} 3.0$', text, re.MULTILINE)
        assert re.search(
            r'^securescore_sink_delivered_events_total\{sink="out",stream="score"\} [1-9]', text, re.MULTILINE
        )
        assert 'securescore_http_responses_total{status="200"}' in text
        assert (await run.get("/"))[0] == 404

        # A configuration with a mistake is refused; the old one goes on, and the log, /readyz and an event say so.
        run.rewrite("concurrency: 2", "concurrenzy: 2")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("READY=1") == 2, "READY after a refusal")
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", next(w for w in run.manager.words if "RELOAD" in w))
        await run.until(lambda: len(run.entries("reload.refused")) == 1, "the log line")
        (refused,) = run.entries("reload.refused")
        assert "concurrenzy" in refused["problems"][0]
        assert "concurrenzy" in json.loads((await run.get("/readyz"))[1])["warnings"][0]
        told = {("connector.problem", "configuration")}
        await run.until(lambda: told <= {(e.type, e.data.get("reason")) for e in run.events()}, "the problem")

        # Corrected, and with one tenant less: only the tenants are replaced, and the problem is over.
        run.rewrite("concurrenzy: 2", "concurrency: 2")
        text = (tmp_path / "securescore.yaml").read_text()
        (tmp_path / "securescore.yaml").write_text(re.sub(r"tenants: \[\{[^}]*\{[^}]*\}\}, ", "tenants: [", text))
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("READY=1") == 3, "READY after new tenants")
        await run.until(lambda: [e["tenants"] for e in run.entries("reload.tenants")] == [2], "the log line")
        told = {("connector.recovered", "configuration")}
        await run.until(lambda: told <= {(e.type, e.data.get("reason")) for e in run.events()}, "the recovery")

        # Another interval: everything is built anew in the same process.
        run.rewrite("interval: 1s", "interval: 2s")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: run.manager.count("READY=1") == 4, "READY after a rebuild")
        await run.until(lambda: len(run.entries("run.started")) == 2, "the log line")
        _, text = await run.get("/metrics")
        for outcome in ("refused", "tenants", "rebuilt"):
            assert f'securescore_config_reloads_total{{outcome="{outcome}"}} 1.0' in text

        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0
        assert run.manager.count("STOPPING=1") == 1
        assert run.manager.count("RELOADING=1") == 3
        (new,) = [e for e in run.events() if e.data.get("reason") == "state_new"]
        assert new.source.startswith("urn:secure-score:connector:")


async def test_no_secret_is_anywhere_but_where_the_operator_put_it(tmp_path: Path) -> None:
    """Tokens of all tenants, at level debug with every fault told, searched for in all that the daemon wrote."""
    async with daemon(tmp_path) as run:
        await run.until(lambda: run.manager.count("READY=1") == 1, "READY")
        run.rewrite("mode: batch", 'mode: batch\n                authorization: "${env:CANARY}"')
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: len(run.entries("run.started")) == 2, "the rebuild")
        (tmp_path / "securescore.yaml").write_text(f"password: {CANARY}\n")
        run.process.send_signal(signal.SIGHUP)
        await run.until(lambda: len(run.entries("reload.refused")) == 1, "the refusal")
        await run.until(lambda: len(run.entries("poll.done")) >= 4, "polls")
        said = [(await run.get(path))[1] for path in ("/healthz", "/readyz", "/metrics")]
        run.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.process.wait(), 30) == 0
    said += [*run.log, *run.manager.words]
    secrets = [CANARY, *(p.read_text() for p in tmp_path.glob("*.token"))]
    assert len(secrets) == 3
    kept = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix not in (".token", ".yaml")]
    assert {"state.db", "events.jsonl"} <= {p.name for p in kept}
    for secret in secrets:
        assert not [words for words in said if secret in words]
        assert not [p for p in kept if secret.encode() in p.read_bytes()]


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with daemon(tmp_path) as run:
            run.process.kill()
            await run.process.wait()
            run.rewrite(str(run.port), str(taken.getsockname()[1]))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "connector.cli.main", "run",
                cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stdout=DEVNULL, stderr=PIPE,
            )  # fmt: skip
            _, err = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 2
            assert b"Address already in use" in err
            assert b"next: choose a free port" in err
