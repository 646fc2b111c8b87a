"""The syslog sink: CEF, LEEF or any text over UDP, TCP, TLS or RELP, in RFC 3164 or RFC 5424 headers.

No buffer, no retry. Its only time is the send time in the header, from `now`.

Over RELP the receiver acknowledges each event, and one session lasts from batch to batch: that it ended without a word
tells of a receiver that died, which between two batches nothing else does (`_Relp`).

Plain syslog has no acknowledgement. What can be had: one connection a batch; over TCP we end our direction and wait
until the receiver, having read everything, ends its own; over TLS both ends must say close_notify, which no killed
process can. A receiver that dies afterwards may still lose what it had in memory: `replay_window_s` is for that. UDP
promises nothing.

Blocking sockets in a thread of the sink's own: why, and how a connection ends, is said in net/stream.py.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from connector.errors import ConfigError
from connector.formats import relp, syslog
from connector.formats.lines import octets, one_line
from connector.formats.shorten import shorten
from connector.model import Receipt, Record
from connector.net.stream import (
    BATCH_S,
    PIECE_BYTES,
    Far,
    Patience,
    Tls,
    await_end,
    check_error,
    check_open,
    connected,
    failure,
    send_pieces,
)
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
{transport:<31} # tls | tcp | relp_tls | relp (acknowledged) | udp (can lose events unnoticed)
{port:<31} # unless it is 6514 (tls), 2514 (relp, relp_tls) or 514 (tcp, udp)
format: cef                     # cef | leef
# tls: {{ca_file: /path/ca.pem, cert_file: /path/client.pem, key_file: /path/client.key}}""",
    settings={"transport": "transport: tls, tcp, relp_tls, relp or udp", "port": "its port"},
)

_PORTS = {"tls": 6514, "relp": 2514, "relp_tls": 2514}
_RELP = ("relp", "relp_tls")
_RELP_WINDOW = 128  # so many events may wait for their acknowledgement; librelp's own measure
# Below 8,000 datagrams/s, and no burst that fills a stock receiver's buffer of 208 KiB: they lose from 10,000/s on.
_UDP_BURST, _UDP_BURST_BYTES, _UDP_PAUSE_S = 20, 32 * 1024, 0.0025


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
        return self.transport in _RELP

    @property
    def far(self) -> Far:
        """Where to connect, and whom to believe there."""
        return Far(
            host=self.host,
            port=self.port,
            place=f"{self.host}:{self.port}/{self.transport}",
            tls=self.transport in ("tls", "relp_tls"),
            ca_files=self.ca_files,
            cert_file=self.cert_file,
            key_file=self.key_file,
            key_password=self.key_password,
            server_name=self.server_name,
        )


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
        self._far = receiver.far
        self._tls = Tls(self._far)
        self._relp = _Relp(self._far, self._tls, wait_s)
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
            raise failure(self._far, error) from error

    # --------------------------------------------------------------------------------------------- in the sink's thread

    @property
    def _job(self) -> "_Job":
        if self._receiver.relp:
            return self._relp.send
        return self._send_datagrams if self._receiver.transport == "udp" else self._send_stream

    def _send_stream(self, messages: Mapping[str, bytes]) -> "_Taken":
        data = memoryview(b"".join(syslog.frame(text, self._receiver.framing) for text in messages.values()))
        patience = Patience(self._wait_s, time.monotonic() + BATCH_S)
        with connected(self._far, patience) as raw:
            if self._far.tls:
                self._tls.send(raw, data, patience)
            else:
                send_pieces(raw, data, patience)
                check_open(raw)
                await_end(raw, self._wait_s)
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
            check_error(sock)
        return frozenset(messages.keys() - rejected.keys()), rejected


_Taken = tuple[frozenset[str], Mapping[str, str]]
"""Ids of what was taken, and what was refused for good with the reason."""
_Job = Callable[[Mapping[str, bytes]], _Taken]


class _Relp:
    """A RELP session with one receiver, opened by the first batch and kept. Blocking; for one thread.

    An acknowledged event is in the receiver's queue, not on its disk. A receiver that is stopped in order says
    `serverclose` after it has written everything; one that dies says nothing. So a session that ended without a word
    is an error (Unavailable, by the caller): then the delivery loop offers again what was acknowledged lately.
    """

    def __init__(self, far: Far, tls: Tls, wait_s: float) -> None:
        self._far = far
        self._tls = tls
        self._wait_s = wait_s
        self._sock: socket.socket | None = None
        self._reader = relp.Reader()
        self._number = 0

    def send(self, messages: Mapping[str, bytes]) -> _Taken:
        """Ids of what was acknowledged. Raises OSError: then nothing of the batch counts, and the session is over."""
        patience = Patience(self._wait_s, time.monotonic() + BATCH_S)
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

    def _open(self, patience: Patience) -> None:
        raw = connected(self._far, patience)
        try:
            raw.settimeout(patience.left_s())
            self._sock = self._tls.handshake(raw) if self._far.tls else raw
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

    def _exchange(self, messages: list[tuple[str, bytes]], patience: Patience) -> frozenset[str]:
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
                send_pieces(self._socket(), memoryview(b"".join(frames)), patience)
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

    def _wait_for_frames(self, patience: Patience) -> list[relp.Frame]:
        self._socket().settimeout(patience.left_s())
        while not (frames := self._read()):
            self._socket().settimeout(patience.left_s())
        return frames

    def _read(self) -> list[relp.Frame]:
        data = self._socket().recv(PIECE_BYTES)
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
