"""What every key of the configuration and of a baseline file means, as values: for `securescore config explain` and
docs/configuration.md.

Made from the tables that the parser checks against, so it cannot say anything else. Pure; no wording of errors here.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from attrs import frozen

from connector.config.keys import (
    AUTH,
    DECLARED,
    EXCUSE,
    LISTS,
    NOT_DECLARED,
    OF_SOURCE,
    REPORT,
    SINK,
    STANDARD,
    TENANT,
    TOP,
)
from connector.options import TYPES, Option

_EXAMPLES: Mapping[str, str] = {
    "int": "10",
    "float": "0.5",
    "bool": "on",
    "duration": "15m",
    "size": "64MiB",
    "days": "90d",
    "share": "10%",
    "percent": "70",
    "date": "2027-05-01",
    "guid": "11111111-1111-1111-1111-111111111111",
    "path": "./file",
    "url": "https://host.example.org/path",
    "origin": "https://host.example.org",
    "https_origin": "https://host.example.org",
    "proxy": "http://proxy.example.org:3128",
    "host": "siem.example.org",
    "port": "6514",
    "address": "127.0.0.1:9464",
    "language": "de-DE",
    "cloud": "usgov",
    "arm_cloud": "usgov",
    "list": "[one, two]",
    "map": "{customer: contoso}",
    "secret": '"${env:NAME}"',
    "auth": "{kind: managed_identity}",
    "str": "text",
}


_OWN_EXAMPLES: Mapping[str, str] = {
    "sinks.kind": "file",
    "sinks.mail.digest_at": '"07:30"',
    "reports.path": "./reports/{tenant}-{period}.html",
}
BASELINE = "baseline."
"""What the paths of the keys inside a baseline file begin with."""
_BASELINE: Mapping[str, tuple[str, Mapping[str, Option]]] = {
    "standards": ("`standards` of a baseline file: one entry a standard", STANDARD),
    "standards.declared": ("`declared` of a standard: one entry a control", DECLARED),
    "standards.not_declared": ("`not_declared` of a standard: one entry a rule", NOT_DECLARED),
    "exceptions": ("`exceptions` of a baseline file: one entry an exception", EXCUSE),
}
"""The lists of entries in a baseline file, and the title of each one's section."""
_SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("", 1))


@frozen
class Key:
    """One key: where it stands ("sinks.syslog.port"), and its Option."""

    path: str
    option: Option

    @property
    def kind(self) -> str:
        """What the operator writes, in words."""
        option = self.option
        words = TYPES[option.type].split(" → ")[0] if option.type != "enum" else ""
        if option.type in ("list", "map") and option.choices:
            words += f" of {', '.join(option.choices)}"
        elif option.choices:
            words = " or ".join(filter(None, (words, ", ".join(option.choices))))
        if option.type == "auth":
            words = f"a credential: {{kind: {' | '.join(AUTH)}, …}}"
        low, high = option.minimum, option.maximum
        bounds = [f"at least {self._amount(low)}" if low else "", f"at most {self._amount(high)}" if high else ""]
        told = " and ".join(filter(None, bounds))
        return f"{words}; {told}" if told else words

    @property
    def default(self) -> str:
        """The value without the key, as it would be written; "" where there is none."""
        value = self.option.default
        if value is None or value == ():
            return "required" if self.option.required else ""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, tuple):
            return f"[{', '.join(value)}]"
        return self._amount(value) if isinstance(value, int | float) else str(value)

    def _amount(self, value: float) -> str:
        """A number as a person would write it for this key."""
        kind = self.option.type
        if kind == "duration":
            return _duration(value)
        if kind == "size":
            return next(f"{value / size:g}{unit}" for unit, size in _SIZES if value >= size)
        if kind == "days":
            return f"{value:g}d"
        return f"{100 * value:g}%" if kind == "share" else f"{value:.15g}"

    @property
    def example(self) -> str:
        """The key in its place, as YAML that the parser takes."""
        option, default = self.option, self.default
        if option.type in ("enum", "list") and option.choices:
            others = [word for word in option.choices if word != default] or [*option.choices]
            value = f"[{option.choices[0]}]" if option.type == "list" else _quoted(others[0])
        elif option.type == "map" and option.choices:
            value = f"{{{option.choices[0]}: text}}"
        else:
            value = _OWN_EXAMPLES.get(self.path) or _EXAMPLES[option.type]
            if option.type == "int" and option.minimum is not None:
                value = str(max(10, int(option.minimum)))
            elif option.type == "duration" and option.minimum is not None:
                value = _duration(max(900, option.minimum))
            if option.maximum is not None and option.type == "duration":
                value = _duration(min(900, option.maximum))
        return _nested(self.path, value)


def keys(kinds: Mapping[str, Mapping[str, Option]]) -> list[Key]:
    """Every key, in the order of the tables; `kinds`: the OPTIONS of every kind of sink."""
    found = [Key(path, option) for path, option in TOP.items() if path not in LISTS]
    found += [Key(f"tenants.{path}", option) for path, option in TENANT.items()]
    found += [Key(f"tenants.auth.{kind}.{path}", option) for kind, own in AUTH.items() for path, option in own.items()]
    found += [Key(f"sinks.{path}", option) for path, option in SINK.items()]
    found += [Key(f"reports.{path}", option) for path, option in REPORT.items()]
    found += [Key(f"sinks.{kind}.{path}", option) for kind, own in kinds.items() for path, option in own.items()]
    for place, (_, table) in _BASELINE.items():
        plain = {name: option for name, option in table.items() if f"{place}.{name}" not in _BASELINE}
        found += [Key(f"{BASELINE}{place}.{name}", option) for name, option in plain.items()]
    return found


def named(word: str, known: list[Key]) -> list[Key]:
    """The keys a person means by `word`: the whole path or a part of it, in any case; its end before its beginning."""
    wanted = word.strip().lower().strip(".")
    exact = [key for key in known if key.path.lower() == wanted]
    if exact:
        return exact
    behind = [key for key in known if key.path.lower().endswith("." + wanted)]
    before = [key for key in known if key.path.lower().startswith(wanted + ".")]
    return behind or before or [key for key in known if f".{wanted}." in key.path.lower()]


def near(word: str, known: list[Key]) -> list[str]:
    """Paths that look like `word`, best first."""
    ends = {key.path.rsplit(".", 1)[-1].lower(): key.path for key in known}
    paths = {key.path.lower(): key.path for key in known}
    found = get_close_matches(word.lower(), [*paths, *ends], n=3, cutoff=0.6)
    return list(dict.fromkeys(paths.get(each) or ends[each] for each in found))


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _quoted(word: str) -> str:
    return f'"{word}"' if word.isdigit() else word


_SOURCES = {"path": "files", "options": "acme", **OF_SOURCE}
"""Keys of a tenant that belong to one source."""


def _nested(path: str, value: str) -> str:
    """YAML of one key; entries of lists of entries begin with what names them."""
    root, *rest = path.split(".")
    if root == "sinks":
        kind = [f"kind: {rest.pop(0)}"] if _kind_of(path) else []
        return _entry("sinks", kind, rest, value)
    if root == "baseline" and rest:
        *lists, name = rest
        text = f"{name}: {value}"
        for each in reversed(lists):
            text = f"{each}:\n  - " + text.replace("\n", "\n    ")
        return f"# in the baseline file\n{text}"
    if root == "reports" and rest:
        return _entry("reports", [], rest, value)
    if root == "tenants":
        if rest[:1] == ["auth"] and len(rest) > 2:
            return f"tenants:\n  - auth: {{kind: {rest[1]}, {rest[2]}: {value}}}"
        source = _SOURCES.get(rest[0])
        return _entry("tenants", [f"source: {source}"] if source else [], rest, value)
    lines = ["  " * depth + f"{name}:" for depth, name in enumerate([root, *rest])]
    return "\n".join(lines) + f" {value}"


def _entry(root: str, first: list[str], rest: list[str], value: str) -> str:
    lines = [*first, *("  " * depth + f"{name}:" for depth, name in enumerate(rest))]
    lines[-1] += f" {value}"
    return f"{root}:\n" + "\n".join(("  - " if n == 0 else "    ") + line for n, line in enumerate(lines))


def page(known: list[Key]) -> str:
    """docs/configuration.md: every key in a table, a section for each place it stands in."""
    parts = [_HEAD]
    for title, words, members in _sections(known):
        parts += [
            f"## {title}\n",
            *([f"{words}\n"] if words else []),
            "| key | what it is | value | default |\n|---|---|---|---|",
        ]
        parts += [
            f"| `{name}` | {_cell(key.option.doc)} | {_cell(key.kind)} | {_cell(key.default)} |"
            for name, key in members
        ]
        parts.append("")
    return "\n".join(parts)


def _sections(known: list[Key]) -> list[tuple[str, str, list[tuple[str, Key]]]]:
    whole = [key for key in known if not key.path.startswith(BASELINE)]
    tops = [(key.path, key) for key in whole if key.path.split(".")[0] not in LISTS]
    found: list[tuple[str, str, list[tuple[str, Key]]]] = [("The whole", "", tops)]
    of_tenants = [key for key in known if key.path.startswith("tenants.")]
    plain = [(key.path.removeprefix("tenants."), key) for key in of_tenants if not key.path.startswith("tenants.auth.")]
    found.append(("`tenants`: one entry a tenant", "`defaults` takes the same keys, for all of them.", plain))
    for kind in AUTH:
        prefix = f"tenants.auth.{kind}."
        members = [(key.path.removeprefix(prefix), key) for key in of_tenants if key.path.startswith(prefix)]
        found.append((f"`auth` of kind `{kind}`", "", members))
    entries = [(key.path.removeprefix("reports."), key) for key in known if key.path.startswith("reports.")]
    found.append(("`reports`: one entry a schedule", "", entries))
    rest = [key for key in known if key.path.startswith("sinks.")]
    kinds = list(dict.fromkeys(kind for key in rest if (kind := _kind_of(key.path))))
    common = [(key.path.removeprefix("sinks."), key) for key in rest if not _kind_of(key.path)]
    found.append(("`sinks`: one entry a sink", "These keys are every sink's.", common))
    for kind in kinds:
        prefix = f"sinks.{kind}."
        members = [(key.path.removeprefix(prefix), key) for key in rest if key.path.startswith(prefix)]
        found.append((f"A sink of kind `{kind}`", "", members))
    for place, (title, _) in _BASELINE.items():
        prefix = f"{BASELINE}{place}."
        inside = [(key.path.removeprefix(prefix), key) for key in known if key.path.startswith(prefix)]
        words = "`declared` and `not_declared` are below; what all this is for: [Standards over tenants](baseline.md)."
        words = words if place == "standards" else ""
        found.append((title, words, [(name, key) for name, key in inside if "." not in name]))
    return found


def _kind_of(path: str) -> str:
    """The kind in the path of a sink's own key; "" in that of a key which every sink has."""
    _, first, *rest = path.split(".")
    return first if rest and first not in {name.split(".")[0] for name in SINK} else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_HEAD = """# Every key of the configuration

`securescore config explain KEY` says the same in a terminal, with an example; `securescore config schema` prints the
JSON Schema for editors, `securescore config schema baseline` that of a baseline file. This page is made from the tables
that the parser checks against.

Secrets are references: `${env:NAME}`, `${file:/path}` or `${credential:name}`. Unknown keys are errors.
"""


def as_json(key: Key) -> dict[str, Any]:
    """One key for scripts."""
    option = key.option
    return {
        "key": key.path,
        "doc": option.doc,
        "value": key.kind,
        "default": key.default or None,
        "required": option.required,
        "example": key.example,
    }
