"""`run` tells its log how far the first round of polls is, and what it came to."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connector.cli.run import PROGRESS_S, FirstRound
from connector.health.counters import Counters
from connector.loops import App
from tests.fake_graph import JumpClock


def test_progress_every_half_minute_then_what_it_came_to_then_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, counters = JumpClock(), Counters(("a", "b", "c"))
    delivery = SimpleNamespace(delivered={"score": 2})
    app: Any = SimpleNamespace(counters=counters, clock=clock, deliveries={"soc": delivery})
    looked = FirstRound()

    def look(now_s: float) -> None:
        looked.look(cast("App", app), now_s)

    look(0.0)
    look(PROGRESS_S - 1)
    assert caplog.messages == []
    counters.polled("a", "ok", "", "2026-11-22", 4, clock.now())
    look(PROGRESS_S)
    look(PROGRESS_S + 1)
    for name in "bc":
        counters.polled(name, "failed", "denied", None, 0, clock.now())
    look(PROGRESS_S + 2)
    look(9 * PROGRESS_S)
    told = [(r.getMessage(), r.__dict__["ok"], r.__dict__["pending"], r.__dict__["delivered"]) for r in caplog.records]
    assert told == [("run.progress", 1, 2, 2), ("run.first_round", 1, 0, 2)]
