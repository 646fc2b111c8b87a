"""An entry's state without the parts that cannot be read any more: which those are, and what is left. Pure.

What a part held is gone with it, and nothing else: without a month its days are unknown, without the catalogue the next
one is taken as it is. Without its head or its newest day there is nothing to compare a unit with: it begins anew, and
the other units of its entry go on.
"""

from collections.abc import Mapping

from attrs import evolve

from connector.errors import TenantDamaged
from connector.observe import memory
from connector.observe.units import PREFIX, ROSTER, applied, roster, split, step
from connector.ports import State

ALL = ""
_ESSENTIAL = {ALL, "head", "newest"}


def unreadable(state: State) -> dict[str, str]:
    """The parts that cannot be read, or are missing although others tell of them, and why; ALL for the whole."""
    own, units = split(state)
    found = _unreadable(own)
    for unit, of_unit in units.items():
        found |= {f"{PREFIX}{unit}/{part}": why for part, why in _unreadable(of_unit).items()}
    return found


def _unreadable(state: State) -> dict[str, str]:
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
    """What is left of a state; nothing at all of a unit that must be built anew."""
    own, units = split(state)
    parts: dict[str, bytes | None] = {}
    touched = set()
    for unit, of_unit in units.items():
        lost = {part for part in (*of_unit.parts, *_ESSENTIAL) if f"{PREFIX}{unit}/{part}" in gone}
        if lost:
            touched.add(unit)
            dropped = lost if _ESSENTIAL.isdisjoint(lost) else of_unit.parts
            parts |= {f"{PREFIX}{unit}/{part}": None for part in dropped}
    anew = not _ESSENTIAL.isdisjoint(gone)
    parts |= {part: None for part in own.parts if anew or part in gone}
    left = evolve(applied(state, parts), lost={})
    if anew:
        return State(state.generation, left.parts)
    top = memory.head(left)
    if "catalogue" in gone:
        top["seen_at"] = ""
    if touched:  # what is left of them is folded again, even where nothing of it moved
        rows = roster(top)
        top[ROSTER] = {key: {**row, "read": ""} if step(key) in touched else row for key, row in rows.items()}
    return memory.with_head(left, {**top, "pages": {}})  # what did not change since is read again all the same


def begun_anew(state: State, gone: Mapping[str, str]) -> tuple[bool, list[str]]:
    """Whether the entry itself must be built anew, and the keys of those of its other units that must."""
    steps = {part.removeprefix(PREFIX).partition("/")[0] for part in gone if part.startswith(PREFIX)}
    lost = {
        s
        for s in steps
        if not _ESSENTIAL.isdisjoint(p.rpartition("/")[2] for p in gone if p.startswith(f"{PREFIX}{s}/"))
    }
    own = not _ESSENTIAL.isdisjoint(gone)
    return own, [] if own else [key for key in roster(memory.head(state)) if step(key) in lost]
