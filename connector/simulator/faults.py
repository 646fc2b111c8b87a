"""What can go wrong at the simulated Graph: faults by schedule, random weather, and how each falsifies rows.

No HTTP here: the server asks which fault applies to a request and carries it out.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen
from attrs.validators import in_

from connector.simulator.chance import rng, share

KINDS: Mapping[str, str] = {
    # Instead of the answer.
    "throttled": "429, with Retry-After where `retry_after_s` is set",
    "unavailable": "503, with Retry-After where `retry_after_s` is set",
    "error": "500",
    "unauthorized": "401, as for an expired token",
    "denied": "403, as for a missing permission",
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
    # The answer, falsified.
    "partial": "206 with a Warning header and half of the rows",
    "empty": "200 with an empty list",
    "lost_rows": "200 with two thirds of the rows (and of the controls in each document)",
    "missing_page": "200 without the nextLink that should be there",
    "foreign_link": "a nextLink to another host",
    "link_loop": "a nextLink to the same page",
    "endless": "a nextLink to a new page, for ever",
    "wrong_tenant": "documents of another directory",
    "odd_types": "numbers as strings, nulls and unknown properties",
    "inconsistent": "a total that is not the sum of its controls",
}


@frozen
class Fault:
    """One scheduled fault. `path` is a part of path and query; empty fields do not restrict.

    `times` counts requests hit; `since`/`until` are moments of the simulated clock (inclusive, exclusive).
    """

    kind: str = field(validator=in_(KINDS))
    path: str = ""
    tenant: str | None = None
    times: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    retry_after_s: float | None = None
    retry_after_as_date: bool = False
    seconds: float = 1.0
    size_bytes: int = 64 * 1024 * 1024

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
            if fault.hits(path, tenant, now) and (fault.times is None or self._used[position] < fault.times):
                self._used[position] += 1
                self._began.setdefault(fault, fault.since or now)
                return fault
        return self._weather.fault(self._requests, tenant, now) if self._weather else None

    def began(self, fault: Fault) -> datetime:
        """When a fault that has happened began."""
        return self._began[fault]


# ------------------------------------------------------------------------------------------------------ falsified rows


def alter(kind: str, rows: Sequence[bytes]) -> list[bytes]:
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
    return odd | {"currentScore": str(row["currentScore"]), "averageComparativeScores": None, "controlScores": controls}


def _inconsistent(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"currentScore": row["currentScore"] + 126.0} if "currentScore" in row else row
