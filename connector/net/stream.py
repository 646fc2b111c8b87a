"""A blocking connection to a receiver over TCP or TLS, for protocols that must see how a connection ends.

For a thread of the caller's own: asyncio's TLS reports a cut connection as a clean close. Under TLS 1.3 the client's
handshake ends before the receiver has judged the client's certificate, and then sending and even closing "succeed"
while nothing is stored; so `Tls` listens for the refusal before anything counts as sent. What is sent is the caller's.
"""

import contextlib
import errno
import os
import re
import select
import socket
import ssl
import time
from collections.abc import Callable

from attrs import field, frozen

from connector.errors import Denied, SecureScoreError, Unavailable, exhausted

BATCH_S = 60.0  # a whole batch, however slowly it trickles
PIECE_BYTES = 64 * 1024
_LISTEN_S = 0.25  # how long at least to listen for a refused certificate ...
_LISTEN_AGAIN_S = 60.0  # ... and how long a silent answer counts: not longer than replay_window_s

# Failures of TLS that no waiting heals, in OpenSSL's words: alerts about certificates; no TLS or another one.
_REFUSED = re.compile(
    r"CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE|DECRYPT_ERROR|INSUFFICIENT_SECURITY|UNRECOGNIZED_NAME"
)
_NOT_TLS = re.compile(r"WRONG_VERSION_NUMBER|PROTOCOL|HTTP_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG")


@frozen
class Far:
    """A receiver by address, and how it is to be believed. `ca_files` add to the system's store."""

    host: str
    port: int
    place: str
    """What errors call it."""
    tls: bool = False
    ca_files: tuple[str, ...] = ()
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    server_name: str | None = None


def connected(far: Far, patience: "Patience") -> socket.socket:
    raw = socket.create_connection((far.host, far.port), timeout=patience.left_s())
    # Without this the last piece of a batch waits for the receiver's delayed acknowledgement, some 20-40 ms.
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience.wait_s * 1000))
    return raw


class Tls:
    """TLS to one receiver: its context, renewed when a certificate file changes, and what it said so far."""

    def __init__(self, far: Far) -> None:
        self._far = far
        self._files: tuple[tuple[str, int, int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None
        self._heard_until = 0.0  # monotonic: until then the receiver is taken to accept our certificate
        self._tickets = False  # the receiver issues session tickets

    def send(self, raw: socket.socket, data: memoryview, patience: "Patience") -> None:
        """Handshake, listen for a refusal, send, and close in both directions."""
        context = self.context()
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
            send_pieces(sock, data, patience)
            check_open(sock)
            sock.settimeout(patience.left_s())
            with sock.unwrap() as plain:
                check_error(plain)
        self._heard_until = heard_until

    def handshake(self, raw: socket.socket) -> ssl.SSLSocket:
        """TLS for a protocol whose own first answer shows that the receiver accepts us."""
        return self._handshake(self.context(), raw)

    def _handshake(self, context: ssl.SSLContext, raw: socket.socket) -> ssl.SSLSocket:
        name = self._far.server_name or self._far.host
        try:
            return context.wrap_socket(raw, server_hostname=name)
        except TimeoutError as error:
            what = f"{self._far.place}: connected, and no TLS answer came"
            hint = "the receiver may listen there without TLS: check `port` and `transport`; else, firewalls"
            raise Unavailable(what, hint=hint) from error
        except ssl.SSLError as error:
            if not _NOT_TLS.search(error.reason or ""):
                raise
            hint = "the receiver speaks no TLS 1.2 or later on this port: check `port` and `transport`"
            raise Denied(f"{self._far.place}: {_words(error)}", hint=hint) from error

    def context(self) -> ssl.SSLContext:
        """The context as the files are now. Raises Denied naming the file at fault."""
        far = self._far
        files = tuple(_signature(path) for path in (*far.ca_files, far.cert_file, far.key_file) if path)
        if self._context is None or files != self._files:
            self._context, self._files, self._heard_until = _context(far), files, 0.0
        return self._context


def _context(far: Far) -> ssl.SSLContext:
    """Server name and certificate are always checked; TLS 1.2 at least. Raises Denied naming the file at fault."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in far.ca_files:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise _bad_file(path, error, "must hold certificates in PEM form") from error
    if far.cert_file:
        try:
            # A function, never None: OpenSSL would ask for a missing password on the terminal.
            context.load_cert_chain(far.cert_file, far.key_file, lambda: far.key_password or "")
        except OSError as error:
            hint = "must hold the certificate chain, it or tls.key_file the private key (PEM); check the password"
            raise _bad_file(far.cert_file, error, hint) from error
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
class Patience:
    """Bounds of a batch: any single wait, and the monotonic time at which all of it must be over."""

    wait_s: float
    end: float

    def left_s(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the batch took longer than {BATCH_S:.0f} s")
        return min(left, self.wait_s)


def check_open(sock: socket.socket) -> None:
    """Raise when the receiver ended its direction before we ended ours: its end says nothing about our data then."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        if sock.recv(PIECE_BYTES) == b"":
            raise ConnectionAbortedError(0, "closed by the receiver before the end of the batch")


def send_pieces(sock: socket.socket, data: memoryview, patience: Patience) -> None:
    for start in range(0, len(data), PIECE_BYTES):
        sock.settimeout(patience.left_s())
        sock.sendall(data[start : start + PIECE_BYTES])


def await_end(sock: socket.socket, wait_s: float) -> None:
    """End our direction and wait until the receiver ends its own: it has then read everything.

    Unread data at the receiver's end makes its kernel answer with a reset instead.
    """
    sock.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + wait_s
    while True:
        left = deadline - time.monotonic()
        sock.settimeout(max(left, 0.001))
        try:
            if sock.recv(PIECE_BYTES) == b"":
                break
        except TimeoutError:
            raise TimeoutError("the receiver did not close the connection after the end of the batch") from None
        if left <= 0:
            raise TimeoutError("the receiver keeps talking after the end of the batch")
    check_error(sock)


def check_error(sock: socket.socket) -> None:
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
        check_open(sock)
        left = deadline - time.monotonic()
        if left <= 0 or (until is not None and until(sock)):
            return
        poller.poll(max(1, left * 1000))


# ------------------------------------------------------------------------------------------------------ what went wrong


_NEVER_CONNECTED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL}
"""What the network says before a receiver has seen a certificate, or the want of one."""


def failure(far: Far, error: OSError) -> SecureScoreError:
    """The operator's error for anything the network raised."""
    if (lacking := exhausted(error)) is not None:
        return lacking
    what = f"{far.place}: {_words(error)}"
    ours = f"must accept {far.cert_file}" if far.cert_file else "may want a client certificate (tls.cert_file)"
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
    if far.tls and error.errno not in _NEVER_CONNECTED:
        return Unavailable(what, hint=f"check that the receiver runs and listens there; it {ours}")
    return Unavailable(what, hint="check that the receiver runs and listens there")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return error.strerror or str(error) or type(error).__name__
