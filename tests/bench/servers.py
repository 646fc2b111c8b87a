"""The far ends of the benchmark, each in a process of its own, so that their CPU time is never counted as ours.

    python -m tests.bench.servers graph '{"tenants": 3, "size": "mid"}'
    python -m tests.bench.servers receivers '{}'

The first line on stdout is a JSON object that says where they are; a line "advance SECONDS" on stdin moves the time of
the simulated Graph; the end of stdin ends the process. Receivers only count: they must not be what is slow.
"""

import asyncio
import gzip
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

import trustme
from aiohttp import web
from attrs import define, frozen

from connector.clock import SimulatedClock
from connector.simulator.authority import Registration, serve_authority
from connector.simulator.server import READ, serve
from connector.simulator.world import World

START = date(2026, 3, 1)
NOW = datetime(2026, 6, 10, 8, tzinfo=UTC)
CLIENT, SECRET = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "not-a-real-secret"
CACHE_BYTES = 512 * 1024 * 1024
ENVELOPE = b'"sourcetype":'
"""Stands once in each event as a collector gets it, whatever is between two of them."""


# ------------------------------------------------------------------------------------------------- in the other process


def _tls(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context for localhost, and the file of its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return context, str(ca_file)


async def _graph(folder: Path, options: dict[str, Any]) -> None:
    """Simulated tenants, all days there, behind the simulated Entra; `as_in_life` over TLS and in gzip."""
    clock = SimulatedClock(NOW)
    world = World(7, options["tenants"], START, sizes=(options.get("size", "mid"),), missing=0.0)
    tls, ca_file = _tls(folder)
    ids = [who.id for who in world.tenants]
    app = Registration(CLIENT, secrets={SECRET: True}, roles={None: frozenset({READ})})
    async with (
        serve_authority(clock, ids, [app], ssl=tls) as authority,
        serve(
            world,
            clock,
            authenticate=authority.caller,
            cache_bytes=CACHE_BYTES,
            ssl=tls if options.get("as_in_life") else None,
            compress=options.get("as_in_life", False),
        ) as sim,
    ):
        sim.base_url = sim.base_url.replace("https://127.0.0.1", "https://localhost")
        names = [who.name for who in world.tenants]
        _say({"graph": sim.base_url, "entra": authority.base_url, "ca": ca_file, "ids": ids, "names": names})
        async for line in _lines():
            word, _, value = line.partition(" ")
            if word == "advance":
                await clock.advance(float(value))
            _say({"now": clock.now().isoformat()})


@define
class _Count:
    events: int = 0


async def _receivers(folder: Path, _options: dict[str, Any]) -> None:
    """An HTTP Event Collector, a Logs Ingestion endpoint and a webhook's receiver: they unpack, count and say yes."""
    count = _Count()

    async def body_of(request: web.Request) -> bytes:
        raw = await request.read()
        return gzip.decompress(raw) if request.headers.get("Content-Encoding") == "gzip" else raw

    async def collector(request: web.Request) -> web.Response:
        count.events += (await body_of(request)).count(ENVELOPE)
        return web.Response(body=b'{"text":"Success","code":0}', content_type="application/json")

    async def ingestion(request: web.Request) -> web.Response:
        count.events += len(json.loads(await body_of(request)))
        return web.Response(status=204)

    async def webhook(request: web.Request) -> web.Response:
        count.events += len(json.loads(await body_of(request)))
        return web.Response(status=204)

    application = web.Application(client_max_size=1 << 30)
    application.router.add_post("/services/collector/event", collector)
    application.router.add_post("/dataCollectionRules/{rule}/streams/{stream}", ingestion)
    application.router.add_post("/webhook", webhook)
    tls, ca_file = _tls(folder)
    runner = web.AppRunner(application, auto_decompress=False, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=tls).start()
    _say({"url": f"https://localhost:{runner.addresses[0][1]}", "ca": ca_file})
    async for _ in _lines():
        _say({"events": count.events})
    await runner.cleanup()


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


async def _lines() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.strip()


_KINDS = {"graph": _graph, "receivers": _receivers}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_KINDS[sys.argv[1]](Path(folder), json.loads(sys.argv[2])))


# --------------------------------------------------------------------------------------------------------- in this one


@frozen
class Server:
    """A running far end: `at` is what it said about itself."""

    at: dict[str, Any]
    _process: subprocess.Popen[str]

    def ask(self, line: str = "") -> dict[str, Any]:
        """Send a command, wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return _heard(self._process.stdout)


def _heard(stream: IO[str] | None) -> dict[str, Any]:
    assert stream is not None
    line = stream.readline()
    if not line:
        raise RuntimeError("the server of the benchmark ended; what it said is above")
    found: dict[str, Any] = json.loads(line)
    return found


@contextmanager
def started(kind: str, **options: Any) -> Iterator[Server]:
    """A far end in a process of its own; it ends with this block, or with us."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.servers", kind, json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(_heard(process.stdout), process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=30)


if __name__ == "__main__":
    main()
