"""The bytes of saved answers: packed, damaged, hostile; what they may become is bounded before it is held."""

import gzip
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from connector.errors import Denied, PartialRead
from connector.sources import folder
from connector.sources.folder import Reader, listing, natural


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return made.getvalue()


def bodies(path: Path, reader: Reader | None = None) -> dict[str, bytes | str]:
    """Label → bytes, or the reason there are none."""
    found = (reader or Reader()).bodies(path.name, path)
    return {label: body.what if isinstance(body, PartialRead) else body for label, body in found}


def put(path: Path, body: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_natural_order() -> None:
    names = ["scores-10.json", "scores-9.json", "Scores-1.json", "a/2.json", "scores-0-1.json"]
    assert sorted(names, key=natural) == [
        "a/2.json",
        "scores-0-1.json",
        "Scores-1.json",
        "scores-9.json",
        "scores-10.json",
    ]


def test_a_zip_is_its_members(tmp_path: Path) -> None:
    inner = {"a.json": b"1", "b/c.json.gz": gzip.compress(b"2"), "__MACOSX/a.json": b"x", "b/.DS_Store": b"x"}
    assert bodies(put(tmp_path / "x.any", zipped(inner))) == {"x.any/a.json": b"1", "x.any/b/c.json.gz": b"2"}


@pytest.mark.parametrize("size", [1_000_001, 200_000_000])
def test_a_bomb_does_not_go_off(tmp_path: Path, size: int) -> None:
    bombs = {
        "x.zip": zipped({"a.json": bytes(size)}),
        "y.gz": gzip.compress(bytes(size)),
        "z.zip": zipped({"a.gz": gzip.compress(bytes(size))}),
    }
    paths = [put(tmp_path / name, body) for name, body in bombs.items()]
    tracemalloc.start()
    found = [bodies(path, Reader(max_file_bytes=1_000_000)) for path in paths]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [next(iter(of.values())) for of in found] == [
        "x.zip/a.json: larger than 1000000 bytes",
        "y.gz: larger than 1000000 bytes",
        "z.zip/a.gz: larger than 1000000 bytes",
    ]
    assert peak < 8_000_000


def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    path = put(tmp_path / "x.zip", zipped({f"{n}.json": bytes(100_000) for n in range(20)}))
    with pytest.raises(Denied, match="more than 1000000 bytes in all files"):
        bodies(path, Reader(max_all_bytes=1_000_000))


def test_members_and_their_list_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "x.zip", zipped({f"{n}.json": b"1" for n in range(200)}))
    monkeypatch.setattr(folder, "MAX_FILES", 100)
    with pytest.raises(Denied, match="more than 100 files in archives"):
        bodies(path)
    monkeypatch.setattr(folder, "MAX_DIRECTORY_BYTES", 1_000)
    assert bodies(path) == {"x.zip": "x.zip: the list of its members is larger than 1000 bytes"}


@pytest.mark.parametrize("cut", range(0, 300, 13))
def test_a_damaged_archive_is_named(tmp_path: Path, cut: int) -> None:
    whole = zipped({"a.json": bytes(range(256)) * 4, "b.json": b"2"})
    found = bodies(put(tmp_path / "x.zip", whole[:30] + whole[30 + cut :][:-3]))
    assert all(isinstance(body, bytes) or body.startswith("x.zip") for body in found.values())
    packed = gzip.compress(bytes(range(256)) * 4)
    for body in (packed[: -cut - 1], packed[:12] + bytes(cut) + packed[12 + cut :]):
        assert len(bodies(put(tmp_path / "x.gz", body))) == 1


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    body = bytearray(zipped({"a.json": b"1"}))
    body[6] |= 1
    body[body.index(b"PK\x01\x02") + 8] |= 1
    assert bodies(put(tmp_path / "x.zip", bytes(body))) == {"x.zip/a.json": "x.zip/a.json is encrypted"}


def test_an_unusual_packing_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.json", b"1")
    (what,) = bodies(tmp_path / "x.zip").values()
    assert what == "x.zip/a.json is packed in another way than zip files usually are"


def test_every_file_is_listed_or_named(tmp_path: Path) -> None:
    for name in ("b10", "b9.csv", "SHA256SUMS", ".hidden", ".git/x", "sub/a.json"):
        put(tmp_path / name, b"")
    (tmp_path / "gone.json").symlink_to("nowhere")
    found = listing(tmp_path)
    assert list(found.files) == ["b9.csv", "b10", "sub/a.json"]
    assert found.skipped == ((".git", "hidden"), (".hidden", "hidden"), ("gone.json", "no regular file"))
