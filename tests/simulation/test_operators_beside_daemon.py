"""What an operator does while the daemon runs, with the real commands beside the real process."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.daemon import Recorder, ask, securescore, surroundings

REFUSED = "securescore.tenant.changed"
DEAD = "- {name: dead, kind: file, path: missing/dead.jsonl}"


async def status(folder: Path) -> dict[str, Any]:
    sinks: dict[str, Any] = json.loads(await ask(folder, "status", "--json"))["sinks"]
    return sinks


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.05)


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


async def test_parked_replay_trace_and_release_beside_a_running_daemon(tmp_path: Path) -> None:
    recorder = Recorder(refuse={REFUSED: 422})
    async with surroundings(tmp_path, recorder, tenants=1, more=DEAD):
        daemon = await securescore(tmp_path, "run")
        await asyncio.wait_for(recorder.heard.wait(), 20)
        async with asyncio.timeout(30):
            while (hook := (sinks := await status(tmp_path))["hook"])["parked"] < 2 or hook["backlog"]:
                await asyncio.sleep(0.1)
            while (sinks := await status(tmp_path))["out"]["backlog"]:
                await asyncio.sleep(0.1)
        assert sinks["hook"]["parked"] == 2
        assert sinks["dead"]["backlog"] == len(written(tmp_path))

        parked = json.loads(await ask(tmp_path, "parked", "show", "--sink", "hook"))
        assert {p["event"]["type"] for p in parked} == {REFUSED}
        assert all("HTTP 422 (not in our schema)" in p["reason"] for p in parked)
        first, second = (p["event"]["id"] for p in parked)
        assert first not in recorder.contents
        table = await ask(tmp_path, "parked", "list")
        assert first in table
        assert "HTTP 422" in table

        recorder.refuse.clear()
        before = written(tmp_path)
        assert "1 events will be offered again" in await ask(tmp_path, "parked", "retry", "--sink", "hook", first)
        assert "1 events discarded" in await ask(tmp_path, "parked", "discard", "--sink", "hook", second, "--yes")
        observed = [e["id"] for e in before if e["type"] == "securescore.score.observed"]
        said = await ask(tmp_path, "replay", "--sink", "out", "--type", "score.observed")
        assert f"{len(observed)} events will be offered to out again" in said
        await until(lambda: first in recorder.contents)
        await until(lambda: len(written(tmp_path)) == len(before) + len(observed))
        again = written(tmp_path)[len(before) :]
        assert again == [e for e in before if e["id"] in set(observed)], "the same ids and contents, in order"

        trace = await ask(tmp_path, "events", "--id", first, "--trace")
        rows = {line.split()[0]: line for line in trace.splitlines() if line.strip()}
        assert "accepted" in rows["hook"]
        assert "accepted" in rows["out"]
        assert "due" in rows["dead"]
        assert "discarded" in await ask(tmp_path, "events", "--id", second, "--trace")
        assert second not in recorder.contents

        assert "events given up" in await ask(tmp_path, "sinks", "release", "dead", "--yes")
        assert (await status(tmp_path))["dead"]["backlog"] == 0
        assert "dead" in await ask(tmp_path, "sinks", "list")

        daemon.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(daemon.communicate(), 30)
        assert daemon.returncode == 0
        assert "Traceback" not in log.decode()
        after = (await status(tmp_path))["hook"]
        assert (after["backlog"], after["parked"]) == (0, 0)
