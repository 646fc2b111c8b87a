"""Names and bytes of what stores/documents_write.py writes: self-checking, so that a torn document is never believed.

Pure. A document is MAGIC, the SHA-256 and the length of what follows, then a compressed JSON header and raw blobs.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from connector.formats import gzipped

MAGIC = b"securescore document 1\n"
MAX_HEADER_BYTES = 256 * 1024**2
MAX_EVENTS_BYTES = 1024**3
"""A document is our own, but what is read is checked: nothing inflates beyond this."""
MAX_KEY = 150
RESERVED = frozenset({"sinks", "damaged"})
"""First steps of names that are no tenant's."""

_PLAIN = re.compile(rb"[a-z0-9-]")
_KEY = re.compile(r"(?:[a-z0-9-]|_[0-9a-f]{2})+")


@frozen
class Unpacked:
    """`digest` is the SHA-256 (hex) of the whole content; `blobs` what followed the header."""

    digest: str
    header: Mapping[str, Any]
    blobs: bytes


def pack(header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """The bytes of a document."""
    top = zlib.compress(json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode("ascii"), 6)
    body = b"".join((len(top).to_bytes(4, "big"), top, *blobs))
    return b"".join((MAGIC, hashlib.sha256(body).digest(), len(body).to_bytes(8, "big"), body))


def unpack(raw: bytes) -> Unpacked:
    """The reverse of `pack`. Raises ValueError, saying what is wrong, for anything that `pack` did not make."""
    start = len(MAGIC) + 40
    if raw[: len(MAGIC)] != MAGIC or len(raw) < start + 4:
        raise ValueError("not a document of this version, or cut off in its first bytes")
    length = int.from_bytes(raw[start - 8 : start], "big")
    if len(raw) - start != length:
        raise ValueError(f"{len(raw) - start} bytes where {length} were written")
    body = raw[start:]
    if hashlib.sha256(body).digest() != raw[len(MAGIC) : len(MAGIC) + 32]:
        raise ValueError("the content does not have its SHA-256")
    size = int.from_bytes(body[:4], "big")
    header = json.loads(gzipped.decompress(body[4 : 4 + size], MAX_HEADER_BYTES))
    if not isinstance(header, dict):
        raise ValueError("no header")  # noqa: TRY004 - the one error of this function
    return Unpacked(raw[len(MAGIC) : len(MAGIC) + 32].hex(), header, body[4 + size :])


def name_of(series: str, n: int) -> str:
    """The name of a log's document."""
    return f"{series}/{n:012d}"


def key_of(text: str) -> str | None:
    """A tenant or sink as one step of a name, in [a-z0-9_-] only; None for one that is too long to be one."""
    if not text:
        return "_"
    if len(text) > MAX_KEY:
        return None
    raw = text.encode("utf-8", "surrogatepass")
    key = "".join(chr(c) if _PLAIN.match(bytes([c])) else f"_{c:02x}" for c in raw)
    if key in RESERVED:
        key = f"_{raw[0]:02x}{key[1:]}"
    return key if len(key) <= MAX_KEY else None


def text_of(key: str) -> str:
    """The reverse of `key_of`. Raises ValueError for what is no key."""
    if key == "_":
        return ""
    if not _KEY.fullmatch(key):
        raise ValueError(f"no key: {key!r}")
    raw = re.sub(r"_([0-9a-f]{2})|(.)", lambda m: f"{int(m[1], 16):02x}" if m[1] else f"{ord(m[2]):02x}", key)
    return bytes.fromhex(raw).decode("utf-8", "surrogatepass")
