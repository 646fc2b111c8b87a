"""Real syslog receivers on loopback for tests: rsyslogd and syslog-ng in the foreground, each in a folder of its own.

Starts, stops and reads them, and makes what is sent to them. Ports are free ones above 10000; only processes started
here are ended.
"""

import datetime as dt
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trustme
from attrs import frozen

from connector.formats import cef
from connector.model import Record
from connector.ports import Sink
from tests.needs import missing, program

_START_S = 15.0


@frozen
class Certificates:
    """PEM files: the authority, the receiver's pair for localhost and 127.0.0.1, and client pairs in one file each.

    `client` is what the receivers want (CN client.test), `other` has another name from the same authority, `evil` comes
    from a foreign authority, `expired` was fine last year.
    """

    ca: str
    foreign_ca: str
    server: str
    server_key: str
    client: str
    other: str
    evil: str
    expired: str


def certificates(folder: Path) -> Certificates:
    """Fresh authorities and certificates in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, foreign = trustme.CA(), trustme.CA()
    server = ca.issue_cert("localhost", "127.0.0.1")
    last_year = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    clients = {
        "client": ca.issue_cert("client.test", common_name="client.test"),
        "other": ca.issue_cert("other.test", common_name="other.test"),
        "evil": foreign.issue_cert("client.test", common_name="client.test"),
        "expired": ca.issue_cert("client.test", common_name="client.test", not_after=last_year),
    }
    ca.cert_pem.write_to_path(folder / "ca.pem")
    foreign.cert_pem.write_to_path(folder / "foreign.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    for n, blob in enumerate(server.cert_chain_pems):
        blob.write_to_path(folder / "server.pem", append=n > 0)
    for name, pair in clients.items():
        pair.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return Certificates(
        ca=str(folder / "ca.pem"),
        foreign_ca=str(folder / "foreign.pem"),
        server=str(folder / "server.pem"),
        server_key=str(folder / "server.key"),
        **{name: str(folder / f"{name}.pem") for name in clients},
    )


def free_ports(count: int) -> list[int]:
    """Free TCP and UDP ports above 10000. Taken one after the other, so nobody else is served the same in between."""
    ports: list[int] = []
    held: list[socket.socket] = []
    while len(ports) < count:
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held += [tcp, udp]
        tcp.bind(("127.0.0.1", 0))
        port = tcp.getsockname()[1]
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            continue
        if port > 10000:
            ports.append(port)
    for sock in held:
        sock.close()
    return ports


class Receiver:
    """One foreground process. `files` maps the name of an input to the file its messages land in."""

    def __init__(self, command: Sequence[str], folder: Path, port: int, environment: dict[str, str]) -> None:
        self._command = list(command)
        self._folder = folder
        self._port = port
        self._environment = os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        with (self._folder / "process.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self._folder / "process.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self._command[0]} does not listen on {self._port}: {said}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process (SIGTERM flushes its files, SIGKILL does not) and wait for it. Twice is fine."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
            self._process = None


class Tail:
    """What is appended to a file from now on, line by line; a last line without its end is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""
        self.lines: list[bytes] = []

    def wait(self, count: int, quiet_s: float = 5.0) -> list[bytes]:
        """All lines once there are `count`, or what there is when nothing came for `quiet_s`."""
        deadline = time.monotonic() + quiet_s
        while True:
            if self._read():
                deadline = time.monotonic() + quiet_s
            if len(self.lines) >= count or time.monotonic() > deadline:
                return self.lines
            time.sleep(0.01)

    def _read(self) -> bool:
        if not self._path.exists():
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.lines += lines
        return bool(data)


# ------------------------------------------------------------------------------------------------------------- rsyslog


@frozen
class Rsyslog:
    """A running rsyslogd: `plain` is UDP, TCP octet and TCP LF on one port, `tls` wants the client certificate.

    `plain_file` and `tls_file` get every message as received, a line each.
    """

    process: Receiver
    plain: int
    tls: int
    plain_file: Path
    tls_file: Path
    certificates: Certificates


_RSYSLOG = """\
global(workDirectory="{dir}/work" maxMessageSize="{size}" defaultNetstreamDriverCAFile="{ca}"
       defaultNetstreamDriverCertFile="{server}" defaultNetstreamDriverKeyFile="{server_key}")
module(load="imudp") module(load="imtcp" maxSessions="500")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="plain") {{ action(type="omfile" file="{dir}/plain.raw" template="raw") }}
ruleset(name="tls")   {{ action(type="omfile" file="{dir}/tls.raw" template="raw") }}
input(type="imudp" address="127.0.0.1" port="{plain}" ruleset="plain")
input(type="imtcp" address="127.0.0.1" port="{plain}" ruleset="plain")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="tls" streamDriver.name="ossl" streamDriver.mode="1"
      streamDriver.authMode="x509/name" permittedPeer=["client.test"])
"""


@contextmanager
def rsyslog(folder: Path, max_message: str = "64k") -> Iterator[Rsyslog]:
    """A real rsyslogd. `max_message` is its maxMessageSize; the stock value is "8k"."""
    command = program("rsyslogd", hint="apt-get install rsyslog rsyslog-openssl")
    if not any(Path("/usr/lib").glob("**/rsyslog/lmnsd_ossl.so")):
        missing("rsyslog's OpenSSL driver is not installed: apt-get install rsyslog-openssl")
    (folder / "work").mkdir(parents=True)
    given = certificates(folder / "certificates")
    plain, tls = free_ports(2)
    text = _RSYSLOG.format(
        dir=folder,
        size=max_message,
        ca=given.ca,
        server=given.server,
        server_key=given.server_key,
        plain=plain,
        tls=tls,
    )
    (folder / "rsyslog.conf").write_text(text)
    arguments = [command, "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    process = Receiver(arguments, folder, plain, {})
    process.start()
    try:
        yield Rsyslog(process, plain, tls, folder / "plain.raw", folder / "tls.raw", given)
    finally:
        process.stop()


# ---------------------------------------------------------------------------------------------------------------- RELP


@frozen
class Relp:
    """A running rsyslogd with RELP: `plain`, and `tls`, which wants the client certificate. Files as in Rsyslog."""

    process: Receiver
    plain: int
    tls: int
    plain_file: Path
    tls_file: Path
    certificates: Certificates


_RELP = """\
global(workDirectory="{dir}/work" maxMessageSize="64k")
module(load="imrelp" tls.tlslib="openssl")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="plain") {{ action(type="omfile" file="{dir}/plain.raw" template="raw") }}
ruleset(name="tls")   {{ action(type="omfile" file="{dir}/tls.raw" template="raw") }}
input(type="imrelp" address="127.0.0.1" port="{plain}" ruleset="plain" maxDataSize="64k")
input(type="imrelp" address="127.0.0.1" port="{tls}" ruleset="tls" maxDataSize="64k" tls="on" tls.caCert="{ca}"
      tls.myCert="{server}" tls.myPrivKey="{server_key}" tls.authMode="name" tls.permittedPeer=["client.test"])
"""


@contextmanager
def rsyslog_relp(folder: Path) -> Iterator[Relp]:
    """A real rsyslogd that listens for RELP alone."""
    command = program("rsyslogd", hint="apt-get install rsyslog rsyslog-relp")
    if not any(Path("/usr/lib").glob("**/rsyslog/imrelp.so")):
        missing("rsyslog's RELP input is not installed: apt-get install rsyslog-relp")
    (folder / "work").mkdir(parents=True)
    given = certificates(folder / "certificates")
    plain, tls = free_ports(2)
    places = {"ca": given.ca, "server": given.server, "server_key": given.server_key}
    (folder / "rsyslog.conf").write_text(_RELP.format(dir=folder, plain=plain, tls=tls, **places))
    arguments = [command, "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    process = Receiver(arguments, folder, plain, {})
    process.start()
    try:
        yield Relp(process, plain, tls, folder / "plain.raw", folder / "tls.raw", given)
    finally:
        process.stop()


# ----------------------------------------------------------------------------------------------------------- syslog-ng


@frozen
class SyslogNg:
    """A running syslog-ng: `file` gets one JSON object a message {input, pri, host, app, msgid, msg}."""

    process: Receiver
    udp: int
    lf: int
    lf_5424: int
    octet: int
    tls: int
    file: Path
    certificates: Certificates


_SYSLOG_NG = """\
@version: {version}
options {{ keep-hostname(yes); chain-hostnames(no); use-dns(no); log-msg-size(65536); stats-freq(0); }};
template t {{
  template("$(format-json input=$SOURCE pri=$PRI host=$HOST app=$PROGRAM msgid=$MSGID msg=$MESSAGE)\\n");
}};
source s_udp {{ network(ip("127.0.0.1") port({udp}) transport("udp")); }};
source s_lf  {{ network(ip("127.0.0.1") port({lf}) transport("tcp")); }};
source s_lf5 {{ network(ip("127.0.0.1") port({lf_5424}) transport("tcp") flags(syslog-protocol)); }};
source s_oct {{ syslog(ip("127.0.0.1") port({octet}) transport("tcp")); }};
source s_tls {{ syslog(ip("127.0.0.1") port({tls}) transport("tls")
    tls(key-file("{server_key}") cert-file("{server}") ca-file("{ca}") peer-verify(required-trusted))); }};
destination d {{ file("{dir}/received.json" template(t)); }};
log {{ source(s_udp); source(s_lf); source(s_lf5); source(s_oct); source(s_tls); destination(d); }};
"""


@contextmanager
def syslog_ng(folder: Path) -> Iterator[SyslogNg]:
    """A real syslog-ng, installed or unpacked by get_syslog_ng.sh (SECURESCORE_SYSLOG_NG names that folder)."""
    root = _syslog_ng_root()
    libraries = next(iter(sorted((root / "usr/lib/syslog-ng").glob("[0-9]*.[0-9]*"))))
    folder.mkdir(parents=True, exist_ok=True)
    given = certificates(folder / "certificates")
    udp, lf, lf_5424, octet, tls = free_ports(5)
    text = _SYSLOG_NG.format(
        version=libraries.name,
        dir=folder,
        udp=udp,
        lf=lf,
        lf_5424=lf_5424,
        octet=octet,
        tls=tls,
        ca=given.ca,
        server=given.server,
        server_key=given.server_key,
    )
    (folder / "syslog-ng.conf").write_text(text)
    arguments = [
        str(root / "usr/sbin/syslog-ng"),
        *("-F", "--no-caps", "--module-path", str(libraries), "-f", str(folder / "syslog-ng.conf")),
        *("-R", str(folder / "persist"), "-p", str(folder / "pid"), "-c", str(folder / "control")),
    ]
    process = Receiver(arguments, folder, tls, {"LD_LIBRARY_PATH": f"{libraries.parent}:{libraries}"})
    process.start()
    try:
        yield SyslogNg(process, udp, lf, lf_5424, octet, tls, folder / "received.json", given)
    finally:
        process.stop()


def _syslog_ng_root() -> Path:
    hint = "sh tests/real/get_syslog_ng.sh FOLDER, then set SECURESCORE_SYSLOG_NG=FOLDER"
    named = os.environ.get("SECURESCORE_SYSLOG_NG")
    if named and (Path(named) / "usr/sbin/syslog-ng").exists():
        return Path(named)
    if shutil.which("syslog-ng", path="/usr/sbin") and any(Path("/usr/lib/syslog-ng").glob("[0-9]*.[0-9]*")):
        return Path("/")
    missing(f"syslog-ng is not there: {hint}")
    raise AssertionError


_HEADER = re.compile(rb"<\d{1,3}>(?:1 \S+ \S+ \S+ \S+ \S+ - |\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ )")


def without_header(line: bytes) -> bytes:
    """The payload of a raw message in either header."""
    match = _HEADER.match(line)
    if match is None:
        raise ValueError(f"no syslog header: {line[:80]!r}")
    return line[match.end() :]


# -------------------------------------------------------------------------------------------------------------- corpus

_HOSTILE = (
    *(
        "plain words",
        "a|b|c",
        "k=v x=y",
        "back\\slash \\\\ \\=",
        "one\ntwo",
        "cr\r\nlf",
        "nul\x00 esc\x1b[31m",
        "ü é ß 漢字",
    ),
    *(
        "\U0001f469\u200d\U0001f4bb\U0001f525",
        "\u202eright to left\u202c \u05d0\u05d1\u05d2",
        "<script>alert(1)</script>&amp;",
    ),
    *("<13>Jan  1 00:00:00 evil forged", "40 <13>framing", "%s %n ${jndi:ldap://x}", "'; DROP TABLE x;--", "#012 \\n"),
)


def corpus(count: int, seed: int = 1) -> list[Record]:
    """CEF records of many sizes (to some 7,800 octets) with hostile texts; the same for the same seed."""
    draw = random.Random(seed)
    records = []
    for n in range(count):
        event_id = f"{seed:08x}-0000-8000-8000-{n:012x}"
        filler = "".join(draw.choices("abcdefghij ", k=7000 if n % 50 == 0 else draw.choice((0, 10, 100, 500, 2000))))
        words = " ".join(draw.choices(_HOSTILE, k=3))
        fields = {
            "externalId": event_id,
            "rt": 1790000000000 + n,
            "msg": words,
            "cs1Label": "Control",
            "cs1": words[::-1],
            "cs2Label": "Before",
            "cs2": filler[:4000],
            "cs3Label": "After",
            "cs3": filler[4000:],
        }
        header = cef.header("Vendor", "Product|", "1.0", "control.regressed", "Control score regressed", n % 11)
        text = cef.encode(header, fields)
        records.append(Record(event_id, "change", "t", "2026-11-22T09:12:03Z", n % 11, text))
    return records


async def send_in_batches(sink: Sink, records: Sequence[Record], tail: Tail) -> None:
    """Send everything. UDP (no replay window) waits for each batch: a datagram that a busy receiver misses is gone."""
    size = sink.max_records if sink.replay_window_s else 50
    for start in range(0, len(records), size):
        batch = records[start : start + size]
        receipt = await sink.send(batch)
        assert receipt.accepted == {record.event_id for record in batch}
        if not sink.replay_window_s:
            tail.wait(start + len(batch))
