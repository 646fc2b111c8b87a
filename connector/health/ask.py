"""What the running daemon says of itself: `status` asks it, so that it never disagrees with the loops.

Only its own health port on this machine is asked, and only what that port says in its own form is believed.
"""

import json
from typing import Any

import aiohttp

LIMIT_S = 3.0
MAX_ANSWER_BYTES = 64 * 1024


async def readiness(listen: str | None) -> dict[str, Any] | None:
    """{ready, reasons, warnings} as /readyz says; None where nobody listens, or it is not one of ours."""
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - asked, not bound
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S)) as session,
            session.get(f"http://{host}:{port}/readyz", allow_redirects=False) as answer,
        ):
            said = json.loads(await answer.content.read(MAX_ANSWER_BYTES))
        ready = said["ready"]
        reasons, warnings = ([str(word) for word in said[key]] for key in ("reasons", "warnings"))
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
        return None
    return {"ready": ready is True, "reasons": reasons, "warnings": warnings}
