"""How the process of a command begins and ends: no SIGHUP kills it at its start, no blocked thread keeps it at its end.

Nothing of a command is known here.
"""

import os
import signal
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

FLUSH_S = 2.0
"""How long a reader of our output may take for the rest of it."""

_hups: list[int] = []


def called() -> str:
    """What a person types for this command: its name, or its path where the shell would not find it by its name."""
    import shutil  # noqa: PLC0415 - `--help` needs none

    mine = Path(sys.argv[0])
    found = shutil.which("securescore")
    if mine.name != "securescore" or not mine.exists() or (found and mine.samefile(found)):
        return "securescore"
    return os.path.relpath(mine)


def expect_hup() -> None:
    """From now on a SIGHUP is remembered, instead of ending a process that has no handler of its own yet."""
    signal.signal(signal.SIGHUP, lambda number, _: _hups.append(number))


def hup_came() -> bool:
    """Whether one came before there was a handler."""
    return bool(_hups)


def to_end(work: Coroutine[Any, Any, int]) -> int:
    """As `asyncio.run`, which waits for every thread of its pool: one that hangs on a disk or a pipe is left behind."""
    import asyncio  # noqa: PLC0415 - `--help` needs none

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(work)
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def leave(code: int) -> NoReturn:
    """End the process now, after what was printed is out; the interpreter would wait for threads for ever."""
    if all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    flushing = threading.Thread(target=_flush, daemon=True)
    with suppress(RuntimeError):  # no thread to be had
        flushing.start()
        flushing.join(FLUSH_S)
    os._exit(code)


def _flush() -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
