"""Points by category, service and tier: what moved in a group, and what changed its group."""

import json

from attrs import evolve

from connector.formats import cloudevents
from connector.model import Control, Day, Event, Profile, Version
from connector.observe import changes, diff, groups
from connector.observe.causes import NOTHING_MOVED, Cause, Context
from connector.observe.events import Origin, stamp
from connector.observe.severity import SeverityRules
from tests.golden import samples

TENANT = "11111111-1111-1111-1111-111111111111"
MAX_BYTES = 5_000
"""How far Splunk extracts fields (limits.conf: extraction_cutoff)."""


def day(*controls: Control, date: str = "2026-11-22") -> Day:
    found = {c.name: c for c in controls}
    score = sum(c.score or 0.0 for c in controls)
    return Day(f"{TENANT}_{date}", date, score, 700.0, found)


def control(name: str, score: float | None, category: str = "Apps") -> Control:
    return Control(name, category, score, None)


def told(before: Day, after: Day, old: dict[str, Profile], new: dict[str, Profile]) -> Event:
    found = changes.score_changed(
        Version(before, "a"),
        Version(after, "b"),
        diff.decompose(before, after),
        lambda _: Cause("configuration", "high", ("compliant users 5/5 → 2/5",)),
        Context(before, after, new),
        backfilled=False,
        grouped_by=old,
    )
    return stamp(found, Origin(TENANT, "contoso"), "2026-11-22T09:12:03Z", SeverityRules(()))


def test_a_move_counts_where_the_control_is_afterwards_and_what_it_had_goes_there_with_it() -> None:
    before = day(control("a", 8.0), control("b", 5.0), control("gone", 3.0), date="2026-11-21")
    after = day(control("a", 6.0, "Identity"), control("b", 5.0), control("new", 1.0, "Data"))
    data = told(before, after, {}, {}).data
    assert data["by_category"] == {"Apps": -3.0, "Data": 1.0, "Identity": -2.0}
    assert data["regrouped"]["by_category"] == {"Apps": -8.0, "Identity": 8.0}
    assert data["regrouped"]["by_service"] == data["regrouped"]["by_tier"] == {}


def test_service_and_tier_are_those_of_the_catalogue_of_each_side() -> None:
    before, after = day(control("a", 8.0), date="2026-11-21"), day(control("a", 9.0))
    old = {"a": Profile("a", "", service="EXO", tier="Core")}
    new = {"a": Profile("a", "", service="MDO", tier="Core")}
    data = told(before, after, old, new).data
    assert data["by_service"] == {"MDO": 1.0}
    assert data["regrouped"]["by_service"] == {"EXO": -8.0, "MDO": 8.0}
    assert data["by_tier"] == {"Core": 1.0}
    assert data["regrouped"]["by_tier"] == {}


def test_a_control_that_left_was_in_the_group_it_was_last_in() -> None:
    before, after = day(control("a", 8.0), date="2026-11-21"), day()
    data = told(before, after, {"a": Profile("a", "", service="EXO")}, {}).data
    assert data["by_service"] == {"EXO": -8.0}
    assert data["regrouped"]["moves"] == []


def test_points_that_are_unknown_are_said_to_be() -> None:
    before, after = day(control("a", None), date="2026-11-21"), day(control("a", None, "Identity"), control("b", 2.0))
    (flow,) = told(before, after, {}, {}).data["regrouped"]["moves"]
    assert (flow["controls"], flow["points"]) == (1, None)
    assert groups.words(flow) == "1 control, unknown points, Apps → Identity"


def test_what_changed_its_group_is_the_catalogues_doing() -> None:
    """Six scored controls of Apps became Identity; nothing else moved."""
    names = ["connectionfilter", "oauth2clientprofile", "transportrules", "zapspam", "zapphish", "zapmalware"]
    scores = (1.0, 3.0, 3.0, 3.0, 3.0, 4.0)
    before = day(*(control(n, s) for n, s in zip(names, scores, strict=True)), date="2026-11-21")
    after = day(*(control(n, s, "Identity") for n, s in zip(names, scores, strict=True)))
    data = told(before, after, {}, {}).data
    assert data["cause"]["label"] == "catalogue"
    assert data["cause"]["evidence"] == ["6 controls, 17.0 points, Apps → Identity"]
    assert data["summary"] == "Secure Score unchanged: 17.0 points; 6 controls, 17.0 points, Apps → Identity"


def test_where_nothing_moved_nothing_is_unknown() -> None:
    before, after = day(control("a", 8.0), date="2026-11-21"), day(control("a", 8.0))
    assert told(before, after, {}, {}).data["cause"] == NOTHING_MOVED.as_data()


def test_where_a_total_is_unknown_nobody_says_that_nothing_moved() -> None:
    before, after = day(control("a", 8.0), date="2026-11-21"), evolve(day(control("a", 8.0)), score=None)
    assert told(before, after, {}, {}).data["cause"]["label"] == "unknown"


def test_the_largest_flows_are_named_and_the_sums_are_complete() -> None:
    many = [control(f"c{n}", float(n), f"from {n}") for n in range(1, 21)]
    data = told(day(*many, date="2026-11-21"), day(*(c._replace(category="Identity") for c in many)), {}, {}).data
    assert [flow["before"] for flow in data["regrouped"]["moves"]] == [f"from {n}" for n in range(20, 14, -1)]
    assert data["regrouped"]["by_category"]["Identity"] == 210.0
    assert len(data["regrouped"]["by_category"]) == 21


def test_all_but_the_contributions_stays_where_receivers_read() -> None:
    """Every control of a large tenant moves, and changes category, service and tier with it."""
    names = [f"scid_{n}_a_name_as_long_as_those_of_cloud_apps" for n in range(230)]
    before = day(*(control(n, 8.0, f"Category{i % 5}") for i, n in enumerate(names)), date="2026-11-21")
    after = day(*(control(n, 6.5, f"Category{i % 6}") for i, n in enumerate(names)))
    old, new = (
        {n: Profile(n, n, service=f"Service{i % k}", tier=f"Tier{i % 3}") for i, n in enumerate(names)}
        for k in (25, 24)
    )
    event = told(before, after, old, new)
    assert list(event.data)[-1] == "contributions"
    for text in (cloudevents.dumps(event), json.dumps(samples.mapping("splunk").render(event).payload["event"])):  # type: ignore[index]
        assert len(text) > MAX_BYTES
        assert text.index('"contributions"') < MAX_BYTES
        assert text.rstrip("}").endswith("]")


def test_the_catalogue_of_an_earlier_day_is_what_events_say_changed_since_undone() -> None:
    """In the order of time: of two changes the first one's side of before counts."""

    def changed(field: str, before: str, after: str, at: str, kind: str = "profile.changed", name: str = "a") -> Event:
        data = {
            "observed_at": at,
            "changes": [{"field": field, "before": before, "after": after}],
            "control": {"id": name, "title": name, "category": "Apps", "service": None, "tier": "Core"},
        }
        return Event(at, "", kind, name, at, data)

    observed = Event(
        "d", "", "score.observed", "score", "", {"observed_at": "2026-11-21T09:00:00Z", "day": "2026-11-21"}
    )
    told = [
        observed,
        changed("service", "SPO", "EXO", "2026-11-21T08:00:00Z"),
        changed("service", "EXO", "MIP", "2026-11-21T12:00:00Z"),
        changed("service", "MIP", "MDO", "2026-11-22T12:00:00Z"),
        changed("title", "x", "y", "2026-11-22T12:00:00Z"),
        changed("", "", "", "2026-11-22T12:00:00Z", "profile.added", "new"),
        changed("", "", "", "2026-11-22T12:00:00Z", "profile.removed", "gone"),
    ]
    now = {"a": Profile("a", "y", service="MDO"), "new": Profile("new", "")}
    before = groups.earlier(now, told, "2026-11-21")
    assert before == {"a": Profile("a", "y", service="EXO"), "gone": Profile("gone", "gone", "Apps", "", "Core")}
    assert groups.earlier(now, [observed], "2026-11-21") is now
