"""Azurite on loopback for tests, in memory, on ports of its own; only what was started here is ended.

Its account and key are the fixed ones every Azurite has (Microsoft, "Use the Azurite emulator"): no secret of anybody.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import field, frozen

from tests.needs import missing, program

_START_S = 30.0
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azurite(folder: Path, *, access_log: bool = False) -> Iterator[str]:
    """The connection string of a running, empty blob service. Skips or fails without Azurite (needs.py).

    With `access_log` each request is a line of `azurite.log` in the folder.
    """
    with _running(folder, "dist/src/blob/main.js", ("blob",), silent=not access_log) as ports:
        url = f"http://127.0.0.1:{ports['blob']}/{_ACCOUNT}"
        yield f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={url};"


@frozen
class Account:
    """Blob and queue services behind TLS that take tokens of Microsoft Entra's form, and `sas` for everything else."""

    blob: str
    queue: str
    sas: str = field(repr=False)


@contextmanager
def account(folder: Path, cert_file: Path, key_file: Path) -> Iterator[Account]:
    """A running, empty storage account. Azurite looks at a token's audience and times, not at its signature."""
    from azure.storage.blob import generate_account_sas  # noqa: PLC0415 - an extra

    main = "dist/src/azurite.js"
    flags = ("--oauth", "basic", "--cert", str(cert_file), "--key", str(key_file))
    with _running(folder, main, ("blob", "queue", "table"), *flags) as ports:
        expiry = datetime.now(UTC) + timedelta(days=1)
        sas = generate_account_sas(_ACCOUNT, _KEY, "sco", "rwdlacup", expiry, services="bq")
        blob, queue = (f"https://127.0.0.1:{ports[service]}/{_ACCOUNT}" for service in ("blob", "queue"))
        yield Account(blob, queue, sas)


@contextmanager
def _running(
    folder: Path, script: str, services: Sequence[str], *more: str, silent: bool = True
) -> Iterator[dict[str, int]]:
    """Port by service while it runs."""
    node = program("node", hint="apt-get install npm")
    home = os.environ.get("SECURESCORE_AZURITE", "")
    main = Path(home or "/nowhere", "node_modules/azurite", script)
    if not main.is_file():
        missing("Azurite is missing: tests/real/get_azurite.sh FOLDER, then set SECURESCORE_AZURITE=FOLDER")
    ports = _free_ports(services)
    flags = ["--silent"] if silent else []
    flags += ["--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence", "--loose"]
    for service, port in ports.items():
        flags += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
    log = folder / "azurite.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [node, str(main), *flags, *more], cwd=folder, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        )
        try:
            for port in ports.values():
                _wait(process, port, log)
            yield ports
        finally:
            process.kill()
            process.wait()


def _free_ports(services: Sequence[str]) -> dict[str, int]:
    with ExitStack() as held:
        probes = {service: held.enter_context(socket.socket()) for service in services}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {service: probe.getsockname()[1] for service, probe in probes.items()}


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"Azurite did not start: {log.read_text(errors='replace')}")
