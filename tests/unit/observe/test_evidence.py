"""The evidence archive: replaced whole, checkable with sha256sum, expired by day, never in the way."""

import errno
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.clock import SimulatedClock
from connector.errors import Unavailable
from connector.model import EvidenceFile
from connector.observe.evidence import SUMS, Evidence, read_sums
from tests.fakes.folder import quick_folder
from tests.needs import program

TENANT = "11111111-1111-1111-1111-111111111111"
DAY = "2026-11-22"


def archive(root: Path, keep_days: int = 400) -> Evidence:
    return Evidence(root, keep_days, SimulatedClock(datetime(2026, 11, 23, 9, tzinfo=UTC)))


def pages(kind: str, count: int, text: bytes = b"{}") -> list[EvidenceFile]:
    return [EvidenceFile(f"{kind}-{n}.json", text) for n in range(1, count + 1)]


class Refusal:
    """A disk that fails from some step on: whatever would open, make, rename or remove a file there is refused.

    It listens to the interpreter's audit events, which come before the deed.
    """

    def __init__(self) -> None:
        self.below: str | None = None
        self.left = 0
        self.opened: set[Path] = set()
        self.watching = False

    def from_now_on(self, below: Path, step: int) -> None:
        self.below, self.left = str(below), step

    def nothing(self) -> None:
        self.below = None

    def watch(self) -> None:
        self.opened, self.watching = set(), True

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"} or not isinstance(
            args[0], str | Path
        ):
            return
        if event == "open" and self.watching:
            self.opened.add(Path(args[0]))
        if self.below is None or not str(args[0]).startswith(self.below):
            return
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(args[0]))


REFUSAL = Refusal()
sys.addaudithook(REFUSAL.hear)


@pytest.fixture
def refuse() -> Iterator[Refusal]:
    yield REFUSAL
    REFUSAL.nothing()
    REFUSAL.watching = False


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
        (DAY, f"secureScores-{n}.json.gz", sums[f"secureScores-{n}.json.gz"][0], state)
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


async def test_a_file_that_nobody_listed_is_told(tmp_path: Path) -> None:
    evidence = archive(tmp_path)
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    (tmp_path / TENANT / DAY / "secureScores-2.json.gz").write_bytes(b"laid there")
    told = [(name, digest, state) for _, name, digest, state in await evidence.verified(TENANT, [DAY])]
    assert told[1] == ("secureScores-2.json.gz", "", "unlisted")
    assert told[0][2] == "verified"


@pytest.mark.parametrize("first", [pages("secureScores", 3, b"9" * 90), pages("secureScores", 1, b"4" * 4), []])
async def test_a_save_cut_short_anywhere_leaves_nothing_altered_and_nothing_missing(
    first: list[EvidenceFile], refuse: Refusal
) -> None:
    """Whichever step is refused: what is told is true at once, and the next save makes it whole."""
    second = pages("secureScores", 2, b"5" * 4) + pages("secureScoreControlProfiles", 1)
    steps = 0
    with quick_folder() as folder:
        for step in range(200):
            evidence = archive(folder / str(step), keep_days=10)
            if first:
                await evidence.save(TENANT, first, DAY)
                await evidence.save(TENANT, first, "2026-11-02")
            refuse.from_now_on(evidence.root, step)
            try:
                await evidence.save(TENANT, second, DAY)
            except Unavailable:
                steps += 1
            else:
                break
            finally:
                refuse.nothing()
            states = {state for *_, state in await evidence.verified(TENANT, [DAY, "2026-11-02"])}
            assert states <= {"verified", "unlisted"}, step
            await evidence.save(TENANT, second, "2026-11-23")  # the day after, the list is settled
            assert all(len(digests) == 1 for digests in read_sums(evidence.root / TENANT / DAY).values()), step
            await evidence.save(TENANT, second, DAY)
            assert {state for *_, state in await evidence.verified(TENANT, [DAY])} == {"verified"}, step
            kept = {gzip.decompress(path.read_bytes()) for path in (evidence.root / TENANT / DAY).glob("*.gz")}
            assert kept >= {file.body for file in (*second, *(f for f in first if len(f.body) > 8))}, step
    assert steps > 10


async def test_the_names_of_folders_are_synced(tmp_path: Path, refuse: Refusal) -> None:
    """Else a power cut takes the day, the tenant or the whole archive, although every file in it was synced."""
    evidence = archive(tmp_path / "raw")
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    refuse.watch()
    await evidence.save(TENANT, pages("secureScores", 1), DAY)
    assert {tmp_path, tmp_path / "raw", tmp_path / "raw" / TENANT, tmp_path / "raw" / TENANT / DAY} <= refuse.opened


async def test_what_says_the_same_is_neither_packed_nor_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[bytes] = []
    compress = gzip.compress

    def counted(body: bytes, level: int, *, mtime: int) -> bytes:
        packed.append(body)
        return compress(body, level, mtime=mtime)

    monkeypatch.setattr(gzip, "compress", counted)
    evidence, folder = archive(tmp_path), tmp_path / TENANT / DAY
    same, other, new = pages("profiles", 1), pages("secureScores", 1, b"1"), pages("secureScores", 1, b"2")
    await evidence.save(TENANT, same + other, DAY)
    file = folder / "profiles-1.json.gz"
    before, packed[:] = file.stat().st_ino, []
    await evidence.save(TENANT, same + new, DAY)
    assert (packed, file.stat().st_ino) == ([new[0].body], before)
    await evidence.save(TENANT, same + new, "2026-11-23")
    assert packed == [new[0].body], "the day after"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    await evidence.save(TENANT, same + new, DAY)
    assert packed == [new[0].body, same[0].body], "what somebody has altered is no help"
    assert {state for *_, state in await evidence.verified(TENANT, [DAY, "2026-11-23"])} == {"verified"}


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
