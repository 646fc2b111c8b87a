"""`secureScoreControlProfile` documents → the catalogue. Pure: no I/O, no clock; how a single value is read stands in
scalars.py.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from connector.errors import PartialRead, kept
from connector.foreign.links import web_address
from connector.formats import jsonl
from connector.formats.lately import Lately
from connector.model import UNKNOWN, Profile, StateUpdate
from connector.sources.pages import MAX_DOCUMENTS, PLACE, check_amount, load
from connector.sources.scalars import (
    MAX_NAME,
    check_bounded,
    check_tenant,
    fraction,
    level,
    name_of,
    names,
    number,
    object_of,
    some,
    squeezed,
    text,
    text_hash,
    threat,
    truth,
    when,
    whole,
)

MAX_UPDATES = 10_000

_STATES = {"default": "Default", "ignored": "Ignored", "thirdparty": "ThirdParty", "reviewed": "Reviewed"}


@frozen
class _New:
    """A row of the catalogue that was not met before, and what it will be known by."""

    document: Any
    key: bytes | None


_LIST, _NEXT_ROW = b'"value":[', b'},{"id":'
MAX_MET = 2_048
"""Several times the rows of a catalogue: thousands of tenants bring some of their own each, which stay for a while."""
_met: Lately[bytes, Profile] = Lately(MAX_MET)
"""Profiles by the hash of their row without the tenant's id: most of the catalogue is the same for all tenants, and the
same as at the last read."""


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
    if start < 0 or end < start or PLACE in body:
        return None
    check_amount(body)
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
        rows.append(_New(jsonl.loads(b"{%b}" % piece), key) if known is None else known)
    around = body[: start - 1] + PLACE + body[end + 2 :]
    return json.loads(around, parse_constant=lambda word: rows if word == "Infinity" else float(word))


# ----------------------------------------------------------------------------------------------------- documents


@frozen
class Catalogue:
    """Profiles by id, in document order; `notes` say what was odd about them."""

    profiles: Mapping[str, Profile]
    notes: tuple[str, ...] = ()


ODD = {
    "bad_date": "a date cannot be read and counts as unknown",
    "bad_number": "a number cannot be read and counts as unknown",
    "bad_state": "a state is none and counts as unknown",
    "duplicate_profile": "the entry comes twice; the first one counts",
    "sentinel": "a number is -1, which counts as unknown",
}
"""What was odd about a profile, in words."""


def parse_profiles(
    docs: Iterable[Any], tenant_id: str, where: str, faults: list[PartialRead] | None = None
) -> Catalogue:
    """The catalogue of `secureScoreControlProfile` documents. An id that comes twice keeps its first entry, noted.

    They may come from `load_profiles`, partly as profiles already.

    Raises PartialRead naming what is wrong and where, and WrongTenant. With `faults`, an entry that cannot be read is
    added there instead, and the others stay.
    """
    docs = list(docs)
    check_bounded(docs, MAX_DOCUMENTS, where)
    profiles: dict[str, Profile] = {}
    odd: dict[str, list[str]] = {}
    for n, doc in enumerate(docs, 1):
        flags: set[str] = set()
        try:
            profile = doc if isinstance(doc, Profile) else _new_profile(doc, tenant_id, f"{where}, profile {n}", flags)
        except PartialRead as error:
            if faults is None:
                raise
            faults.append(kept(error))
            continue
        if profile.id in profiles:
            flags.add("duplicate_profile")
        for flag in flags:
            odd.setdefault(flag, []).append(text(profile.id, MAX_NAME))
        profiles.setdefault(profile.id, profile)
    return Catalogue(profiles, tuple(f"{where}: {ODD[flag]} ({some(odd[flag])})" for flag in sorted(odd)))


def _new_profile(document: Any, tenant_id: str, where: str, flags: set[str]) -> Profile:
    """A profile, remembered where nothing about its row was odd."""
    new = document if isinstance(document, _New) else _New(document, None)
    profile = _profile(new.document, tenant_id, where, flags)
    if new.key and not flags:
        _met.keep(new.key, profile)
    return profile


def _profile(document: Any, tenant_id: str, where: str, flags: set[str]) -> Profile:
    doc = object_of(document, where)
    owner = doc.get("azureTenantId")
    if owner is not None:
        check_tenant(text(owner), tenant_id, where)
    name = name_of(doc.get("id"), f"{where}: id")
    updates = doc.get("controlStateUpdates")
    if updates is not None and not isinstance(updates, list):
        raise PartialRead(f"{where} ({name}): controlStateUpdates is not a list", "not_json")
    updates = updates or []
    check_bounded(updates, MAX_UPDATES, f"{where} ({name}): controlStateUpdates")
    threats = (threat(item) for item in names(doc.get("threats")))
    return Profile(
        id=name,
        title=text(doc.get("title")),
        category=squeezed(doc.get("controlCategory")),
        service=squeezed(doc.get("service")),
        tier=squeezed(doc.get("tier")),
        max_score=number(doc.get("maxScore"), flags),
        rank=whole(doc.get("rank"), flags),
        action_type=squeezed(doc.get("actionType")),
        action_url=web_address(text(doc.get("actionUrl"))),
        user_impact=level(doc.get("userImpact")),
        implementation_cost=level(doc.get("implementationCost")),
        threats=tuple(sorted(set(threats) - {""})),
        deprecated=truth(doc.get("deprecated"), flags),
        remediation_sha256=text_hash(doc.get("remediation")),
        remediation_impact_sha256=text_hash(doc.get("remediationImpact")),
        updates=_updates([object_of(raw, f"{where} ({name}): controlStateUpdates entry") for raw in updates], flags),
    )


def _updates(entries: Iterable[Mapping[str, Any]], flags: set[str]) -> tuple[StateUpdate, ...]:
    """In the order of their moments to the last digit (ours have whole seconds); else the order of the document."""
    found = [(_update(raw, flags), fraction(raw.get("updatedDateTime"))) for raw in entries]
    return tuple(update for update, _ in sorted(found, key=lambda pair: (pair[0].at or "", pair[1])))


def _update(raw: Mapping[str, Any], flags: set[str]) -> StateUpdate:
    state = squeezed(raw.get("state"))
    doubts: set[str] = set()
    at = when(raw.get("updatedDateTime"), doubts)
    if not state:
        doubts.add("bad_state")
    flags |= doubts
    return StateUpdate(
        state=_STATES.get(state.casefold(), state) if state else UNKNOWN,
        at=at,
        by=text(raw.get("updatedBy")) or None,
        comment=text(raw.get("comment")) or None,
        assigned_to=text(raw.get("assignedTo")) or None,
        at_unusable="bad_date" in doubts,
    )
