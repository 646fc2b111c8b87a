"""An entry of several units: which parts of its state are whose, and whose its own words are. Pure.

The unit that stands for all of the entry (the aggregate of its subscriptions, an organization) has its memory in the
entry's own parts, named as those of a tenant that is one unit. Any other unit has parts of the same names behind
`u/<unit>/`. So a view of either is a `State` that memory.py reads and writes like any other. What the entry's head says
of its units, the roster, is made in estate.py; nothing is decided here.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve

from connector.config.values import TenantConfig
from connector.model import WHOLE, Unit
from connector.observe import aggregate, memory
from connector.observe.events import Origin
from connector.ports import State, Wanted

PREFIX = memory.OF_OTHERS
ROSTER = "units"
"""The key of the roster in the entry's head: a row a unit, by the unit's key."""
MAX_STEP = 100
_PLAIN = re.compile(rb"[a-z0-9-]")


def whole(tenant: TenantConfig) -> Unit | None:
    """The unit that stands for all of an entry; None for a tenant that is one unit."""
    if tenant.source == "defender_cloud":
        return aggregate.unit(tenant.tenant_id)
    if tenant.source == "defender_endpoint":
        return Unit("organization", tenant.tenant_id, score="exposureScore")
    return None


def origin(tenant: TenantConfig, unit: Unit | None = None) -> Origin:
    """Whose the events of a unit are; without one, those of the entry itself."""
    return Origin(tenant.tenant_id, tenant.name, tenant.labels, tenant.source, unit or whole(tenant))


def ours(tenant: TenantConfig) -> Origin:
    """Whose events those are that the connector tells of its own work for an entry.

    One of several units keeps its source: that, with its unit, is what such an event's entry is known by.
    """
    found = origin(tenant)
    return found if found.unit is not None else evolve(found, source="connector")


def step(key: str) -> str:
    """A unit as one step of a part's name, in [a-z0-9_.-] only: the same unit, the same step, and no other's."""
    name = ".".join("".join(chr(c) if _PLAIN.match(bytes([c])) else f"_{c:02x}" for c in raw) for raw in _raw(key))
    return name if len(name) <= MAX_STEP else f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _raw(key: str) -> list[bytes]:
    return [part.encode("utf-8", "surrogatepass") for part in key.split("/")]


def split(state: State | None) -> tuple[State, dict[str, State]]:
    """The entry's own state, and that of each other unit by its step."""
    if state is None:
        return State(), {}
    own: dict[str, bytes] = {}
    parts: dict[str, dict[str, bytes]] = {}
    lost: dict[str, dict[str, str]] = {}
    for name, body in state.parts.items():
        unit, rest = _whose(name)
        (own if unit is None else parts.setdefault(unit, {}))[rest] = body
    own_lost: dict[str, str] = {}
    for name, why in state.lost.items():
        unit, rest = _whose(name)
        (own_lost if unit is None else lost.setdefault(unit, {}))[rest] = why
    units = {
        unit: State(state.generation, parts.get(unit, {}), lost=lost.get(unit, {})) for unit in sorted({*parts, *lost})
    }
    return evolve(state, parts=own, lost=own_lost), units


def of_unit(state: State | None, key: str, entry: Unit | None = None) -> State:
    """The state of one unit; that of the entry itself where `entry`, the unit that stands for it, has this key."""
    own, units = split(state)
    return own if entry is not None and key == entry.key else units.get(step(key), State())


def of_all(wanted: Wanted) -> Wanted:
    """The parts that are wanted, of every unit of an entry."""
    return lambda part: wanted(_whose(part)[1])


def parts_of(key: str, before: State, after: State) -> dict[str, bytes | None]:
    """What of the entry's parts becomes another when a unit's state does; None for a part that is gone."""
    prefix = f"{PREFIX}{step(key)}/"
    found: dict[str, bytes | None] = {
        prefix + name: body for name, body in after.parts.items() if before.parts.get(name) is not body
    }
    return found | {prefix + name: None for name in before.parts.keys() - after.parts.keys()}


def applied(state: State, parts: Mapping[str, bytes | None]) -> State:
    """The entry's state with these parts instead."""
    if not parts:
        return state
    kept = dict(state.parts)
    for name, body in parts.items():
        if body is None:
            kept.pop(name, None)
        else:
            kept[name] = body
    return evolve(state, parts=kept)


def roster(head: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rows of an entry's units, by key; {} for a tenant that is one unit."""
    found: Mapping[str, Any] = head.get(ROSTER, {})
    return found


def refused(head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is being refused of an entry, by its head: as memory.refused, with the unit where that is not the entry."""
    found: list[dict[str, Any]] = list(memory.refused(head))
    for key, row in roster(head).items():
        if row["kind"] not in WHOLE:
            found += [{**entry, "unit": key} for entry in row.get("refused", ())]
    return found


def approved(state: State, keys: Collection[str] | None = None) -> tuple[State | None, dict[str, State]]:
    """The state in which what is being refused of these units (None = all) is approved by the operator; None when
    nothing is. And the state of each unit that had something approved, by its key ("" for a tenant that is one unit).
    """
    own, others = split(state)
    rows = roster(memory.head(own))
    wanted = {key: row for key, row in rows.items() if keys is None or key in keys}
    found: dict[str, State] = {}
    parts: dict[str, bytes | None] = {}
    for key, row in wanted.items():
        if row["kind"] not in WHOLE and row.get("refused"):
            before = others.get(step(key), State())
            if (after := memory.approve(before)) is not None:
                found[key] = after
                parts |= parts_of(key, before, after)
    whole_key = next((key for key, row in wanted.items() if row["kind"] in WHOLE), "" if not rows else None)
    left = applied(state, parts)
    if whole_key is not None and (after := memory.approve(own)) is not None:
        found[whole_key] = after
        left = evolve(left, parts={**left.parts, "head": after.parts["head"]})
    return (left if found else None), found


def without(state: State, keys: Collection[str]) -> State:
    """The entry's state without these units; the next poll reads everything anew, as the score over all is another."""
    _, others = split(state)
    parts: dict[str, bytes | None] = {}
    for key in keys:
        parts |= parts_of(key, others.get(step(key), State()), State())
    top = memory.head(state)
    left = {key: row for key, row in roster(top).items() if key not in keys}
    return memory.with_head(applied(state, parts), {**top, ROSTER: left, "pages": {}})


def _whose(name: str) -> tuple[str | None, str]:
    """The step of the unit that a part belongs to (None: the entry's own), and its name there."""
    if not name.startswith(PREFIX):
        return None, name
    unit, _, rest = name.removeprefix(PREFIX).partition("/")
    return unit, rest
