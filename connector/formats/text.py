"""Text every encoder agrees on: values as words, cutting by characters or octets with a mark.

Pure and total: any value gives text, none raises. No wire format lives here.
"""

import json
import re
from math import isfinite
from typing import Any

from connector.foreign.characters import SURROGATES
from connector.formats.shorten import MARK

_SURROGATES = re.compile(f"[{SURROGATES}]")


def as_text(value: Any) -> str:
    """Any value in words: numbers as JSON writes them, lists joined with ", ", objects as compact JSON.

    None, NaN and the infinities give "": there is nothing to tell.
    """
    kind = type(value)  # of JSON's own kinds, as a rule; and this is asked for every field of every event
    if kind is str:
        return str(value)
    if value is None:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return repr(value) if isfinite(value) else ""
    try:
        if isinstance(value, list | tuple):
            return ", ".join(filter(None, map(as_text, value)))
        return json.dumps(value, default=str, separators=(",", ":")) if isinstance(value, dict) else str(value)
    except (TypeError, ValueError, RecursionError):  # keys JSON cannot hold, absurdly long integers, cycles
        return ""


def encodable(text: str) -> str:
    """Text that UTF-8 can carry: lone surrogates become U+FFFD, everything else stays."""
    return text if text.isascii() else _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def cut_chars(text: str, max_chars: int) -> str:
    """At most `max_chars` characters, ending in MARK when something was cut."""
    if len(text) <= max_chars:
        return text
    mark = MARK if max_chars > len(MARK) else ""
    return text[: max_chars - len(mark)].rstrip() + mark


def cut_octets(text: str, max_octets: int) -> str:
    """At most `max_octets` octets of UTF-8, never inside a character, ending in MARK when something was cut."""
    if len(text) * 4 <= max_octets or len(text.encode("utf-8", "replace")) <= max_octets:
        return text
    mark = MARK if max_octets > len(MARK) else ""
    return text.encode("utf-8", "replace")[: max_octets - len(mark)].decode("utf-8", "ignore").rstrip() + mark
