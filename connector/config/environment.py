"""The configuration out of environment variables, as app settings of Azure Functions give it: text in, a dict out.

`SECURESCORE__poll__interval=1h` is `poll: {interval: 1h}`: each "__" is one step down, and a map with the keys 0, 1, 2
is a list. A value that begins with [ or {, or stands in double quotes, is JSON; any other is what the same text means
unquoted in YAML. What keys
mean is in `config`; nothing here performs I/O.
"""

import json
from collections.abc import Mapping
from typing import Any

from connector.config.read import Problem
from connector.config.yaml_file import plain

PREFIX = "SECURESCORE__"
MAX_STEPS = 16
"""Deeper than any key lies."""


def tree(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """The raw configuration in these variables, for `config.parse`, and what is wrong with their form."""
    problems: list[Problem] = []
    root: dict[str, Any] = {}
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        text = environ[name].strip()
        try:
            _put(root, name.removeprefix(PREFIX).split("__"), _value(text))
        except ValueError as error:
            problems.append(Problem("", 0, f"app setting {name}: {error}"))
    return {key: _listed(value) for key, value in root.items()}, problems


def in_words(problem: str) -> str:
    """A problem as `config.parse` words it, its path ("sinks[0].url: …") turned into the name of the setting."""
    path, colon, rest = problem.partition(": ")
    if not colon or " " in path:
        return problem
    return f"app setting {PREFIX}{path.replace('[', '.').replace(']', '').replace('.', '__')}: {rest}"


def _value(text: str) -> Any:
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    if not quoted and not text.startswith(("[", "{")):
        return plain(text)
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("begins like JSON but is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"begins like JSON but is none: {error}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} is written twice")
        found[key] = value
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _put(root: dict[str, Any], steps: list[str], value: Any) -> None:
    if not all(steps):
        raise ValueError("has an empty step: two steps are parted by exactly two underscores")
    if len(steps) > MAX_STEPS:
        raise ValueError(f"has {len(steps)} steps, no key has more than {MAX_STEPS}")
    inside = root
    for step in steps[:-1]:
        inside = inside.setdefault(step, {})
        if not isinstance(inside, dict):
            raise ValueError(f"{step} has a value of its own already")  # noqa: TRY004 - the setting's author errs
    if steps[-1] in inside:
        raise ValueError("is given both whole and in parts")
    inside[steps[-1]] = value


def _listed(value: Any) -> Any:
    """Maps with the keys 0, 1, 2 … become lists, at any depth."""
    if not isinstance(value, dict):
        return value
    made = {key: _listed(item) for key, item in value.items()}
    numbers = [str(n) for n in range(len(made))]
    return [made[n] for n in numbers] if made and set(made) == set(numbers) else made
