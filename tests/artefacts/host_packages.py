"""Builds the host packages once for all tests of a run, and gives them a machine to be installed on.

The machine is the running Debian seen through an overlay: what is written there is gone with the test, and nothing of
it reaches the real root. No assertions.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from attrs import frozen

from connector.stores.sqlite_layout import MIGRATIONS
from tests.needs import missing, program

ROOT = Path(__file__).parents[2]
HOST = ROOT / "packaging" / "host"
NAME = "secure-score-connector"
PREFIX = f"opt/{NAME}"
EPOCH = "1790000000"

OVERLAY = """
set -eu
mount -t tmpfs tmpfs {work}
mkdir {work}/upper {work}/work {work}/root
mount -t overlay overlay -o lowerdir=/,upperdir={work}/upper,workdir={work}/work {work}/root
mount -t proc proc {work}/root/proc
mount --rbind /dev {work}/root/dev
mkdir -p {work}/root/bench
cp -a {bench}/. {work}/root/bench/
exec chroot {work}/root /bin/sh -eu /bench/script.sh
"""


@frozen
class Built:
    """The artefacts of one build, and the tree both packages are made of."""

    deb: Path
    rpm: Path
    bundle: Path
    tree: Path


def needed() -> str:
    """The interpreter the packages are built for; skips where they cannot be built."""
    program("dpkg-deb", hint="packages are built on Debian or Ubuntu: apt-get install dpkg")
    program("rpmbuild", hint="apt-get install rpm")
    python = "/usr/bin/python3"
    if not Path(python).exists() or platform.system() != "Linux":
        missing("the packages are for the system's own interpreter: apt-get install python3")
    return python


def build(into: Path, *kinds: str) -> Built:
    """Build the artefacts (default: all) into a folder."""
    python, tree = needed(), into / "tree"
    command = [sys.executable, str(HOST / "build.py"), *(kinds or ("deb", "rpm", "bundle"))]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(
        [*command, "--out", str(into), "--tree", str(tree), "--python", python],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"build.py failed:\n{done.stdout}{done.stderr}")
    return found(into)


def found(folder: Path) -> Built:
    def one(pattern: str) -> Path:
        return next(iter(folder.glob(pattern)), folder / pattern)

    return Built(one("*.deb"), one("*.rpm"), one("*.tar.gz"), folder / "tree")


def shared(folder: Path) -> Built:
    """Like `build`, once for all test processes that name the same folder."""
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".done").exists():
            build(folder)
            (folder / ".done").touch()
    return found(folder)


def repacked(deb: Path, made: Path, version: str, migration: str = "") -> Path:
    """The same package under another version number; with one step more in the layout of the state, if one is given."""
    folder = made.with_suffix("")
    subprocess.run(["dpkg-deb", "-R", str(deb), str(folder)], check=True, capture_output=True)
    control = folder / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    if migration:
        (source,) = folder.glob(f"{PREFIX}/lib/*/site-packages/connector/stores/sqlite_layout.py")
        text = source.read_text()
        last = f"_SCHEMA_{len(MIGRATIONS)})\n"
        assert last in text
        source.write_text(text.replace(last, f"{last[:-2]}, ({migration!r},))\n"))
        for stale in source.parent.glob("__pycache__/sqlite_layout.*"):
            stale.unlink()  # it is not compared with its source
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "-b", str(folder), str(made)],
        check=True,
        capture_output=True,
    )
    shutil.rmtree(folder)
    return made


def machine(bench: Path, script: str) -> list[str]:
    """The command that runs a script as root on a machine of its own; files in `bench` are in /bench there."""
    if os.geteuid() != 0:
        missing("installing a package needs root")
    unshare = program("unshare", hint="apt-get install util-linux")
    work = bench.parent / "overlay"
    work.mkdir()
    (bench / "script.sh").write_text(script)
    return [unshare, "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", OVERLAY.format(work=work, bench=bench)]
