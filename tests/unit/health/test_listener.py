"""The health port under callers who mean harm: few descriptors, an answer for a fresh caller, no foreign names."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from connector.health.listener import MAX_CONNECTIONS, answers_to, listening

HOME = "127.0.0.1"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="fine")


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/healthz", answer)
    async with listening(app, HOME, 0) as found:
        yield found


async def said(streams: Streams, request: bytes) -> bytes:
    streams[1].write(request)
    return await ended(streams)


async def ended(streams: Streams) -> bytes:
    """What came until the far end closed the connection."""
    try:
        return await asyncio.wait_for(streams[0].read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        streams[1].close()


def request(host: str = "localhost", path: str = "/healthz") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def test_a_caller_is_answered_and_the_connection_closed(port: int) -> None:
    found = await said(await asyncio.open_connection(HOME, port), request())
    assert found.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in found
    assert found.endswith(b"fine")


async def test_a_head_in_pieces_is_a_head(port: int) -> None:
    streams = await asyncio.open_connection(HOME, port)
    for octet in request():
        streams[1].write(bytes([octet]))
        await streams[1].drain()
        await asyncio.sleep(0)
    assert (await ended(streams)).startswith(b"HTTP/1.1 200")


async def test_a_fresh_caller_is_answered_while_many_hold_unfinished_requests(port: int) -> None:
    held = []
    for _ in range(4 * MAX_CONNECTIONS):
        streams = await asyncio.open_connection(HOME, port)
        streams[1].write(b"GET /metrics HT")
        held.append(streams)
    assert (await said(await asyncio.open_connection(HOME, port), request())).startswith(b"HTTP/1.1 200")
    over = [await asyncio.wait_for(reader.read(), 10) for reader, _ in held[: 3 * MAX_CONNECTIONS]]
    assert set(over) == {b""}, "the oldest gave way"
    for _, writer in held:
        writer.close()


async def test_an_unfinished_head_has_an_end() -> None:
    async with listening(web.Application(), HOME, 0, head_s=0.05) as port:
        streams = await asyncio.open_connection(HOME, port)
        assert await said(streams, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n") == b""


async def test_a_head_that_never_ends_is_cut(port: int) -> None:
    streams = await asyncio.open_connection(HOME, port)
    assert await said(streams, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20_000) == b""


async def test_a_foreign_name_is_refused(port: int) -> None:
    """A page that had its name resolved to this machine sends that name."""
    found = await said(await asyncio.open_connection(HOME, port), request("evil.example"))
    assert found.startswith(b"HTTP/1.1 421")
    assert b"fine" not in found


async def test_who_listens_on_every_address_is_called_by_any_name() -> None:
    app = web.Application()
    app.router.add_get("/healthz", answer)
    async with listening(app, "0.0.0.0", 0) as port:
        found = await said(await asyncio.open_connection(HOME, port), request("securescore:9464"))
    assert found.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("localhost:9464", True),
        ("127.0.0.1:9464", True),
        ("[::1]:9464", True),
        ("[::1]", True),
        ("10.1.2.3", True),
        ("LOCALHOST.", True),
        ("siem.example.org:9464", True),
        ("", True),
        ("evil.example", False),
        ("evil.example:9464", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:9464", False),
        ("[evil]", False),
    ],
)
def test_names_of_a_listener(header: str, ours: bool) -> None:
    assert answers_to(header, "siem.example.org") is ours
