r"""ArcSight Common Event Format, CEF:0: header and extension → one line, exactly escaped, within its field lengths.

No field choice (mappings/cef.yaml) and no transport (sinks/syslog.py) live here. Source: OpenText CEF Implementation
Standard v27. Header: `\` and `|` are escaped, nothing else. Extension: `\`, `=`, LF as `\n`, CR as `\r`; never `|`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from connector.foreign.characters import harmless, is_harmless
from connector.formats.text import as_text, cut_chars

MAX_VENDOR, MAX_VERSION, MAX_CLASS_ID, MAX_NAME = 63, 31, 1023, 512
"""Most characters of the header fields; the product is bounded as the vendor."""

_ORDINAL = range(1, 7)
LIMITS: Mapping[str, int] = {
    **dict.fromkeys(("act", "outcome"), 63),
    "app": 31,
    **dict.fromkeys(("cat", "reason", "msg", "request"), 1023),
    **dict.fromkeys(("suser", "duser", "suid", "duid", "shost", "dhost"), 1023),
    "dvchost": 100,
    "deviceExternalId": 255,
    "externalId": 40,
    "fileHash": 255,
    **{f"cs{n}": 4000 for n in _ORDINAL},
    **{f"flexString{n}Label": 128 for n in (1, 2)},
}
"""Most characters of an extension value before escaping; any other key holds DEFAULT_LIMIT."""

DEFAULT_LIMIT = 1023

CUSTOM = frozenset(
    [f"cs{n}" for n in range(1, 7)]
    + [f"cn{n}" for n in range(1, 4)]
    + [f"cfp{n}" for n in range(1, 5)]
    + [f"c6a{n}" for n in range(1, 5)]
    + [f"deviceCustomDate{n}" for n in (1, 2)]
    + ["flexString1", "flexString2", "flexDate1", "flexNumber1", "flexNumber2"]
)
"""Keys that mean nothing without their `…Label`; a label without its key is left out."""

LABELS: Mapping[str, str] = {f"{key}Label": key for key in CUSTOM}
"""Each label's key → the key that it explains."""
NO_LABELS: Mapping[str, str] = {}

_HEADER_UNSAFE = re.compile(r"[\\|]")
_VALUE_ESCAPES = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})
_BREAKS = re.compile("([\r\n])")
_CLASS_ID_UNSAFE = re.compile(r"[=%#]")


@lru_cache(maxsize=256)
def header(vendor: str, product: str, version: str, class_id: str, name: str, severity: int) -> str:
    """All in front of the extension, with the last bar. `severity` is an integer, held within 0-10."""
    class_id = _CLASS_ID_UNSAFE.sub("_", class_id)  # the standard contradicts itself on escaping these here
    fields = (
        _head(vendor, MAX_VENDOR),
        _head(product, MAX_VENDOR),
        _head(version, MAX_VERSION),
        _head(class_id, MAX_CLASS_ID),
        _head(name, MAX_NAME),
    )
    return f"CEF:0|{'|'.join(fields)}|{min(10, max(0, severity))}|"


def encode(head: str, extension: Mapping[str, Any], labels: Mapping[str, str] = NO_LABELS) -> str:
    """One CEF line of a `header` and an extension, whose order it keeps; what is empty, and labels without their value,
    is left out. `labels` are those made ready by `label`: each stands behind its key.

    A value over its field's length ends in the mark of formats/shorten.py, which also makes the line fit a frame.
    """
    limit_of = LIMITS.get
    values = {
        key: text if len(text) <= (limit := limit_of(key, DEFAULT_LIMIT)) else cut_chars(text, limit)
        for key, value in extension.items()
        if (text := (value if type(value) is str else as_text(value)).strip())
    }
    together = "".join(values.values())  # one look at all of them: most events need no escape
    if "=" in together or "\\" in together or not is_harmless(together):
        values = {key: text for key, raw in values.items() if (text := safe(raw))}
    owner_of, ready = LABELS.get, labels.get
    return head + " ".join(
        [
            f"{key}={text}{ready(key, '')}"
            for key, text in values.items()
            if (owner := owner_of(key)) is None or owner in values
        ]
    )


def label(key: str, text: str) -> str:
    """A label that is the same in every event, as `encode` wants it; "" when nothing of the text is left."""
    text = safe(cut_chars(text.strip(), LIMITS.get(key, DEFAULT_LIMIT)))
    return f" {key}={text}" if text else ""


def _head(text: str, limit: int) -> str:
    text = cut_chars(harmless(text).strip(), limit)
    return _HEADER_UNSAFE.sub(lambda m: "\\" + m[0], text)


def safe(text: str) -> str:
    """A value as it stands in the extension: escaped where it must be."""
    return _escaped(text) if "=" in text or "\\" in text or not is_harmless(text) else text


def _escaped(text: str) -> str:
    clean = "".join(part if part in ("\r", "\n") else harmless(part) for part in _BREAKS.split(text))
    return clean.strip().translate(_VALUE_ESCAPES)
