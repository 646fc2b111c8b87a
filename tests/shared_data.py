"""Real captured responses that are not part of this repository: SECURESCORE_SHARED_DATA, or ../shared/data."""

import os
from pathlib import Path

from tests.needs import missing

HEIMDALL_TENANT = "12345678-1234-1234-1234-1234567890ab"


def shared_data(name: str) -> Path:
    """The path of a capture; skips with the reason where the folder is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SECURESCORE_SHARED_DATA") or default)
    path = folder / name
    if not path.is_file():
        missing(f"real captures are not here: set SECURESCORE_SHARED_DATA to the folder that holds {name}")
    return path
