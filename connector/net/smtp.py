"""One conversation with a mail server: STARTTLS or TLS, sign-in, and a message at a time, over aiosmtplib.

What a server's answer means for who must act is decided here, but for the message itself: whether a message was taken
is returned, not raised. TLS and the names in certificates are always checked; a server that offers no STARTTLS gets
nothing, and no password is ever sent in the clear. What a server says is quoted as harmless words without our secrets.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import Factory, define, field, frozen

from connector.clock import Threads
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.foreign.characters import harmless
from connector.foreign.reflected import hidden
from connector.net.stream import Far, Patience, Tls, connected, failure

LIMIT_S = 180.0
"""A whole conversation, however slowly the server answers."""
QUIT_S = 2.0
MAX_WORDS = 300
_TRIES = 16  # connections that hang at once, before the next one is refused

_NO_STARTTLS = "the server offers no STARTTLS, so nothing is sent: `transport: tls` (port 465), or mend the server"
_LOGIN_HINT = "check `username` and `password` (or what its `auth` may do): the server does not let us sign in"
_SENDER_HINT = "the server does not take mail from this sender: check `from`, and whether it wants a sign-in"
_RECIPIENT_HINT = "check `to`: the server takes mail for none of these addresses"
_BUSY = "heals by itself; if it lasts, look at the mail server's log"


def library() -> Any:
    """The library that speaks SMTP, an extra. Raises ConfigError with the command that installs it."""
    try:
        import aiosmtplib  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            ["kind mail needs the package aiosmtplib"], "pip install 'secure-score-connector[mail]'"
        ) from None
    return aiosmtplib


Token = Callable[[], Awaitable[str]]
"""Gives a bearer token; raises Denied or Unavailable."""


@frozen
class Server:
    """A mail server and how it is spoken to: `transport` is starttls, tls or plain.

    Where there is a `username`, a `token` signs it in instead of a password, where there is one.
    """

    far: Far
    transport: str = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    token: Token | None = field(default=None, repr=False)
    timeout_s: float = 30.0


@frozen
class Answer:
    """What a server said: its code, its words made harmless, and whether it took what it was asked to take."""

    code: int
    words: str
    taken: bool = False

    @property
    def for_now(self) -> bool:
        """Whether time may heal a refusal: 4xx, and whatever has no meaning at its place."""
        return not 500 <= self.code < 600

    def __str__(self) -> str:
        return f"{self.code} {self.words}".rstrip()


@define
class Envelope:
    """Who may have the next message: what the server said of each recipient that it did not take."""

    taken: list[str] = Factory(list)
    refused: dict[str, Answer] = Factory(dict)


@define
class Conversation:
    """An open connection, signed in. Made by `Mailer.conversation`."""

    _client: Any
    _errors: Any
    _server: Server
    _secrets: list[str] = Factory(list)
    max_bytes: int = 0
    """The largest message the server takes; 0 where it does not say."""

    async def envelope(self, sender: str, recipients: Sequence[str]) -> Envelope:
        """Begin a message. Raises Unavailable or Denied when the sender is refused, or the connection is lost."""
        try:
            await self._client.mail(sender)
        except self._errors.SMTPResponseException as error:
            raise self._error(self._answer(error), _SENDER_HINT) from error
        found = Envelope()
        for each in recipients:
            try:
                await self._client.rcpt(each)
                found.taken.append(each)
            except self._errors.SMTPResponseException as error:
                answer = self._answer(error)
                if answer.code == 421:
                    raise self._error(answer, _BUSY) from error
                found.refused[each] = answer
        return found

    def nobody(self, envelope: Envelope) -> SecureScoreError:
        """The error of an envelope in which no recipient was taken."""
        said = list(envelope.refused.values())
        return self._error(next((each for each in said if each.for_now), said[0]), _RECIPIENT_HINT)

    async def message(self, data: bytes) -> Answer:
        """Send the message of the envelope. Raises Unavailable when the connection is lost: nobody knows then."""
        try:
            response = await self._client.data(data)
        except self._errors.SMTPResponseException as error:
            answer = self._answer(error)
            if answer.code == 421:
                raise self._error(answer, _BUSY) from error
            return answer
        return Answer(response.code, self._words(response.message), taken=response.code == 250)

    async def forget(self) -> None:
        """Give up the envelope. Raises Unavailable when that is refused."""
        try:
            await self._client.rset()
        except self._errors.SMTPResponseException as error:
            raise self._error(self._answer(error), _BUSY) from error

    async def sign_in(self) -> None:
        """TLS first, where STARTTLS is asked for. Raises Denied, Unavailable."""
        if self._server.transport == "starttls":
            await self._start_tls()
        await self._greet()
        if self._server.username:
            await self._log_in()
        said = str(self._client.esmtp_extensions.get("size", ""))
        self.max_bytes = int(said) if said.isascii() and said.isdigit() and len(said) < 16 else 0

    async def _greet(self) -> None:
        try:
            await self._client.ehlo()
        except self._errors.SMTPResponseException as error:
            raise self._error(self._answer(error), "the server does not greet us as a mail server does") from error

    async def _start_tls(self) -> None:
        await self._greet()
        if not self._client.supports_extension("starttls"):
            raise Denied(f"{self._server.far.place}: no STARTTLS", hint=_NO_STARTTLS)
        try:
            await self._client.starttls(server_hostname=self._server.far.server_name or self._server.far.host)
        except self._errors.SMTPResponseException as error:
            raise self._error(self._answer(error), _NO_STARTTLS) from error

    async def _log_in(self) -> None:
        """A token by XOAUTH2; a password by PLAIN, else LOGIN: inside TLS older ways gain nothing, and need MD5."""
        offered = [method.lower() for method in self._client.server_auth_methods]
        known = ("plain", "login") if self._server.token is None else ("xoauth2",)
        way = next((way for way in known if way in offered), None)
        if way is None:
            said = ", ".join(offered) or "none"
            what = f"{self._server.far.place}: offers no way to sign in that we know ({harmless(said)[:100]})"
            ours = " or ".join(each.upper() for each in known)
            raise Denied(what, hint=f"let the server offer AUTH {ours}, or leave out what signs in")
        try:
            if self._server.token is not None:
                self._secrets.append(await self._server.token())
                await self._client.auth_xoauth2(self._server.username, self._secrets[-1])
            elif way == "plain":
                await self._client.auth_plain(self._server.username, self._server.password)
            else:
                await self._client.auth_login(self._server.username, self._server.password)
        except self._errors.SMTPResponseException as error:
            raise self._error(self._answer(error), _LOGIN_HINT) from error

    def _answer(self, error: Any) -> Answer:
        return Answer(int(error.code), self._words(error.message))

    def _words(self, said: object) -> str:
        text = hidden(harmless(str(said)), (*self._secrets, self._server.password, self._server.username))
        return " ".join(text.split())[:MAX_WORDS]

    def _error(self, answer: Answer, hint: str) -> SecureScoreError:
        """5xx is the operator's; all else time heals."""
        what = f"{self._server.far.place}: {answer}"
        return Unavailable(what, hint=_BUSY) if answer.for_now else Denied(what, hint=hint)


class Mailer:
    """Opens conversations with one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._library = library()
        self._tls = Tls(server.far)
        self._threads = Threads("mail", _TRIES)

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[Conversation]:
        """An open connection, signed in; closed afterwards.

        Raises Unavailable or Denied, for whatever happens inside as well.
        """
        server, errors = self._server, self._library
        patience_s = server.timeout_s
        try:
            async with asyncio.timeout(LIMIT_S):
                raw, context = await self._threads.run(self._connected, patience_s + 5)
                client = errors.SMTP(
                    hostname=server.far.server_name or server.far.host,
                    sock=raw,
                    timeout=patience_s,
                    use_tls=server.transport == "tls",
                    start_tls=False,
                    tls_context=context,
                    local_hostname=_own_name(),
                )
                try:
                    await client.connect()
                    talk = Conversation(client, errors, server)
                    await talk.sign_in()
                    yield talk
                    with contextlib.suppress(errors.SMTPException, OSError, TimeoutError):
                        await client.quit(timeout=QUIT_S)
                finally:
                    transport = client.transport
                    client.close()
                    if transport is not None:
                        # QUIT was said, or nobody listens: a TLS farewell is not waited for. The socket is the
                        # transport's to close: else its number is free while the event loop still watches it.
                        transport.abort()
        except SecureScoreError:
            raise
        except (OSError, errors.SMTPException) as error:  # TimeoutError is an OSError
            raise self._mapped(error) from error

    def _connected(self) -> tuple[socket.socket, ssl.SSLContext | None]:
        """A thread's work."""
        server = self._server
        context = self._tls.context() if server.transport != "plain" else None
        raw = connected(server.far, Patience(server.timeout_s, time.monotonic() + server.timeout_s))
        raw.setblocking(False)
        return raw, context

    def _mapped(self, error: Exception) -> SecureScoreError:
        """A failure of the network or of the protocol, for the operator."""
        far = self._server.far
        found: BaseException | None = error
        while found is not None:
            if isinstance(found, ssl.SSLError):
                return failure(far, found)
            found = found.__cause__
        if isinstance(error, self._library.SMTPConnectResponseError):
            words = " ".join(harmless(str(error.message)).split())[:MAX_WORDS]
            return Unavailable(f"{far.place}: {error.code} {words}", hint=_BUSY)
        if isinstance(error, TimeoutError):
            return Unavailable(f"{far.place}: no answer in time", hint="check host, port, `transport` and firewalls")
        if isinstance(error, OSError) and not isinstance(error, self._library.SMTPException):
            return failure(far, error)
        words = hidden(harmless(str(error)), (self._server.password, self._server.username))[:MAX_WORDS]
        hint = "check that a mail server listens there, and `transport` (587 is starttls, 465 is tls)"
        return Unavailable(f"{far.place}: {words or type(error).__name__}", hint=hint)


def _own_name() -> str:
    """What we call ourselves: the host's name, as far as EHLO may carry it."""
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
