"""The syslog sink over RELP: the contract, and receivers that refuse, forget, babble, go or never answer."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from connector.config.values import NetworkConfig
from connector.errors import ConfigError, Unavailable
from connector.formats.relp import Reader, encode
from connector.model import Receipt
from connector.testing.sink_contract import FarEnd, SinkContract, accepted, cef, record
from sinks.syslog import OPTIONS, Receiver, SyslogSink, build

NOW = datetime(2026, 11, 3, 2, 30, tzinfo=UTC)
OFFERS = b"200 OK\nrelp_version=0\nrelp_software=fake\ncommands=syslog"
TOO_FAR = 5.0


class Loopback:
    """A RELP receiver on loopback that behaves as `manner` says, and keeps what it acknowledged.

    "take"; "reset": keep the first event, then reset the connection. "silent": never answer. "refuse N": answer the
    Nth event of a session by 500, and take the others. "refuse all"; "go N": say serverclose after N events. "closed":
    refuse the session. "other": offer another command. Or octets, which are all that it ever says.
    """

    breaks_midway = True
    probe_sees_down = True

    def __init__(self) -> None:
        self.port = 0
        self.manner: str | bytes = "take"
        self.messages: list[bytes] = []
        self.sessions = 0
        self.goodbyes = 0
        self._listener: socket.socket | None = None
        self._open_connections: list[socket.socket] = []
        self._released = threading.Event()
        self._open()

    def _open(self) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._accept, args=[self._listener])
        self._thread.start()

    def close(self) -> None:
        self._released.set()
        if self._listener is not None:
            for sock in (self._listener, *self._open_connections):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(5)
            assert not self._thread.is_alive()
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.sessions += 1
            self._open_connections.append(connection)
            with connection, contextlib.suppress(OSError):
                self._serve(connection)
            self._open_connections.remove(connection)

    def _serve(self, sock: socket.socket) -> None:
        reader, events = Reader(), 0
        while data := sock.recv(65536):
            if isinstance(self.manner, bytes):
                sock.sendall(self.manner)
                continue
            for frame in reader.feed(data):
                if frame.command == "open":
                    said = {"closed": b"500 go away", "other": b"200 OK\nrelp_version=0\ncommands=ftp"}
                    sock.sendall(encode(frame.number, "rsp", said.get(self.manner, OFFERS)))
                elif frame.command == "close":
                    self.goodbyes += 1
                    sock.sendall(encode(frame.number, "rsp") + encode(0, "serverclose"))
                    return
                else:
                    events += 1
                    if self._event(sock, frame.number, frame.data, events):
                        return

    def _event(self, sock: socket.socket, number: int, data: bytes, count: int) -> bool:
        """Answer one event; whether the connection ends."""
        assert isinstance(self.manner, str)
        word, _, argument = self.manner.partition(" ")
        if word == "silent":
            self._released.wait(TOO_FAR)
            return True
        if word == "refuse" and argument in ("all", str(count)):
            sock.sendall(encode(number, "rsp", b"500 queue full"))
            return False
        if word == "go" and count > int(argument):
            sock.sendall(encode(0, "serverclose"))
            return True
        self.messages.append(data)
        if word == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        sock.sendall(encode(number, "rsp", b"200 OK"))
        return False

    # FarEnd

    def sink(self) -> SyslogSink:
        receiver = Receiver(host="127.0.0.1", port=self.port, transport="relp", hostname="host1")
        return SyslogSink("siem", receiver, now=lambda: NOW, wait_s=0.5 if self.manner == "silent" else 20.0)

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
        if self._listener is None:
            self._released.clear()
            self._open()

    async def break_after_first(self) -> None:
        self.manner = "reset"


@pytest.fixture
def far_end() -> Iterator[Loopback]:
    loopback = Loopback()
    yield loopback
    loopback.close()


class TestRelp(SinkContract):
    @pytest.fixture
    def far_end(self) -> Iterator[FarEnd]:
        loopback = Loopback()
        yield loopback
        loopback.close()


async def sent(sink: SyslogSink, *numbers: int) -> Receipt:
    return await sink.send([record(n, f"event {n}") for n in numbers])


async def test_one_session_lasts_from_batch_to_batch_and_ends_with_a_goodbye(far_end: Loopback) -> None:
    sink = far_end.sink()
    for n in range(3):
        assert (await sent(sink, n)).accepted
    assert (far_end.sessions, far_end.goodbyes) == (1, 0)
    await sink.close()
    assert far_end.goodbyes == 1
    assert far_end.messages[0] == b"<134>Nov  3 02:30:00 host1 event 0"


async def test_more_than_a_window_is_sent_and_acknowledged(far_end: Loopback) -> None:
    sink = far_end.sink()
    records = [record(n, f"event {n}") for n in range(500)]
    assert await sink.send(records) == accepted(records)
    await sink.close()
    assert [m.rsplit(b" ", 1)[1] for m in far_end.messages] == [b"%d" % n for n in range(500)]


async def test_an_event_that_is_refused_is_left_out_and_the_others_are_taken(far_end: Loopback) -> None:
    """What the receiver means by it (a full queue, a bad event), time tells: it is offered again."""
    far_end.manner = "refuse 2"
    sink = far_end.sink()
    receipt = await sent(sink, 1, 2, 3)
    await sink.close()
    assert receipt.accepted == {record(1, "").event_id, record(3, "").event_id}


async def test_a_receiver_that_refuses_every_event_is_unavailable_in_its_own_words(far_end: Loopback) -> None:
    far_end.manner = "refuse all"
    sink = far_end.sink()
    with pytest.raises(Unavailable, match="500 queue full"):
        await sent(sink, 1, 2)
    await sink.close()


async def test_what_was_acknowledged_before_an_orderly_end_counts(far_end: Loopback) -> None:
    far_end.manner = "go 2"
    sink = far_end.sink()
    receipt = await sent(sink, 1, 2, 3, 4)
    assert len(receipt.accepted) == 2
    far_end.manner = "take"
    assert len((await sent(sink, 3, 4)).accepted) == 2
    await sink.close()
    assert far_end.sessions == 2


async def test_an_end_without_a_word_between_two_batches_is_told(far_end: Loopback) -> None:
    sink = far_end.sink()
    assert (await sent(sink, 1)).accepted
    far_end.close()
    await far_end.up()
    with pytest.raises(Unavailable, match="without a word"):
        await sent(sink, 2)
    assert (await sent(sink, 2)).accepted
    await sink.close()


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("closed", "refuses the session: 500 go away"),
        ("other", "offers no command `syslog`"),
        ("silent", "timed out"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak RELP"),
        (b"1 rsp 6 OK 200\n", "does not speak RELP"),
        (b"7 rsp 6 200 OK\n", "refuses the session"),
        (b"1 rsp 999999999 200 OK", "does not speak RELP"),
        (b"0 serverclose 0\n", "does not speak RELP"),
        (b"1 rsp 33 200 OK\nrelp_version=0\ncommands=syslog\n" + b"9 rsp 6 200 OK\n" * 3, "does not speak RELP"),
    ],
)
async def test_a_far_end_that_is_no_good_receiver_takes_nothing(
    far_end: Loopback, manner: str | bytes, words: str
) -> None:
    far_end.manner = manner
    sink = far_end.sink()
    with pytest.raises(Unavailable) as caught:
        await sent(sink, 1)
    assert words in caught.value.what
    assert caught.value.hint
    await sink.close()


def test_options() -> None:
    made = build("soc", {"host": "siem", "transport": "relp_tls", "tls.cert_file": "/c.pem"}, NetworkConfig())
    assert made._receiver == evolve(made._receiver, port=2514, transport="relp_tls", cert_file="/c.pem")
    assert made.replay_window_s == 60.0
    assert {"relp", "relp_tls"} <= set(OPTIONS["transport"].choices)
    with pytest.raises(ConfigError, match="RELP counts octets"):
        build("soc", {"host": "siem", "transport": "relp", "framing": "lf"}, NetworkConfig())
    with pytest.raises(ConfigError, match="has no effect with transport relp"):
        build("soc", {"host": "siem", "transport": "relp", "tls.ca_file": "/ca.pem"}, NetworkConfig())
