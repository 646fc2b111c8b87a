"""One JSON object per line: ASCII-escaped, compact, no NaN. Pure; the canonical event is formats/cloudevents.py."""

import json
from collections.abc import Mapping
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode  # made once


def dumps(record: Mapping[str, Any]) -> str:
    """One line without its end. Raises ValueError for NaN, TypeError for what JSON cannot hold."""
    return _encode(record)
