"""The simulated Graph over real HTTP: paths, paging, errors, limits, writing, and every kind of fault."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
import trustme

from connector.clock import SimulatedClock
from connector.signin.tokens import claims_challenge
from connector.simulator.bodies import ByteCache
from connector.simulator.faults import KINDS, OF_AZURE, OTHER_TENANT, Fault, Faults, Weather
from connector.simulator.habits import Habits
from connector.simulator.pace import PacedClock
from connector.simulator.server import (
    AUDIENCES,
    READ,
    SECURITY_ADMINISTRATOR,
    SECURITY_READER,
    WRITE,
    Authenticate,
    Budget,
    Caller,
    Simulation,
    plain_tokens,
    serve,
    token_for,
)
from connector.simulator.tenants import Update
from connector.simulator.world import World

NOON = datetime(2026, 9, 10, 12, tzinfo=UTC)
SCORES = "/v1.0/security/secureScores"
PROFILES = "/v1.0/security/secureScoreControlProfiles"


class Client:
    """A caller with one token; `get` gives (status, parsed body, headers)."""

    def __init__(self, sim: Simulation, session: aiohttp.ClientSession, tenant_id: str, write: bool = False) -> None:
        self.sim = sim
        self.session = session
        self.tenant_id = tenant_id
        self.headers = {"Authorization": f"Bearer {token_for(tenant_id, write=write)}"}

    async def get(self, path: str, **params: Any) -> tuple[int, Any, Any]:
        url = path if path.startswith("http") else self.sim.base_url + path
        query = {f"${name}": str(value) for name, value in params.items()}
        async with self.session.get(url, params=query, headers=self.headers) as response:
            return response.status, await response.json(), response.headers

    async def patch(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        async with self.session.patch(self.sim.base_url + path, json=body, headers=self.headers | headers) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def walk(self, path: str, **params: Any) -> list[list[Any]]:
        """All pages of a collection."""
        _, body, _ = await self.get(path, **params)
        pages = [body["value"]]
        while link := body.get("@odata.nextLink"):
            _, body, _ = await self.get(link)
            pages.append(body["value"])
        return pages


def in_force(profile: dict[str, Any]) -> dict[str, Any]:
    """The entry of a state history with the latest date; of equal ones the last."""
    found: dict[str, Any] = max(
        reversed(profile["controlStateUpdates"]), key=lambda entry: (entry["updatedDateTime"] or "")[:19]
    )
    return found


@asynccontextmanager
async def calling(
    *faults: Fault,
    tenants: int = 1,
    write: bool = False,
    missing: float = 0,
    budget: Budget | None = None,
    habits: Habits | None = None,
    authenticate: Authenticate = plain_tokens,
) -> AsyncIterator[Client]:
    world = World(7, tenants, date(2026, 6, 1), missing=missing, habits=habits)
    clock = SimulatedClock(NOON)
    serving = serve(world, clock, faults=Faults(faults), budget=budget, authenticate=authenticate)
    async with serving as sim, aiohttp.ClientSession() as session:
        yield Client(sim, session, world.tenants[0].id, write)


# ------------------------------------------------------------------------------------------------------------- paging


async def test_newest_document_first_and_a_next_link_even_for_one() -> None:
    async with calling() as client:
        status, body, headers = await client.get(SCORES, top=1)
        assert status == 200
        assert headers["Content-Type"].startswith("application/json")
        assert len(headers["request-id"]) == 36
        (newest,) = body["value"]
        assert newest["id"] == f"{client.tenant_id}_2026-09-10"
        assert newest["controlScores"][0]["lastSynced"]
        assert body["@odata.nextLink"].startswith(f"{client.sim.base_url}{SCORES}?$top=1&$skiptoken=")
        _, second, _ = await client.get(body["@odata.nextLink"])
        assert [d["id"][-10:] for d in second["value"]] == ["2026-09-09"]


async def test_the_whole_history_in_one_page_or_in_many() -> None:
    async with calling() as client:
        (whole,) = await client.walk(SCORES, top=200)
        pages = await client.walk(SCORES, top=7)
        assert len(whole) == 90
        assert [len(page) for page in pages] == [7] * 12 + [6]
        assert [d for page in pages for d in page] == whole
        assert sorted((d["id"] for d in whole), reverse=True) == [d["id"] for d in whole]


async def test_skip_and_count() -> None:
    async with calling() as client:
        _, body, _ = await client.get(SCORES, top=1, skip=7, count="true")
        assert body["value"][0]["id"].endswith("2026-09-03")
        assert body["@odata.count"] == 90
        assert "@odata.count" not in (await client.get(SCORES, top=1))[1]


@pytest.mark.parametrize("top", [None, 50, 250, 999])
async def test_paging_to_the_end_gives_every_profile_once(top: int | None) -> None:
    async with calling() as client:
        pages = await client.walk(PROFILES, **({} if top is None else {"top": top}))
        assert {len(page) for page in pages[:-1]} == {min(top or 200, 200)}
        ids = [profile["id"] for page in pages for profile in page]
        assert len(ids) == len(set(ids)) > 390
        assert [p for page in pages for p in page] == client.sim.world.profiles(client.tenant_id, NOON)


async def test_documents_over_http_are_those_of_the_world() -> None:
    async with calling() as client:
        (whole,) = await client.walk(SCORES)
        assert whole == client.sim.world.score_documents(client.tenant_id, NOON)


async def test_one_document_and_one_profile_by_id() -> None:
    async with calling() as client:
        day = f"{client.tenant_id}_2026-09-09"
        assert (await client.get(f"{SCORES}/{day}"))[1]["id"] == day
        dotted = next(p["id"] for p in client.sim.world.profiles(client.tenant_id, NOON) if "." in p["id"])
        assert (await client.get(f"{PROFILES}/{dotted.replace('.', '%2E')}"))[1]["id"] == dotted
        status, body, _ = await client.get(f"{PROFILES}/NoSuchControl")
        assert (status, body["error"]["code"]) == (404, "ResourceNotFound")
        assert (await client.get(f"{SCORES}/{client.tenant_id}_2020-01-01"))[0] == 404


async def test_beta_is_the_same() -> None:
    async with calling() as client:
        _, released, _ = await client.get(SCORES, top=2)
        _, beta, _ = await client.get(SCORES.replace("v1.0", "beta"), top=2)
        assert released["value"] == beta["value"]


async def test_filters_on_profiles_and_their_silent_limit() -> None:
    async with calling() as client:
        _, body, _ = await client.get(PROFILES, filter="service eq 'MDATP'")
        assert {p["service"] for p in body["value"]} == {"MDATP"}
        _, body, _ = await client.get(PROFILES, filter="id eq 'AdminMFAV2' or id eq 'scid_2010'")
        assert {p["id"] for p in body["value"]} == {"AdminMFAV2", "scid_2010"}
        _, body, _ = await client.get(PROFILES, filter="controlCategory eq 'Data'")
        assert {p["controlCategory"] for p in body["value"]} == {"Data"}
        many = " or ".join(f"id eq 'scid_{n}'" for n in range(2000, 2017))
        status, body, _ = await client.get(PROFILES, filter=many)
        assert (status, body["value"]) == (200, [])
        assert (await client.get(PROFILES, filter="colour eq 'red'"))[0] == 400
        assert (await client.get(PROFILES, filter="maxScore gt 3"))[0] == 400


async def test_filters_on_scores_are_ignored_except_by_id() -> None:
    async with calling() as client:
        _, body, _ = await client.get(SCORES, filter=f"id eq '{client.tenant_id}_2026-09-01'")
        assert [d["id"][-10:] for d in body["value"]] == ["2026-09-01"]
        _, body, _ = await client.get(SCORES, filter="createdDateTime ge 2026-09-09T00:00:00Z")
        assert len(body["value"]) == 90


async def test_what_is_cached_is_what_holds_now() -> None:
    """The newest day is rewritten, then stripped, and a written state brings points: all of it over HTTP, too."""
    async with calling(write=True) as client:
        world, clock = client.sim.world, client.sim.clock
        assert isinstance(clock, SimulatedClock)
        await client.patch(f"{PROFILES}/AdminMFAV2", {"state": "ThirdParty", "vendorInformation": VENDOR})
        for _ in range(12):
            (whole,) = await client.walk(SCORES)
            assert whole == world.score_documents(client.tenant_id, clock.now())
            await clock.advance(6 * 3600)


async def test_a_state_written_at_the_minute_of_a_rewrite_is_in_the_document() -> None:
    async with calling() as client:
        world = client.sim.world
        newest = (await client.get(SCORES, top=1))[1]["value"][0]["controlScores"]
        name = next(c["controlName"] for c in newest if c.get("state") == "default")
        world.set_state(client.tenant_id, name, Update(world.minute(NOON), "Ignored", "portal@b.example", "", ""))
        newest = (await client.get(SCORES, top=1))[1]["value"][0]["controlScores"]
        assert next(c["state"] for c in newest if c["controlName"] == name) == "ignored"


async def test_a_skip_token_belongs_to_one_tenant_and_collection() -> None:
    async with calling(tenants=2) as client:
        _, body, _ = await client.get(SCORES, top=1)
        link = body["@odata.nextLink"]
        assert (await client.get(link.replace("secureScores", "secureScoreControlProfiles")))[0] == 400
        other = Client(client.sim, client.session, client.sim.world.tenants[1].id)
        assert (await other.get(link))[0] == 400


@pytest.mark.parametrize("query", ["$top=x", "$top=0", "$skip=-1", "$skiptoken=nonsense"])
async def test_bad_options_are_refused(query: str) -> None:
    async with calling() as client:
        status, body, _ = await client.get(f"{SCORES}?{query}")
        assert status == 400
        assert body["error"]["innerError"]["request-id"]


async def test_time_moves_on() -> None:
    async with calling() as client:
        _, before, _ = await client.get(SCORES, top=1)
        assert isinstance(client.sim.clock, SimulatedClock)
        await client.sim.clock.advance(86400)
        _, after, _ = await client.get(SCORES, top=1)
        assert (before["value"][0]["id"][-10:], after["value"][0]["id"][-10:]) == ("2026-09-10", "2026-09-11")


# -------------------------------------------------------------------------------------------------------- who may call


async def test_callers_are_told_apart() -> None:
    async with calling(tenants=2) as client:
        for headers, expected in (
            ({}, 401),
            ({"Authorization": "Bearer nonsense"}, 401),
            ({"Authorization": f"Basic {token_for(client.tenant_id)}"}, 401),
            ({"Authorization": f"Bearer {token_for('11111111-1111-4111-8111-111111111111')}"}, 403),
        ):
            client.headers = headers
            status, body, _ = await client.get(SCORES)
            assert (status, bool(body["error"]["message"])) == (expected, True)
        other = client.sim.world.tenants[1].id
        client.headers = {"Authorization": f"Bearer {token_for(other)}"}
        assert (await client.get(SCORES, top=1))[1]["value"][0]["azureTenantId"] == other
        assert [seen.status for seen in client.sim.requests] == [401, 401, 401, 403, 200]
        assert client.sim.requests[-1].tenant == other
        assert client.sim.requests[-1].path.startswith(SCORES)


APPLICATION = frozenset({READ})
OTHER_AUDIENCES = (
    "https://monitor.azure.com", "https://graph.microsoft.us", "https://management.azure.com",
    "https://graph.microsoft.com.example.org", "",
)  # fmt: skip


@pytest.mark.parametrize("audience", OTHER_AUDIENCES)
async def test_a_token_for_another_audience_is_refused(audience: str) -> None:
    """Another service's, another cloud's, or nobody's."""
    async with asking(lambda tenant: Caller(tenant, APPLICATION, audience)) as client:
        status, body, headers = await client.get(SCORES)
        assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")
        assert "audience" in body["error"]["message"]
        assert headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("audience", [*sorted(AUDIENCES), "https://graph.microsoft.com/"])
async def test_a_token_for_graph_is_accepted_by_address_and_by_application_id(audience: str) -> None:
    async with asking(lambda tenant: Caller(tenant, APPLICATION, audience)) as client:
        assert (await client.get(SCORES, top=1))[0] == 200


@pytest.mark.parametrize(
    ("scopes", "directory_roles", "read", "write"),
    [
        ({READ}, {SECURITY_READER}, 200, 403),
        ({READ}, {SECURITY_ADMINISTRATOR}, 200, 403),
        ({READ}, set(), 403, 403),
        ({READ}, {"none-of-them"}, 403, 403),
        ({"User.Read"}, {SECURITY_READER}, 403, 403),
        ({READ, WRITE}, {SECURITY_READER}, 200, 403),
        ({WRITE}, {SECURITY_ADMINISTRATOR}, 200, 204),
    ],
)
async def test_a_user_needs_the_scope_and_a_directory_role(
    scopes: set[str], directory_roles: set[str], read: int, write: int
) -> None:
    def caller(tenant: str) -> Caller:
        roles = frozenset(directory_roles)
        return Caller(tenant, frozenset(scopes), min(AUDIENCES), delegated=True, directory_roles=roles)

    async with asking(caller) as client:
        assert (await client.get(SCORES, top=1))[0] == read
        body = {"state": "Ignored", "vendorInformation": VENDOR}
        assert (await client.patch(f"{PROFILES}/AdminMFAV2", body))[0] == write


@asynccontextmanager
async def asking(caller: Callable[[str], Caller]) -> AsyncIterator[Client]:
    """A client whose token, its tenant's id, is that of a caller."""
    async with calling(authenticate=lambda token: caller(token.split(".")[1])) as client:
        yield client


async def test_error_codes_may_be_empty() -> None:
    async with calling(habits=Habits(codeless=1.0)) as client:
        status, body, _ = await client.get(f"{PROFILES}/NoSuchControl")
        assert (status, body["error"]["code"]) == (404, "")
        assert body["error"]["message"]


async def test_the_state_of_a_completed_control_may_be_locked() -> None:
    async with calling(habits=Habits(locked=1.0), write=True) as client:
        newest = {c["controlName"]: c for c in (await client.get(SCORES, top=1))[1]["value"][0]["controlScores"]}
        body = {"state": "Ignored", "vendorInformation": VENDOR}
        assert newest["AdminMFAV2"]["scoreInPercentage"] == 100
        assert (await client.patch(f"{PROFILES}/AdminMFAV2", body))[0] == 400
        opened = next(n for n, c in newest.items() if c["score"] == 0 and not n.startswith("scid_"))
        assert (await client.patch(f"{PROFILES}/{opened}", body))[0] == 204


async def test_only_selected_properties_come() -> None:
    async with calling() as client:
        _, body, _ = await client.get(SCORES, top=2, select="id, currentScore")
        assert [set(d) for d in body["value"]] == [{"id", "currentScore"}] * 2


async def test_unknown_paths_and_methods_answer_in_json() -> None:
    async with calling() as client:
        assert (await client.get("/v1.0/security/alerts"))[0] == 404
        async with client.session.delete(client.sim.base_url + SCORES, headers=client.headers) as response:
            assert response.status == 405
            assert (await response.json())["error"]["code"]


async def test_tls() -> None:
    authority = trustme.CA()
    server, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    world = World(7, 1, date(2026, 6, 1))
    async with serve(world, SimulatedClock(NOON), ssl=server) as sim:
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(connector=connector) as session:
            status, body, _ = await Client(sim, session, world.tenants[0].id).get(SCORES, top=1)
            assert status == 200
            assert body["@odata.nextLink"].startswith("https://127.0.0.1:")


# -------------------------------------------------------------------------------------------------------------- limits


async def test_budget_refuses_what_is_over_the_limit_until_time_passes() -> None:
    async with calling(tenants=2, budget=Budget(per_minute=3)) as client:
        answers = [await client.get(SCORES, top=1) for _ in range(5)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
        assert answers[-1][2]["Retry-After"] == "60"
        other = Client(client.sim, client.session, client.sim.world.tenants[1].id)
        assert (await other.get(SCORES, top=1))[0] == 200
        assert isinstance(client.sim.clock, SimulatedClock)
        await client.sim.clock.advance(61)
        assert (await client.get(SCORES, top=1))[0] == 200


async def test_budget_refuses_a_fifth_request_at_the_same_time() -> None:
    async with calling(Fault("slow", seconds=0.2), budget=Budget()) as client:
        answers = await asyncio.gather(*(client.get(SCORES, top=1) for _ in range(5)))
        assert sorted(status for status, _, _ in answers) == [200, 200, 200, 200, 429]


async def test_ten_minute_budget() -> None:
    budget = Budget(per_minute=100, per_ten_minutes=5)
    waits = [budget.enter("t", NOON + timedelta(minutes=n)) for n in range(7)]
    for _ in waits:
        budget.leave("t")
    assert waits[5:] == [300.0, 300.0]
    assert budget.enter("t", NOON + timedelta(hours=1)) is None


# ------------------------------------------------------------------------------------------------------------- writing

VENDOR = {"provider": "SecureScore", "vendor": "Microsoft"}


async def test_patch_appends_even_when_nothing_changes() -> None:
    async with calling(write=True) as client:
        path = f"{PROFILES}/AdminMFAV2"
        body = {"state": "thirdParty", "comment": "ticket 1", "vendorInformation": VENDOR}
        assert await client.patch(path, body) == (204, None)
        status, shown = await client.patch(path, {"vendorInformation": VENDOR}, Prefer="return=representation")
        assert status == 200
        first, second = [entry for entry in shown["controlStateUpdates"] if entry["updatedDateTime"]]
        assert (first["state"].casefold(), first["comment"]) == ("thirdparty", "ticket 1")
        assert (second["state"], second["comment"]) == (first["state"], first["comment"])
        assert first["updatedDateTime"].startswith("2026-09-10T12:00:00")
        assert first["updatedBy"].endswith(".example")
        assert shown == (await client.get(path))[1]


@pytest.mark.parametrize(
    ("control", "body", "expected"),
    [
        ("AdminMFAV2", {"state": "Ignored"}, 400),
        ("AdminMFAV2", {"state": "Ignored", "vendorInformation": {"vendor": "Microsoft"}}, 400),
        ("AdminMFAV2", {"state": "Solved", "vendorInformation": VENDOR}, 400),
        ("AdminMFAV2", ["no object"], 400),
        ("scid_2010", {"state": "Ignored", "vendorInformation": VENDOR}, 400),
        ("NoSuchControl", {"state": "Ignored", "vendorInformation": VENDOR}, 404),
    ],
)
async def test_patch_refuses(control: str, body: Any, expected: int) -> None:
    async with calling(write=True) as client:
        before = client.sim.world.profiles(client.tenant_id, NOON)
        assert (await client.patch(f"{PROFILES}/{control}", body))[0] == expected
        assert client.sim.world.profiles(client.tenant_id, NOON) == before


async def test_patch_needs_the_write_role_and_a_profile() -> None:
    async with calling() as client:
        body = {"state": "Ignored", "vendorInformation": VENDOR}
        status, answer = await client.patch(f"{PROFILES}/AdminMFAV2", body)
        assert status == 403
        assert "SecurityEvents.ReadWrite.All" in answer["error"]["message"]
    async with calling(write=True) as client:
        assert (await client.patch(PROFILES, body))[0] == 405


# -------------------------------------------------------------------------------------------------------------- faults


async def test_every_kind_of_fault_is_tried_here() -> None:
    names = [name for name in globals() if name.startswith("test_fault_")]
    assert {name.removeprefix("test_fault_") for name in names} == KINDS.keys() - OF_AZURE.keys()


@pytest.mark.parametrize(("as_date", "wish"), [(False, 120.0), (True, 120.0), (False, None)])
async def test_fault_throttled(as_date: bool, wish: float | None) -> None:
    async with calling(Fault("throttled", times=1, retry_after_s=wish, retry_after_as_date=as_date)) as client:
        status, body, headers = await client.get(SCORES)
        assert (status, body["error"]["code"]) == (429, "TooManyRequests")
        if wish is None:
            assert "Retry-After" not in headers
        elif as_date:
            assert parsedate_to_datetime(headers["Retry-After"]) == NOON + timedelta(seconds=wish)
        else:
            assert headers["Retry-After"] == "120"
        assert (await client.get(SCORES))[0] == 200


async def test_fault_unavailable() -> None:
    async with calling(Fault("unavailable", path="skiptoken")) as client:
        _, body, _ = await client.get(PROFILES)
        assert (await client.get(body["@odata.nextLink"]))[0] == 503


async def test_fault_error() -> None:
    async with calling(Fault("error")) as client:
        status, body, _ = await client.get(SCORES)
        assert (status, body["error"]["code"]) == (500, "")


async def test_fault_unauthorized() -> None:
    async with calling(Fault("unauthorized", times=1)) as client:
        assert [(await client.get(SCORES))[0] for _ in range(2)] == [401, 200]


async def test_fault_challenge() -> None:
    """One token of each tenant is refused with the claims that a fresh one must have; another one is answered."""
    async with calling(Fault("challenge"), write=True) as client:
        for _ in range(2):
            status, body, headers = await client.get(SCORES)
            assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")
            claims = json.loads(claims_challenge({"www-authenticate": headers["WWW-Authenticate"]}))
            assert claims["access_token"]["nbf"]["value"] == str(int(NOON.timestamp()))
        client.headers = {"Authorization": f"Bearer {token_for(client.tenant_id)}"}
        assert (await client.get(SCORES))[0] == 200


async def test_fault_bad_request() -> None:
    """The first page is whole, a later one is refused."""
    async with calling(Fault("bad_request", path="skiptoken", after=1)) as client:
        _, first, _ = await client.get(SCORES, top=30)
        status, second, _ = await client.get(first["@odata.nextLink"])
        assert (status, len(second["value"])) == (200, 30)
        status, body, _ = await client.get(second["@odata.nextLink"])
        assert status == 400
        assert "'SkipToken' is not allowed" in body["error"]["message"]


async def test_fault_not_found() -> None:
    async with calling(Fault("not_found", path="skiptoken")) as client:
        _, body, _ = await client.get(PROFILES)
        assert (await client.get(body["@odata.nextLink"]))[0] == 404


async def test_fault_bad_gateway() -> None:
    async with calling(Fault("bad_gateway")) as client:
        response = await client.session.get(client.sim.base_url + SCORES, headers=client.headers)
        assert (response.status, response.content_type) == (502, "text/html")


async def test_fault_denied() -> None:
    async with calling(Fault("denied")) as client:
        status, body, _ = await client.get(SCORES)
        assert status == 403
        assert "SecurityEvents.Read.All" in body["error"]["message"]


async def test_fault_html() -> None:
    async with calling(Fault("html")) as client:
        response = await client.session.get(client.sim.base_url + SCORES, headers=client.headers)
        assert (response.status, response.content_type) == (200, "text/html")
        assert (await response.text()).startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("kind", ["huge", "gzip_bomb"])
async def test_fault_huge(kind: str) -> None:
    async with calling(Fault(kind, size_bytes=3_000_000)) as client:
        response = await client.session.get(client.sim.base_url + SCORES, headers=client.headers)
        body = await response.read()
        assert response.status == 200
        assert 2_900_000 < len(body) < 3_100_000
        with pytest.raises(ValueError, match=r"Unterminated|Invalid"):
            json.loads(body)


async def test_fault_gzip_bomb() -> None:
    """What travels is small, what it expands to is not."""
    async with calling(Fault("gzip_bomb", size_bytes=3_000_000)) as client:
        plain = aiohttp.ClientSession(auto_decompress=False)
        async with plain, plain.get(client.sim.base_url + SCORES, headers=client.headers) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert len(await response.read()) < 30_000


async def test_a_reader_that_leaves_a_flood_does_no_harm() -> None:
    async with calling(Fault("huge", times=1, size_bytes=200_000_000)) as client:
        async with client.session.get(client.sim.base_url + SCORES, headers=client.headers) as response:
            await response.content.readexactly(100_000)
            response.close()
        assert (await client.get(SCORES, top=1))[0] == 200


async def test_fault_write_ignored() -> None:
    async with calling(Fault("write_ignored"), write=True) as client:
        before = client.sim.world.profiles(client.tenant_id, NOON)
        body = {"state": "Ignored", "vendorInformation": VENDOR}
        assert (await client.patch(f"{PROFILES}/AdminMFAV2", body))[0] == 204
        assert client.sim.world.profiles(client.tenant_id, NOON) == before


async def test_fault_write_unclear() -> None:
    async with calling(Fault("write_unclear"), write=True) as client:
        body = {"state": "Ignored", "vendorInformation": VENDOR}
        assert (await client.patch(f"{PROFILES}/AdminMFAV2", body))[0] == 503
        _, shown, _ = await client.get(f"{PROFILES}/AdminMFAV2")
        assert in_force(shown)["state"].casefold() == "ignored"


async def test_fault_write_refused() -> None:
    async with calling(Fault("write_refused"), write=True) as client:
        body = {"state": "Ignored", "vendorInformation": VENDOR}
        assert (await client.patch(f"{PROFILES}/AdminMFAV2", body))[0] == 400


async def test_fault_write_falls_back() -> None:
    async with calling(Fault("write_falls_back"), write=True) as client:
        body = {"state": "Reviewed", "vendorInformation": VENDOR}
        assert (await client.patch(f"{PROFILES}/AdminMFAV2", body))[0] == 204
        assert in_force((await client.get(f"{PROFILES}/AdminMFAV2"))[1])["state"] == "Default"


async def test_fault_truncated() -> None:
    async with calling(Fault("truncated", times=1)) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.get(SCORES, top=1)
        assert (await client.get(SCORES, top=1))[0] == 200


async def test_fault_reset() -> None:
    async with calling(Fault("reset", path="ControlProfiles")) as client:
        assert (await client.get(SCORES, top=1))[0] == 200
        with pytest.raises(aiohttp.ClientOSError, match="reset"):
            await client.get(PROFILES)
        assert client.sim.requests[-1].status == 0


async def test_fault_slow() -> None:
    async with calling(Fault("slow", seconds=30)) as client:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.get(SCORES, top=1), 0.2)


async def test_fault_frozen() -> None:
    """The feed stands still from the fault's beginning and catches up at its end."""
    async with calling(Fault("frozen", since=NOON, until=NOON + timedelta(days=3))) as client:
        assert isinstance(client.sim.clock, SimulatedClock)
        newest = []
        for _ in range(4):
            newest.append((await client.get(SCORES, top=1))[1]["value"][0]["id"][-10:])
            await client.sim.clock.advance(86400)
        assert newest == ["2026-09-10"] * 3 + ["2026-09-13"]


async def test_fault_partial() -> None:
    async with calling(Fault("partial")) as client:
        status, body, headers = await client.get(PROFILES)
        assert (status, len(body["value"])) == (206, 100)
        assert headers["Warning"] == '199 - "Microsoft/SecureScore/504/10000", 199 - "Microsoft/MDATP/403/12"'
        whole = client.sim.world.score_documents(client.tenant_id, NOON, 1)[0]["controlScores"]
        _, body, _ = await client.get(SCORES, top=1)
        assert 0 < len(body["value"][0]["controlScores"]) < len(whole)


async def test_fault_empty() -> None:
    async with calling(Fault("empty")) as client:
        status, body, _ = await client.get(SCORES, top=10)
        assert (status, body["value"], body.get("@odata.nextLink")) == (200, [], None)
        assert (await client.get(f"{PROFILES}/AdminMFAV2"))[0] == 404


async def test_fault_lost_rows() -> None:
    async with calling(Fault("lost_rows")) as client:
        status, body, _ = await client.get(SCORES, top=3)
        whole = client.sim.world.score_documents(client.tenant_id, NOON, 3)
        assert (status, len(body["value"])) == (200, 3)
        for document, intact in zip(body["value"], whole, strict=True):
            assert len(document["controlScores"]) == len(intact["controlScores"]) * 2 // 3
        assert len((await client.get(PROFILES))[1]["value"]) == 133


async def test_fault_missing_page() -> None:
    async with calling(Fault("missing_page")) as client:
        assert [len(page) for page in await client.walk(PROFILES)] == [200]


async def test_fault_foreign_link() -> None:
    async with calling(Fault("foreign_link")) as client:
        _, body, _ = await client.get(SCORES, top=1)
        assert body["@odata.nextLink"].startswith("https://graph.example.net/v1.0/security/secureScores?")


async def test_fault_link_loop() -> None:
    async with calling(Fault("link_loop")) as client:
        _, first, _ = await client.get(SCORES, top=1)
        _, second, _ = await client.get(first["@odata.nextLink"])
        assert first == second


async def test_fault_endless() -> None:
    async with calling(Fault("endless")) as client:
        link, seen = SCORES + "?$top=1", set()
        for _ in range(20):
            _, body, _ = await client.get(link)
            link = body["@odata.nextLink"]
            seen.add(link)
        assert len(seen) == 20


async def test_fault_relative_link() -> None:
    async with calling(Fault("relative_link")) as client:
        assert (await client.get(SCORES, top=1))[1]["@odata.nextLink"].startswith(f"{SCORES}?$top=1")


async def test_fault_empty_link() -> None:
    async with calling(Fault("empty_link")) as client:
        assert (await client.get(SCORES, top=1))[1]["@odata.nextLink"] == ""


async def test_fault_future() -> None:
    async with calling(Fault("future", days_ahead=40)) as client:
        _, body, _ = await client.get(SCORES, top=2)
        assert [d["id"][-10:] for d in body["value"]] == ["2026-10-20", "2026-09-10", "2026-09-09"]
        assert body["value"][0]["createdDateTime"] == "2026-10-20T00:00:00Z"
        assert len((await client.get(PROFILES))[1]["value"]) == 200


async def test_fault_wrong_tenant() -> None:
    async with calling(Fault("wrong_tenant")) as client:
        _, body, _ = await client.get(SCORES, top=2)
        assert {d["azureTenantId"] for d in body["value"]} == {OTHER_TENANT}
        assert all(d["id"].startswith(OTHER_TENANT) for d in body["value"])


async def test_fault_odd_types() -> None:
    async with calling(Fault("odd_types")) as client:
        _, body, _ = await client.get(SCORES, top=1)
        odd = body["value"][0]
        assert isinstance(odd["currentScore"], str)
        assert isinstance(odd["controlScores"][3]["scoreInPercentage"], str)
        assert "unheardOf" in odd
        assert odd["createdDateTime"].endswith("T15:21:09.1234567Z")
        assert {type(c["score"]) for c in odd["controlScores"]} == {str, int}
        assert odd["averageComparativeScores"][-1]["basis"] == "IndustryTypes"
        assert "seatSizeRangeLowerValue" in odd["averageComparativeScores"][1]
        _, body, _ = await client.get(f"{PROFILES}/AdminMFAV2")
        assert (body["maxScore"], body["threats"]) == ("10.0", None)


async def test_fault_inconsistent() -> None:
    async with calling(Fault("inconsistent")) as client:
        odd = (await client.get(SCORES, top=1))[1]["value"][0]
        assert odd["currentScore"] == pytest.approx(sum(c["score"] for c in odd["controlScores"]) + 126)
        whole = client.sim.world.score_documents(client.tenant_id, NOON, 1)[0]
        assert (odd["maxScore"], odd["licensedUserCount"]) == (whole["maxScore"] + 1, 505785)


async def test_fault_sentinels() -> None:
    async with calling(Fault("sentinels")) as client:
        odd = (await client.get(SCORES, top=1))[1]["value"][0]
        assert (odd["controlScores"][0]["score"], odd["licensedUserCount"]) == (-1.0, -1)
        assert {a["averageScore"] for a in odd["averageComparativeScores"]} == {-1.0}
        assert (await client.get(f"{PROFILES}/AdminMFAV2"))[1]["rank"] == -1


async def test_faults_hit_one_tenant_some_paths_and_some_time() -> None:
    world = World(7, 2, date(2026, 6, 1))
    one, other = (who.id for who in world.tenants)
    fault = Fault("error", path="secureScores?", tenant=one, times=2, since=NOON, until=NOON + timedelta(hours=1))
    faults = Faults([fault])
    later = NOON + timedelta(hours=1)
    assert faults.next(SCORES + "?$top=1", one, NOON - timedelta(seconds=1)) is None
    assert faults.next(SCORES + "?$top=1", other, NOON) is None
    assert faults.next(PROFILES, one, NOON) is None
    assert faults.next(SCORES + "?$top=1", one, later) is None
    assert [faults.next(SCORES + "?$top=1", one, NOON) for _ in range(3)] == [fault, fault, None]


def test_faults_come_and_go_while_the_server_runs() -> None:
    faults = Faults()
    assert faults.next("/", None, NOON) is None
    faults.add(Fault("error"))
    assert faults.next("/", None, NOON) == Fault("error")
    faults.clear()
    assert faults.next("/", None, NOON) is None


def test_an_unknown_kind_of_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        Fault("gremlins")


def test_weather_is_random_but_reproducible() -> None:
    def kinds(seed: int, probability: float) -> list[str]:
        faults = Faults(weather=Weather(probability, seed))
        found = (faults.next("/", "t", NOON + timedelta(hours=n)) for n in range(300))
        return [fault.kind if fault else "" for fault in found]

    assert kinds(1, 0.2) == kinds(1, 0.2) != kinds(2, 0.2)
    assert set(kinds(1, 0.2)) == {"", "throttled", "unavailable", "partial", "truncated"}
    assert set(kinds(1, 0.0)) == {""}
    assert 200 < kinds(1, 0.2).count("") < 290


# -------------------------------------------------------------------------------------------------------- pace and size


def test_body_cache_is_bounded_and_drops_the_oldest() -> None:
    cache = ByteCache(100)
    for number in range(50):
        cache.put(number, b"x" * 30)
        cache.get(0)
    assert cache.bytes <= 100
    assert len(cache) == 3
    assert cache.get(0) is not None
    assert cache.get(1) is None
    cache.put("too big", b"x" * 101)
    assert cache.bytes == 0


async def test_thousands_of_tenants_within_the_cache_bound() -> None:
    world = World(7, 10_000, date(2026, 6, 1), sizes=("small",))
    async with serve(world, SimulatedClock(NOON), cache_bytes=1_000_000) as sim, aiohttp.ClientSession() as session:
        for who in world.tenants[:10_000:200]:
            status, body, _ = await Client(sim, session, who.id).get(SCORES, top=4)
            assert (status, body["value"][0]["azureTenantId"]) == (200, who.id)
        assert 0 < sim.bodies.documents.bytes <= 1_000_000


async def test_requests_are_logged_within_a_bound() -> None:
    async with calling() as client:
        assert client.sim.requests.maxlen == 10_000


def test_paced_clock_runs_faster() -> None:
    real = SimulatedClock(NOON)
    paced = PacedClock(real, datetime(2030, 1, 1, tzinfo=UTC), 1440)
    asyncio.run(real.advance(60))
    assert paced.now() == datetime(2030, 1, 2, tzinfo=UTC)


def test_a_paced_clock_that_has_caught_up_goes_at_the_pace_of_the_other() -> None:
    """Whoever reads refuses days of the future: the feed would be dead for them."""
    real = SimulatedClock(NOON)
    paced = PacedClock(real, NOON - timedelta(days=60), 1440)
    asyncio.run(real.advance(1800))
    assert NOON - paced.now() == timedelta(days=30)
    asyncio.run(real.advance(7200))
    assert paced.now() == real.now()
