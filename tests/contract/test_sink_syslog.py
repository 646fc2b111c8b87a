"""The syslog sink: the contract over every transport, and its own: headers, sizes, confirmation, TLS, refusals."""

import asyncio
import contextlib
import shlex
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from connector.config.values import NetworkConfig
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.formats.shorten import MARK
from connector.model import Receipt
from connector.options import LIVE, TYPES
from connector.testing.sink_contract import FarEnd, SinkContract, accepted, cef, record
from sinks.syslog import OPTIONS, Receiver, SyslogSink, build
from tests.needs import program
from tests.real.receivers import Certificates, certificates

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 3, 2, 30, 0, 123456, tzinfo=UTC)


class Loopback:
    """A syslog receiver on loopback that behaves as `manner` says, and keeps what it took.

    "take": read to the end, keep, close in order. "reset": keep the first message, then reset the connection. "slam":
    close without reading. "silent": read everything and never close. "cut": over TLS, keep and close without
    close_notify, as the kernel does for a killed process. "deaf": say close_notify at once and throw everything away.
    """

    breaks_midway = True
    probe_sees_down = True

    def __init__(self, receiver: Receiver, tls: ssl.SSLContext | None = None) -> None:
        self.receiver = receiver
        self.manner = "take"
        self.messages: list[bytes] = []
        self.tls = tls
        self._udp = receiver.transport == "udp"
        self.breaks_midway = self.probe_sees_down = not self._udp
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._released = threading.Event()
        self._open()

    def _open(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if self._udp else socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.receiver.port))
        self.receiver = evolve(self.receiver, port=self._socket.getsockname()[1])
        if not self._udp:
            self._socket.listen(16)
        self._thread = threading.Thread(target=self._take_datagrams if self._udp else self._accept, args=[self._socket])
        self._thread.start()

    def close(self) -> None:
        self._released.set()
        if self._socket is not None and self._thread is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
            self._thread.join(5)
            assert not self._thread.is_alive()
            self._socket.close()
            self._socket = None

    def _take_datagrams(self, sock: socket.socket) -> None:
        while data := sock.recv(65536):
            self.messages.append(data)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    if self.tls is None:
                        self._serve(connection)
                    else:
                        with self.tls.wrap_socket(connection, server_side=True) as wrapped:
                            self._serve(wrapped)
                except OSError:
                    pass

    def _serve(self, connection: socket.socket) -> None:
        if self.manner == "slam":
            return
        if self.manner == "deaf":
            connection.settimeout(0.05)
            with contextlib.suppress(OSError):
                connection.unwrap()  # type: ignore[attr-defined]
            connection.settimeout(5)
            while socket.socket.recv(connection, 65536):
                pass
            return
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
            if self.manner == "reset" and (messages := self._split(data)):
                self.messages.append(messages[0])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
        if self.manner == "silent":
            self._released.wait(5)
            return
        self.messages += self._split(data)
        if isinstance(connection, ssl.SSLSocket) and self.manner != "cut":
            connection.unwrap()

    def _split(self, data: bytes) -> list[bytes]:
        """As a receiver does: frames by their octet counts, or lines."""
        if self.receiver.framing == "lf":
            return data.split(b"\n")[:-1]
        messages = []
        while data:
            count, _, rest = data.partition(b" ")
            assert count.isdigit(), f"framing lost at {data[:50]!r}"
            messages.append(rest[: int(count)])
            data = rest[int(count) :]
        return messages

    # FarEnd

    def sink(self) -> SyslogSink:
        patience_s = 0.5 if self.manner == "silent" else 20.0
        return SyslogSink("siem", self.receiver, now=lambda: NOW, wait_s=patience_s)

    def payload(self, event_id: str, text: str) -> Any:
        return cef(event_id, text)

    def unacceptable(self) -> Any:
        return "x" * 100_000

    async def received(self, count: int) -> list[str]:
        deadline = time.monotonic() + 20
        while len(self.messages) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return [message.decode() for message in self.messages]

    async def down(self) -> None:
        self.close()

    async def up(self) -> None:
        self.manner = "take"
        if self._socket is None:
            self._released.clear()
            self._open()

    async def break_after_first(self) -> None:
        self.manner = "reset"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


def server_context(pki: Certificates, authority: str | None = None) -> ssl.SSLContext:
    """A receiver that demands a client certificate from our authority, or from `authority`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server, pki.server_key)
    context.load_verify_locations(authority or pki.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


TCP = Receiver(host="127.0.0.1", port=0, transport="tcp", hostname="host1")
UDP = evolve(TCP, transport="udp")
LF = evolve(TCP, framing="lf", header="rfc5424")

Start = Callable[..., Loopback]


@pytest.fixture
def start(pki: Certificates) -> Iterator[Start]:
    """start(receiver) → a running Loopback; a TLS receiver gets our certificates."""
    running: list[Loopback] = []

    def begin(receiver: Receiver = TCP, *, context: ssl.SSLContext | None = None) -> Loopback:
        tls = receiver.transport == "tls"
        loopback = Loopback(receiver, (context or server_context(pki)) if tls else None)
        running.append(loopback)
        return loopback

    yield begin
    for loopback in running:
        loopback.close()


@pytest.fixture
def tls(pki: Certificates) -> Receiver:
    return evolve(TCP, transport="tls", host="localhost", ca_files=(pki.ca,), cert_file=pki.client)


@pytest.mark.parametrize("kind", ["udp", "tcp-octet", "tcp-lf-5424", "tls"])
class TestSyslogSink(SinkContract):
    @pytest.fixture
    def far_end(self, kind: str, start: Start, tls: Receiver) -> FarEnd:
        return start({"udp": UDP, "tcp-octet": TCP, "tcp-lf-5424": LF, "tls": tls}[kind])


async def send(loopback: Loopback, *payloads: Any) -> Receipt:
    sink = loopback.sink()
    try:
        return await sink.send([record(n, payload) for n, payload in enumerate(payloads)])
    finally:
        await sink.close()


async def failure(loopback: Loopback) -> SecureScoreError:
    """What one good record meets; nothing may be accepted."""
    with pytest.raises((Unavailable, Denied)) as caught:
        await send(loopback, "x")
    assert caught.value.hint
    return caught.value


# --------------------------------------------------------------------------------------------------------- what is sent


async def test_rfc3164_has_no_program_name_and_a_padded_day(start: Start) -> None:
    loopback = start()
    await send(loopback, "CEF:0|ü")
    assert await loopback.received(1) == ["<134>Nov  3 02:30:00 host1 CEF:0|ü"]


async def test_rfc5424_names_application_and_stream_and_has_no_bom(start: Start) -> None:
    loopback = start(LF)
    await send(loopback, "CEF:0|ü")
    assert await loopback.received(1) == ["<134>1 2026-11-03T02:30:00.123456Z host1 secure-score - change - CEF:0|ü"]


async def test_local_time_is_an_option_of_the_rfc3164_header(start: Start) -> None:
    loopback = start(evolve(TCP, timezone="local"))
    await send(loopback, "x")
    local = NOW.astimezone()
    assert await loopback.received(1) == [f"<134>Nov  3 {local:%H:%M:%S} host1 x"]


async def test_severity_and_facility_make_the_priority(start: Start) -> None:
    loopback = start(evolve(TCP, facility="local4"))
    await send(loopback, *["x"] * 11)
    shown = [int(text[1:4]) - 20 * 8 for text in await loopback.received(11)]
    assert shown == [6, 6, 6, 6, 5, 5, 5, 4, 4, 3, 3]


async def test_a_mapping_goes_as_json(start: Start) -> None:
    loopback = start()
    receipt = await send(loopback, {"a": "ü\n"}, {"a": float("inf")})
    assert await loopback.received(1) == ['<134>Nov  3 02:30:00 host1 {"a":"\\u00fc\\n"}']
    assert "not JSON" in receipt.rejected["id-0001"]


@pytest.mark.parametrize("limit", [480, 4096, 8096])
async def test_a_long_event_is_shortened_to_the_frame_and_marked(start: Start, limit: int) -> None:
    loopback = start(evolve(TCP, max_frame_bytes=limit))
    long = cef("id-0000", "ü" * 50_000) + " rt=1790000000000 cs1Label=Control cs1=AdminMFAV2"
    assert (await send(loopback, long)).rejected == {}
    [text] = await loopback.received(1)
    assert limit - 10 <= len(text.encode()) <= limit
    assert MARK in text
    assert "externalId=id-0000 " in text
    assert text.endswith(" rt=1790000000000 cs1Label=Control cs1=AdminMFAV2")


async def test_what_cannot_be_shortened_is_rejected_with_its_size(start: Start) -> None:
    loopback = start()
    receipt = await send(loopback, "x" * 9000, "y")
    assert receipt.accepted == {"id-0001"}
    assert "9027 octets" in receipt.rejected["id-0000"]
    assert "8096" in receipt.rejected["id-0000"]


async def test_a_datagram_too_large_for_the_network_is_rejected(start: Start) -> None:
    loopback = start(evolve(UDP, max_frame_bytes=100_000))
    receipt = await send(loopback, "a", "x" * 70_000, "b")
    assert receipt.accepted == {"id-0000", "id-0002"}
    assert "EMSGSIZE" in receipt.rejected["id-0001"]
    assert len(await loopback.received(2)) == 2


async def test_a_single_datagram_to_a_closed_port_is_unavailable(start: Start) -> None:
    loopback = start(UDP)
    loopback.close()
    assert isinstance(await failure(loopback), Unavailable)


async def test_datagrams_are_paced_below_10000_a_second(start: Start) -> None:
    loopback = start(UDP)
    sink = loopback.sink()
    began = time.monotonic()
    for n in range(30):
        await sink.send([record(i, f"{n} {i}") for i in range(15)])
    await sink.send([record(i, f"x {i}") for i in range(500)])
    await sink.close()
    assert 950 / (time.monotonic() - began) < 10_000


async def test_a_batch_of_megabytes_arrives_whole(start: Start, tls: Receiver) -> None:
    for receiver in (TCP, tls):
        loopback = start(receiver)
        texts = [cef(f"id-{n:04}", f"{n}".ljust(7900, "x")) for n in range(500)]
        assert len((await send(loopback, *texts)).accepted) == 500
        assert [text[-len(texts[0]) :] for text in await loopback.received(500)] == texts


# --------------------------------------------------------------------------------------------------------- confirmation


@pytest.mark.parametrize(
    ("transport", "manner"),
    [
        ("tcp", "reset"),
        ("tcp", "slam"),
        ("tcp", "silent"),
        ("tls", "reset"),
        ("tls", "slam"),
        ("tls", "silent"),
        ("tls", "cut"),
    ],
)
async def test_without_an_orderly_end_nothing_is_accepted(
    start: Start, tls: Receiver, transport: str, manner: str
) -> None:
    loopback = start(tls if transport == "tls" else TCP)
    loopback.manner = manner
    assert isinstance(await failure(loopback), Unavailable)


async def test_an_end_that_came_before_ours_confirms_nothing() -> None:
    """A balancer without backends may end its direction at once and throw away what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def swallow() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=swallow)
        thread.start()
        sink = SyslogSink("siem", evolve(TCP, port=listener.getsockname()[1]))
        with pytest.raises(Unavailable, match="before the end of the batch"):
            await sink.send([record(n, f"{n}".ljust(8000, "x")) for n in range(500)])
        thread.join()
        await sink.close()


async def test_a_receiver_that_hangs_is_left_after_the_wait(start: Start) -> None:
    """It listens, so the kernel accepts and takes the data, but nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = SyslogSink("siem", evolve(TCP, port=listener.getsockname()[1]), wait_s=0.2)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="did not close"):
            await sink.send([record(1, "x")])
        with pytest.raises(Unavailable):
            await sink.send([record(n, f"{n}".ljust(8000, "x")) for n in range(500)])
        assert time.monotonic() - began < 9, "and not after the usual wait"
        await sink.close()


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    for transport in ("udp", "tcp", "tls"):
        sink = SyslogSink("siem", evolve(TCP, transport=transport, host="siem.invalid", port=514))
        for attempt in (sink.send([record(1, "x")]), sink.probe()):
            with pytest.raises(Unavailable, match=r"siem\.invalid") as caught:
                await attempt
            assert "name servers" in caught.value.hint
        await sink.close()


async def test_a_cancelled_batch_does_not_disturb_the_next(start: Start) -> None:
    loopback = start()
    sink = loopback.sink()
    loopback.manner = "silent"
    task = asyncio.create_task(sink.send([record(1, "first")]))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    loopback.manner = "take"
    loopback._released.set()
    records = [record(2, "second")]
    assert await sink.send(records) == accepted(records)
    await sink.close()


def test_only_transports_that_can_be_asked_again_have_a_replay_window() -> None:
    windows = {t: SyslogSink("siem", evolve(TCP, transport=t)).replay_window_s for t in ("udp", "tcp", "tls")}
    assert windows == {"udp": 0.0, "tcp": 60.0, "tls": 60.0}


# ------------------------------------------------------------------------------------------------------------------ TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("certificate", [None, "evil", "expired"])
async def test_a_refused_client_certificate_is_denied_and_nothing_accepted(
    start: Start, pki: Certificates, tls: Receiver, certificate: str | None, version: ssl.TLSVersion
) -> None:
    context = server_context(pki)
    context.maximum_version = version
    ours = getattr(pki, certificate) if certificate else None
    loopback = start(evolve(tls, cert_file=ours), context=context)
    for _ in range(5):
        error = await failure(loopback)
        assert isinstance(error, Denied), error.what
        assert (ours or "tls.cert_file") in error.hint
    sink = loopback.sink()
    with pytest.raises(Denied):
        await sink.probe()
    await sink.close()
    assert loopback.messages == []


async def test_a_receiver_that_leaves_right_after_the_handshake_is_unavailable(start: Start, tls: Receiver) -> None:
    """It judged the name in the certificate only then, and said close_notify, not an alert; or it is just stopping."""
    loopback = start(tls)
    loopback._serve = lambda connection: connection.unwrap()  # type: ignore[attr-defined, method-assign]
    error = await failure(loopback)
    assert isinstance(error, Unavailable)
    assert "closed by the receiver" in error.what
    assert str(tls.cert_file) in error.hint


async def test_listens_for_a_refusal_once_and_again_after_a_failure(
    start: Start, tls: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.net.stream._LISTEN_S", 0.8)  # longer than any send of a loaded machine
    loopback = start(tls)
    sink = loopback.sink()

    async def seconds(number: int) -> float:
        began = time.monotonic()
        await sink.send([record(number, "x")])
        return time.monotonic() - began

    assert await seconds(0) >= 0.8
    assert min([await seconds(n) for n in range(1, 6)]) < 0.8
    loopback.manner = "cut"
    with pytest.raises(Unavailable):
        await sink.send([record(6, "x")])
    loopback.manner = "take"
    assert await seconds(7) >= 0.8
    await sink.close()


async def test_waits_for_the_ticket_of_a_receiver_that_issues_them(
    start: Start, pki: Certificates, tls: Receiver
) -> None:
    """The ticket says that the receiver's handshake is over; rsyslog may lose what comes before."""
    context = server_context(pki)
    loopback = start(tls, context=context)
    sink = loopback.sink()
    await sink.send([record(0, "listened, and got a ticket")])
    context.num_tickets = 0
    began = time.monotonic()
    await sink.send([record(1, "waited for a ticket")])
    assert time.monotonic() - began >= 0.25
    await sink.close()


async def test_a_close_notify_that_came_before_ours_confirms_nothing(start: Start, tls: Receiver) -> None:
    loopback = start(tls)
    sink = loopback.sink()
    await sink.send([record(0, "listened to")])
    loopback.manner = "deaf"
    with pytest.raises(Unavailable):
        await sink.send([record(n, f"{n}".ljust(8000, "x")) for n in range(500)])
    await sink.close()


async def test_a_foreign_authority_is_denied(start: Start, pki: Certificates, tls: Receiver) -> None:
    error = await failure(start(evolve(tls, ca_files=(pki.foreign_ca,))))
    assert isinstance(error, Denied)
    assert "certificate verification failed" in error.what
    assert "tls.ca_file" in error.hint


async def test_our_authorities_add_to_those_of_the_network_and_the_system(
    start: Start, pki: Certificates, tls: Receiver
) -> None:
    loopback = start(evolve(tls, ca_files=(pki.foreign_ca, pki.ca)))
    assert (await send(loopback, "x")).accepted
    sink = loopback.sink()
    alone = ssl.create_default_context().cert_store_stats()["x509_ca"]
    assert sink._tls.context().cert_store_stats()["x509_ca"] == alone + 2


async def test_the_name_in_the_receivers_certificate_is_checked(start: Start, tls: Receiver) -> None:
    wrong = start(evolve(tls, server_name="siem.test"))
    error = await failure(wrong)
    assert isinstance(error, Denied)
    assert "siem.test" in error.what
    assert "tls.server_name" in error.hint
    by_address = start(evolve(tls, host="127.0.0.1"))
    assert (await send(by_address, "x")).accepted
    right = start(evolve(tls, host="127.0.0.1", server_name="localhost"))
    assert (await send(right, "x")).accepted


async def test_a_receiver_without_tls_is_denied(start: Start, tls: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        sink = SyslogSink("siem", evolve(tls, port=listener.getsockname()[1]))
        with pytest.raises(Denied) as caught:
            await sink.send([record(1, "x")])
        thread.join()
        await sink.close()
    assert "`transport`" in caught.value.hint


async def test_a_receiver_that_waits_for_plain_text_is_told_as_such(tls: Receiver) -> None:
    """It has the connection and waits for lines, as a listener for plain TCP does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = SyslogSink("siem", evolve(tls, port=listener.getsockname()[1]), wait_s=0.3)
        with pytest.raises(Unavailable, match="no TLS answer came") as caught:
            await sink.send([record(1, "x")])
        await sink.close()
    assert "`transport`" in caught.value.hint


async def test_a_refused_connection_is_no_matter_of_certificates(tls: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    sink = SyslogSink("siem", evolve(tls, port=nobody, cert_file=None))
    with pytest.raises(Unavailable, match="Connection refused") as caught:
        await sink.send([record(1, "x")])
    await sink.close()
    assert caught.value.hint == "check that the receiver runs and listens there"


async def test_a_renewed_certificate_is_taken_without_a_restart(
    start: Start, pki: Certificates, tls: Receiver, tmp_path: Path
) -> None:
    ours = tmp_path / "client.pem"
    ours.write_bytes(Path(pki.expired).read_bytes())
    loopback = start(evolve(tls, cert_file=str(ours)))
    sink = loopback.sink()
    with pytest.raises(Denied):
        await sink.send([record(1, "x")])
    ours.write_bytes(Path(pki.client).read_bytes())
    assert (await sink.send([record(1, "x")])).accepted
    await sink.close()


@pytest.mark.parametrize("kind", ["missing", "garbage", "no key", "ca missing", "ca garbage"])
async def test_an_unusable_certificate_file_is_denied_by_name(
    start: Start, pki: Certificates, tls: Receiver, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file.pem"
    if "garbage" in kind:
        path.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    elif kind == "no key":
        path.write_bytes(Path(pki.ca).read_bytes())
    broken = evolve(tls, ca_files=(str(path),)) if kind.startswith("ca") else evolve(tls, cert_file=str(path))
    error = await failure(start(broken))
    assert isinstance(error, Denied)
    assert str(path) in error.what


@pytest.fixture
def locked_key(pki: Certificates, tmp_path: Path) -> str:
    """The client's private key, encrypted with "sesame"."""
    key = load_pem_private_key(Path(pki.client).read_bytes(), None)
    path = tmp_path / "client.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")))
    return str(path)


async def test_an_encrypted_key_needs_its_password(start: Start, tls: Receiver, locked_key: str) -> None:
    locked = evolve(tls, key_file=locked_key, key_password="sesame")
    assert (await send(start(locked), "x")).accepted
    for wrong in (None, "wrong"):
        error = await failure(start(evolve(locked, key_password=wrong)))
        assert isinstance(error, Denied)
        assert "password" in error.hint
    assert "sesame" not in repr(locked)


LOCKED = """
import asyncio, sys
from connector.errors import Denied
from sinks.syslog import Receiver, SyslogSink

async def main(port, ca, cert, key):
    sink = SyslogSink("siem", Receiver("localhost", int(port), ca_files=(ca,), cert_file=cert, key_file=key))
    try:
        await sink.probe()
    except Denied:
        print("denied")
    await sink.close()

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_missing_password_is_not_asked_for_on_the_terminal(pki: Certificates, locked_key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = [str(listener.getsockname()[1]), pki.ca, pki.client, locked_key]
        command = shlex.join([sys.executable, "-c", LOCKED, *arguments])
        terminal = [program("script", hint="apt-get install bsdutils"), "-qec", command, "/dev/null"]
        done = subprocess.run(
            terminal, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
        )
    assert done.stdout.split() == ["denied"]


# -------------------------------------------------------------------------------------------------------------- options


def test_declares_options_of_known_types() -> None:
    assert all(option.type in TYPES and option.doc for option in OPTIONS.values())
    assert all(option.default in option.choices for option in OPTIONS.values() if option.type == "enum")


def test_defaults_are_tls_octets_rfc3164_without_program_and_8096_bytes() -> None:
    sink = build("siem", {"host": "siem"}, NetworkConfig(ca_file="/etc/own.pem"))
    got = sink._receiver
    assert (got.far.place, got.framing, got.header, got.facility, got.max_frame_bytes, got.timezone) == (
        *("siem:6514/tls", "octet", "rfc3164", "local0", 8096, "utc"),
    )
    assert got.hostname == socket.gethostname()
    assert got.ca_files == ("/etc/own.pem",)


def test_takes_every_option() -> None:
    options = {
        "host": "siem",
        "port": 1514,
        "transport": "tls",
        "framing": "octet",
        "header": "rfc5424",
        "facility": "local7",
        "hostname": "a b:c",
        "app_name": "app",
        "timezone": "local",
        "max_frame_bytes": 4096,
        "tls.ca_file": "/ca.pem",
        "tls.cert_file": "/cert.pem",
        "tls.key_file": "/key.pem",
        "tls.key_password": "sesame",
        "tls.server_name": "siem.test",
    }
    assert set(options) == OPTIONS.keys() - LIVE.keys()
    assert build("siem", options, NetworkConfig())._receiver == Receiver(
        host="siem",
        port=1514,
        header="rfc5424",
        facility="local7",
        hostname="a-b-c",
        app_name="app",
        timezone="local",
        max_frame_bytes=4096,
        ca_files=("/ca.pem",),
        cert_file="/cert.pem",
        key_file="/key.pem",
        key_password="sesame",
        server_name="siem.test",
    )


@pytest.mark.parametrize(("transport", "port"), [("tcp", 514), ("udp", 514), ("tls", 6514)])
def test_the_port_follows_the_transport(transport: str, port: int) -> None:
    assert build("siem", {"host": "siem", "transport": transport}, NetworkConfig())._receiver.port == port


def test_options_that_contradict_each_other_are_all_named() -> None:
    options = {"host": "siem", "framing": "lf", "tls.key_file": "/key.pem"}
    with pytest.raises(ConfigError) as caught:
        build("siem", options, NetworkConfig())
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match=r"tls\.ca_file"):
        build("siem", {"host": "siem", "transport": "tcp", "tls.ca_file": "/ca.pem"}, NetworkConfig())
