"""Gzipped bodies as they come in: however they come, what went in comes out, and no more of it than is wanted."""

import gzip
import zlib
from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats import gzipped
from connector.formats.gzipped import MAX_MEMBERS, Damaged, Unpacking

LIBRARIES = [zlib, *([gzipped._library] if gzipped._library is not zlib else [])]
MIB = 1024 * 1024


def unpacked(pieces: Sequence[bytes], library: ModuleType, most: int = 1 << 30) -> tuple[bytes, bool]:
    """What comes out of the pieces, and whether it is the whole."""
    unpacking, found = Unpacking(library), b""
    for piece in pieces:
        found += unpacking.feed(piece, most - len(found))
    return found, unpacking.is_whole


def head(flags: int) -> bytes:
    """How a member begins that has these fields (RFC 1952, section 2.3)."""
    found = b"\x1f\x8b\x08" + bytes([flags, 0, 0, 0, 0, 0, 255])
    found += b"\x05\x00extra" if flags & 4 else b""
    found += b"name\0" if flags & 8 else b""
    found += b"comment\0" if flags & 16 else b""
    return found + (zlib.crc32(found).to_bytes(4, "little")[:2] if flags & 2 else b"")


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
class TestUnpacking:
    @given(
        bodies=st.lists(st.binary() | st.integers(0, 100_000).map(bytes), min_size=1, max_size=4),
        level=st.sampled_from([0, 1, 6, 9]),
        cuts=st.lists(st.integers(0, 200), max_size=8),
    )
    def test_however_it_comes(self, library: ModuleType, bodies: list[bytes], level: int, cuts: list[int]) -> None:
        packed = b"".join(gzip.compress(body, level) for body in bodies)
        at = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
        pieces = [packed[a:b] for a, b in pairwise(at)]
        assert unpacked(pieces, library) == (b"".join(bodies), True)

    @given(body=st.binary(min_size=1), most=st.integers(1, 300))
    def test_no_more_than_is_asked_for(self, library: ModuleType, body: bytes, most: int) -> None:
        packed = gzip.compress(body)
        found, whole = unpacked([packed], library, most)
        assert found == body[:most]
        assert whole or len(body) >= most

    def test_a_bomb_of_one_or_of_many_members_is_cut(self, library: ModuleType) -> None:
        for bomb in (gzip.compress(bytes(64 * MIB)), gzip.compress(bytes(2 * MIB)) * 32):
            assert unpacked([bomb], library, MIB) == (bytes(MIB), False)

    @given(body=st.binary(min_size=100), lost=st.integers(1, 100))
    def test_what_broke_off_is_not_whole(self, library: ModuleType, body: bytes, lost: int) -> None:
        found, whole = unpacked([gzip.compress(body)[:-lost]], library)
        assert body.startswith(found)
        assert not whole

    @pytest.mark.parametrize("size", [1, 7, 1 << 20])
    def test_a_head_may_hold_more_than_ours_do(self, library: ModuleType, size: int) -> None:
        """The faster library loses its way in a head of several fields that comes in pieces."""
        for flags in range(32):
            raw = head(flags) + gzip.compress(b"what was packed", mtime=0)[10:]
            pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
            assert unpacked(pieces, library) == (b"what was packed", True)

    def test_nothing_is_whole(self, library: ModuleType) -> None:
        assert unpacked([], library) == (b"", True)
        assert unpacked([b""], library) == (b"", True)

    @pytest.mark.parametrize(
        "packed",
        [
            b'{"not gzip": "at all"}',
            zlib.compress(b"no gzip"),
            gzip.compress(b"and then") + b"something else",
            gzip.compress(bytes(range(256)) * 99)[:-8] + bytes(8),
            gzip.compress(bytes(range(256)) * 99, 0).replace(b"ABCDE", b"ABCDF"),
            gzip.compress(b"") * (MAX_MEMBERS + 1),
        ],
        ids=["text", "zlib", "rest", "checksum", "altered", "members"],
    )
    def test_what_is_damaged_is_told(self, library: ModuleType, packed: bytes) -> None:
        with pytest.raises(Damaged):
            unpacked([packed], library)
