"""Files written whole: what lies under a name that somebody else chose is neither followed nor written into."""

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from connector.durable import creating, replacing

Way = Callable[[Path], AbstractContextManager[BinaryIO]]


def test_a_reader_sees_the_old_bytes_or_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["report.html"]  # noqa: PTH208 - names alone


def test_after_a_fault_nothing_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_what_was_put_under_the_temporary_name_is_not_written_into(tmp_path: Path) -> None:
    """Another account that may write in the folder lays a link there, or a file that it owns."""
    secret = tmp_path / "of-root"
    secret.write_bytes(b"precious")
    for kind in ("link", "file"):
        trap = tmp_path / ".report.html.new"
        if kind == "link":
            trap.symlink_to(secret)
        else:
            trap.write_bytes(b"theirs")
            trap.chmod(0o666)
        with replacing(tmp_path / "report.html") as file:
            file.write(b"ours")
        assert secret.read_bytes() == b"precious"
        made = tmp_path / "report.html"
        assert not made.is_symlink()
        assert (made.read_bytes(), stat.S_IMODE(made.stat().st_mode)) == (b"ours", 0o600)


def test_a_link_under_the_final_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "of-root"
    target.write_bytes(b"precious")
    link = tmp_path / "report.html"
    link.symlink_to(target)
    with replacing(link) as file:
        file.write(b"ours")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"precious", b"ours", False)


def test_a_new_file_is_new(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    with creating(path) as file:
        file.write(b"1")
    with pytest.raises(FileExistsError), creating(path):
        pass
    assert path.read_bytes() == b"1"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError), creating(tmp_path / "link"):
        pass
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("way", [replacing, creating])
def test_the_umask_does_not_decide(tmp_path: Path, way: Way) -> None:
    before = os.umask(0)
    try:
        with way(tmp_path / "x") as file:
            file.write(b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
