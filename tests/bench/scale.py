"""`make bench ARGS=--scale`: how CPU, memory, time and state grow with the number of tenants: tables, and a plot.

Each line of the growth table is one of the cycles of a fleet of its own (fleet.py) that say how the rest goes. The
whole run is bounded in seconds: what is small comes first, and what is out of time is named, never left out in silence.
Results are printed as they come, and kept as JSON.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from attrs import asdict, define, field

from connector.app import open_app
from connector.clock import SimulatedClock, SystemClock
from connector.ports import State
from connector.stores.sqlite import open_store
from tests.bench import process
from tests.bench.fleet import Cycle, fleet
from tests.bench.measure import Figure, in_turn, plain, ratio
from tests.bench.reading import config
from tests.bench.servers import CLIENT, NOW, started

HERE = Path(__file__).parent
RESULTS, PLOT = HERE / "scale.json", HERE / "scale.svg"
MANY = 10_000
SIZES = (10, 100, 1_000, MANY)
HOUR_S = 3600.0
CYCLES = (
    (0.0, "first contact"),
    (604_800.0, "a week later"),
    (HOUR_S, "an hour later"),
    (HOUR_S, "one more hour later"),
)
"""The cycles of a fleet: how long after the one before, and what it is called. The third reads fewer days than the one
before and so parses them again; the fourth finds nothing new, like nearly all polls.
"""
BACKFILLED, SHARED = 300, 300
"""How many tenants bring 90 days each at first contact, and how many are shared by two processes."""
WITHIN_S = 1_800.0


@define
class Run:
    """One run: where it writes, what it says, when it is out of time, and what it had to leave out."""

    home: Path
    say: Callable[[str], None]
    within_s: float = WITHIN_S
    left_out: list[str] = field(factory=list)
    _began_s: float = field(factory=time.perf_counter)

    @property
    def left_s(self) -> float:
        return max(0.0, self._began_s + self.within_s - time.perf_counter())

    def lacks(self, what: str) -> None:
        self.left_out.append(what)
        self.say(f"  left out, out of time: {what}")


def growth(run: Run, tenants: int) -> list[Cycle]:
    """The cycles of one fleet, as far as time allows; one that did not get through is the last."""
    seen: list[Cycle] = []
    if not run.left_s:
        run.lacks(f"{tenants} tenants")
        return seen
    with fleet(run.home / f"{tenants}", tenants) as processes:
        for gap_s, name in CYCLES:
            if not run.left_s or (seen and not seen[-1].whole):
                run.lacks(f"{tenants} tenants, {name}")
                continue
            [cycle] = processes.cycle(gap_s, run.left_s)
            seen.append(cycle)
            run.say(f"  {name}: {cycle}")
            if not cycle.whole:
                run.lacks(f"{tenants} tenants, {name}: {cycle.of - cycle.tenants} of them")
    return seen


def shared(run: Run, tenants: int = SHARED) -> dict[str, Any]:
    """The same tenants by one process, and by two that share them: seconds of each cycle, and CPU of both together.

    One simulated Graph serves both; there must be a processor for each of the three.
    """
    found: dict[str, Any] = {}
    for processes in (1, 2):
        if not run.left_s:
            run.lacks(f"{tenants} tenants by {processes} processes")
            continue
        with fleet(run.home / f"shared-{processes}", tenants, processes=processes) as several:
            for gap_s, name in CYCLES:
                if not run.left_s:
                    run.lacks(f"{tenants} tenants by {processes} processes, {name}")
                    continue
                cycles = several.cycle(gap_s, run.left_s)
                if not all(cycle.whole for cycle in cycles):
                    run.lacks(f"{tenants} tenants by {processes} processes, {name}: not all of them")
                    break
                row = {
                    "polled_s": max(cycle.polled_s for cycle in cycles),
                    "cpu_s": round(sum(cycle.tenants * cycle.ms_a_poll for cycle in cycles) / 1000, 2),
                    "peak_mb": round(sum(cycle.peak_mb for cycle in cycles), 1),
                }
                found[f"{processes}, {name}"] = row
                run.say(f"  {tenants} tenants by {processes}, {name}: {row}")
    return found


def backfill(run: Run, tenants: int = BACKFILLED) -> Cycle | None:
    """First contact with many tenants at once, 90 days each."""
    what = f"first contact with {tenants} tenants of 90 days"
    if not run.left_s:
        run.lacks(what)
        return None
    with fleet(run.home / "backfill", tenants, backfill_days=90) as processes:
        [seen] = processes.cycle(0.0, run.left_s)
    run.say(f"  90 days each: {seen}")
    if not seen.whole:
        run.lacks(f"{what}: {seen.of - seen.tenants} of them")
    return seen


def year(run: Run, inventory: str) -> float | None:
    """Megabytes of state after 90 days of history and a year of daily polls of one tenant of 120 controls."""
    if not run.left_s:
        run.lacks(f"a year with inventory {inventory}")
        return None
    options: dict[str, Any] = {"backfill_days": 90, "size": "mid", "inventory": inventory}
    with fleet(run.home / f"year-{inventory}", 1, **options) as processes:
        for day in range(366):
            if not run.left_s:
                run.lacks(f"a year with inventory {inventory}, from day {day}")
                return None
            [seen] = processes.cycle(86_400.0 if day else 0.0, run.left_s)
    found = round(seen.state_bytes / 1e6, 2)
    run.say(f"  a year with inventory {inventory}: {found} MB")
    return found


def memory(seen: Sequence[Cycle]) -> Figure | None:
    """Of the largest fleet; None where one of its cycles is missing."""
    if len(seen) < len(CYCLES) or not all(cycle.whole for cycle in seen):
        return None
    method = (
        f"resident memory with {seen[-1].of} tenants (client_secret), after a poll of each a week and an hour later"
    )
    rss = [cycle.rss_mb for cycle in seen]
    more = {"peak_mb": seen[-1].peak_mb, "cpu_ms_a_poll": seen[-1].ms_a_poll}
    return plain("rss_mb_10000_tenants", rss[1:], method, **more)


async def status(folder: Path, few: int = 10, many: int = MANY, rounds: int = 3) -> Figure:
    """`securescore status` of many tenants and of few, each with the same memory of one real first poll."""
    with started("graph", tenants=1, size="small") as server:
        home = folder / "one"
        home.mkdir()
        settings = config(server, home)
        async with open_app(settings, clock=SimulatedClock(NOW)) as app:
            [outcome] = await app.poll_once()
            assert outcome.error is None, outcome
            state = await app.store.load(settings.tenants[0].key)
            assert state is not None
    commands = {}
    for count in (few, many):
        home = folder / str(count)
        home.mkdir()
        ids = [str(UUID(int=number + 1)) for number in range(count)]
        async with await open_store(home / "state.db", clock=SystemClock()) as store:
            for tenant_id in ids:
                await store.commit(tenant_id, State(0, state.parts), [])
        rows = "".join(f"t{number:05},{tenant_id}\n" for number, tenant_id in enumerate(ids))
        (home / "tenants.csv").write_text("name,tenant_id\n" + rows)
        secret = home / "secret"
        secret.touch(0o600)
        secret.write_text("not-a-real-secret")
        (home / "config.yaml").write_text(STATUS_CONFIG.format(home=home, client=CLIENT))
        commands[count] = [process.COMMAND, "--config", str(home / "config.yaml"), "status"]

    async def wall_of(count: int) -> float:
        return process.seconds(commands[count])

    measured = await in_turn(lambda: wall_of(many), lambda: wall_of(few), rounds)
    more = {"s_of_10000": median(r.ours for r in measured), "s_of_10": median(r.theirs for r in measured)}
    return ratio(
        "status_10000_vs_10", measured, "wall; a new process each time, a state file that nobody writes", **more
    )


STATUS_CONFIG = """\
state: {{path: "{home}/state.db"}}
tenants_file: "{home}/tenants.csv"
defaults:
  auth: {{kind: client_secret, client_id: "{client}", client_secret: "${{file:{home}/secret}}"}}
sinks:
  - {{name: out, kind: file, path: "{home}/events.jsonl"}}
"""


def measure(run: Run, sizes: Sequence[int] = SIZES) -> list[list[Cycle]]:
    """Measure everything, print the tables, write the results and the plot; the cycles of each fleet.

    The largest fleet comes last: it takes what time is left.
    """
    *small, largest = sorted(sizes)
    fleets = [growth(run, size) for size in small]
    first = backfill(run, min(BACKFILLED, largest))
    two = shared(run, min(SHARED, largest))
    years = {inventory: year(run, inventory) for inventory in ("daily", "off")}
    fleets.append(growth(run, largest))
    found = {
        "growth": [[asdict(cycle) for cycle in seen] for seen in fleets],
        "backfill": asdict(first) if first else None,
        "two_processes": two,
        "year_mb": years,
        "left_out": run.left_out,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    if any(map(_steady, fleets)):
        PLOT.write_text(plot(fleets))
    run.say(table(fleets))
    run.say(f"state of one tenant after a year, MB: {years}")
    run.say(f"left out, for {run.within_s:g} s were over: {'; '.join(run.left_out) or 'nothing'}")
    return fleets


def table(fleets: Sequence[Sequence[Cycle]]) -> str:
    """The cycles of the fleets as Markdown."""
    lines = [
        "| tenants | poll of each | poll | diff | store | delivery | CPU of all, s | peak, MB | state, MB |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for cycle, name in ((cycle, name) for seen in fleets for cycle, (_, name) in zip(seen, CYCLES, strict=False)):
        some = "" if cycle.whole else f" ({cycle.tenants:,} of them)"
        all_s = cycle.tenants * (cycle.ms_a_poll + cycle.delivery_ms) / 1000
        lines.append(
            f"| {cycle.of:,} | {name}{some} | {cycle.poll_ms:.1f} | {cycle.diff_ms:.1f} | "
            f"{cycle.store_ms:.1f} | {cycle.delivery_ms:.1f} | {all_s:.1f} | {cycle.peak_mb:.0f} | "
            f"{cycle.state_bytes / 1e6:.1f} |"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ the plot

WIDTH, HEIGHT, LEFT, TOP = 300, 180, 46, 30


def _steady(seen: Sequence[Cycle]) -> bool:
    """Whether a fleet got to its last cycle with all its tenants."""
    return len(seen) == len(CYCLES) and seen[-1].whole


def plot(fleets: Sequence[Sequence[Cycle]]) -> str:
    """Three curves over the number of tenants (logarithmic), as a self-contained SVG; whole fleets only."""
    curves: list[tuple[str, Callable[[Cycle], float]]] = [
        ("peak memory, MB", lambda cycle: cycle.peak_mb),
        ("CPU an unchanged poll, ms", lambda cycle: cycle.ms_a_poll),
        ("state, kB a tenant", lambda cycle: cycle.state_bytes / 1000 / cycle.of),
    ]
    points = [seen[-1] for seen in fleets if _steady(seen)]
    panels = [_panel(points, title, value, n * (WIDTH + 20)) for n, (title, value) in enumerate(curves)]
    size = f'width="{len(panels) * (WIDTH + 20)}" height="{HEIGHT + 70}"'
    style = (
        "<style>text{font:12px sans-serif;fill:#555}.l{fill:none;stroke:#2a6fb0;stroke-width:2}.a{stroke:#bbb}</style>"
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(panels)}</svg>\n'


def _panel(points: Sequence[Cycle], title: str, value: Callable[[Cycle], float], x0: float) -> str:
    values = [value(p) for p in points]
    top = _nice(max(values))
    logs = [math.log10(p.of) for p in points]
    span = max(logs[-1] - logs[0], 1e-9)

    def at(log: float, y: float) -> tuple[float, float]:
        return x0 + LEFT + (WIDTH - LEFT) * (log - logs[0]) / span, TOP + HEIGHT * (1 - y / top)

    dots = [at(log, y) for log, y in zip(logs, values, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    parts = [
        f'<text x="{x0 + LEFT}" y="16">{title}</text>',
        f'<path class="a" d="M{x0 + LEFT},{TOP} v{HEIGHT} h{WIDTH - LEFT}" fill="none"/>',
        f'<polyline class="l" points="{line}"/>',
        f'<text x="{x0 + LEFT - 6}" y="{TOP + 8}" text-anchor="end">{top:g}</text>',
        f'<text x="{x0 + LEFT - 6}" y="{TOP + HEIGHT}" text-anchor="end">0</text>',
    ]
    for p, (x, y), shown in zip(points, dots, values, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2a6fb0"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{shown:.3g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{p.of:,}</text>')
    parts.append(f'<text x="{x0 + (WIDTH + LEFT) / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">tenants</text>')
    return "".join(parts)


def _nice(value: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten, not below the value."""
    power: float = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)
