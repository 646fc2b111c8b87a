"""A language at work: texts with their values, plural forms, numbers, days and lists."""

import subprocess
import sys

import pytest

from connector.config import keys
from connector.errors import ConfigError
from connector.language.choice import LANGUAGES, language
from connector.language.spoken import Language
from connector.report.markup import el, html

ENGLISH = language("en")
CZECH = Language(
    "cs",
    "cs",
    {
        "unknown": "neznámé",
        "points": {"one": "{n} bod", "few": "{n} body", "many": "{n} bodu", "other": "{n} bodů"},
        "lead": "{name} má {score}.",
        "cause.licence": "licence",
    },
)


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1 bod"), (3, "3 body"), (5, "5 bodů"), (1.5, "1,5 bodu"), (1.0, "1,0 bodu")]
)
def test_the_number_as_it_is_written_chooses_the_plural_form(number: float, words: str) -> None:
    assert CZECH.text("points", n=number) == words


def test_a_plural_form_needs_a_number() -> None:
    with pytest.raises(TypeError, match="is no number"):
        CZECH.text("points", n="3")


def test_a_text_or_a_value_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        CZECH.text("nothing_of_the_kind")
    with pytest.raises(KeyError):
        CZECH.text("lead", name="Contoso")


def test_markup_stands_in_a_sentence_and_everything_else_is_escaped() -> None:
    said = html(CZECH.parts("lead", name="<b>Contoso</b>", score=el("b", 3)))
    assert said == "&lt;b&gt;Contoso&lt;/b&gt; má <b>3</b>."


def test_a_value_with_braces_is_no_placeholder() -> None:
    assert CZECH.text("lead", name="{score}", score="{name}") == "{score} má {name}."


def test_a_code_without_words_stays_what_it_is() -> None:
    assert (CZECH.word("cause", "licence"), CZECH.word("cause", "new_kind")) == ("licence", "new_kind")


@pytest.mark.parametrize(
    ("value", "number", "signed", "percent"),
    [
        (1234.5678, "1,234.5678", "+1,234.5678", "1,234.57%"),
        (52.0, "52.0", "+52.0", "52.00%"),
        (-0.25, "−0.25", "−0.25", "−0.25%"),
        (0.0, "0.0", "0.0", "0.00%"),
        (-0.00001, "0.0", "0.0", "0.00%"),
        (None, "unknown", "unknown", "unknown"),
    ],
)
def test_numbers(value: float | None, number: str, signed: str, percent: str) -> None:
    assert (ENGLISH.number(value), ENGLISH.signed(value), ENGLISH.percent(value)) == (number, signed, percent)


def test_percentage_points_have_a_sign_and_no_more_than_two_decimals() -> None:
    assert [ENGLISH.percentage_points(v) for v in (1.256, -0.5, None)] == ["+1.26 pp", "−0.5 pp", "unknown"]


def test_days_and_moments() -> None:
    assert ENGLISH.day("2026-09-05") == "5 Sept 2026"
    assert ENGLISH.short_day("2026-09-05") == "5 Sept"
    assert ENGLISH.month("2026-09-05") == "Sept 2026"
    assert ENGLISH.moment("2026-09-05T04:03:02Z") == "5 Sept 2026, 04:03 UTC"
    assert ENGLISH.period("2026-08-31", "2026-09-05") == "31 Aug – 5 Sept 2026".replace(" – ", "\u2009–\u2009")


def test_a_region_writes_numbers_and_days_its_own_way() -> None:
    assert language("en-US").day("2026-09-05") == "Sep 5, 2026"
    assert language("en-us") == language("en_US")
    assert language("en-XX") == ENGLISH, "CLDR has no such region"
    assert (language("en-US").tag, language("en-US").code, ENGLISH.tag) == ("en-US", "en", "en")


@pytest.mark.parametrize(
    ("items", "words"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_leaves_its_items_as_they_are(items: list[str], words: str) -> None:
    assert "".join(map(str, ENGLISH.listed(items))) == words
    assert html(ENGLISH.listed([el("i", item) for item in items])).count("<i>") == len(items)


def test_sentences_follow_one_another_as_the_language_has_it() -> None:
    assert ENGLISH.together("One.", "Two.", "Three.") == "One. Two. Three."


def test_names_of_languages() -> None:
    assert (ENGLISH.name_of("de-DE"), ENGLISH.name_of("ja"), ENGLISH.name_of("x-y")) == ("German", "Japanese", "x-y")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("english", "en"),
        ("US", "en"),
        ("german", "de"),
        ("Deutch", "de"),
        ("Japanisch", "ja"),
        ("日本語", "ja"),
        ("jp", "ja"),
        ("espanol", "es"),
        ("klingon", None),
        ("zh-Hans", None),
        ("", None),
    ],
)
def test_a_language_that_does_not_ship_is_refused_with_the_nearest(wrong: str, meant: str | None) -> None:
    with pytest.raises(ConfigError) as refused:
        language(wrong)
    hint = refused.value.hint or ""
    assert repr(wrong) in str(refused.value)
    assert hint == (f"did you mean {meant}? There are " if meant else "there are ") + ", ".join(LANGUAGES)


def test_the_configuration_offers_the_languages_that_there_are() -> None:
    assert sorted(keys.LANGUAGES) == list(LANGUAGES)


def test_babel_is_loaded_by_who_writes_in_a_language_only() -> None:
    code = "import sys, connector.language.choice, connector.cli.main; print('babel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
