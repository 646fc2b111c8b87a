"""The question before something is given up that nothing brings back: one manner, in every command that asks."""

import argparse

from connector.cli.terminal import ask, say, somebody_is_there
from connector.errors import ConfigError


def add_yes(parser: argparse.ArgumentParser) -> None:
    """--yes, as every command that asks has it."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def confirmed(what: str, *, yes: bool) -> bool:
    """Whether to go on; `what` is a sentence that says what will be lost, and is shown before the question.

    Raises ConfigError where nobody is there to ask and nobody said --yes: silence is no consent.
    """
    if yes:
        return True
    if not somebody_is_there():
        raise ConfigError([f"{what} This needs a yes, and nobody is there to ask"], "repeat the command with --yes")
    say(what, err=True)
    if agreed("Go on?"):
        return True
    say("Nothing was done.", err=True)
    return False


def agreed(question: str) -> bool:
    """Whether somebody answers a question with yes; anything else, and the end of input, is no."""
    return ask(f"{question} [y/N] ", err=True).strip().casefold() in ("y", "yes")
