"""A logo is a small picture of a kind that cannot run, whatever its file is called; anything else is refused."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import ConfigError
from connector.report.logo import MAX_BYTES, MAX_PIXELS, logo
from connector.report.markup import open_tag
from tests.fakes.pictures import png


def jpeg(width: int, height: int) -> bytes:
    """As far as the header of the frame, with a segment before it."""
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"text"
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + comment + frame + b"\xff\xd9"


def webp(kind: bytes, body: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


LOSSY = webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 40, 30) + b"\x00" * 8)
LOSSLESS = webp(b"VP8L", b"\x2f" + struct.pack("<I", 39 | 29 << 14) + b"\x00" * 8)
EXTENDED = webp(b"VP8X", b"\x00\x00\x00\x00" + (39).to_bytes(3, "little") + (29).to_bytes(3, "little"))


@pytest.mark.parametrize(
    ("data", "kind", "size"),
    [
        (png(40, 30), "png", (40, 30)),
        (jpeg(40, 30), "jpeg", (40, 30)),
        (LOSSY, "webp", (40, 30)),
        (LOSSLESS, "webp", (40, 30)),
        (EXTENDED, "webp", (40, 30)),
    ],
    ids=["png", "jpeg", "lossy", "lossless", "extended"],
)
def test_a_picture_is_what_its_first_bytes_say(data: bytes, kind: str, size: tuple[int, int]) -> None:
    found = logo("anything.txt", data)
    assert (found.width, found.height) == size
    head, _, body = found.uri.partition(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(body) == data
    assert open_tag("img", src=found.uri).startswith("<img src=")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no PNG, JPEG or WebP picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "is no PNG"),
        (b"GIF89a" + bytes(40), "is no PNG"),
        (b"%PDF-1.7", "is no PNG"),
        (png(4, 4)[:20], "is no PNG"),
        (b"\xff\xd8\xff\xe0", "is no PNG"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x02" * 9, "is no PNG"),
        (b"RIFF\x00\x00\x00\x00WEBPVP9 ", "is no PNG"),
        (png(4, 4)[:16] + struct.pack(">II", 0, 4) + bytes(40), "0 by 4 pixels"),
        (png(4, 4)[:16] + struct.pack(">II", MAX_PIXELS + 1, 4) + bytes(40), f"at most {MAX_PIXELS}"),
        (png(4, 4)[:16] + struct.pack(">II", 4, 2**32 - 1) + bytes(40), f"at most {MAX_PIXELS}"),
        (png(4, 4) + bytes(MAX_BYTES), "at most 256 kB"),
    ],
    ids=[
        *("nothing", "svg", "gif", "pdf", "cut png", "cut jpeg", "jpeg without frame", "odd webp"),
        *("no width", "wide", "high", "heavy"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(data: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        logo("logo.png", data)
    assert says in caught.value.problems[0]
    assert "logo.png" in caught.value.problems[0]


@given(st.binary(max_size=64), st.sampled_from((b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8L")))
def test_whatever_a_file_holds_it_is_a_picture_or_refused(data: bytes, head: bytes) -> None:
    try:
        found = logo("x", head + data)
    except ConfigError:
        return
    assert 0 < found.width <= MAX_PIXELS
    assert open_tag("img", src=found.uri)
