"""The mail sink, against a real SMTP server on loopback: the contract over each transport, and its own: who gets a mail
and who does not, what an answer means, what a mail looks like on the wire, sign-in and TLS.
"""

import hashlib
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connector.config.values import AuthConfig, NetworkConfig
from connector.errors import ConfigError, Denied, Unavailable
from connector.model import Digest, Record
from connector.options import TYPES
from connector.testing.sink_contract import SinkContract, accepted, record
from sinks import mail
from sinks.mail import OPTIONS, PATIENCE, REFUSED_IN_A_ROW, MailSink, address, build, digest, scope
from tests.fakes.mailbox import LINE_LIMIT, Mailbox, html_of, message_of, plain_of
from tests.golden import samples
from tests.real.receivers import Certificates, certificates

LOGIN = ("connector", "s3cr3t-pässwört")
MARK = re.compile(r"    (?:.* · )?(\S+)")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("mail"))


class FarEnd:
    """A mail server as this contract wants it."""

    breaks_midway = True
    probe_sees_down = True

    def __init__(self, box: Mailbox, **options: Any) -> None:
        self.box = box
        self.options = options

    def sink(self, **more: Any) -> MailSink:
        options = {
            "host": "localhost",
            "port": self.box.port,
            "transport": self.box.transport,
            "to": ("soc@example.org",),
            **self.options,
            **more,
        }
        if self.box.certificates is not None:
            options.setdefault("tls.ca_file", self.box.certificates.ca)
        if self.box.login is not None:
            options.setdefault("username", self.box.login[0])
            options.setdefault("password", self.box.login[1])
        return build("mail", options, NetworkConfig(timeout_s=5))

    def payload(self, event_id: str, text: str) -> Any:
        return {"summary": f"{event_id} {text}", "tenant": "contoso", "at": "2026-11-22T09:12:03Z"}

    def unacceptable(self) -> Any:
        return {"number": float("nan")}

    async def received(self, count: int) -> list[str]:
        lines = [line for message in self.box.messages() for line in plain_of(message).splitlines()]
        return [found[1] for line in lines if (found := MARK.fullmatch(line))]

    async def down(self) -> None:
        await self.box.stop()

    async def up(self) -> None:
        self.box.lost = None
        self.box.content = lambda _: None
        await self.box.stop()
        await self.box.start()

    async def break_after_first(self) -> None:
        """The message is taken, and its answer lost: then nobody may believe that it was."""
        self.box.lost = 0


@pytest_asyncio.fixture(params=["starttls", "tls", "plain"])
async def far_end(request: pytest.FixtureRequest, known: Certificates) -> AsyncIterator[FarEnd]:
    plain = request.param == "plain"
    box = Mailbox(request.param, None if plain else known, None if plain else LOGIN)
    await box.start()
    yield FarEnd(box)
    await box.stop()


class TestMail(SinkContract):
    pass


# ----------------------------------------------------------------------------------------------------------- the rest


@pytest_asyncio.fixture
async def far() -> AsyncIterator[FarEnd]:
    box = Mailbox()
    await box.start()
    yield FarEnd(box)
    await box.stop()


def event(name: str, changes: dict[str, Any] | None = None) -> Record:
    return samples.mapping("mail").render(samples.event(name, changes))


def batch(*numbers: int) -> list[Record]:
    return [record(n, {"summary": f"event {n}", "tenant": "contoso"}) for n in numbers]


async def test_a_mail_is_what_a_mail_has_to_be(far: FarEnd) -> None:
    options = {
        "to": ("SOC München <soc@example.org>", "b@example.org", "soc@example.org"),
        "from": "Score <s@x.example>",
    }
    sink = far.sink(**options)
    records = [event("control.score_changed/regressed"), event("score.changed/regressed"), event("connector.problem")]
    assert await sink.send(records) == accepted(records)
    [(recipients, data)] = far.box.taken
    assert recipients == ["soc@example.org", "b@example.org"], "each once"
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= LINE_LIMIT
    assert b"\n" not in data.replace(b"\r\n", b"")
    message = message_of(data)
    assert message["From"] == "Score <s@x.example>"
    assert message["To"].addresses[0].display_name == "SOC München"
    assert message["Subject"] == (
        "Secure Score: contoso 42.93 %, 3 events: Control score dropped: AdminMFAV2 10.0 → 4.0 (-6.0 points)"
    )
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content_type() == "multipart/alternative"
    for said in (plain_of(message), html_of(message)):
        assert "Control score dropped: AdminMFAV2 10.0 → 4.0 (-6.0 points)" in said
        assert "configuration or compliance changed: compliant users 5/5 → 2/5" in said
        assert "42.93 % (300.5 of 700 points)" in said
        assert "Grant the application permission" in said
        assert "https://entra.example.com/policies" in said
        assert all(each.event_id in said for each in records)


async def test_the_same_mail_has_the_same_id_whenever_and_by_whomever_it_is_sent(far: FarEnd) -> None:
    """So a mail whose answer was lost is recognised; another batch, or other recipients, are another mail."""
    for sink, records in (
        (far.sink(), batch(1, 2)),
        (far.sink(), batch(1, 2)),
        (far.sink(), batch(1)),
        (far.sink(to=("b@example.org",)), batch(1, 2)),
    ):
        await sink.send(records)
    same, again, *others = [message["Message-ID"] for message in far.box.messages()]
    assert same == again
    assert len({same, *others}) == 3
    assert re.fullmatch(r"<[0-9a-f]{40}@example\.org>", same)


async def test_a_lost_answer_claims_nothing(far: FarEnd) -> None:
    far.box.lost = 0
    sink = far.sink()
    with pytest.raises(Unavailable):
        await sink.send(batch(1))
    far.box.lost = None
    assert await sink.send(batch(1)) == accepted(batch(1))
    assert len({message["Message-ID"] for message in far.box.messages()}) == 1
    assert len(far.box.taken) == 2


# ------------------------------------------------------------------------------------------------- what an answer means


async def test_recipients_refused_for_good_do_not_keep_the_mail_from_the_others(far: FarEnd) -> None:
    far.box.recipient = lambda who: "550 5.1.1 no such user" if who.startswith("gone") else None
    sink = far.sink(to=("gone@example.org", "soc@example.org"))
    receipt = await sink.send(batch(1, 2))
    assert receipt.accepted == {"id-0001", "id-0002"}
    assert receipt.warning == "refused: gone@example.org (550 5.1.1 no such user)"
    assert [recipients for recipients, _ in far.box.taken] == [["soc@example.org"]]
    with pytest.raises(Denied, match=r"gone@example\.org"):
        await sink.probe()
    far.box.recipient = lambda _: None
    assert (await sink.send(batch(3))).warning == ""
    await sink.probe()


async def test_a_recipient_refused_for_now_is_waited_for_before_anything_was_sent(far: FarEnd) -> None:
    """Nobody gets a mail twice because of another's grey list, and a full mailbox does not silence the rest."""
    far.box.recipient = lambda who: "450 4.2.0 greylisted" if who.startswith("grey") else None
    sink = far.sink(to=("grey@example.org", "soc@example.org"))
    for _ in range(PATIENCE):
        with pytest.raises(Unavailable, match="greylisted"):
            await sink.send(batch(1))
    assert far.box.taken == []
    receipt = await sink.send(batch(1))
    assert receipt.accepted == {"id-0001"}
    assert "greylisted" in receipt.warning
    far.box.recipient = lambda _: None
    assert await sink.send(batch(2)) == accepted(batch(2))
    far.box.recipient = lambda who: "450 4.2.0 greylisted" if who.startswith("grey") else None
    with pytest.raises(Unavailable):
        await sink.send(batch(3))


@pytest.mark.parametrize(("answer", "error"), [("451 4.3.0 try later", Unavailable), ("550 5.1.1 unknown", Denied)])
async def test_all_recipients_refused(far: FarEnd, answer: str, error: type[Exception]) -> None:
    far.box.recipient = lambda _: answer
    with pytest.raises(error, match=answer[:3]) as caught:
        await far.sink().send(batch(1))
    assert getattr(caught.value, "hint", "")
    with pytest.raises(error):
        await far.sink().probe()


@pytest.mark.parametrize(("answer", "error"), [("451 4.7.1 later", Unavailable), ("553 5.7.1 not yours", Denied)])
async def test_the_sender_refused(far: FarEnd, answer: str, error: type[Exception]) -> None:
    far.box.sender = lambda _: answer
    with pytest.raises(error, match=answer[:3]):
        await far.sink().send(batch(1))


async def test_a_message_refused_for_now_waits_whole(far: FarEnd) -> None:
    far.box.content = lambda _: "452 4.3.1 out of storage"
    sink = far.sink()
    with pytest.raises(Unavailable, match="452"):
        await sink.send(batch(1, 2))
    far.box.content = lambda _: None
    assert await sink.send(batch(1, 2)) == accepted(batch(1, 2))


def poison(data: bytes) -> str | None:
    return "554 5.7.1 content rejected" if b"event 2<" in data or b"event 5<" in data else None


async def test_a_message_refused_for_good_parks_the_event_that_it_is_about(far: FarEnd) -> None:
    sink = far.sink()
    await sink.send(batch(0))
    far.box.content = poison
    receipt = await sink.send(batch(1, 2, 3, 4, 5))
    assert receipt.accepted == {"id-0001", "id-0003", "id-0004"}
    assert set(receipt.rejected) == {"id-0002", "id-0005"}
    assert receipt.rejected["id-0002"] == "554 5.7.1 content rejected"
    assert await far.received(0) == ["id-0000", "id-0001", "id-0003", "id-0004"]


async def test_a_server_that_takes_nothing_parks_nothing(far: FarEnd) -> None:
    far.box.content = lambda _: "554 5.7.1 spam"
    sink = far.sink()
    for _ in range(2):
        with pytest.raises(Unavailable, match="spam"):
            await sink.send(batch(1, 2, 3))
    far.box.content = lambda _: None
    await sink.send(batch(0))
    far.box.content = lambda _: "554 5.7.1 spam"
    with pytest.raises(Unavailable, match="in a row"):
        await sink.send(batch(*range(1, 3 * REFUSED_IN_A_ROW)))


async def test_a_mail_too_large_for_the_server_goes_in_parts(far: FarEnd) -> None:
    far.box.size_limit = 20_000
    await far.up()
    records = [record(n, {"summary": f"event {n} " + "x" * 1500, "tenant": "contoso"}) for n in range(12)]
    assert await far.sink().send(records) == accepted(records)
    assert len(far.box.taken) > 1
    assert all(len(data) <= 20_000 for _, data in far.box.taken)
    assert await far.received(12) == [f"id-{n:04}" for n in range(12)]


# ------------------------------------------------------------------------------------------------------ TLS and sign-in


@pytest.mark.parametrize("transport", ["starttls", "tls"])
async def test_a_server_of_another_authority_or_name_gets_nothing(known: Certificates, transport: str) -> None:
    box = Mailbox(transport, known, LOGIN)
    await box.start()
    far = FarEnd(box)
    for options in ({"tls.ca_file": None}, {"tls.server_name": "other.example.org"}):
        with pytest.raises(Denied, match="certificate") as caught:
            await far.sink(**options).send(batch(1))
        assert "tls.ca_file" in caught.value.hint
    assert (box.taken, box.asked) == ([], [])
    assert await far.sink(**{"tls.server_name": "localhost", "host": "127.0.0.1"}).send(batch(1)) == accepted(batch(1))
    await box.stop()


async def test_no_starttls_no_mail(known: Certificates) -> None:
    """Somebody on the way may have taken the offer out: then nothing goes in the clear."""
    box = Mailbox("plain")
    await box.start()
    box.transport = "starttls"
    with pytest.raises(Denied, match="STARTTLS") as caught:
        await FarEnd(box).sink(username="u", password="p4ssw0rd").send(batch(1))
    assert "transport" in caught.value.hint
    assert (box.taken, box.asked) == ([], [])
    await box.stop()


async def test_a_refused_sign_in_is_the_operators(known: Certificates) -> None:
    box = Mailbox("starttls", known, LOGIN)
    await box.start()
    far = FarEnd(box)
    with pytest.raises(Denied, match="535") as caught:
        await far.sink(password="wr0ng-secret").send(batch(1))
    assert "password" in caught.value.hint
    assert "wr0ng" not in f"{caught.value.what}{caught.value!r}"
    with pytest.raises(Denied, match="530"):
        await far.sink(username=None, password=None).send(batch(1))
    box.ways_left_out = ("PLAIN",)
    await far.sink().probe()
    box.ways_left_out = ("PLAIN", "LOGIN")
    with pytest.raises(Denied, match="sign in"):
        await far.sink().probe()
    assert set(box.asked) >= {"AUTH PLAIN", "AUTH LOGIN"}
    await box.stop()


async def test_a_token_signs_in_instead_of_a_password(known: Certificates, tmp_path: Path) -> None:
    """Exchange Online takes no passwords for SMTP any more."""
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("a-bearer-t0ken-of-an-app")
    box = Mailbox("starttls", known, LOGIN, token="a-bearer-t0ken-of-an-app")
    await box.start()
    auth = AuthConfig("token", {"file": str(file)})
    sink = FarEnd(box).sink(username=LOGIN[0], password=None, auth=auth)
    assert await sink.send(batch(1)) == accepted(batch(1))
    assert box.asked[0] == "AUTH XOAUTH2"
    box.token = "another"
    with pytest.raises(Denied, match="535") as caught:
        await sink.send(batch(2))
    assert "a-bearer" not in f"{caught.value.what}{caught.value.hint}"
    box.ways_left_out = ("XOAUTH2",)
    await sink.close()
    file.unlink()
    with pytest.raises(Denied):
        await FarEnd(box).sink(username=LOGIN[0], password=None, auth=auth).probe()
    await box.stop()


@pytest.mark.parametrize(("host", "cloud"), [("smtp.office365.com", "com"), ("smtp.office365.US", "us")])
def test_whom_the_token_is_for(host: str, cloud: str) -> None:
    assert scope(host) == f"https://outlook.office365.{cloud}/.default"


async def test_secrets_are_in_no_repr(known: Certificates) -> None:
    sink = FarEnd(Mailbox("starttls", known, LOGIN, port=25)).sink()
    assert LOGIN[1] not in repr(vars(sink)) + repr(vars(sink._mailer))


# ------------------------------------------------------------------------------------------------------------- content


HOSTILE = (
    "a\r\nBcc: evil@example.net\r\n\r\n<script>alert(1)</script>\n.\r\nMAIL FROM:<evil@example.net>\u202e\x00\ud800é"
)


async def test_what_an_event_brings_is_neither_a_header_nor_a_command_nor_markup(far: FarEnd) -> None:
    payload = dict.fromkeys(("summary", "tenant", "title", "why", "by", "next", "type", "at", "direction"), HOSTILE)
    records = [record(1, {**payload, "link": "javascript:alert(1)", "percent": float("inf")} | {"percent": "x"})]
    assert await far.sink().send(records) == accepted(records)
    [(recipients, data)] = far.box.taken
    message = message_of(data)
    assert recipients == ["soc@example.org"]
    assert set(message.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version"),
        "Content-Type",
    }
    assert "\n" not in str(message["Subject"])
    assert "<script" not in html_of(message)
    assert "javascript:" not in html_of(message)
    assert not re.search("[\u202e\x00\ud800]", plain_of(message) + html_of(message))
    assert await far.received(1) == ["id-0001"]


async def test_a_line_of_dots_and_a_very_long_line_arrive_as_they_are(far: FarEnd) -> None:
    text = "." * 3000 + "ä" * 1000
    await far.sink().send([record(1, {"summary": text, "tenant": "."})])
    assert text[:4000] in plain_of(far.box.messages()[0])


async def test_any_other_mapping_stands_as_it_is_line_by_line(far: FarEnd) -> None:
    records = [record(1, "CEF:0|a|b\nforged · id-9999"), record(2, {"class_uid": 2003, "id": "id-0002"}), record(3, "")]
    assert await far.sink().send(records) == accepted(records)
    said = plain_of(far.box.messages()[0])
    assert "CEF:0|a|b\\nforged · id-9999" in said
    assert json.dumps({"class_uid": 2003, "id": "id-0002"}, separators=(",", ":")) in said


async def test_every_sample_event_makes_a_mail_of_its_own_and_all_together_one(far: FarEnd) -> None:
    records = [event(name) for name in samples.names()]
    sink = far.sink()
    for each in records:
        await sink.send([each])
    assert await sink.send(records) == accepted(records)
    assert len(far.box.taken) == len(records) + 1
    whole = far.box.messages()[-1]
    assert all(each.event_id in plain_of(whole) and each.event_id in html_of(whole) for each in records)
    assert len(html_of(whole)) < 100_000
    assert "None" not in plain_of(whole)


async def test_two_hundred_events_are_one_mail_that_readers_show_whole(far: FarEnd) -> None:
    changes = [{"id": f"{n:08}-cf91-8fe5-888d-0d1b7ee58a6f"} for n in range(mail.MAX_RECORDS)]
    records = [event("control.score_changed/regressed", each) for each in changes]
    assert await far.sink().send(records) == accepted(records)
    assert len(far.box.taken) == 1
    assert len(html_of(far.box.messages()[0]).encode()) < 100_000


# --------------------------------------------------------------------------------------------------------------- files


def naming(n: int, path: Path, body: bytes, **more: Any) -> Record:
    """An event that names a file, which is written."""
    path.write_bytes(body)
    file = {"path": str(path), "name": path.name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return record(n, {"summary": f"Report {n} written", "tenant": "contoso", "file": file | more})


async def test_a_file_that_an_event_names_is_attached_as_it_was_written(far: FarEnd, tmp_path: Path) -> None:
    body = "<!DOCTYPE html><p>ä.\r\n.\n".encode() + bytes(range(256))
    records = [naming(1, tmp_path / "contoso-2026-10.html", body), *batch(2)]
    assert await far.sink().send(records) == accepted(records)
    message = far.box.messages()[0]
    [attached] = message.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("text/html", "contoso-2026-10.html")
    assert attached.get_payload(decode=True) == body
    assert max(map(len, far.box.taken[0][1].split(b"\r\n"))) <= LINE_LIMIT
    assert "event 2" in plain_of(message)


async def test_a_file_that_is_gone_changed_or_too_large_is_named_instead(far: FarEnd, tmp_path: Path) -> None:
    """What an event says its bytes are is what may leave this machine: nothing else lies at that path for the sink."""
    gone, changed, huge = (tmp_path / name for name in ("gone.html", "changed.html", "huge.html"))
    records = [naming(1, gone, b"x"), naming(2, changed, b"one"), naming(3, huge, b"x", bytes=10**9)]
    gone.unlink()
    changed.write_bytes(b"two")
    assert await far.sink().send(records) == accepted(records)
    assert [list(message.iter_attachments()) for message in far.box.messages()] == [[], []]
    said = " ".join("".join(map(plain_of, far.box.messages())).split())
    assert "Not attached: gone.html: cannot be read any more (No such file or directory)." in said
    assert "Not attached: changed.html: is no longer as it was written." in said
    assert "Not attached: huge.html: larger than 10 MB." in said


async def test_a_mail_in_another_language_is_so_throughout(far: FarEnd, tmp_path: Path) -> None:
    """Subject, both parts and the footer; who it is from, its id and what was attached do not depend on it."""
    records = [event("control.score_changed/regressed"), naming(1, tmp_path / "gone.html", b"x")]
    (tmp_path / "gone.html").unlink()
    assert await far.sink(language="de").send(records) == accepted(records)
    assert await far.sink().send(records) == accepted(records)
    german, english = far.box.messages()
    assert german["Subject"].replace("\N{NO-BREAK SPACE}", " ") == (
        "Secure Score: contoso 42,93 %, 2 Ereignisse: Kontrolle gefallen: AdminMFAV2 10,0 → 4,0 (−6,0 Punkte)"
    )
    assert german["Message-ID"] == english["Message-ID"]
    for said in (" ".join(part.split()) for part in (plain_of(german), html_of(german))):
        assert "Konfiguration oder Konformität hat sich geändert: konforme Benutzer 5/5 → 2/5" in said
        assert "Nicht angehängt: gone.html: nicht mehr lesbar (No such file or directory)." in said
        assert all(each.event_id in said for each in records)
    assert '<html lang="de">' in html_of(german)


async def test_files_of_more_than_one_mail_go_in_several(
    far: FarEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "MAX_ATTACHED_BYTES", 2500)
    records = [naming(n, tmp_path / f"{n}.csv", bytes(1000)) for n in range(5)]
    assert await far.sink().send(records) == accepted(records)
    assert [len(list(message.iter_attachments())) for message in far.box.messages()] == [2, 2, 1]
    assert await far.received(5) == [f"id-{n:04}" for n in range(5)]


async def test_a_file_too_large_for_the_server_stays_behind(far: FarEnd, tmp_path: Path) -> None:
    far.box.size_limit = 30_000
    await far.up()
    records = [naming(1, tmp_path / "big.json", bytes(40_000))]
    assert await far.sink().send(records) == accepted(records)
    assert "Not attached: big.json: the mail server takes no more than 30000 bytes." in plain_of(far.box.messages()[0])
    assert await far.sink(attach_reports=False).send(records) == accepted(records)
    assert "Not attached" not in plain_of(far.box.messages()[1])


# ------------------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "text", ["soc@example.org", "SOC <soc@example.org>", '"S, O" <s.o+x@a-b.example>', "x@bücher.example"]
)
def test_addresses_that_are(text: str) -> None:
    assert address(text).addr_spec.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "", "soc", "soc@", "@example.org", "a b@example.org", "a@b\r\nBcc: x@y.z", "ä@example.org", "a@-x.org",
        "<a@b.c", "a@b, c@d", "N\n<a@b.c>", "a.@b.c", "a@b.c>", "x" * 65 + "@b.c",
    ],
)  # fmt: skip
def test_addresses_that_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        address(text)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"to": ()}, "names nobody"),
        ({"to": ("x",)}, "no address"),
        ({"to": tuple(f"a{n}@b.example" for n in range(60))}, "60 recipients"),
        ({"from": "nobody"}, "from: 'nobody' is no address"),
        ({"username": "u"}, "go together"),
        ({"auth": AuthConfig("managed_identity", {})}, "go together"),
        ({"auth": AuthConfig("managed_identity", {}), "username": "u", "password": "p"}, "instead of the password"),
        ({"to": ("x",), "digest_at": "7am"}, "'7am': expected a time"),
        ({"transport": "plain", "username": "u", "password": "p"}, "never sent in the clear"),
        ({"transport": "plain", "tls.ca_file": "/x"}, "no effect"),
        ({"tls.key_file": "/x"}, "needs tls.cert_file"),
        ({"username": "u\n", "password": "p"}, "no sign-in can carry"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        build("mail", {"host": "smtp", "to": ("soc@example.org",), **options}, NetworkConfig())


def test_the_sender_is_of_the_recipients_domain_unless_stated() -> None:
    made = build("mail", {"host": "smtp", "to": ("soc@example.org",)}, NetworkConfig())
    assert str(made._post.sender) == "Secure Score <secure-score@example.org>"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, Digest("daily", 360)),
        ({"digest": "off"}, None),
        ({"digest": "weekly", "digest_at": "23:59"}, Digest("weekly", 1439)),
        ({"digest": "hourly"}, Digest("hourly", 360)),
    ],
)
def test_the_digest_of_a_configuration(options: dict[str, Any], found: Digest | None) -> None:
    assert digest(options) == found


@pytest.mark.parametrize("at", ["6:00", "24:00", "06:60", "06:00Z", "noon", ""])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    if at:
        with pytest.raises(ConfigError, match="digest_at"):
            digest({"digest_at": at})


def test_every_option_has_a_known_type_and_a_sentence() -> None:
    assert all(option.type in TYPES and option.doc for option in OPTIONS.values())


def test_a_missing_extra_names_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosmtplib", None)
    with pytest.raises(ConfigError) as caught:
        build("mail", {"host": "smtp", "to": ("soc@example.org",)}, NetworkConfig())
    assert caught.value.hint == "pip install 'secure-score-connector[mail]'"
