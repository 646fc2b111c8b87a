"""Files that decide what a command does must be those of who runs it."""

import os
from pathlib import Path

import pytest
from attrs import evolve

from connector.config.trust import strangers, untrusted
from connector.config.values import AuthConfig, NetworkConfig
from tests.config_example import minimal, parsed

NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "m.yaml"
    path.parent.mkdir(0o700)
    path.touch(0o600)
    return path


def test_a_file_of_ones_own_has_no_strangers(file: Path) -> None:
    assert strangers(str(file)) is None


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "words"),
    [
        (0o644, 0o755, None),
        (0o602, 0o755, "anybody may write it"),
        (0o644, 0o777, "anybody may write its folder"),
        (0o644, 0o1777, None),  # sticky: others may add files there, but not replace this one
    ],
)
def test_what_others_may_write(file: Path, file_mode: int, folder_mode: int, words: str | None) -> None:
    file.chmod(file_mode)
    file.parent.chmod(folder_mode)
    found = strangers(str(file))
    assert (found is None) if words is None else (words in str(found))


def test_a_group_of_others_counts_and_ones_own_does_not(file: Path) -> None:
    file.chmod(0o660)
    assert strangers(str(file)) is None
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, -1, NOBODY)
    assert strangers(str(file)) == "group nogroup may write it"


def test_another_owner_counts_whoever_runs(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, NOBODY, NOBODY)
    assert strangers(str(file)) == "it belongs to nobody"
    assert strangers(str(file), NOBODY) is None, "its folder is root's"
    os.chown(file.parent, 1, 1)
    assert "its folder" in str(strangers(str(file), NOBODY))


def test_root_is_told_of_every_file_that_somebody_else_could_change(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("for root alone")
    config = parsed(minimal())
    (sink, *_), (tenant, *_) = config.sinks, config.tenants
    named = evolve(
        config,
        base_dir=str(file.parent),
        tenants_file=file.name,
        network=NetworkConfig(ca_file=str(file)),
        sinks=(evolve(sink, mapping=str(file.with_name("other.yaml"))),),
        tenants=(evolve(tenant, auth=AuthConfig("certificate", {"file": str(file.with_name("app.pem"))})),),
    )
    assert untrusted(named) == [], "what does not exist is told by who needs it"
    for name in ("other.yaml", "app.pem"):
        file.with_name(name).touch(0o600)
    assert untrusted(named) == []
    for path in file.parent.iterdir():
        os.chown(path, NOBODY, NOBODY)
    found = untrusted(named)
    assert [problem.split(": ")[0] for problem in found] == [
        "tenants_file",
        "network.ca_file",
        f"sinks.{sink.name}.mapping",
        f"tenants.{tenant.name}.auth.file",
    ]
    assert all("belongs to nobody" in problem for problem in found)
