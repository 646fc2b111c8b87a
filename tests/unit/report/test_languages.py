"""The report in other languages: the same numbers, every sentence a text, and Microsoft's words marked as theirs."""

import re
from html import unescape

import pytest
from attrs import evolve
from babel.numbers import parse_decimal

from connector.language.choice import LANGUAGES, language
from connector.language.spoken import MINUS, Language
from connector.report import build
from connector.report.page import Form
from connector.report.values import Cover, TenantReport
from tests.fakes.posture import simulated, whole

ENGLISH = language("en")


def made() -> TenantReport:
    material = simulated(7)
    return build.build(material, whole(material))


def numbers(page: str, speak: Language) -> list[list[float]]:
    """What each cell for figures says, read by the rules of the language; its numbers in the order of their size."""
    cells = re.findall(r'<td class="num[^"]*"[^>]*>(.*?)</td>', page, re.DOTALL)
    digits = re.compile(rf"[+{MINUS}]?\d(?:[\d.,\u00a0\u202f’']*\d)?")
    return [
        sorted(
            float(parse_decimal(found.replace(MINUS, "-").removeprefix("+"), locale=speak.locale))
            for found in digits.findall(unescape(re.sub("<[^>]+>", " ", cell)))
        )
        for cell in cells
    ]


@pytest.mark.parametrize("tag", [*(code for code in LANGUAGES if code != "en"), "de-CH", "en-US"])
def test_every_figure_is_the_same_in_every_language(tag: str) -> None:
    report, speak = made(), language(tag)
    said = numbers(Form(speak).tenant(report, 0), speak)
    assert len(said) > 300
    assert said == numbers(Form(ENGLISH).tenant(report, 0), ENGLISH)


def test_every_sentence_is_a_text() -> None:
    """With every text in brackets nothing of ours is outside of them: data, CLDR's lists, and what others wrote."""

    def bracketed(text: str) -> str:
        return f"⟦{text}⟧"

    texts = {
        key: bracketed(text) if isinstance(text, str) else {form: bracketed(one) for form, one in text.items()}
        for key, text in ENGLISH.texts.items()
    }
    report = made()
    page = Form(Language("en", ENGLISH.locale, texts)).tenant(report, 0)
    page = re.sub(r'<(\w+)[^>]*(?:class="(?:title|id)\b|lang=)[^>]*>.*?</\1>', " ", page)
    page = re.sub(r"<code>.*?</code>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    page = unescape(re.sub("<[^>]+>", " ", page))
    for one in report.exceptions or ():
        page = page.replace(one.comment or "", "")
    assert "⟦" in page
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", page)) != page:
        page = shorter
    assert re.findall(r"\b(?:of|the|to|with|is|are|from|by|in|day|days|points?|controls?|not|no)\b", page) == []


def test_microsofts_words_are_marked_with_the_language_they_came_in() -> None:
    report = evolve(made(), language="en-US")
    german, english = Form(language("de")).tenant(report, 0), Form(ENGLISH).tenant(report, 0)
    assert "Titel und Texte der Kontrollen stammen von Microsoft und sind auf Englisch." in german
    assert 'class="title" lang="en-US"' in german
    assert "Microsoft&#x27;s own" not in english
    assert "en-US" not in english
    japanese = Form(language("ja")).tenant(evolve(report, language="ja"), 0)
    assert "Microsoft によるもの" not in japanese


@pytest.mark.parametrize("tag", [*LANGUAGES, "de-AT"])
def test_a_page_says_which_language_it_is_in_and_ends_no_sentence_twice(tag: str) -> None:
    report = made()
    cover = Cover("0.1.0", "2026-07-11T08:00:00Z", report.period, (report.summary,), (report.summary.name,))
    form = Form(language(tag))
    opening = form.opening(cover)
    assert f'<html lang="{tag}">' in opening
    said = unescape(
        re.sub("<[^>]+>", "", re.sub("</(?:p|td|th|li|dd|caption)>", "\n", opening + form.tenant(report, 0)))
    )
    assert re.findall(r".{0,30}(?:\.\.|[.。]。|  ?[,;]).{0,9}", re.sub(r"<style>.*?</style>", "", said)) == []
