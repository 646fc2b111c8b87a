"""The simulated Azure beside the simulated Graph: who may ask, how subscriptions live, and what each fault does to a
reader: it never sees less than there is without being told.
"""

import json
import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.clock import SimulatedClock
from connector.errors import Denied, SecureScoreError
from connector.model import Absent, Day, Known, Reading, Snapshot, Unchanged
from connector.net.http import Response
from connector.simulator.bodies import Bodies
from connector.simulator.endpoint import AUDIENCES as ENDPOINT_AUDIENCES
from connector.simulator.endpoint import ROLE
from connector.simulator.estate import AWAY_EVERY, AWAY_FOR, AWAY_FROM, COMES_ON_DAY, MOVES_EVERY, RULES, Estate
from connector.simulator.faults import KINDS, OTHER_TENANT, Fault, Faults
from connector.simulator.resource_graph import PATH, QUERIES, Clouds
from connector.simulator.server import AUDIENCES, Caller, Simulation, plain_tokens
from connector.simulator.world import World
from connector.sources import resource_graph
from connector.sources.defender_cloud import SCORES, SUBSCRIPTIONS, DefenderCloudSource
from connector.sources.defender_endpoint import DefenderEndpointSource
from tests.conftest import examples
from tests.fakes.socketless import PlainToken, Socketless

START = date(2026, 6, 1)
NOON = datetime(2026, 9, 10, 12, tzinfo=UTC)
ARM = "https://management.azure.com"


def simulation(
    *faults: Fault, now: datetime = NOON, count: int | None = None, caller: Caller | None = None, seed: int = 7
) -> Simulation:
    world = World(seed, 1, START)
    clouds = Clouds(world, count, enforced=True)
    authenticate = plain_tokens if caller is None else lambda _: caller
    bodies = Bodies(world)
    return Simulation(world, SimulatedClock(now), Faults(faults), authenticate, None, bodies, clouds=clouds)


def tenant_of(sim: Simulation) -> str:
    return sim.world.tenants[0].id


class Jumping:
    """Nobody advances the simulated clock here: sleeping takes no time."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def now(self) -> datetime:
        found: datetime = self._clock.now()
        return found

    async def sleep(self, _seconds: float) -> None:
        return


def source(sim: Simulation, **options: Any) -> DefenderCloudSource:
    tenant = tenant_of(sim)
    given: dict[str, Any] = {"http": Socketless(sim), "base_url": "https://simulated", "tenant_id": tenant}
    given |= {"token": PlainToken(tenant), "clock": Jumping(sim.clock), "random": random.Random(1)}
    return DefenderCloudSource(**given | options)


async def post(sim: Simulation, query: str, **options: Any) -> tuple[Response, dict[str, Any]]:
    question = {"query": query, "options": {"$top": 1000, "resultFormat": "objectArray", **options}}
    token = await PlainToken(tenant_of(sim)).token()
    response = await Socketless(sim).request(
        "POST",
        f"https://simulated{PATH}?api-version=2024-04-01",
        headers={"Authorization": f"Bearer {token}"},
        body=json.dumps(question).encode(),
    )
    return response, json.loads(response.body)


def truth(sim: Simulation, minute: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """By subscription, its rows of scores and controls; only of those that have a score."""
    estate = sim.clouds.estate(tenant_of(sim))
    assert estate is not None
    minute = sim.world.minute(sim.clock.now()) if minute is None else minute
    found: dict[str, list[dict[str, Any]]] = {}
    for row in estate.score_rows(minute):
        found.setdefault(row["subscriptionId"], []).append(row)
    return {sub: rows for sub, rows in found.items() if rows[0]["properties"]["score"]}


def units_of(reading: Reading) -> dict[str, Snapshot]:
    assert isinstance(reading.units, tuple), reading.units
    return {snapshot.unit.id: snapshot for snapshot in reading.units if snapshot.unit}


def day_of(snapshot: Snapshot) -> Day:
    assert isinstance(snapshot.days, tuple)
    return snapshot.days[0]


def same(day: Day, rows: list[dict[str, Any]]) -> bool:
    """Whether a day says what a subscription's rows say."""
    (score, *controls) = (row["properties"] for row in rows)
    said = {row["name"]: row["properties"] for row in rows[1:]}
    return (
        (day.score, day.max_score, day.weight) == (score["score"]["current"], score["score"]["max"], score["weight"])
        and day.controls.keys() == said.keys()
        and len(controls) == len(said)
        and all(
            (c.score, c.max_score, c.count, c.total, c.not_applicable)
            == (
                said[name]["score"]["current"],
                said[name]["score"]["max"],
                said[name]["healthyResourceCount"],
                said[name]["healthyResourceCount"] + said[name]["unhealthyResourceCount"],
                said[name]["notApplicableResourceCount"],
            )
            for name, c in day.controls.items()
        )
    )


# --------------------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    ("audience", "status"),
    [(ARM, 200), (f"{ARM}/", 200), ("https://management.core.windows.net/", 200), ("https://graph.microsoft.com", 401)],
)
async def test_a_token_must_be_for_azure_resource_manager(audience: str, status: int) -> None:
    tenant = tenant_of(simulation())
    sim = simulation(caller=Caller(tenant, frozenset(), audience=audience))
    response, _ = await post(sim, SCORES.query)
    assert response.status == status


async def test_a_token_for_azure_is_none_for_graph() -> None:
    tenant = tenant_of(simulation())
    sim = simulation(caller=Caller(tenant, frozenset({"SecurityEvents.Read.All"}), audience=ARM))
    token = {"Authorization": "Bearer x"}
    response = await Socketless(sim).request("GET", "https://simulated/v1.0/security/secureScores", headers=token)
    assert response.status == 401
    assert ARM not in AUDIENCES


@pytest.mark.parametrize("audience", [*sorted(ENDPOINT_AUDIENCES), ARM])
async def test_defender_for_endpoint_refuses_a_wrong_audience_like_a_missing_permission(audience: str) -> None:
    tenant = tenant_of(simulation())
    sim = simulation(caller=Caller(tenant, frozenset({ROLE}), audience=audience))
    read = DefenderEndpointSource(
        http=Socketless(sim),
        base_url="https://simulated",
        tenant_id=tenant,
        token=PlainToken(tenant),
        clock=sim.clock,
        random=random.Random(1),
    ).read(Known())
    if audience in ENDPOINT_AUDIENCES:
        reading = await read
        assert isinstance(reading.units, tuple)
        assert [s.unit.kind for s in reading.units if s.unit] == ["organization", *["device_group"] * 4]
    else:
        with pytest.raises(Denied, match=r"Score\.Read\.All"):
            await read


async def test_each_answer_says_what_is_left_of_the_quota_and_the_16th_in_five_seconds_is_refused() -> None:
    sim = simulation()
    left = []
    for _ in range(QUERIES + 1):
        response, _ = await post(sim, SUBSCRIPTIONS.query)
        left.append((response.status, response.headers["x-ms-user-quota-remaining"]))
    assert left == [(200, str(QUERIES - 1 - n)) for n in range(QUERIES)] + [(429, "0")]
    assert response.headers["retry-after"] == "5"
    assert isinstance(sim.clock, SimulatedClock)
    await sim.clock.advance(5)
    response, _ = await post(sim, SUBSCRIPTIONS.query)
    assert response.status == 200


async def test_pages_say_that_nothing_is_truncated_and_go_on_all_the_same() -> None:
    sim = simulation(count=100)
    _, first = await post(sim, SCORES.query)
    assert (first["count"], first["resultTruncated"]) == (1000, "false")
    _, second = await post(sim, SCORES.query, **{"$skipToken": first["$skipToken"]})
    assert first["count"] + second["count"] == first["totalRecords"]
    assert "$skipToken" not in second


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"query": "securityresources", "options": {"$top": 5000}}', b'{"query": "resources"}']
)
async def test_what_is_no_question_is_refused(body: bytes) -> None:
    sim = simulation()
    token = await PlainToken(tenant_of(sim)).token()
    headers = {"Authorization": f"Bearer {token}"}
    response = await Socketless(sim).request("POST", f"https://simulated{PATH}", headers=headers, body=body)
    assert response.status == 400


# ----------------------------------------------------------------------------------------------- how subscriptions live


def estate_of(count: int = 7, seed: int = 7) -> Estate:
    world = World(seed, 1, START)
    return Estate(seed, world.tenants[0], count)


def test_every_control_and_every_sum_is_computed_as_azure_does() -> None:
    estate = estate_of()
    for day in range(0, 200, 3):
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in estate.score_rows(day * 1440 + 77):
            rows.setdefault(row["subscriptionId"], []).append(row["properties"])
        for score, *controls in rows.values():
            if not score["score"]:
                assert (controls, score["weight"]) == ([], 0)
                continue
            for said in controls:
                h, u = said["healthyResourceCount"], said["unhealthyResourceCount"]
                most = said["definition"]["properties"]["maxScore"] if h + u else 0
                assert said["score"]["max"] == most
                assert said["score"]["current"] == (round(most * h / (h + u), 2) if h + u else 0)
            assert score["score"]["current"] == round(sum(c["score"]["current"] for c in controls), 2)
            assert score["score"]["max"] == sum(c["score"]["max"] for c in controls)


def test_most_hours_nothing_moves_and_every_month_much_does() -> None:
    estate = estate_of(1)
    (one,) = estate.subscriptions

    def scores(minute: int) -> list[Any]:
        return [r["properties"]["score"] for r in estate.score_rows(minute) if r["subscriptionId"] == one.id]

    hours = [scores(60 * hour) for hour in range(24 * 20)]
    moved = sum(before != after for before, after in pairwise(hours))
    assert 5 < moved < 24 * 20 / 4
    assert sum(a != b for a, b in zip(scores(0), scores(30 * 1440), strict=True)) > 4


def test_the_maximum_of_an_idle_control_goes_to_0_and_back() -> None:
    estate = estate_of()
    idle = next(rule for rule in RULES if rule.idle)
    seen: dict[str, set[int]] = {}
    for day in range(180):
        for row in estate.score_rows(day * 1440):
            if row["name"] == idle.id:
                seen.setdefault(row["subscriptionId"], set()).add(row["properties"]["score"]["max"])
    assert any(maxima == {0, idle.maximum} for maxima in seen.values())


def test_one_recommendation_a_month_is_another_controls() -> None:
    def by_control(day: int) -> dict[str, set[str]]:
        return {
            row["name"]: {a["id"] for a in row["properties"]["definition"]["properties"]["assessmentDefinitions"]}
            for row in estate_of().score_rows(day * 1440)
            if "definition" in row["properties"]
        }

    before, after = by_control(MOVES_EVERY - 1), by_control(MOVES_EVERY)
    changed = {name for name in before if before[name] != after[name]}
    assert len(changed) == 2
    assert set.union(*before.values()) == set.union(*after.values())
    assert by_control(0) == before


def test_one_is_disabled_one_never_started_one_goes_and_returns_and_one_comes_late() -> None:
    estate = estate_of()
    kinds = {one.kind: one.id for one in estate.subscriptions}

    def there(day: int) -> dict[str, str]:
        return {row["subscriptionId"]: row["state"] for row in estate.subscription_rows(day * 1440)}

    assert there(0)[kinds["disabled"]] == "Disabled"
    assert kinds["disabled"] not in {row["subscriptionId"] for row in estate.score_rows(0)}
    assert [r["properties"]["score"] for r in estate.score_rows(0) if r["subscriptionId"] == kinds["unstarted"]] == [{}]
    away = [day for day in range(70) if kinds["away"] not in there(day)]
    assert away == [*range(AWAY_FROM, AWAY_FROM + AWAY_FOR)] + [
        day for start in (AWAY_FROM + AWAY_EVERY, AWAY_FROM + 2 * AWAY_EVERY) for day in range(start, start + AWAY_FOR)
        if day < 70
    ]  # fmt: skip
    assert [day for day in range(70) if kinds["late"] in there(day)] == [*range(COMES_ON_DAY, 70)]


# ------------------------------------------------------------------------------------------------ read as it is served


@settings(max_examples=examples(25))
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(0, 200 * 1440))
async def test_what_is_served_is_what_is_read(seed: int, count: int, minute: int) -> None:
    sim = simulation(seed=seed, count=count, now=datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=minute))
    reading = await source(sim).read(Known())
    assert (reading.partial, reading.notes) == (None, ())
    rows = truth(sim)
    assert units_of(reading).keys() == rows.keys()
    for sub, snapshot in units_of(reading).items():
        assert same(day_of(snapshot), rows[sub])
        assert day_of(snapshot).flags == ()


async def test_compliance_is_read_for_every_scored_subscription() -> None:
    sim = simulation()
    reading = await source(sim, compliance=True).read(Known())
    for snapshot in units_of(reading).values():
        assert isinstance(snapshot.standards, dict)
        assert len(snapshot.standards) == 3


async def test_an_hour_later_nothing_need_be_parsed_unless_something_moved() -> None:
    sim = simulation()
    assert isinstance(sim.clock, SimulatedClock)
    reading = await source(sim).read(Known())
    unchanged = 0
    for _ in range(8):
        await sim.clock.advance(3600)
        known = Known(NOON.date().isoformat(), had_days=True, had_profiles=True, pages=reading.pages)
        again = await source(sim).read(known)
        unchanged += isinstance(again.units, Unchanged)
        reading = again
    assert 2 <= unchanged < 8


# -------------------------------------------------------------------------------------------------------------- faults

_NEVER_HEALS = 10_000.0


UNTOLD = {"lost_rows", "inconsistent"}
"""What the far end serves as a whole answer: only that the sums do not hold tells."""


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven subscriptions have many pages."""
    monkeypatch.setattr(resource_graph, "ROWS_A_PAGE", 25)


PLAYED = sorted(KINDS.keys() - {kind for kind in KINDS if kind.startswith("write_")} - {"slow", "challenge"})


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", PLAYED)
@pytest.mark.parametrize(
    "path",
    ["#scores/2", *(pytest.param(path, marks=pytest.mark.long) for path in ("#scores/", "#subscriptions/", "#"))],
)
async def test_whatever_goes_wrong_nothing_seems_to_be_gone(kind: str, path: str) -> None:
    """What a reading holds is true, or flagged; what it lacks is excused, by itself or by the list beside it."""
    healthy = await source(simulation()).read(Known())
    sim = simulation(Fault(kind, path=path, retry_after_s=_NEVER_HEALS, size_bytes=1 << 20))
    rows, today = truth(sim), NOON.date().isoformat()
    try:
        reading = await source(sim).read(Known("2026-09-09", had_days=True, had_profiles=True, pages=healthy.pages))
    except SecureScoreError:
        return  # nothing is said, so nothing is gone
    listed = reading.listed
    if isinstance(reading.units, Absent):
        assert reading.partial is not None or reading.units.reason == "empty_after_full"
        assert reading.pages == healthy.pages
        return
    units = units_of(reading)
    for sub, snapshot in units.items():
        day = day_of(snapshot)
        assert day.day == today
        if kind in UNTOLD:
            assert same(day, rows[sub]) or "inconsistent" in day.flags, f"{kind} {path}: a false score, not flagged"
        else:
            assert same(day, rows[sub]), f"{kind} {path}: a false score"
    for sub in rows.keys() - units.keys():
        excused = reading.partial is not None or (isinstance(listed, dict) and sub in listed)
        assert excused, f"{kind} {path}: {sub} seems to be gone"
    if reading.partial is not None:
        assert reading.pages == healthy.pages


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("kind", ["error", "throttled", "truncated", "query_error", "reset", "html", "unannounced"])
async def test_one_failing_page_loses_nothing_at_the_next_read(kind: str) -> None:
    sim = simulation(Fault(kind, path="#scores/2", times=8, retry_after_s=_NEVER_HEALS))
    first = await source(sim).read(Known())
    assert first.partial is not None
    sim.faults.clear()
    assert isinstance(sim.clock, SimulatedClock)
    await sim.clock.advance(5)  # what was tried in vain has used up the quota
    again = await source(sim).read(Known(NOON.date().isoformat(), had_days=True, pages=first.pages))
    assert again.partial is None
    assert units_of(again).keys() == truth(sim).keys()


@pytest.mark.usefixtures("small_pages")
async def test_a_429_on_a_page_is_waited_for_and_nothing_is_missing() -> None:
    sim = simulation(Fault("throttled", path="#scores/2", times=1, retry_after_s=3))
    reading = await source(sim).read(Known())
    assert reading.partial is None
    assert units_of(reading).keys() == truth(sim).keys()


async def test_subscriptions_of_another_directory_are_told_and_left_out() -> None:
    sim = simulation(Fault("lighthouse"))
    reading = await source(sim).read(Known())
    assert units_of(reading).keys() == truth(sim).keys()
    assert OTHER_TENANT in reading.notes[0].text


async def test_more_subscriptions_than_are_answered_for_is_never_the_whole() -> None:
    reading = await source(simulation(Fault("limit_hit"))).read(Known())
    assert reading.partial is not None
    assert "10,000" in reading.partial.detail


async def test_no_role_is_denied() -> None:
    with pytest.raises(Denied, match="no subscription is visible"):
        await source(simulation(Fault("empty", path="#"))).read(Known())
