"""The Sentinel sink over real TLS sockets with Microsoft's real client: the contract, and what only sockets show."""

import asyncio
import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from connector.config.values import NetworkConfig
from connector.errors import Denied, SecureScoreError, Unavailable
from connector.model import Record
from connector.net.client import Http
from connector.testing.sink_contract import FarEnd, SinkContract, accepted, record
from sinks.sentinel import Rule, Rules, SentinelSink, build
from tests.fake_graph import JumpClock
from tests.fakes.ingestion import RULE, TOKEN, Credential, Fault, Service, declared
from tests.fakes.loopback import Server, serve

STREAM = "Custom-SecureScoreChange_CL"
COLUMNS = declared({"TimeGenerated": "datetime", "EventId": "string", "Text": "string", "Number": "real"})


class Tls:
    """A private authority, and the endpoint's certificate from it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)


class Ingesting:
    """The endpoint on loopback as a far end."""

    breaks_midway = True
    probe_sees_down = True

    def __init__(self, server: Server[Service], ca_file: str) -> None:
        self.server = server
        self.service = server.service
        self._ca_file = ca_file

    def sink(self, credential: Credential | None = None) -> SentinelSink:
        http = Http(clock=self.service.clock, ca_file=self._ca_file, timeout_s=5)
        rules = Rules(Rule(self.server.url, RULE), {"change": STREAM})
        return SentinelSink("sentinel", rules, http, credential or Credential())

    def payload(self, event_id: str, text: str) -> Any:
        return {"TimeGenerated": "2026-11-22T09:12:03Z", "EventId": event_id, "Text": text}

    def unacceptable(self) -> Any:
        return {"Number": float("nan")}

    async def received(self, count: int) -> list[str]:
        return [json.dumps(each.row) for each in self.service.stored]

    async def down(self) -> None:
        await self.server.stop()

    async def up(self) -> None:
        self.service.next.clear()
        await self.server.stop()
        await self.server.start()

    async def break_after_first(self) -> None:
        self.service.next.append(Fault("reset_after"))


@pytest.fixture
def service() -> Service:
    return Service(JumpClock(), {RULE: {STREAM: COLUMNS}})


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture
async def far_end(service: Service, tls: Tls) -> AsyncIterator[Ingesting]:
    async with serve(service, tls.context) as server:
        yield Ingesting(server, tls.ca_file)


@pytest_asyncio.fixture
async def sink(far_end: Ingesting) -> AsyncIterator[SentinelSink]:
    sink = far_end.sink()
    yield sink
    await sink.close()


class TestContract(SinkContract):
    @pytest.fixture
    def far_end(self, far_end: Ingesting) -> FarEnd:
        return far_end


# ------------------------------------------------------------------------------------------------------------- helpers


def event(far_end: Ingesting, n: int = 1, text: str = "text") -> Record:
    return record(n, far_end.payload(f"id-{n:04}", text))


# ---------------------------------------------------------------------------------------------- what is on the wire


async def test_a_request_is_a_gzipped_array_for_one_stream(far_end: Ingesting, sink: SentinelSink) -> None:
    await sink.send([event(far_end, 1), event(far_end, 2)])
    (asked,) = far_end.service.asked
    assert asked.method == "POST"
    assert asked.path == f"/dataCollectionRules/{RULE}/streams/{STREAM}"
    assert asked.query == {"api-version": "2023-01-01"}
    assert asked.headers["content-encoding"] == "gzip"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["content-length"] == str(len(asked.body))
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["x-ms-client-request-id"]
    assert asked.headers["user-agent"].startswith("secure-score-connector/")
    assert [row["EventId"] for row in json.loads(gzip.decompress(asked.body))] == ["id-0001", "id-0002"]


async def test_a_token_is_asked_for_once(far_end: Ingesting) -> None:
    credential = Credential()
    sink = far_end.sink(credential)
    for n in range(5):
        await sink.send([event(far_end, n)])
    await sink.close()
    assert credential.scopes == ["https://monitor.azure.com/.default"]
    assert credential.closed == 1


async def test_each_answer_is_one_request(far_end: Ingesting, sink: SentinelSink) -> None:
    """The client's own retries would repeat 500, 503 and 504 behind our back."""
    for status in (429, 500, 502, 503, 504, 408):
        far_end.service.asked.clear()
        far_end.service.next.append(Fault("status", status, (("Retry-After", "1"),)))
        with pytest.raises(Unavailable):
            await sink.send([event(far_end)])
        assert len(far_end.service.asked) == 1


async def test_a_reset_is_one_request_and_ambiguous(far_end: Ingesting, sink: SentinelSink) -> None:
    far_end.service.next.append(Fault("reset_after"))
    with pytest.raises(Unavailable, match="no connection"):
        await sink.send([event(far_end)])
    assert await sink.send([event(far_end)]) == accepted([event(far_end)])
    assert far_end.service.ids() == ["id-0001", "id-0001"], "at least once: nobody could know"


async def test_a_slow_endpoint_is_given_up(far_end: Ingesting, tls: Tls) -> None:
    http = Http(clock=JumpClock(), ca_file=tls.ca_file, timeout_s=0.3)
    sink = SentinelSink("s", Rules(Rule(far_end.server.url, RULE), {"change": STREAM}), http, Credential())
    far_end.service.next.append(Fault("hang_after"))
    with pytest.raises(Unavailable, match="did not answer"):
        await sink.send([event(far_end)])
    await sink.close()


async def test_a_sign_in_that_hangs_is_given_up(far_end: Ingesting, tls: Tls) -> None:
    class Stuck(Credential):
        async def get_token_info(self, *scopes: str, options: Any = None) -> Any:
            await asyncio.sleep(3600)

    http = Http(clock=JumpClock(), ca_file=tls.ca_file, timeout_s=5)
    rules = Rules(Rule(far_end.server.url, RULE), {"change": STREAM})
    sink = SentinelSink("s", rules, http, Stuck(), deadline_s=0.2)
    with pytest.raises(Unavailable, match="took longer"):
        await sink.send([event(far_end)])
    await sink.close()
    assert far_end.service.asked == []


async def test_a_redirect_is_not_followed(far_end: Ingesting, sink: SentinelSink) -> None:
    far_end.service.next.append(Fault("redirect"))
    with pytest.raises(Denied, match=r"redirect to elsewhere\.invalid, which is never followed"):
        await sink.send([event(far_end)])
    assert len(far_end.service.asked) == 1


async def test_a_claims_challenge_is_answered(far_end: Ingesting) -> None:
    """Continuous access evaluation: the service revokes a token and says what the next one must prove."""
    credential = Credential(["old", TOKEN])
    far_end.service.grants["old"] = {RULE}
    far_end.service.next.append(Fault("claims"))
    sink = far_end.sink(credential)
    assert await sink.send([event(far_end)]) == accepted([event(far_end)])
    await sink.close()
    assert credential.claims == ['{"access_token":{"nbf":{"essential":true}}}']


async def test_a_private_authority_must_be_named(far_end: Ingesting, tls: Tls) -> None:
    options = {"endpoint": far_end.server.url, "rule_id": RULE, "streams": {"change": STREAM}}
    stranger = build("s", options, NetworkConfig(timeout_s=5), credential=Credential())
    known = build("s", options, NetworkConfig(timeout_s=5, ca_file=tls.ca_file), credential=Credential())
    with pytest.raises(Denied, match="not trusted") as caught:
        await stranger.send([event(far_end)])
    assert "ca_file" in caught.value.hint
    assert await known.send([event(far_end)]) == accepted([event(far_end)])
    await stranger.close()
    await known.close()


async def test_through_a_proxy(far_end: Ingesting, tls: Tls) -> None:
    asked = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        far_reader, far_writer = await asyncio.open_connection("localhost", far_end.server.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as proxy:
        network = NetworkConfig(
            proxy=f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", ca_file=tls.ca_file, timeout_s=5
        )
        options = {"endpoint": far_end.server.url, "rule_id": RULE, "streams": {"change": STREAM}}
        sink = build("s", options, network, credential=Credential())
        assert await sink.send([event(far_end)]) == accepted([event(far_end)])
        await sink.close()
        assert asked == [f"CONNECT localhost:{far_end.server.port} HTTP/1.1".encode()]


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_the_token_is_nowhere_to_be_read(far_end: Ingesting, caplog: pytest.LogCaptureFixture) -> None:
    """Not even when the endpoint echoes it, and whatever azure-core logs."""
    caplog.set_level(logging.DEBUG)
    texts: list[object] = []
    sink = far_end.sink()
    texts += [repr(sink), repr(vars(sink))]
    faults = [Fault("reset_before"), Fault("status", 403), Fault("html", 502), Fault("redirect"), Fault("echo")]
    for fault in [*faults, Fault("status", 401), Fault("status", 400)]:
        far_end.service.next.append(fault)
        try:
            texts.append(await sink.send([event(far_end)]))
        except SecureScoreError as error:
            texts += [str(error), repr(error), error.hint, error.__cause__, error.__context__]
    await sink.close()
    texts += [caplog.text, *(vars(entry) for entry in caplog.records)]
    assert far_end.service.asked
    assert TOKEN not in "\n".join(map(str, texts))
