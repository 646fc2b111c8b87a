"""Builds the image of packaging/container once, and runs it as a container would: its own root, read-only, as PID 1.

The base is a Debian assembled on the spot, in place of the one that the Containerfile names: no registry is asked. The
wheels come from where this machine has its own from, so the build itself needs no network. No assertions.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.needs import missing, program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "container"

RUN = """
set -eu
mount --bind {root} {root}
{binds}
mount -t proc proc {root}/proc
mount --rbind /dev {root}/dev
mount -t tmpfs tmpfs {root}/tmp
mount -o remount,bind,ro {root}
exec chroot {root} setpriv --reuid {user} --regid {group} --clear-groups --bounding-set=-all --no-new-privs \\
    env -i {words}
"""


@frozen
class Image:
    """A built image: its files, and what it says of how it is run (the `config` of the OCI image)."""

    root: Path
    config: dict[str, Any]

    @property
    def command(self) -> list[str]:
        return [*self.config["Entrypoint"], *self.config["Cmd"]]

    def run(self, words: Sequence[str], binds: Mapping[Path, tuple[str, str]]) -> list[str]:
        """The command line that runs something in a container; `binds`: path here → path there, "ro" or "rw".

        It sees this machine's network, nothing of its files, and has no privilege, whatever its user.
        """
        mounts = [
            f"mount --bind {here} {self.root}{there}; mount -o remount,bind,{how} {self.root}{there}"
            for here, (there, how) in binds.items()
        ]
        user, _, group = self.config["User"].partition(":")
        command = shlex.join((*self.config["Env"], *words))
        script = RUN.format(root=self.root, binds="\n".join(mounts), user=user, group=group, words=command)
        unshare = program("unshare", hint="apt-get install util-linux")
        return [unshare, "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]


OFFLINE = (
    *("--isolation", "chroot", "--format", "docker", "--layers=false"),
    *("--build-arg", "BASE=localhost/base", "--build-arg", "PIP_NO_INDEX=1"),
)
"""How a build goes without a registry, an index of packages or a daemon, as root."""


def build(folder: Path) -> Image:
    """The image, built with buildah."""
    store = stored(folder)
    context = clone(folder)
    words(
        *store, "build", *OFFLINE, "-f", str(context / "packaging/container/Containerfile"), "-t", "connector",
        str(context),
    )  # fmt: skip
    made = words(*store, "from", "--pull-never", "localhost/connector")
    about = json.loads(words(*store, "inspect", "--type", "image", "localhost/connector"))
    return Image(Path(words(*store, "mount", made)), about["Docker"]["config"])


def stored(folder: Path) -> list[str]:
    """buildah with a store of its own in that folder, in which the base is."""
    if os.geteuid() != 0:
        missing("building an image of another root needs root")
    buildah = program("buildah", hint="apt-get install buildah")
    store = [buildah, "--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]
    base(folder / "base", store)
    return store


def clone(folder: Path) -> Path:
    """A checkout to build from, with the wheels of both locks in it."""
    copied(folder / "context")
    wheels(folder / "context" / "wheels")
    return folder / "context"


def podman(folder: Path, run: Path) -> Path:
    """A folder with a `podman`: the real one, over the store in `folder`, that builds offline.

    `run` is where it keeps what is of now; it wants a short name for that.

    It runs in a container itself, as tests may: with runc, since crun wants one kind of control groups only, and within
    the limits of its surroundings.
    """
    settings = folder / "containers.conf"
    settings.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        f'tmp_dir = "{folder}/tmp"\nvolume_path = "{folder}/volumes"\n'
    )
    program("runc", hint="apt-get install runc")
    real = shlex.join(
        [
            program("podman", hint="apt-get install podman"),
            *("--root", str(folder / "store"), "--runroot", str(run), "--storage-driver", "vfs"),
        ]
    )
    script = folder / "bin" / "podman"
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\nexport CONTAINERS_CONF={settings}\nfirst=$1\nshift\n"
        f'[ "$first" != build ] || set -- {shlex.join(OFFLINE)} "$@"\nexec {real} "$first" "$@"\n'
    )
    script.chmod(0o755)
    return script.parent


def base(folder: Path, store: Sequence[str]) -> None:
    """Debian with its own Python, as the image localhost/base."""
    mmdebstrap = program("mmdebstrap", hint="apt-get install mmdebstrap")
    folder.mkdir()
    words(
        mmdebstrap, "--quiet", "--variant=minbase", "--include=python3,python3-venv,ca-certificates",
        "bookworm", str(folder / "base.tar"),
    )  # fmt: skip
    (folder / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    words(*store, "build", "-f", str(folder / "Containerfile"), "-t", "base", str(folder))


def copied(context: Path) -> None:
    """The project's own files, as a clone would have them."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, context / name)


def wheels(folder: Path) -> None:
    """The wheels of both locks, for the base's interpreter."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "-qq",
        "--python",
        "/usr/bin/python3",
        "download",
    ]
    for lock in (FOLDER / "requirements.lock", ROOT / "requirements-build.lock"):
        words(*pip, "--only-binary", ":all:", "--require-hashes", "-r", str(lock), "-d", str(folder))


def words(*command: str) -> str:
    """What a program prints. Raises with its own words where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{command[:4]} failed ({done.returncode}):\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()
