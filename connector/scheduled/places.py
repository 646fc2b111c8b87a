"""Where a scheduled report lies, and which old ones go: from the path in the configuration and its two placeholders.

A tenant's name is a file name by the configuration's own rule, and that is looked at once more here: no name leads out
of the folder. Old files are those that look like ones of ours; nothing else in the folder is touched.
"""

import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from connector.durable import replacing, sync_folder
from connector.scheduled.periods import KEYS, ended

FILE_MODE, FOLDER_MODE = 0o600, 0o700
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_PLACEHOLDER = re.compile(r"(\{tenant\}|\{period\})")


def place(path: str, tenant: str, key: str) -> Path:
    """The file of a tenant and a period. Raises ValueError for a name that is no file name."""
    if not re.fullmatch(_NAME, tenant):
        raise ValueError(f"{tenant!r} is no name of a file")
    return Path(path.replace("{tenant}", tenant).replace("{period}", key))


def write(file: Path, body: bytes) -> None:
    """Put the file under its name, whole and durable, readable by its owner only. Raises OSError."""
    missing = [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(folder.parent)
    with replacing(file, FILE_MODE) as stream:
        stream.write(body)


def expire(path: str, every: str, today: date, keep_days: int) -> list[Path]:
    """Delete the files of this path whose period ended more than `keep_days` ago; returns them. Raises OSError."""
    pattern, oldest = _pattern(path, every), today - timedelta(days=keep_days)
    gone = []
    for file in _files(path):
        found = pattern.fullmatch(str(file))
        last = ended(every, found["period"]) if found else None
        if last is not None and last < oldest:
            file.unlink(missing_ok=True)
            gone.append(file)
    return gone


def _pattern(path: str, every: str) -> re.Pattern[str]:
    """What a path looks like; a placeholder that stands twice must have the same value."""
    forms = {"{tenant}": ("tenant", _NAME), "{period}": ("period", KEYS[every])}
    seen: set[str] = set()
    parts = []
    for part in _PLACEHOLDER.split(path):
        name, form = forms.get(part, ("", re.escape(part)))
        parts.append(form if not name else f"(?P={name})" if name in seen else f"(?P<{name}>{form})")
        seen.add(name)
    return re.compile("".join(parts))


def _files(path: str) -> Iterator[Path]:
    """The regular files below the last folder without a placeholder, as deep as the path; no link is followed."""
    head = path[: min(path.index(each) for each in ("{tenant}", "{period}") if each in path)]
    root = Path(head).parent if not head.endswith("/") else Path(head)
    depth = len(Path(path).parts) - len(root.parts)
    if root.is_dir():
        yield from _below(root, depth)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if depth > 1 and entry.is_dir(follow_symlinks=False):
                yield from _below(Path(entry.path), depth - 1)
            elif depth == 1 and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
