"""IBM QRadar Log Event Extended Format, LEEF 2.0: header and attributes → one line.

LEEF has no escape mechanism: what would break the line is replaced. The delimiter is the tab, declared as x09. No field
choice (mappings/leef.yaml) and no transport live here. Source: IBM "QRadar LEEF" guide, LEEF 2.0 header.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from connector.foreign.characters import harmless
from connector.formats.text import as_text, cut_chars

MAX_EVENT_ID = 255
MAX_VALUE = 4000
"""Most characters of one value: above it QRadar's default payload would hold nothing else."""


@frozen
class Header:
    """The header fields less the format version; `class_id` is LEEF's EventID."""

    vendor: str
    product: str
    version: str
    class_id: str


def encode(header: Header, attributes: Mapping[str, Any]) -> str:
    """One LEEF line. Keys keep the order of `attributes`; empty values are left out.

    A value over MAX_VALUE ends in the mark of formats/shorten.py, which also makes the line fit a frame.
    """
    pairs = []
    for key, value in attributes.items():
        text = harmless(value if type(value) is str else as_text(value)).strip()
        if text:
            pairs.append(f"{key}={cut_chars(text, MAX_VALUE)}")
    fields = (_head(header.vendor), _head(header.product), _head(header.version), _head(header.class_id, MAX_EVENT_ID))
    return f"LEEF:2.0|{'|'.join(fields)}|x09|" + "\t".join(pairs)


def _head(text: str, limit: int = 63) -> str:
    return cut_chars(harmless(text).strip().replace("|", "/"), limit)
