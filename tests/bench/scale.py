"""`make bench ARGS=--scale`: how memory, time and state grow with the number of tenants; a table, and a plot as SVG.

Each line comes from a process of its own (fleet.py). Polls follow each other at once, so a cycle takes as long as the
machine needs; what the polls of an hour may take is an hour. Results are printed as they come, and kept as JSON.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from uuid import UUID

from attrs import asdict, frozen

from connector.app import open_app
from connector.clock import SimulatedClock, SystemClock
from connector.ports import State
from connector.stores.sqlite import open_store
from tests.bench import process
from tests.bench.fleet import Cycle, cycles
from tests.bench.measure import Figure, in_turn, plain, ratio
from tests.bench.reading import config
from tests.bench.servers import CLIENT, NOW, started

HERE = Path(__file__).parent
RESULTS, PLOT = HERE / "scale.json", HERE / "scale.svg"
MANY = 10_000
SIZES = (10, 100, 1_000, MANY)
HOUR_S = 3600.0


@frozen
class Point:
    """Steady state of so many tenants: after a first poll, and polls of every one in the weeks after it."""

    tenants: int
    rss_mb: float
    growth_mb: float
    ms_a_poll: float
    cycle_s: float
    state_mb: float

    @property
    def share_of_an_hour(self) -> float:
        """How much of an hourly interval the polls keep one processor busy."""
        return self.tenants * self.ms_a_poll / 1000 / HOUR_S


def point(seen: Sequence[Cycle]) -> Point:
    """The point of one fleet: its last week, and what the last week added to its memory."""
    last = seen[-1]
    growth = last.rss_mb - seen[-2].rss_mb if len(seen) > 2 else 0.0
    return Point(
        last.tenants, last.rss_mb, round(growth, 1), last.ms_a_poll, last.polled_s + last.delivered_s, last.state_mb
    )


def weeks(tenants: int, say: Callable[[str], None]) -> list[Cycle]:
    """Their first poll, and one of each in two later weeks."""
    seen = []
    for cycle in cycles(tenants=tenants, days_between=[7, 7]):
        say(f"  {cycle}")
        seen.append(cycle)
    return seen


def backfill(tenants: int, say: Callable[[str], None]) -> Cycle:
    """First contact with many tenants at once, 90 days each."""
    (seen,) = cycles(tenants=tenants, days_between=[], backfill_days=90)
    say(f"  {seen}")
    return seen


def year(inventory: str, say: Callable[[str], None]) -> float:
    """Megabytes of state after 90 days of history and a year of daily polls of one tenant of 120 controls."""
    last = 0.0
    for cycle in cycles(tenants=1, days_between=[1] * 365, backfill_days=90, size="mid", inventory=inventory):
        last = cycle.state_mb
    say(f"  a year with inventory {inventory}: {last} MB")
    return last


def memory(seen: Sequence[Cycle]) -> Figure:
    """Of the largest fleet, by its weeks."""
    method = f"resident memory with {seen[-1].tenants} tenants (client_secret), after a poll of each in every week"
    rss = [cycle.rss_mb for cycle in seen]
    more = {"growth_in_the_last_week_mb": rss[-1] - rss[-2], "cpu_ms_a_poll": seen[-1].ms_a_poll}
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


def run(sizes: Sequence[int], say: Callable[[str], None] = print) -> list[Cycle]:
    """Measure everything, print the table, write the results and the plot; the weeks of the last size."""
    fleets = [weeks(size, say) for size in sizes]
    points = [point(seen) for seen in fleets]
    first = backfill(min(1_000, max(sizes)), say)
    years = {inventory: year(inventory, say) for inventory in ("daily", "off")}
    RESULTS.write_text(
        json.dumps({"growth": [asdict(p) for p in points], "backfill": asdict(first), "year_mb": years}, indent=1)
        + "\n"
    )
    PLOT.write_text(plot(points))
    say(table(points))
    say(
        f"first contact, 90 days each: {first.tenants} tenants, {first.polled_s:.0f} s, {first.ms_a_poll:.0f} ms CPU a "
        f"tenant, {first.events} events, state {first.state_mb:.0f} MB, memory {first.rss_mb:.0f} MB"
    )
    say(f"state of one tenant after a year: {years}")
    return fleets[-1]


def table(points: Sequence[Point]) -> str:
    """The growth curves as Markdown."""
    lines = [
        "| tenants | memory, MB | added by the last week, MB | CPU a poll, ms | of an hour on one core | state, MB |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {p.tenants:,} | {p.rss_mb:.0f} | {p.growth_mb:.1f} | {p.ms_a_poll:.0f} | "
        f"{100 * p.share_of_an_hour:.1f} % | {p.state_mb:.0f} |"
        for p in points
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------ the plot

WIDTH, HEIGHT, LEFT, TOP = 300, 180, 46, 30


def plot(points: Sequence[Point]) -> str:
    """Three curves over the number of tenants (logarithmic), as a self-contained SVG."""
    curves: list[tuple[str, Callable[[Point], float]]] = [
        ("memory, MB", lambda p: p.rss_mb),
        ("CPU a poll, ms", lambda p: p.ms_a_poll),
        ("state, MB a tenant", lambda p: p.state_mb / p.tenants),
    ]
    panels = [_panel(points, title, value, n * (WIDTH + 20)) for n, (title, value) in enumerate(curves)]
    size = f'width="{len(panels) * (WIDTH + 20)}" height="{HEIGHT + 70}"'
    style = (
        "<style>text{font:12px sans-serif;fill:#555}.l{fill:none;stroke:#2a6fb0;stroke-width:2}.a{stroke:#bbb}</style>"
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(panels)}</svg>\n'


def _panel(points: Sequence[Point], title: str, value: Callable[[Point], float], x0: float) -> str:
    values = [value(p) for p in points]
    top = _nice(max(values))
    logs = [math.log10(p.tenants) for p in points]
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
        parts.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{p.tenants:,}</text>')
    parts.append(f'<text x="{x0 + (WIDTH + LEFT) / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">tenants</text>')
    return "".join(parts)


def _nice(value: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten, not below the value."""
    power: float = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)
