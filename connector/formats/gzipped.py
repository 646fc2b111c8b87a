"""Bodies for a receiver or a store, gzipped (RFC 1952), without a time stamp; bodies of others, unpacked as they come
in; and parts of a state, in zlib's own format (RFC 1950). Pure.

The only module that knows of a faster library for them (isal, the extra `[fast]`). What is unpacked is the same
whatever packs or unpacks it; the packed bytes differ, as they do between releases of zlib. What is kept for long is
packed by zlib, whose higher levels are smaller (observe/evidence.py).
"""

import gzip
import zlib
from typing import Any

FAST = 1
"""The level of what is sent once: a little larger than the default one, for a third of the work."""


_GZIP, _ZLIB_OR_GZIP = zlib.MAX_WBITS + 16, zlib.MAX_WBITS + 32
_OWN = b"\x1f\x8b\x08\x00"
"""How gzip begins where neither a name nor a comment is in its head: of what may be there isal reads less than zlib."""


def pure(body: bytes, level: int) -> bytes:
    return gzip.compress(body, level, mtime=0)


def pure_decompress(data: bytes, max_bytes: int) -> bytes:
    """As `decompress`; what is wrong is said in zlib's words."""
    inflater = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
    try:
        plain = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not inflater.eof or len(plain) > max_bytes:
        raise ValueError(f"more than {max_bytes} bytes, or cut off")
    return plain


def pure_deflate(body: bytes) -> bytes:
    return zlib.compress(body, FAST)


def pure_inflate(body: bytes) -> bytes:
    return zlib.decompress(body)


try:
    from isal import igzip, isal_zlib
except ImportError:  # an extra, which need not be there
    _fast, _decompress, _deflate, _inflate = pure, pure_decompress, pure_deflate, pure_inflate
    _library: Any = zlib
else:
    _library = isal_zlib

    def _fast(body: bytes, level: int) -> bytes:
        """Its levels 0 to 3 are its own; its 1 is smaller than zlib's, and five times as fast."""
        return igzip.compress(body, level, mtime=0)

    def _decompress(data: bytes, max_bytes: int) -> bytes:
        """What `compress` makes; anything else, and what is damaged, is left to zlib, to be judged and named."""
        if not data.startswith(_OWN):
            return pure_decompress(data, max_bytes)
        inflater = isal_zlib.decompressobj(wbits=_GZIP)
        try:
            plain: bytes = inflater.decompress(data, max_bytes + 1)
        except isal_zlib.error:  # type: ignore[misc]  # a class, though its stub says otherwise
            return pure_decompress(data, max_bytes)
        return plain if inflater.eof and len(plain) <= max_bytes else pure_decompress(data, max_bytes)

    def _deflate(body: bytes) -> bytes:
        return isal_zlib.compress(body, FAST)

    def _inflate(body: bytes) -> bytes:
        try:
            return isal_zlib.decompress(body)
        except isal_zlib.error:  # type: ignore[misc]  # a class, though its stub says otherwise
            return pure_inflate(body)  # which says what is wrong


def compress(body: bytes, level: int = FAST) -> bytes:
    return _fast(body, level) if level == FAST else pure(body, level)


def decompress(data: bytes, max_bytes: int) -> bytes:
    """The reverse, and that of zlib's format, up to a size. Raises ValueError."""
    return _decompress(data, max_bytes)


def deflate(body: bytes) -> bytes:
    """In zlib's format."""
    return _deflate(body)


def inflate(body: bytes) -> bytes:
    """The reverse. Raises zlib.error."""
    return _inflate(body)


MAX_MEMBERS = 64
"""A body is one member; somebody may join a few. Thousands, each empty, would be work without end."""


class Damaged(ValueError):
    """What is called gzip is none, or not any more."""


class Unpacking:
    """A body as it comes in, piece by piece: the caller says how much of it he takes, so that no bomb goes off.

    `library` does the work where a member begins as ours do, zlib elsewhere.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library or _library
        self._member: Any = None
        self._members = 0

    def feed(self, packed: bytes, max_bytes: int) -> bytes:
        """What the next piece holds, but no more than so much (at least 1): when it is that much, there may be more.

        Raises Damaged.
        """
        found: list[bytes] = []
        try:
            while packed and max_bytes > 0:
                if self._member is None:
                    self._members += 1
                    if self._members > MAX_MEMBERS:
                        raise Damaged(f"more than {MAX_MEMBERS} members")
                    library = self._library if packed.startswith(_OWN) else zlib
                    self._member = library.decompressobj(wbits=_GZIP)
                found.append(self._member.decompress(packed, max_bytes))
                max_bytes -= len(found[-1])
                packed = b""
                if self._member.eof:
                    packed, self._member = self._member.unused_data, None
        except (zlib.error, self._library.error) as error:
            raise Damaged(str(error)) from None
        return found[0] if len(found) == 1 else b"".join(found)

    @property
    def is_whole(self) -> bool:
        """Whether it may end here."""
        return self._member is None
