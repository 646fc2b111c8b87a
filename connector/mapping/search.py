"""A JMESPath expression as the source of a Python expression, where it is one of the simple kinds; else nothing.

Known are fields, indexes, lists of one field, literals, comparisons, and, or, not, to_number, and starts_with by
itself: what mappings mostly ask. Any other expression, and any operand that is not plain, goes to the library, which
says what an expression means. Pure.
Source: https://jmespath.org/specification.html
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import define
from jmespath.visitor import TreeInterpreter

Tree = Mapping[str, Any]

_ORDERS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_CURRENT: Tree = {"type": "current", "children": []}


class _Unknown(Exception):  # no error: the library searches
    """An expression of a kind that is not written here."""


@define
class Names:
    """What the source needs from the function it will stand in: the source of a path, new locals, bound objects."""

    path: Callable[[tuple[str, ...]], str]
    local: Callable[[], str]
    bind: Callable[[Any], str]


def source_of(tree: Tree, names: Names) -> str | None:
    """The source that gives what the library's search of the parsed `tree` gives, or None."""
    try:
        return _starts_with(tree, names) or _source(tree, names)
    except _Unknown:
        return None


def _source(tree: Tree, names: Names) -> str:
    kind, children = tree["type"], tree["children"]
    if kind == "subexpression" and children[-1]["type"] == "index_expression":  # a.b[0] is a.(b[0]) to the library
        field, *index = children[-1]["children"]
        above: Tree = {**tree, "children": [*children[:-1], field]}
        return _source({**children[-1], "children": [above, *index]}, names)
    if kind in ("field", "subexpression"):
        return names.path(_fields(tree))
    if kind == "projection" and children[0]["type"] == "flatten":
        return _each(children, names)
    if kind == "index_expression" and children[-1]["type"] == "index" and len(children) == 2:
        return _index(_source(children[0], names), children[1]["value"], names.local())
    if kind == "literal" and type(tree["value"]) in (str, int, float):
        return repr(tree["value"])
    if kind in ("or_expression", "and_expression"):
        left, right, at = _source(children[0], names), _source(children[1], names), names.local()
        chosen = (at, right) if kind == "or_expression" else (right, at)
        return f"({chosen[0]} if {_true(left, at)} else {chosen[1]})"
    if kind == "not_expression":
        return f"(not ({_true(_source(children[0], names), names.local())}))"
    if kind == "comparator":
        return _compared(tree["value"], children, names)
    if kind == "function_expression" and tree["value"] == "to_number" and len(children) == 1:
        at = names.local()
        slow = names.bind(_search({**tree, "children": [_CURRENT]}))
        return f"({at} if {_is_number(at, _source(children[0], names))} else {slow}({at}))"
    raise _Unknown


def _fields(tree: Tree) -> tuple[str, ...]:
    if tree["type"] == "field":
        return (tree["value"],)
    if tree["type"] != "subexpression":
        raise _Unknown
    return tuple(key for child in tree["children"] for key in _fields(child))


def _index(source: str, index: int, at: str) -> str:
    place = index if index >= 0 else -index - 1
    return f"({at}[{index}] if isinstance({at} := {source}, list) and len({at}) > {place} else None)"


def _each(children: list[Tree], names: Names) -> str:
    """`a.b[].c`: mostly there is no such list."""
    flat, of_each = children
    _fields(of_each)
    at = names.local()
    slow = names.bind(_search({"type": "projection", "children": [{**flat, "children": [_CURRENT]}, of_each]}))
    return f"({slow}({at}) if isinstance({at} := {_source(flat['children'][0], names)}, list) else None)"


def _starts_with(tree: Tree, names: Names) -> str:
    """Only as a whole expression: what is no text makes all of it null."""
    children = tree["children"]
    if tree["type"] != "function_expression" or tree["value"] != "starts_with" or len(children) != 2:
        return ""
    if children[1]["type"] != "literal" or type(children[1]["value"]) is not str:
        raise _Unknown
    at = names.local()
    of_text = _source(children[0], names)
    return f"({at}.startswith({children[1]['value']!r}) if type({at} := {of_text}) is str else None)"


def _true(source: str, at: str) -> str:
    """Zero is true in JMESPath; false are false, null, and empty text, list and object."""
    return f"({at} := {source}) or ({at} == 0 and {at} is not False)"


def _is_number(at: str, source: str) -> str:
    return f"type({at} := {source}) is float or type({at}) is int"


def _compared(word: str, children: list[Tree], names: Names) -> str:
    left, right = children
    if right["type"] != "literal" or type(right["value"]) not in (str, int, float):
        raise _Unknown
    value, at = right["value"], names.local()
    of_left = _source(left, names)
    slow = names.bind(_search({"type": "comparator", "value": word, "children": [_CURRENT, right]}))
    if word == "eq" and type(value) is str:
        return f"({of_left} == {value!r})"
    if word in _ORDERS and type(value) is not str:
        return f"({at} {_ORDERS[word]} {value!r} if {_is_number(at, of_left)} else {slow}({at}))"
    return f"{slow}({of_left})"


def _search(tree: Tree) -> Callable[[Any], Any]:
    return lambda value: TreeInterpreter().visit(cast("Any", tree), value)
