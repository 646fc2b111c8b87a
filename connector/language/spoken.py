"""A language as a report uses it: texts by key, placeholders filled, and numbers, days and lists in its own way.

`text` gives a string; `parts` the same with every value left as it is, so that markup may stand in a sentence and plain
text is still escaped by whoever writes HTML. A text with plural forms has the placeholder {n}: its number chooses the
form, as it is written (French has "1,0 point"). No sentence stands here; a key that does not exist is a KeyError.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from types import ModuleType
from typing import Literal

from attrs import frozen

MINUS = "\N{MINUS SIGN}"
DECIMALS = 4
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

ListStyle = Literal["and", "or"]
Value = str | int | None | Iterable["Value"]
"""What may stand in a sentence: text, markup (which is text), or several of them one after another."""


@frozen
class Language:
    """`tag` is what HTML calls the language, `locale` what CLDR calls it."""

    tag: str
    locale: str
    texts: Mapping[str, str | Mapping[str, str]]

    @property
    def code(self) -> str:
        return self.tag.partition("-")[0]

    # ----------------------------------------------------------------------------------------------------------- texts

    def text(self, key: str, **values: str | float) -> str:
        """The text of a key. Numbers are written as the language writes them."""
        return "".join(str(part) for part in self.parts(key, **values))

    def parts(self, key: str, **values: Value | float) -> tuple[Value, ...]:
        """The text of a key in pieces, each value of its own in its place."""
        found = self.texts[key]
        if not isinstance(found, str):
            found = found[_cldr().plural(self.locale, _written(values["n"]))]
        pieces = _PLACEHOLDER.split(found)  # text, name, text, name, ... text
        return tuple(self._piece(values[piece]) if at % 2 else piece for at, piece in enumerate(pieces) if piece)

    def together(self, first: str, *others: str) -> str:
        """Sentences one after another: not every language has a space between them."""
        said = first
        for other in others:
            said = self.text("together", first=said, second=other)
        return said

    def word(self, group: str, code: str) -> str:
        """A stable code in words; a code without words stays what it is."""
        found = self.texts.get(f"{group}.{code}") or self.texts.get(f"{group}.{code.casefold()}", code)
        return found if isinstance(found, str) else code

    def _piece(self, value: Value | float) -> Value:
        if isinstance(value, float):
            return self.number(value)
        return self.count(value) if isinstance(value, int) else value

    # --------------------------------------------------------------------------------------------------------- numbers

    def count(self, value: int) -> str:
        return _signed_by_minus(_cldr().decimal(self.locale, Decimal(value), 0))

    def number(self, value: float | None) -> str:
        """Points: at least one decimal, at most four; None is unknown."""
        if value is None:
            return self.text("unknown")
        return _signed_by_minus(_cldr().decimal(self.locale, _written(value), DECIMALS))

    def signed(self, value: float | None) -> str:
        """A change in points; none has no sign."""
        return self.number(value) if value is None or _written(value) <= 0 else f"+{self.number(value)}"

    def percent(self, value: float | None) -> str:
        """A percentage (0-100) with two decimals."""
        if value is None:
            return self.text("unknown")
        return _signed_by_minus(_cldr().percent(self.locale, Decimal(str(value)).quantize(Decimal("0.01")) + 0))

    def percentage_points(self, value: float | None) -> str:
        """The difference of two percentages, signed, with at most two decimals."""
        return (
            self.text("unknown")
            if value is None
            else self.text("percentage_points", value=self.signed(round(value, 2)))
        )

    # -------------------------------------------------------------------------------------------------- days and lists

    def day(self, value: str) -> str:
        """An ISO day with its year."""
        return str(_cldr().day(self.locale, value, "yMMMd"))

    def short_day(self, value: str) -> str:
        """An ISO day without its year."""
        return str(_cldr().day(self.locale, value, "MMMd"))

    def month(self, value: str) -> str:
        """The month of an ISO day, with its year."""
        return str(_cldr().day(self.locale, f"{value[:7]}-01", "yMMM"))

    def period(self, start: str, end: str) -> str:
        """From one ISO day to another, what both share said once."""
        return str(_cldr().period(self.locale, start, end))

    def moment(self, value: str) -> str:
        """An ISO moment in UTC: day, hour and minute."""
        return f"{_cldr().moment(self.locale, value)} UTC"

    def listed(self, items: Iterable[Value], style: ListStyle = "and") -> tuple[Value, ...]:
        """Items one after another, as the language lists them, each left as it is."""
        found = list(items)
        return tuple(found[at] if isinstance(at, int) else at for at in _cldr().listed(self.locale, len(found), style))

    def listing(self, items: Iterable[str], style: ListStyle = "and") -> str:
        """Texts as one list."""
        return "".join(str(part) for part in self.listed(items, style))

    def is_of(self, tag: str) -> bool:
        """Whether a tag means this language, in whatever region."""
        return tag.replace("_", "-").partition("-")[0].lower() == self.code

    def name_of(self, tag: str) -> str:
        """What this language calls another one; of an unknown one its tag."""
        return str(_cldr().name_of(self.locale, tag))


def _cldr() -> ModuleType:
    """Babel is loaded by who writes in a language, not by who imports a module that might."""
    from connector.language import cldr  # noqa: PLC0415

    return cldr


def _written(value: object) -> Decimal:
    """A number with the decimals that it is written with: plural forms depend on them."""
    if isinstance(value, int):
        return Decimal(value)
    if not isinstance(value, float):
        raise TypeError(f"{value!r} is no number: a text with plural forms needs one for {{n}}")
    exact = Decimal(str(value)).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_HALF_EVEN)
    least = exact.quantize(Decimal("0.1"))
    return (least if least == exact else exact.normalize()) + 0  # no negative zero


def _signed_by_minus(text: str) -> str:
    """A minus sign made for reading, as long as a plus."""
    return text.replace("-", MINUS, 1)
