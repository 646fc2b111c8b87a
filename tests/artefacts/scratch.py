"""Packages built with what this environment has, and scratch environments to install them into: no network, ever."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def build(project: Path, into: Path) -> Path:
    """The wheel of a project, by the locked backend of this environment."""
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation", "--no-index"]
    before = set(into.glob("*.whl"))
    subprocess.run([*command, "--wheel-dir", str(into), str(project)], check=True, timeout=120)
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel


def environment(place: Path, *wheels: Path) -> Path:
    """A virtual environment with these wheels, and the dependencies of the running one through a .pth line.

    Such a line adds their folder behind the environment's own and does not read the .pth files in it, so an editable
    install of the checkout stays out of sight.
    """
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--no-deps", "--no-index"]
    subprocess.run([*command, *map(str, wheels)], check=True, timeout=120)
    scheme = {"base": str(place), "platbase": str(place)}
    own = Path(sysconfig.get_path("purelib", "venv", scheme))
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def run(home: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of an environment, unmoved by the Python that runs the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = [str(home / "bin" / command[0]), *command[1:]]
    return subprocess.run(program, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=120)
