"""Client-side budgets: no window of a minute or of ten holds more than the limit, whatever is asked and whenever."""

import asyncio
from bisect import bisect_left
from datetime import UTC, datetime, timedelta

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from connector.clock import SimulatedClock
from connector.errors import Unavailable
from connector.net.http import Response
from connector.sources.budget import Budget, Budgeted, Budgets, Limits, Rate

START = datetime(2026, 11, 22, 9, tzinfo=UTC)


def budget(limits: Limits | None = None) -> Budget:
    return Budgets(SimulatedClock(START), limits or Limits()).of("t")


def most_in_any_window(moments: list[float], window_s: float) -> int:
    """Windows are half open, as an enforcing server counts them."""
    ordered = sorted(moments)
    return max(n + 1 - bisect_left(ordered, moment - window_s + 1e-6) for n, moment in enumerate(ordered))


def sent(account: Budget, asked_s: list[float]) -> list[float]:
    """When each request goes out, if they are made one after the other."""
    found, now = [], 0.0
    for moment in asked_s:
        now = max(now, moment)
        now += account.take(START + timedelta(seconds=now))
        found.append(now)
    return found


LIMITS = st.builds(
    Limits,
    per_minute=st.integers(10, 200),
    per_ten_minutes=st.integers(100, 2_000),
    concurrent=st.integers(1, 8),
)


@given(LIMITS, st.lists(st.floats(0, 90), min_size=1, max_size=500))
def test_no_window_holds_more_than_the_limit_even_when_requests_are_late(limits: Limits, gaps_s: list[float]) -> None:
    asked, now = [], 0.0
    for gap_s in gaps_s:
        now += gap_s if gap_s > 60 else 0.0  # mostly bursts, now and then a rest
        asked.append(now)
    out = sent(budget(limits), asked)
    assert most_in_any_window(out, 60) <= limits.per_minute - limits.concurrent
    assert most_in_any_window(out, 600) <= limits.per_ten_minutes - limits.concurrent
    # As many as may be on the way at one time can arrive late, into the window of others.
    start = len(out) // 2
    late = [moment + (25.0 if start <= n < start + limits.concurrent else 0.0) for n, moment in enumerate(out)]
    assert most_in_any_window(late, 60) <= limits.per_minute


def test_a_poll_never_waits_and_a_flood_flows() -> None:
    out = sent(budget(), [0.0] * 400)
    assert out[72] == 0.0  # half of 150, less those held back
    assert 0.5 < out[80] - out[79] < 1.0
    assert 240 < out[-1] < 280


def test_ten_minutes_bind_when_they_are_the_narrower_limit() -> None:
    out = sent(budget(Limits(per_minute=150, per_ten_minutes=100)), [0.0] * 60)
    assert out[-1] > 100
    assert most_in_any_window(out, 600) <= 96


def test_a_rest_gives_the_burst_back() -> None:
    account = budget()
    first = sent(account, [0.0] * 73)
    again = sent(account, [120.0] * 73)
    assert (first[-1], again[-1]) == (0.0, 120.0)


def test_a_clock_set_back_an_hour_does_not_lock_a_tenant_out() -> None:
    account = budget()
    sent(account, [3600.0] * 100)
    assert account.wait_s(START) < 10


@pytest.mark.parametrize(("limit", "concurrent"), [(10, 4), (10, 64), (1, 1), (150, 4)])
def test_small_limits_still_let_something_through(limit: int, concurrent: int) -> None:
    rate = Rate.of(limit, 60.0, concurrent)
    assert rate.burst >= 1
    assert 0 < rate.interval_s <= 60


@define
class Slow:
    """A transport that takes its time; counts what is on the way."""

    clock: SimulatedClock
    now: int = 0
    most: int = 0
    sent_at: list[datetime] = field(factory=list)

    async def request(self, method: str, url: str, **_: object) -> Response:
        self.sent_at.append(self.clock.now())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.clock.sleep(2)
            if url == "bad":
                raise Unavailable("gone")
        finally:
            self.now -= 1
        return Response(200, {}, b"", self.clock.now())


async def run_out(clock: SimulatedClock, tasks: list[asyncio.Task[Response]], seconds: int = 600) -> None:
    for _ in range(seconds):
        await clock.advance(1)
        if all(t.done() for t in tasks):
            return


async def test_at_most_four_at_a_time_and_failures_give_their_place_back() -> None:
    clock = SimulatedClock(START)
    slow = Slow(clock)
    budgets = Budgets(clock)
    front = budgets.in_front_of(slow, "t")
    tasks = [asyncio.ensure_future(front.request("GET", "bad" if n % 3 else "good")) for n in range(20)]
    await run_out(clock, tasks)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert (slow.most, len(slow.sent_at), slow.now) == (4, 20, 0)
    assert sum(isinstance(d, Unavailable) for d in done) == 13
    await clock.advance(60)
    assert budgets.of("t").rested(clock.now())


async def test_a_cancelled_request_gives_its_place_back() -> None:
    clock = SimulatedClock(START)
    slow = Slow(clock)
    front = Budgets(clock, Limits(concurrent=1)).in_front_of(slow, "t")
    first = asyncio.ensure_future(front.request("GET", "x"))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(front.request("GET", "x"))
    await asyncio.sleep(0)
    first.cancel()
    await run_out(clock, [second], 10)
    assert second.done()
    assert first.cancelled()


async def test_a_turn_far_away_is_refused_with_the_time_to_wait() -> None:
    clock = SimulatedClock(START)
    account = budget(Limits(per_minute=10))
    front = Budgeted(Slow(clock), lambda: account, clock, max_wait_s=5.0)
    tasks = [asyncio.ensure_future(front.request("GET", "x")) for _ in range(3)]
    await run_out(clock, tasks, 10)
    with pytest.raises(Unavailable) as caught:
        await front.request("GET", "x")
    assert caught.value.retry_after_s is not None
    assert 5 < caught.value.retry_after_s <= 60
    assert "limit" in caught.value.what
    assert caught.value.hint


async def test_one_tenant_at_its_limit_delays_no_other() -> None:
    clock = SimulatedClock(START)
    budgets = Budgets(clock, Limits(per_minute=10))
    slow = Slow(clock)
    flood = [asyncio.ensure_future(budgets.in_front_of(slow, "a").request("GET", "x")) for _ in range(9)]
    other = asyncio.ensure_future(budgets.in_front_of(slow, "b").request("GET", "x"))
    await run_out(clock, [other], 3)
    assert other.done()
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_tenants_at_rest_are_not_remembered() -> None:
    clock = SimulatedClock(START)
    budgets = Budgets(clock)
    for n in range(10_000):
        budgets.of(f"tenant-{n}").take(clock.now())
        if n % 100 == 0:
            await clock.advance(60)
    assert len(budgets) < 1_000
    flooded = budgets.of("tenant-9999")
    assert flooded is budgets.of("tenant-9999")
