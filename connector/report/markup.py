"""HTML by functions: every text is escaped unless it is `Markup`, and only harmless attributes exist.

No layout and no words live here. Nothing can make an element load, run or submit anything: there is no `style`, no
`on…`, `href` leads within the document only, and `src` is a picture that is in it.
"""

import re
from collections.abc import Iterable
from html import escape

from connector.foreign.characters import harmless

_ATTRIBUTES = frozenset(
    {
        *("class", "id", "lang", "role", "scope", "colspan", "tabindex", "href", "datetime", "data-label", "open"),
        *("aria-label", "aria-labelledby", "aria-hidden"),
        *("viewBox", "preserveAspectRatio", "focusable", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx"),
        *("width", "height", "points", "d", "text-anchor", "src", "alt"),
    }
)
_PICTURE = re.compile(r"data:image/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | int | Markup | None | Iterable["Content"]


def html(content: Content) -> Markup:
    """Content as HTML: text escaped, markup as it is, None as nothing, the parts of a sequence one after another."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int):
        return Markup(escape(harmless(str(content)), quote=True))
    return Markup("".join(html(part) for part in content))


def soft(text: str) -> Markup:
    """A long name that may be broken behind its own separators."""
    return Markup(re.sub("([@_.])", r"\1<wbr>", html(text)))


def el(name: str, *content: Content, **attributes: str | float | None) -> Markup:
    """An element. Attributes in Python's spelling (`class_`, `data_label`); None leaves one out."""
    return Markup(f"{open_tag(name, **attributes)}{html(content)}</{name}>")


def open_tag(name: str, **attributes: str | float | None) -> Markup:
    """The start of an element whose end comes later, or of one that has none. Raises ValueError for what may harm."""
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        attribute = key.removesuffix("_").replace("_", "-")
        text = _figure(value) if isinstance(value, int | float) else harmless(value)
        if attribute not in _ATTRIBUTES or not _harms_nobody(attribute, text):
            raise ValueError(f"attribute {attribute}={text[:80]!r} has no place in a report")
        parts.append(f'{attribute}="{escape(text, quote=True)}"')
    return Markup(f"<{' '.join(parts)}>")


def _harms_nobody(attribute: str, text: str) -> bool:
    if attribute == "href":
        return text.startswith("#")
    return attribute != "src" or _PICTURE.fullmatch(text) is not None


def _figure(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
