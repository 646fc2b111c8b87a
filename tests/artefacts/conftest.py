"""The host packages of this run, built once."""

import pytest

from tests.artefacts import host_packages


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> host_packages.Built:
    base = tmp_path_factory.getbasetemp()
    return host_packages.shared((base if worker_id == "master" else base.parent) / "host")
