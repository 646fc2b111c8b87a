"""Which account a privileged command acts as: that of the folders it writes into. What it writes is not known here.

In a folder of the service account that account chooses what lies under every name: root, writing there, would follow
its links and leave files that the service cannot write. So root becomes that account first, for good; the secrets that
only root may read are taken along (secrets.hold). A daemon reads them again and again, and is refused instead.
"""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import fields, has

from connector.config import secrets
from connector.config.values import Config
from connector.errors import ConfigError

_came_as: list[int] = []


def came_as() -> int:
    """The account that began this process, whatever it acts as now."""
    return _came_as[0] if _came_as else os.getuid()


def owner(config: Config) -> tuple[int, int, str] | None:
    """The account, other than root, to whom the state, the evidence or a file sink belongs; user, group and where.

    None when they are root's. Raises ConfigError when they belong to several: no command can act as two.
    """
    found = {status.st_uid: (status.st_gid, str(path)) for path, status in _places(config) if status.st_uid != 0}
    if len(found) > 1:
        whose = ", ".join(f"{path} to {name_of(uid)}" for uid, (_, path) in sorted(found.items()))
        raise ConfigError([f"as root: {whose}; it cannot act as both"], "give state, evidence and file sinks one owner")
    return next(((uid, gid, path) for uid, (gid, path) in found.items()), None)


def _places(config: Config) -> Iterator[tuple[Path, os.stat_result]]:
    """What there is of each thing that a command writes, and the folder it is in or will be made in."""
    state = config.state.path or config.state.directory
    named = [state, config.raw.path, *(s.options.get("path") for s in config.sinks if s.kind == "file")]
    for name in named:
        if not name or name == "-":
            continue
        path = Path(config.base_dir, str(name)).absolute()
        if os.path.lexists(path):
            yield path, path.lstat()
        folder = next(each for each in path.parents if each.exists())
        yield folder, folder.stat()


def act_as_owner(config: Config, *, stays: bool = False) -> str | None:
    """As root, become the owner of what is written, for good; its name, or None when nothing had to change.

    `stays` is for a daemon, which is refused. Raises ConfigError with the command to use when it cannot be done.
    """
    if os.geteuid() != 0 or (found := owner(config)) is None:
        return None
    uid, gid, path = found
    name = name_of(uid)
    use = f"run it as that account: sudo -u {name} securescore …"
    if stays:
        raise ConfigError([f"{path} belongs to {name}: a daemon of root must not write there"], use)
    secrets.hold(_texts(config))
    _came_as[:] = [os.getuid()]
    try:
        entry = _entry(uid)
        if entry is None:
            os.setgroups([])
        else:
            os.initgroups(name, gid := entry.pw_gid)
        os.setgid(gid)
        os.setuid(uid)
        secrets.keep_out_of_core_files()  # another account is another process to the kernel, with a setting of its own
        os.listdir(Path(__file__).parent)  # noqa: PTH208 - only whether it may be read
        Path(os.__file__).stat()
    except OSError as error:
        what = f"{path} belongs to {name}, and acting as that account failed: {error.strerror}"
        if isinstance(error, PermissionError) and os.getuid() == uid:
            what = f"{path} belongs to {name}, who may not read this program in {Path(error.filename or '').parent}"
        raise ConfigError([what], use) from None
    return name


def name_of(uid: int) -> str:
    entry = _entry(uid)
    return f"#{uid}" if entry is None else entry.pw_name  # as sudo -u takes a number


def _entry(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


def _texts(value: Any) -> Iterator[str]:
    """Every text in a configuration."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _texts(inner)
    elif has(type(value)):
        for each in fields(type(value)):
            yield from _texts(getattr(value, each.name))
