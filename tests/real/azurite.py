"""Azurite's blob service on loopback for tests, in memory, on a port of its own; only what was started here is ended.

Its account and key are the fixed ones every Azurite has (Microsoft, "Use the Azurite emulator"): no secret of anybody.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import missing, program

_START_S = 30.0
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """The connection string of a running, empty Azurite. Skips or fails without it (needs.py)."""
    node = program("node", hint="apt-get install npm")
    home = os.environ.get("SECURESCORE_AZURITE", "")
    main = Path(home or "/nowhere", "node_modules/azurite/dist/src/blob/main.js")
    if not main.is_file():
        missing("Azurite is missing: tests/real/get_azurite.sh FOLDER, then set SECURESCORE_AZURITE=FOLDER")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ("--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence", "--loose")
    with (folder / "azurite.log").open("wb") as log:
        process = subprocess.Popen(
            [node, str(main), *flags, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(process, port, folder / "azurite.log")
            url = f"http://127.0.0.1:{port}/{_ACCOUNT}"
            yield (f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={url};")
        finally:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"Azurite did not start: {log.read_text(errors='replace')}")
