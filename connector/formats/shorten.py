"""Shorten an encoded CEF or LEEF text to a frame's size without breaking it.

Pure. Only long values are cut, the longest first and all to one common level, at a UTF-8 character boundary and never
inside a CEF escape pair; each cut value ends in MARK. Header, ids, times, labels and the URL are never touched.
"""

import re

from connector.formats.lines import octets

MARK = "...[cut]"

_KEEP_OCTETS = 64  # no value is cut below this: ids, times, scores and names are shorter and so survive whole
_UNTOUCHED = frozenset(
    {"externalId", "deviceExternalId", "rt", "start", "end", "request", "url", "devTime", "devTimeFormat"}
)

# Seven header fields; a backslash protects the character behind it (OpenText CEF v27, header rules).
_CEF_HEADER = re.compile(r"CEF:\d+\|(?:(?:[^\\|]|\\.)*\|){6}", re.DOTALL)
# An unescaped "=" exists only behind a key, since values write it as "\=".
_CEF_KEY = re.compile(r"(?:^| )([A-Za-z0-9_.]+)=")
_LEEF1_HEADER = re.compile(r"LEEF:1\.0\|(?:[^|]*\|){4}")
_LEEF2_HEADER = re.compile(r"LEEF:2\.0\|(?:[^|]*\|){4}(?:(?P<char>[^|=\w])?\||(?:0?x(?P<hex>[0-9A-Fa-f]{1,4}))\|)?")


def shorten(text: str, max_octets: int) -> str | None:
    """The text within `max_octets` of UTF-8: itself when it fits, cut where it may be, None when that is not enough.

    A text that is neither CEF nor LEEF cannot be cut safely and gives None when it is too long.
    """
    size = len(text) if text.isascii() else len(octets(text))
    if size <= max_octets:
        return text
    header, fields, delimiter = _parse(text)
    sizes = {n: len(octets(value)) for n, (key, value) in enumerate(fields) if _may_cut(key)}
    long = {n: count for n, count in sizes.items() if count > _KEEP_OCTETS}
    budget = max_octets - (size - sum(long.values()))
    if budget < len(long) * _KEEP_OCTETS or not long:
        return None
    level = _level(sorted(long.values()), budget)
    escaped = header.startswith("CEF:")
    shown = [
        f"{key}={_cut(value, level, escaped=escaped) if long.get(n, 0) > level else value}" if key else value
        for n, (key, value) in enumerate(fields)
    ]
    return header + delimiter.join(shown)


def _parse(text: str) -> tuple[str, list[tuple[str, str]], str]:
    """(header, [(key, value)], delimiter); a part without "=" has key "", a text of another format has no fields."""
    if header := _CEF_HEADER.match(text):
        extension = text[header.end() :]
        keys = list(_CEF_KEY.finditer(extension))
        if not keys or extension[0] == " " or keys[0].start() > 0:
            return text, [], " "
        ends = [key.start() for key in keys[1:]] + [len(extension)]
        return header[0], [(key[1], extension[key.end() : end]) for key, end in zip(keys, ends, strict=True)], " "
    if header := _LEEF1_HEADER.match(text) or _LEEF2_HEADER.match(text):
        named = header.groupdict()
        delimiter = named.get("char") or (chr(int(named["hex"], 16)) if named.get("hex") else "\t")
        parts = [part.partition("=") for part in text[header.end() :].split(delimiter)]
        return header[0], [(key, value) if sign else ("", key) for key, sign, value in parts], delimiter
    return text, [], " "


def _may_cut(key: str) -> bool:
    return bool(key) and key not in _UNTOUCHED and not key.endswith("Label")


def _level(sizes: list[int], budget: int) -> int:
    """The largest common level with sum(min(size, level)) <= budget; `sizes` ascend and exceed the budget together."""
    for n, size in enumerate(sizes):
        level = budget // (len(sizes) - n)
        if level <= size:
            return level
        budget -= size
    return sizes[-1]


def _cut(value: str, level: int, *, escaped: bool) -> str:
    kept = octets(value)[: level - len(MARK)].decode("utf-8", "ignore")
    if escaped and (len(kept) - len(kept.rstrip("\\"))) % 2:
        kept = kept[:-1]
    return kept.rstrip(" ") + MARK
