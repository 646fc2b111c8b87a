"""Units of an entry, folded: causes, directions and sums of subscriptions, of the score over all, and of exposures."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from connector.config.values import ChangesConfig, TargetsConfig
from connector.ids import content_hash
from connector.model import Absent, Change, Control, Day, Profile, Snapshot, Standard, Unit, Version
from connector.observe import aggregate, memory, waterfall
from connector.observe.diff import decompose, fixed
from connector.observe.events import Origin, stamp
from connector.observe.fold import Observation, Rules, observe
from connector.observe.memory import Memory
from connector.observe.severity import SeverityRules
from tests.shared_data import shared_data

TENANT = "11111111-1111-1111-1111-111111111111"
SUBSCRIPTION = "20ff7fc3-e762-44dd-bd96-b71116dcdc23"
UNIT = Unit("subscription", SUBSCRIPTION, "contoso-prod", "ascScore", "classic")
ORIGIN = Origin(TENANT, "contoso-azure", source="defender_cloud", unit=UNIT)
WHOLE = aggregate.unit(TENANT)
EXPOSURE = Unit("organization", TENANT, "", "exposureScore")
RULES = Rules(ORIGIN.scope, ChangesConfig(inventory="off"), unit=UNIT)
FIRST, SECOND = "2026-11-21", "2026-11-22"
MFA, PORTS = "aaaa0000-0000-0000-0000-000000000001", "aaaa0000-0000-0000-0000-000000000002"


def control(healthy: int, unhealthy: int, maximum: float = 10.0, exempt: int = 0, name: str = MFA) -> Control:
    """As Microsoft computes it: a control that applies to nothing has a maximum of 0."""
    total = healthy + unhealthy
    most = maximum if total else 0.0
    score = round(most * healthy / total, 2) if total else 0.0
    percent = round(100.0 * round(score / most, 4), 4) if most else 0.0
    return Control(name, "", score, percent, count=healthy, total=total, not_applicable=exempt, max_score=most)


def day(date: str, *controls: Control, **more: Any) -> Day:
    return Day(
        f"{SUBSCRIPTION}_{date}",
        date,
        round(sum(c.score or 0.0 for c in controls), 2),
        sum(c.max_score or 0.0 for c in controls),
        {c.name: c for c in controls},
        detailed=True,
        **{"weight": 7.0, **more},
    )


def definitions(*controls: Control, **more: Any) -> dict[str, Profile]:
    titles = {MFA: "Enable MFA", PORTS: "Secure management ports"}
    return {
        c.name: Profile(
            c.name,
            titles.get(c.name, c.name),
            service="Defender for Cloud",
            **{"max_score": 10.0, "assessments": ("r1", "r2"), **more},
        )
        for c in controls
    }


def read(found: Day, catalogue: Mapping[str, Profile] | None = None, **more: Any) -> Snapshot:
    known = definitions(*found.controls.values()) if catalogue is None else catalogue
    return Snapshot("defender_cloud", (found,), known, **{"unit": UNIT, **more})


def fold(*reads: Snapshot, rules: Rules = RULES) -> Observation:
    """Every read folded, at noon of its day, through what a store keeps; `changes` are those of the last."""
    state, known = None, Memory()
    seen = Observation(known, ())
    for snapshot in reads:
        last = snapshot.days[-1].day if isinstance(snapshot.days, tuple) else SECOND
        seen = observe(known, snapshot, rules, f"{last}T12:00:00Z")
        state = memory.encode(state, known, seen.memory, {})
        known = memory.decode(state)
    return seen


def told(seen: Observation, *types: str) -> list[Change]:
    return [c for c in seen.changes if c.type in types] if types else [c for c in seen.changes if "obs" not in c.type]


def moved(before: Control, after: Control, **more: Any) -> dict[str, Any]:
    """What is told of a control between two days."""
    rest = control(4, 4, name=PORTS)
    reads = read(day(FIRST, before, rest)), read(day(SECOND, after, rest), **more)
    (found,) = told(fold(*reads), "control.score_changed")
    return dict(found.data)


# ------------------------------------------------------------------------------------------------- one subscription


def test_the_official_example_is_exact() -> None:
    controls = json.loads(shared_data("azure_ListSecureScoreControls_expand_example_trimmed.json").read_bytes())
    (score,) = json.loads(shared_data("azure_ListSecureScores_example.json").read_bytes())["value"]
    rows = [row["properties"] for row in controls["value"]]
    made = [
        control(
            row["healthyResourceCount"],
            row["unhealthyResourceCount"],
            row["definition"]["properties"]["maxScore"],
            name=str(number),
        )
        for number, row in enumerate(rows)
    ]
    assert len(rows) == 12
    assert [(c.score, c.max_score) for c in made] == [(r["score"]["current"], r["score"]["max"]) for r in rows]
    assert [c.percent for c in made] == [round(100.0 * r["score"]["percentage"], 4) for r in rows]
    found = day(SECOND, *made)
    assert (found.score, found.max_score) == (23.53, 39.0)
    assert found.score == score["properties"]["score"]["current"]
    nothing = decompose(evolve(found, controls={}, score=0.0), found)
    assert (nothing.delta, nothing.residual) == (fixed(23.53), 0)


@pytest.mark.parametrize(
    ("before", "after", "label", "confidence", "evidence"),
    [
        (control(5, 1), control(3, 3), "configuration", "high", "healthy resources 5/6 → 3/6"),
        (control(5, 0), control(5, 5), "population", "high", "resources 5 → 10"),
        (control(1, 5), control(3, 5), "population", "high", "resources 6 → 8"),
        (control(5, 5), control(2, 9), "population", "medium", "resources 10 → 11"),
        (control(5, 5), control(5, 1, exempt=4), "population", "high", "exempted or no longer applicable: "),
        (control(2, 2, maximum=4.0), control(2, 2, maximum=6.0), "catalogue", "high", "maximum 4 → 6"),
        (control(0, 0), control(2, 2), "population", "high", "maximum 0 → 10"),
        (control(2, 2), control(0, 0, exempt=4), "population", "high", "maximum 10 → 0"),
    ],
)
def test_causes_have_their_evidence(
    before: Control, after: Control, label: str, confidence: str, evidence: str
) -> None:
    cause = moved(before, after)["cause"]
    assert (cause["label"], cause["confidence"]) == (label, confidence)
    assert any(words.startswith(evidence) for words in cause["evidence"]), cause


def test_a_recommendation_that_joined_a_control_is_named() -> None:
    before, after = control(5, 1), control(2, 4)
    catalogue = definitions(after, assessments=("r1", "r3"))
    seen = fold(read(day(FIRST, before)), read(day(SECOND, after), catalogue))
    (change,) = told(seen, "control.score_changed")
    assert change.data["cause"]["label"] == "catalogue"
    assert change.data["cause"]["evidence"] == ["recommendations added: r3", "recommendations removed: r2"]
    assert change.data["cause"]["also"] == ["configuration"]
    (profile,) = told(seen, "profile.changed")
    assert profile.data["summary"] == "Control profile changed: Enable MFA (assessments)"
    assert profile.data["changes"] == [
        {"field": "assessments", "before": 2, "after": 2, "added": ["r3"], "removed": ["r2"]}
    ]


def test_a_moved_maximum_explains_its_share_and_the_rest_has_its_own_cause() -> None:
    data = moved(control(3, 1, maximum=4.0), control(1, 3, maximum=8.0))
    assert data["cause"]["parts"] == [{"label": "configuration", "points": -4.0}, {"label": "catalogue", "points": 3.0}]
    assert (data["delta"], data["direction"]) == (-1.0, "regressed")


@pytest.mark.parametrize(
    ("before", "after", "missed"),
    [(control(2, 0), control(0, 0), []), (control(0, 0), control(0, 2), ["control"])],
    ids=["no longer", "again"],
)
def test_what_applies_to_nothing_is_no_regression(before: Control, after: Control, missed: list[str]) -> None:
    """Neither for the control nor for the score, and no drop; one without points is a miss once it applies."""
    rules = evolve(RULES, targets=TargetsConfig(drop_points=2.0, controls=(MFA,)))
    other = control(4, 4, name=PORTS)
    seen = fold(read(day(FIRST, before, other)), read(day(SECOND, after, other)), rules=rules)
    (change,) = told(seen, "score.changed")
    assert change.data["direction"] == "unchanged"
    assert [c.data["direction"] for c in told(seen, "control.score_changed")] in ([], ["unchanged"])
    assert [c.data["target"]["kind"] for c in told(seen, "posture.target_missed")] == missed


def test_controls_that_stop_to_apply_do_not_halve_a_maximum_unless_none_is_left() -> None:
    first = [control(1, 1, name=name) for name in "abc"]
    some = [control(1, 1, name="a"), *(control(0, 0, name=name) for name in "bc")]
    none = [control(0, 0, name=name) for name in "abc"]
    assert told(fold(read(day(FIRST, *first)), read(day(SECOND, *some))), "feed.suspicious") == []
    assert told(fold(read(day(FIRST, *first)), read(day(SECOND, *none))), "feed.suspicious") != []


def test_the_rest_of_a_move_has_its_direction_beside_what_stopped_to_apply() -> None:
    before = day(FIRST, control(2, 0), control(4, 4, name=PORTS))
    after = day(SECOND, control(0, 0), control(2, 6, name=PORTS))
    (change,) = told(fold(read(before), read(after)), "score.changed")
    assert (change.data["delta"], change.data["direction"]) == (-12.5, "regressed")
    assert change.data["cause"]["label"] == "population"
    assert [part["title"] for part in change.data["contributions"]] == ["Enable MFA", "Secure management ports"]


def test_words_name_the_subscription_and_the_control_by_its_title() -> None:
    seen = fold(read(day(FIRST, control(4, 0))), read(day(SECOND, control(2, 2))))
    score, one = told(seen, "score.changed", "control.score_changed")
    assert score.data["summary"].startswith("Cloud secure score of contoso-prod dropped: 10.0 → 5.0 (-5.0 points)")
    assert one.data["summary"] == "Control score dropped: Enable MFA 10.0 → 5.0 (-5.0 points)"
    assert one.data["after"] == {
        "score": 5.0,
        "percent": 50.0,
        "day": SECOND,
        "max": 10.0,
        "count": 2,
        "total": 4,
        "not_applicable": 0,
    }


def test_events_say_by_which_model_the_score_is_computed() -> None:
    seen = fold(read(day(FIRST, control(4, 0))), read(day(SECOND, control(2, 2))))
    score, one = (stamp(c, ORIGIN, "2026-11-22T12:00:00Z", SeverityRules(())) for c in told(seen))
    assert score.data["score"] == {"current": 5.0, "max": 10.0, "percent": 50.0, "model": "classic"}
    assert score.source == f"urn:secure-score:defender-cloud:{SUBSCRIPTION}"
    assert one.data["transition"] == score.id
    assert one.data["unit"]["id"] == SUBSCRIPTION


def test_the_event_the_contribution_and_the_explanation_name_the_same_cause() -> None:
    one, other = (
        day(FIRST, control(4, 0), control(1, 1, name=PORTS)),
        day(SECOND, control(2, 2), control(3, 1, name=PORTS)),
    )
    seen = fold(read(one), read(other))
    events = [stamp(c, ORIGIN, "2026-11-22T12:00:00Z", SeverityRules(())) for c in seen.changes]
    path = [seen.memory.days[FIRST], seen.memory.newest]
    explained = waterfall.between(path, seen.memory.profiles, waterfall.recorded(events), unit=UNIT)  # type: ignore[arg-type]
    (score,) = [e for e in events if e.type == "score.changed"]
    by_control = {e.subject: e.data["cause"] for e in events if e.type == "control.score_changed"}
    assert {p["control"]: p["cause"] for p in score.data["contributions"]} == by_control
    assert explained["contributions"] == score.data["contributions"]
    assert (explained["summary"], explained["direction"]) == (score.data["summary"], score.data["direction"])


# --------------------------------------------------------------------------------------------- two reads agree


def test_that_a_control_is_gone_is_believed_when_two_reads_agree() -> None:
    whole, part = day(FIRST, control(4, 0), control(1, 1, name=PORTS)), day(FIRST, control(4, 0))
    once = fold(read(whole), read(part))
    assert told(once) == []
    assert once.memory.held == (PORTS,)
    assert memory.head(memory.encode(None, Memory(), once.memory, {"pages": {"a": "b"}}))["pages"] == {}
    twice = fold(read(whole), read(part), read(part))
    assert [c.type for c in told(twice)] == ["profile.removed", "score.changed", "control.removed"]
    assert told(twice, "control.removed")[0].data["cause"]["label"] == "catalogue"
    assert twice.memory.held == ()


def test_a_control_that_is_back_was_never_gone() -> None:
    whole, part = day(FIRST, control(4, 0), control(1, 1, name=PORTS)), day(FIRST, control(4, 0))
    seen = fold(read(whole), read(part), read(whole))
    assert (told(seen), seen.memory.held) == ([], ())
    assert told(fold(read(whole), read(part), read(whole), read(part))) == []


def test_another_control_that_is_gone_needs_a_second_read_of_its_own() -> None:
    three = [control(1, 1, name=n) for n in "abc"]
    reads = [three, three[:2], [three[0], three[2]]]
    seen = fold(*(read(day(FIRST, *controls)) for controls in reads))
    assert (told(seen), seen.memory.held) == ([], ("b",))


def test_missing_days_of_a_subscription_are_told_by_the_score_over_all() -> None:
    reads = [read(day(date, control(4, 0))) for date in ("2026-11-18", SECOND)]
    assert told(fold(*reads)) == []
    wholes = [aggregate.snapshot({UNIT: day(date, control(4, 0))}, {}, TENANT, date) for date in ("2026-11-18", SECOND)]
    seen = fold(*wholes, rules=evolve(RULES, unit=WHOLE))
    assert [c.type for c in told(seen)] == ["feed.gap"]


# ------------------------------------------------------------------------------------------- the score over all


def units(**subscriptions: Day) -> dict[Unit, Day]:
    return {
        Unit("subscription", name, name.title(), "ascScore", "classic"): found for name, found in subscriptions.items()
    }


def over_all(before: Mapping[Unit, Day], after: Mapping[Unit, Day]) -> Change:
    reads = [aggregate.snapshot(u, {}, TENANT, date) for u, date in ((before, FIRST), (after, SECOND))]
    seen = fold(*reads, rules=evolve(RULES, unit=WHOLE, changes=ChangesConfig(min_score_points=0.01)))
    assert {c.type for c in seen.changes} <= {"score.observed", "score.changed"}
    (found,) = told(seen, "score.changed")
    return found


def test_the_score_over_all_names_what_scores_and_weights_made_of_it() -> None:
    one = units(prod=day(FIRST, control(5, 5), weight=6), test=day(FIRST, control(10, 0), weight=4))
    two = units(prod=day(SECOND, control(7, 3), weight=5), test=day(SECOND, control(10, 0), weight=5))
    data = over_all(one, two).data
    assert (data["before"]["current"], data["after"]["current"], data["delta"]) == (70.0, 85.0, 15.0)
    assert data["effects"] == {"score": 12.0, "weight": 3.0, "added": 0.0, "removed": 0.0}
    by_name = {part["control"]: part for part in data["contributions"]}
    assert by_name["prod"]["effects"] == {"score": 12.0, "weight": -7.0}
    assert by_name["prod"]["cause"]["parts"] == [
        {"label": "configuration", "points": 12.0},
        {"label": "weight", "points": -7.0},
    ]
    assert by_name["test"]["cause"]["label"] == "weight"
    assert (data["cause"]["label"], data["cause"]["also"]) == ("configuration", ["weight"])
    assert data["summary"] == "Cloud secure score of all subscriptions rose: 70.0 → 85.0 (+15.0 percentage points)"
    assert by_name["test"]["title"] == "Test"


def test_a_subscription_that_came_is_the_cause_and_dilutes_the_others() -> None:
    one = units(prod=day(FIRST, control(5, 5), weight=6))
    two = units(prod=day(SECOND, control(5, 5), weight=6), test=day(SECOND, control(10, 0), weight=4))
    data = over_all(one, two).data
    assert data["effects"] == {"score": 0.0, "weight": 0.0, "added": 20.0, "removed": 0.0}
    assert {part["cause"]["label"] for part in data["contributions"]} == {"scope"}
    assert data["cause"]["label"] == "scope"


def test_a_subscription_as_good_as_the_others_changes_nothing_when_it_comes_or_goes() -> None:
    one = units(prod=day(FIRST, control(5, 5), weight=6), test=day(FIRST, control(9, 1), weight=4))
    two = units(prod=day(SECOND, control(5, 5), weight=6), new=day(SECOND, control(5, 5), weight=9))
    data = over_all(one, two).data
    assert (data["delta"], data["effects"]["removed"], data["cause"]["label"]) == (-16.0, -9.6, "scope")
    assert round(sum(data["effects"].values()) + data["residual"], 4) == -16.0


def test_a_subscription_whose_resources_went_is_no_regression_of_all() -> None:
    one = units(prod=day(FIRST, control(5, 5), weight=5), test=day(FIRST, control(10, 0), weight=5))
    two = units(prod=day(SECOND, control(5, 5), weight=5), test=day(SECOND, control(0, 0), weight=5))
    data = over_all(one, two).data
    assert (data["delta"], data["direction"], data["cause"]["label"]) == (-50.0, "unchanged", "population")


counts = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 3))
controls = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(counts, st.sampled_from([1.0, 2.0, 4.0, 6.0, 10.0])), min_size=1
).map(lambda found: [control(h, u, most, e, name) for name, ((h, u, e), most) in sorted(found.items())])


@given(controls, controls)
def test_changes_of_a_subscription_make_the_later_day_of_the_earlier(old: list[Control], new: list[Control]) -> None:
    before, after = day(FIRST, *old), day(SECOND, *new)
    parts = decompose(before, after)
    scores = {name: fixed(c.score or 0.0) for name, c in before.controls.items()}
    for part in parts.contributions:
        if part.after is None:
            del scores[part.control]
        else:
            scores[part.control] = scores.get(part.control, 0) + part.delta
    assert scores == {name: fixed(c.score or 0.0) for name, c in after.controls.items()}
    assert parts.residual == 0
    assert decompose(before, before).contributions == ()


@given(controls, controls)
def test_every_view_of_a_subscription_names_the_same_cause(old: list[Control], new: list[Control]) -> None:
    rules = evolve(
        RULES, changes=ChangesConfig(inventory="off", min_score_points=0.0001, min_points=0.0, min_share=0.0)
    )
    first, second = read(day(FIRST, *old)), read(day(SECOND, *new))
    reads = [first, second] if {c.name for c in old} <= {c.name for c in new} else [first, second, second]
    seen = fold(*reads, rules=evolve(rules, changes=evolve(rules.changes, suspicious_loss=1.0)))
    if seen.memory.newest is None or seen.memory.newest.day.day != SECOND:
        return  # the maximum was halved: refused
    events = [stamp(c, ORIGIN, "2026-11-22T12:00:00Z", SeverityRules(())) for c in seen.changes]
    scores = [e.data for e in events if e.type == "score.changed"]
    if not scores:
        return
    (data,) = scores
    assert fixed(data["delta"]) == sum(fixed(p["delta"]) for p in data["contributions"]) + fixed(data["residual"])
    causes = {p["control"]: p["cause"] for p in data["contributions"]}
    for event in events:
        if event.type.startswith("control.") and event.subject in causes:
            assert event.data["cause"] == causes[event.subject]
    path = [Version(d, content_hash(d)) for d in (day(FIRST, *old), day(SECOND, *new))]
    explained = waterfall.between(path, seen.memory.profiles, waterfall.recorded(events), unit=UNIT)
    assert {p["control"]: p["cause"] for p in explained["contributions"]} == causes
    for part in data["contributions"]:
        shares = part["cause"].get("parts")
        assert not shares or sum(fixed(s["points"]) for s in shares) == fixed(part["delta"])


estates = st.dictionaries(st.sampled_from("abcde"), st.tuples(controls, st.integers(0, 300)), min_size=1)


@given(estates, estates)
def test_effects_and_the_residual_make_every_move_of_the_score_over_all(old: Any, new: Any) -> None:
    before, after = (
        aggregate.day(units(**{n: day(date, *found, weight=w) for n, (found, w) in estate.items()}), {}, TENANT, date)
        for estate, date in ((old, FIRST), (new, SECOND))
    )
    reads = [Snapshot("defender_cloud", (d,), {}, unit=WHOLE) for d in (before, after)]
    seen = fold(*reads, rules=evolve(RULES, unit=WHOLE, changes=ChangesConfig(min_score_points=0.0001)))
    for change in told(seen, "score.changed"):
        data = change.data
        assert fixed(data["delta"]) == sum(map(fixed, data["effects"].values())) + fixed(data["residual"])
        assert abs(data["residual"]) < 0.01
        for part in data["contributions"]:
            if part["kind"] == "moved":
                assert sum(map(fixed, part["effects"].values())) == fixed(part["delta"])
            shares = part["cause"].get("parts")
            assert not shares or sum(fixed(s["points"]) for s in shares) == fixed(part["delta"])


# ---------------------------------------------------------------------------------------------------- exposure


def exposed(date: str, score: float) -> Snapshot:
    found = Day(f"{TENANT}_{date}", date, score, 100.0, {}, detailed=True)
    return Snapshot("defender_endpoint", (found,), {}, unit=EXPOSURE)


@pytest.mark.parametrize(
    ("before", "after", "direction", "words"),
    [
        (30.0, 45.0, "regressed", "Exposure score of all devices rose: 30.0 → 45.0 (+15.0 points, lower is better)"),
        (45.0, 30.0, "improved", "Exposure score of all devices dropped: 45.0 → 30.0 (-15.0 points, lower is better)"),
    ],
)
def test_of_an_exposure_less_is_better(before: float, after: float, direction: str, words: str) -> None:
    seen = fold(exposed(FIRST, before), exposed(SECOND, after), rules=evolve(RULES, unit=EXPOSURE))
    (change,) = told(seen)
    assert (change.data["direction"], change.data["summary"]) == (direction, words)
    (day,) = told(seen, "score.observed")[-1:]
    assert day.data["summary"] == f"Exposure score of all devices on {SECOND}: {after} of 100.0 points, lower is better"


def test_targets_of_an_exposure_are_ceilings() -> None:
    targets = TargetsConfig(percent_min=70.0, measured_percent_min=60.0, drop_points=10.0, exposure_max=40.0)
    rules = evolve(RULES, unit=EXPOSURE, targets=targets)
    first = told(fold(exposed(FIRST, 30.0), rules=rules))
    assert first == []
    worse = fold(exposed(FIRST, 30.0), exposed(SECOND, 45.0), rules=rules)
    missed = told(worse, "posture.target_missed")
    assert [c.data["target"]["kind"] for c in missed] == ["exposure_max", "drop_points"]
    assert missed[0].data["summary"] == "Target missed: Exposure score of all devices 45.0 against at most 40.0"
    assert (
        missed[1].data["summary"] == "Target missed: overnight rise of the exposure by 15.0 points against at most 10.0"
    )
    better = fold(exposed(FIRST, 30.0), exposed(SECOND, 45.0), exposed("2026-11-23", 31.0), rules=rules)
    assert [c.data["target"]["kind"] for c in told(better, "posture.target_met")] == ["exposure_max", "drop_points"]


# --------------------------------------------------------------------------------------------------- compliance


def standards(**failed: int) -> dict[str, Standard]:
    return {name: Standard(name, "Failed", 10, n, 0, 1) for name, n in failed.items()}


def audited(date: str, read_standards: Mapping[str, Standard] | Absent | None, **more: Any) -> Snapshot:
    return read(day(date, control(4, 0)), standards=read_standards, **more)


DAILY = evolve(RULES, changes=ChangesConfig())


def compliance(*reads: Snapshot) -> list[tuple[str, str]]:
    seen = fold(*reads, rules=DAILY)
    return [(c.type, c.subject) for c in seen.changes if c.type.startswith("compliance.")]


def test_standards_are_observed_once_a_day_and_told_when_they_change() -> None:
    first = audited(FIRST, standards(cis=3, pci=5))
    assert compliance(first) == [("compliance.observed", "cis"), ("compliance.observed", "pci")]
    assert compliance(first, first) == []
    worse = audited(FIRST, standards(cis=4, pci=5))
    assert compliance(first, worse) == [("compliance.changed", "cis")]
    assert compliance(first, worse, worse) == []
    assert compliance(first, audited(SECOND, standards(cis=3, pci=5))) == compliance(first)
    (change,) = told(fold(first, worse, rules=DAILY), "compliance.changed")
    assert (change.data["direction"], change.data["failed_delta"]) == ("regressed", 1)
    words = "10 passed, 3 failed, 1 unsupported → 10 passed, 4 failed, 1 unsupported"
    assert change.data["summary"] == f"Compliance with cis changed: {words}"


def test_a_new_standard_is_told_and_one_that_is_gone_when_two_reads_agree() -> None:
    both, one = audited(FIRST, standards(cis=3, pci=5)), audited(FIRST, standards(cis=3))
    assert compliance(one, both) == [("compliance.observed", "pci"), ("compliance.changed", "pci")]
    assert compliance(both, one) == []
    assert compliance(both, one, one) == [("compliance.changed", "pci")]
    assert compliance(both, one, both, one) == []


@pytest.mark.parametrize("lacking", [None, Absent("paging")])
def test_standards_that_were_not_read_prove_nothing(lacking: Absent | None) -> None:
    both = audited(FIRST, standards(cis=3, pci=5))
    gone = audited(FIRST, lacking)
    assert compliance(both, gone, gone, both) == []
    partial = audited(FIRST, standards(cis=3), partial={"days": Absent("paging")})
    assert compliance(both, partial, partial) == []


def test_what_no_standard_was_ever_read_of_is_remembered_as_before() -> None:
    seen = fold(read(day(FIRST, control(4, 0))))
    state = memory.encode(None, Memory(), seen.memory, {})
    assert memory.decode(state).standards is None
