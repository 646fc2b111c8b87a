"""A secret that a far end sends back is hidden in whatever form it wrote it, and nothing else is."""

import base64
import html
import json
import re
import textwrap
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.foreign.reflected import MARK, MAX_CHARS, hidden

SECRETS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), min_size=8, max_size=60),
    st.text(st.sampled_from("abcXYZ019~.-_+/=%&\"'\\<> €日😀"), min_size=8, max_size=60),
    st.from_regex(r"[A-Za-z0-9~._-]{40}", fullmatch=True),
).filter(lambda text: len("".join(text.split())) >= 8)


def percent(text: str) -> str:
    return "".join(f"%{octet:02x}" for octet in text.encode())


def escapes(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))


def basic(text: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"client-1:{text}".encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": lambda s: "".join(c.upper() if c.isascii() else c for c in s),
    "URL": lambda s: quote(s, safe=""),
    "URL, lower case": lambda s: re.sub("%[0-9A-F]{2}", lambda hit: hit[0].lower(), quote(s, safe="")),
    "form": quote_plus,
    "form, a field of several": lambda s: urlencode({"client_id": "1", "client_secret": s, "scope": "x y"}),
    "URL, twice": lambda s: quote(quote(s, safe=""), safe=""),
    "every octet of a URL": percent,
    "JSON": lambda s: json.dumps({"said": s}),
    "JSON, not ASCII": lambda s: json.dumps({"said": s}, ensure_ascii=False),
    "JSON in JSON": lambda s: json.dumps(json.dumps({"said": s})),
    "JSON of a form": lambda s: json.dumps(quote_plus(s)),
    "every unit of JSON": escapes,
    "Python": repr,
    "HTML": html.escape,
    "HTML by numbers": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64 in a URL": lambda s: quote_plus(base64.b64encode(s.encode()).decode()),
    "base64 in JSON": lambda s: base64.b64encode(s.encode()).decode().replace("/", "\\/"),
    "base64 of UTF-16": lambda s: base64.b64encode(s.encode("utf-16-le")).decode(),
    "base64 of more": lambda s: base64.b64encode(f"x{s}yz".encode()).decode(),
    "base64 of a form": lambda s: base64.b64encode(f"client_secret={quote_plus(s)}&a=b".encode()).decode(),
    "base64 in lines": lambda s: "\r\n ".join(textwrap.wrap(base64.b64encode(s.encode()).decode(), 7)),
    "basic-auth": basic,
    "hexadecimal": lambda s: s.encode().hex(),
    "HEXADECIMAL": lambda s: s.encode().hex().upper(),
    "hexadecimal with colons": lambda s: s.encode().hex(":"),
    "hexadecimal dump": lambda s: s.encode().hex(" ", 2),
    "C": lambda s: "".join(f"\\x{octet:02x}" for octet in s.encode()),
    "array": lambda s: ", ".join(f"0x{octet:02X}" for octet in s.encode()),
    "lines": lambda s: "\r\n\t".join(s[n : n + 3] for n in range(0, len(s), 3)),
    "lines in JSON": lambda s: json.dumps("\n".join(s[n : n + 5] for n in range(0, len(s), 5))),
    "zero width": "\u200b".join,
}
AROUND = ("", "refused: client_secret=", '{"error": "', "\u202e日本 ")


@pytest.mark.parametrize("form", FORMS)
@given(SECRETS, st.sampled_from(AROUND), st.sampled_from(["", '"}', "&grant_type=client_credentials", " (trace 1)"]))
@example("aaaaaaaaaa", "", "")
@example('q"u\\o/t+e s%41', "", "")
def test_it_is_hidden_in_every_form(form: str, secret: str, before: str, after: str) -> None:
    written = FORMS[form](secret)
    said = hidden(f"{before}{written} {after}", [secret])
    assert MARK in said
    assert written not in said
    assert secret not in said
    # … nor is it there for whoever undoes the form
    assert (
        len("".join(said.replace(MARK, "").split())) <= len("".join(f"{before}{after}{FORMS[form]('')}".split())) + 45
    )


TEXTS = st.text(st.characters(codec="utf-8"), max_size=300)


@given(TEXTS)
def test_other_words_stay_as_they_are(text: str) -> None:
    secret = "Zq8~Yk3.W_never-in-a-text"
    assert hidden(text, [secret]) == text
    assert hidden(text, []) == text
    assert hidden(text, ["", "abc"]) == text, "what is too short is no secret"


def test_each_line_of_a_secret_of_several_is_hidden() -> None:
    assert hidden("bad TOPSECRET:line1 and second-line2", ["TOPSECRET:line1\nsecond-line2"]) == f"bad {MARK} and {MARK}"


def test_several_secrets_and_several_places() -> None:
    text = "id 7: first-secret, SECOND-secret; first-secret"
    assert hidden(text, ["first-secret", "second-secret"]) == f"id 7: {MARK}, {MARK}; {MARK}"


def test_what_stands_around_it_stays() -> None:
    said = hidden("HTTP 400: client_secret=hunter2hunter2&scope=x [trace 1]", ["hunter2hunter2"])
    assert said == f"HTTP 400: client_secret={MARK}&scope=x [trace 1]"


@pytest.mark.parametrize(
    "text", ["%" * 20_000, "\\" * 20_000, "&#" * 10_000, "a" * 20_000, "%41" * 9_000, "\\u0041" * 5_000, " " * 20_000]
)
def test_a_text_made_for_it_costs_little(text: str) -> None:
    began = time.thread_time()
    assert len(hidden(text, ["a" * 40, "b" * 2_000])) <= MAX_CHARS
    assert time.thread_time() - began < 2.0
