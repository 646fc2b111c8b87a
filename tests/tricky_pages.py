"""Pages as Graph sends them and as it never would: what reads a page in pieces must not be misled by any."""

import json
import math
from typing import Any


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def two_days(**fields: Any) -> list[dict[str, Any]]:
    """A page's documents: the same two controls in both days, with these fields in one of them."""
    rows: list[Any] = [{"controlName": "A", "score": 1.0, "text": ""}, {"controlName": "B", "score": 2.0} | fields]
    return [{"id": 1, "controlScores": rows, "after": [1]}, {"id": 2, "controlScores": rows}]


TRICKY: tuple[Any, ...] = (
    *("},{", "}]", "]", '"controlScores":[{', "\\", '\\"},{"x":1', "Infinity", "é\ud800", "[{", "{}"),
    *([{"a": 1}, {"b": 2}], [[{}]], {"controlScores": [{"x": 1}]}, [], {}, None, math.nan, math.inf, -math.inf, "NaN"),
)
