"""CSV tables (RFC 4180) that people open in a spreadsheet: text stays text, whatever it looks like.

A spreadsheet computes what begins like a formula: such text gets an apostrophe in front. Numbers of ours stay numbers.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from connector.foreign.characters import harmless

MARK = "\ufeff"
"""Tells a spreadsheet that the file is UTF-8; without it Excel takes the letters of a code page."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def cell(value: object) -> str | float | int | None:
    """The value of a cell: harmless text that computes nothing, or a number as it is."""
    if value is None or isinstance(value, int | float):
        return value
    text = harmless(str(value))
    computed = text.lstrip().startswith(_FORMULA) or str(value)[:1] in ("\t", "\r", "\n")
    return f"'{text}" if computed else text


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines, each cell as `cell` makes it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def document(rows: Iterable[Sequence[object]]) -> str:
    """A whole file: the mark, then the rows, of which the first is the heading."""
    return MARK + lines(rows)
