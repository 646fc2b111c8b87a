"""The named formatters of mappings: one value in, one value out, None where the value cannot be what was asked for.

Pure and total: no formatter raises for any value. A factory gets the text after the colon ("round:2") and raises
ValueError when it is wrong. No output key and no receiver is known here.
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any

from connector.formats.text import as_text, encodable

Formatter = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TAG = re.compile(r"<[^<>]*>")  # neither bracket inside: linear even for a text of a million "<"
_MAX_HTML = 64_000
_MAX_MOMENT = 40
_MAX_DEPTH = 50


# ------------------------------------------------------------------------------------------------------------ times


def moment(value: Any) -> datetime | None:
    """The aware UTC moment of ISO 8601 text, a day ("2026-11-22") being its midnight; None for anything else."""
    return _moment_of(value) if isinstance(value, str) and len(value) <= _MAX_MOMENT else None


@lru_cache(maxsize=1024)  # the events of one read share their day and their moment of observation
def _moment_of(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _epoch_ms(value: Any) -> int | None:
    at = moment(value)
    return None if at is None else (at - _EPOCH) // _MS


def _epoch_s(value: Any) -> str | None:
    """Plain decimal text, as Splunk's `time` wants it: a float could turn into scientific notation."""
    ms = _epoch_ms(value)
    return None if ms is None else f"{ms / 1000:.3f}"


def _iso(value: Any) -> str | None:
    at = moment(value)
    if at is None:
        return None
    return at.isoformat(timespec="microseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def _leef_time(value: Any) -> str | None:
    """`MMM dd yyyy HH:mm:ss.SSS z`, months in English whatever the locale."""
    at = moment(value)
    if at is None:
        return None
    clock = f"{at.hour:02}:{at.minute:02}:{at.second:02}.{at.microsecond // 1000:03}"
    return f"{_MONTHS[at.month - 1]} {at.day:02} {at.year} {clock} UTC"


# ---------------------------------------------------------------------------------------------------------- numbers


def _number(value: Any) -> float | None:
    if type(value) is float and isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _int(value: Any) -> int | None:
    """Integer within 64 bits; fractions are rounded."""
    if type(value) is not int:
        number = _number(value)
        if number is None:
            return None
        value = round(number)
    return value if -(2**63) <= value < 2**63 else None


def _int32(value: Any) -> int | None:
    number = _int(value)
    return number if number is not None and -(2**31) <= number < 2**31 else None


def _bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _round(arg: str) -> Formatter:
    digits = int(arg)
    if not 0 <= digits <= 15:
        raise ValueError(arg)

    def rounded(value: Any) -> float | None:
        number = _number(value)
        return None if number is None else round(number, digits) + 0.0  # no minus zero

    return rounded


def _clamp(arg: str) -> Formatter:
    low, high = map(int, arg.split(":"))
    if low > high:
        raise ValueError(arg)

    def clamped(value: Any) -> int | None:
        number = _int(value)
        return None if number is None else min(high, max(low, number))

    return clamped


# ------------------------------------------------------------------------------------------------------------ texts


def _join(arg: str) -> Formatter:
    def joined(value: Any) -> str:
        if isinstance(value, list | tuple):
            return arg.join(filter(None, map(as_text, value)))
        return as_text(value)

    return joined


def _pairs(arg: str) -> Formatter:
    """An object as "key: value" joined; objects inside give dotted keys, empty values are left out."""

    def joined(value: Any) -> str:
        if not isinstance(value, Mapping):
            return as_text(value)
        return arg.join([f"{key}: {text}" for key, text in _leaves(value, "", 0)])

    return joined


def _leaves(value: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        name = prefix + as_text(key)
        if isinstance(inner, Mapping) and depth < _MAX_DEPTH:
            yield from _leaves(inner, name + ".", depth + 1)
        elif text := as_text(inner):
            yield name, text


def _changes(value: Any) -> str:
    """A list of {field, before, after} as "field: before → after; …"; a field of which nothing is told stands alone."""
    if not isinstance(value, list | tuple):
        return as_text(value)
    return "; ".join(filter(None, (_change(item) for item in value)))


def _change(item: Any) -> str:
    if not isinstance(item, Mapping):
        return as_text(item)
    sides = [as_text(item.get(side)) for side in ("before", "after")]
    told = f"{sides[0] or '-'} → {sides[1] or '-'}" if any(sides) else ""
    return ": ".join(filter(None, (as_text(item.get("field")), told)))


def _strip_html(value: Any) -> str:
    """Words without tags and entities, white space collapsed; only the first 64,000 characters are looked at."""
    text = as_text(value)[:_MAX_HTML]
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(text.split())


def _one_line(value: Any) -> str:
    return " ".join(as_text(value).split())


def _entities(value: Any) -> str:
    """Words in which `&`, `<` and `>` are entities, and nothing else: what chats take for markup or mentions."""
    return as_text(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(value: Any) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None


def _cut_prefix(arg: str) -> Formatter:
    if not arg:
        raise ValueError(arg)
    return lambda value: as_text(value).removeprefix(arg)


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list | tuple | Mapping | str) else None


# ---------------------------------------------------------------------------------------------------------- by name


def _plain(function: Formatter) -> Callable[[str | None], Formatter]:
    def make(arg: str | None) -> Formatter:
        if arg is not None:
            raise ValueError(arg)
        return function

    return make


def _with(factory: Callable[[str], Formatter], default: str | None = None) -> Callable[[str | None], Formatter]:
    def make(arg: str | None) -> Formatter:
        if arg is None:
            if default is None:
                raise ValueError(arg)
            return factory(default)
        return factory(arg)

    return make


FORMATTERS: Mapping[str, Callable[[str | None], Formatter]] = {
    "epoch_ms": _plain(_epoch_ms),
    "epoch_s": _plain(_epoch_s),
    "iso": _plain(_iso),
    "leef_time": _plain(_leef_time),
    "number": _plain(_number),
    "int": _plain(_int),
    "bool": _plain(_bool),
    "round": _with(_round),
    "clamp": _with(_clamp),
    "text": _plain(lambda value: encodable(as_text(value))),
    "upper": _plain(lambda value: as_text(value).upper()),
    "lower": _plain(lambda value: as_text(value).lower()),
    "strip_html": _plain(_strip_html),
    "entities": _plain(_entities),
    "one_line": _plain(_one_line),
    "json": _plain(_json),
    "join": _with(_join, ", "),
    "changes": _plain(_changes),
    "pairs": _with(_pairs, "; "),
    "cut_prefix": _with(_cut_prefix),
    "length": _plain(_length),
}
"""Formatter factories by name; the argument is what follows the first colon."""

TYPES: Mapping[str, Formatter] = {
    "string": FORMATTERS["text"](None),
    "int": _int32,
    "long": _int,
    "real": _number,
    "boolean": _bool,
    "datetime": _iso,
    "dynamic": lambda value: value,
}
"""Column types of Azure Monitor streams, and what makes a value fit them (None = it cannot)."""


def formatter(spec: str) -> Formatter:
    """The formatter of "name" or "name:argument". Raises KeyError for the name, ValueError for the argument."""
    name, colon, arg = spec.partition(":")
    return FORMATTERS[name](arg if colon else None)
