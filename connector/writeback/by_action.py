"""What an alert action asks for: its payload → one wish and whose it is, or all that keeps it from being sent. Pure.

A person must stand behind each change. So an action that a schedule started is refused, whatever it says, and so is one
of no named user; and until it says "send", it only shows what would be done.
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from connector.writeback.plan import Wanted, wanted
from connector.writeback.record import Operator

NOBODY = ("", "nobody", "splunk-system-user")
SCHEDULED = ("scheduler_", "rt_scheduler_")
SEND = "send"


@frozen
class Asked:
    """One wish. `send` False: look only. `account` signs in, `index` keeps the event of what was done."""

    wish: Wanted
    account: str
    index: str
    send: bool
    operator: Operator


def asked(payload: Mapping[str, Any]) -> tuple[Asked | None, list[str]]:
    """What a payload of Splunk's alert actions asks for, or everything that is wrong with it."""
    given = payload.get("configuration")
    texts = {key: str(value).strip() for key, value in given.items()} if isinstance(given, Mapping) else {}
    owner, sid = str(payload.get("owner") or ""), str(payload.get("sid") or "")
    problems = []
    if sid.startswith(SCHEDULED):
        problems.append("a schedule asks for it: a state is declared by a person, who runs the action from an event")
    if owner in NOBODY:
        problems.append("no named user asks for it")
    if not texts.get("account"):
        problems.append("account: name the one whose app registration may write")
    if not texts.get("index"):
        problems.append("index: name the one that keeps the event of the change")
    mode = texts.get("mode") or "look"
    if mode not in ("look", SEND):
        problems.append(f"mode: {mode[:40]!r} is neither look nor send")
    assigned = texts.get("assigned_to") or None
    wish, more = wanted(texts.get("control", ""), texts.get("state", ""), texts.get("comment", ""), assigned)
    if wish is None or problems:
        return None, [*problems, *more]
    operator = Operator(owner, str(payload.get("server_host") or "splunk"), "Splunk")
    return Asked(wish, texts["account"], texts["index"], mode == SEND, operator), []
