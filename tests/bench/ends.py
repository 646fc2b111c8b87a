"""The sinks of the benchmark, each connected to its far end: rsyslog, or the receivers in the other process."""

import logging
import logging.handlers
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connector.clock import SystemClock
from connector.net.client import Http
from sinks.sentinel import Rule, Rules, SentinelSink
from sinks.splunk import Collector, HecSink
from sinks.syslog import Receiver, SyslogSink
from sinks.webhook import Endpoint, WebhookSink
from tests.bench.servers import Server
from tests.fakes.hec import TOKEN
from tests.fakes.ingestion import RULE, Credential
from tests.real.receivers import Rsyslog

STREAMS = {stream: f"Custom-{stream}_CL" for stream in ("score", "inventory", "change", "health")}
SIGNED_WITH = b"a secret of thirty-two bytes ..."


@asynccontextmanager
async def hec(server: Server) -> AsyncIterator[HecSink]:
    http = Http(clock=SystemClock(), ca_file=server.at["ca"], max_connections=1)
    sink = HecSink("out", Collector(server.at["url"], TOKEN), http, SystemClock())
    yield sink
    await sink.close()


@asynccontextmanager
async def sentinel(server: Server, gzip_level: int | None = None) -> AsyncIterator[SentinelSink]:
    """`gzip_level` is as shipped where it is not said."""
    http = Http(clock=SystemClock(), ca_file=server.at["ca"])
    level = {} if gzip_level is None else {"gzip_level": gzip_level}
    sink = SentinelSink("out", Rules(Rule(server.at["url"], RULE), STREAMS), http, Credential(), **level)
    yield sink
    await sink.close()


@asynccontextmanager
async def webhook(server: Server) -> AsyncIterator[WebhookSink]:
    """Many events a request, signed."""
    http = Http(clock=SystemClock(), ca_file=server.at["ca"])
    sink = WebhookSink("out", Endpoint(f"{server.at['url']}/webhook", (SIGNED_WITH,), mode="batch"), http)
    yield sink
    await sink.close()


@asynccontextmanager
async def syslog(server: Rsyslog, *, tls: bool) -> AsyncIterator[SyslogSink]:
    """Every batch confirmed."""
    sink = SyslogSink("out", _receiver(server, tls=tls))
    await sink.probe()  # a first batch listens for a refused certificate; then a minute of batches does not
    yield sink
    await sink.close()


def _receiver(server: Rsyslog, *, tls: bool) -> Receiver:
    if not tls:
        return Receiver("127.0.0.1", server.plain, "tcp", hostname="host1")
    given = server.certificates
    return Receiver("localhost", server.tls, ca_files=(given.ca,), cert_file=given.client, hostname="host1")


class TlsHandler(logging.handlers.SysLogHandler):
    """The standard library's handler, taught TLS in the shortest way."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.context = context
        super().__init__(address, socktype=socket.SOCK_STREAM)

    def createSocket(self) -> None:  # noqa: N802 - the name is the standard library's
        super().createSocket()
        plain: socket.socket = self.socket  # type: ignore[has-type]  # made by the line before
        self.socket = self.context.wrap_socket(plain, server_hostname="localhost")


def handler(server: Rsyslog, *, tls: bool) -> logging.handlers.SysLogHandler:
    """A logging handler with the same far end."""
    if not tls:
        found = logging.handlers.SysLogHandler(("127.0.0.1", server.plain), socktype=socket.SOCK_STREAM)
    else:
        given = server.certificates
        context = ssl.create_default_context(cafile=given.ca)
        context.load_cert_chain(given.client)
        found = TlsHandler(("localhost", server.tls), context)
    found.append_nul = False
    found.setFormatter(logging.Formatter("host1 %(message)s\n"))
    return found
