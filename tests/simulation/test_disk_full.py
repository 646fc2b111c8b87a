"""The disk under the state fills up: the daemon stops and says so, nothing is claimed, and all goes on with space.

A real file system of a few megabytes, in a mount namespace of its own; run as a program this file is what lives there.
"""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from connector.clock import SystemClock
from connector.model import Event
from connector.ports import Query
from connector.stores.sqlite import open_store
from tests.fakes.daemon import ROOT, Recorder, securescore, surroundings
from tests.needs import missing

DISK = Path("/mnt")
BALLAST = DISK / "ballast"


def test_a_full_disk_stops_cleanly_says_so_and_resumes_without_loss(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=24m none {DISK} && exec "
    enter = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    if shutil.which("unshare") is None:
        missing("unshare is not installed: apt-get install util-linux")
    if subprocess.run([*enter, "sh", "-c", mount + "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting in a namespace is not permitted here")
    done = subprocess.run(
        [*enter, "sh", "-c", mount + '"$0" "$1" "$2"', sys.executable, __file__, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "well\n"


# ----------------------------------------------------------------------------------------------------- in the namespace


async def run(folder: Path, *words: str) -> tuple[int | None, str]:
    process = await securescore(folder, *words)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, err.decode()


def whole(path: Path) -> None:
    if path.exists():
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


async def committed(folder: Path) -> list[Event]:
    """What tenants have to tell, in commit order (the health of the feed depends on the hour); the file is whole."""
    whole(folder / "state.db")
    store = await open_store(folder / "state.db", clock=SystemClock(), writer=False)
    events = await store.history(Query())
    await store.close()
    return [e for e in events if e.stream != "health"]


async def main(calm: Path) -> None:
    recorder, undisturbed = Recorder(), Recorder()
    async with surroundings(calm, undisturbed, tenants=2):
        assert (await run(calm, "once"))[0] == 0
        async with surroundings(DISK, recorder, tenants=2):
            for command, left_bytes in (("once", 400_000), ("run", 1_000_000), ("run", 200_000)):
                BALLAST.unlink(missing_ok=True)
                BALLAST.write_bytes(b"\0" * (shutil.disk_usage(DISK).free - left_bytes))
                code, said = await run(DISK, command)  # `run` stops by itself: never without durability
                assert code == 1, (command, code, said)
                assert "no space left" in said, said
                assert "next: Free space" in said, said
                assert "Traceback" not in said, said
                whole(DISK / "state.db")
            halfway = len(await committed(DISK))
            sent_halfway = len(recorder.contents)
            BALLAST.unlink()
            assert (await run(DISK, "once")) == (0, "configuration: securescore.yaml\n")
        expected, got = await committed(calm), await committed(DISK)
        assert {e.id for e in got} == {e.id for e in expected}, "observed again, with the same ids"
        assert halfway, "it was full in the middle of the work"
        assert sent_halfway < len(got)
        assert {e.id for e in got} <= recorder.contents.keys()
        assert all(len(contents) == 1 for contents in recorder.contents.values())
    sys.stdout.write("well\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
