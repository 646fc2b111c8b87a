"""Every language is complete: the keys, placeholders and plural forms of each file, held against the English one."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from connector.foreign.characters import is_harmless
from connector.language import cldr
from connector.language.choice import FOLDER, LANGUAGES

Text = str | Mapping[str, str]


def texts_of(code: str) -> dict[str, Text]:
    found: dict[str, Text] = json.loads((FOLDER / f"{code}.json").read_text("utf-8"))["texts"]
    return found


def forms(text: Text) -> Iterator[str]:
    yield from [text] if isinstance(text, str) else text.values()


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{([^{}]*)\}", text))


ORIGINAL = texts_of("en")


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_exactly_the_keys_of_the_original_in_its_order(code: str) -> None:
    assert list(texts_of(code)) == list(ORIGINAL)


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_key_stands_twice(code: str) -> None:
    pairs: list[str] = []

    def note(found: list[tuple[str, object]]) -> dict[str, object]:
        pairs.extend(key for key, _ in found if key not in ("one", "few", "many", "other"))
        return dict(found)

    json.loads((FOLDER / f"{code}.json").read_text("utf-8"), object_pairs_hook=note)
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("code", LANGUAGES)
def test_placeholders_are_those_of_the_original(code: str) -> None:
    for key, text in texts_of(code).items():
        original = ORIGINAL[key]
        assert isinstance(text, str) == isinstance(original, str), f"{key}: one has plural forms, the other has none"
        if isinstance(text, str) or isinstance(original, str):
            assert placeholders(str(text)) == placeholders(str(original)), key
            continue
        wanted = placeholders(original["other"])
        assert "n" in wanted, key
        implied = set() if cldr.plural(code, Decimal(0)) == "one" else {"n"}  # "a day" needs no number if it is just 1
        for category, form in text.items():
            assert placeholders(form) | (implied if category == "one" else set()) == wanted, (key, category)


@pytest.mark.parametrize("code", LANGUAGES)
def test_plural_forms_are_those_that_the_language_has(code: str) -> None:
    has = cldr.plurals(json.loads((FOLDER / f"{code}.json").read_text("utf-8"))["locale"])
    for key, text in texts_of(code).items():
        assert isinstance(text, str) or set(text) == has, key


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_text_is_one_clean_line(code: str) -> None:
    for key, text in texts_of(code).items():
        for form in forms(text):
            assert form, key
            assert form == form.strip(), key
            assert is_harmless(form), key
            assert "  " not in form, key
            assert re.sub(r"\{[a-z_]+\}", "", form).count("{") == 0, f"{key}: a brace that begins no placeholder"
            assert "<" not in form, f"{key}: markup stands in values, never in a text"


def test_the_words_of_the_guide_are_those_that_are_used() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "languages.md").read_text("utf-8").rpartition("## The words")[2]
    rows = [line.strip("| ").split(" | ") for line in guide.splitlines() if re.match(r"\| [a-z]{2} \|", line)]
    assert sorted(row[0] for row in rows) == [code for code in LANGUAGES if code != "en"]
    for code, *used in rows:
        every = " ".join(form for text in texts_of(code).values() for form in forms(text)).casefold()
        assert [word for word in used if word.casefold() not in every] == [], code


def test_french_signs_are_not_parted_from_their_word() -> None:
    """No line begins with a colon."""
    said = [(key, form) for key, text in texts_of("fr").items() for form in forms(text)]
    assert [(key, form) for key, form in said if re.search(r" [:;?!»]|« ", form)] == []


SAME_EVERYWHERE = re.compile(r"service\.|page\.kicker$|column\.sha256$")
"""Names of products, which are no words."""
SAME: Mapping[str, str] = {
    "Action": "fr",
    "Apps": "da de nl",
    "Cause": "fr",
    "Causes": "fr",
    "Cloud": "cs da de fr it nl",
    "Control": "es",
    "Data": "cs da",
    "File": "it",
    "ID": "ja ko",
    "Infrastructure": "fr",
    "Maximum": "cs fr hu nl",
    "Net": "fr",
    "No": "es it",
    "Percentage": "nl",
    "Points": "fr",
    "Provenance": "fr",
    "Question": "fr",
    "Revision": "da de",
    "Role": "cs",
    "Score": "da fr nl",
    "Service": "fr nl",
    "Source": "fr",
    "Standard": "cs da de it",
    "Tenant": "cs da it nl",
    "connector": "da nl",
    "control": "es",
    "impact": "fr nl",
    "maximum": "cs fr hu nl",
    "no": "es it",
    "points": "fr",
    "p": "ko",
    "pp": "da es fr nl",
    "project": "nl",
    "resources": "nl",
    "tenant": "cs da it nl",
    "tenants": "da nl",
}
"""Words that are spelt as in English, or need no letters of the script, and where."""
ENGLISH_WORDS = re.compile(r"\b(?:the|with|which|were|and|that|this|from|than|been)\b", re.IGNORECASE)
SCRIPTS: Mapping[str, str] = {"ja": "[\u3040-\u30ff\u3400-\u9fff]", "ko": "[\uac00-\ud7a3]"}


def words(form: str) -> str:
    """A text without placeholders, commands, signs and digits."""
    return re.sub(r"`[^`]*`|securescore( --\w+ DAY| \w+)+|\{[a-z_]+\}|[^\w\s]|\d", " ", form).strip()


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_no_text_is_still_english(code: str) -> None:
    found = []
    for key, text in texts_of(code).items():
        originals = {words(form) for form in forms(ORIGINAL[key])}
        for said in map(words, forms(text)):
            strange = code in SCRIPTS and not re.search(SCRIPTS[code], said)
            if said and (said in originals or strange or ENGLISH_WORDS.search(said)):
                found += [] if SAME_EVERYWHERE.match(key) or code in SAME.get(said, "").split() else [(key, said)]
    assert found == []
