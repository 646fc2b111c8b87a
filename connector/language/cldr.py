"""How languages write numbers, days and lists, and which plural forms they have: CLDR, by Babel, which only this asks.

Every function takes the name of a locale first ("de", "en_001"). No text of ours is here.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from babel import Locale, UnknownLocaleError
from babel.dates import format_interval, format_skeleton, get_datetime_format
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent


@lru_cache(maxsize=64)
def locale_of(name: str) -> Locale:
    return Locale.parse(name)


def has(name: str) -> bool:
    """Whether CLDR has that locale, by its own name."""
    try:
        Locale.parse(name, resolve_likely_subtags=False)
    except (UnknownLocaleError, ValueError):
        return False
    return True


def plural(name: str, number: Decimal) -> str:
    """The plural category of a number: one, two, few, many or other."""
    return str(locale_of(name).plural_form(abs(number)))


def plurals(name: str) -> frozenset[str]:
    """All categories that a locale has."""
    return frozenset(locale_of(name).plural_form.tags) | {"other"}


def decimal(name: str, value: Decimal, most: int) -> str:
    """A number with its groups; at most `most` decimals, and where there may be any, at least one."""
    pattern = "#,##0" if most == 0 else f"#,##0.0{'#' * (most - 1)}"
    return format_decimal(value, pattern, locale_of(name))


def percent(name: str, value: Decimal) -> str:
    """A percentage (0-100) with two decimals."""
    pattern = locale_of(name).percent_formats[None].pattern.replace("0", "0.00", 1)
    return format_percent(value / 100, pattern, locale_of(name))


def day(name: str, iso: str, skeleton: str) -> str:
    """An ISO day with the parts that CLDR's skeleton names."""
    return format_skeleton(skeleton, date.fromisoformat(iso), locale=locale_of(name))


def period(name: str, start: str, end: str) -> str:
    """From one ISO day to another."""
    return format_interval(date.fromisoformat(start), date.fromisoformat(end), "yMMMd", locale=locale_of(name))


def moment(name: str, iso: str) -> str:
    """Day, hour and minute of an ISO moment, as it stands there."""
    pattern = str(get_datetime_format("medium", locale=locale_of(name)))
    return pattern.replace("'", "").replace("{0}", iso[11:16]).replace("{1}", day(name, iso[:10], "yMMMd"))


def listed(name: str, amount: int, style: Literal["and", "or"]) -> Sequence[str | int]:
    """What stands between that many items of a list, and the place of each item as its number."""
    items = [f"\0{number}\0" for number in range(amount)]
    shape = format_list(items, style="standard" if style == "and" else "or", locale=locale_of(name))
    return [int(part) if at % 2 else part for at, part in enumerate(re.split("\0", shape)) if part]


def name_of(name: str, tag: str) -> str:
    """What a locale calls the language of a tag."""
    code = tag.replace("_", "-").partition("-")[0].lower()
    return str(locale_of(name).languages.get(code, tag))
