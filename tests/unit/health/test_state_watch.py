"""What the state refuses, loop by loop: who waits how long, who tries for all, and what is told of it."""

from random import Random

import pytest

from connector.errors import StateRefused, StoreBusy, StoreError, TenantDamaged
from connector.health.state_watch import RETRY_CAP_S, TOLD_AFTER_S, StateWatch
from tests.fake_graph import JumpClock

FULL = StoreError("no space left", "free some")


@pytest.fixture
def watch(clock: JumpClock) -> StateWatch:
    return StateWatch(clock, Random(1))


async def test_the_waits_grow_to_a_bound_so_that_a_freed_disk_is_found_soon(
    watch: StateWatch, clock: JumpClock
) -> None:
    waits = []
    for _ in range(50):
        waits.append(watch.failed("polls", FULL))
        assert not watch.may_try("polls")
        await clock.sleep(watch.wait_s("polls"))
    assert min(waits) > 0
    assert waits[0] < 2
    assert max(waits[10:]) > 10
    assert max(waits) <= RETRY_CAP_S + 1


async def test_one_at_a_time_tries_for_all_and_only_its_own_loop_waits(watch: StateWatch, clock: JumpClock) -> None:
    watch.failed("polls", FULL)
    assert watch.may_try("heartbeat")
    await clock.sleep(watch.wait_s("polls"))
    assert [watch.may_try("polls") for _ in range(3)] == [True, False, False]
    watch.well("polls")
    assert [watch.may_try("polls") for _ in range(3)] == [True, True, True]


async def test_what_serves_one_loop_lets_the_others_try_soon(watch: StateWatch, clock: JumpClock) -> None:
    for _ in range(8):
        watch.failed("polls", FULL)
        watch.failed("heartbeat", FULL)
    watch.well("heartbeat")
    assert watch.wait_s("polls") <= 1


async def test_a_clock_that_was_ahead_makes_nobody_wait_for_it(watch: StateWatch, clock: JumpClock) -> None:
    await clock.sleep(10 * 365 * 86_400)
    watch.failed("polls", FULL)
    await clock.sleep(-10 * 365 * 86_400)
    assert watch.may_try("polls")


@pytest.mark.parametrize("error", [StateRefused("a newer version's"), StoreBusy("in use", "process 7")])
def test_what_time_does_not_heal_is_raised(watch: StateWatch, error: StateRefused) -> None:
    with pytest.raises(type(error)):
        watch.failed("polls", error)
    assert watch.words() == []


def test_the_damage_of_one_tenant_is_no_reason_to_end(watch: StateWatch) -> None:
    assert watch.failed("polls", TenantDamaged("part 'days' of a tenant is damaged")) > 0


async def test_short_trouble_is_weather_long_trouble_is_told_while_it_lasts_and_once_more_is_enough(
    watch: StateWatch, clock: JumpClock
) -> None:
    watch.failed("polls", FULL)
    await clock.sleep(TOLD_AFTER_S / 2)
    watch.well("polls")
    assert list(watch.faults()) == []

    watch.failed("polls", FULL)
    await clock.sleep(TOLD_AFTER_S)
    (lasting,) = watch.faults()
    assert (lasting.reason, lasting.detail, lasting.hint) == ("state_unavailable", "no space left", "free some")
    watch.well("polls")
    (over,) = watch.faults()
    assert " to " in over.summary
    watch.told()
    assert list(watch.faults()) == []


def test_several_loops_with_one_fault_have_one_reason(watch: StateWatch) -> None:
    for loop in ("polls", "upkeep", "settle:siem"):
        watch.failed(loop, FULL)
    assert watch.words() == ["no space left"]
