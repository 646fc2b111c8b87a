"""Who polls now: a lease in a Splunk KV store collection, for inputs that several members of a cluster may start.

A turn is a record `<name>:<n>` of ours that `insert` refuses (409) to whoever comes second, so of two members one gets
it. It is kept until its time is over, not until the poll is: then a member whose schedule is a little behind does not
poll the same again. Its own holder may come back at once. A holder that dies is followed when the time is over.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connector.clock import iso, parse_iso
from connector.stores.kvstore import Collection, in_thread, status_of

TRIES = 3
LONGEST_S = 2 * 86_400
"""A lease that ends later than this was written under a wrong clock, and binds nobody."""


async def take(collection: Collection, name: str, holder: str, now: datetime, until: datetime) -> str | None:
    """Take the turn until then; None when it is ours, else who has it. Raises StoreError."""
    return await in_thread(lambda: _take(collection, name, holder, now, until))


def _take(collection: Collection, name: str, holder: str, now: datetime, until: datetime) -> str | None:
    for _ in range(TRIES):
        turns = sorted(_turns(collection, name), key=lambda turn: int(turn["n"]))
        last = turns[-1] if turns else None
        if last is not None and last["holder"] != holder and _runs(last, now):
            return str(last["holder"])
        n = int(last["n"]) + 1 if last is not None else 1
        record = {"_key": f"{name}:{n:012d}", "of": name, "n": n, "holder": holder, "until": iso(until)}
        try:
            collection.insert(json.dumps(record))
        except Exception as error:
            if status_of(error) == 409:
                continue  # another member was quicker: look again
            raise
        if turns:
            collection.delete(json.dumps({"of": name, "n": {"$lt": n}}))
        return None
    return "another member"


def _turns(collection: Collection, name: str) -> list[Mapping[str, Any]]:
    found = collection.query(query=json.dumps({"of": name}))
    return [turn for turn in found if str(turn.get("n")).isdigit() and "holder" in turn and "until" in turn]


def _runs(turn: Mapping[str, Any], now: datetime) -> bool:
    try:
        left_s = (parse_iso(str(turn["until"])) - now).total_seconds()
    except ValueError:
        return False
    return 0 < left_s <= LONGEST_S
