"""What can go wrong at the simulated Graph: faults by schedule, random weather, and how each falsifies rows.

No HTTP here: the server asks which fault applies to a request and carries it out.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from attrs import field, frozen
from attrs.validators import in_

from connector.simulator.chance import rng, share

OF_AZURE: Mapping[str, str] = {
    "query_error": "500, `unexpected query execution error`, as for a query that is fine by hand",
    "capital_error": "404 with `Error` in capitals, as for a disabled subscription",
    "unannounced": "fewer rows on a page than it says that there are",
    "repeated_rows": "pages that overlap, so that one row comes twice and another never",
    "limit_hit": "a header that says that not all subscriptions are answered for",
    "lighthouse": "rows of another directory beside the tenant's own",
}
"""What happens to Resource Graph alone. A fault's `path` finds its pages by "#subscriptions/1", "#scores/2", …"""

KINDS: Mapping[str, str] = {
    # Instead of the answer.
    "throttled": "429, with Retry-After where `retry_after_s` is set",
    "unavailable": "503, with Retry-After where `retry_after_s` is set",
    "error": "500",
    "unauthorized": "401, as for an expired token",
    "challenge": "401 with a claims challenge, for the tenant's first token that meets it; a fresh one is answered",
    "denied": "403, as for a missing permission, role or licence",
    "bad_request": "400, `Query option 'SkipToken' is not allowed`",
    "not_found": "404",
    "bad_gateway": "502 with a page of HTML",
    "html": "200 with a page of a captive portal",
    "huge": "200 with an endless string of `size_bytes`",
    "gzip_bomb": "200 with `size_bytes` of blanks, compressed",
    "truncated": "200, cut off in the middle of the body",
    "reset": "the connection is reset before an answer",
    # The answer, later or for another moment.
    "slow": "the right answer after `seconds` of real time",
    "frozen": "the right answer as of the moment the fault began (`since`, else its first request)",
    # To a PATCH; anything else is answered as usual.
    "write_ignored": "204, but nothing changes",
    "write_unclear": "the change is made, and then the answer is 503",
    "write_refused": "400 to a body that is as documented",
    "write_falls_back": "204, but the state becomes Default",
    # The answer, falsified.
    "partial": "206 with a Warning header and half of the rows",
    "empty": "200 with an empty list",
    "lost_rows": "200 with two thirds of the rows (and of the controls in each document)",
    "missing_page": "200 without the nextLink or $skipToken that should be there",
    "foreign_link": "a nextLink to another host",
    "link_loop": "a nextLink to the same page, or the same $skipToken again",
    "endless": "a nextLink or $skipToken to a new page, for ever",
    "relative_link": "a nextLink without a host",
    "empty_link": 'a nextLink that is ""',
    "future": "a document dated `days_ahead` before all others",
    "wrong_tenant": "documents of another directory",
    "odd_types": "numbers as strings or without a point, nulls, unknown properties, older spellings",
    "sentinels": "-1 for what is not known",
    "inconsistent": "a total that is not the sum of its controls, and a maximum that is off by one",
    **OF_AZURE,
}


@frozen
class Fault:
    """One scheduled fault. `path` is a part of path and query; empty fields do not restrict.

    `times` counts requests hit, `after` those let pass first (so `path="skiptoken", after=1` means the third page
    on); `since`/`until` are moments of the simulated clock (inclusive, exclusive).
    """

    kind: str = field(validator=in_(KINDS))
    path: str = ""
    tenant: str | None = None
    times: int | None = None
    after: int = 0
    since: datetime | None = None
    until: datetime | None = None
    retry_after_s: float | None = None
    retry_after_as_date: bool = False
    seconds: float = 1.0
    size_bytes: int = 64 * 1024 * 1024
    days_ahead: int = 3650

    def hits(self, path: str, tenant: str | None, now: datetime) -> bool:
        return (
            self.path in path
            and self.tenant in {None, tenant}
            and (self.since is None or self.since <= now)
            and (self.until is None or now < self.until)
        )


@frozen
class Weather:
    """Random faults: `probability` of a bad hour per tenant (503 throughout) and of a bad answer per request."""

    probability: float
    seed: int = 7

    def fault(self, number: int, tenant: str | None, now: datetime) -> Fault | None:
        """The fault of the n-th request, if any."""
        if share(self.seed, "outage", tenant, now.strftime("%Y-%m-%dT%H")) < self.probability / 4:
            return Fault("unavailable")
        draw = rng(self.seed, "weather", number)
        if draw.random() >= self.probability:
            return None
        wish = float(1 + draw.randrange(5))
        return draw.choice(
            (
                Fault("throttled", retry_after_s=wish),
                Fault("throttled", retry_after_s=wish, retry_after_as_date=True),
                Fault("throttled"),
                Fault("unavailable"),
                Fault("partial"),
                Fault("truncated"),
            )
        )


class Faults:
    """The schedule of one server: the first fault that applies and is not used up is the one that happens."""

    def __init__(self, faults: Iterable[Fault] = (), weather: Weather | None = None) -> None:
        self._faults = list(faults)
        self._used = [0] * len(self._faults)
        self._began: dict[Fault, datetime] = {}
        self._weather = weather
        self._requests = 0

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)
        self._used.append(0)

    def clear(self) -> None:
        """End all scheduled faults; the weather stays."""
        self._faults.clear()
        self._used.clear()

    def next(self, path: str, tenant: str | None, now: datetime) -> Fault | None:
        """The fault that happens to this request; counts it."""
        self._requests += 1
        for position, fault in enumerate(self._faults):
            most = None if fault.times is None else fault.times + fault.after
            if fault.hits(path, tenant, now) and (most is None or self._used[position] < most):
                self._used[position] += 1
                if self._used[position] <= fault.after:
                    continue
                self._began.setdefault(fault, fault.since or now)
                return fault
        return self._weather.fault(self._requests, tenant, now) if self._weather else None

    def began(self, fault: Fault) -> datetime:
        """When a fault that has happened began."""
        return self._began[fault]


# ------------------------------------------------------------------------------------------------------ falsified rows


def alter(kind: str, rows: Sequence[bytes], days_ahead: int = 0) -> list[bytes]:
    """The rows of a page as this kind of fault shows them."""
    if kind == "empty":
        return []
    if kind == "partial":
        return [_each(_fewer_controls, row) for row in rows[: (len(rows) + 1) // 2]]
    if kind == "lost_rows":
        kept = rows if len(rows) < 3 or b'"controlScores"' in rows[0] else rows[: len(rows) * 2 // 3]
        return [_each(_fewer_controls, row) for row in kept]
    if kind == "wrong_tenant":
        return [_each(_other_tenant, row) for row in rows]
    if kind == "odd_types":
        return [_each(_odd_types, row) for row in rows]
    if kind == "inconsistent":
        return [_each(_inconsistent, row) for row in rows]
    if kind == "sentinels":
        return [_each(_sentinels, row) for row in rows]
    if kind == "future" and rows and b'"controlScores"' in rows[0]:
        return [_each(lambda row: _ahead(row, days_ahead), rows[0]), *rows]
    return list(rows)


def _each(change: Callable[[dict[str, Any]], dict[str, Any]], row: bytes) -> bytes:
    return json.dumps(change(json.loads(row)), ensure_ascii=False, separators=(",", ":")).encode()


def _fewer_controls(row: dict[str, Any]) -> dict[str, Any]:
    controls = row.get("controlScores")
    return row if controls is None else row | {"controlScores": controls[: len(controls) * 2 // 3]}


OTHER_TENANT = "99999999-9999-4999-8999-999999999999"


def _other_tenant(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"azureTenantId": OTHER_TENANT, "id": row["id"].replace(row["azureTenantId"], OTHER_TENANT)}


def _odd_types(row: dict[str, Any]) -> dict[str, Any]:
    odd = row | {"maxScore": str(row["maxScore"]), "unheardOf": {"nested": [1, None, "x"]}}
    controls = [
        control
        | {"score": str(control["score"]), "scoreInPercentage": str(control["scoreInPercentage"]), "NotScored": "false"}
        for control in row.get("controlScores", ())
    ]
    if not controls:
        return odd | {"rank": str(row.get("rank")), "deprecated": "false", "threats": None}
    controls[0]["description"] = 7
    whole = [control for control in controls if float(control["score"]).is_integer()]
    for control in whole[::2]:
        control["score"] = int(float(control["score"]))  # 5 instead of 5.0, as after a re-serialisation
    odd["createdDateTime"] = row["createdDateTime"].replace("00:00:00Z", "15:21:09.1234567Z")
    averages = [{name.replace("Seat", "seat"): value for name, value in a.items()} for a in _averages(row)]
    averages.append({"basis": "IndustryTypes", "categoryValue": 8, "averageScore": "-1"})
    return odd | {
        "currentScore": str(row["currentScore"]),
        "averageComparativeScores": averages,
        "controlScores": controls,
    }


def _averages(row: dict[str, Any]) -> list[dict[str, Any]]:
    return list(row["averageComparativeScores"])


def _sentinels(row: dict[str, Any]) -> dict[str, Any]:
    if "controlScores" not in row:
        return row | {"maxScore": -1.0, "rank": -1}
    averages = [a | {name: -1.0 for name in a if "core" in name} for a in _averages(row)]
    unknown = [control | {"score": -1.0, "scoreInPercentage": -1.0} for control in row["controlScores"][:1]]
    counts = {"activeUserCount": -1, "licensedUserCount": -1, "averageComparativeScores": averages}
    return row | counts | {"controlScores": [*unknown, *row["controlScores"][1:]]}


def _ahead(row: dict[str, Any], days: int) -> dict[str, Any]:
    day = row["id"][-10:]
    later = (date.fromisoformat(day) + timedelta(days=days)).isoformat()
    return row | {name: row[name].replace(day, later) for name in ("id", "createdDateTime")}


def _inconsistent(row: dict[str, Any]) -> dict[str, Any]:
    if "currentScore" not in row:
        return row
    off = {"currentScore": row["currentScore"] + 126.0, "maxScore": row["maxScore"] + 1, "licensedUserCount": 505785}
    return row | off
