"""Gzipped bodies: what comes out is what went in, whoever packs; nothing tells when."""

import gzip
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from connector.formats import gzipped


@given(st.binary() | st.text().map(str.encode), st.sampled_from([1, 6, 9]))
def test_it_is_unpacked_as_it_was(body: bytes, level: int) -> None:
    packed = gzipped.compress(body, level)
    assert gzip.decompress(packed) == body
    assert packed == gzipped.compress(body, level)
    assert packed[:4] == b"\x1f\x8b\x08\x00"
    assert packed[4:8] == bytes(4)


def test_without_the_faster_libraries_the_standard_ones_do_the_work() -> None:
    code = (
        "import sys; sys.modules['orjson'] = sys.modules['isal'] = None;"
        "from connector.formats import gzipped, jsonl;"
        "print(jsonl._loads is jsonl.pure_loads, gzipped.compress(b'x') == gzipped.pure(b'x', 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
