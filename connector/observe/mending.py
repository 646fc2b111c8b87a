"""A tenant's state without the parts that cannot be read any more: which those are, and what is left. Pure.

What a part held is gone with it, and nothing else: without a month its days are unknown, without the catalogue the next
one is taken as it is. Without the head or the newest day there is nothing to compare with: the tenant begins anew.
"""

from collections.abc import Mapping

from attrs import evolve

from connector.errors import TenantDamaged
from connector.observe import memory
from connector.ports import State

ALL = ""
_ESSENTIAL = {ALL, "head", "newest"}


def unreadable(state: State) -> dict[str, str]:
    """The parts that cannot be read, or are missing although others tell of them, and why; ALL for the whole."""
    found = dict(state.lost)
    if ALL in found or not state.parts:
        return found
    head = {"head": state.parts["head"]} if "head" in state.parts else {}
    try:
        top = memory.head(State(state.generation, head))
    except TenantDamaged as error:
        return {**found, "head": error.what}
    if not head:
        return {"head": "missing", **found}
    for part, body in state.parts.items():
        try:
            list(memory.decode(State(state.generation, {**head, part: body})).days.values())
        except TenantDamaged as error:
            found[part] = error.what
    if top.get("newest") and "newest" not in state.parts:
        found.setdefault("newest", "missing")
    if top.get("seen_at") and "catalogue" not in state.parts:
        found.setdefault("catalogue", "missing")
    return found


def mended(state: State, gone: Mapping[str, str]) -> State:
    """What is left of a state; no part at all where it must be built anew."""
    if not _ESSENTIAL.isdisjoint(gone):
        return State(state.generation)
    left = evolve(state, parts={part: body for part, body in state.parts.items() if part not in gone}, lost={})
    top = memory.head(left)
    if "catalogue" in gone:
        top["seen_at"] = ""
    return memory.with_head(left, {**top, "pages": {}})  # what did not change since is read again all the same
