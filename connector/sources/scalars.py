"""One JSON value of Graph's → one value of ours: every coercion rule of the Secure Score wire format. Pure.

No documents here (days.py, profiles.py), no bytes (pages.py).

The published metadata is only a hint: properties are open, booleans and counts arrive as strings, numbers with or
without ".0". So every scalar may be a bool, string, number or null; what cannot be used becomes None (never 0) and
leaves a flag on its document. A broken *structure* (no name, no list) is never repaired: it raises PartialRead, because
half a document would look like removed controls. Documents of another directory raise WrongTenant.
Sources: Microsoft Graph v1.0 `secureScore`, `secureScoreControlProfile` and public captures of real responses.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from connector.clock import iso, parse_iso
from connector.errors import PartialRead, WrongTenant
from connector.ids import sha256

MAX_NAME = 256
MAX_TEXT = 4_096
MAX_WORD = 64  # what is remembered of words from short lists
MAX_DATE = 64
MAX_NUMBER = 1e9
_DIGITS = 10  # of MAX_NUMBER
MAX_PERCENT = 100.01  # Graph computes it from a rounded score
MAX_ITEMS = 256  # services of a day, threats of a profile, averages of a day, fields of an average

_TICKS = re.compile(r"/Date\((-?[0-9]{1,17})(?:[+-][0-9]{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\sA-Z]+|[A-Z]")
_FRACTION = re.compile(r"\.([0-9]+)")


def number(value: Any, flags: set[str]) -> float | None:
    """0..1e9 as a float; None stays None, -1 is Graph's "unknown", anything else unusable is flagged "bad_number"."""
    if value.__class__ is float and 0.0 <= value <= MAX_NUMBER:
        found: float = value
        return found
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "_" not in value else None
        except ValueError:
            value = None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        flags.add("bad_number")
        return None
    if value == -1:
        flags.add("sentinel")
        return None
    if not 0 <= value <= MAX_NUMBER:  # also refuses NaN and infinities
        flags.add("bad_number")
        return None
    return float(value)


def whole(value: Any, flags: set[str]) -> int | None:
    """Like `number`, for counts: "3", 3 and 3.0 are 3; 3.5 is flagged."""
    if value is None:
        return None
    if value.__class__ is str and value.isascii() and value.isdecimal() and len(value) < _DIGITS:
        return int(value)  # as Graph sends nearly all
    found = number(value, flags)
    if found is None:
        return None
    if not found.is_integer():
        flags.add("bad_number")
        return None
    return int(found)


def truth(value: Any, flags: set[str]) -> bool | None:
    """true/false as a bool, a string of any casing, or 1/0; anything else is None, flagged "bad_number"."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, int, float)):
        word = str(value).strip().casefold()
        if word in ("true", "1", "1.0"):
            return True
        if word in ("false", "0", "0.0"):
            return False
    flags.add("bad_number")
    return None


def percentage(value: Any, flags: set[str]) -> float | None:
    found = number(value, flags)
    if found is not None and found > MAX_PERCENT:
        flags.add("bad_number")
        return None
    return found


def text(value: Any, max_chars: int = MAX_TEXT) -> str:
    """Text of a scalar; "" for null and for structures. Over-long text ends in "…"; lone surrogates become "?".

    Python accepts lone surrogates in JSON strings, but no UTF-8 file or socket downstream would.
    """
    if value.__class__ is str and len(value) <= max_chars and value.isascii():
        plain: str = value
        return plain
    if not isinstance(value, str):
        if value is None or not isinstance(value, (bool, int, float)):
            return ""
        value = json.dumps(value)
    cut: str = value if len(value) <= max_chars else value[: max_chars - 1] + "…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")


def moment(value: Any) -> str | None:
    """ISO UTC text in whole seconds, so that texts sort like moments; None when unusable or before the year 2000.

    Graph sends 0 to 7 fractional digits and, like all .NET services, 0001-01-01 for "never".
    """
    found = _moment(value)
    return iso(found) if found is not None and found.year >= 2000 else None


def when(value: Any, flags: set[str]) -> str | None:
    """Like `moment`; what is no moment at all is flagged "bad_date". Null, "" and a year before 2000 mean "never"."""
    found = moment(value)
    if found is None and value not in (None, "") and _moment(value) is None:
        flags.add("bad_date")
    return found


def _moment(value: Any) -> datetime | None:
    """The moment of an ISO text, or of what PowerShell 5.1 makes of one: "/Date(ms)/", alone or in an object."""
    if isinstance(value, dict):
        value = value.get("value")
    if not isinstance(value, str) or len(value) > MAX_DATE:
        return None
    try:
        ticks = _TICKS.fullmatch(value)
        return _EPOCH + timedelta(milliseconds=int(ticks[1])) if ticks else parse_iso(value)
    except (ValueError, OverflowError):
        return None


def fraction(value: Any) -> str:
    """The digits of a moment's fraction of a second, as texts that sort; "" where there are none."""
    found = _FRACTION.search(value) if isinstance(value, str) else None
    return found[1].rstrip("0") if found else ""


def squeezed(value: Any) -> str:
    word: str | None = _one_of_few(value)
    return " ".join(text(value, MAX_NAME).split()) if word is None else _squeezed_word(word)


def _one_of_few(value: Any) -> str | None:
    """A text so short that it may come from a short list, and be worth remembering; else None."""
    return value if value.__class__ is str and len(value) <= MAX_WORD else None


@lru_cache(maxsize=1024)
def _squeezed_word(word: str) -> str:
    return " ".join(text(word, MAX_NAME).split())


def level(value: Any) -> str:
    """One spelling: both "low" and "Low", "moderate" and "Moderate" are on the wire."""
    return squeezed(value).capitalize()


def threat(value: Any) -> str:
    """One spelling: "Account breach", "Account Breach" and the documented "accountBreach" are "Account Breach"."""
    word = _one_of_few(value)
    return _spelt(text(value, MAX_NAME)) if word is None else _spelt_word(word)


def _spelt(threat: str) -> str:
    words = [word.capitalize() for word in _WORD.findall(threat)]
    return " ".join("of" if index and word == "Of" else word for index, word in enumerate(words))


@lru_cache(maxsize=1024)
def _spelt_word(word: str) -> str:
    return _spelt(text(word, MAX_NAME))


def names(value: Any) -> list[str]:
    return [text(item, MAX_NAME) for item in value[:MAX_ITEMS]] if isinstance(value, list) else []


def object_of(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise PartialRead(f"{where} is not a JSON object", "not_json")
    return value


def name_of(value: Any, where: str) -> str:
    name = text(value, MAX_NAME + 1) if isinstance(value, str) else ""
    if not name.strip() or len(name) > MAX_NAME:
        raise PartialRead(f"{where} is not a text of 1 to {MAX_NAME} characters", "not_json")
    return name


def is_plain_name(value: Any) -> bool:
    """Whether `name_of` gives this very value: True for nearly all names, False where it has to look closer."""
    return value.__class__ is str and value.isascii() and 0 < len(value) <= MAX_NAME and not value.isspace()


def check_bounded(items: Sequence[Any], maximum: int, where: str) -> None:
    if len(items) > maximum:
        raise PartialRead(f"{where} has {len(items)} entries, more than {maximum}", "too_large")


def check_tenant(found: str, tenant_id: str, where: str) -> None:
    if found.casefold() != tenant_id.casefold():
        raise WrongTenant(
            f"{where} belongs to tenant {text(found, 64)}, not to the configured {tenant_id}",
            "Correct tenant_id, or use a credential (or the saved files) of that tenant.",
        )


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first few of many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def text_hash(value: Any) -> str:
    return sha256(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) and value else ""
