"""`securescore init --try`: what was answered is there, or it is said what is wrong or later; the file is written."""

import asyncio
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
from attrs import evolve

from connector.cli import init, init_trial
from connector.cli.main import main
from connector.config import yaml_file
from connector.config.values import NetworkConfig
from connector.net.clouds import CLOUDS
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
        found = await init_trial.directory(str(server.make_url("")).rstrip("/"), TENANT_ID, NetworkConfig())
    assert (found.what, found.ok) == ("directory", ok)
    assert asked == [f"/{TENANT_ID}/v2.0/.well-known/openid-configuration"]


async def test_where_no_answer_comes_nothing_is_claimed() -> None:
    found = await init_trial.directory(f"http://127.0.0.1:{unused_port()}", TENANT_ID, NetworkConfig())
    assert found.ok is None
    assert found.detail.startswith("not tried: ")


@pytest.mark.parametrize("written", [True, False])
async def test_the_trial_takes_the_way_that_the_connector_will_take(
    written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the proxy that is answered, or that the environment names; and that is what the configuration says."""
    asked: list[str] = []

    async def relay(request: web.Request) -> web.Response:
        asked.append(f"{request.host}{request.path}")
        return web.json_response({})

    clouds = {"global": evolve(CLOUDS["global"], login="http://login.invalid")}
    monkeypatch.setattr(init, "CLOUDS", clouds)
    application = web.Application()
    application.router.add_route("*", "/{any:.*}", relay)
    file = tmp_path / "c.yaml"
    async with TestServer(application) as proxy:
        url = str(proxy.make_url("")).rstrip("/")
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9" if written else url)
        answers = ["--tenant-id", TENANT_ID, *(["--proxy", url] if written else [])]
        assert await asyncio.to_thread(main, ["init", *answers, "--out", str(file), "--try"]) == 0
    assert asked == [f"login.invalid/{TENANT_ID}/v2.0/.well-known/openid-configuration"]
    network = yaml_file.read_yaml(file.read_text("utf-8"), "c.yaml").value["network"]
    assert network == {"proxy": url if written else "env"}
    said = capsys.readouterr().out
    assert "login.invalid knows it" in said
    assert f"goes through {url if written else 'the proxy that the environment names'}" in said


def test_a_proxy_whose_password_comes_later_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proxy = ["--proxy", "http://me:${env:NO_SUCH_PASSWORD}@proxy.example:3128"]
    assert main(["init", "--tenant-id", TENANT_ID, *proxy, "--out", str(tmp_path / "c.yaml"), "--try"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not tried yet: ${env:NO_SUCH_PASSWORD}: the environment variable is not set" in said


@pytest.mark.parametrize("proxy", ["proxy.example", "http://me:literal@proxy.example:3128", "socks5://proxy:1080"])
def test_what_is_no_proxy_is_refused_before_anything_is_written(
    proxy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--proxy", proxy, "--out", str(tmp_path / "c.yaml")]) == 2
    assert "--proxy: " in capsys.readouterr().err
    assert not (tmp_path / "c.yaml").exists()


@pytest.mark.parametrize(
    ("said", "shell", "service"),
    [
        ("http://proxy.example:3128", "env", "http://proxy.example:3128"),
        ("proxy.example:3128", "env", "http://proxy.example:3128"),
        ("http://me:secret@proxy.example:3128", "env", "http://proxy.example:3128"),
        ("socks5://proxy.example:1080", None, None),
        ("", None, None),
    ],
)
def test_what_the_environment_says_of_a_proxy(said: str, shell: str | None, service: str | None) -> None:
    """The service has an environment of its own, and no password goes from ours into its file."""
    assert init.surroundings_proxy({"HTTPS_PROXY": said}, "c.yaml") == shell
    assert init.surroundings_proxy({"all_proxy": said}, "/etc/secure-score-connector/config.yaml") == service
    assert init.surroundings_proxy({"http_proxy": said}, "c.yaml") is None


def test_who_only_writes_loads_no_client(tmp_path: Path) -> None:
    command = f"import sys; from connector.cli.main import main; main(['init', '--out', {str(tmp_path / 'c.yaml')!r}])"
    wanted = "; print('aiohttp' in sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", command + wanted], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert done.stderr.decode().strip().endswith("False")
