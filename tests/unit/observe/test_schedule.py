"""Who is polled when: new tenants at once, then each at its own place in the interval; changes while it runs."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from connector.config.values import TenantConfig
from connector.observe.schedule import Schedule, next_slot, offset_s

NOW = datetime(2026, 11, 22, 9, 17, tzinfo=UTC)
HOUR = 3600.0


def tenants(*numbers: int) -> list[TenantConfig]:
    return [TenantConfig(f"t{n}", f"{n:08d}-0000-4000-8000-000000000000") for n in numbers]


def schedule(*numbers: int) -> Schedule:
    made = Schedule(HOUR)
    made.replace(tenants(*numbers), NOW)
    return made


def drain(made: Schedule, now: datetime) -> list[str]:
    found = []
    while (tenant := made.take(now)) is not None:
        found.append(tenant.name)
        made.done(tenant.tenant_id, now)
    return found


def test_everybody_is_due_at_once_when_new_and_then_once_an_interval() -> None:
    made = schedule(1, 2, 3)
    assert drain(made, NOW) == ["t1", "t2", "t3"]
    assert drain(made, NOW + timedelta(seconds=HOUR / 2 - 1)) == []
    counts = Counter(name for minute in range(1, 24 * 60 + 1) for name in drain(made, NOW + timedelta(minutes=minute)))
    assert all(23 <= count <= 25 for count in counts.values())


def test_two_thousand_tenants_spread_over_the_interval() -> None:
    made = schedule(*range(2_000))
    drain(made, NOW)
    minutes = Counter(int((moment - NOW).total_seconds() // 60) for moment, _ in made.waiting())
    assert len(made.waiting()) == 2_000
    assert max(minutes.values()) < 70  # 33 on average
    assert min(minutes) >= 30
    assert max(minutes) < 90


@pytest.mark.parametrize("after_s", [0, 1, 1799, 1800, 3599, 123_456_789])
def test_a_slot_is_the_tenants_own_and_between_half_and_one_and_a_half_intervals_away(after_s: int) -> None:
    now = NOW + timedelta(seconds=after_s)
    for tenant in tenants(*range(50)):
        slot = next_slot(tenant.tenant_id, HOUR, now)
        assert HOUR / 2 <= (slot - now).total_seconds() <= 1.5 * HOUR
        inside_s = (slot - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds() % HOUR
        assert abs(inside_s - offset_s(tenant.tenant_id, HOUR)) < 0.001


def test_a_tenant_under_way_is_not_given_out_twice() -> None:
    made = schedule(1)
    assert made.take(NOW) is not None
    assert made.take(NOW + timedelta(days=1)) is None
    assert made.wait_s(NOW) is None


def test_the_far_ends_wish_to_wait_is_kept() -> None:
    made = schedule(1)
    tenant = made.take(NOW)
    assert tenant is not None
    made.done(tenant.tenant_id, NOW, wait_s=3 * HOUR)
    assert made.wait_s(NOW) == 3 * HOUR
    assert drain(made, NOW + timedelta(hours=2)) == []


def test_a_tenant_can_be_due_sooner_than_its_place() -> None:
    made = schedule(1)
    tenant = made.take(NOW)
    assert tenant is not None
    made.done(tenant.tenant_id, NOW, again_in_s=60)
    assert made.wait_s(NOW) == 60


def test_added_at_once_removed_never_again_and_the_others_keep_their_turn() -> None:
    made = schedule(1, 2)
    drain(made, NOW)
    before = {name: moment for moment, name in made.waiting()}
    made.replace(tenants(2, 3), NOW)
    assert drain(made, NOW) == ["t3"]
    waiting = {name: moment for moment, name in made.waiting()}
    two, three = (t.tenant_id for t in tenants(2, 3))
    assert set(waiting) == {two, three}
    assert waiting[two] == before[two]
    assert "t1" not in drain(made, NOW + timedelta(days=1))


def test_changes_while_a_poll_is_under_way() -> None:
    made = schedule(1, 2)
    one, two = made.take(NOW), made.take(NOW)
    assert one is not None
    assert two is not None
    made.replace(tenants(2), NOW)
    made.done(one.tenant_id, NOW)
    made.done(two.tenant_id, NOW)
    assert [name for _, name in made.waiting()] == [two.tenant_id]


def test_removed_and_added_again_is_due_once() -> None:
    made = schedule(1)
    drain(made, NOW)
    made.replace([], NOW)
    assert made.wait_s(NOW) is None
    made.replace(tenants(1), NOW)
    assert drain(made, NOW) == ["t1"]
    assert len(made.waiting()) == 1


def test_new_settings_of_a_tenant_count_from_its_next_turn() -> None:
    made = schedule(1)
    drain(made, NOW)
    (renamed,) = tenants(1)
    made.replace([TenantConfig("renamed", renamed.tenant_id)], NOW)
    assert drain(made, NOW + timedelta(hours=2)) == ["renamed"]


def test_a_clock_set_back_a_day_stops_nobody() -> None:
    made = schedule(1)
    drain(made, NOW)
    back = NOW - timedelta(days=1)
    wait_s = made.wait_s(back)
    assert wait_s is not None
    assert wait_s <= 1.5 * HOUR
