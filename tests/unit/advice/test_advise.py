"""What to do next: which controls are open, in which order and group, since when, and what the score would be."""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from connector.advice.actions import order
from connector.advice.advise import advise
from connector.advice.licences import missing
from connector.advice.values import NOT_STATED, Action, Unknown
from connector.config.values import TargetsConfig
from connector.model import Control, Day, Profile, StateUpdate, Version
from connector.observe import diff, totals
from connector.report import build
from connector.sources.days import parse_days
from connector.sources.profiles import parse_profiles
from tests.fakes.posture import simulated, whole
from tests.shared_data import HEIMDALL_TENANT, shared_data

TENANT = "11111111-1111-1111-1111-111111111111"


def day(date: str, scores: Mapping[str, tuple[float | None, float | None]], **more: Any) -> Version:
    controls = {n: Control(n, "Identity", s, p) for n, (s, p) in scores.items()}
    score = round(sum(s or 0.0 for s, _ in scores.values()), 4)
    return Version(Day(f"{TENANT}_{date}", date, more.pop("score", score), 40.0, controls, **more), f"hash of {date}")


def profile(name: str, maximum: float | None = 10.0, cost: str = "", impact: str = "", **more: Any) -> Profile:
    return Profile(name, f"Title of {name}", max_score=maximum, implementation_cost=cost, user_impact=impact, **more)


def catalogue(*profiles: Profile) -> dict[str, Profile]:
    return {one.id: one for one in profiles}


def actions(newest: Version, profiles: Mapping[str, Profile] | None, earlier: Sequence[Version] = ()) -> list[Action]:
    return list(advise(newest, profiles, earlier).actions)


# --------------------------------------------------------------------------------------------- which controls, how much


def test_every_control_that_lacks_points_is_an_action_once() -> None:
    newest = day("2026-11-22", {"Full": (10.0, 100.0), "Half": (5.0, 50.0), "None": (0.0, 0.0), "Odd": (None, None)})
    profiles = catalogue(*(profile(n) for n in ("Full", "Half", "None", "Odd", "Unscored")))
    found = advise(newest, profiles)
    assert [(a.control, a.points) for a in found.actions] == [("None", 10.0), ("Half", 5.0), ("Odd", None)]
    assert (found.to_win, found.not_scored) == (None, 1)
    assert found.actions[0].share_percent == 25.0


def test_a_control_of_which_nothing_is_left_to_win_is_no_action() -> None:
    newest = day("2026-11-22", {"Rounded": (10.0, 99.99), "Over": (11.0, 99.0), "Nothing": (0.0, 0.0)})
    assert actions(newest, catalogue(profile("Rounded"), profile("Over"), profile("Nothing", 0.0))) == []


def test_without_a_catalogue_only_the_day_speaks() -> None:
    found = advise(day("2026-11-22", {"Half": (5.0, 50.0), "None": (0.0, 0.0)}), None)
    half, none = found.actions
    assert (half.control, half.title, half.points, half.max_score) == ("Half", "Half", 5.0, 10.0)
    assert (none.control, none.points, none.cost, none.impact, none.url) == ("None", None, NOT_STATED, NOT_STATED, None)
    assert (found.score.asserted, found.score.measured) == (None, None)


# ------------------------------------------------------------------------------------------------------ group and order


@pytest.mark.parametrize(
    ("cost", "impact", "group"),
    [
        ("Low", "Low", "quick_win"),
        ("Low", "None", "quick_win"),
        ("Low", "", "other"),  # what is not stated is not taken to be low
        ("Low", "Unknown", "other"),
        ("Unknown", "Unknown", "other"),
        ("", "", "other"),
        ("Medium", "Unknown", "project"),
        ("Low", "Moderate", "project"),
        ("High", "High", "project"),
    ],
)
def test_cost_and_impact_decide_the_group_as_microsoft_states_them(cost: str, impact: str, group: str) -> None:
    (one,) = actions(day("2026-11-22", {"A": (0.0, 0.0)}), catalogue(profile("A", 10.0, cost, impact)))
    assert one.group == group
    assert one.cost == (NOT_STATED if cost in ("", "Unknown") else cost)
    assert one.impact == (NOT_STATED if impact in ("", "Unknown") else impact)


def test_quick_wins_come_first_then_points_per_effort_then_what_cannot_simply_be_done() -> None:
    held = (StateUpdate("Ignored", "2026-01-05T10:00:00Z", "mallory@example.org", "a printer needs it", "facility"),)
    profiles = catalogue(
        profile("Asserted", 10.0, "Low", "Low", updates=held),
        profile("AATP_Sensor", 9.0, "Low", "Low", service="Azure ATP"),
        profile("Small", 1.0, "Low", "Low"),
        profile("Heavy", 8.0, "High", "High"),  # 8 points for 6
        profile("Silent", 8.0),  # 8 for 4
        profile("Medium", 5.0, "Medium", "Low"),  # 5 for 3
        profile("Ranked", 5.0, "Low", "Medium", rank=3),  # the same, but Microsoft ranks it
    )
    newest = day("2026-11-22", dict.fromkeys(profiles, (0.0, 0.0)), services=("HasAADP1",))
    found = actions(newest, profiles)
    assert [(a.control, a.group) for a in found] == [
        ("Small", "quick_win"),
        ("Silent", "other"),
        ("Ranked", "project"),
        ("Medium", "project"),
        ("Heavy", "project"),
        ("AATP_Sensor", "licence"),
        ("Asserted", "asserted"),
    ]
    assert found[-2].licences == ("HasAATP",)
    declared = found[-1].declared
    assert declared is not None
    assert (declared.state, declared.portal, declared.by) == ("Ignored", "Risk accepted", "mallory@example.org")
    assert (declared.at, declared.comment, declared.assigned_to) == (
        "2026-01-05T10:00:00Z",
        "a printer needs it",
        "facility",
    )


@pytest.mark.parametrize(
    ("services", "scores", "needs"),
    [
        (("HasAADP1",), {"AATP_A": 0.0, "AATP_B": 0.0}, {"AATP_A", "AATP_B"}),
        (("HasAADP1",), {"AATP_A": 0.0, "AATP_B": 2.0}, set()),  # points prove that the product works
        (("HasAATP",), {"AATP_A": 0.0}, set()),
        (("HasM365E5",), {"AATP_A": 0.0}, set()),
        ((), {"AATP_A": 0.0}, set()),  # an empty list says nothing
    ],
)
def test_a_licence_is_missing_only_where_nothing_speaks_for_it(
    services: tuple[str, ...], scores: dict[str, float], needs: set[str]
) -> None:
    newest = day("2026-11-22", {n: (s, 10 * s) for n, s in scores.items()}, services=services)
    assert set(missing(newest.day, {n: Profile(n, n, service="Azure ATP") for n in scores})) == needs


# --------------------------------------------------------------------------------------------------------- open since


def open_since(earlier: Mapping[str, tuple[float | None, float | None] | None]) -> tuple[str, bool]:
    """Of a control that is open on 2026-11-22; `earlier` is what known days said of it, None where they lacked it."""
    days = [day(date, {} if said is None else {"A": said}) for date, said in sorted(earlier.items(), reverse=True)]
    (one,) = actions(day("2026-11-22", {"A": (0.0, 0.0)}), catalogue(profile("A")), days)
    return one.since, one.since_exact


@pytest.mark.parametrize(
    ("earlier", "since", "exact"),
    [
        ({}, "2026-11-22", False),
        ({"2026-11-21": (0.0, 0.0), "2026-11-20": (3.0, 30.0)}, "2026-11-20", False),  # and perhaps before
        ({"2026-11-21": (0.0, 0.0), "2026-11-20": (10.0, 100.0)}, "2026-11-21", True),
        ({"2026-11-21": (10.0, 100.0), "2026-11-20": (0.0, 0.0)}, "2026-11-22", True),  # full in between
        ({"2026-11-21": (0.0, 0.0), "2026-11-20": None}, "2026-11-21", True),  # it was not there yet
        ({"2026-11-21": (0.0, 0.0), "2026-11-20": (None, None)}, "2026-11-21", False),  # nobody knows
        ({"2026-11-01": (0.0, 0.0), "2026-10-20": (10.0, 100.0)}, "2026-11-01", True),  # days between are missing
    ],
)
def test_open_since_goes_back_as_far_as_days_are_known(
    earlier: dict[str, tuple[float | None, float | None] | None], since: str, exact: bool
) -> None:
    assert open_since(earlier) == (since, exact)


def test_open_since_agrees_with_every_single_day_of_a_tenant() -> None:
    memory = simulated().memory
    assert memory.newest is not None
    versions = memory.versions()
    earlier = [v for _, v in sorted(versions.items(), reverse=True) if v is not memory.newest]
    found = advise(memory.newest, memory.profiles, earlier).actions
    assert {a.since for a in found} > {min(versions)}
    for one in found:
        run = [d for d in versions if d >= one.since]
        profile_of = (memory.profiles or {}).get(one.control)
        assert not any(diff.is_full(versions[d].day.controls[one.control], profile_of) for d in run)
        if one.since_exact:
            before = versions[max(d for d in versions if d < one.since)].day.controls.get(one.control)
            assert before is None or diff.is_full(before, profile_of)
        else:
            assert one.since == min(versions)


# ------------------------------------------------------------------------------------------------------------- what if


def test_what_if_says_score_percent_and_targets() -> None:
    newest = day("2026-11-22", {"A": (2.5, 25.0), "B": (0.0, 0.0), "Full": (10.0, 100.0)})
    wanted = TargetsConfig(percent_min=50.0, measured_percent_min=60.0, drop_points=5.0, controls=("A", "B"))
    found = advise(newest, catalogue(profile("A"), profile("B", 8.0), profile("Full")), (), wanted, ["a", "Full"])
    assert [(t.kind, t.control, t.value, t.met) for t in found.targets] == [
        ("percent_min", None, 31.25, False),
        ("measured_percent_min", None, 31.25, False),
        ("control", "A", 2.5, False),
        ("control", "B", 0.0, False),
    ]
    then = found.what_if
    assert then is not None
    assert (then.controls, then.points, then.score, then.percent) == (("A", "Full"), 7.5, 20.0, 50.0)
    assert [(t.kind, t.control, t.value, t.met) for t in then.targets] == [
        ("percent_min", None, 50.0, True),
        ("measured_percent_min", None, 50.0, False),
        ("control", "A", 10.0, True),
        ("control", "B", 0.0, False),
    ]


def test_points_that_nobody_knows_make_the_sum_unknown() -> None:
    newest = day("2026-11-22", {"A": (0.0, 0.0), "B": (0.0, 0.0)})
    then = advise(newest, catalogue(profile("A")), (), TargetsConfig(percent_min=50.0), ["A", "B"]).what_if
    assert then is not None
    assert (then.points, then.score, then.percent, then.undetermined) == (None, None, None, ("B",))
    assert [t.met for t in then.targets] == [None]


def test_an_unknown_name_comes_back_with_those_that_come_near() -> None:
    newest = day("2026-11-22", dict.fromkeys(("AdminMFAV2", "adminmfav2", "MFARegistrationV2"), (0.0, 0.0)))
    then = advise(
        newest, None, (), TargetsConfig(), ["AdminMFA", "ADMINMFAV2", "mfaregistrationv2", "zzz", "zzz"]
    ).what_if
    assert then is not None
    assert then.controls == ("MFARegistrationV2",)
    assert then.unknown == (
        Unknown("AdminMFA", ("AdminMFAV2",)),
        Unknown("ADMINMFAV2", ("AdminMFAV2", "adminmfav2")),  # which of the two?
        Unknown("zzz", ()),
    )


HUNDREDTHS = st.integers(0, 1000)


@given(
    st.dictionaries(st.sampled_from("ABCDEFGH"), st.tuples(HUNDREDTHS, st.integers(1, 10)), min_size=1),
    st.sets(st.sampled_from("ABCDEFGH")),
    st.integers(-500, 500),
)
def test_what_if_equals_a_recomputation_from_the_controls(
    controls: dict[str, tuple[int, int]], chosen: set[str], residual: int
) -> None:
    """In hundredths, by whole numbers: nothing of the code under test."""
    rows = {n: (min(points, 100 * most), most) for n, (points, most) in controls.items()}
    scores = {n: (points / 100, float(Fraction(points, most))) for n, (points, most) in rows.items()}
    total = sum(points for points, _ in rows.values()) + residual
    newest = day("2026-11-22", scores, score=total / 100)
    then = advise(
        newest, catalogue(*(profile(n, float(m)) for n, (_, m) in rows.items())), (), TargetsConfig(), sorted(chosen)
    ).what_if
    if not chosen:
        assert then is None
        return
    assert then is not None
    won = sum(100 * rows[n][1] - rows[n][0] for n in chosen & rows.keys())
    assert (then.points, then.score) == (won / 100, (total + won) / 100)
    assert then.percent == round((total + won) / 40.0, 4) + 0.0
    assert {u.name for u in then.unknown} == chosen - rows.keys()


# ------------------------------------------------------------------------------------------- one question, one answer


def test_everything_full_is_the_maximum_of_a_consistent_day() -> None:
    memory = simulated().memory
    assert memory.newest is not None
    newest = memory.newest
    found = advise(newest, memory.profiles, (), TargetsConfig(), list(newest.day.controls))
    assert found.what_if is not None
    assert found.what_if.score == found.score.max
    assert found.what_if.percent == 100.0
    assert found.to_win == found.what_if.points == diff.rounded((newest.day.max_score or 0) - (newest.day.score or 0))


def test_the_report_and_the_advice_name_the_same_figures() -> None:
    material = simulated()
    memory = material.memory
    assert memory.newest is not None
    found = advise(memory.newest, memory.profiles)
    told = build.build(material, whole(material)).summary
    score = found.score
    assert (score.current, score.max, score.percent) == (told.score, told.max_score, told.percent)
    assert (score.measured, score.asserted) == (told.measured, told.asserted)
    assert len(found.actions) == totals.of_day(memory.newest, memory.profiles)["controls"]["total"] - sum(
        c.percent is not None and c.percent >= 100 for c in memory.newest.day.controls.values()
    )


def test_the_order_holds_for_many_units_as_for_one() -> None:
    memory = simulated().memory
    assert memory.newest is not None
    found = actions(memory.newest, memory.profiles)
    assert sorted([*found, *found], key=order) == [one for one in found for _ in range(2)]
    assert [a.control for a in found] == list(dict.fromkeys(a.control for a in found))


def test_a_real_tenant() -> None:
    """68 scored controls of which the first page of the catalogue knows 41: 146 points are open."""
    days = json.loads(shared_data("heimdall2_secureScore.json").read_text("utf-8"))["value"]
    page = json.loads(shared_data("heimdall2_profiles.json").read_text("utf-8"))["value"]
    (newest,) = parse_days(days, HEIMDALL_TENANT, "days", "2024-01-02")
    profiles = dict(parse_profiles(page, HEIMDALL_TENANT, "profiles").profiles)
    found = advise(Version(newest, ""), profiles)
    assert (found.score.current, found.score.max, found.score.percent) == (128.0, 274.0, 46.7153)
    assert len(found.actions) == 40
    assert found.to_win is None  # the rest of the catalogue is on a page that the capture lacks
    rest = json.loads(shared_data("mssat_SecureScore-API-Controls.json").read_text("utf-8"))
    for row in rest:
        profiles.setdefault(row["Id"], Profile(row["Id"], row["Title"], max_score=float(row["MaxScore"])))
    found = advise(
        Version(newest, ""),
        profiles,
        (),
        TargetsConfig(percent_min=50.0),
        ["IntegratedApps", "mdo_phishthresholdlevel"],
    )
    assert found.to_win == 146.0
    assert sum(a.points or 0.0 for a in found.actions) == 146.0
    assert [a.control for a in found.actions if a.group == "licence"] == ["AATP_DefenderForIdentityIsNotInstalled"]
    assert found.what_if is not None
    assert (found.what_if.score, found.what_if.percent) == (140.0, 51.0949)
    assert [t.met for t in found.what_if.targets] == [True]


def test_a_state_that_nobody_can_tell_is_no_declaration() -> None:
    doubtful = (StateUpdate("Ignored", "2026-01-05T10:00:00Z"), StateUpdate("Default", None, at_unusable=True))
    (one,) = actions(day("2026-11-22", {"A": (0.0, 0.0)}), catalogue(profile("A", updates=doubtful)))
    assert (one.state, one.declared, one.group) == ("unknown", None, "other")
    (one,) = actions(
        day("2026-11-22", {"A": (0.0, 0.0)}), catalogue(evolve(profile("A"), updates=(StateUpdate("Planned"),)))
    )
    assert (one.state, one.declared) == ("Planned", None)
