"""The plug-in's own tests, as its author runs them: the contract of sinks against a collector on loopback."""

import json
from collections.abc import AsyncIterator
from typing import Any

import acme_ndjson  # type: ignore[import-not-found]  # it is there once it is installed
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from connector.config.values import NetworkConfig
from connector.ports import Sink
from connector.registry import sink_module
from connector.testing.sink_contract import SinkContract


class Collector:
    """Takes NDJSON, or is down."""

    breaks_midway = False
    probe_sees_down = True

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_down = False
        app = web.Application()
        app.router.add_post("/bulk", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        if self.is_down:
            return web.Response(status=503, text="maintenance")
        self.lines += (await request.text()).splitlines()
        return web.Response(status=204)

    def sink(self) -> Sink:
        made: Sink = acme_ndjson.build("bulk", {"url": str(self.server.make_url("/bulk"))}, NetworkConfig())
        return made

    def payload(self, event_id: str, text: str) -> Any:
        return json.dumps({"id": event_id, "text": text})

    def unacceptable(self) -> Any:
        return {"number": float("nan")}

    async def received(self, count: int) -> list[str]:
        return list(self.lines)

    async def down(self) -> None:
        self.is_down = True

    async def up(self) -> None:
        self.is_down = False

    async def break_after_first(self) -> None:
        raise NotImplementedError


def test_it_is_found_by_its_name_and_fits_the_port() -> None:
    assert sink_module("ndjson") is acme_ndjson


class TestNdjson(SinkContract):
    @pytest_asyncio.fixture
    async def far_end(self) -> AsyncIterator[Collector]:
        collector = Collector()
        async with collector.server:
            yield collector
