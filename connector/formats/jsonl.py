"""One JSON object per line: ASCII-escaped, compact, no NaN. Pure; the canonical event is formats/cloudevents.py."""

import json
from collections.abc import Mapping
from typing import Any

# Made once, and without looking for circles, which is much of the work: a circle is a RecursionError.
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def dumps(record: Mapping[str, Any]) -> str:
    """One line without its end. Raises ValueError for NaN, TypeError or RecursionError for what JSON cannot hold."""
    return _encode(record)
