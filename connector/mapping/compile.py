"""A mapping file in YAML → its compiled form, with every problem named by file, line and key.

The schema is closed: what is not known is an error that suggests the nearest known word. This is the only module of
the mapping engine that knows YAML, and nothing is rendered here.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import jmespath
import yaml
from attrs import define, field
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from connector.errors import ConfigError
from connector.formats.cef import CUSTOM
from connector.mapping.formatters import FORMATTERS, TYPES, formatter
from connector.mapping.interpret import COMPILED, CONSTANTS, ENCODINGS, PLAIN_PATH
from connector.mapping.resources import is_path, mapping_names, plugged_mapping, read_text
from connector.model import STREAM_OF_TYPE, STREAMS

MAX_EXTENDS = 8
MAX_NODES = 20_000
MAX_DEPTH = 30

_TOP_KEYS = ("extends", "encode", "header", "fields", "streams", "types", "tables")
_SOURCES = ("from", "value", "constant", "join", "object", "list")
_MODIFIERS = ("sep", "when", "format", "table", "default", "type", "max", "max_octets")
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "cef": ("vendor", "product", "version", "class_id", "name", "severity"),
    "leef": ("vendor", "product", "version", "class_id"),
}
_ROOTS = ("specversion", "id", "source", "type", "dataschema", "subject", "time", "datacontenttype", "data")
_FLAT_KEY = re.compile(r"[A-Za-z0-9_]+")
_NESTED_KEY = re.compile(r"[^.\s][^.]*(?:\.[^.\s][^.]*)*")

Where = tuple[str | int, ...]


@define
class _Check:
    """The problems of one file, and where in it each key stands."""

    file: str
    lines: dict[Where, int] = field(factory=dict)
    problems: list[str] = field(factory=list)
    encode: str = ""
    tables: set[str] = field(factory=set)

    def problem(self, where: Where, what: str) -> None:
        line = next((self.lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in self.lines), 1)
        key = ".".join(map(str, where))
        self.problems.append(f"{self.file} (line {line}): {key + ': ' if key else ''}{what}")

    def unknown(self, where: Where, known: Iterable[str], what: str = "unknown key") -> None:
        near = get_close_matches(str(where[-1]), list(known), n=1, cutoff=0.5)
        self.problem(where, what + (f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"))


def compile_file(file: Path | Traversable, chain: tuple[str, ...] = ()) -> dict[str, Any]:
    """The compiled form of a YAML mapping and all it extends. Raises ConfigError with all problems of a file."""
    check = _Check(file=str(file))
    document = _parse(read_text(file), check)
    if check.problems:
        raise ConfigError(check.problems, hint="correct the mapping file")
    base = _base(document.get("extends"), file, (*chain, str(file)), check)
    check.encode = _encode(document.get("encode"), base, check)
    tables = _tables(document.get("tables"), base.get("tables", {}), check)
    check.tables = set(tables)
    layer = _layer(document, check)
    compiled: dict[str, Any] = {
        "compiled": COMPILED,
        "name": file.name.rsplit(".", 1)[0],
        "encode": check.encode,
        "tables": tables,
        "layers": [*base.get("layers", ()), layer],
    }
    if not check.problems:
        _whole(compiled, check)
    if check.problems:
        raise ConfigError(check.problems, hint="correct the mapping file")
    return compiled


# ------------------------------------------------------------------------------------------------------------- YAML


def _parse(text: str, check: _Check) -> dict[str, Any]:
    """The document as plain values, keys as written, the line of every key noted."""
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        count = [0]
        document = None if node is None else _plain(loader, node, (), check, count)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        check.problems.append(f"{check.file} (line {line}): not YAML: {error.problem}")
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        check.problems.append(f"{check.file} (line 1): not YAML: {' '.join(str(error).split()) or 'nested too deeply'}")
        return {}
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(document, dict) and not check.problems:
        check.problem((), "a mapping file is a map with encode or extends")
    return document if isinstance(document, dict) else {}


def _plain(loader: yaml.SafeLoader, node: yaml.Node, where: Where, check: _Check, count: list[int]) -> Any:
    count[0] += 1
    check.lines.setdefault(where, node.start_mark.line + 1)
    if count[0] > MAX_NODES or len(where) > MAX_DEPTH:
        raise ValueError(f"more than {MAX_NODES} values or {MAX_DEPTH} levels")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                check.problem(where, "a key must be a word")
                continue
            key = key_node.value  # as written: "on" and "1" stay words
            inner = (*where, key)
            check.lines[inner] = key_node.start_mark.line + 1
            if key in result:
                check.problem(inner, "stands twice")
            result[key] = _plain(loader, value_node, inner, check, count)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, (*where, n), check, count) for n, item in enumerate(node.value)]
    try:
        value = loader.construct_object(node)
    except (LookupError, AttributeError, TypeError):  # the library takes a tag at its word
        raise ValueError(f"line {node.start_mark.line + 1}: the value does not fit its tag {node.tag}") from None
    return value if value is None or isinstance(value, str | int | float) else node.value  # dates stay text


# --------------------------------------------------------------------------------------------------------- the file


def _base(extends: Any, file: Path | Traversable, chain: tuple[str, ...], check: _Check) -> dict[str, Any]:
    if extends is None:
        return {}
    if not isinstance(extends, str):
        check.problem(("extends",), "must be the name of a shipped mapping or a relative path")
        return {}
    parent: Path | Traversable
    if is_path(extends):
        parent = Path(str(file)).parent / extends
    elif extends in mapping_names():
        parent = resources.files("mappings") / f"{extends}.yaml"
    elif (plugged := plugged_mapping(extends)) is not None:
        parent = plugged
    else:
        near = get_close_matches(extends, mapping_names(), n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"shipped are {', '.join(mapping_names())}"
        check.problem(("extends",), f"there is no mapping {extends!r}, {advice}")
        return {}
    if any(Path(seen).resolve() == Path(str(parent)).resolve() for seen in chain):
        check.problem(("extends",), f"{extends} extends itself")
        return {}
    if len(chain) > MAX_EXTENDS:
        check.problem(("extends",), f"more than {MAX_EXTENDS} mappings in a row")
        return {}
    return compile_file(parent, chain)


def _encode(encode: Any, base: Mapping[str, Any], check: _Check) -> str:
    if encode is None and base:
        return str(base["encode"])
    if encode is None:
        check.problem((), f"encode is missing: one of {', '.join(ENCODINGS)}")
    elif encode not in ENCODINGS:
        check.unknown(("encode", str(encode)), ENCODINGS, "unknown encoding")
    elif base and encode != base["encode"]:
        check.problem(("encode",), f"an extension keeps the encoding of its base, {base['encode']}")
    else:
        return str(encode)
    return str(base.get("encode", "json"))


def _tables(tables: Any, inherited: Mapping[str, Mapping[str, Any]], check: _Check) -> dict[str, dict[str, Any]]:
    result = {name: dict(table) for name, table in inherited.items()}
    for name, table in _items(tables, ("tables",), check):
        if _is_table(table, ("tables", name), check):
            result[name] = {**result.get(name, {}), **table}
    return result


def _is_table(table: Any, where: Where, check: _Check) -> bool:
    if not isinstance(table, dict):
        check.problem(where, "a table is a map of values to values")
        return False
    for key, value in table.items():
        if isinstance(value, dict | list):
            check.problem((*where, key), "a table gives plain values")
            return False
    return True


def _layer(document: Mapping[str, Any], check: _Check) -> dict[str, Any]:
    for key in document:
        if key not in _TOP_KEYS:
            check.unknown((key,), _TOP_KEYS)
    layer: dict[str, Any] = {"all": _section(document, (), check), "streams": {}, "types": {}}
    for stream, section in _items(document.get("streams"), ("streams",), check):
        if stream not in STREAMS:
            check.unknown(("streams", stream), STREAMS, "unknown stream")
        layer["streams"][stream] = _closed_section(section, ("streams", stream), check)
    for glob, section in _items(document.get("types"), ("types",), check):
        if not any(fnmatchcase(kind, glob) for kind in STREAM_OF_TYPE):
            check.unknown(("types", glob), tuple(STREAM_OF_TYPE), "no event type matches")
        layer["types"][glob] = _closed_section(section, ("types", glob), check)
    return layer


def _items(value: Any, where: Where, check: _Check) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        check.problem(where, "must be a map")
        return []
    return list(value.items())


def _closed_section(section: Any, where: Where, check: _Check) -> dict[str, Any]:
    for key, _ in _items(section, where, check):
        if key not in ("header", "fields"):
            check.unknown((*where, key), ("header", "fields"))
    return _section(section if isinstance(section, dict) else {}, where, check)


def _section(section: Mapping[str, Any], where: Where, check: _Check) -> dict[str, Any]:
    header: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    known = _HEADERS.get(check.encode, ())
    for key, node in _items(section.get("header"), (*where, "header"), check):
        if key not in known:
            what = "unknown header field" if known else f"encode {check.encode} has no header"
            check.unknown((*where, "header", key), known or _HEADERS, what)
        header[key] = _node(node, (*where, "header", key), check)
    for key, node in _items(section.get("fields"), (*where, "fields"), check):
        if check.encode == "cloudevents":
            check.problem((*where, "fields", key), "encode cloudevents passes the event on as it is: no fields")
        elif not (_FLAT_KEY if known else _NESTED_KEY).fullmatch(key):
            rule = "letters, digits and _ only" if known else "dots only between words"
            check.problem((*where, "fields", key), f"bad output key: {rule}")
        fields[key] = _node(node, (*where, "fields", key), check)
    return {"header": header, "fields": fields}


# --------------------------------------------------------------------------------------------------------- one node


def _node(node: Any, where: Where, check: _Check) -> dict[str, Any] | None:
    """The compiled node; None (take the key away) stays None."""
    if node is None:
        return None
    if isinstance(node, str | list):
        return {"from": _expressions(node, where, check)}
    if not isinstance(node, dict):
        return {"value": node}
    unknown = [key for key in node if key not in _SOURCES and key not in _MODIFIERS]
    for key in unknown:
        check.unknown((*where, key), (*_SOURCES, *_MODIFIERS))
    sources = [key for key in _SOURCES if key in node]
    if len(sources) != 1:
        if sources or not unknown:
            check.problem(where, f"needs exactly one of {', '.join(_SOURCES)}")
        return {"value": None}
    source = sources[0]
    result: dict[str, Any] = {source: _source(source, node[source], (*where, source), check)}
    for key in _MODIFIERS:
        if key in node:
            result[key] = _modifier(key, node[key], (*where, key), check)
    if "sep" in node and source != "join":
        check.problem((*where, "sep"), "belongs to join")
    return result


def _source(source: str, value: Any, where: Where, check: _Check) -> Any:
    if source == "from":
        return _expressions(value, where, check)
    if source == "constant":
        if value not in CONSTANTS:
            check.unknown((*where, str(value)), tuple(CONSTANTS), "unknown constant")
        return value
    if source in ("join", "list"):
        if not isinstance(value, list) or not value:
            check.problem(where, "must be a list that is not empty")
            return []
        return [_node(item, (*where, n), check) or {"value": None} for n, item in enumerate(value)]
    if source == "object":
        if not isinstance(value, dict) or not value:
            check.problem(where, "must be a map that is not empty")
            return {}
        _no_clash(value, where, check)
        return {key: _node(item, (*where, key), check) or {"value": None} for key, item in value.items()}
    return value


def _expressions(value: Any, where: Where, check: _Check) -> list[str]:
    choices = value if isinstance(value, list) else [value]
    for choice in choices:
        _expression(choice, where, check)
    if not choices:
        check.problem(where, "needs at least one expression")
    return choices


def _expression(text: Any, where: Where, check: _Check) -> None:
    if not isinstance(text, str):
        check.problem(where, f"{text!r} is no expression: a fixed value is {{value: …}}, an array {{list: […]}}")
    elif PLAIN_PATH.fullmatch(text):
        root = text.split(".")[0]
        if root not in _ROOTS:
            near = get_close_matches(root, _ROOTS, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(_ROOTS)}"
            check.problem(where, f"an event has no {root!r}, {advice} A fixed text is written as {{value: …}}")
    else:
        try:
            tree = jmespath.compile(text).parsed
        except JMESPathError as error:
            check.problem(where, f"bad JMESPath {text!r}: {str(error).splitlines()[0]}")
        else:
            for name, arguments in _calls(tree):
                _call(name, arguments, where, check)


def _calls(tree: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Name and number of arguments of every function a JMESPath syntax tree calls."""
    own = [(str(tree["value"]), len(tree["children"]))] if tree["type"] == "function_expression" else []
    return own + [call for child in tree["children"] if isinstance(child, dict) for call in _calls(child)]


def _call(name: str, arguments: int, where: Where, check: _Check) -> None:
    """Name and arity; the library itself would complain only when the first event is rendered."""
    known = Functions.FUNCTION_TABLE
    if name not in known:
        check.unknown((*where, name), tuple(known), "unknown JMESPath function")
        return
    signature = known[name]["signature"]
    variadic = bool(signature) and bool(signature[-1].get("variadic"))
    if arguments < len(signature) or (arguments > len(signature) and not variadic):
        check.problem(where, f"JMESPath function {name} takes {len(signature)} arguments, {arguments} given")


def _modifier(key: str, value: Any, where: Where, check: _Check) -> Any:
    if key == "when":
        _expression(value, where, check)
    elif key == "format":
        return [_checked_format(spec, where, check) for spec in (value if isinstance(value, list) else [value])]
    elif key == "table":
        if isinstance(value, str):
            if value not in check.tables:
                check.unknown((*where, value), sorted(check.tables), "there is no such table")
        else:
            _is_table(value, where, check)
    elif key == "default":
        if value is None:
            check.problem(where, "a default must be something")
    elif key == "type":
        if value not in TYPES:
            check.unknown((*where, str(value)), tuple(TYPES), "unknown type")
    elif key in ("max", "max_octets"):
        if type(value) is not int or value < 1:
            check.problem(where, "must be a positive whole number")
    elif not isinstance(value, str):
        check.problem(where, "must be text")
    return value


def _checked_format(spec: Any, where: Where, check: _Check) -> str:
    try:
        formatter(str(spec))
    except KeyError:
        check.unknown((*where, str(spec).split(":")[0]), tuple(FORMATTERS), "unknown formatter")
    except ValueError:
        check.problem(where, f"formatter {spec!r} has a missing, needless or wrong argument")
    return str(spec)


# -------------------------------------------------------------------------------------------------------- the whole


def _whole(compiled: Mapping[str, Any], check: _Check) -> None:
    """What only the merged mapping shows: required header fields, labels, keys that are both a value and an object."""
    sections = [
        section
        for layer in compiled["layers"]
        for section in (layer["all"], *layer["streams"].values(), *layer["types"].values())
    ]
    fields = {key for section in sections for key, node in section["fields"].items() if node is not None}
    if check.encode != "cloudevents" and not fields:
        check.problem((), "no fields: nothing would be sent")
    named = {key for layer in compiled["layers"] for key, node in layer["all"]["header"].items() if node is not None}
    for key in _HEADERS.get(check.encode, ()):
        if key not in named:
            check.problem(("header",), f"{key} is missing")
    if check.encode == "cef":
        for key in sorted(fields & CUSTOM):
            if f"{key}Label" not in fields:
                check.problem(("fields", key), f"needs {key}Label beside it, receivers show nothing else")
    if check.encode in ("json", "object"):
        _no_clash(fields, ("fields",), check)


def _no_clash(keys: Iterable[str], where: Where, check: _Check) -> None:
    known = set(keys)
    for key in sorted(known):
        parts = key.split(".")
        for n in range(1, len(parts)):
            if (whole := ".".join(parts[:n])) in known:
                check.problem((*where, key), f"{whole} is a value already, it cannot be an object too")
