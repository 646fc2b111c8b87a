"""The five-minute paths of docs/first-steps.md, run as they stand there: the blocks of a section, one after the other.

Only ports are replaced, the same everywhere. What the page has a reader start in another terminal runs beside it.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connector.clock import SystemClock
from tests.fakes.hec import Splunk
from tests.fakes.loopback import serve
from tests.needs import program
from tests.real import container
from tests.real.receivers import free_ports

PAGE = (Path(__file__).parents[2] / "docs" / "first-steps.md").read_text("utf-8")
SECTIONS = {part.split("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}
SIMULATOR = re.findall(r"^```sh\n(.*?)^```", SECTIONS["Before each of them"], re.MULTILINE | re.DOTALL)[1]
STARTED = re.compile(r"(securescore simulate|rsyslogd) ")


@pytest.fixture
def ports() -> dict[str, str]:
    """The page's port → one that is free here; the sign-in host of the simulator is at the port after its own."""
    own, receiver, collector = free_ports(3)
    return {"8099": str(own), "8100": str(own + 1), "10514": str(receiver), "8088": str(collector)}


def blocks(title: str, ports: dict[str, str]) -> list[str]:
    found = re.findall(r"^```sh\n(.*?)^```", SECTIONS[title], re.MULTILINE | re.DOTALL)
    return [with_ports(block, ports) for block in found]


def with_ports(text: str, ports: dict[str, str]) -> str:
    return re.sub(rf"\b({'|'.join(ports)})\b", lambda match: ports[match[1]], text)


def shell(script: str, folder: Path) -> subprocess.Popen[str]:
    where = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    command = [program("bash", hint="apt-get install bash"), "-euo", "pipefail", "-c", script]
    out = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PATH": where}, stdout=out, stderr=out, text=True, start_new_session=True
    )


@contextmanager
def beside(script: str, folder: Path, port: str, file: str = ".") -> Iterator[None]:
    """A program in another terminal, once it listens and has written that file, until the path is walked."""
    process = shell(script, folder)
    try:
        wait = f"until [ -s {file} ] && (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done"
        waiting = shell(wait, folder)
        try:
            waiting.communicate(timeout=20)
        finally:
            if waiting.poll() is None:
                os.killpg(waiting.pid, signal.SIGKILL)
        assert process.poll() is None, process.communicate()
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=20)


def walk(title: str, folder: Path, ports: dict[str, str]) -> str:
    """What the commands of a section say; each must end well."""
    (folder / "try").mkdir()
    with beside(with_ports(SIMULATOR, ports), folder, ports["8100"], "try/sim/securescore.yaml"):
        return steps(blocks(title, ports), folder, ports)


def steps(todo: list[str], folder: Path, ports: dict[str, str]) -> str:
    said = ""
    for at, script in enumerate(todo):
        if STARTED.search(script):
            with beside(script, folder, ports["10514"]):
                return said + steps(todo[at + 1 :], folder, ports)
        process = shell(script, folder)
        out, errors = process.communicate(timeout=600)
        assert process.returncode == 0, out + errors
        said += out
    return said


def test_a_first_cef_line_in_rsyslog(tmp_path: Path, ports: dict[str, str]) -> None:
    program("rsyslogd", hint="apt-get install rsyslog")
    said = walk("A first CEF line in rsyslog", tmp_path, ports)
    assert "CEF:0|SecureScoreConnector|Secure Score|" in said.splitlines()[-1]


async def test_to_a_splunk_http_event_collector(tmp_path: Path, ports: dict[str, str]) -> None:
    collector = Splunk(SystemClock())
    async with serve(collector) as server:
        ports["8088"] = str(server.port)
        await asyncio.to_thread(walk, "To a Splunk HTTP Event Collector", tmp_path, ports)
    kinds = {stored.sourcetype for stored in collector.indexed}
    assert {"ms:securescore:score", "ms:securescore:inventory", "ms:securescore:change"} <= kinds


def test_to_a_report(tmp_path: Path, ports: dict[str, str]) -> None:
    said = walk("To a report", tmp_path, ports)
    assert "contoso" in said
    assert (tmp_path / "try" / "contoso.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_in_a_container(tmp_path: Path, ports: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real Podman; the base of the image is a Debian of this machine, and its wheels lie in the checkout."""
    container.stored(tmp_path)
    checkout = container.clone(tmp_path)
    with tempfile.TemporaryDirectory() as run:
        monkeypatch.setenv("PATH", f"{container.podman(tmp_path, Path(run))}:{os.environ['PATH']}")
        said = walk("In a container", checkout, ports)
    assert "residual" in said
    assert (checkout / "try" / "container.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_many_tenants(tmp_path: Path, ports: dict[str, str]) -> None:
    said = walk("Many tenants", tmp_path, ports)
    assert "northwind" in said
    gold, rest = ((tmp_path / "try" / name).read_text("utf-8") for name in ("gold.jsonl", "rest.jsonl"))
    assert all((f'"name":"{name}"' in gold) == (name != "northwind") for name in ("contoso", "fabrikam", "northwind"))
    assert '"name":"northwind"' in rest
    assert "northwind" in (tmp_path / "try" / "all.html").read_text("utf-8")


def test_air_gap(tmp_path: Path, ports: dict[str, str]) -> None:
    said = walk("Air gap", tmp_path, ports)
    assert "residual" in said
    assert "securescore.score.changed" in (tmp_path / "try" / "airgap.jsonl").read_text("utf-8")


def test_every_path_of_the_page_is_walked_here() -> None:
    told = Path(__file__).read_text("utf-8")
    paths = [title for title in SECTIONS if title != "Before each of them"]
    assert [title for title in paths if f'"{title}", ' not in told] == []
