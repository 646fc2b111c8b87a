"""Receivers that mean harm, one behaviour each, over real sockets of this machine. Nothing is asserted here.

`WAYS` are servers that take a request and answer as no honest one does; `STREAMS` are syslog and RELP receivers. What
they send without end stops by itself after `MAX_BYTES` or `MAX_S`.
"""

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

from attrs import Factory, define

MAX_BYTES = 400 * 1024**2
MAX_S = 60.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FORGED = "\x1b]0;owned\x07\x1b[2J\r\n2030-01-01T00:00:00Z ERROR forged line <script>alert(1)</script>"

Way = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Head and body of a request, and where the answer goes."""


def whole(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def says(answer: bytes) -> Way:
    async def way(_request: bytes, out: asyncio.StreamWriter) -> None:
        out.write(answer)
        await out.drain()

    return way


def says_at_length(make: Callable[[], bytes]) -> Way:
    """An answer of megabytes: made when it is asked for, not by everything that imports this file."""
    made = cache(make)

    async def way(_request: bytes, out: asyncio.StreamWriter) -> None:
        out.write(made())
        await out.drain()

    return way


def status(line: str, body: bytes = b"{}", *headers: str) -> Way:
    head = "".join(f"{each}\r\n" for each in (f"HTTP/1.1 {line}", "Content-Type: application/json", *headers))
    return says(whole(body, head.encode("latin-1")))


def hec(**more: object) -> Way:
    """What a collector might say, with something that it would not."""
    return says(whole(json.dumps({"text": "Success", "code": 0, **more}).encode()))


def raw(body: bytes, line: bytes = b"HTTP/1.1 200 OK\r\n") -> Way:
    return says(whole(body, line + b"Content-Type: application/json\r\n"))


def without_end(head: bytes, pieces: Callable[[], Iterator[bytes]], pause_s: float = 0.0) -> Way:
    async def way(_request: bytes, out: asyncio.StreamWriter) -> None:
        out.write(head)
        sent, until = 0, time.monotonic() + MAX_S
        for piece in pieces():
            out.write(piece)
            await out.drain()
            sent += len(piece)
            if sent > MAX_BYTES or time.monotonic() > until:
                return
            await asyncio.sleep(pause_s)

    return way


def chunks() -> Iterator[bytes]:
    while True:
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


def bomb() -> Iterator[bytes]:
    """Zeros without end, a thousandth of that on the wire."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    while True:
        piece = packer.compress(bytes(1024**2)) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield b"%x\r\n%b\r\n" % (len(piece), piece)


def octet_by_octet(text: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        while True:
            yield from (text[n : n + 1] for n in range(len(text)))

    return pieces


async def reflects(request: bytes, out: asyncio.StreamWriter) -> None:
    """The request, credentials and all, as an error text."""
    words = json.dumps(
        {"text": request.decode("latin-1"), "error": {"code": "x", "message": request.decode("latin-1")}}
    )
    out.write(whole(words.encode(), b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"))


async def cuts(_request: bytes, out: asyncio.StreamWriter) -> None:
    out.transport.abort()


def wide() -> bytes:
    return b'{"text":"ok","code":0,"x":[' + b",".join([b'{"":0}'] * 2_390_000) + b"]}"


async def is_silent(_request: bytes, _out: asyncio.StreamWriter) -> None:
    await asyncio.sleep(MAX_S)


DEEP = b"[" * 30_000 + b"]" * 30_000
GZIP = b"Content-Encoding: gzip\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

WAYS: Mapping[str, Way] = {
    "endless body": without_end(HEAD + CHUNKED, chunks),
    "gzip bomb": without_end(HEAD + GZIP + CHUNKED, bomb),
    "sixteen megabytes of values": says_at_length(lambda: whole(gzip.compress(wide(), 9), HEAD + GZIP)),
    "deep JSON": raw(DEEP),
    "terminal escapes and a forged log line": status("503 Busy", json.dumps({"text": FORGED, "code": 9}).encode()),
    "forged words of a success": hec(text=FORGED),
    "a web page": raw(b"<html><script>alert(1)</script></html>"),
    "the request as an error": reflects,
    "an ackId of 4,200 digits": raw(b'{"text":"Success","code":0,"ackId":' + b"9" * 4200 + b"}"),
    "a negative ackId": hec(ackId=-1),
    "as many values as are read": says_at_length(
        lambda: whole(json.dumps({"value": [], **{str(n): n for n in range(740_000)}}).encode())
    ),
    "900,000 acknowledgements": says_at_length(
        lambda: whole(json.dumps({"acks": {str(n): True for n in range(900_000)}}).encode())
    ),
    "a huge number of a bad event": status(
        "400 Bad", b'{"text":"x","code":6,"invalid-event-number":' + b"9" * 4000 + b"}"
    ),
    "a code that is true": hec(code=True),
    "a code beyond numbers": raw(b'{"text":"x","code":1e400}'),
    "a code twice": raw(b'{"code":0,"text":"Success","code":9}'),
    "always too large": status("413 Too Large"),
    "never this encoding": status("415 Unsupported"),
    "a redirect": status("307 Temporary", b"", "Location: http://127.0.0.1:1/stolen"),
    "nothing to say": status("204 No Content", b""),
    "a part only": status("206 Partial", b'{"text":"Success"'),
    "an end instead of an answer": cuts,
    "silence": is_silent,
    "a head, octet by octet": without_end(b"HTTP/1.1 200 OK\r\nX: ", octet_by_octet(b"x"), 0.3),
    "a body, octet by octet": without_end(HEAD + b"Content-Length: 60000\r\n\r\n", octet_by_octet(b" "), 0.3),
    "leave me alone for ever": status("503 Busy", b'{"text":"x","code":9}', "Retry-After: 1000000000"),
    "until the end of time": status("429 Busy", b"{}", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"),
    "an absurd wish": status("503 Busy", b"{}", "Retry-After: -1e999", "x-ms-retry-after-ms: 999999999999"),
    "20,000 cookies": status("200 OK", b"{}", *(f"Set-Cookie: c{n}={'x' * 90}" for n in range(20_000))),
    "cookies that nobody takes back": status(
        "431 Too Large", b"{}", *(f"Set-Cookie: c{n}={'x' * 4000}" for n in range(20))
    ),
    "a head of ten megabytes": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000_000 + b"\r\n\r\n"),
    "100,000 answers before the answer": says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100_000),
    "an extension of a chunk": says(HEAD + CHUNKED + b"1;x=" + b"x" * 5_000_000 + b"\r\n"),
    "a length that is none": says(HEAD + b"Content-Length: -5\r\n\r\n{}"),
    "two lengths": says(HEAD + b"Content-Length: 2\r\nContent-Length: 400\r\n\r\n{}"),
    "an encoding that is none": says(whole(b"\x00\x01\x02", HEAD + GZIP)),
    "no HTTP at all": says(b"\x00\xff\x1b[2J rubbish\r\n\r\n"),
    "a status that is none": status("999 Odd"),
}


# ---------------------------------------------------------------------------------------------------- syslog and RELP


async def never_reads(_first: bytes, out: asyncio.StreamWriter) -> None:
    out.transport.pause_reading()  # type: ignore[attr-defined]  # it reads, too
    await asyncio.sleep(MAX_S)


async def never_stops(_first: bytes, out: asyncio.StreamWriter) -> None:
    until = time.monotonic() + MAX_S
    while time.monotonic() < until:
        out.write(b"x" * 65536)
        await out.drain()


def relp(answer: bytes) -> Way:
    """What stands in place of the answer to `open`, and then nothing."""

    async def way(_first: bytes, out: asyncio.StreamWriter) -> None:
        out.write(answer)
        await out.drain()
        await asyncio.sleep(MAX_S)

    return way


OFFERS = b"200 OK\nrelp_version=0\ncommands=syslog\n"
OPENED = b"1 rsp %d %b\n" % (len(OFFERS), OFFERS)
STREAMS: Mapping[str, Way] = {
    "a receiver that never reads": never_reads,
    "a receiver that never stops": never_stops,
    "RELP, a frame without end": relp(b"1 rsp 999999999 " + b"x" * 100_000),
    "RELP, rubbish": relp(b"\x1b[2J\x00 nothing of this is RELP\n"),
    "RELP, answers that nobody asked for": relp(OPENED + b"".join(b"%d rsp 6 200 OK\n" % n for n in range(900, 990))),
    "RELP, an answer in pieces": relp(b"1 rs"),
    "RELP, no such command": relp(b"1 rsp 25 200 OK\nrelp_version=0\n\x1b[2\n"),
}


# -------------------------------------------------------------------------------------------------------------- servers


@define
class Hostile:
    """One such receiver. `asked` are the requests that came, as far as they were read."""

    way: Way
    port: int = 0
    asked: list[bytes] = Factory(list)
    _running: dict[asyncio.Task[None], asyncio.StreamWriter] = Factory(dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running[task] = writer
        try:
            while request := await self.request(reader):
                self.asked.append(request)
                await self.way(request, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the sink has had enough, or the test
        finally:
            writer.transport.abort()
            del self._running[task]

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        return head + await reader.readexactly(size)

    async def end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class HostileStream(Hostile):
    """The same where nobody asks: the first octets begin it."""

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.read(4096)


@asynccontextmanager
async def hostile(way: Way, *, stream: bool = False) -> AsyncIterator[Hostile]:
    made = HostileStream(way) if stream else Hostile(way)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=2**20)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await asyncio.sleep(0)
