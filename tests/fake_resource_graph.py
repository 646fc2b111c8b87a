"""A small Azure Resource Graph as a transport, and rows for it: what a reader of it must survive, without sockets.

Not the simulator: subscriptions do not live here; a test sets `subscriptions`, `scores` and `compliance`, and may queue
answers of its own.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import Factory, define

from connector.net.http import MAX_BODY_BYTES, Response
from tests.fake_graph import OTHER_TENANT, TENANT

ARM = "https://arm.invalid"
Answerer = Callable[[dict[str, Any]], Response]


def subscription_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def control_id(number: int) -> str:
    return f"c0000000-0000-4000-8000-{number:012x}"


def subscription(number: int, state: str = "Enabled", **fields: Any) -> dict[str, Any]:
    """A row of a subscription; its id is spelt as Azure happens to spell it."""
    sub = subscription_id(number)
    row = {
        "id": f"/subscriptions/{sub.upper() if number % 2 else sub}",
        "subscriptionId": sub,
        "tenantId": TENANT,
        "name": f"Subscription {number}",
        "state": state,
    }
    return row | fields


def score_row(number: int, current: float | None, maximum: float | None, weight: int = 10, **fields: Any) -> Any:
    sub = subscription_id(number)
    score: dict[str, Any] = {}
    if current is not None and maximum is not None:
        share = round(current / maximum, 4) if maximum else 0
        score = {"max": maximum, "current": current, "percentage": share}
    row = {
        "id": f"/subscriptions/{sub}/providers/Microsoft.Security/secureScores/ascScore",
        "name": "ascScore",
        "type": "microsoft.security/securescores",
        "subscriptionId": sub,
        "tenantId": TENANT,
        "properties": {"displayName": "ASC score", "score": score, "weight": weight},
    }
    return row | fields


def control_row(number: int, control: int, healthy: int, unhealthy: int, maximum: int = 10, **fields: Any) -> Any:
    """A control's row as Azure computes it: no points where no resource applies."""
    sub, name = subscription_id(number), control_id(control)
    total = healthy + unhealthy
    most = maximum if total else 0
    current = round(most * healthy / total, 2) if total else 0
    row = {
        "id": f"/subscriptions/{sub}/providers/Microsoft.Security/secureScores/ascScore/secureScoreControls/{name}",
        "name": name,
        "type": "microsoft.security/securescores/securescorecontrols",
        "subscriptionId": sub,
        "tenantId": TENANT,
        "properties": {
            "displayName": f"Control {control}",
            "healthyResourceCount": healthy,
            "unhealthyResourceCount": unhealthy,
            "notApplicableResourceCount": 1,
            "score": {"max": most, "current": current, "percentage": round(current / most, 4) if most else 0},
            "weight": total,
            "definition": {
                "id": f"/providers/Microsoft.Security/secureScoreControlDefinitions/{name}",
                "name": name,
                "properties": {
                    "displayName": f"Control {control}",
                    "description": f"What control {control} asks for.",
                    "maxScore": maximum,
                    "source": {"sourceType": "BuiltIn"},
                    "assessmentDefinitions": [
                        {"id": f"/providers/Microsoft.Security/assessmentMetadata/A{control:07x}-{n}"} for n in (2, 1)
                    ],
                },
            },
        },
    }
    return row | fields


def standard_row(number: int, name: str, passed: int, failed: int) -> Any:
    sub = subscription_id(number)
    return {
        "id": f"/subscriptions/{sub}/providers/Microsoft.Security/regulatoryComplianceStandards/{name}",
        "name": name,
        "tenantId": TENANT,
        "properties": {
            "state": "Failed" if failed else "Passed",
            "passedControls": passed,
            "failedControls": failed,
            "skippedControls": 0,
            "unsupportedControls": 1,
        },
    }


def scored(number: int, *healthy: int, weight: int = 10) -> list[Any]:
    """A subscription's score and its controls, each of four resources of which so many are healthy."""
    controls = [control_row(number, n, h, 4 - h) for n, h in enumerate(healthy)]
    current = round(sum(c["properties"]["score"]["current"] for c in controls), 2)
    maximum = sum(c["properties"]["score"]["max"] for c in controls)
    return [score_row(number, current, maximum, weight), *controls]


def foreign(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"tenantId": OTHER_TENANT}


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Response(status, headers or {}, body, datetime(2030, 1, 10, 12, tzinfo=UTC))


def error(status: int, code: str, words: str = "no", headers: Mapping[str, str] | None = None) -> Answerer:
    return lambda _: answer({"error": {"code": code, "message": words}}, status, headers)


@define
class FakeResourceGraph:
    """`queued[question]` answers come first, one a request (None = as usual); then the rows, paged. `more` is on
    each page as well.

    Like the real one it says `resultTruncated: "false"` on every page.
    """

    subscriptions: list[Any] = Factory(list)
    scores: list[Any] = Factory(list)
    compliance: list[Any] = Factory(list)
    page: int = 1_000
    headers: dict[str, str] = Factory(dict)
    more: dict[str, Any] = Factory(dict)
    queued: dict[str, list[Answerer | None]] = Factory(lambda: {"subscriptions": [], "scores": [], "compliance": []})
    asked: list[tuple[str, dict[str, Any]]] = Factory(list)
    sent: list[tuple[str, str, Mapping[str, str]]] = Factory(list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Response:
        question = json.loads(body or b"{}")
        self.sent.append((method, url, headers or {}))
        kind = self._kind(question["query"])
        self.asked.append((kind, question))
        if self.queued[kind] and (canned := self.queued[kind].pop(0)) is not None:
            return canned(question)
        return answer(self.rows(question), headers=self.headers)

    def rows(self, question: dict[str, Any]) -> dict[str, Any]:
        """The right answer to a question."""
        rows = getattr(self, self._kind(question["query"]))
        token = question["options"].get("$skipToken")
        start = int(token.partition("-")[2] or 0) if token else 0
        shown = rows[start : start + self.page]
        found = {"totalRecords": len(rows), "count": len(shown), "data": shown, "facets": []}
        found["resultTruncated"] = "false"
        if start + self.page < len(rows):
            found["$skipToken"] = f"{len(self.asked)}-{start + self.page}"
        return found | self.more

    def count(self, kind: str) -> int:
        return sum(asked == kind for asked, _ in self.asked)

    def _kind(self, query: str) -> str:
        if "resourcecontainers" in query:
            return "subscriptions"
        return "compliance" if "regulatorycompliance" in query else "scores"
