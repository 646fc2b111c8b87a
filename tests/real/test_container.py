"""The container: the image built as its Containerfile says, then started, polled, delivered, asked and stopped.

Its root is read-only and its user has no privilege, as packaging/container/kubernetes.yaml asks; events go to a real
rsyslog.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector.clock import SystemClock
from connector.simulator.server import serve, token_for
from connector.simulator.world import World
from tests.real.container import Image, build
from tests.real.receivers import free_ports, rsyslog

STATE = "/var/lib/secure-score-connector"
USER = 64000


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"))


def test_the_image_says_how_it_is_run(image: Image) -> None:
    config = image.config
    assert config["User"] == f"{USER}:{USER}"
    assert image.command == ["securescore", "run"]
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["9464/tcp"]
    assert list(config["Volumes"]) == [STATE]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert [word for word in config["Env"] if re.search("(?i)secret|token|password", word)] == []


def test_there_is_nothing_in_it_that_a_build_needed(image: Image) -> None:
    prefix = image.root / "opt/secure-score-connector"
    names = {path.name for path in prefix.glob("lib/python3*/site-packages/*")}
    assert {"connector", "sinks", "mappings", "azure", "aiohttp"} <= names
    assert names.isdisjoint({"pip", "setuptools", "tests"})
    assert not (image.root / "source").exists()
    assert [path for path in prefix.rglob("*") if path.is_file() and path.stat().st_mode & 0o6002] == []


async def test_it_starts_polls_delivers_answers_and_stops(image: Image, tmp_path: Path) -> None:
    world = World(7, 1, (datetime.now(UTC) - timedelta(days=95)).date(), sizes=("small",))
    (port,) = free_ports(1)
    with rsyslog(tmp_path / "rsyslog") as server:
        async with serve(world, SystemClock()) as sim:
            binds = {
                given(tmp_path / "state", {}): (STATE, "rw"),
                given(tmp_path / "secrets", {"graph_token": token_for(world.tenants[0].id)}): ("/run/secrets", "ro"),
                given(
                    tmp_path / "etc",
                    {
                        "config.yaml": f"""
                state: {{path: {STATE}/state.db}}
                graph: {{base_url: "{sim.base_url}"}}
                tenants:
                  - name: lab
                    tenant_id: {world.tenants[0].id}
                    auth: {{kind: token, file: /run/secrets/graph_token}}
                sinks:
                  - {{name: soc, kind: syslog, host: 127.0.0.1, port: {server.plain}, transport: tcp, start: backfill}}
                health: {{listen: "127.0.0.1:{port}"}}
                """
                    },
                ): ("/etc/secure-score-connector", "ro"),
            }
            for there, _ in binds.values():  # where a runtime would make the folders that it mounts something on
                (image.root / there.lstrip("/")).mkdir(parents=True, exist_ok=True)
            process = await asyncio.create_subprocess_exec(
                *image.run(image.command, binds), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            try:
                await until(lambda: server.plain_file.exists() and "score.observed" in server.plain_file.read_text())
                ask = [word.replace("9464", str(port)) for word in image.config["Healthcheck"]["Test"][1:]]
                asked = await asyncio.to_thread(subprocess.run, image.run(ask, {}), capture_output=True, text=True)
                status = ["securescore", "status", "--json"]
                told = await asyncio.to_thread(subprocess.run, image.run(status, binds), capture_output=True, text=True)
                outside = ["sh", "-c", "touch /opt/secure-score-connector/x"]
                wrote = await asyncio.to_thread(subprocess.run, image.run(outside, {}), capture_output=True, text=True)
            finally:
                stop(process.pid)
                out = (await asyncio.wait_for(process.communicate(), 120))[0].decode()
    assert asked.returncode == 0, asked.stderr
    assert json.loads(told.stdout)["tenants"]["lab"]["error"] is None, told
    assert "Read-only file system" in wrote.stderr
    assert process.returncode == 0, out
    assert "Traceback" not in out


def given(folder: Path, files: Mapping[str, str]) -> Path:
    """A folder that belongs to the container's user, as a runtime would mount it."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o400)
        os.chown(path, USER, USER)
    return folder


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not true():
            await asyncio.sleep(0.2)


def stop(pid: int) -> None:
    """What a runtime does: SIGTERM to the first process of the container, which is the program itself."""
    (first,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)
