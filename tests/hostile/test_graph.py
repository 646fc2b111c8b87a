"""A Graph that means harm: a token goes nowhere else, an answer costs one attempt and bounded time, nothing is lost."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import Factory, define

from connector.clock import SystemClock
from connector.errors import Denied, PartialRead, Unavailable
from connector.foreign.characters import harmless
from connector.model import Absent, Known, Snapshot
from connector.net.client import Http
from connector.sources.graph import GraphSource
from tests.fake_graph import TENANT, canned, day_document, serve
from tests.fakes.hostile import WAYS, Hostile, hostile, says

TOKEN = "c0ffee00-1111-2222-3333-444444444444"
LONGEST_S = 50.0
KNOWN = Known("2030-01-09", had_days=True, had_profiles=True)


@define
class Tokens:
    async def token(self, *, refused: str = "", claims: str = "") -> str:
        return TOKEN


@define
class Reader:
    """A source, and what it says of itself."""

    http: Http = Factory(lambda: Http(clock=SystemClock(), timeout_s=1.0))

    async def read(self, url: str) -> Snapshot | Exception:
        source = GraphSource(
            http=self.http,
            base_url=url,
            tenant_id=TENANT,
            token=Tokens(),
            clock=SystemClock(),
            random=random.Random(1),
            deadline_s=3.0,
        )
        try:
            return await asyncio.wait_for(source.read(KNOWN), LONGEST_S)
        except (Unavailable, Denied, PartialRead) as error:
            return error


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    made = Reader()
    yield made
    await made.http.close()


def words(found: Snapshot | Exception) -> str:
    if isinstance(found, Exception):
        return f"{found} {getattr(found, 'hint', '')}"
    parts = [part for part in (found.days, found.catalogue) if isinstance(part, Absent)]
    return " ".join(
        [*(f"{part.reason} {part.detail} {part.hint}" for part in parts), *(note.text for note in found.notes)]
    )


async def test_answers_of_all_at_once_cost_one_attempt_each(reader: Reader) -> None:
    async def one(way: str) -> tuple[str, Snapshot | Exception]:
        async with hostile(WAYS[way]) as far:
            return way, await reader.read(far.url)

    for way, found in await asyncio.gather(*map(one, WAYS)):
        said = words(found)
        assert TOKEN not in said, way
        assert harmless(said) == said, way
        assert len(said) < 3000, way
        if isinstance(found, Snapshot):
            assert isinstance(found.days, Absent) or found.days == (), f"{way}: no day of it is believed"
            assert isinstance(found.catalogue, Absent) or not found.catalogue, way


LINKS = [
    "http://[::1]:{port}/v1.0/security/secureScores?x",
    "http://[::ffff:127.0.0.2]:{port}/v1.0/security/secureScores?x",
    "http://127.0.0.2:{port}/v1.0/security/secureScores?x",
    "http://2130706434:{port}/v1.0/security/secureScores?x",
    "http://0x7f000002:{port}/v1.0/security/secureScores?x",
    "http://127.0.0.1:{port}@127.0.0.2:{port}/x",
    "http://127.0.0.1:{port}#@127.0.0.2:{port}/x",
    "http://127.0.0.1:{port}\\@127.0.0.2:{port}/x",
    "http://１２７.0.0.2:{port}/x",
    "http://127。0。0。2:{port}/x",
    "//127.0.0.2:{port}/v1.0/security/secureScores?x",
    "\thttp://127.0.0.2:{port}/x",
    "file:///etc/passwd",
    "gopher://127.0.0.2:{port}/x",
    "javascript:alert(1)",
    "http://127.0.0.2:{port}/" + "x" * 100_000,
    "http://127.0.0.2:{port}/\ud800",
    7,
    1e308,
    ["http://127.0.0.2:{port}/x"],
    {"href": "http://127.0.0.2:{port}/x"},
    True,
]


async def test_no_link_takes_the_token_elsewhere(reader: Reader) -> None:
    """Somebody listens at every other address of this machine under the same port, and hears nothing."""
    async with hostile(says(b"")) as good:
        heard: list[str] = []

        async def thief(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
            heard.append(str(write.get_extra_info("sockname")))
            write.transport.abort()

        servers = [await asyncio.start_server(thief, address, good.port) for address in ("127.0.0.2", "::1")]
        for link in LINKS:
            there = json.loads(json.dumps(link).replace("{port}", str(good.port)))
            page: dict[str, Any] = {"@odata.nextLink": there, "value": [day_document("2030-01-10", {"A": 5})]}
            body = json.dumps(page).encode("utf-8", "surrogatepass")
            good.way = says(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            said = words(await reader.read(good.url))
            assert harmless(said) == said, link
            assert len(said) < 5000, link
        for server in servers:
            server.close()
        assert heard == []
        assert good.asked


async def test_a_redirect_takes_the_token_nowhere(reader: Reader) -> None:
    far: Hostile
    async with hostile(says(b"")) as far:
        for status in (301, 302, 303, 307, 308):
            async with serve(canned(b"", status, {"Location": f"{far.url}/stolen"})) as server:
                assert isinstance(await reader.read(str(server.make_url("")).rstrip("/")), Denied)
        assert far.asked == []
