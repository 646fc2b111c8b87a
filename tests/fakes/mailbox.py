"""A mail server on loopback: aiosmtpd, a real SMTP server, whose answers a test may bend. Nothing is asserted here."""

import asyncio
import base64
import ssl
import warnings
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from attrs import define, field

from tests.real.receivers import Certificates

LINE_LIMIT = 998


@define
class Mailbox:
    """Keeps what it takes. `sender`, `recipient` and `content` may answer otherwise: a text instead of None.

    `transport` is starttls, tls or plain; with `login` nobody may send without it. `lost`: the connection is cut after
    that many further messages were taken, before the answer.
    """

    transport: str = "plain"
    certificates: Certificates | None = None
    login: tuple[str, str] | None = None
    size_limit: int = 0
    sender: Callable[[str], str | None] = lambda _: None
    recipient: Callable[[str], str | None] = lambda _: None
    content: Callable[[bytes], str | None] = lambda _: None
    token: str | None = None
    ways_left_out: tuple[str, ...] = ()
    lost: int | None = None
    port: int = 0
    taken: list[tuple[list[str], bytes]] = field(factory=list)
    asked: list[str] = field(factory=list)
    _server: Any = None
    _open: set[Any] = field(factory=set)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        context = self._context()
        self._server = await loop.create_server(
            lambda: self._session(loop, context),
            "127.0.0.1",
            self.port,
            ssl=context if self.transport == "tls" else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for each in self._open:
                if each.transport is not None:
                    each.transport.abort()
            self._open.clear()
            await asyncio.sleep(0.02)
            self._server = None

    def messages(self) -> list[EmailMessage]:
        return [message_of(data) for _, data in self.taken]

    def _context(self) -> ssl.SSLContext | None:
        if self.certificates is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.server, self.certificates.server_key)
        return context

    def _session(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | None) -> SMTP:
        starttls = self.transport == "starttls"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a sign-in without STARTTLS: the connection is TLS from the start
            made = self._made(loop, context, starttls=starttls)
        self._open.add(made)
        return made

    def _made(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | None, *, starttls: bool) -> SMTP:
        return SMTP(
            self,
            loop=loop,
            hostname="mail.example.test",
            data_size_limit=self.size_limit or None,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=self.login is not None,
            auth_require_tls=starttls,
            auth_exclude_mechanism=self.ways_left_out,
            authenticator=self._authenticate,
            timeout=20,
        )

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, way: str, data: Any) -> AuthResult:
        self.asked.append(f"AUTH {way}")
        assert isinstance(data, LoginPassword)
        return AuthResult(success=self.login == (data.login.decode(), data.password.decode()), handled=False)

    # aiosmtpd calls these.

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """As Exchange Online: refused with a question first, which the client answers with an empty line."""
        self.asked.append("AUTH XOAUTH2")
        said = base64.b64decode(args[1]).decode()
        if self.login is not None and said == f"user={self.login[0]}\x01auth=Bearer {self.token}\x01\x01":
            return AuthResult(success=True)
        await server.challenge_auth(base64.b64encode(b'{"status":"401"}').decode(), encode_to_b64=False)
        return AuthResult(success=False, handled=False)

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked.append(f"MAIL {address}")
        if (said := self.sender(address)) is not None:
            return said
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if (said := self.recipient(address)) is not None:
            return said
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        data = envelope.original_content or b""
        if (said := self.content(data)) is not None:
            return said
        self.taken.append((list(envelope.rcpt_tos), data))
        if self.lost is not None:
            self.lost -= 1
            if self.lost < 0:
                assert isinstance(server.transport, asyncio.WriteTransport)
                server.transport.abort()
        return "250 2.0.0 queued as 4711"


def message_of(data: bytes) -> EmailMessage:
    found = message_from_bytes(data, policy=default)
    assert isinstance(found, EmailMessage)
    return found


def plain_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())
