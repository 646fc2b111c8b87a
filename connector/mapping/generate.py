"""A compiled mapping as one Python function for each event type: what interpret.py means, in a third of the time.

Constant parts are made once, and an object that several fields look into is looked up once. Whatever is not known here
is left to the interpreter (`generate` gives None), which stays the reference: a test holds both against each other. One
thing is left to do: an object is what the mapping gives, and not yet `sound` (`finished`). Pure; a mapping's own text
enters the source only through `repr`, and every name in it is numbered, never taken from the mapping.
"""

from collections import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from math import isfinite
from typing import Any, NamedTuple

import jmespath
from attrs import Factory, define, field

from connector.formats import cef, cloudevents, jsonl, leef
from connector.formats.text import as_text, cut_chars, cut_octets
from connector.mapping.formatters import TYPES, Formatter, formatter
from connector.mapping.interpret import (
    CONSTANTS,
    PLAIN_PATH,
    empty,
    expression,
    getter,
    merged,
    ready_labels,
    sound,
)
from connector.mapping.search import Names, source_of
from connector.model import STREAM_OF_TYPE, Event

Renderer = Callable[[Event], "str | dict[str, Any]"]

MAX_NODES = 2_000
"""A type with more nodes than this is left to the interpreter: its source would take long to compile."""

_CACHED = ("iso", "epoch_ms", "epoch_s", "leef_time", "strip_html", "cut_prefix")
_CACHE_CHARS = 256
_MADE_BY: abc.Mapping[str, str] = {
    **dict.fromkeys(("number", "round", "real"), "float"),
    **dict.fromkeys(("int", "long", "length", "epoch_ms"), "int"),
}
"""What a formatter or type gives, if anything: a finite float, an int of 64 bits."""

_AS_IT_IS: abc.Mapping[Formatter, str] = {
    TYPES["int"]: f"type({{0}}) is int and {-(2**31)} <= {{0}} < {2**31}",
    TYPES["boolean"]: "({0} is True or {0} is False)",
}
"""When a type has nothing to do, in source."""

_LAST = ("type", "max", "max_octets")
"""The modifiers behind the default."""

_EVEN_OF_NONE = frozenset({"when", "default"})
"""What may give a value where the source of a node gives none, or keeps it from being looked at."""

_NOTHING: abc.Mapping[str, Any] = {}


class _Refused(Exception):  # no error: the interpreter renders this type
    """A construct that only the interpreter knows."""


class _Made(NamedTuple):
    """Where a node's value is: a local name, and what is known of the value when it is not empty ("" = nothing)."""

    name: str
    kind: str = ""


def generate(compiled: abc.Mapping[str, Any], event_type: str) -> Renderer | None:
    """The function that renders events of this type whose data is a dict, or None: the interpreter's.

    It may raise anything for an odd event, which the interpreter then renders or names.
    """
    stream = STREAM_OF_TYPE.get(event_type)
    writer = _WRITERS.get(compiled["encode"])
    if stream is None or writer is None:
        return None
    header = merged(compiled, "header", event_type, stream)
    fields = merged(compiled, "fields", event_type, stream)
    try:
        code = _Code(event_type, compiled["tables"])
        writer(code, header, fields)
        return code.function()
    except (_Refused, SyntaxError, RecursionError, MemoryError, ValueError, TypeError, KeyError):
        return None


# ---------------------------------------------------------------------------------------------------------- a source


@define
class _Code:
    """The growing source of one function: its head (lookups), its body, and the objects its names stand for."""

    event_type: str
    tables: abc.Mapping[str, abc.Mapping[str, Any]]
    names: dict[str, Any] = Factory(
        lambda: {"Mapping": abc.Mapping, "NOTHING": _NOTHING, "document": cloudevents.document}
    )
    head: list[str] = field(factory=list)
    body: list[str] = field(factory=list)
    _holders: dict[tuple[str, ...], str] = Factory(lambda: {("data",): "data"})
    _searches: dict[str, str] = field(factory=dict)
    _depth: int = 1
    _count: int = 0
    _nodes: int = 0

    def function(self) -> Renderer:
        source = "\n".join(["def render(event):", "    data = event.data", *self.head, *self.body])
        code = compile(source, f"<mapping of {self.event_type!r}>", "exec")
        exec(code, self.names)  # noqa: S102  # made of our own lines and of reprs; spares two thirds of each rendering
        made: Renderer = self.names["render"]
        return made

    def put(self, line: str) -> None:
        self.body.append("    " * self._depth + line)

    @contextmanager
    def inside(self, opening: str) -> Iterator[None]:
        self.put(opening)
        self._depth += 1
        yield
        self._depth -= 1

    def local(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def bind(self, value: Any) -> str:
        """A name for an object that the function needs."""
        self._count += 1
        self.names[name := f"g{self._count}"] = value
        return name

    def count_node(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Refused

    # ------------------------------------------------------------------------------------------------- looking up

    def path(self, keys: tuple[str, ...]) -> str:
        """The source of what is at a path, as the interpreter's lookup finds it."""
        root, *rest = keys
        if root == "data":
            return f"{self._holder(keys[:-1])}.get({keys[-1]!r})" if rest else "data"
        if root in ("id", "source", "subject", "time"):
            if rest:
                raise _Refused
            return f"event.{root}"
        return _literal(_of_path(self._constants(), keys))

    def _holder(self, keys: tuple[str, ...]) -> str:
        """The name of the object at a path, looked up once at the head; what is no object holds nothing."""
        name = self._holders.get(keys)
        if name is None:
            above = self._holder(keys[:-1])
            name = self._holders[keys] = f"h{len(self._holders)}"
            self.head += [
                f"    {name} = {above}.get({keys[-1]!r})",
                f"    if type({name}) is not dict and not isinstance({name}, Mapping): {name} = NOTHING",
            ]
        return name

    def search(self, text: str) -> str:
        """The source of an expression that is no plain path: the library's search, if need be."""
        found = source_of(jmespath.compile(text).parsed, Names(self.path, self.local, self.bind))
        if found is not None:
            return found
        name = self._searches.get(text)
        if name is None:
            name = self._searches[text] = self.bind(expression(text))
        return f"{name}(document(event))"

    def expression(self, text: str) -> str:
        return self.path(tuple(text.split("."))) if PLAIN_PATH.fullmatch(text) else self.search(text)

    def _constants(self) -> dict[str, Any]:
        found = cloudevents.document(Event("", "", self.event_type, "", "", {}))
        return {key: found[key] for key in ("specversion", "type", "dataschema", "datacontenttype")}

    # ---------------------------------------------------------------------------------------------------- constants

    def constant(self, node: abc.Mapping[str, Any]) -> tuple[Any] | None:
        """The value of a node that is the same in every event of the type, in a tuple; None if it is not."""
        if not self._is_constant(node):
            return None
        return (getter(node, self.tables)(self._constants()),)

    def _is_constant(self, node: abc.Mapping[str, Any]) -> bool:
        texts = [*node.get("from", ()), *([node["when"]] if "when" in node else ())]
        if not all(PLAIN_PATH.fullmatch(text) and text.split(".")[0] in self._constants() for text in texts):
            return False
        inner = [*node.get("join", ()), *node.get("list", ()), *node.get("object", {}).values()]
        return all(map(self._is_constant, inner))

    # --------------------------------------------------------------------------------------------------------- nodes

    def node(self, node: abc.Mapping[str, Any]) -> _Made:
        """Lines that leave the node's value in a local."""
        self.count_node()
        name = self.local()
        fixed = self.constant(node)
        if fixed is not None:
            self.put(f"{name} = {_literal(fixed[0])}")
            return _Made(name)
        return _Made(name, self.value(name, node))

    def value(self, name: str, node: abc.Mapping[str, Any]) -> str:
        """Lines that leave the value of a node that is no constant in that local; and its kind."""
        if "when" not in node:
            self._source(name, node)
            return self._modified(name, node)
        self.put(f"{name} = {self.expression(node['when'])}")
        with self.inside(f"if {name} is not False and ({name} or {name} == 0):"):
            self._source(name, node)
            kind = self._modified(name, node)
        with self.inside("else:"):
            self.put(f"{name} = None")
        return kind

    def _modified(self, name: str, node: abc.Mapping[str, Any]) -> str:
        """Lines that do with the value in a local what stands behind its source; and its kind."""
        kind = ""
        depth = self._depth
        steps = len(node.get("format", ())) + ("table" in node)
        for spec in node.get("format", ()):
            self.put(f"if {name} or {name} == 0:")
            self._depth += 1
            kind = self._formatted(name, spec.partition(":")[0], formatter(spec))
        if "table" in node:
            self.put(f"if {name} or {name} == 0:")
            self._depth += 1
            self._from_table(name, node["table"])
            kind = ""
        self._depth = depth
        default = node.get("default")
        if steps == 1 and default is None and not any(key in node for key in _LAST):
            self.put(f"else: {name} = None")
        elif steps or default is not None or any(key in node for key in _LAST):
            self.put(f"if not {name} and {name} != 0: {name} = {_literal(default)}")
            kind = kind if default is None else ""
        if "type" in node and node["type"] != "dynamic":
            with self.inside(f"if {name} is not None:"):
                kind = self._formatted(name, node["type"], TYPES[node["type"]])
        for key, cut, octets in (("max", cut_chars, 1), ("max_octets", cut_octets, 4)):
            if key in node:
                limit = node[key]
                if type(limit) is not int:
                    raise _Refused
                with self.inside(f"if isinstance({name}, str) and len({name}) * {octets} > {limit}:"):
                    self.put(f"{name} = {self.bind(cut)}({name}, {limit})")
        return kind

    def _formatted(self, name: str, word: str, function: Formatter) -> str:
        """One formatter or type, behind the test that shows it has nothing to do."""
        if word in ("number", "real"):
            self.put(f"if type({name}) is not float or {name} - {name} != 0: {name} = {self.bind(function)}({name})")
        elif word in ("text", "string"):
            test = f"type({name}) is not str or not {name}.isascii()"
            self.put(f"if {test}: {name} = {self.bind(function)}({name})")
        elif function in _AS_IT_IS:
            test = _AS_IT_IS[function].format(name)
            self.put(f"if not ({test}): {name} = {self.bind(function)}({name})")
        elif word in (*_CACHED, "datetime"):
            cached = self.bind(lru_cache(maxsize=512)(function))  # by text only: 1, 1.0 and True are one key
            test = f"type({name}) is str and len({name}) <= {_CACHE_CHARS}"
            self.put(f"{name} = {cached}({name}) if {test} else {self.bind(function)}({name})")
        else:
            self.put(f"{name} = {self.bind(function)}({name})")
        return _MADE_BY.get(word, "")

    def _from_table(self, name: str, table: Any) -> None:
        known = table if isinstance(table, abc.Mapping) else self.tables[table]

        def looked_up(value: Any) -> Any:
            return None if isinstance(value, list | dict) else known.get(as_text(value))

        found, other = self.bind(known), self.bind(looked_up)
        self.put(f"{name} = {found}.get({name}) if type({name}) is str else {other}({name})")

    def _source(self, name: str, node: abc.Mapping[str, Any]) -> None:
        if "from" in node:
            self._first(name, node["from"])
        elif "value" in node or "constant" in node:  # here only behind a condition
            value = CONSTANTS[node["constant"]] if "constant" in node else node["value"]
            self.put(f"{name} = {_literal(value)}")
        elif "join" in node:
            self._joined(name, node["join"], node.get("sep", " "))
        elif "object" in node:
            self.put(f"{name} = {{}}")
            self.group(name, [(tuple(key.split(".")), inner) for key, inner in node["object"].items()])
        else:
            self.put(f"{name} = []")
            for inner in node["list"]:
                item = self.node(inner).name
                self.put(f"if {item} or {item} == 0: {name}.append({item})")

    def _first(self, name: str, choices: Sequence[str]) -> None:
        self.put(f"{name} = {self.expression(choices[0])}")
        depth = self._depth
        for text in choices[1:]:
            self.put(f"if not {name} and {name} != 0:")
            self._depth += 1
            self.put(f"{name} = {self.expression(text)}")
        if len(choices) > 1:
            self.put(f"if not {name} and {name} != 0: {name} = None")
        self._depth = depth

    def _joined(self, name: str, parts: Sequence[abc.Mapping[str, Any]], sep: Any) -> None:
        if type(sep) is not str:
            raise _Refused
        texts = self.local()
        self.put(f"{texts} = []")
        for inner in parts:
            fixed = self.constant(inner)
            if fixed is not None:
                if text := as_text(fixed[0]):
                    self.put(f"{texts}.append({text!r})")
                continue
            part = self.node(inner).name
            self.put(f"if type({part}) is not str: {part} = {self.bind(as_text)}({part})")
            self.put(f"if {part}: {texts}.append({part})")
        self.put(f"{name} = {sep!r}.join({texts})")

    # ------------------------------------------------------------------------------------------------------- objects

    def group(self, target: str, fields: Sequence[tuple[tuple[str, ...], Any]]) -> None:
        """Lines that put fields into the dict `target`, dotted keys nested, in the order the interpreter gives them."""
        seen: dict[str, bool] = {}
        for (first, deeper), run in groupby(fields, key=lambda each: (each[0][0], len(each[0]) > 1)):
            inner = [(path[1:], node) for path, node in run]
            twice = first in seen or len(inner) > 1
            if seen.get(first, deeper) != deeper or (twice and not deeper):
                raise _Refused
            if not deeper:
                self._field(target, first, inner[0][1])
            else:
                below = self.local()
                self.put(f"{below} = {target}.get({first!r}) or {{}}" if first in seen else f"{below} = {{}}")
                self.group(below, inner)
                self.put(f"if {below}: {target}[{first!r}] = {below}")
            seen[first] = deeper

    def _field(self, target: str, key: str, node: abc.Mapping[str, Any]) -> None:
        """Lines that put the value of a node into the dict `target`, if there is any."""
        self.count_node()
        fixed = self.constant(node)
        if fixed is not None:
            if not empty(fixed[0]):
                self.put(f"{target}[{key!r}] = {_literal(fixed[0])}")
            return
        name = self.local()
        if node.keys() & _EVEN_OF_NONE or len(node.get("from", ())) != 1:
            self.value(name, node)
            self.put(f"if {name} or {name} == 0: {target}[{key!r}] = {name}")
            return
        self.put(f"{name} = {self.expression(node['from'][0])}")
        with self.inside(f"if {name} is not None:"):  # of what mappings ask for much is not there
            self._modified(name, node)
            self.put(f"if {name} or {name} == 0: {target}[{key!r}] = {name}")

    def words(self, node: abc.Mapping[str, Any]) -> str:
        """A local that holds a header field's text."""
        name = self.node(node).name
        self.put(f"if type({name}) is not str: {name} = {self.bind(as_text)}({name})")
        return name


def _of_path(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if not isinstance(value, abc.Mapping):
            return None
        value = value.get(key)
    return value


def _literal(value: Any) -> str:
    """The source of a plain value. Refuses what its repr does not give back."""
    if value is None or type(value) in (str, bool, int) or (type(value) is float and isfinite(value)):
        return repr(value)
    if type(value) is list:
        return f"[{', '.join(map(_literal, value))}]"
    if type(value) is dict and all(type(key) is str for key in value):
        return f"{{{', '.join(f'{key!r}: {_literal(inner)}' for key, inner in value.items())}}}"
    raise _Refused


# --------------------------------------------------------------------------------------------------------- encodings

_Nodes = abc.Mapping[str, abc.Mapping[str, Any]]


def _object(code: _Code, _header: _Nodes, fields: _Nodes) -> None:
    code.put("out = {}")
    code.group("out", [(tuple(key.split(".")), node) for key, node in fields.items()])
    code.put("return out")


def finished(payload: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """What a renderer gives as an object, in the form that any JSON receiver takes, and its octets.

    Nearly all are sound already, and writing them shows it for nothing. None where it is too deep to be JSON, which its
    sink will say of it.
    """
    octets = jsonl.sound_octets(payload)
    if octets is not None:
        return payload, octets
    made = sound(payload)
    return made, encoded(made)


def encoded(payload: abc.Mapping[str, Any]) -> bytes | None:
    """The octets of a sound object; None where it is too deep to be JSON."""
    try:
        return jsonl.dumps(payload).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return None


def _line(payload: dict[str, Any]) -> str:
    octets = jsonl.sound_octets(payload)
    return jsonl.dumps(sound(payload)) if octets is None else octets.decode("ascii")


def _json(code: _Code, header: _Nodes, fields: _Nodes) -> None:
    _object(code, header, fields)
    code.body[-1] = f"    return {code.bind(_line)}(out)"


def _leef(code: _Code, header: _Nodes, fields: _Nodes) -> None:
    words = [code.words(header[key]) for key in ("vendor", "product", "version", "class_id")]
    code.put("out = {}")
    code.group("out", [((key,), node) for key, node in fields.items()])
    code.put(f"return {code.bind(leef.encode)}({code.bind(leef.Header)}({', '.join(words)}), out)")


def _cef(code: _Code, header: _Nodes, fields: _Nodes) -> None:
    head = _cef_head(code, header)
    labels = ready_labels(fields)
    code.put("out = []")
    for key, node in fields.items():
        owner = cef.LABELS.get(key)
        if owner is None:
            _cef_field(code, key, node, labels.get(key, ""))
        elif owner not in labels and (owner in fields or node.keys() != {"value"}):
            raise _Refused  # a label that is made anew in each event, or that stands away from its key
    code.put(f"return {head} + ' '.join(out)")


def _cef_head(code: _Code, header: _Nodes) -> str:
    """The source of all in front of the extension: ready for every severity, where nothing else in it moves."""
    keys = ("vendor", "product", "version", "class_id", "name")
    severity = code.node(header["severity"]).name
    fixed = [code.constant(header[key]) for key in keys]
    known = [as_text(each[0]) for each in fixed if each is not None]
    if len(known) == len(keys):
        vendor, product, version, class_id, name = known
        heads = code.bind([cef.header(vendor, product, version, class_id, name, n) for n in range(11)])
        return f"{heads}[min(10, max(0, {severity})) if type({severity}) is int else 0]"
    words = [code.words(header[key]) for key in keys]
    return f"{code.bind(cef.header)}({', '.join(words)}, {severity} if type({severity}) is int else 0)"


def _cef_field(code: _Code, key: str, node: abc.Mapping[str, Any], label: str) -> None:
    limit = cef.LIMITS.get(key, cef.DEFAULT_LIMIT)
    fixed = code.constant(node)
    if fixed is not None:
        if not empty(fixed[0]) and (text := cef.safe(cut_chars(as_text(fixed[0]).strip(), limit))):
            code.put(f"out.append({f'{key}={text}{label}'!r})")
        return
    name, kind = code.node(node)
    with code.inside(f"if {name} or {name} == 0:"):
        if kind in ("float", "int"):
            words = {"float": "repr", "int": "str"}[kind]
            code.put(f"out.append({f'{key}='!r} + {words}({name}){f' + {label!r}' if label else ''})")
            return
        code.put(f"{name} = ({name} if type({name}) is str else {code.bind(as_text)}({name})).strip()")
        code.put(f"if len({name}) > {limit}: {name} = {code.bind(cut_chars)}({name}, {limit})")
        test = f"'=' in {name} or '\\\\' in {name} or not {name}.isascii() or not {name}.isprintable()"
        code.put(f"if {test}: {name} = {code.bind(cef.safe)}({name})")
        code.put(f"if {name}: out.append({f'{key}='!r} + {name}{f' + {label!r}' if label else ''})")


_WRITERS: abc.Mapping[str, Callable[[_Code, _Nodes, _Nodes], None]] = {
    "object": _object,
    "json": _json,
    "leef": _leef,
    "cef": _cef,
}
"""How each encoding is written; what is not here (cloudevents: nothing to map) is the interpreter's."""
