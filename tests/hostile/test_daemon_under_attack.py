"""The real daemon among those who mean harm: 45 receivers and 38 Graphs at once, in the memory that the unit grants it.

It stays alive, polls and delivers for whoever is well, and says of each of the others what is wrong, without a secret.
"""

import json
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.foreign.characters import harmless_lines
from connector.simulator.server import serve
from connector.simulator.world import World
from tests.fakes.attacked import attacked, types, until
from tests.fakes.hostile import STREAMS, WAYS, hostile
from tests.fakes.simulated import token_file

SECRET = "c0ffee00-1111-2222-3333-444444444444"
MOST_MB = 512
"""MemoryMax of the shipped unit."""
ROUNDS = int(os.environ.get("SECURESCORE_ROUNDS", "3"))
CGROUP = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def cgroup() -> Iterator[Path | None]:
    """A memory cgroup (version 1) of that size where this machine lets us make one."""
    made = CGROUP / f"securescore-{os.getpid()}"
    try:
        made.mkdir()
        (made / "memory.limit_in_bytes").write_text(str(MOST_MB * 1024**2))
    except OSError:
        yield None
        return
    yield made
    made.rmdir()


def named(way: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in way.lower())


async def test_whoever_is_well_is_served(tmp_path: Path, cgroup: Path | None) -> None:
    clock = SimulatedClock(datetime(2026, 5, 1, 8, tzinfo=UTC))
    world = World(7, 1, date(2026, 2, 1), sizes=("small",))
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text(SECRET)
    secret = f"${{file:{tmp_path / 'secret'}}}"
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(serve(world, clock))
        (who,) = world.tenants
        good = {"kind": "token", "file": token_file(tmp_path, who).name}
        tenants = [{"name": "good", "tenant_id": who.id, "auth": good, "graph": {"base_url": sim.base_url}}]
        sinks: list[dict[str, object]] = [{"name": "healthy", "kind": "file", "path": "events.jsonl"}]
        for number, (way, act) in enumerate(WAYS.items()):
            far = await stack.enter_async_context(hostile(act))
            graph = await stack.enter_async_context(hostile(act))
            auth = {"kind": "token", "file": "secret"}
            guid = f"22222222-0000-4000-8000-{number:012}"
            tenants.append({"name": named(way), "tenant_id": guid, "auth": auth, "graph": {"base_url": graph.url}})
            if number % 2:
                sinks.append(
                    {
                        "name": named(way),
                        "kind": "webhook",
                        "url": f"{far.url}/hook",
                        "authorization": secret,
                    }
                )
            else:
                sinks.append(
                    {
                        "name": named(way),
                        "kind": "splunk_hec",
                        "url": far.url,
                        "token": secret,
                        "index": "main",
                    }
                )
        for way, act in STREAMS.items():
            far = await stack.enter_async_context(hostile(act, stream=True))
            transport = "relp" if way.startswith("RELP") else "tcp"
            sinks.append(
                {"name": named(way), "kind": "syslog", "host": "127.0.0.1", "port": far.port, "transport": transport}
            )
        settings = {
            "state": {"path": "state.db"},
            "poll": {"interval": "2s"},
            "network": {"timeout_s": 15},
            "health": {"listen": "off"},
            "tenants": tenants,
            "sinks": [{**each, "start": "all", "streams": ["score", "change", "health"]} for each in sinks],
        }
        (tmp_path / "securescore.yaml").write_text(json.dumps(settings))
        daemon = await stack.enter_async_context(attacked(tmp_path, cgroup=cgroup))
        out = tmp_path / "events.jsonl"
        assert await until(lambda: not daemon.alive or "securescore.score.observed" in types(out), 480)
        assert daemon.alive, daemon.log[-5000:]
        for _ in range(ROUNDS):
            before = types(out).count("securescore.score.observed")
            await clock.advance(86_400)
            assert await until(lambda: types(out).count("securescore.score.observed") > before, 480), daemon.log[-5000:]  # noqa: B023
        assert daemon.alive
        log, most_mb = daemon.log, daemon.most_mb
        where = "a cgroup of 512 MiB" if cgroup else "no cgroup"
        print(f"{most_mb} MB at most, in {where}, {daemon.descriptors} descriptors, {len(log)} octets of log")  # noqa: T201 - with -s
        assert most_mb < MOST_MB
        assert SECRET not in log
        assert harmless_lines(log) == log
        assert "Traceback" not in log, "a far end's answer is never our bug"
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
        assert SECRET.encode() not in kept
