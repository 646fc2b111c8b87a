"""A record's payload as one line of UTF-8, whatever it holds: the last guard before a line-based wire.

Pure. Formats escape line breaks themselves; this guard only sees to it that a hostile or faulty payload never becomes
two lines, two frames or an encoding error.
"""

import re
from collections.abc import Mapping
from typing import Any

from connector.formats import jsonl

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Line breaks stay visible, the other control characters become a space. Tab stays: it is LEEF's delimiter.
_ESCAPES = {code: " " for code in (*range(0x20), 0x7F) if code != 0x09} | {0x0A: "\\n", 0x0D: "\\r"}


def one_line(payload: str | Mapping[str, Any]) -> str:
    """The payload as text without control characters except tab; a mapping becomes compact ASCII JSON, keys in order.

    Raises ValueError or TypeError for a mapping that is not JSON (NaN, infinities, foreign objects).
    """
    if not isinstance(payload, str):
        return jsonl.dumps(dict(payload))
    if payload.isprintable():
        return payload
    return payload.translate(_ESCAPES) if _CONTROL.search(payload) else payload


def octets(text: str) -> bytes:
    """UTF-8; a lone surrogate (legal in JSON text, not in UTF-8) becomes a question mark."""
    return text.encode("utf-8", "replace")
