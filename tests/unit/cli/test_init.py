"""`securescore init`: what it writes is understood by our own parser, and what it prints leads to consent."""

import contextlib
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from connector.cli import init
from connector.cli.main import main
from connector.config import schema, yaml_file
from connector.config.values import Config
from connector.errors import ConfigError
from connector.options import Option
from connector.registry import SINKS, sink_options
from tests.config_example import CLIENT_ID, KINDS, TENANT_ID

FLAGS = ("--tenant-id", TENANT_ID.upper(), "--client-id", CLIENT_ID)


def options_of(kind: str) -> Mapping[str, Option] | None:
    """The sink's own table where the sink exists, else the one of the tests."""
    return sink_options(kind) or KINDS.get(kind)


def read(file: Path) -> Config:
    return yaml_file.load(str(file), sink_options=options_of, environ={})


@pytest.mark.parametrize("kind", SINKS)
def test_what_is_written_is_understood(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    assert main(["init", *FLAGS, "--name", "contoso", "--sink", kind, "--cloud", "dod", "--out", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = read(file)
    (tenant,) = config.tenants
    assert (tenant.name, tenant.tenant_id, tenant.graph.cloud) == ("contoso", TENANT_ID, "dod")
    assert tenant.auth is not None
    assert tenant.auth.options == {"client_id": CLIENT_ID, "client_secret": "${env:SECURESCORE_CLIENT_SECRET}"}
    assert [sink.kind for sink in config.sinks] == [kind]
    assert config.state.path == str(tmp_path / "state.db")
    found = schema.schema({kind: options_of(kind) or {}})
    assert list(Draft202012Validator(found).iter_errors(yaml_file.read_yaml(file.read_text(), "c").value)) == []
    assert f"Wrote {file}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", SINKS)
def test_for_the_service_secrets_are_credentials_and_state_is_its_own(kind: str, tmp_path: Path) -> None:
    answers = init.Answers(sink=kind, tenant_id=TENANT_ID, client_id=CLIENT_ID)
    text = init.configuration(answers, "/etc/secure-score-connector/config.yaml")
    (tmp_path / "c.yaml").write_text(text)
    config = read(tmp_path / "c.yaml")
    assert config.state.path == "/var/lib/secure-score-connector/state.db"
    assert "${env:S" not in text
    assert '"${credential:client_secret}"' in text


@pytest.mark.parametrize("address", ["C: events #1.jsonl", 'a"b.jsonl', "{x}.jsonl", "ü.jsonl", "off", "007"])
def test_an_address_is_written_as_it_was_given(address: str, tmp_path: Path) -> None:
    assert main(["init", *FLAGS, "--sink", "file", "--address", address, "--out", str(tmp_path / "c.yaml")]) == 0
    assert read(tmp_path / "c.yaml").sinks[0].options["path"] == str(tmp_path / address)


@pytest.mark.parametrize(
    ("kind", "option", "address"),
    [
        ("syslog", "host", "10.0.0.1"),
        ("splunk_hec", "url", "https://hec:8088"),
        ("sentinel", "endpoint", "https://dce.example"),
        ("webhook", "url", "https://hook.example/x?y=1"),
    ],
)
def test_an_address_lands_in_its_sink(kind: str, option: str, address: str, tmp_path: Path) -> None:
    assert main(["init", *FLAGS, "--sink", kind, "--address", address, "--out", str(tmp_path / "c.yaml")]) == 0
    assert read(tmp_path / "c.yaml").sinks[0].options[option] == address


def test_port_and_transport_land_in_their_sink(tmp_path: Path) -> None:
    words = ["--sink", "syslog", "--address", "127.0.0.1", "--transport", "tcp", "--port", "10514"]
    assert main(["init", *FLAGS, *words, "--out", str(tmp_path / "c.yaml")]) == 0
    found = read(tmp_path / "c.yaml").sinks[0].options
    assert (found["host"], found["transport"], found["port"]) == ("127.0.0.1", "tcp", 10514)


@pytest.mark.parametrize(("kind", "usual"), [("syslog", "tls"), ("mail", "starttls")])
def test_a_port_that_nobody_named_is_left_to_the_transport(kind: str, usual: str, tmp_path: Path) -> None:
    assert main(["init", *FLAGS, "--sink", kind, "--out", str(tmp_path / "c.yaml")]) == 0
    found = read(tmp_path / "c.yaml").sinks[0].options
    assert (found["transport"], found["port"]) == (usual, None)
    assert "\n    # port: …" in (tmp_path / "c.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--sink", "syslog", "--port", "70000"], "--port: expected a port from 1 to 65535"),
        (["--sink", "mail", "--transport", "tcp"], "--transport: 'tcp' is not one of starttls, tls, plain"),
        (["--sink", "webhook", "--port", "8080"], "--port: only for --sink syslog or mail, not webhook"),
        (["--transport", "tcp"], "--transport: only for --sink syslog or mail, not file"),
        (["--sink", "syslog", "--address", "127.0.0.1:10514"], "the port stands apart from it (--port)"),
    ],
)
def test_a_port_or_transport_that_cannot_be_right_is_refused(
    words: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *FLAGS, *words, "--out", str(tmp_path / "c.yaml")]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "c.yaml").exists()


def test_placeholders_are_refused_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    assert main(["init", "--out", str(file)]) == 0
    marked = [n for n, line in enumerate(file.read_text().splitlines(), 1) if "<-- fill in" in line]
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert caught.value.problems == [
        f"tenants[0].tenant_id (line {marked[0]}): is still the placeholder: put the real id here",
        f"tenants[0].auth.client_id (line {marked[1]}): is still the placeholder: put the real id here",
    ]


@pytest.mark.parametrize(
    ("cloud", "portal", "login", "az"),
    [
        ("global", "https://entra.microsoft.com", "https://login.microsoftonline.com", "AzureCloud"),
        ("usgov", "https://entra.microsoft.us", "https://login.microsoftonline.us", "AzureUSGovernment"),
        ("dod", "https://entra.microsoft.us", "https://login.microsoftonline.us", "AzureUSGovernment"),
    ],
)
def test_the_steps_lead_to_consent(cloud: str, portal: str, login: str, az: str) -> None:
    text = init.steps(init.Answers("file", "c", TENANT_ID, CLIENT_ID, cloud), "c.yaml")
    assert "SecurityEvents.Read.All   (role id bf394140-e372-4bf9-a898-299cfc7564e5)" in text
    assert "ReadWrite" not in text
    assert f"{portal}\n" in text
    assert f"{login}/{TENANT_ID}/adminconsent?client_id={CLIENT_ID}\n" in text
    assert f"az cloud set --name {az}\n" in text
    assert f"az ad app permission admin-consent --id {CLIENT_ID}\n" in text
    assert "securescore check -c c.yaml" in text
    assert "az ad app create" not in text
    assert "Publisher" not in text


def test_the_steps_without_ids_say_how_to_get_them() -> None:
    text = init.steps(init.Answers(sink="sentinel"), "/etc/secure-score-connector/config.yaml")
    assert "az ad app create" in text
    assert "adminconsent?client_id=CLIENT_ID" in text
    assert "Fill in the ids marked <--" in text
    assert "/etc/secure-score-connector/client_secret (mode 0600)" in text
    assert "Monitoring Metrics Publisher" in text


def test_nothing_is_overwritten_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("mine")
    file.chmod(0o644)
    assert main(["init", *FLAGS, "--out", str(file)]) == 2
    assert file.read_text() == "mine"
    heard = capsys.readouterr().err
    assert f"error: {file}: exists already" in heard
    assert "--force" in heard
    with pytest.raises(ConfigError, match="exists already"):
        init.write(str(file), "x", replace=False)
    assert main(["init", *FLAGS, "--out", str(file), "--force"]) == 0
    assert read(file).tenants[0].tenant_id == TENANT_ID
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["c.yaml"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").symlink_to(tmp_path / "elsewhere")
    assert main(["init", *FLAGS, "--out", str(tmp_path / "c.yaml")]) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *FLAGS, "--out", str(tmp_path / "none" / "c.yaml")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_all_wrong_flags_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--tenant-id",
        "x",
        "--client-id",
        "hunter2",
        "--name",
        "a/b",
        "--sink",
        "webhook",
        "--address",
        "http://h",
    ]
    assert main(["init", *words, "--out", str(tmp_path / "c.yaml")]) == 2
    heard = capsys.readouterr().err
    for flag in (
        "--tenant-id: expected a GUID",
        "--client-id: expected a GUID",
        "--name: use up to 63",
        "--address: pl",
    ):
        assert f"error: {flag}" in heard
    assert "hunter2" not in heard
    assert list(tmp_path.iterdir()) == []


def test_the_name_after_c_is_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["init", *FLAGS, "-c", str(tmp_path / "a.yaml")]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["init", *FLAGS]) == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.yaml", "securescore.yaml"]


# ------------------------------------------------------------------------------------------------------------ questions


def test_what_is_missing_is_asked_until_it_can_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    replies: Iterator[str] = iter(
        ["nonsense", f" {TENANT_ID} ", "", "my tenant", "contoso", "sentry", "syslog", "a b", "", "tcp", "x", "1514"]
    )
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return next(replies)

    assert init.asked(init.Answers(), ask) == init.Answers("syslog", "contoso", TENANT_ID, transport="tcp", port="1514")
    assert next(replies, None) is None
    assert "host name or address of the syslog receiver [siem.example]: " in questions
    assert questions[-1] == "its port [the usual one]: "
    said = capsys.readouterr().out
    for words in (
        "expected a GUID",
        "use up to 63 letters",
        "one of syslog, splunk_hec",
        "expected a host name",
        "a whole number",
    ):
        assert words in said


def test_what_is_known_is_not_asked() -> None:
    answers = init.Answers("file", "contoso", TENANT_ID, CLIENT_ID, "global", "events.jsonl")
    assert init.asked(answers, lambda _: pytest.fail("asked")) == answers


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    """The real program on a real pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "connector.cli.main", "init", "--out", str(tmp_path / "c.yaml")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3], stdin=theirs, stdout=theirs) as program:
        os.close(theirs)
        os.write(ours, f"{TENANT_ID}\n{CLIENT_ID}\n\nsyslog\nsiem.lan\ntcp\n1514\nn\n".encode())
        with contextlib.suppress(OSError):  # EIO is how the end of a pseudo-terminal reads
            while os.read(ours, 4096):
                pass
        os.close(ours)
        assert program.wait(timeout=30) == 0
    config = read(tmp_path / "c.yaml")
    assert (config.tenants[0].name, config.sinks[0].options["host"]) == ("main", "siem.lan")
