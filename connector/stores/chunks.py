"""Events as the rows of sqlite_events.py hold them: some of one commit together, compressed.

Pure. A chunk is a run of events of one entry and one moment of observation, so that whatever is found, purged or
forgotten by those is so by whole chunks; it is bounded, so that what is damaged is. Its body is gzipped lines of
canonical JSON, whatever packed them; its ids stand beside it and are known without it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import starmap
from typing import NamedTuple, TypeVar

from attrs import frozen

from connector.formats import cloudevents, gzipped, jsonl
from connector.model import STREAM_OF_TYPE, Event
from connector.stores.packing import MAX_EVENTS_BYTES

MAX_EVENTS = 256
MAX_BYTES = 512 * 1024
"""Of the lines: one event that is larger is a chunk of its own."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

Key = bytes | str
"""An id as it is indexed: the 16 octets of a UUID; any other text as it is, or in octets where it is no Unicode."""

_UUID_OCTETS, _UUID_CHARS = 16, 36
_DASHES = (8, 13, 18, 23)
_is_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
"""In the one spelling that its octets give back."""


_T = TypeVar("_T")
_Place = tuple[str, str]
"""The entry and the moment of observation: a chunk has one of each."""


class Row(NamedTuple):
    """One event that has its line already, on its way into a chunk."""

    key: Key
    tenant: str
    observed_at: str
    type: str
    line: bytes


@frozen
class Chunk:
    """What a row of the table holds, but its numbers. `types` are lines, `ids` as `packed_ids` writes them.

    Of each event its `keys` and the `octets` of its line.
    """

    keys: Sequence[Key]
    octets: Sequence[int]
    tenant: str
    observed_at: str
    types: str
    ids: bytes | str
    body: bytes

    @property
    def count(self) -> int:
        return len(self.keys)


def chunks_of(events: Iterable[Event]) -> list[Chunk]:
    """Of events in their order. Raises ValueError for one that JSON cannot hold."""
    with_lines = (((e.entry, str(e.data["observed_at"])), cloudevents.octets(e), e) for e in events)
    return list(starmap(_of_events, _bounded(with_lines)))  # which lets go of each before the next is made


def _of_events(place: _Place, lines: Sequence[bytes], events: Sequence[Event]) -> Chunk:
    return _chunk(place, lines, keys_of_texts([event.id for event in events]), {event.type for event in events})


def pack(rows: Iterable[Row]) -> Iterator[Chunk]:
    """Of rows in their order."""
    with_lines = (((row.tenant, row.observed_at), row.line, row) for row in rows)
    for place, lines, part in _bounded(with_lines):
        yield _chunk(place, lines, [row.key for row in part], {row.type for row in part})


def _bounded(items: Iterable[tuple[_Place, bytes, _T]]) -> Iterator[tuple[_Place, list[bytes], list[_T]]]:
    """What goes into one chunk each. No more is held: memory for all lines of a large commit costs more than they."""
    lines: list[bytes] = []
    part: list[_T] = []
    here, size = ("", ""), 0
    for place, line, item in items:
        if lines and (place != here or len(lines) == MAX_EVENTS or size + len(line) > MAX_BYTES):
            yield here, lines, part
            lines, part, size = [], [], 0
        here = place
        lines.append(line)
        part.append(item)
        size += len(line)
    if lines:
        yield here, lines, part


def _chunk(place: _Place, lines: Sequence[bytes], keys: Sequence[Key], types: Iterable[str]) -> Chunk:
    body = gzipped.compress(b"\n".join(lines))
    return Chunk(keys, list(map(len, lines)), *place, "\n".join(sorted(types)), packed_ids(keys), body)


def lines_of(body: bytes, count: int) -> list[bytes]:
    """The lines of a chunk. Raises ValueError, saying what is wrong, when it is not as it was written."""
    lines = gzipped.decompress(body, MAX_EVENTS_BYTES).split(b"\n")
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


def keys_of_texts(ids: Sequence[str]) -> list[Key]:
    """As `key_of` of each; at once where all of them are UUIDs, as nearly always."""
    text = "".join(ids)
    digits = text.replace("-", "")
    if (
        set(map(len, ids)) == {_UUID_CHARS}
        and len(digits) == 2 * _UUID_OCTETS * len(ids)
        and all(text[at::_UUID_CHARS] == "-" * len(ids) for at in _DASHES)
    ):
        with suppress(ValueError):  # something else than hexadecimal digits
            octets = bytes.fromhex(digits)
            if octets.hex() == digits:  # no capitals
                return list(keys_of(octets))
    return list(map(key_of, ids))


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
    in_octets = [key for key in keys if isinstance(key, bytes)]
    found = b"".join(in_octets)
    if len(in_octets) == len(keys) and len(found) == _UUID_OCTETS * len(keys):  # no key is shorter than a UUID's
        return found
    return json.dumps([id_of(key) for key in keys])


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
