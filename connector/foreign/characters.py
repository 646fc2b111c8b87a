r"""The one list of characters that never reach a terminal, a log line, CEF, LEEF or CSV, and the one way to lose them.

Control characters move a cursor or begin a line; others show nothing or turn the direction of reading, so that a text
looks like another one. Wire forms whose own escapes carry every character (JSON) keep them all, escaped.
"""

import re

CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029"
"""C0, DEL, C1, line and paragraph separator (Unicode Cc, Zl, Zp): a space stands in their place."""

INVISIBLE = (
    # Format characters (Unicode Cf): soft hyphen, zero width, direction, byte order, annotation, musical, tags ...
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    # Letters and marks that show nothing all the same (Default_Ignorable_Code_Point), less what picks an emoji's form.
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"
)
"""Nothing stands in their place. Zero-width joiners are among them: a joined emoji falls into its parts."""

SURROGATES = "\ud800-\udfff"
"""Halves of a character, which no encoding carries: U+FFFD stands in their place."""

_CONTROL, _INVISIBLE, _SURROGATE = (re.compile(f"[{those}]") for those in (CONTROLS, INVISIBLE, SURROGATES))
_HARMFUL = re.compile(f"[{CONTROLS}{INVISIBLE}{SURROGATES}]")


def is_harmless(text: str) -> bool:
    """Whether `harmless` would leave the text as it is; made for being asked of every value."""
    return (text.isascii() and text.isprintable()) or _HARMFUL.search(text) is None


def harmless(text: str) -> str:
    """The text as one line that is what it looks like."""
    if is_harmless(text):
        return text
    return _INVISIBLE.sub("", _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub(" ", text)))


def harmless_lines(text: str) -> str:
    """`harmless` text that keeps its line feeds: for texts of ours, in which foreign words are harmless already."""
    return "\n".join(map(harmless, text.split("\n")))
