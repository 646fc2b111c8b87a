"""ecs.yaml against Elastic's published field definitions (ecs_fields.json says which, and what of them it holds).

Outside `secure_score` every field is one of ECS, of its type, an array where ECS says so and nowhere else, and holds an
allowed value. Inside, each has one type in all events: Elasticsearch refuses a document that brings another one.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connector.model import STREAM_OF_TYPE, Event
from tests.golden import samples

ECS = samples.mapping("ecs")
PUBLISHED: dict[str, Any] = json.loads(Path(__file__).with_name("ecs_fields.json").read_text("utf-8"))
FIELDS: dict[str, str] = PUBLISHED["fields"]
TEXTS = ("keyword", "match_only_text", "wildcard", "text")


def rendered(event: Event) -> dict[str, Any]:
    payload = ECS.render(event).payload
    assert isinstance(payload, dict)
    return payload


def leaves(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every field with its value; an object that ECS takes as a whole (labels) is one."""
    for key, inner in value.items():
        path = above + key
        if isinstance(inner, dict) and FIELDS.get(path) != "object":
            yield from leaves(inner, f"{path}.")
        else:
            yield path, inner


def faults(document: dict[str, Any]) -> list[str]:
    """What ECS has against a document."""
    found = []
    for path, value in leaves(document):
        if path.startswith("secure_score."):
            continue
        kind = FIELDS.get(path)
        if kind is None:
            found.append(f"{path}: ECS has no such field")
            continue
        if kind.endswith("[]") != isinstance(value, list):
            found.append(f"{path}: {kind}, not {value!r}")
            continue
        found += [
            f"{path}: {kind}, not {v!r}" for v in (value if isinstance(value, list) else [value]) if not _fits(kind, v)
        ]
        if path in PUBLISHED["allowed"]:
            values = value if isinstance(value, list) else [value]
            found += [f"{path}: {v!r} is not allowed" for v in values if v not in PUBLISHED["allowed"][path]]
    for category in document["event"].get("category", []):
        expected = PUBLISHED["types_of_category"].get(category)
        if expected is None:
            found.append(f"event.category: {category!r} is not allowed")
        elif not set(document["event"]["type"]) <= set(expected):
            found.append(f"event.type: {document['event']['type']} does not go with {category}")
    return found


def _fits(kind: str, value: Any) -> bool:
    kind = kind.removesuffix("[]")
    if kind in TEXTS:
        return isinstance(value, str)
    if kind == "date":
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    if kind == "long":
        return type(value) is int
    if kind == "object":
        return isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())
    return kind == "float" and type(value) in (int, float)


@pytest.mark.parametrize("name", samples.names())
def test_sample_is_ecs(name: str) -> None:
    document = rendered(samples.event(name))
    assert faults(document) == []
    assert document["ecs"]["version"] == PUBLISHED["version"]


@pytest.mark.parametrize("name", samples.names())
def test_sample_carries_what_elastic_looks_for(name: str) -> None:
    event = samples.event(name)
    document = rendered(event)
    assert document["@timestamp"] == event.time
    assert document["event"]["id"] == event.id
    assert document["event"]["action"] == event.type
    assert document["event"]["severity"] == event.severity
    assert document["event"]["dataset"] == f"secure_score.{STREAM_OF_TYPE[event.type]}"
    assert document.get("organization", {}).get("id", "") == event.tenant_id
    assert document.get("rule", {}).get("id") == (event.data.get("control") or {}).get("id")
    assert json.loads(document["event"]["original"]) == event.data


def test_our_own_fields_have_one_type_each() -> None:
    kinds: dict[str, set[str]] = {}
    for name in samples.names():
        for path, value in leaves(rendered(samples.event(name))):
            inner = value[0] if isinstance(value, list) and value else value
            kinds.setdefault(path, set()).add(type(inner).__name__)
    assert {path: found for path, found in kinds.items() if len(found) > 1} == {}


def test_a_controls_techniques_are_threat_fields() -> None:
    references = {"attack": ["T1110", "T1566.002", "T1078"], "nist_csf": []}
    document = rendered(samples.event("control.score_changed/regressed", {"data.control.frameworks": references}))
    assert document["threat"] == {
        "framework": "MITRE ATT&CK",
        "technique": {"id": ["T1110", "T1078"], "subtechnique": {"id": ["T1566.002"]}},
    }
    assert faults(document) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"event": {"colour": "red"}}, "event.colour: ECS has no such field"),
        ({"event": {"kind": "finding"}}, "event.kind: 'finding' is not allowed"),
        ({"event": {"severity": "7"}}, "event.severity: long, not '7'"),
        ({"event": {"category": "configuration"}}, "event.category: keyword[], not 'configuration'"),
        ({"rule": {"name": ["x"]}}, "rule.name: keyword, not ['x']"),
        ({"event": {"type": ["connection"]}}, "event.type: ['connection'] does not go with configuration"),
        ({"event": {"created": 1795338723000}}, "event.created: date, not 1795338723000"),
    ],
)
def test_the_judge_can_say_no(changes: dict[str, dict[str, Any]], words: str) -> None:
    document = rendered(samples.event("control.added"))
    for group, fields in changes.items():
        document[group] = {**document[group], **fields}
    assert words in faults(document)
