"""The syslog sink over RELP against a real rsyslogd (imrelp): byte-exact, certificates, and restarts nobody notices."""

import asyncio
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.errors import Denied, Unavailable
from sinks.syslog import Receiver, SyslogSink
from tests.real.receivers import Relp, Tail, corpus, rsyslog_relp, send_in_batches, without_header
from tests.real.test_rsyslog import batch_of, deliver_until

RESTARTS = int(os.environ.get("SECURESCORE_RESTARTS", "4"))
"""Pairs of a kill and an orderly stop."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relp]:
    with rsyslog_relp(tmp_path_factory.mktemp("relp")) as running:
        yield running


def plain(server: Relp) -> Receiver:
    return Receiver("127.0.0.1", server.plain, "relp", hostname="host1")


def secured(server: Relp, certificate: str | None = "client") -> Receiver:
    own = getattr(server.certificates, certificate) if certificate else None
    ca = (server.certificates.ca,)
    return Receiver("localhost", server.tls, "relp_tls", hostname="host1", ca_files=ca, cert_file=own)


@pytest.mark.parametrize("tls", [False, True], ids=["relp", "relp_tls"])
async def test_five_thousand_events_arrive_byte_exact_and_in_order(server: Relp, tls: bool) -> None:
    records = corpus(5000)
    tail = Tail(server.tls_file if tls else server.plain_file)
    sink = SyslogSink("siem", secured(server) if tls else plain(server))
    await send_in_batches(sink, records, tail)
    await sink.close()
    arrived = [without_header(line) for line in tail.wait(5000)]
    assert arrived == [str(record.payload).encode() for record in records]


async def test_probe_is_silent(server: Relp) -> None:
    for receiver, file in ((plain(server), server.plain_file), (secured(server), server.tls_file)):
        sink, tail = SyslogSink("siem", receiver), Tail(file)
        await sink.probe()
        await sink.close()
        assert tail.wait(1, quiet_s=0.3) == []


@pytest.mark.parametrize("certificate", [None, "evil", "other"])
async def test_a_refused_client_certificate_takes_nothing(server: Relp, certificate: str | None) -> None:
    tail = Tail(server.tls_file)
    sink = SyslogSink("siem", secured(server, certificate))
    with pytest.raises((Denied, Unavailable)) as caught:
        await sink.send(corpus(3, seed=5))
    assert "certificate" in caught.value.hint
    await sink.close()
    assert tail.wait(1, quiet_s=0.3) == []


async def test_a_port_without_relp_is_told(server: Relp) -> None:
    """TLS on one side only."""
    for receiver in (
        Receiver("localhost", server.plain, "relp_tls", ca_files=(server.certificates.ca,)),
        Receiver("127.0.0.1", server.tls, "relp"),
    ):
        sink = SyslogSink("siem", receiver, wait_s=2.0)
        with pytest.raises((Denied, Unavailable)) as caught:
            await sink.probe()
        assert caught.value.hint
        await sink.close()


async def test_a_receiver_that_is_killed_between_two_batches_is_noticed(tmp_path: Path) -> None:
    """It is back before the next batch, so that nothing fails but the session itself: the window is offered again."""
    with rsyslog_relp(tmp_path / "relp") as server:
        sink = SyslogSink("siem", plain(server))
        assert len((await sink.send(batch_of(1, 100))).accepted) == 100
        server.process.stop(signal.SIGKILL)
        server.process.start()
        with pytest.raises(Unavailable, match="without a word"):
            await sink.send(batch_of(2, 100))
        assert len((await sink.send(batch_of(2, 100))).accepted) == 100
        await sink.close()


async def test_a_receiver_that_is_stopped_in_order_costs_nothing(tmp_path: Path) -> None:
    """It says that it goes, after it has written everything: nothing has to be offered again."""
    with rsyslog_relp(tmp_path / "relp") as server:
        sink, tail = SyslogSink("siem", plain(server)), Tail(server.plain_file)
        assert len((await sink.send(batch_of(1, 100))).accepted) == 100
        server.process.stop(signal.SIGTERM)
        server.process.start()
        assert len((await sink.send(batch_of(2, 100))).accepted) == 100
        await sink.close()
        server.process.stop()
        assert len(tail.wait(200)) == 200


@pytest.mark.parametrize("tls", [False, True], ids=["relp", "relp_tls"])
async def test_restarts_at_once_under_load_lose_nothing(tmp_path: Path, tls: bool) -> None:
    """SIGKILL and SIGTERM in turn, each followed at once by a start, while batches are sent as the loop sends them."""
    with rsyslog_relp(tmp_path / "relp") as server:
        sink = SyslogSink("siem", secured(server) if tls else plain(server))
        tail = Tail(server.tls_file if tls else server.plain_file)
        over = threading.Event()
        chance = random.Random(tls)

        def restart() -> None:
            try:
                for number in (signal.SIGKILL, signal.SIGTERM) * RESTARTS:
                    time.sleep(chance.uniform(0.02, 0.2))
                    server.process.stop(number)
                    server.process.start()
            finally:
                over.set()

        killer = threading.Thread(target=restart)
        killer.start()
        sent, failures = await deliver_until(sink, over, queue.SimpleQueue(), replay_window_s=sink.replay_window_s)
        await asyncio.to_thread(killer.join)
        await sink.close()
        server.process.stop()
        arrived = {line[line.find(b"CEF:") :].decode("utf-8", "replace") for line in tail.wait(0)}
    assert failures >= RESTARTS / 2, "the kills went unnoticed"
    lost = sent - arrived
    assert not lost, f"{len(lost)} of {len(sent)} lost, such as {min(lost)[:60]}"
