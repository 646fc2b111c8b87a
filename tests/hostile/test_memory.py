"""A cap on bytes is none on memory: what a far end sends in 16 MB must not become a gigabyte here."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANY = 16 * 1024 * 1024
ROW = '"controlScores":[{'
OTHERS = "]},{" + ROW + '"b":1}]},{' + ROW + '"c":1}]}]}'
"""Two more days, so that rows are worth parsing apart."""

SHAPES: Mapping[str, Callable[[], str]] = {
    "empty objects": lambda: '{"value":[' + ",".join(['{"":0}'] * (MANY // 7)) + "]}",
    "empty lists": lambda: '{"value":[' + ",".join(["[]"] * (MANY // 3)) + "]}",
    "deep and wide": lambda: '{"value":[' + ",".join(["[" * 900 + "]" * 900] * (MANY // 1801)) + "]}",
    "keys": lambda: "{" + ",".join(f'"{n:x}":[]' for n in range(1_000_000)) + "}",
    "short texts": lambda: '{"value":[' + ",".join(f'"{n:x}"' for n in range(1_700_000)) + "]}",
    "a row of rows": lambda: '{"value":[{' + ROW + '"a":[' + ",".join(["{}"] * (MANY // 3)) + "]}" + OTHERS,
    "very many rows": lambda: '{"value":[{' + ROW + "},{".join(f'"":{n}' for n in range(1_000_000)) + "}" + OTHERS,
    "very many days": lambda: '{"value":[' + ",".join(["{" + ROW + '"":0}]}'] * (MANY // 28)) + "]}",
}
"""Made when they are asked for: together they are a hundred megabytes."""

PROGRAM = """
import resource, sys
from connector.errors import PartialRead
from connector.sources.days import load_days
from connector.sources.pages import load
from connector.sources.profiles import load_profiles
body = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    {"days": load_days, "page": load, "profiles": lambda b, w: load_profiles(b, w, "t")}[sys.argv[2]](body, "page 1")
    print("taken", end=" ")
except PartialRead as error:
    print(error.what, end=" ")
print(";", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("way", ["days", "page", "profiles"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_of_sixteen_megabytes_costs_less_than_a_hundred_more(tmp_path: Path, shape: str, way: str) -> None:
    file = tmp_path / "page.json"
    file.write_text(SHAPES[shape]()[:MANY])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), way],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    said, more_mb = done.stdout.rsplit(";", 1)
    assert int(more_mb) < 100, done.stdout
    assert said.strip() == "page 1: holds more values than any answer of this kind"


RECEIVER = """
import asyncio, gzip, json, resource, sys
from aiohttp import web
from connector.config.values import NetworkConfig
from connector.errors import Denied, Unavailable
from connector.model import Record
from sinks import splunk, webhook

ANSWER = gzip.compress(b'{"text":"ok","code":0,"x":[' + b",".join([b'{"":0}'] * 2_390_000) + b"]}")

async def hostile(_):
    return web.Response(body=ANSWER, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

async def main():
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hostile)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    sink = {
        "splunk_hec": lambda: splunk.build("s", {"url": url, "token": "t", "ack": "off"}, NetworkConfig()),
        "webhook": lambda: webhook.build("s", {"url": url + "/x"}, NetworkConfig()),
    }[sys.argv[1]]()
    payload = {"event": {"a": 1}} if sys.argv[1] == "splunk_hec" else '{"id":"1"}'
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        await sink.send([Record("id-1", "change", "t", "2026-11-22T09:12:03Z", 5, payload)])
    except (Unavailable, Denied) as error:
        print(type(error).__name__, end=" ")
    print(";", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    await sink.close()
    await runner.cleanup()

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["splunk_hec", "webhook"])
def test_an_answer_of_a_receiver_fills_no_memory(kind: str) -> None:
    """24 kB on the wire, 16.7 MB of JSON, more than 500 MB as values: it costs one attempt."""
    done = subprocess.run(
        [sys.executable, "-c", RECEIVER, kind], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout.rsplit(";", 1)[1]) < 50, done.stdout
