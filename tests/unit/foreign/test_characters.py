"""No text brings to a line what a terminal obeys, what ends the line, or what makes it look like another one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.foreign.characters import harmless, harmless_lines, is_harmless

ANY_TEXT = st.text(st.characters(exclude_categories=()))
FORBIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
SHOW_NOTHING = {
    *"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0",
    *map(chr, range(0xE0100, 0xE01F0)),
}


def test_the_list_is_that_of_unicode_and_a_few_letters_that_show_nothing() -> None:
    harmful = {c for c in map(chr, range(0x110000)) if not is_harmless(c)}
    assert {c for c in map(chr, range(0x110000)) if unicodedata.category(c) in FORBIDDEN} <= harmful
    assert {c for c in harmful if unicodedata.category(c) not in {*FORBIDDEN, "Cn"}} == SHOW_NOTHING


@given(ANY_TEXT)
def test_what_is_left_is_one_line_without_any_of_them(text: str) -> None:
    clean = harmless(text)
    assert is_harmless(clean)
    assert harmless(clean) == clean
    assert len(clean.splitlines()) <= 1
    clean.encode()
    assert not {unicodedata.category(c) for c in clean} & FORBIDDEN


@given(ANY_TEXT)
def test_everything_else_stays_in_its_order(text: str) -> None:
    kept = [c for c in text if is_harmless(c)]
    rest = [c for c in harmless(text) if c not in " \N{REPLACEMENT CHARACTER}"]
    assert rest == [c for c in kept if c not in " \N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\x00b\tc\nd\x7fe\x85f\u2028g\u2029h\x9bi", "a b c d e f g h i"),
        ("x\ud800y", "x\N{REPLACEMENT CHARACTER}y"),
        ("\x1b]0;PWNED\x07\x1b[2J", " ]0;PWNED  [2J"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2066a\u2069\u200fb\u061cc", "abc"),
        ("ad\u200bmin, ad\u00admin, ad\ufeffmin", "admin, admin, admin"),
        ("tag\U000e0041\U000e007f", "tag"),
        ("é 日本 עברית हिन्दी 🛡️ 1️⃣ \N{NO-BREAK SPACE}.", "é 日本 עברית हिन्दी 🛡️ 1️⃣ \N{NO-BREAK SPACE}."),
        ("👩\u200d💻", "👩💻"),
    ],
)
def test_by_example(text: str, clean: str) -> None:
    assert harmless(text) == clean


def test_lines_of_ours_stay_lines() -> None:
    assert harmless_lines("one\n\ttwo\r\nthree\x0b\u2028four") == "one\n two \nthree  four"
