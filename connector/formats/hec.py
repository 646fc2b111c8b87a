"""One event as Splunk's HTTP Event Collector (and its modular inputs) know it: an envelope around the event itself.

Pure: where it goes, and what becomes of it, is the sink's. Source: Splunk, "Format events for HTTP Event Collector".
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from operator import is_not
from typing import Any

from connector.formats import jsonl

KEYS = frozenset({"time", "host", "source", "sourcetype", "index", "event", "fields"})
MAX_EVENT_BYTES = 5_000_000
"""`maxEventSize` of inputs.conf."""

_PLAIN_TIME = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_WHOLE = KEYS - {"index", "fields"}


def envelope(payload: str | Mapping[str, Any], moment: str) -> dict[str, Any]:
    """The envelope of a record's payload, a new dict; `time` is plain decimal text, by default that of `moment` (ISO).

    A payload with a key `event` is an envelope already, unless it is ECS, which has a group of that name; anything
    else, text too, is the event itself. Raises ValueError with the reason when a collector could not take it.
    """
    wrapped = isinstance(payload, Mapping) and "event" in payload and "ecs" not in payload
    found = dict(payload) if isinstance(payload, Mapping) and wrapped else {"event": payload}
    if unknown := found.keys() - KEYS:
        raise ValueError(f"{min(map(str, unknown))} is no key of an HEC event")
    if not found["event"] and found["event"] != 0:
        raise ValueError("the mapping gives no event")
    found["time"] = _plain(found["time"]) if "time" in found else _epoch(moment)
    if "fields" in found and not _is_flat(found["fields"]):
        raise ValueError("fields must be a flat object")
    if not isinstance(found.get("index") or "", str):
        raise ValueError("index is no text")  # noqa: TRY004 - one kind of error for whatever is unfit
    return found


def encode(
    found: Mapping[str, Any], payload: str | Mapping[str, Any] | None = None, encoded: bytes | None = None
) -> bytes:
    """An envelope's octets: ASCII, without line feeds. Raises ValueError when it is no JSON or too large.

    Where the envelope is a `payload` whose octets are known and keys behind it, only these are written anew.
    """
    try:
        more = _behind(found, payload) if encoded and isinstance(payload, Mapping) else None
        if encoded is None or more is None:
            data = jsonl.dumps(found).encode("ascii")
        else:
            data = encoded if not more else encoded[:-1] + b"," + jsonl.dumps(more).encode("ascii")[1:]
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    return _bounded(data)


def is_whole(payload: object) -> bool:
    """Whether a payload is an envelope to which nothing but an index can be added: as those of splunk.yaml are."""
    return (
        type(payload) is dict
        and payload.keys() == _WHOLE
        and all(payload.values())
        and type(payload["time"]) is str
        and _is_plain(payload["time"])
    )


@lru_cache(maxsize=256)  # the events of a day share it
def _is_plain(time: str) -> bool:
    return _PLAIN_TIME.fullmatch(time) is not None


def whole(encoded: bytes, index: str | None) -> bytes:
    """The octets of such an envelope with an index behind it. Raises ValueError as `encode`."""
    return _bounded(encoded[:-1] + _index(index) if index else encoded)


@lru_cache(maxsize=256)
def _index(index: str) -> bytes:
    return f',"index":{jsonl.dumps(index)}}}'.encode("ascii")


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_EVENT_BYTES:
        raise ValueError(f"{len(data)} bytes, collectors take events of up to {MAX_EVENT_BYTES}")
    return data


def _behind(found: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """What stands behind the payload's own keys in an envelope; None where they are not there as they were."""
    own = list(payload)
    if not own or list(found)[: len(own)] != own or any(map(is_not, found.values(), payload.values())):
        return None
    return dict(islice(found.items(), len(own), None))


def _is_flat(fields: object) -> bool:
    return isinstance(fields, Mapping) and not any(isinstance(value, Mapping) for value in fields.values())


def _plain(value: object) -> str:
    """Plain decimal: Splunk 10 refuses scientific notation (code 15)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        value = f"{value:.3f}"
    if not isinstance(value, str) or not _is_plain(value):
        raise ValueError("time is no plain decimal of epoch seconds")
    return value


def _epoch(moment: str) -> str:
    at = datetime.fromisoformat(moment)
    return f"{(at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp():.3f}"
