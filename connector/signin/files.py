"""Files that credentials lie in, used within a bounded time: a share that hangs must not stop other tenants' sign-ins.

What is in them is known to whoever asks. Their threads are theirs alone, and one file takes no more than one of them.
"""

from collections.abc import Callable
from typing import TypeVar

from connector.clock import Threads
from connector.errors import Unavailable

_T = TypeVar("_T")

LIMIT_S = 10.0
_THREADS = Threads("credential-file", 8)


async def in_time(what: str, path: str, work: Callable[[], _T]) -> _T:
    """What `work`, which uses this file, returns or raises. Raises Unavailable when the file does not answer."""
    try:
        return await _THREADS.run(work, LIMIT_S, path)
    except TimeoutError as error:
        raise _hangs(what, error) from None


def in_time_here(what: str, path: str, work: Callable[[], _T]) -> _T:
    """As `in_time`, for a worker thread."""
    try:
        return _THREADS.wait(work, LIMIT_S, path)
    except TimeoutError as error:
        raise _hangs(what, error) from None


def _hangs(what: str, error: TimeoutError) -> Unavailable:
    return Unavailable(f"{what} does not answer: {error}", hint="See that its disk or share works on this machine.")
