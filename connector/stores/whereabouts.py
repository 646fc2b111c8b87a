"""Whether a state lies where it was last used, and is as new as it was then.

A state says which one it is and where it was last used. The lock file beside it, which no copy of the state brings
along, says which one was used here and how many commits it had.
"""

import json
from contextlib import suppress
from pathlib import Path

from connector.clock import iso
from connector.ports import Clock, Flaw
from connector.stores.lock import Mark, WriterLock, busy_copy, holder_of_copy

_MACHINE = Path("/etc/machine-id")


def home_of(path: Path) -> str:
    """Where a state is used now: this machine, as far as it has a name of its own, and the path."""
    machine = ""
    with suppress(OSError, ValueError):
        machine = _MACHINE.read_text(encoding="ascii").strip()
    return json.dumps({"machine": machine, "path": str(path)}, sort_keys=True)


def arrived(lock: WriterLock, mark: Mark, home: str, clock: Clock) -> list[Flaw]:
    """What is to be told of the state that was opened under this lock. Raises StoreBusy for a copy of one in use."""
    at = iso(clock.now())
    found = []
    if what := _moved(lock.path, mark.state, home):
        found.append(Flaw("state_copied", f"the place of the state, as opened at {at}", what, at=at))
    if what := _restored(lock.before, mark):
        found.append(Flaw("state_restored", f"the state, as opened at {at}", what, at=at))
    return found


def _moved(path: Path, state: str, home: str) -> str:
    here = json.loads(home_of(path))
    try:
        was = json.loads(home)
        machine, other = was["machine"], Path(was["path"])
    except (ValueError, KeyError, TypeError):
        return ""  # never used by a version that says so
    if machine != here["machine"]:
        if not (machine and here["machine"]):
            return ""  # a container may be another machine at each start
        return f"it was last used on another machine, as {other}"
    if other == path:
        return ""
    if holder := holder_of_copy(other, state):
        raise busy_copy(path, other, holder)
    return f"it was last used as {other}, where there still is one" if other.exists() else ""


def _restored(before: Mark | None, mark: Mark) -> str:
    if before is None or before.state != mark.state or before.commits <= mark.commits:
        return ""
    return f"it has {mark.commits} commits; when it was last used here it had {before.commits}"
