"""Log lines: a stable dotted event name, then facts; as words for people or as one JSON object a line. On stderr.

Secrets are kept out where they are made (no secret is in a value that is logged); the last line of defence here only
cuts what looks like one, because foreign libraries and error texts of far ends get logged, too.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, ClassVar

from connector.clock import SystemClock, iso
from connector.config.values import LogConfig
from connector.foreign.characters import harmless

MAX_FACT_CHARS = 2_000
FILE_BYTES, FILES = 5_000_000, 4
"""Of a log file of our own: its size, and how many older ones stay beside it."""
REDACTED = "[redacted]"

_SECRETS = (
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}"),  # a JSON Web Token, or the beginning of one
    re.compile(r"\bZXlK[A-Za-z0-9+/_-]{16,}=*"),  # the same in base64
    re.compile(r"(?i)(?<=\bbearer )[^\s\"',;]{10,}|(?<=\bsplunk )[0-9a-f]{8}-[0-9a-f-]{27}"),
    re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/_-]{8,}=*"),
    re.compile(r"(?i)(?<=://)[^/\s@:\"']+:[^/\s@\"']+(?=@)"),
    re.compile(
        r"(?i)(?<![a-z])(?:client_secret|client_assertion|refresh_token|access_token|password|sig)"
        r"[\"']?\s*[=:]\s*[\"']?([^\s\"'&,;}]+)"
    ),
)

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """The text without anything that looks like a token, a password in a URL, or a secret's value."""
    for pattern in _SECRETS:
        text = pattern.sub(lambda m: m[0].replace(m[1], REDACTED) if m.lastindex else REDACTED, text)
    return text


def log_to_stderr(config: LogConfig | None = None, level: str | None = None) -> None:
    """Logs on stderr in the configured form, from now on; results stay alone on stdout."""
    wanted = (level or (config.level if config else "warning")).upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if config is not None and config.format == "json" else Words())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(wanted)


def log_as_splunkd(config: LogConfig) -> None:
    """Logs on stderr in the form that splunkd takes from its inputs, from now on."""
    log_to_stderr(config)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(SplunkdLines())


def log_beside(path: Path, **facts: str) -> None:
    """Logs in a file too, from now on, each line with these facts; stderr then keeps warnings and worse.

    Raises OSError when the file cannot be written.
    """
    beside = RotatingFileHandler(path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8")
    beside.setFormatter(KeyedLines(facts))
    logging.raiseExceptions = False  # a disk that is full is no reason to end, and stderr is splunkd's
    root = logging.getLogger()
    for handler in root.handlers:
        handler.setLevel(logging.WARNING)
    root.addHandler(beside)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {k: _safe(v) for k, v in vars(record).items() if k not in _PLAIN}


def _safe(value: Any) -> Any:
    """The value without secrets, every text in it bounded: a far end's words may be long. Unknown kinds become text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(k): _safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(v) for v in value]
    text = redact(str(value))
    return text[:MAX_FACT_CHARS] + "…" if len(text) > MAX_FACT_CHARS else text


def _trace(record: logging.LogRecord) -> str:
    """The traceback of a record, "" without one; what a foreign exception says in it begins no line of its own."""
    found = record.exc_info
    return redact(trace_of(found[1])) if found and found[1] else ""


def trace_of(error: BaseException) -> str:
    """A traceback in harmless lines; all but the first are indented, so that none passes for a log line."""
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    return "\n".join([harmless(lines[0]), *(f"  {harmless(line)}" for line in lines[1:])])


class Words(logging.Formatter):
    """`2026-11-22T09:12:03Z warning deliver.refused sink="soc" error="…"`: a stable event name, then facts."""

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{k}={json.dumps(v)}" for k, v in _facts(record).items())
        message = redact(harmless(record.getMessage()))
        text = f"{iso(SystemClock().now())} {record.levelname.lower()} {message} {facts}".rstrip()
        return "\n".join(filter(None, (text, _trace(record))))


class SplunkdLines(logging.Formatter):
    """`WARN deliver.refused sink="soc" error="…"`: the level in splunkd's words, then a line without line feeds."""

    _LEVELS: ClassVar[Mapping[str, str]] = {"WARNING": "WARN", "CRITICAL": "FATAL"}

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{k}={json.dumps(v)}" for k, v in _facts(record).items())
        trace = _trace(record)
        level = self._LEVELS.get(record.levelname, record.levelname)
        return f"{level} {redact(harmless(f'{record.getMessage()} {facts} {trace}'))}".rstrip()


class KeyedLines(logging.Formatter):
    """`2026-11-22T09:12:03Z log_level=INFO pid=7 input="prod" message="…"`: what Splunk extracts by itself."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        super().__init__()
        self._always = " ".join(f"{k}={json.dumps(v)}" for k, v in facts.items())

    def format(self, record: logging.LogRecord) -> str:
        head = f"{iso(SystemClock().now())} log_level={record.levelname} pid={record.process} {self._always}"
        facts = {"message": redact(harmless(record.getMessage())), **_facts(record)}
        if trace := _trace(record):
            facts["exc_l"] = type(record.exc_info[1]).__name__ if record.exc_info else ""
            facts["traceback"] = trace
        return f"{head} {' '.join(f'{k}={json.dumps(v)}' for k, v in facts.items())}"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            **_facts(record),
            "time": iso(SystemClock().now()),
            "level": record.levelname.lower(),
            "event": redact(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = _trace(record)
        return json.dumps(entry)
