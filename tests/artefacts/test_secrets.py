"""No file of the project holds a credential: patterns of the providers, and long random words after a telling name."""

import math
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.artefacts.test_project import ROOT, project_files

# Written so that no pattern finds itself.
PATTERNS = {
    "private key": r"-----BEGI[N] (?:\w+ )*PRIVATE KEY",
    "signed token": r"\bey[J][\w-]{20,}\.ey[J][\w-]{20,}\.[\w-]{20,}",
    "Entra client secret": r"\b[\w~.-]{3}[78]Q~[\w~.-]{31,34}\b",
    "Azure storage key": r"AccountKe[y]=[A-Za-z0-9+/]{86}==",
    "shared access signature": r"[?&]si[g]=[A-Za-z0-9%]{40,}",
    "cloud access key": r"\bAKI[A][A-Z0-9]{16}\b",
    "forge token": r"\b(?:gh[pousr]|glpa[t])[_-]\w{20,}",
}
NAMED = re.compile(r"(?i)(?:secret|token|password|api_?key)[\"']?\s*[:=]\s*[\"']([A-Za-z0-9+/_~.-]{24,})[\"']")
# The well-known key of the storage emulator is public by design: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
EMULATOR = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq"
INVENTED = {("tests/unit/signin/test_refusals.py", "signed token")}
"""Made up where a test shows that the like of it is never logged: (file, pattern)."""


def entropy(text: str) -> float:
    """Bits a character: words lie near 3.5, random base64 above 4.2."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def findings(text: str) -> list[str]:
    found = [name for name, pattern in PATTERNS.items() for hit in re.findall(pattern, text) if EMULATOR not in hit]
    return found + [f"random word {word[:4]}…" for word in NAMED.findall(text) if entropy(word) > 4.2]


def test_no_file_holds_a_credential() -> None:
    files = [path for path in project_files() if path.stat().st_size < 5_000_000]
    assert ROOT / "README.md" in files
    found = {(path.relative_to(ROOT).as_posix(), hit) for path in files for hit in findings(read(path))}
    assert found - INVENTED == set()


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "eyJ" + "a" * 24 + ".eyJ" + "b" * 24 + "." + "c" * 43,
        "abc8" + "Q~" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
        'client_secret: "' + "qT7v_Zk3Lw9xR2mB8nY5cH1dF6gJ4sPa" + '"',
    ],
)
def test_the_scan_would_find_one(text: str) -> None:
    assert findings(text) != []
