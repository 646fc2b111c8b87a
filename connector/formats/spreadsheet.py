"""One cell of a CSV table (RFC 4180) that people open in a spreadsheet: text stays text. Joining is the csv module's.

A spreadsheet computes what begins like a formula: such text gets an apostrophe in front. Numbers of ours stay numbers.
"""

from connector.foreign.characters import harmless

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def cell(value: object) -> str | float | int | None:
    """The value of a cell: harmless text that computes nothing, or a number as it is."""
    if value is None or isinstance(value, int | float):
        return value
    text = harmless(str(value))
    computed = text.lstrip().startswith(_FORMULA) or str(value)[:1] in ("\t", "\r", "\n")
    return f"'{text}" if computed else text
