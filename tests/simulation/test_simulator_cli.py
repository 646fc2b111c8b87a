"""`securescore simulate` as a program: what it prints and writes is enough to use it."""

import asyncio
import re
import signal
import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from connector.cli.main import main


@asynccontextmanager
async def simulate(*options: str) -> AsyncIterator[str]:
    """Run the command until it says that it serves; yields what it printed, then ends it politely."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connector.cli.main", "simulate", "--port", "0", *options,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    printed = ""
    try:
        while "Ctrl-C" not in printed:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, f"ended early: {printed}"
            printed += line.decode()
        yield printed
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = await process.communicate()
        assert (process.returncode, rest) == (0, b"")


async def newest(base_url: str, token: str, context: ssl.SSLContext | None = None) -> str:
    connector = aiohttp.TCPConnector(ssl=context) if context else None
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"}) as session:
        response = await session.get(f"{base_url}/v1.0/security/secureScores?$top=1")
        return str((await response.json())["value"][0]["id"])


async def test_tenants_tokens_and_configuration_are_printed() -> None:
    async with simulate("--tenants", "2", "--seed", "7") as printed:
        base_url = re.search(r"http://127\.0\.0\.1:\d+", printed)
        tenants = re.findall(r"^  \S+ +\S+ +(\S{36}) +(simulated\.\S+)$", printed, re.MULTILINE)
        assert base_url
        assert len(tenants) == 2
        assert "curl" in printed
        assert "behind" not in printed
        assert "stale_after" not in printed
        for tenant_id, token in tenants:
            assert (await newest(base_url[0], token)).startswith(tenant_id)
        config = yaml.safe_load(printed[printed.index("graph:") : printed.index("Stop with")])
        assert config["graph"]["base_url"] == base_url[0]
        assert config["arm"]["base_url"] == config["defender_endpoint"]["base_url"] == base_url[0]
        assert [t["tenant_id"] for t in config["tenants"]] == [tenant_id for tenant_id, _ in tenants for _ in range(3)]
        assert [t.get("source") for t in config["tenants"][:3]] == [None, "defender_cloud", "defender_endpoint"]


async def test_a_folder_gets_configuration_tokens_and_certificates(tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    async with simulate("--tls", "--out", str(folder), "--start", "2026-01-15", "--tenants", "25") as printed:
        assert "… and 5 more" in printed
        config = yaml.safe_load((folder / "securescore.yaml").read_text())
        assert len(config["tenants"]) == 3 * 25
        tenant = config["tenants"][-3]
        assert config["defaults"]["auth"]["kind"] == "client_secret"
        assert config["graph"]["authority"].startswith("https://")
        token_file = folder / "tokens" / f"{tenant['name']}.token"
        for private in (token_file, folder / "server.key", folder / "client.secret"):
            assert stat.S_IMODE(private.stat().st_mode) == 0o600
        trust = ssl.create_default_context(cafile=config["network"]["ca_file"])
        base_url = config["graph"]["base_url"]
        assert base_url.startswith("https://")
        assert await newest(base_url, token_file.read_text(), trust) == f"{tenant['tenant_id']}_2026-01-15"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await newest(base_url, token_file.read_text())


async def test_whose_days_begin_in_the_past_says_so_and_is_not_called_stale(tmp_path: Path) -> None:
    async with simulate("--speed", "1440", "--tenants", "1", "--out", str(tmp_path)) as printed:
        assert "It is 60 days behind and reaches today after 60 minutes" in printed
        text = (tmp_path / "securescore.yaml").read_text()
        assert yaml.safe_load(text)["changes"] == {"stale_after": "63d"}


async def test_days_pass_while_one_watches() -> None:
    async with simulate("--speed", "1000000", "--start", "2026-01-15") as printed:
        base_url = re.search(r"http://\S+", printed)
        token = re.search(r"simulated\.\S{36}", printed)
        assert base_url
        assert token
        first = await newest(base_url[0], token[0])
        async with asyncio.timeout(60):  # a simulated day takes less than a tenth of a second
            while await newest(base_url[0], token[0]) <= first:
                await asyncio.sleep(0.05)


async def test_faults_and_habits_are_switched_on() -> None:
    fault = "not_found,path=skiptoken,after=1,times=1"
    async with simulate("--fault", fault, "--habit", "codeless", "--tenants", "1") as printed:
        base_url, token = re.search(r"http://127\.0\.0\.1:\d+", printed), re.search(r"simulated\.\S{36}", printed)
        assert base_url
        assert token
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token[0]}"}) as session:
            url, seen = f"{base_url[0]}/v1.0/security/secureScores?$top=10", []
            for _ in range(3):
                async with session.get(url) as response:
                    body = await response.json()
                    seen.append((response.status, body.get("error", {}).get("code")))
                    url = body.get("@odata.nextLink", url)
        assert seen == [(200, None), (200, None), (404, "")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tenants", "0"], "not a number from 1"),
        (["--speed", "nan"], "not a number"),
        (["--start", "yesterday"], "not a date like"),
        (["--weather", "2"], "not a number from 0 to 1"),
        (["--fault", "gremlins"], "no kind of fault"),
        (["--fault", "error,times=many"], "is none of path=TEXT"),
        (["--habit", "kindness"], "is none of unordered"),
    ],
)
def test_bad_usage_is_named(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *options]) == 2
    assert words in capsys.readouterr().err


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert main(["simulate", "--port", str(server.getsockname()[1])]) == 1
    assert "choose another --port" in capsys.readouterr().err
