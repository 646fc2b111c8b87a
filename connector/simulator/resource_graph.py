"""What Azure Resource Graph answers about simulated subscriptions: who may ask, quota, pages, and how faults falsify.

No HTTP here (server.py) and no life (estate.py). Kept as the public threads have it: `resultTruncated` is a text and
says "false" on every page, what a principal may not see is left out with status 200, each answer says what is left of
the quota, and a page is asked for by `$skipToken` alone.
"""

import base64
import json
import re
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from attrs import Factory, define, field, frozen

from connector.simulator.answers import GraphError
from connector.simulator.estate import COUNTS, Estate
from connector.simulator.faults import OTHER_TENANT
from connector.simulator.world import World

PATH = "/providers/Microsoft.ResourceGraph/resources"
AUDIENCES = frozenset(
    {
        "https://management.azure.com",
        "https://management.core.windows.net",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    }
)
"""Whom a token must be for: Azure Resource Manager of the global cloud, by addresses or by application id."""
WINDOW_S, QUERIES = 5.0, 15
KEPT = 8
_QUESTIONS = {"subscriptions": "microsoft.resources/subscriptions", "compliance": "regulatorycompliancestandards"}


@frozen
class Query:
    """One request as understood: which table it is about, and which slice of its rows."""

    kind: str
    top: int
    offset: int
    subscriptions: frozenset[str] | None
    groups: tuple[str, ...]

    @property
    def page(self) -> int:
        """The number of the page, from 1."""
        return self.offset // self.top + 1


@define
class Quota:
    """The far end's own account: 15 queries in 5 seconds a principal; refused ones count."""

    _times: dict[str, deque[datetime]] = Factory(dict)

    def take(self, principal: str, now: datetime) -> tuple[int, float]:
        """Book a query: (how many are left, seconds until there are more). Fewer than 0 left means refused."""
        times = self._times.setdefault(principal, deque(maxlen=4 * QUERIES))
        while times and (now - times[0]).total_seconds() >= WINDOW_S:
            times.popleft()
        times.append(now)
        return QUERIES - len(times), WINDOW_S - (now - times[0]).total_seconds()


@define
class Clouds:
    """The Azure side of a world. `count` is how many subscriptions each tenant has; None = by its size."""

    world: World
    count: int | None = None
    quota: Quota = Factory(Quota)
    enforced: bool = False
    _rows: OrderedDict[tuple[str, str, int], list[tuple[str, bytes]]] = field(factory=OrderedDict, repr=False)

    def estate(self, tenant_id: str) -> Estate | None:
        """The subscriptions of a tenant; None for one that there is not."""
        who = self.world.tenant(tenant_id)
        return None if who is None else Estate(self.world.seed, who, self.count or COUNTS[who.size])

    def rows(self, tenant_id: str, kind: str, now: datetime) -> list[tuple[str, bytes]]:
        """(id in lower case, row as JSON) in the order of ids. The latest few tables are kept."""
        minute = self.world.minute(now)
        key = (tenant_id, kind, minute)
        if key not in self._rows:
            estate = self.estate(tenant_id)
            tables = {} if estate is None else {
                "subscriptions": estate.subscription_rows,
                "scores": estate.score_rows,
                "compliance": estate.standard_rows,
            }  # fmt: skip
            found = tables[kind](minute) if tables else iter(())
            self._rows[key] = sorted(((row["id"].lower(), _encoded(row)) for row in found), key=lambda pair: pair[0])
            while len(self._rows) > KEPT:
                self._rows.popitem(last=False)
        return self._rows[key]


def _encoded(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def read_query(body: bytes) -> Query:
    """What a request asks for. Raises GraphError as the far end refuses."""
    try:
        asked = json.loads(body)
        text, options = str(asked["query"]), asked.get("options") or {}
        top = options.get("$top", 100)
        fits = isinstance(top, int) and 1 <= top <= 1000 and options.get("resultFormat") == "objectArray"
        token = options.get("$skipToken")
        offset = 0 if token is None else int(json.loads(base64.b64decode(str(token), validate=True))["offset"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise GraphError(400, "BadRequest", "Please provide below info when asking for support.") from None
    if not fits:
        raise GraphError(400, "BadRequest", "The options of the query are not valid.")
    if "securityresources" not in text and "resourcecontainers" not in text:
        raise GraphError(400, "InvalidQuery", "Query is invalid. Please refer to the documentation.")
    if not re.search(r"\bproject\b[^|]*\bid\b", text):
        raise GraphError(400, "BadRequest", "Paging needs the id among the columns of the query.")
    kind = next((name for name, word in _QUESTIONS.items() if word in text.lower()), "scores")
    wanted = asked.get("subscriptions")
    return Query(
        kind,
        top,
        offset,
        None if wanted is None else frozenset(str(one).lower() for one in wanted),
        tuple(map(str, asked.get("managementGroups") or ())),
    )


def headers_of(left: int, resets_s: float) -> dict[str, str]:
    seconds = max(1, round(resets_s))
    return {
        "x-ms-user-quota-remaining": str(max(0, left)),
        "x-ms-user-quota-resets-after": f"00:00:{seconds:02d}",
    }


def answer(clouds: Clouds, tenant_id: str, query: Query, now: datetime, kind: str = "") -> tuple[bytes, dict[str, str]]:
    """The body of an answer, falsified as a kind of fault says, and its headers beside those of the quota."""
    rows = clouds.rows(tenant_id, query.kind, now)
    if query.subscriptions is not None:
        rows = [pair for pair in rows if pair[0].split("/")[2] in query.subscriptions]
    if query.groups and tenant_id not in query.groups and "root" not in query.groups:
        raise GraphError(403, "AuthorizationFailed", "The client has no authorization over the management group.")
    if kind == "empty":
        rows = []
    elif kind == "lost_rows":
        rows = [pair for number, pair in enumerate(rows) if number % 3]
    total, end = len(rows), query.offset + query.top
    shown = [row for _, row in rows[query.offset : end]]
    if kind == "unannounced":
        shown = shown[: len(shown) * 2 // 3]
    elif kind == "repeated_rows" and query.offset:
        shown = [rows[query.offset - 1][1], *shown[1:]]
    if kind in _ALTERED:
        shown = [row for raw in shown for row in _ALTERED[kind](json.loads(raw))]
        total += len(shown) - len(rows[query.offset : end])
    more = end < len(rows) and kind != "missing_page"
    token = base64.b64encode(_encoded({"offset": end, "of": query.kind, "at": now.isoformat()})).decode()
    if kind == "endless":
        more, token = (
            True,
            base64.b64encode(_encoded({"offset": 0, "at": f"{now} {id(shown)} {query.offset}"})).decode(),
        )
    elif kind == "link_loop":
        more, token = True, base64.b64encode(b'{"offset":0}').decode()
    head = f'{{"totalRecords":{total},"count":{len(shown)},"data":['.encode()
    tail = b'],"facets":[],"resultTruncated":"false"' + (f',"$skipToken":"{token}"'.encode() if more else b"") + b"}"
    limited = {"x-ms-tenant-subscription-limit-hit": "true"} if kind == "limit_hit" else {}
    return head + b",".join(shown) + tail, limited


# -------------------------------------------------------------------------------------------------- falsified rows


def _foreign(row: dict[str, Any]) -> Iterator[bytes]:
    yield _encoded(row | {"tenantId": OTHER_TENANT})


def _beside(row: dict[str, Any]) -> Iterator[bytes]:
    """The row, and the same of a subscription of another directory that is delegated to this principal."""
    yield _encoded(row)
    own = row["subscriptionId"]
    theirs = f"{own[:-12]}ffffffffffff"
    moved = json.loads(json.dumps(row).replace(own, theirs).replace(own.upper(), theirs.upper()))
    yield _encoded(moved | {"tenantId": OTHER_TENANT})


def _odd(row: dict[str, Any]) -> Iterator[bytes]:
    """Numbers as texts, unknown properties, nulls."""
    properties = dict(row.get("properties") or {})
    if "score" in properties:
        properties["score"] = {name: str(value) for name, value in properties["score"].items()}
        properties["unheardOf"] = {"nested": [1, None]}
        properties["displayName"] = None
    yield _encoded(row | {"managedBy": None} | ({"properties": properties} if properties else {}))


def _inconsistent(row: dict[str, Any]) -> Iterator[bytes]:
    """A score from another hour than its controls."""
    if row["type"].endswith("/securescores") if "type" in row else False:
        score = row["properties"]["score"]
        if score:
            row["properties"]["score"] = score | {"current": round(max(0.0, score["current"] - 1.5), 2)}
    yield _encoded(row)


_ALTERED = {"wrong_tenant": _foreign, "lighthouse": _beside, "odd_types": _odd, "inconsistent": _inconsistent}
