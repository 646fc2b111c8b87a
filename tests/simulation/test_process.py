"""The command as a process: killed at any moment it loses nothing, and tells clearly what is wrong with its input."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.clock import SystemClock
from connector.formats import cloudevents
from connector.simulator.server import Simulation, serve, token_for
from connector.simulator.world import World

SAID = "configuration: securescore.yaml\n"
"""What stderr says of the file that was found."""
KILLS = int(os.environ.get("SECURESCORE_KILLS", "8"))
SHARED_TENANT = "12345678-1234-1234-1234-1234567890ab"


async def start(folder: Path, *words: str) -> asyncio.subprocess.Process:
    """Start the command in a folder."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "connector.cli.main",
        *words,
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def securescore(folder: Path, *words: str, kill_after_s: float | None = None) -> tuple[int, str, str]:
    """Run the command in a folder: (exit code, stdout, stderr)."""
    process = await start(folder, *words)
    if kill_after_s is not None:
        await asyncio.sleep(kill_after_s)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[Simulation]:
    """A simulated tenant of today, and securescore.yaml beside it."""
    world = World(7, 1, (datetime.now(UTC) - timedelta(days=95)).date(), sizes=("small",))
    async with serve(world, SystemClock()) as sim:
        token = folder / "token"
        token.touch(0o600)
        token.write_text(token_for(world.tenants[0].id))
        (folder / "securescore.yaml").write_text(
            f"""
            state: {{path: state.db}}
            graph: {{base_url: "{sim.base_url}"}}
            tenants: [{{name: lab, tenant_id: {world.tenants[0].id}, auth: {{kind: token, file: token}}}}]
            sinks: [{{name: out, kind: file, path: events.jsonl}}]
            """
        )
        yield sim


def ids(folder: Path) -> list[str]:
    """What arrived, but for the notice that the state is new: its id is that of the moment."""
    path = folder / "events.jsonl"
    events = [cloudevents.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [e.id for e in events if e.data.get("reason") != "state_new"]


async def test_kill_9_at_any_moment_of_once_same_ids_and_nothing_missing(tmp_path: Path) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    draw = random.Random(11)
    async with simulated(calm) as sim:
        assert (await securescore(calm, "once"))[0] == 0
        for name in ("securescore.yaml", "token"):
            (rough / name).write_bytes((calm / name).read_bytes())
            (rough / name).chmod(0o600)
        for _ in range(KILLS):
            await securescore(rough, "once", kill_after_s=draw.uniform(0.15, 1.2))
        code, _, error = await securescore(rough, "once")
        assert (code, error) == (0, SAID)
        assert sim.requests
    expected, got = ids(calm), ids(rough)
    assert len(set(expected)) == len(expected)
    assert set(got) == set(expected)
    assert list(dict.fromkeys(got)) == expected  # repeats are allowed, disorder of first deliveries is not


async def test_once_twice_in_a_row_emits_nothing_new(tmp_path: Path) -> None:
    async with simulated(tmp_path):
        assert (await securescore(tmp_path, "once"))[0] == 0
        first = ids(tmp_path)
        for _ in range(2):  # the second asks for fewer days than the first, the third gets the same bytes again
            code, out, error = await securescore(tmp_path, "once")
            assert (code, error) == (0, SAID)
            assert ids(tmp_path) == first
        assert "unchanged" in out


async def test_a_second_process_is_refused_and_told_who_holds_the_state(tmp_path: Path) -> None:
    async with simulated(tmp_path):
        assert (await securescore(tmp_path, "once"))[0] == 0
        lock = tmp_path / "state.db.lock"
        assert b"pid" not in lock.read_bytes(), "`once` let go of it"
        daemon = await start(tmp_path, "run")
        async with asyncio.timeout(60):
            while b"pid" not in lock.read_bytes():
                await asyncio.sleep(0.02)
        code, _, error = await securescore(tmp_path, "once")
        assert code == 1
        assert "in use by process" in error
        assert (await securescore(tmp_path, "status"))[0] == 0  # reading goes on beside the daemon
        assert daemon.returncode is None
        daemon.send_signal(signal.SIGKILL)
        await daemon.communicate()


async def test_five_mistakes_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "securescore.yaml").write_text(
        """
state: {path: state.db, keep_dayz: 3}
poll: {interval: soon}
tenants:
  - name: lab
    tenant_id: nonsense
    auth: {kind: client_secret, client_id: 22222222-2222-2222-2222-222222222222, client_secret: hunter2}
sinks:
  - {name: out, kind: fil, path: events.jsonl}
"""
    )
    code, _, error = await securescore(tmp_path, "once")
    assert code == 2
    for words in ("keep_dayz", "keep_days", "interval", "tenant_id", "client_secret", "fil", "line 2", "line 9"):
        assert words in error
    assert "hunter2" not in error


async def test_no_configuration_names_the_next_step(tmp_path: Path) -> None:
    code, _, error = await securescore(tmp_path, "status")
    assert code == 2
    assert "securescore init" in error


async def test_a_wrong_tenant_is_refused_by_name(tmp_path: Path) -> None:
    async with simulated(tmp_path) as sim:
        text = (tmp_path / "securescore.yaml").read_text()
        (tmp_path / "securescore.yaml").write_text(text.replace(sim.world.tenants[0].id, SHARED_TENANT))
        code, out, _ = await securescore(tmp_path, "once")
        assert code == 3
        assert SHARED_TENANT in out
        assert not [i for i in ids(tmp_path) if "score" in i]


async def test_a_state_of_a_newer_version_and_a_read_only_folder_are_refused(tmp_path: Path) -> None:
    async with simulated(tmp_path):
        assert (await securescore(tmp_path, "once"))[0] == 0
        import sqlite3  # noqa: PLC0415

        connection = sqlite3.connect(tmp_path / "state.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        code, _, error = await securescore(tmp_path, "once")
        assert code == 1
        assert "99" in error
        text = (tmp_path / "securescore.yaml").read_text()
        (tmp_path / "securescore.yaml").write_text(text.replace("path: state.db", "path: /proc/none/state.db"))
        code, _, error = await securescore(tmp_path, "once")
        assert code == 1
        assert "/proc/none" in error
