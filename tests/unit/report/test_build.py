"""What a report says of known days: exact sums, gaps, causes, exceptions; by hand, and for a simulated tenant."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve

from connector.model import Average, Control, Day, Event, Profile, StateUpdate, Version
from connector.observe import diff, waterfall
from connector.observe.causes import UNKNOWN, Cause
from connector.observe.memory import Memory
from connector.report import build
from connector.report.values import Gap, Material, Period, TenantReport
from tests.fakes.posture import hostile, simulated, whole

TENANT = "11111111-1111-1111-1111-111111111111"


def day(date: str, scores: Mapping[str, tuple[float, float]], *, total: float | None = None, **more: Any) -> Version:
    controls = {n: Control(n, "Identity", s, p) for n, (s, p) in scores.items()}
    score = round(sum(s for s, _ in scores.values()), 4) if total is None else total
    return Version(Day(f"{TENANT}_{date}", date, score, 40.0, controls, **more), f"hash of {date}")


def material(versions: Sequence[Version], profiles: Mapping[str, Profile] | None = None, **more: Any) -> Material:
    days = {v.day.day: v for v in versions[:-1]}
    memory = Memory(first_newest=versions[-1].day.day, newest=versions[-1], days=days, profiles=profiles)
    return Material("contoso", TENANT, {}, "graph", memory, **more)


def report(made: Material, start: str = "2026-11-01", end: str = "2026-11-05") -> TenantReport:
    return build.build(made, build.period(start, end))


TWO = [
    day("2026-11-01", {"A": (10.0, 100.0), "B": (4.0, 50.0), "Old": (2.0, 100.0)}),
    day("2026-11-03", {"A": (4.0, 40.0), "B": (8.0, 100.0), "New": (3.0, 100.0)}, total=15.5),
]


def test_moves_and_residual_sum_to_the_change() -> None:
    bridge = report(material(TWO)).bridge
    assert bridge is not None
    assert [(m.control, m.kind, m.delta) for m in bridge.moves] == [
        ("A", "moved", -6.0),
        ("B", "moved", 4.0),
        ("New", "added", 3.0),
        ("Old", "removed", -2.0),
    ]
    assert (bridge.delta, bridge.residual) == (-0.5, 0.5)
    assert bridge.percent == {"before": 40.0, "after": 38.75, "delta": -1.25, "numerator": -1.25, "denominator": 0.0}


def test_days_that_are_not_there_are_gaps_also_at_the_ends() -> None:
    quality = report(material(TWO), "2026-10-30", "2026-11-05").quality
    assert (quality.days_observed, quality.days_in_period) == (2, 7)
    assert quality.gaps == (
        Gap("2026-10-30", "2026-10-31", 2),
        Gap("2026-11-02", "2026-11-02", 1),
        Gap("2026-11-04", "2026-11-05", 2),
    )
    assert quality.issues == ("gaps",)


def test_a_complete_period_has_no_issues() -> None:
    one = [day("2026-11-01", {"A": (1.0, 10.0)}), day("2026-11-02", {"A": (1.0, 10.0)})]
    assert report(material(one), "2026-11-01", "2026-11-02").quality.issues == ()


@pytest.mark.parametrize(
    ("flag", "issue"), [("inconsistent", ("inconsistent",)), ("bad_number", ("odd",)), ("sentinel", ())]
)
def test_flags_of_days_are_told_with_their_days(flag: str, issue: tuple[str, ...]) -> None:
    one = [day("2026-11-01", {"A": (1.0, 10.0)}, flags=(flag,)), day("2026-11-02", {"A": (1.0, 10.0)})]
    quality = report(material(one), "2026-11-01", "2026-11-02").quality
    assert (quality.issues, quality.flags) == (issue, {flag: ("2026-11-01",)})


def test_one_day_alone_has_no_change() -> None:
    found = report(material(TWO[:1]))
    assert (found.bridge, found.steps, found.summary.delta) == (None, (), None)
    assert found.summary.score == 16.0


def test_without_a_catalogue_states_are_unknown_not_none() -> None:
    found = report(material(TWO))
    assert (found.exceptions, found.summary.exceptions, found.summary.asserted) == (None, None, None)
    assert found.services == ()


def event(kind: str, subject: str, on: str, **data: Any) -> Event:
    base = {"stream": "change", "day": on, "severity": 3, "backfilled": False, "summary": f"{kind} {subject}"}
    return Event(f"id-{kind}-{subject}", "urn:x", kind, subject, f"{on}T09:00:00Z", {**base, **data})


def moved(kind: str, subject: str, on: str, delta: float, **data: Any) -> Event:
    """The event of a control that moved between the two days."""
    ends = {"before": {"day": "2026-11-01"}, "after": {"day": on}, "delta": delta, "revision": 0}
    return event(kind, subject, on, **{**ends, **data})


def test_a_state_that_moved_no_points_is_no_cause_of_points() -> None:
    """Somebody accepts the risk on the day on which the control loses points for a reason that nobody saw."""
    unknown: dict[str, Any] = {"label": "unknown", "confidence": "none", "evidence": [], "also": []}
    asserted = {"label": "state_asserted", "confidence": "high", "evidence": ["state Default → Ignored"], "also": []}
    told = (
        moved("control.score_changed", "A", "2026-11-03", -6.0, cause=unknown),
        event("control.state_changed", "A", "2026-11-03", cause=asserted, before={}, after={}),
    )
    found = report(material(TWO, events=told)).bridge
    assert found is not None
    assert {c.label for c in found.causes} == {"unknown"}
    assert (found.moves[0].control, found.moves[0].cause, found.moves[0].recorded) == ("A", UNKNOWN, ())


def test_where_two_days_prove_nothing_the_recorded_cause_is_told() -> None:
    cause = {"label": "configuration", "confidence": "high", "evidence": ["compliant users 5/5 → 2/5"], "also": []}
    told = moved("control.score_changed", "A", "2026-11-03", -6.0, cause=cause, control={"id": "A", "title": "A"})
    bridge = report(material(TWO, events=(told,))).bridge
    assert bridge is not None
    assert bridge.moves[0].cause == Cause("configuration", "high", ("compliant users 5/5 → 2/5",))
    assert {m.cause.label for m in bridge.moves[1:]} == {"unknown"}
    assert [(r.day, r.label, r.event_id) for r in bridge.moves[0].recorded] == [
        ("2026-11-03", "configuration", told.id)
    ]
    by_cause = {c.label: (c.gained, c.lost, c.moves) for c in bridge.causes}
    assert by_cause == {"configuration": (0.0, -6.0, 1), "unknown": (7.0, -2.0, 3)}
    assert bridge.causes_residual == 0.5


def test_a_control_that_left_the_catalogue_keeps_the_title_it_had() -> None:
    info = {"id": "Old", "title": "The old one", "service": "EXO"}
    unknown: dict[str, Any] = {"label": "unknown", "confidence": "none", "evidence": [], "also": []}
    told = moved("control.removed", "Old", "2026-11-03", -2.0, control=info, after=None, cause=unknown)
    bridge = report(material(TWO, {"A": Profile("A", "About A")}, events=(told,))).bridge
    assert bridge is not None
    titles = {m.control: (m.title, m.service) for m in bridge.moves}
    assert (titles["A"], titles["Old"], titles["New"]) == (
        ("About A", "unknown"),
        ("The old one", "EXO"),
        ("New", "unknown"),
    )


def test_events_outside_the_period_are_left_out() -> None:
    told = event("feed.stale", "feed", "2026-10-01"), event("feed.partial", "feed", "2026-11-02")
    quality = report(material(TWO, events=told)).quality
    assert [n.type for n in quality.notices] == ["feed.partial"]
    assert "partial" in quality.issues
    assert "stale" not in quality.issues


@pytest.mark.parametrize(
    ("kind", "data", "issue"),
    [
        ("feed.stale", {}, "stale"),
        ("feed.partial", {}, "partial"),
        ("feed.suspicious", {}, "suspicious"),
        ("score.observed", {"late": True}, "late"),
    ],
)
def test_what_the_feed_suffered_is_an_issue(kind: str, data: dict[str, Any], issue: str) -> None:
    quality = report(material(TWO, events=(event(kind, "feed", "2026-11-02", **data),))).quality
    assert issue in quality.issues
    assert issue not in report(material(TWO)).quality.issues


def test_the_register_holds_what_is_in_force_at_the_end_of_the_period() -> None:
    def profile(name: str, *updates: StateUpdate) -> Profile:
        return Profile(name, f"About {name}", max_score=10.0, service="EXO", updates=updates)

    reviewed = StateUpdate("Reviewed", "2026-11-02T10:00:00Z", "alice", "gateway", "bob")
    profiles = {
        "A": profile("A", reviewed),
        "B": profile("B", StateUpdate("Ignored", "2025-01-01T00:00:00Z", "carol")),
        "C": profile("C", StateUpdate("ThirdParty", None)),
        "D": profile("D", reviewed, StateUpdate("Default", "2026-11-03T00:00:00Z", "dave")),
        "E": profile("E", StateUpdate("Ignored", "2026-11-06T00:00:00Z", "later")),
    }
    found = report(material(TWO, profiles))
    assert found.exceptions is not None
    told = [(e.control, e.state, e.age_days, e.new_in_period, e.asserted_points, e.score) for e in found.exceptions]
    assert told == [
        ("B", "Ignored", 673, False, 0.0, 8.0),
        ("A", "Reviewed", 3, True, 0.0, 4.0),  # stated, but the points are not awarded yet
        ("C", "ThirdParty", None, False, 0.0, None),
    ]
    last = found.exceptions[1]
    assert (last.by, last.comment, last.assigned_to, last.forgone_points) == ("alice", "gateway", "bob", 6.0)
    assert found.exceptions[0].comment is None
    assert [(c.control, c.before, c.after) for c in found.state_changes] == [
        ("A", "Default", "Reviewed"),
        ("D", "Default", "Reviewed"),
        ("D", "Reviewed", "Default"),
    ]
    assert (found.summary.asserted, found.summary.measured) == (0.0, 15.5)


@pytest.mark.parametrize(
    ("stated", "seen", "asserted"),
    [
        ("2026-11-04T00:30:00Z", "2026-11-04T08:00:00Z", 4.0),  # awarded within the day that was still open
        ("2026-11-04T08:30:00Z", "2026-11-04T08:00:00Z", 0.0),  # after the last day was seen: its points are measured
        ("2026-11-04T00:30:00Z", "", 0.0),
    ],
)
def test_the_register_and_the_total_count_the_same_asserted_points(stated: str, seen: str, asserted: float) -> None:
    profiles = {"A": Profile("A", "", max_score=4.0, updates=(StateUpdate("ThirdParty", stated),))}
    first, last = TWO
    full = {**last.day.controls, "A": Control("A", "Identity", 4.0, 100.0)}
    made = material((first, evolve(last, seen=seen, day=evolve(last.day, controls=full))), profiles)
    for end in ("2026-11-03", "2026-11-05"):
        found = report(made, end=end)
        assert found.exceptions is not None
        assert found.summary.asserted == asserted == sum(e.asserted_points or 0.0 for e in found.exceptions)
        if end == "2026-11-05":
            assert [e.control for e in found.exceptions] == ["A"]


def test_points_that_graph_did_not_say_are_unknown_in_every_sum() -> None:
    silent = Control("AdminMFAV2", "Identity", None, None)
    one = day("2026-11-01", {"OneAdmin": (1.0, 100.0)})
    made = evolve(one, day=evolve(one.day, controls={**one.day.controls, silent.name: silent}))
    stated = StateUpdate("ThirdParty", "2026-10-02T10:00:00Z", "alice")
    profiles = {"AdminMFAV2": Profile("AdminMFAV2", "MFA", service="AzureAD", max_score=10.0, updates=(stated,))}
    found = report(material([made], profiles))
    assert found.exceptions is not None
    assert [(e.score, e.asserted_points) for e in found.exceptions] == [(None, None)]
    assert (found.summary.asserted, found.summary.measured) == (None, None)
    assert {c.id: (c.score, c.percent, c.asserted) for c in found.frameworks.classes} == {
        "mfa_conditional_access": (None, None, None),
        "privileged_identity": (1.0, 100.0, 0.0),
    }
    assert {c.asserted for c in report(material([made])).frameworks.classes} == {None}
    assert [(g.name, g.score) for g in found.categories] == [("Identity", None)]


def test_what_a_subject_has_by_statement_alone_is_told() -> None:
    one = day("2026-11-02", {"AdminMFAV2": (10.0, 100.0), "MFARegistrationV2": (4.5, 50.0)})

    def profile(name: str, *updates: StateUpdate) -> Profile:
        return Profile(name, name, max_score=10.0, updates=updates)

    profiles = {
        "AdminMFAV2": profile("AdminMFAV2", StateUpdate("ThirdParty", "2026-11-01T10:00:00Z", "alice")),
        "MFARegistrationV2": profile("MFARegistrationV2", StateUpdate("Reviewed", "2026-11-04T10:00:00Z", "later")),
    }
    (mfa,) = report(material([one], profiles)).frameworks.classes
    assert (mfa.id, mfa.score, mfa.asserted, mfa.max_score) == ("mfa_conditional_access", 14.5, 10.0, 20.0)


def test_averages_are_those_of_the_latest_day_that_has_any() -> None:
    seats = {"seatSizeRangeLowerValue": 11.0, "seatSizeRangeUpperValue": 100.0}
    averages = (Average("AllTenants", 30.5), Average("TotalSeats", None, seats))
    days = [day("2026-11-01", {"A": (10.0, 100.0)}, averages=averages), day("2026-11-02", {"A": (10.0, 100.0)})]
    found = [(a.basis, a.seats, a.day, a.average, a.difference) for a in report(material(days)).comparatives]
    assert found == [
        ("AllTenants", None, "2026-11-01", 30.5, -5.5),
        ("TotalSeats", "11 to 100", "2026-11-01", None, None),
    ]


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (1.0, 5.0, "1 to 5"),
        (1_000_000.0, 2_500_000.0, "1000000 to 2500000"),
        ("100001", "unlimited", "100001 to unlimited"),
        (None, 5.0, None),
    ],
)
def test_a_range_of_seats_is_told_in_whole_numbers(lower: float | str | None, upper: float | str, words: str) -> None:
    detail = {"seatSizeRangeLowerValue": lower, "seatSizeRangeUpperValue": upper}
    one = day("2026-11-01", {"OneAdmin": (1.0, 100.0)}, averages=(Average("TotalSeats", 40.0, detail),))
    assert [c.seats for c in report(material([one])).comparatives] == [words]


def test_a_tenant_without_a_day_in_the_period_says_why() -> None:
    outside = build.summarise(material(TWO), build.period("2026-01-01", "2026-01-31"))
    assert (outside.error, outside.days_observed) == (
        "no day of the period is known (known: 2026-11-01 to 2026-11-03)",
        0,
    )
    nothing = build.summarise(Material("x", TENANT, {}, "graph", Memory()), build.period("2026-01-01", "2026-01-02"))
    assert nothing.error == "nothing is known yet"


# ------------------------------------------------------------------------------------------------- simulated tenants


@pytest.fixture(params=[7, 8], scope="module")
def living(request: pytest.FixtureRequest) -> tuple[Material, Period, TenantReport]:
    made = simulated(request.param)
    when = whole(made)
    return made, when, build.build(made, when)


def units(values: Sequence[float | None]) -> int:
    return sum(diff.fixed(v) for v in values if v is not None)


def test_every_sum_is_exact(living: tuple[Material, Period, TenantReport]) -> None:
    _, _, found = living
    bridge = found.bridge
    assert bridge is not None
    assert bridge.delta is not None
    assert bridge.before_score is not None
    assert bridge.after_score is not None
    total = diff.fixed(bridge.after_score) - diff.fixed(bridge.before_score)
    assert diff.fixed(bridge.delta) == total
    assert units([m.delta for m in bridge.moves]) + units([bridge.residual]) == total
    assert units([c.net for c in bridge.causes]) + units([bridge.causes_residual]) == total
    for groups in (found.categories, found.services):
        assert units([g.delta for g in groups]) == units([m.delta for m in bridge.moves])
        assert units([g.score for g in groups]) == diff.fixed(bridge.after_score)
        assert sum(g.controls for g in groups) == found.controls["total"]
    for point in found.days:
        assert units([point.measured, point.asserted]) == units([point.score])
    assert found.quality.days_observed + sum(g.days for g in found.quality.gaps) == found.quality.days_in_period


def test_the_bridge_says_what_explain_says(living: tuple[Material, Period, TenantReport]) -> None:
    made, _, found = living
    days = list(made.memory.versions().values())
    told = waterfall.between(days, made.memory.profiles, waterfall.recorded(made.events))
    assert found.bridge is not None
    assert [(m.control, m.delta, m.cause.label) for m in found.bridge.moves] == [
        (c["control"], c["delta"], c["cause"]["label"]) for c in told["contributions"]
    ]
    assert (found.bridge.residual, found.bridge.percent) == (told["residual"], told["percent"])


def test_the_comparison_agrees_with_the_whole_report(living: tuple[Material, Period, TenantReport]) -> None:
    made, when, found = living
    assert build.summarise(made, when) == found.summary


def test_it_finds_something_to_tell(living: tuple[Material, Period, TenantReport]) -> None:
    """The simulated tenant is not an empty case: gaps, causes, steps and references are all there."""
    _, _, found = living
    assert found.quality.gaps
    assert found.steps
    assert found.bridge is not None
    assert {c.label for c in found.bridge.causes} > {"unknown"}
    assert {f.name for f in found.frameworks.frameworks} == {"attack", "nist_csf"}


def test_texts_change_no_number() -> None:
    made = simulated(7)
    plain, harmed = build.build(made, whole(made)), build.build(hostile(made), whole(made))
    assert plain.bridge is not None
    assert harmed.bridge is not None
    assert [m.delta for m in plain.bridge.moves] == [m.delta for m in harmed.bridge.moves]
    assert plain.fingerprint == harmed.fingerprint


def test_the_fingerprint_changes_with_the_data() -> None:
    other = [evolve(TWO[0], hash="another"), TWO[1]]
    assert report(material(TWO)).fingerprint != report(material(other)).fingerprint
