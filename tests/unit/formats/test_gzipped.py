"""Gzipped bodies and parts of a state: what comes out is what went in, whoever packs; nothing tells when."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats import gzipped

PACKERS: list[Callable[[bytes], bytes]] = [zlib.compress, gzip.compress, gzipped.compress]


@given(st.binary() | st.text().map(str.encode), st.sampled_from([1, 6, 9]))
def test_it_is_unpacked_as_it_was(body: bytes, level: int) -> None:
    packed = gzipped.compress(body, level)
    assert gzip.decompress(packed) == body
    assert packed == gzipped.compress(body, level)
    assert packed[:4] == b"\x1f\x8b\x08\x00"
    assert packed[4:8] == bytes(4)


@given(st.binary(max_size=300), st.sampled_from(PACKERS), st.integers(0, 400))
def test_it_is_unpacked_up_to_a_size(body: bytes, packer: Callable[[bytes], bytes], most: int) -> None:
    packed = packer(body)
    for unpacked in (gzipped.decompress, gzipped.pure_decompress):
        if len(body) <= most:
            assert unpacked(packed, most) == body
        else:
            with pytest.raises(ValueError, match="more than"):
                unpacked(packed, most)


@given(st.binary(max_size=60), st.sampled_from(PACKERS), st.data())
def test_what_is_damaged_is_judged_alike_and_named_in_the_same_words(
    body: bytes, packer: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    packed = bytearray(packer(body))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(packed[: data.draw(st.integers(0, len(packed)))])
    for damaged in (bytes(packed), cut, cut + b"more"):
        said = []
        for unpacked in (gzipped.decompress, gzipped.pure_decompress):
            try:
                said.append(unpacked(damaged, 100))
            except ValueError as error:
                said.append(str(error).encode())
        assert said[0] == said[1]


BODIES = st.binary() | st.text().map(str.encode) | st.lists(st.sampled_from([b'{"id":"', b'"},', b"x"])).map(b"".join)


@given(BODIES)
def test_a_part_of_a_state_is_read_whichever_library_packed_it(body: bytes) -> None:
    for packed in (gzipped.deflate(body), gzipped.pure_deflate(body)):
        assert zlib.decompress(packed) == body
        assert gzipped.inflate(packed) == body


@given(BODIES, st.data())
def test_a_damaged_part_is_as_damaged_to_either_library(body: bytes, draw: st.DataObject) -> None:
    packed = bytearray(gzipped.deflate(body))
    at = draw.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= draw.draw(st.integers(1, 255))
    for damaged in (bytes(packed), bytes(packed[:at])):
        found: list[bytes | None] = []
        for inflate in (gzipped.inflate, gzipped.pure_inflate):
            try:
                found.append(inflate(damaged))
            except zlib.error:
                found.append(None)
        assert found[0] == found[1]


def test_without_the_faster_libraries_the_standard_ones_do_the_work() -> None:
    code = (
        "import sys; sys.modules['orjson'] = sys.modules['isal'] = None;"
        "from connector.formats import gzipped, jsonl;"
        "print(jsonl._loads is jsonl.pure_loads, gzipped.compress(b'x') == gzipped.pure(b'x', 1));"
        "print(gzipped.deflate(b'x') == gzipped.pure_deflate(b'x'), gzipped._inflate is gzipped.pure_inflate);"
        "print(gzipped._decompress is gzipped.pure_decompress)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\nTrue True\nTrue\n"
