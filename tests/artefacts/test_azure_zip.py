"""The zip of the function app as a file: layout, size, pins, same bytes twice; and the script beside it."""

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests import azure_zip
from tests.artefacts.test_project import direct, pins

AZURE = azure_zip.ROOT / "packaging" / "azure"
LOCK = "packaging/azure/requirements.lock"
SITE = ".python_packages/lib/site-packages/"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    return azure_zip.shared(base if worker_id == "master" else base.parent)


def test_the_layout_is_what_the_platform_looks_for(made: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
        host = json.loads(archive.read("host.json"))
    assert {name for name in names if "/" not in name} == {"function_app.py", "host.json", "requirements.txt"}
    assert {name.split("/")[0] for name in names if "/" in name} == {".python_packages"}
    packages = {name.removeprefix(SITE).split("/")[0] for name in names if name.startswith(SITE)}
    assert {"connector", "sinks", "mappings", "aiohttp", "msal", "azure_functions_runtime"} <= packages
    assert packages.isdisjoint({"bin", "pip", "tests", "rich", "prometheus_client"})
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".py[co]"))] == []
    queues = host["extensions"]["queues"]
    assert queues["newBatchThreshold"] == queues["batchSize"] - 1, "or a slow tenant holds up the next batch"
    assert queues["visibilityTimeout"] != "00:00:00", "a failed message must not come back at once"


def test_the_size_is_bounded(made: Path) -> None:
    assert 8 * 1024**2 < made.stat().st_size < 16 * 1024**2
    with zipfile.ZipFile(made) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) < 64 * 1024**2


def test_compiled_parts_are_for_the_platform(made: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".so")]
    assert len(compiled) > 5
    assert [n for n in compiled if not re.search(r"\.(?:cpython-313-x86_64-linux-gnu|abi3)\.so$", n)] == []


def test_two_builds_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    assert azure_zip.build(tmp_path, made.parent / "wheels").read_bytes() == made.read_bytes()


def test_pins_are_those_of_the_project_and_of_the_tested_worker() -> None:
    locked, dev = pins(LOCK), pins("requirements-dev.lock")
    assert {n: v for n, v in locked.items() if dev.get(n, v) != v} == {}
    assert len(set(locked) & set(dev)) > 15
    lines = (AZURE / "requirements.in").read_text().splitlines()
    wanted = direct([line.split("#")[0].strip() for line in lines if line[:1].isalpha()])
    assert {canonicalize_name(one.name) for one in wanted} <= set(locked)
    assert all(version in one.specifier for one in wanted for version in locked[canonicalize_name(one.name)])
    entries = (azure_zip.ROOT / LOCK).read_text().replace("\\\n", " ").splitlines()
    assert [e for e in entries if e.strip() and not re.search(r"^[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}\b", e)] == []


AZ = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
    *"cloud show"*) echo "$CLOUD" ;;
    *"appRoleAssignments --query"*) echo "$GRANTED" ;;
    *"--query id"*) echo resource-id ;;
    *"appRoles[?value=='SecurityEvents.Read.All'].id"*) echo role-id ;;
esac
"""


def grant(folder: Path, cloud: str = "AzureCloud", granted: str = "") -> tuple[subprocess.CompletedProcess[str], str]:
    az = folder / "az"
    az.write_text(AZ)
    az.chmod(0o755)
    log = folder / "log"
    log.touch()
    environ = {"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(log), "CLOUD": cloud, "GRANTED": granted}
    script = str(AZURE / "grant-graph-permission.sh")
    done = subprocess.run(["sh", script, "principal-id"], env=environ, capture_output=True, text=True, check=False)
    return done, log.read_text()


def test_the_script_grants_the_one_permission_once(tmp_path: Path) -> None:
    done, asked = grant(tmp_path)
    assert done.returncode == 0, done.stderr
    post = [line for line in asked.splitlines() if "--method post" in line]
    assert len(post) == 1
    assert "https://graph.microsoft.com/v1.0/servicePrincipals/principal-id/appRoleAssignments" in post[0]
    body = json.loads(post[0].partition("--body ")[2])
    assert body == {"principalId": "principal-id", "resourceId": "resource-id", "appRoleId": "role-id"}
    (tmp_path / "log").write_text("")
    done, asked = grant(tmp_path, granted="assignment-id")
    assert done.stdout == "SecurityEvents.Read.All is granted already\n"
    assert "--method post" not in asked


def test_the_script_knows_the_clouds(tmp_path: Path) -> None:
    _, asked = grant(tmp_path, cloud="AzureUSGovernment")
    assert "https://graph.microsoft.us/v1.0/" in asked
    done, _ = grant(tmp_path, cloud="AzureChinaCloud")
    assert done.returncode == 1
    assert "no Secure Score API" in done.stderr
