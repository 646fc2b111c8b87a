"""The simulated tenants: figures, invariants and habits of the real service, deterministic by seed."""

import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connector.simulator.catalogue import Churn, entries
from connector.simulator.tenants import CORE_IDENTITY, DAY, Update
from connector.simulator.world import HISTORY_DAYS, View, World, points_delay_minutes

START = date(2026, 6, 1)
NOON = datetime(2026, 9, 10, 12, tzinfo=UTC)  # 101 days after the start: history is full
CAPTURES = Path(__file__).parents[3] / "shared" / "data"


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {control["controlName"]: control for control in document["controlScores"]}


def closed(world: World, tenant_id: str, day: int) -> dict[str, Any]:
    """The document of a day as history keeps it."""
    views = world.views(tenant_id, world.start + timedelta(days=day + 1, hours=23))
    return world.score_document(tenant_id, next(v for v in views if v.day == day))


# ---------------------------------------------------------------------------------------------------------- catalogue


def test_catalogue_has_the_figures_of_the_captured_one() -> None:
    current = [e for e in entries() if not e.retired]
    assert len(current) == 411
    assert sum(e.max_score for e in current) == 2276
    assert Counter(e.category for e in current) == {"Apps": 181, "Device": 153, "Identity": 73, "Data": 4}
    assert Counter(e.family for e in current) == {
        "scid": 153, "MDA": 103, "AATP": 62, "mdo": 38, "": 13, "aad": 10, "exo": 8, "meeting": 6, "mip": 6,
        "spo": 5, "AppG": 2, "admincenter": 1, "dlp": 1, "forms": 1, "mcas": 1, "sway": 1,
    }  # fmt: skip
    assert {e.id for e in current} >= {"mdo_phisspamacation", "scid_2010", "AdminMFAV2", "aad_phishing_MFA_strength"}
    assert {e.id for e in entries() if e.retired} >= {
        "McasCutomActivityPolicy",
        "intune_conection_from_jail_broken_rooted_devices",
    }
    assert all(e.title and len(e.title) <= 125 and 1 <= e.max_score <= 10 for e in entries())


def test_titles_are_not_unique() -> None:
    assert max(Counter(e.title for e in entries()).values()) > 1


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captured responses are not beside this checkout")
def test_ids_are_the_captured_ones_and_words_are_not() -> None:
    captured = json.loads((CAPTURES / "mssat_SecureScore-API-Controls.json").read_text("utf-8"))
    older = json.loads((CAPTURES / "heimdall2_profiles.json").read_text("utf-8"))["value"]
    assert {e.id for e in entries()} == {c["Id"] for c in captured} | {p["id"] for p in older}
    theirs = {c["Title"].strip().casefold() for c in captured} | {p["title"].strip().casefold() for p in older}
    assert not theirs & {e.title.casefold() for e in entries()}


def test_catalogue_changes_monthly_and_keeps_its_size() -> None:
    churn = Churn(7)
    versions = {v.number: v for v in map(churn.version, range(2000))}
    assert all(churn.version(day).since_day <= day for day in range(2000))
    assert len(versions) > 60
    assert all(390 <= len(v.entries) <= 429 for v in versions.values())
    joined = [set(versions[n + 1].entries) - set(versions[n].entries) for n in range(12)]
    left = [set(versions[n].entries) - set(versions[n + 1].entries) for n in range(12)]
    edited = [
        n for n in range(12) if any(versions[n + 1].entries.get(i, e) != e for i, e in versions[n].entries.items())
    ]
    assert all(joined)
    assert any(left)
    assert edited


# -------------------------------------------------------------------------------------------------------- determinism


def test_same_seed_same_bytes_in_whatever_order_one_asks() -> None:
    one, other = World(7, 3, START), World(7, 3, START, lives_kept=1)
    ids = [who.id for who in one.tenants]
    far = NOON + timedelta(days=400)
    for tenant_id in ids:
        other.score_documents(tenant_id, far, 3)  # a world that has already lived longer says the same of the past
    for tenant_id in reversed(ids):
        assert json.dumps(one.score_documents(tenant_id, NOON)) == json.dumps(other.score_documents(tenant_id, NOON))
        assert json.dumps(one.profiles(tenant_id, NOON)) == json.dumps(other.profiles(tenant_id, NOON))


def test_another_seed_is_another_world() -> None:
    one, other = World(7, 1, START), World(8, 1, START)
    assert one.tenants[0].id != other.tenants[0].id
    scores = [[d["currentScore"] for d in w.score_documents(w.tenants[0].id, NOON)] for w in (one, other)]
    assert scores[0] != scores[1]


def test_a_tenant_does_not_depend_on_how_many_there_are() -> None:
    assert World(7, 1, START).tenants[0] == World(7, 500, START).tenants[0]
    assert len({who.name for who in World(7, 500, START).tenants}) == 500


# --------------------------------------------------------------------------------------------------------- invariants


@pytest.mark.parametrize("number", range(4))
def test_sums_hold_in_every_document(number: int) -> None:
    world = World(7, 4, START)
    tenant_id = world.tenants[number].id
    for document in world.score_documents(tenant_id, NOON):
        assert re.fullmatch(rf"{tenant_id}_\d{{4}}-\d\d-\d\d", document["id"])
        assert document["createdDateTime"] == document["id"][-10:] + "T00:00:00Z"
        controls = document["controlScores"]
        assert len(controls) == len(by_name(document))
        assert round(sum(c["score"] for c in controls), 2) == document["currentScore"]
        for control in controls:
            assert 0 <= control["scoreInPercentage"] <= 100


@pytest.mark.parametrize("number", range(3))
def test_maximum_is_the_sum_of_the_profiles_that_are_scored(number: int) -> None:
    world = World(7, 3, START)
    tenant_id = world.tenants[number].id
    for day in range(0, 120, 5):
        now = world.start + timedelta(days=day, hours=12)
        newest = world.score_documents(tenant_id, now, 1)[0]
        maximum = {p["id"]: p["maxScore"] for p in world.profiles(tenant_id, now)}
        assert sum(maximum[name] for name in by_name(newest)) == newest["maxScore"]
        for name, control in by_name(newest).items():
            assert control["score"] == round(maximum[name] * control["scoreInPercentage"] / 100, 2)
            assert control["scoreInPercentage"] == round(100 * control["score"] / maximum[name], 2)
            if name.startswith("scid_") and control["state"] == "default":
                total = int(control["total"])
                compliant = total - int(control["count"])
                assert control["score"] == round(maximum[name] * compliant / total, 2)


def test_sizes_are_those_of_real_tenants() -> None:
    world = World(7, 30, START)
    bounds = {"e5": (185, 265), "mid": (100, 140), "small": (50, 70)}
    for who in world.tenants:
        low, high = bounds[who.size]
        assert low <= len(world.score_documents(who.id, NOON, 1)[0]["controlScores"]) <= high
    assert 400 <= len(world.profiles(world.tenants[0].id, NOON)) <= 429


# ------------------------------------------------------------------------------------------------ newest and history


def test_history_is_stripped_and_the_newest_document_is_not() -> None:
    world = World(7, 1, START, missing=0)
    newest, *history = world.score_documents(world.tenants[0].id, NOON)
    assert all(c["lastSynced"] for c in newest["controlScores"])
    assert {"on", "count", "total", "state"} <= {key for c in newest["controlScores"] for key in c}
    assert any(c["description"] for c in newest["controlScores"])
    for document in history:
        for control in document["controlScores"]:
            assert set(control) == {
                "controlCategory", "controlName", "description", "score", "implementationStatus", "scoreInPercentage",
            }  # fmt: skip
            assert control["description"] is None
            assert not re.search(r"[1-9]", control["implementationStatus"])


def test_a_closing_day_keeps_its_last_scores() -> None:
    world = World(7, 3, START, missing=0)
    for who in world.tenants:
        late = world.start + timedelta(days=95, hours=23, minutes=59)
        evening = world.score_documents(who.id, late, 1)[0]
        kept = next(d for d in world.score_documents(who.id, late + timedelta(days=1)) if d["id"] == evening["id"])
        assert kept["currentScore"] == evening["currentScore"]
        assert {n: (c["score"], c["scoreInPercentage"]) for n, c in by_name(kept).items()} == {
            n: (c["score"], c["scoreInPercentage"]) for n, c in by_name(evening).items()
        }


def test_the_newest_day_is_rewritten_but_not_at_every_minute() -> None:
    world = World(7, 1, START, missing=0)
    tenant_id = world.tenants[0].id
    changed = 0
    for day in range(95, 125):
        morning, evening = (
            world.score_documents(tenant_id, world.start + timedelta(days=day, hours=hour), 1)[0] for hour in (6, 22)
        )
        assert morning["id"] == evening["id"]
        changed += morning["currentScore"] != evening["currentScore"]
    assert changed > 5
    versions = {
        json.dumps(world.score_documents(tenant_id, NOON.replace(hour=0) + timedelta(minutes=m), 1)[0])
        for m in range(181, 1440, 10)
    }
    assert 2 <= len(versions) <= 8


def test_history_ends_after_90_days() -> None:
    world = World(7, 1, START, missing=0)
    tenant_id = world.tenants[0].id
    assert [v.day for v in world.views(tenant_id, NOON)] == list(range(101, 101 - HISTORY_DAYS, -1))
    assert len(world.score_documents(tenant_id, NOON, 400)) == HISTORY_DAYS
    assert len(world.score_documents(tenant_id, world.start + timedelta(days=3, hours=12))) == 4
    assert world.score_documents(tenant_id, world.start - timedelta(days=2)) == []


def test_missing_days_stay_away_or_come_late() -> None:
    world = World(7, 1, START, missing=0.3)
    tenant_id = world.tenants[0].id
    seen = {
        day: {v.day for v in world.views(tenant_id, world.start + timedelta(days=day, hours=12))} for day in range(150)
    }
    days = range(90, 140)
    punctual = {day for day in days if day in seen[day]}
    late = {day for day in days if day not in seen[day] and day in seen[day + 3]}
    never = {day for day in days if day not in seen[day + 9]}
    assert len(punctual) > 25
    assert late
    assert never
    assert punctual | late | never == set(days)


# ------------------------------------------------------------------------------------------------------- daily habits


def test_the_total_drifts_a_little_on_most_days() -> None:
    world = World(7, 4, START, missing=0)
    scores = [d["currentScore"] for d in world.score_documents(world.tenants[3].id, NOON)]
    moves = sorted(abs(a - b) for a, b in pairwise(scores))
    assert 0.05 < moves[len(moves) // 2] < 1.0
    assert sum(move == 0 for move in moves) < 20


def drops(world: World, tenant_id: str, days: int) -> list[int]:
    """Days on which a core identity control lost at least 3 points against the day before."""
    found = []
    before: dict[str, dict[str, Any]] = {}
    for day in range(days):
        now = by_name(closed(world, tenant_id, day))
        if any(n in before and before[n]["score"] - now[n]["score"] >= 3 for n in CORE_IDENTITY if n in now):
            found.append(day)
        before = now
    return found


def test_any_week_of_the_default_world_has_something_to_explain() -> None:
    world = World(start=START, missing=0)
    found = drops(world, world.tenants[0].id, 200)
    gaps = [b - a for a, b in zip([0, *found], [*found, 200], strict=True)]
    assert max(gaps) <= 7


def test_any_90_days_of_any_tenant_have_a_regression() -> None:
    world = World(7, 4, START, missing=0)
    for who in world.tenants[1:]:
        found = drops(world, who.id, 200)
        assert max(b - a for a, b in zip([0, *found], [*found, 200], strict=True)) <= 90


def test_announced_incidents_happen() -> None:
    world = World(7, 1, START, missing=0)
    tenant_id = world.tenants[0].id
    announced = world.incidents(tenant_id, NOON, NOON + timedelta(days=30))
    assert len(announced) >= 5
    for moment, name in announced:
        before = by_name(world.score_documents(tenant_id, moment - timedelta(minutes=1), 1)[0])[name]
        after = by_name(world.score_documents(tenant_id, moment + timedelta(hours=15), 1)[0])[name]
        assert after["score"] <= before["score"] - 3
        assert int(after["count"]) < int(before["count"])


def test_devices_come_and_go() -> None:
    world = World(7, 1, START)
    fleets = set()
    for day in range(100, 130):
        newest = world.score_documents(world.tenants[0].id, world.start + timedelta(days=day, hours=12), 1)[0]
        fleets.add(by_name(newest)["scid_2010" if "scid_2010" in by_name(newest) else "scid_2012"]["total"])
    assert len(fleets) > 5


def test_teams_is_looked_at_monthly_and_entra_weekly() -> None:
    world = World(7, 1, START, missing=0)
    teams, entra = set(), set()
    for day in range(100, 160):
        now = world.start + timedelta(days=day, hours=20)
        newest = by_name(world.score_documents(world.tenants[0].id, now, 1)[0])
        teams.add(newest["meeting_designatedpresenter_v1"]["lastSynced"])
        synced = datetime.fromisoformat(newest["UserRiskPolicy"]["lastSynced"])
        entra.add(synced)
        assert now - timedelta(days=7, hours=12) <= synced <= now
    assert 2 <= len(teams) <= 3
    assert 8 <= len(entra) <= 30


def test_averages_move_daily_and_are_unknown_at_times() -> None:
    world = World(7, 1, START, missing=0)
    averages = [closed(world, world.tenants[0].id, day)["averageComparativeScores"] for day in range(150)]
    present = [a for a in averages if a]
    assert len(present) < len(averages)
    assert len({a[0]["averageScore"] for a in present}) > 50
    assert any(a[1]["averageScore"] == -1.0 and a[1]["identityScoreMax"] == -1.0 for a in present)
    assert all(isinstance(a[1]["SeatSizeRangeLowerValue"], str) for a in present)


def test_licences_come_and_go_with_their_controls() -> None:
    world = World(7, 6, START, missing=0)
    seen = 0
    for who in world.tenants:
        documents = [closed(world, who.id, day) for day in range(0, 300, 10)]
        for before, after in pairwise(documents):
            gone = set(before["enabledServices"]) ^ set(after["enabledServices"])
            if gone:
                seen += 1
                assert set(by_name(before)) != set(by_name(after))
    assert seen >= 3


def test_the_catalogue_reaches_the_score() -> None:
    """New controls enter the score with their profile, retired ones vanish from both."""
    world = World(7, 1, START, missing=0)
    names = [set(by_name(closed(world, world.tenants[0].id, day))) for day in range(0, 300, 20)]
    assert any(after - before for before, after in pairwise(names))
    assert any(before - after for before, after in pairwise(names))


def test_connected_apps_have_ids_with_their_instance() -> None:
    world = World(7, 1, START)
    tenant_id = world.tenants[0].id
    scored = by_name(world.score_documents(tenant_id, NOON, 1)[0])
    instance = [name for name in scored if re.match(r"\d+\.MDA_", name)]
    profiles = {p["id"]: p for p in world.profiles(tenant_id, NOON)}
    assert instance
    for name in instance:
        assert profiles[name]["title"] == profiles[name.partition(".")[2]]["title"]


def test_self_service_reset_has_a_total_of_zero_in_small_tenants() -> None:
    world = World(7, 3, START)
    control = by_name(world.score_documents(world.tenants[2].id, NOON, 1)[0])["SelfServicePasswordReset"]
    assert (control["count"], control["total"], control["scoreInPercentage"]) == ("0", "0", 100.0)


# -------------------------------------------------------------------------------------------------------------- states


def test_states_were_asserted_by_named_accounts_with_comments() -> None:
    world = World(7, 12, START)
    updates = [u for who in world.tenants for h in world.asserted(who.id, NOON).values() for u in h]
    assert {"Ignored", "ThirdParty", "Default"} <= {u.state for u in updates}
    profiles = world.profiles(world.tenants[0].id, NOON)
    histories = {p["id"]: p["controlStateUpdates"] for p in profiles}
    touched = {name: history for name, history in histories.items() if len(history) > 1}
    assert touched
    assert all("@" in entry["updatedBy"] for history in touched.values() for entry in history[1:])
    assert any(history == [] for history in histories.values())
    assert any(name.startswith("scid_") for name in touched)


@pytest.mark.parametrize(("state", "full"), [("ThirdParty", True), ("Reviewed", True), ("Ignored", False)])
def test_points_follow_an_assertion_after_hours(state: str, full: bool) -> None:
    world = World(7, 1, START, missing=0)
    tenant_id = world.tenants[0].id
    newest = by_name(world.score_documents(tenant_id, NOON, 1)[0])
    touched = world.asserted(tenant_id, NOON + timedelta(days=9))
    name = next(
        n for n, c in newest.items() if c["score"] == 0 and n not in touched and c.get("on") == "false" and "." not in n
    )
    world.set_state(tenant_id, name, Update(world.minute(NOON), state, "a@b.example", "why", ""))
    later = NOON + timedelta(minutes=points_delay_minutes(name) + DAY // 2)
    at_once = by_name(world.score_documents(tenant_id, NOON + timedelta(minutes=1), 1)[0])[name]
    after = by_name(world.score_documents(tenant_id, later, 1)[0])[name]
    assert at_once["score"] == 0
    assert (after["scoreInPercentage"] == 100) is full
    history = next(p for p in world.profiles(tenant_id, later) if p["id"] == name)["controlStateUpdates"]
    assert history[-1]["state"].casefold() == state.casefold()
    assert history[-1]["comment"] == "why"


# ------------------------------------------------------------------------------------------------------------- bounds


def test_only_a_bounded_number_of_tenants_is_remembered() -> None:
    world = World(7, 10_000, START, lives_kept=8)
    for who in world.tenants[:40]:
        world.score_documents(who.id, NOON, 2)
    assert len(world._lives) <= 8


def test_an_unknown_tenant_is_a_key_error() -> None:
    world = World(7, 1, START)
    assert world.tenant("nobody") is None
    with pytest.raises(KeyError):
        world.score_documents("nobody", NOON)


def test_views_name_what_a_document_depends_on() -> None:
    """Equal views give equal documents: caches rely on it."""
    world = World(7, 1, START)
    tenant_id = world.tenants[0].id
    (first, *_), (second, *_) = world.views(tenant_id, NOON), world.views(tenant_id, NOON + timedelta(minutes=1))
    assert first == second == View(first.day, first.minute, detailed=True)
