"""The evidence archive: each day's last complete responses, gzipped, with SHA-256, as `source: files` reads them.

Layout: <root>/<tenant id>/<day>/<name>.json.gz and SHA256SUMS (check with `sha256sum -c`). It is evidence and a second
safety net, never the state: losing it loses no event.
"""

import asyncio
import gzip
import hashlib
import os
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from attrs import frozen

from connector.errors import Unavailable
from connector.model import EvidenceFile

SUMS = "SHA256SUMS"


@frozen
class Evidence:
    """Keeps and expires evidence below `root`; `keep_days` counts back from a tenant's newest day."""

    root: Path
    keep_days: int

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

    async def forget(self, tenant_id: str) -> None:
        """Delete all evidence of a tenant."""
        await asyncio.to_thread(shutil.rmtree, self.root / tenant_id, ignore_errors=True)

    def _save(self, home: Path, files: Sequence[EvidenceFile], newest_day: str) -> None:
        folder = home / newest_day
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sums = read_sums(folder)
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
        oldest = (date.fromisoformat(newest_day) - timedelta(days=self.keep_days)).isoformat()
        for folder in home.iterdir():
            if folder.is_dir() and len(folder.name) == len(oldest) and folder.name < oldest:
                shutil.rmtree(folder)


def read_sums(folder: Path) -> dict[str, str]:
    """File name → SHA-256 (hex) of a day's evidence; {} when there is none."""
    path = folder / SUMS
    if not path.exists():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text("utf-8").splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _replace(path: Path, body: bytes) -> None:
    """Write beside, sync, rename: a reader sees the old bytes or the new ones, never half."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(body)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
