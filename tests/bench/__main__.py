"""`make bench`: every target of the project's performance, measured beside its rival; the last line is JSON.

make bench                       every key but those of 10,000 tenants; some minutes, best on a quiet machine
make bench ARGS=--quick          the same with next to no rounds: proves that it runs, its figures mean nothing
make bench ARGS="--only KEY"     one key (may be repeated)
make bench ARGS=--scale          10,000 tenants, and how everything grows up to there: half an hour, `--within SECONDS`
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from attrs import field, frozen

from connector import __version__
from connector.model import Event
from tests.bench import outbox, paths, process, pure, reading, rivals, scale
from tests.bench.measure import TARGETS, Figure, as_json, table
from tests.bench.sample import events_of_a_tenant


@frozen
class Effort:
    """How much of everything. Rounds follow each other in turn, loops are within a round."""

    rounds: int
    sdk_rounds: int
    polls: int
    hours: int
    loops: int
    batches: int
    events: int
    stall_events: int
    apart: tuple[int, int]
    lone: int
    live_days: int


FULL = Effort(
    rounds=5,
    sdk_rounds=2,
    polls=20,
    hours=200,
    loops=500,
    batches=5,
    events=5_000,
    stall_events=5_000,
    apart=(1_000, 20_000),
    lone=300,
    live_days=14,
)
QUICK = Effort(
    rounds=1,
    sdk_rounds=1,
    polls=2,
    hours=40,
    loops=10,
    batches=1,
    events=200,
    stall_events=200,
    apart=(50, 200),
    lone=10,
    live_days=1,
)


@frozen
class Bench:
    """One run: a folder for each key, and one tenant's events for all that deliver."""

    home: Path
    effort: Effort
    _sample: list[Event] = field(factory=list)

    def folder(self, name: str) -> Path:
        path = self.home / name
        path.mkdir()
        return path

    async def sample(self) -> Sequence[Event]:
        if not self._sample:
            self._sample.extend(await events_of_a_tenant(self.folder("sample"), self.effort.live_days))
        return self._sample

    async def first_poll(self) -> Figure:
        return await reading.first_poll(self.folder("first"), self.effort.rounds)

    async def sdk(self) -> Figure | None:
        return await reading.against_the_sdk(self.folder("sdk"), self.effort.sdk_rounds)

    async def unchanged_poll(self) -> Figure:
        return await reading.unchanged_poll(self.folder("unchanged"), self.effort.rounds, self.effort.polls)

    async def changed_poll(self) -> Figure:
        return await reading.changed_poll(self.folder("changed"), 3 * self.effort.rounds, self.effort.hours)

    async def two_days(self) -> Figure:
        return await reading.two_days(self.effort.rounds, self.effort.loops)

    async def hec_path(self) -> Figure:
        return await self._delivering(paths.hec, "hec")

    async def sentinel_path(self) -> Figure:
        return await self._delivering(paths.sentinel, "sentinel")

    async def cef_path(self) -> Figure:
        return await self._delivering(paths.cef, "cef")

    async def webhook_path(self) -> Figure:
        return await self._delivering(paths.webhook, "webhook")

    async def cef_tls(self) -> Figure:
        return await self._delivering(rivals.cef_tls, "cef-tls")

    async def hec(self) -> Figure:
        more = (await self.sample(), self.effort.rounds, self.effort.events, self.effort.lone)
        return await rivals.hec(self.folder("hec-handler"), *more)

    async def sentinel(self) -> Figure:
        return await self._delivering(rivals.sentinel, "sentinel-sdk")

    async def outbox(self) -> Figure:
        more = (await self.sample(), self.effort.rounds, self.effort.batches)
        return await outbox.speed(self.folder("outbox"), *more)

    async def size(self) -> Figure:
        return await outbox.size(self.folder("size"), self.effort.live_days)

    async def apart(self) -> Figure:
        more = (await self.sample(), self.effort.rounds, self.effort.polls, self.effort.apart)
        return await outbox.apart(self.folder("apart"), *more)

    async def stall(self) -> Figure:
        more = (await self.sample(), self.effort.rounds, self.effort.stall_events)
        return await outbox.stall(self.folder("stall"), *more)

    async def memory(self) -> Figure | None:
        run = scale.Run(self.folder("fleet"), lambda line: print(line, file=sys.stderr))
        return scale.memory(scale.growth(run, scale.MANY))

    async def status(self) -> Figure:
        return await scale.status(self.folder("status"))

    async def help(self) -> Figure:
        return process.help_text(self.folder("help"), 3 * self.effort.rounds)

    async def _delivering(
        self, measurement: Callable[[Path, Sequence[Event], int, int], Awaitable[Figure]], folder: str
    ) -> Figure:
        return await measurement(self.folder(folder), await self.sample(), self.effort.rounds, self.effort.events)


WORK: dict[str, Callable[[Bench], Awaitable[Figure | None]]] = {
    "first_poll_vs_json_loads": Bench.first_poll,
    "poll_vs_msgraph_sdk": Bench.sdk,
    "unchanged_poll_vs_bare_client": Bench.unchanged_poll,
    "changed_poll_vs_json_loads": Bench.changed_poll,
    "diff_vs_deepdiff": Bench.two_days,
    "hec_path_vs_json_dumps": Bench.hec_path,
    "sentinel_path_vs_json_dumps": Bench.sentinel_path,
    "cef_path_vs_json_dumps": Bench.cef_path,
    "webhook_ocsf_path_vs_json_dumps": Bench.webhook_path,
    "cef_tls_vs_format_cef": Bench.cef_tls,
    "hec_vs_logging_handler": Bench.hec,
    "sentinel_vs_sdk": Bench.sentinel,
    "outbox_vs_sqlite_insert": Bench.outbox,
    "state_bytes_an_event": Bench.size,
    "apart_growth": Bench.apart,
    "loop_stall_ms_vs_render": Bench.stall,
    "rss_mb_10000_tenants": Bench.memory,
    "status_10000_vs_10": Bench.status,
    "help_s": Bench.help,
}


async def measured(keys: Sequence[str], effort: Effort, note: str = "") -> list[Figure]:
    """A figure for each key that can be measured here; one that cannot is named."""
    figures = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("SECURESCORE_BENCH_DIR")) as home:
        bench = Bench(Path(home), effort)
        for key in keys:
            print(f"measuring {key}{note} ...", file=sys.stderr)
            figure = await WORK[key](bench)
            if figure is None:
                print(f"{key} is left out: its rival is not installed, or time ran out", file=sys.stderr)
            else:
                figures.append(figure)
    return figures


def _run(keys: Sequence[str], effort: Effort) -> None:
    print(
        f"secure-score-connector {__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
    )
    if effort is QUICK:
        print("Quick: this proves that everything runs. Its figures mean nothing.\n")
    figures = asyncio.run(measured(keys, effort))
    bounded = {target.key for target in TARGETS if target.pure is not None}
    without = pure.figures([key for key in keys if key in bounded], quick=effort is QUICK)
    print(table(figures, without))
    print(as_json(figures, without))


def _scale(sizes: Sequence[int], within_s: float) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("SECURESCORE_BENCH_DIR")) as home:
        run = scale.Run(Path(home), lambda line: print(line, flush=True), within_s)
        fleets = scale.measure(run, sizes)
    if (memory := scale.memory(fleets[-1])) is not None and max(sizes) == scale.MANY:
        figures = [memory, *asyncio.run(measured(["status_10000_vs_10"], FULL))]
        print(table(figures))
        print(as_json(figures))


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Performance, measured beside rivals.")
    keys = [target.key for target in TARGETS]
    parser.add_argument("--quick", action="store_true", help="next to no rounds: proves that it runs")
    parser.add_argument("--only", action="append", choices=keys, metavar="KEY", help=f"one of {', '.join(keys)}")
    parser.add_argument("--scale", type=int, nargs="*", metavar="N", help="growth curves (default: 10 100 1000 10000)")
    parser.add_argument("--within", type=float, default=scale.WITHIN_S, metavar="S", help="bound of --scale in seconds")
    args = parser.parse_args()
    if args.scale is not None:
        _scale(args.scale or scale.SIZES, args.within)
        return
    _run(args.only or [t.key for t in TARGETS if not t.scale], QUICK if args.quick else FULL)


if __name__ == "__main__":
    main()
