"""`kill -9` of the real daemon, thousands of times, over both stores and four sinks: what was lost, what came twice.

A program: `python -m tests.crash.soak --kills 10000` (`make soak`). It goes in rounds, each with a new state: simulated
tenants, each with Azure, whose time moves on between the lives; a file, a TCP syslog receiver (CEF), a webhook
(batches) and a Splunk collector with acknowledgement; daemons that are killed while they start, observe, deliver and
settle; and at the end one life that is left in peace. Then everything that arrived is compared with everything that was
committed.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from attrs import Factory, asdict, define

from connector.clock import SimulatedClock, SystemClock
from connector.ports import Query
from tests.crash.order import out_of_order
from tests.crash.scene import STORES, open_state
from tests.fakes.daemon import ROOT, Recorder, securescore, started, surroundings
from tests.fakes.hec import TOKEN, Splunk, Token
from tests.fakes.loopback import serve

KILLS_A_ROUND = 100
SINKS = ("file", "syslog", "webhook", "hec")
_EXTERNAL_ID = re.compile(r"externalId=([0-9a-f-]{36})")


@define
class Syslog:
    """A TCP syslog receiver (octet counting) that keeps whole frames; what a killed sender began is forgotten."""

    frames: list[str] = Factory(list)
    heard: asyncio.Event = Factory(asyncio.Event)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int(await reader.readuntil(b" "))
                self.frames.append((await reader.readexactly(length)).decode())
                self.heard.set()
        writer.close()


@define
class Figures:
    """What a soak came to. `inversions`: first arrivals behind a later event of their tenant and stream."""

    kills: int = 0
    while_sending: int = 0
    failed_starts: int = 0
    events: int = 0
    lost: int = 0
    never_committed: int = 0
    two_contents: int = 0
    inversions: int = 0
    duplicates: dict[str, int] = Factory(lambda: dict.fromkeys(SINKS, 0))
    seconds: float = 0.0

    def add(self, other: "Figures") -> None:
        for name, value in asdict(other).items():
            mine = getattr(self, name)
            added = {sink: mine[sink] + value[sink] for sink in SINKS} if isinstance(value, dict) else mine + value
            setattr(self, name, added)

    def good(self) -> bool:
        return not (self.lost or self.never_committed or self.two_contents or self.inversions or self.failed_starts)


@define
class Round:
    """One state, its receivers, and the lives that end in it."""

    home: Path
    store: str
    clock: SimulatedClock
    hook: Recorder
    syslog: Syslog
    splunk: Splunk
    draw: random.Random
    figures: Figures = Factory(Figures)

    async def kill(self, kills: int) -> None:
        words = (sys.executable, "-m", "tests.crash.lives")
        mother = await asyncio.create_subprocess_exec(
            *words,
            cwd=self.home,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        for _ in range(kills):
            await self._life(mother)
            await self.clock.advance(self.draw.choice([1200, 3600, 21_600, 86_400]))
        assert mother.stdin is not None
        mother.stdin.close()
        await mother.wait()

    async def _life(self, mother: Process) -> None:
        """Start a daemon and kill it: at any moment of its start, or shortly after it began to deliver."""
        assert mother.stdin is not None
        assert mother.stdout is not None
        for heard in (self.hook.heard, self.syslog.heard):
            heard.clear()
        mother.stdin.write(b"begin\n")
        if self.draw.random() < 0.3:
            await asyncio.sleep(self.draw.uniform(0, 0.4))
        else:
            hearing = [asyncio.ensure_future(heard.wait()) for heard in (self.hook.heard, self.syslog.heard)]
            await asyncio.wait(hearing, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            for one in hearing:
                one.cancel()
            await asyncio.sleep(self.draw.uniform(0, 0.15))
        mother.stdin.write(b"kill\n")
        ended = int(await mother.stdout.readline())
        self.figures.kills += ended == -signal.SIGKILL
        self.figures.failed_starts += ended != -signal.SIGKILL
        self.figures.while_sending += self.hook.heard.is_set() or self.syslog.heard.is_set()

    async def last_life(self) -> None:
        """One that is left in peace."""
        await self.to_rest(await securescore(self.home, "run"))

    async def to_rest(self, process: Process) -> None:
        """Until nothing is due; then a stop as a service manager does it."""
        await started(process)
        quiet, deadline = 0, time.monotonic() + 120
        while quiet < 3:
            assert time.monotonic() < deadline, "it does not come to rest"
            assert process.returncode is None, (await process.communicate())[1].decode()
            await asyncio.sleep(0.5)
            store = await open_state(self.home, self.store)
            stats = await store.stats()
            await store.close()
            quiet = quiet + 1 if stats.events and not any(s.backlog for s in stats.sinks) else 0
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, said.decode()

    def arrivals(self) -> dict[str, list[tuple[str, str]]]:
        """What each sink's far end has, in the order of its coming: event id, content."""
        lines = (self.home / "events.jsonl").read_text().splitlines()
        frames = (frame[frame.index("CEF:") :] for frame in self.syslog.frames)
        return {
            "file": [(json.loads(line)["id"], line) for line in lines],
            "syslog": [(_id_in(frame), frame) for frame in frames],
            "webhook": [(known, text) for known, text in self.hook.arrived],
            "hec": [(each.event["event_id"], json.dumps(each.event)) for each in self.splunk.received],
        }

    async def judge(self) -> None:
        store = await open_state(self.home, self.store)
        committed = {event.id: event for event in await store.history(Query())}
        assert await store.parked() == []
        assert {event.data["source"] for event in committed.values()} >= {"graph", "defender_cloud"}
        await store.close()
        self.figures.events = len(committed)
        for sink, arrived in self.arrivals().items():
            contents: dict[str, set[str]] = {}
            for known, text in arrived:
                contents.setdefault(known, set()).add(text)
            self.figures.lost += len(committed.keys() - contents.keys())
            self.figures.never_committed += len(contents.keys() - committed.keys())
            self.figures.two_contents += sum(len(texts) > 1 for texts in contents.values())
            self.figures.duplicates[sink] = len(arrived) - len(contents)
            self.figures.inversions += len(out_of_order(committed, [known for known in contents if known in committed]))


def _id_in(frame: str) -> str:
    found = _EXTERNAL_ID.search(frame)
    assert found, frame
    return found[1]


@asynccontextmanager
async def beginning(home: Path, store: str, seed: int) -> AsyncIterator[Round]:
    draw, hook, syslog = random.Random(seed), Recorder(), Syslog()
    splunk = Splunk(SystemClock(), tokens={TOKEN: Token(ack=True)}, acks_after_s=0.05)
    (home / "data").mkdir()
    (home / "hec.token").touch(0o600)
    (home / "hec.token").write_text(TOKEN)
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(serve(splunk))
        receiver = await stack.enter_async_context(await asyncio.start_server(syslog.take, "127.0.0.1", 0))
        port = receiver.sockets[0].getsockname()[1]
        every = "streams: [score, inventory, change, health], start: backfill"
        token = f"${{file:{home}/hec.token}}"
        more = f"""- {{name: soc, kind: syslog, host: 127.0.0.1, port: {port}, transport: tcp, {every}}}
              - {{name: splunk, kind: splunk_hec, url: "{collector.url}", token: "{token}", ack: on}}"""
        settings = {"state": STORES[store], "poll": "{interval: 1s, concurrency: 2, backfill: 3d}"}
        clock = await stack.enter_async_context(
            surroundings(home, hook, tenants=2, settings=settings, more=more, azure=True)
        )
        yield Round(home, store, clock, hook, syslog, splunk, draw)


async def one_round(home: Path, store: str, kills: int, seed: int) -> Figures:
    began = time.monotonic()
    async with beginning(home, store, seed) as round_:
        await round_.kill(kills)
        await round_.last_life()
        await round_.judge()
    round_.figures.seconds = round(time.monotonic() - began, 1)
    return round_.figures


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def soak(kills: int, seconds: float, seed: int) -> int:
    """Rounds until so many kills are done or the time is over; each line on stdout is the sum so far."""
    began, sums, number = time.monotonic(), {store: Figures() for store in STORES}, 0
    while sum(s.kills + s.failed_starts for s in sums.values()) < kills and time.monotonic() - began < seconds:
        store = list(STORES)[number % len(STORES)]
        rest = kills - sum(s.kills + s.failed_starts for s in sums.values())
        with tempfile.TemporaryDirectory() as folder:
            good = False
            try:
                found = await one_round(Path(folder), store, min(KILLS_A_ROUND, rest), seed + number)
                good = found.good()
            finally:
                if not good:
                    sys.stderr.write(Path(folder, "lives.log").read_text()[-5000:])
            sums[store].add(found)
        tell(json.dumps({name: asdict(s) for name, s in sums.items()}))
        number += 1
    total = Figures()
    for each in sums.values():
        total.add(each)
    tell(json.dumps({"total": asdict(total)}))
    return 0 if total.good() else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no round after so many")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    return asyncio.run(soak(words.kills, words.seconds, words.seed))


if __name__ == "__main__":
    sys.exit(main())
