"""The zip of the function app, built once for all tests of a run, and unpacked where a test wants it. No assertions."""

import fcntl
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "packaging" / "azure" / "build.py"
EPOCH = "1790000000"


def build(into: Path, wheels: Path) -> Path:
    """The zip, from the wheels in a folder; they are fetched into it when it does not exist."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    command = [sys.executable, str(BUILD), "--out", str(into), "--wheels", str(wheels)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"build.py failed:\n{done.stdout}{done.stderr}")
    return Path(done.stdout.strip())


def shared(base: Path) -> Path:
    """Like `build`, once for all test processes that name the same folder; unpacked in the folder `app` beside it."""
    folder = base / "azure"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "app").exists():
            made = build(folder, folder / "wheels")
            with zipfile.ZipFile(made) as archive:
                archive.extractall(folder / "unpacking")
            (folder / "unpacking").rename(folder / "app")
    (made,) = folder.glob("*.zip")
    return made
