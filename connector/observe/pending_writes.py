"""What an operator's command is about to change at Microsoft: kept from before it is sent until its event is there.

Pure: values of a tenant's head in, values out. If the command dies in between, the next poll finds what it left and
tells it; nothing here, and nothing that polls, sends anything.
"""

from collections.abc import Mapping
from typing import Any

from attrs import asdict

from connector.clock import parse_iso
from connector.model import Change

LEFT_AFTER_S = 600.0
"""Longer than a change can take with all its retries: what is older has nobody who would end it."""

_KEY = "writing"


def begun(head: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """The head that knows of a change about to be sent; `change` is its event if nothing more is ever heard of it."""
    return {**head, _KEY: {**head.get(_KEY, {}), _name(change): asdict(change)}}


def ended(head: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """The head after that change was recorded, or was never sent."""
    left = {name: data for name, data in head.get(_KEY, {}).items() if name != _name(change)}
    values = {key: value for key, value in head.items() if key != _KEY}
    return {**values, _KEY: left} if left else values


def abandoned(head: Mapping[str, Any], now: str) -> tuple[dict[str, Any], list[Change]]:
    """The head without the changes that nobody will end any more, and these."""
    found = [Change(**data) for data in head.get(_KEY, {}).values()]
    old = [c for c in found if (parse_iso(now) - parse_iso(str(c.occurred_at))).total_seconds() >= LEFT_AFTER_S]
    values = dict(head)
    for change in old:
        values = ended(values, change)
    return values, old


def _name(change: Change) -> str:
    return f"{change.subject} {change.occurred_at}"
