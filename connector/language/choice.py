"""Which language is meant by what somebody wrote: a code, a longer tag, or a near miss. Reads its file of texts."""

import json
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


def names() -> dict[str, str]:
    """Every language by its code, each with the name that its own speakers give it."""
    return {code: json.loads((FOLDER / f"{code}.json").read_text("utf-8"))["name"] for code in LANGUAGES}


def _hint(tag: str) -> str:
    """The language that was probably meant: people write names and countries, too."""
    word = tag.strip().casefold()
    english = language(DEFAULT)
    known = {code: code for code in LANGUAGES}
    for code, name in names().items():
        known |= {name.casefold(): code, english.name_of(code).casefold(): code}
    known |= {country: code for country, code in _COUNTRIES.items() if code in LANGUAGES}
    near = get_close_matches(word, known, n=1, cutoff=0.7)
    every = f"one of {', '.join(LANGUAGES)}"
    return f"did you mean {known[near[0]]}? It is {every}" if near else f"say {every}"


_COUNTRIES = {"at": "de", "cz": "cs", "dk": "da", "gb": "en", "jp": "ja", "kr": "ko", "uk": "en", "us": "en"}
"""Codes of countries that are often taken for those of their languages."""
