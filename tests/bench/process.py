"""What a user waits for: the help of the command, and the first words of the demo."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.measure import Figure, plain

COMMAND = str(Path(sys.executable).with_name("securescore"))


def help_text(folder: Path, rounds: int) -> Figure:
    """Wall time of `securescore --help` from start to end of the process; and of the demo until its first words."""
    took = [seconds([COMMAND, "--help"]) for _ in range(rounds + 1)][1:]
    method = "wall; a new process each time, files in the page cache"
    more = {"python_itself_s": min(seconds([sys.executable, "-c", "pass"]) for _ in range(rounds))}
    more["demo_first_output_s"] = _first_output([COMMAND, "demo", "--days", "1", "--out", str(folder / "demo")])
    return plain("help_s", took, method, **more)


def seconds(command: list[str]) -> float:
    """Wall time of a process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _first_output(command: list[str]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        spent = time.perf_counter() - began
        process.stdout.read()
    assert process.returncode == 0
    return spent
