"""The Graph source against a fake Graph on loopback: what is asked for, what counts as complete, who gets a token."""

import gc
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import define, evolve

from connector.errors import Denied, SecureScoreError, Unavailable, WrongTenant
from connector.model import Absent, EvidenceFile, Known, Snapshot, Unchanged
from connector.net.client import Http
from connector.sources.graph import GraphSource
from tests.contract.source_contract import check_source
from tests.fake_graph import (
    OTHER_TENANT,
    TENANT,
    FakeGraph,
    JumpClock,
    canned,
    day_document,
    history,
    profile_document,
    root,
    serve,
)

SCORES, PROFILES = "secureScores", "secureScoreControlProfiles"
TOKEN = "very-secret-token"


@define
class Tokens:
    """Hands out a new token for every refresh."""

    given: int = 0
    refreshed: int = 0

    async def token(self, *, refused: str = "", claims: str = "") -> str:
        self.given += 1
        self.refreshed += bool(refused)
        return f"{TOKEN}-{self.refreshed}"


@define
class Bench:
    """A source wired to a fake Graph that holds 95 days and three pages of profiles."""

    graph: FakeGraph
    clock: JumpClock
    tokens: Tokens
    http: Http
    url: str

    def source(self, **options: Any) -> GraphSource:
        given: dict[str, Any] = {
            "http": self.http,
            "base_url": self.url,
            "tenant_id": TENANT,
            "token": self.tokens,
            "clock": self.clock,
            "random": random.Random(1),
        }
        return GraphSource(**given | options)

    async def read(self, known: Known | None = None, **options: Any) -> Snapshot:
        return await self.source(**options).read(known or Known())

    def queue(self, collection: str, *answers: Callable[..., Any]) -> None:
        self.graph.queued[collection].extend(answers)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    profiles = [profile_document(f"control_{n}") for n in range(45)]
    graph = FakeGraph(days=history("2030-01-10", 95), profiles=profiles, profile_page=20)
    clock = JumpClock()
    http = Http(clock=clock, timeout_s=30.0)
    async with TestServer(graph.app()) as server:
        yield Bench(graph, clock, Tokens(), http, root(server))
        await http.close()


def known_after(snapshot: Snapshot) -> Known:
    assert isinstance(snapshot.days, tuple)
    return Known(snapshot.days[-1].day, had_days=True, had_profiles=True, pages=snapshot.pages)


def absent(part: Any) -> Absent:
    assert isinstance(part, Absent), part
    return part


def days_of(snapshot: Snapshot) -> list[str]:
    assert isinstance(snapshot.days, tuple)
    return [day.day for day in snapshot.days]


def texts(snapshot: Snapshot) -> list[str]:
    return [note.text for note in snapshot.notes]


# --------------------------------------------------------------------------------------------- what is asked for


async def test_contract(bench: Bench) -> None:
    await check_source(bench.source())


async def test_first_contact_reads_90_days_and_the_whole_catalogue(bench: Bench) -> None:
    snapshot = await bench.read()
    assert (len(days_of(snapshot)), days_of(snapshot)[0], days_of(snapshot)[-1]) == (90, "2029-10-13", "2030-01-10")
    assert isinstance(snapshot.days, tuple)
    assert [day.detailed for day in snapshot.days] == [False] * 89 + [True]
    assert isinstance(snapshot.catalogue, dict)
    assert len(snapshot.catalogue) == 45
    assert sorted(snapshot.pages) == ["profiles/1", "profiles/2", "profiles/3", "secureScores"]
    assert bench.graph.seen[0] == f"/v1.0/security/{SCORES}?$top=90"
    assert (bench.graph.count(SCORES), bench.graph.count(PROFILES)) == (1, 3)
    assert snapshot.notes == ()


async def test_requests_carry_token_and_language(bench: Bench) -> None:
    await bench.read(language="de-DE")
    for headers in bench.graph.headers:
        assert headers["Authorization"] == f"Bearer {TOKEN}-0"
        assert headers["Accept-Language"] == "de-DE"
    assert bench.tokens.given == 1


@pytest.mark.parametrize(
    ("newest", "top"),
    [
        ("2030-01-10", 4),  # today, and then as tomorrow: the overlap and one more
        ("2030-01-09", 4),
        ("2030-01-05", 8),  # five days switched off
        ("2029-06-01", 90),  # beyond what Graph keeps
        ("2030-02-01", 90),  # a clock is wrong: ask for everything
    ],
)
async def test_later_reads_ask_for_missing_days_and_an_overlap(bench: Bench, newest: str, top: int) -> None:
    snapshot = await bench.read(Known(newest, had_days=True))
    assert bench.graph.seen[0].endswith(f"$top={top}")
    assert len(days_of(snapshot)) == top
    assert bench.graph.count(SCORES) == 1, "the nextLink to the rest of history is not followed"


async def test_a_day_that_was_read_is_unchanged_at_the_next_read_and_after_midnight(bench: Bench) -> None:
    first = await bench.read(Known("2030-01-09", had_days=True))
    assert isinstance(first.days, tuple)
    for newest in ("2030-01-10", "2030-01-09"):  # today, and yesterday as soon as it is midnight
        again = await bench.read(Known(newest, had_days=True, pages=first.pages))
        assert isinstance(again.days, Unchanged)


async def test_an_outage_longer_than_a_short_backfill_is_caught_up(bench: Bench) -> None:
    await bench.read(Known("2029-12-01", had_days=True), backfill_days=7)
    assert bench.graph.seen[0].endswith("$top=43")


async def test_short_backfill(bench: Bench) -> None:
    assert days_of(await bench.read(backfill_days=2)) == ["2030-01-09", "2030-01-10"]


async def test_top_1_trap(bench: Bench) -> None:
    """$top=1 comes with a nextLink to all of history; value[0] is all that was asked for."""
    snapshot = await bench.read(Known("2030-01-10", had_days=True), overlap_days=0)
    assert days_of(snapshot) == ["2030-01-10"]
    assert bench.graph.count(SCORES) == 1


async def test_small_pages_of_days_are_followed_until_enough_came(bench: Bench) -> None:
    bench.graph.score_page = 1
    snapshot = await bench.read(backfill_days=5)
    assert len(days_of(snapshot)) == 5
    assert bench.graph.count(SCORES) == 5
    assert snapshot.pages.keys() >= {"secureScores", "secureScores/2", "secureScores/5"}


async def test_server_that_ignores_top_is_filtered_here(bench: Bench) -> None:
    bench.queue(SCORES, canned({"value": history("2030-01-10", 95)}))
    assert len(days_of(await bench.read(backfill_days=30))) == 30


async def test_missing_day_does_not_stretch_the_window(bench: Bench) -> None:
    """90 days wanted, one missing: 89 come, as on the real service, although an older one was sent."""
    del bench.graph.days[3]
    days = days_of(await bench.read())
    assert (len(days), days[0]) == (89, "2029-10-13")


async def test_empty_page_ends_the_days_even_with_a_link(bench: Bench) -> None:
    bench.queue(
        SCORES,
        canned(
            {"value": history("2030-01-10", 2), "@odata.nextLink": f"{bench.url}/v1.0/security/{SCORES}?$skiptoken=a"}
        ),
        canned({"value": [], "@odata.nextLink": f"{bench.url}/v1.0/security/{SCORES}?$skiptoken=b"}),
    )
    assert len(days_of(await bench.read())) == 2
    assert bench.graph.count(SCORES) == 2


async def test_oldest_first_is_put_in_order(bench: Bench) -> None:
    bench.queue(SCORES, canned({"value": history("2030-01-10", 3)[::-1]}))
    assert days_of(await bench.read()) == ["2030-01-08", "2030-01-09", "2030-01-10"]


async def test_future_day_is_flagged_and_moves_no_window(bench: Bench) -> None:
    bench.graph.days.insert(0, day_document("2099-01-01", {"A": 1}))
    snapshot = await bench.read(backfill_days=4)
    assert days_of(snapshot) == ["2030-01-08", "2030-01-09", "2030-01-10", "2099-01-01"]
    assert isinstance(snapshot.days, tuple)
    assert [day.flags for day in snapshot.days] == [(), (), (), ("future_dated",)]


async def test_same_day_twice_keeps_the_detailed_one(bench: Bench) -> None:
    plain, detailed = (day_document("2030-01-10", {"A": 5}, detailed=d) for d in (False, True))
    bench.queue(SCORES, canned({"value": [plain, detailed]}))
    snapshot = await bench.read()
    assert isinstance(snapshot.days, tuple)
    assert [day.detailed for day in snapshot.days] == [True]
    assert texts(snapshot) == ["secureScores: more than one document for 2030-01-10, which say the same"]


# ------------------------------------------------------------------------------------------ unchanged, evidence


async def test_unchanged_pages_are_known_although_every_link_differs(bench: Bench) -> None:
    first = await bench.read(Known("2030-01-10", had_days=True))
    again = await bench.read(known_after(first))
    assert (again.days, again.catalogue) == (Unchanged(), Unchanged())
    assert again.pages == first.pages


async def test_parts_change_apart(bench: Bench) -> None:
    known = known_after(await bench.read(Known("2030-01-10", had_days=True)))
    bench.graph.profiles[44]["title"] = "other"
    snapshot = await bench.read(known)
    assert isinstance(snapshot.days, Unchanged)
    assert isinstance(snapshot.catalogue, dict)
    assert snapshot.catalogue["control_44"].title == "other"
    assert {name for name in snapshot.pages if snapshot.pages[name] != known.pages[name]} == {"profiles/3"}


@pytest.mark.parametrize("count", [40, 39, 61])
async def test_more_or_fewer_pages_are_a_change(bench: Bench, count: int) -> None:
    known = known_after(await bench.read())
    bench.graph.profiles[:] = [profile_document(f"control_{n}") for n in range(count)]
    snapshot = await bench.read(known)
    assert isinstance(snapshot.catalogue, dict)
    assert len(snapshot.catalogue) == count


async def test_evidence_is_the_bytes_as_received(bench: Bench) -> None:
    snapshot = await bench.read()
    assert [file.name for file in snapshot.evidence] == [
        "secureScores-1.json",
        "secureScoreControlProfiles-1.json",
        "secureScoreControlProfiles-2.json",
        "secureScoreControlProfiles-3.json",
    ]
    bench.queue(SCORES, canned(b'{"value" :\n[]}'))
    assert EvidenceFile("secureScores-1.json", b'{"value" :\n[]}') in (await bench.read()).evidence


# --------------------------------------------------------------------------------------------------- incomplete


async def test_new_tenant_has_no_data_and_that_is_no_error(bench: Bench) -> None:
    bench.graph.days.clear()
    bench.graph.profiles.clear()
    snapshot = await bench.read()
    assert (snapshot.days, snapshot.catalogue) == ((), {})


async def test_empty_after_full_is_absent_and_not_remembered(bench: Bench) -> None:
    known = known_after(await bench.read())
    bench.graph.days.clear()
    bench.graph.profiles.clear()
    snapshot = await bench.read(known)
    assert absent(snapshot.days).reason == absent(snapshot.catalogue).reason == "empty_after_full"
    assert snapshot.pages == known.pages
    assert snapshot.evidence == ()


async def test_206_is_partial_with_the_providers_warning(bench: Bench) -> None:
    warning = {"Warning": '199 - "Vendor/Provider/504/10000"'}
    bench.queue(SCORES, canned({"value": history("2030-01-10", 1)}, status=206, headers=warning))
    snapshot = await bench.read()
    assert absent(snapshot.days).reason == "partial"
    assert '199 - "Vendor/Provider/504/10000"' in absent(snapshot.days).detail
    assert isinstance(snapshot.catalogue, dict)
    assert bench.clock.slept == [], "206 is tried again at the next poll, not at once"


async def test_206_on_a_later_page_leaves_the_pages_before_it(bench: Bench) -> None:
    passing = bench.graph.answer
    bench.queue(PROFILES, _once(passing), canned({"value": [profile_document("control_20")]}, status=206))
    snapshot = await bench.read()
    assert isinstance(snapshot.catalogue, dict)
    assert len(snapshot.catalogue) == 20
    assert snapshot.partial["catalogue"].reason == "partial"
    assert "secureScoreControlProfiles page 2" in snapshot.partial["catalogue"].detail
    assert len(days_of(snapshot)) == 90
    assert [file.name for file in snapshot.evidence] == ["secureScores-1.json"]
    assert list(snapshot.pages) == ["secureScores"]


def _once(passing: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    """The normal answer, as a queued one: puts the queue aside while it is computed."""

    async def handler(request: web.Request) -> web.StreamResponse:
        graph = passing.__self__  # type: ignore[attr-defined]  # a bound method
        waiting, graph.queued[PROFILES] = graph.queued[PROFILES], []
        try:
            answer = await passing(request)
        finally:
            graph.queued[PROFILES] = waiting
        assert isinstance(answer, web.StreamResponse)
        return answer

    return handler


async def test_a_page_that_is_refused_is_gone_with_its_read(bench: Bench) -> None:
    """An error's frames hold what was being read, and each other: a hundred megabytes, until garbage is collected."""
    for collection in (SCORES, PROFILES):
        bench.queue(collection, canned(b'{"not a page": {"at": "all"}}'))
    gc.collect()
    gc.disable()
    try:
        await bench.read()
        left = [each for each in gc.get_objects() if isinstance(each, dict) and "not a page" in each]
    finally:
        gc.enable()
    assert left == []


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        (b"<html><body>Please sign in</body></html>", "not_json", "HTML instead of JSON"),
        (b"", "not_json", "empty"),
        (b"{}", "not_json", "no `value` list"),
        (b'{"value": {"a": 1}}', "not_json", "no `value` list"),
        (b'{"value": [1]}', "not_json", "document 1 is not a JSON object"),
        (b'{"value": [{"id": "x_2030-01-10", "controlScores": [', "truncated", "ends early"),
        (b'{"value": [{"id": "x_2030-01-10"}]}', "not_json", "controlScores is missing"),
    ],
)
async def test_useless_body_spoils_its_part_only(bench: Bench, body: bytes, reason: str, words: str) -> None:
    bench.queue(SCORES, canned(body))
    snapshot = await bench.read(Known("2030-01-09", had_days=True, pages={"secureScores": "abc", "profiles/1": "d"}))
    assert absent(snapshot.days).reason == reason
    assert words in absent(snapshot.days).detail
    assert "secureScores page 1" in absent(snapshot.days).detail
    assert isinstance(snapshot.catalogue, dict)
    assert snapshot.pages["secureScores"] == "abc"


async def test_numbers_as_strings_nulls_and_unknown_fields_are_read(bench: Bench) -> None:
    document = day_document("2030-01-10", {"A": 5}, currentScore="5.0", maxScore=None, surprise={"x": [1]})
    document["controlScores"][0] |= {"score": "5.0", "scoreInPercentage": None}
    bench.queue(SCORES, canned({"value": [document]}))
    snapshot = await bench.read()
    assert isinstance(snapshot.days, tuple)
    (day,) = snapshot.days
    assert (day.score, day.max_score, day.controls["A"].score, day.controls["A"].percent) == (5.0, None, 5.0, None)
    assert day.flags == ()


async def test_50_mb_page_is_too_large(bench: Bench) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(50 * 16):
            await answer.write(b" " * 65_536)
        return answer

    bench.queue(SCORES, large)
    snapshot = await bench.read()
    assert absent(snapshot.days) == Absent("too_large", "secureScores page 1: larger than 16777216 bytes")
    assert isinstance(snapshot.catalogue, dict)


async def test_pages_are_bounded_in_sum(bench: Bench) -> None:
    """Many pages just below the limit must not fill the memory."""
    filler = " " * 90_000

    async def page(request: web.Request) -> web.StreamResponse:
        bench.queue(PROFILES, page)
        link = f"{bench.url}/v1.0/security/{PROFILES}?$skiptoken={len(bench.graph.seen)}"
        return web.json_response({"@odata.nextLink": link, "value": [], "filler": filler})

    bench.queue(PROFILES, page)
    snapshot = await bench.read(max_page_bytes=100_000)
    assert absent(snapshot.catalogue).reason == "too_large"
    assert bench.graph.count(PROFILES) == 5


@pytest.mark.parametrize("collection", [SCORES, PROFILES])
async def test_wrong_tenant_stops_everything(bench: Bench, collection: str) -> None:
    foreign = (
        day_document("2030-01-10", {"A": 1}, azureTenantId=OTHER_TENANT)
        if collection == SCORES
        else profile_document("A", azureTenantId=OTHER_TENANT)
    )
    bench.queue(collection, canned({"value": [foreign]}))
    with pytest.raises(WrongTenant, match=f"{collection} page 1, .* belongs to tenant {OTHER_TENANT}"):
        await bench.read()


# --------------------------------------------------------------------------------------------------- nextLinks


async def test_token_never_leaves_for_another_host(bench: Bench) -> None:
    elsewhere = []

    async def thief(request: web.Request) -> web.Response:
        elsewhere.append(dict(request.headers))
        return web.json_response({"value": []})

    async with serve(thief) as server:
        bench.queue(PROFILES, canned({"value": [], "@odata.nextLink": f"{root(server)}/v1.0/security/{PROFILES}"}))
        snapshot = await bench.read()
    part = absent(snapshot.catalogue)
    assert (part.reason, elsewhere) == ("paging", [])
    assert "no token was sent" in part.detail
    assert TOKEN not in repr(snapshot)
    assert len(days_of(snapshot)) == 90


@pytest.mark.parametrize(
    "link",
    [
        "https://{host}/v1.0/security/x",  # another scheme
        "http://{host}1/v1.0/security/x",  # another port
        "http://127.0.0.2:{port}/v1.0/security/x",
        "http://user@{host}/v1.0/security/x",
        "http://user:word@{host}/x",
        "http://{host}@evil.example/x",
        "//evil.example/x",
        "/v1.0/security/x",
        "http://{host}\\@evil.example/x",
        "ftp://{host}/x",
        "http://{host}/x y",
        "http://{host}/x\r\nHost: evil.example",
        "http://{host}/ä",
        "http://{host}/" + "x" * 9_000,
        "http://[",
        " ",
        "",
        "?",
        "#x",
        "?a\r\nHost: evil.example",
        "/\\evil.example/x?a",
        "secureScores?$skiptoken=2",  # of another collection
        "../../../x?$skiptoken=2",
        "{host}/v1.0/security/secureScoreControlProfiles?a",  # without a scheme
    ],
)
async def test_odd_links_are_not_followed(bench: Bench, link: str) -> None:
    host = bench.url.removeprefix("http://")
    sent = link.format(host=host, port=host.split(":")[1])
    bench.queue(PROFILES, canned({"@odata.nextLink": sent, "value": []}))
    snapshot = await bench.read()
    assert absent(snapshot.catalogue).reason == "paging"
    assert len(absent(snapshot.catalogue).detail) < 500
    assert bench.graph.count(PROFILES) == 1


async def test_link_is_followed_verbatim(bench: Bench) -> None:
    query = "$skiptoken=a%2Fb%20c+d%24&x='1'"
    bench.queue(
        PROFILES,
        canned({"@odata.nextLink": f"{bench.url}/v1.0/security/{PROFILES}?{query}", "value": []}),
        canned({"value": [profile_document("A")]}),
    )
    snapshot = await bench.read()
    assert bench.graph.seen[-1] == f"/v1.0/security/{PROFILES}?{query}"
    assert isinstance(snapshot.catalogue, dict)
    assert list(snapshot.catalogue) == ["A"]


@pytest.mark.parametrize(
    "link",
    [
        "?$skiptoken=2",
        f"{PROFILES}?$skiptoken=2",
        f"security/{PROFILES}?$skiptoken=2",
        f"/v1.0/security/{PROFILES}?$skiptoken=2",
    ],
)
async def test_a_relative_link_leads_on_in_the_same_collection(bench: Bench, link: str) -> None:
    bench.queue(PROFILES, canned({"@odata.nextLink": link, "value": []}), canned({"value": [profile_document("A")]}))
    snapshot = await bench.read()
    assert bench.graph.seen[-1] == f"/v1.0/security/{PROFILES}?$skiptoken=2"
    assert isinstance(snapshot.catalogue, dict)
    assert list(snapshot.catalogue) == ["A"]


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("", "is empty, which says neither where to go on nor that this is all"),
        ("/beta/x", "is relative (/beta/x) and leads to no page of secureScoreControlProfiles"),
        (7, "is no text"),
    ],
)
async def test_a_link_that_is_not_followed_is_told_as_what_it_is(bench: Bench, link: object, words: str) -> None:
    bench.queue(PROFILES, canned({"@odata.nextLink": link, "value": [profile_document("A")]}))
    snapshot = await bench.read()
    part = snapshot.partial.get("catalogue") or absent(snapshot.catalogue)
    assert words in part.detail


async def test_link_loop_is_noticed(bench: Bench) -> None:
    link = f"{bench.url}/v1.0/security/{PROFILES}?$skiptoken=loop"
    bench.queue(PROFILES, *[canned({"value": [profile_document("A")], "@odata.nextLink": link})] * 5)
    part = (await bench.read()).partial["catalogue"]
    assert (part.reason, part.detail) == ("paging", f"{PROFILES}: page 2 links back to an earlier page")
    assert bench.graph.count(PROFILES) == 2


async def test_endless_paging_ends(bench: Bench) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        bench.queue(PROFILES, page)
        link = f"{bench.url}/v1.0/security/{PROFILES}?$skiptoken={len(bench.graph.seen)}"
        return web.json_response({"@odata.nextLink": link, "value": [profile_document("A")]})

    bench.queue(PROFILES, page)
    part = (await bench.read(max_pages=20)).partial["catalogue"]
    assert (part.reason, part.detail) == ("paging", f"{PROFILES}: no end after 20 pages")
    assert bench.graph.count(PROFILES) == 20


async def test_link_hidden_in_the_middle_is_not_overlooked(bench: Bench) -> None:
    body = {"value": [], "a": "x" * 40_000, "@odata.nextLink": f"{bench.url}/x", "b": "x" * 40_000}
    bench.queue(PROFILES, canned(body))
    assert absent((await bench.read()).catalogue).reason == "paging"


async def test_profile_on_two_pages_is_noted(bench: Bench) -> None:
    link = f"{bench.url}/v1.0/security/{PROFILES}?$skiptoken=2"
    bench.queue(
        PROFILES,
        canned({"value": [profile_document("A")], "@odata.nextLink": link}),
        canned({"value": [profile_document("A", title="late"), profile_document("B")]}),
    )
    snapshot = await bench.read()
    assert isinstance(snapshot.catalogue, dict)
    assert {name: profile.title for name, profile in snapshot.catalogue.items()} == {
        "A": "Title of A",
        "B": "Title of B",
    }
    assert texts(snapshot) == [f"{PROFILES} page 2: A came on an earlier page as well; the first entry counts"]


# ------------------------------------------------------------------------------------------------ refused, later


async def test_401_is_answered_with_one_new_token(bench: Bench) -> None:
    bench.queue(SCORES, canned({"error": {"code": "InvalidAuthenticationToken"}}, status=401))
    snapshot = await bench.read()
    assert len(days_of(snapshot)) == 90
    assert [headers["Authorization"][-1] for headers in bench.graph.headers[:3]] == ["0", "1", "1"]
    assert bench.tokens.refreshed == 1


@pytest.mark.parametrize(("status", "requests"), [(401, 3), (403, 2)])
async def test_refused_access_names_every_possible_reason(bench: Bench, status: int, requests: int) -> None:
    refusal = {"error": {"code": "Forbidden", "message": "No.", "innerError": {"request-id": "r-1"}}}
    bench.queue(SCORES, *[canned(refusal, status=status)] * 2)
    bench.queue(PROFILES, canned(refusal, status=status))
    with pytest.raises(Denied) as caught:
        await bench.read()
    assert f"secureScores page 1: HTTP {status} (Forbidden: No.) [request-id r-1]" in caught.value.what
    for needed in ("SecurityEvents.Read.All", "consented", "Security Reader", "licence"):
        assert needed in caught.value.hint
    assert TOKEN not in caught.value.what + caught.value.hint
    assert len(bench.graph.seen) == requests
    assert bench.clock.slept == []


async def test_one_refused_collection_leaves_the_other(bench: Bench) -> None:
    bench.queue(PROFILES, canned({"error": {}}, status=403))
    snapshot = await bench.read()
    assert absent(snapshot.catalogue).reason == "denied"
    assert "SecurityEvents.Read.All" in absent(snapshot.catalogue).hint
    assert len(days_of(snapshot)) == 90


async def test_different_troubles_are_reported_apart(bench: Bench) -> None:
    bench.queue(SCORES, canned(b"", status=403))
    bench.queue(PROFILES, *[canned(b"", status=503)] * 20)
    snapshot = await bench.read()
    assert (absent(snapshot.days).reason, absent(snapshot.catalogue).reason) == ("denied", "unavailable")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_transient_errors_heal_within_the_read(bench: Bench, status: int) -> None:
    bench.queue(SCORES, *[canned(b"", status=status)] * 3)
    snapshot = await bench.read()
    assert len(days_of(snapshot)) == 90
    assert len(bench.clock.slept) == 3
    assert all(0 <= slept <= ceiling for slept, ceiling in zip(bench.clock.slept, (1, 2, 4), strict=True))


async def test_servers_wish_is_obeyed(bench: Bench) -> None:
    bench.queue(SCORES, canned(b"", status=429, headers={"Retry-After": "12"}))
    await bench.read()
    assert bench.clock.slept == [12.0]


async def test_wish_as_a_date_is_obeyed(bench: Bench) -> None:
    bench.queue(SCORES, canned(b"", status=503, headers={"Retry-After": "Thu, 10 Jan 2030 12:00:20 GMT"}))
    await bench.read()
    assert bench.clock.slept == [20.0]


async def test_wish_beyond_the_deadline_ends_the_read(bench: Bench) -> None:
    """The limit is shared, so the catalogue is not even asked for."""
    bench.queue(SCORES, canned(b"", status=429, headers={"Retry-After": "315"}))
    with pytest.raises(Unavailable) as caught:
        await bench.read()
    assert caught.value.retry_after_s == 315.0
    assert (bench.clock.slept, len(bench.graph.seen)) == ([], 1)


async def test_throttled_catalogue_keeps_the_days(bench: Bench) -> None:
    bench.queue(PROFILES, canned(b"", status=429, headers={"Retry-After": "315"}))
    snapshot = await bench.read()
    assert len(days_of(snapshot)) == 90
    assert (absent(snapshot.catalogue).reason, absent(snapshot.catalogue).retry_after_s) == ("throttled", 315.0)


async def test_retries_end_at_the_deadline(bench: Bench) -> None:
    bench.queue(SCORES, *[canned(b"", status=503)] * 50)
    bench.queue(PROFILES, *[canned(b"", status=503)] * 50)
    with pytest.raises(Unavailable):
        await bench.read(deadline_s=10.0)
    assert sum(bench.clock.slept) <= 10.0
    assert len(bench.graph.seen) <= 16


async def test_retries_end_even_when_the_clock_stands_still(bench: Bench) -> None:
    class StandingClock(JumpClock):
        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)

    bench.queue(SCORES, *[canned(b"", status=503)] * 50)
    snapshot = await bench.read(clock=StandingClock())
    assert absent(snapshot.days).reason == "unavailable"
    assert bench.graph.count(SCORES) == 8


async def test_same_seed_waits_alike(bench: Bench) -> None:
    waits = []
    for _ in range(2):
        bench.clock.slept.clear()
        bench.queue(SCORES, *[canned(b"", status=503)] * 3)
        await bench.read()
        waits.append(list(bench.clock.slept))
    assert waits[0] == waits[1]


async def test_broken_off_answer_is_tried_again(bench: Bench) -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b'{"value": [')
        assert request.transport is not None
        request.transport.abort()
        return answer

    bench.queue(SCORES, breaks_off)
    assert len(days_of(await bench.read())) == 90
    bench.queue(SCORES, *[breaks_off] * 50)
    assert absent((await bench.read()).days).reason == "truncated"


@pytest.mark.parametrize(
    ("status", "words"), [(400, "base_url"), (404, "base_url"), (302, "redirect to portal.example")]
)
async def test_wrong_address_is_the_operators(bench: Bench, status: int, words: str) -> None:
    answer = canned(b"", status=status, headers={"Location": "https://portal.example/"})
    bench.queue(SCORES, answer)
    bench.queue(PROFILES, answer)
    with pytest.raises(Denied) as caught:
        await bench.read()
    assert words in f"{caught.value.what} {caught.value.hint}"
    assert len(bench.graph.seen) == 2


async def test_10_mb_error_body_gives_a_short_error(bench: Bench) -> None:
    bench.queue(PROFILES, canned(b"E" * 10_000_000, status=403, headers={"Content-Type": "text/plain"}))
    assert len(absent((await bench.read()).catalogue).detail) < 1_000


async def test_no_server(unused_tcp_port: int, bench: Bench) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        await bench.read(base_url=f"http://127.0.0.1:{unused_tcp_port}")


@pytest.mark.parametrize("error", [Denied("secret expired", "renew it"), Unavailable("login is down", 7_200.0)])
async def test_without_a_token_nothing_is_asked(bench: Bench, error: SecureScoreError) -> None:
    @define
    class Broken:
        async def token(self, *, refused: str = "", claims: str = "") -> str:
            raise error

    with pytest.raises(type(error), match=error.what):
        await bench.read(token=Broken())
    assert bench.graph.seen == []


async def test_no_token_in_any_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bench.queue(SCORES, canned(b"", status=503), canned(b"", status=401), canned(b"[", status=200))
    bench.queue(PROFILES, canned(b"", status=403))
    snapshot = await bench.read()
    assert TOKEN not in caplog.text + repr(snapshot)


async def test_part_that_failed_is_read_again_next_time(bench: Bench) -> None:
    known = known_after(await bench.read(Known("2030-01-10", had_days=True)))
    bench.queue(PROFILES, canned({"value": []}, status=206))
    failed = await bench.read(known)
    assert absent(failed.catalogue).reason == "partial"
    again = await bench.read(evolve(known, pages=failed.pages))
    assert (again.days, again.catalogue) == (Unchanged(), Unchanged())


# -------------------------------------------------------------------------------------------- broken off, not lost


def broken(kind: str) -> Callable[..., Any]:
    if kind == "cut":

        async def cut(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "5000", "Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(b'{"value": [')
            assert request.transport is not None
            request.transport.close()
            return response

        return cut
    if kind == "reset":

        async def reset(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        return reset
    if kind == "not json":
        return canned(b"<html>sign in</html>")
    message = {"error": {"code": "", "message": "Query option 'SkipToken' is not allowed."}}
    return canned(message, status=int(kind))


FAULTS = ["400", "403", "404", "206", "503", "429", "cut", "reset", "not json"]


@pytest.mark.parametrize("kind", FAULTS)
async def test_days_already_read_stay_when_a_later_page_fails(bench: Bench, kind: str) -> None:
    link = f"{bench.url}/v1.0/security/{SCORES}?$skiptoken=2"
    bench.queue(SCORES, canned({"value": history("2030-01-10", 19), "@odata.nextLink": link}), *[broken(kind)] * 40)
    snapshot = await bench.read()
    assert (len(days_of(snapshot)), days_of(snapshot)[-1]) == (19, "2030-01-10")
    part = snapshot.partial["days"]
    assert f"{SCORES} page 2" in part.detail
    assert "base_url" not in part.hint + part.detail
    assert "same address" in part.hint or kind in ("not json", "reset")
    assert "secureScores" not in snapshot.pages
    if kind != "429":  # then nothing more is asked
        assert isinstance(snapshot.catalogue, dict)


@pytest.mark.parametrize("kind", FAULTS)
async def test_profiles_already_read_stay_when_a_later_page_fails(bench: Bench, kind: str) -> None:
    link = f"{bench.url}/v1.0/security/{PROFILES}?$skiptoken=2"
    bench.queue(PROFILES, canned({"value": [profile_document("A")], "@odata.nextLink": link}), *[broken(kind)] * 40)
    snapshot = await bench.read()
    assert isinstance(snapshot.catalogue, dict)
    assert list(snapshot.catalogue) == ["A"]
    assert list(snapshot.partial) == ["catalogue"]
    assert "base_url" not in snapshot.partial["catalogue"].hint
    assert len(days_of(snapshot)) == 90
    assert list(snapshot.pages) == ["secureScores"]


async def test_days_that_a_broken_read_lacked_are_asked_for_again(bench: Bench) -> None:
    """An overlap and one more are asked for where all is known, all of them where some are missing."""
    known = Known("2030-01-10", had_days=True, pages={"secureScores": "x"})
    assert len(days_of(await bench.read(known))) == 4
    assert len(days_of(await bench.read(evolve(known, days_missing=True)))) == 90


async def test_a_document_that_cannot_be_read_leaves_the_others(bench: Bench) -> None:
    days = history("2030-01-10", 5)
    days[2]["controlScores"] = None
    bench.queue(SCORES, canned({"value": days}))
    bench.queue(PROFILES, canned({"value": [profile_document("A"), profile_document("B", id=None)]}))
    snapshot = await bench.read()
    assert days_of(snapshot) == ["2030-01-06", "2030-01-07", "2030-01-09", "2030-01-10"]
    assert "document 3 (2030-01-08): controlScores is missing" in snapshot.partial["days"].detail
    assert isinstance(snapshot.catalogue, dict)
    assert list(snapshot.catalogue) == ["A"]
    assert "profile 2" in snapshot.partial["catalogue"].detail
    assert len(snapshot.evidence) == 2


async def test_of_two_documents_of_a_day_the_later_counts(bench: Bench) -> None:
    early, late = (day_document("2030-01-10", {"A": score}, detailed=True) for score in (5, 7))
    late["controlScores"][0]["lastSynced"] = "2030-01-10T09:00:00Z"
    for order in ([early, late], [late, early]):
        bench.queue(SCORES, canned({"value": order}))
        snapshot = await bench.read()
        assert isinstance(snapshot.days, tuple)
        assert [day.score for day in snapshot.days] == [7.0]
        assert texts(snapshot) == [
            "secureScores: more than one document for 2030-01-10, which differ: the later counts"
        ]


async def test_what_is_odd_about_days_is_noted_in_words(bench: Bench) -> None:
    days = history("2030-01-10", 3)
    days[1]["maxScore"] = "many"
    days[2]["currentScore"] = 1000.0
    bench.queue(SCORES, canned({"value": days}))
    assert texts(await bench.read()) == [
        "a number cannot be read and counts as unknown: 2030-01-09",
        "the scores of the controls do not add up to the total, which counts as Microsoft gave it: 2030-01-08",
    ]
