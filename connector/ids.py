"""Every hash and id: content hash of a day, deterministic event ids. SHA-256 only, no clock, no randomness.

The same stored state and the same input give the same id on any machine (DESIGN §6).
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from attrs import Factory, define

from connector.model import Control, Day, moved


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 (hex) over the canonical ASCII JSON of a value; key order does not matter."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode())


@lru_cache(maxsize=4096)
def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 4) + 0.0:.4f}"  # + 0.0: a negative zero is a zero


@define
class Lines:
    """What `content_hash` wrote of the last day, for the next one: in the days of one read, a control that did not move
    is one object. `places` says where the line of each control stands among the sorted ones.
    """

    controls: Mapping[str, Control] = Factory(dict)
    places: Mapping[str, int] = Factory(dict)
    text: list[str] = Factory(list)


def content_hash(day: Day, lines: Lines | None = None) -> str:
    """SHA-256 (hex) of what Graph keeps when it strips history: totals and each control's name, score, percentage.

    Numbers are rounded to 4 decimals, controls sorted by name, so that neither order nor number formatting matters.
    Names are quoted as in JSON: a name with separators in it cannot pass for two controls. `lines` may be shared by the
    days of one read.
    """
    lines = Lines() if lines is None else lines
    if day.controls.keys() == lines.places.keys():
        for name in moved(lines.controls, day.controls):
            lines.text[lines.places[name]] = _line(day.controls[name])
    else:
        names = sorted(day.controls)
        lines.text = [_line(day.controls[name]) for name in names]
        lines.places = {name: place for place, name in enumerate(names)}
    lines.controls = day.controls
    head = f"{_number(day.score)}|{_number(day.max_score)}"
    return sha256("\n".join([head, *lines.text]).encode("ascii"))


def _line(control: Control) -> str:
    return f"{quoted(control.name)}|{_number(control.score)}|{_number(control.percent)}"


def event_id(tenant_id: str, event_type: str, subject: str, before: str, after: str, occurrence: int = 0) -> str:
    """UUID text from the first 16 bytes of SHA-256 over the ASCII JSON array [1, tenant, type, subject, before, after].

    What comes once more after its opposite is no copy: then the number of earlier tellings stands as seventh element.
    Version 8 and the RFC 9562 variant are set by hand (`uuid.UUID(version=8)` fails before Python 3.14).
    """
    again = f",{occurrence}" if occurrence else ""
    text = f"[1,{','.join(map(quoted, (tenant_id, event_type, subject, before, after)))}{again}]"
    raw = bytearray(hashlib.sha256(text.encode("ascii")).digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
