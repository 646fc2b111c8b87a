"""A picture for the head of a report: the bytes of a file in, a data URI out. Pure.

The file is somebody's: it is taken for what its first bytes say, never for its name, and only small pictures of kinds
that hold no script are. SVG is none of them.
"""

import base64
import struct

from attrs import frozen

from connector.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_PIXELS = 2000
"""In each direction: a picture of few bytes may unfold to gigabytes."""
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@frozen
class Logo:
    uri: str
    width: int
    height: int


def logo(name: str, data: bytes) -> Logo:
    """The picture in a file of that name. Raises ConfigError for one that a report does not take."""
    if len(data) > MAX_BYTES:
        raise ConfigError(
            [f"{name}: a logo has at most {MAX_BYTES // 1024} kB, and this has more"],
            "save it smaller: 400 pixels are plenty",
        )
    kind, size = _look(data)
    if size is None:
        raise ConfigError([f"{name}: is no PNG, JPEG or WebP picture"], "save the logo as PNG")
    width, height = size
    if not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS):
        raise ConfigError(
            [f"{name}: {width} by {height} pixels; at most {MAX_PIXELS} in each direction"], "save it smaller"
        )
    return Logo(f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}", width, height)


def _look(data: bytes) -> tuple[str, tuple[int, int] | None]:
    """The kind and the size that the first bytes tell; no size for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return "png", struct.unpack(">II", data[16:24])
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg", _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp", _webp(data)
    return "", None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The size in the frame header, found segment by segment."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """The size in the first chunk, of which there are three kinds."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    return None
