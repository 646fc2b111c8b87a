"""The packages of this run, built once."""

import runpy
import shutil
from pathlib import Path

import pytest

from tests.artefacts import host_packages, splunk_packages
from tests.artefacts.splunk_knowledge import KNOWLEDGE


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> host_packages.Built:
    base = tmp_path_factory.getbasetemp()
    return host_packages.shared((base if worker_id == "master" else base.parent) / "host")


@pytest.fixture(scope="session")
def splunk(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> splunk_packages.Packages:
    base = tmp_path_factory.getbasetemp()
    return splunk_packages.shared((base if worker_id == "master" else base.parent) / "splunk")


@pytest.fixture(scope="session")
def lookups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All lookup files, those that the build makes of our tables, too."""
    folder = tmp_path_factory.mktemp("lookups")
    shutil.copytree(KNOWLEDGE / "lookups", folder, dirs_exist_ok=True)
    for name, text in runpy.run_path(str(KNOWLEDGE.parent / "build.py"))["control_lookups"]().items():
        (folder / name).write_text(text)
    return folder
