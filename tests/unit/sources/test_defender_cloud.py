"""Defender for Cloud against a fake Resource Graph: what is asked for, what counts as complete, what nothing means."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from connector.config.values import ScopeConfig
from connector.errors import Denied, Unavailable, WrongTenant
from connector.model import Absent, Day, Known, Listed, Profile, Reading, Snapshot, Standard, Unchanged, Unit
from connector.sources.budget import Budgets, QueryLimits
from connector.sources.cloud_rows import MAX_ASSESSMENTS
from connector.sources.defender_cloud import DefenderCloudSource, scope_of
from connector.sources.resource_graph import MAX_PAGES, quota_left
from tests.contract.source_contract import check_source_of_units
from tests.fake_graph import OTHER_TENANT, TENANT, JumpClock
from tests.fake_resource_graph import (
    ARM,
    FakeResourceGraph,
    answer,
    control_id,
    control_row,
    error,
    foreign,
    score_row,
    scored,
    standard_row,
    subscription,
    subscription_id,
)
from tests.shared_data import shared_data

TOKEN = "very-secret-token"


@define
class Tokens:
    refreshed: int = 0

    async def token(self, *, refused: str = "", claims: str = "") -> str:
        self.refreshed += bool(refused)
        return f"{TOKEN}-{self.refreshed}"


@define
class Bench:
    """A source wired to a fake Resource Graph."""

    far: FakeResourceGraph
    clock: JumpClock
    tokens: Tokens

    def source(self, **options: Any) -> DefenderCloudSource:
        given: dict[str, Any] = {
            "http": self.far,
            "base_url": ARM,
            "tenant_id": TENANT,
            "token": self.tokens,
            "clock": self.clock,
            "random": random.Random(1),
        }
        return DefenderCloudSource(**given | options)

    async def read(self, known: Known | None = None, **options: Any) -> Reading:
        return await self.source(**options).read(known or Known())


def bench_of(rows: Sequence[Any], subscriptions: Sequence[Any] | None = None, page: int = 1_000) -> Bench:
    numbers = sorted({row["subscriptionId"] for row in rows})
    listed = [subscription(int(sub[:8], 16)) for sub in numbers] if subscriptions is None else subscriptions
    far = FakeResourceGraph(list(listed), sorted(rows, key=lambda row: row["id"].lower()), page=page)
    return Bench(far, JumpClock(), Tokens())


@pytest.fixture
def bench() -> Bench:
    """Three subscriptions of four controls each."""
    return bench_of([*scored(1, 4, 3, 2, 1), *scored(2, 0, 1, 2, 3), *scored(3, 4, 4, 4, 4)])


def units_of(reading: Reading) -> dict[str, Snapshot]:
    assert isinstance(reading.units, tuple), reading.units
    found = {snapshot.unit.id: snapshot for snapshot in reading.units if snapshot.unit is not None}
    assert len(found) == len(reading.units)
    return found


def day_of(reading: Reading, number: int) -> Day:
    days = units_of(reading)[subscription_id(number)].days
    assert isinstance(days, tuple)
    (day,) = days
    return day


def absent(part: Any) -> Absent:
    assert isinstance(part, Absent), part
    return part


def known_after(reading: Reading, day: str = "2030-01-10") -> Known:
    return Known(day, had_days=True, had_profiles=True, pages=reading.pages)


# ------------------------------------------------------------------------------------------------- what is asked for


async def test_contract(bench: Bench) -> None:
    await check_source_of_units(bench.source(), "2030-01-10")


async def test_two_questions_and_with_compliance_a_third(bench: Bench) -> None:
    reading = await bench.read()
    assert [kind for kind, _ in bench.far.asked] == ["subscriptions", "scores"]
    assert reading.partial is None
    await bench.read(compliance=True)
    assert [kind for kind, _ in bench.far.asked[2:]] == ["subscriptions", "scores", "compliance"]


async def test_the_request_is_a_post_with_a_token_for_the_configured_host(bench: Bench) -> None:
    await bench.read()
    for method, url, headers in bench.far.sent:
        assert (method, url) == (
            "POST",
            f"{ARM}/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01",
        )
        assert headers["Authorization"] == f"Bearer {TOKEN}-0"
        assert headers["Content-Type"] == "application/json"
    for _, question in bench.far.asked:
        assert question["options"] == {"$top": 1000, "resultFormat": "objectArray", "allowPartialScopes": False}
        assert "order by id asc" in question["query"]
        assert "project id" in question["query"], "without it pages are not stable"


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        (ScopeConfig(), {}),
        (ScopeConfig(management_groups=("root",)), {"managementGroups": ["root"]}),
        (ScopeConfig(subscriptions=(subscription_id(1),)), {"subscriptions": [subscription_id(1)]}),
    ],
)
async def test_the_scope_is_stated_in_every_request(bench: Bench, scope: ScopeConfig, sent: dict[str, Any]) -> None:
    bench.far.page = 5
    await bench.read(scope=scope_of(scope))
    for _, question in bench.far.asked:
        assert {k: v for k, v in question.items() if k not in ("query", "options")} == sent


async def test_pages_follow_the_skip_token_alone_and_the_body_stays_the_same(bench: Bench) -> None:
    bench.far.page = 4
    reading = await bench.read()
    assert len(units_of(reading)) == 3
    assert bench.far.count("scores") == 4
    questions = [question for kind, question in bench.far.asked if kind == "scores"]
    assert ["$skipToken" in q["options"] for q in questions] == [False, True, True, True]
    for question in questions:
        question["options"].pop("$skipToken", None)
    assert all(question == questions[0] for question in questions)


async def test_a_401_gets_one_new_token(bench: Bench) -> None:
    bench.far.queued["subscriptions"] = [error(401, "ExpiredAuthenticationToken")]
    assert len(units_of(await bench.read())) == 3
    assert bench.tokens.refreshed == 1


async def test_a_429_is_waited_for_as_long_as_it_says(bench: Bench) -> None:
    bench.far.queued["scores"] = [error(429, "RateLimiting", headers={"retry-after": "5"})]
    assert len(units_of(await bench.read())) == 3
    assert bench.clock.slept
    assert sum(bench.clock.slept) >= 5


class _Slow:
    """Each page takes its time."""

    def __init__(self, bench: Bench, seconds: float) -> None:
        self._bench, self._seconds = bench, seconds

    async def request(self, method: str, url: str, **options: Any) -> Any:
        await self._bench.clock.sleep(self._seconds)
        return await self._bench.far.request(method, url, **options)


async def test_a_late_page_of_a_long_answer_is_tried_again_like_the_first(bench: Bench) -> None:
    bench.far.page = 1  # 15 pages of 10 s each
    bench.far.queued["scores"] = [*[None] * 12, error(503, "x"), error(503, "x")]
    reading = await bench.read(http=_Slow(bench, 10.0))
    assert reading.partial is None
    assert len(units_of(reading)) == 3


async def test_what_goes_into_trying_again_is_bounded_over_all_pages(bench: Bench) -> None:
    bench.far.page = 1
    bench.far.queued["scores"] = [answer_ for _ in range(15) for answer_ in (error(503, "x"), None)]
    reading = await bench.read(http=_Slow(bench, 10.0))
    assert absent(reading.partial).reason == "unavailable"
    assert bench.far.count("scores") < 10


# ------------------------------------------------------------------------------------------------------ what is read


async def test_the_official_example_is_read_exactly() -> None:
    scores = json.loads(shared_data("azure_ListSecureScores_example.json").read_bytes())["value"]
    controls = json.loads(shared_data("azure_ListSecureScoreControls_expand_example_trimmed.json").read_bytes())[
        "value"
    ]
    sub = "20ff7fc3-e762-44dd-bd96-b71116dcdc23"
    rows = [{**row, "tenantId": TENANT, "subscriptionId": sub} for row in [*scores, *controls]]
    listed = {"id": f"/subscriptions/{sub}", "tenantId": TENANT, "name": "Example", "state": "Enabled"}
    bench = bench_of(rows, [listed])
    reading = await bench.read()
    (snapshot,) = units_of(reading).values()
    assert snapshot.unit == Unit("subscription", sub, "Example", "ascScore", "classic")
    assert isinstance(snapshot.days, tuple)
    (day,) = snapshot.days
    assert (day.id, day.day, day.score, day.max_score, day.weight) == (f"{sub}_2030-01-10", "2030-01-10", 23.53, 39, 67)
    assert (len(day.controls), day.flags, day.detailed) == (12, (), True)
    for row in controls:
        said, control = row["properties"], day.controls[row["name"].lower()]
        assert control.score == said["score"]["current"]
        assert control.max_score == said["score"]["max"]
        assert control.percent == pytest.approx(100 * said["score"]["percentage"], abs=1e-9)
        assert control.count == said["healthyResourceCount"]
        assert control.total == said["healthyResourceCount"] + said["unhealthyResourceCount"]
        assert control.not_applicable == said["notApplicableResourceCount"]
        if control.total:
            assert control.score == round(said["score"]["max"] * control.count / control.total, 2)
    assert round(sum(c.score or 0 for c in day.controls.values()), 2) == 23.53
    assert sum(c.max_score or 0 for c in day.controls.values()) == 39
    assert isinstance(snapshot.catalogue, dict)
    ddos = snapshot.catalogue["a9909064-42b4-4d34-8143-275477afe18b"]
    assert (ddos.title, ddos.max_score, ddos.service) == (
        "Protect applications against DDoS attacks",
        2,
        "Defender for Cloud",
    )
    assert reading.listed == {sub: Listed(sub, "Example", "Enabled")}


async def test_ids_are_compared_in_lower_case_and_the_score_keeps_its_name() -> None:
    rows = [{**row, "id": row["id"].upper()} for row in scored(1, 1, 2)]
    reading = await bench_of(rows).read()
    (snapshot,) = units_of(reading).values()
    assert snapshot.unit == Unit("subscription", subscription_id(1), "Subscription 1", "ascScore", "classic")
    assert list(day_of(reading, 1).controls) == [control_id(0), control_id(1)]


async def test_the_definition_is_the_catalogue_and_recommendations_are_sorted_ids(bench: Bench) -> None:
    reading = await bench.read()
    catalogue = units_of(reading)[subscription_id(2)].catalogue
    assert isinstance(catalogue, dict)
    profile = catalogue[control_id(3)]
    assert isinstance(profile, Profile)
    assert (profile.title, profile.max_score, profile.assessments) == (
        "Control 3",
        10,
        ("a0000003-1", "a0000003-2"),
    )
    assert len(profile.remediation_sha256) == 64
    other = units_of(reading)[subscription_id(3)].catalogue
    assert isinstance(other, dict)
    assert other[control_id(3)] is profile, "one definition, one object, however many subscriptions have it"


async def test_a_score_of_another_name_is_another_unit() -> None:
    rows = scored(1, 4)
    other = [{**row, "id": row["id"].replace("ascScore", "Custom One"), "name": "Custom One"} for row in scored(1, 0)]
    reading = await bench_of([*rows, *other], [subscription(1)]).read()
    assert isinstance(reading.units, tuple)
    assert {s.unit.score for s in reading.units if s.unit} == {"ascScore", "custom-one"}


async def test_a_connector_of_another_cloud_is_a_unit_beside_its_subscription() -> None:
    path = "/resourceGroups/rg/providers/Microsoft.Security/securityConnectors/aws-Prod"
    sub = f"/subscriptions/{subscription_id(1)}"
    other = [{**row, "id": row["id"].replace(sub, sub + path)} for row in scored(1, 0)]
    reading = await bench_of([*scored(1, 4), *other], [subscription(1)]).read()
    assert isinstance(reading.units, tuple)
    assert {(s.unit.id, s.unit.score) for s in reading.units if s.unit} == {
        (subscription_id(1), "ascScore"),
        (subscription_id(1), "ascScore.aws-prod"),
    }


async def test_what_is_absent_stays_unknown_and_a_maximum_of_0_is_one() -> None:
    sparse = control_row(1, 0, 1, 1)
    sparse["properties"] = {"score": {"current": 5}}
    none = control_row(1, 1, 0, 0)
    reading = await bench_of([score_row(1, 5, 10), sparse, none]).read()
    controls = day_of(reading, 1).controls
    first, second = controls[control_id(0)], controls[control_id(1)]
    assert (first.score, first.max_score, first.percent, first.count, first.total) == (5, None, None, None, None)
    assert (second.score, second.max_score, second.percent, second.total, second.not_applicable) == (0, 0, 0, 0, 1)


async def test_numbers_that_cannot_be_are_flagged_and_unknown() -> None:
    odd = control_row(1, 0, 4, 0)
    odd["properties"]["score"] = {"max": "10", "current": [], "percentage": 71}
    odd["properties"]["healthyResourceCount"] = 1.5
    reading = await bench_of([score_row(1, 10, 10), odd]).read()
    day = day_of(reading, 1)
    assert day.flags == ("bad_number", "inconsistent")
    control = day.controls[control_id(0)]
    assert (control.score, control.max_score, control.percent, control.count) == (None, 10, None, None)


async def test_controls_that_do_not_make_the_score_are_flagged() -> None:
    reading = await bench_of([score_row(1, 12, 20), control_row(1, 0, 4, 0)]).read()
    assert day_of(reading, 1).flags == ("inconsistent",)
    assert reading.partial is None


async def test_compliance_stands_beside_the_subscriptions_standard_score() -> None:
    bench = bench_of([*scored(1, 4), *scored(2, 4)])
    bench.far.compliance = [standard_row(1, "CIS-Azure-2.0.0", 10, 3), standard_row(1, "PCI-DSS-4", 7, 0)]
    reading = await bench.read(compliance=True)
    assert units_of(reading)[subscription_id(1)].standards == {
        "CIS-Azure-2.0.0": Standard("CIS-Azure-2.0.0", "Failed", 10, 3, 0, 1),
        "PCI-DSS-4": Standard("PCI-DSS-4", "Passed", 7, 0, 0, 1),
    }
    assert units_of(reading)[subscription_id(2)].standards == {}
    assert units_of(await bench.read())[subscription_id(1)].standards is None, "not asked for"


async def test_compliance_that_fails_leaves_the_scores() -> None:
    bench = bench_of(scored(1, 4))
    bench.far.queued["compliance"] = [error(403, "AuthorizationFailed")]
    reading = await bench.read(compliance=True)
    assert absent(units_of(reading)[subscription_id(1)].standards).reason == "denied"
    assert reading.partial is not None
    assert reading.pages == {}


# -------------------------------------------------------------------------------------------------------- unchanged


async def test_unchanged_bytes_of_the_same_day_are_not_parsed(bench: Bench) -> None:
    bench.far.page = 4  # the tokens differ in every read
    first = await bench.read()
    again = await bench.read(known_after(first))
    assert (again.units, again.listed, again.pages) == (Unchanged(), Unchanged(), first.pages)
    assert [file.name for file in again.evidence][:2] == [
        "resourceGraph-subscriptions-1.json",
        "resourceGraph-scores-1.json",
    ]


async def test_the_same_bytes_on_another_day_are_a_day_of_their_own(bench: Bench) -> None:
    first = await bench.read()
    another = await bench.read(known_after(first, "2030-01-09"))
    assert day_of(another, 1).day == "2030-01-10"


async def test_a_renamed_subscription_is_a_change(bench: Bench) -> None:
    first = await bench.read()
    bench.far.subscriptions[0]["name"] = "Renamed"
    again = await bench.read(known_after(first))
    assert units_of(again)[subscription_id(1)].unit == Unit(
        "subscription", subscription_id(1), "Renamed", "ascScore", "classic"
    )


async def test_a_warning_header_is_heeded_although_no_byte_differs(bench: Bench) -> None:
    first = await bench.read()
    bench.far.headers = {"x-ms-tenant-subscription-limit-hit": "true"}
    again = await bench.read(known_after(first))
    assert len(units_of(again)) == 3
    assert absent(again.partial).reason == "partial"
    assert "scope" in absent(again.partial).hint
    assert again.pages == first.pages


# ------------------------------------------------------------------------------------------------ the three nothings


async def test_no_subscription_at_all_is_denied_with_the_role_to_assign() -> None:
    with pytest.raises(Denied, match="no subscription is visible to") as caught:
        await bench_of([]).read()
    assert "Security Reader" in caught.value.hint
    assert "root management group" in caught.value.hint


async def test_no_subscription_any_more_is_denied_too() -> None:
    with pytest.raises(Denied, match="any more"):
        await bench_of([]).read(Known("2030-01-09", had_days=True))


async def test_a_subscription_without_a_score_has_no_data_and_is_listed() -> None:
    rows = [*scored(1, 4), score_row(2, None, None, 0)]
    reading = await bench_of(
        rows, [subscription(1), subscription(2), subscription(3), subscription(4, "Disabled")]
    ).read()
    assert list(units_of(reading)) == [subscription_id(1)]
    assert reading.partial is None
    assert isinstance(reading.listed, dict)
    assert {sub.id: sub.state for sub in reading.listed.values()} == {
        subscription_id(1): "Enabled",
        subscription_id(2): "Enabled",
        subscription_id(3): "Enabled",
        subscription_id(4): "Disabled",
    }


async def test_scores_that_are_gone_everywhere_prove_nothing() -> None:
    bench = bench_of([], [subscription(1)])
    reading = await bench.read()
    assert units_of(reading) == {}, "at first contact: not started yet"
    again = await bench.read(Known("2030-01-09", had_days=True))
    assert absent(again.units).reason == "empty_after_full"


async def test_scores_without_a_list_of_subscriptions_are_read_and_the_list_is_absent() -> None:
    reading = await bench_of(scored(1, 4), []).read()
    assert len(units_of(reading)) == 1
    assert absent(reading.listed).reason == "denied"
    assert reading.partial == reading.listed


# ---------------------------------------------------------------------------------------------------- other directories


async def test_rows_of_other_directories_are_left_out_and_told() -> None:
    rows = [*scored(1, 4), *map(foreign, scored(2, 4))]
    reading = await bench_of(rows, [subscription(1), foreign(subscription(2))]).read()
    assert list(units_of(reading)) == [subscription_id(1)]
    assert isinstance(reading.listed, dict)
    assert list(reading.listed) == [subscription_id(1)]
    (note,) = reading.notes
    assert OTHER_TENANT in note.text
    assert reading.partial is None


async def test_a_subscription_of_two_directories_is_not_whole() -> None:
    first, *controls = scored(1, 4, 3)
    bench = bench_of([first, controls[0], foreign(controls[1]), *scored(2, 4)])
    reading = await bench.read()
    assert list(units_of(reading)) == [subscription_id(2)]
    assert subscription_id(1) in absent(reading.partial).detail


async def test_nothing_but_other_directories_is_the_wrong_tenant() -> None:
    with pytest.raises(WrongTenant, match=OTHER_TENANT):
        await bench_of(list(map(foreign, scored(2, 4))), [foreign(subscription(2))]).read()


async def test_a_providers_principal_asks_for_the_customers_rows_alone(bench: Bench) -> None:
    reading = await bench.read(delegated=True, compliance=True)
    assert isinstance(reading.units, tuple)
    assert reading.units
    queries = [question["query"] for _, question in bench.far.asked]
    assert len(queries) == 3
    assert all(f" | where tenantId =~ '{TENANT}' | " in query for query in queries)
    nothing = FakeResourceGraph()
    with pytest.raises(Denied) as caught:
        await Bench(nothing, JumpClock(), Tokens()).read(delegated=True)
    assert "Lighthouse" in caught.value.hint


async def test_a_row_that_does_not_say_whose_it_is_does_not_count() -> None:
    rows = scored(1, 4)
    rows[0]["tenantId"] = None
    reading = await bench_of(rows).read()
    assert absent(reading.units).reason == "not_json"


# --------------------------------------------------------------------------------------------- what is not the whole


async def test_a_failed_page_keeps_the_subscriptions_that_were_read_whole(bench: Bench) -> None:
    first = await bench.read()
    bench.far.page = 6
    bench.far.queued["scores"] = [None, *[error(500, "InternalServerError", "unexpected query execution error")] * 9]
    reading = await bench.read(known_after(first))
    assert list(units_of(reading)) == [subscription_id(1)], "the second may have rows on the page that failed"
    assert absent(reading.partial).reason == "unavailable"
    assert "unexpected query execution error" in absent(reading.partial).detail
    assert reading.pages == first.pages
    assert reading.evidence == ()
    assert isinstance(reading.listed, dict)
    assert len(reading.listed) == 3


async def test_the_last_subscription_of_a_broken_read_is_never_taken_for_whole(bench: Bench) -> None:
    bench.far.page = 5
    bench.far.queued["scores"] = [None, *[error(503, "x")] * 9]
    reading = await bench.read()
    assert absent(reading.units).reason == "unavailable", "one subscription, and it was the last"


async def test_in_a_broken_read_a_score_that_its_controls_do_not_make_is_not_whole() -> None:
    first, second = scored(1, 4, 3), scored(2, 4)
    bench = bench_of([*first, *second], page=4)
    bench.far.scores = [*first[:2], *second, first[2]]  # ids in two spellings do not sort together
    bench.far.queued["scores"] = [None, *[error(503, "x")] * 9]
    reading = await bench.read()
    assert absent(reading.units).reason == "unavailable", "the second was the last, and the first lacks a control"


async def test_fewer_rows_than_announced_are_no_answer(bench: Bench) -> None:
    def short(question: dict[str, Any]) -> Any:
        found = bench.far.rows(question)
        found["data"] = found["data"][:-1]
        return answer(found | {"count": len(found["data"])})

    bench.far.queued["scores"] = [short]
    reading = await bench.read()
    assert absent(reading.units).reason == "paging"
    assert "14 rows came, but there are 15" in absent(reading.units).detail
    assert absent(reading.partial).reason == "paging"


async def test_a_page_whose_token_was_lost_is_no_end(bench: Bench) -> None:
    bench.far.page = 4

    def last(question: dict[str, Any]) -> Any:
        found = bench.far.rows(question)
        found.pop("$skipToken")
        return answer(found)

    bench.far.queued["scores"] = [None, last]
    assert absent((await bench.read()).units).reason == "paging"


async def test_rows_that_come_twice_say_that_others_were_passed_over(bench: Bench) -> None:
    rows = bench.far.scores
    bench.far.scores = [*rows[:8], rows[7], *rows[9:]]
    bench.far.page = 8
    reading = await bench.read()
    assert absent(reading.units).reason == "paging"


async def test_a_row_twice_on_one_page_is_flagged() -> None:
    bench = bench_of([*scored(1, 4, 2), control_row(1, 1, 2, 2)])
    assert day_of(await bench.read(), 1).flags == ("duplicate_control",)


@pytest.mark.parametrize("lost", ["score", "controls"])
async def test_a_subscription_that_lacks_one_kind_of_row_is_left_out(lost: str) -> None:
    rows = scored(1, 4, 3)
    bench = bench_of([*(rows[1:] if lost == "score" else rows[:1]), *scored(2, 4)])
    reading = await bench.read()
    assert list(units_of(reading)) == [subscription_id(2)]
    assert absent(reading.partial).reason == "partial"
    assert subscription_id(1) in absent(reading.partial).detail


async def test_a_broken_row_concerns_its_own_subscription_only() -> None:
    rows = [*scored(1, 4, 3), *scored(2, 4)]
    rows[1]["properties"] = ["no", "object"]
    reading = await bench_of(rows).read()
    assert list(units_of(reading)) == [subscription_id(2)]
    assert subscription_id(1) in absent(reading.partial).detail


async def test_a_row_of_an_unknown_form_is_told_and_harms_nothing() -> None:
    row = scored(1, 4)[0]
    odd = {**row, "id": "/providers/Microsoft.Security/secureScores/other"}
    bench = bench_of(scored(1, 4))
    bench.far.scores.append(odd)
    reading = await bench.read()
    assert len(units_of(reading)) == 1
    assert "1 rows of an unknown form" in reading.notes[0].text


async def test_a_list_that_fails_leaves_the_scores_and_proves_nothing_removed(bench: Bench) -> None:
    bench.far.queued["subscriptions"] = [error(403, "AuthorizationFailed")]
    reading = await bench.read()
    assert len(units_of(reading)) == 3
    assert absent(reading.listed).reason == "denied"
    assert absent(reading.partial).reason == "denied"


async def test_refused_altogether_is_denied_with_the_role(bench: Bench) -> None:
    bench.far.queued["subscriptions"] = [error(403, "AuthorizationFailed")]
    bench.far.queued["scores"] = [error(403, "AuthorizationFailed")]
    with pytest.raises(Denied, match="AuthorizationFailed") as caught:
        await bench.read()
    assert "Security Reader" in caught.value.hint


async def test_after_429_to_the_end_nothing_more_is_asked(bench: Bench) -> None:
    bench.far.queued["subscriptions"] = [error(429, "RateLimiting", headers={"retry-after": "300"})]
    with pytest.raises(Unavailable) as caught:
        await bench.read()
    assert caught.value.retry_after_s == 300
    assert [kind for kind, _ in bench.far.asked] == ["subscriptions"]


async def test_a_capitalised_error_is_quoted() -> None:
    bench = bench_of(scored(1, 4))
    words = answer({"Error": {"Code": "x", "code": "ResourceNotFound", "message": "does not exist in scope"}}, 404)
    bench.far.queued["scores"] = [lambda _: words]
    assert "does not exist in scope" in absent((await bench.read()).units).detail


async def test_a_token_that_leads_back_ends_the_read(bench: Bench) -> None:
    bench.far.more = {"$skipToken": "same"}
    reading = await bench.read()
    assert absent(reading.units).reason == "paging"
    assert bench.far.count("scores") == 2


# ------------------------------------------------------------------------------------------------------ hostile answers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"<html>sign in</html>",
        b'{"data": {}}',
        b'{"totalRecords": 1, "count": 1, "data": [7]}',
        b'{"totalRecords": true, "count": 0, "data": []}',
        b'{"totalRecords": 1e9, "count": 0, "data": []}',
        b'{"totalRecords": -1, "count": 0, "data": []}',
        b'{"totalRecords": 1, "count": 1, "data": [{"id": 7}]}',
        b'{"totalRecords": 1, "count": 1, "data": [{"id": null, "tenantId": "x"}]}',
        b'{"totalRecords": 0, "count": 0, "data": [], "$skipToken": {"a": 1}}',
        b'{"totalRecords": 0, "count": 0, "data": [], "$skipToken": ["x"]}',
        b'{"a": {"$skipToken": "inner"}, "totalRecords": 0, "count": 0, "data": []}',
        b'{"totalRecords": 2, "count": 2, "data": [',
        b"[" * 100_000,
        b'{"data": [' + b"{}," * 600_000 + b"{}]}",
    ],
)
async def test_any_body_is_read_or_refused_and_nothing_of_it_counts(bench: Bench, body: bytes) -> None:
    first = await bench.read()
    bench.far.queued["scores"] = [lambda _: answer(body)] * 9
    reading = await bench.read(known_after(first))
    assert isinstance(reading.units, Absent)
    assert reading.pages == first.pages


async def test_what_a_definition_may_hold_is_bounded() -> None:
    rows = scored(1, 4)
    many = [{"id": f"/x/{n}"} for n in range(MAX_ASSESSMENTS + 1)]
    rows[1]["properties"]["definition"]["properties"]["assessmentDefinitions"] = many
    reading = await bench_of([*rows, *scored(2, 4)]).read()
    assert list(units_of(reading)) == [subscription_id(2)]


async def test_endless_pages_end() -> None:
    class Endless:
        asked = 0

        async def request(self, _method: str, _url: str, *, body: bytes | None = None, **_: Any) -> Any:
            self.asked += 1
            if "resourcecontainers" in json.loads(body or b"{}")["query"]:
                return answer({"totalRecords": 0, "count": 0, "data": []})
            return answer({"totalRecords": 9, "count": 0, "data": [], "$skipToken": f"{self.asked}"})

    far: Any = Endless()
    reading = await evolve(bench_of([]), far=far).read()
    assert absent(reading.units).reason == "paging"
    assert far.asked == MAX_PAGES + 1


async def test_an_address_is_never_taken_from_an_answer(bench: Bench) -> None:
    bench.far.page = 4
    bench.far.more = {"nextLink": "https://evil.invalid/x", "@odata.nextLink": "https://evil.invalid/x"}
    await bench.read()
    assert {url.split("/providers")[0] for _, url, _ in bench.far.sent} == {ARM}


# -------------------------------------------------------------------------------------------------------------- quota


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:05"}, 5.0),
        ({"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:00"}, 1.0),
        ({"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "99:00:00"}, 300.0),
        ({"x-ms-user-quota-remaining": "0"}, None),
        ({"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "soon"}, None),
        ({"x-ms-user-quota-remaining": "3", "x-ms-user-quota-resets-after": "00:00:05"}, None),
        ({"x-ms-user-quota-remaining": "x" * 9_000}, None),
        ({}, None),
    ],
)
def test_the_quota_headers_say_how_long_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    assert quota_left(answer({}, headers=headers)) == wait_s


async def test_an_empty_quota_is_waited_for_before_a_429_and_by_all_entries_of_the_principal(bench: Bench) -> None:
    budgets = Budgets(bench.clock, QueryLimits(), left=quota_left)
    first = budgets.in_front_of(bench.far, "principal")
    other = budgets.in_front_of(bench.far, "principal")
    stranger = budgets.in_front_of(bench.far, "another")
    bench.far.headers = {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:04"}
    await bench.read(http=first)
    assert sum(bench.clock.slept) == pytest.approx(4.0), "between the two questions"
    bench.far.headers = {}
    await bench.read(http=other)
    assert sum(bench.clock.slept) == pytest.approx(8.0)
    await bench.read(http=stranger)
    assert sum(bench.clock.slept) == pytest.approx(8.0)


async def test_no_five_seconds_hold_more_queries_than_a_principal_may_ask(bench: Bench) -> None:
    bench.far.page = 1
    budgets = Budgets(bench.clock, QueryLimits(), left=quota_left)
    moments: list[float] = []
    start = bench.clock.now()
    inner = budgets.in_front_of(_Timed(bench, moments, start), "p")
    assert len(units_of(await bench.read(http=inner))) == 3
    assert len(moments) == 3 + 15
    assert all(sum(m <= other < m + 5.0 for other in moments) <= 15 for m in moments)


class _Timed:
    def __init__(self, bench: Bench, moments: list[float], start: Any) -> None:
        self._bench, self._moments, self._start = bench, moments, start

    async def request(self, method: str, url: str, **options: Any) -> Any:
        self._moments.append((self._bench.clock.now() - self._start).total_seconds())
        return await self._bench.far.request(method, url, **options)


# ---------------------------------------------------------------------------------------------------------- properties

ESTATES = st.dictionaries(
    st.integers(1, 30), st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=8
)


@given(ESTATES, st.integers(1, 12))
async def test_what_is_served_is_what_is_read_whatever_the_pages(estate: dict[int, list[int]], page: int) -> None:
    rows = [row for number, healthy in estate.items() for row in scored(number, *healthy)]
    reading = await bench_of(rows, page=page).read()
    assert reading.partial is None
    assert units_of(reading).keys() == {subscription_id(number) for number in estate}
    for number, healthy in estate.items():
        day = day_of(reading, number)
        assert [c.count for c in day.controls.values()] == healthy
        assert day.score == pytest.approx(sum(10 * h / 4 for h in healthy))
        assert day.max_score == 10 * len(healthy)
        assert day.flags == ()


@given(ESTATES, st.integers(1, 12), st.data())
async def test_a_page_that_fails_adds_nothing_false(
    estate: dict[int, list[int]], page: int, data: st.DataObject
) -> None:
    rows = [row for number, healthy in estate.items() for row in scored(number, *healthy)]
    whole = units_of(await bench_of(rows, page=page).read())
    bench = bench_of(rows, page=page)
    pages = -(-len(rows) // page)
    failing = data.draw(st.integers(0, pages - 1))
    bench.far.queued["scores"] = [*[None] * failing, *[error(500, "x")] * 9]
    reading = await bench.read(Known("2030-01-10", had_days=True, pages={"scores/1": "x"}))
    assert reading.partial is not None
    assert reading.pages == {"scores/1": "x"}
    if isinstance(reading.units, tuple):
        assert all(whole[sub] == snapshot for sub, snapshot in units_of(reading).items())
        assert len(reading.units) < len(whole)


@given(ESTATES, st.data())
async def test_rows_that_are_missing_unannounced_never_pass_for_another_score(
    estate: dict[int, list[int]], data: st.DataObject
) -> None:
    rows = [row for number, healthy in estate.items() for row in scored(number, *healthy)]
    kept = data.draw(st.lists(st.sampled_from(rows), unique_by=lambda row: row["id"], min_size=1))
    reading = await bench_of(kept).read()
    for sub, snapshot in units_of(reading).items():
        assert isinstance(snapshot.days, tuple)
        number = int(sub[:8], 16)
        if len(snapshot.days[0].controls) < len(estate[number]):
            assert "inconsistent" in snapshot.days[0].flags
