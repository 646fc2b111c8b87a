"""A compiled mapping as small functions, made once for each event type and run for every event of it. Pure.

This is what a mapping means; generate.py says the same in less time and is held against it. Which of both an event
takes is chosen in render.py. What a receiver's wire looks like lives in formats/.

A compiled mapping is JSON:
  mapping  {"compiled": 1, "name", "encode", "tables": {name: table}, "layers": [layer]}
  layer    {"all": section, "streams": {stream: section}, "types": {glob: section}}, one per file of the `extends` chain
  section  {"header": {key: node}, "fields": {key: node}}
  node     one of {"from": [expr]} {"value"} {"constant"} {"join": [node], "sep"} {"object": {key: node}} {"list": […]},
           with the modifiers when, format, table, default, type, max, max_octets, applied in this order

For one event type, later layers win over earlier ones, and within a layer types over streams over all, key by key; a
null node takes an inherited key away. Of two type sections that match, the more exact one wins, in whatever order they
stand: a whole name over a glob, a longer glob over a shorter one. In json and object a dot in a key nests objects.
"""

import re
from collections import abc
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import jmespath
from attrs import frozen
from jmespath.exceptions import JMESPathTypeError

from connector import __version__
from connector.formats import cef, cloudevents, jsonl, leef
from connector.formats.text import as_text, cut_chars, cut_octets, encodable
from connector.mapping.formatters import TYPES, formatter
from connector.model import Event

COMPILED = 1
"""Version of the compiled form; another one is refused."""

CONSTANTS: abc.Mapping[str, str] = {"version": __version__, "product": "Secure Score Connector"}
"""What `constant:` may name."""

ENCODINGS = ("cef", "leef", "cloudevents", "json", "object")

PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")

Getter = Callable[[Any], Any]


@frozen
class Plan:
    """What is made of one type of event: header getters and, in order, each output path with its getter.

    `labels` are CEF's fields that are the same in every event of the type, ready to stand behind the key they explain.
    """

    header: dict[str, Getter]
    fields: list[tuple[tuple[str, ...], Getter]]
    labels: dict[str, str]


# -------------------------------------------------------------------------------------------------------- compiling


_WILD = re.compile(r"[*?]|\[[^\]]*\]")


def merged(compiled: abc.Mapping[str, Any], part: str, kind: str, stream: str) -> dict[str, dict[str, Any]]:
    """The nodes of one part ("header" or "fields") that hold for an event type, in the order they were first named."""
    nodes: dict[str, dict[str, Any] | None] = {}
    for layer in compiled["layers"]:
        nodes.update(layer["all"][part])
        nodes.update(layer["streams"].get(stream, {}).get(part, {}))
        for glob in sorted((glob for glob in layer["types"] if fnmatchcase(kind, glob)), key=_exactness):
            nodes.update(layer["types"][glob][part])
    return {key: node for key, node in nodes.items() if node is not None}


def _exactness(glob: str) -> tuple[bool, int, str]:
    """Sorts type sections so that the more exact one comes later, wherever they stand in their file."""
    return (not _WILD.search(glob), len(_WILD.sub("", glob)), glob)


def plan_of(compiled: abc.Mapping[str, Any], kind: str, stream: str) -> Plan:
    tables = compiled["tables"]
    header = {key: getter(node, tables) for key, node in merged(compiled, "header", kind, stream).items()}
    nests = compiled["encode"] in ("json", "object")
    nodes = merged(compiled, "fields", kind, stream)
    labels = ready_labels(nodes) if compiled["encode"] == "cef" else {}
    fields = [
        (tuple(key.split(".")) if nests else (key,), getter(node, tables))
        for key, node in nodes.items()
        if cef.LABELS.get(key) not in labels
    ]
    return Plan(header, fields, labels)


def ready_labels(nodes: abc.Mapping[str, abc.Mapping[str, Any]]) -> dict[str, str]:
    """Key → its label, where that is a plain text directly behind it: a third of a CEF line need not be made anew."""
    return {
        key: cef.label(behind, nodes[behind]["value"])
        for key, behind in pairwise(nodes)
        if cef.LABELS.get(behind) == key
        and nodes[behind].keys() == {"value"}
        and isinstance(nodes[behind]["value"], str)
    }


def empty(value: Any) -> bool:
    """None, "", [] and {}; zero and false are facts."""
    return not value and value != 0


def getter(node: abc.Mapping[str, Any], tables: abc.Mapping[str, abc.Mapping[str, Any]]) -> Getter:
    source = _source(node, tables)
    steps: list[Callable[[Any], Any]] = [formatter(spec) for spec in node.get("format", ())]
    if "table" in node:
        table = node["table"] if isinstance(node["table"], abc.Mapping) else tables[node["table"]]
        steps.append(lambda value: None if isinstance(value, list | dict) else table.get(as_text(value)))
    default = node.get("default")
    last: list[Callable[[Any], Any]] = []
    if "type" in node:
        last.append(TYPES[node["type"]])
    if "max" in node:
        last.append(_cut(cut_chars, node["max"]))
    if "max_octets" in node:
        last.append(_cut(cut_octets, node["max_octets"]))
    get = _pipeline(source, steps, default, last)
    if "when" in node:
        condition = expression(node["when"])
        return lambda doc: None if (held := condition(doc)) is False or empty(held) else get(doc)
    return get


def _pipeline(source: Getter, steps: Sequence[Getter], default: Any, last: Sequence[Getter]) -> Getter:
    if not steps and not last and default is None:
        return source
    if len(steps) == 1 and not last and default is None:
        step = steps[0]
        return lambda doc: None if not (value := source(doc)) and value != 0 else step(value)

    def get(doc: Any) -> Any:
        value = source(doc)
        for step in steps:
            if not value and value != 0:
                break
            value = step(value)
        if not value and value != 0:
            value = default
        for step in last:
            if value is not None:
                value = step(value)
        return value

    return get


def _cut(cut: Callable[[str, int], str], limit: int) -> Getter:
    return lambda value: cut(value, limit) if isinstance(value, str) else value


def _source(node: abc.Mapping[str, Any], tables: abc.Mapping[str, abc.Mapping[str, Any]]) -> Getter:
    if "from" in node:
        choices = [expression(text) for text in node["from"]]
        return choices[0] if len(choices) == 1 else lambda doc: _first(choices, doc)
    if "value" in node or "constant" in node:
        value = CONSTANTS[node["constant"]] if "constant" in node else node["value"]
        return lambda _doc: value
    if "join" in node:
        parts, sep = [getter(part, tables) for part in node["join"]], node.get("sep", " ")
        return lambda doc: sep.join([text for part in parts if (text := as_text(part(doc)))])
    if "object" in node:
        members = [(tuple(key.split(".")), getter(inner, tables)) for key, inner in node["object"].items()]
        return lambda doc: nested(members, doc)
    items = [getter(inner, tables) for inner in node["list"]]
    return lambda doc: [value for item in items if not empty(value := item(doc))]


def _first(choices: Sequence[Getter], doc: Any) -> Any:
    for choice in choices:
        value = choice(doc)
        if value or value == 0:
            return value
    return None


def expression(text: str) -> Getter:
    """The function of an expression: a plain dotted path is looked up directly, anything else is JMESPath.

    Both give None for what is not there; a JMESPath function that meets a wrong type gives None too, since an absent
    part of an event is no fault of the mapping. Raises jmespath's ParseError.
    """
    if PLAIN_PATH.fullmatch(text):
        return _lookup(tuple(text.split(".")))
    compiled = jmespath.compile(text)

    def search(doc: Any) -> Any:
        try:
            return compiled.search(doc)
        except JMESPathTypeError:
            return None

    return search


def _lookup(keys: tuple[str, ...]) -> Getter:
    """The value at a path. Most paths are short and most objects dicts: this is where rendering spends its time."""
    if len(keys) == 1:
        only = keys[0]
        return lambda doc: doc.get(only)

    def get(doc: Any) -> Any:
        value = doc
        for key in keys:
            if type(value) is not dict and not isinstance(value, abc.Mapping):
                return None
            value = value.get(key)
        return value

    if len(keys) == 2:
        first, second = keys
        return lambda doc: at.get(second) if type(at := doc.get(first)) is dict else get(doc)
    if len(keys) == 3:
        first, second, third = keys

        def get_three(doc: Any) -> Any:
            at = doc.get(first)
            if type(at) is dict:
                at = at.get(second)
                if type(at) is dict:
                    return at.get(third)
            return get(doc)

        return get_three
    return get


# -------------------------------------------------------------------------------------------------------- rendering


def nested(fields: Sequence[tuple[tuple[str, ...], Getter]], doc: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for path, get in fields:
        value = get(doc)
        if not value and value != 0:
            continue
        at = result
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = value
    return result


def _flat(fields: Sequence[tuple[tuple[str, ...], Getter]], doc: Any) -> dict[str, Any]:
    return {path[0]: value for path, get in fields if (value := get(doc)) or value == 0}


def _word(header: abc.Mapping[str, Getter], key: str, doc: Any) -> str:
    return as_text(header[key](doc))


def _to_cef(plan: Plan, event: Event) -> str:
    header, doc = plan.header, cloudevents.document(event)
    severity = header["severity"](doc)
    head = cef.header(
        _word(header, "vendor", doc),
        _word(header, "product", doc),
        _word(header, "version", doc),
        _word(header, "class_id", doc),
        _word(header, "name", doc),
        severity if type(severity) is int else 0,
    )
    return cef.encode(head, _flat(plan.fields, doc), plan.labels)


def _to_leef(plan: Plan, event: Event) -> str:
    header, doc = plan.header, cloudevents.document(event)
    head = leef.Header(
        vendor=_word(header, "vendor", doc),
        product=_word(header, "product", doc),
        version=_word(header, "version", doc),
        class_id=_word(header, "class_id", doc),
    )
    return leef.encode(head, _flat(plan.fields, doc))


def _to_cloudevents(_plan: Plan, event: Event) -> str:
    return cloudevents.dumps(event)


def _to_object(plan: Plan, event: Event) -> dict[str, Any]:
    result = sound(nested(plan.fields, cloudevents.document(event)))
    assert isinstance(result, dict)
    return result


def _to_json(plan: Plan, event: Event) -> str:
    return jsonl.dumps(_to_object(plan, event))


def sound(value: Any) -> Any:
    """A copy that any JSON receiver takes: keys are text, no lone surrogate, NaN and the infinities are null."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, abc.Mapping):
        return {  # plain keys and values, nearly all there are, are not worth a call each
            key if type(key) is str and key.isascii() else encodable(as_text(key)): inner
            if (kind := type(inner)) is int or kind is bool or (kind is str and inner.isascii())
            else sound(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [sound(inner) for inner in value]
    return encodable(as_text(value))


ENCODERS: abc.Mapping[str, Callable[[Plan, Event], str | dict[str, Any]]] = {
    "cef": _to_cef,
    "leef": _to_leef,
    "cloudevents": _to_cloudevents,
    "json": _to_json,
    "object": _to_object,
}
