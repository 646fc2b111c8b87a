"""Proxies on loopback for tests: one of our own that records every tunnel, and the real tinyproxy."""

import asyncio
import base64
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define

from tests.needs import program

USER, PASSWORD = "proxy-user", "pa:ss@w/rd"


@define
class Recorder:
    """What went through: `targets` as asked for (host:port), `refused` without or with wrong credentials."""

    port: int = 0
    targets: list[str] = Factory(list)
    refused: int = 0


@asynccontextmanager
async def recording_proxy() -> AsyncIterator[Recorder]:
    """A CONNECT proxy (RFC 9110 section 9.3.6) that wants USER and PASSWORD and writes down where everybody goes."""
    recorder = Recorder()
    wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        if method != "CONNECT" or f"proxy-authorization: basic {wanted}".lower() not in head.lower():
            recorder.refused += 1
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            writer.close()
            return
        recorder.targets.append(target)
        host, _, port = target.rpartition(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0.05)
        await server.wait_closed()


@contextmanager
def tinyproxy(folder: Path) -> Iterator[int]:
    """The real tinyproxy with USER and a plain password in the foreground; gives its port."""
    executable = program("tinyproxy", hint="apt-get install tinyproxy-bin")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    settings = folder / "tinyproxy.conf"
    log = folder / "tinyproxy.log"
    settings.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 30\nLogLevel Connect\nLogFile {str(log)!r}\nMaxClients 50\n"
        f"Allow 127.0.0.1\nBasicAuth {USER} {PLAIN}\n".replace("'", '"')
    )
    process = subprocess.Popen([executable, "-d", "-c", str(settings)], stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


PLAIN = "plainpassword"  # tinyproxy's settings know no escapes


def _wait_for(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


_watchers: list[list[Any]] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watchers and isinstance(args[1], tuple):
        for seen in _watchers:
            seen.append(args[1][1])


sys.addaudithook(_hook)


@contextmanager
def connections() -> Iterator[list[int]]:
    """The ports of all connections that this process opens meanwhile, whoever opens them."""
    seen: list[int] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)
