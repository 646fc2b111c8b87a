"""A list of tenants as CSV, as spreadsheets write it → rows; the form only, what a column means is in keys.py. Pure."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from connector.config.keys import AUTH, TENANT
from connector.config.parse import TenantRow
from connector.config.read import Problem, nearest
from connector.errors import ConfigError

MAX_TENANTS = 100_000

COLUMNS = {
    *(name for name, option in TENANT.items() if option.type != "auth"),
    *(f"{key}.{name}" for key in ("auth", "write_auth") for table in AUTH.values() for name in ("kind", *table)),
    "auth.tenant_id",
}
"""Dotted names of what a row may say of a tenant, its credentials included."""


def tenants_of_csv(text: str, name: str, known: Collection[str] = COLUMNS) -> tuple[list[TenantRow], list[Problem]]:
    """The rows of a list, and the problems of its form. `known` are the columns it may have, beside labels.

    Raises ConfigError when it holds too many.
    """
    written, skipped, delimiter = _layout(text)
    lines = csv.reader(written[skipped:], delimiter=delimiter, strict=True)
    rows: list[TenantRow] = []
    problems: list[Problem] = []

    def note(line: int, what: str) -> None:
        problems.append(Problem(name, line, f"{name} line {line}: {what}"))

    try:
        header = next(lines, [])
        columns = [_column(cell) for cell in _without_empty_end(header, 0)]
        for what in _header_problems(columns, known):
            note(1 + skipped, what)
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            line = lines.line_num + skipped
            cells = _without_empty_end(cells, len(columns))  # noqa: PLW2901 - the same row, as it was meant
            if len(cells) > len(columns):
                note(line, f"has {len(cells)} cells, the first line has {len(columns)}")
            values: dict[str, Any] = {}
            for column, cell in zip(columns, cells, strict=False):
                if cell.strip() and _is_column(column, known):
                    for what in _put_cell(values, column, cell.strip()):
                        note(line, what)
            rows.append(TenantRow(name, line, values))
            if len(rows) > MAX_TENANTS:
                break
    except csv.Error as error:
        note(lines.line_num + skipped, f"is not CSV: {error}")
    return bounded(rows, name), problems


def line_for(text: str, cells: Mapping[str, str]) -> str:
    """The line that puts a tenant behind a list; `cells` are by dotted column, labels as `labels.NAME`.

    Raises ConfigError when the list has no column for one of them.
    """
    written, skipped, delimiter = _layout(text)
    columns = [_column(cell) for cell in next(csv.reader(written[skipped:], delimiter=delimiter), [])]
    left = {_column(name): value for name, value in cells.items()}
    if "labels" in columns:
        own = {name: left.pop(name) for name in list(left) if name.startswith("labels.") and name not in columns}
        left |= {"labels": ";".join(f"{name.removeprefix('labels.')}={value}" for name, value in own.items())}
    missing = [name for name in left if name not in columns]
    if missing:
        raise ConfigError([f"the list has no column {name}" for name in missing], "put the column into its first line")
    out = io.StringIO()
    end = "\r\n" if written[0].endswith("\r\n") else "\n"
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerow([left.get(column, "") for column in columns])
    return out.getvalue() if written[-1].endswith(("\r", "\n")) else end + out.getvalue()


def _layout(text: str) -> tuple[list[str], int, str]:
    """The lines as they are written, how many stand before the names of the columns, and what parts the cells."""
    written = text.splitlines(keepends=True)
    told = _SEPARATOR.fullmatch(written[0].rstrip("\r\n")) if written else None
    skipped = 1 if told else 0  # the line by which spreadsheets tell each other what parts the cells
    first = written[skipped] if len(written) > skipped else ""
    return written, skipped, told[1] if told else ";" if first.count(";") > first.count(",") else ","


_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)


def _without_empty_end(cells: list[str], kept: int) -> list[str]:
    """The cells without the empty ones behind the last column, which spreadsheets leave there."""
    end = len(cells)
    while end > kept and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def bounded(rows: list[TenantRow], name: str) -> list[TenantRow]:
    """The rows. Raises ConfigError when there are too many."""
    if len(rows) > MAX_TENANTS:
        raise ConfigError([f"{name}: holds more than {MAX_TENANTS} tenants"])
    return rows


def _column(cell: str) -> str:
    """Heads of columns in any case; `label.customer` is `labels.customer`, whose own case counts."""
    head, dot, rest = cell.strip().partition(".")
    head = head.strip().lower().replace(" ", "_")
    return f"labels.{rest}" if head == "label" and dot else head + dot + rest


def _is_column(column: str, known: Collection[str]) -> bool:
    return column in known or (column.startswith("labels.") and len(column) > len("labels."))


def _header_problems(columns: Sequence[str], known: Collection[str]) -> Iterator[str]:
    for column in dict.fromkeys(columns):
        if not _is_column(column, known):
            names = sorted({name.partition(".")[0] if "auth." in name else name for name in known})
            told = nearest(column, known) or "; known: " + ", ".join(names) + ", label.NAME"
            yield f"unknown column {column[:60]!r}{told}"
        elif columns.count(column) > 1:
            yield f"the column {column} is there {columns.count(column)} times"
    for column in ("name", "tenant_id"):
        if column not in columns:
            yield f"the column {column} is missing"


def _put_cell(values: dict[str, Any], column: str, cell: str) -> Iterator[str]:
    """Put a cell where its dotted column says. Lists are "a;b", labels "a=b;c=d"."""
    if column == "labels":
        for pair in filter(None, (part.strip() for part in cell.split(";"))):
            key, equals, value = pair.partition("=")
            if not equals or not key.strip() or not value.strip():
                yield 'labels: expected "customer=contoso;tier=gold"'
            else:
                values.setdefault("labels", {})[key.strip()] = value.strip()
        return
    *heads, last = column.split(".", 1) if column.startswith("labels.") else column.split(".")
    for head in heads:
        values = values.setdefault(head, {})
        if not isinstance(values, dict):
            yield f"{column}: {head} is written as a word already, in a column of its own"
            return
    if isinstance(values.get(last), dict):
        yield f"{column}: is written in parts already, in columns of their own"
        return
    is_list = column in TENANT and TENANT[column].type == "list"
    values[last] = [part.strip() for part in cell.split(";") if part.strip()] if is_list else cell
