"""The advice for many units as one list: ranked over all, as JSON (next.schema.json) and as rows of a table. Pure.

No sentence is written here; a command draws, a report shows.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import asdict, evolve, frozen

from connector.advice.actions import order
from connector.advice.values import Action, Advice

SCHEMA = "urn:secure-score:next:1"
COLUMNS = (
    *("place", "tenant", "tenant_id", "day", "group", "control", "title", "points", "share_percent", "score"),
    *("max_score", "cost", "impact", "tier", "rank", "service", "category", "threats", "state", "declared_by"),
    *("declared_at", "comment", "assigned_to", "licences", "since", "since_exact", "url"),
)


@frozen
class Advised:
    """The advice for one unit of a tenant; `unit` is None where the tenant itself is the unit.

    `texts` is the language of what Microsoft wrote.
    """

    tenant: str
    tenant_id: str
    advice: Advice
    unit: None = None
    texts: str = "en-US"


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
            (order(one), unit.tenant, number, unit, one)
            for unit in units
            for number, one in enumerate(unit.advice.actions)
        ),
        key=lambda row: row[:3],
    )
    return [Place(number, unit, one) for number, (_, _, _, unit, one) in enumerate(found[:limit], 1)]


def document(units: Sequence[Advised], without_data: Iterable[str] = (), limit: int | None = None) -> dict[str, Any]:
    """All of it as one JSON document. `place` is an action's number in the list over all units."""
    places: dict[str, list[Place]] = {}
    for place in ranked(units, limit):
        places.setdefault(place.of.tenant_id, []).append(place)
    return {
        "schema": SCHEMA,
        "tenants": [_unit(unit, places.get(unit.tenant_id, ())) for unit in units],
        "without_data": list(without_data),
    }


def _unit(unit: Advised, places: Iterable[Place]) -> dict[str, Any]:
    told = asdict(evolve(unit.advice, actions=()))
    what_if = told.pop("what_if")
    return {
        "tenant": {"id": unit.tenant_id, "name": unit.tenant},
        "unit": unit.unit,
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
