"""Events as the rows of sqlite_events.py hold them: some of one commit together, compressed.

Pure. A chunk is a run of events of one entry and one moment of observation, so that whatever is found, purged or
forgotten by those is so by whole chunks; it is bounded, so that what is damaged is. Its body is gzipped lines of
canonical JSON, whatever packed them; its ids stand beside it and are known without it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from attrs import frozen

from connector.formats import cloudevents, gzipped, jsonl
from connector.model import STREAM_OF_TYPE, Event
from connector.stores.packing import MAX_EVENTS_BYTES, inflate

MAX_EVENTS = 256
MAX_BYTES = 512 * 1024
"""Of the lines: one event that is larger is a chunk of its own."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

Key = bytes | str
"""An id as it is indexed: the 16 octets of a UUID; any other text as it is, or in octets where it is no Unicode."""

_UUID_OCTETS = 16
_is_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
"""In the one spelling that its octets give back."""


class Row(NamedTuple):
    """One event on its way into a chunk."""

    key: Key
    tenant: str
    observed_at: str
    type: str
    line: bytes


@frozen
class Chunk:
    """What a row of the table holds, but its numbers. `types` are lines, `ids` as `packed_ids` writes them."""

    count: int
    tenant: str
    observed_at: str
    types: str
    ids: bytes | str
    body: bytes


def row_of(event: Event) -> Row:
    """Raises ValueError for an event that JSON cannot hold."""
    line = cloudevents.dumps(event).encode("ascii")
    return Row(key_of(event.id), event.entry, str(event.data["observed_at"]), event.type, line)


def pack(rows: Sequence[Row]) -> Iterator[Chunk]:
    """In their order."""
    for (tenant, observed_at), run in groupby(rows, attrgetter("tenant", "observed_at")):
        for part in _bounded(list(run)):
            yield Chunk(
                len(part),
                tenant,
                observed_at,
                "\n".join(sorted({row.type for row in part})),
                packed_ids([row.key for row in part]),
                gzipped.compress(b"\n".join([row.line for row in part])),
            )


def _bounded(rows: list[Row]) -> Iterator[list[Row]]:
    start = size = 0
    for place, row in enumerate(rows):
        if place > start and (place - start == MAX_EVENTS or size + len(row.line) > MAX_BYTES):
            yield rows[start:place]
            start, size = place, 0
        size += len(row.line)
    yield rows[start:]


def lines_of(body: bytes, count: int) -> list[bytes]:
    """The lines of a chunk. Raises ValueError, saying what is wrong, when it is not as it was written."""
    lines = inflate(body, MAX_EVENTS_BYTES).split(b"\n")
    if len(lines) != count:
        raise ValueError(f"{len(lines)} events where {count} were written")
    return lines


# --------------------------------------------------------------------------------------------------------------- ids


def key_of(event_id: str) -> Key:
    """Different for different ids."""
    if _is_uuid(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    try:
        event_id.encode()
    except UnicodeEncodeError:
        return bytes(_UUID_OCTETS + 1) + event_id.encode("utf-8", "surrogatepass")  # longer than a UUID's
    return event_id


def id_of(key: Key) -> str:
    if isinstance(key, str):
        return key
    if len(key) != _UUID_OCTETS:
        return key[_UUID_OCTETS + 1 :].decode("utf-8", "surrogatepass")
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def keys_beginning(begin: str) -> list[tuple[Key, Key]]:
    """Between which keys, both included, all ids lie that begin so in any case; others may lie there, too.

    Texts come before octets (SQLite's order of storage classes), and hardly an id is a text.
    """
    digits = begin.replace("-", "").lower()
    odd: list[tuple[Key, Key]] = [("", b""), (bytes(_UUID_OCTETS + 1), bytes(_UUID_OCTETS) + b"\x01")]
    if len(digits) > 2 * _UUID_OCTETS or not set(digits) <= set("0123456789abcdef"):
        return odd
    lowest, highest = (bytes.fromhex(digits.ljust(2 * _UUID_OCTETS, end)) for end in "0f")
    return [(lowest, highest), *odd]


def packed_ids(keys: Sequence[Key]) -> bytes | str:
    """UUIDs one behind the other; where one is none, JSON of all ids."""
    plain = [key for key in keys if isinstance(key, bytes) and len(key) == _UUID_OCTETS]
    return b"".join(plain) if len(plain) == len(keys) else json.dumps([id_of(key) for key in keys])


def keys_of(ids: bytes | str) -> list[Key]:
    """The reverse of `packed_ids`. Raises ValueError."""
    if isinstance(ids, str):
        return [key_of(str(event_id)) for event_id in json.loads(ids)]
    return [ids[at : at + _UUID_OCTETS] for at in range(0, len(ids), _UUID_OCTETS)]


# ----------------------------------------------------------------------------------------------------- what remains

_TYPE = re.compile(rb'"type":"securescore\.([a-z_.]{1,60})"')
_SUBJECT = re.compile(rb'"subject":("(?:[^"\\]|\\.){0,500}")')
UNKNOWN_TYPE = "unreadable"


def remains(event_id: str, tenant: str, types: Sequence[str], observed_at: str, line: bytes) -> Event:
    """What stands for an event that cannot be read: what was kept beside it, and what its line still says."""
    found_type, found_subject = _TYPE.search(line), _SUBJECT.search(line)
    kind = found_type[1].decode("ascii") if found_type else (types[0] if len(types) == 1 else UNKNOWN_TYPE)
    try:
        subject = str(json.loads(found_subject[1])) if found_subject else ""
    except ValueError:
        subject = ""
    return Event(
        id=event_id,
        source="urn:secure-score:unreadable",
        type=kind,
        subject=subject,
        time=observed_at,
        data={
            "stream": STREAM_OF_TYPE.get(kind, "health"),
            "observed_at": observed_at,
            "tenant": {"id": tenant} if tenant else None,
            "severity": 0,
            "backfilled": False,
            "summary": "Unreadable in the state store",
        },
    )


def needle(name: str, text: str) -> bytes:
    """How an attribute of that text stands in a line of canonical JSON."""
    return f'"{name}":{jsonl.dumps(text)}'.encode("ascii")
