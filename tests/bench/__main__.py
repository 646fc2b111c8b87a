"""`make bench`: every target of the project's performance, measured beside its rival; the last line is JSON.

make bench                       every key; takes some minutes, best on a quiet machine
make bench ARGS=--quick          the same with next to no rounds: proves that it runs, its figures mean nothing
make bench ARGS="--only KEY"     one key (may be repeated)
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
from tests.bench import delivering, fleet, process, reading, scale
from tests.bench.measure import TARGETS, Figure, as_json, plain, table


@frozen
class Effort:
    """How much of everything. Rounds follow each other in turn, loops are within a round."""

    rounds: int
    polls: int
    loops: int
    batches: int
    events: int
    lone: int
    tenants: int
    live_days: int


FULL = Effort(rounds=7, polls=20, loops=500, batches=10, events=10_000, lone=500, tenants=10_000, live_days=14)
QUICK = Effort(rounds=1, polls=2, loops=10, batches=1, events=200, lone=10, tenants=4, live_days=1)


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
            found = await delivering.events_of_a_tenant(self.folder("sample"), self.effort.live_days)
            self._sample.extend(found)
        return self._sample

    async def first_poll(self) -> Figure:
        return await reading.first_poll(self.folder("first"), self.effort.rounds)

    async def unchanged_poll(self) -> Figure:
        return await reading.unchanged_poll(self.folder("unchanged"), self.effort.rounds, self.effort.polls)

    async def two_days(self) -> Figure:
        return await reading.two_days(self.effort.rounds, self.effort.loops)

    async def cef_tcp(self) -> Figure:
        more = (await self.sample(), self.effort.rounds, self.effort.events)
        return await delivering.syslog(self.folder("tcp"), *more, tls=False)

    async def cef_tls(self) -> Figure:
        more = (await self.sample(), self.effort.rounds, self.effort.events)
        return await delivering.syslog(self.folder("tls"), *more, tls=True)

    async def sentinel(self) -> Figure:
        return await delivering.sentinel(await self.sample(), self.effort.rounds, self.effort.events)

    async def hec(self) -> Figure:
        return await delivering.hec(await self.sample(), self.effort.rounds, self.effort.events, self.effort.lone)

    async def outbox(self) -> Figure:
        return await delivering.outbox(
            self.folder("outbox"), await self.sample(), self.effort.rounds, self.effort.batches
        )

    async def memory(self) -> Figure:
        """Of `tenants` tenants after their first poll and in two later weeks."""
        seen = list(fleet.cycles(tenants=self.effort.tenants, days_between=[7, 7]))
        for cycle in seen:
            print(f"  {cycle}", file=sys.stderr)
        method = (
            f"resident memory of a process with {self.effort.tenants} tenants (client_secret), after a poll of every "
            "one, in three weeks"
        )
        rss = [cycle.rss_mb for cycle in seen]
        more = {"growth_in_the_last_week_mb": rss[-1] - rss[-2], "cpu_ms_a_poll": seen[-1].ms_a_poll}
        return plain("rss_mb_10000_tenants", rss[1:], method, **more)

    async def help(self) -> Figure:
        return process.help_text(self.folder("help"), 3 * self.effort.rounds)


WORK: dict[str, Callable[[Bench], Awaitable[Figure]]] = {
    "poll_vs_json_loads": Bench.first_poll,
    "unchanged_poll_vs_bare_client": Bench.unchanged_poll,
    "diff_vs_deepdiff": Bench.two_days,
    "cef_tcp_vs_sysloghandler": Bench.cef_tcp,
    "cef_tls_vs_sysloghandler": Bench.cef_tls,
    "sentinel_cpu_vs_sdk": Bench.sentinel,
    "hec_vs_one_post_an_event": Bench.hec,
    "outbox_vs_sqlite_insert": Bench.outbox,
    "rss_mb_10000_tenants": Bench.memory,
    "help_s": Bench.help,
}


async def _run(keys: Sequence[str], effort: Effort) -> None:
    print(
        f"secure-score-connector {__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
    )
    if effort is QUICK:
        print("Quick: this proves that everything runs. Its figures mean nothing.\n")
    figures = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("SECURESCORE_BENCH_DIR")) as home:
        bench = Bench(Path(home), effort)
        for key in keys:
            print(f"measuring {key} ...", file=sys.stderr)
            figures.append(await WORK[key](bench))
    print(table(figures))
    print(as_json(figures))


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Performance, measured beside rivals.")
    keys = [target.key for target in TARGETS]
    parser.add_argument("--quick", action="store_true", help="next to no rounds: proves that it runs")
    parser.add_argument("--only", action="append", choices=keys, metavar="KEY", help=f"one of {', '.join(keys)}")
    parser.add_argument("--scale", type=int, nargs="*", metavar="N", help="growth curves (default: 10 100 1000 10000)")
    args = parser.parse_args()
    if args.scale is not None:
        scale.run(args.scale or scale.SIZES)
        return
    asyncio.run(_run(args.only or keys, QUICK if args.quick else FULL))


if __name__ == "__main__":
    main()
