"""Bodies on their way to a receiver, gzipped (RFC 1952), without a time stamp. Pure.

The only module that knows of a faster gzip library (isal, the extra `[fast]`). What is unpacked is the same whatever
packed it; the packed bytes differ, as they do between releases of zlib. What is kept for long is packed by zlib, whose
higher levels are smaller (observe/evidence.py).
"""

import gzip

FAST = 1
"""The level of what is sent once: a little larger than the default one, for a third of the work."""


def pure(body: bytes, level: int) -> bytes:
    return gzip.compress(body, level, mtime=0)


try:
    from isal import igzip
except ImportError:  # an extra, which need not be there
    _fast = pure
else:

    def _fast(body: bytes, level: int) -> bytes:
        """Its levels 0 to 3 are its own; its 1 is smaller than zlib's, and five times as fast."""
        return igzip.compress(body, level, mtime=0)


def compress(body: bytes, level: int = FAST) -> bytes:
    return _fast(body, level) if level == FAST else pure(body, level)
