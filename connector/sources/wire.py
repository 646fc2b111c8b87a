"""Graph JSON → model values: every coercion rule of the Secure Score wire format in one place. Pure.

No I/O, no clock, no configuration here; which pages make a complete part is decided by the sources.

The published metadata is only a hint: properties are open, booleans and counts arrive as strings, numbers with or
without ".0". So every scalar may be a bool, string, number or null; what cannot be used becomes None (never 0) and
leaves a flag on its day. A broken *structure* (no name, no list) is never repaired: it raises PartialRead, because half
a document would look like removed controls. Documents of another directory raise WrongTenant.
Sources: Microsoft Graph v1.0 `secureScore`, `secureScoreControlProfile` and public captures of real responses.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any

from attrs import Factory, frozen

from connector.clock import iso, parse_iso
from connector.errors import PartialRead, WrongTenant
from connector.ids import sha256
from connector.model import Average, Control, Day, Profile, StateUpdate

SCORES = "secureScores"
PROFILES = "secureScoreControlProfiles"
"""Names of the two Graph collections; an evidence file is named `<collection>-<page>.json`."""

MAX_DOCUMENTS = 5_000
MAX_CONTROLS = 5_000
MAX_NAME = 256
MAX_TEXT = 4_096
MAX_WORD = 64  # what is remembered of words from short lists
MAX_NUMBER = 1e9
MAX_PERCENT = 100.01  # Graph computes it from a rounded score
MAX_UPDATES = 10_000
MAX_ITEMS = 256  # services of a day, threats of a profile, averages of a day, fields of an average

_STATES = {"default": "Default", "ignored": "Ignored", "thirdparty": "ThirdParty", "reviewed": "Reviewed"}
_DETAIL = frozenset({"lastSynced", "on", "count", "total"})
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\sA-Z]+|[A-Z]")
_NEXT_LINK = re.compile(rb'"@odata\.nextLink"\s*:\s*("(?:[^"\\]|\\.)*")')
_LINK_KEY = b'"@odata.nextLink"'
_LINK_WINDOW = 16_384


# --------------------------------------------------------------------------------------------------------- bytes


def load(body: bytes, where: str) -> Any:
    """The JSON value of a complete body (UTF-8, or UTF-16/32 as PowerShell saves it).

    Raises PartialRead: "truncated" when it ends in the middle, "not_json" when it never was JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        start, end = body[:64].removeprefix(b"\xef\xbb\xbf").strip(), body[-64:].strip()
        if not end:
            raise PartialRead(f"{where}: the body is empty", "not_json") from None
        if start[:1] == b"<":
            raise PartialRead(
                f"{where}: HTML instead of JSON", "not_json", "A proxy or sign-in portal answered instead of Graph."
            ) from None
        if start[:1] in (b"{", b"[") and (end[-1:] not in (b"}", b"]") or _ends_early(error)):
            raise PartialRead(f"{where}: the JSON text ends early, after {len(body)} bytes", "truncated") from None
        raise PartialRead(f"{where}: not JSON ({str(error)[:120]})", "not_json") from None


_ROWS = b'"controlScores":['
_PLACE = b"Infinity"


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
    if len(rest) < 2 or _PLACE in body or not all(text.startswith(b"{") for text in rest):
        return None
    rows: dict[bytes, Any] = {}
    days: dict[bytes, list[Any]] = {}
    arrays, around = [], [head]
    for text in rest:
        end = text.index(b"]")
        while text[end - 1 : end] != b"}":  # a bracket inside a text
            end = text.index(b"]", end + 1)
        array = text[1 : end - 1]
        if array not in days:
            pieces = array.split(b"},{")
            for piece in pieces:
                if piece not in rows:
                    rows[piece] = json.loads(b"{%b}" % piece)
            days[array] = [rows[piece] for piece in pieces]
        arrays.append(days[array])
        around.append(text[end + 1 :])
    # What stands for an array is a word that Python's parser hands out, in order: no text and no number can be it.
    turn = iter(arrays)
    return json.loads(
        (_ROWS[:-1] + _PLACE).join(around),
        parse_constant=lambda word: next(turn) if word == "Infinity" else float(word),
    )


@frozen
class _New:
    """A row of the catalogue that was not met before, and what it will be known by."""

    document: Any
    key: bytes | None


_LIST, _NEXT_ROW = b'"value":[', b'},{"id":'
_met: dict[bytes, Profile] = {}
"""Profiles by the hash of their row without the tenant's id: most of the catalogue is the same for all tenants, and the
same as at the last read. Only the result of a pure function is kept, so nobody sees the difference."""
MAX_MET = 4_096


def load_profiles(body: bytes, where: str, tenant_id: str) -> Any:
    """As `load`, for a page of the catalogue that is given to `parse_profiles`: rows that were met before, in whichever
    tenant, are not parsed again. For the same reasons as in `load_days` this does not change what a page means.
    """
    try:
        data = _catalogue_by_rows(body, tenant_id)
    except (ValueError, RecursionError):
        data = None
    return load(body, where) if data is None else data


def _catalogue_by_rows(body: bytes, tenant_id: str) -> Any:
    start, end = body.find(_LIST + b"{"), body.rfind(b"}]")
    if start < 0 or end < start or _PLACE in body:
        return None
    start += len(_LIST)
    first, *others = body[start + 1 : end].split(_NEXT_ROW)
    owner = f'"azureTenantId":"{tenant_id}"'.encode()
    rows: list[Any] = []
    for piece in [first, *(_NEXT_ROW[3:] + other for other in others)]:
        at = piece.find(owner)
        key = None
        if at >= 0 and piece.find(owner, at + 1) < 0:  # what differs in the tenant's id alone has the same key
            key = hashlib.sha256(b"%d%b%b" % (at, piece[:at], piece[at + len(owner) :])).digest()
        known = _met.get(key) if key else None
        rows.append(_New(json.loads(b"{%b}" % piece), key) if known is None else known)
    around = body[: start - 1] + _PLACE + body[end + 2 :]
    return json.loads(around, parse_constant=lambda word: rows if word == "Infinity" else float(word))


def _ends_early(error: BaseException) -> bool:
    return isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip())


@frozen
class Link:
    """The `@odata.nextLink` of a page: its URL as sent and the span of its JSON string in the body."""

    url: str
    start: int
    end: int


def next_link(body: bytes) -> Link | None:
    """The page's continuation, found without parsing the page: it stands near the beginning or the end.

    A quoted copy inside another string cannot match, because its quotes would be escaped.
    """
    for begin, stop in ((max(0, len(body) - _LINK_WINDOW), len(body)), (0, min(len(body), _LINK_WINDOW))):
        at = stop
        while (at := body.rfind(_LINK_KEY, begin, at)) >= 0:  # much faster than the pattern
            if found := _NEXT_LINK.match(body, at, stop):
                try:
                    return Link(str(json.loads(found[1])), found.start(1), found.end(1))
                except ValueError:
                    return None
    return None


def page_hash(body: bytes, link: Link | None) -> str:
    """SHA-256 of a page without its nextLink, whose token may differ although nothing else does."""
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


# ------------------------------------------------------------------------------------------------------- scalars


def number(value: Any, flags: set[str]) -> float | None:
    """0..1e9 as a float; None stays None, -1 is Graph's "unknown", anything else unusable is flagged "bad_number"."""
    if value.__class__ is float and 0.0 <= value <= MAX_NUMBER:
        found: float = value
        return found
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "_" not in value else None
        except ValueError:
            value = None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        flags.add("bad_number")
        return None
    if value == -1:
        flags.add("sentinel")
        return None
    if not 0 <= value <= MAX_NUMBER:  # also refuses NaN and infinities
        flags.add("bad_number")
        return None
    return float(value)


def whole(value: Any, flags: set[str]) -> int | None:
    """Like `number`, for counts: "3", 3 and 3.0 are 3; 3.5 is flagged."""
    found = number(value, flags)
    if found is None:
        return None
    if not found.is_integer():
        flags.add("bad_number")
        return None
    return int(found)


def truth(value: Any, flags: set[str]) -> bool | None:
    """true/false as a bool, a string of any casing, or 1/0; anything else is None, flagged "bad_number"."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (str, int, float)):
        word = str(value).strip().casefold()
        if word in ("true", "1", "1.0"):
            return True
        if word in ("false", "0", "0.0"):
            return False
    flags.add("bad_number")
    return None


def text(value: Any, max_chars: int = MAX_TEXT) -> str:
    """Text of a scalar; "" for null and for structures. Over-long text ends in "…"; lone surrogates become "?".

    Python accepts lone surrogates in JSON strings, but no UTF-8 file or socket downstream would.
    """
    if value.__class__ is str and len(value) <= max_chars and value.isascii():
        plain: str = value
        return plain
    if not isinstance(value, str):
        if value is None or not isinstance(value, (bool, int, float)):
            return ""
        value = json.dumps(value)
    cut: str = value if len(value) <= max_chars else value[: max_chars - 1] + "…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")


def moment(value: Any) -> str | None:
    """ISO UTC text in whole seconds, so that texts sort like moments; None when unusable or before the year 2000.

    Graph sends 0 to 7 fractional digits and, like all .NET services, 0001-01-01 for "never".
    """
    if not isinstance(value, str):
        return None
    try:
        return iso(found) if (found := parse_iso(value)).year >= 2000 else None
    except (ValueError, OverflowError):
        return None


def _squeezed(value: Any) -> str:
    word: str | None = _one_of_few(value)
    return " ".join(text(value, MAX_NAME).split()) if word is None else _squeezed_word(word)


def _one_of_few(value: Any) -> str | None:
    """A text so short that it may come from a short list, and be worth remembering; else None."""
    return value if value.__class__ is str and len(value) <= MAX_WORD else None


@lru_cache(maxsize=1024)
def _squeezed_word(word: str) -> str:
    return " ".join(text(word, MAX_NAME).split())


def _level(value: Any) -> str:
    """One spelling: both "low" and "Low", "moderate" and "Moderate" are on the wire."""
    return _squeezed(value).capitalize()


def _threat(value: Any) -> str:
    """One spelling: "Account breach", "Account Breach" and the documented "accountBreach" are "Account Breach"."""
    word = _one_of_few(value)
    return _spelt(text(value, MAX_NAME)) if word is None else _spelt_word(word)


def _spelt(threat: str) -> str:
    words = [word.capitalize() for word in _WORD.findall(threat)]
    return " ".join("of" if index and word == "Of" else word for index, word in enumerate(words))


@lru_cache(maxsize=1024)
def _spelt_word(word: str) -> str:
    return _spelt(text(word, MAX_NAME))


def _names(value: Any) -> list[str]:
    return [text(item, MAX_NAME) for item in value[:MAX_ITEMS]] if isinstance(value, list) else []


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise PartialRead(f"{where} is not a JSON object", "not_json")
    return value


def _name(value: Any, where: str) -> str:
    name = text(value, MAX_NAME + 1) if isinstance(value, str) else ""
    if not name.strip() or len(name) > MAX_NAME:
        raise PartialRead(f"{where} is not a text of 1 to {MAX_NAME} characters", "not_json")
    return name


def _bounded(items: Sequence[Any], maximum: int, where: str) -> None:
    if len(items) > maximum:
        raise PartialRead(f"{where} has {len(items)} entries, more than {maximum}", "too_large")


def _check_tenant(found: str, tenant_id: str, where: str) -> None:
    if found.casefold() != tenant_id.casefold():
        raise WrongTenant(
            f"{where} belongs to tenant {text(found, 64)}, not to the configured {tenant_id}",
            "Correct tenant_id, or use a credential (or the saved files) of that tenant.",
        )


# ---------------------------------------------------------------------------------------------------------- days

_history = itemgetter("controlName", "controlCategory", "score", "scoreInPercentage")
_description = itemgetter("description")


def parse_days(docs: Iterable[Any], tenant_id: str, where: str, today: str) -> list[Day]:
    """The days of `secureScore` documents, in document order. `today` (UTC, ISO) tells what is future-dated.

    Raises PartialRead naming what is wrong and where, and WrongTenant.
    """
    docs = list(docs)
    _bounded(docs, MAX_DOCUMENTS, where)
    seen = _Seen()
    return [_day(doc, tenant_id, f"{where}, document {n}", today, seen) for n, doc in enumerate(docs, 1)]


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
    doc = _object(document, where)
    flags: set[str] = set()
    day = _which_day(doc, tenant_id, where, flags)
    where = f"{where} ({day})"
    if day > today:
        flags.add("future_dated")

    raws = doc.get("controlScores")
    if not isinstance(raws, list):  # null is not "no controls"
        raise PartialRead(f"{where}: controlScores is missing", "not_json")
    _bounded(raws, MAX_CONTROLS, f"{where}: controlScores")
    detailed = False
    controls = seen.by_rows.get(id(raws))
    if controls is None:
        found, detailed = _controls(raws, where, flags, seen)
        controls = {control.name: control for control in found}
        if len(controls) != len(found):
            flags.add("duplicate_control")
            controls = {control.name: control for control in reversed(found)}  # the first one counts
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
        services=tuple(sorted(set(_names(doc.get("enabledServices"))) - {""})),
        active_users=whole(doc.get("activeUserCount"), flags),
        licensed_users=whole(doc.get("licensedUserCount"), flags),
        averages=tuple(_average(raw, flags) for raw in averages[:MAX_ITEMS] if isinstance(raw, dict))
        if isinstance(averages, list)
        else (),
        flags=tuple(sorted(flags)),
        detailed=detailed,
    )


def _which_day(doc: Mapping[str, Any], tenant_id: str, where: str, flags: set[str]) -> str:
    """The date in the id (`<tenant>_yyyy-MM-dd`), else that of createdDateTime; checks the tenant on the way."""
    owner = doc.get("azureTenantId")
    if owner is not None:
        _check_tenant(text(owner), tenant_id, where)
    prefix, _, suffix = text(doc.get("id"), MAX_NAME).rpartition("_")
    if _GUID.fullmatch(prefix):
        _check_tenant(prefix, tenant_id, where)
    created = moment(doc.get("createdDateTime"))
    created_day = created[:10] if created else None
    if _is_date(suffix):
        if created_day not in (None, suffix):
            flags.add("date_mismatch")
        return suffix
    if created_day is None:
        raise PartialRead(f"{where}: neither id nor createdDateTime says which day it is", "not_json")
    return created_day


def _is_date(value: str) -> bool:
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
    where = f"{where}: controlScores[{index}]"
    raw = _object(raw, where)
    return Control(
        _name(raw.get("controlName"), f"{where}.controlName"),
        text(raw.get("controlCategory"), MAX_NAME),
        number(raw.get("score"), flags),
        _percent(raw.get("scoreInPercentage"), flags),
    )


def _detailed_control(raw: Any, where: str, index: int, flags: set[str]) -> Control:
    bare = _control(raw, where, index, flags)
    return Control(
        bare.name,
        bare.category,
        bare.score,
        bare.percent,
        truth(raw.get("on"), flags),
        whole(raw.get("count"), flags),
        whole(raw.get("total"), flags),
        text(raw.get("implementationStatus")) or None,
    )


def _percent(value: Any, flags: set[str]) -> float | None:
    found = number(value, flags)
    if found is not None and found > MAX_PERCENT:
        flags.add("bad_number")
        return None
    return found


def _average(raw: Mapping[str, Any], flags: set[str]) -> Average:
    """One comparative average. Field names differ in case between years: their first letter is made small."""
    detail: dict[str, float | str | None] = {}
    percent = None
    for key, value in islice(raw.items(), MAX_ITEMS):
        name = _field_name(key) if len(key) <= MAX_NAME else ""
        if name == "averageScore":
            percent = _percent(value, flags)
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


# ----------------------------------------------------------------------------------------------------- catalogue


@frozen
class Catalogue:
    """Profiles by id, in document order; `notes` say what was odd about them."""

    profiles: Mapping[str, Profile]
    notes: tuple[str, ...] = ()


def parse_profiles(docs: Iterable[Any], tenant_id: str, where: str) -> Catalogue:
    """The catalogue of `secureScoreControlProfile` documents. An id that comes twice keeps its first entry, noted.

    They may come from `load_profiles`, partly as profiles already.

    Raises PartialRead naming what is wrong and where, and WrongTenant.
    """
    docs = list(docs)
    _bounded(docs, MAX_DOCUMENTS, where)
    profiles: dict[str, Profile] = {}
    notes: set[str] = set()
    for n, doc in enumerate(docs, 1):
        profile = doc if isinstance(doc, Profile) else _new_profile(doc, tenant_id, f"{where}, profile {n}", notes)
        if profile.id in profiles:
            notes.add("duplicate_profile")
        profiles.setdefault(profile.id, profile)
    return Catalogue(profiles, tuple(sorted(f"{where}: {note}" for note in notes)))


def _new_profile(document: Any, tenant_id: str, where: str, notes: set[str]) -> Profile:
    """A profile, remembered where nothing about its row was odd."""
    new = document if isinstance(document, _New) else _New(document, None)
    flags: set[str] = set()
    profile = _profile(new.document, tenant_id, where, flags)
    if new.key and not flags:
        if len(_met) >= MAX_MET:
            _met.clear()
        _met[new.key] = profile
    notes |= flags
    return profile


def _profile(document: Any, tenant_id: str, where: str, flags: set[str]) -> Profile:
    doc = _object(document, where)
    owner = doc.get("azureTenantId")
    if owner is not None:
        _check_tenant(text(owner), tenant_id, where)
    name = _name(doc.get("id"), f"{where}: id")
    updates = doc.get("controlStateUpdates")
    if updates is not None and not isinstance(updates, list):
        raise PartialRead(f"{where} ({name}): controlStateUpdates is not a list", "not_json")
    updates = updates or []
    _bounded(updates, MAX_UPDATES, f"{where} ({name}): controlStateUpdates")
    threats = (_threat(item) for item in _names(doc.get("threats")))
    return Profile(
        id=name,
        title=text(doc.get("title")),
        category=_squeezed(doc.get("controlCategory")),
        service=_squeezed(doc.get("service")),
        tier=_squeezed(doc.get("tier")),
        max_score=number(doc.get("maxScore"), flags),
        rank=whole(doc.get("rank"), flags),
        action_type=_squeezed(doc.get("actionType")),
        action_url=text(doc.get("actionUrl")),
        user_impact=_level(doc.get("userImpact")),
        implementation_cost=_level(doc.get("implementationCost")),
        threats=tuple(sorted(set(threats) - {""})),
        deprecated=truth(doc.get("deprecated"), flags),
        remediation_sha256=_text_hash(doc.get("remediation")),
        remediation_impact_sha256=_text_hash(doc.get("remediationImpact")),
        updates=tuple(_update(_object(raw, f"{where} ({name}): controlStateUpdates entry")) for raw in updates),
    )


def _text_hash(value: Any) -> str:
    return sha256(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) and value else ""


def _update(raw: Mapping[str, Any]) -> StateUpdate:
    state = _squeezed(raw.get("state"))
    return StateUpdate(
        state=_STATES.get(state.casefold(), state),
        at=moment(raw.get("updatedDateTime")),
        by=text(raw.get("updatedBy")) or None,
        comment=text(raw.get("comment")) or None,
        assigned_to=text(raw.get("assignedTo")) or None,
    )
