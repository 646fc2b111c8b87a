"""The arithmetic of the benchmark, and how its figures are shown. No code under test is run or known here.

Two things are measured in turn (A B, B A, …), so that a machine that slows down slows both; each round gives one ratio,
and the figure is the median of these. Where nothing waits for anybody else, cost is CPU time of this process (all its
threads): a busy neighbour makes it neither better nor worse by much, while wall time would.
"""

import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

from attrs import Factory, define, frozen

Cost = Callable[[], Awaitable[float]]
"""Does the work once and says what it cost."""


@frozen
class Target:
    """One key of the result: what is measured against what, and its bound (`at_most`, else at least)."""

    key: str
    what: str
    against: str
    bound: float
    at_most: bool = True
    unit: str = "x"

    def met(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    @property
    def words(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"


TARGETS: tuple[Target, ...] = (
    Target("poll_vs_json_loads", "first poll, diff and commit of 90 days x 120 controls", "json.loads of the bytes", 3),
    Target("unchanged_poll_vs_bare_client", "poll of an unchanged tenant", "a bare aiohttp client, same bytes", 1.3),
    Target("diff_vs_deepdiff", "diff of two days x 230 controls", "DeepDiff", 500, at_most=False),
    Target("cef_tcp_vs_sysloghandler", "outbox → CEF → rsyslog, confirmed", "SysLogHandler", 0.3, at_most=False),
    Target("cef_tls_vs_sysloghandler", "the same over TLS", "SysLogHandler over TLS", 0.5, at_most=False),
    Target("sentinel_cpu_vs_sdk", "mapped rows → 204, same gzip level", "LogsIngestionClient.upload(list)", 0.5),
    Target("hec_vs_one_post_an_event", "HEC sink", "one POST an event, same client", 20, at_most=False),
    Target(
        "outbox_vs_sqlite_insert", "commit, due, settle of 1,000 events", "executemany, one fsync", 0.3, at_most=False
    ),
    Target("rss_mb_10000_tenants", "memory of 10,000 tenants, steady", "", 300, unit="MB"),
    Target("help_s", "securescore --help", "", 0.4, unit="s"),
)
"""Every key that `make bench` prints."""


@frozen
class Figure:
    """One measured key. `low` and `high` are those of the rounds; `more` holds further figures by name."""

    key: str
    value: float
    low: float
    high: float
    method: str
    more: Mapping[str, float] = Factory(dict)


@frozen
class Round:
    """What both sides cost in one turn."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


async def in_turn(ours: Cost, theirs: Cost, rounds: int, warm_up: int = 1) -> list[Round]:
    """Both, one after the other, changing who begins; the rounds of the warm-up are dropped."""
    found = []
    for number in range(warm_up + rounds):
        if number % 2:
            b, a = await theirs(), await ours()
        else:
            a, b = await ours(), await theirs()
        found.append(Round(a, b))
    return found[warm_up:]


def ratio(key: str, rounds: Sequence[Round], method: str, **more: float) -> Figure:
    """Ours in theirs: below 1 we need less."""
    return _figure(key, [each.ratio for each in rounds], method, more)


def times(key: str, rounds: Sequence[Round], method: str, **more: float) -> Figure:
    """How many times faster we are (of durations), or which part of their speed we have."""
    return _figure(key, [1 / each.ratio for each in rounds], method, more)


def plain(key: str, values: Sequence[float], method: str, **more: float) -> Figure:
    """A figure without a rival."""
    return _figure(key, values, method, more)


def _figure(key: str, values: Sequence[float], method: str, more: Mapping[str, float]) -> Figure:
    return Figure(key, median(values), min(values), max(values), method, dict(more))


@define
class Spent:
    """Seconds, known when the block is over; of elapsed time also what of it was CPU time of this process."""

    seconds: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def cpu() -> Iterator[Spent]:
    """CPU time of this process, from a clean heap."""
    gc.collect()
    spent = Spent()
    began = time.process_time()
    yield spent
    spent.seconds = time.process_time() - began


@contextmanager
def wall() -> Iterator[Spent]:
    """Elapsed time, from a clean heap."""
    gc.collect()
    spent = Spent()
    began, busy = time.perf_counter(), time.process_time()
    yield spent
    spent.seconds = time.perf_counter() - began
    spent.cpu_s = time.process_time() - busy


# ------------------------------------------------------------------------------------------------------------- showing


def rounded(value: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{value:.3g}")


def table(figures: Sequence[Figure]) -> str:
    """For people: each key with its target, the verdict, the spread of its rounds and its method."""
    by_key = {figure.key: figure for figure in figures}
    lines = [f"{'key':32} {'value':>8} {'target':>8}  {'':6} {'rounds':>15}", "-" * 74]
    for target in TARGETS:
        figure = by_key.get(target.key)
        if figure is None:
            continue
        verdict = "met" if target.met(figure.value) else "MISSED"
        spread = f"{rounded(figure.low):g} … {rounded(figure.high):g}"
        lines.append(f"{target.key:32} {rounded(figure.value):>8g} {target.words:>8}  {verdict:6} {spread:>15}")
        lines.append(f"    {target.what}" + (f", against {target.against}" if target.against else ""))
        lines.append(f"    {figure.method}")
        lines += [f"    · {name.replace('_', ' ')}: {rounded(value):g}" for name, value in figure.more.items()]
    return "\n".join(lines)


def as_json(figures: Sequence[Figure]) -> str:
    """For programs: one object, one number a key, in the order of TARGETS."""
    by_key = {figure.key: figure.value for figure in figures}
    return json.dumps({t.key: rounded(by_key[t.key]) for t in TARGETS if t.key in by_key})
