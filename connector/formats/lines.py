"""A record's payload as one line of UTF-8, whatever it holds: the last guard before a line-based wire.

Pure. Formats escape line breaks themselves; this guard only sees to it that a hostile or faulty payload never becomes
two lines, two frames or an encoding error.
"""

from collections.abc import Mapping
from typing import Any

from connector.foreign.characters import harmless, is_harmless
from connector.formats import jsonl

_BREAKS = {0x0A: "\\n", 0x0D: "\\r"}


def one_line(payload: str | Mapping[str, Any]) -> str:
    r"""The payload as harmless text; a mapping becomes compact ASCII JSON, keys in order.

    Line breaks stay visible as `\n` and `\r`; a tab stays, it is LEEF's delimiter.

    Raises ValueError or TypeError for a mapping that is not JSON (NaN, infinities, foreign objects).
    """
    if not isinstance(payload, str):
        return jsonl.dumps(dict(payload))
    if is_harmless(payload):
        return payload
    return "\t".join(map(harmless, payload.translate(_BREAKS).split("\t")))


def octets(text: str) -> bytes:
    """UTF-8; a lone surrogate (legal in JSON text, not in UTF-8) becomes a question mark."""
    return text.encode("utf-8", "replace")
