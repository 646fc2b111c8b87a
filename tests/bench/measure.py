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
from typing import Any

from attrs import Factory, define, evolve, frozen

Cost = Callable[[], Awaitable[float]]
"""Does the work once and says what it cost."""


@frozen
class Target:
    """One key of the result: what is measured against what, and its bound (`at_most`, else at least).

    `pure` is the bound without the extra `[fast]`, where there is one. `scale`: it takes 10,000 tenants.
    """

    key: str
    what: str
    against: str
    bound: float
    pure: float | None = None
    at_most: bool = True
    unit: str = "x"
    scale: bool = False

    def met(self, value: float, *, pure: bool = False) -> bool:
        bound = self.bound if self.pure is None or not pure else self.pure
        return value <= bound if self.at_most else value >= bound

    def words(self, *, pure: bool = False) -> str:
        bound = self.bound if self.pure is None or not pure else self.pure
        return f"{'≤' if self.at_most else '≥'} {bound:g}"


_DUMPS = "one json.dumps of the event"
_FIRST = "first poll, diff and commit of 90 days x 120 controls, CPU"
TARGETS: tuple[Target, ...] = (
    Target("first_poll_vs_json_loads", _FIRST, "json.loads of the bytes", 2.5, 3.3),
    Target("poll_vs_msgraph_sdk", _FIRST, "msgraph-sdk reading the same documents", 0.025),
    Target("unchanged_poll_vs_bare_client", "poll of an unchanged tenant, CPU", "a bare aiohttp client", 1.7),
    Target("changed_poll_vs_json_loads", "poll in which the newest day moved, CPU", "json.loads of what it reads", 3),
    Target("diff_vs_deepdiff", "diff of two days x 230 controls, CPU", "DeepDiff", 800, at_most=False),
    Target("hec_path_vs_json_dumps", "outbox → HEC → 200 → settled, CPU an event", _DUMPS, 3, 4),
    Target("sentinel_path_vs_json_dumps", "outbox → Sentinel → 204 → settled, CPU an event", _DUMPS, 3, 4),
    Target("cef_path_vs_json_dumps", "outbox → CEF → rsyslog over TCP → settled, CPU an event", _DUMPS, 4, 5),
    Target("webhook_ocsf_path_vs_json_dumps", "outbox → OCSF batches → 2xx → settled, CPU an event", _DUMPS, 5, 7),
    Target(
        "cef_tls_vs_format_cef",
        "outbox → CEF → rsyslog over TLS, confirmed, events/s",
        "format-cef + SysLogHandler",
        1,
        at_most=False,
    ),
    Target("hec_vs_logging_handler", "outbox → HEC → 200, events/s", "splunk-handler", 1, at_most=False),
    Target("sentinel_vs_sdk", "outbox → Sentinel → 204, CPU", "json.loads, mapping, LogsIngestionClient.upload", 0.35),
    Target(
        "outbox_vs_sqlite_insert",
        "commit, due, settle of 1,000 events, events/s",
        "executemany, one fsync",
        0.5,
        0.2,
        at_most=False,
    ),
    Target("state_bytes_an_event", "growth of the state, an event of a daily commit", "", 350, unit="bytes"),
    Target("apart_growth", "a turn while 20,000 events of tenants set apart wait", "the same with 1,000", 1.5),
    Target(
        "loop_stall_ms_vs_render", "longest step of the event loop, 5,000 OCSF events", "rendering 200 of them", 1.5
    ),
    Target("rss_mb_10000_tenants", "memory of 10,000 tenants, steady", "", 150, unit="MB", scale=True),
    Target("status_10000_vs_10", "securescore status, 10,000 tenants, wall", "the same with 10", 5, scale=True),
    Target("help_s", "securescore --help", "", 0.4, unit="s"),
)
"""Every key that `make bench` prints."""


@frozen
class Figure:
    """One measured key. `low` and `high` are those of the rounds; `more` holds further figures by name.

    `old` is what the release before measured instead, by its key: to be compared with what that release printed.
    """

    key: str
    value: float
    low: float
    high: float
    method: str
    more: Mapping[str, float] = Factory(dict)
    old: Mapping[str, float] = Factory(dict)

    def with_old(self, **old: float) -> "Figure":
        return evolve(self, old=old)


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
def clean_heap() -> Iterator[None]:
    """No garbage of before, and what the benchmark itself holds is not walked by collections within: it is not ours."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def cpu() -> Iterator[Spent]:
    """CPU time of this process, from a clean heap."""
    spent = Spent()
    with clean_heap():
        began = time.process_time()
        yield spent
        spent.seconds = time.process_time() - began


@contextmanager
def wall() -> Iterator[Spent]:
    """Elapsed time, from a clean heap."""
    spent = Spent()
    with clean_heap():
        began, busy = time.perf_counter(), time.process_time()
        yield spent
        spent.seconds = time.perf_counter() - began
        spent.cpu_s = time.process_time() - busy


# ------------------------------------------------------------------------------------------------------------- showing


def rounded(value: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{value:.3g}")


def table(figures: Sequence[Figure], pure: Sequence[Figure] = ()) -> str:
    """For people: each key with its target, the verdict, the spread of its rounds and its method."""
    by_key, pure_by_key = ({figure.key: figure for figure in each} for each in (figures, pure))
    lines = [f"{'key':32} {'value':>8} {'target':>8}  {'':6} {'rounds':>15}", "-" * 74]
    for target in TARGETS:
        figure = by_key.get(target.key)
        if figure is None:
            continue
        lines.append(f"{target.key:32} {_verdict(target, figure)}")
        if (without := pure_by_key.get(target.key)) is not None:
            lines.append(f"{'  without [fast]':32} {_verdict(target, without, pure=True)}")
        lines.append(f"    {target.what}" + (f", against {target.against}" if target.against else ""))
        lines.append(f"    {figure.method}")
        lines += [f"    · {name.replace('_', ' ')}: {rounded(value):g}" for name, value in figure.more.items()]
        lines += [f"    old: {key} {rounded(value):g}" for key, value in figure.old.items()]
    return "\n".join(lines)


def _verdict(target: Target, figure: Figure, *, pure: bool = False) -> str:
    verdict = "met" if target.met(figure.value, pure=pure) else "MISSED"
    spread = f"{rounded(figure.low):g} … {rounded(figure.high):g}"
    return f"{rounded(figure.value):>8g} {target.words(pure=pure):>8}  {verdict:6} {spread:>15}"


def as_json(figures: Sequence[Figure], pure: Sequence[Figure] = ()) -> str:
    """For programs: one object, one number a key, in the order of TARGETS; `pure` holds those without `[fast]`."""
    found, without = ({figure.key: figure.value for figure in each} for each in (figures, pure))
    values: dict[str, Any] = {t.key: rounded(found[t.key]) for t in TARGETS if t.key in found}
    if without:
        values["pure"] = {t.key: rounded(without[t.key]) for t in TARGETS if t.key in without}
    return json.dumps(values)
