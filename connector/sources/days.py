"""`secureScore` documents → days. Pure: no I/O, no clock; how a single value is read stands in scalars.py."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any

from attrs import Factory, frozen

from connector.errors import PartialRead, kept
from connector.formats import jsonl
from connector.model import Average, Control, Day
from connector.sources.pages import MAX_CONTAINERS, MAX_DOCUMENTS, PLACE, check_amount, load
from connector.sources.scalars import (
    MAX_ITEMS,
    MAX_NAME,
    MAX_NUMBER,
    MAX_PERCENT,
    check_bounded,
    check_tenant,
    is_plain_name,
    moment,
    name_of,
    names,
    number,
    object_of,
    percentage,
    some,
    text,
    truth,
    when,
    whole,
)

MAX_CONTROLS = 5_000
FEW_DAYS = 5
"""So many days hold too little that repeats: they are parsed faster as they stand."""

_DATE_BEGINS = frozenset("0123456789/")
_DETAIL = frozenset({"lastSynced", "on", "count", "total"})
MORE = ("description", "lastSynced", "controlState", "State", "IsEnforced", "IsApplicable")
"""What else Graph says of a control of the newest day, and only told on."""
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_ROWS = b'"controlScores":['


def load_days(body: bytes, where: str) -> Any:
    """As `load`, for a page of days. Controls that have the same bytes in many days are parsed once and shared.

    History repeats itself, so this spares most of the parsing. Nothing rests on what the bytes look like: if a text is
    JSON with its arrays taken out, and so is every piece of these, then the whole is JSON and means just that. Where
    the pieces are not objects the page is parsed as a whole.
    """
    try:
        data = _by_rows(body)
    except (ValueError, RecursionError):
        data = None
    return load(body, where) if data is None else data


def _by_rows(body: bytes) -> Any:
    """The value of a page, its rows parsed once each; None where nothing can repeat. Raises ValueError."""
    head, *rest = body.split(_ROWS)
    if not 2 <= len(rest) <= MAX_DOCUMENTS or PLACE in body or not all(array.startswith(b"{") for array in rest):
        return None
    rows: dict[bytes, Any] = {}
    days: dict[bytes, list[Any]] = {}
    arrays, around = [], [head]
    for chunk in rest:
        end = chunk.index(b"]")
        while chunk[end - 1 : end] != b"}":  # a bracket inside a text
            end = chunk.index(b"]", end + 1)
        array = chunk[1 : end - 1]
        if array not in days:
            pieces = array.split(b"},{")
            if len(rows) + len(pieces) > MAX_CONTAINERS:
                return None
            new = list(dict.fromkeys(piece for piece in pieces if piece not in rows))
            rows.update(zip(new, _objects(new), strict=True))
            days[array] = [rows[piece] for piece in pieces]
        arrays.append(days[array])
        around.append(chunk[end + 1 :])
    # What stands for an array is a word that Python's parser hands out, in order: no text and no number can be it.
    turn = iter(arrays)
    text = (_ROWS[:-1] + PLACE).join(around)
    check_amount(text)
    return json.loads(
        text,
        parse_constant=lambda word: next(turn) if word == "Infinity" else float(word),
    )


def _objects(pieces: list[bytes]) -> list[Any]:
    """The objects whose insides these are. Raises ValueError where one is no object.

    All at once, if no brace stands within any: then as many objects as pieces means that each brace begins or ends one,
    and none of them is in a text.
    """
    whole = b"[{%b}]" % b"},{".join(pieces)
    check_amount(whole)
    if pieces and whole.count(b"{") == whole.count(b"}") == len(pieces):
        found: list[Any] = jsonl.loads(whole)
        if len(found) == len(pieces):
            return found
    return [jsonl.loads(b"{%b}" % piece) for piece in pieces]


# ----------------------------------------------------------------------------------------------------- documents

_history = itemgetter("controlName", "controlCategory", "score", "scoreInPercentage")
_description = itemgetter("description")


def parse_days(docs: Iterable[Any], tenant_id: str, where: str, today: str) -> list[Day]:
    """The days of `secureScore` documents, in document order. `today` (UTC, ISO) tells what is future-dated.

    Raises PartialRead naming what is wrong and where, and WrongTenant.
    """
    docs = list(docs)
    check_bounded(docs, MAX_DOCUMENTS, where)
    seen = _Seen()
    return [_day(doc, tenant_id, f"{where}, document {n}", today, seen) for n, doc in enumerate(docs, 1)]


def parse_each_day(
    docs: Iterable[Any], tenant_id: str, where: str, today: str, faults: list[PartialRead]
) -> list[tuple[Any, Day]]:
    """Like `parse_days`, each with its document; one that cannot be read is added to `faults`, and the others stay.

    Raises PartialRead when there are too many, and WrongTenant.
    """
    docs = list(docs)
    check_bounded(docs, MAX_DOCUMENTS, where)
    seen = _Seen()
    found = []
    for n, doc in enumerate(docs, 1):
        try:
            found.append((doc, _day(doc, tenant_id, f"{where}, document {n}", today, seen)))
        except PartialRead as error:
            faults.append(kept(error))
    return found


ODD = {
    "bad_date": "a date cannot be read and counts as unknown",
    "bad_number": "a number cannot be read and counts as unknown",
    "date_mismatch": "id and createdDateTime name different days; the id counts",
    "duplicate_control": "a control comes twice; its first entry counts",
    "future_dated": "the day lies in the future",
    "inconsistent": "the scores of the controls do not add up to the total, which counts as Microsoft gave it",
}
"""What a flag means, in words. "sentinel" is not among them: -1 is Microsoft's own word for unknown."""


def oddities(days: Iterable[Day]) -> list[str]:
    """What the flags of these days say, one sentence a flag."""
    by_flag: dict[str, list[str]] = {}
    for day in days:
        for flag in day.flags:
            by_flag.setdefault(flag, []).append(day.day)
    return [f"{words}: {some(by_flag[flag])}" for flag, words in ODD.items() if flag in by_flag]


def said_at(document: Any, today: str) -> str:
    """The latest moment that a document carries, of whichever property; "" when none. The future says nothing."""
    rows = [document, *(document.get("controlScores") or ())] if isinstance(document, dict) else []
    found = (
        moment(value)
        for row in rows
        if isinstance(row, dict)
        for value in row.values()
        if value.__class__ is dict or (value.__class__ is str and value[:1] in _DATE_BEGINS)  # most texts are prose
    )
    return max((at for at in found if at and at[:10] <= today), default="")


@frozen
class _Seen:
    """Controls of history met in one read: as last met by name, and by the row, or the rows, they came from.

    `load_days` gives equal rows as one object. What is equal in many days thereby becomes one value, too, by which
    everybody behind tells that nothing moved. (Objects are told apart by id: the documents outlive this.)
    """

    by_name: dict[str, Control] = Factory(dict)
    by_row: dict[int, Control] = Factory(dict)
    by_rows: dict[int, dict[str, Control]] = Factory(dict)


def _day(document: Any, tenant_id: str, where: str, today: str, seen: _Seen) -> Day:
    doc = object_of(document, where)
    flags: set[str] = set()
    day = _which_day(doc, tenant_id, where, flags)
    where = f"{where} ({day})"
    if day > today:
        flags.add("future_dated")

    raws = doc.get("controlScores")
    if not isinstance(raws, list):  # null is not "no controls"
        raise PartialRead(f"{where}: controlScores is missing", "not_json")
    check_bounded(raws, MAX_CONTROLS, f"{where}: controlScores")
    detailed = False
    more: dict[str, Mapping[str, str | float | bool]] = {}
    controls = seen.by_rows.get(id(raws))
    if controls is None:
        found, detailed = _controls(raws, where, flags, seen)
        controls = {control.name: control for control in found}
        if len(controls) != len(found):
            flags.add("duplicate_control")
            controls = {control.name: control for control in reversed(found)}  # the first one counts
        if detailed:
            more = {control.name: _more(raw) for control, raw in zip(found[::-1], raws[::-1], strict=True)}
        if not detailed and not flags:
            seen.by_rows[id(raws)] = controls

    score = number(doc.get("currentScore"), flags)
    scores = [control.score for control in controls.values()]
    if score is not None and None not in scores:
        total = sum(scores)  # type: ignore[arg-type]  # None was excluded just above
        if abs(total - score) > max(0.01 * len(scores), 0.01):
            flags.add("inconsistent")

    averages = doc.get("averageComparativeScores")
    return Day(
        id=text(doc.get("id"), MAX_NAME) or f"{tenant_id}_{day}",
        day=day,
        score=score,
        max_score=number(doc.get("maxScore"), flags),
        controls=controls,
        services=tuple(sorted(set(names(doc.get("enabledServices"))) - {""})),
        active_users=whole(doc.get("activeUserCount"), flags),
        licensed_users=whole(doc.get("licensedUserCount"), flags),
        averages=tuple(_average(raw, flags) for raw in averages[:MAX_ITEMS] if isinstance(raw, dict))
        if isinstance(averages, list)
        else (),
        flags=tuple(sorted(flags)),
        detailed=detailed,
        more=more,
    )


def _which_day(doc: Mapping[str, Any], tenant_id: str, where: str, flags: set[str]) -> str:
    """The date in the id (`<tenant>_yyyy-MM-dd`), else that of createdDateTime; checks the tenant on the way."""
    owner = doc.get("azureTenantId")
    if owner is not None:
        check_tenant(text(owner), tenant_id, where)
    prefix, _, suffix = text(doc.get("id"), MAX_NAME).rpartition("_")
    if _GUID.fullmatch(prefix):
        check_tenant(prefix, tenant_id, where)
    created = when(doc.get("createdDateTime"), flags)
    created_day = created[:10] if created else None
    if is_date(suffix):
        if created_day not in (None, suffix):
            flags.add("date_mismatch")
        return suffix
    if created_day is None:
        raise PartialRead(f"{where}: neither id nor createdDateTime says which day it is", "not_json")
    return created_day


def is_date(value: str) -> bool:
    """Whether it is a day as answers and folders name it: YYYY-MM-DD, not before 2000."""
    if not _DATE.fullmatch(value):
        return False
    try:
        return date.fromisoformat(value).year >= 2000
    except ValueError:
        return False


def _is_detailed(raws: list[Any]) -> bool:
    """Only the newest document's controls carry these; Graph strips them (or sends null) afterwards."""
    try:
        if all(map(_DETAIL.isdisjoint, raws)) and not any(map(_description, raws)):
            return False
    except (KeyError, TypeError):
        pass  # something is missing or misshapen: look closer
    return any(
        bool(raw.get("description")) or any(raw.get(key) is not None for key in _DETAIL)
        for raw in raws
        if isinstance(raw, dict)
    )


def _controls(raws: list[Any], where: str, flags: set[str], seen: _Seen) -> tuple[list[Control], bool]:
    """The controls of a day, and whether it is detailed. Rows of history that were met before are known already."""
    by_row = seen.by_row
    found = [by_row.get(id(raw)) for raw in raws]
    new = [index for index, control in enumerate(found) if control is None]
    if new and _is_detailed([raws[index] for index in new]):
        return [_detailed_control(raw, where, index, flags) for index, raw in enumerate(raws)], True
    for index in new:
        doubts: set[str] = set()
        raw = raws[index]
        control = found[index] = _stripped_control(raw, where, index, doubts, seen.by_name)
        if not doubts:
            by_row[id(raw)] = control
        flags |= doubts
    return found, False  # type: ignore[return-value]  # no None is left


def _stripped_control(raw: Any, where: str, index: int, flags: set[str], by_name: dict[str, Control]) -> Control:
    """A control of a day in history: name, category, score and percentage. The blanked status text is not evidence."""
    try:
        name, category, score, percent = _history(raw)
        known = by_name.get(name)
    except (KeyError, TypeError):  # a field is missing, or is no scalar
        known = None
    if known is not None and score.__class__ is float and percent.__class__ is float and category == known.category:
        if score == known.score and percent == known.percent:
            return known
        if 0.0 <= score <= MAX_NUMBER and 0.0 <= percent <= MAX_PERCENT:
            control = by_name[name] = Control(known.name, known.category, score, percent)
            return control
    control = _control(raw, where, index, flags)
    by_name[control.name] = control
    return control


def _control(raw: Any, where: str, index: int, flags: set[str]) -> Control:
    return Control(*_figures(raw, where, index, flags))


def _figures(raw: Any, where: str, index: int, flags: set[str]) -> tuple[str, str, float | None, float | None]:
    """Name, category, score and percentage: what history keeps."""
    name: Any = raw.get("controlName") if raw.__class__ is dict else None
    if not is_plain_name(name):  # where it stands is put into words for an error only
        where = f"{where}: controlScores[{index}]"
        raw = object_of(raw, where)
        name = name_of(raw.get("controlName"), f"{where}.controlName")
    return (
        name,
        text(raw.get("controlCategory"), MAX_NAME),
        number(raw.get("score"), flags),
        percentage(raw.get("scoreInPercentage"), flags),
    )


def _detailed_control(raw: Any, where: str, index: int, flags: set[str]) -> Control:
    figures = _figures(raw, where, index, flags)
    return Control(
        *figures,
        truth(raw.get("on"), flags),
        whole(raw.get("count"), flags),
        whole(raw.get("total"), flags),
        text(raw.get("implementationStatus")) or None,
    )


def _more(raw: Mapping[str, Any]) -> dict[str, str | float | bool]:
    return {key: _scalar(value) for key in MORE if (value := raw.get(key)).__class__ in _SCALARS}


_SCALARS = frozenset({str, bool, int, float})


def _scalar(value: Any) -> str | float | bool:
    return text(value) if value.__class__ is str else value


def _average(raw: Mapping[str, Any], flags: set[str]) -> Average:
    """One comparative average. Field names differ in case between years: their first letter is made small."""
    detail: dict[str, float | str | None] = {}
    percent = None
    for key, value in islice(raw.items(), MAX_ITEMS):
        name = _field_name(key) if len(key) <= MAX_NAME else ""
        if name == "averageScore":
            percent = percentage(value, flags)
        elif name:
            plain = value.__class__ is float and 0.0 <= value <= MAX_NUMBER
            detail[name] = value if plain else _figure(value, flags)
    return Average(text(raw.get("basis"), MAX_NAME), percent, detail)


@lru_cache(maxsize=256)
def _field_name(key: str) -> str:
    """The name of a comparative figure; "" for what is none."""
    name = key if key[:1].islower() else key[:1].lower() + key[1:]
    return "" if name == "basis" or name[:1] == "@" else name


def _figure(value: Any, flags: set[str]) -> float | str | None:
    """A number if it is one in any spelling, else its text: `categoryValue` may be the name of an industry."""
    doubts: set[str] = set()
    found = number(value, doubts)
    if found is None and "bad_number" in doubts:
        return text(value, MAX_NAME) or None
    flags |= doubts
    return found
