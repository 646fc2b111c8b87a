"""Whether a file is its reader's own: who could have written it, and so decide what a command does.

A configuration decides where tokens go, which files are written and what is in them, so a file that somebody else can
change makes that somebody the command's master (CWE-426, untrusted search path). Files are looked at here, never read.
"""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from connector.config.belonging import group_name, user_name
from connector.config.values import Config

_TLS_FILES = ("tls.ca_file", "tls.cert_file", "tls.key_file")


def strangers(path: str, euid: int | None = None) -> str | None:
    """Who besides the effective user and root could change a file or put another in its place; None when nobody.

    Raises OSError when the file cannot be looked at.
    """
    me = os.geteuid() if euid is None else euid
    real, folder = Path(path).resolve(strict=True), Path(path).absolute().parent
    folders = dict.fromkeys((folder.resolve(), real.parent))  # that of a link, and that of the file it leads to
    for place, what in ((real, "it"), *((one, f"its folder {one}") for one in folders)):
        found = place.stat()
        if found.st_uid not in (me, 0):
            return f"{what} belongs to {user_name(found.st_uid)}"
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return f"anybody may write {what}"
        if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid, me):
            return f"group {group_name(found.st_gid)} may write {what}"
    return None


def untrusted(config: Config) -> list[str]:
    """What a privileged run must not read although its configuration names it: one problem a file. As root only.

    Tokens and sign-in caches are left out: by their nature another account writes them, and they decide nothing.
    """
    if os.geteuid() != 0:
        return []
    problems = []
    for place, path in _named(config):
        try:
            who = strangers(str(Path(config.base_dir, path)))
        except OSError:
            continue  # who needs the file says so
        if who is not None:
            problems.append(f"{place}: {path}: {who}, who could so decide what root does")
    return problems


def _named(config: Config) -> Iterator[tuple[str, str]]:
    """Place and path of every file that a configuration has read, each once."""
    found: dict[str, str] = {}
    if config.tenants_file:
        found.setdefault(config.tenants_file, "tenants_file")
    if config.baseline:
        found.setdefault(config.baseline, "baseline")
    if config.network.ca_file:
        found.setdefault(config.network.ca_file, "network.ca_file")
    for sink in config.sinks:
        at = f"sinks.{sink.name}"
        if sink.mapping:
            found.setdefault(sink.mapping, f"{at}.mapping")
        if sink.network.ca_file:
            found.setdefault(sink.network.ca_file, f"{at}.ca_file")
        for key in _TLS_FILES:
            if sink.options.get(key):
                found.setdefault(str(sink.options[key]), f"{at}.{key}")
    for tenant in config.tenants:
        for name, auth in (("auth", tenant.auth), ("write_auth", tenant.write_auth)):
            if auth is not None and auth.kind == "certificate":
                found.setdefault(str(auth.options["file"]), f"tenants.{tenant.name}.{name}.file")
    return ((place, path) for path, place in found.items())


def _is_own_group(gid: int, uid: int) -> bool:
    """Whether only this user is in a group: many systems give each user a group, and let it write."""
    if gid == 0:
        return True
    try:
        user = pwd.getpwuid(uid)
        return user.pw_gid == gid and set(grp.getgrgid(gid).gr_mem) <= {user.pw_name}
    except KeyError:
        return False
