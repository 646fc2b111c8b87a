"""Log lines: their form, and that whatever looks like a secret does not get through."""

import json
import logging
import re
from pathlib import Path

import pytest

from connector.config.values import LogConfig
from connector.health.logs import JsonLines, SplunkdLines, Words, log_as_splunkd, log_beside, redact

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJ0aWQiOiIxIn0.c2lnbmF0dXJl"
LEAKS = {
    f"token {JWT} refused": "token [redacted] refused",
    "Authorization: Bearer abc.DEF-123": "Authorization: Bearer [redacted]",
    "authorization: Splunk 11111111-2222-3333-4444-555555555555": "authorization: Splunk [redacted]",
    "proxy http://user:hunter2@proxy:3128 refused": "proxy http://[redacted]@proxy:3128 refused",
    "client_id=7&client_secret=hunter2&scope=x": "client_id=7&client_secret=[redacted]&scope=x",
    '{"access_token": "hunter2", "expires_in": 3}': '{"access_token": "[redacted]", "expires_in": 3}',
    "password = 'hunter2'": "password = '[redacted]'",
}
HARMLESS = [
    "secret_expiring in 7 days: tenants.contoso.auth",
    "https://graph.microsoft.com/v1.0/security/secureScores?$top=4",
    "the bearer is unknown",
    "create a new client secret in the app registration",
]


def record(message: str, error: Exception | None = None, **facts: object) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    made = logging.LogRecord("securescore.test", logging.WARNING, "", 0, message, (), info)
    vars(made).update(facts)
    return made


@pytest.mark.parametrize("text", LEAKS)
def test_what_looks_like_a_secret_is_cut_out_wherever_it_stands(text: str) -> None:
    assert redact(text) == LEAKS[text]
    error = ValueError(text)
    made = [
        record("deliver.refused", error=None, words=text),
        record("deliver.refused", words=[text, {"deep": text}]),
        record("deliver.bug", error),
        record(text),
    ]
    for form in (Words(), JsonLines(), SplunkdLines()):
        for one in made:
            line = form.format(one)
            assert "hunter2" not in line
            assert JWT not in line
            assert "abc.DEF" not in line
            assert "11111111-2222" not in line


@pytest.mark.parametrize("text", HARMLESS)
def test_other_words_stay(text: str) -> None:
    assert redact(text) == text


def test_a_line_of_words_has_time_level_event_and_facts() -> None:
    line = Words().format(record("deliver.refused", sink="soc", wait_s=1.5))
    assert line[20:] == ' warning deliver.refused sink="soc" wait_s=1.5'
    assert line[10] == "T"


def test_a_json_line_is_one_object_whose_own_keys_no_fact_replaces() -> None:
    entry = json.loads(JsonLines().format(record("poll.done", tenant="a\nb", time="never", level="x", event="y")))
    assert (entry["event"], entry["level"], entry["tenant"]) == ("poll.done", "warning", "a\nb")
    assert entry["time"] != "never"


def test_no_text_from_outside_begins_a_line_of_its_own() -> None:
    line = Words().format(record("m\nm", error=None, words="a\n2026 info forged"))
    assert "\n" not in line


def test_a_long_fact_is_cut() -> None:
    assert len(Words().format(record("e", words="x" * 100_000))) < 3_000


def test_splunkd_reads_the_level_first_and_one_line() -> None:
    made = record("deliver.refused\nERROR forged", sink="soc")
    made.levelno, made.levelname = logging.WARNING, "WARNING"
    assert SplunkdLines().format(made) == 'WARN deliver.refused ERROR forged sink="soc"'


def test_a_file_beside_has_everything_and_stderr_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    try:
        log_as_splunkd(LogConfig())
        log_beside(tmp_path / "own.log", input="prod")
        log = logging.getLogger("securescore.test")
        log.info("sent\nERROR forged", extra={"n_events": 3})
        try:
            int("password=hunter2")
        except ValueError:
            log.exception("broken")
        for handler in root.handlers:
            handler.close()
    finally:
        root.handlers[:], logging.raiseExceptions = before, raises
        root.setLevel(level)
    first, second = (tmp_path / "own.log").read_text().splitlines()
    assert re.fullmatch(r'\S+Z log_level=INFO pid=\d+ input="prod" message="sent.ERROR forged" n_events=3', first), (
        first
    )
    assert "log_level=ERROR" in second
    assert 'exc_l="ValueError"' in second
    assert "hunter2" not in second
    assert capsys.readouterr().err.splitlines()[0].startswith("ERROR broken")
