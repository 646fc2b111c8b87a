"""JSON lines."""

import json

import pytest

from connector.formats import jsonl


def test_one_ascii_line_without_white_space() -> None:
    line = jsonl.dumps({"b": "é\n\u2028", "a": [1, 2.5, None]})
    assert line == '{"b":"\\u00e9\\n\\u2028","a":[1,2.5,null]}'
    assert json.loads(line) == {"b": "é\n\u2028", "a": [1, 2.5, None]}


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError):
        jsonl.dumps({"a": float("nan")})
