r"""Secrets that a far end sends back: hidden in its words in whatever form it wrote them. The only function that does.

An endpoint that echoes a request, a gateway's error page, a proxy's log line: they repeat a credential as it was, as a
URL, a form, JSON or HTML escapes it (twice, too), in base64 (of more than the secret, as in a basic-auth header) or in
hexadecimal, broken over lines. So the words are looked at with each of these undone, and what was found is hidden where
it stands. Who quotes a far end knows which secrets it was given; what merely looks like one is health/logs.py's.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from html import unescape
from urllib.parse import quote, quote_plus

from attrs import frozen

from connector.foreign.characters import is_harmless

MARK = "[hidden]"
MAX_CHARS = 16_384
"""How much of a text is looked at, and given back: nobody quotes as much."""
LEAST_CHARS = 4
"""A shorter secret is none; hiding it would only mutilate words."""

_LEAST_LINE = 8
_LEAST_BASE64, _LEAST_HEX = 6, 8
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_URL_SAFE = str.maketrans("-_", "+/")


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, in whatever form; at most its first MAX_CHARS where there are secrets to hide."""
    wanted = [_needles(secret) for secret in dict.fromkeys(secrets) if len(_joined(secret)) >= LEAST_CHARS]
    if not wanted:
        return text
    text = text[:MAX_CHARS]
    found = sorted({span for view in _views(text) for needles in wanted for span in _found(view, needles, text)})
    parts, at = [], 0
    for start, end in found:
        if end > at:
            parts += [text[at:start], MARK] if start >= at else []
            at = end
    return "".join([*parts, text[at:]])


# ------------------------------------------------------------------------------------------------- what is looked for


@frozen
class _Needles:
    """One secret as it may stand in a text from which gaps are gone: letters in lower case, base64, hexadecimal."""

    plain: tuple[str, ...]
    base64: tuple[str, ...]
    hexadecimal: tuple[str, ...]


@lru_cache(maxsize=64)
def _needles(secret: str) -> _Needles:
    lines = [line for line in secret.splitlines() if len(line.strip()) >= _LEAST_LINE]
    texts = dict.fromkeys((secret, *lines))
    raw = [_octets(each, coding) for each in texts for coding in ("utf-8", "utf-16-le")]
    escaped = [form(each, "", errors="surrogatepass").encode() for each in texts for form in (quote, quote_plus)]
    plain = dict.fromkeys(form for each in texts for form in (_joined(each), _joined(each.replace(" ", "+"))))
    cores = dict.fromkeys(core for each in dict.fromkeys([*raw, *escaped]) for core in _cores(each))
    return _Needles(
        tuple(each.translate(_ASCII_LOWER) for each in plain),
        tuple(core for core in cores if len(core) >= _LEAST_BASE64),
        tuple(each.hex() for each in dict.fromkeys(raw) if len(each.hex()) >= _LEAST_HEX),
    )


def _octets(text: str, coding: str) -> bytes:
    return text.encode(coding, "surrogatepass")


def _cores(data: bytes) -> Iterator[str]:
    """What base64 writes of these octets whatever stands around them: at each of three offsets, edges left out."""
    for before in range(3):
        whole = b64encode(b"\0" * before + data).decode().rstrip("=")
        yield whole[(0, 2, 3)[before] : len(whole) - (1 if (before + len(data)) % 3 else 0)]


# -------------------------------------------------------------------------------------------- where it is looked for


@frozen
class _View:
    """A text with something undone: its characters, and where each stood in the original (start and end)."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def _views(text: str) -> Iterator[_View]:
    """The text as it is, and with one or two layers of escapes undone; each different text once."""
    layer = {text: _View(text, range(len(text)), range(1, len(text) + 1))}
    seen: set[str] = set()
    for _ in range(_LAYERS + 1):
        yield from layer.values()
        seen |= layer.keys()
        undone = [_undone(view, pattern, meaning) for view in layer.values() for pattern, meaning in _ESCAPES]
        layer = {view.text: view for view in undone if view.text not in seen}


_LAYERS = 2


def _undone(view: _View, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> _View:
    """The view with each match replaced by what it means, a character of which stands where the match stood."""
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in [*pattern.finditer(view.text), None]:
        until = match.start() if match else len(view.text)
        text.append(view.text[at:until])
        starts += view.starts[at:until]
        ends += view.ends[at:until]
        if match is None:
            break
        said = meaning(match)
        text.append(said)
        starts += [view.starts[match.start()]] * len(said)
        ends += [view.ends[match.end() - 1]] * len(said)
        at = match.end()
    return _View("".join(text), starts, ends)


def _found(view: _View, needles: _Needles, text: str) -> Iterator[tuple[int, int]]:
    """Where in the original text the secret stands, as this view shows it."""
    letters = [n for n, char in enumerate(view.text) if not _is_gap(char)]
    joined = "".join(view.text[n] for n in letters)
    digits = [n for n in letters if view.text[n] not in ":-"]
    bare = "".join(view.text[n] for n in digits).translate(_ASCII_LOWER)
    for places, where, those in (
        (letters, joined.translate(_ASCII_LOWER), needles.plain),
        (letters, joined.translate(_URL_SAFE), needles.base64),
        (digits, bare, needles.hexadecimal),
        (*_without_prefixes(digits, bare), needles.hexadecimal),
    ):
        for needle in those:
            for at in _every(where, needle):
                start, end = view.starts[places[at]], view.ends[places[at + len(needle) - 1]]
                yield _whole(text, start, end) if those is needles.base64 else (start, end)


def _without_prefixes(places: list[int], text: str) -> tuple[list[int], str]:
    r"""Hexadecimal digits whose octets each have a prefix, as in `\x41\x42` or `0x41, 0x42`."""
    kept = [n for match in re.finditer(r"(?:0x|\\x|%)([0-9a-f]{2})", text) for n in range(match.start(1), match.end(1))]
    return [places[n] for n in kept], "".join(text[n] for n in kept)


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """The run of base64 around a core: its edges hold octets of the secret, too."""
    while start > 0 and text[start - 1] in _BASE64:
        start -= 1
    while end < len(text) and text[end] in _BASE64:
        end += 1
    return start, end


def _every(text: str, needle: str) -> Iterator[int]:
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + 1)


def _joined(text: str) -> str:
    return "".join(char for char in text if not _is_gap(char))


def _is_gap(char: str) -> bool:
    """What may stand between the letters of a secret that was broken up."""
    return char.isspace() or not is_harmless(char)


# ---------------------------------------------------------------------------------------------------------- the escapes


def _percent(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def _json(match: re.Match[str]) -> str:
    """JSON's escapes, and Python's."""
    body = match[0][1:]
    if len(body) == 9:
        return chr(int(body[1:], 16))
    if len(body) > 1 and body[0] in "uU":
        units = bytes.fromhex("".join(body.replace("\\", "").lower().split("u")))
        return units.decode("utf-16-be", "surrogatepass")
    if len(body) > 1:
        return chr(int(body[1:], 16))
    return {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}.get(body, body)


def _html(match: re.Match[str]) -> str:
    return unescape(match[0])


_HEX = "[0-9A-Fa-f]"
_UNIT = rf"[uU]{_HEX}{{4}}"
_PAIR = rf"[uU][dD][89abAB]{_HEX}{{2}}\\[uU][dD][c-fC-F]{_HEX}{{2}}"
_POINT = rf"U00(?:0{_HEX}|10){_HEX}{{4}}"

_ESCAPES: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = (
    (re.compile(f"(?:%{_HEX}{{2}})+"), _percent),
    (re.compile(rf"\\(?:{_POINT}|{_PAIR}|{_UNIT}|x{_HEX}{{2}}|.)", re.DOTALL), _json),
    (re.compile(rf"&(?:#[0-9]{{1,7}}|#[xX]{_HEX}{{1,6}}|[A-Za-z]{{2,8}});?"), _html),
)
