"""sentinel.yaml as a source of tables: what data collection rules and tables are generated from it must be allowed."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from connector.formats.ingestion import SHORTENED
from connector.mapping.formatters import TYPES
from connector.model import STREAMS
from sinks.sentinel import OPTIONS
from tests.fakes.ingestion import RESERVED, declared
from tests.golden import samples

LOADED = samples.mapping("sentinel")
ADDED_BY_AZURE = {"_itemid", "_billedsize", "_isbillable", "_timereceived", "sourcesystem", "mg", "rawdata", "computer"}

NOT_A_COLUMN = {"stream"}
"""Parts of an event that no column holds, each with its reason: the table is the stream."""


def nodes() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for layer in LOADED.compiled["layers"]:
        for section in (layer["all"], *layer["streams"].values(), *layer["types"].values()):
            yield from section["fields"].items()


@pytest.mark.parametrize("stream", STREAMS)
def test_columns_may_be_declared(stream: str) -> None:
    columns = LOADED.columns(stream)
    assert declared(columns) == columns
    assert not {name.casefold() for name in columns} & (RESERVED | ADDED_BY_AZURE)
    assert len({name.casefold() for name in columns}) == len(columns)
    assert not [name for name in columns if name[0].islower() or "_" in name], "PascalCase"
    assert set(columns.values()) <= set(TYPES)


def test_a_column_has_one_type_wherever_it_stands() -> None:
    types: dict[str, set[str]] = {}
    for name, node in nodes():
        types.setdefault(name, set()).add(node["type"])
    assert {name: found for name, found in types.items() if len(found) > 1} == {}


@pytest.mark.parametrize("stream", STREAMS)
def test_every_table_begins_with_the_same_columns(stream: str) -> None:
    common = list(LOADED.compiled["layers"][0]["all"]["fields"])
    assert list(LOADED.columns(stream))[: len(common)] == common
    assert common[:5] == ["TimeGenerated", "EventTime", "Day", "OccurredAt", "EventId"]
    assert SHORTENED in common


@pytest.mark.parametrize("name", samples.names())
def test_a_row_has_declared_columns_with_fitting_values_only(name: str) -> None:
    event = samples.event(name)
    row = LOADED.render(event).payload
    assert isinstance(row, dict)
    columns = LOADED.columns(event.stream)
    assert row.keys() <= columns.keys()
    for column, value in row.items():
        assert TYPES[columns[column]](value) == value
    assert row["TimeGenerated"] == event.data["observed_at"]
    assert row["EventTime"] == event.time
    assert row["EventId"] == event.id
    assert row["EventType"] == event.type


@pytest.mark.parametrize("name", samples.names())
def test_nothing_of_an_event_is_left_behind(name: str) -> None:
    """Every text and number in an event is found in its row, whatever column it stands in."""
    event = samples.event(name)
    found = set(_leaves(LOADED.render(event).payload))
    data = {key: value for key, value in event.data.items() if key not in NOT_A_COLUMN}
    missing = {leaf for leaf in _leaves(data) if leaf not in found and f"{leaf}T00:00:00Z" not in found}
    assert missing == set()


def _leaves(value: Any) -> Iterator[str | float]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str | int | float) and value != "":
        yield value


def test_the_default_streams_are_those_of_the_tables() -> None:
    assert OPTIONS["streams"].default == {
        "score": "Custom-SecureScoreDaily_CL",
        "inventory": "Custom-SecureScoreInventory_CL",
        "change": "Custom-SecureScoreChange_CL",
        "health": "Custom-SecureScoreHealth_CL",
    }
