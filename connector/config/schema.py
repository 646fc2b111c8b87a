"""The JSON Schemas of the configuration and of a baseline file, for editors, from the tables that the parser checks
against.

Draft 2020-12. Whatever the parser takes, they take; what they take besides is what no editor can know: what two keys
mean together, whether a number in a text is within bounds, whether a host's name is one. A test walks both ways through
every key. Shipped as `config.schema.json` and `baseline.schema.json`; a test fails when one is stale, and says how to
write it again.
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
    LANGUAGES,
    LISTS,
    NOT_DECLARED,
    OF_SOURCE,
    PROVIDER,
    REPORT,
    SINK,
    SINK_TENANT,
    STANDARD,
    TENANT,
    TOP,
)
from connector.config.read import MAX_ITEMS, MAX_TEXT, Group, group
from connector.model import OF_UNITS
from connector.options import Option

FILE = "config.schema.json"
BASELINE_FILE = "baseline.schema.json"

# Patterns are of the dialect that ECMAScript and Python share, without flags: hence [Oo][Nn] for a word in any case.
_VARIABLE = r"env:[A-Za-z_][A-Za-z0-9_]*"
_SOME_REFERENCE = rf"\$\{{({_VARIABLE}|file:/[^{{}}]+|credential:[A-Za-z0-9_-][A-Za-z0-9_.-]*)\}}"
_PRINTABLE = r"^(?![\s\S]*[\x00-\x1f\x7f])(?=.*\S)"
_ENVIRONMENT = {"type": "string", "pattern": rf"^(?!.*\$\{{(?!{_VARIABLE}\}})).*\$\{{{_VARIABLE}\}}"}
_REFERENCE = {"type": "string", "pattern": f"^{_SOME_REFERENCE}$"}
_WITH_REFERENCES = {"type": "string", "pattern": rf"^(?!.*\$\{{(?!{_SOME_REFERENCE[4:]})).*{_SOME_REFERENCE}"}
_NOTHING = {"type": "null"}


def schema(kinds: Mapping[str, Mapping[str, Option]]) -> dict[str, Any]:
    """The schema, given the OPTIONS of every kind of sink."""
    top = _object(group({name: option for name, option in TOP.items() if name not in LISTS}))
    top["properties"] |= {
        "tenants": {**_doc(TOP["tenants"]), "type": ["array", "null"], "items": {"$ref": "#/$defs/tenant"}},
        "defaults": {**_doc(TOP["defaults"]), "$ref": "#/$defs/defaults"},
        "sinks": {**_doc(TOP["sinks"]), "type": "array", "minItems": 1, "items": {"$ref": "#/$defs/sink"}},
        "reports": {**_doc(TOP["reports"]), "type": ["array", "null"], "items": _object(group(REPORT))},
    }
    defaults = {name: evolve(option, required=False) for name, option in TENANT.items()}
    del defaults["name"], defaults["tenant_id"]
    tenant, common = _object(group(TENANT)), _group(group(defaults))
    for body in (tenant, common):
        body["properties"] |= {
            "options": {**_doc(TENANT["options"]), "type": ["object", "null"]},  # its keys are the plug-in's matter
            "write_auth": _credential(TENANT["write_auth"], "write_auth"),
        }
        _narrow(body["properties"]["scope"]["anyOf"][-1])
    tenant["allOf"] = [_if_source(source) for source in TENANT["source"].choices]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:secure-score:config:1",
        "title": "Secure Score Connector",
        **top,
        "required": ["sinks"],
        "anyOf": [_has_one("tenants", {"type": "array", "minItems": 1}), _has_one("tenants_file", {"type": "string"})],
        "if": {"not": _has_one("defaults", {"type": "object", **_has_one("source", {"type": "string"})})},
        "then": {"properties": {"tenants": {"items": _if_no_source("graph")}}},
        "$defs": {
            # `defaults` may hold half a credential that each tenant completes, so nothing is required of either there.
            "auth": _auth(PROVIDER, complete=False),
            "write_auth": _auth(None, complete=False),
            "sink_auth": _auth(SINK_TENANT, complete=True),
            "tenant": tenant,
            "defaults": common,
            "sink": _sink(kinds),
        },
    }


def _narrow(scope: dict[str, Any]) -> None:
    """One of the two lists, and not an empty one."""
    for each in scope["properties"].values():
        each["minItems"] = 1
    lists = list(scope["properties"])
    scope["not"] = {"required": lists, "properties": {name: {"type": "array"} for name in lists}}


def _has_one(key: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """What holds of a map with this key, and a value there."""
    return {"required": [key], "properties": {key: value}}


def _if_source(source: str) -> dict[str, Any]:
    return {"if": _has_one("source", {"const": source}), "then": _keys_of(source)}


def _if_no_source(source: str) -> dict[str, Any]:
    """A tenant that names no source has this one."""
    return {"if": {"not": _has_one("source", {"type": "string"})}, "then": _keys_of(source)}


def _keys_of(source: str) -> dict[str, Any]:
    """What a tenant may not say that is read by this source."""
    empty = {"type": ["object", "null"], "additionalProperties": _NOTHING}
    maps = group(TENANT).groups
    wrong: dict[str, Any] = {
        key: empty if key in maps else _NOTHING for key, owner in OF_SOURCE.items() if owner != source
    }
    wrong["options"] = _NOTHING
    if source == "files":
        wrong |= {"auth": _NOTHING, "write_auth": _NOTHING}
    elif source != "defender_cloud":
        wrong["auth"] = {"properties": {"tenant_id": _NOTHING}}
    if source == "graph":
        wrong["path"] = _NOTHING
    if source not in OF_UNITS:
        return {"properties": wrong}
    wrong["write_auth"] = _NOTHING
    asked = {"auth": _NOTHING, **({"scope": empty} if source == "defender_cloud" else {})}
    return {"properties": wrong, "if": _has_one("path", {"type": "string"}), "then": {"properties": asked}}


def baseline_schema() -> dict[str, Any]:
    """The schema of a baseline file."""
    standard, entries = _object(group(STANDARD), expands=False), {"declared": DECLARED, "not_declared": NOT_DECLARED}
    for name, table in entries.items():
        standard["properties"][name] = _entries(table) | _doc(STANDARD[name])
    asks = [name for name in STANDARD if name not in ("name", "tenants")]
    some = {name: {"type": "array", "minItems": 1} if STANDARD[name].type == "list" else _AMOUNT_OF for name in asks}
    standard["anyOf"] = [_has_one(name, value) for name, value in some.items()]
    excuses = _entries(EXCUSE) | {"description": _EXCUSES}
    excuses["items"]["properties"]["tenants"]["minItems"] = 1  # the parser wants all of them said: ["*"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:secure-score:baseline:1",
        "title": "Secure Score Connector: standards over tenants",
        "type": "object",
        "additionalProperties": False,
        "required": ["standards"],
        "properties": {
            "standards": {"type": "array", "minItems": 1, "items": standard, "description": _STANDARDS},
            "exceptions": excuses,
        },
    }


_AMOUNT_OF = {"type": ["number", "string"]}
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
        body = _object(group({**SINK, **own}), "sink_auth")
        body["properties"]["kind"] = {"const": kind}
        body["properties"]["streams"] |= {"minItems": 1, "minProperties": 1}
        branches.append({"if": _has_one("kind", {"const": kind}), "then": body})
    return {
        "type": "object",
        "required": ["name", "kind"],
        "properties": {"kind": {"enum": list(kinds), "description": f"What it is: {', '.join(kinds)}."}},
        "allOf": branches,
    }


def _auth(directory: Option | None, *, complete: bool) -> dict[str, Any]:
    """A credential, and the key that says whose directory it signs in to, where it may have one."""
    branches = []
    for kind, own in AUTH.items():
        where = {} if directory is None else {"tenant_id": directory}
        if directory is SINK_TENANT:
            where = {"tenant_id": evolve(SINK_TENANT, required=kind not in ("managed_identity", "token"))}
        body = _object(group({**own, **where}))
        body["properties"]["kind"] = {"const": kind}
        if not complete:
            body.pop("required", None)
        branches.append({"if": {"type": "object", **_has_one("kind", {"const": kind})}, "then": body})
    return {
        "type": ["object", "null"],
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
            properties[name] = _group(inner, auth, expands=expands)
    required = [name for name, option in table.options.items() if option.required]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _group(table: Group, auth: str = "auth", *, expands: bool = True) -> dict[str, Any]:
    """A map that may be left empty, as where all that stood in it is commented out."""
    return {**_object(table, auth, expands=expands), "type": ["object", "null"]}


def _credential(option: Option, name: str) -> dict[str, Any]:
    return {**_doc(option), "$ref": f"#/$defs/{name}", **({"type": "object"} if option.required else {})}


def _value(option: Option, auth: str, *, expands: bool) -> dict[str, Any]:
    if option.type == "auth":
        return _credential(option, auth)
    forms = _forms(option, expands=expands)
    if option.choices and option.type not in ("enum", "list", "map"):
        forms.append({"enum": _words(option.choices)})
    if option.secret and option.type != "secret":
        forms.append(_WITH_REFERENCES)
    if expands and option.type not in ("str", "path", "list", "map", "secret", "proxy"):
        forms.append(_ENVIRONMENT)
    if not option.required:
        forms.append(_NOTHING)
    default = {} if option.default is None else {"default": option.default}
    return {**_doc(option), **default, "anyOf": forms}


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


def _line(*, expands: bool, start: str = "") -> list[dict[str, Any]]:
    """Text on one line, in which `${` begins a variable of the environment or, where none is expanded, nothing."""
    wrong = rf"\$\{{(?!{_VARIABLE}\}})" if expands else r"\$\{"
    pattern = rf"{_PRINTABLE}(?!.*{wrong})(?!\s*@Microsoft\.KeyVault\(){start}"
    return [{**_text(pattern), "maxLength": MAX_TEXT}, {"type": "integer"}]


_GUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_PLACEHOLDER = "0{8}(-0{4}){3}-0{12}"
_HTTPS, _LOCAL = "[Hh][Tt][Tt][Pp][Ss]://", r"[Hh][Tt][Tt][Pp]://(?=[Ll]ocalhost|127\.|\[::1\])"
_NUMBERS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_ADDRESS = rf"{_NUMBERS}|[0-9A-Fa-f]{{0,4}}(:[0-9A-Fa-f.]{{0,15}}){{2,8}}(%[A-Za-z0-9_.-]+)?"
_NAME = r"(?![0-9.]+\]?(:[0-9]+)?\s*$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?"
_AUTHORITY = r"[^\s/?#@]+"
_USER = r"([^\s/@:?#$]|\$\{[^}]+\})*(:([^\s@/]*\$\{[^}]+\}[^\s@/]*)?)?@"
_PERCENT = r"0*(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?)\s*"
_DAY = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9])"
_BOOLEANS = "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Oo][Nn]|[Oo][Ff][Ff]|[Yy][Ee][Ss]|[Nn][Oo]|0|1"
_AMOUNT = r"^\s*[0-9]{1,15}(\.[0-9]{1,6})?\s*"
_TIMES, _SIZES = "([Mm][Ss]|[SsMmHhDdWw])?", "([KkMmGgTt]?[Bb]|[KkMmGgTt][Ii][Bb])?"


def _forms(option: Option, *, expands: bool) -> list[dict[str, Any]]:
    """What a value of the option's type may be written as."""
    bounds = {"minimum": option.minimum, "maximum": option.maximum}
    within = {key: bound for key, bound in bounds.items() if bound is not None}
    amount = {"minimum": 0, **within}
    line = _line(expands=expands)
    item = [{"enum": list(option.choices)}, *([_ENVIRONMENT] if expands else [])] if option.choices else line
    keys = {"enum": list(option.choices)} if option.choices else {"pattern": r"\S", "maxLength": MAX_TEXT}
    texts = {"propertyNames": keys, "additionalProperties": {"anyOf": line}, "maxProperties": MAX_ITEMS}
    language = "|".join(f"[{c[0].upper()}{c[0]}][{c[1].upper()}{c[1]}]" for c in LANGUAGES)
    forms: Mapping[str, list[dict[str, Any]]] = {
        "int": [{"type": "integer", **within}, _text(r"^\s*[+-]?[0-9]{1,18}\s*$")],
        "float": [{"type": "number", **within}, _text(r"^\s*[+-]?[0-9]{1,18}(\.[0-9]{1,18})?\s*$")],
        "bool": [
            {"type": "boolean"},
            {"enum": ["on", "off", "yes", "no", "true", "false"]},
            _text(rf"^\s*({_BOOLEANS})\s*$"),
            {"enum": [0, 1]},
        ],
        "duration": [{"type": "number", **amount}, _text(rf"{_AMOUNT}{_TIMES}\s*$")],
        "days": [{"type": "integer", **amount}, _text(rf"{_AMOUNT}{_TIMES}\s*$")],
        "size": [{"type": "integer", **amount}, _text(rf"{_AMOUNT}{_SIZES}\s*$")],
        "share": [
            {"type": "number", "minimum": 0, "maximum": 1},
            _text(rf"^\s*({_PERCENT}%|0*(1(\.0{{1,9}})?|0(\.[0-9]{{1,9}})?))\s*$"),
        ],
        "percent": [{"type": "number", "minimum": 0, "maximum": 100}, _text(rf"^\s*{_PERCENT}%?\s*$")],
        "date": [_text(rf"^\s*[0-9]{{4}}-({_DAY})\s*$")],
        "guid": [_text(rf"^\s*(?!\{{?{_PLACEHOLDER})({_GUID}|\{{{_GUID}\}})\s*$")],
        "path": _line(expands=expands, start="(?!~)"),
        "url": [_text(rf"^(?!.*\$\{{)\s*({_HTTPS}|{_LOCAL}){_AUTHORITY}([/?][^\s#]*)?\s*$")],
        "origin": [_text(rf"^(?!.*\$\{{)\s*({_HTTPS}|{_LOCAL}){_AUTHORITY}/?\s*$")],
        "https_origin": [_text(rf"^(?!.*\$\{{)\s*{_HTTPS}{_AUTHORITY}/?\s*$")],
        "proxy": [
            {"enum": ["env"]},
            _REFERENCE,
            _text(rf"^\s*[Hh][Tt][Tt][Pp][Ss]?://({_USER})?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{{1,5}}/?\s*$"),
        ],
        "host": [{**_text(rf"{_PRINTABLE}\s*\[?({_ADDRESS}|{_NAME})\]?\s*$"), "maxLength": 255}],
        "port": [{"type": "integer", "minimum": 1, "maximum": 65535}, _text(r"^\s*\+?[0-9]{1,18}\s*$")],
        "address": [_text(rf"^\s*(\[({_ADDRESS})\]|{_NUMBERS}|{_NAME}):[0-9]{{1,5}}\s*$")],
        "language": [_text(f"^({language})(-[A-Za-z0-9]{{2,8}})*$")],
        "cloud": [{"enum": list(CLOUDS)}],
        "arm_cloud": [{"enum": list(ARM_CLOUDS)}],
        "enum": [{"enum": _words(option.choices)}],
        "list": [{"type": "array", "items": {"anyOf": item}, "maxItems": MAX_ITEMS}],
        "map": [{"type": "object", **texts}],
        "secret": [_REFERENCE],
    }
    return list(forms.get(option.type, line))


def _words(choices: tuple[str, ...]) -> list[str | bool]:
    """YAML 1.1 editors read on and off as booleans."""
    booleans = {"on": True, "off": False}
    return [*choices, *(booleans[word] for word in choices if word in booleans)]


def _doc(option: Option) -> dict[str, str]:
    return {"description": option.doc} if option.doc else {}
