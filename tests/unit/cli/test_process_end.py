"""A process ends when its work has: a thread that hangs keeps nobody, and what was printed is out."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from connector.cli.process import called
from tests.fakes.daemon import ROOT

HANGS = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
POOL = (
    "import asyncio, time\n"
    "async def work():\n"
    "    hanging = asyncio.ensure_future(asyncio.to_thread(time.sleep, 60))\n"
    "    await asyncio.sleep(0.1)\n"
    "    return 3\n"
)


@pytest.mark.parametrize(
    "program",
    [
        f"{HANGS}from connector.cli.process import leave; print('all of it'); leave(3)",
        f"{POOL}from connector.cli.process import leave, to_end; print('all of it'); leave(to_end(work()))",
        "from connector.cli.process import leave; print('all of it'); leave(3)",
    ],
)
def test_no_thread_that_hangs_outlives_the_end(program: str) -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "all of it\n", "")
    assert time.monotonic() - began < 50


def test_a_sighup_before_there_is_a_handler_is_remembered() -> None:
    program = (
        "import os, signal; from connector.cli import process; process.expect_hup();"
        " os.kill(os.getpid(), signal.SIGHUP); print(process.hup_came())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n")


def test_a_command_off_the_path_is_named_as_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "bin" / "securescore"
    mine.parent.mkdir()
    mine.touch(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(mine), "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called() == "bin/securescore"
    monkeypatch.setenv("PATH", str(mine.parent))
    assert called() == "securescore"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/python3"])
    assert called() == "securescore"
