"""What tools print of an answer of Graph → the documents in it, as Graph itself sends them. Pure.

Graph Explorer, `az rest` and curl save an answer as it came. PowerShell makes something of it: names begin with a
capital letter, what the SDK does not know lies in `AdditionalProperties`, lists of one become their entry, lists become
`{"value": […], "Count": n}`, dates become "/Date(ms)/" (scalars.py), and what lies deeper than `-Depth` becomes text.
That last one cannot be undone: it is refused by its name, and so is everything else that is no JSON. What a document
means stands in days.py and profiles.py.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from connector.errors import PartialRead
from connector.sources.pages import PROFILES, TooMuch, check_amount, load
from connector.sources.scalars import text

MAX_NESTING = 6

DEPTH_HINT = "Save this file again with `ConvertTo-Json -Depth 10`."
UTF8_HINT = "Save this file again as UTF-8: in Windows PowerShell `Out-File -Encoding utf8` instead of Set-Content."
PAGE_HINT = "This file is a web page, of a sign-in or an error perhaps: save the answer itself."
JSON_HINT = "Save the answer as JSON: in PowerShell `| ConvertTo-Json -Depth 10`, with az `--output json`."

_OURS = re.compile(rb"controlscores|controlstateupdates", re.IGNORECASE)
_CUT = re.compile(r"@\{|System\.|Microsoft\.Graph\.")
_LISTS = ("controlScores", "averageComparativeScores", "controlStateUpdates", "complianceInformation")
_WORDS = ("enabledServices", "threats")
_AS_SENT = frozenset({"controlName", "basis", "state", "certificationName", "id"})
"""One name of each object as Graph spells it: then all are, which spares a look at each."""
_WRAP = frozenset({"value", "count"})


@frozen
class Saved:
    """The documents of one file. `listed`: they are a list; `more`: a continuation follows it.

    `cut` says of documents that cannot be restored why, each with the parts of a snapshot that lack it.
    """

    docs: tuple[Any, ...]
    cut: tuple[tuple[PartialRead, tuple[str, ...]], ...]
    listed: bool
    more: bool
    empty_catalogue: bool = False
    """Nothing but the end of a catalogue, which says that nothing follows."""


def is_day(doc: Any) -> bool:
    return isinstance(doc, dict) and ("controlScores" in doc or "currentScore" in doc)


def is_profile(doc: Any) -> bool:
    """Lists of controls without tenant and states, as other tools write them, are none: they would say Default."""
    return (
        isinstance(doc, dict)
        and not is_day(doc)
        and ("controlStateUpdates" in doc or doc.keys() >= {"azureTenantId", "controlCategory", "title"})
    )


def _parts_of(doc: Any) -> tuple[str, ...]:
    """What a document that cannot be read was: a day, a profile, or nobody knows."""
    names = {text(key, 40).casefold() for key in doc} if isinstance(doc, dict) else set()
    if names & {"controlscores", "currentscore"}:
        return ("days",)
    return ("catalogue",) if names & {"controlstateupdates", "controlcategory"} else ("days", "catalogue")


def names_ours(body: bytes) -> bool:
    """Whether anything of Secure Score is written there, in whatever form (UTF-16 included)."""
    return _OURS.search(body.replace(b"\0", b"")) is not None


def saved(body: bytes, where: str) -> Saved:
    """The documents of a file's bytes. Raises PartialRead: what lies there, how that came about, and the remedy."""
    values = _values(body, where)
    docs, more = _unwrapped(values if len(values) > 1 else values[0], 0)
    listed = len(values) > 1 or isinstance(values[0], list) or _value_of(values[0]) is not None
    whole: list[Any] = []
    cut: list[tuple[PartialRead, tuple[str, ...]]] = []
    for doc in docs:
        try:
            whole.append(_normal(doc, where))
        except PartialRead as error:
            cut.append((error, _parts_of(doc)))
    return Saved(tuple(whole), tuple(cut), listed, more, _is_end_of_catalogue(values[0]))


def why_nothing(body: bytes, where: str) -> str:
    """Why readable JSON holds no document of Secure Score, in words."""
    value = _values(body, where)[0]
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        words = ": ".join(filter(None, (text(value["error"].get(key), 200) for key in ("code", "message"))))
        return f"an error that Graph answered ({words})"
    if value == [] or (isinstance(value, dict) and _value_of(value) == []):
        return "an empty list"
    docs, _ = _unwrapped(value, 0)
    if docs and isinstance(docs[0], dict) and "controlcategory" in {str(key).casefold() for key in docs[0]}:
        return "controls without azureTenantId and controlStateUpdates: the list of another tool"
    if names_ours(body):
        keys = ", ".join(text(key, 40) for key in list(value)[:5]) if isinstance(value, dict) else "a list"
        return f"its documents lie inside something else ({keys}); save the answer itself"
    return "no Secure Score data"


# ---------------------------------------------------------------------------------------------------------------- JSON


def _values(body: bytes, where: str) -> list[Any]:
    """The JSON values of a file: one, or several behind one another (JSON lines). Raises PartialRead."""
    try:
        check_amount(body)
    except TooMuch:
        what = f"{where}: holds more values than any answer of Graph"
        raise PartialRead(what, "too_large", "Save this file in smaller pages.") from None
    try:
        return [load(body, where)]
    except PartialRead as error:
        plain = _decoded(body, where)
        if plain[:1] in ("{", "["):
            try:
                return _several(plain)
            except (ValueError, RecursionError):
                raise error from None
        raise _refusal(plain, where, error) from None


def _decoded(body: bytes, where: str) -> str:
    """The text of a file, for a closer look. Raises PartialRead for a Windows code page."""
    try:
        return body.decode(json.detect_encoding(body)).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError as error:
        if 0 in body[:200] or not re.match(rb"\s*[\[{\"A-Za-z]", body):
            raise PartialRead(f"{where}: not JSON, and no text at all", "not_json") from None
        what = f"{where}: not UTF-8 (byte 0x{body[error.start]:02x} at {error.start}), but a Windows code page"
        raise PartialRead(what, "not_understood", UTF8_HINT) from None


def _several(plain: str) -> list[Any]:
    """Values that stand behind one another. Raises ValueError where one is damaged."""
    decoder = json.JSONDecoder()
    found, at = [], 0
    while at < len(plain):
        value, at = decoder.raw_decode(plain, at)
        found.append(value)
        while at < len(plain) and plain[at] in " \t\r\n":
            at += 1
    return found


def _refusal(plain: str, where: str, error: PartialRead) -> PartialRead:
    """What a text that is no JSON looks like."""
    first = plain.split("\n", 1)[0]
    if plain.startswith("#< CLIXML") or "<Objs " in plain[:300]:
        what = "the XML of PowerShell (Export-Clixml)"
    elif plain.startswith("<"):
        return PartialRead(f"{where}: HTML or XML, not JSON", "not_json", PAGE_HINT)
    elif re.match(r"(#TYPE )|\"?[A-Za-z]+\"?[,;]\"?[A-Za-z]", first):
        what = "a table (Export-Csv)"
    elif re.match(r"[A-Za-z.@]+ *:( |$)", first):
        what = "a list as PowerShell or `az --output yaml` prints it"
    elif _CUT.match(plain):
        return PartialRead(f"{where}: cut by ConvertTo-Json: {plain[:60]!r}", "not_understood", DEPTH_HINT)
    elif plain[:1] not in ('"', ""):
        return PartialRead(f"{where}: not JSON", "not_json")
    else:
        return error
    return PartialRead(f"{where}: {what}, not JSON", "not_understood", JSON_HINT)


# ------------------------------------------------------------------------------------------------------------ wrappings


def _value_of(value: Any) -> Any:
    """The `value` of what wraps documents; None for what is a document itself, or neither."""
    if not isinstance(value, dict):
        return None
    return value.get("value", value.get("Value"))


def _unwrapped(value: Any, depth: int) -> tuple[list[Any], bool]:
    """The documents in a page, in a list of pages, or in a page wrapped once more; whether a continuation follows."""
    if depth > MAX_NESTING:
        return [], False
    if isinstance(value, list):
        docs: list[Any] = []
        ends: list[bool] = []
        for item in value:
            if isinstance(item, list) or isinstance(_value_of(item), list | dict):
                inner, more = _unwrapped(item, depth + 1)
                docs += inner
                ends.append(not more)
            else:
                docs.append(item)
        return docs, bool(ends) and not any(ends)
    inside = _value_of(value)
    if isinstance(inside, str) and _CUT.match(inside):
        return [inside], False
    if not isinstance(inside, list | dict):
        return [value], False
    docs, more = _unwrapped(inside, depth + 1)
    link = value.get("@odata.nextLink") or value.get("OdataNextLink") or value.get("odataNextLink")
    return docs, more or bool(link)


def _is_end_of_catalogue(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("value") == []
        and text(value.get("@odata.context")).endswith(f"/{PROFILES}")
    )


# ------------------------------------------------------------------------------------------------------------ documents


def _normal(doc: Any, where: str) -> Any:
    """A document with Graph's own names, and lists where Graph has lists."""
    if isinstance(doc, str) and _CUT.match(doc):
        raise _cut(where, "documents", doc)
    if not isinstance(doc, dict):
        return doc
    found = dict(_named(doc, where))
    for name in _LISTS:
        if found.get(name) is not None:
            found[name] = _rows(found[name], name, where)
    for name in _WORDS:
        if isinstance(found.get(name), str):
            found[name] = [found[name]]
        elif isinstance(found.get(name), dict):
            found[name] = _value_of(found[name])
    return found


def _named(fields: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """An object with names as on the wire, and what the SDK put aside back in its place."""
    aside = fields.get("AdditionalProperties", fields.get("additionalProperties"))
    if aside is None and not _AS_SENT.isdisjoint(fields):
        return fields
    if aside is None and not any(key[:1].isupper() for key in fields):
        return fields
    if isinstance(aside, str):
        raise _cut(where, "AdditionalProperties", aside)
    found = {key[:1].lower() + key[1:]: value for key, value in fields.items()}
    found.pop("additionalProperties", None)
    for key, value in aside.items() if isinstance(aside, dict) else ():
        if found.get(key) is None:
            found[key] = value
    return found


def _rows(value: Any, name: str, where: str) -> Any:
    """A list of objects. Raises PartialRead for what was cut by ConvertTo-Json."""
    if isinstance(value, str):
        raise _cut(where, name, value)
    if isinstance(value, dict):
        inside = _value_of(value)
        wrapped = inside is not None and {key.casefold() for key in value} <= _WRAP
        value = inside if wrapped else [value]
    if isinstance(value, dict):  # a list of one, wrapped
        value = [value]
    if not isinstance(value, list):
        return value
    for entry in value:
        if isinstance(entry, str):
            raise _cut(where, name, entry)
    return [_named(entry, where) if isinstance(entry, dict) else entry for entry in value]


def _cut(where: str, name: str, found: str) -> PartialRead:
    what = f"{where}: its {name} are the text {text(found, 60)!r}: ConvertTo-Json cut what lay deeper than -Depth"
    return PartialRead(what, "not_understood", DEPTH_HINT)
