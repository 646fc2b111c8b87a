"""Records as the Logs Ingestion API of Azure Monitor takes them: rows within its limits, packed into JSON arrays.

Pure: where they go, and what becomes of them, is the sink's. Source: Azure Monitor, "Logs Ingestion API" and "Azure
Monitor service limits" (1 MB a call, 64 KB a field; longer fields are cut there without a word).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from connector.formats import bodies, jsonl
from connector.formats.shorten import MARK
from connector.formats.text import cut_octets

MAX_BODY_BYTES = 1_000_000
"""One call, uncompressed, brackets and commas counted. What exactly the service measures is not documented."""
MAX_FIELD_BYTES = 64_000
"""One column's value in UTF-8: below 64 KB in either meaning."""
SHORTENED = "Shortened"
"""The column that names the shortened ones."""

_LEAST_FIELD_BYTES = 250


def row(
    payload: str | Mapping[str, Any], max_bytes: int = MAX_BODY_BYTES - 2, *, encoded: bytes | None = None
) -> bytes:
    """The octets (ASCII JSON) of one record, shortened and marked where the service would cut or refuse it.

    `payload` is an object, or the text of one; `encoded` its octets where they are known. Raises ValueError with the
    reason when no row can be made of it.
    """
    if encoded is not None and payload and len(encoded) <= MAX_FIELD_BYTES and len(encoded) <= max_bytes:
        return encoded  # as nearly all are: no column can be too long
    found = _object(payload)
    data = _dumps(found) if encoded is None else encoded
    limit = MAX_FIELD_BYTES
    if len(data) <= min(limit, max_bytes):
        return data
    while True:
        data = _dumps(_shortened(found, limit))
        if len(data) <= max_bytes:
            return data
        limit //= 2
        if limit < _LEAST_FIELD_BYTES:
            raise ValueError(f"{len(data)} bytes with every column shortened, the service takes {max_bytes}")


def _object(payload: str | Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = json.loads(payload) if isinstance(payload, str) else payload
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(found, Mapping) or not found:
        raise ValueError("the mapping gives no columns")
    return found


def _dumps(found: Mapping[str, Any]) -> bytes:
    try:
        return jsonl.dumps(found).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


# -------------------------------------------------------------------------------------------------------- shortening


def _shortened(found: Mapping[str, Any], max_field_bytes: int) -> dict[str, Any]:
    """The columns with longer values cut, and their names in SHORTENED."""
    result = {name: _cut(value, max_field_bytes) for name, value in found.items()}
    names = [name for name, value in found.items() if result[name] is not value]
    if names:
        result[SHORTENED] = names
    return result


def _cut(value: Any, max_bytes: int) -> Any:
    """The value itself when it fits; else its beginning, as text, list or object, with MARK behind it."""
    if isinstance(value, str):
        return cut_octets(value, max_bytes)
    if not isinstance(value, list | tuple | Mapping) or _octets(value) <= max_bytes:
        return value
    room = max_bytes - len(MARK) - 10  # the mark itself, its quotes, a value and the brackets
    if isinstance(value, Mapping):
        kept = list(_fitting(((name, inner) for name, inner in value.items()), room))
        return {**dict(kept), MARK: True}
    return [*_fitting(value, room), MARK]


_Part = TypeVar("_Part")
_Row = TypeVar("_Row", bound=bodies.Line)


def _fitting(parts: Iterable[_Part], room: int) -> Iterable[_Part]:
    """The first parts that fit, commas counted."""
    for part in parts:
        room -= _octets(part) + 1
        if room < 0:
            return
        yield part


def _octets(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


# ----------------------------------------------------------------------------------------------------------- packing


def packed(rows: Iterable[_Row], max_bytes: int) -> list[list[_Row]]:
    """The rows in batches whose arrays have at most `max_bytes`; a larger row goes alone."""
    return bodies.packed(rows, max_bytes, brackets=2)


def body(rows: Sequence[bodies.Line]) -> bytes:
    """The JSON array of a batch."""
    return b"[" + b",".join([each.data for each in rows]) + b"]"
