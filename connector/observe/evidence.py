"""The evidence archive: each day's last complete responses, gzipped, with SHA-256, as `source: files` reads them.

Layout: <root>/<tenant id>/<day>/<name>.json.gz and SHA256SUMS (check with `sha256sum -c`). It is evidence and a second
safety net, never the state: losing it loses no event.
"""

import asyncio
import gzip
import hashlib
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from attrs import Factory, frozen

from connector.clock import SystemClock
from connector.durable import replacing
from connector.errors import Unavailable
from connector.model import EvidenceFile
from connector.ports import Clock

SUMS = "SHA256SUMS"
PARTIAL = "secureScores"
"""The collection of which a read may ask for the last days only."""
_NUMBERED = re.compile(rf"{PARTIAL}-[1-9][0-9]*\.json\.gz")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@frozen
class Evidence:
    """Keeps and expires evidence below `root`; `keep_days` counts back from a tenant's newest day."""

    root: Path
    keep_days: int
    clock: Clock = Factory(SystemClock)

    async def save(self, tenant_id: str, files: Sequence[EvidenceFile], newest_day: str) -> None:
        """Replace the day's evidence file by file, then drop days past retention.

        Raises Unavailable when the disk refuses; what was there before stays whole.
        """
        try:
            await asyncio.to_thread(self._save, self.root / tenant_id, files, newest_day)
        except OSError as error:
            raise Unavailable(
                f"evidence cannot be kept in {self.root}: {error.strerror or error}",
                hint="free space or correct raw.path; scores and events are not affected",
            ) from error

    async def verified(self, tenant_id: str, days: Sequence[str]) -> list[tuple[str, str, str, str]]:
        """What is kept of some days, as (day, file, recorded SHA-256, state); changes nothing.

        The state is "verified" when the file's bytes have that hash, else "altered" or "missing".
        """
        return await asyncio.to_thread(_verified, self.root / tenant_id, days)

    async def forget(self, tenant_id: str) -> None:
        """Delete all evidence of a tenant. Raises Unavailable when something of it is still there."""
        try:
            await asyncio.to_thread(_remove, self.root / tenant_id)
        except OSError as error:
            raise Unavailable(
                f"evidence in {self.root / tenant_id} cannot be deleted: {error.strerror or error}",
                hint="allow this user to delete it and forget the tenant again, or delete the folder by hand",
            ) from error

    def _save(self, home: Path, files: Sequence[EvidenceFile], newest_day: str) -> None:
        folder = home / newest_day
        for part in (self.root, home, folder):  # `parents=True` would give those above the mode of the umask
            part.mkdir(mode=0o700, exist_ok=True)
        sums = read_sums(folder)
        _keep_wider(folder, files, sums)
        for file in files:
            name = f"{file.name}.gz"
            body = gzip.compress(file.body, 6, mtime=0)
            sums[name] = hashlib.sha256(body).hexdigest()
            _replace(folder / name, body)
        stale = self._stale_pages(folder, {f"{f.name}.gz" for f in files})
        for path in stale:
            sums.pop(path.name, None)
            path.unlink()
        _replace(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode())
        self._expire(home, newest_day)

    @staticmethod
    def _stale_pages(folder: Path, fresh: set[str]) -> list[Path]:
        """Pages of an earlier, longer read of the same kind: the list got shorter, they are no evidence of today."""
        kinds = {name.rpartition("-")[0] for name in fresh}
        return [p for p in folder.glob("*.json.gz") if p.name not in fresh and p.name.rpartition("-")[0] in kinds]

    def _expire(self, home: Path, newest_day: str) -> None:
        today = self.clock.now().date()  # a day that claims to lie in the future expires nothing
        oldest = (min(date.fromisoformat(newest_day), today) - timedelta(days=self.keep_days)).isoformat()
        for folder in home.iterdir():
            if _DAY.fullmatch(folder.name) and folder.name < oldest and folder.is_dir():
                shutil.rmtree(folder)


def _keep_wider(folder: Path, files: Sequence[EvidenceFile], sums: dict[str, str]) -> None:
    """Put aside a day's earlier read that went far back (first contact, an outage) when one of a few days follows it.

    `secureScores-1` becomes `secureScores-0-1`: sorted before, so that for a day in both the later read counts. Only
    scores are read in part; whether a read is wider is told by its bytes, since nothing is parsed here.
    """
    fresh = sum(len(file.body) for file in files if file.name.startswith(f"{PARTIAL}-"))
    old = [path for path in folder.glob(f"{PARTIAL}-*.json.gz") if _NUMBERED.fullmatch(path.name)]
    wider = list(folder.glob(f"{PARTIAL}-0-*.json.gz"))
    if not fresh or _plain_bytes(old) <= max(2 * fresh, _plain_bytes(wider)):
        return
    for path in wider:
        sums.pop(path.name, None)
        path.unlink()
    for path in old:
        kept = path.with_name(path.name.replace("-", "-0-", 1))
        path.rename(kept)
        sums[kept.name] = sums.pop(path.name, "") or hashlib.sha256(kept.read_bytes()).hexdigest()


def _plain_bytes(paths: Sequence[Path]) -> int:
    """What gzip files hold before compression, by the length in their last four bytes (RFC 1952 section 2.3.1)."""
    return sum(int.from_bytes(path.read_bytes()[-4:], "little") for path in paths)


def read_sums(folder: Path) -> dict[str, str]:
    """File name → SHA-256 (hex) of a day's evidence; {} when there is none."""
    path = folder / SUMS
    if not path.exists():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text("utf-8", errors="replace").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _verified(home: Path, days: Sequence[str]) -> list[tuple[str, str, str, str]]:
    found = []
    for day in days:
        folder = home / day
        for name, digest in sorted(read_sums(folder).items()) if _DAY.fullmatch(day) else ():
            path = folder / Path(name).name
            if not path.is_file():
                state = "missing"
            else:
                state = "verified" if hashlib.sha256(path.read_bytes()).hexdigest() == digest else "altered"
            found.append((day, name, digest, state))
    return found


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _replace(path: Path, body: bytes) -> None:
    """A reader sees the old bytes or the new ones, never half, and a crash forgets neither."""
    with replacing(path) as stream:
        stream.write(body)
