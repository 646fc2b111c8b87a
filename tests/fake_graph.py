"""A small Graph on loopback, and documents for it: the behaviours of the service that a reader must survive.

Not the simulator: tenants do not live here; a test sets `days` and `profiles` and may queue canned answers.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from attrs import Factory, define

TENANT = "11111111-2222-3333-4444-555555555555"
OTHER_TENANT = "99999999-2222-3333-4444-555555555555"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class JumpClock:
    """Time moves only by sleeping, and sleeping takes no time."""

    def __init__(self, now: str = "2030-01-10T12:00:00+00:00") -> None:
        self._now = datetime.fromisoformat(now)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += timedelta(seconds=seconds)


def day_document(day: str, scores: dict[str, float], *, detailed: bool = False, **fields: Any) -> dict[str, Any]:
    """A secureScore document; each control is worth 10 points. `fields` override (None deletes nothing: it is null)."""
    controls = []
    for name, score in scores.items():
        control: dict[str, Any] = {
            "controlCategory": "Device" if name.startswith("scid_") else "Identity",
            "controlName": name,
            "description": f"About {name}." if detailed else None,
            "score": float(score),
            "scoreInPercentage": float(score) * 10,
            "implementationStatus": "3 of 4 users are covered" if detailed else " of  users are covered",
        }
        if detailed:
            control |= {"lastSynced": f"{day}T04:00:00Z", "count": "3", "total": "4"}
        controls.append(control)
    document = {
        "id": f"{TENANT}_{day}",
        "azureTenantId": TENANT,
        "activeUserCount": 7,
        "createdDateTime": f"{day}T00:00:00Z",
        "currentScore": float(sum(scores.values())),
        "enabledServices": ["HasEXOP2", "HasAADP1"],
        "licensedUserCount": 0,
        "maxScore": 10.0 * len(scores),
        "vendorInformation": {"provider": "SecureScore", "providerVersion": None, "subProvider": None, "vendor": "M"},
        "averageComparativeScores": [{"basis": "AllTenants", "averageScore": 41.5, "appsScore": 12.0}],
        "controlScores": controls,
    }
    return document | fields


def profile_document(name: str, **fields: Any) -> dict[str, Any]:
    document = {
        "id": name,
        "azureTenantId": TENANT,
        "actionType": "Config",
        "actionUrl": f"https://example.invalid/{name}",
        "controlCategory": "Identity",
        "title": f"Title of {name}",
        "deprecated": False,
        "implementationCost": "low",
        "lastModifiedDateTime": None,
        "maxScore": 10.0,
        "rank": 5,
        "remediation": f"<p>Do what {name} asks for.</p>",
        "remediationImpact": "None.",
        "service": "AzureAD",
        "threats": ["Account breach"],
        "tier": "Core",
        "userImpact": "Moderate",
        "complianceInformation": [],
        "controlStateUpdates": [
            {"assignedTo": None, "comment": None, "state": "Default", "updatedBy": None, "updatedDateTime": None}
        ],
    }
    return document | fields


def history(newest: str, count: int, scores: dict[str, float] | None = None) -> list[dict[str, Any]]:
    """`count` days, newest first; only the newest carries detail."""
    last = date.fromisoformat(newest)
    return [
        day_document(
            (last - timedelta(days=back)).isoformat(), scores or {"AdminMFAV2": 5, "scid_1": 7.5}, detailed=back == 0
        )
        for back in range(count)
    ]


@define
class FakeGraph:
    """`queued[collection]` answers come first, one a request; then `days` (newest first) and `profiles`, paged.

    Like the real one it adds a nextLink whenever there is more, even to `$top=1`, with another token every time.
    """

    days: list[dict[str, Any]] = Factory(list)
    profiles: list[dict[str, Any]] = Factory(list)
    profile_page: int = 200
    score_page: int = 1_000
    queued: dict[str, list[Handler]] = Factory(lambda: {"secureScores": [], "secureScoreControlProfiles": []})
    seen: list[str] = Factory(list)
    headers: list[dict[str, str]] = Factory(list)
    _tokens: dict[str, int] = Factory(dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        collection = request.match_info["collection"]
        self.seen.append(request.path_qs)
        self.headers.append(dict(request.headers))
        if self.queued[collection]:
            return await self.queued[collection].pop(0)(request)
        start = self._tokens.get(request.query.get("$skiptoken", ""), 0)
        if collection == "secureScores":
            rows, size = self.days, min(int(request.query.get("$top", "1000")), self.score_page)
        else:
            rows, size = self.profiles, self.profile_page
        page: dict[str, Any] = {"@odata.context": f"{request.url.origin()}/v1.0/$metadata#security/{collection}"}
        if start + size < len(rows):
            token = f"{len(self._tokens):032d}"
            self._tokens[token] = start + size
            top = f"$top={request.query['$top']}&" if "$top" in request.query else ""
            page["@odata.nextLink"] = f"{request.url.origin()}{request.path}?{top}$skiptoken={token}"
        page["value"] = rows[start : start + size]
        return web.json_response(page)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1.0/security/{collection}", self.answer)
        return app

    def count(self, collection: str) -> int:
        return sum(path.split("?")[0].endswith("/" + collection) for path in self.seen)


def canned(
    body: bytes | str | dict[str, Any] | list[Any], status: int = 200, headers: dict[str, str] | None = None
) -> Handler:
    """A handler that answers this, whatever is asked."""
    raw = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, status=status, headers={"Content-Type": "application/json"} | (headers or {}))

    return handler


def serve(answer: Handler) -> TestServer:
    """A server (to be entered with `async with`) that gives every request to one handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return TestServer(app)


def root(server: BaseTestServer) -> str:
    return str(server.make_url("")).rstrip("/")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
