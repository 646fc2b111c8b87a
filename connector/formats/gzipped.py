"""Bodies on their way to a receiver, gzipped (RFC 1952), without a time stamp; and parts of a state, in zlib's own
format (RFC 1950). Pure.

The only module that knows of a faster library for them (isal, the extra `[fast]`). What is unpacked is the same
whatever packed it; the packed bytes differ, as they do between releases of zlib. What is kept for long is packed by
zlib, whose higher levels are smaller (observe/evidence.py).
"""

import gzip
import zlib

FAST = 1
"""The level of what is sent once: a little larger than the default one, for a third of the work."""


def pure(body: bytes, level: int) -> bytes:
    return gzip.compress(body, level, mtime=0)


def pure_deflate(body: bytes) -> bytes:
    return zlib.compress(body, FAST)


def pure_inflate(body: bytes) -> bytes:
    return zlib.decompress(body)


try:
    from isal import igzip, isal_zlib
except ImportError:  # an extra, which need not be there
    _fast, _deflate, _inflate = pure, pure_deflate, pure_inflate
else:

    def _fast(body: bytes, level: int) -> bytes:
        """Its levels 0 to 3 are its own; its 1 is smaller than zlib's, and five times as fast."""
        return igzip.compress(body, level, mtime=0)

    def _deflate(body: bytes) -> bytes:
        return isal_zlib.compress(body, FAST)

    def _inflate(body: bytes) -> bytes:
        try:
            return isal_zlib.decompress(body)
        except isal_zlib.error:  # type: ignore[misc]  # a class, though its stub says otherwise
            return pure_inflate(body)  # which says what is wrong


def compress(body: bytes, level: int = FAST) -> bytes:
    return _fast(body, level) if level == FAST else pure(body, level)


def deflate(body: bytes) -> bytes:
    """In zlib's format."""
    return _deflate(body)


def inflate(body: bytes) -> bytes:
    """The reverse. Raises zlib.error."""
    return _inflate(body)
