"""Sentences of the engine, which are English, told again in a language: summaries of events, evidence of causes.

They are recognised by the English texts of the group `said`, tried in their order, and told again by those of the
language, with numbers, days and codes its own way. The name of a placeholder says what may stand there. A sentence that
is not recognised stays as it is: the words of others, and what an older version wrote.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache

from connector.language.choice import language
from connector.language.spoken import Language
from connector.model import PORTAL

NESTED = 3
"""So deep a sentence may stand in another one."""
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_COUNT = r"\d{1,9} (?:passed|failed|skipped|unsupported)"
_NUMBER = r"[-+]?\d{1,15}(?:\.\d{1,15})?|unknown"
_KINDS: Mapping[str, str] = {
    "n": r"\d{1,9}",
    **dict.fromkeys(("before", "after", "change", "points", "most", "whole", "count", "total", "days"), _NUMBER),
    "percent": rf"(?:{_NUMBER})(?: %)?",
    "day": r"\d{4}-\d\d-\d\d|unknown",
    "moment": r"\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.]*Z",
    "state": r"\w+",
    "answer": "yes|no",
    "counts": rf"{_COUNT}(?:, {_COUNT}){{0,3}}|no counts|[a-z]{{1,30}}",
    "portal": "|".join(map(re.escape, PORTAL.values())),
}
"""What may stand at a placeholder, by the first word of its name; anything may at the others."""

Recognised = tuple[str, tuple[tuple[str, "str | Recognised"], ...]]
"""The key of a text, and what stands at its placeholders."""


def retold(speak: Language, sentence: str) -> str:
    """The sentence in the language; as it is where it is not one of the engine's."""
    found = _recognised(sentence, 0)
    return sentence if found is None else _told(speak, found)


def retold_cause(speak: Language, said: str) -> str:
    """A cause and its evidence, "cause: evidence; evidence", in the language; what is none of the engine's stays."""
    label, colon, evidence = said.partition(": ")
    english = language().texts
    key = next((key for key, text in english.items() if key.startswith("cause.") and text == label), "")
    cause = speak.text(key) if key else retold(speak, label)
    if cause == label:
        return retold(speak, said)
    if not colon:
        return cause
    return speak.text("mail.told", who=cause, what="; ".join(retold(speak, each) for each in evidence.split("; ")))


def _told(speak: Language, found: Recognised) -> str:
    key, values = found
    return speak.text(key, **{name: _value(speak, name, value) for name, value in values})


def _value(speak: Language, name: str, value: "str | Recognised") -> str | float:
    if not isinstance(value, str):
        return _told(speak, value)
    kind = name.partition("_")[0]
    if value == "unknown":
        return speak.text("unknown")
    if kind == "n":
        return int(value)
    if kind in _KINDS and _KINDS[kind] == _NUMBER:
        return _number(speak, value)
    return _RENDERED[kind](speak, value) if kind in _RENDERED else value


def _number(speak: Language, value: str) -> str:
    if value.startswith("+"):
        return speak.signed(float(value))
    return speak.count(int(value)) if value.isdecimal() else speak.number(float(value))


def _group(speak: Language, value: str) -> str:
    """A category, a service or a tier."""
    return next((said for kind in ("category", "service", "tier") if (said := speak.word(kind, value)) != value), value)


def _counts(speak: Language, value: str) -> str:
    """How many controls of a standard are in which state; without counts, the state of the standard itself."""
    if value == "no counts":
        return speak.text("compliance.no_counts")
    if not value[0].isdecimal():
        return speak.word("compliance", f"state_{value}").removeprefix("state_")
    counted = (each.split(" ") for each in value.split(", "))
    return ", ".join(speak.text(f"compliance.{word}", n=int(n)) for n, word in counted)


def _portal(speak: Language, value: str) -> str:
    """A state as the portal calls it."""
    return next((speak.word("state", code) for code, words in PORTAL.items() if words == value), value)


_RENDERED: Mapping[str, Callable[[Language, str], str]] = {
    "percent": lambda speak, value: speak.percent(None if value == "unknown %" else float(value.removesuffix(" %"))),
    "day": lambda speak, value: speak.day(value),
    "moment": lambda speak, value: speak.moment(value),
    "state": lambda speak, value: speak.word("state", value),
    "answer": lambda speak, value: speak.text(f"word.{value}"),
    "group": _group,
    "counts": _counts,
    "portal": _portal,
}


# --------------------------------------------------------------------------------------------------------- recognising


@lru_cache(maxsize=4096)
def _recognised(sentence: str, depth: int) -> Recognised | None:
    if depth > NESTED:
        return None
    for key, pattern in _patterns():
        match = pattern.fullmatch(sentence)
        if match is None:
            continue
        values: dict[str, str | Recognised] = dict(match.groupdict())
        if not all(_is_day(match[name]) for name in values if name.partition("_")[0] in ("day", "moment")):
            continue
        for name in [name for name in values if name.startswith("sentence")]:
            inner = _recognised(match[name], depth + 1)
            if inner is None:
                break
            values[name] = inner
        else:
            return key, tuple(values.items())
    return None


def _is_day(value: str) -> bool:
    """Whether a day, or a moment's, is one of the calendar."""
    try:
        return value == "unknown" or bool(date.fromisoformat(value[:10]))
    except ValueError:
        return False


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    found = []
    for key, text in language().texts.items():
        if key.startswith("said."):
            forms = dict.fromkeys([text] if isinstance(text, str) else text.values())
            found += [(key, _pattern(form)) for form in forms]
    return tuple(found)


def _pattern(text: str) -> re.Pattern[str]:
    pieces = _PLACEHOLDER.split(text)
    parts = [
        f"(?P<{piece}>{_KINDS.get(piece.partition('_')[0], '.+?')})" if at % 2 else re.escape(piece)
        for at, piece in enumerate(pieces)
    ]
    return re.compile("".join(parts), re.ASCII)
