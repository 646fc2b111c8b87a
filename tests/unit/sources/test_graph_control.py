"""One control, one service and the newest day from Graph: asked for narrowly, and filtered again on our side."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import Factory, define

from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, WrongTenant
from connector.net.client import Http
from connector.sources.graph import GraphSource, profile_path
from tests.fake_graph import OTHER_TENANT, TENANT, JumpClock, day_document, profile_document, root

AWKWARD = "62242.MDA /Ünder~%?#&'_1"


@define
class Tokens:
    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return "token"


@define
class Graph:
    """Answers everything with `answer`; notes the raw path of each request."""

    answer: Any = None
    status: int = 200
    seen: list[str] = Factory(list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request.raw_path)
        if self.status != 200:
            return web.json_response({"error": {"code": "", "message": "no"}}, status=self.status)
        return web.json_response(self.answer)


@pytest.fixture
async def bench() -> AsyncIterator[tuple[Graph, GraphSource]]:
    graph = Graph()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", graph.handle)
    http = Http(clock=(clock := JumpClock()), timeout_s=5)
    async with TestServer(app) as server:
        yield (
            graph,
            GraphSource(
                http=http, base_url=root(server), tenant_id=TENANT, token=Tokens(), clock=clock, random=random.Random(1)
            ),
        )
        await http.close()


async def test_one_control_is_asked_for_by_its_encoded_id(bench: tuple[Graph, GraphSource]) -> None:
    graph, source = bench
    graph.answer = profile_document(AWKWARD)
    found = await source.control(AWKWARD)
    assert found is not None
    assert found.id == AWKWARD
    (path,) = graph.seen
    last = path.removeprefix("/v1.0/security/secureScoreControlProfiles/")
    assert last == "62242%2EMDA%20%2F%C3%9Cnder%7E%25%3F%23%26%27_1"


@pytest.mark.parametrize("name", ["..", ".", "../../me", "a/b?c=d"])
def test_no_name_can_lead_to_another_address(name: str) -> None:
    path = profile_path(name)
    assert path.count("/") == 1
    assert not set(path.partition("/")[2]) & set("./?#")


async def test_a_control_that_is_not_there_is_none(bench: tuple[Graph, GraphSource]) -> None:
    graph, source = bench
    graph.status = 404
    assert await source.control("Nothing") is None
    assert len(graph.seen) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (profile_document("Another"), PartialRead),
        (profile_document("A", azureTenantId=OTHER_TENANT), WrongTenant),
        ({"value": []}, PartialRead),
        ([1], PartialRead),
        ({"id": 7}, PartialRead),
    ],
)
async def test_another_answer_is_not_taken(
    bench: tuple[Graph, GraphSource], answer: Any, error: type[SecureScoreError]
) -> None:
    graph, source = bench
    graph.answer = answer
    with pytest.raises(error):
        await source.control("A")


@pytest.mark.parametrize(("status", "error"), [(403, Denied), (503, Unavailable), (206, PartialRead)])
async def test_faults_are_raised(bench: tuple[Graph, GraphSource], status: int, error: type[SecureScoreError]) -> None:
    graph, source = bench
    graph.status = status
    with pytest.raises(error):
        await source.control("A")


async def test_one_service_is_filtered_there_and_here(bench: tuple[Graph, GraphSource]) -> None:
    """A server that ignores the filter changes nothing."""
    graph, source = bench
    graph.answer = {"value": [profile_document("A"), profile_document("B", service="O'365")]}
    assert list(await source.catalogue("O'365")) == ["B"]
    assert graph.seen == [
        "/v1.0/security/secureScoreControlProfiles?$filter=service%20eq%20%27O%27%27365%27",
    ]
    assert list(await source.catalogue()) == ["A", "B"]


async def test_newest_day_alone(bench: tuple[Graph, GraphSource]) -> None:
    graph, source = bench
    graph.answer = {
        "value": [day_document("2030-01-10", {"A": 5}, detailed=True)],
        "@odata.nextLink": "https://elsewhere.example/",
    }
    day = await source.newest()
    assert day is not None
    assert day.day == "2030-01-10"
    assert graph.seen == ["/v1.0/security/secureScores?$top=1"]
    graph.answer = {"value": []}
    assert await source.newest() is None


async def test_a_read_ends_at_its_limit_even_when_every_page_is_merely_slow(bench: tuple[Graph, GraphSource]) -> None:
    clock = bench[1]._clock
    pages = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal pages
        pages += 1
        await clock.sleep(50)
        link = f"http://{request.host}/v1.0/security/secureScoreControlProfiles?$skiptoken={pages}"
        return web.json_response({"value": [profile_document(f"c{pages}")], "@odata.nextLink": link})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        http = Http(clock=clock)
        slow = GraphSource(
            http=http,
            base_url=root(server),
            tenant_id=TENANT,
            token=Tokens(),
            clock=clock,
            random=random.Random(1),
            limit_s=200.0,
        )
        with pytest.raises(PartialRead, match="200 s"):
            await slow.catalogue()
        await http.close()
    assert pages == 5


@pytest.mark.parametrize("owner", [None, ""])
async def test_a_control_that_does_not_say_whose_it_is_is_not_taken(
    bench: tuple[Graph, GraphSource], owner: str | None
) -> None:
    """What is read alone may be written to next."""
    graph, source = bench
    graph.answer = profile_document("AdminMFAV2") | {"azureTenantId": owner}
    with pytest.raises(PartialRead, match="whose it is"):
        await source.control("AdminMFAV2")
