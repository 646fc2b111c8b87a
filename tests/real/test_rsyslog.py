"""The syslog sink against a real rsyslogd: every event byte-exact, refused certificates, and kills under load."""

import asyncio
import queue
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.errors import Denied, Unavailable
from connector.formats.shorten import MARK
from connector.model import Record
from sinks.syslog import Receiver, SyslogSink
from tests.real.receivers import Certificates, Rsyslog, Tail, corpus, rsyslog, send_in_batches, without_header


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rsyslog]:
    with rsyslog(tmp_path_factory.mktemp("rsyslog")) as running:
        yield running


def plain(server: Rsyslog, transport: str, framing: str = "octet", header: str = "rfc3164") -> Receiver:
    return Receiver("127.0.0.1", server.plain, transport, framing=framing, header=header, hostname="host1")


def secured(server: Rsyslog, certificate: str | None, header: str = "rfc5424") -> Receiver:
    given: Certificates = server.certificates
    own = getattr(given, certificate) if certificate else None
    return Receiver("localhost", server.tls, header=header, hostname="host1", ca_files=(given.ca,), cert_file=own)


@pytest.mark.parametrize(
    ("transport", "framing", "header"),
    [
        *(("tcp", framing, header) for framing in ("octet", "lf") for header in ("rfc3164", "rfc5424")),
        ("tls", "octet", "rfc3164"),
        ("tls", "octet", "rfc5424"),
        ("udp", "octet", "rfc3164"),
    ],
)
async def test_five_thousand_events_arrive_byte_exact(
    server: Rsyslog, transport: str, framing: str, header: str
) -> None:
    records = corpus(5000)
    tls = transport == "tls"
    tail = Tail(server.tls_file if tls else server.plain_file)
    sink = SyslogSink("siem", secured(server, "client", header) if tls else plain(server, transport, framing, header))
    await send_in_batches(sink, records, tail)
    await sink.close()
    arrived = [without_header(line) for line in tail.wait(5000)]
    sent = [str(record.payload).encode() for record in records]
    assert len(arrived) == 5000
    assert (sorted(arrived) == sorted(sent)) if transport == "udp" else (arrived == sent)


async def test_a_stock_rsyslog_gets_a_giant_event_in_one_piece(tmp_path: Path) -> None:
    """Its limit of 8 KiB would make two events of a longer one."""
    with rsyslog(tmp_path / "stock", max_message="8k") as server:
        giant = Record(
            "id", "change", "t", "2026-11-22T09:12:03Z", 5, "CEF:0|V|P|1|c|N|5|externalId=id msg=" + "ü" * 100_000
        )
        sink, tail = SyslogSink("siem", plain(server, "tcp")), Tail(server.plain_file)
        assert (await sink.send([giant])).accepted == {"id"}
        await sink.close()
        [line] = tail.wait(1)
        assert len(line) > 8000
        assert line.endswith(MARK.encode())


@pytest.mark.parametrize("certificate", [None, "evil", "expired"])
async def test_a_refused_client_certificate_is_reported_and_nothing_accepted(
    server: Rsyslog, certificate: str | None
) -> None:
    tail = Tail(server.tls_file)
    for n in range(5):
        sink = SyslogSink("siem", secured(server, certificate))
        with pytest.raises(Denied) as caught:
            await sink.send(corpus(3, seed=n))
        assert "certificate" in caught.value.hint
        with pytest.raises(Denied):
            await sink.probe()
        await sink.close()
    assert tail.wait(1, quiet_s=0.3) == []


async def test_probe_is_silent(server: Rsyslog) -> None:
    for receiver, file in ((plain(server, "tcp"), server.plain_file), (secured(server, "client"), server.tls_file)):
        sink, tail = SyslogSink("siem", receiver), Tail(file)
        await sink.probe()
        await sink.close()
        assert tail.wait(1, quiet_s=0.3) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_dead_receiver_is_unavailable_until_it_is_back(tmp_path: Path, number: signal.Signals) -> None:
    with rsyslog(tmp_path / "rsyslog") as server:
        sinks = [SyslogSink("plain", plain(server, "tcp")), SyslogSink("tls", secured(server, "client"))]
        tails = [Tail(server.plain_file), Tail(server.tls_file)]
        for sink in sinks:
            assert (await sink.send(corpus(1, seed=1))).accepted
        for tail in tails:  # confirmed is in memory: a kill before it is written is for the replay window
            assert len(tail.wait(1)) == 1
        server.process.stop(number)
        for sink in sinks:
            for attempt in (sink.send(corpus(1, seed=2)), sink.probe()):
                with pytest.raises(Unavailable) as caught:
                    await attempt
                assert "refused" in caught.value.what
        server.process.start()
        for sink in sinks:
            assert (await sink.send(corpus(1, seed=3))).accepted
            await sink.close()
        for tail in tails:  # before it is stopped, for the same reason
            assert len(tail.wait(2)) == 2


@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_kills_under_load_lose_nothing_that_the_replay_window_covers(tmp_path: Path, transport: str) -> None:
    """SIGTERM and SIGKILL in turn, at random moments, while batches are sent as the delivery loop sends them."""
    with rsyslog(tmp_path / "rsyslog") as server:
        receiver = plain(server, "tcp") if transport == "tcp" else secured(server, "client")
        tail = Tail(server.plain_file if transport == "tcp" else server.tls_file)
        sink = SyslogSink("siem", receiver)
        seconds = random.Random(transport)
        taken: queue.SimpleQueue[None] = queue.SimpleQueue()
        over = threading.Event()

        def kill() -> None:
            try:
                for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
                    while not taken.empty():
                        taken.get()
                    for _ in range(5):
                        taken.get(timeout=30)
                    time.sleep(seconds.uniform(0.0, 0.2))
                    server.process.stop(number)
                    time.sleep(seconds.uniform(0.0, 0.2))
                    server.process.start()
            finally:
                over.set()

        killer = threading.Thread(target=kill)
        killer.start()
        sent, failures = await deliver_until(sink, over, taken, replay_window_s=sink.replay_window_s)
        killer.join()
        await sink.close()
        server.process.stop()
        # A line that the killed receiver tore while it wrote counts as not arrived.
        arrived = {line[line.find(b"CEF:") :].decode("utf-8", "replace") for line in tail.wait(0)}
    assert failures >= 4, "the kills went unnoticed"
    lost = sent - arrived
    assert not lost, f"{len(lost)} of {len(sent)} lost, such as {min(lost)[:60]}"


async def deliver_until(
    sink: SyslogSink, over: threading.Event, taken: "queue.SimpleQueue[None]", replay_window_s: float
) -> tuple[set[str], int]:
    """Send batches until `over`, and a few more; after a failure offer again what was settled within the window.

    `taken` gets an item for every batch that was taken. Returns the payloads of all that was settled, and how often a
    batch failed.
    """
    settled: deque[tuple[float, list[Record]]] = deque()
    again: deque[list[Record]] = deque()
    payloads: set[str] = set()
    failures = number = spare = 0
    while not over.is_set() or spare < 5 or again:
        spare += over.is_set()
        if not again:
            again.append(batch_of(number, 100))
            number += 1
        try:
            receipt = await sink.send(again[0])
        except (Unavailable, Denied):
            failures += 1
            again.extendleft(batch for at, batch in reversed(settled) if at > time.monotonic() - replay_window_s)
            settled.clear()
            await asyncio.sleep(0.05)
            continue
        batch = again.popleft()
        done = [r for r in batch if r.event_id in receipt.accepted]
        assert receipt.accepted == {r.event_id for r in done}
        if rest := [r for r in batch if r.event_id not in receipt.accepted]:
            again.appendleft(rest)  # RELP acknowledges each event: a receiver that goes has taken a part
        settled.append((time.monotonic(), done))
        payloads |= {str(r.payload) for r in done}
        taken.put(None)
        await asyncio.sleep(0.01)
    return payloads, failures


def batch_of(number: int, size: int) -> list[Record]:
    text = "CEF:0|V|P|1|c|N|5|externalId={} msg=" + "x" * 200
    ids = [f"{number:08}-{n:03}" for n in range(size)]
    return [Record(event_id, "change", "t", "2026-11-22T09:12:03Z", 5, text.format(event_id)) for event_id in ids]
