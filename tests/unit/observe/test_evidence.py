"""The evidence archive: replaced whole, checkable with sha256sum, expired by day, never in the way."""

import gzip
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.clock import SimulatedClock
from connector.errors import Unavailable
from connector.model import EvidenceFile
from connector.observe.evidence import SUMS, Evidence, read_sums
from tests.needs import program

TENANT = "11111111-1111-1111-1111-111111111111"
DAY = "2026-11-22"


def archive(root: Path, keep_days: int = 400) -> Evidence:
    return Evidence(root, keep_days, SimulatedClock(datetime(2026, 11, 23, 9, tzinfo=UTC)))


def pages(kind: str, count: int, text: bytes = b"{}") -> list[EvidenceFile]:
    return [EvidenceFile(f"{kind}-{n}.json", text) for n in range(1, count + 1)]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_day_is_kept_as_received_and_can_be_checked(tmp_path: Path) -> None:
    await archive(tmp_path / "raw").save(TENANT, pages("secureScores", 2, b'{"value": []}'), DAY)
    folder = tmp_path / "raw" / TENANT / DAY
    assert names(folder) == {"secureScores-1.json.gz", "secureScores-2.json.gz", SUMS}
    assert gzip.decompress((folder / "secureScores-1.json.gz").read_bytes()) == b'{"value": []}'
    checked = subprocess.run(
        [program("sha256sum", hint="apt-get install coreutils"), "--strict", "-c", SUMS], cwd=folder, check=False
    )
    assert checked.returncode == 0


async def test_what_is_kept_is_compared_with_its_hashes(tmp_path: Path) -> None:
    evidence = archive(tmp_path)
    await evidence.save(TENANT, pages("secureScores", 3), DAY)
    folder = tmp_path / TENANT / DAY
    (folder / "secureScores-2.json.gz").write_bytes(b"something else")
    (folder / "secureScores-3.json.gz").unlink()
    sums = read_sums(folder)
    assert await evidence.verified(TENANT, [DAY, "2026-11-21", "../..", ""]) == [
        (DAY, f"secureScores-{n}.json.gz", sums[f"secureScores-{n}.json.gz"], state)
        for n, state in ((1, "verified"), (2, "altered"), (3, "missing"))
    ]


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await archive(tmp_path / "raw").save(TENANT, pages("secureScores", 1), DAY)
    finally:
        os.umask(before)
    for path in (tmp_path / "raw").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "raw").stat().st_mode & 0o077 == 0


async def test_what_lies_under_a_temporary_name_is_not_written_into(tmp_path: Path) -> None:
    """Root's recovery runs in the folder of the service account, which could lay a link there."""
    precious = tmp_path / "of-root"
    precious.write_text("precious")
    folder = tmp_path / "raw" / TENANT / DAY
    folder.mkdir(parents=True)
    for name in (SUMS, "secureScores-1.json.gz"):
        (folder / f".{name}.new").symlink_to(precious)
    await archive(tmp_path / "raw").save(TENANT, pages("secureScores", 1), DAY)
    assert precious.read_text() == "precious"
    assert names(folder) == {"secureScores-1.json.gz", SUMS}
    assert not (folder / SUMS).is_symlink()


async def test_the_last_read_of_a_day_replaces_the_earlier_ones(tmp_path: Path) -> None:
    """A shorter list takes its old pages along; the other kind, unchanged and so not given, stays."""
    evidence = archive(tmp_path)
    await evidence.save(TENANT, pages("secureScores", 2, b"1") + pages("secureScoreControlProfiles", 2, b"1"), DAY)
    await evidence.save(TENANT, pages("secureScores", 1, b"2"), DAY)
    folder = tmp_path / TENANT / DAY
    kept = {"secureScores-1.json.gz", "secureScoreControlProfiles-1.json.gz", "secureScoreControlProfiles-2.json.gz"}
    assert names(folder) == kept | {SUMS}
    assert set(read_sums(folder)) == kept
    assert gzip.decompress((folder / "secureScores-1.json.gz").read_bytes()) == b"2"


async def test_a_read_of_few_days_does_not_take_away_the_long_one_of_the_same_day(tmp_path: Path) -> None:
    """First contact reads 90 days, an hour later four are enough: both are evidence of that day."""
    evidence = archive(tmp_path)
    await evidence.save(TENANT, pages("secureScores", 2, b"9" * 90), DAY)
    await evidence.save(TENANT, pages("secureScores", 1, b"4" * 4), DAY)
    await evidence.save(TENANT, pages("secureScores", 1, b"5" * 4), DAY)
    folder = tmp_path / TENANT / DAY
    kept = {"secureScores-0-1.json.gz", "secureScores-0-2.json.gz", "secureScores-1.json.gz"}
    assert set(read_sums(folder)) == kept
    assert names(folder) == kept | {SUMS}
    assert gzip.decompress((folder / "secureScores-0-2.json.gz").read_bytes()) == b"9" * 90
    assert gzip.decompress((folder / "secureScores-1.json.gz").read_bytes()) == b"5" * 4
    assert subprocess.run(["sha256sum", "--strict", "-c", SUMS], cwd=folder, check=False).returncode == 0


async def test_the_same_bytes_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        await archive(tmp_path / name).save(TENANT, pages("secureScores", 1, b"x" * 1000), DAY)
    assert read_sums(tmp_path / "a" / TENANT / DAY) == read_sums(tmp_path / "b" / TENANT / DAY)


async def test_days_past_retention_go(tmp_path: Path) -> None:
    evidence = archive(tmp_path, keep_days=10)
    for day in ("2026-11-01", "2026-11-11", "2026-11-12", DAY):
        await evidence.save(TENANT, pages("secureScores", 1), day)
    (tmp_path / TENANT / "1234567890").mkdir()
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    assert names(tmp_path / TENANT) == {"2026-11-12", DAY, "1234567890"}


async def test_a_day_from_the_future_expires_nothing(tmp_path: Path) -> None:
    evidence = archive(tmp_path, keep_days=10)
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    await evidence.save(TENANT, pages("secureScores", 1), "2099-01-01")
    assert names(tmp_path / TENANT) == {DAY, "2099-01-01"}


async def test_a_disk_that_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    evidence = archive(tmp_path)
    await evidence.save(TENANT, pages("secureScores", 1, b"old"), DAY)
    folder = tmp_path / TENANT / DAY
    (folder / ".secureScores-1.json.gz.new").mkdir()  # a write to it fails, whoever we are
    with pytest.raises(Unavailable, match="evidence") as caught:
        await evidence.save(TENANT, pages("secureScores", 1, b"new"), DAY)
    assert "raw.path" in caught.value.hint
    assert gzip.decompress((folder / "secureScores-1.json.gz").read_bytes()) == b"old"


async def test_damaged_sums_are_written_anew(tmp_path: Path) -> None:
    evidence = archive(tmp_path)
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    (tmp_path / TENANT / DAY / SUMS).write_bytes(b"\xff\xfe\x00nonsense\n\n")
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    assert set(read_sums(tmp_path / TENANT / DAY)) == {"secureScores-1.json.gz"}


async def test_forget_takes_one_tenant_only(tmp_path: Path) -> None:
    evidence = archive(tmp_path)
    for tenant in (TENANT, "other"):
        await evidence.save(tenant, pages("secureScores", 1), DAY)
    await evidence.forget(TENANT)
    await evidence.forget(TENANT)
    assert names(tmp_path) == {"other"}


async def test_evidence_that_cannot_be_forgotten_is_said(tmp_path: Path) -> None:
    (tmp_path / TENANT).write_text("a file in the way")
    with pytest.raises(Unavailable, match="cannot be deleted"):
        await archive(tmp_path).forget(TENANT)
    shutil.rmtree(tmp_path)
