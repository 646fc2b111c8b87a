"""Sixty days of a small tenant: laptops come and go, the totals tremble, and nobody is woken for it."""

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from connector.config.values import ChangesConfig
from connector.model import Change, Control, Day, Profile, Snapshot
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory

TENANT = "11111111-1111-1111-1111-111111111111"
START = date(2026, 9, 1)
# Ten days as a real tenant had them (maximum constant), oldest first.
TOTALS = (696.46, 696.46, 697.39, 698.15, 698.15, 697.66, 698.04, 698.04, 698.5, 698.17)
DEVICE = {f"scid_{2000 + n}": (8.0 if n % 2 else 6.0) for n in range(40)}
PEOPLE = {f"aad_{n}": 10.0 for n in range(60)}
CATALOGUE = {n: Profile(n, n, max_score=top) for n, top in {**DEVICE, **PEOPLE}.items()}


def tenant(seed: int) -> list[Day]:
    """15 devices, of which one of five laptops is away on most days; a few controls have exposed devices.

    One of 15 away moves a ratio by up to 7 %. (Two away at once would move that of a control with many exposed devices
    by more than a tenth: that is told.) The controls of people share what is left of the day's real total.
    """
    chance = random.Random(seed)
    exposed = {name: set(chance.sample(range(15), chance.randrange(1, 6))) for name in chance.sample(sorted(DEVICE), 6)}
    days = []
    for number in range(60):
        away = {chance.randrange(5)} if chance.random() < 0.8 else set()
        controls = {}
        for name, top in DEVICE.items():
            total, count = 15 - len(away), len(exposed.get(name, set()) - away)
            score = round(top * (total - count) / total, 2)
            controls[name] = Control(name, "Device", score, round(100 * score / top, 2), count=count, total=total)
        left = TOTALS[number % 10] - sum(c.score or 0.0 for c in controls.values())
        for position, name in enumerate(PEOPLE):
            score = round(left / (len(PEOPLE) - position), 2)
            left -= score
            controls[name] = Control(name, "Identity", score, round(10 * score, 2), count=round(5.7 * score), total=57)
        when = (START + timedelta(days=number)).isoformat()
        days.append(Day(f"{TENANT}_{when}", when, TOTALS[number % 10], 1127.0, controls, detailed=True))
    return days


def live(days: list[Day], changes: ChangesConfig) -> list[Change]:
    memory = Memory()
    told: list[Change] = []
    for day in days:
        seen = observe(memory, Snapshot("graph", (day,), CATALOGUE), Rules(TENANT, changes), f"{day.day}T09:00:00Z")
        memory = seen.memory
        told += seen.changes
    return told


@pytest.mark.parametrize("seed", range(4))
def test_sixty_days_of_jitter_give_no_control_event_and_at_most_one_score_change_a_week(seed: int) -> None:
    told = live(tenant(seed), ChangesConfig(inventory="off"))
    counts = Counter(c.type for c in told)
    assert counts["score.observed"] >= 60
    assert not [c.data["summary"] for c in told if c.type.startswith("control.")]
    weeks = Counter(date.fromisoformat(c.day).isocalendar().week for c in told if c.type == "score.changed")
    assert max(weeks.values(), default=0) <= 1
    assert all(c.data["residual"] == 0 for c in told if c.type == "score.changed")
    assert counts["score.changed"] == 5  # where the ten real days begin anew: -1.71 points
    assert set(counts) == {"score.observed", "score.changed"}


def test_without_hysteresis_the_same_tenant_is_loud() -> None:
    """Otherwise the test above would prove nothing."""
    told = live(tenant(0), ChangesConfig(inventory="off", min_points=0.0, min_share=0.0, min_score_points=0.0))
    counts = Counter(c.type for c in told)
    assert counts["control.score_changed"] > 500
    assert counts["score.changed"] > 40


def test_a_drift_in_the_jitter_is_told_each_time_it_adds_up() -> None:
    """One device a week is no longer patched: the control loses a fifteenth of its points each time."""
    days = []
    for number in range(60):
        count = number // 7
        score = round(8.0 * (15 - count) / 15, 2)
        controls = {
            "scid_2001": Control("scid_2001", "Device", score, round(100 * score / 8, 2), count=count, total=15)
        }
        when = (START + timedelta(days=number)).isoformat()
        days.append(Day(f"{TENANT}_{when}", when, 690.0 + score, 1127.0, controls, detailed=True))
    told = [c for c in live(days, ChangesConfig(inventory="off")) if c.type == "control.score_changed"]
    assert [(c.day, c.data["before"]["score"], c.data["after"]["score"]) for c in told] == [
        ("2026-09-15", 8.0, 6.93),
        ("2026-09-29", 6.93, 5.87),
        ("2026-10-13", 5.87, 4.8),
        ("2026-10-27", 4.8, 3.73),
    ]
    assert told[0].data["cause"]["evidence"] == ["exposed devices 0/15 → 2/15", "since 2026-09-01"]
