"""Every hash and id: content hash of a day, deterministic event ids. SHA-256 only, no clock, no randomness.

The same stored state and the same input give the same id on any machine (DESIGN §6).
"""

import hashlib
import json
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from attrs import Factory, define

from connector.model import Day


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """SHA-256 (hex) over the canonical ASCII JSON of a value; key order does not matter."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode())


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 4) + 0.0:.4f}"  # + 0.0: a negative zero is a zero


@define
class Lines:
    """What `content_hash` wrote of the days of one read, in which a control that did not move is one object."""

    of_control: dict[int, str] = Factory(dict)
    names: list[str] = Factory(list)
    in_order: list[str] = Factory(list)


def content_hash(day: Day, lines: Lines | None = None) -> str:
    """SHA-256 (hex) of what Graph keeps when it strips history: totals and each control's name, score, percentage.

    Numbers are rounded to 4 decimals, controls sorted by name, so that neither order nor number formatting matters.
    Names are quoted as in JSON: a name with separators in it cannot pass for two controls. `lines` may be shared by the
    days of one read.
    """
    lines = Lines() if lines is None else lines
    controls, written = day.controls, lines.of_control
    for control in controls.values():
        if id(control) not in written:
            written[id(control)] = f"{quoted(control.name)}|{_number(control.score)}|{_number(control.percent)}"
    names = list(controls)
    if names != lines.names:
        lines.names, lines.in_order = names, sorted(names)
    text = [f"{_number(day.score)}|{_number(day.max_score)}"]
    text += [written[id(controls[name])] for name in lines.in_order]
    return sha256("\n".join(text).encode("ascii"))


def event_id(tenant_id: str, event_type: str, subject: str, before: str, after: str) -> str:
    """UUID text from the first 16 bytes of SHA-256 over the ASCII JSON array [1, tenant, type, subject, before, after].

    Version 8 and the RFC 9562 variant are set by hand (`uuid.UUID(version=8)` fails before Python 3.14).
    """
    text = f"[1,{','.join(map(quoted, (tenant_id, event_type, subject, before, after)))}]"
    raw = bytearray(hashlib.sha256(text.encode("ascii")).digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
