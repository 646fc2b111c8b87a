"""`kill -9` of the real daemon at random moments, again and again, against a recording receiver.

SECURESCORE_KILLS says how often (default: a few, for the ordinary run). Set SECURESCORE_KILLS_REPORT to a file for the
figures of a long run.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

from attrs import define

from connector.clock import SystemClock
from connector.formats import cloudevents
from connector.ports import Query
from connector.stores.sqlite import open_store
from tests.fakes.daemon import Recorder, securescore, surroundings

KILLS = int(os.environ.get("SECURESCORE_KILLS", "10"))


def sound(path: Path) -> None:
    """The state is whole, to whoever opens it next: nothing torn, nothing half."""
    if not path.exists():
        return
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@define
class Figures:
    kills: int = 0
    while_sending: int = 0
    events: int = 0
    repeated_hook: int = 0
    repeated_out: int = 0
    seconds: float = 0.0


async def one_life(folder: Path, recorder: Recorder, draw: random.Random, figures: Figures) -> None:
    """Start the daemon and kill it: at any moment of its start, or shortly after it began to deliver."""
    recorder.heard.clear()
    process = await securescore(folder, "run")
    if draw.random() < 0.25:
        await asyncio.sleep(draw.uniform(0.05, 1.5))
    else:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(recorder.heard.wait(), 10)
        await asyncio.sleep(draw.uniform(0, 0.25))
    assert process.returncode is None, (await process.communicate())[1].decode()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    figures.kills += 1
    figures.while_sending += recorder.heard.is_set()


async def last_life(folder: Path) -> None:
    """Let it work until nothing is due, then stop it as a service manager does."""
    process = await securescore(folder, "run")
    quiet, deadline = 0, time.monotonic() + 90
    while quiet < 3:
        assert time.monotonic() < deadline, "it does not come to rest"
        await asyncio.sleep(0.5)
        store = await open_store(folder / "state.db", clock=SystemClock(), writer=False)
        stats = await store.stats()
        await store.close()
        quiet = quiet + 1 if stats.events and not any(s.backlog for s in stats.sinks) else 0
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, said.decode()


async def test_kill_9_again_and_again_loses_nothing_and_changes_nothing(tmp_path: Path) -> None:
    draw, recorder, figures = random.Random(23), Recorder(), Figures()
    began = time.monotonic()
    async with surroundings(tmp_path, recorder) as clock:
        for _ in range(KILLS):
            await one_life(tmp_path, recorder, draw, figures)
            sound(tmp_path / "state.db")
            await clock.advance(draw.choice([3600, 43_200, 86_400, 3 * 86_400]))
        await last_life(tmp_path)
        sound(tmp_path / "state.db")
    store = await open_store(tmp_path / "state.db", clock=SystemClock(), writer=False)
    committed = {e.id: cloudevents.dumps(e) for e in await store.history(Query())}
    assert await store.parked() == []
    await store.close()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    written: dict[str, set[str]] = {}
    for line in lines:
        written.setdefault(json.loads(line)["id"], set()).add(line)

    figures.events, figures.seconds = len(committed), round(time.monotonic() - began, 1)
    figures.repeated_hook = len(recorder.order) - len(recorder.contents)
    figures.repeated_out = len(lines) - len(written)
    if report := os.environ.get("SECURESCORE_KILLS_REPORT"):
        Path(report).write_text(f"{figures}\n")

    for got in (recorder.contents, written):
        assert got.keys() == committed.keys(), "nothing is missing, and nothing came that was never committed"
        assert all(len(contents) == 1 for contents in got.values()), "no id came twice with different content"
    assert written == {event_id: {text} for event_id, text in committed.items()}
    for order in (list(dict.fromkeys(recorder.order)), list(written)):
        assert order == list(committed), "first deliveries come in commit order"
    assert figures.kills == KILLS
    assert figures.while_sending >= KILLS // 3, f"the kills must hit a daemon at work: {figures}"
