"""The HEC sink over real sockets: the contract, and what only sockets show (TLS, proxy, cut connections, gzip)."""

import asyncio
import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from connector.config.values import NetworkConfig
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.net.client import Http
from connector.options import TYPES
from connector.testing.sink_contract import FarEnd, SinkContract, accepted, json_object, record
from sinks.splunk import OPTIONS, Collector, HecSink, build
from tests.fake_graph import JumpClock
from tests.fakes.hec import TOKEN, Fault, Splunk, Token
from tests.fakes.loopback import Server, serve


class Collecting:
    """A collector on loopback as a far end."""

    breaks_midway = True
    probe_sees_down = True

    def __init__(self, server: Server[Splunk], ca_file: str | None = None, *, ack: str = "auto") -> None:
        self.server = server
        self.splunk = server.service
        self._ca_file = ca_file
        self._ack = ack

    def sink(self) -> HecSink:
        clock = JumpClock()
        self.splunk.clock = clock
        http = Http(clock=clock, ca_file=self._ca_file, timeout_s=5, max_connections=1)
        return HecSink("splunk", Collector(self.server.url, TOKEN, ack=self._ack), http, clock)

    def payload(self, event_id: str, text: str) -> Any:
        return {"time": "1795338723.000", "sourcetype": "x", "event": json_object(event_id, text)}

    def unacceptable(self) -> Any:
        return {"event": {"number": float("nan")}}

    async def received(self, count: int) -> list[str]:
        return [json.dumps(each.event) for each in self.splunk.indexed]

    async def down(self) -> None:
        await self.server.stop()

    async def up(self) -> None:
        self.splunk.breaks_after = None
        await self.server.stop()
        await self.server.start()

    async def break_after_first(self) -> None:
        self.splunk.breaks_after = 1


class Tls:
    """A private authority, and a collector's certificate from it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)


@pytest.fixture
def splunk() -> Splunk:
    return Splunk(JumpClock())


@pytest_asyncio.fixture
async def server(splunk: Splunk) -> AsyncIterator[Server[Splunk]]:
    async with serve(splunk) as server:
        yield server


class TestPlain(SinkContract):
    @pytest.fixture
    def far_end(self, server: Server[Splunk]) -> FarEnd:
        return Collecting(server)


class TestTls(SinkContract):
    @pytest_asyncio.fixture
    async def far_end(self, splunk: Splunk, tmp_path: Path) -> AsyncIterator[FarEnd]:
        tls = Tls(tmp_path)
        async with serve(splunk, tls.context) as server:
            yield Collecting(server, tls.ca_file)


class TestAcknowledged(SinkContract):
    @pytest.fixture
    def far_end(self, server: Server[Splunk]) -> FarEnd:
        server.service.tokens[TOKEN] = Token(ack=True)
        return Collecting(server, ack="on")


# ------------------------------------------------------------------------------------------------------------- helpers


def built(url: str, network: NetworkConfig | None = None, **options: Any) -> HecSink:
    return build("splunk", {"url": url, "token": TOKEN, **options}, network or NetworkConfig(timeout_s=5))


def event(n: int = 1, text: str = "text") -> Any:
    return record(n, {"event": json_object(f"id-{n:04}", text)})


@pytest_asyncio.fixture
async def sink(server: Server[Splunk]) -> AsyncIterator[HecSink]:
    sink = built(server.url)
    yield sink
    await sink.close()


# ---------------------------------------------------------------------------------------------- what is on the wire


async def test_a_request_is_gzip_with_token_and_channel(splunk: Splunk, sink: HecSink) -> None:
    await sink.send([event(1), event(2)])
    (asked,) = splunk.posts()
    lines = gzip.decompress(asked.body).split(b"\n")
    assert [json.loads(line) for line in lines] == [
        {"event": {"id": f"id-000{n}", "text": "text"}, "time": "1795338723.000"} for n in (1, 2)
    ]
    assert asked.path == "/services/collector/event"
    assert asked.query == {}
    assert asked.headers["authorization"] == f"Splunk {TOKEN}"
    assert asked.headers["content-encoding"] == "gzip"
    assert len(asked.headers["x-splunk-request-channel"]) == 36


async def test_the_channel_stays_the_same(splunk: Splunk, sink: HecSink) -> None:
    await sink.send([event(1)])
    await sink.send([event(2)])
    await sink.probe()
    assert len({asked.headers["x-splunk-request-channel"] for asked in splunk.asked}) == 1


async def test_without_gzip(splunk: Splunk, server: Server[Splunk]) -> None:
    sink = built(server.url, gzip=False)
    await sink.send([event(1)])
    await sink.close()
    (asked,) = splunk.posts()
    assert "content-encoding" not in asked.headers
    assert json.loads(asked.body)["event"]["id"] == "id-0001"


async def test_415_switches_gzip_off(splunk: Splunk, sink: HecSink) -> None:
    splunk.takes_gzip = False
    for n in (1, 2):
        assert await sink.send([event(n)]) == accepted([event(n)])
    assert ["content-encoding" in asked.headers for asked in splunk.posts()] == [True, False, False]


@pytest.mark.parametrize(
    "path", ["", "/", "/services/collector", "/services/collector/", "/services/collector/event", "/hec"]
)
async def test_the_url_may_name_the_endpoint_or_stand_before_it(
    splunk: Splunk, server: Server[Splunk], path: str
) -> None:
    sink = built(server.url + path)
    await sink.send([event()])
    await sink.close()
    assert splunk.posts()[0].path == ("/hec" if path == "/hec" else "") + "/services/collector/event"


# -------------------------------------------------------------------------------------------------------- connections


async def test_a_kept_connection_that_was_closed_is_replaced_at_once(
    splunk: Splunk, server: Server[Splunk], sink: HecSink
) -> None:
    """Collectors close idle connections after 12 s; nothing is to be seen of that."""
    await sink.send([event(1)])
    splunk.next.append(Fault("reset_before"))
    assert await sink.send([event(2)]) == accepted([event(2)])
    await server.drop_connections()
    assert await sink.send([event(3)]) == accepted([event(3)])
    assert [stored.event["id"] for stored in splunk.received] == ["id-0001", "id-0002", "id-0003"]


async def test_a_fresh_connection_that_breaks_is_not_tried_again(splunk: Splunk, sink: HecSink) -> None:
    splunk.next.extend([Fault("reset_before"), Fault("reset_before")])
    with pytest.raises(Unavailable, match="no connection"):
        await sink.send([event()])
    assert len(splunk.asked) == 1


async def test_broken_twice_is_unavailable(splunk: Splunk, sink: HecSink) -> None:
    await sink.send([event(1)])
    splunk.next.extend([Fault("reset_before"), Fault("reset_after")])
    with pytest.raises(Unavailable):
        await sink.send([event(2)])
    assert len(splunk.asked) == 3


async def test_a_slow_collector_is_waited_for_once(splunk: Splunk, server: Server[Splunk]) -> None:
    sink = built(server.url)
    await sink.send([event(1)])
    assert isinstance(sink._http, Http)
    sink._http._timeout_s = 1.2  # longer than a kept connection takes to break; nothing has to be in time any more
    splunk.next.append(Fault("hang_after"))
    with pytest.raises(Unavailable, match="did not answer"):
        await sink.send([event(2)])
    assert len(splunk.asked) == 2
    await sink.close()


async def test_half_an_answer_is_no_success(splunk: Splunk, sink: HecSink) -> None:
    splunk.next.append(Fault("cut_after"))
    with pytest.raises(Unavailable):
        await sink.send([event()])
    assert await sink.send([event()]) == accepted([event()])
    assert len(splunk.received) == 2, "at least once: the first one was taken, but nobody could know"


async def test_a_redirect_is_not_followed(splunk: Splunk, sink: HecSink) -> None:
    splunk.next.append(Fault("redirect"))
    with pytest.raises(Denied, match=r"redirect to elsewhere\.invalid, which is never followed"):
        await sink.send([event()])


async def test_a_private_authority_must_be_named(splunk: Splunk, tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    async with serve(splunk, tls.context) as server:
        stranger, known = built(server.url), built(server.url, NetworkConfig(ca_file=tls.ca_file, timeout_s=5))
        with pytest.raises(Denied, match="not trusted") as caught:
            await stranger.send([event()])
        assert "ca_file" in caught.value.hint
        assert await known.send([event()]) == accepted([event()])
        await stranger.close()
        await known.close()


async def test_through_a_proxy(splunk: Splunk, tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    asked = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        far_reader, far_writer = await asyncio.open_connection("localhost", server.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with serve(splunk, tls.context) as server, await asyncio.start_server(tunnel, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        sink = built(server.url, NetworkConfig(proxy=f"http://127.0.0.1:{port}", ca_file=tls.ca_file, timeout_s=5))
        assert await sink.send([event()]) == accepted([event()])
        await sink.close()
        assert asked == [f"CONNECT localhost:{server.port} HTTP/1.1".encode()]


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_the_token_is_nowhere_to_be_read(
    splunk: Splunk, server: Server[Splunk], caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when the collector echoes it."""
    caplog.set_level(logging.DEBUG)
    texts: list[object] = []
    sink = built(server.url)
    texts += [repr(sink), repr(sink._collector), *map(repr, sink._channels.values())]
    for fault in (Fault("reset_before"), Fault("code", 4), Fault("html", 502), Fault("redirect"), Fault("echo")):
        splunk.next.append(fault)
        with pytest.raises(SecureScoreError) as caught:
            await sink.send([event()])
        texts += [str(caught.value), repr(caught.value), caught.value.hint, caught.value.__cause__]
    await sink.send([event()])
    splunk.refuses = lambda _event: 6
    texts.append(await sink.send([event()]))
    await sink.close()
    texts += [caplog.text, *(vars(entry) for entry in caplog.records)]
    assert TOKEN not in "\n".join(map(str, texts))


def test_a_token_that_could_break_out_of_its_header_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        built("https://h:8088", token="abc\r\nX-Evil: 1")
    assert "abc" not in str(caught.value)
    with pytest.raises(ConfigError):
        build("splunk", {"url": "https://h", "token": TOKEN}, NetworkConfig(), {"contoso": {"token": "Splunk abc-def"}})


@pytest.mark.parametrize(
    "url",
    [
        "https://h:8088/services/collector?token=abc-def",
        "https://h:8088/services/collector/event?x=1",
        "https://h:8088/services/collector/raw",
        "https://x:abc-def@h:8088",
        "http://h:8088",
        "http://127.0.0.1.example:8088",
        "ftp://h",
        "https:///path",
        "https://h:8088/#abc-def",
    ],
)
def test_an_unfit_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        built(url)
    assert "sinks.splunk.url: " in str(caught.value)
    assert "abc-def" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:8088", "http://127.0.0.1:8088", "http://[::1]:8088"])
def test_plain_http_is_for_this_machine(url: str) -> None:
    assert built(url).name == "splunk"


def test_declares_options_of_known_types() -> None:
    assert all(option.type in TYPES and option.doc for option in OPTIONS.values())
    required: Mapping[str, bool] = {name: option.required for name, option in OPTIONS.items()}
    assert [name for name, needed in required.items() if needed] == ["url", "token"]
