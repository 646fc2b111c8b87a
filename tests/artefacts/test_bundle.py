"""The offline bundle: installs without a network, and refuses a file that was altered."""

import os
import subprocess
import tarfile
from pathlib import Path

from tests.artefacts.host_packages import Built


def unpack(host: Built, into: Path) -> Path:
    with tarfile.open(host.bundle) as archive:
        archive.extractall(into, filter="data")
    (folder,) = into.iterdir()
    return folder


def install(folder: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """Run the installer with no package index to ask: pip's configuration is off, and so is the network's address."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHON": "/usr/bin/python3", "PIP_CONFIG_FILE": os.devnull}
    env |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    words = ["sh", str(folder / "install.sh"), str(into)]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=180)


def test_it_installs_without_a_network(host: Built, tmp_path: Path) -> None:
    done = install(unpack(host, tmp_path / "bundle"), tmp_path / "venv")
    assert done.returncode == 0, done.stdout + done.stderr
    words = [str(tmp_path / "venv/bin/securescore"), "--help"]
    assert "demo" in subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def test_an_altered_wheel_is_refused_twice(host: Built, tmp_path: Path) -> None:
    """By the checksum of the bundle, and, should that be forged as well, by the lock."""
    folder = unpack(host, tmp_path / "bundle")
    wheel = next(folder.glob("wheels/attrs-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    done = install(folder, tmp_path / "venv")
    assert done.returncode != 0
    assert "attrs" in done.stdout + done.stderr
    assert not (tmp_path / "venv").exists()
    (folder / "SHA256SUMS").write_text("")
    text = (folder / "install.sh").read_text().replace("sha256sum --check --quiet SHA256SUMS", ":")
    (folder / "install.sh").write_text(text)
    done = install(folder, tmp_path / "venv")
    assert done.returncode != 0
    assert "HASHES" in done.stdout + done.stderr


def test_a_folder_that_is_no_environment_is_left_alone(host: Built, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    done = install(unpack(host, tmp_path / "bundle"), tmp_path / "mine")
    assert done.returncode == 1
    assert "name another folder" in done.stderr
    assert (tmp_path / "mine/file").exists()
