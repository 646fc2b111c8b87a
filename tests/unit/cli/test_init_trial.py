"""`securescore init --try`: what was answered is there, or it is said what is wrong or later; the file is written."""

import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connector.cli import init_trial
from connector.cli.main import main
from tests.config_example import TENANT_ID


class Receiver(socketserver.BaseRequestHandler):
    """Reads to the end, as a syslog receiver does, and closes."""

    def handle(self) -> None:
        while self.request.recv(4096):
            pass


@pytest.fixture
def port() -> Iterator[int]:
    with socketserver.TCPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def of_syslog(port: int, out: Path) -> list[str]:
    to = ["--sink", "syslog", "--address", "127.0.0.1", "--transport", "tcp", "--port", str(port)]
    return ["init", *to, "--out", str(out), "--try"]


def test_a_receiver_that_listens_is_found(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(of_syslog(port, tmp_path / "c.yaml")) == 0
    said = capsys.readouterr().out
    assert "syslog answers" in said
    assert "Register an application" in said


def test_one_that_does_not_is_told_and_the_file_is_written_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = unused_port()
    assert main(of_syslog(port, tmp_path / "c.yaml")) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"127.0.0.1:{port}/tcp: Connection refused" in said
    assert "All good" not in said
    assert f"port: {port}" in (tmp_path / "c.yaml").read_text()


def test_a_secret_that_comes_later_is_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECURESCORE_HEC_TOKEN", raising=False)
    assert main(["init", "--sink", "splunk_hec", "--out", str(tmp_path / "c.yaml"), "--try"]) == 0
    assert "not tried yet: token" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("status", "ok"), [(200, True), (400, False), (503, None)])
async def test_the_sign_in_host_says_whether_there_is_such_a_directory(status: int, ok: bool | None) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({}, status=status)

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    async with TestServer(application) as server:
        found = await init_trial.directory(str(server.make_url("")).rstrip("/"), TENANT_ID)
    assert (found.what, found.ok) == ("directory", ok)
    assert asked == [f"/{TENANT_ID}/v2.0/.well-known/openid-configuration"]


async def test_where_no_answer_comes_nothing_is_claimed() -> None:
    found = await init_trial.directory(f"http://127.0.0.1:{unused_port()}", TENANT_ID)
    assert found.ok is None
    assert found.detail.startswith("not tried: ")


def test_who_only_writes_loads_no_client(tmp_path: Path) -> None:
    command = f"import sys; from connector.cli.main import main; main(['init', '--out', {str(tmp_path / 'c.yaml')!r}])"
    wanted = "; print('aiohttp' in sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", command + wanted], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert done.stderr.decode().strip().endswith("False")
