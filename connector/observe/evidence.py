"""The evidence archive: each day's last complete responses, gzipped, with SHA-256, as `source: files` reads them.

Layout: <root>/<tenant id>/<day>/<name>.json.gz and SHA256SUMS (check with `sha256sum -c`). It is evidence and a second
safety net, never the state: losing it loses no event.

Every middle of a save is true. Before a file gets other bytes, the list names both the old hash and the new one; what
is new is listed once it is there; what goes is deleted once it is no longer listed. So a crash leaves at worst a file
that nobody listed, or one with two hashes, of which the tenant's next save strikes one. Nothing is ever called altered
or missing that nobody altered or took away.
"""

import asyncio
import gzip
import hashlib
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from attrs import Factory, frozen

from connector.clock import SystemClock, Threads
from connector.durable import replacing, sync_folder
from connector.errors import Unavailable
from connector.model import EvidenceFile
from connector.ports import Clock

SUMS = "SHA256SUMS"
SAVE_LIMIT_S = 60.0
"""How long a poll waits for its evidence; a disk that hangs must not stop what is more than evidence."""
_THREADS = Threads("evidence", 8)
PARTIAL = "secureScores"
"""The collection of which a read may ask for the last days only."""
_NUMBERED = re.compile(rf"{PARTIAL}-[1-9][0-9]*\.json\.gz")
_GZIP = zlib.MAX_WBITS + 16
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Digests = tuple[str, ...]
"""SHA-256 (hex) of a file; while it is being replaced, the one of what was there and the one of what comes."""


@frozen
class Evidence:
    """Keeps and expires evidence below `root`; `keep_days` counts back from a tenant's newest day."""

    root: Path
    keep_days: int
    clock: Clock = Factory(SystemClock)

    async def save(self, tenant_id: str, files: Sequence[EvidenceFile], newest_day: str) -> None:
        """Replace the day's evidence file by file, then drop days past retention.

        Raises Unavailable when the disk refuses or hangs; what was there before stays whole.
        """
        home = self.root / tenant_id
        try:
            await _THREADS.run(lambda: self._save(home, files, newest_day), SAVE_LIMIT_S, home)
        except TimeoutError as error:
            raise Unavailable(
                f"evidence cannot be kept in {self.root}: {error}",
                hint="see that the disk or share answers; scores and events are not affected",
            ) from error
        except OSError as error:
            raise Unavailable(
                f"evidence cannot be kept in {self.root}: {error.strerror or error}",
                hint="free space or correct raw.path; scores and events are not affected",
            ) from error

    async def verified(self, tenant_id: str, days: Sequence[str]) -> list[tuple[str, str, str, str]]:
        """What is kept of some days, as (day, file, recorded SHA-256, state); changes nothing.

        The state is "verified" when the file's bytes have that hash, else "altered" or "missing"; "unlisted" is a file
        without a recorded hash: of a save that was cut short, or laid there by somebody else. Raises Unavailable when
        this account may not read it, or the disk refuses.
        """
        try:
            return await asyncio.to_thread(_verified, self.root / tenant_id, days)
        except OSError as error:
            raise Unavailable(
                f"the evidence in {self.root / tenant_id} cannot be read: {error.strerror or error}",
                hint="read it as the account that runs the connector, or with sudo",
            ) from error

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
            with suppress(PermissionError):  # a folder above ours, which we may use but not open
                sync_folder(part.parent)  # of an old one, too: whoever made it may have died before this
        _settle_sums(home, newest_day)
        lately = (folder, *_before(home, newest_day))
        packed = {f"{file.name}.gz": _packed(file, lately) for file in files}
        _put(folder, _wider(folder, files))
        _put(folder, {name: (body, hashlib.sha256(body).hexdigest()) for name, body in packed.items()})
        self._expire(home, newest_day)

    def _expire(self, home: Path, newest_day: str) -> None:
        today = self.clock.now().date()  # a day that claims to lie in the future expires nothing
        oldest = (min(date.fromisoformat(newest_day), today) - timedelta(days=self.keep_days)).isoformat()
        for folder in home.iterdir():
            if _DAY.fullmatch(folder.name) and folder.name < oldest and folder.is_dir():
                gone = home / ".expired"
                _remove(gone)
                folder.rename(gone)  # at once, or half of it would be missing for a moment
                sync_folder(home)
                shutil.rmtree(gone)


def _before(home: Path, newest_day: str) -> list[Path]:
    """The folder of the day before this one, where there is one."""
    days = sorted(p.name for p in home.iterdir() if _DAY.fullmatch(p.name) and p.name < newest_day)
    return [home / day for day in days[-1:]]


def _packed(file: EvidenceFile, lately: Sequence[Path]) -> bytes:
    """The file, gzipped. Most of what is read says the same as before: that is not packed again."""
    for folder in lately:
        with suppress(OSError, zlib.error):  # what is not there, or damaged, is no help
            raw = (folder / f"{file.name}.gz").read_bytes()
            inflater = zlib.decompressobj(wbits=_GZIP)
            same = inflater.decompress(raw, len(file.body) + 1) == file.body
            if same and inflater.eof and not inflater.unused_data:
                return raw
    return gzip.compress(file.body, 6, mtime=0)


def _holds(path: Path, body: bytes) -> bool:
    try:
        return path.read_bytes() == body
    except OSError:
        return False


def _settle_sums(home: Path, newest_day: str) -> None:
    """Strike the other hash where a save that was cut short left two, on this day or the one before."""
    for folder in (*_before(home, newest_day), home / newest_day):
        listed = read_sums(folder)
        if any(len(digests) > 1 for digests in listed.values()):
            _write_sums(folder, {name: _matching(folder / Path(name).name, listed[name]) for name in listed})


def _put(folder: Path, bodies: Mapping[str, tuple[bytes, str]]) -> None:
    """Write files, each given with its hash, and drop the pages of an earlier, longer read of the same kinds.

    The list got shorter then: they are no evidence of today.
    """
    if not bodies:
        return
    listed = read_sums(folder)
    both = {
        name: tuple(dict.fromkeys((*listed[name], digest))) for name, (_, digest) in bodies.items() if name in listed
    }
    if any(len(digests) > 1 for digests in both.values()):
        _write_sums(folder, {**listed, **both})
    for name, (body, _) in bodies.items():
        if len(both.get(name, ())) != 1 or not _holds(folder / name, body):
            _replace(folder / name, body)
    kinds = {name.rpartition("-")[0] for name in bodies}
    there = {*listed, *(path.name for path in folder.glob("*.json.gz"))}
    stale = {name for name in there if name not in bodies and name.rpartition("-")[0] in kinds}
    kept = {name: digests for name, digests in listed.items() if name not in stale}
    sync_folder(folder)  # what is left as it is was perhaps laid there by a save that was cut short
    now = {**kept, **{name: (digest,) for name, (_, digest) in bodies.items()}}
    if now != read_sums(folder):
        _write_sums(folder, now)
    for name in stale:
        (folder / Path(name).name).unlink(missing_ok=True)


def _wider(folder: Path, files: Sequence[EvidenceFile]) -> dict[str, tuple[bytes, str]]:
    """A day's earlier read that went far back (first contact, an outage), to be kept when one of a few days follows it.

    `secureScores-1` becomes `secureScores-0-1`: sorted before, so that for a day in both the later read counts. Only
    scores are read in part; whether a read is wider is told by its bytes, since nothing is parsed here. What is not
    listed was being put aside when it was cut short, and does not count.
    """
    listed = read_sums(folder)
    fresh = sum(len(file.body) for file in files if file.name.startswith(f"{PARTIAL}-"))
    old = [path for path in folder.glob(f"{PARTIAL}-*.json.gz") if _NUMBERED.fullmatch(path.name)]
    wider = [path for path in folder.glob(f"{PARTIAL}-0-*.json.gz") if path.name in listed]
    if not fresh or _plain_bytes(old) <= max(2 * fresh, _plain_bytes(wider)):
        return {}
    kept = {}
    for path in old:
        body = path.read_bytes()
        recorded = listed.get(path.name, ())[-1:] or (hashlib.sha256(body).hexdigest(),)
        kept[path.name.replace("-", "-0-", 1)] = (body, recorded[0])
    return kept


def _plain_bytes(paths: Sequence[Path]) -> int:
    """What gzip files hold before compression, by the length in their last four bytes (RFC 1952 section 2.3.1)."""
    return sum(int.from_bytes(path.read_bytes()[-4:], "little") for path in paths)


def read_sums(folder: Path) -> dict[str, Digests]:
    """File name → SHA-256 (hex) of a day's evidence, or two of which either may be true; {} when there is none."""
    path = folder / SUMS
    if not path.exists():
        return {}
    listed: dict[str, Digests] = {}
    for line in path.read_text("utf-8", errors="replace").splitlines():
        digest, apart, name = line.partition("  ")
        if apart:
            listed[name] = (*listed.get(name, ()), digest)
    return listed


def _write_sums(folder: Path, listed: Mapping[str, Digests]) -> None:
    lines = (f"{digest}  {name}\n" for name in sorted(listed) for digest in dict.fromkeys(listed[name]))
    _replace(folder / SUMS, "".join(lines).encode())


def _matching(path: Path, digests: Digests) -> Digests:
    """The one of several hashes that the file has; all of them when it has none."""
    if len(digests) == 1 or not path.is_file():
        return digests
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return (found,) if found in digests else digests


def _verified(home: Path, days: Sequence[str]) -> list[tuple[str, str, str, str]]:
    found = []
    for day in days:
        if not _DAY.fullmatch(day):
            continue
        folder = home / day
        listed = read_sums(folder)
        for name in sorted({*listed, *(path.name for path in folder.glob("*.json.gz"))}):
            path, digests = folder / Path(name).name, listed.get(name, ())
            if not digests:
                found.append((day, name, "", "unlisted"))
            elif not path.is_file():
                found.append((day, name, digests[-1], "missing"))
            else:
                there = hashlib.sha256(path.read_bytes()).hexdigest()
                known = there in digests
                found.append((day, name, there if known else digests[-1], "verified" if known else "altered"))
    return found


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _replace(path: Path, body: bytes) -> None:
    """A reader sees the old bytes or the new ones, never half, and a crash forgets neither."""
    with replacing(path) as stream:
        stream.write(body)
