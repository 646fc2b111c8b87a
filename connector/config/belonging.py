"""Whose a file is that this user may not use, in the words of a remedy: most often `sudo` was forgotten.

Files are looked at here, never read.
"""

import os
import stat
from pathlib import Path


def remedy(path: str, *, reading: bool = True) -> str:
    """What to do where a file, or the folder that hides it, is another account's; "" where it is not.

    `reading`: whether it would do to be of its group, where that may read it.
    """
    if not hasattr(os, "geteuid"):  # Windows knows no sudo
        return ""
    found = _nearest(Path(path).absolute())
    if found is None or os.geteuid() in (0, found.st_uid):
        return ""
    group = group_name(found.st_gid) if reading and found.st_mode & stat.S_IRGRP and found.st_gid else ""
    member = f", or as a member of the group {group}" if group else ""
    return f"it belongs to {user_name(found.st_uid)}: run the command with sudo{member}"


def _nearest(path: Path) -> os.stat_result | None:
    """The file as it is, or the nearest folder above it that can be looked at."""
    for each in (path, *path.parents):
        try:
            return each.stat()
        except OSError:
            continue
    return None


def user_name(uid: int) -> str:
    """What an account is called here."""
    import pwd  # noqa: PLC0415 - Windows has none

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def group_name(gid: int) -> str:
    """What a group is called here."""
    import grp  # noqa: PLC0415 - Windows has none

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
