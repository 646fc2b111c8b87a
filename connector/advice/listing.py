"""The advice for many units as one list: ranked over all, as JSON (next.schema.json) and as rows of a table. Pure.

No sentence is written here; a command draws, a report shows.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, frozen

from connector.advice.actions import order
from connector.advice.values import Action, Advice

SCHEMA = "urn:secure-score:next:1"
COLUMNS = (
    *("place", "tenant", "tenant_id", "day", "group", "control", "title", "points", "share_percent", "score"),
    *("max_score", "cost", "impact", "tier", "rank", "service", "category", "threats", "state", "declared_by"),
    *("declared_at", "comment", "assigned_to", "licences", "since", "since_exact", "url"),
    *("unit", "unit_id"),
)


@frozen
class Advised:
    """The advice for one unit of a tenant; `unit` (kind, id, name, score) is None where the tenant itself is the unit.

    `entry` is the key of the entry of `tenants` that it belongs to. `texts` is the language of what Microsoft wrote.
    """

    tenant: str
    tenant_id: str
    advice: Advice
    unit: Mapping[str, Any] | None = None
    texts: str = "en-US"
    entry: str = ""

    @property
    def name(self) -> str:
        """The tenant's name, with that of the unit."""
        return self.tenant if self.unit is None else f"{self.tenant}: {self.unit['name'] or self.unit['id']}"


@frozen
class Place:
    """An action in the list over all units: `number` counts from 1."""

    number: int
    of: Advised
    action: Action


def ranked(units: Sequence[Advised], limit: int | None = None) -> list[Place]:
    """The actions of all units, best first; no more than `limit`."""
    found = sorted(
        (
            (order(one), unit.name, number, unit, one)
            for unit in units
            for number, one in enumerate(unit.advice.actions)
        ),
        key=lambda row: row[:3],
    )
    return [Place(number, unit, one) for number, (_, _, _, unit, one) in enumerate(found[:limit], 1)]


def document(units: Sequence[Advised], without_data: Iterable[str] = (), limit: int | None = None) -> dict[str, Any]:
    """All of it as one JSON document. `place` is an action's number in the list over all units."""
    places: dict[int, list[Place]] = {}
    for place in ranked(units, limit):
        places.setdefault(id(place.of), []).append(place)
    return {
        "schema": SCHEMA,
        "tenants": [_unit(unit, places.get(id(unit), ())) for unit in units],
        "without_data": list(without_data),
    }


def _unit(unit: Advised, places: Iterable[Place]) -> dict[str, Any]:
    told = asdict(evolve(unit.advice, actions=()))
    what_if = told.pop("what_if")
    return {
        "tenant": {"id": unit.tenant_id, "name": unit.tenant},
        "unit": None if unit.unit is None else dict(unit.unit),
        **told,
        "actions": [{"place": place.number, **asdict(place.action)} for place in places],
        "what_if": what_if,
    }


def rows(places: Iterable[Place]) -> list[list[object]]:
    """The list as rows of COLUMNS."""
    return [[_cell(place, column) for column in COLUMNS] for place in places]


def _cell(place: Place, column: str) -> object:
    one, declared = place.action, place.action.declared
    own: dict[str, object] = {
        "place": place.number,
        "tenant": place.of.tenant,
        "tenant_id": place.of.tenant_id,
        "unit": place.of.unit and place.of.unit["name"],
        "unit_id": place.of.unit and place.of.unit["id"],
        "day": place.of.advice.day,
        "threats": "; ".join(one.threats),
        "licences": " or ".join(one.licences),
        "declared_by": declared and declared.by,
        "declared_at": declared and declared.at,
        "comment": declared and declared.comment,
        "assigned_to": declared and declared.assigned_to,
        "since_exact": "yes" if one.since_exact else "no",
    }
    return own[column] if column in own else getattr(one, column)
