"""Programs a test needs: present, or skipped with the install hint, or failed where everything is required."""

import os
import shutil

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
