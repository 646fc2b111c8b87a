"""What the head of a tenant says of its score, for those who only look."""

from datetime import date, timedelta

import pytest
from attrs import evolve

from connector.health.overview import overview
from connector.model import Day, Version
from connector.observe.heads import trend
from connector.observe.memory import Memory
from connector.ports import Stats
from tests.config_example import minimal, parsed
from tests.unit.health.test_overview import NOW


def version(day: str, score: float | None) -> Version:
    return Version(Day(f"t_{day}", day, score, 100.0, {}), "hash")


def known(newest: float | None, **days: float) -> Memory:
    """A memory whose newest day is 2026-11-22; the others by how many days before it they are."""
    last = date(2026, 11, 22)
    before = {(last - timedelta(days=int(n[1:]))).isoformat(): score for n, score in days.items()}
    return Memory(newest=version("2026-11-22", newest), days={d: version(d, s) for d, s in sorted(before.items())})


@pytest.mark.parametrize(
    ("memory", "found"),
    [
        (Memory(), {}),
        (known(42.0), {"2026-11-22": 42.0}),
        (known(42.0, d1=1.0, d6=2.0, d7=40.0, d8=3.0), {"2026-11-22": 42.0, "2026-11-15": 40.0}),
        (known(42.0, d1=1.0, d9=40.0), {"2026-11-22": 42.0, "2026-11-13": 40.0}),
        (known(42.0, d15=40.0), {"2026-11-22": 42.0}),
        (known(None, d7=40.0), {"2026-11-15": 40.0}),
    ],
)
def test_the_newest_day_and_one_a_week_before(memory: Memory, found: dict[str, float]) -> None:
    assert trend(memory) == found


@pytest.mark.parametrize(
    ("days", "percent", "change"),
    [
        ({"2026-11-22": 42.9286, "2026-11-15": 43.5714}, 42.93, -0.64),
        ({"2026-11-22": 42.0}, 42.0, None),
        ({"2026-11-15": 42.0}, None, None),
        (None, None, None),  # a state of an older version
    ],
)
def test_status_tells_it(days: dict[str, float] | None, percent: float | None, change: float | None) -> None:
    config = parsed(minimal())
    (tenant,) = config.tenants
    head = {"newest": "2026-11-22", **({"trend": days} if days is not None else {})}
    row = overview(config, {tenant.name: head}, Stats(0, 0, ()), NOW, [], [])["tenants"][tenant.name]
    assert (row["percent"], row["change_7d"], row["labels"]) == (percent, change, dict(tenant.labels))


def test_a_day_without_a_maximum_is_not_known() -> None:
    memory = known(42.0, d7=40.0)
    assert memory.newest is not None
    assert trend(evolve(memory, newest=evolve(memory.newest, day=evolve(memory.newest.day, max_score=0.0)))) == {
        "2026-11-15": 40.0
    }
