"""The evidence of a tenant that is to be forgotten: copied into a folder first, and only what is copied is deleted.

A daemon may go on saving meanwhile. So the tenant's folder is put aside in one step before it is deleted, and what
came into it since it was copied is copied then.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

from connector.durable import replacing
from connector.errors import ConfigError, Unavailable
from connector.observe.evidence import Evidence


async def copy_evidence(archive: Evidence, key: str, into: Path) -> int:
    """Copy the evidence of a tenant, and what of it an earlier deletion put aside; how many files there are.

    Raises ConfigError when it cannot be copied.
    """
    try:
        return len(await asyncio.to_thread(_copy_all, archive.root / key, into))
    except OSError as error:
        what = f"the evidence in {archive.root / key} cannot be copied to {into}: {error.strerror or error}"
        raise ConfigError([what], "nothing was deleted; name another folder with --export") from error


async def take_evidence(archive: Evidence, key: str, into: Path) -> int:
    """Delete what `copy_evidence` copied; what came since is copied first. How many files are in `into` then.

    Raises Unavailable when some of it is still there.
    """
    home = archive.root / key
    aside = _aside(home)
    try:
        names = await asyncio.to_thread(_copy_all, home, into)
        await archive.forget(aside.name)  # of a deletion that was cut short: it is copied
        with suppress(FileNotFoundError):
            home.rename(aside)
            names |= await asyncio.to_thread(_copy, aside, into)
    except OSError as error:
        raise Unavailable(
            f"evidence in {home} is not deleted: {error.strerror or error}",
            hint=f"what is in {into} is exported; copy the rest and delete the folder by hand",
        ) from error
    await archive.forget(aside.name)
    return len(names)


def _copy_all(home: Path, into: Path) -> set[str]:
    return _copy(_aside(home), into) | _copy(home, into)


def _aside(home: Path) -> Path:
    return home.with_name(f".{home.name}.forgotten")


def _copy(source: Path, into: Path) -> set[str]:
    """Copy a folder's files that are not in `into` with the same bytes; the names of all of them."""
    names: set[str] = set()
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        name = str(path.relative_to(source))
        names.add(name)
        target, body = into / name, path.read_bytes()
        if target.is_file() and target.read_bytes() == body:
            continue
        for folder in reversed((target.parent, *target.parent.parents)):
            if not folder.exists():
                folder.mkdir(mode=0o700)
        with replacing(target) as file:
            file.write(body)
    return names
