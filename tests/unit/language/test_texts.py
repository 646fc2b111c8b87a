"""Every language is complete: the keys, placeholders and plural forms of each file, held against the English one."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

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
