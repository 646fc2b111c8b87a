"""The bytes of a saved or received page → JSON, its continuation and its hash. Pure; no field is read here.

Which pages make a complete part is decided by the sources; what a document means stands in days.py and profiles.py.
"""

import hashlib
import json
import re
from typing import Any

from attrs import frozen

from connector.errors import PartialRead
from connector.formats import jsonl
from connector.ids import sha256

SCORES = "secureScores"
PROFILES = "secureScoreControlProfiles"
"""Names of the two Graph collections; an evidence file is named `<collection>-<page>.json`."""

MAX_DOCUMENTS = 5_000
MAX_CONTAINERS = 200_000
MAX_VALUES = 750_000
"""Objects and lists, and values in all, of a page: many times what the largest tenant's pages hold."""
UNJUDGED_BYTES = 1024 * 1024
"""What is smaller cannot become much: some 50 MB at worst."""

PLACE = b"Infinity"
"""What stands for an array that is parsed apart: a word that Python's parser hands out, in order."""

NEXT_LINK, SKIP_TOKEN = b'"@odata.nextLink"', b'"$skipToken"'
"""What a page calls its continuation, as it stands in its body: of Graph's pages and of Resource Graph's."""
_CONTINUED = {key: re.compile(re.escape(key) + rb'\s*:\s*("(?:[^"\\]|\\.)*")') for key in (NEXT_LINK, SKIP_TOKEN)}
_LINK_WINDOW = 16_384


class TooMuch(ValueError):
    """A body that would become far more in memory than it is on the wire."""


def check_amount(body: bytes) -> None:
    """Raise TooMuch for a body whose values would fill the memory: a cap on its bytes is none on that.

    16 MB of empty objects become more than 1 GB. Judged before anything is parsed, by what begins and parts values.
    """
    if len(body) <= UNJUDGED_BYTES:
        return
    containers = body.count(b"{") + body.count(b"[")
    if containers > MAX_CONTAINERS or containers + body.count(b",") > MAX_VALUES:
        raise TooMuch


def load(body: bytes, where: str) -> Any:
    """The JSON value of a complete body (UTF-8, or UTF-16/32 as PowerShell saves it).

    Raises PartialRead: "truncated" when it ends in the middle, "not_json" when it never was JSON, or more of it than
    any answer holds.
    """
    try:
        check_amount(body)
        return _parsed(body)
    except TooMuch:
        raise PartialRead(f"{where}: holds more values than any answer of this kind", "not_json") from None
    except (ValueError, RecursionError) as error:
        start, end = body[:64].removeprefix(b"\xef\xbb\xbf").strip(), body[-64:].strip()
        if not end:
            raise PartialRead(f"{where}: the body is empty", "not_json") from None
        if start[:1] == b"<":
            raise PartialRead(
                f"{where}: HTML instead of JSON", "not_json", "A proxy or sign-in portal answered instead of Microsoft."
            ) from None
        if start[:1] in (b"{", b"[") and (end[-1:] not in (b"}", b"]") or _ends_early(error)):
            raise PartialRead(f"{where}: the JSON text ends early, after {len(body)} bytes", "truncated") from None
        raise PartialRead(f"{where}: not JSON ({str(error)[:120]})", "not_json") from None


def _parsed(body: bytes) -> Any:
    try:
        return jsonl.loads(body)
    except ValueError:  # or another encoding, which the standard library finds out
        return json.loads(body)


def _ends_early(error: BaseException) -> bool:
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())


@frozen
class Link:
    """The continuation of a page: its URL or token as sent, and the span of its JSON string in the body."""

    url: str
    start: int
    end: int


def next_link(body: bytes, key: bytes = NEXT_LINK) -> Link | None:
    """The page's continuation, found without parsing the page: it stands near the beginning or the end.

    A quoted copy inside another string cannot match, because its quotes would be escaped.
    """
    for begin, stop in ((max(0, len(body) - _LINK_WINDOW), len(body)), (0, min(len(body), _LINK_WINDOW))):
        at = stop
        while (at := body.rfind(key, begin, at)) >= 0:  # much faster than the pattern
            if found := _CONTINUED[key].match(body, at, stop):
                try:
                    return Link(str(json.loads(found[1])), found.start(1), found.end(1))
                except ValueError:
                    return None
    return None


def page_hash(body: bytes, link: Link | None) -> str:
    """SHA-256 of a page without its continuation, whose token may differ although nothing else does."""
    if link is None:
        return sha256(body)
    rest = hashlib.sha256(memoryview(body)[: link.start])
    rest.update(memoryview(body)[link.end :])
    return rest.hexdigest()


def documents(data: Any, where: str) -> list[Any]:
    """The `value` list of a collection response. Raises PartialRead when there is none."""
    value = data.get("value") if isinstance(data, dict) else None
    if not isinstance(value, list):
        raise PartialRead(f"{where}: no `value` list in the response", "not_json")
    return value
