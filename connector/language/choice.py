"""Which language is meant by what somebody wrote: a code, a longer tag, or a near miss. Reads its file of texts."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources

from connector.errors import ConfigError
from connector.language.spoken import Language

DEFAULT = "en"
FOLDER = resources.files("connector.language")
LANGUAGES = tuple(
    sorted(entry.name.removesuffix(".json") for entry in FOLDER.iterdir() if entry.name.endswith(".json"))
)
"""The codes of all that ship (ISO 639)."""


@lru_cache(maxsize=len(LANGUAGES))
def language(tag: str = DEFAULT) -> Language:
    """The language of a tag such as `de` or `en-US`: texts by its code, numbers and days by its region.

    Raises ConfigError for one that does not ship.
    """
    code, *rest = tag.replace("_", "-").split("-")
    code = code.lower()
    if code not in LANGUAGES:
        raise ConfigError([f"there are no texts in the language {tag!r}"], _hint(tag))
    file = json.loads((FOLDER / f"{code}.json").read_text("utf-8"))
    region = next((part.upper() for part in rest if len(part) == 2), None)
    if region and _in_cldr(f"{code}_{region}"):
        return Language(f"{code}-{region}", f"{code}_{region}", file["texts"])
    return Language(code, file["locale"], file["texts"])


def _in_cldr(locale: str) -> bool:
    from connector.language.cldr import has  # noqa: PLC0415 - Babel is loaded by who writes in a language

    return has(locale)


def _hint(tag: str) -> str:
    """The language that was probably meant: people write names, in whatever language, and countries."""
    known = {code: code for code in LANGUAGES} | dict(_COUNTRIES)
    for speaker in map(language, LANGUAGES):
        known |= {speaker.name_of(code).casefold(): code for code in LANGUAGES}
    near = get_close_matches(tag.strip().casefold(), known, n=1, cutoff=0.75)
    every = f"are {', '.join(LANGUAGES)}"
    return f"did you mean {known[near[0]]}? There {every}" if near else f"there {every}"


_COUNTRIES: Mapping[str, str] = {
    "at": "de",
    "cz": "cs",
    "dk": "da",
    "gb": "en",
    "jp": "ja",
    "kr": "ko",
    "uk": "en",
    "us": "en",
}
"""Codes of countries that are often taken for those of their languages."""
