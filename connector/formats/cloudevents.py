"""Event ↔ CloudEvents 1.0 structured JSON, the canonical form of an event (DESIGN §6).

ASCII-escaped, no insignificant white space, keys in a fixed order: the same event always gives the same bytes.
Source: CloudEvents 1.0.2 specification and its JSON event format.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from connector.formats import jsonl
from connector.model import Event

TYPE_PREFIX = "securescore."
DATASCHEMA = "urn:secure-score:event:1"


def document(event: Event) -> dict[str, Any]:
    """The CloudEvents object of an event; `data` is the event's own mapping, not a copy."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": TYPE_PREFIX + event.type,
        "dataschema": DATASCHEMA,
        "subject": event.subject,
        "time": event.time,
        "datacontenttype": "application/json",
        "data": event.data,
    }


def dumps(event: Event) -> str:
    """One line of canonical JSON. Raises ValueError for NaN and infinities."""
    return jsonl.dumps(document(event))


def octets(event: Event) -> bytes:
    """What `dumps` writes, as octets."""
    return jsonl.octets(document(event), _nones(event.data))


def _nones(data: Mapping[str, Any]) -> int:
    """How many None stand where they mostly stand."""
    found = int(data.get("occurred_at", "") is None)
    after = data.get("after")
    if type(after) is dict:
        get = after.get
        found += get("assigned_to", "") is None
        found += get("on", "") is None
        found += get("total", "") is None
        found += get("count", "") is None
    return found


def loads(text: str | bytes) -> Event:
    """The event of a canonical JSON text. Raises ValueError or KeyError when it is none of ours."""
    return _event(jsonl.loads(text))


def loads_all(lines: Sequence[bytes]) -> list[Event]:
    """The events of several such texts, in less time. Raises as `loads` when one of them is none of ours."""
    return list(map(_event, jsonl.loads_all(lines)))


def _event(doc: dict[str, Any]) -> Event:
    return Event(
        id=doc["id"],
        source=doc["source"],
        type=doc["type"].removeprefix(TYPE_PREFIX),
        subject=doc["subject"],
        time=doc["time"],
        data=doc["data"],
    )
