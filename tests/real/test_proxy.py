"""Everything goes through the configured proxy: sign-in, Graph and sinks. Nothing goes around it.

The process' own connections are counted by an audit hook, so a library that connects by itself would be seen.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from attrs import evolve

from connector.app import open_source
from connector.clock import SystemClock
from connector.config.values import AuthConfig, Config, GraphConfig, NetworkConfig, PollConfig, SinkConfig, TenantConfig
from connector.deliver.prepare import build_sink
from connector.errors import Denied, SecureScoreError, Unavailable
from connector.model import Known, Snapshot
from connector.signin.tokens import azure_credential
from connector.simulator.server import READ, serve
from connector.simulator.world import World
from tests.real.authority import CLIENT, Bench, bench
from tests.real.proxies import PASSWORD, PLAIN, USER, connections, recording_proxy, tinyproxy

DAYS = 100


@asynccontextmanager
async def everything(bench: Bench) -> AsyncIterator[Config]:
    """A simulated Graph that takes the authority's tokens, and the configuration of one tenant in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    bench.ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    clock = SystemClock()
    world = World(7, 1, (datetime.now(UTC) - timedelta(days=DAYS)).date())
    (who,) = world.tenants
    bench.authority.tenants.add(who.id)
    bench.app.roles[who.id] = frozenset({READ})
    async with serve(world, clock, ssl=context, authenticate=bench.authority.caller) as graph:
        auth = AuthConfig("client_secret", {"client_id": CLIENT, "client_secret": bench.secret()})
        port = urlsplit(graph.base_url).port
        settings = GraphConfig(base_url=f"https://localhost:{port}", authority=bench.authority.base_url)
        tenant = TenantConfig(name="t", tenant_id=who.id, auth=auth, graph=settings)
        yield Config(
            tenants=(tenant,),
            sinks=(
                SinkConfig("hook", "webhook", options={"url": f"https://localhost:{port}/hook"}, network=bench.network),
            ),
            network=bench.network,
            poll=PollConfig(backfill_days=3),
        )


async def use_everything(bench: Bench, config: Config) -> None:
    """Sign in, read, ask for a token the way azure-core does, and try a sink."""
    source = await open_source(config.tenants[0], config, bench.transports, SystemClock())
    snapshot = await source.read(Known())
    assert isinstance(snapshot, Snapshot)
    assert isinstance(snapshot.days, tuple)
    assert len(snapshot.days) > 0
    options = {**(config.tenants[0].auth or AuthConfig("")).options, "tenant_id": config.tenants[0].tenant_id}
    credential = azure_credential(AuthConfig("client_secret", options), bench.cloud, config.network, SystemClock())
    async with credential:
        assert (await credential.get_token_info("https://monitor.azure.com/.default")).token
    sink = build_sink(config.sinks[0])
    try:
        with suppress(Denied):  # the simulated Graph is no webhook, but it answers
            await sink.probe()
    finally:
        await sink.close()


def proxied(network: NetworkConfig, port: int, password: str) -> NetworkConfig:
    return evolve(network, proxy=f"http://{USER}:{quote(password, safe='')}@127.0.0.1:{port}")


async def test_every_connection_is_a_tunnel_of_the_recording_proxy(tmp_path: Path) -> None:
    async with recording_proxy() as proxy, bench(tmp_path) as made:
        made.network = proxied(made.network, proxy.port, PASSWORD)
        async with everything(made) as config:
            with connections() as ports:
                await use_everything(made, config)
            around = [port for port in ports if port != proxy.port]
            # Those that are left were opened by the proxy, which runs in this process, too.
            assert sorted(around) == sorted(int(t.rpartition(":")[2]) for t in proxy.targets)
            hosts = {urlsplit(made.authority.base_url).netloc, urlsplit(config.tenants[0].graph.base_url or "").netloc}
            assert set(proxy.targets) == hosts
            assert proxy.refused == 0


async def test_every_connection_leads_to_the_real_tinyproxy(tmp_path: Path) -> None:
    with tinyproxy(tmp_path) as port:
        async with bench(tmp_path) as made:
            made.network = proxied(made.network, port, PLAIN)
            async with everything(made) as config:
                with connections() as ports:
                    await use_everything(made, config)
                assert ports
                assert set(ports) == {port}
    log = (tmp_path / "tinyproxy.log").read_text()
    assert f"CONNECT {urlsplit(made.authority.base_url).netloc} " in log


async def test_wrong_proxy_password_is_named_and_not_shown(tmp_path: Path) -> None:
    with tinyproxy(tmp_path) as port:
        async with bench(tmp_path) as made:
            made.network = proxied(made.network, port, "wrong-and-secret")
            with pytest.raises(SecureScoreError, match="proxy") as caught:
                await made.held("client_secret", client_secret=made.secret()).token()
            assert "wrong-and-secret" not in str(caught.value) + repr(made.network)
            assert "proxy" in caught.value.hint


async def test_no_proxy_goes_directly(tmp_path: Path) -> None:
    async with recording_proxy() as proxy, bench(tmp_path) as made:
        made.network = evolve(proxied(made.network, proxy.port, PASSWORD), no_proxy=("localhost",))
        with connections() as ports:
            assert await made.held("client_secret", client_secret=made.secret()).token()
        assert set(ports) == {urlsplit(made.authority.base_url).port}
        assert proxy.targets == []


async def test_dead_proxy_is_told_apart_from_a_dead_host(tmp_path: Path, unused_tcp_port: int) -> None:
    async with bench(tmp_path) as made:
        made.network = proxied(made.network, unused_tcp_port, PASSWORD)
        with pytest.raises(Unavailable, match="the proxy cannot be reached"):
            await made.held("client_secret", client_secret=made.secret()).token()


async def test_identity_endpoint_is_never_asked_through_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers on this machine only, and no proxy can reach it."""
    async with recording_proxy() as proxy, bench(tmp_path) as made:
        made.network = proxied(made.network, proxy.port, PASSWORD)
        made.authority.identities[""] = "11111111-1111-4111-8111-111111111111"
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", made.authority.base_url)
        assert await made.held("managed_identity").token()
        assert proxy.targets == []
