"""The mail sink: one mail a batch, as text and HTML, over STARTTLS or TLS; a receipt only after the server's 250.

No buffer, no retry, no clock: its only time is that of the Date header, from `now`. A digest is no buffer of ours
either. Its events wait where all undelivered events wait, in the outbox: `digest` only says from when on the delivery
loop offers them (model.Digest, deliver/digest.py), and then they come as any batch does, oldest first. So what a digest
holds is settled after the server took that mail and never before; a process that dies on the way offers the same
events again; and nothing overtakes. For what cannot wait there is a second sink, with `digest: off` and a
`min_severity` of its own.

Nothing is sent twice unnoticed: the Message-ID is made of the events and of whom the mail is for, so that a mail whose
250 was lost comes again under the same one. A digest that was cut short by a failure may come in other pieces.

What an answer means. Before the message: 4xx waits, 5xx is the operator's (Denied). Recipients that are refused for
good do not keep the mail from the others: it goes out, and the receipt warns. One that is refused for now does, before
anything was sent, a few times: then it counts as refused. After the message: 4xx waits; 5xx may be one event, so the
mail is halved until that event stands alone, and it is rejected with the server's words, provided that the server takes
others: where it takes nothing, it is the server, and everything waits.

A report that an event names (`reports` in the configuration) is attached if the file is still what was written.
"""

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from connector.clock import Threads
from connector.errors import ConfigError, Denied, SecureScoreError, Unavailable
from connector.formats import letter
from connector.formats.bodies import last_first, parts
from connector.formats.letter import Attached, Item
from connector.model import Digest, Receipt, Record
from connector.net.clouds import CLOUDS
from connector.net.smtp import Answer, Conversation, Envelope, Mailer, Server
from connector.net.stream import Far
from connector.options import LIVE, Init, Option

OPTIONS: Mapping[str, Option] = {
    **LIVE,
    "exclude": Option(
        "list", ("connector.heartbeat",), doc="Globs of event types it does not get; nobody reads a heartbeat by mail."
    ),
    "host": Option("host", required=True, doc="The mail server that takes our mail."),
    "port": Option("port", doc="Its port, unless it is 587 (starttls), 465 (tls) or 25 (plain)."),
    "transport": Option(
        "enum",
        default="starttls",
        choices=("starttls", "tls", "plain"),
        doc="starttls and tls check the server's certificate; plain is read by anybody on the way, and never signs in.",
    ),
    "to": Option("list", required=True, doc="Who gets the mail: addresses, or `Name <address>`."),
    "from": Option("str", doc="Whom it is from; secure-score@ the first recipient's domain unless stated."),
    "username": Option("str", doc="Signs in under this name, after TLS."),
    "password": Option("secret", doc="Reference to the password."),
    "auth": Option(
        "auth",
        doc="Signs `username` in by a token instead of a password: Exchange Online, an app with SMTP.SendAsApp.",
    ),
    "digest": Option(
        "enum",
        default="daily",
        choices=("off", "hourly", "daily", "weekly"),
        doc="daily: what happened by digest_at, in one mail; weekly: on Mondays; off: at once, best with min_severity.",
    ),
    "digest_at": Option("str", default="06:00", doc="When a daily or weekly digest is due, in UTC."),
    "language": Option("enum", "en", choices=letter.LANGUAGES, doc="Language of the mail."),
    "attach_reports": Option("bool", default=True, doc="Attach each report that is written (`reports`)."),
    "tls.ca_file": Option("path", doc="PEM file with the authority of the server, added to the system's."),
    "tls.cert_file": Option("path", doc="PEM file with our own certificate, where the server wants one."),
    "tls.key_file": Option("path", doc="PEM file with its private key, unless that is in tls.cert_file."),
    "tls.key_password": Option("secret", doc="Reference to the password of the key."),
    "tls.server_name": Option("host", doc="The name in the server's certificate, unless it is `host`."),
}
FORMAT = "mail"
HOST_ONLY = True
INIT = Init(
    key="host",
    example="smtp.example.org",
    question="mail server that takes mail",
    entry="""\
name: mail
kind: mail
host: {address}
{transport:<31} # starttls | tls | plain
{port:<31} # unless it is 587 (starttls), 465 (tls) or 25 (plain)
to: [soc@example.org]
username: secure-score          # leave both out where the server asks for none
password: {secret[smtp_password]}
digest: daily                   # daily | weekly | hourly | off (at once)
min_severity: 5""",
    settings={"transport": "transport: starttls, tls or plain", "port": "its port"},
)

MAX_RECORDS = 200
"""What one mail can hold and still be read; some readers cut a mail of more than 100 kB."""
MAX_BYTES = 400_000
MAX_ATTACHED_BYTES = 10_000_000
"""Of all files in one mail; further reports go in further mails."""
MAX_RECIPIENTS = 50
REFUSED_IN_A_ROW = 10
"""So many events refused with none taken in between are no bad events: the server is what is wrong."""
PATIENCE = 10
"""So often a recipient may be refused for now, in a row, before the mail goes to the others without it."""
IMPORTANT = 8
"""From this severity on mail readers are told that a mail is important."""
FILE_S = 20.0

_PORTS = {"starttls": 587, "tls": 465, "plain": 25}
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
_ADDRESS = re.compile(rf"({_LOCAL})@({_DOMAIN})")
_NAMED = re.compile(r'"?([^"<>]*?)"?\s*<([^<>]+)>')
_AT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_TYPES = {".html": ("text", "html"), ".json": ("application", "json"), ".csv": ("text", "csv")}


# ------------------------------------------------------------------------------------------------------ configuration


def address(text: str) -> Address:
    """An address of the configuration, its domain in ASCII. Raises ValueError."""
    name, bare = "", text.strip()
    if named := _NAMED.fullmatch(bare):
        name, bare = named[1].strip(), named[2].strip()
    local, _, domain = bare.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii") if domain and not domain.isascii() else domain
    except UnicodeError as error:
        raise ValueError(f"{text!r}: no such domain") from error
    found = _ADDRESS.fullmatch(f"{local}@{domain}")
    if (
        found is None
        or len(found[0]) > 254
        or len(found[1]) > 64
        or not all(map(str.isprintable, text))
        or len(name) > 100
    ):
        raise ValueError(f"{text[:100]!r} is no address such as soc@example.org or SOC <soc@example.org>")
    return Address(name, found[1], found[2])


def digest(options: Mapping[str, Any]) -> Digest | None:
    """When what has gathered is offered; None for at once. Raises ConfigError."""
    every, at = (options.get(key) or OPTIONS[key].default for key in ("digest", "digest_at"))
    moment = _AT.fullmatch(at)
    if moment is None:
        raise ConfigError([f"digest_at: {at[:20]!r}: expected a time of the day (UTC) such as 06:00"])
    return None if every == "off" else Digest(every, int(moment[1]) * 60 + int(moment[2]))


def build(name: str, options: Mapping[str, Any], network: Any) -> "MailSink":
    """A sink from checked options (keys as in OPTIONS) and the network settings (`ca_file`, `timeout_s`).

    Raises ConfigError.
    """
    given = {key: option.default for key, option in OPTIONS.items()} | {
        k: v for k, v in options.items() if v is not None
    }
    problems: list[str] = []
    recipients: list[Address] = []
    sender: Address | None = None
    for each in given["to"] or ():
        try:
            recipients.append(address(each))
        except ValueError as error:
            problems.append(f"to: {error}")
    if not recipients and not problems:
        problems.append("to: names nobody")
    if len(recipients) > MAX_RECIPIENTS:
        problems.append(f"to: names {len(recipients)} recipients, {MAX_RECIPIENTS} at most: use a distribution list")
    try:
        sender = address(given["from"]) if given["from"] else None
    except ValueError as error:
        problems.append(f"from: {error}")
    try:
        digest(options)
    except ConfigError as error:
        problems += error.problems
    problems += _contradictions(given)
    if problems:
        raise ConfigError(problems)
    if sender is None:
        sender = Address("Secure Score", "secure-score", recipients[0].domain)
    plain = given["transport"] == "plain"
    far = Far(
        host=given["host"],
        port=given["port"] or _PORTS[given["transport"]],
        place=f"{given['host']}:{given['port'] or _PORTS[given['transport']]}/{given['transport']}",
        tls=not plain,
        ca_files=tuple(path for path in (network.ca_file, given["tls.ca_file"]) if path and not plain),
        cert_file=given["tls.cert_file"],
        key_file=given["tls.key_file"],
        key_password=given["tls.key_password"],
        server_name=given["tls.server_name"],
    )
    credential = None if given["auth"] is None else _credential(given["auth"], given["host"], network)
    server = Server(
        far=far,
        transport=given["transport"],
        username=given["username"] or "",
        password=given["password"] or "",
        token=None if credential is None else lambda: credential.text(scope(given["host"])),
        timeout_s=network.timeout_s,
    )
    post = Post(sender, tuple(recipients), attach=given["attach_reports"], language=given["language"])
    return MailSink(name, post, Mailer(server), close=_nothing if credential is None else credential.close)


def scope(host: str) -> str:
    """Whom a token for Exchange Online is for. Source: Microsoft Learn, "Authenticate an SMTP connection"."""
    return f"https://outlook.office365.{'us' if host.lower().endswith('.us') else 'com'}/.default"


def _credential(auth: Any, host: str, network: Any) -> Any:
    from connector.signin.tokens import azure_credential  # noqa: PLC0415 - brings MSAL's threads along

    return azure_credential(auth, CLOUDS["usgov" if host.lower().endswith(".us") else "global"], network)


async def _nothing() -> None:
    """What there is to close without a credential."""


def _contradictions(given: Mapping[str, Any]) -> list[str]:
    problems = []
    if given["auth"] is not None and given["password"]:
        problems.append("auth: signs in instead of the password: leave one of them out")
    elif bool(given["username"]) != bool(given["password"] or given["auth"]):
        problems.append("password: username and password (or auth) go together")
    if given["transport"] == "plain":
        if given["username"]:
            problems.append("username: a password is never sent in the clear: use transport starttls or tls")
        if named := [key for key in given if key.startswith("tls.") and given[key]]:
            problems.append(f"{named[0]}: has no effect with transport plain")
    if given["tls.key_file"] and not given["tls.cert_file"]:
        problems.append("tls.key_file: needs tls.cert_file")
    odd = [key for key in ("username", "password") if given[key] and not str(given[key]).isprintable()]
    return problems + [f"{key}: holds characters that no sign-in can carry" for key in odd]


# --------------------------------------------------------------------------------------------------- records to a mail


@frozen
class Post:
    """Whom our mails are from, whom they are for, whether files are attached, and the language of them all."""

    sender: Address
    to: tuple[Address, ...]
    attach: bool = True
    language: str = "en"

    @property
    def recipients(self) -> list[str]:
        return list(dict.fromkeys(each.addr_spec for each in self.to))


def message_id(post: Post, items: Iterable[Item]) -> str:
    """The same for the same events and recipients, whoever sends it and however often."""
    said = "\n".join([*sorted(post.recipients), "", *(each.event_id for each in items)])
    return f"<{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}@{post.sender.domain}>"


def mail(post: Post, items: Sequence[Item], at: datetime, files: Mapping[str, bytes | str]) -> bytes:
    """The whole message, every line of it short and ASCII. `files`: by path, the bytes to attach or why there are none.

    Raises ValueError for what no header can carry.
    """
    made = EmailMessage(policy=SMTP)
    made["From"] = post.sender
    made["To"] = post.to
    made["Subject"] = letter.subject(items, post.language)
    made["Date"] = format_datetime(at)
    made["Message-ID"] = message_id(post, items)
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply to this
    made["X-Auto-Response-Suppress"] = "All"
    if max(each.severity for each in items) >= IMPORTANT:
        made["Importance"] = "high"
    named = [each.file for each in items if each.file is not None]
    notes = [(file.name, why) for file in named if isinstance(why := files.get(file.path), str)]
    footer = letter.footer(notes, post.language)
    made.set_content(letter.text(items, footer, post.language), charset="utf-8", cte="quoted-printable")
    made.add_alternative(
        letter.html(items, footer, post.language), subtype="html", charset="utf-8", cte="quoted-printable"
    )
    for file in named:
        if isinstance(body := files.get(file.path), bytes):
            main, sub = _TYPES.get(Path(file.name).suffix, ("application", "octet-stream"))
            made.add_attachment(body, maintype=main, subtype=sub, filename=file.name)
    token = made["Message-ID"].partition("@")[0].strip("<")
    for number, part in enumerate(each for each in made.walk() if each.is_multipart()):
        part.set_boundary(f"=_{token}_{number}")  # the same mail has the same bytes, but for its date
    return made.as_bytes()


def letters(items: Sequence[Item]) -> list[list[Item]]:
    """The events of one mail each: in order, as many as the files they name leave room for."""
    found: list[list[Item]] = []
    room = -1
    for each in items:
        size = each.file.bytes if each.file is not None else 0
        if not found or size > room:
            found.append([])
            room = MAX_ATTACHED_BYTES
        room -= size
        found[-1].append(each)
    return found


def read_file(file: Attached, language: str) -> bytes | str:
    """The bytes of a file an event names, or why it is not attached: it must be what was written, byte for byte."""
    if file.bytes > MAX_ATTACHED_BYTES:
        return letter.reason(language, "too_large", size=str(MAX_ATTACHED_BYTES // 1_000_000))
    try:
        with Path(file.path).open("rb") as stream:
            body = stream.read(file.bytes + 1)
    except OSError as error:
        return letter.reason(language, "unreadable", error=str(error.strerror))
    same = len(body) == file.bytes and hashlib.sha256(body).hexdigest() == file.sha256
    return body if same else letter.reason(language, "altered")


# ------------------------------------------------------------------------------------------------------------- sending


@define
class _Ledger:
    """What became of a batch. `refused` may be the events' fault or the server's; `fault` ended it early."""

    accepted: set[str] = Factory(set)
    rejected: dict[str, str] = Factory(dict)
    refused: dict[str, Answer] = Factory(dict)
    warning: str = ""
    fault: SecureScoreError | None = None


def _told(records: Iterable[Record], language: str, ledger: _Ledger) -> list[Item]:
    """The records in words; one that cannot be told is rejected. Another language looks at each sentence."""
    items: list[Item] = []
    for record in records:
        try:
            items.append(letter.item(record, language))
        except (ValueError, TypeError, RecursionError) as error:
            ledger.rejected[record.event_id] = f"neither text nor JSON: {error}"
    return items


class MailSink:
    """Mails records; see the module's text for what a receipt means here."""

    replay_window_s = 0.0
    max_records = MAX_RECORDS
    max_bytes = MAX_BYTES

    def __init__(
        self,
        name: str,
        post: Post,
        mailer: Mailer,
        close: Callable[[], Awaitable[None]] = _nothing,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`now` is the time of a mail, aware; `close` ends what signs in."""
        self.name = name
        self._post = post
        self._mailer = mailer
        self._close = close
        self._now = now
        self._threads = Threads(f"mail {name}", 2)
        self._taken = False  # whether this server ever took a message
        self._in_a_row = 0
        self._put_off: dict[str, int] = {}  # recipients that were refused for now, and how often in a row

    async def send(self, records: Sequence[Record]) -> Receipt:
        """Mail a batch, until it is done or the server falters.

        Raises Unavailable (no answer, busy) or Denied (TLS, sign-in, sender, all recipients) when nothing was accepted
        and nothing rejected.
        """
        ledger = _Ledger()
        items = await asyncio.to_thread(_told, records, self._post.language, ledger)
        if items:
            try:
                async with self._mailer.conversation() as talk:
                    await self._deliver(letters(items), talk, ledger)
            except (Unavailable, Denied) as error:
                ledger.fault = error
        self._judge(ledger)
        if ledger.fault is not None and not ledger.accepted and not ledger.rejected:
            raise ledger.fault
        return Receipt(frozenset(ledger.accepted), ledger.rejected, warning=ledger.warning)

    async def probe(self) -> None:
        """Sign in and ask whether sender and recipients would be taken; no message is begun."""
        async with self._mailer.conversation() as talk:
            envelope = await talk.envelope(self._post.sender.addr_spec, self._post.recipients)
            if not envelope.taken:
                raise talk.nobody(envelope)
            await talk.forget()
            if envelope.refused:
                raise Denied(_refusals(envelope), hint="correct `to`: the mail goes to the others alone")

    async def close(self) -> None:
        """No connection is open between two batches."""
        await self._close()

    def _judge(self, ledger: _Ledger) -> None:
        """Whether what was refused is the events' fault."""
        if self._taken and self._in_a_row < REFUSED_IN_A_ROW:
            ledger.rejected |= {event_id: str(answer) for event_id, answer in ledger.refused.items()}
        elif ledger.refused and ledger.fault is None:
            said = next(iter(ledger.refused.values()))
            hint = "no message was ever taken: look at the mail server's log, and whether `from` may send"
            ledger.fault = Unavailable(f"the server refuses every message: {said}", hint=hint)

    async def _deliver(self, groups: Iterable[Sequence[Item]], talk: Conversation, ledger: _Ledger) -> None:
        """Mail these, in order; a mail that is refused is halved until the refused event stands alone."""
        todo = deque(groups)
        while todo:
            items = todo.popleft()
            data = await self._made(items, talk.max_bytes)
            if talk.max_bytes and len(data) > talk.max_bytes and len(items) > 1:
                todo.extendleft(reversed(parts(items)))
                continue
            answer = await self._post_one(data, talk, ledger)
            if answer.taken:
                ledger.accepted.update(each.event_id for each in items)
                ledger.rejected |= {event_id: str(each) for event_id, each in ledger.refused.items()}
                ledger.refused.clear()
                self._taken, self._in_a_row = True, 0
            elif answer.for_now:
                raise Unavailable(f"{self.name}: {answer}", hint="heals by itself; if it lasts, see the server's log")
            elif len(items) > 1:
                todo.extendleft(reversed(parts(items)))
            else:
                ledger.refused[items[0].event_id] = answer
                self._in_a_row += 1
                if self._in_a_row == REFUSED_IN_A_ROW and todo:
                    last_first(todo)
                elif self._in_a_row >= REFUSED_IN_A_ROW:
                    what = f"{self._in_a_row} events in a row are refused, so it is not the events: {answer}"
                    raise Unavailable(what, hint="look at the mail server's log")

    async def _made(self, items: Sequence[Item], most: int) -> bytes:
        """The message; without its files where the server takes none of that size."""
        named = [each.file for each in items if each.file is not None] if self._post.attach else []
        files: dict[str, bytes | str] = {}
        language = self._post.language
        for file in named:
            try:
                files[file.path] = await self._threads.run(partial(read_file, file, language), FILE_S, file.path)
            except TimeoutError:
                files[file.path] = letter.reason(language, "late")
        data = await asyncio.to_thread(mail, self._post, items, self._now(), files)
        if most and len(data) > most and len(items) == 1 and files:
            files = dict.fromkeys(files, letter.reason(language, "refused_size", size=str(most)))
            data = mail(self._post, items, self._now(), files)
        return data

    async def _post_one(self, data: bytes, talk: Conversation, ledger: _Ledger) -> Answer:
        envelope = await talk.envelope(self._post.sender.addr_spec, self._post.recipients)
        if not envelope.taken:
            await talk.forget()
            raise talk.nobody(envelope)
        waiting = self._wait_for(envelope)
        if waiting:
            await talk.forget()
            raise Unavailable(_refusals(envelope), hint=f"tried again; in the end the mail goes without {waiting[0]}")
        if envelope.refused:
            ledger.warning = _refusals(envelope)
        return await talk.message(data)

    def _wait_for(self, envelope: Envelope) -> list[str]:
        """The recipients that are refused for now and worth another try."""
        for each in envelope.taken:
            self._put_off.pop(each, None)
        for_now = [each for each, answer in envelope.refused.items() if answer.for_now]
        for each in for_now:
            self._put_off[each] = self._put_off.get(each, 0) + 1
        return [each for each in for_now if self._put_off[each] <= PATIENCE]


def _refusals(envelope: Envelope) -> str:
    """Who does not get the mail, in the server's words."""
    said = [f"{each} ({answer})" for each, answer in list(envelope.refused.items())[:3]]
    more = len(envelope.refused) - len(said)
    return f"refused: {', '.join(said)}{f' and {more} more' if more else ''}"
