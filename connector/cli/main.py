"""`securescore`: finds the command, and turns errors into words and exit codes.

A command is one module with `add_arguments(parser)` and `run(args) -> int`; only the one asked for is imported, so
that `--help` is instant. How anything reaches a terminal is in terminal.py.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

from connector import __version__
from connector.cli import process, terminal
from connector.cli.examples import EXAMPLES
from connector.errors import ConfigError, SecureScoreError, StoreError, exhausted

DONE, FAILED, USAGE, PARTIAL = 0, 1, 2, 3

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "no credentials: a simulated tenant → events, table, explanation, files"),
    "init": ("init", "write a commented configuration; print app registration and consent steps"),
    "login": ("login", "sign in by device code, for tenants read on behalf of a user"),
    "check": ("check", "whether `run` would start and its first poll succeed; what to do about each fault"),
    "once": ("once", "poll every selected tenant now, offer everything unsettled to every sink, exit"),
    "fetch": ("fetch", "save the complete responses of one read, as `source: files` or `path` reads them"),
    "run": ("run", "the daemon: poll and deliver until stopped"),
    "status": ("status", "tenants: newest day, data age, last success; sinks: backlog, parked"),
    "events": ("events", "committed events: search, show, trace"),
    "explain": ("explain", "exact waterfall of a score change, with causes"),
    "replay": ("replay", "deliver committed events again, same ids, behind first deliveries"),
    "parked": ("parked", "events a sink refused for good: list, show, retry, discard"),
    "sinks": ("sinks", "list sinks; release one that holds history"),
    "tenants": ("tenants", "list tenants; add one; forget one"),
    "controls": ("controls", "list and show controls; set states at Microsoft, one by one or as a baseline asks"),
    "next": ("next", "what to do next, best first; the score if some of it were done"),
    "report": ("report", "the posture of a tenant, or of many, over a period: HTML, JSON, CSV, OSCAL or HDF"),
    "accept-snapshot": ("accept_snapshot", "believe the suspicious day of a tenant"),
    "simulate": ("simulate", "the simulated Graph as a server"),
    "config": ("config", "what a key of the configuration means; the JSON Schema for editors"),
    "completion": ("completion", "the completion script of a shell: bash, zsh or fish"),
}
"""Command → (module in this package, one line of help)."""
NEXT = "correct what the error names, then run the command again; --help lists its options"
"""What an error without a hint of its own recommends."""
ELSEWHERE = "securescore runs on Linux, and on macOS for trying it out; not on this system"


class Parser(argparse.ArgumentParser):
    """A parser that tells mistakes of usage in the voice of every other error, and takes no option by half its name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        raise ConfigError([message], f"see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 failed, 2 usage or configuration, 3 partial)."""
    terminal.hold_closed_streams()
    terminal.write_utf8()
    return terminal.settle(_command(list(sys.argv[1:] if argv is None else argv)))


def _command(words: list[str]) -> int:
    """One command, to its end or its error; what it said may not be out yet."""
    try:
        config, words = _config_option(_spans_joined(words))
    except ConfigError as error:
        return complain(error)
    name = next((w for w in words if not w.startswith("-")), None)
    if name in COMMANDS and find_spec("fcntl") is None:  # Windows: locks, users and signals are others there
        return complain(
            ConfigError([ELSEWHERE], "on Windows, the Splunk add-on does this work: packaging/splunk/README.md")
        )
    if name == "run":
        process.expect_hup()
    if name is None and not words:
        terminal.say(parser([]).format_help().rstrip(), err=True)
        return USAGE
    if name == "help":  # as people ask other programs
        words = [word for word in words if word != "help"] + ["--help"]
        name = next((w for w in words if not w.startswith("-")), None)
    try:
        args = parser([name] if name in COMMANDS else []).parse_args(words)
        args.config = config
        from connector.config.secrets import keep_out_of_core_files  # noqa: PLC0415 - `--help` loads nothing of ours

        keep_out_of_core_files()
        terminal.tell_bugs_harmlessly()
        return int(args.run(args))
    except SystemExit as stop:  # argparse, after --help and --version
        return int(stop.code or 0)
    except SecureScoreError as error:
        return complain(error)
    except OSError as error:  # of this system, and nobody met it where it happened: no bug, and no traceback
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        return complain(exhausted(error) or SecureScoreError(what))
    except KeyboardInterrupt:
        terminal.say("stopped", err=True)
        return FAILED


def parser(loaded: Iterable[str]) -> Parser:
    """The parser of the command line; only the commands of `loaded` know their arguments."""
    made = Parser(
        prog="securescore",
        description="Microsoft Secure Score as change events for your SIEM.",
        epilog="-c CONFIG may stand anywhere; without it SECURESCORE_CONFIG, "
        "/etc/secure-score-connector/config.yaml, ./securescore.yaml.",
    )
    made.add_argument("--version", action="version", version=f"securescore {__version__}")
    made.add_argument("-c", "--config", metavar="CONFIG", help="configuration file")
    subparsers = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command, (module_name, summary) in COMMANDS.items():
        sub = subparsers.add_parser(command, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if command in loaded:
            module = import_module(f"connector.cli.{module_name}")
            sub.epilog = "examples:\n  " + "\n  ".join(EXAMPLES[command])
            sub.formatter_class = argparse.RawDescriptionHelpFormatter
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return made


def _spans_joined(words: Sequence[str]) -> list[str]:
    """`--since -7d`, as search languages write it: unless joined, argparse takes it for an option of its own."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--since", "--until", "--from", "--to") and _is_span(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _is_span(word: str) -> bool:
    from connector.cli.times import AGO  # noqa: PLC0415 - `--help` loads no event loop, which clock.py brings

    return AGO.fullmatch(word) is not None


def _config_option(words: list[str]) -> tuple[str | None, list[str]]:
    """Take -c/--config out of the words, wherever it stands and however it is joined to its value: the only reader.

    Raises ConfigError for one without a name or with two: a command that deletes must not guess which was meant.
    """
    rest: list[str] = []
    named: list[str] = []
    it = iter(words)
    for word in it:
        if word in ("-c", "--config"):
            value = next(it, None)
            if value is None:
                raise ConfigError([f"{word} needs the path of a configuration file"])
            named.append(value)
        elif word.startswith("--config="):
            named.append(word.partition("=")[2])
        elif word.startswith("-c"):
            named.append(word[2:].removeprefix("="))
        elif word == "--":
            rest += [word, *it]
        else:
            rest.append(word)
    if "" in named:
        raise ConfigError(["-c names no file: its value is empty"], "is a variable unset that was meant to hold it?")
    if len(set(named)) > 1:
        raise ConfigError([f"-c names two files: {' and '.join(dict.fromkeys(named))}"], "name one")
    return (named[0] if named else None), rest


def complain(error: SecureScoreError) -> int:
    """An error in words on stderr: what happened, and what to do next. Returns the exit code."""
    terminal.complain(error.problems if isinstance(error, ConfigError) else [error.what], error.hint or NEXT)
    return USAGE if isinstance(error, ConfigError) and not isinstance(error, StoreError) else FAILED


def entry() -> NoReturn:
    """The command `securescore`: as `main`, and the end of the process."""
    process.leave(main())


if __name__ == "__main__":
    entry()
