"""The benchmark's own arithmetic: turns, ratios, medians, verdicts, and what it prints."""

import asyncio
import json
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import scale
from tests.bench.__main__ import WORK
from tests.bench.fleet import Cycle, fleet
from tests.bench.measure import TARGETS, Figure, Round, Target, as_json, in_turn, plain, ratio, rounded, table, times
from tests.bench.outbox import longest_step
from tests.bench.rivals import extensions
from tests.bench.sample import events_of_a_tenant

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


async def test_both_sides_are_measured_in_turn_and_the_warm_up_is_dropped() -> None:
    order = ""

    async def ours() -> float:
        nonlocal order
        order += "a"
        return len(order) * 1.0

    async def theirs() -> float:
        nonlocal order
        order += "b"
        return 100.0

    found = await in_turn(ours, theirs, rounds=2, warm_up=1)
    assert order == "abbaab"
    assert [round_.ours for round_ in found] == [4.0, 5.0]
    assert {round_.theirs for round_ in found} == {100.0}


def test_a_figure_is_the_median_of_the_rounds_ratios() -> None:
    rounds = [Round(2.0, 1.0), Round(30.0, 10.0), Round(4.0, 1.0)]  # one round in which everything was slow
    figure = ratio("k", rounds, "how", more=1.0)
    assert (figure.value, figure.low, figure.high) == (3.0, 2.0, 4.0)
    assert figure.more == {"more": 1.0}
    assert times("k", rounds, "how").value == pytest.approx(1 / 3)
    assert plain("k", [3.0, 1.0, 2.0], "how").value == 2.0


def test_each_bound_is_a_bound_in_its_own_direction() -> None:
    verdicts = {target.key: (target.met(0.01), target.met(10_000.0)) for target in TARGETS}
    at_least = {key for key, verdict in verdicts.items() if verdict == (False, True)}
    assert at_least == {
        "diff_vs_deepdiff",
        "cef_tls_vs_format_cef",
        "hec_vs_logging_handler",
        "outbox_vs_sqlite_insert",
    }
    assert all(verdict == (True, False) for key, verdict in verdicts.items() if key not in at_least)
    assert all(target.met(target.bound) for target in TARGETS)


def test_every_key_has_its_measurement() -> None:
    assert list(WORK) == [target.key for target in TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.key)
def test_the_page_of_figures_has_each_key_with_its_target(target: Target) -> None:
    [first, *_] = [
        line for line in PAGE.read_text("utf-8").splitlines() if f"`{target.key}`" in line and "old" not in line
    ]
    assert target.words() in first
    assert target.pure is None or f"({target.words(pure=True)})" in first


def test_the_table_names_a_miss_and_json_has_every_key_in_order() -> None:
    figures = [Figure(target.key, target.bound, 0.0, 1.0, "how") for target in reversed(TARGETS)]
    found = json.loads(as_json(figures))
    assert list(found) == [target.key for target in TARGETS]
    assert "MISSED" not in table(figures)
    figures[0] = Figure(TARGETS[-1].key, 1.0, 0.5, 2.0, "how")
    [line] = [line for line in table(figures).splitlines() if "MISSED" in line]
    assert line.startswith("help_s")
    assert "0.5 … 2" in line


def test_what_was_measured_without_the_extra_has_its_own_bound_and_its_own_place() -> None:
    target = next(target for target in TARGETS if target.pure is not None)
    assert target.pure is not None
    figures = [Figure(target.key, target.bound, 0.0, 9.0, "how", old={"a_key_of_before": 3.25})]
    pure = [Figure(target.key, target.pure, 0.0, 9.0, "how")]
    shown = table(figures, pure)
    assert "MISSED" not in shown
    assert "  without [fast] " in shown
    assert "    old: a_key_of_before 3.25" in shown
    assert json.loads(as_json(figures, pure)) == {target.key: target.bound, "pure": {target.key: target.pure}}
    assert "MISSED" in table(figures, [Figure(target.key, target.pure + 1, 0.0, 9.0, "how")])


async def test_the_rival_fills_its_fields_from_the_same_events(tmp_path: Path) -> None:
    events = await events_of_a_tenant(tmp_path, live_days=1)
    filled = [extensions(event) for event in events]
    assert all(each["externalId"] == event.id for each, event in zip(filled, events, strict=True))
    assert {"deviceCustomString1", "deviceCustomFloatingPoint3", "message"} <= set().union(*filled)


def test_the_longest_step_is_that_of_the_loop() -> None:
    async def steps() -> float:
        with longest_step() as longest:
            await asyncio.sleep(0)
            began = time.thread_time()
            while time.thread_time() - began < 0.02:
                pass
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return longest.seconds

    assert 0.02 <= asyncio.run(steps()) < 0.2


def test_figures_have_three_digits() -> None:
    assert [rounded(n) for n in (0.123456, 12.3456, 12_345.6)] == [0.123, 12.3, 12_300.0]


def cycle(of: int, gap_s: float, *, tenants: int | None = None, rss_mb: float = 100.0) -> Cycle:
    polled = of if tenants is None else tenants
    return Cycle(gap_s, polled, of, 4.0, 1.0, 2.0, 0.5, 9.0, 1.0, rss_mb, rss_mb + of / 100, 50_000 * of, 7, 0)


def test_a_cycle_tells_its_cpu_by_kind_and_whom_it_had_no_time_for() -> None:
    shown = scale.table([[cycle(100, 0.0), cycle(100, 604_800.0, tenants=40)]])
    assert "| 100 | first contact | 4.0 | 1.0 | 2.0 | 0.5 | 0.8 | 101 | 5.0 |" in shown
    assert "| 100 | a week later (40 of them) |" in shown


def test_the_memory_of_a_fleet_needs_all_its_cycles_whole() -> None:
    seen = [cycle(100, gap_s, rss_mb=50.0 + number) for number, gap_s in enumerate(gap_s for gap_s, _ in scale.CYCLES)]
    figure = scale.memory(seen)
    assert figure is not None
    assert (figure.low, figure.high) == (51.0, 53.0)
    assert scale.memory(seen[:-1]) is None
    assert scale.memory([*seen[:-1], cycle(100, 3600.0, tenants=99)]) is None


def test_what_is_out_of_time_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    run = scale.Run(tmp_path, said.append, within_s=0.0)
    assert scale.backfill(run, 3) is None
    assert scale.growth(run, 5) == []
    assert scale.year(run, "daily") is None
    assert run.left_out == ["first contact with 3 tenants of 90 days", "5 tenants", "a year with inventory daily"]
    assert said[0] == "  left out, out of time: first contact with 3 tenants of 90 days"


def test_the_plot_holds_every_whole_fleet_and_is_xml() -> None:
    fleets = [[cycle(n, gap_s) for gap_s, _ in scale.CYCLES] for n in (10, 100, 1000)]
    root = ET.fromstring(scale.plot([*fleets, [cycle(10_000, 0.0, tenants=5)]]))
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(circles) == 3 * len(fleets)
    heights = [float(e.attrib["cy"]) for e in circles[:3]]
    assert heights == sorted(heights, reverse=True), "more memory is higher up"


def test_two_processes_poll_each_tenant_once_and_a_cycle_out_of_time_says_so(tmp_path: Path) -> None:
    with fleet(tmp_path, 3, processes=2) as several:
        first = several.cycle(0.0, 60.0)
        late = several.cycle(3600.0, 0.0)
    assert [(each.tenants, each.of, each.failed) for each in first] == [(2, 2, 0), (1, 1, 0)]
    assert all(each.poll_ms > 0 and each.diff_ms > 0 and each.store_ms > 0 for each in first)
    assert sum(each.events for each in first) > 0
    assert [(each.tenants, each.whole) for each in late] == [(0, False), (0, False)]


@pytest.mark.parametrize(("value", "end"), [(0.7, 1.0), (1.0, 1.0), (1.3, 2.0), (230.0, 500.0), (0.0, 1.0)])
def test_axes_end_at_round_numbers(value: float, end: float) -> None:
    assert scale._nice(value) == pytest.approx(end)
