"""Waiting: exponential, jittered, never shorter than the server asked for."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.backoff import delay_s


@given(st.integers(0, 10_000), st.floats(0.01, 10), st.floats(10, 600), st.integers(), st.none() | st.floats(0, 86_400))
def test_bounds(attempt: int, base_s: float, cap_s: float, seed: int, wish_s: float | None) -> None:
    wait_s = delay_s(attempt, base_s, cap_s, Random(seed), wish_s)
    assert wait_s >= (wish_s or 0.0)
    assert wait_s <= max(min(cap_s, base_s * 2 ** min(attempt, 60)), wish_s or 0.0)


def test_full_jitter_spreads_over_the_whole_interval() -> None:
    random = Random(1)
    waits = [delay_s(3, 1.0, 60.0, random) for _ in range(2_000)]
    assert min(waits) < 0.1
    assert max(waits) > 7.9
    assert sum(waits) / len(waits) == pytest.approx(4.0, abs=0.2)


def test_same_seed_same_delays() -> None:
    one, two = Random(7), Random(7)
    assert [delay_s(n, 1.0, 30.0, one) for n in range(9)] == [delay_s(n, 1.0, 30.0, two) for n in range(9)]


def test_the_servers_wish_may_exceed_the_cap() -> None:
    assert delay_s(0, 1.0, 30.0, Random(1), retry_after_s=315.0) == 315.0
