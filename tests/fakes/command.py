"""The command line, called beside a simulated Graph that the test itself serves. No assertions live here."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from connector.cli.main import main


async def securescore(folder: Path, capture: pytest.CaptureFixture[str], words: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr, with the folder's configuration. It has an event loop of its own, in a thread."""
    code = await asyncio.to_thread(main, [*words, "-c", str(folder / "securescore.yaml")])
    out, err = capture.readouterr()
    return code, out, err
