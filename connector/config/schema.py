"""The JSON Schemas of the configuration and of a baseline file, for editors, from the tables that the parser checks
against.

Draft 2020-12. They say what an editor can know: keys, types, words, descriptions; the parser says the rest. Shipped as
`config.schema.json` and `baseline.schema.json`; a test fails when one is stale, and says how to write it again.
"""

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve

from connector.config.keys import (
    ARM_CLOUDS,
    AUTH,
    CLOUDS,
    DECLARED,
    EXCUSE,
    LISTS,
    NOT_DECLARED,
    PROVIDER,
    REPORT,
    SINK,
    SINK_TENANT,
    STANDARD,
    TENANT,
    TOP,
)
from connector.config.read import Group, group
from connector.options import Option

FILE = "config.schema.json"
BASELINE_FILE = "baseline.schema.json"
_GUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_LINE = {"type": ["string", "integer"]}
_ENVIRONMENT = {"type": "string", "pattern": r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}"}
_REFERENCE = {"type": "string", "pattern": r"^\$\{(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|credential:[A-Za-z0-9_.-]+)\}$"}


def schema(kinds: Mapping[str, Mapping[str, Option]]) -> dict[str, Any]:
    """The schema, given the OPTIONS of every kind of sink."""
    top = _object(group({name: option for name, option in TOP.items() if name not in LISTS}))
    top["properties"] |= {
        "tenants": {**_doc(TOP["tenants"]), "type": "array", "items": {"$ref": "#/$defs/tenant"}},
        "defaults": {**_doc(TOP["defaults"]), "$ref": "#/$defs/defaults"},
        "sinks": {**_doc(TOP["sinks"]), "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/sink"}},
        "reports": {**_doc(TOP["reports"]), "type": "array", "items": _object(group(REPORT))},
    }
    defaults = {name: evolve(option, required=False) for name, option in TENANT.items()}
    del defaults["name"], defaults["tenant_id"]
    tenant, common = _object(group(TENANT)), _object(group(defaults))
    for body in (tenant, common):  # what a plug-in's keys may be, only that plug-in knows
        body["properties"]["options"] = {**_doc(TENANT["options"]), "type": ["object", "null"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:secure-score:config:1",
        "title": "Secure Score Connector",
        **top,
        "required": ["sinks"],
        "$defs": {
            # `defaults` may hold half a credential that each tenant completes, so nothing is required of either there.
            "auth": _auth(of_sink=False, complete=False),
            "sink_auth": _auth(of_sink=True, complete=True),
            "tenant": tenant,
            "defaults": common,
            "sink": _sink(kinds),
        },
    }


def baseline_schema() -> dict[str, Any]:
    """The schema of a baseline file."""
    standard, entries = _object(group(STANDARD), expands=False), {"declared": DECLARED, "not_declared": NOT_DECLARED}
    for name, table in entries.items():
        standard["properties"][name] = _entries(table) | _doc(STANDARD[name])
    asks = [name for name in STANDARD if name not in ("name", "tenants")]
    standard["anyOf"] = [{"required": [name]} for name in asks]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:secure-score:baseline:1",
        "title": "Secure Score Connector: standards over tenants",
        "type": "object",
        "additionalProperties": False,
        "required": ["standards"],
        "properties": {
            "standards": {"type": "array", "minItems": 1, "items": standard, "description": _STANDARDS},
            "exceptions": _entries(EXCUSE) | {"description": _EXCUSES},
        },
    }


_STANDARDS = "What is asked of whom; several for one tenant count together."
_EXCUSES = "Who is excused from what, until which day, and why."


def _entries(table: Mapping[str, Option]) -> dict[str, Any]:
    return {"type": ["array", "null"], "items": _object(group(table), expands=False)}


def text(kinds: Mapping[str, Mapping[str, Option]]) -> str:
    """The schema of the configuration as the shipped file has it."""
    return _written(schema(kinds))


def baseline_text() -> str:
    """The schema of a baseline file as the shipped file has it."""
    return _written(baseline_schema())


def _written(made: Mapping[str, Any]) -> str:
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _sink(kinds: Mapping[str, Mapping[str, Option]]) -> dict[str, Any]:
    branches = []
    for kind, own in kinds.items():
        body = _object(group({**SINK, **own}), auth="sink_auth")
        body["properties"]["kind"] = {"const": kind}
        branches.append({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": body})
    return {
        "type": "object",
        "required": ["name", "kind"],
        "properties": {"kind": {"enum": list(kinds), "description": f"What it is: {', '.join(kinds)}."}},
        "allOf": branches,
    }


def _auth(*, of_sink: bool, complete: bool) -> dict[str, Any]:
    branches = []
    for kind, own in AUTH.items():
        where = evolve(SINK_TENANT, required=kind not in ("managed_identity", "token")) if of_sink else PROVIDER
        body = _object(group({**own, "tenant_id": where}))
        body["properties"]["kind"] = {"const": kind}
        if not complete:
            body.pop("required", None)
        branches.append({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": body})
    return {
        "type": "object",
        **({"required": ["kind"]} if complete else {}),
        "properties": {"kind": {"enum": list(AUTH), "description": "How to sign in."}},
        "allOf": branches,
    }


def _object(table: Group, auth: str = "auth", *, expands: bool = True) -> dict[str, Any]:
    """A map of these keys; `expands`: whether ${env:NAME} means something in its values."""
    properties = {name: _value(option, auth, expands=expands) for name, option in table.options.items()}
    for name, inner in table.groups.items():
        if name in properties:  # a word, or a map
            properties[name]["anyOf"].append(_object(inner, auth, expands=expands))
        else:
            properties[name] = _object(inner, auth, expands=expands)
    required = [name for name, option in table.options.items() if option.required]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _value(option: Option, auth: str, *, expands: bool) -> dict[str, Any]:
    if option.type == "auth":
        return {**_doc(option), "$ref": f"#/$defs/{auth}"}
    forms = _forms(option)
    if option.choices and option.type not in ("enum", "list", "map"):
        forms.append({"enum": _words(option.choices)})
    if option.secret and option.type != "secret":
        forms.append(_REFERENCE)
    if expands and option.type not in ("list", "map", "secret") and _LINE not in forms:
        forms.append(_ENVIRONMENT)
    if not option.required:
        forms.append({"type": "null"})
    default = {} if option.default is None else {"default": option.default}
    return {**_doc(option), **default, "anyOf": forms}


def _forms(option: Option) -> list[dict[str, Any]]:
    bounds = {"minimum": option.minimum, "maximum": option.maximum}
    number = {"type": "number", **{key: bound for key, bound in bounds.items() if bound is not None}}
    digits = {"type": "string", "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$"}
    quantity = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *[A-Za-z]*$"}
    percent = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *%?$"}
    https = {"type": "string", "pattern": r"^(https://|http://(localhost|127\.|\[::1\]))"}
    forms: Mapping[str, list[dict[str, Any]]] = {
        "int": [{**number, "type": "integer"}, digits],
        "float": [number, digits],
        "bool": [{"type": "boolean"}, {"enum": ["on", "off", "yes", "no", "true", "false"]}],
        "duration": [number, quantity],
        "days": [number, quantity],
        "size": [number, quantity],
        "share": [{"type": "number", "minimum": 0, "maximum": 1}, percent],
        "percent": [{"type": "number", "minimum": 0, "maximum": 100}, percent],
        "date": [{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}],
        "guid": [{"type": "string", "pattern": rf"^({_GUID}|\{{{_GUID}\}})$"}],
        "url": [https],
        "origin": [https],
        "https_origin": [{"type": "string", "pattern": "^https://"}],
        "port": [{"type": "integer", "minimum": 1, "maximum": 65535}, digits],
        "cloud": [{"enum": list(CLOUDS)}],
        "arm_cloud": [{"enum": list(ARM_CLOUDS)}],
        "enum": [{"enum": _words(option.choices)}],
        "list": [{"type": "array", "items": {"enum": list(option.choices)} if option.choices else _LINE}],
        "map": [{"type": "object", "additionalProperties": _LINE, **_only(option.choices)}],
        "secret": [_REFERENCE],
    }
    return list(forms.get(option.type, [_LINE]))


def _only(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"propertyNames": {"enum": list(keys)}} if keys else {}


def _words(choices: tuple[str, ...]) -> list[str | bool]:
    """YAML 1.1 editors read on and off as booleans."""
    booleans = {"on": True, "off": False}
    return [*choices, *(booleans[word] for word in choices if word in booleans)]


def _doc(option: Option) -> dict[str, str]:
    return {"description": option.doc} if option.doc else {}
