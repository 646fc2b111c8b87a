"""A small interpreter of Splunk's search language: as much of it as the shipped searches use, and nothing else.

What is not known here is an error, so that a search that outgrows it is noticed. Rows are dicts of fields; a value is
text, a number or a list of texts (multivalue). Null is absence. Fields that a search reads although no row ever had
them are remembered: that is how a misspelt field is found. Semantics follow Splunk's Search Reference.

What it cannot show: limits (of sort, subsearches, mvexpand), time zones other than UTC (that of a user moves spans and
strptime), rows that timechart adds for days without events, permissions, what a search costs, whether a macro inside
quotes is expanded, and what an older Splunk does not know.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase, translate
from operator import add, mod, mul, sub, truediv
from typing import Any

from attrs import Factory, define, field, frozen

Row = dict[str, Any]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|"(?P<text>(?:[^"\\]|\\.)*)"|'(?P<quoted>[^']*)'"""
    r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>==|!=|<=|>=|[-+*/%.=<>(),]))"""
)


class SplError(Exception):
    """The search is wrong, or uses what the interpreter does not know."""


# ----------------------------------------------------------------------------------------------------------- the data


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and values of a JSON object as KV_MODE=json finds them: `a.b`, `a{}`, `a{}.b`; null is the word null."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from flatten(inner, f"{prefix}{{}}")
    else:
        yield prefix, text(value)


EXTRACTED_CHARS = 5000
"""How much of an event KV_MODE=json looks at (limits.conf: extraction_cutoff); `spath path=` reads all of it."""


def row_of(envelope: Mapping[str, Any], indexed_at: float) -> Row:
    """The row of an event as the collector gets it."""
    event = envelope["event"]
    within, at = {}, 0
    for key, value in event.items():
        at += len(json.dumps({key: value}))
        if at <= EXTRACTED_CHARS:
            within[key] = value
    found: Row = {
        "_time": float(envelope["time"]),
        "_indextime": indexed_at,
        "_raw": json.dumps(event),
        **{key: envelope[key] for key in ("host", "source", "sourcetype") if key in envelope},
    }
    for path, value in flatten(within):
        found[path] = [*many(found[path]), value] if path in found else value
    return found


def text(value: Any) -> str:
    """A value as Splunk writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or isinstance(value, list):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def many(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


@frozen
class Model:
    """A dataset of a data model: which events are in it, its fields, and fields that are calculated."""

    constraint: str
    fields: Sequence[str]
    calculations: Mapping[str, str]


@define
class World:
    """What a search runs in: rows, macros, lookups, whole tables (`inputlookup`), data models, the time.

    None of it may change between two searches, but for `rows` and `tables` being replaced. `unknown` are fields no row
    had when they were read.
    """

    rows: Sequence[Row]
    macros: Mapping[str, tuple[str, Sequence[str]]]
    lookups: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, str] | None]]
    now: float
    tables: dict[str, list[Row]] = Factory(dict)
    models: Mapping[str, "Model"] = Factory(dict)
    unknown: set[str] = Factory(set)
    _seen: set[str] = field(factory=set)
    _made: set[str] = field(factory=set)
    _index: tuple[Sequence[Row], list[Row], set[str]] | None = None
    """The rows that these were made of; newest first, as every search reads them and none may change them; fields."""
    _found: dict[str, list[Row]] = Factory(dict)

    def run(self, search: str, tokens: Mapping[str, str] | None = None) -> list[Row]:
        """The rows of a search, its tokens and macros replaced."""
        self._made = set()
        return self.piped(self.expand(filled(search, tokens or {})))

    def piped(self, search: str) -> list[Row]:
        """The rows of a search, or of one in brackets inside another, in which nothing is to be replaced any more."""
        rows: list[Row] = []
        for n, part in enumerate(split(search, "|")):
            if not part and n == 0:
                continue
            command, _, rest = part.partition(" ")
            known = COMMANDS.get(command) if n > 0 or command in GENERATING else None
            if known is None and n > 0:
                raise SplError(f"unknown command {command!r} in {part!r}")
            if n == 0 and known in (None, _search):
                rows = self._indexed(part)
                continue
            self._seen = {name for row in rows for name in row} | self._made
            rows = known(self, rows, rest.strip()) if known else []
        return rows

    def _indexed(self, expression: str) -> list[Row]:
        """The rows of the index that fit, newest first, as copies. What was found is remembered: searches share it."""
        if self._index is None or self._index[0] is not self.rows:
            names = {name for row in self.rows for name in row}
            self._index = (self.rows, sorted(self.rows, key=lambda row: -row["_time"]), names)
            self._found = {}
        _, newest_first, names = self._index
        self._seen = names | self._made
        expression = _subsearches(self, expression.removeprefix("search ").strip())
        fits = _condition(self, expression)
        if expression not in self._found:
            self._found[expression] = [row for row in newest_first if fits(row)]
        return [dict(row) for row in self._found[expression]]

    def expand(self, search: str) -> str:
        for _ in range(50):
            found = re.search(r"`([A-Za-z_0-9]+)(?:\(([^`]*)\))?`", search)
            if found is None:
                return search
            arguments = [] if found[2] is None else [each.strip() for each in found[2].split(",")]
            key = f"{found[1]}({len(arguments)})" if arguments else found[1]
            if key not in self.macros:
                raise SplError(f"there is no macro {key}")
            body, names = self.macros[key]
            for name, value in zip(names, arguments, strict=True):
                body = body.replace(f"${name}$", value)
            search = search[: found.start()] + body + search[found.end() :]
        raise SplError("macros call each other without end")

    def reads(self, name: str) -> None:
        if self._seen and name not in self._seen and not any(fnmatchcase(seen, name) for seen in self._seen):
            self.unknown.add(name)


def filled(search: str, tokens: Mapping[str, str]) -> str:
    """A search with its tokens replaced, as Dashboard Studio does it (@splunk/dashboard-utils 29.6, `replaceTokens`).

    `$x$` is pasted; the filter `$x|s$` gives JSON's form of the text, in quotes, with quotes and backslashes escaped.
    """
    for name, value in tokens.items():
        search = search.replace(f"${name}$", value).replace(f"${name}|s$", json.dumps(value, ensure_ascii=False))
    return search


def split(source: str, mark: str) -> list[str]:
    """The parts between marks that stand outside quotes and brackets."""
    parts, depth, quote, part = [], 0, "", ""
    escaped = False
    for char in source:
        if quote:
            quote = "" if char == quote and not escaped else quote
        elif char in "\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        if char == mark and not quote and not depth:
            parts.append(part.strip())
            part = ""
        else:
            part += char
        escaped = char == "\\" and not escaped
    if quote or depth:
        raise SplError(f"unbalanced: {source}")
    return [*parts, part.strip()]


# -------------------------------------------------------------------------------------------------- search expressions

_TERM = re.compile(r"""\s*(?:(?P<bracket>[()])|(?P<name>[A-Za-z_][\w.{}:-]*)\s*(?P<op>!=|<=|>=|=|<|>)\s*"""
                   r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<value>[^\s()"]+))|(?P<word>AND|OR|NOT)\b)""")  # fmt: skip


def _search(world: World, rows: list[Row], expression: str) -> list[Row]:
    fits = _condition(world, _subsearches(world, expression.removeprefix("search ").strip()))
    return [row for row in rows if fits(row)]


def _condition(world: World, expression: str) -> Callable[[Row], bool]:
    tokens, at = [], 0
    while at < len(expression):
        found = _TERM.match(expression, at)
        if found is None or found.end() == at:
            raise SplError(f"not a search term: {expression[at:]!r}")
        tokens.append(found)
        at = found.end()
    place = [0]

    def peek() -> re.Match[str] | None:
        return tokens[place[0]] if place[0] < len(tokens) else None

    def either() -> Callable[[Row], bool]:
        tests = [all_of()]
        while (token := peek()) is not None and token["word"] == "OR":
            place[0] += 1
            tests.append(all_of())
        return lambda row: any(test(row) for test in tests)

    def all_of() -> Callable[[Row], bool]:
        tests = []
        while (token := peek()) is not None and token["bracket"] != ")" and token["word"] != "OR":
            if token["word"] == "AND":
                place[0] += 1
            tests.append(one())
        return lambda row: all(test(row) for test in tests)

    def one() -> Callable[[Row], bool]:
        token = peek()
        if token is None:
            raise SplError("a search term is missing")
        place[0] += 1
        if token["word"] == "NOT":
            inner = one()
            return lambda row: not inner(row)
        if token["bracket"] == "(":
            inner = either()
            closing = peek()
            if closing is None or closing["bracket"] != ")":
                raise SplError("a bracket is missing")
            place[0] += 1
            return inner
        quoted = token["quoted"]
        wanted = token["value"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        return _term(world, token["name"], token["op"], wanted)

    test = either()
    if place[0] != len(tokens):
        raise SplError(f"left over: {expression}")
    return test


def _subsearches(world: World, expression: str) -> str:
    """What stands in brackets is searched first, and the text that it returns takes its place."""
    while "[" in expression:
        start, end = expression.index("["), expression.index("]")
        seen = world._seen
        rows = world.piped(expression[start + 1 : end].strip())
        world._seen = seen
        terms = " ".join(f'{key}="{text(value)}"' for row in rows for key, value in row.items())
        expression = f"{expression[:start]}{terms}{expression[end + 1 :]}"
    return expression


def _term(world: World, name: str, op: str, wanted: str) -> Callable[[Row], bool]:
    if name == "index":
        return lambda _: True
    if name in ("earliest", "latest"):
        moment = float(wanted) if number(wanted) is not None else relative(wanted, world.now)
        return lambda row: bool(row["_time"] >= moment) if name == "earliest" else bool(row["_time"] < moment)
    if name == "_index_earliest":
        since = relative(wanted, world.now)
        return lambda row: bool(row["_indextime"] >= since)
    world.reads(name)
    fits = re.compile(translate(wanted.lower())).match

    def test(row: Row) -> bool:
        if name not in row:
            return False
        values = many(row[name])
        if op == "!=":
            return bool(values) and not any(fits(text(v).lower()) for v in values)
        if op == "=":
            return any(fits(text(v).lower()) for v in values)
        return any(bool(_compare(op, v, wanted)) for v in values)

    return test


def relative(modifier: str, now: float) -> float:
    found = re.fullmatch(r"-(\d+)([smhdw])(?:@[a-z]+)?", modifier)
    if found is None:
        raise SplError(f"unknown time {modifier!r}")
    return now - int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[found[2]]


# ---------------------------------------------------------------------------------------------------- eval expressions

Value = Callable[[Row], Any]


@define
class _Parser:
    world: World
    tokens: list[tuple[str, str]]
    at: int = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def take(self, value: str | None = None) -> tuple[str, str]:
        token = self.peek()
        if value is not None and token[1] != value:
            raise SplError(f"expected {value!r}, found {token[1]!r}")
        self.at += 1
        return token

    def word(self, word: str) -> bool:
        if self.peek() in (("name", word), ("name", word.lower())):
            self.at += 1
            return True
        return False

    def expression(self) -> Value:
        left = self.conjunction()
        while self.word("OR"):
            left = _joined(left, self.conjunction(), lambda a, b: bool(a) or bool(b))
        return left

    def conjunction(self) -> Value:
        left = self.negation()
        while self.word("AND"):
            left = _joined(left, self.negation(), lambda a, b: bool(a) and bool(b))
        return left

    def negation(self) -> Value:
        if self.word("NOT"):
            inner = self.negation()
            return lambda row: not inner(row)
        left = self.sum()
        if self.peek()[0] == "op" and self.peek()[1] in ("=", "==", "!=", "<", ">", "<=", ">="):
            op, right = self.take()[1], self.sum()
            return lambda row: _compare(op, left(row), right(row))
        return left

    def sum(self) -> Value:
        left = self.product()
        while self.peek() in (("op", "+"), ("op", "-"), ("op", ".")):
            left = _calculated(self.take()[1], left, self.product())
        return left

    def product(self) -> Value:
        left = self.unary()
        while self.peek() in (("op", "*"), ("op", "/"), ("op", "%")):
            left = _calculated(self.take()[1], left, self.unary())
        return left

    def unary(self) -> Value:
        if self.peek() == ("op", "-"):
            self.take()
            inner = self.unary()
            return lambda row: _arithmetic("-", 0.0, inner(row))
        return self.atom()

    def atom(self) -> Value:
        kind, value = self.take()
        if kind == "number":
            constant = float(value)
            return lambda _: constant
        if kind == "text":
            return lambda _: value
        if kind == "quoted":
            return self.read(value)
        if (kind, value) == ("op", "("):
            inner = self.expression()
            self.take(")")
            return inner
        if kind != "name":
            raise SplError(f"unexpected {value!r}")
        if self.peek() != ("op", "("):
            return self.read(value)
        self.take("(")
        arguments = []
        while self.peek() != ("op", ")"):
            arguments.append(self.expression())
            if self.peek() != ("op", ")"):
                self.take(",")
        self.take(")")
        if value not in FUNCTIONS:
            raise SplError(f"unknown function {value!r}")
        function = FUNCTIONS[value]
        return lambda row: function(self.world, row, arguments)

    def read(self, name: str) -> Value:
        self.world.reads(name)
        return lambda row: row.get(name)


def _joined(left: Value, right: Value, how: Callable[[Any, Any], Any]) -> Value:
    return lambda row: how(left(row), right(row))


def _calculated(op: str, left: Value, right: Value) -> Value:
    return lambda row: _arithmetic(op, left(row), right(row))


def compiled(world: World, source: str) -> Value:
    tokens, at = [], 0
    source = source.strip()
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None or found.end() == at:
            raise SplError(f"not an expression: {source[at:]!r}")
        kind = str(found.lastgroup)
        value = found[kind]
        tokens.append((kind, re.sub(r"\\(.)", r"\1", value) if kind == "text" else value))
        at = found.end()
    parser = _Parser(world, tokens)
    value = parser.expression()
    if parser.peek()[0] != "end":
        raise SplError(f"left over: {parser.peek()[1]!r} in {source!r}")
    return value


def _compare(op: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    values = [each if isinstance(each, list) else [each] for each in (left, right)]
    one, other = number(values[0][0]), number(values[1][0])
    a: Any = one if one is not None and other is not None else text(values[0][0])
    b: Any = other if one is not None and other is not None else text(values[1][0])
    return bool({"=": a == b, "==": a == b, "!=": a != b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[op])


def _arithmetic(op: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    one, other = number(left), number(right)
    if op == "." or (op == "+" and (one is None or other is None)):
        return text(left) + text(right)
    if one is None or other is None or (op in "/%" and other == 0):
        return None
    how: Callable[[float, float], float] = {"+": add, "-": sub, "*": mul, "/": truediv, "%": mod}[op]
    return how(one, other)


def _case(_: World, row: Row, given: Sequence[Value]) -> Any:
    return next((given[n + 1](row) for n in range(0, len(given), 2) if given[n](row)), None)


def _spath(document: Any, path: str) -> Any:
    try:
        value = json.loads(text(document))
    except ValueError:
        return None
    found = [value]
    for step in path.split("."):
        name, star = (step[:-2], True) if step.endswith("{}") else (step, False)
        found = [each[name] for each in found if isinstance(each, dict) and name in each]
        if star:
            found = [inner for each in found if isinstance(each, list) for inner in each]
    shown = [json.dumps(each) if isinstance(each, dict | list) else text(each) for each in found if each is not None]
    return None if not shown else shown[0] if len(shown) == 1 else shown


def _strptime(value: Any, form: str) -> float | None:
    if form.endswith("Z"):
        raise SplError(f"{form!r}: a plain Z says nothing, so it is read in the time zone of whoever searches")
    try:
        found = datetime.strptime(text(value), form)  # noqa: DTZ007 - who searches is in UTC here
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _simple(function: Callable[..., Any]) -> Callable[[World, Row, Sequence[Value]], Any]:
    """A function of its first argument that is null when that is."""

    def call(_: World, row: Row, given: Sequence[Value]) -> Any:
        values = [each(row) for each in given]
        return None if values and values[0] is None else function(*values)

    return call


def _round(value: Any, digits: Any = 0) -> Any:
    found = number(value)
    if found is None:
        return None
    scale = 10 ** int(digits)
    return math.floor(abs(found) * scale + 0.5) / scale * (1 if found >= 0 else -1)


def _mvindex(value: Any, first: Any, last: Any = None) -> Any:
    """One of the values, or those from one place to another."""
    values, start = many(value), int(first)
    if last is not None:
        return values[start : int(last) + 1] or None
    return values[start] if -len(values) <= start < len(values) else None


def _extreme(best: Callable[..., Any]) -> Callable[[World, Row, Sequence[Value]], Any]:
    def call(_: World, row: Row, given: Sequence[Value]) -> Any:
        values = [found for each in given if (found := number(each(row))) is not None]
        return best(values) if values else None

    return call


FUNCTIONS: Mapping[str, Callable[[World, Row, Sequence[Value]], Any]] = {
    "if": lambda _, row, given: given[1](row) if given[0](row) else given[2](row),
    "case": _case,
    "coalesce": lambda _, row, given: next((v for each in given if (v := each(row)) is not None), None),
    "isnull": lambda _, row, given: given[0](row) is None,
    "isnotnull": lambda _, row, given: given[0](row) is not None,
    "null": lambda *_: None,
    "true": lambda *_: True,
    "now": lambda world, *_: world.now,
    "round": _simple(_round),
    "abs": _simple(lambda v: None if number(v) is None else abs(float(v))),
    "tonumber": _simple(number),
    "tostring": _simple(text),
    "max": _extreme(max),
    "min": _extreme(min),
    "mvjoin": _simple(lambda v, mark: mark.join(map(text, many(v)))),
    "mvappend": lambda _, row, given: [v for each in given for v in many(each(row))] or None,
    "mvzip": _simple(
        lambda v, w, mark=",": [f"{text(a)}{mark}{text(b)}" for a, b in zip(many(v), many(w), strict=False)] or None
    ),
    "lower": _simple(lambda v: text(v).lower()),
    "mvcount": _simple(lambda v: float(len(many(v)))),
    "mvindex": _simple(_mvindex),
    "split": _simple(lambda v, mark: text(v).split(mark)),
    "replace": _simple(lambda v, pattern, new: re.sub(pattern, new, text(v))),
    "match": _simple(lambda v, pattern: re.search(pattern, text(v)) is not None),
    "substr": _simple(lambda v, start, length: text(v)[int(start) - 1 : int(start) - 1 + int(length)]),
    "strptime": _simple(_strptime),
    "strftime": _simple(lambda v, form: datetime.fromtimestamp(float(v), UTC).strftime(form)),
    "spath": _simple(_spath),
}


# ------------------------------------------------------------------------------------------------------------ commands


def _where(world: World, rows: list[Row], rest: str) -> list[Row]:
    test = compiled(world, rest)
    return [row for row in rows if test(row) is True]


def _eval(world: World, rows: list[Row], rest: str) -> list[Row]:
    for part in split(rest, ","):
        name, equals, source = part.partition("=")
        if not equals:
            raise SplError(f"eval without =: {part!r}")
        value, name = compiled(world, source), name.strip().strip("'\"")
        for row in rows:
            found = value(row)
            if found is None:
                row.pop(name, None)
            else:
                row[name] = text(found) if isinstance(found, bool) else found
        world._seen.add(name)
        world._made.add(name)  # known from now on, even where it is null in every row
    return rows


_AGGREGATE = re.compile(r"(\w+)(?:\((.*?)\))?(?:\s+[Aa][Ss]\s+(\"[^\"]+\"|'[^']+'|[\w.*{}]+))?", re.DOTALL)


def _aggregates(world: World, rest: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """[(function, field or expression, name)], [by]."""
    calls, _, by = re.sub(r"\s+[Bb][Yy]\s+", "\x00", rest).partition("\x00")
    found = []
    for source in (each for part in split(calls, ",") for each in _calls(part)):
        match = _AGGREGATE.fullmatch(source.strip())
        if match is None:
            raise SplError(f"not an aggregation: {source!r}")
        function, inner, name = match[1], (match[2] or "").strip("'\" "), (match[3] or "").strip("'\"")
        if inner and not inner.startswith("eval("):
            world.reads(inner)
        found.append((function, inner, name or (f"{function}({inner})" if inner else function)))
    keys = [key.strip("\"' ,") for key in re.findall(r"\"[^\"]+\"|'[^']+'|[^\s,]+", by)]
    for key in keys:
        world.reads(key)
    return found, keys


def _calls(part: str) -> list[str]:
    """Aggregations may also be separated by spaces."""
    return re.findall(r"\w+(?:\((?:[^()]|\([^()]*\))*\))?(?:\s+[Aa][Ss]\s+(?:\"[^\"]+\"|'[^']+'|[\w.*{}]+))?", part)


def _aggregate(world: World, rows: Sequence[Row], function: str, inner: str) -> Any:
    if inner.startswith("eval("):
        test = compiled(world, inner[5:-1])
        return float(sum(1 for row in rows if test(row) is True))
    if function == "count" and not inner:
        return float(len(rows))
    pairs = [(row.get("_time", 0.0), v) for row in rows for v in many(row.get(inner))]
    values = [v for _, v in pairs]
    numbers = [n for v in values if (n := number(v)) is not None]
    if function in ("latest", "earliest"):
        ordered = sorted(pairs, key=lambda pair: pair[0])
        return None if not ordered else ordered[-1 if function == "latest" else 0][1]
    simple: Mapping[str, Callable[[], Any]] = {
        "count": lambda: float(len(values)),
        "dc": lambda: float(len(set(map(text, values)))),
        "sum": lambda: math.fsum(numbers) if numbers else None,
        "avg": lambda: math.fsum(numbers) / len(numbers) if numbers else None,
        "min": lambda: min(numbers or values, default=None),
        "max": lambda: max(numbers or values, default=None),
        "first": lambda: values[0] if values else None,
        "last": lambda: values[-1] if values else None,
        "values": lambda: _plain(sorted(set(map(text, values)))),
        "list": lambda: list(map(text, values)) or None,
    }
    if function not in simple:
        raise SplError(f"unknown aggregation {function!r}")
    return simple[function]()


def _plain(values: list[str]) -> Any:
    """Several values, or the one, or none."""
    return values if len(values) > 1 else values[0] if values else None


def _spread(rows: Sequence[Row], calls: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Wildcards (`latest(a.*.b) as *`) become one call for each field that matches."""
    names = sorted({name for row in rows for name in row})
    found = []
    for function, inner, name in calls:
        if "*" not in inner:
            found.append((function, inner, name))
            continue
        pattern = re.compile(re.escape(inner).replace(r"\*", "([^.]*)"))
        found += [(function, each, name.replace("*", m[1])) for each in names if (m := pattern.fullmatch(each))]
    return found


def _groups(rows: Iterable[Row], keys: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if all(key in row for key in keys):
            groups.setdefault(tuple(text(row[key]) for key in keys), []).append(row)
    return groups


def _put(row: Row, name: str, value: Any) -> None:
    if value is not None:
        row[name] = value


def _stats(world: World, rows: list[Row], rest: str) -> list[Row]:
    calls, keys = _aggregates(world, rest)
    calls = _spread(rows, calls)
    made = []
    for _, group in sorted(_groups(rows, keys).items()) if keys else [((), rows)]:
        row: Row = {key: group[0][key] for key in keys}
        for function, inner, name in calls:
            _put(row, name, _aggregate(world, group, function, inner))
        made.append(row)
    return made


def _eventstats(world: World, rows: list[Row], rest: str) -> list[Row]:
    calls, keys = _aggregates(world, rest)
    for group in _groups(rows, keys).values() if keys else [rows]:
        found = [(name, _aggregate(world, group, function, inner)) for function, inner, name in calls]
        for row in group:
            for name, value in found:
                _put(row, name, value)
    return rows


def _streamstats(world: World, rows: list[Row], rest: str) -> list[Row]:
    calls, keys = _aggregates(world, rest)
    before: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        group = before.setdefault(tuple(text(row.get(key)) for key in keys), [])
        group.append(row)
        for function, inner, name in calls:
            _put(row, name, _aggregate(world, group, function, inner))
    return rows


def _timechart(world: World, rows: list[Row], rest: str) -> list[Row]:
    found = re.fullmatch(r"(?:sep=(\S+)\s+)?(?:limit=\d+\s+)?span=1([dh])\s+(.*)", rest)
    if found is None:
        raise SplError(f"timechart: {rest!r}")
    between = found[1] or ": "
    span = {"d": 86400.0, "h": 3600.0}[found[2]]
    calls, keys = _aggregates(world, found[3])
    for row in rows:
        row["_time"], row["_at"] = row["_time"] // span * span, row["_time"]
    made = []
    for _, group in sorted(_groups(rows, ["_time"]).items(), key=lambda each: float(each[0][0])):
        out: Row = {"_time": group[0]["_time"]}
        inside = [{**row, "_time": row["_at"]} for row in group]
        if keys:
            for (series,), part in sorted(_groups(inside, keys).items()):
                for function, inner, name in calls:
                    _put(
                        out,
                        series if len(calls) == 1 else f"{name}{between}{series}",
                        _aggregate(world, part, function, inner),
                    )
        else:
            for function, inner, name in _spread(inside, calls):
                _put(out, name, _aggregate(world, inside, function, inner))
        made.append(out)
    return made


def _dedup(world: World, rows: list[Row], rest: str) -> list[Row]:
    keys = rest.replace(",", " ").split()
    for key in keys:
        world.reads(key)
    return [group[0] for group in _groups(rows, keys).values()]


def _sort(world: World, rows: list[Row], rest: str) -> list[Row]:
    keys = re.sub(r"^\d+\s*", "", rest)
    for part in reversed([each.strip() for each in keys.replace("- ", "-").replace("+ ", "+").split(",")]):
        name, down = part.lstrip("+-").strip("'\""), part.startswith("-")
        world.reads(name)

        def key(row: Row, name: str = name) -> tuple[int, float, str]:
            value = row.get(name)
            found = number(value)
            return (2, 0.0, "") if value is None else (0, found, "") if found is not None else (1, 0.0, text(value))

        rows = sorted(rows, key=key, reverse=down)
    return rows


def _names(rest: str) -> list[str]:
    return [name.strip("\"' ") for name in re.findall(r"\"[^\"]+\"|'[^']+'|[^\s,]+", rest)]


def _table(world: World, rows: list[Row], rest: str) -> list[Row]:
    names = _names(rest)
    for name in names:
        world.reads(name)
    found = {seen for row in rows for seen in row}
    order = [
        seen for name in names for seen in (sorted(s for s in found if fnmatchcase(s, name)) if "*" in name else [name])
    ]
    return [{name: row[name] for name in order if name in row} for row in rows]


def _fields(world: World, rows: list[Row], rest: str) -> list[Row]:
    if not rest.startswith("- "):
        kept = _fitting(rows, [*_names(rest.removeprefix("+ ")), "_raw", "_time"])
        return [{key: v for key, v in row.items() if key in kept} for row in rows]
    gone = _fitting(rows, _names(rest[2:]))
    return [{key: v for key, v in row.items() if key not in gone} for row in rows]


def _fitting(rows: Sequence[Row], patterns: Sequence[str]) -> set[str]:
    """The names of fields that fit one of the patterns."""
    return {key for key in {key for row in rows for key in row} if any(fnmatchcase(key, p) for p in patterns)}


def _rename(world: World, rows: list[Row], rest: str) -> list[Row]:
    for part in split(rest, ","):
        old, _, new = (each.strip("\"' ") for each in re.sub(r"\s+[Aa][Ss]\s+", "\x00", part).partition("\x00"))
        world.reads(old)
        stem, star, _ = old.partition("*")
        put = new.partition("*")[0]

        def called(key: str, old: str = old, new: str = new, stem: str = stem, star: str = star, put: str = put) -> str:
            if star:
                return put + key[len(stem) :] if key.startswith(stem) else key
            return new if key == old else key

        rows = [{called(key): value for key, value in row.items()} for row in rows]
    return rows


def _mvexpand(world: World, rows: list[Row], rest: str) -> list[Row]:
    world.reads(rest)
    return [{**row, rest: value} for row in rows for value in many(row.get(rest))]


def _spath_command(world: World, rows: list[Row], rest: str) -> list[Row]:
    given: dict[str, str] = dict(re.findall(r"(\w+)=(\S+)", rest))
    if set(given) - {"path", "output", "input"} or "path" not in given:
        raise SplError(f"spath: {rest!r}")
    for row in rows:
        _put(row, given.get("output", given["path"]), _spath(row.get(given.get("input", "_raw")), given["path"]))
    world.reads(given.get("input", "_raw"))
    return rows


def _makemv(world: World, rows: list[Row], rest: str) -> list[Row]:
    """A text that holds several values, apart by blanks, as a multivalue field."""
    world.reads(rest)
    for row in rows:
        if isinstance(row.get(rest), str):
            row[rest] = row[rest].split()
    return rows


def _filldown(_: World, rows: list[Row], rest: str) -> list[Row]:
    """Where a field has no value, that of the row before."""
    last: Row = {}
    for row in rows:
        for name in [known for known in last if known not in row]:
            row[name] = last[name]
        last.update({name: value for name, value in row.items() if any(fnmatchcase(name, p) for p in _names(rest))})
    return rows


def _addtotals(_: World, rows: list[Row], rest: str) -> list[Row]:
    """The sum of the fields of a row whose names fit, as a field of its own."""
    found = re.fullmatch(r"fieldname=(\w+)\s+(.+)", rest)
    if found is None:
        raise SplError(f"addtotals: {rest!r}")
    patterns = _names(found[2])
    for row in rows:
        values = [number(v) for name, v in row.items() if any(fnmatchcase(name, p) for p in patterns)]
        row[found[1]] = math.fsum(v for v in values if v is not None)
    return rows


def _inputlookup(world: World, rows: list[Row], rest: str) -> list[Row]:
    """The rows of a table; behind those that are there with append=true."""
    given, _, name = rest.rpartition(" ")
    if given not in ("", "append=true"):
        raise SplError(f"inputlookup: {rest!r}")
    return [*(rows if given else []), *(dict(row) for row in world.tables[name])]


def _return(_: World, rows: list[Row], rest: str) -> list[Row]:
    """The first row's values, as terms for the search around a subsearch."""
    return [{name: row[name] for name in rest.split() if name in row} for row in rows[:1]]


_TSTATS = re.compile(r"(?P<options>(?:\w+=\S+\s+)*?)(?P<calls>(?:count|max\(|min\(|dc\().*?)"
                     r"(?:\s+from datamodel=(?P<model>\S+))?(?:\s+where\s+(?P<where>.*?))?"
                     r"(?:\s+by\s+(?P<by>.*))?")  # fmt: skip
INDEXED = {"_time", "_indextime", "index", "host", "source", "sourcetype"}


def _tstats(world: World, rows: list[Row], rest: str) -> list[Row]:
    """Statistics from the index's own fields alone, or from a data model."""
    found = _TSTATS.fullmatch(rest)
    if found is None:
        raise SplError(f"tstats: {rest!r}")
    options = dict(re.findall(r"(\w+)=(\S+)", found["options"]))
    if set(options) - {"summariesonly", "fillnull_value"}:
        raise SplError(f"tstats: {rest!r}")
    rows = [dict(row) for row in world.rows]
    if found["model"]:
        rows = _modelled(world, found["model"])
    world._seen = {name for row in rows for name in row} if found["model"] else INDEXED
    by = re.sub(r"\s+span=1([dh])", "", found["by"] or "")
    if span := re.search(r"\sspan=1([dh])", found["by"] or ""):
        length = {"d": 86400.0, "h": 3600.0}[span[1]]
        for row in rows:
            row["_time"] = row["_time"] // length * length
    if found["where"]:
        rows = _search(world, rows, found["where"])
    keys = _names(by)
    if "fillnull_value" in options:
        empty = options["fillnull_value"].strip('"')
        rows = [{**dict.fromkeys(keys, empty), **row} for row in rows]
    return _stats(world, rows, found["calls"] + (f" by {' '.join(keys)}" if keys else ""))


def _modelled(world: World, name: str) -> list[Row]:
    """The rows of a dataset, its fields called as tstats calls them."""
    model, prefix = world.models[name], name.partition(".")[2]
    made = []
    rows = world.piped(world.expand(model.constraint))
    world._seen = {name for row in rows for name in row}
    calculated = {key: compiled(world, source) for key, source in model.calculations.items()}
    for row in rows:
        out = {f"{prefix}.{key}": row[key] for key in model.fields if key in row and key not in INDEXED}
        for key, value in calculated.items():
            _put(out, f"{prefix}.{key}", value(row))
        made.append({**out, **{key: row[key] for key in INDEXED if key in row}})
    return made


def _lookup(world: World, rows: list[Row], rest: str) -> list[Row]:
    found = re.fullmatch(r"(\w+) (\w+)(?: AS (\S+))? OUTPUT(NEW)? (.+)", rest)
    if found is None:
        raise SplError(f"lookup: {rest!r}")
    name, key, event_field = found[1], found[2], (found[3] or found[2]).strip("\"'")
    world.reads(event_field)
    for row in rows:
        hit = world.lookups[name]({key: row.get(event_field)})
        for part in split(found[5], ","):
            column, _, new = re.sub(r"\s+AS\s+", "\x00", part).partition("\x00")
            to = str(new or column)
            if hit and hit.get(column) and not (found[4] and to in row):
                row[to] = hit[column]
    return rows


def _fillnull(_: World, rows: list[Row], rest: str) -> list[Row]:
    found = re.fullmatch(r"value=(\S+)\s*(.*)", rest)
    if found is None:
        raise SplError(f"fillnull: {rest!r}")
    names = _names(found[2]) or sorted({name for row in rows for name in row})
    return [{**dict.fromkeys(names, found[1].strip('"')), **row} for row in rows]


def _append(world: World, rows: list[Row], rest: str) -> list[Row]:
    """The rows of another search behind these."""
    if not (rest.startswith("[") and rest.endswith("]")):
        raise SplError(f"append: {rest!r}")
    inner = rest[1:-1].strip()
    if not inner.startswith("search "):
        raise SplError(f"a search in brackets begins with its command: {inner!r}")
    return [*rows, *world.piped(inner)]


def _untable(world: World, rows: list[Row], rest: str) -> list[Row]:
    """One row for each value besides the first field's, which it keeps: the name of its field, and the value."""
    kept, name, value = _names(rest)
    world.reads(kept)
    return [
        {kept: row[kept], name: field, value: found}
        for row in rows
        if kept in row
        for field, found in row.items()
        if field != kept
    ]


GENERATING = ("search", "tstats", "inputlookup")
COMMANDS: Mapping[str, Callable[[World, list[Row], str], list[Row]]] = {
    "search": _search,
    "where": _where,
    "eval": _eval,
    "stats": _stats,
    "eventstats": _eventstats,
    "streamstats": _streamstats,
    "timechart": _timechart,
    "dedup": _dedup,
    "sort": _sort,
    "table": _table,
    "fields": _fields,
    "rename": _rename,
    "mvexpand": _mvexpand,
    "spath": _spath_command,
    "lookup": _lookup,
    "fillnull": _fillnull,
    "append": _append,
    "untable": _untable,
    "makemv": _makemv,
    "filldown": _filldown,
    "addtotals": _addtotals,
    "inputlookup": _inputlookup,
    "return": _return,
    "tstats": _tstats,
    "head": lambda _, rows, rest: rows[: int(rest or 10)],
}
