"""Programs a test needs: present, or skipped with the install hint, or failed where everything is required."""

import os
import shutil
import subprocess

import pytest


def program(name: str, hint: str) -> str:
    """The path of a program. Skips with the hint when missing; fails when SECURESCORE_REQUIRE_ALL=1."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        missing(f"{name} is not installed: {hint}")
    assert path is not None
    return path


def missing(reason: str) -> None:
    """Skip, or fail when SECURESCORE_REQUIRE_ALL=1."""
    if os.environ.get("SECURESCORE_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def python313() -> str:
    """The path of a Python 3.13, by its name or as pyenv keeps it. Skips or fails without one."""
    name = "python3.13"
    found = shutil.which(name)
    environ = {**os.environ, "PYENV_VERSION": "3.13"}  # its launchers serve one version at a time
    show = "import sys; print(sys.executable)"
    if found:
        done = subprocess.run([found, "-c", show], env=environ, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    missing(f"{name} is not installed: apt-get install python3.13, or pyenv install 3.13")
    raise AssertionError
