"""Mail servers that mean harm: whatever one says costs one attempt of its own sink, in bounded time, and no secret."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from connector.config.values import NetworkConfig
from connector.errors import Denied, Unavailable
from connector.foreign.characters import harmless
from connector.model import Receipt, Record
from sinks import mail
from tests.fakes.hostile import FORGED
from tests.real.receivers import certificates

SECRET = "c0ffee00-1111-2222-3333-444444444444"
TIMEOUT_S = 1.0
LONGEST_S = 50.0
RECORD = Record("id-1", "change", "t", "2026-11-22T09:12:03Z", 5, {"summary": "x", "tenant": "t"})

GOOD: Mapping[str, bytes] = {
    "": b"220 mail ESMTP\r\n",
    "EHLO": b"250-mail\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1000000\r\n",
    "AUTH": b"235 in\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    ".": b"250 queued\r\n",
    "RSET": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}
"""What an honest server says to each command; "" is its greeting, "." what follows the message."""

Said = bytes | Callable[[bytes], bytes] | None
"""Instead of that: octets, made of the command perhaps; None is silence."""

_FORGED = FORGED.replace("\r\n", " ").encode()
WAYS: Mapping[str, Mapping[str, Said]] = {
    "silence": {"": None},
    "a greeting without end": {"": b"220-" + b"x" * 5_000_000},
    "a greeting of lines without end": {"": b"220-x\r\n" * 500_000},
    "no mail server": {"": b"\x00\xff\x1b[2J rubbish\r\n\r\n"},
    "busy at once": {"": b"421 " + _FORGED + b"\r\n"},
    "closed to us": {"": b"554 " + _FORGED + b"\r\n"},
    "100,000 extensions": {"EHLO": b"250-mail\r\n" + b"250-X\r\n" * 100_000 + b"250 SIZE\r\n"},
    "sizes that are none": {"EHLO": b"250-mail\r\n250-SIZE -5\r\n250-AUTH PLAIN\r\n250 SIZE " + b"9" * 400 + b"\r\n"},
    "no room at all": {"EHLO": b"250-mail\r\n250-AUTH PLAIN\r\n250 SIZE 10\r\n"},
    "no greeting back": {"EHLO": b"502 what\r\n", "HELO": b"502 what\r\n"},
    "ways to sign in that nobody knows": {"EHLO": b"250-mail\r\n250 AUTH " + _FORGED + b"\r\n"},
    "what signs in comes back": {"AUTH": lambda line: b"535 no: " + line + b"\r\n"},
    "a question without end": {"AUTH": b"334 " + b"A" * 7000 + b"\r\n"},
    "a sender comes back with more": {"MAIL": lambda line: b"550 " + line + b" " + _FORGED + b"\r\n"},
    "recipients refused with a page": {"RCPT": b"550-" + b"<script>" * 200 + b"\r\n550 " + _FORGED + b"\r\n"},
    "recipients refused for now": {"RCPT": b"450 4.2.0 later\r\n"},
    "good-bye instead of an answer": {"RCPT": b"421 4.3.2 closing\r\n"},
    "a code that is none": {"MAIL": b"999 odd\r\n"},
    "a code of other digits": {"MAIL": "٢٥٠ ok\r\n".encode()},
    "no go": {"DATA": b"250 no\r\n"},
    "silence after the message": {".": None},
    "refused for what is in it": {".": b"554 " + _FORGED + b"\r\n"},
    "taken with odd words": {".": b"250 " + _FORGED + b"\r\n"},
    "answers before they are asked for": {"": b"220 mail\r\n" + b"250 ok\r\n" * 10, "EHLO": b"250 ok\r\n" * 20},
    "no good-bye": {"QUIT": None},
}
TAKEN = {"taken with odd words", "no good-bye", "sizes that are none", "no room at all"}


class Server:
    """One such server. `asked` are the lines that came."""

    def __init__(self, way: Mapping[str, Said]) -> None:
        self.says: dict[str, Said] = {**GOOD, **way}
        self.asked: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer("", b"", writer)
            while line := await reader.readline():
                self.asked.append(line)
                verb = line[:4].decode("latin-1").strip().upper()
                await self._answer(verb, line.strip(), writer)
                if verb == "DATA":
                    while line.strip(b"\r\n") != b".":
                        if not (line := await reader.readline()):
                            return
                    await self._answer(".", b"", writer)
        except (OSError, asyncio.CancelledError):
            pass  # the sink has had enough, or the test
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answer(self, verb: str, line: bytes, writer: asyncio.StreamWriter) -> None:
        said = self.says.get(verb, b"500 what\r\n")
        if said is None:
            await asyncio.sleep(60)
            return
        writer.write(said if isinstance(said, bytes) else said(line))
        await writer.drain()

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(way: Mapping[str, Said], tls: ssl.SSLContext) -> AsyncIterator[tuple[Server, int]]:
    made = Server(way)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=2**20, ssl=tls)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await made.end()
        await asyncio.sleep(0.02)


async def attempt(way: str, port: int, ca: str) -> str:
    """What became of one attempt, in words. Anything but a receipt or our errors is raised."""
    options = {"host": "localhost", "port": port, "transport": "tls", "to": ("soc@example.org",), "tls.ca_file": ca}
    options |= {"username": "connector-user", "password": SECRET}
    made = mail.build("mail", options, NetworkConfig(timeout_s=TIMEOUT_S))
    try:
        found = await asyncio.wait_for(made.send([RECORD]), LONGEST_S)
        assert isinstance(found, Receipt)
        assert found.accepted == ({"id-1"} if way in TAKEN else set()), way
        said = " ".join(found.rejected.values())
    except (Unavailable, Denied) as error:
        said = f"{error.what} {error.hint}"
        if way in TAKEN:
            pytest.fail(f"{way}: {said}")
    except TimeoutError:
        pytest.fail(f"{way}: no end in {LONGEST_S} s")
    assert harmless(said) == said, f"{way}: {said!r}"
    assert len(said) < 1500, way
    assert SECRET not in said, way
    return said


async def test_answers_of_all_at_once_cost_one_attempt_each(tmp_path: Path) -> None:
    known = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(known.server, known.server_key)
    async with AsyncExitStack() as stack:
        far = {name: await stack.enter_async_context(serving(way, context)) for name, way in WAYS.items()}
        said = await asyncio.gather(*(attempt(name, port, known.ca) for name, (_, port) in far.items()))
    words = dict(zip(WAYS, said, strict=True))
    assert any(line.startswith(b"AUTH PLAIN") for line in far["what signs in comes back"][0].asked), "it was sent"
    assert "[hidden]" in words["what signs in comes back"]
    for name, (server, _) in far.items():
        assert sum(line.startswith(b"DATA") for line in server.asked) <= 1, f"{name}: one attempt"
