"""The YAML front end of the configuration: files in, a Config out, every problem with its line.

All file reading of the configuration is here; what keys mean is in `config`. The YAML is the plain kind: no tags, no
merge keys, only true/false are booleans, only decimal digits are numbers: `NO`, `off`, 0600 and 1:30 stay text.
"""

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import Any, TypeVar

from attrs import Factory, define

from connector.config.baseline import Baseline, read_baseline
from connector.config.belonging import remedy
from connector.config.keys import TOP
from connector.config.parse import SinkOptions, TenantRow, parse
from connector.config.read import Path, Problem, Reader, dotted, in_order
from connector.config.tenants_csv import MAX_TENANTS, bounded, tenants_of_csv
from connector.config.trust import strangers
from connector.config.values import Config
from connector.errors import ConfigError

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32
Read = TypeVar("Read")

MAX_VALUES = 2_000_000
"""How many values a file may stand for, each alias counted as all that it stands for."""
INSTALLED = "/etc/secure-score-connector/config.yaml"
BESIDE = "securescore.yaml"
INIT_HINT = "write one with: securescore init"


def find(explicit: str | None, environ: Mapping[str, str], installed: str = INSTALLED) -> str:
    """The configuration file: as told, else $SECURESCORE_CONFIG, else the installed one, else that of this folder.

    The one of this folder is taken only where nobody else could have written it: whoever may write a configuration
    decides what the command does. Raises ConfigError; also where a name is given and empty: that is a mistake, and
    never means another file.
    """
    named = environ.get("SECURESCORE_CONFIG") if explicit is None else explicit
    if named:
        return named
    if named is not None:
        where = "SECURESCORE_CONFIG" if explicit is None else "-c"
        raise ConfigError([f"{where} names no file: its value is empty"], f"name a file, or leave {where} away")
    if _exists(installed):
        return installed
    if not _exists(BESIDE):
        if _hidden(installed):
            raise ConfigError([f"{installed}: cannot be read: {os.strerror(errno.EACCES)}"], remedy(installed))
        raise ConfigError(
            [f"no configuration: neither {installed} nor ./{BESIDE} exists"], f"{INIT_HINT}, or name it: -c FILE"
        )
    try:
        who = strangers(BESIDE)
    except OSError as error:
        who = f"it cannot be looked at: {error.strerror}"
    if who is not None:
        raise ConfigError([f"./{BESIDE} is not taken: {who}"], f"if you trust it, name it: -c {BESIDE}")
    return BESIDE


def _exists(path: str) -> bool:
    """Whether a file is there; a folder that may not be looked into holds none for us."""
    try:
        return File(path).exists()
    except OSError:
        return False


def _hidden(path: str) -> bool:
    """Whether a folder that another account has closed may hold the file."""
    try:
        File(path).stat()
    except OSError as error:
        return error.errno == errno.EACCES and bool(remedy(path))
    return False


def load(
    path: str,
    *,
    sink_options: SinkOptions,
    environ: Mapping[str, str] | None = None,
    more: Sequence[TenantRow] = (),
) -> Config:
    """The Config of a YAML file and of the tenants file it names, as it would be with `more` tenants.

    Raises ConfigError with all problems at once.
    """
    environ = os.environ if environ is None else environ
    hint = f"correct {path}, then try: securescore check -c {path}"
    document = read_yaml(text_of(path), path)
    raw = document.value
    if not isinstance(raw, dict):
        what = "is empty" if raw is None else "is not a mapping (key: value)"
        raise ConfigError([f"{path}: {what}"], INIT_HINT)
    base_dir = str(File(path).absolute().parent)
    problems = [Problem("", line, f"{dotted(at)} (line {line}): {text}") for at, line, text in document.problems]

    def named(key: str, read: Callable[[str], tuple[Read, list[Problem]]]) -> Read | None:
        """What is read of the file that a key names; None where it names none, or `parse` says what is wrong."""
        if raw.get(key) is None:
            return None
        reader = Reader(document.where, environ, base_dir)
        file = reader.value(TOP[key], raw[key], (key,))
        if file is None:
            return None
        try:
            found, wrong = read(file)
        except ConfigError as error:
            for problem in error.problems:
                reader.note((key,), problem)
            problems.extend(reader.problems)
            return None
        problems.extend(wrong)
        return found

    rows = named("tenants_file", read_tenants) or []
    baseline = named("baseline", _standards_in)
    try:
        return parse(
            raw,
            where=document.where,
            sink_options=sink_options,
            base_dir=base_dir,
            environ=environ,
            tenant_rows=[*rows, *more],
            baseline=baseline,
            problems=problems,
        )
    except ConfigError as error:
        raise ConfigError(error.problems, hint) from None


def text_of(path: str) -> str:
    """The text of a file of the configuration. Raises ConfigError."""
    try:
        with File(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: there is no such file"], INIT_HINT) from error
    except OSError as error:
        hint = (error.errno == errno.EACCES and remedy(path)) or "name a file that this user may read"
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"], hint) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}: is larger than {MAX_BYTES // 1024**2} MiB"], "is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        excel = "; in Excel: Save as > CSV UTF-8" if path.lower().endswith(".csv") else ""
        raise ConfigError([f"{path} (line {line}): is not UTF-8 text{excel}"], "save the file as UTF-8") from error


# ------------------------------------------------------------------------------------------------------------- YAML


@define
class Document:
    """A YAML document as plain values, the line of every path in it, and what is wrong inside: (path, line, text)."""

    value: Any = None
    lines: dict[Path, int] = Factory(dict)
    problems: list[tuple[Path, int, str]] = Factory(list)

    def where(self, path: Path) -> int | None:
        return self.lines.get(path)


@define
class _Open:
    """A mapping or list that is being filled; a mapping alternates between expecting a key and a value."""

    value: dict[str, Any] | list[Any]
    path: Path
    anchor: str | None
    before: int
    """How many values stood before it."""
    key: str | None = None


def read_yaml(text: str, name: str) -> Document:
    """The one document of a YAML text. Raises ConfigError when it cannot be read at all; `name` is the file's."""
    import yaml  # noqa: PLC0415 - homes without YAML (the Splunk add-on) must be able to import this package

    builder = _Builder(name)
    take = {
        yaml.DocumentStartEvent: builder.begin,
        yaml.ScalarEvent: builder.scalar,
        yaml.AliasEvent: builder.alias,
        yaml.MappingStartEvent: lambda event: builder.open({}, event),
        yaml.SequenceStartEvent: lambda event: builder.open([], event),
        yaml.MappingEndEvent: builder.close,
        yaml.SequenceEndEvent: builder.close,
    }
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if type(event) in take:
                take[type(event)](event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise builder.stop(mark, _syntax(error, mark, text)) from error
    except yaml.YAMLError as error:
        raise builder.stop(None, f"is not valid YAML: {' '.join(str(error).split())[:200]}") from error
    return builder.document


@define
class _Builder:
    """Parser events → Document. An alias shares its value instead of copying it, so a small file stays small in memory.

    What walks through the values later meets each as often as it is named, so their number is bounded here.
    """

    name: str
    document: Document = Factory(Document)
    opened: list[_Open] = Factory(list)
    anchors: dict[str, tuple[Any, int]] = Factory(dict)
    """Value, and how many values it stands for."""
    values: int = 0
    documents: int = 0

    def stop(self, mark: Any, text: str) -> ConfigError:
        place = self.name if mark is None else f"{self.name} (line {mark.line + 1})"
        return ConfigError([f"{place}: {text}"], "correct the file; an editor that knows YAML shows the place")

    def begin(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            raise self.stop(event.start_mark, "a second document begins here: one file holds one")

    def scalar(self, event: Any) -> None:
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self.stop(event.start_mark, "tags (!…) are not supported")
        if self._expects_key():
            self._key(event)
        else:
            self._place(event)
            self._put(
                plain(event.value) if event.implicit[0] and event.tag is None else event.value,
                event.anchor,
                self.values,
            )
            self._count(1, event)

    def alias(self, event: Any) -> None:
        if self._expects_key() or event.anchor not in self.anchors:
            raise self.stop(event.start_mark, f"the alias *{event.anchor} stands for nothing yet")
        self._place(event)
        value, size = self.anchors[event.anchor]
        self._put(value, None, 0)
        self._count(size, event)

    def open(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if event.tag is not None:
            raise self.stop(event.start_mark, "tags (!…) are not supported")
        if self._expects_key():
            raise self.stop(event.start_mark, "a key must be text")
        if len(self.opened) >= MAX_DEPTH:
            raise self.stop(event.start_mark, f"is nested deeper than {MAX_DEPTH} levels")
        self.opened.append(_Open(value, self._place(event), event.anchor, self.values))
        self._count(1, event)

    def close(self, _: Any) -> None:
        closed = self.opened.pop()
        self._put(closed.value, closed.anchor, closed.before)

    def _count(self, more: int, event: Any) -> None:
        self.values += more
        if self.values > MAX_VALUES:
            raise self.stop(event.start_mark, f"stands for more than {MAX_VALUES} values: look at its aliases (*…)")

    def _expects_key(self) -> bool:
        return bool(self.opened) and isinstance(self.opened[-1].value, dict) and self.opened[-1].key is None

    def _key(self, event: Any) -> None:
        holder, key, line = self.opened[-1], str(event.value), event.start_mark.line + 1
        path = (*holder.path, key)
        if key == "<<":
            raise self.stop(
                event.start_mark, "merge keys (<<) are not supported: put what tenants share under defaults"
            )
        if key in holder.value:
            first = self.document.lines[path]
            self.document.problems.append((path, line, f"is written twice, first on line {first}"))
        self.document.lines.setdefault(path, line)
        holder.key = key

    def _place(self, event: Any) -> Path:
        """The path of the value that starts here; remembers its line, unless its key gave one."""
        if not self.opened:
            return ()
        parent = self.opened[-1]
        path = (*parent.path, len(parent.value) if isinstance(parent.value, list) else str(parent.key))
        self.document.lines.setdefault(path, event.start_mark.line + 1)
        return path

    def _put(self, value: Any, anchor: str | None, before: int) -> None:
        if anchor:
            self.anchors[anchor] = (value, max(self.values - before, 1))
        if not self.opened:
            self.document.value = value
        elif isinstance(holder := self.opened[-1].value, list):
            holder.append(value)
        else:
            holder[str(self.opened[-1].key)] = value
            self.opened[-1].key = None


def _syntax(error: Any, mark: Any, text: str) -> str:
    content = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark is not None else ""
    if "\t" in content[: len(content) - len(content.lstrip())]:
        return "a tab cannot indent YAML: use spaces"
    problem = str(error.problem or error.context or "cannot be understood")
    if "mapping values are not allowed" in problem:
        problem += ' (a text that holds ": " needs quotes, and indentation must line up)'
    return f"is not valid YAML: {problem}"


_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})\.[0-9]{1,19}")
_WORDS: Mapping[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


def plain(text: str) -> Any:
    """What an unquoted YAML text means: null, true, false, a decimal number, or itself."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


# ----------------------------------------------------------------------------------------------------- tenants file


def read_tenants(path: str) -> tuple[list[TenantRow], list[Problem]]:
    """The rows of a tenants file (YAML by its ending, else CSV), and the problems of its form.

    Raises ConfigError when it cannot be read at all.
    """
    text = text_of(path)
    name = File(path).name
    if path.lower().endswith((".yaml", ".yml")):
        return _tenants_of_yaml(text, name)
    return tenants_of_csv(text, name)


def _tenants_of_yaml(text: str, name: str) -> tuple[list[TenantRow], list[Problem]]:
    document = read_yaml(text, name)
    problems = [
        Problem(name, line, f"{name} line {line}: {dotted(at)}: {what}") for at, line, what in document.problems
    ]
    items: Any = document.value
    path: Path = ()
    if isinstance(items, dict) and list(items) == ["tenants"]:
        items, path = items["tenants"], ("tenants",)
    if not isinstance(items, list):
        raise ConfigError([f"{name}: is not a list of tenants"])
    rows = []
    for index, values in enumerate(items[: MAX_TENANTS + 1]):
        at = (*path, index)
        line = document.lines.get(at, 1)
        rows.append(TenantRow(name, line, values, _inside(document, at, line)))
    return bounded(rows, name), problems


# ---------------------------------------------------------------------------------------------------------- baseline


def load_baseline(path: str) -> Baseline:
    """The standards of a baseline file. Raises ConfigError with all its problems at once."""
    return located_baseline(path)[0]


def located_baseline(path: str) -> tuple[Baseline, Callable[[Path], int | None]]:
    """The standards of a baseline file, and the line of each path in it. Raises ConfigError as `load_baseline`."""
    document = read_yaml(text_of(path), File(path).name)
    found, problems = _standards(document, File(path).name)
    if problems:
        raise ConfigError(in_order(problems), f"correct {path}")
    return found, document.where


def _standards_in(path: str) -> tuple[Baseline, list[Problem]]:
    name = File(path).name
    return _standards(read_yaml(text_of(path), name), name)


def _standards(document: Document, name: str) -> tuple[Baseline, list[Problem]]:
    twice = [Problem(name, line, f"{name} line {line}: {dotted(at)}: {what}") for at, line, what in document.problems]
    found, problems = read_baseline(document.value, name, document.where)
    return found, [*twice, *problems]


def _inside(document: Document, at: Path, line: int) -> Any:
    return lambda path: document.lines.get((*at, *path), line)
