"""Where a file is another account's, the remedy says whose, and with what it can be used."""

import grp
import os
from pathlib import Path
from typing import NoReturn

import pytest

from connector.config.belonging import remedy
from connector.config.yaml_file import find, text_of
from connector.errors import ConfigError

NOBODY = 65534


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of our own, looked at as somebody else."""
    monkeypatch.setattr("os.geteuid", lambda: NOBODY)
    file = tmp_path / "config.yaml"
    file.touch(0o600)
    return file


def test_who_owns_it_needs_no_sudo(tmp_path: Path) -> None:
    assert remedy(str(tmp_path / "nothere")) == ""


def test_of_another_account_its_name_is_said(other: Path) -> None:
    assert remedy(str(other)).endswith(": run the command with sudo")


@pytest.mark.parametrize(
    ("mode", "reading", "told"), [(0o640, True, True), (0o600, True, False), (0o640, False, False)]
)
def test_its_group_is_named_where_it_may_do_what_is_wanted(other: Path, mode: int, reading: bool, told: bool) -> None:
    other.chmod(mode)
    group = next(g for g in grp.getgrall() if g.gr_gid)
    if os.getuid() != 0:  # only root may give a file to any group: others have one of their own
        group = grp.getgrgid(os.getgid())
    os.chown(other, -1, group.gr_gid)
    assert (f"as a member of the group {group.gr_name}" in remedy(str(other), reading=reading)) is told


def _refusing(*_: object, **__: object) -> NoReturn:
    raise PermissionError(13, "Permission denied")


def test_a_configuration_that_may_not_be_read_is_told_with_sudo(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pathlib.Path.open", _refusing)
    with pytest.raises(ConfigError) as caught:
        text_of(str(other))
    assert "run the command with sudo" in caught.value.hint


def test_an_installed_configuration_in_a_closed_folder_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: NOBODY)
    closed = tmp_path / "closed"
    closed.mkdir(0o750)
    look = Path.stat

    def looked(path: Path, **settings: bool) -> os.stat_result:
        return look(path, **settings) if path.parent != closed else _refusing()

    monkeypatch.setattr("pathlib.Path.stat", looked)
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: Permission denied") as caught:
        find(None, {}, installed=str(closed / "config.yaml"))
    assert "run the command with sudo" in caught.value.hint
    with pytest.raises(ConfigError, match="neither"):
        find(None, {}, installed=str(tmp_path / "nothere.yaml"))
