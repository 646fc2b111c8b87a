"""`status` of one tenant and of hundreds, and how `once` ends: the answer first, totals, what was kept back."""

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connector.cli import status
from connector.cli.once import kept_back, totals
from connector.deliver.batch import Filter
from connector.deliver.delivery import Delivery, Outcome
from connector.observe.poller import PollOutcome
from tests.golden import samples


def tenant(**changes: Any) -> dict[str, Any]:
    quiet: dict[str, Any] = {"error": None, "hint": None, "notes": [], "refused": [], "problems": [], "units": []}
    known = {"newest_day": "2026-11-22", "data_age_s": 3600, "last_success": "2026-11-22T09:00:00Z"}
    figures = {
        "percent": 42.93,
        "change_7d": -1.5,
        "labels": {},
        "deviations": [],
        "no_data": {"count": 0, "first": []},
    }
    return {**known, **figures, **quiet, **changes}


def document(tenants: Mapping[str, Any]) -> dict[str, Any]:
    rest: dict[str, Any] = {
        "sinks": {},
        "problems": [],
        "credentials": [],
        "daemon": None,
        "store": {"events": 1, "bytes": 5},
    }
    return {"tenants": dict(tenants), **rest}


def shown(
    tenants: Mapping[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int = 160,
    **of: Any,
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    status.show(document(tenants), **of)
    return capsys.readouterr().out


def test_the_answer_comes_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tenants = {f"t{n}": tenant(percent=50.0 + n) for n in range(3)}
    tenants["gone"] = tenant(problems=["denied"], error="HTTP 403", newest_day=None, percent=None)
    tenants["slow"] = tenant(problems=["stale"], percent=12.3)
    tenants["new"] = tenant(newest_day=None, percent=None)
    first = shown(tenants, capsys, monkeypatch).splitlines()[0]
    assert first == "6 tenants: 3 ok, 1 denied, 1 never read, 1 stale; weakest: slow 12.30 %"
    assert shown({"a": tenant()}, capsys, monkeypatch).splitlines()[0] == "1 tenant: 1 ok"


def group(name: str, exposure: float, kind: str = "device_group") -> dict[str, Any]:
    unit = {"kind": kind, "id": name, "name": name, "score": "exposureScore"}
    figures = {"score": exposure, "percent": exposure, "newest_day": "2026-11-22"}
    return {"unit": unit, "refused": [], "gone_since": None, "state": None, **figures}


def test_an_exposure_is_no_score_to_be_weak_in_and_its_worst_come_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [group("all", 30.0, "organization"), group("safe", 5.0), group("open", 80.0)]
    tenants = {"a": tenant(percent=70.0), "b": tenant(percent=60.0), "devices": tenant(percent=30.0, units=units)}
    out = shown(tenants, capsys, monkeypatch)
    assert out.splitlines()[0] == "3 tenants: 3 ok; weakest: b 60.00 %"
    assert "exposure 30.00" in out
    assert "lower is better" in out
    assert out.index("all ") < out.index("open") < out.index("safe")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "ok"),
        ({"error": "x"}, "failing"),
        ({"error": "x", "problems": ["denied"]}, "denied"),
        ({"refused": [{"part": "days", "reason": "lost"}]}, "refused"),
        ({"newest_day": None}, "never read"),
        ({"newest_day": None, "units": [{}]}, "ok"),
    ],
)
def test_how_a_tenant_stands(changes: dict[str, Any], word: str) -> None:
    assert status.standing(tenant(**changes)) == word


def test_of_many_only_those_in_trouble_show(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = {f"t{n:03}": tenant() for n in range(status.MANY)}
    assert "t029" in shown(tenants, capsys, monkeypatch)
    tenants |= {
        "bad": tenant(error="HTTP 403", hint="give consent", labels={"tier": "gold"}),
        "worse": tenant(error="HTTP 401", hint="give consent"),
    }
    said = shown(tenants, capsys, monkeypatch)
    assert "t029" not in said
    assert "30 tenants without trouble not shown: --all, or --tenant NAME" in said
    assert "tier=gold" in said
    assert said.count("next: give consent") == 1, "what many share is said once"
    assert "t029" in shown(tenants, capsys, monkeypatch, every=True)


def test_deviations_of_many_are_counted_where_they_are_not_shown_and_listed_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"standard": "gold", "control": "AdminMFAV2", "kind": "baseline_full", "is": "3.00", "wanted": "full"}
    tenants = {f"t{n:03}": tenant() for n in range(status.MANY)} | {"away": tenant(deviations=[away])}
    said = shown(tenants, capsys, monkeypatch)
    assert "not shown: --all, or --tenant NAME (1 with deviations from the baseline: --deviations)" in said
    said = shown(tenants, capsys, monkeypatch, deviations=True)
    assert "AdminMFAV2" in said
    assert "--deviations)" not in said


def test_percent_and_its_change_stand_in_the_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shown({"a": tenant(), "b": tenant(percent=None, change_7d=None)}, capsys, monkeypatch)
    assert re.search(r"^a .* 42\.93 +-1\.50 ", said, re.MULTILINE)
    assert re.search(r"^b .* - +- ", said, re.MULTILINE)


def test_a_change_that_rounds_to_nothing_has_no_minus(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = shown({"a": tenant(change_7d=-0.001)}, capsys, monkeypatch)
    assert "-0.00" not in said
    assert "+0.00" in said


@pytest.mark.parametrize("width", [80, 200])
def test_on_a_common_terminal_a_tenant_is_a_row_of_a_table(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With trouble, deviations and labels, no cell is cut and no date broken; labels stand where there is room."""
    away = [{"kind": "baseline_full", "control": "AdminMFAV2", "standard": "gold"}]
    one = tenant(labels={"tier": "gold"}, deviations=away, newest_day="2026-11-30", error="unavailable: no route")
    said = shown({"contoso-europe": one}, capsys, monkeypatch, width=width)
    assert any(line.startswith("contoso-europe ") and "2026-11-30" in line for line in said.splitlines())
    assert ("tier=gold" in said) == (width == 200)


def test_once_ends_with_totals() -> None:
    polls = [PollOutcome("a", "ok", events=3), PollOutcome("b", "unchanged"), PollOutcome("c", "failed")]
    sinks = [Outcome("x", "ok", sent=5), Outcome("y", "ok", sent=2, parked=1)]
    assert totals(polls, sinks) == [
        "3 tenants: 2 ok, 1 failed; 3 new events",
        "2 sinks: 7 events delivered, 1 refused for good",
    ]


def test_what_was_kept_back_is_told_with_the_key_that_does_it() -> None:
    deliveries = {
        "soc": SimpleNamespace(kept_back={"min_severity": 2, "start": 40}),
        "archive": SimpleNamespace(kept_back={}),
    }
    assert kept_back(cast("Mapping[str, Delivery]", deliveries)) == [
        "soc: kept back 40 by start: now (what is derived from the days before first contact), 2 by min_severity"
    ]


@pytest.mark.parametrize(
    ("wants", "name", "key"),
    [
        (Filter(), "control.score_changed/regressed", ""),
        (Filter(streams=frozenset({"health"})), "control.score_changed/regressed", "streams"),
        (Filter(backfilled=False), "score.observed/backfilled", "start"),
        (Filter(min_severity=9), "control.score_changed/regressed", "min_severity"),
        (Filter(min_severity=9), "feed.gap", ""),
        (Filter(include=("feed.*",)), "control.score_changed/regressed", "include"),
        (Filter(exclude=("control.*",)), "control.score_changed/regressed", "exclude"),
        (Filter(tenants=("fabrikam",)), "control.score_changed/regressed", "tenants"),
        (Filter(tenants=("fabrikam",)), "connector.heartbeat", ""),
    ],
)
def test_which_key_keeps_an_event_back(wants: Filter, name: str, key: str) -> None:
    event = samples.event(name)
    assert wants.against(event) == key
    assert wants.wants(event) == (key == "")
