"""What the daemon says at its health port is what `status` shows; anything else on that port is nobody."""

import socket

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connector.health.ask import readiness


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.health.ask.LIMIT_S", 60.0)


async def said(text: str, status: int = 503) -> object:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    app = web.Application()
    app.router.add_get("/readyz", answer)
    async with TestServer(app) as server:
        return await readiness(f"127.0.0.1:{server.port}")


async def test_reasons_and_warnings_are_passed_on() -> None:
    words = '{"ready": false, "reasons": ["the state takes nothing: full"], "warnings": ["refused"]}'
    assert await said(words) == {
        "ready": False,
        "reasons": ["the state takes nothing: full"],
        "warnings": ["refused"],
    }


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"ready": true}', '{"ready": 1, "reasons": 3}', "null"])
async def test_another_program_on_that_port_is_nobody(text: str) -> None:
    assert await said(text, 200) is None


async def test_nobody_there_is_nobody() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        assert await readiness(f"127.0.0.1:{unused.getsockname()[1]}") is None
    assert await readiness(None) is None
