"""Whoever may reach the health port cannot silence the daemon: it polls and delivers, and a fresh caller is served.

The daemon is the real one, as a process with few descriptors. SECURESCORE_HALF_OPEN=4200 opens as many connections,
with the shipped unit's 4,096 descriptors.
"""

import asyncio
import os
import resource
import socket
from contextlib import AsyncExitStack, ExitStack, suppress
from datetime import UTC, date, datetime
from pathlib import Path

from connector.clock import SimulatedClock
from connector.simulator.server import serve
from connector.simulator.world import World
from tests.fakes.attacked import attacked, healthz, types, until
from tests.fakes.simulated import token_file

HALF_OPEN = int(os.environ.get("SECURESCORE_HALF_OPEN", "300"))
FILES = 4096 if HALF_OPEN > 1000 else 160
"""Fewer than there are connections."""


def hold(port: int, count: int, held: ExitStack) -> None:
    """So many connections, each with half a request."""
    for _ in range(count):
        one = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        with suppress(OSError):  # it may have given way already
            one.sendall(b"GET /metrics HT")


async def test_half_open_connections_disturb_neither_polls_nor_deliveries(tmp_path: Path, unused_tcp_port: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, HALF_OPEN + 1000), most))
    clock = SimulatedClock(datetime(2026, 5, 1, 8, tzinfo=UTC))
    world = World(7, 1, date(2026, 2, 1), sizes=("small",))
    async with serve(world, clock) as sim:
        (who,) = world.tenants
        (tmp_path / "securescore.yaml").write_text(
            f"""
            state: {{path: state.db}}
            raw: {{keep_days: 0}}
            poll: {{interval: 1s}}
            health: {{listen: "127.0.0.1:{unused_tcp_port}"}}
            graph: {{base_url: "{sim.base_url}"}}
            tenants: [{{name: t, tenant_id: {who.id}, auth: {{kind: token, file: {token_file(tmp_path, who).name}}}}}]
            sinks: [{{name: out, kind: file, path: events.jsonl}}]
            """
        )
        async with attacked(tmp_path, files=FILES) as daemon, AsyncExitStack() as stack:
            held = stack.enter_context(ExitStack())
            out = tmp_path / "events.jsonl"
            assert await until(lambda: types(out), 120), daemon.log
            await asyncio.to_thread(hold, unused_tcp_port, HALF_OPEN, held)
            for _ in range(3):
                before = types(out).count("securescore.score.observed")
                await clock.advance(86_400)
                assert await until(lambda: types(out).count("securescore.score.observed") > before, 90), daemon.log  # noqa: B023
                assert await healthz(unused_tcp_port, 4.5) == "HTTP/1.1 200 OK"
            assert daemon.alive
            assert daemon.descriptors < 80, "the port holds a handful, whatever is opened"
            assert "Too many open files" not in daemon.log
            assert len(daemon.log) < 20_000, "and fills no log"
