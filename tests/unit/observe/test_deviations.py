"""Deviations from the baseline: told once when they begin and once when they end, as a simple model has it."""

from collections.abc import Mapping
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.config.values import BaselineConfig, Declared, Excuse, Floor, Forbidden, TargetsConfig
from connector.ids import event_id
from connector.model import Change, Control, Day, Profile, Snapshot, StateUpdate, Version
from connector.observe import baseline, deviations
from connector.observe.fold import Rules, observe
from connector.observe.memory import Memory

TENANT = "11111111-1111-1111-1111-111111111111"
NAMES = ("AdminMFAV2", "OneAdmin", "Gateway")
STATES = ("Default", "Ignored", "ThirdParty", "Reviewed")
FIRST = date(2026, 11, 1)


def profile(name: str, state: str, at: int = 0) -> Profile:
    entry = StateUpdate(state, f"2026-11-01T00:00:{at:02d}Z", "alex", "because")
    updates = () if state == "Default" else (entry,)
    return Profile(
        id=name,
        title=name,
        category="Identity",
        service="AzureAD",
        tier="Core",
        action_type="Config",
        action_url="",
        max_score=10.0,
        rank=1,
        user_impact="Low",
        implementation_cost="Low",
        threats=(),
        deprecated=False,
        remediation_sha256="",
        remediation_impact_sha256="",
        updates=updates,
    )


def day(number: int, scores: Mapping[str, float]) -> Day:
    controls = {name: Control(name, "Identity", score, 10 * score) for name, score in scores.items()}
    text = (FIRST + timedelta(days=number)).isoformat()
    return Day(f"{TENANT}_{text}", text, sum(scores.values()), 10.0 * len(scores), controls)


def version(number: int, scores: Mapping[str, float]) -> Version:
    return Version(day(number, scores), f"h{number}{sorted(scores.items())}")


def kinds(told: list[Change]) -> list[tuple[str, str, str | None]]:
    return [(c.type.removeprefix("posture.target_"), c.subject, c.data["target"]["ended"]) for c in told]


ASKED = BaselineConfig(
    full={"adminmfav2": "gold"},
    declared=(Declared("Gateway", "ThirdParty", "gateway X", "gold"),),
    forbidden=(Forbidden(("*",), ("Ignored",), "no", "all"),),
    floors={"percent_min": Floor(50.0, "all")},
)


def test_each_kind_is_told_when_it_begins_and_when_it_is_met() -> None:
    missed: dict[str, float] = {}
    bad = {"OneAdmin": profile("OneAdmin", "Ignored"), "Gateway": profile("Gateway", "Default")}
    low = {"AdminMFAV2": 4.0, "OneAdmin": 0.0, "Gateway": 0.0}
    told = deviations.crossings(ASKED, missed, bad, version(0, low))
    assert kinds(told) == [
        ("missed", "percent_min", None),
        ("missed", "AdminMFAV2", None),
        ("missed", "Gateway", None),
        ("missed", "OneAdmin", None),
    ]
    assert [c.data["summary"] for c in told] == [
        "Baseline missed: 13.3333 % against at least 50.0 % (standard all)",
        "Baseline missed: AdminMFAV2 has 4.0 of 10.0 points (standard gold)",
        "Baseline missed: Gateway is To address, not Resolved through third party (standard gold)",
        "Baseline missed: OneAdmin is Risk accepted (standard all)",
    ]
    assert deviations.crossings(ASKED, missed, bad, version(1, low)) == [], "once"
    good = {"OneAdmin": profile("OneAdmin", "Default"), "Gateway": profile("Gateway", "ThirdParty")}
    told = deviations.crossings(ASKED, missed, good, version(2, {**low, "AdminMFAV2": 10.0, "OneAdmin": 10.0}))
    assert [(c.type, c.data["target"]["ended"]) for c in told] == [("posture.target_met", "met")] * 4
    assert missed == {}


def test_a_control_that_is_full_by_measurement_needs_no_word() -> None:
    judged = baseline.judge(ASKED, {"Gateway": profile("Gateway", "Default")}, version(0, {"Gateway": 10.0}))
    assert [(one.kind, one.met) for one in judged if one.control] == [("baseline_declared", True)]


def test_an_exception_counts_up_to_its_last_day() -> None:
    excused = BaselineConfig(full={"AdminMFAV2": "gold"}, excuses=(Excuse(("admin*",), "2026-11-02", "ticket 1"),))
    missed: dict[str, float] = {}
    low = {"AdminMFAV2": 4.0}
    assert deviations.crossings(BaselineConfig(full=excused.full), missed, {}, version(0, low)) != []
    told = deviations.crossings(excused, missed, {}, version(1, low))
    assert kinds(told) == [("met", "AdminMFAV2", "excused")]
    assert told[0].data["target"]["excused_until"] == "2026-11-02"
    assert told[0].data["direction"] == "unchanged"
    again = deviations.crossings(excused, missed, {}, version(2, low))
    assert kinds(again) == [("missed", "AdminMFAV2", None)]
    assert again[0].data["target"]["excused_until"] == "2026-11-02", "of the exception that is over"


@pytest.mark.parametrize(
    ("asked", "why"),
    [(None, "not_asked"), (BaselineConfig(full={"OneAdmin": "gold"}), "not_asked"), (ASKED, "not_scored")],
)
def test_what_nobody_asks_for_or_can_meet_any_more_is_over(asked: BaselineConfig | None, why: str) -> None:
    missed = {"baseline_full:AdminMFAV2": 4.0}
    told = deviations.crossings(asked, missed, {}, version(0, {"OneAdmin": 10.0}))
    assert kinds(told) == [("met", "AdminMFAV2", why)]


def test_without_a_catalogue_nothing_is_said_of_states() -> None:
    missed = {"baseline_declared:Gateway": 0.0, "baseline_not_declared:OneAdmin": 0.0}
    assert deviations.crossings(ASKED, missed, None, version(0, {"OneAdmin": 10.0})) == []
    assert len(missed) == 2


def test_of_a_state_that_nobody_can_read_nothing_is_said() -> None:
    missed = {"baseline_declared:Gateway": 0.0, "baseline_not_declared:OneAdmin": 0.0}
    unknown = {name: profile(name, "unknown") for name in ("Gateway", "OneAdmin")}
    assert deviations.crossings(ASKED, missed, unknown, version(0, {"OneAdmin": 10.0})) == []
    assert deviations.crossings(ASKED, {}, unknown, version(0, {"OneAdmin": 10.0})) == []
    assert len(missed) == 2


def test_targets_of_a_tenants_own_are_left_alone() -> None:
    missed = {"percent_min:": 4.0, "control:OneAdmin": 1.0}
    assert deviations.crossings(None, missed, {}, version(0, {})) == []
    assert len(missed) == 2


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[int, dict[str, float], dict[str, str], BaselineConfig | None]:
    scores = {name: draw(st.sampled_from([0.0, 10.0])) for name in NAMES if draw(st.booleans())}
    states = {name: draw(st.sampled_from(STATES)) for name in NAMES}
    if draw(st.integers(0, 9)) == 0:
        return 0, scores, states, None
    asked = BaselineConfig(
        full={name: "s" for name in NAMES if draw(st.booleans())},
        declared=(Declared("Gateway", "ThirdParty", "c", "s"),) if draw(st.booleans()) else (),
        forbidden=(Forbidden(("*",), ("Ignored", "Reviewed"), "c", "s"),) if draw(st.booleans()) else (),
        floors={"percent_min": Floor(60.0, "s")} if draw(st.booleans()) else {},
        excuses=(Excuse(("one*",), "2026-11-04", "r"),) if draw(st.booleans()) else (),
    )
    return draw(st.integers(0, 2)), scores, states, asked


def modelled(
    now: str, scores: Mapping[str, float], states: Mapping[str, str], asked: BaselineConfig | None
) -> set[str]:
    """How a tenant deviates, said once more in the plainest words."""
    if asked is None:
        return set()
    found = {f"baseline_full:{n}" for n in asked.full if n in scores and scores[n] < 10}
    if asked.declared and states["Gateway"] != "ThirdParty":
        found |= (
            set() if states["Gateway"] == "Default" and scores.get("Gateway") == 10 else {"baseline_declared:Gateway"}
        )
    for name, state in states.items():
        if asked.forbidden and state in ("Ignored", "Reviewed") and not (name == "Gateway" and asked.declared):
            found.add(f"baseline_not_declared:{name}")
    if asked.floors and scores and 10 * sum(scores.values()) / len(scores) < 60:
        found.add("baseline_percent_min:")
    if asked.excuses and now <= "2026-11-04":
        found = {key for key in found if not key.endswith(":OneAdmin")}
    return found


@given(st.lists(_worlds(), max_size=8))
def test_transitions_are_the_differences_of_a_simple_model(
    worlds: list[tuple[int, dict[str, float], dict[str, str], BaselineConfig | None]],
) -> None:
    """Through the whole fold: the same controls, days that move on or are revised, rules and states that change."""
    memory, number, before, ids = Memory(), 0, set[str](), list[str]()
    for step, (ahead, points, declared, asked) in enumerate([(0, {}, {}, None), *worlds]):
        number += ahead
        states = {name: declared.get(name, "Default") for name in NAMES}
        scores = dict.fromkeys(NAMES, 10.0) | points
        catalogue = {name: profile(name, state, step) for name, state in states.items()}
        read = Snapshot(days=(day(number, scores),), catalogue=catalogue, source="graph", evidence=())
        rules = Rules(TENANT, targets=TargetsConfig(baseline=asked))
        seen = observe(memory, read, rules, f"2026-11-{20 + step:02d}T09:00:00Z")
        memory = seen.memory
        now = modelled(day(number, scores).day, scores, states, asked)
        told = [c for c in seen.changes if c.type.startswith("posture.")]
        begun = {_key(c) for c in told if c.type == "posture.target_missed"}
        ended = {_key(c) for c in told if c.type == "posture.target_met"}
        assert (begun, ended) == (now - before, before - now)
        assert {key for key in memory.targets if key.startswith(baseline.PREFIX)} == now
        assert [c for c in observe(memory, read, rules, "2026-11-29T09:00:00Z").changes if "posture" in c.type] == []
        ids += [event_id(TENANT, c.type, c.subject, c.before, c.after, c.occurrence) for c in told]
        before = now
    assert len(set(ids)) == len(ids), "each transition has an id of its own"


def _key(change: Change) -> str:
    target = change.data["target"]
    return f"{target['kind']}:{target['control'] or ''}"


def test_a_deviation_that_returns_within_a_day_has_an_id_of_its_own() -> None:
    memory, ids = Memory(), []
    read = Snapshot(days=(day(0, {"AdminMFAV2": 4.0}),), catalogue={}, source="graph", evidence=())
    for step in range(4):  # asked for, no longer, and again
        asked = None if step % 2 else BaselineConfig(full={"AdminMFAV2": "gold"})
        rules = Rules(TENANT, targets=TargetsConfig(baseline=asked))
        seen = observe(memory, read, rules, f"2026-11-01T{9 + step:02d}:00:00Z")
        memory = seen.memory
        told = [c for c in seen.changes if c.type.startswith("posture.")]
        ids += [event_id(TENANT, c.type, c.subject, c.before, c.after, c.occurrence) for c in told]
    assert len(ids) == len(set(ids)) == 4


def test_what_is_asked_anew_is_judged_though_no_byte_changed() -> None:
    head = deviations.noted({"newest": "2026-11-01"}, ASKED, {"baseline_full:A": 1.0, "percent_min:": 2.0})
    assert head["deviations"] == ["baseline_full:A"]
    assert not deviations.asked_anew(head, ASKED)
    assert deviations.asked_anew(head, None)
    assert deviations.noted(head, None, {}) == {"newest": "2026-11-01"}
