"""One raw mapping checked against one table of options: text and YAML values in, typed values and problems out.

Pure: the environment is a mapping that is given, files are never touched. Which keys exist is said by tables, what a
section means by `config`. No error quotes a value that might be a secret.
"""

import ipaddress
import math
import os.path
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from attrs import Factory, define, frozen

from connector.config import secrets
from connector.config.keys import ARM_CLOUDS, CLOUDS, LANGUAGES, OTHER_ARM_CLOUDS, OTHER_CLOUDS
from connector.errors import ConfigError
from connector.options import TYPES, Option, is_loopback

Path = tuple[str | int, ...]
"""Where a value stands: ("sinks", 1, "port")."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAX_TEXT = 4096
MAX_ITEMS = 1000
PLACEHOLDER = "00000000-0000-0000-0000-000000000000"


class Unfit(ValueError):
    """A value is not what its option takes; the text says what was expected."""


@frozen
class Problem:
    """One thing to correct. `file` is empty for the configuration itself; they are reported by file, then line."""

    file: str
    line: int
    text: str


@frozen
class Group:
    """A table as a tree: keys that hold a value and keys that hold a map of further keys; a key may be both, `word`
    or `{…}`.
    """

    options: Mapping[str, Option]
    groups: Mapping[str, "Group"]

    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.options, *self.groups]))


def group(table: Mapping[str, Option]) -> Group:
    """{"a": …, "b.c": …} → keys a, and b with c inside."""
    inner: dict[str, dict[str, Option]] = {}
    options: dict[str, Option] = {}
    for name, option in table.items():
        head, _, rest = name.partition(".")
        if rest:
            inner.setdefault(head, {})[rest] = option
        else:
            options[head] = option
    return Group(options, {head: group(rest) for head, rest in inner.items()})


def dotted(path: Path) -> str:
    """("sinks", 1, "port") → "sinks[1].port"; control characters and excess length of strange keys are cut."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in path)
    return text.removeprefix(".") or "configuration"


def line_of(path: Path, where: Callable[[Path], int | None]) -> int | None:
    """The line of a path, or of what should hold it; None where no lines are known."""
    return next((n for end in range(len(path), -1, -1) if (n := where(path[:end])) is not None), None)


def placed(path: Path, where: Callable[[Path], int | None]) -> str:
    """("sinks", 1, "port") → "sinks[1].port (line 12)"."""
    line = line_of(path, where)
    return dotted(path) if line is None else f"{dotted(path)} (line {line})"


def nearest(word: object, known: Collection[str]) -> str:
    """The words "; did you mean …?" for the nearest known word, or nothing."""
    by_fold = {name.casefold(): name for name in known}
    wrong = str(word)[:100].casefold()
    found = get_close_matches(wrong, by_fold, n=1, cutoff=0.6)
    if not found and len(wrong) > 1:
        found = [name for name in by_fold if name.startswith(wrong)][:1]
    return f"; did you mean {by_fold[found[0]]}?" if found else ""


MAX_PROBLEMS = 2_000
"""Nobody reads so many; and what makes more of them is no configuration and would only take time."""


def in_order(problems: Sequence[Problem]) -> list[str]:
    """The problems as their readers want them: by file and line."""
    return [problem.text for problem in sorted(problems, key=lambda problem: (problem.file, problem.line))]


@define
class Reader:
    """Checks values and collects problems; raises ConfigError when there are too many to go on.

    `where` gives the line of a path (None = unknown), `file` names another file than the configuration, `base_dir` is
    what relative paths are relative to, `environ` what `${env:NAME}` means in values that are no secrets.
    """

    where: Callable[[Path], int | None]
    environ: Mapping[str, str] = Factory(dict)
    base_dir: str = "."
    file: str = ""
    problems: list[Problem] = Factory(list)

    def note(self, path: Path, text: str) -> None:
        """Remember a problem; a missing key is placed at the line of what should hold it."""
        line = line_of(path, self.where)
        if self.file:
            file = self.file if line is None else f"{self.file} line {line}"
            place = f"{file}: {dotted(path)}" if path else file
        else:
            place = placed(path, self.where)
        self.problems.append(Problem(self.file, line or 0, f"{place}: {text}"))
        if len(self.problems) > MAX_PROBLEMS:
            told = in_order(self.problems)
            raise ConfigError([*told, f"more than {MAX_PROBLEMS} problems: the rest was not looked at"])

    def mapping(self, raw: object, path: Path) -> Mapping[str, Any]:
        """The value when it is a mapping with text keys; otherwise a problem and an empty one."""
        if not isinstance(raw, Mapping):
            self.note(path, f"expected a mapping (key: value), found {kind_of(raw)}")
            return {}
        strange = [key for key in raw if not isinstance(key, str)]
        for key in strange:
            self.note(path, f"the key {shown(key)} must be text: put it in quotes")
        return {key: value for key, value in raw.items() if isinstance(key, str)} if strange else raw

    def items(self, raw: object, path: Path) -> list[Any]:
        """The value when it is a list; otherwise a problem and an empty one."""
        if raw is None:
            return []
        if not isinstance(raw, list | tuple):
            self.note(path, f"expected a list, found {kind_of(raw)}")
            return []
        return list(raw)

    def read(self, table: Group, raw: Mapping[str, Any], path: Path = ()) -> dict[str, Any]:
        """The values that were written, typed, by dotted name. A wrong one is noted and stands as its default.

        Unknown keys and missing required ones are noted; null counts as not written. A credential ("auth") is returned
        as written: `config` reads it.
        """
        found: dict[str, Any] = {}
        self._read(table, raw, path, "", found)
        return found

    def read_all(self, table: Mapping[str, Option], raw: Mapping[str, Any], path: Path = ()) -> dict[str, Any]:
        """As `read`, with the defaults of all keys that were not written."""
        found = self.read(group(table), raw, path)
        return {name: found.get(name, option.default) for name, option in table.items()}

    def _read(self, table: Group, raw: Mapping[str, Any], path: Path, prefix: str, found: dict[str, Any]) -> None:
        for key, value in raw.items():
            if key in table.options and not (key in table.groups and isinstance(value, Mapping)):
                if value is not None:
                    option = table.options[key]
                    found[prefix + key] = value if option.type == "auth" else self.value(option, value, (*path, key))
            elif key in table.groups:
                if value is not None:
                    inner = self.mapping(value, (*path, key))
                    self._read(table.groups[key], inner, (*path, key), f"{prefix}{key}.", found)
            else:
                self.unknown((*path, key), table)
        for key, option in table.options.items():
            if option.required and raw.get(key) is None:
                self.note((*path, key), f"is missing: {_first_sentence(option.doc)}")

    def unknown(self, path: Path, table: Group) -> None:
        """Note an unknown key, with the nearest one of its level, or its right place when it belongs elsewhere."""
        key = str(path[-1])
        hint = nearest(key, table.names())
        if not hint:
            elsewhere = [f"{name}.{key}" for name, inner in table.groups.items() if key in inner.names()]
            hint = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else f"; known: {', '.join(table.names())}"
        self.note(path, f"unknown key{hint}")

    def value(self, option: Option, raw: object, path: Path) -> Any:
        """One typed value; a wrong one is noted and gives the default."""
        if option.type == "secret" or (option.secret and isinstance(raw, str) and secrets.has_reference(raw)):
            problem = secrets.reference_problem(raw) if option.type == "secret" else secrets.embedded_problem(str(raw))
            if problem:
                self.note(path, problem)
            return option.default if problem else raw
        # A value that came from the environment is not shown: someone may have named a secret here.
        hidden = option.type != "proxy" and "${" in str(raw)
        try:
            expanded = raw if option.type == "proxy" else self._expanded(raw)
        except ValueError as error:
            self.note(path, str(error))
            return option.default
        try:
            return self._typed(option, expanded)
        except ValueError as error:
            meant = f"the value of {_found(raw)} does not fit: {TYPES[option.type]}"
            self.note(path, meant if hidden else str(error))
            return option.default

    def check_name(self, path: Path, name: str) -> None:
        """Names of tenants and sinks become file names, metric labels and glob patterns. Empty = noted elsewhere."""
        if name and not _NAME.fullmatch(name):
            plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
            plain = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:63].lower()
            hint = f", for example {plain}" if plain else ""
            self.note(path, f"use up to 63 letters, digits, dots, dashes and underscores{hint}")

    def _expanded(self, raw: object) -> object:
        if isinstance(raw, str):
            return secrets.expand_environment(raw, self.environ)
        if isinstance(raw, list):
            return [self._expanded(item) for item in raw]
        if isinstance(raw, Mapping):
            return {key: self._expanded(item) for key, item in raw.items()}
        return raw

    def _typed(self, option: Option, raw: object) -> Any:
        if isinstance(raw, int) and abs(raw) >= 10**18:
            raise Unfit("is a larger number than anything here can be")
        word = {True: "on", False: "off"}.get(raw) if isinstance(raw, bool) else raw
        if option.choices and option.type not in ("enum", "list", "map") and word in option.choices:
            return None
        value = _CONVERT[option.type](option, raw)
        if option.type == "path":
            return value if value == "-" else os.path.normpath(os.path.join(self.base_dir, value))  # noqa: PTH118 - text only
        if isinstance(value, int | float) and not isinstance(value, bool):
            _check_range(option, value)
        return value


# ------------------------------------------------------------------------------------------------------- converters
# Each takes the option and the raw value and returns the typed value, or raises ValueError with what was expected.


def _text(_: Option, raw: object) -> str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)  # YAML reads an unquoted 2024 as a number
    if not isinstance(raw, str):
        raise Unfit(f"expected text, found {kind_of(raw)}: put it in quotes")
    if len(raw) > MAX_TEXT:
        raise Unfit(f"is longer than {MAX_TEXT} characters")
    if not raw.isprintable():
        raise Unfit("holds a line break or another control character")
    if not raw.strip():
        raise Unfit("is empty")
    return raw


def _integer(_: Option, raw: object) -> int:
    if isinstance(raw, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", raw.strip()):
        return int(raw)
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise Unfit(f"expected a whole number, found {_found(raw)}")


def _number(_: Option, raw: object) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw)
    if isinstance(raw, str) and re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", raw.strip()):
        return float(raw)
    raise Unfit(f"expected a number, found {_found(raw)}")


_BOOLEANS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


def _boolean(_: Option, raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str | int) and str(raw).strip().lower() in _BOOLEANS:
        return _BOOLEANS[str(raw).strip().lower()]
    raise Unfit(f"expected true or false, found {_found(raw)}")


_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _duration(_: Option, raw: object) -> float:
    """Plain number = seconds."""
    return _quantity(raw, _SECONDS, 1, "a duration such as 30s, 15m, 1h or 90d")


def _days(_: Option, raw: object) -> int:
    """Plain number = days."""
    days = _quantity(raw, _SECONDS, 86400, "a number of days such as 90d") / 86400
    if not days.is_integer():
        raise Unfit(f"expected whole days, found {_found(raw)}")
    return int(days)


_BYTES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_BYTES |= {"kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4}


def _size(_: Option, raw: object) -> int:
    size = _quantity(raw, _BYTES, 1, "a size such as 900kB, 64MiB or 4GiB")
    if not size.is_integer():
        raise Unfit(f"expected whole bytes, found {_found(raw)}")
    return int(size)


def _quantity(raw: object, units: Mapping[str, float], plain: float, expected: str) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw < 1e18:
        return float(raw) * plain
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)", raw.strip()) if isinstance(raw, str) else None
    if match and not match[2]:
        return float(match[1]) * plain
    if match and match[2].lower() in units:  # as decimals: 1.005 MB are 1,005,000 bytes, to the byte
        return float(Decimal(match[1]) * Decimal(str(units[match[2].lower()])))
    raise Unfit(f"expected {expected}, found {_found(raw)}")


def _share(_: Option, raw: object) -> float:
    fraction = _percentage(raw, "10% or 0.1", plain=1)
    if not 0 <= fraction <= 1:
        raise Unfit(f"expected a share from 0% to 100% (10% or 0.1), found {_found(raw)}")
    return fraction


def _percent(_: Option, raw: object) -> float:
    percent = 100 * _percentage(raw, "70 or 70%", plain=100)
    if not 0 <= percent <= 100:
        raise Unfit(f"expected a percentage from 0 to 100, found {_found(raw)}")
    return round(percent, 6)


def _percentage(raw: object, expected: str, plain: float) -> float:
    """The fraction; `plain` is what a bare number is divided by."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)\s*(%?)", raw.strip()) if isinstance(raw, str) else None
    if match:
        return float(match[1]) / (100 if match[2] else plain)
    if isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw) / plain
    raise Unfit(f"expected {expected}, found {_found(raw)}")


def _date(_: Option, raw: object) -> str:
    text = raw.isoformat() if isinstance(raw, date) else raw
    if isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text.strip()):
        try:
            return date.fromisoformat(text.strip()).isoformat()
        except ValueError:
            pass
    raise Unfit(f"expected a date such as 2027-05-01, found {_found(raw)}")


_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _guid(option: Option, raw: object) -> str:
    """Never quotes what it found: people paste a secret's value where its id belongs, and the other way round."""
    text = raw.strip().lower() if isinstance(raw, str) else ""
    if text.startswith("{") and text.endswith("}"):  # as PowerShell and the registry of Windows write one
        text = text[1:-1]
    if not _GUID.fullmatch(text):
        what = f": {_first_sentence(option.doc)}" if option.doc else ""
        raise Unfit(f"expected a GUID such as 8d3b8a1e-5c7f-4f7a-9c55-0a6d5e2f1b3c{what}")
    if text == PLACEHOLDER:
        raise Unfit("is still the placeholder: put the real id here")
    return text


def _path(option: Option, raw: object) -> str:
    text = _text(option, raw)
    if text.startswith("~"):
        raise Unfit("~ means nothing to a service: write the whole path")
    return text


_SECRET_KEYS = {"token", "access_token", "sig", "code", "key", "apikey", "api_key", "password", "secret", "auth"}


def _url(option: Option, raw: object) -> str:
    text, parts = _split_url(option, raw)
    if parts.username is not None or parts.password is not None:
        raise Unfit("holds a user or password, which is a literal secret" + _whole_url(option))
    # Splunk prefers a token in the query to the header, and writes it to its access log.
    if any(key.lower() in _SECRET_KEYS for key, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise Unfit("holds a secret in its query (?token=… or similar)" + _whole_url(option))
    return text


def _whole_url(option: Option) -> str:
    return ": give the whole URL by reference, ${env:NAME} or ${file:/path}" if option.secret else ": remove it"


def _split_url(option: Option, raw: object) -> tuple[str, SplitResult]:
    text = _text(option, raw).strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Unfit("is not a URL") from error
    if parts.scheme not in ("https", "http") or not host or not _is_host(host) or " " in text or parts.fragment:
        raise Unfit("expected a URL such as https://host.example:8088")
    if parts.scheme == "http" and not is_loopback(host):
        raise Unfit("plain http is allowed for loopback only: use https")
    return text, parts


def _origin(option: Option, raw: object) -> str:
    text, parts = _split_url(option, raw)
    if parts.username is not None or parts.query or parts.path not in ("", "/"):
        raise Unfit("expected only scheme and host, such as https://graph.microsoft.com; paths are added by us")
    return text.rstrip("/")


def _https_origin(option: Option, raw: object) -> str:
    text = _origin(option, raw)
    if not text.lower().startswith("https:"):
        raise Unfit("a sign-in host is reached by https only, on loopback too (`securescore simulate --tls` has one)")
    return text


_USER = re.compile(r"(?:\$\{[^{}]*\}|[^:])*:?")
"""What stands before a password; a reference has a colon of its own."""


def _proxy(option: Option, raw: object) -> str:
    """User and password only by reference: of the whole URL, or inside it."""
    text = _text(option, raw).strip()
    if text == "env" or secrets.reference_problem(text) is None:
        return text
    if problem := secrets.embedded_problem(text):
        raise Unfit(problem)
    try:
        parts = urlsplit(secrets.without_references(text))
        usable = parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and parts.port is not None
    except ValueError:
        usable = False
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Unfit("expected a proxy such as http://proxy.example:3128, or env")
    password = _USER.sub("", text.partition("://")[2].rpartition("@")[0], count=1)
    if password and not secrets.has_reference(password):
        raise Unfit("holds a literal password: write http://user:${env:NAME}@host:port, or the whole URL by reference")
    return text


_HOST = re.compile(
    r"(?=.{1,253}\.?$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        # Four numbers that are no address are a typing error, not a name.
        return _HOST.fullmatch(text) is not None and re.fullmatch(r"[0-9.]+", text) is None
    return True


def _host(option: Option, raw: object) -> str:
    text = _text(option, raw).strip()
    if not _is_host(text.strip("[]")):
        raise Unfit(f"expected a host name or address without scheme and port, found {_found(raw)}")
    return text.strip("[]")


def _port(option: Option, raw: object) -> int:
    port = _integer(option, raw)
    if not 1 <= port <= 65535:
        raise Unfit(f"expected a port from 1 to 65535, found {_found(raw)}")
    return port


def _address(option: Option, raw: object) -> str:
    text = _text(option, raw).strip()
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _is_host(bare) or (":" in bare and bare == host) or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise Unfit(f"expected host:port such as 127.0.0.1:9464, found {_found(raw)}")
    return text


def _language(_: Option, raw: object) -> str:
    if isinstance(raw, str) and re.fullmatch(r"[A-Za-z]{2}(-[A-Za-z0-9]{2,8})*", raw) and raw[:2].lower() in LANGUAGES:
        return raw
    raise Unfit(f"expected a language such as en-US (one of {', '.join(LANGUAGES)}), found {_found(raw)}")


def _cloud(_: Option, raw: object) -> str:
    return _one_of_clouds(raw, CLOUDS, OTHER_CLOUDS)


def _arm_cloud(_: Option, raw: object) -> str:
    return _one_of_clouds(raw, ARM_CLOUDS, OTHER_ARM_CLOUDS)


def _one_of_clouds(raw: object, clouds: Collection[str], others: Mapping[str, str]) -> str:
    if isinstance(raw, str) and raw in clouds:
        return raw
    reason = others.get(raw.lower()) if isinstance(raw, str) else None
    raise Unfit(f"{_found(raw)}: {reason}" if reason else not_one_of(raw, clouds))


def _enum(option: Option, raw: object) -> str:
    """YAML 1.1 reads on and off as booleans, so those stand for the words."""
    word = {True: "on", False: "off"}.get(raw) if isinstance(raw, bool) else raw
    if isinstance(word, str) and word in option.choices:
        return word
    raise Unfit(not_one_of(word, option.choices))


def _list(option: Option, raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple):
        raise Unfit(f"expected a list such as [{_example(option)}], found {kind_of(raw)}")
    if len(raw) > MAX_ITEMS:
        raise Unfit(f"has more than {MAX_ITEMS} items")
    items = tuple(_text(option, item) for item in raw)
    if option.choices and (wrong := [item for item in items if item not in option.choices]):
        raise Unfit(not_one_of(wrong[0], option.choices))
    return tuple(dict.fromkeys(items))


def _map(option: Option, raw: object) -> dict[str, str]:
    if not isinstance(raw, Mapping):
        raise Unfit(f"expected a mapping such as {{{_example(option)}: text}}, found {kind_of(raw)}")
    if len(raw) > MAX_ITEMS:
        raise Unfit(f"has more than {MAX_ITEMS} keys")
    if option.choices and (wrong := [key for key in raw if key not in option.choices]):
        raise Unfit(f"the key {not_one_of(wrong[0], option.choices)}")
    return {_text(option, key): _text(option, value) for key, value in raw.items()}


_CONVERT: Mapping[str, Callable[[Option, object], Any]] = {
    "str": _text,
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "duration": _duration,
    "size": _size,
    "days": _days,
    "share": _share,
    "percent": _percent,
    "date": _date,
    "guid": _guid,
    "path": _path,
    "url": _url,
    "origin": _origin,
    "https_origin": _https_origin,
    "proxy": _proxy,
    "host": _host,
    "port": _port,
    "address": _address,
    "language": _language,
    "cloud": _cloud,
    "arm_cloud": _arm_cloud,
    "enum": _enum,
    "list": _list,
    "map": _map,
}


# ------------------------------------------------------------------------------------------------------------ words


def _check_range(option: Option, value: float) -> None:
    unit = {"duration": " seconds", "size": " bytes", "days": " days"}.get(option.type, "")
    if option.minimum is not None and value < option.minimum:
        raise Unfit(f"must be at least {option.minimum:.12g}{unit}, found {value:.12g}{unit}")
    if option.maximum is not None and value > option.maximum:
        raise Unfit(f"must be at most {option.maximum:.12g}{unit}, found {value:.12g}{unit}")


def not_one_of(raw: object, choices: Collection[str]) -> str:
    return f"{_found(raw)} is not one of {', '.join(choices)}{nearest(raw, choices)}"


def _example(option: Option) -> str:
    return option.choices[0] if option.choices else "name"


def _first_sentence(doc: str) -> str:
    return doc.rstrip(".")


def _found(raw: object) -> str:
    return repr(shown(raw)) if isinstance(raw, str) else shown(raw) if isinstance(raw, int | float) else kind_of(raw)


def shown(raw: object) -> str:
    text = {True: "true", False: "false"}[raw] if isinstance(raw, bool) else str(raw)[:60]
    return "".join(c if c.isprintable() else "?" for c in text)


def kind_of(raw: object) -> str:
    if raw is None:
        return "nothing"
    if isinstance(raw, Mapping):
        return "a mapping"
    if isinstance(raw, list | tuple):
        return "a list"
    return {str: "text", bool: "true or false", int: "a number", float: "a number"}.get(type(raw), "something else")
