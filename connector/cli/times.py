"""Times as people say them (a day, a moment, `yesterday`, `24h`, `7d`), and as tables show them, in every command.

A column with moments says "(UTC)" in its header.
"""

import re
from datetime import UTC, date, datetime, timedelta

from connector.clock import iso, parse_iso
from connector.errors import ConfigError

YEARS = "years from 1970 to 9000 are understood"
FORMS = "2026-11-22, 2026-11-22T09:00:00Z, yesterday, 24h or 7d"
AGO = re.compile(r"-?([0-9]{1,6})([mhdw])")
"""A span before now; as in search languages, a minus says the same."""
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DAYS_AGO = {"today": 0, "yesterday": 1}


def moment(text: str | None, option: str, now: datetime) -> str | None:
    """What an option names as UTC text; a day is its midnight, a span so long before `now`. Raises ConfigError."""
    return None if text is None else iso(_named(text, option, now))


def day(text: str | None, option: str, now: datetime) -> str | None:
    """The day that an option names ("2026-11-22", UTC). Raises ConfigError."""
    return None if text is None else _named(text, option, now).astimezone(UTC).date().isoformat()


def day_of(text: str) -> date:
    """The day of a text like 2026-11-22, in years that leave room to count back and forth. Raises ValueError."""
    found = date.fromisoformat(text)
    if not 1970 <= found.year <= 9000:
        raise ValueError(YEARS)
    return found


def shown(moment: str | None, otherwise: str = "never") -> str:
    """An ISO moment to the minute, in a column whose header says UTC; `otherwise` where there is none."""
    return otherwise if moment is None else moment[:16].replace("T", " ")


def _named(text: str, option: str, now: datetime) -> datetime:
    said = text.strip().lower()
    try:
        if said in _DAYS_AGO:
            at = now.astimezone(UTC) - timedelta(days=_DAYS_AGO[said])
            return at.replace(hour=0, minute=0, second=0, microsecond=0)
        ago = AGO.fullmatch(said)
        found = parse_iso(text) if ago is None else now - int(ago[1]) * _UNITS[ago[2]]
        day_of(found.date().isoformat())
    except (ValueError, OverflowError) as error:
        raise ConfigError([f"{option} {text[:80]!r} names no time"], f"write it as {FORMS}; {YEARS}") from error
    return found
