"""The syslog sink against a real syslog-ng: every event byte-exact, refused certificates, death and return."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.errors import Denied, Unavailable
from connector.formats import syslog
from sinks.syslog import Receiver, SyslogSink
from tests.real.receivers import SyslogNg, Tail, corpus, send_in_batches, syslog_ng


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyslogNg]:
    with syslog_ng(tmp_path_factory.mktemp("syslog-ng")) as running:
        yield running


def receiver(server: SyslogNg, kind: str, certificate: str | None = "client") -> Receiver:
    """One of its inputs: udp, lf (RFC 3164); lf_5424, octet, tls (RFC 5424)."""
    transport = kind if kind in ("udp", "tls") else "tcp"
    own = getattr(server.certificates, certificate) if certificate else None
    return Receiver(
        host="localhost" if kind == "tls" else "127.0.0.1",
        port=getattr(server, kind),
        transport=transport,
        framing="lf" if kind.startswith("lf") else "octet",
        header="rfc3164" if kind in ("udp", "lf") else "rfc5424",
        hostname="host1",
        ca_files=(server.certificates.ca,) if kind == "tls" else (),
        cert_file=own if kind == "tls" else None,
    )


@pytest.mark.parametrize("kind", ["udp", "lf", "lf_5424", "octet", "tls"])
async def test_five_thousand_events_arrive_byte_exact(server: SyslogNg, kind: str) -> None:
    records = corpus(5000)
    tail = Tail(server.file)
    sink = SyslogSink("siem", receiver(server, kind))
    await send_in_batches(sink, records, tail)
    await sink.close()
    arrived = [json.loads(line) for line in tail.wait(5000)]
    assert len(arrived) == 5000
    # In RFC 3164 syslog-ng takes "CEF" for the program, as the Azure Monitor Agent's forwarder does.
    old = kind in ("udp", "lf")
    texts = [f"{got['app']}:{got['msg']}" if old else got["msg"] for got in arrived]
    sent = [str(record.payload) for record in records]
    assert (sorted(texts) == sorted(sent)) if kind == "udp" else (texts == sent)
    assert {got["host"] for got in arrived} == {"host1"}
    by_id = {str(record.payload): record.severity for record in records}
    assert all(
        int(got["pri"]) == syslog.priority("local0", by_id[text]) for got, text in zip(arrived, texts, strict=True)
    )
    if not old:
        assert {(got["app"], got["msgid"]) for got in arrived} == {("secure-score", "change")}


@pytest.mark.parametrize("certificate", [None, "evil", "expired"])
async def test_a_refused_client_certificate_is_reported_and_nothing_accepted(
    server: SyslogNg, certificate: str | None
) -> None:
    """syslog-ng issues no session ticket: without listening, all of this would look delivered."""
    tail = Tail(server.file)
    for n in range(5):
        sink = SyslogSink("siem", receiver(server, "tls", certificate))
        with pytest.raises(Denied) as caught:
            await sink.send(corpus(3, seed=n))
        assert "certificate" in caught.value.hint
        with pytest.raises(Denied):
            await sink.probe()
        await sink.close()
    assert tail.wait(1, quiet_s=0.3) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_dead_receiver_is_unavailable_until_it_is_back(tmp_path: Path, number: signal.Signals) -> None:
    with syslog_ng(tmp_path / "syslog-ng") as server:
        tail = Tail(server.file)
        sinks = [SyslogSink(kind, receiver(server, kind)) for kind in ("octet", "lf", "tls")]
        for sink in sinks:
            assert (await sink.send(corpus(1, seed=1))).accepted
        assert len(tail.wait(3)) == 3  # confirmed is in memory: a kill before it is written is for the replay window
        server.process.stop(number)
        for sink in sinks:
            for attempt in (sink.send(corpus(1, seed=2)), sink.probe()):
                with pytest.raises(Unavailable, match="refused"):
                    await attempt
        server.process.start()
        for sink in sinks:
            assert (await sink.send(corpus(1, seed=3))).accepted
            await sink.close()
        got: list[dict[str, Any]] = [json.loads(line) for line in tail.wait(6)]  # before it is stopped, too
        assert sum("00000003-0000" in item["msg"] for item in got) == 3
        assert not any("00000002-0000" in item["msg"] for item in got)
