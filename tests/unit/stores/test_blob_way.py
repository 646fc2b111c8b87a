"""On which way the blobs of a state are reached: that of the configuration, whatever the environment says."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import define, field

from connector.clock import SystemClock
from connector.config.values import NetworkConfig
from connector.net.connect import proxy_to

pytest.importorskip("azure.storage.blob", reason="pip install secure-score-connector[azure]")
from connector.stores.blob import open_store

NOTHING = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs /><NextMarker /></EnumerationResults>'


@define
class Host:
    """Lists no blobs, for whoever asks, and remembers under which address it was asked."""

    server: TestServer
    asked: list[str] = field(factory=list)

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")


@pytest_asyncio.fixture
async def hosts() -> AsyncIterator[tuple[Host, Host]]:
    """An account, and a proxy."""
    made: list[Host] = []
    for _ in range(2):
        application = web.Application()
        host = Host(TestServer(application))

        async def answer(request: web.Request, host: Host = host) -> web.Response:
            host.asked.append(request.raw_path)
            return web.Response(text=NOTHING, content_type="application/xml")

        application.router.add_get("/{any:.*}", answer)
        await host.server.start_server()
        made.append(host)
    yield made[0], made[1]
    for host in made:
        await host.server.close()


@pytest.mark.parametrize(
    ("proxy", "no_proxy", "by_proxy"),
    [
        (None, (), False),
        ("env", (), True),
        ("env", ("127.0.0.1",), False),
        ("http://127.0.0.1:{port}", (), True),
        ("http://127.0.0.1:{port}", ("127.0.0.0/8",), False),
    ],
)
async def test_the_proxy_is_that_of_the_configuration(
    proxy: str | None,
    no_proxy: tuple[str, ...],
    by_proxy: bool,
    hosts: tuple[Host, Host],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, between = hosts
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, between.url)
    network = NetworkConfig(proxy=proxy and proxy.format(port=between.server.port), no_proxy=no_proxy)
    store = open_store(
        clock=SystemClock(),
        container="state",
        connection_string=f"AccountName=a;AccountKey=a2V5;BlobEndpoint={account.url}/a",
        proxy=proxy_to(account.url, network),
    )
    try:
        assert list(await store.tenants()) == []
    finally:
        await store.close()
    assert (bool(between.asked), bool(account.asked)) == (by_proxy, not by_proxy)
