"""Thousands of tenants in one process: CPU by what it is spent on, memory, time and size of the state, cycle by cycle.

    python -m tests.bench.fleet /path/to/config.yaml

This process is the connector with its budgets and a file sink, from a configuration as users write it, `tenants_file`
and all; the simulated Graph and Entra are another process. Time is simulated and moves only between cycles. A cycle is
one poll of every tenant, then delivery; within it the polls follow each other at once, as many side by side as the
daemon would have. An hour later tokens are too old, so that each poll signs in, as in life.

Each line on stdin asks for a cycle: how many seconds after the last one, and how many seconds it may take. For each
one JSON object goes to stdout. A cycle that is out of time begins no further poll; `tenants` says how many it had.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from threading import enumerate as all_threads
from typing import Any, TypeVar

from attrs import asdict, define, frozen

from connector.app import open_app
from connector.clock import SimulatedClock
from connector.config.values import TenantConfig
from connector.config.yaml_file import load
from connector.health.logs import log_to_stderr
from connector.loops import App
from connector.observe import memory, poller
from connector.observe.poller import PollOutcome
from connector.registry import sink_options
from tests.bench.servers import CLIENT, NOW, SECRET, Server, started

_F = TypeVar("_F", bound=Callable[..., Any])

CONFIG = """\
state: {{path: "{home}/state.db"}}
tenants_file: "{home}/tenants.csv"
defaults: {{auth: {{kind: client_secret, client_id: "{client}", client_secret: "${{file:{home}/secret}}"}}}}
graph: {{base_url: "{graph}", authority: "{entra}"}}
network: {{ca_file: "{ca}"}}
poll: {{backfill: {backfill_days}d}}
raw: {{keep_days: 0}}
changes: {{inventory: {inventory}}}
sinks:
  - {{name: out, kind: file, path: "{home}/events.jsonl"}}
"""


@frozen
class Cycle:
    """One poll of every tenant that was in time (`tenants` of `of`), `gap_s` after the one before.

    CPU is that of the connector, in milliseconds a tenant: `poll` is reading (HTTP, parsing, signing in, the loop),
    `diff` comparing and describing, `store` the tenant's memory made and read and all work on the state file meanwhile,
    `delivery` that of the events of the cycle.
    """

    gap_s: float
    tenants: int
    of: int
    poll_ms: float
    diff_ms: float
    store_ms: float
    delivery_ms: float
    polled_s: float
    delivered_s: float
    rss_mb: float
    peak_mb: float
    state_bytes: int
    events: int
    failed: int

    @property
    def ms_a_poll(self) -> float:
        """CPU of one tenant's poll, without delivery."""
        return self.poll_ms + self.diff_ms + self.store_ms

    @property
    def whole(self) -> bool:
        return self.tenants == self.of


# ------------------------------------------------------------------------------------------------------- what it costs


def rss_mb(kind: str = "VmRSS") -> float:
    """Resident memory of this process now; "VmHWM": the most it ever was."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {kind}")


@define
class Meter:
    """CPU seconds of the functions it is put around; they do not wait, so nothing else runs meanwhile."""

    seconds: float = 0.0

    def around(self, work: _F) -> _F:
        @wraps(work)
        def measured(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds += time.thread_time() - began

        return measured  # type: ignore[return-value]


def _of_state_thread() -> float:
    """CPU seconds of the thread that works on the state file."""
    return sum(
        time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in all_threads()
        if thread.name.startswith("state") and thread.ident is not None
    )


@define
class _Meters:
    """What is told apart on the event loop's thread."""

    diff: Meter
    memory: Meter

    @classmethod
    def put(cls) -> "_Meters":
        """Put around what the poller calls; for the rest of this process."""
        found = cls(Meter(), Meter())
        for module, name, meter in (
            (poller, "observe", found.diff),
            (poller, "stamp", found.diff),
            (memory, "decode", found.memory),
            (memory, "encode", found.memory),
        ):
            setattr(module, name, meter.around(getattr(module, name)))
        return found

    def now(self) -> tuple[float, float, float]:
        """All, diff and store, in CPU seconds since the process began."""
        return time.process_time(), self.diff.seconds, self.memory.seconds + _of_state_thread()


# ------------------------------------------------------------------------------------------------------ in the process


async def _live(config: Path) -> None:
    settings, clock = load(str(config), sink_options=sink_options), SimulatedClock(NOW)
    meters = _Meters.put()
    async with open_app(settings, clock=clock) as app:
        while line := await asyncio.to_thread(sys.stdin.readline):
            gap_s, within_s = map(float, line.split())
            await clock.advance(gap_s)
            print(json.dumps(asdict(await _cycle(app, meters, gap_s, within_s))), flush=True)


async def _cycle(app: App, meters: _Meters, gap_s: float, within_s: float) -> Cycle:
    began, before = time.perf_counter(), meters.now()
    outcomes: list[PollOutcome] = []
    async with asyncio.TaskGroup() as polls:
        for tenant in _in_time(app.config.tenants, began + within_s):
            await app.places.take(app.concurrency)
            polls.create_task(_poll(app, tenant, outcomes))
    polled_s, after = time.perf_counter() - began, meters.now()
    await app.deliver_once(3600.0)
    delivered_s, delivery_s = time.perf_counter() - began - polled_s, time.process_time() - after[0]
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        print(f"{len(failed)} polls failed, such as {failed[0]}", file=sys.stderr)
    all_s, diff_s, store_s = (b - a for a, b in zip(before, after, strict=True))
    polled, events = max(1, len(outcomes)), sum(outcome.events for outcome in outcomes)
    counts = {"tenants": len(outcomes), "of": len(app.config.tenants), "events": events, "failed": len(failed)}
    del outcomes, failed
    gc.collect()

    def ms(seconds: float) -> float:
        return round(1000 * seconds / polled, 3)

    return Cycle(
        gap_s=gap_s,
        poll_ms=ms(all_s - diff_s - store_s),
        diff_ms=ms(diff_s),
        store_ms=ms(store_s),
        delivery_ms=ms(delivery_s),
        polled_s=round(polled_s, 2),
        delivered_s=round(delivered_s, 2),
        rss_mb=round(rss_mb(), 1),
        peak_mb=round(rss_mb("VmHWM"), 1),
        state_bytes=(await app.store.stats()).bytes,
        **counts,
    )


def _in_time(tenants: Sequence[TenantConfig], until_s: float) -> Iterator[TenantConfig]:
    for tenant in tenants:
        if time.perf_counter() >= until_s:
            return
        yield tenant


async def _poll(app: App, tenant: TenantConfig, outcomes: list[PollOutcome]) -> None:
    outcome = await app._poll(tenant)
    app.places.leave()
    app._note(outcome)
    outcomes.append(outcome)


# ------------------------------------------------------------------------------------------------------- from outside


@frozen
class Fleet:
    """Processes of the connector over one simulated Graph, each with its share of the tenants and its own state."""

    _server: Server
    _processes: Sequence["subprocess.Popen[str]"]

    def cycle(self, gap_s: float, within_s: float) -> list[Cycle]:
        """One cycle in every process, side by side."""
        self._server.ask(f"advance {gap_s}")
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{gap_s} {within_s}\n")
            process.stdin.flush()
        found = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("a process of the fleet ended; what it said is above")
            found.append(Cycle(**json.loads(line)))
        return found


@contextmanager
def fleet(
    folder: Path,
    tenants: int,
    *,
    processes: int = 1,
    backfill_days: int = 2,
    size: str = "small",
    inventory: str = "off",
) -> Iterator[Fleet]:
    """So many tenants, dealt out to so many processes with a `tenants_file` each, in a new folder."""
    with started("graph", tenants=tenants, size=size) as server, ExitStack() as stack:
        pairs = list(zip(server.at["names"], server.at["ids"], strict=True))
        running = []
        for number in range(processes):
            home = folder / f"{number}"
            home.mkdir(parents=True)
            rows = "".join(f"{name},{tenant_id}\n" for name, tenant_id in pairs[number::processes])
            (home / "tenants.csv").write_text("name,tenant_id\n" + rows)
            secret = home / "secret"
            secret.touch(0o600)
            secret.write_text(SECRET)
            text = CONFIG.format(
                home=home, client=CLIENT, backfill_days=backfill_days, inventory=inventory, **server.at
            )
            (home / "config.yaml").write_text(text)
            command = [sys.executable, "-m", "tests.bench.fleet", str(home / "config.yaml")]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running.append(stack.enter_context(process))
        yield Fleet(server, running)
        for process in running:
            assert process.stdin is not None
            process.stdin.close()


def main() -> None:
    log_to_stderr(level="error")
    asyncio.run(_live(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
