"""Severity is a table: every rule has a case, and what decides is the first that holds."""

from typing import Any

import pytest

from connector.mapping.resources import load_data
from connector.observe.severity import SeverityRules, holds, severity


def rules() -> SeverityRules:
    data = load_data("severity")
    return SeverityRules(tuple(data["rules"]), int(data["default"]))


def lost(
    points: float, top: float = 10.0, tier: str = "Core", threats: tuple[str, ...] = (), label: str = "x"
) -> dict[str, Any]:
    return {
        "direction": "regressed" if points > 0 else "improved",
        "delta": -points,
        "control": {"tier": tier, "threats": list(threats), "max_score": top},
        "cause": {"label": label},
    }


def of_unit(kind: str, delta: float, direction: str = "regressed") -> dict[str, Any]:
    return {"unit": {"kind": kind}, "direction": direction, "delta": delta, "before": {"max": 40.0}}


CASES: list[tuple[str, dict[str, Any], int]] = [
    ("control.state_changed", {"after": {"state": "Ignored"}, "control": {"tier": "core"}}, 8),
    ("control.state_changed", {"after": {"state": "ThirdParty"}, "control": {"tier": "Advanced"}}, 6),
    ("control.state_changed", {"after": {"state": "Default"}, "control": {"tier": "Core"}}, 3),
    (
        "control.state_changed",
        {"direction": "unchanged", "after": {"state": "Ignored"}, "control": {"tier": "Core"}},
        2,
    ),
    ("score.changed", {"direction": "regressed", "delta": -40.0}, 9),
    ("score.changed", {"direction": "regressed", "delta": -39.9}, 8),
    ("score.changed", {"direction": "regressed", "delta": -5.0}, 6),
    ("score.changed", {"direction": "regressed", "delta": -1.0}, 4),
    ("score.changed", {"direction": "improved", "delta": 50.0}, 2),
    ("control.score_changed", lost(10, threats=("Account Breach",)), 8),
    ("control.score_changed", lost(6, threats=("ELEVATION OF PRIVILEGE",)), 7),
    ("control.score_changed", lost(3, 3.0, threats=("Account Breach",)), 7),
    ("control.score_changed", lost(1.5, 3.0, threats=("Account Breach",)), 6),
    ("control.score_changed", lost(6, threats=("Account Breach",), label="catalogue"), 3),
    ("control.score_changed", lost(5, 10.0, "Advanced"), 7),
    ("control.score_changed", lost(2, 10.0, "Advanced", ("Data Exfiltration",)), 6),
    ("control.score_changed", lost(2, 10.0, "Core"), 5),
    ("control.score_changed", lost(2, 10.0, "Advanced"), 4),
    ("control.score_changed", lost(-10), 2),
    ("control.removed", {"delta": -5.0}, 4),
    ("control.added", {"delta": 5.0}, 2),
    ("posture.target_missed", {}, 8),
    ("posture.target_met", {}, 1),
    ("posture.exception_due", {}, 5),
    ("score.observed", {}, 0),
    ("control.observed", {}, 0),
    ("profile.removed", {}, 2),
    ("tenant.changed", {}, 3),
    ("feed.suspicious", {}, 6),
    ("feed.stale", {}, 5),
    ("feed.partial", {}, 4),
    ("feed.gap", {}, 2),
    ("feed.recovered", {}, 1),
    ("connector.heartbeat", {}, 0),
    ("connector.problem", {"reason": "wrong_tenant"}, 9),
    ("connector.problem", {"reason": "denied"}, 7),
    ("connector.problem", {"reason": "state_new"}, 3),
    ("connector.problem", {"reason": "anything"}, 6),
    ("connector.recovered", {}, 1),
    ("connector.write_back", {}, 4),
    ("connector.report_written", {}, 1),
    ("something.else", {}, 2),
    ("score.changed", of_unit("subscription", -12.0), 8),
    ("score.changed", of_unit("subscription", -4.0), 6),
    ("score.changed", of_unit("subscription", -3.9), 4),
    ("score.changed", of_unit("subscription", -12.0, direction="unchanged"), 2),
    ("score.changed", of_unit("aggregate", -15.0), 8),
    ("score.changed", of_unit("aggregate", -3.0), 6),
    ("score.changed", of_unit("organization", 15.0), 8),  # of an exposure less is better
    ("score.changed", of_unit("device_group", 3.0), 6),
    ("score.changed", of_unit("organization", -15.0, direction="improved"), 2),
    ("control.score_changed", {**lost(3, 4.0), "unit": {"kind": "subscription"}}, 6),
    ("control.score_changed", {**lost(6, 6.0, label="catalogue"), "unit": {"kind": "subscription"}}, 3),
    ("control.score_changed", of_unit("subscription", -8.0, direction="unchanged"), 2),
    ("unit.added", {}, 3),
    ("unit.removed", {}, 5),
    ("compliance.changed", {"direction": "regressed"}, 4),
    ("compliance.changed", {"direction": "improved"}, 2),
    ("compliance.observed", {}, 0),
]
"""Events as far as the rules look at them, and how serious each is: at least one for every rule of the table."""


@pytest.mark.parametrize(("event_type", "data", "expected"), CASES)
def test_shipped_severities(event_type: str, data: dict[str, Any], expected: int) -> None:
    assert severity(rules(), event_type, data) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # An administrator's second factor lost nine points, and the maximum a tenth: the nine are what counts.
        ({"configuration": -9.0, "catalogue": -1.0}, 8),
        ({"unknown": -9.0, "catalogue": -1.0}, 8),
        ({"catalogue": -6.0, "configuration": -4.0}, 7),
        ({"catalogue": -9.6, "configuration": -0.4}, 3),
        ({"catalogue": -12.0, "state_asserted": 2.0}, 3),
        # What the maximum took is not added to what was lost.
        ({"configuration": -4.9, "catalogue": -4.8}, 7),
        ({"configuration": -2.9, "catalogue": -2.0}, 6),
        # Nor does a maximum that rose hide what was lost under it.
        ({"catalogue": 10.0, "configuration": -8.0}, 8),
        ({"catalogue": 10.0, "configuration": -1.0}, 2),
    ],
)
def test_severity_follows_the_loss_that_no_maximum_explains(parts: dict[str, float], expected: int) -> None:
    label = next(iter(parts))
    data = lost(-sum(parts.values()), threats=("Account Breach",), label=label)
    data["cause"]["parts"] = [{"label": name, "points": value} for name, value in parts.items()]
    assert severity(rules(), "control.score_changed", data) == expected


def test_backfilled_events_have_severity_0() -> None:
    assert severity(rules(), "score.changed", {"backfilled": True, "direction": "regressed", "delta": -100.0}) == 0


def test_missing_facts_fail_conditions_instead_of_raising() -> None:
    for event_type in ("control.score_changed", "score.changed", "control.state_changed", "connector.problem"):
        for data in ({}, {"control": None, "delta": None, "after": None, "cause": None, "direction": "regressed"}):
            assert 0 <= severity(rules(), event_type, data) <= 10


def test_an_unknown_condition_is_an_error() -> None:
    with pytest.raises(ValueError, match="tyer"):
        severity(SeverityRules(({"when": {"tyer": "Core"}, "severity": 1},)), "a", {})


def test_every_shipped_rule_decides_a_case() -> None:
    table = rules()
    left = list(table.rules)
    for event_type, data, _ in CASES:
        first = next((rule for rule, besides in table.of(event_type) if holds(besides, event_type, data)), None)
        left = [rule for rule in left if rule is not first]
    assert left == [], "add a case to CASES for each of these rules"


def test_every_shipped_rule_can_be_reached() -> None:
    """A rule behind a more general one would be dead text: each one is the first for some event."""
    table = rules().rules
    for index, rule in enumerate(table):
        assert all(not _covers(earlier["when"], rule["when"]) for earlier in table[:index]), rule


def _covers(wide: dict[str, Any], narrow: dict[str, Any]) -> bool:
    """Whether every condition of `wide` is also one of `narrow` (so that nothing is left for it)."""

    def values(x: Any) -> set[Any]:
        return set(x) if isinstance(x, list) else {x}

    return all(
        key in narrow
        and (narrow[key] >= wide[key] if key.endswith("_min") else values(narrow[key]) <= values(wide[key]))
        for key in wide
    )
