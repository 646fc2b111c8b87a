"""The document of `status --json`: scripts rely on its keys."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connector.config.parse import parse
from connector.health.overview import overview, unwell
from connector.ports import SinkStats, Stats
from connector.registry import sink_options
from connector.signin.credentials import Credential
from tests.config_example import minimal, parsed

NOW = datetime(2026, 11, 23, tzinfo=UTC)
STATS = Stats(5, 900, (SinkStats("old", 1, 2, 0, None, None, abandoned=True),))


def document() -> dict[str, Any]:
    config = parsed(minimal())
    (tenant,) = config.tenants
    return overview(config, {tenant.name: {"newest": "2026-11-22"}}, STATS, NOW, [], [Credential("a", "secret", NOW)])


def test_every_part_has_exactly_these_keys() -> None:
    """Add to them, and say so in README and CHANGELOG; never take one away."""
    found = document()
    assert list(found) == ["tenants", "sinks", "problems", "credentials", "store"]
    (tenant,) = found["tenants"].values()
    assert list(tenant) == [
        *(
            "newest_day",
            "data_age_s",
            "last_success",
            "error",
            "hint",
            "notes",
            "refused",
            "problems",
            "labels",
            "percent",
            "change_7d",
            "deviations",
        ),
        *("units", "no_data"),
    ]
    for sink in found["sinks"].values():
        assert list(sink) == [
            *("state", "backlog", "parked", "last_success", "oldest_due", "next_digest", "error", "hint")
        ]
    assert list(found["credentials"][0]) == ["credential", "kind", "expires_at", "days_left", "tenants", "sink"]
    assert found["store"] == {"events": 5, "bytes": 900}


def test_ages_and_states_follow_from_what_is_known() -> None:
    found = document()
    (tenant,) = found["tenants"].values()
    assert (tenant["newest_day"], tenant["data_age_s"]) == ("2026-11-22", 86_400)
    assert {sink["state"] for sink in found["sinks"].values()} == {"new", "abandoned"}


def test_what_waits_for_a_digest_is_not_behind() -> None:
    mail = {"name": "mail", "kind": "mail", "host": "smtp", "to": ["soc@example.org"], "digest_at": "06:00"}
    config = parse(minimal(sinks=[mail]), sink_options=sink_options, base_dir="/srv")
    for oldest, state in (("2026-11-22T09:00:00Z", "digest"), ("2026-11-21T09:00:00Z", "behind"), (None, "ok")):
        stats = Stats(5, 900, (SinkStats("mail", 1, 2 if oldest else 0, 0, None, oldest),))
        row = overview(config, {}, stats, NOW, [], [])["sinks"]["mail"]
        assert (row["state"], row["next_digest"]) == (state, "2026-11-23T06:00:00Z")
    assert overview(config, {}, Stats(0, 0, ()), NOW, [], [])["sinks"]["mail"]["next_digest"] == "2026-11-23T06:00:00Z"


PROBLEM = {"subject": "outbox", "reason": "outbox_filling", "summary": "Problem: the state is 85% full"}


DAMAGE = {
    "subject": "state:damaged",
    "reason": "state_damaged",
    "summary": "Problem: 1 part is damaged",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"problems": [PROBLEM]}, ["Problem: the state is 85% full"]),
        ({"problems": [{"subject": "state", "reason": "secret_expiring", "summary": "soon"}]}, []),
        ({"problems": [DAMAGE]}, []),
        ({"problems": [{**DAMAGE, "summary": "Problem: 2 are"}]}, ["Problem: 2 are"]),
        ({"tenant": {"problems": ["stale"]}}, []),
        ({"tenant": {"problems": ["evidence"]}}, ["tenant contoso: evidence"]),
        (
            {"tenant": {"refused": [{"part": "day 2026-11-22", "reason": "controls_lost"}]}},
            ["tenant contoso: day 2026-11-22 refused (controls_lost)"],
        ),
        ({"sink": {"parked": 2}}, ["sink soc has refused 2 events for good: `securescore parked list`"]),
    ],
)
def test_what_is_lost_pinned_or_refused_is_named_and_what_is_not_is_not(changes: Any, words: list[str]) -> None:
    status = {
        "tenants": {"contoso": {"problems": [], "refused": [], **changes.get("tenant", {})}},
        "sinks": {"soc": {"parked": 0, **changes.get("sink", {})}},
        "problems": changes.get("problems", []),
    }
    assert unwell(status, ["contoso"], ["Problem: 1 part is damaged"]) == words
    assert [w for w in unwell(status, []) if w.startswith("tenant")] == []
