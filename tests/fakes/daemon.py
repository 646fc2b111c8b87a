"""The real daemon as a process, simulated tenants whose time a test moves, and a recording webhook receiver.

Nothing is asserted here, except that the command itself works.
"""

import asyncio
import contextlib
import io
import json
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import Factory, define

from connector.cli.main import main
from connector.clock import SimulatedClock
from connector.simulator.faults import Faults
from connector.simulator.server import serve
from connector.simulator.world import World
from tests.fakes.simulated import token_file

ROOT = Path(__file__).parents[2]


async def securescore(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Process:
    """The command, started in a folder; stdout and stderr are pipes (of `run` only stderr)."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "connector.cli.main",
        *words,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "250", **(env or {})},
        stdout=DEVNULL if words[0] == "run" else PIPE,
        stderr=PIPE,
    )


async def started(process: Process) -> None:
    """Until `run` polls and delivers, and obeys signals. Raises AssertionError with its words when it ends instead."""
    said = b""
    assert process.stderr is not None
    while b"run.started" not in said:
        line = await process.stderr.readline()
        said += line
        assert line, said.decode()


async def ask(folder: Path, *words: str) -> str:
    """What a command beside the daemon says. Raises AssertionError with its complaint when it fails."""
    code, out, err = await asyncio.to_thread(operate, *words, "-c", str(folder / "securescore.yaml"))
    assert code == 0, err
    return out


def operate(*words: str) -> tuple[int, str, str]:
    """A command on a wide terminal: (exit code, stdout, stderr).

    In this process, since a new one costs a second; for a thread of its own, while the servers go on.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setenv("COLUMNS", "250")
        code = main(words)
    return code, out.getvalue(), err.getvalue()


@define
class Recorder:
    """A webhook receiver that keeps everything, slowly enough that a death may come before or after it answers.

    A batch with an event of a type in `refuse` gets that status instead. `tell` is given each body that is taken,
    before the answer.
    """

    contents: dict[str, set[str]] = Factory(dict)
    order: list[str] = Factory(list)
    arrived: list[tuple[str, str]] = Factory(list)
    requests: int = 0
    heard: asyncio.Event = Factory(asyncio.Event)
    refuse: dict[str, int] = Factory(dict)
    draw: random.Random = Factory(lambda: random.Random(5))
    tell: Callable[[bytes], None] = lambda _: None

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        events = json.loads(body)
        await asyncio.sleep(self.draw.uniform(0, 0.01))
        refused = [self.refuse[e["type"]] for e in events if e["type"] in self.refuse]
        if refused:
            return web.Response(status=refused[0], text="not in our schema")
        self.tell(body)
        for event in events:
            text = json.dumps(event)
            self.order.append(event["id"])
            self.arrived.append((event["id"], text))
            self.contents.setdefault(event["id"], set()).add(text)
        self.heard.set()
        await asyncio.sleep(self.draw.uniform(0, 0.01))
        return web.Response(status=204)

    def server(self) -> TestServer:
        app = web.Application()
        app.router.add_post("/hook", self.answer)
        return TestServer(app)


@asynccontextmanager
async def surroundings(
    folder: Path,
    recorder: Recorder,
    *,
    tenants: int = 3,
    more: str = "",
    faults: Faults | None = None,
    settings: Mapping[str, str] | None = None,
    azure: bool = False,
) -> AsyncIterator[SimulatedClock]:
    """Simulated tenants whose time the test moves by the clock it gets, a recorder, and securescore.yaml for both.

    `more` are further sinks, `settings` further keys of the configuration, or other values than those here. With
    `azure` each tenant has an entry for Defender for Cloud as well.
    """
    kept = {
        "state": "{path: state.db}",
        "raw": "{keep_days: 0}",
        "poll": "{interval: 1s, concurrency: 2}",
        "health": "{listen: off}",
        **(settings or {}),
    }
    clock = SimulatedClock(datetime(2026, 5, 1, 8, tzinfo=UTC))
    world = World(7, tenants, date(2026, 2, 1), sizes=("small",))
    async with serve(world, clock, faults=faults) as sim, recorder.server() as hook:
        entries = []
        for who in world.tenants:
            token = token_file(folder, who)
            whose = f"tenant_id: {who.id}, auth: {{kind: token, file: {token.name}}}"
            entries.append(f"{{name: {who.name}, {whose}}}")
            if azure:
                entries.append(f"{{name: {who.name}-azure, source: defender_cloud, {whose}}}")
        keys = "\n            ".join(f"{key}: {value}" for key, value in kept.items())
        (folder / "securescore.yaml").write_text(
            f"""
            {keys}
            graph: {{base_url: "{sim.base_url}"}}
            arm: {{base_url: "{sim.base_url}"}}
            tenants: [{", ".join(entries)}]
            sinks:
              - name: hook
                kind: webhook
                url: "{hook.make_url("/hook")}"
                mode: batch
                streams: [score, inventory, change, health]
                start: backfill
                batch: {{max_records: 20}}
              - {{name: out, kind: file, path: events.jsonl, batch: {{max_records: 50}}}}
              {more}
            """
        )
        yield clock
