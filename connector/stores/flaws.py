"""A flaw of the state as bytes, and for how long it counts. Pure: each store keeps its flaws in its own way."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import asdict

from connector.clock import iso
from connector.ports import FLAW_DAYS, Flaw


def dumps(flaw: Flaw) -> bytes:
    return json.dumps(asdict(flaw), sort_keys=True).encode("ascii")


def loads(body: bytes | str, name: str) -> Flaw:
    """The reverse. A note that cannot be read is a flaw itself."""
    try:
        return Flaw(**json.loads(body))
    except (ValueError, TypeError) as error:
        return Flaw("state_damaged", name, f"a note of what was lost cannot be read: {type(error).__name__}")


def current(flaws: Iterable[Flaw], now: datetime) -> list[Flaw]:
    """Those that still count, oldest first. What is dated ahead counts: a clock may have been wrong."""
    since = iso(now - timedelta(days=FLAW_DAYS))
    return sorted((f for f in flaws if not f.at or f.at >= since), key=lambda f: (f.at, f.document))
