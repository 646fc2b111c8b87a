"""The command line as values, read off its parsers: what completion, the manual page and docs/commands.md are made of.

Nothing is printed here. It loads every command, so only what describes all of them imports it.
"""

import argparse
from typing import Any

from attrs import frozen

from connector.cli.examples import EXAMPLES
from connector.cli.main import COMMANDS, parser


@frozen
class Argument:
    """One option or positional. `flags` is empty for a positional; `value` names what follows, "" = nothing."""

    flags: tuple[str, ...]
    value: str
    help: str
    choices: tuple[str, ...] = ()
    many: bool = False

    @property
    def is_file(self) -> bool:
        return self.value in ("FILE", "DIR", "PATH", "CONFIG", "OUT", "FILE|DIR/")


@frozen
class Command:
    """One command with its arguments; `inner`: the commands below it, where it has some of its own."""

    name: str
    summary: str
    arguments: tuple[Argument, ...]
    examples: tuple[str, ...] = ()
    inner: tuple["Command", ...] = ()

    def every_argument(self) -> list[Argument]:
        """Its own arguments and those of the commands below it, each once."""
        below = [each for command in self.inner for each in command.arguments]
        return list({each.flags or (each.value,): each for each in (*self.arguments, *below)}.values())


def commands() -> list[Command]:
    """Every command of the command line, in the order of `--help`."""
    made = parser(COMMANDS)
    [subparsers] = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    return [_command(name, COMMANDS[name][1], sub) for name, sub in subparsers.choices.items()]


def _command(name: str, summary: str, of: argparse.ArgumentParser) -> Command:
    """Argparse keeps its arguments private and has no other way to ask for them."""
    inner: list[Command] = []
    arguments: list[Argument] = []
    for action in of._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            inner = [_command(word, "", sub) for word, sub in action.choices.items()]
        elif not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            arguments.append(_argument(of, action))
    return Command(name, summary, tuple(arguments), EXAMPLES.get(name, ()), tuple(inner))


def _argument(of: argparse.ArgumentParser, action: argparse.Action) -> Argument:
    flags = tuple(action.option_strings)
    value = ""
    if not flags or action.nargs != 0:
        named: Any = action.metavar or (action.dest.upper() if flags else action.dest)
        value = named if isinstance(named, str) else " ".join(named)
    words = (action.help or "") % {"prog": of.prog, "default": action.default} if action.help else ""
    choices = tuple(map(str, action.choices)) if action.choices else ()
    return Argument(flags, value, words, choices, many=action.nargs in ("*", "+"))
