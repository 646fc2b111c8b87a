"""What Graph answers to an admitted request: paging, filters, one item, state updates. No HTTP and no clock here.

Page sizes, skip tokens and the quiet failures follow the captures: a nextLink even for `$top=1`, 200 profiles a page,
an empty list for more than 16 or-terms, score filters that are ignored.
"""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from attrs import Factory, evolve, frozen

from connector.simulator.bodies import Bodies, encode
from connector.simulator.catalogue import Entry
from connector.simulator.faults import alter
from connector.simulator.tenants import Update
from connector.simulator.world import HISTORY_DAYS

PROFILES_PAGE = 200
MAX_OR_TERMS = 16


@frozen
class Page:
    """One answer with rows: what is on it, and where the next one is."""

    rows: list[bytes]
    next_link: str | None
    count: int | None = None
    status: int = 200
    headers: Mapping[str, str] = Factory(dict)


class GraphError(Exception):
    """An answer that is an error object."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


# ------------------------------------------------------------------------------------------------------------ reading


@frozen
class Call:
    """One admitted request for a collection (`item` None) or one of its items, at a moment."""

    tenant_id: str
    now: datetime
    version: str
    collection: str
    item: str | None
    origin: str
    path: str
    query: Mapping[str, str]


def _scores(bodies: Bodies, call: Call) -> tuple[list[bytes], int, int]:
    """(rows of the asked slice, offset after it, how many there are). Nothing but `id eq` is filtered, as observed."""
    views = bodies.world.views(call.tenant_id, call.now)
    wanted = _terms(call.query.get("$filter", "")) or []
    ids = {value for name, value in wanted if name == "id"}
    if ids:
        views = [v for v in views if f"{call.tenant_id}_{bodies.world.day_text(v.day)}" in ids]
    offset, end = _slice(call, len(views), HISTORY_DAYS)
    return [bodies.document(call.tenant_id, view) for view in views[offset:end]], end, len(views)


def _profiles(bodies: Bodies, call: Call) -> tuple[list[bytes], int, int]:
    """As `_scores`. More than 16 or-terms give an empty list and no error, as observed."""
    pairs = bodies.profiles(call.tenant_id, call.now)
    if text := call.query.get("$filter"):
        terms = _terms(text)
        if terms is None:
            raise GraphError(400, "BadRequest", "Invalid filter clause.")
        wanted = terms if len(terms) <= MAX_OR_TERMS else []
        pairs = [(e, row) for e, row in pairs if any(_matches(e, name, value) for name, value in wanted)]
    offset, end = _slice(call, len(pairs), PROFILES_PAGE)
    return [row for _, row in pairs[offset:end]], end, len(pairs)


_FILTERABLE = {"id": "id", "service": "service", "controlCategory": "category", "tier": "tier", "title": "title"}


def _matches(entry: Entry, name: str, value: str) -> bool:
    if name not in _FILTERABLE:
        raise GraphError(400, "BadRequest", f"Could not find a property named '{name}'.")
    return bool(getattr(entry, _FILTERABLE[name]) == value)


def _terms(text: str) -> list[tuple[str, str]] | None:
    """The terms of `a eq 'x' or b eq 'y' …`; None when the text is anything else."""
    term = r"\s*(\w+)\s+eq\s+'((?:[^']|'')*)'\s*"
    if not re.fullmatch(f"{term}(?:or{term})*", text):
        return None
    return [(name, value.replace("''", "'")) for name, value in re.findall(term, text)]


def _slice(call: Call, length: int, largest: int) -> tuple[int, int]:
    """First and last+1 row of the asked page, from $skiptoken or $skip and $top."""
    top = _number(call, "$top", largest)
    offset = _number(call, "$skip", 0)
    if token := call.query.get("$skiptoken"):
        offset = _token_offset(call, token)
    if not top:
        raise GraphError(400, "BadRequest", "Invalid value for $top.")
    return offset, min(length, offset + min(top, largest))


def _number(call: Call, name: str, default: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text):
        raise GraphError(400, "BadRequest", f"Invalid value for {name}.")
    return int(text)


def _token(call: Call, offset: int) -> str:
    """An opaque $skiptoken: a GUID that hides the offset and belongs to one tenant and collection."""
    owner = zlib.crc32(f"{call.tenant_id}/{call.collection}".encode())
    return str(UUID(int=owner << 96 | offset, version=4))


def _token_offset(call: Call, token: str) -> int:
    with suppress(ValueError):
        offset = UUID(token).int & 0xFFFFFFFF
        if _token(call, offset) == token:
            return offset
    raise GraphError(400, "BadRequest", "The skip token is not valid.")


def _link(call: Call, offset: int) -> str:
    kept = {name: value for name, value in call.query.items() if name not in {"$skip", "$skiptoken"}}
    pairs = [*kept.items(), ("$skiptoken", _token(call, offset))]
    return f"{call.origin}{call.path}?" + "&".join(f"{quote(k, safe='$')}={quote(v, safe='')}" for k, v in pairs)


def page(bodies: Bodies, call: Call, kind: str = "", number: int = 0, days_ahead: int = 0) -> Page:
    """The asked page, falsified as a kind of fault says; `number` tells the pages of an endless chain apart."""
    if kind == "endless":
        call = evolve(call, query={k: v for k, v in call.query.items() if k != "$skiptoken"})
    rows, end, length = (_scores if call.collection == "secureScores" else _profiles)(bodies, call)
    link = _link(call, end) if end < length else None
    count = length if call.query.get("$count") == "true" else None
    if kind == "endless":
        link = _link(call, number)
    elif kind == "link_loop":
        link = f"{call.origin}{call.path}?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in call.query.items())
    elif kind == "foreign_link":
        link = (link or _link(call, end)).replace(call.origin, "https://graph.example.net")
    elif kind == "relative_link":
        link = (link or _link(call, end)).removeprefix(call.origin)
    elif kind in {"missing_page", "empty"}:
        link = None
    elif kind == "empty_link":
        link = ""
    if "$select" in call.query:
        rows = _selected(rows, call.query["$select"])
    shown = Page(alter(kind, rows, days_ahead), link, count)
    if kind == "partial":
        warning = '199 - "Microsoft/SecureScore/504/10000", 199 - "Microsoft/MDATP/403/12"'
        return evolve(shown, status=206, headers={"Warning": warning})
    return shown


def _selected(rows: list[bytes], names: str) -> list[bytes]:
    wanted = {name.strip() for name in names.split(",")}
    return [encode({k: v for k, v in json.loads(row).items() if k in wanted}) for row in rows]


def item(bodies: Bodies, call: Call, kind: str = "") -> bytes:
    """The one document or profile a call names, falsified as a kind of fault says."""
    found = next((row for name, row in _named(bodies, call) if name == call.item), None)
    rows = [] if found is None else alter(kind, [found])
    if not rows:
        raise GraphError(404, "ResourceNotFound", f"Resource '{call.item}' does not exist.")
    return rows[0]


def _named(bodies: Bodies, call: Call) -> Iterator[tuple[str, bytes]]:
    if call.collection == "secureScoreControlProfiles":
        yield from ((entry.id, row) for entry, row in bodies.profiles(call.tenant_id, call.now))
        return
    for view in bodies.world.views(call.tenant_id, call.now):
        name = f"{call.tenant_id}_{bodies.world.day_text(view.day)}"
        yield name, bodies.document(call.tenant_id, view) if name == call.item else b""


def encode_page(call: Call, shown: Page) -> bytes:
    head: dict[str, Any] = {"@odata.context": f"{call.origin}/{call.version}/$metadata#security/{call.collection}"}
    if shown.count is not None:
        head["@odata.count"] = shown.count
    if shown.next_link is not None:
        head["@odata.nextLink"] = shown.next_link
    return json.dumps(head)[:-1].encode() + b',"value":[' + b",".join(shown.rows) + b"]}"


# ------------------------------------------------------------------------------------------------------------ writing


def patch(bodies: Bodies, call: Call, body: Any, kind: str = "") -> None:
    """Append what a PATCH says to the control's state history; omitted fields stay as they are. Raises GraphError.

    `kind` is that of a fault: a refusal of a good body, or a state that falls back to Default.
    """
    if call.collection != "secureScoreControlProfiles" or call.item is None:
        raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    if not isinstance(body, dict):
        raise GraphError(400, "BadRequest", "Unable to read JSON request payload.")
    vendor = body.get("vendorInformation")
    if not isinstance(vendor, dict) or not vendor.get("provider") or not vendor.get("vendor"):
        raise GraphError(400, "BadRequest", "vendorInformation must name provider and vendor.")
    if call.item.startswith("scid_"):
        raise GraphError(400, "BadRequest", "The state of a device control cannot be changed here.")
    if kind == "write_refused":
        raise GraphError(400, "", "The request is not valid.")
    item(bodies, call)
    if bodies.world.habits.locked and bodies.world.completed(call.tenant_id, call.now, call.item):
        raise GraphError(400, "BadRequest", "The state of a completed control cannot be changed.")
    spoken = str(body.get("state", ""))
    known = {"default": "Default", "ignored": "Ignored", "thirdparty": "ThirdParty", "reviewed": "Reviewed"}
    if spoken and spoken.casefold() not in known:
        raise GraphError(400, "BadRequest", f"The state '{spoken[:40]}' is not known.")
    history = bodies.world.asserted(call.tenant_id, call.now).get(call.item, [])
    before = history[-1] if history else Update(0, "Default", "", "", "")
    who = bodies.world.tenant(call.tenant_id)
    update = Update(
        minute=bodies.world.minute(call.now),
        state="Default" if kind == "write_falls_back" else known[spoken.casefold()] if spoken else before.state,
        by=f"automation@{who.name if who else 'unknown'}.example",
        comment=str(body.get("comment", before.comment) or ""),
        assigned_to=str(body.get("assignedTo", before.assigned_to) or ""),
    )
    bodies.world.set_state(call.tenant_id, call.item, update)
