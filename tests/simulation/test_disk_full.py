"""The disk under the state fills up: the daemon stays and says so, nothing is claimed, and all goes on with space.

A real file system of a few megabytes, in a mount namespace of its own; run as a program this file is what lives there.
"""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
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


def test_a_full_disk_is_said_and_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
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


async def once(folder: Path) -> tuple[int | None, str]:
    process = await securescore(folder, "once")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, (out + err).decode()


def fill(left_bytes: int) -> None:
    BALLAST.unlink(missing_ok=True)
    BALLAST.write_bytes(b"\0" * (shutil.disk_usage(DISK).free - left_bytes))


async def until(true: Callable[[], bool], daemon: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60):
        while not true():
            assert daemon.returncode is None, "a full disk ends no daemon"
            await asyncio.sleep(0.1)


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
        assert (await once(calm))[0] == 0
        async with surroundings(DISK, recorder, tenants=2):
            fill(400_000)
            code, said = await once(DISK)
            assert code in (1, 3), (code, said)
            assert "no space left" in said, said
            assert "next: Free space" in said, said
            assert "Traceback" not in said, said
            whole(DISK / "state.db")
            fill(200_000)
            log: list[str] = []
            daemon = await securescore(DISK, "run")

            async def read() -> None:
                assert daemon.stderr is not None
                while line := await daemon.stderr.readline():
                    log.append(line.decode())

            reading = asyncio.ensure_future(read())
            await until(lambda: sum("no space left" in line for line in log) >= 2, daemon)
            whole(DISK / "state.db")
            BALLAST.unlink()  # and no hand on the daemon
            wanted = {e.id for e in await committed(calm)}
            await until(lambda: wanted <= recorder.contents.keys(), daemon)
            daemon.terminate()
            assert await asyncio.wait_for(daemon.wait(), 30) == 0
            await reading
            assert not any("Traceback" in line for line in log), log
        assert {e.id for e in await committed(DISK)} == wanted, "observed again, with the same ids"
        assert all(len(contents) == 1 for contents in recorder.contents.values())
    sys.stdout.write("well\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
