"""The syslog sink: CEF, LEEF or any text over UDP, TCP, TLS or RELP, in RFC 3164 or RFC 5424 headers.

No buffer, no retry. Its only time is the send time in the header, from `now`.

Over RELP the receiver acknowledges each event, and one session lasts from batch to batch: that it ended without a word
tells of a receiver that died, which between two batches nothing else does (`_Relp`).

Plain syslog has no acknowledgement. What can be had: one connection a batch; over TCP we end our direction and wait
until the receiver, having read everything, ends its own; over TLS both ends must say close_notify, which no killed
process can. A receiver that dies afterwards may still lose what it had in memory: `replay_window_s` is for that. UDP
promises nothing.

Blocking sockets in a thread of the sink's own: asyncio's TLS reports a cut connection as a clean close. Under TLS 1.3
the client's handshake ends before the receiver has judged the client's certificate, and then sending and even closing
"succeed" while nothing is stored; so the sink listens for the refusal (`_listen`) before anything counts as sent.
"""

import asyncio
import contextlib
import errno
import os
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.formats import relp, syslog
from connector.formats.lines import octets, one_line
from connector.formats.shorten import shorten
from connector.model import Receipt, Record
from connector.options import LIVE, Init, Option

OPTIONS: Mapping[str, Option] = {
    **LIVE,
    "host": Option("host", required=True, doc="The receiver."),
    "port": Option("port", doc="Its port, unless it is 6514 (tls), 2514 (relp, relp_tls) or 514 (tcp, udp)."),
    "transport": Option(
        "enum",
        default="tls",
        choices=("tls", "tcp", "udp", "relp", "relp_tls"),
        doc="relp, relp_tls acknowledge each event; tls, tcp confirm that the receiver took a batch; udp is "
        "best effort and can lose events unnoticed.",
    ),
    "framing": Option(
        "enum",
        default="octet",
        choices=("octet", "lf"),
        doc="How events are told apart on tcp: octet counting, or a line feed (a cut line then looks like an event).",
    ),
    "header": Option(
        "enum",
        default="rfc3164",
        choices=("rfc3164", "rfc5424"),
        doc="rfc3164 without a program name is what the Azure Monitor Agent and Splunk Connect for Syslog recognise.",
    ),
    "facility": Option(
        "enum",
        default="local0",
        choices=tuple(syslog.FACILITIES),
        doc="Choose one that no plain Syslog collection uses, or Sentinel stores every event twice.",
    ),
    "hostname": Option("str", doc="HOSTNAME in the header; this machine's name unless stated."),
    "app_name": Option("str", default="secure-score", doc="APP-NAME of the rfc5424 header."),
    "timezone": Option(
        "enum",
        default="utc",
        choices=("utc", "local"),
        doc="Zone of the rfc3164 header's time; the receiver takes it for its own. The event states the exact time.",
    ),
    "max_frame_bytes": Option(
        "size",
        default=8096,
        minimum=480,
        maximum=1024 * 1024,
        doc="Largest message with header; longer events are shortened. Stock rsyslog takes 8096, QRadar 4096.",
    ),
    "tls.ca_file": Option("path", doc="Certificate authorities (PEM) trusted in addition to the system's."),
    "tls.cert_file": Option("path", doc="Client certificate chain (PEM), for receivers that ask for one."),
    "tls.key_file": Option("path", doc="Its private key (PEM); may be in cert_file."),
    "tls.key_password": Option("secret", secret=True, doc="Password of the private key."),
    "tls.server_name": Option("host", doc="Name the receiver's certificate must carry, if it is not `host`."),
}
FORMAT = "cef"
HOST_ONLY = True
INIT = Init(
    key="host",
    example="siem.example",
    question="host name or address of the syslog receiver",
    entry="""\
name: soc
kind: syslog
host: {address}
port: 6514
transport: tls                  # tls | tcp | relp_tls | relp (acknowledged) | udp (can lose events unnoticed)
format: cef                     # cef | leef
# tls: {{ca_file: /path/ca.pem, cert_file: /path/client.pem, key_file: /path/client.key}}""",
)

_PORTS = {"tls": 6514, "relp": 2514, "relp_tls": 2514}
_RELP = ("relp", "relp_tls")
_RELP_WINDOW = 128  # so many events may wait for their acknowledgement; librelp's own measure
_BATCH_S = 60.0  # a whole batch, however slowly it trickles
_PIECE_BYTES = 64 * 1024
_LISTEN_S = 0.25  # how long at least to listen for a refused certificate ...
_LISTEN_AGAIN_S = 60.0  # ... and how long a silent answer counts: not longer than replay_window_s
# Below 8,000 datagrams/s, and no burst that fills a stock receiver's buffer of 208 KiB: they lose from 10,000/s on.
_UDP_BURST, _UDP_BURST_BYTES, _UDP_PAUSE_S = 20, 32 * 1024, 0.0025

# Failures of TLS that no waiting heals, in OpenSSL's words: alerts about certificates; no TLS or another one.
_REFUSED = re.compile(
    r"CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE|DECRYPT_ERROR|INSUFFICIENT_SECURITY|UNRECOGNIZED_NAME"
)
_NOT_TLS = re.compile(r"WRONG_VERSION_NUMBER|PROTOCOL|HTTP_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG")


@frozen
class Receiver:
    """Where to and in what form. `ca_files` add to the system's store; `max_frame_bytes` includes the header."""

    host: str
    port: int
    transport: str = "tls"  # tls | tcp | udp | relp | relp_tls
    framing: str = "octet"  # octet | lf
    header: str = "rfc3164"  # rfc3164 | rfc5424
    facility: str = "local0"
    hostname: str = "-"
    app_name: str = "secure-score"
    timezone: str = "utc"  # utc | local
    max_frame_bytes: int = 8096
    ca_files: tuple[str, ...] = ()
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    server_name: str | None = None

    @property
    def relp(self) -> bool:
        return self.transport in ("relp", "relp_tls")

    @property
    def secured(self) -> bool:
        return self.transport in ("tls", "relp_tls")

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}/{self.transport}"


def build(name: str, options: Mapping[str, Any], network: Any) -> "SyslogSink":
    """A sink from checked options (keys as in OPTIONS) and the network settings (`ca_file`). Raises ConfigError."""
    given = {key: option.default for key, option in OPTIONS.items()} | dict(options)
    problems = []
    tls = given["transport"] in ("tls", "relp_tls")
    if given["transport"] == "tls" and given["framing"] == "lf":
        problems.append("framing: TLS needs octet counting (RFC 5425)")
    if given["transport"] in _RELP and given["framing"] == "lf":
        problems.append(f"framing: has no effect with transport {given['transport']}: RELP counts octets")
    if not tls and (named := [key for key in given if key.startswith("tls.") and given[key]]):
        problems.append(f"{named[0]}: has no effect with transport {given['transport']}")
    if given["tls.key_file"] and not given["tls.cert_file"]:
        problems.append("tls.key_file: needs tls.cert_file")
    if problems:
        raise ConfigError([f"sinks.{name}.{problem}" for problem in problems])
    receiver = Receiver(
        host=given["host"],
        port=given["port"] or _PORTS.get(given["transport"], 514),
        transport=given["transport"],
        framing=given["framing"],
        header=given["header"],
        facility=given["facility"],
        hostname=syslog.host_field(given["hostname"] or socket.gethostname()),
        app_name=given["app_name"],
        timezone=given["timezone"],
        max_frame_bytes=given["max_frame_bytes"],
        ca_files=tuple(path for path in (network.ca_file, given["tls.ca_file"]) if path and tls),
        cert_file=given["tls.cert_file"],
        key_file=given["tls.key_file"],
        key_password=given["tls.key_password"],
        server_name=given["tls.server_name"],
    )
    return SyslogSink(name, receiver)


def header(receiver: Receiver, severity: int, stream: str, moment: datetime) -> str:
    """The header of messages of one severity and stream that are sent now. In RFC 5424 the stream is the MSGID."""
    pri = syslog.priority(receiver.facility, severity)
    if receiver.header == "rfc5424":
        time_text = syslog.rfc5424_time(moment)
        return syslog.rfc5424(pri, time_text, receiver.hostname, receiver.app_name, stream)
    local = moment.astimezone(None if receiver.timezone == "local" else UTC)
    return syslog.rfc3164(pri, syslog.rfc3164_time(local), receiver.hostname)


def message(receiver: Receiver, record: Record, header: str) -> bytes:
    """Header and payload of one record, shortened to the receiver's frame.

    Raises ValueError with the reason when the record fits no frame or is no text.
    """
    try:
        text = one_line(record.payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    short = shorten(text, receiver.max_frame_bytes - len(header))
    if short is None:
        size = len(header) + len(octets(text))
        raise ValueError(f"{size} octets, max_frame_bytes is {receiver.max_frame_bytes}, and shortening is not enough")
    return octets(header + short)


class SyslogSink:
    """Sends batches to one receiver; see the module's text for what a receipt means here."""

    max_records = 500
    max_bytes = 4 * 1024 * 1024

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wait_s: float = 10.0,
    ) -> None:
        """`now` is the send time of headers, aware; `wait_s` bounds any single wait for the receiver."""
        self.name = name
        self.replay_window_s = 0.0 if receiver.transport == "udp" else 60.0
        self._receiver = receiver
        self._now = now
        self._wait_s = wait_s
        self._tls = _Tls(receiver)
        self._relp = _Relp(receiver, self._tls, wait_s)
        # A thread of its own: a dead receiver must not take the threads other sinks need. Only one, so that a batch
        # whose sender gave up waiting is over before the next one begins.
        self._thread: ThreadPoolExecutor | None = None

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Send a batch. Records that fit no frame are rejected; over RELP only what is acknowledged is accepted.

        Raises Unavailable (refused, time-out, cut connection, no confirmation) or Denied (certificates, TLS); then
        nothing is accepted, though the receiver may hold some of it.
        """
        moment = self._now()
        headers: dict[tuple[int, str], str] = {}
        messages: dict[str, bytes] = {}
        rejected: dict[str, str] = {}
        for record in records:
            kind = (record.severity, record.stream)
            if kind not in headers:
                headers[kind] = header(self._receiver, *kind, moment)
            try:
                messages[record.event_id] = message(self._receiver, record, headers[kind])
            except ValueError as error:
                rejected[record.event_id] = str(error)
        accepted: frozenset[str] = frozenset()
        if messages:
            accepted, refused = await self._in_thread(self._job, messages)
            rejected |= refused
        return Receipt(accepted=accepted, rejected=rejected)

    async def probe(self) -> None:
        """Connect, with TLS and the client certificate, and close again. For UDP only the name can be looked up."""
        await self._in_thread(self._job, {})

    async def close(self) -> None:
        """End the RELP session, if there is one; nothing else stays open. A later `send` starts again."""
        if self._thread is not None:
            if self._receiver.relp:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._relp.close)
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _in_thread(self, job: "_Job", messages: Mapping[str, bytes]) -> "_Taken":
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{self.name}")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job, messages)
        except OSError as error:
            raise _failure(self._receiver, error) from error

    # --------------------------------------------------------------------------------------------- in the sink's thread

    @property
    def _job(self) -> "_Job":
        if self._receiver.relp:
            return self._relp.send
        return self._send_datagrams if self._receiver.transport == "udp" else self._send_stream

    def _send_stream(self, messages: Mapping[str, bytes]) -> "_Taken":
        data = memoryview(b"".join(syslog.frame(text, self._receiver.framing) for text in messages.values()))
        patience = _Patience(self._wait_s, time.monotonic() + _BATCH_S)
        with _connected(self._receiver, patience) as raw:
            if self._receiver.secured:
                self._tls.send(raw, data, patience)
            else:
                _send_pieces(raw, data, patience)
                _check_open(raw)
                _await_end(raw, self._wait_s)
        return frozenset(messages), {}

    def _send_datagrams(self, messages: Mapping[str, bytes]) -> "_Taken":
        """Paced datagrams; returns those the network cannot carry. A connected socket hears of a closed port."""
        rejected: dict[str, str] = {}
        address = (self._receiver.host, self._receiver.port)
        family, kind, protocol, _, target = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(self._wait_s)
            sock.connect(target)
            count = size = 0
            for event_id, text in messages.items():
                try:
                    sock.send(text)
                except OSError as error:
                    if error.errno != errno.EMSGSIZE:
                        raise
                    rejected[event_id] = f"a datagram of {len(text)} octets is too large for the network (EMSGSIZE)"
                count, size = count + 1, size + len(text)
                if count >= _UDP_BURST or size >= _UDP_BURST_BYTES:
                    time.sleep(_UDP_PAUSE_S)
                    count = size = 0
            time.sleep(_UDP_PAUSE_S)  # small batches are paced too, and a refusal (ICMP) has time to come back
            _check_error(sock)
        return frozenset(messages.keys() - rejected.keys()), rejected


_Taken = tuple[frozenset[str], Mapping[str, str]]
"""Ids of what was taken, and what was refused for good with the reason."""
_Job = Callable[[Mapping[str, bytes]], _Taken]


def _connected(receiver: Receiver, patience: "_Patience") -> socket.socket:
    raw = socket.create_connection((receiver.host, receiver.port), timeout=patience.left_s())
    # Without this the last piece of a batch waits for the receiver's delayed acknowledgement, some 20-40 ms.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience.wait_s * 1000))
    return raw


class _Relp:
    """A RELP session with one receiver, opened by the first batch and kept. Blocking; for one thread.

    An acknowledged event is in the receiver's queue, not on its disk. A receiver that is stopped in order says
    `serverclose` after it has written everything; one that dies says nothing. So a session that ended without a word
    is an error (Unavailable, by the caller): then the delivery loop offers again what was acknowledged lately.
    """

    def __init__(self, receiver: Receiver, tls: "_Tls", wait_s: float) -> None:
        self._receiver = receiver
        self._tls = tls
        self._wait_s = wait_s
        self._sock: socket.socket | None = None
        self._reader = relp.Reader()
        self._number = 0

    def send(self, messages: Mapping[str, bytes]) -> _Taken:
        """Ids of what was acknowledged. Raises OSError: then nothing of the batch counts, and the session is over."""
        patience = _Patience(self._wait_s, time.monotonic() + _BATCH_S)
        try:
            if self._sock is not None and self._was_ended():
                self._drop()
            if self._sock is None:
                self._open(patience)
            return self._exchange(list(messages.items()), patience), {}
        except ValueError as error:
            self._drop()
            raise ConnectionAbortedError(0, f"the receiver does not speak RELP: {error}") from error
        except BaseException:
            self._drop()
            raise

    def close(self) -> None:
        """Say goodbye, and wait a moment for the receiver's."""
        if self._sock is not None:
            with contextlib.suppress(OSError, ValueError):
                self._sock.settimeout(1.0)
                self._sock.sendall(relp.encode(self._next(), "close"))
                self._read()
        self._drop()

    def _open(self, patience: "_Patience") -> None:
        raw = _connected(self._receiver, patience)
        try:
            raw.settimeout(patience.left_s())
            self._sock = self._tls.handshake(raw) if self._receiver.secured else raw
        except BaseException:
            raw.close()
            raise
        self._reader, self._number = relp.Reader(), 0
        number = self._next()
        self._sock.sendall(relp.encode(number, "open", relp.OFFERS))
        for frame in self._wait_for_frames(patience):
            said = relp.answer(frame)
            if frame.number != number or said.status != 200:
                raise ConnectionRefusedError(0, f"the receiver refuses the session: {said.status} {said.words[:200]}")
            if "syslog" not in relp.offered_commands(said.rest):
                raise ConnectionRefusedError(0, "the receiver offers no command `syslog`")

    def _exchange(self, messages: list[tuple[str, bytes]], patience: "_Patience") -> frozenset[str]:
        """Send with at most a window unanswered. A refused event is left out: whether that is for good, time tells."""
        waiting: dict[int, str] = {}
        taken: set[str] = set()
        refusal = ""
        sent = 0
        while sent < len(messages) or waiting:
            if room := messages[sent : sent + _RELP_WINDOW - len(waiting)]:
                frames = []
                for event_id, text in room:
                    waiting[number := self._next()] = event_id
                    frames.append(relp.encode(number, "syslog", text))
                _send_pieces(self._socket(), memoryview(b"".join(frames)), patience)
                sent += len(room)
            for frame in self._wait_for_frames(patience):
                if frame.command == "serverclose":
                    self._drop()
                    if not taken:
                        raise ConnectionAbortedError(0, "the receiver ended the session")
                    return frozenset(taken)
                said = relp.answer(frame)
                event_id = waiting.pop(frame.number, "")
                if not event_id:
                    raise ValueError(f"an answer to {frame.number}, which nobody asked")
                if said.status == 200:
                    taken.add(event_id)
                else:
                    refusal = f"{said.status} {said.words[:200]}"
        if messages and not taken:
            raise ConnectionRefusedError(0, f"the receiver refuses every event: {refusal}")
        return frozenset(taken)

    def _was_ended(self) -> bool:
        """Whether the receiver ended the session in order since the last batch. Raises OSError when it just went."""
        sock = self._socket()
        sock.setblocking(False)
        try:
            frames = self._read()
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        return any(frame.command == "serverclose" for frame in frames)

    def _wait_for_frames(self, patience: "_Patience") -> list[relp.Frame]:
        self._socket().settimeout(patience.left_s())
        while not (frames := self._read()):
            self._socket().settimeout(patience.left_s())
        return frames

    def _read(self) -> list[relp.Frame]:
        data = self._socket().recv(_PIECE_BYTES)
        if not data:
            raise ConnectionResetError(0, "the receiver ended the session without a word")
        return self._reader.feed(data)

    def _socket(self) -> socket.socket:
        assert self._sock is not None
        return self._sock

    def _next(self) -> int:
        self._number = relp.following(self._number)
        return self._number

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()


class _Tls:
    """TLS to one receiver: its context, renewed when a certificate file changes, and what it said so far."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._files: tuple[tuple[str, int, int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None
        self._heard_until = 0.0  # monotonic: until then the receiver is taken to accept our certificate
        self._tickets = False  # the receiver issues session tickets

    def send(self, raw: socket.socket, data: memoryview, patience: "_Patience") -> None:
        """Handshake, listen for a refusal, send, and close in both directions."""
        context = self._current()
        heard_until, self._heard_until = self._heard_until, 0.0  # any failure below makes the next batch listen again
        raw.settimeout(patience.left_s())
        began = time.monotonic()
        with self._handshake(context, raw) as sock:
            ended = time.monotonic()
            if sock.version() == "TLSv1.3":
                # The refusal is one round trip away, and the handshake took at least one.
                seconds = max(_LISTEN_S, 3 * (ended - began))
                if not data or ended >= heard_until:
                    _listen(sock, seconds)
                    self._tickets = _has_ticket(sock)
                    heard_until = time.monotonic() + _LISTEN_AGAIN_S
                elif self._tickets:
                    # Its handshake must be over too: a young rsyslog 8.2302 loses what comes on the heels of ours.
                    _listen(sock, seconds, until=_has_ticket)
            _send_pieces(sock, data, patience)
            _check_open(sock)
            sock.settimeout(patience.left_s())
            with sock.unwrap() as plain:
                _check_error(plain)
        self._heard_until = heard_until

    def handshake(self, raw: socket.socket) -> ssl.SSLSocket:
        """TLS for a protocol whose own first answer shows that the receiver accepts us."""
        return self._handshake(self._current(), raw)

    def _handshake(self, context: ssl.SSLContext, raw: socket.socket) -> ssl.SSLSocket:
        name = self._receiver.server_name or self._receiver.host
        try:
            return context.wrap_socket(raw, server_hostname=name)
        except ssl.SSLError as error:
            if not _NOT_TLS.search(error.reason or ""):
                raise
            hint = "the receiver speaks no TLS 1.2 or later on this port: check `port` and `transport`"
            raise Denied(f"{self._receiver.place}: {_words(error)}", hint=hint) from error

    def _current(self) -> ssl.SSLContext:
        receiver = self._receiver
        files = tuple(_signature(path) for path in (*receiver.ca_files, receiver.cert_file, receiver.key_file) if path)
        if self._context is None or files != self._files:
            self._context, self._files, self._heard_until = _context(receiver), files, 0.0
        return self._context


def _context(receiver: Receiver) -> ssl.SSLContext:
    """Server name and certificate are always checked; TLS 1.2 at least. Raises Denied naming the file at fault."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in receiver.ca_files:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise _bad_file(path, error, "must hold certificates in PEM form") from error
    if receiver.cert_file:
        try:
            # A function, never None: OpenSSL would ask for a missing password on the terminal.
            context.load_cert_chain(receiver.cert_file, receiver.key_file, lambda: receiver.key_password or "")
        except OSError as error:
            hint = "must hold the certificate chain, it or tls.key_file the private key (PEM); check the password"
            raise _bad_file(receiver.cert_file, error, hint) from error
    return context


def _bad_file(path: str, error: OSError, hint: str) -> Denied:
    return Denied(f"cannot use {path}: {_words(error)}", hint=f"the file {hint}")


def _signature(path: str) -> tuple[str, int, int, int]:
    """What changes when a file is renewed."""
    try:
        seen = os.stat(path)  # noqa: PTH116 - text in, numbers out
    except OSError as error:
        raise _bad_file(path, error, "must exist and be readable for the connector's user") from error
    return path, seen.st_mtime_ns, seen.st_size, seen.st_ino


@frozen
class _Patience:
    """Bounds of a batch: any single wait, and the monotonic time at which all of it must be over."""

    wait_s: float
    end: float

    def left_s(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the batch took longer than {_BATCH_S:.0f} s")
        return min(left, self.wait_s)


def _check_open(sock: socket.socket) -> None:
    """Raise when the receiver ended its direction before we ended ours: its end says nothing about our data then."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        if sock.recv(_PIECE_BYTES) == b"":
            raise ConnectionAbortedError(0, "closed by the receiver before the end of the batch")


def _send_pieces(sock: socket.socket, data: memoryview, patience: _Patience) -> None:
    for start in range(0, len(data), _PIECE_BYTES):
        sock.settimeout(patience.left_s())
        sock.sendall(data[start : start + _PIECE_BYTES])


def _await_end(sock: socket.socket, wait_s: float) -> None:
    """End our direction and wait until the receiver ends its own: it has then read everything.

    Unread data at the receiver's end makes its kernel answer with a reset instead.
    """
    sock.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + wait_s
    while True:
        left = deadline - time.monotonic()
        sock.settimeout(max(left, 0.001))
        try:
            if sock.recv(_PIECE_BYTES) == b"":
                break
        except TimeoutError:
            raise TimeoutError("the receiver did not close the connection after the end of the batch") from None
        if left <= 0:
            raise TimeoutError("the receiver keeps talking after the end of the batch")
    _check_error(sock)


def _check_error(sock: socket.socket) -> None:
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _has_ticket(sock: ssl.SSLSocket) -> bool:
    return sock.session is not None and sock.session.has_ticket


def _listen(sock: ssl.SSLSocket, seconds: float, until: Callable[[ssl.SSLSocket], bool] | None = None) -> None:
    """Raise what the receiver says against us within `seconds` of the handshake; silence is consent.

    `until` may end it earlier. A session ticket says that the receiver's handshake is over too, not that it consents:
    the name in the certificate may be refused thereafter.
    """
    deadline = time.monotonic() + seconds
    sock.setblocking(False)
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    while True:
        _check_open(sock)
        left = deadline - time.monotonic()
        if left <= 0 or (until is not None and until(sock)):
            return
        poller.poll(max(1, left * 1000))


# ------------------------------------------------------------------------------------------------------ what went wrong


def _failure(receiver: Receiver, error: OSError) -> SecureScoreError:
    """The operator's error for anything the network raised."""
    what = f"{receiver.place}: {_words(error)}"
    ours = (
        f"must accept {receiver.cert_file}" if receiver.cert_file else "may want a client certificate (tls.cert_file)"
    )
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "tls.ca_file must hold the authority of the receiver's certificate, tls.server_name the name in it"
        return Denied(what, hint=hint)
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if _REFUSED.search(reason):
        return Denied(what, hint=f"most likely because of the client certificate: the receiver {ours}")
    if isinstance(error, socket.gaierror):
        return Unavailable(what, hint="check `host` and the name servers")
    if isinstance(error, TimeoutError):
        return Unavailable(what, hint="check host, port and firewalls; a very slow receiver needs smaller batches")
    if receiver.secured:
        return Unavailable(what, hint=f"check that the receiver runs and listens there; it {ours}")
    return Unavailable(what, hint="check that the receiver runs and listens there")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return error.strerror or str(error) or type(error).__name__
